"""All of an analysis object that its answer can depend on, as data for the identity."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Iterator
from typing import Any

import numpy as np

from classy_pm.catalog.identity import has_hook, told_identity
from classy_pm.catalog.references import attributes_of, class_ref, closure_of, has_hidden_state

#: Dunder methods that no answer depends on, some of which Python or dataclasses make.
IRRELEVANT = {"__repr__", "__str__", "__annotate__", "__annotate_func__", "__init_subclass__"}
CACHED = type(functools.cache(len))
#: Builtin containers, whose contents are no attributes.
CONTAINERS = (list, tuple, dict, set, frozenset, str, bytes, bytearray, int, float, complex, np.ndarray)


def analysis_identity(analysis: object, base: type) -> dict[str, object]:
    """Return what the answer of an analysis can depend on, to be put into `fit_key`.

    The code of its methods does not count: a class says by another `identity_version` that it has
    changed. If the class has a method `__identity__`, what that returns counts, with the class, and
    nothing else.

    Parameters
    ----------
    analysis : object
        An object of a user's class.
    base : type
        The class that users inherit from; what it and its own bases define does not count.

    Returns
    -------
    dict
        `class`, the class itself, which counts by its name and `identity_version`; `attributes` of
        the object, also those in slots, without cached properties; `class_attributes`, data in the
        classes below the base, mixins among them; `closure`, the variables that their functions close
        over, as "Class.function.variable"; `references`, the names of classes, modules and functions
        among these. If the object is also a list or the like, `contents` is the object itself.

    Raises
    ------
    IdentityError
        If `__identity__` is not a method. Values without an identity are refused by `fit_key`, which
        names their path.

    Examples
    --------
    >>> class Analysis: ...
    >>> class Line(Analysis):
    ...     order = 2
    ...
    ...     def __init__(self, data):
    ...         self.data = data
    >>> found = analysis_identity(Line([1.0, 2.0]), Analysis)
    >>> found["attributes"], found["class_attributes"]
    ({'data': [1.0, 2.0]}, {'order': 2})
    """
    cls = type(analysis)
    if has_hook(analysis):
        return {"class": cls, "identity": told_identity(analysis, "analysis")}
    classes = [item for item in cls.__mro__ if item not in base.__mro__]
    class_attributes: dict[str, object] = {}
    closure: dict[str, object] = {}
    references: dict[str, object] = {}
    for owner in classes:
        for name, value in vars(owner).items():
            if _is_data(name, value):
                class_attributes.setdefault(name, value)
            if name in IRRELEVANT:
                continue
            for function in _functions(value):
                _close_over(f"{owner.__name__}.{name}", function, closure, references, set())
    found: dict[str, object] = {
        "class": cls,
        "attributes": attributes_of(analysis),
        "class_attributes": class_attributes,
        "closure": closure,
        "references": references,
    }
    if isinstance(analysis, CONTAINERS) or has_hidden_state(cls):
        found["contents"] = analysis
    return found


def _is_data(name: str, value: object) -> bool:
    """Whether a class attribute holds data; objects that can be called may, unlike functions."""
    if name == "_abc_impl" or (name.startswith("__") and name.endswith("__")):
        return False
    if isinstance(value, functools.partial):
        return True
    if isinstance(value, type) or inspect.isroutine(value):
        return False
    return not hasattr(type(value), "__get__")


def _functions(value: Any) -> Iterator[types.FunctionType]:
    """Give the functions in what a class defines under one name: of methods, properties, caches."""
    if isinstance(value, types.FunctionType):
        yield value
    elif isinstance(value, staticmethod | classmethod):
        yield from _functions(value.__func__)
    elif isinstance(value, property):
        for function in (value.fget, value.fset, value.fdel):
            yield from _functions(function)
    elif isinstance(value, functools.cached_property | functools.partialmethod):
        yield from _functions(value.func)
    elif isinstance(value, CACHED):
        yield from _functions(value.__wrapped__)
    elif isinstance(getattr(value, "py_func", None), types.FunctionType) and not isinstance(value, type):
        yield value.py_func  # compiled by numba


def _close_over(
    path: str,
    function: types.FunctionType,
    closure: dict[str, object],
    references: dict[str, object],
    seen: set[int],
) -> None:
    """Note what a function closes over, and the functions among that in their turn."""
    if id(function) in seen:
        return
    seen.add(id(function))
    for variable, value in closure_of(function):
        if variable.startswith("__") and variable.endswith("__"):
            continue  # the cell of `super()`, and what dataclasses keep for themselves
        inner = list(_functions(value))
        place = f"{path}.{variable}"
        if inner or isinstance(value, type | types.ModuleType | types.BuiltinFunctionType):
            name = value.__name__ if isinstance(value, types.ModuleType) else class_ref(value)
            _note(references, place, name)
        else:
            _note(closure, place, value)
        for item in inner:
            _close_over(place, item, closure, references, seen)


def _note(found: dict[str, object], place: str, value: object) -> None:
    while place in found:  # two classes of one name
        place += "'"
    found[place] = value
