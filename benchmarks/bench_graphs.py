"""What a hierarchy of many data sets costs before it is sampled: it must not grow with their number.

Each is read, traced, proved and compiled in a process of its own with an empty cache. Run it with

    make bench ARGS="benchmarks/bench_graphs.py -s"
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

# Times the seconds of the processor for three data sets.
GOAL = 1.3
COUNTS = (3, 30, 300, 1000, 10_000)


def run(count, cache, lengths=1, likelihood="auto"):
    environment = os.environ | {"PYTENSOR_FLAGS": f"base_compiledir={cache}", "NUMBA_CACHE_DIR": str(cache)}
    script = str(Path(__file__).with_name("compile_graph_once.py"))
    command = [sys.executable, script, str(count), str(lengths), likelihood]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def test_a_graph_costs_the_same_for_any_number_of_data_sets(benchmark, tmp_path):
    took = {count: run(count, tmp_path / str(count)) for count in COUNTS[1:]}
    took[3] = benchmark.pedantic(run, (3, tmp_path / "3"), rounds=1)
    gradient = {count: 1e6 * seconds.pop("gradient") for count, seconds in took.items()}
    total = {count: sum(seconds.values()) for count, seconds in took.items()}
    for count in COUNTS:
        ratio = total[count] / total[3]
        parts = ", ".join(f"{name} {seconds:.2f}" for name, seconds in took[count].items())
        print(f"\n{count:6} data sets: {total[count]:.1f} s ({parts}), {ratio:.2f} times")
        print(f"       a gradient takes {gradient[count]:.0f} us")
        benchmark.extra_info[f"{count} over 3, goal {GOAL} at 1,000"] = ratio
    assert total[1000] <= GOAL * total[3]


def test_data_sets_of_forty_lengths_cost_little_more_than_those_of_one(benchmark, tmp_path):
    one = run(40, tmp_path / "one")
    forty = benchmark.pedantic(run, (40, tmp_path / "forty", 40), rounds=1)
    for name, took in (("one length", one), ("forty lengths", forty)):
        gradient = 1e6 * took.pop("gradient")
        print(f"\n40 data sets of {name}: {sum(took.values()):.1f} s, a gradient takes {gradient:.0f} us")
    assert sum(forty.values()) <= 2.0 * sum(one.values())


def test_likelihoods_in_jax_cost_little_more_for_three_hundred_data_sets(benchmark, tmp_path):
    pytest.importorskip("jax")
    many = run(300, tmp_path / "many", likelihood="jax")
    few = benchmark.pedantic(run, (3, tmp_path / "few"), {"likelihood": "jax"}, rounds=1)
    for count, took in ((3, few), (300, many)):
        gradient = 1e6 * took.pop("gradient")
        parts = ", ".join(f"{name} {seconds:.2f}" for name, seconds in took.items())
        print(
            f"\n{count} data sets in JAX: {sum(took.values()):.1f} s ({parts}); a gradient {gradient:.0f} us"
        )
    ratio = sum(many.values()) / sum(few.values())
    print(f"{ratio:.2f} times")
    benchmark.extra_info[f"300 over 3 in JAX, goal {GOAL}"] = ratio
    assert ratio <= GOAL
