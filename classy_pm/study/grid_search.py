"""`SearchGridSearch`: a search in every cell of a grid over some priors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import xarray as xr
from scipy.special import logsumexp

from classy_pm.catalog import Catalog, fit_key
from classy_pm.errors import SettingError, StudyError, did_you_mean
from classy_pm.likelihood import Analysis
from classy_pm.likelihood.calls import check_order, checked_call
from classy_pm.model import Node
from classy_pm.model.edit import with_priors
from classy_pm.result import Result
from classy_pm.search import Search
from classy_pm.search.job import Job, Lineage
from classy_pm.search.stale import OnChange
from classy_pm.study.executors import check_executor
from classy_pm.study.fitted import FailedFit, Fitted, RuledOut, result_of, summaries
from classy_pm.study.grid import Grid, shown
from classy_pm.study.maps import draw_map
from classy_pm.study.running import Conditions, run_jobs, tried

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["GridSearchResult", "SearchGridSearch"]

CALL = "Write SearchGridSearch(search, number_of_steps=4).fit(model, analysis, grid_priors=[model.centre])."


class SearchGridSearch:
    """Fits a model in every cell of a grid over some of its priors, which are truncated to the cell.

    A search that finds one mode finds the best of each cell; a nested search finds the evidence of each.

    Parameters
    ----------
    search : Search
        What fits the model in each cell.
    number_of_steps : int or sequence of int
        In how many parts each prior is divided, of equal prior probability.
    number_of_cores : int
        How many cells are fitted at a time, each in a process.
    executor : distributed.Client, optional
        A Dask cluster, whose workers fit the cells.

    Examples
    --------
    >>> grid = SearchGridSearch(
    ...     search=Nautilus(), number_of_steps=(4, 4), number_of_cores=2
    ... )  # doctest: +SKIP
    >>> result = grid.fit(
    ...     model,
    ...     analysis,
    ...     grid_priors=[model.feature.centre, model.feature.sigma],
    ...     catalog="survey.sqlite",
    ... )  # doctest: +SKIP
    >>> result.log_evidences.sel({"feature.centre": 50.0}, method="nearest")  # doctest: +SKIP
    >>> result.best_result.instance.feature  # doctest: +SKIP
    """

    @checked_call(CALL)
    def __init__(
        self,
        search: Search,
        number_of_steps: int | Sequence[int] = 4,
        *,
        number_of_cores: int = 1,
        executor: Any = None,
    ) -> None:
        if not isinstance(search, Search):
            raise SettingError(f"{search!r:.200} is no search.", cure=CALL)
        check_executor(number_of_cores, executor)
        self.search = search
        self.number_of_steps = number_of_steps
        self.number_of_cores = number_of_cores
        self.executor = executor

    def __repr__(self) -> str:
        return f"SearchGridSearch({self.search!r}, number_of_steps={self.number_of_steps!r})"

    @checked_call(CALL)
    def fit(
        self,
        model: Node,
        analysis: Analysis | None = None,
        grid_priors: Any = None,
        *,
        catalog: Catalog | str | Path | None = None,
        info: dict[str, Any] | None = None,
        on_change: OnChange = "error",
    ) -> GridSearchResult:
        """Fit all cells; those that the catalogue has are read.

        Parameters
        ----------
        model : Model or Collection
        analysis : Analysis
        grid_priors : sequence of prior or str
            The parameters, themselves or their paths. Their priors are uniform, log-uniform, or Gaussian.
        catalog : Catalog or path of a sqlite file, optional
            Where the cells are filed, each as a fit of the kind "grid" with its place in the grid,
            ``grid_index``, the last parameter running fastest, and ``parent_key``, the ``identifier`` of the
            result.
        info : dict, optional
            What else shall be stored with each.
        on_change : {"error", "warn", "reuse", "rerun"}
            See `Search.fit`.

        Returns
        -------
        GridSearchResult
            A cell that failed is NaN in it, and in its ``failures``.

        Raises
        ------
        ClassyError
            If the model, the grid, the data or the catalogue cannot be used; before anything is computed.
        StudyError
            If all cells fail.
        """
        check_order("fit(model, analysis, grid_priors)", model, analysis)
        if grid_priors is None:
            raise SettingError(
                "grid_priors is missing: it says over which parameters the grid is.", cure=CALL
            )
        whole = Job.of(self.search, model, analysis, info)
        grid = Grid.over(model, grid_priors, self.number_of_steps)
        key = fit_key({"study": "grid", "of": whole.key, "grid": grid.identity()})

        def job(index: int, cell: tuple[int, ...]) -> Job:
            model_of_cell = with_priors(model, grid.priors(cell))
            return Job.of(self.search, model_of_cell, analysis, info, Lineage("grid", key, index))

        cells = [item for item in enumerate(grid) if not grid.rules_out(whole.plan.layout, item[1])]
        if not cells:
            raise StudyError("An assertion of the model holds in no cell of this grid.")
        jobs = ((grid.label(cell), tried(partial(job, index, cell))) for index, cell in cells)
        conditions = Conditions(catalog, self.number_of_cores, self.executor, on_change, self.search.progress)
        ended = run_jobs(jobs, conditions, f"fitting {len(cells)} cells", len(cells))
        fits: list[Fitted | FailedFit | RuledOut] = [RuledOut(grid.label(cell)) for cell in grid]
        for (index, _), fit in zip(cells, ended, strict=True):
            fits[index] = fit
        return GridSearchResult(grid, fits, key)


class GridSearchResult:
    """What a search found in the cells of a grid; indexed by a cell's places, the result of that cell.

    Parameters
    ----------
    grid : Grid
    fits : list of Fitted, FailedFit or RuledOut
        In the order of the cells.
    identifier : str
        Of the whole; in a catalogue the ``parent_key`` of all cells.

    Attributes
    ----------
    failures : list of FailedFit
        The cells that failed.
    """

    def __init__(self, grid: Grid, fits: list[Fitted | FailedFit | RuledOut], identifier: str) -> None:
        self.grid = grid
        self.identifier = identifier
        self._fits = fits
        self.failures = [fit for fit in fits if isinstance(fit, FailedFit)]

    @property
    def log_evidences(self) -> xr.DataArray:
        """The log evidence of each cell, with the grid's dims; NaN where the search knows none.

        A cell in which an assertion of the model holds nowhere is not fitted: it is minus infinity there.

        The coordinate of a cell is the median of the prior within it; its limits are the coordinates
        ``<name>.lower`` and ``<name>.upper``.
        """
        found = self.grid.numbers(self._fits, "log_evidence")
        return found if np.any(np.isfinite(found)) else xr.full_like(found, np.nan)

    @property
    def log_evidence_errors(self) -> xr.DataArray:
        """The standard deviation of the log evidence of each cell."""
        return self.grid.numbers(self._fits, "log_evidence_error")

    @property
    def log_likelihoods(self) -> xr.DataArray:
        """The greatest log likelihood that was found in each cell."""
        return self.grid.numbers(self._fits, "max_log_likelihood")

    @cached_property
    def parameters(self) -> xr.DataArray:
        """The posterior of each cell in numbers: the grid's dims, ``parameter`` and ``statistic``.

        Derived parameters are among them; the statistics are median, mean, sd, the limits of the intervals of
        one and of three sigma, and the value at the greatest log likelihood.
        """
        values, coords = summaries(self._fits)
        return self.grid.array(values.reshape(*self.grid.shape, *values.shape[1:]), tuple(coords), coords)

    @property
    def log_evidence(self) -> float:
        """The log evidence of the whole model: of the mean of the cells' evidences, for all are as probable.

        NaN unless all cells have one.
        """
        values = self.log_evidences.values
        return float(logsumexp(values) - np.log(values.size))

    @property
    def best_cell(self) -> tuple[int, ...]:
        """The cell with the greatest evidence or, where there is none, the greatest log likelihood."""
        evidences = self.log_evidences.values
        values = self.log_likelihoods.values if np.all(np.isnan(evidences)) else evidences
        return tuple(int(place) for place in np.unravel_index(np.nanargmax(values), values.shape))

    @property
    def best_result(self) -> Result:
        """The result of the best cell."""
        return self[self.best_cell]

    def __getitem__(self, cell: int | tuple[int, ...]) -> Result:
        return result_of(self._fits[self.grid.index(cell)])

    def __len__(self) -> int:
        return self.grid.size

    def __iter__(self) -> Iterator[Result]:
        """Give the results of the cells that have not failed, one at a time."""
        return (fit.result() for fit in self._fits if isinstance(fit, Fitted))

    def plot(
        self,
        values: Literal["log_evidences", "log_likelihoods"] | None = None,
        *,
        dims: str | Sequence[str] | None = None,
    ) -> Figure:
        """Draw the cells along one or two parameters; of the others the best cell is taken.

        Parameters
        ----------
        values : {"log_evidences", "log_likelihoods"}, optional
            By default the evidences, where there are any.
        dims : str or sequence of str, optional
            One or two names of parameters; by default the first two of the grid.

        Returns
        -------
        matplotlib.figure.Figure
        """
        if values is None:
            values = "log_likelihoods" if np.all(np.isnan(self.log_evidences)) else "log_evidences"
        labels = {"log_evidences": "log evidence", "log_likelihoods": "greatest log likelihood"}
        if values not in labels:
            raise SettingError(f"There is no map of {values!r}. {did_you_mean(str(values), labels)}")
        errors = self.log_evidence_errors if values == "log_evidences" else None
        return draw_map(self.grid, getattr(self, values), labels[values], dims=dims, errors=errors)

    def __repr__(self) -> str:
        failed = f", {len(self.failures)} failed" if self.failures else ""
        return f"<GridSearchResult: {shown(self.grid)}{failed}, {self.identifier[:12]}>"
