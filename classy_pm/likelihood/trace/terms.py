"""The terms of a sum, for pointwise log likelihoods.

A log likelihood that returns `-0.5 * sum(chi_squared) - n / 2 * log(2 * pi * s**2)` is a sum over
data of which only the total is returned. Its graph still has the terms: sums are taken apart, the
factors before them multiply each term, and numbers that stand alone are spread evenly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Constant, Variable
from pytensor.graph.traversal import ancestors, io_toposort
from pytensor.scalar import basic as scalar
from pytensor.tensor.elemwise import DimShuffle, Elemwise
from pytensor.tensor.linalg.inverse import MatrixInverse
from pytensor.tensor.linalg.solvers.core import SolveBase
from pytensor.tensor.math import Dot, Prod, Sum
from pytensor.tensor.reshape import JoinDims, SplitDims
from pytensor.tensor.shape import Reshape, SpecifyShape
from pytensor.tensor.subtensor import Subtensor


class NoTerms(Exception):
    """The value cannot be taken apart; the text says why."""


@dataclass(frozen=True)
class Parts:
    """A scalar as the sum of a vector of terms and of a number.

    Attributes
    ----------
    terms : TensorVariable or None
        A vector.
    rest : TensorVariable or None
        A scalar.
    """

    terms: Variable | None
    rest: Variable | None

    @property
    def length(self) -> int:
        """Number of terms."""
        return 0 if self.terms is None else int(self.terms.type.shape[0])


def take_apart(value: Variable) -> tuple[Variable | None, str | None]:
    """Return the terms of a scalar, or None and why there are none.

    Parameters
    ----------
    value : TensorVariable
        A scalar.

    Returns
    -------
    terms : TensorVariable or None
        A vector that sums to the value.
    reason : str or None
        A sentence.
    """
    try:
        parts = _Taker(value).parts(value)
        if parts.terms is None:
            raise NoTerms("the value is not a sum over data")
        if parts.length < 2:
            raise NoTerms("the value is a sum of one term only")
        terms = parts.terms
        if any(_is_solution(root) for root in _mixing_roots(terms)):
            raise NoTerms("the data are coupled by a matrix that is solved for, so the terms are no data")
        if parts.rest is not None:
            terms = terms + parts.rest / float(parts.length)
        return terms, None
    except RecursionError:
        return None, "LOO is not available: the value is made in too many steps to be taken apart."
    except NoTerms as reason:
        return None, f"LOO is not available: {reason}."


def _scaled(parts: Parts, factor: Any) -> Parts:
    return Parts(*(None if part is None else part * factor for part in (parts.terms, parts.rest)))


def _added(first: Parts, second: Parts) -> Parts:
    if first.terms is not None and second.terms is not None and first.length != second.length:
        raise NoTerms(f"the value adds a sum over {first.length} and a sum over {second.length} terms")
    together = []
    for a, b in ((first.terms, second.terms), (first.rest, second.rest)):
        together.append(b if a is None else a if b is None else a + b)
    return Parts(*together)


def _flat(array: Variable) -> Variable:
    if (
        array.owner is not None
        and isinstance(array.owner.op, DimShuffle)
        and array.owner.inputs[0].type.ndim == 1
    ) and array.type.ndim > 1:
        return array.owner.inputs[0]
    return array if array.type.ndim == 1 else array.reshape((int(np.prod(array.type.shape)),))


class _Taker:
    """Takes one scalar apart.

    Attributes
    ----------
    over_data : set of Variable
        What has a sum, a product or a matrix product of vectors in it.
    """

    def __init__(self, value: Variable) -> None:
        self.over_data: set[Variable] = set()
        self._memo: dict[Variable, Parts] = {}
        for node in io_toposort([], [value]):
            reduces = isinstance(node.op, Sum | Dot | Prod) and node.inputs[0].type.ndim > 0
            if reduces or any(item in self.over_data for item in node.inputs):
                self.over_data.update(node.outputs)

    def parts(self, value: Variable) -> Parts:
        """Return the terms and the rest of a scalar."""
        return self._parts(value)

    def _parts(self, value: Variable) -> Parts:
        if value not in self._memo:
            self._memo[value] = self._computed(value)
        return self._memo[value]

    def _computed(self, value: Variable) -> Parts:
        node = value.owner
        if node is None or value not in self.over_data:
            return Parts(None, value)
        operation = node.op
        if isinstance(operation, Sum):
            return self._of_sum(node)
        if isinstance(operation, Dot) and all(length == 1 for length in value.type.shape):
            left, right = (_flat(item) for item in node.inputs)
            _refuse_coupling(left, right)
            return Parts(left * right, None)
        if isinstance(operation, DimShuffle | SpecifyShape | Reshape) and all(
            n == 1 for n in node.inputs[0].type.shape
        ):
            inner = self._parts(node.inputs[0])
            rest = inner.rest if inner.rest is None or inner.rest.type.ndim == 0 else inner.rest.reshape(())
            return Parts(inner.terms, rest)
        if isinstance(operation, Elemwise):
            return self._of_elemwise(value, operation.scalar_op, node.inputs)
        return Parts(None, value)

    def _of_sum(self, node: Any) -> Parts:
        (array,) = node.inputs
        axes = node.op.axis
        if axes is not None and len(axes) < array.type.ndim:
            raise NoTerms("the value is one element of a sum")
        if array.type.ndim == 0:
            return self._parts(array)
        inner = array.owner
        if inner is not None and isinstance(inner.op, Sum):
            # a sum over further axes: the terms are those of the innermost sum
            return Parts(_flat(inner.inputs[0]), None)
        if (
            inner is not None
            and isinstance(inner.op, Elemwise)
            and isinstance(inner.op.scalar_op, scalar.Mul)
        ):
            _refuse_coupling(*inner.inputs)
        return Parts(_flat(array), None)

    def _of_elemwise(self, value: Variable, operation: Any, inputs: list[Variable]) -> Parts:
        if isinstance(operation, scalar.Add):
            result = self._parts(inputs[0])
            for item in inputs[1:]:
                result = _added(result, self._parts(item))
            return result
        if isinstance(operation, scalar.Sub):
            return _added(self._parts(inputs[0]), _scaled(self._parts(inputs[1]), -1.0))
        if isinstance(operation, scalar.Neg):
            return _scaled(self._parts(inputs[0]), -1.0)
        if isinstance(operation, scalar.Cast | scalar.Identity) and "float" in inputs[0].type.dtype:
            return self._parts(inputs[0])
        if isinstance(operation, scalar.TrueDiv):
            return _scaled(self._parts(inputs[0]), 1.0 / inputs[1])
        if isinstance(operation, scalar.Mul):
            apart = [self._parts(item) for item in inputs]
            summed = [index for index, parts in enumerate(apart) if parts.terms is not None]
            if not summed:
                return Parts(None, value)
            if len(summed) > 1:
                raise NoTerms("the value multiplies two sums")
            result = apart[summed[0]]
            for index, item in enumerate(inputs):
                if index != summed[0]:
                    result = _scaled(result, item)
            return result
        if isinstance(operation, scalar.Switch):
            return self._of_switch(value, inputs)
        if (
            isinstance(operation, scalar.Log)
            and inputs[0].owner is not None
            and isinstance(inputs[0].owner.op, Prod)
        ):
            array = inputs[0].owner.inputs[0]
            if len(inputs[0].owner.op.axis or range(array.type.ndim)) == array.type.ndim:
                return Parts(pt.log(_flat(array)), None)
        if self._sums_inside(inputs):
            raise NoTerms(f"the sum over data is inside of `{str(operation).lower()}`")
        return Parts(None, value)

    def _sums_inside(self, inputs: list[Variable]) -> bool:
        """Whether a sum over data, rather than over some parameters, is among the operands."""
        for item in inputs:
            try:
                if self._parts(item).length > 1:
                    return True
            except NoTerms:
                return True
        return False

    def _of_switch(self, value: Variable, inputs: list[Variable]) -> Parts:
        condition, yes, no = inputs
        apart = [self._parts(yes), self._parts(no)]
        lengths = {parts.length for parts in apart} - {0}
        if not lengths:
            return Parts(None, value)
        if len(lengths) > 1:
            raise NoTerms("its branches are sums of different lengths")
        (length,) = lengths
        sides = []
        for parts in apart:
            terms = parts.terms
            if parts.rest is not None:
                share = parts.rest / float(length)
                terms = share if terms is None else terms + share
            sides.append(terms if terms is not None else pt.zeros((length,)))
        return Parts(pt.switch(condition, *sides), None)


def _refuse_coupling(*factors: Variable) -> None:
    """Refuse `r @ inverse @ r`: its terms sum to the value, but no datum stands for itself in them."""
    for first in factors:
        content = _contents(first)
        for second in factors:
            if second is first:
                continue
            for root in _mixing_roots(second):
                if content & set(ancestors(root.owner.inputs)):
                    raise NoTerms("the data are coupled by a matrix, so the terms of the product are no data")


def _contents(variable: Variable) -> set[Variable]:
    """Return a factor and the vectors that it is made of element by element, without constants."""
    found: set[Variable] = set()
    todo = [variable]
    while todo:
        item = todo.pop()
        if item.type.ndim == 0 or isinstance(item, Constant) or item in found:
            continue
        found.add(item)
        if item.owner is not None and isinstance(
            item.owner.op, Elemwise | DimShuffle | Reshape | JoinDims | SplitDims
        ):
            todo.extend(item.owner.inputs if isinstance(item.owner.op, Elemwise) else item.owner.inputs[:1])
    return found


def _is_solution(variable: Variable) -> bool:
    operation = getattr(variable.owner.op, "core_op", variable.owner.op)
    return isinstance(operation, SolveBase | MatrixInverse)


def _mixing_roots(variable: Variable) -> list[Variable]:
    """Return the results of matrix products and the like that a variable is made of, element by element."""
    roots, todo, seen = [], [variable], set()
    while todo:
        item = todo.pop()
        if item in seen or item.owner is None or item.type.ndim == 0:
            continue
        seen.add(item)
        if isinstance(
            item.owner.op, Elemwise | DimShuffle | Reshape | SpecifyShape | Subtensor | JoinDims | SplitDims
        ):
            todo.extend(item.owner.inputs)
        else:
            roots.append(item)
    return roots
