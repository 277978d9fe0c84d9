"""Where chains start that begin with the draws of another fit, and the mass matrix that these draws give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from classy_pm.errors import SearchError
from classy_pm.search.initializers import InitializerResult

if TYPE_CHECKING:
    from classy_pm.search.nutpie_chains import NutpieScale
    from classy_pm.search.problem import Problem

__all__ = ["MOST", "Points", "moments_from", "start_from", "starting_vectors"]

# Of how many draws the covariance is taken, and how many a parameter there must be for one.
DRAWS, FOR_DENSE = 4000, 10
# Beyond so many parameters a dense matrix costs more than it saves.
MOST = 200
# What is added to the diagonal of the correlation matrix, so that it has a root.
JITTER = 1e-9
# How many draws are tried for the start of a chain.
TRIES = 100


@dataclass(frozen=True)
class Points:
    """Points at which chains start, on the sampler's scale.

    Attributes
    ----------
    points : numpy.ndarray, shape (number, size)
    mass_matrix : {"dense", "adapted"}
        Whether the sampler's scale is that of a posterior of unit covariance.
    """

    points: np.ndarray
    mass_matrix: Literal["dense", "adapted"]

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """Return one of them at random."""
        return self.points[rng.integers(len(self.points))]


def moments_from(initializer: InitializerResult, problem: Problem) -> tuple[np.ndarray, np.ndarray] | None:
    """Return mean and covariance of another fit's draws on the scale of PyMC's samplers, or None without.

    Their rows are in the order of the value variables of `Problem.pymc_model`.
    """
    from classy_pm.graph.unconstrained import unconstraining

    plan, model = problem.plan, problem.pymc_model
    if initializer.result.kind == "optimum" or plan.size > MOST:
        return None
    vectors = _possible(initializer, problem, initializer.draws(plan, DRAWS, problem.rng(5)))
    points = _finite(unconstraining(model, plan, [value.name for value in model.value_vars])(vectors))
    if not _enough(points):
        return None
    root = _root(points)
    return np.mean(points, axis=0), root @ root.T


def start_from(initializer: InitializerResult, problem: Problem, compiled: Any, *, affine: bool) -> Points:
    """Return where chains of nutpie start, and give it the mass matrix of the draws.

    Parameters
    ----------
    initializer : InitializerResult
    problem : Problem
    compiled : nutpie.sample.CompiledModel
    affine : bool
        Whether it was to be compiled so that its points can be changed: `set_affine`.

    Raises
    ------
    SearchError
        If the prior of this fit is zero at all draws of the other.
    """
    from classy_pm.search.nutpie_chains import scale_of
    from classy_pm.search.nutpie_native import can_be_affine, set_affine

    plan, rng, scale = problem.plan, problem.rng(5), scale_of(problem, compiled)
    vectors = initializer.draws(plan, DRAWS, rng)
    points = _points(scale, _possible(initializer, problem, vectors))
    if initializer.result.kind == "optimum":  # chains start around a single point
        points = _points(scale, _possible(initializer, problem, initializer.vectors(plan, TRIES, rng)))
        return Points(points, "adapted")
    if not (affine and can_be_affine(compiled) and _enough(points)):
        return Points(points, "adapted")
    origin, root = np.mean(points, axis=0), _root(points)
    set_affine(compiled, origin, root)
    return Points(np.ascontiguousarray(np.linalg.solve(root, (points - origin).T).T), "dense")


def starting_vectors(initializer: InitializerResult, problem: Problem, number: int) -> np.ndarray:
    """Return where chains of another sampler start, shape (number, size), where the density is not zero."""
    vectors = initializer.vectors(problem.plan, max(number, TRIES), problem.rng(5))
    vectors = _possible(initializer, problem, vectors)
    vectors = vectors[np.isfinite(problem.log_likelihood.many(vectors))]
    if len(vectors) < number:
        raise _nowhere(initializer)
    return vectors[:number]


def _possible(initializer: InitializerResult, problem: Problem, vectors: np.ndarray) -> np.ndarray:
    """Return the vectors where the prior is not zero."""
    vectors = vectors[problem.plan.log_prior(vectors) > -np.inf]
    if not len(vectors):
        raise _nowhere(initializer)
    return vectors


def _nowhere(initializer: InitializerResult) -> SearchError:
    return SearchError(
        f"The posterior density is zero at nearly all draws of the fit {initializer.result.identifier[:12]}.",
        cure="Do the limits of the priors leave them out? Else leave the initializer out.",
    )


def _points(scale: NutpieScale, vectors: np.ndarray) -> np.ndarray:
    """Return vectors on the sampler's scale, but those at a limit, which is infinitely far there."""
    return _finite(scale.points(vectors))


def _finite(points: np.ndarray) -> np.ndarray:
    return points[np.all(np.isfinite(points), axis=1)]


def _enough(points: np.ndarray) -> bool:
    """Whether there are enough different points for a covariance."""
    return len(np.unique(points, axis=0)) >= FOR_DENSE * points.shape[1]


def _root(points: np.ndarray) -> np.ndarray:
    """Return a lower triangular root of the covariance of points."""
    sd = np.std(points, axis=0)
    sd = np.where(sd > 0.0, sd, 1.0)
    correlation = np.cov(points / sd, rowvar=False).reshape(len(sd), len(sd))
    return np.asarray(sd[:, np.newaxis] * np.linalg.cholesky(correlation + JITTER * np.eye(len(sd))))
