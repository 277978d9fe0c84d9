"""`PopulationAnalysis`: the likelihood of a parent, by weighing the draws of objects that are fitted already.

The likelihood of the hyperparameters is that of Hogg, Myers and Bovy (2010), Astrophysical Journal 725, 2166,
with the selection of Mandel, Farr and Gair (2019), MNRAS 486, 1086.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cached_property
from typing import Any, override

import numpy as np

from classy_pm.errors import ClassyError
from classy_pm.likelihood.analysis import Afterword, Analysis
from classy_pm.study.batches import Batch, Batches
from classy_pm.study.parents import Parent
from classy_pm.study.selection import JointSelection, Selection

__all__ = ["PopulationAnalysis"]

# How well the compiled functions agree with the plain ones, relatively.
TOLERANCE = 1e-8
WITNESSES = 20
# What another process makes anew.
UNSENT = ("_last", "_lock", "_compiled")


class PopulationAnalysis(Analysis):
    """The objects of a population, and the log likelihood of their parent.

    Parameters
    ----------
    parent : Parent
    batches : Batches
    selection : Selection or JointSelection, optional
    examine : callable, optional
        What is said of draws of the hyperparameters, shape (draws, hyperparameters).
    """

    # There are offsets of -inf, in places where there is no draw.
    allow_nan = True

    def __init__(
        self,
        parent: Parent,
        batches: Batches,
        selection: Selection | JointSelection | None = None,
        examine: Callable[[PopulationAnalysis, np.ndarray], Afterword] | None = None,
    ) -> None:
        self.parent = parent
        self.batches = batches
        self.selection = selection
        self.examine = examine
        self._padded = None if self._opaque else batches.padded()
        self._last = threading.local()
        self._lock = threading.Lock()  # compiled functions keep their arguments: one call at a time

    @property
    @override
    def _opaque(self) -> bool:
        """Whether it is called as it is: the draws are in a file, or the selection is no formula."""
        return self.batches.path is not None or (self.selection is not None and self.selection.opaque)

    def __getstate__(self) -> dict[str, Any]:
        kept = {name: value for name, value in self.__dict__.items() if name not in UNSENT}
        return kept | {"examine": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._last, self._lock = threading.local(), threading.Lock()

    def __identity__(self) -> dict[str, Any]:
        return {
            "parent": self.parent.text,
            "draws": self.batches.digest,
            "objects": len(self.batches),
            "selection": None if self.selection is None else self.selection.identity(),
        }

    @override
    def log_likelihood_function(self, instance: Any) -> Any:
        values = self.parent.values(instance)
        if self._padded is None:
            return self._value_and_gradient(values)[0]
        x, offset = self._padded
        weights = self.parent.log_density(values, list(x)) + offset
        terms = log_sum(weights)
        if self.selection is None:
            return np.sum(terms)
        log_share = self.selection.log_share(values)
        # Where nothing at all would be found, no object could have been.
        some = log_share > -np.inf
        return np.sum(np.where(some, terms - np.where(some, log_share, 0.0), -np.inf))

    @override
    def log_likelihood_gradient(self, instance: Any) -> np.ndarray:
        return self._value_and_gradient(self.parent.values(instance))[1]

    def log_weights(self, values: Any, batch: Batch) -> np.ndarray:
        """Return the log weight of each draw of a batch, shape (rows,)."""
        with np.errstate(all="ignore"):
            return np.asarray(self.parent.log_density(values, list(batch.x)) + batch.offset)

    def _value_and_gradient(self, values: Any) -> tuple[float, np.ndarray]:
        """Return both; a search that asks for one asks for the other at the same place."""
        vector = np.array([values[item.prior] for item in self.parent.plan.parameters], dtype=float)
        known = getattr(self._last, "found", None)
        if known is not None and np.array_equal(known[0], vector):
            return known[1], known[2].copy()
        with self._lock:
            total, slope = self._computed(vector)
        self._last.found = (vector, total, slope)
        return total, slope.copy()

    def _computed(self, vector: np.ndarray) -> tuple[float, np.ndarray]:
        log_density, gradient, log_share = self._compiled
        total, slope = 0.0, np.zeros(len(vector))
        for batch in self.batches:
            weights = log_density(*vector, *batch.x, batch.offset) + batch.offset
            terms = sums_of_logs(weights, batch.starts)
            total += float(np.sum(terms))
            if not np.isfinite(total):
                return -np.inf, np.zeros(len(vector))
            lengths = np.diff([*batch.starts, len(weights)])
            share = np.exp(weights - np.repeat(terms, lengths))
            slope += np.array(gradient(*vector, *batch.x, share))
        if log_share is not None:
            found, *steps = log_share(*vector)
            if not np.isfinite(found):
                return -np.inf, np.zeros(len(vector))
            total -= len(self.batches) * float(found)
            slope -= len(self.batches) * np.array(steps, dtype=float)
        return total, slope

    @cached_property
    def _compiled(self) -> tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any] | None]:
        """The log density of draws, the slope of a weighted sum of them, and the log share that is found."""
        from classy_pm.study.compiled import compile_density, compile_share, joint_share

        batch = next(iter(self.batches))
        draws = self.parent.plan.draws(WITNESSES, random_seed=0)
        density, gradient = compile_density(self.parent, batch.x, draws)
        share: Callable[..., Any] | None = None
        if isinstance(self.selection, JointSelection):
            share = joint_share(self.parent, self.selection, draws)
        elif self.selection is not None:
            share = compile_share(self.parent, self.selection, draws)
        for draw in draws[:3]:
            with np.errstate(all="ignore"):
                expected = self.parent.log_density(self.parent.values_at(draw), list(batch.x))
            if not np.allclose(
                density(*draw, *batch.x, batch.offset), expected, rtol=TOLERANCE, atol=TOLERANCE
            ):
                raise ClassyError("The compiled density of the parent is not the density of its family.")
        return density, gradient, share

    @override
    def _afterword(self, vectors: np.ndarray) -> Afterword:
        return Afterword() if self.examine is None else self.examine(self, vectors)


def log_sum(weights: Any) -> Any:
    """Return the log of the sum of the exponentials along the last axis, also of arrays that are traced."""
    top = np.max(weights, axis=-1, keepdims=True)
    top = np.where(np.isfinite(top), top, 0.0)
    return np.log(np.sum(np.exp(weights - top), axis=-1)) + top[..., 0]


def sums_of_logs(weights: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Return the log of the sum of the exponentials of each part, the last going to the end."""
    top = np.maximum.reduceat(weights, starts)
    safe = np.where(np.isfinite(top), top, 0.0)
    lengths = np.diff([*starts, len(weights)])
    with np.errstate(divide="ignore"):
        return safe + np.log(np.add.reduceat(np.exp(weights - np.repeat(safe, lengths)), starts))
