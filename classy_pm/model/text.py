"""Models as text and as HTML; runs of equal parts are folded, so that large models stay readable."""

from __future__ import annotations

import html
from collections.abc import Iterator
from typing import Any

from classy_pm.model.expressions import Expression, render
from classy_pm.model.layout import walk
from classy_pm.model.node import Node
from classy_pm.model.prior import AbstractPrior
from classy_pm.model.signature import REQUIRED

__all__ = ["folded", "html_of", "info_of", "prior_text"]

# From how many equal parts in a row they are told in one.
FOLD_FROM = 3

Row = tuple[int, str, str]  # depth, label, text


def info_of(root: Node) -> str:
    """Return a model as text: a line a part, a line a parameter."""
    rows = [("    " * depth + label, text) for depth, label, text in _rows(root)]
    width = max((len(label) for label, _ in rows), default=0) + 2
    count = root.total_free_parameters
    head = f"{root._title()} with {count} free parameter{'' if count == 1 else 's'}"
    return "\n".join([head, "", *(f"{label:<{width}}{text}".rstrip() for label, text in rows)])


def html_of(root: Node) -> str:
    """Return a model as an HTML table."""
    body = "".join(
        f"<tr><td style='text-align:left;padding-left:{0.5 + 1.5 * depth}em'>{html.escape(label)}</td>"
        f"<td style='text-align:left'>{html.escape(text)}</td></tr>"
        for depth, label, text in _rows(root)
    )
    head = f"{root._title()}: {root.total_free_parameters} free parameters"
    return f"<table><caption>{html.escape(head)}</caption><tbody>{body}</tbody></table>"


def folded(node: Node) -> Iterator[tuple[list[str], Any]]:
    """Yield the children, runs of equal parts as one: the names, and the first of them."""
    first = _first_names(node)
    run: list[str] = []
    kept: Any = None
    look: Any = None
    for name, child in node.children():
        # Parts are equal if they look the same; a link to elsewhere is part of the look.
        this = tuple(_part_rows(child, (name,), first, own=name)) if isinstance(child, Node) else object()
        if run and this == look:
            run.append(name)
            continue
        yield from _run(run, kept, node)
        run, kept, look = [name], child, this
    yield from _run(run, kept, node)


def _run(names: list[str], child: Any, node: Node) -> Iterator[tuple[list[str], Any]]:
    if len(names) >= FOLD_FROM:
        yield names, child
    else:
        for name in names:
            yield [name], node._get(name)


def _first_names(root: Node) -> dict[Any, str]:
    return {parameter.prior: parameter.name for parameter in root._layout().parameters}


def _rows(root: Node) -> Iterator[Row]:
    first = _first_names(root)
    yield from _part_rows(root, (), first)
    yield from _hyperparameters(root, first)
    for name, assertion in root._layout().assertions:
        yield 0, f"assertion {name}", render(assertion, first.get)


def _part_rows(node: Node, path: tuple[str, ...], first: dict[Any, str], own: str = "") -> Iterator[Row]:
    """Yield the rows below a part.

    With `own`, links within the part itself are named relative to it, so that equal parts have equal rows.
    """
    depth = len(path) - bool(own)
    for names, child in folded(node) if not own else (([name], child) for name, child in node.children()):
        label = names[0] if len(names) == 1 else f"{names[0]} ... {names[-1]}"
        here = (*path, names[0])
        if isinstance(child, Node):
            alike = "" if len(names) == 1 else f" ({len(names)} alike, with parameters of their own)"
            yield depth, label, child._title() + alike
            yield from _part_rows(child, here, first, own)
        else:
            yield depth, label, _text(child, ".".join(here), first, own)


def _text(child: Any, here: str, first: dict[Any, str], own: str) -> str:
    if isinstance(child, AbstractPrior):
        name = first.get(child, here)
        if name != here:
            return f"is {name.removeprefix(f'{own}.') if own else name}"
        return prior_text(child, first)
    if isinstance(child, Expression):
        return f"= {render(child, first.get)}"
    return "no value yet" if child is REQUIRED else _constant(child)


def prior_text(prior: AbstractPrior, first: dict[Any, str]) -> str:
    """Return a prior as text, with its hyperparameters by name."""
    if not any(True for _ in prior.inputs()):
        return repr(prior)
    arguments = ", ".join(
        f"{key}={render(value, first.get)}" for key, value in prior.shown_arguments().items()
    )
    return f"{prior.family}({arguments})"


def _hyperparameters(root: Node, first: dict[Any, str]) -> Iterator[Row]:
    """Yield the parameters that stand in no place but another's arguments."""
    placed = {parameter.path for parameter in root._layout().parameters} - {path for path, _ in walk(root)}
    for parameter in root._layout().parameters:
        if parameter.path in placed:
            yield 0, parameter.name, prior_text(parameter.prior, first)


def _constant(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else text[:57] + "..."
