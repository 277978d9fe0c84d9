"""Scalar operations as source code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from pytensor.graph.basic import Apply
from pytensor.scalar import basic as scalar

from classy_pm.graph.native.loops import SLOW, has_loop

__all__ = ["inline", "literal", "slow_function"]

_FLOATS: dict[type, Callable[..., str]] = {
    scalar.Add: lambda *args: " + ".join(args),
    scalar.Mul: lambda *args: " * ".join(args),
    scalar.Sub: lambda a, b: f"{a} - {b}",
    scalar.TrueDiv: lambda a, b: f"{a} / {b}",
    scalar.Neg: lambda a: f"-{a}",
    scalar.Sqr: lambda a: f"{a} * {a}",
    scalar.Reciprocal: lambda a: f"1.0 / {a}",
    scalar.Sqrt: lambda a: f"np.sqrt({a})",
    scalar.Abs: lambda a: f"abs({a})",
    scalar.Second: lambda a, b: b,
    scalar.Identity: lambda a: a,
    scalar.LT: lambda a, b: f"{a} < {b}",
    scalar.LE: lambda a, b: f"{a} <= {b}",
    scalar.GT: lambda a, b: f"{a} > {b}",
    scalar.GE: lambda a, b: f"{a} >= {b}",
    scalar.EQ: lambda a, b: f"{a} == {b}",
    scalar.NEQ: lambda a, b: f"{a} != {b}",
    scalar.IsNan: lambda a: f"{a} != {a}",
}


def inline(op: Any, node: Apply, args: Sequence[str]) -> str | None:
    """Return an operation as an expression, or None where a function has to be called.

    Only float64 is written out: for all other types numba's rules of promotion are not NumPy's.
    """
    op = getattr(op, "unguarded", op)  # a guard changes the gradient alone
    kinds = [item.type.dtype for item in node.inputs]
    result = node.outputs[0].type.dtype
    if isinstance(op, scalar.Switch) and kinds[0] == "bool" and kinds[1:] == [result, result]:
        return f"{args[1]} if {args[0]} else {args[2]}"
    if isinstance(op, scalar.Cast) and result == "float64" and kinds[0] in ("float64", "int64", "bool"):
        return f"np.float64({args[0]})"
    if any(kind != "float64" for kind in kinds) or result not in ("float64", "bool"):
        return None
    write = _FLOATS.get(type(op))
    return None if write is None else write(*args)


def slow_function(op: Any, node: Apply) -> str | None:
    """Return the name of the NumPy loop that computes an operation for a whole array, or None."""
    spec = getattr(op, "nfunc_spec", None)
    if spec is None or spec[0] not in SLOW:
        return None
    if any(item.type.dtype != "float64" for item in (*node.inputs, *node.outputs)):
        return None
    return spec[0] if has_loop(spec[0]) else None


def literal(value: Any, dtype: str) -> str:
    """Return a number as source code that has its dtype."""
    number = np.asarray(value).reshape(()).item()
    if isinstance(number, complex):
        return f"np.{dtype}(complex({_real(number.real)}, {_real(number.imag)}))"
    code = _real(number)
    return code if dtype in ("float64", "int64", "bool") else f"np.{dtype}({code})"


def _real(number: float | int | bool) -> str:
    """Return a real number as source code that may stand anywhere in an expression."""
    if not np.isfinite(number):
        return "np.nan" if np.isnan(number) else "np.inf" if number > 0 else "(-np.inf)"
    code = repr(number)
    return f"({code})" if code.startswith("-") else code
