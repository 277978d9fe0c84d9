"""Finding where a chain should start: prior draws, then an optimiser on the gradient.

All of this is on the sampler's unconstrained scale, where every point is allowed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import linalg, optimize

from classy_pm.errors import SearchError

__all__ = ["Mode", "comparable", "find_modes"]

# From how many of the best draws the optimiser starts, and how many steps it may take.
STARTS = 12
MAX_ITERATIONS = 1000
# Two optima are the same mode if their log densities differ by less than this.
SAME_LOG_DENSITY = 1e-2

LogDensity = Callable[[np.ndarray], tuple[float, np.ndarray]]


@dataclass(frozen=True)
class Mode:
    """A local maximum of the log density.

    Attributes
    ----------
    point : numpy.ndarray, shape (size,)
    log_density : float
    scatter : numpy.ndarray, shape (size, size)
        A square root of the inverse curvature: ``point + scatter @ standard_normal`` is a draw
        from the normal approximation.
    """

    point: np.ndarray
    log_density: float
    scatter: np.ndarray

    @property
    def log_mass(self) -> float:
        """The log of the probability around it, up to a constant, where the density is nearly normal."""
        return self.log_density + float(np.linalg.slogdet(self.scatter)[1])

    @property
    def correlation(self) -> float:
        """The condition number of the correlation matrix: 1 where nothing is correlated."""
        covariance = self.scatter @ self.scatter.T
        sd = np.sqrt(np.diag(covariance))
        values = np.linalg.eigvalsh(covariance / np.outer(sd, sd))
        return float(values[-1] / max(values[0], 1e-300))


def find_modes(log_density: LogDensity, points: np.ndarray) -> list[Mode]:
    """Climb from the best of many points to the local maxima.

    Parameters
    ----------
    log_density : callable
        Gives the log density and its gradient at a point, shape (size,).
    points : numpy.ndarray, shape (number, size)
        Draws from the prior.

    Returns
    -------
    list of Mode
        Best first; each once.

    Raises
    ------
    SearchError
        If the density is zero or NaN at all points.
    """
    values = np.array([_finite(log_density(point)[0]) for point in points])
    if not np.any(values > -np.inf):
        raise SearchError(
            f"The posterior density is zero at all of {len(points)} draws from the prior.",
            cure="Look at analysis.log_likelihood_function(model.random_instance()): it may be NaN or raise "
            "FitException nearly everywhere, or the priors may miss the data by far.",
        )
    best = [index for index in np.argsort(-values)[:STARTS] if values[index] > -np.inf]
    optima = sorted((_climb(log_density, points[index]) for index in best), key=lambda item: -item[1])
    modes: list[Mode] = []
    for point, height in optima:
        if not any(_same(mode, point, height) for mode in modes):
            modes.append(Mode(point, height, _scatter(log_density, point)))
    return modes


def comparable(modes: list[Mode]) -> list[Mode]:
    """Return the modes that hold more than a millionth of the probability of the largest, largest first."""
    ordered = sorted(modes, key=lambda mode: -mode.log_mass)
    return [mode for mode in ordered if mode.log_mass > ordered[0].log_mass - np.log(1e6)]


def _finite(value: float) -> float:
    return float(value) if np.isfinite(value) else -np.inf


def _climb(log_density: LogDensity, start: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the maximum that is reached from a point, and its height."""

    def falling(point: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = log_density(point)
        if not np.isfinite(value):
            return 1e300, np.zeros_like(point)
        return -float(value), -np.nan_to_num(np.asarray(gradient, dtype=float))

    found = optimize.minimize(
        falling, start, jac=True, method="L-BFGS-B", options={"maxiter": MAX_ITERATIONS, "maxcor": 20}
    )
    return np.asarray(found.x), -float(found.fun)


def _same(mode: Mode, point: np.ndarray, height: float) -> bool:
    if abs(mode.log_density - height) < SAME_LOG_DENSITY * max(1.0, abs(height) * 1e-3):
        distance = np.linalg.lstsq(mode.scatter, point - mode.point, rcond=None)[0]
        return bool(np.linalg.norm(distance) < 3.0 * np.sqrt(point.size))
    return False


def _scatter(log_density: LogDensity, point: np.ndarray) -> np.ndarray:
    """Return a square root of the inverse curvature, from central differences of the gradient.

    Directions in which the density does not fall off are given unit scale.
    """
    size = point.size
    curvature = np.empty((size, size))
    for index in range(size):
        step = np.zeros(size)
        step[index] = 1e-4 * max(1.0, abs(point[index]))
        ahead, behind = (np.asarray(log_density(point + sign * step)[1]) for sign in (1.0, -1.0))
        curvature[index] = -(ahead - behind) / (2.0 * step[index])
    curvature = np.nan_to_num(0.5 * (curvature + curvature.T))
    values, vectors = linalg.eigh(curvature)
    floor = 1e-6 * max(values[-1], 1e-12)
    sd = np.where(values > floor, 1.0 / np.sqrt(np.maximum(values, floor)), 1.0)
    return vectors * sd
