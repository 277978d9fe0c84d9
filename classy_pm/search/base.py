"""`Search`: all that searches share, written once.

A fit goes down the house and up again: the catalogue is asked whether the answer is there; if not,
the search draws, its draws become a tree with what can be computed from them, and the tree is
filed. A search itself is one file with one class: settings, and `_run`.
"""

from __future__ import annotations

import dataclasses
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar, Literal, overload

import numpy as np
import xarray as xr
from threadpoolctl import threadpool_limits

from classy_pm.catalog import Catalog, opened
from classy_pm.errors import SearchError, SettingError, some_of
from classy_pm.likelihood import Analysis
from classy_pm.likelihood.calls import check_order, checked_call
from classy_pm.likelihood.evaluate import forget_other_precision
from classy_pm.likelihood.joint import JointAnalysis
from classy_pm.model import FactorGraphModel, Node
from classy_pm.plan import Plan
from classy_pm.result import GraphResult, Result
from classy_pm.result import tree as trees
from classy_pm.result.tree import make_tree
from classy_pm.search.diagnose import diagnose
from classy_pm.search.filed import fit_in
from classy_pm.search.identity import Identity
from classy_pm.search.job import Job
from classy_pm.search.limits import position_notices
from classy_pm.search.paths import saved_with
from classy_pm.search.per_factor import coords_of, factor_dim, factor_log_likelihoods, term_counts
from classy_pm.search.pointwise import Pointwise, log_likelihood_of, pointwise_terms
from classy_pm.search.predictive import check_extras, drawn_variables, predictive_groups, variable_dims
from classy_pm.search.problem import Draws, Problem
from classy_pm.search.progress import Report
from classy_pm.search.reuse import Reuse, Reused
from classy_pm.search.settings import Settings
from classy_pm.search.stale import CHAINED, PRIOR_VALUES, OnChange, chained_numbers, check_on_change
from classy_pm.search.weights import equal_draws, normalised

__all__ = ["Kind", "Search"]

#: What a search's draws are: of chains on their own; of walkers that move together; with weights; of an
#: approximation; a single best point.
type Kind = Literal["chains", "ensemble", "nested", "approximation", "optimum"]

# Which of the fit's random streams draws are chosen with, where they have weights; see `Problem.rng`.
EQUAL_WEIGHTS = 1_000_000
# And which of them data are simulated with.
PREDICTIVE = 1_000_001

# A log likelihood that differs by less than this tells nothing.
FLAT = 1e-6
# So many parameters are named in a notice.
NAMED = 5

FIT = "Write NUTS().fit(model, analysis), or another search; catalog= and info= can be given by name."


def _of_settings(search: Any, name: str, value: Any) -> str:
    """Return what to write where a setting is given to `fit`."""
    if not isinstance(search, Search) or name not in search.settings:
        return ""
    return f"It is a setting of the search: {type(search).__name__}({name}={value!r})"


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
    likelihood : {"auto", "trace", "jax", "blackbox"}
        How the log likelihood comes into a graph, where one is needed: see `to_pymc`. "jax" is for one in
        `jax.numpy`, which JAX then compiles for every search.
    progress : bool, optional
        True shows progress and False does not; by default there are bars where somebody looks on, and
        elsewhere lines of what takes longer than ten seconds.
    checkpoint_interval : float
        Seconds between two writes of what is known, for fits that go into a catalogue: a fit that is
        killed goes on from there, with the same draws.
    visualize_interval : float
        Seconds between two calls of the analysis' `visualize`, likewise.
    **settings
        The search's own settings; an unknown one is an error.
    """

    # Settings that do not change the answer, and so are not part of a fit's identity.
    _not_identity: ClassVar[tuple[str, ...]] = (
        "checkpoint_interval",
        "name",
        "number_of_cores",
        "progress",
        "random_seed",
        "unique_tag",
        "visualize_interval",
    )

    # Settings that were added later, with the values of before: a fit with these keeps its identity.
    _added_later: ClassVar[dict[str, Any]] = {}

    _kind: ClassVar[Kind] = "chains"

    name: str = ""
    unique_tag: str | None = None
    random_seed: int | np.random.Generator | None = None
    number_of_cores: int = 1
    likelihood: Literal["auto", "trace", "jax", "blackbox"] = "auto"
    progress: bool | None = None
    checkpoint_interval: float = 10.0
    visualize_interval: float = 30.0

    def __init__(self, name: str = "", **settings: Any) -> None:
        super().__init__(name=name, **settings)
        if isinstance(self.random_seed, np.random.Generator):
            self.random_seed = int(self.random_seed.integers(2**63))
        if self.random_seed is not None and self.random_seed < 0:
            raise SettingError(f"random_seed={self.random_seed} is below zero.")

    def _run(self, problem: Problem) -> Draws:
        """Draw from the posterior, or find what else the search finds."""
        raise NotImplementedError

    @overload
    def fit(
        self,
        model: FactorGraphModel,
        analysis: None = None,
        *,
        catalog: Catalog | str | Path | None = None,
        info: dict[str, Any] | None = None,
        on_change: OnChange = "error",
    ) -> GraphResult: ...

    @overload
    def fit(
        self,
        model: Node,
        analysis: Analysis | None = None,
        *,
        catalog: Catalog | str | Path | None = None,
        info: dict[str, Any] | None = None,
        on_change: OnChange = "error",
    ) -> Result: ...

    @checked_call(FIT, _of_settings)
    def fit(
        self,
        model: Node,
        analysis: Analysis | None = None,
        *,
        catalog: Catalog | str | Path | None = None,
        info: dict[str, Any] | None = None,
        on_change: OnChange = "error",
    ) -> Result:
        """Fit a model to an analysis, or read the fit from the catalogue if it is there.

        Parameters
        ----------
        model : Model, Collection or FactorGraphModel
        analysis : Analysis
            Of a graph of factors none: they have theirs.
        catalog : Catalog or path of a sqlite file, optional
            Where the fit is looked up and filed; without one it is in memory alone.
        info : dict, optional
            What else shall be stored with the fit, to find it by. A fit that is in the catalogue
            already keeps its notes, and these besides.
        on_change : {"error", "warn", "reuse", "rerun"}
            What to do if the catalogue has the fit, but the likelihood gives other values today, or a fit
            that its priors are made of (`Result.model`) has been run again with other draws. "warn"
            gives the fit with a warning, "reuse" does not look; "rerun" runs it again, as it does where the
            file is damaged, and the new run takes the place of the old one, whose file goes into quarantine.

        Returns
        -------
        Result
            Of a graph of factors a `GraphResult`.

        Raises
        ------
        ClassyError
            If the model, the data, the search or the catalogue cannot be used; before anything
            is computed or written.
        StaleFitError
            If the catalogue has the fit, but the likelihood gives other values today: its code was
            changed, or something that it takes from elsewhere than the analysis. Or if a fit that its
            priors are made of has been run again.
        """
        check_order("fit(model, analysis)", model, analysis)
        check_on_change(on_change)
        job = Job.of(self, model, analysis, info)
        report = Report(self.progress)
        if catalog is None:
            result = job.result(job.run(report))
        else:
            with opened(catalog) as store:
                result = fit_in(store, job, report, on_change)
        if not result.from_catalog:
            for notice in result.notices:
                report.say(f"Note: {notice}")
        return result

    def identifying_settings(self, plan: Plan) -> dict[str, Any]:
        """Return the settings that the answer depends on, with the parameters of a model by their names."""
        return {
            name: value.resolved(plan) if hasattr(value, "resolved") else value
            for name, value in self.settings.items()
            if name not in self._not_identity
            and not (name in self._added_later and value == self._added_later[name])
        }

    def _fit(
        self,
        plan: Plan,
        analysis: Analysis,
        identity: Identity,
        report: Report,
        folder: Path | None = None,
        *,
        reuse: Reuse | None = None,
    ) -> xr.DataTree:
        """Run the search, with what fits of other data have left, if that is of use."""
        run = partial(self._run_and_complete, plan, analysis, identity, report, folder)
        if reuse is not None:
            key = identity.hashes["model"], identity.hashes["search"], _numbers_of_priors(plan)
            with reuse.serving(plan, analysis, key) as reused:
                try:
                    return run(reused)
                except Exception as error:
                    if reused is None or reused.unused:
                        raise
                    reused.give_up(error)
        return run()

    def _run_and_complete(
        self,
        plan: Plan,
        analysis: Analysis,
        identity: Identity,
        report: Report,
        folder: Path | None = None,
        reused: Reused | None = None,
    ) -> xr.DataTree:
        """Run the search, and compute from its draws all that every fit has."""
        check_extras(plan, analysis)
        saved = saved_with(analysis, folder)
        seed = int(identity.key, 16) if self.random_seed is None else int(self.random_seed)  # type: ignore[arg-type]
        problem = Problem(
            plan,
            analysis,
            self.likelihood,
            seed,
            self.number_of_cores,
            report,
            folder,
            self.checkpoint_interval,
            self.visualize_interval,
            reused=reused,
        )
        # Threads of linear algebra add up in another order on another machine; and for a few parameters
        # they cost far more than they save.
        with problem, threadpool_limits(1, "blas"):
            found = self._run(problem)
            weighted = None if found.log_weights is None else _weighted(problem, found)
            draws = found if weighted is None else equal_draws(found, problem.rng(EQUAL_WEIGHTS))
            pointwise = pointwise_terms(problem, draws.vectors)
            draws = _complete(draws, problem, pointwise)
            counts = term_counts(problem, pointwise, draws.vectors[0, 0])
            each = factor_log_likelihoods(problem, draws.vectors, pointwise, counts)
        variables, faults = drawn_variables(plan, analysis, draws.vectors)
        groups, silent = predictive_groups(plan, analysis, draws.vectors, problem.rng(PREDICTIVE))
        notices = [*draws.notices, *problem.evaluate.notices, *_nan_notice(problem), *faults, *silent]
        if draws.attributes.get("objective") != "likelihood":
            notices += position_notices(plan, draws.vectors)
        notices += _flat_notice(draws) or _unused_notice(problem)
        notices += identity.changes(self, plan, analysis)
        notices += analysis.notices() if isinstance(analysis, JointAnalysis) else []
        afterword = analysis._afterword(draws.vectors.reshape(-1, plan.size))
        notices += afterword.notices
        assert draws.log_likelihood is not None
        tree = make_tree(
            variables,
            draws.log_likelihood,
            plan.log_prior(draws.vectors),
            free=plan.names,
            dims={**variable_dims(plan, analysis), **factor_dim(plan)},
            coords=coords_of(plan),
            stats=draws.stats if each is None else {**draws.stats, trees.FACTOR_LOG_LIKELIHOOD: each},
            pointwise=pointwise.terms,
            pointwise_step=pointwise.step,
            weighted=weighted,
            groups={**groups, **saved, **afterword.groups},
            attributes={
                "search": type(self).__name__,
                "kind": self._kind,
                "settings": identity.description["search"]["settings"],
                "name": self.name,
                "unique_tag": self.unique_tag,
                "random_seed": str(seed),
                "data_hash": identity.hashes["observed"],
                "log_evidence": draws.log_evidence,
                "log_evidence_error": draws.log_evidence_error,
                "seconds": report.seconds,
                "proof": _proof(problem),
                "no_pointwise": pointwise.reason,
                **({"data_hashes": identity.factor_hashes} if identity.factor_hashes else {}),
                **({"term_counts": list(counts.items())} if counts else {}),
                **({CHAINED: chained} if (chained := chained_numbers(plan)) else {}),
                PRIOR_VALUES: None if folder is None else problem.at_prior[1].tolist(),
                "versions": dict(_versions()),
                **draws.attributes,
                **afterword.attributes,
            },
        )
        forget_other_precision()
        return diagnose(tree, notices, [name for name, _ in plan.layout.assertions])


@cache
def _versions() -> tuple[tuple[str, str], ...]:
    """Return the versions of what a fit is computed with."""
    return tuple((name, version(name)) for name in ("classy_pm", "pymc", "pytensor", "numpy"))


def _complete(draws: Draws, problem: Problem, pointwise: Pointwise) -> Draws:
    """Compute the log likelihood of the draws where the search does not know it."""
    if draws.log_likelihood is None:
        values = log_likelihood_of(problem, draws.vectors, pointwise)
        draws = dataclasses.replace(draws, log_likelihood=values)
    assert draws.log_likelihood is not None
    problem.evaluate.onlooker.see(draws.vectors.reshape(-1, problem.plan.size), draws.log_likelihood.ravel())
    return draws


def _weighted(problem: Problem, draws: Draws) -> dict[str, np.ndarray]:
    """Return the draws with their weights, as the tree keeps them."""
    assert draws.log_weights is not None and draws.log_likelihood is not None
    own = {trees.LOG_WEIGHT, trees.LOG_LIKELIHOOD, trees.LOG_PRIOR, trees.FACTOR_LOG_LIKELIHOOD}
    taken = own.intersection(problem.plan.names)
    if taken:
        raise SearchError(
            f"A weighted draw has a {' and a '.join(sorted(taken))} of its own.",
            cure="Call the parameter otherwise.",
        )
    vectors = draws.vectors.reshape(-1, problem.plan.size)
    each = factor_log_likelihoods(problem, vectors)
    return {
        **({} if each is None else {trees.FACTOR_LOG_LIKELIHOOD: each}),
        **drawn_variables(problem.plan, problem.analysis, vectors)[0],
        trees.LOG_WEIGHT: normalised(draws.log_weights.ravel()),
        trees.LOG_LIKELIHOOD: draws.log_likelihood.ravel(),
        trees.LOG_PRIOR: problem.plan.log_prior(vectors),
    }


def _numbers_of_priors(plan: Plan) -> str:
    """Return the numbers of priors that are made of other fits: their identity is that of those."""
    return repr(sorted(chained_numbers(plan).items()))


def _proof(problem: Problem) -> dict[str, Any] | None:
    """Return what was compared of the likelihood's graph, where one was made."""
    proof = problem.symbolic.proof if "symbolic" in vars(problem) else None
    return None if proof is None else dataclasses.asdict(proof)


def _flat_notice(draws: Draws) -> list[str]:
    """Say that a likelihood tells nothing of the parameters."""
    assert draws.log_likelihood is not None
    if draws.log_likelihood.size < 2 or np.ptp(draws.log_likelihood) > FLAT:
        return []
    notice = (
        f"The log likelihood is {np.mean(draws.log_likelihood):.4g} at all draws, within {FLAT:g}: it tells "
        "nothing of the parameters. Does it use the instance, is it the logarithm, and are there data?"
    )
    return [notice]


def _unused_notice(problem: Problem) -> list[str]:
    """Say which parameters a traced likelihood does not use; those that others are drawn from need not be."""
    if "symbolic" not in vars(problem) or problem.plan.layout.assertions:
        return []
    unused = [
        f"`{problem.plan.names[number]}`"
        for number in problem.symbolic.unused
        if number not in problem.plan.parents
    ]
    if not unused:
        return []
    notice = (
        f"The log likelihood does not use {some_of(unused, NAMED, ' and ')}: what the fit says of "
        f"{'them' if len(unused) > 1 else 'it'} is the prior."
    )
    return [notice]


def _nan_notice(problem: Problem) -> list[str]:
    count = problem.log_likelihood.nan_count
    return [f"The log likelihood was NaN {count} times; those points count as impossible."] if count else []
