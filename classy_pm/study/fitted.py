"""A fit of a study: what is known of it without its draws, and the way to them; or why it failed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import xarray as xr

from classy_pm.catalog import Catalog, ErrorText, FitRecord, ParameterRecord, StoredFit, unpack
from classy_pm.errors import CatalogError, StudyError
from classy_pm.model import Node
from classy_pm.result import Result, make_result
from classy_pm.search.job import Job

__all__ = ["FailedFit", "Fitted", "RuledOut", "result_of", "summaries"]

# What is told of the draws of a parameter: in a catalogue, and to users.
STATISTICS = {
    "median": "median",
    "mean": "mean",
    "sd": "sd",
    "lo1": "lower_1_sigma",
    "hi1": "upper_1_sigma",
    "lo3": "lower_3_sigma",
    "hi3": "upper_3_sigma",
    "ml": "max_log_likelihood",
}


@dataclass(frozen=True)
class FailedFit:
    """A fit of a study that failed.

    Attributes
    ----------
    name : str
        What it is called in the study.
    error : str
        Type and text of what was raised, or that its process died.
    traceback : str
        Where it was raised.
    key : str
        The fit's identity; empty where the data set was refused before it had one.
    """

    name: str
    error: str
    traceback: str = field(default="", repr=False)
    key: str = field(default="", repr=False)

    @classmethod
    def of(cls, name: str, text: ErrorText, key: str = "") -> FailedFit:
        """Return what failed, by what was raised."""
        return cls(name, text.error, text.traceback, key)


@dataclass(frozen=True)
class RuledOut:
    """A fit of a study that need not be run: an assertion of the model holds nowhere in its prior.

    Attributes
    ----------
    name : str
        What it would be called in the study.
    log_evidence, max_log_likelihood : float
        Minus infinity.
    """

    name: str
    log_evidence: float = -np.inf
    log_evidence_error: float = 0.0
    max_log_likelihood: float = -np.inf


@dataclass(frozen=True)
class Fitted:
    """A fit of a study that is finished.

    Attributes
    ----------
    name : str
        What it is called in the study.
    key : str
        The fit's identity.
    model : Model or Collection
    log_evidence, log_evidence_error, max_log_likelihood, seconds : float
        NaN where it has none.
    from_catalog : bool
        Whether it was read rather than run.
    run_id : str
        Which run of the fit it is.
    """

    name: str
    key: str
    model: Node = field(repr=False)
    log_evidence: float
    log_evidence_error: float
    max_log_likelihood: float
    seconds: float
    from_catalog: bool
    run_id: str = field(repr=False, default="")
    _parameters: tuple[ParameterRecord, ...] | None = field(repr=False, default=None)
    _tree: xr.DataTree | bytes | None = field(repr=False, default=None)
    _catalog: Catalog | None = field(repr=False, default=None)

    @classmethod
    def of(
        cls,
        name: str,
        job: Job,
        known: FitRecord | StoredFit,
        *,
        tree: xr.DataTree | bytes | None = None,
        catalog: Catalog | None = None,
    ) -> Fitted:
        """Return a fit by its record or its row; its draws are kept here, or in the catalogue."""

        def number(name: str) -> float:
            value = getattr(known, name)
            return np.nan if value is None else float(value)

        return cls(
            name,
            job.key,
            job.model,
            number("log_evidence"),
            number("log_evidence_error"),
            number("max_log_likelihood"),
            number("seconds"),
            from_catalog=isinstance(known, StoredFit),
            run_id=known.run_id,
            _parameters=known.parameters if isinstance(known, FitRecord) else None,
            _tree=tree if catalog is None else None,
            _catalog=catalog,
        )

    @property
    def parameters(self) -> tuple[ParameterRecord, ...]:
        """The summaries of its parameters; read from the catalogue where they are not known here."""
        return self._stored().record.parameters if self._parameters is None else self._parameters

    def result(self) -> Result:
        """Return its result; read from the catalogue where it is filed."""
        tree = self._tree
        if tree is None:
            tree = self._stored().tree()
        if isinstance(tree, bytes):
            tree = unpack(tree)
        return make_result(self.model, tree, identifier=self.key, from_catalog=self.from_catalog)

    def _stored(self) -> StoredFit:
        assert self._catalog is not None
        found = self._catalog.find(self.key)
        if found is None:
            raise CatalogError(
                f"The fit {self.key[:12]} of {self.name!r} is not in {self._catalog.location} any more.",
                cure="Run the study again: the fits that are there are read.",
            )
        return found


def result_of(fit: Fitted | FailedFit | RuledOut) -> Result:
    """Return the result of a fit.

    Raises
    ------
    StudyError
        If it failed, or was not run.
    """
    if isinstance(fit, FailedFit):
        raise StudyError(f"The fit of {fit.name} failed: {fit.error}")
    if isinstance(fit, RuledOut):
        raise StudyError(f"An assertion of the model holds nowhere at {fit.name}: there is no fit.")
    return fit.result()


def summaries(fits: Sequence[Fitted | FailedFit | RuledOut]) -> tuple[np.ndarray, dict[str, list[str]]]:
    """Return the posteriors of fits in numbers, NaN of those that failed.

    Returns
    -------
    values : numpy.ndarray, shape (fits, parameters, statistics)
        Of free and derived parameters.
    coords : dict of list of str
        ``parameter`` and ``statistic``, the names along the last two axes.
    """
    tables = [
        {item.path: item for item in fit.parameters if item.role != "fixed"}
        if isinstance(fit, Fitted)
        else {}
        for fit in fits
    ]
    names = list(dict.fromkeys(name for table in tables for name in table))
    places = {name: place for place, name in enumerate(names)}
    values = np.full((len(tables), len(names), len(STATISTICS)), np.nan)
    for place, table in enumerate(tables):
        for name, item in table.items():
            numbers = [getattr(item, statistic) for statistic in STATISTICS]
            values[place, places[name]] = [np.nan if number is None else number for number in numbers]
    return values, {"parameter": names, "statistic": list(STATISTICS.values())}
