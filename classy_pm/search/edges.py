"""Lets dynesty go on beyond the edges of the unit cube, for periodic and reflective parameters.

Dynesty's own settings for this are for its own moves, which are not used here, and where it draws inside a
bound they let live points lie outside of the cube. Here all points stay inside.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from dynesty.bounding import Bound, Ellipsoid, MultiEllipsoid, RadFriends, SupFriends
from dynesty.internal_samplers import RSliceSampler, RWalkSampler, SliceSampler

from classy_pm.search.moves import LogLikelihoods, Queue

__all__ = ["EdgeQueue", "turning_bound"]

_WALKS = (RWalkSampler.sample, RSliceSampler.sample, SliceSampler.sample)
_BOUNDS = {"single": Ellipsoid, "multi": MultiEllipsoid, "balls": RadFriends, "cubes": SupFriends}


class EdgeQueue(Queue):
    """A `Queue` that moves points beyond edges.

    A periodic parameter is moved on a circle, and a reflective one on a circle that goes there and back. For
    each batch the circles are cut open elsewhere, at random, so that no place keeps the points from crossing.

    Parameters
    ----------
    log_likelihoods : callable
        Of points of the unit cube, shape (batch, size).
    size : int
        How many points are moved together.
    periodic, reflective : sequence of int
        Which columns of the points are such parameters.
    rng : numpy.random.Generator
    """

    def __init__(
        self,
        log_likelihoods: LogLikelihoods,
        size: int,
        periodic: Sequence[int],
        reflective: Sequence[int],
        rng: np.random.Generator,
    ) -> None:
        super().__init__(log_likelihoods, size)
        self._circles = [*periodic, *reflective]
        self._reflective = list(reflective)
        self._rng = rng

    def map(self, function: Any, items: Iterable[Any]) -> list[Any]:
        """Call a function for each item: the likelihood and the moves for all of them together."""
        items = list(items)
        if function not in _WALKS or not self._circles or not items:
            return super().map(function, items)
        cut = self._rng.random(len(self._circles))

        def back(points: np.ndarray) -> np.ndarray:
            points = np.array(points)
            points[:, self._circles] = np.mod(points[:, self._circles] + cut, 1.0)
            there = points[:, self._reflective]
            points[:, self._reflective] = 1.0 - np.abs(2.0 * there - 1.0)
            return points

        points, axes = np.array([item.u for item in items]), np.array([item.axes for item in items])
        # Either way around stands for the same place.
        halves = 0.5 * points[:, self._reflective]
        points[:, self._reflective] = np.where(self._rng.random(halves.shape) < 0.5, halves, 1.0 - halves)
        points[:, self._circles] = np.mod(points[:, self._circles] - cut, 1.0)
        axes[:, self._reflective] *= 0.5
        moved = Queue(lambda there: self._log_likelihoods(back(there)), self.size).map(
            function,
            [item._replace(u=u, axes=own) for item, u, own in zip(items, points, axes, strict=True)],
        )
        ends = back(np.array([item.u for item in moved]))
        return [item._replace(u=u, v=u) for item, u in zip(moved, ends, strict=True)]


def turning_bound(kind: str, size: int, periodic: Sequence[int]) -> Any:
    """Return what dynesty takes for a bound; with periodic parameters, one that goes across their edges."""
    return _TurningBound(_BOUNDS[kind](size), periodic) if periodic and kind in _BOUNDS else kind


class _TurningBound(Bound):
    """A bound in a cube that is turned until the widest gap between the live points lies at its edge.

    Parameters
    ----------
    inner : dynesty.bounding.Bound
        The bound in the turned cube.
    periodic : sequence of int
        Along which parameters it is turned.
    """

    def __init__(self, inner: Any, periodic: Sequence[int]) -> None:
        self._inner = inner
        self._periodic = list(periodic)
        self._turn = np.zeros(len(self._periodic))
        self.ndim = inner.ndim
        self.need_centers = inner.need_centers

    @property
    def logvol(self) -> float:
        """The log of the volume."""
        return float(self._inner.logvol)

    @property
    def ctrs(self) -> np.ndarray:
        """The points around which balls and cubes are."""
        return np.asarray(self._inner.ctrs)

    @ctrs.setter
    def ctrs(self, points: np.ndarray) -> None:
        self._inner.ctrs = self._turned(points)

    def update(self, points: np.ndarray, **settings: Any) -> None:
        """Put the bound around points."""
        columns = np.sort(points[:, self._periodic], axis=0)
        gaps = np.diff(columns, axis=0, append=columns[:1] + 1.0)
        widest = np.argmax(gaps, axis=0)[np.newaxis]
        begin, gap = (np.take_along_axis(each, widest, axis=0)[0] for each in (columns, gaps))
        self._turn = begin + 0.5 * gap
        self._inner.update(self._turned(points), **settings)

    def contains(self, x: np.ndarray) -> Any:
        """Return whether a point is inside."""
        return self._inner.contains(self._turned(x))

    def samples(self, nsamples: int, rstate: Any = None) -> np.ndarray:
        """Draw points; those that are not in the cube are to be left out."""
        points = np.array(self._inner.samples(nsamples, rstate=rstate))
        inside = np.all((points > 0.0) & (points < 1.0), axis=1)
        columns = np.ix_(inside, self._periodic)
        points[columns] = np.mod(points[columns] + self._turn, 1.0)
        return points

    def get_random_axes(self, rstate: Any) -> Any:
        """Return the axes of one of its parts."""
        return self._inner.get_random_axes(rstate)

    def scale_to_logvol(self, logvol: Any) -> None:
        """Enlarge it, or make it smaller."""
        self._inner.scale_to_logvol(logvol)

    def _turned(self, points: np.ndarray) -> np.ndarray:
        points = np.array(points)
        points[..., self._periodic] = np.mod(points[..., self._periodic] - self._turn, 1.0)
        return points
