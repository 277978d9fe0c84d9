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

#: By the version that a step starts from.
STEPS: dict[int, Callable[[sa.Connection], None]] = {}


def migrate(connection: sa.Connection) -> None:
    """Bring an index of an older version up to date, in the caller's transaction."""
    # Read again here: another process may have done it while this one waited for the lock.
    for start in range(version_of(connection), tables.SCHEMA_VERSION):
        if start not in STEPS:
            raise CatalogVersionError(
                f"A catalogue of schema {start} cannot be read by this classy_pm.",
                cure="`rebuild()` makes the index again from the files.",
            )
        STEPS[start](connection)
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
