"""Data sets of a plate as one batch: their data side by side, padded where they are of several lengths."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.replace import graph_replace, vectorize_graph

from classy_pm.errors import TraceError
from classy_pm.likelihood.data_inputs import numbers_of
from classy_pm.likelihood.joint import or_impossible
from classy_pm.likelihood.plate_trace import Subset
from classy_pm.likelihood.plates.merging import Merged, Signatures, merge, renamed_paths, shapes_in
from classy_pm.likelihood.plates.padded import padded_to
from classy_pm.likelihood.plates.variants import Slots, Variant
from classy_pm.likelihood.readings import Reading
from classy_pm.likelihood.trace import Proof, Trace, prove
from classy_pm.likelihood.trace.guard import guard

__all__ = ["Batch", "group", "make_batch", "prove_batch", "spread", "subset"]

# Where a batch would compute more than so many times the numbers that its data need, there are several.
WASTE = 1.5
PROOF_POINTS = 8


@dataclass(frozen=True)
class Batch:
    """Data sets that are computed side by side.

    Attributes
    ----------
    slots : Slots
    graph : Merged
        Of one of them.
    places : numpy.ndarray of int
        Where along the plate they are, in order.
    variants : numpy.ndarray of int
        Which trace each of them has.
    inputs : dict of TensorVariable to numpy.ndarray, shape (data sets, ...)
    """

    slots: Slots
    graph: Merged
    places: np.ndarray
    variants: np.ndarray
    inputs: dict[Any, np.ndarray]


def group(variants: Sequence[Variant], shared: Sequence[Any]) -> list[list[Variant]]:
    """Return which traces can be one graph without computing too much that is no data."""
    signatures = Signatures(shared)
    alike: dict[Any, list[Variant]] = {}
    for variant in variants:
        alike.setdefault(signatures.of(variant), []).append(variant)
    return [chosen for together in alike.values() for chosen in _without_waste(together)]


def _without_waste(variants: list[Variant]) -> list[list[Variant]]:
    if len(variants) == 1:
        return [variants]
    shapes = [shapes_in(variant) for variant in variants]
    sizes = [_size(all_shapes) for all_shapes in shapes]
    left = sorted(range(len(variants)), key=lambda number: -sizes[number])
    groups = []
    while left:
        chosen: list[Variant] = []
        others, count, needed, largest = [], 0, 0, shapes[left[0]]
        for number in left:
            more = len(variants[number].places)
            together = _largest(largest, shapes[number])
            wanted = needed + more * sizes[number]
            if together is None or (count + more) * _size(together) > WASTE * wanted:
                others.append(number)
                continue
            chosen.append(variants[number])
            count, needed, largest = count + more, wanted, together
        groups.append(chosen)
        left = others
    return groups


Shapes = list[tuple[int, ...]]


def _size(shapes: Shapes) -> int:
    return 1 + sum(map(math.prod, shapes))


def _largest(first: Shapes, other: Shapes) -> Shapes | None:
    """Return the shapes that hold both; None where they are not of the same variables."""
    if list(map(len, first)) != list(map(len, other)):
        return None
    return [tuple(map(max, one, two)) for one, two in zip(first, other, strict=True)]


def make_batch(slots: Slots, variants: Sequence[Variant], readings: Sequence[Reading]) -> Batch:
    """Put the data sets of some traces together.

    Raises
    ------
    NotOne
        If that cannot be done exactly.
    """
    graph = _alone(variants[0]) if len(variants) == 1 else merge(variants, slots.inputs)
    members = sorted((place, number) for number, item in enumerate(variants) for place in item.places)
    places = np.array([place for place, _ in members])
    numbers = np.array([number for _, number in members])
    inputs = {variable: table[numbers] for variable, table in graph.tables.items()}
    columns = zip(*(_numbers(readings[place], variants[number]) for place, number in members), strict=True)
    for variable, column in zip(graph.data, columns, strict=False):
        inputs[variable] = np.stack([padded_to(array, variable.type.shape) for array in column])
    return Batch(slots, _guarded(graph, slots, inputs), places, numbers, inputs)


def _guarded(graph: Merged, slots: Slots, inputs: dict[Any, np.ndarray]) -> Merged:
    """Return a graph whose gradient no NaN of the data gets into, where the likelihood leaves them out."""
    hazards = [
        variable
        for variable, array in inputs.items()
        if array.dtype.kind == "f" and not np.all(np.isfinite(array))
    ]
    if not hazards:
        return graph
    outputs = [graph.value] if graph.terms is None else [graph.value, graph.terms]
    value, *terms = guard([*slots.inputs, *inputs], outputs, hazards)
    return replace(graph, value=value, terms=terms[0] if terms else None)


def _numbers(reading: Reading, variant: Variant) -> list[np.ndarray]:
    return numbers_of([reading.data[path] for path in variant.paths])


def _alone(variant: Variant) -> Merged:
    traced = variant.trace
    count = 0 if traced.terms is None else traced.terms.type.shape[0]
    return Merged(
        value=traced.value,
        terms=traced.terms,
        reason=traced.terms_reason or "",
        term_counts=np.array([count]),
        data=variant.inputs,
        tables={},
        conditions=list(traced.conditions),
        paths=traced.paths,
    )


def prove_batch(batch: Batch, analyses: Sequence[Any]) -> Proof:
    """Prove value and gradient for the largest data set of a batch, the smallest, and one in between.

    Parameters
    ----------
    batch : Batch
    analyses : sequence of Analysis
        Of the plate.

    Raises
    ------
    TraceError
        If they are not those of the function; the data set is named.
    """
    order = np.argsort(batch.variants, kind="stable")
    several = batch.graph.tables or len(set(batch.variants)) > 1
    chosen = order[[0, len(order) // 2, -1]] if several else order[[len(order) // 2]]
    proofs = []
    for member in dict.fromkeys(chosen.tolist()):
        place = int(batch.places[member])
        try:
            proofs.append(_prove_one(batch, member, analyses[place]))
        except TraceError as error:
            name = batch.slots.plate.names[place]
            raise TraceError(f"{name}: {error.message}", error.faults, error.cure) from error
    return summed(proofs)


def _prove_one(batch: Batch, member: int, analysis: Any) -> Proof:
    graph, slots, place = batch.graph, batch.slots, int(batch.places[member])
    conditions = [condition for condition, _ in graph.conditions]
    given = {variable: pt.constant(array[member]) for variable, array in batch.inputs.items()}
    value, *fixed = graph_replace([graph.value, *conditions], given, strict=False)
    renamed = dict(zip(conditions, fixed, strict=True))
    paths = renamed_paths(graph.paths, renamed)
    asked = tuple((renamed[condition], where) for condition, where in graph.conditions)
    of_one = Trace(value, None, None, paths, asked)

    def plain(*values: Any) -> float:
        return or_impossible(analysis, slots.plate.build_one(list(values)))

    points = [tuple(slots.at_draw(number, place)) for number in range(PROOF_POINTS)]
    return prove(of_one, slots.inputs, plain, points)


def summed(proofs: Sequence[Proof]) -> Proof:
    """Return several proofs as one."""
    return Proof(
        points=sum(proof.points for proof in proofs),
        worst_error=max(proof.worst_error for proof in proofs),
        gradient_points=sum(proof.gradient_points for proof in proofs),
        worst_gradient_error=max(proof.worst_gradient_error for proof in proofs),
        branches_reached=max(proof.branches_reached for proof in proofs),
        branches=max(proof.branches for proof in proofs),
    )


def spread(batch: Batch) -> tuple[Any, Any]:
    """Spread the graph of one data set over all of a batch.

    Returns
    -------
    value : TensorVariable, shape (data sets,)
        Their log likelihoods.
    terms : TensorVariable, shape (terms,), or None
        The pointwise terms of one data set after the other, without what is padding.
    """
    slots, graph, count = batch.slots, batch.graph, len(batch.places)
    whole, places = count == len(slots.plate.names), pt.constant(batch.places)
    given = {
        slot: column if whole or not varies else column[places]
        for slot, column, varies in zip(slots.inputs, slots.columns, slots.along, strict=True)
    }
    given |= {variable: pt.constant(array) for variable, array in batch.inputs.items()}
    outputs = [graph.value] if graph.terms is None else [graph.value, graph.terms]
    value, *terms = vectorize_graph(outputs, given)
    value = pt.broadcast_to(value, (count,))
    if not terms:
        return value, None
    assert graph.terms is not None
    (length,) = graph.terms.type.shape
    flat = pt.broadcast_to(terms[0], (count, length)).ravel()
    own = np.arange(length) < graph.term_counts[batch.variants, np.newaxis]
    if not np.all(own):
        flat = flat[pt.constant(np.flatnonzero(own))]  # a plain array would be looked through in Python
    return value, pt.specify_shape(flat, (int(np.sum(own)),))


def subset(batch: Batch) -> Subset:
    """Return what spreads the graph of one data set over some of a batch.

    They are picked from the inputs: of what is computed for all of them no rewrite would leave the rest out.
    """
    slots, graph = batch.slots, batch.graph

    def of(chosen: Any) -> Any:
        places = pt.constant(batch.places)[chosen]
        given = {
            slot: column[places] if varies else column
            for slot, column, varies in zip(slots.inputs, slots.columns, slots.along, strict=True)
        }
        given |= {variable: pt.constant(array)[chosen] for variable, array in batch.inputs.items()}
        return pt.broadcast_to(vectorize_graph(graph.value, given), (chosen.shape[0],))

    return Subset(slots.plate.dim, batch.places, of)
