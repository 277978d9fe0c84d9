"""Draws with weights, and how they become draws of equal weight."""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy.special import logsumexp

from classy_pm.search.problem import Draws

__all__ = ["effective_size", "equal_draws", "normalised"]


def normalised(log_weights: np.ndarray) -> np.ndarray:
    """Return log weights whose weights add up to one."""
    return log_weights - logsumexp(log_weights)


def effective_size(log_weights: np.ndarray) -> float:
    """Return how many draws of equal weight tell as much: the squared sum over the sum of squares.

    Notes
    -----
    Kish (1965), Survey Sampling.

    Examples
    --------
    >>> round(effective_size(np.zeros(10)), 6)
    10.0
    """
    return float(np.exp(-logsumexp(2.0 * normalised(log_weights))))


def equal_draws(draws: Draws, rng: np.random.Generator) -> Draws:
    """Draw again, in proportion to the weights, as many as the weighted draws are worth.

    They come in no order: were there more of them, copies of one draw would count as several in every
    effective sample size that is computed from them.

    Notes
    -----
    Systematic resampling: Kitagawa (1996), Journal of Computational and Graphical Statistics 5, 1.
    """
    assert draws.log_weights is not None and draws.log_likelihood is not None
    log_weights = normalised(draws.log_weights.ravel())
    number = max(1, int(effective_size(log_weights)))
    edges = np.cumsum(np.exp(log_weights))
    places = np.searchsorted(edges, (np.arange(number) + rng.random()) / number * edges[-1])
    chosen = rng.permutation(np.minimum(places, log_weights.size - 1))

    def pick(values: np.ndarray) -> np.ndarray:
        return values.reshape(log_weights.size, *values.shape[2:])[chosen][np.newaxis]

    stats = {name: pick(values) for name, values in draws.stats.items()}
    return dataclasses.replace(
        draws,
        vectors=pick(draws.vectors),
        log_likelihood=pick(draws.log_likelihood),
        log_weights=None,
        stats={**stats, "log_weight": log_weights[chosen][np.newaxis]},
    )
