"""Functions that make arrays: like others, evenly spaced, with parts set."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytensor.tensor as pt

from classy_pm.likelihood.trace.array import is_traced
from classy_pm.likelihood.trace.dispatch import assign, emit, find_traced, folded, lift, quietly, shadow_of
from classy_pm.likelihood.trace.reductions import as_traced
from classy_pm.likelihood.trace.registry import function_rule
from classy_pm.likelihood.trace.words import refuse
from classy_pm.likelihood.trace.wrapping import copy_of


def _like(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(a: Any, *args: Any, **kwargs: Any) -> Any:
        a = lift(a)
        return folded(a._session, quietly(function, a, *args, **kwargs))

    return call


function_rule(np.zeros_like)(_like(np.zeros_like))
function_rule(np.ones_like)(_like(np.ones_like))
# what lies in memory is no constant to build a graph from: zeros, and the proof finds who reads them
function_rule(np.empty_like)(_like(np.zeros_like))


@function_rule(np.full_like)
def full_like(
    a: Any, fill_value: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None
) -> Any:
    """Return an array of the shape of another, all of one value."""
    plain = np.empty_like(shadow_of(lift(a)), dtype=dtype, shape=shape)
    value = lift(fill_value)
    if not is_traced(value):
        return folded(lift(a)._session, np.full_like(plain, value))
    return np.broadcast_to(as_traced(value).astype(plain.dtype), plain.shape).copy()


@function_rule(np.copy)
def copy(a: Any, order: str = "K", subok: bool = False) -> Any:
    """Return a copy."""
    return copy_of(lift(a))


@function_rule(np.astype)
def astype(x: Any, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Any:
    """Return an array of another dtype."""
    return x.astype(dtype)


@function_rule(np.copyto)
def copyto(dst: Any, src: Any, casting: str = "same_kind", where: Any = True) -> None:
    """Write values into an array."""
    if where is not True:
        src = np.where(where, src, dst)
    assign(dst, lift(src))


@function_rule(np.put, note="places and mode are plain")
def put(a: Any, ind: Any, v: Any, mode: str = "raise") -> None:
    """Write values at places counted in C order."""
    if find_traced([ind]) is not None:
        refuse("the places of `np.put` depend on parameters")
    places = np.asarray(ind).ravel()
    if mode != "raise":
        places = np.clip(places, 0, a.size - 1) if mode == "clip" else places % a.size
    values = np.ravel(as_traced(v))
    count = np.size(shadow_of(values))
    flat = np.ravel(a).copy()
    flat[places] = values[np.arange(places.size) % count]
    assign(a, np.reshape(flat, a.shape))


@function_rule(np.putmask)
def putmask(a: Any, /, mask: Any, values: Any) -> None:
    """Write values where a mask is true."""
    values = as_traced(values)
    if np.shape(shadow_of(values)) != a.shape:
        if np.size(shadow_of(values)) != 1:
            refuse("`np.putmask` with values of another shape has no equivalent in a graph")
        values = np.broadcast_to(np.reshape(values, ()), a.shape)
    assign(a, np.where(mask, values, a))


@function_rule(np.place)
def place(arr: Any, mask: Any, vals: Any) -> None:
    """Write one value where a mask is true."""
    if np.size(shadow_of(lift(vals))) != 1:
        refuse("`np.place` with several values has no equivalent in a graph", "Write `array[mask] = values`.")
    assign(arr, np.where(np.reshape(mask, arr.shape), np.reshape(as_traced(vals), ()), arr))


@function_rule(np.extract, note="of a plain condition")
def extract(condition: Any, arr: Any) -> Any:
    """Return the elements where a condition is true."""
    if find_traced([condition]) is not None:
        return lift(arr)[condition]
    return np.take(np.ravel(arr), np.flatnonzero(condition))


@function_rule(np.put_along_axis)
def put_along_axis(arr: Any, indices: Any, values: Any, axis: int = -1) -> None:
    """Write values at places along an axis."""
    if find_traced([indices]) is not None:
        refuse("the places of `np.put_along_axis` depend on parameters")
    arr[along_axis(np.asarray(indices), arr.shape, axis)] = values


def along_axis(indices: np.ndarray, shape: tuple[int, ...], axis: int) -> tuple[Any, ...]:
    """Return the index that `take_along_axis` means."""
    ndim, axis = indices.ndim, axis % len(shape)
    grids = [np.arange(n).reshape((1,) * k + (-1,) + (1,) * (ndim - k - 1)) for k, n in enumerate(shape)]
    return tuple(indices if k == axis else grid for k, grid in enumerate(grids))


@function_rule(np.fill_diagonal)
def fill_diagonal(a: Any, val: Any, wrap: bool = False) -> None:
    """Write the diagonal."""
    marks = np.zeros(a.shape, bool)
    np.fill_diagonal(marks, True, wrap=wrap)
    values = as_traced(val)
    count = np.size(shadow_of(values))
    places = np.flatnonzero(marks)
    flat = np.ravel(a).copy()
    flat[places] = np.ravel(values)[np.arange(places.size) % count]
    assign(a, np.reshape(flat, a.shape))


# Evenly spaced


@function_rule(np.linspace)
def linspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
    *,
    device: Any = None,
) -> Any:
    """Return evenly spaced numbers."""
    if find_traced([num]) is not None:
        refuse("the number of points of `np.linspace` depends on parameters")
    start, stop = lift(start), lift(stop)
    shadow = quietly(np.linspace, start, stop, num, endpoint, False, dtype, axis)
    parts = max(num - 1 if endpoint else num, 1)
    steps = np.arange(num, dtype=float) / parts
    steps = steps.reshape((-1,) + (1,) * (shadow.ndim - 1))
    span = np.subtract(stop, start)
    result = start + steps * span
    if endpoint and num > 1:
        last = np.broadcast_to(as_traced(stop), np.shape(shadow_of(span)))[None]
        result = np.concatenate([result[:-1], last.astype(shadow_of(result).dtype)])
    result = np.moveaxis(result, 0, axis) if axis else result
    result = result.astype(shadow.dtype) if dtype is not None else result
    return (result, span / parts) if retstep else result


@function_rule(np.logspace)
def logspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    base: Any = 10.0,
    dtype: Any = None,
    axis: int = 0,
) -> Any:
    """Return numbers evenly spaced in their logarithm."""
    result = np.power(base, np.linspace(start, stop, num, endpoint, axis=axis) + 0.0)
    return result if dtype is None else result.astype(dtype)


@function_rule(np.geomspace, note="of positive numbers")
def geomspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, dtype: Any = None, axis: int = 0
) -> Any:
    """Return numbers of which each is the same multiple of the one before; positive ones only."""
    result = np.exp(np.linspace(np.log(start), np.log(stop), num, endpoint, axis=axis))
    return result if dtype is None else result.astype(dtype)


@function_rule(np.meshgrid)
def meshgrid(*xi: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy") -> Any:
    """Return coordinate matrices."""
    items = [np.ravel(as_traced(item)) for item in xi]
    count = len(items)
    axes = list(range(count))
    if indexing == "xy" and count > 1:
        axes[0], axes[1] = 1, 0
    grids = [
        np.reshape(item, (1,) * axis + (-1,) + (1,) * (count - axis - 1))
        for item, axis in zip(items, axes, strict=True)
    ]
    if sparse:
        return tuple(grids)
    shape = np.broadcast_shapes(*(np.shape(shadow_of(grid)) for grid in grids))
    return tuple(
        np.array(np.broadcast_to(g, shape)) if not is_traced(g) else np.broadcast_to(g, shape) for g in grids
    )


@function_rule(np.ix_)
def ix_(*args: Any) -> Any:
    """Return an open mesh of indices."""
    items = [as_traced(item) for item in args]
    count = len(items)
    return tuple(np.reshape(item, (1,) * k + (-1,) + (1,) * (count - k - 1)) for k, item in enumerate(items))


# Diagonals and triangles


@function_rule(np.diag)
def diag(v: Any, k: int = 0) -> Any:
    """Return a diagonal, or a matrix with one."""
    v = lift(v)
    return np.diagonal(v, k).copy() if np.ndim(shadow_of(v)) == 2 else np.diagflat(v, k)


@function_rule(np.diagflat)
def diagflat(v: Any, k: int = 0) -> Any:
    """Return a matrix with a diagonal."""
    v = lift(v)
    shadow = quietly(np.diagflat, v, k)
    length = np.size(shadow_of(v))
    rows = np.arange(length) + max(-k, 0)
    columns = np.arange(length) + max(k, 0)
    flat = np.ravel(v)
    return emit(
        shadow, lambda x: pt.set_subtensor(pt.zeros(shadow.shape, x.type.dtype)[rows, columns], x), flat
    )


def _triangle(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(m: Any, k: int = 0) -> Any:
        m = lift(m)
        return np.where(function(np.ones(np.shape(shadow_of(m))[-2:], bool), k), m, np.zeros(1, m.dtype))

    return call


function_rule(np.tril)(_triangle(np.tril))
function_rule(np.triu)(_triangle(np.triu))


def _of_shape(function: Callable[..., Any]) -> None:
    function_rule(function)(
        lambda a, *args, **kwargs: function(np.empty(np.shape(shadow_of(a))), *args, **kwargs)
    )


_of_shape(np.tril_indices_from)
_of_shape(np.triu_indices_from)
_of_shape(np.diag_indices_from)


@function_rule(np.vander)
def vander(x: Any, N: Any = None, increasing: bool = False) -> Any:
    """Return the powers of a vector as columns."""
    count = len(x) if N is None else int(N)
    powers = np.stack([np.power(x, n) for n in range(count)], axis=1)
    return powers if increasing else powers[:, ::-1]


def _axes_of_padding(width: Any, ndim: int) -> list[tuple[int, int]]:
    return [(int(a), int(b)) for a, b in np.broadcast_to(np.asarray(width), (ndim, 2))]


@function_rule(
    np.pad, note="modes constant, edge, wrap, reflect, symmetric, linear_ramp, mean, maximum, minimum"
)
def pad(array: Any, pad_width: Any, mode: Any = "constant", **kwargs: Any) -> Any:
    """Add elements at the edges."""
    from classy_pm.likelihood.trace.shaping import moved

    if find_traced([pad_width]) is not None:
        refuse("the width of `np.pad` depends on parameters, and with it the shape")
    array = as_traced(array)
    shape = np.shape(shadow_of(array))
    if isinstance(pad_width, dict):
        pad_width = [pad_width.get(n, pad_width.get(n - len(shape), (0, 0))) for n in range(len(shape))]
        pad_width = [(w, w) if np.isscalar(w) else w for w in pad_width]
    if mode in ("edge", "wrap", "symmetric", "reflect") and kwargs.get("reflect_type", "even") == "even":
        return moved(np.pad, array, pad_width, mode)
    widths = _axes_of_padding(pad_width, len(shape))
    if mode == "constant":
        values = kwargs.get("constant_values", 0)
        if find_traced([values]) is None and np.ndim(values) == 0:
            wide = [n + a + b for n, (a, b) in zip(shape, widths, strict=True)]
            inner = tuple(slice(a, a + n) for n, (a, _) in zip(shape, widths, strict=True))
            shadow = quietly(np.pad, array, pad_width, mode, constant_values=values)
            base = np.full(wide, values, dtype=shadow.dtype)

            def build(x: Any) -> Any:
                return pt.set_subtensor(pt.constant(base.real)[inner], x)

            if shadow.dtype.kind != "c" or values == 0:
                return emit(shadow, build, array)
        ends: Any = values
    elif mode in ("linear_ramp", "mean", "maximum", "minimum", "median"):
        ends = kwargs.get("end_values", 0)
        if kwargs.get("stat_length") is not None:
            refuse("`np.pad` with `stat_length` has no equivalent in a graph")
    else:
        refuse(f"`np.pad` with `mode={mode!r}` has no equivalent in a graph")
    for axis, (before, after) in enumerate(widths):
        array = _padded(array, axis, before, after, mode, _both_ends(ends, axis, len(shape)))
    return array


def _both_ends(values: Any, axis: int, ndim: int) -> tuple[Any, Any]:
    wide = np.broadcast_to(as_traced(values), (ndim, 2))
    return wide[axis, 0], wide[axis, 1]


def _padded(array: Any, axis: int, before: int, after: int, mode: str, ends: tuple[Any, Any]) -> Any:
    shape, kind = np.shape(shadow_of(array)), shadow_of(array).dtype
    pieces = [array]
    for side, count in ((0, before), (1, after)):
        if not count:
            continue
        ramp = np.reshape(np.arange(count), (1,) * axis + (-1,) + (1,) * (len(shape) - axis - 1)) / count
        edge = np.take(array, [0 if side == 0 else shape[axis] - 1], axis=axis)
        if mode == "constant":
            piece: Any = ends[side] + np.zeros_like(edge) + 0.0 * ramp
        elif mode == "linear_ramp":
            steps = ramp if side == 0 else np.flip(ramp, axis)
            piece = ends[side] + (edge - ends[side]) * steps
        else:
            statistic = {"mean": np.mean, "maximum": np.max, "minimum": np.min, "median": np.median}[mode]
            piece = statistic(array, axis=axis, keepdims=True) + 0.0 * ramp
        piece = as_traced(piece).astype(kind)
        pieces = [piece, *pieces] if side == 0 else [*pieces, piece]
    return np.concatenate(pieces, axis=axis)
