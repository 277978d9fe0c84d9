"""What the analyses of a graph of factors derive, each from its own instance."""

from __future__ import annotations

from functools import cached_property
from typing import override

import numpy as np

from classy_pm.errors import FitException, LikelihoodError, some_of
from classy_pm.likelihood.analysis import Analysis
from classy_pm.likelihood.derived import TRIAL_POINTS, DerivedQuantities, called, told
from classy_pm.likelihood.joint import NAMED, JointAnalysis, note_of, told_once
from classy_pm.model import Along, PlateLayout, along
from classy_pm.plan import Plan

__all__ = ["JointQuantities", "derived_quantities"]


def derived_quantities(plan: Plan, analysis: Analysis) -> DerivedQuantities:
    """Return what an analysis derives; of a graph of factors, what all of them do."""
    kind = JointQuantities if isinstance(analysis, JointAnalysis) else DerivedQuantities
    return kind(plan, analysis)


class JointQuantities(DerivedQuantities):
    """The `derived` of all data sets of a graph, as a function of the vector of free parameters.

    A quantity that all data sets of a plate have with the same shape is one array along the plate; see
    `classy_pm.model.along_plates`. Where one data set raises, its elements are NaN, those of others are not.

    Parameters
    ----------
    plan : Plan
        Of the graph.
    analysis : JointAnalysis
    """

    analysis: JointAnalysis

    def __init__(self, plan: Plan, analysis: Analysis) -> None:
        super().__init__(plan, analysis)
        self._last: tuple[bytes, dict[str, np.ndarray]] = (b"", {})

    @cached_property
    def variables(self) -> list[Along]:
        """The variables that the quantities are.

        Raises
        ------
        LikelihoodError
            If some `derived` returns no dict of numbers, or a name is taken; the data sets are named.
        """
        layout = self.plan.layout
        assert isinstance(layout, PlateLayout)
        shapes = dict(self._looked_at[0])
        for plate in layout.plates:
            # What raises always has what the others of its plate have all alike.
            known = [shapes[name] for name in plate.names if name in shapes]
            alike = {
                key: shape
                for key, shape in (known[0].items() if known else ())
                if all(other.get(key) == shape for other in known)
            }
            shapes |= {name: alike for name in plate.names if name in self.raised and alike}
        found = along(layout, shapes)
        self._check_names(item.name for item in found)
        return found

    @property
    def raised(self) -> dict[str, Exception]:
        """The data sets whose `derived` raises at all draws from the prior, with what it raised first."""
        return self._looked_at[1]

    @cached_property
    def _looked_at(self) -> tuple[dict[str, dict[str, tuple[int, ...]]], dict[str, Exception]]:
        """The shapes of what each data set derives; and the exceptions of those that raise always."""
        owners = self.analysis.giving("derived") if self.exist else {}
        shapes: dict[str, dict[str, tuple[int, ...]]] = {}
        raised: dict[str, Exception] = {}
        instances = [self.plan.instance(vector) for vector in self.plan.draws(TRIAL_POINTS, random_seed=0)]

        def look(name: str) -> None:
            for instance in instances:
                try:
                    values = called(owners[name], instance[name])
                except LikelihoodError:
                    raise
                except Exception as error:
                    raised.setdefault(name, error)
                    continue
                shapes[name] = {key: value.shape for key, value in values.items()}
                raised.pop(name, None)
                return

        told_once(owners, look, LikelihoodError, "What some data sets derive cannot be kept.")
        if raised and not shapes:
            self._refuse(raised)
        return shapes, raised

    def _refuse(self, raised: dict[str, Exception]) -> None:
        """Raise what all data sets raise."""
        for name, error in raised.items():
            if not isinstance(error, FitException):
                error.add_note(note_of(name))
                raise error
        name = next(iter(raised))
        raise LikelihoodError(
            f"{type(self.analysis.analyses[name]).__name__}.derived raised FitException at {TRIAL_POINTS} "
            "draws from the prior, for all data sets: what it returns cannot be known."
        )

    @cached_property
    @override
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each variable by its name."""
        return {item.name: item.whole_shape for item in self.variables}

    @property
    @override
    def dims(self) -> dict[str, list[str]]:
        """The dims of the variables that are along a plate."""
        return {item.name: item.dims for item in self.variables if item.dim is not None}

    @override
    def __call__(self, vector: np.ndarray) -> dict[str, np.ndarray]:
        # A graph asks for one variable after the other.
        key = vector.tobytes()
        if self._last[0] == key:
            return self._last[1]
        values, errors = self._found(vector)
        for name, error in errors.items():
            if not isinstance(error, FitException) and name not in self.raised:
                error.add_note(note_of(name))
                raise error
        self._last = key, values
        return values

    @override
    def _found(self, vector: np.ndarray) -> tuple[dict[str, np.ndarray], dict[str, Exception]]:
        instances = self.plan.instance(vector)
        values = {name: np.full(shape, np.nan) for name, shape in self.shapes.items()}
        errors: dict[str, Exception] = {}
        for name, analysis in self.analysis.giving("derived").items():
            wanted = self._of_each[name]
            if name in self.raised and not wanted:
                continue  # nothing is known of it
            try:
                found = called(analysis, instances[name])
                if found.keys() != wanted.keys() or any(
                    found[key].shape != item.shape for key, (item, _) in wanted.items()
                ):
                    raise LikelihoodError(
                        f"{type(analysis).__name__}.derived returned {', '.join(found) or 'nothing'}; "
                        f"elsewhere it returns {', '.join(wanted)}, or arrays of other shapes."
                    )
            except Exception as error:
                errors[name] = error
                continue
            for key, (item, place) in wanted.items():
                values[item.name][() if item.dim is None else place] = found[key]
        return values, errors

    @property
    @override
    def _owners(self) -> dict[str, dict[str, tuple[str, int | None]]]:
        return {
            name: {key: (item.name, None if item.dim is None else place) for key, (item, place) in of.items()}
            for name, of in self._of_each.items()
        }

    @override
    def _told(
        self, values: dict[str, np.ndarray], faults: dict[str, list[Exception]], count: int
    ) -> list[str]:
        return [*self.left_out(), *super()._told(values, faults, count)]

    def left_out(self) -> list[str]:
        """Say of which data sets nothing is known, and why."""
        unknown: dict[type[Exception], list[str]] = {}
        for name, error in self.raised.items():
            if not self._of_each[name]:
                unknown.setdefault(type(error), []).append(name)
        return [
            f"`derived` of {some_of(names, NAMED)} was left out: it failed at {TRIAL_POINTS} draws from the "
            f"prior. The first time: {kind.__name__}: {told(self.raised[names[0]])}"
            for kind, names in unknown.items()
        ]

    @cached_property
    def _of_each(self) -> dict[str, dict[str, tuple[Along, int]]]:
        """What each data set gives: the variables by its own names, and its place along them."""
        found: dict[str, dict[str, tuple[Along, int]]] = {name: {} for name in self.analysis.analyses}
        for item in self.variables:
            for place, name in enumerate(item.factors):
                found[name][item.key] = item, place
        return found
