"""Where an ensemble starts."""

import numpy as np
import pytest

import classy_pm as cpm
from classy_pm.errors import SettingError
from classy_pm.plan import make_plan
from classy_pm.result.tree import make_tree
from classy_pm.search.identity import Identity


class Point:
    def __init__(self, x=0.0, y=0.0):
        self.x, self.y = x, y


@pytest.fixture
def model():
    point = cpm.Model(Point, x=cpm.UniformPrior(0.0, 10.0), y=cpm.GaussianPrior(1.0, 2.0))
    return cpm.Collection(point=point)


def start(initializer, model):
    return initializer.vectors(make_plan(model), 500, np.random.default_rng(1))


def test_a_ball_lies_between_two_prior_probabilities(model):
    x, _ = start(cpm.InitializerBall(0.4, 0.6), model).T
    assert 4.0 <= x.min() < 4.1 and 5.9 < x.max() <= 6.0


@pytest.mark.parametrize("by_name", [True, False])
def test_bounds_and_start_points_are_those_of_their_parameters_and_the_others_have_the_prior(model, by_name):
    key = "point.x" if by_name else model.point.x
    x, y = start(cpm.InitializerParamBounds({key: (2.0, 3.0)}), model).T
    assert 2.0 <= x.min() < 2.1 and 2.9 < x.max() <= 3.0 and 1.8 < y.std() < 2.2
    x, y = start(cpm.InitializerParamStartPoints({key: 2.0}), model).T
    np.testing.assert_allclose(x, 2.0, atol=0.07)
    assert x.std() > 0.01 and 1.8 < y.std() < 2.2


def test_a_parameter_that_is_not_there_is_refused_with_the_near_name(model):
    with pytest.raises(SettingError, match=r"point\.x"):
        start(cpm.InitializerParamBounds({"pont.x": (2.0, 3.0)}), model)
    with pytest.raises(SettingError, match="hold nothing"):
        start(cpm.InitializerParamBounds({"point.x": (3.0, 2.0)}), model)


def test_by_prior_and_by_name_is_the_same_fit(model):
    class Flat(cpm.Analysis):
        def log_likelihood_function(self, instance):
            return 0.0

    plan = make_plan(model)
    keys = {
        Identity.of(cpm.Emcee(initializer=cpm.InitializerParamStartPoints({key: value})), plan, Flat()).key
        for key, value in (("point.x", 2.0), (model.point.x, 2.0), ("point.x", 3.0))
    }
    assert len(keys) == 2


# -- the draws of another fit ---------------------------------------------------------------------------


class Flat(cpm.Analysis):
    def log_likelihood_function(self, instance):
        return 0.0


def fit_of(model, medians, widths, *, number=400, kind="chains", fit="a" * 64, weighted=False, given=None):
    plan = make_plan(model)
    vectors = given
    if vectors is None:
        vectors = np.random.default_rng(1).normal(medians, widths, (number, plan.size))
    vectors = vectors[np.newaxis]
    number = vectors.shape[1]
    values, zeros = dict(zip(plan.names, plan.split(vectors), strict=True)), np.zeros((1, number))
    nested = None
    if weighted:  # the first half of the draws has all of the weight
        nested = {name: column[0] for name, column in values.items()}
        nested |= {name: np.zeros(number) for name in ("total_log_likelihood", "log_prior")}
        nested["log_weight"] = np.where(np.arange(number) < number // 2, 0.0, -np.inf) - np.log(number // 2)
    tree = make_tree(values, zeros, zeros, free=plan.names, attributes={"kind": kind}, weighted=nested)
    return cpm.Result(model, tree, identifier=fit)


def rows(array):
    return {row.tobytes() for row in np.ascontiguousarray(array)}


def test_walkers_start_at_different_draws_of_another_fit(model):
    first = fit_of(model, [3.0, -1.0], [0.1, 0.2])
    vectors = cpm.InitializerResult(first).vectors(make_plan(model), 50, np.random.default_rng(2))
    assert len(rows(vectors)) == 50 and rows(vectors) <= rows(first.samples.vectors)


def test_draws_without_weight_are_no_start(model):
    first = fit_of(model, [3.0, -1.0], [0.1, 0.2], weighted=True)
    initializer, plan = cpm.InitializerResult(first), make_plan(model)
    with_weight = rows(first.samples.vectors[np.array(first.samples.weight_list) > 0.0])
    assert len(with_weight) == 200
    assert rows(initializer.vectors(plan, 50, np.random.default_rng(2))) <= with_weight
    assert rows(initializer.draws(plan, 500, np.random.default_rng(2))) <= with_weight


def test_where_there_are_too_few_draws_it_starts_close_to_them(model):
    point = fit_of(model, [3.0, -1.0], [0.0, 0.0], number=1, kind="optimum")
    vectors = cpm.InitializerResult(point).vectors(make_plan(model), 20, np.random.default_rng(2))
    assert len(rows(vectors)) == 20
    np.testing.assert_allclose(vectors, np.broadcast_to([3.0, -1.0], (20, 2)), atol=0.07)
    assert np.linalg.matrix_rank(vectors - vectors[0]) == 2, "an ensemble can move in all directions"


def test_parameters_that_the_other_fit_does_not_have_start_in_their_prior(model):
    first = fit_of(model, [3.0, -1.0], [0.1, 0.2])
    more = cpm.Collection(z=cpm.UniformPrior(5.0, 6.0), point=model.point)
    plan, initializer = make_plan(more), cpm.InitializerResult(first)
    z, x, y = initializer.vectors(plan, 300, np.random.default_rng(2)).T
    assert 5.0 <= z.min() < 5.1 and 5.9 < z.max() <= 6.0 and abs(x.mean() - 3.0) < 0.1 and y.max() < 0.0
    assert initializer.draws(plan, 300, np.random.default_rng(2))[:, 0].std() > 0.25


def test_a_fit_without_a_parameter_in_common_is_refused_with_the_names(model):
    first = fit_of(model, [3.0, -1.0], [0.1, 0.2])
    other = make_plan(cpm.Collection(z=cpm.UniformPrior(5.0, 6.0)))
    with pytest.raises(SettingError, match=r"point\.x.*the model has z"):
        cpm.InitializerResult(first).vectors(other, 10, np.random.default_rng(1))
    for given in (None, "fit", first.samples):
        with pytest.raises(SettingError, match="has no draws"):
            cpm.InitializerResult(given)
    with pytest.raises(SettingError, match="initializer"):
        cpm.NUTS(initializer=first)


def test_a_fit_that_starts_at_draws_is_identified_by_their_fit_and_not_by_the_draws(model):
    plan = make_plan(model)

    def key(search):
        return Identity.of(search, plan, Flat()).key

    first, again = fit_of(model, [3.0, -1.0], [0.1, 0.2]), fit_of(model, [2.0, -1.0], [0.1, 0.3])
    other = fit_of(model, [3.0, -1.0], [0.1, 0.2], fit="b" * 64)
    for search in (cpm.Emcee, cpm.NUTS):
        keys = [key(search(initializer=cpm.InitializerResult(fit))) for fit in (first, again, other)]
        assert keys[0] == keys[1] != keys[2] and key(search()) not in keys
    assert "initializer" not in cpm.NUTS().identifying_settings(plan), "as before there was such a setting"
    assert "aaaaaaaaaaaa" in repr(cpm.NUTS(initializer=cpm.InitializerResult(first)))


def test_emcee_starts_there(model):
    class Near(cpm.Analysis):
        def log_likelihood_function(self, instance):
            self.seen.append((instance.point.x, instance.point.y))
            return -0.5 * ((instance.point.x - 3.0) / 0.1) ** 2 - 0.5 * ((instance.point.y + 1.0) / 0.2) ** 2

        def __identity__(self):
            return {}

    analysis = Near()
    analysis.seen = []
    first = fit_of(model, [3.0, -1.0], [0.1, 0.2])
    search = cpm.Emcee(
        nwalkers=8, nsteps=60, random_seed=1, progress=False, initializer=cpm.InitializerResult(first)
    )
    search.fit(model, analysis)
    assert rows(np.array(analysis.seen)) & rows(first.samples.vectors)


class Correlated(cpm.Analysis):
    """Strongly correlated."""

    def log_likelihood_function(self, instance):
        x, y = instance.point.x, instance.point.y
        return -0.5 * ((y - 0.8 * x + 2.0) / 0.005) ** 2


# The other fit's posterior: much the same, or with no correlation.
OF_DRAWS = {"alike": 0.006, "poor": 0.2}


@pytest.mark.parametrize("draws", OF_DRAWS)
@pytest.mark.parametrize("sampler", ["nutpie", "pymc"])
def test_nuts_samples_the_same_posterior_from_there_with_the_mass_matrix_of_the_draws(model, sampler, draws):
    model.point.x = cpm.GaussianPrior(3.0, 0.5)
    x, off = np.random.default_rng(1).normal([3.1, 0.0], [0.4, OF_DRAWS[draws]], (2000, 2)).T
    given = np.transpose([x, 0.8 * (x if draws == "alike" else 3.0) - 2.0 + off])
    initializer = cpm.InitializerResult(fit_of(model, [], [], given=given))
    settings = {"draws": 500, "tune": 500, "chains": 2, "random_seed": 1, "progress": False}
    result = cpm.NUTS(sampler=sampler, initializer=initializer, **settings).fit(model, Correlated())
    table = result.summary()
    # With the priors of x, 3.0 and 0.5, and y, 1.0 and 2.0, it is a normal density.
    tight = 0.005**-2
    precision = np.array([[0.5**-2 + 0.64 * tight, -0.8 * tight], [-0.8 * tight, tight + 0.25]])
    shift = np.array([3.0 / 0.5**2 + 1.6 * tight, -2.0 * tight + 0.25])
    mean, sd = np.linalg.solve(precision, shift), np.sqrt(np.diag(np.linalg.inv(precision)))
    assert np.all(np.abs(table["mean"] - mean) < 5.0 * sd / np.sqrt(table["ess"]))
    np.testing.assert_allclose(table["sd"], sd, rtol=0.15)
    assert table["ess"].min() > 200.0 and result.notices == []
    if draws == "alike":
        assert result.idata["sample_stats"]["n_steps"].mean() < 8.0, "the posterior is round to the sampler"
