"""Numbers that are not known yet: what priors are made of, arithmetic on them, and assertions.

An `Expression` is a parameter or arithmetic on parameters. It is compared by identity: *the same
object in two places is one parameter*. Python's operators and NumPy's ufuncs on expressions give
`Derived` expressions; comparisons give `Assertion`s. Nothing is computed until values are known,
and then by the very NumPy functions that were recorded, whatever the values are: floats, arrays of
draws, or the traced arrays of a graph.
"""

from __future__ import annotations

import itertools
import numbers
from collections.abc import Callable, Iterator
from typing import Any, override

import numpy as np

from classy_pm.errors import ModelError

__all__ = ["Assertion", "Derived", "Expression"]

# How many operations arithmetic may have where it is written out: shared parts are written each time.
MAX_OPERATIONS = 10_000
# And how many within one another: each takes some of Python's stack wherever the model is read.
MAX_DEPTH = 200


def is_number(value: object) -> bool:
    """Return whether a value is one real number, booleans excluded."""
    if isinstance(value, (bool, np.bool_)):
        return False
    if isinstance(value, np.ndarray):
        return value.ndim == 0 and value.dtype.kind in "iuf"
    return isinstance(value, numbers.Real)


def is_whole(value: object, least: int) -> bool:
    """Return whether a value is a plain integer that is not below another, booleans excluded."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


class Expression:
    """A number that is not known yet; arithmetic on it is recorded, not done."""

    # NumPy scalars and arrays on the left leave the operator to us.
    __array_priority__ = 1000.0

    def inputs(self) -> Iterator[tuple[str, Expression]]:
        """Yield the expressions that this one depends on, each with the name of its role."""
        return iter(())

    def parts(self) -> Iterator[tuple[str, Expression]]:
        """Yield the expressions that stand at the places of this one, each with its name there."""
        return iter(())

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method != "__call__" or kwargs or ufunc.nout != 1:
            raise ModelError(
                f"np.{ufunc.__name__} cannot be used this way on a parameter.",
                cure=f"Write np.{ufunc.__name__}(...) with parameters and numbers alone.",
            )
        if ufunc in _COMPARISONS:
            return Assertion(ufunc, *inputs)
        return Derived(ufunc, inputs)

    def __add__(self, other: Any) -> Derived:
        return Derived(np.add, (self, other))

    def __radd__(self, other: Any) -> Derived:
        return Derived(np.add, (other, self))

    def __sub__(self, other: Any) -> Derived:
        return Derived(np.subtract, (self, other))

    def __rsub__(self, other: Any) -> Derived:
        return Derived(np.subtract, (other, self))

    def __mul__(self, other: Any) -> Derived:
        return Derived(np.multiply, (self, other))

    def __rmul__(self, other: Any) -> Derived:
        return Derived(np.multiply, (other, self))

    def __truediv__(self, other: Any) -> Derived:
        return Derived(np.true_divide, (self, other))

    def __rtruediv__(self, other: Any) -> Derived:
        return Derived(np.true_divide, (other, self))

    def __pow__(self, other: Any) -> Derived:
        return Derived(np.power, (self, other))

    def __rpow__(self, other: Any) -> Derived:
        return Derived(np.power, (other, self))

    def __neg__(self) -> Derived:
        return Derived(np.negative, (self,))

    def __pos__(self) -> Expression:
        return self

    def __abs__(self) -> Derived:
        return Derived(np.absolute, (self,))

    def __lt__(self, other: Any) -> Assertion:
        return _compare(np.less, self, other)

    def __le__(self, other: Any) -> Assertion:
        return _compare(np.less_equal, self, other)

    def __gt__(self, other: Any) -> Assertion:
        return _compare(np.greater, self, other)

    def __ge__(self, other: Any) -> Assertion:
        return _compare(np.greater_equal, self, other)

    def __bool__(self) -> bool:
        raise ModelError(
            f"`{self}` has no truth value: it is a parameter, and its value is not known yet.",
            cure="Decide inside the class or the likelihood, where the instance has numbers.",
        )

    def __float__(self) -> float:
        raise ModelError(
            f"`{self}` is no number: it is a parameter, and its value is not known yet.",
            cure="Use NumPy's functions (np.log, np.exp, ...) for arithmetic on parameters, not math's.",
        )


class Derived(Expression):
    """A NumPy function of parameters and numbers.

    Parameters
    ----------
    function : numpy.ufunc
        The function that gives the value.
    operands : tuple of Expression or float
        What it is applied to.
    """

    def __init__(self, function: np.ufunc, operands: tuple[Any, ...]) -> None:
        for operand in operands:
            if isinstance(operand, Assertion) or not (isinstance(operand, Expression) or is_number(operand)):
                raise ModelError(
                    f"np.{function.__name__} of a parameter and {operand!r} is not a parameter.",
                    cure="Arithmetic on parameters takes parameters and real numbers.",
                )
        self.function = function
        self.operands = operands
        parts = [part for part in operands if isinstance(part, Derived)]
        self.operations: int = 1 + sum(part.operations for part in parts)
        self.depth: int = 1 + max((part.depth for part in parts), default=0)
        if self.operations > MAX_OPERATIONS or self.depth > MAX_DEPTH:
            raise ModelError(
                f"Arithmetic on parameters has {self.operations:,} operations where it is written out, "
                f"{self.depth} within one another; at most {MAX_OPERATIONS:,} and {MAX_DEPTH} can be.",
                cure="Compute it inside the class, from parameters.",
            )

    @override
    def inputs(self) -> Iterator[tuple[str, Expression]]:
        for index, operand in enumerate(self.operands):
            if isinstance(operand, Expression):
                yield f"operand_{index}", operand

    def evaluate(self, value_of: Callable[[Expression], Any]) -> Any:
        """Return the value, given the values of the expressions it depends on."""
        operands = (value_of(item) if isinstance(item, Expression) else item for item in self.operands)
        return self.function(*operands)

    def as_text(self, name_of: Callable[[Expression], str | None]) -> str:
        """Return it written out, with the names of what has one; for what is no function by itself."""
        return _infix(self.function, self.operands, name_of)

    def __repr__(self) -> str:
        return render(self)


class Assertion:
    """A comparison of parameters that must hold; where it does not, the density is zero.

    Comparisons chain: ``(a < b) < c`` and ``(a < b) & (b < c)`` are the same assertion. A chain
    runs in one direction, and what it is compared with goes to the end where it runs on: ``c`` is
    above all of ``a < b`` in ``(a < b) < c``, and below all of it in ``c < (a < b)``.
    """

    __array_priority__ = 1000.0
    __array_ufunc__ = None

    def __init__(self, comparison: np.ufunc, left: Any, right: Any) -> None:
        for side in (left, right):
            if not (isinstance(side, Expression) or is_number(side)):
                raise ModelError(
                    f"An assertion compares parameters and real numbers, not {side!r}.",
                    cure="Write for example model.add_assertion(model.sigma > 5.0).",
                )
        self.comparison = comparison
        self.left = left
        self.right = right
        self.others: tuple[Assertion, ...] = ()

    @property
    def parts(self) -> tuple[Assertion, ...]:
        """The single comparisons, all of which must hold."""
        return (self, *self.others)

    def inputs(self) -> Iterator[tuple[str, Expression]]:
        """Yield the expressions that are compared."""
        for part in self.parts:
            for side in (part.left, part.right):
                if isinstance(side, Expression):
                    yield "compared", side

    def evaluate(self, value_of: Callable[[Expression], Any]) -> Any:
        """Return whether it holds, given the values of the expressions that are compared."""

        def value(side: Any) -> Any:
            return value_of(side) if isinstance(side, Expression) else side

        holds = self.comparison(value(self.left), value(self.right))
        for part in self.others:
            holds = np.logical_and(holds, part.comparison(value(part.left), value(part.right)))
        return holds

    def __and__(self, other: Assertion) -> Assertion:
        if not isinstance(other, Assertion):
            return NotImplemented
        both = Assertion(self.comparison, self.left, self.right)
        both.others = (*self.others, *other.parts)
        return both

    def _chain(self, comparison: np.ufunc, other: Any) -> Assertion:
        """Lengthen the chain.

        Python hands ``5.0 < (a < b)`` over as ``(a < b) > 5.0``, so that for a number the direction
        alone tells on which side it was written.
        """
        if is_number(other) and _runs(self) == _MIRRORED[_direction(comparison)]:
            return Assertion(_MIRROR[comparison], other, self.left) & self
        if isinstance(other, Assertion) or _runs(self) != _direction(comparison):
            raise _no_chain(f"({self!r}) {_SYMBOLS[comparison]} {other!r}")
        end = self.parts[-1].right
        return self & _compare(comparison, end, other)

    def __lt__(self, other: Any) -> Assertion:
        return self._chain(np.less, other)

    def __le__(self, other: Any) -> Assertion:
        return self._chain(np.less_equal, other)

    def __gt__(self, other: Any) -> Assertion:
        return self._chain(np.greater, other)

    def __ge__(self, other: Any) -> Assertion:
        return self._chain(np.greater_equal, other)

    def __bool__(self) -> bool:
        raise ModelError(
            f"`{self}` is an assertion about parameters; it is neither true nor false yet.",
            cure="Python's own chain `a < b < c` and `and` ask for a truth value: "
            "write (a < b) & (b < c), or (a < b) < c.",
        )

    def __repr__(self) -> str:
        return render(self)


def _compare(comparison: np.ufunc, left: Any, right: Any) -> Assertion:
    """Compare two sides; where the right is itself an assertion, both hold (``a < (b < c)``)."""
    if isinstance(right, Assertion):
        if _runs(right) != _direction(comparison):
            raise _no_chain(f"{left!r} {_SYMBOLS[comparison]} ({right!r})")
        return Assertion(comparison, left, right.left) & right
    return Assertion(comparison, left, right)


def _direction(comparison: np.ufunc) -> str:
    return "up" if comparison in (np.less, np.less_equal) else "down"


def _runs(assertion: Assertion) -> str | None:
    """Return the direction in which an assertion runs; None if it is no chain in one direction."""
    parts = assertion.parts
    directions = {_direction(part.comparison) for part in parts}
    joined = all(
        one.right is other.left or (is_number(one.right) and one.right == other.left)
        for one, other in itertools.pairwise(parts)
    )
    return directions.pop() if joined and len(directions) == 1 else None


def _no_chain(text: str) -> ModelError:
    return ModelError(
        f"`{text}` does not say which of its sides are compared: it is no chain in one direction.",
        cure="Write each comparison by itself: (a < b) & (b > c).",
    )


_COMPARISONS = (np.less, np.less_equal, np.greater, np.greater_equal)
_MIRROR: dict[np.ufunc, np.ufunc] = {
    np.less: np.greater,
    np.less_equal: np.greater_equal,
    np.greater: np.less,
    np.greater_equal: np.less_equal,
}
_MIRRORED = {"up": "down", "down": "up"}
_SYMBOLS: dict[np.ufunc, str] = {
    np.add: "+",
    np.subtract: "-",
    np.multiply: "*",
    np.true_divide: "/",
    np.power: "**",
    np.less: "<",
    np.less_equal: "<=",
    np.greater: ">",
    np.greater_equal: ">=",
}


def render(item: Any, name_of: Callable[[Expression], str | None] = lambda item: None) -> str:
    """Return an expression or assertion as text.

    Parameters
    ----------
    item : Expression, Assertion or float
    name_of : callable
        Gives the name of an expression that has one; others are written out.
    """
    if isinstance(item, Assertion):
        return " & ".join(_infix(part.comparison, (part.left, part.right), name_of) for part in item.parts)
    name = name_of(item) if isinstance(item, Expression) else None
    if name is not None:
        return name
    if type(item) is Derived:
        return _infix(item.function, item.operands, name_of)
    if isinstance(item, Derived):
        return item.as_text(name_of)
    if isinstance(item, np.ndarray) and item.ndim:
        return f"<{item.size} numbers>"
    return repr(item)


def _infix(function: np.ufunc, operands: tuple[Any, ...], name_of: Callable[[Expression], str | None]) -> str:
    texts = [render(item, name_of) for item in operands]
    if function in _SYMBOLS:
        bracketed = [
            f"({text})" if isinstance(item, Derived) and item.function in _SYMBOLS else text
            for item, text in zip(operands, texts, strict=True)
        ]
        return f" {_SYMBOLS[function]} ".join(bracketed)
    return f"{function.__name__}({', '.join(texts)})"
