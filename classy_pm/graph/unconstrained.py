"""From parameter values to the unconstrained scale on which a sampler moves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
from pytensor.compile.mode import Mode
from pytensor.graph.replace import graph_replace, vectorize_graph

from classy_pm.plan import Plan

__all__ = ["unconstraining"]


def unconstraining(
    pymc_model: pm.Model, plan: Plan, order: Sequence[str]
) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function that maps parameter values to the sampler's scale.

    Parameters
    ----------
    pymc_model : pymc.Model
    plan : Plan
    order : sequence of str
        The value variables, in the order that is wanted.

    Returns
    -------
    callable
        Takes parameter values in their own units, shape (number, plan.size), and gives points, shape
        (number, size).
    """
    inputs = {name: pymc_model[name].type() for name in plan.names}
    replacements = {pymc_model[name]: inputs[name] for name in plan.names}
    outputs = {}
    for name in plan.names:
        variable = pymc_model[name]
        transform = pymc_model.rvs_to_transforms[variable]
        value = inputs[name]
        if transform is not None:
            value = transform.forward(value, *variable.owner.inputs)
        outputs[pymc_model.rvs_to_values[variable].name] = value
    wanted = graph_replace([outputs[name] for name in order], replacements, strict=False)
    batched: dict[Any, Any] = {old: pt.tensor(shape=(None, *old.type.shape)) for old in inputs.values()}
    # Called a few times, so nothing is gained by compiling it.
    function = pytensor.function(
        list(batched.values()), vectorize_graph(wanted, batched), mode=Mode(linker="py", optimizer=None)
    )

    def points(vectors: np.ndarray) -> np.ndarray:
        parts = function(*(np.array(value, dtype=float) for value in plan.split(vectors)))
        return np.concatenate([part.reshape(len(vectors), -1) for part in parts], axis=-1)

    return points
