"""What all approximations share: how far their draws can be trusted, and their correction."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from scipy.special import logsumexp

from classy_pm.errors import SearchError
from classy_pm.search.base import Kind, Search
from classy_pm.search.importance import Importance, weigh
from classy_pm.search.problem import Draws, Problem
from classy_pm.search.settings import positive

if TYPE_CHECKING:
    from classy_pm.graph.density import Density

__all__ = ["Approximation", "Found", "NormalMixture"]

# With fewer draws the shape of a tail is too uncertain to judge by.
MIN_DRAWS = 100
# Between this and the limit the weights correct the draws, but slowly: their variance may be infinite.
ROUGH = 0.5
# The random stream of the draws themselves.
DRAWING = 1000


@dataclass(frozen=True)
class NormalMixture:
    """A weighted sum of normal densities.

    Attributes
    ----------
    means : numpy.ndarray, shape (parts, size)
    factors : numpy.ndarray, shape (parts, size, size)
        Square roots of the covariances: ``mean + factor @ standard_normal`` is a draw.
    weights : numpy.ndarray, shape (parts,)
    """

    means: np.ndarray
    factors: np.ndarray
    weights: np.ndarray

    def draw(self, number: int, rng: np.random.Generator) -> np.ndarray:
        """Return draws, shape (number, size), in no order."""
        counts = rng.multinomial(number, self.weights)
        parts = [
            mean + rng.standard_normal((count, mean.size)) @ factor.T
            for mean, factor, count in zip(self.means, self.factors, counts, strict=True)
        ]
        return rng.permutation(np.concatenate(parts))

    def log_density(self, points: np.ndarray) -> np.ndarray:
        """Return the log density at points, shape (number, size): of shape (number,)."""
        parts = [
            log_normal(np.linalg.solve(factor, (points - mean).T).T, factor)
            for mean, factor in zip(self.means, self.factors, strict=True)
        ]
        return np.asarray(logsumexp(parts, axis=0, b=self.weights[:, np.newaxis]))


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
        with problem.report.stage("drawing from the approximation"):
            points = found.mixture.draw(self.draws, problem.rng(DRAWING))
            vectors, log_likelihood, log_density = _target(problem, problem.density, points)
            possible = log_density > -np.inf
            if not np.any(possible):
                raise SearchError(
                    f"The posterior density is zero at all {self.draws} draws from {type(self).__name__}'s "
                    "approximation.",
                    cure="Nothing can be said from it: use NUTS or Emcee.",
                )
            importance = weigh(log_density - found.mixture.log_density(points))
        # Beyond, the error of the mean ratio may be infinite, and what is estimated for it too small.
        sure = importance.pareto_k <= ROUGH and found.whole
        return Draws(
            vectors[np.newaxis, possible],
            log_likelihood=log_likelihood[np.newaxis, possible],
            log_weights=(
                importance.log_weights[np.newaxis, possible] if self.importance_resampling == "psis" else None
            ),
            log_evidence=importance.log_evidence if sure else None,
            log_evidence_error=importance.log_evidence_error if sure else None,
            attributes={
                "pareto_k": importance.pareto_k if np.isfinite(importance.pareto_k) else None,
                "log_evidence_estimate": importance.log_evidence,
                "effective_draws": importance.effective_size,
                "proof": dataclasses.asdict(problem.symbolic.proof) if problem.symbolic.proof else None,
                **found.attributes,
            },
            notices=[*found.notices, *self._notices(importance, int(np.sum(~possible)))],
        )

    def _notices(self, importance: Importance, impossible: int) -> Iterator[str]:
        """Say in words how far the draws can be trusted."""
        corrected = self.importance_resampling == "psis"
        worth = f"{self.draws} draws are worth {importance.effective_size:.0f}"
        shape = f"Pareto k is {importance.pareto_k:.2f}"
        if not np.isfinite(importance.pareto_k):
            shape = "Pareto k cannot be found"
        if importance.pareto_k > importance.limit:
            yield (
                f"{shape} (at most {importance.limit:.2f} is wanted): the approximation is far from the "
                "posterior in places, and its draws and intervals are biased by an unknown amount"
                + (f", with importance weights too ({worth} with them)" if corrected else "")
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


def log_normal(standard: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """Return the log density of draws that were made from standard normal ones, shape (number, size)."""
    size = standard.shape[-1]
    log_scale = np.linalg.slogdet(factor)[1] + 0.5 * size * np.log(2.0 * np.pi)
    return np.asarray(-0.5 * np.sum(standard**2, axis=-1) - log_scale)


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
