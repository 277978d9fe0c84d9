"""The distributions of `scipy.stats`, with traced arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.special

from classy_pm.likelihood.trace.array import is_traced
from classy_pm.likelihood.trace.dispatch import find_traced, lift, shadow_of
from classy_pm.likelihood.trace.reductions import as_traced
from classy_pm.likelihood.trace.scipy_stand_ins import solve_triangular
from classy_pm.likelihood.trace.words import refuse


class Distribution:
    """A distribution of `scipy.stats` whose arguments may be traced.

    The formulas are SciPy's own: its private methods are plain NumPy code of the standardised
    variable, and are traced as such.
    """

    def __init__(self, original: Any, args: tuple[Any, ...] = (), kwds: dict[str, Any] | None = None) -> None:
        self._original = original
        self._args = args
        self._kwds = kwds or {}

    def __call__(self, *args: Any, **kwds: Any) -> Any:
        """Freeze arguments."""
        if find_traced(args) is None and find_traced(kwds.values()) is None:
            return self._original(*args, **kwds)
        return Distribution(self._original, args, kwds)

    def __getattr__(self, name: str) -> Any:
        plain = getattr(self._original, name)
        kind = METHODS.get(name)
        if name in ("ppf", "isf"):
            return lambda q, *args, **kwds: _quantile(
                self._original, name, q, (*self._args, *args), {**self._kwds, **kwds}
            )
        if kind is None:
            if (self._args or self._kwds) and not name.startswith("_"):
                refuse(f"`scipy.stats.{self._original.name}.{name}` of traced arguments has no equivalent")
            return plain

        def call(x: Any, *args: Any, **kwds: Any) -> Any:
            args, kwds = (*self._args, *args), {**self._kwds, **kwds}
            if find_traced([x, args]) is None and find_traced(kwds.values()) is None:
                return plain(x, *args, **kwds)
            return _evaluated(self._original, name, lift(x), args, kwds)

        return call


# Value below and above the support; whether a density, which the scale divides.
METHODS: dict[str, tuple[float, float, bool]] = {
    "logpdf": (-np.inf, -np.inf, True),
    "pdf": (0.0, 0.0, True),
    "logpmf": (-np.inf, -np.inf, False),
    "pmf": (0.0, 0.0, False),
    "cdf": (0.0, 1.0, False),
    "logcdf": (-np.inf, 0.0, False),
    "sf": (1.0, 0.0, False),
    "logsf": (0.0, -np.inf, False),
}


def _evaluated(original: Any, name: str, x: Any, args: tuple[Any, ...], kwds: dict[str, Any]) -> Any:
    import scipy.stats

    parsed, loc, scale = original._parse_args(*args, **kwds)
    parsed = tuple(lift(item) for item in parsed)
    discrete = isinstance(original, scipy.stats.rv_discrete)
    if isinstance(x, list | tuple):
        x = np.asarray(x)
    below, above, density = METHODS[name]
    y = np.subtract(x, loc) if discrete else np.true_divide(np.subtract(x, loc), scale)
    low, high = SUPPORTS.get(original.name, original._get_support)(*parsed)
    under = np.less(y, low)
    over = np.greater(y, high)
    inside = np.logical_not(np.logical_or(under, over))
    if name in ("logpmf", "pmf"):
        inside = np.logical_and(inside, np.equal(np.floor(y), y))
    safe = np.where(inside, y, _inner_point(low, high, discrete))
    value = _formula(original, name, safe, parsed)
    if density:
        value = value - np.log(scale) if name == "logpdf" else value / scale
    result = np.where(inside, value, np.where(under, below, above))
    valid = _arguments_are_valid(original, parsed, 1.0 if discrete else scale)
    result = np.where(valid, result, np.nan) if valid is not True else result
    result = np.where(np.isnan(y), np.nan, result)
    return result[()] if np.ndim(shadow_of(result)) == 0 else result


def _quantile(original: Any, name: str, q: Any, args: tuple[Any, ...], kwds: dict[str, Any]) -> Any:
    import scipy.stats

    if find_traced([q, args]) is None and find_traced(kwds.values()) is None:
        return getattr(original, name)(q, *args, **kwds)
    if isinstance(original, scipy.stats.rv_discrete) or type(original)._ppf is scipy.stats.rv_continuous._ppf:
        refuse(f"`scipy.stats.{original.name}.{name}` of traced arguments has no equivalent")
    parsed, loc, scale = original._parse_args(*args, **kwds)
    q = lift(q)
    return (
        original._ppf(q if name == "ppf" else np.subtract(1.0, q), *(lift(item) for item in parsed)) * scale
        + loc
    )


def _log_normal(x: Any, s: Any) -> Any:
    return -np.square(np.log(x) / s) / 2 - np.log(s * x) - 0.5 * np.log(2 * np.pi)


def _generalised_pareto(x: Any, c: Any) -> Any:
    zero = np.equal(c, 0)
    safe = np.where(zero, 1.0, c)
    return np.where(zero, -x, -(1.0 + 1.0 / safe) * np.log1p(safe * x))


def _generalised_extreme(x: Any, c: Any) -> Any:
    zero = np.equal(c, 0)
    safe = np.where(zero, 1.0, c)
    inner = np.where(zero, 0.0, np.log1p(-safe * x))
    power = np.where(zero, -x, inner / safe)
    return -np.exp(power) + power - inner


def _exponnorm(x: Any, k: Any) -> Any:
    return (0.5 / k - x) / k + scipy.special.log_ndtr(x - 1.0 / k) - np.log(k)


def _gengamma(x: Any, a: Any, c: Any) -> Any:
    return np.log(np.abs(c)) + scipy.special.xlogy(c * a - 1.0, x) - np.power(x, c) - scipy.special.gammaln(a)


def _student(x: Any, v: Any) -> Any:
    size = scipy.special.gammaln(0.5 * (v + 1.0)) - scipy.special.gammaln(0.5 * v) - 0.5 * np.log(np.pi * v)
    return size - 0.5 * (v + 1.0) * np.log1p(np.square(x) / v)


def _truncated_normal(x: Any, a: Any, b: Any) -> Any:
    """Return the mass between the limits, a difference on the side where it has most digits."""

    def difference(larger: Any, smaller: Any) -> Any:
        return larger + np.log1p(-np.exp(smaller - larger))

    tail = scipy.special.log_ndtr
    left, right = difference(tail(b), tail(a)), difference(tail(np.negative(a)), tail(np.negative(b)))
    middle = np.log1p(-scipy.special.ndtr(a) - scipy.special.ndtr(np.negative(b)))
    mass = np.where(np.less_equal(b, 0), left, np.where(np.greater(a, 0), right, middle))
    return -np.square(x) / 2 - 0.5 * np.log(2 * np.pi) - mass


def _triangle(x: Any, c: Any) -> Any:
    return np.where(np.less(x, c), np.log(2.0 * x / c), np.log(2.0 * (1.0 - x) / (1.0 - c)))


# Logarithms of densities of which SciPy's own code cannot be traced.
FORMULAS: dict[str, Callable[..., Any]] = {
    "cauchy": lambda x: -np.log(np.pi) - np.log1p(np.square(x)),
    "lognorm": _log_normal,
    "t": _student,
    "triang": _triangle,
    "truncnorm": _truncated_normal,
    "gibrat": lambda x: _log_normal(x, 1.0),
    "skewnorm": lambda x, a: (
        0.5 * np.log(2 / np.pi) - np.square(x) / 2 + scipy.special.log_ndtr(np.multiply(a, x))
    ),
    "genpareto": _generalised_pareto,
    "genextreme": _generalised_extreme,
    "exponnorm": _exponnorm,
    "gengamma": _gengamma,
    "fisk": lambda x, c: np.log(c) - (c + 1.0) * np.log(x) - 2.0 * np.log1p(np.power(x, -c)),
}
SUPPORTS: dict[str, Callable[..., tuple[Any, Any]]] = {
    "truncnorm": lambda a, b: (a, b),
    "genpareto": lambda c: (0.0, np.where(np.less(c, 0), -1.0 / np.where(np.equal(c, 0), 1.0, c), np.inf)),
    "genextreme": lambda c: (
        np.where(np.less(c, 0), 1.0 / np.where(np.equal(c, 0), 1.0, c), -np.inf),
        np.where(np.greater(c, 0), 1.0 / np.where(np.equal(c, 0), 1.0, c), np.inf),
    ),
}
# Functions of the support only: what an argument must be, where SciPy's own check cannot be traced.
CHECKS: dict[str, Callable[..., Any]] = {
    "truncnorm": lambda a, b: np.less(a, b),
    "triang": lambda c: np.logical_and(np.greater(c, 0), np.less(c, 1)),
    "genpareto": lambda c: True,
    "genextreme": lambda c: True,
    "skewnorm": lambda a: True,
    "gengamma": lambda a, c: np.logical_and(np.greater(a, 0), np.not_equal(c, 0)),
}


def _formula(original: Any, name: str, y: Any, args: tuple[Any, ...]) -> Any:
    if original.name in FORMULAS and name in ("logpdf", "pdf"):
        result = FORMULAS[original.name](y, *args)
        return result if name == "logpdf" else np.exp(result)
    method = getattr(original, f"_{name}")
    if name in ("sf", "logsf", "logcdf", "cdf"):
        import scipy.stats

        base = (
            scipy.stats.rv_discrete
            if isinstance(original, scipy.stats.rv_discrete)
            else scipy.stats.rv_continuous
        )
        if name == "cdf" and type(original)._cdf is base._cdf:
            refuse(f"`scipy.stats.{original.name}.cdf` is integrated numerically: it has no equivalent")
        y = np.floor(y) if base is scipy.stats.rv_discrete else y
    return method(y, *args)


def _inner_point(low: Any, high: Any, discrete: bool) -> Any:
    """Return a point of the support for what lies outside of it."""
    from_low = np.add(low, 1.0)
    from_high = np.subtract(high, 1.0)
    middle = np.where(
        np.isfinite(high),
        np.multiply(
            0.5, np.add(np.where(np.isfinite(low), low, 0.0), np.where(np.isfinite(high), high, 0.0))
        ),
        from_low,
    )
    point = np.where(np.isfinite(low), middle, np.where(np.isfinite(high), from_high, 0.5))
    return np.floor(point) if discrete else point


def _arguments_are_valid(original: Any, args: tuple[Any, ...], scale: Any) -> Any:
    import scipy.stats

    kind = type(original)
    valid: Any = np.greater(scale, 0)
    if original.name in CHECKS:
        return np.logical_and(valid, CHECKS[original.name](*args))
    if kind._argcheck is scipy.stats.rv_continuous._argcheck:
        for item in args:
            valid = np.logical_and(valid, np.greater(item, 0))
    elif args:
        valid = np.logical_and(valid, original._argcheck(*args))
    return True if not is_traced(valid) and bool(np.all(valid)) else valid


class Joint:
    """A distribution of vectors, with traced arguments: the density and its logarithm."""

    def __init__(
        self,
        original: Any,
        name: str,
        density: str,
        formula: Callable[..., Any],
        args: tuple[Any, ...] = (),
        kwds: dict[str, Any] | None = None,
    ) -> None:
        self._original, self._name, self._density, self._formula = original, name, density, formula
        self._args, self._kwds = args, kwds or {}

    def __call__(self, *args: Any, **kwds: Any) -> Any:
        """Freeze arguments."""
        if find_traced([*args, *kwds.values()]) is None:
            return self._original(*args, **kwds)
        return Joint(self._original, self._name, self._density, self._formula, args, kwds)

    def __getattr__(self, name: str) -> Any:
        if name not in (self._density, f"log{self._density}"):
            if self._args or self._kwds:
                refuse(f"`scipy.stats.{self._name}.{name}` of traced arguments has no equivalent")
            return getattr(self._original, name)

        def call(x: Any, *args: Any, **kwds: Any) -> Any:
            args, kwds = (*self._args, *args), {**self._kwds, **kwds}
            if find_traced([x, *args, *kwds.values()]) is None:
                return getattr(self._original, name)(x, *args, **kwds)
            value = self._formula(as_traced(x), *args, **kwds)
            return value if name.startswith("log") else np.exp(value)

        return call


def _multinomial(x: Any, n: Any, p: Any) -> Any:
    p = as_traced(p)
    terms = scipy.special.xlogy(x, p) - scipy.special.gammaln(x + 1)
    value = np.where(np.equal(np.sum(x, axis=-1), n), 0.0, -np.inf) + np.sum(terms, axis=-1)
    valid = np.less(np.abs(1.0 - np.sum(p, axis=-1)), 1e-13)
    return np.where(valid, value + scipy.special.gammaln(np.add(n, 1)), np.nan)[()]


def _dirichlet(x: Any, alpha: Any) -> Any:
    alpha = as_traced(alpha)
    if np.shape(shadow_of(x))[0] != np.shape(shadow_of(alpha))[0]:
        x = np.concatenate([x, 1.0 - np.sum(x, axis=0, keepdims=True)])
    size = scipy.special.gammaln(np.sum(alpha)) - np.sum(scipy.special.gammaln(alpha))
    return size + np.sum(scipy.special.xlogy((alpha - 1).T, x.T).T, axis=0)


def _multivariate_t(x: Any, loc: Any = None, shape: Any = 1, df: Any = 1) -> Any:
    shape = as_traced(shape)
    if np.ndim(shadow_of(shape)) != 2:
        refuse("`scipy.stats.multivariate_t` needs a matrix as its shape in a graph")
    away = x if loc is None else x - as_traced(loc)
    size = np.shape(shadow_of(shape))[0]
    factor = np.linalg.cholesky(shape)
    white = solve_triangular(factor, np.reshape(away, (-1, size)).T, lower=True)
    square = np.reshape(np.sum(np.square(white), axis=0), np.shape(shadow_of(away))[:-1])
    gammaln, half = scipy.special.gammaln, 0.5 * (df + size)
    height = gammaln(half) - gammaln(0.5 * df) - 0.5 * size * np.log(np.pi * df)
    value = height - np.sum(np.log(np.diagonal(factor))) - half * np.log1p(square / df)
    return value[()] if np.ndim(shadow_of(value)) == 0 else value


class MultivariateNormal:
    """`scipy.stats.multivariate_normal` with traced arguments: `logpdf` and `pdf`."""

    def __init__(self, original: Any, mean: Any = None, cov: Any = 1) -> None:
        self._original = original
        self._mean = mean
        self._cov = cov

    def __call__(self, mean: Any = None, cov: Any = 1, **kwds: Any) -> Any:
        """Freeze arguments."""
        if find_traced([mean, cov]) is None:
            return self._original(mean, cov, **kwds)
        return MultivariateNormal(self._original, mean, cov)

    def __getattr__(self, name: str) -> Any:
        if find_traced([self._mean, self._cov]) is not None:
            refuse(f"`scipy.stats.multivariate_normal.{name}` of traced arguments has no equivalent")
        return getattr(self._original, name)

    def logpdf(self, x: Any, mean: Any = None, cov: Any = None, **kwds: Any) -> Any:
        """Return the logarithm of the density."""
        mean = self._mean if mean is None else mean
        cov = self._cov if cov is None else cov
        if find_traced([x, mean, cov]) is None:
            return self._original.logpdf(x, mean, cov, **kwds)
        x, cov = as_traced(x), as_traced(cov)
        away = x if mean is None else x - as_traced(mean)
        size = np.shape(shadow_of(away))[-1] if np.ndim(shadow_of(away)) else 1
        if np.ndim(shadow_of(cov)) == 0:
            cov = cov * np.eye(size)
        elif np.ndim(shadow_of(cov)) == 1:
            cov = np.eye(size) * cov
        factor = np.linalg.cholesky(cov)
        rows = np.reshape(away, (-1, size))
        white = solve_triangular(factor, rows.T, lower=True)
        square = np.sum(np.square(white), axis=0)
        result = -0.5 * (size * np.log(2 * np.pi) + square) - np.sum(np.log(np.diagonal(factor)))
        lead = np.shape(shadow_of(away))[:-1]
        return np.reshape(result, lead)[()] if not lead else np.reshape(result, lead)

    def pdf(self, x: Any, mean: Any = None, cov: Any = None, **kwds: Any) -> Any:
        """Return the density."""
        return np.exp(self.logpdf(x, mean, cov, **kwds))


def stand_ins() -> dict[Any, Any]:
    """Return the equivalents of the distributions of `scipy.stats`."""
    import scipy.stats

    pairs: dict[Any, Any] = {
        scipy.stats.multivariate_normal: MultivariateNormal(scipy.stats.multivariate_normal),
        scipy.stats.multinomial: Joint(scipy.stats.multinomial, "multinomial", "pmf", _multinomial),
        scipy.stats.dirichlet: Joint(scipy.stats.dirichlet, "dirichlet", "pdf", _dirichlet),
        scipy.stats.multivariate_t: Joint(
            scipy.stats.multivariate_t, "multivariate_t", "pdf", _multivariate_t
        ),
    }
    for item in vars(scipy.stats).values():
        if isinstance(item, scipy.stats.rv_continuous | scipy.stats.rv_discrete):
            pairs[item] = Distribution(item)
    return pairs
