"""Searches of graphs of factors in jax.numpy, with results of each data set."""

import numpy as np
import pytest

import classy_pm as cpm
from classy_pm.likelihood.joint import analysis_of
from classy_pm.plan import make_plan
from classy_pm.search.nutpie_chains import scale_of
from classy_pm.search.problem import Problem
from classy_pm.search.progress import Report

jax = pytest.importorskip("jax")
jnp = jax.numpy

ERROR = 0.5


class Star:
    def __init__(self, level=0.0):
        self.level = level


class Measured(cpm.Analysis):
    def __init__(self, data):
        self.data = data

    def log_likelihood_function(self, star):
        return -0.5 * jnp.sum(((self.data - star.level) / ERROR) ** 2)


def data():
    rng = np.random.default_rng(1)
    return [rng.normal(level, ERROR, 4) for level in (-2.0, 0.0, 1.0, 4.0)]


@pytest.fixture(scope="module")
def problem():
    """Levels from a normal parent, ready for searches."""
    mean, width = cpm.GaussianPrior(0.0, 5.0), cpm.UniformPrior(0.5, 5.0)
    levels = [cpm.Model(Star, level=cpm.GaussianPrior(mean, width)) for _ in data()]
    graph = cpm.FactorGraphModel(*map(cpm.AnalysisFactor, levels, map(Measured, data())))
    return Problem(make_plan(graph), analysis_of(graph, None, ""), "jax", 1, 1, Report(False))


def test_nutpie_has_the_density_in_its_own_order_of_the_variables(problem):
    from classy_pm.search.nutpie_jax import compile_by_jax

    compiled = compile_by_jax(problem.pymc_model, list(problem.plan.names))
    scale = scale_of(problem, compiled)
    points = scale.points(problem.plan.draws(3, 1))
    order = scale.in_order_of_plan(np.arange(scale.size)[np.newaxis])[0]
    for point in points:
        value, gradient = compiled.logp_func(np.ascontiguousarray(point))
        expected, slope = problem.density(point[order])
        assert value == pytest.approx(expected, rel=1e-10)
        np.testing.assert_allclose(gradient[order], slope, rtol=1e-8, atol=1e-10)


def test_the_density_is_that_of_its_parts(problem):
    factorised = problem.factorised
    for point in problem.density.points(problem.plan.draws(2, 1)):
        parts = factorised(point)
        assert parts.shared + parts.each.sum() == pytest.approx(problem.density.value(point), rel=1e-10)


@pytest.fixture(scope="module")
def independent():
    """Levels that nothing binds to each other."""
    levels = [cpm.Model(Star, level=cpm.GaussianPrior(0.0, 5.0)) for _ in data()]
    return cpm.FactorGraphModel(*map(cpm.AnalysisFactor, levels, map(Measured, data())))


def expected_of(number):
    """Return the mean and the standard deviation of a level."""
    numbers = data()[number]
    precision = len(numbers) / ERROR**2 + 1.0 / 25.0
    return numbers.sum() / ERROR**2 / precision, precision**-0.5


def check_data_sets(result):
    for number, numbers in enumerate(data()):
        one = result[number]
        levels = result.idata["posterior"]["level"].values[..., number]
        found = one.idata["sample_stats"]["total_log_likelihood"].values
        by_hand = -0.5 * (((numbers - levels[..., np.newaxis]) / ERROR) ** 2).sum(axis=-1)
        np.testing.assert_allclose(found, by_hand, rtol=1e-8)


def test_optimisers_and_walkers_give_results_of_each_data_set(independent):
    best = cpm.MAP(random_seed=1).fit(independent)
    for number in range(4):
        assert best[number].instance.level == pytest.approx(expected_of(number)[0], abs=1e-3)
    check_data_sets(best)
    check_data_sets(cpm.Emcee(nwalkers=10, nsteps=20, random_seed=1, likelihood="jax").fit(independent))


@pytest.mark.slow
def test_nuts_and_laplace_have_the_posterior_of_each_data_set(independent):
    nuts = cpm.NUTS(draws=300, tune=300, chains=2, random_seed=1).fit(independent)
    laplace = cpm.Laplace(random_seed=1).fit(independent)
    for result in (nuts, laplace):
        check_data_sets(result)
        table = result.summary()
        for number in range(4):
            mean, sd = expected_of(number)
            row = table.loc[f"level[dataset_{number}]"]
            assert abs(row["mean"] - mean) < 4.0 * sd / np.sqrt(row["ess"])
            assert row["sd"] == pytest.approx(sd, rel=0.2)
