"""What the data sets of a graph each have, as variables: along the plate where all of it have it alike.

A quantity that all data sets of a plate have with the same shape is one variable with the plate's dim, named
as they name it; with several plates the plate's name comes first, as in the names of parameters. Any other
is a variable of each data set, whose name comes first: ``object_3.data``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from classy_pm.errors import Faults, ModelError
from classy_pm.model.plates import Plate, PlateLayout

__all__ = ["Along", "along", "axes_of", "of_factor"]


@dataclass(frozen=True)
class Along:
    """A variable.

    Attributes
    ----------
    name : str
    key : str
        What the data sets call it.
    factors : tuple of str
        The data sets that it is of.
    dim : str or None
        The dim along which they are; None for one of a single data set.
    shape : tuple of int
        Of one data set's.
    """

    name: str
    key: str
    factors: tuple[str, ...]
    dim: str | None
    shape: tuple[int, ...]

    @property
    def whole_shape(self) -> tuple[int, ...]:
        """The shape of all data sets' together."""
        return self.shape if self.dim is None else (len(self.factors), *self.shape)

    @property
    def dims(self) -> list[str]:
        """The dims of the variable; each of its own axes has one."""
        return [*([] if self.dim is None else [self.dim]), *axes_of(self.name, len(self.shape))]


def axes_of(name: str, count: int) -> list[str]:
    """Return the dims of a variable's own axes."""
    return [f"{name}_dim_{axis}" for axis in range(count)]


def along(layout: PlateLayout, shapes: Mapping[str, Mapping[str, tuple[int, ...]]]) -> list[Along]:
    """Return the variables of what data sets have.

    Parameters
    ----------
    layout : PlateLayout
    shapes : mapping of str to mapping of str to tuple of int
        Of each data set that has anything, by its name, the shape of each quantity by its name.

    Raises
    ------
    ModelError
        If two variables would have one name.
    """
    found = []
    for plate in layout.plates:
        for key in dict.fromkeys(key for name in plate.names for key in shapes.get(name, ())):
            having = [name for name in plate.names if key in shapes.get(name, ())]
            kinds = {shapes[name][key] for name in having}
            if len(having) == len(plate.names) and len(kinds) == 1:
                found.append(Along(_prefix(layout, plate) + key, key, plate.names, plate.dim, kinds.pop()))
            else:
                found += [Along(f"{name}.{key}", key, (name,), None, shapes[name][key]) for name in having]
    faults = Faults()
    for name, count in Counter(item.name for item in found).items():
        if count > 1:
            faults.add(name, "is the name of two quantities")
        if name in layout.coords or name == layout.factor_dim:
            faults.add(name, "is the name of the dim along which the data sets are")
    faults.raise_as(
        ModelError, "These names cannot be told apart.", cure="Call the quantities or the factors otherwise."
    )
    return found


def of_factor(
    layout: PlateLayout, name: str, dims: Mapping[str, tuple[str, ...]]
) -> dict[str, tuple[str, int | None]]:
    """Return which variables are of a data set: what it calls them, and its place along the plate.

    Parameters
    ----------
    layout : PlateLayout
    name : str
        Of the data set.
    dims : mapping of str to tuple of str
        The dims of each variable of what `along` may have named, without those of draws.
    """
    plate, place = layout.plate_of(name)
    found: dict[str, tuple[str, int | None]] = {}
    for variable, own in dims.items():
        if own and own[0] == plate.dim:
            found[variable] = variable.removeprefix(_prefix(layout, plate)), place
        elif own[:1] not in [(other.dim,) for other in layout.plates] and variable.startswith(f"{name}."):
            found[variable] = variable.removeprefix(f"{name}."), None
    return found


def _prefix(layout: PlateLayout, plate: Plate) -> str:
    return "" if len(layout.plates) == 1 else f"{plate.dim}."
