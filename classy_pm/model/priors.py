"""The priors: one class a family, and all that is known of a family is in its class.

A prior's arguments are numbers, or parameters themselves: then the model is hierarchical. The
formulas are static methods that take arrays, so that many parameters of one family are evaluated
in one call; `pymc_name` and `pymc_arguments` say which PyMC distribution is the same.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Self, override

import numpy as np
from scipy import special

from classy_pm.errors import Faults, ModelError
from classy_pm.model.expressions import Expression, is_number

__all__ = [
    "AbstractPrior",
    "GaussianPrior",
    "LogGaussianPrior",
    "LogUniformPrior",
    "MissingPrior",
    "UniformPrior",
]

_LOG_ROOT_2PI = 0.5 * np.log(2.0 * np.pi)


class AbstractPrior(Expression):
    """A distribution over one parameter; the same object in two places is one parameter.

    A subclass names its arguments in its constructor and hands them to this one; it gives the
    formulas `_ppf`, `_cdf` and `_logpdf` (static, on arrays), its `_support`, the faults that its
    arguments can have, and the PyMC distribution that it is.

    Parameters
    ----------
    **arguments : float or Expression
        The distribution's arguments; an argument that is a prior makes a hierarchical model.
    """

    pymc_name: ClassVar[str | None] = None

    def __init__(self, **arguments: Any) -> None:
        faults = Faults()
        for name, value in arguments.items():
            if isinstance(value, Expression):
                continue
            if not is_number(value):
                faults.add(name, f"{value!r} is neither a real number nor a prior")
            elif np.isnan(float(value)):
                faults.add(name, "is NaN")
            else:
                arguments[name] = float(value)
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
    def _logpdf(value: Any, **arguments: Any) -> Any:
        raise NotImplementedError

    @staticmethod
    def _support(**arguments: Any) -> tuple[Any, Any]:
        return -np.inf, np.inf

    def _faults(self, **arguments: Any) -> Iterator[tuple[str, str]]:
        """Yield (argument, fault) for arguments that no distribution of this family has."""
        return iter(())

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
    def limits(self) -> tuple[float, float]:
        """The least and the greatest value that the parameter can have."""
        low, high = self._support(**self.numbers())
        return float(low), float(high)

    def __repr__(self) -> str:
        inner = ", ".join(f"{name}={value!r}" for name, value in self.shown_arguments().items())
        return f"{type(self).__name__}({inner})"

    def shown_arguments(self) -> Mapping[str, float | Expression]:
        """Return the arguments that are worth showing."""
        return self.arguments


class MissingPrior(AbstractPrior):
    """The place of a parameter that has no prior yet: composed and drawn, but not fitted."""

    def __repr__(self) -> str:
        return "no prior yet"


def _ordered(lower: Any, upper: Any) -> Iterator[tuple[str, str]]:
    """Yield the fault of limits that hold nothing between them."""
    if is_number(lower) and is_number(upper) and not lower < upper:
        yield "lower_limit", f"{lower} is not below upper_limit = {upper}"


def _positive(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if is_number(value) and not 0.0 < value < np.inf:
        yield name, f"{value} is not a positive, finite number"


def _finite(**values: Any) -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if is_number(value) and not np.isfinite(value):
            yield name, f"{value} is not finite"


def _inside(value: Any, lower: Any, upper: Any, logpdf: Any) -> Any:
    return np.where((value >= lower) & (value <= upper), logpdf, -np.inf)


class UniformPrior(AbstractPrior):
    """All values between two limits are equally probable.

    Parameters
    ----------
    lower_limit, upper_limit : float or Expression
        The limits, in the parameter's unit.

    Examples
    --------
    >>> UniformPrior(lower_limit=0.0, upper_limit=100.0).limits
    (0.0, 100.0)
    """

    pymc_name = "Uniform"

    def __init__(self, lower_limit: Any = 0.0, upper_limit: Any = 1.0) -> None:
        super().__init__(lower_limit=lower_limit, upper_limit=upper_limit)

    def _faults(self, lower_limit: Any, upper_limit: Any) -> Iterator[tuple[str, str]]:  # type: ignore[override]
        yield from _finite(lower_limit=lower_limit, upper_limit=upper_limit)
        yield from _ordered(lower_limit, upper_limit)

    @staticmethod
    def _support(lower_limit: Any, upper_limit: Any) -> tuple[Any, Any]:  # type: ignore[override]
        return lower_limit, upper_limit

    @staticmethod
    def _ppf(unit: Any, lower_limit: Any, upper_limit: Any) -> Any:  # type: ignore[override]
        return lower_limit + unit * (upper_limit - lower_limit)

    @staticmethod
    def _cdf(value: Any, lower_limit: Any, upper_limit: Any) -> Any:  # type: ignore[override]
        return np.clip((value - lower_limit) / (upper_limit - lower_limit), 0.0, 1.0)

    @staticmethod
    def _logpdf(value: Any, lower_limit: Any, upper_limit: Any) -> Any:  # type: ignore[override]
        return _inside(value, lower_limit, upper_limit, -np.log(upper_limit - lower_limit))

    @override
    def pymc_arguments(self, lower_limit: Any, upper_limit: Any) -> dict[str, Any]:  # type: ignore[override]
        return {"lower": lower_limit, "upper": upper_limit}


class LogUniformPrior(AbstractPrior):
    """The logarithm is uniform: each factor of ten between the limits is equally probable.

    Parameters
    ----------
    lower_limit, upper_limit : float or Expression
        The limits, positive, in the parameter's unit.

    Examples
    --------
    >>> float(LogUniformPrior(1e-2, 1e2).ppf(0.5).round(12))
    1.0
    """

    pymc_name = "LogUniform"  # not in PyMC: classy_pm.graph.priors builds it

    def __init__(self, lower_limit: Any = 1e-6, upper_limit: Any = 1.0) -> None:
        super().__init__(lower_limit=lower_limit, upper_limit=upper_limit)

    def _faults(self, lower_limit: Any, upper_limit: Any) -> Iterator[tuple[str, str]]:  # type: ignore[override]
        yield from _positive("lower_limit", lower_limit)
        yield from _positive("upper_limit", upper_limit)
        yield from _ordered(lower_limit, upper_limit)

    @staticmethod
    def _support(lower_limit: Any, upper_limit: Any) -> tuple[Any, Any]:  # type: ignore[override]
        return lower_limit, upper_limit

    @staticmethod
    def _ppf(unit: Any, lower_limit: Any, upper_limit: Any) -> Any:  # type: ignore[override]
        value = np.exp(np.log(lower_limit) + unit * (np.log(upper_limit) - np.log(lower_limit)))
        return np.clip(value, lower_limit, upper_limit)

    @staticmethod
    def _cdf(value: Any, lower_limit: Any, upper_limit: Any) -> Any:  # type: ignore[override]
        inside = np.clip(value, lower_limit, upper_limit)
        return np.log(inside / lower_limit) / np.log(upper_limit / lower_limit)

    @staticmethod
    def _logpdf(value: Any, lower_limit: Any, upper_limit: Any) -> Any:  # type: ignore[override]
        inside = np.clip(value, lower_limit, upper_limit)
        logpdf = -np.log(inside) - np.log(np.log(upper_limit / lower_limit))
        return _inside(value, lower_limit, upper_limit, logpdf)

    @override
    def pymc_arguments(self, lower_limit: Any, upper_limit: Any) -> dict[str, Any]:  # type: ignore[override]
        return {"lower": lower_limit, "upper": upper_limit}


def _log_mass(lower: Any, upper: Any) -> Any:
    """Return the log of a standard normal's probability between two limits, without cancellation.

    The side of zero on which the limits lie is mirrored to the left, where `log_ndtr` is exact.
    """
    right = np.asarray(lower) > 0.0
    low = np.where(right, -np.asarray(upper), lower)
    high = np.where(right, -np.asarray(lower), upper)
    top = special.log_ndtr(high)
    return top + np.log1p(-np.exp(special.log_ndtr(low) - top))


class GaussianPrior(AbstractPrior):
    """A normal distribution, truncated and renormalised where limits are given.

    Parameters
    ----------
    mean, sigma : float or Expression
        Mean and standard deviation of the normal distribution before truncation.
    lower_limit, upper_limit : float or Expression
        Limits; infinite by default.

    Examples
    --------
    >>> float(GaussianPrior(mean=10.0, sigma=5.0).ppf(0.5))
    10.0
    """

    def __init__(self, mean: Any, sigma: Any, lower_limit: Any = -np.inf, upper_limit: Any = np.inf) -> None:
        super().__init__(mean=mean, sigma=sigma, lower_limit=lower_limit, upper_limit=upper_limit)

    def _faults(  # type: ignore[override]
        self, mean: Any, sigma: Any, lower_limit: Any, upper_limit: Any
    ) -> Iterator[tuple[str, str]]:
        yield from _finite(mean=mean)
        yield from _positive("sigma", sigma)
        yield from _ordered(lower_limit, upper_limit)

    @property
    def truncated(self) -> bool:
        """Whether there are limits."""
        return self.arguments["lower_limit"] != -np.inf or self.arguments["upper_limit"] != np.inf

    @property
    @override
    def pymc_name(self) -> str:  # type: ignore[override]
        return "TruncatedNormal" if self.truncated else "Normal"

    @staticmethod
    def _support(mean: Any, sigma: Any, lower_limit: Any, upper_limit: Any) -> tuple[Any, Any]:  # type: ignore[override]
        return lower_limit, upper_limit

    @staticmethod
    def _ppf(unit: Any, mean: Any, sigma: Any, lower_limit: Any, upper_limit: Any) -> Any:  # type: ignore[override]
        # Far in a tail the probability itself underflows: work with logs, from the nearer tail.
        low, high = (lower_limit - mean) / sigma, (upper_limit - mean) / sigma
        right = low > 0.0
        low, high = np.where(right, -high, low), np.where(right, -low, high)
        unit = np.where(right, 1.0 - unit, unit)
        log_below = np.logaddexp(special.log_ndtr(low), np.log(unit) + _log_mass(low, high))
        log_above = np.logaddexp(special.log_ndtr(-high), np.log1p(-unit) + _log_mass(low, high))
        standard = np.where(
            log_below < log_above, special.ndtri_exp(log_below), -special.ndtri_exp(log_above)
        )
        value = mean + sigma * np.where(right, -standard, standard)
        return np.clip(value, lower_limit, upper_limit)

    @staticmethod
    def _cdf(value: Any, mean: Any, sigma: Any, lower_limit: Any, upper_limit: Any) -> Any:  # type: ignore[override]
        low, high = (lower_limit - mean) / sigma, (upper_limit - mean) / sigma
        standard = np.clip((value - mean) / sigma, low, high)
        return np.exp(_log_mass(low, standard) - _log_mass(low, high))

    @staticmethod
    def _logpdf(value: Any, mean: Any, sigma: Any, lower_limit: Any, upper_limit: Any) -> Any:  # type: ignore[override]
        mass = _log_mass((lower_limit - mean) / sigma, (upper_limit - mean) / sigma)
        logpdf = -0.5 * ((value - mean) / sigma) ** 2 - np.log(sigma) - _LOG_ROOT_2PI - mass
        return _inside(value, lower_limit, upper_limit, logpdf)

    @override
    def pymc_arguments(self, mean: Any, sigma: Any, lower_limit: Any, upper_limit: Any) -> dict[str, Any]:  # type: ignore[override]
        if not self.truncated:
            return {"mu": mean, "sigma": sigma}
        limits = {"lower": lower_limit, "upper": upper_limit}
        finite = {name: value for name, value in limits.items() if not (is_number(value) and np.isinf(value))}
        return {"mu": mean, "sigma": sigma, **finite}

    @override
    def shown_arguments(self) -> Mapping[str, float | Expression]:
        if self.truncated:
            return self.arguments
        return {name: self.arguments[name] for name in ("mean", "sigma")}


class LogGaussianPrior(AbstractPrior):
    """The natural logarithm is normal.

    Parameters
    ----------
    mean, sigma : float or Expression
        Mean and standard deviation of the parameter's natural logarithm.

    Examples
    --------
    >>> float(LogGaussianPrior(mean=0.0, sigma=1.0).ppf(0.5))
    1.0
    """

    pymc_name = "LogNormal"

    def __init__(self, mean: Any, sigma: Any) -> None:
        super().__init__(mean=mean, sigma=sigma)

    def _faults(self, mean: Any, sigma: Any) -> Iterator[tuple[str, str]]:  # type: ignore[override]
        yield from _finite(mean=mean)
        yield from _positive("sigma", sigma)

    @staticmethod
    def _support(mean: Any, sigma: Any) -> tuple[Any, Any]:  # type: ignore[override]
        return 0.0, np.inf

    @staticmethod
    def _ppf(unit: Any, mean: Any, sigma: Any) -> Any:  # type: ignore[override]
        return np.exp(mean + sigma * special.ndtri(unit))

    @staticmethod
    def _cdf(value: Any, mean: Any, sigma: Any) -> Any:  # type: ignore[override]
        return special.ndtr((np.log(np.maximum(value, 0.0)) - mean) / sigma)

    @staticmethod
    def _logpdf(value: Any, mean: Any, sigma: Any) -> Any:  # type: ignore[override]
        log = np.log(np.where(value > 0.0, value, 1.0))
        logpdf = -0.5 * ((log - mean) / sigma) ** 2 - log - np.log(sigma) - _LOG_ROOT_2PI
        return np.where(value > 0.0, logpdf, -np.inf)

    @override
    def pymc_arguments(self, mean: Any, sigma: Any) -> dict[str, Any]:  # type: ignore[override]
        return {"mu": mean, "sigma": sigma}
