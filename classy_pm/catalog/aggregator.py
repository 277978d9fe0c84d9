"""A lazy selection of fits: asked for by conditions, read one at a time."""

from __future__ import annotations

import inspect
import operator
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import reduce
from operator import and_
from typing import TYPE_CHECKING, Any, Self, overload

import sqlalchemy as sa

from classy_pm.catalog import results, selection, tables
from classy_pm.catalog.catalog import PAGE, Catalog
from classy_pm.catalog.expressions import Classes, Expression, Place, fit
from classy_pm.catalog.noted import NoteQuantity, Notes
from classy_pm.catalog.places import FIT, SEARCH, Columns, Path, has_tag
from classy_pm.catalog.quantities import Descending, Quantity, check_text, parameter_column
from classy_pm.catalog.references import class_ref
from classy_pm.catalog.stored import StoredFit
from classy_pm.errors import CatalogError, UnknownNameError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

#: What `values` can give of a fit, by name: functions of the fit and of the classes that the
#: reader's code has handed over, by reference.
VIEWS: dict[str, Callable[[StoredFit, Mapping[str, type]], Any]] = {
    "fit": lambda stored, classes: stored,
    "record": lambda stored, classes: stored.record,
    "info": lambda stored, classes: stored.info,
    "idata": lambda stored, classes: stored.tree(),
    "model": results.model_of,
    "result": results.result_of,
    "samples": results.samples_of,
    "instance": results.instance_of,
    "saved": results.saved_of,
}
#: Columns of `summary` that describe the fit rather than a parameter.
DESCRIPTION = (
    *("name", "unique_tag", "sampler", "created", "seconds", "log_evidence", "log_evidence_error"),
    *("max_log_likelihood", "loo", "max_rhat", "min_ess", "divergences"),
)
#: More fits than there can be, and a number that every engine takes.
BEYOND = 2**62
STATISTICS = ("mean", "median", "sd", "lo1", "hi1", "lo3", "hi3", "ml", "map", "ess", "rhat")


@dataclass(frozen=True, eq=False)
class Aggregator:
    """A selection of the fits in a catalogue; nothing is read until it is asked for.

    Places in the models are attributes: `aggregator.lens.bulge == Sersic` and
    `aggregator.lens.bulge.centre > 3.0` are conditions for `query`, joined by `&`, `|` and `~`.
    A name that is taken here is reached as `aggregator.model["query"]`.

    Parameters
    ----------
    catalog : Catalog
        Where the fits are.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> aggregator = Aggregator(Catalog(f"{folder.name}/survey.sqlite"))
    >>> len(aggregator.query(aggregator.search.name == "line"))
    0
    >>> folder.cleanup()
    """

    catalog: Catalog
    conditions: tuple[Expression, ...] = ()
    order: tuple[tuple[Quantity, bool], ...] = ()
    start: int = 0
    stop: int | None = None
    classes: Mapping[str, type] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.catalog, Catalog):
            raise CatalogError(
                f"{self.catalog!r:.100} is not a catalogue.",
                cure="Write Aggregator.from_database(path), or Aggregator(Catalog(path)).",
            )

    @classmethod
    def from_database(
        cls,
        location: str | os.PathLike[str],
        *,
        files: str | os.PathLike[str] | None = None,
        read_only: bool = False,
        untrusted: bool = False,
    ) -> Self:
        """Return all fits of the catalogue at this place, which must exist; see `Catalog`."""
        store = Catalog(location, files=files, create=False, read_only=read_only, untrusted=untrusted)
        return cls(store)

    @property
    def model(self) -> Path:
        """The root of all models, for names that are taken here: `aggregator.model["query"]`."""
        return Path(())

    @property
    def search(self) -> Columns:
        """The search: `name`, `unique_tag`, `sampler`."""
        return SEARCH

    @property
    def fit(self) -> Columns:
        """What is known of a fit as a whole: `log_evidence`, `max_rhat`, `created`, `data_hash`, ..."""
        return FIT

    @property
    def info(self) -> Notes:
        """The user's notes: `aggregator.info["survey"] == "SLACS"`."""
        return Notes()

    def tagged(self, tag: str) -> Expression:
        """Return the condition that a fit has a tag."""
        return has_tag(tag)

    def __getattr__(self, name: str) -> Path:
        if name.startswith("_"):
            raise AttributeError(name)
        return Path((name,))

    def query(self, *conditions: Expression) -> Self:
        """Return the fits that meet all of these conditions too.

        Raises
        ------
        UnknownNameError
            If no fit in the catalogue has a component or parameter at a place that is named.
        CatalogError
            If all that have one have something else there, such as a component where a number is needed.
        """
        for condition in conditions:
            if not isinstance(condition, Expression):
                taken = isinstance(condition, bool)  # as `aggregator.start == 1` is
                raise CatalogError(
                    f"{condition!r} is not a condition on fits.",
                    cure="Compare a place with something: `query(aggregator.lens.bulge == Sersic)`."
                    + " A part that is called like an attribute here is `aggregator.model[...]`." * taken,
                )
            self._check(condition.places)
        if self.start or self.stop is not None:
            raise CatalogError("A slice of fits cannot be queried further.", cure="Query first, then slice.")
        known = {class_ref(cls): cls for condition in conditions for cls in condition.classes}
        self._tell_namesakes(known.values())
        together = (reduce(and_, self.conditions + conditions),) if conditions else self.conditions
        return replace(self, conditions=together, classes={**self.classes, **known})

    def order_by(self, *quantities: Quantity | Path | NoteQuantity | Descending) -> Self:
        """Return the same fits in another order; fits without a value come last.

        By a note, fits where it is a number come before those where it is a text. The fits of a
        slice stay those that they are.
        """
        order: list[tuple[Quantity, bool]] = []
        for item in quantities:
            descending = isinstance(item, Descending)
            wanted = item.of if isinstance(item, Descending) else item
            if isinstance(wanted, NoteQuantity):
                order += [(wanted.number, descending), (wanted.text, descending)]
                continue
            quantity = wanted.median if isinstance(wanted, Path) else wanted
            if not isinstance(quantity, Quantity) or quantity.scalar is None:
                raise CatalogError(
                    f"Fits cannot be ordered by {item!r:.200}.",
                    cure="Write `aggregator.lens.centre`, or `aggregator.lens.centre.desc()`.",
                )
            if quantity.place is not None:
                self._check((quantity.place,))
            order.append((quantity, descending))
        if not self.start and self.stop is None:
            return replace(self, order=tuple(order))
        deep = 1 + max((condition.depth for condition in self.conditions), default=0)
        among = Expression(repr(self), (lambda known: fit.c.id.in_(self._select(known)),), depth=deep)
        return replace(self, conditions=(among,), order=tuple(order), start=0, stop=None)

    def register(self, *classes: type) -> Self:
        """Return the same fits, with classes that their instances may be made of.

        A stored name of a class is never turned into one; only classes handed over are used.

        Examples
        --------
        >>> aggregator = aggregator.register(Gaussian)  # doctest: +SKIP
        """
        for cls in classes:
            check_class(cls)
        return replace(self, classes={**self.classes, **{class_ref(cls): cls for cls in classes}})

    def alias(self, ref: str, cls: type) -> Self:
        """Return the same fits, with a class for those that a moved class was filed under.

        Parameters
        ----------
        ref : str
            The name that it was filed under, "module:Class".
        cls : type
        """
        check_class(cls)
        if not isinstance(ref, str) or not all(ref.partition(":")):
            raise CatalogError(f"{ref!r} is not the name of a class.", cure='Write "module:Class".')
        return replace(self, classes={**self.classes, ref: cls})

    def __len__(self) -> int:
        return self.count()

    def __bool__(self) -> bool:
        return self.exists()

    def count(self) -> int:
        """Return the number of fits."""
        if self.start or self.stop is not None:
            return len(self._numbers())
        if not self.catalog.is_there():
            return 0
        with self.catalog.database.reading() as connection:
            query = sa.select(sa.func.count()).select_from(fit).where(self._where(self._known(connection)))
            return int(connection.execute(query).scalar_one())

    def exists(self) -> bool:
        """Whether there is any fit."""
        return self.first() is not None

    def first(self) -> StoredFit | None:
        """Return the first fit, or None."""
        return next(iter(self[:1]), None)

    def one(self) -> StoredFit:
        """Return the only fit; any other number is an error."""
        found = list(self[:2])
        if len(found) != 1:
            number = "none" if not found else f"{self.count()}"
            raise CatalogError(f"Exactly one fit was asked for; there are {number}.")
        return found[0]

    @overload
    def __getitem__(self, place: int) -> StoredFit: ...

    @overload
    def __getitem__(self, place: slice) -> Self: ...

    def __getitem__(self, place: int | slice) -> StoredFit | Self:
        if isinstance(place, slice):
            return self._slice(place)
        place = _whole(place)
        number = place if place >= 0 else len(self) + place
        found = list(self[number : number + 1]) if number >= 0 else []
        if not found:
            raise IndexError(f"There is no fit {place} among {len(self)}.")
        return found[0]

    def _slice(self, place: slice) -> Self:
        if place.step is not None and _whole(place.step) != 1:
            raise CatalogError("Fits are sliced in steps of one only.", cure="Slice a list of them.")
        first = None if place.start is None else _whole(place.start)
        last = None if place.stop is None else _whole(place.stop)
        if min(first or 0, last or 0) < 0:
            first, last, _ = slice(first, last).indices(len(self))
            last = max(first, last)
        ends = [self.stop, None if last is None else min(self.start + last, BEYOND)]
        stop = min((end for end in ends if end is not None), default=None)
        return replace(self, start=min(self.start + (first or 0), BEYOND), stop=stop)

    def __iter__(self) -> Iterator[StoredFit]:
        """Give the fits one at a time; each page is read in a short transaction of its own."""
        if not self.catalog.is_there():
            return
        if not self.order and not self.start and self.stop is None:
            yield from self._in_order_of_filing()
            return
        numbers = self._numbers()
        for begin in range(0, len(numbers), PAGE):
            part = numbers[begin : begin + PAGE]
            query = sa.select(tables.fit).where(tables.fit.c.id.in_(part))
            with self.catalog.database.reading() as connection:
                rows = {row["id"]: dict(row) for row in connection.execute(query).mappings()}
            for number in part:
                if number in rows:
                    yield StoredFit.from_row(rows[number], self.catalog)

    def values(self, name: str) -> Iterator[Any]:
        """Give one thing of each fit, reading one file at a time.

        Parameters
        ----------
        name : str
            `"idata"`, `"samples"`, `"result"`, `"instance"`, `"model"`, `"record"`, `"info"`, `"fit"`,
            `"saved"`; the name of a variable of the posterior, such as `"lens.bulge.centre_0"`, or of an
            element of one, `"lens.weights[0]"`, in a graph also by its data set,
            `"line.centre[object_3]"`; or that of something that was saved with the fits.

        Yields
        ------
        object
            For a variable its draws, with shape (chain, draw, ...).

        Raises
        ------
        UnknownNameError
            If neither the index nor the first of these fits has anything of that name.
        """
        return self._values(VIEWS.get(name) or self._named(check_text(name, "`values`")))

    def _values(self, view: Callable[[StoredFit, Mapping[str, type]], Any]) -> Iterator[Any]:
        for stored in self:
            yield view(stored, self.classes)

    def _named(self, name: str) -> Callable[[StoredFit, Mapping[str, type]], Any]:
        """Return what gives a variable, an element of one, or something saved."""
        if not self.catalog.is_there():
            return lambda stored, classes: results.variable_of(stored, name)
        with self.catalog.database.reading() as connection:
            known = selection.has_variable(connection, name)
            error = None if known else selection.unknown(connection, name, also=VIEWS)
        if error is not None:
            # The index lists neither large derived arrays nor what was saved.
            first = self.first()
            found = None if first is None else results.place_of(first, name)
            if first is not None and found is None:
                raise error
            if found == "saved":
                return lambda stored, classes: results.saved_item(stored, name)
        return lambda stored, classes: results.variable_of(stored, name, listed=known)

    def summary(self, *statistics: str) -> pd.DataFrame:
        """Return a table with a row a fit; no file is opened.

        Parameters
        ----------
        *statistics : {"median", "mean", "sd", "lo1", "hi1", "lo3", "hi3", "ml", "map", "ess", "rhat"}
            Which numbers to give of each parameter, the median by default. Its column has the name
            of the parameter; other numbers have theirs after a colon, and so has the median of a
            parameter that is called like a column of the fit.

        Returns
        -------
        pandas.DataFrame
            Its index is the identity of the fits.
        """
        import pandas as pd

        wanted = statistics or ("median",)
        for name in wanted:
            if name not in STATISTICS:
                raise UnknownNameError(
                    f"There is no statistic `{name}`.", cure=did_you_mean(name, STATISTICS)
                )
        index: list[str] = []
        lines: list[dict[str, Any]] = []
        # Of parameters at their further paths: a number has a column there if that of another fit has.
        further: list[dict[str, Any]] = []
        for page in self._pages():
            numbers: dict[int, tuple[dict[str, Any], dict[str, Any]]]
            numbers = {stored.id: ({}, {}) for stored in page}
            table = tables.parameter
            columns = [table.c.fit_id, table.c.path, table.c.role, *map(parameter_column, wanted)]
            query = sa.select(*columns).where(table.c.fit_id.in_(numbers)).order_by(table.c.place)
            with self.catalog.database.reading() as connection:
                for number, path, role, *values in connection.execute(query):
                    for name, value in zip(wanted, values, strict=True):
                        numbers[number][role == "shared"][_column_name(path, name)] = value
            for stored in page:
                own, shared = numbers[stored.id]
                index.append(stored.fit_key)
                lines.append({name: getattr(stored, name) for name in DESCRIPTION} | own)
                further.append(shared)
        names = set().union(*lines)
        for line, shared in zip(lines, further, strict=True):
            line.update((name, value) for name, value in shared.items() if name in names)
        return pd.DataFrame(
            lines, index=pd.Index(index, name="fit_key"), columns=None if lines else DESCRIPTION
        )

    def compare(self) -> pd.DataFrame:
        """Return these fits side by side, the best first; they must have the same data.

        Returns
        -------
        pandas.DataFrame
            With `log_evidence`, its error, the difference to the best one, and `loo`.

        Raises
        ------
        CatalogError
            If two fits have different data: their evidences mean nothing to each other.
        """
        stored = list(self)
        hashes = {item.data_hash for item in stored}
        if len(hashes) > 1 or None in hashes:
            lines = [
                f"{item.name} {item.unique_tag}: {(item.data_hash or 'unknown')[:12]}" for item in stored
            ]
            raise CatalogError("Fits of different data cannot be compared.", lines[:20])
        table = self.summary()[[*DESCRIPTION]]
        if table["log_evidence"].notna().any():
            table = table.sort_values("log_evidence", ascending=False)
            table.insert(6, "difference", table["log_evidence"] - table["log_evidence"].max())
        elif table["loo"].notna().any():
            table = table.sort_values("loo", ascending=False)
        return table

    def __repr__(self) -> str:
        text = " & ".join(map(repr, self.conditions)) or "all fits"
        if self.start or self.stop is not None:
            text += f"[{self.start}:{'' if self.stop is None else self.stop}]"
        return f"<Aggregator: {text} of {str(self.catalog.location)!r}>"

    def _where(self, known: Classes) -> sa.ColumnElement[bool]:
        # With conditions, their indexes find the fits; the one on the status would find nearly all.
        status = sa.func.coalesce(fit.c.status, "") if self.conditions else fit.c.status
        together = reduce(and_, self.conditions).build(known) if self.conditions else sa.true()
        return sa.and_(status == "complete", together)

    def _known(self, connection: sa.Connection) -> Classes:
        return Classes(connection, self.classes)

    def _select(self, known: Classes) -> sa.Select[tuple[int]]:
        """Return what selects the row numbers of these fits, in their order."""
        query = sa.select(fit.c.id).where(self._where(known))
        for quantity, descending in self.order:
            assert quantity.scalar is not None
            value = quantity.scalar()
            query = query.order_by((value.desc() if descending else value).nulls_last())
        query = query.order_by(fit.c.id).offset(self.start or None)
        if self.stop is not None:
            query = query.limit(max(0, self.stop - self.start))
        return query.correlate(None)  # in a query for some of these in another order

    def _numbers(self) -> list[int]:
        """Return the row numbers of these fits, in their order."""
        if not self.catalog.is_there():
            return []
        with self.catalog.database.reading() as connection:
            query: sa.Select[Any] = self._select(self._known(connection))
            return list(connection.execute(query).scalars())

    def _in_order_of_filing(self) -> Iterator[StoredFit]:
        table, last = tables.fit, 0
        while True:
            with self.catalog.database.reading() as connection:
                query = sa.select(table).where(self._where(self._known(connection)), table.c.id > last)
                page = connection.execute(query.order_by(table.c.id).limit(PAGE)).mappings().all()
            for row in page:
                yield StoredFit.from_row(dict(row), self.catalog)
            if len(page) < PAGE:
                return
            last = page[-1]["id"]

    def _pages(self) -> Iterator[list[StoredFit]]:
        page: list[StoredFit] = []
        for stored in self:
            page.append(stored)
            if len(page) == PAGE:
                yield page
                page = []
        if page:
            yield page

    def _check(self, places: Iterable[Place]) -> None:
        """Refuse a place that no fit has, or that is something else in all that have it."""
        places = tuple(places)
        if places and self.catalog.is_there():
            with self.catalog.database.reading() as connection:
                selection.check_places(connection, places, TAKEN)

    def _tell_namesakes(self, classes: Iterable[type]) -> None:
        """Warn of a class that is in no fit, where one of the same name from elsewhere is."""
        classes = tuple(classes)
        if not classes or not self.catalog.is_there():
            return
        with self.catalog.database.reading() as connection:
            for cls, others in selection.namesakes(self._known(connection), classes):
                warnings.warn(
                    f"No fit has {class_ref(cls)}; there {'is' if len(others) == 1 else 'are'} "
                    f"{', '.join(others)}. If that is the same class, write "
                    f'aggregator.alias("{others[0]}", {cls.__name__}).',
                    UserWarning,
                    stacklevel=3,
                )


def check_class(cls: object) -> None:
    """Refuse what cannot be a component: that is a class, or a function that makes objects."""
    if not (isinstance(cls, type) or inspect.isfunction(cls)):
        raise CatalogError(f"{cls!r} is not a class.", cure="Hand over the class itself: `Gaussian`.")


#: Names that a place cannot have as an attribute of an aggregator.
TAKEN = frozenset(name for name in dir(Aggregator) if not name.startswith("_"))
TAKEN |= {item.name for item in fields(Aggregator)}


def _whole(place: object) -> int:
    """Return the place of a fit as a number, which may be beyond all fits but no column."""
    try:
        return max(-BEYOND, min(operator.index(place), BEYOND))  # type: ignore[arg-type]
    except TypeError:
        raise CatalogError(
            f"{place!r:.100} is not the place of a fit.",
            cure="Ask for fits by conditions: `aggregator.query(...)`; "
            "a part of the models is `aggregator.model[...]`.",
        ) from None


def _column_name(path: str, statistic: str) -> str:
    """Return how the summary calls a number of a parameter; no two have the same name."""
    taken = path in DESCRIPTION or path.rpartition(":")[2] in STATISTICS
    return path if statistic == "median" and not taken else f"{path}:{statistic}"
