"""Nodes that move values without computing: most are other views of the same buffer."""

from __future__ import annotations

from math import prod
from typing import Any

from pytensor.graph.basic import Apply, Constant
from pytensor.tensor.subtensor import IncSubtensor, get_idx_list

from classy_pm.graph.native.levels import shape_of
from classy_pm.graph.native.places import Number, Place, Value
from classy_pm.graph.native.translate import Translation

# What a rule returns if it does not cover the node.
NO = "no"


def rename(work: Translation, node: Apply) -> Any:
    """Give the first input's value another shape, where none of its elements moves."""
    (result,) = node.outputs
    value = work.value(node.inputs[0])
    shape = shape_of(result)
    if prod(shape) == 1:
        work.values[result] = Number(work.read(value), result.type.dtype, shape)
        return None
    if isinstance(value, Number):
        work.values[result] = value.reshape(shape)
        return None
    renamed = value.reshape(shape) or work.place(value).reshape(shape)
    assert renamed is not None
    work.values[result] = renamed
    return None


def small(work: Translation, place: Place) -> Value:
    """Return an array of one element as a number."""
    return place if place.size > 1 else Number(work.read(place), place.dtype, place.shape)


def shuffle(work: Translation, node: Apply) -> Any:
    """Take the axes in another order."""
    value = work.value(node.inputs[0])
    if isinstance(value, Number):
        return rename(work, node)
    work.values[node.outputs[0]] = value.shuffle(node.op.new_order)
    return None


def _constant_index(node: Apply, skip: int) -> list[Any] | None:
    """Return the integers and slices of an index, if all of them are known."""

    def plain(entry: Any) -> Any:
        if isinstance(entry, slice):
            return slice(plain(entry.start), plain(entry.stop), plain(entry.step))
        if entry is None or isinstance(entry, int):
            return entry
        if not isinstance(entry, Constant):
            raise LookupError
        return int(entry.data)

    try:
        return [plain(entry) for entry in get_idx_list(node.inputs[skip:], node.op.idx_list)]
    except LookupError:
        return None


def take(work: Translation, node: Apply) -> Any:
    """Take a part by integers and slices."""
    index = _constant_index(node, 0)
    value, (result,) = work.value(node.inputs[0]), node.outputs
    if index is None:
        return NO
    if isinstance(value, Number):
        work.values[result] = value.reshape(shape_of(result))
        return None
    taken = value.take(index)
    work.values[result] = small(work, taken)
    return None


def write(work: Translation, node: Apply) -> Any:
    """Write a part, or add to it."""
    index = _constant_index(node, 1)
    if index is None:
        return NO
    base, change = node.inputs[:2]
    value, (result,) = work.value(base), node.outputs
    # An intermediate result that nothing else reads is written to, as it is nobody's view.
    written = (
        isinstance(value, Place)
        and base.owner is not None
        and isinstance(base.owner.op, IncSubtensor)
        and len(work.graph.clients[base]) == 1
    )
    target = value if written else work.new(result.type.dtype, shape_of(result))
    assert isinstance(target, Place)
    if not written:
        work.copy(value, target)
    view = target.take(index)
    added = work.value(change)
    operator = "=" if node.op.set_instead_of_inc else "+="
    work.copy(added.broadcast(view.shape) if isinstance(added, Place) else added, view, operator)
    work.values[result] = (
        target if prod(target.shape) > 1 else Number(work.read(target), target.dtype, target.shape)
    )
    return None


def join(work: Translation, node: Apply) -> Any:
    """Put arrays one after the other."""
    (result,) = node.outputs
    target = work.new(result.type.dtype, shape_of(result))
    start = 0
    for item in node.inputs:
        length = shape_of(item)[node.op.axis]
        index = [slice(None)] * node.op.axis + [slice(start, start + length)]
        work.copy(work.value(item), target.take(index))
        start += length
    if target.size == 1:
        return rename(work, node)
    work.values[result] = target
    return None


def split(work: Translation, node: Apply) -> Any:
    """Take an array apart."""
    start = 0
    for result in node.outputs:
        length = shape_of(result)[node.op.axis]
        value = work.value(node.inputs[0])
        if isinstance(value, Number):
            work.values[result] = value.reshape(shape_of(result))
        else:
            part = value.take([slice(None)] * node.op.axis + [slice(start, start + length)])
            work.values[result] = small(work, part)
        start += length
    return None


def repeat(work: Translation, node: Apply) -> Any:
    """Have a value everywhere."""
    value, (result,) = work.value(node.inputs[0]), node.outputs
    shape = shape_of(result)
    work.values[result] = value.reshape(shape) if isinstance(value, Number) else value.broadcast(shape)
    return None


def gather(work: Translation, node: Apply) -> Any:
    """Make a vector of numbers."""
    (result,) = node.outputs
    if any(item.type.dtype != result.type.dtype for item in node.inputs):
        return NO
    if len(node.inputs) == 1:
        return rename(work, node)
    target = work.new(result.type.dtype, shape_of(result))
    for place, item in enumerate(node.inputs):
        work.copy(work.value(item), target.take([place]))
    work.values[result] = target
    return None
