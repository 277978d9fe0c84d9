"""What `Model` and `Collection` share: named children, assertions, and what can be asked of a tree."""

from __future__ import annotations

import copy
import inspect
import itertools
import json
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from classy_pm.errors import ModelError, UnknownNameError, did_you_mean
from classy_pm.model.expressions import Assertion, Expression

if TYPE_CHECKING:
    from classy_pm.model.picture import ModelGraph

__all__ = ["Node", "Path"]

Path = tuple[str, ...]

# Counts changes of any model, so that what was computed from a model is known to be out of date.
# Nothing that a user sees depends on its value.
_changes = itertools.count(1)


class _LastChange:
    number = 0


def note_change() -> None:
    """Let what was computed from models be computed anew."""
    _LastChange.number = next(_changes)


class Node:
    """A part of a model: children by name, and assertions about them."""

    _children: dict[str, Any]
    _assertions: list[tuple[str | None, Assertion]]

    def __init__(self) -> None:
        object.__setattr__(self, "_children", {})
        object.__setattr__(self, "_assertions", [])

    # -- children -------------------------------------------------------------------------------

    def _set(self, name: str, value: Any) -> None:
        check_name(name)
        self._children[name] = value
        self._changed()

    def _changed(self) -> None:
        note_change()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") and name not in self.__dict__.get("_children", ()):
            raise AttributeError(name)
        return self._get(name)

    def __getitem__(self, name: str | int) -> Any:
        return self._get(str(name))

    def _get(self, name: str) -> Any:
        try:
            return self._children[name]
        except KeyError:
            own = [other for other in dir(type(self)) if not other.startswith("_")]
            raise UnknownNameError(
                f"{self._title()} has no attribute `{name}`.",
                cure=did_you_mean(name, self._children, also=own) or None,
            ) from None

    def __delattr__(self, name: str) -> None:
        self._get(name)
        del self._children[name]
        self._changed()

    def __delitem__(self, name: str | int) -> None:
        delattr(self, str(name))

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._children]

    def children(self) -> Iterator[tuple[str, Any]]:
        """Yield the children in order, each with its name: priors, constants and parts."""
        yield from self._children.items()

    def _title(self) -> str:
        return type(self).__name__

    # -- assertions -----------------------------------------------------------------------------

    def add_assertion(self, assertion: Assertion, name: str | None = None) -> None:
        """Rule out all of parameter space where a comparison of parameters does not hold.

        Parameters
        ----------
        assertion : Assertion
            A comparison such as ``model.sigma > 5.0``, or a chain ``(a < b) < c``.
        name : str, optional
            Its name in the graph.

        Examples
        --------
        >>> from classy_pm.model import Collection, UniformPrior
        >>> model = Collection(sigma=UniformPrior(0.0, 10.0))
        >>> model.add_assertion(model.sigma > 5.0, name="broad")
        >>> bool(model.random_instance(random_seed=1).sigma > 5.0)
        True
        """
        if not isinstance(assertion, Assertion):
            raise ModelError(
                f"{assertion!r} is no assertion about parameters"
                + (": it compares numbers alone." if isinstance(assertion, (bool, np.bool_)) else "."),
                cure="Write for example model.add_assertion(model.sigma > 5.0).",
            )
        self._assertions.append((name, assertion))
        self._changed()

    # -- what can be asked ----------------------------------------------------------------------
    # Each of these needs the whole tree; `layout` is computed anew after any change.

    def _layout(self) -> Any:
        from classy_pm.model.layout import Layout  # layout.py reads nodes, so it imports this module

        return self._cached_layout_of(Layout.of)

    def _cached_layout_of(self, read: Callable[[Self], Any]) -> Any:
        cached = self.__dict__.get("_cached_layout")
        if cached is None or cached[0] != _LastChange.number:
            layout = read(self)  # of a graph of factors this makes models, which count as changes
            cached = (_LastChange.number, layout)
            object.__setattr__(self, "_cached_layout", cached)
        return cached[1]

    @property
    def paths(self) -> list[Path]:
        """Where each free parameter sits, in the order of the vector; an element of an array each."""
        return list(self._layout().element_paths)

    @property
    def total_free_parameters(self) -> int:
        """How many free parameters there are; a shared one counts once."""
        return self._layout().size

    def instance_from_vector(self, vector: Any, *, ignore_assertions: bool = False) -> Any:
        """Return the user's objects for one set of parameter values.

        Parameters
        ----------
        vector : array_like, shape (total_free_parameters,)
            Values in the order of `paths`, in the parameters' own units.
        ignore_assertions : bool
            Return an instance where an assertion fails, too.

        Returns
        -------
        object
            An instance of the model's class; of a `Collection`, an `Instance` with its names.

        Raises
        ------
        FitException
            If an assertion does not hold.
        ModelError
            If the vector has another length.
        """
        return self._layout().instance(vector, ignore_assertions=ignore_assertions)

    def instance_from_unit_vector(self, unit_vector: Any, *, ignore_assertions: bool = False) -> Any:
        """Return the instance at a point of the unit cube, mapped by the priors' `ppf`.

        Parameters
        ----------
        unit_vector : array_like, shape (total_free_parameters,)
            Prior probabilities in [0, 1].
        ignore_assertions : bool
            Return an instance where an assertion fails, too.
        """
        layout = self._layout()
        return layout.instance(layout.vector_from_unit(unit_vector), ignore_assertions=ignore_assertions)

    def instance_from_prior_medians(self, *, ignore_assertions: bool = False) -> Any:
        """Return the instance with each parameter at the median of its prior."""
        return self.instance_from_unit_vector(
            np.full(self.total_free_parameters, 0.5), ignore_assertions=ignore_assertions
        )

    def random_instance(self, *, random_seed: Any = None) -> Any:
        """Return an instance drawn from the priors, where all assertions hold.

        Parameters
        ----------
        random_seed : int or numpy.random.Generator, optional
            The same seed gives the same instance.
        """
        layout = self._layout()
        return layout.instance(layout.draw(np.random.default_rng(random_seed)), ignore_assertions=True)

    # -- models made of this one ------------------------------------------------------------------

    def copy(self) -> Self:
        """Return the same model with parameters of its own.

        Returns
        -------
        Model or Collection
            Equal in structure, priors, links and assertions; no parameter is shared with this one.
            Constants are the same objects; `copy.deepcopy` gives a model with constants of its own.
        """
        from classy_pm.model.edit import rebuild

        return rebuild(self, lambda prior, arguments: prior.with_arguments(arguments))

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        # Parameters and parts go through `memo`, so that what several models share, or a model and
        # anything else that is copied with it, is shared by the copies.
        new = object.__new__(type(self))
        memo[id(self)] = new
        for name, value in self.__getstate__().items():
            new.__dict__[name] = value if name == "_cls" else copy.deepcopy(value, memo)
        return new

    def __copy__(self) -> Self:
        """Return another tree with the same parameters: both models share all of them."""
        from classy_pm.model.edit import rebuild

        return rebuild(self, lambda prior, arguments: prior)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_cached_layout"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    def with_paths(self, paths: Iterable[Path | str]) -> Self:
        """Return the model with these paths alone.

        Parameters
        ----------
        paths : iterable of tuple of str, or of dotted names
            A path keeps all below it.

        Returns
        -------
        Model or Collection
            Parts without any of them are left out; an argument that a class must have is fixed at its
            default. The parameters are the same as in this model.

        Raises
        ------
        ModelError
            If a path is not in the model, or an argument without a default would be left out.
        """
        from classy_pm.model.edit import with_paths

        return with_paths(self, paths)

    def without_paths(self, paths: Iterable[Path | str]) -> Self:
        """Return the model without these paths, and without what is below them.

        Parameters
        ----------
        paths : iterable of tuple of str, or of dotted names

        Returns
        -------
        Model or Collection
            As of `with_paths`.
        """
        from classy_pm.model.edit import without_paths

        return without_paths(self, paths)

    def take_attributes(self, source: Any) -> None:
        """Set every parameter and constant that another model or object has under the same path.

        Parameters
        ----------
        source : Model, Collection or object
            A model gives its priors and constants, an object its numbers.
        """
        from classy_pm.model.edit import take_attributes

        take_attributes(self, source)

    @staticmethod
    def from_instance(instance: Any, free: tuple[type, ...] = ()) -> Any:
        """Return the model whose constants are an object's attributes.

        Parameters
        ----------
        instance : object
            An object of a class that keeps its constructor's arguments as attributes; or an `Instance`,
            a list or a dict of them.
        free : tuple of type
            Classes whose objects become models with free parameters instead.
        """
        from classy_pm.model.edit import from_instance

        return from_instance(instance, free)

    # -- plain data -------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Return the model as plain data that JSON can hold.

        Returns
        -------
        dict
            Order, links, constants with their types, assertions and widths are kept; classes are
            names.

        Raises
        ------
        ModelError
            If a constant cannot be written; the text names its path.
        """
        from classy_pm.model.serialise import model_to_dict

        return model_to_dict(self)

    @staticmethod
    def from_dict(data: Any, classes: Iterable[Callable[..., Any]] = ()) -> Any:
        """Return the model that `to_dict` described.

        Parameters
        ----------
        data : dict
        classes : iterable of type
            Classes that the names are matched with; besides those, the classes of all modules that are
            imported already. Nothing is imported, and no constructor is called.

        Raises
        ------
        ModelError
            If classes are missing, all of them named, or if the data are damaged.
        """
        from classy_pm.model.serialise import model_from_dict

        return model_from_dict(data, classes)

    def to_json(self) -> str:
        """Return the model as JSON text; see `to_dict`."""
        return json.dumps(self.to_dict(), allow_nan=False)

    @staticmethod
    def from_json(text: str, classes: Iterable[Callable[..., Any]] = ()) -> Any:
        """Return the model that `to_json` wrote; see `from_dict`."""
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ModelError(f"The model is not JSON: {error}") from error
        return Node.from_dict(data, classes)

    # -- the model to look at ---------------------------------------------------------------------

    @property
    def info(self) -> str:
        """The model as text: each part, its parameters with their priors, and its constants."""
        from classy_pm.model.text import info_of

        return info_of(self)

    def graph(self) -> ModelGraph:
        """Return a picture of the model: parts, parameters, and what is shared.

        Returns
        -------
        ModelGraph
            Mermaid text that JupyterLab and GitHub draw; ``.graphviz()`` where it is installed.
        """
        from classy_pm.model.picture import ModelGraph

        return ModelGraph.of(self)

    def _repr_html_(self) -> str:
        from classy_pm.model.text import html_of

        return html_of(self)


def check_name(name: str) -> None:
    """Refuse a name that could not be told apart in a dotted path."""
    if not (name.isidentifier() or name.isdecimal()) or len(name) > 200:
        raise ModelError(
            f"`{name}` cannot be the name of a part or a parameter.",
            cure="Names are Python identifiers; dots join them to paths.",
        )
    if not unicodedata.is_normalized("NFC", name):
        raise ModelError(
            f"The letters of `{name}` have accents as characters of their own, which no file keeps.",
            cure='Compose them: unicodedata.normalize("NFC", name).',
        )


def as_child(value: Any, *, path: str = "") -> Any:
    """Return what stands in the tree for a value that a user hands over.

    Classes become models; lists, tuples and dicts that hold anything to be fitted become collections
    that are lists, tuples and dicts again in the instance; priors, models and constants stay what
    they are.
    """
    from classy_pm.model.collection import Collection
    from classy_pm.model.model import Model

    if isinstance(value, Assertion):
        raise ModelError(
            f"`{value!r}` is an assertion, not a value{f' of `{path}`' if path else ''}.",
            cure="Hand it to add_assertion(...).",
        )
    if inspect.isclass(value):
        refuse_class_of_priors(value, path)
        return Model(value)
    if not _holds_parameters(value):
        return value
    if isinstance(value, (list, dict)) or type(value) is tuple:
        return Collection._of_container(value, path=path)
    if isinstance(value, (Node, Expression)):
        return value
    raise ModelError(
        f"{f'`{path}`' if path else 'This'} is a {type(value).__name__}, which cannot hold priors, models "
        "or classes.",
        cure="Write a list, a tuple or a dict.",
    )


def _holds_parameters(value: Any) -> bool:
    """Return whether a value, or anything inside, is not simply a constant."""
    if isinstance(value, dict):
        return any(_holds_parameters(item) for item in (*value, *value.values()))
    if isinstance(value, (list, tuple, set, frozenset)):
        return any(_holds_parameters(item) for item in value)
    if isinstance(value, np.ndarray) and value.dtype == object:
        return any(_holds_parameters(item) for item in value.flat)
    return isinstance(value, (Node, Expression)) or inspect.isclass(value)


def refuse_class_of_priors(cls: Any, path: str = "") -> None:
    """Refuse a family of priors where one prior is meant: the parentheses were forgotten."""
    from classy_pm.model.prior import AbstractPrior

    if inspect.isclass(cls) and issubclass(cls, AbstractPrior):
        arguments = ", ".join(f"{name}=..." for name in inspect.signature(cls).parameters)
        raise ModelError(
            f"{f'`{path}`' if path else 'This'} is the class {cls.__name__}, not a prior.",
            cure=f"Write {cls.__name__}({arguments}).",
        )
