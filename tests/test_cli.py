"""The commands on a catalogue: what they print, what they leave alone, and how they fail."""

import contextlib
import csv
import io
import json
import os
import sqlite3
import subprocess
import sys

import numpy as np
import pytest
from catalog.builders import make_key, make_record, make_tree

from classy_pm.catalog import Aggregator, Catalog, ParameterRecord, describe
from classy_pm.cli import main
from classy_pm.cli.ls import HEAD

HOSTILE = "\x1b[31m\u202e<script>alert(1)</script>\r\n=1+1"


def payload(draws=500, upper=10.0):
    prior = {"prior": "UniformPrior", "shape": [], "arguments": {"lower_limit": 0.0, "upper_limit": upper}}
    children = [["centre", {"parameter": "profile.centre"}]]
    tree = {"collection": "dict", "children": [["profile", {"model": "profiles:Line", "children": children}]]}
    return describe(
        {
            "model": {"tree": tree, "parameters": [["profile.centre", prior]], "assertions": []},
            "data": {"class": "profiles:Analysis", "attributes": {"y": np.arange(3.0)}},
            "likelihood": {"likelihood": "profiles:Analysis"},
            "search": {"search": "NUTS", "settings": {"draws": draws}},
            "extra": {"random_seed": 1, "unique_tag": None},
        }
    )


@pytest.fixture
def location(tmp_path):
    """A catalogue of three fits; the third is another's work of art."""
    location = tmp_path / "survey.sqlite"
    with Catalog(location) as catalog:
        quality = {"log_evidence": -12.5, "log_evidence_error": 0.25, "max_rhat": 1.0012, "min_ess": 1234.5}
        first = make_record(0, name="lens", tags=("good",), payload=payload(), divergences=3, **quality)
        catalog.file(first, make_tree(0))
        second = make_record(1, payload=payload(draws=1000, upper=20.0), model_hash="a" * 64)
        catalog.file(second, make_tree(1))
        hostile = ParameterRecord(HOSTILE, role="derived", median=1.0, sd=0.1, prior=HOSTILE)
        third = make_record(
            2,
            name=HOSTILE,
            unique_tag=HOSTILE,
            search=HOSTILE,
            tags=(HOSTILE,),
            info={HOSTILE: [HOSTILE, float("inf")]},
            payload={HOSTILE: {HOSTILE: HOSTILE}},
            versions={HOSTILE: HOSTILE},
            parameters=(hostile,),
        )
        catalog.file(third, make_tree(2))
    return location


@pytest.fixture
def run(location, capsys):
    def run(command, *arguments, code=0):
        found = main([command, str(location), *map(str, arguments)])
        out, err = capsys.readouterr()
        assert found == code, err
        return out if code == 0 or not err else err

    return run


def short(number):
    return make_key(number)[:12]


def contents(folder):
    return {
        path.relative_to(folder): (path.stat().st_mtime_ns, path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file()
    }


def break_file(location, number):
    with Catalog(location) as catalog:
        path = catalog.get(make_key(number)).path
    path.chmod(0o644)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


# -- ls -------------------------------------------------------------------------------------------


def test_ls_has_a_line_a_fit_the_last_one_first(run):
    head, *lines = run("ls").splitlines()
    assert [name for name in HEAD if name in head] == list(HEAD)
    assert [line.split()[0] for line in lines] == [short(2), short(1), short(0)]
    for text in ("lens", "object_0", "NUTS", "-12.5 ± 0.25", "1.001", "1234", "3", "complete"):
        assert text in lines[2]


def test_ls_takes_a_name_a_tag_and_a_limit(run):
    def found(*options):
        return [line.split()[0] for line in run("ls", *options).splitlines()[1:]]

    assert found("--name", "lens") == [short(0)]
    assert found("--tag", "good") == [short(0)]
    assert found("--tag", "object_1") == [short(1)]
    assert found("--limit", 2) == [short(2), short(1)]
    assert run("ls", "--name", "len%") == "No fits.\n"


def test_ls_lists_fits_whose_file_is_lost(run, location):
    with Catalog(location) as catalog:
        catalog.get(make_key(1)).path.unlink()
        catalog.recover()
    assert [line.split()[-1] for line in run("ls").splitlines()[1:]] == ["complete", "missing", "complete"]


def test_ls_as_json_has_the_columns_of_the_index(run):
    found = json.loads(run("ls", "--json"))
    assert [item["fit_key"] for item in found] == [make_key(2), make_key(1), make_key(0)]
    assert found[2]["log_evidence"] == -12.5
    assert found[2]["divergences"] == 3
    assert found[1]["log_evidence"] is None
    assert found[0]["name"] == HOSTILE
    keys = "fit_key run_id status name unique_tag sampler n_free created seconds max_rhat min_ess kind"
    assert set(keys.split()) <= set(found[0])
    assert "id" not in found[0]


def test_ls_as_csv_has_no_formulas(run):
    rows = list(csv.DictReader(io.StringIO(run("ls", "--csv"))))
    assert [row["fit_key"] for row in rows] == [make_key(2), make_key(1), make_key(0)]
    assert rows[2]["log_evidence"] == "-12.5"
    assert rows[0]["name"].startswith("\\x1b[31m")


# -- show and diff --------------------------------------------------------------------------------


def test_show_tells_what_went_into_a_fit_and_what_came_out(run):
    text = run("show", make_key(0)[:8])
    for part in (
        make_key(0),
        "UniformPrior(lower_limit=0.0, upper_limit=10.0)",
        "array of <f8, shape [3], sha256",
        "draws  500",
        "random_seed  1",
        "profile.centre",
        "survey  zzz' OR '1'='1",
        "good",
        f"fits/{make_key(0)[:2]}/{make_key(0)}",
    ):
        assert part in text, part


def test_show_as_json_is_strict(run):
    found = json.loads(run("show", make_key(2), "--json"), parse_constant=pytest.fail)
    assert found["info"] == {HOSTILE: [HOSTILE, None]}
    assert found["tags"] == [HOSTILE]
    assert found["parameters"][0]["path"] == HOSTILE
    assert found["fault"] is None
    first = json.loads(run("show", make_key(0), "--json"))
    assert first["payload"]["search"]["settings"]["draws"] == 500
    assert first["parameters"][1]["rhat"] is None
    assert list(found) == list(first)


def test_show_of_a_damaged_fit_tells_what_the_index_knows(run, location):
    break_file(location, 0)
    text = run("show", short(0))
    assert "Fault: " in text
    assert "has changed since it was filed" in text
    assert "-12.5 ± 0.25" in text
    assert "good" in text
    assert json.loads(run("show", short(0), "--json"))["payload"] is None


def test_diff_tells_in_words_where_two_fits_differ(run):
    lines = [line.strip() for line in run("diff", short(0), short(1)).splitlines()]
    at = lines.index("profile.centre")
    assert lines[at - 1] == "The model differs:"
    assert lines[at + 1] == "A  UniformPrior(lower_limit=0.0, upper_limit=10.0)"
    assert lines[at + 2] == "B  UniformPrior(lower_limit=0.0, upper_limit=20.0)"
    assert lines[lines.index("draws") + 1 :][:2] == ["A  500", "B  1000"]
    assert lines[-1] == "The same in both: data, likelihood, seed and tag."


def test_diff_as_json(run):
    found = json.loads(run("diff", short(0), short(1), "--json"))
    assert found["first"] == make_key(0)
    assert {"part": "search", "place": "draws", "first": "500", "second": "1000"} in found["differences"]
    assert found["equal_parts"] == ["data", "likelihood", "seed and tag"]


def test_diff_of_a_fit_with_itself(run):
    assert run("diff", short(0), make_key(0)).endswith("They are the same fit.\n")


def test_diff_tells_of_what_only_the_hashes_know(run, location):
    with Catalog(location) as catalog:
        catalog.file(make_record(3, payload=payload(), model_hash="a" * 64), make_tree(3))
        catalog.file(make_record(4, payload=payload(), model_hash="b" * 64), make_tree(4))
        for number in (5, 6):
            catalog.file(make_record(number), make_tree(number))
    assert "The model differs:\n  in something that is not shown here" in run("diff", short(3), short(4))
    assert "was not told what went into them" in run("diff", short(5), short(6))


# -- taking fits elsewhere ------------------------------------------------------------------------


def test_fits_go_out_by_export_and_in_by_import(run, tmp_path, capsys):
    assert run("export", tmp_path / "all.zip") == f"3 fits in {tmp_path / 'all.zip'}.\n"
    given = ["export", tmp_path / "one.zip", short(1), make_key(1), "--json"]
    assert json.loads(run(*given))["exported"] == 1
    other = tmp_path / "other.sqlite"
    assert main(["import", str(other), str(tmp_path / "one.zip"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["adopted"] == [make_key(1)]
    assert main(["import", str(other), str(tmp_path / "survey.files")]) == 0
    assert "3 files looked at." in capsys.readouterr().out
    with Catalog(other) as catalog:
        assert len(catalog) == 3


def test_import_fails_if_anything_was_refused(run, tmp_path, capsys):
    folder = tmp_path / "from_a_stranger"
    folder.mkdir()
    (folder / f"{'0' * 64}-{'1' * 32}.nc").write_bytes(b"no fit")
    assert run("import", folder, code=1).startswith("set aside")
    assert "There is no file or folder" in run("import", tmp_path / "nowhere", code=1)


# -- verify ---------------------------------------------------------------------------------------


def test_verify_is_content_with_a_sound_catalogue(run):
    assert run("verify") == "3 files looked at.\n"
    assert json.loads(run("verify", "--json"))["damaged"] == []


def test_verify_fails_until_a_damaged_fit_is_there_again(run, location):
    break_file(location, 1)
    for _ in range(2):  # found now, and found earlier
        assert f"damaged  {make_key(1)}" in run("verify", code=1)
    with Catalog(location) as catalog:
        catalog.file(make_record(1), make_tree(1))
    assert run("verify") == "3 files looked at.\n"


def test_verify_enters_a_file_without_a_row(run, location):
    with sqlite3.connect(location) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("DELETE FROM fit WHERE fit_key = ?", [make_key(1)])
    connection.close()
    assert f"adopted  {make_key(1)}  (had no row and has one now)" in run("verify")


@pytest.mark.parametrize("left", [None, b""])
def test_verify_makes_a_lost_index_again(run, location, left):
    location.unlink()
    if left is not None:
        location.write_bytes(left)
    assert "There is no catalogue" in run("verify", code=1)
    assert run("verify", "--rebuild").count("adopted") == 3
    assert run("verify") == "3 files looked at.\n"


def test_verify_makes_a_broken_index_again(run, location):
    for suffix in ("-wal", "-shm"):
        location.with_name(location.name + suffix).unlink(missing_ok=True)
    location.write_bytes(location.read_bytes()[:5000])
    assert "`classy-pm verify --rebuild` makes the index again." in run("verify", code=1)
    assert "adopted" in run("verify", "--rebuild")
    with Catalog(location) as catalog:
        assert len(Aggregator(catalog)) == 3


# -- report ---------------------------------------------------------------------------------------


def test_report_tells_where_the_pages_are_and_what_could_not_be_read(run, location, tmp_path):
    with Catalog(location) as catalog:
        catalog.get(make_key(1)).path.unlink()
    first, second, last = run("report", tmp_path / "site", "--no-plots").splitlines()
    assert first == "3 fits: 3 pages made, 0 kept."
    assert second.startswith(f"not read  {short(1)}  The file of this fit cannot be read")
    assert last == str(tmp_path / "site" / "index.html")
    found = json.loads(run("report", tmp_path / "site", "--no-plots", "--json"))
    assert (found["fits"], found["made"], found["kept"]) == (3, 1, 2)
    assert list(found["faults"]) == [make_key(1)]


# -- what all of them do --------------------------------------------------------------------------

COMMANDS = {
    "ls": [],
    "ls --csv": ["--csv"],
    "ls --json": ["--json"],
    "show": [short(2)],
    "show --json": [short(2), "--json"],
    "diff": [short(0), short(2)],
    "diff --json": [short(0), short(2), "--json"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_nothing_from_a_file_reaches_the_terminal_unescaped(run, name):
    text = run(name.split()[0], *COMMANDS[name])
    assert text.replace("\n", "").isprintable()
    assert "\\x1b" in text or "\\u001b" in text


def test_looking_at_a_catalogue_writes_nothing_into_it(run, location, tmp_path):
    before = contents(tmp_path)
    for name, arguments in COMMANDS.items():
        run(name.split()[0], *arguments)
    out = tmp_path.with_name(f"{tmp_path.name}-out")
    run("export", out / "fits.zip")
    run("report", out / "site", "--no-plots")
    assert contents(tmp_path) == before


def test_a_stranger_s_file_can_be_read_by_another_process(run):
    assert "UniformPrior" in run("show", short(0), "--untrusted")


@pytest.mark.parametrize(
    ("command", "text"),
    [
        (["show", "zzz"], "does not begin the identity of a fit"),
        (["show", "0" * 64], "There is no fit whose identity begins with"),
        (["diff", short(0), "zzz"], "does not begin the identity of a fit"),
        (["export", "{folder}/x.zip", "zzz"], "does not begin the identity of a fit"),
        (["export", "{folder}/survey.sqlite"], "exists already"),
    ],
)
def test_what_cannot_be_done_is_said_on_one_line(run, tmp_path, command, text):
    error = run(*[word.format(folder=tmp_path) for word in command], code=1)
    assert error.startswith("classy-pm: ")
    assert error.count("\n") == 1
    assert text in error


@pytest.mark.parametrize(
    "command", [["ls"], ["show", "a"], ["diff", "a", "b"], ["export", "x"], ["verify"], ["report", "x"]]
)
def test_a_catalogue_that_is_not_there_is_not_made(tmp_path, capsys, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    assert main([command[0], "nowhere.sqlite", *command[1:]]) == 1
    error = capsys.readouterr().err
    assert error == "classy-pm: There is no catalogue at 'nowhere.sqlite'. Check the path.\n"
    assert not list(tmp_path.iterdir())


def test_what_is_no_catalogue_is_said_to_be_none(tmp_path, capsys):
    path = tmp_path / "bad\x1b[31m.sqlite"
    path.write_text("text")
    assert main(["ls", str(path)]) == 1
    error = capsys.readouterr().err
    assert error.startswith("classy-pm: ")
    assert "\x1b" not in error
    assert "is not a catalogue" in error


@pytest.mark.parametrize("command", [[], ["ls"], ["lls"], ["ls", "x", "--limit", "0"], ["diff", "x", "a"]])
def test_wrong_usage_has_its_own_exit_code(command, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(command)
    assert exit_.value.code == 2
    assert "usage: classy-pm" in capsys.readouterr().err


def test_a_reader_that_has_gone_is_no_error(location):
    reads, writes = os.pipe()
    os.close(reads)
    code = "import sys; from classy_pm.cli import main; sys.exit(main())"
    with contextlib.closing(os.fdopen(writes, "wb")) as nobody:
        finished = subprocess.run(
            [sys.executable, "-c", code, "ls", str(location)],
            stdout=nobody,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert finished.stderr == b""
    assert finished.returncode == 141


@pytest.mark.parametrize(
    ("command", "heavy"),
    [
        (["--help"], {"numpy", "sqlalchemy", "pandas", "xarray"}),
        (["ls", "{location}"], {"scipy", "h5py", "netCDF4"}),
        (["show", "{location}", short(0)], set()),
    ],
)
def test_commands_load_what_they_need_and_no_more(location, command, heavy):
    code = (
        "import sys\nfrom classy_pm.cli import main\n"
        "try: main(sys.argv[1:])\nexcept SystemExit: pass\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    words = [word.format(location=location) for word in command]
    given = [sys.executable, "-c", code, *words]
    finished = subprocess.run(given, capture_output=True, text=True, check=True)
    always = {"pymc", "pytensor", "arviz", "arviz_base", "arviz_stats", "arviz_plots", "matplotlib"}
    assert (heavy | always).isdisjoint(finished.stderr.split())
