"""The shares of centring that are chosen for hierarchies: by the strength of the data, or by the user."""

import numpy as np
import pytest

import classy_pm as cpm
from classy_pm.errors import SettingError
from classy_pm.likelihood.joint import analysis_of
from classy_pm.plan import make_plan
from classy_pm.search import start
from classy_pm.search.arrowhead import Structure, condition_of_correlation, log_determinant
from classy_pm.search.centring import centring_of, recorded
from classy_pm.search.climb import root
from classy_pm.search.problem import Problem
from classy_pm.search.progress import Report

SIGMAS = np.array([0.05, 0.3, 1.0, 3.0, 20.0] * 6)


class Source:
    def __init__(self, flux, offset):
        self.flux, self.offset = flux, offset


class Normal(cpm.Analysis):
    def __init__(self, data, sigma):
        self.data, self.sigma = data, sigma

    def log_likelihood_function(self, instance):
        first = (self.data[0] - instance.source.flux - instance.source.offset) / self.sigma
        second = (self.data[1] - instance.source.offset) / self.sigma
        return -0.5 * (first**2 + second**2)


def make_graph(sigmas=SIGMAS, scatter=1.0):
    """Sources of which the flux is known with the variance 2 sigma^2, apart from its parent."""
    rng = np.random.default_rng(1)
    mean, parent = cpm.GaussianPrior(0.0, 10.0), cpm.HalfGaussianPrior(5.0)
    factors = []
    for sigma in sigmas:
        flux, offset = rng.normal(3.0, scatter), rng.normal(0.0, 30.0)
        data = np.array([flux + offset, offset]) + rng.normal(0.0, sigma, 2)
        source = cpm.Model(Source, flux=cpm.GaussianPrior(mean, parent), offset=cpm.GaussianPrior(0.0, 30.0))
        factors.append(cpm.AnalysisFactor(cpm.Collection(source=source), Normal(data, float(sigma))))
    return cpm.FactorGraphModel(*factors)


def make_problem(graph, wanted="auto"):
    plan = make_plan(graph)
    problem = Problem(plan, analysis_of(graph, None, ""), "auto", 1, 1, Report(False))
    problem.centring = centring_of(plan, wanted)
    return problem


def settled(problem):
    modes = start.modes_of(problem, start.compiled(problem, problem.density), problem.density)
    return modes, recorded(problem.centring)


@pytest.fixture(scope="module")
def problem():
    return make_problem(make_graph())


@pytest.fixture(scope="module")
def chosen(problem):
    return settled(problem)


def marginal_mode():
    """The scatter at the mode of mean and log scatter, the members integrated over, on a grid."""
    data = np.array([factor.analysis.data for factor in make_graph().factors])
    difference, variances = data[:, 0] - data[:, 1], 2.0 * SIGMAS**2
    means = np.linspace(0.0, 6.0, 601)[:, np.newaxis]
    scatters = np.exp(np.linspace(-2.0, 2.0, 401))

    def highest(scatter):
        variance = variances + scatter**2
        of_mean = -0.5 * np.sum((difference - means) ** 2 / variance + np.log(variance), axis=1)
        of_mean -= 0.5 * (means[:, 0] / 10.0) ** 2
        prior = -0.5 * (scatter / 5.0) ** 2 + np.log(scatter)
        return np.max(of_mean) + prior

    return scatters[np.argmax([highest(scatter) for scatter in scatters])]


def test_a_member_is_centred_as_far_as_the_data_know_it(chosen):
    _, shares = chosen
    found = np.array(shares["source.flux"]).reshape(6, 5).mean(axis=0)
    strength = 1.0 / (2.0 * SIGMAS[:5] ** 2)
    np.testing.assert_allclose(found, strength / (1.0 + strength), atol=0.15)
    assert found[0] > 0.98 and found[-1] < 0.02


def test_chains_start_near_the_mode_of_the_parents_alone(problem, chosen):
    modes, _ = chosen
    assert len(modes) == 1
    vector = dict(
        zip(
            problem.plan.names,
            problem.plan.split(problem.density.vectors(modes[0].point[np.newaxis])[0]),
            strict=True,
        )
    )
    assert vector["source.flux.sigma"] == pytest.approx(marginal_mode(), rel=0.02)
    assert vector["source.flux.mean"] == pytest.approx(3.0, abs=0.7)


class Pair(cpm.Analysis):
    """Two measurements of one flux with a noise that is not known."""

    def __init__(self, data):
        self.data = data

    def log_likelihood_function(self, instance):
        return -0.5 * np.sum(((self.data - instance.flux) / instance.noise) ** 2) - 2.0 * np.log(
            instance.noise
        )


class Measured:
    def __init__(self, flux, noise):
        self.flux, self.noise = flux, noise


def test_a_shared_noise_is_not_taken_for_what_suits_the_best_members():
    # With its members at their best the noise of two measurements each is too small by the root of two.
    rng = np.random.default_rng(3)
    noise, count = cpm.LogUniformPrior(0.01, 100.0), 40
    data = rng.normal(0.0, 10.0, (count, 1)) + rng.normal(0.0, 0.5, (count, 2))
    factors = []
    for pair in data:
        model = cpm.Model(Measured, flux=cpm.GaussianPrior(0.0, 100.0))
        model.noise = noise
        factors.append(cpm.AnalysisFactor(model, Pair(pair)))
    problem = make_problem(cpm.FactorGraphModel(*factors))
    (mode, *_), _ = settled(problem)
    values = problem.plan.split(problem.density.vectors(mode.point[np.newaxis])[0])
    found = dict(zip(problem.plan.names, values, strict=True))["noise"]
    assert found == pytest.approx(np.sqrt(np.mean(np.diff(data) ** 2) / 2.0), rel=0.02)


def test_many_factors_are_looked_at_one_by_one_with_the_same_outcome(monkeypatch, chosen):
    monkeypatch.setattr(start, "MANY", 10)
    other = make_problem(make_graph())
    modes, shares = settled(other)
    np.testing.assert_allclose(shares["source.flux"], chosen[1]["source.flux"], atol=2e-3)
    expected = chosen[0][0]
    sd = np.sqrt(np.sum(expected.scatter**2, axis=1))
    np.testing.assert_allclose((modes[0].point - expected.point) / sd, 0.0, atol=0.02)
    covariance = modes[0].scatter @ modes[0].scatter.T
    np.testing.assert_allclose(
        covariance.toarray(), expected.scatter @ expected.scatter.T, rtol=0.1, atol=2e-2
    )


def test_the_curvature_by_factors_is_the_matrix(problem, chosen):
    density, (mode, *_) = problem.density, chosen[0]
    structure = Structure.of(problem.plan, density)

    def gradient(point):
        return density(point)[1]

    steps = 1e-4 * np.eye(density.size)
    dense = np.array([(gradient(mode.point - step) - gradient(mode.point + step)) / 2e-4 for step in steps])
    arrowhead = structure.curvature(gradient, mode.point)
    np.testing.assert_allclose(arrowhead.diagonal(), np.diag(dense), rtol=1e-5, atol=1e-6)
    scatter, flat = arrowhead.root()
    expected, _ = root(0.5 * (dense + dense.T))
    assert not flat.any()
    np.testing.assert_allclose((scatter @ scatter.T).toarray(), expected @ expected.T, rtol=1e-3, atol=1e-5)
    assert log_determinant(scatter) == pytest.approx(np.linalg.slogdet(expected)[1], abs=1e-3)
    covariance = expected @ expected.T
    sd = np.sqrt(np.diag(covariance))
    condition = np.linalg.cond(covariance / np.outer(sd, sd))
    assert condition_of_correlation(scatter) == pytest.approx(condition, rel=0.05)


def test_what_is_wanted_is_kept():
    problem = make_problem(make_graph(SIGMAS[:5]), {"source.flux": 0.25})
    assert settled(problem)[1] == {"source.flux": [0.25] * 5}
    centred = make_problem(make_graph(SIGMAS[:5]), "noncentred")
    assert settled(centred)[1] == {"source.flux": [0.0] * 5}


def test_what_cannot_be_wanted_is_told_all_at_once():
    with pytest.raises(SettingError, match=r"2\.0 for a is none of") as told:
        cpm.NUTS(centring={"a": 2.0, "b": "halfway"})
    assert "'halfway' for b" in str(told.value)
    with pytest.raises(SettingError, match="'often'"):
        cpm.NUTS(centring="often")
    with pytest.raises(SettingError, match=r"source\.fluxes.*source\.flux") as told:
        cpm.NUTS(centring={"source.fluxes": 1.0, "source.offset": 1.0}).fit(make_graph(SIGMAS[:2]))
    assert "source.offset" in str(told.value)


def test_a_hierarchy_within_one_data_set_is_centred_alike():
    class Schools(cpm.Analysis):
        def __init__(self, effects, errors):
            self.effects, self.errors = effects, errors

        def log_likelihood_function(self, instance):
            return -0.5 * np.sum(((self.effects - instance.effects) / self.errors) ** 2)

    mean, scatter = cpm.GaussianPrior(0.0, 10.0), cpm.HalfGaussianPrior(5.0)
    model = cpm.Collection(effects=cpm.Array(4, cpm.GaussianPrior(mean, scatter)))
    plan = make_plan(model)
    errors = np.array([0.01, 0.01, 100.0, 100.0])
    problem = Problem(plan, Schools(np.array([1.0, 3.0, 0.0, 0.0]), errors), "auto", 1, 1, Report(False))
    problem.centring = centring_of(plan, "auto")
    found = settled(problem)[1]["effects"]
    assert min(found[:2]) > 0.99 and max(found[2:]) < 0.01
