"""What a population costs: memory must not grow with the number of its objects.

The streamed part runs in a process of its own for each number. `CLASSY_PM_BENCH_FITS` sets how many fits are
filed and read from a catalogue. Run it with

    make bench ARGS="benchmarks/bench_population.py -s"
"""

import json
import os
import subprocess
import sys
import time
import uuid
from pathlib import Path

import numpy as np

import classy_pm as cpm
from classy_pm.catalog import FitRecord, ParameterRecord, fit_key, part_key
from classy_pm.plan import make_plan
from classy_pm.result.tree import make_tree
from classy_pm.study.batches import Batches
from classy_pm.study.posteriors import Posteriors

# Peak memory at the largest number over that at the one before.
GOAL = 1.1
COUNTS = (1000, 10_000, 100_000)
DRAWS = 100
FITS = int(os.environ.get("CLASSY_PM_BENCH_FITS", "2000"))


def run(count):
    script = str(Path(__file__).with_name("population_once.py"))
    command = [sys.executable, script, str(count), str(DRAWS)]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)


def test_memory_does_not_grow_with_the_number_of_objects(benchmark):
    took = {count: run(count) for count in COUNTS[1:]}
    took[COUNTS[0]] = benchmark.pedantic(run, (COUNTS[0],), rounds=1)
    for count in COUNTS:
        parts = ", ".join(f"{name} {value:.3g}" for name, value in took[count].items())
        print(f"\n{count:7} objects of {DRAWS} draws: {parts}")
    ratio = took[100_000]["peak MB"] / took[10_000]["peak MB"]
    benchmark.extra_info[f"peak memory, goal {GOAL}"] = ratio
    assert ratio <= GOAL


def made_fits():
    rng = np.random.default_rng(1)
    for number in range(FITS):
        model = cpm.Collection(source=cpm.Collection(flux=cpm.UniformPrior(0.0, 10.0 + number % 3)))
        plan = make_plan(model)
        x = rng.normal(rng.normal(5.0, 0.5), 0.3, (4, DRAWS // 4))
        record = FitRecord(
            fit_key=fit_key({"number": number}),
            run_id=uuid.UUID(int=number).hex,
            unique_tag=f"object_{number}",
            search="NUTS",
            model=model.to_dict(),
            parameters=(ParameterRecord("source.flux", median=float(np.median(x))),),
            model_hash=part_key(plan.identity),
        )
        zero = np.zeros(x.shape)
        yield record, make_tree({"source.flux": x}, zero, zero, free=plan.names)


def test_fits_are_read_from_a_catalogue(benchmark, tmp_path):
    with cpm.Catalog(tmp_path / "survey.sqlite") as catalog:
        catalog.file_many(made_fits())
    agg = cpm.Aggregator.from_database(tmp_path / "survey.sqlite")
    begin = time.process_time()
    posteriors = Posteriors(agg.query(agg.source.flux > 0.0), ("source.flux",))
    batches = benchmark.pedantic(Batches.of, (posteriors, 1, 0), rounds=1)
    seconds = time.process_time() - begin
    assert len(batches) == FITS
    print(f"\n{FITS} fits are read in {seconds:.1f} s, {1000.0 * seconds / FITS:.1f} ms each")
