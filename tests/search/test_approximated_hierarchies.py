"""Approximations of many data sets with a parent: against quadrature, and refused where they mean nothing."""

import numpy as np
import pytest
from scipy import special, stats

import classy_pm as cpm
from classy_pm.errors import SearchError, SettingError
from classy_pm.likelihood.joint import analysis_of
from classy_pm.plan import make_plan
from classy_pm.search import advi, approximation, laplace
from classy_pm.search.bound import Bound, noise_by_factor
from classy_pm.search.by_factor import conditionals
from classy_pm.search.minibatch import Minibatches, Strata, raise_by_minibatches
from classy_pm.search.population_start import population_start
from classy_pm.search.problem import Problem
from classy_pm.search.progress import Report

# The prior's widths of the population's mean and scatter.
MEAN, SCATTER = 10.0, 5.0


class Source:
    def __init__(self, flux=0.0):
        self.flux = flux


class Exposures(cpm.Analysis):
    def __init__(self, data, noise):
        self.data, self.noise = data, noise

    def log_likelihood_function(self, instance):
        residuals = (self.data - instance.source.flux) / self.noise
        return np.sum(-0.5 * residuals**2 - np.log(self.noise) - 0.5 * np.log(2.0 * np.pi))


def graph_of(data, noises):
    mean, scatter = cpm.GaussianPrior(0.0, MEAN), cpm.HalfGaussianPrior(SCATTER)
    return cpm.FactorGraphModel(
        *(
            cpm.AnalysisFactor(
                cpm.Collection(source=cpm.Model(Source, flux=cpm.GaussianPrior(mean, scatter))),
                Exposures(np.atleast_1d(values), noise),
            )
            for values, noise in zip(data, noises, strict=True)
        )
    )


def by_quadrature(data, noises):
    """Mean and sd of the population's mean and of its scatter, and the log evidence."""
    mean = np.linspace(-4.0, 10.0, 200)[:, np.newaxis]
    logs = np.linspace(np.log(0.5), np.log(20.0), 200)
    scatter = np.exp(logs)
    log_density = stats.norm(0.0, MEAN).logpdf(mean) + stats.halfnorm(0.0, SCATTER).logpdf(scatter) + logs
    for values, noise in zip(data, noises, strict=True):
        count = np.size(values)
        log_density += stats.norm(mean, np.sqrt(scatter**2 + noise**2 / count)).logpdf(np.mean(values))
        log_density += np.sum(stats.norm(np.mean(values), noise).logpdf(values))
        log_density -= stats.norm(0.0, noise / np.sqrt(count)).logpdf(0.0)
    cell = (mean[1, 0] - mean[0, 0]) * (logs[1] - logs[0])
    weights = special.softmax(log_density)
    found = []
    for values in (mean, scatter):
        average = np.sum(weights * values)
        found.append((average, np.sqrt(np.sum(weights * (values - average) ** 2))))
    return found, special.logsumexp(log_density) + np.log(cell)


RNG = np.random.default_rng(1)
COUNT = 24
STRONG = [RNG.normal(truth, 1.0, 3 + number % 2) for number, truth in enumerate(RNG.normal(3.0, 3.0, COUNT))]
NOISES = np.full(COUNT, 1.0)
# Rubin's (1981) eight schools.
SCHOOLS = [28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0], [15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0]


def problem_of(graph):
    return Problem(make_plan(graph), analysis_of(graph, None, ""), "trace", 1, 1, Report(False))


@pytest.fixture(scope="module")
def problem():
    return problem_of(graph_of(STRONG, NOISES))


@pytest.fixture(scope="module")
def factorised(problem):
    return problem.factorised


@pytest.fixture(scope="module")
def batches(problem, factorised):
    return Minibatches(problem, factorised, 6)


@pytest.fixture(scope="module")
def start(problem, factorised):
    return population_start(problem, factorised)


# -- the parts ---------------------------------------------------------------------------------------


def test_the_parts_of_the_density_are_the_prior_of_what_is_shared_and_each_data_set(problem, factorised):
    vector = problem.plan.draws(1, random_seed=3)[0]
    (point,) = problem.density.points(vector[np.newaxis])
    mean, scatter, flux = problem.plan.split(vector)
    parts = factorised(point)
    shared = stats.norm(0.0, MEAN).logpdf(mean) + stats.halfnorm(0.0, SCATTER).logpdf(scatter)
    assert parts.shared == pytest.approx(shared + np.log(scatter))
    expected = [np.sum(stats.norm(at, 1.0).logpdf(data)) for at, data in zip(flux, STRONG, strict=True)]
    np.testing.assert_allclose(parts.log_likelihoods, expected)
    np.testing.assert_allclose(parts.each, expected + stats.norm(mean, scatter).logpdf(flux))


def test_what_binds_data_sets_to_each_other_has_no_parts():
    graph = graph_of(STRONG[:4], NOISES[:4])
    graph.add_assertion(graph["dataset_0"].source.flux < graph["dataset_1"].source.flux)
    assert problem_of(graph).factorised is None
    first = cpm.GaussianPrior(0.0, 3.0)
    source = cpm.Model(Source, flux=first)
    other = cpm.Collection(source=cpm.Model(Source, flux=cpm.GaussianPrior(first, 1.0)), number=2)
    factors = [
        cpm.AnalysisFactor(cpm.Collection(source=source), Exposures(STRONG[0], 1.0)),
        cpm.AnalysisFactor(
            cpm.Collection(source=cpm.Model(Source, flux=cpm.GaussianPrior(0.0, 5.0))),
            Exposures(STRONG[1], 1.0),
        ),
        cpm.AnalysisFactor(other, Exposures(STRONG[2], 1.0)),
    ]
    assert problem_of(cpm.FactorGraphModel(*factors)).factorised is None


def test_minibatches_of_one_pass_have_on_average_the_gradient_of_all(problem, batches):
    (point,) = problem.density.points(problem.plan.draws(1, random_seed=3))
    found = [
        np.add(*batches.gradients(point, chosen)) for chosen in next(batches.passes(np.random.default_rng(1)))
    ]
    assert len(found) == COUNT // 6
    np.testing.assert_allclose(np.mean(found, axis=0), problem.density(point)[1], rtol=1e-9, atol=1e-9)


def test_a_width_that_is_zero_is_impossible_for_some_of_the_data_sets_too(problem, factorised, batches):
    (point,) = problem.density.points(problem.plan.draws(1, random_seed=0))
    estimate = Strata(problem, factorised, 6).estimate(np.random.default_rng(1))
    assert np.isfinite(estimate(point))
    point[factorised.structure.shared] = -2000.0
    assert estimate(point) == -np.inf
    chosen = next(batches.passes(np.random.default_rng(1)))[0]
    assert not np.all(np.isfinite(batches.gradients(point, chosen)))  # and so no step is made there


def test_the_members_given_their_parents_are_normal_with_the_curvature(problem, factorised, start):
    point, widths = start
    (given,) = conditionals(problem.density, factorised, point, widths)
    _, scatter, _ = problem.plan.split(problem.density.vectors(point[np.newaxis])[0])
    precision = np.array([len(data) for data in STRONG]) + 1.0 / scatter**2
    np.testing.assert_allclose(given.factors[:, 0, 0] ** 2 * precision, 1.01**2, rtol=1e-3)
    np.testing.assert_allclose(given.slopes[:, 0, 0], 1.0 / scatter**2 / precision, rtol=1e-3)


def test_minibatches_converge_to_the_approximation_of_all_data_sets(problem, factorised, batches, start):
    origin, scale = start
    noise = noise_by_factor(100, factorised.structure, np.random.default_rng(1))
    bound = Bound(problem.density, origin, scale, noise, full=False)
    whole = bound.maximise(bound.start(), 100, lambda step: None)
    mean, sd = bound.normal(whole.x)
    # Begun where it has some way to go.
    found = raise_by_minibatches(
        batches, origin + 3.0 * scale, 2.0 * scale, 500, np.random.default_rng(2), lambda passes: None
    )
    assert found.converged and found.passes < 500
    assert np.max(np.abs(found.mean - mean) / sd) < 0.2
    np.testing.assert_allclose(found.sd, sd, rtol=0.2)
    assert found.steps == found.passes * (COUNT // 6)


# -- fits --------------------------------------------------------------------------------------------


def run(search, problem):
    """Run a search on a problem that is compiled already."""
    return search._run(problem)


@pytest.mark.parametrize("name", ["ADVI", "minibatch", "Pathfinder", "Pathfinder by minibatches"])
def test_a_population_of_strong_data_is_that_of_quadrature_with_its_evidence(name, problem):
    search = {
        "ADVI": cpm.ADVI(random_seed=1),
        "minibatch": cpm.ADVI(minibatch=6, random_seed=1),
        "Pathfinder": cpm.Pathfinder(random_seed=1, paths=2),
        "Pathfinder by minibatches": cpm.Pathfinder(minibatch=6, random_seed=1, paths=2),
    }[name]
    found = run(search, problem)
    expected, log_evidence = by_quadrature(STRONG, NOISES)
    attributes, weights = found.attributes, special.softmax(found.log_weights[0])
    assert attributes["pareto_k"] < 0.7 and attributes["pareto_k_of"] == "shared parameters"
    assert len(attributes["pareto_k_by_factor"]) == COUNT
    draws = attributes["effective_draws"]
    for column, (mean, sd) in zip(found.vectors[0].T[:2], expected, strict=True):
        average = weights @ column
        assert abs(average - mean) < 4.0 * sd / np.sqrt(draws)
        width = np.sqrt(weights @ (column - average) ** 2)
        assert width == pytest.approx(sd, rel=4.0 / np.sqrt(draws))
    assert found.log_evidence == pytest.approx(log_evidence, abs=4.0 * found.log_evidence_error)
    assert found.notices == []
    row = int(np.argmax(weights))
    expected = problem.log_likelihood.values(found.vectors[0, row][np.newaxis])
    assert found.log_likelihood[0, row] == pytest.approx(expected[0])


def test_draws_that_shall_not_be_corrected_are_those_of_the_approximation_with_its_pareto_k(problem):
    plain = run(cpm.ADVI(random_seed=1, importance_resampling="none"), problem)
    assert plain.log_weights is None and plain.vectors.shape == (1, 2000, COUNT + 2)
    assert plain.attributes["pareto_k_of"] == "shared parameters" and plain.attributes["pareto_k"] < 1.0


@pytest.fixture(scope="module")
def schools():
    return problem_of(graph_of(*SCHOOLS))


def test_approximations_at_the_edge_of_a_hierarchy_are_refused(schools):
    for search in (cpm.Laplace(random_seed=1), cpm.Pathfinder(random_seed=1, paths=2)):
        with pytest.raises(SearchError, match=r"limit of `source.flux.sigma`(.|\n)*NUTS"):
            run(search, schools)


def test_an_approximation_of_weak_data_says_that_it_cannot_be_trusted(schools):
    found = run(cpm.ADVI(random_seed=1), schools)
    assert found.attributes["pareto_k"] > 0.7 and found.log_evidence is None
    assert any("biased by an unknown amount" in note for note in found.notices)


def test_weights_that_leave_few_draws_are_not_used_and_it_is_told(schools, monkeypatch):
    monkeypatch.setattr(approximation, "MIN_DRAWS", 1000)
    found = run(cpm.ADVI(random_seed=1), schools)
    assert found.attributes["effective_draws"] < 1000
    assert found.log_weights is None and found.vectors.shape[1] == 2000
    assert any("They are as the approximation has them" in note for note in found.notices)


def test_the_notice_of_large_pareto_k_counts_the_data_sets_whose_weights_differ():
    pareto_k, spread = np.array([0.9, 0.8, 0.9, 0.1, np.inf]), np.array([2.0, 0.1, 0.1, 2.0, 3.0])
    (notice,) = approximation._rough_notice("abcde", pareto_k, spread, 0.7)
    assert "of 2 of 5 data sets (a, e): " in notice and "Of 2 more k is above it too" in notice
    assert not list(approximation._rough_notice("abcde", pareto_k, np.zeros(5), 0.7))


def test_the_best_point_of_a_hierarchy_says_what_it_is_worth(problem):
    found = run(cpm.MAP(random_seed=1, starts=2), problem)
    assert any(
        "width goes to zero" in note or "not where its probability is" in note for note in found.notices
    )


def test_data_sets_without_parameters_of_their_own_are_weighed_too():
    flux = cpm.GaussianPrior(0.0, MEAN)
    factors = [
        cpm.AnalysisFactor(cpm.Collection(source=cpm.Model(Source, flux=flux)), Exposures(data, 1.0))
        for data in STRONG[:4]
    ]
    found = run(cpm.ADVI(minibatch=2, random_seed=1), problem_of(cpm.FactorGraphModel(*factors)))
    data = np.concatenate(STRONG[:4])
    variance = 1.0 / (data.size + MEAN**-2)
    weights = special.softmax(found.log_weights[0])
    assert weights @ found.vectors[0, :, 0] == pytest.approx(variance * np.sum(data), abs=0.05)
    covariance = np.eye(data.size) + MEAN**2
    log_evidence = stats.multivariate_normal(np.zeros(data.size), covariance).logpdf(data)
    assert found.log_evidence == pytest.approx(log_evidence, abs=4.0 * found.log_evidence_error + 1e-3)


# -- what is refused ---------------------------------------------------------------------------------


def test_minibatches_are_of_data_sets_and_fewer_than_all():
    graph = graph_of(STRONG, NOISES)
    with pytest.raises(SettingError, match="not less than the 24 data sets"):
        cpm.ADVI(minibatch=24).fit(graph)
    with pytest.raises(SettingError, match="this fit has one"):
        cpm.ADVI(minibatch=4).fit(graph["dataset_0"], Exposures(STRONG[0], 1.0))
    with pytest.raises(SettingError, match='goes with method="advi"'):
        cpm.ADVI(minibatch=4, method="fullrank_advi")
    with pytest.raises(SettingError, match="not above zero"):
        cpm.ADVI(minibatch=0)
    with pytest.raises(SettingError, match="not less than the 24 data sets"):
        cpm.Pathfinder(minibatch=30).fit(graph)
    with pytest.raises(SearchError, match="needs a gradient"):
        cpm.ADVI(minibatch=4, likelihood="blackbox").fit(graph)


def test_matrices_for_which_there_is_no_room_are_refused(monkeypatch):
    monkeypatch.setattr(laplace, "LARGEST", 5)
    monkeypatch.setattr(advi, "LARGEST_FULL", 5)
    graph = graph_of(STRONG[:4], NOISES[:4])
    with pytest.raises(SearchError, match="The curvature in 6 parameters has 36 numbers"):
        cpm.Laplace().fit(graph)
    with pytest.raises(SearchError, match="The covariances of 6 parameters are 21 numbers"):
        cpm.ADVI(method="fullrank_advi").fit(graph)
