"""NIST's certified regressions: the best point is least squares, and traced NUTS has the exact posterior."""

import numpy as np
import pytest
import scipy.stats
from exact_regression import Moments, exact
from nist import REGRESSIONS, Chwirut1, DanWood, Eckerle4, Gauss1, Kirby2, Misra1a

import classy_pm as cpm

# The noise is known to a factor.
FACTOR = 50.0
# The model is nearly linear where the posterior is.
NEARLY_LINEAR = (Chwirut1, DanWood, Eckerle4, Gauss1, Kirby2, Misra1a)


def name_of(kind):
    return kind.__name__


class Fit(cpm.Analysis):
    """Normal noise, whose standard deviation is not known."""

    def __init__(self, x, y):
        self.x, self.y = x, y

    def log_likelihood_function(self, instance):
        residuals = (self.y - instance.curve.at(self.x)) / instance.noise
        return -0.5 * np.sum(residuals**2) - self.y.size * np.log(instance.noise)


def model_of(kind):
    noise = cpm.LogUniformPrior(kind.residual_sd / FACTOR, kind.residual_sd * FACTOR)
    return cpm.Collection(
        curve=cpm.Model(kind, **{name: cpm.UniformPrior(*limits) for name, limits in kind.box().items()}),
        noise=noise,
    )


@pytest.mark.parametrize("kind", REGRESSIONS, ids=name_of)
def test_the_best_point_has_the_certified_values(kind):
    best = cpm.MAP(random_seed=1).fit(model_of(kind), Fit(kind.x, kind.y)).max_log_likelihood_instance
    for name, (value, sd) in kind.certified.items():
        assert getattr(best.curve, name) == pytest.approx(value, abs=1e-5 * sd), name
    # Its prior is 1 / noise: the sum of squares is divided by one more than the number of data.
    degrees = kind.y.size - len(kind.certified)
    expected = kind.residual_sd * np.sqrt(degrees / (kind.y.size + 1.0))
    assert best.noise == pytest.approx(expected, rel=1e-6)


@pytest.fixture(scope="module", params=NEARLY_LINEAR, ids=name_of)
def fitted(request):
    """A regression, and the moments that NUTS finds."""
    kind = request.param
    result = cpm.NUTS(target_accept=0.99, random_seed=1).fit(model_of(kind), Fit(kind.x, kind.y))
    assert not result.notices, result.notices
    table = result.summary().drop("noise")
    assert list(table.index) == [f"curve.{name}" for name in kind.certified]
    draws = np.array([result.idata["posterior"][name].values.ravel() for name in table.index])
    mean, sd, ess = (table[name].to_numpy() for name in ("mean", "sd", "ess"))
    fourth = np.mean((draws - mean[:, None]) ** 4, axis=1)
    # Squares of draws may be half as many effective ones as the draws themselves.
    return kind, Moments(mean, sd / np.sqrt(ess), sd, np.sqrt((fourth / sd**2 - sd**2) / (0.5 * ess)) / 2.0)


def test_the_posterior_is_the_exact_one(fitted):
    kind, found = fitted
    wanted = exact(kind)
    allowed = 4.0 * np.hypot(found.mean_error, wanted.mean_error)
    np.testing.assert_array_less(np.abs(found.mean - wanted.mean), allowed)
    np.testing.assert_array_less(allowed, 0.2 * wanted.sd, "or it would find nothing")
    allowed = 4.0 * np.hypot(found.sd_error, wanted.sd_error)
    np.testing.assert_array_less(np.abs(found.sd - wanted.sd), allowed)
    np.testing.assert_array_less(allowed, 0.2 * wanted.sd, "or it would find nothing")


def test_least_squares_are_the_posterior_as_far_as_the_model_is_linear(fitted):
    """It is Student's t around the estimates."""
    kind, found = fitted
    values, sds = np.array(list(kind.certified.values())).T
    np.testing.assert_array_less(np.abs(found.mean - values), 0.06 * sds + 4.0 * found.mean_error)
    wider = scipy.stats.t.std(kind.y.size - values.size)
    np.testing.assert_array_less(np.abs(found.sd - wider * sds), 0.06 * sds + 4.0 * found.sd_error)
