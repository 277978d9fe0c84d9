"""Order statistics and histograms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from classy_pm.likelihood.trace.array import is_traced
from classy_pm.likelihood.trace.dispatch import assign, find_traced, shadow_of
from classy_pm.likelihood.trace.reductions import as_traced, chosen_axes
from classy_pm.likelihood.trace.registry import function_rule, refuse_function
from classy_pm.likelihood.trace.words import refuse


def _rows(a: Any, axis: Any) -> Any:
    """Move the axes that are reduced to the end, as one."""
    shape = np.shape(shadow_of(a))
    axes = chosen_axes(axis, len(shape))
    rest = [n for n in range(len(shape)) if n not in axes]
    a = np.transpose(a, [*rest, *axes])
    return np.reshape(a, (*(shape[n] for n in rest), -1))


def _keep(result: Any, shape: tuple[int, ...], axis: Any, lead: int = 0) -> Any:
    axes = chosen_axes(axis, len(shape))
    kept = tuple(1 if n in axes else length for n, length in enumerate(shape))
    return np.reshape(result, np.shape(shadow_of(result))[:lead] + kept)


@function_rule(np.median)
def median(
    a: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False, keepdims: bool = False
) -> Any:
    """Return the median along axes."""
    a = as_traced(a)
    ordered = np.sort(_rows(a, axis), axis=-1)
    count = np.shape(shadow_of(ordered))[-1]
    low, high = (count - 1) // 2, count // 2
    result = ordered[..., low] if low == high else (ordered[..., low] + ordered[..., high]) / 2.0
    result = result * 1.0 if shadow_of(result).dtype.kind in "biu" else result
    result = _nan_if_any(result, a, axis)
    result = _keep(result, np.shape(shadow_of(a)), axis) if keepdims else result
    return result[()] if out is None else assign(out, result)


def _nan_if_any(result: Any, a: Any, axis: Any) -> Any:
    if shadow_of(a).dtype.kind != "f":
        return result
    spoilt = np.any(np.isnan(_rows(a, axis)), axis=-1)
    return np.where(spoilt, np.nan, result)


# Where in the sorted values a quantile lies: (n - 1) q is that of Hyndman and Fan's seventh definition.
PLACES: dict[str, Callable[[int, Any], Any]] = {
    "linear": lambda n, q: (n - 1) * q,
    "lower": lambda n, q: np.floor((n - 1) * q),
    "higher": lambda n, q: np.ceil((n - 1) * q),
    "nearest": lambda n, q: np.rint((n - 1) * q),
    "midpoint": lambda n, q: 0.5 * (np.floor((n - 1) * q) + np.ceil((n - 1) * q)),
    "interpolated_inverted_cdf": lambda n, q: n * q - 1,
    "hazen": lambda n, q: n * q - 0.5,
    "weibull": lambda n, q: (n + 1) * q - 1,
    "median_unbiased": lambda n, q: (n + 1 / 3) * q - 2 / 3,
    "normal_unbiased": lambda n, q: (n + 1 / 4) * q - 5 / 8,
}


def _quantile(a: Any, q: Any, axis: Any, method: str, keepdims: bool) -> Any:
    a = as_traced(a)
    if method not in PLACES:
        refuse(f"quantiles with `method={method!r}` have no equivalent in a graph")
    if shadow_of(a).dtype.kind in "biu":
        a = a.astype(np.float64)
    q = as_traced(q)
    ordered = np.sort(_rows(a, axis), axis=-1)
    count = np.shape(shadow_of(ordered))[-1]
    place = np.clip(PLACES[method](count, q), 0, count - 1)
    below = np.floor(place)
    low = np.asarray(below, int) if not is_traced(below) else below.astype(int)
    high = np.minimum(low + 1, count - 1)
    share = place - below
    first, second = _along_last(ordered, low), _along_last(ordered, high)
    result = first + (second - first) * np.reshape(
        share, np.shape(shadow_of(share)) + (1,) * (np.ndim(shadow_of(ordered)) - 1)
    )
    result = _nan_if_any(result, a, axis)
    result = _keep(result, np.shape(shadow_of(a)), axis, np.ndim(shadow_of(q))) if keepdims else result
    return result[()]


def _along_last(ordered: Any, places: Any) -> Any:
    """Take elements along the last axis; the places come first in the result."""
    moved = np.moveaxis(ordered, -1, 0)
    if is_traced(places):
        return moved[places]
    return moved[int(places)] if np.ndim(places) == 0 else moved[places]


@function_rule(np.quantile, note="without weights")
def quantile(
    a: Any,
    q: Any,
    axis: Any = None,
    out: Any = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: bool = False,
    *,
    weights: Any = None,
) -> Any:
    """Return quantiles along axes."""
    if weights is not None:
        refuse("quantiles with weights have no equivalent in a graph")
    result = _quantile(a, q, axis, method, keepdims)
    return result if out is None else assign(out, result)


@function_rule(np.percentile, note="without weights")
def percentile(
    a: Any,
    q: Any,
    axis: Any = None,
    out: Any = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: bool = False,
    *,
    weights: Any = None,
) -> Any:
    """Return percentiles along axes."""
    return quantile(a, np.true_divide(q, 100), axis, out, overwrite_input, method, keepdims, weights=weights)


def _nan_free(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(a: Any, *args: Any, **kwargs: Any) -> Any:
        a = as_traced(a)
        if np.any(np.isnan(np.asarray(shadow_of(a), dtype=float))):
            refuse(f"`np.nan{function.__name__}` of an array that has NaN depends on how many there are")
        return function(a, *args, **kwargs)

    return call


for _function, _plain in (
    (np.nanmedian, np.median),
    (np.nanquantile, np.quantile),
    (np.nanpercentile, np.percentile),
):
    function_rule(_function, note="of arrays without NaN")(_nan_free(_plain))

COUNTS = "counts are steps: they have no derivative"
SMOOTH = "Write the expected counts, from differences of a cumulative distribution at the edges."


def _edges(bins: Any, values: Any, span: Any) -> np.ndarray:
    if find_traced([bins, span]) is not None or (np.ndim(bins) == 0 and span is None):
        refuse("the bins of a histogram depend on parameters", "Give the edges of the bins.")
    if np.ndim(bins) == 0:
        return np.linspace(span[0], span[1], int(bins) + 1)
    return np.asarray(bins)


@function_rule(np.histogram, note="of plain bins: traced by their weights; counts have derivative zero")
def histogram(a: Any, bins: Any = 10, range: Any = None, density: Any = None, weights: Any = None) -> Any:
    """Return counts, or sums of weights, in bins."""
    a = np.ravel(as_traced(a))
    edges = (
        _edges(bins, a, range) if is_traced(a) or np.ndim(bins) else np.histogram_bin_edges(a, bins, range)
    )
    inside = np.logical_and(a[:, None] >= edges[:-1], a[:, None] < edges[1:])
    last = np.logical_and(a[:, None] == edges[-1], np.arange(edges.size - 1) == edges.size - 2)
    inside = np.logical_or(inside, last)
    if weights is None:
        counts = np.sum(inside, axis=0)
    else:
        weights = as_traced(weights)
        counts = np.sum(np.where(inside, np.ravel(weights)[:, None], 0), axis=0).astype(
            shadow_of(weights).dtype
        )
    if density:
        counts = counts / (np.diff(edges) * np.sum(counts))
    return counts, edges


for _function in (np.histogram2d, np.histogramdd, np.histogram_bin_edges):
    refuse_function(_function, COUNTS, SMOOTH)
