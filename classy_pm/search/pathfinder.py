"""`Pathfinder`: the best normal approximation along each way that an optimiser takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
from scipy import optimize

from classy_pm.errors import SearchError
from classy_pm.search.approximation import Approximation, Found
from classy_pm.search.climb import MAX_ITERATIONS, WithGradient, upside_down
from classy_pm.search.gradient import require_gradient
from classy_pm.search.minibatch import Strata, require_data_sets
from classy_pm.search.normals import LowRank, NormalMixture, log_normal, scaled
from classy_pm.search.problem import Problem
from classy_pm.search.settings import positive
from classy_pm.search.start import NEGLIGIBLE, best_points, compiled, explained, prior_points

__all__ = ["Pathfinder"]

# How many steps an inverse Hessian is made of.
HISTORY = 6
# The random stream of the first path.
PATH = 2000
# And that by which data sets are picked.
PICKING = 3000


class Pathfinder(Approximation):
    """Multi-path Pathfinder, corrected by importance weights.

    Parameters
    ----------
    draws : int
        How many are drawn, from all paths together.
    paths : int
        How many paths; they start at the best of many draws from the prior.
    elbo_draws : int
        How many draws each approximation along a path is judged by.
    minibatch : int, optional
        For a graph of many factors: by about how many data sets each approximation is judged, the same ones
        along a path; the paths themselves are climbed with all of them, and their best ones compared.
    importance_resampling : {"psis", "none"}
        "psis" weighs each draw by the ratio of posterior to approximation, the largest weights smoothed.
        `result.samples` have these weights; the posterior in `result.idata` is of draws of equal weight,
        as many as the weighted ones are worth. "none" leaves the draws as they are.
    **common
        What every search takes: see `Search`.

    Raises
    ------
    SearchError
        If the likelihood has no gradient, or if no path leads anywhere.
    SettingError
        If `minibatch` is given for a model of one data set, or is not less than their number.

    Notes
    -----
    Zhang, Carpenter, Gelman and Vehtari (2022), JMLR 23(306). L-BFGS climbs the log density on the
    unconstrained scale; at each point of its way the inverse Hessian that it has gathered is the
    covariance of a normal density, and the one with the highest evidence bound (ELBO) is kept. Paths
    whose bound says that they hold less than a millionth of the probability are left out.

    Other than there, a draw is weighed against the mixture of all paths (Owen and Zhou 2000, JASA 95,
    135), not against its own path alone: otherwise a mode that more paths found would count for more.

    `result.attributes` has ``pareto_k``: Vehtari et al. (2024), JMLR 25(72). Above 0.7 a
    notice says that the draws cannot be trusted; above 0.5 there is no evidence.

    Examples
    --------
    >>> Pathfinder(paths=4, random_seed=1)
    Pathfinder(random_seed=1, paths=4)
    """

    _added_later: ClassVar[dict[str, Any]] = {"minibatch": None}

    paths: int = 8
    elbo_draws: int = 10
    minibatch: int | None = None

    def _faults(self) -> Iterator[tuple[str, str]]:
        yield from super()._faults()
        yield from positive(self, "paths", "elbo_draws")
        if self.minibatch is not None:
            yield from positive(self, "minibatch")

    def _approximate(self, problem: Problem) -> Found:
        require_gradient(problem, "Pathfinder")
        density = problem.density
        compiled(problem, density)
        value: Callable[[np.ndarray], float] = density.value
        if self.minibatch is not None:
            strata = Strata(problem, require_data_sets(problem, self.minibatch), self.minibatch)
            value = strata.estimate(problem.rng(PICKING))
        with (
            problem.report.stage(f"following {self.paths} paths", total=self.paths) as stage,
            explained(problem),
        ):
            points = prior_points(problem, density.points)
            starts = best_points(lambda point: density(point)[0], points, self.paths)
            found: list[_Normal] = []
            for index, start in enumerate(starts):
                best = _best_along(density, value, start, self.elbo_draws, problem.rng(PATH + index))
                if best is not None and self.minibatch is not None:
                    best = best.judged_by(density.value, problem.rng(PATH + index), self.elbo_draws)
                found += [best] if best is not None else []
                stage.update(index + 1)
        if not found:
            raise SearchError(
                f"None of {len(starts)} paths leads to a normal approximation: the density may rise without "
                "end, or be zero nearly everywhere.",
                cure="Use NUTS or Emcee.",
            )
        highest = max(path.elbo for path in found)
        kept = [path for path in found if path.elbo > highest + np.log(NEGLIGIBLE)]
        mixture = NormalMixture(
            np.array([path.mean for path in kept]),
            [path.factor for path in kept],
            np.full(len(kept), 1.0 / len(kept)),
        )
        attributes: dict[str, Any] = {"elbo": [path.elbo for path in found], "paths_kept": len(kept)}
        return Found(mixture, attributes)


@dataclass(frozen=True)
class _Normal:
    """A normal density with a lower bound of the log evidence."""

    elbo: float
    mean: np.ndarray
    factor: LowRank

    def judged_by(
        self, value: Callable[[np.ndarray], float], rng: np.random.Generator, draws: int
    ) -> _Normal:
        """Return the same with its bound by another log density."""
        standard = rng.standard_normal((draws, self.mean.size))
        return replace(self, elbo=_bound(value, self.mean, self.factor, standard))


def _bound(
    value: Callable[[np.ndarray], float], mean: np.ndarray, factor: LowRank, standard: np.ndarray
) -> float:
    """Return a lower bound of the log evidence by standard normal draws, shape (draws, size)."""
    values = np.array([value(point) for point in mean + scaled(factor, standard)])
    return float(np.mean(values - log_normal(standard, factor)))


def _best_along(
    log_density: WithGradient,
    value: Callable[[np.ndarray], float],
    start: np.ndarray,
    draws: int,
    rng: np.random.Generator,
) -> _Normal | None:
    """Return the normal density with the highest bound along the way up, or None."""
    # All are judged by the same draws, so that their differences are not noise.
    standard = rng.standard_normal((draws, start.size))
    found = None
    for mean, factor in _normals_along(log_density, _way_up(log_density, start)):
        elbo = _bound(value, mean, factor, standard)
        if np.isfinite(elbo) and (found is None or elbo > found.elbo):
            found = _Normal(elbo, mean, factor)
    return found


def _way_up(log_density: WithGradient, start: np.ndarray) -> list[np.ndarray]:
    """Return the points that L-BFGS passes."""
    points = [np.array(start)]
    optimize.minimize(
        upside_down(log_density),
        start,
        jac=True,
        method="L-BFGS-B",
        callback=lambda point: points.append(np.array(point)),
        options={"maxiter": MAX_ITERATIONS, "maxcor": HISTORY},
    )
    return points


def _normals_along(
    log_density: WithGradient, points: list[np.ndarray]
) -> Iterator[tuple[np.ndarray, LowRank]]:
    """Yield the mean and the covariance's root of a normal density for each point of a way up.

    The covariance is the inverse Hessian of L-BFGS: algorithms 3 and 4 of Zhang et al. (2022).
    """
    diagonal = np.ones_like(points[0])
    steps: list[np.ndarray] = []
    changes: list[np.ndarray] = []
    gradient = np.asarray(log_density(points[0])[1])
    for before, point in pairwise(points):
        step, last, gradient = point - before, gradient, np.asarray(log_density(point)[1])
        change = last - gradient  # of the gradient of what falls
        if step @ change > 1e-12 * change @ change:
            diagonal = _new_diagonal(diagonal, step, change)
            steps, changes = [*steps, step][-HISTORY:], [*changes, change][-HISTORY:]
        if not steps or not np.all(np.isfinite(gradient)):
            continue
        try:
            columns, middle = _inverse_hessian(diagonal, np.array(steps).T, np.array(changes).T)
            factor = LowRank.of(diagonal, columns, middle)
        except np.linalg.LinAlgError:
            continue
        mean = point + diagonal * gradient + columns @ (middle @ (columns.T @ gradient))
        if np.all(np.isfinite(factor.root)) and np.all(np.isfinite(mean)):
            yield mean, factor


def _new_diagonal(diagonal: np.ndarray, step: np.ndarray, change: np.ndarray) -> np.ndarray:
    """Return the diagonal inverse Hessian after one more step.

    Gilbert and Lemaréchal (1989), Mathematical Programming 45, 407, equation 4.9.
    """
    across, along, weight = change @ (diagonal * change), change @ step, step @ (step / diagonal)
    inverse = (
        across / (along * diagonal) + change**2 / along - across * step**2 / (along * weight * diagonal**2)
    )
    return np.asarray(np.where(inverse > 0.0, 1.0 / np.where(inverse > 0.0, inverse, 1.0), diagonal))


def _inverse_hessian(
    diagonal: np.ndarray, steps: np.ndarray, changes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return L-BFGS's inverse Hessian from steps and changes, shape (size, history).

    Byrd, Nocedal and Schnabel (1994), Mathematical Programming 63, 129.

    Returns
    -------
    columns : numpy.ndarray, shape (size, 2 * history)
    middle : numpy.ndarray, shape (2 * history, 2 * history)
        The inverse Hessian is ``diag(diagonal) + columns @ middle @ columns.T``.
    """
    history = steps.shape[1]
    inverse = np.linalg.inv(np.triu(steps.T @ changes))
    multiplied = diagonal[:, np.newaxis] * changes
    corner = inverse.T @ (np.diag(np.sum(steps * changes, axis=0)) + changes.T @ multiplied) @ inverse
    middle = np.block([[np.zeros((history, history)), -inverse], [-inverse.T, corner]])
    return np.hstack([multiplied, steps]), middle
