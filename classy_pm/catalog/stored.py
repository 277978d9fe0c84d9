"""A fit in the catalogue: its row, and a way to its file."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from classy_pm.catalog import files, isolated
from classy_pm.catalog.records import FitRecord
from classy_pm.errors import UnknownNameError

if TYPE_CHECKING:
    from classy_pm.catalog.catalog import Catalog


@dataclass(frozen=True, slots=True)
class StoredFit:
    """A light handle on a filed fit; its file is opened only by `record` and `tree`.

    The attributes are the columns of the table `fit`; numbers that were not finite are None. Two
    handles are equal if they mean the same run.
    """

    fit_key: str
    run_id: str
    id: int = field(repr=False, compare=False)
    status: str = field(repr=False, compare=False)
    name: str = field(compare=False)
    unique_tag: str = field(compare=False)
    sampler: str = field(compare=False)
    n_free: int = field(repr=False, compare=False)
    sha256: str = field(repr=False, compare=False)
    nbytes: int = field(repr=False, compare=False)
    fmt: int = field(repr=False, compare=False)
    created: str = field(compare=False)
    seconds: float | None = field(repr=False, compare=False)
    log_evidence: float | None = field(repr=False, compare=False)
    log_evidence_error: float | None = field(repr=False, compare=False)
    max_log_likelihood: float | None = field(repr=False, compare=False)
    loo: float | None = field(repr=False, compare=False)
    divergences: int | None = field(repr=False, compare=False)
    max_rhat: float | None = field(repr=False, compare=False)
    min_ess: float | None = field(repr=False, compare=False)
    n_nonfinite: int = field(repr=False, compare=False)
    model_hash: str | None = field(repr=False, compare=False)
    data_hash: str | None = field(repr=False, compare=False)
    likelihood_hash: str | None = field(repr=False, compare=False)
    search_hash: str | None = field(repr=False, compare=False)
    graph_hash: str | None = field(repr=False, compare=False)
    kind: str = field(repr=False, compare=False)
    parent_key: str | None = field(repr=False, compare=False)
    grid_index: int | None = field(repr=False, compare=False)
    catalog: Catalog = field(repr=False, compare=False)

    @classmethod
    def from_row(cls, row: Mapping[str, Any], catalog: Catalog) -> StoredFit:
        """Return the handle for a row of the table `fit`."""
        return cls(**{name: row[name] for name in _columns()}, catalog=catalog)

    @property
    def path(self) -> Path:
        """The NetCDF file."""
        return self.catalog.layout.fit_path(self.fit_key, self.run_id)

    @property
    def record(self) -> FitRecord:
        """Everything that was filed beside the draws, as it was then, read from the file's manifest."""
        return self._files.read_record(self.path, self.sha256)

    @property
    def info(self) -> dict[str, Any]:
        """The user's notes as they are now, read from the index."""
        return self.catalog.info_of(self)

    @property
    def tags(self) -> list[str]:
        """The tags as they are now, read from the index."""
        return self.catalog.tags_of(self)

    def tag(self, *tags: str) -> None:
        """Give this fit more tags."""
        self.catalog.tag(self, *tags)

    def untag(self, *tags: str) -> None:
        """Take tags from this fit."""
        self.catalog.untag(self, *tags)

    def note(self, key: str, value: Any) -> None:
        """Write a note on this fit, in the place of one with this key."""
        self.catalog.note(self, key, value)

    def unnote(self, *keys: str) -> None:
        """Take notes from this fit."""
        self.catalog.unnote(self, *keys)

    def tree(self) -> xr.DataTree:
        """Return the result, all in memory.

        Returns
        -------
        xarray.DataTree
            The groups as they were filed: posterior, sample_stats, log_likelihood, ...

        Raises
        ------
        DamagedFile
            If the file is not, bit for bit, what was filed.
        """
        return self._files.read_tree(self.path, self.sha256)

    def variable(self, name: str) -> np.ndarray[Any, Any]:
        """Return the draws of one variable of the posterior, reading nothing else.

        Returns
        -------
        numpy.ndarray
            With shape (chain, draw, ...).
        """
        try:
            return self._files.read_variable(self.path, name, self.sha256)
        except UnknownNameError:
            # An array is filed by its elements: `weights[0]`.
            aliases = self.record.aliases.items()
            first = {path.partition("[")[0]: other.partition("[")[0] for path, other in aliases}.get(name)
            if first is None:
                raise
            return self._files.read_variable(self.path, first, self.sha256)

    @property
    def _files(self) -> Any:
        """What reads the file: this process, or a child of it."""
        self.catalog.check_files()
        return isolated if self.catalog.untrusted else files


@functools.cache
def _columns() -> tuple[str, ...]:
    """Return the columns that a handle has."""
    return tuple(item.name for item in fields(StoredFit) if item.name != "catalog")
