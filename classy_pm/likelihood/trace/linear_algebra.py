"""`numpy.linalg`: solving, factors, determinants, norms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from classy_pm.likelihood.trace.array import is_traced
from classy_pm.likelihood.trace.dispatch import emit, quietly, shadow_of
from classy_pm.likelihood.trace.reductions import as_traced, given
from classy_pm.likelihood.trace.registry import function_rule, refuse_function
from classy_pm.likelihood.trace.words import refuse

Variable = TensorVariable
linalg = np.linalg


def floats(a: Any) -> Any:
    """Return an array in double precision, as `numpy.linalg` computes in."""
    a = as_traced(a)
    kind = shadow_of(a).dtype
    if kind.kind == "c":
        refuse("`numpy.linalg` of complex traced values has no equivalent in a graph")
    return a.astype(np.float64) if kind.kind in "biu" else a


def _defined(function: Callable[..., Any], *arrays: Any, **options: Any) -> Any:
    """Compute the shadow, or NaN in its shape where NumPy raises at this one point."""
    try:
        return quietly(function, *arrays, **options)
    except linalg.LinAlgError:
        if any(np.ndim(shadow_of(a)) and len(set(np.shape(shadow_of(a))[-2:])) > 1 for a in arrays[:1]):
            raise  # not square: no point would be any better
        harmless = [
            np.broadcast_to(np.eye(np.shape(shadow_of(a))[-1]), np.shape(shadow_of(a))) if n == 0 else a
            for n, a in enumerate(arrays)
        ]
        shadow = quietly(function, *harmless, **options)
        parts = [np.full_like(part, np.nan) for part in (shadow if isinstance(shadow, tuple) else [shadow])]
        return type(shadow)(*parts) if isinstance(shadow, tuple) else parts[0]


@function_rule(linalg.solve)
def solve(a: Any, b: Any) -> Any:
    """Solve linear equations."""
    a, b = floats(a), floats(b)
    columns = 1 if np.ndim(shadow_of(b)) == 1 else 2
    return emit_real(_defined(linalg.solve, a, b), lambda x, y: pt.linalg.solve(x, y, b_ndim=columns), a, b)


def emit_real(shadow: Any, build: Callable[..., Any], *arrays: Any) -> Any:
    """Record a function of real arrays, cast to one dtype."""
    first = shadow[0] if isinstance(shadow, tuple) else shadow
    return emit(shadow, build, *arrays, dtype=np.asarray(first).dtype)


@function_rule(linalg.inv)
def inv(a: Any) -> Any:
    """Return inverses."""
    a = floats(a)
    return emit_real(_defined(linalg.inv, a), pt.linalg.inv, a)


@function_rule(linalg.pinv, note="of matrices whose rank does not change")
def pinv(a: Any, rcond: Any = None, hermitian: bool = False, *, rtol: Any = np._NoValue) -> Any:  # type: ignore[attr-defined]
    """Return pseudoinverses, through the normal equations' own inverse."""
    a = floats(a)
    return emit_real(quietly(linalg.pinv, a, **given(rcond=rcond)), pt.linalg.pinv, a)


@function_rule(linalg.det)
def det(a: Any) -> Any:
    """Return determinants."""
    a = floats(a)
    return emit_real(quietly(linalg.det, a), pt.linalg.det, a)


@function_rule(linalg.slogdet)
def slogdet(a: Any) -> Any:
    """Return signs and logarithms of determinants."""
    a = floats(a)
    return emit_real(quietly(linalg.slogdet, a), lambda x: list(pt.linalg.slogdet(x)), a)


@function_rule(linalg.cholesky)
def cholesky(a: Any, /, *, upper: bool = False) -> Any:
    """Return Cholesky factors; NaN where a matrix is not positive definite."""
    a = floats(a)
    shadow = _defined(linalg.cholesky, a, upper=upper)

    def build(x: Variable) -> Variable:
        factor = pt.linalg.cholesky(x, lower=True, on_error="nan")
        return pt.swapaxes(factor, -1, -2) if upper else factor

    return emit_real(shadow, build, a)


@function_rule(linalg.eigh)
def eigh(a: Any, UPLO: str = "L") -> Any:
    """Return eigenvalues and eigenvectors of symmetric matrices."""
    a = floats(a)
    return emit_real(quietly(linalg.eigh, a, UPLO), lambda x: list(pt.linalg.eigh(x, lower=UPLO == "L")), a)


@function_rule(linalg.eigvalsh)
def eigvalsh(a: Any, UPLO: str = "L") -> Any:
    """Return eigenvalues of symmetric matrices."""
    return linalg.eigh(a, UPLO).eigenvalues


@function_rule(linalg.svd)
def svd(a: Any, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False) -> Any:
    """Return singular values and vectors."""
    a = floats(a)
    shadow = quietly(linalg.svd, a, full_matrices, compute_uv, hermitian)
    if not compute_uv:
        return emit_real(shadow, lambda x: pt.linalg.svd(x, compute_uv=False), a)
    return emit_real(shadow, lambda x: list(pt.linalg.svd(x, full_matrices=full_matrices)), a)


@function_rule(linalg.svdvals)
def svdvals(x: Any, /) -> Any:
    """Return singular values."""
    return linalg.svd(x, compute_uv=False)


@function_rule(linalg.qr, note="modes reduced, complete and r")
def qr(a: Any, mode: str = "reduced") -> Any:
    """Return orthogonal and triangular factors."""
    a = floats(a)
    if mode not in ("reduced", "complete", "r"):
        refuse(f"`np.linalg.qr` with `mode={mode!r}` has no equivalent in a graph")
    shadow = quietly(linalg.qr, a, mode)
    names = {"reduced": "economic", "complete": "full", "r": "r"}
    if mode == "r":
        height = shadow.shape[-2]
        return emit_real(shadow, lambda x: pt.linalg.qr(x, mode="r")[..., :height, :], a)
    return emit_real(shadow, lambda x: list(pt.linalg.qr(x, mode=names[mode])), a)


@function_rule(linalg.matrix_power)
def matrix_power(a: Any, n: int) -> Any:
    """Return a matrix to a whole power."""
    if n < 0:
        return matrix_power(linalg.inv(a), -n)
    result: Any = np.broadcast_to(np.eye(a.shape[-1], dtype=a.dtype), a.shape)
    factor, first = a, True
    while n:
        if n % 2:
            result, first = (factor if first else np.matmul(result, factor)), False
        n //= 2
        factor = np.matmul(factor, factor) if n else factor
    return result if is_traced(result) else np.zeros_like(a) + result


@function_rule(linalg.norm)
def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """Return norms of vectors or matrices."""
    x = as_traced(x)
    ndim = np.ndim(shadow_of(x))
    if shadow_of(x).dtype.kind in "biu":
        x = x.astype(np.float64)
    if axis is None and (ord is None or (ord in ("f", "fro") and ndim == 2) or (ord == 2 and ndim == 1)):
        total = np.sqrt(np.sum(_squared(x)))
        return np.reshape(total, (1,) * ndim) if keepdims else total
    axes = tuple(range(ndim)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    if len(axes) == 1:
        return linalg.vector_norm(x, axis=axes[0], ord=2 if ord is None else ord, keepdims=keepdims)
    if len(axes) != 2:
        raise ValueError("Improper number of dimensions to norm.")
    if ord in (None, "f", "fro"):
        return np.sqrt(np.sum(_squared(x), axis=axes, keepdims=keepdims))
    row, column = (a % ndim for a in axes)
    if ord in (1, -1, np.inf, -np.inf):
        along, then = (row, column) if abs(ord) == 1 else (column, row)
        sums = np.sum(np.abs(x), axis=along, keepdims=True)
        result = (np.max if ord > 0 else np.min)(sums, axis=then, keepdims=True)
    elif ord in (2, -2, "nuc"):
        values = linalg.svd(np.moveaxis(x, (row, column), (-2, -1)), compute_uv=False)
        pick = {2: np.max, -2: np.min, "nuc": np.sum}[ord]
        result = np.expand_dims(pick(values, axis=-1), (row, column))
    else:
        raise ValueError("Invalid norm order for matrices.")
    return result if keepdims else np.squeeze(result, axis=(row, column))[()]


def _squared(x: Any) -> Any:
    return np.square(np.real(x)) + np.square(np.imag(x)) if shadow_of(x).dtype.kind == "c" else np.square(x)


@function_rule(linalg.vector_norm)
def vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Any:
    """Return norms of vectors."""
    x = as_traced(x)
    options: dict[str, Any] = {"axis": axis, "keepdims": keepdims}
    if ord in (2, None):
        return np.sqrt(np.sum(_squared(x), **options))
    size = np.abs(x)
    if ord == np.inf:
        return np.max(size, **options)
    if ord == -np.inf:
        return np.min(size, **options)
    if ord == 0:
        return np.sum(np.not_equal(x, 0).astype(size.dtype), **options)
    if ord == 1:
        return np.sum(size, **options)
    return np.power(np.sum(np.power(size, ord), **options), 1.0 / ord)


@function_rule(linalg.matrix_norm)
def matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Any:
    """Return norms of matrices."""
    return linalg.norm(x, ord=ord, axis=(-2, -1), keepdims=keepdims)


@function_rule(linalg.cond)
def cond(x: Any, p: Any = None) -> Any:
    """Return condition numbers."""
    if p in (None, 2, -2):
        values = linalg.svd(x, compute_uv=False)
        first, last = values[..., 0], values[..., -1]
        return last / first if p == -2 else first / last
    return linalg.norm(x, p, axis=(-2, -1)) * linalg.norm(linalg.inv(x), p, axis=(-2, -1))


@function_rule(linalg.matrix_rank, note="its derivative is zero")
def matrix_rank(A: Any, tol: Any = None, hermitian: bool = False, *, rtol: Any = None) -> Any:
    """Return how many singular values are not negligible."""
    A = floats(A)
    values = linalg.svd(A, compute_uv=False)
    if tol is None:
        share = max(np.shape(shadow_of(A))[-2:]) * np.finfo(np.float64).eps if rtol is None else rtol
        tol = np.max(values, axis=-1, keepdims=True) * share
    return np.count_nonzero(np.greater(values, tol), axis=-1)


@function_rule(linalg.lstsq, note="of matrices of full rank")
def lstsq(a: Any, b: Any, rcond: Any = None) -> Any:
    """Solve linear equations in the sense of least squares, by the orthogonal factors."""
    a, b = floats(a), floats(b)
    shadow = quietly(linalg.lstsq, a, b, rcond)
    height, width = np.shape(shadow_of(a))
    if height < width or shadow[2] < width:
        refuse(
            "`np.linalg.lstsq` of a matrix without full column rank has no equivalent in a graph",
            "Write `np.linalg.pinv(a) @ b`.",
        )
    q, r = linalg.qr(a)
    solution = linalg.solve(r, np.matmul(q.T, b))
    away = b - np.matmul(a, solution)
    residuals = np.sum(np.square(away), axis=0) if height > width else np.empty(0)
    if height > width and np.ndim(shadow_of(b)) == 1:
        residuals = np.reshape(residuals, (1,))
    return solution, residuals, width, linalg.svd(a, compute_uv=False)


@function_rule(linalg.tensorinv)
def tensorinv(a: Any, ind: int = 2) -> Any:
    """Return the inverse of a tensor product."""
    shape = a.shape
    count = int(np.prod(shape[ind:]))
    return np.reshape(linalg.inv(np.reshape(a, (count, -1))), shape[ind:] + shape[:ind])


@function_rule(linalg.tensorsolve)
def tensorsolve(a: Any, b: Any, axes: Any = None) -> Any:
    """Solve a tensor equation."""
    a, b = as_traced(a), as_traced(b)
    ndim = np.ndim(shadow_of(a))
    if axes is not None:
        order = [n for n in range(ndim) if n not in {k % ndim for k in axes}] + [k % ndim for k in axes]
        a = np.transpose(a, order)
    rest = np.shape(shadow_of(a))[np.ndim(shadow_of(b)) :]
    count = int(np.prod(rest))
    return np.reshape(linalg.solve(np.reshape(a, (count, count)), np.ravel(b)), rest)


NOT_SYMMETRIC = "eigenvalues of matrices that are not symmetric are complex and have no gradient in PyTensor"
for _function in (linalg.eig, linalg.eigvals, np.roots):
    refuse_function(_function, NOT_SYMMETRIC, "Use `np.linalg.eigh` if the matrix is symmetric.")


@function_rule(np.cov)
def cov(
    m: Any,
    y: Any = None,
    rowvar: bool = True,
    bias: bool = False,
    ddof: Any = None,
    fweights: Any = None,
    aweights: Any = None,
    *,
    dtype: Any = None,
) -> Any:
    """Return the covariance matrix."""
    data = np.atleast_2d(as_traced(m))
    data = data.T if not rowvar and np.shape(shadow_of(data))[0] != 1 else data
    if y is not None:
        other = np.atleast_2d(as_traced(y))
        other = other.T if not rowvar and np.shape(shadow_of(other))[0] != 1 else other
        data = np.concatenate([data, other], axis=0)
    ddof = (0 if bias else 1) if ddof is None else ddof
    weights: Any = None
    for item in (fweights, aweights):
        if item is not None:
            weights = as_traced(item) * 1.0 if weights is None else weights * as_traced(item)
    count = np.shape(shadow_of(data))[1]
    mean = np.average(data, axis=1, weights=weights, keepdims=True)
    away = data - mean
    if weights is None:
        factor: Any = count - ddof
    else:
        total = np.sum(weights)
        square = 0 if aweights is None else np.sum(weights * as_traced(aweights))
        factor = total if ddof == 0 else total - ddof if aweights is None else total - ddof * square / total
    right = away if weights is None else away * weights
    return np.squeeze(np.matmul(away, np.conjugate(right).T) / factor)


@function_rule(np.corrcoef)
def corrcoef(x: Any, y: Any = None, rowvar: bool = True, *, dtype: Any = None) -> Any:
    """Return correlations."""
    c = np.cov(x, y, rowvar)
    if np.ndim(shadow_of(c)) == 0:
        return c / c
    spread = np.sqrt(np.diagonal(c))
    return np.clip(c / spread[:, None] / spread[None, :], -1, 1)
