"""A posterior as the priors of a next fit.

A parameter's prior becomes a normal distribution of its own; what hangs together stays together: links,
arithmetic, assertions and constants are those of the model that was fitted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from classy_pm.errors import Faults, ModelError
from classy_pm.model import AbstractPrior, GaussianPrior
from classy_pm.model.edit import rebuild
from classy_pm.model.layout import Layout
from classy_pm.result.samples import Samples

__all__ = ["centred_model", "posterior_width"]

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
    medians = np.array(samples.median_pdf_vector)
    errors = np.max(samples.errors_at_sigma(1.0), axis=1, initial=-np.inf)
    faults = Faults()

    def new_prior(prior: AbstractPrior, arguments: dict[str, Any]) -> AbstractPrior:
        if any(True for _ in prior.inputs()):
            return prior.with_arguments(arguments)
        index = layout.position[prior]
        name, place = layout.parameters[index].name, layout.slices[index]
        widths = np.asarray(width_of(prior, medians[place], errors[place]), dtype=float)
        if not np.all((widths > 0.0) & np.isfinite(widths)):
            faults.add(name, "has no width: its draws do not differ")
            return prior
        return _normal(prior, medians[place], widths)

    model = rebuild(layout.root, new_prior)
    faults.raise_as(
        ModelError,
        "This posterior cannot be the prior of another fit.",
        cure="Take the values as constants, result.instance, or a search that samples the posterior.",
    )
    return model


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
