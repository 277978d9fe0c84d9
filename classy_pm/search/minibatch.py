"""Raising the evidence bound of many data sets by steps that look at a few of them.

Each step's log likelihood is that of some data sets, each times how many it stands for; the priors and the
entropy are whole. So the slope along what is shared is right on average. Of each data set's own parameters it
is right without that factor, and they are moved in the steps that look at it: Hoffman, Blei, Wang and Paisley
(2013), JMLR 14, 1303.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from classy_pm.errors import SearchError, SettingError, TraceError
from classy_pm.likelihood.joint import JointAnalysis
from classy_pm.search.factorised import Factorised
from classy_pm.search.problem import Problem

__all__ = ["Minibatches", "Raised", "Strata", "raise_by_minibatches", "require_data_sets"]

# Adam's: Kingma and Ba (2015), arXiv:1412.6980.
FIRST, SECOND, SMALL = 0.9, 0.99, 1e-8
# The lengths of steps, one after the other, in standard deviations of the start.
LENGTHS = (0.1, 0.03, 0.01, 0.003)
# The average over so many passes is compared with that over the next ones; steps become shorter once numbers
# of data sets have moved by less than so many steps, and those that are shared, which each step moves, by
# less than so many standard deviations.
PASSES, STEADY, STEADY_SHARED = 10, 2.0, 0.15
# Multiples of it are spread evenly, modulo one.
GOLDEN = 0.6180339887498949
# How well the log likelihoods of some data sets agree with those among all.
TOLERANCE = 1e-8


def require_data_sets(problem: Problem, minibatch: int) -> Factorised:
    """Return the parts of a problem's density, of whose data sets some are to be looked at.

    Raises
    ------
    SettingError
        If there are no more data sets than these.
    SearchError
        If they cannot be looked at one by one.
    """
    analysis = problem.analysis
    if not isinstance(analysis, JointAnalysis):
        raise SettingError(
            f"minibatch={minibatch} is a number of data sets, and this fit has one.",
            cure="Leave it out, or make a FactorGraphModel of data sets.",
        )
    if minibatch >= len(analysis.analyses):
        raise SettingError(
            f"minibatch={minibatch} is not less than the {len(analysis.analyses)} data sets of the graph.",
            cure="Leave it out: all of them are then looked at in each step.",
        )
    if problem.factorised is None:
        raise SearchError(
            f"minibatch={minibatch} needs data sets that have nothing to do with each other, given what they "
            "share. Assertions, parameters of one data set that another's depend on, or a likelihood that is "
            "not traced, forbid it.",
            cure="Leave minibatch out.",
        )
    return problem.factorised


class Strata:
    """Data sets of one form each, of which some stand for all.

    Parameters
    ----------
    problem : Problem
    factorised : Factorised
    size : int
        How many data sets in all, about: of each form that data have at least one.

    Attributes
    ----------
    members : list of numpy.ndarray of int
        Which factors each stratum has, by their places in `factorised.names`.
    counts : list of int
        How many of each are taken.
    weights : list of float
        For how many each of these stands.
    """

    def __init__(self, problem: Problem, factorised: Factorised, size: int) -> None:
        plates = problem.symbolic.plates
        assert plates is not None
        self._problem, self._subsets = problem, plates.subsets
        ends = np.cumsum([len(subset.places) for subset in plates.subsets])[:-1]
        self.members = np.split(factorised.order, ends)
        total = len(factorised.names)
        self.counts = [max(1, round(size * len(stratum) / total)) for stratum in self.members]
        self.weights = [len(s) / count for s, count in zip(self.members, self.counts, strict=True)]

    def log_densities(self, chosen: Sequence[Any]) -> tuple[list[Any], Any, Any]:
        """Return graphs of the model's values for the data sets chosen of each stratum.

        Returns
        -------
        each : list of TensorVariable
            Their log likelihoods, stratum by stratum.
        prior, likelihood : TensorVariable
            The log prior of all parameters, and the estimate of the log likelihood of all data sets.
        """
        import pytensor.tensor as pt
        from pytensor.graph.replace import graph_replace

        problem, model = self._problem, self._problem.pymc_model
        inputs = dict(zip(problem.symbolic.inputs, [model[name] for name in problem.plan.names], strict=True))
        values = [subset.of(index) for subset, index in zip(self._subsets, chosen, strict=True)]
        values = model.replace_rvs_by_values(graph_replace(values, inputs, strict=False))
        likelihood = sum(weight * pt.sum(value) for weight, value in zip(self.weights, values, strict=True))
        return values, model.logp(model.free_RVs), likelihood

    def estimate(self, rng: np.random.Generator) -> Callable[[np.ndarray], float]:
        """Return the log density of a point by some data sets, picked at random once."""
        import pytensor.tensor as pt

        chosen = [
            pt.constant(np.sort(rng.choice(len(members), count, replace=False)))
            for members, count in zip(self.members, self.counts, strict=True)
        ]
        _, prior, likelihood = self.log_densities(chosen)
        function = self._problem.density.function_of([prior + likelihood])
        return lambda point: float(function(point)[0])


class Minibatches:
    """The log density of some data sets, that stand for all.

    Parameters
    ----------
    problem : Problem
    factorised : Factorised
    size : int
        How many data sets, about: of each form that data have at least one.

    Raises
    ------
    TraceError
        If the log likelihoods of some data sets are not those that they have among all.
    """

    def __init__(self, problem: Problem, factorised: Factorised, size: int) -> None:
        import pytensor.tensor as pt

        self.factorised = factorised
        strata = Strata(problem, factorised, size)
        #: Which factors each stratum has, by their places in `factorised.names`.
        self.strata, self.counts, self.weights = strata.members, strata.counts, strata.weights
        chosen = [pt.tensor(dtype="int64", shape=(count,)) for count in self.counts]
        values, prior, likelihood = strata.log_densities(chosen)
        self._function = problem.density.gradients_of(values, [prior, likelihood], chosen)
        self._check(problem)

    def gradients(self, point: np.ndarray, chosen: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Return the gradients of the log prior and of the estimated log likelihood, each of shape (size,).

        Parameters
        ----------
        point : numpy.ndarray, shape (size,)
        chosen : list of numpy.ndarray of int
            Which data sets of each stratum.
        """
        *_, prior, likelihood = self._function(point, *chosen)
        return prior, likelihood

    def passes(self, rng: np.random.Generator) -> Iterator[list[list[np.ndarray]]]:
        """Yield minibatches for one pass after the other, in which each data set comes about once."""
        steps = max(len(s) // count for s, count in zip(self.strata, self.counts, strict=True))
        queues = [np.empty(0, int) for _ in self.strata]
        while True:
            batches = []
            for _ in range(max(1, steps)):
                batch = []
                for number, (stratum, count) in enumerate(zip(self.strata, self.counts, strict=True)):
                    if len(queues[number]) < count:
                        queues[number] = rng.permutation(len(stratum))
                    batch.append(queues[number][:count])
                    queues[number] = queues[number][count:]
                batches.append(batch)
            yield batches

    def _check(self, problem: Problem) -> None:
        (point,) = problem.density.points(problem.plan.draws(1, random_seed=0))
        rng = np.random.default_rng(0)
        chosen = next(self.passes(rng))[0]
        found = np.concatenate(self._function(point, *chosen)[: len(self.strata)])
        expected = self.factorised(point).log_likelihoods[
            np.concatenate([stratum[some] for stratum, some in zip(self.strata, chosen, strict=True)])
        ]
        if not np.allclose(found, expected, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True):
            raise TraceError(
                f"The log likelihoods of a minibatch are {found[:3]}, and among all data "
                f"sets {expected[:3]}.",
                cure="Leave minibatch out, and please report this.",
            )


@dataclass(frozen=True)
class Raised:
    """A mean field, and how it was found.

    Attributes
    ----------
    mean, sd : numpy.ndarray, shape (size,)
    passes, steps : int
        How often all data sets were looked at, and in how many steps.
    converged : bool
    """

    mean: np.ndarray
    sd: np.ndarray
    passes: int
    steps: int
    converged: bool


def raise_by_minibatches(
    batches: Minibatches,
    origin: np.ndarray,
    scale: np.ndarray,
    most: int,
    rng: np.random.Generator,
    show: Callable[[int], None],
) -> Raised:
    """Raise the evidence bound of a mean field, with steps that become shorter.

    Parameters
    ----------
    batches : Minibatches
    origin, scale : numpy.ndarray, shape (size,)
        Where it starts, and how wide.
    most : int
        How many passes through all data sets there may be.
    rng : numpy.random.Generator
    show : callable
        Told how many there were.
    """
    state = _Adam(origin, scale, rng)
    own = _Own(batches)
    stream = batches.passes(rng)
    passes = steps = 0
    steady = False
    for length in LENGTHS:
        before = None
        while True:
            average = np.zeros_like(state.values)
            number = 0
            for _ in range(PASSES):
                for chosen in next(stream):
                    places, shares = own.of(chosen)
                    state.step(batches, chosen, places, shares, length, rng)
                    average += state.values
                    number += 1
                passes += 1
                show(passes)
            steps += number
            average /= number
            steady = before is not None and _is_steady(before, average, length, batches.factorised)
            before = average
            if steady or passes + PASSES > most:
                break
        state.values = average
        if passes + PASSES > most:
            break
    mean, logs = average
    done = length == LENGTHS[-1] and steady
    return Raised(origin + scale * mean, scale * np.exp(logs), passes, steps, done)


def _is_steady(before: np.ndarray, after: np.ndarray, length: float, factorised: Factorised) -> bool:
    """Whether a mean field moved by little: each number that is shared, and those of data sets on average."""
    change = np.abs(after - before)
    change[0] /= np.exp(after[1])
    shared = np.max(change[:, factorised.structure.shared], initial=0.0)
    own = [np.sqrt(np.mean(change[:, places] ** 2)) for places in factorised.structure.own if places.size]
    return bool(shared < STEADY_SHARED and max(own, default=0.0) < STEADY * length)


class _Own:
    """Which numbers of a point a step moves, and how many data sets' likelihoods their slopes are of."""

    def __init__(self, batches: Minibatches) -> None:
        factorised = batches.factorised
        self._shared = factorised.structure.shared
        plate_of = np.concatenate(
            [np.full(len(members), number) for number, members in enumerate(factorised.structure.own)]
        )
        starts = np.cumsum([0, *(len(members) for members in factorised.structure.own)])
        #: Of each stratum, the places of each data set's own numbers.
        self._places = []
        for stratum in batches.strata:
            number = int(plate_of[stratum[0]])
            self._places.append(factorised.structure.own[number][stratum - starts[number]])
        self._weights = batches.weights

    def of(self, chosen: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        places, weights = [self._shared], [np.ones(len(self._shared))]
        for own, weight, some in zip(self._places, self._weights, chosen, strict=True):
            taken = own[some].ravel()
            places.append(taken)
            weights.append(np.full(len(taken), 1.0 / weight))
        return np.concatenate(places), np.concatenate(weights)


class _Adam:
    """Mean and logarithms of the widths, in standard deviations of the start, and Adam's memory of slopes."""

    def __init__(self, origin: np.ndarray, scale: np.ndarray, rng: np.random.Generator) -> None:
        self.origin, self.scale = origin, scale
        self.values = np.zeros((2, origin.size))
        self._first, self._second = np.zeros_like(self.values), np.zeros_like(self.values)
        self._count = np.zeros(origin.size)
        self._starts = rng.random(origin.size)

    def step(
        self,
        batches: Minibatches,
        chosen: list[np.ndarray],
        places: np.ndarray,
        counted: np.ndarray,
        length: float,
        rng: np.random.Generator,
    ) -> None:
        """Move the numbers at some places; the slopes of their likelihoods count for so large a share."""
        widths = np.exp(self.values[1])
        noise = rng.standard_normal(self.origin.size)
        # Evenly spread from visit to visit, so that their mean square is one after a few; signs are random.
        shares = (self._starts[places] + GOLDEN * self._count[places]) % 1.0
        noise[places] = np.copysign(special.ndtri(0.5 + 0.5 * shares), noise[places])
        slopes: list[Any] = []
        for sign in (1.0, -1.0):
            point = self.origin + self.scale * (self.values[0] + sign * widths * noise)
            prior, likelihood = batches.gradients(point, chosen)
            slopes.append((prior[places] + counted * likelihood[places]) * self.scale[places])
        ahead, behind = slopes
        slope = np.array(
            [0.5 * (ahead + behind), 0.5 * (ahead - behind) * noise[places] * widths[places] + 1.0]
        )
        if not np.all(np.isfinite(slope)):
            return
        self._count[places] += 1.0
        first = self._first[:, places] = FIRST * self._first[:, places] + (1.0 - FIRST) * slope
        second = self._second[:, places] = SECOND * self._second[:, places] + (1.0 - SECOND) * slope**2
        count = self._count[places]
        first = first / (1.0 - FIRST**count)
        second = second / (1.0 - SECOND**count)
        self.values[:, places] += length * first / (np.sqrt(second) + SMALL)
