"""`Samples`: the draws of a fit, as vectors and as the user's objects."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import xarray as xr

from classy_pm.errors import ClassyError, ModelError, SettingError, UnknownNameError, did_you_mean
from classy_pm.model import Path, PlateLayout
from classy_pm.plan import Plan
from classy_pm.result import tree as trees
from classy_pm.result import weighted
from classy_pm.result.selection import selected_plan
from classy_pm.result.weighted import sigma_to_probability

__all__ = ["Samples"]

# What these are called elsewhere, so that who looks for them there finds them.
_CALLED_ELSEWHERE = {
    "median_pdf": "median_pdf_instance` or `median_pdf_vector",
    "values_at_upper_sigma": "vector_at_upper_sigma",
    "values_at_lower_sigma": "vector_at_lower_sigma",
    "draw_randomly_via_pdf": "instance_drawn_randomly",
    "samples_drawn_randomly_via_pdf_from": "drawn_randomly",
    "samples_above_weight_threshold_from": "samples_above_weight_threshold",
    "total_samples": "len(samples)",
}


class Samples:
    """The draws of a fit, with their weights, in the order of the model's paths.

    Chains follow each other. Of a nested search these are all of its draws, each with its weight; of an
    optimiser, its best point alone, so that there are no errors: they are NaN. Derived parameters, and what
    `Analysis.derived` returns, are in `Result.summary` and, draw by draw, in ``result.idata.posterior``.

    Parameters
    ----------
    tree : xarray.DataTree
    plan : Plan
        Makes instances of the draws.

    Examples
    --------
    >>> samples = result.samples  # doctest: +SKIP
    >>> dict(zip(samples.names, samples.errors_at_sigma(1.0)))  # doctest: +SKIP
    {'centre': (0.041, 0.043), 'sigma': (0.018, 0.019)}
    """

    def __init__(self, tree: xr.DataTree, plan: Plan) -> None:
        self._plan = plan
        self._names = plan.element_names
        self._no_instances = ""  # why none can be made
        self._drawn = trees.drawn_vectors(tree)
        self._attributes = trees.attributes_of(tree)

    def __len__(self) -> int:
        return len(self._drawn.vectors)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        names = [known for known in dir(type(self)) if not known.startswith("_")]
        here = _CALLED_ELSEWHERE.get(name)
        raise UnknownNameError(
            f"Samples have no `{name}`.",
            cure=f"It is called `{here}` here." if here else did_you_mean(name, names),
        )

    # -- each draw --------------------------------------------------------------------------------

    @property
    def names(self) -> list[str]:
        """The free parameters' names, in the order of the vectors; an element of an array each."""
        return list(self._names)

    @property
    def vectors(self) -> np.ndarray:
        """The draws as an array of shape (draws, parameters), not to be written to."""
        view = self._drawn.vectors.view()
        view.flags.writeable = False
        return view

    @property
    def parameter_lists(self) -> list[list[float]]:
        """The draws, each a list of the free parameters' values."""
        return self._drawn.vectors.tolist()

    @property
    def weight_list(self) -> list[float]:
        """The weight of each draw; they add up to one."""
        return self._weights.tolist()

    @property
    def log_likelihood_list(self) -> list[float]:
        """The log likelihood of each draw."""
        return self._drawn.log_likelihood.tolist()

    @property
    def log_prior_list(self) -> list[float]:
        """The normalised log prior density of each draw, in the parameters' own units."""
        return self._drawn.log_prior.tolist()

    @property
    def log_posterior_list(self) -> list[float]:
        """The sum of log likelihood and log prior of each draw."""
        return self._log_posterior.tolist()

    @property
    def _log_posterior(self) -> np.ndarray:
        return self._drawn.log_likelihood + self._drawn.log_prior

    @property
    def _weights(self) -> np.ndarray:
        weights = self._drawn.weights
        return np.full(len(self), 1.0 / len(self)) if weights is None else weights

    def instances(self) -> Iterator[Any]:
        """Yield the user's objects at each draw, one after the other."""
        for vector in self._drawn.vectors:
            yield self.instance_from(vector)

    def instance_from(self, vector: Any) -> Any:
        """Return the user's objects at a vector of the free parameters' values.

        Raises
        ------
        ModelError
            If an argument that a class must have is not among the parameters of these samples.
        """
        if self._no_instances:
            raise ModelError(
                f"No instance can be made of some of the parameters alone: {self._no_instances}",
                cure="Take vectors of these samples, and instances of those of the whole model.",
            )
        return self._plan.instance(np.asarray(vector, dtype=float))

    # -- the middle, and how far from it ----------------------------------------------------------

    @property
    def median_pdf_vector(self) -> list[float]:
        """The median of each parameter's marginal distribution."""
        return self._quantile(0.5)

    @property
    def median_pdf_instance(self) -> Any:
        """The user's objects with each parameter at its median."""
        return self.instance_from(self.median_pdf_vector)

    @property
    def mean_vector(self) -> list[float]:
        """The mean of each parameter."""
        return weighted.mean(self._drawn.vectors, self._drawn.weights).tolist()

    @property
    def standard_deviation_vector(self) -> list[float]:
        """The standard deviation of each parameter; NaN for a single point."""
        return weighted.standard_deviations(self._drawn.vectors, self._drawn.weights).tolist()

    @property
    def covariance_matrix(self) -> np.ndarray:
        """The covariance of the parameters, shape (parameters, parameters)."""
        return weighted.covariance(self._drawn.vectors, self._drawn.weights)

    def vector_at_upper_sigma(self, sigma: float) -> list[float]:
        """Return each parameter's upper limit of the central interval of so many sigma.

        Parameters
        ----------
        sigma : float
            ``sigma=1`` leaves 68.27% of the probability between the lower and the upper limit.
        """
        return self._limit(0.5 * (1.0 + _probability(sigma)))

    def vector_at_lower_sigma(self, sigma: float) -> list[float]:
        """Return each parameter's lower limit of the central interval of so many sigma."""
        return self._limit(0.5 * (1.0 - _probability(sigma)))

    def values_at_sigma(self, sigma: float) -> list[tuple[float, float]]:
        """Return the lower and upper limit of the interval of so many sigma, for each parameter."""
        limits = (self.vector_at_lower_sigma(sigma), self.vector_at_upper_sigma(sigma))
        return list(zip(*limits, strict=True))

    def errors_at_sigma(self, sigma: float) -> list[tuple[float, float]]:
        """Return how far the limits lie below and above the median, for each parameter."""
        rows = zip(self.median_pdf_vector, self.values_at_sigma(sigma), strict=True)
        return [(median - lower, upper - median) for median, (lower, upper) in rows]

    def _limit(self, probability: float) -> list[float]:
        return self._quantile(probability) if len(self) > 1 else [float("nan")] * len(self.names)

    def _quantile(self, probability: float) -> list[float]:
        return weighted.quantiles(self._drawn.vectors, [probability], self._drawn.weights)[0].tolist()

    # -- the best ---------------------------------------------------------------------------------

    @property
    def max_log_likelihood(self) -> float:
        """The greatest log likelihood of any draw."""
        return float(np.max(self._drawn.log_likelihood))

    @property
    def max_log_likelihood_vector(self) -> list[float]:
        """The draw with the greatest log likelihood."""
        return self._drawn.vectors[np.argmax(self._drawn.log_likelihood)].tolist()

    @property
    def max_log_likelihood_instance(self) -> Any:
        """The user's objects at the draw with the greatest log likelihood."""
        return self.instance_from(self.max_log_likelihood_vector)

    @property
    def max_log_posterior(self) -> float:
        """The greatest sum of log likelihood and log prior of any draw."""
        return float(np.max(self._log_posterior))

    @property
    def max_log_posterior_vector(self) -> list[float]:
        """The draw with the greatest posterior density, in the parameters' own units."""
        return self._drawn.vectors[np.argmax(self._log_posterior)].tolist()

    @property
    def max_log_posterior_instance(self) -> Any:
        """The user's objects at the draw with the greatest posterior density."""
        return self.instance_from(self.max_log_posterior_vector)

    @property
    def log_evidence(self) -> float | None:
        """The logarithm of the evidence, where the search integrates; None elsewhere."""
        return self._attributes.get("log_evidence")

    # -- fewer draws, or fewer parameters ---------------------------------------------------------

    def thinned(self, step: int) -> Samples:
        """Return every so-manieth draw of each chain; each keeps its own log likelihood.

        Parameters
        ----------
        step : int
            One draw of so many is kept.
        """
        _require_count("thinned", step, "One draw in `step` is kept: thinned(10).")
        chains = self._drawn.chains
        places = np.arange(len(self)).reshape(chains, -1)[:, ::step]
        return self._with(self._drawn.chosen(places.ravel(), chains))

    def samples_above_weight_threshold(self, weight_threshold: float) -> Samples:
        """Return the draws whose weight is above this; their weights then add up to one again."""
        places = np.flatnonzero(self._weights > weight_threshold)
        if not places.size:
            raise ClassyError(
                f"No draw has a weight above {weight_threshold}; the greatest is {self._weights.max():.3g}."
            )
        return self._with(self._drawn.chosen(places, self._drawn.chains if places.size == len(self) else 1))

    def drawn_randomly(self, number: int, *, random_seed: Any = None) -> Samples:
        """Return draws of equal weight, taken at random in proportion to the weights.

        Parameters
        ----------
        number : int
            How many; a draw can be taken more than once.
        random_seed : int or numpy.random.Generator, optional
            The same seed gives the same draws.
        """
        _require_count("drawn_randomly", number, "So many draws are taken: drawn_randomly(100).")
        rng = np.random.default_rng(random_seed)
        drawn = self._drawn.chosen(rng.choice(len(self), size=number, p=self._drawn.weights))
        return self._with(trees.DrawnVectors(drawn.vectors, drawn.log_likelihood, drawn.log_prior, None, 1))

    def instance_drawn_randomly(self, *, random_seed: Any = None) -> Any:
        """Return the user's objects at a draw taken at random in proportion to the weights.

        Parameters
        ----------
        random_seed : int or numpy.random.Generator, optional
            The same seed gives the same instance.
        """
        return next(self.drawn_randomly(1, random_seed=random_seed).instances())

    def with_paths(self, paths: Iterable[Path | str] | str) -> Samples:
        """Return the draws of the parameters at these paths, and below them, alone.

        Parameters
        ----------
        paths : iterable of tuple of str, or of dotted names
            As of `Model.with_paths`, whose instances these samples give; or a single dotted name.

        Returns
        -------
        Samples
            Log likelihoods, log priors and weights are still those of the whole model's draws. There are
            no instances where an argument that a class must have is left out.
        """
        return self._of_part(paths, kept=True)

    def without_paths(self, paths: Iterable[Path | str] | str) -> Samples:
        """Return the draws without the parameters at these paths, and below them; see `with_paths`."""
        return self._of_part(paths, kept=False)

    def _of_part(self, paths: Iterable[Path | str] | str, *, kept: bool) -> Samples:
        layout, drawn = self._plan.layout, self._drawn
        part, reason = selected_plan(layout.root, paths, kept=kept)
        places = np.concatenate(
            [np.arange(layout.size)[layout.slices[layout.position[p.prior]]] for p in part.parameters]
        )
        vectors = drawn.vectors[:, places]
        other = self._with(
            trees.DrawnVectors(vectors, drawn.log_likelihood, drawn.log_prior, drawn.weights, drawn.chains)
        )
        other._plan = part
        other._names = part.element_names
        if isinstance(layout, PlateLayout):
            other._names = tuple(self._names[place] for place in places)
            reason = "those of a graph are of the data sets; take result[name].samples.with_paths(...)."
        other._no_instances = self._no_instances or reason
        return other

    def _with(self, drawn: trees.DrawnVectors) -> Samples:
        other = copy.copy(self)
        other._drawn = drawn
        return other

    def __repr__(self) -> str:
        with_weights = "" if self._drawn.weights is None else "with weights "
        return f"Samples({len(self)} draws {with_weights}of {', '.join(self.names)})"


def _probability(sigma: Any) -> float:
    """Return the probability of the central interval of so many sigma, or refuse what is none."""
    if not isinstance(sigma, (int, float, np.number)) or not sigma >= 0:
        raise SettingError(
            f"sigma={sigma!r} is no width of an interval.", cure="Write a number that is not negative: 1.0."
        )
    return sigma_to_probability(float(sigma))


def _require_count(method: str, count: Any, cure: str) -> None:
    if isinstance(count, bool) or not isinstance(count, (int, np.integer)) or count < 1:
        raise SettingError(f"{method}({count!r}) keeps no draws.", cure=cure)
