"""What is asked of fits, as small trees that become SQL with all values bound.

`aggregator.lens.bulge.centre > 3.0` is an `Expression`; `& | ~` join them. Column names come from
the lists here and never from the user's texts, which are values like all others.
"""

from __future__ import annotations

import itertools
import math
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

import sqlalchemy as sa

from classy_pm.catalog import tables
from classy_pm.catalog.faults import UntrustedFile
from classy_pm.catalog.records import LARGEST_EXACT, exact_digits, from_json
from classy_pm.errors import CatalogError, UnknownNameError

fit, component, parameter, info, tag = (
    tables.fit,
    tables.component,
    tables.parameter,
    tables.info,
    tables.tag,
)
Condition = sa.ColumnElement[bool]
Kind = Literal["component", "number", "text"]
#: From a condition on rows of a child table to the numbers of the fits that they belong to.
Fits = Callable[[Condition], "sa.Select[tuple[int]]"]
#: Selects that are joined by INTERSECT; sqlite takes 500.
MOST_JOINED = 100


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


@dataclass(frozen=True)
class Place:
    """A place in the models that is asked for, and what must be there in one fit at least.

    An index may mean a part of a collection or an element of an array: then there are two paths, of
    which a fit has one.
    """

    paths: tuple[str, ...]
    kind: Kind
    # How the statistic is called that is asked of a parameter.
    statistic: str | None = None

    @property
    def path(self) -> str:
        """What errors call it."""
        return self.paths[-1]

    def within(self, column: sa.ColumnElement[Any]) -> Condition:
        """Return the condition that a path is one of these."""
        return column == self.paths[0] if len(self.paths) == 1 else column.in_(self.paths)


@dataclass(frozen=True, eq=False)
class Test:
    """A condition on one row of a child table: a parameter at a path, or a note with a key."""

    row: tuple[str, ...]
    condition: Condition
    fits: Fits


@dataclass(frozen=True, eq=False)
class Expression:
    """A condition on fits. Join two with `&` or `|`, turn one round with `~`."""

    text: str
    # All of these must hold. The tests are kept apart so that those of one row, such as the two
    # ends of a range, become one search in its index instead of two that find half of all fits.
    builders: tuple[Callable[[Classes], Condition], ...] = ()
    selects: tuple[Callable[[Classes], sa.Select[tuple[int]]], ...] = ()
    tests: tuple[Test, ...] = ()
    places: tuple[Place, ...] = ()
    classes: tuple[type, ...] = ()

    def build(self, known: Classes) -> Condition:
        """Return the condition on the table `fit`."""
        rows: dict[tuple[str, ...], list[Test]] = {}
        for test in self.tests:
            rows.setdefault(test.row, []).append(test)
        found = [build(known) for build in self.selects]
        found += [tests[0].fits(sa.and_(*(test.condition for test in tests))) for tests in rows.values()]
        # Numbers are intersected in the indexes: of two lists sqlite would look at each fit in the
        # first, which may be a fifth of all, to ask whether it is in the second.
        parts = [
            fit.c.id.in_(sa.intersect(*some) if len(some) > 1 else some[0])
            for some in itertools.batched(found, MOST_JOINED)
        ]
        return sa.and_(*(build(known) for build in self.builders), *parts)

    def __and__(self, other: Expression) -> Expression:
        self._check(other, "&")
        return Expression(
            f"({self.text} & {other.text})",
            self.builders + other.builders,
            self.selects + other.selects,
            self.tests + other.tests,
            self.places + other.places,
            self.classes + other.classes,
        )

    def __or__(self, other: Expression) -> Expression:
        self._check(other, "|")
        return Expression(
            f"({self.text} | {other.text})",
            (lambda known: sa.or_(self.build(known), other.build(known)),),
            places=self.places + other.places,
            classes=self.classes + other.classes,
        )

    def __invert__(self) -> Expression:
        # What is not known is not met by a condition, and so by its opposite.
        build = (lambda known: sa.not_(sa.func.coalesce(self.build(known), sa.false())),)
        return Expression(f"~{self.text}", build, places=self.places, classes=self.classes)

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
    # Of a column of a child table.
    fits: Fits | None = None
    # The value as a scalar of each fit, to order by.
    scalar: Callable[[], sa.ColumnElement[Any]] | None = None
    place: Place | None = None
    # Which row of a child table the column is of; None for the table `fit` itself.
    row: tuple[str, ...] | None = None
    # Beside the column: the digits of an integer that no double holds.
    exact: sa.ColumnElement[Any] | None = None

    def _where(self, condition: Condition, text: str) -> Expression:
        name = f"({self.text} {text})"
        places = () if self.place is None else (self.place,)
        if self.row is None or self.fits is None:
            return Expression(name, (lambda known: condition,), places=places)
        return Expression(name, tests=(Test(self.row, condition, self.fits),), places=places)

    def __eq__(self, other: object) -> Expression:  # type: ignore[override]
        if other is None:
            return self._where(self.column.is_(None), "== None")
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
        for item in values:
            value = self._value(item)
            texts.append(repr(value.value))
            if _is_special(value):
                others.append(self._is(item))
            else:
                plain.append(value)
        condition = sa.or_(self.column.in_(plain), *others) if others else self.column.in_(plain)
        return self._where(condition, f"in [{', '.join(texts)}]")

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

    def desc(self) -> tuple[Quantity, bool]:
        """Order by this from the largest down."""
        return (self, True)

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
    return Quantity(fit.c[column], text, scalar=lambda: fit.c[column])


def parameter_quantity(place: Place, column: str, text: str) -> Quantity:
    """Return one number of the summary of the parameter at a place."""

    def fits(condition: Condition) -> sa.Select[tuple[int]]:
        return sa.select(parameter.c.fit_id).where(place.within(parameter.c.path), condition)

    def scalar() -> sa.ColumnElement[Any]:
        query = sa.select(parameter.c[column]).where(parameter.c.fit_id == fit.c.id)
        return query.where(place.within(parameter.c.path)).limit(1).scalar_subquery()

    # The statistics that a fixed number has.
    exact = parameter.c.exact if column in ("mean", "median", "ml", "map") else None
    row = ("parameter", *place.paths)
    return Quantity(parameter.c[column], text, fits, scalar, place, row, exact)


def array_condition(path: str) -> Condition:
    """Return the condition that a parameter is an element of the array at a path."""
    # `\\` comes right after `[`: a range, so that an index serves it.
    return sa.and_(parameter.c.path >= f"{path}[", parameter.c.path < f"{path}\\")
