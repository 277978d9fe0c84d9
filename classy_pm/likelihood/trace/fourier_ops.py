"""Fourier transforms as operations on real and imaginary parts, with their adjoints as gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.gradient import DisconnectedType
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.graph.replace import _vectorize_node
from pytensor.tensor.variable import TensorVariable

from classy_pm.likelihood.trace.numba_support import called_by_python

Variable = TensorVariable


def _given(cotangents: Sequence[Variable], outputs: Sequence[Variable]) -> list[Variable]:
    return [
        pt.zeros_like(output) if isinstance(cotangent.type, DisconnectedType) else cotangent
        for cotangent, output in zip(cotangents, outputs, strict=True)
    ]


class ComplexTransform(Op):
    """Unscaled transform of real and imaginary part along axes.

    Parameters
    ----------
    axes : tuple of int
        Along which.
    inverse : bool
        Whether the exponent is positive.
    """

    __props__ = ("axes", "inverse")

    def __init__(self, axes: tuple[int, ...], inverse: bool) -> None:
        self.axes = axes
        self.inverse = inverse

    def make_node(self, real: Any, imaginary: Any) -> Apply:
        """Return the node."""
        parts = [pt.as_tensor_variable(part) for part in (real, imaginary)]
        return Apply(self, parts, [parts[0].type.clone(dtype="float64")() for _ in range(2)])

    def perform(self, node: Apply, inputs: Sequence[np.ndarray], outputs: Any) -> None:
        """Transform by NumPy."""
        # SciPy's transforms of single precision stay in it, NumPy's do not
        function = np.fft.ifftn if self.inverse else np.fft.fftn
        result = function(
            inputs[0] + 1j * inputs[1], axes=self.axes, norm="forward" if self.inverse else "backward"
        )
        outputs[0][0] = np.ascontiguousarray(result.real)
        outputs[1][0] = np.ascontiguousarray(result.imag)

    def pullback(self, inputs: Sequence[Any], outputs: Sequence[Any], cotangents: Sequence[Any]) -> list[Any]:
        """Apply the adjoint, which is the transform with the other sign."""
        return list(ComplexTransform(self.axes, not self.inverse)(*_given(cotangents, outputs)))

    def infer_shape(self, node: Apply, input_shapes: Any) -> Any:
        """Return the shape of the inputs, twice."""
        return [input_shapes[0], input_shapes[0]]


class ToHalf(Op):
    """Unscaled transform of real values along axes, of which the last is kept by half."""

    __props__ = ("axes",)

    def __init__(self, axes: tuple[int, ...]) -> None:
        self.axes = axes

    def make_node(self, real: Any) -> Apply:
        """Return the node."""
        real = pt.as_tensor_variable(real)
        shape = list(real.type.shape)
        shape[self.axes[-1]] = shape[self.axes[-1]] // 2 + 1
        return Apply(self, [real], [pt.TensorType("float64", tuple(shape))() for _ in range(2)])

    def perform(self, node: Apply, inputs: Sequence[np.ndarray], outputs: Any) -> None:
        """Transform by NumPy."""
        result = np.fft.rfftn(inputs[0], axes=self.axes)
        outputs[0][0] = np.ascontiguousarray(result.real)
        outputs[1][0] = np.ascontiguousarray(result.imag)

    def pullback(self, inputs: Sequence[Any], outputs: Sequence[Any], cotangents: Sequence[Any]) -> list[Any]:
        """Apply the adjoint: the inverse transform, in which what stands for two is counted by half."""
        real, imaginary = _given(cotangents, outputs)
        length = inputs[0].type.shape[self.axes[-1]]
        half = 1.0 / _multiplicity(length, self.axes[-1], real.type.ndim)
        return [from_half(real * half, imaginary * half, self.axes, length)]

    def infer_shape(self, node: Apply, input_shapes: Any) -> Any:
        """Return the static shapes."""
        shape = tuple(pt.constant(n, dtype="int64") for n in node.outputs[0].type.shape)
        return [shape, shape]


class FromHalf(Op):
    """Unscaled inverse transform along axes to real values.

    Parameters
    ----------
    axes : tuple of int
        Along which; the last is given by half.
    length : int
        Length of the last axis of the result.
    """

    __props__ = ("axes", "length")

    def __init__(self, axes: tuple[int, ...], length: int) -> None:
        self.axes = axes
        self.length = length

    def make_node(self, real: Any, imaginary: Any) -> Apply:
        """Return the node."""
        parts = [pt.as_tensor_variable(part) for part in (real, imaginary)]
        shape = list(parts[0].type.shape)
        shape[self.axes[-1]] = self.length
        return Apply(self, parts, [pt.TensorType("float64", tuple(shape))()])

    def perform(self, node: Apply, inputs: Sequence[np.ndarray], outputs: Any) -> None:
        """Transform by NumPy."""
        lengths = [inputs[0].shape[axis] for axis in self.axes[:-1]] + [self.length]
        result = np.fft.irfftn(inputs[0] + 1j * inputs[1], s=lengths, axes=self.axes, norm="forward")
        outputs[0][0] = np.ascontiguousarray(result)

    def pullback(self, inputs: Sequence[Any], outputs: Sequence[Any], cotangents: Sequence[Any]) -> list[Any]:
        """Apply the adjoint: the transform, in which what stands for two is counted twice."""
        real, imaginary = to_half(cotangents[0], self.axes)
        twice = _multiplicity(self.length, self.axes[-1], real.type.ndim)
        return [real * twice, imaginary * twice]

    def infer_shape(self, node: Apply, input_shapes: Any) -> Any:
        """Return the static shape."""
        return [tuple(pt.constant(n, dtype="int64") for n in node.outputs[0].type.shape)]


def _multiplicity(length: int, axis: int, ndim: int) -> np.ndarray:
    """Return 2 for frequencies that stand for their negative too, 1 for the others."""
    weights = np.full(length // 2 + 1, 2.0)
    weights[0] = 1.0
    if length % 2 == 0:
        weights[-1] = 1.0
    return weights.reshape((1,) * axis + (-1,) + (1,) * (ndim - axis - 1))


@_vectorize_node.register(ComplexTransform)
@_vectorize_node.register(ToHalf)
@_vectorize_node.register(FromHalf)
def _vectorize(op: Any, node: Apply, *inputs: Variable) -> Apply:
    """Transform many arrays at once: the axes move behind those of the batch."""
    batch = max(item.type.ndim - old.type.ndim for item, old in zip(inputs, node.inputs, strict=True))
    axes = tuple(axis + batch for axis in op.axes)
    wide = [
        pt.expand_dims(item, tuple(range(old.type.ndim + batch - item.type.ndim)))
        for item, old in zip(inputs, node.inputs, strict=True)
    ]
    if len(wide) == 2:
        wide = list(pt.broadcast_arrays(*wide))
    settings = {key: getattr(op, key) for key in op.__props__}
    return type(op)(**{**settings, "axes": axes}).make_node(*wide)


def complex_transform(
    real: Variable, imaginary: Variable, axes: Sequence[int], inverse: bool
) -> list[Variable]:
    """Return the unscaled transform."""
    called_by_python(ComplexTransform)
    return list(ComplexTransform(tuple(axes), inverse)(real, imaginary))


def to_half(real: Variable, axes: Sequence[int]) -> list[Variable]:
    """Return half of the unscaled transform of real values."""
    called_by_python(ToHalf)
    return list(ToHalf(tuple(axes))(real))


def from_half(real: Variable, imaginary: Variable, axes: Sequence[int], length: int) -> Variable:
    """Return the unscaled real inverse transform."""
    called_by_python(FromHalf)
    return FromHalf(tuple(axes), length)(real, imaginary)
