"""What stands for a column of a plate, where no parameter or ordinary arithmetic does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, override

import numpy as np

from classy_pm.model.expressions import Derived, Expression, render

__all__ = ["Aligned", "Element", "Stacked"]

# Of things that stand one by one along a plate, so many are shown.
SHOWN = 3


class Stacked(Derived):
    """An array along a plate, of numbers and parameters, one by one.

    A parameter that stands nowhere else is named after its factor: ``line.centre.object_3``.
    """

    def __init__(self, operands: Sequence[Any], names: Sequence[str]) -> None:
        self.function: Any = stack
        self.operands = tuple(operands)
        self.names = tuple(names)
        self.operations = self.depth = 1

    @override
    def inputs(self) -> Iterator[tuple[str, Expression]]:
        for name, operand in zip(self.names, self.operands, strict=True):
            if isinstance(operand, Expression):
                yield name, operand

    @override
    def parts(self) -> Iterator[tuple[str, Expression]]:
        return self.inputs()

    @override
    def as_text(self, name_of: Callable[[Expression], str | None]) -> str:
        if not any(isinstance(item, Expression) for item in self.operands):
            return f"<{len(self.operands)} numbers>"
        shown = [render(item, name_of) for item in self.operands[:SHOWN]]
        more = len(self.operands) - len(shown)
        return f"each its own: {', '.join(shown)}" + (f", and {more} more" if more else "")

    @override
    def evaluate(self, value_of: Callable[[Expression], Any]) -> Any:
        if not any(isinstance(item, Expression) for item in self.operands):
            return np.array(self.operands, dtype=float)
        return stack(*(value_of(item) if isinstance(item, Expression) else item for item in self.operands))


class Element(Derived):
    """One factor's element of a parameter along a plate; it is shown with the factor's name."""

    def __init__(self, array: Expression, place: int, name: str) -> None:
        self.name = name
        self.function: Any = element
        self.operands = (array, place)
        self.operations = self.depth = 1

    @override
    def as_text(self, name_of: Callable[[Expression], str | None]) -> str:
        return f"{render(self.operands[0], name_of)}[{self.name}]"


class Aligned(Derived):
    """A column whose own axes stand where those of a larger one do: after the plate's axis.

    Parameters
    ----------
    column : Expression
        An array along a plate.
    missing : int
        How many axes of its own the larger one has more.
    """

    def __init__(self, column: Expression, missing: int) -> None:
        self.function: Any = aligned
        self.operands = (column, missing)
        self.operations = self.depth = 1

    @override
    def inputs(self) -> Iterator[tuple[str, Expression]]:
        # What it is made of is named as if it stood here itself.
        yield "", self.operands[0]

    @override
    def as_text(self, name_of: Callable[[Expression], str | None]) -> str:
        return render(self.operands[0], name_of)


def aligned(array: Any, missing: Any) -> Any:
    """Return an array with so many axes more after the first."""
    return array[(slice(None), *[None] * int(missing))]


def stack(*items: Any) -> Any:
    """Return an array of numbers."""
    return np.stack([np.asarray(item) if type(item) in (int, float) else item for item in items])


def element(array: Any, place: Any) -> Any:
    """Return an element along the first axis."""
    return array[place]
