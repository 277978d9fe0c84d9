"""What a search costs beside the library that it calls, on the same likelihood.

`test_ratio_*` run both in turns, on the processor's clock, and fail if the goal is not reached.
"""

import time

import emcee
import nautilus
import numpy as np
import pytest
import scipy.special

import classy_pm as cpm
from classy_pm.demo import Gaussian

SETTINGS = {"n_live": 500, "n_networks": 1}
N_EFF = 2000
WALKERS, STEPS = 50, 1000
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


def bare_emcee():
    """Fit as one would without classy_pm: a function of a vector, with its prior by hand."""

    def log_posterior(vector):
        centre, intensity, sigma = vector
        if not (0.0 < centre < 100.0 and 1.0 < intensity < 100.0):
            return -np.inf
        log_prior = -np.log(intensity) - 0.5 * ((sigma - 10.0) / 5.0) ** 2
        return log_prior + ANALYSIS.log_likelihood_function(Gaussian(centre, intensity, sigma))

    start = np.random.default_rng(1).uniform([49.0, 24.0, 9.0], [51.0, 26.0, 11.0], (WALKERS, 3))
    sampler = emcee.EnsembleSampler(WALKERS, 3, log_posterior)
    with np.errstate(all="ignore"):
        sampler.run_mcmc(start, STEPS)
    return sampler.get_chain(discard=STEPS // 2).mean((0, 1))


def our_emcee(likelihood="blackbox"):
    search = cpm.Emcee(
        nwalkers=WALKERS,
        nsteps=STEPS,
        initializer=cpm.InitializerParamBounds(
            {"centre": (49.0, 51.0), "intensity": (24.0, 26.0), "sigma": (9.0, 11.0)}
        ),
        auto_correlations_settings=cpm.AutoCorrelationsSettings(check_for_convergence=False),
        likelihood=likelihood,
        random_seed=1,
    )
    return search.fit(MODEL, ANALYSIS)


@pytest.mark.benchmark(group="Nautilus, a Gaussian of 100")
def test_nautilus_alone(benchmark):
    benchmark.pedantic(bare_nautilus, rounds=2)


@pytest.mark.benchmark(group="Nautilus, a Gaussian of 100")
def test_nautilus_here(benchmark):
    benchmark.pedantic(our_nautilus, rounds=2)


@pytest.mark.benchmark(group="Nautilus, a Gaussian of 100")
def test_nautilus_here_with_the_traced_likelihood(benchmark):
    benchmark.pedantic(our_nautilus, args=("auto",), rounds=2)


def seconds_of(*functions):
    """Return the least of three times of each, taken in turns."""
    best = dict.fromkeys(functions, np.inf)
    for _ in range(3):
        for function in functions:
            start = time.process_time()
            function()
            best[function] = min(best[function], time.process_time() - start)
    return best


def test_ratio_of_nautilus():
    """Goal: at most a tenth more, the draws' tree and diagnostics included, after the first fit."""
    assert our_nautilus() == pytest.approx(bare_nautilus(), abs=1e-6)
    best = seconds_of(bare_nautilus, our_nautilus)
    ratio = best[our_nautilus] / best[bare_nautilus]
    print(f"\nNautilus: {best[our_nautilus]:.2f} s beside {best[bare_nautilus]:.2f} s, ratio {ratio:.3f}")
    assert ratio < GOAL


def test_ratio_of_emcee():
    """Goal: at most a tenth more for each call, and less than the library alone where it is traced."""
    alone, kinds = np.inf, {"blackbox": [], "trace": []}
    for kind in kinds:
        np.testing.assert_allclose(our_emcee(kind).samples.mean_vector, bare_emcee(), rtol=0.01)
    for _ in range(7):
        start = time.perf_counter()
        bare_emcee()
        alone = min(alone, time.perf_counter() - start)
        for kind, seconds in kinds.items():
            seconds.append(our_emcee(kind).attributes["seconds"]["sampling with emcee"])
    for (kind, seconds), goal in zip(kinds.items(), (GOAL, 1.0), strict=True):
        ratio = min(seconds) / alone
        print(f"\nEmcee, {kind}: {min(seconds):.2f} s beside {alone:.2f} s, ratio {ratio:.3f}")
        assert ratio < goal
