"""NumPy's ufuncs and Python's operators on traced values."""

import numpy as np
import pytest
from trace_checking import check

RANDOM = np.random.default_rng(0)
X = RANDOM.uniform(0.2, 0.9, size=(3, 4))
Y = RANDOM.uniform(1.1, 2.0, size=4)
S = np.float64(0.7)
NOT_OF_INTEGERS = (
    "arctanh",
    "arcsin",
    "arccos",
    "log",
    "log2",
    "log10",
    "reciprocal",
    "spacing",
    "conjugate",
)
UNARY = [
    "negative",
    "positive",
    "absolute",
    "fabs",
    "square",
    "reciprocal",
    "exp",
    "exp2",
    "expm1",
    "log",
    "log2",
    "log10",
    "log1p",
    "sqrt",
    "cbrt",
    "sin",
    "cos",
    "tan",
    "arcsin",
    "arccos",
    "arctan",
    "sinh",
    "cosh",
    "tanh",
    "arcsinh",
    "arctanh",
    "degrees",
    "radians",
    "rad2deg",
    "deg2rad",
    "floor",
    "ceil",
    "trunc",
    "rint",
    "sign",
    "signbit",
    "isnan",
    "isinf",
    "isfinite",
    "logical_not",
    "conjugate",
    "spacing",
    "modf",
    "frexp",
]
BINARY = [
    "add",
    "subtract",
    "multiply",
    "divide",
    "floor_divide",
    "remainder",
    "fmod",
    "power",
    "float_power",
    "arctan2",
    "hypot",
    "logaddexp",
    "logaddexp2",
    "less",
    "less_equal",
    "greater",
    "greater_equal",
    "equal",
    "not_equal",
    "logical_and",
    "logical_or",
    "logical_xor",
    "maximum",
    "minimum",
    "fmax",
    "fmin",
    "copysign",
    "heaviside",
    "nextafter",
    "divmod",
]
OPERATORS = [
    "a+b",
    "a-b",
    "a*b",
    "a/b",
    "a//b",
    "a%b",
    "a**b",
    "-a",
    "+a",
    "abs(a)",
    "a<b",
    "a>=b",
    "divmod(a,b)",
    "2**a",
    "1/a",
    "a**2",
    "a**-1",
    "a**.5",
    "a@b",
    "3-a",
    "(a>.5)&(b>1.5)",
    "(a>.5)|~(b>1.5)",
    "a**3",
    "round(s,2)*a",
]


@pytest.mark.parametrize("name", [*UNARY, "arccosh"])
def test_unary_ufunc_equals_numpy_for_every_kind_of_operand(name):
    ufunc = getattr(np, name)
    x = X + 1.0 if name == "arccosh" else X
    check(lambda a: ufunc(a), x)
    check(lambda a: ufunc(a), S if name != "arccosh" else S + 1.0)
    check(lambda a: ufunc(a), x.astype("f4"), rtol=3e-6, atol=1e-6, gradient=False)
    if name not in NOT_OF_INTEGERS:
        check(lambda a: ufunc(a), np.arange(1, 4))


@pytest.mark.parametrize("name", BINARY)
def test_binary_ufunc_equals_numpy_for_traced_and_plain_operands(name):
    ufunc = getattr(np, name)
    check(lambda a, b: ufunc(a, b), X, Y)
    check(lambda a: ufunc(a, Y), X)
    check(lambda a: ufunc(Y, a), X)
    if name not in ("power", "float_power"):
        check(lambda a, b: ufunc(a, b), X - 0.5, S)
    if name != "nextafter":
        check(lambda a: ufunc(a, np.arange(1, 5)), X.astype("f4"), rtol=3e-6, gradient=False)


@pytest.mark.parametrize("expression", OPERATORS)
def test_operator_equals_python(expression):
    check(lambda a, b: eval(expression, {"a": a, "b": b, "s": S}), X, Y)
