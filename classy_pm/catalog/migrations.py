"""From older schemas to the present one, a step at a time, all in one transaction.

A step is a function that takes a connection and changes the tables of version n to those of n + 1,
on either engine. It never changes once released; `tests/catalog/fixtures` keeps a database of every
version.
"""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa

from classy_pm.catalog import tables
from classy_pm.catalog.faults import CatalogVersionError, DamagedFile
from classy_pm.catalog.records import composed, exact_digits, from_json

#: Where texts are that a user wrote, and which had the spelling that he gave them in schema 1.
SPELLED = (
    *(("fit", "name"), ("fit", "unique_tag"), ("parameter", "text"), ("info", "text")),
    *(("tag", "tag"), ("info", "key")),
)


def _exact_values(connection: sa.Connection) -> None:
    """Give integers of notes their digits where no double holds them, and texts one spelling.

    The digits of fixed parameters are in the files alone, from which `rebuild` takes them.
    """
    words = 'TEXT COLLATE "C"' if connection.dialect.name == "postgresql" else "TEXT"
    for table in ("parameter", "info"):
        connection.exec_driver_sql(f"ALTER TABLE {table} ADD COLUMN exact {words}")
    large = sa.text("SELECT fit_id, key, json FROM info WHERE abs(num) >= 9007199254740992")
    digits = sa.text("UPDATE info SET exact = :exact WHERE fit_id = :fit_id AND key = :key")
    for fit_id, key, text in connection.execute(large).all():
        if (exact := exact_digits(from_json(text))) is not None:
            connection.execute(digits, {"exact": exact, "fit_id": fit_id, "key": key})
    for name, column in SPELLED:
        _compose(connection, name, column)


def _compose(connection: sa.Connection, table_name: str, column_name: str) -> None:
    """Write the texts of a column in the one spelling that is kept."""
    table = sa.table(table_name, sa.column("fit_id"), sa.column(column_name))
    column, fit_id = table.c[column_name], table.c.fit_id
    for old in connection.execute(sa.select(column).distinct()).scalars().all():
        new = composed(old)
        if new == old:
            continue
        if column_name in ("tag", "key"):  # a fit may have both
            other = table.alias()
            both = sa.select(other.c.fit_id).where(other.c[column_name] == old)
            connection.execute(sa.delete(table).where(column == new, fit_id.in_(both)))
        connection.execute(sa.update(table).where(column == old).values({column_name: new}))


#: By the version that a step starts from.
STEPS: dict[int, Callable[[sa.Connection], None]] = {1: _exact_values}


def migrate(connection: sa.Connection) -> None:
    """Bring an index of an older version up to date, in the caller's transaction."""
    # Read again here: another process may have done it while this one waited for the lock.
    found = version_of(connection)
    if found < tables.SCHEMA_VERSION:
        tables.drop_views(connection)
    for start in range(found, tables.SCHEMA_VERSION):
        if start not in STEPS:
            raise CatalogVersionError(
                f"A catalogue of schema {start} cannot be read by this classy_pm.",
                cure="`rebuild()` makes the index again from the files.",
            )
        STEPS[start](connection)
    if found < tables.SCHEMA_VERSION:
        tables.create_views(tables.metadata, connection)
    set_version(connection, tables.SCHEMA_VERSION)


def version_of(connection: sa.Connection) -> int:
    """Return the version of the schema of an index."""
    if connection.dialect.name == "sqlite":
        return int(connection.exec_driver_sql("PRAGMA user_version").scalar_one())
    query = sa.select(tables.meta.c.value).where(tables.meta.c.key == "schema_version")
    text = connection.execute(query).scalar_one_or_none() or ""
    if not (text.isascii() and text.isdecimal()):
        raise DamagedFile(f"The table `meta` of the index has {text!r} as its schema_version.")
    return int(text)


def set_version(connection: sa.Connection, version: int) -> None:
    """Note the version of the schema of an index."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(f"PRAGMA user_version = {version:d}")
        return
    key = tables.meta.c.key == "schema_version"
    connection.execute(sa.update(tables.meta).where(key).values(value=str(version)))
