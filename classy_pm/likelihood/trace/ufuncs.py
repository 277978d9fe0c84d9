"""NumPy's ufuncs: what each is in PyTensor.

Builders get variables that are already cast to the dtypes of NumPy's loop.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Constant
from pytensor.tensor.variable import TensorVariable

from classy_pm.likelihood.trace import complexes
from classy_pm.likelihood.trace.complexes import Pair
from classy_pm.likelihood.trace.registry import UFUNCS, UfuncRule, refuse_ufunc, ufunc_rule
from classy_pm.likelihood.trace.special_ops import numpy_op

Variable = TensorVariable


def _is_bool(x: Variable) -> bool:
    return x.type.dtype == "bool"


def _is_whole(x: Variable) -> bool:
    return x.type.dtype == "bool" or "int" in x.type.dtype


def truth(x: Variable) -> Variable:
    """Return the truth value of each element."""
    return x if _is_bool(x) else pt.neq(x, 0)


def _truth_of_pair(x: Pair) -> Variable:
    return pt.or_(truth(x.real), truth(x.imag()))


# Arithmetic


@ufunc_rule(np.add, pairs=complexes.add)
def add(x: Variable, y: Variable) -> Variable:
    """Return x + y; for bools, x or y."""
    return pt.or_(x, y) if _is_bool(x) else x + y


@ufunc_rule(np.subtract, pairs=complexes.subtract)
def subtract(x: Variable, y: Variable) -> Variable:
    """Return x - y."""
    return x - y


@ufunc_rule(np.multiply, pairs=complexes.multiply)
def multiply(x: Variable, y: Variable) -> Variable:
    """Return x * y; for bools, x and y."""
    return pt.and_(x, y) if _is_bool(x) else x * y


@ufunc_rule(np.true_divide, pairs=complexes.divide)
def true_divide(x: Variable, y: Variable) -> Variable:
    """Return x / y."""
    return pt.true_div(x, y)


@ufunc_rule(np.floor_divide)
def floor_divide(x: Variable, y: Variable) -> Variable:
    """Return the floor of x / y as NumPy and Python define it, from the remainder."""
    if _is_whole(x):
        return pt.switch(pt.eq(y, 0), 0, pt.int_div(x, pt.switch(pt.eq(y, 0), 1, y)))
    exact = pt.round((x - remainder(x, y)) / y, mode="half_to_even")
    return pt.switch(pt.eq(y, 0), x / y, exact)


@ufunc_rule(np.remainder)
def remainder(x: Variable, y: Variable) -> Variable:
    """Return the remainder, with the sign of y."""
    if _is_whole(x):
        return pt.switch(pt.eq(y, 0), 0, pt.mod(x, pt.switch(pt.eq(y, 0), 1, y)))
    return pt.mod(x, y)


@ufunc_rule(np.fmod)
def fmod(x: Variable, y: Variable) -> Variable:
    """Return the remainder, with the sign of x."""
    if _is_whole(x):
        return pt.sign(x) * remainder(pt.abs(x), pt.abs(y))
    return pt.switch(pt.lt(x, 0), -1.0, 1.0) * pt.mod(pt.abs(x), pt.abs(y))


@ufunc_rule(np.divmod)
def divmod_(x: Variable, y: Variable) -> tuple[Variable, Variable]:
    """Return quotient and remainder."""
    return floor_divide(x, y), remainder(x, y)


@ufunc_rule(np.negative, pairs=complexes.negative)
def negative(x: Variable) -> Variable:
    """Return -x."""
    return -x


@ufunc_rule(np.positive, pairs=lambda x: x)
def positive(x: Variable) -> Variable:
    """Return x."""
    return pt.tensor_copy(x) if isinstance(x, Constant) else x


def _power_of_pairs(x: Pair, y: Pair) -> Pair:
    exponent = _plain_number(y.real)
    if exponent is not None and (y.imaginary is None or _plain_number(y.imaginary) == 0.0):
        if float(exponent).is_integer() and abs(exponent) <= 64:
            return complexes.integer_power(x, int(exponent))
        if exponent == 0.5:
            return complexes.sqrt(x)
    return complexes.power(x, y)


def _plain_number(x: Variable) -> float | None:
    if isinstance(x, Constant) and x.data.size and np.all(x.data == x.data.flat[0]):
        return float(x.data.flat[0])
    return None


@ufunc_rule(np.power, pairs=_power_of_pairs)
def power(x: Variable, y: Variable) -> Variable:
    """Return x ** y; the plain exponents that NumPy treats apart are treated apart here."""
    exponent = _plain_number(y)
    if exponent is not None and y.type.ndim <= x.type.ndim and all(n == 1 for n in y.type.shape):
        if exponent == 2:
            return pt.sqr(x)
        if exponent == 1:
            return pt.tensor_copy(x) if isinstance(x, Constant) else x
        if not _is_whole(x):
            if exponent == 0.5:
                return pt.sqrt(x)
            if exponent == -1:
                return pt.reciprocal(x)
    return pt.pow(x, y)


@ufunc_rule(np.float_power, pairs=_power_of_pairs)
def float_power(x: Variable, y: Variable) -> Variable:
    """Return x ** y in floats."""
    return power(x, y)


def _absolute_of_pair(x: Pair) -> Pair:
    return Pair(complexes.absolute(x))


@ufunc_rule(np.absolute, pairs=_absolute_of_pair)
def absolute(x: Variable) -> Variable:
    """Return the absolute value."""
    return x if _is_bool(x) or x.type.dtype.startswith("uint") else pt.abs(x)


@ufunc_rule(np.fabs)
def fabs(x: Variable) -> Variable:
    """Return the absolute value."""
    return pt.abs(x)


@ufunc_rule(np.square, pairs=complexes.square)
def square(x: Variable) -> Variable:
    """Return x * x."""
    return pt.sqr(x)


@ufunc_rule(np.reciprocal, pairs=complexes.reciprocal)
def reciprocal(x: Variable) -> Variable:
    """Return 1 / x."""
    return pt.switch(pt.eq(x, 0), 0, pt.int_div(1, x)) if _is_whole(x) else pt.reciprocal(x)


def _sign_of_pair(x: Pair) -> Pair:
    size = complexes.absolute(x)
    safe = pt.switch(pt.eq(size, 0), 1.0, size)
    return Pair(x.real / safe, x.imag() / safe)


@ufunc_rule(np.sign, pairs=_sign_of_pair)
def sign(x: Variable) -> Variable:
    """Return -1, 0 or 1."""
    return pt.sign(x)


def _conjugate_of_real(x: Variable) -> Variable:
    return x


UFUNCS[np.conjugate] = UfuncRule(_conjugate_of_real, complexes.conjugate)

# Exponentials, logarithms, trigonometry

for _ufunc, _build, _pairs in [
    (np.exp, pt.exp, complexes.exp),
    (np.exp2, pt.exp2, lambda x: complexes.exp(complexes.scale(x, np.log(2.0)))),
    (np.expm1, pt.expm1, None),
    (np.log, pt.log, complexes.log),
    (np.log2, pt.log2, complexes.log2),
    (np.log10, pt.log10, complexes.log10),
    (np.log1p, pt.log1p, None),
    (np.sqrt, pt.sqrt, complexes.sqrt),
    (np.sin, pt.sin, complexes.sin),
    (np.cos, pt.cos, complexes.cos),
    (np.tan, pt.tan, complexes.tan),
    (np.arcsin, pt.arcsin, None),
    (np.arccos, pt.arccos, None),
    (np.arctan, pt.arctan, None),
    (np.arctan2, pt.arctan2, None),
    (np.sinh, pt.sinh, complexes.sinh),
    (np.cosh, pt.cosh, complexes.cosh),
    (np.tanh, pt.tanh, complexes.tanh),
    (np.arcsinh, pt.arcsinh, None),
    (np.arccosh, pt.arccosh, None),
    (np.arctanh, pt.arctanh, None),
    (np.degrees, pt.rad2deg, None),
    (np.rad2deg, pt.rad2deg, None),
    (np.radians, pt.deg2rad, None),
    (np.deg2rad, pt.deg2rad, None),
]:
    UFUNCS[_ufunc] = UfuncRule(_build, _pairs)

UFUNCS[np.cbrt] = UfuncRule(numpy_op("cbrt", 1, lambda x, out: [1.0 / (3.0 * out * out)]))


@ufunc_rule(np.hypot)
def hypot(x: Variable, y: Variable) -> Variable:
    """Return the root of the sum of squares, scaled so that it neither overflows nor underflows."""
    return complexes.size(pt.sqr(x) + pt.sqr(y))


@ufunc_rule(np.logaddexp)
def logaddexp(x: Variable, y: Variable) -> Variable:
    """Return log(exp(x) + exp(y))."""
    equal = pt.eq(x, y)
    apart = pt.switch(equal, 1.0, x - y)
    return pt.switch(equal, (x + y) / 2 + np.log(2.0), pt.maximum(x, y) + pt.log1p(pt.exp(-pt.abs(apart))))


@ufunc_rule(np.logaddexp2)
def logaddexp2(x: Variable, y: Variable) -> Variable:
    """Return log2(2**x + 2**y)."""
    equal = pt.eq(x, y)
    apart = pt.switch(equal, 1.0, x - y)
    tail = pt.log1p(pt.exp2(-pt.abs(apart))) / np.log(2.0)
    return pt.switch(equal, (x + y) / 2 + 1.0, pt.maximum(x, y) + tail)


# Rounding


def _rounding(build: Any) -> Any:
    return lambda x: x if _is_whole(x) else build(x)


for _ufunc, _build in [
    (np.floor, pt.floor),
    (np.ceil, pt.ceil),
    (np.trunc, pt.trunc),
    (np.rint, lambda x: pt.round(x, mode="half_to_even")),
]:
    UFUNCS[_ufunc] = UfuncRule(_rounding(_build), note="its derivative is zero")


@ufunc_rule(np.modf)
def modf(x: Variable) -> tuple[Variable, Variable]:
    """Return the fraction and the whole part, both with the sign of x."""
    whole = pt.trunc(x)
    return pt.switch(pt.isinf(x), 0.0, x - whole), whole


@ufunc_rule(np.frexp, note="its exponent has derivative zero")
def frexp(x: Variable) -> tuple[Variable, Variable]:
    """Return the mantissa in [0.5, 1) and the exponent of 2."""
    plain = pt.and_(pt.neq(x, 0), pt.and_(pt.neq(pt.abs(x), np.inf), pt.eq(x, x)))
    safe = pt.switch(plain, x, 1.0)
    exponent = pt.floor(pt.log2(pt.abs(safe))) + 1.0
    mantissa = safe * pt.exp2(-exponent)
    exponent = exponent + pt.ge(pt.abs(mantissa), 1.0) - pt.lt(pt.abs(mantissa), 0.5)
    return pt.switch(plain, safe * pt.exp2(-exponent), x), pt.cast(pt.switch(plain, exponent, 0), "int32")


@ufunc_rule(np.ldexp)
def ldexp(x: Variable, exponent: Variable) -> Variable:
    """Return x * 2**exponent."""
    return x * pt.exp2(pt.cast(exponent, x.type.dtype))


# Comparison and logic


def _with_itself(compare: Callable[..., Variable]) -> Callable[..., Variable]:
    """Let a value that is compared with itself be asked whether it is NaN: PyTensor takes it for equal."""

    def compared(x: Variable, y: Variable) -> Variable:
        if x is not y or x.type.dtype not in ("float64", "float32"):
            return compare(x, y)
        return pt.isnan(x) if compare is pt.neq else pt.invert(pt.isnan(x))

    return compared


for _ufunc, _build in [
    (np.less, pt.lt),
    (np.less_equal, _with_itself(pt.le)),
    (np.greater, pt.gt),
    (np.greater_equal, _with_itself(pt.ge)),
]:
    UFUNCS[_ufunc] = UfuncRule(_build)
UFUNCS[np.equal] = UfuncRule(_with_itself(pt.eq), complexes.equal)
UFUNCS[np.not_equal] = UfuncRule(_with_itself(pt.neq), lambda x, y: pt.invert(complexes.equal(x, y)))


@ufunc_rule(np.logical_and, pairs=lambda x, y: pt.and_(_truth_of_pair(x), _truth_of_pair(y)))
def logical_and(x: Variable, y: Variable) -> Variable:
    """Return x and y."""
    return pt.and_(truth(x), truth(y))


@ufunc_rule(np.logical_or, pairs=lambda x, y: pt.or_(_truth_of_pair(x), _truth_of_pair(y)))
def logical_or(x: Variable, y: Variable) -> Variable:
    """Return x or y."""
    return pt.or_(truth(x), truth(y))


@ufunc_rule(np.logical_xor)
def logical_xor(x: Variable, y: Variable) -> Variable:
    """Return whether one of x and y is true and the other is not."""
    return pt.xor(truth(x), truth(y))


@ufunc_rule(np.logical_not, pairs=lambda x: pt.invert(_truth_of_pair(x)))
def logical_not(x: Variable) -> Variable:
    """Return not x."""
    return pt.invert(truth(x))


for _ufunc, _build in [
    (np.bitwise_and, pt.and_),
    (np.bitwise_or, pt.or_),
    (np.bitwise_xor, pt.xor),
    (np.invert, pt.invert),
]:
    UFUNCS[_ufunc] = UfuncRule(_build)


@ufunc_rule(np.left_shift)
def left_shift(x: Variable, y: Variable) -> Variable:
    """Return x * 2**y."""
    return x * pt.pow(pt.cast(2, x.type.dtype), y)


@ufunc_rule(np.right_shift)
def right_shift(x: Variable, y: Variable) -> Variable:
    """Return the floor of x / 2**y."""
    return pt.int_div(x, pt.pow(pt.cast(2, x.type.dtype), y))


@ufunc_rule(np.isnan, pairs=lambda x: pt.or_(isnan(x.real), isnan(x.imag())))
def isnan(x: Variable) -> Variable:
    """Return whether x is not a number."""
    return pt.zeros_like(x, dtype="bool") if _is_whole(x) else pt.isnan(x)


@ufunc_rule(np.isinf, pairs=lambda x: pt.or_(isinf(x.real), isinf(x.imag())))
def isinf(x: Variable) -> Variable:
    """Return whether x is infinite."""
    return pt.zeros_like(x, dtype="bool") if _is_whole(x) else pt.isinf(x)


@ufunc_rule(np.isfinite, pairs=lambda x: pt.and_(isfinite(x.real), isfinite(x.imag())))
def isfinite(x: Variable) -> Variable:
    """Return whether x is neither infinite nor NaN."""
    return pt.ones_like(x, dtype="bool") if _is_whole(x) else pt.lt(pt.abs(x), np.inf)


# Choosing


@ufunc_rule(np.maximum)
def maximum(x: Variable, y: Variable) -> Variable:
    """Return the larger, NaN where one is NaN."""
    return pt.or_(x, y) if _is_bool(x) else pt.maximum(x, y)


@ufunc_rule(np.minimum)
def minimum(x: Variable, y: Variable) -> Variable:
    """Return the smaller, NaN where one is NaN."""
    return pt.and_(x, y) if _is_bool(x) else pt.minimum(x, y)


@ufunc_rule(np.fmax)
def fmax(x: Variable, y: Variable) -> Variable:
    """Return the larger, the other where one is NaN."""
    if _is_whole(x):
        return maximum(x, y)
    return pt.switch(pt.isnan(x), y, pt.switch(pt.isnan(y), x, pt.maximum(x, y)))


@ufunc_rule(np.fmin)
def fmin(x: Variable, y: Variable) -> Variable:
    """Return the smaller, the other where one is NaN."""
    if _is_whole(x):
        return minimum(x, y)
    return pt.switch(pt.isnan(x), y, pt.switch(pt.isnan(y), x, pt.minimum(x, y)))


@ufunc_rule(np.signbit)
def signbit(x: Variable) -> Variable:
    """Return whether the sign is negative, that of -0.0 included."""
    negative_zero = pt.and_(pt.eq(x, 0), pt.lt(pt.reciprocal(x), 0))
    return pt.or_(pt.lt(x, 0), negative_zero)


@ufunc_rule(np.copysign)
def copysign(x: Variable, y: Variable) -> Variable:
    """Return x with the sign of y."""
    size = pt.abs(x)
    return pt.switch(signbit(y), -size, size)


@ufunc_rule(np.heaviside)
def heaviside(x: Variable, at_zero: Variable) -> Variable:
    """Return 0 below zero, 1 above, `at_zero` at zero."""
    step = pt.switch(pt.lt(x, 0), 0.0, 1.0)
    return pt.switch(pt.eq(x, 0), at_zero, pt.switch(pt.eq(x, x), step, x))


UFUNCS[np.nextafter] = UfuncRule(numpy_op("nextafter", 2, lambda x, y, out: [1.0, 0.0]))
UFUNCS[np.spacing] = UfuncRule(numpy_op("spacing", 1, lambda x, out: [0.0]), note="its derivative is zero")
UFUNCS[np.gcd] = UfuncRule(numpy_op("gcd", 2, None))
UFUNCS[np.lcm] = UfuncRule(numpy_op("lcm", 2, None))
UFUNCS[np.bitwise_count] = UfuncRule(numpy_op("bitwise_count", 1, None))
refuse_ufunc(np.isnat, "it asks about dates")
