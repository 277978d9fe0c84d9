"""A model in plain data: everything of it that determines a fit's answer, and nothing else.

Two models with equal descriptions are the same model: the same classes with the same parts in the
same order, the same priors, constants and links, the same assertions. Parameters are named by the
first path at which they stand, so that what is shared is part of the description. A prior that was made
of a fit's posterior is described by that fit, not by its numbers.
"""

from __future__ import annotations

from typing import Any

from classy_pm.model import AbstractPrior, Assertion, Collection, Derived, Expression, Layout, Model, Node

__all__ = ["describe"]


def describe(layout: Layout) -> dict[str, Any]:
    """Describe a model.

    Returns
    -------
    dict
        "tree", "parameters" and "assertions"; classes and constants stand in the tree as they are.
    """
    names: dict[Expression, str] = {parameter.prior: parameter.name for parameter in layout.parameters}

    def value(item: Any) -> Any:
        if isinstance(item, Node):
            return node(item)
        if isinstance(item, AbstractPrior):
            return {"parameter": names[item]}
        if isinstance(item, Derived):
            return {"function": item.function.__name__, "operands": [value(part) for part in item.operands]}
        return {"constant": item}

    def node(item: Node) -> dict[str, Any]:
        # Children as pairs, because their order is the order of the parameters.
        children = [[name, value(child)] for name, child in item.children()]
        if isinstance(item, Model):
            return {"model": item.cls, "children": children}
        assert isinstance(item, Collection)
        return {"collection": item._container, "children": children}

    def assertion(item: Assertion) -> list[Any]:
        return [[part.comparison.__name__, value(part.left), value(part.right)] for part in item.parts]

    def determined_by(prior: AbstractPrior) -> dict[str, Any]:
        if prior.origins:
            return {"from": [origin.payload() for origin in prior.origins]}
        arguments = {
            name: value(argument) if isinstance(argument, Expression) else argument
            for name, argument in prior.arguments.items()
        }
        return {"arguments": arguments}

    return {
        "tree": node(layout.root),
        "parameters": [
            [
                parameter.name,
                {
                    "prior": parameter.prior.family,
                    "shape": list(parameter.shape),
                    **determined_by(parameter.prior),
                },
            ]
            for parameter in layout.parameters
        ],
        "assertions": sorted((assertion(item) for _, item in layout.assertions), key=repr),
    }
