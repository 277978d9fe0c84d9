"""A posterior as the priors of a next fit.

A parameter's prior becomes a distribution of its own around its median; what hangs together stays together:
links, arithmetic, assertions and constants are those of the model that was fitted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from classy_pm.errors import Faults, ModelError, SettingError
from classy_pm.model import (
    AbstractPrior,
    FactorGraphModel,
    GaussianPrior,
    HierarchicalFactor,
    OneFactor,
    Origin,
    PlateLayout,
    UniformPrior,
)
from classy_pm.model.edit import rebuild
from classy_pm.model.expressions import is_number
from classy_pm.model.layout import Layout
from classy_pm.result.samples import Samples

__all__ = ["Chained", "Rule", "centred_graph", "centred_model"]

# A limit beyond this is none: it comes of inverting a distribution function numerically.
LARGEST_LIMIT = 1e300
# How many posterior standard deviations wide the next prior is.
WIDE = 3.0


@dataclass(frozen=True)
class Rule:
    """How a prior is made of a posterior: normal, or uniform where it is "bounded", around the median.

    Parameters
    ----------
    name : {"posterior", "absolute", "relative", "bounded"}
        Where its width comes from: the posterior, the amount, the amount times the median; or the half width
        is the amount.
    amount : float
        Not used of "posterior".

    Raises
    ------
    SettingError
        If the amount is not a number above zero.
    """

    name: Literal["posterior", "absolute", "relative", "bounded"] = "posterior"
    amount: float = WIDE

    def __post_init__(self) -> None:
        if is_number(self.amount) and 0.0 < self.amount < np.inf:
            object.__setattr__(self, "amount", float(self.amount))
            return
        method = f"model_{'' if self.name == 'bounded' else 'centred_'}{self.name}"
        raise SettingError(
            f"{method}({self.amount!r}) has no width: it needs a number above zero.",
            cure=f"Write for example result.{method}(0.1)"
            + (", a tenth of the median." if self.name == "relative" else ", in the parameter's own unit."),
        )


@dataclass(frozen=True)
class Chained:
    """The fit that a model is made of, and how.

    Attributes
    ----------
    samples : Samples
    rule : Rule
    fit : str
        Its identity.
    factor : str
        The data set whose model it is, in a graph of factors.
    """

    samples: Samples
    rule: Rule
    fit: str
    factor: str = ""


def centred_model(layout: Layout, chained: Chained) -> Any:
    """Return the model with priors around the medians, within the old priors' limits.

    A parameter whose prior depends on other parameters keeps that prior: what the fit says of it is in the
    posterior of those.

    Parameters
    ----------
    layout : Layout
        Of the model that was fitted.
    chained : Chained

    Returns
    -------
    Model or Collection

    Raises
    ------
    ModelError
        If a parameter has no width, or no place between its limits; all of them are named.
    """
    centre = _Centre(chained)

    def new_prior(prior: AbstractPrior, arguments: dict[str, Any]) -> AbstractPrior:
        if any(True for _ in prior.inputs()):
            return prior.with_arguments(arguments)
        return centre.of(prior, np.arange(layout.size)[layout.slices[layout.position[prior]]])

    model = rebuild(layout.root, new_prior)
    centre.tell()
    return model


def centred_graph(graph: FactorGraphModel, layout: PlateLayout, chained: Chained) -> Any:
    """Return a graph of factors with such priors likewise.

    What the data sets share they share in the new graph, and what they draw from a parent they draw from it.

    Parameters
    ----------
    graph : FactorGraphModel
        That was fitted.
    layout : PlateLayout
        Of it.
    chained : Chained

    Returns
    -------
    FactorGraphModel

    Raises
    ------
    ModelError
        If a parameter has no width, or no place between its limits; all of them are named.
    """
    centre = _Centre(chained)
    made: dict[AbstractPrior, AbstractPrior] = {}

    def new_prior(prior: AbstractPrior, arguments: dict[str, Any]) -> AbstractPrior:
        made[prior] = _centred(prior, arguments)
        return made[prior]

    def _centred(prior: AbstractPrior, arguments: dict[str, Any]) -> AbstractPrior:
        if any(True for _ in prior.inputs()):
            return prior.with_arguments(arguments)
        # What is drawn from a parent has that prior alone.
        return centre.of(prior, OneFactor.places_of(layout, prior)) if prior in layout.standing else prior

    new = rebuild(graph, new_prior)
    # A parent without parameters is a prior like any other.
    drawn = [
        HierarchicalFactor.of(made[prior], centre.of(parent, OneFactor.places_of(layout, parent)))
        if not any(True for _ in parent.inputs())
        else factor
        for (prior, parent), factor in zip(layout.drawn.items(), new._parents, strict=True)
        if prior in made
    ]
    new._set_factors(new._factors, drawn)
    centre.tell()
    return new


class _Centre:
    """Makes priors of a posterior, and keeps what is wrong with it."""

    def __init__(self, chained: Chained) -> None:
        self.chained = chained
        samples = chained.samples
        self.names = samples.names
        self.medians = np.array(samples.median_pdf_vector)
        # The middle is all that the other rules need: a single point has it.
        posterior = chained.rule.name == "posterior"
        self.deviations = np.array(samples.standard_deviation_vector) if posterior else None
        self.faults = Faults()

    def of(self, prior: AbstractPrior, places: np.ndarray) -> AbstractPrior:
        """Return the prior of a parameter whose numbers are at these places of the vector."""
        rule, medians = self.chained.rule, self.medians[places]
        widths = self._widths(prior, places)
        low, high = _limits(prior)
        outside = (medians < low) | (medians > high)
        if rule.name == "bounded":
            low, high = np.maximum(low, medians - widths), np.minimum(high, medians + widths)
        # Of the many numbers of a long array the first is told.
        for wrong, text in (
            (~(np.isfinite(widths) & (widths > 0.0)), self._no_width()),
            (outside, "has its median beyond the limits of the next prior"),
            (~(low < high), "has a width that is nothing beside its median"),
        ):
            if np.any(wrong):
                self.faults.add(self.names[places[np.argmax(wrong)]], text)
                return prior
        if rule.name == "bounded":
            new = _of_numbers(UniformPrior, prior, lower_limit=low, upper_limit=high)
        else:
            new = _of_numbers(
                GaussianPrior, prior, mean=medians, sigma=widths, lower_limit=low, upper_limit=high
            )
        new.width_modifier, new.chained_limits = prior.width_modifier, prior.chained_limits
        new.made_of(self._origin(prior, self.names[places[0]]))
        return new

    def _widths(self, prior: AbstractPrior, places: np.ndarray) -> np.ndarray:
        medians, rule = self.medians[places], self.chained.rule
        if rule.name == "relative":
            return rule.amount * np.abs(medians)
        if self.deviations is None:
            return np.full(len(places), rule.amount)
        widths = rule.amount * self.deviations[places]
        modifier = prior.width_modifier
        if modifier is None:
            return widths
        return np.fmax(widths, modifier.value * (np.abs(medians) if modifier.kind == "Relative" else 1.0))

    def _no_width(self) -> str:
        if self.chained.rule.name == "relative":
            return "has its median at zero, so that a width relative to it is none"
        return "has no width: its draws do not differ"

    def _origin(self, prior: AbstractPrior, name: str) -> Origin:
        chained, modifier = self.chained, prior.width_modifier
        settings = {"amount": repr(chained.rule.amount)}
        if modifier is not None and chained.rule.name == "posterior":
            settings[f"{modifier.kind} width"] = repr(modifier.value)
        # The prior's own limits are those of the fit, and belong to its identity.
        if prior.chained_limits is not None:
            settings["limits"] = ", ".join(repr(float(limit)) for limit in prior.chained_limits)
        return Origin(chained.fit, name, chained.rule.name, tuple(settings.items()), chained.factor)

    def tell(self) -> None:
        """Raise one error that tells of all parameters of which no prior can be made."""
        cure = "Take the values as constants, result.instance, or a search that samples the posterior."
        if self.chained.rule.name == "posterior":
            cure += " Or give the widths yourself: result.model_centred_absolute(0.1)."
        else:
            cure = "Set the prior of each by hand, or give a width: result.model_centred_absolute(0.1)."
        self.faults.raise_as(ModelError, "This posterior cannot be the prior of another fit.", cure=cure)


def _limits(prior: AbstractPrior) -> tuple[np.ndarray, np.ndarray]:
    """Return the limits of the next prior, for each number of the parameter."""
    limits = prior.chained_limits or prior._support(**prior.numbers())
    size = int(np.prod(prior.shape, dtype=int))
    low, high = (np.broadcast_to(np.ravel(np.asarray(limit, dtype=float)), size) for limit in limits)
    return tuple(
        np.where(np.abs(limit) < LARGEST_LIMIT, limit, np.copysign(np.inf, limit)) for limit in (low, high)
    )  # type: ignore[return-value]


def _of_numbers(family: type[AbstractPrior], prior: AbstractPrior, **numbers: np.ndarray) -> AbstractPrior:
    """Return a prior with these arguments; each number of an array has a distribution of its own."""
    new = family(**{name: float(values[0]) for name, values in numbers.items()})
    if prior.shape:
        each: dict[str, Any] = {
            name: values.reshape(prior.shape) if np.any(values != values[0]) else float(values[0])
            for name, values in numbers.items()
        }
        new = new.with_arguments(each)
        new.shape = prior.shape
    return new
