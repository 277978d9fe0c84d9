"""Whether a fit that the catalogue has is still the answer, and what to do if not.

What identifies a fit is its model, its data and its settings, not the text of the classes: a comment or a
faster way to compute the same makes no other fit. So it is looked at whether the likelihood still gives
the values that it gave then.

A prior that was made of another fit's posterior is identified by that fit, not by its numbers. They are other
ones where that fit was run again, and then this one is no answer any more.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np

from classy_pm.catalog import StaleFitError
from classy_pm.errors import SettingError, did_you_mean
from classy_pm.likelihood import LogLikelihood
from classy_pm.likelihood.warn import warn
from classy_pm.plan import Plan
from classy_pm.result import Result
from classy_pm.search.checkpoint import agree, at_prior

__all__ = [
    "CHAINED",
    "PRIOR_VALUES",
    "OnChange",
    "chained_numbers",
    "check_on_change",
    "check_unchanged",
    "must_run_again",
    "same_numbers",
]

# The attribute of a fit with the log likelihood at a few draws of its prior.
PRIOR_VALUES = "log_likelihood_at_prior"
# And with the numbers of priors that were made of other fits' posteriors.
CHAINED = "chained_priors"
# By how much these may differ, relatively; where they nearly vanish, relative to the greatest of their prior.
ROUNDING, VANISHING = 1e-9, 1e-13

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
    """Raise an error if the likelihood, or a prior made of another fit, differs from what was stored.

    Raises
    ------
    StaleFitError
        With the values of then and now.
    """
    _check_chained(result, log_likelihood.plan)
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


def chained_numbers(plan: Plan) -> dict[str, list[float]]:
    """Return the finite numbers of each prior that was made of another fit's posterior, by parameter."""
    return {
        parameter.name: [
            float(number)
            for argument in parameter.prior.numbers().values()
            for number in np.ravel(argument)
            if np.isfinite(number)
        ]
        for parameter in plan.parameters
        if parameter.prior.origins
    }


def same_numbers(then: Any, now: Any) -> bool:
    """Whether the numbers of a prior are what they were; another machine may round otherwise."""
    then, now = np.asarray(then, dtype=float), np.asarray(now, dtype=float)
    if then.shape != now.shape:
        return False
    allowed = ROUNDING * np.abs(then) + VANISHING * np.max(np.abs(then), initial=0.0)
    return bool(np.all(np.abs(now - then) <= allowed))


def _check_chained(result: Result, plan: Plan) -> None:
    now, then = chained_numbers(plan), result.attributes.get(CHAINED) or {}
    for parameter in plan.parameters:
        name = parameter.name
        if name in now and not same_numbers(then.get(name, []), now[name]):
            fit = parameter.prior.origins[0].fit[:12]
            one = next(
                (pair for pair in zip(then.get(name, []), now[name], strict=False) if pair[0] != pair[1]),
                None,
            )
            was = "" if one is None else f": it had {one[0]:.10g} where it has {one[1]:.10g} now"
            raise StaleFitError(
                f"This fit is in the catalogue, but the fit {fit}, of which its prior of {name} is made, has "
                f"been run again since, with other draws{was}.",
                cure='Write fit(..., on_change="rerun"), which puts a new run in its place; or '
                'on_change="reuse" for the fit as it is, with the priors of then.',
            )


def must_run_again(result: Result, log_likelihood: LogLikelihood, on_change: OnChange) -> bool:
    """Whether a stored fit is not to be used; with "error", raise if its likelihood or priors changed."""
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
