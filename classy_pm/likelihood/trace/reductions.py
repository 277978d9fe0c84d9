"""Reductions along axes: sums, means, extremes, cumulative sums."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from classy_pm.likelihood.trace.array import is_traced
from classy_pm.likelihood.trace.dispatch import assign, call_ufunc, emit, lift, quietly, shadow_of
from classy_pm.likelihood.trace.registry import function_rule, variable_rule
from classy_pm.likelihood.trace.ufuncs import truth
from classy_pm.likelihood.trace.words import refuse

Variable = TensorVariable
NO = np._NoValue  # type: ignore[attr-defined]


def given(**options: Any) -> dict[str, Any]:
    """Return the options that were given: neither None nor NumPy's mark of absence."""
    return {key: value for key, value in options.items() if value is not None and value is not NO}


def as_traced(a: Any) -> Any:
    """Return lists with traced values as one traced array, plain sequences as arrays."""
    a = lift(a)
    return a if is_traced(a) else np.asarray(a)


def chosen_axes(axis: Any, ndim: int) -> tuple[int, ...]:
    """Return the axes, none negative, that an `axis` argument means."""
    if axis is None or axis is NO:
        return tuple(range(ndim))
    axes = axis if isinstance(axis, tuple | list) else (axis,)
    return tuple(int(a) % ndim if ndim else 0 for a in axes)


def _finish(result: Any, out: Any) -> Any:
    return result if out is None or out is NO else assign(out, result)


def _masked(a: Any, where: Any, neutral: Any) -> Any:
    return a if where is True or where is NO or where is None else np.where(where, a, neutral)


@function_rule(np.sum)
def sum_(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: Any = NO,
    initial: Any = NO,
    where: Any = NO,
) -> Any:
    """Return the sum along axes."""
    a = as_traced(_masked(as_traced(a), where, 0))
    options = given(keepdims=keepdims, dtype=dtype)
    shadow = quietly(np.sum, a, axis=axis, **options)
    axes, keep = chosen_axes(axis, np.ndim(shadow_of(a))), bool(options.get("keepdims"))
    kind = np.asarray(shadow).dtype
    result = emit(shadow, lambda v: _total(v, axes, keep), a, dtype=kind)
    if initial is not NO and initial is not None:
        result = result + initial
    return _finish(result, out)


def _total(variable: Variable, axes: tuple[int, ...], keepdims: bool) -> Variable:
    if not axes:
        return variable
    return pt.sum(variable, axis=axes if len(axes) < variable.type.ndim else None, keepdims=keepdims)


@function_rule(np.prod)
def prod(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: Any = NO,
    initial: Any = NO,
    where: Any = NO,
) -> Any:
    """Return the product along axes."""
    a = as_traced(_masked(as_traced(a), where, 1))
    options = given(keepdims=keepdims, dtype=dtype)
    shadow = quietly(np.prod, a, axis=axis, **options)
    if np.asarray(shadow).dtype.kind == "c":
        result = fold(np.multiply, a, axis, bool(options.get("keepdims")))
    else:
        axes, keep = chosen_axes(axis, np.ndim(shadow_of(a))), bool(options.get("keepdims"))
        result = emit(
            shadow, lambda v: pt.prod(v, axis=axes, keepdims=keep), a, dtype=np.asarray(shadow).dtype
        )
    if initial is not NO and initial is not None:
        result = result * initial
    return _finish(result, out)


def fold(ufunc: np.ufunc, array: Any, axis: Any, keepdims: bool) -> Any:
    """Reduce by any ufunc: pairs of halves where it is associative, else one after another."""
    shape = np.shape(shadow_of(array))
    axes = chosen_axes(axis, len(shape))
    associative = ufunc in (
        np.multiply,
        np.maximum,
        np.minimum,
        np.fmax,
        np.fmin,
        np.logaddexp,
        np.logaddexp2,
        np.bitwise_and,
        np.bitwise_or,
        np.bitwise_xor,
        np.logical_xor,
        np.hypot,
    )
    for place in axes:
        count = shape[place]
        if not count:
            raise ValueError(f"zero-size array to reduction operation {ufunc.__name__} which has no identity")
        if not associative:
            items = [np.take(array, [n], axis=place) for n in range(count)]
            result = items[0]
            for item in items[1:]:
                result = ufunc(result, item)
            array = result
            continue
        while count > 1:
            half = count // 2
            joined = ufunc(
                np.take(array, np.arange(half), axis=place),
                np.take(array, np.arange(half, 2 * half), axis=place),
            )
            if count % 2:
                joined = np.concatenate([joined, np.take(array, [count - 1], axis=place)], axis=place)
            array, count = joined, half + count % 2
    return array if keepdims else np.squeeze(array, axis=axes)


@function_rule(np.mean)
def mean(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = NO, *, where: Any = NO
) -> Any:
    """Return the mean along axes."""
    a = as_traced(a)
    options = given(keepdims=keepdims)
    kind = quietly(np.mean, a, axis=axis, **given(dtype=dtype)).dtype if dtype is not None else None
    if where is not NO and where is not True:
        count = np.sum(np.broadcast_to(where, np.shape(shadow_of(a))), axis=axis, **options)
        return _finish(np.sum(a, axis=axis, where=where, **options) / count, out)
    shadow = quietly(np.mean, a, axis=axis, **options, **given(dtype=dtype))
    axes, keep = chosen_axes(axis, np.ndim(shadow_of(a))), bool(options.get("keepdims"))
    count = int(np.prod([np.shape(shadow_of(a))[n] for n in axes], dtype=int))
    kind = np.asarray(shadow).dtype

    def build(variable: Variable) -> Variable:
        return _total(variable, axes, keep) / np.asarray(count, variable.type.dtype)

    return _finish(emit(shadow, build, a, dtype=kind), out)


def _variance(a: Any, axis: Any, ddof: float, keepdims: Any, where: Any, mean: Any, correction: Any) -> Any:
    a = as_traced(a)
    ddof = ddof if correction is NO else correction
    if where is not NO and where is not True:
        where = np.broadcast_to(where, np.shape(shadow_of(a)))
        count = np.sum(where, axis=axis, **given(keepdims=keepdims))
    else:
        axes = chosen_axes(axis, np.ndim(shadow_of(a)))
        count = int(np.prod([np.shape(shadow_of(a))[n] for n in axes], dtype=int))
    centre = np.mean(a, axis=axis, keepdims=True, **given(where=where)) if mean is NO else mean
    away = a - centre
    squares = np.square(away)
    if shadow_of(away).dtype.kind == "c":
        squares = np.square(np.real(away)) + np.square(np.imag(away))
    total = np.sum(squares, axis=axis, **given(keepdims=keepdims, where=where))
    left = np.maximum(count - ddof, 0)
    return total / left


@function_rule(np.var)
def var(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    ddof: float = 0,
    keepdims: Any = NO,
    *,
    where: Any = NO,
    mean: Any = NO,
    correction: Any = NO,
) -> Any:
    """Return the variance along axes."""
    a = as_traced(a) if dtype is None else as_traced(a).astype(dtype)
    return _finish(_variance(a, axis, ddof, keepdims, where, mean, correction), out)


@function_rule(np.std)
def std(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    ddof: float = 0,
    keepdims: Any = NO,
    *,
    where: Any = NO,
    mean: Any = NO,
    correction: Any = NO,
) -> Any:
    """Return the standard deviation along axes."""
    a = as_traced(a) if dtype is None else as_traced(a).astype(dtype)
    return _finish(np.sqrt(_variance(a, axis, ddof, keepdims, where, mean, correction)), out)


def _extreme(function: Callable[..., Any], build: Callable[..., Any], ufunc: np.ufunc) -> Callable[..., Any]:
    def call(
        a: Any, axis: Any = None, out: Any = None, keepdims: Any = NO, initial: Any = NO, where: Any = NO
    ) -> Any:
        a = as_traced(a)
        if where is not NO and where is not True:
            a = np.where(where, a, initial)
        shadow = quietly(function, a, axis=axis, **given(keepdims=keepdims))
        if np.asarray(shadow).dtype.kind == "c":
            refuse(f"`np.{function.__name__}` of complex traced values has no equivalent in a graph")
        axes, keep = chosen_axes(axis, np.ndim(shadow_of(a))), keepdims is not NO and bool(keepdims)
        result = emit(shadow, lambda v: _extremes(v, build, axes, keep), a)
        if initial is not NO and initial is not None:
            result = ufunc(result, initial)
        return _finish(result, out)

    return call


def _extremes(
    variable: Variable, build: Callable[..., Any], axes: tuple[int, ...], keepdims: bool
) -> Variable:
    if not axes:
        return variable
    if variable.type.dtype == "bool":
        build = pt.any if build is pt.max else pt.all
    return build(variable, axis=axes, keepdims=keepdims)


function_rule(np.max, np.amax)(_extreme(np.max, pt.max, np.maximum))
function_rule(np.min, np.amin)(_extreme(np.min, pt.min, np.minimum))


@function_rule(np.ptp)
def ptp(a: Any, axis: Any = None, out: Any = None, keepdims: Any = NO) -> Any:
    """Return the range along axes."""
    options = given(keepdims=keepdims)
    return _finish(np.max(a, axis=axis, **options) - np.min(a, axis=axis, **options), out)


def _truths(function: Callable[..., Any], build: Callable[..., Any], neutral: bool) -> Callable[..., Any]:
    def call(a: Any, axis: Any = None, out: Any = None, keepdims: Any = NO, *, where: Any = NO) -> Any:
        a = _masked(as_traced(a), where, neutral)
        shadow = quietly(function, a, axis=axis, **given(keepdims=keepdims))
        axes, keep = chosen_axes(axis, np.ndim(shadow_of(a))), keepdims is not NO and bool(keepdims)
        a = np.not_equal(a, 0) if shadow_of(a).dtype != bool else a
        return _finish(
            emit(shadow, lambda v: build(truth(v), axis=axes, keepdims=keep) if axes else v, a), out
        )

    return call


function_rule(np.any)(_truths(np.any, pt.any, False))
function_rule(np.all)(_truths(np.all, pt.all, True))


@function_rule(np.count_nonzero)
def count_nonzero(a: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    """Return how many elements are not zero."""
    return np.sum(np.not_equal(as_traced(a), 0), axis=axis, keepdims=keepdims)


def _argument(function: Callable[..., Any], build: Callable[..., Any]) -> Callable[..., Any]:
    def call(a: Any, axis: Any = None, out: Any = None, *, keepdims: Any = NO) -> Any:
        a = as_traced(a)
        shadow = quietly(function, a, axis=axis, **given(keepdims=keepdims))
        keep = keepdims is not NO and bool(keepdims)
        if keep and axis is None:
            refuse(
                f"`np.{function.__name__}` over all axes with `keepdims=True` has no equivalent in a graph"
            )
        kind = np.int64 if shadow_of(a).dtype == bool else shadow_of(a).dtype
        return _finish(emit(shadow, lambda v: build(v, axis=axis, keepdims=keep), a, dtype=kind), out)

    return call


function_rule(np.argmax, note="its derivative is zero")(_argument(np.argmax, pt.argmax))
function_rule(np.argmin, note="its derivative is zero")(_argument(np.argmin, pt.argmin))


def _cumulative(function: Callable[..., Any], build: Callable[..., Any]) -> Callable[..., Any]:
    def call(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
        a = as_traced(a)
        shadow = quietly(function, a, axis=axis, **given(dtype=dtype))
        if shadow.dtype.kind == "c" and function is np.cumprod:
            return call_ufunc(np.multiply, "accumulate", (np.ravel(a) if axis is None else a, axis or 0), {})
        return _finish(emit(shadow, lambda v: build(v, axis=axis), a, dtype=shadow.dtype), out)

    return call


function_rule(np.cumsum)(_cumulative(np.cumsum, pt.cumsum))
function_rule(np.cumprod)(_cumulative(np.cumprod, pt.cumprod))


def _cumulative_of_array_api(function: Callable[..., Any], start: float) -> Callable[..., Any]:
    def call(
        x: Any, /, *, axis: Any = None, dtype: Any = None, out: Any = None, include_initial: bool = False
    ) -> Any:
        result = function(x, axis=0 if axis is None else axis, dtype=dtype)
        if include_initial:
            shape = list(result.shape)
            shape[0 if axis is None else axis] = 1
            result = np.concatenate(
                [np.full(shape, start, result.dtype), result], axis=0 if axis is None else axis
            )
        return _finish(result, out)

    return call


function_rule(np.cumulative_sum)(_cumulative_of_array_api(np.cumsum, 0))
function_rule(np.cumulative_prod)(_cumulative_of_array_api(np.cumprod, 1))


# Without NaNs


def _without(neutral: float, function: Callable[..., Any]) -> Callable[..., Any]:
    def call(a: Any, axis: Any = None, *args: Any, **kwargs: Any) -> Any:
        a = as_traced(a)
        return function(np.where(np.isnan(a), neutral, a), axis, *args, **kwargs)

    return call


function_rule(np.nansum)(_without(0.0, np.sum))
function_rule(np.nanprod)(_without(1.0, np.prod))
function_rule(np.nancumsum)(_without(0.0, np.cumsum))
function_rule(np.nancumprod)(_without(1.0, np.cumprod))
function_rule(np.nanargmax)(_without(-np.inf, np.argmax))
function_rule(np.nanargmin)(_without(np.inf, np.argmin))


@function_rule(np.nanmax)
def nanmax(
    a: Any, axis: Any = None, out: Any = None, keepdims: Any = NO, initial: Any = NO, where: Any = NO
) -> Any:
    """Return the largest that is not NaN; NaN where all are."""
    a = as_traced(a)
    empty = np.all(np.isnan(a), axis=axis, **given(keepdims=keepdims))
    best = np.max(np.where(np.isnan(a), -np.inf, a), axis, None, keepdims, initial, where)
    return _finish(np.where(empty, np.nan, best)[()], out)


@function_rule(np.nanmin)
def nanmin(
    a: Any, axis: Any = None, out: Any = None, keepdims: Any = NO, initial: Any = NO, where: Any = NO
) -> Any:
    """Return the smallest that is not NaN; NaN where all are."""
    a = as_traced(a)
    empty = np.all(np.isnan(a), axis=axis, **given(keepdims=keepdims))
    best = np.min(np.where(np.isnan(a), np.inf, a), axis, None, keepdims, initial, where)
    return _finish(np.where(empty, np.nan, best)[()], out)


@function_rule(np.nanmean)
def nanmean(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = NO, *, where: Any = NO
) -> Any:
    """Return the mean of what is not NaN."""
    a = as_traced(a)
    use = ~np.isnan(a) if where is NO else np.logical_and(where, ~np.isnan(a))
    return np.mean(a, axis, dtype, out, keepdims, where=use)


@function_rule(np.nanvar)
def nanvar(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    ddof: float = 0,
    keepdims: Any = NO,
    **kwargs: Any,
) -> Any:
    """Return the variance of what is not NaN."""
    return np.var(a, axis, dtype, out, ddof, keepdims, where=~np.isnan(as_traced(a)), **kwargs)


@function_rule(np.nanstd)
def nanstd(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    ddof: float = 0,
    keepdims: Any = NO,
    **kwargs: Any,
) -> Any:
    """Return the standard deviation of what is not NaN."""
    return np.std(a, axis, dtype, out, ddof, keepdims, where=~np.isnan(as_traced(a)), **kwargs)


@function_rule(np.average)
def average(
    a: Any, axis: Any = None, weights: Any = None, returned: bool = False, *, keepdims: Any = NO
) -> Any:
    """Return the weighted mean along axes."""
    a, options = as_traced(a), given(keepdims=keepdims)
    shape = np.shape(shadow_of(a))
    if weights is None:
        result = np.mean(a, axis, **options)
        axes = chosen_axes(axis, len(shape))
        total: Any = float(np.prod([shape[n] for n in axes]))
    else:
        weights = as_traced(weights)
        wide = np.shape(shadow_of(weights))
        if wide != shape:
            quietly(np.average, a, axis=axis, weights=weights)  # NumPy's own errors
            axes = chosen_axes(axis, len(shape))
            order = np.argsort(axes)
            weights = np.reshape(
                np.transpose(weights, order), tuple(shape[n] if n in axes else 1 for n in range(len(shape)))
            )
        total = np.sum(np.broadcast_to(weights, shape), axis=axis, **options)
        result = np.sum(a * weights, axis=axis, **options) / total
    return (result, np.broadcast_to(total, np.shape(shadow_of(result)))) if returned else result


@variable_rule(np.i0, arrays=("x",))
def i0(x: Variable) -> Variable:
    """Return the modified Bessel function of order 0."""
    return pt.i0(x)
