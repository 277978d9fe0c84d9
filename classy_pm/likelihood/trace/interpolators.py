"""Interpolators of `scipy.interpolate`: evaluated at traced places, or made of traced values.

A spline is a polynomial on each of its intervals. At traced places the interval is looked up and its
polynomial evaluated. A spline of traced values is linear in them: it is the spline of the unit matrix's
columns, which is plain, times the values.
"""

from __future__ import annotations

from collections.abc import Callable
from math import factorial
from typing import Any

import numpy as np

from classy_pm.likelihood.trace.dispatch import find_traced, shadow_of
from classy_pm.likelihood.trace.ordering import take
from classy_pm.likelihood.trace.reductions import as_traced
from classy_pm.likelihood.trace.words import refuse


def piecewise(x: Any, breaks: np.ndarray, coefficients: np.ndarray) -> Any:
    """Return the values of a piecewise polynomial, its first and last piece continued.

    Parameters
    ----------
    x : traced array or number
    breaks : ndarray, shape (m + 1,), rising
    coefficients : ndarray, shape (k, m, ...)
        The highest power first.
    """
    x = as_traced(x)
    place = np.clip(np.searchsorted(breaks, x, side="right") - 1, 0, len(breaks) - 2)
    step = x - take(breaks, place)
    step = np.reshape(step, np.shape(shadow_of(step)) + (1,) * (coefficients.ndim - 2))
    result = take(coefficients[0], place, axis=0)
    for row in coefficients[1:]:
        result = result * step + take(row, place, axis=0)
    return result


def _outside(x: Any, value: Any, low: Any, high: Any, below: Any, above: Any) -> Any:
    x = as_traced(x)
    wide = np.shape(shadow_of(x)) + (1,) * (np.ndim(shadow_of(value)) - np.ndim(shadow_of(x)))
    x = np.reshape(x, wide)
    return np.where(np.less(x, low), below, np.where(np.greater(x, high), above, value))


def _of_ppoly(self: Any, x: Any, nu: int = 0, extrapolate: Any = None) -> Any:
    if self.axis != 0:
        refuse("a spline along another axis than the first is evaluated at a traced place")
    _check_rising(self)
    poly = self.derivative(nu) if nu else self
    extrapolate = self.extrapolate if extrapolate is None else extrapolate
    low, high = poly.x[0], poly.x[-1]
    if extrapolate == "periodic":
        x = low + np.mod(np.subtract(x, low), high - low)
    value = piecewise(x, poly.x, poly.c)
    return value if extrapolate else _outside(x, value, low, high, np.nan, np.nan)


def _pieces(spline: Any, knots: np.ndarray, degree: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the intervals and polynomials of a spline that gives its derivatives."""
    breaks = np.unique(knots)
    middle = (breaks[:-1] + breaks[1:]) / 2
    taylor = [spline(middle, nu=n) / factorial(n) for n in range(degree + 1)]
    back = breaks[:-1] - middle
    back = back.reshape(back.shape + (1,) * (taylor[0].ndim - 1))
    shifted = []
    for n in range(degree, -1, -1):  # the same polynomial, about the left end of the interval
        terms = [
            taylor[m] * factorial(m) / factorial(m - n) / factorial(n) * back ** (m - n)
            for m in range(n, degree + 1)
        ]
        shifted.append(sum(terms[1:], terms[0]))
    return breaks, np.stack(shifted)


def _check_rising(poly: Any) -> None:
    if poly.x[0] > poly.x[-1]:
        refuse("a `PPoly` on falling places is evaluated at a traced place", "Turn its places around.")


def _of_bspline(self: Any, x: Any, nu: int = 0, extrapolate: Any = None) -> Any:
    extrapolate = self.extrapolate if extrapolate is None else extrapolate
    low, high = self.t[self.k], self.t[-self.k - 1]
    if self.axis != 0:
        refuse("a spline along another axis than the first is evaluated at a traced place")
    if extrapolate == "periodic":
        x = low + np.mod(np.subtract(x, low), high - low)
    if self.k == 0:
        if nu:
            refuse("the derivative of a spline of steps is evaluated at a traced place")
        place = np.searchsorted(self.t, as_traced(x), side="right") - 1
        value = take(self.c, np.clip(place, 0, len(self.t) - 2), axis=0)
    else:
        _check_ends(self)
        breaks, rows = _pieces(self, self.t[self.k : len(self.t) - self.k], self.k)
        for _ in range(nu):
            powers = np.arange(len(rows) - 1, -1, -1.0).reshape((-1,) + (1,) * (rows.ndim - 1))
            rows = (rows * powers)[:-1] if len(rows) > 1 else rows * 0.0
        value = piecewise(x, breaks, rows)
    return value if extrapolate else _outside(x, value, low, high, np.nan, np.nan)


def _check_ends(spline: Any) -> None:
    """Refuse a spline that ends in an interval without length, which SciPy continues in its own way."""
    t, k = spline.t, spline.k
    if t[k] == t[k + 1] or t[-k - 1] == t[-k - 2]:
        refuse(f"a spline of degree {k} with more than {k + 1} equal knots at its end is evaluated")


EXTENSIONS = {"extrapolate": 0, "zeros": 1, "raise": 2, "const": 3}


def _of_univariate(self: Any, x: Any, nu: int = 0, ext: Any = None) -> Any:
    from scipy.interpolate import BSpline

    t, c, k = self._eval_args
    ext = self.ext if ext is None else ext
    return splev(x, (t, c[: len(t) - k - 1], k), nu, EXTENSIONS.get(ext, ext), BSpline)


def splev(x: Any, tck: Any, der: int = 0, ext: int = 0, kind: Any = None) -> Any:
    """Stand for `scipy.interpolate.splev`."""
    import scipy.interpolate

    if find_traced([tck]) is not None:
        refuse("the spline of `scipy.interpolate.splev` depends on parameters", "Make a `CubicSpline`.")
    spline = tck if isinstance(tck, scipy.interpolate.BSpline) else scipy.interpolate.BSpline(*tck)
    low, high = spline.t[spline.k], spline.t[-spline.k - 1]
    if ext == 3 and not der:  # FITPACK continues the derivatives
        x = np.clip(as_traced(x), low, high)
    value = _of_bspline(spline, x, der, extrapolate=True)
    if ext in (1, 2):
        other = 0.0 if ext == 1 else np.nan
        value = _outside(x, value, low, high, other, other)
    return value


def _of_interp1d(self: Any, x: Any) -> Any:
    axis = self._y_axis % max(1, self._y.ndim - len(self._y_extra_shape) + len(self._y_extra_shape))
    if self._y_extra_shape and axis != 0:
        refuse("an `interp1d` along another axis than the first is evaluated at a traced place")
    places, values = self.x, self._y.reshape((len(self.x), *self._y_extra_shape))
    if hasattr(self, "_spline"):
        value = _of_bspline(self._spline, x, extrapolate=True)
        value = np.reshape(value, np.shape(shadow_of(as_traced(x))) + self._y_extra_shape)
    elif self._kind in ("linear", 1):
        slopes = np.diff(values, axis=0) / np.diff(places).reshape((-1,) + (1,) * (values.ndim - 1))
        value = piecewise(x, places, np.stack([slopes, values[:-1]]))
    else:
        x = as_traced(x)
        place = {
            "nearest": lambda: np.searchsorted((places[1:] + places[:-1]) / 2, x, side="left"),
            "nearest-up": lambda: np.searchsorted((places[1:] + places[:-1]) / 2, x, side="right"),
            "previous": lambda: np.searchsorted(places, x, side="right") - 1,
            "zero": lambda: np.searchsorted(places, x, side="right") - 1,
            "next": lambda: np.searchsorted(places, x, side="left"),
        }[self._kind]()
        value = take(values, np.clip(place, 0, len(places) - 1), axis=0)
    if self._extrapolate:
        return value
    if self.bounds_error:
        below = above = np.nan
    else:
        below, above = (
            np.reshape(part, self._y_extra_shape) if np.size(part) > 1 else float(np.ravel(part)[0])
            for part in (self._fill_value_below, self._fill_value_above)
        )
    return _outside(x, value, places[0], places[-1], below, above)


def _of_grid(self: Any, xi: Any, method: Any = None, **kwargs: Any) -> Any:
    method = self.method if method is None else method
    if method != "linear" or self.values.ndim != len(self.grid):
        refuse(
            "a `RegularGridInterpolator` that is not linear, or of vectors, is evaluated at traced places",
            "Write `classy_pm.ops.interp2d` or `classy_pm.ops.map_coordinates`.",
        )
    if isinstance(xi, tuple):
        xi = np.stack(np.broadcast_arrays(*(as_traced(item) for item in xi)), axis=-1)
    xi = as_traced(xi)
    lower, shares, inside = [], [], True
    for axis, places in enumerate(self.grid):
        x, places = xi[..., axis], np.asarray(places, dtype=float)
        if places[0] > places[-1]:
            refuse("a `RegularGridInterpolator` on a falling grid is evaluated at traced places")
        place = np.clip(np.searchsorted(places, x, side="right") - 1, 0, len(places) - 2)
        lower.append(place)
        shares.append((x - take(places, place)) / take(np.diff(places), place))
        inside = np.logical_and(inside, np.logical_and(x >= places[0], x <= places[-1]))
    total: Any = 0.0
    for corner in np.ndindex((2,) * len(lower)):
        flat: Any = 0
        weight: Any = 1.0
        for place, share, step, length in zip(lower, shares, corner, self.values.shape, strict=True):
            flat = flat * length + (place + step)
            weight = weight * (share if step else 1.0 - share)
        total = total + weight * take(self.values.ravel(), flat)
    if self.bounds_error or self.fill_value is not None:
        total = np.where(inside, total, np.nan if self.bounds_error else self.fill_value)
    return total if np.ndim(shadow_of(xi)) > 1 else np.reshape(total, (1,))


def _of_bivariate(self: Any, x: Any, y: Any, dx: int = 0, dy: int = 0, grid: bool = True) -> Any:
    from scipy.interpolate import BSpline

    x, y = as_traced(x), as_traced(y)
    if dx or dy:
        refuse("a derivative of a spline of two variables is evaluated at traced places")
    if grid:
        x, y = np.reshape(x, (-1, 1)), np.reshape(y, (1, -1))
    (tx, ty, c), (kx, ky) = self.tck, self.degrees
    c = np.reshape(c, (len(tx) - kx - 1, len(ty) - ky - 1))
    first, rows = _pieces(BSpline(tx, c, kx), tx[kx : len(tx) - kx], kx)
    second, table = _pieces(BSpline(ty, np.moveaxis(rows, -1, 0), ky), ty[ky : len(ty) - ky], ky)
    places, steps = [], []
    for breaks, item in ((first, x), (second, y)):
        item = np.clip(item, breaks[0], breaks[-1])  # constant outside, as in SciPy
        place = np.clip(np.searchsorted(breaks, item, side="right") - 1, 0, len(breaks) - 2)
        places.append(place)
        steps.append(item - take(breaks, place))
    flat = places[1] * (len(first) - 1) + places[0]
    total: Any = 0.0
    for i in range(kx + 1):
        inner: Any = 0.0
        for j in range(ky + 1):
            inner = inner * steps[1] + take(table[j, :, i, :].ravel(), flat)
        total = total * steps[0] + inner
    return total


def _ends(a: Any, b: Any) -> tuple[Any, Any]:
    if np.ndim(shadow_of(a)) or np.ndim(shadow_of(b)):
        refuse("a spline is integrated between arrays of places", "Write `spline.antiderivative()(b)`.")
    return as_traced(a), as_traced(b)


def _between(a: Any, b: Any, breaks: np.ndarray, rows: np.ndarray, extrapolate: Any) -> Any:
    """Return the integral of a polynomial in pieces, of which the antiderivative is given."""
    low, high = breaks[0], breaks[-1]

    def up_to(x: Any) -> Any:
        if extrapolate != "periodic":
            return piecewise(x, breaks, rows)
        period = np.floor_divide(x - low, high - low)
        whole = piecewise(high, breaks, rows) - piecewise(low, breaks, rows)
        return period * whole + piecewise(x - period * (high - low), breaks, rows)

    return up_to(b) - up_to(a)


def _integral_of_ppoly(self: Any, a: Any, b: Any, extrapolate: Any = None) -> Any:
    _check_rising(self)
    a, b = _ends(a, b)
    extrapolate = self.extrapolate if extrapolate is None else extrapolate
    whole = self.antiderivative()
    value = _between(a, b, whole.x, whole.c, extrapolate)
    if extrapolate:
        return value
    low, high = whole.x[0], whole.x[-1]
    return _outside(
        np.minimum(a, b),
        _outside(np.maximum(a, b), value, low, high, np.nan, np.nan),
        low,
        high,
        np.nan,
        np.nan,
    )


def _integral_of_bspline(self: Any, a: Any, b: Any, extrapolate: Any = None) -> Any:
    if self.k == 0:
        refuse("a spline of steps is integrated up to a traced place", "Sum its steps.")
    _check_ends(self)
    extrapolate = self.extrapolate if extrapolate is None else extrapolate
    t, k = self.t, self.k
    a, b = _ends(a, b)
    if not extrapolate:
        if self.c.ndim > 1:
            refuse("a table of splines that are not extrapolated is integrated up to a traced place")
        a, b = (np.clip(end, t[k], t[-k - 1]) for end in (a, b))
    return _between(a, b, *_pieces(self.antiderivative(), t[k : len(t) - k], k + 1), extrapolate)


def _integral_of_univariate(self: Any, a: Any, b: Any) -> Any:
    from scipy.interpolate import BSpline

    t, c, k = self._eval_args  # FITPACK takes the spline as 0 outside, whatever `ext` is
    return _integral_of_bspline(BSpline(t, c[: len(t) - k - 1], k), a, b, extrapolate=False)


class OfValues:
    """An interpolator of traced values: that of the unit matrix, times the values."""

    def __init__(self, unit: Any, values: Any, outside: tuple[Any, ...] | None = None) -> None:
        self._unit = unit
        self._values = values
        self._outside = outside

    def __call__(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """Return the values at some places."""
        weights = self._unit(x, *args, **kwargs)
        value = np.tensordot(weights, self._values, axes=(-1, 0))
        value = value[()] if np.ndim(shadow_of(value)) == 0 else value
        return value if self._outside is None else _outside(x, value, *self._outside)

    def derivative(self, nu: int = 1) -> OfValues:
        """Return the derivative."""
        return OfValues(self._unit.derivative(nu), self._values)

    def antiderivative(self, nu: int = 1) -> OfValues:
        """Return the integral."""
        return OfValues(self._unit.antiderivative(nu), self._values)

    def integrate(self, a: Any, b: Any, extrapolate: Any = None) -> Any:
        """Return the integral between two places."""
        from scipy.interpolate import BSpline

        unit = self._unit
        extrapolate = unit.extrapolate if extrapolate is None else extrapolate
        if isinstance(unit, BSpline):
            if unit.k == 0:
                refuse("a spline of steps of traced values is integrated", "Sum its steps.")
            if not extrapolate:
                ends = unit.t[unit.k], unit.t[-unit.k - 1]
                a, b, extrapolate = np.clip(a, *ends), np.clip(b, *ends), True
        return np.tensordot(unit.integrate(a, b, extrapolate=extrapolate), self._values, axes=(-1, 0))

    def integral(self, a: Any, b: Any) -> Any:
        """Return the integral of a `UnivariateSpline`, which is 0 outside of its places."""
        value = self.integrate(a, b, extrapolate=False)
        return value[()]


def _values(name: str, x: Any, y: Any) -> Any:
    if find_traced([x]) is not None:
        refuse(f"the places of `scipy.interpolate.{name}` depend on parameters", "Write `np.interp`.")
    y = as_traced(y)
    if np.ndim(shadow_of(y)) != 1:
        refuse(f"`scipy.interpolate.{name}` of a traced table has no equivalent in a graph")
    return y


def _cubic_spline(x: Any, y: Any, axis: int = 0, bc_type: Any = "not-a-knot", extrapolate: Any = None) -> Any:
    from scipy.interpolate import CubicSpline

    y = _values("CubicSpline", x, y)
    if not isinstance(bc_type, str) or bc_type == "periodic":
        refuse("`CubicSpline` of traced values with such a `bc_type` has no equivalent", "Take 'natural'.")
    return OfValues(CubicSpline(x, np.eye(len(x)), bc_type=bc_type, extrapolate=extrapolate), y)


def _make_interp_spline(
    x: Any, y: Any, k: int = 3, t: Any = None, bc_type: Any = None, axis: int = 0, check_finite: bool = True
) -> Any:
    from scipy.interpolate import make_interp_spline

    y = _values("make_interp_spline", x, y)
    return OfValues(make_interp_spline(x, np.eye(len(x)), k=k, t=t, bc_type=bc_type), y)


def _univariate(
    x: Any,
    y: Any,
    w: Any = None,
    bbox: Any = (None, None),
    k: int = 3,
    s: Any = None,
    ext: Any = 0,
    check_finite: bool = False,
) -> Any:
    from scipy.interpolate import make_interp_spline

    y = _values("UnivariateSpline", x, y)
    if (
        s != 0
        or w is not None
        or k % 2 == 0
        or ext not in (0, "extrapolate")
        or any(e is not None for e in bbox)
    ):
        refuse(
            "`UnivariateSpline` of traced values smooths: where its knots are depends on parameters",
            "Take `s=0` without `w`, `bbox` and `ext`, or `CubicSpline`.",
        )
    return OfValues(make_interp_spline(x, np.eye(len(x)), k=k), y)


def _interpolated(
    x: Any,
    y: Any,
    w: Any = None,
    bbox: Any = (None, None),
    k: int = 3,
    ext: Any = 0,
    check_finite: bool = False,
) -> Any:
    return _univariate(x, y, w, bbox, k, 0, ext)


def _interp1d(
    x: Any,
    y: Any,
    kind: Any = "linear",
    axis: int = -1,
    copy: bool = True,
    bounds_error: Any = None,
    fill_value: Any = np.nan,
    assume_sorted: bool = False,
) -> Any:
    from scipy.interpolate import interp1d

    y, x = _values("interp1d", x, y), np.asarray(x)
    if isinstance(fill_value, str):
        if kind in ("previous", "next"):
            refuse(f"`interp1d` of traced values extrapolates with `kind={kind!r}`", "Give a `fill_value`.")
        unit = interp1d(x, np.eye(len(x)), kind, axis=0, fill_value=fill_value, assume_sorted=assume_sorted)
        return OfValues(unit, y)
    unit = interp1d(
        x, np.eye(len(x)), kind, 0, bounds_error=False, fill_value=0.0, assume_sorted=assume_sorted
    )
    below, above = fill_value if isinstance(fill_value, tuple) else (fill_value, fill_value)
    return OfValues(unit, y, (np.min(x), np.max(x), below, above))


def _bspline(t: Any, c: Any, k: int, extrapolate: Any = True, axis: int = 0) -> Any:
    from scipy.interpolate import BSpline

    c = _values("BSpline", t, c)
    return OfValues(BSpline(t, np.eye(c.shape[0]), k, extrapolate=extrapolate), c)


def methods() -> list[tuple[type, str, Callable[..., Any]]]:
    """Return what evaluates objects at traced places."""
    import scipy.interpolate as si

    return [
        (si.PPoly, "__call__", _of_ppoly),
        (si.BSpline, "__call__", _of_bspline),
        (si.UnivariateSpline, "__call__", _of_univariate),
        (si.PPoly, "integrate", _integral_of_ppoly),
        (si.BSpline, "integrate", _integral_of_bspline),
        (si.UnivariateSpline, "integral", _integral_of_univariate),
        (si.interp1d, "__call__", _of_interp1d),
        (si.RegularGridInterpolator, "__call__", _of_grid),
        (si.RectBivariateSpline, "__call__", _of_bivariate),
    ]


def stand_ins() -> dict[str, Callable[..., Any]]:
    """Return what stands for functions and classes of `scipy.interpolate`."""
    return {
        "splev": splev,
        "CubicSpline": _cubic_spline,
        "make_interp_spline": _make_interp_spline,
        "UnivariateSpline": _univariate,
        "InterpolatedUnivariateSpline": _interpolated,
        "interp1d": _interp1d,
        "BSpline": _bspline,
    }
