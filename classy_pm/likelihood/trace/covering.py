"""Names put in the place of others and back: in the user's modules, in their classes and dictionaries.

Only names of the user's that stand for something with an equivalent are covered, what `import` gives to
functions of these modules, and the methods of a few classes of libraries (`object_stand_ins.py`), whose
objects may have been made long before. All are put back at the end of each run, also after an error.
"""

from __future__ import annotations

import builtins
import functools
import gc
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

# What stood for something since the user's objects were last looked through, and what it stood for.
_used: dict[int, tuple[Any, Any]] = {}


def left_behind() -> dict[int, tuple[Any, Any]]:
    """Return the equivalents that a user's object may have kept, by identity, and what they stand for.

    Empty while another trace is running, whose names must not be put back.
    """
    from classy_pm.likelihood.trace.overlay import _Module, _substitutes, _UfuncOfLists, with_lists

    with _lock:
        if _depth or not _used:
            return {}
        found = dict(_used)
        _used.clear()
    for original, other in _substitutes().items():
        found.setdefault(id(other), (other, original))
    # what somebody gets who asks a module for `np.exp`, `np.sum`, `np.linalg`
    code = getattr(with_lists(np.sum), "__code__", None)
    for item in gc.get_objects():
        kind = type(item)
        if kind is _UfuncOfLists:
            found.setdefault(id(item), (item, item._ufunc))
        elif kind is _Module:
            found.setdefault(id(item), (item, item.__dict__["_original"]))
        elif kind is FunctionType and item.__code__ is code:
            found.setdefault(id(item), (item, item.__wrapped__))
    return found


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
            if other is not None:
                _used.setdefault(id(other), (other, module))
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
                    _used.setdefault(id(other), (other, value))
                    saved.append(
                        (holder, name, holder[name] if isinstance(holder, dict) else vars(holder)[name])
                    )
                    _set(holder, name, other)
            for name in PLAIN_PYTHON:
                if name not in module:
                    saved.append((module, name, _MISSING))
                    original = getattr(builtins, name)
                    module[name] = substitute(original)
                    _used.setdefault(id(module[name]), (module[name], original))
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
