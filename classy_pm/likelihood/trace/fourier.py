"""`numpy.fft`: transforms of real and complex arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pytensor.tensor.variable import TensorVariable

from classy_pm.likelihood.trace.complexes import Pair
from classy_pm.likelihood.trace.dispatch import assign, folded, pair_of, quietly, shadow_of
from classy_pm.likelihood.trace.fourier_ops import complex_transform, from_half, to_half
from classy_pm.likelihood.trace.reductions import as_traced
from classy_pm.likelihood.trace.registry import function_rule
from classy_pm.likelihood.trace.shaping import moved
from classy_pm.likelihood.trace.wrapping import wrap

Variable = TensorVariable
fft = np.fft


def fitted(array: Any, lengths: Sequence[int | None], axes: Sequence[int]) -> Any:
    """Return an array cropped or padded with zeros to lengths along axes."""
    for length, axis in zip(lengths, axes, strict=True):
        shape = np.shape(shadow_of(array))
        if length is None or shape[axis] == length:
            continue
        if shape[axis] > length:
            array = array[(*(slice(None),) * axis, slice(0, length))]
        else:
            widths = [(0, length - n if k == axis else 0) for k, n in enumerate(shape)]
            array = np.pad(array, widths)
    return array


def _plan(a: Any, s: Any, axes: Any) -> tuple[Any, list[int], list[int]]:
    """Return the array, the lengths and the axes, none negative."""
    a = as_traced(a)
    shape = np.shape(shadow_of(a))
    if axes is None:
        axes = list(range(len(shape)))[-len(s) :] if s is not None else list(range(len(shape)))
    axes = [int(n) % len(shape) for n in axes]
    lengths = (
        [shape[n] for n in axes]
        if s is None
        else [shape[k] if n in (None, -1) else int(n) for n, k in zip(s, axes, strict=True)]
    )
    return a, lengths, axes


def _factor(norm: str | None, count: int, inverse: bool) -> float:
    """Return what the transform is multiplied with; an inverse one is not scaled beforehand."""
    norm = norm or "backward"
    if norm == "ortho":
        return 1.0 / np.sqrt(count)
    return 1.0 / count if (norm == "backward") is inverse else 1.0


def _recorded(a: Any, shadow: Any, build: Any) -> Any:
    from classy_pm.likelihood.trace.array import is_constant

    if is_constant(a):
        return folded(a._session, shadow)
    return wrap(
        a._session, build(pair_of(a._session, a, np.result_type(a._shadow.dtype, np.float64))), shadow
    )


def _complex(a: Any, s: Any, axes: Any, norm: Any, inverse: bool) -> Any:
    a, lengths, axes = _plan(a, s, axes)
    a = fitted(a, lengths, axes)
    function = fft.ifftn if inverse else fft.fftn
    factor = _factor(norm, int(np.prod(lengths)), inverse)
    shadow = quietly(function, a, axes=axes, norm=norm)

    def build(pair: Pair) -> Pair:
        real, imaginary = complex_transform(pair.real, pair.imag(), axes, inverse)
        return Pair(real * factor, imaginary * factor)

    return _recorded(a, shadow, build)


def _to_half(a: Any, s: Any, axes: Any, norm: Any) -> Any:
    a, lengths, axes = _plan(a, s, axes)
    a = fitted(a, lengths, axes)
    factor = _factor(norm, int(np.prod(lengths)), False)
    shadow = quietly(fft.rfftn, a, axes=axes, norm=norm)

    def build(pair: Pair) -> Pair:
        real, imaginary = to_half(pair.real, axes)
        return Pair(real * factor, imaginary * factor)

    return _recorded(a, shadow, build)


def _from_half(a: Any, s: Any, axes: Any, norm: Any) -> Any:
    a, lengths, axes = _plan(a, s, axes)
    if s is None or s[-1] in (None, -1):
        lengths[-1] = 2 * (lengths[-1] - 1)
    a = fitted(a, [*lengths[:-1], lengths[-1] // 2 + 1], axes)
    factor = _factor(norm, int(np.prod(lengths)), True)
    shadow = quietly(fft.irfftn, a, s=lengths, axes=axes, norm=norm)

    def build(pair: Pair) -> Pair:
        return Pair(from_half(pair.real, pair.imag(), axes, lengths[-1]) * factor)

    return _recorded(a, shadow, build)


def _finish(result: Any, out: Any) -> Any:
    return result if out is None else assign(out, result)


def _one(n: int | None) -> list[int] | None:
    return None if n is None else [n]


@function_rule(fft.fft)
def fft_(a: Any, n: Any = None, axis: int = -1, norm: Any = None, out: Any = None) -> Any:
    """Return the transform along one axis."""
    return _finish(_complex(a, _one(n), [axis], norm, False), out)


@function_rule(fft.ifft)
def ifft(a: Any, n: Any = None, axis: int = -1, norm: Any = None, out: Any = None) -> Any:
    """Return the inverse transform along one axis."""
    return _finish(_complex(a, _one(n), [axis], norm, True), out)


@function_rule(fft.fft2)
def fft2(a: Any, s: Any = None, axes: Any = (-2, -1), norm: Any = None, out: Any = None) -> Any:
    """Return the transform along two axes."""
    return _finish(_complex(a, s, axes, norm, False), out)


@function_rule(fft.ifft2)
def ifft2(a: Any, s: Any = None, axes: Any = (-2, -1), norm: Any = None, out: Any = None) -> Any:
    """Return the inverse transform along two axes."""
    return _finish(_complex(a, s, axes, norm, True), out)


@function_rule(fft.fftn)
def fftn(a: Any, s: Any = None, axes: Any = None, norm: Any = None, out: Any = None) -> Any:
    """Return the transform along several axes."""
    return _finish(_complex(a, s, axes, norm, False), out)


@function_rule(fft.ifftn)
def ifftn(a: Any, s: Any = None, axes: Any = None, norm: Any = None, out: Any = None) -> Any:
    """Return the inverse transform along several axes."""
    return _finish(_complex(a, s, axes, norm, True), out)


@function_rule(fft.rfft)
def rfft(a: Any, n: Any = None, axis: int = -1, norm: Any = None, out: Any = None) -> Any:
    """Return half of the transform of real values, which says it all."""
    return _finish(_to_half(a, _one(n), [axis], norm), out)


@function_rule(fft.rfft2)
def rfft2(a: Any, s: Any = None, axes: Any = (-2, -1), norm: Any = None, out: Any = None) -> Any:
    """Return half of the transform of a real image."""
    return _finish(_to_half(a, s, axes, norm), out)


@function_rule(fft.rfftn)
def rfftn(a: Any, s: Any = None, axes: Any = None, norm: Any = None, out: Any = None) -> Any:
    """Return half of the transform of real values along several axes."""
    return _finish(_to_half(a, s, axes, norm), out)


@function_rule(fft.irfft)
def irfft(a: Any, n: Any = None, axis: int = -1, norm: Any = None, out: Any = None) -> Any:
    """Return the real values of half a transform."""
    return _finish(_from_half(a, _one(n), [axis], norm), out)


@function_rule(fft.irfft2)
def irfft2(a: Any, s: Any = None, axes: Any = (-2, -1), norm: Any = None, out: Any = None) -> Any:
    """Return the real image of half a transform."""
    return _finish(_from_half(a, s, axes, norm), out)


@function_rule(fft.irfftn)
def irfftn(a: Any, s: Any = None, axes: Any = None, norm: Any = None, out: Any = None) -> Any:
    """Return the real values of half a transform along several axes."""
    return _finish(_from_half(a, s, axes, norm), out)


SWAPPED = {"backward": "forward", "forward": "backward", "ortho": "ortho", None: "forward"}


@function_rule(fft.hfft)
def hfft(a: Any, n: Any = None, axis: int = -1, norm: Any = None, out: Any = None) -> Any:
    """Return the real spectrum of half a signal."""
    return _finish(fft.irfft(np.conjugate(a), n, axis, norm=SWAPPED[norm]), out)


@function_rule(fft.ihfft)
def ihfft(a: Any, n: Any = None, axis: int = -1, norm: Any = None, out: Any = None) -> Any:
    """Return half the signal of a real spectrum."""
    return _finish(np.conjugate(fft.rfft(a, n, axis, norm=SWAPPED[norm])), out)


for _function in (fft.fftshift, fft.ifftshift):
    function_rule(_function)(lambda x, axes=None, _f=_function: moved(_f, x, axes))
