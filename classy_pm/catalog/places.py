"""The places that can be asked for: components and parameters, notes, and what a fit as a whole has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa

from classy_pm.catalog.expressions import (
    Classes,
    Condition,
    Expression,
    Quantity,
    check_value,
    component,
    fit,
    fit_quantity,
    info,
    parameter,
    parameter_quantity,
    tag,
    text_parameter,
)
from classy_pm.catalog.references import class_ref
from classy_pm.errors import CatalogError, UnknownNameError, did_you_mean

#: Ends of the intervals that are kept, by how many sigmas of probability they hold.
BOUNDS = {("lower", 1): "lo1", ("upper", 1): "hi1", ("lower", 3): "lo3", ("upper", 3): "hi3"}


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
        either = fit.c.id.in_(sa.union(components, parameters))
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
