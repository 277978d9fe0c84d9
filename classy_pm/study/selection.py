"""What share of a parent's objects a survey finds, given the probability that it finds each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy.stats import qmc

from classy_pm.errors import Faults, ModelError
from classy_pm.model.layout import evaluator
from classy_pm.study.parents import Parent, cumulative

__all__ = ["JointSelection", "Selection", "read_selection"]

# Between two knots the detection probability changes by no more than the smaller of these: absolutely, and
# relatively to the larger of its two values.
STEP, RELATIVE_STEP = 1.0 / 2000.0, 1.0 / 100.0
# At how many points it is looked at first, how often an interval is halved, and how many knots there may be.
POINTS, HALVINGS, MOST = 2048, 50, 100_000
# The parent's range: so many draws of the hyperparameters, and what is left out at each end.
DRAWS, TAIL = 200, 1e-9
# At how many points of as many draws of the parent a function of several parameters is known again; and at
# how many it is averaged, as a power of two.
PROBES = 50
JOINT_POINTS = 14


class Selection:
    """The probability that an object of the population is found, as a function of the hyperparameters.

    Parameters
    ----------
    parent : Parent
    functions : mapping of str to callable
        Of a parameter's values, an array: the probability that an object with each is found, 0 to 1. Where
        there are several, an object is found with the product of their probabilities.

    Notes
    -----
    The detection probability is taken as constant between knots that are so dense that it changes by at most
    1/2000, and by at most a hundredth of itself, from one to the next, and is integrated by the parent's
    exact distribution function: the error is at most half of such a step, whatever the parent, and is of the
    second order in the distance of the knots where the parent is wider than that.
    """

    opaque = False

    def __init__(self, parent: Parent, functions: Mapping[str, Callable[[np.ndarray], Any]]) -> None:
        self.parent = parent
        vectors = parent.plan.draws(DRAWS, random_seed=0)
        self.parts: list[tuple[int, np.ndarray, np.ndarray, float]] = []
        for path, function in functions.items():
            place = parent.paths.index(path)
            knots, values = _knots(function, path, *_range(parent, vectors, place))
            middles, steps = 0.5 * (knots[1:] + knots[:-1]), np.diff(values)
            kept = steps != 0.0
            self.parts.append((place, middles[kept], steps[kept], float(values[0])))

    def log_share(self, values: Mapping[Any, Any]) -> Any:
        """Return the log of the share that is found, for values of the hyperparameters."""
        value_of = evaluator(dict(values))
        total: Any = 0.0
        for place, middles, steps, first in self.parts:
            prior = self.parent.priors[place]
            below = cumulative(prior, middles, prior.evaluated_arguments(value_of))
            total = total + np.log(first + np.sum(steps * (1.0 - below)))
        return total

    def identity(self) -> list[Any]:
        """Return what of it the answer depends on."""
        return [
            [self.parent.paths[place], middles, steps, first] for place, middles, steps, first in self.parts
        ]


class JointSelection:
    """The same for a probability that depends on several parameters at once.

    Parameters
    ----------
    parent : Parent
    function : callable
        Of an array for each parameter: the probability that an object with these values is found.

    Notes
    -----
    The mean over 16,384 points of a scrambled Sobol sequence, the same for all hyperparameters, which the
    parent's quantiles make draws of it. The gradient is the mean of the probability times that of the log
    density. How far another scrambling would move the answer is measured with every fit.
    """

    opaque = True

    def __init__(self, parent: Parent, function: Callable[..., Any]) -> None:
        self.parent = parent
        self.function = function
        self.unit = self.points(0)
        draws = parent.draws(parent.plan.draws(PROBES, random_seed=0), self.unit[:, :PROBES])
        self._seen = [self._found(x) for x in draws]

    def points(self, seed: int) -> np.ndarray:
        """Return the points of a scrambling, shape (parameters, points)."""
        return qmc.Sobol(len(self.parent.paths), seed=seed).random_base2(JOINT_POINTS).T

    def _found(self, x: Any) -> np.ndarray:
        return _probabilities(self.function, "all parameters", *(np.asarray(item) for item in x))

    def drawn(self, values: Mapping[Any, Any], unit: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return draws of the parent, shape (parameters, points), and the probability that each is found."""
        x = np.array([np.broadcast_to(item, unit.shape[1:]) for item in self.parent.quantiles(values, unit)])
        return x, self._found(x)

    def log_share(self, values: Mapping[Any, Any], unit: np.ndarray | None = None) -> Any:
        """Return the log of the share that is found, for values of the hyperparameters."""
        with np.errstate(divide="ignore"):
            return np.log(np.mean(self.drawn(values, self.unit if unit is None else unit)[1]))

    def identity(self) -> list[Any]:
        """Return what of it the answer depends on."""
        return [JOINT_POINTS, *self._seen]


def read_selection(parent: Parent, selection: Any) -> Selection | JointSelection | None:
    """Read what a user gives as selection.

    Raises
    ------
    ModelError
        With all that is wrong with it.
    """
    if selection is None:
        return None
    if callable(selection):
        if len(parent.paths) > 1:
            return JointSelection(parent, selection)
        selection = {parent.paths[0]: selection}
    cure = 'Write for example selection={"source.flux": lambda flux: 1.0 / (1.0 + np.exp(5.0 - flux))}.'
    if not isinstance(selection, Mapping):
        raise ModelError(f"{selection!r} is no selection: functions of one parameter each are.", cure=cure)
    faults = Faults()
    tied = [prior for prior in parent.priors if any(other is not prior for other in _tied(parent, prior))]
    for path, function in selection.items():
        if path not in parent.paths:
            faults.add(str(path), "is not among the parameters of the population")
        elif not callable(function):
            faults.add(path, f"{function!r} is no function")
        elif parent.priors[parent.paths.index(path)] in tied:
            faults.add(path, "its parent depends on another parameter: the share that is found is not known")
    faults.raise_as(ModelError, "This selection cannot be used.", cure=cure)
    return Selection(parent, selection) if selection else None


def _tied(parent: Parent, prior: Any) -> list[Any]:
    """Return the other parameters that a parent depends on."""
    found: list[Any] = []

    def look(item: Any) -> None:
        for _, other in item.inputs():
            if other in parent.priors:
                found.append(other)
            look(other)

    look(prior)
    return found


def _range(parent: Parent, vectors: np.ndarray, place: int) -> tuple[float, float]:
    """Return the least and the greatest value that a parameter can be expected to have."""
    unit = np.full((len(parent.paths), 2), 0.5)
    unit[place] = TAIL, 1.0 - TAIL
    ends = parent.draws(vectors, unit)[:, place]
    ends = ends[np.all(np.isfinite(ends), axis=-1)]
    return float(np.min(ends)), float(np.max(ends))


def _knots(
    function: Callable[[np.ndarray], Any], path: str, low: float, high: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return where the detection probability is known, and its values there, dense where it changes."""
    knots = np.linspace(low, high, POINTS)
    if low > 0.0:
        knots = np.union1d(knots, np.geomspace(low, high, POINTS))
    values = _probabilities(function, path, knots)
    for _ in range(HALVINGS):
        change, larger = np.abs(np.diff(values)), np.maximum(values[1:], values[:-1])
        coarse = np.flatnonzero(change > np.minimum(STEP, RELATIVE_STEP * np.maximum(larger, 1e-9)))
        middles = 0.5 * (knots[coarse] + knots[coarse + 1])
        new = (middles > knots[coarse]) & (middles < knots[coarse + 1])
        if not np.any(new) or len(knots) > MOST:
            break
        knots = np.insert(knots, coarse[new] + 1, middles[new])
        values = np.insert(values, coarse[new] + 1, _probabilities(function, path, middles[new]))
    return knots, values


def _probabilities(function: Callable[..., Any], path: str, *x: np.ndarray) -> np.ndarray:
    values = np.asarray(function(*x), dtype=float)
    if values.shape != x[0].shape:
        raise ModelError(
            f"The selection of {path} returned shape {values.shape} for values of shape {x[0].shape}.",
            cure="It takes an array for each parameter, and returns the probability of each object.",
        )
    wrong = ~((values >= 0.0) & (values <= 1.0))
    if np.any(wrong):
        place = ", ".join(f"{item[wrong][0]:g}" for item in x)
        raise ModelError(
            f"The selection of {path} is no probability: it is {values[wrong][0]} at {place}.",
            cure="It returns the probability that an object is found, from 0 to 1.",
        )
    return values
