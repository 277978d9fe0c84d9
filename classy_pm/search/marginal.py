"""Climbing the density of what data sets share, with their own parameters integrated over.

The density of all parameters together is no guide to a hierarchy: its maximum is where a parent is narrow or
a scatter zero, however little probability is there. What counts is how much room the factors' own parameters
have, which their curvature tells: Laplace's approximation.

Rue, Martino and Chopin (2009), Journal of the Royal Statistical Society B 71, 319.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import optimize

from classy_pm.search.arrowhead import Structure, roots
from classy_pm.search.climb import IMPOSSIBLE, WithGradient, root, upside_down

__all__ = ["MarginalClimber"]

# How many iterations a climb has, of what is shared and within each of those of the factors' own parameters.
MAX_ITERATIONS, MAX_INNER = 40, 60
# It ends where the slope is less than this, in standard deviations.
FLAT_ENOUGH = 0.05
# How long a step for a difference is, in standard deviations, and at most.
STEP, LONGEST = 0.1, 0.2


class MarginalClimber:
    """Climbs the density of the shared parameters.

    Parameters
    ----------
    log_density : callable
        Gives the log density and its gradient at a point, shape (size,).
    structure : Structure
    """

    def __init__(self, log_density: WithGradient, structure: Structure) -> None:
        self._log_density = log_density
        self._structure = structure

    def gradient(self, point: np.ndarray) -> np.ndarray:
        """Return the first derivatives of the log density."""
        return np.asarray(np.nan_to_num(np.asarray(self._log_density(point)[1], dtype=float)))

    def value(self, point: np.ndarray) -> float:
        """Return the log density of what is shared at a point where the own parameters are best."""
        steps = self._structure.own_steps(self.gradient, point)
        return float(self._log_density(point)[0]) + self._room(point, steps)

    def climb(self, point: np.ndarray) -> np.ndarray:
        """Return where the maximum above a point is, and there the best of the factors' own parameters."""
        shared = self._structure.shared
        point = self._best_own(point)
        if not len(shared):
            return point
        scale, _ = root(self._structure.curvature(self.gradient, point).schur())
        lengths = np.minimum(STEP * np.sqrt(np.sum(scale**2, axis=1)), LONGEST)
        origin, best, highest = point[shared].copy(), point, -np.inf

        def falling(standard: np.ndarray) -> tuple[float, np.ndarray]:
            nonlocal best, highest
            at = best.copy()
            at[shared] = origin + scale @ standard
            at = self._best_own(at)
            steps = self._structure.own_steps(self.gradient, at)
            value, gradient = self._log_density(at)
            height = float(value) + self._room(at, steps)
            if not np.isfinite(height):
                return IMPOSSIBLE, np.zeros_like(standard)
            if height > highest:
                best, highest = at, height
            slope = np.nan_to_num(np.asarray(gradient, dtype=float))[shared]
            for number, (place, length) in enumerate(zip(shared, lengths, strict=True)):
                step = np.zeros_like(at)
                step[place] = length
                rooms = [self._room(at + sign * step, steps) for sign in (1.0, -1.0)]
                slope[number] += np.nan_to_num((rooms[0] - rooms[1]) / (2.0 * length))
            return -height, -scale.T @ slope

        options = {"maxiter": MAX_ITERATIONS, "gtol": FLAT_ENOUGH}
        with np.errstate(all="ignore"):
            optimize.minimize(falling, np.zeros(len(shared)), jac=True, method="BFGS", options=options)
        return best

    def _room(self, point: np.ndarray, steps: np.ndarray) -> float:
        """Return the log of how much room the factors' own parameters have."""
        return self._structure.log_volume(self.gradient, point, steps)

    def _best_own(self, point: np.ndarray) -> np.ndarray:
        """Return a point with the best of the factors' own parameters, while what they share is fixed."""
        structure = self._structure
        if not any(places.size for places in structure.own):
            return point
        blocks = structure.blocks(self.gradient, point, structure.own_steps(self.gradient, point))
        scatters = [roots(block) for block in blocks]
        ends = np.cumsum([places.size for places in structure.own])
        falling_plain = upside_down(self._log_density)

        def moved(standard: np.ndarray) -> np.ndarray:
            at = point.copy()
            for places, scatter, part in zip(
                structure.own, scatters, np.split(standard, ends[:-1]), strict=True
            ):
                at[places] += np.einsum("npk,nk->np", scatter, part.reshape(places.shape))
            return at

        def falling(standard: np.ndarray) -> tuple[float, np.ndarray]:
            value, gradient = falling_plain(moved(standard))
            parts: list[Any] = [
                np.einsum("npk,np->nk", scatter, gradient[places]).ravel()
                for places, scatter in zip(structure.own, scatters, strict=True)
            ]
            return value, np.concatenate(parts)

        with np.errstate(all="ignore"):
            found = optimize.minimize(
                falling, np.zeros(ends[-1]), jac=True, method="L-BFGS-B", options={"maxiter": MAX_INNER}
            ).x
        return moved(found) if np.all(np.isfinite(found)) else point
