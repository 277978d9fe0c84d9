"""What the nested searches share: the likelihood on the unit cube, and what their libraries say."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from classy_pm.errors import SearchError
from classy_pm.search.problem import Draws, Problem
from classy_pm.search.progress import Stage

__all__ = ["UnitLikelihood", "needed", "told_by", "weighted_draws"]

# After so many points of the prior without a possible one a search would go on for ever.
MAX_IMPOSSIBLE = 100_000


class UnitLikelihood:
    """The log likelihood on the unit cube, on which the prior is uniform; -inf where it is impossible.

    Parameters
    ----------
    problem : Problem
    stage : Stage
        Where progress is shown.
    expected : int
        About how many points the search will ask for.

    Attributes
    ----------
    calls : int
        At how many points it was asked for.
    """

    def __init__(self, problem: Problem, stage: Stage, expected: int) -> None:
        problem.evaluate.expected = expected
        self._problem = problem
        self._stage = stage
        self._size = problem.plan.size
        self._best = -np.inf
        self.calls = 0

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Return the log likelihoods of points, shape (batch, at least size); more columns have no effect."""
        values = self._problem.log_likelihoods_of_unit(points[:, : self._size])
        self.calls += len(values)
        self._best = max(self._best, float(values.max(initial=-np.inf)))
        if self._best == -np.inf and self.calls >= MAX_IMPOSSIBLE:
            raise SearchError(
                f"{self.calls} points of the prior were tried, and all are impossible: the likelihood is "
                "zero or NaN there, or an assertion fails.",
                cure="Look at analysis.log_likelihood_function(model.random_instance()).",
            )
        self._stage.update(self.calls, f"{self.calls} calls, best log likelihood {self._best:.4g}")
        return values


def weighted_draws(
    problem: Problem, points: np.ndarray, log_likelihood: np.ndarray, log_weights: np.ndarray, **more: Any
) -> Draws:
    """Make draws of what a nested search found, without the points that weigh nothing.

    Parameters
    ----------
    problem : Problem
    points : numpy.ndarray, shape (n, size)
        Of the unit cube.
    log_likelihood, log_weights : numpy.ndarray, shape (n,)
    **more
        The other fields of `Draws`.
    """
    with np.errstate(under="ignore"):
        kept = np.exp(log_weights - np.max(log_weights)) > 0.0
    vectors = problem.plan.vector_from_unit(points[kept])
    return Draws(
        vectors[np.newaxis],
        log_likelihood=log_likelihood[kept][np.newaxis],
        log_weights=log_weights[kept][np.newaxis],
        **more,
    )


@contextmanager
def needed(package: str) -> Iterator[None]:
    """Say how to install a package that an import inside this block does not find."""
    try:
        yield
    except ImportError as error:
        raise SearchError(
            f"This search needs the package {package}: {error}.",
            cure=f"python -m pip install {package}, or conda install -c conda-forge {package}.",
        ) from error


@contextmanager
def told_by(*modules: Any) -> Iterator[list[str]]:
    """Collect the warnings of these packages; those of the user's likelihood go their own way.

    Yields
    ------
    list of str
        What they said, each text once.
    """
    folders = [Path(module.__file__).parent for module in modules]
    told: list[str] = []
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        for module in modules:
            warnings.filterwarnings("always", module=rf"{module.__name__}(\.|$)")
        show_others = warnings.showwarning

        def show(message: Any, category: Any, filename: str, *place: Any) -> None:
            if not any(folder in Path(filename).parents for folder in folders):
                show_others(message, category, filename, *place)
            elif (text := " ".join(str(message).split())) not in told:
                told.append(text)

        warnings.showwarning = show  # type: ignore[assignment]
        yield told
