"""Arithmetic on parameters, and assertions about them, as nodes of the graph.

The NumPy functions that a model recorded are traced, as a likelihood is: what NumPy does to numbers,
the graph does to random variables.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.graph.replace import graph_replace

from classy_pm.likelihood.trace import trace
from classy_pm.model import Assertion, Derived
from classy_pm.plan import Plan

__all__ = ["build_expression"]


def build_expression(plan: Plan, expression: Derived | Assertion, variables: Sequence[Any]) -> Any:
    """Return a derived parameter's variable; of an assertion, 0 where it holds and -inf elsewhere.

    Parameters
    ----------
    plan : Plan
    expression : Derived or Assertion
    variables : sequence of TensorVariable
        The free parameters in their order, at least those that the expression depends on.
    """
    inputs = [variable.type() for variable in variables]

    def evaluate(values: list[Any]) -> Any:
        value_of = plan.layout.evaluator(values)
        if isinstance(expression, Assertion):
            return np.where(np.all(expression.evaluate(value_of)), 0.0, -np.inf)
        return expression.evaluate(value_of)

    witness = plan.split(plan.draws(1, random_seed=0)[0])[: len(inputs)]
    shape = np.shape(evaluate(list(witness)))
    if not shape:
        value = trace(evaluate, inputs, witnesses=[tuple(witness)]).value
    else:
        # A trace is of one number. An array is the slope of its weighted sum by the weights.
        weights = pt.tensor(dtype="float64", shape=shape)
        traced = trace(
            lambda values: np.sum(evaluate(values[:-1]) * values[-1]),
            [*inputs, weights],
            witnesses=[(*witness, np.ones(shape))],
        )
        slope = pytensor.grad(traced.value, weights)
        value = graph_replace(slope, {weights: pt.ones(shape)}, strict=False)
    return graph_replace(value, dict(zip(inputs, variables, strict=True)), strict=False)
