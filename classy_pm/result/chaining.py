"""A posterior as the priors of a next fit.

A parameter's prior becomes a normal distribution of its own; what hangs together stays together: links,
arithmetic, assertions and constants are those of the model that was fitted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from classy_pm.errors import Faults, ModelError
from classy_pm.model import (
    AbstractPrior,
    FactorGraphModel,
    GaussianPrior,
    HierarchicalFactor,
    OneFactor,
    PlateLayout,
)
from classy_pm.model.edit import rebuild
from classy_pm.model.layout import Layout
from classy_pm.result.samples import Samples

__all__ = ["centred_graph", "centred_model", "posterior_width"]

# A limit beyond this is none: it comes of inverting a distribution function numerically.
LARGEST_LIMIT = 1e300

# From a prior, the parameter's median and its error, to the standard deviation of the next prior.
Width = Callable[[AbstractPrior, np.ndarray, np.ndarray], np.ndarray]


def centred_model(layout: Layout, samples: Samples, width_of: Width) -> Any:
    """Return the model with normal priors, centred at the medians and within the old priors' limits.

    A parameter whose prior depends on other parameters keeps that prior: what the fit says of it is in the
    posterior of those.

    Parameters
    ----------
    layout : Layout
        Of the model that was fitted.
    samples : Samples
    width_of : callable
        Gives the standard deviations, from a prior and from the medians and errors of its numbers.

    Returns
    -------
    Model or Collection

    Raises
    ------
    ModelError
        If a parameter has no width; all of them are named.
    """
    centre = _Centre(samples, width_of)

    def new_prior(prior: AbstractPrior, arguments: dict[str, Any]) -> AbstractPrior:
        if any(True for _ in prior.inputs()):
            return prior.with_arguments(arguments)
        return centre.of(prior, np.arange(layout.size)[layout.slices[layout.position[prior]]])

    model = rebuild(layout.root, new_prior)
    centre.tell()
    return model


def centred_graph(graph: FactorGraphModel, layout: PlateLayout, samples: Samples, width_of: Width) -> Any:
    """Return a graph of factors with normal priors likewise.

    What the data sets share they share in the new graph, and what they draw from a parent they draw from it.

    Parameters
    ----------
    graph : FactorGraphModel
        That was fitted.
    layout : PlateLayout
        Of it.
    samples : Samples
    width_of : callable

    Returns
    -------
    FactorGraphModel

    Raises
    ------
    ModelError
        If a parameter has no width; all of them are named.
    """
    centre = _Centre(samples, width_of)
    made: dict[AbstractPrior, AbstractPrior] = {}

    def new_prior(prior: AbstractPrior, arguments: dict[str, Any]) -> AbstractPrior:
        made[prior] = _centred(prior, arguments)
        return made[prior]

    def _centred(prior: AbstractPrior, arguments: dict[str, Any]) -> AbstractPrior:
        if any(True for _ in prior.inputs()):
            return prior.with_arguments(arguments)
        # What is drawn from a parent has that prior alone.
        return centre.of(prior, OneFactor.places_of(layout, prior)) if prior in layout.standing else prior

    new = rebuild(graph, new_prior)
    # A parent without parameters is a prior like any other.
    drawn = [
        HierarchicalFactor.of(made[prior], centre.of(parent, OneFactor.places_of(layout, parent)))
        if not any(True for _ in parent.inputs())
        else factor
        for (prior, parent), factor in zip(layout.drawn.items(), new._parents, strict=True)
        if prior in made
    ]
    new._set_factors(new._factors, drawn)
    centre.tell()
    return new


class _Centre:
    """Makes normal priors of a posterior, and keeps what is wrong with it."""

    def __init__(self, samples: Samples, width_of: Width) -> None:
        self.names = samples.names
        self.medians = np.array(samples.median_pdf_vector)
        self.errors = np.max(samples.errors_at_sigma(1.0), axis=1, initial=-np.inf)
        self.width_of = width_of
        self.faults = Faults()

    def of(self, prior: AbstractPrior, places: np.ndarray) -> AbstractPrior:
        """Return the normal prior of a parameter whose numbers are at these places of the vector."""
        medians = self.medians[places]
        widths = np.asarray(self.width_of(prior, medians, self.errors[places]), dtype=float)
        if np.all((widths > 0.0) & np.isfinite(widths)):
            return _normal(prior, medians, widths)
        name = self.names[places[0]]
        self.faults.add(
            name.partition("[")[0] if prior.shape else name, "has no width: its draws do not differ"
        )
        return prior

    def tell(self) -> None:
        """Raise one error that tells of all parameters without a width."""
        self.faults.raise_as(
            ModelError,
            "This posterior cannot be the prior of another fit.",
            cure="Take the values as constants, result.instance, or a search that samples the posterior.",
        )


def posterior_width(prior: AbstractPrior, medians: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """Return the one sigma errors, or the configured width of the parameter where that is wider."""
    modifier = prior.width_modifier
    if modifier is None:
        return errors
    width = modifier.value * (np.abs(medians) if modifier.kind == "Relative" else np.ones_like(medians))
    return np.fmax(errors, width)


def _normal(prior: AbstractPrior, medians: np.ndarray, widths: np.ndarray) -> GaussianPrior:
    low, high = (
        limit if abs(limit) < LARGEST_LIMIT else np.copysign(np.inf, limit)
        for limit in prior.chained_limits or prior.limits
    )
    new = GaussianPrior(float(medians[0]), float(widths[0]), low, high)
    if prior.shape:  # each number of an array has a normal distribution of its own
        each: dict[str, Any] = {"mean": medians.reshape(prior.shape), "sigma": widths.reshape(prior.shape)}
        new = new.with_arguments({**new.arguments, **each})
        new.shape = prior.shape
    new.width_modifier, new.chained_limits = prior.width_modifier, prior.chained_limits
    return new
