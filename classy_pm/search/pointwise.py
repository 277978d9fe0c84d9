"""The log likelihood of every datum at the draws of a fit, for LOO."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from classy_pm.errors import TraceError
from classy_pm.search.problem import Problem

__all__ = ["Pointwise", "log_likelihood_of", "pointwise_terms"]

# So many numbers (40 MB) the terms of a fit may have; where they would be more, fewer draws have them.
MAX_NUMBERS = 5_000_000

# At how many draws the sums of the graph's terms are compared with the user's function. Where they differ by
# more, the posterior does: by as much as its density.
COMPARED = 50
DIFFERENT = 1e-2


@dataclass(frozen=True)
class Pointwise:
    """The terms, or why there are none.

    Attributes
    ----------
    terms : numpy.ndarray, shape (chain, draw, term), or None
    step : int
        Every so many-th draw has them.
    reason : str
        Why there are none.
    traced : bool
        Whether they are the graph's.
    """

    terms: np.ndarray | None
    step: int = 1
    reason: str = ""
    traced: bool = False


def pointwise_terms(problem: Problem, vectors: np.ndarray) -> Pointwise:
    """Compute the terms at draws: the user's own, or those of the graph if one was made.

    Parameters
    ----------
    problem : Problem
    vectors : numpy.ndarray, shape (chain, draw, size)
    """
    plain = problem.log_likelihood
    symbolic = problem.symbolic if "symbolic" in vars(problem) else None
    if plain.has_pointwise:
        length = plain.pointwise(vectors[0, 0]).size
    elif symbolic is None:
        return Pointwise(None, reason="the likelihood was called as it is, not traced.")
    elif symbolic.kind == "blackbox":
        return Pointwise(None, reason="the likelihood was called as a black box, not traced.")
    elif symbolic.terms is None:
        return Pointwise(None, reason=symbolic.reason)
    else:
        (length,) = symbolic.terms.type.shape
    step = math.ceil(length * vectors[..., 0].size / MAX_NUMBERS)
    vectors = vectors[:, ::step]
    with problem.report.stage("computing the pointwise log likelihood"):
        if plain.has_pointwise:
            flat = vectors.reshape(-1, vectors.shape[-1])
            terms = np.reshape([plain.pointwise(vector) for vector in flat], (*vectors.shape[:2], length))
        else:
            from classy_pm.likelihood.batched import output_function

            assert symbolic is not None
            graph = symbolic
            terms = problem.kept("terms", lambda: output_function(graph, graph.terms))(vectors)
    return Pointwise(terms, step, traced=not plain.has_pointwise)


def log_likelihood_of(problem: Problem, vectors: np.ndarray, pointwise: Pointwise) -> np.ndarray:
    """Compute the log likelihood of draws: sums of the graph's terms where each draw has them.

    Parameters
    ----------
    problem : Problem
    vectors : numpy.ndarray, shape (chain, draw, size)
    pointwise : Pointwise
        Their terms.

    Returns
    -------
    numpy.ndarray, shape (chain, draw)

    Raises
    ------
    TraceError
        If the sums are not what the user's function gives at some of the draws: then the draws are not of
        the posterior. The graph was proved at draws of the prior, which may be far from here.
    """
    flat = vectors.reshape(-1, vectors.shape[-1])
    if pointwise.terms is None or pointwise.step > 1 or not pointwise.traced:
        return problem.log_likelihood.many(flat).reshape(vectors.shape[:2])
    total = np.sum(pointwise.terms, axis=-1)
    places = np.unique(np.linspace(0, len(flat) - 1, COMPARED).astype(int))
    traced, plain = total.ravel()[places], problem.log_likelihood.many(flat[places])
    with np.errstate(invalid="ignore"):
        differs = ~((traced == plain) | (np.abs(traced - plain) <= DIFFERENT))
    if np.any(differs):
        first = int(np.argmax(differs))
        raise TraceError(
            f"The trace of the log likelihood is not the function at {np.sum(differs)} of {len(places)} "
            f"draws of the posterior: it gives {traced[first]:.10g}, and the function {plain[first]:.10g}.",
            cure='Fit with likelihood="blackbox", and please report this: at draws of the prior they agree.',
        )
    return np.asarray(total)
