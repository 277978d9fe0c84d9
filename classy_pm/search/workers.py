"""The user's likelihood in several processes, for likelihoods that hold the interpreter."""

from __future__ import annotations

from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from classy_pm.errors import SearchError
from classy_pm.likelihood import LogLikelihood

__all__ = ["Workers"]

# What this process, as a worker, evaluates.
_here: list[LogLikelihood] = []


class Workers:
    """Processes that evaluate the log likelihood at parts of a batch.

    They are started afresh, not forked, and get the likelihood by value: so classes of a notebook
    and of ``__main__`` work, and no lock of this process is copied. Of a graph of factors, a batch of fewer
    vectors than processes is evaluated with the factors in parts.

    Parameters
    ----------
    log_likelihood : LogLikelihood
    number : int
    """

    def __init__(self, log_likelihood: LogLikelihood, number: int) -> None:
        from loky import ProcessPoolExecutor

        self._number = number
        self._log_likelihood = log_likelihood
        self._pool: Any = ProcessPoolExecutor(number, initializer=_start, initargs=(log_likelihood,))

    def __call__(self, vectors: np.ndarray) -> np.ndarray:
        """Return the log likelihoods of vectors, shape (batch, size), in their order; NaN stays NaN."""
        from loky.process_executor import BrokenProcessPool

        try:
            if self._log_likelihood.factorwise is not None and len(vectors) < self._number:
                return self._log_likelihood.values(vectors, self._outcomes)
            parts = np.array_split(vectors, min(self._number, len(vectors)))
            return np.concatenate(list(self._pool.map(_evaluate, parts)))
        except BrokenProcessPool as error:
            raise SearchError(
                f"A process that evaluated the likelihood died: {error}",
                cure="It may have run out of memory: use fewer cores. Run the likelihood in one process, "
                "number_of_cores=1, to see its fault.",
            ) from error

    def _outcomes(self, vector: np.ndarray, places: list[int]) -> list[Any]:
        parts = [part.tolist() for part in np.array_split(places, self._number) if len(part)]
        found = self._pool.map(_evaluate_factors, [(vector, part) for part in parts])
        return [outcome for part in found for outcome in part]

    def close(self) -> None:
        """End the processes."""
        self._pool.shutdown(kill_workers=True)


def _start(log_likelihood: LogLikelihood) -> None:
    threadpool_limits(1, "blas")
    _here[:] = [log_likelihood]


def _evaluate(vectors: np.ndarray) -> np.ndarray:
    (log_likelihood,) = _here
    return log_likelihood.values(vectors)


def _evaluate_factors(asked: tuple[np.ndarray, list[int]]) -> list[Any]:
    vector, places = asked
    (log_likelihood,) = _here
    return log_likelihood.outcomes(vector, places)
