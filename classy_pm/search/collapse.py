"""The joint density of a hierarchy has no maximum: it rises without end where a width goes to zero."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from classy_pm.errors import SearchError
from classy_pm.plan import Plan
from classy_pm.search.limits import limits_at, shares_below
from classy_pm.search.normals import NormalMixture
from classy_pm.search.problem import Problem

__all__ = ["CURE", "WHY", "collapsed", "collapsed_at", "refuse_collapsed"]

WHY = (
    "The joint density of a hierarchy rises without end where all members come together at their parent "
    "and its width goes to zero, but there is hardly any probability there"
)
CURE = "Fit with NUTS, which looks for where the probability is."

# Nearer to a limit than this, as a share of the prior's probability, a parent is where the density rises.
BESIDE = 1e-2


def collapsed(plan: Plan, vector: np.ndarray) -> Iterator[str]:
    """Yield the names of the parents that lie beside a limit at a vector, shape (size,)."""
    limits = limits_at(plan, vector)
    (below,) = shares_below(plan, vector[np.newaxis], vector)
    near = np.isfinite(limits) & (np.array([below, 1.0 - below]) < BESIDE)
    beside = np.any(near, axis=0)
    for number in plan.parents:
        for index in range(*plan.layout.slices[number].indices(plan.size)):
            if beside[index]:
                yield plan.element_names[index]


def collapsed_at(problem: Problem, point: np.ndarray) -> str:
    """Return the names of the parents beside a limit at a point on the unconstrained scale; "" if none is."""
    with np.errstate(all="ignore"):
        (vector,) = problem.density.vectors(point[np.newaxis])
        names = collapsed(problem.plan, vector) if np.all(np.isfinite(vector)) else ()
        return ", ".join(f"`{name}`" for name in names)


def refuse_collapsed(problem: Problem, mixture: NormalMixture) -> None:
    """Refuse an approximation, which the weights do not bear out, at the edge of a hierarchy.

    Raises
    ------
    SearchError
        If a parameter that others are drawn from has gone to a limit of its prior.
    """
    if names := collapsed_at(problem, mixture.centre):
        raise SearchError(
            f"The approximation has gone to the limit of {names}. {WHY}, and its narrow errors would mean "
            "nothing.",
            cure=CURE,
        )
