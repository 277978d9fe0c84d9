"""Sorting, searching and taking by index."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytensor.tensor as pt

from classy_pm.likelihood.trace.array import is_traced
from classy_pm.likelihood.trace.dispatch import assign, emit, find_traced, quietly, shadow_of
from classy_pm.likelihood.trace.making import along_axis
from classy_pm.likelihood.trace.reductions import as_traced
from classy_pm.likelihood.trace.registry import function_rule
from classy_pm.likelihood.trace.words import refuse


@function_rule(np.take)
def take(a: Any, indices: Any, axis: Any = None, out: Any = None, mode: str = "raise") -> Any:
    """Return elements by their place along an axis."""
    a = as_traced(a)
    if axis is None:
        a, axis = np.ravel(a), 0
    axis = axis % np.ndim(shadow_of(a))
    length = np.shape(shadow_of(a))[axis]
    indices = as_traced(indices)
    if mode == "clip":
        indices = np.clip(indices, 0, length - 1)
    elif mode == "wrap":
        indices = np.mod(indices, length)
    if not is_traced(a):
        if not is_traced(indices):
            return np.take(a, indices, axis=axis)
        a = _as_constant(a, indices)
    if not is_traced(indices) and indices.ndim == 0:
        indices = int(indices)
    result = a[(*(slice(None),) * axis, indices)]
    return result if out is None else assign(out, result)


def _as_constant(array: np.ndarray, like: Any) -> Any:
    """Return a plain array as a traced constant, so that it can be indexed by traced integers."""
    from classy_pm.likelihood.trace.dispatch import folded

    return folded(like._session, array)


@function_rule(np.take_along_axis)
def take_along_axis(arr: Any, indices: Any, axis: Any = -1) -> Any:
    """Return elements by their place along an axis, which differs along the others."""
    arr, indices = as_traced(arr), as_traced(indices)
    if axis is None:
        arr, axis = np.ravel(arr), 0
    if not is_traced(arr):
        arr = _as_constant(arr, indices)
    axis = axis % np.ndim(shadow_of(arr))
    place = along_axis(np.asarray(shadow_of(indices)), np.shape(shadow_of(arr)), axis)
    wide = [n if k != axis else 1 for k, n in enumerate(np.shape(shadow_of(arr)))]
    own = np.shape(shadow_of(indices))
    if any(n != own[k] and own[k] == 1 for k, n in enumerate(wide) if k != axis):
        indices = np.broadcast_to(indices, [own[k] if k == axis else n for k, n in enumerate(wide)])
    return arr[tuple(indices if k == axis else grid for k, grid in enumerate(place))]


@function_rule(np.sort)
def sort(a: Any, axis: Any = -1, kind: Any = None, order: Any = None, *, stable: Any = None) -> Any:
    """Return sorted values."""
    a = as_traced(a)
    if axis is None:
        a, axis = np.ravel(a), -1
    shadow = quietly(np.sort, a, axis=axis)
    if shadow.dtype.kind == "c":
        refuse("`np.sort` of complex traced values has no equivalent in a graph")
    return emit(shadow, lambda x: pt.sort(x, axis=axis), a)


@function_rule(np.argsort, note="its derivative is zero")
def argsort(a: Any, axis: Any = -1, kind: Any = None, order: Any = None, *, stable: Any = None) -> Any:
    """Return the places of the sorted values."""
    a = as_traced(a)
    if axis is None:
        a, axis = np.ravel(a), -1
    shadow = quietly(np.argsort, a, axis=axis, kind="stable")
    return emit(shadow, lambda x: pt.argsort(x, axis=axis, kind="stable"), a)


@function_rule(np.partition, note="sorts all")
def partition(a: Any, kth: Any, axis: Any = -1, kind: str = "introselect", order: Any = None) -> Any:
    """Return sorted values, which are partitioned too."""
    return np.sort(a, axis=axis)


@function_rule(np.argpartition, note="sorts all")
def argpartition(a: Any, kth: Any, axis: Any = -1, kind: str = "introselect", order: Any = None) -> Any:
    """Return the places of the sorted values."""
    return np.argsort(a, axis=axis)


@function_rule(np.lexsort)
def lexsort(keys: Any, axis: int = -1) -> Any:
    """Return the places of values sorted by several keys, the last one first."""
    keys = [as_traced(key) for key in keys]
    order = np.argsort(keys[0], axis=axis, kind="stable")
    for key in keys[1:]:
        then = np.argsort(np.take_along_axis(key, order, axis), axis=axis, kind="stable")
        order = np.take_along_axis(order, then, axis)
    return order


@function_rule(np.sort_complex, note="of real values")
def sort_complex(a: Any) -> Any:
    """Return sorted values as complex numbers."""
    return np.sort(a) + 0j


@function_rule(np.searchsorted, note="its derivative is zero")
def searchsorted(a: Any, v: Any, side: str = "left", sorter: Any = None) -> Any:
    """Return where values belong in a sorted vector."""
    a, v = as_traced(a), as_traced(v)
    if sorter is not None:
        a = np.take(a, sorter)
    shadow = quietly(np.searchsorted, a, v, side)
    return emit(shadow, lambda x, y: pt.searchsorted(x, y, side=side), a, v)


@function_rule(np.digitize, note="of plain bins that rise or fall; its derivative is zero")
def digitize(x: Any, bins: Any, right: bool = False) -> Any:
    """Return in which bin values are."""
    bins = as_traced(bins)
    plain = shadow_of(bins)
    if np.all(np.diff(plain) >= 0):
        return np.searchsorted(bins, x, side="left" if right else "right")
    return len(plain) - np.searchsorted(bins[::-1], x, side="right" if right else "left")


@function_rule(np.isin)
def isin(
    element: Any, test_elements: Any, assume_unique: bool = False, invert: bool = False, *, kind: Any = None
) -> Any:
    """Return whether values are among others."""
    element, others = as_traced(element), np.ravel(as_traced(test_elements))
    found = np.any(np.equal(element[..., None], others), axis=-1)
    return np.logical_not(found) if invert else found


@function_rule(np.bincount, note="of plain places; the weights may be traced")
def bincount(x: Any, /, weights: Any = None, minlength: int = 0) -> Any:
    """Return sums of weights by place."""
    if find_traced([x]) is not None:
        refuse("the places of `np.bincount` depend on parameters, and with them the length")
    places = np.asarray(x)
    weights = as_traced(weights)
    shadow = quietly(np.bincount, places, weights, minlength)
    return emit(
        shadow, lambda w: pt.inc_subtensor(pt.zeros(shadow.shape)[places], w), weights, dtype=np.float64
    )


@function_rule(np.ravel_multi_index)
def ravel_multi_index(multi_index: Any, dims: Any, mode: str = "raise", order: str = "C") -> Any:
    """Return places counted in C order."""
    steps = np.cumprod([1, *list(dims)[:0:-1]])[::-1] if order == "C" else np.cumprod([1, *list(dims)[:-1]])
    parts = list(multi_index)
    if mode != "raise":
        parts = [
            np.clip(p, 0, n - 1) if mode == "clip" else np.mod(p, n) for p, n in zip(parts, dims, strict=True)
        ]
    result: Any = 0
    for part, step in zip(parts, steps, strict=True):
        result = result + np.multiply(part, int(step))
    return result


@function_rule(np.unravel_index)
def unravel_index(indices: Any, shape: Any, order: str = "C") -> Any:
    """Return the place along each axis."""
    dims = list(shape)
    steps = np.cumprod([1, *dims[:0:-1]])[::-1] if order == "C" else np.cumprod([1, *dims[:-1]])
    return tuple(
        np.mod(np.floor_divide(indices, int(step)), int(n)) for step, n in zip(steps, dims, strict=True)
    )
