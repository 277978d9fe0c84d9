"""What share of a parent's objects a survey finds, given the probability that it finds each."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from scipy.stats import qmc

from classy_pm.errors import ClassyError, Faults, ModelError
from classy_pm.model.layout import evaluator
from classy_pm.study.parents import Parent
from classy_pm.study.posteriors import Posterior
from classy_pm.study.tails import log_tails, safe_log

__all__ = ["JointSelection", "Selection", "found_by_data", "found_by_values", "read_selection"]

# Between two knots the detection probability changes by no more than the smaller of these: absolutely, and
# relatively to the larger of its two values.
STEP, RELATIVE_STEP = 1.0 / 2000.0, 1.0 / 100.0
# At how many points it is looked at first, how often an interval is halved, and how many knots there may be.
POINTS, HALVINGS, MOST = 2048, 50, 100_000
# Where the parent is: so many quantiles at so many draws of the hyperparameters, and what is left out at each
# end.
DRAWS, LEVELS, TAIL = 200, 128, 1e-9
# At how many points of as many draws of the parent a function of several parameters is known again; and at
# how many it is averaged, as a power of two.
PROBES = 50
# Where the selection is less than this, an object that was found by its data is not: so large a share of its
# draws may be there at most.
NEVER, STRAY = 1e-6, 0.01
JOINT_POINTS = 14
CURE = (
    "A selection takes arrays of values, one a parameter, and returns an array of their shape: the "
    "probability, from 0 to 1, that an object with each value is found. Write for example "
    "selection=lambda flux: 1.0 * (flux > 5.0), or of several parameters "
    'selection={"source.flux": lambda flux: 1.0 / (1.0 + np.exp(5.0 - flux))}.'
)


class Selection:
    """The probability that an object of the population is found, as a function of the hyperparameters.

    Parameters
    ----------
    parent : Parent
    functions : mapping of str to callable
        Of a parameter's values, an array: the probability that an object with each is found, 0 to 1. Where
        there are several, an object is found with the product of their probabilities.

    Raises
    ------
    ModelError
        If functions give no probabilities, or zero wherever the parent is; all are told.

    Notes
    -----
    The detection probability is taken as constant between knots that are so dense that it changes by at most
    1/2000, and by at most a hundredth of itself, from one to the next, and is integrated by the parent's
    exact distribution function: the error is at most half of such a step, whatever the parent, and is of the
    second order in the distance of the knots where the parent is wider than that. All is in logs and without
    cancellation, so that a share is known relatively however small it is. Beyond the range that draws of the
    hyperparameters have for an object the probability is that at its end.
    """

    opaque = False

    def __init__(self, parent: Parent, functions: Mapping[str, Callable[[np.ndarray], Any]]) -> None:
        self.parent = parent
        vectors = parent.plan.draws(DRAWS, random_seed=0)
        self._functions = dict(functions)
        # For each: where the probability changes, and what it is between these edges.
        self.parts: list[tuple[int, np.ndarray, np.ndarray]] = []
        faults = Faults()
        for path, function in functions.items():
            place = parent.paths.index(path)
            first = _first_knots(parent, vectors, place)
            try:
                knots, values = _knots(function, path, first)
            except ModelError as error:
                faults.add("", error.message)
                continue
            if not np.any(values):
                faults.add(
                    "",
                    f"The selection of {path} is zero from {knots[0]:g} to {knots[-1]:g}, wherever it was "
                    "looked at: that is where the parent is at draws of the hyperparameters.",
                )
            changes = np.diff(values) != 0.0
            edges = (0.5 * (knots[1:] + knots[:-1]))[changes]
            self.parts.append((place, edges, values[np.concatenate([[True], changes])]))
        faults.raise_as(ModelError, "This selection cannot be used.", cure=CURE)

    def probabilities(self, x: np.ndarray) -> np.ndarray:
        """Return the probability that objects are found, of parameters of shape (parameters, objects)."""
        found = np.ones(x.shape[1])
        for path, function in self._functions.items():
            found = found * _probabilities(function, path, x[self.parent.paths.index(path)])
        return found

    def log_share(self, values: Mapping[Any, Any]) -> Any:
        """Return the log of the share that is found, for values of the hyperparameters."""
        value_of = evaluator(dict(values))
        total: Any = 0.0
        for place, edges, probabilities in self.parts:
            prior = self.parent.priors[place]
            if not edges.size:
                total = total + np.log(probabilities[0])
                continue
            tails = log_tails(prior, edges, prior.evaluated_arguments(value_of))
            total = total + _log_share(*tails, probabilities)
        return total

    def identity(self) -> list[Any]:
        """Return what of it the answer depends on."""
        return [[self.parent.paths[place], edges, values] for place, edges, values in self.parts]


def _log_share(below: Any, above: Any, probabilities: np.ndarray) -> Any:
    """Return the log of the mean of a probability that is constant between edges.

    It is what it is at the parent's median, and each step from there counts with the tail beyond it: no tail
    is the difference of one and the other.

    Parameters
    ----------
    below, above : shape (edges,)
        The logs of the parent's probability on either side of each edge.
    probabilities : numpy.ndarray, shape (edges + 1,)
    """
    steps = np.diff(probabilities)
    count = np.sum(below < np.log(0.5))
    left = np.arange(len(steps)) < count
    start = safe_log(np.sum(np.where(np.arange(len(probabilities)) == count, probabilities, 0.0)))
    logs = np.log(np.abs(steps)) + np.where(left, below, above)
    top = np.maximum(np.max(logs), start)
    top = np.where(np.isfinite(top), top, 0.0)
    signs = np.sign(steps) * np.where(left, -1.0, 1.0)
    return safe_log(np.exp(start - top) + np.sum(signs * np.exp(logs - top))) + top


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
        self._seen = [self.probabilities(x) for x in draws]

    def points(self, seed: int) -> np.ndarray:
        """Return the points of a scrambling, shape (parameters, points)."""
        return qmc.Sobol(len(self.parent.paths), seed=seed).random_base2(JOINT_POINTS).T

    def probabilities(self, x: np.ndarray) -> np.ndarray:
        """Return the probability that objects are found, of parameters of shape (parameters, objects)."""
        return _probabilities(self.function, "all parameters", *(np.asarray(item) for item in x))

    def drawn(self, values: Mapping[Any, Any], unit: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return draws of the parent, shape (parameters, points), and the probability that each is found."""
        x = np.array([np.broadcast_to(item, unit.shape[1:]) for item in self.parent.quantiles(values, unit)])
        return x, self.probabilities(x)

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
    if not isinstance(selection, Mapping):
        raise ModelError(f"{selection!r} is no selection: functions of one parameter each are.", cure=CURE)
    faults = Faults()
    tied = [prior for prior in parent.priors if any(other is not prior for other in _tied(parent, prior))]
    for path, function in selection.items():
        if path not in parent.paths:
            faults.add(str(path), "is not among the parameters of the population")
        elif not callable(function):
            faults.add(path, f"{function!r} is no function")
        elif parent.priors[parent.paths.index(path)] in tied:
            faults.add(path, "its parent depends on another parameter: the share that is found is not known")
    faults.raise_as(ModelError, "This selection cannot be used.", cure=CURE)
    return Selection(parent, selection) if selection else None


def found_by_values(
    posteriors: Iterable[Posterior], selection: Selection | JointSelection
) -> Iterator[Posterior]:
    """Yield the posteriors of objects that were found by their true values: each draw counts as it is found.

    Raises
    ------
    ModelError
        If some could not have been found anywhere in their posteriors; all are named.
    """
    faults = Faults()
    for posterior in posteriors:
        log_found = safe_log(selection.probabilities(posterior.x))
        if not np.any(log_found > -np.inf):
            faults.add(posterior.name, "the selection is zero at all of its draws")
        yield dataclasses.replace(posterior, offset=posterior.offset + log_found)
    faults.raise_as(
        ModelError,
        "Some objects could not have been found.",
        cure="Leave them out of the query, or look at the selection.",
    )


def found_by_data(
    posteriors: Iterable[Posterior], selection: Selection | JointSelection
) -> Iterator[Posterior]:
    """Yield the posteriors of objects that were found by their data: they are not where none could be found.

    Raises
    ------
    ModelError
        If some are, for then the selection is another one; all are named.
    """
    faults = Faults()
    for posterior in posteriors:
        never = float(np.mean(selection.probabilities(posterior.x) < NEVER))
        if never > STRAY:
            faults.add(posterior.name, f"is in {never:.0%} of its draws where hardly any object is found")
        yield posterior
    faults.raise_as(
        ModelError,
        "The selection does not fit the objects, which were found.",
        cure="It has to be the probability that an object with such true values has data that are found: as "
        "smooth as the data are noisy, ndtr((flux - 5.0) / error) where measured fluxes above 5 are kept. If "
        'objects were kept by their true values, write Population(..., selected_by="values").',
    )


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


def _first_knots(parent: Parent, vectors: np.ndarray, place: int) -> np.ndarray:
    """Return values that a parameter can be expected to have, dense where they are probable."""
    unit = np.full((len(parent.paths), LEVELS), 0.5)
    unit[place] = np.linspace(TAIL, 1.0 - TAIL, LEVELS)
    found = parent.draws(vectors, unit)[:, place]
    found = found[np.isfinite(found)]
    low, high = np.min(found), np.max(found)
    knots = np.union1d(np.linspace(low, high, POINTS), found)
    return np.union1d(knots, np.geomspace(low, high, POINTS)) if low > 0.0 else knots


def _knots(
    function: Callable[[np.ndarray], Any], path: str, knots: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return where the detection probability is known, and its values there, dense where it changes."""
    values = _probabilities(function, path, knots)
    for _ in range(HALVINGS):
        coarse = np.flatnonzero(_is_coarse(values[:-1], values[1:]))
        middles = 0.5 * (knots[coarse] + knots[coarse + 1])
        new = (middles > knots[coarse]) & (middles < knots[coarse + 1])
        if not np.any(new) or len(knots) > MOST:
            break
        knots = np.insert(knots, coarse[new] + 1, middles[new])
        values = np.insert(values, coarse[new] + 1, _probabilities(function, path, middles[new]))
    kept = _needed(values)
    return knots[kept], values[kept]


def _is_coarse(before: Any, after: Any) -> Any:
    """Whether a probability changes by too much from one knot to another."""
    larger = np.maximum(np.maximum(before, after), 1e-9)
    return np.abs(after - before) > np.minimum(STEP, RELATIVE_STEP * larger)


def _needed(values: np.ndarray) -> list[int]:
    """Return which knots are needed: the ends, and the last ones before it has changed by too much."""
    kept = [0]
    for place in range(1, len(values) - 1):
        if _is_coarse(values[kept[-1]], values[place + 1]):
            kept.append(place)
    return [*kept, len(values) - 1]


def _probabilities(function: Callable[..., Any], path: str, *x: np.ndarray) -> np.ndarray:
    _check_arguments(function, path, len(x))
    try:
        values = np.asarray(function(*x), dtype=float)
    except ClassyError:
        raise
    except Exception as error:
        raise ModelError(
            f"The selection of {path} cannot be computed for arrays: {type(error).__name__}: {error}",
            cure=CURE,
        ) from error
    if values.shape != x[0].shape:
        raise ModelError(
            f"The selection of {path} returned shape {values.shape} for values of shape {x[0].shape}.",
            cure=CURE,
        )
    wrong = ~((values >= 0.0) & (values <= 1.0))
    if np.any(wrong):
        place = ", ".join(f"{item[wrong][0]:g}" for item in x)
        raise ModelError(
            f"The selection of {path} is no probability: it is {values[wrong][0]} at {place}.", cure=CURE
        )
    return values


def _check_arguments(function: Callable[..., Any], path: str, count: int) -> None:
    """Refuse a function that cannot be called with so many arrays."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # compiled code that does not tell
        return
    try:
        signature.bind(*range(count))
    except TypeError:
        raise ModelError(
            f"The selection of {path} takes {signature}, and is called with {count} "
            f"{'array' if count == 1 else 'arrays'}.",
            cure=CURE,
        ) from None
