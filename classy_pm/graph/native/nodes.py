"""Nodes that are not computed element by element, each as steps of the source."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

from numba import types
from pytensor.graph.basic import Apply
from pytensor.raise_op import CheckAndRaise
from pytensor.scalar.basic import Add, ScalarOp, ScalarType
from pytensor.tensor.basic import Alloc, Join, MakeVector, ScalarFromTensor, Split, TensorFromScalar
from pytensor.tensor.elemwise import CAReduce, DimShuffle, Elemwise
from pytensor.tensor.math import Dot
from pytensor.tensor.shape import Reshape, SpecifyShape
from pytensor.tensor.subtensor import IncSubtensor, Subtensor

from classy_pm.graph.native.callbacks import announce, is_plain
from classy_pm.graph.native.levels import shape_of
from classy_pm.graph.native.moves import NO, gather, join, rename, repeat, shuffle, small, split, take, write
from classy_pm.graph.native.places import Buffer, Number, Place, contiguous
from classy_pm.graph.native.scalars import slow_function
from classy_pm.graph.native.steps import Loop, Step, addresses
from classy_pm.graph.native.translate import Translation
from classy_pm.likelihood.trace.numba_support import CALLED_BY_PYTHON

__all__ = ["translate_node"]


def translate_node(work: Translation, node: Apply) -> None:
    """Add the steps of a node."""
    rule = next((rule for kind, rule in _RULES.items() if isinstance(node.op, kind)), None)
    if type(node.op) in CALLED_BY_PYTHON:
        rule = _by_python
    if rule is None or rule(work, node) is NO:
        _by_function(work, node)


def _elemwise(work: Translation, node: Apply) -> Any:
    if len(node.outputs) != 1:
        return NO
    (result,) = node.outputs
    shape = shape_of(result)
    if prod(shape) == 1:
        work.set(result, work.expression(node.op.scalar_op, node, _numbers(work, node)))
        return None
    name = slow_function(node.op.scalar_op, node)
    assert name is not None
    places, strides = [], []
    for item in node.inputs:
        value = work.value(item)
        if prod(shape_of(item)) == 1:
            # a number for all elements
            place = work.place(Number(work.read(value), "float64", (1,)))
            strides.append(0)
        else:
            wide = value.broadcast(shape) if isinstance(value, Place) else value.reshape(shape)
            place = work.place(wide)
            strides.append(1)
        places.append(place)
    target = work.new("float64", shape)
    work.call_loop(name, [*places, target], target.size, [*strides, 1])
    work.values[result] = target
    return None


def _scalar(work: Translation, node: Apply) -> Any:
    if len(node.outputs) != 1:
        return NO
    work.set(node.outputs[0], work.expression(node.op, node, _numbers(work, node)))
    return None


def _numbers(work: Translation, node: Apply) -> list[str]:
    return [work.read(work.value(item)) for item in node.inputs]


def _reduce(work: Translation, node: Apply) -> Any:
    (item,), (result,) = node.inputs, node.outputs
    if not isinstance(node.op.scalar_op, Add) or not item.type.dtype == result.type.dtype == "float64":
        return NO
    value, shape = work.value(item), shape_of(item)
    if isinstance(value, Number):
        value = work.place(value)
    axes = range(len(shape)) if node.op.axis is None else node.op.axis
    if prod(shape) == 1:
        return rename(work, node)
    target = work.new("float64", shape_of(result))
    work.copy(Number("0.0", "float64"), target)
    kept = iter(target.strides)
    strides = tuple(0 if axis in axes else next(kept) for axis in range(len(shape)))
    loop = Loop(shape)
    code = loop.operand(value)
    loop.stores.append((Place(target.buffer, target.offset, strides, shape), "+=", code))
    work.steps.append(loop.step())
    work.values[result] = target
    return None


def _check(work: Translation, node: Apply) -> Any:
    value, *conditions = node.inputs
    if conditions:
        told = " and ".join(work.read(work.value(condition)) for condition in conditions)
        error = work.name("e")
        work.scope[error] = node.op.exc_type
        work.keys.append(f"{node.op.exc_type.__module__}.{node.op.exc_type.__qualname__}")
        work.line(f"if not ({told}): {work.on_fault or f'raise {error}({node.op.msg!r})'}")
    work.values[node.outputs[0]] = work.value(value)
    return None


def _dot(work: Translation, node: Apply) -> Any:
    if any(item.type.dtype != "float64" for item in node.inputs):
        return NO
    arrays, reads = [], []
    for item in node.inputs:
        value = work.value(item)
        turned = isinstance(value, Place) and not value.is_contiguous and value.shuffle((1, 0)).is_contiguous
        place = value.shuffle((1, 0)) if turned and isinstance(value, Place) else work.place(value)
        arrays.append((work.array(place), ".T" if turned else ""))
        reads.append(place.buffer)
    (result,) = node.outputs
    target = work.new("float64", shape_of(result))
    write = work.array(target)
    (left, left_turn), (right, right_turn) = arrays

    def render() -> list[str]:
        return [f"np.dot({left()}{left_turn}, {right()}{right_turn}, {write()})"]

    work.steps.append(Step(reads, [target.buffer], render))
    work.values[result] = small(work, target)
    return None


def _by_python(work: Translation, node: Apply) -> Any:
    """Have Python compute a node."""
    symbol, function = announce(node)
    work.keeps.append(function)
    if not is_plain(node.op):
        work.keys.append(None)
    given = [work.place(work.value(item)) for item in node.inputs]
    made = [work.new(item.type.dtype, shape_of(item)) for item in node.outputs]
    work.external[symbol] = types.int64(types.intp)
    work.scratch = max(work.scratch, len(given) + len(made))
    fault = work.on_fault or f"raise RuntimeError({f'{node.op} failed'!r})"

    def render() -> list[str]:
        return [*addresses([*given, *made]), f"if {symbol}(wp) != 0: {fault}"]

    work.steps.append(Step([place.buffer for place in given], [place.buffer for place in made], render))
    for output, place in zip(node.outputs, made, strict=True):
        work.values[output] = small(work, place)
    return None


def _by_function(work: Translation, node: Apply) -> None:
    """Call PyTensor's function of the node."""
    name = work.function(node.op, node)
    work.may_raise = True
    args: list[Callable[[], str]] = []
    reads: list[Buffer] = []
    for item in node.inputs:
        value = work.value(item)
        if isinstance(item.type, ScalarType):
            args.append(_fixed(work.read(value)))
        elif not shape_of(item):
            args.append(_fixed(f"np.asarray({work.read(value)})"))
        else:
            place = work.place(value)
            work.pinned.add(id(place.buffer))  # the function may return a view of it
            args.append(work.array(place))
            reads.append(place.buffer)
    results = [work.name("r") for _ in node.outputs]
    taken = " = ".join([", ".join(results) if len(results) < 2 else f"({', '.join(results)})"])
    work.steps.append(Step(reads, [], lambda: [f"{taken} = {name}({', '.join(arg() for arg in args)})"]))
    for output, result in zip(node.outputs, results, strict=True):
        shape, dtype = shape_of(output), output.type.dtype
        if isinstance(output.type, ScalarType):
            work.values[output] = Number(result, dtype)
        elif prod(shape) == 1:
            work.set(output, f"np.asarray({result}){'.ravel()[0]' if shape else '[()]'}")
        else:
            flat = work.name("b")
            work.line(f"{flat} = np.ascontiguousarray({result}).reshape(-1)")
            work.values[output] = contiguous(Buffer(dtype, prod(shape), flat), shape)


def _fixed(code: str) -> Callable[[], str]:
    return lambda: code


_RULES: dict[type, Callable[[Translation, Apply], Any]] = {
    Elemwise: _elemwise,
    ScalarOp: _scalar,
    CAReduce: _reduce,
    DimShuffle: shuffle,
    Reshape: rename,
    SpecifyShape: rename,
    TensorFromScalar: rename,
    ScalarFromTensor: rename,
    Subtensor: take,
    IncSubtensor: write,
    Join: join,
    Split: split,
    Alloc: repeat,
    MakeVector: gather,
    CheckAndRaise: _check,
    Dot: _dot,
}
