"""Objects fitted again with a prior near the parent, so that their draws lie where the parent is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import qmc

from classy_pm.catalog import Catalog, StoredFit
from classy_pm.catalog.results import model_of
from classy_pm.errors import ClassyError, Faults, ModelError, SettingError
from classy_pm.likelihood import Analysis
from classy_pm.model import (
    AbstractPrior,
    AnalysisFactor,
    GammaPrior,
    GaussianPrior,
    LogGaussianPrior,
    LogUniformPrior,
    Stranger,
    StudentTPrior,
    UniformPrior,
)
from classy_pm.model.edit import rebuild
from classy_pm.plan import make_plan
from classy_pm.search import Search
from classy_pm.study.own_prior import SelectedPrior
from classy_pm.study.parents import Parent
from classy_pm.study.posteriors import REFIT, Posterior, posterior_of

__all__ = ["Refit", "near_parent", "refit_objects"]

#: What gives the data of a fit: a mapping from the objects' names, or a function of the fit, to its analysis,
#: or to an `AnalysisFactor` of its model and its analysis.
type Refit = Mapping[str, Analysis | AnalysisFactor] | Callable[[StoredFit], Analysis | AnalysisFactor]

# How much wider than the parent the prior of an object is that is fitted again.
BROADER = 2.0
# At how many draws of the hyperparameters the parent is looked at, and at how many points of each, as a power
# of two.
DRAWS, POINTS = 100, 8
CURE = (
    "Write fit(refit={'object_1': analysis, ...}), or a function that takes a stored fit and returns its "
    "analysis, or AnalysisFactor(model, analysis)."
)


def near_parent(parent: Parent, vectors: np.ndarray) -> dict[str, AbstractPrior]:
    """Return for each parameter a prior that is somewhat wider than its parent.

    Parameters
    ----------
    parent : Parent
    vectors : numpy.ndarray, shape (draws, hyperparameters)
        Draws of the hyperparameters.
    """
    places = np.unique(np.linspace(0, len(vectors) - 1, min(DRAWS, len(vectors))).astype(int))
    unit = qmc.Sobol(len(parent.paths), seed=0).random_base2(POINTS).T
    draws = parent.draws(vectors[places], unit)
    return {
        path: _broader(prior, draws[:, place][np.isfinite(draws[:, place])])
        for place, (path, prior) in enumerate(zip(parent.paths, parent.priors, strict=True))
    }


def _broader(prior: AbstractPrior, x: np.ndarray) -> AbstractPrior:
    low, high, middle, sd = (float(item) for item in (np.min(x), np.max(x), np.mean(x), np.std(x)))
    if isinstance(prior, (UniformPrior, LogUniformPrior)):
        reach = 0.5 * (BROADER - 1.0) * (high - low)
        if isinstance(prior, UniformPrior):
            return UniformPrior(low - reach, high + reach)
        return LogUniformPrior(low * (low / high) ** 0.5, high * (high / low) ** 0.5)
    if isinstance(prior, (LogGaussianPrior, GammaPrior)):
        logs = np.log(x[x > 0.0])
        return LogGaussianPrior(float(np.mean(logs)), BROADER * float(np.std(logs)))
    if isinstance(prior, StudentTPrior):
        lower, centre, upper = (float(item) for item in np.quantile(x, [0.16, 0.5, 0.84]))
        return StudentTPrior(3.0, centre, BROADER * 0.5 * (upper - lower))
    if isinstance(prior, GaussianPrior):
        ends = {"lower_limit": -np.inf, "upper_limit": np.inf}
        # A limit that is inferred itself is none here.
        limits = [
            known if isinstance(known := prior.arguments[name], float) else end for name, end in ends.items()
        ]
    else:  # families whose limits are the same for all arguments
        limits = [float(item) for item in prior._support(**dict.fromkeys(prior.arguments, 1.0))]
    return GaussianPrior(middle, BROADER * sd, *limits)


def refit_objects(
    found: Iterable[tuple[str, StoredFit]],
    numbers: Iterable[int],
    priors: Mapping[str, AbstractPrior],
    refit: Refit,
    search: Search,
    classes: Mapping[str, type],
    catalog: Catalog | str | Path | None,
) -> dict[str, Posterior]:
    """Fit some objects again with other priors, and return their posteriors by the identity of the filed fit.

    Parameters
    ----------
    found : iterable of (str, StoredFit)
        The objects, with their names.
    numbers : iterable of int
        Which of them.
    priors : mapping of str to prior
        By the parameters' paths.
    refit : mapping or callable
    search : Search
    classes : mapping of str to type
        What the filed models are made of.
    catalog : Catalog or path, optional
        Where these fits are filed.

    Raises
    ------
    ModelError
        If the data of some objects are missing, or their models cannot be made; before any is fitted.
    """
    faults = Faults()
    places = set(numbers)
    wanted = dict(item for place, item in enumerate(found) if place in places)
    ready: dict[str, tuple[StoredFit, Any, Analysis]] = {}
    for name, stored in wanted.items():
        try:
            model, analysis = _factor(stored, name, refit, classes)
            ready[name] = (stored, _with_priors(model, priors), analysis)
        except ClassyError as error:
            faults.add(name, error.message)
    faults.raise_as(ModelError, "Some objects cannot be fitted again.", cure=CURE)
    search = type(search)(**{**search.settings, "name": REFIT})
    posteriors = {}
    for name, (stored, model, analysis) in ready.items():
        result = search.fit(model, analysis, catalog=catalog, info={"object": name})
        prior = SelectedPrior(make_plan(model), priors)
        posteriors[stored.fit_key] = posterior_of(result.idata, prior, name)
    return posteriors


def _factor(stored: StoredFit, name: str, refit: Refit, classes: Mapping[str, type]) -> tuple[Any, Analysis]:
    if isinstance(refit, Mapping):
        if name not in refit:
            raise ModelError("its data were not handed over")
        given = refit[name]
    elif callable(refit):
        given = refit(stored)
    else:
        raise SettingError(f"refit={refit!r} gives no data.", cure=CURE)
    if isinstance(given, AnalysisFactor):
        return given.prior_model, given.analysis
    if not isinstance(given, Analysis):
        raise ModelError(f"{given!r} is no analysis")
    model = model_of(stored, classes)
    strangers = [
        f"`{'.'.join(path)}`"
        for path, cls in model._layout().components
        if isinstance(cls, type) and issubclass(cls, Stranger)
    ]
    if strangers:
        raise ModelError(
            f"the classes of {', '.join(strangers)} are not known; hand them over, aggregator.register(...), "
            "or return AnalysisFactor(model, analysis)"
        )
    return model, given


def _with_priors(model: Any, priors: Mapping[str, AbstractPrior]) -> Any:
    """Return a model with other priors of these parameters."""
    selected = SelectedPrior(make_plan(model), priors)
    new = {}
    for path, old in zip(selected.paths, selected.priors, strict=True):
        if old.shape:
            raise ModelError(f"`{path}` is an element of an array, which cannot have a prior of its own")
        new[old] = priors[path]
    return rebuild(
        model, lambda prior, arguments: new[prior].copy() if prior in new else prior.with_arguments(arguments)
    )
