"""What stands in a place of all factors of a graph, as variables of PyMC: arithmetic, mixtures, arrays."""

import numpy as np
import pytest
from pytensor.compile.mode import Mode

import classy_pm as cpm
from classy_pm.likelihood.joint import analysis_of
from classy_pm.plan import make_plan


class Line:
    def __init__(self, centre, width, fluxes):
        self.centre, self.width, self.fluxes = centre, width, fluxes


class Likelihood(cpm.Analysis):
    def __init__(self, centre):
        self.centre = centre

    def log_likelihood_function(self, instance):
        line = instance.line
        return -0.5 * (((self.centre - line.centre) / line.width) ** 2 + np.sum(np.asarray(line.fluxes) ** 2))


def model(**given):
    parts = {
        "centre": cpm.GaussianPrior(0.0, 3.0),
        "width": 2.0,
        "fluxes": 1.0,
        **given,
    }
    return cpm.Collection(line=cpm.Model(Line, **parts))


def arithmetic():
    models = [model() for _ in range(3)]
    for place, each in enumerate(models):
        each.line.width = 1.0 + place + each.line.centre**2
    return models


def a_mixture():
    return [model(), model(centre=0.5), model(centre=cpm.GaussianPrior(1.0, 1.0))]


def arrays():
    return [model(fluxes=cpm.Array(2, cpm.GaussianPrior(float(place), 1.0))) for place in range(3)]


def a_walk():
    models = [model()]
    for _ in range(2):
        models.append(model(centre=cpm.GaussianPrior(models[-1].line.centre, 1.0)))
    return models


def arrays_with_a_parent():
    mean, sigma = cpm.GaussianPrior(0.0, 2.0), cpm.GaussianPrior(1.0, 0.1)
    return [model(fluxes=cpm.Array(2, cpm.GaussianPrior(mean, sigma))) for _ in range(3)]


def arrays_with_parents_of_their_own():
    mean = cpm.GaussianPrior(0.0, 2.0)
    return [
        model(fluxes=cpm.Array((2, 2), cpm.GaussianPrior(cpm.GaussianPrior(mean, 1.0), 0.5 + place)))
        for place in range(3)
    ]


def arrays_with_an_array_for_a_parent():
    mean = cpm.Array(2, cpm.GaussianPrior(0.0, 2.0))
    return [model(fluxes=cpm.Array(2, cpm.GaussianPrior(mean + float(place), 1.0))) for place in range(3)]


CASES = (
    *(arithmetic, a_mixture, arrays, a_walk, arrays_with_a_parent),
    *(arrays_with_parents_of_their_own, arrays_with_an_array_for_a_parent),
)


@pytest.mark.parametrize("case", CASES)
def test_the_density_is_that_of_prior_and_likelihood(case):
    factors = [cpm.AnalysisFactor(each, Likelihood(place - 1.0)) for place, each in enumerate(case())]
    graph = cpm.FactorGraphModel(*factors)
    plan, joint = make_plan(graph), analysis_of(graph, None, "")
    pymc_model = cpm.to_pymc(graph, likelihood="trace")
    inputs = [pymc_model.rvs_to_values[variable] for variable in pymc_model.free_RVs]
    mode = Mode(linker="py", optimizer="fast_compile")
    density = pymc_model.compile_fn(pymc_model.logp(), inputs=inputs, point_fn=False, mode=mode)
    for vector in plan.draws(2, random_seed=1):
        expected = plan.log_prior(vector) + joint.log_likelihood_function(plan.instance(vector))
        assert density(*map(np.asarray, plan.split(vector))) == pytest.approx(expected, rel=1e-8)
