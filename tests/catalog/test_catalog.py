"""A fit is in the catalogue whole or not at all."""

import shutil
import sqlite3
import threading
from dataclasses import fields
from pathlib import Path

import pytest
import sqlalchemy as sa
import xarray as xr
from builders import make_key, make_record, make_tree

from classy_pm.catalog import Aggregator, Catalog, CatalogVersionError, DamagedFile, StoredFit, rows, tables
from classy_pm.errors import CatalogError


def test_opening_does_nothing(location):
    catalog = Catalog(location)
    assert len(catalog) == 0
    assert list(catalog) == []
    assert catalog.find(make_key(0)) is None
    assert list(location.parent.iterdir()) == []


def test_a_filed_fit_is_found_and_read(catalog):
    record, tree = make_record(), make_tree()
    stored = catalog.file(record, tree)
    assert stored == catalog.find(record.fit_key)
    assert stored.record.to_manifest() == record.to_manifest()
    xr.testing.assert_identical(stored.tree(), tree)
    assert stored.info == record.info
    assert (stored.name, stored.unique_tag, stored.sampler) == ("line", "object_0", "NUTS")
    assert stored.log_evidence is None, "an infinite number is NULL in the index"
    assert stored.record.log_evidence == float("-inf"), "and itself in the file"
    assert record.fit_key in catalog
    assert make_key(1) not in catalog


def test_a_fit_is_found_by_another_catalogue_object(catalog, location):
    stored = catalog.file(make_record(), make_tree())
    assert Catalog(location).find(stored.fit_key) == stored
    assert len(Catalog(location, create=False)) == 1


def test_folders_are_made_by_the_first_write(tmp_path):
    catalog = Catalog(tmp_path / "a" / "b.c" / "survey.v2.sqlite")
    catalog.check_writable()
    assert list(tmp_path.iterdir()) == []
    catalog.file(make_record(), make_tree())
    assert {path.name for path in (tmp_path / "a" / "b.c").iterdir()} == {
        "survey.v2.sqlite",
        "survey.v2.files",
    }


@pytest.mark.parametrize(
    "name", ["a b.sqlite", "what?mode=ro.sqlite", "100%.sqlite", "é#x.sqlite", "x;y'.sqlite"]
)
def test_any_file_name_is_a_file_name(tmp_path, name):
    Catalog(tmp_path / name).file(make_record(), make_tree())
    assert (tmp_path / name).is_file()
    assert len(Catalog(tmp_path / name)) == 1


def test_filing_the_same_run_again_changes_nothing(catalog):
    record = make_record()
    first = catalog.file(record, make_tree())
    assert catalog.file(record, make_tree()) == first
    assert len(catalog) == 1
    assert len(catalog.layout.runs_of(record.fit_key)) == 1


def test_the_first_of_two_runs_of_one_fit_is_kept(catalog):
    first = catalog.file(make_record(), make_tree(0))
    assert catalog.file(make_record(), make_tree(1)) == first
    xr.testing.assert_identical(catalog.find(first.fit_key).tree(), make_tree(0))


def test_fits_come_in_the_order_of_filing(catalog, monkeypatch):
    monkeypatch.setattr("classy_pm.catalog.catalog.PAGE", 2)
    for number in range(5):
        catalog.file(make_record(number), make_tree())
    assert [stored.unique_tag for stored in catalog] == [f"object_{number}" for number in range(5)]


def test_a_fit_whose_file_is_gone_may_be_filed_again(catalog):
    stored = catalog.file(make_record(), make_tree())
    stored.path.unlink()
    with pytest.raises(DamagedFile):
        stored.tree()
    assert catalog.find(stored.fit_key) is None
    assert len(catalog) == 0
    again = catalog.file(make_record(), make_tree())
    assert again.run_id != stored.run_id
    assert len(catalog) == 1


def test_a_file_without_a_row_is_entered(catalog, location):
    stored = catalog.file(make_record(), make_tree())
    location.unlink()
    assert Catalog(location).find(stored.fit_key) == stored
    assert len(Catalog(location)) == 1


def test_a_damaged_file_without_a_row_is_set_aside_with_the_reason(catalog, location):
    stored = catalog.file(make_record(), make_tree())
    location.unlink()
    stored.path.write_bytes(b"x" * 100)
    assert catalog.find(stored.fit_key) is None
    assert not stored.path.exists()
    assert {path.suffix for path in catalog.layout.quarantine.iterdir()} == {".nc", ".txt"}


@pytest.mark.parametrize("key", ["", "x" * 64, "../" + "a" * 61, "A" * 64, "a" * 64 + "\n", None])
def test_what_is_no_key_is_refused(catalog, key):
    with pytest.raises(CatalogError, match="64 hexadecimal"):
        catalog.find(key)


def test_a_folder_is_no_catalogue(tmp_path):
    with pytest.raises(CatalogError, match=r"is a folder.*\n.*catalog\.sqlite"):
        Catalog(tmp_path)


def test_a_catalogue_that_must_exist_is_asked_for(location):
    catalog = Catalog(location, create=False)
    for use in (len, list, lambda c: c.find(make_key(0))):
        with pytest.raises(CatalogError, match="no catalogue at"):
            use(catalog)


@pytest.mark.parametrize("place", ["plain/x.sqlite", "plain/deep/x.sqlite", "/proc/nowhere/x.sqlite"])
def test_an_unwritable_place_is_told_before_anything_is_done(tmp_path, place):
    (tmp_path / "plain").write_text("a file, not a folder")
    catalog = Catalog(tmp_path / place)
    with pytest.raises(CatalogError, match="Nothing can be written"):
        catalog.check_writable()
    with pytest.raises(CatalogError, match="Nothing can be written"):
        catalog.file(make_record(), make_tree())
    assert [path.name for path in tmp_path.iterdir()] == ["plain"]


def test_a_folder_without_permission_is_told(tmp_path, monkeypatch):
    def refuse(*arguments):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.open", refuse)
    with pytest.raises(CatalogError, match="Permission denied"):
        Catalog(tmp_path / "x.sqlite").check_writable()


def make_database(path, *statements):
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    connection.close()


def test_another_database_is_left_alone(location):
    make_database(location, "CREATE TABLE precious (a)")
    before = location.read_bytes()
    catalog = Catalog(location)
    for use in (len, Catalog.check_writable, lambda c: c.file(make_record(), make_tree())):
        with pytest.raises(CatalogError, match="not a catalogue of classy_pm"):
            use(catalog)
    assert location.read_bytes() == before


def test_a_catalogue_of_the_future_is_refused_in_words(location):
    number = int.from_bytes(b"CLPY")
    make_database(
        location, "CREATE TABLE t (a)", f"PRAGMA application_id = {number}", "PRAGMA user_version = 99"
    )
    for use in (len, Catalog.check_writable, lambda c: c.file(make_record(), make_tree())):
        with pytest.raises(CatalogVersionError, match=r"schema 99.*\n?.*\nUpgrade"):
            use(Catalog(location))


def test_a_damaged_index_beside_its_fits_is_told_with_the_cure(catalog, location):
    catalog.file(make_record(), make_tree())
    catalog.close()
    location.write_bytes(b"garbage" * 1000)
    with pytest.raises(DamagedFile, match="rebuild"):
        len(Catalog(location))


USES = {
    "len": len,
    "find": lambda catalog: catalog.find(make_key(0)),
    "check_writable": Catalog.check_writable,
    "file": lambda catalog: catalog.file(make_record(), make_tree()),
    "recover": Catalog.recover,
    "import": lambda catalog: catalog.import_folder(catalog.location.parent / "from"),
}


@pytest.mark.parametrize("text", ["x", "dear diary\n", "dear diary\n" * 1000])
@pytest.mark.parametrize("use", USES)
def test_an_ordinary_file_is_no_catalogue_and_is_left_alone(tmp_path, monkeypatch, use, text):
    monkeypatch.chdir(tmp_path)
    notes = Path("notes.txt")
    notes.write_text(text)
    Catalog("from/other.sqlite").file(make_record(), make_tree())
    before = sorted(tmp_path.rglob("*"))
    for options in ({}, {"read_only": True}) if use in ("len", "find") else ({},):
        with pytest.raises(CatalogError) as caught:
            USES[use](Catalog("notes.txt", **options))
        assert str(caught.value) == "'notes.txt' is not a catalogue (not a sqlite file).\nGive another path."
    with pytest.raises(CatalogError, match="no fit"):
        Catalog("notes.txt").rebuild()
    assert notes.read_text() == text
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("location", [123, True, b"x", None, 1.5, ["a"], "a\0b"])
def test_what_is_no_path_is_refused_with_what_to_write(location):
    with pytest.raises(CatalogError, match=r"is not the path of a catalogue.\nWrite a str or a pathlib.Path"):
        Catalog(location)


def test_a_row_that_cannot_be_written_leaves_a_complete_file_that_is_found_later(catalog, monkeypatch):
    def fail(*arguments):
        raise sa.exc.OperationalError("INSERT", None, Exception("database or disk is full"))

    with monkeypatch.context() as patch:
        patch.setattr(rows, "insert_children", fail)
        with pytest.raises(CatalogError, match="disk is full"):
            catalog.file(make_record(), make_tree())
        assert len(catalog) == 0
    stored = catalog.find(make_key(0))
    xr.testing.assert_identical(stored.tree(), make_tree())
    assert len(catalog) == 1


def test_a_result_that_cannot_be_filed_leaves_no_row_and_no_file(catalog, location):
    tree = xr.DataTree.from_dict({"posterior": xr.Dataset({"z": ("x", [1j])})})
    with pytest.raises(CatalogError, match="complex"):
        catalog.file(make_record(), tree)
    assert list(location.parent.iterdir()) == []


def test_hostile_texts_are_texts(catalog):
    texts = [
        "O'Brien",
        "zzz' OR '1'='1",
        '"; DROP TABLE fit; --',
        "%_\\",
        "\u202eevil",
        "x" * 10_000,
        ":name",
    ]
    for number, text in enumerate(texts):
        catalog.file(
            make_record(number, name=text, unique_tag=text, tags=(text,), info={text: text}), make_tree()
        )
    assert [(stored.name, stored.unique_tag, stored.info) for stored in catalog] == [
        (text, text, {text: text}) for text in texts
    ]


def test_several_threads_may_file_in_one_catalogue(catalog):
    def work(start):
        for number in range(start, start + 4):
            catalog.file(make_record(number), make_tree(number))

    threads = [threading.Thread(target=work, args=(4 * index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(catalog) == 16
    for stored in catalog:
        xr.testing.assert_identical(stored.tree(), make_tree(stored.info["index"]))


def test_the_handle_has_every_column_of_the_table():
    names = {item.name for item in fields(StoredFit)}
    assert {column.name for column in tables.fit.columns} == names - {"catalog"}


def test_the_tables_are_strict_and_the_file_is_marked_as_ours(catalog, location):
    catalog.file(make_record(), make_tree())
    connection = sqlite3.connect(location)
    try:
        assert connection.execute("PRAGMA application_id").fetchone() == (int.from_bytes(b"CLPY"),)
        assert connection.execute("PRAGMA user_version").fetchone() == (tables.SCHEMA_VERSION,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        strict = connection.execute(
            "SELECT name, strict FROM pragma_table_list WHERE type = 'table'"
        ).fetchall()
        assert all(is_strict for name, is_strict in strict if not name.startswith("sqlite"))
        with pytest.raises(sqlite3.IntegrityError):
            connection.execute("UPDATE fit SET nbytes = 'many'")
    finally:
        connection.close()


def test_the_repr_names_the_place(catalog, location):
    assert repr(catalog) == f"Catalog({str(location)!r})"


def test_a_fit_is_found_by_the_beginning_of_its_key(catalog):
    stored = catalog.file(make_record(), make_tree())
    assert catalog.get(stored.fit_key[:6]) == stored
    assert catalog.get(stored.fit_key) == stored
    for wrong in ("", "xyz", "%", "0000000"):
        with pytest.raises(CatalogError, match="begin"):
            catalog.get(wrong)


@pytest.mark.parametrize("why", ["run again", "missing"])
def test_an_iteration_under_way_gives_a_fit_that_is_run_again_once_and_no_other_twice(
    catalog, monkeypatch, why
):
    monkeypatch.setattr("classy_pm.catalog.aggregator.PAGE", 1)
    olds = [catalog.file(make_record(number), make_tree()) for number in range(3)]
    seen = []
    for number, stored in enumerate(catalog):
        seen.append(stored.fit_key)
        if number < 2:
            if why == "missing":
                stored.path.unlink()
            again = make_record(number)
            catalog.file(again, make_tree(1), instead_of=stored.run_id if why == "run again" else None)
            assert catalog.find(stored.fit_key).run_id == again.run_id
    assert seen == [old.fit_key for old in olds]
    assert [stored.id for stored in catalog] == [old.id for old in olds]
    assert not catalog.verify()


def test_a_damaged_run_gives_way_to_another_and_its_file_is_kept(catalog):
    old = catalog.file(make_record(0), make_tree(0))
    damaged = bytearray(old.path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    old.path.write_bytes(damaged)
    with pytest.raises(DamagedFile):
        old.tree()
    with catalog.claim(old.fit_key, instead_of=old.run_id) as found:
        assert found is None
        catalog.file(make_record(0), make_tree(1), instead_of=old.run_id)
    xr.testing.assert_identical(catalog.find(old.fit_key).tree(), make_tree(1))
    assert (catalog.layout.quarantine / old.path.name).read_bytes() == damaged


def test_every_catalogue_in_a_folder_has_files_of_its_own(tmp_path):
    names = ["z0.5", "z0.7", "z0.sqlite", "z0", "z0.db", "z0.5.sqlite", "survey.sqlite"]
    folders = {name: Catalog(tmp_path / name).layout.files.name for name in names}
    assert len(set(folders.values())) == len(names)
    assert (folders["survey.sqlite"], folders["z0.5"]) == ("survey.files", "z0.5-files")
    for number, name in enumerate(names):
        Catalog(tmp_path / name).file(make_record(number), make_tree(number))
    for number, name in enumerate(names):
        with Catalog(tmp_path / name) as catalog:
            assert catalog.layout.files.name == folders[name]
            (stored,) = catalog
            xr.testing.assert_identical(stored.tree(), make_tree(number))
            assert not catalog.verify()


def test_a_catalogue_made_before_is_found_with_its_files(catalog, location, tmp_path):
    catalog.file(make_record(), make_tree())
    catalog.close()
    location.rename(tmp_path / "z0.5")
    catalog.layout.files.rename(tmp_path / "z0.files")
    with Catalog(tmp_path / "z0.5") as old, Catalog(tmp_path / "z0.7") as new:
        assert len(old) == 1 and not old.verify()
        assert new.layout.files.name == "z0.7-files"


AWAY = {
    "find": lambda c: c.find(make_key(0)),
    "recover": lambda c: c.recover(),
    "verify": lambda c: c.verify(),
    "rebuild": lambda c: c.rebuild(),
    "check": lambda c: c.check_writable(),
    "file": lambda c: c.file(make_record(9), make_tree()),
    "many": lambda c: c.file_many([(make_record(9), make_tree())]),
    "tag": lambda c: c.tag(make_key(0), "good"),
    "tree": lambda c: next(iter(c)).tree(),
    "import": lambda c: c.import_folder(c.location.parent),
    "claim": lambda c: c.claim(make_key(9)).__enter__(),
    "read only": lambda c: Catalog(c.location, read_only=True).find(make_key(0)),
}


@pytest.mark.parametrize("use", AWAY)
@pytest.mark.parametrize("how", ["gone", "empty"])
def test_files_on_a_disk_that_is_not_mounted_are_an_error_and_mark_no_fit(catalog, location, use, how):
    for number in range(2):
        catalog.file(make_record(number), make_tree())
    catalog.close()
    kept = location.with_name("kept")
    catalog.layout.files.rename(kept)
    if how == "empty":
        catalog.layout.fits.mkdir(parents=True)
    with pytest.raises(CatalogError, match=r"are not in .*fits|no fit in"):
        AWAY[use](Catalog(location))
    assert len(Catalog(location)) == 2, "what the index tells can still be asked"
    shutil.rmtree(catalog.layout.files, ignore_errors=True)
    kept.rename(catalog.layout.files)
    assert not Catalog(location).verify()


def test_texts_that_cannot_be_filed_are_refused_before_a_fit_is_run(catalog):
    for about in ({"name": "a\0b"}, {"unique_tag": "\ud800"}):
        with pytest.raises(CatalogError, match=r"NUL|surrogate"), catalog.claim(make_key(0), about=about):
            pytest.fail("it would be run")
    assert not catalog.layout.files.exists()


def test_notes_that_are_given_with_a_fit_that_is_here_are_kept(catalog):
    stored = catalog.file(make_record(0, info={"survey": "SLACS", "quality": "?"}), make_tree())
    assert catalog.keep_info(stored, {"survey": "SLACS"}) == []
    assert catalog.keep_info(stored, {"survey": "BELLS", "band": "g"}) == ["survey", "band"]
    stored.note("quality", "good")
    assert catalog.keep_info(stored, {"quality": "?"}) == [], (
        "a note by hand outlives the call that it is after"
    )
    assert stored.info == {"survey": "BELLS", "band": "g", "quality": "good"}
    agg = Aggregator(catalog)
    assert len(agg.query(agg.info["band"] == "g")) == 1
    with Catalog(catalog.location, read_only=True) as reader:
        assert reader.keep_info(stored, {"band": "g"}) == []
        with pytest.raises(CatalogError, match="read_only"):
            reader.keep_info(stored, {"band": "r"})
    with pytest.raises(CatalogError, match="cannot be kept"):
        catalog.keep_info(stored, {"a": object()})


def test_what_the_last_call_says_counts_unless_it_was_changed_by_hand_after_it(catalog):
    stored = catalog.file(make_record(0, info={"z": 1}), make_tree())

    def after(*steps):
        for step in steps:
            stored.note("z", step[1]) if isinstance(step, tuple) else catalog.keep_info(stored, {"z": step})
        return stored.info["z"]

    assert after(2) == 2
    assert after(1) == 1
    assert after(("by hand", 5)) == 5
    assert after(1) == 5, "this was said before"
    assert after(2) == 2
    assert after(("by hand", 3), 3, 2) == 2
    stored.unnote("z")
    assert catalog.keep_info(stored, {"z": 2}) == [] and "z" not in stored.info
    assert catalog.keep_info(stored, {"z": 4}) == ["z"]
    catalog.rebuild()
    assert stored.info["z"] == 4


@pytest.mark.parametrize("by_hand", [True, False])
def test_what_a_new_run_was_filed_with_was_said_by_a_call(catalog, by_hand):
    old = make_record(0, info={"a": 1})
    stored = catalog.file(old, make_tree())
    catalog.keep_info(stored, {"a": 3})
    stored.note("a", 2)
    stored = catalog.file(make_record(0, info={"a": 2}), make_tree(1), instead_of=old.run_id)
    if by_hand:
        stored.note("a", 5)
        assert catalog.keep_info(stored, {"a": 2}) == [] and stored.info == {"a": 5}
    assert catalog.keep_info(stored, {"a": 3}) == ["a"] and stored.info == {"a": 3}
    catalog.rebuild()
    assert stored.info == {"a": 3}


def test_notes_and_tags_of_a_run_are_those_of_the_run_that_takes_its_place(catalog):
    info = {"survey": "A", "z": 1, "by hand": 1, "gone": 1, "kept": 1}
    old = catalog.file(make_record(0, info=info, tags=("birth", "bad")), make_tree())
    old.note("by hand", 5)
    old.note("kept", 5)
    old.unnote("gone")
    old.tag("good")
    old.untag("bad")
    new = make_record(0, info={"z": 2, "by hand": 3, "kept": 1}, tags=("new",))
    stored = catalog.file(new, make_tree(1), instead_of=old.run_id)
    assert stored.run_id == new.run_id
    expected = {"survey": "A", "z": 2, "by hand": 3, "kept": 5}
    for _ in range(2):
        for handle in (stored, old):  # also one from before
            assert handle.info == expected
            assert handle.tags == ["birth", "good", "new"]
        catalog.rebuild()
    third = catalog.file(make_record(0, info={}), make_tree(2), instead_of=stored.run_id)
    assert (third.info, third.tags) == (expected, ["birth", "good", "new"])
    assert catalog.keep_info(third, {"kept": 1}) == []


def test_notes_of_a_damaged_run_are_kept_by_the_run_that_takes_its_place(catalog):
    old = catalog.file(make_record(0, info={"survey": "A"}, tags=("birth",)), make_tree())
    old.path.write_bytes(bytes(old.nbytes))
    stored = catalog.file(make_record(0, info={}), make_tree(1), instead_of=old.run_id)
    assert (stored.info, stored.tags) == ({"survey": "A"}, ["birth"])
