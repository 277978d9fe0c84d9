"""Functions that put arrays together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytensor.tensor as pt

from classy_pm.likelihood.trace.dispatch import assign, emit, find_traced, quietly, shadow_of
from classy_pm.likelihood.trace.reductions import as_traced
from classy_pm.likelihood.trace.registry import function_rule
from classy_pm.likelihood.trace.words import refuse


@function_rule(np.concatenate, np.concat)
def concatenate(
    arrays: Sequence[Any], /, axis: Any = 0, out: Any = None, *, dtype: Any = None, casting: str = "same_kind"
) -> Any:
    """Join arrays along an axis that they have."""
    items = [as_traced(item) for item in arrays]
    if axis is None:
        items, axis = [np.ravel(item) for item in items], 0
    shadow = quietly(np.concatenate, items, axis=axis, dtype=dtype, casting=casting)
    result = emit(shadow, lambda *parts: pt.concatenate(parts, axis=axis), *items, dtype=shadow.dtype)
    return result if out is None else assign(out, result)


@function_rule(np.stack)
def stack(
    arrays: Sequence[Any], axis: int = 0, out: Any = None, *, dtype: Any = None, casting: str = "same_kind"
) -> Any:
    """Join arrays along a new axis."""
    items = [as_traced(item) for item in arrays]
    shadow = quietly(np.stack, items, axis=axis, dtype=dtype, casting=casting)
    result = emit(shadow, lambda *parts: pt.stack(parts, axis=axis), *items, dtype=shadow.dtype)
    return result if out is None else assign(out, result)


def _aligned(
    function: Callable[..., Any], prepare: Callable[[Any], Any], axis: Callable[[list[Any]], int]
) -> None:
    def call(tup: Sequence[Any], *, dtype: Any = None, casting: str = "same_kind") -> Any:
        items = [prepare(as_traced(item)) for item in tup]
        return np.concatenate(items, axis=axis(items), dtype=dtype, casting=casting)

    function_rule(function)(call)


_aligned(np.hstack, np.atleast_1d, lambda items: 0 if np.ndim(shadow_of(items[0])) == 1 else 1)
_aligned(np.vstack, np.atleast_2d, lambda items: 0)
_aligned(np.dstack, np.atleast_3d, lambda items: 2)


@function_rule(np.column_stack)
def column_stack(tup: Sequence[Any]) -> Any:
    """Join vectors as the columns of a matrix."""
    items = [as_traced(item) for item in tup]
    items = [np.atleast_2d(item).T if np.ndim(shadow_of(item)) < 2 else item for item in items]
    return np.concatenate(items, axis=1)


@function_rule(np.block)
def block(arrays: Any) -> Any:
    """Put a matrix together from nested lists of blocks."""
    depth, layer = 0, arrays
    while isinstance(layer, list):
        depth, layer = depth + 1, layer[0]
    ndim = max(depth, _deepest(arrays))

    def join(item: Any, level: int) -> Any:
        if isinstance(item, list):
            return np.concatenate([join(part, level + 1) for part in item], axis=level - depth)
        part = as_traced(item)
        return np.reshape(part, (1,) * (ndim - np.ndim(shadow_of(part))) + np.shape(shadow_of(part)))

    return join(arrays, 0)


def _deepest(item: Any) -> int:
    return max(_deepest(part) for part in item) if isinstance(item, list) else np.ndim(shadow_of(item))


@function_rule(np.append)
def append(arr: Any, values: Any, axis: Any = None) -> Any:
    """Join two arrays."""
    if axis is None:
        return np.concatenate([np.ravel(as_traced(arr)), np.ravel(as_traced(values))])
    return np.concatenate([as_traced(arr), as_traced(values)], axis=axis)


@function_rule(np.insert)
def insert(arr: Any, obj: Any, values: Any, axis: Any = None) -> Any:
    """Put values between the elements of an array."""
    if find_traced([obj]) is not None:
        refuse("the places of `np.insert` depend on parameters, and must not")
    arr, values = as_traced(arr), as_traced(values)
    shadow = quietly(np.insert, arr, obj, values, axis=axis)
    base, new = np.asarray(shadow_of(arr)), np.asarray(shadow_of(values))
    # where does each element come from? insert their positions, those of the values counted from -1 down
    names = np.insert(
        np.arange(base.size).reshape(base.shape), obj, -1 - np.arange(new.size).reshape(new.shape), axis=axis
    )
    places = np.where(names < 0, base.size - 1 - names, names)
    return np.concatenate([np.ravel(arr), np.ravel(values).astype(shadow.dtype)])[places].astype(shadow.dtype)
