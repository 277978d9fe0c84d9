"""`to_pymc`: a plan and a likelihood become a PyMC model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from classy_pm.graph.centring import Centring
from classy_pm.graph.derived import build_derived_quantities
from classy_pm.graph.priors import build_prior
from classy_pm.likelihood import Analysis, check_analysis
from classy_pm.likelihood.calls import check_order, checked_call
from classy_pm.likelihood.expressions import build_expression
from classy_pm.likelihood.infinite import check_infinite
from classy_pm.likelihood.joint import analysis_of
from classy_pm.likelihood.joint_derived import derived_quantities
from classy_pm.likelihood.symbolic import LikelihoodKind, SymbolicLogLikelihood, make_symbolic
from classy_pm.model import Derived, Expression, Node
from classy_pm.plan import Plan, make_plan

__all__ = ["LIKELIHOOD_NAME", "build_model", "to_pymc"]

# The likelihood's name in the graph; a parameter of that name gets the better of it.
LIKELIHOOD_NAME = "likelihood"


@checked_call("Write to_pymc(model, analysis); likelihood= can be given besides, by name.")
def to_pymc(
    model: Node, analysis: Analysis | None = None, *, likelihood: LikelihoodKind = "auto"
) -> pm.Model:
    """Turn a model and an analysis into a PyMC model.

    Parameters
    ----------
    model : Model or Collection
        Free parameters become random variables named by their paths, derived parameters, and what the
        analysis derives, ``Deterministic`` nodes, and assertions ``Potential`` nodes.
    analysis : Analysis
        Its log likelihood becomes an observed variable where the trace can be taken apart into
        pointwise terms, else a ``Potential``.
    likelihood : {"auto", "trace", "jax", "blackbox"}
        "trace" raises where the likelihood cannot be traced. "jax" is for a likelihood in `jax.numpy`:
        JAX computes it with its gradient, in double precision, and it has no pointwise terms unless the
        analysis gives them. "auto" traces it, or takes "jax" where it meets `jax.numpy`; where neither
        can be, it warns and calls the likelihood as a black box, which has no gradient.

    Returns
    -------
    pymc.Model

    Raises
    ------
    ModelError
        If a parameter has no prior; all of them are named.
    DataError
        If the data hold NaN.
    TraceError
        With ``likelihood="trace"`` or ``"jax"``, if the likelihood cannot be traced.
    MissingPackageError
        With ``likelihood="jax"``, if JAX is not installed.

    Examples
    --------
    >>> pymc_model = to_pymc(model, analysis)  # doctest: +SKIP
    >>> pm.sample(model=pymc_model)  # doctest: +SKIP
    """
    check_order("to_pymc(model, analysis)", model, analysis)
    plan = make_plan(model)
    analysis = analysis_of(model, analysis, "to_pymc(model, analysis)")
    check_analysis(analysis)
    check_infinite(plan, analysis)
    pymc_model = build_model(plan, make_symbolic(plan, analysis, likelihood))
    quantities = derived_quantities(plan, analysis)
    if quantities.exist:
        with pymc_model:
            build_derived_quantities(quantities, [pymc_model[name] for name in plan.names])
    return pymc_model


def build_model(plan: Plan, symbolic: SymbolicLogLikelihood, centring: Centring | None = None) -> pm.Model:
    """Build the PyMC model of a plan and its log likelihood; by default as PyMC itself would centre it."""
    with pm.Model(coords=plan.layout.coords) as pymc_model:
        variables = build_parameters(plan, centring)
        build_derived(plan, variables)
        build_assertions(plan, variables)
        build_likelihood(plan, symbolic, variables)
    if plan.layout.assertions:
        # PyMC's own initial point, the middle of each prior, knows nothing of them.
        for variable, value in zip(variables, plan.split(plan.starting_point()), strict=True):
            pymc_model.set_initval(variable, value)
    return pymc_model


def build_parameters(plan: Plan, centring: Centring | None = None) -> list[Any]:
    """Add the free parameters, each after those that its prior depends on."""
    variables: list[Any] = []
    known: dict[Expression, Any] = {}
    for parameter in plan.parameters:
        arguments: dict[str, Any] = dict(parameter.prior.arguments)
        for name, value in parameter.prior.inputs():
            if value not in known:
                assert isinstance(value, Derived)
                known[value] = build_expression(plan, value, variables)
            arguments[name] = known[value]
        dims = plan.layout.dims_of(parameter.prior)
        transform = None if centring is None else centring.transform_of(parameter.name)
        variables.append(build_prior(parameter.name, parameter.prior, arguments, dims, transform))
        known[parameter.prior] = variables[-1]
    return variables


def build_derived(plan: Plan, variables: list[Any]) -> None:
    """Add the parameters that are computed from others."""
    for path, derived in plan.derived:
        value = build_expression(plan, derived, variables)
        dims = plan.layout.dims_of(derived)
        unnamed = (None,) * (value.type.ndim - len(dims))
        pm.Deterministic(".".join(path), value, dims=(*dims, *unnamed) if dims else None)


def build_assertions(plan: Plan, variables: list[Any]) -> None:
    """Add the assertions: zero where they hold, -inf elsewhere."""
    for name, assertion in plan.layout.assertions:
        pm.Potential(name, build_expression(plan, assertion, variables))


def build_likelihood(plan: Plan, symbolic: SymbolicLogLikelihood, variables: list[Any]) -> None:
    """Add the log likelihood: observed terms where there are any, so that PyMC can tell them apart."""
    name = LIKELIHOOD_NAME
    while name in pm.modelcontext(None).named_vars:
        name += "_"
    if symbolic.terms is None:
        pm.Potential(name, symbolic.value_at(variables))
        return
    (length,) = symbolic.terms.type.shape

    def logp(value: Any, *parameters: Any) -> Any:
        # PyMC hands over each parameter with an axis of length one, along the terms.
        shaped = zip(parameters, symbolic.inputs, strict=True)
        return symbolic.terms_at([pt.reshape(value, like.type.shape) for value, like in shaped])

    def random(*args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(
            "The likelihood says how probable the data are, not how to draw them: ask for the prior "
            f"predictive without it, with var_names={list(plan.names)}. With `simulate` in the analysis a "
            "fit has simulated data in its groups `prior_predictive` and `posterior_predictive`."
        )

    pm.CustomDist(
        name,
        *variables,
        logp=logp,
        random=random,
        signature=_signature(plan),
        observed=np.zeros(length),  # the data themselves are inside the terms
        shape=(length,),
    )


def _signature(plan: Plan) -> str:
    """Return how PyMC shall read the parameters: each array whole, for every single term."""
    arrays = [
        f"({','.join(f'p{place}_{axis}' for axis in range(len(item.shape)))})"
        for place, item in enumerate(plan.parameters)
    ]
    return f"{','.join(arrays)}->()"
