"""Points to start from in a graph of factors: of each data set the parameters that suit it best.

That one draw of the prior suits all of many data sets does not happen; that one of some hundred suits one of
them does.
"""

from __future__ import annotations

import numpy as np

from classy_pm.likelihood.joint import JointAnalysis
from classy_pm.model import PlateLayout
from classy_pm.plan import Plan
from classy_pm.search.climb import IMPOSSIBLE

__all__ = ["assembled"]

# From how many of the best draws of each data set points are put together.
RANKS = 4


def assembled(plan: Plan, joint: JointAnalysis, vectors: np.ndarray) -> np.ndarray:
    """Put vectors together from draws of the prior, data set by data set.

    Parameters
    ----------
    plan : Plan
        Of a graph of factors.
    joint : JointAnalysis
    vectors : numpy.ndarray, shape (draws, size)

    Returns
    -------
    numpy.ndarray, shape (ranks, size)
        In the first one each data set has its parameters from the draw that suits it best, in the second from
        the second best, and so on. What is shared is of the draw that is best in all.
    """
    layout = plan.layout
    assert isinstance(layout, PlateLayout)
    each = _log_likelihoods(plan, joint, vectors)
    order = np.argsort(-each, axis=0, kind="stable")[:RANKS]
    shared = vectors[np.argsort(-each.sum(axis=1), kind="stable")[: len(order)]]
    made = shared.copy()
    places = {name: place for place, name in enumerate(joint.analyses)}
    for parameter, part in zip(layout.parameters, layout.slices, strict=True):
        for plate in layout.plates:
            if layout.dims_of(parameter.prior) != (plate.dim,):
                continue
            of_draws = vectors[:, part].reshape(len(vectors), len(plate.names), -1)
            chosen = order[:, [places[name] for name in plate.names]]
            taken = np.take_along_axis(of_draws, chosen[:, :, np.newaxis], axis=0)
            made[:, part] = taken.reshape(len(chosen), -1)
    return made


def _log_likelihoods(plan: Plan, joint: JointAnalysis, vectors: np.ndarray) -> np.ndarray:
    """Return the log likelihood of each data set at each vector, shape (vectors, factors)."""
    with np.errstate(all="ignore"):
        found = np.array([joint.each(plan.instance(vector)) for vector in vectors])
    return np.where(np.isfinite(found), found, -IMPOSSIBLE)
