"""Data that the analysis simulates at draws from the prior and the posterior, as groups of the tree.

A group has one variable for each array that is simulated, with the dims chain, draw and its own. So that
the tree stays small, a few hundred draws are taken, fewer of large data.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import xarray as xr

from classy_pm.errors import FitException
from classy_pm.likelihood import Analysis
from classy_pm.likelihood.analysis import gives
from classy_pm.likelihood.derived import told
from classy_pm.likelihood.joint_derived import derived_quantities
from classy_pm.plan import Plan
from classy_pm.result import tree as trees
from classy_pm.search.simulated import collector_of

__all__ = ["check_extras", "drawn_variables", "predictive_groups", "variable_dims"]

# At how many draws data are simulated.
NUMBER = 200
TRIAL_POINTS = 10


def check_extras(plan: Plan, analysis: Analysis) -> None:
    """Call `derived` and `simulate`, where there are any, at a draw from the prior: before a long fit.

    Raises
    ------
    LikelihoodError
        If they return what cannot be kept. What they raise themselves leaves as it is.
    """
    _ = derived_quantities(plan, analysis).shapes
    if gives(analysis, "simulate"):
        vectors, rng = plan.draws(TRIAL_POINTS, 0), np.random.default_rng(0)
        for _, made in _simulated(plan, analysis, vectors, rng):
            collector_of(plan, analysis).add(made)
            break


def drawn_variables(
    plan: Plan, analysis: Analysis, vectors: np.ndarray
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Return parameters and all that is derived from them by name, and what went wrong, in words.

    Parameters
    ----------
    plan : Plan
    analysis : Analysis
    vectors : numpy.ndarray, shape (..., size)

    Returns
    -------
    variables : dict of numpy.ndarray, shape (..., *its own)
    notices : list of str
    """
    variables = dict(zip(plan.names, plan.split(vectors), strict=True))
    with np.errstate(all="ignore"):
        for path, derived in plan.derived:
            variables[".".join(path)] = plan.derived_values(derived, vectors)
    quantities, notices = derived_quantities(plan, analysis).at(vectors)
    return {**variables, **quantities}, notices


def variable_dims(plan: Plan, analysis: Analysis) -> dict[str, list[str]]:
    """Return the dims of those variables whose leading axes have names."""
    known = {name: list(dims) for name, dims in plan.dims.items()}
    return {**known, **derived_quantities(plan, analysis).dims}


def predictive_groups(
    plan: Plan, analysis: Analysis, vectors: np.ndarray, rng: np.random.Generator, *, number: int = NUMBER
) -> tuple[dict[str, xr.Dataset], list[str]]:
    """Simulate data at draws from the prior and from the posterior.

    Parameters
    ----------
    plan : Plan
    analysis : Analysis
        If it has no `simulate`, there are no groups.
    vectors : numpy.ndarray, shape (chain, draw, size)
        Draws from the posterior, of equal weight.
    rng : numpy.random.Generator
    number : int
        At how many draws, at most.

    Returns
    -------
    groups : dict of xarray.Dataset
        ``prior``, ``prior_predictive``, ``posterior_predictive`` and ``observed_data``.
    notices : list of str
        What the user's function raised: the draws of the posterior were dear, and are not lost.
    """
    if not gives(analysis, "simulate") or number < 1:
        return {}, []
    groups: dict[str, xr.Dataset] = {}
    notices = []
    for what, simulated in (("prior", _prior_groups), ("posterior", _posterior_groups)):
        try:
            groups.update(simulated(plan, analysis, vectors, rng, number))
        except Exception as error:
            notices.append(
                f"No data were simulated at draws from the {what}: {type(error).__name__}: {told(error)}"
            )
    return groups, notices


def _prior_groups(
    plan: Plan, analysis: Analysis, vectors: np.ndarray, rng: np.random.Generator, number: int
) -> dict[str, xr.Dataset]:
    simulated = collector_of(plan, analysis)
    kept = []
    # Where the instance is impossible there are no data; so some more are drawn.
    for vector, made in _simulated(plan, analysis, plan.draws(2 * number, rng), rng):
        simulated.add(made)
        kept.append(vector)
        if len(kept) >= simulated.affordable(number):
            break
    if not kept:
        raise FitException("none of the draws is possible")
    variables, _ = drawn_variables(plan, analysis, np.array(kept)[np.newaxis])
    dims, coords, draws = variable_dims(plan, analysis), plan.layout.coords, range(len(kept))
    named = {name: (trees.dims_of(name, array.ndim - 2, dims), array) for name, array in variables.items()}
    return {
        trees.PRIOR: _dataset(named, [0], draws, coords),
        trees.PRIOR_PREDICTIVE: _dataset(simulated.stacked((1, len(kept))), [0], draws, coords),
    }


def _posterior_groups(
    plan: Plan, analysis: Analysis, vectors: np.ndarray, rng: np.random.Generator, number: int
) -> dict[str, xr.Dataset]:
    probe = collector_of(plan, analysis)
    probe.add(analysis.simulate(plan.instance(vectors[0, 0]), rng))
    chains, draws = _spread(vectors.shape[:2], probe.affordable(number))
    chosen = vectors[np.ix_(chains, draws)].reshape(-1, plan.size)
    simulated = collector_of(plan, analysis)
    for _, made in _simulated(plan, analysis, chosen, rng, skip=False):
        simulated.add(made)
    predicted = simulated.stacked((len(chains), len(draws)))
    groups = {trees.POSTERIOR_PREDICTIVE: _dataset(predicted, chains, draws, plan.layout.coords)}
    observed = simulated.observed()
    if observed:
        groups[trees.OBSERVED] = xr.Dataset(observed, coords=_used(plan.layout.coords, observed))
    return groups


def _simulated(
    plan: Plan, analysis: Analysis, vectors: np.ndarray, rng: np.random.Generator, *, skip: bool = True
) -> Iterator[tuple[np.ndarray, Any]]:
    """Yield the vectors with what is simulated there; those that raise `FitException` can be skipped."""
    for vector in vectors:
        try:
            with np.errstate(all="ignore"):
                made = analysis.simulate(plan.instance(vector), rng)
        except FitException:
            if not skip:
                raise
            continue
        yield vector, made


def _spread(sizes: tuple[int, ...], number: int) -> tuple[np.ndarray, np.ndarray]:
    """Return chains and draws, evenly spread, at most so many together."""
    chains = np.linspace(0, sizes[0] - 1, min(sizes[0], number)).astype(int)
    each = min(sizes[1], max(1, number // len(chains)))
    return chains, np.linspace(0, sizes[1] - 1, each).astype(int)


def _dataset(
    variables: Mapping[str, tuple[list[str], np.ndarray]],
    chains: Iterable[int],
    draws: Iterable[int],
    coords: Mapping[str, list[str]],
) -> xr.Dataset:
    return xr.Dataset(
        {name: (["chain", "draw", *dims], array) for name, (dims, array) in variables.items()},
        coords={"chain": list(chains), "draw": list(draws), **_used(coords, variables)},
    )


def _used(
    coords: Mapping[str, list[str]], variables: Mapping[str, tuple[list[str], np.ndarray]]
) -> dict[str, list[str]]:
    """Return the coordinates of the dims that some variable has."""
    dims = {dim for own, _ in variables.values() for dim in own}
    return {dim: names for dim, names in coords.items() if dim in dims}
