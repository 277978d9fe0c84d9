"""Names put in the place of others and back: in the user's modules, in their classes and dictionaries.

Only names of the user's that stand for something with an equivalent are covered, what `import` gives to
functions of these modules, and the methods of a few classes of libraries (`object_stand_ins.py`), whose
objects may have been made long before. All are put back at the end of each run, also after an error.
"""

from __future__ import annotations

import builtins
import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

_MISSING = object()
_lock = threading.RLock()
_covered: dict[int, tuple[int, list[tuple[Any, str, Any]]]] = {}
_depth = 0
_saved: list[tuple[Any, str, Any]] = []

PLAIN_PYTHON = ("float", "int", "complex", "max", "min", "any", "all")
# A dictionary with more entries holds data, not functions.
LARGEST_DICTIONARY = 100

Substitute = Callable[[Any], Any]


def originals() -> Substitute | None:
    """Return a function that gives what an equivalent stands for, and any other value as it is.

    None while another trace is running, whose names must not be put back.
    """
    from classy_pm.likelihood.trace.overlay import _Module, _substitutes, _UfuncOfLists, with_lists

    if _depth:
        return None
    known = {id(other): original for original, other in reversed(_substitutes().items())}
    code = getattr(with_lists(np.sum), "__code__", None)

    def original_of(value: Any) -> Any:
        kind = type(value)
        if kind is _UfuncOfLists:
            return value._ufunc
        if kind is _Module:
            return value.__dict__["_original"]
        if kind is FunctionType and value.__code__ is code:
            return value.__wrapped__
        return known.get(id(value), value)

    return original_of


@contextmanager
def covered(modules: list[dict[str, Any]], methods: list[tuple[type, str, Any]]) -> Iterator[None]:
    """Cover the names of some modules, and put them back.

    Parameters
    ----------
    modules : list of dict
        The namespaces of modules.
    methods : list of (type, str, callable)
        Methods of libraries and what stands for them.
    """
    from classy_pm.likelihood.trace.overlay import substitute

    if not modules:
        yield
        return
    _enter(methods, substitute)
    for module in modules:
        _cover(module, substitute)
    try:
        yield
    finally:
        for module in modules:
            _uncover(module)
        _leave()


def _enter(methods: list[tuple[type, str, Any]], substitute: Substitute) -> None:
    global _depth
    with _lock:
        _depth += 1
        if _depth > 1:
            return
        for kind, name, method in methods:
            _saved.append((kind, name, vars(kind).get(name, _MISSING)))
            setattr(kind, name, method)
        original = builtins.__import__

        @functools.wraps(original)
        def importing(name: str, globals: Any = None, *args: Any, **kwargs: Any) -> Any:
            module = original(name, globals, *args, **kwargs)
            other = substitute(module) if id(globals) in _covered else None
            return module if other is None else other

        _saved.append((builtins, "__import__", original))
        builtins.__import__ = importing


def _leave() -> None:
    global _depth
    with _lock:
        _depth -= 1
        if _depth == 0:
            _put_back(_saved)
            _saved.clear()


def _cover(module: dict[str, Any], substitute: Substitute) -> None:
    with _lock:
        depth, saved = _covered.get(id(module), (0, []))
        if depth == 0:
            for holder, name, value in list(_names(module)):
                other = substitute(value)
                if other is not None:
                    saved.append(
                        (holder, name, holder[name] if isinstance(holder, dict) else vars(holder)[name])
                    )
                    _set(holder, name, other)
            for name in PLAIN_PYTHON:
                if name not in module:
                    saved.append((module, name, _MISSING))
                    module[name] = substitute(getattr(builtins, name))
        _covered[id(module)] = (depth + 1, saved)


def _uncover(module: dict[str, Any]) -> None:
    with _lock:
        depth, saved = _covered[id(module)]
        if depth > 1:
            _covered[id(module)] = (depth - 1, saved)
            return
        del _covered[id(module)]
        _put_back(saved)


def _names(module: dict[str, Any]) -> Iterator[tuple[Any, str, Any]]:
    """Yield the names of a module, of its classes and of the dictionaries in it."""
    for name, value in module.items():
        yield module, name, value
        if isinstance(value, type) and value.__module__ == module.get("__name__"):
            for inner, item in vars(value).items():
                yield value, inner, item.__func__ if isinstance(item, staticmethod) else item
        elif type(value) is dict and not name.startswith("__") and len(value) <= LARGEST_DICTIONARY:
            for inner, item in value.items():
                yield value, inner, item


def _set(holder: Any, name: str, value: Any) -> None:
    if isinstance(holder, dict):
        holder[name] = value
    elif isinstance(vars(holder)[name], functools._lru_cache_wrapper):
        setattr(holder, name, value)
    else:  # what stands for a built-in function must not become a method
        setattr(holder, name, staticmethod(value))


def _put_back(saved: list[tuple[Any, str, Any]]) -> None:
    for holder, name, value in reversed(saved):
        if value is _MISSING:
            if isinstance(holder, dict):
                holder.pop(name, None)
            else:
                delattr(holder, name)
        elif isinstance(holder, type | ModuleType):
            setattr(holder, name, value)
        else:
            holder[name] = value
