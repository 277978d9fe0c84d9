"""`NUTS`: the no-U-turn sampler, for likelihoods that have been traced."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar, Literal

import numpy as np

from classy_pm.errors import MissingPackageError
from classy_pm.search.base import Search
from classy_pm.search.centring import centring_of, recorded, share_faults
from classy_pm.search.chains import run_chains
from classy_pm.search.from_result import MOST, Points, moments_from, start_from
from classy_pm.search.gradient import require_gradient
from classy_pm.search.initializers import InitializerResult
from classy_pm.search.modes import several_modes
from classy_pm.search.problem import Draws, Problem
from classy_pm.search.pymc_chains import PyMCRunner, sample_with_pymc
from classy_pm.search.settings import positive
from classy_pm.search.start import Mode, comparable

__all__ = ["NUTS"]

# Beyond this condition number of the correlation matrix a diagonal mass matrix is a poor one.
CORRELATED = 10.0

# For how many draws the covariance that PyMC's mass matrix begins with counts.
WEIGHT = 10

_STATS = ("tree_depth", "n_steps", "step_size", "energy", "diverging", "acceptance_rate")


class NUTS(Search):
    """The no-U-turn sampler, on the gradient of the traced likelihood.

    Parameters
    ----------
    draws : int
        Draws a chain that are kept.
    tune : int
        Draws a chain before them, in which step size and mass matrix are adapted.
    chains : int
        How many chains.
    target_accept : float
        The mean acceptance that the step size is adapted to, between 0 and 1.
    mass_matrix : {"auto", "diagonal", "low_rank"}
        What is adapted: a diagonal, or besides it the directions of strong correlation. "auto"
        decides by the correlations at the mode. For nutpie alone.
    centring : {"auto", "centred", "noncentred"} or dict
        How the sampler sees parameters that are drawn from a parent: as they are, as offsets in units of the
        parent's scatter, or in between. "auto" decides for each by how much more the data know of it than its
        parent does. A dict says it by the parameters' names, in these words or as a share from 0, noncentred,
        to 1, centred; the others are "auto". The posterior is the same for all.
    sampler : {"nutpie", "pymc", "numpyro", "blackjax"}
        Whose it is; the last two need ``pip install "classy_pm[samplers]"``.
    initializer : InitializerResult, optional
        Another fit, at whose draws the chains start instead of around modes that are looked for. The mass
        matrix begins as the covariance of these draws, on the sampler's scale, and is adapted from there, so
        that ``tune=200`` may do. Of a hierarchy, of more than 200 parameters, of a single best point and by
        the last two samplers it is adapted from nothing. Modes where that fit has no draws are not found.
    **common
        What every search takes: see `Search`.

    Raises
    ------
    SearchError
        If the likelihood has no gradient, or if no place to start is found.

    Notes
    -----
    Hoffman and Gelman (2014), JMLR 15, 1593; Seyboldt et al. (2026) for nutpie's adaptation. Without an
    initializer the chains start around the mode that an optimiser finds from the best of many prior draws;
    of a hierarchy it is that of the parents' parameters. `result.attributes` has the shares of ``centring``:
    Papaspiliopoulos et al. (2007), Statistical Science 22, 59.

    Examples
    --------
    >>> NUTS(draws=500, tune=500, chains=2, random_seed=1)
    NUTS(random_seed=1, draws=500, tune=500, chains=2)
    """

    _added_later: ClassVar[dict[str, Any]] = {"centring": "auto", "initializer": None}

    draws: int = 1000
    tune: int = 1000
    chains: int = 4
    target_accept: float = 0.8
    mass_matrix: Literal["auto", "diagonal", "low_rank"] = "auto"
    centring: Literal["auto", "centred", "noncentred"] | dict[str, Any] = "auto"
    sampler: Literal["nutpie", "pymc", "numpyro", "blackjax"] = "nutpie"
    initializer: InitializerResult | None = None

    def _faults(self) -> Iterator[tuple[str, str]]:
        yield from positive(self, "draws", "tune", "chains", "number_of_cores")
        if not 0.0 < self.target_accept < 1.0:
            yield "target_accept", f"{self.target_accept} is not between 0 and 1"
        yield from share_faults(self.centring)
        if self.sampler != "nutpie" and self.mass_matrix != "auto":
            yield "mass_matrix", f"{self.sampler} adapts its own"

    def _run(self, problem: Problem) -> Draws:
        problem.centring = centring = centring_of(problem.plan, self.centring)
        require_gradient(problem, "NUTS")
        centring.use(problem.kept("shares", lambda: centring.numbers))
        if self.sampler != "nutpie":
            return self._run_with_pymc(problem)
        from classy_pm.search.nutpie_chains import NutpieRunner, compile_model, modes_and_show

        hierarchy = bool(problem.centring.members)
        affine = self.initializer is not None and not hierarchy and problem.plan.size <= MOST
        compiled = compile_model(problem, affine=affine)
        # Of a hierarchy it is at the mode that is decided how far members are centred.
        modes = modes_and_show(problem, compiled) if self.initializer is None or hierarchy else []
        starts: Sequence[Mode | Points] = comparable(modes)
        told: dict[str, Any] = {"modes": [mode.log_density for mode in modes]}
        correlated = bool(modes) and modes[0].correlation > CORRELATED
        if modes:
            told["correlation"] = modes[0].correlation
        if self.initializer is not None:
            with problem.report.stage("starting at the draws of another fit"):
                points = start_from(self.initializer, problem, compiled, affine=affine)
            starts = [points]
            told |= {"start": self.initializer.result.identifier, "mass_matrix": points.mass_matrix}
            correlated = True  # or else the covariance of the draws may be a poor one
        low_rank = self.mass_matrix == "low_rank" or (self.mass_matrix == "auto" and correlated)
        total = self.chains * (self.draws + self.tune)
        with problem.report.stage(f"sampling {self.chains} chains with NUTS", total=total) as stage:
            settings: dict[str, Any] = {
                "draws": self.draws,
                "tune": self.tune,
                "target_accept": self.target_accept,
            }
            settings["adaptation"] = "low_rank" if low_rank else "diag"
            runner = NutpieRunner(compiled, starts, settings, stage)
            found = run_chains(problem, self.chains, runner, threads=True)
        vectors = found.pop("vectors")
        return Draws(
            vectors,
            stats=found,
            attributes={**told, "low_rank": low_rank, "centring": recorded(centring)},
            notices=several_modes(problem, _of_density(problem, compiled, modes), vectors) if modes else [],
        )

    def _run_with_pymc(self, problem: Problem) -> Draws:
        _require(self.sampler)
        own = {"init": "adapt_diag"} if self.sampler == "pymc" else {}
        settings = {"nuts_sampler": self.sampler, "target_accept": self.target_accept, **own}
        runner = PyMCRunner(self.draws, self.tune, dict(zip(_STATS, _STATS, strict=True)), settings=settings)
        assert problem.centring is not None
        if self.initializer is not None and self.sampler == "pymc" and not problem.centring.members:
            moments = moments_from(self.initializer, problem)
            if moments is not None:
                runner.step, runner.settings = partial(_nuts_step, moments, self.target_accept), {}
        name = f"NUTS of {self.sampler}"
        return sample_with_pymc(problem, runner, self.chains, name, self.initializer)


def _nuts_step(moments: tuple[np.ndarray, np.ndarray], target_accept: float, problem: Problem) -> Any:
    """Return PyMC's step method with a mass matrix that begins with a mean and a covariance."""
    import pymc as pm
    from pymc.step_methods.hmc.quadpotential import QuadPotentialFullAdapt

    mean, covariance = moments
    potential = QuadPotentialFullAdapt(len(mean), mean, covariance, WEIGHT)
    return pm.NUTS(potential=potential, target_accept=target_accept, compile_kwargs=problem.compile_kwargs)


def _of_density(problem: Problem, compiled: Any, modes: list[Mode]) -> list[Mode]:
    """Return modes on the scale of `problem.density`, whose parts nutpie has put in an order of its own."""
    from classy_pm.search.nutpie_chains import scale_of

    (order,) = scale_of(problem, compiled).in_order_of_plan(np.arange(compiled.n_dim)[np.newaxis])
    return [replace(mode, point=mode.point[order], scatter=mode.scatter[order]) for mode in modes]


def _require(sampler: str) -> None:
    """Refuse a sampler that is not installed."""
    if importlib.util.find_spec(sampler) is None:
        raise MissingPackageError(
            f"The sampler {sampler} is not installed.", cure='Run: pip install "classy_pm[samplers]"'
        )
