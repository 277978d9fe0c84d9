"""Python's operators of traced values: each is NumPy's ufunc, with Python's rules where both are Python's."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

TWO = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "truediv": np.true_divide,
    "floordiv": np.floor_divide,
    "mod": np.remainder,
    "pow": np.power,
    "matmul": np.matmul,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
    "lshift": np.left_shift,
    "rshift": np.right_shift,
}
COMPARISONS = {
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "eq": np.equal,
    "ne": np.not_equal,
}
ONE = {"neg": np.negative, "pos": np.positive, "abs": np.absolute, "invert": np.invert}


def _binary(function: Callable[..., Any], ufunc: np.ufunc) -> tuple[Any, Any, Any]:
    from_operator = function

    def forward(self: Any, other: Any) -> Any:
        from classy_pm.likelihood.trace.dispatch import call_operator

        return call_operator(from_operator, ufunc, self, other)

    def backward(self: Any, other: Any) -> Any:
        from classy_pm.likelihood.trace.dispatch import call_operator

        return call_operator(from_operator, ufunc, other, self)

    def inplace(self: Any, other: Any) -> Any:
        if isinstance(self._shadow, np.ndarray):
            return ufunc(self, other, out=(self,))
        return forward(self, other)

    return forward, backward, inplace


def _unary(function: Callable[..., Any], ufunc: np.ufunc) -> Any:
    def call(self: Any) -> Any:
        from classy_pm.likelihood.trace.dispatch import call_operator

        return call_operator(function, ufunc, self)

    return call


def add_operators(kind: type) -> None:
    """Give a class the methods of Python's operators."""
    for name, ufunc in TWO.items():
        forward, backward, inplace = _binary(getattr(operator, f"__{name}__"), ufunc)
        setattr(kind, f"__{name}__", forward)
        setattr(kind, f"__r{name}__", backward)
        setattr(kind, f"__i{name}__", inplace)
    for name, ufunc in COMPARISONS.items():
        setattr(kind, f"__{name}__", _binary(getattr(operator, name), ufunc)[0])
    for name, ufunc in ONE.items():
        setattr(kind, f"__{name}__", _unary(getattr(operator, f"__{name}__"), ufunc))
    forward, backward, _ = _binary(divmod, np.divmod)
    kind.__divmod__, kind.__rdivmod__ = forward, backward
