"""The likelihoods of a graph of factors in `jax.numpy` as a graph, proved data set by data set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Variable

from classy_pm.errors import TraceError
from classy_pm.likelihood.evaluate import in_double_precision
from classy_pm.likelihood.jax_graph import jax_trace
from classy_pm.likelihood.jax_groups import Group
from classy_pm.likelihood.jax_joint import JaxJointLogLikelihood
from classy_pm.likelihood.jax_ops import JaxFunction
from classy_pm.likelihood.joint import JointAnalysis, or_impossible
from classy_pm.likelihood.plate_trace import PlateTrace, Subset
from classy_pm.likelihood.plates.all_plates import check_each
from classy_pm.likelihood.plates.batches import PROOF_POINTS, summed
from classy_pm.likelihood.trace import Branch, Proof, Trace, prove
from classy_pm.model import Expression, PlateLayout
from classy_pm.plan import Plan

__all__ = ["jax_plates"]

# The gradient is compared with differences for one data set of so many groups: each takes JAX a second.
MOST_PROVED = 8


def jax_plates(
    plan: Plan,
    joint: JointAnalysis,
    inputs: Sequence[Variable],
    tried: Sequence[tuple[np.ndarray, dict[str, float] | None]],
) -> tuple[JaxJointLogLikelihood, PlateTrace, Proof]:
    """Have JAX trace the likelihoods of a graph's factors, and prove what it has made of them.

    The values of all data sets are compared with their functions. Where those of a group do not agree, its
    data sets are computed one by one.

    Parameters
    ----------
    plan : Plan
        Of a graph of factors.
    joint : JointAnalysis
    inputs : sequence of TensorVariable
        One a parameter, arrays along plates among them.
    tried : sequence of (numpy.ndarray, dict of str to float or None)
        Draws from the prior at which all are compared, and what the function of each data set gave there,
        where that is known.

    Raises
    ------
    TraceError
        If JAX cannot trace a likelihood, or if what it computes is not what the function of a data set gives.
    """
    return _Prover(plan, joint, inputs, tried).proved()


class _Differs(Exception):
    """A group is not what the functions of its data sets are."""

    def __init__(self, group: Group, refusal: TraceError) -> None:
        super().__init__(str(refusal))
        self.group, self.refusal = group, refusal


class _Prover:
    def __init__(
        self,
        plan: Plan,
        joint: JointAnalysis,
        inputs: Sequence[Variable],
        tried: Sequence[tuple[np.ndarray, dict[str, float] | None]],
    ) -> None:
        assert isinstance(plan.layout, PlateLayout)
        self.plan, self.joint, self.inputs = plan, joint, inputs
        self.layout: PlateLayout = plan.layout
        self.draws = plan.draws(PROOF_POINTS, random_seed=0)
        self.compared = [(draw, self._each(draw) if known is None else known) for draw, known in tried]

    def _each(self, draw: np.ndarray) -> dict[str, float]:
        with np.errstate(all="ignore"), in_double_precision():
            values = self.joint.each(self.plan.build(self.plan.split(draw)))
        return dict(zip(self.joint.analyses, values, strict=True))

    def proved(self) -> tuple[JaxJointLogLikelihood, PlateTrace, Proof]:
        """Return what JAX compiles, its graph, and the proof that it is right."""
        compiled = JaxJointLogLikelihood(self.plan, self.joint)
        while True:
            try:
                return compiled, self._graph(compiled), self._proof(compiled)
            except _Differs as error:
                if len(error.group.places) == 1:
                    raise error.refusal from error
                alone = compiled.alone | set(error.group.names)
                compiled = JaxJointLogLikelihood(self.plan, self.joint, alone)

    # -- the graph --------------------------------------------------------------------------------

    def _graph(self, compiled: JaxJointLogLikelihood) -> PlateTrace:
        traced = jax_trace(compiled, self.inputs, self.draws)
        counts: dict[str, int] = {}
        if traced.terms is not None:
            with np.errstate(all="ignore"), in_double_precision():
                terms = self.joint.pointwise_of_each(self.plan.build(self.plan.split(self.draws[0])))
            counts = {name: len(part) for name, part in terms.items()}
        types = [item.type for item in self.inputs]

        def each(*parameters: Any) -> tuple[Any]:
            return (compiled.each(*parameters),)

        of_all = JaxFunction(types, [pt.TensorType("float64", (len(compiled.names),))], each, "jax_each")
        return PlateTrace(
            value=traced.value,
            terms=traced.terms,
            terms_reason=traced.terms_reason,
            paths=traced.paths,
            conditions=(),
            each=of_all(*self.inputs),
            subsets=tuple(self._subset(compiled, group) for group in compiled.groups),
            factors=compiled.names,
            term_counts=counts,
        )

    def _subset(self, compiled: JaxJointLogLikelihood, group: Group) -> Subset:
        def of(chosen: Any) -> Any:
            def some(places: Any, *parameters: Any) -> tuple[Any]:
                return (compiled.some(group, places, *parameters),)

            types = [chosen.type, *(item.type for item in self.inputs)]
            operation = JaxFunction(types, [pt.TensorType("float64", chosen.type.shape)], some, "jax_some")
            return operation(chosen, *self.inputs)

        return Subset(group.plate.dim, group.places, of)

    # -- the proof --------------------------------------------------------------------------------

    def _proof(self, compiled: JaxJointLogLikelihood) -> Proof:
        """Compare the values of all data sets, and value and gradient of one of each group."""
        for draw, expected in self.compared:
            found, start = compiled.each_at(draw), 0
            for group in compiled.groups:
                of_group = found[start : start + len(group.places)]
                start += len(group.places)
                self._check(group, of_group, np.array([expected[name] for name in group.names]))
        chosen = np.linspace(0, len(compiled.groups) - 1, min(MOST_PROVED, len(compiled.groups)))
        return summed([self._prove_one(compiled.groups[number]) for number in chosen.astype(int)])

    def _check(self, group: Group, found: np.ndarray, expected: np.ndarray) -> None:
        try:
            check_each(group.names, found, expected)
        except TraceError as error:
            raise _Differs(group, error) from error

    def _prove_one(self, group: Group) -> Proof:
        member = len(group.places) // 2
        name, place, plate = group.names[member], int(group.places[member]), group.plate
        points = []
        for draw in self.draws:
            columns = self.layout.columns_of(plate, self.layout.evaluator(self.plan.split(draw)))
            points.append(tuple(value[place] if varies else value for value, varies in columns))
            along = [varies for _, varies in columns]
        slots = [
            pt.tensor(self._name_of(column), dtype="float64", shape=np.shape(value))
            for column, value in zip(plate.columns, points[0], strict=True)
        ]

        def function(*values: Any) -> tuple[Any]:
            return (group.one(member, values, along),)

        def plain(*values: Any) -> float:
            with in_double_precision():
                return or_impossible(self.joint.analyses[name], plate.build_one(list(values)))

        types = [slot.type for slot in slots]
        value = JaxFunction(types, [pt.TensorType("float64", ())], function, "jax_one")(*slots)
        of_one = Trace(value, None, None, (Branch((), "value", len(points)),), ())
        try:
            return prove(of_one, slots, plain, points)
        except TraceError as error:
            refusal = TraceError(f"{name}: {error.message}", error.faults, error.cure)
            raise _Differs(group, refusal) from error

    def _name_of(self, column: Any) -> str | None:
        place = self.layout.position.get(column) if isinstance(column, Expression) else None
        return None if place is None else self.layout.parameters[place].name
