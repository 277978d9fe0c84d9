"""`Problem` and `Draws`: what a search is given, and what it hands back."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from classy_pm.likelihood import Analysis, LogLikelihood
from classy_pm.plan import Plan
from classy_pm.search.checkpoint import at_prior
from classy_pm.search.evaluation import Evaluation
from classy_pm.search.progress import Report

if TYPE_CHECKING:
    from classy_pm.graph.centring import Centring
    from classy_pm.graph.density import Density
    from classy_pm.likelihood.symbolic import LikelihoodKind, SymbolicLogLikelihood
    from classy_pm.search.factorised import Factorised
    from classy_pm.search.reuse import Reused

__all__ = ["Draws", "Problem"]


@dataclass
class Problem:
    """A model and its data, in all the forms that a search can ask for; each made when it is asked.

    Attributes
    ----------
    plan : Plan
    analysis : Analysis
    likelihood : {"auto", "trace", "jax", "blackbox"}
    seed : int
        All randomness comes from it.
    cores : int
    report : Report
    folder : pathlib.Path, optional
        Where the fit may keep files while it runs.
    checkpoint_interval, visualize_interval : float
        Seconds between two writes of what is known, and between two pictures.
    centring : Centring, optional
        How far what is drawn from parents is centred in `pymc_model`, for a search that chooses it before it
        asks for the model.
    reused : Reused, optional
        What fits of other data have left.
    """

    plan: Plan
    analysis: Analysis
    likelihood: LikelihoodKind
    seed: int
    cores: int
    report: Report
    folder: Path | None = None
    checkpoint_interval: float = 10.0
    visualize_interval: float = 30.0
    centring: Centring | None = None
    reused: Reused | None = None
    _made: dict[Any, Any] = field(default_factory=dict, repr=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if "evaluate" in vars(self):
            self.evaluate.close(finished=kind is None)

    @cached_property
    def log_likelihood(self) -> LogLikelihood:
        """The user's function of a vector; as JAX has compiled it, where that was asked for."""
        if self.likelihood == "jax":
            return self.symbolic.plain
        return LogLikelihood(self.plan, self.analysis)

    @cached_property
    def symbolic(self) -> SymbolicLogLikelihood:
        """The log likelihood as a graph."""
        from classy_pm.likelihood.symbolic import make_symbolic

        with self.report.stage("tracing the likelihood and proving the trace"):
            known = None
            opaque = self.likelihood == "auto" and self.analysis._opaque
            if self.reused is not None and self.likelihood in ("auto", "trace") and not opaque:
                known = self.reused.symbolic(self.plan, self.analysis)
            symbolic = known or make_symbolic(self.plan, self.analysis, self.likelihood)
        # What was asked to make and to prove the graph is not the search's.
        symbolic.plain.nan_count = 0
        if symbolic.kind == "jax":
            before = vars(self).get("log_likelihood")
            symbolic.plain.nan_count = 0 if before is None else before.nan_count
            self.log_likelihood = symbolic.plain
        if symbolic.kind == "blackbox":
            from classy_pm.search.remembered import remembering

            return remembering(symbolic, self)
        return symbolic

    @property
    def of_others(self) -> bool:
        """Whether the likelihood's graph, which is made now if need be, serves other data too."""
        if self.reused is None:
            return False
        _ = self.symbolic
        return not self.reused.unused

    def kept[Made](self, name: Hashable, make: Callable[[], Made]) -> Made:
        """Return what is made once: for this fit, or for all whose data have one graph.

        Parameters
        ----------
        name : hashable
        make : callable
            What it makes depends on the model, the search and the graph of the likelihood alone.
        """
        if self.of_others:
            assert self.reused is not None
            return self.reused.kept(name, make)
        if name not in self._made:
            self._made[name] = make()
        return self._made[name]

    @cached_property
    def pymc_model(self) -> Any:
        """The PyMC model."""
        from classy_pm.graph import build_model

        return self.kept("pymc_model", lambda: build_model(self.plan, self.symbolic, self.centring))

    @cached_property
    def density(self) -> Density:
        """The posterior density of a point on the unconstrained scale, with its gradient where it has one."""
        return self.density_of("points")

    def density_of(self, of: Literal["points", "parameters", "likelihood"]) -> Density:
        """Return the density of the points, of the parameters, or the likelihood alone: see `Density`."""
        from classy_pm.graph.density import Density

        compiled = self.symbolic.kind != "blackbox"
        return self.kept(
            ("density", of), lambda: Density(self.pymc_model, self.plan, compiled=compiled, of=of)
        )

    def settle(self) -> None:
        """Make the shares of the centring constants of all that is made from now on."""
        assert self.centring is not None
        if self.of_others:
            assert self.reused is not None
            self.reused.refuse("the shares of the centring become constants")
        self.centring.freeze()
        self._made.clear()
        for made in ("pymc_model", "density", "factorised"):
            vars(self).pop(made, None)

    @cached_property
    def factorised(self) -> Factorised | None:
        """The parts of the density of many data sets; None of one, and where they are not independent."""
        from classy_pm.search.factorised import Factorised

        return Factorised.of(self)

    @property
    def compile_kwargs(self) -> dict[str, Any]:
        """How PyMC shall compile what it calls for each draw: not at all what is the user's Python."""
        from classy_pm.graph.density import UNCOMPILED

        return {"mode": UNCOMPILED} if self.symbolic.kind == "blackbox" else {}

    def for_another_process(self) -> dict[str, Any]:
        """Return what makes the same problem in another process, for one core."""
        names = ("plan", "analysis", "likelihood", "seed", "centring", "reused")
        return {"cores": 1, **{name: getattr(self, name) for name in names}}

    @cached_property
    def at_prior(self) -> tuple[np.ndarray, np.ndarray]:
        """A few draws of the prior and the log likelihood there, by which another likelihood is known."""
        return at_prior(self.log_likelihood)

    @cached_property
    def evaluate(self) -> Evaluation:
        """The log likelihoods of batches of vectors, by the cheapest way that gives them."""
        return Evaluation(self)

    def show(self, vectors: np.ndarray) -> None:
        """Have the best of some vectors, shape (number, size), drawn, if the analysis draws."""
        onlooker = self.evaluate.onlooker
        if onlooker.draws:
            values = self.log_likelihood.values(vectors)  # of a picture nothing is counted
            onlooker.see(vectors, np.where(np.isnan(values), -np.inf, values))
            onlooker.draw()

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
        log_likelihood = self._where(log_prior > -np.inf, vectors)
        both = np.empty((len(vectors), 2))
        both[:, 0], both[:, 1] = log_prior + log_likelihood, log_likelihood
        return both

    def log_likelihoods_of_unit(self, points: np.ndarray) -> np.ndarray:
        """Return the log likelihoods of points of the unit cube, on which the prior is uniform.

        Where an assertion fails it is -inf.

        Parameters
        ----------
        points : numpy.ndarray, shape (batch, size)

        Returns
        -------
        numpy.ndarray, shape (batch,)
        """
        vectors = self.plan.vector_from_unit(points)
        possible = np.all(np.isfinite(vectors), axis=-1)
        if self.plan.layout.assertions:
            possible &= self.plan.layout.assertions_hold(vectors)
        return self._where(possible, vectors)

    def _where(self, possible: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        """Ask the likelihood where the prior is not zero: elsewhere it need not be defined."""
        if np.all(possible):
            return self.evaluate(vectors)
        log_likelihood = np.full(len(vectors), -np.inf)
        if np.any(possible):
            log_likelihood[possible] = self.evaluate(vectors[possible])
        return log_likelihood

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
        Draws of the free parameters, in their own units; of an optimiser, its best point alone.
    log_likelihood : numpy.ndarray, shape (chain, draw), optional
        Computed from the vectors where the search does not know it.
    log_weights : numpy.ndarray, shape (chain, draw), optional
        Where the draws are weighted, as those of a nested search are: the logarithms of their weights,
        up to a constant. Such draws are one chain.
    log_evidence, log_evidence_error : float, optional
        The logarithm of the evidence with its standard deviation, where the search integrates.
    stats : dict of numpy.ndarray, shape (chain, draw)
        What the sampler tells of each draw.
    attributes : dict
        What it tells of the whole fit.
    notices : list of str
        What a user should know, in words.
    """

    vectors: np.ndarray
    log_likelihood: np.ndarray | None = None
    log_weights: np.ndarray | None = None
    log_evidence: float | None = None
    log_evidence_error: float | None = None
    stats: dict[str, np.ndarray] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)
