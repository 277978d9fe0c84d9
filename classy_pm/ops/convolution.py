"""Convolution in two dimensions."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor.signal import convolve2d as symbolic_convolve2d

from classy_pm.likelihood.trace.dispatch import emit, find_traced, lift, quietly
from classy_pm.likelihood.trace.words import refuse

Mode = Literal["full", "same", "valid"]
Boundary = Literal["fill", "wrap", "symm"]

# A kernel that is a sum of this many products of a row and a column is convolved by matrix products.
LARGEST_RANK = 3
RANK_TOLERANCE = 1e-14


def convolve2d(
    in1: Any, in2: Any, mode: Mode = "full", boundary: Boundary = "fill", fillvalue: float = 0
) -> Any:
    """Convolve two images.

    On arrays this is `scipy.signal.convolve2d`. Traced, a kernel that is a product of a row and a
    column (a Gaussian, say) or a sum of a few such products costs two matrix products each.

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
    if mode == "valid" and any(k > n for k, n in zip(np.shape(in2), np.shape(in1), strict=True)):
        in1, in2 = in2, in1
    if find_traced([in2]) is None:
        products = products_of_kernel(np.asarray(in2, dtype=shadow.dtype))
        if products is not None:
            return _by_matrices(in1, products, mode, boundary, shadow)
    if boundary != "fill":
        refuse(f"`convolve2d` with `boundary={boundary!r}` and this kernel has no equivalent in a graph")
    return emit_bilinear(in1, in2, mode, shadow)


def products_of_kernel(kernel: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]] | None:
    """Return columns and rows whose products add up to a kernel, or None where they are many."""
    left, sizes, right = np.linalg.svd(kernel)
    rank = int(np.sum(sizes > RANK_TOLERANCE * max(kernel.shape) * sizes[0]))
    if rank > LARGEST_RANK:
        return None
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
    height, width = np.shape(getattr(image, "_shadow", image))
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


def emit_bilinear(in1: Any, in2: Any, mode: Mode, shadow: np.ndarray) -> Any:
    """Record the convolution by PyTensor's own operation."""
    if shadow.dtype.kind == "c":
        refuse("`convolve2d` of complex traced arrays has no equivalent in a graph")
    method = "fft" if np.size(getattr(in2, "_shadow", in2)) > 64 else "direct"
    return emit(
        shadow, lambda a, b: symbolic_convolve2d(a, b, mode=mode, method=method), in1, in2, dtype=shadow.dtype
    )
