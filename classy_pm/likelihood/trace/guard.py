"""Gradients that a value not chosen cannot poison.

`switch(x > 0, log(x), 0)` sends the gradient 0 to `log` where x is not positive, and 0 times the
infinite or undefined slope of `log` is NaN. Here every operation on the way to a `switch` whose
slope may not be finite is replaced by one with the same value, for which a gradient of exactly 0
that arrives leaves as exactly 0. Likewise `sqrt(maximum(x, 0))` sends an infinite gradient to
`maximum`, of which 0 times as much must reach an x that was not chosen. Graphs in which nothing is
chosen are left alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from pytensor.gradient import DisconnectedType
from pytensor.graph.basic import Variable
from pytensor.graph.null_type import NullType
from pytensor.graph.traversal import ancestors, io_toposort
from pytensor.scalar import basic as scalar
from pytensor.tensor.elemwise import DimShuffle, Elemwise

# Their slopes are finite wherever their value is used, whatever their operands are.
LINEAR = (
    scalar.Add,
    scalar.Sub,
    scalar.Neg,
    scalar.Switch,
    scalar.Cast,
    scalar.Identity,
    scalar.Second,
    scalar.Maximum,
    scalar.Minimum,
    scalar.Clip,
    scalar.LogicalComparison,
    scalar.FixedLogicalComparison,
    scalar.UnaryBitOp,
    scalar.BinaryBitOp,
    scalar.Sign,
    scalar.Floor,
    scalar.Ceil,
    scalar.Trunc,
    scalar.RoundHalfToEven,
)
# Smooth and bounded by their operands: no hazard by themselves, one after a hazard.
TAME = (
    scalar.Mul,
    scalar.Sqr,
    scalar.Sin,
    scalar.Cos,
    scalar.ArcTan,
    scalar.Tanh,
    scalar.Abs,
    scalar.ArcSinh,
)


# They pass the gradient on to one of their operands.
CHOICES = (scalar.Maximum, scalar.Minimum, scalar.Clip)


class _Guarded:
    """Mixin of a scalar operation that passes a gradient of 0 on as 0."""

    def pullback(self, inputs: Sequence[Any], outputs: Sequence[Any], cotangents: Sequence[Any]) -> list[Any]:
        """Return the cotangents of the inputs, 0 where that of the output is 0."""
        gradients = super().pullback(inputs, outputs, cotangents)  # type: ignore[misc]
        (arrived,) = cotangents
        if isinstance(arrived.type, NullType | DisconnectedType):
            return gradients
        guarded = []
        for gradient in gradients:
            if isinstance(gradient.type, NullType | DisconnectedType):
                guarded.append(gradient)
                continue
            zero = scalar.constant(0.0, dtype=gradient.type.dtype)
            guarded.append(scalar.switch(scalar.eq(arrived, 0), zero, gradient))
        return guarded

    def __reduce__(self) -> Any:
        return (guarded_operation, (self.unguarded,))  # type: ignore[attr-defined]


class _Choosing:
    """Mixin of maximum, minimum and clip: what was not chosen gets 0, whatever gradient arrives."""

    def pullback(self, inputs: Sequence[Any], outputs: Sequence[Any], cotangents: Sequence[Any]) -> list[Any]:
        """Return the cotangents of the operands, which are the arrived one or 0."""
        (arrived,) = cotangents
        one = scalar.constant(1.0, dtype=arrived.type.dtype)
        shares = super().pullback(inputs, outputs, [one])  # type: ignore[misc]
        zero = scalar.constant(0.0, dtype=arrived.type.dtype)
        return [scalar.switch(scalar.neq(share, 0), arrived, zero) for share in shares]


@cache
def _guarded_class(kind: type) -> type:
    mixin = _Choosing if issubclass(kind, CHOICES) else _Guarded
    return type(f"Guarded{kind.__name__}", (mixin, kind), {"__module__": __name__})


def guarded_operation(operation: Any) -> Any:
    """Return the guarded form of a scalar operation."""
    kind = _guarded_class(type(operation))
    guarded = kind.__new__(kind)
    guarded.__dict__.update(operation.__dict__)
    guarded.unguarded = operation
    return guarded


@cache
def _guarded_elemwise(operation: Elemwise) -> Elemwise:
    if isinstance(operation.scalar_op, _Guarded | _Choosing):
        return operation
    return Elemwise(
        guarded_operation(operation.scalar_op), name=operation.name, nfunc_spec=operation.nfunc_spec
    )


def is_switch(variable: Variable) -> bool:
    """Whether a variable is the result of a choice."""
    node = variable.owner
    return node is not None and isinstance(node.op, Elemwise) and isinstance(node.op.scalar_op, scalar.Switch)


def _is_elementwise(node: Any, kinds: tuple[type, ...]) -> bool:
    return isinstance(node.op, Elemwise) and isinstance(node.op.scalar_op, kinds)


def _is_infinite(variable: Variable) -> bool:
    """Whether a constant holds NaN or infinities, as data do that are masked: any slope there is NaN."""
    data = getattr(variable, "data", None)
    if not isinstance(data, np.ndarray) or data.dtype.kind != "f":
        return False
    return not np.all(np.isfinite(data))


def guard(
    inputs: Sequence[Variable], outputs: Sequence[Variable], hazards: Sequence[Variable] = ()
) -> list[Variable]:
    """Return the outputs with every hazardous operation before a choice guarded.

    Parameters
    ----------
    inputs, outputs : sequence of TensorVariable
        The graph.
    hazards : sequence of TensorVariable
        Inputs that may be NaN or infinite.
    """
    nodes = list(io_toposort(inputs, outputs))
    choices = [node for node in nodes if is_switch(node.outputs[0])]
    limited = [node for node in nodes if _is_elementwise(node, CHOICES)]
    if not choices and not limited:
        return list(outputs)
    steep = [
        node for node in nodes if isinstance(node.op, Elemwise) and not _is_elementwise(node, LINEAR + TAME)
    ]
    before_steep = set(ancestors([value for node in steep for value in node.inputs])) if limited else set()
    # with the conditions: 0 from a comparison times an undefined slope is NaN too
    before = set(ancestors([value for node in choices for value in node.inputs]))
    hazardous: set[Variable] = set(hazards)
    hazardous.update(item for node in nodes for item in node.inputs if _is_infinite(item))
    new: dict[Variable, Variable] = {}
    for node in nodes:
        operation = node.op
        parts = [new.get(item, item) for item in node.inputs]
        changed = any(part is not item for part, item in zip(parts, node.inputs, strict=True))
        tainted = any(item in hazardous for item in node.inputs)
        if _is_elementwise(node, CHOICES):
            if node.outputs[0] in before_steep and "float" in node.outputs[0].type.dtype:
                operation, changed = _guarded_elemwise(operation), True
        elif isinstance(operation, Elemwise):
            kind = operation.scalar_op
            if not isinstance(kind, LINEAR) and (tainted or not isinstance(kind, TAME)):
                tainted = True
                if (
                    node.outputs[0] in before
                    and len(node.outputs) == 1
                    and "float" in node.outputs[0].type.dtype
                ):
                    operation, changed = _guarded_elemwise(operation), True
        elif not isinstance(operation, DimShuffle):
            tainted = True
        if tainted:
            hazardous.update(node.outputs)
        if changed:
            for old, fresh in zip(node.outputs, operation.make_node(*parts).outputs, strict=True):
                new[old] = fresh
    return [new.get(output, output) for output in outputs]
