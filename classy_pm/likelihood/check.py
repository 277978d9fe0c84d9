"""`check_gradient`: a gradient compared with finite differences of the user's function."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from classy_pm.errors import LikelihoodError, WrittenInJaxError
from classy_pm.likelihood.analysis import Analysis, check_analysis
from classy_pm.likelihood.calls import check_order, checked_call
from classy_pm.likelihood.evaluate import LogLikelihood
from classy_pm.likelihood.infinite import check_infinite
from classy_pm.likelihood.joint import analysis_of
from classy_pm.model import Node
from classy_pm.plan import make_plan

__all__ = ["GradientCheck", "check_gradient"]


@dataclass(frozen=True)
class GradientCheck:
    """A gradient beside central differences.

    Attributes
    ----------
    names : tuple of str
        The free parameters.
    gradient, differences : numpy.ndarray, shape (points, parameters)
        The gradient that NUTS would use, and the slope of the user's function.
    worst : float
        The largest difference between the two, relative to the size of the gradient at its point.
    """

    names: tuple[str, ...]
    gradient: np.ndarray
    differences: np.ndarray

    @property
    def worst(self) -> float:
        """The largest relative difference."""
        size = np.maximum(np.abs(self.differences).max(axis=1, keepdims=True), 1e-8)
        return float(np.max(np.abs(self.gradient - self.differences) / size))


@checked_call("Write check_gradient(model, analysis); points=, random_seed= and rtol= by name.")
def check_gradient(
    model: Node,
    analysis: Analysis | None = None,
    *,
    points: int = 5,
    random_seed: int = 0,
    rtol: float = 1e-4,
) -> GradientCheck:
    """Compare the gradient of a log likelihood with finite differences at draws from the prior.

    The gradient is the analysis' own `log_likelihood_gradient`, or else that of the trace, or JAX's.

    Parameters
    ----------
    model : Model, Collection or FactorGraphModel
    analysis : Analysis
        Of a graph of factors none: they have theirs.
    points : int
        At how many draws.
    random_seed : int
        Which draws.
    rtol : float
        How large a difference, relative to the gradient's largest component, is an error.

    Returns
    -------
    GradientCheck

    Raises
    ------
    LikelihoodError
        If they differ; every parameter of which they do is named.
    TraceError
        If there is no gradient.
    """
    check_order("check_gradient(model, analysis)", model, analysis)
    plan = make_plan(model)
    analysis = analysis_of(model, analysis, "check_gradient(model, analysis)")
    check_analysis(analysis)
    check_infinite(plan, analysis)
    plain = LogLikelihood(plan, analysis)
    vectors = _possible(plain, plan.draws(50 * points, random_seed))[:points]
    if plain.has_gradient:
        gradient = np.array([plain.gradient(vector) for vector in vectors])
    else:
        gradient = _traced_gradient(plain, vectors)
    differences = np.array([_slopes(plain, vector) for vector in vectors])
    check = GradientCheck(plan.element_names, gradient, differences)
    if not check.worst <= rtol:
        size = np.maximum(np.abs(differences).max(axis=1, keepdims=True), 1e-8)
        wrong = np.max(np.abs(gradient - differences) / size, axis=0)
        raise LikelihoodError(
            f"The gradient of {type(analysis).__name__} is not the slope of its log likelihood.",
            [
                f"{name}: {gradient[0, place]:.6g} where the slope is {differences[0, place]:.6g}"
                for place, name in enumerate(plan.element_names)
                if not wrong[place] <= rtol
            ],
        )
    return check


def _possible(plain: LogLikelihood, vectors: np.ndarray) -> np.ndarray:
    values = np.array([plain(vector) for vector in vectors])
    if not np.any(np.isfinite(values)):
        raise LikelihoodError("The log likelihood is zero or NaN at all draws from the prior.")
    return vectors[np.isfinite(values)]


def _traced_gradient(plain: LogLikelihood, vectors: np.ndarray) -> np.ndarray:
    import pytensor
    from pytensor.compile.mode import Mode

    from classy_pm.likelihood.symbolic import make_symbolic

    try:
        symbolic = make_symbolic(plain.plan, plain.analysis, "trace")
    except WrittenInJaxError:
        symbolic = make_symbolic(plain.plan, plain.analysis, "jax")
    graphs = pytensor.grad(symbolic.value, list(symbolic.inputs), disconnected_inputs="ignore")
    # A few calls do not repay compiling to machine code.
    function = pytensor.function(
        list(symbolic.inputs), graphs, mode=Mode(linker="py", optimizer="fast_compile")
    )
    rows = [function(*plain.plan.split(vector)) for vector in vectors]
    return np.array([np.concatenate([np.ravel(part) for part in row]) for row in rows])


def _slopes(plain: LogLikelihood, vector: np.ndarray) -> np.ndarray:
    """Return central differences of the fourth order, the better of two steps for each parameter."""
    slopes = np.empty(vector.size)
    for place in range(vector.size):
        found = []
        for step in (1e-3, 1e-5):
            move = np.zeros(vector.size)
            move[place] = step * max(abs(vector[place]), 1e-3)
            near = plain(vector + move) - plain(vector - move)
            far = plain(vector + 2.0 * move) - plain(vector - 2.0 * move)
            first, fourth = near / (2.0 * move[place]), (8.0 * near - far) / (12.0 * move[place])
            found.append((abs(first - fourth), fourth))
        slopes[place] = min(found, key=lambda item: (not np.isfinite(item[0]), item[0]))[1]
    return slopes
