"""What an analysis consists of: its data, which may differ within a plate, and everything else.

An analysis is looked through: objects of Python classes, lists, tuples and dicts. At each path there is a
number or an array of numbers, which can be an input of a trace; or something else, a text, an integer, a
spline, of which a trace holds the value.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from types import ModuleType
from typing import Any

import numpy as np

from classy_pm.likelihood.analysis import attributes_of

__all__ = [
    "ALL_KINDS",
    "DataSet",
    "Path",
    "Reading",
    "Recorder",
    "are_equal",
    "gather",
    "read",
    "varying_paths",
    "with_data",
]

# Steps from an analysis to a part of it: ("attribute", name) or ("item", index or key).
Path = tuple[tuple[str, Any], ...]

# Of these kinds are numbers, integers and masks among them.
ALL_KINDS = "biufc"
ATTRIBUTE, ITEM = "attribute", "item"
# Their objects are used as they are; what is inside of them is none of the user's.
FOREIGN = (
    *("numpy", "scipy", "pandas", "xarray", "astropy", "jax", "jaxlib", "numba", "pytensor", "pymc"),
    *("logging", "threading", "random", "pathlib", "datetime", "decimal", "fractions"),
)
_OF_CACHED_PROPERTY = cached_property.__get__.__code__


class Reading:
    """What is at each path of one analysis.

    Attributes
    ----------
    tokens : dict of Path to hashable
        What two analyses must have in common for the trace of one to be that of the other. Of numbers that
        may be inputs it is their type and shape.
    contents : dict of Path to hashable
        Those of arrays of which a trace holds the values.
    data : dict of Path to number or numpy.ndarray
        What may be an input of a trace.
    """

    def __init__(self) -> None:
        self.tokens: dict[Path, Any] = {}
        self.contents: dict[Path, Any] = {}
        self.data: dict[Path, Any] = {}


def read(analysis: Any, kinds: str, other: type | None = None) -> Reading:
    """Look through an analysis.

    Parameters
    ----------
    analysis : Analysis
    kinds : str
        Of which kinds of NumPy dtypes arrays may be inputs. Of others, which may be masks and indices, a
        trace holds the values; and of arrays with NaN, unless booleans are among the kinds.
    other : type, optional
        Of arrays that are not NumPy's, and may be inputs.
    """
    reading = Reading()

    def is_input(item: Any) -> bool:
        if other is not None and isinstance(item, other):
            return item.dtype.kind in kinds  # type: ignore[attr-defined]
        return is_data(item, kinds)

    _read(analysis, (), reading, is_input, {}, ())
    return reading


def _read(
    item: Any,
    path: Path,
    reading: Reading,
    is_input: Callable[[Any], bool],
    known: dict[int, Path],
    above: tuple[int, ...],
) -> None:
    tokens = reading.tokens
    if is_input(item):
        reading.data[path] = item
        tokens[path] = (type(item), np.asarray(item).dtype.str, np.shape(item))
    elif type(item) is np.ndarray and item.dtype.kind in "biufc":
        tokens[path] = reading.contents[path] = (item.dtype.str, item.shape, item.tobytes())
    elif id(item) in known:
        tokens[path] = ("again", known[id(item)])
    elif id(item) in above:
        tokens[path] = ("inside of itself", len(above) - above.index(id(item)))
    elif _is_container(item) or _is_object(item):
        if _is_container(item):
            above = (*above, id(item))
        else:
            known[id(item)] = path
        parts = list(_parts(item))
        tokens[path] = (type(item), tuple(step for step, _ in parts))
        for step, part in parts:
            _read(part, (*path, step), reading, is_input, known, above)
    else:
        tokens[path] = _token(item)


def is_data(item: Any, kinds: str) -> bool:
    """Whether something is a real or complex number, or an array of numbers, that may be an input."""
    if isinstance(item, (float, complex, np.floating, np.complexfloating)):
        return np.asarray(item).dtype.itemsize <= 16 and np.asarray(item).dtype.char in "efdFD"
    if type(item) is not np.ndarray:
        return False
    if item.dtype.kind not in (kinds if item.ndim else "fc") or item.dtype.char in "gG":
        return False
    return "b" in kinds or item.dtype.kind in "biu" or bool(np.all(np.isfinite(item)))


def _is_container(item: Any) -> bool:
    kind = type(item)
    return kind in (list, dict) or (isinstance(item, tuple) and (kind is tuple or hasattr(kind, "_fields")))


def _is_object(item: Any) -> bool:
    kind = type(item)
    if isinstance(item, (type, ModuleType, Enum, BaseException)) or callable(item):
        return False
    if hasattr(kind, "__array__") or kind.__module__.partition(".")[0] in FOREIGN:
        return False
    if hasattr(kind, "__del__"):  # of a copy, it would close what the original has open
        return False
    if not (hasattr(item, "__dict__") or any("__slots__" in vars(base) for base in kind.__mro__)):
        return False
    try:
        object.__new__(kind)
    except TypeError:
        return False
    return True


def _parts(item: Any) -> Iterator[tuple[tuple[str, Any], Any]]:
    if isinstance(item, dict):
        yield from (((ITEM, key), part) for key, part in item.items())
    elif _is_container(item):
        yield from (((ITEM, place), part) for place, part in enumerate(item))
    else:
        yield from (((ATTRIBUTE, name), part) for name, part in attributes_of(item).items())


def _token(item: Any) -> Any:
    """Return what is equal for equal things, and of what cannot be compared for the same object alone."""
    if isinstance(item, (set, frozenset)):
        return type(item), frozenset(item)
    if callable(item) or not isinstance(item, (str, bytes, bool, int, float, complex, type(None), Enum)):
        return type(item), id(item)
    return type(item), item


def with_data(analysis: Any, data: Mapping[Path, Any], recorder: Recorder | None = None) -> Any:
    """Return a copy of an analysis with other numbers at some paths.

    Parameters
    ----------
    analysis : Analysis
        It stays as it is, and so does all that is in it.
    data : mapping of Path to number or array
    recorder : Recorder, optional
        Notes which attributes of the copy are read.
    """
    return _copied(analysis, (), data, recorder, {}, ())


def _copied(
    item: Any,
    path: Path,
    data: Mapping[Path, Any],
    recorder: Recorder | None,
    made: dict[int, Any],
    above: tuple[int, ...],
) -> Any:
    if path in data:
        return data[path]
    if id(item) in made:
        return made[id(item)]
    if _is_container(item):
        if id(item) in above:
            return item
        above = (*above, id(item))
        parts = [
            (step[1], _copied(p, (*path, step), data, recorder, made, above)) for step, p in _parts(item)
        ]
        if isinstance(item, dict):
            return dict(parts)
        values = [part for _, part in parts]
        return type(item)(*values) if hasattr(item, "_fields") else type(item)(values)
    if not _is_object(item):
        return item
    new = made[id(item)] = object.__new__(type(item))
    for step, part in _parts(item):
        object.__setattr__(new, step[1], _copied(part, (*path, step), data, recorder, made, above))
    if recorder is not None:
        recorder.watch(new, path)
    return new


@dataclass(frozen=True)
class DataSet:
    """An analysis as it was before its likelihood was called: what that keeps on it is no data.

    Attributes
    ----------
    analysis : Analysis
        A copy, with the same arrays.
    reading : Reading
    """

    analysis: Any
    reading: Reading

    @classmethod
    def of(cls, analysis: Any) -> DataSet:
        """Look through an analysis."""
        return cls(with_data(analysis, {}), read(analysis, ALL_KINDS))


class Recorder:
    """Notes which attributes of an analysis, and of objects in it, are read.

    What is never read cannot make a difference: a data set's name say, or the file that it comes from.
    """

    def __init__(self) -> None:
        self.read: set[Path] = set()
        # Of these any attribute may have been read.
        self.all_of: set[Path] = set()

    def watch(self, item: Any, path: Path) -> None:
        """Note from now on which attributes of an object are read."""
        try:
            object.__setattr__(item, "__class__", _watched(type(item), lambda name: self._note(path, name)))
        except Exception:  # what a class does when it is derived from is the user's
            self.all_of.add(path)

    def _note(self, path: Path, name: str) -> None:
        if name in ("__dict__", "__getstate__", "__reduce__", "__reduce_ex__"):
            if sys._getframe(2).f_code is not _OF_CACHED_PROPERTY:
                self.all_of.add(path)
        else:
            self.read.add((*path, (ATTRIBUTE, name)))

    @property
    def summary(self) -> tuple[frozenset[Path], frozenset[Path]]:
        """What was read, as a key."""
        return frozenset(self.read), frozenset(self.all_of)

    def matters(self, path: Path) -> bool:
        """Whether what is at a path may have been read."""
        for length in range(len(path), 0, -1):
            if path[length - 1][0] == ATTRIBUTE:
                return path[:length] in self.read or path[: length - 1] in self.all_of
        return True


def _watched(kind: type, note: Callable[[str], None]) -> type:
    def __getattribute__(self: Any, name: str) -> Any:
        note(name)
        return kind.__getattribute__(self, name)  # type: ignore[call-arg]

    names = {name: getattr(kind, name) for name in ("__module__", "__qualname__", "__doc__")}
    return type(kind)(
        kind.__name__, (kind,), {"__slots__": (), "__getattribute__": __getattribute__, **names}
    )


def gather[Made](
    readings: Sequence[Reading],
    look: Callable[[list[int], Recorder], Made | None],
    most: int,
    make_recorder: Callable[[], Recorder] = Recorder,
) -> list[tuple[Made, list[int]]]:
    """Put data sets together that are alike in all that is read of them.

    Parameters
    ----------
    readings : sequence of Reading
    look : callable
        Makes something of data sets at some places that are alike in everything, and has a recorder note what
        it reads of the first; None where it cannot.
    most : int
        After it could not so often no more are looked at.
    make_recorder : callable, optional

    Returns
    -------
    list of (object, list of int)
        What was made, and the places of all for which it holds.
    """
    alike: dict[Any, list[int]] = {}
    for place, reading in enumerate(readings):
        alike.setdefault(tuple(reading.tokens.items()), []).append(place)
    found: list[tuple[Made, list[int]]] = []
    # For what was read each time: the places by what stands there.
    known: dict[Any, tuple[Callable[[Path], bool], dict[Any, list[int]]]] = {}
    failures = 0
    for places in alike.values():
        reading = readings[places[0]]
        candidates = (places_of.get(_key(reading, matters)) for matters, places_of in known.values())
        members = next((item for item in candidates if item is not None), None)
        if members is None and failures >= most:
            continue
        if members is None:
            recorder = make_recorder()
            made = look(places, recorder)
            if made is None:
                failures += 1
                continue
            members = []
            found.append((made, members))
            matters, places_of = known.setdefault(recorder.summary, (recorder.matters, {}))
            places_of[_key(reading, matters)] = members
        members += places
    return found


def _key(reading: Reading, matters: Callable[[Path], bool]) -> Any:
    return tuple(item for item in reading.tokens.items() if matters(item[0]))


def varying_paths(readings: Sequence[Reading]) -> set[Path]:
    """Return the paths of data that are not the same in all data sets that have them."""
    first: dict[Path, Any] = {}
    varying: set[Path] = set()
    for reading in readings:
        for path, item in reading.data.items():
            if path in varying:
                continue
            before = first.setdefault(path, item)
            if before is not item and not are_equal(before, item):
                varying.add(path)
    return varying


def are_equal(first: Any, second: Any) -> bool:
    """Whether two numbers or arrays are equal, with the same type, and NaN at the same places."""
    one, other = np.asarray(first), np.asarray(second)
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    return np.array_equal(one, other, equal_nan=one.dtype.kind in "fc")
