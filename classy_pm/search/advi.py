"""`ADVI`: the normal density that is nearest to the posterior."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy import optimize

from classy_pm.errors import SearchError
from classy_pm.search.approximation import Approximation, Found
from classy_pm.search.climb import IMPOSSIBLE, WithGradient
from classy_pm.search.gradient import require_gradient
from classy_pm.search.normals import NormalMixture
from classy_pm.search.problem import Problem
from classy_pm.search.settings import positive
from classy_pm.search.start import comparable, compiled, mode_notice, modes_of

__all__ = ["ADVI"]

# The random stream of the draws that the bound is averaged over.
NOISE = 3000
# A full covariance is averaged over at least so many draws for each parameter.
DRAWS_PER_PARAMETER = 5
# The gradient of the bound, in nats a standard deviation, at which it counts as maximal.
CONVERGED = 1e-2


class ADVI(Approximation):
    """Automatic differentiation variational inference, corrected by importance weights.

    Parameters
    ----------
    method : {"advi", "fullrank_advi"}
        Whether the normal density has no correlations (mean field) or all of them.
    noise_draws : int
        How many draws the evidence bound (ELBO) is averaged over.
    max_iterations : int
        How many steps the optimiser may take.
    draws : int
        How many are drawn from the approximation.
    importance_resampling : {"psis", "none"}
        "psis" weighs each draw by the ratio of posterior to approximation, the largest weights smoothed.
        `result.samples` have these weights; the posterior in `result.idata` is of draws of equal weight,
        as many as the weighted ones are worth. "none" leaves the draws as they are.
    **common
        What every search takes: see `Search`.

    Raises
    ------
    SearchError
        If the likelihood has no gradient, or if no place to start is found.

    Notes
    -----
    Kucukelbir, Tran, Ranganath, Gelman and Blei (2017), JMLR 18(14): the family and its bound, on the
    unconstrained scale. The bound is maximised over draws that stay the same, by L-BFGS from the mode
    and its curvature: Giordano, Ingram and Broderick (2024), JMLR 25(18). So it converges, in seconds, and
    says so, where stochastic steps have to be watched and their length be found by trial.

    Of correlated parameters the mean field finds the widths too narrow: each as if the others were known.
    `result.attributes` has ``pareto_k`` (Vehtari et al. 2024, JMLR 25(72)), which tells it. Above 0.7 a
    notice says that the draws cannot be trusted; above 0.5 there is no evidence.

    Examples
    --------
    >>> ADVI(method="fullrank_advi", random_seed=1)
    ADVI(random_seed=1, method='fullrank_advi')
    """

    method: Literal["advi", "fullrank_advi"] = "advi"
    noise_draws: int = 100
    max_iterations: int = 500

    def _faults(self) -> Iterator[tuple[str, str]]:
        yield from super()._faults()
        yield from positive(self, "noise_draws", "max_iterations")

    def _approximate(self, problem: Problem) -> Found:
        require_gradient(problem, "ADVI")
        density = problem.density
        compiled(problem, density)
        with problem.report.stage("finding the mode"):
            modes = modes_of(problem, density, density.points)
        start = comparable(modes)[0]
        full = self.method == "fullrank_advi"
        number = max(self.noise_draws, DRAWS_PER_PARAMETER * density.size if full else 0)
        noise = _noise(number, density.size, problem.rng(NOISE))
        # The mean field keeps the parameters' own axes, and only their scale is changed.
        scale = start.scatter if full else np.diag(1.0 / np.linalg.norm(np.linalg.inv(start.scatter), axis=0))
        bound = _Bound(density, start.point, scale, noise, full)
        if bound.is_empty:
            raise SearchError(
                "Near the mode the posterior density is zero in places: an assertion, or a FitException. A "
                "normal density is nowhere zero, and none has an evidence bound there.",
                cure="Use NUTS, or Laplace or Pathfinder, which leave out the draws that are impossible.",
            )
        with problem.report.stage("raising the evidence bound", total=self.max_iterations) as stage:
            found = bound.maximise(self.max_iterations, stage.update)
        notices = mode_notice(
            modes,
            "One normal density cannot have several: it is at the largest, and the evidence is not given.",
        )
        slope = float(np.linalg.norm(found.jac))
        if slope > CONVERGED:
            notices.append(
                f"The evidence bound had not converged after {found.nit} steps, its slope was {slope:.2g}. "
                "Raise max_iterations, or use NUTS."
            )
        mean, factor = bound.normal(found.x)
        return Found(
            NormalMixture(mean[np.newaxis], factor[np.newaxis], np.ones(1)),
            attributes={"elbo": bound.elbo(float(found.fun)), "iterations": int(found.nit), "slope": slope},
            notices=notices,
            whole=len(comparable(modes)) == 1,
        )


@dataclass(frozen=True)
class _Bound:
    """The evidence bound of a normal density, averaged over fixed draws.

    Its variables are a mean and the lower triangle of a matrix, or its diagonal alone, in the
    coordinates ``origin + scale @ coordinates``; the diagonal's are logarithms.
    """

    log_density: WithGradient
    origin: np.ndarray
    scale: np.ndarray
    noise: np.ndarray
    full: bool

    @property
    def size(self) -> int:
        return self.origin.size

    @property
    def is_empty(self) -> bool:
        """Whether the density is zero at some of the draws at the start."""
        return self._falling(self._start)[0] >= IMPOSSIBLE

    @property
    def _start(self) -> np.ndarray:
        return np.zeros(2 * self.size + (self.size * (self.size - 1) // 2 if self.full else 0))

    def maximise(self, iterations: int, show: Callable[[int], None]) -> Any:
        steps = iter(range(1, iterations + 1))
        return optimize.minimize(
            self._falling,
            self._start,
            jac=True,
            method="L-BFGS-B",
            callback=lambda _: show(next(steps)),
            options={"maxiter": iterations, "maxfun": 20 * iterations, "maxcor": 20, "ftol": 1e-10},
        )

    def normal(self, variables: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and factor on the scale of the density."""
        mean, factor = self._split(variables)
        return self.origin + self.scale @ mean, self.scale @ factor

    def elbo(self, falling: float) -> float:
        """Return the bound from what was minimised: it lacks constants."""
        entropy = np.linalg.slogdet(self.scale)[1] + 0.5 * self.size * (1.0 + np.log(2.0 * np.pi))
        return float(entropy - falling)

    def _split(self, variables: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mean, logs, below = np.split(variables, [self.size, 2 * self.size])
        factor = np.diag(np.exp(logs))
        factor[np.tril_indices(self.size, -1)] = below if self.full else 0.0
        return mean, factor

    def _falling(self, variables: np.ndarray) -> tuple[float, np.ndarray]:
        mean, factor = self._split(variables)
        points = self.origin + (mean + self.noise @ factor.T) @ self.scale.T
        found = [self.log_density(point) for point in points]
        values = np.array([value for value, _ in found])
        if not np.all(np.isfinite(values)):
            return IMPOSSIBLE, np.zeros_like(variables)
        gradients = np.array([gradient for _, gradient in found]) @ self.scale
        of_factor = gradients.T @ self.noise / len(points)
        below = of_factor[np.tril_indices(self.size, -1)] if self.full else []
        of_logs = np.diag(of_factor) * np.diag(factor) + 1.0
        gradient = np.concatenate([np.mean(gradients, axis=0), of_logs, below])
        return -float(np.mean(values) + np.sum(variables[self.size : 2 * self.size])), -gradient


def _noise(number: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """Return standard normal draws whose mean is zero, and their covariance one where they are enough."""
    half = rng.standard_normal((max(1, (number + 1) // 2), size))
    if len(half) > size:
        half = half @ np.linalg.inv(np.linalg.cholesky(half.T @ half / len(half)).T)
    return np.concatenate([half, -half])
