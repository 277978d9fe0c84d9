"""The traces that the data sets of a plate need: one for all that differ in numbers alone.

A trace has numbers and arrays as inputs, but their shapes, integers, texts and objects of other kinds are in
it as they are. Data sets that are alike in all of these that the likelihood reads have one trace.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytensor.tensor as pt

from classy_pm.errors import TraceError, WrittenInJaxError
from classy_pm.likelihood.data_inputs import DataInputs, numbers_of
from classy_pm.likelihood.readings import Path, Reading, Recorder, gather, read, varying_paths
from classy_pm.likelihood.trace import Trace, trace
from classy_pm.model.plates import Plate

__all__ = [
    "MOST_FAULTS",
    "Slots",
    "Untraced",
    "Variant",
    "make_slots",
    "refusal_of",
    "trace_variants",
]

# At how many draws from the prior a trace looks for a valid point of each branch, at most.
WITNESSES = 200
# Arrays of which kinds are inputs, tried in this order: the values of masks are best known to a trace, those
# of indices sometimes must be. Where these are not the same in so many data sets, they are inputs.
KINDS = ("iufc", "fc", "biufc")
MOST_TRACES = 500
# After so many traces that could not be made no more are tried.
MOST_FAULTS = 20


@dataclass(frozen=True)
class Slots:
    """What stands in the slots of a plate.

    Attributes
    ----------
    plate : Plate
    columns : list of TensorVariable
        Of all data sets.
    along : list of bool
        Whether a column is along the plate, or the same for all.
    inputs : list of TensorVariable
        What stands there for one data set.
    taken : list of list of (value, bool)
        The columns' values at draws from the prior.
    """

    plate: Plate
    columns: list[Any]
    along: list[bool]
    inputs: list[Any]
    taken: list[list[tuple[Any, bool]]]

    def at_draw(self, number: int, place: int) -> list[Any]:
        """Return the values for one data set at a draw."""
        taken = self.taken[number % len(self.taken)]
        return [value[place] if varies else value for value, varies in taken]


def make_slots(plate: Plate, columns: list[Any], taken: list[list[tuple[Any, bool]]]) -> Slots:
    """Return the slots of a plate, with an input for each."""
    along = [varies for _, varies in taken[0]]
    inputs = [
        pt.tensor(
            name=variable.name,
            dtype="float64",
            shape=variable.type.shape[1:] if varies else variable.type.shape,
        )
        for variable, varies in zip(columns, along, strict=True)
    ]
    return Slots(plate, columns, along, inputs, taken)


@dataclass
class Variant:
    """Data sets that have one trace.

    Attributes
    ----------
    analysis : Analysis
        Of the first of them.
    paths : tuple of Path
        Which of the data are inputs.
    inputs : list of TensorVariable
        One for each of `numbers_of` the data.
    trace : Trace
    places : list of int
        Where along the plate they are.
    """

    analysis: Any
    paths: tuple[Path, ...]
    inputs: list[Any]
    trace: Trace
    places: list[int] = field(default_factory=list)

    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Return the shapes of the inputs."""
        return tuple(variable.type.shape for variable in self.inputs)


@dataclass(frozen=True)
class Untraced:
    """Data sets whose likelihood cannot be traced, and why."""

    names: list[str]
    error: TraceError


def refusal_of(untraced: list[Untraced], count: int) -> TraceError:
    """Return the error that names the factors which cannot be traced."""
    by_reason: dict[str, list[str]] = {}
    for item in untraced:
        by_reason.setdefault(item.error.message, []).extend(item.names)
    found, cure = sum(map(len, by_reason.values())), untraced[0].error.cure
    if len(by_reason) == 1:
        ((reason, names),) = by_reason.items()
        return TraceError(f"{_some(names)}: {reason}", untraced[0].error.faults, cure)
    least = "at least " if len(untraced) >= MOST_FAULTS else ""
    return TraceError(
        f"The likelihoods of {least}{found} of the {count} factors cannot be traced.",
        [f"{_some(names)}: {reason}" for reason, names in by_reason.items()],
        cure,
    )


def _some(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= 4 else f"{', '.join(names[:3])} and {len(names) - 3} others"


def trace_variants(
    slots: Slots, analyses: Sequence[Any]
) -> tuple[list[Variant], list[Reading], list[Untraced]]:
    """Trace the likelihoods of a plate's data sets.

    Parameters
    ----------
    slots : Slots
    analyses : sequence of Analysis
        In the order of the plate.

    Returns
    -------
    variants : list of Variant
        Every data set that can be traced is in one of them.
    readings : list of Reading
        Of each data set.
    untraced : list of Untraced
        All others.
    """
    first: tuple[list[Variant], list[Reading], list[Untraced]] | None = None
    for kinds in KINDS:
        readings = [read(analysis, kinds) for analysis in analyses]
        contents = {tuple(reading.contents.items()) for reading in readings}
        contents -= {()}
        if len(contents) > MOST_TRACES and kinds != KINDS[-1]:
            continue
        variants, untraced = _trace_all(slots, analyses, readings)
        if not untraced:
            return variants, readings, []
        first = first or (variants, readings, untraced)
        if not contents and not any(map(_has_integers, readings)):
            break
    assert first is not None
    return first


def _has_integers(reading: Reading) -> bool:
    return any(np.asarray(item).dtype.kind in "iu" for item in reading.data.values())


def _trace_all(
    slots: Slots, analyses: Sequence[Any], readings: list[Reading]
) -> tuple[list[Variant], list[Untraced]]:
    varying = varying_paths(readings)
    untraced: list[Untraced] = []

    def look(places: list[int], recorder: Recorder) -> Variant | None:
        try:
            return _traced(slots, analyses[places[0]], readings, places, varying, recorder)
        except WrittenInJaxError:
            raise
        except TraceError as error:
            untraced.append(Untraced([slots.plate.names[place] for place in places], error))
            return None

    found = gather(readings, look, MOST_FAULTS)
    for variant, places in found:
        variant.places += places
    return [variant for variant, _ in found], untraced


def _traced(
    slots: Slots,
    analysis: Any,
    readings: Sequence[Reading],
    places: list[int],
    varying: set[Path],
    recorder: Recorder,
) -> Variant:
    """Trace the likelihood of one data set, with what of its data varies as inputs."""
    data = readings[places[0]].data
    inputs = DataInputs.of(data, tuple(path for path in data if path in varying))
    length, build = len(slots.inputs), slots.plate.build_one

    def function(values: list[Any]) -> Any:
        of_one = inputs.put_into(analysis, values[length:], recorder)
        return of_one.log_likelihood_function(build(list(values[:length])))

    witnesses = []
    for number in range(min(WITNESSES, len(slots.taken) * len(places))):
        place = places[number % len(places)]
        arrays = numbers_of([readings[place].data[path] for path in inputs.paths])
        witnesses.append((*slots.at_draw(number, place), *arrays))
    traced = trace(
        function, [*slots.inputs, *inputs.variables], limit=analysis.branch_limit, witnesses=witnesses
    )
    own = inputs.read_by(recorder)
    return Variant(analysis, own.paths, own.variables, traced)
