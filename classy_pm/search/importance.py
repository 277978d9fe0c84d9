"""How far draws of one density can stand for another: Pareto-smoothed importance sampling."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp

from classy_pm.search.weights import effective_size, normalised

__all__ = ["Importance", "weigh"]

# Fewer draws of density above zero than this have no tail that a shape could be found of.
MIN_DRAWS = 25
# Log ratios that are this close to each other are equal but for rounding.
EQUAL = 1e-8


@dataclass(frozen=True)
class Importance:
    """What importance sampling tells of draws from an approximation.

    Attributes
    ----------
    log_weights : numpy.ndarray, shape (draws,)
        Smoothed; the weights add up to one.
    pareto_k : float
        The shape of the tail of the ratios. Zero where all are equal; infinite where it cannot be found.
    limit : float
        Above it the weights cannot be relied on with so many draws.
    log_evidence : float
        The log of the mean ratio: of the integral of the target's density.
    log_evidence_error : float
        Its standard deviation, if `pareto_k` is below 0.5: else the variance may be infinite.
    """

    log_weights: np.ndarray
    pareto_k: float
    limit: float
    log_evidence: float
    log_evidence_error: float

    @property
    def effective_size(self) -> float:
        """How many draws of equal weight tell as much."""
        return effective_size(self.log_weights)


def weigh(log_ratios: np.ndarray) -> Importance:
    """Smooth the largest of the ratios of two densities at draws of the second.

    Parameters
    ----------
    log_ratios : numpy.ndarray, shape (draws,)
        Log density of the target less that of the approximation; at least one is finite.

    Notes
    -----
    Vehtari, Simpson, Gelman, Yao and Gabry (2024), JMLR 25(72), whose limit for so many draws is
    min(1 - 1 / log10(draws), 0.7).

    Examples
    --------
    >>> weigh(np.random.default_rng(1).normal(0.0, 0.1, 1000)).pareto_k < 0.5
    True
    """
    total = log_ratios.size
    finite = log_ratios[log_ratios > -np.inf]
    log_weights, pareto_k = normalised(log_ratios), 0.0
    if finite.size < MIN_DRAWS:
        pareto_k = np.inf
    elif np.ptp(finite) > EQUAL:
        log_weights, pareto_k = _smoothed(log_ratios)
    # Smoothing leaves the smallest ratio as it is, so that it tells what the weights were divided by.
    lowest = int(np.argmin(np.where(log_ratios > -np.inf, log_ratios, np.inf)))
    log_evidence = float(log_ratios[lowest] - log_weights[lowest] - np.log(total))
    spread = max(total / effective_size(log_weights) - 1.0, 0.0)
    return Importance(
        log_weights,
        pareto_k,
        limit=min(1.0 - 1.0 / np.log10(total), 0.7),
        log_evidence=log_evidence,
        log_evidence_error=float(np.sqrt(spread / total)),
    )


def _smoothed(log_ratios: np.ndarray) -> tuple[np.ndarray, float]:
    from arviz_stats.base import array_stats

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)  # a shape that cannot be found is NaN, and told
        try:
            # ArviZ wants what leave-one-out takes: the logarithms of one over the ratios.
            log_weights, pareto_k = array_stats.psislw(-log_ratios)
        except ValueError:  # no tail to fit
            return normalised(log_ratios), np.inf
    pareto_k = float(pareto_k)
    if not np.isfinite(pareto_k):
        return normalised(log_ratios), np.inf
    return log_weights - logsumexp(log_weights), pareto_k
