"""A fit in the catalogue: its row, and a way to its file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xarray as xr

from classy_pm.catalog import files
from classy_pm.catalog.records import FitRecord

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
        names = {item.name for item in fields(cls)} - {"catalog"}
        return cls(**{name: row[name] for name in names}, catalog=catalog)

    @property
    def path(self) -> Path:
        """The NetCDF file."""
        return self.catalog.layout.fit_path(self.fit_key, self.run_id)

    @property
    def record(self) -> FitRecord:
        """Everything that was filed beside the draws, read from the file's manifest."""
        return files.read_record(self.path, self.sha256)

    @property
    def info(self) -> dict[str, Any]:
        """The user's notes, read from the index."""
        return self.catalog.info_of(self)

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
        return files.read_tree(self.path, self.sha256)
