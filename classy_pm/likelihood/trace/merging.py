"""The ways through a function merged into one value.

Two ways that differ in a small part of their computation are merged there: where both apply the same
operation, the operation is applied once, to the merged operands. Only what differs altogether is
computed on both sides and chosen by `switch`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Constant, Variable
from pytensor.graph.replace import graph_replace
from pytensor.graph.traversal import ancestors, io_toposort
from pytensor.tensor.blockwise import Blockwise
from pytensor.tensor.elemwise import DimShuffle, Elemwise
from pytensor.tensor.math import Sum
from pytensor.tensor.type import TensorType

from classy_pm.likelihood.trace.branches import Fork, Leaf
from classy_pm.likelihood.trace.session import Session


class Merger:
    """Merges the tree of forks of one trace.

    Parameters
    ----------
    session : Session
        Holds the nodes.
    inputs : sequence of TensorVariable
        What the witnesses are values of.
    """

    def __init__(self, session: Session, inputs: list[Variable]) -> None:
        self.session = session
        self.inputs = inputs

    def merge(self, node: Fork | Leaf) -> tuple[Variable, tuple[Any, ...] | None]:
        """Return the value of a tree, and a point that takes one of its ways."""
        if isinstance(node, Leaf):
            witness = node.witnesses[0] if node.witnesses else None
            if node.value is not None:
                return node.value, witness
            return self.session.constant(-np.inf if node.impossible else np.nan, "float64"), witness
        (yes, point_yes), (no, point_no) = self.merge(node.sides[True]), self.merge(node.sides[False])  # type: ignore[arg-type]
        self._memo: dict[tuple[Variable, Variable], Variable | None] = {}
        try:
            merged = self._unify(node.condition, yes, no, point_yes, point_no)
        except RecursionError:  # too many steps to look for where the ways differ
            merged = pt.switch(
                node.condition,
                self._made_safe(yes, node.condition, point_yes),
                self._made_safe(no, pt.invert(node.condition), point_no),
            )
        assert merged is not None
        return self.session.intern(merged), point_yes if point_yes is not None else point_no

    def _unify(self, condition: Variable, a: Variable, b: Variable, at_a: Any, at_b: Any) -> Variable | None:
        if a is b:
            return a
        key = (a, b)
        if key not in self._memo:
            self._memo[key] = self._unified(condition, a, b, at_a, at_b)
        return self._memo[key]

    def _unified(
        self, condition: Variable, a: Variable, b: Variable, at_a: Any, at_b: Any
    ) -> Variable | None:
        if not isinstance(a.type, TensorType) or a.type != b.type:
            return None
        first, second = a.owner, b.owner
        if (
            first is not None
            and second is not None
            and first.op == second.op
            and len(first.inputs) == len(second.inputs)
            and first.outputs.index(a) == second.outputs.index(b)
            and all(x.type == y.type for x, y in zip(first.inputs, second.inputs, strict=True))
        ):
            parts = [
                self._unify(condition, x, y, at_a, at_b)
                for x, y in zip(first.inputs, second.inputs, strict=True)
            ]
            if all(part is not None for part in parts):
                return first.op.make_node(*parts).outputs[first.outputs.index(a)]
        yes = self._made_safe(a, condition, at_a)
        no = self._made_safe(b, pt.invert(condition), at_b)
        return pt.switch(condition, yes, no)

    def _made_safe(self, value: Variable, condition: Variable, point: Any) -> Variable:
        """Replace the inputs by a valid point where the other side is taken.

        This is only for operations that are not done element by element, a Cholesky factor say: in
        those that are, `guard` keeps what was not chosen out of the gradient, at less cost.
        """
        if point is None or not _has_hazard(value, self.inputs):
            return value
        used = set(ancestors([value]))
        swap = {
            variable: pt.switch(condition, variable, pt.constant(np.asarray(number, variable.type.dtype)))
            for variable, number in zip(self.inputs, point, strict=True)
            if variable in used
        }
        return graph_replace(value, swap)


def _has_hazard(value: Variable, inputs: list[Variable]) -> bool:
    if isinstance(value, Constant) or value.owner is None:
        return False
    return any(
        not isinstance(node.op, Elemwise | DimShuffle | Sum) and isinstance(node.op, Blockwise)
        for node in io_toposort(inputs, [value])
    )
