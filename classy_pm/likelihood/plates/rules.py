"""What operations do to arrays of which the beginning alone is a data set's own.

Each rule gives the merged outputs of one operation of all traces, so that the beginning of each output is
what the operation gives on the beginnings of its inputs: nothing that is padding may come in. An operation
without a rule is done on arrays of one shape only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Apply
from pytensor.tensor.basic import Alloc, ExtractDiag, Join
from pytensor.tensor.elemwise import CAReduce, DimShuffle, Elemwise
from pytensor.tensor.extra_ops import CumOp, SearchsortedOp
from pytensor.tensor.linalg.decomposition.cholesky import Cholesky
from pytensor.tensor.linalg.inverse import MatrixInverse
from pytensor.tensor.linalg.solvers.core import SolveBase
from pytensor.tensor.linalg.summary import Det, SLogDet
from pytensor.tensor.math import All, Dot, Max, Min, Prod, Sum
from pytensor.tensor.math import Any as AnyOf
from pytensor.tensor.reshape import JoinDims, SplitDims
from pytensor.tensor.shape import Reshape, SpecifyShape
from pytensor.tensor.subtensor import (
    AdvancedIncSubtensor,
    AdvancedSubtensor,
    IncSubtensor,
    Subtensor,
    unflatten_index_variables,
)

from classy_pm.likelihood.plates.padded import NotOne, Padded, padded_to

__all__ = ["Rule", "rule_of"]

Rule = Callable[[Sequence[Apply], list[Padded]], Sequence[Any]]

WRITES = (IncSubtensor, AdvancedIncSubtensor)


def rule_of(operation: Any) -> Rule:
    """Return the rule of an operation."""
    core = getattr(operation, "core_op", operation)
    for kinds, rule in RULES:
        if isinstance(core, kinds):
            return rule
    return unpadded


def largest_output(nodes: Sequence[Apply], place: int = 0) -> tuple[int, ...]:
    """Return the largest length of each axis of an output."""
    return tuple(map(max, zip(*(node.outputs[place].type.shape for node in nodes), strict=True)))


def _made(node: Apply, variables: Sequence[Any]) -> Sequence[Any]:
    return node.op.make_node(*variables).outputs


def unpadded(nodes: Sequence[Apply], items: list[Padded]) -> Sequence[Any]:
    """Do an operation on arrays whose shapes are the same in all traces."""
    lengths = [
        {output.type.shape for output in outputs} for outputs in zip(*(n.outputs for n in nodes), strict=True)
    ]
    if any(item.ragged for item in items) or any(len(shapes) > 1 for shapes in lengths):
        raise NotOne(f"`{nodes[0].op}` is done on arrays of several lengths")
    if any(item.differs and item.largest == () and item.each[0].type.dtype[:3] == "int" for item in items):
        raise NotOne(f"`{nodes[0].op}` is done with several integers")
    return _made(nodes[0], [item.variable for item in items])


def elementwise(nodes: Sequence[Apply], items: list[Padded]) -> Sequence[Any]:
    """Put arrays together, element by element, that have one shape or axes of length one."""
    shapes = np.array([node.outputs[0].type.shape for node in nodes])
    for item in items:
        for axis in range(item.ndim):
            lengths = item.lengths(axis)
            if not (np.array_equal(lengths, shapes[:, axis]) or np.all(lengths == 1)):
                raise NotOne("arrays of several lengths are put together")
    return _made(nodes[0], [item.variable for item in items])


NEUTRAL: dict[type, Callable[[Any], Any]] = {
    Sum: lambda dtype: 0,
    Prod: lambda dtype: 1,
    AnyOf: lambda dtype: False,
    All: lambda dtype: True,
    Max: lambda dtype: -np.inf if dtype.kind == "f" else np.iinfo(dtype).min,
    Min: lambda dtype: np.inf if dtype.kind == "f" else np.iinfo(dtype).max,
}


def reduction(nodes: Sequence[Apply], items: list[Padded]) -> Sequence[Any]:
    """Make neutral what is no data set's own."""
    (item,), operation = items, nodes[0].op
    if not item.ragged:
        return unpadded(nodes, items)
    neutral = NEUTRAL.get(type(operation))
    if neutral is None:
        raise NotOne(f"`{operation}` is done on arrays of several lengths")
    axes = range(item.ndim) if operation.axis is None else operation.axis
    dtype = np.dtype(item.each[0].type.dtype)
    return _made(nodes[0], [item.masked(axes, neutral(dtype))])


def product(nodes: Sequence[Apply], items: list[Padded]) -> Sequence[Any]:
    """Make zero what is no data set's own where a product of matrices sums over it."""
    left, right = items
    if any(set(item.ragged) - {item.ndim - 1, item.ndim - 2} for item in items):
        return unpadded(nodes, items)
    along = (left.ndim - 1, max(right.ndim - 2, 0))
    return _made(nodes[0], [item.masked([axis], 0.0) for item, axis in zip(items, along, strict=True)])


def matrix(nodes: Sequence[Apply], items: list[Padded]) -> Sequence[Any]:
    """Put ones on the diagonal of a matrix beyond its own size, and zeros into what it is applied to."""
    square, *others = items
    rows, columns = square.ndim - 2, square.ndim - 1
    if not any(item.ragged for item in items):
        return unpadded(nodes, items)
    lengths = square.lengths(columns)
    if set(square.ragged) != {rows, columns} or not np.array_equal(lengths, square.lengths(rows)):
        raise NotOne("a matrix has several shapes")
    size = square.largest[columns]
    inside = square.tables.mask(lengths, size)
    filled = pt.switch(inside[:, None] & inside[None, :], square.variable, pt.constant(np.eye(size)))
    parts = [item.masked(range(item.ndim), 0.0) for item in others]
    return _made(nodes[0], [filled, *parts])


def running(nodes: Sequence[Apply], items: list[Padded]) -> Sequence[Any]:
    """Sum up from the beginning of an axis: that never meets what is beyond the end."""
    (item,), operation = items, nodes[0].op
    if operation.axis is None and item.ndim > 1:
        return unpadded(nodes, items)
    return _made(nodes[0], [item.variable])


def of_sorted(nodes: Sequence[Apply], items: list[Padded]) -> Sequence[Any]:
    """Look each number up for itself in one and the same table."""
    table, _, *order = items
    if table.ragged or any(item.ragged for item in order):
        return unpadded(nodes, items)
    return _made(nodes[0], [item.variable for item in items])


def spread(nodes: Sequence[Apply], items: list[Padded]) -> Sequence[Any]:
    """Fill an array with a value."""
    value = items[0]
    if value.ragged:
        return moved(nodes, items)
    return [pt.alloc(value.variable, *largest_output(nodes))]


def as_it_is(nodes: Sequence[Apply], items: list[Padded]) -> Sequence[Any]:
    """Return the array itself."""
    return [items[0].variable]


def turned(nodes: Sequence[Apply], items: list[Padded]) -> Sequence[Any]:
    """Put axes in another order, add some, or leave out those of length one."""
    return _made(nodes[0], [items[0].variable])


def sliced(nodes: Sequence[Apply], items: list[Padded]) -> Sequence[Any]:
    """Take slices: where they begin at the same place, those of the beginnings are beginnings."""
    item = items[0]
    if any(index.constants is None for index in items[1:]) or not _anything_differs(items):
        return unpadded(nodes, items)
    wanted = []
    for node, shape in zip(nodes, item.shapes, strict=True):
        given = unflatten_index_variables([index.data for index in node.inputs[1:]], node.op.idx_list)
        if any(not isinstance(part, slice) for part in given):
            return moved(nodes, items)
        wanted.append([part.indices(length) for part, length in zip(given, shape, strict=False)])
    for one in wanted:
        for (start, _, step), (other, _, stride) in zip(wanted[0], one, strict=True):
            if start != other or step != stride or step < 0:
                return moved(nodes, items)
    ends = (
        first + step * (length - 1) + 1
        for (first, _, step), length in zip(wanted[0], largest_output(nodes), strict=False)
    )
    return [
        item.variable[
            tuple(slice(first, end, step) for (first, _, step), end in zip(wanted[0], ends, strict=True))
        ]
    ]


def gathered(nodes: Sequence[Apply], items: list[Padded]) -> Sequence[Any]:
    """Take elements at places that are constants, or at any places of a table of one length."""
    item, *places = items
    if not _anything_differs(items):
        return unpadded(nodes, items)
    if all(index.constants is not None for index in places):
        return moved(nodes, items)
    if item.ragged or len(places) > 1 or nodes[0].op.idx_list != (0,):
        return unpadded(nodes, items)
    return _made(nodes[0], [item.variable, places[0].variable])


def written(nodes: Sequence[Apply], items: list[Padded]) -> Sequence[Any]:
    """Write into some places of an array."""
    constant = all(index.constants is not None for index in items[2:])
    if not _anything_differs(items) or not nodes[0].op.set_instead_of_inc or not constant:
        return unpadded(nodes, items)
    return moved(nodes, items)


def _anything_differs(items: list[Padded]) -> bool:
    return any(item.ragged for item in items) or any(item.differs for item in items[1:])


def moved(nodes: Sequence[Apply], items: list[Padded]) -> Sequence[Any]:
    """Take from the inputs what the operation takes, which it shows by what it does to their places."""
    operation, shape = nodes[0].op, largest_output(nodes)
    if not _anything_differs(items):
        return unpadded(nodes, items)
    count = len(items) if isinstance(operation, Join) else 2 if isinstance(operation, WRITES) else 1
    sources, others = items[:count], items[count:]
    if any(item.constants is None for item in others):
        raise NotOne(f"`{operation}` depends on parameters and is done on arrays of several lengths")
    starts = np.cumsum([0, *(int(np.prod(source.largest)) for source in sources)])
    places = []
    for number, node in enumerate(nodes):
        given: list[Any] = []
        for start, source in zip(starts, sources, strict=False):
            of_largest = start + np.arange(int(np.prod(source.largest))).reshape(source.largest)
            given.append(of_largest[tuple(slice(length) for length in source.shapes[number])])
        given += [np.asarray(item.each[number].data)[()] for item in others]
        storage: list[list[Any]] = [[None]]
        node.op.perform(node, given, storage)
        places.append(np.asarray(storage[0][0], dtype="int64"))
    whole = pt.concatenate([source.variable.ravel() for source in sources])
    if _stay(places, shape, int(starts[-1])):
        return [whole.reshape(shape)]
    table = np.stack([padded_to(array, shape) for array in places])
    return [whole[items[0].tables.input_of(table)]]


def _stay(places: list[np.ndarray], largest: tuple[int, ...], size: int) -> bool:
    """Whether elements stay in their order, one after another from the first one on."""
    if int(np.prod(largest)) != size:
        return False
    order = np.arange(size).reshape(largest)
    return all(np.array_equal(order[tuple(map(slice, array.shape))], array) for array in places)


RULES: list[tuple[Any, Rule]] = [
    (Elemwise, elementwise),
    (DimShuffle, turned),
    (SpecifyShape, as_it_is),
    (CAReduce, reduction),
    (Dot, product),
    ((Cholesky, SolveBase, MatrixInverse, Det, SLogDet), matrix),
    (CumOp, running),
    (SearchsortedOp, of_sorted),
    (Alloc, spread),
    (Subtensor, sliced),
    (AdvancedSubtensor, gathered),
    ((Reshape, JoinDims, SplitDims, ExtractDiag, Join), moved),
    (WRITES, written),
]
# Beyond a data set's own these make numbers that are none of its own.
NEW_NUMBERS = (CumOp, Cholesky, SolveBase, MatrixInverse)
