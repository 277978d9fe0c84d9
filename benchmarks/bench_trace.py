"""Traced likelihoods beside the NumPy that they were traced from; compare within a group.

Goals: the traced log density takes at most 1.0 times the NumPy call for the Gaussian and 1.2 times for the
lens, with its gradient at most 2.0 times for the lens; tracing and proving the lens takes under 2 s.
"""

import numpy as np
import pytensor
import pytest
from lens import make_lens

import classy_pm as cpm
from classy_pm.demo import Gaussian
from classy_pm.likelihood import LogLikelihood, make_symbolic
from classy_pm.plan import make_plan


class LineAnalysis(cpm.Analysis):
    def __init__(self, data):
        self.data = data

    def log_likelihood_function(self, instance):
        residuals = self.data - instance.profile_from_xvalues(np.arange(self.data.size))
        return -0.5 * np.sum((residuals / 0.05) ** 2)


def make_gaussian():
    model = cpm.Model(Gaussian, centre=cpm.UniformPrior(0.0, 100.0), intensity=cpm.UniformPrior(1.0, 50.0))
    model.sigma = cpm.UniformPrior(1.0, 30.0)
    return model, LineAnalysis(Gaussian(50.0, 25.0, 10.0).profile_from_xvalues(np.arange(100)))


CASES = {"gaussian": make_gaussian, "lens": make_lens, "lens without PSF": lambda: make_lens(psf=False)}


@pytest.fixture(params=CASES)
def case(request, benchmark):
    benchmark.group = request.param
    model, analysis = CASES[request.param]()
    plan = make_plan(model)
    return plan, analysis, plan.draws(1, random_seed=1)[0]


def compiled(plan, analysis, gradient):
    symbolic = make_symbolic(plan, analysis, "trace")
    outputs = (
        [symbolic.value, *pytensor.grad(symbolic.value, list(symbolic.inputs))]
        if gradient
        else symbolic.value
    )
    function = pytensor.function(list(symbolic.inputs), outputs)
    function.trust_input = True
    return function


def test_numpy(case, benchmark):
    plan, analysis, vector = case
    benchmark(LogLikelihood(plan, analysis), vector)


@pytest.mark.parametrize("gradient", [False, True], ids=["value", "value and gradient"])
def test_traced(case, benchmark, gradient):
    plan, analysis, vector = case
    function = compiled(plan, analysis, gradient)
    benchmark(function, *(np.array(value) for value in vector))


def test_tracing_and_proving(case, benchmark):
    plan, analysis, _ = case
    benchmark.pedantic(make_symbolic, (plan, analysis, "trace"), rounds=3)
