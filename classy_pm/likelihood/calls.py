"""How functions are called: ours by the user, and the user's methods by us; told before anything runs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import wraps
from typing import Any

from classy_pm.errors import Faults, LikelihoodError, SettingError, did_you_mean
from classy_pm.model import AnalysisFactor, FactorGraphModel, HierarchicalFactor, Node

__all__ = ["check_methods", "check_order", "checked_call"]

# What the methods of an analysis are called with.
METHODS = {
    "log_likelihood_function": ("instance",),
    "log_likelihood_gradient": ("instance",),
    "log_likelihood_pointwise": ("instance",),
    "derived": ("instance",),
    "simulate": ("instance", "rng"),
    "save_attributes": ("paths",),
    "visualize": ("paths", "instance"),
}

# What to write for many data sets.
MANY = "Of many data sets: {}(FactorGraphModel(AnalysisFactor(model, analysis), ...))."


def checked_call[**P, R](
    cure: str, explain: Callable[[Any, str, Any], str] | None = None
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Have a call that does not fit the signature say what to write, for functions that users begin with.

    Parameters
    ----------
    cure : str
        The right call.
    explain : callable, optional
        Takes the first argument, of a method its object, and an unknown keyword with its value; returns
        what is known of that keyword, or "".
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)
        # Of a constructor users write the class.
        whole = function.__qualname__
        name = whole.split(".")[-2] if function.__name__ == "__init__" else function.__name__

        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            _refuse_factors(name, (*args, *kwargs.values()))
            try:
                given = signature.bind(*args, **kwargs).arguments
                complete = not (_needed(signature, given) - set(given))
            except TypeError:
                complete = False
            if not complete:
                faults = Faults()
                for argument, text in _faults_of_call(signature, args, kwargs, explain):
                    faults.add(argument, text)
                takes_graphs = "analysis" in signature.parameters and function.__name__ != "__init__"
                many = f" {MANY.format(name)}" if takes_graphs else ""
                raise SettingError(f"{name} cannot be called like this.", faults.lines, f"{cure}{many}")
            return function(*args, **kwargs)

        return call

    return decorate


def _refuse_factors(name: str, values: Iterable[Any]) -> None:
    """Refuse factors, and lists of them, that were not made a graph."""
    for value in values:
        items = value if isinstance(value, (list, tuple)) else [value]
        if any(isinstance(item, (AnalysisFactor, HierarchicalFactor)) for item in items):
            given = "a factor" if items is not value else "factors"
            raise SettingError(
                f"{name} was given {given}, not a graph of factors.",
                cure=f"Write {name}(FactorGraphModel(factor, ...)), or {name}(FactorGraphModel(*factors)).",
            )


def _needed(signature: inspect.Signature, given: Mapping[str, Any]) -> set[str]:
    """Return the arguments that must be given: an analysis for all models but graphs of factors."""
    parameters = signature.parameters
    needed = {name for name, item in parameters.items() if item.default is item.empty}
    graph = isinstance(given.get("model"), FactorGraphModel)
    return needed if graph else needed | ({"analysis"} & set(parameters))


def _faults_of_call(
    signature: inspect.Signature,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    explain: Callable[[Any, str, Any], str] | None,
) -> Iterator[tuple[str, str]]:
    """Yield (argument, fault) for all that is wrong with a call."""
    parameters = signature.parameters
    by_place = [name for name, item in parameters.items() if item.kind is not item.KEYWORD_ONLY]
    by_name = [name for name in parameters if name not in by_place]
    known = [name for name in parameters if name != "self"]
    for name, value in kwargs.items():
        if name not in parameters:
            told = explain(args[0], name, value) if explain and args else ""
            yield name, f"is no argument. {told or did_you_mean(name, known)}"
        elif name in by_place[: len(args)]:
            yield name, "is given twice"
    needed = _needed(signature, {**dict(zip(by_place, args, strict=False)), **kwargs})
    for name in by_place[len(args) :]:
        if name not in kwargs and name in needed:
            yield name, "is missing"
    for place, value in enumerate(args[len(by_place) :]):
        free = by_name[place] if place < len(by_name) else ""
        hint = f"; write {free}={value!r}, if that is what is meant" if free else ""
        yield _shown(value), f"is one argument too many{hint}"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"an object of the class {type(value).__name__}"


def check_order(call: str, model: Any, analysis: Any) -> None:
    """Refuse a model and an analysis that are given in the order of another function.

    Parameters
    ----------
    call : str
        The right call, such as "to_pymc(model, analysis)".
    model, analysis : object
        What was given as the one and as the other.

    Raises
    ------
    SettingError
        If each is in the other's place.
    """
    from classy_pm.likelihood.analysis import Analysis

    if isinstance(model, Analysis) and isinstance(analysis, Node):
        raise SettingError("The model and the analysis are in each other's place.", cure=f"Write {call}.")


def check_methods(analysis: Any, base: type) -> None:
    """Refuse methods that cannot be called as they are going to be.

    Parameters
    ----------
    analysis : Analysis
    base : type
        `Analysis` itself, whose methods are not looked at.

    Raises
    ------
    LikelihoodError
        If a method takes other arguments; all of them are named with what to write.
    """
    faults = Faults()
    right = []
    for name, arguments in METHODS.items():
        method = getattr(analysis, name)
        own = vars(analysis).get(name) if hasattr(analysis, "__dict__") else None
        if getattr(type(analysis), name) is getattr(base, name) and not callable(own):
            continue
        text = _fault_of_method(method, arguments)
        if text:
            faults.add(name, text)
            right.append(f"def {name}(self, {', '.join(arguments)})")
    faults.raise_as(
        LikelihoodError,
        f"Methods of {type(analysis).__name__} cannot be called.",
        cure=f"Write {' and '.join(right)}.",
    )


def _fault_of_method(method: Any, arguments: Iterable[str]) -> str:
    """Return why a method cannot be called with these arguments, or ""."""
    if not callable(method):
        return f"is {method!r}, which is no method"
    try:
        signature = inspect.signature(method)
    except (TypeError, ValueError):  # compiled code that does not tell
        return ""
    arguments = tuple(arguments)
    called = f"and it is called with ({', '.join(arguments)})"
    try:
        bound = signature.bind(*arguments).arguments
    except TypeError:
        taken = [name for name, item in signature.parameters.items() if item.default is item.empty]
        return f"takes {f'({", ".join(taken)})' if taken else 'nothing'} besides self, {called}"
    swapped = any(name in arguments and given != name for name, given in bound.items())
    return f"takes ({', '.join(bound)}) besides self, {called}" if swapped else ""
