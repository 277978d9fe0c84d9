"""What is asked of fits, as small trees that become SQL with all values bound.

`aggregator.lens.bulge.centre > 3.0` is an `Expression`; `& | ~` join them. Column names come from
the lists here and never from the user's texts, which are values like all others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from classy_pm.catalog import tables
from classy_pm.catalog.faults import UntrustedFile
from classy_pm.catalog.records import from_json
from classy_pm.errors import CatalogError

fit, component, parameter, info, tag = (
    tables.fit,
    tables.component,
    tables.parameter,
    tables.info,
    tables.tag,
)
Condition = sa.ColumnElement[bool]


class Classes(Mapping[int, tuple[str, tuple[str, ...]]]):
    """The classes that a catalogue knows, by number: reference and those of the bases."""

    def __init__(self, connection: sa.Connection) -> None:
        table = tables.class_
        rows = connection.execute(sa.select(table.c.id, table.c.ref, table.c.bases))
        self._known = {number: (ref, _bases(bases)) for number, ref, bases in rows}

    def __getitem__(self, number: int) -> tuple[str, tuple[str, ...]]:
        return self._known[number]

    def __iter__(self) -> Any:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)


def _bases(text: str) -> tuple[str, ...]:
    found = from_json(text)
    if not isinstance(found, list) or not all(isinstance(ref, str) for ref in found):
        raise UntrustedFile(f"The index says of a class that its bases are {found!r:.100}.")
    return tuple(found)


@dataclass(frozen=True, eq=False)
class Test:
    """A condition on one row of a child table: a parameter at a path, or a note with a key."""

    row: tuple[str, str]
    condition: Condition
    of_fit: Callable[[Condition], Condition]


@dataclass(frozen=True, eq=False)
class Expression:
    """A condition on fits. Join two with `&` or `|`, turn one round with `~`."""

    text: str
    # All of these must hold. The tests are kept apart so that those of one row, such as the two
    # ends of a range, become one search in its index instead of two that find half of all fits.
    builders: tuple[Callable[[Classes], Condition], ...] = ()
    tests: tuple[Test, ...] = ()
    paths: tuple[str, ...] = ()
    classes: tuple[type, ...] = ()

    def build(self, known: Classes) -> Condition:
        """Return the condition on the table `fit`."""
        rows: dict[tuple[str, str], list[Test]] = {}
        for test in self.tests:
            rows.setdefault(test.row, []).append(test)
        parts = [tests[0].of_fit(sa.and_(*(test.condition for test in tests))) for tests in rows.values()]
        return sa.and_(*(build(known) for build in self.builders), *parts)

    def __and__(self, other: Expression) -> Expression:
        self._check(other, "&")
        return Expression(
            f"({self.text} & {other.text})",
            self.builders + other.builders,
            self.tests + other.tests,
            self.paths + other.paths,
            self.classes + other.classes,
        )

    def __or__(self, other: Expression) -> Expression:
        self._check(other, "|")
        return Expression(
            f"({self.text} | {other.text})",
            (lambda known: sa.or_(self.build(known), other.build(known)),),
            paths=self.paths + other.paths,
            classes=self.classes + other.classes,
        )

    def __invert__(self) -> Expression:
        # What is not known is not met by a condition, and so by its opposite.
        build = (lambda known: sa.not_(sa.func.coalesce(self.build(known), sa.false())),)
        return Expression(f"~{self.text}", build, paths=self.paths, classes=self.classes)

    def __bool__(self) -> bool:
        raise CatalogError(
            "A condition on fits is neither true nor false by itself, so `and`, `or`, `not` and chains "
            "such as `1 < x < 2` cannot join it.",
            cure="Write `(a) & (b)`, `(a) | (b)`, `~(a)`, `x.between(1, 2)`.",
        )

    def __repr__(self) -> str:
        return self.text

    def _check(self, other: object, sign: str) -> None:
        if not isinstance(other, Expression):
            raise CatalogError(
                f"`{sign}` joins two conditions on fits; {other!r} is not one.",
                cure=f"Put each condition in brackets: `(a == 1) {sign} (b > 2)`.",
            )


@dataclass(frozen=True, eq=False)
class Quantity:
    """Something of a fit that has a value: compare it, or order by it.

    Comparisons with NULL, which stands for what is not known or not finite, are never met; their
    opposites are.
    """

    column: sa.ColumnElement[Any]
    text: str
    # How a condition on the column becomes one on fits.
    of_fit: Callable[[Condition], Condition] = lambda condition: condition
    # The value as a scalar of each fit, to order by.
    scalar: Callable[[], sa.ColumnElement[Any]] | None = None
    paths: tuple[str, ...] = ()
    # Which row of a child table the column is of; None for the table `fit` itself.
    row: tuple[str, str] | None = None

    def _where(self, condition: Condition, text: str) -> Expression:
        name = f"({self.text} {text})"
        if self.row is None:
            return Expression(name, (lambda known: self.of_fit(condition),), paths=self.paths)
        return Expression(name, tests=(Test(self.row, condition, self.of_fit),), paths=self.paths)

    def __eq__(self, other: object) -> Expression:  # type: ignore[override]
        if other is None:
            return self._where(self.column.is_(None), f"== {other!r}")
        if isinstance(other, str) and "\0" in other:
            return self._where(sa.false(), f"== {other!r}")  # no name has one, and PostgreSQL no text
        return self._where(self.column == self._value(other), f"== {other!r}")

    def __ne__(self, other: object) -> Expression:  # type: ignore[override]
        return ~(self == other)

    def __lt__(self, other: float | str) -> Expression:
        return self._where(self.column < self._value(other), f"< {other!r}")

    def __le__(self, other: float | str) -> Expression:
        return self._where(self.column <= self._value(other), f"<= {other!r}")

    def __gt__(self, other: float | str) -> Expression:
        return self._where(self.column > self._value(other), f"> {other!r}")

    def __ge__(self, other: float | str) -> Expression:
        return self._where(self.column >= self._value(other), f">= {other!r}")

    __hash__ = object.__hash__

    def between(self, low: float | str, high: float | str) -> Expression:
        """Match fits where this lies between two values, both included."""
        between = sa.and_(self.column >= self._value(low), self.column <= self._value(high))
        return self._where(between, f"between {low!r} and {high!r}")

    def in_(self, values: Iterable[float | str]) -> Expression:
        """Match fits where this is one of some values."""
        values = list(values)
        return self._where(self.column.in_([self._value(value) for value in values]), f"in {values!r}")

    def contains(self, text: str) -> Expression:
        """Match fits where this text contains another, letter by letter; no character is special."""
        # Not by LIKE, which takes a for A on sqlite and not on PostgreSQL.
        without = sa.func.replace(self.column, self._value(text), "")
        holds = without != self.column if text else self.column.is_not(None)
        return self._where(holds, f"contains {text!r}")

    def startswith(self, text: str) -> Expression:
        """Match fits where this text begins with another, letter by letter."""
        begins = sa.func.substr(self.column, 1, len(text)) == self._value(text)
        return self._where(begins, f"startswith {text!r}")

    def _value(self, value: Any) -> sa.ColumnElement[Any]:
        """Return a value with its own type, for engines differ in what they make of another one."""
        value = check_value(value, self.text)
        is_text = isinstance(self.column.type, tables.Words)
        if isinstance(value, str) is not is_text or value is None:
            kind = "a text" if is_text else "a number"
            raise CatalogError(f"{self.text} is {kind}, and cannot be compared with {value!r}.")
        if is_text:
            return sa.literal(value, tables.Words())
        return sa.literal(value, tables.Number if isinstance(value, float) else tables.Whole)

    def desc(self) -> tuple[Quantity, bool]:
        """Order by this from the largest down."""
        return (self, True)

    def __bool__(self) -> bool:
        raise CatalogError(f"{self.text} has a value for each fit, none by itself.", cure="Compare it first.")

    def __repr__(self) -> str:
        return self.text


def check_value(value: Any, name: str) -> Any:
    """Return a value that a column can be compared with, or say why it cannot."""
    value = value.item() if hasattr(value, "item") and getattr(value, "ndim", 1) == 0 else value
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, float) and math.isnan(value):
        raise CatalogError(f"{name} is compared with NaN, which nothing is equal to.", cure="Use `== None`.")
    if isinstance(value, int) and abs(value) >= 2**63:
        value = float(value)
    if isinstance(value, str):
        value.encode()  # refuses half a character, which sqlite would too
    if value is None or isinstance(value, int | float | str):
        return value
    raise CatalogError(f"{name} cannot be compared with {value!r}, a {type(value).__name__}.")


def fit_quantity(column: str, text: str) -> Quantity:
    """Return a column of the table `fit`."""
    return Quantity(fit.c[column], text, scalar=lambda: fit.c[column])


def parameter_quantity(path: str, column: str, text: str) -> Quantity:
    """Return one number of the summary of the parameter at a path."""

    def of_fit(condition: Condition) -> Condition:
        return fit.c.id.in_(sa.select(parameter.c.fit_id).where(parameter.c.path == path, condition))

    def scalar() -> sa.ColumnElement[Any]:
        query = sa.select(parameter.c[column]).where(parameter.c.fit_id == fit.c.id, parameter.c.path == path)
        return query.scalar_subquery()

    return Quantity(parameter.c[column], text, of_fit, scalar, (path,), ("parameter", path))


def text_parameter(path: str, text: str) -> Quantity:
    """Return the text that the parameter at a path was fixed to."""
    return parameter_quantity(path, "text", text)
