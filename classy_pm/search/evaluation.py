"""Evaluates the likelihood at batches of vectors, for searches that need no gradient."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from classy_pm.errors import LikelihoodError, TraceWarning
from classy_pm.search.checkpoint import Journal, agree, forget_chains, kept_witnesses
from classy_pm.search.paths import Onlooker
from classy_pm.search.workers import Workers

if TYPE_CHECKING:
    from classy_pm.search.problem import Problem

__all__ = ["Evaluation"]

# With fewer calls than this, tracing the likelihood costs more than it saves.
WORTH_TRACING = 5_000
# Seconds of one evaluation from which it repays to share its factors among processes.
WORTH_SENDING = 0.05


class Evaluation:
    """The log likelihood of batches of vectors: remembered, shown, and computed in the cheapest way.

    Parameters
    ----------
    problem : Problem

    Attributes
    ----------
    expected : int
        About how many vectors a search will ask for; set before the first. What it pays to prepare
        depends on it.
    count : int
        How many were asked for.
    notices : list of str
        What a user should know, in words.
    """

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self.expected = 0
        self.count = 0
        self.notices: list[str] = []
        self._slow = False
        folder: Path | None = problem.folder
        self.journal = Journal(folder and folder / "likelihood.journal", problem.checkpoint_interval)
        self._gradients = Journal(folder and folder / "gradient.journal", problem.checkpoint_interval)
        self.onlooker = Onlooker(problem.plan, problem.analysis, folder, problem.visualize_interval)
        if not self._holds():
            problem.report.say("The likelihood was changed since: the fit begins anew.", at_once=True)
            self.journal.forget()
            self._gradients.forget()
            forget_chains(folder)
        if len(self.journal):
            problem.report.say(
                f"An earlier run was interrupted: {len(self.journal)} batches of its calls are known.",
                at_once=True,
            )

    def __call__(self, vectors: np.ndarray) -> np.ndarray:
        """Return the log likelihoods of vectors of shape (batch, size); NaN is -inf."""
        return self._remembered(vectors, lambda: self._compute(vectors))

    def _remembered(self, vectors: np.ndarray, compute: Callable[[], np.ndarray]) -> np.ndarray:
        self.count += len(vectors)
        values = self.journal.recall(vectors)
        if values is None:
            values = compute()
            self.journal.keep(vectors, values)
        # Counted here, what is recalled counts as what is computed.
        values = self._problem.log_likelihood.without_nan(values)
        self.onlooker.see(vectors, values)
        return values

    def plainly(self, vectors: np.ndarray) -> np.ndarray:
        """Return the same, computed by the user's function: here, but for slow factors of a graph."""
        return self._remembered(vectors, lambda: self._by_function(vectors))

    def _by_function(self, vectors: np.ndarray) -> np.ndarray:
        log_likelihood = self._problem.log_likelihood
        if self._problem.cores < 2 or log_likelihood.factorwise is None:
            return log_likelihood.values(vectors)
        if self._slow:
            return self._workers(vectors)
        start = time.perf_counter()
        values = log_likelihood.values(vectors)
        # The values are the same wherever they are computed.
        self._slow = time.perf_counter() - start > WORTH_SENDING * len(vectors)
        return values

    def gradient(self, vector: np.ndarray) -> np.ndarray:
        """Return the user's own gradient at one vector, shape (size,)."""
        known = self._gradients.recall(vector)
        if known is None:
            known = self._problem.log_likelihood.gradient(vector)
            self._gradients.keep(vector, known)
        return known

    def close(self, *, finished: bool) -> None:
        """Draw the last picture; end the processes; write the journal, or remove it."""
        if finished:
            self.onlooker.draw()
            self.journal.remove()
            self._gradients.remove()
            forget_chains(self._problem.folder)
        else:
            self.journal.write_if_begun()
            self._gradients.write_if_begun()
        if "_workers" in vars(self):
            self._workers.close()

    def _holds(self) -> bool:
        """Whether the likelihood of today is that of which an earlier run has kept something."""
        log_likelihood = self._problem.log_likelihood
        values = [*self.journal.witnesses(), *kept_witnesses(self._problem.folder)]
        for witness in values:
            if not agree(witness.values, log_likelihood.values(witness.vector[np.newaxis])):
                return False
        for witness in self._gradients.witnesses():
            if not log_likelihood.has_gradient:
                return False
            size = max(1.0, np.max(np.abs(witness.values)))
            if not agree(witness.values / size, log_likelihood.gradient(witness.vector) / size):
                return False
        return True

    @cached_property
    def _workers(self) -> Workers:
        return Workers(self._problem.log_likelihood, self._problem.cores)

    @cached_property
    def _compute(self) -> Callable[[np.ndarray], np.ndarray]:
        """What gives the log likelihoods of a batch, NaN where they are NaN."""
        problem = self._problem
        traced = self._traced()
        if traced is not None:
            return traced
        if problem.cores > 1:
            return self._workers
        return problem.log_likelihood.values

    def _traced(self) -> Callable[[np.ndarray], np.ndarray] | None:
        """Return the traced likelihood of a batch, or None where it cannot be had or does not pay."""
        problem = self._problem
        if problem.likelihood == "blackbox":
            return None
        if problem.likelihood == "auto" and self.expected < WORTH_TRACING:
            return None
        with warnings.catch_warnings():
            # Without a gradient nothing is lost here but time: it is told with the result.
            warnings.simplefilter("ignore", TraceWarning)
            symbolic = problem.symbolic
        if symbolic.kind == "blackbox":
            self.notices.append(f"The likelihood was called as it is, not traced: {symbolic.reason}")
        if symbolic.kind != "trace":  # JAX's is called vector by vector
            return None
        from classy_pm.likelihood.batched import compile_batched

        with problem.report.stage("preparing the traced likelihood for batches"):
            expected = self.expected
            batched = problem.kept(("batched", expected), lambda: compile_batched(symbolic, expected))
        return None if batched is None else lambda vectors: self._checked(vectors, batched(vectors))

    def _checked(self, vectors: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Ask the user's function itself wherever the trace has no number: it says why, or raises."""
        strange = np.isnan(values) | (values == np.inf)
        if not np.any(strange):
            return values
        values = np.array(values)
        values[strange] = self._problem.log_likelihood.values(vectors[strange])
        if np.any(values == np.inf):
            raise LikelihoodError("The log likelihood is +inf.")
        return values
