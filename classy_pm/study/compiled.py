"""Functions of a parent in machine code, for draws that are read batch by batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt

from classy_pm.graph.native import NATIVE
from classy_pm.likelihood.trace import trace
from classy_pm.study.parents import Parent
from classy_pm.study.selection import JointSelection, Selection

__all__ = ["compile_density", "compile_share", "joint_share"]


def compile_density(
    parent: Parent, x: np.ndarray, draws: np.ndarray
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Compile the log density of batches of draws, and the slope of a weighted sum of them.

    Parameters
    ----------
    parent : Parent
    x : numpy.ndarray, shape (parameters, rows)
        A batch; all others have as many rows.
    draws : numpy.ndarray, shape (number, hyperparameters)
        At which the formulas are tried.

    Returns
    -------
    log_density, slope : callable
        Of the hyperparameters, the arrays of the parameters, and weights, shape (rows,); the log densities
        do not depend on these.
    """
    hyper = [pt.dscalar(name) for name in parent.plan.names]
    columns = [pt.tensor(dtype="float64", shape=(x.shape[1],)) for _ in x]
    weights = pt.tensor(dtype="float64", shape=(x.shape[1],))
    count = len(hyper)

    def total(values: list[Any]) -> Any:
        at: dict[Any, Any] = dict(
            zip((item.prior for item in parent.plan.parameters), values[:count], strict=True)
        )
        return np.sum(values[-1] * parent.log_density(at, values[count:-1]))

    inputs = [*hyper, *columns, weights]
    ones = np.ones(x.shape[1])
    traced = trace(total, inputs, witnesses=[(*draw, *x, ones) for draw in draws])
    density = pytensor.grad(traced.value, weights)  # of a weighted sum by the weights: the density itself
    slopes = pytensor.grad(traced.value, hyper, disconnected_inputs="ignore")
    return _compiled(inputs, density), _compiled(inputs, slopes)


def compile_share(parent: Parent, selection: Selection, draws: np.ndarray) -> Callable[..., Any]:
    """Compile the log of the share that is found, and its slope by each hyperparameter."""
    hyper = [pt.dscalar(name) for name in parent.plan.names]
    priors = [item.prior for item in parent.plan.parameters]
    traced = trace(
        lambda values: selection.log_share(dict(zip(priors, values, strict=True))),
        hyper,
        witnesses=[tuple(draw) for draw in draws],
    )
    slopes = pytensor.grad(traced.value, hyper, disconnected_inputs="ignore")
    return _compiled(hyper, [traced.value, *slopes])


def joint_share(parent: Parent, selection: JointSelection, draws: np.ndarray) -> Callable[..., Any]:
    """Return a function of the same for a selection that depends on several parameters at once."""
    first, _ = selection.drawn(parent.values_at(draws[0]), selection.unit)
    _, slope = compile_density(parent, first, draws[:2])

    def share(*vector: float) -> list[Any]:
        x, found = selection.drawn(parent.values_at(np.array(vector)), selection.unit)
        total = np.mean(found)
        if total == 0.0:
            return [-np.inf, *np.zeros(len(vector))]
        return [np.log(total), *slope(*vector, *x, found / (len(found) * total))]

    return share


def _compiled(inputs: list[Any], outputs: Any) -> Callable[..., Any]:
    with pytensor.config.change_flags(numba__fastmath=False):
        return pytensor.function(inputs, outputs, mode=NATIVE, on_unused_input="ignore")
