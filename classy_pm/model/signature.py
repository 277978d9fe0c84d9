"""Reading a class: which arguments its constructor takes, and which of them are parameters.

The annotation decides (seen through `Optional`, `Annotated`, `NewType` and ``type`` aliases), and where
there is none, or one that cannot be resolved, the default:

- `float` (or no annotation and no default, or a float default): a parameter;
- a tuple of floats: a parameter an element, ``centre`` giving ``centre_0`` and ``centre_1``;
- a class of the user's without a default: a model of that class;
- all else (integers, booleans, strings, None, arrays, lists): a constant, with its default.

A constructor that takes ``**kwargs`` and hands them to ``super().__init__`` has the arguments of
the next constructor along the class's bases as well.
"""

from __future__ import annotations

import functools
import inspect
import types
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, Literal, Union

import numpy as np

from classy_pm.errors import ModelError
from classy_pm.model.expressions import is_number
from classy_pm.model.prior import AbstractPrior

__all__ = ["REQUIRED", "Argument", "Signature", "endless_nesting", "read_signature"]

REQUIRED: Any = inspect.Parameter.empty

# The hint of an annotation that cannot be read: the default decides, and no default is a constant.
_UNKNOWN: Any = object()

Kind = Literal["parameter", "tuple", "model", "constant"]


@dataclass(frozen=True)
class Argument:
    """One argument of a constructor.

    Attributes
    ----------
    name : str
    kind : {"parameter", "tuple", "model", "constant"}
        What stands at this argument when the user says nothing.
    default : object
        The constructor's default, or `REQUIRED`.
    elements : tuple of str
        The names of a tuple's numbers.
    prior : AbstractPrior or None
        The default prior that the class gives in its `Annotated` type.
    element_priors : tuple of (AbstractPrior or None)
        Those of a tuple's numbers.
    is_float : bool
        Whether the class says, by annotation or default, that a parameter is a number.
    component : type or None
        The class of a nested model.
    positional : bool
        Whether it is handed over by position.
    """

    name: str
    kind: Kind
    default: Any = REQUIRED
    elements: tuple[str, ...] = ()
    prior: AbstractPrior | None = None
    element_priors: tuple[AbstractPrior | None, ...] = ()
    is_float: bool = False
    component: type | None = None
    positional: bool = True


@dataclass(frozen=True)
class Signature:
    """What a constructor takes, in its own order.

    Attributes
    ----------
    arguments : tuple of Argument
    takes_any_keyword : bool
        Whether unknown keywords are handed to the constructor rather than set as attributes.
    """

    arguments: tuple[Argument, ...]
    takes_any_keyword: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The names that can be set: arguments, and the elements of tuples."""
        return tuple(name for argument in self.arguments for name in (argument.name, *argument.elements))


def read_signature(cls: Callable[..., Any]) -> Signature:
    """Read the constructor of a class, or the arguments of a function.

    Raises
    ------
    ModelError
        If the class cannot be read (some built-in types have no signature).
    """
    try:
        hash(cls)
    except TypeError:  # an object that can be called, and compared by value
        return _read(cls)
    return _read_once(cls)


def _read(cls: Callable[..., Any]) -> Signature:
    if isinstance(cls, np.ufunc):
        raise ModelError(
            f"np.{cls.__name__} has no named parameters.",
            cure=f"Write arithmetic, np.{cls.__name__}(prior), or a function that calls it.",
        )
    functions = list(_constructors(cls)) if inspect.isclass(cls) else [cls]
    arguments: dict[str, Argument] = {}
    takes_any = False
    try:
        for index, function in enumerate(functions):
            hints = _hints(function)
            if inspect.isclass(cls):
                known = {name: hint for name, hint in hints.items() if hint is not _UNKNOWN}
                hints = {**hints, **_class_hints(cls), **known}
            takes_any = False
            parameters = list(inspect.signature(function).parameters.values())
            for parameter in parameters[1 if inspect.isclass(cls) else 0 :]:
                if parameter.kind is parameter.VAR_KEYWORD:
                    takes_any = True
                elif parameter.kind is not parameter.VAR_POSITIONAL and parameter.name not in arguments:
                    by_position = index == 0 and parameter.kind is not parameter.KEYWORD_ONLY
                    hint = hints.get(parameter.name)
                    arguments[parameter.name] = _argument(
                        parameter.name, hint, parameter.default, by_position
                    )
            if not takes_any:
                break
    except (ValueError, TypeError) as error:
        raise ModelError(
            f"{cls!r} cannot be a model: the arguments of its constructor cannot be read ({error}).",
            cure="Give a class whose __init__ is written in Python, or a function.",
        ) from error
    return Signature(tuple(arguments.values()), takes_any)


_read_once = lru_cache(maxsize=4096)(_read)


@lru_cache(maxsize=4096)
def endless_nesting(component: type, above: tuple[type, ...] = ()) -> tuple[type, ...]:
    """Return the classes that need one another as arguments in a circle, if this class leads to any."""
    if component in above:
        return (*above[above.index(component) :], component)
    for argument in read_signature(component).arguments:
        if argument.component is not None:
            circle = endless_nesting(argument.component, (*above, component))
            if circle:
                return circle
    return ()


def _constructors(cls: type) -> Iterator[Callable[..., Any]]:
    """Yield the constructors that a chain of ``super().__init__(**kwargs)`` runs through."""
    for base in cls.__mro__:
        if base is object:
            continue
        if "__init__" in vars(base):
            yield vars(base)["__init__"]
        elif "__new__" in vars(base) and base.__module__ != "typing":
            yield getattr(base.__new__, "__func__", base.__new__)


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    if isinstance(function, functools.partial):
        return _hints(function.func)
    if not (inspect.isroutine(function) or inspect.isclass(function) or hasattr(function, "__wrapped__")):
        # An object that can be called: its own annotations are those of its attributes.
        function = type(function).__call__
    try:
        return typing.get_type_hints(function, include_extras=True)
    except Exception:
        # A name known to type checkers alone makes all hints fail: take those that can be resolved.
        return _resolvable(function, getattr(function, "__globals__", {}))


def _class_hints(cls: type) -> dict[str, Any]:
    try:
        return typing.get_type_hints(cls, include_extras=True)
    except Exception:
        return {}


def _resolvable(function: Callable[..., Any], namespace: dict[str, Any]) -> dict[str, Any]:
    hints = {}
    for name, hint in getattr(function, "__annotations__", {}).items():
        probe = types.SimpleNamespace(__annotations__={name: hint}, __module__=None)
        try:
            hints.update(typing.get_type_hints(probe, globalns=namespace, include_extras=True))
        except Exception:
            hints[name] = _UNKNOWN
    return hints


def _argument(name: str, hint: Any, default: Any, positional: bool) -> Argument:
    read = _read_hint(hint)
    hint, prior, optional = read.hint, read.prior, read.optional

    def argument(kind: Kind, **more: Any) -> Argument:
        return Argument(name, kind, default, prior=prior, positional=positional, **more)

    length, element_priors = _tuple_of(hint, default)
    is_tuple = length > 0 and (prior is None or not prior.shape)
    has_prior = prior is not None and not (default is None and read.optional_prior)
    if has_prior and not is_tuple:
        return argument("parameter", is_float=True)
    if not has_prior and (default is None or (optional and default is REQUIRED)):
        return argument("constant")
    if is_tuple:
        return argument(
            "tuple",
            elements=tuple(f"{name}_{index}" for index in range(length)),
            element_priors=tuple(prior if own is None else own for own in element_priors),
        )
    if hint is None or hint is _UNKNOWN:
        is_parameter = _is_float(default) or (default is REQUIRED and hint is None)
        return argument("parameter" if is_parameter else "constant", is_float=_is_float(default))
    if _is_float_type(hint):
        is_parameter = default is REQUIRED or is_number(default)
        return argument("parameter" if is_parameter else "constant", is_float=is_parameter)
    if default is REQUIRED and _is_component(hint):
        return argument("model", component=hint)
    return argument("constant")


@dataclass(frozen=True)
class _Hint:
    """What an annotation says: the type itself, and what is written around it."""

    hint: Any
    prior: AbstractPrior | None = None
    optional: bool = False
    optional_prior: bool = False  # the prior is that of a value which may as well not be there


def _read_hint(hint: Any) -> _Hint:
    """Look through `Annotated`, `Optional`, `NewType` and ``type`` aliases."""
    if isinstance(hint, typing.TypeAliasType):
        return _read_hint(hint.__value__)
    if isinstance(hint, typing.NewType):
        return _read_hint(hint.__supertype__)
    if typing.get_origin(hint) is Annotated:
        inner, *extras = typing.get_args(hint)
        prior = next((extra for extra in extras if isinstance(extra, AbstractPrior)), None)
        read = _read_hint(inner)
        return read if prior is None else _Hint(read.hint, prior, read.optional)
    if typing.get_origin(hint) in (Union, types.UnionType):
        choices = [_read_hint(choice) for choice in typing.get_args(hint) if choice is not type(None)]
        optional = len(choices) < len(typing.get_args(hint))
        number = next((choice for choice in choices if _is_float_type(choice.hint)), choices[0])
        return _Hint(number.hint, number.prior, optional or number.optional, optional)
    return _Hint(hint)


def _is_float(value: Any) -> bool:
    return isinstance(value, (float, np.floating))


def _is_float_type(hint: Any) -> bool:
    return inspect.isclass(hint) and issubclass(hint, (float, np.floating))


def _tuple_of(hint: Any, default: Any) -> tuple[int, tuple[AbstractPrior | None, ...]]:
    """Return how many parameters a tuple argument has, 0 if it is none, and their own priors."""
    numbers = isinstance(default, tuple) and len(default) > 0 and all(is_number(item) for item in default)
    if typing.get_origin(hint) is tuple:
        given = typing.get_args(hint)
        if len(given) == 2 and given[1] is Ellipsis:
            given = given[:1] * (len(default) if numbers else 0)
        items = [_read_hint(item) for item in given]
        if not all(_is_float_type(item.hint) for item in items):
            return 0, ()
        return len(items), tuple(item.prior for item in items)
    if hint in (None, tuple, _UNKNOWN) and numbers and any(_is_float(item) for item in default):
        return len(default), (None,) * len(default)
    return 0, ()


def _is_component(hint: Any) -> bool:
    """Return whether a type is a class of the user's that a model can be made of."""
    if not inspect.isclass(hint) or inspect.isabstract(hint):
        return False
    root = hint.__module__.split(".")[0]
    return root not in ("builtins", "numpy", "typing", "collections", "pathlib", "enum", "types")
