"""Data sets of a graph of factors that JAX computes side by side, by one `jax.vmap` over their data.

What JAX compiles is then as large as for one data set. Data sets of several lengths are several groups; one
whose likelihood cannot take its data as JAX's tracers is a group by itself, with its data as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from classy_pm.errors import FitException, TraceError
from classy_pm.likelihood.evaluate import in_double_precision
from classy_pm.likelihood.jax_likelihood import in_jax, require_jax
from classy_pm.likelihood.jax_refusals import refusal
from classy_pm.likelihood.joint import JointAnalysis
from classy_pm.likelihood.plates.variants import MOST_FAULTS, Untraced, refusal_of
from classy_pm.likelihood.readings import (
    Path,
    Reading,
    Recorder,
    gather,
    read,
    varying_paths,
    with_data,
)
from classy_pm.likelihood.warn import warn
from classy_pm.model import Expression, PlateLayout
from classy_pm.model.columns import aligned, element, stack
from classy_pm.model.plates import Plate
from classy_pm.plan import Plan

__all__ = ["LIKELIHOOD", "TERMS", "Columns", "Group", "columns_in_jax", "make_groups"]

# The methods of an analysis that are computed.
LIKELIHOOD, TERMS = "log_likelihood_function", "log_likelihood_pointwise"
# Arrays of which kinds are JAX's tracers, tried in this order: a mask that an array is indexed by must not be
# one, nor an integer that is a length.
KINDS = ("biufc", "iufc", "fc")
# From so many data sets that are computed one by one it is told why.
MANY = 20

# What stands in the slots of a plate, and whether it is along it.
Columns = list[tuple[Any, bool]]


@dataclass(frozen=True)
class Group:
    """Data sets of a plate that are computed side by side.

    Attributes
    ----------
    plate : Plate
    places : numpy.ndarray of int
        Where along the plate they are, in order.
    analysis : Analysis
        Of the first of them.
    paths : tuple of Path
        Where in it there are data that the others have otherwise.
    data : tuple of array, shape (data sets, ...)
        Those of all.
    """

    plate: Plate
    places: np.ndarray
    analysis: Any
    paths: tuple[Path, ...] = ()
    data: tuple[Any, ...] = ()

    @property
    def names(self) -> list[str]:
        """The data sets."""
        return [self.plate.names[place] for place in self.places]

    def values(self, columns: Columns, method: str = LIKELIHOOD, recorder: Recorder | None = None) -> Any:
        """Return what a method of the analyses gives, with an element of the first axis a data set.

        Parameters
        ----------
        columns : list of (value, bool)
            Of the plate.
        method : str
        recorder : Recorder, optional
            Notes what is read of the first analysis.
        """
        count = len(self.places)
        if count == len(self.plate.names):
            slots = [value for value, _ in columns]
        else:
            slots = [value[self.places] if varies else value for value, varies in columns]
        along = [varies for _, varies in columns]
        if count == 1 and recorder is None:
            alone = [value[0] if varies else value for value, varies in zip(slots, along, strict=True)]
            return self._one(method, alone, (), None)[None]
        return self._side_by_side(method, slots, along, self.data, count, recorder)

    def some(self, columns: Columns, chosen: Any) -> Any:
        """Return the log likelihoods of some of the data sets, for a vector of where in `places` they are."""
        count = chosen.shape[0]
        if len(self.places) == 1:
            return require_jax().numpy.broadcast_to(self.values(columns), (count,))
        jnp = require_jax().numpy
        places = jnp.asarray(self.places)[chosen]
        slots = [jnp.asarray(value)[places] if varies else value for value, varies in columns]
        data = tuple(jnp.asarray(array)[chosen] for array in self.data)
        return self._side_by_side(LIKELIHOOD, slots, [varies for _, varies in columns], data, count, None)

    def one(self, member: int, slots: Sequence[Any], along: Sequence[bool]) -> Any:
        """Return the log likelihood of one of the data sets, computed as it is among all of them.

        Parameters
        ----------
        member : int
            Where in `places` it is.
        slots : sequence
            What stands in the slots of its model.
        along : sequence of bool
            Whether that is along the plate.
        """
        if len(self.places) == 1:
            return self._one(LIKELIHOOD, list(slots), (), None)
        data = tuple(array[member : member + 1] for array in self.data)
        spread = [slot[None] if varies else slot for slot, varies in zip(slots, along, strict=True)]
        return self._side_by_side(LIKELIHOOD, spread, list(along), data, 1, None)[0]

    def _side_by_side(
        self,
        method: str,
        slots: list[Any],
        along: list[bool],
        data: tuple[Any, ...],
        count: int,
        recorder: Recorder | None,
    ) -> Any:
        def one(slots: list[Any], data: tuple[Any, ...]) -> Any:
            return self._one(method, slots, data, recorder)

        axes = ([0 if varies else None for varies in along], tuple(0 for _ in data))
        return require_jax().vmap(one, in_axes=axes, axis_size=count)(slots, data)

    def _one(self, method: str, slots: list[Any], data: tuple[Any, ...], recorder: Recorder | None) -> Any:
        """Return what the method gives of one data set."""
        analysis = self.analysis
        if self.paths or recorder is not None:
            analysis = with_data(analysis, dict(zip(self.paths, data, strict=True)), recorder)
        try:
            with np.errstate(all="ignore"):
                value = getattr(analysis, method)(self.plate.build_one(list(slots)))
        except FitException as error:  # it was no parameter that decided so: it is impossible everywhere
            if method != LIKELIHOOD:
                raise refusal(error) from error
            value = -np.inf
        except Exception as error:
            raise refusal(error) from error
        return require_jax().numpy.asarray(value).astype("float64")


def columns_in_jax(layout: PlateLayout, parameters: Sequence[Any]) -> list[Columns]:
    """Return the columns of each plate, given JAX's arrays for the free parameters."""
    known: dict[Expression, Any] = dict(
        zip((item.prior for item in layout.parameters), parameters, strict=True)
    )

    def value_of(expression: Any) -> Any:
        if not isinstance(expression, Expression):
            return expression
        if expression not in known:
            derived: Any = expression
            known[expression] = _function_of(derived.function)(*map(value_of, derived.operands))
        return known[expression]

    return [layout.columns_of(plate, value_of) for plate in layout.plates]


def _function_of(function: Any) -> Callable[..., Any]:
    if function in (aligned, element):
        return function
    return _stacked if function is stack else in_jax(function)


def _stacked(*items: Any) -> Any:
    if all(isinstance(item, (int, float, np.number)) for item in items):
        return np.array(items, dtype=float)
    jnp = require_jax().numpy
    return jnp.stack([jnp.asarray(item, dtype="float64") for item in items])


def make_groups(plan: Plan, joint: JointAnalysis, alone: Collection[str] = ()) -> list[Group]:
    """Put the data sets of a graph together in groups that JAX can trace.

    Parameters
    ----------
    plan : Plan
        Of a graph of factors.
    joint : JointAnalysis
    alone : collection of str
        Data sets that are to be groups by themselves.

    Raises
    ------
    TraceError
        If JAX cannot trace some of them even so; names them and the user's line.
    """
    return _Maker(plan, joint, alone).groups()


class _Maker:
    def __init__(self, plan: Plan, joint: JointAnalysis, alone: Collection[str]) -> None:
        assert isinstance(plan.layout, PlateLayout)
        self.layout: PlateLayout = plan.layout
        self.joint = joint
        self.alone = alone
        self.untraced: list[Untraced] = []
        # Why data sets are not computed side by side.
        self.reasons: list[str] = []

    def groups(self) -> list[Group]:
        """Return all groups, plate by plate."""
        with in_double_precision():
            found = [group for number in range(len(self.layout.plates)) for group in self._of_plate(number)]
        if self.untraced:
            raise refusal_of(self.untraced, len(self.joint.analyses))
        single = sum(len(group.places) == 1 for group in found)
        if self.reasons and single >= MANY:
            warn(
                f"{single} of {len(self.joint.analyses)} data sets are compiled one by one, which takes "
                "long, because the likelihood cannot be traced with their data as JAX's tracers. "
                f"{self.reasons[0]}"
            )
        return found

    def _of_plate(self, number: int) -> list[Group]:
        plate = self.layout.plates[number]
        left = [place for place, name in enumerate(plate.names) if name not in self.alone]
        found: list[Group] = []
        for kinds in KINDS:
            found += self._gathered(number, left, kinds)
            taken = {int(place) for group in found for place in group.places}
            left = [place for place in left if place not in taken]
            if not left:
                break
        taken = {int(place) for group in found for place in group.places}
        for place, name in enumerate(plate.names):
            if place not in taken and len(self.untraced) < MOST_FAULTS:
                group = Group(plate, np.array([place]), self.joint.analyses[name])
                try:
                    self._look(number, group)
                except TraceError as error:
                    self.untraced.append(Untraced([name], error))
                found.append(group)
        return sorted(found, key=lambda group: int(group.places[0]))

    def _gathered(self, number: int, left: list[int], kinds: str) -> list[Group]:
        """Return groups of data sets, as far as JAX can trace them with arrays of some kinds as tracers."""
        plate = self.layout.plates[number]
        analyses = [self.joint.analyses[plate.names[place]] for place in left]
        readings = [read(analysis, kinds, require_jax().Array) for analysis in analyses]
        varying = varying_paths(readings)

        def look(members: list[int], recorder: Recorder) -> tuple[Path, ...] | None:
            paths = tuple(path for path in readings[members[0]].data if path in varying)
            group = self._group(plate, left, analyses, readings, members, paths)
            try:
                self._look(number, group, recorder)
            except TraceError as error:
                self.reasons.append(error.message)
                return None
            return tuple(path for path in paths if recorder.matters(path))

        found = gather(readings, look, MOST_FAULTS, _Recorder)
        groups = [self._group(plate, left, analyses, readings, members, paths) for paths, members in found]
        return [
            group if len(group.places) > 1 else Group(plate, group.places, group.analysis) for group in groups
        ]

    def _group(
        self,
        plate: Plate,
        left: list[int],
        analyses: list[Any],
        readings: list[Reading],
        members: list[int],
        paths: tuple[Path, ...],
    ) -> Group:
        members = sorted(members)
        places = np.array([left[member] for member in members])
        data = tuple(_as_one_array([readings[member].data[path] for member in members]) for path in paths)
        return Group(plate, places, analyses[members[0]], paths, data)

    def _look(self, number: int, group: Group, recorder: Recorder | None = None) -> None:
        """Have JAX trace a group, and note what is read of its analysis."""
        jax = require_jax()

        def values(method: str) -> Callable[..., Any]:
            return lambda *parameters: group.values(
                columns_in_jax(self.layout, parameters)[number], method, recorder
            )

        shapes = [jax.ShapeDtypeStruct(item.shape, "float64") for item in self.layout.parameters]
        traced = jax.eval_shape(values(LIKELIHOOD), *shapes)
        if traced.shape != (len(group.places),):
            raise TraceError(f"The log likelihood is an array of shape {traced.shape[1:]}.")
        if recorder is not None and self.joint.gives_of_all(TERMS):
            # Why there are no terms is told where they are wanted.
            with suppress(TraceError):
                jax.eval_shape(values(TERMS), *shapes)


class _Recorder(Recorder):
    """Leaves objects as they are that are trees of arrays to JAX, which knows their classes alone."""

    def watch(self, item: Any, path: Path) -> None:
        if require_jax().tree_util.all_leaves([item]):
            super().watch(item, path)
        else:
            self.all_of.add(path)


def _as_one_array(items: list[Any]) -> Any:
    """Return data side by side, those of JAX as an array of JAX's."""
    jax = require_jax()
    if isinstance(items[0], jax.Array):
        return jax.numpy.stack(items)
    return np.stack([np.asarray(item) for item in items])
