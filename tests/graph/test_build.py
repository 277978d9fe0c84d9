"""PyMC models: against hand-written ones, against scipy, and against the user's function."""

import numpy as np
import pymc as pm
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymc.testing import assert_equivalent_model
from pytensor.compile.mode import Mode
from pytensor.scalar.basic import autocast_float_as
from strategies import models, scipys_log_prior

import classy_pm as cpm
from classy_pm.errors import ModelError, TraceError, TraceWarning
from classy_pm.graph import LIKELIHOOD_NAME
from classy_pm.graph.build import build_assertions, build_derived, build_parameters
from classy_pm.graph.unconstrained import unconstraining
from classy_pm.likelihood import LogLikelihood
from classy_pm.plan import make_plan

MODE = Mode(linker="py", optimizer="fast_compile")  # nothing here repays compiling to machine code


class Pair:
    def __init__(self, x=0.0, y=0.0):
        self.x, self.y = x, y


def parameters_of(model):
    """The model without a likelihood."""
    plan = make_plan(model)
    with pm.Model() as pymc_model:
        variables = build_parameters(plan)
        build_derived(plan, variables)
        build_assertions(plan, variables)
    return plan, pymc_model


def log_prior_of(pymc_model, vectors, plan):
    names = plan.names
    with autocast_float_as("float64"):  # or PyMC's own square root of 2.0 would be that of a float32
        logp = pymc_model.compile_logp(jacobian=False, mode=MODE)
    order = [pymc_model.rvs_to_values[pymc_model[name]].name for name in names]
    points = unconstraining(pymc_model, plan, order)(vectors)
    value_names = [pymc_model.rvs_to_values[pymc_model[name]].name for name in names]
    return np.array([logp(dict(zip(value_names, point, strict=True))) for point in points])


def test_a_class_built_model_equals_the_hand_written_one():
    model = cpm.Model(Pair, x=cpm.LogGaussianPrior(0.0, 1.0))
    model.y = cpm.GaussianPrior(mean=cpm.GaussianPrior(1.0, 2.0), sigma=model.x)
    _, ours = parameters_of(model)
    # Plain floats that single precision can hold become float32, and the log density loses digits.
    # (Two of PyMC's own uniform variables are never equal: their transforms are not.)
    zero, one, two = np.float64([0.0, 1.0, 2.0])
    with pm.Model() as theirs:
        x = pm.LogNormal("x", zero, one)
        pm.Normal("y", pm.Normal("y.mean", one, two), x)
    assert_equivalent_model(ours, theirs)


def test_the_graphs_log_prior_is_the_plans_for_every_family_and_hierarchy():
    model = cpm.Collection(
        a=cpm.Model(Pair, x=cpm.UniformPrior(-1.0, 1.0), y=cpm.LogUniformPrior(0.1, 10.0)),
        b=cpm.Model(Pair, x=cpm.GaussianPrior(1.0, 2.0, lower_limit=0.0), y=cpm.LogGaussianPrior(0.0, 0.5)),
        c=cpm.Model(Pair, x=cpm.GaussianPrior(0.0, 1.0)),
        d=cpm.Model(Pair, x=cpm.HalfGaussianPrior(2.0), y=cpm.BetaPrior(2.0, 3.0)),
        e=cpm.Model(Pair, x=cpm.GammaPrior(2.0, 3.0), y=cpm.StudentTPrior(3.0, 1.0, 2.0)),
    )
    model.c.y = cpm.GaussianPrior(mean=model.c.x, sigma=model.b.x + 1.0)
    plan, pymc_model = parameters_of(model)
    vectors = plan.draws(10, random_seed=1)
    np.testing.assert_allclose(
        log_prior_of(pymc_model, vectors, plan), plan.log_prior(vectors), rtol=1e-9, atol=1e-9
    )


def test_derived_parameters_are_deterministics_and_assertions_potentials():
    model = cpm.Model(Pair, x=cpm.UniformPrior(0.5, 10.0))
    model.y = 2.0 * np.log(model.x) - abs(model.x) ** 2
    model.add_assertion(model.y < 0.0, name="below")
    model.add_assertion((model.x > 1.0) & (model.x < 8.0))
    plan, pymc_model = parameters_of(model)
    assert [variable.name for variable in pymc_model.deterministics] == ["y"]
    assert {variable.name for variable in pymc_model.potentials} == {"below", "assertion_1"}
    vectors = np.array([[0.9], [2.0], [9.0]])
    values = log_prior_of(pymc_model, vectors, plan)
    np.testing.assert_allclose(values, plan.log_prior(vectors))
    assert list(np.isfinite(values)) == [False, True, False]


def test_the_models_log_density_is_prior_plus_likelihood(gaussian_model, gaussian_analysis):
    plan = make_plan(gaussian_model)
    pymc_model = cpm.to_pymc(gaussian_model, gaussian_analysis, likelihood="trace")
    vectors = plan.draws(5, random_seed=1)
    plain = LogLikelihood(plan, gaussian_analysis)
    expected = plan.log_prior(vectors) + [plain(vector) for vector in vectors]
    np.testing.assert_allclose(log_prior_of(pymc_model, vectors, plan), expected, rtol=1e-9)


def test_pymc_sees_the_pointwise_terms(gaussian_model, gaussian_analysis):
    pymc_model = cpm.to_pymc(gaussian_model, gaussian_analysis)
    (observed,) = pymc_model.observed_RVs
    assert observed.name == LIKELIHOOD_NAME and observed.type.shape == (100,)
    assert pymc_model.initial_point().keys() == {"centre_interval__", "intensity_chain__", "sigma_interval__"}


def test_the_prior_can_be_drawn_and_the_data_only_with_a_word_of_why_not(gaussian_model, gaussian_analysis):
    pymc_model = cpm.to_pymc(gaussian_model, gaussian_analysis)
    draws = pm.draw(
        [pymc_model[name] for name in ("centre", "intensity", "sigma")], 100, random_seed=1, mode=MODE
    )
    assert np.all((draws[0] > 0.0) & (draws[0] < 100.0) & (draws[1] > 1e-2) & (draws[2] > 0.0))
    with pytest.raises(NotImplementedError, match="var_names"):
        pm.draw(pymc_model[LIKELIHOOD_NAME], mode=MODE)


def test_what_cannot_be_traced_is_a_black_box_aloud_or_a_refusal(gaussian_model, opaque_analysis):
    with pytest.raises(TraceError, match=r"conftest\.py"):
        cpm.to_pymc(gaussian_model, opaque_analysis, likelihood="trace")
    with pytest.warns(TraceWarning, match="black box"):
        pymc_model = cpm.to_pymc(gaussian_model, opaque_analysis)
    plan = make_plan(gaussian_model)
    vectors = plan.draws(3, random_seed=1)
    plain = LogLikelihood(plan, opaque_analysis)
    expected = plan.log_prior(vectors) + [plain(vector) for vector in vectors]
    np.testing.assert_allclose(log_prior_of(pymc_model, vectors, plan), expected, rtol=1e-9)


def test_missing_priors_are_all_named_before_anything_is_traced(gaussian_model, gaussian_analysis):
    bare = cpm.Collection(line=gaussian_model.cls)
    with pytest.raises(ModelError) as caught:
        cpm.to_pymc(bare, gaussian_analysis)
    assert all(f"line.{name}" in str(caught.value) for name in ("centre", "intensity", "sigma"))


def test_a_parameter_called_likelihood_keeps_its_name(gaussian_analysis, gaussian_model):
    class Analysis(cpm.Analysis):
        def log_likelihood_function(self, instance):
            return -(instance.likelihood**2)

    pymc_model = cpm.to_pymc(cpm.Collection(likelihood=cpm.UniformPrior(-1.0, 1.0)), Analysis())
    assert {variable.name for variable in pymc_model.free_RVs} == {"likelihood"}


def test_the_initial_point_obeys_the_assertions():
    class Analysis(cpm.Analysis):
        def log_likelihood_function(self, instance):
            return 0.0 * instance.x

    model = cpm.Model(Pair, x=cpm.UniformPrior(0.0, 10.0), y=1.0)
    model.add_assertion(model.x > 7.0)
    pymc_model = cpm.to_pymc(model, Analysis())
    assert np.isfinite(pymc_model.compile_logp(mode=MODE)(pymc_model.initial_point()))


def test_an_array_is_one_vector_random_variable():
    class Weighted(cpm.Analysis):
        def __init__(self, data):
            self.data = data

        def log_likelihood_function(self, instance):
            return -0.5 * np.sum((instance.weights * instance.scale - self.data) ** 2)

    model = cpm.Collection(
        weights=cpm.Array(3, cpm.LogUniformPrior(0.1, 10.0)), scale=cpm.GaussianPrior(1.0, 0.1)
    )
    model.table = cpm.Array((2, 2), cpm.GaussianPrior(mean=model.scale, sigma=1.0))
    model.add_assertion(model.weights > 0.2)
    analysis = Weighted(np.array([1.0, 2.0, 3.0]))
    plan = make_plan(model)
    assert plan.size == 8 and model.paths[0] == ("weights[0]",) and model.paths[-1] == ("table[1,1]",)
    pymc_model = cpm.to_pymc(model, analysis, likelihood="trace")
    assert {rv.name: rv.type.shape for rv in pymc_model.free_RVs} == {
        "weights": (3,),
        "scale": (),
        "table": (2, 2),
    }
    vectors = plan.draws(5, random_seed=1)
    plain = LogLikelihood(plan, analysis)
    expected = plan.log_prior(vectors) + [plain(vector) for vector in vectors]
    logp = pymc_model.compile_logp(jacobian=False, sum=True, mode=MODE)
    names = [pymc_model.rvs_to_values[pymc_model[name]].name for name in plan.names]
    points = unconstraining(pymc_model, plan, names)(vectors)
    values = [logp({names[0]: p[:3], names[1]: p[3], names[2]: p[4:].reshape(2, 2)}) for p in points]
    np.testing.assert_allclose(values, expected, rtol=1e-9)
    result = cpm.Emcee(nwalkers=20, nsteps=60, random_seed=1).fit(model, analysis)
    assert result.idata["posterior"]["table"].shape[2:] == (2, 2)
    assert "weights[2]" in result.summary().index and len(result.samples.median_pdf_vector) == 8
    assert result.max_log_likelihood_instance.weights.shape == (3,)


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(models(), st.integers(0, 2**32 - 1))
def test_the_graphs_log_prior_of_random_trees_is_the_sum_of_scipys(model, seed):
    plan, pymc_model = parameters_of(model)
    vectors = plan.draws(3, seed)
    expected = [scipys_log_prior(plan, vector) for vector in vectors]
    np.testing.assert_allclose(plan.log_prior(vectors), expected, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(log_prior_of(pymc_model, vectors, plan), expected, rtol=1e-9, atol=1e-9)
