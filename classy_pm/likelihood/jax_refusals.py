"""What JAX cannot trace, and where it would lose digits, told in sentences with the user's line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from classy_pm.errors import TraceError
from classy_pm.likelihood.trace.words import Place, is_user_file, place_of_error

__all__ = ["refusal", "require_double_precision", "single_precision_constants"]

# Of JAX's errors, by the name of the class: what was done in the user's code, and what to write instead.
WORDS = {
    "TracerBoolConversionError": (
        "`if`, `while`, `and`, `assert`, `min` or `max` asks about a value that depends on parameters"
    ),
    "TracerArrayConversionError": "a value that depends on parameters is turned into a NumPy array",
    "TracerIntegerConversionError": (
        "an integer that depends on parameters is used as an index of a list, a length or a range"
    ),
    "NonConcreteBooleanIndexError": (
        "an array is indexed by a mask that depends on parameters, so the length of the result does too"
    ),
    "ConcretizationTypeError": "a value that depends on parameters is turned into a plain number",
    "UnexpectedTracerError": "a value that was kept from an earlier call is used",
}
CURES = {
    "TracerBoolConversionError": (
        "Write `jnp.where(condition, a, b)` or `jax.lax.cond`; for an impossible point "
        "`jnp.where(condition, value, -jnp.inf)` instead of `raise FitException`."
    ),
    "TracerArrayConversionError": (
        "Write the function of jax.numpy, such as `jnp.exp` for `np.exp`, and "
        "`array = array.at[i].set(value)` for `array[i] = value`."
    ),
    "TracerIntegerConversionError": (
        "Index a jax.numpy array; lengths and ranges must not depend on parameters."
    ),
    "NonConcreteBooleanIndexError": "Write `jnp.where(mask, array, 0.0)` before a sum.",
    "ConcretizationTypeError": (
        "Keep it as it is: no `float`, `int` or `.item()`, and `jnp.exp` for `math.exp`; lengths must not "
        "depend on parameters."
    ),
    "UnexpectedTracerError": "Compute from the arguments alone, and keep nothing on the objects.",
}
NARROW = ("float32", "float16", "bfloat16")


def refusal(error: Exception) -> TraceError:
    """Return the refusal of a likelihood that worked with numbers, and failed with JAX's tracers."""
    if isinstance(error, TraceError):
        return error
    for kind in type(error).__mro__:
        if kind.__name__ in WORDS:
            return TraceError(
                f"JAX cannot trace this: {WORDS[kind.__name__]} ({place_of_error(error)}).",
                cure=CURES[kind.__name__],
            )
    return TraceError(
        f"The likelihood stopped with {type(error).__name__} while JAX traced it: {error} "
        f"({place_of_error(error)})."
    )


def require_double_precision(closed: Any) -> None:
    """Refuse a function of JAX that rounds what depends on its arguments to fewer digits.

    Parameters
    ----------
    closed : jax.extend.core.ClosedJaxpr
        The function as JAX has traced it.

    Raises
    ------
    TraceError
        Names the user's line.
    """
    for equation in _narrowing(closed.jaxpr, set(closed.jaxpr.invars)):
        raise TraceError(
            f"The likelihood is rounded to {equation.params['new_dtype']} ({_place(equation)}): of a log "
            "density so few digits are noise.",
            cure="Leave out `dtype=jnp.float32`, `.astype(jnp.float32)` and the like; classy_pm has JAX "
            "compute in float64.",
        )


def single_precision_constants(closed: Any) -> list[str]:
    """Return the shapes, as text, of JAX's arrays of float32 that a function has inside."""
    return [
        str(np.shape(constant))
        for constant in _constants(closed)
        # NumPy's arrays have the precision that the user gave them; JAX's have what its setting gave.
        if not isinstance(constant, np.ndarray | np.generic | float | int)
        and str(getattr(constant, "dtype", "")) in NARROW
    ]


def _inner(equation: Any) -> Iterator[Any]:
    """Yield the functions inside of an equation: of `jit`, `scan`, `cond` and others."""
    for value in equation.params.values():
        for item in value if isinstance(value, tuple | list) else (value,):
            if hasattr(item, "jaxpr") or hasattr(item, "eqns"):
                yield item


def _narrowing(jaxpr: Any, dependent: set[Any]) -> Iterator[Any]:
    """Yield the equations that convert float64, where it depends on arguments, to less."""
    for equation in jaxpr.eqns:
        touched = [not hasattr(item, "val") and item in dependent for item in equation.invars]
        if not any(touched):
            continue
        dependent.update(equation.outvars)
        if equation.primitive.name == "convert_element_type":
            wide = str(equation.invars[0].aval.dtype) == "float64"
            if wide and str(equation.params["new_dtype"]) in NARROW:
                yield equation
        for item in _inner(equation):
            inner = getattr(item, "jaxpr", item)
            yield from _narrowing(inner, _arguments(equation, inner, touched))


def _arguments(equation: Any, inner: Any, touched: Sequence[bool]) -> set[Any]:
    """Return which arguments of an inner function depend on those of the outer one."""
    count = len(inner.invars)
    if equation.primitive.name == "while" or count > len(touched):
        return set(inner.invars)
    return {item for item, is_touched in zip(inner.invars, touched[-count:], strict=True) if is_touched}


def _constants(closed: Any) -> Iterator[Any]:
    yield from getattr(closed, "consts", ())
    for equation in getattr(closed, "jaxpr", closed).eqns:
        yield from (item.val for item in equation.invars if hasattr(item, "val") and np.ndim(item.val))
        for item in _inner(equation):
            yield from _constants(item)


def _place(equation: Any) -> Place:
    traceback = equation.source_info.traceback
    for frame in traceback.frames if traceback is not None else ():
        if is_user_file(frame.file_name):
            return Place(frame.file_name, frame.line_num, frame.function_name)
    return Place("<unknown>", 0, "<unknown>")
