"""Which nodes of a graph are computed together, element by element, in one loop."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from pytensor.graph.basic import Apply
from pytensor.scalar.basic import Add, ScalarType
from pytensor.tensor.elemwise import CAReduce, DimShuffle, Elemwise
from pytensor.tensor.type import TensorType

from classy_pm.graph.native.scalars import slow_function

__all__ = ["Unsupported", "is_sum", "levels", "shape_of"]


class Unsupported(Exception):
    """The graph is one for PyTensor's own linker."""


def shape_of(variable: Any) -> tuple[int, ...]:
    """Return the shape of a variable, which has to be known and not empty."""
    if isinstance(variable.type, ScalarType):
        return ()
    if not isinstance(variable.type, TensorType):
        raise Unsupported(f"{variable} is no array")
    shape = variable.type.shape
    if any(length is None or length == 0 for length in shape):
        raise Unsupported(f"the shape {shape} of {variable} is not known, or it is empty")
    return tuple(shape)


def levels(order: Sequence[Apply]) -> Iterable[tuple[list[Apply], list[list[Apply]]]]:
    """Group the nodes: at each level first single nodes, then loops that depend on them."""
    level: dict[Any, int] = {}
    shape: dict[Any, tuple[int, ...]] = {}  # of what is computed in a loop
    singles: dict[int, list[Apply]] = defaultdict(list)
    loops: dict[int, dict[tuple[int, ...], list[Apply]]] = defaultdict(lambda: defaultdict(list))
    for node in order:
        own = None
        if is_pass(node):
            own = _squeezed(node.outputs[0])
        elif is_sum(node):
            own = _squeezed(node.inputs[0])
        elif renames_axes(node) and node.inputs[0] in shape:
            own = shape[node.inputs[0]]
        at = max(
            (level[item] + (item in shape and shape[item] != own) for item in node.inputs if item in level),
            default=0,
        )
        for output in node.outputs:
            level[output] = at
            if own is not None:
                shape[output] = () if is_sum(node) else own
        if own is None:
            singles[at].append(node)
        else:
            loops[at][own].append(node)
    for at in sorted({*singles, *loops}):
        yield singles[at], list(loops[at].values())


def is_pass(node: Apply) -> bool:
    """Whether a node is computed for many elements, one by one, within a loop."""
    if len(node.outputs) != 1 or not _squeezed(node.outputs[0]):
        return False
    return isinstance(node.op, Elemwise) and slow_function(node.op.scalar_op, node) is None


def is_sum(node: Apply) -> bool:
    """Whether a node adds up all of an array."""
    if not isinstance(node.op, CAReduce) or not isinstance(node.op.scalar_op, Add):
        return False
    (item,), (result,) = node.inputs, node.outputs
    if not _squeezed(item) or _squeezed(result):
        return False
    return item.type.dtype == result.type.dtype == "float64"


def renames_axes(node: Apply) -> bool:
    """Whether a node only adds or drops axes of length one."""
    if not isinstance(node.op, DimShuffle):
        return False
    lengths = shape_of(node.inputs[0])
    kept = [axis for axis in node.op.new_order if axis != "x" and lengths[axis] != 1]
    return kept == sorted(kept) and bool(_squeezed(node.inputs[0]))


def _squeezed(variable: Any) -> tuple[int, ...]:
    return tuple(length for length in shape_of(variable) if length != 1)
