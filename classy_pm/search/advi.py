"""`ADVI`: the normal density that is nearest to the posterior."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import numpy as np

from classy_pm.errors import SearchError
from classy_pm.search.approximation import Approximation, Found
from classy_pm.search.bound import Bound, noise_by_factor, noise_of
from classy_pm.search.gradient import require_gradient
from classy_pm.search.minibatch import Minibatches, raise_by_minibatches, require_data_sets
from classy_pm.search.normals import NormalMixture
from classy_pm.search.population_start import population_start
from classy_pm.search.problem import Problem
from classy_pm.search.settings import positive
from classy_pm.search.start import comparable, compiled, mode_notice, modes_of

__all__ = ["ADVI"]

# The random stream of the draws that the bound is averaged over.
NOISE = 3000
# A full covariance is averaged over at least so many draws for each parameter.
DRAWS_PER_PARAMETER = 5
# The gradient of the bound, in nats a standard deviation, at which it counts as maximal; of how many numbers.
CONVERGED, MANY = 1e-2, 100
# In more parameters a full covariance takes hours.
LARGEST_FULL = 1000


class ADVI(Approximation):
    """Automatic differentiation variational inference, corrected by importance weights.

    Parameters
    ----------
    method : {"advi", "fullrank_advi"}
        Whether the normal density has no correlations (mean field) or all of them.
    noise_draws : int
        How many draws the evidence bound (ELBO) is averaged over.
    max_iterations : int
        How many steps the optimiser may take; with minibatches, how many passes through all data sets.
    minibatch : int, optional
        How many data sets of a graph of factors, picked at random, a step looks at; their log likelihoods
        count for all. Worth it for thousands of them, with the mean field; by default each step looks at all.
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
        If the likelihood has no gradient, or if no place to start is found; with full rank, if there are more
        than 1,000 parameters.
    SettingError
        If `minibatch` is given for a model of one data set, or is not less than their number.

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

    _added_later: ClassVar[dict[str, Any]] = {"minibatch": None}

    method: Literal["advi", "fullrank_advi"] = "advi"
    noise_draws: int = 100
    max_iterations: int = 500
    minibatch: int | None = None

    def _faults(self) -> Iterator[tuple[str, str]]:
        yield from super()._faults()
        yield from positive(self, "noise_draws", "max_iterations")
        if self.minibatch is not None:
            yield from positive(self, "minibatch")
            if self.method != "advi":
                yield "minibatch", f'goes with method="advi" alone, not with {self.method!r}'

    def _approximate(self, problem: Problem) -> Found:
        require_gradient(problem, "ADVI")
        density = problem.density
        self._require_room(problem)
        compiled(problem, density)
        if self.minibatch is not None:
            return self._by_minibatches(problem, self.minibatch)
        factorised = problem.factorised
        notices, whole, full = [], True, self.method == "fullrank_advi"
        number = max(self.noise_draws, DRAWS_PER_PARAMETER * density.size if full else 0)
        if factorised is None:
            with problem.report.stage("finding the mode"):
                modes = modes_of(problem, density, density)
            start = comparable(modes)[0]
            origin, scale = start.point, start.matrix
            if not full:
                # The mean field keeps the parameters' own axes, and only their scale is changed.
                scale = 1.0 / np.linalg.norm(np.linalg.inv(scale), axis=0)
            noise = noise_of(number, density.size, problem.rng(NOISE))
            notices = mode_notice(
                modes,
                "One normal density cannot have several: it is at the largest, and the evidence is not "
                "given.",
            )
            whole = len(comparable(modes)) == 1
        else:
            with problem.report.stage("finding where to start"):
                origin, scale = population_start(problem, factorised)
            scale = np.diag(scale) if full else scale
            rng = problem.rng(NOISE)
            noise = (
                noise_of(number, density.size, rng)
                if full
                else noise_by_factor(number, factorised.structure, rng)
            )
        bound = Bound(density, origin, scale, noise, full)
        variables = bound.possible_start() if factorised is not None else bound.start()
        if variables is None or bound.is_empty(variables):
            raise SearchError(
                "Near the mode the posterior density is zero in places: an assertion, or a FitException. A "
                "normal density is nowhere zero, and none has an evidence bound there.",
                cure="Use NUTS, or Laplace or Pathfinder, which leave out the draws that are impossible.",
            )
        with problem.report.stage("raising the evidence bound", total=self.max_iterations) as stage:
            steps = 0
            # Of many parameters each adds its own rounding.
            allowed = CONVERGED * max(1.0, np.sqrt(variables.size / MANY))
            while True:
                found = bound.maximise(variables, self.max_iterations - steps, stage.update)
                steps, variables = steps + int(found.nit), found.x
                slope = float(np.linalg.norm(found.jac))
                # Where a line search met impossible points, it begins anew without memory of them.
                if slope <= allowed or found.nit == 0 or steps >= self.max_iterations:
                    break
        if slope > allowed:
            notices.append(
                f"The evidence bound had not converged after {steps} steps, its slope was {slope:.2g}. "
                "Raise max_iterations, or use NUTS."
            )
        mean, factor = bound.normal(found.x)
        return Found(
            NormalMixture(mean[np.newaxis], factor[np.newaxis], np.ones(1)),
            attributes={"elbo": bound.elbo(float(found.fun)), "iterations": steps, "slope": slope},
            notices=notices,
            whole=whole,
        )

    def _require_room(self, problem: Problem) -> None:
        """Refuse what no memory holds."""
        size = problem.density.size
        if self.method == "fullrank_advi" and size > LARGEST_FULL:
            raise SearchError(
                f"The covariances of {size} parameters are {size * (size + 1) // 2} numbers, each of which "
                f"would be fitted; this is done for at most {LARGEST_FULL} parameters.",
                cure='Use method="advi", which has variances alone, or NUTS.',
            )

    def _by_minibatches(self, problem: Problem, size: int) -> Found:
        factorised = require_data_sets(problem, size)
        with problem.report.stage("compiling the log density of a minibatch"):
            batches = Minibatches(problem, factorised, size)
        with problem.report.stage("finding where to start"):
            origin, scale = population_start(problem, factorised)
        with problem.report.stage("raising the evidence bound", total=self.max_iterations) as stage:
            found = raise_by_minibatches(
                batches, origin, scale, self.max_iterations, problem.rng(NOISE), stage.update
            )
        notices = []
        if not found.converged:
            notices.append(
                f"The evidence bound had not converged after {found.passes} passes through the data sets. "
                "Raise max_iterations, or use NUTS."
            )
        return Found(
            NormalMixture(found.mean[np.newaxis], found.sd[np.newaxis], np.ones(1)),
            attributes={"iterations": found.passes, "steps": found.steps},
            notices=notices,
        )
