"""`Model`: a class of the user's whose constructor arguments are parameters."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from classy_pm.errors import Faults, ModelError, UnknownNameError, did_you_mean
from classy_pm.model.defaults import defaults_of
from classy_pm.model.expressions import Expression, is_number
from classy_pm.model.node import Node, as_child, check_name, refuse_class_of_priors
from classy_pm.model.prior import MissingPrior
from classy_pm.model.signature import REQUIRED, Argument, endless_nesting, read_signature

__all__ = ["Model"]


class Model(Node):
    """A class whose constructor arguments are parameters.

    Parameters
    ----------
    cls : type or callable
        The user's class, or a function whose arguments are parameters.
    **overrides : float, prior, class, Model, list, dict or object
        Arguments that are not left as they are: a number fixes a parameter, a prior frees it, a
        class or `Model` nests another model. Names that the constructor does not have are set as
        attributes on the instance after its construction.

    Notes
    -----
    An argument whose name is one of a model's own attributes or methods (``cls``, ``info``, ``paths``,
    ``copy``, ...) is set as any other, ``model.info = 1.0``, and read as ``model["info"]``: what stands
    after the dot is the model's own.

    Raises
    ------
    ModelError
        If `cls` cannot be called, or an override is none of these; all faults are told at once.
    UnknownNameError
        If a name is nearly, but not quite, one that the constructor has.

    Examples
    --------
    >>> class Gaussian:
    ...     def __init__(self, centre=0.0, intensity=0.1, sigma=0.01):
    ...         self.centre, self.intensity, self.sigma = centre, intensity, sigma
    >>> model = Model(Gaussian, intensity=2.0)
    >>> model.total_free_parameters
    2
    """

    _cls: Callable[..., Any]
    _extras: list[str]

    def __init__(self, cls: Callable[..., Any], /, **overrides: Any) -> None:
        super().__init__()
        if not callable(cls):
            raise ModelError(
                f"{cls!r} is {'an object' if not inspect.ismodule(cls) else 'a module'}, not a class.",
                cure="Write Model(MyClass), with the class itself, or a function.",
            )
        refuse_class_of_priors(cls)
        object.__setattr__(self, "_cls", cls)
        object.__setattr__(self, "_extras", [])
        faults = Faults()
        defaults = defaults_of(cls)
        for argument in read_signature(cls).arguments:
            if argument.kind == "model" and argument.name in overrides:
                self._set(argument.name, REQUIRED)  # its place; a class that holds itself has no default
            else:
                self._place_default(argument, defaults)
        for name, value in overrides.items():
            try:
                self._assign(name, value)
            except ModelError as error:
                faults.add(name, str(error))
        faults.raise_as(ModelError, f"Model({self._title()}) cannot be composed.")

    @property
    def cls(self) -> Callable[..., Any]:
        """The user's class."""
        return self._cls

    def _title(self) -> str:
        return getattr(self._cls, "__name__", repr(self._cls))

    def _place_default(self, argument: Argument, defaults: dict[str, Any]) -> None:
        def default(name: str) -> Any:
            found = defaults.get(name)
            return MissingPrior() if found is None else found

        if argument.kind == "tuple":
            for element, own in zip(argument.elements, argument.element_priors, strict=True):
                self._set(element, default(element) if own is None else own.copy())
        elif argument.kind == "parameter":
            own = argument.prior
            self._set(argument.name, default(argument.name) if own is None else own.copy())
        elif argument.kind == "model" and argument.component is not None:
            circle = endless_nesting(argument.component)
            if circle:
                names = " of ".join(item.__name__ for item in circle)
                raise ModelError(
                    f"`{argument.name}` of {self._title()} is a {names}, and so on without end.",
                    cure=f"Say what it is: Model({self._title()}, {argument.name}=...).",
                )
            self._set(argument.name, Model(argument.component))
        else:
            self._set(argument.name, argument.default)

    def _argument(self, name: str) -> Argument | None:
        return next((item for item in read_signature(self._cls).arguments if item.name == name), None)

    # -- setting --------------------------------------------------------------------------------

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_") and self._argument(name) is None:
            object.__setattr__(self, name, value)
        else:
            self._assign(name, value)

    def __setitem__(self, name: str, value: Any) -> None:
        self._assign(name, value)

    def _assign(self, name: str, value: Any) -> None:
        signature = read_signature(self._cls)
        argument = self._argument(name)
        if argument is not None and argument.kind == "tuple":
            self._assign_tuple(argument, value)
            return
        is_new = argument is None and name not in self._children
        if is_new:
            self._check_new_name(name)
        child = as_child(value, path=name)
        check_name(name)
        if is_new and not signature.takes_any_keyword:
            self._extras.append(name)
        if argument is not None:
            _check_fits(argument, value, child)
        elif name in signature.names and not (isinstance(child, Expression) or is_number(child)):
            raise ModelError(f"`{name}` is one number of a tuple; {value!r} is neither a number nor a prior.")
        self._set(name, child)

    def _assign_tuple(self, argument: Argument, value: Any) -> None:
        if not isinstance(value, (tuple, list)) or len(value) != len(argument.elements):
            raise ModelError(
                f"`{argument.name}` is a tuple of {len(argument.elements)} numbers; {value!r} is not.",
                cure=f"Set it whole, or by {' and '.join(f'`{name}`' for name in argument.elements)}.",
            )
        for element, item in zip(argument.elements, value, strict=True):
            self._assign(element, item)

    def _check_new_name(self, name: str) -> None:
        """Refuse a name that is most likely a misspelt one, or that the instance could not carry."""
        signature = read_signature(self._cls)
        known = (*signature.names, *self._extras)
        near = [other for other in known if _is_misspelt(name, other)]
        if near and (not signature.takes_any_keyword or inspect.isclass(self._cls)):
            raise UnknownNameError(
                f"{self._title()} has no argument `{name}`.",
                cure=f"{did_you_mean(name, near)} A new attribute of that very name is set by "
                f'model.add_attribute("{name}", value).',
            )
        if signature.takes_any_keyword:
            return
        if not inspect.isclass(self._cls):
            raise UnknownNameError(
                f"The function {self._title()} has no argument `{name}`.",
                cure=did_you_mean(name, known) or None,
            )
        self._check_place(name)

    def _check_place(self, name: str) -> None:
        """Refuse an attribute that could not be set on an instance."""
        obstacle = _obstacle(self._cls, name)
        if obstacle:
            raise UnknownNameError(
                f"{self._title()} has no argument `{name}`, and {obstacle}.",
                cure=did_you_mean(name, read_signature(self._cls).names) or None,
            )

    def add_attribute(self, name: str, value: Any) -> None:
        """Set an attribute that the constructor does not name, however near its name is to another.

        Parameters
        ----------
        name : str
            The attribute's name on the instance.
        value : float, prior, class, Model, list, dict or object
            What is set after construction; priors and models become parameters.
        """
        child = as_child(value, path=name)
        if name not in self._children:
            self._check_place(name)
            self._extras.append(name)
        self._set(name, child)

    def __delattr__(self, name: str) -> None:
        if name in read_signature(self._cls).names:
            raise ModelError(
                f"`{name}` is an argument of {self._title()}, which cannot do without it.",
                cure=f"Fix it instead, for example model.{name} = 1.0.",
            )
        super().__delattr__(name)
        if name in self._extras:
            self._extras.remove(name)

    def _get(self, name: str) -> Any:
        argument = self._argument(name)
        if argument is not None and argument.kind == "tuple":
            return tuple(self._children[element] for element in argument.elements)
        return super()._get(name)

    def missing_arguments(self) -> list[str]:
        """Return the arguments that have neither a value nor a default."""
        return [name for name, value in self._children.items() if value is REQUIRED]

    def __repr__(self) -> str:
        return f"Model({self._title()}, {self.total_free_parameters} free parameters)"


def _check_fits(argument: Argument, value: Any, child: Any) -> None:
    """Refuse what can never be the value of a parameter."""
    name = argument.name
    if argument.is_float and isinstance(value, (list, tuple, dict, set, frozenset)):
        raise ModelError(
            f"`{name}` is one number; {value!r} is a {type(value).__name__}.",
            cure=f"Write {name}=1.0, {name}=UniformPrior(0.0, 1.0), or Array(3, UniformPrior(0.0, 1.0)).",
        )
    package = type(value).__module__.partition(".")[0]
    if argument.is_float and package in ("scipy", "preliz") and hasattr(value, "ppf"):
        instead = "GaussianPrior(mean=0.0, sigma=1.0), or Prior(pm.Normal, mu=0.0, sigma=1.0)"
        raise ModelError(
            f"`{name}` is a parameter, and {package}'s distributions are no priors.",
            cure=f"Write {name}={instead if package == 'scipy' else 'Prior(...) around it'}.",
        )
    if argument.kind != "parameter" or isinstance(child, (Expression, Node)) or is_number(child):
        return
    if isinstance(child, (str, bytes, bool)) or (child is None and argument.default is not None):
        raise ModelError(
            f"`{argument.name}` is a parameter; {child!r} is neither a number nor a prior.",
            cure=f"Write {argument.name}=1.0, or {argument.name}=UniformPrior(0.0, 1.0).",
        )


def _obstacle(cls: Any, name: str) -> str | None:
    """Return why instances of a class cannot be given an attribute of this name, if they cannot."""
    if not inspect.isclass(cls):
        return "a function's result is not given attributes"
    dataclass = getattr(cls, "__dataclass_params__", None)
    if dataclass is not None and dataclass.frozen:
        return "its instances are frozen"
    found = inspect.getattr_static(cls, name, None)
    if isinstance(found, property):
        return None if found.fset is not None else "its property of that name cannot be set"
    has_place = cls.__dictoffset__ != 0 or hasattr(type(found), "__set__")  # a slot has a setter
    return None if has_place else "its __slots__ leave no place for it"


def _is_misspelt(name: str, other: str) -> bool:
    """Return whether two names differ by so little that one is most likely meant for the other."""
    if name.lower().replace("_", "") == other.lower().replace("_", ""):
        return True
    numbered = name.rstrip("0123456789") == other.rstrip("0123456789")
    if numbered or min(len(name), len(other)) < 4:
        return False
    return _distance(name, other) <= (1 if min(len(name), len(other)) < 6 else 2)


def _distance(one: str, other: str) -> int:
    """Return the edit distance, a swap of neighbours counting one (optimal string alignment)."""
    rows = [list(range(len(other) + 1))]
    for i, a in enumerate(one, 1):
        row = [i]
        for j, b in enumerate(other, 1):
            cost = min(rows[-1][j] + 1, row[-1] + 1, rows[-1][j - 1] + (a != b))
            if i > 1 and j > 1 and a == other[j - 2] and one[i - 2] == b:
                cost = min(cost, rows[-2][j - 2] + 1)
            row.append(cost)
        rows.append(row)
    return rows[-1][-1]
