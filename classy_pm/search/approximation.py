"""What all approximations share: how far their draws can be trusted, and their correction."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from classy_pm.errors import SearchError, TraceError
from classy_pm.search.base import Kind, Search
from classy_pm.search.by_factor import conditionals, sample_by_factor
from classy_pm.search.collapse import refuse_collapsed
from classy_pm.search.factorised import Factorised
from classy_pm.search.importance import Importance, weigh
from classy_pm.search.normals import NormalMixture
from classy_pm.search.problem import Draws, Problem
from classy_pm.search.settings import positive

if TYPE_CHECKING:
    from classy_pm.graph.density import Density

__all__ = ["Approximation", "Found"]

# With fewer draws the shape of a tail is too uncertain to judge by.
MIN_DRAWS = 100
# Between this and the limit the weights correct the draws, but slowly: their variance may be infinite.
ROUGH = 0.5
# At how many draws the trace of many data sets is compared with their functions, and how many are named.
COMPARED, SHOWN = 5, 5
# What many data sets share is also drawn so many times wider, in such shares: an approximation that is too
# narrow is found out, and corrected. Hesterberg (1995), Technometrics 37, 185: defensive mixtures.
WIDTHS, SHARES = (1.0, 2.0, 4.0), (0.6, 0.25, 0.15)
# The relative variance of ratios beyond which their tail matters.
UNEVEN = 0.5
# The random stream of the draws themselves.
DRAWING = 1000


@dataclass
class Found:
    """An approximation, and what is to be said of it.

    Attributes
    ----------
    mixture : NormalMixture
        On the unconstrained scale.
    attributes : dict
    notices : list of str
    whole : bool
        Whether it has all that is known of the posterior; else its evidence is that of a part.
    """

    mixture: NormalMixture
    attributes: dict[str, Any] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)
    whole: bool = True


class Approximation(Search):
    """What draws from a normal approximation on the unconstrained scale, and weighs the draws.

    Parameters
    ----------
    draws : int
        How many are drawn.
    importance_resampling : {"psis", "none"}
        Whether the draws are corrected by their importance weights, or left as they are.
    """

    _kind: ClassVar[Kind] = "approximation"

    draws: int = 2000
    importance_resampling: Literal["psis", "none"] = "psis"

    def _faults(self) -> Iterator[tuple[str, str]]:
        yield from positive(self, "number_of_cores")
        if self.draws < MIN_DRAWS:
            yield "draws", f"{self.draws} is too few to judge the approximation by; {MIN_DRAWS} are needed"

    def _approximate(self, problem: Problem) -> Found:
        """Find the approximation."""
        raise NotImplementedError

    def _run(self, problem: Problem) -> Draws:
        found = self._approximate(problem)
        corrected = self.importance_resampling == "psis"
        factorised = problem.factorised
        with problem.report.stage("drawing from the approximation"):
            if factorised is None:
                drawn = _drawn(problem, found.mixture, self.draws)
            else:
                shared = found.mixture.of(factorised.structure.shared)
                if corrected:
                    shared = shared.widened(WIDTHS, SHARES)
                drawn = _drawn_by_factor(problem, found.mixture, shared, factorised, self.draws)
            importance = drawn.importance
            if importance is None:
                raise SearchError(
                    f"The posterior density is zero at all {self.draws} draws from {type(self).__name__}'s "
                    "approximation.",
                    cure="Nothing can be said from it: use NUTS or Emcee.",
                )
            trusted = importance.pareto_k <= importance.limit and importance.effective_size >= MIN_DRAWS
            if not trusted:
                refuse_collapsed(problem, found.mixture)
            # Weights that leave a few draws are no correction: their narrow spread would look like knowledge.
            corrected &= importance.effective_size >= MIN_DRAWS
            if factorised is not None and not corrected:
                drawn = dataclasses.replace(
                    _drawn(problem, found.mixture, self.draws, factorised),
                    importance=importance,
                    attributes=drawn.attributes,
                    notices=drawn.notices,
                )
        possible = drawn.possible
        # Beyond, the error of the mean ratio may be infinite, and what is estimated for it too small.
        sure = trusted and importance.pareto_k <= ROUGH and found.whole
        return Draws(
            drawn.vectors[np.newaxis, possible],
            log_likelihood=drawn.log_likelihood[np.newaxis, possible],
            log_weights=importance.log_weights[np.newaxis, possible] if corrected else None,
            log_evidence=importance.log_evidence if sure else None,
            log_evidence_error=importance.log_evidence_error if sure else None,
            attributes={
                "pareto_k": importance.pareto_k if np.isfinite(importance.pareto_k) else None,
                "log_evidence_estimate": importance.log_evidence,
                "effective_draws": importance.effective_size,
                "proof": dataclasses.asdict(problem.symbolic.proof) if problem.symbolic.proof else None,
                **drawn.attributes,
                **found.attributes,
            },
            notices=[
                *found.notices,
                *self._notices(importance, int(np.sum(~possible)), corrected),
                *drawn.notices,
            ],
        )

    def _notices(self, importance: Importance, impossible: int, corrected: bool) -> Iterator[str]:
        """Say in words how far the draws can be trusted."""
        worth = f"{self.draws} draws are worth {importance.effective_size:.0f}"
        shape = f"Pareto k is {importance.pareto_k:.2f}"
        if not np.isfinite(importance.pareto_k):
            shape = "Pareto k cannot be found"
        few = importance.effective_size < MIN_DRAWS
        if importance.pareto_k > importance.limit or few:
            yield (
                f"{shape} (at most {importance.limit:.2f} is wanted): the approximation is far from the "
                "posterior in places, and its draws and intervals are biased by an unknown amount"
                + (
                    f", with importance weights too ({worth} with them)"
                    if corrected
                    else f". They are as the approximation has them: by their weights {worth}"
                )
                + ". The evidence is not given. Use NUTS, or Emcee where there is no gradient."
            )
        elif importance.pareto_k > ROUGH:
            yield (
                f"{shape}, between {ROUGH} and {importance.limit:.2f}: the approximation is rough, and the "
                "evidence is not given, because its error may be infinite. "
                + (
                    f"Importance weights correct the draws, but slowly: {worth}. Compare with NUTS."
                    if corrected
                    else 'The draws are not corrected; importance_resampling="psis" would do so.'
                )
            )
        if impossible:
            yield (
                f"{impossible} of {self.draws} draws of the approximation were impossible, outside an "
                "assertion or where the likelihood is zero, and were left out."
            )


@dataclass(frozen=True)
class _Drawn:
    """Draws of an approximation, and what their importance weights tell; None where all are impossible."""

    vectors: np.ndarray
    log_likelihood: np.ndarray
    possible: np.ndarray
    importance: Importance | None
    attributes: dict[str, Any] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)


def _drawn(
    problem: Problem, mixture: NormalMixture, number: int, factorised: Factorised | None = None
) -> _Drawn:
    """Draw from an approximation, and weigh each draw as a whole."""
    points = mixture.draw(number, problem.rng(DRAWING))
    if factorised is None:
        vectors, log_likelihood, log_density = _target(problem, problem.density, points)
    else:
        parts = [factorised(point) for point in points]
        vectors = problem.density.vectors(points)
        log_likelihood = np.array([np.sum(part.log_likelihoods) for part in parts])
        log_density = np.array([part.shared + np.sum(part.each) for part in parts])
    possible = log_density > -np.inf
    importance = weigh(log_density - mixture.log_density(points)) if np.any(possible) else None
    return _Drawn(vectors, log_likelihood, possible, importance)


def _drawn_by_factor(
    problem: Problem, mixture: NormalMixture, shared: NormalMixture, factorised: Factorised, number: int
) -> _Drawn:
    """Draw from an approximation of many data sets, and weigh what they share by a mixture of its own."""
    density, rng = problem.density, problem.rng(DRAWING + 1)
    with np.errstate(all="ignore"):
        given = conditionals(density, factorised, mixture.centre, mixture.widths)
        found = sample_by_factor(factorised, shared, given, mixture.widths, number, rng)
    vectors = density.vectors(found.points)
    possible = found.log_ratios > -np.inf
    importance = weigh(found.log_ratios) if np.any(possible) else None
    _compare(problem, vectors[possible], found.log_likelihoods[possible])
    limit = weigh(np.zeros(len(found.log_ratios))).limit
    notices = list(_rough_notice(factorised.names, found.pareto_k, found.spread, limit))
    attributes = {
        "pareto_k_of": "shared parameters",
        "pareto_k_by_factor": {
            name: float(k) if np.isfinite(k) else None
            for name, k in zip(factorised.names, found.pareto_k, strict=True)
        },
        "draws_by_factor": found.of_each,
        "noise_by_factor": found.noise,
    }
    return _Drawn(vectors, found.log_likelihoods, possible, importance, attributes, notices)


def _rough_notice(
    names: Sequence[str], pareto_k: np.ndarray, spread: np.ndarray, limit: float
) -> Iterator[str]:
    """Say of which data sets the own parameters are far from normal.

    Of weights that hardly differ the shape of the tail means nothing, however large k is.
    """
    above = ~(pareto_k <= limit)
    rough = np.flatnonzero(above & (spread > UNEVEN))
    if not len(rough):
        return
    shown = ", ".join(names[place] for place in rough[:SHOWN])
    even = int(np.sum(above)) - len(rough)
    yield (
        f"Given what all share, Pareto k is above {limit:.2f}, and the weights uneven, for the parameters of "
        f"{len(rough)} of {len(names)} data sets ({shown}{', ...' if len(rough) > SHOWN else ''}): "
        "theirs are far from normal. Fit these by themselves, or all with NUTS."
        + (f" Of {even} more k is above it too, but their weights hardly differ." if even else "")
    )


def _compare(problem: Problem, vectors: np.ndarray, log_likelihoods: np.ndarray) -> None:
    """Compare the traced log likelihood with the users' functions at some of the draws."""
    if not len(vectors):
        return
    places = np.unique(np.linspace(0, len(vectors) - 1, COMPARED).astype(int))
    plain, traced = problem.log_likelihood.values(vectors[places]), log_likelihoods[places]
    if not np.allclose(plain, traced, rtol=1e-8, atol=1e-2):
        raise TraceError(
            "The trace of the log likelihood is not the function at draws of the approximation: it gives "
            f"{traced[0]:.10g}, and the function {plain[0]:.10g}.",
            cure="Please report this: at draws of the prior they agree. NUTS with the same model looks at it "
            "too.",
        )


def _target(
    problem: Problem, density: Density, points: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the parameters' values, the log likelihood, and the log density of the points.

    The density is made of the user's own function, not of its trace.
    """
    with np.errstate(all="ignore"):
        vectors = density.vectors(points)
        log_jacobian = density.log_jacobian(points)
        log_posterior, log_likelihood = problem.log_posterior(vectors).T
        log_density = log_posterior + log_jacobian
    return vectors, log_likelihood, np.where(np.isfinite(log_density), log_density, -np.inf)
