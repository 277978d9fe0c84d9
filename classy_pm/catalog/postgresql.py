"""An index in a PostgreSQL database: the same tables, in the schema that the connection looks into first.

One transaction writes at a time, for all of them ask for one lock of the server's. So a writer never
has to be told to try again, and what it reads is what it will find.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import weakref
from collections.abc import Iterable, Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from classy_pm.catalog import migrations, tables
from classy_pm.catalog.connections import PATIENCE
from classy_pm.catalog.database import Database, Writing, fill_meta
from classy_pm.catalog.faults import DiskFullError, UntrustedFile
from classy_pm.catalog.records import FitRecord
from classy_pm.errors import CatalogError, MissingPackageError

READING = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
WRITING = {"isolation_level": "READ COMMITTED", "postgresql_readonly": False}
#: Waits until no other process writes to this schema; the lock ends with the transaction.
LOCK = sa.text(
    "SELECT set_config('lock_timeout', :patience, true),"
    " pg_advisory_xact_lock(:ours, hashtext(current_schema()))"
)
#: Kind and columns of the relations in the schema that have a name which ours have.
FOUND = sa.text(
    """
    SELECT c.relname, c.relkind::text, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid
    WHERE n.nspname = current_schema() AND c.relname IN :names AND a.attnum > 0 AND NOT a.attisdropped
    """
).bindparams(sa.bindparam("names", expanding=True))
APPLICATION = ("application", "classy_pm")
#: Bytes of a text in an index: a row of one, of two texts, must not exceed 2,700.
LONGEST = 1200
OWN_PLACE = (
    "Give the catalogue a database of its own, or a schema: `?options=-csearch_path%3DNAME` at the end "
    "of the address."
)
#: Engines of a parent process. Their connections are its own, and must not be closed here.
_inherited: list[sa.Engine] = []

Columns = dict[str, tuple[str, bool]]


class PostgresDatabase(Database):
    """The index of a catalogue in a PostgreSQL database, whose tables are made by the first write.

    Parameters
    ----------
    url : sqlalchemy.URL
        From `parse`.
    read_only : bool, optional
        Whether nothing may be written.
    """

    def __init__(self, url: sa.URL, *, read_only: bool = False) -> None:
        super().__init__(_shown(url), read_only=read_only)
        self._url = url
        self._engines: dict[int, sa.Engine] = {}  # by process
        self._checked = False
        weakref.finalize(self, _dispose, self._engines)

    def exists(self) -> bool:
        """Whether there is any table yet that has the name of one of ours."""
        if self._checked:
            return True
        with self._errors(), self._transaction(READING) as connection:
            return bool(_found(connection))

    @contextlib.contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """Give a connection in a transaction that sees one state of an existing index."""
        with self._errors():
            if not self._checked:
                self._check()
            with self._transaction(READING) as connection:
                yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """Give a connection that alone may write; make the tables if they are not there."""
        if self.read_only:
            raise self.is_read_only()
        with self._errors(), self._locked() as connection:
            if not self._checked:
                self._prepare(connection)
            yield connection
        self._checked = True

    @contextlib.contextmanager
    def kept_open(self) -> Iterator[sa.Connection]:
        """Give a connection without a transaction."""
        with self.reading():
            pass
        with self._errors(), self._engine().connect().execution_options(**READING) as connection:
            yield connection

    def check_writable(self) -> None:
        """Raise a CatalogError if the tables could not be made or written; leave nothing behind."""
        if self.read_only:
            raise self.is_read_only()
        with self._errors(), self._transaction(WRITING) as connection:
            found = _found(connection)
            if found:
                self._check_version(connection, found)
            may = [sa.func.has_schema_privilege(sa.func.current_schema(), "CREATE")]
            if found:
                may = [sa.func.has_table_privilege(f'"{name}"', "INSERT") for name in tables.metadata.tables]
            allowed = connection.execute(sa.select(*may)).one()
            fixed = connection.exec_driver_sql("SHOW transaction_read_only").scalar_one()
        if fixed == "on" or not all(allowed):
            raise CatalogError(
                f"The user of {self.name!r} may not write there.",
                cure="Open it with `read_only=True`, or ask for the right to write.",
            )

    def check_sound(self) -> None:
        """Raise a CatalogError if the tables are not ours."""
        if self.exists():
            self._check()

    def check_record(self, record: FitRecord) -> None:
        """Raise a CatalogError if a text in a record is too long for an index of PostgreSQL."""
        sizes = [(place, len(text.encode())) for place, text in _indexed_texts(record)]
        faults = [f"{place}: has {size} bytes" for place, size in sizes if size > LONGEST]
        if faults:
            raise CatalogError(
                f"Texts by which fits are found have at most {LONGEST} bytes in PostgreSQL.", faults[:20]
            )

    @contextlib.contextmanager
    def replacing(self, set_aside: list[str]) -> Iterator[Writing]:
        """Give one transaction in which all rows are replaced; until its end others see the old ones."""
        with self.writing() as connection:
            for table in reversed(tables.metadata.sorted_tables):
                if table is not tables.meta:
                    connection.execute(sa.delete(table))
            yield lambda: contextlib.nullcontext(connection)

    def close(self) -> None:
        """Close all connections of this process; they are made again when needed."""
        _dispose(self._engines)
        self._checked = False

    def _engine(self) -> sa.Engine:
        pid = os.getpid()
        if pid not in self._engines:
            _inherited.extend(self._engines.values())
            self._engines.clear()
            self._engines[pid] = sa.create_engine(
                self._url,
                pool_pre_ping=True,
                pool_size=1,
                max_overflow=20,
                hide_parameters=True,
                connect_args=_defaults(self._url),
            )
        return self._engines[pid]

    @contextlib.contextmanager
    def _transaction(self, options: dict[str, Any]) -> Iterator[sa.Connection]:
        with self._engine().connect().execution_options(**options) as connection, connection.begin():
            yield connection

    @contextlib.contextmanager
    def _locked(self) -> Iterator[sa.Connection]:
        with self._transaction(WRITING) as connection:
            connection.execute(LOCK, {"patience": f"{PATIENCE:g}s", "ours": tables.APPLICATION_ID})
            yield connection

    def _prepare(self, connection: sa.Connection) -> None:
        """Make the tables if they are not there, once, and bring older ones up to date."""
        found = _found(connection)
        if not found:
            self._create(connection)
        elif self._check_version(connection, found) < tables.SCHEMA_VERSION:
            migrations.migrate(connection)
        self._check_columns(_found(connection))

    def _create(self, connection: sa.Connection) -> None:
        encoding = connection.exec_driver_sql("SHOW server_encoding").scalar_one()
        if encoding != "UTF8":
            raise CatalogError(
                f"{self.name!r} has the encoding {encoding}, which cannot keep every text.",
                cure="Make the database with: createdb --encoding=UTF8 --template=template0 NAME",
            )
        tables.metadata.create_all(connection)
        fill_meta(connection, schema_version=str(tables.SCHEMA_VERSION), **dict([APPLICATION]))

    def _check(self) -> None:
        """Refuse tables that are not a catalogue of ours; bring older ones up to date."""
        with self._transaction(READING) as connection:
            found = _found(connection)
            version = self._check_version(connection, found)
            if version == tables.SCHEMA_VERSION:
                self._check_columns(found)
        if version < tables.SCHEMA_VERSION:
            if self.read_only:
                raise CatalogError(
                    f"{self.name!r} has schema {version}, older than {tables.SCHEMA_VERSION}, which "
                    "this classy_pm reads.",
                    cure="Open it once without `read_only=True`: it is then brought up to date.",
                )
            with self._locked() as connection:
                self._prepare(connection)
        self._checked = True

    def _check_version(self, connection: sa.Connection, found: dict[str, Columns]) -> int:
        """Return the version of the schema, having seen that the tables are ours and not too new."""
        if not found:
            raise CatalogError(f"There is no catalogue at {self.name!r}.", cure="Check the address.")
        key, value = APPLICATION
        application = sa.select(tables.meta.c.value).where(tables.meta.c.key == key)
        if found.get("meta") != _expected()["meta"] or connection.execute(application).scalar() != value:
            names = ", ".join(f"`{name}`" for name in sorted(found))
            raise CatalogError(
                f"{self.name!r} has tables that classy_pm has not made, under names that it uses: {names}.",
                cure=OWN_PLACE,
            )
        version = migrations.version_of(connection)
        self.check_version(version)
        return version

    def _check_columns(self, found: dict[str, Columns]) -> None:
        """Refuse tables with other columns than ours."""
        if {name: found.get(name) for name in _expected()} != _expected():
            raise UntrustedFile(
                f"{self.name!r} does not have the tables of a catalogue of classy_pm.",
                cure="Give the catalogue an empty schema and `rebuild()` the index from the files.",
            )

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """Say in our own words what PostgreSQL says in its."""
        try:
            yield
        except sa.exc.DBAPIError as error:
            raise self._translated(error) from error

    def _translated(self, error: sa.exc.DBAPIError) -> CatalogError:
        state = getattr(error.orig, "sqlstate", None) or ""
        reason = str(error.orig).strip().partition("\n")[0]
        if state == "55P03":
            return CatalogError(f"The index {self.name!r} was locked by another process for {PATIENCE:g} s.")
        if state == "53100":
            cure = "Make room and run again; what is in the catalogue is unharmed."
            return DiskFullError(f"The index {self.name!r} could not be written: {reason}.", cure=cure)
        if state in ("42501", "25006"):
            cure = "Open it with `read_only=True`, or ask for the right to write."
            return CatalogError(f"The user of {self.name!r} may not do this: {reason}.", cure=cure)
        if state == "42P07":
            cure = OWN_PLACE
            return CatalogError(f"{self.name!r} has something else in it: {reason}.", cure=cure)
        if isinstance(error, sa.exc.OperationalError) and not state:
            cure = "Check that the server runs and the address is right. A password may be kept in ~/.pgpass."
            return CatalogError(f"The index {self.name!r} cannot be reached: {reason}.", cure=cure)
        return CatalogError(f"The index {self.name!r} cannot be used: {reason}.")


def parse(location: str) -> sa.URL:
    """Return the address of a database, having looked at it without making a connection.

    Raises
    ------
    CatalogError
        If it is no address; the text never repeats it, for it may hold a password.
    """
    try:
        url = sa.make_url(location)
        port = url.port
    except (sa.exc.ArgumentError, ValueError):
        url, port = None, None
    if url is None or not url.database or "\0" in location or not 0 < (port or 1) < 65536:
        raise CatalogError(
            "This is not the address of a PostgreSQL database.",
            cure="Write postgresql+psycopg://user@host:port/database.",
        )
    if importlib.util.find_spec("psycopg") is None:
        raise MissingPackageError(
            "A catalogue in PostgreSQL needs the package psycopg, which is not installed.",
            cure='Run: pip install "classy_pm[postgresql]"',
        )
    return url.set(drivername="postgresql+psycopg")


def _shown(url: sa.URL) -> str:
    """Return an address without password and options, which may hold one too."""
    plain = sa.URL.create(
        url.drivername, username=url.username, host=url.host, port=url.port, database=url.database
    )
    return plain.render_as_string()


def _defaults(url: sa.URL) -> dict[str, Any]:
    """Return how to connect, as far as the address does not say otherwise."""
    options = {"application_name": "classy_pm", "connect_timeout": "10"}
    return {name: value for name, value in options.items() if name not in url.query}


def _dispose(engines: dict[int, sa.Engine]) -> None:
    """Close the connections of this process, and forget those of its parent."""
    for pid, engine in engines.items():
        if pid == os.getpid():
            engine.dispose()
        else:
            _inherited.append(engine)
    engines.clear()


def _found(connection: sa.Connection) -> dict[str, Columns]:
    """Return what there is under the names of our tables and views; a view has no columns here."""
    names = [*tables.metadata.tables, *tables.VIEWS]
    found: dict[str, Columns] = {}
    for name, kind, column, type_, not_null in connection.execute(FOUND, {"names": names}):
        columns = found.setdefault(name, {})
        if kind == "r":
            columns[column] = (type_, not_null)
    return found


def _expected() -> dict[str, Columns]:
    """Return the columns of our tables, as PostgreSQL describes them."""
    dialect = postgresql.dialect()
    return {
        name: {
            column.name: (
                column.type.compile(dialect=dialect).lower().partition(" collate")[0],
                not column.nullable,
            )
            for column in table.columns
        }
        for name, table in tables.metadata.tables.items()
    }


def _indexed_texts(record: FitRecord) -> Iterable[tuple[str, str]]:
    """Return the texts of a record that are in an index, with their places."""
    for name in ("name", "unique_tag", "search", "created"):
        yield name, getattr(record, name)
    for tag in record.tags:
        yield "tags", tag
    for key in record.info:
        yield "info", key
    yield from (("components", item.path) for item in record.components)
    yield from (
        ("parameters", path) for path in [*(item.path for item in record.parameters), *record.aliases]
    )
