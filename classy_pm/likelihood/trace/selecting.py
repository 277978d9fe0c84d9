"""Functions that choose among values, element by element."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytensor.tensor as pt

from classy_pm.likelihood.trace.array import TracedArray, is_traced
from classy_pm.likelihood.trace.complexes import Pair
from classy_pm.likelihood.trace.dispatch import (
    assign,
    find_traced,
    folded,
    lift,
    pair_of,
    quietly,
    shadow_of,
    spread,
)
from classy_pm.likelihood.trace.reductions import NO, as_traced
from classy_pm.likelihood.trace.registry import function_rule
from classy_pm.likelihood.trace.ufuncs import truth
from classy_pm.likelihood.trace.words import refuse
from classy_pm.likelihood.trace.wrapping import wrap


@function_rule(np.where)
def where(condition: Any, x: Any = None, y: Any = None, /) -> Any:
    """Return x where the condition is true, y elsewhere."""
    condition = lift(condition)
    if x is None and y is None:
        return np.nonzero(condition)
    x, y = lift(x), lift(y)
    operands = (condition, x, y)
    shadow = quietly(np.where, *operands)
    traced = find_traced(operands, 0)
    assert traced is not None
    if all(not is_traced(item) or _constant(item) for item in operands):
        return folded(traced._session, shadow)
    if not is_traced(condition):
        if np.all(condition):
            return _like(x, shadow)
        if not np.any(condition):
            return _like(y, shadow)
    session = traced._session
    pick = truth(pair_of(session, condition).real)
    a, b = pair_of(session, x, shadow.dtype), pair_of(session, y, shadow.dtype)
    imaginary = None
    if a.imaginary is not None or b.imaginary is not None:
        imaginary = spread(pt.switch(pick, a.imag(), b.imag()), shadow.shape)
    return wrap(session, Pair(spread(pt.switch(pick, a.real, b.real), shadow.shape), imaginary), shadow)


def _constant(item: TracedArray) -> bool:
    from classy_pm.likelihood.trace.array import is_constant

    return is_constant(item)


def _like(value: Any, shadow: np.ndarray) -> Any:
    if not is_traced(value):
        return np.array(np.broadcast_to(np.asarray(value, shadow.dtype), shadow.shape))
    pair = pair_of(value._session, value, shadow.dtype)
    pair = Pair(*(None if part is None else spread(part, shadow.shape) for part in pair))
    return wrap(value._session, pair, shadow)


@function_rule(np.select)
def select(condlist: Sequence[Any], choicelist: Sequence[Any], default: Any = 0) -> Any:
    """Return the choice of the first condition that is true."""
    shadow = quietly(np.select, list(condlist), list(choicelist), default)
    result: Any = default
    for condition, choice in zip(reversed(list(condlist)), reversed(list(choicelist)), strict=True):
        result = np.where(condition, choice, result)
    return np.broadcast_to(as_traced(result).astype(shadow.dtype), shadow.shape)


@function_rule(np.piecewise)
def piecewise(x: Any, condlist: Any, funclist: Sequence[Any], *args: Any, **kw: Any) -> Any:
    """Return, where a condition is true, what its function gives there.

    The functions get all elements, so they must work on each element by itself.
    """
    x = as_traced(x)
    if isinstance(condlist, bool | np.ndarray) or is_traced(condlist) or np.ndim(_first(condlist)) == 0:
        single = is_traced(condlist) or not isinstance(condlist, list | tuple)
        if not single and np.ndim(shadow_of(x)) != 0:
            single = True
        condlist = (
            [condlist]
            if single and not (np.ndim(shadow_of(condlist)) > np.ndim(shadow_of(x)))
            else list(condlist)
        )
    conditions = [as_traced(item) for item in condlist]
    functions = list(funclist)
    otherwise: Any = 0
    if len(functions) == len(conditions) + 1:
        otherwise = functions.pop()
    if len(functions) != len(conditions):
        raise ValueError(
            f"with {len(conditions)} condition(s), either {len(conditions)} or one more functions are "
            "expected"
        )

    def value(function: Any) -> Any:
        return function(x, *args, **kw) if callable(function) else function

    dtype, shape = x.dtype, np.shape(shadow_of(x))
    result = np.where(True, value(otherwise), np.zeros(shape))
    for condition, function in zip(conditions, functions, strict=True):
        result = np.where(condition, value(function), result)  # the last condition that is true wins
    result = np.broadcast_to(as_traced(result), shape)
    return result.astype(dtype)


def _first(values: Any) -> Any:
    first = values[0] if len(values) else values
    return shadow_of(first)


@function_rule(np.clip)
def clip(
    a: Any, a_min: Any = NO, a_max: Any = NO, out: Any = None, *, min: Any = NO, max: Any = NO, **kwargs: Any
) -> Any:
    """Limit values to an interval."""
    low = a_min if min is NO else min
    high = a_max if max is NO else max
    result = as_traced(a)
    if low is not None and low is not NO:
        result = np.maximum(result, low)
    if high is not None and high is not NO:
        result = np.minimum(result, high)
    return result if out is None else assign(out, result)


@function_rule(np.choose)
def choose(a: Any, choices: Any, out: Any = None, mode: str = "raise") -> Any:
    """Return, for each index, the element of that choice."""
    index, options = as_traced(a), [as_traced(item) for item in choices]
    count = len(options)
    if mode == "wrap":
        index = np.mod(index, count)
    elif mode == "clip":
        index = np.clip(index, 0, count - 1)
    result = options[-1]
    for position in range(count - 1):
        result = np.where(np.equal(index, position), options[position], result)
    return result if out is None else assign(out, result)


@function_rule(np.nan_to_num)
def nan_to_num(x: Any, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None) -> Any:
    """Put numbers in the place of NaN and infinities."""
    x = as_traced(x)
    kind = np.asarray(shadow_of(x)).dtype
    if kind.kind == "c":
        parts = [
            np.nan_to_num(part, nan=nan, posinf=posinf, neginf=neginf) for part in (np.real(x), np.imag(x))
        ]
        return parts[0] + 1j * parts[1]
    if kind.kind != "f":
        return x.copy() if copy else x
    limits = np.finfo(kind)
    result = np.where(np.isnan(x), kind.type(nan), x)
    result = np.where(np.isposinf(x), kind.type(limits.max if posinf is None else posinf), result)
    result = np.where(np.isneginf(x), kind.type(limits.min if neginf is None else neginf), result)
    result = result if isinstance(shadow_of(x), np.ndarray) else result[()]
    return result if copy else assign(x, result)


@function_rule(np.isposinf)
def isposinf(x: Any, out: Any = None) -> Any:
    """Return whether a value is plus infinity."""
    result = np.equal(x, np.inf)
    return result if out is None else assign(out, result)


@function_rule(np.isneginf)
def isneginf(x: Any, out: Any = None) -> Any:
    """Return whether a value is minus infinity."""
    result = np.equal(x, -np.inf)
    return result if out is None else assign(out, result)


@function_rule(np.isclose)
def isclose(a: Any, b: Any, rtol: Any = 1e-5, atol: Any = 1e-8, equal_nan: bool = False) -> Any:
    """Return whether values are equal within tolerances."""
    a, b = lift(a), lift(b)
    near = np.less_equal(np.abs(np.subtract(a, b)), np.add(atol, np.multiply(rtol, np.abs(b))))
    result = np.logical_or(np.logical_and(near, np.isfinite(b)), np.equal(a, b))
    if equal_nan:
        result = np.logical_or(result, np.logical_and(np.isnan(a), np.isnan(b)))
    return result


@function_rule(np.allclose)
def allclose(a: Any, b: Any, rtol: Any = 1e-5, atol: Any = 1e-8, equal_nan: bool = False) -> Any:
    """Return whether all values are equal within tolerances."""
    return np.all(np.isclose(a, b, rtol, atol, equal_nan))


@function_rule(np.array_equal)
def array_equal(a1: Any, a2: Any, equal_nan: bool = False) -> Any:
    """Return whether two arrays have the same shape and elements."""
    a1, a2 = as_traced(a1), as_traced(a2)
    if np.shape(shadow_of(a1)) != np.shape(shadow_of(a2)):
        return False
    same = np.equal(a1, a2)
    if equal_nan:
        same = np.logical_or(same, np.logical_and(np.isnan(a1), np.isnan(a2)))
    return np.all(same)


@function_rule(np.array_equiv)
def array_equiv(a1: Any, a2: Any) -> Any:
    """Return whether two arrays are equal after broadcasting."""
    a1, a2 = as_traced(a1), as_traced(a2)
    try:
        np.broadcast_shapes(np.shape(shadow_of(a1)), np.shape(shadow_of(a2)))
    except ValueError:
        return False
    return np.all(np.equal(a1, a2))


@function_rule(np.iscomplex)
def iscomplex(x: Any) -> Any:
    """Return whether the imaginary part is not zero."""
    x = as_traced(x)
    if np.asarray(shadow_of(x)).dtype.kind != "c":
        return np.zeros(np.shape(shadow_of(x)), bool)[()]
    return np.not_equal(np.imag(x), 0)


@function_rule(np.isreal)
def isreal(x: Any) -> Any:
    """Return whether the imaginary part is zero."""
    x = as_traced(x)
    if np.asarray(shadow_of(x)).dtype.kind != "c":
        return np.ones(np.shape(shadow_of(x)), bool)[()]
    return np.equal(np.imag(x), 0)


@function_rule(np.real)
def real(val: Any) -> Any:
    """Return the real part."""
    val = lift(val)
    if val._shadow_dtype.kind != "c":
        return val
    return wrap(val._session, Pair(val.pair().real), np.real(val._shadow), (val,))


@function_rule(np.imag)
def imag(val: Any) -> Any:
    """Return the imaginary part."""
    val = lift(val)
    shadow = np.imag(val._shadow)
    if val._shadow_dtype.kind != "c":
        return folded(val._session, shadow)
    return wrap(val._session, Pair(val.pair().imag()), shadow, (val,))


@function_rule(np.angle)
def angle(z: Any, deg: bool = False) -> Any:
    """Return the argument of complex numbers."""
    z = lift(z)
    result = np.arctan2(np.imag(z), np.real(z))
    return np.degrees(result) if deg else result


@function_rule(np.real_if_close, note="the imaginary part is kept")
def real_if_close(a: Any, tol: Any = 100) -> Any:
    """Return real arrays as they are."""
    a = lift(a)
    if a._shadow_dtype.kind == "c":
        refuse(
            "`np.real_if_close` of a complex traced value would have a type that depends on parameters",
            "Write `.real`.",
        )
    return a


@function_rule(np.fix)
def fix(x: Any, out: Any = None) -> Any:
    """Round towards zero."""
    return np.trunc(lift(x)) if out is None else assign(out, np.trunc(lift(x)))


@function_rule(np.round, np.around)
def round_(a: Any, decimals: int = 0, out: Any = None) -> Any:
    """Round to decimals."""
    a = as_traced(a)
    if np.asarray(shadow_of(a)).dtype.kind in "iu" and decimals >= 0:
        result: Any = a
    elif decimals == 0:
        result = np.rint(a)
    else:
        factor = 10.0 ** abs(decimals)
        result = np.rint(a * factor) / factor if decimals > 0 else np.rint(a / factor) * factor
        result = (
            result.astype(np.asarray(quietly(np.round, a, decimals)).dtype)
            if hasattr(result, "astype")
            else result
        )
    return result if out is None else assign(out, result)


@function_rule(np.sinc)
def sinc(x: Any) -> Any:
    """Return sin(pi x) / (pi x)."""
    x = as_traced(x)
    y = np.pi * np.where(np.equal(x, 0), 1.0, x)
    result = np.where(np.equal(x, 0), 1.0 + 0.0 * x, np.sin(y) / y)
    return result if isinstance(shadow_of(x), np.ndarray) else result[()]
