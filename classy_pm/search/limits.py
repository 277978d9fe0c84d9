"""Where a posterior lies in its prior: what crowds at a limit, or far out, is seldom meant so."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from classy_pm.errors import some_of
from classy_pm.plan import Plan

__all__ = ["MOST_NAMED", "limits_at", "position_notices"]

# So many parameters are named in a notice.
MOST_NAMED = 10
# Draws are crowded at a limit if most of them are in this part of the prior beside it, and within so many
# standard deviations of it.
OUTERMOST = 0.01
MOST = 0.84
NEAR = 2.0
# Or if their distances from it, as shares of the prior, fall off like those of an exponential distribution:
# the quantiles at minus and plus one sigma are less and more than so many medians.
FALLS_OFF = (0.35, 2.3)
# Farther out than this share of the prior lies what the prior does not expect.
FAR = 1e-6
# Draws lie at both ends if at least so many are in the outer sixths, and at most so many in the middle third.
AT_AN_END = 0.05
BETWEEN = 0.01


def limits_at(plan: Plan, vector: np.ndarray) -> np.ndarray:
    """Return the priors' lower and upper limits at a vector, shape (2, size)."""
    value_of = plan.layout.evaluator(plan.split(vector))
    limits = np.empty((2, plan.size))
    for parameter, place in zip(plan.parameters, plan.layout.slices, strict=True):
        support = parameter.prior._support(**parameter.prior.evaluated_arguments(value_of))
        for row, limit in zip(limits, support, strict=True):
            row[place] = np.ravel(np.broadcast_to(limit, parameter.shape))
    return limits


def position_notices(plan: Plan, vectors: np.ndarray) -> Iterator[str]:
    """Say which parameters' draws are crowded at a limit of their priors, at both, or far out.

    So ends a fit whose prior is too narrow, one with an angle that is cut open at the wrong place, and one
    whose log likelihood has the wrong sign.

    Parameters
    ----------
    plan : Plan
    vectors : numpy.ndarray, shape (..., size)
        A single one is looked at only for whether it is far out.
    """
    vectors = vectors.reshape(-1, plan.size)
    median = np.median(vectors, axis=0)
    below = shares_below(plan, vectors, median)
    limits = limits_at(plan, median)
    yield from _far_notice(plan, below, limits)
    if len(vectors) > 1:
        both = _at_both_ends(below, limits)
        yield from _crowded_notice(plan, vectors, below, limits, ~both)
        if np.any(both):
            yield (
                f"The draws of {_named(plan, both)} lie at both ends of the prior, so that means and "
                "intervals say little. If it is an angle, shift its prior by half a turn: "
                "UniformPrior(-np.pi, np.pi) in the place of UniformPrior(0.0, 2.0 * np.pi)."
            )


def _far_notice(plan: Plan, below: np.ndarray, limits: np.ndarray) -> Iterator[str]:
    # At a limit nothing can be far out.
    sides = ((limits[0] == -np.inf, below), (limits[1] == np.inf, 1.0 - below))
    far = np.any([open_ & (np.median(shares, axis=0) < FAR) for open_, shares in sides], axis=0)
    if np.any(far):
        yield (
            f"The draws of {_named(plan, far)} lie farther out than one in a million draws of the prior. See "
            "that the prior is what you mean, and that the log likelihood has the right sign."
        )


def _crowded_notice(
    plan: Plan, vectors: np.ndarray, below: np.ndarray, limits: np.ndarray, which: np.ndarray
) -> Iterator[str]:
    median, sd = np.median(vectors, axis=0), np.std(vectors, axis=0)
    found, doubtful = [], False
    for side, limit, shares in (("lower", limits[0], below), ("upper", limits[1], 1.0 - below)):
        low, middle, high = np.quantile(shares, [1.0 - MOST, 0.5, MOST], axis=0)
        beside = which & (high < OUTERMOST) & (np.abs(median - limit) < NEAR * sd)
        # What cannot be below zero may well be nearly zero.
        physical = (limit == 0.0) & (side == "lower")
        falls_off = (low < FALLS_OFF[0] * middle) & (high > FALLS_OFF[1] * middle)
        falls_off &= np.mean(shares > 5.0 / 6.0, axis=0) < AT_AN_END
        cut = which & falls_off & np.isfinite(limit) & ~physical
        doubtful |= bool(np.any(beside & ~physical))
        found += [
            f"the {side} limit {limit[index]:g} of `{plan.element_names[index]}`"
            for index in np.flatnonzero(beside | cut)
        ]
    if found:
        places = some_of(found, MOST_NAMED, " and at ")
        yield (
            f"The draws are crowded at {places}. Where other values are possible, widen the "
            f"prior{'; and see that the log likelihood has the right sign' if doubtful else ''}."
        )


def _at_both_ends(below: np.ndarray, limits: np.ndarray) -> np.ndarray:
    ends = [np.mean(below < 1.0 / 6.0, axis=0), np.mean(below > 5.0 / 6.0, axis=0)]
    middle = np.mean((below > 1.0 / 3.0) & (below < 2.0 / 3.0), axis=0)
    found = np.all(np.array(ends) > AT_AN_END, axis=0) & (middle < BETWEEN)
    return np.asarray(found & np.all(np.isfinite(limits), axis=0))


def _named(plan: Plan, which: np.ndarray) -> str:
    names = (f"`{plan.element_names[index]}`" for index in np.flatnonzero(which))
    return some_of(names, MOST_NAMED, " and ")


def shares_below(plan: Plan, vectors: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return the prior probability below each number, priors of priors taken at one vector."""
    value_of = plan.layout.evaluator(plan.split(at))
    shares = np.empty_like(vectors)
    with np.errstate(all="ignore"):
        for parameter, place in zip(plan.parameters, plan.layout.slices, strict=True):
            values = vectors[:, place].reshape(len(vectors), *parameter.shape)
            arguments = parameter.prior.evaluated_arguments(value_of)
            shares[:, place] = parameter.prior._cdf(values, **arguments).reshape(len(vectors), -1)
    return shares
