"""Weighted sums of normal densities: with all covariances, with some, or with none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp

__all__ = ["LowRank", "NormalMixture", "log_normal", "scaled"]


@dataclass(frozen=True)
class LowRank:
    """A square root of a covariance with few correlated directions: what it takes grows with the size alone.

    It is ``diag(scale) @ (identity + basis @ (root - identity) @ basis.T)``.

    Attributes
    ----------
    scale : numpy.ndarray, shape (size,)
    basis : numpy.ndarray, shape (size, rank)
        Orthonormal columns.
    root : numpy.ndarray, shape (rank, rank)
        Lower triangular.
    """

    scale: np.ndarray
    basis: np.ndarray
    root: np.ndarray

    @classmethod
    def of(cls, diagonal: np.ndarray, columns: np.ndarray, middle: np.ndarray) -> LowRank:
        """Return the root of ``diag(diagonal) + columns @ middle @ columns.T``.

        Zhang et al. (2022), JMLR 23(306), algorithm 4.

        Raises
        ------
        numpy.linalg.LinAlgError
            If it is no covariance.
        """
        scale = np.sqrt(diagonal)
        basis, upper = np.linalg.qr(columns / scale[:, np.newaxis])
        root = np.linalg.cholesky(np.eye(len(upper)) + upper @ middle @ upper.T)
        return cls(scale, basis, root)

    def scaled(self, standard: np.ndarray) -> np.ndarray:
        """Return the product with vectors, shape (number, size)."""
        change = (standard @ self.basis) @ (self.root.T - np.eye(len(self.root)))
        return np.asarray(self.scale * (standard + change @ self.basis.T))

    def standard(self, offsets: np.ndarray) -> np.ndarray:
        """Return what `scaled` makes these offsets, shape (number, size), of."""
        standard = offsets / self.scale
        within = standard @ self.basis
        change = np.linalg.solve(self.root, within.T).T - within
        return np.asarray(standard + change @ self.basis.T)

    def covariance(self, places: np.ndarray) -> np.ndarray:
        """Return the covariance of some of the numbers."""
        basis, scale = self.basis[places], self.scale[places]
        correlated = basis @ (self.root @ self.root.T - np.eye(len(self.root))) @ basis.T
        return np.asarray((np.eye(len(scale)) + correlated) * np.outer(scale, scale))

    @property
    def log_scale(self) -> float:
        """The log of the determinant."""
        return float(np.sum(np.log(self.scale)) + np.sum(np.log(np.diag(self.root))))

    @property
    def widths(self) -> np.ndarray:
        """The standard deviations."""
        change = self.basis @ (self.root @ self.root.T - np.eye(len(self.root)))
        return np.asarray(self.scale * np.sqrt(1.0 + np.sum(change * self.basis, axis=1)))


# A matrix, standard deviations alone, or what is between.
Root = np.ndarray | LowRank


@dataclass(frozen=True)
class NormalMixture:
    """A weighted sum of normal densities.

    Attributes
    ----------
    means : numpy.ndarray, shape (parts, size)
    factors : sequence of numpy.ndarray, shape (size, size) or (size,), or of LowRank
        Square roots of the covariances: ``mean + factor @ standard_normal`` is a draw. Of densities without
        covariances the standard deviations alone: in many dimensions there is no room for a matrix.
    weights : numpy.ndarray, shape (parts,)
    """

    means: np.ndarray
    factors: Sequence[Root] | np.ndarray
    weights: np.ndarray

    def draw(self, number: int, rng: np.random.Generator) -> np.ndarray:
        """Return draws, shape (number, size), in no order."""
        counts = rng.multinomial(number, self.weights)
        parts = [
            mean + scaled(factor, rng.standard_normal((count, mean.size)))
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
        factor = self.factors[int(np.argmax(self.weights))]
        if isinstance(factor, LowRank):
            return factor.widths
        return np.asarray(np.abs(factor) if factor.ndim == 1 else np.linalg.norm(factor, axis=1))

    def of(self, places: np.ndarray) -> NormalMixture:
        """Return the marginal density of some of the numbers."""
        roots = [_root_of(factor, places) for factor in self.factors]
        return NormalMixture(self.means[:, places], roots, self.weights)

    def widened(self, widths: Sequence[float], shares: Sequence[float]) -> NormalMixture:
        """Return the mixture of this one, whose roots are no `LowRank`, and of itself so many times wider."""
        roots = [width * root for width in widths for root in self.factors if not isinstance(root, LowRank)]
        weights = np.concatenate([share * self.weights for share in shares])
        return NormalMixture(np.tile(self.means, (len(widths), 1)), roots, weights)


def log_normal(standard: np.ndarray, factor: Root) -> np.ndarray:
    """Return the log density of draws that were made from standard normal ones, shape (number, size)."""
    size = standard.shape[-1]
    if isinstance(factor, LowRank):
        scale = factor.log_scale
    else:
        scale = np.sum(np.log(np.abs(factor))) if factor.ndim == 1 else np.linalg.slogdet(factor)[1]
    return np.asarray(-0.5 * np.sum(standard**2, axis=-1) - scale - 0.5 * size * np.log(2.0 * np.pi))


def scaled(factor: Root, standard: np.ndarray) -> np.ndarray:
    """Return the products of a root with standard normal draws, shape (number, size)."""
    if isinstance(factor, LowRank):
        return factor.scaled(standard)
    return np.asarray(standard * factor if factor.ndim == 1 else standard @ factor.T)


def _standard(factor: Root, offsets: np.ndarray) -> np.ndarray:
    if isinstance(factor, LowRank):
        return factor.standard(offsets)
    return np.asarray(offsets / factor if factor.ndim == 1 else np.linalg.solve(factor, offsets.T).T)


def _root_of(factor: Root, places: np.ndarray) -> np.ndarray:
    if isinstance(factor, LowRank):
        return np.linalg.cholesky(factor.covariance(places))
    if factor.ndim == 1:
        return np.asarray(factor[places])
    return np.linalg.cholesky(factor[places] @ factor[places].T)
