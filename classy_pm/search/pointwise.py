"""The log likelihood of every datum at the draws of a fit, for LOO."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from classy_pm.search.problem import Problem

__all__ = ["Pointwise", "pointwise_terms"]

# So many numbers (40 MB) the terms of a fit may have; where they would be more, fewer draws have them.
MAX_NUMBERS = 5_000_000


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
    """

    terms: np.ndarray | None
    step: int = 1
    reason: str = ""


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
            from classy_pm.likelihood.batched import compute_terms

            assert symbolic is not None
            terms = compute_terms(symbolic, vectors)
    return Pointwise(terms, step)
