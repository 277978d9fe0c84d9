"""Whether a fit that the catalogue has is still the answer, and what to do if not.

What identifies a fit is its model, its data and its settings, not the text of the classes: a comment or a
faster way to compute the same makes no other fit. So it is looked at whether the likelihood still gives
the values that it gave then.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from classy_pm.catalog import StaleFitError
from classy_pm.errors import SettingError, did_you_mean
from classy_pm.likelihood import LogLikelihood
from classy_pm.likelihood.warn import warn
from classy_pm.result import Result
from classy_pm.search.checkpoint import agree, at_prior

__all__ = ["PRIOR_VALUES", "OnChange", "check_on_change", "check_unchanged", "must_run_again"]

# The attribute of a fit with the log likelihood at a few draws of its prior.
PRIOR_VALUES = "log_likelihood_at_prior"

#: What is done with a fit that the catalogue has, where its likelihood gives other values today.
type OnChange = Literal["error", "warn", "reuse", "rerun"]

# At how many of the stored draws it is looked.
DRAWS = 3


def check_on_change(on_change: str) -> None:
    """Refuse what is no answer to a changed likelihood."""
    choices = get_args(OnChange.__value__)
    if on_change not in choices:
        raise SettingError(
            f"on_change={on_change!r} is not known.", cure=did_you_mean(str(on_change), choices)
        )


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
    of_prior = result.attributes.get(PRIOR_VALUES)
    if of_prior is not None:
        then, now = np.append(then, of_prior), np.append(now, at_prior(log_likelihood)[1])
    changed = [place for place in range(len(then)) if not agree(then[place], now[place])]
    if changed:
        name, place = type(log_likelihood.analysis).__name__, changed[0]
        where = "one of its draws" if place < len(places) else "a draw of the prior"
        raise StaleFitError(
            f"This fit is in the catalogue, but {name} or a class of the model computes something else "
            f"today: the log likelihood of {where} was {then[place]:.10g}, and is {now[place]:.10g}.",
            cure="Set `identity_version = 2` in the class that was changed, or give the search a unique_tag: "
            "then it is another fit. Data belong into attributes of the analysis, not into globals. "
            'Or fit(..., on_change="rerun"), which puts a new run in its place.',
        )


def must_run_again(result: Result, log_likelihood: LogLikelihood, on_change: OnChange) -> bool:
    """Whether a stored fit is not to be used; with "error", raise if its likelihood has changed."""
    if on_change == "reuse":
        return False
    try:
        check_unchanged(result, log_likelihood)
    except StaleFitError as error:
        if on_change == "error":
            raise
        if on_change == "warn":
            warn(error.message, UserWarning)
        return on_change == "rerun"
    return False
