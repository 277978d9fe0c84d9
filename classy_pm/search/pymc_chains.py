"""What the searches that run one of PyMC's own step methods share."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from classy_pm.likelihood.faults import raising_faults
from classy_pm.search.base import Search
from classy_pm.search.centring import recorded
from classy_pm.search.chains import run_chains
from classy_pm.search.checkpoint import Chain
from classy_pm.search.from_result import starting_vectors
from classy_pm.search.initializers import InitializerResult
from classy_pm.search.modes import several_modes
from classy_pm.search.own_gradient import check_own_gradient
from classy_pm.search.problem import Draws, Problem
from classy_pm.search.progress import Stage
from classy_pm.search.settings import positive
from classy_pm.search.start import STARTS, Mode, comparable, compiled, modes_of

__all__ = ["PyMCRunner", "PyMCSearch", "near", "sample_with_pymc"]

MAX_TRIES = 30


class PyMCSearch(Search):
    """A search that takes steps of PyMC's; a subclass says which."""

    #: Statistics of the step method that are kept, by their names there.
    _stats: ClassVar[dict[str, str]] = {}

    draws: int = 1000
    tune: int = 1000
    chains: int = 4

    def _faults(self) -> Any:
        yield from positive(self, "draws", "tune", "chains", "number_of_cores")

    def _step(self, problem: Problem) -> Any:
        """Return the step method, made in the context of the PyMC model."""
        raise NotImplementedError

    def _run(self, problem: Problem) -> Draws:
        runner = PyMCRunner(self.draws, self.tune, self._stats, step=self._step)
        return sample_with_pymc(problem, runner, self.chains, type(self).__name__)


def sample_with_pymc(
    problem: Problem,
    runner: PyMCRunner,
    chains: int,
    name: str,
    initializer: InitializerResult | None = None,
) -> Draws:
    """Find the modes, and have chains run from around them, or else from the draws of another fit."""
    density, gradient = problem.density, problem.symbolic.differentiable
    modes: list[Mode] = []
    # Of a hierarchy it is at the mode that is decided how far members are centred.
    if initializer is None or (problem.centring is not None and problem.centring.members):
        function = compiled(problem, density)
        with problem.report.stage("finding the mode", total=STARTS) as stage:
            modes = modes_of(problem, function, density, gradient=gradient, on_climb=stage.update)
        problem.show(density.vectors(np.array([mode.point for mode in modes])))
    if initializer is None:
        weighty = comparable(modes)
        rngs = [problem.rng(1, number) for number in range(chains)]
        runner.starts = density.vectors(np.array([near(weighty, density.value, rng) for rng in rngs]))
    else:
        runner.starts = starting_vectors(initializer, problem, chains)
    check_own_gradient(problem, runner.starts)
    total = chains * (runner.draws + runner.tune)
    with problem.report.stage(f"sampling {chains} chains with {name}", total=total) as stage:
        runner.stage = stage
        found = run_chains(problem, chains, runner, on_chain=runner.tell)
    vectors = found.pop("vectors")
    return Draws(
        vectors,
        stats={ours: found[theirs] for theirs, ours in runner.stats.items() if theirs in found},
        attributes={
            "modes": [mode.log_density for mode in modes],
            **({} if problem.centring is None else {"centring": recorded(problem.centring)}),
        },
        notices=several_modes(problem, modes, vectors) if modes else [],
    )


def near(
    modes: list[Mode], log_density: Callable[[np.ndarray], float], rng: np.random.Generator
) -> np.ndarray:
    """Draw a point, where the density is not zero, from the normal approximation around one of the modes.

    Near an edge of what is possible that may take several tries, each closer to the mode.
    """
    mode = modes[rng.integers(len(modes))]
    for closer in 0.5 ** np.arange(MAX_TRIES):
        point = mode.draw(rng, closer)
        if log_density(point) > -np.inf:
            return point
    return mode.point


@dataclass
class PyMCRunner:
    """Runs a chain with `pm.sample`.

    In another process what was compiled is compiled anew, which is why it stays behind.

    Parameters
    ----------
    draws, tune : int
    stats : dict of str
        Statistics that are kept, by their names in PyMC.
    step : callable, optional
        Makes the step method.
    settings : dict
        Other arguments of `pm.sample`.
    """

    draws: int
    tune: int
    stats: dict[str, str]
    step: Callable[[Problem], Any] | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    starts: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))
    stage: Stage | None = field(default=None, repr=False)
    _finished: int = field(default=0, repr=False)
    _made: tuple[Any, Any] | None = field(default=None, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_made": None, "stage": None}

    def tell(self, finished: int, draws: int = 0) -> None:
        """Say that so many chains are finished, and how many draws the next has."""
        self._finished = finished
        if self.stage is not None:
            self.stage.update(finished * (self.draws + self.tune) + draws)

    def __call__(self, problem: Problem, number: int) -> Chain:
        """Run the chain of a number."""
        import pymc as pm

        plan = problem.plan
        settings = dict(self.settings)
        if settings.get("nuts_sampler", "pymc") == "pymc":
            settings["callback"] = lambda trace, draw: self.tell(self._finished, draw.draw_idx + 1)
        with raising_faults(), problem.pymc_model, warnings.catch_warnings():
            # What the draws are worth is looked at by `diagnose`, for all searches alike.
            warnings.simplefilter("ignore")
            if self.step is not None:
                if self._made is None:
                    step = self.step(problem)
                    self._made = step, step.sampling_state
                settings["step"], fresh = self._made
                settings["step"].sampling_state = fresh
            tree = pm.sample(
                self.draws,
                tune=self.tune,
                chains=1,
                cores=1,
                initvals=dict(zip(plan.names, plan.split(self.starts[number]), strict=True)),
                random_seed=problem.rng(2, number),
                progressbar=False,
                quiet=True,
                compute_convergence_checks=False,
                idata_kwargs={"log_likelihood": False},
                **settings,
            )
        posterior, stats = tree["posterior"], tree["sample_stats"]
        if posterior.sizes["draw"] < self.draws:
            raise KeyboardInterrupt  # which PyMC takes for a wish to have the draws up to there
        columns = [posterior[name].values[0].reshape(self.draws, -1) for name in plan.names]
        kept = {name: _per_draw(stats[name].values[0]) for name in self.stats if name in stats}
        return {"vectors": np.concatenate(columns, axis=-1), **kept}


def _per_draw(values: np.ndarray) -> np.ndarray:
    """Return one number a draw: a step that goes along one parameter after another has one for each."""
    return values if values.ndim == 1 else values.reshape(len(values), -1).mean(axis=1)
