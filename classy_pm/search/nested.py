"""What the nested searches share: the likelihood on the unit cube, its edges, what their libraries say."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from classy_pm.errors import Faults, SearchError, SettingError, did_you_mean
from classy_pm.plan import Plan
from classy_pm.search.base import Search
from classy_pm.search.limits import limits_at
from classy_pm.search.problem import Draws, Problem
from classy_pm.search.progress import Stage

__all__ = ["Nested", "Parameters", "UnitLikelihood", "needed", "told_by", "weighted_draws"]

# After so many points of the prior without a possible one a search would go on for ever.
MAX_IMPOSSIBLE = 100_000

# Parameters of a model: their priors, or their dotted names.
Parameters = list | tuple  # type: ignore[type-arg]


class Nested(Search):
    """A search on the unit cube, some edges of which may be no edges of the posterior."""

    _kind = "nested"

    #: Its settings that name parameters which go on beyond an edge, each with how.
    _edges: ClassVar[tuple[str, ...]] = ("periodic",)

    def identifying_settings(self, plan: Plan) -> dict[str, Any]:
        """Return the settings that the answer depends on, with the parameters of a model by their names."""
        places = self.edge_places(plan)
        named = {kind: [plan.element_names[place] for place in found] for kind, found in places.items()}
        return {**super().identifying_settings(plan), **named}

    def edge_places(self, plan: Plan) -> dict[str, list[int]]:
        """Return where in the vector the parameters are that go on beyond an edge, for each way to do so.

        Raises
        ------
        SettingError
            If one of them is no free parameter, or has no edge; all faults are told at once.
        """
        faults = Faults()
        found = {kind: _places(plan, kind, getattr(self, kind), faults) for kind in self._edges}
        for place in set.intersection(*map(set, found.values())) if len(found) > 1 else ():
            faults.add(plan.element_names[place], f"cannot be {' and '.join(found)} at once")
        faults.raise_as(SettingError, f"{type(self).__name__} cannot have these settings for this model.")
        return found


def _places(plan: Plan, kind: str, given: Parameters, faults: Faults) -> list[int]:
    """Return where in the vector the given parameters are, in its order."""
    known: dict[Any, list[int]] = {}
    for parameter, part in zip(plan.parameters, plan.layout.slices, strict=True):
        places = list(range(plan.size)[part])
        known |= {plan.element_names[place]: [place] for place in places}
        known |= {".".join(path): places for path in parameter.paths}
        known[id(parameter.prior)] = places
    found: set[int] = set()
    for item in given:
        key = item if isinstance(item, str) else id(item)
        if key not in known:
            near = did_you_mean(str(item), [name for name in known if isinstance(name, str)])
            faults.add(f"{kind}, {item}", f"is no free parameter. {near}")
        found.update(known.get(key, ()))
    limits = limits_at(plan, plan.starting_point()) if found else np.empty((2, 0))
    for place in sorted(found):
        bounded = np.isfinite(limits[:, place])
        name = f"{kind}, {plan.element_names[place]}"
        if kind == "periodic" and not np.all(bounded):
            faults.add(
                name, "its prior does not have two limits, from one of which it could go on at the other"
            )
        elif not np.any(bounded):
            faults.add(name, "its prior has no limit at which it could turn back")
    return sorted(found)


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
    progress : callable, optional
        Says how far the search is.
    """

    def __init__(self, problem: Problem, stage: Stage, expected: int) -> None:
        problem.evaluate.expected = expected
        self._problem = problem
        self._stage = stage
        self._size = problem.plan.size
        self._best = -np.inf
        self.calls = 0
        self.progress: Callable[[], str] | None = None

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
        text = f"{self.calls} calls, best log likelihood {self._best:.4g}"
        self._stage.update(self.calls, text if self.progress is None else f"{text}, {self.progress()}")
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
