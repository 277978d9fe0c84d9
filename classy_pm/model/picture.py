"""A model as a graph to look at: mermaid text, or graphviz where it is installed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from classy_pm.errors import ModelError
from classy_pm.model.expressions import Expression, render
from classy_pm.model.node import Node
from classy_pm.model.prior import AbstractPrior
from classy_pm.model.text import Names, folded, prior_text

__all__ = ["ModelGraph"]

# Of more parameters that one depends on than this, the first are drawn.
MOST_DEPENDENCIES, FIRST = 6, 3


@dataclass(frozen=True)
class Vertex:
    """A part, a parameter or a derived parameter."""

    key: str
    label: str
    kind: str  # "part", "parameter", "derived" or "more"
    plate: str = ""


@dataclass(frozen=True)
class ModelGraph:
    """The parts of a model, its parameters, and which depend on which.

    Attributes
    ----------
    vertices : tuple of Vertex
    edges : tuple of (str, str)
        Keys of two vertices: what is above and what is below it.
    plates : tuple of (str, int)
        Of a graph of factors: the dims, each with the number of data sets along it.
    """

    vertices: tuple[Vertex, ...]
    edges: tuple[tuple[str, str], ...]
    plates: tuple[tuple[str, int], ...] = ()

    @classmethod
    def of(cls, root: Node) -> ModelGraph:
        """Draw a model; a run of equal parts is drawn once, and so are the factors of a plate."""
        layout = root._layout()
        names = Names(layout)
        placed: dict[Any, str] = {item: ".".join(path) for path, item in reversed(layout.derived)}
        vertices: dict[str, Vertex] = {}
        edges: dict[tuple[str, str], None] = {}
        keys: dict[Any, str] = {}
        kept: list[Any] = []

        def add(item: Any, label: str, kind: str, plate: str = "") -> str:
            # Equal numbers of other objects do not count: every item is alive while the graph is made.
            key = keys.setdefault(id(item), f"n{len(keys)}")
            vertices.setdefault(key, Vertex(key, label, kind, plate))
            return key

        def expression(item: Expression, label: str) -> str:
            known = id(item) in keys
            kind = "parameter" if isinstance(item, AbstractPrior) else "derived"
            look = prior_text(item, names) if isinstance(item, AbstractPrior) else render(item, names.get)
            text = f"{names.get(item, label)}\n{look}"
            key = add(item, text, kind, names.along.get(item, ""))
            if not known:
                others = list(dict.fromkeys(_dependencies(item, placed)))
                # What stands one by one along a plate can be as much as there are data sets.
                shown = others if len(others) <= MOST_DEPENDENCIES else others[:FIRST]
                for other in shown:
                    edges[key, expression(other, label)] = None
                if len(shown) < len(others):
                    edges[key, add(others, f"{len(others) - len(shown)} more", "more")] = None
                    kept.append(others)
            return key

        def node(item: Node, label: str, plate: str = "") -> str:
            known = id(item) in keys
            key = add(item, f"{label}\n{item._title()}" if label else item._title(), "part", plate)
            if not known:
                for name, child in _drawn(item):
                    if isinstance(child, Node):
                        edges[key, node(child, name, plate)] = None
                    elif isinstance(child, Expression):
                        edges[key, expression(child, placed.get(child, name))] = None
            return key

        if not hasattr(layout, "plates"):
            node(root, "")
            return cls(tuple(vertices.values()), tuple(edges))
        top = add(root, root._title(), "part")
        for plate in layout.plates:
            part = layout.root if len(layout.plates) == 1 else layout.root._get(plate.dim)
            edges[top, node(part, "", plate.dim)] = None
        plates = tuple((plate.dim, len(plate.names)) for plate in layout.plates)
        return cls(tuple(vertices.values()), tuple(edges), plates)

    @property
    def mermaid(self) -> str:
        """The graph as mermaid text."""
        shapes = {
            "part": ('["', '"]'),
            "parameter": ('(["', '"])'),
            "derived": ('{{"', '"}}'),
            "more": ('["', '"]'),
        }
        lines = ["flowchart TD"]
        for dim, count in (("", 0), *self.plates):
            lines += [f'    subgraph {dim} ["{dim} ({count})"]'] if dim else []
            for vertex in self._in(dim):
                before, after = shapes[vertex.kind]
                inset = "        " if dim else "    "
                lines.append(f"{inset}{vertex.key}{before}{_escaped(vertex.label)}{after}")
            lines += ["    end"] if dim else []
        lines += [f"    {above} --> {below}" for above, below in self.edges]
        return "\n".join(lines)

    def _in(self, plate: str) -> list[Vertex]:
        return [vertex for vertex in self.vertices if vertex.plate == plate]

    def graphviz(self) -> Any:
        """Return the graph as a ``graphviz.Digraph``.

        Raises
        ------
        ModelError
            If graphviz is not installed.
        """
        try:
            import graphviz
        except ImportError as error:
            raise ModelError(
                "The Python package graphviz is not installed.",
                cure="print(model.graph()) gives mermaid text.",
            ) from error
        drawing = graphviz.Digraph()
        shapes = {"part": "box", "parameter": "ellipse", "derived": "hexagon", "more": "plaintext"}
        for vertex in self._in(""):
            drawing.node(vertex.key, vertex.label, shape=shapes[vertex.kind])
        for dim, count in self.plates:
            with drawing.subgraph(name=f"cluster_{dim}") as box:
                box.attr(label=f"{dim} ({count})")
                for vertex in self._in(dim):
                    box.node(vertex.key, vertex.label, shape=shapes[vertex.kind])
        for above, below in self.edges:
            drawing.edge(above, below)
        return drawing

    def __str__(self) -> str:
        return self.mermaid

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/plain": self.mermaid, "text/markdown": f"```mermaid\n{self.mermaid}\n```"}


def _dependencies(item: Expression, placed: dict[Any, str]) -> Iterator[Expression]:
    """Yield the parameters that an expression depends on; arithmetic on the way has no vertex of its own."""
    for _, other in item.inputs():
        if isinstance(other, AbstractPrior) or other in placed:
            yield other
        else:
            yield from _dependencies(other, placed)


def _drawn(node: Node) -> Iterator[tuple[str, Any]]:
    """Yield the children that are drawn: of a run of equal parts the first, named after all."""
    for names, child in folded(node):
        label = names[0] if len(names) == 1 else f"{names[0]} ... {names[-1]} ({len(names)} alike)"
        yield label, child


def _escaped(text: str) -> str:
    text = text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;")
    return text.replace("\n", "<br/>")
