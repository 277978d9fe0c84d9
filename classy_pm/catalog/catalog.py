"""The catalogue: fits are filed in it whole or not at all, and read back."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import sqlalchemy as sa
import xarray as xr

from classy_pm.catalog import claims, exchange, files, filing, layout, recovery, tables
from classy_pm.catalog.claims import Claims
from classy_pm.catalog.database import Database
from classy_pm.catalog.faults import reach
from classy_pm.catalog.layout import Layout
from classy_pm.catalog.records import FitRecord, from_json, is_hex
from classy_pm.catalog.recovery import Report
from classy_pm.catalog.stored import StoredFit
from classy_pm.errors import CatalogError

#: Rows read at a time while iterating, each page in a short transaction of its own.
PAGE = 500


class Catalog:
    """Fits in a sqlite index with one NetCDF file each.

    Opening does no work: the database and its folder of files are made by the first write.

    Parameters
    ----------
    location : str or path
        The sqlite file, such as `survey.sqlite`; the files lie beside it in `survey.files`.
    create : bool, optional
        Whether a catalogue that does not exist may be made. If not, using it is an error.
    read_only : bool, optional
        Write nothing, not even beside the catalogue; for one that somebody else has made.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> with Catalog(f"{folder.name}/survey.sqlite") as catalog:
    ...     len(catalog)
    0
    >>> folder.cleanup()
    """

    def __init__(
        self, location: str | os.PathLike[str], *, create: bool = True, read_only: bool = False
    ) -> None:
        path = _as_path(location)
        if path.is_dir():
            raise CatalogError(
                f"{str(path)!r} is a folder; a catalogue is a sqlite file.",
                cure=f"Write {str(path / 'catalog.sqlite')!r}.",
            )
        self.location = path
        self.create = create and not read_only
        self.read_only = read_only
        self.database = Database(path, read_only=read_only)
        self.layout = Layout.of(path)
        self.claims = Claims(self.layout)
        self._swept = read_only

    def check_writable(self) -> None:
        """Raise a CatalogError if a fit could not be filed here; leave nothing behind.

        Called before sampling, so that nobody waits for hours to hear of a missing permission.
        """
        self._must_write()
        layout.check_writable(self.location.parent)
        layout.check_writable(self.layout.fits)
        if self._check_index() and not os.access(self.location, os.W_OK):
            raise layout.unwritable(self.location, PermissionError(13, "Permission denied"))

    def find(self, fit_key: str) -> StoredFit | None:
        """Return the fit with this identity if it is here, complete and with its file.

        A file without a row, left by a process that died between the two, is entered here.

        Parameters
        ----------
        fit_key : str
            From `fit_key`.
        """
        if not is_hex(fit_key, 64):
            raise CatalogError(f"{fit_key!r} is not the identity of a fit, which is 64 hexadecimal digits.")
        stored = self._row(fit_key)
        if stored is not None and stored.status == "complete":
            if self._has_file(stored):
                return stored
            if not self.read_only:
                filing.mark(self.database, stored.id, stored.run_id, "missing")
        if self.read_only:
            return None
        for path in self.layout.runs_of(fit_key):
            # A file that was filed and has another size now is adopted only if it is whole.
            if filing.adopt(self.database, self.layout, path):
                return self._row(fit_key)
        return None

    @contextlib.contextmanager
    def claim(
        self,
        fit_key: str,
        *,
        patience: float | None = None,
        on_wait: Callable[[str], object] | None = None,
    ) -> Iterator[StoredFit | None]:
        """Have this fit to oneself, waiting while another process runs it.

        Parameters
        ----------
        fit_key : str
            The fit that is to be run.
        patience : float, optional
            Seconds to wait at most; by default as long as the other process lives.
        on_wait : callable, optional
            Called once with the other process in words, if there is a need to wait.

        Yields
        ------
        StoredFit or None
            The fit, if it is here already or another process has filed it meanwhile; None if it is
            to be run and filed now. If the other process died, it is this one's turn.

        Examples
        --------
        >>> import tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> catalog = Catalog(f"{folder.name}/survey.sqlite")
        >>> with catalog.claim("0" * 64) as found:
        ...     found is None  # so run it, and call `catalog.file`
        True
        >>> folder.cleanup()
        """
        self._must_write()
        found = self.find(fit_key)
        lease, told = None, False
        for _ in claims.waiting(self.claims, fit_key, patience):
            if found is not None:
                break
            lease = self.claims.take(fit_key)
            found = self.find(fit_key)  # again: it may have been filed just before
            if lease is not None:
                break
            if on_wait is not None and not told:
                told = True
                on_wait(self.claims.holder(fit_key) or "another process")
        try:
            yield found
        finally:
            if lease is not None:
                lease.release()

    def output_folder(self, fit_key: str) -> Path:
        """Return the folder for a fit's pictures and for what is known of it while it runs."""
        return self.layout.output(fit_key)

    def file(self, record: FitRecord, tree: xr.DataTree) -> StoredFit:
        """File a fit: its draws as NetCDF, then its row. After a return it survives a crash.

        Filing the same run again changes nothing. If another run of the same identity is here
        already, that one is kept and returned.

        Parameters
        ----------
        record : FitRecord
            What is known of the fit.
        tree : xarray.DataTree
            Its groups: posterior, sample_stats, ...

        Returns
        -------
        StoredFit
            The fit as it is in the catalogue.

        Raises
        ------
        CatalogError
            If it cannot be filed; nothing half-written is left.
        """
        self._must_write()
        present = self.find(record.fit_key)
        if present is not None:
            return present
        written = files.write_fit(self.layout, record, tree)
        filing.enter(self.database, self.layout, record, written)
        self.layout.part_path(record.fit_key, record.run_id).unlink(missing_ok=True)
        reach("part removed")
        stored = self._row(record.fit_key)
        if stored is None:
            raise CatalogError(f"The fit {record.fit_key[:12]} was removed while it was being filed.")
        return stored

    def recover(self) -> Report:
        """Make files and index agree, after processes have died or files were copied here."""
        self._must_write()
        return recovery.recover(self.database, self.layout)

    def verify(self) -> Report:
        """Hash every file; those that have changed are set aside, and their fits may be run again."""
        self._must_write()
        return recovery.verify(self.database, self.layout)

    def rebuild(self) -> Report:
        """Make the index again from the files alone; no other process may be using it.

        Whatever lies at the catalogue's path and is not a sound index of ours is moved beside it,
        under a name that the report tells, and never overwritten.

        Raises
        ------
        CatalogError
            If there is no fit in the folder of files; nothing is changed then.
        """
        self._must_write()
        return recovery.rebuild(self.database, self.layout)

    def get(self, start: str) -> StoredFit:
        """Return the fit whose identity begins so, as people write it; there must be exactly one."""
        if not self.is_there() or not re.fullmatch("[0-9a-f]{1,64}", start, re.ASCII):
            raise CatalogError(f"{start!r} does not begin the identity of a fit in this catalogue.")
        table = tables.fit
        # A range, and not LIKE, because that is what the index serves.
        between = (table.c.fit_key >= start) & (table.c.fit_key <= start.ljust(64, "f"))
        with self.database.reading() as connection:
            rows = connection.execute(sa.select(table).where(between).limit(2)).mappings().all()
        if len(rows) != 1:
            number = "more than one fit" if rows else "no fit"
            raise CatalogError(f"There is {number} whose identity begins with {start!r}.")
        return StoredFit.from_row(dict(rows[0]), self)

    def export(self, target: str | os.PathLike[str], fits: Iterable[StoredFit] | None = None) -> int:
        """Write fits into one zip to hand to a colleague, and return how many.

        Parameters
        ----------
        target : str or path
            The zip, which must not exist.
        fits : iterable of StoredFit, optional
            Which fits, such as the result of a query; all of them by default.
        """
        return exchange.export_zip(self if fits is None else fits, Path(target))

    def import_zip(self, source: str | os.PathLike[str]) -> Report:
        """Take in the fits of a zip that `export` has made; what is no fit is refused and listed."""
        self._must_write()
        self._check_index()
        return exchange.import_zip(self.database, self.layout, Path(source))

    def import_folder(self, source: str | os.PathLike[str]) -> Report:
        """Take in copies of the fits in a folder, such as results from another machine's disk."""
        self._must_write()
        self._check_index()
        return exchange.import_folder(self.database, self.layout, Path(source))

    def info_of(self, stored: StoredFit) -> dict[str, Any]:
        """Return the user's notes on a fit."""
        table = tables.info
        query = sa.select(table.c.key, table.c.json).where(table.c.fit_id == stored.id)
        with self.database.reading() as connection:
            return {key: from_json(text) for key, text in connection.execute(query)}

    def close(self) -> None:
        """Let go of the database; the catalogue opens again when it is next used."""
        self.database.close()

    def __len__(self) -> int:
        if not self.is_there():
            return 0
        query = sa.select(sa.func.count()).select_from(tables.fit).where(tables.fit.c.status == "complete")
        with self.database.reading() as connection:
            return int(connection.execute(query).scalar_one())

    def __bool__(self) -> bool:
        return True  # an empty catalogue is a catalogue

    def __iter__(self) -> Iterator[StoredFit]:
        """Give the fits in the order in which they were filed, a page at a time."""
        from classy_pm.catalog.aggregator import Aggregator

        return iter(Aggregator(self))

    def __contains__(self, fit_key: object) -> bool:
        return isinstance(fit_key, str) and self.find(fit_key) is not None

    def __repr__(self) -> str:
        return f"Catalog({str(self.location)!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def is_there(self) -> bool:
        """Whether there is a database yet; what dead processes left is put in order first."""
        if not self._swept:
            self._swept = True
            if os.access(self.layout.pending, os.W_OK):
                recovery.sweep(self.database, self.layout)
        if self.database.exists():
            return True
        if not self.create:
            raise CatalogError(
                f"There is no catalogue at {str(self.location)!r}.",
                cure="Check the path, or leave out `create=False` to make one.",
            )
        return False

    def _must_write(self) -> None:
        if self.read_only:
            raise CatalogError(f"{str(self.location)!r} was opened with `read_only=True`.")

    def _check_index(self) -> bool:
        """Whether there is an index yet; an error if it is not one of ours."""
        if not self.is_there():
            return False
        with self.database.reading():
            return True

    def _row(self, fit_key: str) -> StoredFit | None:
        if not self.is_there():
            return None
        query = sa.select(tables.fit).where(tables.fit.c.fit_key == fit_key)
        with self.database.reading() as connection:
            row = connection.execute(query).mappings().one_or_none()
        return None if row is None else StoredFit.from_row(dict(row), self)

    def _has_file(self, stored: StoredFit) -> bool:
        try:
            return stored.path.stat().st_size == stored.nbytes
        except FileNotFoundError:
            return False


def _as_path(location: object) -> Path:
    text = os.fspath(location) if isinstance(location, os.PathLike) else location
    if not isinstance(text, str) or "\0" in text:
        raise CatalogError(
            f"{location!r} is not the path of a catalogue.",
            cure="Write a str or a pathlib.Path that names a sqlite file: Catalog('survey.sqlite').",
        )
    return Path(text)
