"""From a record to the rows of the index, all in one transaction that the caller holds."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from classy_pm.catalog import tables
from classy_pm.catalog.files import Written
from classy_pm.catalog.records import (
    FORMAT,
    SUMMARY,
    ComponentRecord,
    FitRecord,
    ParameterRecord,
    composed,
    exact_digits,
    text_faults,
    to_json,
)
from classy_pm.errors import CatalogError

#: Stands for a text that no column holds, as one with NUL: no query finds it, but it is not None.
NO_COLUMN = "text"


def insert_fits(
    connection: sa.Connection,
    finished: Sequence[tuple[FitRecord, Written]],
    *,
    instead_of: str | None = None,
) -> dict[str, str]:
    """Enter filed fits, but none of which another run is there already; return by key the run that is.

    A row whose file was found missing or damaged gives way to the new run, and so does that of
    the run `instead_of`. The new run has its number, by which others may be reading the fits in
    order. The caller's transaction must be the only one that writes.
    """
    fit = tables.fit
    among = fit.c.fit_key.in_([record.fit_key for record, _ in finished])
    gives_way = (fit.c.status != "complete") | (fit.c.run_id == (instead_of or ""))
    there = connection.execute(sa.select(fit.c.fit_key, fit.c.id, gives_way).where(among)).all()
    old = {key: number for key, number, is_old in there if is_old}
    stays = {key for key, _, is_old in there if not is_old}
    new: dict[str, tuple[FitRecord, Written]] = {}
    for record, written in finished:
        if record.fit_key not in stays:
            new.setdefault(record.fit_key, (record, written))
    if old:
        for table in (tables.component, tables.parameter, tables.tag, tables.info):
            connection.execute(sa.delete(table).where(table.c.fit_id.in_(old.values())))
    for key, number in old.items():
        connection.execute(sa.update(fit).where(fit.c.id == number).values(_fit_row(*new[key])))
    if new.keys() - old:
        lines = [_fit_row(*item) for key, item in new.items() if key not in old]
        connection.execute(sa.insert(fit), lines)
    runs = connection.execute(sa.select(fit.c.fit_key, fit.c.run_id, fit.c.id).where(among)).all()
    insert_children(connection, {row.id: new[row.fit_key][0] for row in runs if row.fit_key in new})
    return {row.fit_key: row.run_id for row in runs}


def is_refusal(error: Exception) -> bool:
    """Whether an error is about values that an index cannot hold, and not about the index itself."""
    if isinstance(error, sa.exc.IntegrityError | sa.exc.DataError):
        return True
    if isinstance(error, sa.exc.DBAPIError):
        # What a driver says of a value of a type that it does not know.
        return any(words in str(error.orig) for words in ("binding parameter", "cannot adapt"))
    if isinstance(error, CatalogError):
        return type(error) is CatalogError
    return isinstance(error, sa.exc.StatementError | ValueError | TypeError | OverflowError)


def insert_children(connection: sa.Connection, records: Mapping[int, FitRecord]) -> None:
    """Enter components, parameters, tags and notes of fits that have their rows, by their numbers."""
    classes = _classes(connection, [item for record in records.values() for item in record.components])
    groups: dict[sa.Table, Callable[[FitRecord], Iterable[dict[str, Any]]]] = {
        tables.component: lambda record: (
            {"path": item.path, "class_id": classes[_class_key(item)]} for item in record.components
        ),
        tables.parameter: _parameter_rows,
        tables.tag: lambda record: ({"tag": text} for text in dict.fromkeys(record.tags)),
        tables.info: lambda record: (info_row(*item) for item in record.info.items()),
    }
    for table, rows_of in groups.items():
        _insert(connection, table, records, rows_of)


def renew_parameters(connection: sa.Connection, records: Mapping[int, FitRecord]) -> None:
    """Make the rows of parameters again, of fits by their numbers."""
    table = tables.parameter
    connection.execute(sa.delete(table).where(table.c.fit_id.in_(list(records))))
    _insert(connection, table, records, _parameter_rows)


def _insert(
    connection: sa.Connection,
    table: sa.Table,
    records: Mapping[int, FitRecord],
    rows_of: Callable[[FitRecord], Iterable[dict[str, Any]]],
) -> None:
    """Enter the rows that fits have in a table, by the fits' numbers."""
    lines = [{"fit_id": fit_id, **row} for fit_id, record in records.items() for row in rows_of(record)]
    if lines:
        connection.execute(sa.insert(table), lines)


def info_row(key: str, value: object) -> dict[str, Any]:
    """Return the row of one note: numbers and texts can be searched, everything is given back."""
    number = isinstance(value, int | float)
    return {
        "key": key,
        "num": finite(value) if number else None,
        "text": value if isinstance(value, str) else None,
        "json": to_json(value),
        "exact": exact_digits(value),
    }


def finite(value: Any) -> float | None:
    """Return a number as the index keeps it: what is not finite, or too large, is NULL on every engine."""
    if value is None:
        return None
    try:
        value = float(value)
    except OverflowError:
        return None
    return value if math.isfinite(value) else None


def _fit_row(record: FitRecord, written: Written) -> dict[str, Any]:
    row: dict[str, Any] = {
        column.name: getattr(record, column.name)
        for column in tables.fit.columns
        if hasattr(record, column.name)
    }
    for column in tables.fit.columns:
        if column.type is tables.Number:
            row[column.name] = finite(row[column.name])
    row |= {
        "status": "complete",
        "sampler": record.search,
        "n_free": sum(item.role == "free" for item in record.parameters),
        "sha256": written.sha256,
        "nbytes": written.nbytes,
        "fmt": FORMAT,
    }
    return row


def _class_key(item: ComponentRecord) -> tuple[str, str, str]:
    return (item.class_ref, item.version, json.dumps(item.base_refs))


def _classes(
    connection: sa.Connection, components: Iterable[ComponentRecord]
) -> dict[tuple[str, str, str], int]:
    """Return the numbers of the classes of some components, having entered those that are new."""
    table = tables.class_
    wanted = dict.fromkeys(map(_class_key, components))
    query = sa.select(table.c.ref, table.c.version, table.c.bases, table.c.id)

    def known() -> dict[tuple[str, str, str], int]:
        among = table.c.ref.in_(list({ref for ref, _, _ in wanted}))
        lines = connection.execute(query.where(among))
        return {(ref, version, bases): number for ref, version, bases, number in lines}

    found = known() if wanted else {}
    fresh = [dict(zip(("ref", "version", "bases"), key, strict=True)) for key in wanted if key not in found]
    if fresh:
        connection.execute(sa.insert(table), fresh)
        found = known()
    return found


def _parameter_rows(record: FitRecord) -> Iterable[dict[str, Any]]:
    """Return the rows of a fit's parameters, and of the further paths of those that are shared."""
    found = {item.path: _parameter_row(place, item) for place, item in enumerate(record.parameters)}
    shared = ({**found[first], "path": path, "role": "shared"} for path, first in record.aliases.items())
    return [*found.values(), *shared]


def _exact(value: Any, is_text: bool) -> str | None:
    """Return the digits of an integer that no double holds, and a mark for a text that no column holds."""
    return NO_COLUMN if isinstance(value, str) and not is_text else exact_digits(value)


def _parameter_row(place: int, item: ParameterRecord) -> dict[str, Any]:
    row = {name: finite(getattr(item, name)) for name in SUMMARY}
    if item.role == "fixed" and isinstance(item.value, int | float):
        # A constant is found by the same queries as a posterior that has no width.
        row |= {name: finite(item.value) for name in ("mean", "median", "ml", "map")}
    is_text = isinstance(item.value, str) and not text_faults("", item.value)
    return {
        "path": item.path,
        "place": place,
        "role": item.role,
        "prior": item.prior,
        "text": composed(item.value) if is_text else None,
        "exact": _exact(item.value, is_text) if item.role == "fixed" else None,
        **row,
    }
