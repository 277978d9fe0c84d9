"""`Problem` and `Draws`: what a search is given, and what it hands back."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from classy_pm.likelihood import Analysis, LogLikelihood
from classy_pm.plan import Plan
from classy_pm.search.progress import Report

if TYPE_CHECKING:
    from classy_pm.likelihood.symbolic import LikelihoodKind, SymbolicLogLikelihood

__all__ = ["Draws", "Problem"]


@dataclass
class Problem:
    """A model and its data, in all the forms that a search can ask for; each made when it is asked.

    Attributes
    ----------
    plan : Plan
    analysis : Analysis
    likelihood : {"auto", "trace", "blackbox"}
    seed : int
        All randomness comes from it.
    cores : int
    report : Report
    """

    plan: Plan
    analysis: Analysis
    likelihood: LikelihoodKind
    seed: int
    cores: int
    report: Report

    @cached_property
    def log_likelihood(self) -> LogLikelihood:
        """The user's function of a vector."""
        return LogLikelihood(self.plan, self.analysis)

    @cached_property
    def symbolic(self) -> SymbolicLogLikelihood:
        """The log likelihood as a graph."""
        from classy_pm.likelihood.symbolic import make_symbolic

        with self.report.stage("tracing the likelihood and proving the trace"):
            return make_symbolic(self.plan, self.analysis, self.likelihood)

    @cached_property
    def pymc_model(self) -> Any:
        """The PyMC model."""
        from classy_pm.graph import build_model

        return build_model(self.plan, self.symbolic)

    def log_posterior(self, vectors: np.ndarray) -> np.ndarray:
        """Return log prior plus log likelihood, and the log likelihood, of a batch of vectors.

        Parameters
        ----------
        vectors : numpy.ndarray, shape (batch, size)

        Returns
        -------
        numpy.ndarray, shape (batch, 2)
        """
        log_prior = self.plan.log_prior(vectors)
        # Where the prior is zero the likelihood is not asked: it need not be defined there.
        log_likelihood = np.array(
            [
                self.log_likelihood(vector) if possible else -np.inf
                for vector, possible in zip(vectors, log_prior > -np.inf, strict=True)
            ]
        )
        return np.stack([log_prior + log_likelihood, log_likelihood], axis=-1)

    def rng(self, *purpose: int) -> np.random.Generator:
        """Return a generator of its own for one purpose of the search."""
        return np.random.default_rng(self._sequence(*purpose))

    def mersenne(self, *purpose: int) -> np.random.MT19937:
        """Return the same for libraries that still want NumPy's old generator."""
        return np.random.MT19937(self._sequence(*purpose))

    def _sequence(self, *purpose: int) -> np.random.SeedSequence:
        return np.random.SeedSequence(self.seed, spawn_key=purpose)


@dataclass
class Draws:
    """What a search found.

    Attributes
    ----------
    vectors : numpy.ndarray, shape (chain, draw, size)
        Draws of the free parameters, in their own units.
    log_likelihood : numpy.ndarray, shape (chain, draw), optional
        Computed from the vectors where the search does not know it.
    stats : dict of numpy.ndarray, shape (chain, draw)
        What the sampler tells of each draw.
    attributes : dict
        What it tells of the whole fit.
    notices : list of str
        What a user should know, in words.
    """

    vectors: np.ndarray
    log_likelihood: np.ndarray | None = None
    stats: dict[str, np.ndarray] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)
