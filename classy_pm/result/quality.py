"""Effective sample sizes and R-hat of many numbers at once, as ArviZ has them of one after the other.

Vehtari et al. (2021), "Rank-normalization, folding, and localization: an improved R-hat", Bayesian Analysis
16, 667.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.fft import next_fast_len
from scipy.special import ndtri
from scipy.stats import rankdata

__all__ = ["effective_sizes", "r_hat"]

# ArviZ's tails are outside of its default interval.
TAIL = 0.11
FEWEST_DRAWS = 4
# Draws that differ by less count as equal.
RESOLUTION = np.finfo(float).resolution


def effective_sizes(draws: np.ndarray) -> np.ndarray:
    """Return the smaller of the effective sample sizes of bulk and tails.

    Parameters
    ----------
    draws : numpy.ndarray, shape (numbers, chains, draws)

    Returns
    -------
    numpy.ndarray, shape (numbers,)
        NaN where a draw is, and where there are fewer than four.
    """
    if draws.shape[-1] < FEWEST_DRAWS:
        return np.full(len(draws), np.nan)
    with np.errstate(all="ignore"):
        limits = np.quantile(draws, [TAIL, 1.0 - TAIL], axis=(1, 2))[..., np.newaxis, np.newaxis]
        found = [_effective_size(_ranked(_halves(draws)))]
        found += [_effective_size(_halves(draws <= limit)) for limit in limits]
    return np.where(np.any(np.isnan(draws), axis=(1, 2)), np.nan, np.min(found, axis=0))


def r_hat(draws: np.ndarray) -> np.ndarray:
    """Return the larger R-hat, of ranks or of folded ranks; NaN likewise, and of a single chain."""
    if draws.shape[-1] < FEWEST_DRAWS or draws.shape[1] < 2:
        return np.full(len(draws), np.nan)
    halves = _halves(draws)
    with np.errstate(all="ignore"):
        folded = np.abs(halves - np.median(halves, axis=(1, 2), keepdims=True))
        bulk, tail = _ratio(_ranked(halves)), _ratio(_ranked(folded))
    larger = np.where(tail > bulk, tail, bulk)
    return np.where(np.any(np.isnan(draws), axis=(1, 2)), np.nan, larger)


def _halves(draws: np.ndarray) -> np.ndarray:
    """Return each half of a chain as a chain; an odd draw in the middle is left out."""
    half = draws.shape[-1] // 2
    return np.concatenate([draws[..., :half], draws[..., -half:]], axis=1)


def _ranked(draws: np.ndarray) -> np.ndarray:
    """Return the normal scores of the ranks (Blom, 1958)."""
    flat = draws.reshape(len(draws), -1)
    ranks = rankdata(flat, axis=-1)
    return ndtri((ranks - 0.375) / (flat.shape[-1] + 0.25)).reshape(draws.shape)


def _ratio(draws: np.ndarray) -> np.ndarray:
    count = draws.shape[-1]
    between = count * np.var(np.mean(draws, axis=-1), axis=-1, ddof=1)
    within = np.mean(np.var(draws, axis=-1, ddof=1), axis=-1)
    return np.sqrt((between / within + count - 1.0) / count)


def _effective_size(draws: np.ndarray) -> np.ndarray:
    """Return the effective sample size for the mean, by Geyer's initial monotone sequence."""
    draws = draws.astype(float)
    _, chains, count = draws.shape
    total = chains * count
    covariance = np.mean(_autocovariance(draws), axis=1)
    within = covariance[:, 0] * count / (count - 1.0)
    variance = within * (count - 1.0) / count
    if chains > 1:
        variance = variance + np.var(np.mean(draws, axis=-1), axis=-1, ddof=1)
    rho = 1.0 - (within[:, np.newaxis] - covariance) / variance[:, np.newaxis]
    rho[:, 0] = 1.0
    # The autocorrelations at lags 2k and 2k + 1 count together, while they are positive.
    most = max(math.ceil((count - 2) / 2) - 1, 0)
    even = rho[:, 0 : 2 * most + 1 : 2]
    pairs = even + rho[:, 1 : 2 * most + 2 : 2]
    ends = ~(pairs > 0.0)
    ends[:, most] = True
    last = np.argmax(ends, axis=-1)
    monotone = np.minimum.accumulate(pairs, axis=-1)
    before = np.arange(most + 1) < last[:, np.newaxis]
    rows = np.arange(len(draws))
    left_over = np.where((even[rows, last] > 0.0) | (pairs[rows, last] >= 0.0), even[rows, last], 0.0)
    tau = -1.0 + 2.0 * np.sum(np.where(before, monotone, 0.0), axis=-1) + left_over
    size = total / np.maximum(tau, 1.0 / np.log10(total))
    size = np.where(np.isnan(rho[:, 1]), np.nan, size)
    return np.where(np.ptp(draws, axis=(1, 2)) < RESOLUTION, total, size)


def _autocovariance(draws: np.ndarray) -> np.ndarray:
    """Return the autocovariance at every lag, by Fourier transforms."""
    count = draws.shape[-1]
    length = next_fast_len(2 * count)
    transformed = np.fft.rfft(draws - np.mean(draws, axis=-1, keepdims=True), n=length)
    power = transformed.real**2 + transformed.imag**2
    return np.fft.irfft(power, n=length)[..., :count] / count
