"""Models as text and as HTML."""

from __future__ import annotations

import html
from collections.abc import Iterator
from typing import Any

from classy_pm.model.expressions import Expression
from classy_pm.model.node import Node
from classy_pm.model.prior import AbstractPrior
from classy_pm.model.signature import REQUIRED

__all__ = ["html_of", "info_of"]


def info_of(root: Node) -> str:
    """Return a model as text: a line a part, a line a parameter."""
    rows = list(_rows(root))
    width = max((len(label) for label, _ in rows), default=0) + 2
    count = root.total_free_parameters
    head = f"{root._title()} with {count} free parameter{'' if count == 1 else 's'}"
    return "\n".join([head, "", *(f"{label:<{width}}{text}".rstrip() for label, text in rows)])


def html_of(root: Node) -> str:
    """Return a model as an HTML table."""
    body = "".join(
        "<tr><td style='text-align:left;white-space:pre'>"
        f"{html.escape(label)}</td><td style='text-align:left'>{html.escape(text)}</td></tr>"
        for label, text in _rows(root)
    )
    head = f"{root._title()}: {root.total_free_parameters} free parameters"
    return f"<table><caption>{html.escape(head)}</caption><tbody>{body}</tbody></table>"


def _rows(root: Node) -> Iterator[tuple[str, str]]:
    first = {parameter.prior: parameter.name for parameter in root._layout().parameters}
    yield from _node_rows(root, (), first)
    for name, assertion in root._layout().assertions:
        yield f"assertion {name}", repr(assertion)


def _node_rows(node: Node, path: tuple[str, ...], first: dict[Any, str]) -> Iterator[tuple[str, str]]:
    indent = "    " * len(path)
    for name, child in node.children():
        here = ".".join((*path, name))
        if isinstance(child, Node):
            yield f"{indent}{name}", child._title()
            yield from _node_rows(child, (*path, name), first)
        elif isinstance(child, AbstractPrior) and first[child] != here:
            yield f"{indent}{name}", f"is {first[child]}"
        elif isinstance(child, Expression):
            yield f"{indent}{name}", repr(child)
        else:
            yield f"{indent}{name}", "no value yet" if child is REQUIRED else _constant(child)


def _constant(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else text[:57] + "..."
