"""`Plan`: a model read and checked once, ready to be fitted.

A model can be changed at any time; a plan cannot. It holds the free parameters by name, evaluates
their prior density for whole batches of vectors, makes instances, and describes in plain data all
of the model that determines a fit's answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from classy_pm.errors import Faults, ModelError
from classy_pm.model import (
    AbstractPrior,
    Derived,
    Expression,
    FreeParameter,
    Layout,
    Node,
    Path,
    UniformPrior,
)
from classy_pm.plan.describe import describe

__all__ = ["Plan", "PriorGroup", "make_plan"]


@dataclass(frozen=True)
class PriorGroup:
    """Parameters of one family whose arguments are numbers: evaluated in one call.

    Attributes
    ----------
    family : AbstractPrior
        One of them, for its formulas.
    positions : numpy.ndarray of int
        Where in the vector they are.
    arguments : dict of numpy.ndarray
        Each argument, an element a parameter.
    """

    family: AbstractPrior
    positions: np.ndarray
    arguments: dict[str, np.ndarray]

    def log_kernel(self, vectors: np.ndarray) -> np.ndarray:
        """Return the sum of the log densities, but for the constants, for each vector along the last axis."""
        return self.family._log_kernel(vectors[..., self.positions], **self.arguments).sum(axis=-1)

    @property
    def varies(self) -> bool:
        """Whether the kernel is not the same everywhere."""
        return not isinstance(self.family, UniformPrior)

    def log_mass(self) -> float:
        """Return the sum of those constants: what is to be subtracted."""
        return float(np.sum(self.family._log_mass(**self.arguments)))


@dataclass(frozen=True)
class Plan:
    """A model's free parameters, priors and constructors, frozen.

    Attributes
    ----------
    layout : Layout
    groups : tuple of PriorGroup
    dependent : tuple of (int, AbstractPrior)
        The priors whose arguments are parameters themselves, each with its place among the parameters.
    """

    layout: Layout
    build: Callable[[list[Any]], Any]
    groups: tuple[PriorGroup, ...]
    dependent: tuple[tuple[int, AbstractPrior], ...]
    identity: dict[str, Any]

    def __getstate__(self) -> dict[str, Any]:
        # What builds instances is made of closures, and is made again from the model.
        return {name: value for name, value in self.__dict__.items() if name != "build"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.__dict__["build"] = self.layout.build

    @property
    def parameters(self) -> tuple[FreeParameter, ...]:
        """The free parameters, in the order of the vector."""
        return self.layout.parameters

    @property
    def derived(self) -> tuple[tuple[Path, Derived], ...]:
        """Parameters computed from others, each with its path."""
        return self.layout.derived

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The free parameters' names: their paths joined by dots."""
        return tuple(parameter.name for parameter in self.parameters)

    @cached_property
    def element_names(self) -> tuple[str, ...]:
        """The name of each number of the vector; an array's elements are ``name[0]``, ``name[1]``, ..."""
        return tuple(".".join(path) for path in self.layout.element_paths)

    @cached_property
    def parents(self) -> tuple[int, ...]:
        """Which parameters others are drawn from, by their numbers."""
        position = self.layout.position
        found: set[int] = set()

        def look(item: Expression) -> None:
            if item in position:
                found.add(position[item])
            elif isinstance(item, Derived):
                for _, operand in item.inputs():
                    look(operand)

        for _, prior in self.dependent:
            for _, argument in prior.inputs():
                look(argument)
        return tuple(sorted(found))

    @cached_property
    def dims(self) -> dict[str, tuple[str, ...]]:
        """The dims of the leading axes of free and derived parameters that have any, by their names."""
        free = {parameter.name: self.layout.dims_of(parameter.prior) for parameter in self.parameters}
        derived = {".".join(path): self.layout.dims_of(item) for path, item in self.derived}
        return {name: dims for name, dims in {**free, **derived}.items() if dims}

    @property
    def size(self) -> int:
        """How many numbers are free: the length of the vector."""
        return self.layout.size

    def log_prior(self, vectors: Any) -> np.ndarray:
        """Return the normalised log prior density; -inf outside limits and assertions.

        Parameters
        ----------
        vectors : array_like, shape (..., size)
            Parameter values, in the parameters' own units.

        Returns
        -------
        numpy.ndarray, shape (...)

        Notes
        -----
        An assertion rules out a part of parameter space and does not renormalise what is left.
        """
        vectors = np.asarray(vectors, dtype=float)
        total = np.full(vectors.shape[:-1], -self._log_mass)
        lower, upper = self.limits
        with np.errstate(all="ignore"):
            possible = np.all((vectors >= lower) & (vectors <= upper), axis=-1)
            for group in self.groups:
                if group.varies:
                    total += group.log_kernel(vectors)
            if self.dependent:
                total += self._dependent_log_prior(vectors)
        if self.layout.assertions:
            possible &= self.layout.assertions_hold(vectors)
        return np.where(possible & ~np.isnan(total), total, -np.inf)

    @cached_property
    def _log_mass(self) -> float:
        """What does not change in the log prior, of the priors whose arguments are numbers."""
        with np.errstate(all="ignore"):
            return sum(group.log_mass() for group in self.groups)

    @cached_property
    def limits(self) -> tuple[np.ndarray, np.ndarray]:
        """The limits of the priors whose arguments are numbers; elsewhere they are infinite."""
        lower, upper = np.full(self.size, -np.inf), np.full(self.size, np.inf)
        for group in self.groups:
            limits = group.family._kernel_limits(**group.arguments)
            lower[group.positions], upper[group.positions] = limits
        return lower, upper

    def _dependent_log_prior(self, vectors: np.ndarray) -> Any:
        """Return the log density of the parameters whose priors depend on others."""
        if self.layout.has_arrays and vectors.ndim > 1:
            flat = [self._dependent_log_prior(vector) for vector in vectors.reshape(-1, self.size)]
            return np.reshape(flat, vectors.shape[:-1])
        values = self.layout.split(vectors)
        value_of = self.layout.evaluator(values)
        total: Any = 0.0
        for index, prior in self.dependent:
            density = prior._logpdf(values[index], **prior.evaluated_arguments(value_of))
            total = total + (np.sum(density) if prior.shape else density)
        return total

    def derived_values(self, derived: Derived, vectors: np.ndarray) -> np.ndarray:
        """Return a derived parameter's values, of shape (..., *its shape), for vectors (..., size)."""
        if self.layout.has_arrays:
            flat = [self.layout.evaluator(self.split(v))(derived) for v in vectors.reshape(-1, self.size)]
            return np.reshape(flat, (*vectors.shape[:-1], *np.shape(flat[0])))
        return np.broadcast_to(self.layout.evaluator(self.split(vectors))(derived), vectors.shape[:-1])

    def split(self, vectors: np.ndarray) -> list[Any]:
        """Return each parameter's values, each of shape (..., *parameter.shape)."""
        return self.layout.split(vectors)

    def vector_from_unit(self, unit: Any) -> np.ndarray:
        """Map points of the unit cube, shape (..., size), to parameter values."""
        return self.layout.vector_from_unit(unit)

    def draws(self, number: int, random_seed: Any) -> np.ndarray:
        """Draw vectors from the priors, shape (number, size); all assertions hold."""
        return self.layout.draws(number, np.random.default_rng(random_seed))

    def starting_point(self) -> np.ndarray:
        """Return a vector where all assertions hold: the priors' medians, or else a draw."""
        medians = self.vector_from_unit(np.full(self.size, 0.5))
        possible = np.all(np.isfinite(medians)) and self.layout.assertions_hold(medians)
        return medians if possible else self.draws(1, random_seed=0)[0]

    def instance(self, vector: np.ndarray) -> Any:
        """Return the user's objects at one vector, assertions not looked at."""
        return self.build(self.split(vector))


def make_plan(model: Node) -> Plan:
    """Read a model and check that it can be fitted.

    Parameters
    ----------
    model : Model or Collection

    Raises
    ------
    ModelError
        If `model` is no model, or some of it is missing; all faults are told at once, with paths.
    """
    if not isinstance(model, Node):
        raise ModelError(
            f"{model!r} is not a model.",
            cure="The model comes first, fit(model, analysis): Model(MyClass) or Collection(name=MyClass).",
        )
    layout: Layout = model._layout()
    layout.require_priors("fitted")
    if layout.size == 0:
        raise ModelError("The model has no free parameter.", cure="Give at least one parameter a prior.")
    _check_names(layout)
    members: dict[tuple[str, ...], list[int]] = {}
    dependent: list[tuple[int, AbstractPrior]] = []
    for index, parameter in enumerate(layout.parameters):
        if any(True for _ in parameter.prior.inputs()):
            dependent.append((index, parameter.prior))
        else:
            members.setdefault((parameter.prior.family, *parameter.prior.arguments), []).append(index)
    groups = tuple(_group(layout, positions) for positions in members.values())
    return Plan(layout, layout.build, groups, tuple(dependent), describe(layout))


# Names that ArviZ and xarray keep for themselves, and how long one may be in a file.
_TAKEN = ("chain", "draw", "sample")
_LONGEST = 200


def _check_names(layout: Layout) -> None:
    """Refuse names that would be given twice in the graph or in the result, or that no file can hold."""
    faults = Faults()
    derived = [".".join(path) for path, _ in layout.derived]
    names = [parameter.name for parameter in layout.parameters]
    assertions = [name for name, _ in layout.assertions]
    for name, count in Counter([*names, *derived, *assertions]).items():
        if count > 1:
            faults.add(
                name, "is the name of two things; an assertion is named by add_assertion(..., name=...)"
            )
        if name in _TAKEN or name in layout.coords:
            faults.add(name, "is a name that every result has already; call the parameter otherwise")
        if len(name) > _LONGEST:
            faults.add(
                name, f"has {len(name)} characters with the names above it, and at most {_LONGEST} can be"
            )
    for parameter in layout.parameters:
        for axis in range(len(parameter.shape)):
            if f"{parameter.name}_dim_{axis}" in names:
                faults.add(f"{parameter.name}_dim_{axis}", f"is the name of an axis of {parameter.name}")
    faults.raise_as(ModelError, "The model's names cannot be used.")


def _group(layout: Layout, positions: list[int]) -> PriorGroup:
    priors = [layout.parameters[index].prior for index in positions]

    def of_each(prior: AbstractPrior, name: str) -> np.ndarray:
        argument: Any = prior.arguments[name]
        return np.ravel(np.broadcast_to(argument, prior.shape))

    arguments = {
        name: np.concatenate([of_each(prior, name) for prior in priors]) for name in priors[0].arguments
    }
    places = np.concatenate([np.arange(layout.size)[layout.slices[index]] for index in positions])
    return PriorGroup(priors[0], places, arguments)
