"""A place along an attribute: ``interpolator.galaxy.redshift == 0.5``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from classy_pm.errors import SettingError
from classy_pm.model.expressions import is_number

__all__ = ["Attribute", "Place", "checked_place"]

WRITE = "Write interpolator[interpolator.t == 1.5], with the attribute along which it is interpolated."


class Attribute:
    """An attribute of objects by its path; compared with a number, a place along it."""

    def __init__(self, *path: str) -> None:
        self._path = path

    def __getattr__(self, name: str) -> Attribute:
        if name.startswith("__"):
            raise AttributeError(name)
        return Attribute(*self._path, name)

    def __eq__(self, value: object) -> Any:
        if not is_number(value) or not np.isfinite(number := float(value)):  # type: ignore[arg-type]
            raise SettingError(
                f"{self} == {value!r} is no place: {value!r} is not a finite number.", cure=WRITE
            )
        return Place(self._path, number)

    __hash__ = None  # type: ignore[assignment]
    # NumPy's numbers on the left leave the comparison to us.
    __array_ufunc__ = None

    def __repr__(self) -> str:
        return f"interpolator.{'.'.join(self._path)}"


@dataclass(frozen=True)
class Place:
    """A value of an attribute."""

    path: tuple[str, ...]
    value: float

    @property
    def name(self) -> str:
        """The attribute's name."""
        return ".".join(self.path)


def checked_place(place: Any) -> Place:
    """Return a place, or refuse what is none."""
    if isinstance(place, Place):
        return place
    raise SettingError(f"{place!r} says no place between the items.", cure=WRITE)
