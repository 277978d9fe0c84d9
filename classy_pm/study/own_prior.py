"""The prior density of a filed fit on some of its parameters, and which parameters it has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from classy_pm.errors import Faults, ModelError, did_you_mean
from classy_pm.model import AbstractPrior, Assertion, Expression
from classy_pm.plan import Plan

__all__ = ["SelectedPrior", "names_of"]


class SelectedPrior:
    """The prior density of a fit on some of its parameters, given the others.

    Parameters
    ----------
    plan : Plan
        Of the model that was fitted.
    paths : sequence of str
        The parameters, at any of the places where they stand.

    Raises
    ------
    ModelError
        With all parameters whose density is not known, and why.
    """

    def __init__(self, plan: Plan, paths: Iterable[str]) -> None:
        self.plan = plan
        self.paths = tuple(paths)
        faults = Faults()
        elements, arrays = _elements(plan)
        self.columns: list[int] = []
        # For each: the variable of the posterior that it is in, and its number in that.
        self.places: list[tuple[str, int]] = []
        self.priors: list[AbstractPrior] = []
        for path in self.paths:
            if path not in elements:
                faults.add(path, _why_not(plan, path, elements, arrays))
                continue
            place, column = elements[path]
            prior = plan.parameters[place].prior
            if column in self.columns:
                faults.add(path, f"is the same parameter as {self.paths[self.columns.index(column)]}")
            if asserted := [name for name, item in plan.layout.assertions if _involves(item, prior)]:
                faults.add(
                    path, f"stands in the assertion `{asserted[0]}`, so that its prior density is not known"
                )
            self.columns.append(column)
            self.places.append((plan.names[place], column - plan.layout.slices[place].start))
            self.priors.append(prior)
        faults.raise_as(ModelError, "The prior density of these parameters is not known.")

    @property
    def alone(self) -> bool:
        """Whether it depends on no other parameters of the fit."""
        return not any(True for prior in self.priors for _ in prior.inputs())

    def log_density(self, vectors: np.ndarray) -> np.ndarray:
        """Return it at vectors of all parameters, shape (draws, size): of shape (draws,)."""
        total = np.zeros(len(vectors))
        for column, prior in zip(self.columns, self.priors, strict=True):
            if not any(True for _ in prior.inputs()):
                total += prior.logpdf(vectors[:, column])
            elif self.plan.layout.has_arrays:
                total += [self._dependent(prior, vector, vector[column]) for vector in vectors]
            else:
                total += self._dependent(prior, vectors, vectors[:, column])
        return total

    def _dependent(self, prior: AbstractPrior, vectors: np.ndarray, values: Any) -> Any:
        value_of = self.plan.layout.evaluator(self.plan.split(vectors))
        with np.errstate(all="ignore"):
            return prior._logpdf(values, **prior.evaluated_arguments(value_of))

    @property
    def limits(self) -> np.ndarray:
        """The parameters' limits, shape (parameters, 2); infinite where they depend on other parameters."""
        known = [
            (-np.inf, np.inf) if any(True for _ in prior.inputs()) else prior.limits for prior in self.priors
        ]
        return np.array(known)


def names_of(plan: Plan) -> set[str]:
    """Return the names of all parameters: free ones, arrays and their elements, fixed and computed ones."""
    others = [*plan.layout.constants, *plan.layout.derived]
    return {*(name for found in _elements(plan) for name in found), *(".".join(path) for path, _ in others)}


def _elements(plan: Plan) -> tuple[dict[str, tuple[int, int]], dict[str, tuple[int, ...]]]:
    """Return which parameter each number is of, and where it is, by name; and the shapes of arrays."""
    elements: dict[str, tuple[int, int]] = {}
    arrays: dict[str, tuple[int, ...]] = {}
    for place, (parameter, where) in enumerate(zip(plan.parameters, plan.layout.slices, strict=True)):
        for name in map(".".join, parameter.paths):
            if parameter.shape:
                arrays[name] = parameter.shape
            labels = [f"[{','.join(map(str, index))}]" for index in np.ndindex(parameter.shape)]
            for number, label in enumerate(labels if parameter.shape else [""]):
                elements[name + label] = (place, where.start + number)
    return elements, arrays


def _why_not(plan: Plan, path: str, elements: Mapping[str, Any], arrays: Mapping[str, Any]) -> str:
    if path in arrays:
        return f"is an array of shape {arrays[path]}; name one element, such as {path}[0]"
    if path in (".".join(place) for place, _ in plan.layout.derived):
        return "is computed from other parameters, and has no prior of its own"
    if path in (".".join(place) for place, _ in plan.layout.constants):
        return "is fixed"
    return f"is no parameter of this fit. {did_you_mean(path, elements)}".rstrip()


def _involves(item: Assertion | Expression, prior: AbstractPrior) -> bool:
    return any(other is prior or _involves(other, prior) for _, other in _inputs(item))


def _inputs(item: Assertion | Expression) -> Iterator[tuple[str, Expression]]:
    """Yield what arithmetic and comparisons depend on, but not the arguments of priors."""
    if not isinstance(item, AbstractPrior):
        yield from item.inputs()
