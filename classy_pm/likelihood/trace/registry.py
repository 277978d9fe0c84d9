"""The one list of what the trace knows: every NumPy ufunc, array function and SciPy ufunc.

A function is registered in one place, next to its translation, and the table of the documentation
is made from this list.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

State = Literal["traced", "static", "refused"]

RULE_MODULES = (
    "array_methods",
    "ufuncs",
    "reductions",
    "shaping",
    "joining",
    "selecting",
    "indexing",
    "making",
    "products",
    "ordering",
    "linear_algebra",
    "fourier",
    "statistics",
    "calculus",
    "special",
    "asking",
)


@dataclass(frozen=True)
class UfuncRule:
    """How a ufunc is translated.

    Attributes
    ----------
    build : callable or None
        Takes the operands' variables, cast as NumPy casts them, returns a variable or a tuple.
    pairs : callable or None
        The same for complex operands, given and returned as `Pair`.
    state : {"traced", "static", "refused"}
        What the table says.
    note : str
        Why it is refused, or a limit.
    cure : str
        What to write instead.
    """

    build: Callable[..., Any] | None
    pairs: Callable[..., Any] | None = None
    state: State = "traced"
    note: str = ""
    cure: str = ""


@dataclass(frozen=True)
class FunctionRule:
    """How an array function is translated.

    Attributes
    ----------
    build : callable or None
        With `arrays` it takes variables in their place and returns variables; without it takes
        traced values and is written with other NumPy functions.
    arrays : tuple of str
        Names of the parameters that are arrays.
    linear : bool
        Whether real and imaginary part may be treated apart.
    pairs : callable or None
        Takes `Pair` for every array parameter.
    """

    build: Callable[..., Any] | None
    arrays: tuple[str, ...] = ()
    linear: bool = False
    pairs: Callable[..., Any] | None = None
    state: State = "traced"
    note: str = ""
    cure: str = ""
    signature: inspect.Signature | None = field(default=None, compare=False)


UFUNCS: dict[np.ufunc, UfuncRule] = {}
FUNCTIONS: dict[Callable[..., Any], FunctionRule] = {}
_loaded: list[bool] = []


def load() -> None:
    """Import the modules that hold the rules, once."""
    if not _loaded:
        _loaded.append(True)
        for name in RULE_MODULES:
            importlib.import_module(f"classy_pm.likelihood.trace.{name}")


def ufunc_rule(
    *ufuncs: np.ufunc, pairs: Callable[..., Any] | None = None, note: str = ""
) -> Callable[..., Any]:
    """Register the decorated builder for ufuncs."""

    def register(build: Callable[..., Any]) -> Callable[..., Any]:
        for ufunc in ufuncs:
            UFUNCS[ufunc] = UfuncRule(build, pairs, note=note)
        return build

    return register


def refuse_ufunc(ufunc: np.ufunc, note: str, cure: str = "") -> None:
    """Register that a ufunc is refused and why."""
    UFUNCS[ufunc] = UfuncRule(None, state="refused", note=note, cure=cure)


def function_rule(
    *functions: Callable[..., Any], state: State = "traced", note: str = ""
) -> Callable[..., Any]:
    """Register the decorated function, written on traced values, for array functions."""

    def register(build: Callable[..., Any]) -> Callable[..., Any]:
        for function in functions:
            FUNCTIONS[function] = FunctionRule(build, state=state, note=note)
        return build

    return register


def variable_rule(
    *functions: Callable[..., Any],
    arrays: tuple[str, ...] = ("a",),
    linear: bool = False,
    pairs: Callable[..., Any] | None = None,
    note: str = "",
) -> Callable[..., Any]:
    """Register the decorated builder, written on variables, for array functions."""

    def register(build: Callable[..., Any]) -> Callable[..., Any]:
        signature = inspect.signature(build)
        for function in functions:
            FUNCTIONS[function] = FunctionRule(build, arrays, linear, pairs, note=note, signature=signature)
        return build

    return register


def refuse_function(function: Callable[..., Any], note: str, cure: str = "") -> None:
    """Register that an array function is refused and why."""
    FUNCTIONS[function] = FunctionRule(None, state="refused", note=note, cure=cure)


@dataclass(frozen=True)
class Coverage:
    """One row of the table of what the trace knows.

    Attributes
    ----------
    module, name : str
        Where the function is found.
    kind : {"ufunc", "function"}
        Which protocol it obeys.
    state : {"traced", "static", "refused", "unknown"}
        Traced; traced where an argument is plain; refused; not looked at.
    note : str
        Limits, or why it is refused.
    """

    module: str
    name: str
    kind: str
    state: str
    note: str = ""


def coverage() -> list[Coverage]:
    """Return a row for each NumPy ufunc and array function and each `scipy.special` ufunc."""
    import scipy.special

    load()
    rows = []
    for module in (np, np.linalg, np.fft, scipy.special):
        for name in sorted(dir(module)):
            item = getattr(module, name)
            if name.startswith("_"):
                continue
            if isinstance(item, np.ufunc):
                rule: UfuncRule | FunctionRule | None = UFUNCS.get(item)
                kind = "ufunc"
            elif type(item).__name__ == "_ArrayFunctionDispatcher":
                rule, kind = FUNCTIONS.get(item), "function"
            else:
                continue
            state, note = ("unknown", "") if rule is None else (rule.state, rule.note)
            rows.append(Coverage(module.__name__, name, kind, state, note))
    return rows
