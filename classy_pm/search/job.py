"""`Job`: a fit that is ready to be run, checked, with its identity."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xarray as xr

from classy_pm.catalog import FitRecord, check_info
from classy_pm.likelihood import Analysis, check_analysis
from classy_pm.likelihood.infinite import check_infinite
from classy_pm.likelihood.joint import analysis_of
from classy_pm.model import Node
from classy_pm.plan import Plan, make_plan
from classy_pm.result import Result, make_result
from classy_pm.search.identity import Identity
from classy_pm.search.progress import Report
from classy_pm.search.record import check_size, make_record

if TYPE_CHECKING:
    from classy_pm.search.base import Search
    from classy_pm.search.reuse import Reuse

__all__ = ["Job", "Lineage"]


@dataclass(frozen=True)
class Lineage:
    """Of what study a fit is a part; a catalogue keeps it.

    Attributes
    ----------
    kind : str
    parent_key : str, optional
        The identity of the study.
    grid_index : int, optional
        Which of its fits it is.
    """

    kind: str = "fit"
    parent_key: str | None = None
    grid_index: int | None = None


@dataclass(frozen=True)
class Job:
    """A fit that is ready to be run.

    Attributes
    ----------
    search : Search
    model : Model or Collection
    plan : Plan
    analysis : Analysis
    identity : Identity
    info : dict
    lineage : Lineage
    name : str
        A label of the fit, by default that of the search.
    """

    search: Search
    model: Node
    plan: Plan
    analysis: Analysis
    identity: Identity
    info: dict[str, Any] = field(default_factory=dict)
    lineage: Lineage = Lineage()
    name: str = ""

    @classmethod
    def of(
        cls,
        search: Search,
        model: Node,
        analysis: Analysis | None,
        info: dict[str, Any] | None = None,
        lineage: Lineage = Lineage(),
        *,
        name: str | None = None,
    ) -> Job:
        """Check what a fit is made of, and take its identity.

        Raises
        ------
        ClassyError
            If the model, the data or the notes cannot be used.
        """
        plan = make_plan(model)
        analysis = analysis_of(model, analysis, "fit(model, analysis)")
        check_analysis(analysis)
        check_infinite(plan, analysis)
        info = check_info(info or {})
        identity = Identity.of(search, plan, analysis)
        return cls(
            search, model, plan, analysis, identity, info, lineage, search.name if name is None else name
        )

    @property
    def key(self) -> str:
        """The fit's identity."""
        return self.identity.key

    @property
    def about(self) -> dict[str, str]:
        """What a failure is known by."""
        search = self.search
        return {
            "name": self.name,
            "unique_tag": search.unique_tag or "",
            "search": type(search).__name__,
        }

    def check_size(self) -> None:
        """Refuse what no catalogue keeps, before it is run."""
        check_size(self.model, self.plan, self.identity)

    def run(self, report: Report, folder: Path | None = None, reuse: Reuse | None = None) -> xr.DataTree:
        """Run the search.

        Parameters
        ----------
        report : Report
        folder : pathlib.Path, optional
            Where the fit may keep files meanwhile.
        reuse : Reuse, optional
            What was made for other data.
        """
        return self.search._fit(self.plan, self.analysis, self.identity, report, folder, reuse=reuse)

    def record(self, tree: xr.DataTree, seconds: float) -> FitRecord:
        """Return what a catalogue is told of the fit."""
        record = make_record(self.search, self.model, self.plan, self.identity, tree, self.info, seconds)
        return dataclasses.replace(record, name=self.name, **dataclasses.asdict(self.lineage))

    def result(self, tree: xr.DataTree, *, from_catalog: bool = False) -> Result:
        """Return the fit's result."""
        return make_result(self.model, tree, identifier=self.key, from_catalog=from_catalog)
