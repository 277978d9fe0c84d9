"""The catalogue: fits are filed in it whole or not at all, and read back."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import sqlalchemy as sa
import xarray as xr

from classy_pm.catalog import (
    bulk,
    claims,
    exchange,
    failures,
    files,
    filing,
    layout,
    locations,
    notes,
    recovery,
    tables,
)
from classy_pm.catalog.claims import Claims
from classy_pm.catalog.failures import ErrorText, Failure
from classy_pm.catalog.faults import reach
from classy_pm.catalog.notes import Change
from classy_pm.catalog.records import LONGEST_INFO, FitRecord, check_info, from_json, is_hex, now, to_json
from classy_pm.catalog.recovery import Report
from classy_pm.catalog.stored import StoredFit
from classy_pm.errors import CatalogError, ClassyError

if TYPE_CHECKING:
    from classy_pm.catalog.report import Site

#: Rows read at a time while iterating, each page in a short transaction of its own.
PAGE = 500


class Catalog:
    """Fits in an index, a sqlite file or a PostgreSQL database, with one NetCDF file each.

    Opening does no work: the database and its folder of files are made by the first write.

    Parameters
    ----------
    location : str or path
        The sqlite file, such as `survey.sqlite`; the files lie beside it in `survey.files`. Or the
        address of a PostgreSQL database, such as `postgresql+psycopg://me@host/survey`.
    files : str or path, optional
        With PostgreSQL, and only then, the folder of the fits' files, which all machines see.
    create : bool, optional
        Whether a catalogue that does not exist may be made. If not, using it is an error.
    read_only : bool, optional
        Write nothing, not even beside the catalogue; for one that somebody else has made.
    untrusted : bool, optional
        Write nothing, and have a process of its own read each file, with little memory and time; for
        one whose maker you do not know. It takes about a second a file.

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
        self,
        location: str | os.PathLike[str],
        *,
        files: str | os.PathLike[str] | None = None,
        create: bool = True,
        read_only: bool = False,
        untrusted: bool = False,
    ) -> None:
        read_only = read_only or untrusted
        self.location, self.database, self.layout = locations.find(location, files, read_only=read_only)
        self.create = create and not read_only
        self.read_only = read_only
        self.untrusted = untrusted
        self.claims = Claims(self.layout)
        self._swept = read_only

    def check_writable(self) -> None:
        """Raise a CatalogError if a fit could not be filed here; leave nothing behind.

        Called before sampling, so that nobody waits for hours to hear of a missing permission.
        """
        self._must_write()
        self.is_there()
        self.check_files()
        self.database.check_writable()
        layout.check_writable(self.layout.fits)

    def check_files(self) -> None:
        """Raise a CatalogError if the folder of the fits' files is away, as on a disk that is not mounted."""
        recovery.check_files(self.database, self.layout)

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
            self.check_files()
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
        about: Mapping[str, str] | None = None,
        instead_of: str | None = None,
    ) -> Iterator[StoredFit | None]:
        """Have this fit to oneself, waiting while another process runs it.

        An exception that leaves the block is kept as the fit's failure; see `failures`.

        Parameters
        ----------
        fit_key : str
            The fit that is to be run.
        patience : float, optional
            Seconds to wait at most; by default as long as the other process lives.
        on_wait : callable, optional
            Called once with the other process in words, if there is a need to wait.
        about : mapping of str to str, optional
            `name`, `unique_tag` and `search`, to know a failure by.
        instead_of : str, optional
            The run_id of a run that does not count, because it is to be done again.

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

        def look() -> StoredFit | None:
            found = self.find(fit_key)
            return None if found is None or found.run_id == instead_of else found

        self._must_write()
        self.check_files()
        labels: dict[str, Any] = dict(about or {})
        self.database.check_record(FitRecord(fit_key, "0" * 32, **labels))  # before it is computed
        found = look()
        lease, told = None, False
        for _ in claims.waiting(self.claims, fit_key, patience):
            if found is not None:
                break
            lease = self.claims.take(fit_key)
            found = look()  # again: it may have been filed just before
            if lease is not None:
                break
            if on_wait is not None and not told:
                told = True
                on_wait(self.claims.holder(fit_key) or "another process")
        started = now()
        try:
            yield found
        except Exception as error:
            if lease is not None and found is None:
                failures.keep(self.layout, fit_key, ErrorText.of(error), started=started, about=about or {})
            raise
        finally:
            if lease is not None:
                lease.release()

    def fail(self, fit_key: str, text: ErrorText, *, started: str, about: Mapping[str, str]) -> None:
        """Note that a fit was tried and failed, until it succeeds; see `failures`.

        Parameters
        ----------
        fit_key : str
        text : ErrorText
            What went wrong, perhaps in another process.
        started : str
            In ISO format, UTC.
        about : mapping of str to str
            `name`, `unique_tag` and `search`, to know it by.
        """
        failures.keep(self.layout, fit_key, text, started=started, about=about)

    def output_folder(self, fit_key: str) -> Path:
        """Return the folder for a fit's pictures and for what is known of it while it runs."""
        return self.layout.output(fit_key)

    def file(self, record: FitRecord, tree: xr.DataTree, *, instead_of: str | None = None) -> StoredFit:
        """File a fit: its draws as NetCDF, then its row. After a return it survives a crash.

        Filing the same run again changes nothing. If another run of the same identity is here
        already, that one is kept and returned.

        Parameters
        ----------
        record : FitRecord
            What is known of the fit.
        tree : xarray.DataTree
            Its groups: posterior, sample_stats, ...
        instead_of : str, optional
            The run_id of a run of this fit whose place it takes; its file goes into quarantine when
            this one is filed. The tags and notes that it was filed with are this one's as well, where
            this one has no other note.

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
        self.check_files()
        present = self.find(record.fit_key)
        if present is not None and present.run_id != instead_of:
            return present
        old = None if instead_of is None else self._row(record.fit_key)
        said, news = record.info, list[str]()
        if old is not None and old.run_id == instead_of:
            news = self._said_anew(old, said)
            record = self._with_notes_of(old, record)
        self.database.check_record(record)
        written = files.write_fit(self.layout, record, tree)
        filing.enter(self.database, self.layout, record, written, instead_of=instead_of)
        self.layout.part_path(record.fit_key, record.run_id).unlink(missing_ok=True)
        reach("part removed")
        failures.forget(self.layout, record.fit_key)
        stored = self._row(record.fit_key)
        if stored is None:
            raise CatalogError(f"The fit {record.fit_key[:12]} was removed while it was being filed.")
        # A note by hand gives way to what is said now; that it was said counts later.
        if news:
            self._change(stored, "note", {key: said[key] for key in news}, by="fit")
        return stored

    def file_many(
        self,
        fits: Iterable[tuple[FitRecord, xr.DataTree]],
        *,
        on_filed: Callable[[list[str]], object] | None = None,
    ) -> int:
        """File many fits, which share what each would cost alone, and return how many were new.

        They are taken from the iterable one at a time, and up to 100 of them, or those of a second,
        become safe together: their files are flushed, then their rows are written in one
        transaction. If the iterable raises, what came before is filed first. Fits that are here
        already, under the same identity, are passed over.

        Parameters
        ----------
        fits : iterable of (FitRecord, xarray.DataTree)
            A fit of which only the summary is known, such as a published one, has an empty tree.
        on_filed : callable, optional
            Called with the identities of the fits that survive a crash from now on.

        Examples
        --------
        >>> import tempfile
        >>> from classy_pm.catalog import FitRecord, ParameterRecord
        >>> table = {"a" * 64: 0.21, "b" * 64: 0.18}
        >>> fits = (
        ...     (
        ...         FitRecord(key, "0" * 32, parameters=(ParameterRecord("lens.redshift", median=z),)),
        ...         xr.DataTree(),
        ...     )
        ...     for key, z in table.items()
        ... )
        >>> folder = tempfile.TemporaryDirectory()
        >>> with Catalog(f"{folder.name}/published.sqlite") as catalog:
        ...     catalog.file_many(fits)
        2
        >>> folder.cleanup()
        """
        return bulk.file_many(self, fits, on_filed)

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
        self.check_files()
        return exchange.import_zip(self.database, self.layout, Path(source))

    def import_folder(self, source: str | os.PathLike[str]) -> Report:
        """Take in copies of the fits in a folder, such as results from another machine's disk."""
        self._must_write()
        self._check_index()
        self.check_files()
        return exchange.import_folder(self.database, self.layout, Path(source))

    def report(self, folder: str | os.PathLike[str], *, plots: bool = True) -> Site:
        """Write pages about all fits into a folder; `index.html` is the first, and needs no network.

        Parameters
        ----------
        folder : str or path
            Pages that are there already of fits that have not changed are kept.
        plots : bool, optional
            Whether to draw each fit, which takes a second or so.

        Returns
        -------
        Site
            The path of the first page, how many fits it lists, and which of them cannot be read.
        """
        from classy_pm.catalog.report import write_report

        return write_report(self, folder, plots=plots)

    def tag(self, fit: StoredFit | str, *tags: str) -> None:
        """Give a fit more tags, which stay with its identity, also when it is run again.

        Parameters
        ----------
        fit : StoredFit or str
            The fit, or the beginning of its identity.
        *tags : str

        Examples
        --------
        >>> catalog.tag(fit, "good")  # doctest: +SKIP
        >>> len(aggregator.query(aggregator.tagged("good")))  # doctest: +SKIP
        1
        """
        self._change(fit, "tag", dict.fromkeys(tags))

    def untag(self, fit: StoredFit | str, *tags: str) -> None:
        """Take tags from a fit, also those that it was filed with; one that it has not is no error."""
        self._change(fit, "untag", dict.fromkeys(tags))

    def note(self, fit: StoredFit | str, key: str, value: Any) -> None:
        """Write a note on a fit, in the place of one with this key; found by `aggregator.info[key]`.

        Parameters
        ----------
        fit : StoredFit or str
            The fit, or the beginning of its identity.
        key : str
        value : str, number, bool, None, or lists and dicts of them
        """
        self._change(fit, "note", {key: value})

    def unnote(self, fit: StoredFit | str, *keys: str) -> None:
        """Take notes from a fit, also those that it was filed with; one that it has not is no error."""
        self._change(fit, "unnote", dict.fromkeys(keys))

    def keep_info(self, fit: StoredFit, info: Mapping[str, Any]) -> list[str]:
        """Note on a fit what is said of it now and was not said last time; return those keys.

        For a fit that is read instead of run, as by `fit(..., info=...)`: the last call counts. But a
        note that was changed by hand stays as it is, as long as what is said is what was said before that.

        Parameters
        ----------
        fit : StoredFit
        info : dict
            As it is given to a fit.
        """
        said = check_info(info)
        if not said:
            return []
        present = fit.info
        news = self._said_anew(fit, said)
        told = [key for key in news if not notes.same_note(key, said, present)]
        # That it was said counts later, also where the note is there already.
        if told or not self.read_only:
            self._change(fit, "note", {key: said[key] for key in news}, by="fit")
        return told

    def failures(self) -> list[Failure]:
        """Return the fits that were tried and failed and have not succeeded since, the latest last."""
        found = list(failures.failures_in(self.layout, leases=not self.read_only))
        return [failure for failure in found if self.find(failure.fit_key) is None]

    def tags_of(self, stored: StoredFit) -> list[str]:
        """Return the tags of a fit."""
        table = tables.tag
        query = _of_fit(sa.select(table.c.tag), table, stored).order_by(table.c.tag)
        with self.database.reading() as connection:
            return list(connection.execute(query).scalars())

    def info_of(self, stored: StoredFit) -> dict[str, Any]:
        """Return the user's notes on a fit."""
        table = tables.info
        query = _of_fit(sa.select(table.c.key, table.c.json), table, stored)
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
        files = "" if isinstance(self.location, Path) else f", files={str(self.layout.files)!r}"
        return f"Catalog({str(self.location)!r}{files})"

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
            raise self.database.is_read_only()

    def _filed_with(self, fit: StoredFit) -> tuple[dict[str, Any], tuple[str, ...]]:
        """Return the notes and tags that a fit was filed with; those of the index if the file is damaged."""
        try:
            record = fit.record
        except (ClassyError, FileNotFoundError):
            return fit.info, tuple(fit.tags)
        return dict(record.info), record.tags

    def _said_anew(self, fit: StoredFit, said: Mapping[str, Any]) -> list[str]:
        """Return the keys of notes about which the last call did not say this."""
        later = notes.read(self.layout.files, {fit.fit_key}).get(fit.fit_key, [])
        return notes.said_anew(said, fit.info, later, lambda: self._filed_with(fit)[0])

    def _with_notes_of(self, old: StoredFit, record: FitRecord) -> FitRecord:
        """Return a record with the notes and tags of the run whose place it takes, if they have room."""
        info, tags = self._filed_with(old)
        together = {**info, **record.info}
        if len(to_json(together)) > LONGEST_INFO:
            together = dict(record.info)
        return dataclasses.replace(record, info=together, tags=tuple(dict.fromkeys((*tags, *record.tags))))

    def _change(self, fit: StoredFit | str, action: str, values: Mapping[str, Any], *, by: str = "") -> None:
        """Change tags or notes, in the file that keeps them and in the index."""
        self._must_write()
        self.check_files()
        fit_key = self.get(fit if isinstance(fit, str) else fit.fit_key).fit_key
        changes = [notes.check(Change(fit_key, action, name, value, by=by)) for name, value in values.items()]
        if changes:
            notes.write(self.layout, changes, self.database.writing)

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


def _of_fit(query: sa.Select[Any], table: sa.Table, stored: StoredFit) -> sa.Select[Any]:
    """Keep the rows of a fit: by its identity, for it may have been run again, or its index rebuilt."""
    fit = tables.fit
    return query.join(fit, fit.c.id == table.c.fit_id).where(fit.c.fit_key == stored.fit_key)


@contextlib.contextmanager
def opened(catalog: Catalog | str | os.PathLike[str]) -> Iterator[Catalog]:
    """Give the catalogue at a place, and close it afterwards; one that is given stays open."""
    if isinstance(catalog, Catalog):
        yield catalog
        return
    with Catalog(catalog) as store:
        yield store
