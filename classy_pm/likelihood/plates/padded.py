"""Variables of several traces as one: of the largest shape, each data set fills the beginning of the axes.

Beyond a data set's own length an array holds copies of its last element along that axis, so that what is
computed there is as finite as what is computed from the data.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Constant

__all__ = ["NotOne", "Padded", "Tables", "padded_to"]


class NotOne(Exception):
    """The traces cannot be put together; the text says why."""


class Tables:
    """Inputs of a merged graph that differ from variant to variant: constants, places, masks.

    Attributes
    ----------
    values : dict of TensorVariable to numpy.ndarray, shape (variants, ...)
    """

    def __init__(self) -> None:
        self.values: dict[Any, np.ndarray] = {}
        self._known: dict[Any, Any] = {}

    def input_of(self, table: np.ndarray) -> Any:
        """Return the input that has these values, an element of the first axis a variant."""
        key = (table.dtype.str, table.shape, table.tobytes())
        if key not in self._known:
            variable = pt.tensor(dtype=table.dtype.name, shape=table.shape[1:])
            self._known[key] = variable
            self.values[variable] = table
        return self._known[key]

    def mask(self, lengths: np.ndarray, size: int) -> Any:
        """Return which places of an axis are a data set's own."""
        return self.input_of(np.arange(size) < lengths[:, np.newaxis])


class Padded:
    """A variable of each trace, and what stands for all of them.

    Parameters
    ----------
    tables : Tables
    each : sequence of TensorVariable
        The variable in each trace.
    variable : TensorVariable, optional
        The merged one; of constants it is made when it is used.
    """

    def __init__(self, tables: Tables, each: Sequence[Any], variable: Any = None) -> None:
        self.tables = tables
        self.each = tuple(each)
        shapes = [getattr(item.type, "shape", ()) for item in each]
        if any(None in shape or len(shape) != len(shapes[0]) for shape in shapes):
            raise NotOne("the number of axes differs")
        self.shapes = np.array(shapes, dtype=int).reshape(len(shapes), -1)
        if np.any(self.shapes == 0) and len(set(shapes)) > 1:
            raise NotOne("some arrays are empty, and there is nothing to fill them with")
        self.largest = tuple(int(length) for length in self.shapes.max(axis=0))
        self._variable = variable

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.largest)

    @cached_property
    def ragged(self) -> tuple[int, ...]:
        """The axes whose lengths differ."""
        return tuple(axis for axis in range(self.ndim) if np.any(self.lengths(axis) != self.largest[axis]))

    def lengths(self, axis: int) -> np.ndarray:
        """Return the length of an axis in each trace."""
        return self.shapes[:, axis]

    @cached_property
    def constants(self) -> list[np.ndarray] | None:
        """The values in each trace, if it is a constant."""
        if not all(isinstance(item, Constant) for item in self.each):
            return None
        return [np.asarray(item.data) for item in self.each]

    @property
    def differs(self) -> bool:
        """Whether it is a constant that is not the same in all traces."""
        values = self.constants
        return values is not None and not all(_same(values[0], other) for other in values[1:])

    @property
    def variable(self) -> Any:
        """The merged variable."""
        if self._variable is None:
            assert self.constants is not None
            if self.differs:
                table = np.stack([padded_to(value, self.largest) for value in self.constants])
                self._variable = self.tables.input_of(table)
            else:
                self._variable = self.each[0]
        return self._variable

    def masked(self, axes: Sequence[int], neutral: Any) -> Any:
        """Return the merged variable with a number in place of what is no data set's own along some axes."""
        variable = self.variable
        for axis in set(axes) & set(self.ragged):
            mask = self.tables.mask(self.lengths(axis), self.largest[axis])
            beside = [place for place in range(self.ndim) if place != axis]
            mask = mask.dimshuffle(["x" if place in beside else 0 for place in range(self.ndim)])
            variable = pt.switch(mask, variable, np.asarray(neutral, variable.type.dtype))
        return variable


def _same(first: np.ndarray, other: np.ndarray) -> bool:
    return first is other or (
        first.shape == other.shape
        and first.dtype == other.dtype
        and np.array_equal(first, other, equal_nan=first.dtype.kind in "fc")
    )


def padded_to(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return an array with copies of its last elements behind it along each axis."""
    if array.shape == shape:
        return array
    width = [(0, wanted - length) for wanted, length in zip(shape, array.shape, strict=True)]
    return np.pad(array, width, mode="edge")
