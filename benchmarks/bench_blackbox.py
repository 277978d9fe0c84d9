"""The black box: what a call through PyTensor's default backend costs beside the user's function."""

import numpy as np
import pytensor
import pytest

import classy_pm as cpm
from classy_pm.likelihood import LogLikelihood, make_symbolic
from classy_pm.plan import make_plan


class Three:
    def __init__(self, a=0.0, b=0.0, c=0.0):
        self.a, self.b, self.c = a, b, c


class Cheap(cpm.Analysis):
    def log_likelihood_function(self, instance):
        return -0.5 * (instance.a**2 + instance.b**2 + instance.c**2)


def make():
    prior = cpm.GaussianPrior
    plan = make_plan(cpm.Model(Three, a=prior(0.0, 1.0), b=prior(0.0, 1.0), c=prior(0.0, 1.0)))
    return plan, Cheap()


@pytest.mark.benchmark(group="black box, 3 parameters")
def test_the_function_alone(benchmark):
    """What the user's function takes, its instance included."""
    plan, analysis = make()
    benchmark(LogLikelihood(plan, analysis), np.ones(3))


@pytest.mark.benchmark(group="black box, 3 parameters")
def test_the_compiled_black_box(benchmark):
    """Goal: at most 10 microseconds more."""
    plan, analysis = make()
    symbolic = make_symbolic(plan, analysis, "blackbox")
    function = pytensor.function(list(symbolic.inputs), symbolic.value)
    function.trust_input = True
    one = np.array(1.0)
    benchmark(function, one, one, one)
