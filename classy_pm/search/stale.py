"""Whether a fit that the catalogue has is still the answer.

What identifies a fit is its model, its data and its settings, not the text of the classes: a comment or a
faster way to compute the same makes no other fit. So it is looked at whether the likelihood still gives
the values that it gave then.
"""

from __future__ import annotations

import numpy as np

from classy_pm.catalog import StaleFitError
from classy_pm.likelihood import LogLikelihood
from classy_pm.result import Result
from classy_pm.search.checkpoint import agree

__all__ = ["check_unchanged"]

# At how many of the stored draws it is looked.
DRAWS = 3


def check_unchanged(result: Result, log_likelihood: LogLikelihood) -> None:
    """Raise an error if the likelihood differs from what was stored with the draws.

    Raises
    ------
    StaleFitError
        With the values of then and now.
    """
    samples = result.samples
    places = np.unique(np.linspace(0, len(samples) - 1, DRAWS).astype(int))
    then = np.array(samples.log_likelihood_list)[places]
    now = log_likelihood.many(samples.vectors[places])
    if not agree(then, now):
        name = type(log_likelihood.analysis).__name__
        raise StaleFitError(
            f"This fit is in the catalogue, but {name} or a class of the model computes something else "
            f"today: the log likelihood of one of its draws was {then[0]:.10g}, and is {now[0]:.10g}.",
            cure="Set `identity_version = 2` in the class that was changed, or give the search a unique_tag: "
            "then it is another fit. Data belong into attributes of the analysis, not into globals.",
        )
