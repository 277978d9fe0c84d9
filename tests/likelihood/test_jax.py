"""Likelihoods in jax.numpy: equal to the same ones in NumPy, in double precision, refused in words."""

import importlib
import sys
import warnings

import cloudpickle
import numpy as np
import pytensor
import pytest

import classy_pm as cpm
from classy_pm.errors import (
    DataError,
    MissingPackageError,
    SearchError,
    TraceError,
    TraceWarning,
    WrittenInJaxError,
)
from classy_pm.likelihood import LogLikelihood, make_symbolic
from classy_pm.likelihood.evaluate import forget_other_precision
from classy_pm.plan import make_plan

jax = pytest.importorskip("jax")
jnp = jax.numpy

X = np.linspace(0.0, 1.0, 21)
DATA = 2.0 * X + 1.0 + np.random.default_rng(1).normal(0.0, 0.5, 21)


class Line:
    def __init__(self, slope=1.0, offset=0.0):
        self.slope, self.offset = slope, offset

    def __call__(self, x, np=np):
        return self.slope * x + np.exp(self.offset)


class Plain(cpm.Analysis):
    def __init__(self, data=DATA, noise=0.5):
        self.data, self.noise = data, noise

    def log_likelihood_function(self, instance):
        return -0.5 * np.sum(((self.data - instance(X)) / self.noise) ** 2)


class InJax(Plain):
    def log_likelihood_function(self, instance):
        return -0.5 * jnp.sum(((self.data - instance(X, np=jnp)) / self.noise) ** 2)


class WithTerms(InJax):
    def log_likelihood_pointwise(self, instance):
        return -0.5 * ((self.data - instance(X, np=jnp)) / self.noise) ** 2


@jax.jit
def jitted(slope, offset, data):
    return -0.5 * jnp.sum(((data - slope * X - jnp.exp(offset)) / 0.5) ** 2)


class Jitted(Plain):
    def log_likelihood_function(self, instance):
        return jitted(instance.slope, instance.offset, self.data)


@pytest.fixture(params=[False, True], ids=["float32 by default", "float64 by default"])
def users_setting(request):
    before = jax.config.values["jax_enable_x64"]
    jax.config.update("jax_enable_x64", request.param)
    yield request.param
    jax.config.update("jax_enable_x64", before)


@pytest.fixture
def single():
    before = jax.config.values["jax_enable_x64"]
    jax.config.update("jax_enable_x64", False)
    yield
    jax.config.update("jax_enable_x64", before)


@pytest.fixture
def model():
    return cpm.Model(Line, slope=cpm.UniformPrior(-10.0, 8.0), offset=cpm.GaussianPrior(0.0, 1.0))


def compiled(symbolic, mode="FAST_COMPILE"):
    gradient = pytensor.grad(symbolic.value, list(symbolic.inputs))
    return pytensor.function(list(symbolic.inputs), [symbolic.value, *gradient], mode=mode)


def refused(function, model, match):
    """Check that a likelihood is refused, with this file and function named."""

    class Analysis(cpm.Analysis):
        log_likelihood_function = function

    with pytest.raises(TraceError, match=match) as caught:
        make_symbolic(make_plan(model), Analysis(), "jax")
    return str(caught.value)


@pytest.mark.parametrize("kind", [InJax, Jitted])
def test_value_and_gradient_equal_those_of_numpy_whatever_the_users_setting(model, users_setting, kind):
    plan = make_plan(model)
    if kind is Jitted:  # compiled before in the user's own precision, and called again after it
        assert jitted(1.0, 0.0, DATA).dtype == ("float64" if users_setting else "float32")
    by_jax, traced = make_symbolic(plan, kind(), "jax"), make_symbolic(plan, Plain(), "trace")
    assert by_jax.kind == "jax" and by_jax.differentiable
    assert by_jax.proof.worst_error < 1e-13 and by_jax.proof.gradient_points > 0
    functions = compiled(by_jax), compiled(traced)
    for vector in plan.draws(5, 1):
        ours, numpys = (np.array(function(*vector)) for function in functions)
        np.testing.assert_allclose(ours, numpys, rtol=1e-10)
        assert by_jax.plain(vector) == ours[0]
        np.testing.assert_array_equal(by_jax.plain.gradient(vector), ours[1:])
        # The user's own function, called as it is, is in double precision as well.
        assert LogLikelihood(plan, kind())(vector) == pytest.approx(numpys[0], rel=1e-13)
    forget_other_precision()  # as every fit does
    assert jitted(1.0, 0.0, DATA).dtype == ("float64" if users_setting else "float32")
    assert jax.config.values["jax_enable_x64"] is users_setting


def test_numbas_machine_code_makes_one_call_for_value_and_gradient(model):
    plan = make_plan(model)
    symbolic = make_symbolic(plan, InJax(), "jax")
    function = compiled(symbolic, "NUMBA")
    names = [type(node.op).__name__ for node in function.maker.fgraph.apply_nodes]
    assert names.count("JaxValueAndGradient") == 1 and "JaxValue" not in names
    (vector,) = plan.draws(1, 1)
    np.testing.assert_allclose(function(*vector), symbolic.plain.value_and_gradient(vector))


def test_pytensors_jax_backend_takes_it_in_and_refuses_single_precision(model, users_setting):
    plan = make_plan(model)
    symbolic = make_symbolic(plan, InJax(), "jax")
    importlib.import_module("pytensor.link.jax.dispatch")  # sets jax_enable_x64 where it is loaded first
    jax.config.update("jax_enable_x64", users_setting)
    (vector,) = plan.draws(1, 1)
    function = compiled(symbolic, "JAX")
    if users_setting:
        np.testing.assert_allclose(function(*vector), symbolic.plain.value_and_gradient(vector), rtol=1e-13)
    else:
        with pytest.raises(cpm.ClassyError, match=r'jax\.config\.update\("jax_enable_x64", True\)'):
            function(*vector)


def test_second_derivatives_are_jaxs(model):
    symbolic = make_symbolic(make_plan(model), InJax(), "jax")
    slope, offset = symbolic.inputs
    first = pytensor.grad(symbolic.value, slope)
    second = pytensor.function([slope, offset], pytensor.grad(first, [slope, offset]), mode="FAST_COMPILE")(
        1.0, 0.3
    )
    np.testing.assert_allclose(second, [-4.0 * np.sum(X**2), -4.0 * np.sum(X) * np.exp(0.3)])


class Plate:
    def __init__(self, mean=0.0, width=1.0, heights=None, scale=1.0):
        self.mean, self.width, self.heights, self.scale = mean, width, heights, scale


def test_arrays_hierarchies_assertions_and_derived_parameters():
    model = cpm.Model(Plate, mean=cpm.GaussianPrior(0.0, 1.0), width=cpm.LogUniformPrior(0.1, 10.0))
    model.heights = cpm.Array((2, 3), cpm.GaussianPrior(model.mean, model.width))
    model.scale = np.exp(model.mean / 10.0) + 2.0 * model.width
    model.add_assertion(model.width > 0.2)

    class InNumPy(cpm.Analysis):
        def log_likelihood_function(self, instance):
            return -0.5 * ((instance.heights * instance.scale - 1.0) ** 2).sum()

    class InJax(cpm.Analysis):
        def log_likelihood_function(self, instance):
            return -0.5 * jnp.sum((instance.heights * instance.scale - 1.0) ** 2)

    functions = [
        cpm.to_pymc(model, analysis, likelihood=kind).logp_dlogp_function(
            ravel_inputs=True, mode="FAST_COMPILE"
        )
        for analysis, kind in ((InNumPy(), "trace"), (InJax(), "jax"))
    ]
    plan = make_plan(model)
    for vector in plan.draws(3, 1):
        results = []
        for function in functions:
            function.set_extra_values({})
            results.append(function(vector))
        np.testing.assert_allclose(results[1][0], results[0][0], rtol=1e-10)
        np.testing.assert_allclose(results[1][1], results[0][1], rtol=1e-10)


def test_terms_come_from_the_analysis_alone(model):
    without = make_symbolic(make_plan(model), InJax(), "jax")
    assert without.terms is None and "log_likelihood_pointwise" in without.reason
    pymc_model = cpm.to_pymc(model, WithTerms(), likelihood="jax")
    (observed,) = pymc_model.observed_RVs
    logp = pymc_model.compile_fn(
        pymc_model.logp(vars=[observed], sum=False)[0], inputs=pymc_model.value_vars, mode="FAST_COMPILE"
    )
    terms = logp(pymc_model.initial_point())
    assert terms.shape == (21,)
    plan = make_plan(model)
    assert terms.sum() == pytest.approx(
        make_symbolic(plan, WithTerms(), "jax").plain(np.array([-1.0, 0.0])), rel=1e-10
    )

    class Wrong(InJax):
        def log_likelihood_pointwise(self, instance):
            return self.data

    with pytest.raises(cpm.ClassyError, match="whose sum is the log likelihood"):
        make_symbolic(plan, Wrong(), "jax")


def test_auto_takes_jax_and_trace_says_that_it_should(model):
    plan = make_plan(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert make_symbolic(plan, InJax(), "auto").kind == "jax"
        assert make_symbolic(plan, Jitted(), "auto").kind == "jax"
    with pytest.raises(WrittenInJaxError, match=r"(?s)test_jax\.py:\d+, in Line.*likelihood='jax'"):
        make_symbolic(plan, InJax(), "trace")
    assert cpm.check_gradient(model, InJax()).worst < 1e-4


def test_nan_and_fit_exceptions_are_impossible_points():
    class Root(cpm.Analysis):
        def __init__(self, allowed=True):
            self.allowed = allowed

        def log_likelihood_function(self, instance):
            if not self.allowed:
                raise cpm.FitException
            return jnp.sqrt(instance.x)

    plan = make_plan(cpm.Collection(x=cpm.UniformPrior(-1.0, 3.0)))
    plain = make_symbolic(plan, Root(), "jax").plain
    assert plain(np.array([4.0])) == 2.0 and plain(np.array([-0.5])) == -np.inf
    assert plain.nan_count > 0
    np.testing.assert_array_equal(plain.gradient(np.array([-0.5])), [0.0])
    assert make_symbolic(plan, Root(allowed=False), "jax").plain(np.array([1.0])) == -np.inf


def test_what_jax_cannot_trace_is_told_with_the_users_line(model):
    def branches(self, instance):
        if instance.slope > 0:
            return -jnp.sum(instance(X, np=jnp))
        return 0.0

    text = refused(branches, model, r"test_jax\.py:\d+, in .*branches")
    assert "jnp.where(condition, a, b)" in text and "jax.lax.cond" in text

    def numpys(self, instance):
        return -np.exp(instance.slope) + jnp.sum(instance.offset)

    assert "`jnp.exp` for `np.exp`" in refused(numpys, model, r"test_jax\.py:\d+, in .*numpys")

    def numbers(self, instance):
        return -float(instance.slope) * jnp.ones(()) * instance.offset

    assert "plain number" in refused(numbers, model, r"test_jax\.py:\d+, in .*numbers")

    def masked(self, instance):
        return -jnp.sum(jnp.asarray(X)[jnp.asarray(X) < instance.slope])

    assert "jnp.where(mask, array, 0.0)" in refused(masked, model, r"test_jax\.py:\d+, in .*masked")


def test_state_and_random_numbers_do_not_pass_the_proof(model):
    def stateful(self, instance):
        self.calls = getattr(self, "calls", 0) + 1
        return -jnp.sum(instance(X, np=jnp)) + self.calls

    refused(stateful, model, "state that changes between calls")
    rng = np.random.default_rng(1)

    def noisy(self, instance):
        return -jnp.sum(instance(X, np=jnp)) + rng.normal()

    refused(noisy, model, "Random numbers")


def test_a_gradient_that_is_not_the_slope_does_not_pass_the_proof(model):
    def stopped(self, instance):
        return -jnp.sum(jax.lax.stop_gradient(instance(X, np=jnp)) ** 2) - instance.slope**2

    refused(stopped, model, "gradient")


def test_single_precision_is_refused_in_the_likelihood_and_told_of_data(model, single):
    def rounded(self, instance):
        return -jnp.sum(jnp.asarray(instance(X, np=jnp), dtype=jnp.float32) ** 2)

    assert "float32" in refused(rounded, model, r"test_jax\.py:\d+")
    plan = make_plan(model)
    with pytest.warns(TraceWarning, match=r"seven digits.*NumPy arrays"):
        symbolic = make_symbolic(plan, InJax(jnp.asarray(DATA)), "jax")
    (vector,) = plan.draws(1, 1)
    expected = LogLikelihood(plan, Plain(DATA.astype(np.float32).astype(float)))(vector)
    assert symbolic.plain(vector) == pytest.approx(expected, rel=1e-12)
    make_symbolic(plan, InJax(DATA.astype(np.float32)), "jax")  # a user's own choice: no warning


def test_nan_in_jaxs_arrays_is_nan_in_the_data(model):
    with pytest.raises(DataError, match="data: 1 of 21"):
        cpm.to_pymc(model, InJax(jnp.asarray(DATA).at[3].set(jnp.nan)), likelihood="jax")


def test_it_reaches_other_processes(model):
    plain = make_symbolic(make_plan(model), InJax(), "jax").plain
    vector = np.array([1.0, 0.2])
    assert cloudpickle.loads(cloudpickle.dumps(plain))(vector) == plain(vector)


def test_without_jax_the_cure_is_named_and_nothing_else_needs_it(model, monkeypatch):
    monkeypatch.setitem(sys.modules, "jax", None)
    with pytest.raises(MissingPackageError, match=r'pip install "classy_pm\[jax\]"'):
        cpm.to_pymc(model, InJax(), likelihood="jax")
    with pytest.raises(ImportError, match="jax"):
        cpm.NUTS(likelihood="jax").fit(model, InJax())
    make_symbolic(make_plan(model), Plain(), "trace")
    with pytest.raises(MissingPackageError):
        cpm.ops.wrap_jax(jnp.exp)(1.0)


def test_nuts_and_emcee_have_the_posterior_of_the_line(single):
    class Straight(InJax):
        def log_likelihood_function(self, instance):
            return -0.5 * jnp.sum(((self.data - instance.slope * X - instance.offset) / self.noise) ** 2)

    model = cpm.Model(Line, slope=cpm.GaussianPrior(0.0, 5.0), offset=cpm.GaussianPrior(0.0, 5.0))
    design = np.stack([X, np.ones(21)], axis=1)
    precision = design.T @ design / 0.25 + np.eye(2) / 25.0
    mean = np.linalg.solve(precision, design.T @ DATA / 0.25)
    sd = np.sqrt(np.diag(np.linalg.inv(precision)))
    nuts = cpm.NUTS(draws=500, tune=500, chains=2, random_seed=1, number_of_cores=2, likelihood="auto")
    emcee = cpm.Emcee(nwalkers=20, nsteps=600, random_seed=1, likelihood="jax")
    for search in (nuts, emcee):
        result = search.fit(model, Straight())
        assert result.attributes["proof"]["worst_error"] < 1e-12
        assert "log_likelihood_pointwise" in result.attributes["no_pointwise"]
        table = result.summary()
        for place, name in enumerate(["slope", "offset"]):
            assert abs(table["mean"][name] - mean[place]) < 4.0 * sd[place] / np.sqrt(table["ess"][name])
            assert table["sd"][name] == pytest.approx(sd[place], rel=0.15)
    assert jax.config.values["jax_enable_x64"] is False


def test_nuts_says_why_it_cannot_run(model):
    class Branches(cpm.Analysis):
        def log_likelihood_function(self, instance):
            return -jnp.square(instance.slope) if instance.slope > 0 else -jnp.square(instance.offset)

    with pytest.raises(SearchError, match=r"(?s)NUTS needs a gradient.*jnp\.where"):
        cpm.NUTS(likelihood="jax").fit(model, Branches())
