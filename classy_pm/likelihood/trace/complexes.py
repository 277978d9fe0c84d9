"""Complex arithmetic on pairs of real variables.

PyTensor has complex dtypes, but no gradients through their sums, quotients and exponentials, and
no C code. A complex traced array is therefore two real variables, for which every linker has code
and every rule of differentiation holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pytensor.tensor as pt
from pytensor.scalar import basic as scalar
from pytensor.tensor.elemwise import Elemwise
from pytensor.tensor.variable import TensorVariable


class Pair(NamedTuple):
    """Real and imaginary part; an imaginary part of None is exactly zero."""

    real: TensorVariable
    imaginary: TensorVariable | None = None

    def imag(self) -> TensorVariable:
        """Return the imaginary part, zeros where there is none."""
        return pt.zeros_like(self.real) if self.imaginary is None else self.imaginary


class Size(scalar.Sqrt):
    """A root whose gradient at 0 is 0, as differences of the absolute value on both sides have it."""

    def pullback(self, inputs: Sequence[Any], outputs: Sequence[Any], cotangents: Sequence[Any]) -> list[Any]:
        """Return the cotangent of the squared size."""
        (slope,) = super().pullback(inputs, outputs, cotangents)
        return [scalar.switch(scalar.eq(inputs[0], 0), scalar.constant(0.0, dtype=slope.type.dtype), slope)]


size = Elemwise(Size(scalar.upgrade_to_float, name="size"))


def _sum(a: TensorVariable | None, b: TensorVariable | None) -> TensorVariable | None:
    if a is None or b is None:
        return b if a is None else a
    return a + b


def add(x: Pair, y: Pair) -> Pair:
    """Return x + y."""
    return Pair(x.real + y.real, _sum(x.imaginary, y.imaginary))


def negative(x: Pair) -> Pair:
    """Return -x."""
    return Pair(-x.real, None if x.imaginary is None else -x.imaginary)


def subtract(x: Pair, y: Pair) -> Pair:
    """Return x - y."""
    return add(x, negative(y))


def multiply(x: Pair, y: Pair) -> Pair:
    """Return x * y."""
    if y.imaginary is None:
        return Pair(x.real * y.real, None if x.imaginary is None else x.imaginary * y.real)
    if x.imaginary is None:
        return Pair(x.real * y.real, x.real * y.imaginary)
    return Pair(
        x.real * y.real - x.imaginary * y.imaginary,
        x.real * y.imaginary + x.imaginary * y.real,
    )


def square(x: Pair) -> Pair:
    """Return x * x."""
    return multiply(x, x)


def modulus_squared(x: Pair) -> TensorVariable:
    """Return the square of the absolute value."""
    return pt.sqr(x.real) if x.imaginary is None else pt.sqr(x.real) + pt.sqr(x.imaginary)


def divide(x: Pair, y: Pair) -> Pair:
    """Return x / y by Smith's method, which neither overflows nor underflows on the way."""
    if y.imaginary is None:
        return Pair(x.real / y.real, None if x.imaginary is None else x.imaginary / y.real)
    large = pt.ge(pt.abs(y.real), pt.abs(y.imaginary))
    big = pt.switch(large, y.real, y.imaginary)
    small = pt.switch(large, y.imaginary, y.real)
    ratio = small / big
    scale = 1.0 / (big + small * ratio)
    first = pt.switch(large, x.real, x.imag())
    second = pt.switch(large, x.imag(), x.real)
    sign = pt.switch(large, 1.0, -1.0)
    return Pair((first + second * ratio) * scale, sign * (second - first * ratio) * scale)


def reciprocal(x: Pair) -> Pair:
    """Return 1 / x."""
    return divide(Pair(pt.ones_like(x.real)), x)


def conjugate(x: Pair) -> Pair:
    """Return the complex conjugate."""
    return Pair(x.real, None if x.imaginary is None else -x.imaginary)


def absolute(x: Pair) -> TensorVariable:
    """Return the absolute value."""
    return pt.abs(x.real) if x.imaginary is None else size(modulus_squared(x))


def angle(x: Pair) -> TensorVariable:
    """Return the argument, from -pi to pi."""
    return pt.arctan2(x.imag(), x.real)


def exp(x: Pair) -> Pair:
    """Return the exponential."""
    length, turn = pt.exp(x.real), x.imag()
    return Pair(length * pt.cos(turn), length * pt.sin(turn))


def log(x: Pair) -> Pair:
    """Return the principal logarithm."""
    return Pair(0.5 * pt.log(modulus_squared(x)), angle(x))


def scale(x: Pair, factor: float) -> Pair:
    """Return x times a plain number."""
    return Pair(x.real * factor, None if x.imaginary is None else x.imaginary * factor)


def sqrt(x: Pair) -> Pair:
    """Return the principal square root."""
    length = absolute(x)
    zero = pt.eq(length, 0.0)
    safe = pt.switch(zero, 1.0, length)
    large = pt.sqrt(0.5 * (safe + pt.abs(x.real)))
    other = x.imag() / (2.0 * large)
    right = pt.ge(x.real, 0.0)
    sign = pt.switch(pt.lt(x.imag(), 0.0), -1.0, 1.0)
    real = pt.switch(right, large, pt.abs(other))
    imaginary = pt.switch(right, other, sign * large)
    return Pair(pt.switch(zero, 0.0, real), pt.switch(zero, 0.0, imaginary))


def power(x: Pair, y: Pair) -> Pair:
    """Return x ** y by the logarithm, 0 where the base is 0."""
    zero = pt.eq(modulus_squared(x), 0.0)
    safe = Pair(pt.switch(zero, 1.0, x.real), x.imag())
    result = exp(multiply(y, log(safe)))
    at_zero = pt.switch(pt.eq(modulus_squared(y), 0.0), 1.0, 0.0)
    return Pair(pt.switch(zero, at_zero, result.real), pt.switch(zero, 0.0, result.imag()))


def integer_power(x: Pair, exponent: int) -> Pair:
    """Return x to a plain integer power, by repeated squaring."""
    if exponent < 0:
        return reciprocal(integer_power(x, -exponent))
    result, factor = Pair(pt.ones_like(x.real)), x
    while exponent:
        if exponent % 2:
            result = multiply(result, factor)
        factor, exponent = square(factor), exponent // 2
    return result


def sin(x: Pair) -> Pair:
    """Return the sine."""
    return Pair(pt.sin(x.real) * pt.cosh(x.imag()), pt.cos(x.real) * pt.sinh(x.imag()))


def cos(x: Pair) -> Pair:
    """Return the cosine."""
    return Pair(pt.cos(x.real) * pt.cosh(x.imag()), -pt.sin(x.real) * pt.sinh(x.imag()))


def tan(x: Pair) -> Pair:
    """Return the tangent."""
    return divide(sin(x), cos(x))


def sinh(x: Pair) -> Pair:
    """Return the hyperbolic sine."""
    return Pair(pt.sinh(x.real) * pt.cos(x.imag()), pt.cosh(x.real) * pt.sin(x.imag()))


def cosh(x: Pair) -> Pair:
    """Return the hyperbolic cosine."""
    return Pair(pt.cosh(x.real) * pt.cos(x.imag()), pt.sinh(x.real) * pt.sin(x.imag()))


def tanh(x: Pair) -> Pair:
    """Return the hyperbolic tangent."""
    a, b = 2.0 * x.real, 2.0 * x.imag()
    below = pt.cosh(a) + pt.cos(b)
    return Pair(pt.sinh(a) / below, pt.sin(b) / below)


def log10(x: Pair) -> Pair:
    """Return the logarithm to base 10."""
    return scale(log(x), 1.0 / np.log(10.0))


def log2(x: Pair) -> Pair:
    """Return the logarithm to base 2."""
    return scale(log(x), 1.0 / np.log(2.0))


def equal(x: Pair, y: Pair) -> TensorVariable:
    """Return whether both parts are equal."""
    return pt.and_(pt.eq(x.real, y.real), pt.eq(x.imag(), y.imag()))
