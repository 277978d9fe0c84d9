"""The notes on fits as something that can be asked for: `aggregator.info["survey"]`."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NoReturn

import sqlalchemy as sa

from classy_pm.catalog.expressions import Condition, Expression, fit, info
from classy_pm.catalog.quantities import Compared, Descending, Quantity, check_text, listed
from classy_pm.catalog.records import to_json
from classy_pm.errors import CatalogError, UnknownNameError

#: Values of notes that are no numbers as far as a comparison goes.
UNKNOWN = (None, math.nan, math.inf, -math.inf)


class Notes:
    """`aggregator.info["survey"]`."""

    __iter__ = None  # not over `info[0]`, `info[1]`, ... without end

    def __getitem__(self, key: str) -> NoteQuantity:
        return NoteQuantity(check_text(str(key), "info"))

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("_"):
            raise AttributeError(name)
        raise UnknownNameError(
            f"`info` has no `{name}`: notes are reached by key.",
            cure=f'Write `info["{name}"]`; a part of a model that is called info is `model["info"]`.',
        )


class NoteQuantity(Compared):
    """One key of `info`: numbers and booleans are compared as numbers, texts as texts."""

    def __init__(self, key: str) -> None:
        self.key = key

    def _as(self, value: object) -> Quantity:
        return self.text if isinstance(value, str) else self.number

    def _fits(self, condition: Condition) -> sa.Select[tuple[int]]:
        return sa.select(info.c.fit_id).where(info.c.key == self.key, condition)

    def _column(self, column: str) -> Quantity:
        def scalar() -> sa.ColumnElement[Any]:
            query = sa.select(info.c[column]).where(info.c.fit_id == fit.c.id, info.c.key == self.key)
            return query.scalar_subquery()

        exact = info.c.exact if column == "num" else None
        return Quantity(info.c[column], repr(self), self._fits, scalar, row=("info", self.key), exact=exact)

    def __eq__(self, other: object) -> Expression:  # type: ignore[override]
        if other is None:
            # Texts, lists and dicts have no number either.
            unknown = info.c.json.in_([to_json(value) for value in UNKNOWN])
            query = self._fits(sa.and_(info.c.num.is_(None), unknown))
            return Expression(f"({self!r} == None)", selects=(lambda known: query,))
        return super().__eq__(other)

    __hash__ = object.__hash__

    def between(self, low: float | str, high: float | str) -> Expression:
        """Match fits where this note lies between two values, both included."""
        return self._as(low).between(low, high)

    def in_(self, values: Iterable[float | str]) -> Expression:
        """Match fits where this note is one of some values."""
        values = listed(values, repr(self))
        texts = [value for value in values if isinstance(value, str)]
        numbers = [value for value in values if not isinstance(value, str)]
        return self.text.in_(texts) | self.number.in_(numbers)

    def contains(self, text: str) -> Expression:
        """Match fits where this note is a text that contains another."""
        return self.text.contains(text)

    def startswith(self, text: str) -> Expression:
        """Match fits where this note is a text that begins with another."""
        return self.text.startswith(text)

    def exists(self) -> Expression:
        """Match fits that have such a note at all."""
        query = sa.select(info.c.fit_id).where(info.c.key == self.key)
        return Expression(f"{self!r} exists", selects=(lambda known: query,))

    def desc(self) -> Descending:
        """Order by this note from the largest down: numbers first, then texts."""
        return Descending(self)

    @property
    def number(self) -> Quantity:
        """The note as a number, to order by that alone; `text` is the other."""
        return self._column("num")

    @property
    def text(self) -> Quantity:
        """The note as a text, to order by that alone."""
        return self._column("text")

    def __bool__(self) -> bool:
        raise CatalogError(f"{self!r} has a value for each fit, none by itself.", cure="Compare it first.")

    def __repr__(self) -> str:
        return f"info[{self.key!r}]"
