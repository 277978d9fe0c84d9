"""What `simulate` returns, gathered draw after draw: of one analysis, and of those of a graph of factors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from classy_pm.errors import LikelihoodError
from classy_pm.likelihood import Analysis
from classy_pm.likelihood.analysis import arrays_in, attribute_at
from classy_pm.likelihood.derived import can_name_a_variable
from classy_pm.likelihood.joint import JointAnalysis, in_factor, told_once
from classy_pm.model import PlateLayout, along, axes_of
from classy_pm.plan import Plan

__all__ = ["Collector", "JointCollector", "collector_of"]

# The dims of a variable's own axes, and its values.
Variable = tuple[list[str], np.ndarray]

# How many numbers a group may have (80 MB).
MAX_NUMBERS = 10_000_000
# How often data sets are simulated, all together; and at how many draws, at least.
MAX_CALLS, FEWEST = 200_000, 10
# The name of a single array that is simulated.
DATA = "data"
_TAKEN = ("chain", "draw", "sample")


def collector_of(plan: Plan, analysis: Analysis) -> Collector | JointCollector:
    """Return what gathers the data that an analysis simulates."""
    if isinstance(analysis, JointAnalysis):
        return JointCollector(plan, analysis)
    return Collector(analysis)


class Collector:
    """Gathers what `simulate` returns, draw after draw, as arrays by name.

    Of another analysis these are the arrays that differ from the original's at any draw.
    """

    def __init__(self, analysis: Analysis) -> None:
        self.analysis = analysis
        self.original = {name: array.copy() for name, array in arrays_in(analysis)}
        self.rows: dict[str, list[np.ndarray]] = {}
        self.count = 0
        self.unnamed = False

    def affordable(self, number: int) -> int:
        """Return at how many draws data of this size can be kept, at most so many."""
        return min(number, max(1, MAX_NUMBERS // max(1, self.size)))

    @property
    def size(self) -> int:
        """How many numbers there are at one draw."""
        return sum(rows[0].size for rows in self.rows.values())

    def add(self, made: Any) -> None:
        """Take what was simulated at one draw."""
        given = self._named(made)
        for name in {**self.rows, **given}:
            array = given.get(name, self.original.get(name))
            if name not in self.rows:
                before = self.original.get(name)
                self.rows[name] = [] if before is None else [before] * self.count
            rows = self.rows[name]
            if array is None or len(rows) != self.count:
                raise self._fault(f"returned `{name}` at some draws and not at others")
            if array.dtype.kind not in "biuf":
                raise self._fault(f"returned `{name}` of the type {array.dtype}, which are no real numbers")
            if name in _TAKEN or not can_name_a_variable(name):
                raise self._fault(f"uses the name `{name}`, which data cannot have in a tree")
            if not rows:
                self._check_shape(name, array.shape)
            elif rows[0].shape != array.shape:
                raise self._fault(f"returned `{name}` with the shapes {rows[0].shape} and {array.shape}")
            rows.append(array)
        self.count += 1

    def _named(self, made: Any) -> dict[str, np.ndarray]:
        if made is None:
            raise self._fault("returned None, as a function without `return` does")
        if made is self.analysis:
            raise self._fault("returned the analysis itself; return another, and leave its data as they are")
        if isinstance(made, Analysis):
            return {name: array for name, array in arrays_in(made) if not self._same(name, array)}
        if isinstance(made, dict):
            return {str(name): np.asarray(array) for name, array in made.items()}
        self.unnamed = True
        return {DATA: np.asarray(made)}

    def observed(self) -> dict[str, Variable]:
        """Return the data that what is simulated stands for, where they are known and have its shape."""
        found = {}
        for name, rows in self.rows.items():
            known = self._attributes_meant(name).values()
            alike = [array for array in known if array.shape == rows[0].shape]
            if len(alike) == 1:
                found[name] = axes_of(name, alike[0].ndim), alike[0]
        return found

    def _attributes_meant(self, name: str) -> dict[str, np.ndarray]:
        """Return the attributes that may be meant by a name; all arrays, where none was given."""
        if name in self.original:
            return {name: self.original[name]}
        return {key: array for key, array in self.original.items() if array.ndim and self.unnamed}

    def _check_shape(self, name: str, shape: tuple[int, ...]) -> None:
        """Refuse what has another shape than the attribute that it stands for, where that is known."""
        known = self._attributes_meant(name)
        if len(known) != 1:
            return
        ((attribute, array),) = known.items()
        # Of a masked array there is what is not masked. A table is more than one of its columns.
        masked = isinstance(attribute_at(self.analysis, attribute), np.ma.MaskedArray)
        if shape == array.shape or masked or (name != attribute and len(shape) != array.ndim):
            return
        raise self._fault(
            f"returned an array of shape {shape} for `{attribute}`, which has the shape {array.shape} in the "
            "analysis: one of the two is wrong"
        )

    def _same(self, name: str, array: np.ndarray) -> bool:
        original = self.original.get(name)
        return original is not None and np.array_equal(
            original, array, equal_nan=array.dtype.kind in "fc" and original.dtype.kind in "fc"
        )

    def stacked(self, batch: tuple[int, int]) -> dict[str, Variable]:
        """Return each array, shape (chain, draw, *its own), with the dims of its own."""
        if not self.rows:
            raise self._fault("returned the very data of the analysis at every draw")
        return {
            name: (axes_of(name, rows[0].ndim), np.reshape(rows, (*batch, *rows[0].shape)))
            for name, rows in self.rows.items()
        }

    def _fault(self, text: str) -> LikelihoodError:
        return LikelihoodError(
            f"{type(self.analysis).__name__}.simulate {text}.",
            cure="Return another analysis with simulated data, an array like the data, or a dict of arrays: "
            "by an attribute's name what is like it, by other names anything; the same shapes at all draws.",
        )


class JointCollector:
    """Gathers what the analyses of a graph simulate.

    Data of one shape in all data sets of a plate are along it; see `classy_pm.model.along_plates`.
    """

    def __init__(self, plan: Plan, joint: JointAnalysis) -> None:
        assert isinstance(plan.layout, PlateLayout)
        self.layout = plan.layout
        self.of_each = {name: Collector(analysis) for name, analysis in joint.giving("simulate").items()}

    def affordable(self, number: int) -> int:
        """Return at how many draws data of this size can be kept, at most so many."""
        size = sum(collector.size for collector in self.of_each.values())
        return min(number, max(1, MAX_NUMBERS // max(1, size)), max(FEWEST, MAX_CALLS // len(self.of_each)))

    def add(self, made: Mapping[str, Any]) -> None:
        """Take what was simulated at one draw, by the names of the data sets."""

        def take(name: str) -> None:
            self.of_each[name].add(made[name])

        told_once(self.of_each, take, LikelihoodError, "What some data sets simulate cannot be kept.")

    def observed(self) -> dict[str, Variable]:
        """Return the data that what is simulated stands for, where they are known of all along a plate."""
        return self._together({name: each.observed() for name, each in self.of_each.items()}, 0)

    def stacked(self, batch: tuple[int, int]) -> dict[str, Variable]:
        """Return each array, shape (chain, draw, *its own), with the dims of its own."""
        found = {}
        for name, collector in self.of_each.items():
            with in_factor(name):
                found[name] = collector.stacked(batch)
        return self._together(found, len(batch))

    def _together(self, found: Mapping[str, Mapping[str, Variable]], before: int) -> dict[str, Variable]:
        """Return what the data sets have as variables, whose first so many axes are those of draws."""
        simulated = {
            name: {key: rows[0].shape for key, rows in each.rows.items()}
            for name, each in self.of_each.items()
        }
        variables = {}
        for item in along(self.layout, simulated):
            arrays = [found[name][item.key][1] for name in item.factors if item.key in found[name]]
            if len(arrays) == len(item.factors):
                whole = arrays[0] if item.dim is None else np.stack(arrays, axis=before)
                variables[item.name] = item.dims, whole
        return variables
