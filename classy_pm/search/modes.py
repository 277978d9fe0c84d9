"""Says what several modes mean for chains: which there are, and whether the chains went between them."""

from __future__ import annotations

import numpy as np
from scipy import linalg, stats

from classy_pm.search.problem import Problem
from classy_pm.search.start import Mode, comparable, mode_notice

__all__ = ["several_modes", "visits"]

# How many parameters are told of each mode.
TOLD = 3
# When chains went between modes often enough: what `diagnose` wants of a parameter.
MAX_R_HAT = 1.01
MIN_ESS_PER_CHAIN = 100


def several_modes(problem: Problem, modes: list[Mode], vectors: np.ndarray) -> list[str]:
    """Say that there are several modes, unless the chains went between them as often as is needed.

    Parameters
    ----------
    problem : Problem
    modes : list of Mode
        On the scale of `problem.density`.
    vectors : numpy.ndarray, shape (chain, draw, size)
        The draws.
    """
    weighty = comparable(modes)
    if len(weighty) < 2:
        return []
    points = problem.density.points(vectors.reshape(-1, problem.plan.size))
    visited = visits(weighty, points.reshape(*vectors.shape[:2], -1))
    if _mixed(visited, len(weighty)):
        return []
    crossed = int(np.sum((visited[:, 1:] != visited[:, :-1]) & (visited[:, :-1] >= 0)))
    often = {0: "never went", 1: "went once"}.get(crossed, f"went {crossed} times")
    consequence = (
        f"Chains start in each at random, and {often} from one to another: what part of the draws a mode has "
        "does not say how probable it is."
    )
    return mode_notice(weighty, consequence, _in_words(problem, weighty))


def visits(modes: list[Mode], points: np.ndarray) -> np.ndarray:
    """Return in the core of which mode each chain was last; -1 where it was in none yet.

    The core is that half of a mode's normal approximation which is nearest to it. The tail of one mode is
    never taken for another.

    Parameters
    ----------
    modes : list of Mode
    points : numpy.ndarray, shape (chain, draw, size)

    Returns
    -------
    numpy.ndarray of int, shape (chain, draw)
    """
    distances = np.array([_squared_distances(mode, points) for mode in modes])
    nearest = np.argmin(distances, axis=0)
    inside = np.min(distances, axis=0) <= stats.chi2.median(points.shape[-1])
    place = np.where(inside, np.arange(points.shape[1]), -1)
    last = np.maximum.accumulate(place, axis=1)
    return np.where(last >= 0, np.take_along_axis(nearest, np.maximum(last, 0), axis=1), -1)


def _squared_distances(mode: Mode, points: np.ndarray) -> np.ndarray:
    """Return the squared distances from a mode, in its standard deviations."""
    offsets = (points - mode.point).reshape(-1, points.shape[-1])
    standard = linalg.lstsq(mode.scatter, offsets.T)[0]
    return np.asarray(np.sum(standard**2, axis=0).reshape(points.shape[:2]))


def _mixed(visited: np.ndarray, count: int) -> bool:
    """Return whether chains went between all modes so often that their shares of the draws are known."""
    from arviz_stats.base import array_stats

    chains = len(visited)
    for mode in range(count):
        there = (visited == mode).astype(float)
        if chains < 2 or np.any(np.ptp(there, axis=1) == 0.0):
            return False
        axes = {"chain_axis": 0, "draw_axis": 1}
        needed = MIN_ESS_PER_CHAIN * min(chains, 4)
        if not (array_stats.rhat(there, **axes) <= MAX_R_HAT and array_stats.ess(there, **axes) >= needed):
            return False
    return True


def _in_words(problem: Problem, modes: list[Mode]) -> list[str]:
    """Return of each mode the parameters in which it differs the most from others, and its log posterior."""
    points = np.array([mode.point for mode in modes])
    half = 0.5 * np.array([np.sqrt(np.sum(mode.scatter**2, axis=1)) for mode in modes])
    vectors_of = problem.density.vectors
    vectors = vectors_of(points)
    widths = np.abs(vectors_of(points + half) - vectors_of(points - half))
    apart = np.ptp(vectors, axis=0) / np.maximum(np.max(widths, axis=0), np.finfo(float).tiny)
    order = np.argsort(-apart, kind="stable")[:TOLD]
    shown = [place for place in order if place == order[0] or apart[place] > 1.0]
    heights = problem.plan.log_prior(vectors) + problem.log_likelihood.many(vectors)
    return [
        ", ".join(f"`{problem.plan.element_names[place]}` = {vector[place]:.4g}" for place in shown)
        + f" (log posterior {height:.5g})"
        for vector, height in zip(vectors, heights, strict=True)
    ]
