"""The pieces of the source: statements, loops, and where their buffers are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from classy_pm.graph.native.places import LINE, Buffer, Number, Place, Value

__all__ = ["Loop", "Step", "addresses", "allocate"]


@dataclass
class Step:
    """A piece of the source, written when it is known where each buffer is."""

    reads: list[Buffer]
    writes: list[Buffer]
    render: Callable[[], list[str]]


class Loop:
    """One pass over a shape: what is read, computed and written for each element."""

    def __init__(self, shape: Sequence[int]) -> None:
        self.shape = tuple(shape)
        self.loads: dict[Place, str] = {}
        self.body: list[str] = []
        self.registers: dict[Any, str] = {}
        self.stores: list[tuple[Place, str, str]] = []
        self.sums: list[tuple[str, str]] = []

    def operand(self, value: Value, shape: Sequence[int] | None = None) -> str:
        """Return the name of a value's element."""
        if isinstance(value, Number):
            return value.code
        view = _without_ones(value.broadcast(self.shape if shape is None else shape))
        return self.loads.setdefault(view, f"v{len(self.loads)}")

    def step(self) -> Step:
        """Return the loop as a step."""
        stores = [(_without_ones(place), operator, code) for place, operator, code in self.stores]
        places = [*self.loads, *(place for place, _, _ in stores)]

        def render() -> list[str]:
            lengths, strides = _collapse([n for n in self.shape if n != 1], [p.strides for p in places])
            views = [
                Place(p.buffer, p.offset, s, tuple(lengths)) for p, s in zip(places, strides, strict=True)
            ]
            indices = [f"i{axis}" for axis in range(len(lengths))]
            lines = [f"{name} = 0.0" for name, _ in self.sums]
            lines += [
                "    " * axis + f"for i{axis} in range({length}):" for axis, length in enumerate(lengths)
            ]
            inner = "    " * len(lengths)
            for view, name in zip(views, self.loads.values(), strict=False):
                lines.append(f"{inner}{name} = {view.at(indices)}")
            lines += [inner + code for code in self.body]
            lines += [f"{inner}{name} = in_any_order({name}, {code})" for name, code in self.sums]
            for view, (_, operator, code) in zip(views[len(self.loads) :], stores, strict=True):
                lines.append(f"{inner}{view.at(indices)} {operator} {code}")
            return lines

        written = [place.buffer for place, _, _ in stores]
        read = [place.buffer for place in self.loads]
        return Step(read + [p.buffer for p, op, _ in stores if op != "="], written, render)


def addresses(places: Sequence[Place]) -> list[str]:
    """Return the statements that write the addresses of places for a function that is not of the source."""
    return [
        f"w[{index}] = {place.buffer.code}.ctypes.data + {place.start * np.dtype(place.dtype).itemsize}"
        for index, place in enumerate(places)
    ]


def allocate(steps: Sequence[Step], pinned: set[int]) -> dict[str, int]:
    """Give each buffer its part of the common array, using parts again; return the arrays' sizes."""
    last: dict[int, int] = {}
    for number, step in enumerate(steps):
        for buffer in (*step.reads, *step.writes):
            last[id(buffer)] = number
    free: dict[str, list[tuple[int, int]]] = defaultdict(list)  # size, start
    sizes: dict[str, int] = {}
    placed: set[int] = set()
    for number, step in enumerate(steps):
        here = {id(buffer): buffer for buffer in (*step.writes, *step.reads) if not buffer.name}
        for key, buffer in here.items():
            if key in placed:
                continue
            placed.add(key)
            size = -(-buffer.size // LINE) * LINE
            fitting = next((item for item in free[buffer.dtype] if item[0] == size), None)
            if fitting is not None:
                free[buffer.dtype].remove(fitting)
                buffer.start = fitting[1]
            else:
                buffer.start = sizes.get(buffer.dtype, 0)
                sizes[buffer.dtype] = buffer.start + size
        for key, buffer in here.items():
            if last[key] == number and key not in pinned:
                free[buffer.dtype].append((-(-buffer.size // LINE) * LINE, buffer.start))
    return sizes


def _without_ones(place: Place) -> Place:
    kept = [(n, stride) for n, stride in zip(place.shape, place.strides, strict=True) if n != 1]
    return Place(place.buffer, place.offset, tuple(stride for _, stride in kept), tuple(n for n, _ in kept))


def _collapse(
    lengths: Sequence[int], strides: Sequence[Sequence[int]]
) -> tuple[list[int], list[tuple[int, ...]]]:
    """Make one axis of neighbouring ones where every stride allows it."""
    lengths, columns = list(lengths), [list(item) for item in strides]
    for axis in range(len(lengths) - 2, -1, -1):
        if all(item[axis] == item[axis + 1] * lengths[axis + 1] for item in columns):
            lengths[axis : axis + 2] = [lengths[axis] * lengths[axis + 1]]
            for item in columns:
                item[axis : axis + 2] = [item[axis + 1]]
    return lengths, [tuple(item) for item in columns]
