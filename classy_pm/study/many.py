"""`fit_many`: one model, one search, and many data sets, each fitted by itself."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from classy_pm.catalog import Catalog, fit_key
from classy_pm.errors import Faults, SettingError, StudyError, did_you_mean
from classy_pm.likelihood import Analysis
from classy_pm.likelihood.calls import checked_call
from classy_pm.model import FactorGraphModel, Node
from classy_pm.plan import make_plan
from classy_pm.result import Result
from classy_pm.search import Search
from classy_pm.search.job import Job, Lineage
from classy_pm.search.reuse import varying_among
from classy_pm.search.stale import OnChange
from classy_pm.study.fitted import FailedFit, Fitted, result_of, summaries
from classy_pm.study.running import Conditions, Named, run_jobs, tried

__all__ = ["ManyFits", "fit_many"]

CALL = "Write fit_many(model, analyses, NUTS(), catalog='survey.sqlite')."
DATA = "Give a list of analyses, a dict of them by name, or what yields pairs of a name and an analysis."
# So many data sets are looked at to see which of their numbers differ, if they are generated.
LOOKED_AT = 10
# What is told of a fit beside its parameters.
FACTS = ("log_evidence", "max_log_likelihood", "seconds", "from_catalog")


@checked_call(CALL)
def fit_many(
    model: Node,
    analyses: Mapping[str, Analysis] | Iterable[Analysis | tuple[str, Analysis]],
    search: Search,
    *,
    catalog: Catalog | str | Path | None = None,
    info: dict[str, Any] | Callable[[str], dict[str, Any]] | None = None,
    number_of_cores: int = 1,
    executor: Any = None,
    on_change: OnChange = "error",
    progress: bool | None = None,
) -> ManyFits:
    """Fit one model to many data sets, each by itself.

    The likelihood is traced and compiled once for all data sets that differ in their numbers alone. Fits that
    the catalogue has are read; a data set that fails is listed, and does not take others down.

    Parameters
    ----------
    model : Model or Collection
    analyses : dict of str to Analysis, or iterable of Analysis or of (str, Analysis)
        The data sets, with their names. They are taken one by one: thousands of them need not be in memory
        at a time if they are generated. Those without a name are called ``data_set_0``, ``data_set_1``, ...
    search : Search
    catalog : Catalog or path of a sqlite file, optional
        Where the fits are filed, under the names of their data sets, as fits of the kind "dataset" with the
        ``parent_key`` that is the ``identifier`` of the whole. Without one they are kept in memory.
    info : dict or callable, optional
        What else shall be stored with each fit; or a function of the name of a data set that returns it.
    number_of_cores : int
        How many data sets are fitted at a time, each in a process.
    executor : distributed.Client, optional
        A Dask cluster, whose workers fit the data sets.
    on_change : {"error", "warn", "reuse", "rerun"}
        See `Search.fit`.
    progress : bool, optional
        Whether to show how far it is; by default as the search would.

    Returns
    -------
    ManyFits

    Raises
    ------
    ClassyError
        If the model, the search or the catalogue cannot be used; before anything is computed.
    StudyError
        If no data set can be fitted.

    Warns
    -----
    UserWarning
        If some data sets have failed. The same call with the same catalogue runs these again, and no others.

    Examples
    --------
    >>> fits = fit_many(model, {"SDSS J0037": one, "SDSS J0216": two}, NUTS(), catalog="slacs.sqlite")
    ... # doctest: +SKIP
    >>> fits["SDSS J0037"].info  # doctest: +SKIP
    >>> fits.summary()  # doctest: +SKIP
    >>> fits.failures  # doctest: +SKIP
    """
    faults = Faults()
    if not isinstance(model, Node):
        faults.add("model", f"{model!r:.200} is no model")
    if not isinstance(search, Search):
        faults.add("search", f"{search!r:.200} is no search")
    faults.raise_as(SettingError, "Data sets cannot be fitted like this.", cure=CALL)
    if isinstance(model, FactorGraphModel):
        raise SettingError("A graph of factors has its data sets already.", cure="Write search.fit(graph).")
    plan = make_plan(model)
    named, total = _named(analyses)
    if total is None:
        named = _each_of_its_own(named)
    # What is in memory anyway is all looked at.
    first = list(islice(named, LOOKED_AT if total is None else None))
    if not first:
        raise SettingError("There is no data set.", cure=DATA)
    varying = varying_among(analysis for _, analysis in first if isinstance(analysis, Analysis))
    shown = search.progress if progress is None else progress
    conditions = Conditions(catalog, number_of_cores, executor, on_change, shown, varying)
    settings = search.identifying_settings(plan)
    seed = {"random_seed": search.random_seed, "unique_tag": search.unique_tag}
    key = fit_key(
        {"study": "many", "model": plan.identity, "search": [type(search).__name__, settings], "extra": seed}
    )

    def job(name: str, analysis: Any, index: int) -> Job:
        notes = info(name) if callable(info) else info
        return Job.of(search, model, analysis, notes, Lineage("dataset", key, index), name=name)

    def jobs() -> Iterator[Named]:
        taken: set[str] = set()
        for index, (name, analysis) in enumerate(chain(first, named)):
            if name in taken:
                raise SettingError(f"{name!r} is the name of two data sets.", cure=DATA)
            taken.add(name)
            yield name, tried(partial(job, name, analysis, index))

    fits = run_jobs(jobs(), conditions, f"fitting {total or 'many'} data sets", total)
    return ManyFits(fits, key)


def _named(analyses: Any) -> tuple[Iterator[tuple[str, Any]], int | None]:
    """Return the data sets with their names, and how many there are, where that is known."""
    if isinstance(analyses, (Analysis, str)) or not isinstance(analyses, Iterable):
        raise SettingError(f"{analyses!r:.200} are not several data sets.", cure=DATA)
    total = len(analyses) if isinstance(analyses, (Mapping, Sequence)) else None
    items = analyses.items() if isinstance(analyses, Mapping) else analyses

    def named() -> Iterator[tuple[str, Any]]:
        for index, item in enumerate(items):
            pair = item if isinstance(item, tuple) and len(item) == 2 else (f"data_set_{index}", item)
            if not isinstance(pair[0], str) or not pair[0]:
                raise SettingError(f"{pair[0]!r:.200} is no name of a data set.", cure=DATA)
            yield pair

    return named(), total


def _each_of_its_own(named: Iterator[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    """Refuse a generator that fills one object anew, whose data are gone before they are fitted."""
    lately: deque[Any] = deque(maxlen=LOOKED_AT)
    for name, analysis in named:
        if any(analysis is other for other in lately):
            raise SettingError(
                f"The analysis of {name!r} is the same object as one before it.",
                cure="Make a new analysis for each data set.",
            )
        lately.append(analysis)
        yield name, analysis


class ManyFits(Mapping[str, Result]):
    """The fits of many data sets: a mapping from their names to their results.

    A result is read from the catalogue when it is asked for, if it is there. Data sets that failed are in
    ``failures`` and not in the mapping.

    Parameters
    ----------
    fits : list of Fitted or FailedFit
    identifier : str
        Of the whole; in a catalogue the ``parent_key`` of all fits.

    Attributes
    ----------
    failures : list of FailedFit
        Each with the ``name`` of the data set, the ``error`` and its ``traceback``.
    """

    def __init__(self, fits: list[Fitted | FailedFit], identifier: str) -> None:
        self.identifier = identifier
        self._fits = {fit.name: fit for fit in fits}
        self.failures = [fit for fit in fits if isinstance(fit, FailedFit)]
        self._good = {name: fit for name, fit in self._fits.items() if isinstance(fit, Fitted)}

    def __getitem__(self, name: str) -> Result:
        if name not in self._fits:
            raise StudyError(f"There is no data set {name!r}.", cure=did_you_mean(str(name), self._fits))
        return result_of(self._fits[name])

    def get(self, name: str, default: Any = None) -> Any:
        """Return the result of a data set, or something else where there is none."""
        return result_of(self._good[name]) if name in self._good else default

    def __contains__(self, name: object) -> bool:
        return name in self._good

    def __iter__(self) -> Iterator[str]:
        return iter(self._good)

    def __len__(self) -> int:
        return len(self._good)

    @cached_property
    def parameters(self) -> xr.DataArray:
        """The posteriors in numbers, with the dims ``data_set``, ``parameter`` and ``statistic``.

        Derived parameters are among them; the statistics are median, mean, sd, the limits of the intervals of
        one and of three sigma, and the value at the greatest log likelihood.
        """
        values, coords = summaries(list(self._good.values()))
        return xr.DataArray(
            values, dims=("data_set", *coords), coords={"data_set": list(self._good), **coords}
        )

    def summary(self, statistic: str = "median") -> pd.DataFrame:
        """Return a row a data set: a statistic of each parameter, and what is known of the fit.

        A parameter has a column of its name, and one that is called like what is known of the fit,
        ``log_evidence``, ``max_log_likelihood``, ``seconds`` or ``from_catalog``, has the statistic after a
        colon: ``seconds:median``.

        Parameters
        ----------
        statistic : str
            One of those of ``parameters``.
        """
        array = self.parameters
        if statistic not in array["statistic"]:
            known = [str(name) for name in array["statistic"].values]
            raise SettingError(f"There is no statistic {statistic!r}.", cure=did_you_mean(statistic, known))
        chosen = array.sel(statistic=statistic)
        names = [str(name) for name in array["parameter"].values]
        columns = [f"{name}:{statistic}" if name in FACTS else name for name in names]
        frame = pd.DataFrame(chosen.values, index=pd.Index(list(self), name="data_set"), columns=columns)
        for name in FACTS:
            frame[name] = [getattr(fit, name) for fit in self._good.values()]
        return frame

    def __repr__(self) -> str:
        failed = f", {len(self.failures)} failed" if self.failures else ""
        return f"<ManyFits: {len(self)} data sets{failed}, {self.identifier[:12]}>"
