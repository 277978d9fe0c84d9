"""What fits of one model to many data sets have in common, and make once.

Which of the data differ from one data set to the next is told before, or found out when they do. They are
inputs of the graph, so that its machine code serves all data sets that are alike otherwise.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from classy_pm.errors import TraceError
from classy_pm.likelihood import Analysis
from classy_pm.likelihood.joint import JointAnalysis
from classy_pm.likelihood.readings import ALL_KINDS, DataSet, Path, read, varying_paths
from classy_pm.plan import Plan

if TYPE_CHECKING:
    from classy_pm.likelihood.reusable import ReusableGraph
    from classy_pm.likelihood.symbolic import SymbolicLogLikelihood

__all__ = ["NotReusable", "Reuse", "Reused", "varying_among"]

logger = logging.getLogger("classy_pm")


class NotReusable(Exception):
    """Something was made that holds for one data set alone."""


def varying_among(analyses: Iterable[Any]) -> frozenset[Path]:
    """Return which numbers and arrays are not the same in all of some analyses, by their paths.

    Parameters
    ----------
    analyses : iterable of Analysis

    Returns
    -------
    frozenset of tuple
        Plain data, which can be pickled.

    Examples
    --------
    >>> varying_among([LineAnalysis(x, y), LineAnalysis(x, 2.0 * y)])  # doctest: +SKIP
    frozenset({(('attribute', 'y'),)})
    """
    return frozenset(varying_paths([read(analysis, ALL_KINDS) for analysis in analyses]))


class Reuse:
    """Keeps what was made for one data set for others, by the model and the search.

    A fit has the same draws whichever were fitted before, and in whichever process, if all that differs among
    the data sets was told; what is found out later is an input from then on, and the graph made anew. Fits in
    other threads wait for their turn.

    Parameters
    ----------
    varying : iterable of tuple
        Which of the data are not the same in all data sets, as `varying_among` tells.
    most : int
        How many graphs are kept; those that were used last.

    Attributes
    ----------
    varying : set of tuple
    made : int
        How many graphs were made.
    used : int
        For how many fits there was one already.
    ordinary : int
        How many fits took nothing from it.
    """

    def __init__(self, varying: Iterable[Path] = (), most: int = 8) -> None:
        self.varying: set[Path] = set(varying)
        self.made = 0
        self.used = 0
        self.ordinary = 0
        self._most = most
        self._kept: list[_Kept] = []
        self._turn = threading.RLock()
        self._busy = False

    def __reduce__(self) -> Any:
        # Machine code stays where it is; what is made elsewhere is the same.
        return Reuse, (sorted(self.varying, key=repr), self._most)

    @contextmanager
    def serving(self, plan: Plan, analysis: Analysis, key: tuple[str, ...]) -> Iterator[Reused | None]:
        """Serve one fit, which alone may use what is kept; None where there is nothing to be used.

        Parameters
        ----------
        plan : Plan
        analysis : Analysis
            Its likelihood has not been called by the fit.
        key : tuple of str
            Tells model and search from others.
        """
        with self._turn:
            if self._busy or isinstance(analysis, JointAnalysis) or analysis._opaque:
                yield None
                return
            self._busy, reused = True, self._reused(plan, analysis, key)
            try:
                yield reused
            finally:
                self._busy = False
                self.ordinary += reused is None or reused.unused

    def _reused(self, plan: Plan, analysis: Analysis, key: tuple[str, ...]) -> Reused | None:
        try:
            return Reused(self, (*key, *_classes(plan.identity)), DataSet.of(analysis))
        except Exception as error:  # what happens when the user's objects are copied is theirs
            logger.debug("This analysis cannot be looked through: %r", error)
            return None

    def find(self, plan: Plan, key: tuple[Any, ...], data_set: DataSet) -> _Kept:
        """Return what is kept for a data set, made now if need be."""
        reading = data_set.reading
        alike = [item for item in self._kept if item.key == key and item.is_like(reading)]
        for item in alike:
            differing = item.differing(reading)
            if not differing:
                self._kept.remove(item)
                self._kept.append(item)
                return item
            if not differing <= self.varying:
                self.varying |= differing
                self._kept = [other for other in self._kept if other.key != key]
        found = _Kept(key, plan, data_set, self.varying)
        self.made += not found.refused
        self._kept = [*self._kept, found][-self._most :]
        return found


def _classes(item: Any) -> Iterator[type]:
    """Yield the classes in a model's description: two of the same name may have been written."""
    if isinstance(item, dict):
        item = list(item.values())
    if isinstance(item, (list, tuple)):
        for part in item:
            yield from _classes(part)
    elif isinstance(item, type):
        yield item


class _Kept:
    """A graph, and what was made of it; or the knowledge that there is none that could be used."""

    def __init__(self, key: tuple[Any, ...], plan: Plan, data_set: DataSet, varying: set[Path]) -> None:
        from classy_pm.likelihood.reusable import ReusableGraph

        self.key = key
        self.made: dict[Any, Any] = {}
        self.graph: ReusableGraph | None = None
        self._first = data_set
        try:
            self.graph = ReusableGraph(plan, data_set, varying)
        except Exception as error:
            logger.debug("The graph of this likelihood is for its own data alone: %r", error)

    @property
    def refused(self) -> bool:
        return self.graph is None

    def is_like(self, reading: Any) -> bool:
        if self.graph is None:
            return bool(self._first.reading.tokens == reading.tokens)
        return self.graph.is_like(reading)

    def differing(self, reading: Any) -> set[Path]:
        return set() if self.graph is None else self.graph.differing(reading)


class Reused:
    """What one fit takes from `Reuse`.

    Parameters
    ----------
    reuse : Reuse
    key : tuple
    data_set : DataSet
    """

    def __init__(self, reuse: Reuse, key: tuple[Any, ...], data_set: DataSet) -> None:
        self._reuse = reuse
        self._key = key
        self._data_set = data_set
        self._kept: _Kept | None = None

    def __reduce__(self) -> Any:
        return Reused, (self._reuse, self._key, self._data_set)

    @property
    def unused(self) -> bool:
        """Whether the fit has nothing of others'."""
        return self._kept is None

    @property
    def graph(self) -> ReusableGraph | None:
        """The graph that the fit uses, None before there is one."""
        return None if self._kept is None else self._kept.graph

    def symbolic(self, plan: Plan, analysis: Analysis) -> SymbolicLogLikelihood | None:
        """Return the log likelihood of the fit's data, proved; None if it must be made for them alone."""
        from classy_pm.likelihood.symbolic import on_trial

        plain, _ = on_trial(plan, analysis)
        before = self._reuse.made
        found = self._reuse.find(plan, self._key, self._data_set)
        is_new = self._reuse.made > before
        if found.graph is None:
            return None
        try:
            symbolic = found.graph.symbolic(plain, self._data_set.reading)
        except TraceError as error:
            logger.debug("The graph of other data is not the likelihood of these: %r", error)
            return None
        self._kept = found
        self._reuse.used += not is_new
        return symbolic

    def kept[Made](self, name: Any, make: Callable[[], Made]) -> Made:
        """Return what is kept of the graph under a name, made now if need be."""
        assert self._kept is not None
        if name not in self._kept.made:
            self._kept.made[name] = make()
        return self._kept.made[name]

    def give_up(self, error: Exception) -> None:
        """Take nothing: whatever went wrong, an ordinary fit says whether it is the user's fault or ours."""
        logger.debug("The fit is run again with a graph of its own: %r", error)
        self._kept = None

    def refuse(self, reason: str) -> None:
        """Give up the graph, for all data sets that are like this one.

        Raises
        ------
        NotReusable
        """
        assert self._kept is not None
        self._kept.graph, self._kept.made = None, {}
        raise NotReusable(reason)
