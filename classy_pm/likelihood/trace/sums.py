"""Python's `sum` over a traced array as one node.

Iterating an array gives elements that remember their parent and position. Adding them in their
order gives partial sums that remember how far they came; only what is used becomes a node, so the
whole of `sum(array)` is one sum along the first axis.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytensor.tensor as pt

from classy_pm.likelihood.trace.complexes import Pair

if TYPE_CHECKING:
    from classy_pm.likelihood.trace.session import Session


@dataclass(frozen=True, slots=True)
class Element:
    """Item `position` of the `length` along the first axis of a parent."""

    parent: Pair
    position: int
    length: int

    def build(self, session: Session, shadow: Any) -> Pair:
        """Return the variables of the element."""
        real, imaginary = self.parent
        part = None if imaginary is None else session.intern(imaginary[self.position])
        return Pair(session.intern(real[self.position]), part)


@dataclass(frozen=True, slots=True)
class Partial:
    """The first `count` elements of a parent, added up to what the sum began with.

    Attributes
    ----------
    start : value or None
        What the sum began with; None for Python's own 0.
    total : number or ndarray
        Shadow of the sum without the start.
    """

    parent: Pair
    count: int
    length: int
    start: Any
    total: Any

    def build(self, session: Session, shadow: Any) -> Pair:
        """Return the variables of the sum so far."""
        from classy_pm.likelihood.trace.dispatch import call_operator
        from classy_pm.likelihood.trace.wrapping import wrap

        dtype = np.asarray(self.total).real.dtype
        parts = [None if part is None else self._sum(part, dtype) for part in self.parent]
        pair = Pair(*parts)
        if self.start is None:
            return Pair(*(None if part is None else session.intern(part) for part in pair))
        return call_operator(operator.add, np.add, self.start, wrap(session, pair, self.total)).pair()

    def _sum(self, part: Any, dtype: np.dtype) -> Any:
        part = part if self.count == self.length else part[: self.count]
        return pt.sum(pt.cast(part, str(dtype)), axis=0)


def continued_sum(left: Any, right: Any) -> Partial | None:
    """Return the partial sum that `left + right` goes on with, if it is one.

    Parameters
    ----------
    left, right : object
        Operands of an addition; `right` is an `Element` where a sum goes on.
    """
    element = getattr(right, "_lazy", None) if right is not None else None
    if not isinstance(element, Element) or right._memory_changed():
        return None
    if element.position == 0:
        start = None if type(left) is int and left == 0 else left
        total = right._shadow + 0 if np.asarray(right._shadow).dtype.kind == "b" else right._shadow
        return Partial(element.parent, 1, element.length, start, total)
    before = getattr(left, "_lazy", None)
    if isinstance(before, Element) and before.position == 0 and element.position == 1:
        if before.parent.real is not element.parent.real or left._memory_changed():
            return None
        if np.asarray(left._shadow).dtype.kind == "b":
            return None  # two NumPy bools are joined by "or", not added
        return Partial(element.parent, 2, element.length, None, left._shadow + right._shadow)
    if (
        isinstance(before, Partial)
        and before.count == element.position
        and before.parent.real is element.parent.real
        and before.parent.imaginary is element.parent.imaginary
    ):
        return Partial(
            element.parent,
            before.count + 1,
            element.length,
            before.start,
            before.total + right._shadow,
        )
    return None
