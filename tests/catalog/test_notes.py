"""Tags and notes of later: found at once, lost by no rebuild, and written by many at the same time."""

import multiprocessing
import os

import pytest
from builders import make_key, make_record, make_tree

from classy_pm.catalog import Aggregator, Catalog, notes
from classy_pm.errors import CatalogError, ClassyError

CONTEXT = multiprocessing.get_context("forkserver")
HOSTILE = [
    "O'Brien",
    "zzz' OR '1'='1",
    '"; DROP TABLE tag; --',
    "%_\\",
    "\u202eevil",
    "a\nb",
    "}{",
    "x" * 1000,
]


@pytest.fixture
def stored(catalog):
    return catalog.file(
        make_record(0, tags=("birth", "doubtful"), info={"survey": "SLACS", "old": 1}), make_tree()
    )


def state(stored):
    return sorted(stored.tags), stored.info


def change_all(stored):
    stored.tag("good", "best")
    stored.untag("doubtful", "best", "never there")
    stored.note("redshift", 0.5)
    stored.note("redshift", 0.75)
    stored.note("seen by", ["Ann", None])
    stored.unnote("old")


AFTER = (["birth", "good"], {"survey": "SLACS", "redshift": 0.75, "seen by": ["Ann", None]})


def test_later_tags_and_notes_are_found(catalog, stored):
    change_all(stored)
    assert state(stored) == AFTER
    agg = Aggregator(catalog)
    assert len(agg.query(agg.tagged("good"), agg.info["redshift"] > 0.7)) == 1
    assert len(agg.query(agg.tagged("doubtful"))) == 0
    catalog.tag(stored.fit_key[:8], "by its key")
    assert "by its key" in stored.tags
    assert stored.record.tags == ("birth", "doubtful"), "what was filed stays what it was"


def test_a_rebuild_and_a_recovery_lose_none(catalog, stored, location):
    change_all(stored)
    catalog.close()
    location.unlink()
    catalog.rebuild()
    assert state(catalog.find(stored.fit_key)) == AFTER
    with catalog.database.writing() as connection:
        connection.exec_driver_sql("DELETE FROM tag")
        connection.exec_driver_sql("DELETE FROM info WHERE key = 'redshift'")
    catalog.recover()
    assert state(catalog.find(stored.fit_key))[1] == AFTER[1]
    assert catalog.find(stored.fit_key).tags == ["good"]


def test_they_stay_with_a_fit_whose_file_was_lost_and_that_is_run_again(catalog, stored):
    change_all(stored)
    stored.path.unlink()
    again = catalog.file(make_record(0), make_tree())
    assert "good" in again.tags and again.info["redshift"] == 0.75


@pytest.mark.parametrize("torn", [b'{"fit_key":"', b"\xff\xfe", b"{}", b"[" * 1000, b'{"fit_key":"x"}\n{'])
def test_half_a_line_is_ended_and_ignored(catalog, stored, location, torn):
    stored.tag("before")
    with notes.path_in(catalog.layout.files).open("ab") as stream:
        stream.write(torn)
    stored.tag("after")
    catalog.close()
    location.unlink()
    catalog.rebuild()
    assert catalog.find(stored.fit_key).tags == ["after", "before", "birth", "doubtful"]


def tag_many(location, start):
    with Catalog(location) as catalog:
        fit = next(iter(catalog))
        for number in range(start, start + 10):
            fit.tag(f"tag {number}")
            fit.note("last", number)


def test_many_may_write_at_the_same_time(catalog, stored, location):
    processes = [CONTEXT.Process(target=tag_many, args=(location, 10 * index)) for index in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    assert len(stored.tags) == 42
    before = state(stored)
    catalog.close()
    location.unlink()
    catalog.rebuild()
    assert state(catalog.find(stored.fit_key)) == before


def test_a_note_that_was_not_entered_is_entered_with_the_next(catalog, stored):
    """A process may die between the line and the row."""
    notes.append(catalog.layout, [notes.Change(stored.fit_key, "tag", "from the dead")])
    assert "from the dead" not in stored.tags
    stored.tag("next")
    assert {"from the dead", "next"} <= set(stored.tags)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_are_texts(catalog, stored, location, text):
    stored.tag(text)
    stored.note(text, text)
    catalog.close()
    location.unlink()
    catalog.rebuild()
    agg = Aggregator(catalog)
    assert len(agg.query(agg.tagged(text), agg.info[text] == text)) == 1


MISTAKES = {
    "no text": lambda c, fit: fit.tag(3),
    "too long a tag": lambda c, fit: fit.tag("x" * 1001),
    "too long a key": lambda c, fit: fit.note("é" * 501, 1),
    "a NUL": lambda c, fit: fit.tag("a\0b"),
    "a NUL in a note": lambda c, fit: fit.note("a", "a\0b"),
    "half a character": lambda c, fit: fit.note("\ud800", 1),
    "an object": lambda c, fit: fit.note("a", object()),
    "an unknown fit": lambda c, fit: c.tag("f" * 64, "a"),
    "a catalogue that is only read": lambda c, fit: Catalog(c.location, read_only=True).tag(fit, "a"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_what_cannot_be_kept_leaves_nothing(catalog, stored, mistake):
    before = state(stored)
    with pytest.raises(ClassyError):
        MISTAKES[mistake](catalog, stored)
    assert state(stored) == before
    assert not notes.path_in(catalog.layout.files).exists()


def test_a_link_in_place_of_the_notes_is_neither_read_nor_written(catalog, stored, tmp_path):
    (tmp_path / "mine").write_text("precious\n")
    notes.path_in(catalog.layout.files).symlink_to(tmp_path / "mine")
    for use in (lambda: stored.tag("a"), lambda: notes.read(catalog.layout.files)):
        with pytest.raises(CatalogError):
            use()
    assert (tmp_path / "mine").read_text() == "precious\n"
    notes.path_in(catalog.layout.files).unlink()
    os.mkfifo(notes.path_in(catalog.layout.files))
    with pytest.raises(CatalogError, match="regular file"):
        notes.read(catalog.layout.files)


@pytest.mark.parametrize("by", ["zip", "folder"])
def test_they_go_along_when_fits_are_handed_over(catalog, stored, tmp_path, by):
    change_all(stored)
    other = catalog.file(make_record(1), make_tree())
    other.tag("not exported")
    with Catalog(tmp_path / "other" / "mine.sqlite") as mine:

        def take():
            if by == "folder":
                return mine.import_folder(catalog.layout.files)
            catalog.export(tmp_path / f"{len(mine)}.zip", [stored])
            return mine.import_zip(tmp_path / f"{len(mine)}.zip")

        assert not take().set_aside
        fit = mine.find(stored.fit_key)
        assert state(fit) == AFTER
        fit.untag("good")
        take()
        assert fit.tags == ["birth"], "those of a fit that was here already are the receiver's own"
        mine.close()
        mine.location.unlink()
        mine.rebuild()
        assert mine.find(make_key(0)).tags == ["birth"]
