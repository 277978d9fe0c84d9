"""Statistics of draws that have weights; with equal weights they are NumPy's.

The quantile is the seventh of Hyndman and Fan (1996), which NumPy takes, for weighted draws after
Akinshin (2023), "Weighted quantile estimators", arXiv:2304.07265: the mean of the draws, in order, over
the share of the probability that one effective draw stands for. Draws of weight zero do not count.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import erf

__all__ = [
    "covariance",
    "effective_size",
    "mean",
    "quantiles",
    "sigma_to_probability",
    "standard_deviations",
    "summarise",
]


def sigma_to_probability(sigma: float) -> float:
    """Return the probability within so many standard deviations of a normal distribution.

    Examples
    --------
    >>> round(sigma_to_probability(1.0), 4)
    0.6827
    """
    return float(erf(sigma / np.sqrt(2.0)))


def effective_size(weights: np.ndarray) -> float:
    """Return how many draws of equal weight tell as much (Kish, 1965, Survey Sampling).

    Examples
    --------
    >>> effective_size(np.array([0.25, 0.25, 0.25, 0.25]))
    4.0
    """
    shares = weights / np.max(weights)
    return float(np.sum(shares) ** 2 / np.sum(shares**2))


def mean(values: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Return the mean over the draws, the first axis."""
    if weights is None:
        return np.average(values, axis=0)
    counts = weights > 0.0  # zero times infinity is no number
    return np.average(values[counts], axis=0, weights=weights[counts])


def quantiles(
    values: np.ndarray, probabilities: Sequence[float], weights: np.ndarray | None = None
) -> np.ndarray:
    """Return the values below which these shares of the probability lie.

    Parameters
    ----------
    values : numpy.ndarray, shape (draws, ...)
    probabilities : sequence of float
    weights : numpy.ndarray, shape (draws,), optional
        Up to a factor; all equal by default.

    Returns
    -------
    numpy.ndarray, shape (probabilities, ...)

    Examples
    --------
    >>> quantiles(np.array([3.0, 1.0, 2.0, 9.0]), [0.5], np.array([1.0, 1.0, 1.0, 0.0])).tolist()
    [2.0]
    """
    if weights is None:
        return np.quantile(values, probabilities, axis=0)
    columns = values.reshape(len(values), -1)
    found = np.array([_of_column(column, np.asarray(probabilities), weights) for column in columns.T])
    return found.T.reshape(len(probabilities), *values.shape[1:])


def _of_column(values: np.ndarray, probabilities: np.ndarray, weights: np.ndarray) -> np.ndarray:
    values, weights = values[weights > 0.0], weights[weights > 0.0]
    if np.any(np.isnan(values)):
        return np.full(probabilities.size, np.nan)
    order = np.argsort(values, kind="stable")
    values = values[order]
    edges = np.concatenate([[0.0], np.cumsum(weights[order])])
    edges /= edges[-1]
    size = effective_size(weights)
    # Of the probability below each edge, how much lies in the share that is averaged over.
    shares = np.clip(size * edges - (size - 1.0) * probabilities[:, np.newaxis], 0.0, 1.0)
    return np.array([values[share > 0.0] @ share[share > 0.0] for share in np.diff(shares, axis=-1)])


def covariance(values: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Return the covariance matrix of draws of shape (draws, size); NaN for fewer than two."""
    weights = np.full(len(values), 1.0) if weights is None else weights
    values, weights = values[weights > 0.0], weights[weights > 0.0]
    weights = weights / np.sum(weights)
    freedom = 1.0 - np.sum(weights**2)
    if not freedom > 1e-12:
        return np.full((values.shape[1], values.shape[1]), np.nan)
    deviations = values - mean(values, weights)
    return (weights[:, np.newaxis] * deviations).T @ deviations / freedom


def standard_deviations(values: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Return the standard deviation of draws of shape (draws, size); NaN for fewer than two.

    It is zero where all draws are equal, and neither overflows nor is lost in rounding.
    """
    if weights is not None:
        values, weights = values[weights > 0.0], weights[weights > 0.0]
    shifted = values - values[0]
    scale = np.max(np.abs(shifted), axis=0, initial=0.0)
    return scale * np.sqrt(_variances(shifted / np.where(scale > 0.0, scale, 1.0), weights))


def summarise(values: np.ndarray, weights: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """Summarise draws of several numbers, shape (draws, numbers).

    Returns
    -------
    dict of str to numpy.ndarray, shape (numbers,)
        mean, sd, median, and the limits of the central one and three sigma intervals. A single draw has
        no width: all but mean and median are NaN.
    """
    tails = [0.5 * (1.0 - sigma_to_probability(sigma)) for sigma in (1.0, 3.0)]
    probabilities = [0.5, tails[0], 1.0 - tails[0], tails[1], 1.0 - tails[1]]
    with np.errstate(all="ignore"):  # a derived parameter may be beyond all bounds
        median, *limits = quantiles(values, probabilities, weights)
        names = ("lower_1_sigma", "upper_1_sigma", "lower_3_sigma", "upper_3_sigma")
        nothing = np.full(values.shape[1], np.nan)
        return {
            "mean": mean(values, weights),
            "sd": np.sqrt(_variances(values, weights)),
            "median": median,
            **dict(zip(names, limits if len(values) > 1 else [nothing] * 4, strict=True)),
        }


def _variances(values: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """Return the diagonal of the covariance matrix."""
    weights = np.full(len(values), 1.0) if weights is None else weights
    values, weights = values[weights > 0.0], weights[weights > 0.0]
    weights = weights / np.sum(weights)
    freedom = 1.0 - np.sum(weights**2)
    if not freedom > 1e-12:
        return np.full(values.shape[1], np.nan)
    return weights @ (values - mean(values, weights)) ** 2 / freedom
