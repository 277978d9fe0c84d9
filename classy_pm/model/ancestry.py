"""Parents of parents: what is drawn from itself, or at the end of a very long chain."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from classy_pm.errors import ModelError
from classy_pm.model.expressions import Expression
from classy_pm.model.node import Path

__all__ = ["check_chains"]

# So many parameters may be drawn one from another: reading a model takes Python's stack for each.
MAX_CHAIN, ENDLESS = 200, 1_000_000


def check_chains(
    own: Callable[[Any], Any],
    tables: Mapping[str, Mapping[Path, tuple[Any, ...]]],
    names: Mapping[str, Sequence[str]],
) -> None:
    """Refuse parameters that are drawn from themselves, and very long chains of parents.

    Parameters
    ----------
    own : callable
        Gives what stands for an expression of the user's.
    tables : mapping of str to mapping of path to tuple
        What stands at each place of the factors, by their dim.
    names : mapping of str to sequence of str
        Of the factors along each dim.
    """
    depths: dict[Expression, int] = {}
    for dim, table in tables.items():
        for path, items in table.items():
            for name, item in zip(names[dim], items, strict=True):
                if isinstance(item, Expression) and _depth(own(item), own, depths) > MAX_CHAIN:
                    fault = (
                        "is drawn from itself, by way of its parents"
                        if depths[own(item)] == ENDLESS
                        else f"is the end of a chain of more than {MAX_CHAIN}, each drawn from the one before"
                    )
                    raise ModelError(
                        f"`{'.'.join((name, *path))}` {fault}.",
                        cure="A parent, or what its arguments are computed from, is a parameter that is not "
                        "drawn from it. Long chains, such as random walks, are fitted as their steps: "
                        "parameters of their own, added up in the class.",
                    )


def _depth(top: Expression, own: Callable[[Any], Any], depths: dict[Expression, int]) -> int:
    """Return how many expressions an expression depends on, one by way of the other; found are kept."""
    waiting, open_ = [top], set()
    while waiting:
        item = waiting[-1]
        if item in depths:
            waiting.pop()
            continue
        below = [own(value) for _, value in item.inputs()]
        missing = [value for value in below if value not in depths]
        open_.add(item)
        if any(value in open_ for value in missing):
            depths.update(dict.fromkeys(open_, ENDLESS))
        elif missing:
            waiting += missing
        else:
            depths[item] = min(ENDLESS, 1 + max((depths[value] for value in below), default=0))
            open_.discard(item)
            waiting.pop()
    return depths[top]
