"""Models as plain data and JSON, and back; no code is run that the data name.

Classes are names, "module:qualname", matched with classes that are handed over or that have been imported
already. Priors, links, order, assertions and the types of constants are kept exactly.
"""

from __future__ import annotations

import base64
import functools
import inspect
import math
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from classy_pm.errors import Faults, ModelError, UnknownNameError
from classy_pm.model.collection import Collection
from classy_pm.model.expressions import Assertion, Derived, Expression
from classy_pm.model.factors import FactorGraphModel, HierarchicalFactor
from classy_pm.model.foreign import Prior
from classy_pm.model.model import Model
from classy_pm.model.node import Node
from classy_pm.model.origin import Origin
from classy_pm.model.prior import AbstractPrior, MissingPrior, WidthModifier
from classy_pm.model.priors import FAMILIES
from classy_pm.model.signature import read_signature

__all__ = ["Stranger", "model_from_dict", "model_of_strangers", "model_to_dict", "reference_of"]

FORMAT = "classy-model-1"


def reference_of(cls: Callable[..., Any]) -> str:
    """Return a class's or function's name, "module:qualname"."""
    if not hasattr(cls, "__qualname__"):
        raise ModelError(
            f"{cls!r} has no name that plain data could give.",
            cure="Write a class, or a function with def, in a module.",
        )
    return f"{cls.__module__}:{cls.__qualname__}"


def model_to_dict(root: Node) -> dict[str, Any]:
    """Return a model as plain data; see `Node.to_dict`."""
    return {"format": FORMAT, "root": _Writer().value(root, "")}


class Stranger:
    """An object of a class that is known by name alone: its attributes are all that there is of it."""

    class_reference: str

    def __repr__(self) -> str:
        attributes = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"<stranger {self.class_reference}: {attributes}>"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise UnknownNameError(
            f"Of this object of {self.class_reference} only the attributes {', '.join(vars(self))} are "
            f"known, not `{name}`.",
            cure=self._cure(),
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Say that what the class would compute is not known."""
        raise UnknownNameError(
            f"The class {self.class_reference} is known by its name alone, so its objects cannot be called.",
            cure=self._cure(),
        )

    def _cure(self) -> str:
        name = self.class_reference.rpartition(":")[2]
        return (
            f"Hand your class over: aggregator = aggregator.register({name}), or where it has another name, "
            f'aggregator.alias("{self.class_reference}", {name}).'
        )


def model_from_dict(data: Any, classes: Iterable[Callable[..., Any]] = ()) -> Any:
    """Return the model that the data describe; see `Node.from_dict`."""
    known = {reference_of(cls): cls for cls in classes}
    return _read(data, lambda reference: known.get(reference, _imported(reference)))


def model_of_strangers(data: Any, classes: Mapping[str, Any]) -> Any:
    """Return the model that the data of somebody else describe.

    Parameters
    ----------
    data : dict
    classes : mapping of str to type
        Classes by their names. In the place of all others stand classes of `Stranger`: no name in
        the data is looked up anywhere else.

    Raises
    ------
    ModelError
        If the data are damaged.
    """
    return _read(data, lambda reference: classes.get(reference) or _stranger(reference))


def _read(data: Any, find: Callable[[str], Any]) -> Any:
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise ModelError(f"This is no model of the format {FORMAT}.")
    reader = _Reader(find)
    try:
        reader.find_classes(data)
        model = reader.value(data["root"])
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(f"The data of the model are damaged: {type(error).__name__}: {error}") from error
    if not isinstance(model, Node):
        raise ModelError("The data of the model do not describe a Model or a Collection.")
    return model


class _Writer:
    def __init__(self) -> None:
        self.numbers: dict[int, int] = {}
        self.kept: list[Any] = []  # so that no id is given twice

    def value(self, item: Any, path: str) -> Any:
        if isinstance(item, (Node, Expression)):
            if id(item) in self.numbers:
                return {"type": "same", "id": self.numbers[id(item)]}
            number = self.numbers[id(item)] = len(self.numbers)
            self.kept.append(item)
            write = self.node if isinstance(item, Node) else self.expression
            return {"id": number, **write(item, path)}
        return self.constant(item, path)

    def node(self, node: Any, path: str) -> dict[str, Any]:
        children = {name: self.value(child, f"{path}.{name}".lstrip(".")) for name, child in node.children()}
        common = {
            "children": [[name, child] for name, child in children.items()],
            "assertions": [[name, self.assertion(item, path)] for name, item in node._assertions],
        }
        if isinstance(node, Model):
            return {"type": "model", "class": reference_of(node.cls), "extras": list(node._extras), **common}
        if isinstance(node, FactorGraphModel):
            drawn = [[self.value(one, path), self.value(new, path)] for one, new in node.drawn_from().items()]
            return {"type": "collection", "container": "factors", **common, "drawn": drawn}
        return {"type": "collection", "container": node._container, **common}

    def assertion(self, item: Assertion, path: str) -> list[Any]:
        return [
            [part.comparison.__name__, self.value(part.left, path), self.value(part.right, path)]
            for part in item.parts
        ]

    def expression(self, item: Any, path: str) -> dict[str, Any]:
        if isinstance(item, Derived):
            operands = [self.value(part, path) for part in item.operands]
            return {"type": "derived", "function": item.function.__name__, "operands": operands}
        written: dict[str, Any] = {
            "type": "prior",
            "family": type(item).__name__,
            "arguments": [[name, self.value(value, path)] for name, value in item.arguments.items()],
        }
        if isinstance(item, Prior):
            package = "preliz" if item.frozen is not None else "pymc"
            written["distribution"] = f"{package}:{item.pymc_name}"
        if item.shape:
            written["shape"] = list(item.shape)
        if item.width_modifier is not None:
            written["width_modifier"] = [item.width_modifier.kind, item.width_modifier.value]
        if item.chained_limits is not None:
            written["chained_limits"] = [self.constant(limit, path) for limit in item.chained_limits]
        if item.origins:
            written["from"] = [origin.payload() for origin in item.origins]
        return written

    def constant(self, item: Any, path: str) -> Any:
        if item is None or type(item) in (bool, int, str):
            return item
        if type(item) is float:
            return item if math.isfinite(item) else {"type": "float", "value": repr(item)}
        if isinstance(item, (list, tuple)) and type(item) in (list, tuple):
            items = [self.value(part, f"{path}[{index}]") for index, part in enumerate(item)]
            return {"type": type(item).__name__, "items": items}
        if type(item) is dict:
            pairs = [
                [self.value(key, path), self.value(value, f"{path}[{key!r}]")] for key, value in item.items()
            ]
            return {"type": "dict", "items": pairs}
        if isinstance(item, (np.ndarray, np.generic)) and item.dtype.kind in "biufcUS":
            array = np.asarray(item)
            array = array.astype(array.dtype.newbyteorder("<"), copy=False)
            data = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode("ascii")
            kind = "array" if isinstance(item, np.ndarray) else "scalar"
            return {"type": kind, "dtype": array.dtype.str, "shape": list(array.shape), "data": data}
        if inspect.isclass(item) or inspect.isfunction(item):
            return {"type": "class", "class": reference_of(item)}
        state = getattr(item, "__dict__", None)
        if state is None or type(item).__module__ == "builtins":
            raise ModelError(
                f"`{path}` is {item!r}, which cannot be written as plain data.",
                cure="Numbers, strings, arrays, lists, dicts and objects with attributes can.",
            )
        attributes = [[name, self.value(value, f"{path}.{name}")] for name, value in state.items()]
        return {"type": "instance", "class": reference_of(type(item)), "attributes": attributes}


class _Reader:
    def __init__(self, find: Callable[[str], Any]) -> None:
        self.find = find
        self.classes: dict[str, Any] = {}
        self.made: dict[int, Any] = {}

    def find_classes(self, data: Any) -> None:
        """Find all classes that the data name, or tell all that are missing."""
        faults = Faults()
        for reference in sorted(_references(data)):
            self.classes[reference] = self.find(reference)
            if self.classes[reference] is None:
                faults.add(reference, "is not imported, and was not handed over")
        faults.raise_as(
            ModelError,
            "The model names classes that are not known here.",
            cure="Import their modules, or hand the classes over: from_dict(data, classes=[Gaussian]).",
        )

    def value(self, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        kind = data["type"]
        if kind == "same":
            return self.made[data["id"]]
        if kind in ("model", "collection"):
            return self.node(data)
        if kind in ("prior", "derived"):
            self.made[data["id"]] = made = self.expression(data)
            return made
        return self.constant(kind, data)

    def node(self, data: dict[str, Any]) -> Node:
        kinds = {"model": Model, "factors": FactorGraphModel}
        node: Any = object.__new__(kinds.get(data.get("container", data["type"]), Collection))
        Node.__init__(node)
        self.made[data["id"]] = node
        if isinstance(node, Model):
            object.__setattr__(node, "_cls", self.classes[data["class"]])
            object.__setattr__(node, "_extras", [str(name) for name in data["extras"]])
        elif not isinstance(node, FactorGraphModel):
            if data["container"] not in ("instance", "list", "tuple", "dict"):
                raise ModelError(f"A collection cannot be a {data['container']!r}.")
            object.__setattr__(node, "_container", data["container"])
        for name, child in data["children"]:
            node._set(name, self.value(child))
        if isinstance(node, Model) and _is_stranger(node.cls):
            object.__setattr__(node, "_extras", [name for name, _ in node.children()])
        elif isinstance(node, Model):
            _check_arguments(node)
        if isinstance(node, FactorGraphModel):
            node._set_factors({}, [HierarchicalFactor.of(*map(self.value, pair)) for pair in data["drawn"]])
        for name, parts in data["assertions"]:
            node.add_assertion(self.assertion(parts), name)
        return node

    def assertion(self, parts: list[Any]) -> Assertion:
        read = [Assertion(_ufunc(name), self.value(left), self.value(right)) for name, left, right in parts]
        read[0].others = tuple(read[1:])
        return read[0]

    def expression(self, data: dict[str, Any]) -> Expression:
        if data["type"] == "derived":
            return Derived(_ufunc(data["function"]), tuple(self.value(part) for part in data["operands"]))
        arguments = {str(name): self.value(value) for name, value in data["arguments"]}
        prior: AbstractPrior
        if data["family"] == "Prior":
            prior = _foreign(data["distribution"], arguments)
        elif data["family"] == "MissingPrior":
            prior = MissingPrior()
        elif data["family"] in FAMILIES:
            prior = _of_family(FAMILIES[data["family"]], arguments, data.get("shape", ()))
        else:
            raise ModelError(
                f"The prior {data['family']!r} is not known.", [f"known are {', '.join(FAMILIES)}"]
            )
        prior.shape = tuple(int(length) for length in data.get("shape", ()))
        if "width_modifier" in data:
            prior.width_modifier = WidthModifier(*data["width_modifier"])
        if "chained_limits" in data:
            prior.chained_limits = tuple(self.value(limit) for limit in data["chained_limits"])
        if "from" in data:
            prior.made_of(*map(Origin.of_payload, data["from"]))
        return prior

    def constant(self, kind: str, data: dict[str, Any]) -> Any:
        if kind == "float":
            return float(data["value"])
        if kind in ("list", "tuple"):
            items = [self.value(item) for item in data["items"]]
            return items if kind == "list" else tuple(items)
        if kind == "dict":
            return {self.value(key): self.value(value) for key, value in data["items"]}
        if kind in ("array", "scalar"):
            dtype = np.dtype(data["dtype"])
            if dtype.kind not in "biufcUS":
                raise ModelError(f"An array of the type {dtype} is not read.")
            array = np.frombuffer(base64.b64decode(data["data"]), dtype).reshape(data["shape"])
            array = array.astype(dtype.newbyteorder("="))
            return array if kind == "array" else array[()]
        if kind == "class":
            return self.classes[data["class"]]
        if kind == "instance":
            return _instance(self.classes[data["class"]], data["attributes"], self.value)
        raise ModelError(f"The type {kind!r} is not known.")


def _instance(cls: Any, attributes: list[Any], value: Callable[[Any], Any]) -> Any:
    """Return an object with its attributes; none takes the place of a method of its class."""
    made = object.__new__(cls)
    for name, item in attributes:
        if inspect.isroutine(inspect.getattr_static(cls, name, None)):
            raise ModelError(f"An attribute `{name}` would hide the method of {reference_of(cls)}.")
        vars(made)[name] = value(item)
    return made


def _references(data: Any) -> set[str]:
    """Return the classes that the data name anywhere."""
    if isinstance(data, dict):
        own = {data["class"]} if isinstance(data.get("class"), str) else set()
        return own.union(*(_references(item) for item in data.values()))
    if isinstance(data, list):
        return set().union(*(_references(item) for item in data))
    return set()


def _imported(reference: str) -> Any:
    """Return a class or function of a module that is imported already, or None."""
    module_name, _, qualname = reference.partition(":")
    found: Any = sys.modules.get(module_name)
    for name in qualname.split("."):
        found = vars(found).get(name) if hasattr(found, "__dict__") else None
    matches = (inspect.isclass(found) or inspect.isfunction(found)) and reference_of(found) == reference
    return found if matches else None


@functools.lru_cache(maxsize=1024)
def _stranger(reference: str) -> type[Stranger]:
    """Return the class that stands for one of which there is but a name."""
    return type(reference.rpartition(".")[2].rpartition(":")[2], (Stranger,), {"class_reference": reference})


def _is_stranger(cls: Any) -> bool:
    return inspect.isclass(cls) and issubclass(cls, Stranger)


def _ufunc(name: str) -> np.ufunc:
    found = vars(np).get(name)
    if not isinstance(found, np.ufunc):
        raise ModelError(f"`{name}` is no function of NumPy that arithmetic on parameters can have.")
    return found


def _of_family(family: Any, arguments: dict[str, Any], shape: Any) -> AbstractPrior:
    """Return a prior; each number of an array may have arguments of its own."""
    arrays: dict[str, Any] = {
        name: value for name, value in arguments.items() if isinstance(value, np.ndarray)
    }
    if any(value.shape != tuple(shape) or not value.size for value in arrays.values()):
        raise ModelError(f"The arguments of a {family.__name__} have not the shape of its array.")
    first = {name: value.flat[0] for name, value in arrays.items()}
    prior: AbstractPrior = family(**{**arguments, **first})
    return prior.with_arguments({**prior.arguments, **arrays})


def _foreign(reference: str, arguments: dict[str, Any]) -> Prior:
    package, _, name = reference.partition(":")
    module = sys.modules.get(package) if package in ("pymc", "preliz") else None
    found = name.isidentifier() and not name.startswith("_")
    distribution: Any = getattr(module, name, None) if found else None
    bases = distribution.__mro__ if inspect.isclass(distribution) else ()
    if not any(base.__name__ == "Distribution" for base in bases):
        raise ModelError(
            f"The model has a prior of {package}'s distribution {name}, which is not known here.",
            cure=f"Write `import {package}` first.",
        )
    return Prior(distribution(**arguments)) if package == "preliz" else Prior(distribution, **arguments)


def _check_arguments(model: Model) -> None:
    """Refuse a model whose class has other arguments now."""
    faults = Faults()
    for argument in read_signature(model.cls).arguments:
        for name in argument.elements or (argument.name,):
            if name not in model._children:
                faults.add(name, "is an argument of the class, and the data do not have it")
    faults.raise_as(ModelError, f"{model._title()} has changed since the model was written.")
