"""What the user's code has kept of a trace becomes plain when the trace is over.

`self.last_model = model`, a history, the best value so far: the likelihood may store what it computes. A
traced value that is stored must not be met by the next plain call, nor keep the graph in memory. Whatever
still refers to one is given what NumPy computed in its place, as after a plain call.
"""

from __future__ import annotations

import gc
import sys
from collections import deque
from collections.abc import Callable
from functools import _lru_cache_wrapper, partial
from types import CellType, FrameType, FunctionType, MethodType
from typing import TYPE_CHECKING, Any

import numpy as np

from classy_pm.likelihood.trace.covering import originals
from classy_pm.likelihood.trace.words import is_user_file

if TYPE_CHECKING:
    from classy_pm.likelihood.trace.session import Session

# Tuples in tuples that are looked into.
DEPTH = 4
# Objects in which equivalents are looked for, at most.
LARGEST_WALK = 10_000
# Where the session keeps the function that is traced.
TRACED_FUNCTION = ("the function that is traced",)


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
        asked = tuple(kept)  # it refers to them, too
        ours.add(id(asked))
        holders = gc.get_referrers(*asked)
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
    _let_go_of_stand_ins(session)
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


def _let_go_of_stand_ins(session: Session) -> None:
    """Put the originals in the place of the equivalents that the user's objects have kept.

    They are looked for from the function that was traced and from the names of the user's modules.
    """
    original_of = originals() if session.overlay.modules else None
    if original_of is None:
        return
    modules = session.overlay.modules
    todo: deque[Any] = deque([session.memo.get(TRACED_FUNCTION), *modules.values()])
    seen = {}
    while todo and len(seen) < LARGEST_WALK:
        holder = todo.popleft()
        if id(holder) in seen:
            continue
        seen[id(holder)] = holder
        items = list(vars(holder).values()) if isinstance(holder, type) else gc.get_referents(holder)
        plain = {}
        for item in items:
            other = _with_originals(item, original_of)
            if other is not item:
                plain[id(item)] = other
            if original_of(item) is item and _is_looked_into(item, modules):
                todo.append(item)
        if plain and isinstance(holder, type):
            _replace_attributes(holder, plain)
        elif plain and not issubclass(type(holder), tuple | MethodType):
            _replace(holder, plain)


def _with_originals(value: Any, original_of: Callable[[Any], Any], depth: int = DEPTH) -> Any:
    if not issubclass(type(value), tuple) or not depth:
        return original_of(value)
    plain = {id(item): _with_originals(item, original_of, depth - 1) for item in value}
    return _rebuilt(value, plain) if any(plain[id(item)] is not item for item in value) else value


def _is_looked_into(item: Any, modules: dict[int, Any]) -> bool:
    """Whether something may hold what the user's code has stored."""
    kind = type(item)
    if kind is dict:
        return "__builtins__" not in item
    if kind in (list, deque, partial, CellType, MethodType) or issubclass(kind, tuple):
        return True
    if kind is FunctionType:
        return id(item.__globals__) in modules or _is_of_ours(item.__module__)
    if issubclass(kind, type):
        return id(getattr(sys.modules.get(item.__module__), "__dict__", None)) in modules
    module = sys.modules.get(kind.__module__)
    file = getattr(module, "__file__", None)
    if id(getattr(module, "__dict__", None)) in modules or _is_of_ours(kind.__module__):
        return True
    standard = kind.__module__.partition(".")[0] in sys.stdlib_module_names
    return isinstance(file, str) and not standard and is_user_file(file)


def _is_of_ours(module: Any) -> bool:
    name = f"{module}."
    return name.startswith("classy_pm.") and not name.startswith("classy_pm.likelihood.trace.")


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
