"""A grid over priors: cells of equal probability, each with the priors truncated to it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr

from classy_pm.errors import Faults, ModelError, SettingError, did_you_mean
from classy_pm.model import AbstractPrior, Expression, Node
from classy_pm.model.expressions import is_whole
from classy_pm.model.layout import FreeParameter, Layout

__all__ = ["Grid", "shown"]

CURE = "Write grid_priors=[model.lens.centre], or its path, grid_priors=['lens.centre']."
STEPS = "Write number_of_steps=4, or one number for each prior, number_of_steps=(4, 8)."


@dataclass(frozen=True)
class Axis:
    """A prior in steps.

    Attributes
    ----------
    name : str
        The parameter's.
    prior : AbstractPrior
    edges : numpy.ndarray, shape (steps + 1,)
        Between two of them is the same share of the prior.
    centres : numpy.ndarray, shape (steps,)
        The prior's median within each.
    """

    name: str
    prior: AbstractPrior
    edges: np.ndarray
    centres: np.ndarray


@dataclass(frozen=True)
class Grid:
    """Cells that divide the space of some priors; all have the same prior probability.

    Attributes
    ----------
    axes : tuple of Axis
    """

    axes: tuple[Axis, ...]

    @classmethod
    def over(cls, model: Node, priors: Any, number_of_steps: Any, prefix: str = "") -> Grid:
        """Return the grid over priors of a model.

        Parameters
        ----------
        model : Model or Collection
        priors : sequence of prior or str, or None
            The parameters, themselves or their paths; by default all that are free.
        number_of_steps : int or sequence of int
            In how many each is divided.
        prefix : str
            What stands before the parameters' names.

        Raises
        ------
        ModelError
            If there is a prior that is no free parameter of the model, or of which there are no cells.
        SettingError
            If the steps are no positive integers, one for each prior.
        """
        layout = model._layout()
        layout.require_priors("fitted")
        parameters = _parameters(layout, priors)
        steps = _steps(number_of_steps, len(parameters))
        faults = Faults()
        axes = []
        for parameter, count in zip(parameters, steps, strict=True):
            try:
                axes.append(_axis(prefix + parameter.name, parameter.prior, count))
            except ModelError as error:
                faults.add(prefix + parameter.name, error.message)
        faults.raise_as(ModelError, "There is no grid over these priors.", cure=CURE)
        return cls(tuple(axes))

    @property
    def dims(self) -> tuple[str, ...]:
        """The parameters' names."""
        return tuple(axis.name for axis in self.axes)

    @property
    def shape(self) -> tuple[int, ...]:
        """How many steps each parameter has."""
        return tuple(len(axis.centres) for axis in self.axes)

    @property
    def size(self) -> int:
        """How many cells there are."""
        return math.prod(self.shape)

    def __iter__(self) -> Iterator[tuple[int, ...]]:
        """Give the cells, by their places along the axes; the last runs fastest."""
        return itertools.product(*map(range, self.shape))

    @cached_property
    def coords(self) -> dict[str, Any]:
        """The centres and the edges of the cells along each dim."""
        coords: dict[str, Any] = {}
        for axis in self.axes:
            coords[axis.name] = axis.centres
            coords[f"{axis.name}.lower"] = (axis.name, axis.edges[:-1])
            coords[f"{axis.name}.upper"] = (axis.name, axis.edges[1:])
        return coords

    def array(
        self, values: Any, dims: Sequence[str] = (), coords: Mapping[str, Any] | None = None
    ) -> xr.DataArray:
        """Return values of the cells, shape (*shape, ...), with dims and coordinates."""
        return xr.DataArray(values, dims=(*self.dims, *dims), coords={**self.coords, **(coords or {})})

    def numbers(self, items: Sequence[Any], name: str) -> xr.DataArray:
        """Return an attribute of an object for each cell; NaN where it has none."""
        values = [getattr(item, name, np.nan) for item in items]
        return self.array(np.reshape(values, self.shape))

    def index(self, cell: Any) -> int:
        """Return where in the order of the cells one is, given by its places along the axes.

        Raises
        ------
        SettingError
            If there is no such cell.
        """
        try:
            return int(np.arange(self.size).reshape(self.shape)[cell])
        except (IndexError, TypeError):
            raise SettingError(
                f"There is no cell {cell!r} in a grid of the shape {self.shape}.",
                cure="Write one integer for each dim, result[0, 1].",
            ) from None

    def label(self, cell: Sequence[int]) -> str:
        """Return a cell in words."""
        centres = [axis.centres[place] for axis, place in zip(self.axes, cell, strict=True)]
        return ", ".join(f"{axis.name} = {x:.4g}" for axis, x in zip(self.axes, centres, strict=True))

    def centre(self, cell: Sequence[int]) -> dict[AbstractPrior, float]:
        """Return the value of each parameter in the middle of a cell."""
        return {axis.prior: float(axis.centres[place]) for axis, place in zip(self.axes, cell, strict=True)}

    def priors(self, cell: Sequence[int]) -> dict[AbstractPrior, AbstractPrior]:
        """Return for each prior the one that is truncated to a cell."""
        return {
            axis.prior: axis.prior.within(float(axis.edges[place]), float(axis.edges[place + 1]))
            for axis, place in zip(self.axes, cell, strict=True)
        }

    def rules_out(self, layout: Layout, cell: Sequence[int]) -> bool:
        """Whether an assertion on two parameters, or one and a number, holds nowhere in a cell."""
        inside = self.priors(cell)

        def limits(side: Any) -> tuple[float, float]:
            if not isinstance(side, Expression):
                return float(side), float(side)
            if isinstance(side, AbstractPrior) and not any(True for _ in side.inputs()) and not side.shape:
                return inside.get(side, side).limits
            return -np.inf, np.inf

        for _, assertion in layout.assertions:
            for part in assertion.parts:
                (left, _), (_, right) = limits(part.left), limits(part.right)
                if part.comparison in (np.greater, np.greater_equal):
                    (left, _), (_, right) = limits(part.right), limits(part.left)
                # Where they could only be equal there is no probability.
                if left >= right:
                    return True
        return False

    def identity(self) -> list[Any]:
        """Return what identifies the grid, in plain data."""
        return [[axis.name, axis.edges.tolist()] for axis in self.axes]


def shown(grid: Grid) -> str:
    """Return what the axes are and how many steps they have, in words."""
    return " x ".join(f"{name} ({size})" for name, size in zip(grid.dims, grid.shape, strict=True))


def _axis(name: str, prior: AbstractPrior, steps: int) -> Axis:
    edges = np.array(prior.ppf(np.arange(steps + 1) / steps))
    centres = np.array(prior.ppf((np.arange(steps) + 0.5) / steps))
    prior.within(float(edges[0]), float(edges[1]))  # or there is no grid over it
    if not np.all(np.diff(edges) > 0.0):
        raise ModelError(f"has no {steps} cells that floats can tell apart")
    return Axis(name, prior, edges, centres)


def _parameters(layout: Layout, priors: Any) -> list[FreeParameter]:
    """Return the free parameters that are meant."""
    if priors is None:
        return list(layout.parameters)
    given = [priors] if isinstance(priors, (AbstractPrior, str)) else priors
    if not isinstance(given, (list, tuple)) or not given:
        raise SettingError(f"grid_priors={priors!r:.200} names no prior.", cure=CURE)
    by_path = {".".join(path): parameter for parameter in layout.parameters for path in parameter.paths}
    by_prior = {parameter.prior: parameter for parameter in layout.parameters}
    faults, found = Faults(), list[FreeParameter]()
    for place, item in enumerate(given):
        parameter = by_path.get(item) if isinstance(item, str) else by_prior.get(item)
        where = f"grid_priors[{place}]"
        if parameter is None and isinstance(item, str):
            faults.add(where, f"the model has no free parameter {item!r}. {did_you_mean(item, by_path)}")
        elif parameter is None:
            what = "no free parameter of this model" if isinstance(item, AbstractPrior) else "no prior"
            faults.add(where, f"{item!r:.200} is {what}")
        elif parameter in found:
            faults.add(where, f"{parameter.name} is in the grid already")
        elif any(True for _ in parameter.prior.inputs()):
            faults.add(
                where, f"the prior of {parameter.name} depends on other parameters: it has no fixed cells"
            )
        else:
            found.append(parameter)
    faults.raise_as(ModelError, "There is no grid over these priors.", cure=CURE)
    return found


def _steps(given: Any, count: int) -> list[int]:
    steps = [given] * count if not isinstance(given, (list, tuple, np.ndarray)) else list(given)
    if len(steps) != count or not all(map(_is_count, steps)):
        raise SettingError(
            f"number_of_steps={given!r} is not a positive integer, nor one for each of {count} priors.",
            cure=STEPS,
        )
    return [int(step) for step in steps]


def _is_count(item: Any) -> bool:
    return is_whole(int(item) if isinstance(item, np.integer) else item, 1)
