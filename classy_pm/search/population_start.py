"""Where to begin with a hierarchy of many data sets: not at its mode, for it has none.

The members and their parents are climbed in turn, each with the others held: so no width of a population goes
to zero. What is computed grows with the number of data sets, not with its square.
"""

from __future__ import annotations

import numpy as np
from scipy import optimize

from classy_pm.search.climb import WithGradient, upside_down
from classy_pm.search.factorised import Factorised
from classy_pm.search.problem import Problem
from classy_pm.search.start import best_points, explained

__all__ = ["population_start"]

# How many draws of the prior are looked at, and for how many data sets at most.
DRAWS = 200
LOOKED_AT = 200_000
# How many steps one climb may take.
MAX_STEPS = 200
# How long steps for differences are, beside the numbers' own size.
STEP = 1e-4
# Where the density does not fall off, and how wide the scale may be at all.
WIDEST = 1.0


def population_start(problem: Problem, factorised: Factorised) -> tuple[np.ndarray, np.ndarray]:
    """Return a point near where the probability is, and how wide it is there, each of shape (size,).

    The widths are those of each number with all others held, from the curvature.
    """
    density = problem.density
    draws = max(20, min(DRAWS, LOOKED_AT // len(factorised.names)))
    with explained(problem), np.errstate(all="ignore"):
        point = _assembled(problem, factorised, density.points(problem.plan.draws(draws, problem.rng(0))))
        best_points(lambda at: density(at)[0], point[np.newaxis])  # raises where it is impossible
        above = np.zeros(density.size, dtype=bool)
        for number in problem.plan.parents:
            above[density.places[problem.plan.names[number]]] = True
        for free in (~above, above, ~above, above, ~above):
            point = _climbed(density, point, np.flatnonzero(free))
    return point, widths(density, factorised, point)


def widths(log_density: WithGradient, factorised: Factorised, point: np.ndarray) -> np.ndarray:
    """Return one over the square root of the curvature along each number."""
    found = np.full(point.size, WIDEST)
    blocks = [np.array([place]) for place in factorised.shared]
    blocks += [column for members in factorised.members for column in members.T]
    for places in blocks:
        for scale in (np.ones(len(places)), None):
            # The second time the steps are as long as the density is wide.
            lengths = STEP * (
                np.maximum(1.0, np.abs(point[places])) if scale is not None else 100.0 * found[places]
            )
            step = np.zeros_like(point)
            step[places] = lengths
            ahead, behind = (np.asarray(log_density(point + sign * step)[1]) for sign in (1.0, -1.0))
            curvature = (behind - ahead)[places] / (2.0 * lengths)
            good = np.isfinite(curvature) & (curvature > WIDEST**-2)
            found[places] = np.where(good, 1.0 / np.sqrt(np.where(good, curvature, 1.0)), WIDEST)
    return found


def _assembled(problem: Problem, factorised: Factorised, points: np.ndarray) -> np.ndarray:
    """Return a point of which each data set's own numbers are from the draw that suits it best."""
    each = np.array([factorised(point).log_likelihoods for point in points])
    each = np.where(np.isfinite(each), each, -1e300)
    point = points[np.argmax(np.sum(each / 1e10, axis=1))].copy()
    start = 0
    for members in factorised.members:
        best = np.argmax(each[:, start : start + len(members)], axis=0)
        point[members] = points[best[:, np.newaxis], members]
        start += len(members)
    return point


def _climbed(log_density: WithGradient, point: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Return where some of the numbers are best, the others held."""
    if not len(free):
        return point
    falling = upside_down(log_density)

    def of_free(values: np.ndarray) -> tuple[float, np.ndarray]:
        there = point.copy()
        there[free] = values
        value, gradient = falling(there)
        return value, gradient[free]

    options = {"maxiter": MAX_STEPS, "maxcor": 10}
    top = optimize.minimize(of_free, point[free], jac=True, method="L-BFGS-B", options=options).x
    new = point.copy()
    new[free] = top if np.all(np.isfinite(top)) else point[free]
    return new
