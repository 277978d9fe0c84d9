"""Finding where chains start, on densities whose modes are known."""

import numpy as np
import pytest

from classy_pm.errors import SearchError
from classy_pm.search.start import find_modes

COVARIANCE = np.array([[4.0, 1.8], [1.8, 1.0]])
PRECISION = np.linalg.inv(COVARIANCE)


def normal(point):
    offset = point - np.array([3.0, -1.0])
    return -0.5 * offset @ PRECISION @ offset, -PRECISION @ offset


def two_peaks(point):
    weights = np.array([0.7, 0.3])
    offsets = point[0] - np.array([-5.0, 5.0])
    terms = weights * np.exp(-0.5 * offsets**2)
    return np.log(terms.sum()), np.array([-(terms * offsets).sum() / terms.sum()])


def test_the_mode_and_the_curvature_of_a_normal_are_found():
    (mode,) = find_modes(normal, np.random.default_rng(1).normal(0.0, 10.0, (50, 2)))
    np.testing.assert_allclose(mode.point, [3.0, -1.0], atol=1e-4)
    np.testing.assert_allclose(mode.scatter @ mode.scatter.T, COVARIANCE, rtol=1e-4)
    assert mode.correlation == pytest.approx((1 + 0.9) / (1 - 0.9), rel=1e-3)


def test_two_modes_are_two_and_the_higher_comes_first():
    modes = find_modes(two_peaks, np.random.default_rng(1).uniform(-8.0, 8.0, (50, 1)))
    assert [round(float(mode.point[0])) for mode in modes] == [-5, 5]


def test_a_density_that_is_zero_everywhere_is_told():
    with pytest.raises(SearchError, match="zero at all"):
        find_modes(lambda point: (np.nan, point), np.zeros((3, 2)))
