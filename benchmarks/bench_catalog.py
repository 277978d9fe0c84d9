"""A catalogue of 100,000 fits with 17 parameters each, made by `Catalog.file_many`.

The first 2,000 fits have draws. The others are summaries alone, as of published posteriors: each has its
own NetCDF file with its manifest all the same, and the index cannot tell the two kinds apart. With draws
100,000 files would be 10 GB, and half an hour of writing; set CLASSY_PM_BENCH_DRAWS to as many if you want
them, and CLASSY_PM_BENCH_FITS to another number of fits.

The goals fail the test if they are not reached. Times are medians of repeated runs.
"""

import contextlib
import multiprocessing
import os
import resource
import shutil
import sqlite3
import statistics
import time
import uuid
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import classy_pm as cpm
from classy_pm.catalog import Catalog, FitRecord, ParameterRecord, files, filing, fit_key

FITS = int(os.environ.get("CLASSY_PM_BENCH_FITS", "100000"))
WITH_DRAWS = min(FITS, int(os.environ.get("CLASSY_PM_BENCH_DRAWS", "2000")))
WRITERS, EACH = 16, 200

QUERY = 0.050
FIRST = 0.100
OPENING = 0.100
COMMIT = 0.005
BYTES = 8192
GROWTH = 20.0  # MB
SCAN_RATIO = 4.0  # with 100,000 fits

#: Two components with 17 parameters: a light profile, and an isothermal mass.
PARAMETERS = [
    *(f"lens.bulge.{name}" for name in ("centre_0", "centre_1", "ell_0", "ell_1", "intensity")),
    *(f"lens.bulge.{name}" for name in ("effective_radius", "sersic_index")),
    *(f"lens.mass.{name}" for name in ("centre_0", "centre_1", "ell_0", "ell_1", "einstein_radius")),
    *(f"lens.shear.{name}" for name in ("gamma_1", "gamma_2")),
    *(f"source.bulge.{name}" for name in ("centre_0", "centre_1", "effective_radius")),
]
CLASSES = [f"profiles:{name}" for name in ("Sersic", "Exponential", "DeVaucouleurs", "Core", "Chameleon")]
DeVaucouleurs = type("DeVaucouleurs", (), {"__module__": "profiles"})
#: The question of the query, asked without any index.
SCAN = """
    SELECT count(*) FROM fit NOT INDEXED WHERE +status = 'complete'
    AND +id IN (SELECT fit_id FROM component NOT INDEXED JOIN class ON class.id = class_id
                WHERE +path = ? AND +ref = ?)
    AND +id IN (SELECT fit_id FROM parameter NOT INDEXED
                WHERE +path = ? AND +median > 1.0 AND +median < 1.1)
"""


def make_record(number):
    medians = np.random.default_rng(number).uniform(0.0, 5.0, len(PARAMETERS))
    parameters = tuple(
        ParameterRecord(
            name,
            prior="UniformPrior(lower_limit=0.0, upper_limit=5.0)",
            mean=median,
            median=median,
            sd=0.1,
            ml=median,
            map=median,
            lo1=median - 0.1,
            hi1=median + 0.1,
            lo3=median - 0.3,
            hi3=median + 0.3,
            ess=400.0,
            rhat=1.001,
        )
        for name, median in zip(PARAMETERS, medians.tolist(), strict=True)
    )
    return FitRecord(
        fit_key=fit_key({"number": number}),
        run_id=uuid.uuid4().hex,
        name="lens",
        unique_tag=f"object_{number}",
        search="NUTS",
        components=(
            ("lens", "galaxies:Galaxy"),
            ("lens.bulge", CLASSES[number % len(CLASSES)], ("profiles:LightProfile",)),
            ("lens.mass", "profiles:Isothermal", ("profiles:MassProfile",)),
            ("lens.shear", "profiles:Shear", ("profiles:MassProfile",)),
            ("source", "galaxies:Galaxy"),
            ("source.bulge", "profiles:Sersic", ("profiles:LightProfile",)),
        ),
        parameters=parameters,
        info={"survey": "SLACS", "number": number},
        data_hash=f"{number:064x}",
        log_evidence=-float(number),
        max_rhat=1.001,
        min_ess=400.0,
    )


def make_tree(number):
    rng = np.random.default_rng(number)
    draws = {name: (("chain", "draw"), rng.normal(size=(2, 100))) for name in PARAMETERS}
    posterior = xr.Dataset(draws, coords={"chain": [0, 1], "draw": np.arange(100)})
    return xr.DataTree.from_dict({"posterior": posterior})


def fits(numbers):
    for number in numbers:
        yield make_record(number), make_tree(number) if number < WITH_DRAWS else xr.DataTree()


@pytest.fixture(scope="module")
def survey(tmp_path_factory):
    """The path of the catalogue."""
    folder = tmp_path_factory.mktemp("survey")
    path = folder / "survey.sqlite"
    start = time.perf_counter()
    with Catalog(path) as catalog:
        catalog.file_many(fits(range(WITH_DRAWS)))
        middle = time.perf_counter()
        catalog.file_many(fits(range(WITH_DRAWS, FITS)))
    end = time.perf_counter()
    print(f"\n{WITH_DRAWS} fits with draws: {(middle - start) / WITH_DRAWS * 1e3:.1f} ms each")
    print(f"{FITS - WITH_DRAWS} summaries: {(end - middle) / max(FITS - WITH_DRAWS, 1) * 1e3:.2f} ms each")
    yield path
    shutil.rmtree(folder)


def clock(work, times=9, choose=statistics.median):
    """Return the median time of some calls, and what the last one gave."""
    seconds, result = [], None
    for _ in range(times):
        start = time.perf_counter()
        result = work()
        seconds.append(time.perf_counter() - start)
    return choose(seconds), result


def report(name, value, goal, unit="ms"):
    print(f"{name}: {value:.3g} {unit}, goal {goal:g}")


def test_a_query_by_class_and_range(survey):
    """Count the fits that meet it, and list the handles of all of them."""
    agg = cpm.Aggregator(Catalog(survey))
    radius = agg.lens.bulge.effective_radius
    query = agg.query((agg.lens.bulge == DeVaucouleurs) & (radius > 1.0) & (radius < 1.1))
    seconds, number = clock(lambda: len(query))
    listing, stored = clock(lambda: list(query))  # which counts them first
    print(f"\n{number} of {FITS} fits")
    report("counted", seconds * 1e3, QUERY * 1e3)
    report("listed", listing * 1e3, QUERY * 1e3)
    with contextlib.closing(sqlite3.connect(survey)) as connection:
        values = ("lens.bulge", "profiles:DeVaucouleurs", "lens.bulge.effective_radius")
        scanning, found = clock(lambda: connection.execute(SCAN, values).fetchone()[0], times=3)
    report("full scan", scanning / seconds, SCAN_RATIO, "times the query")
    assert len(stored) == number == found
    assert 0.5 < number / (FITS * 0.2 * 0.02) < 1.5
    assert seconds < QUERY
    assert listing < QUERY
    assert FITS < 100_000 or scanning / seconds > SCAN_RATIO


def test_the_first_result_of_a_stream(survey):
    def first():
        with Catalog(survey, create=False) as catalog:
            return next(iter(cpm.Aggregator(catalog).values("idata")))

    def first_of_query():
        with Catalog(survey, create=False) as catalog:
            agg = cpm.Aggregator(catalog)
            return next(iter(agg.query(agg.lens.bulge == DeVaucouleurs).values("idata")))

    first()  # imports
    seconds, tree = clock(first)
    report("\nfirst of all", seconds * 1e3, FIRST * 1e3)
    queried, _ = clock(first_of_query)
    report("first of a query", queried * 1e3, FIRST * 1e3)
    assert tree["posterior"].sizes["draw"] == 100
    assert seconds < FIRST
    assert queried < FIRST


def memory():
    """Return the memory that this process has now, in MB, and how many descriptors it holds."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6, len(list(Path("/proc/self/fd").iterdir()))


def test_memory_is_flat_while_streaming(survey):
    with Catalog(survey) as catalog:
        stream, seen = cpm.Aggregator(catalog).values("idata"), {}
        for number in range(1, WITH_DRAWS + 1):
            next(stream)
            if number in (200, WITH_DRAWS):
                seen[number] = memory()
        stream.close()
    (before, open_before), (after, open_after) = seen[200], seen[WITH_DRAWS]
    report(f"\ngrowth between result 200 and {WITH_DRAWS}", after - before, GROWTH, "MB")
    assert after - before < GROWTH
    assert open_after == open_before


def test_memory_is_flat_while_all_fits_are_gone_through(survey):
    with Catalog(survey) as catalog:
        seen = {}
        for number, _ in enumerate(cpm.Aggregator(catalog), start=1):
            if number in (1000, FITS):
                seen[number] = memory()
    (before, open_before), (after, open_after) = seen[min(1000, FITS)], seen[FITS]
    report(f"\ngrowth between fit 1000 and {FITS}", after - before, GROWTH, "MB")
    assert after - before < GROWTH
    assert open_after == open_before


def test_opening(survey):
    def opened():
        with Catalog(survey, create=False) as catalog:
            return catalog.find(key)

    key = fit_key({"number": FITS // 2})
    seconds, stored = clock(opened)
    report("\nopened, and a fit found by its identity", seconds * 1e3, OPENING * 1e3)
    counting, number = clock(lambda: len(Catalog(survey)))
    report("opened, and all counted", counting * 1e3, OPENING * 1e3)
    assert stored.unique_tag == f"object_{FITS // 2}"
    assert number >= FITS
    assert seconds < OPENING
    assert counting < OPENING


def test_a_commit(survey):
    """The transaction that enters one fit, from the wish to write until it is committed.

    Alone, closing the only connection also empties sqlite's log into the index and waits for that: no part
    of the commit, and no goal.
    """
    with Catalog(survey) as catalog:
        pairs = [(make_record(FITS + number), make_tree(number)) for number in range(30)]
        written = [files.write_fit(catalog.layout, *pair) for pair in pairs]
        jobs = iter(zip(pairs, written, strict=True))

        def enter():
            (record, _), file = next(jobs)
            filing.enter(catalog.database, catalog.layout, record, file)
            catalog.layout.part_path(record.fit_key, record.run_id).unlink()

        alone, _ = clock(enter, times=15)
        with catalog.database.kept_open():
            together, _ = clock(enter, times=15)
    print(f"\nwith the closing of the only connection: {alone * 1e3:.3g} ms")
    report("commit, as in `file_many`", together * 1e3, COMMIT * 1e3)
    assert together < COMMIT


def test_bytes_of_a_fit_in_the_index(survey):
    Catalog(survey).close()
    size = sum(
        Path(f"{survey}{end}").stat().st_size for end in ("", "-wal") if Path(f"{survey}{end}").exists()
    )
    report("\nindex", size / FITS, BYTES, "bytes a fit")
    assert size / FITS < BYTES


def file_all(path, numbers):
    with Catalog(path) as catalog:
        for number in numbers:
            catalog.file(make_record(number), make_tree(number))


def test_sixteen_writers_of_200_fits_and_a_reader(tmp_path):
    """None lost, none double, and nobody is told that the index is locked."""
    context = multiprocessing.get_context("spawn")
    path, start = tmp_path / "shared.sqlite", time.perf_counter()
    jobs = [range(EACH * index, EACH * (index + 1)) for index in range(WRITERS)]
    processes = [context.Process(target=file_all, args=(path, numbers)) for numbers in jobs]
    for process in processes:
        process.start()
    seen, looks = set(), 0
    while any(process.is_alive() for process in processes):
        keys = [fit.fit_key for fit in Catalog(path)]
        assert len(keys) == len(set(keys))
        assert seen <= set(keys)
        seen, looks = set(keys), looks + 1
    assert [process.exitcode for process in processes] == [0] * WRITERS
    with Catalog(path) as catalog:
        stored = [fit.fit_key for fit in catalog]
        assert sorted(stored) == sorted(fit_key({"number": n}) for n in range(WRITERS * EACH))
        assert len(list(catalog.layout.fits.rglob("*.nc"))) == WRITERS * EACH
        assert not list(catalog.layout.pending.iterdir())
    seconds = time.perf_counter() - start
    print(f"\n{WRITERS * EACH} fits in {seconds:.0f} s beside {looks} looks at all of them")
