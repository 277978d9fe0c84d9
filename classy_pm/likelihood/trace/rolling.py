"""Loops over data rolled up again.

`for i in range(n): total += ((data[i] - model[i]) / noise[i]) ** 2` is recorded as n copies of one
expression. Where they differ only in the numbers and places that they refer to, they become one
expression of vectors: in a sum, in an array that is filled place by place, and in an array made of a list.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Constant, Variable
from pytensor.graph.traversal import io_toposort
from pytensor.scalar import basic as scalar
from pytensor.tensor.basic import Join, MakeVector
from pytensor.tensor.elemwise import DimShuffle, Elemwise
from pytensor.tensor.subtensor import Subtensor
from pytensor.tensor.type import TensorType

from classy_pm.likelihood.trace.places import place_of, place_written

# Shorter sums are as good as they are.
SHORTEST = 8


class _Different(Exception):
    """The expressions are not copies of one."""


def rolled(value: Variable) -> Variable:
    """Return the graph of a value with its loops rolled up.

    Parameters
    ----------
    value : TensorVariable
        A scalar.
    """
    nodes = list(io_toposort([], [value]))
    clients: dict[Variable, list[Any]] = {}
    for node in nodes:
        for item in node.inputs:
            clients.setdefault(item, []).append(node)
    new: dict[Variable, Variable] = {}
    shared: set[Variable] = set()  # what several nodes use, a state of a recurrence say, is no mere summand
    for node in nodes:
        parts = [new.get(item, item) for item in node.inputs]
        if any(part is not item for part, item in zip(parts, node.inputs, strict=True)):
            fresh = node.op.make_node(*parts)
            new.update(zip(node.outputs, fresh.outputs, strict=True))
        output = node.outputs[0]
        users = clients.get(output, [])
        if len(users) == 1 and _continues(users[0], node, output):
            continue  # the end of the chain is looked at
        better = _rolled_node(new.get(output, output), shared)
        if (
            better is not None
            and better.type.is_super(output.type)
            and better.type.shape == output.type.shape
        ):
            new[output] = better
        if len(users) > 1:
            shared.add(new.get(output, output))
    return new.get(value, value)


def _continues(user: Any, node: Any, output: Variable) -> bool:
    if _is_sum(node) and _is_sum(user):
        return True
    return _is_write(node) and _is_write(user) and user.inputs[0] is output


def _is_sum(node: Any) -> bool:
    return (
        isinstance(node.op, Elemwise)
        and isinstance(node.op.scalar_op, scalar.Add | scalar.Sub)
        and node.outputs[0].type.ndim == 0
        and "float" in node.outputs[0].type.dtype
    )


def _is_write(node: Any) -> bool:
    return place_written(node) is not None


def _rolled_node(output: Variable, shared: set[Variable]) -> Variable | None:
    node = output.owner
    if node is None:
        return None
    try:
        if _is_sum(node):
            return _rolled_sum(output, shared)
        if _is_write(node):
            return _rolled_writes(output)
        if isinstance(node.op, MakeVector) and len(node.inputs) >= SHORTEST:
            return roll(node.inputs)
        if isinstance(node.op, Join):
            return _rolled_join(node)
    except _Different:
        return None
    return None


def _rolled_sum(output: Variable, shared: set[Variable]) -> Variable:
    groups: dict[Any, list[Variable]] = {}
    todo = [(output, 1)]
    while todo:
        item, sign = todo.pop()
        node = item.owner
        if node is not None and _is_sum(node) and item not in shared:
            flip = -1 if isinstance(node.op.scalar_op, scalar.Sub) else 1
            todo += [(part, sign * flip) for part in reversed(node.inputs[1:])]
            todo.append((node.inputs[0], sign))
        else:
            kind = None if node is None else (node.op, item.type)
            groups.setdefault((sign, kind), []).append(item)
    if all(len(group) < SHORTEST for group in groups.values()):
        raise _Different
    total: Variable | None = None
    for (sign, _), group in groups.items():
        try:
            parts = [pt.sum(_as_vector(roll(group), len(group)))] if len(group) >= SHORTEST else group
        except _Different:
            parts = group
        for part in parts:
            if total is None:
                total = part if sign > 0 else -part
            else:
                total = total + part if sign > 0 else total - part
    assert total is not None
    return total


def _rolled_writes(output: Variable) -> Variable:
    shape = output.type.shape
    values: dict[int, Variable] = {}
    base = output
    while base.owner is not None and _is_write(base.owner):
        place = np.ravel_multi_index(place_written(base.owner), shape)  # type: ignore[arg-type]
        values.setdefault(int(place), base.owner.inputs[1])
        base = base.owner.inputs[0]
    if len(values) < SHORTEST:
        raise _Different
    groups: dict[Any, list[int]] = {}
    for position in sorted(values):
        owner = values[position].owner
        groups.setdefault(None if owner is None else owner.op, []).append(position)
    rolled = {}
    for key, places in groups.items():
        try:
            rolled[key] = _as_vector(roll([values[position] for position in places]), len(places))
        except _Different:
            if len(groups) == 1:
                raise
    if not any(len(groups[key]) >= SHORTEST for key in rolled):
        raise _Different
    if len(groups) == 1 and len(values) == np.prod(shape):
        return pt.cast(next(iter(rolled.values())).reshape(shape), output.type.dtype)
    result = base
    for key, places in groups.items():
        if key in rolled:
            result = pt.set_subtensor(result[np.unravel_index(places, shape)], rolled[key])
            continue
        for position in places:
            result = pt.set_subtensor(result[np.unravel_index(position, shape)], values[position])
    return result


def _rolled_join(node: Any) -> Variable:
    parts = node.inputs[1:]
    if len(parts) < SHORTEST or not all(
        isinstance(part.owner and part.owner.op, DimShuffle)
        and part.owner.inputs[0].type.ndim == 0
        and part.type.ndim == 1
        for part in parts
    ):
        raise _Different
    return _as_vector(roll([part.owner.inputs[0] for part in parts]), len(parts))


def _as_vector(variable: Variable, length: int) -> Variable:
    """Return a vector of what is the same in every copy."""
    return pt.broadcast_to(variable, (length,)) if variable.type.ndim == 0 else variable


def roll(terms: Sequence[Variable]) -> Variable:
    """Return one expression for scalars that are copies of one: a vector, or a scalar where all are the same.

    Parameters
    ----------
    terms : sequence of TensorVariable
        Scalars.
    """
    first = terms[0]
    if all(term is first for term in terms):
        return first
    if not all(isinstance(term.type, TensorType) and term.type == first.type for term in terms):
        raise _Different
    if all(isinstance(term, Constant) for term in terms):
        return pt.constant(np.array([term.data for term in terms]))  # type: ignore[attr-defined]
    nodes = [term.owner for term in terms]
    if any(node is None for node in nodes):
        raise _Different
    operation = nodes[0].op
    if any(node.op != operation or len(node.inputs) != len(nodes[0].inputs) for node in nodes):
        raise _Different
    if isinstance(operation, Subtensor):
        return _rolled_elements(nodes, operation)
    if isinstance(operation, Elemwise) and len(nodes[0].outputs) == 1:
        columns = zip(*(node.inputs for node in nodes), strict=True)
        return operation(*(roll(column) for column in columns))
    raise _Different


def _rolled_elements(nodes: list[Any], operation: Subtensor) -> Variable:
    from classy_pm.likelihood.trace.memory import gathered

    parent = nodes[0].inputs[0]
    if any(node.inputs[0] is not parent for node in nodes):
        raise _Different
    places = [place_of(node.inputs[1:], operation, parent.type.shape) for node in nodes]
    if None in places:
        raise _Different
    flat = np.ravel_multi_index(np.array(places).T, parent.type.shape)
    return gathered(
        parent.reshape((int(np.prod(parent.type.shape)),)) if parent.type.ndim > 1 else parent, flat
    )
