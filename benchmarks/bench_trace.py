"""Traced likelihoods beside the NumPy that they were traced from.

`test_ratio` measures both in turns and fails if a goal is not reached; the other tests are for comparing
within a group. Compiled is as NUTS compiles.
"""

import timeit

import numpy as np
import pytensor
import pytest
from lens import make_galaxies, make_lens

import classy_pm as cpm
from classy_pm.demo import Gaussian
from classy_pm.graph.native import NATIVE
from classy_pm.likelihood import LogLikelihood, make_symbolic
from classy_pm.plan import make_plan


class LineAnalysis(cpm.Analysis):
    def __init__(self, data):
        self.data = data

    def log_likelihood_function(self, instance):
        residuals = self.data - instance.profile_from_xvalues(np.arange(self.data.size))
        return -0.5 * np.sum((residuals / 0.05) ** 2)


def make_gaussian(size=100):
    model = cpm.Model(Gaussian, centre=cpm.UniformPrior(0.0, size), intensity=cpm.UniformPrior(1.0, 50.0))
    model.sigma = cpm.UniformPrior(0.01 * size, 0.3 * size)
    return model, LineAnalysis(Gaussian(0.5 * size, 25.0, 0.1 * size).profile_from_xvalues(np.arange(size)))


CASES = {
    "Gaussian of 100": make_gaussian,
    "Gaussian of 10,000": lambda: make_gaussian(10_000),
    "lens": make_lens,
    "lens without PSF": lambda: make_lens(psf=False),
    "lens of galaxies, 21 x 21 PSF": make_galaxies,
}
# At most how many NumPy calls one call may take: without gradient, and with it.
GOALS = {name: (1.0, 2.0) if name.startswith("Gaussian") else (1.2, 2.0) for name in CASES}


@pytest.fixture(params=CASES)
def case(request, benchmark):
    benchmark.group = request.param
    model, analysis = CASES[request.param]()
    plan = make_plan(model)
    return plan, analysis, plan.draws(1, random_seed=1)[0]


def compiled(plan, analysis, gradient):
    symbolic = make_symbolic(plan, analysis, "trace")
    slopes = pytensor.grad(symbolic.value, list(symbolic.inputs)) if gradient else []
    function = pytensor.function(list(symbolic.inputs), [symbolic.value, *slopes], mode=NATIVE)
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


@pytest.mark.parametrize("gradient", [False, True], ids=["value", "value and gradient"])
def test_ratio(case, benchmark, gradient):
    plan, analysis, vector = case
    plain, function = LogLikelihood(plan, analysis), compiled(plan, analysis, gradient)
    values = [np.array(value) for value in vector]
    np.testing.assert_allclose(function(*values)[0], plain(vector), rtol=1e-11)
    traced_times, plain_times = [], []

    def both():
        traced_times.append(timeit.timeit(lambda: function(*values), number=100))
        plain_times.append(timeit.timeit(lambda: plain(vector), number=100))

    benchmark.pedantic(both, rounds=30)
    goal = GOALS[benchmark.group][gradient]
    ratio = min(traced_times) / min(plain_times)
    benchmark.extra_info |= {"ratio": ratio, "goal": goal}
    print(f"\n{benchmark.group}{', with gradient' * gradient}: {ratio:.2f} NumPy calls")
    assert ratio <= goal


def test_tracing_and_proving(case, benchmark):
    plan, analysis, _ = case
    benchmark.pedantic(make_symbolic, (plan, analysis, "trace"), rounds=3)
