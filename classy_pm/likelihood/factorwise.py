"""The log likelihood of a graph of factors, factor by factor: those whose parameters are as before are known.

A step along the parameters of one data set, as a slice sampler makes them, asks the function of that data set
alone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from classy_pm.errors import FitException
from classy_pm.likelihood.joint import JointAnalysis
from classy_pm.model import PlateLayout
from classy_pm.plan import Plan

__all__ = ["Elsewhere", "Factorwise"]

# Gives the outcomes of factors, by their places in the graph, at a vector: see `Factorwise.outcomes`.
Elsewhere = Callable[[np.ndarray, list[int]], list[Any]]

Columns = list[list[tuple[Any, bool]]]


class Factorwise:
    """The sum of the factors' log likelihoods; of the last vector those of each factor are kept.

    Parameters
    ----------
    plan : Plan
        Of a graph of factors.
    joint : JointAnalysis
    """

    def __init__(self, plan: Plan, joint: JointAnalysis) -> None:
        assert isinstance(plan.layout, PlateLayout)
        self.layout: PlateLayout = plan.layout
        self.joint = joint
        self.names = list(joint.analyses)
        # Of each factor: its plate, and where along it it is.
        self._where = {
            name: (number, place)
            for number, plate in enumerate(self.layout.plates)
            for place, name in enumerate(plate.names)
        }
        self._of_thread = threading.local()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_of_thread"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._of_thread = threading.local()

    def total(self, vector: np.ndarray, elsewhere: Elsewhere | None = None) -> Any:
        """Return the sum at one vector, added up in the order of the factors.

        Parameters
        ----------
        vector : numpy.ndarray, shape (size,)
        elsewhere : callable, optional
            Computes what is not known.

        Raises
        ------
        FitException
            If the parameters are impossible for a factor; those after it are not looked at.
        """
        memory = self._memory()
        columns = self._columns(vector)
        memory.forget_changed(columns)
        if elsewhere is not None:
            places = [place for place, known in enumerate(memory.known) if not known]
            for place, outcome in zip(places, elsewhere(vector, places), strict=True):
                memory.keep(place, outcome)
        total: Any = 0.0
        for place in range(len(self.names)):
            if not memory.known[place]:
                memory.keep(place, self._outcome(columns, place))
            outcome = memory.outcomes[place]
            if isinstance(outcome, BaseException):
                memory.known[place] = isinstance(outcome, FitException)
                raise outcome.with_traceback(None) if isinstance(outcome, FitException) else outcome
            total = total + outcome
        return total

    @property
    def last(self) -> dict[str, float] | None:
        """What each factor gave at the last vector; None where that is not known of all."""
        memory = self._memory()
        if not np.all(memory.known) or any(isinstance(item, BaseException) for item in memory.outcomes):
            return None
        return dict(zip(self.names, map(float, memory.outcomes), strict=True))

    def outcomes(self, vector: np.ndarray, places: list[int]) -> list[Any]:
        """Return what factors give at one vector.

        Parameters
        ----------
        vector : numpy.ndarray, shape (size,)
        places : list of int
            Which factors, by their places in the graph.

        Returns
        -------
        list
            The log likelihood of each, or the exception that its function raised.
        """
        columns = self._columns(vector)
        return [self._outcome(columns, place) for place in places]

    def _outcome(self, columns: Columns, place: int) -> Any:
        name = self.names[place]
        number, along = self._where[name]
        values = [value[along] if varies else value for value, varies in columns[number]]
        try:
            return self.joint.of(name, self.layout.plates[number].build_one(values))
        except Exception as error:
            return error

    def _columns(self, vector: np.ndarray) -> Columns:
        # A copy, for the caller may change the vector.
        value_of = self.layout.evaluator(self.layout.split(np.array(vector, dtype=float)))
        return [self.layout.columns_of(plate, value_of) for plate in self.layout.plates]

    def _memory(self) -> _Memory:
        memory: _Memory | None = getattr(self._of_thread, "memory", None)
        if memory is None:
            places = {name: place for place, name in enumerate(self.names)}
            orders = [np.array([places[name] for name in plate.names]) for plate in self.layout.plates]
            memory = self._of_thread.memory = _Memory(orders)
        return memory


class _Memory:
    """What each factor gave last.

    Parameters
    ----------
    orders : list of numpy.ndarray of int
        Of each plate, the places of its factors in the graph.
    """

    def __init__(self, orders: list[np.ndarray]) -> None:
        self._orders = orders
        count = sum(map(len, orders))
        self.known = np.zeros(count, dtype=bool)
        self.outcomes: list[Any] = [None] * count
        self._columns: Columns | None = None

    def keep(self, place: int, outcome: Any) -> None:
        """Keep what a factor has given."""
        self.outcomes[place] = outcome
        self.known[place] = True

    def forget_changed(self, columns: Columns) -> None:
        """Forget the factors that have other parameters than before."""
        before, self._columns = self._columns, columns
        if before is None:
            return
        for order, new, old in zip(self._orders, columns, before, strict=True):
            changed = np.zeros(len(order), dtype=bool)
            for (value, varies), (known, _) in zip(new, old, strict=True):
                if value is known:
                    continue
                differs = np.not_equal(value, known)
                changed |= differs.reshape(len(order), -1).any(axis=1) if varies else np.any(differs)
            self.known[order[changed]] = False
