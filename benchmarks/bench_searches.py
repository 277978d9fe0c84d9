"""What a search costs beside the library that it calls, on the same likelihood.

`test_ratio_*` run both in turns, on the processor's clock, and fail if the goal is not reached.
"""

import time

import nautilus
import numpy as np
import pytest
import scipy.special

import classy_pm as cpm
from classy_pm.demo import Gaussian

SETTINGS = {"n_live": 500, "n_networks": 1}
N_EFF = 2000
# At most how many times the time of the library alone.
GOAL = 1.1


class LineAnalysis(cpm.Analysis):
    def __init__(self, data):
        self.data = data

    def log_likelihood_function(self, instance):
        residuals = self.data - instance.profile_from_xvalues(np.arange(self.data.size))
        return -0.5 * np.sum((residuals / 0.05) ** 2)


MODEL = cpm.Model(
    Gaussian,
    centre=cpm.UniformPrior(0.0, 100.0),
    intensity=cpm.LogUniformPrior(1.0, 100.0),
    sigma=cpm.GaussianPrior(10.0, 5.0),
)
ANALYSIS = LineAnalysis(Gaussian(50.0, 25.0, 10.0).profile_from_xvalues(np.arange(100)))


def bare_nautilus():
    """Fit as one would without classy_pm, from the same random numbers."""

    def prior(unit):
        low, high = np.log(1.0), np.log(100.0)
        return np.stack(
            [
                100.0 * unit[:, 0],
                np.exp(low + (high - low) * unit[:, 1]),
                10.0 + 5.0 * scipy.special.ndtri(unit[:, 2]),
            ],
            axis=-1,
        )

    def log_likelihood(vectors):
        return np.array([ANALYSIS.log_likelihood_function(Gaussian(*vector)) for vector in vectors])

    seed = np.random.default_rng(np.random.SeedSequence(1, spawn_key=(0,)))
    with np.errstate(all="ignore"):
        sampler = nautilus.Sampler(prior, log_likelihood, n_dim=3, vectorized=True, seed=seed, **SETTINGS)
        sampler.run(n_eff=N_EFF)
        sampler.posterior()
    return sampler.log_z


def our_nautilus(likelihood="blackbox"):
    search = cpm.Nautilus(n_eff=N_EFF, likelihood=likelihood, random_seed=1, **SETTINGS)
    return search.fit(MODEL, ANALYSIS).log_evidence


@pytest.mark.benchmark(group="Nautilus, a Gaussian of 100")
def test_nautilus_alone(benchmark):
    benchmark.pedantic(bare_nautilus, rounds=2)


@pytest.mark.benchmark(group="Nautilus, a Gaussian of 100")
def test_nautilus_here(benchmark):
    benchmark.pedantic(our_nautilus, rounds=2)


@pytest.mark.benchmark(group="Nautilus, a Gaussian of 100")
def test_nautilus_here_with_the_traced_likelihood(benchmark):
    benchmark.pedantic(our_nautilus, args=("auto",), rounds=2)


def test_ratio_of_nautilus():
    """Goal: at most a tenth more, the draws' tree and diagnostics included, after the first fit."""
    assert our_nautilus() == pytest.approx(bare_nautilus(), abs=1e-6)
    best = {}
    for _ in range(3):
        for function in (bare_nautilus, our_nautilus):
            start = time.process_time()
            function()
            best[function] = min(best.get(function, np.inf), time.process_time() - start)
    ratio = best[our_nautilus] / best[bare_nautilus]
    print(f"\nNautilus: {best[our_nautilus]:.2f} s beside {best[bare_nautilus]:.2f} s, ratio {ratio:.3f}")
    assert ratio < GOAL
