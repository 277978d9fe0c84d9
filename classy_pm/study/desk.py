"""The catalogue of a study: says which jobs are to be run, and files those that were.

One process, this one, reads and writes it. Workers hand over what they have found.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import xarray as xr

from classy_pm.catalog import (
    Batch,
    Catalog,
    DamagedFile,
    DiskFullError,
    ErrorText,
    FitRecord,
    Lease,
    unpack,
)
from classy_pm.catalog.records import now
from classy_pm.errors import CatalogError, ClassyError
from classy_pm.search.filed import Filed
from classy_pm.search.job import Job
from classy_pm.search.stale import OnChange
from classy_pm.study.fitted import FailedFit, Fitted

__all__ = ["Desk", "Running"]

# A fit that has taken longer than so many seconds is not left waiting for others before it is safe.
DEAR = 1.0


@dataclass(eq=False)
class Running:
    """A job on its way.

    Attributes
    ----------
    number : int
        Which of the study's.
    name : str
        What it is called there.
    job : Job
    lease : Lease, optional
        Keeps others from running it.
    instead_of : str, optional
        The filed run whose place it takes.
    deaths : int
        How often the process has died that ran it.
    started : str
    """

    number: int
    name: str
    job: Job
    lease: Lease | None = None
    instead_of: str | None = None
    deaths: int = 0
    started: str = field(default_factory=now)


class Desk:
    """Reads and files the fits of a study; a context, at whose end all that are filed are safe.

    Parameters
    ----------
    store : Catalog, optional
        Without one the fits are kept in memory.
    on_change : {"error", "warn", "reuse", "rerun"}
        See `Search.fit`.
    end : callable
        Told how a job has ended: of its number, and a `Fitted` or a `FailedFit`.
    """

    def __init__(
        self, store: Catalog | None, on_change: OnChange, end: Callable[[int, Fitted | FailedFit], object]
    ) -> None:
        self.store = store
        self._on_change = on_change
        self._end = end
        self._batch: Batch | None = None
        # Those that are written and not yet safe, by their identities.
        self._unsafe: dict[str, tuple[Running, Fitted]] = {}
        self._leases: set[Running] = set()
        self._open = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self._open.callback(self._release)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.__exit__(kind, error, trace)

    @property
    def busy(self) -> bool:
        """Whether there are fits that are not safe yet."""
        return bool(self._unsafe)

    def folder(self, running: Running) -> Path | None:
        """Return where a fit may keep files while it runs."""
        return None if self.store is None else self.store.output_folder(running.job.key)

    def claim(self, running: Running) -> bool:
        """Say whether a job is to be run now; if not, it has ended, or another process runs it.

        Raises
        ------
        StaleFitError
            If it is in the catalogue, and its likelihood gives other values today.
        CatalogError
            If the catalogue cannot be written.
        """
        if self.store is None:
            return True
        if self._is_known(running, self.store) or not self._fits(running):
            return False
        if self._batch is None:
            self._batch = self._open.enter_context(Batch(self.store, self._made_safe, self._refused))
        running.lease = self.store.claims.take(running.job.key)
        if running.lease is None:
            return False
        self._leases.add(running)
        # It may have been filed just before.
        if self._is_known(running, self.store):
            self.let_go(running)
            return False
        return True

    def take(self, running: Running, record: FitRecord, tree: xr.DataTree | bytes) -> None:
        """File a fit, or keep it."""
        fitted = Fitted.of(running.name, running.job, record, tree=tree, catalog=self.store)
        if self.store is None or self._batch is None:
            self._end(running.number, fitted)
            return
        self._unsafe[record.fit_key] = (running, fitted)
        try:
            if running.instead_of is not None:
                whole = unpack(tree) if isinstance(tree, bytes) else tree
                self.store.file(record, whole, instead_of=running.instead_of)
                self._made_safe([record.fit_key])
            else:
                self._batch.write(record, tree)
        except DiskFullError:
            raise
        except ClassyError as error:
            del self._unsafe[record.fit_key]
            self.fail(running, ErrorText.of(error))
        # What goes wrong from here on is no fault of this fit.
        if record.seconds is not None and record.seconds > DEAR:
            self._batch.finish()
        else:
            self._batch.finish_if_due()

    def fail(self, running: Running, text: ErrorText) -> None:
        """Note that a job has failed."""
        job = running.job
        if self.store is not None:
            self.store.fail(job.key, text, started=running.started, about=job.about)
        self.let_go(running)
        self._end(running.number, FailedFit.of(running.name, text, job.key))

    def finish(self) -> None:
        """Make safe what is not."""
        if self._batch is not None:
            self._batch.finish()

    def _is_known(self, running: Running, store: Catalog) -> bool:
        """Whether a job has ended because it is in the catalogue."""
        job = running.job
        found = store.find(job.key)
        if found is None or found.run_id == running.instead_of:
            return False
        filed = Filed(store, job, self._on_change, lambda text: None)
        try:
            read = filed.read(found)
        except Exception as error:  # what the user's function raises when it is compared is among them
            if isinstance(error, CatalogError) and not isinstance(error, DamagedFile):
                raise
            self._refuse(running, error)
            return True
        running.instead_of = filed.instead_of
        if read is None:
            return False
        self._end(running.number, Fitted.of(running.name, job, found, catalog=store))
        return True

    def _fits(self, running: Running) -> bool:
        try:
            running.job.check_size()
        except ClassyError as error:
            self._refuse(running, error)
            return False
        return True

    def _refuse(self, running: Running, error: Exception) -> None:
        """End a job that was not tried."""
        self._end(running.number, FailedFit.of(running.name, ErrorText.of(error), running.job.key))

    def _made_safe(self, keys: list[str]) -> None:
        assert self.store is not None
        for key in keys:
            running, fitted = self._unsafe.pop(key)
            self.let_go(running)
            found = self.store.find(key)
            if found is not None and found.run_id != fitted.run_id:  # another process was faster
                fitted = Fitted.of(running.name, running.job, found, catalog=self.store)
            self._end(running.number, fitted)

    def _refused(self, key: str, reason: str) -> None:
        running, _ = self._unsafe.pop(key)
        self.fail(running, ErrorText(f"The index does not take this fit: {reason}"))

    def let_go(self, running: Running) -> None:
        """Let others run a job."""
        if running.lease is not None:
            running.lease.release()
            running.lease = None
        self._leases.discard(running)

    def _release(self) -> None:
        """Let go of what is still on its way, after an error."""
        for running in list(self._leases):
            self.let_go(running)
