"""Priors as random variables of a PyMC model."""

from __future__ import annotations

from typing import Any

import pymc as pm
import pytensor.tensor as pt
from pymc.distributions import transforms

from classy_pm.model import AbstractPrior

__all__ = ["build_prior"]


def build_prior(name: str, prior: AbstractPrior, arguments: dict[str, Any]) -> Any:
    """Add one parameter to the model on the context stack.

    Parameters
    ----------
    name : str
        The random variable's name.
    prior : AbstractPrior
    arguments : dict
        The prior's arguments: numbers, or variables of the graph for those that are parameters.

    Returns
    -------
    TensorVariable
        The random variable.
    """
    assert prior.pymc_name is not None
    build = _OURS.get(prior.pymc_name) or getattr(pm, prior.pymc_name)
    return build(name, **prior.pymc_arguments(**arguments))


def _log_uniform(name: str, lower: Any, upper: Any) -> Any:
    """Add a log-uniform variable: the exponential of a uniform one.

    The sampler sees it on the logistic scale of the logarithm, where its density is smooth.
    """

    def dist(lower: Any, upper: Any, size: Any) -> Any:
        return pt.exp(pm.Uniform.dist(pt.log(lower), pt.log(upper), size=size))

    transform = transforms.Chain([transforms.log, transforms.Interval(_log_bounds)])
    return pm.CustomDist(name, lower, upper, dist=dist, class_name="LogUniform", transform=transform)


def _log_bounds(*inputs: Any) -> tuple[Any, Any]:
    lower, upper = inputs[-2:]
    return pt.log(lower), pt.log(upper)


# Distributions that PyMC does not have.
_OURS = {"LogUniform": _log_uniform}
