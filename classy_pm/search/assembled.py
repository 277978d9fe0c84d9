"""Points to start from in a graph of factors: what is shared suits all data sets, and what is not each.

That one draw of the prior suits all of many data sets does not happen; that one of some hundred suits one of
them does. So the shared parameters of some draws are tried with the other parameters of others.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import logsumexp

from classy_pm.model import PlateLayout
from classy_pm.plan import Plan
from classy_pm.search.climb import IMPOSSIBLE

__all__ = ["assembled"]

# With how many draws' own parameters what is shared is tried at most; it is tried from twice as many.
OWN = 32
# How many points are put together.
RANKS = 4


def assembled(
    plan: Plan, each: Callable[[np.ndarray], np.ndarray], vectors: np.ndarray, calls: int
) -> np.ndarray:
    """Put vectors together from draws of the prior, data set by data set.

    What is shared is ranked by the product of the data sets' mean likelihoods over their own parameters,
    which approximates its marginal likelihood; each data set has the own parameters that suit it best.

    Parameters
    ----------
    plan : Plan
        Of a graph of factors.
    each : callable
        Gives the log likelihood of each data set at a vector, in the order of the plates and the factors in
        them.
    vectors : numpy.ndarray, shape (draws, size)
    calls : int
        How often `each` may be called.

    Returns
    -------
    numpy.ndarray, shape (ranks, size)
        Best first.
    """
    layout = plan.layout
    assert isinstance(layout, PlateLayout)
    own, shared = _places(plan, layout)
    number = max(2, min(OWN, int(np.sqrt(0.5 * calls)), len(vectors)))
    of_own = vectors[: number if len(shared) else calls]
    of_shared = vectors[: 2 * number if len(shared) else 1]
    ranked = []
    for vector in of_shared:
        tried = of_own.copy()
        tried[:, shared] = vector[shared]
        with np.errstate(all="ignore"):
            found = np.array([each(one) for one in tried])
        found = np.where(np.isfinite(found), found, -np.sqrt(IMPOSSIBLE))
        made, best, start = vector.copy(), np.argmax(found, axis=0), 0
        for places in own:
            chosen = best[start : start + len(places)]
            made[places] = of_own[chosen[:, np.newaxis], places]
            start += len(places)
        ranked.append((float(np.sum(logsumexp(found, axis=0)) + plan.log_prior(made)), made))
    ranked.sort(key=lambda pair: -pair[0])
    return np.array([made for _, made in ranked[:RANKS]])


def _places(plan: Plan, layout: PlateLayout) -> tuple[list[np.ndarray], np.ndarray]:
    """Return where in a vector the factors' own parameters are, (factors, own) a plate, and the others."""
    own, every = [], np.arange(plan.size)
    for plate in layout.plates:
        columns = [
            every[part].reshape(len(plate.names), -1)
            for parameter, part in zip(layout.parameters, layout.slices, strict=True)
            if layout.dims_of(parameter.prior)[:1] == (plate.dim,)
        ]
        empty = np.empty((len(plate.names), 0), dtype=int)
        own.append(np.concatenate([empty, *columns], axis=1))
    return own, np.setdiff1d(every, np.concatenate([places.ravel() for places in own]))
