"""`Plan`: a model read and checked once, ready to be fitted.

A model can be changed at any time; a plan cannot. It holds the free parameters by name, evaluates
their prior density for whole batches of vectors, makes instances, and describes in plain data all
of the model that determines a fit's answer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from classy_pm.errors import ModelError
from classy_pm.model import AbstractPrior, Derived, Expression, FreeParameter, Layout, Node, Path
from classy_pm.plan.describe import describe

__all__ = ["Plan", "PriorGroup", "make_plan"]


@dataclass(frozen=True)
class PriorGroup:
    """Parameters of one family whose arguments are numbers: evaluated in one call.

    Attributes
    ----------
    family : type of AbstractPrior
    positions : numpy.ndarray of int
        Where in the vector they are.
    arguments : dict of numpy.ndarray
        Each argument, an element a parameter.
    """

    family: type[AbstractPrior]
    positions: np.ndarray
    arguments: dict[str, np.ndarray]

    def log_density(self, vectors: np.ndarray) -> np.ndarray:
        """Return the sum of the log densities, for each vector along the last axis."""
        return self.family._logpdf(vectors[..., self.positions], **self.arguments).sum(axis=-1)


@dataclass(frozen=True)
class Plan:
    """A model's free parameters, priors and constructors, frozen.

    Attributes
    ----------
    layout : Layout
    groups : tuple of PriorGroup
    dependent : tuple of (int, AbstractPrior)
        The priors whose arguments are parameters themselves, each with its place in the vector.
    """

    layout: Layout
    build: Callable[[list[Any]], Any]
    groups: tuple[PriorGroup, ...]
    dependent: tuple[tuple[int, AbstractPrior], ...]
    identity: dict[str, Any]

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

    @property
    def size(self) -> int:
        """How many free parameters there are."""
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
        total = np.zeros(vectors.shape[:-1])
        with np.errstate(all="ignore"):
            for group in self.groups:
                total = total + group.log_density(vectors)
            if self.dependent:
                value_of = self.layout.evaluator(np.moveaxis(vectors, -1, 0))
                for index, prior in self.dependent:
                    arguments = {
                        name: value_of(value) if isinstance(value, Expression) else value
                        for name, value in prior.arguments.items()
                    }
                    total = total + prior._logpdf(vectors[..., index], **arguments)
        if self.layout.assertions:
            total = np.where(self.layout.assertions_hold(vectors), total, -np.inf)
        return np.where(np.isnan(total), -np.inf, total)

    def vector_from_unit(self, unit: Any) -> np.ndarray:
        """Map points of the unit cube, shape (..., size), to parameter values."""
        return self.layout.vector_from_unit(unit)

    def draws(self, number: int, random_seed: Any) -> np.ndarray:
        """Draw vectors from the priors, shape (number, size); all assertions hold."""
        return self.layout.draws(number, np.random.default_rng(random_seed))

    def starting_point(self) -> np.ndarray:
        """Return a vector where all assertions hold: the priors' medians, or else a draw."""
        medians = self.vector_from_unit(np.full(self.size, 0.5))
        return medians if self.layout.assertions_hold(medians) else self.draws(1, random_seed=0)[0]

    def instance(self, vector: np.ndarray) -> Any:
        """Return the user's objects at one vector, assertions not looked at."""
        return self.build(list(vector))


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
            f"{model!r} is not a model.", cure="Write Model(MyClass), or Collection(name=MyClass, ...)."
        )
    layout = Layout.of(model)
    layout.require_priors("fitted")
    if layout.size == 0:
        raise ModelError("The model has no free parameter.", cure="Give at least one parameter a prior.")
    members: dict[type[AbstractPrior], list[int]] = {}
    dependent: list[tuple[int, AbstractPrior]] = []
    for index, parameter in enumerate(layout.parameters):
        if any(True for _ in parameter.prior.inputs()):
            dependent.append((index, parameter.prior))
        else:
            members.setdefault(type(parameter.prior), []).append(index)
    groups = tuple(_group(layout, family, positions) for family, positions in members.items())
    return Plan(layout, layout.build, groups, tuple(dependent), describe(layout))


def _group(layout: Layout, family: type[AbstractPrior], positions: list[int]) -> PriorGroup:
    priors = [layout.parameters[index].prior for index in positions]
    arguments = {name: np.array([prior.arguments[name] for prior in priors]) for name in priors[0].arguments}
    return PriorGroup(family, np.array(positions), arguments)
