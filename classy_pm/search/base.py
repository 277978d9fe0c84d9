"""`Search`: all that searches share, written once.

A fit goes down the house and up again: the catalogue is asked whether the answer is there; if not,
the search draws, its draws become a tree with what can be computed from them, and the tree is
filed. A search itself is one file with one class: settings, and `_run`.
"""

from __future__ import annotations

import time
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import xarray as xr

from classy_pm.catalog import Catalog, check_info
from classy_pm.errors import SettingError
from classy_pm.likelihood import Analysis, LogLikelihood, check_analysis
from classy_pm.model import Node
from classy_pm.plan import Plan, make_plan
from classy_pm.result import Result
from classy_pm.result.tree import make_tree
from classy_pm.search.diagnose import diagnose
from classy_pm.search.identity import Identity
from classy_pm.search.problem import Draws, Problem
from classy_pm.search.progress import Report
from classy_pm.search.record import make_record
from classy_pm.search.settings import Settings
from classy_pm.search.stale import check_unchanged

__all__ = ["Search"]

# Pointwise terms beyond this many numbers (200 MB) are left out of the tree.
MAX_POINTWISE = 25_000_000


class Search(Settings):
    """What fits a model to an analysis.

    Parameters
    ----------
    name : str
        A label, to find the fit again; not part of its identity.
    unique_tag : str, optional
        Tells fits apart that are equal in all else; part of the identity.
    random_seed : int or numpy.random.Generator, optional
        The same seed gives the same draws. By default it is derived from the fit's identity, so
        that a fit that is run again gives the same draws as well.
    number_of_cores : int
        How many processor cores may be used; the draws do not depend on it.
    likelihood : {"auto", "trace", "blackbox"}
        How the log likelihood comes into a graph, where one is needed.
    progress : bool, optional
        Whether to show progress; by default where somebody looks on.
    **settings
        The search's own settings; an unknown one is an error.
    """

    # Settings that do not change the answer, and so are not part of a fit's identity.
    _not_identity: ClassVar[tuple[str, ...]] = (
        "name",
        "number_of_cores",
        "progress",
        "random_seed",
        "unique_tag",
    )

    name: str = ""
    unique_tag: str | None = None
    random_seed: int | np.random.Generator | None = None
    number_of_cores: int = 1
    likelihood: Literal["auto", "trace", "blackbox"] = "auto"
    progress: bool | None = None

    def __init__(self, name: str = "", **settings: Any) -> None:
        super().__init__(name=name, **settings)
        if isinstance(self.random_seed, np.random.Generator):
            self.random_seed = int(self.random_seed.integers(2**63))
        if self.random_seed is not None and self.random_seed < 0:
            raise SettingError(f"random_seed={self.random_seed} is below zero.")

    def _run(self, problem: Problem) -> Draws:
        """Draw from the posterior, or find what else the search finds."""
        raise NotImplementedError

    def fit(
        self,
        model: Node,
        analysis: Analysis,
        *,
        catalog: Catalog | str | Path | None = None,
        info: dict[str, Any] | None = None,
    ) -> Result:
        """Fit a model to an analysis, or read the fit from the catalogue if it is there.

        Parameters
        ----------
        model : Model or Collection
        analysis : Analysis
        catalog : Catalog or path of a sqlite file, optional
            Where the fit is looked up and filed; without one it is in memory alone.
        info : dict, optional
            What else shall be stored with the fit, to find it by.

        Returns
        -------
        Result

        Raises
        ------
        ClassyError
            If the model, the data, the search or the catalogue cannot be used; before anything
            is computed or written.
        StaleFitError
            If the catalogue has the fit, but the likelihood gives other values today: its code was
            changed, or something that it takes from elsewhere than the analysis.
        """
        plan = make_plan(model)
        check_analysis(analysis)
        info = check_info(info or {})
        identity = Identity.of(self, plan, analysis)
        report = Report(self.progress)
        store = catalog if isinstance(catalog, Catalog) or catalog is None else Catalog(catalog)
        try:
            if store is not None:
                found = store.find(identity.key)
                if found is not None:
                    report.say(f"This fit is in {store.location} already: it is read, not run.")
                    result = Result(model, found.tree(), identifier=identity.key, from_catalog=True)
                    check_unchanged(result, LogLikelihood(plan, analysis))
                    return result
                store.check_writable()
            start = time.perf_counter()
            tree = self._fit(plan, analysis, identity, report)
            result = Result(model, tree, identifier=identity.key)
            if store is not None:
                seconds = time.perf_counter() - start
                with report.stage("filing the fit"):
                    store.file(make_record(self, plan, identity, tree, info, seconds), tree)
            for notice in result.notices:
                report.say(f"Note: {notice}")
            return result
        finally:
            if store is not None and store is not catalog:
                store.close()

    def identifying_settings(self) -> dict[str, Any]:
        """Return the settings that the answer depends on."""
        return {name: value for name, value in self.settings.items() if name not in self._not_identity}

    def _fit(self, plan: Plan, analysis: Analysis, identity: Identity, report: Report) -> xr.DataTree:
        """Run the search, and compute from its draws all that every fit has."""
        seed = int(identity.key, 16) if self.random_seed is None else int(self.random_seed)  # type: ignore[arg-type]
        problem = Problem(plan, analysis, self.likelihood, seed, self.number_of_cores, report)
        draws = self._run(problem)
        pointwise = _pointwise(problem, draws)
        log_likelihood = draws.log_likelihood
        if log_likelihood is None:
            flat = draws.vectors.reshape(-1, plan.size)
            log_likelihood = np.reshape([problem.log_likelihood(v) for v in flat], draws.vectors.shape[:2])
        notices = [*draws.notices, *_nan_notice(problem), *identity.changes(self, plan, analysis)]
        tree = make_tree(
            _posterior(plan, draws.vectors),
            log_likelihood,
            plan.log_prior(draws.vectors),
            free=plan.names,
            stats=draws.stats,
            pointwise=pointwise,
            attributes={
                "search": type(self).__name__,
                "settings": identity.description["search"]["settings"],
                "name": self.name,
                "unique_tag": self.unique_tag,
                "random_seed": str(seed),
                "seconds": report.seconds,
                "versions": {name: version(name) for name in ("classy_pm", "pymc", "pytensor", "numpy")},
                **draws.attributes,
            },
        )
        return diagnose(tree, notices)


def _posterior(plan: Plan, vectors: np.ndarray) -> dict[str, np.ndarray]:
    """Return free and derived parameters by name, each of shape (chain, draw, ...)."""
    columns = plan.split(vectors)
    posterior = dict(zip(plan.names, columns, strict=True))
    with np.errstate(all="ignore"):
        for path, derived in plan.derived:
            posterior[".".join(path)] = plan.derived_values(derived, vectors)
    return posterior


def _pointwise(problem: Problem, draws: Draws) -> np.ndarray | None:
    """Return the log likelihood's terms at each draw: the user's own, or those of the graph if made."""
    plain, flat = problem.log_likelihood, draws.vectors.reshape(-1, problem.plan.size)
    if plain.has_pointwise:
        length = plain.pointwise(flat[0]).size
    elif "symbolic" in vars(problem) and problem.symbolic.terms is not None:
        (length,) = problem.symbolic.terms.type.shape
    else:
        return None
    if length * len(flat) > MAX_POINTWISE:
        draws.notices.append(
            f"The pointwise log likelihood ({length} terms a draw) was left out: it is too large to keep."
        )
        return None
    with problem.report.stage("computing the pointwise log likelihood"):
        if plain.has_pointwise:
            terms = np.array([plain.pointwise(vector) for vector in flat])
            return terms.reshape(*draws.vectors.shape[:2], length)
        return problem.symbolic.terms_of(draws.vectors)


def _nan_notice(problem: Problem) -> list[str]:
    count = problem.log_likelihood.nan_count
    return [f"The log likelihood was NaN {count} times; those points count as impossible."] if count else []
