"""`Laplace`: a normal density at each mode."""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp, softmax

from classy_pm.errors import SearchError, some_of
from classy_pm.search.approximation import Approximation, Found
from classy_pm.search.collapse import CURE, WHY, collapsed_at
from classy_pm.search.limits import MOST_NAMED
from classy_pm.search.normals import NormalMixture
from classy_pm.search.problem import Problem
from classy_pm.search.start import Mode, comparable, compiled, mode_notice, modes_of

__all__ = ["Laplace"]

# A gradient longer than this, in standard deviations, is no maximum's.
STEEP = 0.1
# In more parameters the curvature takes hours, and then there is no room for it.
LARGEST = 4000


class Laplace(Approximation):
    """The normal approximation with the curvature at the mode, corrected by importance weights.

    Parameters
    ----------
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
        If the density has no maximum, or does not fall off from it in all directions; and for more than
        4,000 parameters. That of a hierarchy has one only where each member is known to less than half of the
        spread that is seen among the members.

    Notes
    -----
    Tierney and Kadane (1986), JASA 81, 82. The approximation is made on the unconstrained scale, where
    every point is allowed, and mapped back: a limit is never passed. Several modes become a mixture of
    normal densities, weighted by height and width. A likelihood without gradient takes more evaluations.

    `result.attributes` has ``pareto_k``: Vehtari et al. (2024), JMLR 25(72). Up to 0.5 the weights
    correct the approximation, and the evidence is that of importance sampling, with its standard
    deviation. Up to 0.7 they do so slowly, and there is no evidence; above, a notice says that the draws
    cannot be trusted. Laplace's own formula for the evidence is in ``log_evidence_laplace``.

    Examples
    --------
    >>> Laplace(draws=1000, random_seed=1)
    Laplace(random_seed=1, draws=1000)
    """

    def _approximate(self, problem: Problem) -> Found:
        density, gradient = problem.density, problem.symbolic.differentiable
        if density.size > LARGEST:
            raise SearchError(
                f"The curvature in {density.size} parameters has {density.size**2} numbers: it is looked "
                f"at for at most {LARGEST}.",
                cure="Use ADVI, which has variances alone (of many data sets with minibatch=...), or NUTS.",
            )
        function = compiled(problem, density)
        with problem.report.stage("finding the mode"):
            modes = comparable(modes_of(problem, function, density, gradient=gradient))
        if not modes:
            raise SearchError(
                "No maximum was found: where the climbs ended, the posterior density or its curvature is not "
                "a finite number.",
                cure="Is the gradient of the log likelihood finite? cpm.check_gradient(model, analysis) "
                "looks at it. Or use Emcee or Nautilus, which need none.",
            )
        for mode in modes:
            _require_maximum(problem, mode)
        masses = np.array([mode.log_mass for mode in modes])
        constant = 0.5 * density.size * np.log(2.0 * np.pi)
        return Found(
            NormalMixture(
                np.array([mode.point for mode in modes]),
                np.array([mode.matrix for mode in modes]),
                softmax(masses),
            ),
            attributes={
                "modes": [mode.log_density for mode in modes],
                "log_evidence_laplace": float(logsumexp(masses) + constant),
            },
            notices=mode_notice(modes, "Each is approximated by a normal density of its own."),
        )


def _require_maximum(problem: Problem, mode: Mode) -> None:
    """Refuse a point from which the density does not fall off."""
    if (mode.slope > STEEP or len(mode.flat)) and (limits := collapsed_at(problem, mode.point)):
        raise SearchError(f"No maximum was found: the climb led to the limit of {limits}. {WHY}.", cure=CURE)
    if mode.slope > STEEP:
        raise SearchError(
            "No maximum was found: where the climb ended, the density still rises by about "
            f"{mode.slope:.2g} within one standard deviation. It may rise without end, or end at an edge: an "
            "assertion, or a FitException.",
            cure="A normal approximation needs a maximum: use NUTS or Emcee.",
        )
    if len(mode.flat):
        names = np.array(problem.plan.element_names)[np.argmax(np.abs(mode.flat), axis=-1)]
        shown = some_of((f"`{name}`" for name in dict.fromkeys(names)), MOST_NAMED)
        raise SearchError(
            f"The posterior does not fall off from its mode in {len(mode.flat)} of {mode.point.size} "
            f"directions, mostly along {shown}: a normal approximation would have no end there.",
            cure="Fix what the data say nothing about, give it a narrower prior, or use NUTS or Emcee.",
        )
