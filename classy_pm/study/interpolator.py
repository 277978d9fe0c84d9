"""`Interpolator`: objects, or fits, between those that there are along an attribute."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, get_args

import numpy as np
from scipy.interpolate import make_interp_spline

from classy_pm.errors import ClassyError, SettingError, did_you_mean, some_of
from classy_pm.model import AbstractPrior, Node, PlateLayout
from classy_pm.model.edit import rebuild
from classy_pm.model.expressions import is_number
from classy_pm.result import GraphResult, Result
from classy_pm.result.table import PosteriorTable
from classy_pm.result.weighted import summarise
from classy_pm.study.blending import Blender
from classy_pm.study.places import Attribute, Place, checked_place

__all__ = ["Interpolator"]

type Kind = Literal["linear", "cubic"]

# The degree of the spline of each kind: it goes through one point more at least.
DEGREES: dict[str, int] = {"linear": 1, "cubic": 3}
# How many draws of each fit medians and intervals are of.
DRAWS = 10_000
# So many names are told.
NAMED = 5


class Interpolator:
    """Objects between those that there are along one of their attributes, such as a time.

    Parameters
    ----------
    items : iterable
        Objects of one structure, ``result.instance`` or any of the user's own; or results, whose instances
        are taken. In any order.
    kind : {"linear", "cubic"}
        Straight lines between neighbours, or the cubic spline through all (not-a-knot), of four at least.
    extrapolate : bool
        Whether to go beyond the first and the last of them.

    Raises
    ------
    ClassyError
        If there are too few items, or they are not of one structure.

    Notes
    -----
    ``interpolator[interpolator.t == 1.5]`` is the object at ``t = 1.5``; ``interpolator.galaxy.redshift`` is
    an attribute further down. Each float and each array of floats is interpolated. All else, integers too,
    must be the same in all items; along an attribute of integers the new object has the value that was asked
    for.

    Objects are made by their constructors, so that what these compute belongs to the new values; what was
    set on them afterwards is interpolated and set again. Of results the free parameters at the greatest
    log likelihood and the constants are interpolated, and the model makes the objects of them.

    The splines are those of `scipy.interpolate.make_interp_spline`.

    Examples
    --------
    >>> class Star:
    ...     def __init__(self, flux, time):
    ...         self.flux, self.time = flux, time
    ...         self.magnitude = -2.5 * np.log10(flux)
    >>> interpolator = Interpolator([Star(100.0, 0.0), Star(10.0, 2.0)])
    >>> star = interpolator[interpolator.time == 1.0]
    >>> float(star.flux), round(float(star.magnitude), 3)
    (55.0, -4.351)
    """

    def __init__(self, items: Iterable[Any], *, kind: Kind = "linear", extrapolate: bool = False) -> None:
        if kind not in DEGREES:
            raise SettingError(
                f"There is no kind={kind!r} here.", cure=did_you_mean(str(kind), get_args(Kind.__value__))
            )
        if not isinstance(extrapolate, bool):
            raise SettingError(f"extrapolate={extrapolate!r} is neither True nor False.")
        try:
            self._items = list(items)
        except TypeError:
            raise SettingError(
                f"{items!r} is no list of objects.", cure="Write Interpolator([a, b, c])."
            ) from None
        self._kind, self._extrapolate = kind, extrapolate
        least = DEGREES[kind] + 1
        if len(self._items) < least:
            raise SettingError(
                f"{kind} interpolation needs {least} items at least, and there are {len(self._items)}.",
                cure='Give more, or write kind="linear".' if len(self._items) > 1 else "Give more.",
            )
        self._results = _results_of(self._items)
        self._instances = [result.instance for result in self._results] or self._items

    def __getattr__(self, name: str) -> Attribute:
        if name.startswith("_"):
            raise AttributeError(name)
        return Attribute(name)

    def __getitem__(self, place: Any) -> Any:
        """Return the object at a value of an attribute.

        Parameters
        ----------
        place : comparison
            ``interpolator.t == 1.5``.

        Raises
        ------
        ClassyError
            If it is not between the items, if two items have the same value of the attribute, if something
            cannot be interpolated, or if no such object is possible; all faults at once.
        """
        weights = self._weights(checked_place(place))
        blender = Blender(lambda values: np.tensordot(weights, values, axes=1)[()], place.path, place.value)
        if self._results:
            return self._of_results(place, blender)
        try:
            made = blender.of(self._instances)
        except RecursionError:
            raise ClassyError(
                "These objects contain themselves, and cannot be interpolated.",
                cure="Give those parts of them that do not.",
            ) from None
        blender.tell()
        return made

    def summary(self, place: Any) -> PosteriorTable:
        """Return what the fits say of each free parameter at a value of an attribute.

        The interpolated value is a sum of the fits' values with weights, so that mean and standard
        deviation are exact; medians and intervals are of sums of draws. The error of the interpolation
        itself is not in it.

        Parameters
        ----------
        place : comparison
            ``interpolator.t == 1.5``.

        Returns
        -------
        pandas.DataFrame
            A row a free parameter: mean, sd, median, lower_1_sigma, upper_1_sigma, lower_3_sigma and
            upper_3_sigma.

        Raises
        ------
        ClassyError
            If the items are not results with errors, or not independent of one another.
        """
        weights = self._weights(checked_place(place))
        self._check_independent()
        rng = np.random.default_rng(0)
        all_samples = [result.samples for result in self._results]
        _ = self._common_plan()
        drawn = [samples.drawn_randomly(DRAWS, random_seed=rng).vectors for samples in all_samples]
        table = summarise(np.tensordot(weights, drawn, axes=1))
        table["mean"] = weights @ np.array([samples.mean_vector for samples in all_samples])
        deviations = np.array([samples.standard_deviation_vector for samples in all_samples])
        table["sd"] = np.sqrt(weights**2 @ deviations**2)
        names = all_samples[0].names
        return PosteriorTable.from_rows(
            {
                name: {key: float(column[row]) for key, column in table.items()}
                for row, name in enumerate(names)
            }
        )

    # -- along what ---------------------------------------------------------------------------------

    def _weights(self, place: Place) -> np.ndarray:
        """Return with which weight the value of each item counts at a place."""
        values = self._values_of(place)
        order = np.argsort(values, kind="stable")
        at = values[order]
        equal = np.flatnonzero(np.diff(at) == 0.0)
        if equal.size:
            where = [int(number) for number in sorted(order[[equal[0], equal[0] + 1]])]
            raise ClassyError(
                f"Items {where[0]} and {where[1]} both have {place.name} = {at[equal[0]]:g}.",
                cure="Leave one of them out.",
            )
        if not self._extrapolate and not at[0] <= place.value <= at[-1]:
            raise ClassyError(
                f"{place.name} = {place.value:g} is not between {at[0]:g} and {at[-1]:g}.",
                cure="Write Interpolator(items, extrapolate=True), if the values are known to go on so.",
            )
        # What is linear in the values is known by what it makes of one at each item and zero at the others.
        spline = make_interp_spline(at, np.eye(len(at)), k=DEGREES[self._kind])
        weights = np.empty(len(at))
        weights[order] = spline(place.value)
        exactly = values == place.value
        return np.where(exactly, 1.0, 0.0) if np.any(exactly) else weights

    def _values_of(self, place: Place) -> np.ndarray:
        found = []
        for number, instance in enumerate(self._instances):
            value = instance
            for depth, name in enumerate(place.path, 1):
                try:
                    value = getattr(value, name)
                except AttributeError:
                    known = getattr(value, "__dict__", {})
                    raise ClassyError(
                        f"Item {number} has no attribute `{'.'.join(place.path[:depth])}`.",
                        cure=did_you_mean(name, known),
                    ) from None
            if not is_number(value) or not np.isfinite(float(value)):
                raise ClassyError(
                    f"{place.name} of item {number} is {value!r}, along which nothing can be interpolated.",
                    cure="It is a finite number in each of them.",
                )
            found.append(float(value))
        return np.array(found)

    # -- results -------------------------------------------------------------------------------------

    def _common_plan(self) -> Any:
        """Return the plan of the first result; all must have the same parameters and classes."""
        plans = [result._plan for result in self._results]
        first = plans[0]
        for number, plan in enumerate(plans[1:], 1):
            other = set(plan.element_names) ^ set(first.element_names)
            if other or plan.element_names != first.element_names:
                told = some_of(sorted(other), NAMED) or "another order"
                raise ClassyError(
                    f"The models of items 0 and {number} have not the same free parameters: {told}.",
                    cure="Give results of one model.",
                )
            components = [plan.layout.components for plan in (first, plan)]
            constants = [[path for path, _ in plan.layout.constants] for plan in (first, plan)]
            if components[0] != components[1] or constants[0] != constants[1]:
                raise ClassyError(
                    f"The models of items 0 and {number} are not of the same classes and constants.",
                    cure="Give results of one model.",
                )
        return first

    def _of_results(self, place: Place, blender: Blender) -> Any:
        plan = self._common_plan()
        vectors = np.array([result.samples.max_log_likelihood_vector for result in self._results])
        vector = blender.between(vectors)
        if (name := place.name) in plan.element_names:
            vector[plan.element_names.index(name)] = place.value
        constants = [[value for _, value in result._plan.layout.constants] for result in self._results]
        paths = [path for path, _ in plan.layout.constants]
        blended = {
            path: blender.of(values, path)
            for path, values in zip(paths, zip(*constants, strict=True), strict=True)
        }
        blender.tell()
        model = rebuild(plan.layout.root, lambda prior, _: prior)
        for path, value in blended.items():
            part = model
            for name in path[:-1]:
                part = part[name]
            part._set(path[-1], value)
        self._check_possible(place, plan, vector)
        return model.instance_from_vector(vector, ignore_assertions=True)

    def _check_possible(self, place: Place, plan: Any, vector: np.ndarray) -> None:
        """Refuse parameters that none of the fits allows."""
        plans = [result._plan for result in self._results]
        lower = np.min([each.limits[0] for each in plans], axis=0)
        upper = np.max([each.limits[1] for each in plans], axis=0)
        beyond = [
            f"{name} = {value:.6g}"
            for name, value, low, high in zip(plan.element_names, vector, lower, upper, strict=True)
            if not low <= value <= high and name != place.name
        ]
        if beyond:
            raise ClassyError(
                f"At {place.name} = {place.value:g} {some_of(beyond, NAMED)} would be beyond the limits of "
                "the priors of all these fits.",
                cure='Write kind="linear", or do not extrapolate.',
            )
        if not all(each.layout.assertions_hold(vector) for each in plans):
            raise ClassyError(
                f"At {place.name} = {place.value:g} an assertion of the model would not hold.",
                cure='Write kind="linear", or do not extrapolate.',
            )

    def _check_independent(self) -> None:
        """Refuse what has no errors, or errors that are not independent."""
        if not self._results:
            raise ClassyError(
                "These are objects, which have no errors.", cure="Give the results of the fits."
            )
        for number, result in enumerate(self._results):
            if result.kind == "optimum":
                raise ClassyError(
                    f"Item {number} is a single best point: it has no errors.",
                    cure="Fit with a search that samples the posterior, such as NUTS().",
                )
            origins = [prior for prior in _priors(result._model) if prior.origins]
            if origins:
                raise ClassyError(
                    f"The priors of item {number} are made of another fit: the errors of these fits may have "
                    "the same data in them, and cannot be taken for independent.",
                    cure="Fit each with priors that no data are in.",
                )
        if len({result.identifier for result in self._results}) < len(self._results):
            raise ClassyError(
                "Some of these are results of one fit: their errors are not independent.",
                cure="Take result.idata of that fit, whose draws are of all its data sets together.",
            )

    def __repr__(self) -> str:
        what = "results" if self._results else "objects"
        return f"Interpolator({len(self._items)} {what}, kind={self._kind!r})"


def _results_of(items: list[Any]) -> list[Result]:
    results = [item for item in items if isinstance(item, Result)]
    if results and len(results) < len(items):
        raise SettingError(
            f"{len(results)} of {len(items)} items are results, and the others are not.",
            cure="Give results, or the instance of each.",
        )
    for number, item in enumerate(items):
        if isinstance(item, Node):
            raise SettingError(
                f"Item {number} is a model, not an object.", cure="Give results, or result.instance of each."
            )
        if isinstance(item, GraphResult) and isinstance(item._plan.layout, PlateLayout):
            raise SettingError(
                f"Item {number} is the result of a graph of factors.",
                cure="Give the results of its data sets: Interpolator(list(result)).",
            )
    return results


def _priors(model: Any) -> Iterable[AbstractPrior]:
    return (parameter.prior for parameter in model._layout().parameters)
