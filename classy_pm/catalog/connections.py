"""How single connections to sqlite are opened: hardened, without waiting rules of the driver's own.

The contents of a database may come from somebody else. So every connection refuses schemas that
would run anything, and a reading one may do nothing but read.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import tempfile
import time
import warnings
import weakref
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.pool import NullPool

from classy_pm.errors import CatalogError

#: Seconds that a writer waits for the others.
PATIENCE = 30.0
#: Seconds after which a reading transaction is stopped: a crafted database can make it endless.
LONGEST_QUERY = 300.0
#: Functions that our own queries call.
FUNCTIONS = {"count", "min", "max", "sum", "avg", "length", "lower", "coalesce", "abs"}
FUNCTIONS |= {"replace", "substr"}
READING_PRAGMAS = {"application_id", "user_version", "quick_check", "foreign_key_check", "table_xinfo"}
#: What SQLAlchemy asks of every new engine.
READING_PRAGMAS |= {"read_uncommitted"}
NETWORK = ("nfs", "lustre", "gpfs", "beegfs", "cifs", "smb", "ceph", "afs", "fuse", "9p", "glusterfs")


class Snapshot:
    """A database that must not be written to, not even beside: as it is, or a temporary copy.

    sqlite writes files beside a database in WAL mode even to read it, except when told that the
    database never changes; which is so exactly if there is no log beside it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.current = path
        self._state: object = None
        self._remove: Callable[[], object] | None = None

    def uri(self) -> str:
        """Return the address to open, after a new copy if the original has changed."""
        if self._log_size() > 0 or self._remove is not None:
            self.copy()
        if self.current is self.path:
            return _uri(self.path, "mode=ro&immutable=1")
        return _uri(self.current, "mode=rw")

    def copy(self, *, always: bool = False) -> None:
        """Copy the database and its log into a temporary folder, unless that has been done."""
        state = self._stamp()
        if self._remove is not None and (state == self._state or always):
            return
        self.remove()
        folder = tempfile.TemporaryDirectory(prefix="classy_pm-")
        self._remove = weakref.finalize(self, folder.cleanup)
        self.current = Path(folder.name) / "index.sqlite"
        while True:
            for suffix in ("", "-wal"):
                source = Path(f"{self.path}{suffix}")
                if source.exists():
                    shutil.copyfile(source, f"{self.current}{suffix}")
            if state == self._stamp():
                break
            state = self._stamp()  # somebody was writing meanwhile: once more
        self._state = state

    def remove(self) -> None:
        """Delete the temporary copy, if there is one."""
        if self._remove is not None:
            self._remove()
        self._remove, self.current = None, self.path

    def _log_size(self) -> int:
        try:
            return Path(f"{self.path}-wal").stat().st_size
        except OSError:
            return 0

    def _stamp(self) -> list[tuple[int, int]]:
        stamps = []
        for suffix in ("", "-wal"):
            with contextlib.suppress(OSError):
                status = Path(f"{self.path}{suffix}").stat()
                stamps.append((status.st_size, status.st_mtime_ns))
        return stamps


def make_engine(path: Path | Snapshot, begin: str) -> sa.Engine:
    """Return an engine that begins its transactions with this statement.

    Parameters
    ----------
    path : Path or Snapshot
        The file, or one that must not be written to.
    begin : {"BEGIN", "BEGIN IMMEDIATE"}
        To read, or to write.
    """

    def connect() -> sqlite3.Connection:
        uri = path.uri() if isinstance(path, Snapshot) else _uri(path, "mode=rw")
        return open_connection(uri, reading=begin == "BEGIN")

    engine = sa.create_engine("sqlite://", creator=connect, poolclass=NullPool)

    @sa.event.listens_for(engine, "begin")
    def start(connection: sa.Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def open_connection(uri: str, *, reading: bool) -> sqlite3.Connection:
    """Return a connection on which no schema can run anything; if reading, nothing but reads."""
    # isolation_level None, or the driver would begin transactions of its own
    connection = sqlite3.connect(
        uri, uri=True, timeout=PATIENCE, isolation_level=None, check_same_thread=False
    )
    try:
        connection.setconfig(sqlite3.SQLITE_DBCONFIG_DEFENSIVE, True)
        connection.setconfig(sqlite3.SQLITE_DBCONFIG_TRUSTED_SCHEMA, False)
        connection.setconfig(sqlite3.SQLITE_DBCONFIG_ENABLE_TRIGGER, False)
        connection.setconfig(sqlite3.SQLITE_DBCONFIG_ENABLE_VIEW, not reading)
        for pragma in ("foreign_keys = ON", "synchronous = NORMAL", "cell_size_check = ON", "mmap_size = 0"):
            connection.execute(f"PRAGMA {pragma}")
        if reading:
            connection.execute("PRAGMA query_only = ON")
            connection.set_authorizer(_may_read)
            deadline = time.monotonic() + LONGEST_QUERY
            connection.set_progress_handler(lambda: time.monotonic() > deadline, 1_000_000)
    except BaseException:
        connection.close()
        raise
    return connection


def _may_read(
    action: int, first: str | None, second: str | None, schema: str | None, trigger: str | None
) -> int:
    """Allow what our own reading does, and nothing else, whatever the text of a statement."""
    if action in (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_TRANSACTION):
        return sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_FUNCTION and second in FUNCTIONS:
        return sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_PRAGMA and first in READING_PRAGMAS:
        return sqlite3.SQLITE_OK
    return sqlite3.SQLITE_DENY


def use_best_journal(path: Path) -> None:
    """Switch a new file to WAL, or on a network file system, where that loses data, to another."""
    mode = "DELETE" if is_network(path.parent) else "WAL"
    if mode == "DELETE":
        warnings.warn(
            f"{str(path)!r} lies on a network file system: let one process at a time write to it.",
            stacklevel=2,
        )
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            with contextlib.closing(sqlite3.connect(path, timeout=PATIENCE)) as connection:
                connection.execute(f"PRAGMA journal_mode = {mode}")
            return
        except sqlite3.OperationalError as error:
            # Unlike other locks this one does not wait by itself.
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def is_network(folder: Path) -> bool:
    """Whether a folder lies on a file system that several machines share."""
    try:
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return False
    mounts = {}
    for line in lines:
        before, _, after = line.partition(" - ")
        mounts[before.split()[4]] = after.split()[0]
    for place in [folder.absolute(), *folder.absolute().parents]:
        if str(place) in mounts:
            return mounts[str(place)].startswith(NETWORK)
    return False


def back_up(path: Path, target: Path) -> None:
    """Copy a database, with what is in its log, into a new file."""
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=PATIENCE)) as connection:
            connection.execute("VACUUM INTO ?", (str(target),))
    except sqlite3.Error as error:
        target.unlink(missing_ok=True)
        raise CatalogError(f"{str(path)!r} could not be backed up before its migration: {error}.") from error


def _uri(path: Path, options: str) -> str:
    # By URI and quoted, so that no character of the path is taken for an option.
    return f"file:{quote(str(path.absolute()))}?{options}"
