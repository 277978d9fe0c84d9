"""The posterior density of a graph of factors in parts: what they share, and what is each one's own.

Given what they share, the members of different data sets have nothing to do with each other. So the curvature
is shaped like an arrow, and integrals over all members are products of integrals over one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from classy_pm.model import PlateLayout
from classy_pm.search.arrowhead import Structure

if TYPE_CHECKING:
    from classy_pm.graph.density import Density
    from classy_pm.search.problem import Problem

__all__ = ["Factorised", "Parts"]

# How well, relatively, one data set's part has to stay as it is where the others' parameters change.
TOLERANCE = 1e-9
# The random stream of the draws of the prior among which two possible ones are looked for, and their number.
LOOKING, TRIED = 4000, 20


@dataclass(frozen=True)
class Parts:
    """The log density of a point, in parts whose sum it is.

    Attributes
    ----------
    shared : float
        The prior of what the data sets share.
    each : numpy.ndarray, shape (factors,)
        The prior of each data set's own parameters, given those, and its log likelihood.
    log_likelihoods : numpy.ndarray, shape (factors,)
        The latter alone.
    """

    shared: float
    each: np.ndarray
    log_likelihoods: np.ndarray


class Factorised:
    """Knows the parts of a point on the unconstrained scale, and of its log density.

    Parameters
    ----------
    problem : Problem
        Whose likelihood is a traced one of many data sets.

    Attributes
    ----------
    structure : Structure
        Which numbers of a point the data sets share, and which are each one's own, plate by plate.
    names : list of str
        Of the factors, plate by plate.
    """

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        density, layout = problem.density, problem.plan.layout
        assert isinstance(layout, PlateLayout)
        dims = [layout.dims_of(parameter.prior) for parameter in layout.parameters]
        self.own = {
            plate.dim: [number for number, dim in enumerate(dims) if dim == (plate.dim,)]
            for plate in layout.plates
        }
        self.of_all = [number for number, dim in enumerate(dims) if not dim]
        self.structure = Structure.of_plates(layout, density)
        self.names = list(layout.names_by_plate)
        starts = np.cumsum([0, *(len(plate.names) for plate in layout.plates)])
        start_of = {plate.dim: start for plate, start in zip(layout.plates, starts, strict=False)}
        plates = problem.symbolic.plates
        assert plates is not None
        #: Where in `names` the factors are, in the order of the trace.
        self.order = np.concatenate([start_of[subset.dim] + subset.places for subset in plates.subsets])

    @classmethod
    def of(cls, problem: Problem) -> Factorised | None:
        """Return the parts of a problem's density, or None where it has none: then it is one whole.

        Notes
        -----
        An assertion may bind the members of several data sets, and so may a parameter that is one data set's
        own and that another's depends on: the latter is found out by trying.
        """
        if problem.symbolic.plates is None or problem.plan.layout.assertions:
            return None
        found = cls(problem)
        return found if found._is_right(problem.density) else None

    def __call__(self, point: np.ndarray) -> Parts:
        """Return the parts at a point, shape (size,); -inf where it is impossible."""
        from pymc.logprob.utils import ParameterValueError

        count = len(self.names)
        try:
            shared, priors, traced = self._function(point)
        except ParameterValueError:
            return Parts(-np.inf, np.full(count, -np.inf), np.full(count, -np.inf))
        log_likelihoods = np.empty(count)
        log_likelihoods[self.order] = traced
        each = priors + log_likelihoods
        return Parts(_or_impossible(shared), _or_impossible(each), log_likelihoods)

    @cached_property
    def _function(self) -> Any:
        import pytensor.tensor as pt

        problem = self._problem
        model, plan = problem.pymc_model, problem.plan
        variables = [model[name] for name in plan.names]
        terms = model.logp(variables, jacobian=True, sum=False)
        shared = sum((pt.sum(terms[number]) for number in self.of_all), start=pt.zeros(()))
        priors = []
        for plate, members in zip(plan.layout.plates, self.structure.own, strict=True):  # type: ignore[attr-defined]
            own = [terms[number].reshape((len(members), -1)).sum(axis=1) for number in self.own[plate.dim]]
            priors.append(sum(own, start=pt.zeros(len(members))))
        from pytensor.graph.replace import graph_replace

        plates = problem.symbolic.plates
        assert plates is not None
        inputs = dict(zip(problem.symbolic.inputs, variables, strict=True))
        each = graph_replace(plates.each, inputs, strict=False)
        (each,) = model.replace_rvs_by_values([each])
        return problem.density.function_of([shared, pt.concatenate(priors), each])

    def _is_right(self, density: Density) -> bool:
        """Whether the parts are the whole, and those of a data set depend on no other one's parameters.

        Any two data sets differ in a binary digit of their numbers: once the one changes and the other has
        to stay, and once the other way round.
        """
        count, problem = len(self.names), self._problem
        points = density.points(problem.plan.draws(TRIED, problem.rng(LOOKING)))
        whole = np.array([density.value(point) for point in points])
        possible = np.flatnonzero(np.isfinite(whole))
        if len(possible) < 2:
            return False
        (point, other), expected = points[possible[:2]], whole[possible[0]]
        before = self(point)
        if not np.isclose(before.shared + np.sum(before.each), expected, rtol=1e-8, atol=1e-8):
            return False
        for digit in range(int(count - 1).bit_length()):
            for answer in (0, 1):
                changed = (np.arange(count) >> digit) % 2 == answer
                mixed, start = point.copy(), 0
                for members in self.structure.own:
                    places = members[changed[start : start + len(members)]]
                    mixed[places] = other[places]
                    start += len(members)
                after = self(mixed)
                stays = np.allclose(
                    before.each[~changed], after.each[~changed], rtol=TOLERANCE, atol=TOLERANCE
                )
                alike = np.isclose(before.shared, after.shared, rtol=TOLERANCE, atol=TOLERANCE)
                if not (stays and alike):
                    return False
        return True


def _or_impossible(values: Any) -> Any:
    """Return -inf in the place of what is no number."""
    return np.where(np.isnan(values) | (values == np.inf), -np.inf, values)
