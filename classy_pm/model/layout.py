"""A model's free parameters in order, and the way from a vector of values to the user's objects.

The order is the order in the model: constructor order, depth first; where a prior's arguments are
parameters themselves, they come right before it. Each prior counts once, at the first place where
it stands. A parameter that stands nowhere but in another's arguments is named after that argument:
``gaussian.centre.mean``.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from classy_pm.errors import Faults, FitException, ModelError, some_of
from classy_pm.model.expressions import Assertion, Derived, Expression, render
from classy_pm.model.instances import compile_instances
from classy_pm.model.model import Model
from classy_pm.model.node import Node, Path
from classy_pm.model.prior import AbstractPrior, MissingPrior
from classy_pm.model.signature import REQUIRED

__all__ = ["FreeParameter", "Layout", "walk"]

# How many draws are tried before assertions are called too narrow to be met by chance.
MAX_REJECTIONS = 100_000
# How many nodes, parameters and constants a model may have.
MAX_PLACES = 1_000_000
# So many parameters are named in an error.
MOST_NAMED = 100


@dataclass(frozen=True)
class FreeParameter:
    """One free parameter: its prior, and every path at which it stands, the first naming it."""

    prior: AbstractPrior
    paths: tuple[Path, ...]

    @property
    def path(self) -> Path:
        """The first place where it stands."""
        return self.paths[0]

    @property
    def name(self) -> str:
        """Its path, joined by dots."""
        return ".".join(self.path)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of its value; () for a number."""
        return self.prior.shape

    @property
    def size(self) -> int:
        """How many numbers it is."""
        return math.prod(self.shape)

    def element_paths(self) -> list[Path]:
        """Return the path of each of its numbers: ``weights[0]``, ``weights[1]``, ..."""
        if not self.shape:
            return [self.path]
        *above, last = self.path
        return [(*above, f"{last}[{','.join(map(str, index))}]") for index in np.ndindex(self.shape)]


def evaluator(known: dict[Expression, Any]) -> Callable[[Expression], Any]:
    """Return the function that gives any expression's value from those that are known, and keeps it."""

    def value_of(expression: Expression) -> Any:
        if expression not in known:
            assert isinstance(expression, Derived), f"{expression!r} is not known"
            known[expression] = expression.evaluate(value_of)
        return known[expression]

    return value_of


def _real_numbers(values: Any, what: str) -> np.ndarray:
    """Return values as an array of floats; refuse what are no real numbers."""
    try:
        array = np.asarray(values)
    except ValueError:
        array = np.empty((), dtype=object)  # lists of unequal lengths
    if array.dtype.kind not in "iuf":
        raise ModelError(f"{what} is a list or array of real numbers, not {values!r}.")
    return array.astype(float, copy=False)


def _places(root: Node) -> Iterator[tuple[Path, Any]]:
    """Walk a tree that is not too large; what stands in two places is in it twice."""
    for count, place in enumerate(walk(root)):
        if count == MAX_PLACES:
            raise ModelError(
                f"The model has more than {MAX_PLACES:,} places: what is shared counts wherever it stands.",
                cure="Share parameters, not the collections that hold them.",
            )
        yield place


def walk(node: Node, path: Path = (), above: tuple[Node, ...] = ()) -> Iterator[tuple[Path, Any]]:
    """Yield everything in a tree with its path, depth first: parts before their children."""
    if any(node is other for other in above):
        raise ModelError(f"The model contains itself at `{'.'.join(path)}`.")
    yield path, node
    for name, child in node.children():
        if isinstance(child, Node):
            yield from walk(child, (*path, name), (*above, node))
        else:
            yield (*path, name), child


@dataclass(frozen=True)
class Layout:
    """A model read once: what is free, derived, asserted and constant, each with its path.

    Attributes
    ----------
    root : Node
    parameters : tuple of FreeParameter
        In the order of the vector.
    derived : tuple of (path, Derived)
        Parameters computed from others, where they stand in the tree.
    assertions : tuple of (name, Assertion)
    constants : tuple of (path, object)
    components : tuple of (path, callable)
        The user's classes.
    """

    root: Node
    parameters: tuple[FreeParameter, ...]
    derived: tuple[tuple[Path, Derived], ...]
    assertions: tuple[tuple[str, Assertion], ...]
    constants: tuple[tuple[Path, Any], ...]
    components: tuple[tuple[Path, Callable[..., Any]], ...]

    @classmethod
    def of(cls, root: Node) -> Layout:
        """Read a model."""
        places: dict[Expression, list[Path]] = {}
        derived: list[tuple[Path, Derived]] = []
        constants: list[tuple[Path, Any]] = []
        components: list[tuple[Path, Callable[..., Any]]] = []
        nodes: list[tuple[Path, Node]] = []
        for path, item in _places(root):
            if isinstance(item, Node):
                nodes.append((path, item))
                if isinstance(item, Model):
                    components.append((path, item.cls))
            elif isinstance(item, Expression):
                places.setdefault(item, []).append(path)
                for name, part in item.parts():
                    places.setdefault(part, []).append((*path, name))
                if isinstance(item, Derived):
                    derived.append((path, item))
            else:
                constants.append((path, item))
        found: dict[Expression, tuple[Path, ...]] = {}

        def visit(expression: Expression, path: Path) -> None:
            if expression in found:
                return
            here = tuple(places.get(expression, ())) or (path,)
            for role, other in expression.inputs():
                visit(other, (*here[0], role) if role else here[0])
            found[expression] = here

        for expression, paths in places.items():
            visit(expression, paths[0])
        parameters = tuple(
            FreeParameter(prior, paths) for prior, paths in found.items() if isinstance(prior, AbstractPrior)
        )
        assertions = _named_assertions(nodes, found)
        return cls(root, parameters, tuple(derived), assertions, tuple(constants), tuple(components))

    @cached_property
    def slices(self) -> tuple[slice, ...]:
        """Where in the vector each parameter's numbers are."""
        ends = np.cumsum([0, *(parameter.size for parameter in self.parameters)]).tolist()
        return tuple(slice(start, end) for start, end in itertools.pairwise(ends))

    @cached_property
    def size(self) -> int:
        """The length of the vector."""
        return sum(parameter.size for parameter in self.parameters)

    @cached_property
    def element_paths(self) -> list[Path]:
        """The path of each number of the vector."""
        return [path for parameter in self.parameters for path in parameter.element_paths()]

    @cached_property
    def has_arrays(self) -> bool:
        """Whether some parameter is an array of numbers."""
        return any(parameter.shape for parameter in self.parameters)

    @cached_property
    def position(self) -> dict[Expression, int]:
        """Where in the list of values each prior's value is."""
        return {parameter.prior: index for index, parameter in enumerate(self.parameters)}

    @property
    def coords(self) -> dict[str, list[str]]:
        """The coordinates of each dim that parameters have."""
        return {}

    def dims_of(self, expression: Expression) -> tuple[str, ...]:
        """Return the dims of a parameter's leading axes."""
        return ()

    # -- values -----------------------------------------------------------------------------------

    def split(self, vectors: np.ndarray) -> list[Any]:
        """Return each parameter's values.

        Parameters
        ----------
        vectors : numpy.ndarray, shape (..., size)

        Returns
        -------
        list of numpy.ndarray, each of shape (..., *parameter.shape)
        """
        if not self.has_arrays:
            return list(np.moveaxis(vectors, -1, 0))
        return [
            # A copy: a user's class may change its array in place, and the vector belongs to a search.
            vectors[..., place].reshape(vectors.shape[:-1] + parameter.shape).copy()[()]
            for parameter, place in zip(self.parameters, self.slices, strict=True)
        ]

    def evaluator(self, values: Sequence[Any]) -> Callable[[Expression], Any]:
        """Return the function that gives any expression's value, each computed once.

        Parameters
        ----------
        values : sequence
            The free parameters' values, in order: numbers, arrays, draws of numbers, or traced arrays.
            Those of the first parameters are enough for expressions that depend on no other.
        """
        return evaluator(dict(zip((item.prior for item in self.parameters), values, strict=False)))

    def vector_from_unit(self, unit: Any) -> np.ndarray:
        """Map points of the unit cube to parameter values by the priors' `ppf`.

        Parameters
        ----------
        unit : array_like, shape (..., size)

        Returns
        -------
        numpy.ndarray, shape (..., size)
        """
        unit = _real_numbers(unit, "A unit vector")
        if unit.shape[-1:] != (self.size,):
            raise ModelError(f"A unit vector of {self.size} numbers is needed, not of shape {unit.shape}.")
        if not np.all((unit >= 0.0) & (unit <= 1.0)):
            raise ModelError(
                "The numbers of a unit vector are probabilities, from 0 to 1; these are not all."
            )
        self.require_priors("mapped from the unit cube")
        if (
            self.has_arrays and unit.ndim > 1
        ):  # arithmetic on arrays and numbers does not broadcast over a batch
            flat = [self.vector_from_unit(point) for point in unit.reshape(-1, self.size)]
            return np.reshape(flat, unit.shape)
        known: dict[Expression, Any] = {}
        value_of = evaluator(known)
        vectors = np.empty_like(unit)
        # A prior's arguments come before it, so that each is known when it is needed.
        with np.errstate(all="ignore"):
            for parameter, place in zip(self.parameters, self.slices, strict=True):
                prior = parameter.prior
                shares = unit[..., place].reshape(unit.shape[:-1] + parameter.shape)
                known[prior] = prior._ppf(shares, **prior.evaluated_arguments(value_of))
                vectors[..., place] = np.reshape(known[prior], unit[..., place].shape)
        return vectors

    def assertions_hold(self, vectors: Any) -> Any:
        """Return whether all assertions hold, for each vector along the last axis."""
        vectors = np.asarray(vectors, dtype=float)
        if self.has_arrays and vectors.ndim > 1:
            return np.reshape(
                [self.assertions_hold(v) for v in vectors.reshape(-1, self.size)], vectors.shape[:-1]
            )
        value_of = self.evaluator(self.split(vectors))
        holds: Any = np.ones(vectors.shape[:-1], dtype=bool)
        with np.errstate(all="ignore"):
            for _, assertion in self.assertions:
                result = assertion.evaluate(value_of)
                holds = holds & (np.all(result) if self.has_arrays else result)
        return holds

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """Draw one vector from the priors where all assertions hold."""
        return self.draws(1, rng)[0]

    def draws(self, number: int, rng: np.random.Generator) -> np.ndarray:
        """Draw vectors from the priors where all assertions hold.

        Returns
        -------
        numpy.ndarray, shape (number, size)
        """
        kept: list[np.ndarray] = []
        missing, tried = number, 0
        while missing > 0:
            vectors = self.vector_from_unit(rng.random((missing if not tried else 1000, self.size)))
            if self.assertions:
                vectors = vectors[self.assertions_hold(vectors)]
            # The arguments of a prior may be drawn where it has no distribution: a width below zero.
            vectors = vectors[~np.isnan(vectors).any(axis=-1)]
            kept.append(vectors[:missing])
            missing -= len(kept[-1])
            tried += 1000
            if missing == number and tried > MAX_REJECTIONS:
                known: dict[Any, str] = {parameter.prior: parameter.name for parameter in self.parameters}
                names = ", ".join(f"`{render(assertion, known.get)}`" for _, assertion in self.assertions)
                raise ModelError(
                    f"None of {tried} draws from the priors "
                    + (f"meets the assertions {names}." if names else "gives priors that exist."),
                    cure="Choose priors of which at least some draws do.",
                )
        return np.concatenate(kept)

    # -- instances --------------------------------------------------------------------------------

    def require_priors(self, purpose: str) -> None:
        """Raise one error that names every parameter without a prior, and every missing argument."""
        faults = Faults()
        for parameter in self.parameters:
            if isinstance(parameter.prior, MissingPrior):
                faults.add(parameter.name, "has no prior")
        faults.lines += self._missing_arguments().lines
        name = faults.lines[0].partition(":")[0] if faults.lines else ""
        place = f"model.{name}" if all(part.isidentifier() for part in name.split(".")) else "model.sigma"
        faults.raise_as(
            ModelError,
            f"The model cannot be {purpose} yet.",
            cure=f"Set each, for example {place} = UniformPrior(0.0, 10.0), or fix it: {place} = 1.0.",
        )

    def _missing_arguments(self) -> Faults:
        faults = Faults()
        for path, value in self.constants:
            if value is REQUIRED:
                faults.add(".".join(path), "has no value and no default")
        return faults

    def instance(self, vector: Any, *, ignore_assertions: bool = False) -> Any:
        """Return the user's objects at one vector of values."""
        if type(vector) is not np.ndarray or vector.dtype != np.float64 or vector.shape != (self.size,):
            vector = self._checked(vector)
        if self.assertions and not ignore_assertions and not self.assertions_hold(vector):
            raise FitException(f"An assertion of the model does not hold at {list(vector)}.")
        return self.build(self.split(vector) if self.has_arrays else list(vector))

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "build"}

    def _checked(self, vector: Any) -> np.ndarray:
        """Return a vector as an array, or refuse it."""
        array = _real_numbers(vector, "A vector")
        if array.shape != (self.size,):
            given = str(array.size) if array.ndim == 1 else f"the shape {array.shape}"
            raise ModelError(
                f"The model has {self.size} free parameters; a vector of {given} was given.",
                cure=f"In order: {some_of(('.'.join(path) for path in self.element_paths), MOST_NAMED)}.",
            )
        return array

    @cached_property
    def build(self) -> Callable[[list[Any]], Any]:
        """The function from a list of the free parameters' values to the user's objects."""
        faults = self._missing_arguments()
        faults.raise_as(ModelError, "The model gives no instance yet.", cure="Set each of them.")
        return compile_instances(self.root, self.position)


def _named_assertions(
    nodes: list[tuple[Path, Node]], found: dict[Expression, tuple[Path, ...]]
) -> tuple[tuple[str, Assertion], ...]:
    faults = Faults()
    assertions: dict[str, Assertion] = {}
    for path, node in nodes:
        for index, (name, assertion) in enumerate(node._assertions):
            full = ".".join((*path, name or f"assertion_{index}"))
            if full in assertions:
                faults.add(full, "is the name of two assertions")
            if not all(_is_known(side, found) for _, side in assertion.inputs()):
                faults.add(full, f"`{assertion!r}` speaks of a parameter that is not in the model (any more)")
            assertions[full] = assertion
    faults.raise_as(
        ModelError,
        "The model's assertions do not fit the model.",
        cure='A part of another model without such assertions is other.with_paths(["left"]).left.',
    )
    return tuple(assertions.items())


def _is_known(expression: Expression, found: dict[Expression, tuple[Path, ...]]) -> bool:
    if isinstance(expression, AbstractPrior):
        return expression in found
    return all(_is_known(other, found) for _, other in expression.inputs())
