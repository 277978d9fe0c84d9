"""Methods of ufuncs: `reduce`, `accumulate`, `outer`, `at` and `reduceat`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytensor.tensor as pt

from classy_pm.likelihood.trace.array import is_traced
from classy_pm.likelihood.trace.dispatch import (
    assign,
    call_ufunc,
    emit,
    find_traced,
    lift,
    quietly,
    shadow_of,
)
from classy_pm.likelihood.trace.words import refuse

REDUCTIONS = {
    np.add: np.sum,
    np.multiply: np.prod,
    np.maximum: np.max,
    np.minimum: np.min,
    np.logical_and: np.all,
    np.logical_or: np.any,
}


def call_method(ufunc: np.ufunc, method: str, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Record a method of a ufunc."""
    kwargs = {key: value for key, value in kwargs.items() if value is not None or key == "axis"}
    known = {"reduce": reduce, "accumulate": accumulate, "outer": outer, "at": at, "reduceat": reduceat}
    return known[method](ufunc, *inputs, **kwargs)


def _through_out(ufunc: np.ufunc, name: str, result: Any, out: Any) -> Any:
    target = out[0] if isinstance(out, tuple) else out
    return result if target is None else assign(target, result)


def reduce(
    ufunc: np.ufunc,
    array: Any,
    axis: Any = 0,
    dtype: Any = None,
    out: Any = None,
    keepdims: bool = False,
    initial: Any = np._NoValue,  # type: ignore[attr-defined]
    where: Any = True,
) -> Any:
    """Record `ufunc.reduce`."""
    from classy_pm.likelihood.trace.reductions import fold

    array = lift(array)
    if not is_traced(array):
        array, where = np.asarray(array), lift(where)
    options = {"dtype": dtype} if dtype is not None and ufunc in (np.add, np.multiply) else {}
    if where is not True:
        neutral = (
            initial if ufunc not in (np.add, np.multiply, np.logical_and, np.logical_or) else ufunc.identity
        )
        if neutral is np._NoValue:  # type: ignore[attr-defined]
            refuse(f"`{ufunc.__name__}.reduce` with `where=` needs `initial=`")
        array = np.where(where, array, neutral)
    function = REDUCTIONS.get(ufunc)
    if function is not None and is_traced(array):
        result = function(array, axis=axis, keepdims=bool(keepdims), **options)
    else:
        result = fold(ufunc, array, axis, bool(keepdims))
    if initial is not np._NoValue and initial is not None:  # type: ignore[attr-defined]
        result = ufunc(result, initial)
    return _through_out(ufunc, "reduce", result, out)


def accumulate(ufunc: np.ufunc, array: Any, axis: int = 0, dtype: Any = None, out: Any = None) -> Any:
    """Record `ufunc.accumulate`."""
    array = lift(array)
    if ufunc in (np.add, np.multiply):
        function = np.cumsum if ufunc is np.add else np.cumprod
        return _through_out(ufunc, "accumulate", function(array, axis=axis, dtype=dtype), out)
    length = array.shape[axis]
    result, step = array, 1
    if ufunc not in (np.maximum, np.minimum, np.fmax, np.fmin, np.logaddexp, np.logical_and, np.logical_or):
        items = [np.take(array, 0, axis=axis)]
        for position in range(1, length):
            items.append(ufunc(items[-1], np.take(array, position, axis=axis)))
        return _through_out(ufunc, "accumulate", np.stack(items, axis=axis), out)
    if ufunc in (np.logical_and, np.logical_or):
        result = np.not_equal(result, 0)
    while step < length:  # associative: prefixes by doubling
        head = np.take(result, np.arange(step), axis=axis)
        first = np.take(result, np.arange(length - step), axis=axis)
        second = np.take(result, np.arange(step, length), axis=axis)
        result = np.concatenate([head, ufunc(first, second)], axis=axis)
        step *= 2
    return _through_out(ufunc, "accumulate", result, out)


def outer(ufunc: np.ufunc, a: Any, b: Any, **kwargs: Any) -> Any:
    """Record `ufunc.outer`."""
    a, b = lift(a), lift(b)
    dimensions = np.ndim(shadow_of(b))
    if dimensions:
        shape = np.shape(shadow_of(a)) + (1,) * dimensions
        a = np.reshape(a if is_traced(a) else np.asarray(a), shape)
    return call_ufunc(ufunc, "__call__", (a, b), kwargs)


def at(ufunc: np.ufunc, array: Any, indices: Any, values: Any = None) -> None:
    """Record `ufunc.at`, which adds up where indices repeat."""
    values = lift(values)
    if find_traced([indices]) is not None:
        refuse(f"the indices of `{ufunc.__name__}.at` depend on parameters, and must not")
    if not is_traced(array):
        from classy_pm.likelihood.trace.escapes import write_into_plain

        write_into_plain(array, values)
    if ufunc not in (np.add, np.subtract):
        refuse(f"`{ufunc.__name__}.at` has no equivalent in a graph", "`np.add.at` has one.")
    shadow = np.array(array._shadow)
    quietly(ufunc.at, shadow, indices, values)
    sign = 1.0 if ufunc is np.add else -1.0
    from classy_pm.likelihood.trace.indexing import plain_index

    place = plain_index(indices, np.shape(array._shadow))

    def build(base: Any, change: Any) -> Any:
        return pt.inc_subtensor(base[place], pt.cast(change, base.type.dtype) * sign)

    assign(array, emit(shadow, build, array, values, dtype=array._shadow.dtype))


def reduceat(
    ufunc: np.ufunc, array: Any, indices: Any, axis: int = 0, dtype: Any = None, out: Any = None
) -> Any:
    """Record `ufunc.reduceat` at plain indices."""
    if find_traced([indices]) is not None:
        refuse(f"the indices of `{ufunc.__name__}.reduceat` depend on parameters, and must not")
    array, indices = lift(array), np.asarray(indices)
    ends = [*indices[1:], array.shape[axis]]
    pieces = []
    for begin, end in zip(indices, ends, strict=True):
        piece = np.take(array, np.arange(begin, max(end, begin + 1)), axis=axis)
        pieces.append(reduce(ufunc, piece, axis=axis, dtype=dtype))
    return _through_out(ufunc, "reduceat", np.stack(pieces, axis=axis), out)
