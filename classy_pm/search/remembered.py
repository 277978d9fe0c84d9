"""A black box in a graph whose calls are counted, and remembered for when the fit is killed."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from classy_pm.likelihood import LogLikelihood
from classy_pm.likelihood.blackbox import BlackBoxLogLikelihood
from classy_pm.likelihood.symbolic import SymbolicLogLikelihood

if TYPE_CHECKING:
    from classy_pm.search.evaluation import Evaluation
    from classy_pm.search.problem import Problem

__all__ = ["remembering"]


class Remembered(LogLikelihood):
    """The user's function, and the user's gradient, by way of the fit's journal."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.plan, problem.analysis)
        self._calls: Evaluation = problem.evaluate

    def __call__(self, vector: np.ndarray) -> float:
        """Return the log likelihood at one vector, shape (size,)."""
        return float(self._calls.plainly(vector[np.newaxis])[0])

    def gradient(self, vector: np.ndarray) -> np.ndarray:
        """Return the gradient at one vector, shape (size,)."""
        return self._calls.gradient(vector)


def remembering(symbolic: SymbolicLogLikelihood, problem: Problem) -> SymbolicLogLikelihood:
    """Return the same black box, whose calls are the fit's own."""
    calls = Remembered(problem)
    symbolic = dataclasses.replace(symbolic, plain=problem.log_likelihood)
    if problem.reused is not None:
        return problem.reused.black_box(symbolic, calls)
    return dataclasses.replace(symbolic, value=BlackBoxLogLikelihood(calls)(*symbolic.inputs))
