"""Several traces as one graph.

The traces of data sets of several lengths, or with several integers, are the same operations on other shapes
and constants. They are walked side by side: where constants differ, there is an input; where shapes differ,
the largest is taken, and a rule of the operation says how (`rules.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Constant, Variable
from pytensor.graph.traversal import io_toposort

from classy_pm.likelihood.plates.padded import NotOne, Padded, Tables
from classy_pm.likelihood.plates.rules import NEW_NUMBERS, rule_of
from classy_pm.likelihood.plates.variants import Variant
from classy_pm.likelihood.trace import Branch
from classy_pm.likelihood.trace.guard import guard

__all__ = ["Merged", "Signatures", "merge", "renamed_paths", "shapes_in"]


@dataclass(frozen=True)
class Merged:
    """The graph of several traces.

    Attributes
    ----------
    value : TensorVariable
        The log likelihood of one data set.
    terms : TensorVariable or None
        Its pointwise terms, of which the first `term_counts` are its own.
    reason : str
        Why there are none.
    term_counts : numpy.ndarray of int, shape (variants,)
    data : list of TensorVariable
        The inputs for the data, of the largest shape.
    tables : dict of TensorVariable to numpy.ndarray, shape (variants, ...)
        Further inputs with their values.
    conditions : list of (TensorVariable, Place)
    paths : tuple of Branch
    """

    value: Any
    terms: Any
    reason: str
    term_counts: np.ndarray
    data: list[Any]
    tables: dict[Any, np.ndarray]
    conditions: list[tuple[Any, Any]]
    paths: tuple[Branch, ...]


class Signatures:
    """Numbers for graphs, equal for graphs of the same operations: shapes and constants are not looked at."""

    def __init__(self, inputs: Sequence[Variable]) -> None:
        self._shared = {variable: ("shared", place) for place, variable in enumerate(inputs)}
        self._numbers: dict[Any, int] = {}

    def of(self, variant: Variant) -> Any:
        """Return the signature of a variant's graph."""
        known: dict[Variable, Any] = {
            variable: self._number(("data", place, variable.type.dtype, variable.type.ndim))
            for place, variable in enumerate(variant.inputs)
        }
        outputs = outputs_of(variant)
        for node in io_toposort([], outputs):
            inputs = tuple(self._of_input(item, known) for item in node.inputs)
            for place, output in enumerate(node.outputs):
                known[output] = self._number((node.op, inputs, place))
        ways = tuple(
            (path.end, tuple(answer for _, answer in path.conditions)) for path in variant.trace.paths
        )
        return ways, tuple(self._of_input(item, known) for item in outputs)

    def _of_input(self, variable: Variable, known: dict[Variable, Any]) -> Any:
        if variable in known:
            return known[variable]
        if variable in self._shared:
            return self._shared[variable]
        if not isinstance(variable, Constant):
            return "unknown", id(variable)
        return "constant", getattr(variable.type, "dtype", ""), getattr(variable.type, "ndim", variable.type)

    def _number(self, key: Any) -> int:
        return self._numbers.setdefault(key, len(self._numbers))


def outputs_of(variant: Variant) -> list[Any]:
    """Return the value, the conditions of its branches, and the terms if there are any."""
    traced = variant.trace
    terms = [] if traced.terms is None else [traced.terms]
    return [traced.value, *(condition for condition, _ in traced.conditions), *terms]


def shapes_in(variant: Variant) -> list[tuple[int, ...]]:
    """Return the shapes of all that is computed in a variant's graph."""
    nodes = io_toposort([], outputs_of(variant))
    shapes = [getattr(node.outputs[0].type, "shape", ()) for node in nodes]
    return [tuple(length or 1 for length in shape) for shape in shapes]


def renamed_paths(paths: Sequence[Branch], renamed: Mapping[Any, Any]) -> tuple[Branch, ...]:
    """Return the paths of a trace with other variables for their conditions."""
    return tuple(
        Branch(
            path.answers,
            path.end,
            path.reached,
            path.note,
            tuple((renamed[condition], answer) for condition, answer in path.conditions),
        )
        for path in paths
    )


def merge(variants: Sequence[Variant], shared: Sequence[Any]) -> Merged:
    """Put traces of one signature together.

    Parameters
    ----------
    variants : sequence of Variant
    shared : sequence of TensorVariable
        The inputs that all traces have.

    Raises
    ------
    NotOne
        If that cannot be done exactly.
    """
    walk = _Walk(variants, shared)
    merged = [walk.merged(each) for each in zip(*(outputs_of(item) for item in variants), strict=True)]
    value, first = merged[0], variants[0].trace
    count = len(first.conditions)
    conditions = [item.variable for item in merged[1 : 1 + count]]
    outputs = [value.variable]
    counts = np.zeros(len(variants), dtype=int)
    if first.terms is not None:
        outputs.append(merged[-1].variable)
        counts = merged[-1].lengths(0)
    if walk.makes_new_numbers:
        outputs = guard([*shared, *walk.data, *walk.tables.values], outputs)
    renamed = {old: new for (old, _), new in zip(first.conditions, conditions, strict=True)}
    paths = renamed_paths(first.paths, renamed)
    return Merged(
        value=outputs[0],
        terms=outputs[1] if first.terms is not None else None,
        reason=first.terms_reason or "",
        term_counts=counts,
        data=walk.data,
        tables=walk.tables.values,
        conditions=[(new, place) for new, (_, place) in zip(conditions, first.conditions, strict=True)],
        paths=paths,
    )


class _Walk:
    """Walks graphs side by side.

    Attributes
    ----------
    data : list of TensorVariable
        The merged inputs for the data.
    makes_new_numbers : bool
        Whether there may be numbers that are infinite where no data are.
    """

    def __init__(self, variants: Sequence[Variant], shared: Sequence[Any]) -> None:
        self.tables = Tables()
        self.makes_new_numbers = False
        self._known: dict[tuple[Any, ...], Padded] = {}
        count = len(variants)
        for variable in shared:
            self._known[(variable,) * count] = Padded(self.tables, [variable] * count, variable)
        self.data = []
        for each in zip(*(variant.inputs for variant in variants), strict=True):
            largest = Padded(self.tables, each).largest
            variable = pt.tensor(dtype=each[0].type.dtype, shape=largest)
            self._known[each] = Padded(self.tables, each, variable)
            self.data.append(variable)

    def merged(self, each: tuple[Any, ...]) -> Padded:
        """Return what stands for a variable of each trace, from the inputs on."""
        todo = [each]
        while todo:
            key = todo[-1]
            if key in self._known:
                todo.pop()
            elif all(isinstance(item, Constant) for item in key):
                self._known[key] = Padded(self.tables, key)
            elif any(item.owner is None for item in key):
                raise NotOne("a constant in one trace is none in another")
            else:
                nodes = [item.owner for item in key]
                columns = list(zip(*(node.inputs for node in nodes), strict=True))
                missing = [column for column in columns if column not in self._known]
                if missing:
                    todo += missing
                else:
                    self._make(nodes, [self._known[column] for column in columns])
        return self._known[each]

    def _make(self, nodes: list[Any], items: list[Padded]) -> None:
        first = nodes[0]
        if any(node.op != first.op for node in nodes):
            raise NotOne("the operations differ")
        if isinstance(getattr(first.op, "core_op", first.op), NEW_NUMBERS) and any(i.ragged for i in items):
            self.makes_new_numbers = True
        made = rule_of(first.op)(nodes, items)
        for place, (variable, output) in enumerate(zip(made, first.outputs, strict=True)):
            if variable.type.dtype != output.type.dtype or variable.type.ndim != output.type.ndim:
                raise NotOne("the types differ")
            each = tuple(node.outputs[place] for node in nodes)
            padded = Padded(self.tables, each)
            if variable.type.shape != padded.largest:
                variable = pt.specify_shape(variable, padded.largest)
            self._known[each] = Padded(self.tables, each, variable)
