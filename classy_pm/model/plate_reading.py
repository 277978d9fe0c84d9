"""A graph of factors read as a model of arrays: one plate for all factors of a structure.

What stands at one place of a plate's factors is a column. A column of one and the same parameter stays that
parameter; of equal numbers, that number. A column of parameters of their own becomes one parameter, an array
with an element a factor, whose arguments are columns again. A column of arithmetic is that arithmetic on
columns. Whatever else there can be in a column is stacked, element by element: always right, but as large as
the plate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from classy_pm.errors import ModelError
from classy_pm.model.ancestry import check_chains
from classy_pm.model.collection import Collection
from classy_pm.model.columns import Aligned, Element, Stacked
from classy_pm.model.edit import empty_like
from classy_pm.model.expressions import Assertion, Derived, Expression, is_number
from classy_pm.model.factors import FactorGraphModel
from classy_pm.model.layout import Layout, walk
from classy_pm.model.model import Model
from classy_pm.model.node import Node, Path
from classy_pm.model.plates import Plate, PlateLayout
from classy_pm.model.prior import AbstractPrior, MissingPrior

__all__ = ["layout_of_graph"]

# The dim of a graph with one plate, and what those of several are called.
DIM, DIMS = "dataset", "plate_{}"


def layout_of_graph(graph: FactorGraphModel) -> PlateLayout:
    """Read a graph.

    Raises
    ------
    ModelError
        If something in it is drawn from itself, or what is drawn in it is in no model of it.
    """
    return _Reader(graph).layout()


class _Reader:
    """Reads a graph: first which parameters are elements of which array, then the arrays."""

    def __init__(self, graph: FactorGraphModel) -> None:
        self.graph = graph
        self.drawn = graph.drawn_from()
        # The parameters that are drawn from a parent and were met in a model.
        self.met: set[AbstractPrior] = set()
        # Of each parameter that is an element of an array: all parameters of that array, its place
        # and the dim.
        self.element: dict[AbstractPrior, tuple[tuple[AbstractPrior, ...], int, str]] = {}
        self.made: dict[Any, Any] = {}
        # The factors along each dim.
        self.names: dict[str, tuple[str, ...]] = {}
        self.along: dict[Expression, str] = {}

    def layout(self) -> PlateLayout:
        """Return the graph's layout."""
        models = [self.graph[name] for name in self.graph.factor_names]
        kinds: dict[Any, list[int]] = {}
        for place, model in enumerate(models):
            kinds.setdefault(_structure(model), []).append(place)
        names = self.graph.factor_names
        dims = [DIM] if len(kinds) == 1 else [DIMS.format(number) for number in range(len(kinds))]
        self.names = {
            dim: tuple(names[place] for place in kind) for dim, kind in zip(dims, kinds.values(), strict=True)
        }
        tables = {
            dim: _table([models[place] for place in kind])
            for dim, kind in zip(dims, kinds.values(), strict=True)
        }
        for dim, table in tables.items():
            for items in table.values():
                self._claim(tuple(map(self._own, items)), dim)
        self._release_loops(tables)
        plates, parts = [], {}
        for (dim, table), kind in zip(tables.items(), kinds.values(), strict=True):
            columns = {path: self._column(items, dim) for path, items in table.items()}
            first = models[kind[0]]
            slots = {
                path: MissingPrior()
                for path, column in columns.items()
                if isinstance(column, (Expression, np.ndarray))
            }
            plates.append(
                Plate(
                    dim,
                    tuple(kind),
                    self.names[dim],
                    _with_leaves(first, {**columns, **slots}),
                    tuple(slots.values()),
                    tuple(columns[path] for path in slots),
                )
            )
            parts[dim] = _with_leaves(first, columns)
            self._add_assertions(parts[dim], [models[place] for place in kind], dim)
        root = parts[DIM] if len(parts) == 1 else Collection(parts)
        for name, assertion in self.graph._assertions:
            root.add_assertion(
                _assertion(
                    assertion, [(self._single(p.left), self._single(p.right)) for p in assertion.parts]
                ),
                name,
            )
        self.graph.check_parents(self.met)
        read = Layout.of(root)
        fields = {name: getattr(read, name) for name in Layout.__dataclass_fields__}
        named = dict(zip(self.graph.factor_names, models, strict=True))
        return PlateLayout(
            **fields,
            plates=tuple(plates),
            along=self.along,
            models=named,
            drawn=self.drawn,
            standing=self._standing(),
        )

    def _standing(self) -> dict[AbstractPrior, tuple[AbstractPrior, int | None]]:
        """Return what stands for each of the user's parameters."""
        arrays: dict[int, Any] = {}
        found: dict[AbstractPrior, tuple[AbstractPrior, int | None]] = {
            item: (made, None)
            for item, made in self.made.items()
            if isinstance(item, AbstractPrior) and isinstance(made, AbstractPrior)
        }
        for prior, (items, place, dim) in self.element.items():
            if id(items) not in arrays:
                arrays[id(items)] = self._column(items, dim)
            found[prior] = arrays[id(items)], place
        return found

    def _add_assertions(self, part: Node, models: list[Node], dim: str) -> None:
        """Give the model of arrays the assertions of the factors' models, column by column."""
        nodes = [dict(_nodes(model)) for model in models]
        for path, node in dict(_nodes(part)).items():
            for number, (name, assertion) in enumerate(nodes[0][path]._assertions):
                alike = [of_factor[path]._assertions[number][1].parts for of_factor in nodes]
                sides = self._all_aligned(
                    [
                        self._operand(tuple(getattr(parts[place], side) for parts in alike), dim)
                        for place in range(len(assertion.parts))
                        for side in ("left", "right")
                    ]
                )
                pairs = list(zip(sides[::2], sides[1::2], strict=True))
                node.add_assertion(_assertion(assertion, pairs), name)

    def _own(self, item: Any) -> Any:
        """Return what a parameter is drawn from in its place, if it is drawn from a parent."""
        if not isinstance(item, AbstractPrior) or item not in self.drawn:
            return item
        self.met.add(item)
        return self.drawn[item]

    # -- which parameters are elements of arrays ---------------------------------------------------

    def _claim(self, items: tuple[Any, ...], dim: str) -> None:
        """Make an array of a column of parameters of their own, and look at what they depend on."""
        first = items[0]
        if not isinstance(first, Expression) or all(item is first for item in items):
            return
        if self._are_own(items):
            for place, prior in enumerate(items):
                self.element[prior] = (items, place, dim)
            for name in first.arguments:  # type: ignore[attr-defined]
                self._claim(tuple(self._own(prior.arguments[name]) for prior in items), dim)
        elif _are_alike(items):
            for operands in zip(*(item.operands for item in items), strict=True):
                self._claim(tuple(map(self._own, operands)), dim)

    def _are_own(self, items: tuple[Any, ...]) -> bool:
        """Whether these are parameters that differ in nothing but their arguments, each here alone."""
        first = items[0]
        return (
            all(isinstance(item, AbstractPrior) for item in items)
            and len(set(items)) == len(items)
            and all(_family(item) == _family(first) for item in items)
            and not any(item in self.element for item in items)
        )

    def _release_loops(self, tables: Mapping[str, Mapping[Path, tuple[Any, ...]]]) -> None:
        """Let the parameters of an array stand one by one where some of them depend on others of it.

        Raises
        ------
        ModelError
            If a parameter is drawn from itself, or a chain of parents is too long.
        """
        loop = self._loop()
        if loop is not None or self.drawn:
            check_chains(self._own, tables, self.names)
        while loop is not None:
            for prior in loop:
                del self.element[prior]
            loop = self._loop()

    def _loop(self) -> tuple[AbstractPrior, ...] | None:
        """Return the parameters of an array that depends on itself, also by way of other arrays."""
        groups = {id(items): items for items, _, _ in self.element.values()}
        needs = {key: self._arrays_under(items) for key, items in groups.items()}
        for key, items in groups.items():
            waiting, seen = list(needs[key]), set()
            while waiting:
                other = waiting.pop()
                if other == key:
                    return items
                if other not in seen:
                    seen.add(other)
                    waiting += needs[other]
        return None

    def _arrays_under(self, items: tuple[AbstractPrior, ...]) -> set[int]:
        """Return which arrays the arguments of an array's parameters need."""
        found: set[int] = set()
        seen: set[Expression] = set()
        waiting = [value for prior in items for _, value in prior.inputs()]
        while waiting:
            item = self._own(waiting.pop())
            if item in self.element:
                found.add(id(self.element[item][0]))
            elif item not in seen:
                seen.add(item)
                waiting += [value for _, value in item.inputs()]
        return found

    # -- columns ------------------------------------------------------------------------------------

    def _column(self, items: tuple[Any, ...], dim: str) -> Any:
        """Return what stands for a column: an expression, a constant, or an array of numbers."""
        items = tuple(map(self._own, items))
        first = items[0]
        if all(item is first for item in items):
            return self._single(first)
        if all(is_number(item) for item in items):
            return first if all(item == first for item in items) else np.array(items, dtype=float)
        if not any(isinstance(item, Expression) for item in items):
            return first  # equal, or they were not of one structure
        key = (dim, *(id(item) if isinstance(item, Expression) else item for item in items))
        if key not in self.made:
            self.made[key] = made = self._made(items, dim)
            # Arithmetic on what is shared is shared.
            if made.__class__ is not Derived or any(part in self.along for _, part in made.inputs()):
                self.along[made] = dim
        return self.made[key]

    def _made(self, items: tuple[Any, ...], dim: str) -> Expression:
        first = items[0]
        if isinstance(first, AbstractPrior) and self.element.get(first, (None,))[0] == items:
            arguments = {
                name: self._argument(tuple(prior.arguments[name] for prior in items), first.shape, dim)
                for name in first.arguments
            }
            array = first.with_arguments(arguments)
            array.shape = (len(items), *first.shape)
            if all(item.origins for item in items):
                array.made_of(*(origin for item in items for origin in item.origins))
            return array
        if _are_alike(items):
            columns = zip(*(item.operands for item in items), strict=True)
            operands = [self._operand(column, dim) for column in columns]
            return Derived(first.function, tuple(self._all_aligned(operands)))
        return Stacked([self._single(item) for item in items], self.names[dim])

    def _argument(self, items: tuple[Any, ...], shape: tuple[int, ...], dim: str) -> Any:
        """Return what stands for an argument of a column of priors of this shape."""
        if any(np.ndim(item) for item in items if not isinstance(item, Expression)):
            # Arrays whose numbers have arguments of their own, as those of a posterior.
            if any(isinstance(item, Expression) for item in items):
                raise ModelError(
                    f"Arrays of data sets along {dim} have numbers as an argument here and parameters there.",
                    cure="Give all of them the one or the other.",
                )
            return np.stack([np.broadcast_to(item, shape) for item in items])
        return self._aligned(_of_shape(self._column(items, dim), shape), len(shape))

    def _all_aligned(self, columns: Sequence[Any]) -> list[Any]:
        """Return columns whose own axes broadcast as those of one factor's things do."""
        most = max(map(self._own_axes, columns))
        return [self._aligned(column, most) for column in columns]

    def _aligned(self, column: Any, axes: int) -> Any:
        """Return a column that broadcasts with one that has so many axes of its own."""
        if not isinstance(column, Expression) or column not in self.along:
            return column
        missing = axes - self._own_axes(column)
        if missing <= 0:
            return column
        key = (Aligned, column, missing)
        if key not in self.made:
            self.made[key] = made = Aligned(column, missing)
            self.along[made] = self.along[column]
        return self.made[key]

    def _own_axes(self, column: Any) -> int:
        """Return how many axes a column has besides that of the plate."""
        if isinstance(column, AbstractPrior):
            return len(column.shape) - (column in self.along)
        if isinstance(column, Element):
            return self._own_axes(column.operands[0])
        if isinstance(column, Aligned):
            return self._own_axes(column.operands[0]) + int(column.operands[1])
        if isinstance(column, Derived):
            return max(map(self._own_axes, column.operands), default=0)
        return 0

    def _operand(self, items: tuple[Any, ...], dim: str) -> Any:
        """Return a column that arithmetic can be done on."""
        column = self._column(items, dim)
        return self._constants(column, dim) if isinstance(column, np.ndarray) else column

    def _constants(self, numbers: np.ndarray, dim: str) -> Expression:
        column = Stacked(numbers.tolist(), self.names[dim])
        self.along[column] = dim
        return column

    def _single(self, item: Any) -> Any:
        """Return what stands for one expression of the user's."""
        item = self._own(item)
        if not isinstance(item, Expression):
            return item
        if item not in self.made:
            if isinstance(item, AbstractPrior):
                self.made[item] = self._single_prior(item)
            else:
                assert isinstance(item, Derived)
                operands = tuple(self._single(part) for part in item.operands)
                same = all(new is old for new, old in zip(operands, item.operands, strict=True))
                self.made[item] = item if same else Derived(item.function, operands)
        return self.made[item]

    def _single_prior(self, prior: AbstractPrior) -> Any:
        if prior in self.element:
            items, place, dim = self.element[prior]
            return Element(self._column(items, dim), place, self.names[dim][place])
        arguments = {name: self._single(value) for name, value in prior.arguments.items()}
        same = all(arguments[name] is value for name, value in prior.arguments.items())
        return prior if same else prior.with_arguments(arguments)


def _table(models: list[Node]) -> dict[Path, tuple[Any, ...]]:
    """Return what stands at each place of models of one structure, an item a model."""
    walked = [[(path, item) for path, item in walk(model) if not isinstance(item, Node)] for model in models]
    paths = [path for path, _ in walked[0]]
    return dict(
        zip(paths, zip(*([item for _, item in leaves] for leaves in walked), strict=True), strict=True)
    )


def _nodes(root: Node) -> list[tuple[Path, Node]]:
    return [(path, item) for path, item in walk(root) if isinstance(item, Node)]


def _structure(model: Node) -> tuple[Any, ...]:
    """Return what two models have in common that can be one plate; parameters and floats may differ."""
    first_seen: dict[int, int] = {}
    key: list[Any] = []
    for path, item in walk(model):
        if isinstance(item, Node):
            seen = first_seen.setdefault(id(item), len(first_seen))
            kind = (
                (item.cls, *item._extras) if isinstance(item, Model) else (getattr(item, "_container", ""),)
            )
            asserted = tuple(
                (name, *(part.comparison.__name__ for part in assertion.parts))
                for name, assertion in item._assertions
            )
            key.append((path, seen, kind, asserted))
        elif isinstance(item, Expression):
            key.append((path, getattr(item, "shape", ())))
        elif isinstance(item, (float, np.floating)):
            key.append((path, ()))
        else:
            key.append((path, _constant(item)))
    return tuple(key)


def _constant(item: Any) -> Any:
    """Return a key that is equal for equal constants; of what cannot be compared, for the same object."""
    if isinstance(item, np.ndarray) and item.dtype != object:
        return item.dtype.str, item.shape, item.tobytes()
    try:
        hash(item)
    except TypeError:
        return type(item), id(item)
    return type(item), item


def _with_leaves(model: Node, leaves: dict[Path, Any]) -> Any:
    """Return a model of the same structure, without assertions, with other things at its places."""
    made: dict[int, Node] = {}

    def replaced(node: Node, path: Path) -> Node:
        if id(node) not in made:
            new = made[id(node)] = empty_like(node)
            for name, child in node.children():
                place = (*path, name)
                new._set(name, replaced(child, place) if isinstance(child, Node) else leaves[place])
        return made[id(node)]

    return replaced(model, ())


def _assertion(like: Assertion, sides: Sequence[tuple[Any, Any]]) -> Assertion:
    """Return an assertion about other things."""
    parts = [Assertion(part.comparison, *both) for part, both in zip(like.parts, sides, strict=True)]
    parts[0].others = tuple(parts[1:])
    return parts[0]


def _family(prior: AbstractPrior) -> tuple[Any, ...]:
    """Return what priors have in common that can be one array."""
    frozen = id(prior) if getattr(prior, "frozen", None) is not None else None
    return type(prior), prior.pymc_name, prior.shape, tuple(prior.arguments), frozen


def _are_alike(items: tuple[Any, ...]) -> bool:
    """Whether these are the same arithmetic, each on things of its own."""
    first = items[0]
    return isinstance(first, Derived) and all(
        isinstance(item, Derived)
        and item.function is first.function
        and len(item.operands) == len(first.operands)
        for item in items
    )


def _of_shape(column: Any, shape: tuple[int, ...]) -> Any:
    """Return numbers along the plate for each element of an array."""
    if not shape or not isinstance(column, np.ndarray):
        return column
    spread = column.reshape(-1, *(1 for _ in shape))
    return np.broadcast_to(spread, (len(column), *shape)).copy()
