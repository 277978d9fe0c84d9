"""`MAP`: the point of the greatest posterior density."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

import numpy as np

from classy_pm.errors import SearchError, some_of
from classy_pm.likelihood.joint import JointAnalysis
from classy_pm.plan import Plan
from classy_pm.search.base import Kind, Search
from classy_pm.search.limits import MOST_NAMED, limits_at, shares_below
from classy_pm.search.problem import Draws, Problem
from classy_pm.search.settings import positive
from classy_pm.search.start import COMPARABLE, Mode, compiled, modes_of

__all__ = ["MAP"]

# How near to a limit, as a share of the way to the other, a point is tried on the limit itself.
NEAR = 1e-3
# Nearer than this, as a share of the prior's probability too, and not on it, it went there because the
# density rises without end.
BESIDE = 1e-6
# A gradient longer than this, in standard deviations, is no maximum's.
STEEP = 0.1


class MAP(Search):
    """The maximum of the posterior density, climbed to from many starts.

    Parameters
    ----------
    objective : {"posterior", "likelihood"}
        What is maximised within the priors' limits and the assertions: likelihood times prior density,
        in the parameters' own units, or the likelihood alone.
    prior_draws : int
        How many draws from the prior are looked at for a place to start.
    starts : int
        From how many of the best of them it is climbed.
    **common
        What every search takes: see `Search`.

    Raises
    ------
    SearchError
        If no place to start is found, or no optimum whose density is a number.

    Notes
    -----
    With a gradient it is climbed by L-BFGS (Zhu, Byrd, Lu and Nocedal 1997, ACM Transactions on
    Mathematical Software 23, 550) and the last steps are Newton's; without one by simplices (Nelder and
    Mead 1965, Computer Journal 7, 308). It is climbed where all points are allowed, on the unconstrained
    scale, but the density that is climbed is that in the parameters' own units.

    The maximum of a density depends on the units: that of a scale is another one than that of its
    logarithm. In many dimensions, and where widths of populations are free, it may be far from where the
    probability is. The result is one point, `result.instance`; for errors use `Laplace` or `NUTS`.

    `result.attributes` has all optima, best first: their objective in ``modes`` and their vectors in
    ``mode_vectors``; and in ``at_limit`` the parameters of which the best has a limit's value.

    Examples
    --------
    >>> MAP(starts=20, random_seed=1)
    MAP(random_seed=1, starts=20)
    """

    _kind: ClassVar[Kind] = "optimum"

    objective: Literal["posterior", "likelihood"] = "posterior"
    prior_draws: int = 400
    starts: int = 12

    def _faults(self) -> Iterator[tuple[str, str]]:
        yield from positive(self, "prior_draws", "starts", "number_of_cores")

    def _run(self, problem: Problem) -> Draws:
        gradient = problem.symbolic.differentiable
        density = problem.density_of("likelihood" if self.objective == "likelihood" else "parameters")
        function = compiled(problem, density)
        with problem.report.stage(f"climbing from {self.starts} starts", total=self.starts) as stage:
            modes = modes_of(
                problem,
                function,
                density,
                gradient=gradient,
                draws=self.prior_draws,
                starts=self.starts,
                on_climb=stage.update,
            )
        vectors = density.vectors(np.array([mode.point for mode in modes]))
        vectors = np.array([self._to_limits(problem, vector) for vector in vectors])
        return self._draws(problem, modes, vectors)

    def _heights(self, problem: Problem, vectors: np.ndarray) -> np.ndarray:
        """Return what is maximised, at vectors of shape (number, size), by the user's own function."""
        return problem.log_posterior(vectors)[:, 1 if self.objective == "likelihood" else 0]

    def _to_limits(self, problem: Problem, vector: np.ndarray) -> np.ndarray:
        """Put a point on limits that it is near to, where it is higher there.

        On the unconstrained scale a limit is infinitely far away.
        """
        (height,) = self._heights(problem, vector[np.newaxis])
        for limits, distances in zip(*_distances(problem.plan, vector), strict=True):
            for index in np.flatnonzero(distances < NEAR):
                tried = vector.copy()
                tried[index] = limits[index]
                (there,) = self._heights(problem, tried[np.newaxis])
                if there == np.inf:
                    name = problem.plan.element_names[index]
                    raise SearchError(
                        f"The {self.objective} density is infinite where `{name}` is {limits[index]:g}: "
                        "it has no maximum.",
                        cure="Use NUTS or Emcee, which look for where the probability is, or a prior without "
                        "this pole.",
                    )
                if there >= height:
                    vector, height = tried, there
        return vector

    def _draws(self, problem: Problem, modes: list[Mode], vectors: np.ndarray) -> Draws:
        heights = self._heights(problem, vectors)
        order = np.argsort(-heights, kind="stable")
        order = order[np.isfinite(heights[order])]
        if not len(order):
            raise SearchError(
                f"No maximum was found: where the climbs ended, the log {self.objective} is not a finite "
                "number.",
                cure="Is the sign of the log likelihood right, and its gradient finite? "
                "cpm.check_gradient(model, analysis) looks at it. Or use Emcee or Nautilus, which need none.",
            )
        best = vectors[order[0]]
        names = np.array(problem.plan.element_names)
        _, distances = _distances(problem.plan, best)
        at_limit = names[np.any(distances == 0.0, axis=0)].tolist()
        shares = _shares_beyond(problem.plan, best)
        close = (distances > 0.0) & (distances < BESIDE) & (shares < BESIDE)
        beside = names[np.any(close, axis=0)].tolist()
        return Draws(
            best[np.newaxis, np.newaxis],
            attributes={
                "objective": self.objective,
                "modes": heights[order].tolist(),
                "mode_vectors": vectors[order].tolist(),
                "at_limit": at_limit,
            },
            notices=[
                *_limit_notice(at_limit, beside),
                *([] if beside else self._hierarchy_notice(problem)),
                *self._mode_notice(heights[order]),
                *([] if beside else self._top_notice(modes[order[0]], names, at_limit)),
            ],
        )

    def _mode_notice(self, heights: np.ndarray) -> Iterator[str]:
        # Others are told in the attributes only.
        near = heights[heights > heights[0] + np.log(COMPARABLE)]
        if len(near) > 1:
            values = ", ".join(f"{height:.6g}" for height in near)
            yield (
                f"{len(near)} optima of comparable height were found, log {self.objective} {values}; the "
                "highest is the result. result.attributes['mode_vectors'] has all."
            )

    def _hierarchy_notice(self, problem: Problem) -> Iterator[str]:
        plan = problem.plan
        if self.objective == "posterior" and isinstance(problem.analysis, JointAnalysis) and plan.parents:
            shown = ", ".join(f"`{plan.names[number]}`" for number in plan.parents)
            yield (
                "The maximum of the joint density of a hierarchy is not where its probability is: "
                "the members lie "
                f"too near to each other there, and widths among {shown} come out too small. "
                f"Use NUTS for these."
            )

    def _top_notice(self, mode: Mode, names: np.ndarray, at_limit: list[str]) -> Iterator[str]:
        flat = list(names[np.argmax(np.abs(mode.flat), axis=-1)]) if len(mode.flat) else []
        undecided = [name for name in dict.fromkeys(flat) if name not in at_limit]
        if undecided and mode.slope <= STEEP:
            shown = _named(undecided)
            yield (
                f"The {self.objective} density does not fall off from the point that was found, mostly along "
                f"{shown}: other values do as well, or better."
            )
        if mode.slope > STEEP and not at_limit:
            yield (
                f"Where the climb ended, the log {self.objective} still rises by about {mode.slope:.2g} "
                "within one standard deviation: the point is at an edge of what is possible, an assertion "
                "or a FitException, or the density rises without end."
            )


def _named(names: list[str]) -> str:
    """Return names for a notice: of a graph there may be thousands."""
    return some_of((f"`{name}`" for name in names), MOST_NAMED)


def _limit_notice(at_limit: list[str], beside: list[str]) -> Iterator[str]:
    if at_limit:
        yield (
            f"The optimum lies at a limit of {_named(at_limit)}: it would be "
            "another one if the prior were wider."
        )
    if beside:
        yield (
            f"The climb led up to a limit of {_named(beside)}, on which there is "
            "no density: it seems to rise without end, as that of a population does whose width goes to "
            "zero. The point means nothing; use NUTS."
        )


def _distances(plan: Plan, vector: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the priors' lower and upper limits, and how far from each a vector is, each of shape (2, size).

    The distance is a share of the way to the other limit, or of the limit's own size if there is no other.
    """
    limits = limits_at(plan, vector)
    with np.errstate(invalid="ignore"):
        way = limits[1] - limits[0]
        distances = np.abs(vector - limits) / np.where(np.isfinite(way), way, np.abs(limits) + 1.0)
    return limits, np.where(np.isfinite(limits), distances, np.inf)


def _shares_beyond(plan: Plan, vector: np.ndarray) -> np.ndarray:
    """Return the priors' probabilities between each limit and a vector, of shape (2, size)."""
    (below,) = shares_below(plan, vector[np.newaxis], vector)
    return np.array([below, 1.0 - below])
