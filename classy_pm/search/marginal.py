"""Climbing the density of what data sets share, with their own parameters integrated over.

The density of all parameters together is no guide to a hierarchy: its maximum is where a parent is narrow or
a scatter zero, however little probability is there. What counts is how much room the factors' own parameters
have, which their curvature tells: Laplace's approximation.

Rue, Martino and Chopin (2009), Journal of the Royal Statistical Society B 71, 319.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import optimize

from classy_pm.search.arrowhead import Structure, roots, scaled_eigen
from classy_pm.search.climb import FLAT, IMPOSSIBLE, WithGradient, root, suited_steps, upside_down

__all__ = ["MarginalClimber"]

# How many iterations a climb has, of what is shared and within each of those of the factors' own parameters.
MAX_ITERATIONS, MAX_INNER = 40, 60
# It ends where the slope is less than this, in standard deviations.
FLAT_ENOUGH = 0.05
# Steps of Newton's are damped by this at first, and by so many times more or less after each.
DAMPING, DAMPED = 1e-3, 10.0
# A factor's own parameters are best where the next step would be shorter than this, in standard deviations.
REACHED = 1e-2
# How long a step for a difference is, in standard deviations, and at most.
STEP, LONGEST = 0.1, 0.2


class MarginalClimber:
    """Climbs the density of the shared parameters.

    Parameters
    ----------
    log_density : callable
        Gives the log density and its gradient at a point, shape (size,).
    structure : Structure
    each : callable, optional
        Gives the part of the log density that each factor has to itself, -inf where it is impossible, shape
        (factors,), in the order of the structure: each then climbs by itself, and of many none waits for
        another.
    """

    def __init__(
        self,
        log_density: WithGradient,
        structure: Structure,
        each: Callable[[np.ndarray], np.ndarray] | None = None,
    ) -> None:
        self._log_density = log_density
        self._structure = structure
        self._each = each

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
        point = self.best_own(point)
        if not len(shared):
            return point
        scale, _ = root(self._structure.curvature(self.gradient, point).schur())
        lengths = np.minimum(STEP * np.sqrt(np.sum(scale**2, axis=1)), LONGEST)
        origin, best, highest = point[shared].copy(), point, -np.inf

        def falling(standard: np.ndarray) -> tuple[float, np.ndarray]:
            nonlocal best, highest
            at = best.copy()
            at[shared] = origin + scale @ standard
            at = self.best_own(at)
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

    def best_own(self, point: np.ndarray) -> np.ndarray:
        """Return a point with the best of the factors' own parameters, while what they share is fixed."""
        if not any(places.size for places in self._structure.own):
            return point
        return self._best_together(point) if self._each is None else self._best_of_each(point, self._each)

    def _best_of_each(self, point: np.ndarray, each: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """Climb by Newton's method, with a damping for each factor.

        Where the density is no hill, the step goes along its slope all the same: Dauphin et al. (2014),
        arXiv:1406.2572.
        """
        own = self._structure.own
        steps = self._structure.own_steps(self.gradient, point)
        ends = np.cumsum([len(places) for places in own])[:-1]
        values = each(point)
        damping = np.full(len(values), DAMPING)
        for _ in range(MAX_INNER):
            gradient, blocks = self.gradient(point), self._structure.blocks(self.gradient, point, steps)
            moves, lengths = [], []
            for places, block, damped in zip(own, blocks, np.split(damping, ends), strict=True):
                move, length = _newton(block, gradient[places], damped)
                moves.append(move)
                lengths.append(length)
                steps[places] = suited_steps(steps[places], np.diagonal(block, axis1=1, axis2=2))
            going = np.concatenate(lengths) > REACHED
            if not np.any(going):
                break
            ahead = _moved(point, own, moves, np.split(going, ends))
            there = each(ahead)
            better = going & (there >= values)
            point = _moved(point, own, moves, np.split(better, ends))
            values = np.where(better, there, values)
            damping = np.where(better, damping / DAMPED, np.where(going, damping * DAMPED, damping))
        return point

    def _best_together(self, point: np.ndarray) -> np.ndarray:
        """Climb by L-BFGS along all factors' own parameters at once."""
        structure = self._structure
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


def _newton(blocks: np.ndarray, slopes: np.ndarray, damping: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return steps uphill, shape (factors, parameters), and how long they would be undamped, in sd."""
    widths, values, vectors = scaled_eigen(blocks, np.abs(np.diagonal(blocks, axis1=1, axis2=2)))
    curvatures = np.maximum(np.abs(values), FLAT)
    along = np.einsum("npk,np->nk", vectors, widths * slopes)
    moves = np.einsum("npk,nk->np", vectors, along / (curvatures + damping[:, np.newaxis]))
    return widths * moves, np.sqrt(np.sum(along**2 / curvatures, axis=1))


def _moved(
    point: np.ndarray, own: tuple[np.ndarray, ...], moves: list[np.ndarray], which: list[np.ndarray]
) -> np.ndarray:
    """Return a point in which some of the factors have moved."""
    moved = point.copy()
    for places, move, some in zip(own, moves, which, strict=True):
        moved[places[some]] += move[some]
    return moved
