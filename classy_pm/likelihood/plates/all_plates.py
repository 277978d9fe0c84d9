"""The sum over all factors of a graph, compared with their functions one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytensor.tensor as pt

from classy_pm.errors import TraceError
from classy_pm.likelihood.expressions import build_expression
from classy_pm.likelihood.joint import JointAnalysis
from classy_pm.likelihood.plate_trace import PlateTrace, Subset
from classy_pm.likelihood.plates.batches import Batch, group, make_batch, prove_batch, spread, subset, summed
from classy_pm.likelihood.plates.padded import NotOne
from classy_pm.likelihood.plates.variants import (
    WITNESSES,
    Slots,
    Untraced,
    Variant,
    make_slots,
    refusal_of,
    trace_variants,
)
from classy_pm.likelihood.readings import Reading
from classy_pm.likelihood.trace import Proof
from classy_pm.likelihood.trace.proof import quick_function
from classy_pm.model import Derived, Expression, PlateLayout
from classy_pm.plan import Plan

__all__ = ["check_each", "trace_plates"]

# At how many draws from the prior the graph is compared with the function factor by factor, and how well,
# relatively, they must agree.
COMPARED = 3
TOLERANCE = 1e-8


def trace_plates(plan: Plan, joint: JointAnalysis, inputs: Sequence[Any]) -> tuple[PlateTrace, Proof]:
    """Trace the likelihoods of a graph's factors, plate by plate, and prove the trace.

    Value and gradient are proved for one data set of each batch, and for three where data sets of several
    lengths are one batch; the values of all data sets are then compared with their functions. Where a batch
    of several lengths does not agree, there is one for each length.

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
    return _Tracer(plan, joint, inputs).trace()


class _Tracer:
    def __init__(self, plan: Plan, joint: JointAnalysis, inputs: Sequence[Any]) -> None:
        assert isinstance(plan.layout, PlateLayout)
        self.plan, self.joint, self.inputs = plan, joint, inputs
        self.layout: PlateLayout = plan.layout
        # One draw of a large plate has a point for each of its data sets.
        fewest = max(24, WITNESSES // min(len(plate.names) for plate in self.layout.plates))
        self.draws = [plan.split(draw) for draw in plan.draws(fewest, random_seed=0)]
        self.expected = [self._each(draw) for draw in self.draws[:COMPARED]]
        self.values: list[Any] = []
        self.terms: list[Any] = []
        self.reasons: list[str] = []
        self.proofs: list[Proof] = []
        self.subsets: list[Subset] = []
        self.term_counts: dict[str, int] = {}
        self.names: list[str] = []

    def _each(self, draw: list[Any]) -> dict[str, float]:
        with np.errstate(all="ignore"):
            return dict(zip(self.joint.analyses, self.joint.each(self.plan.build(list(draw))), strict=True))

    def trace(self) -> tuple[PlateTrace, Proof]:
        """Return the trace of all plates, and its proof."""
        untraced: list[Untraced] = []
        for plate in self.layout.plates:
            columns = [self._variable(column) for column in plate.columns]
            taken = [self.layout.columns_of(plate, self.layout.evaluator(draw)) for draw in self.draws]
            slots = make_slots(plate, columns, taken)
            analyses = [self.joint.analyses[name] for name in plate.names]
            variants, readings, refused = trace_variants(slots, analyses)
            untraced += refused
            if untraced:  # of the others there is no use
                continue
            for together in group(variants, slots.inputs):
                self._add(slots, together, readings, analyses)
        if untraced:
            raise refusal_of(untraced, len(self.joint.analyses))
        length = 0 if self.reasons else sum(term.type.shape[0] for term in self.terms)
        each = pt.concatenate(self.values)
        found = PlateTrace(
            value=pt.sum(each),
            terms=None if self.reasons else pt.specify_shape(pt.concatenate(self.terms), (length,)),
            terms_reason=self.reasons[0] if self.reasons else None,
            paths=(),
            conditions=(),
            each=each,
            subsets=tuple(self.subsets),
            factors=tuple(self.names),
            term_counts={} if self.reasons else self.term_counts,
        )
        return found, summed(self.proofs)

    def _variable(self, column: Any) -> Any:
        """Return the variable of what stands in a slot of all factors."""
        if not isinstance(column, Expression):
            return pt.constant(column)
        places = self.layout.position
        if column in places:
            return self.inputs[places[column]]
        assert isinstance(column, Derived)
        return build_expression(self.plan, column, self.inputs)

    def _add(
        self, slots: Slots, variants: list[Variant], readings: list[Reading], analyses: list[Any]
    ) -> None:
        """Add data sets as one batch, or where that is not right, as one for each of their traces."""
        try:
            batch = make_batch(slots, variants, readings)
            proof = prove_batch(batch, analyses)
            value, terms = spread(batch)
            self._compare(batch, value)
        except (NotOne, TraceError):
            if len(variants) == 1:
                raise
            for variant in variants:
                self._add(slots, [variant], readings, analyses)
            return
        self.proofs.append(proof)
        self.values.append(value)
        self.terms.append(terms)
        self.subsets.append(subset(batch))
        names = _names(batch)
        self.names += names
        if terms is None:
            self.reasons.append(batch.graph.reason)
        else:
            counts = batch.graph.term_counts[batch.variants].tolist()
            self.term_counts |= dict(zip(names, counts, strict=True))

    def _compare(self, batch: Batch, value: Any) -> None:
        """Compare the graph of a batch with the users' functions, factor by factor."""
        function = quick_function(self.inputs, value)
        names = _names(batch)
        for draw, expected in zip(self.draws, self.expected, strict=False):
            with np.errstate(all="ignore"):
                found = np.asarray(function(*draw))
            check_each(names, found, np.array([expected[name] for name in names]))


def check_each(names: Sequence[str], found: np.ndarray, expected: np.ndarray) -> None:
    """Compare the log likelihoods of data sets by a graph with those that their functions give.

    Raises
    ------
    TraceError
        If they differ; names the first data set of which they do.
    """
    alike = np.isclose(found, expected, rtol=TOLERANCE, atol=TOLERANCE) | _impossible(found, expected)
    if not np.all(alike):
        place = int(np.argmin(alike))
        raise TraceError(
            f"The graph gives {float(found[place])!r} for {names[place]}, and its function "
            f"{float(expected[place])!r}.",
            cure='Fit with likelihood="blackbox".',
        )


def _names(batch: Batch) -> list[str]:
    return [batch.slots.plate.names[place] for place in batch.places]


def _impossible(found: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Whether neither is a possible log likelihood."""
    return ~np.isfinite(found) & ~np.isfinite(expected) & (found != np.inf) & (expected != np.inf)
