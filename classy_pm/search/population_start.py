"""Where to begin with a hierarchy of many data sets: not at its mode, for it has none.

The parents are where their density is greatest with the members integrated over, and the members where theirs
is, given those: so no width of a population goes to zero.
"""

from __future__ import annotations

import numpy as np

from classy_pm.search.factorised import Factorised
from classy_pm.search.marginal import MarginalClimber
from classy_pm.search.problem import Problem
from classy_pm.search.start import best_points, explained, prior_points

__all__ = ["population_start"]

# How many draws of the prior are looked at, and of how many data sets at most.
DRAWS, FEWEST = 200, 20
LOOKED_AT = 200_000
# Where the density does not fall off, and how wide the scale may be at all.
WIDEST = 1.0


def population_start(problem: Problem, factorised: Factorised) -> tuple[np.ndarray, np.ndarray]:
    """Return a point near where the probability is, and how wide it is there, each of shape (size,).

    The widths are those of each number with all others held, from the curvature.
    """
    density, structure = problem.density, factorised.structure
    draws = max(FEWEST, min(DRAWS, LOOKED_AT // len(factorised.names)))
    climber = MarginalClimber(density, structure, lambda point: factorised(point).each)
    with explained(problem), np.errstate(all="ignore"):
        points = prior_points(problem, density.points, draws, plain=False)
        (best,) = best_points(lambda at: density(at)[0], points, 1)
        point = climber.climb(best)
        curvature = structure.curvature(climber.gradient, point).diagonal()
    return point, np.where(curvature > WIDEST**-2, 1.0 / np.sqrt(np.abs(curvature)), WIDEST)
