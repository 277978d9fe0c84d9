"""`try: math.log(x)`: errors by which the user's code goes another way.

`math` and Python's numbers raise where NumPy gives NaN. That is of interest only to code that catches the
error; there the condition is a question like that of an `if`, everywhere else the value is NaN.
"""

from __future__ import annotations

import dis
from collections.abc import Callable
from functools import cache
from types import CodeType
from typing import Any

from classy_pm.likelihood.trace.words import user_frames


class RaisedForPython(Exception):
    """Mixin of an error that Python itself would have raised."""


class DomainError(RaisedForPython, ValueError):
    """What `math` raises."""


class RangeError(RaisedForPython, OverflowError):
    """What `math.exp` raises."""


class DivisionError(RaisedForPython, ZeroDivisionError):
    """What a division by zero raises."""


# Where `math` raises, and what.
DOMAINS: dict[str, tuple[Callable[..., Any], type[RaisedForPython], str]] = {
    "log": (lambda x, *base: x <= 0, DomainError, "math domain error"),
    "log2": (lambda x: x <= 0, DomainError, "math domain error"),
    "log10": (lambda x: x <= 0, DomainError, "math domain error"),
    "log1p": (lambda x: x <= -1, DomainError, "math domain error"),
    "sqrt": (lambda x: x < 0, DomainError, "math domain error"),
    "acos": (lambda x: abs(x) > 1, DomainError, "math domain error"),
    "asin": (lambda x: abs(x) > 1, DomainError, "math domain error"),
    "acosh": (lambda x: x < 1, DomainError, "math domain error"),
    "atanh": (lambda x: abs(x) >= 1, DomainError, "math domain error"),
    "exp": (lambda x: x > 709.782712893384, RangeError, "math range error"),
}


def check_domain(name: str, args: tuple[Any, ...]) -> None:
    """Raise what a function of `math` raises, if somebody catches it."""
    if name in DOMAINS and is_caught():
        outside, error, text = DOMAINS[name]
        if outside(*args):
            raise error(text)


def check_division(divisor: Any) -> None:
    """Raise what a division of Python's numbers by zero raises, if somebody catches it."""
    if is_caught() and divisor == 0:
        raise DivisionError("division by zero")


def is_caught() -> bool:
    """Whether one of the user's functions on the stack is in a `try` with an `except`."""
    return any(start <= frame.f_lasti < end for frame in user_frames() for start, end in _tries(frame.f_code))


@cache
def _tries(code: CodeType) -> tuple[tuple[int, int], ...]:
    """Return the ranges of instructions whose errors an `except` looks at."""
    entries = getattr(dis.Bytecode(code), "exception_entries", ())
    if not entries:
        return ()
    instructions = list(dis.get_instructions(code))
    handlers = {}
    for target in {entry.target for entry in entries}:
        names = [item.opname for item in instructions if item.offset >= target]
        end = next((n for n, name in enumerate(names) if name == "RERAISE"), len(names))
        handlers[target] = "CHECK_EXC_MATCH" in names[:end] or names[:2] == ["PUSH_EXC_INFO", "POP_TOP"]
    return tuple((entry.start, entry.end) for entry in entries if handlers[entry.target])
