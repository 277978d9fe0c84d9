"""What is asked of fits, as small trees that become SQL with all values bound.

`aggregator.lens.bulge.centre > 3.0` is an `Expression`; `& | ~` join them. Column names come from
the lists here and never from the user's texts, which are values like all others.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.sql.elements import Grouping

from classy_pm.catalog import tables
from classy_pm.catalog.faults import UntrustedFile
from classy_pm.catalog.records import from_json
from classy_pm.catalog.references import class_ref
from classy_pm.errors import CatalogError

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
#: Selects that are joined by INTERSECT, of which sqlite takes 500, and conditions in one bracket.
MOST_JOINED = 100
#: Conditions in one, brackets in each other, and values in all: both engines and Python take so many.
MOST_CONDITIONS = 1000
DEEPEST = 20
MOST_VALUES = 25_000


class Classes(Mapping[int, tuple[str, tuple[str, ...]]]):
    """The classes that a catalogue knows, by number: reference and those of the bases.

    Parameters
    ----------
    connection : sqlalchemy.Connection
    handed : mapping of str to type
        Classes that the reader's code has handed over, by the references that they stand for.
    """

    def __init__(self, connection: sa.Connection, handed: Mapping[str, type]) -> None:
        table = tables.class_
        rows = connection.execute(sa.select(table.c.id, table.c.ref, table.c.bases))
        self._known = {number: (ref, _bases(bases)) for number, ref, bases in rows}
        self._handed = handed

    def refs_of(self, classes: Iterable[type]) -> set[str]:
        """Return the references of some classes, and those that they were handed over for."""
        classes = list(classes)
        handed = {ref for ref, cls in self._handed.items() if any(cls is other for other in classes)}
        return handed | {class_ref(cls) for cls in classes}

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
    which a fit has one. So may a name that is given as a key, an element's being that of its data set.
    """

    paths: tuple[str, ...]
    kind: Kind
    # How the statistic is called that is asked of a parameter.
    statistic: str | None = None
    by_key: bool = False

    @property
    def path(self) -> str:
        """What errors call it."""
        return self.paths[0 if self.by_key else -1]

    def within(self, column: sa.ColumnElement[Any]) -> Condition:
        """Return the condition that a path is one of these."""
        return column == self.paths[0] if len(self.paths) == 1 else column.in_(self.paths)


@dataclass(frozen=True, eq=False)
class Test:
    """A condition on one row of a child table: a parameter at a path, or a note with a key."""

    row: tuple[str, ...]
    condition: Condition
    fits: Fits


class Brackets(Grouping[bool]):
    """A condition in brackets that stay: a flat chain of hundreds is too deep for sqlite."""

    inherit_cache = True
    operator = None  # else a chain of the same kind takes out what is in them


def joined(join: Callable[..., Condition], conditions: Sequence[Condition]) -> Condition:
    """Return many conditions joined by AND or OR."""
    while len(conditions) > MOST_JOINED:
        conditions = [Brackets(join(*some)) for some in itertools.batched(conditions, MOST_JOINED)]
    return join(*conditions)


def too_many_values(name: str) -> CatalogError:
    """Return the error for more values in a query than an index takes."""
    return CatalogError(
        f"{name}: a query has {MOST_VALUES:,} values at most.",
        cure="Ask for some of them at a time, or compare what each fit gives: "
        '`[fit for fit in aggregator if fit.info["index"] in wanted]`.',
    )


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
    # Of a chain: how it is joined, and what. A chain of the same kind is none of its parts.
    sign: Literal["", "&", "|"] = ""
    parts: tuple[Expression, ...] = ()
    # How many conditions it has, how deep they lie in others, and how many values are in it.
    size: int = 1
    depth: int = 1
    values: int = 1

    def __post_init__(self) -> None:
        if self.size > MOST_CONDITIONS or self.depth > DEEPEST:
            raise CatalogError(
                f"A query joins {MOST_CONDITIONS:,} conditions at most, {DEEPEST} deep in each other.",
                cure="Ask for several values of one thing by `in_`: `x.in_([1, 2, 3])`.",
            )
        if self.values > MOST_VALUES:
            raise too_many_values("These conditions")

    def build(self, known: Classes) -> Condition:
        """Return the condition on the table `fit`."""
        if self.sign == "|":
            return joined(sa.or_, [part.build(known) for part in self.parts])
        conditions: list[Condition] = []
        found: list[sa.Select[tuple[int]]] = []
        rows: dict[tuple[str, ...], list[Test]] = {}
        for part in self.parts or (self,):
            conditions += [part.build(known)] if part.parts else [build(known) for build in part.builders]
            found += [build(known) for build in part.selects]
            for test in part.tests:
                rows.setdefault(test.row, []).append(test)
        for tests in rows.values():
            found.append(tests[0].fits(joined(sa.and_, [test.condition for test in tests])))
        # Numbers are intersected in the indexes: of two lists sqlite would look at each fit in the
        # first, which may be a fifth of all, to ask whether it is in the second.
        conditions += [
            fit.c.id.in_(sa.intersect(*some) if len(some) > 1 else some[0])
            for some in itertools.batched(found, MOST_JOINED)
        ]
        return joined(sa.and_, conditions)

    def _join(self, other: Expression, sign: Literal["&", "|"]) -> Expression:
        if not isinstance(other, Expression):
            raise CatalogError(
                f"`{sign}` joins two conditions on fits; {other!r} is not one.",
                cure=f"Put each condition in brackets: `(a == 1) {sign} (b > 2)`.",
            )
        both = (self, other)
        return Expression(
            "",
            places=self.places + other.places,
            classes=self.classes + other.classes,
            sign=sign,
            parts=tuple(part for one in both for part in (one.parts if one.sign == sign else (one,))),
            size=self.size + other.size,
            depth=max(one.depth + (one.sign not in ("", sign)) for one in both),
            values=self.values + other.values,
        )

    def __and__(self, other: Expression) -> Expression:
        return self._join(other, "&")

    def __or__(self, other: Expression) -> Expression:
        return self._join(other, "|")

    def __invert__(self) -> Expression:
        # What is not known is not met by a condition, and so by its opposite.
        return Expression(
            f"~{self!r}",
            (lambda known: sa.not_(sa.func.coalesce(self.build(known), sa.false())),),
            places=self.places,
            classes=self.classes,
            size=self.size,
            depth=self.depth + 1,
            values=self.values,
        )

    def __bool__(self) -> bool:
        raise CatalogError(
            "A condition on fits is neither true nor false by itself, so `and`, `or`, `not` and chains "
            "such as `1 < x < 2` cannot join it.",
            cure="Write `(a) & (b)`, `(a) | (b)`, `~(a)`, `x.between(1, 2)`.",
        )

    def __repr__(self) -> str:
        return f"({f' {self.sign} '.join(map(repr, self.parts))})" if self.parts else self.text
