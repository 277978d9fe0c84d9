"""Many fits are filed together, each as safely as one alone; the same on both engines."""

import gc
import multiprocessing
import os
import signal
import time
import weakref

import numpy as np
import pytest
import xarray as xr
from builders import make_key, make_record, make_tree

from classy_pm.catalog import Catalog, bulk, filing
from classy_pm.catalog.faults import STEPS
from classy_pm.errors import CatalogError

CONTEXT = multiprocessing.get_context("forkserver")


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request, tmp_path):
    if request.param == "sqlite":
        return {"location": tmp_path / "catalog.sqlite"}
    address = request.getfixturevalue("server").new_schema()
    return {"location": address, "files": tmp_path / "catalog.files"}


@pytest.fixture
def catalog(place):
    with Catalog(**place) as catalog:
        yield catalog


def fits(numbers, draws=5):
    for number in numbers:
        yield make_record(number), make_tree(number, draws=draws)


def check(catalog, numbers):
    """Assert that these fits are there, once, with their files, and nothing else is."""
    stored = list(catalog)
    assert sorted(fit.info["index"] for fit in stored) == sorted(numbers)
    for fit in stored:
        number = fit.info["index"]
        xr.testing.assert_identical(fit.tree(), make_tree(number, draws=5))
    assert len(list(catalog.layout.fits.rglob("*.nc"))) == len(stored)
    assert not list(catalog.layout.pending.iterdir())
    assert not catalog.verify()


def test_many_fits_are_filed_in_their_order(catalog, monkeypatch):
    monkeypatch.setattr(filing, "BATCH", 3)
    told = []
    assert catalog.file_many(fits(range(8)), on_filed=told.append) == 8
    assert [len(keys) for keys in told] == [3, 3, 2]
    assert [key for keys in told for key in keys] == [make_key(number) for number in range(8)]
    assert [fit.info["index"] for fit in catalog] == list(range(8))
    check(catalog, range(8))


def test_fits_that_are_there_are_passed_over(catalog):
    first = catalog.file(*next(fits([2])))
    assert catalog.file_many(fits([0, 1, 2, 1, 0, 3])) == 3
    assert catalog.find(make_key(2)) == first
    assert catalog.file_many(fits(range(4))) == 0
    assert catalog.file_many([]) == 0
    check(catalog, range(4))


def test_fits_that_are_named_while_the_index_is_locked_are_entered_later(catalog, monkeypatch):
    def locked(*args, **kwargs):
        raise CatalogError("The index was locked.")

    told = []
    with bulk.Batch(catalog, told.extend) as batch:
        for record, tree in fits(range(3)):
            batch.write(record, tree)
        with monkeypatch.context() as patch:
            patch.setattr(filing, "enter_many", locked)
            with pytest.raises(CatalogError, match="locked"):
                batch.finish()
        assert told == [] and len(catalog) == 0
        for record, tree in fits([2, 3]):  # one of them waits already
            batch.write(record, tree)
    assert told == [make_key(number) for number in range(4)]
    check(catalog, range(4))


def test_a_fit_that_is_there_is_as_safe_as_one_that_was_filed(catalog):
    catalog.file(*next(fits([1])))
    told = []
    with bulk.Batch(catalog, told.extend) as batch:
        for record, tree in fits(range(2)):
            batch.write(record, tree)
    assert sorted(told) == sorted(make_key(number) for number in range(2)) and batch.number == 1


def test_a_fit_whose_file_is_gone_and_a_file_without_a_row_are_seen(catalog, tmp_path):
    catalog.file_many(fits(range(3)))
    catalog.find(make_key(0)).path.unlink()
    orphan = Catalog(tmp_path / "elsewhere.sqlite").file(*next(fits([3])))
    target = catalog.layout.fit_path(orphan.fit_key, orphan.run_id)
    target.parent.mkdir(exist_ok=True)
    orphan.path.rename(target)
    assert catalog.file_many(fits(range(5))) == 2, "the one that is gone, and the last"
    assert catalog.find(make_key(3)).run_id == orphan.run_id
    check(catalog, range(5))


def test_what_came_before_an_exception_is_filed(catalog):
    def broken():
        yield from fits(range(3))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        catalog.file_many(broken())
    check(catalog, range(3))


def test_a_result_that_cannot_be_filed_is_told_after_the_others_are_safe(catalog):
    bad = (make_record(3), xr.DataTree.from_dict({"posterior": xr.Dataset({"z": ("x", [1j])})}))
    with pytest.raises(CatalogError, match="complex"):
        catalog.file_many([*fits(range(3)), bad, *fits([4])])
    check(catalog, range(3))


def test_a_fit_does_not_wait_for_others_that_take_long(catalog, monkeypatch):
    monkeypatch.setattr(bulk, "LONGEST", 0.0)
    told = []

    def slow():
        for number, fit in enumerate(fits(range(3))):
            assert len(told) == number
            yield fit

    catalog.file_many(slow(), on_filed=told.append)
    check(catalog, range(3))


def test_a_fit_may_be_its_summary_alone(catalog):
    catalog.file_many((make_record(number, centre=float(number)), xr.DataTree()) for number in range(3))
    assert [fit.record.parameters[0].median for fit in catalog] == [0.0, 1.0, 2.0]
    assert catalog.find(make_key(0)).tree().equals(xr.DataTree())
    assert len(catalog.rebuild().adopted) == 3


def test_a_catalogue_that_cannot_be_written_is_told_before_anything_is_computed(tmp_path):
    catalog = Catalog(tmp_path / "a.sqlite", read_only=True)
    with pytest.raises(CatalogError, match="read_only"):
        catalog.file_many(pytest.fail("computed") for _ in range(1))


def file_many(place, numbers, step=None):
    if step:
        os.environ["CLASSY_PM_FAILPOINT"] = step
        bulk.LONGEST = 60.0  # all of them in one batch
    with Catalog(**place) as catalog:
        catalog.file_many(fits(numbers))


@pytest.mark.parametrize("step", STEPS)
def test_a_process_killed_at_any_step_leaves_nothing_to_worry_about(tmp_path, step):
    place = {"location": tmp_path / "catalog.sqlite"}
    Catalog(**place).file_many(fits([100]))
    process = CONTEXT.Process(target=file_many, args=(place, range(5), step))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    finished = range(5) if STEPS.index(step) >= STEPS.index("named") else []
    catalog = Catalog(**place)
    check(catalog, [100, *finished])
    catalog.file_many(fits(range(5)))
    check(catalog, [100, *range(5)])


def file_singly(place, numbers):
    tree = make_tree(0, draws=5)
    with Catalog(**place) as catalog:
        for number in numbers:
            catalog.file(make_record(number), tree)


def write_at_once(place, processes, each):
    """File distinct fits in processes, every second one in bulk, while this one reads; return all keys."""
    jobs = [
        ([file_many, file_singly][index % 2], range(index * each, (index + 1) * each))
        for index in range(processes)
    ]
    running = [CONTEXT.Process(target=work, args=(place, numbers)) for work, numbers in jobs]
    for process in running:
        process.start()
    seen = set()
    while any(process.is_alive() for process in running):
        with Catalog(**place) as reader:
            keys = [fit.fit_key for fit in reader]
        assert len(keys) == len(set(keys))
        assert seen <= set(keys), "a reader sees the catalogue grow and nothing else"
        seen = set(keys)
        time.sleep(0.05)
    assert [process.exitcode for process in running] == [0] * processes
    return {make_key(number) for _, numbers in jobs for number in numbers}


@pytest.mark.slow
def test_eight_writers_and_a_reader_lose_nothing_and_double_nothing(catalog, place):
    """The sixteen of the goal, with 200 fits each, are in `benchmarks/bench_catalog.py`."""
    catalog.file(make_record(999_999), make_tree())
    wanted = write_at_once(place, 8, 25) | {make_key(999_999)}
    stored = [fit.fit_key for fit in catalog]
    assert len(stored) == len(wanted)
    assert set(stored) == wanted
    assert len(list(catalog.layout.fits.rglob("*.nc"))) == len(wanted)
    assert not list(catalog.layout.pending.iterdir())
    assert not catalog.layout.quarantine.exists()


def test_trees_are_let_go_once_they_are_written(catalog):
    """A hundred posteriors of a batch are not in memory together."""
    alive = []

    def large():
        for number in range(6):
            draws = np.zeros((2, 5))
            alive.append(weakref.ref(draws))
            gc.collect()  # the nodes of a tree know each other
            assert sum(reference() is not None for reference in alive) <= 2
            data = xr.Dataset({"x": (("chain", "draw"), draws)})
            yield make_record(number), xr.DataTree.from_dict({"posterior": data})

    assert catalog.file_many(large()) == 6
