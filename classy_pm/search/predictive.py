"""Data that the analysis simulates at draws from the prior and the posterior, as groups of the tree.

A group has one variable for each array that is simulated, with the dims chain, draw and its own. So that
the tree stays small, a few hundred draws are taken, fewer of large data.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import xarray as xr

from classy_pm.errors import FitException, LikelihoodError
from classy_pm.likelihood import Analysis
from classy_pm.likelihood.analysis import arrays_in, attribute_at
from classy_pm.likelihood.derived import DerivedQuantities, can_name_a_variable
from classy_pm.plan import Plan
from classy_pm.result import tree as trees

__all__ = ["check_extras", "drawn_variables", "predictive_groups"]

# At how many draws data are simulated, and how many numbers a group may have (80 MB).
NUMBER = 200
MAX_NUMBERS = 10_000_000
# The name of a single array that is simulated.
DATA = "data"
TRIAL_POINTS = 10
_TAKEN = ("chain", "draw", "sample")


def check_extras(plan: Plan, analysis: Analysis) -> None:
    """Call `derived` and `simulate`, where there are any, at a draw from the prior: before a long fit.

    Raises
    ------
    LikelihoodError
        If they return what cannot be kept. What they raise themselves leaves as it is.
    """
    _ = DerivedQuantities(plan, analysis).shapes
    if _simulates(analysis):
        vectors, rng = plan.draws(TRIAL_POINTS, 0), np.random.default_rng(0)
        for _, made in _simulated(plan, analysis, vectors, rng):
            _Collector(analysis).add(made)
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
    quantities, notices = DerivedQuantities(plan, analysis).at(vectors)
    return {**variables, **quantities}, notices


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
    if not _simulates(analysis) or number < 1:
        return {}, []
    groups: dict[str, xr.Dataset] = {}
    notices = []
    for what, simulated in (("prior", _prior_groups), ("posterior", _posterior_groups)):
        try:
            groups.update(simulated(plan, analysis, vectors, rng, number))
        except Exception as error:
            notices.append(
                f"No data were simulated at draws from the {what}: {type(error).__name__}: {error}"
            )
    return groups, notices


def _prior_groups(
    plan: Plan, analysis: Analysis, vectors: np.ndarray, rng: np.random.Generator, number: int
) -> dict[str, xr.Dataset]:
    simulated = _Collector(analysis)
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
    return {
        trees.PRIOR: _dataset(variables, [0], range(len(kept))),
        trees.PRIOR_PREDICTIVE: _dataset(simulated.stacked((1, len(kept))), [0], range(len(kept))),
    }


def _posterior_groups(
    plan: Plan, analysis: Analysis, vectors: np.ndarray, rng: np.random.Generator, number: int
) -> dict[str, xr.Dataset]:
    probe = _Collector(analysis)
    probe.add(analysis.simulate(plan.instance(vectors[0, 0]), rng))
    chains, draws = _spread(vectors.shape[:2], probe.affordable(number))
    chosen = vectors[np.ix_(chains, draws)].reshape(-1, plan.size)
    simulated = _Collector(analysis)
    for _, made in _simulated(plan, analysis, chosen, rng, skip=False):
        simulated.add(made)
    predicted = simulated.stacked((len(chains), len(draws)))
    groups = {trees.POSTERIOR_PREDICTIVE: _dataset(predicted, chains, draws)}
    observed = {name: simulated.observed(name, predicted[name].shape[2:]) for name in predicted}
    arrays = {name: (_dims(name, array.ndim), array) for name, array in observed.items() if array is not None}
    if arrays:
        groups[trees.OBSERVED] = xr.Dataset(arrays)
    return groups


def _simulates(analysis: Analysis) -> bool:
    return type(analysis).simulate is not Analysis.simulate


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


class _Collector:
    """Gathers what `simulate` returns, draw after draw, as arrays by name.

    Of another analysis these are the arrays that differ from the original's at any draw.
    """

    def __init__(self, analysis: Analysis) -> None:
        self.analysis = analysis
        self.original = {name: array.copy() for name, array in arrays_in(analysis)}
        self.rows: dict[str, list[np.ndarray]] = {}
        self.count = 0
        self.unnamed = False

    def affordable(self, number: int) -> int:
        """Return at how many draws data of this size can be kept, at most so many."""
        size = sum(rows[0].size for rows in self.rows.values())
        return min(number, max(1, MAX_NUMBERS // max(1, size)))

    def add(self, made: Any) -> None:
        """Take what was simulated at one draw."""
        given = self._named(made)
        for name in {**self.rows, **given}:
            array = given.get(name, self.original.get(name))
            if name not in self.rows:
                before = self.original.get(name)
                self.rows[name] = [] if before is None else [before] * self.count
            rows = self.rows[name]
            if array is None or len(rows) != self.count:
                raise self._fault(f"returned `{name}` at some draws and not at others")
            if array.dtype.kind not in "biuf":
                raise self._fault(f"returned `{name}` of the type {array.dtype}, which are no real numbers")
            if name in _TAKEN or not can_name_a_variable(name):
                raise self._fault(f"uses the name `{name}`, which data cannot have in a tree")
            if not rows:
                self._check_shape(name, array.shape)
            elif rows[0].shape != array.shape:
                raise self._fault(f"returned `{name}` with the shapes {rows[0].shape} and {array.shape}")
            rows.append(array)
        self.count += 1

    def _named(self, made: Any) -> dict[str, np.ndarray]:
        if made is None:
            raise self._fault("returned None, as a function without `return` does")
        if made is self.analysis:
            raise self._fault("returned the analysis itself; return another, and leave its data as they are")
        if isinstance(made, Analysis):
            return {name: array for name, array in arrays_in(made) if not self._same(name, array)}
        if isinstance(made, dict):
            return {str(name): np.asarray(array) for name, array in made.items()}
        self.unnamed = True
        return {DATA: np.asarray(made)}

    def observed(self, name: str, shape: tuple[int, ...]) -> np.ndarray | None:
        """Return the data that what is simulated stands for, if it has their shape."""
        known = self._attributes_meant(name)
        alike = [array for array in known.values() if array.shape == shape]
        return alike[0] if len(alike) == 1 else None

    def _attributes_meant(self, name: str) -> dict[str, np.ndarray]:
        """Return the attributes that may be meant by a name; all arrays, where none was given."""
        if name in self.original:
            return {name: self.original[name]}
        return {key: array for key, array in self.original.items() if array.ndim and self.unnamed}

    def _check_shape(self, name: str, shape: tuple[int, ...]) -> None:
        """Refuse what has another shape than the attribute that it stands for, where that is known."""
        known = self._attributes_meant(name)
        if len(known) != 1:
            return
        ((attribute, array),) = known.items()
        # Of a masked array there is what is not masked. A table is more than one of its columns.
        masked = isinstance(attribute_at(self.analysis, attribute), np.ma.MaskedArray)
        if shape == array.shape or masked or (name != attribute and len(shape) != array.ndim):
            return
        raise self._fault(
            f"returned an array of shape {shape} for `{attribute}`, which has the shape {array.shape} in the "
            "analysis: one of the two is wrong"
        )

    def _same(self, name: str, array: np.ndarray) -> bool:
        original = self.original.get(name)
        return original is not None and np.array_equal(
            original, array, equal_nan=array.dtype.kind in "fc" and original.dtype.kind in "fc"
        )

    def stacked(self, batch: tuple[int, int]) -> dict[str, np.ndarray]:
        """Return each array, shape (chain, draw, *its own)."""
        if not self.rows:
            raise self._fault("returned the very data of the analysis at every draw")
        return {name: np.reshape(rows, (*batch, *rows[0].shape)) for name, rows in self.rows.items()}

    def _fault(self, text: str) -> LikelihoodError:
        return LikelihoodError(
            f"{type(self.analysis).__name__}.simulate {text}.",
            cure="Return another analysis with simulated data, an array like the data, or a dict of arrays: "
            "by an attribute's name what is like it, by other names anything; the same shapes at all draws.",
        )


def _spread(sizes: tuple[int, ...], number: int) -> tuple[np.ndarray, np.ndarray]:
    """Return chains and draws, evenly spread, at most so many together."""
    chains = np.linspace(0, sizes[0] - 1, min(sizes[0], number)).astype(int)
    each = min(sizes[1], max(1, number // len(chains)))
    return chains, np.linspace(0, sizes[1] - 1, each).astype(int)


def _dataset(variables: dict[str, np.ndarray], chains: Iterable[int], draws: Iterable[int]) -> xr.Dataset:
    return xr.Dataset(
        {name: (["chain", "draw", *_dims(name, array.ndim - 2)], array) for name, array in variables.items()},
        coords={"chain": list(chains), "draw": list(draws)},
    )


def _dims(name: str, count: int) -> list[str]:
    return [f"{name}_dim_{axis}" for axis in range(count)]
