"""A process may die between any two steps: no finished fit is lost, and no debris stays."""

import contextlib
import multiprocessing
import os
import random
import signal
import sqlite3
import time

import pytest
import sqlalchemy as sa
import xarray as xr
from builders import make_key, make_record, make_tree

from classy_pm.catalog import Catalog, DamagedFile, files, filing, layout, recovery, tables
from classy_pm.catalog.faults import STEPS
from classy_pm.errors import CatalogError

#: Starts processes that have everything imported already.
CONTEXT = multiprocessing.get_context("forkserver")

#: The soak of a minute is for those who ask for it: CLASSY_PM_SOAK=1 make test ARGS="-k kills".
LONG = pytest.mark.skipif("CLASSY_PM_SOAK" not in os.environ, reason="set CLASSY_PM_SOAK=1 for the long soak")


def file_one(location, number, step):
    os.environ["CLASSY_PM_FAILPOINT"] = step
    Catalog(location).file(make_record(number), make_tree(number))


def run(location, number, step):
    process = CONTEXT.Process(target=file_one, args=(location, number, step))
    process.start()
    process.join()
    return process.exitcode


def everything(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def dump(catalog):
    """All rows of all tables, under names that do not depend on the order of entry."""
    rows = {}
    with catalog.database.reading() as connection:
        fits = dict(connection.execute(sa.select(tables.fit.c.id, tables.fit.c.fit_key)).all())
        classes = {row.id: tuple(row)[1:] for row in connection.execute(sa.select(tables.class_))}
        for name, table in tables.metadata.tables.items():
            if name in ("meta", "class"):
                continue
            found = []
            for row in connection.execute(sa.select(table)).mappings():
                line = dict(row)
                line.pop("id", None)
                line["fit_id"] = fits.get(line.get("fit_id"))
                line["class_id"] = classes.get(line.get("class_id"))
                found.append(line)
            rows[name] = sorted(found, key=repr)
    return rows


@pytest.mark.parametrize("step", STEPS)
def test_a_process_killed_at_any_step_leaves_nothing_to_worry_about(location, step):
    Catalog(location).file(make_record(0), make_tree(0))
    assert run(location, 1, step) == -signal.SIGKILL
    finished = STEPS.index(step) >= STEPS.index("named")

    catalog = Catalog(location)
    assert len(catalog) == 1 + finished, "opening finds and finishes, or removes"
    assert not list(catalog.layout.pending.iterdir())
    assert len(list(catalog.layout.fits.rglob("*.nc"))) == 1 + finished
    if finished:
        xr.testing.assert_identical(catalog.find(make_key(1)).tree(), make_tree(1))

    again = catalog.file(make_record(1), make_tree(1))
    xr.testing.assert_identical(again.tree(), make_tree(1))
    assert len(catalog) == 2
    assert len(list(catalog.layout.fits.rglob("*.nc"))) == 2
    assert not catalog.verify()


def file_again(location, instead_of, step):
    os.environ["CLASSY_PM_FAILPOINT"] = step
    Catalog(location).file(make_record(0), make_tree(1), instead_of=instead_of)


@pytest.mark.parametrize("step", STEPS)
def test_a_process_killed_while_one_run_takes_the_place_of_another_leaves_one_of_them(location, step):
    with Catalog(location) as catalog:
        old = catalog.file(make_record(0), make_tree(0))
    process = CONTEXT.Process(target=file_again, args=(location, old.run_id, step))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL

    catalog = Catalog(location)
    (stored,) = catalog
    taken = STEPS.index(step) >= STEPS.index("committed")
    assert (stored.run_id != old.run_id) == taken
    xr.testing.assert_identical(stored.tree(), make_tree(taken))
    assert not list(catalog.layout.pending.iterdir())
    assert len(list(catalog.layout.fits.rglob("*.nc"))) == 1, "also right after a rebuild"
    again = catalog.file(make_record(0), make_tree(2), instead_of=stored.run_id)
    xr.testing.assert_identical(again.tree(), make_tree(2))
    assert not catalog.verify()


@pytest.mark.parametrize("index", ["sound", "lost", "damaged"])
@pytest.mark.parametrize("step", STEPS)
def test_a_rebuild_after_a_kill_brings_no_old_run_back(location, step, index):
    with Catalog(location) as catalog:
        old = catalog.file(make_record(0), make_tree(0))
    process = CONTEXT.Process(target=file_again, args=(location, old.run_id, step))
    process.start()
    process.join()
    for suffix in ("", "-wal", "-shm"):
        if index == "lost":
            location.with_name(location.name + suffix).unlink(missing_ok=True)
    if index == "damaged":
        location.write_bytes(location.read_bytes()[:4096] + b"x" * 4096)
    catalog = Catalog(location)
    catalog.rebuild()
    (stored,) = catalog
    taken = STEPS.index(step) >= STEPS.index("committed" if index == "sound" else "named")
    assert (stored.run_id != old.run_id) == taken
    xr.testing.assert_identical(stored.tree(), make_tree(taken))
    assert len(list(catalog.layout.fits.rglob("*.nc"))) == 1
    assert not catalog.verify().damaged


def test_a_recovery_while_one_run_takes_the_place_of_another_loses_neither(catalog, monkeypatch):
    """The recovery sees a second file of a fit that has its row, and sets it aside: too early."""
    old = catalog.file(make_record(0), make_tree(0))
    enter = filing.enter

    def late(database, place, record, written, **options):
        monkeypatch.setattr(filing, "enter", enter)
        assert len(Catalog(catalog.location).recover().set_aside) == 1
        assert not written.path.exists()
        return enter(database, place, record, written, **options)

    monkeypatch.setattr(filing, "enter", late)
    new = catalog.file(make_record(0), make_tree(1), instead_of=old.run_id)
    xr.testing.assert_identical(new.tree(), make_tree(1))
    assert len(catalog) == 1 and not old.path.exists()
    assert old.path.name in everything(catalog.layout.quarantine)
    assert not catalog.verify()


def test_opening_does_not_touch_what_a_living_process_is_writing(location, catalog):
    catalog.file(make_record(0), make_tree())
    mine = catalog.layout.part_path(make_key(1), "1" * 32)
    mine.write_bytes(b"half")
    assert len(Catalog(location)) == 1
    assert not catalog.recover()
    assert mine.exists()


def test_parts_of_other_machines_are_left_until_they_are_old(location, catalog):
    catalog.file(make_record(0), make_tree())
    name = f"{make_key(1)}-{'1' * 32}.elsewhere.0-1.1.part"
    part = catalog.layout.pending / name
    part.write_bytes(b"half")
    assert not catalog.recover()
    os.utime(part, (time.time() - 8 * 86400,) * 2)
    assert catalog.recover().removed == [name]
    assert not part.exists()


def test_a_recovery_between_naming_and_commit_does_not_set_the_fit_aside(catalog, monkeypatch):
    """The run decides who won, not who inserted the row; see `filing.enter`."""
    enter = filing.enter

    def late(database, place, record, written, **options):
        monkeypatch.setattr(filing, "enter", enter)
        assert Catalog(catalog.location).recover().adopted == [record.fit_key]
        return enter(database, place, record, written, **options)

    monkeypatch.setattr(filing, "enter", late)
    stored = catalog.file(make_record(), make_tree())
    assert stored.path.exists()
    assert len(catalog) == 1
    assert not catalog.layout.quarantine.exists()


def test_the_later_of_two_runs_that_raced_is_set_aside_with_the_reason(catalog, monkeypatch):
    first = make_record()
    enter = filing.enter

    def late(database, place, record, written, **options):
        monkeypatch.setattr(filing, "enter", enter)
        enter(database, place, first, files.write_fit(place, first, make_tree()))
        return enter(database, place, record, written, **options)

    monkeypatch.setattr(filing, "enter", late)
    second = make_record()
    assert catalog.file(second, make_tree()).run_id == first.run_id
    assert any(
        second.run_id in name and name.endswith(".nc") for name in everything(catalog.layout.quarantine)
    )
    assert len(list(catalog.layout.fits.rglob("*.nc"))) == 1


def test_files_copied_into_the_folder_are_adopted(catalog, tmp_path):
    other = Catalog(tmp_path / "other.sqlite")
    for number in range(3):
        other.file(make_record(number), make_tree(number))
    other.layout.files.rename(catalog.layout.files)
    assert sorted(catalog.recover().adopted) == sorted(make_key(number) for number in range(3))
    assert len(catalog) == 3
    assert not catalog.recover(), "twice is as once"


def test_a_file_under_a_wrong_name_is_set_aside(catalog):
    stored = catalog.file(make_record(0), make_tree())
    wrong = stored.path.with_name(f"{stored.fit_key[:2] + 'f' * 62}-{stored.run_id}.nc")
    wrong.write_bytes(stored.path.read_bytes())
    odd = stored.path.with_name("notes.txt")
    odd.write_text("mine")
    report = catalog.recover()
    assert sorted(report.set_aside) == sorted([wrong.name, odd.name])
    assert len(catalog) == 1
    assert (catalog.layout.quarantine / "notes.txt").read_text() == "mine"


def test_a_file_that_is_gone_is_told_and_taken_back_when_it_returns(catalog, tmp_path):
    stored = catalog.file(make_record(), make_tree())
    away = stored.path.rename(tmp_path / "away.nc")
    assert catalog.recover().missing == [stored.fit_key]
    assert len(catalog) == 0
    away.rename(stored.path)
    assert catalog.recover().adopted == [stored.fit_key]
    assert catalog.find(stored.fit_key) == stored


@pytest.mark.parametrize("look", [lambda c, key: c.find(key), lambda c, key: c.recover()])
def test_a_file_that_has_grown_is_not_taken_for_another(catalog, look):
    stored = catalog.file(make_record(), make_tree())
    with stored.path.open("ab") as stream:
        stream.write(b"more")
    look(catalog, stored.fit_key)
    assert not stored.path.exists()
    assert catalog.find(stored.fit_key) is None
    assert stored.path.name in everything(catalog.layout.quarantine)
    assert len(catalog) == 0


def test_verify_finds_one_flipped_bit_and_the_rest_stays_readable(catalog):
    for number in range(3):
        catalog.file(make_record(number), make_tree(number))
    bad = catalog.find(make_key(1))
    data = bytearray(bad.path.read_bytes())
    data[len(data) // 2] ^= 1
    bad.path.write_bytes(data)
    assert catalog.verify().damaged == [bad.fit_key]
    assert not bad.path.exists()
    assert [stored.info["index"] for stored in catalog] == [0, 2]
    for stored in catalog:
        stored.tree()
    assert catalog.find(bad.fit_key) is None, "it may be run again"
    catalog.file(make_record(1), make_tree(1))
    assert not catalog.verify()


def test_a_rebuilt_index_is_the_original(catalog, location):
    for number in range(4):
        catalog.file(make_record(number, tags=("a", "b")), make_tree(number)).tag(f"later {number}")
    catalog.note(make_key(2), "survey", "another")
    catalog.untag(make_key(3), "a")
    before = dump(catalog)
    location.unlink()
    report = Catalog(location).rebuild()
    assert len(report.adopted) == 4
    assert dump(Catalog(location)) == before


@pytest.mark.parametrize("damage", ["garbage", "truncated", "zeroed page"])
def test_a_damaged_index_is_rebuilt(catalog, location, damage):
    for number in range(4):
        catalog.file(make_record(number), make_tree(number))
    before = dump(catalog)
    data = bytearray(location.read_bytes())
    if damage == "garbage":
        data[:] = b"garbage" * 1000
    elif damage == "truncated":
        del data[len(data) // 2 :]
    else:
        data[4096 : 3 * 4096] = bytes(2 * 4096)
    location.write_bytes(data)
    with pytest.raises(DamagedFile, match="rebuild"):
        Catalog(location).verify()
    with Catalog(location) as fresh:
        fresh.rebuild()
        assert dump(fresh) == before
        assert not fresh.verify()
    aside = location.with_name("catalog.sqlite.set-aside-1")
    assert aside.read_bytes() == data
    assert sorted(location.parent.iterdir()) == sorted([catalog.layout.files, location, aside])


def test_a_rebuild_replaces_a_sound_index_and_leaves_nothing_beside_it(catalog, location):
    catalog.file(make_record(), make_tree())
    assert not catalog.rebuild().set_aside
    assert sorted(path.name for path in location.parent.iterdir()) == ["catalog.files", "catalog.sqlite"]


def test_a_rebuild_never_overwrites_a_file_that_is_no_index(catalog, location):
    catalog.file(make_record(), make_tree())
    catalog.close()
    for number in (1, 2):
        location.write_text(f"notes {number}")
        assert Catalog(location).rebuild().set_aside == [f"catalog.sqlite.set-aside-{number}"]
    for number in (1, 2):
        assert location.with_name(f"catalog.sqlite.set-aside-{number}").read_text() == f"notes {number}"
    assert len(Catalog(location)) == 1


def test_a_rebuild_moves_the_database_of_another_program_aside(catalog, location):
    catalog.file(make_record(), make_tree())
    catalog.close()
    location.unlink()
    with contextlib.closing(sqlite3.connect(location)) as connection:
        connection.execute("CREATE TABLE precious (a)")
    (name,) = Catalog(location).rebuild().set_aside
    with contextlib.closing(sqlite3.connect(location.with_name(name))) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("precious",)]


@pytest.mark.parametrize("folder", ["absent", "empty", "without a fit"])
def test_a_rebuild_without_a_fit_is_refused_and_changes_nothing(location, folder):
    catalog = Catalog(location)
    location.write_text("mine")
    if folder != "absent":
        (catalog.layout.fits / "ab").mkdir(parents=True)
    if folder == "without a fit":
        (catalog.layout.fits / "ab" / "notes.nc").write_text("mine")
    before = sorted(location.parent.rglob("*"))
    with pytest.raises(CatalogError, match="There is no fit in"):
        catalog.rebuild()
    assert sorted(location.parent.rglob("*")) == before
    assert location.read_text() == "mine"


def work(location, start, count, delay):
    if delay:
        enter = filing.enter

        def late(*arguments, **options):
            time.sleep(delay)
            return enter(*arguments, **options)

        filing.enter = late
    catalog = Catalog(location)
    tree = make_tree(draws=2)
    for number in range(start, start + count):
        catalog.file(make_record(number), tree)


def start_all(jobs):
    processes = [CONTEXT.Process(target=work, args=job) for job in jobs]
    for process in processes:
        process.start()
    return processes


def test_many_writers_lose_nothing_and_double_nothing(location):
    """Six processes: distinct fits, and five that four of them file at once."""
    processes = start_all(
        [(location, 1000 * index, 5, 0) for index in range(3)] + [(location, 0, 5, 0) for _ in range(3)]
    )
    seen = []
    while any(process.is_alive() for process in processes):
        fits = [stored.fit_key for stored in Catalog(location)]
        assert len(fits) == len(set(fits))
        assert set(seen) <= set(fits), "a reader sees the catalogue grow and nothing else"
        seen = fits
        time.sleep(0.1)
    assert [process.exitcode for process in processes] == [0] * 6
    catalog = Catalog(location)
    assert len(catalog) == 15
    assert len(list(catalog.layout.fits.rglob("*.nc"))) == 15
    assert not list(catalog.layout.pending.iterdir())
    report = catalog.verify()
    assert not (report.missing or report.damaged or report.adopted)


@pytest.mark.parametrize(
    ("writers", "fits", "rounds"),
    [(3, 18, 3), pytest.param(6, 60, 20, marks=[pytest.mark.slow, LONG])],
    ids=["short", "long"],
)
def test_kills_and_recoveries_at_any_moment_lose_no_acknowledged_fit(location, writers, fits, rounds):
    """Writers with a pause before their commit are killed while another process recovers."""
    catalog = Catalog(location)
    rng = random.Random(1)
    for round_ in range(rounds):
        count = fits * (round_ + 1) // rounds
        processes = start_all([(location, 100 * index, count, 0.02) for index in range(writers)])
        deadline = time.monotonic() + 0.8 + 0.6 * rng.random()
        known = set()
        while time.monotonic() < deadline:
            catalog.recover()
            found = {stored.fit_key for stored in catalog}
            assert known <= found
            known = found
        for process in processes:
            process.kill()
            process.join()
        assert known <= {stored.fit_key for stored in catalog}
    for index in range(writers):
        work(location, 100 * index, fits, 0)
    fresh = Catalog(location)
    report = fresh.verify()
    assert not (report.missing or report.damaged)
    assert len(fresh) == writers * fits
    assert len(list(fresh.layout.fits.rglob("*.nc"))) == writers * fits
    assert not list(fresh.layout.pending.iterdir())


def test_the_clock_is_that_of_the_file_system(tmp_path):
    path = tmp_path / "a"
    path.touch()
    os.utime(path, (path.stat().st_mtime - 100,) * 2)
    assert 99 < layout.age(path) < 160
    assert [item.name for item in tmp_path.iterdir()] == ["a"]


def test_reports_are_true_if_they_found_anything():
    assert not recovery.Report(checked=5)
    assert recovery.Report(missing=["a"])
