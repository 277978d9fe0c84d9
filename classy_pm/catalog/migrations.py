"""From older schemas to the present one, a step at a time, all in one transaction.

A step is a function that takes a connection and changes the tables of version n to those of n + 1.
It never changes once released; `tests/catalog/fixtures` keeps a database of every version.
"""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa

from classy_pm.catalog import tables
from classy_pm.catalog.faults import CatalogVersionError

#: By the version that a step starts from.
STEPS: dict[int, Callable[[sa.Connection], None]] = {}


def migrate(engine: sa.Engine, version: int) -> None:
    """Bring a database of an older version up to date, wholly or not at all."""
    with engine.begin() as connection:
        # Another process may have done it while this one waited for the lock.
        version = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
        for start in range(version, tables.SCHEMA_VERSION):
            if start not in STEPS:
                raise CatalogVersionError(
                    f"A catalogue of schema {start} cannot be read by this classy_pm.",
                    cure="`rebuild()` makes the index again from the files.",
                )
            STEPS[start](connection)
        connection.exec_driver_sql(f"PRAGMA user_version = {tables.SCHEMA_VERSION:d}")
