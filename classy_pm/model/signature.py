"""Reading a class: which arguments its constructor takes, and which of them are parameters.

The annotation decides, and where there is none, the default:

- `float` (or no annotation and no default, or a float default): a parameter;
- a tuple of floats: a parameter an element, ``centre`` giving ``centre_0`` and ``centre_1``;
- a class of the user's without a default: a model of that class;
- all else (integers, booleans, strings, None, arrays, lists): a constant, with its default.

A constructor that takes ``**kwargs`` and hands them to ``super().__init__`` has the arguments of
the next constructor along the class's bases as well.
"""

from __future__ import annotations

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

__all__ = ["REQUIRED", "Argument", "Signature", "read_signature"]

REQUIRED: Any = inspect.Parameter.empty

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


@lru_cache(maxsize=4096)
def read_signature(cls: Callable[..., Any]) -> Signature:
    """Read the constructor of a class, or the arguments of a function.

    Raises
    ------
    ModelError
        If the class cannot be read (some built-in types have no signature).
    """
    functions = list(_constructors(cls)) if inspect.isclass(cls) else [cls]
    arguments: dict[str, Argument] = {}
    takes_any = False
    try:
        for index, function in enumerate(functions):
            hints = _hints(function)
            if inspect.isclass(cls):
                hints = {**_class_hints(cls), **hints}
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
            hints[name] = object  # unknown to us: the default decides, and no default is a constant
    return hints


def _argument(name: str, hint: Any, default: Any, positional: bool) -> Argument:
    prior = None
    if typing.get_origin(hint) is Annotated:
        hint, *extras = typing.get_args(hint)
        prior = next((extra for extra in extras if isinstance(extra, AbstractPrior)), None)
    optional = False
    if typing.get_origin(hint) in (Union, types.UnionType):
        choices = [choice for choice in typing.get_args(hint) if choice is not type(None)]
        optional = len(choices) < len(typing.get_args(hint))
        hint = choices[0] if len(choices) == 1 else _widest(choices)

    def argument(kind: Kind, **more: Any) -> Argument:
        return Argument(name, kind, default, prior=prior, positional=positional, **more)

    if prior is not None:
        return argument("parameter")
    if default is None or (optional and default is REQUIRED):
        return argument("constant")
    length = _tuple_length(hint, default)
    if length:
        return argument("tuple", elements=tuple(f"{name}_{index}" for index in range(length)))
    if hint is None:
        return argument("parameter" if default is REQUIRED or _is_float(default) else "constant")
    if _is_float_type(hint):
        return argument("parameter" if default is REQUIRED or is_number(default) else "constant")
    if default is REQUIRED and _is_component(hint):
        return argument("model", component=hint)
    return argument("constant")


def _widest(choices: list[Any]) -> Any:
    return float if any(_is_float_type(choice) for choice in choices) else choices[0]


def _is_float(value: Any) -> bool:
    return isinstance(value, (float, np.floating))


def _is_float_type(hint: Any) -> bool:
    return inspect.isclass(hint) and issubclass(hint, (float, np.floating))


def _tuple_length(hint: Any, default: Any) -> int:
    """Return how many parameters a tuple argument has, 0 if it is none."""
    numbers = isinstance(default, tuple) and len(default) > 0 and all(is_number(item) for item in default)
    if typing.get_origin(hint) is tuple:
        items = typing.get_args(hint)
        if len(items) == 2 and items[1] is Ellipsis:
            return len(default) if _is_float_type(items[0]) and numbers else 0
        return len(items) if items and all(_is_float_type(item) for item in items) else 0
    if hint in (None, tuple) and numbers:
        return len(default) if any(_is_float(item) for item in default) else 0
    return 0


def _is_component(hint: Any) -> bool:
    """Return whether a type is a class of the user's that a model can be made of."""
    if not inspect.isclass(hint) or inspect.isabstract(hint):
        return False
    root = hint.__module__.split(".")[0]
    return root not in ("builtins", "numpy", "typing", "collections", "pathlib", "enum", "types")
