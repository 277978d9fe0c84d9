"""Equivalents of functions that turn traced values into plain ones before anybody can intervene.

Each calls the original where no argument is traced.
"""

from __future__ import annotations

import builtins
import cmath
import math
from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np
import pytensor.tensor as pt

from classy_pm.likelihood.trace.array import TracedArray, is_traced
from classy_pm.likelihood.trace.complexes import Pair
from classy_pm.likelihood.trace.dispatch import find_traced, folded, lift, pair_of, unwrapped
from classy_pm.likelihood.trace.selection import isinstance_selection
from classy_pm.likelihood.trace.trying import check_domain
from classy_pm.likelihood.trace.words import refuse
from classy_pm.likelihood.trace.wrapping import copy_of, wrap


def converted(value: TracedArray, dtype: Any) -> TracedArray:
    """Return a traced array cast to a dtype, as `astype` does."""
    dtype = np.dtype(dtype)
    if value._shadow_dtype.kind == "c" and dtype.kind not in "cb":
        refuse("a complex traced value is made real", "Write `.real`.")
    with np.errstate(all="ignore"):
        shadow = np.asarray(value._shadow).astype(dtype)
    if not isinstance(value._shadow, np.ndarray):
        shadow = shadow[()]
    if dtype.kind == "b":
        return np.not_equal(value, 0)  # type: ignore[return-value]
    return wrap(value._session, pair_of(value._session, value, dtype), shadow)


def _keep_original(original: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Call the original where no positional argument is traced."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(original)
        def call(*args: Any, **kwargs: Any) -> Any:
            if find_traced(args) is None and find_traced(kwargs.values()) is None:
                return original(*args, **kwargs)
            return function(*args, **kwargs)

        return call

    return decorate


# NumPy


def as_array(obj: Any, dtype: Any = None, *, copy: bool | None = None, ndmin: int = 0, **ignored: Any) -> Any:
    """Return an array of a traced value, or of nested lists with traced values in them."""
    value = lift(obj)
    fresh = value is not obj
    if isinstance(value._shadow, np.ndarray):
        result = value
    else:
        result = wrap(value._session, value.pair(), np.asarray(value._shadow))
        fresh = True
    if dtype is not None and np.dtype(dtype) != result._shadow.dtype:
        result, fresh = converted(result, dtype), True
    if copy and not fresh:
        result = copy_of(result)
    if ndmin > result._shadow.ndim:
        result = result.reshape((1,) * (ndmin - result._shadow.ndim) + result._shadow.shape)
    return result


def as_buffer(array: Any) -> Any:
    """Return a fresh array as one into which traced values can be written, where that is wanted."""
    from classy_pm.likelihood.trace.session import current_session

    session = current_session()
    if session is None or not session.overlay.buffers or not isinstance(array, np.ndarray):
        return array
    return folded(session, array) if array.dtype.kind in "biufc" else array


def _fresh(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def call(*args: Any, **kwargs: Any) -> Any:
        return as_buffer(original(*args, **kwargs))

    return call


def _array(obj: Any, dtype: Any = None, *, copy: bool | None = True, **kwargs: Any) -> Any:
    if isinstance_selection(obj):
        return obj
    return as_array(obj, dtype, copy=copy, **kwargs)


def _asarray(obj: Any, dtype: Any = None, order: Any = None, **kwargs: Any) -> Any:
    return as_array(obj, dtype, copy=kwargs.get("copy"))


def _full(shape: Any, fill_value: Any, dtype: Any = None, order: str = "C", **ignored: Any) -> Any:
    value = lift(fill_value)
    if not is_traced(value):
        refuse("the shape of an array depends on parameters")
    kind = value._shadow_dtype if dtype is None else dtype
    return np.broadcast_to(converted(value, kind), shape).copy()


def _fromiter(iterable: Any, dtype: Any, count: int = -1, **ignored: Any) -> Any:
    items = list(iterable)
    return as_array(items if count < 0 else items[:count], dtype)


def _ndenumerate(array: Any) -> Any:
    array = lift(array)
    return ((place, array[place]) for place in np.ndindex(np.shape(array._shadow)))


def _nditer(op: Any, *settings: Any, **options: Any) -> Any:
    if settings or options:
        refuse("`np.nditer` with settings goes over a traced array", "Write `for value in array.ravel()`.")
    arrays = [
        as_array(item) if find_traced([item]) is not None else np.asarray(item)
        for item in (op if isinstance(op, list | tuple) else [op])
    ]
    flat = [np.ravel(item) for item in np.broadcast_arrays(*arrays)]
    return iter(flat[0]) if len(flat) == 1 else zip(*flat, strict=True)


def _passing_for(original: type) -> type:
    """Return a metaclass whose classes are the original to all who ask."""

    class Passing(type(original)):  # type: ignore[misc]
        def __instancecheck__(cls, instance: Any) -> bool:
            return isinstance(instance, original)

        def __subclasscheck__(cls, other: type) -> bool:
            return other is cls or issubclass(other, original)

        def __eq__(cls, other: object) -> bool:
            return other is cls or other is original

        def __hash__(cls) -> int:
            return hash(original)

    return Passing


def _scalar_type(original: type) -> type:
    """Return a class that makes traced numbers, and else is the original to all who ask."""

    class Meta(_passing_for(original)):  # type: ignore[misc]
        def __call__(cls, *args: Any, **kwargs: Any) -> Any:
            value = unwrapped(args[0]) if args else None
            if original is complex and find_traced(args, 0) is not None and len(args) == 2:
                return np.add(args[0], np.multiply(1j, args[1]))
            return _number(original, value) if is_traced(value) else original(*args, **kwargs)

    names = {"dtype": np.dtype(original), "__doc__": original.__doc__, "__module__": original.__module__}
    return Meta(original.__name__, (original,), names)


def _number(kind: type, value: TracedArray) -> Any:
    if kind in (float, int, complex):
        if np.size(value._shadow) != 1 or np.ndim(value._shadow):
            raise TypeError("only 0-dimensional arrays can be converted to Python scalars")
        if kind is int:
            value = np.trunc(value)  # type: ignore[call-overload]
            shadow: Any = int(value._shadow) if np.isfinite(value._shadow) else 0
        else:
            if kind is float and value._shadow_dtype.kind == "c":
                raise TypeError("float() argument must be a string or a real number, not 'complex'")
            shadow = kind(value._shadow)
        pair = pair_of(value._session, value, np.dtype(kind))
        return wrap(value._session, pair, shadow)
    return converted(value, kind)


def class_or(original: type, make: Callable[..., Any]) -> type:
    """Return a class that calls a function for traced arguments, and else is the original to all who ask."""

    class Meta(_passing_for(original)):  # type: ignore[misc]
        def __call__(cls, *args: Any, **kwargs: Any) -> Any:
            traced = find_traced([*args, *kwargs.values()])
            return (original if traced is None else make)(*args, **kwargs)

    return Meta(
        original.__name__, (original,), {"__doc__": original.__doc__, "__module__": original.__module__}
    )


def numpy_stand_ins() -> dict[Any, Any]:
    """Return equivalents of NumPy's functions that no protocol covers."""
    pairs: dict[Any, Any] = {np.array: _keep_original(_fresh(np.array))(_array)}
    for make in (np.zeros, np.ones, np.empty, np.arange, np.eye, np.identity):
        pairs[make] = _fresh(make)
    for name in ("asarray", "asanyarray", "ascontiguousarray", "asfortranarray", "asarray_chkfinite"):
        original = getattr(np, name)
        pairs[original] = _keep_original(original)(_asarray)
    pairs[np.fromiter] = _consuming(np.fromiter)(_fromiter)
    pairs[np.ndenumerate] = _keep_original(np.ndenumerate)(_ndenumerate)
    pairs[np.nditer] = _keep_original(np.nditer)(_nditer)
    pairs[np.full] = _keep_original(_fresh(np.full))(_full)
    for kind in (np.float64, np.float32, np.complex128, np.int64, np.int32):
        pairs[kind] = _scalar_type(kind)
    return pairs


# math


def _of_numbers(function: Callable[..., Any], name: str = "") -> Callable[..., Any]:
    """Return a Python number of what a NumPy function gives."""

    def call(*args: Any) -> Any:
        check_domain(name, args)
        for item in args:
            if is_traced(item) and np.ndim(item._shadow) and np.size(item._shadow) != 1:
                raise TypeError("only 0-dimensional arrays can be converted to Python scalars")
        result = function(*args)
        kind = {"b": bool, "i": int, "f": float}.get(
            np.asarray(getattr(result, "_shadow", result)).dtype.kind, float
        )
        if not is_traced(result) or isinstance(result._shadow, kind):
            return result
        return wrap(result._session, result.pair(), kind(result._shadow))

    return call


def _log(x: Any, base: Any = None) -> Any:
    return np.log(x) if base is None else np.log(x) / np.log(base)


def _rounded(name: str) -> Callable[..., Any]:
    return lambda x: getattr(x, f"__{name}__")()


def _dist(p: Any, q: Any) -> Any:
    return np.sqrt(np.sum(np.square(np.subtract(as_values(p), as_values(q)))))


def as_values(values: Any) -> Any:
    """Return a traced or plain array of a sequence."""
    values = values if is_traced(values) or isinstance(values, np.ndarray) else list(values)
    value = lift(values)
    return value if is_traced(value) else np.asarray(value)


def math_stand_ins() -> dict[Any, Any]:
    """Return equivalents of the functions of `math`."""
    import scipy.special

    same = (
        "sin",
        "cos",
        "tan",
        "sinh",
        "cosh",
        "tanh",
        "asinh",
        "acosh",
        "atanh",
        "asin",
        "acos",
        "atan",
        "atan2",
        "exp",
        "exp2",
        "expm1",
        "log1p",
        "log2",
        "log10",
        "sqrt",
        "cbrt",
        "fabs",
        "fmod",
        "copysign",
        "degrees",
        "radians",
        "isnan",
        "isinf",
        "isfinite",
        "isclose",
        "hypot",
        "pow",
        "ldexp",
        "modf",
        "frexp",
        "nextafter",
        "gcd",
        "lcm",
    )
    pairs = {name: getattr(np, name) for name in same}
    pairs["hypot"] = lambda *x: np.sqrt(sum(np.square(item) for item in x))
    pairs["isclose"] = lambda a, b, *, rel_tol=1e-9, abs_tol=0.0: np.less_equal(
        np.abs(np.subtract(a, b)), np.maximum(rel_tol * np.maximum(np.abs(a), np.abs(b)), abs_tol)
    )
    pairs.update(
        log=_log,
        gamma=scipy.special.gamma,
        lgamma=scipy.special.gammaln,
        erf=scipy.special.erf,
        erfc=scipy.special.erfc,
        fsum=lambda values: np.sum(as_values(values)),
        prod=lambda values, *, start=1: np.prod(as_values(values)) * start,
        dist=_dist,
        floor=_rounded("floor"),
        ceil=_rounded("ceil"),
        trunc=_rounded("trunc"),
    )
    containers = {"fsum", "prod", "dist", "floor", "ceil", "trunc", "modf", "frexp", "isclose"}
    result = {}
    for name, function in pairs.items():
        original = getattr(math, name)
        if name not in containers:
            function = _of_numbers(function, name)
        result[original] = _consuming(original)(function)
    return result


def cmath_stand_ins() -> dict[Any, Any]:
    """Return equivalents of the functions of `cmath`."""
    names = ("exp", "log10", "sqrt", "sin", "cos", "tan", "sinh", "cosh", "tanh")
    functions: dict[str, Callable[..., Any]] = {name: _of_complex(getattr(np, name)) for name in names}
    functions.update(
        log=lambda x, base=None: _of_complex(lambda z: _log(z, base))(x),
        phase=_of_numbers(lambda x: np.angle(np.add(x, 0j))),
        polar=lambda x: (abs(x), functions["phase"](x)),
        rect=lambda r, phi: _of_complex(np.multiply)(np.exp(np.multiply(1j, phi)), r),
    )
    return {
        getattr(cmath, name): _keep_original(getattr(cmath, name))(value) for name, value in functions.items()
    }


def _of_complex(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, *others: _number(complex, function(np.add(x, 0j), *others))


def _consuming(original: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Call the original where nothing is traced; iterators are read into lists first."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(original)
        def call(*args: Any, **kwargs: Any) -> Any:
            args = tuple(list(item) if hasattr(item, "__next__") else item for item in args)
            if find_traced(args) is None and find_traced(kwargs.values()) is None:
                return original(*args, **kwargs)
            return function(*args, **kwargs)

        return call

    return decorate


# Python


def _extreme(
    original: Callable[..., Any], better: Callable[[Any, Any], Any], over_array: Any
) -> Callable[..., Any]:
    @wraps(original)
    def call(*args: Any, **kwargs: Any) -> Any:
        if len(args) == 1 and hasattr(args[0], "__next__"):
            args = (list(args[0]),)
        if kwargs or find_traced(args, 1) is None:
            return original(*args, **kwargs)
        if len(args) == 1 and is_traced(args[0]):
            return over_array(args[0]) if np.ndim(args[0]._shadow) == 1 else original(*args)
        items = list(args[0]) if len(args) == 1 else list(args)
        if any(np.ndim(item._shadow if is_traced(item) else item) for item in items):
            return original(*args)
        result = items[0]
        for item in items[1:]:
            result = _chosen(better(item, result), item, result)
        return result

    return call


def _chosen(condition: Any, first: Any, second: Any) -> Any:
    """Return `first if condition else second` as one node, of the type that Python would give."""
    if not is_traced(condition):
        return first if condition else second
    chosen = first if condition._shadow else second
    shadow = chosen._shadow if is_traced(chosen) else chosen
    session = condition._session
    dtype = np.result_type(*(np.asarray(x._shadow if is_traced(x) else x).dtype for x in (first, second)))
    a, b = (pair_of(session, x, dtype) for x in (first, second))
    shadow = type(shadow)(shadow) if np.asarray(shadow).dtype == dtype else dtype.type(shadow)
    return wrap(session, Pair(pt.switch(condition.pair().real, a.real, b.real)), shadow)


def _truths(original: Callable[..., Any], ufunc: np.ufunc) -> Callable[..., Any]:
    @wraps(original)
    def call(iterable: Any) -> Any:
        if is_traced(iterable) and np.ndim(iterable._shadow) == 1:
            return ufunc.reduce(np.not_equal(iterable, 0))
        return original(iterable)

    return call


def python_stand_ins() -> dict[Any, Any]:
    """Return equivalents of Python's own functions."""
    return {
        builtins.max: _extreme(builtins.max, lambda a, b: a > b, np.max),
        builtins.min: _extreme(builtins.min, lambda a, b: a < b, np.min),
        builtins.any: _truths(builtins.any, np.logical_or),
        builtins.all: _truths(builtins.all, np.logical_and),
        float: _scalar_type(float),
        int: _scalar_type(int),
        complex: _scalar_type(complex),
    }
