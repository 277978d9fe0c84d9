"""`Prior`: any univariate, continuous distribution of PyMC or PreliZ as a prior.

This floor does not import PyMC. Who hands over one of its distributions has imported it, and its
functions are taken from there.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from functools import lru_cache
from typing import Any, override

import numpy as np

from classy_pm.errors import ModelError
from classy_pm.model.expressions import Expression
from classy_pm.model.integrate import IntegratedDensity
from classy_pm.model.prior import AbstractPrior

__all__ = ["Prior"]

# Halvings of an interval until a quantile is as exact as a float can be.
BISECTIONS = 120
# What PyMC's check of a distribution's parameters raises: its ParameterValueError is the one or the other.
_IMPOSSIBLE = (AssertionError, ValueError)


class Prior(AbstractPrior):
    """A prior that is any univariate, continuous distribution of PyMC, or a PreliZ object.

    Parameters
    ----------
    distribution : type or object
        A PyMC distribution such as ``pm.Weibull``, or a PreliZ object such as ``pz.Gamma(2, 1)``.
    **parameters : float or Expression
        The PyMC distribution's parameters by their PyMC names; priors among them make a
        hierarchical model.

    Raises
    ------
    ModelError
        If it is neither, if it is discrete or multivariate, or if the parameters do not fit.

    Examples
    --------
    >>> import pymc as pm
    >>> Prior(pm.Exponential, lam=2.0)
    Prior(Exponential, lam=2.0)
    """

    def __init__(self, distribution: Any, **parameters: Any) -> None:
        package = getattr(distribution, "__module__", type(distribution).__module__).partition(".")[0]
        if inspect.isclass(distribution) and hasattr(distribution, "dist"):
            super().__init__(**parameters)
            self.distribution: Any = distribution
            self.frozen: Any = None
            _check_pymc(distribution, self.arguments)
        elif package == "preliz" and not inspect.isclass(distribution) and not parameters:
            super().__init__(**distribution.params_dict)
            self.distribution = type(distribution)
            self.frozen = distribution
            if distribution.kind != "continuous":
                raise ModelError(f"{type(distribution).__name__} is {distribution.kind}, not continuous.")
            _check_preliz(distribution)
        else:
            raise ModelError(
                f"{distribution!r} is no distribution that a prior can be made of.",
                cure="Write Prior(pm.Gamma, alpha=2.0, beta=1.0), or Prior(pz.Gamma(2, 1)).",
            )

    @property
    def pymc_name(self) -> str:  # type: ignore[override]
        """The PyMC distribution's name."""
        return self.distribution.__name__

    @property
    @override
    def family(self) -> str:
        package = self.distribution.__module__.partition(".")[0]
        # PreliZ's formulas belong to one object and its numbers: no two with different numbers are alike.
        own = "" if self.frozen is None else "".join(f", {k}={v!r}" for k, v in self.arguments.items())
        return f"Prior({package}:{self.distribution.__name__}{own})"

    @override
    def _ppf(self, unit: Any, **arguments: Any) -> Any:  # type: ignore[override]
        if self.frozen is not None:
            return self.frozen.ppf(np.asarray(unit))
        exact = _pymc_function(self.distribution, "icdf", tuple(arguments))
        if exact is not None:
            return exact(unit, **arguments)
        quantiles = _invert(lambda value: self._cdf(value, **arguments), unit)
        if _pymc_function(self.distribution, "logcdf", tuple(arguments)) is None:
            low, high = self._integrated(**arguments).support
            quantiles = np.where(unit <= 0.0, low, np.where(unit >= 1.0, high, quantiles))
        return quantiles

    @override
    def _cdf(self, value: Any, **arguments: Any) -> Any:  # type: ignore[override]
        if self.frozen is not None:
            return self.frozen.cdf(np.asarray(value))
        function = _pymc_function(self.distribution, "logcdf", tuple(arguments))
        if function is None:
            return self._integrated(**arguments).cdf(value)
        return np.exp(function(value, **arguments))

    def _integrated(self, **arguments: Any) -> IntegratedDensity:
        """Return the distribution function that PyMC does not know, by quadrature."""
        if any(np.ndim(argument) for argument in arguments.values()):
            raise ModelError(
                f"PyMC does not know the probabilities of {self.pymc_name}, and they are not integrated for "
                "parameters that vary.",
                cure="Give it numbers, choose another family, or write the density into the likelihood.",
            )
        return _integrate(self.distribution, tuple((name, float(item)) for name, item in arguments.items()))

    @override
    def _log_kernel(self, value: Any, **arguments: Any) -> Any:  # type: ignore[override]
        if self.frozen is not None:
            density = np.asarray(self.frozen.logpdf(np.asarray(value)))
        else:
            function = _pymc_function(self.distribution, "logp", tuple(arguments))
            assert function is not None, "every PyMC distribution has a density"
            density = function(value, **arguments)
        return np.where(np.isnan(density), -np.inf, density)

    @override
    def _log_mass(self, **arguments: Any) -> Any:  # type: ignore[override]
        return 0.0

    @override
    def _kernel_limits(self, **arguments: Any) -> tuple[Any, Any]:
        return -np.inf, np.inf

    def _support(self, **arguments: Any) -> tuple[Any, Any]:  # type: ignore[override]
        return self._ppf(np.array(0.0), **arguments), self._ppf(np.array(1.0), **arguments)

    def __repr__(self) -> str:
        text = f"Prior({', '.join([self.pymc_name, *(f'{k}={v!r}' for k, v in self.arguments.items())])})"
        return f"Array({self.shape}, {text})" if self.shape else text


def _check_pymc(distribution: Any, arguments: dict[str, float | Expression]) -> None:
    trial = {name: 0.5 if isinstance(value, Expression) else value for name, value in arguments.items()}
    try:
        variable = distribution.dist(**trial)
    except Exception as error:
        raise ModelError(
            f"{distribution.__name__} cannot have the parameters {', '.join(arguments) or '(none)'}: {error}"
        ) from error
    if variable.ndim or variable.dtype.startswith(("int", "uint", "bool", "complex")):
        raise ModelError(
            f"{distribution.__name__} is {'multivariate' if variable.ndim else 'discrete'}; "
            "a prior is a univariate, continuous distribution."
        )
    if trial == arguments:
        density = _compiled(distribution, "logp", tuple(arguments))
        try:
            density(*(np.array([number]) for number in (0.5, *trial.values())))
        except _IMPOSSIBLE as error:
            numbers = ", ".join(f"{name}={value}" for name, value in arguments.items())
            raise ModelError(
                f"{distribution.__name__} cannot have {numbers}: it needs {str(error).splitlines()[0]}."
            ) from error


def _check_preliz(frozen: Any) -> None:
    """Refuse a PreliZ object that the graph could not hold as PyMC's distribution of its name."""
    name = type(frozen).__name__
    pymc = sys.modules.get("pymc")
    try:
        if hasattr(frozen, "base_dist") or hasattr(frozen, "dist"):
            raise TypeError(f"{name} changes another distribution")
        if pymc is not None:
            getattr(pymc, name).dist(**frozen.params_dict)
    except Exception as error:
        raise ModelError(
            f"PyMC has no {name} with the parameters {', '.join(frozen.params_dict)}: {error}",
            cure="Write it with PyMC's class, for example Prior(pm.TruncatedNormal, mu=0, sigma=1, lower=0).",
        ) from error


@lru_cache(maxsize=256)
def _compiled(distribution: Any, name: str, parameters: tuple[str, ...]) -> Callable[..., Any]:
    """Return PyMC's function of a distribution on vectors; it raises where parameters are impossible.

    Raises
    ------
    NotImplementedError
        If PyMC has none.
    """
    pymc, pytensor = sys.modules["pymc"], sys.modules["pytensor"]
    value = pytensor.tensor.dvector("value")
    inputs = {parameter: pytensor.tensor.dvector(parameter) for parameter in parameters}
    variable = distribution.dist(**inputs)
    graph = getattr(pymc, name)(variable, value)
    # A few calls, most of them on whole batches, do not repay compiling to machine code.
    mode = pytensor.compile.mode.Mode(linker="py", optimizer="fast_compile")
    compiled: Callable[..., Any] = pytensor.function(
        [value, *inputs.values()], graph, mode=mode, on_unused_input="ignore"
    )
    return compiled


def _pymc_function(distribution: Any, name: str, parameters: tuple[str, ...]) -> Callable[..., Any] | None:
    """Return PyMC's function of a distribution on arrays; None where PyMC has none.

    It is NaN where an argument, a parameter itself, has a value that the distribution cannot have.
    """
    try:
        compiled = _compiled(distribution, name, parameters)
    except NotImplementedError:
        return None

    def on_arrays(value: Any, **arguments: Any) -> Any:
        arrays = np.broadcast_arrays(value, *(arguments[parameter] for parameter in parameters))
        flat = [np.array(array, dtype=float).reshape(-1) for array in arrays]
        return possible(*flat).reshape(arrays[0].shape)

    def possible(*flat: np.ndarray) -> Any:
        try:
            return compiled(*flat)
        except _IMPOSSIBLE:  # PyMC refuses all for one: halve until it stands alone
            size = len(flat[0])
            if size == 1:
                return np.array([np.nan])
            halves = ([part[: size // 2] for part in flat], [part[size // 2 :] for part in flat])
            return np.concatenate([possible(*half) for half in halves])

    return on_arrays


@lru_cache(maxsize=64)
def _integrate(distribution: Any, arguments: tuple[tuple[str, float], ...]) -> IntegratedDensity:
    pymc, pytensor = sys.modules["pymc"], sys.modules["pytensor"]
    function = _pymc_function(distribution, "logp", tuple(name for name, _ in arguments))
    assert function is not None, "every PyMC distribution has a density"
    mode = pytensor.compile.mode.Mode(linker="py", optimizer="fast_compile")
    draws = pymc.draw(distribution.dist(**dict(arguments)), 2000, random_seed=1, mode=mode)
    low, middle, high = np.quantile(draws, [0.25, 0.5, 0.75])
    return IntegratedDensity(
        lambda value: np.nan_to_num(np.exp(function(value, **dict(arguments))), nan=0.0), middle, high - low
    )


def _invert(cdf: Callable[[np.ndarray], np.ndarray], unit: Any) -> np.ndarray:
    """Return quantiles by bisection of the distribution function."""
    unit = np.asarray(unit, dtype=float)
    low, high = np.full(unit.shape, -1.0), np.full(unit.shape, 1.0)
    for _ in range(1020):  # doublings until the quantile is between them
        below, above = cdf(low) > unit, cdf(high) < unit
        if not np.any(below | above):
            break
        low, high = np.where(below, 2.0 * low, low), np.where(above, 2.0 * high, high)
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        right = cdf(middle) < unit
        low, high = np.where(right, middle, low), np.where(right, high, middle)
    return 0.5 * (low + high)
