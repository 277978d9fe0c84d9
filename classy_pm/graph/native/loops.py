"""NumPy's own compiled loops, for machine code to call.

NumPy computes `exp`, `arctan` or a power of a whole array with vector instructions, where numba calls the
C library for one number after the other. The loops are fields of the public struct `PyUFuncObject`. Here
their addresses become symbols that compiled and cached code finds by name in every process. A loop is used
only if it gives NumPy's own result when it is called.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import numpy as np
from numba.extending import intrinsic

__all__ = ["has_loop", "in_any_order", "symbol"]

# Functions that take much longer for one number than a multiplication.
SLOW = (
    *("exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "cbrt", "power"),
    *("sin", "cos", "tan", "arcsin", "arccos", "arctan"),
    *("sinh", "cosh", "tanh", "arcsinh", "arccosh", "arctanh"),
)


class _Ufunc(ctypes.Structure):
    """The head of `PyUFuncObject`, as `numpy/ufuncobject.h` has it."""

    _fields_ = (
        ("reference_count", ctypes.c_ssize_t),
        ("type", ctypes.c_void_p),
        ("nin", ctypes.c_int),
        ("nout", ctypes.c_int),
        ("nargs", ctypes.c_int),
        ("identity", ctypes.c_int),
        ("functions", ctypes.POINTER(ctypes.c_void_p)),
        ("data", ctypes.POINTER(ctypes.c_void_p)),
        ("ntypes", ctypes.c_int),
    )


_LOOP = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)


@intrinsic
def in_any_order(typing_context: Any, total: Any, term: Any) -> Any:
    """Add a term of a sum of which the terms may be added in any order, several at a time."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fadd(*args, flags=("reassoc", "nsz"))

    return total(total, term), generate


def symbol(name: str) -> str:
    """Return the name under which machine code finds a loop."""
    return f"classy_pm_numpy_{name}"


@cache
def has_loop(name: str) -> bool:
    """Say whether the loop of a ufunc of float64 can be called, and make its symbol."""
    if name not in SLOW:
        return False
    address = _address(name)
    if address is None or not _agrees(name, address):
        return False
    from llvmlite import binding

    binding.add_symbol(symbol(name), address)
    return True


def _address(name: str) -> int | None:
    """Read the address of the loop, or None where the struct is not what it is expected to be."""
    ufunc = getattr(np, name)
    head = _Ufunc.from_address(id(ufunc))
    known = (head.nin, head.nout, head.nargs, head.ntypes)
    if known != (ufunc.nin, ufunc.nout, ufunc.nargs, ufunc.ntypes):
        return None
    index = ufunc.types.index("d" * ufunc.nin + "->d")
    # A loop that gets data with it is a shell around a function of one number.
    return None if head.data and head.data[index] else head.functions[index]


def _agrees(name: str, address: int) -> bool:
    ufunc = getattr(np, name)
    values = [np.linspace(0.1, 0.9, 19), np.linspace(0.2, 3.0, 19)][: ufunc.nin]
    result = np.zeros(19)
    pointers = np.array([value.ctypes.data for value in (*values, result)])
    size, steps = np.array([19]), np.full(3, 8)
    with np.errstate(all="ignore"):
        _LOOP(address)(pointers.ctypes.data, size.ctypes.data, steps.ctypes.data, None)
        return bool(np.array_equal(result, ufunc(*values), equal_nan=True))
