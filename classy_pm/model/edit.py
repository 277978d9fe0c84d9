"""Models made of models: copies, parts, and values taken from elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from classy_pm.errors import Faults, ModelError
from classy_pm.model.collection import Collection, Instance
from classy_pm.model.expressions import Assertion, Derived, Expression
from classy_pm.model.factors import AnalysisFactor, FactorGraphModel, HierarchicalFactor
from classy_pm.model.model import Model
from classy_pm.model.node import Node, Path
from classy_pm.model.prior import AbstractPrior, MissingPrior
from classy_pm.model.signature import REQUIRED, read_signature

__all__ = [
    "from_instance",
    "rebuild",
    "take_attributes",
    "with_part",
    "with_paths",
    "with_priors",
    "without_paths",
]


class Copier:
    """Copies expressions, each once: what is shared in the original is shared in the copy.

    Parameters
    ----------
    new_prior : callable
        Gives the prior that stands for one of the original, whose arguments are copied already.
    """

    def __init__(self, new_prior: Callable[[AbstractPrior, dict[str, Any]], Any]) -> None:
        self.new_prior = new_prior
        self.made: dict[Expression, Any] = {}

    def expression(self, item: Any) -> Any:
        """Return the copy of an expression; anything else as it is."""
        if not isinstance(item, Expression):
            return item
        if item not in self.made:
            if isinstance(item, Derived):
                self.made[item] = Derived(
                    item.function, tuple(self.expression(part) for part in item.operands)
                )
            else:
                assert isinstance(item, AbstractPrior)
                arguments = {name: self.expression(value) for name, value in item.arguments.items()}
                self.made[item] = self.new_prior(item, arguments)
        return self.made[item]

    def assertion(self, item: Assertion) -> Assertion:
        """Return the copy of an assertion."""
        parts = [
            Assertion(part.comparison, self.expression(part.left), self.expression(part.right))
            for part in item.parts
        ]
        parts[0].others = tuple(parts[1:])
        return parts[0]


def rebuild(root: Node, new_prior: Callable[[AbstractPrior, dict[str, Any]], Any]) -> Any:
    """Return a model of the same structure with other priors; links and assertions are kept.

    Parameters
    ----------
    root : Model or Collection
    new_prior : callable
        Takes a prior and its arguments, already replaced, and gives what stands in its place.
    """
    copier = Copier(new_prior)
    nodes: dict[int, Node] = {}

    def copied(node: Node) -> Node:
        if id(node) not in nodes:
            new = empty_like(node)
            nodes[id(node)] = new
            for name, child in node.children():
                new._set(name, copied(child) if isinstance(child, Node) else copier.expression(child))
            for label, assertion in node._assertions:
                new._assertions.append((label, copier.assertion(assertion)))
        return nodes[id(node)]

    new_root = copied(root)
    if isinstance(root, FactorGraphModel):
        pairs = [tuple(map(copier.expression, pair)) for pair in root.drawn_from().items()]
        parents = [HierarchicalFactor.of(*pair) for pair in pairs]
        new_root._set_factors(_factors_of(root, new_root), parents)
    return new_root


def with_priors(root: Node, instead: Mapping[AbstractPrior, AbstractPrior]) -> Any:
    """Return a model of the same structure in which some priors give way to others, wherever they stand."""

    def new_prior(prior: AbstractPrior, arguments: dict[str, Any]) -> AbstractPrior:
        if prior in instead:
            return instead[prior]
        # What depends on no other parameter can stand in both models.
        return prior.with_arguments(arguments) if any(True for _ in prior.inputs()) else prior

    return rebuild(root, new_prior)


def with_part(root: Collection, name: str, part: Node) -> Any:
    """Return a collection with one part more; all others are the same."""
    new = empty_like(root)
    for own, child in root.children():
        new._set(own, child)
    new._assertions.extend(root._assertions)
    new._set(name, part)
    return new


def _factors_of(graph: FactorGraphModel, new: Any) -> dict[str, AnalysisFactor]:
    """Return the factors of a graph with the models of another."""
    return {
        name: AnalysisFactor(child, graph._factors[name].analysis, graph._factors[name].name)
        for name, child in new.children()
        if name in graph._factors
    }


def empty_like(node: Node) -> Node:
    """Return a part of the same class without children or assertions."""
    new = object.__new__(type(node))
    Node.__init__(new)
    if isinstance(node, Model):
        object.__setattr__(new, "_cls", node._cls)
        object.__setattr__(new, "_extras", list(node._extras))
    elif isinstance(node, Collection):
        object.__setattr__(new, "_container", node._container)
    if isinstance(node, FactorGraphModel):
        new._set_factors(node._factors, node._parents)
    return new


# -- parts -----------------------------------------------------------------------------------------


def with_paths(root: Node, paths: Iterable[Path | str]) -> Any:
    """Return the model with these paths alone; see `Node.with_paths`."""
    wanted = _as_paths(root, paths)
    return _selected(root, lambda path: any(path[: len(p)] == p for p in wanted))


def without_paths(root: Node, paths: Iterable[Path | str]) -> Any:
    """Return the model without these paths; see `Node.without_paths`."""
    unwanted = _as_paths(root, paths)
    return _selected(root, lambda path: not any(path[: len(p)] == p for p in unwanted))


def _as_paths(root: Node, paths: Iterable[Path | str]) -> list[Path]:
    from classy_pm.model.layout import walk

    given = [tuple(path.split(".")) if isinstance(path, str) else tuple(path) for path in paths]
    known = {path for path, _ in walk(root)}
    missing = [f"{'.'.join(path)}: is not in the model" for path in given if path not in known]
    if missing:
        raise ModelError("The model has no such paths.", missing, cure="model.paths lists its parameters.")
    return given


def _selected(root: Node, keep: Callable[[Path], bool]) -> Any:
    from classy_pm.model.layout import walk

    pairs: list[tuple[Node, Node]] = []

    def selected(node: Node, path: Path) -> Node | None:
        if not any(keep(below) for below, item in walk(node, path) if not isinstance(item, Node)):
            return None
        new = empty_like(node)
        for name, child in node.children():
            here = (*path, name)
            if isinstance(child, Node):
                part = selected(child, here)
                if part is not None:
                    new._set(name, part)
                    continue
            elif keep(here):
                new._set(name, child)
                continue
            if isinstance(node, Model) and isinstance(new, Model):
                if name in new._extras:
                    new._extras.remove(name)
                else:
                    new._set(name, _constructor_default(node, name, here))
        pairs.append((node, new))
        return new

    found = selected(root, ())
    if found is None:
        raise ModelError("Nothing of the model is left.", cure="model.paths lists its parameters.")
    # An assertion may speak of parameters of other parts, so that these must all be there.
    kept = {prior for expression in _expressions(found) for prior in _priors_under(expression)}
    if isinstance(root, FactorGraphModel):
        # What is drawn of other parts is gone with them.
        drawn = dict(_drawn_of(root.drawn_from(), kept))
        kept.update(prior for parent in drawn.values() for prior in _priors_under(parent))
        parents = [HierarchicalFactor.of(*pair) for pair in drawn.items()]
        found._set_factors(_factors_of(root, found), parents)
    for node, new in pairs:
        for label, assertion in node._assertions:
            if all(kept.issuperset(_priors_under(side)) for _, side in assertion.inputs()):
                new._assertions.append((label, assertion))
    return found


def _drawn_of(
    drawn: dict[AbstractPrior, AbstractPrior], kept: set[AbstractPrior]
) -> Iterator[tuple[AbstractPrior, AbstractPrior]]:
    """Yield those pairs of a parameter and its parent that parameters or their parents depend on."""
    waiting, seen = [prior for prior in drawn if prior in kept], set()
    while waiting:
        prior = waiting.pop(0)
        if prior not in seen:
            seen.add(prior)
            yield prior, drawn[prior]
            waiting += [other for other in _priors_under(drawn[prior]) if other in drawn]


def _expressions(node: Node) -> Iterable[Expression]:
    from classy_pm.model.layout import walk

    for _, item in walk(node):
        if isinstance(item, Expression):
            yield item


def _priors_under(expression: Expression) -> Iterator[AbstractPrior]:
    """Yield the priors that an expression's value depends on, itself among them."""
    if isinstance(expression, AbstractPrior):
        yield expression
    for _, other in expression.inputs():
        yield from _priors_under(other)


def _constructor_default(model: Model, name: str, path: Path) -> Any:
    for argument in read_signature(model.cls).arguments:
        if argument.name == name and argument.default is not REQUIRED:
            return argument.default
        if name in argument.elements and isinstance(argument.default, tuple):
            return argument.default[argument.elements.index(name)]
    raise ModelError(
        f"`{'.'.join(path)}` cannot be left out: {model._title()} has no default for it.",
        cure="Fix it instead: model.x = 1.0.",
    )


# -- values from elsewhere -------------------------------------------------------------------------


def take_attributes(root: Node, source: Any) -> None:
    """Set every parameter and constant that the source has under the same path."""
    faults = Faults()
    _take_attributes(root, source, (), faults)
    faults.raise_as(ModelError, "Some attributes cannot be taken; all others were.")


def _take_attributes(root: Node, source: Any, path: Path, faults: Faults) -> None:
    for name, child in list(root.children()):
        try:
            value = source._get(name) if isinstance(source, Node) else getattr(source, name)
        except AttributeError:
            value = _element(source, name)
        if value is REQUIRED or isinstance(value, MissingPrior):
            continue
        if isinstance(child, Node):
            _take_attributes(child, value, (*path, name), faults)
            continue
        try:
            if isinstance(child, Expression) and (value is None or isinstance(value, (str, bytes, bool))):
                raise ModelError(f"{value!r} is neither a number nor a prior")
            root[name] = value
        except ModelError as error:
            faults.add(".".join((*path, name)), error.message)


def _element(source: Any, name: str) -> Any:
    """Return ``centre[0]`` of an object for ``centre_0``, or an item of a list or dict."""
    if isinstance(source, (list, tuple)) and name.isdecimal() and int(name) < len(source):
        return source[int(name)]
    if isinstance(source, dict):
        return source.get(name, REQUIRED)
    whole, _, index = name.rpartition("_")
    values = getattr(source, whole, None) if whole and index.isdecimal() else None
    if isinstance(values, (tuple, list)) and int(index) < len(values):
        return values[int(index)]
    return REQUIRED


def from_instance(instance: Any, free: tuple[type, ...] = ()) -> Any:
    """Return the model of an object; see `Model.from_instance`."""
    if isinstance(instance, Instance):
        return Collection({name: from_instance(part, free) for name, part in instance.items()})
    if type(instance) in (list, tuple):
        return type(instance)(from_instance(part, free) for part in instance)
    if isinstance(instance, dict):
        return {name: from_instance(part, free) for name, part in instance.items()}
    cls = type(instance)
    if cls.__module__ == "builtins" or cls.__module__.partition(".")[0] == "numpy":
        return instance
    model = Model(cls)
    if isinstance(instance, free):
        return model
    for argument in read_signature(model.cls).arguments:
        if not hasattr(instance, argument.name):
            raise ModelError(
                f"{cls.__name__} has no attribute `{argument.name}`: an object does not tell its value.",
                cure=f"Keep the argument as self.{argument.name}, or write Model({cls.__name__}, ...).",
            )
        model._assign(argument.name, from_instance(getattr(instance, argument.name), free))
    for name, value in getattr(instance, "__dict__", {}).items():
        if name not in model._children and not name.startswith("_") and model._argument(name) is None:
            model.add_attribute(name, from_instance(value, free))
    return model
