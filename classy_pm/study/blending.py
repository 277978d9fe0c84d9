"""Objects between objects: every float of theirs interpolated, and the objects built anew of it."""

from __future__ import annotations

import enum
import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from classy_pm.errors import ClassyError, Faults
from classy_pm.model import Instance
from classy_pm.model.expressions import is_number
from classy_pm.model.signature import Signature, read_signature

__all__ = ["Blender", "equal"]

Path = tuple[str, ...]


class Blender:
    """Makes an object of several, with the floats that a function gives of theirs.

    Parameters
    ----------
    between : callable
        From the values of a float, or of an array of floats, of each object, shape (objects, ...), to that of
        the new one.
    along : tuple of str
        The path at which stands what it is interpolated along.
    value : float
        And its value in the new object.
    """

    def __init__(self, between: Callable[[np.ndarray], Any], along: Path, value: float) -> None:
        self.between = between
        self.along = along
        self.value = value
        self.faults = Faults()
        # What is made of the same objects, and these objects, so that no id is given twice.
        self._made: dict[tuple[int, ...], tuple[Any, Sequence[Any]]] = {}

    def tell(self) -> None:
        """Raise one error that tells of all that cannot be interpolated."""
        self.faults.raise_as(
            ClassyError,
            "These objects cannot be interpolated.",
            cure="Floats and arrays of them are interpolated; all else must be the same in all of them.",
        )

    def of(self, values: Sequence[Any], path: Path = ()) -> Any:
        """Return what stands at a path of the new object, given what stands there in each of the others."""
        first = values[0]
        if path == self.along and all(map(is_number, values)):
            whole = all(isinstance(value, (int, np.integer)) for value in values)
            return int(self.value) if whole and self.value.is_integer() else self.value
        if all(equal(value, first) for value in values[1:]):
            return first
        if all(map(is_number, values)) and any(isinstance(value, (float, np.floating)) for value in values):
            return self._floats(values, path)
        if any(type(value) is not type(first) for value in values):
            kinds = ", ".join(dict.fromkeys(type(value).__name__ for value in values))
            return self._fault(path, f"is of several types: {kinds}")
        if isinstance(first, np.ndarray):
            return self._array(values, path)
        if type(first) in (list, tuple):
            if len({len(value) for value in values}) > 1:
                return self._fault(path, "has several lengths")
            parts = [
                self.of(part, (*path, str(place))) for place, part in enumerate(zip(*values, strict=True))
            ]
            return type(first)(parts)
        if type(first) is dict or isinstance(first, Instance):
            return self._mapping(values, path)
        if (
            is_number(first)
            or type(first).__module__ in ("builtins", "numpy")
            or isinstance(first, enum.Enum)
        ):
            kind = "an integer" if is_number(first) else f"a {type(first).__name__}"
            shown = ", ".join(dict.fromkeys(repr(value)[:40] for value in values))
            return self._fault(path, f"is {kind} that is not the same in all: {shown}")
        key = tuple(map(id, values))
        if key not in self._made:  # one object in two places is one object again
            self._made[key] = self._object(values, path), values
        return self._made[key][0]

    def _fault(self, path: Path, text: str) -> None:
        self.faults.add(".".join(path), text)

    def _floats(self, values: Sequence[Any], path: Path) -> Any:
        numbers = np.array(values, dtype=float)
        if not np.all(np.isfinite(numbers)):
            return self._fault(path, "is not finite in all of them")
        return self.between(numbers)

    def _array(self, values: Sequence[np.ndarray], path: Path) -> Any:
        if len({value.shape for value in values}) > 1:
            return self._fault(path, "has several shapes")
        if any(value.dtype.kind != "f" for value in values):
            return self._fault(path, f"is an array of {values[0].dtype} that is not the same in all")
        return self._floats(values, path)

    def _mapping(self, values: Sequence[Any], path: Path) -> Any:
        parts = [dict(vars(value) if isinstance(value, Instance) else value) for value in values]
        if any(part.keys() != parts[0].keys() for part in parts):
            return self._fault(path, "has other names in some of them")
        made = {name: self.of([part[name] for part in parts], (*path, str(name))) for name in parts[0]}
        return Instance(made) if isinstance(values[0], Instance) else made

    def _object(self, values: Sequence[Any], path: Path) -> Any:
        """Return an object of a user's class, made by its constructor so that what it computes is right."""
        cls = type(values[0])
        try:
            signature = read_signature(cls)
            again = [_made_by_constructor(value, signature) for value in values]
        except Exception as error:
            text = getattr(error, "message", None) or f"{type(error).__name__}: {error}"
            return self._fault(path, f"is a {cls.__name__} that cannot be built again: {text}")
        names = [argument.name for argument in signature.arguments]
        for name in names:
            if not all(
                equal(getattr(one, name), getattr(two, name)) for one, two in zip(values, again, strict=True)
            ):
                return self._fault(
                    (*path, name), f"is not what the constructor of {cls.__name__} was given as `{name}`"
                )
        made = self._called(
            cls,
            signature,
            {name: self.of([getattr(value, name) for value in values], (*path, name)) for name in names},
            path,
        )
        # What the constructor does not give again was set afterwards.
        later = dict.fromkeys(
            name
            for value, same in zip(values, again, strict=True)
            for name, item in _attributes(value).items()
            if name not in names and not (hasattr(same, name) and equal(getattr(same, name), item))
        )
        for name in later:
            if not all(name in _attributes(value) for value in values):
                self._fault((*path, name), "is not an attribute of all of them")
                continue
            item = self.of([getattr(value, name) for value in values], (*path, name))
            if made is not None:
                setattr(made, name, item)
        return made

    def _called(self, cls: type, signature: Signature, arguments: dict[str, Any], path: Path) -> Any:
        if self.faults.lines:
            return None
        try:
            return _call(cls, signature, arguments)
        except Exception as error:
            return self._fault(path, f"cannot be made: {cls.__name__} raises {type(error).__name__}: {error}")


def _made_by_constructor(value: Any, signature: Signature) -> Any:
    """Return the object that its class makes of the attributes of one."""
    missing = [argument.name for argument in signature.arguments if not hasattr(value, argument.name)]
    if missing:
        raise ClassyError(
            f"it has no attribute `{missing[0]}`, so that the argument of that name is not known; "
            f"keep it as self.{missing[0]}"
        )
    return _call(
        type(value), signature, {item.name: getattr(value, item.name) for item in signature.arguments}
    )


def _call(cls: type, signature: Signature, arguments: dict[str, Any]) -> Any:
    positional = [arguments[item.name] for item in signature.arguments if item.positional]
    return cls(
        *positional,
        **{item.name: arguments[item.name] for item in signature.arguments if not item.positional},
    )


def _attributes(value: Any) -> dict[str, Any]:
    """Return what is set on an object, but what is private: that is left to its constructor."""
    return {name: item for name, item in _state(value).items() if not name.startswith("_")}


def _state(value: Any) -> dict[str, Any]:
    """Return all that is set on an object, but what `cached_property` has left there."""
    slots = [name for base in type(value).__mro__ for name in _names(vars(base).get("__slots__", ()))]
    found = {name: getattr(value, name) for name in slots if hasattr(value, name)}
    found |= getattr(value, "__dict__", {})
    return {
        name: item
        for name, item in found.items()
        if not isinstance(inspect.getattr_static(type(value), name, None), functools.cached_property)
    }


def _names(slots: Any) -> tuple[str, ...]:
    return (slots,) if isinstance(slots, str) else tuple(slots)


def equal(one: Any, other: Any) -> bool:
    """Whether two values are the same: types, numbers, NaN too, and the attributes of objects."""
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, (np.ndarray, np.generic)):
        numbers = one.dtype.kind in "fc"
        return one.dtype == other.dtype and np.array_equal(one, other, equal_nan=numbers)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(equal, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(item, other[name]) for name, item in one.items())
    if isinstance(one, float):
        return one == other or (one != one and other != other)
    mine, theirs = _state(one), _state(other)
    if type(one).__module__ == "builtins" or isinstance(one, enum.Enum) or not mine:
        return bool(np.all(one == other))
    return equal(mine, theirs)
