"""One data set of a graph of factors: its model with its parents, and where in the graph's vector it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from classy_pm.model.edit import rebuild
from classy_pm.model.expressions import Derived
from classy_pm.model.node import Node
from classy_pm.model.plates import PlateLayout
from classy_pm.model.prior import AbstractPrior

__all__ = ["OneFactor"]


@dataclass(frozen=True)
class OneFactor:
    """A data set of a graph, as a model of its own.

    Attributes
    ----------
    model : Node
        Of parameters of its own and shared ones; one that is drawn from a parent has that prior.
    sources : tuple of (int, int or None)
        For each free parameter of the model, in order, the graph's parameter that it is, and which element
        along the plate; None for all of it.
    places : numpy.ndarray of int
        Where in the graph's vector each number of the model's vector is.
    """

    model: Node
    sources: tuple[tuple[int, int | None], ...]
    places: np.ndarray

    @staticmethod
    def as_given(layout: PlateLayout, name: str) -> np.ndarray:
        """Return where in the graph's vector each number of a factor's model is, in the order of its paths.

        That model is the user's: it knows nothing of a `HierarchicalFactor`. What only stands in the prior
        that such a factor replaces is nowhere: -1.
        """
        model = layout.models[name]
        places = [np.arange(0)]
        for parameter in model._layout().parameters:
            prior = layout.drawn.get(parameter.prior, parameter.prior)
            known = prior in layout.standing
            nowhere = np.full(parameter.size, -1)
            places.append(_source(layout, *layout.standing[prior])[1] if known else nowhere)
        return np.concatenate(places)

    @staticmethod
    def places_of(layout: PlateLayout, prior: AbstractPrior) -> np.ndarray:
        """Return where in the graph's vector the numbers of one of the user's parameters are."""
        return _source(layout, *layout.standing[prior])[1]

    @classmethod
    def of(cls, layout: PlateLayout, name: str) -> OneFactor:
        """Take a data set, by its name, out of a graph.

        Parameters
        ----------
        layout : PlateLayout
        name : str
        """
        standing = dict(layout.standing)
        made: dict[Any, Any] = {}

        def own(item: Any) -> Any:
            """Return an expression with parents in the place of what is drawn from them."""
            item = layout.drawn.get(item, item) if isinstance(item, AbstractPrior) else item
            if not isinstance(item, (AbstractPrior, Derived)):
                return item
            if item not in made:
                made[item] = _derived(item) if isinstance(item, Derived) else _prior(item)
            return made[item]

        def _derived(item: Derived) -> Derived:
            operands = tuple(own(part) for part in item.operands)
            same = all(new is old for new, old in zip(operands, item.operands, strict=True))
            return item if same else Derived(item.function, operands)

        def _prior(item: AbstractPrior) -> AbstractPrior:
            arguments = {key: own(value) for key, value in item.arguments.items()}
            if all(arguments[key] is value for key, value in item.arguments.items()):
                return item
            new = item.with_arguments(arguments)
            if item in standing:  # and not the argument of a prior that a parent has replaced
                standing[new] = standing[item]
            return new

        model = rebuild(layout.models[name], lambda prior, _: own(prior))
        return cls(model, *_sources(layout, model, standing))


def _sources(
    layout: PlateLayout, model: Node, standing: Mapping[AbstractPrior, tuple[AbstractPrior, int | None]]
) -> tuple[tuple[tuple[int, int | None], ...], np.ndarray]:
    """Return which of the graph's parameters those of a model are, and where in its vector."""
    found = [_source(layout, *standing[parameter.prior]) for parameter in model._layout().parameters]
    places = np.concatenate([np.arange(0), *(numbers for _, numbers in found)])
    return tuple(source for source, _ in found), places


def _source(
    layout: PlateLayout, whole: AbstractPrior, element: int | None
) -> tuple[tuple[int, int | None], np.ndarray]:
    position = layout.position[whole]
    numbers = np.arange(layout.size)[layout.slices[position]]
    if element is not None:
        numbers = numbers.reshape(layout.parameters[position].shape)[element].ravel()
    return (position, element), numbers
