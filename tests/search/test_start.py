"""Finding where chains start, on densities whose modes are known."""

import numpy as np
import pytest

from classy_pm.errors import SearchError
from classy_pm.search.climb import SimplexClimber, root
from classy_pm.search.modes import visits
from classy_pm.search.start import Mode, comparable, find_modes, mode_notice

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


def test_how_often_it_was_climbed_is_told():
    climbed = []
    find_modes(normal, np.random.default_rng(1).normal(0.0, 10.0, (50, 2)), starts=3, on_climb=climbed.append)
    assert climbed == [1, 2, 3]


def test_a_density_that_is_zero_everywhere_is_told():
    with pytest.raises(SearchError, match="zero at all"):
        find_modes(lambda point: (np.nan, point), np.zeros((3, 2)))


def test_without_a_gradient_the_same_mode_and_curvature_are_found():
    points = np.random.default_rng(1).normal(0.0, 10.0, (50, 2))
    (mode,) = find_modes(lambda point: normal(point)[0], points, gradient=False)
    np.testing.assert_allclose(mode.point, [3.0, -1.0], atol=1e-4)
    np.testing.assert_allclose(mode.scatter @ mode.scatter.T, COVARIANCE, rtol=1e-3)
    assert mode.slope < 0.01 and len(mode.flat) == 0


def test_the_gradient_without_a_gradient_is_a_difference():
    climber = SimplexClimber(lambda point: normal(point)[0], np.ones(2))
    point = np.array([2.0, -1.5])
    np.testing.assert_allclose(climber.gradient(point), normal(point)[1], rtol=1e-2)
    np.testing.assert_allclose(climber.curvature(point), PRECISION, rtol=1e-6)


def test_parameters_of_very_different_widths_have_their_curvature():
    widths = np.array([1e-6, 1.0, 1e5])

    def uneven(point):
        return -0.5 * np.sum((point / widths) ** 2), -point / widths**2

    (mode,) = find_modes(uneven, np.random.default_rng(1).normal(0.0, 3.0, (50, 3)) * widths)
    np.testing.assert_allclose(np.sqrt(np.diag(mode.scatter @ mode.scatter.T)), widths, rtol=1e-3)
    assert len(mode.flat) == 0


def test_a_ridge_is_one_mode_with_one_flat_direction():
    def ridge(point):
        return -0.5 * (point[0] + point[1]) ** 2, -(point[0] + point[1]) * np.ones(2)

    (mode,) = find_modes(ridge, np.random.default_rng(1).normal(0.0, 10.0, (50, 2)))
    (flat,) = mode.flat
    assert flat @ np.ones(2) == pytest.approx(0.0, abs=1e-6)


def test_what_rises_up_to_an_edge_has_a_slope_there():
    def cut(point):
        return -0.5 * point @ point if point[0] > 1.0 else -np.inf

    points = np.random.default_rng(1).normal(0.0, 3.0, (50, 2))
    modes = find_modes(cut, points, gradient=False)
    np.testing.assert_allclose(modes[0].point, [1.0, 0.0], atol=0.02)
    assert modes[0].slope > 0.1
    modes = find_modes(lambda point: (cut(point), -point), points)
    np.testing.assert_allclose(modes[0].point, [1.0, 0.0], atol=0.02)
    assert modes[0].slope > 0.1


def test_a_mode_without_weight_is_left_aside():
    def uneven(point):
        terms = np.array([-0.5 * (point[0] + 5.0) ** 2, -0.5 * (point[0] - 5.0) ** 2 - 20.0])
        shares = np.exp(terms - np.logaddexp(*terms))
        return np.logaddexp(*terms), np.array([-shares @ (point[0] + np.array([5.0, -5.0]))])

    modes = find_modes(uneven, np.linspace(-8.0, 8.0, 12)[:, np.newaxis])
    assert len(modes) == 2 and comparable(modes) == modes[:1]


def mode(place, sd, log_density=0.0):
    return Mode(np.atleast_1d(place).astype(float), log_density, np.diag(np.atleast_1d(sd).astype(float)))


def test_modes_are_told_with_their_shares_of_the_probability():
    (notice,) = mode_notice([mode(0.0, 3.0), mode(9.0, 1.0), mode(5.0, 0.01)], "A consequence.")
    assert notice.startswith("3 modes were found") and "about 74.8%, 24.9%, 0.2% of" in notice
    assert "A consequence. If they" in notice
    assert mode_notice([mode(0.0, 3.0), mode(9.0, 1e-3)], "A consequence.") == []


def test_chains_are_in_the_mode_in_whose_core_they_were_last():
    modes = [mode([0.0, 0.0], [1.0, 1.0]), mode([20.0, 0.0], [5.0, 0.5])]
    # The tail of the first, which is within two standard deviations of the second, is not the second's.
    chains = [[[9.0, 9.0], [0.5, 0.5], [12.0, 0.0], [19.0, 0.1], [3.0, 0.0], [0.1, 0.0]]]
    assert visits(modes, np.array(chains)).tolist() == [[-1, 0, 0, 1, 1, 0]]


def test_the_root_of_a_curvature_is_that_of_its_inverse():
    scatter, flat = root(PRECISION)
    np.testing.assert_allclose(scatter @ scatter.T, COVARIANCE)
    assert not flat.any()
