"""Single places of arrays that are written and read in loops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pytensor.graph.basic import Constant, Variable
from pytensor.tensor.subtensor import IncSubtensor

# Writes that a read looks back over; loops mostly read what they wrote a moment ago.
LOOKED_AT = 64


def place_of(indices: Sequence[Variable], operation: Any, shape: Sequence[int]) -> tuple[int, ...] | None:
    """Return the place of an operation at one plain place of an array, one number for each axis."""
    entries = operation.idx_list
    if len(entries) != len(shape) or len(indices) != len(shape):
        return None
    if any(isinstance(entry, slice) for entry in entries):
        return None
    place = []
    for index, length in zip(indices, shape, strict=True):
        if index.owner is not None and len(index.owner.inputs) == 1:
            index = index.owner.inputs[0]
        if not isinstance(index, Constant) or index.type.ndim:
            return None
        place.append(int(index.data) % length)
    return tuple(place)


def place_written(node: Any) -> tuple[int, ...] | None:
    """Return the place at which a node sets one element, or None if it does something else."""
    if not isinstance(node.op, IncSubtensor) or not node.op.set_instead_of_inc:
        return None
    return place_of(node.inputs[2:], node.op, node.inputs[0].type.shape)


def element(array: Any, place: tuple[int, ...]) -> Any:
    """Return an element: what was written there last, where that is known."""
    wanted = tuple(number % length for number, length in zip(place, array.type.shape, strict=True))
    state = array
    for _ in range(LOOKED_AT):
        written = None if state.owner is None else place_written(state.owner)
        if written is None:
            break
        if written == wanted:
            value = state.owner.inputs[1]
            return value if value.type.ndim == 0 and value.type.dtype == array.type.dtype else array[place]
        state = state.owner.inputs[0]
    return state[place]
