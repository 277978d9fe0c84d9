"""Infinite values in the data: told where no log likelihood comes of them.

An infinite error of a masked datum, or an open limit, is no fault. So the user's function decides.
"""

from __future__ import annotations

import numpy as np

from classy_pm.errors import DataError, Faults
from classy_pm.likelihood.analysis import Analysis, arrays_in, count_of
from classy_pm.likelihood.evaluate import LogLikelihood
from classy_pm.plan import Plan

__all__ = ["check_infinite"]

# At so many draws from the prior, at most, the log likelihood is computed.
TRIAL_POINTS = 50


def check_infinite(plan: Plan, analysis: Analysis) -> None:
    """Refuse data that hold infinities, if the log likelihood is not finite anywhere.

    Raises
    ------
    DataError
        Every array with infinite values is named.
    """
    if analysis.allow_nan:
        return
    faults = Faults()
    for name, array in arrays_in(analysis):
        if array.ndim and array.dtype.kind in "fc":
            text = count_of(np.isinf(array), "infinite")
            if text:
                faults.add(name, text)
    if not faults.lines:
        return
    log_likelihood = LogLikelihood(plan, analysis)
    if any(np.isfinite(log_likelihood(vector)) for vector in plan.draws(TRIAL_POINTS, random_seed=0)):
        return
    faults.raise_as(
        DataError,
        f"The data of {type(analysis).__name__} hold infinities, and the likelihood is zero or NaN at all "
        f"of {TRIAL_POINTS} draws from the prior.",
        cure="Leave them out, or mask them; if the likelihood does so itself, "
        "set `allow_nan = True` in the analysis class.",
    )
