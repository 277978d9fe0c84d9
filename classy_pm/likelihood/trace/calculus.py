"""Differences, integrals, interpolation and polynomials on arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from classy_pm.likelihood.trace.array import is_traced
from classy_pm.likelihood.trace.dispatch import lift, shadow_of
from classy_pm.likelihood.trace.ordering import take
from classy_pm.likelihood.trace.reductions import as_traced
from classy_pm.likelihood.trace.registry import function_rule, refuse_function
from classy_pm.likelihood.trace.words import refuse


def _cut(a: Any, axis: int, begin: int | None, end: int | None) -> Any:
    ndim = np.ndim(shadow_of(a))
    return a[(*(slice(None),) * (axis % ndim), slice(begin, end))]


@function_rule(np.diff)
def diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = np._NoValue, append: Any = np._NoValue) -> Any:  # type: ignore[attr-defined]
    """Return differences of neighbours."""
    a = as_traced(a)
    parts = [a]
    for value, front in ((prepend, True), (append, False)):
        if value is np._NoValue:  # type: ignore[attr-defined]
            continue
        value = as_traced(value)
        if np.ndim(shadow_of(value)) == 0:
            shape = list(np.shape(shadow_of(a)))
            shape[axis] = 1
            value = np.broadcast_to(value, shape)
        parts = [value, *parts] if front else [*parts, value]
    a = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=axis)
    for _ in range(n):
        right, left = _cut(a, axis, 1, None), _cut(a, axis, None, -1)
        a = np.not_equal(right, left) if shadow_of(a).dtype == bool else right - left
    return a


@function_rule(np.ediff1d)
def ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Any:
    """Return differences of neighbours in C order."""
    result = np.diff(np.ravel(as_traced(ary)))
    parts = [result]
    if to_begin is not None:
        parts.insert(0, np.ravel(as_traced(to_begin)))
    if to_end is not None:
        parts.append(np.ravel(as_traced(to_end)))
    return np.concatenate(parts).astype(shadow_of(result).dtype) if len(parts) > 1 else result


@function_rule(np.trapezoid)
def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    """Return the integral by trapezoids."""
    y = as_traced(y)
    if x is None:
        d: Any = dx
    else:
        x = as_traced(x)
        if np.ndim(shadow_of(x)) == 1:
            d = np.diff(x)
            shape = [1] * np.ndim(shadow_of(y))
            shape[axis] = np.shape(shadow_of(d))[0]
            d = np.reshape(d, shape)
        else:
            d = np.diff(x, axis=axis)
    return np.sum(d * (_cut(y, axis, 1, None) + _cut(y, axis, None, -1)) / 2.0, axis=axis)


@function_rule(np.gradient)
def gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: int = 1) -> Any:
    """Return derivatives by central differences."""
    f = as_traced(f)
    if shadow_of(f).dtype.kind in "biu":
        f = f.astype(np.float64)
    ndim = np.ndim(shadow_of(f))
    axes = (
        list(range(ndim))
        if axis is None
        else [axis % ndim]
        if np.isscalar(axis)
        else [n % ndim for n in axis]
    )
    spacings = list(varargs) or [1.0] * len(axes)
    if len(spacings) == 1:
        spacings *= len(axes)
    if len(spacings) != len(axes):
        raise TypeError("invalid number of arguments")
    results = [
        _derivative(f, lift(spacing), n, edge_order) for n, spacing in zip(axes, spacings, strict=True)
    ]
    return results[0] if len(axes) == 1 else tuple(results)


def _derivative(f: Any, spacing: Any, axis: int, edge_order: int) -> Any:
    count = np.shape(shadow_of(f))[axis]
    if count < edge_order + 1:
        raise ValueError(
            "Shape of array too small to calculate a numerical gradient, at least (edge_order + 1) "
            "elements are required."
        )
    if np.ndim(shadow_of(spacing)) == 0:
        steps: Any = np.ones(count - 1) * spacing
        uniform = True
    else:
        steps = np.diff(as_traced(spacing))
        uniform = not is_traced(steps) and bool(np.all(steps == steps[0]))
    shape = [1] * np.ndim(shadow_of(f))
    shape[axis] = -1
    h = np.reshape(steps, shape)
    h1, h2 = _cut(h, axis, None, -1), _cut(h, axis, 1, None)
    before, middle, after = (_cut(f, axis, n, count - 2 + n) for n in range(3))
    if uniform:
        inner = (after - before) / (2.0 * h1)
    else:
        inner = (
            -(h2) / (h1 * (h1 + h2)) * before + (h2 - h1) / (h1 * h2) * middle + h1 / (h2 * (h1 + h2)) * after
        )
    y = [_cut(f, axis, n, n + 1) for n in range(min(count, 3))]
    z = [_cut(f, axis, count - 1 - n, count - n) for n in range(min(count, 3))]
    first, last = _cut(h, axis, 0, 1), _cut(h, axis, count - 2, count - 1)
    if edge_order == 1:
        left, right = (y[1] - y[0]) / first, (z[0] - z[1]) / last
    else:
        a1, a2 = first, _cut(h, axis, 1, 2)
        b1, b2 = _cut(h, axis, count - 3, count - 2), last
        left = (
            -(2 * a1 + a2) / (a1 * (a1 + a2)) * y[0]
            + (a1 + a2) / (a1 * a2) * y[1]
            - a1 / (a2 * (a1 + a2)) * y[2]
        )
        right = (
            b2 / (b1 * (b1 + b2)) * z[2]
            - (b2 + b1) / (b1 * b2) * z[1]
            + (2 * b2 + b1) / (b2 * (b1 + b2)) * z[0]
        )
    return np.concatenate([left, inner, right], axis=axis)


@function_rule(np.interp)
def interp(x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None) -> Any:
    """Interpolate linearly; x, the places and the values may be traced."""
    x, xp, fp = as_traced(x), as_traced(xp), as_traced(fp)
    if period is not None:
        xp = np.mod(xp, period)
        order = np.argsort(xp)
        xp, fp, x = take(xp, order), take(fp, order), np.mod(x, period)
        xp = np.concatenate([xp[-1:] - period, xp, xp[:1] + period])
        fp = np.concatenate([fp[-1:], fp, fp[:1]])
    count = np.shape(shadow_of(xp))[0]
    scalar = np.ndim(shadow_of(x)) == 0
    if count == 1:
        inside = np.broadcast_to(fp[0], np.shape(shadow_of(x)))
    else:
        place = np.clip(np.searchsorted(xp, x, side="right") - 1, 0, count - 2)
        x0, x1 = take(xp, place), take(xp, place + 1)
        y0, y1 = take(fp, place), take(fp, place + 1)
        width = np.where(np.equal(x1, x0), 1.0, x1 - x0)
        inside = y0 + (y1 - y0) / width * (x - x0)
    below = fp[0] if left is None else left
    above = fp[-1] if right is None else right
    result = np.where(np.less(x, xp[0]), below, np.where(np.greater(x, xp[-1]), above, inside))
    result = np.where(np.equal(x, xp[-1]), fp[-1], result)
    return result[()] if scalar else result


@function_rule(np.unwrap)
def unwrap(p: Any, discont: Any = None, axis: int = -1, *, period: Any = 2 * np.pi) -> Any:
    """Take jumps of a period out of angles."""
    p = as_traced(p)
    steps = np.diff(p, axis=axis)
    limit = period / 2 if discont is None else discont
    half = period / 2
    wrapped = np.mod(steps + half, period) - half
    wrapped = np.where(np.logical_and(np.equal(wrapped, -half), np.greater(steps, 0)), half, wrapped)
    correction = np.where(np.less(np.abs(steps), limit), 0.0, wrapped - steps)
    return np.concatenate(
        [_cut(p, axis, 0, 1), _cut(p, axis, 1, None) + np.cumsum(correction, axis=axis)], axis=axis
    )


# Polynomials, the highest power first


@function_rule(np.polyval)
def polyval(p: Any, x: Any) -> Any:
    """Return the values of a polynomial."""
    p, x = as_traced(p), lift(x)
    result: Any = np.zeros_like(x)
    for n in range(np.shape(shadow_of(p))[0]):
        result = result * x + p[n]
    return result


def _aligned(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(a1: Any, a2: Any) -> Any:
        a1, a2 = (np.atleast_1d(as_traced(item)) for item in (a1, a2))
        n, m = np.size(shadow_of(a1)), np.size(shadow_of(a2))
        a1 = np.concatenate([np.zeros(max(m - n, 0)), a1]) if m > n else a1
        a2 = np.concatenate([np.zeros(max(n - m, 0)), a2]) if n > m else a2
        return function(a1, a2)

    return call


function_rule(np.polyadd)(_aligned(np.add))
function_rule(np.polysub)(_aligned(np.subtract))


@function_rule(np.polymul)
def polymul(a1: Any, a2: Any) -> Any:
    """Return the product of two polynomials."""
    return np.convolve(np.atleast_1d(as_traced(a1)), np.atleast_1d(as_traced(a2)))


@function_rule(np.polydiv)
def polydiv(u: Any, v: Any) -> Any:
    """Return quotient and remainder of two polynomials."""
    u, v = np.atleast_1d(as_traced(u)) + 0.0, np.atleast_1d(as_traced(v)) + 0.0
    n, m = np.size(shadow_of(u)), np.size(shadow_of(v))
    quotient = []
    rest = [u[k] for k in range(n)]
    for k in range(n - m + 1):
        factor = rest[k] / v[0]
        quotient.append(factor)
        for j in range(m):
            rest[k + j] = rest[k + j] - factor * v[j]
    quotient = quotient or [0.0]
    left = rest[max(n - m + 1, 0) :] or [0.0]
    return (np.stack([as_traced(q) for q in quotient]), np.stack([as_traced(r) for r in left]))


@function_rule(np.polyder)
def polyder(p: Any, m: int = 1) -> Any:
    """Return the derivative of a polynomial."""
    for _ in range(m):
        n = np.size(shadow_of(p))
        p = p[:-1] * np.arange(n - 1, 0, -1)
    return p


@function_rule(np.polyint)
def polyint(p: Any, m: int = 1, k: Any = None) -> Any:
    """Return the integral of a polynomial."""
    constants = np.zeros(m) if k is None else np.broadcast_to(np.atleast_1d(as_traced(k)), (m,))
    for step in range(m):
        n = np.size(shadow_of(p))
        p = np.concatenate([p / np.arange(n, 0, -1), constants[step : step + 1]])
    return p


@function_rule(np.poly, note="of the roots")
def poly(seq_of_zeros: Any) -> Any:
    """Return the polynomial of given roots."""
    roots = as_traced(seq_of_zeros)
    if np.ndim(shadow_of(roots)) != 1:
        refuse("`np.poly` of a traced matrix has no equivalent in a graph")
    result: Any = np.ones(1)
    for n in range(np.size(shadow_of(roots))):
        result = np.convolve(result, np.stack([np.ones(()), -roots[n]]))
    return result


@function_rule(np.polyfit, note="without `full` and `cov`")
def polyfit(
    x: Any, y: Any, deg: int, rcond: Any = None, full: bool = False, w: Any = None, cov: Any = False
) -> Any:
    """Fit a polynomial by least squares."""
    if full or cov:
        refuse("`np.polyfit` with `full` or `cov` has no equivalent in a graph")
    x, y = as_traced(x) + 0.0, as_traced(y) + 0.0
    left = np.vander(x, deg + 1)
    if w is not None:
        w = as_traced(w)
        left, y = left * w[:, None], y * (w[:, None] if np.ndim(shadow_of(y)) == 2 else w)
    scale = np.sqrt(np.sum(np.square(left), axis=0))
    q, r = np.linalg.qr(as_traced(left / scale)) if is_traced(left) else np.linalg.qr(left / scale)
    solution = np.linalg.solve(r, np.matmul(q.T, y))
    return (solution.T / scale).T


@function_rule(np.apply_along_axis)
def apply_along_axis(func1d: Callable[..., Any], axis: int, arr: Any, *args: Any, **kwargs: Any) -> Any:
    """Call a function on every row along an axis."""
    rows = np.moveaxis(as_traced(arr), axis, -1)
    shape = np.shape(shadow_of(rows))[:-1]
    results = [as_traced(func1d(rows[place], *args, **kwargs)) for place in np.ndindex(*shape)]
    inner = np.shape(shadow_of(results[0]))
    result = np.reshape(np.stack(results), shape + inner)
    for n in range(len(inner)):
        result = np.moveaxis(result, len(shape) + n, axis % (len(shape) + 1) + n)
    return result


@function_rule(np.apply_over_axes)
def apply_over_axes(func: Callable[..., Any], a: Any, axes: Any) -> Any:
    """Call a function of an axis for several axes."""
    ndim = np.ndim(shadow_of(a))
    for axis in np.atleast_1d(axes):
        result = func(a, int(axis))
        a = result if np.ndim(shadow_of(result)) == ndim else np.expand_dims(result, int(axis))
    return a


refuse_function(np.trim_zeros, "how many elements stay depends on parameters")
