"""The graph of a likelihood that is made once, for all data sets that differ in numbers alone.

What differs from one data set to the next is an input of the trace, and after it a vector of numbers that is
written anew for each. All else that the likelihood reads is in the graph as it was when it was traced: data
sets must have it in common. Value and gradient are proved for each of them, as those of an ordinary trace.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from pytensor.graph.basic import Constant
from pytensor.graph.replace import graph_replace
from pytensor.graph.traversal import ancestors, io_toposort
from pytensor.tensor.blockwise import Blockwise
from pytensor.tensor.type import TensorType

from classy_pm.errors import TraceError
from classy_pm.likelihood.data_inputs import DataInputs, numbers_of, shadows_of
from classy_pm.likelihood.evaluate import LogLikelihood, forget_other_precision
from classy_pm.likelihood.plates.merging import renamed_paths
from classy_pm.likelihood.readings import (
    DataSet,
    Path,
    Reading,
    Recorder,
    are_equal,
)
from classy_pm.likelihood.shared_numbers import SharedNumbers
from classy_pm.likelihood.symbolic import PROOF_POINTS, WITNESSES, SymbolicLogLikelihood, inputs_of
from classy_pm.likelihood.trace import Prover, Trace, trace
from classy_pm.likelihood.trace.guard import guard
from classy_pm.likelihood.trace.proof import quick_function
from classy_pm.likelihood.trace.terms import take_apart
from classy_pm.plan import Plan

__all__ = ["ReusableGraph"]

# Which numbers are inputs where integers and masks cannot be.
REAL = "fc"


class ReusableGraph:
    """A traced likelihood whose data can be written anew.

    Parameters
    ----------
    plan : Plan
    data_set : DataSet
        The first of those that have the graph in common.
    varying : set of Path
        What of the data are to be inputs.

    Attributes
    ----------
    numbers : SharedNumbers
        The data.
    inputs : DataInputs
        Which they are.
    refusal : Exception or None
        Why the likelihood cannot be traced so, or why the trace might not hold for other data.
    """

    def __init__(self, plan: Plan, data_set: DataSet, varying: Iterable[Path]) -> None:
        self._first = data_set  # its objects live as long as they are compared with others
        draws = plan.draws(WITNESSES, random_seed=0)
        self._points = [tuple(plan.split(draw)) for draw in draws]
        self._parameters = inputs_of(plan)
        self.inputs = DataInputs((), (), [])
        self.recorder = Recorder()
        self.numbers = SharedNumbers([], [])
        self.refusal: Exception | None = None
        varying = set(varying)
        paths = tuple(path for path in data_set.reading.data if path in varying)
        try:
            self._make(plan, paths)
        except Exception as error:  # also what happens when the user's objects are copied
            self.refusal = error
        self._key = self._key_of(data_set.reading)

    def _make(self, plan: Plan, paths: tuple[Path, ...]) -> None:
        traced = self._traced(plan, paths)
        self._refuse_what_may_not_hold(traced)
        self.inputs = self.inputs.read_by(self.recorder)
        self._trace = self._with_shared_numbers(traced)
        if self._trace.terms is None and self.inputs.paths:
            ordinary = self._trace_with(plan, DataInputs((), (), []), Recorder())
            if ordinary.terms is not None:
                raise TraceError("The likelihood has pointwise terms only if its data are constants.")
        self._prover = Prover(self._trace, self._parameters)

    def _traced(self, plan: Plan, paths: tuple[Path, ...]) -> Trace:
        """Trace with all of some data as inputs, or where that cannot be, with those that are real."""
        data = self._first.reading.data
        _refuse_infinite(paths, [data[path] for path in paths])
        real = tuple(path for path in paths if np.asarray(data[path]).dtype.kind in REAL)
        for chosen in (paths, real):
            self.inputs, self.recorder = DataInputs.of(data, chosen), Recorder()
            try:
                return self._trace_with(plan, self.inputs, self.recorder)
            except TraceError:
                if chosen == real:
                    raise
        raise AssertionError

    def _trace_with(self, plan: Plan, inputs: DataInputs, recorder: Recorder) -> Trace:
        analysis, data = self._first.analysis, self._first.reading.data
        count, shadows = len(self._parameters), shadows_of([data[path] for path in inputs.paths])

        def function(values: list[Any]) -> Any:
            of_one = inputs.put_into(analysis, values[count:], recorder)
            return of_one.log_likelihood_function(plan.build(list(values[:count])))

        return trace(
            function,
            [*self._parameters, *inputs.variables],
            limit=analysis.branch_limit,
            witnesses=[(*point, *shadows) for point in self._points],
        )

    def _refuse_what_may_not_hold(self, traced: Trace) -> None:
        """Refuse a trace that other data may not have, and one that tells less than an ordinary one."""
        if not self.inputs.variables:
            return
        if any(path.end == "cut" for path in traced.paths):
            raise TraceError(
                "Some ways through the likelihood are not in its graph: other data may take them."
            )
        data, parameters = set(self.inputs.variables), set(self._parameters)
        for mask in traced.masks:
            used = set(ancestors([mask]))
            if used & data and not used & parameters:
                raise TraceError("Data are selected by a mask that is not the same in all data sets.")
        conditions = [condition for condition, _ in traced.conditions]
        if not data.isdisjoint(ancestors(conditions)):
            # Of these an operand is given a value of the first data set where they are not used.
            made = (variable.owner for variable in ancestors([traced.value]) if variable.owner is not None)
            if any(isinstance(node.op, Blockwise) for node in made):
                raise TraceError("The likelihood branches on data, and has an operation on matrices.")

    def _with_shared_numbers(self, traced: Trace) -> Trace:
        """Return the trace with what can be written anew in the place of what is computed of data alone.

        The terms are those of the value as it is then: a sum of data alone is no sum over data.
        """
        conditions = [condition for condition, _ in traced.conditions]
        outputs = [traced.value, *conditions]
        of_data = _computed_of(self.inputs.variables, outputs)
        self._compute = quick_function(self.inputs.variables, of_data)
        self.numbers = SharedNumbers(
            [variable.type.shape for variable in of_data],
            [f"data::{number}" for number in range(len(of_data))],
        )
        given = {
            variable: symbol.astype(variable.type.dtype)
            for variable, symbol in zip(of_data, self.numbers.symbols, strict=True)
        }
        value, *others = graph_replace(outputs, given, strict=False)
        terms, reason = take_apart(value)
        guarded = guard(self._parameters, [value] if terms is None else [value, terms])
        renamed = dict(zip(conditions, others, strict=True))
        return replace(
            traced,
            value=guarded[0],
            terms=None if terms is None else guarded[1],
            terms_reason=reason,
            paths=renamed_paths(traced.paths, renamed),
            conditions=tuple((renamed[condition], place) for condition, place in traced.conditions),
            masks=(),
        )

    def _key_of(self, reading: Reading) -> Any:
        return tuple(item for item in reading.tokens.items() if self.recorder.matters(item[0]))

    def is_like(self, reading: Reading) -> bool:
        """Whether a data set is one for which the graph was made, but for the numbers in it."""
        return self._key_of(reading) == self._key

    def differing(self, reading: Reading) -> set[Path]:
        """Return where a data set that is like the first has other numbers than the graph."""
        if self.refusal is not None:
            return set()
        first = self._first.reading.data
        return {
            path
            for path, item in reading.data.items()
            if path not in self.inputs.paths
            and self.recorder.matters(path)
            and not are_equal(first[path], item)
        }

    def symbolic(self, plain: LogLikelihood, reading: Reading) -> SymbolicLogLikelihood:
        """Write the numbers of a data set, and return its likelihood, proved.

        Parameters
        ----------
        plain : LogLikelihood
            The user's function of these data.
        reading : Reading
            Like the first, and not `differing`.

        Raises
        ------
        TraceError
            If the graph is not the function of these data.
        """
        self._write([reading.data[path] for path in self.inputs.paths])
        proof = self._prover(
            lambda *values: plain(np.concatenate([np.ravel(value) for value in values])),
            self._points[:PROOF_POINTS],
        )
        forget_other_precision()
        return SymbolicLogLikelihood(
            "trace",
            self._parameters,
            self._trace.value,
            plain,
            terms=self._trace.terms,
            reason=self._trace.terms_reason or "",
            proof=proof,
        )

    def _write(self, data: Sequence[Any]) -> None:
        _refuse_infinite(self.inputs.paths, data)
        with np.errstate(all="ignore"):
            arrays = self._compute(*numbers_of(data))
        for array, symbol in zip(arrays, self.numbers.symbols, strict=True):
            view = symbol.get_value(borrow=True)
            view[...] = array
            there = view.astype(array.dtype)
            if not np.array_equal(there, array, equal_nan=array.dtype.kind == "f"):
                raise TraceError("Integers of more digits than a float64 has cannot be written into a graph.")


def _computed_of(data: Sequence[Any], outputs: Sequence[Any]) -> list[Any]:
    """Return what is computed of data alone, and used by others: for one data set these are constants."""
    known = dict.fromkeys(data)
    used: dict[Any, None] = {}
    for node in io_toposort([], outputs):
        mine = [item for item in node.inputs if item in known]
        others = [item for item in node.inputs if item not in known and not isinstance(item, Constant)]
        if mine and not others and all(map(_is_array, node.outputs)):
            known |= dict.fromkeys(node.outputs)
        else:
            used |= dict.fromkeys(mine)
    return list(used | dict.fromkeys(item for item in outputs if item in known))


def _is_array(variable: Any) -> bool:
    """Whether a variable is an array of real numbers of known shape."""
    if not isinstance(variable.type, TensorType) or None in variable.type.shape:
        return False
    return variable.type.dtype not in ("complex64", "complex128")


def _refuse_infinite(paths: Sequence[Path], data: Sequence[Any]) -> None:
    """Refuse NaN and infinite numbers, which a graph takes care of where it knows where they are."""
    for path, item in zip(paths, data, strict=True):
        if not np.all(np.isfinite(item)):
            raise TraceError(f"What is at {path} is not finite in all data sets.")
