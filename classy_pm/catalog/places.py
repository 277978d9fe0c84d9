"""The places that can be asked for: components and parameters, notes, and what a fit as a whole has."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from functools import reduce
from operator import or_
from typing import Any, NoReturn, cast

import sqlalchemy as sa

from classy_pm.catalog.expressions import Classes, Expression, Kind, Place, component, fit, parameter, tag
from classy_pm.catalog.quantities import (
    Compared,
    Descending,
    Quantity,
    array_condition,
    check_text,
    fit_quantity,
    listed,
    parameter_quantity,
)
from classy_pm.errors import CatalogError, UnknownNameError, did_you_mean

#: Ends of the intervals that are kept, by how many sigmas of probability they hold.
BOUNDS = {("lower", 1): "lo1", ("upper", 1): "hi1", ("lower", 3): "lo3", ("upper", 3): "hi3"}

#: No array has an element at such a place.
LARGEST_INDEX = 10**18

# A data set of a graph is named.
Index = tuple[int | str, ...]


class Method:
    """A method of a path, to be called; anything else is meant for a part of a model of that name."""

    def __init__(self, path: Path, function: Callable[..., Any]) -> None:
        self._path, self._function = path, function

    def __call__(self, *values: Any, **options: Any) -> Any:
        """Call the method."""
        return self._function(self._path, *values, **options)

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("_"):
            raise AttributeError(name)
        self._refuse()

    def _refuse(self, *_: object) -> NoReturn:
        name = self._function.__name__
        raise CatalogError(
            f"{self!r} is a method, to be called.",
            cure=f'A part of a model that is called so is reached by key: `{self._path!r}["{name}"]`.',
        )

    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __getitem__ = _refuse
    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return f"{self._path!r}.{self._function.__name__}"


def method[F: Callable[..., Any]](function: F) -> F:
    """Have a method of a path tell how a part of a model that is called like it is reached."""
    return cast(F, property(lambda path: Method(path, function), doc=function.__doc__))


class Path(Compared):
    """A place in the models of the fits: a component, or a parameter.

    Attributes go deeper: `aggregator.lens.bulge.centre`. A name that is also the name of a method
    here is reached as `aggregator.lens["mean"]`, and an element of an array as
    `aggregator.lens.weights[0]`, along the data sets of a graph also by their names,
    `aggregator.line.centre["object_3"]`. Compared with a class a path is a component, with a number or a text
    a parameter: its median.
    """

    __iter__ = None  # not over `path[0]`, `path[1]`, ... without end

    def __init__(self, names: tuple[str | Index, ...], *, by_key: bool = False) -> None:
        self._names = names
        self._by_key = by_key  # the last name may be that of an element: of a data set

    def __getattr__(self, name: str) -> Path:
        if name.startswith("_"):
            raise AttributeError(name)  # copy, pickle and notebooks probe for such names
        return Path((*self._names, check_text(name, "A name")))

    def __getitem__(self, name: str | int | Index) -> Path:
        if isinstance(name, str):
            return Path((*self._names, check_text(name, "A name")), by_key=True)
        return Path((*self._names, _index(name)))

    def _paths(self) -> tuple[str, ...]:
        """Return the paths that may be meant: indices at the end can be those of an array's element."""
        parts = [".".join(map(str, name)) if isinstance(name, tuple) else name for name in self._names]
        first = len(self._names)
        while first > 1 and isinstance(self._names[first - 1], tuple):
            first -= 1
        paths = [".".join(parts)]
        for start in range(len(self._names) - 1, first - 1, -1):
            index = itertools.chain.from_iterable(cast("tuple[Index, ...]", self._names[start:]))
            paths.append(f"{'.'.join(parts[:start])}[{','.join(map(str, index))}]")
        if self._by_key and len(parts) > 1:
            paths.append(f"{'.'.join(parts[:-1])}[{parts[-1]}]")
        return tuple(paths)

    def _place(self, kind: Kind, statistic: str | None = None) -> Place:
        return Place(self._paths(), kind, statistic, self._by_key)

    def _quantity(self, column: str, label: str, statistic: str | None = None) -> Quantity:
        return parameter_quantity(self._place("number", statistic), column, f"{self!r}{label}")

    def _as(self, other: object) -> Quantity:
        return self._text if isinstance(other, str) else self._number

    @property
    def _number(self) -> Quantity:
        return self._quantity("median", "")

    @property
    def _text(self) -> Quantity:
        return parameter_quantity(self._place("text"), "text", repr(self))

    @property
    def median(self) -> Quantity:
        """The median of the posterior; for a fixed parameter its value."""
        return self._quantity("median", ".median", "median")

    @property
    def mean(self) -> Quantity:
        """The mean of the posterior."""
        return self._quantity("mean", ".mean", "mean")

    @property
    def sd(self) -> Quantity:
        """The standard deviation of the posterior."""
        return self._quantity("sd", ".sd", "sd")

    @property
    def best(self) -> Quantity:
        """The value at the highest likelihood."""
        return self._quantity("ml", ".best", "best")

    @property
    def most_probable(self) -> Quantity:
        """The value at the highest posterior density."""
        return self._quantity("map", ".most_probable", "most_probable")

    @property
    def ess(self) -> Quantity:
        """The effective number of draws."""
        return self._quantity("ess", ".ess", "ess")

    @property
    def r_hat(self) -> Quantity:
        """The split R-hat."""
        return self._quantity("rhat", ".r_hat", "r_hat")

    @method
    def upper(self, sigma: int = 1) -> Quantity:
        """Return the upper end of the interval that holds so many sigmas of probability: 1 or 3."""
        return self._bound("upper", sigma)

    @method
    def lower(self, sigma: int = 1) -> Quantity:
        """Return the lower end of the interval that holds so many sigmas of probability: 1 or 3."""
        return self._bound("lower", sigma)

    def _bound(self, end: str, sigma: int) -> Quantity:
        if (end, sigma) not in BOUNDS:
            raise CatalogError(f"The index keeps intervals of 1 and 3 sigma, not of {sigma!r}.")
        return self._quantity(BOUNDS[end, sigma], f".{end}({sigma})")

    @method
    def overlaps(self, low: float, high: float, *, sigma: int = 3) -> Expression:
        """Match fits whose interval of so many sigmas has a part between two values."""
        return (self._bound("lower", sigma) <= high) & (self._bound("upper", sigma) >= low)

    @method
    def between(self, low: float | str, high: float | str) -> Expression:
        """Match fits where the median, or the text, lies between two values, both included."""
        return self._as(low).between(low, high)

    @method
    def in_(self, values: Iterable[Any]) -> Expression:
        """Match fits where this is one of some values, or of some classes."""
        values = listed(values, repr(self))
        classes = [value for value in values if isinstance(value, type)]
        texts = [value for value in values if isinstance(value, str)]
        numbers = [value for value in values if not isinstance(value, type | str)]
        parts = [self._of_class(classes, subclasses=False)] if classes else []
        parts += [self._text.in_(texts)] if texts else []
        parts += [self._number.in_(numbers)] if numbers or not parts else []
        return reduce(or_, parts)

    @method
    def contains(self, text: str) -> Expression:
        """Match fits where this is fixed to a text that contains another, letter by letter."""
        return self._text.contains(text)

    @method
    def startswith(self, text: str) -> Expression:
        """Match fits where this is fixed to a text that begins with another, letter by letter."""
        return self._text.startswith(text)

    @method
    def isa(self, cls: type) -> Expression:
        """Match fits where this component is of a class or of one that inherits from it."""
        return self._of_class([cls], subclasses=True)

    @method
    def exists(self) -> Expression:
        """Match fits whose model has a component or parameter here; there need be none.

        An array that is constant is not in the index.
        """
        place = self._place("number")
        array = array_condition(place.paths[0])
        components = sa.select(component.c.fit_id).where(place.within(component.c.path))
        parameters = sa.select(parameter.c.fit_id).where(place.within(parameter.c.path))
        elements = sa.select(parameter.c.fit_id).where(array)
        either = fit.c.id.in_(sa.union(components, parameters, elements))
        return Expression(f"{self!r} exists", (lambda known: either,))

    @method
    def desc(self) -> Descending:
        """Order by the median from the largest down."""
        return Descending(self._number)

    def _of_class(self, classes: Sequence[type], *, subclasses: bool) -> Expression:
        for cls in classes:
            if not isinstance(cls, type):
                raise CatalogError(f"{self!r} is compared with {cls!r}, which is no class.")
        place = self._place("component")

        def select(known: Classes) -> sa.Select[tuple[int]]:
            refs = known.refs_of(classes)
            wanted = [
                number
                for number, (name, bases) in known.items()
                if name in refs or (subclasses and not refs.isdisjoint(bases))
            ]
            query = sa.select(component.c.fit_id)
            return query.where(place.within(component.c.path), component.c.class_id.in_(wanted))

        names = " or ".join(cls.__qualname__ for cls in classes)
        text = f"({self!r} {'isa' if subclasses else '=='} {names})"
        return Expression(text, selects=(select,), places=(place,), classes=tuple(classes))

    def __eq__(self, other: object) -> Expression:  # type: ignore[override]
        if isinstance(other, type):
            return self._of_class([other], subclasses=False)
        return super().__eq__(other)

    __hash__ = object.__hash__

    def __bool__(self) -> bool:
        raise CatalogError(f"{self!r} is a place in many fits, neither true nor false.", cure="Compare it.")

    def __repr__(self) -> str:
        return written(self._names)


def _index(place: object) -> Index:
    """Return where an element is in its array, or a part in its collection."""
    try:
        index: Index = tuple(
            check_text(item, "A name") if isinstance(item, str) else operator.index(item)
            for item in (place if isinstance(place, tuple) else (place,))
        )
    except TypeError:
        raise CatalogError(f"{place!r} is neither a name nor the place of an element.") from None
    if any(not isinstance(number, str) and abs(number) >= LARGEST_INDEX for number in index):
        raise CatalogError("No array has an element at such a place.", cure="Give a smaller number.")
    return index


def written(names: Iterable[str | Index], taken: Container[str] = ()) -> str:
    """Return names as they are written behind an aggregator, which has some as its own."""
    text = ""
    for name in names:
        if isinstance(name, tuple) or not name.isidentifier() or name in OWN or (not text and name in taken):
            parts = name if isinstance(name, tuple) else (name,)
            key = ", ".join(f'"{part}"' if isinstance(part, str) else str(part) for part in parts)
            text += f"[{key}]" if text else f"model[{key}]"
        else:
            text += f".{name}" if text else name
    return text


#: Names that are those of a path's own statistics and methods.
OWN = frozenset(name for name in vars(Path) if not name.startswith("_"))


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
            cure = STATUS if name == "status" else did_you_mean(name, self._columns)
            raise UnknownNameError(f"`{self._label}` has no `{name}`.", cure=cure)
        return fit_quantity(self._columns[name], f"{self._label}.{name}")

    def __dir__(self) -> list[str]:
        return sorted(self._columns)


SEARCH = Columns({"name": "name", "unique_tag": "unique_tag", "sampler": "sampler"}, "search")
FIT = Columns(
    {column.name: column.name for column in fit.columns if column.name not in ("id", "status")}, "fit"
)
#: Where fits are told of that no query gives.
STATUS = "All fits here are complete; `Catalog.verify` and `classy-pm ls` tell of those whose files are not."


def has_tag(text: str) -> Expression:
    """Match fits with a tag."""
    if not isinstance(text, str):
        raise CatalogError(f"A tag is a text, and cannot be compared with {text!r:.100}.")
    query = sa.select(tag.c.fit_id).where(tag.c.tag == check_text(text, "tag"))
    return Expression(f"(tag == {text!r})", selects=(lambda known: query,))
