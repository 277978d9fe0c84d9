"""Where an ensemble starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from classy_pm.errors import SearchError, SettingError
from classy_pm.search.problem import Problem

__all__ = ["InitializerBall", "InitializerPrior"]

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

    def unit_points(self, number: int, size: int, rng: np.random.Generator) -> np.ndarray:
        """Return points of the unit cube, shape (number, size)."""
        return rng.uniform(self.lower_limit, self.upper_limit, (number, size))


@dataclass(frozen=True)
class InitializerPrior:
    """Starts anywhere in the prior."""

    def unit_points(self, number: int, size: int, rng: np.random.Generator) -> np.ndarray:
        """Return points of the unit cube, shape (number, size)."""
        return rng.random((number, size))


def start_points(
    initializer: Any, problem: Problem, number: int, rng: np.random.Generator
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
        candidates = plan.vector_from_unit(initializer.unit_points(number, plan.size, rng))
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
