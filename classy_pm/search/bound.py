"""The evidence bound (ELBO) of a normal density, averaged over draws that stay the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import optimize

from classy_pm.search.arrowhead import Structure
from classy_pm.search.climb import IMPOSSIBLE, WithGradient

__all__ = ["Bound", "noise_by_factor", "noise_of"]

# By how much narrower it is tried, as logarithms, where the density is zero in places at first.
NARROWER = (0.0, -1.0, -2.0, -3.0)


@dataclass(frozen=True)
class Bound:
    """The evidence bound of a normal density, averaged over fixed draws.

    Its variables are a mean and the lower triangle of a matrix, or its diagonal alone, in the
    coordinates ``origin + scale @ coordinates``; the diagonal's are logarithms.

    Attributes
    ----------
    log_density : callable
        Gives the log density and its gradient at a point, shape (size,).
    origin : numpy.ndarray, shape (size,)
    scale : numpy.ndarray, shape (size, size) or (size,)
        Of a mean field the diagonal alone.
    noise : numpy.ndarray, shape (draws, size)
        Standard normal draws.
    full : bool
        Whether there are covariances.
    """

    log_density: WithGradient
    origin: np.ndarray
    scale: np.ndarray
    noise: np.ndarray
    full: bool

    @property
    def size(self) -> int:
        """The number of parameters."""
        return self.origin.size

    def start(self, narrower: float = 0.0) -> np.ndarray:
        """Return variables to begin with: the origin, and the widths of the scale, or narrower ones."""
        below = self.size * (self.size - 1) // 2 if self.full else 0
        return np.concatenate([np.zeros(self.size), np.full(self.size, narrower), np.zeros(below)])

    def possible_start(self) -> np.ndarray | None:
        """Return the widest start at whose draws the density is nowhere zero, or None."""
        starts = (self.start(narrower) for narrower in NARROWER)
        return next((start for start in starts if not self.is_empty(start)), None)

    def is_empty(self, start: np.ndarray) -> bool:
        """Whether the density is zero at some of the draws there."""
        return self._falling(start)[0] >= IMPOSSIBLE

    def maximise(self, start: np.ndarray, iterations: int, show: Callable[[int], None]) -> Any:
        """Climb by L-BFGS, and return what SciPy found."""
        steps = iter(range(1, iterations + 1))
        return optimize.minimize(
            self._falling,
            start,
            jac=True,
            method="L-BFGS-B",
            callback=lambda _: show(next(steps)),
            options={"maxiter": iterations, "maxfun": 20 * iterations, "maxcor": 20, "ftol": 1e-10},
        )

    def normal(self, variables: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and factor, of a mean field the standard deviations, on the scale of the density."""
        mean, factor = self._split(variables)
        if self.full:
            return self.origin + self.scale @ mean, self.scale @ factor
        return self.origin + self.scale * mean, self.scale * factor

    def elbo(self, falling: float) -> float:
        """Return the bound from what was minimised: it lacks constants."""
        log_scale = np.linalg.slogdet(self.scale)[1] if self.full else np.sum(np.log(self.scale))
        return float(log_scale + 0.5 * self.size * (1.0 + np.log(2.0 * np.pi)) - falling)

    def _split(self, variables: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mean, logs, below = np.split(variables, [self.size, 2 * self.size])
        if not self.full:
            return mean, np.exp(logs)
        factor = np.diag(np.exp(logs))
        factor[np.tril_indices(self.size, -1)] = below
        return mean, factor

    def _falling(self, variables: np.ndarray) -> tuple[float, np.ndarray]:
        mean, factor = self._split(variables)
        if self.full:
            points = self.origin + (mean + self.noise @ factor.T) @ self.scale.T
        else:
            points = self.origin + (mean + self.noise * factor) * self.scale
        found = [self.log_density(point) for point in points]
        values = np.array([value for value, _ in found])
        if not np.all(np.isfinite(values)):
            return IMPOSSIBLE, np.zeros_like(variables)
        gradients = np.array([gradient for _, gradient in found])
        if self.full:
            gradients = gradients @ self.scale
            of_factor = gradients.T @ self.noise / len(points)
            of_logs = np.diag(of_factor) * np.diag(factor) + 1.0
            below = of_factor[np.tril_indices(self.size, -1)]
        else:
            gradients *= self.scale
            of_logs = np.mean(gradients * self.noise, axis=0) * factor + 1.0
            below = np.empty(0)
        gradient = np.concatenate([np.mean(gradients, axis=0), of_logs, below])
        return -float(np.mean(values) + np.sum(variables[self.size : 2 * self.size])), -gradient


def noise_of(number: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """Return standard normal draws whose mean is zero, and their covariance one where they are enough."""
    half = rng.standard_normal((max(1, (number + 1) // 2), size))
    if len(half) > size:
        half = half @ np.linalg.inv(np.linalg.cholesky(half.T @ half / len(half)).T)
    return np.concatenate([half, -half])


def noise_by_factor(number: int, structure: Structure, rng: np.random.Generator) -> np.ndarray:
    """Return the same for many data sets: the covariance is one of what is shared, and of each one's own.

    Between data sets it need not be: their parameters do not touch each other.
    """
    shared = structure.shared
    half = rng.standard_normal((max(1, (number + 1) // 2), structure.size))
    length = len(half)
    if length > shared.size + max(members.shape[1] for members in structure.own):
        basis = np.linalg.qr(half[:, shared])[0]
        half[:, shared] = np.sqrt(length) * basis
        for members in structure.own:
            own = half[:, members].transpose(1, 0, 2)
            own = own - basis @ (basis.T @ own)
            half[:, members] = np.sqrt(length) * np.linalg.qr(own)[0].transpose(1, 0, 2)
    return np.concatenate([half, -half])
