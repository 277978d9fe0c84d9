"""`SMC`: a population that is led from the prior to the posterior."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from scipy.special import logsumexp

from classy_pm.errors import SearchError
from classy_pm.search.base import Search
from classy_pm.search.chains import run_chains
from classy_pm.search.checkpoint import Chain
from classy_pm.search.problem import Draws, Problem
from classy_pm.search.progress import Stage
from classy_pm.search.settings import positive

__all__ = ["SMC"]

# With a smaller part of the population than this left after a stage, it did not follow.
COLLAPSED = 0.05


class SMC(Search):
    """PyMC's sequential Monte Carlo: posterior and evidence, also where there are several modes.

    Parameters
    ----------
    draws : int
        How many points each population has, and so the draws of each chain.
    chains : int
        How many populations; each runs on its own.
    kernel : {"MH", "IMH"}
        How points move at each stage: step by step, or to draws from a normal distribution like the
        population, which is fast where the posterior is nearly normal.
    threshold : float
        Between 0 and 1: what part of the population shall be effective after each stage. Larger is
        slower and safer.
    correlation_threshold : float
        Between 0 and 1: points move until the correlation with where they were falls by less. Smaller
        is slower and safer.
    **common
        What every search takes: see `Search`.

    Notes
    -----
    Del Moral, Doucet and Jasra (2006), JRSS B 68, 411; Minson, Simons and Beck (2013), Geophysical
    Journal International 194, 1701. Populations start from the whole prior, where assertions fail too,
    so that these are not renormalised. The evidence is the mean over the chains, each of which has no
    bias, and its error is from their scatter over the square root of their number: with few chains it
    is a rough one, with a single chain there is none. Where a posterior was like Student's t, IMH was seen
    to find log evidences 0.2 to 0.4 too low, with errors of 0.06, and MH right ones.

    Examples
    --------
    >>> SMC(draws=1000, chains=4, random_seed=1)
    SMC(random_seed=1, draws=1000)
    """

    draws: int = 2000
    chains: int = 4
    kernel: Literal["MH", "IMH"] = "MH"
    threshold: float = 0.5
    correlation_threshold: float = 0.01

    def _faults(self) -> Iterator[tuple[str, str]]:
        yield from positive(self, "draws", "chains", "number_of_cores")
        for name in ("threshold", "correlation_threshold"):
            if not 0.0 < getattr(self, name) < 1.0:
                yield name, f"{getattr(self, name)} is not between 0 and 1"

    def _run(self, problem: Problem) -> Draws:
        settings = {name: getattr(self, name) for name in ("draws", "threshold", "correlation_threshold")}
        nan_before = _nan_count(problem)
        with problem.report.stage(f"sampling {self.chains} chains with SMC", total=self.chains) as stage:
            runner = _Runner(self.kernel, settings, stage)
            found = run_chains(problem, self.chains, runner, on_chain=runner.tell)
        problem.log_likelihood.nan_count = nan_before + int(np.sum(found["nan_count"]))
        return self._draws(found)

    def _draws(self, found: dict[str, np.ndarray]) -> Draws:
        log_evidences, smallest = found["log_evidence"], float(np.min(found["smallest_effective_part"]))
        log_evidence = float(logsumexp(log_evidences) - np.log(self.chains))
        scatter = np.std(np.exp(log_evidences - log_evidence), ddof=1) if self.chains > 1 else None
        return Draws(
            found["vectors"],
            log_evidence=log_evidence,
            log_evidence_error=None if scatter is None else float(scatter / np.sqrt(self.chains)),
            attributes={
                "log_evidences": [float(value) for value in log_evidences],
                "stages": [int(count) for count in found["stages"]],
                "smallest_effective_part": smallest,
            },
            notices=list(self._notices(log_evidences, smallest)),
        )

    def _notices(self, log_evidences: np.ndarray, smallest: float) -> Iterator[str]:
        if smallest < COLLAPSED * self.threshold:
            yield (
                f"After one stage only {smallest:.2%} of a population was effective, "
                f"{self.threshold:.0%} were wanted: the likelihood is possible in a small part of the prior, "
                "or rises too steeply for SMC. Raise draws, narrow the priors, or use a nested search."
            )
        spread = float(np.ptp(log_evidences))
        if spread > 1.0:
            yield (
                f"The chains' log evidences lie {spread:.1f} apart: they may have found different modes. "
                "Raise draws, or use a smaller correlation_threshold."
            )


@dataclass
class _Runner:
    """Leads one population after another from the prior to the posterior, as `pymc.sample_smc` does.

    In another process what was compiled is compiled anew, which is why it stays behind.

    Parameters
    ----------
    kernel : {"MH", "IMH"}
    settings : dict
        Arguments of PyMC's kernel.
    stage : Stage, optional
        Told how far each population is; not from another process.
    """

    kernel: str
    settings: dict[str, Any]
    stage: Stage | None = field(default=None, repr=False)
    _finished: int = field(default=0, repr=False)
    _made: Any = field(default=None, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_made": None, "stage": None}

    def tell(self, finished: int, text: str = "") -> None:
        """Say that so many populations are finished, and how far the next is."""
        self._finished = finished
        if self.stage is not None:
            self.stage.update(finished, text)

    def __call__(self, problem: Problem, number: int) -> Chain:
        """Lead the population of a number.

        Returns
        -------
        dict
            The draws; and of the whole population its log evidence, how many stages it took, the smallest
            part of it that was effective after one of them, and how often the log likelihood was NaN.
        """
        if self._made is None:
            self._made = self._make(problem)
        kernel = self._made
        nan_before = _nan_count(problem)
        effective_parts = []
        with np.errstate(all="ignore"):
            kernel.initialize(self._start(problem, kernel, number), problem.rng(1, number))
            while kernel.beta < 1.0:
                kernel.update_beta_and_weights()
                effective_parts.append(1.0 / np.sum(kernel.weights**2) / len(kernel.weights))
                self.tell(self._finished, f"chain {number} has the likelihood's power {kernel.beta:.2g}")
                kernel.step()
        return {
            "vectors": problem.density.vectors(kernel.tempered_posterior),
            "log_evidence": np.array(kernel.log_marginal_likelihood, dtype=float),
            "stages": np.array(len(effective_parts)),
            "smallest_effective_part": np.array(min(effective_parts)),
            "nan_count": np.array(kernel.nan_count + _nan_count(problem) - nan_before),
        }

    def _make(self, problem: Problem) -> Any:
        import pymc as pm
        import pytensor
        from pytensor.scalar.basic import autocast_float_as

        kind = type(self.kernel, (_Kernel, getattr(pm.smc, self.kernel)), {})
        # With fast mathematics code from numba's cache gives other digits than code just compiled.
        with autocast_float_as("float64"), pytensor.config.change_flags(numba__fastmath=False):
            return kind(model=problem.pymc_model, random_seed=problem.rng(2), **self.settings)

    def _start(self, problem: Problem, kernel: Any, number: int) -> dict[str, np.ndarray]:
        """Draw a population from the prior, on the scale on which it moves."""
        vectors = problem.plan.vector_from_unit(
            problem.rng(0, number).random((kernel.draws, problem.plan.size))
        )
        columns = np.cumsum([size for _, size in kernel.var_info.values()])[:-1]
        parts = np.split(problem.density.points(vectors), columns, axis=1)
        return {
            name: part.reshape(kernel.draws, *shape)
            for (name, (shape, _)), part in zip(kernel.var_info.items(), parts, strict=True)
        }


class _Kernel:
    """What is added to PyMC's kernels, which come after it among a kernel's bases."""

    likelihood_logp: np.ndarray
    rng: np.random.Generator
    nan_count: int

    def set_rng(self, rng: np.random.Generator) -> None:
        # PyMC compiles the densities anew for every chain here, for random numbers that are not in them.
        self.rng = rng

    def setup_kernel(self) -> None:
        # A NaN would be in every weight. Later ones are rejected by the comparison.
        nan = np.isnan(self.likelihood_logp)
        self.nan_count = int(np.sum(nan))
        self.likelihood_logp = np.where(nan, -np.inf, self.likelihood_logp)
        if np.all(self.likelihood_logp == -np.inf):
            raise SearchError(
                f"The likelihood is zero or NaN, or an assertion fails, at all {len(self.likelihood_logp)} "
                "points of the prior that SMC starts from.",
                cure="Look at analysis.log_likelihood_function(model.random_instance()), narrow the priors, "
                "or raise draws.",
            )
        super().setup_kernel()  # type: ignore[misc]


def _nan_count(problem: Problem) -> int:
    """Return how often the user's function was NaN: called as itself, and called by the graph."""
    # The graph first: it may replace the function by what JAX has compiled.
    functions = problem.symbolic.plain, problem.log_likelihood
    called = {id(function): function for function in functions}
    return sum(function.nan_count for function in called.values())
