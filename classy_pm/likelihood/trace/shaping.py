"""Functions that move elements and compute nothing.

The common ones are PyTensor's own. Every other one is applied to the *positions* of the elements
first, by NumPy itself, and its result says where each element comes from.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from classy_pm.likelihood.trace.array import is_traced
from classy_pm.likelihood.trace.dispatch import emit, find_traced, quietly, shadow_of
from classy_pm.likelihood.trace.memory import gathered
from classy_pm.likelihood.trace.reductions import as_traced
from classy_pm.likelihood.trace.registry import function_rule, variable_rule
from classy_pm.likelihood.trace.words import refuse

Variable = TensorVariable


def moved(function: Callable[..., Any], a: Any, *args: Any, **kwargs: Any) -> Any:
    """Record any function that only moves elements, by what it does to their positions."""
    if find_traced([*args, *kwargs.values()]) is not None:
        refuse(f"an argument of `np.{function.__name__}` other than the array depends on parameters")
    a = as_traced(a)
    shadow = quietly(function, a, *args, **kwargs)
    plain = shadow_of(a)
    positions = function(np.arange(np.size(plain)).reshape(np.shape(plain)), *args, **kwargs)
    several = isinstance(shadow, list | tuple)
    places = list(positions) if several else [positions]

    def build(variable: Variable) -> Any:
        flat = variable.reshape((np.size(plain),))
        parts = [gathered(flat, np.asarray(place)) for place in places]
        return parts if several else parts[0]

    return emit(shadow, build, a)


def _moving(*functions: Callable[..., Any]) -> None:
    for function in functions:
        function_rule(function)(lambda a, *args, _f=function, **kwargs: moved(_f, a, *args, **kwargs))


_moving(np.rot90, np.tile, np.resize, np.diagonal, np.flip, np.flipud, np.fliplr)
_moving(np.linalg.diagonal, np.delete)


@function_rule(np.compress)
def compress(condition: Any, a: Any, axis: Any = None, out: Any = None) -> Any:
    """Return the slices where a plain condition is true."""
    if find_traced([condition]) is not None:
        refuse(
            "the condition of `np.compress` depends on parameters, and with it the length",
            "Use `np.where(condition, values, 0.0)` before a sum.",
        )
    places = np.flatnonzero(condition)
    return np.take(a, places, axis=axis)


@variable_rule(np.transpose, np.permute_dims, linear=True)
def transpose(a: Variable, axes: Any = None) -> Variable:
    """Reorder the axes."""
    return a.transpose() if axes is None else a.transpose(tuple(int(n) % a.type.ndim for n in axes))


@variable_rule(np.matrix_transpose, np.linalg.matrix_transpose, arrays=("x",), linear=True)
def matrix_transpose(x: Variable) -> Variable:
    """Swap the last two axes."""
    return pt.swapaxes(x, -1, -2)


@variable_rule(np.swapaxes, linear=True)
def swapaxes(a: Variable, axis1: int, axis2: int) -> Variable:
    """Swap two axes."""
    order = list(range(a.type.ndim))
    order[axis1], order[axis2] = order[axis2], order[axis1]
    return a.transpose(tuple(order))


@variable_rule(np.moveaxis, linear=True)
def moveaxis(a: Variable, source: Any, destination: Any) -> Variable:
    """Move axes to other places."""
    return pt.moveaxis(a, source, destination)


@variable_rule(np.rollaxis, linear=True)
def rollaxis(a: Variable, axis: int, start: int = 0) -> Variable:
    """Move an axis before another one."""
    order = list(range(a.type.ndim))
    axis, start = axis % a.type.ndim, start + a.type.ndim if start < 0 else start
    order.remove(axis)
    order.insert(start - (axis < start), axis)
    return a.transpose(tuple(order))


@function_rule(np.reshape)
def reshape(a: Any, /, shape: Any, order: str = "C", *, copy: Any = None) -> Any:
    """Give an array another shape."""
    a = as_traced(a)
    if find_traced([shape]) is not None:
        refuse("the shape of an array depends on parameters")
    shadow = quietly(np.reshape, a, shape, order=order, copy=copy)
    if order in ("C", "A") and (order == "C" or not np.isfortran(np.asarray(shadow_of(a)))):
        return emit(shadow, lambda v: v.reshape(shadow.shape), a)
    return emit(shadow, lambda v: v.transpose().reshape(shadow.shape[::-1]).transpose(), a)


@function_rule(np.ravel)
def ravel(a: Any, order: str = "C") -> Any:
    """Return all elements in one row."""
    a = as_traced(a)
    shadow = quietly(np.ravel, a, order=order)
    plain = np.asarray(shadow_of(a))
    if order == "C" or (order in "AK" and plain.flags.c_contiguous):
        return emit(shadow, lambda v: v.reshape((plain.size,)), a)
    if order == "F" or plain.flags.f_contiguous:
        return emit(shadow, lambda v: v.transpose().reshape((plain.size,)), a)
    names = np.empty_like(plain, dtype=np.int64)
    names[...] = np.arange(plain.size).reshape(plain.shape)
    return emit(shadow, lambda v: gathered(v.reshape((plain.size,)), names.ravel(order=order)), a)


@variable_rule(np.squeeze, linear=True)
def squeeze(a: Variable, axis: Any = None) -> Variable:
    """Drop axes of length one."""
    axes = range(a.type.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    drop = {n % a.type.ndim for n in axes if axis is not None or a.type.shape[n] == 1}
    return a.dimshuffle([n for n in range(a.type.ndim) if n not in drop])


@variable_rule(np.expand_dims, linear=True)
def expand_dims(a: Variable, axis: Any) -> Variable:
    """Add axes of length one."""
    return pt.expand_dims(a, tuple(axis) if isinstance(axis, list | tuple) else axis)


@function_rule(np.broadcast_to)
def broadcast_to(array: Any, shape: Any, subok: bool = False) -> Any:
    """Repeat an array along new axes and axes of length one."""
    array = as_traced(array)
    if find_traced([shape]) is not None:
        refuse("the shape of an array depends on parameters")
    shadow = quietly(np.broadcast_to, array, shape)
    return emit(
        shadow, lambda v: v if v.type.shape == shadow.shape else pt.broadcast_to(v, shadow.shape), array
    )


@function_rule(np.broadcast_arrays)
def broadcast_arrays(*args: Any, subok: bool = False) -> Any:
    """Repeat arrays to a common shape."""
    arrays = [as_traced(item) for item in args]
    shape = np.broadcast_shapes(*(np.shape(shadow_of(item)) for item in arrays))
    return tuple(np.broadcast_to(item, shape) for item in arrays)


def _at_least(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*arys: Any) -> Any:
        results = []
        for item in arys:
            item = as_traced(item)
            if not is_traced(item):
                results.append(function(item))
                continue
            shadow = quietly(function, item)
            results.append(emit(shadow, lambda v, shape=shadow.shape: v.reshape(shape), item))
        return results[0] if len(results) == 1 else tuple(results)

    return call


for _function in (np.atleast_1d, np.atleast_2d, np.atleast_3d):
    function_rule(_function)(_at_least(_function))


@function_rule(np.roll)
def roll(a: Any, shift: Any, axis: Any = None) -> Any:
    """Shift elements along axes, those at the end to the front."""
    a = as_traced(a)
    if find_traced([shift]) is not None:
        refuse(
            "the shift of `np.roll` depends on parameters, and whole steps have no derivative",
            "Interpolate instead: `np.interp` or `classy_pm.ops.interp`.",
        )
    if axis is None or not np.isscalar(axis) or not np.isscalar(shift) or not a.shape[axis]:
        return moved(np.roll, a, shift, axis)
    cut = -int(shift) % a.shape[axis]
    before = (slice(None),) * (axis % a.ndim)
    if not cut:
        return a.copy()
    return np.concatenate([a[(*before, slice(cut, None))], a[(*before, slice(None, cut))]], axis=axis)


@function_rule(np.repeat)
def repeat(a: Any, repeats: Any, axis: Any = None) -> Any:
    """Repeat elements."""
    if find_traced([repeats]) is not None:
        refuse("the repeats of `np.repeat` depend on parameters, and with them the length")
    return moved(np.repeat, a, repeats, axis)


# Splitting


def _sections(a: Any, indices_or_sections: Any, axis: int, strict: bool) -> list[Any]:
    length = a.shape[axis]
    try:
        cuts = [int(n) for n in indices_or_sections]
    except TypeError:
        count = int(indices_or_sections)
        if strict and length % count:
            raise ValueError("array split does not result in an equal division") from None
        small, extra = divmod(length, count)
        sizes = [small + 1] * extra + [small] * (count - extra)
        cuts = [int(n) for n in np.cumsum(sizes)[:-1]]
    before = (slice(None),) * (axis % a.ndim)
    ends = [*cuts, length]
    return [a[(*before, slice(begin, end))] for begin, end in zip([0, *cuts], ends, strict=True)]


@function_rule(np.array_split)
def array_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    """Split an array into nearly equal pieces."""
    return _sections(ary, indices_or_sections, axis, strict=False)


@function_rule(np.split)
def split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    """Split an array into equal pieces, or at places."""
    return _sections(ary, indices_or_sections, axis, strict=True)


@function_rule(np.hsplit)
def hsplit(ary: Any, indices_or_sections: Any) -> list[Any]:
    """Split along the second axis, or the only one."""
    return _sections(ary, indices_or_sections, min(1, ary.ndim - 1), strict=True)


@function_rule(np.vsplit)
def vsplit(ary: Any, indices_or_sections: Any) -> list[Any]:
    """Split along the first axis."""
    return _sections(ary, indices_or_sections, 0, strict=True)


@function_rule(np.dsplit)
def dsplit(ary: Any, indices_or_sections: Any) -> list[Any]:
    """Split along the third axis."""
    return _sections(ary, indices_or_sections, 2, strict=True)


@function_rule(np.unstack)
def unstack(x: Any, /, *, axis: int = 0) -> tuple[Any, ...]:
    """Return the pieces along an axis."""
    return tuple(np.moveaxis(x, axis, 0)[n] for n in range(x.shape[axis]))
