"""Plates: factors of one structure, with their parameters as arrays; and the layout of a graph of them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from classy_pm.errors import ModelError
from classy_pm.model.collection import Instance
from classy_pm.model.expressions import Expression
from classy_pm.model.instances import compile_instances
from classy_pm.model.layout import Layout
from classy_pm.model.node import Node, Path
from classy_pm.model.prior import AbstractPrior, MissingPrior

__all__ = ["Plate", "PlateLayout"]

# The dim of what there is of each factor, whatever its plate.
FACTORS = "factor"


@dataclass(frozen=True)
class Plate:
    """Factors of one structure.

    Attributes
    ----------
    dim : str
    places : tuple of int
        Which of the graph's factors they are.
    names : tuple of str
        Their names: the dim's coordinates.
    structure : Node
        The model of each, with a place-holder wherever something may differ or is a parameter.
    slots : tuple of MissingPrior
        The place-holders, in order.
    columns : tuple
        What stands in each slot: an expression, shared or along the plate, or numbers of shape (factors,).
    """

    dim: str
    places: tuple[int, ...]
    names: tuple[str, ...]
    structure: Node
    slots: tuple[MissingPrior, ...]
    columns: tuple[Any, ...]

    @cached_property
    def build_one(self) -> Callable[[list[Any]], Any]:
        """The function from the values in the slots to the objects of one factor."""
        return compile_instances(self.structure, {slot: place for place, slot in enumerate(self.slots)})

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "build_one"}


@dataclass(frozen=True)
class PlateLayout(Layout):
    """A graph of factors read once: a layout whose parameters may be arrays along plates.

    Attributes
    ----------
    plates : tuple of Plate
    along : dict of Expression to str
        The dim of each expression that has one.
    models : dict of str to Node
        The model of each factor, by its name.
    drawn : dict of AbstractPrior to AbstractPrior
        The prior from a parent of each parameter that is drawn from one.
    standing : dict of AbstractPrior to (AbstractPrior, int or None)
        The free parameter that stands for one of the user's, and which element along its plate it is; None
        for all of it.
    """

    plates: tuple[Plate, ...] = ()
    along: dict[Expression, str] = field(default_factory=dict)
    models: Mapping[str, Node] = field(default_factory=dict)
    drawn: dict[AbstractPrior, AbstractPrior] = field(default_factory=dict)
    standing: dict[AbstractPrior, tuple[AbstractPrior, int | None]] = field(default_factory=dict)

    @cached_property
    def coords(self) -> dict[str, list[str]]:
        """The names of the factors along each dim."""
        return {plate.dim: list(plate.names) for plate in self.plates}

    @property
    def factor_dim(self) -> str:
        """The dim of what there is of every factor: of a single plate its own."""
        return self.plates[0].dim if len(self.plates) == 1 else FACTORS

    @cached_property
    def names_by_plate(self) -> tuple[str, ...]:
        """The names of all factors, one plate after the other."""
        return tuple(itertools.chain(*(plate.names for plate in self.plates)))

    def own_places(self, places: Sequence[slice]) -> list[np.ndarray]:
        """Return where in a vector the numbers are that each factor has for itself.

        Parameters
        ----------
        places : sequence of slice
            Where each parameter is.

        Returns
        -------
        list of numpy.ndarray of int, shape (factors, numbers)
            Plate by plate.
        """
        found = []
        for plate in self.plates:
            columns = [
                np.arange(place.start, place.stop).reshape(len(plate.names), -1)
                for parameter, place in zip(self.parameters, places, strict=True)
                if self.dims_of(parameter.prior) == (plate.dim,)
            ]
            empty = np.empty((len(plate.names), 0), dtype=int)
            found.append(np.concatenate([empty, *columns], axis=1))
        return found

    def plate_of(self, name: str) -> tuple[Plate, int]:
        """Return the plate of a factor, and its place along it."""
        return next((plate, plate.names.index(name)) for plate in self.plates if name in plate.names)

    def dims_of(self, expression: Expression) -> tuple[str, ...]:
        """Return the dims of a parameter's leading axes."""
        return (self.along[expression],) if expression in self.along else ()

    @cached_property
    def element_paths(self) -> list[Path]:
        """The path of each number of the vector; along a plate elements are named by the factors."""
        paths = []
        for parameter in self.parameters:
            if parameter.prior not in self.along:
                paths += parameter.element_paths()
                continue
            *above, last = parameter.path
            names = self.coords[self.along[parameter.prior]]
            for first, *others in np.ndindex(parameter.shape):
                paths.append((*above, f"{last}[{','.join([names[first], *map(str, others)])}]"))
        return paths

    def columns_of(self, plate: Plate, value_of: Callable[[Expression], Any]) -> list[tuple[Any, bool]]:
        """Return the values in each slot of a plate, and whether they are along it or shared."""
        return [
            (value_of(column), column in self.along) if isinstance(column, Expression) else (column, True)
            for column in plate.columns
        ]

    @cached_property
    def build(self) -> Callable[[list[Any]], Instance]:
        """The function from a list of the free parameters' values to the objects of each factor, by name."""
        faults = self._missing_arguments()
        faults.raise_as(ModelError, "The model gives no instance yet.", cure="Set each of them.")
        named = sorted(
            itertools.chain(*(zip(plate.places, plate.names, strict=True) for plate in self.plates))
        )
        names = [name for _, name in named]

        def build(values: list[Any]) -> Instance:
            value_of = self.evaluator(values)
            made = dict.fromkeys(names)
            for plate in self.plates:
                columns, make = self.columns_of(plate, value_of), plate.build_one
                for place, name in enumerate(plate.names):
                    made[name] = make([value[place] if varies else value for value, varies in columns])
            return Instance(made)

        return build
