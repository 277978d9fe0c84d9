"""What all priors share: arguments that are numbers or parameters, and what can be asked of a prior."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self, override

import numpy as np

from classy_pm.errors import Faults, ModelError, did_you_mean
from classy_pm.model.expressions import Expression, is_number, render
from classy_pm.model.origin import Origin

__all__ = ["AbstractPrior", "Array", "MissingPrior", "WidthModifier"]


@dataclass(frozen=True)
class WidthModifier:
    """How wide the prior of a chained fit is: an absolute width, or one relative to the value.

    Parameters
    ----------
    kind : {"Absolute", "Relative"}
    value : float
    """

    kind: str
    value: float

    def __post_init__(self) -> None:
        if self.kind not in ("Absolute", "Relative") or not self.value > 0.0:
            raise ModelError(
                f"{self} is no width.", cure="Its kind is Absolute or Relative, and its value above zero."
            )


class AbstractPrior(Expression):
    """A distribution over one parameter; the same object in two places is one parameter.

    A subclass names its arguments in its constructor and hands them to this one; it gives the
    formulas `_ppf`, `_cdf`, `_log_kernel` and `_log_mass` (static, on arrays), its `_support`, the faults
    that its arguments can have, and the PyMC distribution that it is. Of its arguments, those that are
    parameters themselves can take values that no distribution of the family has: there the density
    is zero and the quantiles are NaN, whatever the formulas give.

    Parameters
    ----------
    **arguments : float or Expression
        The distribution's arguments; an argument that is a prior makes a hierarchical model.
    """

    pymc_name: ClassVar[str | None] = None
    shape: tuple[int, ...] = ()
    # How wide a prior is that a later fit makes of this fit's posterior, and its limits.
    width_modifier: WidthModifier | None = None
    chained_limits: tuple[float, float] | None = None
    # Of which fits it was made, with its arguments and its shape as they were then.
    _made: tuple[tuple[Origin, ...], dict[str, Any], tuple[int, ...]] = ((), {}, ())
    # Which arguments must be above zero, and which two must stand in this order: no distribution of
    # the family has others.
    positive: ClassVar[tuple[str, ...]] = ()
    ordered: ClassVar[tuple[str, str] | None] = None

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__init__" in vars(cls):
            cls.__init__ = _naming_wrong_arguments(cls.__init__)  # type: ignore[method-assign]
        if isinstance(vars(cls).get("_ppf"), staticmethod) and (cls.positive or cls.ordered):
            cls._ppf = staticmethod(_nan_unless_possible(cls, cls._ppf))  # type: ignore[method-assign]

    def __init__(self, **arguments: Any) -> None:
        faults = Faults()
        for name, value in arguments.items():
            if isinstance(value, Expression):
                continue
            if not is_number(value):
                faults.add(name, f"{value!r} is neither a real number nor a prior")
                continue
            try:
                arguments[name] = float(value)
            except OverflowError:
                faults.add(name, "is too large for a float")
                continue
            if np.isnan(arguments[name]):
                faults.add(name, "is NaN")
        self.arguments: dict[str, float | Expression] = arguments
        if not faults.lines:
            for name, text in self._faults(**arguments):
                faults.add(name, text)
        faults.raise_as(ModelError, f"{type(self).__name__} cannot have these arguments.")

    # -- what a family gives ------------------------------------------------------------------

    @staticmethod
    def _ppf(unit: Any, **arguments: Any) -> Any:
        raise NotImplementedError

    @staticmethod
    def _cdf(value: Any, **arguments: Any) -> Any:
        raise NotImplementedError

    @staticmethod
    def _log_kernel(value: Any, **arguments: Any) -> Any:
        """Return the log density within the limits, but for what is the same at all values."""
        return np.zeros_like(value)

    @staticmethod
    def _log_mass(**arguments: Any) -> Any:
        """Return the log of the kernel's integral between the limits."""
        raise NotImplementedError

    @staticmethod
    def _support(**arguments: Any) -> tuple[Any, Any]:
        return -np.inf, np.inf

    def _truncated(self, lower: float, upper: float) -> AbstractPrior | None:
        """Return the distribution between two values, if it is of a family that has limits."""
        return None

    def _faults(self, **arguments: Any) -> Iterator[tuple[str, str]]:
        """Yield (argument, fault) for arguments that no distribution of this family has."""
        for name in self.positive:
            if is_number(arguments[name]) and not 0.0 < arguments[name] < np.inf:
                yield name, f"{arguments[name]} is not a positive, finite number"
        if self.ordered is not None:
            low, high = (arguments[name] for name in self.ordered)
            if is_number(low) and is_number(high) and not low < high:
                yield self.ordered[0], f"{low} is not below {self.ordered[1]} = {high}"

    def _kernel_limits(self, **arguments: Any) -> tuple[Any, Any]:
        """Return the limits outside of which the density is zero, whatever the kernel is."""
        return self._support(**arguments)

    def _logpdf(self, value: Any, **arguments: Any) -> Any:
        lower, upper = self._kernel_limits(**arguments)
        density = self._log_kernel(value, **arguments) - self._log_mass(**arguments)
        somewhere = (value >= lower) & (value <= upper) & self.possible(arguments)
        return np.where(somewhere & ~np.isnan(density), density, -np.inf)

    @classmethod
    def possible(cls, arguments: Mapping[str, Any]) -> Any:
        """Return whether there is a distribution with these arguments (floats or arrays)."""
        possible: Any = True
        for name in cls.positive:
            possible = possible & (arguments[name] > 0.0)
        if cls.ordered is not None:
            low, high = cls.ordered
            possible = possible & (arguments[low] < arguments[high])
        return possible

    def pymc_arguments(self, **arguments: Any) -> dict[str, Any]:
        """Return the arguments of the PyMC distribution `pymc_name` for these arguments.

        Parameters
        ----------
        **arguments : float or TensorVariable
            The prior's own arguments, with graph variables for those that are parameters.
        """
        return arguments

    # -- what a user asks -----------------------------------------------------------------------

    @override
    def inputs(self) -> Iterator[tuple[str, Expression]]:
        for name, value in self.arguments.items():
            if isinstance(value, Expression):
                yield name, value

    def evaluated_arguments(self, value_of: Callable[[Expression], Any]) -> dict[str, Any]:
        """Return the arguments with values in the place of expressions."""
        return {
            name: value_of(value) if isinstance(value, Expression) else value
            for name, value in self.arguments.items()
        }

    def numbers(self) -> dict[str, float]:
        """Return the arguments, all of which must be numbers."""
        unknown = [name for name, _ in self.inputs()]
        if unknown:
            raise ModelError(
                f"{type(self).__name__} has no density of its own: {', '.join(unknown)} "
                f"{'is a parameter itself' if len(unknown) == 1 else 'are parameters themselves'}.",
                cure="Ask the model: model.random_instance(), model.instance_from_unit_vector(...).",
            )
        return self.arguments  # type: ignore[return-value]

    def ppf(self, unit: Any) -> Any:
        """Return the value below which this share of the probability lies.

        Parameters
        ----------
        unit : float or array_like
            Probabilities in [0, 1].

        Returns
        -------
        float or numpy.ndarray
            Parameter values, of the shape of `unit`.

        Examples
        --------
        >>> from classy_pm.model import UniformPrior
        >>> float(UniformPrior(0.0, 10.0).ppf(0.25))
        2.5
        """
        unit = np.asarray(unit, dtype=float)
        with np.errstate(all="ignore"):
            return np.where((unit >= 0.0) & (unit <= 1.0), self._ppf(unit, **self.numbers()), np.nan)[()]

    def cdf(self, value: Any) -> Any:
        """Return the probability below each value (float or array_like, in the parameter's unit)."""
        with np.errstate(all="ignore"):
            return self._cdf(np.asarray(value, dtype=float), **self.numbers())[()]

    def logpdf(self, value: Any) -> Any:
        """Return the normalised log density at each value; -inf outside the limits.

        Examples
        --------
        >>> from classy_pm.model import UniformPrior
        >>> float(UniformPrior(0.0, 1.0).logpdf(2.0))
        -inf
        """
        with np.errstate(all="ignore"):
            return self._logpdf(np.asarray(value, dtype=float), **self.numbers())[()]

    def sample(self, size: Any = None, random_seed: Any = None) -> Any:
        """Draw values.

        Parameters
        ----------
        size : int or tuple of int, optional
            The shape of what is drawn; None gives one number.
        random_seed : int or numpy.random.Generator, optional
            The same seed gives the same draws.
        """
        return self.ppf(np.random.default_rng(random_seed).random(size))

    def copy(self) -> Self:
        """Return a prior of the same distribution that is another parameter."""
        return copy.copy(self)

    @property
    def family(self) -> str:
        """What distribution it is, by name."""
        return type(self).__name__

    def with_arguments(self, arguments: dict[str, float | Expression]) -> Self:
        """Return another parameter of the same family, with other arguments."""
        other = self.copy()
        other.arguments = dict(arguments)
        return other

    def within(self, lower: float, upper: float) -> AbstractPrior:
        """Return another parameter with this distribution, truncated and renormalised between two values.

        Raises
        ------
        ModelError
            If the family has no limits.

        Examples
        --------
        >>> from classy_pm.model import UniformPrior
        >>> UniformPrior(0.0, 100.0).within(25.0, 50.0)
        UniformPrior(lower_limit=25.0, upper_limit=50.0)
        """
        new = None if self.shape else self._truncated(lower, upper)
        if new is None:
            raise ModelError(
                f"{self!r} cannot be truncated.",
                cure="A uniform, log-uniform or Gaussian prior of a single number can.",
            )
        new.width_modifier, new.chained_limits = self.width_modifier, self.chained_limits
        return new

    @property
    def limits(self) -> tuple[float, float]:
        """The least and the greatest value that the parameter can have."""
        low, high = self._support(**self.numbers())
        return float(np.min(low)), float(np.max(high))

    @property
    def origins(self) -> tuple[Origin, ...]:
        """The fits whose posteriors it was made of, in an array along a plate one an element.

        A prior that was changed since, or was not made of any, has none.
        """
        origins, arguments, shape = self._made
        same = self.shape == shape and self.arguments.keys() == arguments.keys()
        unchanged = same and all(_same(value, arguments[name]) for name, value in self.arguments.items())
        return origins if unchanged else ()

    def made_of(self, *origins: Origin) -> None:
        """Note of which fits the prior was made, as it is now."""
        self._made = origins, dict(self.arguments), self.shape

    def __repr__(self) -> str:
        inner = ", ".join(f"{name}={render(value)}" for name, value in self.shown_arguments().items())
        text = f"{type(self).__name__}({inner})"
        return f"Array({self.shape}, {text})" if self.shape else text

    def shown_arguments(self) -> Mapping[str, float | Expression]:
        """Return the arguments that are worth showing."""
        return self.arguments


def _same(value: Any, other: Any) -> bool:
    """Whether two arguments are the same expression, or equal numbers."""
    if isinstance(value, Expression) or isinstance(other, Expression):
        return value is other
    return value is other or np.array_equal(value, other)


def _naming_wrong_arguments(constructor: Callable[..., None]) -> Callable[..., None]:
    """Let a constructor tell in our own words which arguments it does not have, or misses."""
    signature = inspect.signature(constructor)
    names = [name for name in signature.parameters if name != "self"]

    @functools.wraps(constructor)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        try:
            constructor(self, *args, **kwargs)
        except TypeError:
            try:
                signature.bind(self, *args, **kwargs)
            except TypeError as error:
                family = type(self).__name__
                wrong = [name for name in kwargs if name not in names]
                if wrong:
                    raise ModelError(
                        f"{family} has no argument `{wrong[0]}`.", cure=did_you_mean(wrong[0], names)
                    ) from None
                raise ModelError(
                    f"{family} cannot be made of these arguments: {error}.",
                    cure=f"Its arguments are {', '.join(f'`{name}`' for name in names)}.",
                ) from None
            raise

    return __init__


def _nan_unless_possible(family: type[AbstractPrior], ppf: Callable[..., Any]) -> Callable[..., Any]:
    """Let quantiles be NaN where no distribution of the family has the arguments."""

    @functools.wraps(ppf)
    def guarded(unit: Any, **arguments: Any) -> Any:
        possible = family.possible(arguments)
        values = ppf(unit, **arguments)
        return values if np.all(possible) else np.where(possible, values, np.nan)[()]

    return guarded


def Array(shape: int | tuple[int, ...], prior: AbstractPrior) -> AbstractPrior:
    """Return an array of independent numbers with the same prior: one vector random variable.

    Parameters
    ----------
    shape : int or tuple of int
    prior : AbstractPrior
        The prior of each element; it is copied, and stays what it is.

    Examples
    --------
    >>> from classy_pm.model import Collection, UniformPrior
    >>> model = Collection(weights=Array(3, UniformPrior(0.0, 1.0)))
    >>> model.total_free_parameters
    3
    """
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    if not shape or not all(isinstance(length, int) and length > 0 for length in shape):
        raise ModelError(f"Array({shape}, ...) is empty.", cure="Its shape is positive integers.")
    if not isinstance(prior, AbstractPrior) or prior.shape:
        raise ModelError(
            f"An Array needs the prior of one number, not {prior!r}.",
            cure="Write for example Array((3, 2), UniformPrior(0.0, 1.0)).",
        )
    array = prior.copy()
    array.shape = shape
    return array


class MissingPrior(AbstractPrior):
    """The place of a parameter that has no prior yet: composed and drawn, but not fitted."""

    def __repr__(self) -> str:
        return "no prior yet"
