"""Methods of objects that were made before the trace, and that are called with traced arguments.

A spline made in `__init__`, a function decorated with `np.vectorize`: their names are the user's, so that
the method of their class is covered while the likelihood runs. Without traced arguments it is the original.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

from classy_pm.likelihood.trace.dispatch import find_traced, lift
from classy_pm.likelihood.trace.words import refuse


def methods(loaded: frozenset[str]) -> list[tuple[type, str, Any]]:
    """Return classes, names of their methods, and what stands for them.

    Parameters
    ----------
    loaded : frozenset of str
        Modules that somebody has imported.
    """
    found: list[tuple[type, str, Any]] = [(np.vectorize, "__call__", _vectorized(np.vectorize.__call__))]
    if "scipy.interpolate" in loaded:
        from classy_pm.likelihood.trace import interpolators

        found += [
            (kind, name, _traced_or(kind, name, method)) for kind, name, method in interpolators.methods()
        ]
    return found


def _traced_or(kind: type, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    original = getattr(kind, name)

    @wraps(original)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        if find_traced([*args, *kwargs.values()]) is None:
            return original(self, *args, **kwargs)
        return method(self, *args, **kwargs)

    return call


def _vectorized(original: Callable[..., Any]) -> Callable[..., Any]:
    """Return `np.vectorize.__call__` that calls the function for each element while a trace is recorded."""

    @wraps(original)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        from classy_pm.likelihood.trace.session import current_session
        from classy_pm.likelihood.trace.stand_ins import as_array

        if current_session() is None or self.pyfunc is np._NoValue:  # type: ignore[attr-defined]
            return original(self, *args, **kwargs)
        if self.signature is not None:
            if find_traced([*args, *kwargs.values()]) is None:
                return original(self, *args, **kwargs)
            refuse("`np.vectorize` with a signature is called with traced values", "Write a loop.")
        named = {**dict(enumerate(args)), **kwargs}
        each = [key for key in named if key not in self.excluded]
        arrays = np.broadcast_arrays(*(lift(named[key]) for key in each))
        shape = np.shape(getattr(arrays[0], "_shadow", arrays[0]))
        items = []
        for place in np.ndindex(shape):
            values = {**named, **{key: array[place] for key, array in zip(each, arrays, strict=True)}}
            items.append(
                self.pyfunc(*(values[n] for n in range(len(args))), **{key: values[key] for key in kwargs})
            )
        if find_traced(items) is None:  # neither the arguments nor what the function refers to is traced
            return original(self, *args, **kwargs)
        return np.reshape(as_array(items), shape) if shape else items[0]

    return call
