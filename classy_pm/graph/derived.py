"""What an analysis derives, as Deterministics: traced where that can be proved, else called."""

from __future__ import annotations

from typing import Any

import numpy as np
import pymc as pm
from pytensor.graph.replace import graph_replace

from classy_pm.errors import TraceError, some_of
from classy_pm.likelihood.blackbox import BlackBoxQuantity
from classy_pm.likelihood.derived import DerivedQuantities, told
from classy_pm.likelihood.joint import NAMED
from classy_pm.likelihood.joint_derived import JointQuantities
from classy_pm.likelihood.trace import prove, trace
from classy_pm.likelihood.warn import warn

__all__ = ["build_derived_quantities"]

# Draws from the prior at which a trace is compared, and in which it looks for a point of each branch.
PROOF_POINTS = 8
WITNESSES = 100


def build_derived_quantities(quantities: DerivedQuantities, variables: list[Any]) -> None:
    """Add a Deterministic for each quantity to the model on the context stack.

    Parameters
    ----------
    quantities : DerivedQuantities
    variables : list of TensorVariable
        The free parameters, in their order.
    """
    if isinstance(quantities, JointQuantities) and quantities.raised:
        name, error = next(iter(quantities.raised.items()))
        warn(
            f"`derived` of {some_of(quantities.raised, NAMED)} raises at all draws from the prior, and is "
            f"NaN. The first: {name}, {type(error).__name__}: {told(error)}",
            UserWarning,
        )
    for name in quantities.shapes:
        value = _traced(quantities, name, variables)
        if value is None:
            numbers = BlackBoxQuantity(quantities, name)(*variables)
            value = numbers.reshape(quantities.shapes[name])
        pm.Deterministic(name, value, dims=_dims(quantities, name))


def _dims(quantities: DerivedQuantities, name: str) -> tuple[str | None, ...] | None:
    """Return the dim along a plate, where there is one; axes of a quantity's own have no names here."""
    dims = quantities.dims.get(name)
    return None if dims is None else (dims[0], *(None for _ in dims[1:]))


def _traced(quantities: DerivedQuantities, name: str, variables: list[Any]) -> Any:
    """Return the graph of a quantity, or None if it cannot be traced exactly."""
    if quantities.shapes[name] or isinstance(quantities, JointQuantities):
        return None  # a trace is of one number
    plan, analysis = quantities.plan, quantities.analysis
    inputs = [variable.type() for variable in variables]
    points = [tuple(plan.split(draw)) for draw in plan.draws(WITNESSES, random_seed=0)]

    def plain(*values: Any) -> float:
        return float(quantities(np.concatenate([np.ravel(value) for value in values]))[name])

    try:
        traced = trace(
            lambda values: analysis.derived(plan.build(list(values)))[name], inputs, witnesses=points
        )
        if any(path.end != "value" for path in traced.paths):
            return None
        prove(traced, inputs, plain, points[:PROOF_POINTS])
    except TraceError:
        return None
    return graph_replace(traced.value, dict(zip(inputs, variables, strict=True)), strict=False)
