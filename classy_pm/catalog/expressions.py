"""What is asked of fits, as small trees that become SQL with all values bound.

`aggregator.lens.bulge.centre > 3.0` is an `Expression`; `& | ~` join them. Column names come from
the lists here and never from the user's texts, which are values like all others.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from classy_pm.catalog import tables
from classy_pm.catalog.references import class_ref
from classy_pm.errors import CatalogError, UnknownNameError, did_you_mean

fit, component, parameter, info, tag = (
    tables.fit,
    tables.component,
    tables.parameter,
    tables.info,
    tables.tag,
)
Condition = sa.ColumnElement[bool]
#: Ends of the intervals that are kept, by how many sigmas of probability they hold.
BOUNDS = {("lower", 1): "lo1", ("upper", 1): "hi1", ("lower", 3): "lo3", ("upper", 3): "hi3"}


class Classes(Mapping[int, tuple[str, tuple[str, ...]]]):
    """The classes that a catalogue knows, by number: reference and those of the bases."""

    def __init__(self, connection: sa.Connection) -> None:
        table = tables.class_
        rows = connection.execute(sa.select(table.c.id, table.c.ref, table.c.bases))
        self._known = {number: (ref, tuple(json.loads(bases))) for number, ref, bases in rows}

    def __getitem__(self, number: int) -> tuple[str, tuple[str, ...]]:
        return self._known[number]

    def __iter__(self) -> Any:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)


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
        build = (lambda known: sa.not_(self.build(known)),)
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

    Comparisons with NULL, which stands for what is not known or not finite, are never met.
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
        value = check_value(other, self.text)
        return self._where(self.column.is_(None) if value is None else self.column == value, f"== {other!r}")

    def __ne__(self, other: object) -> Expression:  # type: ignore[override]
        return ~(self == other)

    def __lt__(self, other: float | str) -> Expression:
        return self._where(self.column < check_value(other, self.text), f"< {other!r}")

    def __le__(self, other: float | str) -> Expression:
        return self._where(self.column <= check_value(other, self.text), f"<= {other!r}")

    def __gt__(self, other: float | str) -> Expression:
        return self._where(self.column > check_value(other, self.text), f"> {other!r}")

    def __ge__(self, other: float | str) -> Expression:
        return self._where(self.column >= check_value(other, self.text), f">= {other!r}")

    __hash__ = object.__hash__

    def between(self, low: float | str, high: float | str) -> Expression:
        """Match fits where this lies between two values, both included."""
        ends = check_value(low, self.text), check_value(high, self.text)
        return self._where(self.column.between(*ends), f"between {low!r} and {high!r}")

    def in_(self, values: Iterable[float | str]) -> Expression:
        """Match fits where this is one of some values."""
        checked = [check_value(value, self.text) for value in values]
        return self._where(self.column.in_(checked), f"in {checked!r}")

    def contains(self, text: str) -> Expression:
        """Match fits where this text contains another; no character of it has a special meaning."""
        return self._where(
            self.column.contains(check_value(text, self.text), autoescape=True), f"contains {text!r}"
        )

    def startswith(self, text: str) -> Expression:
        """Match fits where this text begins with another."""
        begins = self.column.startswith(check_value(text, self.text), autoescape=True)
        return self._where(begins, f"startswith {text!r}")

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


class Notes:
    """`aggregator.info["survey"]`."""

    def __getitem__(self, key: str) -> NoteQuantity:
        return NoteQuantity(str(key))


class NoteQuantity:
    """One key of `info`: numbers and booleans are compared as numbers, texts as texts."""

    def __init__(self, key: str) -> None:
        self.key = key

    def _as(self, value: object) -> Quantity:
        column = "text" if isinstance(value, str) else "num"

        def of_fit(condition: Condition) -> Condition:
            return fit.c.id.in_(sa.select(info.c.fit_id).where(info.c.key == self.key, condition))

        def scalar() -> sa.ColumnElement[Any]:
            query = sa.select(info.c[column]).where(info.c.fit_id == fit.c.id, info.c.key == self.key)
            return query.scalar_subquery()

        return Quantity(info.c[column], repr(self), of_fit, scalar, row=("info", self.key))

    def __eq__(self, other: object) -> Expression:  # type: ignore[override]
        return self._as(other) == other

    def __ne__(self, other: object) -> Expression:  # type: ignore[override]
        return ~(self == other)

    def __lt__(self, other: float | str) -> Expression:
        return self._as(other) < other

    def __le__(self, other: float | str) -> Expression:
        return self._as(other) <= other

    def __gt__(self, other: float | str) -> Expression:
        return self._as(other) > other

    def __ge__(self, other: float | str) -> Expression:
        return self._as(other) >= other

    __hash__ = object.__hash__

    def between(self, low: float | str, high: float | str) -> Expression:
        """Match fits where this note lies between two values, both included."""
        return self._as(low).between(low, high)

    def in_(self, values: Iterable[float | str]) -> Expression:
        """Match fits where this note is one of some values."""
        values = list(values)
        texts = [value for value in values if isinstance(value, str)]
        numbers = [value for value in values if not isinstance(value, str)]
        return self._as("").in_(texts) | self._as(0).in_(numbers)

    def contains(self, text: str) -> Expression:
        """Match fits where this note is a text that contains another."""
        return self._as("").contains(text)

    def exists(self) -> Expression:
        """Match fits that have such a note at all."""
        query = sa.select(info.c.fit_id).where(info.c.key == self.key)
        return Expression(f"{self!r} exists", (lambda known: fit.c.id.in_(query),))

    def desc(self) -> tuple[Quantity, bool]:
        """Order by this note, a number, from the largest down."""
        return (self.number, True)

    @property
    def number(self) -> Quantity:
        """The note as a number, to order by; `text` is the other."""
        return self._as(0)

    @property
    def text(self) -> Quantity:
        """The note as a text, to order by."""
        return self._as("")

    def __repr__(self) -> str:
        return f"info[{self.key!r}]"


class Path:
    """A place in the models of the fits: a component, or a parameter.

    Attributes go deeper: `aggregator.lens.bulge.centre`. A name that is also the name of a method
    here is reached as `aggregator.lens["mean"]`. Compared with a class a path is a component, with
    a number or a text a parameter: its median.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names

    def __getattr__(self, name: str) -> Path:
        if name.startswith("_"):
            raise AttributeError(name)  # copy, pickle and notebooks probe for such names
        return Path((*self._names, name))

    def __getitem__(self, name: str | int) -> Path:
        return Path((*self._names, str(name)))

    @property
    def _path(self) -> str:
        return ".".join(self._names)

    def _quantity(self, column: str, label: str) -> Quantity:
        return parameter_quantity(self._path, column, f"{self._path}{label}")

    def _value(self, other: object) -> Quantity:
        return text_parameter(self._path, self._path) if isinstance(other, str) else self.median

    @property
    def median(self) -> Quantity:
        """The median of the posterior; for a fixed parameter its value."""
        return self._quantity("median", ".median")

    @property
    def mean(self) -> Quantity:
        """The mean of the posterior."""
        return self._quantity("mean", ".mean")

    @property
    def sd(self) -> Quantity:
        """The standard deviation of the posterior."""
        return self._quantity("sd", ".sd")

    @property
    def best(self) -> Quantity:
        """The value at the highest likelihood."""
        return self._quantity("ml", ".best")

    @property
    def most_probable(self) -> Quantity:
        """The value at the highest posterior density."""
        return self._quantity("map", ".most_probable")

    @property
    def ess(self) -> Quantity:
        """The effective number of draws."""
        return self._quantity("ess", ".ess")

    @property
    def r_hat(self) -> Quantity:
        """The split R-hat."""
        return self._quantity("rhat", ".r_hat")

    def upper(self, sigma: int = 1) -> Quantity:
        """Return the upper end of the interval that holds so many sigmas of probability: 1 or 3."""
        return self._bound("upper", sigma)

    def lower(self, sigma: int = 1) -> Quantity:
        """Return the lower end of the interval that holds so many sigmas of probability: 1 or 3."""
        return self._bound("lower", sigma)

    def _bound(self, end: str, sigma: int) -> Quantity:
        if (end, sigma) not in BOUNDS:
            raise CatalogError(f"The index keeps intervals of 1 and 3 sigma, not of {sigma!r}.")
        return self._quantity(BOUNDS[end, sigma], f".{end}({sigma})")

    def overlaps(self, low: float, high: float, *, sigma: int = 3) -> Expression:
        """Match fits whose interval of so many sigmas has a part between two values."""
        return (self.lower(sigma) <= high) & (self.upper(sigma) >= low)

    def between(self, low: float, high: float) -> Expression:
        """Match fits whose median lies between two values, both included."""
        return self.median.between(low, high)

    def in_(self, values: Iterable[Any]) -> Expression:
        """Match fits where this is one of some values, or of some classes."""
        values = list(values)
        if not values:
            return self.median.in_([])
        result = self == values[0]
        for value in values[1:]:
            result = result | (self == value)
        return result

    def isa(self, cls: type) -> Expression:
        """Match fits where this component is of a class or of one that inherits from it."""
        return self._of_class(cls, subclasses=True)

    def exists(self) -> Expression:
        """Match fits whose model has a component or parameter here."""
        components = sa.select(component.c.fit_id).where(component.c.path == self._path)
        parameters = sa.select(parameter.c.fit_id).where(parameter.c.path == self._path)
        either = fit.c.id.in_(components) | fit.c.id.in_(parameters)
        return Expression(f"{self._path} exists", (lambda known: either,))

    def desc(self) -> tuple[Quantity, bool]:
        """Order by the median from the largest down."""
        return (self.median, True)

    def _of_class(self, cls: type, *, subclasses: bool) -> Expression:
        ref = class_ref(cls)

        def build(known: Classes) -> Condition:
            wanted = [
                number
                for number, (name, bases) in known.items()
                if name == ref or (subclasses and ref in bases)
            ]
            query = sa.select(component.c.fit_id)
            return fit.c.id.in_(query.where(component.c.path == self._path, component.c.class_id.in_(wanted)))

        word = "isa" if subclasses else "=="
        text = f"({self._path} {word} {cls.__qualname__})"
        return Expression(text, (build,), paths=(self._path,), classes=(cls,))

    def __eq__(self, other: object) -> Expression:  # type: ignore[override]
        if isinstance(other, type):
            return self._of_class(other, subclasses=False)
        return self._value(other) == other

    def __ne__(self, other: object) -> Expression:  # type: ignore[override]
        return ~(self == other)

    def __lt__(self, other: float) -> Expression:
        return self.median < other

    def __le__(self, other: float) -> Expression:
        return self.median <= other

    def __gt__(self, other: float) -> Expression:
        return self.median > other

    def __ge__(self, other: float) -> Expression:
        return self.median >= other

    __hash__ = object.__hash__

    def __bool__(self) -> bool:
        raise CatalogError(
            f"{self._path} is a place in many fits, neither true nor false.", cure="Compare it."
        )

    def __repr__(self) -> str:
        return self._path


class Columns:
    """Columns of the table `fit`, under the names that a user knows.

    Parameters
    ----------
    names : dict of str to str
        From the user's name to the column.
    label : str
        How errors call this.
    """

    def __init__(self, names: Mapping[str, str], label: str) -> None:
        self._columns = names
        self._label = label

    def __getattr__(self, name: str) -> Quantity:
        if name.startswith("_"):
            raise AttributeError(name)
        if name not in self._columns:
            raise UnknownNameError(
                f"`{self._label}` has no `{name}`.", cure=did_you_mean(name, self._columns)
            )
        return fit_quantity(self._columns[name], f"{self._label}.{name}")

    def __dir__(self) -> list[str]:
        return sorted(self._columns)


SEARCH = Columns({"name": "name", "unique_tag": "unique_tag", "sampler": "sampler"}, "search")
FIT = Columns({column.name: column.name for column in fit.columns if column.name != "id"}, "fit")


def has_tag(text: str) -> Expression:
    """Match fits with a tag."""
    query = sa.select(tag.c.fit_id).where(tag.c.tag == check_value(text, "tag"))
    return Expression(f"(tag == {text!r})", (lambda known: fit.c.id.in_(query),))
