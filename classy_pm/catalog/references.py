"""Classes and functions as text: `module:qualname`, to compare with and never to import.

The catalogue writes these texts and compares them with those of classes that the reader's own code
hands over. Nothing here turns a text into a class.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import types
from typing import Any


def class_ref(cls: Any) -> str:
    """Return the text `module:qualname` that names a class or function.

    A class of `__main__` (a script or a notebook) also carries a hash of its constructor's
    argument names, so that the `Gaussian`s of two notebooks are not taken for each other.

    Examples
    --------
    >>> class_ref(dict)
    'builtins:dict'
    """
    module = getattr(cls, "__module__", None) or "builtins"
    ref = f"{module}:{getattr(cls, '__qualname__', getattr(cls, '__name__', type(cls).__name__))}"
    if module == "__main__" and isinstance(cls, type):
        try:
            names = ",".join(inspect.signature(cls).parameters)
        except (ValueError, TypeError):
            names = "?"
        ref += f"#{hashlib.sha256(names.encode()).hexdigest()[:8]}"
    return ref


def base_refs(cls: type) -> tuple[str, ...]:
    """Return the references of the classes that a class inherits from, nearest first.

    Examples
    --------
    >>> base_refs(bool)
    ('builtins:int',)
    """
    return tuple(class_ref(base) for base in cls.__mro__[1:] if base is not object)


def slot_names(cls: type) -> list[str]:
    """Return the names of the `__slots__` of a class and its bases, with private names mangled."""
    names = []
    for base in cls.__mro__:
        slots = base.__dict__.get("__slots__", ())
        for name in [slots] if isinstance(slots, str) else slots:
            if name in ("__dict__", "__weakref__"):
                continue
            private = name.startswith("__") and not name.endswith("__")
            names.append(f"_{base.__name__.lstrip('_')}{name}" if private else name)
    return names


def has_hidden_state(cls: type) -> bool:
    """Whether instances hold more than attributes and slots: memory that only C code sees.

    An instance of a plain Python class is as large as its slots say. A larger one (a lock, an open
    file, a compiled extension's object) has contents that vanish from view.
    """
    if cls.__itemsize__:
        return True
    pointer = tuple.__itemsize__
    size = object.__basicsize__ + pointer * len(slot_names(cls))
    size += pointer * ((cls.__dictoffset__ > 0) + (cls.__weakrefoffset__ > 0))
    return cls.__basicsize__ > size


def code_parts(function: types.FunctionType) -> list[tuple[str, object]]:
    """Return what tells apart local functions of one name: their code, defaults and closure."""
    parts: list[tuple[str, object]] = [
        ("__defaults__", function.__defaults__),
        ("__kwdefaults__", function.__kwdefaults__),
        ("__code__", _code(function.__code__)),
    ]
    return parts + closure_of(function)


def closure_of(function: types.FunctionType) -> list[tuple[str, object]]:
    """Return the variables that a function closes over, by name."""
    parts: list[tuple[str, object]] = []
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            content = cell.cell_contents
        except ValueError:  # a variable that is not assigned yet
            content = ...
        # A function that calls itself holds itself; its name says enough.
        parts.append((name, "itself" if content is function else content))
    return parts


def attributes_of(value: object) -> dict[str, object]:
    """Return instance attributes and slots, without what `cached_property` has left there."""
    names: dict[str, object] = {}
    for name in slot_names(type(value)):
        if hasattr(value, name):
            names[name] = getattr(value, name)
    names.update(getattr(value, "__dict__", {}))
    for name in list(names):
        if isinstance(getattr(type(value), name, None), functools.cached_property):
            del names[name]
    return names


def _code(code: types.CodeType) -> tuple[object, ...]:
    constants = tuple(_code(item) if isinstance(item, types.CodeType) else item for item in code.co_consts)
    return (code.co_code, constants, code.co_names, code.co_varnames)
