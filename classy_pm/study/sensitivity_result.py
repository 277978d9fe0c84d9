"""`SensitivityResult`: evidences with and without a perturbation, on a grid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import xarray as xr

from classy_pm.errors import SettingError, StudyError, did_you_mean
from classy_pm.result import Result
from classy_pm.study.fitted import FailedFit, Fitted, result_of
from classy_pm.study.grid import Grid, shown
from classy_pm.study.maps import draw_map

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["BASE", "PERTURBED", "SensitivityResult"]

# What the two models are called.
BASE, PERTURBED = "base", "perturbed"
#: The difference of log evidences from which a perturbation counts as found: odds of 150 to 1.
DETECTED = 5.0


class SensitivityResult:
    """Evidences and likelihoods with and without a perturbation, in the cells of a grid.

    Parameters
    ----------
    grid : Grid
    mask : numpy.ndarray of bool
        Which cells were left out.
    repeats : int
    fits : list of Fitted or FailedFit
        Of the cells that were not left out: for each repeat without the perturbation and with it.
    identifier : str
        Of the whole; in a catalogue the ``parent_key`` of all fits.

    Attributes
    ----------
    failures : list of FailedFit
    """

    def __init__(
        self, grid: Grid, mask: np.ndarray, repeats: int, fits: list[Fitted | FailedFit], identifier: str
    ) -> None:
        self.grid = grid
        self.mask = mask
        self.identifier = identifier
        self.failures = [fit for fit in fits if isinstance(fit, FailedFit)]
        self._fits = np.full((*grid.shape, repeats, 2), None, dtype=object)
        of_cells = np.empty(len(fits), dtype=object)
        of_cells[:] = fits
        self._fits[~mask] = of_cells.reshape(-1, repeats, 2)

    @property
    def dataset(self) -> xr.Dataset:
        """All numbers, with the dims of the grid, ``repeat`` and ``model``: "base" and "perturbed".

        ``log_evidence``, ``log_evidence_error`` and ``log_likelihood``, the greatest that was found; NaN
        where the search knows none, where a fit failed, and in cells that were left out.
        """
        names = {
            "log_evidence": "log_evidence",
            "log_evidence_error": "log_evidence_error",
            "log_likelihood": "max_log_likelihood",
        }
        coords = {"repeat": np.arange(self._fits.shape[-2]), "model": [BASE, PERTURBED]}

        def numbers(name: str) -> xr.DataArray:
            values = [getattr(fit, name, np.nan) for fit in self._fits.ravel()]
            return self.grid.array(np.reshape(values, self._fits.shape), tuple(coords), coords)

        return xr.Dataset({ours: numbers(theirs) for ours, theirs in names.items()})

    @property
    def log_evidence_differences(self) -> xr.DataArray:
        """By how much the perturbation raises the log evidence: the mean over the repeats of each cell."""
        return self._differences("log_evidence").mean("repeat")

    @property
    def log_likelihood_differences(self) -> xr.DataArray:
        """By how much it raises the greatest log likelihood: the mean over the repeats of each cell."""
        return self._differences("log_likelihood").mean("repeat")

    @property
    def log_evidence_scatter(self) -> xr.DataArray:
        """The standard deviation of the differences of log evidence between repeats; NaN of a single one."""
        return self._scatter("log_evidence")

    @property
    def log_likelihood_scatter(self) -> xr.DataArray:
        """The same of the differences of the greatest log likelihood."""
        return self._scatter("log_likelihood")

    def detected(self, threshold: float = DETECTED) -> xr.DataArray:
        """Return in which share of the repeats the log evidence rises by more than a threshold."""
        found = self._differences("log_evidence")
        return (found > threshold).where(found.notnull()).mean("repeat")

    def results(self, cell: int | tuple[int, ...], repeat: int = 0) -> tuple[Result, Result]:
        """Return the results of a cell without the perturbation and with it.

        Raises
        ------
        StudyError
            If the cell was left out, or a fit failed.
        """
        index = self.grid.index(cell)
        if self.mask.ravel()[index]:
            raise StudyError(f"The cell {cell!r} was left out.")
        pairs = self._fits.reshape(self.grid.size, -1, 2)
        if not 0 <= repeat < pairs.shape[1]:
            raise SettingError(f"There is no repeat {repeat!r}: there are {pairs.shape[1]}, from 0.")
        base, perturbed = pairs[index, repeat]
        return result_of(base), result_of(perturbed)

    def plot(
        self,
        values: Literal["log_evidence_differences", "log_likelihood_differences"] | None = None,
        *,
        dims: str | Sequence[str] | None = None,
        threshold: float | None = None,
    ) -> Figure:
        """Draw the map along one or two parameters, with the contour from which a perturbation is found.

        Parameters
        ----------
        values : {"log_evidence_differences", "log_likelihood_differences"}, optional
            By default those of the evidence, where there are any.
        dims : str or sequence of str, optional
            One or two names of parameters; by default the first two of the grid.
        threshold : float, optional
            Where the contour is; by default at 5 of the evidences, odds of 150 to 1, and nowhere of the
            likelihoods.

        Returns
        -------
        matplotlib.figure.Figure
        """
        if values is None:
            none = np.all(np.isnan(self.log_evidence_differences))
            values = "log_likelihood_differences" if none else "log_evidence_differences"
        labels = {
            "log_evidence_differences": ("difference of log evidence", self.log_evidence_scatter),
            "log_likelihood_differences": ("difference of log likelihood", self.log_likelihood_scatter),
        }
        if values not in labels:
            raise SettingError(f"There is no map of {values!r}. {did_you_mean(str(values), labels)}")
        label, scatter = labels[values]
        if threshold is None and values == "log_evidence_differences":
            threshold = DETECTED
        errors = None if np.all(np.isnan(scatter)) else scatter
        return draw_map(self.grid, getattr(self, values), label, dims=dims, contour=threshold, errors=errors)

    def __repr__(self) -> str:
        failed = f", {len(self.failures)} fits failed" if self.failures else ""
        return f"<SensitivityResult: {shown(self.grid)}{failed}, {self.identifier[:12]}>"

    def _differences(self, name: str) -> xr.DataArray:
        array = self.dataset[name]
        return array.sel(model=PERTURBED, drop=True) - array.sel(model=BASE, drop=True)

    def _scatter(self, name: str) -> xr.DataArray:
        found = self._differences(name)
        return (
            found.std("repeat", ddof=1)
            if found.sizes["repeat"] > 1
            else found.isel(repeat=0, drop=True) * np.nan
        )
