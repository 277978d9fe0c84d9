"""Whether it is found out that the objects' draws do not determine the answer, and how it is cured."""

import numpy as np
import pytest
from normal_population import Grid, drawn, exact, make_parent, measured, of

import classy_pm as cpm
from classy_pm.study.batches import Batches
from classy_pm.study.own_prior import SelectedPrior
from classy_pm.study.parents import read_parent
from classy_pm.study.posteriors import Posterior
from classy_pm.study.refitting import near_parent
from classy_pm.study.trust import LIMIT, examine, measure, objects_to_refit
from classy_pm.study.weighing import PopulationAnalysis

NARROW = 0.21


def analysis_of(posteriors):
    return PopulationAnalysis(make_parent(), Batches.of(posteriors, 1, 10**9))


@pytest.fixture(scope="module")
def narrow():
    """A parent that is a fifth as wide as the objects' errors, from 500 draws of each of 200 objects."""
    values = measured(200, NARROW, 1.0, seed=5)
    posteriors = drawn(values, 1.0, 500, seed=6)
    analysis = analysis_of(posteriors)
    found, truth = (Grid(log, values, size=(11, 41)) for log in (of(analysis), exact(values, 1.0)))
    return values, posteriors, analysis, found, truth


def test_a_narrow_parent_comes_out_too_wide_and_is_told(narrow):
    _, _, analysis, found, truth = narrow
    assert truth.mean[1] < 0.2 and found.mean[1] > 0.33
    trust = measure(analysis, found.draws())
    assert trust.off[1] > 2.0 * LIMIT and trust.bias[1] > 0.0
    (notice,) = examine(analysis, found.draws()).notices
    assert "do not determine the answer: `source.flux.sigma` is off by about +" in notice
    assert "of 200 objects need others" in notice


def test_to_leave_out_where_the_variance_is_above_one_would_be_worse(narrow):
    _, posteriors, _, found, truth = narrow
    x, offset = (np.array([getattr(item, name) for item in posteriors]) for name in ("x", "offset"))

    def variance(vector):
        weights = np.exp(-0.5 * ((x[:, 0] - vector[0]) / vector[1]) ** 2 + offset)
        return np.sum(np.sum(weights**2, axis=1) / np.sum(weights, axis=1) ** 2 - 1.0 / x.shape[-1])

    middle = found.vectors[:, 0] == found.vectors[len(found.vectors) // 2, 0]
    with np.errstate(all="ignore"):
        kept = middle & np.array([variance(vector) < 1.0 for vector in found.vectors])
    weights = found.weights[kept] / np.sum(found.weights[kept])
    assert weights @ found.vectors[kept, 1] > 0.4 > 2.0 * truth.mean[1]


@pytest.mark.parametrize("seed", [0, 1, 3])
def test_a_biased_answer_with_a_variance_below_one_is_told(seed):
    values = measured(50, NARROW, 1.0, seed)
    analysis = analysis_of(drawn(values, 1.0, 500, seed=seed + 1))
    trust = measure(analysis, Grid(of(analysis), values, size=(11, 41), sigma_to=1.8).draws())
    assert trust.variance < 1.0 and trust.off[1] > LIMIT


@pytest.mark.parametrize(
    ("number", "sigma", "error", "draws"), [(50, 1.0, 0.3, 200), (50, 1.0, 0.7, 1000), (150, 1.0, 0.7, 300)]
)
def test_an_answer_that_is_right_is_left_alone(number, sigma, error, draws):
    values = measured(number, sigma, error, seed=3)
    analysis = analysis_of(drawn(values, error, draws, seed=4))
    found, truth = (
        Grid(log, values, size=(9, 25), sigma_to=2.0) for log in (of(analysis), exact(values, error))
    )
    trust = measure(analysis, found.draws())
    assert np.all(trust.off < LIMIT)
    np.testing.assert_array_less(np.abs(found.mean - truth.mean), LIMIT * truth.sd)
    assert not examine(analysis, found.draws()).notices


def test_draws_near_the_parent_cure_it(narrow):
    values, _, analysis, found, truth = narrow
    for draws in (500, 2000):
        prior = near_parent(analysis.parent, found.draws())["source.flux"]
        near = (prior.arguments["mean"], prior.arguments["sigma"])
        analysis = analysis_of(drawn(values, 1.0, draws, seed=draws, prior=near))
        found = Grid(of(analysis), values, size=(9, 21), sigma_to=0.8)
    truth = Grid(exact(values, 1.0), values, size=(9, 21), sigma_to=0.8)
    assert np.all(measure(analysis, found.draws()).off <= LIMIT)
    np.testing.assert_array_less(np.abs(found.mean - truth.mean), 2.0 * LIMIT * truth.sd)


@pytest.mark.parametrize(
    ("family", "arguments", "vector"),
    [
        (cpm.GaussianPrior, {"mean": 0, "sigma": 1}, [2.0, 0.5]),
        (cpm.GaussianPrior, {"mean": 0, "sigma": 1, "lower_limit": 1.9}, [2.0, 0.5]),
        (cpm.StudentTPrior, {"nu": 3.0, "mean": 0, "sigma": 1}, [2.0, 0.5]),
        (cpm.LogGaussianPrior, {"mean": 0, "sigma": 1}, [2.0, 0.5]),
        (cpm.GammaPrior, {"alpha": 0, "beta": 1}, [4.0, 2.0]),
        (cpm.BetaPrior, {"alpha": 0, "beta": 1}, [4.0, 2.0]),
        (cpm.HalfGaussianPrior, {"sigma": 0}, [2.0]),
        (cpm.UniformPrior, {"lower_limit": 0, "upper_limit": 1}, [2.0, 3.0]),
        (cpm.LogUniformPrior, {"lower_limit": 0, "upper_limit": 1}, [2.0, 3.0]),
    ],
    ids=lambda item: getattr(item, "__name__", ""),
)
def test_the_prior_of_a_refit_is_wider_than_the_parent(family, arguments, vector):
    hyper = [cpm.UniformPrior(0.1, 9.0) for _ in vector]
    given = {name: hyper[value] if isinstance(value, int) else value for name, value in arguments.items()}
    parent = read_parent("source.flux", family(**given))
    prior = near_parent(parent, np.array([vector, vector]))["source.flux"]
    exact = family(
        **{name: vector[value] if isinstance(value, int) else value for name, value in arguments.items()}
    )
    x = exact.ppf(np.linspace(0.001, 0.999, 201))
    assert np.max(exact.logpdf(x) - prior.logpdf(x)) < np.log(4.0), (
        "no draw has more than four times its weight"
    )
    assert prior.logpdf(exact.ppf(0.5)) < exact.logpdf(exact.ppf(0.5))


def test_the_few_objects_that_need_it_are_found():
    """Of a hundred objects five have a wide posterior that is known by few draws alone, and say much."""
    values = measured(100, 0.5, 0.1, seed=1)
    few = {7, 20, 33, 58, 91}
    posteriors = drawn(values, 0.1, 400, seed=2)
    for place in few:
        posteriors[place] = drawn(values, 4.0, 24, seed=3, places={place})[0]
    analysis = analysis_of(posteriors)
    draws = Grid(of(analysis), values, size=(9, 25), sigma_to=1.0).draws()
    trust = measure(analysis, draws)
    assert set(np.argsort(-trust.share)[:5].tolist()) == few
    assert set(objects_to_refit(trust.share, 3.0 * LIMIT).tolist()) <= few
    assert np.sum(trust.share) == pytest.approx(1.0)
    assert np.argmin(trust.effective) in few


def test_the_effective_draws_of_each_object_are_those_of_its_weights():
    posteriors = drawn(np.array([1.0, 1.5]), 0.5, 4000, seed=2)
    weights = [np.exp(-0.5 * ((item.x[0] - 1.0) / 0.4) ** 2 + item.offset) for item in posteriors]
    expected = [np.sum(item) ** 2 / np.sum(item**2) for item in weights]
    vectors = np.array([[1.0, 0.4], [1.0, 0.4001]])
    np.testing.assert_allclose(measure(analysis_of(posteriors), vectors).effective, expected, rtol=1e-3)


def limited(values, error, lower, seed=0):
    """Posteriors under a uniform prior that begins at a limit."""
    from classy_pm.plan import make_plan

    model = cpm.Collection(source=cpm.Collection(flux=cpm.UniformPrior(lower, 20.0)))
    support = SelectedPrior(make_plan(model), ["source.flux"])
    rng = np.random.default_rng(seed)
    for place, value in enumerate(values):
        x = rng.normal(value, error, 20_000)
        x = x[x > lower][:1000]
        offset = np.full(len(x), -np.log(len(x)) + np.log(20.0 - lower))
        yield Posterior(f"object_{place}", x[np.newaxis], offset, support=support)


def test_a_parent_beyond_the_priors_of_its_objects_is_told():
    values = measured(60, 1.0, 0.7, seed=1)
    analysis = analysis_of(limited(values, 0.7, lower=0.0))
    notices = examine(analysis, Grid(of(analysis), values, size=(11, 31), sigma_to=2.5).draws()).notices
    assert any("reaches beyond the priors of 47 objects" in notice for notice in notices)


def test_priors_that_end_where_no_object_is_are_no_matter():
    values = measured(60, 1.0, 0.1, seed=1)
    analysis = analysis_of(limited(values, 0.1, lower=np.min(values) - 0.5))
    trust = measure(analysis, Grid(of(analysis), values, size=(11, 31), sigma_to=2.5).draws())
    np.testing.assert_array_equal(trust.outside, 0.0)


def test_of_a_single_best_point_nothing_is_claimed():
    analysis = analysis_of(drawn(np.array([1.0, 2.0]), 1.0, 40, seed=1))
    (notice,) = examine(analysis, np.array([[1.0, 0.5]])).notices
    assert "it cannot be seen whether" in notice
