"""A posterior as the priors of a next fit: four rules, what survives them, and where a prior comes from."""

import copy
import json

import numpy as np
import pytest

import classy_pm as cpm
from classy_pm.catalog import part_key
from classy_pm.errors import ModelError, SettingError
from classy_pm.model.prior import WidthModifier
from classy_pm.plan import make_plan
from classy_pm.result.tree import make_tree
from classy_pm.result.weighted import standard_deviations

FIT = "0123456789abcdef" * 4


class Light:
    def __init__(self, centre=(0.0, 0.0), flux=1.0, bands=None):
        self.centre, self.flux, self.bands = centre, flux, bands


class Flat(cpm.Analysis):
    def log_likelihood_function(self, instance):
        return 0.0


def result_of(model, medians, widths, *, fit=FIT, seed=1, number=400, weights=None):
    plan = make_plan(model)
    vectors = np.random.default_rng(seed).normal(medians, widths, size=(1, number, plan.size))
    posterior = dict(zip(plan.names, plan.split(vectors), strict=True))
    for path, derived in plan.derived:
        posterior[".".join(path)] = plan.derived_values(derived, vectors)
    zeros = np.zeros(vectors.shape[:-1])
    tree = make_tree(posterior, zeros, zeros, free=plan.names, attributes={"kind": "chains"})
    return cpm.Result(model, tree, identifier=fit)


def everything():
    """Links, arithmetic, an assertion, constants, a tuple, a list, an extra attribute, a parent."""
    mean = cpm.UniformPrior(0.0, 20.0)
    left = cpm.Model(
        Light, centre=(cpm.UniformPrior(0.0, 10.0), 2.0), flux=cpm.LogUniformPrior(0.1, 100.0), bands="gri"
    )
    left.colour = cpm.GaussianPrior(5.0, 1.0)
    model = cpm.Collection(left=left, right=cpm.Model(Light, bands=[cpm.UniformPrior(0.0, 9.0), 3]))
    model.right.centre_0 = left.centre_0
    model.right.centre_1 = 2.0 * left.flux
    model.right.flux = cpm.GaussianPrior(mean, 1.0)
    model.add_assertion(left.flux > 4.0, name="bright")
    return model


NAMES = ["left.centre_0", "left.flux", "left.colour", "right.flux.mean", "right.flux", "right.bands.0"]
MEDIANS, WIDTHS = [5.0, 8.0, 5.0, 10.0, 10.5, 3.0], [0.1, 0.5, 0.2, 0.3, 0.4, 0.05]
WAYS = {
    "model": lambda result: result.model,
    "absolute": lambda result: result.model_centred_absolute(0.5),
    "relative": lambda result: result.model_centred_relative(0.1),
    "bounded": lambda result: result.model_bounded(0.5),
}


@pytest.fixture
def result():
    return result_of(everything(), MEDIANS, WIDTHS)


@pytest.mark.parametrize("way", WAYS)
def test_all_that_a_model_has_survives(result, way):
    assert list(make_plan(result._model).names) == NAMES
    model = WAYS[way](result)
    assert list(make_plan(model).names) == NAMES
    assert model.right.centre_0 is model.left.centre_0 and model.left.centre_1 == 2.0
    assert model.left.bands == "gri" and model.right.bands[1] == 3 and type(model.right.bands[1]) is int
    assert model.right.flux.arguments["mean"] is not result._model.right.flux.arguments["mean"]
    assert model.right.flux.arguments["sigma"] == 1.0 and not model.right.flux.origins
    vector = np.array(result.samples.median_pdf_vector)
    instance = model.instance_from_vector(vector)
    assert instance.left.centre == (vector[0], 2.0) and instance.right.centre == (vector[0], 2.0 * vector[1])
    assert instance.left.colour == vector[2] and instance.right.bands == [vector[5], 3]
    with pytest.raises(cpm.FitException):
        model.instance_from_vector(np.where(np.arange(6) == 1, 3.9, vector))
    assert WAYS[way](result) is model, "parts taken from it one after the other share their parameters"
    assert np.isfinite(make_plan(model).log_prior(vector))


def test_the_rules_give_the_widths_that_they_say_within_the_old_limits(result):
    median = result.samples.median_pdf_vector
    sd = np.std(result.samples.vectors, axis=0, ddof=1)
    own = result.model.left.flux
    assert own.arguments["mean"] == median[1] and own.limits == (0.1, 100.0)
    assert own.arguments["sigma"] == pytest.approx(3.0 * sd[1], rel=1e-12)
    assert result.model_centred_absolute(0.25).left.flux.arguments["sigma"] == 0.25
    relative = result.model_centred_relative(0.25).left.flux
    assert relative.arguments["sigma"] == 0.25 * median[1] and relative.limits == (0.1, 100.0)
    bounded = result.model_bounded(7.0)
    assert isinstance(bounded.left.flux, cpm.UniformPrior)
    assert bounded.left.flux.limits == (median[1] - 7.0, median[1] + 7.0)
    assert bounded.left.centre_0.limits == (0.0, 10.0) and bounded.right.bands[0].limits == (0.0, 9.0)


@pytest.mark.parametrize("amount", [0, -1.0, float("nan"), float("inf"), "1", True, None, [1.0]])
def test_what_is_no_width_is_refused_with_what_to_write(result, amount):
    for method in ("model_centred_absolute", "model_centred_relative", "model_bounded"):
        with pytest.raises(SettingError, match=rf"{method}\(.*\n?Write for example result\.{method}\(0\.1\)"):
            getattr(result, method)(amount)


def test_a_width_may_be_any_real_number(result):
    model = result.model_bounded(np.float32(0.5))
    assert result.model_bounded(0.5) is model


def test_a_median_of_zero_and_one_beyond_the_limits_are_told_by_name_all_at_once():
    priors = {name: cpm.GaussianPrior(0.0, 1.0) for name in ("a", "b", "c")}
    result = result_of(cpm.Collection(priors), [0.0, 0.0, 1.0], [0.0, 0.0, 0.1])
    with pytest.raises(
        ModelError, match=r"(?s)a: has its median at zero.*b: has its median at zero"
    ) as caught:
        result.model_centred_relative(0.1)
    assert "c:" not in str(caught.value)
    model = cpm.Collection(priors)
    model.c.chained_limits = (2.0, 3.0)
    with pytest.raises(ModelError, match="c: has its median beyond the limits"):
        result_of(model, [1.0, 1.0, 1.0], [0.1, 0.1, 0.1]).model_bounded(0.5)
    with pytest.raises(ModelError, match="c: has a width that is nothing beside its median"):
        result_of(cpm.Collection(c=cpm.GaussianPrior(0.0, 1e20)), [1e20], [1e18]).model_bounded(0.5)


def test_a_single_point_has_a_middle_for_the_rules_that_need_no_errors():
    model = cpm.Collection(x=cpm.UniformPrior(0.0, 10.0))
    result = result_of(model, [9.9], [0.0], number=1)
    with pytest.raises(ModelError, match=r"x: has no width.*\n.*model_centred_absolute\(0\.1\)"):
        _ = result.model
    assert result.model_bounded(0.5).x.limits == (9.4, 10.0)
    assert result.model_centred_absolute(0.5).x.arguments == {
        "mean": 9.9, "sigma": 0.5, "lower_limit": 0.0, "upper_limit": 10.0
    }  # fmt: skip


def test_the_standard_deviation_of_equal_draws_is_zero_and_of_huge_ones_finite():
    same = np.full((800, 1), 25.1)
    assert standard_deviations(same)[0] == 0.0
    values = np.random.default_rng(1).normal(size=(500, 2)) * [1e200, 1e-200] + [1e200, 1.0]
    np.testing.assert_allclose(standard_deviations(values)[0], 1e200, rtol=0.1)
    weights = np.random.default_rng(2).random(500)
    plain = np.random.default_rng(1).normal([3.0, 1e6], [1.0, 2.0], size=(500, 2))
    expected = np.sqrt(np.diag(np.cov(plain.T, aweights=weights)))
    np.testing.assert_allclose(standard_deviations(plain, weights), expected, rtol=1e-9)
    assert np.isnan(standard_deviations(np.ones((1, 1)))[0])
    far = np.concatenate([[[0.3]], same])
    assert standard_deviations(far, np.arange(801) / 1e3)[0] == 0.0, "a draw without weight is none"


def test_each_number_of_an_array_has_limits_of_its_own_and_can_be_chained_again():
    model = cpm.Collection(weights=cpm.Array((2, 2), cpm.UniformPrior(0.0, 10.0)))
    result = result_of(model, [0.5, 3.0, 5.0, 7.0], [0.1, 0.2, 0.3, 0.4])
    bounded = result.model_bounded(1.0)
    median = np.reshape(result.samples.median_pdf_vector, (2, 2))
    np.testing.assert_array_equal(bounded.weights.arguments["upper_limit"], median + 1.0)
    np.testing.assert_array_equal(bounded.weights.arguments["lower_limit"], np.fmax(median - 1.0, 0.0))
    assert bounded.weights.limits == (0.0, float(median.max() + 1.0))
    again = result_of(bounded, median.ravel(), [0.1, 0.2, 0.3, 0.4], fit="f" * 64, seed=2)
    next_model = again.model
    vector = median.ravel() + 0.05
    arguments = next_model.weights.arguments
    each = [
        cpm.GaussianPrior(*(float(np.ravel(argument)[place]) for argument in arguments.values()))
        for place in range(4)
    ]
    expected = sum(prior.logpdf(value) for prior, value in zip(each, vector, strict=True))
    assert make_plan(next_model).log_prior(vector) == pytest.approx(expected)
    assert make_plan(next_model).log_prior(median.ravel() + 1.01) == -np.inf
    pymc_model = cpm.to_pymc(next_model, Flat())
    (value,) = pymc_model.value_vars
    (rv,) = pymc_model.free_RVs
    point = {
        value.name: pymc_model.rvs_to_transforms[rv].forward(vector.reshape(2, 2), *rv.owner.inputs).eval()
    }
    log_density = pymc_model.compile_logp(jacobian=False, mode="FAST_COMPILE")(point)
    assert float(log_density) == pytest.approx(expected)
    drawn = make_plan(next_model).draws(2000, random_seed=1)
    assert np.all(drawn <= np.ravel(median + 1.0)) and np.all(drawn >= np.ravel(np.fmax(median - 1.0, 0.0)))


# -- parts ------------------------------------------------------------------------------------------


def two_pieces():
    model = cpm.Collection(
        left=cpm.Model(Light, centre=(1.0, 2.0)), right=cpm.Model(Light, centre=(1.0, 2.0))
    )
    model.left.flux, model.right.flux = cpm.UniformPrior(0.0, 10.0), cpm.UniformPrior(0.0, 10.0)
    return model


@pytest.mark.parametrize("way", WAYS)
def test_pieces_of_several_results_are_put_together(way):
    first = WAYS[way](result_of(two_pieces(), [2.0, 3.0], [0.1, 0.1], fit="a" * 64))
    second = WAYS[way](result_of(two_pieces(), [4.0, 5.0], [0.1, 0.1], fit="b" * 64, seed=2))
    model = cpm.Collection(left=first.left, right=second.right)
    assert model.left.flux is first.left.flux and model.total_free_parameters == 2
    medians = make_plan(model).vector_from_unit(np.array([0.5, 0.5]))
    np.testing.assert_allclose(medians, [2.0, 5.0], atol=0.1)
    assert {prior.origins[0].fit[0] for prior in (model.left.flux, model.right.flux)} == {"a", "b"}


def test_an_assertion_of_the_whole_stays_with_the_whole_and_one_of_a_part_goes_with_it():
    model = two_pieces()
    model.add_assertion(model.left.flux < model.right.flux)
    model.left.add_assertion(model.left.flux > 1.0, name="bright")
    chained = result_of(model, [2.0, 5.0], [0.1, 0.1]).model
    other = result_of(two_pieces(), [4.0, 1.5], [0.1, 0.1], seed=2).model
    together = cpm.Collection(left=chained.left, right=other.right)
    assert [name for name, _ in make_plan(together).layout.assertions] == ["left.bright"]
    assert np.isfinite(make_plan(together).log_prior([2.0, 1.5])), "the old assertion would not hold"
    with pytest.raises(cpm.FitException):
        chained.instance_from_vector([5.0, 2.0])


def test_an_assertion_of_a_part_about_what_is_not_there_is_told_with_what_to_write():
    model = two_pieces()
    model.left.add_assertion(model.left.flux < model.right.flux)
    chained = result_of(model, [2.0, 5.0], [0.1, 0.1]).model
    together = cpm.Collection(left=chained.left, right=chained.right)
    assert len(make_plan(together).layout.assertions) == 1, "all that it speaks of is there"
    with pytest.raises(ModelError, match=r"(?s)left\.assertion_0.*with_paths"):
        make_plan(cpm.Collection(left=chained.left, right=1.0))
    alone = cpm.Collection(left=chained.with_paths(["left"]).left, right=1.0)
    assert not make_plan(alone).layout.assertions


# -- where a prior comes from -------------------------------------------------------------------------


def key_of(model):
    return part_key(make_plan(model).identity)


def test_a_chained_prior_is_identified_by_its_fit_and_not_by_its_numbers(result):
    other_draws = result_of(everything(), MEDIANS, WIDTHS, seed=7)
    another_fit = result_of(everything(), MEDIANS, WIDTHS, fit="f" * 64)
    keys = {key_of(WAYS[way](each)) for way in WAYS for each in (result, other_draws)}
    assert len(keys) == len(WAYS), "by the rule, and the same for other draws of the same fit"
    assert key_of(another_fit.model) not in keys
    assert key_of(result.model_bounded(0.5)) != key_of(result.model_bounded(0.6))
    identity = make_plan(result.model).identity["parameters"]
    flux = dict(identity)["left.flux"]
    assert flux["from"][0]["fit"] == FIT and flux["from"][0]["parameter"] == "left.flux"
    assert "arguments" in dict(identity)["right.flux"], "what is drawn from a parent has its own prior"


def test_no_number_of_any_fit_before_is_in_the_identity():
    def third(seed):
        model = cpm.Collection(x=cpm.UniformPrior(0.0, 10.0), w=cpm.Array(2, cpm.UniformPrior(0.0, 10.0)))
        first = result_of(model, [5.0, 6.0, 7.0], [0.1, 0.1, 0.1], seed=seed, fit="a" * 64)
        second = result_of(
            first.model_bounded(1.0), [5.0, 6.0, 7.0], [0.1, 0.1, 0.1], seed=seed, fit="b" * 64
        )
        return second.model

    one, other = third(1), third(2)
    assert one.x.limits != other.x.limits and key_of(one) == key_of(other)


def test_configured_widths_and_limits_are_part_of_where_it_comes_from():
    def key(change):
        model = cpm.Collection(x=cpm.UniformPrior(0.0, 10.0))
        change(model.x)
        return key_of(result_of(model, [5.0], [0.1]).model)

    keys = {
        key(lambda prior: None),
        key(lambda prior: setattr(prior, "width_modifier", WidthModifier("Absolute", 1.0))),
        key(lambda prior: setattr(prior, "width_modifier", WidthModifier("Relative", 1.0))),
        key(lambda prior: setattr(prior, "chained_limits", (0.0, 20.0))),
    }
    assert len(keys) == 4


def test_copies_keep_where_a_prior_comes_from_and_a_change_forgets_it(result):
    model, key = result.model, key_of(result.model)
    read = cpm.Collection.from_dict(json.loads(json.dumps(model.to_dict())), classes=[Light])
    for same in (model.copy(), copy.copy(model), copy.deepcopy(model), read):
        assert key_of(same) == key
        assert make_plan(same).log_prior(np.array(MEDIANS)) == make_plan(model).log_prior(np.array(MEDIANS))
    prior = model.left.flux
    assert prior.copy().origins == prior.origins != ()
    assert not prior.with_arguments({**prior.arguments, "sigma": 9.0}).origins
    assert not cpm.Array(3, prior).origins
    changed = model.copy()
    changed.left.flux.arguments["sigma"] *= 2.0
    assert not changed.left.flux.origins and key_of(changed) != key


def test_a_model_without_chained_priors_says_nothing_of_it():
    (entry,) = make_plan(cpm.Collection(x=cpm.UniformPrior(0.0, 10.0))).identity["parameters"]
    assert entry == [
        "x", {"prior": "UniformPrior", "shape": [], "arguments": {"lower_limit": 0.0, "upper_limit": 10.0}}
    ]  # fmt: skip
