"""`Population`: the parent distribution of objects whose fits are in a catalogue."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from classy_pm.catalog import Aggregator, Catalog, StoredFit
from classy_pm.errors import Faults, ModelError, SettingError, did_you_mean
from classy_pm.likelihood.analysis import Afterword
from classy_pm.likelihood.calls import checked_call
from classy_pm.likelihood.warn import warn
from classy_pm.model import AbstractPrior, Collection
from classy_pm.model.expressions import is_whole
from classy_pm.result import Result
from classy_pm.search import NUTS, Search
from classy_pm.search.stale import OnChange
from classy_pm.study.batches import Batches
from classy_pm.study.parents import read_parent
from classy_pm.study.posteriors import Posterior, Posteriors, check_names, objects
from classy_pm.study.refitting import Refit, near_parent, refit_objects
from classy_pm.study.selection import found_by_data, found_by_values, read_selection
from classy_pm.study.trust import GROUP, examine, objects_to_refit
from classy_pm.study.weighing import PopulationAnalysis, sums_of_logs

__all__ = ["Population"]

# Bytes of draws that are kept in memory, where the likelihood is faster.
MEMORY_LIMIT = 16 << 20
# At how many draws of the hyperparameters each object must be possible once.
TRIAL_POINTS = 50
NAMED = 5
CALL = (
    'Write Population(aggregator.query(...), "gaussian.centre", cpm.GaussianPrior(mean=cpm.UniformPrior(0.0, '
    "100.0), sigma=cpm.HalfGaussianPrior(10.0)))."
)
FIT = "Write population.fit(), or population.fit(NUTS(draws=2000), refit=analyses, catalog='fits.sqlite')."


class Population:
    """The distribution from which the parameters of many objects are drawn, inferred from their filed fits.

    No object is fitted again: each filed draw is weighed by the parent's density over the prior density that
    the object was fitted with, as it is recorded with the fit. How far the draws determine the answer is
    measured and told; objects that need others can be fitted again, see `fit`.

    Parameters
    ----------
    catalog_query : Aggregator, or iterable of StoredFit
        The fits, one an object. Each can have priors of its own; other parameters than those of the
        population keep their priors.
    parameters : str or sequence of str
        The paths of the objects' parameters that the population is of, such as ``"gaussian.centre"``.
    parent : prior, or mapping of str to prior
        What they are drawn from: a prior whose arguments are priors, which are inferred; of several
        parameters, one each. The same object in two of them is one hyperparameter, and an argument can be
        arithmetic on the parent of another parameter: a relation between the two. The parent is the
        parameter's only prior.
    selection : callable, or mapping of str to callable, optional
        The probability, 0 to 1, that the survey finds an object, as a function of its parameters' values, one
        array each in the order of `parameters`. In a mapping each function is of one parameter alone, and
        they are multiplied: this is more exact, and allows for probabilities that jump.
    selected_by : {"data", "values"}
        Whether the survey finds an object by its data, as nearly all do, or by the true values themselves. By
        data, the selection is the probability that an object with these true values has data that are found,
        noise included.
    memory_limit : int
        Bytes. Draws that need more are kept in a temporary file and read in batches, so that memory does not
        grow with their number.
    folder : path, optional
        Where that file is; by default where the system has its temporary files.

    Raises
    ------
    ModelError
        If the parent or the selection cannot be used, or no fit of the catalogue has such a parameter; by
        `fit`, if objects are where the selection is zero.

    Notes
    -----
    Hogg, Myers and Bovy (2010), Astrophysical Journal 725, 2166: the likelihood of the hyperparameters is the
    product over the objects of the mean ratio of the parent's density to the prior density. With a
    selection it is divided, for each object, by the share of the parent's objects that are found: Mandel,
    Farr and Gair (2019), MNRAS 486, 1086. Of objects that are found by their true values the selection is a
    factor of each ratio besides.

    Examples
    --------
    >>> aggregator = Aggregator.from_database("survey.sqlite")  # doctest: +SKIP
    >>> population = Population(
    ...     aggregator.query(aggregator.gaussian == Gaussian),
    ...     parameters="gaussian.centre",
    ...     parent=GaussianPrior(mean=UniformPrior(0.0, 100.0), sigma=HalfGaussianPrior(10.0)),
    ... )  # doctest: +SKIP
    >>> result = population.fit()  # doctest: +SKIP
    >>> result.idata["population"]["effective_draws"]  # doctest: +SKIP
    """

    @checked_call(CALL)
    def __init__(
        self,
        catalog_query: Aggregator | Iterable[StoredFit],
        parameters: str | Sequence[str],
        parent: AbstractPrior | Mapping[str, AbstractPrior],
        *,
        selection: Any = None,
        selected_by: Literal["data", "values"] = "data",
        memory_limit: int = MEMORY_LIMIT,
        folder: str | Path | None = None,
    ) -> None:
        if isinstance(catalog_query, StoredFit | str | Path) or not hasattr(catalog_query, "__iter__"):
            raise SettingError(f"{catalog_query!r:.100} is no selection of filed fits.", cure=CALL)
        known = isinstance(catalog_query, Aggregator | Catalog)
        self.fits: Any = catalog_query if known else tuple(catalog_query)
        if not known and not all(isinstance(item, StoredFit) for item in self.fits):
            raise SettingError("What is iterated over are not all filed fits.", cure=CALL)
        if not is_whole(memory_limit, 0):
            raise SettingError(f"memory_limit={memory_limit!r} is no number of bytes.")
        if selected_by not in ("data", "values"):
            raise SettingError(
                f"selected_by={selected_by!r} is not known.",
                cure=did_you_mean(str(selected_by), ["data", "values"]),
            )
        self.parent = read_parent(parameters, parent)
        check_names(self.fits, self.parent.paths)
        self.selection = read_selection(self.parent, selection)
        self.selected_by = selected_by
        self.memory_limit = memory_limit
        self.folder = folder

    def __repr__(self) -> str:
        fits = f"{len(self.fits)} fits" if isinstance(self.fits, tuple) else repr(self.fits)
        parents = ", ".join(f"{path} ~ {text}" for path, text in self.parent.shown.items())
        return f"<Population of {fits}: {parents}{', with a selection' if self.selection else ''}>"

    @property
    def model(self) -> Collection:
        """The model of the hyperparameters: each stands at the path of its parameter and its argument."""
        return self.parent.model

    @checked_call(FIT)
    def fit(
        self,
        search: Search | None = None,
        *,
        refit: Refit | None = None,
        refit_search: Search | None = None,
        rounds: int = 3,
        catalog: Catalog | str | Path | None = None,
        info: dict[str, Any] | None = None,
        on_change: OnChange = "error",
    ) -> Result:
        """Infer the hyperparameters.

        Parameters
        ----------
        search : Search, optional
            ``NUTS()`` by default.
        refit : mapping or callable, optional
            Where the draws of some objects do not determine the answer, these are fitted again with a prior
            near the parent. Their data are not in a catalogue: a mapping from the objects' names (their fits'
            ``unique_tag``, or else name), or a function of the stored fit, gives the analysis, if the query
            knows the classes of the models, or ``AnalysisFactor(model, analysis)``.
        refit_search : Search, optional
            What fits the objects again, ``NUTS()`` by default.
        rounds : int
            How often, at most: each finds the parent anew.
        catalog : Catalog or path of a sqlite file, optional
            Where the fit, and those of objects that are fitted again, are looked up and filed.
        info : dict, optional
            What else shall be stored with the fit.
        on_change : {"error", "warn", "reuse", "rerun"}
            As for every search.

        Returns
        -------
        Result
            Of the hyperparameters. In ``result.idata["population"]`` are, for each object, the number of
            draws, the number of effective draws, and its share in the squared error that comes of their
            being too few; ``result.attributes["population"]`` has that error.

        Raises
        ------
        ModelError
            If some fits cannot be objects of the population: all are named, with the reasons.

        Warns
        -----
        UserWarning
            If the draws of the objects do not determine the answer.
        """
        search = NUTS() if search is None else search
        refit_search = NUTS() if refit_search is None else refit_search
        _check(search, refit_search, refit, rounds)
        instead: dict[str, Posterior] = {}
        # The fits of later rounds may be filed where the query looks.
        only = None if refit is None else {stored.fit_key for _, stored in objects(self.fits)}
        for left in range(rounds if refit is not None else 0, -1, -1):
            analysis = self._analysis(instead, only)
            try:
                result = search.fit(self.model, analysis, catalog=catalog, info=info, on_change=on_change)
            finally:
                analysis.batches.close()
            told = result.attributes.get("population", {})
            if not left or told.get("determined", True):
                break
            share = np.asarray(result.idata[GROUP].to_dataset()["share_of_error"].values)
            assert refit is not None
            instead |= refit_objects(
                objects(self.fits, only),
                objects_to_refit(share, max(told["off"].values())).tolist(),
                near_parent(self.parent, result.samples.vectors),
                refit,
                refit_search,
                getattr(self.fits, "classes", {}),
                catalog,
            )
        for text in told.get("warnings", []):
            warn(text, UserWarning)
        return result

    def _analysis(
        self, instead: Mapping[str, Posterior], only: Container[str] | None = None
    ) -> PopulationAnalysis:
        """Read the fits' draws."""
        posteriors = Posteriors(self.fits, self.parent.paths, instead, only)
        found: Iterable[Posterior] = posteriors
        if self.selection is not None:
            weigh = found_by_data if self.selected_by == "data" else found_by_values
            found = weigh(posteriors, self.selection)
        batches = Batches.of(found, len(self.parent.paths), self.memory_limit, self.folder)
        notices = []
        if posteriors.approximations:
            notices.append(
                f"{posteriors.approximations} of {len(batches)} fits are approximations: what is wrong with "
                "them is wrong here."
            )
        if instead:
            notices.append(f"{len(instead)} of {len(batches)} objects were fitted again near the parent.")

        def examined(analysis: PopulationAnalysis, vectors: np.ndarray) -> Afterword:
            return examine(analysis, vectors, notices)

        analysis = PopulationAnalysis(self.parent, batches, self.selection, examined)
        _check_possible(analysis)
        return analysis


def _check(search: Any, refit_search: Any, refit: Any, rounds: Any) -> None:
    faults = Faults()
    for name, value in (("search", search), ("refit_search", refit_search)):
        if not isinstance(value, Search):
            faults.add(name, f"{value!r} is no search")
    if refit is not None and not isinstance(refit, Mapping) and not callable(refit):
        faults.add("refit", f"{refit!r} gives no analysis: a mapping or a function does")
    if not is_whole(rounds, 1):
        faults.add("rounds", f"{rounds!r} is no positive integer")
    faults.raise_as(SettingError, "The population cannot be fitted like this.", cure=FIT)


def _check_possible(analysis: PopulationAnalysis) -> None:
    """Refuse objects that the parent cannot have, whatever the hyperparameters.

    Raises
    ------
    ModelError
        With their names.
    """
    parent, batches = analysis.parent, analysis.batches
    possible = np.zeros(len(batches), dtype=bool)
    for vector in parent.plan.draws(TRIAL_POINTS, random_seed=0):
        values = parent.values_at(vector)
        for batch in batches:
            terms = sums_of_logs(analysis.log_weights(values, batch), batch.starts)
            possible[batch.objects] |= terms > -np.inf
        if np.all(possible):
            return
    wrong = np.flatnonzero(~possible)
    faults = [f"{batches.names[place]}: the parent's density is zero at all of its draws" for place in wrong]
    more = [f"... and {len(wrong) - NAMED} more"] if len(wrong) > NAMED else []
    raise ModelError(
        f"{len(wrong)} of {len(batches)} objects are impossible at all of {TRIAL_POINTS} draws of the "
        "hyperparameters.",
        [*faults[:NAMED], *more],
        cure="Widen the parent's limits or the hyperparameters' priors, or leave these objects out.",
    )
