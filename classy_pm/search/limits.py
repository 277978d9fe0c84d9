"""Where a posterior lies within the limits of its priors."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from classy_pm.plan import Plan

__all__ = ["limit_notices", "limits_at"]

# Draws lie at a limit if most of them are in this part of the prior beside it, and within so many
# standard deviations of it.
OUTERMOST = 0.01
MOST = 0.84
NEAR = 2.0


def limits_at(plan: Plan, vector: np.ndarray) -> np.ndarray:
    """Return the priors' lower and upper limits at a vector, shape (2, size)."""
    value_of = plan.layout.evaluator(plan.split(vector))
    limits = np.empty((2, plan.size))
    for parameter, place in zip(plan.parameters, plan.layout.slices, strict=True):
        support = parameter.prior._support(**parameter.prior.evaluated_arguments(value_of))
        for row, limit in zip(limits, support, strict=True):
            row[place] = np.ravel(np.broadcast_to(limit, parameter.shape))
    return limits


def limit_notices(plan: Plan, vectors: np.ndarray) -> Iterator[str]:
    """Say which parameters' draws are crowded at a limit of their priors.

    So ends a fit whose prior is too narrow, and one whose log likelihood has the wrong sign.

    Parameters
    ----------
    plan : Plan
    vectors : numpy.ndarray, shape (..., size)
    """
    vectors = vectors.reshape(-1, plan.size)
    median, sd = np.median(vectors, axis=0), np.std(vectors, axis=0)
    below = _shares_below(plan, vectors, median)
    limits = limits_at(plan, median)
    sides = (("lower", limits[0], below), ("upper", limits[1], 1.0 - below))
    found = [
        f"the {side} limit {limit[index]:g} of `{plan.element_names[index]}`"
        for side, limit, shares in sides
        for index in np.flatnonzero(
            (np.quantile(shares, MOST, axis=0) < OUTERMOST) & (np.abs(median - limit) < NEAR * sd)
        )
    ]
    if found:
        yield (
            f"The draws are crowded at {' and at '.join(found)}. Where other values are possible, widen the "
            "prior; and see that the log likelihood has the right sign."
        )


def _shares_below(plan: Plan, vectors: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return the prior probability below each number, priors of priors taken at one vector."""
    value_of = plan.layout.evaluator(plan.split(at))
    shares = np.empty_like(vectors)
    with np.errstate(all="ignore"):
        for parameter, place in zip(plan.parameters, plan.layout.slices, strict=True):
            values = vectors[:, place].reshape(len(vectors), *parameter.shape)
            arguments = parameter.prior.evaluated_arguments(value_of)
            shares[:, place] = parameter.prior._cdf(values, **arguments).reshape(len(vectors), -1)
    return shares
