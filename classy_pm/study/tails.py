"""The probability of a family below and above values, each known relatively also where it is small.

The formulas are such that a graph of them has a gradient: no infinities in what is not chosen.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import special

from classy_pm.model import (
    AbstractPrior,
    BetaPrior,
    GammaPrior,
    GaussianPrior,
    HalfGaussianPrior,
    LogGaussianPrior,
    LogUniformPrior,
    StudentTPrior,
    UniformPrior,
)
from classy_pm.model.priors import log_probability
from classy_pm.study.parents import standard_limits

__all__ = ["log_tails", "safe_log"]

_TINY = np.finfo(float).tiny


def log_tails(prior: AbstractPrior, value: Any, arguments: dict[str, Any]) -> tuple[Any, Any]:
    """Return the logs of the probability of a family below values, and above them.

    Those of normal families are exact however small they are; of others a probability that is no float,
    below about 1e-308, is zero.
    """
    return TAILS[type(prior)](value, **arguments)


def _uniform(value: Any, lower_limit: Any, upper_limit: Any) -> tuple[Any, Any]:
    width = upper_limit - lower_limit
    below, above = (value - lower_limit) / width, (upper_limit - value) / width
    return safe_log(np.clip(below, 0.0, 1.0)), safe_log(np.clip(above, 0.0, 1.0))


def _log_uniform(value: Any, lower_limit: Any, upper_limit: Any) -> tuple[Any, Any]:
    log, low, high = np.log(np.maximum(value, _TINY)), np.log(lower_limit), np.log(upper_limit)
    return _uniform(log, low, high)


def _gaussian(value: Any, **arguments: Any) -> tuple[Any, Any]:
    low, high = standard_limits(arguments)
    standard = (value - arguments["mean"]) / arguments["sigma"]
    if low is None and high is None:
        return special.log_ndtr(standard), special.log_ndtr(-standard)
    left = True if low is None else standard > low
    right = True if high is None else standard < high
    if low is None:
        total = special.log_ndtr(high)
        standard = np.where(right, standard, high - 1.0)
        below, above = special.log_ndtr(standard), log_probability(standard, high)
    elif high is None:
        total = special.log_ndtr(-low)
        standard = np.where(left, standard, low + 1.0)
        below, above = log_probability(low, standard), special.log_ndtr(-standard)
    else:
        total = log_probability(low, high)
        standard = np.where(left & right, standard, 0.5 * (low + high))
        below, above = log_probability(low, standard), log_probability(standard, high)
    # All of the probability is above the lower limit, and below the upper one.
    below = np.where(left, np.where(right, below - total, 0.0), -np.inf)
    above = np.where(right, np.where(left, above - total, 0.0), -np.inf)
    return below, above


def _log_gaussian(value: Any, mean: Any, sigma: Any) -> tuple[Any, Any]:
    standard = (np.log(np.maximum(value, _TINY)) - mean) / sigma
    return special.log_ndtr(standard), special.log_ndtr(-standard)


def _half_gaussian(value: Any, sigma: Any) -> tuple[Any, Any]:
    standard = np.maximum(value, 0.0) / sigma
    return safe_log(special.erf(standard / np.sqrt(2.0))), np.log(2.0) + special.log_ndtr(-standard)


def _beta(value: Any, alpha: Any, beta: Any) -> tuple[Any, Any]:
    value = np.clip(value, 0.0, 1.0)
    return safe_log(special.betainc(alpha, beta, value)), safe_log(special.betaincc(alpha, beta, value))


def _gamma(value: Any, alpha: Any, beta: Any) -> tuple[Any, Any]:
    events = beta * np.maximum(value, 0.0)
    return safe_log(special.gammainc(alpha, events)), safe_log(special.gammaincc(alpha, events))


def _student_t(value: Any, nu: Any, mean: Any, sigma: Any) -> tuple[Any, Any]:
    standard = (value - mean) / sigma
    return safe_log(special.stdtr(nu, standard)), safe_log(special.stdtr(nu, -standard))


def safe_log(probability: Any) -> Any:
    """Return the log of a probability, -inf where it is zero."""
    some = probability > 0.0
    return np.where(some, np.log(np.where(some, probability, 1.0)), -np.inf)


TAILS: dict[type[AbstractPrior], Callable[..., tuple[Any, Any]]] = {
    UniformPrior: _uniform,
    LogUniformPrior: _log_uniform,
    GaussianPrior: _gaussian,
    LogGaussianPrior: _log_gaussian,
    HalfGaussianPrior: _half_gaussian,
    BetaPrior: _beta,
    GammaPrior: _gamma,
    StudentTPrior: _student_t,
}
