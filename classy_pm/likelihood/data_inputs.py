"""Data of an analysis as inputs of a trace, and as numbers of a graph that can be written anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytensor.tensor as pt

from classy_pm.likelihood.readings import Path, Recorder, with_data

__all__ = ["DataInputs", "numbers_of", "shadows_of"]


@dataclass(frozen=True)
class DataInputs:
    """What stands for some of the data of an analysis while its likelihood is traced.

    Attributes
    ----------
    paths : tuple of Path
    counts : tuple of int
        How many variables stand for what is at each of them: two for complex numbers.
    variables : list of TensorVariable
        One for each of `numbers_of` the data.
    """

    paths: tuple[Path, ...]
    counts: tuple[int, ...]
    variables: list[Any]

    @classmethod
    def of(cls, data: Mapping[Path, Any], paths: tuple[Path, ...]) -> DataInputs:
        """Make the variables for the data at some paths."""
        chosen = [data[path] for path in paths]
        counts = tuple(2 if np.asarray(item).dtype.kind == "c" else 1 for item in chosen)
        arrays = numbers_of(chosen)
        return cls(paths, counts, [pt.tensor(dtype=item.dtype.name, shape=item.shape) for item in arrays])

    def put_into(self, analysis: Any, values: Sequence[Any], recorder: Recorder | None) -> Any:
        """Return a copy of an analysis with other values, one a variable, in the place of its data."""
        given = iter(values)
        parts = [next(given) + 1j * next(given) if count == 2 else next(given) for count in self.counts]
        return with_data(analysis, dict(zip(self.paths, parts, strict=True)), recorder)

    def read_by(self, recorder: Recorder) -> DataInputs:
        """Return those alone that a recorder has seen being read."""
        paths, counts, variables, start = [], [], [], 0
        for path, count in zip(self.paths, self.counts, strict=True):
            if recorder.matters(path):
                paths.append(path)
                counts.append(count)
                variables += self.variables[start : start + count]
            start += count
        return DataInputs(tuple(paths), tuple(counts), variables)


def numbers_of(data: Sequence[Any]) -> list[np.ndarray]:
    """Return arrays of real numbers for data: of complex ones, the real and imaginary parts."""
    numbers: list[np.ndarray] = []
    for item in data:
        array = np.asarray(item)
        parts = [array.real, array.imag] if array.dtype.kind == "c" else [array]
        numbers += [np.array(part, part.dtype.newbyteorder("="), order="C") for part in parts]
    return numbers


def shadows_of(data: Sequence[Any]) -> list[Any]:
    """Return the same with numbers that are no arrays left as they are: a Python float is one in a trace."""
    shadows: list[Any] = []
    for item in data:
        if isinstance(item, np.ndarray):
            shadows += numbers_of([item])
        else:
            shadows += [item.real, item.imag] if np.asarray(item).dtype.kind == "c" else [item]
    return shadows
