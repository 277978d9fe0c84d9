"""Whole likelihoods: branches, refusals, terms, and what Python does with traced values."""

import math
import types
from math import exp, sqrt

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
import scipy.special

from classy_pm.errors import FitException, TraceError
from classy_pm.likelihood.trace import TracedArray, prove, trace
from classy_pm.likelihood.trace.guard import is_switch
from classy_pm.likelihood.trace.proof import quick_function

A, B = pt.dscalar("a"), pt.dscalar("b")
POINTS = [tuple(row) for row in np.random.default_rng(0).uniform(-2, 2, size=(40, 2))]
X = np.linspace(-1, 1, 11)
Y = np.cos(3 * X)


def traced(function, points=POINTS, **options):
    return trace(lambda values: function(*values), [A, B], witnesses=points, **options)


def proved(function, points=POINTS, **options):
    """Trace, prove, and check that the gradient is finite wherever the value is."""

    def plain(*values):
        try:
            with np.errstate(all="ignore"):
                return function(*values)
        except FitException:
            return -np.inf

    result = traced(function, points, **options)
    proof = prove(result, [A, B], plain, points[:20])
    gradient = quick_function([A, B], pytensor.grad(result.value, [A, B], disconnected_inputs="ignore"))
    for point in points:
        if np.isfinite(plain(*point)):
            assert np.all(np.isfinite(gradient(*point)))
    if result.terms is not None:
        value, terms = quick_function([A, B], [result.value, result.terms])(*points[0])
        np.testing.assert_allclose(np.sum(terms), value, rtol=1e-12)
    return result, proof


def nodes_of(result):
    return list(pytensor.graph.traversal.applys_between([A, B], [result.value]))


# Branches


def test_every_branch_is_run_once_and_merged():
    def function(a, b):
        model = np.log(a) * X if a > 0 else np.sqrt(-a) * X
        return -0.5 * np.sum((model - b) ** 2)

    result, proof = proved(function)
    assert result.branches == 2
    assert proof.branches_reached == 2
    assert all(path.reached for path in result.paths)
    assert __file__ in result.paths[0].answers[0][0]


def test_branches_are_merged_where_they_differ():
    calls = []

    def function(a, b):
        calls.append(1)
        scale = 2.0 * a if a > 0 else -a
        return -0.5 * np.sum((np.exp(scale * X) - b) ** 2)

    result, _ = proved(function)
    exponentials = [
        node for node in nodes_of(result) if "exp" in str(node.op).lower() and "Dims" not in str(node.op)
    ]
    assert len(exponentials) == 1


def test_the_same_question_is_asked_once():
    def function(a, b):
        first = 1.0 if a > b else 2.0
        second = 3.0 if a > b else 4.0
        return -a * a * first * second + b

    assert traced(function).branches == 2


def test_fit_exception_is_minus_infinity_there():
    def function(a, b):
        if a < -1 or b < -1:
            raise FitException
        return -np.sum((a * X - b) ** 2) / 2 - np.log(a + 1.5)

    result, _ = proved(function)
    assert result.value.eval({A: -1.5, B: 0.0}) == -np.inf
    assert {path.end for path in result.paths} == {"value", "impossible"}


def test_while_with_few_turns():
    def function(a, b):
        y, turns = np.abs(a) * 4 + 1, 0
        while y > 1.5:
            y, turns = y / 2, turns + 1
        return -np.sum((y * X - b) ** 2) - turns

    _, proof = proved(function)
    assert proof.branches_reached >= 3


def test_a_loop_without_end_names_the_line_that_branches():
    def function(a, b):
        y = a
        while y < 1e9:
            y = y + 1
        return y

    with pytest.raises(TraceError, match=r"more than 64 ways.*test_trace_likelihoods.py:\d+, in .*function"):
        traced(function)


@pytest.mark.parametrize("limit", [64, 256])
def test_a_limit_that_was_raised_before_is_not_to_be_raised_again(limit):
    def function(a, b):
        while a < 1e9:
            a = a + 1
        return a

    with pytest.raises(TraceError, match=f"more than {limit} ways") as caught:
        traced(function, limit=limit)
    assert ("branch_limit = 256" in caught.value.cure) == (limit == 64)
    assert ("likelihood='blackbox'" in caught.value.cure) == (limit == 256)
    assert "np.where" in caught.value.cure


def test_the_limit_can_be_set():
    def function(a, b):
        total = 0.0
        for x in X[:4]:
            total = total - (a if a * x > b else b) ** 2
        return total

    with pytest.raises(TraceError, match="more than 3 ways"):
        traced(function, limit=3)
    assert proved(function)[0].branches > 3


def test_an_error_of_the_user_beyond_all_draws_does_not_matter():
    def function(a, b):
        if a > 5:
            raise ValueError("too large")
        return -a * a - b * b

    result, _ = proved(function)
    assert [path.end for path in result.paths].count("cut") == 1


def test_assertions_and_conditions_of_arrays():
    def function(a, b):
        assert np.all(a * X < 50)
        if np.any(np.isnan(a * X)):
            return -np.inf
        return -np.sum((a * X - b) ** 2)

    assert proved(function)[1].branches_reached == 1


def test_max_and_min_of_numbers_do_not_branch():
    def function(a, b):
        return -sum((max(1e-3, a) * X - min(b, 1.0, a)) ** 2)

    assert proved(function)[0].branches == 1


def test_cholesky_on_the_path_not_taken_is_evaluated_at_a_valid_point():
    def function(a, b):
        if abs(a) < 0.99:
            factor = np.linalg.cholesky(np.array([[1.0, a], [a, 1.0]]))
            return -np.sum(np.linalg.solve(factor, np.array([b, 1.0])) ** 2)
        return -b * b * a

    proved(function)


# No NaN from what was not chosen


@pytest.mark.parametrize(
    "expression",
    [
        "np.where(X > a, np.log(np.abs(X - a)), b * X)",
        "np.where(X > a, np.sqrt(X - a), 0.0) * b",
        "np.where(X > a, b * np.log(X - a), 0.0)",
        "np.where(X > a, b / np.maximum(X - a, 0.0), 1.0)",
        "np.where(a * X < 1, np.exp(1000 * a * X), 0.0) * 1e-300",
        "np.where(np.abs(a * X) < 0.5, np.arcsin(2 * a * X) * b, 0.0)",
        "np.where(X * a == 0, 1.0, np.sin(X * a) / (X * a))",
        "np.select([X > a, X < b], [np.sqrt(np.abs(X - a)), np.log(np.abs(b - X) + 1)], 0.0)",
        "np.piecewise(X * a, [X * a > 0, X * a <= 0], [lambda t: np.sqrt(t + 1e-3), lambda t: -t])",
    ],
)
def test_gradient_is_finite_where_the_other_value_is_undefined(expression):
    function = eval(f"lambda a, b: -np.sum({expression})", globals())
    proved(function)


def test_graphs_without_a_choice_are_left_alone():
    result = traced(lambda a, b: -np.sum((np.log(a * a) * X - b) ** 2))
    assert not any(
        "Guarded" in type(getattr(node.op, "scalar_op", None)).__name__ for node in nodes_of(result)
    )
    assert not any(is_switch(output) for node in nodes_of(result) for output in node.outputs)


# Python


def test_pythons_sum_adds_one_node():
    result, _ = proved(lambda a, b: -0.5 * sum(((Y - a * X) / 0.1) ** 2.0))
    assert sum("Sum" in str(node.op) for node in nodes_of(result)) == 1
    assert len(nodes_of(result)) < 12


def test_sum_over_rows_and_over_a_generator():
    grid = np.arange(12.0).reshape(4, 3)
    proved(lambda a, b: -sum(sum(a * grid - b)) - sum(row.sum() for row in (a * grid)))


def test_numbers_are_what_they_stand_for():
    def function(a, b):
        assert isinstance(a, float)
        assert np.isscalar(a)
        assert isinstance(a * X, np.ndarray)
        assert not isinstance(a, np.ndarray)
        assert not hasattr(a, "__len__")
        assert len(a * X) == 11
        assert (a * X).shape == (11,)
        return -a * a - b

    proved(function)


def test_text_of_a_traced_value():
    texts = []

    def function(a, b):
        texts.append(f"{a:.3f} {a * X} {a!r}")
        return -a * a

    traced(function)
    assert "traced float64" in texts[0]
    assert "(11,)" in texts[0]


def test_arrays_of_traced_numbers():
    def function(a, b):
        rotation = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
        points = np.stack([X, Y]).T @ rotation
        return -np.sum(points[:, 0] * b) - np.sum([a, b]) - np.max([a, b]) - np.mean(np.asarray([a, b, 1]))

    proved(function)


def test_math_and_float_and_their_friends():
    def function(a, b):
        return (
            -exp(a) * math.sqrt(a * a + 1)
            + sqrt(b * b)
            + float(np.float64(a))
            + math.hypot(a, b)
            + math.pow(a * a + 1, 0.3)
            + math.lgamma(b * b + 1)
            + math.fsum([a, b])
        )

    proved(function)


def test_names_are_put_back_after_a_trace():
    before = dict(globals())

    def function(a, b):
        return -math.exp(a) * np.sum(np.array([a, b])) + max(a, b)

    traced(function)
    with pytest.raises(TraceError):
        traced(lambda a, b: {math.exp(a): 1}[a])
    assert {key: value for key, value in globals().items() if before.get(key) is not value} == {}


def test_masks_that_depend_on_parameters():
    def function(a, b):
        model = np.empty_like(a * X)
        above = a * X > b
        model[above] = np.log((a * X)[above] - b) if False else np.sqrt((a * X)[above] - b)
        model[~above] = 0.5
        return -np.sum((Y - model) ** 2) - (a * X)[above].sum()

    proved(function)


def test_views_and_writes_are_numpys():
    def function(a, b):
        model = a * X
        part = model[2:5]
        part += b
        part[0] = 1.0
        model[::-1][0] = b
        return -np.sum((Y - model) ** 2) - part.sum()

    proved(function)


def test_copies_of_objects_that_hold_traced_values():
    import copy

    def function(a, b):
        model = copy.deepcopy(types.SimpleNamespace(centre=a, parts=[b * X]))
        model.parts[0][0] = 7.0
        return -np.sum((model.parts[0] - model.centre) ** 2)

    proved(function)


# Terms


@pytest.mark.parametrize(
    "function",
    [
        lambda a, b: -0.5 * sum((Y - a * X) ** 2),
        lambda a, b: (
            -0.5 * np.sum(((Y - a * X) / np.exp(b)) ** 2) - Y.size * b - Y.size / 2 * np.log(2 * np.pi)
        ),
        lambda a, b: -np.sum((Y - a) ** 2) / 2 - sum(np.log(b * b + X**2)),
        lambda a, b: -np.mean((Y - a * X) ** 2) * b,
        lambda a, b: -0.5 * np.dot(Y - a * X, Y - a * X),
        lambda a, b: np.log(np.prod(np.exp(-((Y - a * X) ** 2)))),
        lambda a, b: -np.sum(np.sum((np.outer(X, X) - a) ** 2, axis=1)),
        lambda a, b: -np.sum((Y - a * X) ** 2) if a > 0 else -np.inf,
    ],
)
def test_terms_of_a_sum(function):
    result, _ = proved(function)
    assert result.terms is not None
    assert result.terms_reason is None
    assert result.terms.type.shape[0] in (11, 121)


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda a, b: -a * a - b * b, "not a sum over data"),
        (lambda a, b: -np.sum((Y - a) ** 2) - np.sum((X[:5] - b) ** 2), "over 11 and a sum over 5"),
        (lambda a, b: -np.log(1 + np.sum((Y - a) ** 2)), "inside of"),
        (lambda a, b: -(Y - a) @ np.linalg.inv(np.eye(11) + 0.1) @ (Y - a), "coupled"),
        (lambda a, b: -np.sum((Y - a) ** 2) * np.sum((Y - b) ** 2), "multiplies two sums"),
    ],
)
def test_why_there_are_no_terms(function, reason):
    result, _ = proved(function)
    assert result.terms is None
    assert reason in result.terms_reason
    assert "LOO is not available" in result.terms_reason


# Words


def differential_equation(a, b):
    import scipy.integrate

    return scipy.integrate.odeint(lambda y, t: -a * y, 1.0, X).sum()


def dictionary(a, b):
    return {1.0: 2}[a]


def list_index(a, b):
    return [1, 2, 3][a]


def slice_bounds(a, b):
    return np.sum(X[: np.rint(a).astype(int)])


def unique(a, b):
    return np.sum(np.unique(a * X))


def plain_mask(a, b):
    return X[a < X].size


def pickled(a, b):
    import pickle

    return pickle.dumps(a)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (differential_equation, "odeint.*ops.solve_ivp"),
        (dictionary, "dictionary key"),
        (list_index, "list"),
        (slice_bounds, "depend"),
        (unique, "unique.*depends on parameters"),
        (pickled, "pickled"),
        (lambda a, b: a * X, "shape.*not one real number"),
        (lambda a, b: a * 1j, "complex number, not one real number"),
        (lambda a, b: "text", "not one real number"),
    ],
)
def test_a_refusal_says_what_where_and_what_instead(function, words):
    with pytest.raises(TraceError, match=f"(?s){words}") as caught:
        traced(function)
    if function.__name__ != "<lambda>":
        assert f"{__file__}:" in str(caught.value)
        assert f"in {function.__name__}" in str(caught.value)


def test_a_refusal_that_the_code_swallows_is_raised_all_the_same():
    def function(a, b):
        try:
            return -np.sum(np.unique(a * X))
        except TypeError:
            return -a * a

    with pytest.raises(TraceError, match="unique"):
        traced(function)


def test_another_error_says_where():
    def function(a, b):
        return a.no_such_thing

    with pytest.raises(TraceError, match=r"AttributeError.*no_such_thing.*test_trace_likelihoods"):
        traced(function)


def test_an_input_of_unknown_shape_is_refused():
    with pytest.raises(TraceError, match="no fixed shape"):
        trace(lambda values: np.sum(values[0]), [pt.dvector("v")])


# Proof


def test_state_is_caught_by_the_proof():
    calls = []

    def function(a, b):
        calls.append(1)
        return -a * a * len(calls)

    result = traced(function)
    with pytest.raises(TraceError, match="state that changes"):
        prove(result, [A, B], function, POINTS[:3])


def test_random_numbers_are_caught_by_the_proof():
    def function(a, b):
        return -a * a + np.random.default_rng().normal()

    result = traced(function)
    with pytest.raises(TraceError, match="Random numbers"):
        prove(result, [A, B], function, POINTS[:3])


def test_a_wrong_gradient_is_caught_by_the_proof():
    def plain(a, b):
        return -a * a * b

    result = traced(lambda a, b: -np.floor(a * a) * b - (a * a - np.floor(a * a)) * b)
    prove(result, [A, B], plain, POINTS[:3])
    wrong = traced(lambda a, b: -np.rint(a * a * 1e6) / 1e6 * b)
    with pytest.raises(TraceError, match="gradient"):
        prove(wrong, [A, B], plain, [(1.0, 2.0), (2.0, -1.0)], rtol=1e-3)


def test_nan_of_the_plain_function_is_minus_infinity():
    result = traced(lambda a, b: np.log(a) + b)
    proof = prove(result, [A, B], lambda a, b: np.log(a) + b, [(-1.0, 1.0), (1.0, 1.0)])
    assert proof.points == 2


@pytest.mark.parametrize(
    "total",
    [
        lambda data, a: np.nansum((data - a) ** 2),
        lambda data, a: np.sum(np.where(np.isnan(data), 0.0, a - data)),
    ],
)
def test_nan_of_the_data_that_is_left_out_does_not_reach_the_gradient(total):
    data = np.where(np.arange(Y.size) % 3 == 1, np.nan, Y)
    result = traced(lambda a, b: -total(data, a) * b)
    proof = prove(result, [A, B], lambda a, b: -total(data, a) * b, POINTS[:3])
    assert proof.gradient_points == 3


def test_arrays_as_inputs():
    data = pt.tensor("data", dtype="float64", shape=(11,))

    def function(values):
        assert all(issubclass(type(value), TracedArray) for value in values)
        return -0.5 * sum((values[0] - values[1] * X) ** 2)

    points = [(Y, 0.3), (Y + 1, -2.0)]
    result = trace(function, [data, A], witnesses=points)
    prove(result, [data, A], lambda y, a: -0.5 * np.sum((y - a * X) ** 2), points)


def test_constants_do_not_branch_and_need_no_inputs():
    result = traced(lambda a, b: -1.0 if np.zeros_like(a * X).sum() == 0 else a)
    assert result.branches == 1
    assert float(result.value.eval()) == -1.0


# What is done with a graph afterwards


def test_a_graph_is_pickled_with_its_guards():
    import pickle

    result = traced(lambda a, b: -np.sum(np.where(a < X, np.sqrt(X - a), 0.0)) * b)
    a, b, value = pickle.loads(pickle.dumps((A, B, result.value)))
    gradient = pytensor.grad(value, [a, b])
    assert np.all(np.isfinite(quick_function([a, b], gradient)(0.3, 1.0)))


@pytest.mark.parametrize(
    "function",
    [
        lambda y, a: -0.5 * sum((y - a * X) ** 2),
        lambda y, a: -np.sum(np.abs(np.fft.rfft(y) - np.fft.rfft(a * X)) ** 2),
        lambda y, a: -np.sum(np.fft.irfft(np.fft.rfft(y) * (1 + a * 1j), 11) ** 2) + np.fft.fft(y).real.sum(),
        lambda y, a: -np.sum(scipy.special.wofz(y + 1j * a).real) + scipy.special.sici(y)[0].sum(),
        lambda y, a: -np.sum(np.where(y > a, np.sqrt(y - a), 0.0)),
        lambda y, a: -np.sum(scipy.special.voigt_profile(y, a, 0.3)) - np.sum(np.sort(y) * X),
    ],
)
def test_a_graph_is_vectorized_over_data_and_parameters(function):
    data = pt.tensor("data", dtype="float64", shape=(11,))
    result = trace(lambda values: function(*values), [data, A], witnesses=[(Y, 0.3)])
    many, each = pt.tensor("many", dtype="float64", shape=(3, 11)), pt.dvector("each")
    batched = pytensor.graph.replace.vectorize_graph(result.value, {data: many, A: each})
    rows, numbers = np.stack([Y, Y + 0.1, X]), np.array([0.3, 0.5, 0.7])
    got = quick_function([many, each], batched)(rows, numbers)
    with np.errstate(all="ignore"):
        wanted = [function(row, number) for row, number in zip(rows, numbers, strict=True)]
    np.testing.assert_allclose(got, wanted, rtol=1e-10)
