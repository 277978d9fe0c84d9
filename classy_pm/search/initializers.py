"""Where an ensemble starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from classy_pm.errors import Faults, SearchError, SettingError, did_you_mean
from classy_pm.plan import Plan
from classy_pm.search.problem import Problem

__all__ = [
    "Initializer",
    "InitializerBall",
    "InitializerParamBounds",
    "InitializerParamStartPoints",
    "InitializerPrior",
    "start_points",
]

MAX_TRIES = 1000


@dataclass(frozen=True)
class InitializerBall:
    """Starts near the priors' medians: uniformly between two prior probabilities.

    Parameters
    ----------
    lower_limit, upper_limit : float
        Prior probabilities; 0.5 is the median of each prior.

    Examples
    --------
    >>> InitializerBall(lower_limit=0.49, upper_limit=0.51)
    InitializerBall(lower_limit=0.49, upper_limit=0.51)
    """

    lower_limit: float = 0.49
    upper_limit: float = 0.51

    def __post_init__(self) -> None:
        if not 0.0 <= self.lower_limit < self.upper_limit <= 1.0:
            raise SettingError(
                f"{self} is empty or outside the unit cube.",
                cure="Its limits are prior probabilities: 0 <= lower_limit < upper_limit <= 1.",
            )

    def vectors(self, plan: Plan, number: int, rng: np.random.Generator) -> np.ndarray:
        """Draw vectors, shape (number, size)."""
        return plan.vector_from_unit(rng.uniform(self.lower_limit, self.upper_limit, (number, plan.size)))


@dataclass(frozen=True)
class InitializerPrior:
    """Starts anywhere in the prior."""

    def vectors(self, plan: Plan, number: int, rng: np.random.Generator) -> np.ndarray:
        """Draw vectors, shape (number, size)."""
        return plan.vector_from_unit(rng.random((number, plan.size)))


@dataclass(frozen=True)
class InitializerParamBounds:
    """Starts between bounds of some parameters, and anywhere in the prior of the others.

    Parameters
    ----------
    bounds : dict
        The lower and the upper bound by parameter: by its prior in the model, or by its dotted name.

    Examples
    --------
    >>> InitializerParamBounds({"gaussian.centre": (49.0, 51.0)})
    InitializerParamBounds(bounds={'gaussian.centre': (49.0, 51.0)})
    """

    bounds: Mapping[Any, tuple[float, float]]

    def resolved(self, plan: Plan) -> Self:
        """Return the same with every parameter by its name."""
        return replace(self, bounds=_by_name(self.bounds, plan))

    def vectors(self, plan: Plan, number: int, rng: np.random.Generator) -> np.ndarray:
        """Draw vectors, shape (number, size)."""
        vectors = InitializerPrior().vectors(plan, number, rng)
        for name, limits in self.resolved(plan).bounds.items():
            lower, upper = (float(limit) for limit in limits)
            if not lower < upper:
                raise SettingError(f"The bounds of {name}, {lower!r} and {upper!r}, hold nothing.")
            vectors[:, plan.element_names.index(name)] = rng.uniform(lower, upper, number)
        return vectors


@dataclass(frozen=True)
class InitializerParamStartPoints:
    """Starts close to a value of some parameters, and anywhere in the prior of the others.

    Parameters
    ----------
    start_points : dict
        The value by parameter: by its prior in the model, or by its dotted name.
    spread : float
        How far from it, at most, in units of the width of the prior that holds 68% of it.

    Examples
    --------
    >>> InitializerParamStartPoints({"gaussian.centre": 50.0})
    InitializerParamStartPoints(start_points={'gaussian.centre': 50.0}, spread=0.01)
    """

    start_points: Mapping[Any, float]
    spread: float = 0.01

    def resolved(self, plan: Plan) -> Self:
        """Return the same with every parameter by its name."""
        return replace(self, start_points=_by_name(self.start_points, plan))

    def vectors(self, plan: Plan, number: int, rng: np.random.Generator) -> np.ndarray:
        """Draw vectors, shape (number, size)."""
        vectors = InitializerPrior().vectors(plan, number, rng)
        low, high = plan.vector_from_unit(np.array([np.full(plan.size, 0.16), np.full(plan.size, 0.84)]))
        for name, value in self.resolved(plan).start_points.items():
            place = plan.element_names.index(name)
            width = self.spread * (high[place] - low[place])
            vectors[:, place] = float(value) + rng.uniform(-width, width, number)
        return vectors


def _by_name(given: Mapping[Any, Any], plan: Plan) -> dict[str, Any]:
    """Return a mapping by the names of the parameters."""
    names = {id(parameter.prior): parameter.name for parameter in plan.parameters}
    found, faults = {}, Faults()
    for key, value in given.items():
        name = key if isinstance(key, str) else names.get(id(key), "")
        if name in plan.element_names:
            found[name] = value
        else:
            faults.add(str(key), f"is no free parameter. {did_you_mean(str(key), plan.element_names)}")
    faults.raise_as(SettingError, "The model cannot be started from there.")
    return found


Initializer = InitializerBall | InitializerPrior | InitializerParamBounds | InitializerParamStartPoints


def start_points(
    initializer: Initializer, problem: Problem, number: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw starting points where the posterior density is not zero.

    Returns
    -------
    vectors : numpy.ndarray, shape (number, size)
    log_posterior : numpy.ndarray, shape (number, 2)
        As `Problem.log_posterior` gives it.
    """
    plan = problem.plan
    vectors, values = np.empty((0, plan.size)), np.empty((0, 2))
    for _ in range(MAX_TRIES):
        candidates = initializer.vectors(plan, number, rng)
        found = problem.log_posterior(candidates)
        good = np.isfinite(found[:, 0])
        vectors = np.concatenate([vectors, candidates[good]])[:number]
        values = np.concatenate([values, found[good]])[:number]
        if len(vectors) == number:
            return vectors, values
        if number * _ > 10_000 and not len(vectors):
            break
    raise SearchError(
        f"{len(vectors)} of the {number} starting points that are needed were found: nearly everywhere in "
        f"{initializer} the likelihood is zero, NaN, or an assertion fails.",
        cure="Look at analysis.log_likelihood_function(model.random_instance()), or start elsewhere.",
    )
