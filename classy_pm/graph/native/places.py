"""Where values are while machine code runs: numbers in registers, arrays in buffers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

__all__ = ["Buffer", "Number", "Place", "Value", "contiguous"]

# Lengths of buffers are rounded up to this, so that each begins at a cache line.
LINE = 8


@dataclass(eq=False)
class Buffer:
    """A one-dimensional array, or a part of the one that holds all intermediate results.

    Attributes
    ----------
    dtype : str
    size : int
    name : str
        The variable of the source, for an array of its own; empty for a part of the common one.
    start : int
        Where in the common one.
    """

    dtype: str
    size: int
    name: str = ""
    start: int = 0

    @property
    def code(self) -> str:
        """The name of the array in the source."""
        return self.name or f"m_{self.dtype}"


@dataclass(frozen=True)
class Number:
    """One value, which may stand for an array that has it everywhere."""

    code: str
    dtype: str
    shape: tuple[int, ...] = ()

    def reshape(self, shape: Sequence[int]) -> Number:
        """Return it in another shape."""
        return replace(self, shape=tuple(shape))


@dataclass(frozen=True)
class Place:
    """An array in a buffer; strides and offset count elements."""

    buffer: Buffer
    offset: int
    strides: tuple[int, ...]
    shape: tuple[int, ...]

    @property
    def dtype(self) -> str:
        """The dtype of the elements."""
        return self.buffer.dtype

    @property
    def size(self) -> int:
        """The number of elements."""
        return prod(self.shape)

    @property
    def start(self) -> int:
        """Where the first element is in the array that the source names."""
        return self.buffer.start + self.offset

    @property
    def is_contiguous(self) -> bool:
        """Whether the elements follow each other in C's order."""
        return _squeezed(self) == _squeezed(contiguous(self.buffer, self.shape))

    def at(self, indices: Sequence[str]) -> str:
        """Return the source of an element."""
        terms = [
            index if stride == 1 else f"{index} * {stride}"
            for index, stride in zip(indices, self.strides, strict=True)
            if stride
        ]
        if self.start or not terms:
            terms.insert(0, str(self.start))
        return f"{self.buffer.code}[{' + '.join(terms)}]"

    def reshape(self, shape: Sequence[int]) -> Place | None:
        """Return the same elements in another shape, or None where they would have to be copied."""
        if not self.is_contiguous:
            return None
        return replace(contiguous(self.buffer, shape), offset=self.offset)

    def shuffle(self, order: Sequence[int | str]) -> Place:
        """Return the view with its axes in another order, "x" being a new one of length 1."""
        strides = tuple(0 if axis == "x" else self.strides[int(axis)] for axis in order)
        shape = tuple(1 if axis == "x" else self.shape[int(axis)] for axis in order)
        return replace(self, strides=strides, shape=shape)

    def broadcast(self, shape: Sequence[int]) -> Place:
        """Return the view of a larger shape."""
        new = len(shape) - len(self.shape)
        lengths = (1,) * new + self.shape
        strides = [
            0 if have == 1 else stride
            for have, stride in zip(lengths, (0,) * new + self.strides, strict=True)
        ]
        return replace(self, strides=tuple(strides), shape=tuple(shape))

    def take(self, index: Sequence[int | slice]) -> Place:
        """Return the view that integers and slices select."""
        offset, strides, shape = self.offset, [], []
        for axis, (length, stride) in enumerate(zip(self.shape, self.strides, strict=True)):
            entry = index[axis] if axis < len(index) else slice(None)
            if isinstance(entry, slice):
                taken = range(length)[entry]
                offset += (taken.start if len(taken) else 0) * stride
                strides.append(stride * taken.step)
                shape.append(len(taken))
            else:
                offset += range(length)[entry] * stride
        return Place(self.buffer, offset, tuple(strides), tuple(shape))


Value = Number | Place


def contiguous(buffer: Buffer, shape: Sequence[int]) -> Place:
    """Return all of a buffer as an array in C's order."""
    strides = tuple(prod(shape[axis + 1 :]) for axis in range(len(shape)))
    return Place(buffer, 0, strides, tuple(shape))


def _squeezed(place: Place) -> list[tuple[int, int]]:
    return [(n, stride) for n, stride in zip(place.shape, place.strides, strict=True) if n != 1]
