"""`Collection`: parts of a model by name, and `Instance`, what becomes of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, Literal

from classy_pm.errors import Faults, ModelError, UnknownNameError, did_you_mean
from classy_pm.model.node import Node, as_child

__all__ = ["Collection", "Instance"]


class Collection(Node):
    """Parts of a model by name, or by position.

    Parameters
    ----------
    *parts : class, Model, prior, number or object; or one list or dict of them
        Parts by position, named "0", "1", and so on.
    **named : class, Model, prior, number or object
        Parts by name.

    Examples
    --------
    >>> from classy_pm.model import UniformPrior
    >>> model = Collection(offset=UniformPrior(0.0, 1.0), scale=2.0)
    >>> float(model.instance_from_vector([0.25]).offset)
    0.25
    """

    _container: Literal["instance", "list", "tuple", "dict"] = "instance"

    def __init__(self, *parts: Any, **named: Any) -> None:
        super().__init__()
        if len(parts) == 1 and isinstance(parts[0], dict):
            count = Counter(str(name) for name in (*parts[0], *named))
            faults = Faults()
            for name in (name for name, times in count.items() if times > 1):
                faults.add(name, "is the name of two parts")
            faults.raise_as(ModelError, "Each part of a Collection needs a name of its own.")
            named = {**{str(name): part for name, part in parts[0].items()}, **named}
            parts = ()
        elif len(parts) == 1 and isinstance(parts[0], (list, tuple)):
            parts = tuple(parts[0])
        for part in parts:
            self.append(part)
        for name, part in named.items():
            self._set(name, as_child(part, path=name))

    @classmethod
    def _of_container(
        cls, value: list[Any] | tuple[Any, ...] | dict[Any, Any], *, path: str = ""
    ) -> Collection:
        """Make the collection that is a list, tuple or dict again in the instance."""
        if isinstance(value, dict) and not all(isinstance(name, str) for name in value):
            what = f"`{path}`" if path else "This"
            raise ModelError(
                f"{what} is a dict of models or priors, and its keys are not all names.",
                cure="Write names (str) as its keys.",
            )
        collection = cls(value)
        kind = "dict" if isinstance(value, dict) else "list" if isinstance(value, list) else "tuple"
        object.__setattr__(collection, "_container", kind)
        return collection

    def append(self, part: Any) -> None:
        """Add a part by position.

        Parameters
        ----------
        part : class, Model, prior, number or object
        """
        number = len(self._children)
        while str(number) in self._children:  # after a deletion
            number += 1
        name = str(number)
        self._set(name, as_child(part, path=name))

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_"):
            object.__setattr__(self, name, value)
        else:
            self._set(name, as_child(value, path=name))

    def __setitem__(self, name: str | int, value: Any) -> None:
        self._set(str(name), as_child(value, path=str(name)))

    def __len__(self) -> int:
        return len(self._children)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._children.values())

    def __repr__(self) -> str:
        return f"Collection({', '.join(self._children)}; {self.total_free_parameters} free parameters)"


class Instance:
    """The objects of a `Collection`, by attribute, by name, by position, and in order.

    Examples
    --------
    >>> instance = Instance({"left": 1.0, "right": 2.0})
    >>> instance.left, instance["right"], instance[0], sum(instance)
    (1.0, 2.0, 1.0, 3.0)
    """

    def __init__(self, parts: dict[str, Any]) -> None:
        self.__dict__.update(parts)

    def __getitem__(self, name: str | int) -> Any:
        if isinstance(name, int):
            return list(self.__dict__.values())[name]
        if name in self.__dict__:
            return self.__dict__[name]
        raise self._unknown(name)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise self._unknown(name)

    def _unknown(self, name: str) -> UnknownNameError:
        return UnknownNameError(
            f"The instance has no attribute `{name}`.", cure=did_you_mean(name, self.__dict__) or None
        )

    def __iter__(self) -> Iterator[Any]:
        return iter(self.__dict__.values())

    def __len__(self) -> int:
        return len(self.__dict__)

    def __contains__(self, name: object) -> bool:
        return name in self.__dict__

    def items(self) -> Iterator[tuple[str, Any]]:
        """Yield the names and their objects."""
        yield from self.__dict__.items()

    def __repr__(self) -> str:
        return f"Instance({', '.join(f'{name}={part!r}' for name, part in self.__dict__.items())})"
