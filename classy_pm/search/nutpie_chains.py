"""nutpie: the model compiled for it, its modes, and chains run one by one."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from classy_pm.errors import SearchError
from classy_pm.graph.unconstrained import unconstraining
from classy_pm.likelihood.faults import raising_faults
from classy_pm.search.checkpoint import Chain
from classy_pm.search.own_gradient import check_own_gradient, check_own_gradient_at_prior
from classy_pm.search.problem import Problem
from classy_pm.search.start import STARTS, Mode, modes_of
from classy_pm.search.start import compiled as compiled_density

if TYPE_CHECKING:
    from classy_pm.graph.density import Density
    from classy_pm.likelihood.shared_numbers import SharedNumbers
    from classy_pm.plan import Plan
    from classy_pm.search.from_result import Points
    from classy_pm.search.progress import Stage

__all__ = ["NutpieRunner", "NutpieScale", "compile_model", "modes_and_show", "scale_of"]

# At how many draws of the prior, and how well, relatively, the machine code has to agree.
CHECKED = 5
TOLERANCE = 1e-6

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
    modes : sequence of Mode or Points
        Around which it starts, or at which.
    settings : dict
        Arguments of `nutpie.sample`.
    stage : Stage
        Told of every draw.
    """

    compiled: Any
    modes: Sequence[Mode | Points]
    settings: dict[str, Any]
    stage: Stage
    _progress: dict[int, tuple[int, int]] = field(default_factory=dict)

    def __call__(self, problem: Problem, number: int) -> Chain:
        """Run the chain of a number."""
        import nutpie

        tries = itertools.count()

        def start(_: Any) -> np.ndarray:
            # Asked by the thread that calls the likelihood, and again where a point will not do.
            problem.log_likelihood.count_for(number)
            rng = problem.rng(1, number, next(tries))
            mode = self.modes[int(rng.integers(len(self.modes)))]
            return mode.draw(rng)

        try:
            with raising_faults():
                raw = nutpie.sample(
                    dataclasses.replace(self.compiled, initial_point_func=start),
                    chains=1,
                    cores=1,
                    seed=int(problem.rng(2, number).integers(2**31)),
                    save_warmup=False,
                    progress_bar=False,
                    return_raw_trace=True,
                    progress_callback=lambda chains: self._tell(number, chains[0]),
                    **self.settings,
                )
        except RuntimeError as error:
            if "initial position" not in str(error):
                raise
            raise SearchError(
                "NUTS cannot start: around the mode the density has no end, or its gradient is not finite.",
                cure="Is the sign of the log likelihood right? It is -0.5 * np.sum(residuals**2): the larger "
                "the better. Else see what MAP().fit(model, analysis) finds.",
            ) from error
        # Of nutpie's DataTree, for which half of the time of a small fit goes, nothing else would be used.
        (draws,), (stats,) = raw.get_arrow_trace()
        first = int(np.sum(_column(stats, "tuning")))
        columns = [_column(draws, name)[first:] for name in problem.plan.names]
        kept = {ours: _column(stats, theirs)[first:, 0] for theirs, ours in STATS.items()}
        return {"vectors": np.concatenate(columns, axis=-1), **kept}

    def _tell(self, number: int, chain: Any) -> None:
        self._progress[number] = chain.finished_draws, chain.divergences
        finished, diverging = np.sum(list(self._progress.values()), axis=0)
        self.stage.update(int(finished), f"{diverging} divergences")


def _column(batch: Any, name: str) -> np.ndarray:
    """Return a column of a batch of draws, shape (draws, numbers)."""
    import pyarrow

    column = pyarrow.array(batch.column(name))
    flat = column.flatten() if hasattr(column, "flatten") else column
    return np.asarray(flat.to_numpy(zero_copy_only=False)).reshape(len(column), -1)


def modes_and_show(problem: Problem, compiled: Any) -> list[Mode]:
    """Find the modes, best first, on nutpie's unconstrained scale, and have the best drawn.

    The shares of the problem's centring are chosen there.
    """
    scale = scale_of(problem, compiled)
    with problem.report.stage("finding the mode", total=STARTS) as stage, raising_faults():
        modes = modes_of(problem, _log_density(compiled), scale, on_climb=stage.update)
    if problem.evaluate.onlooker.draws:
        problem.show(scale.vectors(np.array([mode.point for mode in modes])))
    if problem.symbolic.kind == "blackbox":
        near = np.array([modes[0].draw(problem.rng(4, draw)) for draw in range(2)])
        check_own_gradient(problem, scale.vectors(near))
    return modes


class NutpieScale:
    """Points whose parts nutpie has put in an order of its own.

    Parameters
    ----------
    plan : Plan
    density : Density
        Of the same PyMC model.
    pymc_model : pymc.Model
    compiled : nutpie.sample.CompiledModel

    Attributes
    ----------
    size : int
    places : dict of str to slice
        Where each parameter is in a point, in the plan's order.
    """

    def __init__(self, plan: Plan, density: Density, pymc_model: Any, compiled: Any) -> None:
        self.compiled = compiled
        self._density = density
        names, slices, _ = compiled.shape_info
        places = dict(zip(names, slices, strict=True))
        values = pymc_model.rvs_to_values
        self.size = compiled.n_dim
        self.places = {name: places[values[pymc_model[name]].name] for name in plan.names}
        order = [name for name, place in places.items() if place.stop <= self.size]
        self._unconstrain = unconstraining(pymc_model, plan, order)

    def points(self, vectors: np.ndarray) -> np.ndarray:
        """Map parameter values, shape (number, plan.size), to points, shape (number, size)."""
        return self._unconstrain(vectors)

    def vectors(self, points: np.ndarray) -> np.ndarray:
        """Map points to parameter values."""
        return self._density.vectors(self.in_order_of_plan(points))

    def in_order_of_plan(self, points: np.ndarray) -> np.ndarray:
        """Return points as `Problem.density` has them."""
        return np.concatenate([points[:, place] for place in self.places.values()], axis=-1)


def scale_of(problem: Problem, compiled: Any) -> NutpieScale:
    """Return the scale of what was compiled of a problem."""

    def make() -> NutpieScale:
        return NutpieScale(problem.plan, problem.density, problem.pymc_model, compiled)

    return problem.kept(("scale", id(compiled)), make)


def compile_model(problem: Problem, *, affine: bool = False) -> Any:
    """Compile the log density and its gradient for nutpie; the user's own gradient is checked first.

    With `affine` the sampler's points can be others than the model's, where machine code can be made of it:
    `set_affine`.
    """
    from classy_pm.graph.native import Unsupported
    from classy_pm.search.nutpie_native import (
        can_be_affine,
        compile_by_nutpie,
        compile_natively,
        set_affine,
    )

    names = list(problem.plan.names)
    check_own_gradient_at_prior(problem)
    if problem.symbolic.kind == "jax":
        from classy_pm.search.nutpie_jax import compile_by_jax

        _settle(problem)
        with problem.report.stage("compiling the log density and its gradient"):
            return compile_by_jax(problem.pymc_model, names)
    with problem.report.stage("compiling the log density and its gradient"):
        try:
            compiled = problem.kept(
                ("nutpie", affine),
                lambda: compile_natively(problem.pymc_model, names, _read_anew(problem), affine=affine),
            )
            if can_be_affine(compiled):  # it may have served another fit
                set_affine(compiled, np.zeros(compiled.n_dim), np.eye(compiled.n_dim))
            if _is_right(problem, compiled):
                return compiled
            problem.report.say("The machine code does not give the density: PyTensor compiles it instead.")
        except Unsupported:
            pass
    if problem.reused is not None and problem.of_others:
        problem.reused.refuse("nutpie compiles for one data set")
    _settle(problem)
    with problem.report.stage("compiling the log density and its gradient"):
        return compile_by_nutpie(problem.pymc_model, names)


def _settle(problem: Problem) -> None:
    """Have the shares of the centring chosen, before they become part of what is compiled."""
    if problem.centring is not None and problem.centring.members:
        modes_of(problem, compiled_density(problem, problem.density), problem.density)
        problem.settle()


def _read_anew(problem: Problem) -> list[SharedNumbers]:
    """Return the numbers that machine code reads whenever it is called."""
    found = [] if problem.centring is None else [problem.centring.numbers]
    return found if problem.reused is None else [*found, *problem.reused.numbers]


def _is_right(problem: Problem, compiled: Any) -> bool:
    """Compare the machine code with the user's function and the priors, and its gradient with differences.

    The graph was proved before; this is about what was made of it. A gradient need not agree where a point
    is at a kink, so that most have to.
    """
    plan, rng = problem.plan, problem.rng(3)
    vectors = plan.draws(CHECKED, rng)
    expected = problem.log_likelihood.many(vectors) + plan.log_prior(vectors)
    scale = scale_of(problem, compiled)
    points = scale.points(vectors)
    expected += problem.density.log_jacobian(scale.in_order_of_plan(points))
    agreeing = []
    for point, there in zip(points, expected, strict=True):
        value, gradient = _log_density(compiled)(point)
        if there == -np.inf or not np.isfinite(value):
            if np.isfinite(value) != np.isfinite(there):
                return False
            continue
        if not np.isclose(value, there, rtol=TOLERANCE, atol=TOLERANCE):
            return False
        step = 1e-6 * np.maximum(1.0, np.abs(point)) * rng.choice([-1.0, 1.0], point.size)
        ahead, behind = (_log_density(compiled)(point + sign * step)[0] for sign in (1.0, -1.0))
        allowed = 1e-2 * np.sum(np.abs(gradient * step)) + 1e-12 * abs(value)
        agreeing.append(abs(0.5 * (ahead - behind) - gradient @ step) <= allowed)
    return np.mean(agreeing) >= 0.5 if agreeing else True


def _log_density(compiled: Any) -> Any:
    return lambda point: compiled.logp_func(np.ascontiguousarray(point))
