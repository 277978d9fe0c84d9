"""Weighted sums of normal densities: with all covariances, or with none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp

__all__ = ["NormalMixture", "log_normal"]


@dataclass(frozen=True)
class NormalMixture:
    """A weighted sum of normal densities.

    Attributes
    ----------
    means : numpy.ndarray, shape (parts, size)
    factors : numpy.ndarray, shape (parts, size, size) or (parts, size)
        Square roots of the covariances: ``mean + factor @ standard_normal`` is a draw. Of densities without
        covariances the standard deviations alone: in many dimensions there is no room for a matrix.
    weights : numpy.ndarray, shape (parts,)
    """

    means: np.ndarray
    factors: np.ndarray
    weights: np.ndarray

    def draw(self, number: int, rng: np.random.Generator) -> np.ndarray:
        """Return draws, shape (number, size), in no order."""
        counts = rng.multinomial(number, self.weights)
        parts = [
            mean + _scaled(factor, rng.standard_normal((count, mean.size)))
            for mean, factor, count in zip(self.means, self.factors, counts, strict=True)
        ]
        return rng.permutation(np.concatenate(parts))

    def log_density(self, points: np.ndarray) -> np.ndarray:
        """Return the log density at points, shape (number, size): of shape (number,)."""
        parts = [
            log_normal(_standard(factor, points - mean), factor)
            for mean, factor in zip(self.means, self.factors, strict=True)
        ]
        return np.asarray(logsumexp(parts, axis=0, b=self.weights[:, np.newaxis]))

    @property
    def centre(self) -> np.ndarray:
        """The mean of the part of the greatest weight, shape (size,)."""
        return np.asarray(self.means[np.argmax(self.weights)])

    @property
    def widths(self) -> np.ndarray:
        """The standard deviations of that part, shape (size,)."""
        factor = self.factors[np.argmax(self.weights)]
        return np.asarray(np.abs(factor) if factor.ndim == 1 else np.linalg.norm(factor, axis=1))

    def of(self, places: np.ndarray) -> NormalMixture:
        """Return the marginal density of some of the numbers."""
        if self.factors.ndim == 2:
            factors = self.factors[:, places]
        else:
            rows = self.factors[:, places]
            factors = np.linalg.cholesky(rows @ rows.transpose(0, 2, 1))
        return NormalMixture(self.means[:, places], factors, self.weights)


def log_normal(standard: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """Return the log density of draws that were made from standard normal ones, shape (number, size)."""
    size = standard.shape[-1]
    scale = np.sum(np.log(np.abs(factor))) if factor.ndim == 1 else np.linalg.slogdet(factor)[1]
    return np.asarray(-0.5 * np.sum(standard**2, axis=-1) - scale - 0.5 * size * np.log(2.0 * np.pi))


def _scaled(factor: np.ndarray, standard: np.ndarray) -> np.ndarray:
    return np.asarray(standard * factor if factor.ndim == 1 else standard @ factor.T)


def _standard(factor: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    return np.asarray(offsets / factor if factor.ndim == 1 else np.linalg.solve(factor, offsets.T).T)
