"""What the user's code has kept of a trace becomes plain when the trace is over.

`self.last_model = model`, a history, the best value so far: the likelihood may store what it computes. A
traced value that is stored must not be met by the next plain call, nor keep the graph in memory. Whatever
still refers to one is given what NumPy computed in its place, as after a plain call.
"""

from __future__ import annotations

import gc
import sys
from collections import deque
from functools import _lru_cache_wrapper, partial
from types import CellType, FrameType, FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from classy_pm.likelihood.trace.covering import left_behind
from classy_pm.likelihood.trace.words import is_user_file

if TYPE_CHECKING:
    from classy_pm.likelihood.trace.session import Session

# Tuples in tuples that are looked into.
DEPTH = 4


def let_go(session: Session) -> bool:
    """Put plain values in the place of the traced ones that are still referred to; return whether any was."""
    plain = {}
    kept = []
    for reference in session.made:
        value = reference()
        if value is not None:
            kept.append(value)
            shadow = value._shadow
            plain[id(value)] = np.array(shadow) if isinstance(shadow, np.ndarray) else shadow
    session.made.clear()
    ours = {id(kept), id(plain)}
    found = False
    for _ in range(DEPTH):
        if not kept:
            break
        holders = gc.get_referrers(*kept)
        kept = []
        for holder in holders:
            if id(holder) in ours or isinstance(holder, FrameType):
                continue
            found = True
            other = _rebuilt(holder, plain)
            if other is not None:
                plain[id(holder)] = other
                kept.append(holder)
            else:
                _replace(holder, plain)
        ours |= {id(holders), id(kept)}
    _let_go_of_stand_ins()
    return found


def _rebuilt(holder: Any, plain: dict[int, Any]) -> Any:
    """Return what stands for a holder that cannot be changed; None if it can."""
    kind = type(holder)
    if issubclass(kind, tuple):
        other = tuple.__new__(kind, [plain.get(id(item), item) for item in holder])
        if hasattr(holder, "__dict__"):
            vars(other).update(vars(holder))
        return other
    if kind is MethodType and id(holder.__self__) in plain:  # `self.total = model.sum`
        return getattr(plain[id(holder.__self__)], holder.__name__, None)
    return None


def _let_go_of_stand_ins() -> None:
    """Put the originals in the place of the equivalents that the user's objects have kept."""
    originals = left_behind()
    if not originals:
        return
    plain = {key: original for key, (_, original) in originals.items()}
    kept: list[Any] = [other for other, _ in originals.values()]
    ours = {id(kept), id(plain), id(originals)} | {id(pair) for pair in originals.values()}
    for _ in range(DEPTH):
        if not kept:
            break
        holders = gc.get_referrers(*kept)
        kept = []
        for holder in holders:
            if id(holder) in ours:
                continue
            kind = type(holder)
            if issubclass(kind, tuple):
                if not gc.is_tracked(holder) or not _is_the_users(holder, ours):
                    continue
                plain[id(holder)] = _rebuilt(holder, plain)
                kept.append(holder)
            elif (kind in (list, dict, deque, partial) or _is_of_users_class(holder)) and _is_the_users(
                holder, ours
            ):
                _replace(holder, plain)
        ours |= {id(holders), id(kept)}


def _is_of_users_class(holder: Any) -> bool:
    kind = holder if isinstance(holder, type) else type(holder)
    module = sys.modules.get(kind.__module__)
    return (
        module is not None
        and is_user_file(getattr(module, "__file__", None) or "<frozen")
        and (
            kind.__module__.partition(".")[0] not in sys.stdlib_module_names or kind.__module__ == "__main__"
        )
    )


def _is_the_users(holder: Any, ours: set[int], depth: int = DEPTH) -> bool:
    """Whether a container is reached only from the user's objects, not from our tables and modules."""
    if _is_of_users_class(holder):
        return True
    if isinstance(holder, dict) and "__spec__" in holder:
        file = holder.get("__file__")
        return isinstance(file, str) and is_user_file(file)
    if isinstance(holder, ModuleType | FunctionType | CellType | _lru_cache_wrapper | type):
        return False
    found = False
    for owner in gc.get_referrers(holder):
        if id(owner) in ours or isinstance(owner, FrameType) or type(owner).__name__ == "list_iterator":
            continue
        of_a_class = _is_of_users_class(owner) and not isinstance(owner, FunctionType | CellType)
        in_a_container = isinstance(owner, dict | list | tuple | deque | partial) and depth > 1
        if of_a_class or (in_a_container and _is_the_users(owner, ours, depth - 1)):
            found = True
    return found


def _replace(holder: Any, plain: dict[int, Any]) -> None:
    if isinstance(holder, dict) and "__module__" in holder and "__spec__" not in holder:
        for owner in gc.get_referrers(holder):  # a class, which must be told: it remembers what it looked up
            if isinstance(owner, type):
                _replace_attributes(owner, plain)
    elif isinstance(holder, dict):
        for key, value in list(holder.items()):
            if id(value) in plain:
                holder[key] = plain[id(value)]
    elif isinstance(holder, partial):
        state: Any = holder.__reduce__()[2]
        function, args, keywords, attributes = state
        keywords = {name: plain.get(id(value), value) for name, value in keywords.items()}
        args = plain.get(id(args), tuple(plain.get(id(item), item) for item in args))
        holder.__setstate__((plain.get(id(function), function), args, keywords, attributes))
    elif isinstance(holder, FunctionType):
        if id(holder.__defaults__) in plain:
            holder.__defaults__ = plain[id(holder.__defaults__)]
        _replace_attributes(holder, plain)
    elif isinstance(holder, list | deque):
        for place, value in enumerate(list(holder)):
            if id(value) in plain:
                holder[place] = plain[id(value)]
    elif isinstance(holder, np.ndarray):
        flat = holder.reshape(-1)
        for place, value in enumerate(flat.tolist()):
            if id(value) in plain:
                flat[place] = plain[id(value)]
    elif type(holder) is CellType:
        if id(holder.cell_contents) in plain:
            holder.cell_contents = plain[id(holder.cell_contents)]
    elif isinstance(holder, _lru_cache_wrapper):
        holder.cache_clear()
    else:
        if isinstance(holder, BaseException):
            holder.args = tuple(plain.get(id(item), item) for item in holder.args)
        _replace_attributes(holder, plain)


def _replace_attributes(holder: Any, plain: dict[int, Any]) -> None:
    """Set attributes, also of objects that are frozen or have slots."""
    names = list(getattr(holder, "__dict__", {}))
    for base in type(holder).__mro__:
        slots = vars(base).get("__slots__", ())
        names += [slots] if isinstance(slots, str) else list(slots)
    change = type.__setattr__ if isinstance(holder, type) else object.__setattr__
    for name in names:
        value = getattr(holder, name, None)
        if id(value) in plain:
            change(holder, name, plain[id(value)])
