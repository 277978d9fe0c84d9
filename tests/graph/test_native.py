"""Machine code of whole graphs: the values of PyTensor's Python linker, whatever a graph is made of."""

import ctypes
import math
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from pymc.logprob.utils import ParameterValueError
from pytensor.compile.mode import Mode
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.link.numba.dispatch.basic import numba_funcify_and_cache_key
from pytensor.scalar import basic as scalar

from classy_pm.graph.density import UNCOMPILED
from classy_pm.graph.native import NATIVE, Unsupported, c_function, loops, rewritten, translate
from classy_pm.graph.native.callbacks import is_plain
from classy_pm.graph.native.places import Buffer, contiguous
from classy_pm.likelihood.trace.guard import guarded_operation
from classy_pm.likelihood.trace.numba_support import called_by_python
from classy_pm.likelihood.trace.special_ops import numpy_op
from classy_pm.search.nutpie_native import compile_natively

PLAIN = Mode(linker="py", optimizer=None)
RANDOM = np.random.default_rng(1)
A, V = RANDOM.uniform(0.2, 0.9, (3, 4)), RANDOM.uniform(0.2, 0.9, 5)
M, S = RANDOM.normal(size=(4, 4)), np.array(0.7)


def compare(inputs, outputs, values, rtol=1e-13):
    native = pytensor.function(inputs, outputs, mode=NATIVE, on_unused_input="ignore")
    plain = pytensor.function(inputs, outputs, mode=PLAIN, on_unused_input="ignore")
    for got, wanted, output in zip(native(*values), plain(*values), outputs, strict=True):
        assert got.shape == wanted.shape, output
        assert got.dtype == wanted.dtype, output
        np.testing.assert_allclose(got, wanted, rtol=rtol, atol=1e-14)
    return native


@pytest.fixture
def inputs():
    shapes = {"a": (3, 4), "v": (5,), "m": (4, 4), "s": ()}
    return [pt.tensor(name, dtype="float64", shape=shape) for name, shape in shapes.items()]


def views(a, v, m, s):
    return [
        a[::-1, 1::2] * 2.0,
        pt.exp(a.T),
        pt.sum(pt.exp(a[:, None, :]) * a[None], axis=(0, 2)),
        a.reshape((2, 6)) + a.T.reshape((2, 6)),
        pt.broadcast_to(v, (2, 5)) * pt.arctan(v)[None],
        m.dimshuffle(1, "x", 0) - 1.0,
        v[3] + a[1, 2] * s,
        v[1:2] * s,
        pt.zeros((2, 3)) + s,
        pt.diagonal(m) * 2.0,
        pt.log(pt.alloc(s, 3, 2)),
    ]


def writes(a, v, m, s):
    once = pt.set_subtensor(a[:, 1], a[:, 0] * s)
    return [
        once,
        pt.inc_subtensor(once[1:, ::2], s),
        pt.inc_subtensor(pt.set_subtensor(pt.zeros((3, 4))[:, 0], 1.0)[0], a[1]),
        pt.concatenate([a, m[:2], pt.exp(a)], axis=0),
        pt.stack([v, v**2], axis=1)[:, 1],
        *pt.split(v, [2, 3], axis=0),
        pt.stack([s, v[0], s * 2.0]),
    ]


def algebra(a, v, m, s):
    return [
        a @ m,
        m.T @ a.T,
        a[:, ::2] @ m[::2],
        pt.sum(a),
        pt.sum(a, axis=0),
        pt.mean(pt.sin(m), axis=1),
        pt.max(a, axis=1),
        pt.cumsum(v),
        pt.sort(m, axis=0),
        pt.linalg.inv(m),
        pt.prod(v),
    ]


def kinds(a, v, m, s):
    return [
        a > 0.5,
        pt.any(a > 0.5, axis=0),
        pt.sum(a > 0.5),
        pt.switch(a > s, a, pt.log(a)),
        pt.arange(5) + pt.argmax(v),
        pt.cast(v, "float32") * np.float32(0.1),
        pt.maximum(v, s),
        pt.where(v > 10.0, v, -np.inf),
        pt.cast(pt.sum(v), "int64"),
        pt.gammaln(v) + pt.erf(s),
        pt.power(v, 0.25) * pt.power(0.5, v),
        pt.floor(v * 9.0) // 2.0,
        pt.special.softmax(m, axis=1),
        pt.as_tensor(np.float32(-np.inf)) + s,
    ]


@pytest.mark.parametrize("expressions", [views, writes, algebra, kinds])
def test_values_are_those_of_pytensors_python_linker(inputs, expressions):
    compare(inputs, expressions(*inputs), [A, V, M, S])


def test_gradients_are_those_of_pytensors_python_linker(inputs):
    outputs = [item for make in (views, writes) for item in make(*inputs)]
    total = pt.add(*[pt.sum(item * 1.3) for item in outputs])
    compare(inputs, pytensor.grad(total, inputs), [A, V, M, S])


@pytest.mark.parametrize("seed", range(3))
def test_random_graphs(inputs, seed):
    """Many values of many lives: no buffer is given away while it is needed."""
    random = np.random.default_rng(seed)
    pool = [inputs[0], inputs[2][:3]]
    makers = [
        lambda x, y: x * y + 0.1,
        lambda x, y: pt.tanh(x) - y,
        lambda x, y: pt.exp(-(x**2)) + y[:, ::-1],
        lambda x, y: x + pt.sum(y, axis=0),
        lambda x, y: x / (1.5 + pt.sum(pt.cos(y))),
        lambda x, y: pt.set_subtensor(x[:, 1], y[:, 2]),
        lambda x, y: pt.concatenate([x[:1], y[1:]], axis=0),
        lambda x, y: pt.cumsum(x, axis=1) * 0.1 + y,
        lambda x, y: pt.dot(x, y.T)[:, :1] * 0.1 + pt.sin(y),
    ]
    for _ in range(40):
        first, second = random.integers(max(0, len(pool) - 8), len(pool), 2)
        pool.append(makers[random.integers(len(makers))](pool[first], pool[second]))
    compare(inputs, pool[-6:], [A, V, M, S], rtol=1e-10)


def test_a_function_of_arrays_is_numpys_to_the_last_bit():
    names = [name for name in loops.SLOW if loops.has_loop(name)]
    assert {"exp", "log", "power"} <= set(names), "NumPy's loops are where its headers say"
    values = [np.abs(RANDOM.normal(size=1003)) * 0.4, np.full(1003, 0.3)]
    variables = [pt.tensor(dtype="float64", shape=(1003,)) for _ in values]
    outputs = [numpy_op(name, getattr(np, name).nin, None) for name in names]
    outputs = [op(*variables[: op.scalar_op.nin]) for op in outputs]
    function = pytensor.function(variables, outputs, mode=NATIVE)
    with np.errstate(all="ignore"):
        for name, got in zip(names, function(*values), strict=True):
            ufunc = getattr(np, name)
            np.testing.assert_array_equal(got, ufunc(*values[: ufunc.nin]), err_msg=name)


def test_machine_code_of_one_ufunc_is_not_kept_under_the_name_of_another():
    keys = set()
    for name in ("cbrt", "spacing", "fabs"):
        op = numpy_op(name, 1, None).scalar_op
        keys.add(numba_funcify_and_cache_key(op, node=op.make_node(scalar.float64()))[1])
        assert pickle.loads(pickle.dumps(op)) == op
        guarded = guarded_operation(op)
        keys.add(numba_funcify_and_cache_key(guarded, node=guarded.make_node(scalar.float64()))[1])
    assert len(keys) == 6


def test_no_loop_is_called_that_gives_something_else(monkeypatch):
    monkeypatch.setattr(loops, "_address", lambda name: loops.__dict__["_address_of_add"])
    monkeypatch.setitem(loops.__dict__, "_address_of_add", _add())
    assert not loops.has_loop.__wrapped__("power")


def _add():
    head = loops._Ufunc.from_address(id(np.add))
    return head.functions[np.add.types.index("dd->d")]


def test_a_graph_of_unknown_shape_is_left_to_pytensor():
    x = pt.dvector()
    function = pytensor.function([x], [pt.sum(x**2)], mode=NATIVE)
    assert function(np.arange(4.0))[0] == 14.0
    with pytest.raises(Unsupported, match="not known"):
        c_function(rewritten([x], [pt.sum(x**2)]), ["value"])


def test_a_check_raises_its_own_exception():
    sigma = pt.dscalar()
    function = pytensor.function([sigma], pm.logp(pm.Normal.dist(0.0, sigma), 1.0), mode=NATIVE)
    assert np.isfinite(function(1.0))
    with pytest.raises(ParameterValueError, match="sigma"):
        function(-1.0)


def test_division_by_zero_is_numpys():
    x = pt.tensor("x", dtype="float64", shape=(3,))
    with np.errstate(all="ignore"):
        compare([x], [1.0 / x, 1.0 / x[0], pt.sqrt(x[1])], [np.array([0.0, -1.0, np.inf])])


def call(compiled, size, point, count):
    pointer = ctypes.POINTER(ctypes.c_double)
    results = [np.zeros(n) for n in count]
    arrays = [array.ctypes.data_as(pointer) for array in (np.array(point), *results)]
    return compiled.ctypes(size, *arrays, None), results


def test_a_function_for_c_says_what_went_wrong():
    x = pt.tensor("x", dtype="float64", shape=(2,))
    checked = pm.logprob.utils.CheckParameterValue("x")(pt.sum(pt.log(x)), x[0] < 5.0)
    compiled = c_function(rewritten([x], [checked, x * 2.0]), ["value", "double"], checks=[(0, 4)])
    code, (value, double) = call(compiled, 2, [1.0, np.e], [1, 2])
    assert (code, value[0]) == (0, 1.0)
    np.testing.assert_array_equal(double, [2.0, 2.0 * np.e])
    assert call(compiled, 2, [0.0, 1.0], [1, 2])[0] == 4
    assert call(compiled, 2, [6.0, 1.0], [1, 2])[0] == 1
    assert call(compiled, 3, [6.0, 1.0, 1.0], [1, 2])[0] == -1


class Picky(Op):
    """Python's square root of all elements; a `kind` that is not plain is known in this process only."""

    __props__ = ("kind",)

    def __init__(self, kind):
        self.kind = kind

    def make_node(self, x):
        return Apply(self, [x], [x.type()])

    def perform(self, node, inputs, outputs):
        outputs[0][0] = np.array([math.sqrt(value) for value in inputs[0]])


@pytest.mark.parametrize("kind", ["plain", frozenset()])
def test_a_function_for_c_reports_an_exception_of_python(kind):
    called_by_python(Picky)
    x = pt.tensor("x", dtype="float64", shape=(4,))
    compiled = c_function(rewritten([x], [pt.sum(Picky(kind)(x * 2.0))]), ["value"])
    assert call(compiled, 4, [2.0, 0.0, 0.0, 8.0], [1]) == (0, [np.array([6.0])])
    assert call(compiled, 4, [2.0, -1.0, 0.0, 8.0], [1])[0] == 1
    assert is_plain(Picky(kind)) == (kind == "plain")


def test_each_thread_keeps_room_of_its_own_for_large_results(monkeypatch):
    monkeypatch.setattr(translate, "LARGE", 0)

    def made(size):
        x = pt.tensor("x", dtype="float64", shape=(size,))
        ranks = pt.cumsum(pt.exp(x) > 1.0)[::-1]
        return c_function(rewritten([x], [pt.cumsum(pt.exp(x))[::-1] * ranks]), ["value"])

    functions = {size: made(size) for size in (5000, 20_000)}
    asked = [(size, RANDOM.normal(size=size)) for size in (5000, 20_000, 5000, 20_000) * 10]

    def found(item):
        size, values = item
        return call(functions[size], size, values, [size])

    with ThreadPoolExecutor(2) as pool:
        for (_, values), (code, (got,)) in zip(asked, pool.map(found, asked), strict=True):
            wanted = (np.cumsum(np.exp(values)) * np.cumsum(values > 0.0))[::-1]
            assert code == 0
            np.testing.assert_allclose(got, wanted, rtol=1e-10)


def test_nutpies_model_has_the_density_and_the_parameters_of_pymc():
    with pm.Model() as model:
        sd = pm.HalfNormal("sd", 2.0)
        pm.Normal("x", 0.0, sd, shape=(2,))
        pm.Deterministic("twice", 2.0 * sd)
        pm.Dirichlet("share", np.ones(3))
    compiled = compile_natively(model, ["sd", "x", "share"])
    assert compiled.n_dim == 5
    names, places, shapes = compiled.shape_info
    assert names == ["sd_log__", "x", "share_simplex__", "sd", "share"]
    assert [tuple(shape) for shape in shapes] == [(), (2,), (2,), (), (3,)]
    point = np.linspace(-0.3, 0.4, 5)
    value, gradient = compiled.logp_func(point)
    parts = {
        name: point[place].reshape(shape)
        for name, place, shape in zip(names[:3], places, shapes, strict=False)
    }
    np.testing.assert_allclose(value, model.compile_logp(mode=UNCOMPILED)(parts))
    np.testing.assert_allclose(gradient, model.compile_dlogp(mode=UNCOMPILED)(parts))


def test_views_of_a_place():
    place = contiguous(Buffer("float64", 24, "b"), (2, 3, 4))
    assert place.take([1, slice(None, None, -1)]).at(["i", "j"]) == "b[20 + i * -4 + j]"
    assert place.shuffle((2, "x", 0, 1)).shape == (4, 1, 2, 3)
    assert place.shuffle((2, 0, 1)).reshape((24,)) is None
    assert place.reshape((6, 4)).take([slice(0, 2)]).is_contiguous
