"""An index in one sqlite file, and the transactions in which it is read and written.

Two engines on one file: one begins reading transactions, the other writing ones with BEGIN
IMMEDIATE, because a deferred transaction that reads and then writes is refused when another
process has written in between. No connection outlives its transaction, so that nothing is left
open in threads, in forked processes, or when a catalogue is forgotten without being closed.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa

from classy_pm.catalog import connections, layout, migrations, tables
from classy_pm.catalog.connections import PATIENCE, Snapshot, make_engine
from classy_pm.catalog.database import Database, Writing, fill_meta
from classy_pm.catalog.faults import DamagedFile, DiskFullError, UntrustedFile
from classy_pm.catalog.layout import Layout, make_folder
from classy_pm.catalog.records import FitRecord
from classy_pm.errors import CatalogError

SQLITE_FILE = b"SQLite format 3\0"  # how each of them begins
OLDEST_SQLITE = (3, 37)  # the first with STRICT tables


class SqliteDatabase(Database):
    """The index of a catalogue in one sqlite file, which is made by the first write.

    Parameters
    ----------
    path : Path
        The file.
    read_only : bool, optional
        Whether nothing at all may be written, not even beside the file.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        super().__init__(str(path), read_only=read_only)
        self.path = path
        self._engines: dict[str, sa.Engine] = {}
        self._checked = False
        self._snapshot = Snapshot(path) if read_only else None

    def exists(self) -> bool:
        """Whether there is anything in the file yet."""
        try:
            return self.path.stat().st_size > 0
        except (FileNotFoundError, NotADirectoryError):
            return False

    @contextlib.contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """Give a connection in a transaction that sees one state of an existing database."""
        with self._errors():
            if not self._checked:
                self._check()
            with self._engine("BEGIN").begin() as connection:
                yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """Give a connection that alone may write; make the database if it is not there."""
        if self.read_only:
            raise self.is_read_only()
        with self._errors():
            if not self._checked or not self.exists():
                self._create()
            with self._engine("BEGIN IMMEDIATE").begin() as connection:
                yield connection

    def check_record(self, record: FitRecord) -> None:
        """Do nothing: sqlite can keep every record."""

    @contextlib.contextmanager
    def kept_open(self) -> Iterator[sa.Connection]:
        """Give a connection without a transaction; while it is open the log is not emptied each time."""
        with self.reading():
            pass
        with self._errors(), self._engine("BEGIN").connect() as connection:
            with connection.begin():
                _marks(connection)  # it holds on to the log from its first look at it
            yield connection

    def check_writable(self) -> None:
        """Raise a CatalogError if the index could not be made or written; leave nothing behind."""
        layout.check_writable(self.path.parent)
        if self.exists():
            with self.reading():
                pass
            if not os.access(self.path, os.W_OK):
                raise layout.unwritable(self.path, PermissionError(13, "Permission denied"))

    def check_sound(self) -> None:
        """Raise a CatalogError if the file is damaged, or is no index."""
        if not self.exists():
            return
        with self.reading() as connection:
            told = [row[0] for row in connection.exec_driver_sql("PRAGMA quick_check(20)")]
            broken = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall()
        faults = [fault for fault in told if fault != "ok"]
        if broken:
            faults.append(f"{len(broken)} rows belong to fits that are not there")
        if faults:
            raise DamagedFile(
                f"The index {self.name!r} is damaged.",
                faults[:5],
                cure="The fits are in the folder beside it: `rebuild()` makes the index again.",
            )

    @contextlib.contextmanager
    def replacing(self, set_aside: list[str]) -> Iterator[Writing]:
        """Give transactions on an empty index beside this one, which takes its place at the end.

        What lies at the path and is no sound index gets another name, which is added to `set_aside`.
        """
        fresh = SqliteDatabase(self.path.with_name(f".{self.path.name}.{secrets.token_hex(8)}.rebuild"))
        try:
            with fresh.writing():
                pass
            yield fresh.writing
            fresh.close()
            if self.exists() and not self._is_sound():
                set_aside.append(_move_aside(self.path))
            self.close()
            # The old log must be gone before the new index has the name, or it would be played into it.
            for suffix in ("-wal", "-shm", "-journal"):
                Path(f"{self.path}{suffix}").unlink(missing_ok=True)
            fresh.path.replace(self.path)
            layout.flush_folder(self.path.parent)
        finally:
            for suffix in ("", "-wal", "-shm"):
                Path(f"{fresh.path}{suffix}").unlink(missing_ok=True)

    def _is_sound(self) -> bool:
        try:
            self.check_sound()
        except CatalogError:
            return False
        finally:
            self.close()
        return True

    def close(self) -> None:
        """Forget the engines; they are made again when needed."""
        for engine in self._engines.values():
            engine.dispose()
        self._engines.clear()
        self._checked = False
        if self._snapshot is not None:
            self._snapshot.remove()

    def _engine(self, begin: str) -> sa.Engine:
        if begin not in self._engines:
            path = self.path if self._snapshot is None else self._snapshot
            self._engines[begin] = make_engine(path, begin)
        return self._engines[begin]

    def _check(self) -> None:
        """Refuse a file that is not a catalogue of ours; bring an older one up to date."""
        with self._engine("BEGIN").begin() as connection:
            application, version = _marks(connection)
            self._check_marks(application, version)
            if version == tables.SCHEMA_VERSION:
                self._check_schema(connection)
        if version < tables.SCHEMA_VERSION:
            self._migrate(version)
            with self._engine("BEGIN").begin() as connection:
                self._check_schema(connection)
        self._checked = True

    def _check_marks(self, application: int, version: int) -> None:
        if application != tables.APPLICATION_ID:
            if not _is_sqlite(self.path):  # sqlite takes a file of a few bytes for an empty database
                raise _no_sqlite(self.path)
            raise CatalogError(
                f"{str(self.path)!r} is a sqlite database, but not a catalogue of classy_pm.",
                cure="Give `catalog=` another file name.",
            )
        self.check_version(version)

    def _check_schema(self, connection: sa.Connection) -> None:
        """Refuse a database with anything in it that we did not make: a trigger, another column."""
        if tables.contents(connection) != tables.expected_contents():
            raise UntrustedFile(
                f"{str(self.path)!r} does not have the tables of a catalogue of classy_pm.",
                cure="If it is your own, `rebuild()` makes the index again from the files.",
            )

    def _migrate(self, version: int) -> None:
        if self._snapshot is not None:
            self._snapshot.copy(always=True)  # never the file itself
            with make_engine(self._snapshot.current, "BEGIN IMMEDIATE").begin() as connection:
                migrations.migrate(connection)
            return
        backup = self.path.with_name(f"{self.path.name}.schema-{version}.backup")
        if not backup.exists():
            connections.back_up(self.path, backup)
        with self._engine("BEGIN IMMEDIATE").begin() as connection:
            migrations.migrate(connection)

    def _create(self) -> None:
        """Make the database if it is not there, once, however many processes try at the same time.

        It is made under another name and gets its own when it is complete, so that no process ever
        sees a database without its tables.
        """
        if sqlite3.sqlite_version_info < OLDEST_SQLITE:
            raise CatalogError(f"The catalogue needs sqlite 3.37; this Python has {sqlite3.sqlite_version}.")
        make_folder(self.path.parent)
        if not self.exists():
            fresh = self.path.with_name(f".{self.path.name}.{secrets.token_hex(8)}.new")
            try:
                connections.use_best_journal(fresh)
                engine = make_engine(fresh, "BEGIN IMMEDIATE")
                with engine.begin() as connection:
                    _create_tables(connection)
                engine.dispose()
                _give_name(fresh, self.path)
            finally:
                for suffix in ("", "-wal", "-shm", "-journal"):
                    Path(f"{fresh}{suffix}").unlink(missing_ok=True)
        self._check()

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """Say in our own words what sqlite says in its."""
        try:
            yield
        except (sa.exc.DBAPIError, sqlite3.Error) as error:
            raise _translated(self.path, error) from error


def _give_name(fresh: Path, path: Path) -> None:
    """Give a finished database its name, unless another process was faster."""
    if path.exists() and path.stat().st_size == 0:
        fresh.replace(path)  # an empty file that somebody has made beforehand
        return
    try:
        path.hardlink_to(fresh)
    except FileExistsError:
        return
    except OSError:  # a file system on which a file has one name
        if not path.exists():
            fresh.rename(path)


def _create_tables(connection: sa.Connection) -> None:
    tables.metadata.create_all(connection)
    fill_meta(connection)
    connection.exec_driver_sql(f"PRAGMA application_id = {tables.APPLICATION_ID:d}")
    migrations.set_version(connection, tables.SCHEMA_VERSION)


def _marks(connection: sa.Connection) -> tuple[int, int]:
    application = connection.exec_driver_sql("PRAGMA application_id").scalar_one()
    return application, migrations.version_of(connection)


def _move_aside(path: Path) -> str:
    """Give what lies in the place of the index, with its log, a name that nothing has; return it."""
    suffixes = ("-wal", "-shm", "-journal", "")  # the file last: its log must not stay behind it
    number = 1
    while any(os.path.lexists(f"{path}.set-aside-{number}{suffix}") for suffix in suffixes):
        number += 1
    target = f"{path}.set-aside-{number}"
    for suffix in suffixes:
        with contextlib.suppress(FileNotFoundError):
            Path(f"{path}{suffix}").rename(f"{target}{suffix}")
    return Path(target).name


def _no_sqlite(path: Path) -> CatalogError:
    return CatalogError(f"{str(path)!r} is not a catalogue (not a sqlite file).", cure="Give another path.")


def _is_sqlite(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            return stream.read(len(SQLITE_FILE)) == SQLITE_FILE
    except OSError:
        return True  # not known to be anything else


def _translated(path: Path, error: sa.exc.DBAPIError | sqlite3.Error) -> CatalogError:
    place, reason = repr(str(path)), str(getattr(error, "orig", None) or error)
    if any(word in reason for word in ("not a database", "malformed", "corrupt", "unsupported file format")):
        if Layout.of(path).all_files():
            cure = "The fits are in the folder beside it: `Catalog(...).rebuild()` makes the index again."
            return DamagedFile(f"The index {place} is damaged: {reason}.", cure=cure)
        if not _is_sqlite(path):
            return _no_sqlite(path)
        cure = "There are no fits in a folder beside it to make it again from. Give another path."
        return DamagedFile(f"The index {place} is damaged: {reason}.", cure=cure)
    if "disk is full" in reason or "disk I/O error" in reason:
        cure = "Make room and run again; what is in the catalogue is unharmed."
        return DiskFullError(f"The index {place} could not be written: {reason}.", cure=cure)
    if "locked" in reason:
        return CatalogError(f"The index {place} was locked by another process for {PATIENCE:g} s.")
    if "readonly" in reason or "unable to open" in reason:
        return CatalogError(
            f"The index {place} cannot be written: {reason}.",
            cure="Open it with `read_only=True`, or give `catalog=` a path that you may write to.",
        )
    return CatalogError(f"The index {place} cannot be used: {reason}.")
