"""Products of vectors, matrices and tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from classy_pm.likelihood.trace import complexes
from classy_pm.likelihood.trace.array import is_constant, is_traced
from classy_pm.likelihood.trace.complexes import Pair
from classy_pm.likelihood.trace.dispatch import (
    assign,
    find_traced,
    folded,
    pair_of,
    quietly,
    shadow_of,
)
from classy_pm.likelihood.trace.reductions import as_traced
from classy_pm.likelihood.trace.registry import UFUNCS, UfuncRule, function_rule
from classy_pm.likelihood.trace.words import refuse
from classy_pm.likelihood.trace.wrapping import wrap

Variable = TensorVariable


def bilinear(shadow: Any, build: Callable[[Variable, Variable], Variable], a: Any, b: Any) -> Any:
    """Record a function that is linear in each of two arrays."""
    traced = find_traced([a, b], 0)
    assert traced is not None
    session, kind = traced._session, np.asarray(shadow).dtype
    if all(is_constant(item) for item in (a, b) if is_traced(item)):
        return folded(session, shadow)
    return wrap(session, bilinear_pairs(build)(pair_of(session, a, kind), pair_of(session, b, kind)), shadow)


def bilinear_pairs(build: Callable[[Variable, Variable], Variable]) -> Callable[[Pair, Pair], Pair]:
    """Return the complex form of a function that is linear in each of two arrays."""

    def of_pairs(x: Pair, y: Pair) -> Pair:
        real = build(x.real, y.real)
        if x.imaginary is None and y.imaginary is None:
            return Pair(real)
        if y.imaginary is None:
            return Pair(real, build(x.imag(), y.real))
        if x.imaginary is None:
            return Pair(real, build(x.real, y.imag()))
        return Pair(
            real - build(x.imag(), y.imag()),
            build(x.real, y.imag()) + build(x.imag(), y.real),
        )

    return of_pairs


def matmul(x: Variable, y: Variable) -> Variable:
    """Return the matrix product; bools are joined by `or` of `and`."""
    if x.type.dtype == "bool":
        return pt.gt(matmul(pt.cast(x, "int64"), pt.cast(y, "int64")), 0)
    if x.type.ndim <= 2 and y.type.ndim <= 2:
        return pt.dot(x, y)
    return pt.matmul(x, y)


def vecdot(x: Variable, y: Variable) -> Variable:
    """Return the products of vectors along the last axis."""
    return pt.dot(x, y) if x.type.ndim == y.type.ndim == 1 else pt.sum(x * y, axis=-1)


def matvec(x: Variable, y: Variable) -> Variable:
    """Return products of matrices and vectors."""
    return matmul(x, y) if y.type.ndim == 1 else pt.sum(x * y[..., None, :], axis=-1)


def vecmat(x: Variable, y: Variable) -> Variable:
    """Return products of vectors and matrices."""
    return matmul(x, y) if x.type.ndim == 1 and y.type.ndim == 2 else pt.sum(x[..., :, None] * y, axis=-2)


UFUNCS[np.matmul] = UfuncRule(matmul, bilinear_pairs(matmul))
UFUNCS[np.vecdot] = UfuncRule(vecdot, lambda x, y: bilinear_pairs(vecdot)(complexes.conjugate(x), y))
UFUNCS[np.matvec] = UfuncRule(matvec, bilinear_pairs(matvec))
UFUNCS[np.vecmat] = UfuncRule(vecmat, lambda x, y: bilinear_pairs(vecmat)(complexes.conjugate(x), y))


def call_with_axes(ufunc: np.ufunc, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Record a product with `axis`, `axes` or `keepdims`."""
    from classy_pm.likelihood.trace.dispatch import record_ufunc

    inputs = tuple(as_traced(item) for item in inputs)
    dtype = kwargs.pop("dtype", None)
    rule = UFUNCS[ufunc]
    if not kwargs:
        return record_ufunc(ufunc, rule, inputs, dtype)
    if ufunc is np.vecdot and set(kwargs) == {"axis"}:
        axis = kwargs["axis"]
        return record_ufunc(ufunc, rule, tuple(np.moveaxis(item, axis, -1) for item in inputs), dtype)
    refuse(f"the argument `{next(iter(kwargs))}` of `np.{ufunc.__name__}` has no equivalent in a graph")


@function_rule(np.dot)
def dot(a: Any, b: Any, out: Any = None) -> Any:
    """Return the sum product over the last axis of the first and the second to last of the second."""
    a, b = as_traced(a), as_traced(b)
    na, nb = np.ndim(shadow_of(a)), np.ndim(shadow_of(b))
    if na == 0 or nb == 0:
        result = np.multiply(a, b)
    elif nb == 1:
        result = np.vecdot(a, b) if shadow_of(a).dtype.kind != "c" and na == 1 else np.matmul(a, b)
    elif na <= 2 and nb <= 2:
        result = np.matmul(a, b)
    else:
        result = np.tensordot(a, b, axes=(na - 1, nb - 2))
    return result if out is None else assign(out, result)


@function_rule(np.vdot)
def vdot(a: Any, b: Any, /) -> Any:
    """Return the product of two flattened vectors, the first conjugated."""
    return np.vecdot(np.ravel(as_traced(a)), np.ravel(as_traced(b)))


@function_rule(np.inner)
def inner(a: Any, b: Any, /) -> Any:
    """Return the sum product over the last axes."""
    a, b = as_traced(a), as_traced(b)
    na, nb = np.ndim(shadow_of(a)), np.ndim(shadow_of(b))
    return np.multiply(a, b) if na == 0 or nb == 0 else np.tensordot(a, b, axes=(na - 1, nb - 1))


@function_rule(np.outer)
def outer(a: Any, b: Any, out: Any = None) -> Any:
    """Return all products of two vectors."""
    result = np.multiply(np.ravel(as_traced(a))[:, None], np.ravel(as_traced(b))[None, :])
    return result if out is None else assign(out, result)


@function_rule(np.linalg.outer)
def linalg_outer(x1: Any, x2: Any, /) -> Any:
    """Return all products of two vectors."""
    return np.outer(x1, x2)


@function_rule(np.linalg.matmul)
def linalg_matmul(x1: Any, x2: Any, /) -> Any:
    """Return the matrix product."""
    return np.matmul(x1, x2)


@function_rule(np.linalg.vecdot)
def linalg_vecdot(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    """Return products of vectors."""
    return np.vecdot(np.moveaxis(as_traced(x1), axis, -1), np.moveaxis(as_traced(x2), axis, -1))


@function_rule(np.tensordot)
def tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    """Return the sum product over several axes."""
    a, b = as_traced(a), as_traced(b)
    shadow = quietly(np.tensordot, a, b, axes)
    na, nb = np.ndim(shadow_of(a)), np.ndim(shadow_of(b))
    if isinstance(axes, int | np.integer):
        left, right = list(range(na - axes, na)), list(range(axes))
    else:
        left, right = ([int(n)] if np.isscalar(n) else [int(m) for m in n] for n in axes)
    left, right = [n % na for n in left], [n % nb for n in right]
    a = np.transpose(a, [n for n in range(na) if n not in left] + left)
    b = np.transpose(b, right + [n for n in range(nb) if n not in right])
    count = int(np.prod([np.shape(shadow_of(b))[n] for n in range(len(right))], dtype=int))
    product = np.matmul(np.reshape(a, (-1, count)), np.reshape(b, (count, -1)))
    result = np.reshape(product, shadow.shape)
    return result if isinstance(shadow, np.ndarray) else result[()]


@function_rule(np.linalg.tensordot)
def linalg_tensordot(x1: Any, x2: Any, /, *, axes: Any = 2) -> Any:
    """Return the sum product over several axes."""
    return np.tensordot(x1, x2, axes)


@function_rule(np.einsum)
def einsum(*operands: Any, out: Any = None, optimize: Any = False, **kwargs: Any) -> Any:
    """Return sums of products by Einstein's convention."""
    if not isinstance(operands[0], str):
        operands = (_letters(operands), *operands[: len(operands) // 2 * 2 : 2])
    subscripts, *arrays = operands
    items = [as_traced(item) for item in arrays]
    shadow = quietly(np.einsum, subscripts, *items)
    inputs, output = _explicit(subscripts, [np.ndim(shadow_of(item)) for item in items])
    result, names = items[0], inputs[0]
    result, names = _contracted(result, names, set(output).union(*map(set, inputs[1:])))
    for position in range(1, len(items)):
        keep = set(output).union(*map(set, inputs[position + 1 :]))
        result, names = _joined(result, names, items[position], inputs[position], keep)
    result = np.transpose(result, [names.index(letter) for letter in output]) if len(output) > 1 else result
    if is_traced(result) and not isinstance(shadow, np.ndarray) and np.ndim(result._shadow) == 0:
        result = result[()]
    return result if out is None else assign(out, result)


def _letters(operands: tuple[Any, ...]) -> str:
    names = {}

    def text(item: Any) -> str:
        return "".join(
            "..." if n is Ellipsis else names.setdefault(n, chr(ord("a") + len(names))) for n in item
        )

    inputs = ",".join(text(item) for item in operands[1::2])
    return f"{inputs}->{text(operands[-1])}" if len(operands) % 2 else inputs


def _explicit(subscripts: str, dimensions: list[int]) -> tuple[list[str], str]:
    """Return the letters of operands and result, with letters of their own for an ellipsis."""
    text = subscripts.replace(" ", "")
    left, arrow, right = text.partition("->")
    inputs = left.split(",")
    spare = [chr(code) for code in range(ord("A"), ord("Z") + 1) if chr(code) not in text]
    widths = [
        n - len(part.replace("...", "")) for part, n in zip(inputs, dimensions, strict=True) if "..." in part
    ]
    width = max(widths, default=0)
    rest = "".join(spare[:width])
    full = []
    for part, n in zip(inputs, dimensions, strict=True):
        own = n - len(part.replace("...", ""))
        full.append(part.replace("...", rest[width - own :] if own else ""))
    if not arrow:
        plain = left.replace("...", "").replace(",", "")
        right = ("..." if width else "") + "".join(sorted(c for c in set(plain) if plain.count(c) == 1))
    return full, right.replace("...", rest)


def _contracted(array: Any, names: str, keep: set[str]) -> tuple[Any, str]:
    """Take diagonals of repeated letters and sum over those that nobody else has."""
    for letter in dict.fromkeys(names):
        while names.count(letter) > 1:
            first = names.index(letter)
            second = names.index(letter, first + 1)
            array = np.diagonal(array, axis1=first, axis2=second)
            names = names[:first] + names[first + 1 : second] + names[second + 1 :] + letter
    drop = tuple(place for place, letter in enumerate(names) if letter not in keep)
    if drop:
        array = np.sum(array, axis=drop)
        names = "".join(letter for letter in names if letter in keep)
    return array, names


def _joined(a: Any, a_names: str, b: Any, b_names: str, keep: set[str]) -> tuple[Any, str]:
    """Multiply two operands and sum over the letters that are not kept, by one matrix product."""
    a, a_names = _contracted(a, a_names, keep | set(b_names))
    b, b_names = _contracted(b, b_names, keep | set(a_names))
    shapes = dict(zip(a_names, np.shape(shadow_of(a)), strict=True))
    for letter, n in zip(b_names, np.shape(shadow_of(b)), strict=True):
        shapes[letter] = max(n, shapes.get(letter, 1))
    shared = [c for c in a_names if c in b_names]
    summed = [c for c in shared if c not in keep]
    both = [c for c in shared if c in keep]
    only_a = [c for c in a_names if c not in b_names]
    only_b = [c for c in b_names if c not in a_names]
    if not summed:
        left = _spread(a, a_names, both + only_a + only_b, shapes)
        right = _spread(b, b_names, both + only_a + only_b, shapes)
        return np.multiply(left, right), "".join(both + only_a + only_b)
    a = _ordered(a, a_names, both + only_a + summed, shapes)
    b = _ordered(b, b_names, both + summed + only_b, shapes)
    sizes = [int(np.prod([shapes[c] for c in group], dtype=int)) for group in (both, only_a, summed, only_b)]
    lead = sizes[:1] if both else []
    product = np.matmul(
        np.reshape(a, (*lead, sizes[1], sizes[2])), np.reshape(b, (*lead, sizes[2], sizes[3]))
    )
    names = "".join(both + only_a + only_b)
    return np.reshape(product, [shapes[c] for c in names]), names


def _ordered(array: Any, names: str, order: list[str], shapes: dict[str, int]) -> Any:
    array = np.transpose(array, [names.index(c) for c in order])
    return np.broadcast_to(array, [shapes[c] for c in order])


def _spread(array: Any, names: str, order: list[str], shapes: dict[str, int]) -> Any:
    present = [c for c in order if c in names]
    array = np.transpose(array, [names.index(c) for c in present])
    lengths = dict(zip(present, np.shape(shadow_of(array)), strict=True))
    return np.reshape(array, [lengths.get(c, 1) for c in order])


@function_rule(np.kron)
def kron(a: Any, b: Any) -> Any:
    """Return the Kronecker product."""
    a, b = as_traced(a), as_traced(b)
    shadow = quietly(np.kron, a, b)
    ndim = max(np.ndim(shadow_of(a)), np.ndim(shadow_of(b)))
    sa, sb = ((1,) * (ndim - np.ndim(shadow_of(x))) + np.shape(shadow_of(x)) for x in (a, b))
    left = np.reshape(a, [n for size in sa for n in (size, 1)])
    right = np.reshape(b, [n for size in sb for n in (1, size)])
    return np.reshape(left * right, shadow.shape)


@function_rule(np.cross)
def cross(a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: Any = None) -> Any:
    """Return the vector product."""
    if axis is not None:
        axisa = axisb = axisc = axis
    a, b = np.moveaxis(as_traced(a), axisa, -1), np.moveaxis(as_traced(b), axisb, -1)
    if np.shape(shadow_of(a))[-1] != 3 or np.shape(shadow_of(b))[-1] != 3:
        raise ValueError("Both input arrays must be (arrays of) 3-dimensional vectors")
    parts = [a[..., i] * b[..., j] - a[..., j] * b[..., i] for i, j in ((1, 2), (2, 0), (0, 1))]
    return np.moveaxis(np.stack(parts, axis=-1), -1, axisc)


@function_rule(np.linalg.cross)
def linalg_cross(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    """Return the vector product."""
    return np.cross(x1, x2, axis=axis)


@function_rule(np.trace)
def trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: Any = None) -> Any:
    """Return the sum of a diagonal."""
    result = np.sum(np.diagonal(a, offset, axis1, axis2), axis=-1, dtype=dtype)
    return result if out is None else assign(out, result)


@function_rule(np.linalg.trace)
def linalg_trace(x: Any, /, *, offset: int = 0, dtype: Any = None) -> Any:
    """Return the sums of the diagonals of matrices."""
    return np.trace(x, offset, -2, -1, dtype)


@function_rule(np.linalg.multi_dot)
def multi_dot(arrays: Any, *, out: Any = None) -> Any:
    """Return the product of several matrices."""
    result = as_traced(arrays[0])
    for item in arrays[1:]:
        result = np.dot(result, as_traced(item))
    return result if out is None else assign(out, result)


@function_rule(np.convolve)
def convolve(a: Any, v: Any, mode: str = "full") -> Any:
    """Return the convolution of two vectors."""
    a, v = as_traced(a), as_traced(v)
    if np.size(shadow_of(v)) > np.size(shadow_of(a)):
        a, v = v, a
    shadow = quietly(np.convolve, a, v, mode)
    n, m = np.size(shadow_of(a)), np.size(shadow_of(v))
    cut = {"full": (0, n + m - 1), "same": ((m - 1) // 2, (m - 1) // 2 + n), "valid": (m - 1, n)}[mode]

    def build(x: Variable, y: Variable) -> Variable:
        return pt.signal.convolve1d(x, y, mode="full")[cut[0] : cut[1]]

    return bilinear(shadow, build, np.atleast_1d(a), np.atleast_1d(v))


@function_rule(np.correlate)
def correlate(a: Any, v: Any, mode: str = "valid") -> Any:
    """Return the correlation of two vectors."""
    a, v = as_traced(a), as_traced(v)
    reverse = np.conjugate(v)[::-1]
    if np.size(shadow_of(v)) <= np.size(shadow_of(a)):
        return np.convolve(a, reverse, mode)
    return (
        np.conjugate(np.convolve(np.conjugate(a)[::-1], v, mode)[::-1])
        if mode != "full"
        else np.convolve(a, reverse, mode)
    )
