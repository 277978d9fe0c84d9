"""What NumPy's protocols cannot reach: `np.array([...])`, `math.exp`, `float`, `max` and `min`.

These turn their arguments into plain values before anybody can intervene. Where that happens, the
run is broken off and made again with the *names in the modules of the user's functions that were on
the stack* standing for equivalents. NumPy, `math` and Python themselves are not touched; an
equivalent that gets no traced value calls the original; and the names are put back at the end of
each run, also after an error.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cache, wraps
from types import FrameType, ModuleType
from typing import Any

import numpy as np

from classy_pm.likelihood.trace.covering import covered

# Modules of one likelihood that are covered at most.
LARGEST_NUMBER = 200

# Modules that stand in the user's modules under a name, as `np` does.
MODULES = (
    "numpy",
    "numpy.linalg",
    "numpy.fft",
    "math",
    "cmath",
    "scipy",
    "scipy.special",
    "scipy.linalg",
    "scipy.stats",
    "scipy.signal",
    "scipy.ndimage",
    "scipy.integrate",
    "scipy.interpolate",
    "scipy.optimize",
    "scipy.spatial",
    "scipy.spatial.distance",
    "numpy.polynomial",
    "numpy.polynomial.polynomial",
    "numpy.polynomial.chebyshev",
    "numpy.polynomial.legendre",
    "numpy.polynomial.hermite",
    "numpy.polynomial.hermite_e",
    "numpy.polynomial.laguerre",
)


class Restart(BaseException):
    """The run must be made again, with the names of further modules covered."""


class Overlay:
    """The modules of the user's whose names are covered while the function runs.

    Attributes
    ----------
    buffers : bool
        Whether `np.zeros` and its like make arrays into which traced values can be written.
    """

    def __init__(self) -> None:
        self.modules: dict[int, dict[str, Any]] = {}
        self.buffers = False

    def add(self, frames: list[FrameType]) -> bool:
        """Note the modules of these frames; return whether one of them is new."""
        before = len(self.modules)
        if before >= LARGEST_NUMBER:  # code that makes its own globals anew each time would never end
            return False
        for frame in frames:
            self.modules.setdefault(id(frame.f_globals), frame.f_globals)
        return len(self.modules) > before

    def applied(self) -> AbstractContextManager[None]:
        """Cover the names, and put them back."""
        return covered(list(self.modules.values()), _methods(_loaded()) if self.modules else [])


def substitute(value: Any) -> Any:
    """Return the equivalent of a module, function or type, or None where none is needed."""
    if type(value) is ModuleType:
        return _module(value) if value.__name__ in MODULES else None
    try:
        found = _substitutes().get(value)
    except TypeError:
        return None
    if found is None and type(value).__name__ == "_ArrayFunctionDispatcher":
        return with_lists(value)
    if found is None and isinstance(value, np.ufunc):
        return _UfuncOfLists(value)
    if found is None and isinstance(value, functools._lru_cache_wrapper):
        return _without_cache(value)
    if found is None and type(value).__module__.partition(".")[0] == "numba" and hasattr(value, "py_func"):
        return _not_compiled(value)
    return found


def _loaded() -> frozenset[str]:
    return frozenset(name for name in MODULES if name in sys.modules)


def _substitutes() -> dict[Any, Any]:
    return _table(_loaded())


@cache
def _methods(loaded: frozenset[str]) -> list[tuple[type, str, Any]]:
    from classy_pm.likelihood.trace import object_stand_ins

    return object_stand_ins.methods(loaded)


@cache
def _not_compiled(function: Any) -> Callable[..., Any]:
    """Return what calls the Python function that numba has compiled, for traced arguments."""
    from classy_pm.likelihood.trace.dispatch import find_traced

    @wraps(function.py_func)
    def call(*args: Any, **kwargs: Any) -> Any:
        traced = find_traced([*args, *kwargs.values()])
        return (function if traced is None else function.py_func)(*args, **kwargs)

    return call


@cache
def _without_cache(function: Any) -> Callable[..., Any]:
    """Return a function that is called anew for traced arguments, and for objects that hold some."""
    from classy_pm.likelihood.trace.dispatch import find_traced

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        held = [value for item in args for value in getattr(item, "__dict__", {}).values()]
        traced = find_traced([*args, *kwargs.values(), *held])
        return (function if traced is None else function.__wrapped__)(*args, **kwargs)

    return call


@cache
def _table(loaded: frozenset[str]) -> dict[Any, Any]:
    from classy_pm.likelihood.trace import polynomials, scipy_stand_ins, stand_ins

    return {
        **stand_ins.numpy_stand_ins(),
        **stand_ins.math_stand_ins(),
        **stand_ins.cmath_stand_ins(),
        **stand_ins.python_stand_ins(),
        **scipy_stand_ins.stand_ins(loaded),
        **polynomials.stand_ins(),
    }


@cache
def with_lists(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return an array function that also takes lists with traced values in them."""
    from classy_pm.likelihood.trace.dispatch import call_function, find_traced, lift
    from classy_pm.likelihood.trace.session import current_session
    from classy_pm.likelihood.trace.stand_ins import as_buffer

    takes_lists = {
        "concatenate",
        "concat",
        "stack",
        "hstack",
        "vstack",
        "dstack",
        "column_stack",
        "block",
        "select",
        "piecewise",
        "meshgrid",
        "broadcast_arrays",
        "einsum",
        "lexsort",
        "choose",
        "ix_",
        "multi_dot",
    }
    fresh = function.__name__ in (
        "zeros_like",
        "ones_like",
        "empty_like",
        "full_like",
        "copy",
        "linspace",
        "logspace",
        "geomspace",
    )

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if current_session() is None:
            return function(*args, **kwargs)
        if function.__name__ in takes_lists:
            nested = find_traced(args) is not None
            return call_function(function, args, kwargs) if nested else function(*args, **kwargs)
        args = tuple(lift(item) for item in args)
        if find_traced(args, 0) is not None:
            return call_function(function, args, kwargs)  # whichever arguments the protocol looks at
        result = function(*args, **kwargs)
        return as_buffer(result) if fresh else result

    return call


class _UfuncOfLists:
    """A ufunc that also takes lists with traced values in them."""

    __slots__ = ("_ufunc",)

    def __init__(self, ufunc: np.ufunc) -> None:
        self._ufunc = ufunc

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        from classy_pm.likelihood.trace.dispatch import lift

        if any(isinstance(item, list | tuple) for item in args):
            args = tuple(lift(item) for item in args)
        return self._ufunc(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ufunc, name)

    def __eq__(self, other: object) -> bool:
        return self._ufunc == getattr(other, "_ufunc", other)

    def __hash__(self) -> int:
        return hash(self._ufunc)

    def __repr__(self) -> str:
        return repr(self._ufunc)


class _Module(ModuleType):
    """A module of which some functions are replaced."""

    def __init__(self, original: ModuleType) -> None:
        super().__init__(original.__name__, original.__doc__)
        self.__dict__["_original"] = original

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.__dict__["_original"], name)
        other = None if name.startswith("__") else substitute(value)
        return value if other is None else other

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.__dict__["_original"], name, value)

    def __dir__(self) -> list[str]:
        return dir(self.__dict__["_original"])


@cache
def _module(original: ModuleType) -> ModuleType:
    return _Module(original)
