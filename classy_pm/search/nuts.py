"""`NUTS`: the no-U-turn sampler, for likelihoods that have been traced."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np

from classy_pm.errors import SearchError, TraceError
from classy_pm.search.base import Search
from classy_pm.search.problem import Draws, Problem
from classy_pm.search.settings import positive
from classy_pm.search.start import Mode, comparable, find_modes

__all__ = ["NUTS"]

# How many draws from the prior are looked at for a place to start.
PRIOR_DRAWS = 400
# At how many of them the user's own function is called, to see whether it is NaN.
PLAIN_DRAWS = 50
# Beyond this condition number of the correlation matrix a diagonal mass matrix is a poor one.
CORRELATED = 10.0

_KEPT_STATS = {"depth": "tree_depth", "n_steps": "n_steps", "step_size": "step_size", "energy": "energy"}


class NUTS(Search):
    """The no-U-turn sampler of nutpie on the gradient of the traced likelihood.

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
        decides by the correlations at the mode.
    **common
        What every search takes: see `Search`.

    Raises
    ------
    SearchError
        If the likelihood has no gradient, or if no place to start is found.

    Notes
    -----
    Hoffman and Gelman (2014), JMLR 15, 1593; Seyboldt et al. (2026) for nutpie's adaptation. The
    chains start around the mode that an optimiser finds from the best of many prior draws.

    Examples
    --------
    >>> NUTS(draws=500, tune=500, chains=2, random_seed=1)
    NUTS(random_seed=1, draws=500, tune=500, chains=2)
    """

    draws: int = 1000
    tune: int = 1000
    chains: int = 4
    target_accept: float = 0.8
    mass_matrix: Literal["auto", "diagonal", "low_rank"] = "auto"

    def _faults(self) -> Iterator[tuple[str, str]]:
        yield from positive(self, "draws", "tune", "chains", "number_of_cores")
        if not 0.0 < self.target_accept < 1.0:
            yield "target_accept", f"{self.target_accept} is not between 0 and 1"

    def _run(self, problem: Problem) -> Draws:
        _require_gradient(problem)
        compiled = _compile(problem)
        with problem.report.stage("finding the mode"):
            modes = _find_modes(problem, compiled)
        raw = self._sample(compiled, comparable(modes), problem)
        return self._draws(raw, problem, modes)

    def _sample(self, compiled: Any, modes: list[Mode], problem: Problem) -> Any:
        import nutpie

        asked: Counter[int] = Counter()

        def start(seed: Any) -> np.ndarray:
            # nutpie asks again, with the same seed, where a point will not do: each answer is another one.
            # Nothing depends on which chain asks first.
            number = int(seed) % 2**32
            asked[number] += 1
            rng = problem.rng(1, number, asked[number])
            mode = modes[rng.integers(len(modes))]
            return mode.point + mode.scatter @ rng.standard_normal(mode.point.size)

        total = self.chains * (self.draws + self.tune)
        correlated = modes[0].correlation > CORRELATED
        low_rank = self.mass_matrix == "low_rank" or (self.mass_matrix == "auto" and correlated)
        name = f"sampling {self.chains} chains with NUTS"
        with problem.report.stage(name, total=total) as stage:

            def show(chains: list[Any]) -> None:
                diverging = sum(chain.divergences for chain in chains)
                stage.update(sum(chain.finished_draws for chain in chains), f"{diverging} divergences")

            return nutpie.sample(
                dataclasses.replace(compiled, initial_point_func=start),
                draws=self.draws,
                tune=self.tune,
                chains=self.chains,
                cores=self.number_of_cores,
                seed=int(problem.rng(2).integers(2**31)),
                target_accept=self.target_accept,
                adaptation="low_rank" if low_rank else "diag",
                save_warmup=False,
                progress_bar=False,
                progress_callback=show,
            )

    def _draws(self, raw: Any, problem: Problem, modes: list[Mode]) -> Draws:
        posterior, stats = raw["posterior"], raw["sample_stats"]
        columns = (posterior[name].values for name in problem.plan.names)
        vectors = np.concatenate([column.reshape(*column.shape[:2], -1) for column in columns], axis=-1)
        kept = {ours: stats[theirs].values for theirs, ours in _KEPT_STATS.items()}
        kept["diverging"] = stats["diverging"].values.astype(bool)
        kept["acceptance_rate"] = stats["mean_tree_accept"].values
        settings = stats.attrs.get("inference_library_settings", "")
        return Draws(
            vectors,
            stats=kept,
            attributes={
                "modes": [mode.log_density for mode in modes],
                "correlation": modes[0].correlation,
                "proof": dataclasses.asdict(problem.symbolic.proof) if problem.symbolic.proof else None,
                "nutpie": str(settings),
            },
            notices=_mode_notice(problem, modes),
        )


def _require_gradient(problem: Problem) -> None:
    """Trace the likelihood, or say why NUTS cannot run."""
    if problem.likelihood == "auto" and not problem.log_likelihood.has_gradient:
        problem.likelihood = "trace"
    reason = "it was asked for as a black box."
    try:
        if problem.symbolic.differentiable:
            return
    except TraceError as error:
        reason = str(error)
    raise SearchError(
        f"NUTS needs a gradient, and this likelihood has none: {reason}",
        cure="Write the likelihood so that it can be traced, give the analysis a log_likelihood_gradient, "
        "or use Emcee, which needs no gradient.",
    )


def _find_modes(problem: Problem, compiled: Any) -> list[Mode]:
    """Find the modes, best first, on nutpie's unconstrained scale."""
    from classy_pm.graph.unconstrained import unconstrain

    vectors = problem.plan.draws(PRIOR_DRAWS, problem.rng(0))
    plain = [problem.log_likelihood(vector) for vector in vectors[:PLAIN_DRAWS]]
    points = unconstrain(problem.pymc_model, problem.plan, vectors, _order(compiled))
    try:
        return find_modes(_log_density(compiled), points)
    except SearchError as error:
        nan = problem.log_likelihood.nan_count
        impossible = sum(value == -np.inf for value in plain) - nan
        raise SearchError(
            f"{error.message} The log likelihood is NaN at {nan} and -inf at {impossible} of {PLAIN_DRAWS}.",
            cure=error.cure,
        ) from None


def _mode_notice(problem: Problem, modes: list[Mode]) -> list[str]:
    """Say that there are several modes: no chain that stays in one of them can."""
    weighty = comparable(modes)
    if len(weighty) < 2:
        return []
    masses = np.exp([mode.log_mass - weighty[0].log_mass for mode in weighty])
    shares = ", ".join(f"{share:.1%}" for share in masses / masses.sum())
    text = (
        f"{len(weighty)} modes were found from {PRIOR_DRAWS} draws of the prior, with about {shares} of the "
        "probability. Chains start in each at random and may never cross, so how many draws each has means "
        "little. If they are one model with its parts exchanged, order them with add_assertion(...); else "
        "narrow the priors, or use Emcee or a nested search and compare."
    )
    return [text]


def _compile(problem: Problem) -> Any:
    import nutpie
    from pytensor.scalar.basic import autocast_float_as

    model = problem.pymc_model
    # PyMC writes numbers such as the 2.0 of its square roots, and PyTensor would make them float32.
    with (
        problem.report.stage("compiling the log density and its gradient"),
        autocast_float_as("float64"),
    ):
        compiled = nutpie.compile_pymc_model(model, var_names=list(problem.plan.names))
    compiled.logp_func.trust_input = True
    return compiled


def _order(compiled: Any) -> list[str]:
    """Return the names of the unconstrained variables in the order of nutpie's vector."""
    names, slices, _ = compiled.shape_info
    return [name for name, place in zip(names, slices, strict=True) if place.stop <= compiled.n_dim]


def _log_density(compiled: Any) -> Any:
    return lambda point: compiled.logp_func(np.ascontiguousarray(point))
