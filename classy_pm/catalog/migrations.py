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
from classy_pm.catalog.former import as_kept, spellings
from classy_pm.catalog.records import composed, exact_digits, from_json, to_json

#: Where texts are that a user wrote, and which had the spelling that he gave them in schema 1.
SPELLED = (("fit", "name"), ("fit", "unique_tag"), ("parameter", "text"), ("tag", "tag"))
#: The row of `meta` that is there until `verify` has made the rows of parameters again, or `rebuild` all.
OLD_PARAMETERS = "old_parameters"


def _exact_values(connection: sa.Connection) -> None:
    """Give integers of notes their digits where no double holds them, and texts one spelling.

    The digits of fixed parameters, and the further paths of shared ones, are in the files alone: a mark
    tells `verify` to take them from there.
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
    _compose_notes(connection)
    mark = sa.text("INSERT INTO meta (key, value) SELECT :key, '1' WHERE EXISTS (SELECT 1 FROM fit)")
    connection.execute(mark, {"key": OLD_PARAMETERS})


def _compose_notes(connection: sa.Connection) -> None:
    """Write notes in the one spelling that is kept; of two keys that become one, one gets a number."""
    table = sa.table(
        "info", *(sa.column(name, sa.Text) for name in ("key", "text", "json")), sa.column("fit_id")
    )
    fits = set()
    for key in connection.execute(sa.select(table.c.key).distinct()).scalars().all():
        if spellings([key])[key] != key:
            fits |= set(connection.execute(sa.select(table.c.fit_id).where(table.c.key == key)).scalars())
    for fit_id in sorted(fits):
        of_fit = table.c.fit_id == fit_id
        keys = connection.execute(sa.select(table.c.key).where(of_fit)).scalars().all()
        for old, new in spellings(keys).items():
            if new != old:
                connection.execute(sa.update(table).where(of_fit, table.c.key == old).values(key=new))
    escaped = sa.select(table.c.fit_id, table.c.key, table.c.json).where(table.c.json.contains("\\u"))
    for fit_id, key, text in connection.execute(escaped).all():
        value = as_kept(from_json(text))
        row = {"json": to_json(value)} | ({"text": value} if isinstance(value, str) else {})
        same = (table.c.fit_id == fit_id) & (table.c.key == key)
        connection.execute(sa.update(table).where(same).values(row))


def _compose(connection: sa.Connection, table_name: str, column_name: str) -> None:
    """Write the texts of a column in the one spelling that is kept."""
    table = sa.table(table_name, sa.column("fit_id"), sa.column(column_name))
    column, fit_id = table.c[column_name], table.c.fit_id
    for old in connection.execute(sa.select(column).distinct()).scalars().all():
        new = composed(old)
        if new == old:
            continue
        if column_name == "tag":  # a fit may have both
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
