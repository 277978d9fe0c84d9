"""Dynesty's moves for many points at once, so that each asks for a batch of likelihoods.

Dynesty moves one point after the other, or one in each process of a pool. A `Queue` stands where it
expects the pool: it makes the same moves for all points in the queue together. How many they are does
not depend on the number of cores, and so neither do the draws.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from dynesty.internal_samplers import (
    RSliceSampler,
    RWalkSampler,
    SamplerReturn,
    SliceSampler,
    UniformBoundSampler,
    UnitCubeSampler,
)
from dynesty.utils import LogLikelihood, LoglOutput, get_random_generator

__all__ = ["Queue"]

LogLikelihoods = Callable[[np.ndarray], np.ndarray]


class Queue:
    """What dynesty takes for a pool of processes.

    Parameters
    ----------
    log_likelihoods : callable
        Of points of the unit cube, shape (batch, size).
    size : int
        How many points are moved together.
    """

    def __init__(self, log_likelihoods: LogLikelihoods, size: int) -> None:
        self._log_likelihoods = log_likelihoods
        self.size = size

    def log_likelihood(self, point: np.ndarray) -> float:
        """Return the log likelihood of one point."""
        return float(self._log_likelihoods(point[np.newaxis])[0])

    def map(self, function: Any, items: Iterable[Any]) -> list[Any]:
        """Call a function for each item: the likelihood and the moves for all of them together."""
        items = list(items)
        if isinstance(function, LogLikelihood):
            return [LoglOutput(value, False) for value in self._log_likelihoods(np.array(items))]
        move = _MOVES.get(function)
        return list(map(function, items)) if move is None else move(items, self._log_likelihoods)


def _draw(items: list[Any], log_likelihoods: LogLikelihoods) -> list[SamplerReturn]:
    """Draw uniformly inside the bound until there are as many better points as items."""
    first = items[0]
    rng = get_random_generator(first.rseed)
    bound = first.kwargs.get("bound")
    found: list[SamplerReturn] = []
    since, tried, better = 0, 0, 0
    while len(found) < len(items):
        # As many as should be needed, from how many were better so far.
        number = int((len(items) - len(found)) * min((tried + 1) / (better + 1), 20.0)) + 1
        if bound is None:
            points = rng.random((number, first.kwargs["ndim"]))
        else:
            points = bound.samples(number, rstate=rng)
            points = points[_inside(points)]
        values = log_likelihoods(points) if len(points) else np.empty(0)
        tried += number
        better += int(np.sum(values > first.loglstar))
        for point, value in zip(points, values, strict=True):
            since += 1
            if value > first.loglstar and len(found) < len(items):
                found.append(_moved(point, value, since))
                since = 0
    # What was drawn and is not used was paid for.
    return [*found[:-1], found[-1]._replace(ncalls=found[-1].ncalls + since)]


def _walk(items: list[Any], log_likelihoods: LogLikelihoods) -> list[SamplerReturn]:
    """Walk at random inside the contour, each step uniform in an ellipsoid."""
    first = items[0]
    rng = get_random_generator(first.rseed)
    steps = first.kwargs["walks"]
    points, axes = np.array([item.u for item in items]), np.array([item.axes for item in items])
    values = np.full(len(points), -np.inf)
    accepted = np.zeros(len(points), int)
    for _ in range(steps):
        proposed = points + first.scale * np.einsum("kij,kj->ki", axes, _in_ball(rng, points.shape))
        found = _where(_inside(proposed), proposed, log_likelihoods)
        better = found > first.loglstar
        points[better], values[better] = proposed[better], found[better]
        accepted += better
    stayed = accepted == 0
    values[stayed] = _where(stayed, points, log_likelihoods)[stayed]
    return [
        _moved(point, value, steps, {"accept": int(yes), "reject": int(steps - yes), "scale": first.scale})
        for point, value, yes in zip(points, values, accepted, strict=True)
    ]


def _slice_along_axes(items: list[Any], log_likelihoods: LogLikelihoods) -> list[SamplerReturn]:
    """Sample slices along all axes of the bound, in an order of each point's own."""

    def directions(rng: np.random.Generator, axes: np.ndarray) -> Iterator[np.ndarray]:
        rows = np.swapaxes(axes, 1, 2)
        order = rng.permuted(np.tile(np.arange(rows.shape[1]), (len(rows), 1)), axis=1)
        for place in order.T:
            yield rows[np.arange(len(rows)), place]

    return _slice(items, log_likelihoods, directions)


def _slice_at_random(items: list[Any], log_likelihoods: LogLikelihoods) -> list[SamplerReturn]:
    """Sample a slice in a random direction."""

    def directions(rng: np.random.Generator, axes: np.ndarray) -> Iterator[np.ndarray]:
        normal = rng.standard_normal(axes.shape[:2])
        yield np.einsum("kij,kj->ki", axes, normal / np.linalg.norm(normal, axis=1, keepdims=True))

    return _slice(items, log_likelihoods, directions)


def _slice(
    items: list[Any],
    log_likelihoods: LogLikelihoods,
    directions: Callable[[np.random.Generator, np.ndarray], Iterator[np.ndarray]],
) -> list[SamplerReturn]:
    first = items[0]
    rng = get_random_generator(first.rseed)
    points, axes = np.array([item.u for item in items]), np.array([item.axes for item in items])
    counts = np.zeros((3, len(points)), int)
    values = np.empty(len(points))
    for _ in range(first.kwargs["slices"]):
        for direction in directions(rng, axes):
            points, values = _slice_step(
                points, first.scale * direction, first.loglstar, log_likelihoods, rng, counts
            )
    return [
        _moved(
            point,
            value,
            int(called),
            {"n_expand": int(expanded), "n_contract": int(contracted), "expansion_warning_set": False},
        )
        for point, value, called, expanded, contracted in zip(points, values, *counts, strict=True)
    ]


def _slice_step(
    points: np.ndarray,
    direction: np.ndarray,
    contour: float,
    log_likelihoods: LogLikelihoods,
    rng: np.random.Generator,
    counts: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Step out from each point until both ends are outside the contour, then draw between them.

    Neal (2003), Annals of Statistics 31, 705, figures 3 and 5.
    """
    calls, expanded, contracted = counts
    longest = np.sqrt(points.shape[1]) / 2.0
    lengths = np.linalg.norm(direction, axis=1, keepdims=True)
    direction = direction / np.maximum(lengths / longest, 1.0)

    def values_at(place: np.ndarray, which: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        there = points + place[:, np.newaxis] * direction
        calls[which] += 1
        return there, _where(which & _inside(there), there, log_likelihoods)

    left = -rng.random(len(points))
    right = left + 1.0
    for end, step in ((left, -1.0), (right, 1.0)):
        going = np.ones(len(points), bool)
        while np.any(going):
            going &= values_at(end, going)[1] > contour
            end[going] += step
            expanded[going] += 1
    new_points, new_values = points.copy(), np.empty(len(points))
    looking = np.ones(len(points), bool)
    while np.any(looking):
        place = left + rng.random(len(points)) * (right - left)
        there, values = values_at(place, looking)
        contracted[looking] += 1
        found = looking & (values > contour)
        new_points[found], new_values[found] = there[found], values[found]
        looking &= ~found
        below = place < 0.0
        left[looking & below] = place[looking & below]
        right[looking & ~below] = place[looking & ~below]
    return new_points, new_values


def _in_ball(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Draw uniformly in the unit ball."""
    normal = rng.standard_normal(shape)
    radii = rng.random((shape[0], 1)) ** (1.0 / shape[1])
    return normal / np.linalg.norm(normal, axis=1, keepdims=True) * radii


def _inside(points: np.ndarray) -> np.ndarray:
    """Return which points are in the unit cube."""
    return np.all((points > 0.0) & (points < 1.0), axis=1)


def _where(which: np.ndarray, points: np.ndarray, log_likelihoods: LogLikelihoods) -> np.ndarray:
    """Return the log likelihoods of these points, -inf for the others."""
    values = np.full(len(points), -np.inf)
    if np.any(which):
        values[which] = log_likelihoods(points[which])
    return values


def _moved(
    point: np.ndarray, value: float, calls: int, tuning: dict[str, Any] | None = None
) -> SamplerReturn:
    return SamplerReturn(
        u=point,
        v=point,
        logl=float(value),
        ncalls=calls,
        evaluation_history=[],
        tuning_info=tuning,
        proposal_stats=None,
    )


_MOVES: dict[Any, Callable[[list[Any], LogLikelihoods], list[SamplerReturn]]] = {
    UnitCubeSampler.sample: _draw,
    UniformBoundSampler.sample: _draw,
    RWalkSampler.sample: _walk,
    SliceSampler.sample: _slice_along_axes,
    RSliceSampler.sample: _slice_at_random,
}
