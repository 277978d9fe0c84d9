"""What a likelihood keeps, changes in place, caches, and reaches by other names than its module's."""

import cmath
import functools
import gc
import math
import pickle
import typing
from collections import deque, namedtuple

import numpy as np
import pytensor.tensor as pt
import pytest

import classy_pm as cpm
from classy_pm.errors import TraceError
from classy_pm.likelihood.symbolic import make_symbolic
from classy_pm.likelihood.trace import letting_go, prove, trace
from classy_pm.plan import make_plan

A, B = pt.dscalar("a"), pt.dscalar("b")
POINTS = [tuple(row) for row in np.random.default_rng(0).uniform(0.3, 2, size=(20, 2))]
X = np.linspace(-1, 1, 30)
D = np.random.default_rng(1).normal(size=30)


def proved(function):
    result = trace(lambda values: function(*values), [A, B], witnesses=POINTS)
    prove(result, [A, B], function, POINTS[:6])
    return result


def traced_values_left():
    return [item for item in gc.get_objects() if type(item).__name__ in ("TracedArray", "TracedSequence")]


# What is kept


def test_only_what_the_user_has_kept_holds_traced_values(monkeypatch):
    """Each look for holders goes through all objects there are: one that finds ours leads to the next."""
    rebuilt, holders, kept = letting_go._rebuilt, [], []

    def noted(holder, plain):
        holders.append(type(holder))
        return rebuilt(holder, plain)

    monkeypatch.setattr(letting_go, "_rebuilt", noted)
    trace(lambda values: kept.append(values[0] * values[1]) or -kept[-1], [A, B], witnesses=POINTS)
    assert list in holders and tuple not in holders


class Slots:
    __slots__ = ("value",)


Kept = namedtuple("Kept", "model value")


class Keeper:
    last = None

    def __init__(self):
        self.history, self.by_name, self.queue = [], {}, deque(maxlen=3)
        self.pair, self.slots, self.objects = (), Slots(), np.empty(1, dtype=object)

    def __call__(self, a, b):
        model = a * X + b
        value = -np.sum((D - model) ** 2)
        self.history.append(model)
        self.by_name["model"], self.slots.value, self.objects[0] = model, value, value
        self.queue.append(value)
        self.pair, self.named = (model, (value, 1)), Kept(model, value)
        Keeper.last = model
        Keeper.again = lambda: value
        return value


def test_what_is_kept_becomes_plain_when_the_trace_is_over():
    keeper = Keeper()
    proved(keeper)
    assert isinstance(keeper.history[0], np.ndarray)
    assert not traced_values_left()
    assert isinstance(Keeper.again(), float)
    assert keeper(1.0, 2.0) == -np.sum((D - X - 2.0) ** 2)


def test_a_likelihood_that_remembers_its_best_can_be_called_after_it_was_refused():
    class Best:
        value = -np.inf

        def __call__(self, a, b):
            value = -np.sum((D - a * X - b) ** 2)
            if value > self.value:
                self.value = value
            return value

    best = Best()
    with pytest.raises(TraceError, match=r"changes its own state.*test_trace_state\.py:\d+, in .*Best"):
        proved(best)
    assert isinstance(best.value, float)
    assert best(0.5, 0.5) == -np.sum((D - 0.5 * X - 0.5) ** 2)


@functools.lru_cache
def constant_of(n):
    return 2 * n - 1 / 3


@functools.lru_cache
def plain_table(count):
    return np.arange(count)


class Cached:
    def __init__(self, a):
        self.a = a

    @functools.lru_cache  # noqa: B019 - what is tested
    def model(self, power):
        return self.a * X**power

    @functools.cached_property
    def square(self):
        return self.a**2


def test_caches_of_functions_and_methods():
    def function(a, b):
        profile = Cached(a)
        return -np.sum((profile.model(2) - constant_of(b)) ** 2) - profile.square * plain_table(3).sum()

    proved(function)
    assert not traced_values_left()


# What is changed in place


def copy_changed(a, b):
    residual = D.copy()
    residual -= a * X
    residual /= b
    return -np.sum(residual**2)


def attribute_changed(a, b):
    class Model:
        pass

    model = Model()
    model.buffer = X.copy()
    model.buffer *= a
    model.buffer += b
    return -np.sum(model.buffer**2)


@pytest.mark.parametrize("function", [copy_changed, attribute_changed])
def test_a_plain_array_that_nobody_else_refers_to_is_changed_in_place(function):
    proved(function)


def other_name(a, b):
    residual = D.copy()
    other = residual
    residual -= a
    return -np.sum(other**2)


def view_of_it(a, b):
    residual = D.copy()
    part = residual[:5]
    residual -= a
    return -np.sum(part**2)


def argument(a, b):
    def change(array):
        array -= a

    residual = D.copy()
    change(residual)
    return -np.sum(residual**2)


def out(a, b):
    residual = D.copy()
    np.subtract(residual, a, out=residual)
    return -np.sum(residual**2)


@pytest.mark.parametrize("function", [other_name, view_of_it, argument, out])
def test_a_plain_array_with_another_name_is_not(function):
    before = D.copy()
    with pytest.raises(TraceError, match="written into a plain array"):
        proved(function)
    np.testing.assert_array_equal(D, before)


def flat_elements(a, b):
    grid = np.zeros((4, 5))
    grid.flat[::6] = a
    grid.flat = grid.ravel() + b
    grid.flat[[1, 2]] = [a, 7.0]
    return -np.sum(grid**2) - grid.flat[2:5].sum() - sum(value for value in grid.flat)


# Names


FUNCTIONS = {"exp": math.exp, "square": lambda x: x**2}
TIMES = np.vectorize(lambda x, a: a * x if x > 0 else math.exp(a))


class Profile:
    shape = staticmethod(math.tanh)
    kernel = math.exp

    def __init__(self, a):
        self.a = a
        self.scaled = np.vectorize(lambda x, power: self.a * x**power, excluded=["power"])

    def value(self):
        return self.shape(self.a) + self.kernel(self.a) + np.sum(self.scaled(X, power=2))


def imported_in_the_function(a, b):
    import math as m
    from math import exp

    import numpy as xp  # noqa: ICN001
    from scipy.stats import norm

    filled = xp.zeros(3)
    filled[0] = m.sqrt(b)
    return -xp.sum(xp.array([a, exp(b)]) ** 2) - filled.sum() + norm.logpdf(D, exp(a), b).sum()


def in_dictionaries_and_classes(a, b):
    return -FUNCTIONS["exp"](a) - FUNCTIONS["square"](b) - Profile(a).value() ** 2


def vectorized_by_a_decorator(a, b):
    return -np.sum((D - TIMES(X, a)) ** 2) - b


def complex_numbers(a, b):
    total = 0.0
    for x in X[:5]:
        z = complex(a, x) + cmath.exp(1j * b) + cmath.rect(a, b)
        total -= abs(z) ** 2 + cmath.phase(z) ** 2
    return total


def iterators(a, b):
    doubled = np.fromiter((2 * value for value in (a, b)), dtype=float)
    total = sum(value * place[0] for place, value in np.ndenumerate(a * X.reshape(5, 6)))
    return -doubled.sum() - total - sum(value**2 for value in np.nditer(b * X))


def lists_in_lists(a, b):
    cuts = np.concatenate([[-5.0], [a, a + b], [np.inf]])
    return -np.sum(np.exp(-cuts[:3])) - np.vstack([[a, 1.0], [2.0, b]]).sum()


def objects_that_are_numbers(a, b):
    return -np.sum((np.array([1.0, 2.0, 3.0], dtype=object) - a) ** 2) * b


def numbers_indexed_by_nothing(a, b):
    return -a[()] * b[...] - np.einsum("ii", a * np.ones((3, 3)))


@pytest.mark.parametrize(
    "function",
    [
        flat_elements,
        numbers_indexed_by_nothing,
        imported_in_the_function,
        in_dictionaries_and_classes,
        vectorized_by_a_decorator,
        complex_numbers,
        iterators,
        lists_in_lists,
        objects_that_are_numbers,
    ],
)
def test_code_as_people_write_it(function):
    proved(function)


def test_what_was_covered_is_put_back():
    import builtins

    before = builtins.__import__, dict(FUNCTIONS), dict(vars(Profile)), np.vectorize.__call__
    proved(in_dictionaries_and_classes)
    assert (builtins.__import__, FUNCTIONS, dict(vars(Profile)), np.vectorize.__call__) == before


def test_a_function_compiled_by_numba_is_traced_as_it_was_written():
    numba = pytest.importorskip("numba")
    namespace = {"math": math, "compiled": numba.njit(lambda x, a: a * x)}
    exec("def function(a, b): return -(compiled(2.0, a) - math.exp(b)) ** 2", namespace)
    proved(namespace["function"])


def test_labelled_data_of_xarray():
    xarray = pytest.importorskip("xarray")
    data = xarray.DataArray(D, dims="x", coords={"x": X})
    proved(lambda a, b: -0.5 * ((data - b * np.exp(-a * data.x**2)) ** 2).sum())
    proved(lambda a, b: float(-0.5 * ((data - a * data.x - b) ** 2).sum()))


# Errors that are caught


def test_errors_of_python_are_another_way_where_they_are_caught():
    def function(a, b):
        try:
            return -math.log(a - 1.0) - b
        except ValueError:
            return -a * b

    assert proved(function).branches == 2


def test_division_by_zero_is_another_way_where_it_is_caught():
    def function(a, b):
        try:
            return -(b**2) / float(a - 1)
        except ZeroDivisionError:
            return 0.0

    assert proved(function).branches == 2


def test_an_error_that_is_not_caught_there_cuts_the_way():
    def function(a, b):
        try:
            return -math.sqrt(a) - b
        except KeyError:
            return 0.0

    assert proved(function).branches == 1


# No NaN from what was not chosen


@pytest.mark.parametrize(
    "expression",
    [
        "np.sqrt(np.clip(1 - (a * X) ** 2, 0, None))",
        "np.sqrt(np.maximum(b - a * X * 3, 0))",
        "np.abs(np.fft.rfft2(np.exp(-np.outer(np.ones(4), X) ** 2 / a))) ** 2",
        "np.hypot(a * (X - X[3]), 0 * X) * b",
    ],
)
def test_gradients_at_limits_and_at_zero_are_finite(expression):
    proved(eval(f"lambda a, b: -np.sum({expression})", globals()))


def test_a_condition_does_not_poison_the_gradient():
    def function(a, b):
        logarithm = np.log(X - a + 1)
        logarithm[~np.isfinite(logarithm)] = 0.0
        return -np.sum(logarithm**2) * b

    proved(function)


def test_selected_elements_with_traced_numbers_on_the_left():
    def function(a, b):
        z = np.abs(a * X)
        flux = np.ones_like(z)
        part = z > b
        flux[part] = np.arccos(np.clip((b**2 + z[part] ** 2 - 1) / (2 * b * z[part]), -0.9, 0.9))
        return -np.sum(flux)

    proved(function)


# The limit


class Ways(cpm.Analysis):
    def log_likelihood_function(self, instance):
        total = 0.0
        for x in X[13:17]:
            total = total - (instance.a if instance.a * x > instance.b else instance.b) ** 2
        return total


class MoreWays(Ways):
    branch_limit = 4


class Two:
    def __init__(self, a=0.0, b=0.0):
        self.a, self.b = a, b


def test_the_limit_of_ways_is_set_in_the_class_of_the_analysis():
    model = cpm.Model(Two, a=cpm.UniformPrior(0.1, 1.0), b=cpm.UniformPrior(-0.1, 0.1))
    plan = make_plan(model)
    assert make_symbolic(plan, Ways(), "trace").proof.branches > 4
    with pytest.raises(TraceError, match=r"more than 4 ways(?s:.*)branch_limit = 16"):
        make_symbolic(plan, MoreWays(), "trace")


class Named(typing.NamedTuple):
    model: typing.Any
    value: typing.Any


class Holding:
    def __call__(self, a, b):
        model = a * X + b
        value = -np.sum((D - model) ** 2)
        self.named = Named(model, (value, Kept(model, value)))
        self.partial = functools.partial(max, value, key=functools.partial(abs, value))
        self.function = lambda x=value, *, y=model: (x, y)
        self.error = ValueError("no", value)
        self.method = model.sum
        return value


def test_what_holds_traced_values_and_cannot_be_changed_becomes_plain():
    holding = Holding()
    proved(holding)
    trace(lambda values: holding(*values), [A, B], witnesses=POINTS)
    assert not traced_values_left()
    assert type(holding.named) is Named
    assert isinstance(holding.named.model, np.ndarray)
    assert isinstance(holding.error.args[1], float)
    assert isinstance(holding.partial.args[0], float)
    assert isinstance(holding.function()[1], np.ndarray)
    assert holding.method() == holding.named.model.sum()


class Functions:
    def __call__(self, a, b):
        self.exp, self.float, self.np, self.sum, self.log = math.exp, float, np, np.sum, np.log
        self.tab, self.by, self.pair = [math.exp, float], {"e": math.exp, "n": np.exp}, (math.exp, [np.array])
        self.partial = functools.partial(math.exp)
        return -self.np.sum(np.array([a, b]) ** 2) * self.tab[0](b) + self.log(a) - self.partial(a)


def test_functions_that_are_kept_are_the_originals_when_the_trace_is_over():
    kept = Functions()
    proved(kept)
    trace(lambda values: kept(*values), [A, B], witnesses=POINTS)
    assert (kept.exp, kept.float, kept.np, kept.sum) == (math.exp, float, np, np.sum)
    assert kept.exp is math.exp
    assert kept.log is np.log
    assert kept.tab == [math.exp, float]
    assert kept.by["e"] is math.exp
    assert kept.by["n"] is np.exp
    assert kept.pair[0] is math.exp
    assert kept.pair[1][0] is np.array
    assert kept.partial.func is math.exp
    proved(kept)  # the tables of the equivalents are as they were
    kept.np = None
    pickle.dumps(vars(kept))
