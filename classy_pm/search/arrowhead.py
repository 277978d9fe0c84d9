"""The curvature of a graph of factors: a block for each factor, and a border for what they share.

The parameters of one factor do not act on another's, so that one step along the same parameter of all factors
at once tells the curvature of each. What it costs grows with the parameters of one factor, and not with the
number of factors; and so do not the matrices.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy import sparse
from scipy.sparse import linalg

from classy_pm.model import PlateLayout
from classy_pm.plan import Plan
from classy_pm.search.climb import FLAT, first_steps, root, suited_steps

__all__ = [
    "Arrowhead",
    "Scale",
    "Structure",
    "condition_of_correlation",
    "log_determinant",
    "roots",
    "scaled_eigen",
    "standard_deviations",
]


class Scale(Protocol):
    """The unconstrained scale of a density."""

    size: int
    places: dict[str, slice]

    def points(self, vectors: np.ndarray) -> np.ndarray:
        """Map parameter values, shape (number, plan.size), to points, shape (number, size)."""
        ...

    def vectors(self, points: np.ndarray) -> np.ndarray:
        """Map points to parameter values."""
        ...

    def in_order_of_plan(self, points: np.ndarray) -> np.ndarray:
        """Return points with the parameters in the order of the plan."""
        ...


# How many parameters one factor may have: the curvature costs twice as many gradients.
LARGEST = 60

Gradient = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Structure:
    """Which numbers of a vector belong to which factor.

    Attributes
    ----------
    own : tuple of numpy.ndarray of int, each of shape (factors, parameters)
        Of each plate the places of its factors' own parameters.
    shared : numpy.ndarray of int
        All other places.
    """

    own: tuple[np.ndarray, ...]
    shared: np.ndarray

    @classmethod
    def of(cls, plan: Plan, scale: Scale) -> Structure | None:
        """Return the structure of points; None of a model in which nothing depends on anything else.

        In a model that is no graph of factors all that nothing is drawn from is one factor.
        """
        if isinstance(plan.layout, PlateLayout):
            found = cls.of_plates(plan.layout, scale)
            if any(places.size for places in found.own):
                return found
        if not plan.parents:
            return None
        every = np.arange(scale.size)
        members = [
            every[scale.places[parameter.name]]
            for number, parameter in enumerate(plan.parameters)
            if number not in plan.parents
        ]
        own = np.concatenate([np.zeros(0, int), *members])
        if not 0 < own.size <= LARGEST:
            return None
        return cls((own[np.newaxis],), np.setdiff1d(every, own))

    @classmethod
    def of_plates(cls, layout: PlateLayout, scale: Scale) -> Structure:
        """Return the structure of a graph of factors, with an entry of `own` for each of its plates."""
        own = layout.own_places([scale.places[parameter.name] for parameter in layout.parameters])
        taken = np.concatenate([places.ravel() for places in own])
        return cls(tuple(own), np.setdiff1d(np.arange(scale.size), taken))

    @property
    def size(self) -> int:
        """How many numbers there are."""
        return self.shared.size + sum(places.size for places in self.own)

    def curvature(self, gradient: Gradient, point: np.ndarray, steps: np.ndarray | None = None) -> Arrowhead:
        """Return the negative second derivatives, from central differences of the gradient.

        Parameters
        ----------
        gradient : callable
        point : numpy.ndarray, shape (size,)
        steps : numpy.ndarray, shape (size,), optional
            How long they are. By default first differences tell how wide the density is, and so how long
            steps should be.
        """
        if steps is None:
            steps = first_steps(point)
            steps = suited_steps(steps, self._differences(gradient, point, steps).diagonal())
        return self._differences(gradient, point, steps)

    def log_volume(self, gradient: Gradient, point: np.ndarray, steps: np.ndarray) -> float:
        """Return the log of how much room the factors' own parameters have at a point, up to a constant."""
        return sum(_log_volume(block) for block in self.blocks(gradient, point, steps))

    def own_steps(self, gradient: Gradient, point: np.ndarray) -> np.ndarray:
        """Return how long steps along the factors' own numbers are to be, shape (size,)."""
        steps = first_steps(point)
        for places, block in zip(self.own, self.blocks(gradient, point, steps), strict=True):
            steps[places] = suited_steps(steps[places], np.diagonal(block, axis1=1, axis2=2))
        return steps

    def blocks(self, gradient: Gradient, point: np.ndarray, steps: np.ndarray) -> list[np.ndarray]:
        """Return the negative second derivatives of the factors' own parameters."""
        along = _differences_along(gradient, point)
        blocks = [np.empty((*places.shape, places.shape[1])) for places in self.own]
        for column in range(max(places.shape[1] for places in self.own)):
            direction = np.zeros_like(steps)
            stepped = [places[:, column] for places in self.own if column < places.shape[1]]
            direction[np.concatenate(stepped)] = steps[np.concatenate(stepped)]
            falls = along(direction)
            for block, places in zip(blocks, self.own, strict=True):
                if column < places.shape[1]:
                    block[:, :, column] = falls[places] / steps[places[:, column]][:, np.newaxis]
        return [0.5 * (block + block.transpose(0, 2, 1)) for block in blocks]

    def _differences(self, gradient: Gradient, point: np.ndarray, steps: np.ndarray) -> Arrowhead:
        along = _differences_along(gradient, point)
        blocks = self.blocks(gradient, point, steps)
        border = np.empty((point.size, len(self.shared)))
        for column, place in enumerate(self.shared):
            direction = np.zeros_like(point)
            direction[place] = steps[place]
            border[:, column] = along(direction) / steps[place]
        corner = border[self.shared]
        return Arrowhead(
            self,
            tuple(blocks),
            tuple(border[places] for places in self.own),
            0.5 * (corner + corner.T),
        )


@dataclass(frozen=True)
class Arrowhead:
    """A symmetric matrix of such a structure.

    Attributes
    ----------
    structure : Structure
    blocks : tuple of numpy.ndarray, each of shape (factors, parameters, parameters)
    border : tuple of numpy.ndarray, each of shape (factors, parameters, shared)
    corner : numpy.ndarray, shape (shared, shared)
    """

    structure: Structure
    blocks: tuple[np.ndarray, ...]
    border: tuple[np.ndarray, ...]
    corner: np.ndarray

    def diagonal(self) -> np.ndarray:
        """Return the diagonal, shape (size,)."""
        found = np.empty(self.structure.size)
        found[self.structure.shared] = np.diag(self.corner)
        for block, places in zip(self.blocks, self.structure.own, strict=True):
            found[places] = np.diagonal(block, axis1=1, axis2=2)
        return found

    def variances(self) -> np.ndarray:
        """Return the variances of the factors' own parameters where all that they share is fixed.

        Of what is shared, those where all else that is shared is fixed.
        """
        found = np.full(self.structure.size, np.nan)
        of_shared = np.diag(self.schur())
        found[self.structure.shared] = np.where(of_shared > 0.0, 1.0 / np.abs(of_shared), np.inf)
        for block, places in zip(self.blocks, self.structure.own, strict=True):
            found[places] = np.sum(roots(block) ** 2, axis=2)
        return found

    def schur(self) -> np.ndarray:
        """Return the matrix of what is shared with the factors' own parameters eliminated."""
        found = self.corner.copy()
        for block, border in zip(self.blocks, self.border, strict=True):
            pulled = roots(block).transpose(0, 2, 1) @ border
            found -= np.einsum("npk,npl->kl", pulled, pulled)
        return found

    def root(self) -> tuple[sparse.csr_array, np.ndarray]:
        """Return a square root of the inverse, and which of its columns are flat, as `climb.root` does."""
        size = self.structure.size
        schur, parts = self.schur(), []
        for block, border in zip(self.blocks, self.border, strict=True):
            scatter = roots(block)
            parts.append((scatter, scatter @ (scatter.transpose(0, 2, 1) @ border)))
        of_shared, flat_shared = root(schur) if len(schur) else (schur, np.zeros(0, bool))
        rows, columns, values = [], [], []

        def put(where: np.ndarray, to: np.ndarray, what: np.ndarray) -> None:
            row, column = np.broadcast_arrays(where, to)
            rows.append(row.ravel())
            columns.append(column.ravel())
            values.append(what.ravel())

        shared = self.structure.shared
        put(shared[:, np.newaxis], shared[np.newaxis], of_shared)
        for (scatter, pull), places in zip(parts, self.structure.own, strict=True):
            put(places[:, :, np.newaxis], places[:, np.newaxis, :], scatter)
            put(places[:, :, np.newaxis], shared[np.newaxis, np.newaxis, :], -pull @ of_shared)
        entries = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
        flat = np.zeros(size, bool)
        flat[shared] = flat_shared
        return sparse.csr_array(entries, shape=(size, size)), flat


def _differences_along(gradient: Gradient, point: np.ndarray) -> Gradient:
    """Return what gives half of the difference of the gradient between both ends of a step, or zero."""

    def along(step: np.ndarray) -> np.ndarray:
        found = 0.5 * (gradient(point - step) - gradient(point + step))
        return np.nan_to_num(found, nan=0.0, posinf=0.0, neginf=0.0)

    return along


def _log_volume(blocks: np.ndarray) -> float:
    """Return minus half of the sum of the log determinants of many small matrices."""
    values = np.linalg.eigvalsh(blocks)
    return -0.5 * float(np.sum(np.log(np.maximum(values, FLAT))))


def roots(blocks: np.ndarray) -> np.ndarray:
    """Return square roots of the inverses of many small matrices, shape (factors, parameters, parameters)."""
    widths, values, vectors = scaled_eigen(blocks, np.diagonal(blocks, axis1=1, axis2=2))
    return widths[:, :, np.newaxis] * vectors / np.sqrt(np.where(values < FLAT, 1.0, values))[:, np.newaxis]


def scaled_eigen(blocks: np.ndarray, own: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the widths that curvatures give, and the eigenvalues and vectors of matrices scaled by them.

    Parameters
    ----------
    blocks : numpy.ndarray, shape (factors, parameters, parameters)
    own : numpy.ndarray, shape (factors, parameters)
        The width is one where this is not positive.
    """
    widths = np.where(own > 0.0, 1.0 / np.sqrt(np.where(own > 0.0, own, 1.0)), 1.0)
    values, vectors = np.linalg.eigh(blocks * widths[:, :, np.newaxis] * widths[:, np.newaxis, :])
    return widths, values, vectors


def log_determinant(matrix: sparse.csr_array) -> float:
    """Return the log of the absolute determinant."""
    return float(np.sum(np.log(np.abs(linalg.splu(matrix.tocsc()).U.diagonal()))))


def standard_deviations(scatter: sparse.csr_array) -> np.ndarray:
    """Return those of the normal density with the covariance ``scatter @ scatter.T``, shape (size,)."""
    return np.sqrt(np.asarray(scatter.multiply(scatter).sum(axis=1)).ravel())


def condition_of_correlation(scatter: sparse.csr_array) -> float:
    """Return the condition number of the correlation matrix of ``scatter @ scatter.T``."""
    scaled = sparse.csc_array(scatter.multiply(1.0 / standard_deviations(scatter)[:, np.newaxis]))
    solve = linalg.splu(scaled)

    def largest(product: Callable[[np.ndarray], np.ndarray]) -> float:
        operator = linalg.LinearOperator(scaled.shape, matvec=product, dtype=float)
        start = np.ones(scaled.shape[0])
        return float(linalg.eigsh(operator, k=1, v0=start, tol=1e-2, return_eigenvectors=False)[0])

    high = largest(lambda x: scaled @ (scaled.T @ x))
    low = largest(lambda x: solve.solve(solve.solve(x), "T"))
    return high * low
