"""A part of a model's parameters, whether or not instances can be made of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from classy_pm.errors import ModelError
from classy_pm.model import Collection, Node, Path
from classy_pm.model.layout import walk
from classy_pm.plan import Plan, make_plan

__all__ = ["selected_plan"]


def selected_plan(root: Node, paths: Iterable[Path | str] | str, *, kept: bool) -> tuple[Plan, str]:
    """Return the plan of the parameters at these paths, or of all others.

    Parameters
    ----------
    root : Node
    paths : iterable of tuple of str, or of dotted names
        Or a single dotted name.
    kept : bool
        Whether these are kept, or left out.

    Returns
    -------
    plan : Plan
    reason : str
        Why no instances can be made of it; "" if they can.

    Raises
    ------
    ModelError
        If a path is not in the model, or no parameter is left.
    """
    given = [tuple(p.split(".")) if isinstance(p, str) else tuple(p) for p in _as_list(paths)]
    try:
        return make_plan(root.with_paths(given) if kept else root.without_paths(given)), ""
    except ModelError as error:
        if not {path for path, _ in walk(root)}.issuperset(given):
            raise
        names_alone = _names_alone(root, lambda path: kept == any(path[: len(p)] == p for p in given))
        return make_plan(names_alone), error.message


def _as_list(paths: Iterable[Path | str] | str) -> list[Path | str]:
    return [paths] if isinstance(paths, str) else list(paths)


def _names_alone(root: Node, keep: Callable[[Path], bool]) -> Collection:
    """Return what is kept under the same names and in the same order, without the user's classes."""
    whole = Collection()
    for path, item in walk(root):
        if isinstance(item, Node) or not keep(path):
            continue
        here: Node = whole
        for name in path[:-1]:
            if name not in dict(here.children()):
                here._set(name, Collection())
            here = dict(here.children())[name]
        here._set(path[-1], item)
    return whole
