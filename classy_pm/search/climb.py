"""Climbing a log density to a maximum, and its shape there: with a gradient, or with values alone.

Both climbers can be asked the same; `search/start.py` decides which is used, and from where.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from scipy import linalg, optimize

from classy_pm.errors import SearchError

__all__ = [
    "IMPOSSIBLE",
    "MAX_ITERATIONS",
    "Climber",
    "GradientClimber",
    "SimplexClimber",
    "WithGradient",
    "distinct",
    "first_steps",
    "root",
    "suited_steps",
    "upside_down",
]

MAX_ITERATIONS = 1000
# A maximum is reached where a step of Newton's would be shorter than this, in standard deviations.
REACHED = 1e-6
MAX_NEWTON_STEPS = 10
# It is not where that step is longer than this. An edge is in the way if the density is zero at some of
# these shares of it.
STUCK = 0.1
EDGE = (1.0, 0.1, 0.01, 1e-3)
# Curvature below this share of what the parameter has by itself counts as none.
FLAT = 1e-8
# How often a simplex is made anew, how large it then is, and what rise is worth another one.
MAX_SIMPLICES = 10
SIMPLEX_SIZES = (0.3, 0.03)
# In more dimensions than this a simplex gets nowhere.
MAX_DIMENSIONS = 50
RISE = 1e-5
# How far a density shall fall within the steps that its curvature is taken from.
FALL = 0.05

# Two optima are one if the log density between them falls by no more than this below the lower of them,
# at so many points.
VALLEY = 1e-2
BETWEEN = 7

# What is minimised where the density is zero: an infinity would become NaN inside of SciPy.
IMPOSSIBLE = 1e300

WithGradient = Callable[[np.ndarray], tuple[float, np.ndarray]]


class Climber(Protocol):
    """Knows a log density, and ways up."""

    def value(self, point: np.ndarray) -> float:
        """Return the log density; -inf where it is not a finite number."""
        ...

    def climb(self, point: np.ndarray) -> np.ndarray:
        """Return about where the maximum above a point is."""
        ...

    def refine(self, point: np.ndarray) -> np.ndarray:
        """Return exactly where it is."""
        ...

    def curvature(self, point: np.ndarray) -> np.ndarray:
        """Return the negative second derivatives, shape (size, size)."""
        ...

    def gradient(self, point: np.ndarray) -> np.ndarray:
        """Return the first derivatives, shape (size,)."""
        ...


class GradientClimber:
    """Climbs by L-BFGS, and by Newton's method near the top.

    Where that ends at an edge, beyond which the density is zero, a simplex goes on: it can follow the edge.

    Parameters
    ----------
    log_density : callable
        Gives the log density and its gradient at a point, shape (size,).
    scale : numpy.ndarray, shape (size,)
        How long a first step is, where a simplex is needed.

    Notes
    -----
    Zhu, Byrd, Lu and Nocedal (1997), ACM Transactions on Mathematical Software 23, 550.
    """

    def __init__(self, log_density: WithGradient, scale: np.ndarray) -> None:
        self._log_density = log_density
        self._scale = scale

    def value(self, point: np.ndarray) -> float:
        """Return the log density; -inf where it is not a finite number."""
        return _finite(self._log_density(point)[0])

    def gradient(self, point: np.ndarray) -> np.ndarray:
        """Return the first derivatives."""
        return np.asarray(np.nan_to_num(np.asarray(self._log_density(point)[1], dtype=float)))

    def climb(self, point: np.ndarray) -> np.ndarray:
        """Return about where the maximum above a point is."""
        options = {"maxiter": MAX_ITERATIONS, "maxcor": 20}
        falling = upside_down(self._log_density)
        with np.errstate(all="ignore"):
            top = optimize.minimize(falling, point, jac=True, method="L-BFGS-B", options=options).x
        # An infinite gradient leads nowhere.
        return np.asarray(top) if np.all(np.isfinite(top)) else point

    def refine(self, point: np.ndarray) -> np.ndarray:
        """Return exactly where it is, by Newton's method with the curvature at the start."""
        step_of = _newton(self.curvature(point))
        height = self.value(point)
        for _ in range(MAX_NEWTON_STEPS):
            step, length = step_of(self.gradient(point))
            ahead = self.value(point + step)
            if length < REACHED or not ahead >= height:
                break
            point, height = point + step, ahead
        lost = length > STUCK and point.size <= MAX_DIMENSIONS
        if lost and any(self.value(point + share * step) == -np.inf for share in EDGE):
            return SimplexClimber(self.value, self._scale).refine(point)
        return point

    def curvature(self, point: np.ndarray) -> np.ndarray:
        """Return the negative second derivatives, from central differences of the gradient.

        The first differences only tell how wide the density is, and so how long steps should be.
        """
        steps = first_steps(point)
        steps = suited_steps(steps, np.diag(self._differences(point, steps)))
        curvature = np.nan_to_num(self._differences(point, steps))
        return 0.5 * (curvature + curvature.T)

    def _differences(self, point: np.ndarray, steps: np.ndarray) -> np.ndarray:
        rows = []
        for step, direction in zip(steps, np.eye(point.size), strict=True):
            ahead, behind = (self.gradient(point + sign * step * direction) for sign in (1.0, -1.0))
            rows.append((behind - ahead) / (2.0 * step))
        return np.array(rows)


class SimplexClimber:
    """Climbs by simplices, each started anew where the last one stopped.

    Parameters
    ----------
    log_density : callable
        Gives the log density at a point, shape (size,).
    scale : numpy.ndarray, shape (size,)
        How long a first step is.

    Notes
    -----
    Nelder and Mead (1965), Computer Journal 7, 308, with the coefficients of Gao and Han (2012),
    Computational Optimization and Applications 51, 259. A simplex that is stuck, at the edge of what is
    possible or in many dimensions, is freed by a new one.
    """

    def __init__(self, log_density: Callable[[np.ndarray], float], scale: np.ndarray) -> None:
        self._log_density = log_density
        self._scale = scale

    def value(self, point: np.ndarray) -> float:
        """Return the log density; -inf where it is not a finite number."""
        return _finite(self._log_density(point))

    def climb(self, point: np.ndarray) -> np.ndarray:
        """Return about where the maximum above a point is: to a hundredth in log density."""
        return self._climb(point, SIMPLEX_SIZES[0], tolerance=1e-2)

    def refine(self, point: np.ndarray) -> np.ndarray:
        """Return exactly where it is."""
        height, size = self.value(point), SIMPLEX_SIZES[0]
        for _ in range(MAX_SIMPLICES):
            point, below, size = self._climb(point, size, tolerance=RISE), height, SIMPLEX_SIZES[1]
            height = self.value(point)
            if height - below < RISE:
                break
        return self._climb(point, 0.1 * size, tolerance=1e-12)

    def _climb(self, point: np.ndarray, size: float, tolerance: float) -> np.ndarray:
        corners = np.vstack([np.zeros_like(point), size * np.eye(point.size)])
        found = optimize.minimize(
            lambda step: -max(self.value(point + self._scale * step), -IMPOSSIBLE),
            np.zeros_like(point),
            method="Nelder-Mead",
            options={
                "adaptive": True,
                "initial_simplex": corners,
                "maxfev": 400 * point.size,
                "xatol": np.inf,
                "fatol": tolerance,
            },
        )
        return point + self._scale * np.asarray(found.x)

    def gradient(self, point: np.ndarray) -> np.ndarray:
        """Return the first derivatives, over steps in which the density falls by little."""
        steps, centre, ahead, behind = self._steps(point)
        with np.errstate(invalid="ignore"):  # beyond an edge there is no density, and no difference
            slopes = np.array([ahead - centre, centre - behind]) / steps
        finite = np.isfinite(slopes)
        return np.asarray(np.sum(np.where(finite, slopes, 0.0), axis=0) / np.maximum(finite.sum(axis=0), 1))

    def curvature(self, point: np.ndarray) -> np.ndarray:
        """Return the negative second derivatives, over steps in which the density falls by little."""
        with np.errstate(invalid="ignore"):
            return np.asarray(np.nan_to_num(self._curvature(point), posinf=0.0, neginf=0.0))

    def _curvature(self, point: np.ndarray) -> np.ndarray:
        steps, centre, ahead, behind = self._steps(point)
        falls = 2.0 * centre - ahead - behind
        curvature = np.diag(falls)
        for row in range(point.size):
            for column in range(row):
                step = np.zeros_like(point)
                step[[row, column]] = steps[[row, column]]
                both = 2.0 * centre - self.value(point + step) - self.value(point - step)
                curvature[row, column] = curvature[column, row] = 0.5 * (both - falls[row] - falls[column])
        return np.asarray(curvature / np.outer(steps, steps))

    def _steps(self, point: np.ndarray) -> tuple[np.ndarray, float, np.ndarray, np.ndarray]:
        """Return steps over which the density falls by about `FALL`, and its values around the point."""
        centre, steps = self.value(point), 1e-2 * self._scale
        ahead, behind = np.empty_like(point), np.empty_like(point)
        for index, direction in enumerate(np.eye(point.size)):
            for _ in range(20):
                step = steps[index] * direction
                ahead[index], behind[index] = self.value(point + step), self.value(point - step)
                fall = centre - 0.5 * (ahead[index] + behind[index])
                at_edge = np.isfinite(ahead[index]) != np.isfinite(behind[index])
                if at_edge or 0.2 * FALL < fall < 5.0 * FALL:
                    break
                longer = np.sqrt(FALL / fall) if 0.0 < fall < np.inf else 0.1 if fall == np.inf else 10.0
                steps[index] *= np.clip(longer, 0.1, 10.0)
        return steps, centre, ahead, behind


def distinct(climber: Climber, tops: list[np.ndarray]) -> list[np.ndarray]:
    """Return the tops that valleys divide, highest first."""
    distinct: list[np.ndarray] = []
    for top in sorted(tops, key=climber.value, reverse=True):
        if not any(_connected(climber, top, other) for other in distinct):
            distinct.append(top)
    return distinct


def _connected(climber: Climber, one: np.ndarray, other: np.ndarray) -> bool:
    """Return whether no valley lies between two tops: then the lower is on the way to the higher."""
    height = min(climber.value(one), climber.value(other))
    floor = height - VALLEY * max(1.0, abs(height) * 1e-3)
    shares = np.arange(1, BETWEEN + 1) / (BETWEEN + 1)
    return all(climber.value(one + share * (other - one)) >= floor for share in shares)


def first_steps(point: np.ndarray) -> np.ndarray:
    """Return steps for differences of a gradient whose scale is not known yet."""
    return 1e-6 * np.maximum(1.0, np.abs(point))


def suited_steps(first: np.ndarray, curvature: np.ndarray) -> np.ndarray:
    """Return steps that suit the curvature along each number, as the first ones gave it."""
    known = curvature > 0.0
    return np.where(known, 1e-3 / np.sqrt(np.where(known, curvature, 1.0)), 1e2 * first)


def upside_down(log_density: WithGradient) -> WithGradient:
    """Return what SciPy can minimise; where there is no density it is so large that no step ends there."""

    def falling(point: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = log_density(point)
        if not np.isfinite(value):
            return IMPOSSIBLE, np.zeros_like(point)
        return -float(value), -np.nan_to_num(np.asarray(gradient, dtype=float))

    return falling


def root(curvature: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a square root of the inverse of a curvature, and which of its columns are flat.

    Parameters
    ----------
    curvature : numpy.ndarray, shape (size, size)

    Returns
    -------
    scatter : numpy.ndarray, shape (size, size)
        ``scatter @ scatter.T`` is the inverse.
    flat : numpy.ndarray of bool, shape (size,)
        Columns along which the density does not fall off. As long as one of the parameters' own
        standard deviations, or as 1 where there is none.
    """
    own = np.diag(curvature)
    widths = np.where(own > 0.0, 1.0 / np.sqrt(np.where(own > 0.0, own, 1.0)), 1.0)
    scaled = curvature * np.outer(widths, widths)
    if not np.all(np.isfinite(scaled)):
        raise SearchError(
            "The posterior density rises without end: it has no maximum that could be found.",
            cure="Is the sign of the log likelihood right? Else keep noise and widths above zero by priors.",
        )
    values, vectors = linalg.eigh(scaled)
    flat = values < FLAT
    return widths[:, np.newaxis] * vectors / np.sqrt(np.where(flat, 1.0, values)), flat


def _newton(curvature: np.ndarray) -> Callable[[np.ndarray], tuple[np.ndarray, float]]:
    """Return what gives the step to the top for a gradient, and its length in standard deviations."""
    scatter, flat = root(curvature)
    scatter = scatter[:, ~flat]

    def step_of(gradient: np.ndarray) -> tuple[np.ndarray, float]:
        standard = scatter.T @ gradient
        return scatter @ standard, float(np.linalg.norm(standard))

    return step_of


def _finite(value: float) -> float:
    return float(value) if np.isfinite(value) else -np.inf
