"""nutpie: the model compiled for it, its modes, and chains run one by one."""

from __future__ import annotations

import dataclasses
import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from classy_pm.likelihood.faults import raising_faults
from classy_pm.search.checkpoint import Chain
from classy_pm.search.problem import Problem
from classy_pm.search.start import Mode, modes_of

if TYPE_CHECKING:
    from classy_pm.search.progress import Stage

__all__ = ["NutpieRunner", "compile_model", "modes_and_show"]

# What is kept of nutpie's statistics, by the names of ArviZ.
STATS = {
    "depth": "tree_depth",
    "n_steps": "n_steps",
    "step_size": "step_size",
    "energy": "energy",
    "diverging": "diverging",
    "mean_tree_accept": "acceptance_rate",
}


@dataclass
class NutpieRunner:
    """Runs a chain with nutpie.

    Parameters
    ----------
    compiled : nutpie.sample.CompiledModel
    modes : list of Mode
        Around which it starts.
    settings : dict
        Arguments of `nutpie.sample`.
    stage : Stage
        Told of every draw.
    """

    compiled: Any
    modes: list[Mode]
    settings: dict[str, Any]
    stage: Stage
    _progress: dict[int, tuple[int, int]] = field(default_factory=dict)

    def __call__(self, problem: Problem, number: int) -> Chain:
        """Run the chain of a number."""
        import nutpie

        tries = itertools.count()

        def start(_: Any) -> np.ndarray:
            # Asked again where a point will not do: each answer is another one.
            rng = problem.rng(1, number, next(tries))
            mode = self.modes[rng.integers(len(self.modes))]
            return mode.point + mode.scatter @ rng.standard_normal(mode.point.size)

        with raising_faults():
            raw = nutpie.sample(
                dataclasses.replace(self.compiled, initial_point_func=start),
                chains=1,
                cores=1,
                seed=int(problem.rng(2, number).integers(2**31)),
                save_warmup=False,
                progress_bar=False,
                progress_callback=lambda chains: self._tell(number, chains[0]),
                **self.settings,
            )
        posterior, stats = raw["posterior"], raw["sample_stats"]
        columns = [posterior[name].values[0] for name in problem.plan.names]
        columns = [column.reshape(len(column), -1) for column in columns]
        kept = {ours: stats[theirs].values[0] for theirs, ours in STATS.items()}
        kept["diverging"] = kept["diverging"].astype(bool)
        return {"vectors": np.concatenate(columns, axis=-1), **kept}

    def _tell(self, number: int, chain: Any) -> None:
        self._progress[number] = chain.finished_draws, chain.divergences
        finished, diverging = np.sum(list(self._progress.values()), axis=0)
        self.stage.update(int(finished), f"{diverging} divergences")


def modes_and_show(problem: Problem, compiled: Any) -> list[Mode]:
    """Find the modes, best first, on nutpie's unconstrained scale, and have the best drawn."""
    from classy_pm.graph.unconstrained import unconstrain

    def points_of(vectors: np.ndarray) -> np.ndarray:
        return unconstrain(problem.pymc_model, problem.plan, vectors, _order(compiled))

    with problem.report.stage("finding the mode"), raising_faults():
        modes = modes_of(problem, _log_density(compiled), points_of)
    if problem.evaluate.onlooker.draws:
        problem.show(_vectors(problem, compiled, np.array([mode.point for mode in modes])))
    return modes


def _vectors(problem: Problem, compiled: Any, points: np.ndarray) -> np.ndarray:
    """Map points in nutpie's order to parameter values."""
    names, slices, _ = compiled.shape_info
    places = dict(zip(names, slices, strict=True))
    model = problem.pymc_model
    values = [model.rvs_to_values[model[name]].name for name in problem.plan.names]
    return problem.density.vectors(np.concatenate([points[:, places[value]] for value in values], axis=-1))


def compile_model(problem: Problem) -> Any:
    """Compile the log density and its gradient for nutpie."""
    from pytensor.scalar.basic import autocast_float_as

    from classy_pm.search.nutpie_native import compile_natively

    model = problem.pymc_model
    # PyMC writes numbers such as the 2.0 of its square roots, and PyTensor would make them float32.
    with (
        problem.report.stage("compiling the log density and its gradient"),
        autocast_float_as("float64"),
    ):
        if problem.symbolic.kind == "jax":
            from classy_pm.search.nutpie_jax import compile_by_jax

            return compile_by_jax(model, list(problem.plan.names))
        return compile_natively(model, list(problem.plan.names))


def _order(compiled: Any) -> list[str]:
    """Return the names of the unconstrained variables in the order of nutpie's vector."""
    names, slices, _ = compiled.shape_info
    return [name for name, place in zip(names, slices, strict=True) if place.stop <= compiled.n_dim]


def _log_density(compiled: Any) -> Any:
    return lambda point: compiled.logp_func(np.ascontiguousarray(point))
