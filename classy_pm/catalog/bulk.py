"""Many fits at once: what one fit costs on its way to the disk, and in the index, is shared by a batch."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import sqlalchemy as sa
import xarray as xr

from classy_pm.catalog import failures, files, filing, tables
from classy_pm.catalog.faults import reach
from classy_pm.catalog.layout import make_folder
from classy_pm.catalog.records import FitRecord

if TYPE_CHECKING:
    from classy_pm.catalog.catalog import Catalog

__all__ = ["Batch", "file_many"]

#: Seconds that a fit waits for others before it is made safe without them.
LONGEST = 1.0


class Batch:
    """Files fits together; a context, in which those that were added become safe at the latest.

    Up to 100 of them, or those of a second, become safe together; `finish` does it at once.

    Parameters
    ----------
    catalog : Catalog
        Where they go.
    on_filed : callable
        Called with the identities of those that have become safe.
    on_refused : callable, optional
        Called with the identity and the reason of those that the index does not take; without it that is
        an error.
    """

    def __init__(
        self,
        catalog: Catalog,
        on_filed: Callable[[list[str]], object] | None = None,
        on_refused: Callable[[str, str], object] | None = None,
    ) -> None:
        self.catalog = catalog
        self.number = 0
        self._on_filed = on_filed
        self._on_refused = on_refused
        self._parts: dict[str, tuple[FitRecord, Path]] = {}
        self._emptied = time.monotonic()
        self._open = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self.catalog.check_writable()
        make_folder(self.catalog.layout.files)  # before the index, as `Layout.of` expects
        with self.catalog.database.writing():
            pass  # it exists from here on
        # One connection stays open, or sqlite would empty its log into the index after each use of it.
        self._connection = self._open.enter_context(self.catalog.database.kept_open())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._open:
            self.finish()

    @property
    def waiting(self) -> int:
        """How many fits are written and not yet safe."""
        return len(self._parts)

    def add(self, record: FitRecord, tree: xr.DataTree | bytes) -> None:
        """Write a fit, unless it is here, and make the batch safe if it is large or old enough.

        Parameters
        ----------
        record : FitRecord
        tree : xarray.DataTree or bytes
            What `files.pack` has made of it.
        """
        if not self._has(record):
            self.catalog.database.check_record(record)
            place = self.catalog.layout
            if isinstance(tree, bytes):
                part = files.write_packed(place, record, tree)
            else:
                part = files.write_part(place, record, tree)
            self._parts[record.fit_key] = (record, part)
        if len(self._parts) >= filing.BATCH or time.monotonic() - self._emptied > LONGEST:
            self.finish()

    def finish(self) -> None:
        """Make the fits safe: their files, then their rows."""
        parts, self._parts = list(self._parts.values()), {}
        if parts:
            place = self.catalog.layout
            finished = list(zip(parts, files.finish_parts(place, parts), strict=True))
            refused: set[str] = set()

            def refuse(name: str, reason: str) -> None:
                key = name.partition("-")[0]
                refused.add(key)
                if self._on_refused is not None:
                    self._on_refused(key, reason)

            new = filing.enter_many(
                self.catalog.database.writing,
                place,
                [(record, written) for (record, _), written in finished],
                on_refused=None if self._on_refused is None else refuse,
            )
            for record, part in parts:
                part.unlink(missing_ok=True)
                if record.fit_key not in refused:
                    failures.forget(place, record.fit_key)
            reach("part removed")
            self.number += len(new)
            if self._on_filed is not None:
                self._on_filed([record.fit_key for record, _ in parts if record.fit_key not in refused])
        self._emptied = time.monotonic()

    def _has(self, record: FitRecord) -> bool:
        if record.fit_key in self._parts:
            return True
        row = sa.select(tables.fit.c.id).where(tables.fit.c.fit_key == record.fit_key)
        with self._connection.begin():
            known = self._connection.execute(row).first() is not None
        if not known and not self.catalog.layout.runs_of(record.fit_key):
            return False
        return self.catalog.find(record.fit_key) is not None


def file_many(
    catalog: Catalog,
    fits: Iterable[tuple[FitRecord, xr.DataTree]],
    on_filed: Callable[[list[str]], object] | None = None,
) -> int:
    """File fits in batches, and return the number of those that were new; see `Catalog.file_many`."""
    with Batch(catalog, on_filed) as batch:
        for record, tree in fits:
            batch.add(record, tree)
    return batch.number
