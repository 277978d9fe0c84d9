"""From the values of the free parameters to the user's objects.

The tree is compiled once to a flat list of steps. Each takes from a list of slots what its constructor
needs, and appends what it made; the last makes the root. The slots are the free parameters, then the
constants, then what the steps make.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any

import numpy as np

from classy_pm.model.collection import Collection, Instance
from classy_pm.model.expressions import Derived, Expression
from classy_pm.model.model import Model
from classy_pm.model.node import Node
from classy_pm.model.signature import read_signature

__all__ = ["compile_instances"]

Step = Callable[[list[Any]], Any]


def compile_instances(
    root: Node,
    position: Mapping[Expression, int],
    translate: Callable[[np.ufunc], Callable[..., Any]] = lambda ufunc: ufunc,
) -> Callable[[list[Any]], Any]:
    """Compile a model to a function from a list of values to the user's objects.

    Parameters
    ----------
    root : Node
    position : mapping of Expression to int
        Where in the list each free parameter's value is.
    translate : callable
        Gives what computes derived parameters in the place of NumPy's functions.
    """
    slots_of: dict[Expression, int] = dict(position)
    size = len(position)
    constants: list[Any] = []
    # How many constants there are is known after the walk: until then, what the steps make is
    # addressed by negative numbers, -1 being the first.
    made = 0
    pending: list[Callable[[int], Step]] = []

    def add(step: Callable[[int], Step]) -> int:
        nonlocal made
        pending.append(step)
        made += 1
        return -made

    def constant(value: Any) -> int:
        constants.append(value)
        return size + len(constants) - 1

    def slot(value: Any) -> int:
        if isinstance(value, Node):
            return node_slot(value)
        if not isinstance(value, Expression):
            return constant(value)
        if value not in slots_of:
            assert isinstance(value, Derived)
            operands = [slot(operand) for operand in value.operands]
            slots_of[value] = add(_derived_step(translate(value.function), operands))
        return slots_of[value]

    nodes: dict[int, int] = {}

    def node_slot(node: Node) -> int:
        # The same part in two places is one object in the instance as well.
        if id(node) not in nodes:
            nodes[id(node)] = add(
                _model_step(node, slot) if isinstance(node, Model) else _collection_step(node, slot)
            )
        return nodes[id(node)]

    node_slot(root)
    offset = size + len(constants)
    steps = [step(offset) for step in pending]
    if len(steps) == 1 and not constants:
        return steps[0]  # of one class with all its arguments free: the inner loop of many a fit

    def build(values: list[Any]) -> Any:
        slots = values + constants
        for step in steps:
            slots.append(step(slots))
        return slots[-1]

    return build


def _at(slots: Sequence[int], offset: int) -> tuple[int, ...]:
    """Resolve slots: negative ones count what the steps made, from `offset` on."""
    return tuple(slot if slot >= 0 else offset - slot - 1 for slot in slots)


def _pick(slots: tuple[int, ...]) -> Callable[[list[Any]], tuple[Any, ...]]:
    if len(slots) == 1:
        only = slots[0]
        return lambda values: (values[only],)
    return itemgetter(*slots) if slots else lambda values: ()


def _call(function: Callable[..., Any], slots: tuple[int, ...]) -> Step:
    pick = _pick(slots)
    return lambda values: function(*pick(values))


def _derived_step(function: Callable[..., Any], operands: list[int]) -> Callable[[int], Step]:
    return lambda offset: _call(function, _at(operands, offset))


def _model_step(model: Model, slot: Callable[[Any], int]) -> Callable[[int], Step]:
    children = dict(model.children())
    positional: list[tuple[int, ...] | int] = []
    keywords: dict[str, tuple[int, ...] | int] = {}
    for argument in read_signature(model.cls).arguments:
        place: tuple[int, ...] | int
        if argument.kind == "tuple":
            place = tuple(slot(children.pop(element)) for element in argument.elements)
        else:
            place = slot(children.pop(argument.name))
        if argument.positional:
            positional.append(place)
        else:
            keywords[argument.name] = place
    extras = {name: slot(children.pop(name)) for name in model._extras}
    keywords.update({name: slot(value) for name, value in children.items()})  # taken by **kwargs
    cls = model.cls

    def resolve(offset: int) -> Step:
        if not keywords and not extras and all(isinstance(place, int) for place in positional):
            return _call(cls, _at(positional, offset))  # type: ignore[arg-type]
        take = [_taker(place, offset) for place in positional]
        take_named = {name: _taker(place, offset) for name, place in keywords.items()}
        take_extras = {name: _taker(place, offset) for name, place in extras.items()}

        def make(values: list[Any]) -> Any:
            made = cls(*[t(values) for t in take], **{name: t(values) for name, t in take_named.items()})
            for name, t in take_extras.items():
                setattr(made, name, t(values))
            return made

        return make

    return resolve


def _taker(place: tuple[int, ...] | int, offset: int) -> Step:
    if isinstance(place, tuple):
        return _pick(_at(place, offset))
    (index,) = _at([place], offset)
    return itemgetter(index)


def _collection_step(node: Node, slot: Callable[[Any], int]) -> Callable[[int], Step]:
    assert isinstance(node, Collection)
    names = [name for name, _ in node.children()]
    slots = [slot(child) for _, child in node.children()]
    container = node._container

    def resolve(offset: int) -> Step:
        pick = _pick(_at(slots, offset))
        if container == "list":
            return lambda values: list(pick(values))
        if container == "tuple":
            return pick
        if container == "dict":
            return lambda values: dict(zip(names, pick(values), strict=True))
        return lambda values: Instance(dict(zip(names, pick(values), strict=True)))

    return resolve
