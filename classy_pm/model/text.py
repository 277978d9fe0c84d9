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

__all__ = ["Names", "folded", "html_of", "info_of", "plate_text", "prior_text"]

# From how many equal parts in a row they are told in one.
FOLD_FROM = 3
# Of parameters that stand one by one in an array, so many are told.
MOST_OPERANDS = 6

Row = tuple[int, str, str]  # depth, label, text


def info_of(root: Node) -> str:
    """Return a model as text: a line a part, a line a parameter; of a graph of factors, of a plate."""
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
    first = Names(node._layout())
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


class Names(dict[Any, str]):
    """The names of a model's parameters by their priors, and which of these are arrays along a plate."""

    def __init__(self, layout: Any) -> None:
        super().__init__((parameter.prior, parameter.name) for parameter in layout.parameters)
        self.along = getattr(layout, "along", {})


def _rows(root: Node) -> Iterator[Row]:
    first = Names(root._layout())
    if hasattr(root._layout(), "plates"):
        yield from _plate_rows(root._layout(), first)
    else:
        yield from _part_rows(root, (), first)
        yield from _hyperparameters(root._layout(), root, first)
    for name, assertion in root._layout().assertions:
        yield 0, f"assertion {name}", render(assertion, first.get)


def _plate_rows(layout: Any, first: Names) -> Iterator[Row]:
    """Yield the rows of a graph of factors: of one data set of each plate, whose parameters are arrays."""
    for plate in layout.plates:
        whole = len(layout.plates) == 1
        part = layout.root if whole else layout.root._get(plate.dim)
        yield 0, plate.dim, f"{part._title()} of {plate_text(plate)}"
        for depth, label, text in _part_rows(part, () if whole else (plate.dim,), first):
            yield depth + whole, label, text
    yield from _hyperparameters(layout, layout.root, first)


def plate_text(plate: Any) -> str:
    """Return of how many data sets a plate is, and which."""
    names = plate.names
    if len(names) < FOLD_FROM:
        return f"{len(names)} data set{'s' * (len(names) > 1)}: {', '.join(names)}"
    return f"{len(names)} data sets: {names[0]} ... {names[-1]}"


def _part_rows(node: Node, path: tuple[str, ...], first: Names, own: str = "") -> Iterator[Row]:
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


def _text(child: Any, here: str, first: Names, own: str) -> str:
    if isinstance(child, AbstractPrior):
        name = first.get(child, here)
        if name != here:
            return f"is {name.removeprefix(f'{own}.') if own else name}"
        return prior_text(child, first)
    if isinstance(child, Expression):
        return f"= {render(child, first.get)}"
    return "no value yet" if child is REQUIRED else _constant(child)


def prior_text(prior: AbstractPrior, first: Names) -> str:
    """Return a prior as text, with its hyperparameters by name; along a plate that of each element."""
    if prior in first.along:
        each = prior.with_arguments(prior.arguments)
        each.shape = prior.shape[1:]
        return f"{prior_text(each, first)}, one for each"
    if not any(True for _ in prior.inputs()):
        return repr(prior)
    arguments = ", ".join(
        f"{key}={render(value, first.get)}" for key, value in prior.shown_arguments().items()
    )
    text = f"{prior.family}({arguments})"
    return f"Array({prior.shape}, {text})" if prior.shape else text


def _hyperparameters(layout: Any, root: Node, first: Names) -> Iterator[Row]:
    """Yield the parameters that stand in no place but another's arguments."""
    stands = {path for path, _ in walk(root)}
    factors = {name for names in layout.coords.values() for name in names}
    count: dict[Any, int] = {}
    for parameter in layout.parameters:
        if parameter.path in stands:
            continue
        # What stands one by one along a plate can be as much as there are data sets.
        above = parameter.path[:-1] if parameter.path[-1] in factors else parameter.path
        count[above] = count.get(above, 0) + 1
        if count[above] <= MOST_OPERANDS:
            yield 0, parameter.name, prior_text(parameter.prior, first)
    for above, number in count.items():
        if number > MOST_OPERANDS:
            yield 0, f"{'.'.join(above)} ...", f"{number - MOST_OPERANDS} more"


def _constant(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else text[:57] + "..."
