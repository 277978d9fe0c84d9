"""What the user's code has kept of a trace becomes plain when the trace is over.

`self.last_model = model`, a history, the best value so far: the likelihood may store what it computes. A
traced value that is stored must not be met by the next plain call, nor keep the graph in memory. Whatever
still refers to one is given what NumPy computed in its place, as after a plain call.
"""

from __future__ import annotations

import gc
from collections import deque
from functools import _lru_cache_wrapper
from types import CellType, FrameType
from typing import TYPE_CHECKING, Any

import numpy as np

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
            if type(holder) is tuple:
                plain[id(holder)] = tuple(plain.get(id(item), item) for item in holder)
                kept.append(holder)
            else:
                _replace(holder, plain)
        ours |= {id(holders), id(kept)}
    return found


def _replace(holder: Any, plain: dict[int, Any]) -> None:
    if isinstance(holder, dict) and "__module__" in holder:
        for owner in gc.get_referrers(holder):  # a class, which must be told: it remembers what it looked up
            if isinstance(owner, type):
                _replace_attributes(owner, plain)
    elif isinstance(holder, dict):
        for key, value in list(holder.items()):
            if id(value) in plain:
                holder[key] = plain[id(value)]
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
