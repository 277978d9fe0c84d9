"""Numbers and texts of fits, to be compared or to order by: `Quantity`, and what it may be compared with."""

from __future__ import annotations

import itertools
import math
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NoReturn

import sqlalchemy as sa

from classy_pm.catalog import tables
from classy_pm.catalog.expressions import (
    MOST_VALUES,
    Condition,
    Expression,
    Fits,
    Place,
    Test,
    fit,
    joined,
    parameter,
    too_many_values,
)
from classy_pm.catalog.records import LARGEST_EXACT, exact_digits
from classy_pm.errors import CatalogError, UnknownNameError

#: Values of `in_` that a condition shows.
MOST_SHOWN = 10
#: The columns of a parameter's intervals, which a constant has none of: both ends of one are its value.
ENDS = ("lo1", "hi1", "lo3", "hi3")


@dataclass(frozen=True, eq=False)
class Descending:
    """Something to order by, from the largest down."""

    of: Any


class Compared:
    """What is compared as a number with numbers and as a text with texts."""

    def _as(self, other: object) -> Quantity:
        """Return what is compared with a value of this type."""
        raise NotImplementedError

    def __eq__(self, other: object) -> Expression:  # type: ignore[override]
        return self._as(other) == other

    def __ne__(self, other: object) -> Expression:  # type: ignore[override]
        return ~(self == other)

    __hash__ = object.__hash__

    def __lt__(self, other: float | str) -> Expression:
        return self._as(other) < other

    def __le__(self, other: float | str) -> Expression:
        return self._as(other) <= other

    def __gt__(self, other: float | str) -> Expression:
        return self._as(other) > other

    def __ge__(self, other: float | str) -> Expression:
        return self._as(other) >= other


@dataclass(frozen=True, eq=False)
class Quantity:
    """Something of a fit that has a value: compare it, or order by it.

    Comparisons with NULL, which stands for what is not known or not finite, are never met; their
    opposites are.
    """

    column: sa.ColumnElement[Any]
    text: str
    # Of a column of a child table.
    fits: Fits | None = None
    # The value as a scalar of each fit, to order by.
    scalar: Callable[[], sa.ColumnElement[Any]] | None = None
    place: Place | None = None
    # Which row of a child table the column is of; None for the table `fit` itself.
    row: tuple[str, ...] | None = None
    # Beside the column: the digits of an integer that no double holds.
    exact: sa.ColumnElement[Any] | None = None
    # What holds where the value is not known, if more than that the column is NULL.
    unknown: Condition | None = None

    def _where(self, condition: Condition, text: str, values: int = 1) -> Expression:
        name = f"({self.text} {text})"
        places = () if self.place is None else (self.place,)
        if self.row is None or self.fits is None:
            return Expression(name, (lambda known: condition,), places=places, values=values)
        tests = (Test(self.row, condition, self.fits),)
        return Expression(name, tests=tests, places=places, values=values)

    def __eq__(self, other: object) -> Expression:  # type: ignore[override]
        if other is None:
            unknown = self.column.is_(None) if self.unknown is None else self.unknown
            return self._where(unknown, "== None")
        return self._where(self._is(other), f"== {self._value(other).value!r}")

    def __ne__(self, other: object) -> Expression:  # type: ignore[override]
        return ~(self == other)

    def __lt__(self, other: float | str) -> Expression:
        value = self._limit(other)
        return self._where(self.column < value, f"< {value.value!r}")

    def __le__(self, other: float | str) -> Expression:
        value = self._limit(other)
        return self._where(self.column <= value, f"<= {value.value!r}")

    def __gt__(self, other: float | str) -> Expression:
        value = self._limit(other)
        return self._where(self.column > value, f"> {value.value!r}")

    def __ge__(self, other: float | str) -> Expression:
        value = self._limit(other)
        return self._where(self.column >= value, f">= {value.value!r}")

    __hash__ = object.__hash__

    def between(self, low: float | str, high: float | str) -> Expression:
        """Match fits where this lies between two values, both included."""
        first, last = self._limit(low), self._limit(high)
        between = sa.and_(self.column >= first, self.column <= last)
        return self._where(between, f"between {first.value!r} and {last.value!r}")

    def in_(self, values: Iterable[float | str]) -> Expression:
        """Match fits where this is one of some values."""
        plain: list[sa.BindParameter[Any]] = []
        others: list[Condition] = []
        texts: list[str] = []
        for item in listed(values, self.text):
            value = self._value(item)
            texts.append(repr(value.value))
            if _is_special(value):
                others.append(self._is(item))
            else:
                plain.append(value)
        condition = joined(sa.or_, [self.column.in_(plain), *others])
        more = [f"... {len(texts)} in all"] if len(texts) > MOST_SHOWN else []
        shown = ", ".join(texts[:MOST_SHOWN] + more)
        return self._where(condition, f"in [{shown}]", len(texts) + len(others))

    def contains(self, text: str) -> Expression:
        """Match fits where this text contains another, letter by letter; no character is special."""
        value = self._value(text)
        # Not by LIKE, which takes a for A on sqlite and not on PostgreSQL.
        without = sa.func.replace(self.column, value, "")
        holds = without != self.column if value.value else self.column.is_not(None)
        return self._where(sa.false() if _has_nul(value) else holds, f"contains {value.value!r}")

    def startswith(self, text: str) -> Expression:
        """Match fits where this text begins with another, letter by letter."""
        value = self._value(text)
        if not isinstance(value.value, str):
            raise CatalogError(f"{self.text} is a number, which does not begin with {text!r}.")
        begins = sa.func.substr(self.column, 1, len(value.value)) == value
        return self._where(sa.false() if _has_nul(value) else begins, f"startswith {value.value!r}")

    def _is(self, other: Any) -> Condition:
        """Return the condition that this is a value, to the last digit of a large integer."""
        value = self._value(other)
        if not _is_special(value):
            return self.column == value
        if isinstance(value.value, str):
            return sa.false()  # no catalogue keeps a text with a NUL, and PostgreSQL cannot
        if self.exact is None or value.value in (math.inf, -math.inf):
            return self.column == value
        digits = exact_digits(check_value(other, self.text))
        return sa.and_(self.column == value, self.exact.is_(None) if digits is None else self.exact == digits)

    def _limit(self, value: Any) -> sa.BindParameter[Any]:
        """Return a value that others come before and after."""
        limit = self._value(value)
        if _has_nul(limit):
            raise CatalogError(
                f"{self.text} is compared with {value!r}, which has a NUL: it has no place among texts.",
                cure="Leave out the NUL.",
            )
        return limit

    def _value(self, value: Any) -> sa.BindParameter[Any]:
        """Return a value with its own type, for engines differ in what they make of another one."""
        value = check_value(value, self.text, cure=self._key())
        is_text = isinstance(self.column.type, tables.Words)
        if isinstance(value, int) and abs(value) > (2**63 - 1 if self.exact is None else LARGEST_EXACT):
            value = _as_float(value)
        if isinstance(value, str) is not is_text or value is None:
            kind = "a text" if is_text else "a number"
            raise CatalogError(f"{self.text} is {kind}, and cannot be compared with {value!r}.")
        if is_text:
            return sa.literal(value, tables.Words())
        return sa.literal(value, tables.Number if isinstance(value, float) else tables.Whole)

    def desc(self) -> Descending:
        """Order by this from the largest down."""
        return Descending(self)

    def _key(self, end: str = "") -> str | None:
        """Return how a part of a model is reached that is called like this statistic."""
        if self.place is None or self.place.statistic is None:
            return None
        name = f'{self.place.path}["{self.place.statistic}"]{end}'
        return f"A part of a model that is called so is reached by key: `{name}`."

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("_"):
            raise AttributeError(name)  # copy, pickle and notebooks probe for such names
        raise UnknownNameError(f"{self.text} has no `{name}`.", cure=self._key(f".{name}"))

    def __getitem__(self, key: object) -> NoReturn:
        raise UnknownNameError(f"{self.text} has no element {key!r}.", cure=self._key(f"[{key!r}]"))

    def __bool__(self) -> bool:
        raise CatalogError(f"{self.text} has a value for each fit, none by itself.", cure="Compare it first.")

    def __repr__(self) -> str:
        return self.text


def _has_nul(value: sa.BindParameter[Any]) -> bool:
    return isinstance(value.value, str) and "\0" in value.value


def _is_special(value: sa.BindParameter[Any]) -> bool:
    """Whether more than a comparison of its column tells that something is this value."""
    number = 0 if value.value is None or isinstance(value.value, str) else value.value
    return _has_nul(value) or abs(number) >= LARGEST_EXACT


def check_value(value: Any, name: str, cure: str | None = None) -> Any:
    """Return a value that a column can be compared with, or say why it cannot."""
    if getattr(getattr(value, "dtype", None), "kind", None) in ("m", "M"):
        raise CatalogError(
            f"{name} cannot be compared with {value!r}: times are texts here, and lengths of time numbers.",
            cure='As it was filed: write `"2026-01-31"` or `str(time)`, `length / np.timedelta64(1, "s")`.',
        )
    value = value.item() if hasattr(value, "item") and getattr(value, "ndim", 1) == 0 else value
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, float) and math.isnan(value):
        raise CatalogError(f"{name} is compared with NaN, which nothing is equal to.", cure="Use `== None`.")
    if isinstance(value, str):
        return check_text(value, name)
    if isinstance(value, int):
        return int(value)
    if value is None or isinstance(value, float):
        return value
    raise CatalogError(f"{name} cannot be compared with {value!r}, a {type(value).__name__}.", cure=cure)


def listed(values: Iterable[Any], name: str) -> list[Any]:
    """Return the values that something may be one of; a text is not taken letter by letter."""
    scalar = isinstance(values, str | bytes) or getattr(values, "ndim", 1) == 0
    if scalar or not isinstance(values, Iterable):
        raise CatalogError(f"{name}: `in_` takes a list of values.", cure=f"Write `in_([{values!r:.100}])`.")
    found = list(itertools.islice(values, MOST_VALUES + 1))
    if len(found) > MOST_VALUES:
        raise too_many_values(name)
    return found


def check_text(text: str, name: str) -> str:
    """Return a text in the form in which the catalogue keeps it, NFC, so that equal letters are equal."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise CatalogError(
            f"{name}: {text!r} contains half a character (a lone surrogate), which no text here has."
        ) from None
    return unicodedata.normalize("NFC", text)


def _as_float(value: int) -> float:
    """Return a large integer as a float; beyond all floats it is infinite."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def fit_quantity(column: str, text: str) -> Quantity:
    """Return a column of the table `fit`."""
    # A search without a name or a tag is filed with an empty one.
    unknown = fit.c[column] == "" if column in ("name", "unique_tag") else None
    return Quantity(fit.c[column], text, scalar=lambda: fit.c[column], unknown=unknown)


def parameter_column(name: str) -> sa.ColumnElement[Any]:
    """Return a number of the summary of a parameter: a constant is a posterior without width."""
    column = parameter.c[name]
    if name not in ENDS:
        return column
    return sa.case((parameter.c.role == "fixed", parameter.c.median), else_=column)


def parameter_quantity(place: Place, name: str, text: str) -> Quantity:
    """Return one number of the summary of the parameter at a place."""
    column = parameter_column(name)

    def fits(condition: Condition) -> sa.Select[tuple[int]]:
        return sa.select(parameter.c.fit_id).where(place.within(parameter.c.path), condition)

    def scalar() -> sa.ColumnElement[Any]:
        query = sa.select(column).where(parameter.c.fit_id == fit.c.id)
        return query.where(place.within(parameter.c.path)).limit(1).scalar_subquery()

    # The statistics that a fixed number has.
    exact = parameter.c.exact if name in ("mean", "median", "ml", "map") else None
    row = ("parameter", *place.paths)
    # Neither a text nor an integer beyond all floats has a number in the column.
    unknown = sa.and_(column.is_(None), parameter.c.text.is_(None), parameter.c.exact.is_(None))
    return Quantity(column, text, fits, scalar, place, row, exact, unknown)


def array_condition(path: str) -> Condition:
    """Return the condition that a parameter is an element of the array at a path."""
    # `\\` comes right after `[`: a range, so that an index serves it.
    return sa.and_(parameter.c.path >= f"{path}[", parameter.c.path < f"{path}\\")
