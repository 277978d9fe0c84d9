"""`Emcee`: an ensemble of walkers, for likelihoods with or without a gradient."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from classy_pm.errors import SettingError
from classy_pm.search.base import Search
from classy_pm.search.initializers import (
    InitializerBall,
    InitializerParamBounds,
    InitializerParamStartPoints,
    InitializerPrior,
    InitializerResult,
    start_points,
)
from classy_pm.search.problem import Draws, Problem
from classy_pm.search.settings import positive

__all__ = ["AutoCorrelationsSettings", "Emcee"]

# How many autocorrelation times are discarded as the walkers' way from their start.
BURN_IN_TIMES = 3
# How many steps lie between two looks at the progress.
UPDATE_EVERY = 10
# How many of the stuck walkers are told by their numbers.
NAMED = 5


@dataclass(frozen=True)
class AutoCorrelationsSettings:
    """When an ensemble has run for long enough.

    Parameters
    ----------
    check_for_convergence : bool
        Whether to stop early.
    check_size : int
        How many steps lie between two looks at the autocorrelation times.
    required_length : float
        How many autocorrelation times the chains must be long.
    change_threshold : float
        By how much, relatively, an autocorrelation time may have changed since the last look.

    Notes
    -----
    The criterion of Goodman and Weare (2010) as emcee's documentation gives it.
    """

    check_for_convergence: bool = True
    check_size: int = 100
    required_length: float = 50
    change_threshold: float = 0.01

    def __post_init__(self) -> None:
        if self.check_size < 1 or self.required_length <= 0 or self.change_threshold <= 0:
            raise SettingError(f"{self}: all of its numbers must be above zero.")


@dataclass
class _Convergence:
    """Looks at an ensemble every so many steps."""

    settings: AutoCorrelationsSettings
    times: np.ndarray = field(default_factory=lambda: np.array(np.inf))

    def reached(self, sampler: Any, step: int) -> bool:
        if not self.settings.check_for_convergence or step % self.settings.check_size:
            return False
        before, self.times = self.times, sampler.get_autocorr_time(tol=0)
        long_enough = bool(np.all(self.times * self.settings.required_length < step))
        change = np.abs(before - self.times) / self.times
        return long_enough and bool(np.all(change < self.settings.change_threshold))


class Emcee(Search):
    """The affine-invariant ensemble sampler of emcee.

    Parameters
    ----------
    nwalkers : int
        How many walkers; at least twice the number of free parameters.
    nsteps : int
        How many steps each takes at the most.
    initializer : InitializerPrior, InitializerBall, InitializerResult or another of them
        Where the walkers start.
    auto_correlations_settings : AutoCorrelationsSettings
        When to stop early.
    **common
        What every search takes: see `Search`.

    Notes
    -----
    Goodman and Weare (2010), Communications in Applied Mathematics and Computational Science 5,
    65; Foreman-Mackey et al. (2013), PASP 125, 306. The first three autocorrelation times are
    discarded. Each walker is a chain of the result; they are not independent of each other, so that R-hat
    is looked at less strictly, and the autocorrelation times decide whether there are enough steps.

    Examples
    --------
    >>> Emcee(nwalkers=50, nsteps=2000, random_seed=1)
    Emcee(random_seed=1, nsteps=2000)
    """

    _kind = "ensemble"

    nwalkers: int = 50
    nsteps: int = 5000
    initializer: (
        InitializerBall
        | InitializerPrior
        | InitializerParamBounds
        | InitializerParamStartPoints
        | InitializerResult
    ) = InitializerPrior()
    auto_correlations_settings: AutoCorrelationsSettings = AutoCorrelationsSettings()

    def _faults(self) -> Iterator[tuple[str, str]]:
        yield from positive(self, "nwalkers", "nsteps", "number_of_cores")

    def _run(self, problem: Problem) -> Draws:
        import emcee

        size = problem.plan.size
        if self.nwalkers < 2 * size or self.nwalkers % 2:
            raise SettingError(
                f"Emcee needs an even number of walkers, at least twice the {size} free parameters; "
                f"nwalkers={self.nwalkers}.",
                cure=f"Write nwalkers={max(2 * size, self.nwalkers + self.nwalkers % 2)}.",
            )
        problem.evaluate.expected = self.nwalkers * self.nsteps
        vectors, values = start_points(self.initializer, problem, self.nwalkers, problem.rng(0))
        state = emcee.State(
            vectors,
            log_prob=values[:, 0],
            random_state=np.random.RandomState(problem.mersenne(1)).get_state(),
        )

        def log_posterior(vectors: np.ndarray) -> list[float]:
            # A list, because emcee takes it apart number by number.
            return problem.log_posterior(vectors)[:, 0].tolist()

        sampler = emcee.EnsembleSampler(self.nwalkers, size, log_posterior, vectorize=True)
        sampler.log_prob_fn = log_posterior  # its wrapper prints every vector where something is raised
        convergence = _Convergence(self.auto_correlations_settings)
        converged = False
        with problem.report.stage("sampling with emcee", total=self.nsteps) as stage:
            steps = sampler.sample(state, iterations=self.nsteps, skip_initial_state_check=True)
            for step, _ in enumerate(steps, 1):
                if step % UPDATE_EVERY == 0:
                    stage.update(step)
                if convergence.reached(sampler, step):
                    converged = True
                    break
        return self._draws(problem, sampler, converged)

    def _draws(self, problem: Problem, sampler: Any, converged: bool) -> Draws:
        length = len(sampler.get_chain())
        times = sampler.get_autocorr_time(tol=0)
        finite = np.nan_to_num(times, nan=length / BURN_IN_TIMES)
        burn_in = min(int(BURN_IN_TIMES * finite.max()), length // 2)
        notices = []
        if not converged and np.any(finite * self.auto_correlations_settings.required_length > length):
            notices.append(
                f"The ensemble ran {length} steps, {length / finite.max():.0f} autocorrelation times; "
                f"{self.auto_correlations_settings.required_length} are wanted. Raise nsteps."
            )
        log_posterior = sampler.get_log_prob(discard=burn_in)
        notices += _stuck_notice(log_posterior)
        vectors = np.swapaxes(sampler.get_chain(discard=burn_in), 0, 1)
        return Draws(
            vectors,
            # To be had again for a subtraction; to let emcee carry it along takes a tenth of its time.
            log_likelihood=log_posterior.T - problem.plan.log_prior(vectors),
            attributes={
                "autocorrelation_times": [float(time) for time in finite],
                "burn_in": burn_in,
                "acceptance_fraction": float(np.mean(sampler.acceptance_fraction)),
            },
            notices=notices,
        )


def _stuck_notice(log_posterior: np.ndarray) -> Iterator[str]:
    """Name the walkers that stayed below all that the best of them saw; shape (step, walker)."""
    best = np.argmax(np.median(log_posterior, axis=0))
    stuck = np.flatnonzero(np.max(log_posterior, axis=0) < np.min(log_posterior[:, best]))
    if len(stuck):
        named = ", ".join(map(str, stuck[:NAMED])) + (", ..." if len(stuck) > NAMED else "")
        yield (
            f"{len(stuck)} of {log_posterior.shape[1]} walkers are stuck where the posterior is lower than "
            f"anywhere the best one has been: {named} (`chain` in result.idata). Start them nearer "
            "to the mode, with InitializerBall or InitializerParamStartPoints, or use NUTS or Nautilus."
        )
