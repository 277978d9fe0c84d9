"""The families of priors: one class each, and all that is known of a family is in its class.

The formulas are static methods that take arrays, so that many parameters of one family are evaluated
in one call; `pymc_name` and `pymc_arguments` say which PyMC distribution is the same. Where nothing
else is said, they are those of the distribution's definition.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, override

import numpy as np
from scipy import special

from classy_pm.model.expressions import Expression, is_number
from classy_pm.model.prior import AbstractPrior

__all__ = [
    "FAMILIES",
    "BetaPrior",
    "GammaPrior",
    "GaussianPrior",
    "HalfGaussianPrior",
    "LogGaussianPrior",
    "LogUniformPrior",
    "StudentTPrior",
    "UniformPrior",
]

# A part of a normal distribution that is narrower than this, in its standard deviations, is nearly
# exponential; from the probabilities of two tails less of it is known.
_NARROW = 1e-5
# With more degrees of freedom than this the series of Student's t is better than its gamma functions.
_NEARLY_NORMAL = 1e4
_LOG_ROOT_2PI = 0.5 * np.log(2.0 * np.pi)
_ROOT_2 = np.sqrt(2.0)


def _finite(**values: Any) -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if is_number(value) and not np.isfinite(value):
            yield name, f"{value} is not finite"


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
    ordered = ("lower_limit", "upper_limit")

    def __init__(self, lower_limit: Any = 0.0, upper_limit: Any = 1.0) -> None:
        super().__init__(lower_limit=lower_limit, upper_limit=upper_limit)

    def _faults(self, lower_limit: Any, upper_limit: Any) -> Iterator[tuple[str, str]]:  # type: ignore[override]
        yield from _finite(lower_limit=lower_limit, upper_limit=upper_limit)
        yield from super()._faults(lower_limit=lower_limit, upper_limit=upper_limit)
        limits = [float(limit) for limit in (lower_limit, upper_limit) if is_number(limit)]
        if len(limits) == 2 and np.all(np.isfinite(limits)) and np.isinf(limits[1] - limits[0]):
            yield "upper_limit", f"{upper_limit} is farther from {lower_limit} than a float can say"

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
    def _log_mass(lower_limit: Any, upper_limit: Any) -> Any:  # type: ignore[override]
        return np.log(upper_limit - lower_limit)

    @override
    def _truncated(self, lower: float, upper: float) -> AbstractPrior:
        return UniformPrior(lower, upper)

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
    positive = ("lower_limit", "upper_limit")
    ordered = ("lower_limit", "upper_limit")

    def __init__(self, lower_limit: Any = 1e-6, upper_limit: Any = 1.0) -> None:
        super().__init__(lower_limit=lower_limit, upper_limit=upper_limit)

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
        return _log_ratio(inside, lower_limit) / _log_ratio(upper_limit, lower_limit)

    @staticmethod
    def _log_kernel(value: Any, lower_limit: Any, upper_limit: Any) -> Any:  # type: ignore[override]
        return -np.log(value)

    @staticmethod
    def _log_mass(lower_limit: Any, upper_limit: Any) -> Any:  # type: ignore[override]
        return np.log(_log_ratio(upper_limit, lower_limit))

    @override
    def _truncated(self, lower: float, upper: float) -> AbstractPrior:
        return LogUniformPrior(lower, upper)

    @override
    def pymc_arguments(self, lower_limit: Any, upper_limit: Any) -> dict[str, Any]:  # type: ignore[override]
        return {"lower": lower_limit, "upper": upper_limit}


def log_probability(lower: Any, upper: Any) -> Any:
    """Return the log of a standard normal's probability between two limits, without cancellation.

    The side of zero on which the limits lie is mirrored to the left, where `log_ndtr` is exact.
    """
    right = np.greater(lower, 0.0)
    low = np.where(right, np.negative(upper), lower)
    high = np.where(right, np.negative(lower), upper)
    top = special.log_ndtr(high)
    between = top + np.log1p(-np.exp(special.log_ndtr(low) - top))
    middle, width = 0.5 * (low + high), high - low
    narrow = -0.5 * middle**2 - _LOG_ROOT_2PI + np.log(width) + _log_sinh_over(0.5 * middle * width)
    return np.where(low < high, np.where(width < _NARROW, narrow, between), -np.inf)


def _log_sinh_over(x: Any) -> Any:
    """Return log(sinh(x) / x)."""
    x = np.abs(x)
    return np.where(x < 1e-4, x**2 / 6.0, x + np.log1p(-np.exp(-2.0 * x)) - np.log(2.0 * x))


def _log_ratio(upper: Any, lower: Any) -> Any:
    """Return log(upper / lower), also where the ratio is no float."""
    ratio = upper / lower
    return np.where(np.isinf(ratio), np.log(upper) - np.log(lower), np.log(ratio))


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

    positive = ("sigma",)
    ordered = ("lower_limit", "upper_limit")

    def __init__(self, mean: Any, sigma: Any, lower_limit: Any = -np.inf, upper_limit: Any = np.inf) -> None:
        super().__init__(mean=mean, sigma=sigma, lower_limit=lower_limit, upper_limit=upper_limit)

    def _faults(  # type: ignore[override]
        self, mean: Any, sigma: Any, lower_limit: Any, upper_limit: Any
    ) -> Iterator[tuple[str, str]]:
        yield from _finite(mean=mean)
        yield from super()._faults(mean=mean, sigma=sigma, lower_limit=lower_limit, upper_limit=upper_limit)

    @property
    def truncated(self) -> bool:
        """Whether there are limits."""
        limits = (self.arguments[name] for name in ("lower_limit", "upper_limit"))
        return not all(isinstance(limit, (float, np.ndarray)) and np.all(np.isinf(limit)) for limit in limits)

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
        log_below = np.logaddexp(special.log_ndtr(low), np.log(unit) + log_probability(low, high))
        log_above = np.logaddexp(special.log_ndtr(-high), np.log1p(-unit) + log_probability(low, high))
        standard = np.where(
            log_below < log_above, special.ndtri_exp(log_below), -special.ndtri_exp(log_above)
        )
        value = mean + sigma * np.where(right, -standard, standard)
        # Of a narrow part: `unit` is now from that side which is nearer to the mean's left.
        steep = 0.5 * (low + high) * (high - low)
        share = np.where(np.abs(steep) < 1e-12, unit, -np.log1p(unit * np.expm1(-steep)) / steep)
        share = np.where(right, 1.0 - share, share)
        narrow = lower_limit + (upper_limit - lower_limit) * share
        value = np.where(high - low < _NARROW, narrow, value)
        return np.clip(value, lower_limit, upper_limit)

    @staticmethod
    def _cdf(value: Any, mean: Any, sigma: Any, lower_limit: Any, upper_limit: Any) -> Any:  # type: ignore[override]
        low, high = (lower_limit - mean) / sigma, (upper_limit - mean) / sigma
        standard = np.clip((value - mean) / sigma, low, high)
        between = np.exp(log_probability(low, standard) - log_probability(low, high))
        share = np.clip((value - lower_limit) / (upper_limit - lower_limit), 0.0, 1.0)
        steep = 0.5 * (low + high) * (high - low)
        narrow = np.where(np.abs(steep) < 1e-12, share, np.expm1(-steep * share) / np.expm1(-steep))
        return np.where(high - low < _NARROW, narrow, between)

    @staticmethod
    def _log_kernel(value: Any, mean: Any, sigma: Any, lower_limit: Any, upper_limit: Any) -> Any:  # type: ignore[override]
        return -0.5 * ((value - mean) / sigma) ** 2

    @staticmethod
    def _log_mass(mean: Any, sigma: Any, lower_limit: Any, upper_limit: Any) -> Any:  # type: ignore[override]
        between = log_probability((lower_limit - mean) / sigma, (upper_limit - mean) / sigma)
        return np.log(sigma) + _LOG_ROOT_2PI + between

    @override
    def _truncated(self, lower: float, upper: float) -> AbstractPrior:
        numbers = self.numbers()
        return GaussianPrior(numbers["mean"], numbers["sigma"], lower, upper)

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
    positive = ("sigma",)

    def __init__(self, mean: Any, sigma: Any) -> None:
        super().__init__(mean=mean, sigma=sigma)

    def _faults(self, mean: Any, sigma: Any) -> Iterator[tuple[str, str]]:  # type: ignore[override]
        yield from _finite(mean=mean)
        yield from super()._faults(mean=mean, sigma=sigma)

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
    def _log_kernel(value: Any, mean: Any, sigma: Any) -> Any:  # type: ignore[override]
        log = np.log(value)
        return -0.5 * ((log - mean) / sigma) ** 2 - log

    @staticmethod
    def _log_mass(mean: Any, sigma: Any) -> Any:  # type: ignore[override]
        return np.log(sigma) + _LOG_ROOT_2PI

    @override
    def pymc_arguments(self, mean: Any, sigma: Any) -> dict[str, Any]:  # type: ignore[override]
        return {"mu": mean, "sigma": sigma}


class HalfGaussianPrior(AbstractPrior):
    """The absolute value of a normal variable of mean zero.

    Parameters
    ----------
    sigma : float or Expression
        The normal variable's standard deviation, in the parameter's unit.

    Examples
    --------
    >>> HalfGaussianPrior(sigma=2.0).limits
    (0.0, inf)
    """

    pymc_name = "HalfNormal"
    positive = ("sigma",)

    def __init__(self, sigma: Any = 1.0) -> None:
        super().__init__(sigma=sigma)

    @staticmethod
    def _support(sigma: Any) -> tuple[Any, Any]:  # type: ignore[override]
        return 0.0, np.inf

    @staticmethod
    def _ppf(unit: Any, sigma: Any) -> Any:  # type: ignore[override]
        return sigma * _ROOT_2 * special.erfinv(unit)

    @staticmethod
    def _cdf(value: Any, sigma: Any) -> Any:  # type: ignore[override]
        return special.erf(np.maximum(value, 0.0) / (sigma * _ROOT_2))

    @staticmethod
    def _log_kernel(value: Any, sigma: Any) -> Any:  # type: ignore[override]
        return -0.5 * (value / sigma) ** 2

    @staticmethod
    def _log_mass(sigma: Any) -> Any:  # type: ignore[override]
        return np.log(sigma) + _LOG_ROOT_2PI - np.log(2.0)

    @override
    def _truncated(self, lower: float, upper: float) -> AbstractPrior:
        return GaussianPrior(0.0, self.numbers()["sigma"], lower, upper)


class BetaPrior(AbstractPrior):
    """A share between 0 and 1.

    Parameters
    ----------
    alpha, beta : float or Expression
        The shape parameters; ``alpha=1, beta=1`` is uniform.

    Examples
    --------
    >>> BetaPrior(alpha=2.0, beta=2.0).limits
    (0.0, 1.0)
    """

    pymc_name = "Beta"
    positive = ("alpha", "beta")

    def __init__(self, alpha: Any, beta: Any) -> None:
        super().__init__(alpha=alpha, beta=beta)

    @staticmethod
    def _support(alpha: Any, beta: Any) -> tuple[Any, Any]:  # type: ignore[override]
        return 0.0, 1.0

    @staticmethod
    def _ppf(unit: Any, alpha: Any, beta: Any) -> Any:  # type: ignore[override]
        return special.betaincinv(alpha, beta, unit)

    @staticmethod
    def _cdf(value: Any, alpha: Any, beta: Any) -> Any:  # type: ignore[override]
        return special.betainc(alpha, beta, np.clip(value, 0.0, 1.0))

    @staticmethod
    def _log_kernel(value: Any, alpha: Any, beta: Any) -> Any:  # type: ignore[override]
        return special.xlogy(alpha - 1.0, value) + special.xlog1py(beta - 1.0, -value)

    @staticmethod
    def _log_mass(alpha: Any, beta: Any) -> Any:  # type: ignore[override]
        return special.betaln(alpha, beta)


class GammaPrior(AbstractPrior):
    """A positive number: the waiting time for `alpha` events of rate `beta`.

    Parameters
    ----------
    alpha : float or Expression
        The shape.
    beta : float or Expression
        The rate, in the inverse of the parameter's unit; the mean is ``alpha / beta``.

    Examples
    --------
    >>> GammaPrior(alpha=2.0, beta=0.5).limits
    (0.0, inf)
    """

    pymc_name = "Gamma"
    positive = ("alpha", "beta")

    def __init__(self, alpha: Any, beta: Any) -> None:
        super().__init__(alpha=alpha, beta=beta)

    @staticmethod
    def _support(alpha: Any, beta: Any) -> tuple[Any, Any]:  # type: ignore[override]
        return 0.0, np.inf

    @staticmethod
    def _ppf(unit: Any, alpha: Any, beta: Any) -> Any:  # type: ignore[override]
        return special.gammaincinv(alpha, unit) / beta

    @staticmethod
    def _cdf(value: Any, alpha: Any, beta: Any) -> Any:  # type: ignore[override]
        return special.gammainc(alpha, beta * np.maximum(value, 0.0))

    @staticmethod
    def _log_kernel(value: Any, alpha: Any, beta: Any) -> Any:  # type: ignore[override]
        return special.xlogy(alpha - 1.0, beta * value) - beta * value

    @staticmethod
    def _log_mass(alpha: Any, beta: Any) -> Any:  # type: ignore[override]
        return special.gammaln(alpha) - np.log(beta)


class StudentTPrior(AbstractPrior):
    """A normal distribution with heavier tails.

    Parameters
    ----------
    nu : float or Expression
        The degrees of freedom; 1 is Cauchy's distribution, infinity the normal one.
    mean : float or Expression
        The centre, in the parameter's unit; the mean where `nu` is above 1.
    sigma : float or Expression
        The scale, in the parameter's unit; wider than this by far where `nu` is small.

    Examples
    --------
    >>> float(StudentTPrior(nu=3.0, mean=1.0, sigma=2.0).ppf(0.5))
    1.0
    """

    pymc_name = "StudentT"
    positive = ("nu", "sigma")

    def __init__(self, nu: Any, mean: Any = 0.0, sigma: Any = 1.0) -> None:
        super().__init__(nu=nu, mean=mean, sigma=sigma)

    def _faults(self, nu: Any, mean: Any, sigma: Any) -> Iterator[tuple[str, str]]:  # type: ignore[override]
        yield from _finite(mean=mean)
        yield from super()._faults(nu=nu, mean=mean, sigma=sigma)

    @staticmethod
    def _ppf(unit: Any, nu: Any, mean: Any, sigma: Any) -> Any:  # type: ignore[override]
        standard = np.where(unit > 0.0, special.stdtrit(nu, unit), -np.inf)  # SciPy gives +inf at 0
        return mean + sigma * standard

    @staticmethod
    def _cdf(value: Any, nu: Any, mean: Any, sigma: Any) -> Any:  # type: ignore[override]
        return special.stdtr(nu, (value - mean) / sigma)

    @staticmethod
    def _log_kernel(value: Any, nu: Any, mean: Any, sigma: Any) -> Any:  # type: ignore[override]
        return -0.5 * (nu + 1.0) * np.log1p(((value - mean) / sigma) ** 2 / nu)

    @staticmethod
    def _log_mass(nu: Any, mean: Any, sigma: Any) -> Any:  # type: ignore[override]
        gammas = special.gammaln(0.5 * nu) - special.gammaln(0.5 * (nu + 1.0))
        gammas = np.where(nu > _NEARLY_NORMAL, 0.25 / nu - 0.5 * np.log(0.5 * nu), gammas)
        return gammas + 0.5 * np.log(nu) + 0.5 * np.log(np.pi) + np.log(sigma)

    @override
    def pymc_arguments(self, nu: Any, mean: Any, sigma: Any) -> dict[str, Any]:  # type: ignore[override]
        return {"nu": nu, "mu": mean, "sigma": sigma}


FAMILIES: dict[str, type[AbstractPrior]] = {
    name: value
    for name, value in list(globals().items())
    if isinstance(value, type) and issubclass(value, AbstractPrior) and value is not AbstractPrior
}
