"""What a search does that needs a gradient: have the likelihood traced, or say why it cannot run."""

from __future__ import annotations

from classy_pm.errors import SearchError, TraceError, WrittenInJaxError
from classy_pm.search.problem import Problem

__all__ = ["require_gradient"]


def require_gradient(problem: Problem, search: str) -> None:
    """Trace the likelihood, or have JAX do it, or say why a search cannot run.

    Raises
    ------
    SearchError
        If the likelihood cannot be traced and the analysis does not give its gradient.
    """
    free = problem.likelihood == "auto"
    if free and not problem.log_likelihood.has_gradient:
        problem.likelihood = "trace"
    reason = "it was asked for as a black box."
    first = "Leave out likelihood='blackbox', so that it is traced"
    try:
        if problem.symbolic.differentiable:
            return None
    except WrittenInJaxError as error:
        if free:
            problem.likelihood = "jax"
            return require_gradient(problem, search)
        reason, first = str(error), "Write the likelihood so that it can be traced"
    except TraceError as error:
        reason, first = str(error), "Write the likelihood so that it can be traced"
    raise SearchError(
        f"{search} needs a gradient, and this likelihood has none: {reason}",
        cure=f"{first}, write log_likelihood_gradient(self, instance) in the analysis, or use a search that "
        "needs no gradient, such as Nautilus() or Emcee().",
    )
