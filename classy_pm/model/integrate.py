"""A distribution function from a density alone, by Gauss-Legendre quadrature on many panels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from classy_pm.errors import ModelError

__all__ = ["IntegratedDensity"]

# Panels between the ends, closer together near the middle, and nodes of each.
PANELS = 400
NODES, WEIGHTS = np.polynomial.legendre.leggauss(16)
# By how much the integral over all panels may miss 1.
TOLERANCE = 1e-9
# A density that is smaller than this where it ends has faded away rather than been cut off.
FADED = 1e-200


class IntegratedDensity:
    """The distribution function of a density whose integral is known in no closed form.

    Parameters
    ----------
    density : callable
        The normalised density of an array of values; 0 outside of the support.
    middle, width : float
        About where the distribution is, and how wide.

    Raises
    ------
    ModelError
        If the density's integral is not 1: it has a singularity, or tails that are too heavy.
    """

    def __init__(self, density: Callable[[np.ndarray], np.ndarray], middle: float, width: float) -> None:
        self.density = density
        share = np.linspace(-1.0, 1.0, PANELS + 1)[1:-1]
        edges = middle + width * share / (1.0 - share**2) * 2.0
        low, high = (self._end(middle, sign * width) for sign in (-1.0, 1.0))
        self.edges = np.unique(np.clip(np.concatenate([[low], edges, [high]]), low, high))
        masses = self._integral(self.edges[:-1], self.edges[1:])
        self.below = np.concatenate([[0.0], np.cumsum(masses)])
        if not abs(self.below[-1] - 1.0) < TOLERANCE:
            raise ModelError(f"The integral of the density is {self.below[-1]:.10g} where it should be 1.")

    @property
    def support(self) -> tuple[float, float]:
        """Where the density ends; infinite where it fades away instead."""
        low, high = (float(end) for end in self.edges[[0, -1]])
        fades = self.density(self.edges[[0, -1]]) < FADED
        return -np.inf if fades[0] else low, np.inf if fades[1] else high

    def cdf(self, value: np.ndarray) -> np.ndarray:
        """Return the probability below each value."""
        inside = np.clip(np.asarray(value, dtype=float), self.edges[0], self.edges[-1])
        panel = np.clip(np.searchsorted(self.edges, inside, side="right") - 1, 0, len(self.edges) - 2)
        return np.clip(self.below[panel] + self._integral(self.edges[panel], inside), 0.0, 1.0)

    def _integral(self, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        half = 0.5 * (high - low)[..., None]
        return np.sum(half * WEIGHTS * self.density(low[..., None] + half * (1.0 + NODES)), axis=-1)

    def _end(self, middle: float, step: float) -> float:
        """Return where the support ends, or beyond where any probability is that a float can hold."""
        inside, outside = middle, middle + step
        while self.density(np.array([outside]))[0] > 0.0 and abs(outside - middle) < 1e6 * abs(step):
            inside, outside = outside, middle + 2.0 * (outside - middle)
        if self.density(np.array([outside]))[0] > 0.0:
            return outside
        for _ in range(200):
            half = 0.5 * (inside + outside)
            inside, outside = (half, outside) if self.density(np.array([half]))[0] > 0.0 else (inside, half)
        return inside
