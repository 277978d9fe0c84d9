"""Ufuncs of SciPy with several results or with complex ones, as operations on whole arrays."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.gradient import DisconnectedType, grad_undefined
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.graph.replace import _vectorize_node
from pytensor.tensor.variable import TensorVariable

from classy_pm.likelihood.trace import complexes
from classy_pm.likelihood.trace.complexes import Pair
from classy_pm.likelihood.trace.numba_support import called_by_python
from classy_pm.likelihood.trace.special_ops import STENCIL, STEP, WHOLE

Variable = TensorVariable


def _ufunc(path: str) -> np.ufunc:
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


class ArrayUfunc(Op):
    """Several real arrays from real arrays of one shape.

    Parameters
    ----------
    path : str
        Dotted name of the ufunc.
    """

    __props__ = ("path",)

    def __init__(self, path: str) -> None:
        self.path = path

    def make_node(self, *inputs: Any) -> Apply:
        """Return the node."""
        arrays = _same_shape([pt.as_tensor_variable(item) for item in inputs])
        kind = arrays[0].type.clone(dtype="float64")
        return Apply(self, arrays, [kind() for _ in range(_ufunc(self.path).nout)])

    def perform(self, node: Apply, inputs: Sequence[np.ndarray], outputs: Any) -> None:
        """Call the ufunc."""
        with np.errstate(all="ignore"):
            results = _ufunc(self.path)(*inputs)
        for cell, result in zip(outputs, results if isinstance(results, tuple) else (results,), strict=True):
            cell[0] = np.asarray(result, dtype=np.float64)

    def pullback(self, inputs: Sequence[Any], outputs: Sequence[Any], cotangents: Sequence[Any]) -> list[Any]:
        """Return the cotangents of the arguments."""
        table = ARRAY_DERIVATIVES.get(self.path)
        slopes = [STENCIL] * len(inputs) if table is None else table(*inputs, *outputs)
        arrived = [
            None if isinstance(cotangent.type, DisconnectedType) else cotangent for cotangent in cotangents
        ]
        result = []
        for index, (item, slope) in enumerate(zip(inputs, slopes, strict=True)):
            if isinstance(slope, str) and slope == WHOLE:
                why = f"argument {index + 1} of {self.path} is a whole number"
                result.append(grad_undefined(self, index, item, why))
                continue
            parts = self._differences(inputs, index) if isinstance(slope, str) else slope
            terms = [c * part for c, part in zip(arrived, parts, strict=True) if c is not None]
            result.append(pt.add(*terms) if len(terms) > 1 else terms[0])
        return result

    def _differences(self, inputs: Sequence[Any], index: int) -> list[Variable]:
        width = pt.maximum(pt.abs(inputs[index]), 1.0) * STEP
        ends = [
            self(*inputs[:index], inputs[index] + steps * width, *inputs[index + 1 :], return_list=True)
            for steps in (1.0, -1.0, 2.0, -2.0)
        ]
        return [(8.0 * (a - b) - (c - d)) / (12.0 * width) for a, b, c, d in zip(*ends, strict=True)]

    def infer_shape(self, node: Apply, input_shapes: Any) -> Any:
        """Return the shape of the inputs for each result."""
        return [input_shapes[0]] * len(node.outputs)


class ComplexUfunc(Op):
    """Real and imaginary part of an analytic function of one complex number.

    Parameters
    ----------
    path : str
        Dotted name of the ufunc.
    orders : tuple of float
        Real, plain arguments before the complex one.
    """

    __props__ = ("path", "orders")

    def __init__(self, path: str, orders: tuple[float, ...] = ()) -> None:
        self.path = path
        self.orders = orders

    def make_node(self, real: Any, imaginary: Any) -> Apply:
        """Return the node."""
        parts = _same_shape([pt.as_tensor_variable(real), pt.as_tensor_variable(imaginary)])
        return Apply(self, parts, [parts[0].type.clone(dtype="float64")() for _ in range(2)])

    def perform(self, node: Apply, inputs: Sequence[np.ndarray], outputs: Any) -> None:
        """Call the ufunc."""
        with np.errstate(all="ignore"):
            z = np.empty(inputs[0].shape, np.complex128)
            z.real, z.imag = inputs
            result = np.asarray(_ufunc(self.path)(*self.orders, z))
        outputs[0][0] = np.ascontiguousarray(result.real).reshape(result.shape)
        outputs[1][0] = np.ascontiguousarray(result.imag).reshape(result.shape)

    def pullback(self, inputs: Sequence[Any], outputs: Sequence[Any], cotangents: Sequence[Any]) -> list[Any]:
        """Multiply by the conjugate of the derivative."""
        derivative = COMPLEX_DERIVATIVES.get(self.path)
        if derivative is None:
            why = f"the derivative of {self.path} for complex arguments is unknown"
            return [grad_undefined(self, index, item, why) for index, item in enumerate(inputs)]
        slope = derivative(Pair(*inputs), Pair(*outputs), *self.orders)
        parts = [
            pt.zeros_like(output) if isinstance(c.type, DisconnectedType) else c
            for c, output in zip(cotangents, outputs, strict=True)
        ]
        back = complexes.multiply(Pair(*parts), complexes.conjugate(slope))
        return [back.real, back.imag()]

    def infer_shape(self, node: Apply, input_shapes: Any) -> Any:
        """Return the shape of the inputs, twice."""
        return [input_shapes[0], input_shapes[0]]


def _same_shape(arrays: list[Variable]) -> list[Variable]:
    arrays = [pt.cast(item, "float64") if item.type.dtype != "float64" else item for item in arrays]
    if all(item.type.shape == arrays[0].type.shape for item in arrays) and None not in arrays[0].type.shape:
        return arrays
    return list(pt.broadcast_arrays(*arrays))


# They are elementwise: more axes change nothing.
for _kind in (ArrayUfunc, ComplexUfunc):
    _vectorize_node.register(_kind, lambda op, node, *inputs: op.make_node(*inputs))


def complex_function(name: str, z: Pair, *orders: float) -> Pair:
    """Return a function of `scipy.special` of a complex number."""
    called_by_python(ComplexUfunc)
    return Pair(*ComplexUfunc(f"scipy.special.{name}", orders)(z.real, z.imag()))


def array_function(name: str, *arguments: Variable) -> list[Variable]:
    """Return the results of a function of `scipy.special` of arrays."""
    called_by_python(ArrayUfunc)
    return ArrayUfunc(f"scipy.special.{name}")(*arguments, return_list=True)


def _c(value: complex, like: Pair) -> Pair:
    ones = pt.ones_like(like.real)
    return Pair(ones * value.real, ones * value.imag if value.imag else None)


def _exp_of_square(z: Pair, sign: float, factor: float) -> Pair:
    return complexes.scale(complexes.exp(complexes.scale(complexes.square(z), sign)), factor)


ROOT = 2.0 / np.sqrt(np.pi)


def _bessel(name: str, sign: float, scale: float = 0.5) -> Callable[..., Pair]:
    def derivative(z: Pair, w: Pair, v: float) -> Pair:
        below, above = complex_function(name, z, v - 1.0), complex_function(name, z, v + 1.0)
        return complexes.scale(complexes.add(below, complexes.scale(above, sign)), scale)

    return derivative


# Of z and the value, for functions of one complex number.
COMPLEX_DERIVATIVES: dict[str, Callable[..., Pair]] = {
    f"scipy.special.{name}": function
    for name, function in {
        "wofz": lambda z, w: complexes.add(complexes.scale(complexes.multiply(z, w), -2.0), _c(1j * ROOT, z)),
        "erf": lambda z, w: _exp_of_square(z, -1.0, ROOT),
        "erfc": lambda z, w: _exp_of_square(z, -1.0, -ROOT),
        "erfi": lambda z, w: _exp_of_square(z, 1.0, ROOT),
        "erfcx": lambda z, w: complexes.subtract(
            complexes.scale(complexes.multiply(z, w), 2.0), _c(ROOT + 0j, z)
        ),
        "dawsn": lambda z, w: complexes.subtract(
            _c(1 + 0j, z), complexes.scale(complexes.multiply(z, w), 2.0)
        ),
        "loggamma": lambda z, w: complex_function("psi", z),
        "gamma": lambda z, w: complexes.multiply(w, complex_function("psi", z)),
        "rgamma": lambda z, w: complexes.negative(complexes.multiply(w, complex_function("psi", z))),
        "exp1": lambda z, w: complexes.negative(complexes.divide(complexes.exp(complexes.negative(z)), z)),
        "expi": lambda z, w: complexes.divide(complexes.exp(z), z),
        "expm1": lambda z, w: complexes.exp(z),
        "log1p": lambda z, w: complexes.reciprocal(complexes.add(z, _c(1 + 0j, z))),
        "spence": lambda z, w: complexes.divide(complexes.log(z), complexes.subtract(_c(1 + 0j, z), z)),
        "wrightomega": lambda z, w: complexes.divide(w, complexes.add(w, _c(1 + 0j, z))),
        "jv": _bessel("jv", -1.0),
        "yv": _bessel("yv", -1.0),
        "iv": _bessel("iv", 1.0),
        "kv": _bessel("kv", 1.0, -0.5),
        "hankel1": _bessel("hankel1", -1.0),
        "hankel2": _bessel("hankel2", -1.0),
    }.items()
}


def _jacobi_elliptic(
    u: Variable, m: Variable, sn: Variable, cn: Variable, dn: Variable, ph: Variable
) -> list[Any]:
    return [[cn * dn, -sn * dn, -m * sn * cn, dn], STENCIL]


# Of arguments and values: for each argument the derivatives of all values.
ARRAY_DERIVATIVES: dict[str, Callable[..., Sequence[Any]]] = {
    f"scipy.special.{name}": function
    for name, function in {
        "airy": lambda x, a, da, b, db: [[da, x * a, db, x * b]],
        "ellipj": _jacobi_elliptic,
        "fresnel": lambda x, s, c: [[pt.sin(np.pi / 2 * x * x), pt.cos(np.pi / 2 * x * x)]],
        "sici": lambda x, s, c: [[_over(pt.sin(x), x, 1.0), pt.cos(x) / x]],
        "shichi": lambda x, s, c: [[_over(pt.sinh(x), x, 1.0), pt.cosh(x) / x]],
        "pbdv": lambda v, x, d, p: [STENCIL, [p, (x * x / 4 - v - 0.5) * d]],
        "pbvv": lambda v, x, d, p: [STENCIL, [p, (x * x / 4 - v - 0.5) * d]],
        "pbwa": lambda a, x, w, p: [STENCIL, [p, (a - x * x / 4) * w]],
        **{
            name: lambda m, q, x, y, p: [WHOLE, STENCIL, STENCIL]
            for name in (
                "mathieu_cem",
                "mathieu_sem",
                "mathieu_modcem1",
                "mathieu_modcem2",
                "mathieu_modsem1",
                "mathieu_modsem2",
            )
        },
        **{
            f"{kind}_{part}": lambda m, n, c, x, y, p: [WHOLE, WHOLE, STENCIL, STENCIL]
            for kind in ("pro", "obl")
            for part in ("ang1", "rad1", "rad2")
        },
        **{
            f"{kind}_{part}_cv": lambda m, n, c, cv, x, y, p: [WHOLE, WHOLE, STENCIL, STENCIL, STENCIL]
            for kind in ("pro", "obl")
            for part in ("ang1", "rad1", "rad2")
        },
    }.items()
}


def _over(a: Variable, x: Variable, at_zero: float) -> Variable:
    zero = pt.eq(x, 0)
    return pt.switch(zero, at_zero, a / pt.switch(zero, 1.0, x))
