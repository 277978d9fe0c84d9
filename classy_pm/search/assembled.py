"""Points to start from in a graph of factors: what is shared suits all data sets, and what is not each.

That one draw of the prior suits all of many data sets does not happen; that one of some hundred suits one of
them does. So the shared parameters of some draws are tried with the other parameters of others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import logsumexp

from classy_pm.model import PlateLayout
from classy_pm.search.climb import IMPOSSIBLE
from classy_pm.search.per_factor import function_of_each

if TYPE_CHECKING:
    from classy_pm.search.problem import Problem

__all__ = ["assembled"]

# With how many draws' own parameters what is shared is tried at most; it is tried from twice as many.
OWN = 32
# By how many data sets at most.
RANKED_BY = 200
# How many points are put together.
RANKS = 4


def assembled(problem: Problem, vectors: np.ndarray) -> np.ndarray:
    """Put vectors together from draws of the prior, data set by data set.

    What is shared is ranked by the product of the data sets' mean likelihoods over their own parameters,
    which approximates its marginal likelihood; each data set has the own parameters that suit it best.

    Parameters
    ----------
    problem : Problem
        With a graph of factors.
    vectors : numpy.ndarray, shape (draws, size)

    Returns
    -------
    numpy.ndarray, shape (ranks, size)
        Best first.
    """
    plan = problem.plan
    layout = plan.layout
    assert isinstance(layout, PlateLayout)
    own = layout.own_places(layout.slices)
    shared = np.setdiff1d(np.arange(plan.size), np.concatenate([places.ravel() for places in own]))
    some, places, calls = function_of_each(problem, RANKED_BY)
    number = max(2, min(OWN, int(np.sqrt(0.5 * calls)), len(vectors)))
    candidates = vectors[: 2 * number] if len(shared) else vectors[:1]
    ranks = []
    for vector in candidates:
        tried = _with_shared(vectors[:number], vector, shared)
        found = _values(some, tried)
        made = _with_best(vector, tried, found, own, places)
        ranks.append(float(np.sum(logsumexp(found, axis=0)) + plan.log_prior(made)))
    every, places, _ = function_of_each(problem)
    assembled = []
    for vector in candidates[np.argsort(-np.array(ranks), kind="stable")[:RANKS]]:
        tried = _with_shared(vectors[: number if len(shared) else calls], vector, shared)
        assembled.append(_with_best(vector, tried, _values(every, tried), own, places))
    return np.array(assembled)


def _with_shared(vectors: np.ndarray, vector: np.ndarray, shared: np.ndarray) -> np.ndarray:
    """Return vectors with what is shared from another one."""
    tried = vectors.copy()
    tried[:, shared] = vector[shared]
    return tried


def _values(each: Callable[[np.ndarray], np.ndarray], vectors: np.ndarray) -> np.ndarray:
    """Return the log likelihoods of data sets at vectors, shape (vectors, data sets)."""
    with np.errstate(all="ignore"):
        found = np.array([each(vector) for vector in vectors])
    return np.where(np.isfinite(found), found, -np.sqrt(IMPOSSIBLE))


def _with_best(
    vector: np.ndarray, tried: np.ndarray, found: np.ndarray, own: list[np.ndarray], places: np.ndarray
) -> np.ndarray:
    """Return a vector in which each data set has its own parameters from the one that suits it best."""
    made, best, start = vector.copy(), np.argmax(found, axis=0), 0
    for of_plate in own:
        here = (places >= start) & (places < start + len(of_plate))
        of_members = of_plate[places[here] - start]
        made[of_members] = tried[best[here][:, np.newaxis], of_members]
        start += len(of_plate)
    return made
