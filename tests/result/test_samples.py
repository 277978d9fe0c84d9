"""Samples: weighted and unweighted draws, in the talk's words."""

import doctest

import numpy as np
import pytest
from scipy import stats

import classy_pm as cpm
from classy_pm.errors import ClassyError, ModelError, SettingError, UnknownNameError
from classy_pm.plan import make_plan
from classy_pm.result import table, weighted
from classy_pm.result.tree import make_tree, table_of
from classy_pm.result.weighted import covariance, effective_size, quantiles


class Point:
    def __init__(self, x=0.0, y=0.0):
        self.x, self.y = x, y


NAMES = ["x", "y"]


@pytest.fixture(scope="module")
def model():
    return cpm.Model(Point, x=cpm.UniformPrior(-50.0, 50.0), y=cpm.GaussianPrior(1.0, 2.0))


def samples_of(model, vectors, log_likelihood=None, weights=None, **attributes):
    """Vectors are of shape (chain, draw, size); with weights, of shape (draw, size)."""
    vectors = np.asarray(vectors, dtype=float)
    plan = make_plan(model)
    with_weights = None
    if weights is not None:
        with np.errstate(divide="ignore"):
            log_weights = np.log(weights / np.sum(weights))
        with_weights = {
            **dict(zip(plan.names, plan.split(vectors), strict=True)),
            "log_weight": log_weights,
            "total_log_likelihood": log_likelihood,
            "log_prior": plan.log_prior(vectors),
        }
        vectors, log_likelihood = vectors[np.newaxis, :5], log_likelihood[np.newaxis, :5]
    if log_likelihood is None:
        log_likelihood = -0.5 * np.sum(vectors**2, axis=-1)
    tree = make_tree(
        dict(zip(plan.names, plan.split(vectors), strict=True)),
        log_likelihood,
        plan.log_prior(vectors),
        free=plan.names,
        weighted=with_weights,
        attributes=attributes,
    )
    return cpm.Samples(tree, plan)


@pytest.fixture(scope="module")
def chains(model):
    return samples_of(model, np.random.default_rng(1).normal(size=(4, 250, 2)))


@pytest.fixture(scope="module")
def nested(model):
    """Draws of a wide normal, weighted so that they are those of a standard normal around (1, -1)."""
    vectors = np.random.default_rng(2).normal(0.0, 4.0, size=(60_000, 2))
    target = stats.norm.logpdf(vectors, [1.0, -1.0], 1.0).sum(axis=-1)
    weights = np.exp(target - stats.norm.logpdf(vectors, 0.0, 4.0).sum(axis=-1))
    return samples_of(model, vectors, target, weights, kind="nested", log_evidence=-3.5)


def test_weights_that_are_equal_give_numpys_quantiles_and_covariance():
    values = np.random.default_rng(1).normal(size=(101, 3))
    equal = np.full(101, 0.3)
    probabilities = [0.0, 0.01, 0.1587, 0.5, 0.77, 1.0]
    expected = np.quantile(values, probabilities, axis=0)
    np.testing.assert_allclose(quantiles(values, probabilities, equal), expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(covariance(values, equal), np.cov(values.T), rtol=1e-12)
    assert effective_size(equal) == pytest.approx(101.0)


def test_draws_of_weight_zero_count_for_nothing():
    values = np.random.default_rng(1).normal(size=50)
    weights = np.random.default_rng(2).random(50)
    more, none = np.concatenate([values, values + 100.0]), np.concatenate([weights, np.zeros(50)])
    probabilities = [0.1, 0.5, 0.999]
    np.testing.assert_allclose(
        quantiles(more, probabilities, none), quantiles(values, probabilities, weights), rtol=1e-12
    )


@pytest.mark.parametrize("sigma, probability", [(1.0, 0.682689), (2.0, 0.9545), (3.0, 0.9973)])
def test_one_sigma_holds_the_same_probability_whether_draws_have_weights_or_not(
    sigma, probability, chains, nested
):
    for samples, tolerance in [(chains, 3e-3), (nested, 3e-3)]:
        limits = samples.vector_at_lower_sigma(sigma), samples.vector_at_upper_sigma(sigma)
        inside = (samples.vectors > limits[0]) & (samples.vectors < limits[1])
        held = np.array(samples.weight_list) @ inside
        np.testing.assert_allclose(held, probability, atol=tolerance)


def test_weighted_statistics_are_those_of_the_posterior(nested):
    error = 4.0 / np.sqrt(effective_size(np.array(nested.weight_list)))
    np.testing.assert_allclose(nested.mean_vector, [1.0, -1.0], atol=error)
    np.testing.assert_allclose(nested.median_pdf_vector, [1.0, -1.0], atol=1.3 * error)
    np.testing.assert_allclose(nested.covariance_matrix, np.eye(2), atol=2.0 * error)
    np.testing.assert_allclose(nested.errors_at_sigma(1.0), np.ones((2, 2)), atol=2.0 * error)
    np.testing.assert_allclose(nested.values_at_sigma(1.0), [(0.0, 2.0), (-2.0, 0.0)], atol=2.0 * error)
    assert sum(nested.weight_list) == pytest.approx(1.0) and nested.log_evidence == -3.5


def test_samples_and_summary_say_the_same_of_weighted_draws(nested):
    rows = table_of(nested_tree(nested))
    assert [rows[name]["median"] for name in NAMES] == pytest.approx(nested.median_pdf_vector)
    assert [rows[name]["lower_3_sigma"] for name in NAMES] == pytest.approx(nested.vector_at_lower_sigma(3.0))
    variances = [rows[name]["sd"] ** 2 for name in NAMES]
    assert variances == pytest.approx(np.diag(nested.covariance_matrix))
    assert rows["x"]["ess"] == pytest.approx(effective_size(np.array(nested.weight_list)))


def nested_tree(samples):
    with_weights = {
        "x": samples.vectors[:, 0],
        "y": samples.vectors[:, 1],
        "log_weight": np.log(samples.weight_list),
        "total_log_likelihood": np.array(samples.log_likelihood_list),
        "log_prior": np.array(samples.log_prior_list),
    }
    few = samples.vectors[np.newaxis, :10]
    return make_tree(
        {"x": few[..., 0], "y": few[..., 1]}, few[..., 0], few[..., 0], free=NAMES, weighted=with_weights
    )


@pytest.mark.parametrize("kind", ["chains", "nested"])
def test_each_vector_keeps_its_own_log_likelihood_thinned_or_not(kind, request):
    samples = request.getfixturevalue(kind)
    original = dict(zip(map(tuple, samples.parameter_lists), samples.log_likelihood_list, strict=True))
    parts = [
        samples,
        samples.thinned(7),
        samples.samples_above_weight_threshold(1e-6),
        samples.drawn_randomly(50, random_seed=1),
    ]
    for part in parts:
        for vector, value in zip(part.parameter_lists, part.log_likelihood_list, strict=True):
            assert original[tuple(vector)] == value
        best = int(np.argmax(part.log_likelihood_list))
        assert part.max_log_likelihood_vector == part.parameter_lists[best]
        assert part.max_log_likelihood == part.log_likelihood_list[best]
        assert part.max_log_likelihood_instance.x == part.parameter_lists[best][0]
        assert sum(part.weight_list) == pytest.approx(1.0)


def test_the_most_probable_draw_counts_the_prior(model):
    vectors = [[[0.0, 9.0], [0.0, 1.0]]]
    samples = samples_of(model, vectors, np.array([[0.1, 0.0]]))
    assert samples.max_log_likelihood_vector == [0.0, 9.0]
    assert samples.max_log_posterior_vector == [0.0, 1.0] and samples.max_log_posterior_instance.y == 1.0
    assert samples.max_log_posterior == max(samples.log_posterior_list)
    np.testing.assert_allclose(
        samples.log_posterior_list, np.add(samples.log_likelihood_list, samples.log_prior_list)
    )


def test_thinning_is_along_each_chain(chains):
    thinned = chains.thinned(100)
    expected = chains.vectors.reshape(4, 250, 2)[:, ::100].reshape(-1, 2)
    np.testing.assert_array_equal(thinned.vectors, expected)
    np.testing.assert_array_equal(
        thinned.thinned(2).vectors, expected.reshape(4, 3, 2)[:, ::2].reshape(-1, 2)
    )
    with pytest.raises(ClassyError, match="keeps no draws"):
        chains.thinned(0)


def test_draws_come_as_instances_one_after_the_other(chains):
    instances = chains.instances()
    assert next(instances).x == chains.parameter_lists[0][0]
    assert next(instances).y == chains.parameter_lists[1][1]
    assert sum(1 for _ in instances) == len(chains) - 2


def test_random_draws_follow_the_weights_and_the_seed(nested):
    drawn = nested.drawn_randomly(20_000, random_seed=3)
    np.testing.assert_allclose(drawn.vectors.mean(axis=0), [1.0, -1.0], atol=0.06)
    np.testing.assert_allclose(drawn.vectors.std(axis=0), 1.0, atol=0.06)
    again = nested.drawn_randomly(20_000, random_seed=3)
    np.testing.assert_array_equal(drawn.vectors, again.vectors)
    one = nested.instance_drawn_randomly(random_seed=3)
    assert one.x == nested.instance_drawn_randomly(random_seed=3).x
    assert one.x != nested.instance_drawn_randomly(random_seed=4).x


def test_too_high_a_weight_threshold_is_refused(nested):
    with pytest.raises(ClassyError, match="greatest is"):
        nested.samples_above_weight_threshold(1.0)


def test_a_part_of_the_parameters_has_their_columns_and_their_instances():
    model = cpm.Collection(left=Point, right=Point)
    for part in (model.left, model.right):
        part.x, part.y = cpm.UniformPrior(-50.0, 50.0), cpm.UniformPrior(-50.0, 50.0)
    model.right.x = model.left.x
    samples = samples_of(model, np.random.default_rng(1).normal(size=(2, 20, 3)))
    right = samples.with_paths(["right"])
    assert right.names == ["right.x", "right.y"]
    np.testing.assert_array_equal(right.vectors, samples.vectors[:, [0, 2]])
    assert right.log_likelihood_list == samples.log_likelihood_list
    assert right.median_pdf_instance.right.x == samples.median_pdf_vector[0]
    left = samples.without_paths([("right", "y")])
    assert left.names == ["left.x", "left.y"]


class Planet:
    def __init__(self, phase, period):
        self.phase, self.period = phase, period


def test_a_part_of_a_class_without_defaults_has_draws_and_says_why_no_instances():
    model = cpm.Collection(planet=Planet, jitter=cpm.UniformPrior(0.0, 9.0))
    model.planet.phase, model.planet.period = cpm.UniformPrior(0.0, 1.0), cpm.UniformPrior(0.0, 9.0)
    samples = samples_of(model, np.random.default_rng(1).normal(size=(2, 20, 3)))
    for part in (
        samples.with_paths("planet.period"),
        samples.with_paths("planet").with_paths("planet.period"),
    ):
        assert part.names == ["planet.period"]
        np.testing.assert_array_equal(part.vectors, samples.vectors[:, [1]])
        with pytest.raises(ModelError, match=r"No instance .* `planet.phase` cannot be left out"):
            part.median_pdf_instance  # noqa: B018
    assert samples.without_paths("planet.phase").names == ["planet.period", "jitter"]
    assert hasattr(samples.with_paths("planet").median_pdf_instance.planet, "phase")
    with pytest.raises(ModelError, match="no such paths"):
        samples.with_paths("planet.mass")
    with pytest.raises(ModelError):
        samples.without_paths(["planet", "jitter"])


@pytest.mark.parametrize("sigma", [-1, "1", float("nan"), None])
def test_what_is_no_width_of_an_interval_is_refused(chains, sigma):
    with pytest.raises(SettingError, match="no width"):
        chains.values_at_sigma(sigma)
    with pytest.raises(SettingError, match="no width"):
        chains.vector_at_upper_sigma(sigma)


@pytest.mark.parametrize("count", [0, -1, 2.5, "3"])
def test_no_draws_are_refused(chains, count):
    for method in (chains.thinned, chains.drawn_randomly):
        with pytest.raises(SettingError, match="keeps no draws"):
            method(count)


def test_an_array_of_parameters_is_many_columns():
    model = cpm.Collection(weights=cpm.Array(3, cpm.UniformPrior(-9.0, 9.0)), x=cpm.UniformPrior(-9.0, 9.0))
    samples = samples_of(model, np.random.default_rng(1).normal(size=(2, 30, 4)))
    assert samples.names == ["weights[0]", "weights[1]", "weights[2]", "x"]
    np.testing.assert_allclose(samples.median_pdf_instance.weights, samples.median_pdf_vector[:3])


def test_a_single_best_point_has_no_errors(model):
    samples = samples_of(model, [[[1.0, 2.0]]], kind="optimum")
    assert samples.median_pdf_vector == samples.mean_vector == samples.max_log_likelihood_vector == [1.0, 2.0]
    assert np.all(np.isnan(samples.errors_at_sigma(1.0))) and np.all(np.isnan(samples.covariance_matrix))
    assert samples.log_evidence is None and next(samples.instances()).x == 1.0


@pytest.mark.parametrize("module", [weighted, table])
def test_the_examples_of_the_docstrings_run(module):
    result = doctest.testmod(module)
    assert result.attempted and not result.failed


def test_the_vectors_cannot_be_changed_by_accident(chains):
    with pytest.raises(ValueError, match="read-only"):
        chains.vectors[0, 0] = 1.0


def test_names_of_elsewhere_lead_to_the_name_here(chains):
    with pytest.raises(UnknownNameError, match="vector_at_upper_sigma"):
        _ = chains.values_at_upper_sigma
    with pytest.raises(UnknownNameError, match="weight_list"):
        _ = chains.weights_list
    assert not hasattr(chains, "nonsense")
