"""`JaxJointLogLikelihood`: the likelihoods of a graph of factors, written in `jax.numpy`, as one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from classy_pm.errors import TraceError
from classy_pm.likelihood.evaluate import in_double_precision
from classy_pm.likelihood.jax_groups import TERMS, Group, columns_in_jax, make_groups
from classy_pm.likelihood.jax_likelihood import JaxLogLikelihood, require_jax
from classy_pm.likelihood.joint import JointAnalysis
from classy_pm.model import PlateLayout
from classy_pm.plan import Plan

__all__ = ["JaxJointLogLikelihood"]


class JaxJointLogLikelihood(JaxLogLikelihood):
    """The sum of the log likelihoods of a graph's data sets, and its gradient, compiled by JAX.

    Parameters
    ----------
    plan : Plan
        Of a graph of factors.
    analysis : JointAnalysis
        The log likelihoods in it take JAX's arrays.
    alone : collection of str
        Data sets that are not to be computed side by side with others.

    Raises
    ------
    TraceError
        If JAX cannot trace the likelihoods of some data sets; names them, and the user's line.
    """

    analysis: JointAnalysis

    def __init__(self, plan: Plan, analysis: JointAnalysis, alone: frozenset[str] = frozenset()) -> None:
        super().__init__(plan, analysis)
        assert isinstance(plan.layout, PlateLayout)
        self.layout: PlateLayout = plan.layout
        self.alone = alone
        self.groups = make_groups(plan, analysis, alone)

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "alone": self.alone}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["plan"], state["analysis"], state["alone"])  # type: ignore[misc]
        self.nan_count = state["nan_count"]

    @property
    def names(self) -> tuple[str, ...]:
        """The data sets, group by group."""
        return tuple(name for group in self.groups for name in group.names)

    def each_at(self, vector: np.ndarray) -> np.ndarray:
        """Return the log likelihood of each data set at a vector, group by group, shape (data sets,)."""
        with in_double_precision():
            return np.asarray(self._compiled_each(vector))

    # -- what JAX compiles ------------------------------------------------------------------------

    def function(self, *parameters: Any) -> Any:
        """Return the log likelihood, given JAX's arrays for the free parameters."""
        return require_jax().numpy.sum(self.each(*parameters))

    def each(self, *parameters: Any) -> Any:
        """Return the log likelihood of each data set, group by group."""
        return require_jax().numpy.concatenate(self._of_groups(parameters, Group.values))

    def some(self, group: Group, chosen: Any, *parameters: Any) -> Any:
        """Return the log likelihoods of some data sets of a group, for a vector of where in it they are."""
        return group.some(self._columns(parameters)[group.plate.dim], chosen)

    def terms(self, *parameters: Any) -> Any:
        """Return the pointwise terms of all data sets, in the order of the graph's factors."""
        found = self._of_groups(parameters, lambda group, columns: group.values(columns, TERMS))
        for group, terms in zip(self.groups, found, strict=True):
            if terms.ndim != 2:
                raise TraceError(
                    f"{group.names[0]}: log_likelihood_pointwise returned an array of shape "
                    f"{terms.shape[1:]}, not one number a datum."
                )
        places: dict[str, np.ndarray] = {}
        start = 0
        for group, terms in zip(self.groups, found, strict=True):
            places |= zip(group.names, start + np.arange(terms.size).reshape(terms.shape), strict=True)
            start += terms.size
        order = np.concatenate([places[name] for name in self.analysis.analyses])
        return require_jax().numpy.concatenate([terms.ravel() for terms in found])[order]

    def _of_groups(self, parameters: Sequence[Any], values: Callable[[Group, Any], Any]) -> list[Any]:
        columns = self._columns(parameters)
        found = []
        for group in self.groups:
            try:
                found.append(values(group, columns[group.plate.dim]))
            except TraceError as error:
                raise TraceError(f"{group.names[0]}: {error.message}", error.faults, error.cure) from error
        return found

    def _columns(self, parameters: Sequence[Any]) -> dict[str, Any]:
        columns = columns_in_jax(self.layout, parameters)
        return {plate.dim: of_plate for plate, of_plate in zip(self.layout.plates, columns, strict=True)}

    @cached_property
    def _compiled_each(self) -> Callable[[Any], Any]:
        return self._of_vector(self.each)
