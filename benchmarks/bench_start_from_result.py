"""NUTS on the lens of 17 parameters, started at the draws of a fit of other data of the same lens.

Seconds by the clock for finding the mode, or reading the draws, and sampling. What is the same for both,
tracing and compiling, is left out. Run it with

    make bench ARGS="benchmarks/bench_start_from_result.py -s"
"""

import copy

import numpy as np
from lens import NOISE, make_lens

import classy_pm as cpm

GOAL = 1.5
SAME = ("tracing", "compiling", "computing")


def observed_again(analysis, seed):
    other = copy.copy(analysis)
    other.image = analysis.image + np.random.default_rng(seed).normal(0.0, NOISE, analysis.image.shape)
    return other


def fitted(model, analysis, **settings):
    result = cpm.NUTS(draws=500, chains=4, random_seed=1, progress=False, **settings).fit(model, analysis)
    stages = result.attributes["seconds"].items()
    seconds = sum(took for stage, took in stages if not stage.startswith(SAME))
    return seconds, float(result.summary()["ess"].min()), result


def test_seconds_for_an_effective_draw():
    model, analysis = make_lens()
    _, _, first = fitted(model, analysis, tune=1000)
    again, per_draw = observed_again(analysis, 1), {}
    for tune in (1000, 200):
        for name, settings in (("mode", {}), ("draws", {"initializer": cpm.InitializerResult(first)})):
            seconds, effective, result = fitted(model, again, tune=tune, **settings)
            steps = float(result.idata["sample_stats"]["n_steps"].sum())
            per_draw[name, tune] = seconds / effective
            print(
                f"from the {name}, tune={tune}: {seconds:.1f} s, {effective:.0f} effective draws, "
                f"{steps:.0f} gradients after tuning, {result.attributes.get('mass_matrix')}"
            )
    ratios = {tune: per_draw["mode", tune] / per_draw["draws", tune] for tune in (1000, 200)}
    print({tune: f"{ratio:.1f} times less for an effective draw" for tune, ratio in ratios.items()})
    assert min(ratios.values()) > GOAL
