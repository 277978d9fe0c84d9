"""Filed fits as the posteriors of a population's objects: their draws, and their own prior density there."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
import xarray as xr

from classy_pm import search
from classy_pm.catalog import Aggregator, Catalog, StoredFit
from classy_pm.catalog.results import model_of
from classy_pm.errors import ClassyError, Faults, ModelError, UnknownNameError, did_you_mean
from classy_pm.plan import make_plan
from classy_pm.result import tree as trees
from classy_pm.study.own_prior import SelectedPrior, names_of

__all__ = [
    "BLOCKS",
    "REFIT",
    "Posterior",
    "Posteriors",
    "check_names",
    "objects",
    "posterior_of",
]

#: Into how many parts each object's draws are taken apart to see how far they determine the answer.
BLOCKS = 8
#: The name of fits that were made again for a population: no objects of their own.
REFIT = "population refit"
# Fewer draws than this say nothing.
LEAST = 2 * BLOCKS
# So many models are kept read: most objects have the same one.
KEPT = 64
# So many faults are told; of the rest, how many there are.
TOLD = 20
# Of draws with weights, those are left out that have less than this together.
NEGLIGIBLE = 1e-9


@dataclass(frozen=True)
class Posterior:
    """The posterior of one object.

    Attributes
    ----------
    name : str
    x : numpy.ndarray, shape (parameters, draws)
        The draws of the parameters; eight parts of equal length, one after the other, are as independent of
        each other as they can be.
    offset : numpy.ndarray, shape (draws,)
        The log of each draw's weight, which add up to one, less the log prior density of the fit there.
    efficiency : float
        How many independent draws each is worth, at most one.
    support : SelectedPrior, optional
        The fit's own prior.
    """

    name: str
    x: np.ndarray
    offset: np.ndarray
    efficiency: float = 1.0
    support: SelectedPrior | None = None


def posterior_of(tree: xr.DataTree, prior: SelectedPrior, name: str) -> Posterior:
    """Return the posterior in the tree of a fit.

    Raises
    ------
    ModelError
        If the draws are none of a posterior, are too few, or do not lie where the prior is.
    """
    kind = trees.attributes_of(tree).get("kind", "chains")
    if kind == "optimum":
        raise ModelError("is a single best point, and has no draws")
    if trees.parameter_names(tree) != list(prior.plan.names):
        raise ModelError("has a model with other parameters than its draws")
    drawn = trees.drawn_vectors(tree)
    vectors, weights = drawn.vectors, drawn.weights
    if weights is None:
        x = vectors[:, prior.columns].T
        return _of_chains(name, x.reshape(len(x), drawn.chains, -1), prior.log_density(vectors), prior)
    order = np.argsort(weights)
    least = order[np.cumsum(weights[order]) <= NEGLIGIBLE]
    kept = np.setdiff1d(np.arange(len(vectors)), least)
    # In the order of a nested search the draws rise towards the peak: deal them out.
    kept = np.concatenate([kept[start::BLOCKS] for start in range(BLOCKS)])
    vectors, log_weights = vectors[kept], np.log(weights[kept] / np.sum(weights[kept]))
    return _checked(name, vectors[:, prior.columns].T, log_weights, prior.log_density(vectors), 1.0, prior)


def posterior_of_chains(read: Callable[[str], np.ndarray], prior: SelectedPrior, name: str) -> Posterior:
    """Return the posterior of a fit by chains, whose prior depends on no other parameters.

    Parameters
    ----------
    read : callable
        Gives the draws of a variable by its name, shape (chain, draw, ...).
    """
    arrays = {variable: read(variable) for variable, _ in prior.places}
    x = np.array(
        [
            arrays[variable].reshape(*arrays[variable].shape[:2], -1)[..., number]
            for variable, number in prior.places
        ]
    )
    log_prior = sum(own.logpdf(column.ravel()) for own, column in zip(prior.priors, x, strict=True))
    return _of_chains(name, x, np.asarray(log_prior), prior)


def _of_chains(name: str, x: np.ndarray, log_prior: np.ndarray, prior: SelectedPrior) -> Posterior:
    """Return the posterior of draws in chains, shape (parameters, chains, draws)."""
    from arviz_stats.base import array_stats

    count = x[0].size
    efficiency = 1.0
    if x.shape[2] >= 4:  # else ArviZ cannot say
        with np.errstate(all="ignore"):
            worth = min(float(array_stats.ess(column, method="mean")) for column in x)
        efficiency = float(np.clip(np.nan_to_num(worth, nan=count) / count, 1.0 / count, 1.0))
    log_weights = np.full(count, -np.log(max(count, 1)))
    return _checked(name, x.reshape(len(x), -1), log_weights, log_prior, efficiency, prior)


def _checked(
    name: str,
    x: np.ndarray,
    log_weights: np.ndarray,
    log_prior: np.ndarray,
    efficiency: float,
    prior: SelectedPrior,
) -> Posterior:
    count = x.shape[1]
    if count < LEAST:
        raise ModelError(f"has {count} draws; at least {LEAST} are needed")
    if not np.all(np.isfinite(log_prior)):
        wrong = int(np.sum(~np.isfinite(log_prior)))
        raise ModelError(f"has {wrong} of {count} draws where its own prior density is zero")
    return Posterior(name, np.ascontiguousarray(x), log_weights - log_prior, efficiency, prior)


def _kind(stored: StoredFit) -> str | None:
    """Return what the draws of a fit are, by the search that found them; None if that is not known here."""
    found = getattr(search, stored.sampler, None)
    return found._kind if isinstance(found, type) and issubclass(found, search.Search) else None


@dataclass
class Posteriors:
    """The posteriors of a selection of fits, read one file at a time.

    Parameters
    ----------
    fits : iterable of StoredFit
        Such as an `Aggregator`.
    paths : tuple of str
        The parameters.
    instead : mapping of str to Posterior
        By the identity of the fit: what takes the place of the filed draws.
    only : collection of str, optional
        The identities of the fits that are objects; all by default.
    """

    fits: Iterable[StoredFit]
    paths: tuple[str, ...]
    instead: Mapping[str, Posterior] = field(default_factory=dict)
    only: Container[str] | None = None
    approximations: int = 0

    def __iter__(self) -> Iterator[Posterior]:
        """Yield them; faults of all fits are told at the end.

        Raises
        ------
        ModelError
            If some fits cannot be objects of the population; each is named.
        """
        faults, more = Faults(), 0
        data: dict[int, str] = {}
        priors: OrderedDict[str, SelectedPrior] = OrderedDict()
        self.approximations = 0
        for name, stored in objects(self.fits, self.only):
            try:
                self._check_data(stored, name, data)
                if stored.fit_key in self.instead:
                    yield self.instead[stored.fit_key]
                    continue
                prior = self._prior(stored, priors)
                kind = _kind(stored)
                if kind in ("chains", "ensemble") and prior.alone:
                    found = posterior_of_chains(stored.variable, prior, name)  # a tenth of the time
                else:
                    tree = stored.tree()
                    found = posterior_of(tree, prior, name)
                    kind = trees.attributes_of(tree).get("kind")
            except (ModelError, UnknownNameError) as error:
                lines = error.faults or (error.message,)
                for line in lines:
                    more += len(faults.lines) >= TOLD
                    if len(faults.lines) < TOLD:
                        faults.add(name, line)
                continue
            self.approximations += kind == "approximation"
            if not faults.lines:
                yield found
        if more:
            faults.lines.append(f"... and {more} more")
        faults.raise_as(
            ModelError,
            "Some of these fits cannot be objects of the population.",
            cure="Leave them out of the query, or fit them again.",
        )

    def _prior(self, stored: StoredFit, priors: OrderedDict[str, SelectedPrior]) -> SelectedPrior:
        key = stored.model_hash or stored.fit_key
        if key not in priors:
            try:
                plan = make_plan(model_of(stored, {}))
            except ClassyError as error:
                raise ModelError(f"its model cannot be read: {error.message}") from error
            priors[key] = SelectedPrior(plan, self.paths)
            if len(priors) > KEPT:
                priors.popitem(last=False)
        return priors[key]

    @staticmethod
    def _check_data(stored: StoredFit, name: str, data: dict[int, str]) -> None:
        """Refuse two fits of the same data: they would count as two objects."""
        if stored.data_hash:
            first = data.setdefault(int(stored.data_hash[:15], 16), name)
            if first is not name:
                raise ModelError(f"is a fit of the same data as {first}")


def objects(fits: Iterable[StoredFit], only: Container[str] | None = None) -> Iterator[tuple[str, StoredFit]]:
    """Yield the fits that are objects, each with what it is called.

    That is its tag, or its name, with its identity where that is taken already.

    Parameters
    ----------
    fits : iterable of StoredFit
    only : collection of str, optional
        The identities of those that are objects, where a catalogue may have got other fits since.
    """
    taken: set[str] = set()
    for stored in fits:
        if stored.name == REFIT or (only is not None and stored.fit_key not in only):
            continue
        name = stored.unique_tag or stored.name
        if not name or name in taken:
            name = f"{name}-{stored.fit_key[:12]}" if name else stored.fit_key[:12]
        taken.add(name)
        yield name, stored


def check_names(fits: Any, paths: Iterable[str]) -> None:
    """Refuse parameters that no fit has, without reading all of the fits.

    Parameters
    ----------
    fits : Aggregator, Catalog, or sequence of StoredFit
        A catalogue's index is asked for what the first fit does not have; of a sequence the models are read.
    paths : iterable of str

    Raises
    ------
    ModelError
        With all such names, and the nearest ones.
    """
    catalog = fits if isinstance(fits, Catalog) else getattr(fits, "catalog", None)
    if catalog is None:
        models = list({stored.model_hash or stored.fit_key: stored for stored in fits}.values())
    else:
        models = list(islice((stored for _, stored in objects(fits)), 1))
    known = set().union(*map(_names_of, models[:KEPT]))
    if not known or len(models) > KEPT:
        return
    missing = [path for path in paths if path not in known]
    if catalog is not None and missing:
        others = Aggregator(catalog)
        missing = [path for path in missing if not others.query(others.model[path].exists())]
    faults = Faults()
    for path in missing:
        faults.add(path, did_you_mean(path, sorted(known)))
    faults.raise_as(ModelError, "No fit has such a parameter.", cure="Write its path in the models.")


def _names_of(stored: StoredFit) -> set[str]:
    """Return the names of a fit's parameters; none where its model cannot be read."""
    try:
        return names_of(make_plan(model_of(stored, {})))
    except ClassyError:
        return set()
