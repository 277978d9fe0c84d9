"""What fits of one model to many data sets have in common, and make once.

Which of the data differ from one data set to the next is told before, or found out when they do. They are
inputs of the graph, so that its machine code serves all data sets that are alike otherwise.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from classy_pm.errors import TraceError
from classy_pm.likelihood import Analysis, LogLikelihood
from classy_pm.likelihood.joint import JointAnalysis
from classy_pm.likelihood.readings import ALL_KINDS, DataSet, Path, read, varying_paths
from classy_pm.plan import Plan

if TYPE_CHECKING:
    from classy_pm.likelihood.reusable import ReusableGraph
    from classy_pm.likelihood.shared_numbers import SharedNumbers
    from classy_pm.likelihood.symbolic import SymbolicLogLikelihood

__all__ = ["NotReusable", "Reuse", "Reused", "varying_among"]

logger = logging.getLogger("classy_pm")


class Current(LogLikelihood):
    """What a black box calls: the function of whichever fit runs."""

    def __init__(self, calls: LogLikelihood) -> None:
        super().__init__(calls.plan, calls.analysis)
        self.calls = calls

    def __call__(self, vector: np.ndarray) -> float:
        """Return the log likelihood at one vector, shape (size,)."""
        return self.calls(vector)

    def gradient(self, vector: np.ndarray) -> np.ndarray:
        """Return the gradient at one vector, shape (size,)."""
        return self.calls.gradient(vector)


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
    readings = []
    for analysis in analyses:
        try:
            readings.append(read(analysis, ALL_KINDS))
        except Exception as error:  # what happens when the user's objects are looked through is theirs
            logger.debug("This analysis cannot be looked through: %r", error)
    return frozenset(varying_paths(readings))


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
            if self._busy or isinstance(analysis, JointAnalysis):
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
            priors = (type(parameter.prior) for parameter in plan.parameters)
            return Reused(self, (*key, *_classes(plan.identity), *priors), DataSet.of(analysis))
        except Exception as error:  # what happens when the user's objects are copied is theirs
            logger.debug("This analysis cannot be looked through: %r", error)
            return None

    def find(self, plan: Plan, key: tuple[Any, ...], data_set: DataSet) -> tuple[_Kept, bool]:
        """Return what is kept for a data set, made now if need be; and whether it was."""
        from classy_pm.likelihood.reusable import ReusableGraph

        reading = data_set.reading
        for item in reversed(self._kept):
            if item.key != key or item.graph is None or not item.graph.is_like(reading):
                continue
            differing = item.graph.differing(reading)
            if not differing:
                return self._last(item), False
            if not differing <= self.varying:
                self.varying |= differing
                self._kept = [other for other in self._kept if other.key != key]
                break
        graph = ReusableGraph(plan, data_set, self.varying)
        self.made += graph.refusal is None
        if graph.refusal is not None:
            logger.debug("This likelihood has a graph for each data set: %r", graph.refusal)
        return self._last(_Kept(key, graph, refused=graph.refusal is not None)), True

    def find_black_box(self, key: tuple[Any, ...]) -> tuple[_Kept, bool]:
        """Return what is kept for a black box, and whether it is new."""
        for item in self._kept:
            if item.key == key and item.graph is None:
                return self._last(item), False
        self.made += 1
        return self._last(_Kept(key)), True

    def _last(self, item: _Kept) -> _Kept:
        """Put something behind all others, of which the first are given up where there are too many."""
        others = [other for other in self._kept if other is not item]
        self._kept = [*others, item][-self._most :]
        return item


def _classes(item: Any) -> Iterator[type]:
    """Yield the classes in a model's description: two of the same name may have been written."""
    if isinstance(item, dict):
        item = list(item.values())
    if isinstance(item, (list, tuple)):
        for part in item:
            yield from _classes(part)
    elif isinstance(item, type):
        yield item


@dataclass
class _Kept:
    """A graph of some data sets, and what was made of it.

    Attributes
    ----------
    key : tuple
    graph : ReusableGraph, optional
        Not of a black box.
    black_box : tuple of SymbolicLogLikelihood and Current, optional
    refused : bool
        Whether it is known not to be of use.
    made : dict
    """

    key: tuple[Any, ...]
    graph: ReusableGraph | None = None
    black_box: tuple[SymbolicLogLikelihood, Current] | None = None
    refused: bool = False
    made: dict[Any, Any] = field(default_factory=dict)


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
    def numbers(self) -> list[SharedNumbers]:
        """The data, where they are numbers of the graph."""
        graph = None if self._kept is None else self._kept.graph
        return [] if graph is None else [graph.numbers]

    def symbolic(self, plan: Plan, analysis: Analysis) -> SymbolicLogLikelihood | None:
        """Return the log likelihood of the fit's data, proved; None if it must be made for them alone."""
        from classy_pm.likelihood.symbolic import on_trial

        plain, _ = on_trial(plan, analysis)
        found, is_new = self._reuse.find(plan, self._key, self._data_set)
        if found.refused:
            return None
        assert found.graph is not None
        try:
            symbolic = found.graph.symbolic(plain, self._data_set.reading)
        except TraceError as error:
            logger.debug("The graph of other data is not the likelihood of these: %r", error)
            return None
        self._take(found, is_new)
        return symbolic

    def black_box(self, symbolic: SymbolicLogLikelihood, calls: LogLikelihood) -> SymbolicLogLikelihood:
        """Return a black box whose calls are those of the fit that runs.

        Parameters
        ----------
        symbolic : SymbolicLogLikelihood
            That of this fit.
        calls : LogLikelihood
            What it calls.
        """
        from classy_pm.likelihood.blackbox import BlackBoxLogLikelihood

        found, is_new = self._reuse.find_black_box((*self._key, type(calls.analysis)))
        if found.refused:
            return replace(symbolic, value=BlackBoxLogLikelihood(calls)(*symbolic.inputs))
        if found.black_box is None:
            current = Current(calls)
            found.black_box = (
                replace(symbolic, value=BlackBoxLogLikelihood(current)(*symbolic.inputs)),
                current,
            )
        first, current = found.black_box
        current.calls = calls
        self._take(found, is_new)
        return replace(symbolic, inputs=first.inputs, value=first.value)

    def _take(self, found: _Kept, is_new: bool) -> None:
        self._kept = found
        self._reuse.used += not is_new

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
        self._kept.refused, self._kept.made = True, {}
        raise NotReusable(reason)
