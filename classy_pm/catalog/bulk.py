"""Many fits at once: what one fit costs on its way to the disk, and in the index, is shared by a batch."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa
import xarray as xr

from classy_pm.catalog import failures, files, filing, tables
from classy_pm.catalog.faults import reach
from classy_pm.catalog.layout import make_folder
from classy_pm.catalog.records import FitRecord

if TYPE_CHECKING:
    from classy_pm.catalog.catalog import Catalog

#: Seconds that a fit waits for others before it is made safe without them.
LONGEST = 1.0


class Batch:
    """Fits that are written and not yet safe.

    Parameters
    ----------
    catalog : Catalog
        Where they go.
    on_filed : callable
        Called with the identities of those that have become safe.
    """

    def __init__(self, catalog: Catalog, on_filed: Callable[[list[str]], object]) -> None:
        self.catalog = catalog
        self.number = 0
        self._on_filed = on_filed
        self._parts: dict[str, tuple[FitRecord, Path]] = {}
        self._emptied = time.monotonic()

    def add(self, record: FitRecord, tree: xr.DataTree, connection: sa.Connection) -> None:
        """Write a fit, unless it is here, and make the batch safe if it is large or old enough."""
        if not self._has(record, connection):
            self.catalog.database.check_record(record)
            self._parts[record.fit_key] = (record, files.write_part(self.catalog.layout, record, tree))
        if len(self._parts) >= filing.BATCH or time.monotonic() - self._emptied > LONGEST:
            self.finish()

    def finish(self) -> None:
        """Make the fits safe: their files, then their rows."""
        parts, self._parts = list(self._parts.values()), {}
        if parts:
            place = self.catalog.layout
            finished = list(zip(parts, files.finish_parts(place, parts), strict=True))
            new = filing.enter_many(
                self.catalog.database.writing, place, [(record, written) for (record, _), written in finished]
            )
            for record, part in parts:
                part.unlink(missing_ok=True)
                failures.forget(place, record.fit_key)
            reach("part removed")
            self.number += len(new)
            self._on_filed([record.fit_key for record, _ in parts])
        self._emptied = time.monotonic()

    def _has(self, record: FitRecord, connection: sa.Connection) -> bool:
        if record.fit_key in self._parts:
            return True
        row = sa.select(tables.fit.c.id).where(tables.fit.c.fit_key == record.fit_key)
        with connection.begin():
            known = connection.execute(row).first() is not None
        if not known and not self.catalog.layout.runs_of(record.fit_key):
            return False
        return self.catalog.find(record.fit_key) is not None


def file_many(
    catalog: Catalog,
    fits: Iterable[tuple[FitRecord, xr.DataTree]],
    on_filed: Callable[[list[str]], object] | None = None,
) -> int:
    """File fits in batches, and return the number of those that were new; see `Catalog.file_many`."""
    catalog.check_writable()
    make_folder(catalog.layout.files)  # before the index, as `Layout.of` expects
    batch = Batch(catalog, on_filed or (lambda keys: None))
    with catalog.database.writing():
        pass  # it exists from here on
    # One connection stays open, or sqlite would empty its log into the index after each use of it.
    with catalog.database.kept_open() as connection:
        try:
            for record, tree in fits:
                batch.add(record, tree, connection)
        finally:
            batch.finish()
    return batch.number
