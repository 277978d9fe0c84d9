"""The parent of a population: the distribution of the objects' parameters, and what of it is inferred."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy import special

from classy_pm.errors import Faults, ModelError
from classy_pm.model import AbstractPrior, Collection, Expression, GaussianPrior, Prior
from classy_pm.model.expressions import render
from classy_pm.model.layout import evaluator
from classy_pm.plan import Plan, make_plan

__all__ = ["Parent", "log_density", "quantile", "read_parent", "standard_limits"]

_LOG_ROOT_2PI = 0.5 * np.log(2.0 * np.pi)
CURE = (
    "Write for example parent=cpm.GaussianPrior(mean=cpm.UniformPrior(0.0, 100.0), "
    "sigma=cpm.HalfGaussianPrior(10.0)), or a dict of such priors by the parameters' paths."
)


@dataclass(frozen=True)
class Parent:
    """The distribution of an object's parameters, given hyperparameters.

    Attributes
    ----------
    paths : tuple of str
        The objects' parameters.
    priors : tuple of AbstractPrior
        What each is drawn from. An argument may be arithmetic on the prior of another: then they are
        drawn together.
    hyperparameters : tuple of AbstractPrior
        What is inferred.
    model : Collection
        The model of the hyperparameters.
    """

    paths: tuple[str, ...]
    priors: tuple[AbstractPrior, ...]
    hyperparameters: tuple[AbstractPrior, ...]
    model: Collection

    @cached_property
    def plan(self) -> Plan:
        """The model of the hyperparameters, read."""
        return make_plan(self.model)

    @cached_property
    def names(self) -> dict[AbstractPrior, str]:
        """The names of hyperparameters and of the objects' parameters."""
        named = {item.prior: item.name for item in self.plan.parameters}
        return {**named, **dict(zip(self.priors, self.paths, strict=True))}

    def values(self, instance: Any) -> dict[Expression, Any]:
        """Return the hyperparameters' values in an instance of the model."""
        found: dict[Expression, Any] = {}
        for parameter in self.plan.parameters:
            value = instance
            for name in parameter.path:
                value = value[name]
            found[parameter.prior] = value
        return found

    def values_at(self, vector: Any) -> dict[Expression, Any]:
        """Return the hyperparameters' values at a vector; at several, each is an array."""
        return dict(zip((item.prior for item in self.plan.parameters), self.plan.split(vector), strict=True))

    def log_density(self, values: Mapping[Expression, Any], x: Any) -> Any:
        """Return the log density of objects' parameters.

        Parameters
        ----------
        values : mapping of Expression to float
            Of the hyperparameters.
        x : sequence of numpy.ndarray, each of the same shape
            One array a parameter, in the order of `paths`.

        Returns
        -------
        numpy.ndarray, of that shape
        """
        value_of = evaluator({**values, **dict(zip(self.priors, x, strict=True))})
        total: Any = 0.0
        for prior, value in zip(self.priors, x, strict=True):
            total = total + log_density(prior, value, prior.evaluated_arguments(value_of))
        return total

    def quantiles(self, values: Mapping[Expression, Any], unit: Any) -> list[Any]:
        """Map points of the unit cube, one array a parameter, to draws of the parameters."""
        known = dict(values)
        value_of = evaluator(known)
        for place in self._order:
            prior = self.priors[place]
            known[prior] = quantile(prior, unit[place], prior.evaluated_arguments(value_of))
        return [known[prior] for prior in self.priors]

    def draws(self, vectors: np.ndarray, unit: np.ndarray) -> np.ndarray:
        """Draw from the parent at each of some vectors of hyperparameters.

        Parameters
        ----------
        vectors : numpy.ndarray, shape (vectors, hyperparameters)
        unit : numpy.ndarray, shape (parameters, points)

        Returns
        -------
        numpy.ndarray, shape (vectors, parameters, points)
        """
        with np.errstate(all="ignore"):
            found = [
                np.array([np.broadcast_to(item, unit.shape[1:]) for item in self.quantiles(values, unit)])
                for values in map(self.values_at, vectors)
            ]
        return np.array(found)

    @property
    def _order(self) -> list[int]:
        """The parameters in such an order that each comes after those that it depends on."""
        places = {prior: place for place, prior in enumerate(self.priors)}
        order: list[int] = []
        for place, prior in enumerate(self.priors):
            order += [places[item] for item in _depends_on(prior, places) if places[item] not in order]
            order += [place] if place not in order else []
        return order

    @cached_property
    def text(self) -> dict[str, str]:
        """Each parameter's distribution in words, with hyperparameters by their names."""
        return {
            path: self._in_words(prior, prior.arguments)
            for path, prior in zip(self.paths, self.priors, strict=True)
        }

    @property
    def shown(self) -> dict[str, str]:
        """The same, without limits where there are none."""
        return {
            path: self._in_words(prior, prior.shown_arguments())
            for path, prior in zip(self.paths, self.priors, strict=True)
        }

    def _in_words(self, prior: AbstractPrior, arguments: Mapping[str, Any]) -> str:
        def name_of(item: Expression) -> str | None:
            return self.names.get(item) if isinstance(item, AbstractPrior) else None

        shown = (f"{name}={render(value, name_of)}" for name, value in arguments.items())
        return f"{prior.family}({', '.join(shown)})"


def read_parent(parameters: Any, parent: Any) -> Parent:
    """Read what a user gives as the parameters of a population and their parent.

    Parameters
    ----------
    parameters : str or sequence of str
    parent : prior, or mapping of str to prior

    Raises
    ------
    ModelError
        With all that is wrong with them.
    """
    paths = (parameters,) if isinstance(parameters, str) else tuple(parameters)
    if not paths or not all(isinstance(path, str) for path in paths):
        raise ModelError(
            f"{parameters!r} names no parameters.", cure='Write for example parameters="gaussian.centre".'
        )
    if isinstance(parent, AbstractPrior) and len(paths) == 1:
        parent = {paths[0]: parent}
    if not isinstance(parent, Mapping):
        raise ModelError(f"{parent!r} is no parent of {', '.join(paths)}.", cure=CURE)
    faults = Faults()
    for path in dict.fromkeys(paths):
        if paths.count(path) > 1:
            faults.add(path, "is named twice")
        if path not in parent:
            faults.add(path, "has no parent")
    for path, prior in parent.items():
        if path not in paths:
            faults.add(str(path), "has a parent, and is not among the parameters")
        else:
            _check_prior(faults, path, prior, parent)
    faults.raise_as(ModelError, "The parent of the population cannot be used.", cure=CURE)
    priors = tuple(parent[path] for path in paths)
    found: dict[AbstractPrior, list[str]] = {}
    for path, prior in zip(paths, priors, strict=True):
        for place, hyperparameter in _hyperparameters(prior, priors, _names(path)):
            found.setdefault(hyperparameter, place)
            if any(True for _ in _depends_on(hyperparameter, priors)):
                faults.add(
                    ".".join(place), "is drawn from the parameter of an object; only arithmetic on it can be"
                )
    if not found:
        faults.add(", ".join(paths), "there is nothing to infer: no argument is a prior")
    faults.raise_as(ModelError, "The parent of the population cannot be used.", cure=CURE)
    # What stands in a hyperparameter's arguments alone is found by the layout of the model, and named there.
    inner = {item for prior in found for item in _depends_on(prior, found)}
    model = Collection()
    for prior, place in found.items():
        if prior not in inner:
            _put(model, place, prior)
    read = Parent(paths, priors, tuple(found), model)
    read.plan  # noqa: B018 -- its faults are told now
    return read


def _check_prior(faults: Faults, path: str, prior: Any, parent: Mapping[str, Any]) -> None:
    if not isinstance(prior, AbstractPrior):
        faults.add(path, f"{prior!r} is no prior")
    elif prior.shape:
        faults.add(path, "the parent is an Array; name each element, and give each a parent")
    elif isinstance(prior, Prior):
        faults.add(path, f"{prior!r} is a distribution of PyMC's; a parent is of one of our own families")
    elif next(other for other, item in parent.items() if item is prior) != path:
        faults.add(path, "has the very parent object of another parameter; give it one of its own")


def _names(path: str) -> list[str]:
    """Return the names in a path; an element ``weights[0]`` becomes ``weights_0``."""
    return path.replace("[", "_").replace("]", "").replace(",", "_").split(".")


def _hyperparameters(
    item: Expression, priors: tuple[AbstractPrior, ...], place: list[str]
) -> Iterator[tuple[list[str], AbstractPrior]]:
    """Yield the priors in the arguments of a parent, each with its place; those in theirs first."""
    for role, argument in item.inputs():
        if any(argument is prior for prior in priors):
            continue
        yield from _hyperparameters(argument, priors, [*place, role])
        if isinstance(argument, AbstractPrior):
            yield [*place, role], argument


def _depends_on(item: Expression, wanted: Any) -> Iterator[AbstractPrior]:
    """Yield the wanted priors that an expression depends on, each after those that it depends on itself."""
    for _, argument in item.inputs():
        yield from _depends_on(argument, wanted)
        if isinstance(argument, AbstractPrior) and argument in wanted:
            yield argument


def _put(model: Collection, place: list[str], prior: AbstractPrior) -> None:
    *above, last = place
    node: Any = model
    for name in above:
        if name not in dict(node.children()):
            node[name] = Collection()
        node = node[name]
    node[last] = prior


# -- formulas, such that a graph of them has a gradient: no infinities in what is not chosen ------------


def log_density(prior: AbstractPrior, value: Any, arguments: dict[str, Any]) -> Any:
    """Return the normalised log density of a family at values; -inf outside of the limits."""
    lower, upper = prior._kernel_limits(**arguments)
    value, inside = _inside(value, lower, upper)
    density = prior._log_kernel(value, **arguments) - _log_mass(prior, arguments)
    if inside is not True:
        density = np.where(inside, density, -np.inf)
    return _if_possible(prior, arguments, density, -np.inf)


def _inside(value: Any, lower: Any, upper: Any) -> tuple[Any, Any]:
    """Return values that the kernel can take, and where they are the given ones."""
    inside: Any = True
    for limit, within in ((lower, np.greater_equal), (upper, np.less_equal)):
        if not (_is_number(limit) and np.isinf(limit)):
            inside = within(value, limit) if inside is True else inside & within(value, limit)
    if inside is True or not (_is_number(lower) and _is_number(upper)):
        return value, inside
    if np.isfinite(lower + upper):
        middle = 0.5 * (lower + upper)
    else:
        middle = lower + 1.0 if np.isfinite(lower) else upper - 1.0
    return np.where(inside, value, middle), inside


def _if_possible(prior: AbstractPrior, arguments: dict[str, Any], value: Any, otherwise: float) -> Any:
    names = [*prior.positive, *(prior.ordered or ())]
    if all(_is_number(arguments[name]) for name in names):
        return value
    return np.where(prior.possible(arguments), value, otherwise)


def _log_mass(prior: AbstractPrior, arguments: dict[str, Any]) -> Any:
    if not isinstance(prior, GaussianPrior):
        return prior._log_mass(**arguments)
    low, high = standard_limits(arguments)
    if low is not None and high is not None:
        return prior._log_mass(**arguments)
    mass = np.log(arguments["sigma"]) + _LOG_ROOT_2PI
    if low is not None:
        mass = mass + special.log_ndtr(-low)
    return mass if high is None else mass + special.log_ndtr(high)


def quantile(prior: AbstractPrior, unit: Any, arguments: dict[str, Any]) -> Any:
    """Return the values of a family below which these shares of the probability lie."""
    if not isinstance(prior, GaussianPrior):
        return prior._ppf(unit, **arguments)
    low, high = standard_limits(arguments)
    if low is not None and high is not None:
        return prior._ppf(unit, **arguments)
    if low is not None:
        standard = -special.ndtri_exp(np.log1p(-unit) + special.log_ndtr(-low))
    elif high is not None:
        standard = special.ndtri_exp(np.log(unit) + special.log_ndtr(high))
    else:
        standard = special.ndtri(unit)
    return arguments["mean"] + arguments["sigma"] * standard


def standard_limits(arguments: dict[str, Any]) -> tuple[Any, Any]:
    """Return the limits of a normal distribution in its standard deviations; None where it has none."""

    def standard(limit: Any) -> Any:
        if _is_number(limit) and np.isinf(limit):
            return None
        return (limit - arguments["mean"]) / arguments["sigma"]

    return standard(arguments["lower_limit"]), standard(arguments["upper_limit"])


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, np.floating))
