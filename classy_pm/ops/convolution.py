"""Convolution in two dimensions."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytensor.tensor as pt

from classy_pm.likelihood.trace.dispatch import emit, find_traced, lift, quietly
from classy_pm.likelihood.trace.words import refuse

Mode = Literal["full", "same", "valid"]
Boundary = Literal["fill", "wrap", "symm"]

RANK_TOLERANCE = 1e-14
# Measured on one core: a matrix product, and a transform with its call, in seconds.
SECONDS_A_FLOP = 1.5e-10
SECONDS_A_TRANSFORM = 6e-5
SECONDS_A_BUTTERFLY = 1e-9


def convolve2d(
    in1: Any, in2: Any, mode: Mode = "full", boundary: Boundary = "fill", fillvalue: float = 0
) -> Any:
    """Convolve two images.

    On arrays this is `scipy.signal.convolve2d`. Traced, a kernel that is a product of a row and a
    column (a Gaussian, say) or a sum of a few such products costs two matrix products each; others
    are convolved by Fourier transforms, whichever is cheaper.

    Parameters
    ----------
    in1, in2 : array_like or traced, two-dimensional
        The image and the kernel.
    mode : {"full", "same", "valid"}
        All of the result, the middle in the size of `in1`, or where the two overlap completely.
    boundary : {"fill", "wrap", "symm"}
        What lies outside: `fillvalue`, the other side, or the mirror image.
    fillvalue : float
        For `boundary="fill"`.

    Returns
    -------
    ndarray or traced array

    Examples
    --------
    >>> import numpy as np
    >>> convolve2d(np.ones((3, 3)), np.ones((2, 2)), mode="valid")
    array([[4., 4.],
           [4., 4.]])
    """
    import scipy.signal

    in1, in2 = lift(in1), lift(in2)
    if find_traced([in1, in2]) is None:
        return scipy.signal.convolve2d(in1, in2, mode=mode, boundary=boundary, fillvalue=fillvalue)
    shadow = quietly(scipy.signal.convolve2d, in1, in2, mode=mode, boundary=boundary, fillvalue=fillvalue)
    if find_traced([fillvalue]) is not None or (boundary == "fill" and fillvalue != 0):
        refuse("`convolve2d` of traced arrays with `fillvalue` other than 0 has no equivalent in a graph")
    shapes = np.shape(_plain(in1)), np.shape(_plain(in2))
    if mode == "valid" and any(k > n for n, k in zip(*shapes, strict=True)):
        in1, in2 = in2, in1
    if find_traced([in2]) is None:
        products = products_of_kernel(np.asarray(in2, dtype=shadow.dtype))
        if boundary != "fill" or _matrices_are_cheaper(np.shape(_plain(in1)), np.shape(in2), len(products)):
            return _by_matrices(in1, products, mode, boundary, shadow)
    elif boundary != "fill":
        refuse(f"`convolve2d` with `boundary={boundary!r}` and a traced kernel has no equivalent in a graph")
    return by_transform(in1, in2, mode, shadow)


def fftconvolve(in1: Any, in2: Any, mode: Mode = "full", axes: Any = None) -> Any:
    """Convolve two arrays of any number of dimensions by their Fourier transforms.

    On arrays this is `scipy.signal.fftconvolve`.

    Parameters
    ----------
    in1, in2 : array_like or traced, of the same number of dimensions
        What is convolved.
    mode : {"full", "same", "valid"}
        All of the result, the middle in the size of `in1`, or where the two overlap completely.
    axes : int or sequence of int, optional
        Along which axes; by default along all.

    Returns
    -------
    ndarray or traced array
    """
    import scipy.signal

    in1, in2 = lift(in1), lift(in2)
    if find_traced([in1, in2]) is None:
        return scipy.signal.fftconvolve(in1, in2, mode=mode, axes=axes)
    if axes is not None:
        refuse("`fftconvolve` of traced arrays along some axes has no equivalent in a graph")
    shadow = quietly(scipy.signal.fftconvolve, in1, in2, mode=mode)
    shapes = np.shape(_plain(in1)), np.shape(_plain(in2))
    if mode == "valid" and any(k > n for n, k in zip(*shapes, strict=True)):
        in1, in2 = in2, in1
    return by_transform(in1, in2, mode, shadow)


def by_transform(in1: Any, in2: Any, mode: Mode, shadow: np.ndarray) -> Any:
    """Convolve traced arrays: transform, multiply, transform back, cut out."""
    import scipy.fft

    first, second = np.shape(_plain(in1)), np.shape(_plain(in2))
    full = [n + k - 1 for n, k in zip(first, second, strict=True)]
    lengths = [scipy.fft.next_fast_len(n, real=True) for n in full]
    axes = list(range(len(full)))
    if np.asarray(shadow).dtype.kind == "c":
        product = np.fft.fftn(in1, lengths, axes) * np.fft.fftn(in2, lengths, axes)
        result = np.fft.ifftn(product, lengths, axes)
    else:
        product = np.fft.rfftn(in1, lengths, axes) * np.fft.rfftn(in2, lengths, axes)
        result = np.fft.irfftn(product, lengths, axes)
    starts = {
        "full": [0] * len(full),
        "same": [(k - 1) // 2 for k in second],
        "valid": [k - 1 for k in second],
    }[mode]
    sizes = {
        "full": full,
        "same": list(first),
        "valid": [n - k + 1 for n, k in zip(first, second, strict=True)],
    }[mode]
    cut = result[tuple(slice(begin, begin + size) for begin, size in zip(starts, sizes, strict=True))]
    return cut if cut.dtype == shadow.dtype else cut.astype(shadow.dtype)


def _plain(value: Any) -> Any:
    return getattr(value, "_shadow", value)


def _matrices_are_cheaper(image: tuple[int, ...], kernel: tuple[int, ...], rank: int) -> bool:
    height, width = image
    flops = 2.0 * rank * height * width * (height + width)
    points = (height + kernel[0]) * (width + kernel[1])
    return flops * SECONDS_A_FLOP < 2 * (SECONDS_A_TRANSFORM + points * np.log2(points) * SECONDS_A_BUTTERFLY)


def products_of_kernel(kernel: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return columns and rows whose products add up to a kernel, as few as there can be."""
    left, sizes, right = np.linalg.svd(kernel)
    rank = int(np.sum(sizes > RANK_TOLERANCE * max(kernel.shape) * sizes[0]))
    return [(left[:, n] * sizes[n], right[n]) for n in range(rank)]


def convolution_matrix(taps: np.ndarray, length: int, mode: Mode, boundary: Boundary) -> np.ndarray:
    """Return the matrix that convolves a vector of a length with taps."""
    import scipy.signal

    image = np.eye(length)[:, :, None]
    columns = [
        scipy.signal.convolve2d(column, taps[:, None], mode=mode, boundary=boundary) for column in image
    ]
    return np.concatenate(columns, axis=1)


def _by_matrices(
    image: Any,
    products: list[tuple[np.ndarray, np.ndarray]],
    mode: Mode,
    boundary: Boundary,
    shadow: np.ndarray,
) -> Any:
    height, width = np.shape(_plain(image))
    pairs = [
        (convolution_matrix(column, height, mode, boundary), convolution_matrix(row, width, mode, boundary).T)
        for column, row in products
    ]

    def build(variable: Any) -> Any:
        parts = [pt.dot(pt.dot(pt.constant(left), variable), pt.constant(right)) for left, right in pairs]
        return parts[0] if len(parts) == 1 else pt.add(*parts)

    if not pairs:
        return np.zeros_like(shadow)
    return emit(shadow, build, image, dtype=shadow.dtype)
