"""Where an ensemble starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from classy_pm.errors import Faults, SearchError, SettingError, did_you_mean, some_of
from classy_pm.plan import Plan
from classy_pm.result import Result
from classy_pm.search.problem import Problem

__all__ = [
    "Initializer",
    "InitializerBall",
    "InitializerParamBounds",
    "InitializerParamStartPoints",
    "InitializerPrior",
    "InitializerResult",
    "start_points",
]

MAX_TRIES = 1000
# Where draws do not suffice, how far from one of them, in units of the prior's width that holds 68% of it.
SPREAD = 0.01
# So many parameters are named.
NAMED = 5


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
        widths = _prior_widths(plan)
        for name, value in self.resolved(plan).start_points.items():
            place = plan.element_names.index(name)
            width = self.spread * widths[place]
            vectors[:, place] = float(value) + rng.uniform(-width, width, number)
        return vectors


@dataclass(frozen=True, repr=False)
class InitializerResult:
    """Starts at draws of another fit's posterior; parameters that it did not have start in their prior.

    A fit with it is identified by the other fit, not by its draws.

    Parameters
    ----------
    result : Result
        Of any search. Its parameters are those of the new model by their dotted names; some of them are
        enough.

    Raises
    ------
    SettingError
        If it is no result; and when the search starts, if no parameter has a name in common.

    Examples
    --------
    >>> second = Emcee(initializer=InitializerResult(first)).fit(model, analysis)  # doctest: +SKIP
    """

    result: Result

    def __post_init__(self) -> None:
        if not isinstance(self.result, Result):
            raise SettingError(
                f"InitializerResult({self.result!r}) has no draws.",
                cure="Give it what fit(...) returned: InitializerResult(result).",
            )

    def __identity__(self) -> dict[str, str]:
        return {"fit": self.result.identifier, "factor": str(self.result.attributes.get("factor", ""))}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, InitializerResult) and self.__identity__() == other.__identity__()

    def __hash__(self) -> int:
        return hash(self.result.identifier)

    def __repr__(self) -> str:
        return f"InitializerResult(<the fit {self.result.identifier[:12]}>)"

    def vectors(self, plan: Plan, number: int, rng: np.random.Generator) -> np.ndarray:
        """Return different vectors, shape (number, size): draws, and near them where there are too few."""
        vectors = InitializerPrior().vectors(plan, number, rng)
        places, columns = self._in_common(plan)
        samples = self.result.samples
        weights = np.array(samples.weight_list)
        order = rng.choice(len(weights), np.count_nonzero(weights), replace=False, p=weights)
        found: dict[bytes, np.ndarray] = {}
        for draw in order:
            row = samples.vectors[draw, columns]
            found.setdefault(row.tobytes(), row)
            if len(found) == number:
                break
        rows = np.array(list(found.values()))
        if len(rows) < number:
            again = rows[rng.integers(len(rows), size=number - len(rows))]
            widths = SPREAD * _prior_widths(plan)[places]
            rows = np.concatenate([rows, again + rng.uniform(-widths, widths, again.shape)])
        vectors[:, places] = rows
        return vectors

    def draws(self, plan: Plan, number: int, rng: np.random.Generator) -> np.ndarray:
        """Return draws of equal weight, shape (number, size), some of them several times."""
        vectors = plan.draws(number, rng)
        places, columns = self._in_common(plan)
        drawn = self.result.samples.drawn_randomly(number, random_seed=rng)
        vectors[:, places] = drawn.vectors[:, columns]
        return vectors

    def _in_common(self, plan: Plan) -> tuple[list[int], list[int]]:
        """Return where the parameters that both have are in a vector, and where in a draw."""
        known = {name: column for column, name in enumerate(self.result.samples.names)}
        shared = [(place, known[name]) for place, name in enumerate(plan.element_names) if name in known]
        if not shared:
            raise SettingError(
                f"The fit {self.result.identifier[:12]} has no parameter of this model: "
                f"it has {some_of(known, NAMED)}, and the model has {some_of(plan.element_names, NAMED)}.",
                cure="Give the parameters the same names, or leave the initializer out.",
            )
        return [place for place, _ in shared], [column for _, column in shared]


def _prior_widths(plan: Plan) -> np.ndarray:
    """Return the width of each prior that holds 68% of it."""
    low, high = plan.vector_from_unit(np.array([np.full(plan.size, 0.16), np.full(plan.size, 0.84)]))
    return np.asarray(high - low)


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


Initializer = (
    InitializerBall
    | InitializerPrior
    | InitializerParamBounds
    | InitializerParamStartPoints
    | InitializerResult
)


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
