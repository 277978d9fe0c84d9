"""What a step of ADVI takes with minibatches of data sets, and with all, and how long both take.

Run it with

    make bench ARGS="benchmarks/bench_minibatch.py -s"
"""

import time

import numpy as np
import pytest
from compile_graph_once import make_graph

from classy_pm.likelihood.joint import analysis_of
from classy_pm.plan import make_plan
from classy_pm.search.bound import Bound, noise_by_factor
from classy_pm.search.minibatch import Minibatches, raise_by_minibatches
from classy_pm.search.population_start import population_start
from classy_pm.search.problem import Problem
from classy_pm.search.progress import Report

# So many times faster than one with all a step with a hundredth of 10,000 data sets shall be.
GOAL = 3.0
STEPS = 100


def seconds_of(function, number):
    start = time.process_time()
    for _ in range(number):
        function()
    return (time.process_time() - start) / number


# Arrays of so many data sets do not go into the cache of machine code, which Numba tells.
@pytest.mark.filterwarnings("ignore:Cannot cache compiled function")
@pytest.mark.parametrize("count", [1000, 10_000])
def test_a_step_with_some_of_the_data_sets_is_faster_than_one_with_all(benchmark, count):
    graph = make_graph(count)
    problem = Problem(make_plan(graph), analysis_of(graph, None, ""), "trace", 1, 1, Report(False))
    factorised, density = problem.factorised, problem.density
    size = max(20, count // 100)
    batches = Minibatches(problem, factorised, size)
    point, widths = population_start(problem, factorised)
    rng = np.random.default_rng(1)
    chosen = next(batches.passes(rng))[0]
    # Each for one gradient.
    whole = seconds_of(lambda: density(point), STEPS)
    some = seconds_of(lambda: batches.gradients(point, chosen), STEPS)
    start = time.process_time()
    found = benchmark.pedantic(
        raise_by_minibatches, (batches, point, widths, 500, rng, lambda passes: None), rounds=1
    )
    by_minibatches = time.process_time() - start
    bound = Bound(density, point, widths, noise_by_factor(100, factorised.structure, rng), full=False)
    start = time.process_time()
    best = bound.maximise(bound.possible_start(), 500, lambda step: None)
    by_all = time.process_time() - start
    mean, sd = bound.normal(best.x)
    apart = np.abs(found.mean - mean) / sd
    print(
        f"\n{count:6} data sets: a gradient takes {1e3 * whole:.2f} ms, of {size} {1e3 * some:.2f} ms "
        f"({whole / some:.1f} times faster)\n       {found.steps} steps ({found.passes} passes) in "
        f"{by_minibatches:.1f} s; with all {best.nit} steps "
        f"of {len(bound.noise)} gradients in {by_all:.1f} s\n"
        f"       apart by {np.max(apart[factorised.structure.shared]):.2f} sd in what is shared, and by "
        f"{np.sqrt(np.mean(apart**2)):.3f} sd in all"
    )
    benchmark.extra_info[f"gradient of {size} of {count}, times faster"] = whole / some
    assert found.converged and whole / some > (GOAL if count >= 10_000 else 1.0)
