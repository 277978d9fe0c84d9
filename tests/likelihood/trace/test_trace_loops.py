"""Code as people write it: loops over data, objects, text, caches, other libraries."""

import dataclasses

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

from classy_pm.errors import TraceError
from classy_pm.likelihood.trace import prove, trace

A, B = pt.dscalar("a"), pt.dscalar("b")
POINTS = [tuple(row) for row in np.random.default_rng(0).uniform(0.3, 2, size=(20, 2))]
X = np.linspace(-1, 1, 50)
D = np.random.default_rng(1).normal(size=50)
NOISE = 0.2 + 0.01 * np.arange(50)


def proved(function):
    result = trace(lambda values: function(*values), [A, B], witnesses=POINTS)
    prove(result, [A, B], function, POINTS[:6])
    return result


def nodes_of(result):
    return list(pytensor.graph.traversal.applys_between([A, B], [result.value]))


def sum_of_a_generator(a, b):
    return -sum((d - a * x - b) ** 2 for d, x in zip(D, X, strict=True))


def sum_in_a_loop(a, b):
    model = a * np.exp(-b * X)
    total = 0.0
    for i in range(len(D)):
        total += ((D[i] - model[i]) / NOISE[i]) ** 2
    return -0.5 * total


def difference_in_a_loop(a, b):
    total = 0.0
    for i in range(len(D)):
        total -= 0.5 * ((D[i] - a * X[i]) / np.exp(b)) ** 2
        total -= np.log(np.exp(b)) + 0.5 * np.log(2 * np.pi)
    return total


def array_filled_in_a_loop(a, b):
    model = np.zeros(len(X))
    for i in range(len(X)):
        model[i] = a * X[i] + b
    return -0.5 * np.sum((D - model) ** 2)


def array_of_a_list(a, b):
    model = np.array([a * x**2 + np.exp(b * x) for x in X])
    return -0.5 * sum((D - model) ** 2)


def choice_in_a_loop(a, b):
    total = 0.0
    for i in range(len(D)):
        total += np.where(X[i] > a - 1, (D[i] - a) ** 2, b * X[i] ** 2)
    return -total


def matrix_filled_in_a_loop(a, b):
    kernel = np.zeros((12, 12))
    for i in range(12):
        for j in range(12):
            kernel[i, j] = a * np.exp(-abs(X[i] - X[j]) / b)
            if i == j:
                kernel[i, j] += 0.1
    return -np.sum(kernel**2)


@pytest.mark.parametrize(
    "function",
    [
        sum_of_a_generator,
        sum_in_a_loop,
        difference_in_a_loop,
        array_filled_in_a_loop,
        array_of_a_list,
        choice_in_a_loop,
    ],
)
def test_a_loop_over_data_is_one_expression_with_terms(function):
    result = proved(function)
    assert len(nodes_of(result)) < 25
    assert result.terms.type.shape == (50,)


def test_a_matrix_filled_place_by_place_is_two_expressions():
    assert len(nodes_of(proved(matrix_filled_in_a_loop))) < 40


def test_a_recurrence_does_not_grow_faster_than_its_steps():
    def function(a, b):
        x, history = a, []
        for _ in range(40):
            x = x + 0.01 * (b - x) * x
            history.append(x)
        return -np.sum(np.array(history) ** 2)

    assert len(nodes_of(proved(function))) < 40 * 5


def recursion(a, b):
    state = np.zeros(20)
    state[0] = b
    for i in range(1, 20):
        state[i] = a * state[i - 1] * 0.5
    return -np.sum(state**2)


def steps_of_a_differential_equation(a, b):
    y = a
    for _ in range(60):
        y = y + 0.01 * (b - y)
    return -y * y


def newtons_method(a, b):
    anomaly = a
    while abs(anomaly - 0.3 * np.sin(anomaly) - a) > 1e-8:
        anomaly = anomaly - (anomaly - 0.3 * np.sin(anomaly) - a) / (1 - 0.3 * np.cos(anomaly))
    return -anomaly * anomaly - b * b


def bisection(a, b):
    low, high = 0.0, 10.0
    for _ in range(4):
        middle = 0.5 * (low + high)
        if middle * middle > a:
            high = middle
        else:
            low = middle
    return -low * b


def an_array_changed_while_it_is_iterated(a, b):
    values, total = a * X[:9], 0.0
    for i, value in enumerate(values):
        total = total + value
        if i + 1 < len(values):
            values[i + 1] = b * value
    return -(total**2)


def a_data_class_that_checks(a, b):
    @dataclasses.dataclass
    class Line:
        centre: float
        width: float

        def __post_init__(self):
            if self.width <= 0:
                raise ValueError("a width is positive")

    line = Line(a, b)
    return -np.sum(((D - line.centre) / line.width) ** 2)


def dictionaries_and_lists(a, b):
    parameters = {"a": a, "b": b}
    return -np.sum((D - sum(parameters[key] * X**n for n, key in enumerate(parameters))) ** 2)


def lists_to_numpy(a, b):
    return (
        np.sum([a * X, b * X]) - np.max(np.abs([a, b])) + np.dot([a, b], [1.0, 2.0]) - np.linalg.norm([a, b])
    )


def in_place_operators(a, b):
    model = X * a
    model -= b
    model *= model
    model /= 2
    model **= 2
    return -model.sum()


def built_ins(a, b):
    return -np.sum(np.clip(a * X, None, b) ** 2) - min(max(a, 0.0), 1.0) - abs(a) - round(b, 3) * 0


def complex_amplitudes(a, b):
    wave = a * np.exp(1j * b * X)
    return -np.sum(np.abs(wave - D) ** 2) - np.sum((wave * wave.conj()).real) - np.angle(wave).sum()


def spectra(a, b):
    return -np.sum(np.abs(np.fft.rfft(D) - np.fft.rfft(a * np.cos(b * X))) ** 2)


def polynomials(a, b):
    first = np.polynomial.polynomial.polyval(X, [a, b]) + np.polynomial.chebyshev.chebval(X, [a, b, 1])
    second = np.poly1d([a, b])(X) + np.polynomial.Legendre([1, a, b])(X) + np.polyval([a, 1, b], X)
    return -np.sum((first + second - D) ** 2)


def rows_and_columns(a, b):
    return -np.sum(np.r_[a * X, b, 1:3] ** 2) - np.sum(np.c_[a * X, b * X])


def vectorized(a, b):
    return -np.sum(np.vectorize(lambda x: x * a if x > 0 else b)(X) ** 2)


def dtypes(a, b):
    max(a, 1)  # covers the names of this module
    model = a * X
    assert model.dtype == np.float64
    assert model.dtype == float
    assert np.issubdtype(np.float64, np.floating)
    assert D.astype(np.float64).dtype == np.dtype("f8")
    assert np.zeros(3, dtype=np.float32).dtype == np.float32
    assert np.array([1, 2], dtype=float).dtype == np.float64
    assert isinstance(3.0, float)
    assert not isinstance(3, float)
    return -np.sum((model.astype(np.float64) - D) ** 2) * float("1.0")


def values_of_pandas(a, b):
    pandas = pytest.importorskip("pandas")
    return -((pandas.Series(D) - a * X) ** 2).sum()


@pytest.mark.parametrize(
    "function",
    [
        recursion,
        steps_of_a_differential_equation,
        newtons_method,
        bisection,
        an_array_changed_while_it_is_iterated,
        a_data_class_that_checks,
        dictionaries_and_lists,
        lists_to_numpy,
        in_place_operators,
        built_ins,
        complex_amplitudes,
        spectra,
        polynomials,
        rows_and_columns,
        vectorized,
        dtypes,
        values_of_pandas,
    ],
)
def test_code_as_people_write_it(function):
    proved(function)


class Cache:
    kept = None


def a_cache(a, b):
    if Cache.kept is None:
        Cache.kept = np.exp(a * X)
    return -np.sum((Cache.kept - b) ** 2)


def test_a_cache_is_found_out():
    Cache.kept = None
    with pytest.raises(TraceError, match="keeps results from one call to the next"):
        proved(a_cache)
    Cache.kept = None


def test_masked_arrays_are_refused():
    with pytest.raises(TraceError, match=r"numpy\.ma"):
        proved(lambda a, b: -np.sum((np.ma.masked_less(D, 0) - a * X) ** 2))
    with pytest.raises(TraceError, match="MaskedArray"):
        proved(lambda a, b: -np.sum((a * X - np.ma.masked_less(D, 0)) ** 2))


def test_a_fault_in_a_branch_that_no_draw_takes_is_not_passed_over():
    def function(a, b):
        return X[100] * a if a > 50 else -a * a

    with pytest.raises(TraceError, match="IndexError"):
        proved(function)
