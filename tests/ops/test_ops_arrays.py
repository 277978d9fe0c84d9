"""`classy_pm.ops`: equal to SciPy on arrays, and differentiable on traced arrays."""

import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.integrate
import scipy.interpolate
import scipy.ndimage
import scipy.signal

import classy_pm.ops as ops
from classy_pm.errors import SettingError, TraceError

sys.path.insert(0, str(Path(__file__).parent.parent / "likelihood" / "trace"))
from trace_checking import check, traced_graph

RANDOM = np.random.default_rng(0)
IMAGE = RANDOM.normal(size=(12, 9))
GAUSS = np.exp(-(np.arange(-2, 3) ** 2) / 2.0)
KERNELS = {
    "separable": np.outer(GAUSS, GAUSS),
    "even": RANDOM.normal(size=(3, 4)),
    "full rank": RANDOM.normal(size=(7, 7)),
}
MODES = ("full", "same", "valid")
CLOSE = {"rtol": 1e-10, "atol": 1e-12}
TENTH = np.float64(0.4)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", KERNELS)
def test_convolutions_equal_scipys(mode, name):
    kernel = KERNELS[name]
    expected = scipy.signal.convolve2d(IMAGE, kernel, mode=mode)
    np.testing.assert_array_equal(ops.convolve2d(IMAGE, kernel, mode=mode), expected)
    np.testing.assert_array_equal(
        ops.fftconvolve(IMAGE, kernel, mode=mode), scipy.signal.fftconvolve(IMAGE, kernel, mode=mode)
    )
    check(lambda image: ops.convolve2d(image, kernel, mode=mode), IMAGE, **CLOSE)
    check(lambda image, taps: ops.convolve2d(image, taps, mode=mode), IMAGE, kernel, **CLOSE)
    check(lambda image, taps: ops.fftconvolve(image, taps, mode=mode), IMAGE, kernel, **CLOSE)
    check(lambda taps: ops.convolve2d(IMAGE, taps, mode=mode), kernel, **CLOSE)
    check(lambda image: ops.convolve2d(kernel, image, mode=mode), IMAGE, **CLOSE)


@pytest.mark.parametrize("boundary", ["wrap", "symm"])
@pytest.mark.parametrize("mode", ["full", "same"])
def test_convolution_with_boundaries(boundary, mode):
    for kernel in KERNELS.values():
        check(lambda image, k=kernel: ops.convolve2d(image, k, mode=mode, boundary=boundary), IMAGE, **CLOSE)


def test_convolution_of_large_images_uses_transforms():
    image, kernel = RANDOM.normal(size=(64, 64)), RANDOM.normal(size=(21, 21))
    inputs, pairs, _, _session = traced_graph(lambda x: ops.convolve2d(x, kernel, mode="same"), [image])
    import pytensor

    names = [
        type(node.op).__name__ for node in pytensor.graph.traversal.applys_between(inputs, [pairs[0].real])
    ]
    assert "ToHalf" in names
    assert "Dot" not in names


def test_vectors_and_other_dimensions_are_convolved():
    for mode in MODES:
        check(lambda x, mode=mode: ops.fftconvolve(x, GAUSS, mode=mode), IMAGE[:, 0], **CLOSE)
    check(lambda x: ops.fftconvolve(x, np.ones((2, 2, 2))), IMAGE.reshape(3, 4, 9), **CLOSE)


XP = np.array([0, 1, 2.5, 3, 4.2, 6])
FP = RANDOM.normal(size=6)
PLACES = np.array([-0.5, 0.3, 1.2, 2.7, 5.5, 7])


@pytest.mark.parametrize("kind", ["linear", "cubic"])
def test_interpolation_on_a_line(kind):
    expected = (
        np.interp(PLACES, XP, FP) if kind == "linear" else scipy.interpolate.CubicSpline(XP, FP)(PLACES)
    )
    np.testing.assert_array_equal(ops.interp(PLACES, XP, FP, kind=kind), expected)
    check(lambda x, f: ops.interp(x, XP, f, kind=kind), PLACES, FP, **CLOSE)


@pytest.mark.parametrize("kind", ["linear", "cubic"])
def test_interpolation_on_a_grid(kind):
    yp, values = np.linspace(-1, 2, 7), RANDOM.normal(size=(6, 7))
    x, y = np.array([0.2, 1.1, 2.6, 5.5, -1]), np.array([-0.5, 0.1, 1.3, 1.9, 3])
    degree = {"linear": 1, "cubic": 3}[kind]
    spline = scipy.interpolate.RectBivariateSpline(XP, yp, values, kx=degree, ky=degree)
    np.testing.assert_array_equal(ops.interp2d(x, y, XP, yp, values, kind=kind), spline(x, y, grid=False))
    check(lambda a, b, f: ops.interp2d(a, b, XP, yp, f, kind=kind), x, y, values, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("order", [1, 3])
@pytest.mark.parametrize("mode", ["constant", "nearest", "mirror", "reflect"])
def test_map_coordinates_equals_scipys(order, mode):
    places = np.array([[0.3, 2.2, 5.1, 8.9, -1.3, 12.4], [1.2, 3.3, 0.1, 7.7, 4.4, 3.2]])
    options = {"order": order, "mode": mode, "cval": -2.0}
    np.testing.assert_array_equal(
        ops.map_coordinates(IMAGE, places, **options), scipy.ndimage.map_coordinates(IMAGE, places, **options)
    )
    check(lambda c, f: ops.map_coordinates(f, c, **options), places, IMAGE, rtol=1e-9, atol=1e-9)


def test_quad_is_fixed_quad_and_takes_infinite_limits():
    expected = scipy.integrate.fixed_quad(np.sin, 0, 2.0, n=20)[0]
    np.testing.assert_allclose(ops.quad(np.sin, 0, 2.0, n=20), expected, rtol=1e-14)
    np.testing.assert_allclose(ops.quad(lambda x: np.exp(-(x**2)), -np.inf, np.inf, n=200), np.sqrt(np.pi))
    np.testing.assert_allclose(ops.quad(lambda x: np.exp(-x), 1, np.inf), np.exp(-1))
    np.testing.assert_allclose(ops.quad(np.exp, -np.inf, 1), np.exp(1))
    check(lambda a, b: ops.quad(lambda x, k: np.exp(-x * k), 0.0, a, args=(b,)), np.float64(1.3), TENTH)
    check(lambda b: ops.quad(lambda x: np.exp(-(x**2) * b), -np.inf, np.inf, n=200), TENTH)


def test_solve_ivp_approaches_scipys():
    times = np.linspace(0, 1, 6)
    exact = scipy.integrate.solve_ivp(
        lambda t, y: [y[1], -0.4 * y[0]], (0, 1), [1.3, 1.0], t_eval=times, rtol=1e-11, atol=1e-12
    ).y
    ours = ops.solve_ivp(lambda t, y: [y[1], -0.4 * y[0]], times, [1.3, 1.0], steps=10)
    np.testing.assert_allclose(ours, exact, rtol=1e-9)
    check(
        lambda a, b: ops.solve_ivp(lambda t, y, k: np.array([y[1], -k * y[0]]), times, [a, 1.0], args=(b,)),
        np.float64(1.3),
        TENTH,
    )


def test_solve_ivp_refuses_a_graph_of_too_many_steps():
    with pytest.raises(TraceError, match="5000 steps"):
        traced_graph(lambda a: ops.solve_ivp(lambda t, y: -y, [0.0, 1.0], [a], steps=5000), [TENTH])


def test_a_function_of_ones_own_with_its_gradient():
    @ops.traceable(gradient=lambda g, x, y: (g * np.cos(x) * y, np.sum(g * np.sin(x))))
    def own(x, y):
        return np.sin(x) * y

    np.testing.assert_array_equal(own(FP, 2.0), np.sin(FP) * 2.0)
    check(lambda a, b: own(a, b) ** 2, FP, TENTH)


GRADIENTS = {
    "no result gradient": (
        lambda x, y: (x, y),
        r"gradient\(x, y\), cannot.*gradient\(result_gradient, x, y\)",
    ),
    "too few arrays": (lambda g, x: (x,), "and 2 arrays"),
    "no function": ((1.0, 2.0), "which is no function"),
}


@pytest.mark.parametrize("fault", GRADIENTS)
def test_a_gradient_that_cannot_be_called_is_told_when_it_is_registered(fault):
    gradient, text = GRADIENTS[fault]
    with pytest.raises(SettingError, match=f"(?s)The gradient of .*own.*{text}"):

        @ops.traceable(gradient=gradient)
        def own(x, y):
            return x * y


def test_a_gradient_for_another_number_of_arrays_is_told_when_they_are_known():
    @ops.traceable(gradient=lambda g, x: (g,))
    def own(*arrays):
        return sum(arrays)

    traced_graph(own, [TENTH])
    with pytest.raises(SettingError, match="and 2 arrays"):
        traced_graph(own, [TENTH, TENTH])


def test_the_brackets_of_the_decorator_cannot_be_left_out():
    with pytest.raises(SettingError, match=r"Write @traceable\(gradient=\.\.\.\)"):

        @ops.traceable
        def own(x):
            return x


def test_a_function_of_ones_own_without_a_gradient_has_a_value():
    @ops.traceable()
    def own(x):
        return np.sort(x)

    check(own, FP, gradient=False)


def test_a_function_written_in_jax():
    jax = pytest.importorskip("jax")
    model = ops.wrap_jax(lambda a, x: jax.numpy.exp(-a * x))
    np.testing.assert_allclose(model(2.0, FP), np.exp(-2.0 * FP))
    inputs, pairs, _, _ = traced_graph(lambda a: model(a, FP), [TENTH])
    import pytensor

    function = pytensor.function(inputs, [pairs[0].real, pytensor.grad(pairs[0].real.sum(), inputs[0])])
    value, slope = function(0.4)
    np.testing.assert_allclose(value, np.exp(-0.4 * FP))
    np.testing.assert_allclose(slope, np.sum(-FP * np.exp(-0.4 * FP)))
