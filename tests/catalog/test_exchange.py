"""Fits can be handed to somebody else; what comes in is checked like any stranger's file."""

import json
import os
import struct
import zipfile

import h5py
import numpy as np
import pytest
import xarray as xr
from builders import make_key, make_record, make_tree

from classy_pm.catalog import Aggregator, Catalog, FitRecord, exchange, filing, notes, rows
from classy_pm.errors import CatalogError


@pytest.fixture
def full(catalog):
    for number in range(3):
        catalog.file(make_record(number), make_tree(number))
    return catalog


@pytest.fixture
def other(tmp_path):
    with Catalog(tmp_path / "other" / "mine.sqlite") as other:
        yield other


def test_a_zip_carries_fits_whole(full, other, tmp_path):
    assert full.export(tmp_path / "for_you.zip") == 3
    assert len(other.import_zip(tmp_path / "for_you.zip").adopted) == 3
    for mine, theirs in zip(full, other, strict=True):
        assert mine == theirs
        xr.testing.assert_identical(mine.tree(), theirs.tree())
    again = other.import_zip(tmp_path / "for_you.zip")
    assert again.adopted == []
    assert len(other) == 3
    assert not other.verify()


def test_a_selection_is_exported_alone(full, tmp_path):
    agg = Aggregator(full)
    assert full.export(tmp_path / "some.zip", agg.query(agg.info["index"] > 0)) == 2


def test_nothing_is_overwritten_by_an_export(full, tmp_path):
    (tmp_path / "a.zip").write_text("precious")
    with pytest.raises(CatalogError, match="exists already"):
        full.export(tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_text() == "precious"


def test_a_damaged_fit_is_not_exported_and_no_zip_is_left(full, tmp_path):
    full.find(make_key(1)).path.write_bytes(b"x")
    with pytest.raises(CatalogError, match="changed since"):
        full.export(tmp_path / "a.zip")
    assert not [path for path in tmp_path.iterdir() if "zip" in path.name]


def test_a_folder_from_another_machine_is_taken_in_and_left_as_it_is(full, other, tmp_path):
    (full.layout.files / "readme.nc").write_text("no fit")
    report = other.import_folder(full.layout.files)
    assert len(report.adopted) == 3
    assert report.set_aside == ["readme.nc"]
    assert len(list(full.layout.fits.rglob("*.nc"))) == 3
    assert other.import_folder(full.layout.files).adopted == []
    with pytest.raises(CatalogError, match="no folder"):
        other.import_folder(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "name", ["../../evil.nc", "/etc/evil.nc", "fits/ab/evil.nc", "index.sqlite", "fits/ab/", "x"]
)
def test_a_member_under_another_name_is_not_written_anywhere(other, tmp_path, name):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(name, b"evil")
    report = other.import_zip(tmp_path / "a.zip")
    assert report.set_aside == [name]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zip"]


def name_of(number, run="1"):
    key = make_key(number)
    return f"fits/{key[:2]}/{key}-{run * 32}.nc"


def test_a_member_that_is_no_fit_leaves_nothing(other, tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(name_of(0), b"not netcdf")
        archive.writestr(name_of(1), b"")
    assert len(other.import_zip(tmp_path / "a.zip").set_aside) == 2
    assert not [path for path in other.layout.files.rglob("*") if path.is_file()]


def test_a_fit_under_the_key_of_another_is_refused(full, other, tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(full.find(make_key(0)).path, name_of(1))
    report = other.import_zip(tmp_path / "a.zip")
    assert (len(report.adopted), len(report.set_aside)) == (0, 1)
    assert other.find(make_key(1)) is None


def test_a_crafted_file_in_a_zip_is_refused(full, other, tmp_path):
    stored = full.find(make_key(0))
    with h5py.File(stored.path, "a") as file:
        file["posterior"]["x"] = h5py.ExternalLink("/etc/passwd", "/")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(stored.path, f"fits/{stored.fit_key[:2]}/{stored.path.name}")
    assert other.import_zip(tmp_path / "a.zip").set_aside == [stored.path.name]
    assert len(other) == 0


def test_a_zip_that_lies_about_sizes_is_refused(full, other, tmp_path):
    full.export(tmp_path / "a.zip")
    data = (tmp_path / "a.zip").read_bytes()
    place = data.index(b"PK\x01\x02") + 24  # the size of the first member in the directory
    (size,) = struct.unpack_from("<I", data, place)
    (tmp_path / "a.zip").write_bytes(data[:place] + struct.pack("<I", size // 2) + data[place + 4 :])
    try:
        report = other.import_zip(tmp_path / "a.zip")
    except CatalogError:
        report = None
    assert len(other) < 3
    assert report is None or report.set_aside


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04" + bytes(50)])
def test_a_file_that_is_no_zip_is_refused(other, tmp_path, content):
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(CatalogError, match="cannot be read as a zip"):
        other.import_zip(tmp_path / "a.zip")


def test_what_was_set_aside_as_damaged_is_not_taken_in(catalog, tmp_path):
    """A bit that flips where there is no checksum gives another number; `verify` has found it out."""
    tree = make_tree()
    tree["sample_stats"] = tree["sample_stats"].to_dataset().assign(energy=-123.25)
    stored = catalog.file(make_record(), tree)
    content = bytearray(stored.path.read_bytes())
    content[content.index(np.float64(-123.25).tobytes()) + 5] ^= 8
    stored.path.write_bytes(content)
    assert len(catalog.verify().damaged) == 1
    with Catalog(tmp_path / "other.sqlite") as other:
        report = other.import_folder(catalog.layout.files)
        assert report.adopted == [] and len(other) == 0
    assert catalog.import_folder(catalog.layout.files).adopted == [] and len(catalog) == 0


def test_a_file_whose_draws_cannot_be_read_is_not_taken_in(catalog, tmp_path):
    stored = catalog.file(make_record(), make_tree(draws=2000))
    sound, refused = stored.path.read_bytes(), 0
    for place in np.linspace(0.3, 0.9, 5) * len(sound):
        content = bytearray(sound)
        content[int(place)] ^= 8
        brought = tmp_path / f"{int(place)}" / stored.path.name
        brought.parent.mkdir()
        brought.write_bytes(content)
        with Catalog(brought.with_name("other.sqlite")) as other:
            report = other.import_folder(brought.parent)
            refused += report.set_aside == [stored.path.name]
            for fit in other:  # nothing was in this place
                assert fit.tree().identical(stored.tree())
    assert refused > 0


@pytest.mark.parametrize("by", ["zip", "folder"])
def test_an_import_that_was_interrupted_before_the_notes_is_finished_by_the_next(
    full, other, tmp_path, monkeypatch, by
):
    full.tag(make_key(0), "good", "best")
    full.note(make_key(0), "seen by", "Ann")
    full.export(tmp_path / "a.zip")

    def take():
        return other.import_zip(tmp_path / "a.zip") if by == "zip" else other.import_folder(full.layout.files)

    with monkeypatch.context() as patch:
        patch.setattr(exchange, "_take_notes", lambda *arguments: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            take()
    other.untag(make_key(0), "best")
    assert take().adopted == []
    fit = other.find(make_key(0))
    assert fit.tags == ["good"], "what was said here later counts"
    assert fit.info["seen by"] == "Ann"
    lines = notes.path_in(other.layout.files).read_bytes()
    take()
    assert notes.path_in(other.layout.files).read_bytes() == lines, "nothing is taken twice"
    full.tag(make_key(0), "new")
    full.export(tmp_path / "b.zip")
    other.import_zip(tmp_path / "b.zip")
    assert fit.tags == ["good", "new"]


def test_a_line_from_the_future_has_not_the_last_word_for_ever(full, other, tmp_path):
    key = make_key(0)
    ahead = notes.Change(key, "tag", "good", at="9999-01-01T00:00:00.000000+00:00")
    odd = notes.Change(key, "tag", "odd", at="z" * 100)
    (full.layout.files / notes.FILE).write_bytes(notes.lines_of([ahead, odd]).replace(b'"at":"2', b'"at":"9'))
    other.import_folder(full.layout.files)
    assert other.find(key).tags == ["good", "odd"]
    other.untag(key, "good")
    assert other.find(key).tags == ["odd"]
    assert b'"at":"9' not in notes.path_in(other.layout.files).read_bytes()


@pytest.mark.parametrize("by", ["zip", "folder"])
def test_a_fit_that_is_here_with_another_run_is_told(full, other, tmp_path, by):
    mine = other.file(make_record(1), make_tree(7))
    full.tag(make_key(1), "theirs")
    full.export(tmp_path / "a.zip")
    for _ in range(2):
        source = tmp_path / "a.zip" if by == "zip" else full.layout.files
        report = other.import_zip(source) if by == "zip" else other.import_folder(source)
        assert report.other_run == [make_key(1)] and report
        assert report.set_aside == []
    stored = other.find(make_key(1))
    assert stored == mine and stored.tags == []
    xr.testing.assert_identical(stored.tree(), make_tree(7))
    assert not other.layout.quarantine.exists()


def write_with(monkeypatch, **changes):
    """Have manifests written that no version of ours writes."""
    sound = FitRecord.to_manifest
    monkeypatch.setattr(
        FitRecord, "to_manifest", lambda record: json.dumps(json.loads(sound(record)) | changes)
    )


POISON = [
    {"n_nonfinite": None},
    {"divergences": 2.5},
    {"grid_index": 0.5},
    {"parameters": [{"path": "a", "role": "free", "prior": {"a": 1}}]},
    {"parameters": [{"path": "a", "role": "free", "prior": "\ud800"}]},
    {"parameters": [{"path": "\ud800", "role": "free"}]},
    {"created": 5},
]


@pytest.mark.parametrize("poison", POISON, ids=str)
def test_a_manifest_that_no_column_holds_is_set_aside_and_harms_nobody(
    catalog, other, tmp_path, monkeypatch, poison
):
    with monkeypatch.context() as patch:
        write_with(patch, **poison)
        stored = other.file(make_record(7), make_tree())
        other.export(tmp_path / "a.zip")
    catalog.file(make_record(0), make_tree())
    assert catalog.import_zip(tmp_path / "a.zip").set_aside == [stored.path.name]
    # As an earlier version left it: named, without a row, and with its part.
    path = catalog.layout.fit_path(stored.fit_key, stored.run_id)
    for use in ("__len__", "recover", "verify", "rebuild"):
        catalog.close()
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(stored.path.read_bytes())
        part = catalog.layout.part_path(stored.fit_key, stored.run_id)
        part.with_name(part.name.replace(f".{os.getpid()}.", ".999999999.")).touch()
        with Catalog(catalog.location) as again:
            getattr(again, use)()
            assert len(again) == 1
        assert not path.exists()
        assert "cannot be filed" in (catalog.layout.quarantine / f"{path.name}.reason.txt").read_text()


@pytest.fixture
def refusing(monkeypatch):
    """An index that does not take the rows of one fit, whatever its record is checked for."""
    sound = rows._fit_row

    def fit_row(record, written):
        row = sound(record, written)
        return row | {"n_nonfinite": None} if record.fit_key == make_key(1) else row

    monkeypatch.setattr(rows, "_fit_row", fit_row)


def test_a_fit_that_the_index_does_not_take_is_set_aside_and_the_others_are_entered(
    full, other, tmp_path, refusing
):
    path = full.find(make_key(1)).path
    full.export(tmp_path / "a.zip")
    report = other.import_zip(tmp_path / "a.zip")
    assert (len(report.adopted), report.set_aside) == (2, [path.name])
    report = full.rebuild()
    assert (len(report.adopted), report.set_aside) == (2, [path.name])
    assert len(full) == len(other) == 2
    for catalog in (full, other):
        assert "NOT NULL" in (catalog.layout.quarantine / f"{path.name}.reason.txt").read_text()
    path.write_bytes((full.layout.quarantine / path.name).read_bytes())
    assert full.recover().set_aside == [path.name]
    with pytest.raises(CatalogError, match="does not take this fit"):
        full.file(make_record(1), make_tree())
    with pytest.raises(CatalogError, match="does not take this fit"):
        full.file_many([(make_record(number), make_tree()) for number in (1, 5)])
    assert len(full) == 3, "the fits that came along are filed"


def test_a_file_is_not_set_aside_because_the_index_cannot_be_asked(full, monkeypatch):
    stored = full.find(make_key(1))

    def locked(*arguments):
        raise CatalogError("The index was locked by another process.")

    monkeypatch.setattr(filing, "_filed_hash", locked)
    with pytest.raises(CatalogError, match="locked"):
        filing.adopt(full.database, full.layout, stored.path)
    assert stored.path.exists()


def test_of_a_folder_whose_process_was_killed_the_run_that_took_the_place_is_taken(catalog, other):
    old = catalog.file(make_record(0, run_id="0" * 32, info={"v": "old"}), make_tree(0))
    content = old.path.read_bytes()
    new = catalog.file(
        make_record(0, run_id="f" * 32, info={"v": "new"}), make_tree(1), instead_of=old.run_id
    )
    # As a kill after the commit leaves it.
    old.path.write_bytes(content)
    catalog.layout.part_path(new.fit_key, new.run_id).touch()
    report = other.import_folder(catalog.layout.files)
    assert (report.adopted, report.other_run) == ([new.fit_key], [])
    (stored,) = other
    assert (stored.run_id, stored.info["v"]) == (new.run_id, "new")


def test_the_same_zip_undoes_nothing_also_if_its_clock_was_ahead(full, other, tmp_path):
    key = make_key(0)
    ahead = "9999-01-01T00:00:00.00000{}+00:00"
    changes = [
        notes.Change(key, action, name, value, ahead.format(number))
        for number, (action, name, value) in enumerate(
            [("tag", "good", None), ("note", "n", 1), ("tag", "best", None), ("untag", "best", None)]
        )
    ]
    lines = notes.lines_of([change._replace(at="") for change in changes])
    for change in changes:
        start, _, rest = lines.partition(b'"at":"2')
        lines = start + f'"at":"{change.at}'.encode() + rest[rest.index(b'"') :]
    (full.layout.files / notes.FILE).write_bytes(lines)
    full.export(tmp_path / "a.zip")
    other.import_zip(tmp_path / "a.zip")
    fit = other.find(key)
    assert (fit.tags, fit.info["n"]) == (["good"], 1)
    fit.untag("good")
    fit.note("n", 2)
    content = notes.path_in(other.layout.files).read_bytes()
    for _ in range(2):
        other.import_zip(tmp_path / "a.zip")
    assert (fit.tags, fit.info["n"]) == ([], 2)
    assert notes.path_in(other.layout.files).read_bytes() == content
