"""Hierarchies with known answers: eight schools, many weak data sets, and one written by hand in PyMC."""

import arviz as az
import numpy as np
import pymc as pm
import pytest
from pymc.testing import assert_equivalent_model
from pytensor.scalar.basic import autocast_float_as

import classy_pm as cpm
from classy_pm.graph.build import build_parameters
from classy_pm.likelihood.joint import analysis_of
from classy_pm.plan import make_plan
from classy_pm.search import start
from classy_pm.search.problem import Problem
from classy_pm.search.progress import Report


class School:
    def __init__(self, effect):
        self.effect = effect


class Coaching(cpm.Analysis):
    """The effect of coaching in one school, as it was estimated, with its standard error."""

    def __init__(self, estimate, error):
        self.estimate, self.error = estimate, error

    def log_likelihood_function(self, instance):
        return -0.5 * ((self.estimate - instance.effect) / self.error) ** 2


def eight_schools():
    # Rubin (1981), Journal of Educational Statistics 6, 377.
    published = az.load_arviz_data("non_centered_eight")
    estimates = published["observed_data"]["obs"].values
    errors = (15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0)
    mean, scatter = cpm.GaussianPrior(0.0, 5.0), cpm.Prior(pm.HalfCauchy, beta=5.0)
    factors = [
        cpm.AnalysisFactor(
            cpm.Model(School, effect=cpm.GaussianPrior(mean, scatter)),
            Coaching(float(estimate), error),
            name=str(name).replace(" ", "_").replace(".", "").replace("'", ""),
        )
        for estimate, error, name in zip(
            estimates, errors, published["posterior"]["school"].values, strict=True
        )
    ]
    return cpm.FactorGraphModel(*factors), published["posterior"].to_dataset()


@pytest.fixture(scope="module")
def schools():
    graph, published = eight_schools()
    search = cpm.NUTS(draws=1000, tune=1000, chains=4, random_seed=1, progress=False)
    return search.fit(graph), published


def test_eight_schools_have_the_published_posterior(schools):
    result, published = schools
    posterior = result.idata["posterior"].to_dataset()
    for ours, theirs in {"effect.mean": "mu", "effect.sigma": "tau", "effect": "theta"}.items():
        for method in ("mean", "sd"):
            errors = [
                az.mcse(data[[name]], method=method)[name].values
                for data, name in ((posterior, ours), (published, theirs))
            ]
            statistic = {"mean": "mean", "sd": "std"}[method]
            found = getattr(posterior[ours], statistic)(("chain", "draw")).values
            expected = getattr(published[theirs], statistic)(("chain", "draw")).values
            assert np.all(np.abs(found - expected) < 4.5 * np.hypot(*errors)), (ours, method)


def test_eight_schools_are_sampled_with_hardly_any_divergences(schools):
    result, _ = schools
    # Of 4,000; written non-centred by hand it is 3 to 6 with other seeds.
    assert int(result.idata["sample_stats"]["diverging"].sum()) <= 20
    assert float(az.rhat(result.idata["posterior"].to_dataset())["effect.sigma"]) < 1.01
    # No school is known better than the schools are alike.
    assert max(result.attributes["centring"]["effect"]) < 0.5


class Line:
    def __init__(self, centre, flux, width):
        self.centre, self.flux, self.width = centre, flux, width

    def at(self, x):
        return self.flux / self.width * np.exp(-0.5 * ((x - self.centre) / self.width) ** 2)


class Spectrum(cpm.Analysis):
    def __init__(self, data):
        self.data = data

    def log_likelihood_function(self, instance):
        return -0.5 * np.sum((self.data - instance.at(np.arange(self.data.size))) ** 2)


def weak_graph(count=50):
    """Lines that are hardly seen one by one, at one place."""
    rng = np.random.default_rng(2)
    centre, factors = cpm.GaussianPrior(50.0, 30.0), []
    for _ in range(count):
        data = Line(60.0, 6.0, 5.0).at(np.arange(100)) + rng.normal(0.0, 1.0, 100)
        line = cpm.Model(Line, flux=cpm.LogUniformPrior(0.1, 1000.0), width=cpm.UniformPrior(0.5, 25.0))
        line.centre = centre
        factors.append(cpm.AnalysisFactor(line, Spectrum(data)))
    return cpm.FactorGraphModel(*factors)


def test_what_many_weak_data_sets_share_is_found():
    graph = weak_graph()
    plan = make_plan(graph)
    problem = Problem(plan, analysis_of(graph, None, ""), "trace", 1, 1, Report(False))
    density = problem.density
    vectors = density.vectors(start.prior_points(problem, density.points))
    assembled, drawn = vectors[:4], vectors[4:]
    place = plan.names.index("centre")
    assert np.all(np.abs(assembled[:2, plan.layout.slices[place]] - 60.0) < 5.0)
    log_likelihood = problem.log_likelihood
    assert log_likelihood(assembled[0]) > np.max(log_likelihood.many(drawn)) + 20.0


def priors_by_hand(names):
    # Plain floats that single precision can hold would become float32.
    zero, five = np.float64([0.0, 5.0])
    mean, scatter = pm.Normal("effect.mean", zero, five), pm.HalfCauchy("effect.sigma", beta=five)
    return pm.Normal("effect", mean, scatter, dims="dataset", shape=len(names))


def test_a_hierarchy_is_the_model_that_is_written_by_hand():
    graph, _ = eight_schools()
    names, plan = list(graph.factor_names), make_plan(graph)
    estimates, errors = np.transpose([(f.analysis.estimate, f.analysis.error) for f in graph.factors])
    with pm.Model(coords={"dataset": names}) as ours:
        build_parameters(plan)
    with pm.Model(coords={"dataset": names}) as theirs:
        effect = priors_by_hand(names)
    assert_equivalent_model(ours, theirs)
    with theirs:
        pm.Potential("likelihood", np.float64(-0.5) * pm.math.sum(((estimates - effect) / errors) ** 2))
    whole = cpm.to_pymc(graph)
    assert whole.named_vars_to_dims["effect"] == theirs.named_vars_to_dims["effect"] == ("dataset",)
    rng, point = np.random.default_rng(1), theirs.initial_point()
    with autocast_float_as("float64"):
        found, expected = whole.compile_logp(), theirs.compile_logp()
    for _ in range(3):
        at = {name: value + rng.normal(size=np.shape(value)) for name, value in point.items()}
        assert found(at) == pytest.approx(expected(at), rel=1e-12)


def ordered_schools(data, errors):
    mean, scatter = cpm.GaussianPrior(0.0, 2.0), cpm.HalfGaussianPrior(1.0)
    models = [cpm.Model(School, effect=cpm.GaussianPrior(mean, scatter)) for _ in data]
    graph = cpm.FactorGraphModel(
        *(
            cpm.AnalysisFactor(model, Coaching(value, error))
            for model, value, error in zip(models, data, errors, strict=True)
        )
    )
    graph.add_assertion(models[0].effect < models[1].effect, name="ordered")
    return graph


def exact_of_ordered(data, errors, number=100_000):
    """Means of mean, scatter and effects: a grid of the parents, normal members, and what is in order."""
    rng = np.random.default_rng(0)
    mean, scatter = np.linspace(-6.0, 6.0, 201)[:, np.newaxis, np.newaxis], np.linspace(1e-3, 5.0, 400)
    variance = scatter[:, np.newaxis] ** 2 + errors**2
    density = -0.5 * (mean[..., 0] / 2.0) ** 2 - 0.5 * scatter**2
    density = density - 0.5 * np.sum((data - mean) ** 2 / variance + np.log(variance), axis=-1)
    weights = np.exp(density - density.max()).ravel()
    chosen = rng.choice(weights.size, number, p=weights / weights.sum())
    centre, width = mean.ravel()[chosen // 400], scatter[chosen % 400]
    own = 1.0 / (1.0 / errors**2 + 1.0 / width[:, np.newaxis] ** 2)
    effects = rng.normal(own * (data / errors**2 + (centre / width**2)[:, np.newaxis]), np.sqrt(own))
    kept = effects[:, 0] < effects[:, 1]
    return np.column_stack([centre, width, effects])[kept].mean(axis=0)


@pytest.mark.slow
def test_a_hierarchy_with_an_assertion_has_the_exact_posterior_and_says_why_it_diverges():
    data, errors = np.array([1.0, 1.4, 0.3]), np.array([0.5, 0.5, 0.8])
    search = cpm.NUTS(draws=500, tune=500, chains=4, random_seed=1, progress=False)
    result = search.fit(ordered_schools(data, errors))
    table = result.summary()
    error = table["sd"] / np.sqrt(table["ess"])
    assert np.all(np.abs(table["mean"] - exact_of_ordered(data, errors)) < 4.5 * error)
    assert np.all(error < 0.1 * table["sd"])
    assert any("edge of an assertion (`ordered`)" in notice for notice in result.notices)
    assert not any("sign of the log likelihood" in notice for notice in result.notices)
