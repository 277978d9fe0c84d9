"""Priors as random variables of a PyMC model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pymc.distributions import transforms
from pymc.distributions.shape_utils import rv_size_is_none

from classy_pm.model import AbstractPrior, axes_of
from classy_pm.model.expressions import is_number

__all__ = ["build_prior"]


def build_prior(
    name: str,
    prior: AbstractPrior,
    arguments: dict[str, Any],
    dims: tuple[str, ...] = (),
    transform: Any = None,
) -> Any:
    """Add one parameter to the model on the context stack.

    Parameters
    ----------
    name : str
        The random variable's name.
    prior : AbstractPrior
    arguments : dict
        The prior's arguments: numbers, or variables of the graph for those that are parameters.
    dims : tuple of str
        The dims of its leading axes.
    transform : Transform, optional
        How a sampler sees it, instead of as PyMC has it.

    Returns
    -------
    TensorVariable
        The random variable.
    """
    assert prior.pymc_name is not None
    own = getattr(prior, "distribution", None)
    build: Any = own if hasattr(own, "dist") else _OURS.get(prior.pymc_name)
    if build is None:
        build = getattr(pm, prior.pymc_name)
    # A plain float that single precision can hold would become one.
    arguments = {key: np.float64(value) if is_number(value) else value for key, value in arguments.items()}
    size: dict[str, Any] = {"shape": prior.shape} if prior.shape else {}
    if dims:
        # PyMC wants a name for each axis.
        lengths = prior.shape[len(dims) :]
        own_axes = dict(zip(axes_of(name, len(lengths)), lengths, strict=True))
        for axis, length in own_axes.items():
            pm.modelcontext(None).add_coord(axis, length=length)
        size["dims"] = (*dims, *own_axes)
    given = prior.pymc_arguments(**arguments)
    if transform is None:
        return build(name, **given, **size)
    # What a transform uses PyMC wants to find among what the variable depends on.
    changed = next(key for key in ("sigma", "beta") if key in given)
    given[changed] = given[changed] * pt.ones_like(transform.share)
    return build(name, **given, **size, transform=transform, default_transform=None)


def _log_uniform(name: str, lower: Any, upper: Any, shape: Any = None, dims: Any = None) -> Any:
    """Add a log-uniform variable.

    The sampler sees it on the logistic scale of the logarithm, where its density is smooth. Written
    as the exponential of a uniform variable it would lose its arguments on the way to the log
    density, and the transform needs them.
    """
    return pm.CustomDist(
        name,
        lower,
        upper,
        logp=_log_uniform_logp,
        random=_log_uniform_random,
        support_point=_log_uniform_median,
        signature="(),()->()",
        shape=shape,
        dims=dims,
        class_name="LogUniform",
        transform=transforms.Chain([transforms.log, transforms.Interval(bounds_fn=_log_bounds)]),
    )


def _log_uniform_logp(value: Any, lower: Any, upper: Any) -> Any:
    inside = pt.and_(value >= lower, value <= upper)
    return pt.switch(inside, -pt.log(pt.abs(value)) - pt.log(pt.log(upper / lower)), -np.inf)


def _log_uniform_random(lower: Any, upper: Any, rng: np.random.Generator, size: Any = None) -> Any:
    return np.exp(rng.uniform(np.log(lower), np.log(upper), size=size))


def _log_uniform_median(rv: Any, size: Any, lower: Any, upper: Any) -> Any:
    median = pt.sqrt(lower * upper)
    return median if rv_size_is_none(size) else pt.full(size, median)


def _log_bounds(*inputs: Any) -> tuple[Any, Any]:
    lower, upper = inputs[-2:]
    return pt.log(lower), pt.log(upper)


# Distributions that PyMC does not have.
_OURS = {"LogUniform": _log_uniform}
