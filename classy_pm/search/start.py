"""Finding the modes of a density: many prior draws, and a climb from the best of them.

All of this is on an unconstrained scale, where every point is allowed; `search/climb.py` climbs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from classy_pm.errors import SearchError
from classy_pm.likelihood.joint import JointAnalysis
from classy_pm.search.arrowhead import Scale, Structure, condition_of_correlation, log_determinant
from classy_pm.search.assembled import assembled
from classy_pm.search.centring import Settling, settling
from classy_pm.search.climb import Climber, GradientClimber, SimplexClimber, distinct, root
from classy_pm.search.own_gradient import check_own_gradient_at_prior

if TYPE_CHECKING:
    from classy_pm.graph.density import Density
    from classy_pm.search.problem import Problem

__all__ = [
    "Mode",
    "best_points",
    "comparable",
    "compiled",
    "explained",
    "find_modes",
    "mode_notice",
    "modes_of",
    "prior_points",
    "shares_of",
]

# How many draws from the prior are looked at, and from how many of the best of them it is climbed.
PRIOR_DRAWS = 400
STARTS = 12
# From how many it is climbed in a hierarchy.
SETTLED = 4
# In more dimensions than this the best optimum found is taken: to tell them apart would take too long.
MANY = 200
# At how many of them the user's own function is called, to see whether it is NaN.
PLAIN_DRAWS = 50
# And how often those of many data sets.
PLAIN_CALLS = 10_000
# What is less than this share of the probability of the largest mode is left aside.
NEGLIGIBLE = 1e-6
# What a mode must hold of that of the largest for chains to start in it.
COMPARABLE = 1e-3

PointsOf = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Mode:
    """A local maximum of the log density.

    Attributes
    ----------
    point : numpy.ndarray, shape (size,)
    log_density : float
    scatter : numpy.ndarray, shape (size, size)
        A square root of the inverse curvature: ``point + scatter @ standard_normal`` is a draw
        from the normal approximation. A sparse matrix for a graph of many factors.
    flat : numpy.ndarray, shape (number, size)
        Directions in which the density does not fall off; none where it has a maximum.
    slope : float
        The length of the gradient, in units of the scatter: zero at a maximum.
    """

    point: np.ndarray
    log_density: float
    scatter: Any
    flat: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))
    slope: float = 0.0

    def draw(self, rng: np.random.Generator, closer: float = 1.0) -> np.ndarray:
        """Draw a point from the normal approximation, so many times closer to the mode."""
        return self.point + closer * (self.scatter @ rng.standard_normal(self.point.size))

    @property
    def matrix(self) -> np.ndarray:
        """The scatter as a plain matrix."""
        return self.scatter.toarray() if sparse.issparse(self.scatter) else np.asarray(self.scatter)

    @property
    def log_mass(self) -> float:
        """The log of the probability around it, up to a constant, where the density is nearly normal."""
        if sparse.issparse(self.scatter):
            return self.log_density + log_determinant(self.scatter)
        return self.log_density + float(np.linalg.slogdet(self.scatter)[1])

    @property
    def correlation(self) -> float:
        """The condition number of the correlation matrix: 1 where nothing is correlated."""
        if sparse.issparse(self.scatter):
            return condition_of_correlation(self.scatter)
        covariance = self.scatter @ self.scatter.T
        sd = np.sqrt(np.diag(covariance))
        values = np.linalg.eigvalsh(covariance / np.outer(sd, sd))
        return float(values[-1] / max(values[0], 1e-300))


def compiled(problem: Problem, density: Density) -> Callable[[np.ndarray], Any]:
    """Have a density compiled, and return it: with its gradient where the likelihood has one.

    The user's own gradient is compared with differences first.
    """
    check_own_gradient_at_prior(problem)
    function = density if problem.symbolic.differentiable else density.value
    gradient = " and its gradient" if problem.symbolic.differentiable else ""
    with problem.report.stage(f"compiling the log density{gradient}"):
        function(np.zeros(density.size))
    return function


def modes_of(
    problem: Problem,
    log_density: Callable[[np.ndarray], Any],
    scale: Scale,
    *,
    gradient: bool = True,
    draws: int = PRIOR_DRAWS,
    starts: int = STARTS,
    on_climb: Callable[[int], None] = lambda climbed: None,
) -> list[Mode]:
    """Find the modes of a problem's density from draws of its prior, best first.

    The shares of its centring, if it has one, are chosen there.

    Parameters
    ----------
    problem : Problem
    log_density : callable
        As `find_modes` takes it.
    scale : Scale
        Its points.
    gradient, starts, on_climb
        As `find_modes` takes them.
    draws : int
        How many draws from the prior.

    Raises
    ------
    SearchError
        If the density is zero or NaN at all of them; the text says which.
    """
    structure = Structure.of(problem.plan, scale)
    settle = settling(problem, scale, structure)
    points = prior_points(problem, scale.points, draws, plain=gradient)
    with explained(problem), np.errstate(all="ignore"):
        return find_modes(
            log_density,
            points,
            gradient=gradient,
            starts=starts,
            on_climb=on_climb,
            structure=structure if scale.size > MANY else None,
            settle=settle,
        )


def prior_points(
    problem: Problem, points_of: PointsOf, draws: int = PRIOR_DRAWS, *, plain: bool = True
) -> np.ndarray:
    """Draw from the prior, and map the draws to points.

    Parameters
    ----------
    plain : bool
        Whether to call the user's own function at some, so that its NaNs are counted.
    """
    vectors = problem.plan.draws(draws, problem.rng(0))
    if plain:
        analysis, calls = problem.analysis, PLAIN_DRAWS
        if isinstance(analysis, JointAnalysis):
            calls = min(PLAIN_DRAWS, max(2, PLAIN_CALLS // len(analysis.analyses)))
        problem.log_likelihood.many(vectors[:calls])
    if isinstance(problem.analysis, JointAnalysis):
        vectors = np.concatenate([assembled(problem, vectors), vectors])
    return points_of(vectors)


def find_modes(
    log_density: Callable[[np.ndarray], Any],
    points: np.ndarray,
    *,
    gradient: bool = True,
    starts: int = STARTS,
    on_climb: Callable[[int], None] = lambda climbed: None,
    structure: Structure | None = None,
    settle: Settling | None = None,
) -> list[Mode]:
    """Climb from the best of many points to the local maxima.

    Parameters
    ----------
    log_density : callable
        Gives the log density at a point, shape (size,), and besides it its gradient if `gradient`.
    points : numpy.ndarray, shape (number, size)
        Draws from the prior.
    gradient : bool
        Whether there is one.
    starts : int
        From how many of the points it is climbed.
    on_climb : callable
        Told from how many it was climbed.
    structure : Structure, optional
        Of a graph of many factors: its curvature is then taken factor by factor.
    settle : Settling, optional
        Of a hierarchy: finds the modes of what is shared instead.

    Returns
    -------
    list of Mode
        Best first; each once.

    Raises
    ------
    SearchError
        If the density is zero or NaN at all points.
    """
    value = (lambda point: log_density(point)[0]) if gradient else log_density
    best = best_points(value, points, max(starts, 50))
    many = points.shape[1] > MANY
    starts = min(starts, 4) if many else starts
    scale = np.std(best, axis=0)
    scale = np.where(scale > 0.0, scale, 1.0)
    climber: Climber = (GradientClimber if gradient else SimplexClimber)(log_density, scale)
    if settle is not None:
        tops = settle(log_density, best[: 1 if many else SETTLED])
        modes = [_mode(climber, point, structure) for point in tops]
        widest = np.std(points, axis=0)
        return [replace(mode, scatter=settle.no_wider(mode.scatter, widest)) for mode in modes]
    tops = []
    for climbed, point in enumerate(best[:starts], 1):
        tops.append(climber.climb(point))
        on_climb(climbed)
    if many:
        return [_mode(climber, max(tops, key=climber.value), structure)]
    tops = distinct(climber, tops)
    tops = distinct(climber, [climber.refine(point) for point in tops])
    return [_mode(climber, point, None) for point in tops]


def best_points(value: Callable[[np.ndarray], float], points: np.ndarray, number: int = STARTS) -> np.ndarray:
    """Return the points where a log density is greatest, best first, and none where it is zero.

    Raises
    ------
    SearchError
        If it is zero or NaN at all of them.
    """
    values = np.array([value(point) for point in points], dtype=float)
    values[~np.isfinite(values)] = -np.inf
    if not np.any(values > -np.inf):
        raise SearchError(
            f"The posterior density is zero at all of {len(points)} draws from the prior.",
            cure="Look at analysis.log_likelihood_function(model.random_instance()): it may be NaN or raise "
            "FitException nearly everywhere, or the priors may miss the data by far.",
        )
    order = np.argsort(-values, kind="stable")[:number]
    return points[order[values[order] > -np.inf]]


def comparable(modes: list[Mode]) -> list[Mode]:
    """Return the modes that hold more than a thousandth of the probability of the largest, largest first.

    Chains start in each: in a smaller one, of which they may not come out, they would be wrong by more
    than it is worth.
    """
    ordered = sorted(modes, key=lambda mode: -mode.log_mass)
    return [mode for mode in ordered if mode.log_mass > ordered[0].log_mass + np.log(COMPARABLE)]


def mode_notice(modes: list[Mode], consequence: str, told: Sequence[str] = ()) -> list[str]:
    """Say that there are several modes, and what that means for the search.

    Parameters
    ----------
    modes : list of Mode
    consequence : str
        A sentence.
    told : sequence of str
        What is to be said of each of the `comparable` modes, besides its share.
    """
    weighty = comparable(modes)
    if len(weighty) < 2:
        return []
    shares = [_in_percent(share) for share in shares_of(weighty)]
    if told:
        each = [f"at {text} about {share}" for share, text in zip(shares, told, strict=True)]
        which = f": {', '.join(each)} of the probability."
    else:
        which = f", with about {', '.join(shares)} of the probability."
    text = (
        f"{len(weighty)} modes were found from {PRIOR_DRAWS} draws of the prior{which} {consequence} If they "
        "are one model with its parts exchanged, order them with add_assertion(...); else narrow the priors, "
        "or use Nautilus or SMC, which weigh the modes."
    )
    return [text]


def shares_of(modes: list[Mode]) -> np.ndarray:
    """Return about what part of the probability each mode has, of that which all of them have."""
    masses = np.array([mode.log_mass for mode in modes])
    shares = np.exp(masses - masses.max())
    return np.asarray(shares / shares.sum())


def _in_percent(share: float) -> str:
    return f"{share:.1%}" if share >= 1e-3 else f"{100.0 * share:.1g}%"


@contextmanager
def explained(problem: Problem) -> Iterator[None]:
    """Where the density is zero at all points, add to the error what the user's function gives."""
    try:
        yield
    except SearchError as error:
        log_likelihood = problem.log_likelihood
        before = log_likelihood.nan_count
        vectors = problem.plan.draws(PRIOR_DRAWS, problem.rng(0))[:PLAIN_DRAWS]
        impossible = np.count_nonzero(log_likelihood.many(vectors) == -np.inf)
        nan = log_likelihood.nan_count - before
        raise SearchError(
            f"{error.message} The log likelihood is NaN at {nan} and -inf at {impossible - nan} of "
            f"{PLAIN_DRAWS}.",
            cure=error.cure,
        ) from None


def _mode(climber: Climber, point: np.ndarray, structure: Structure | None) -> Mode:
    if structure is None:
        scatter, flat = root(climber.curvature(point))
        flat_directions = scatter[:, flat].T
    else:
        scatter, flat = structure.curvature(climber.gradient, point).root()
        flat_directions = scatter[:, np.flatnonzero(flat)].T.toarray()
    slope = float(np.linalg.norm(scatter.T @ climber.gradient(point)))
    return Mode(point, climber.value(point), scatter, flat_directions, slope)
