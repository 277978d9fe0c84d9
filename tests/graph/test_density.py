"""The density on the unconstrained scale, against the plan's own log prior and the user's function."""

import numpy as np
import pytest

import classy_pm as cpm
from classy_pm.graph import to_pymc
from classy_pm.graph.density import Density
from classy_pm.likelihood import LogLikelihood
from classy_pm.plan import make_plan


class Widths(cpm.Analysis):
    def log_likelihood_function(self, instance):
        return -0.5 * np.sum((instance.x - instance.y) ** 2) - np.log(instance.scale)


@pytest.fixture(scope="module")
def model():
    model = cpm.Collection(
        x=cpm.UniformPrior(-2.0, 3.0),
        y=cpm.Array(2, cpm.GaussianPrior(0.0, 1.0)),
        scale=cpm.LogUniformPrior(0.1, 10.0),
        width=cpm.HalfGaussianPrior(2.0),
    )
    model.z = cpm.GaussianPrior(model.x, model.width)
    return model


@pytest.fixture(scope="module")
def densities(model):
    pymc_model, plan = to_pymc(model, Widths()), make_plan(model)
    return {
        of: Density(pymc_model, plan, compiled=False, of=of) for of in ("points", "parameters", "likelihood")
    }


def test_each_density_is_made_of_prior_likelihood_and_change_of_scale(model, densities):
    plan = make_plan(model)
    vectors = plan.draws(20, 1)
    points = densities["points"].points(vectors)
    np.testing.assert_allclose(densities["points"].vectors(points), vectors, rtol=1e-10)
    log_likelihood = np.array([LogLikelihood(plan, Widths())(vector) for vector in vectors])
    log_posterior = plan.log_prior(vectors) + log_likelihood
    expected = {
        "points": log_posterior + densities["points"].log_jacobian(points),
        "parameters": log_posterior,
        "likelihood": log_likelihood,
    }
    for of, density in densities.items():
        values = [density.value(point) for point in points]
        np.testing.assert_allclose(values, expected[of], rtol=1e-9, atol=1e-9)
        assert density(points[0])[0] == pytest.approx(values[0], abs=1e-12)


def test_the_change_of_scale_is_the_determinant_of_the_derivatives(model, densities):
    density = densities["points"]
    (point,) = density.points(make_plan(model).draws(1, 2))
    steps = 1e-6 * np.eye(point.size)
    derivatives = (density.vectors(point + steps) - density.vectors(point - steps)) / 2e-6
    expected = np.linalg.slogdet(derivatives)[1]
    assert density.log_jacobian(point[np.newaxis])[0] == pytest.approx(expected, abs=1e-6)


def test_where_a_prior_no_longer_exists_the_density_is_zero(model, densities):
    (point,) = densities["points"].points(make_plan(model).draws(1, 2))
    point[list(make_plan(model).element_names).index("width")] = -1e4
    assert densities["points"].value(point) == -np.inf
    value, gradient = densities["points"](point)
    assert value == -np.inf and not gradient.any()


def test_without_limits_there_is_no_change_of_scale():
    model = cpm.Collection(x=cpm.GaussianPrior(0.0, 1.0))

    class Plain(cpm.Analysis):
        def log_likelihood_function(self, instance):
            return -instance.x

    density = Density(to_pymc(model, Plain()), make_plan(model), compiled=False)
    np.testing.assert_array_equal(density.log_jacobian(np.ones((3, 1))), np.zeros(3))
