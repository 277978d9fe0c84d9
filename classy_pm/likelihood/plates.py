"""The log likelihood of a graph of factors as one graph whose size does not grow with their number.

The likelihood of one factor is traced with its data as inputs, and the graph is then spread over all factors
of the plate. Data sets whose arrays have other shapes, or whose settings (texts, integers, booleans) differ,
are batches of their own.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.replace import graph_replace, vectorize_graph

from classy_pm.errors import TraceError
from classy_pm.likelihood.analysis import Analysis
from classy_pm.likelihood.expressions import build_expression
from classy_pm.likelihood.joint import JointAnalysis, or_impossible
from classy_pm.likelihood.plate_trace import PlateTrace, Subset
from classy_pm.likelihood.trace import Proof, Trace, prove, trace
from classy_pm.likelihood.trace.proof import quick_function
from classy_pm.model import Derived, Expression, PlateLayout
from classy_pm.model.plates import Plate
from classy_pm.plan import Plan

__all__ = ["trace_plates"]

# In how many draws from the prior a trace looks for a valid point of each branch, and at how many of them the
# graph is compared with the function factor by factor.
WITNESSES = 200
COMPARED = 3
PROOF_POINTS = 8
# How well, relatively.
TOLERANCE = 1e-8


@dataclass(frozen=True)
class Batch:
    """Factors of a plate whose data are of one form.

    Attributes
    ----------
    places : numpy.ndarray of int
        Where along the plate they are.
    analyses : list of Analysis
    data : dict of str to numpy.ndarray, shape (factors, ...)
        What differs between them, by path.
    """

    places: np.ndarray
    analyses: list[Analysis]
    data: dict[str, np.ndarray]


def trace_plates(plan: Plan, joint: JointAnalysis, inputs: Sequence[Any]) -> tuple[PlateTrace, Proof]:
    """Trace the likelihoods of a graph's factors, plate by plate, and prove the trace.

    Value and gradient are proved for one data set in the middle of each batch, as those of a fit of one data
    set are; the values of all data sets are then compared with their functions.

    Parameters
    ----------
    plan : Plan
        Of a graph of factors.
    joint : JointAnalysis
    inputs : sequence of TensorVariable
        One a parameter, arrays along plates among them.

    Returns
    -------
    trace : PlateTrace
        Of the sum over all factors, with the terms of all where all have them.
    proof : Proof

    Raises
    ------
    TraceError
        If a likelihood cannot be traced, or if the graph differs from the function of a factor.
    """
    layout = plan.layout
    assert isinstance(layout, PlateLayout)
    draws = [plan.split(draw) for draw in plan.draws(WITNESSES, random_seed=0)]
    names: list[str] = []
    counts: dict[str, int] = {}
    proofs: list[Proof] = []
    values, terms, reasons, subsets = [], [], [], []
    for plate in layout.plates:
        columns = [_variable(plan, column, inputs) for column in plate.columns]
        taken = [layout.columns_of(plate, layout.evaluator(draw)) for draw in draws]
        for batch in _batches(plate, joint):
            one = _trace_one(plate, batch, columns, taken)
            proofs.append(_prove_one(batch, one))
            value, term, reason = _spread(plate, batch, columns, one)
            of_batch = [plate.names[place] for place in batch.places]
            names += of_batch
            if term is not None:
                (numbers,) = term.type.shape
                counts |= dict.fromkeys(of_batch, numbers // len(of_batch))
            values.append(value)
            terms.append(term)
            reasons += [reason] if term is None else []
            subsets.append(Subset(plate.dim, batch.places, _of_some(batch, columns, one)))
    each = pt.concatenate(values)
    _compare(plan, joint, names, quick_function(inputs, each), draws[:COMPARED])
    length = 0 if reasons else sum(term.type.shape[0] for term in terms)
    found = PlateTrace(
        value=pt.sum(each),
        terms=None if reasons else pt.specify_shape(pt.concatenate(terms), (length,)),
        terms_reason=reasons[0] if reasons else None,
        paths=(),
        conditions=(),
        each=each,
        subsets=tuple(subsets),
        factors=tuple(names),
        term_counts={} if reasons else counts,
    )
    return found, Proof(
        points=sum(proof.points for proof in proofs) + COMPARED,
        worst_error=max(proof.worst_error for proof in proofs),
        gradient_points=sum(proof.gradient_points for proof in proofs),
        worst_gradient_error=max(proof.worst_gradient_error for proof in proofs),
        branches_reached=max(proof.branches_reached for proof in proofs),
        branches=max(proof.branches for proof in proofs),
    )


def _variable(plan: Plan, column: Any, inputs: Sequence[Any]) -> Any:
    """Return the variable of what stands in a slot of all factors."""
    if not isinstance(column, Expression):
        return pt.constant(column)
    places = plan.layout.position
    if column in places:
        return inputs[places[column]]
    assert isinstance(column, Derived)
    return build_expression(plan, column, inputs)


def _batches(plate: Plate, joint: JointAnalysis) -> Iterator[Batch]:
    """Yield the factors of a plate by the form of their data."""
    kinds: dict[Any, list[int]] = {}
    found = []
    for place, name in enumerate(plate.names):
        analysis = joint.analyses[name]
        numbers: dict[str, Any] = {}
        form = _form(analysis, "", numbers)
        kinds.setdefault(form, []).append(place)
        found.append((analysis, numbers))
    for places in kinds.values():
        analyses = [found[place][0] for place in places]
        data = {}
        for path in found[places[0]][1]:
            stacked = np.stack([np.asarray(found[place][1][path]) for place in places])
            if not all(np.array_equal(stacked[0], other, equal_nan=True) for other in stacked[1:]):
                data[path] = stacked
        yield Batch(np.array(places), analyses, data)


def _form(item: Any, path: str, numbers: dict[str, Any]) -> Any:
    """Return what of an analysis must be equal in a batch; put what may differ into `numbers` by its path."""
    if isinstance(item, np.ndarray) and type(item) is np.ndarray and item.dtype.kind in "fiub" and item.ndim:
        numbers[path] = item
        return item.dtype.str, item.shape
    if isinstance(item, (float, np.floating)):
        numbers[path] = item
        return "float"
    if isinstance(item, (list, tuple)):
        return type(item), tuple(_form(part, f"{path}[{place}]", numbers) for place, part in enumerate(item))
    if isinstance(item, dict):
        return dict, tuple((key, _form(part, f"{path}[{key!r}]", numbers)) for key, part in item.items())
    if hasattr(item, "__dict__") and not callable(item) and not isinstance(item, (type, ModuleType)):
        parts = vars(item).items()
        return type(item), tuple((name, _form(part, f"{path}.{name}", numbers)) for name, part in parts)
    try:
        hash(item)
    except TypeError:
        return type(item), id(item)
    return type(item), item


def _with_data(item: Any, path: str, data: dict[str, Any]) -> Any:
    """Return a copy of an analysis with other things at the paths of its data."""
    if path in data:
        return data[path]
    if not any(other.startswith(path) for other in data):
        return item
    if isinstance(item, (list, tuple)):
        parts = [_with_data(part, f"{path}[{place}]", data) for place, part in enumerate(item)]
        return type(item)(parts)
    if isinstance(item, dict):
        return {key: _with_data(part, f"{path}[{key!r}]", data) for key, part in item.items()}
    new = copy.copy(item)
    vars(new).update({name: _with_data(part, f"{path}.{name}", data) for name, part in vars(item).items()})
    return new


@dataclass(frozen=True)
class One:
    """The trace of one data set.

    Attributes
    ----------
    trace : Trace
    slots, data : list of TensorVariable
        Its inputs: what stands in the plate's slots, and the data by the order of the batch's.
    along : list of bool
        Whether what stands in a slot is along the plate.
    parts : callable
        Gives the analysis and the instance for the values of all inputs.
    witnesses : list of tuple
        Values of all inputs, of one data set after the other.
    """

    trace: Trace
    slots: list[Any]
    data: list[Any]
    along: list[bool]
    parts: Callable[[Sequence[Any]], tuple[Any, Any]]
    witnesses: list[tuple[Any, ...]]


def _trace_one(plate: Plate, batch: Batch, columns: list[Any], taken: list[list[tuple[Any, bool]]]) -> One:
    """Trace the first data set of a batch, with its data as inputs; `taken` are the columns at draws."""
    first = batch.analyses[0]
    along = [varies for _, varies in taken[0]]
    slots = [
        pt.tensor(dtype="float64", shape=variable.type.shape[1:] if varies else variable.type.shape)
        for variable, varies in zip(columns, along, strict=True)
    ]
    data = [pt.tensor(dtype=array.dtype.name, shape=array.shape[1:]) for array in batch.data.values()]

    def parts(values: Sequence[Any]) -> tuple[Any, Any]:
        analysis = _with_data(first, "", dict(zip(batch.data, values[len(slots) :], strict=True)))
        return analysis, plate.build_one(list(values[: len(slots)]))

    def function(values: list[Any]) -> Any:
        analysis, instance = parts(values)
        return analysis.log_likelihood_function(instance)

    witnesses = []
    for number, at_draw in enumerate(taken):
        place = number % len(batch.places)
        values = [value[batch.places[place]] if varies else value for value, varies in at_draw]
        witnesses.append((*values, *(array[place] for array in batch.data.values())))
    traced = trace(function, [*slots, *data], limit=first.branch_limit, witnesses=witnesses)
    return One(traced, slots, data, along, parts, witnesses)


def _prove_one(batch: Batch, one: One) -> Proof:
    """Prove value and gradient of the trace for a data set in the middle of a batch."""
    place = len(batch.places) // 2
    arrays = [array[place] for array in batch.data.values()]
    traced = one.trace
    conditions = [condition for condition, _ in traced.conditions]
    given = dict(zip(one.data, map(pt.constant, arrays), strict=True))
    value, *fixed = graph_replace([traced.value, *conditions], given, strict=False)
    renamed = dict(zip(conditions, fixed, strict=True))
    of_one = replace(
        traced,
        value=value,
        conditions=tuple((renamed[condition], where) for condition, where in traced.conditions),
        paths=tuple(
            replace(path, conditions=tuple((renamed[asked], answer) for asked, answer in path.conditions))
            for path in traced.paths
        ),
    )

    def plain(*values: Any) -> float:
        return or_impossible(*one.parts([*values, *arrays]))

    points = [witness[: len(one.slots)] for witness in one.witnesses[:PROOF_POINTS]]
    return prove(of_one, one.slots, plain, points)


def _spread(plate: Plate, batch: Batch, columns: list[Any], one: One) -> tuple[Any, Any, str]:
    """Spread the graph of one data set over all of a batch.

    Returns
    -------
    value : TensorVariable, shape (factors,)
        Their log likelihoods.
    terms : TensorVariable, shape (factors * terms,), or None
    reason : str
        Why there are no terms.
    """
    count, traced = len(batch.places), one.trace
    spread = {
        slot: variable[batch.places] if varies and count < len(plate.names) else variable
        for slot, variable, varies in zip(one.slots, columns, one.along, strict=True)
    }
    spread |= zip(one.data, map(pt.constant, batch.data.values()), strict=True)
    outputs = [traced.value] if traced.terms is None else [traced.value, traced.terms]
    value, *terms = vectorize_graph(outputs, spread)
    value = pt.broadcast_to(value, (count,))
    if not terms:
        return value, None, traced.terms_reason or ""
    assert traced.terms is not None
    (length,) = traced.terms.type.shape
    flat = pt.broadcast_to(terms[0], (count, length)).ravel()
    return value, pt.specify_shape(flat, (count * length,)), ""


def _of_some(batch: Batch, columns: list[Any], one: One) -> Callable[[Any], Any]:
    """Return what spreads the graph of one data set over some of a batch.

    They are picked from the inputs: of what is computed for all of them no rewrite would leave the rest out.
    """

    def of(chosen: Any) -> Any:
        where = pt.constant(batch.places)[chosen]
        spread = {
            slot: variable[where] if varies else variable
            for slot, variable, varies in zip(one.slots, columns, one.along, strict=True)
        }
        spread |= {
            slot: pt.constant(array)[chosen]
            for slot, array in zip(one.data, batch.data.values(), strict=True)
        }
        return pt.broadcast_to(vectorize_graph(one.trace.value, spread), (chosen.shape[0],))

    return of


def _compare(plan: Plan, joint: JointAnalysis, names: list[str], each: Any, draws: list[list[Any]]) -> None:
    """Compare the graph with the users' functions, factor by factor.

    Raises
    ------
    TraceError
        If they differ for some factor; it is named.
    """
    for draw in draws:
        with np.errstate(all="ignore"):
            expected = dict(zip(joint.analyses, joint.each(plan.build(list(draw))), strict=True))
            found = dict(zip(names, each(*draw), strict=True))
        for name, value in found.items():
            alike = np.isclose(value, expected[name], rtol=TOLERANCE, atol=TOLERANCE)
            if not alike and not _impossible(value, expected[name]):
                raise TraceError(
                    f"The graph gives {float(value)!r} for {name}, and its function {expected[name]!r}.",
                    cure='Fit with likelihood="blackbox".',
                )


def _impossible(value: float, expected: float) -> bool:
    """Whether neither is a possible log likelihood."""
    return not np.isfinite(value) and not np.isfinite(expected) and value != np.inf and expected != np.inf
