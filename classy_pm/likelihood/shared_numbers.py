"""Numbers that compiled functions read anew whenever they are called."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt

__all__ = ["SharedNumbers"]


class SharedNumbers:
    """Arrays that are views of one vector, and the shared variables that stand for them in graphs.

    What is written into the vector is what functions compute with that are compiled already.

    Parameters
    ----------
    shapes : sequence of tuple of int
    names : sequence of str

    Attributes
    ----------
    vector : numpy.ndarray, float64
    symbols : list of SharedVariable
        One an array, float64.
    """

    def __init__(self, shapes: Sequence[tuple[int, ...]], names: Sequence[str]) -> None:
        self._shapes = list(shapes)
        ends = np.cumsum([prod(shape) for shape in self._shapes], dtype=int)
        self._places = list(map(slice, [0, *ends[:-1]], ends))
        self.vector = np.zeros(int(ends[-1]) if len(ends) else 0)
        self.symbols = [
            pytensor.shared(view, name=name, shape=view.shape, borrow=True)
            for view, name in zip(self._views(), names, strict=True)
        ]

    def _views(self) -> list[np.ndarray]:
        places = zip(self._places, self._shapes, strict=True)
        return [self.vector[place].reshape(shape) for place, shape in places]

    def parts_of(self, vector: Any) -> dict[Any, Any]:
        """Return what of a symbolic vector like this one stands for each of the symbols."""
        places = zip(self.symbols, self._places, self._shapes, strict=True)
        return {symbol: pt.reshape(vector[place], shape) for symbol, place, shape in places}

    def move_to(self, vector: np.ndarray) -> None:
        """Have the numbers in another vector of the same length from now on."""
        vector[...] = self.vector
        self.vector = vector
        for symbol, view in zip(self.symbols, self._views(), strict=True):
            symbol.set_value(view, borrow=True)
