"""Views of traced arrays: one memory, seen through many arrays, as NumPy has it.

NumPy made the shadows, so it has already decided which arrays share memory and which element of
one is which element of the other. Only the map from a view to its owner is read off here, from
address and strides; then a write through any view is a write to the owner, and the next read of
any other view sees it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytensor.tensor as pt

from classy_pm.likelihood.trace.complexes import Pair
from classy_pm.likelihood.trace.words import refuse

if TYPE_CHECKING:
    from classy_pm.likelihood.trace.session import Session


def owner_of(array: np.ndarray) -> np.ndarray:
    """Return the array that owns the memory of this one."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def positions_in(view: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """Return, for each element of a view, its position in the owner, counted in C order.

    Parameters
    ----------
    view, owner : ndarray
        Arrays of the same item size that share memory; the owner is contiguous.
    """
    if view.itemsize != owner.itemsize:
        refuse(
            "a part (real or imaginary) of a traced array is written to, or read after a write",
            "Build the complex array anew: `real + 1j * imaginary`.",
        )
    names = np.empty_like(owner, dtype=np.int64)  # the same order in memory as the owner
    names[...] = np.arange(owner.size).reshape(owner.shape)
    flat = names.ravel(order="K")
    start = view.__array_interface__["data"][0] - owner.__array_interface__["data"][0]
    strides = [stride // owner.itemsize * flat.itemsize for stride in view.strides]
    if view.size == 0:
        return np.empty(view.shape, np.int64)
    return np.lib.stride_tricks.as_strided(
        flat[start // owner.itemsize :], shape=view.shape, strides=strides
    ).copy()


class Memory:
    """The content of one piece of memory, as it stands after the writes made so far.

    Attributes
    ----------
    owner : ndarray
        The shadow that owns the memory.
    content : Pair
        Variables in the shape of the owner.
    version : int
        Number of writes.
    """

    __slots__ = ("content", "owner", "session", "version")

    def __init__(self, session: Session, owner: np.ndarray, content: Pair) -> None:
        self.session = session
        self.owner = owner
        self.content = content
        self.version = 0

    def read(self, view: np.ndarray) -> Pair:
        """Return what an array sees now."""
        if view is self.owner:
            return self.content
        positions = positions_in(view, self.owner)
        return Pair(*(self._part(part, positions) for part in self.content))

    def write(self, view: np.ndarray, new: Pair) -> None:
        """Give the elements of a view new values."""
        self.version += 1
        if view is self.owner:
            self.content = new
            return
        positions = positions_in(view, self.owner)
        if np.unique(positions).size != positions.size:
            refuse(
                "a traced array is written to through a view in which elements overlap",
                "Write to the array itself.",
            )
        real, imaginary = self.content
        if new.imaginary is not None and imaginary is None:
            imaginary = pt.zeros_like(real)
        parts = [self._replaced(real, positions, new.real)]
        if imaginary is not None:
            parts.append(self._replaced(imaginary, positions, new.imag()))
        self.content = Pair(*parts)

    def _part(self, part: Any, positions: np.ndarray) -> Any:
        if part is None:
            return None
        flat = part.reshape((self.owner.size,))
        taken = gathered(flat, positions)
        return self.session.intern(taken)

    def _replaced(self, part: Any, positions: np.ndarray, value: Any) -> Any:
        flat = part.reshape((self.owner.size,))
        target = _run(flat, positions)
        flat = pt.set_subtensor(target, value.reshape((positions.size,)))
        return self.session.intern(flat.reshape(self.owner.shape))


def gathered(flat: Any, positions: np.ndarray) -> Any:
    """Return the elements of a vector at positions, in the shape of the positions."""
    return _run(flat, positions).reshape(positions.shape)


def _run(flat: Any, positions: np.ndarray) -> Any:
    """Index a vector by positions, as a slice where they are evenly spaced."""
    places = positions.ravel()
    if places.size > 1:
        step = int(places[1] - places[0])
        if step > 0 and np.array_equal(places, np.arange(places[0], places[-1] + 1, step)):
            return flat[int(places[0]) : int(places[-1]) + 1 : step]
    elif places.size == 1:
        return flat[int(places[0]) : int(places[0]) + 1]
    return flat[places]
