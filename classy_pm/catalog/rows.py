"""From a record to the rows of the index, all in one transaction that the caller holds."""

from __future__ import annotations

import json
import math
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from classy_pm.catalog import tables
from classy_pm.catalog.files import Written
from classy_pm.catalog.records import FORMAT, SUMMARY, ComponentRecord, FitRecord, ParameterRecord, to_json


def insert_fit(connection: sa.Connection, record: FitRecord, written: Written) -> bool:
    """Enter a filed fit; return False, changing nothing, if another run of it is there already.

    A row whose file was found missing or damaged gives way to the new run.
    """
    gone = sa.delete(tables.fit).where(
        tables.fit.c.fit_key == record.fit_key, tables.fit.c.status != "complete"
    )
    connection.execute(gone)
    statement = _insert_new(connection, tables.fit, _fit_row(record, written)).returning(tables.fit.c.id)
    fit_id = connection.execute(statement).scalar_one_or_none()
    if fit_id is None:
        return False
    insert_children(connection, fit_id, record)
    return True


def insert_children(connection: sa.Connection, fit_id: int, record: FitRecord) -> None:
    """Enter components, parameters, tags and notes of a fit that has its row."""
    groups: list[tuple[sa.Table, list[dict[str, Any]]]] = [
        (tables.component, [_component_row(connection, item) for item in record.components]),
        (tables.parameter, [_parameter_row(place, item) for place, item in enumerate(record.parameters)]),
        (tables.tag, [{"tag": text} for text in dict.fromkeys(record.tags)]),
        (tables.info, [info_row(key, value) for key, value in record.info.items()]),
    ]
    for table, rows in groups:
        if rows:
            connection.execute(sa.insert(table), [{"fit_id": fit_id, **row} for row in rows])


def info_row(key: str, value: object) -> dict[str, Any]:
    """Return the row of one note: numbers and texts can be searched, everything is given back."""
    number = isinstance(value, int | float)
    return {
        "key": key,
        "num": finite(value) if number else None,
        "text": value if isinstance(value, str) else None,
        "json": to_json(value),
    }


def finite(value: Any) -> float | None:
    """Return a number as the index keeps it: NaN and infinities are NULL on every engine."""
    if value is None:
        return None
    value = float(value)
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


def _component_row(connection: sa.Connection, item: ComponentRecord) -> dict[str, Any]:
    row = {"ref": item.class_ref, "version": item.version, "bases": json.dumps(item.base_refs)}
    where = [tables.class_.c[name] == value for name, value in row.items()]
    find = sa.select(tables.class_.c.id).where(*where)
    class_id = connection.execute(find).scalar_one_or_none()
    if class_id is None:
        connection.execute(_insert_new(connection, tables.class_, row))
        class_id = connection.execute(find).scalar_one()
    return {"path": item.path, "class_id": class_id}


def _parameter_row(place: int, item: ParameterRecord) -> dict[str, Any]:
    row = {name: finite(getattr(item, name)) for name in SUMMARY}
    if item.role == "fixed" and isinstance(item.value, int | float):
        # A constant is found by the same queries as a posterior that has no width.
        row |= {name: finite(item.value) for name in ("mean", "median", "ml", "map")}
    text = item.value if isinstance(item.value, str) else None
    return {"path": item.path, "place": place, "role": item.role, "prior": item.prior, "text": text, **row}


def _insert_new(connection: sa.Connection, table: sa.Table, row: dict[str, Any]) -> Any:
    """Return an INSERT that does nothing where a unique key is taken."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    return dialect.insert(table).values(row).on_conflict_do_nothing()
