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
        # Those that have their names and perhaps no rows: the index may have been locked.
        self._named: list[tuple[FitRecord, Path, files.Written]] = []
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

    def add(self, record: FitRecord, tree: xr.DataTree | bytes) -> None:
        """Write a fit, unless it is here, and make the batch safe if it is large or old enough.

        Parameters
        ----------
        record : FitRecord
        tree : xarray.DataTree or bytes
            What `files.pack` has made of it.
        """
        self.write(record, tree)
        self.finish_if_due()

    def write(self, record: FitRecord, tree: xr.DataTree | bytes) -> None:
        """Write a fit, unless it is here; an error is of this fit alone, and the batch goes on."""
        if record.fit_key in self._parts or any(record.fit_key == known.fit_key for known, *_ in self._named):
            return
        if self._is_filed(record):
            if self._on_filed is not None:
                self._on_filed([record.fit_key])
            return
        self.catalog.database.check_record(record)
        place = self.catalog.layout
        if isinstance(tree, bytes):
            part = files.write_packed(place, record, tree)
        else:
            part = files.write_part(place, record, tree)
        self._parts[record.fit_key] = (record, part)

    def finish_if_due(self) -> None:
        """Make the batch safe if it is large or old enough."""
        if len(self._parts) >= filing.BATCH or time.monotonic() - self._emptied > LONGEST:
            self.finish()

    def finish(self) -> None:
        """Make the fits safe: their files, then their rows.

        If the index cannot be written, it can be called again.
        """
        place = self.catalog.layout
        if self._parts:
            parts, self._parts = list(self._parts.values()), {}
            written = files.finish_parts(place, parts)
            self._named += [(record, part, file) for (record, part), file in zip(parts, written, strict=True)]
        if self._named:
            refused: set[str] = set()

            def refuse(name: str, reason: str) -> None:
                key = name.partition("-")[0]
                refused.add(key)
                if self._on_refused is not None:
                    self._on_refused(key, reason)

            new = filing.enter_many(
                self.catalog.database.writing,
                place,
                [(record, file) for record, _, file in self._named],
                on_refused=None if self._on_refused is None else refuse,
            )
            named, self._named = self._named, []
            for record, part, _ in named:
                part.unlink(missing_ok=True)
                if record.fit_key not in refused:
                    failures.forget(place, record.fit_key)
            reach("part removed")
            self.number += len(new)
            if self._on_filed is not None:
                self._on_filed([record.fit_key for record, *_ in named if record.fit_key not in refused])
        self._emptied = time.monotonic()

    def _is_filed(self, record: FitRecord) -> bool:
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
