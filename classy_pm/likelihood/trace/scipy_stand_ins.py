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
from classy_pm.likelihood.trace.solving import integrals, roots
from classy_pm.likelihood.trace.stand_ins import class_or
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
        "lstsq": lambda a, b, *how, **options: np.linalg.lstsq(a, b, rcond=None),
        "pinv": lambda a, **options: np.linalg.pinv(a),
        "eigh": _plain_options(_eigh, *how),
        "eigvalsh": _plain_options(np.linalg.eigvalsh, *how),
        "lu_factor": lambda a, overwrite_a=False, check_finite=True: (as_traced(a), None),
        "lu_solve": _lu_solve,
        "solve_banded": _solve_banded,
        "expm": _expm,
        "circulant": lambda c: _toeplitz(c, np.roll(np.flip(as_traced(c)), 1)),
        "toeplitz": _toeplitz,
        "block_diag": _block_diag,
    }


def _eigh(a: Any, b: Any = None, lower: bool = True, eigvals_only: bool = False) -> Any:
    if b is not None:
        refuse("`scipy.linalg.eigh` of two matrices has no equivalent in a graph")
    return np.linalg.eigvalsh(a) if eigvals_only else np.linalg.eigh(a, "L" if lower else "U")


def _lu_solve(lu_and_piv: Any, b: Any, trans: int = 0, **how: Any) -> Any:
    matrix, order = lu_and_piv
    if order is not None:  # only the right-hand side depends on parameters
        import scipy.linalg

        matrix = np.linalg.inv(scipy.linalg.lu_solve(lu_and_piv, np.eye(len(order))))
    return np.linalg.solve(matrix.T if trans else matrix, b)


def _solve_banded(l_and_u: tuple[int, int], ab: Any, b: Any, *how: Any, **options: Any) -> Any:
    below, above = l_and_u
    ab = as_traced(ab)
    size = np.shape(shadow_of(ab))[1]
    row, column = np.indices((size, size))
    inside = (column - row <= above) & (row - column <= below)
    dense = ab[np.where(inside, above + row - column, 0), column]
    return np.linalg.solve(np.where(inside, dense, 0.0), b)


def _expm(a: Any) -> Any:
    import pytensor.tensor as pt
    import scipy.linalg

    a = floats(as_traced(a))
    return emit_real(scipy.linalg.expm(shadow_of(a)), pt.linalg.expm, a)


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


SETTINGS = (
    "Make the kernel in the function, as long as the widest needs: "
    "`classy_pm.ops.fftconvolve(image, kernel, 'same')`."
)


def _name_of(function: Callable[..., Any]) -> str:
    return f"{function.__module__.partition('._')[0]}.{function.__name__}"


def _by_matrix(original: Callable[..., Any], default_axis: int = -1) -> Callable[..., Any]:
    def call(y: Any, *args: Any, axis: int = default_axis, **kwargs: Any) -> Any:
        if find_traced([args, kwargs]) is not None:
            refuse(
                f"`{_name_of(original)}` has no equivalent where its settings depend on parameters",
                SETTINGS,
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
                f"`{_name_of(original)}` has no equivalent where its settings depend on parameters",
                SETTINGS,
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
        "correlate": lambda a, b, mode="full", method="auto": ops.fftconvolve(a, np.flip(np.conj(b)), mode),
        "savgol_filter": _by_matrix(module.savgol_filter),
        "detrend": _by_matrix(module.detrend),
        **{name: _of_filter(getattr(module, name), count) for name, count in FILTERS.items()},
    }


# Linear filters, and how many arguments are before the signal.
FILTERS = {"lfilter": 2, "filtfilt": 2, "sosfilt": 1, "sosfiltfilt": 1}


def _of_filter(original: Callable[..., Any], count: int) -> Callable[..., Any]:
    def call(*args: Any, axis: int = -1, **options: Any) -> Any:
        if find_traced([args[:count]]) is not None:
            refuse(
                f"`scipy.signal.{original.__name__}` has no equivalent where its coefficients are traced",
                "Write the recurrence as a loop, or convolve with the response.",
            )
        matrix = _by_matrix(lambda unit, axis: original(*args[:count], unit, axis=axis, **options))
        return matrix(args[count], axis=axis)

    return call


# What NumPy's `pad` calls the ways to continue an image.
PADS = {
    "reflect": "symmetric",
    "constant": "constant",
    "nearest": "edge",
    "mirror": "reflect",
    "wrap": "wrap",
}


def _filtered(flipped: bool) -> Callable[..., Any]:
    """Return `scipy.ndimage.convolve` or `correlate`."""

    def call(
        input: Any,
        weights: Any,
        output: Any = None,
        mode: str = "reflect",
        cval: float = 0.0,
        origin: Any = 0,
    ) -> Any:
        from classy_pm import ops

        image, weights = as_traced(input), as_traced(weights)
        shape = np.shape(shadow_of(weights))
        if output is not None or np.any(origin) or any(length % 2 == 0 for length in shape):
            refuse(
                "`scipy.ndimage.convolve` with `output`, `origin` or an even kernel has no equivalent",
                "Write `classy_pm.ops.convolve2d` or `classy_pm.ops.fftconvolve`.",
            )
        fill = {"constant_values": cval} if mode == "constant" else {}
        padded = np.pad(image, [(length // 2, length // 2) for length in shape], mode=PADS[mode], **fill)
        return ops.fftconvolve(padded, weights if flipped else np.flip(weights), "valid")

    return call


def _ndimage(module: Any) -> dict[str, Callable[..., Any]]:
    from classy_pm import ops

    functions: dict[str, Callable[..., Any]] = {"map_coordinates": ops.map_coordinates}
    for name in ("gaussian_filter1d", "uniform_filter1d", "convolve1d", "correlate1d"):
        functions[name] = _by_matrix(getattr(module, name))
    functions.update(convolve=_filtered(True), correlate=_filtered(False))
    for name in ("gaussian_filter", "uniform_filter"):
        functions[name] = _on_every_axis(getattr(module, f"{name}1d"), 1)
    return functions


def _integrate(module: Any) -> dict[str, Callable[..., Any]]:
    names = ("simpson", "cumulative_trapezoid")
    return {"trapezoid": np.trapezoid, **{name: _by_matrix(getattr(module, name)) for name in names}}


def _interpolate(module: Any) -> dict[str, Callable[..., Any]]:
    from classy_pm.likelihood.trace import interpolators

    return interpolators.stand_ins()


def _distance(module: Any) -> dict[str, Callable[..., Any]]:
    def cdist(XA: Any, XB: Any, metric: str = "euclidean", **options: Any) -> Any:
        away = as_traced(XA)[:, None, :] - as_traced(XB)[None, :, :]
        if metric == "cityblock":
            return np.sum(np.abs(away), axis=-1)
        if metric not in ("euclidean", "sqeuclidean"):
            refuse(f"`scipy.spatial.distance.cdist` with the metric {metric!r} has no equivalent in a graph")
        square = np.sum(np.square(away), axis=-1)
        if metric == "sqeuclidean":
            return square
        same = np.equal(square, 0)  # a root has no slope at 0
        return np.where(same, 0.0, np.sqrt(np.where(same, 1.0, square)))

    def pdist(X: Any, metric: str = "euclidean", **options: Any) -> Any:
        rows, columns = np.triu_indices(np.shape(shadow_of(as_traced(X)))[0], 1)
        return cdist(X, X, metric)[rows, columns]

    return {"cdist": cdist, "pdist": pdist}


SUBJECTS: dict[str, Callable[[Any], dict[str, Callable[..., Any]]]] = {
    "scipy.special": lambda module: _special(),
    "scipy.linalg": lambda module: _linalg(),
    "scipy.signal": _signal,
    "scipy.ndimage": _ndimage,
    "scipy.integrate": _integrate,
    "scipy.interpolate": _interpolate,
    "scipy.spatial.distance": _distance,
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
                wrap = class_or if isinstance(original, type) else traced_or
                pairs[original] = wrap(original, function)
    for name, complete in (("scipy.integrate", integrals), ("scipy.optimize", roots)):
        if name in loaded:
            module = sys.modules[name]
            pairs.update({getattr(module, key): value for key, value in complete(module).items()})
    if "scipy.stats" in loaded:
        from classy_pm.likelihood.trace.distributions import stand_ins as distributions

        pairs.update(distributions())
    return pairs
