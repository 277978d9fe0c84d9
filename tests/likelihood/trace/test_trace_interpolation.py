"""Interpolators, roots and integrals: SciPy's objects at traced places, users' functions in SciPy's hands."""

import math
from dataclasses import replace

import numpy as np
import pytensor.tensor as pt
import pytest
import scipy.integrate
import scipy.interpolate
import scipy.optimize
from pytensor.graph.op import Op
from scipy.interpolate import BSpline, CubicSpline, interp1d, make_interp_spline
from trace_checking import check, traced_graph

from classy_pm.errors import TraceError
from classy_pm.likelihood.trace import prove, trace
from classy_pm.likelihood.trace.proof import quick_function

K = np.linspace(0, 4, 9)
V = np.sin(K)
X = np.linspace(0.05, 3.9, 11)
P = np.float64(1.3)
Y = np.array([0.3, 1.2, -0.4, 0.8, 0.1])

OBJECTS = {
    "CubicSpline": CubicSpline(K, V),
    "periodic": CubicSpline(K, np.sin(K * np.pi / 2), bc_type="periodic"),
    "not extrapolated": CubicSpline(K, V, extrapolate=False),
    "Pchip": scipy.interpolate.PchipInterpolator(K, V),
    "Akima": scipy.interpolate.Akima1DInterpolator(K, V),
    "BSpline": make_interp_spline(K, V, k=3),
    "UnivariateSpline": scipy.interpolate.UnivariateSpline(K, V, s=0.01),
    "zeros": scipy.interpolate.UnivariateSpline(K, V, s=0, ext=1),
    "const": scipy.interpolate.InterpolatedUnivariateSpline(K, V, ext=3),
    "linear": interp1d(K, V),
    "filled": interp1d(K, V, bounds_error=False, fill_value=(-1.0, 2.0)),
    "extrapolated": interp1d(K, V, kind="quadratic", fill_value="extrapolate"),
    "nearest": interp1d(K, V, kind="nearest"),
    "previous": interp1d(K, V, kind="previous"),
    "next": interp1d(K, V, kind="next"),
    "table": CubicSpline(K, np.stack([V, V**2], axis=1)),
}
OUTSIDE = ("CubicSpline", "periodic", "UnivariateSpline", "zeros", "const", "filled", "extrapolated", "Pchip")


@pytest.mark.parametrize("name", OBJECTS)
def test_an_interpolator_at_traced_places(name):
    check(lambda x: OBJECTS[name](x), X, rtol=1e-9)
    check(lambda p: OBJECTS[name](p), P, rtol=1e-9)
    if name in OUTSIDE:
        check(lambda x: OBJECTS[name](x), np.array([-0.7, 4.6, 2.0]), rtol=1e-9)


def test_derivatives_and_integrals_of_splines():
    spline, other = OBJECTS["CubicSpline"], OBJECTS["BSpline"]
    check(lambda x: spline(x, 1) + spline.derivative(2)(x) + spline.antiderivative()(x), X, rtol=1e-9)
    check(lambda x: other(x, nu=1) + OBJECTS["UnivariateSpline"](x, nu=1), X, rtol=1e-9)
    check(lambda p: spline.integrate(0.1, p) + other.integrate(p, 2.0), P, rtol=1e-9)
    check(lambda p: OBJECTS["UnivariateSpline"].integral(0.3, p), P, rtol=1e-9)
    tck = scipy.interpolate.splrep(K, V)
    check(lambda x: scipy.interpolate.splev(x, tck) + scipy.interpolate.splev(x, tck, der=1), X, rtol=1e-9)


def test_interpolators_of_several_variables():
    table = np.outer(V, K**2)
    linear = scipy.interpolate.RegularGridInterpolator((K, K), table, bounds_error=False, fill_value=None)
    filled = scipy.interpolate.RegularGridInterpolator((K, K), table, bounds_error=False, fill_value=7.0)
    smooth = scipy.interpolate.RectBivariateSpline(K, K, table)
    check(lambda x: linear(np.column_stack([x, x[::-1]])), X, rtol=1e-9)
    check(lambda x: filled((x, 1.5 * x)), X, rtol=1e-9)
    check(lambda x: smooth(x, x[::-1], grid=False), X, rtol=1e-9)
    check(lambda x: smooth(x, x[:4]), X, rtol=1e-9)


@pytest.mark.parametrize(
    "make",
    [
        lambda y: CubicSpline([0, 1, 2, 3, 4], y),
        lambda y: CubicSpline(np.arange(5.0), y, bc_type="natural"),
        lambda y: make_interp_spline(np.arange(5.0), y),
        lambda y: interp1d(np.arange(5.0), y),
        lambda y: interp1d(np.arange(5.0), y, kind="cubic"),
        lambda y: scipy.interpolate.InterpolatedUnivariateSpline(np.arange(5.0), y),
        lambda y: scipy.interpolate.UnivariateSpline(np.arange(5.0), y, s=0, k=1),
        lambda y: BSpline(np.arange(9.0) - 2, y, 3),
    ],
)
def test_an_interpolator_of_traced_values(make):
    check(lambda y: make(y)(X), Y, rtol=1e-9)
    check(lambda y, p: make(list(y))(p), Y, P, rtol=1e-9)


def test_an_interpolator_of_traced_values_outside_of_them():
    wide = np.array([-1.0, 1.5, 6.0])
    check(lambda y: interp1d(np.arange(5.0), y, bounds_error=False, fill_value=9.0)(wide), Y, rtol=1e-9)
    check(
        lambda y: interp1d(np.arange(5.0), y, bounds_error=False, fill_value=(y[0], y[-1]))(wide),
        Y,
        rtol=1e-9,
    )
    check(lambda y: CubicSpline(np.arange(5.0), y).derivative()(X), Y, rtol=1e-9)
    check(lambda y: CubicSpline(np.arange(5.0), y).integrate(0.5, 2.0), Y, rtol=1e-9)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (
            lambda y: scipy.interpolate.PchipInterpolator(np.arange(5.0), y)(X),
            "PchipInterpolator.*CubicSpline",
        ),
        (lambda y: CubicSpline(y, np.arange(5.0))(X), "places.*CubicSpline.*depend on parameters"),
        (lambda y: scipy.interpolate.UnivariateSpline(np.arange(5.0), y)(X), "smooths.*s=0"),
        (
            lambda y: scipy.integrate.solve_ivp(lambda t, u: -y[0] * u, (0, 1), [1.0]),
            "solve_ivp.*ops.solve_ivp",
        ),
        (lambda y: scipy.optimize.fsolve(lambda x: x**3 - y[1], 1.0), "fsolve.*Newton's steps"),
        (lambda y: scipy.optimize.minimize(lambda x: (x[0] - y[1]) ** 2, [0.0]).x, "minimize.*Newton"),
    ],
)
def test_what_cannot_be_traced_is_refused_in_words(function, words):
    with pytest.raises(TraceError, match=f"(?s){words}"):
        traced_graph(function, [Y])


# Integrals


@pytest.mark.parametrize(
    "function",
    [
        lambda p: scipy.integrate.quad(lambda x: math.exp(-p * x * x), 0, 1)[0],
        lambda p: scipy.integrate.quad(lambda x, q: np.exp(-q * x), 0.2, p, args=(p,))[0],
        lambda p: scipy.integrate.quad(lambda x: np.exp(-p * x * x), -np.inf, np.inf)[0],
        lambda p: p * scipy.integrate.quad(lambda x: x**2, 0, 1)[0],
    ],
)
def test_an_integral_of_a_users_function(function):
    check(function, P, rtol=1e-9)


# Roots


@pytest.mark.parametrize(
    "function",
    [
        lambda p: scipy.optimize.brentq(lambda x: x**3 + p * x - 1, 0, 2),
        lambda p: scipy.optimize.brentq(lambda x, q: math.exp(x) - q, 0, p, args=(p,)),
        lambda p: scipy.optimize.bisect(lambda x: x**3 + p * x - 1, 0, 2, xtol=1e-13),
        lambda p: scipy.optimize.root_scalar(lambda x: x**3 + p * x - 1, bracket=[0, 2]).root,
        lambda p: scipy.optimize.newton(
            lambda x: x**3 + p * x - 1, 1.0, fprime=lambda x: 3 * x**2 + p, tol=1e-12
        ),
        lambda p: scipy.optimize.newton(lambda x: x**3 + p * x - 1, 1.0, tol=1e-12),
        lambda p: p * scipy.optimize.brentq(lambda x: x**3 - 1, 0, 2),
    ],
)
def test_a_root_of_a_users_function(function):
    check(function, P, rtol=1e-9)


def test_a_root_of_a_function_that_branches_is_refused():
    with pytest.raises(TraceError, match="branches on its argument"):
        traced_graph(lambda p: scipy.optimize.brentq(lambda x: x - p if x > 0.1 else x + 3 * p, -9, 9), [P])


WIDE = np.array([-9.3, -0.7, 0.0, 0.25, 0.5, 2.0, 3.99, 4.0, 4.1, 12.9])
ENDS = [(0.3, 1.7), (-0.7, 2.0), (5.0, 1.0), (-3.0, -1.0), (4.5, 6.0), (-9.0, 13.0), (0.0, 4.0)]
PERIODIC = np.sin(K * np.pi / 2)
CUBIC = make_interp_spline(K, V)
EVERYWHERE = {
    **{f"univariate {e}": scipy.interpolate.UnivariateSpline(K, V, s=0.01, ext=e) for e in (0, 1, 3)},
    "bbox": scipy.interpolate.UnivariateSpline(K, V, s=0, bbox=(-1, 5)),
    **{name: OBJECTS[name] for name in ("CubicSpline", "periodic", "not extrapolated", "Akima", "table")},
    "B not extrapolated": BSpline(CUBIC.t, CUBIC.c, 3, extrapolate=False),
    "B periodic": make_interp_spline(K, PERIODIC, bc_type="periodic"),
    "B not clamped": BSpline(np.arange(9.0) - 2, V[:5], 3),
    "B of repeated knots": BSpline([0, 0, 2, 2, 4, 4], V[:4], 1),
    **{f"B {k}": make_interp_spline(K, V, k=k) for k in (0, 1, 2, 5)},
    **{
        f"{kind} {fill}": interp1d(K, V, kind=kind, bounds_error=False, fill_value=fill)
        for kind in ("linear", "nearest", "zero", "slinear", "cubic", "previous", "next")
        for fill in ("extrapolate", (-1.0, 2.0), np.nan)
    },
}


def same_as_plain(function, *points):
    """Compare a trace, evaluated at some points, with the plain function."""
    inputs, pairs, _, _ = traced_graph(function, [points[0]])
    evaluate = quick_function(inputs, [pair.real for pair in pairs])
    for point in points:
        np.testing.assert_allclose(evaluate(point)[0], function(point), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("name", EVERYWHERE)
def test_an_interpolator_inside_and_outside_of_its_range(name):
    item = EVERYWHERE[name]
    same_as_plain(item, WIDE)
    if name in ("B 0",) or isinstance(item, interp1d):
        return
    if name != "B of repeated knots" or isinstance(item, BSpline):
        same_as_plain(lambda x: item(x, 1), WIDE)
    ends = [np.array(pair) for pair in ENDS]
    if hasattr(item, "integral"):
        same_as_plain(lambda x: item.integral(x[0], x[1]), *ends)
        for ext in (0, 1, 3):
            same_as_plain(lambda x, ext=ext: item(x, ext=ext) + item(x, 1, ext=ext), WIDE)
    else:
        same_as_plain(lambda x: item.integrate(x[0], x[1]), *ends)
        for extrapolate in (True, False, "periodic"):
            same_as_plain(lambda x, e=extrapolate: item.integrate(x[0], x[1], extrapolate=e), *ends)
            same_as_plain(lambda x, e=extrapolate: item(x, 1, extrapolate=e), WIDE)


@pytest.mark.parametrize(
    "make",
    [
        lambda y: CubicSpline(K, y),
        lambda y: CubicSpline(K, y, extrapolate=False),
        lambda y: CubicSpline(K, y, extrapolate="periodic"),
        lambda y: make_interp_spline(K, y, k=2),
        lambda y: BSpline(np.arange(13.0) - 4, y, 3, extrapolate=False),
        lambda y: scipy.interpolate.UnivariateSpline(K, y, s=0),
        lambda y: interp1d(K, y, kind="zero", fill_value="extrapolate"),
        lambda y: interp1d(K, y, kind="previous", bounds_error=False, fill_value=(-1.0, 2.0)),
    ],
)
def test_an_interpolator_of_traced_values_everywhere(make):
    same_as_plain(lambda y: make(y)(WIDE), V, V**2)
    plain = make(V)
    for a, b in ENDS:
        if hasattr(plain, "integral"):
            same_as_plain(lambda y, a=a, b=b: make(y).integral(a, b), V, V**2)
        elif hasattr(plain, "integrate"):
            same_as_plain(lambda y, a=a, b=b: make(y).integrate(a, b), V, V**2)


@pytest.mark.parametrize(
    "function",
    [
        lambda p: make_interp_spline(K, V, k=0).integrate(0, p),
        lambda p: scipy.interpolate.PPoly(np.ones((2, 2)), [2.0, 1.0, 0.0])(p),
        lambda p: scipy.optimize.root_scalar(lambda x: x - p, bracket=[0, 9]).iterations,
        lambda p: scipy.optimize.newton(lambda x: x**2 - p, 1.0, disp=False),
        lambda p: scipy.optimize.newton(lambda x: x**2 - p, 1.0, x1=-3.0),
    ],
)
def test_what_scipy_does_in_its_own_way_is_refused(function):
    with pytest.raises(TraceError):
        traced_graph(function, [P])


# Roots that are not found


@pytest.mark.parametrize(
    "root",
    [
        lambda p: scipy.optimize.newton(lambda x: x**2 + p, 0.7, fprime=lambda x: 2 * x),
        lambda p: scipy.optimize.newton(lambda x: x**2 + p, 0.7),
        lambda p: scipy.optimize.newton(lambda x: x**2 + p, 0.7, maxiter=40),
        lambda p: scipy.optimize.brentq(lambda x: x**2 + p, 0, 3),
        lambda p: scipy.optimize.bisect(lambda x: x**2 + p, 0, 3, maxiter=200),
    ],
)
def test_a_root_that_is_not_found_is_nan_and_its_error_can_be_caught(root):
    inputs, pairs, _, _ = traced_graph(root, [np.float64(-2.0)])
    evaluate = quick_function(inputs, [pairs[0].real])
    np.testing.assert_allclose(evaluate(-2.0)[0], np.sqrt(2.0), rtol=1e-7)
    assert np.isnan(evaluate(2.0)[0])

    def caught(p):
        try:
            return -root(p)
        except (ValueError, RuntimeError):
            return -10.0 * p

    for witnesses in ([(-2.0,), (2.0,)], [(2.0,), (-2.0,)], [(2.0,)]):
        p = pt.dscalar("p")
        result = trace(lambda values: caught(values[0]), [p], witnesses=witnesses)
        prove(result, [p], caught, [(-2.0,), (2.0,), (-1.7,)], rtol=1e-7)


def test_whether_a_root_was_found_is_the_real_answer():
    def function(p):
        found = scipy.optimize.root_scalar(lambda x: x**2 + p, x0=0.7, fprime=lambda x: 2 * x)
        return found.root if found.converged else -10.0 * p

    p = pt.dscalar("p")
    result = trace(lambda values: function(values[0]), [p], witnesses=[(-2.0,), (2.0,)])
    prove(result, [p], function, [(-2.0,), (2.0,), (-1.7,)])


def test_what_an_operation_raises_is_a_refusal():
    class Failing(Op):
        __props__ = ()
        itypes, otypes = [pt.dscalar], [pt.dscalar]

        def perform(self, node, inputs, outputs):
            raise ValueError("no value")

        def pullback(self, inputs, outputs, gradients):
            return gradients

    p = pt.dscalar("p")
    result = trace(lambda values: values[0] * 2.0, [p], witnesses=[(1.0,)])
    with pytest.raises(TraceError, match="cannot be evaluated: ValueError: no value"):
        prove(replace(result, value=Failing()(p)), [p], lambda p: p, [(1.0,)])
