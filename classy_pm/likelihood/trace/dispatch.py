"""From a NumPy call with traced operands to a node of the graph.

The two protocols end here: `call_ufunc` for NEP 13, `call_function` for NEP 18, `call_operator` for
Python's own operators. Each computes the shadow with NumPy, casts the variables to the dtypes of
the loop that NumPy chose, and builds the node by the rule of the registry.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from types import NoneType
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from classy_pm.likelihood.trace import registry
from classy_pm.likelihood.trace.array import PYTHON_NUMBERS, TracedArray, is_constant, is_traced
from classy_pm.likelihood.trace.complexes import Pair
from classy_pm.likelihood.trace.session import Session
from classy_pm.likelihood.trace.sums import continued_sum
from classy_pm.likelihood.trace.trying import check_division
from classy_pm.likelihood.trace.words import refuse
from classy_pm.likelihood.trace.wrapping import store, wrap, wrap_lazy


def find_traced(values: Iterable[Any], depth: int = 6) -> TracedArray | None:
    """Return the first traced value among nested lists, tuples and object arrays."""
    for value in values:
        if is_traced(value):
            return value
        if depth and isinstance(value, list | tuple):
            found = find_traced(value, depth - 1)
            if found is not None:
                return found
        if type(value) is np.ndarray and value.dtype == object:
            found = find_traced(value.ravel().tolist(), 0)
            if found is not None:
                return found
    return None


def unwrapped(value: Any) -> Any:
    """Return the traced value that a labelled or an object array of one element holds; others unchanged."""
    if is_traced(value):
        return value
    if type(value) is np.ndarray:
        return value.item() if value.dtype == object and value.size == 1 else value
    inside = getattr(value, "data", None)
    return inside if is_traced(inside) else value


def lift(value: Any) -> Any:
    """Return a list or tuple with traced values in it as one traced array; others unchanged."""
    if is_traced(value) or not isinstance(value, list | tuple | np.ndarray):
        return value
    if isinstance(value, np.ndarray):
        return _numbers_in(value) if value.dtype == object else value
    if find_traced(value) is None:
        return value
    items = [lift(item) for item in value]
    return np.stack([item if is_traced(item) else np.asarray(item) for item in items])


def _numbers_in(array: np.ndarray) -> Any:
    """Return an array of objects as a traced one, or as a plain one of numbers where it holds such."""
    if find_traced([array]) is not None:
        return lift(array.tolist())
    numbers = np.array(array.tolist())
    return numbers if numbers.dtype.kind in "biufc" and numbers.shape == array.shape else array


def shadow_of(value: Any) -> Any:
    """Return the value with shadows in place of traced values, in lists and tuples too."""
    if is_traced(value):
        return value._shadow
    if isinstance(value, list):
        return [shadow_of(item) for item in value]
    if type(value) is tuple:
        return tuple(shadow_of(item) for item in value)
    return value


def pair_of(session: Session, value: Any, dtype: np.dtype | None = None) -> Pair:
    """Return the variables of a traced or plain value, cast to a dtype."""
    if is_traced(value):
        pair = value.pair()
        if dtype is None:
            return pair
        part = str(np.empty(0, dtype).real.dtype)
        return Pair(*(None if p is None else _cast(p, part) for p in pair))
    if isinstance(value, np.ndarray) and type(value) not in (np.ndarray, np.memmap):
        from classy_pm.likelihood.trace.escapes import UNMASKED

        kind = type(value).__name__
        masked = isinstance(value, np.ma.MaskedArray)
        refuse(
            f"an array of the type `{kind}` is put together with a traced one, and what it adds to a plain "
            "array "
            "(masks, units, labels) has no place in a graph",
            UNMASKED if masked else "Give a plain array: `np.asarray(data)`.",
        )
    array = np.asarray(value, dtype=dtype)
    if array.dtype.kind == "c":
        return Pair(session.constant(array.real), session.constant(array.imag))
    return Pair(session.constant(array))


def _cast(variable: TensorVariable, dtype: str) -> TensorVariable:
    return variable if variable.type.dtype == dtype else pt.cast(variable, dtype)


def _kind(value: Any) -> Any:
    """Return what `ufunc.resolve_dtypes` wants for an operand: a dtype or a Python number's type."""
    value = shadow_of(value)
    if type(value) in (int, float, complex):
        return type(value)
    return np.asarray(value).dtype


def knows(operands: Iterable[Any]) -> bool:
    """Whether operands are of kinds that are recorded here; another kind's own methods are asked instead."""
    return not any(getattr(type(item), "_selects", False) for item in operands)


def folded(session: Session, shadow: Any, sources: tuple[TracedArray, ...] = ()) -> TracedArray:
    """Return a traced value that does not depend on any input."""
    return wrap(session, pair_of(session, shadow), shadow, sources)


# NEP 13


def call_ufunc(ufunc: np.ufunc, method: str, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Record the call of a ufunc or of one of its methods."""
    registry.load()
    rule = registry.UFUNCS.get(ufunc)
    if rule is None or rule.build is None:
        note = f": {rule.note}" if rule is not None and rule.note else ""
        refuse(
            f"`{ufunc.__name__.lstrip(chr(95))}` has no equivalent in a graph{note}",
            rule.cure if rule is not None else None,
        )
    if method != "__call__":
        from classy_pm.likelihood.trace.methods import call_method

        return call_method(ufunc, method, inputs, kwargs)
    out = kwargs.pop("out", None)
    where = kwargs.pop("where", True)
    kwargs = {key: value for key, value in kwargs.items() if key not in ("order", "subok", "casting")}
    unknown = set(kwargs) - {"dtype"}
    if unknown and ufunc.signature is None:
        refuse(f"the argument `{unknown.pop()}` of `{ufunc.__name__}` has no equivalent in a graph")
    if ufunc.signature is not None and kwargs:
        from classy_pm.likelihood.trace.products import call_with_axes

        result = call_with_axes(ufunc, inputs, kwargs)
    else:
        result = record_ufunc(ufunc, rule, tuple(lift(item) for item in inputs), kwargs.get("dtype"))
    if out is None and where is True:
        return result
    return _into(ufunc, result, out, where)


def _into(ufunc: np.ufunc, result: Any, out: Any, where: Any) -> Any:
    if out is None:
        refuse(
            f"`{ufunc.__name__}` with `where=` and without `out=` leaves elements that were never set",
            f"Write `np.where(condition, np.{ufunc.__name__}(...), other)`.",
        )
    results = result if isinstance(result, tuple) else (result,)
    targets = out if isinstance(out, tuple) else (out,)
    written = []
    for value, target in zip(results, targets, strict=True):
        if target is None:
            written.append(value)
            continue
        if where is not True:
            value = np.where(where, value, target)
        written.append(assign(target, value))
    return written[0] if len(written) == 1 else tuple(written)


def assign(target: Any, value: Any) -> Any:
    """Write a value into a whole array, as `out=` does, and return the array."""
    if not is_traced(target):
        from classy_pm.likelihood.trace.escapes import write_into_plain

        return write_into_plain(target, value)
    if not isinstance(target._shadow, np.ndarray):
        raise TypeError("return arrays must be of ArrayType")
    shadow = shadow_of(value)
    with np.errstate(all="ignore"):
        np.copyto(target._shadow, shadow, casting="same_kind")
    pair = pair_of(target._session, value, target._shadow.dtype)
    shape = target._shadow.shape
    store(target, Pair(*(None if p is None else spread(p, shape) for p in pair)))
    return target


def spread(variable: TensorVariable, shape: tuple[int, ...]) -> TensorVariable:
    """Return a variable broadcast to a shape."""
    return variable if variable.type.shape == shape else pt.broadcast_to(variable, shape)


def record_ufunc(
    ufunc: np.ufunc, rule: registry.UfuncRule, inputs: tuple[Any, ...], dtype: Any = None
) -> Any:
    """Record the plain call of a ufunc."""
    shadows = tuple(shadow_of(item) for item in inputs)
    with np.errstate(all="ignore"):
        result = ufunc(*shadows) if dtype is None else ufunc(*shadows, dtype=dtype)
    return _record(ufunc, rule, inputs, result, dtype)


def _record(
    ufunc: np.ufunc, rule: registry.UfuncRule, inputs: tuple[Any, ...], result: Any, dtype: Any
) -> Any:
    traced = find_traced(inputs, 0)
    assert traced is not None
    session = traced._session
    kinds = tuple(_kind(item) for item in inputs)
    signature = {} if dtype is None else {"signature": (None,) * ufunc.nin + (np.dtype(dtype),) * ufunc.nout}
    none = (None,) * ufunc.nout
    try:
        loop = ufunc.resolve_dtypes(kinds + none, **signature)
    except TypeError:  # some ufuncs have no loop that a bare Python number leads to
        strong = tuple(np.dtype(kind) for kind in kinds)
        loop = ufunc.resolve_dtypes(strong + none, **signature)
    if all(is_constant(item) for item in inputs if is_traced(item)):
        return _each(result, lambda part, _: folded(session, part))
    pairs = [pair_of(session, item, kind) for item, kind in zip(inputs, loop, strict=False)]
    key = (ufunc, loop, *(part if part is None else id(part) for pair in pairs for part in pair))
    built = session.remember(key, lambda: _build(ufunc, rule, pairs, loop))
    return _each(result, lambda part, index: wrap(session, built[index], part))


def _build(
    ufunc: np.ufunc, rule: registry.UfuncRule, pairs: list[Pair], loop: tuple[np.dtype, ...]
) -> list[Pair]:
    if any(kind.kind == "c" for kind in loop):
        if rule.pairs is None:
            refuse(f"`{ufunc.__name__}` of a complex traced value has no equivalent in a graph")
        built = rule.pairs(*pairs)
    else:
        assert rule.build is not None
        built = rule.build(*(pair.real for pair in pairs))
    parts = [built] if isinstance(built, Pair) or not isinstance(built, tuple) else list(built)
    return [part if isinstance(part, Pair) else Pair(part) for part in parts]


def _each(result: Any, make: Callable[[Any, int], Any]) -> Any:
    if isinstance(result, tuple):
        return tuple(make(part, index) for index, part in enumerate(result))
    return make(result, 0)


# Python's operators

DIVISIONS = (np.true_divide, np.floor_divide, np.remainder, np.divmod)
OPERANDS = (*PYTHON_NUMBERS, np.ndarray, np.generic, list, tuple)


def call_operator(function: Callable[..., Any], ufunc: np.ufunc, *operands: Any) -> Any:
    """Record a Python operator; the result is a Python number where both operands are."""
    if not knows(operands) or any(isinstance(item, NoneType | str | dict | set | bytes) for item in operands):
        return NotImplemented
    operands = tuple(lift(item) for item in operands)
    shadows = tuple(shadow_of(item) for item in operands)
    if ufunc is np.add:
        partial = continued_sum(*operands)
        if partial is not None:
            session = find_traced(operands, 0)._session  # type: ignore[union-attr]
            return wrap_lazy(session, shadows[0] + shadows[1], partial)
    if not all(isinstance(item, PYTHON_NUMBERS) for item in shadows):
        if not all(isinstance(item, OPERANDS) for item in shadows):
            return NotImplemented
        return call_ufunc(ufunc, "__call__", operands, {})
    registry.load()
    if ufunc in DIVISIONS and is_traced(operands[1]):
        check_division(operands[1])
    try:
        result = function(*shadows)
    except (ZeroDivisionError, OverflowError, ValueError):
        result = complex("nan") if any(isinstance(item, complex) for item in shadows) else float("nan")
    if isinstance(result, complex) and not any(isinstance(item, complex) for item in shadows):
        result = float("nan")  # Python's root of a negative number; the graph gives NaN
    rule = registry.UFUNCS[ufunc]
    dtype = None
    if all(isinstance(item, int) for item in shadows):
        if ufunc is np.power and is_traced(operands[1]):
            refuse("an integer is raised to a traced integer power", "Make one of them a float.")
        operands = tuple(int(item) if isinstance(item, bool) else item for item in operands)
    return _record(ufunc, rule, operands, result, dtype)


# NEP 18


def call_function(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Record the call of an array function."""
    registry.load()
    rule = registry.FUNCTIONS.get(function)
    name = f"{function.__module__}.{function.__name__}"
    if rule is None or rule.build is None:
        note = f": {rule.note}" if rule is not None and rule.note else ""
        refuse(f"`{name}` has no equivalent in a graph{note}", rule.cure if rule is not None else None)
    kwargs = {key: value for key, value in kwargs.items() if not (key == "like" and value is None)}
    if not rule.arrays:
        return rule.build(*args, **kwargs)
    assert rule.signature is not None
    out = kwargs.pop("out", None)
    try:
        bound = rule.signature.bind(*args, **kwargs)
    except TypeError:
        accepted = set(rule.signature.parameters)
        extra = [key for key in kwargs if key not in accepted]
        if not extra:
            raise
        refuse(f"the argument `{extra[0]}` of `{name}` has no equivalent in a graph")
    arguments = dict(bound.arguments)
    result = record_function(function, rule, arguments, name, lambda: quietly(function, *args, **kwargs))
    return result if out is None else assign(out, result)


def record_function(
    function: Callable[..., Any],
    rule: registry.FunctionRule,
    arguments: dict[str, Any],
    name: str,
    shadow: Callable[[], Any],
) -> Any:
    """Record the call of an array function whose rule is written on variables."""
    assert rule.build is not None
    arrays = {key: lift(arguments[key]) for key in rule.arrays if arguments.get(key) is not None}
    static = {key: value for key, value in arguments.items() if key not in arrays}
    for key, value in static.items():
        if find_traced([value]) is not None:
            refuse(f"the argument `{key}` of `{name}` depends on parameters, and must not")
    sources = tuple(item for item in arrays.values() if is_traced(item))
    session = sources[0]._session
    result = shadow()
    if all(is_constant(item) for item in sources):
        return wrap_parts(result, lambda part, _: folded(session, part, sources))
    pairs = {key: pair_of(session, value) for key, value in arrays.items()}
    if all(pair.imaginary is None for pair in pairs.values()):
        built = rule.build(**{key: pair.real for key, pair in pairs.items()}, **static)
    elif rule.pairs is not None:
        built = rule.pairs(**pairs, **static)
    elif rule.linear:
        real = rule.build(**{key: pair.real for key, pair in pairs.items()}, **static)
        imaginary = rule.build(**{key: pair.imag() for key, pair in pairs.items()}, **static)
        built = _zip(real, imaginary)
    else:
        refuse(f"`{name}` of a complex traced value has no equivalent in a graph")
    parts = list(built) if isinstance(built, list | tuple) and not isinstance(built, Pair) else [built]
    parts = [part if isinstance(part, Pair) else Pair(part) for part in parts]
    return wrap_parts(result, lambda part, index: wrap(session, parts[index], part, sources))


def emit(shadow: Any, build: Callable[..., Any], *values: Any, dtype: Any = None) -> Any:
    """Record a linear function of arrays, real and imaginary part apart.

    Parameters
    ----------
    shadow : ndarray, number, or list or tuple of them
        What NumPy gave.
    build : callable
        Takes a variable for each value, returns a variable or a list of them.
    *values : TracedArray or array_like
        The operands.
    dtype : dtype, optional
        Cast all operands to it first.
    """
    sources = tuple(item for item in values if is_traced(item))
    session = sources[0]._session
    if all(is_constant(item) for item in sources):
        return wrap_parts(shadow, lambda part, _: folded(session, part, sources))
    pairs = [pair_of(session, value, dtype) for value in values]
    built = build(*(pair.real for pair in pairs))
    if any(pair.imaginary is not None for pair in pairs):
        built = _zip(built, build(*(pair.imag() for pair in pairs)))
    parts = list(built) if isinstance(built, list | tuple) and not isinstance(built, Pair) else [built]
    parts = [part if isinstance(part, Pair) else Pair(part) for part in parts]
    return wrap_parts(shadow, lambda part, index: wrap(session, parts[index], part, sources))


def quietly(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a plain function on shadows; what NumPy would warn of at this one point is no news."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return function(*shadow_of(args), **{key: shadow_of(value) for key, value in kwargs.items()})


def _zip(real: Any, imaginary: Any) -> Any:
    if isinstance(real, list | tuple):
        return [Pair(a, b) for a, b in zip(real, imaginary, strict=True)]
    return Pair(real, imaginary)


def wrap_parts(result: Any, make: Callable[[Any, int], Any]) -> Any:
    """Wrap one shadow, or each of a list or tuple of them, keeping the kind of container."""
    if isinstance(result, list | tuple):
        parts = [make(part, index) for index, part in enumerate(result)]
        if isinstance(result, list):
            return parts
        return type(result)(*parts) if hasattr(result, "_fields") else tuple(parts)
    return make(result, 0)
