"""The log likelihood of each data set of a graph of factors at the draws of a fit."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from classy_pm.likelihood.evaluate import in_double_precision
from classy_pm.likelihood.joint import JointAnalysis
from classy_pm.model import PlateLayout
from classy_pm.plan import Plan
from classy_pm.result import tree as trees
from classy_pm.search.pointwise import Pointwise
from classy_pm.search.problem import Problem

if TYPE_CHECKING:
    from classy_pm.likelihood.symbolic import SymbolicLogLikelihood

__all__ = ["coords_of", "factor_dim", "factor_log_likelihoods", "function_of_each", "term_counts"]

# How often the data sets of a graph are looked at one by one: by the users' functions, or by the graph.
UNTRACED_CALLS, TRACED_CALLS = 400, 2048


def factor_dim(plan: Plan) -> dict[str, list[str]]:
    """Return the dim of what there is of each data set, if they are many, by the variable's name."""
    layout = plan.layout
    return {trees.FACTOR_LOG_LIKELIHOOD: [layout.factor_dim]} if isinstance(layout, PlateLayout) else {}


def coords_of(plan: Plan) -> dict[str, list[str]]:
    """Return the coordinates of all dims of a fit's tree that have names."""
    layout = plan.layout
    if not isinstance(layout, PlateLayout):
        return layout.coords
    return {**layout.coords, layout.factor_dim: list(layout.models)}


def term_counts(problem: Problem, pointwise: Pointwise, vector: np.ndarray) -> dict[str, int]:
    """Return how many of the pointwise terms each data set has, in the order of the terms.

    Parameters
    ----------
    problem : Problem
    pointwise : Pointwise
    vector : numpy.ndarray, shape (size,)
        A draw of the fit.

    Returns
    -------
    dict of str to int
        Empty where the fit is of no graph, or has no terms.
    """
    joint = problem.analysis
    if pointwise.terms is None or not isinstance(joint, JointAnalysis):
        return {}
    if not pointwise.traced:
        with np.errstate(all="ignore"), in_double_precision():
            terms = joint.pointwise_of_each(problem.plan.instance(vector))
        return {name: len(part) for name, part in terms.items()}
    return {} if problem.symbolic.plates is None else problem.symbolic.plates.term_counts


def factor_log_likelihoods(
    problem: Problem,
    vectors: np.ndarray,
    pointwise: Pointwise | None = None,
    counts: dict[str, int] | None = None,
) -> np.ndarray | None:
    """Return the log likelihood of each data set: of the graph where it was traced, else of its function.

    Parameters
    ----------
    problem : Problem
    vectors : numpy.ndarray, shape (..., size)
    pointwise : Pointwise, optional
        The terms at these vectors.
    counts : dict of str to int, optional
        How many of them each data set has.

    Returns
    -------
    numpy.ndarray, shape (..., factors), or None
        None where the fit is of no graph of factors; -inf where a data set is impossible.
    """
    joint = problem.analysis
    if not isinstance(joint, JointAnalysis):
        return None
    symbolic = problem.symbolic if "symbolic" in vars(problem) else None
    with problem.report.stage("computing the log likelihood of each data set"):
        if counts and pointwise is not None and pointwise.terms is not None and pointwise.step == 1:
            ends = itertools.pairwise(np.cumsum([0, *counts.values()]))
            sums = [pointwise.terms[..., start:end].sum(axis=-1) for start, end in ends]
            names, values = tuple(counts), np.stack(sums, axis=-1)
        elif symbolic is not None and symbolic.plates is not None:
            names, values = _by_graph(problem, symbolic, vectors)
        else:
            names, values = tuple(joint.analyses), _plainly(problem, joint, vectors)
    place = {name: number for number, name in enumerate(names)}
    values = values[..., [place[name] for name in joint.analyses]]
    return np.where(np.isnan(values), -np.inf, values)


def function_of_each(
    problem: Problem, most: int | None = None
) -> tuple[Callable[[np.ndarray], np.ndarray], np.ndarray, int]:
    """Return what gives the log likelihoods of a graph's data sets at a vector, and how often to ask it.

    By the graph of all where there is one, else by the users' functions one after the other.

    Parameters
    ----------
    problem : Problem
    most : int, optional
        How many data sets are looked at, at regular distances; by default all.

    Returns
    -------
    function : callable
    places : numpy.ndarray of int
        Which data sets these are, counted plate by plate.
    calls : int
    """
    layout, joint = problem.plan.layout, problem.analysis
    assert isinstance(joint, JointAnalysis) and isinstance(layout, PlateLayout)
    order = layout.names_by_plate
    chosen = np.arange(0, len(order), 1 if most is None else -(-len(order) // most))
    plates = problem.symbolic.plates if "symbolic" in vars(problem) else None
    position = {name: place for place, name in enumerate(order)}
    if plates is not None and problem.symbolic.kind == "jax":
        each_at = _by_jax(problem.symbolic)
        picked = np.argsort([position[name] for name in plates.factors])[chosen]
        return lambda vector: each_at(vector)[picked], chosen, TRACED_CALLS
    if plates is None:
        names = [order[place] for place in chosen]
        return lambda vector: joint.each(problem.plan.instance(vector), names), chosen, UNTRACED_CALLS
    import pytensor.tensor as pt

    of_factors = np.array([position[name] for name in plates.factors])
    parts, start = [], 0
    for subset in plates.subsets:
        here = of_factors[start : start + len(subset.places)]
        members = np.flatnonzero(np.isin(here, chosen))
        if len(members):
            parts.append((subset.of(pt.constant(members)), here[members]))
        start += len(here)
    function = _function_of(problem.symbolic.inputs, pt.concatenate([part for part, _ in parts]))
    found = np.argsort(np.concatenate([where for _, where in parts]))
    return lambda vector: function(*problem.plan.split(vector))[found], chosen, TRACED_CALLS


def _by_jax(symbolic: SymbolicLogLikelihood) -> Callable[[np.ndarray], np.ndarray]:
    """Return what JAX has compiled for the log likelihoods of all data sets at a vector."""
    from classy_pm.likelihood.jax_joint import JaxJointLogLikelihood

    assert isinstance(symbolic.plain, JaxJointLogLikelihood)
    return symbolic.plain.each_at


def _function_of(inputs: Sequence[Any], values: Any) -> Callable[..., np.ndarray]:
    """Return a function that is called some thousand times: compiled, where it is slow otherwise."""
    import pytensor

    from classy_pm.graph.native import NATIVE
    from classy_pm.likelihood.trace.proof import quick_function

    if not _has_matrices(inputs, values):
        return quick_function(inputs, values)
    with pytensor.config.change_flags(numba__fastmath=False):
        return pytensor.function(list(inputs), values, mode=NATIVE, on_unused_input="ignore")


def _has_matrices(inputs: Sequence[Any], values: Any) -> bool:
    """Whether a graph has small matrices of many data sets: loops in Python if it is not compiled."""
    from pytensor.graph.traversal import io_toposort
    from pytensor.tensor.blockwise import Blockwise

    return any(isinstance(node.op, Blockwise) for node in io_toposort(inputs, [values]))


def _by_graph(
    problem: Problem, symbolic: SymbolicLogLikelihood, vectors: np.ndarray
) -> tuple[tuple[str, ...], np.ndarray]:
    """Return the names of the data sets and their log likelihoods by the graph."""
    from classy_pm.likelihood.batched import output_function

    assert symbolic.plates is not None
    if symbolic.kind == "jax":
        each_at = _by_jax(symbolic)
        found = np.array([each_at(vector) for vector in vectors.reshape(-1, vectors.shape[-1])])
        return symbolic.plates.factors, found.reshape(*vectors.shape[:-1], -1)
    if not _has_matrices(symbolic.inputs, symbolic.plates.each):
        return symbolic.plates.factors, output_function(symbolic, symbolic.plates.each)(vectors)
    layout = problem.plan.layout
    assert isinstance(layout, PlateLayout)
    function, _, _ = function_of_each(problem)
    values = np.array([function(vector) for vector in vectors.reshape(-1, vectors.shape[-1])])
    return layout.names_by_plate, values.reshape(*vectors.shape[:-1], -1)


def _plainly(problem: Problem, joint: JointAnalysis, vectors: np.ndarray) -> np.ndarray:
    flat = vectors.reshape(-1, vectors.shape[-1])
    with np.errstate(all="ignore"), in_double_precision():
        values = np.array([joint.each(problem.plan.instance(vector)) for vector in flat])
    return values.reshape(*vectors.shape[:-1], -1)
