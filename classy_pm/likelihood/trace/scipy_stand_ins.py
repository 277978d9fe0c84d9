"""Equivalents of SciPy's functions that read plain arrays: filters, factors, integrals.

Each calls the original where no argument is traced.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

from classy_pm.likelihood.trace.dispatch import find_traced, lift, shadow_of
from classy_pm.likelihood.trace.linear_algebra import emit_real, floats
from classy_pm.likelihood.trace.reductions import as_traced
from classy_pm.likelihood.trace.words import refuse


def traced_or(original: Callable[..., Any], function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that calls the original where no argument is traced."""

    @wraps(original)
    def call(*args: Any, **kwargs: Any) -> Any:
        if find_traced(args) is None and find_traced(kwargs.values()) is None:
            return original(*args, **kwargs)
        # a tuple may hold things of several kinds, such as a factor and which triangle it fills
        return function(*(item if isinstance(item, tuple) else lift(item) for item in args), **kwargs)

    return call


# scipy.special


def logsumexp(
    a: Any, axis: Any = None, b: Any = None, keepdims: bool = False, return_sign: bool = False
) -> Any:
    """Return the logarithm of a sum of exponentials."""
    if return_sign:
        refuse("`scipy.special.logsumexp` with `return_sign` has no equivalent in a graph")
    a = as_traced(a)
    if b is not None:
        a, b = np.broadcast_arrays(a, b)
    top = np.max(a, axis=axis, keepdims=True)
    top = np.where(np.isfinite(top), top, 0.0)
    shares = np.exp(a - top)
    total = np.log(np.sum(shares if b is None else b * shares, axis=axis, keepdims=True)) + top
    if keepdims:
        return total
    return np.squeeze(total, axis=axis)[()]


def log_softmax(x: Any, axis: Any = None) -> Any:
    """Return the logarithm of the shares of exponentials."""
    return as_traced(x) - logsumexp(x, axis=axis, keepdims=True)


def softmax(x: Any, axis: Any = None) -> Any:
    """Return the shares of exponentials."""
    return np.exp(log_softmax(x, axis))


def multigammaln(a: Any, d: int) -> Any:
    """Return the logarithm of the multivariate gamma function."""
    import scipy.special

    steps = [scipy.special.gammaln(a - 0.5 * j) for j in range(d)]
    return sum(steps[1:], steps[0]) + d * (d - 1) * 0.25 * np.log(np.pi)


def _special() -> dict[str, Callable[..., Any]]:
    import scipy.special as sp

    def comb(N: Any, k: Any, *, exact: bool = False, repetition: bool = False) -> Any:
        return sp.binom(N + k - 1, k) if repetition else sp.binom(N, k)

    return {
        "logsumexp": logsumexp,
        "softmax": softmax,
        "log_softmax": log_softmax,
        "softplus": lambda x: np.logaddexp(0.0, x),
        "multigammaln": multigammaln,
        "factorial": lambda n, exact=False: sp.gamma(np.add(n, 1.0)),
        "comb": comb,
        "perm": lambda N, k, exact=False: sp.poch(N - k + 1, k),
        "sinc": np.sinc,
        "spherical_jn": lambda n, z: np.sqrt(np.pi / (2 * z)) * sp.jv(n + 0.5, z),
        "spherical_yn": lambda n, z: np.sqrt(np.pi / (2 * z)) * sp.yv(n + 0.5, z),
        "spherical_in": lambda n, z: np.sqrt(np.pi / (2 * z)) * sp.iv(n + 0.5, z),
        "spherical_kn": lambda n, z: np.sqrt(np.pi / (2 * z)) * sp.kv(n + 0.5, z),
    }


# scipy.linalg


def _triangle(a: Any, lower: bool, trans: Any = 0, unit_diagonal: bool = False) -> Any:
    a = np.tril(as_traced(a)) if lower else np.triu(as_traced(a))
    if unit_diagonal:
        a = a - np.diag(np.diagonal(a)) + np.eye(a.shape[0])
    return a.T if trans in (1, "T", 2, "C") else a


def solve_triangular(
    a: Any,
    b: Any,
    trans: Any = 0,
    lower: bool = False,
    unit_diagonal: bool = False,
    overwrite_b: bool = False,
    check_finite: bool = True,
) -> Any:
    """Stand for `scipy.linalg.solve_triangular`."""
    import pytensor.tensor as pt
    import scipy.linalg

    flipped = trans in (1, "T", 2, "C")
    a, b = floats(_triangle(a, lower, trans, unit_diagonal)), floats(b)
    shadow = scipy.linalg.solve_triangular(
        shadow_of(a), shadow_of(b), lower=lower != flipped, check_finite=False
    )
    columns = np.ndim(shadow)

    def build(x: Any, y: Any) -> Any:
        return pt.linalg.solve_triangular(x, y, lower=lower != flipped, b_ndim=columns)

    return emit_real(shadow, build, a, b)


def _cholesky(a: Any, lower: bool = False, overwrite_a: bool = False, check_finite: bool = True) -> Any:
    return np.linalg.cholesky(a, upper=not lower)


def _cho_factor(a: Any, lower: bool = False, overwrite_a: bool = False, check_finite: bool = True) -> Any:
    return np.linalg.cholesky(a, upper=not lower), lower


def _cho_solve(c_and_lower: Any, b: Any, overwrite_b: bool = False, check_finite: bool = True) -> Any:
    factor, lower = c_and_lower
    first = solve_triangular(factor, b, trans=0 if lower else 1, lower=lower)
    return solve_triangular(factor, first, trans=1 if lower else 0, lower=lower)


def _plain_options(function: Callable[..., Any], *names: str) -> Callable[..., Any]:
    """Drop options that say how and not what is computed."""

    def call(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **{key: value for key, value in kwargs.items() if key not in names})

    return call


def _linalg() -> dict[str, Callable[..., Any]]:
    how = ("overwrite_a", "overwrite_b", "check_finite", "assume_a", "lapack_driver")
    return {
        "solve": _plain_options(np.linalg.solve, *how),
        "inv": _plain_options(np.linalg.inv, *how),
        "det": _plain_options(np.linalg.det, *how),
        "norm": _plain_options(np.linalg.norm, *how),
        "svd": _plain_options(np.linalg.svd, *how),
        "svdvals": _plain_options(np.linalg.svdvals, *how),
        "cholesky": _cholesky,
        "cho_factor": _cho_factor,
        "cho_solve": _cho_solve,
        "solve_triangular": solve_triangular,
        "toeplitz": _toeplitz,
        "block_diag": _block_diag,
    }


def _toeplitz(c: Any, r: Any = None) -> Any:
    c = np.ravel(as_traced(c))
    r = c if r is None else np.ravel(as_traced(r))
    n, m = c.shape[0], r.shape[0]
    place = np.arange(n)[:, None] - np.arange(m)[None, :]
    both = np.concatenate([r[::-1][: m - 1], c]) if m > 1 else c
    return both[place + (m - 1)]


def _block_diag(*arrays: Any) -> Any:
    blocks = [np.atleast_2d(as_traced(item)) for item in arrays]
    widths = [np.shape(shadow_of(block))[1] for block in blocks]
    rows = []
    for n, block in enumerate(blocks):
        height = np.shape(shadow_of(block))[0]
        before, after = sum(widths[:n]), sum(widths[n + 1 :])
        rows.append(np.concatenate([np.zeros((height, before)), block, np.zeros((height, after))], axis=1))
    return np.concatenate(rows, axis=0)


# Functions that are linear in an array: their matrix is what they do to the unit matrix


def _by_matrix(original: Callable[..., Any], default_axis: int = -1) -> Callable[..., Any]:
    def call(y: Any, *args: Any, axis: int = default_axis, **kwargs: Any) -> Any:
        if find_traced([args, kwargs]) is not None:
            refuse(
                f"`{original.__module__}.{original.__name__}` has no equivalent where its settings depend "
                "on parameters"
            )
        y = as_traced(y)
        length = np.shape(shadow_of(y))[axis]
        matrix = original(np.eye(length), *args, axis=0, **kwargs)
        result = np.tensordot(matrix, y, axes=(-1, axis))
        return result[()] if matrix.ndim == 1 else np.moveaxis(result, 0, axis)

    return call


def _on_every_axis(original: Callable[..., Any], count: int) -> Callable[..., Any]:
    """Return a filter of several dimensions from that of one; its first settings may differ by axis."""

    def call(input: Any, *settings: Any, **options: Any) -> Any:
        if find_traced([settings, options]) is not None:
            refuse(
                f"`{original.__module__}.{original.__name__}` has no equivalent where its settings depend "
                "on parameters"
            )
        array = as_traced(input)
        ndim = np.ndim(shadow_of(array))
        for axis in range(ndim):
            own = [np.broadcast_to(item, (ndim,))[axis] for item in settings[:count]]
            array = _by_matrix(original)(array, *own, *settings[count:], axis=axis, **options)
        return array

    return call


def _signal(module: Any) -> dict[str, Callable[..., Any]]:
    from classy_pm import ops

    return {
        "convolve2d": ops.convolve2d,
        "fftconvolve": ops.fftconvolve,
        "oaconvolve": ops.fftconvolve,
        "convolve": lambda a, b, mode="full", method="auto": ops.fftconvolve(a, b, mode),
    }


def _ndimage(module: Any) -> dict[str, Callable[..., Any]]:
    from classy_pm import ops

    functions: dict[str, Callable[..., Any]] = {"map_coordinates": ops.map_coordinates}
    for name in ("gaussian_filter1d", "uniform_filter1d", "convolve1d", "correlate1d"):
        functions[name] = _by_matrix(getattr(module, name))
    for name in ("gaussian_filter", "uniform_filter"):
        functions[name] = _on_every_axis(getattr(module, f"{name}1d"), 1)
    return functions


def _integrate(module: Any) -> dict[str, Callable[..., Any]]:
    names = ("simpson", "cumulative_trapezoid")
    return {"trapezoid": np.trapezoid, **{name: _by_matrix(getattr(module, name)) for name in names}}


SUBJECTS: dict[str, Callable[[Any], dict[str, Callable[..., Any]]]] = {
    "scipy.special": lambda module: _special(),
    "scipy.linalg": lambda module: _linalg(),
    "scipy.signal": _signal,
    "scipy.ndimage": _ndimage,
    "scipy.integrate": _integrate,
}


def stand_ins(loaded: frozenset[str]) -> dict[Any, Any]:
    """Return the equivalents of SciPy's functions and distributions.

    Parameters
    ----------
    loaded : frozenset of str
        SciPy's modules that somebody has imported; nobody can have named functions of the others.
    """
    pairs: dict[Any, Any] = {}
    for name, functions in SUBJECTS.items():
        if name in loaded:
            module = sys.modules[name]
            for key, function in functions(module).items():
                original = getattr(module, key)
                pairs[original] = traced_or(original, function)
    if "scipy.stats" in loaded:
        from classy_pm.likelihood.trace.distributions import stand_ins as distributions

        pairs.update(distributions())
    return pairs
