"""The black box: equal to the plain function on every linker, with the user's own gradient and terms."""

import numpy as np
import pytensor
import pytest
from pytensor.compile.mode import Mode

import classy_pm as cpm
from classy_pm.errors import LikelihoodError, SearchError
from classy_pm.likelihood import LogLikelihood, make_symbolic
from classy_pm.likelihood.blackbox import BlackBoxLogLikelihood
from classy_pm.likelihood.faults import raising_faults
from classy_pm.plan import make_plan


class Line:
    def __init__(self, slope=1.0, offset=0.0):
        self.slope, self.offset = slope, offset


class LineAnalysis(cpm.Analysis):
    def __init__(self, x, data):
        self.x, self.data = x, data

    def residuals(self, instance):
        if instance.slope > 9.0:
            raise ValueError("too steep")
        return self.data - instance.slope * self.x - instance.offset

    def log_likelihood_function(self, instance):
        return -0.5 * np.sum(self.residuals(instance) ** 2)

    def log_likelihood_gradient(self, instance):
        residuals = self.residuals(instance)
        return [np.sum(residuals * self.x), np.sum(residuals)]

    def log_likelihood_pointwise(self, instance):
        return -0.5 * self.residuals(instance) ** 2


@pytest.fixture
def model():
    return cpm.Model(Line, slope=cpm.UniformPrior(-10.0, 8.0), offset=cpm.GaussianPrior(0.0, 3.0))


@pytest.fixture
def analysis():
    x = np.linspace(0.0, 1.0, 11)
    return LineAnalysis(x, 2.0 * x + 1.0 + np.random.default_rng(1).normal(0.0, 1.0, 11))


@pytest.mark.parametrize("mode", [Mode(linker="py", optimizer=None), "NUMBA"], ids=["python", "numba"])
def test_value_and_gradient_are_the_users_on_every_linker(model, analysis, mode):
    plan = make_plan(model)
    symbolic = make_symbolic(plan, analysis, "blackbox")
    gradient = pytensor.grad(symbolic.value, list(symbolic.inputs))
    function = pytensor.function(list(symbolic.inputs), [symbolic.value, *gradient], mode=mode)
    plain = LogLikelihood(plan, analysis)
    for vector in plan.draws(3, 1):
        value, *slopes = function(*vector)
        assert value == plain(vector)
        np.testing.assert_allclose(slopes, plain.gradient(vector))
    with pytest.raises(ValueError, match="too steep") as caught:
        function(9.5, 0.0)
    assert any("slope = 9.5" in note for note in caught.value.__notes__)


@pytest.mark.parametrize("mode", [Mode(linker="py", optimizer=None), "NUMBA"], ids=["python", "numba"])
@pytest.mark.parametrize("swallows", [KeyboardInterrupt, None], ids=["swallowed", "panic"])
def test_an_interruption_comes_out_of_a_sampler_that_makes_something_else_of_it(model, mode, swallows):
    class Interrupted(cpm.Analysis):
        def log_likelihood_function(self, instance):
            if instance.slope == 1.0:
                raise KeyboardInterrupt
            return 0.0

    class Panic(BaseException):
        """What machine code makes of it; no `Exception`."""

    symbolic = make_symbolic(make_plan(model), Interrupted(), "blackbox")
    function = pytensor.function(list(symbolic.inputs), symbolic.value, mode=mode)
    with pytest.raises(KeyboardInterrupt), raising_faults():
        try:
            function(1.0, 0.0)
        except KeyboardInterrupt:
            if swallows is None:
                raise Panic from None


def test_arrays_of_parameters_reach_the_user_whole_in_numba():
    class Sum(cpm.Analysis):
        def log_likelihood_function(self, instance):
            return float(np.sum(instance.table @ instance.weights) * instance.scale)

    model = cpm.Collection(
        table=cpm.Array((2, 3), cpm.UniformPrior()),
        weights=cpm.Array(3, cpm.UniformPrior()),
        scale=cpm.UniformPrior(),
    )
    plan = make_plan(model)
    symbolic = make_symbolic(plan, Sum(), "blackbox")
    function = pytensor.function(list(symbolic.inputs), symbolic.value, mode="NUMBA")
    (vector,) = plan.draws(1, 1)
    assert function(*plan.split(vector)) == LogLikelihood(plan, Sum())(vector)


def test_two_boxes_of_the_same_function_are_equal(model, analysis):
    plain = LogLikelihood(make_plan(model), analysis)
    assert BlackBoxLogLikelihood(plain) == BlackBoxLogLikelihood(plain)
    assert BlackBoxLogLikelihood(plain) != BlackBoxLogLikelihood(LogLikelihood(plain.plan, analysis))


def test_check_gradient_agrees_and_finds_a_wrong_one(model, analysis):
    assert cpm.check_gradient(model, analysis).worst < 1e-6

    class Wrong(LineAnalysis):
        def log_likelihood_gradient(self, instance):
            slope, offset = super().log_likelihood_gradient(instance)
            return [slope, 1.01 * offset]

    with pytest.raises(LikelihoodError, match="offset") as caught:
        cpm.check_gradient(model, Wrong(analysis.x, analysis.data))
    assert "slope:" not in str(caught.value)


def test_check_gradient_of_a_trace(gaussian_model, gaussian_analysis):
    assert cpm.check_gradient(gaussian_model, gaussian_analysis).worst < 1e-4


def test_a_gradient_of_another_length_is_refused(model, analysis):
    class Short(LineAnalysis):
        def log_likelihood_gradient(self, instance):
            return [1.0]

    with pytest.raises(LikelihoodError, match="slope, offset"):
        cpm.check_gradient(model, Short(analysis.x, analysis.data))


def test_the_users_pointwise_terms_are_kept_and_must_add_up(model, analysis):
    search = cpm.Emcee(nwalkers=10, nsteps=30, random_seed=1)
    idata = search.fit(model, analysis).idata
    terms = idata["log_likelihood"]["likelihood"]
    np.testing.assert_allclose(terms.sum(terms.dims[2]), idata["sample_stats"]["total_log_likelihood"])

    class Short(LineAnalysis):
        def log_likelihood_pointwise(self, instance):
            return super().log_likelihood_pointwise(instance)[1:]

    with pytest.raises(LikelihoodError, match="whose sum is the log likelihood"):
        search.fit(model, Short(analysis.x, analysis.data))


def test_nuts_runs_on_a_black_box_with_a_gradient_and_not_without(model, analysis):
    class Opaque(LineAnalysis):
        def log_likelihood_function(self, instance):
            return float(np.sum(LineAnalysis.log_likelihood_pointwise(self, instance)))

    result = cpm.NUTS(draws=300, tune=300, chains=2, random_seed=1, likelihood="blackbox").fit(
        model, Opaque(analysis.x, analysis.data)
    )
    design = np.stack([analysis.x, np.ones(11)], axis=1)
    precision = design.T @ design + np.diag([0.0, 1.0 / 9.0])
    mean = np.linalg.solve(precision, design.T @ analysis.data)
    sd = np.sqrt(np.diag(np.linalg.inv(precision)))
    table = result.summary()
    for place, name in enumerate(["slope", "offset"]):
        assert abs(table["mean"][name] - mean[place]) < 4.0 * sd[place] / np.sqrt(table["ess"][name])
        assert table["sd"][name] == pytest.approx(sd[place], rel=0.15)

    class NoGradient(cpm.Analysis):
        def log_likelihood_function(self, instance):
            return 0.0

    with pytest.raises(SearchError, match="log_likelihood_gradient"):
        cpm.NUTS(likelihood="blackbox").fit(model, NoGradient())
