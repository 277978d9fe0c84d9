"""The graph of many data sets is the sum of their likelihoods, and does not grow with their number."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.graph.traversal import ancestors

import classy_pm as cpm
from classy_pm.errors import TraceError
from classy_pm.likelihood import joint
from classy_pm.likelihood.joint import analysis_of
from classy_pm.likelihood.plates import trace_plates
from classy_pm.likelihood.trace.proof import quick_function
from classy_pm.plan import make_plan


class Line:
    def __init__(self, centre, height):
        self.centre, self.height = centre, height

    def at(self, x):
        return self.height * np.exp(-0.5 * ((x - self.centre) / 4.0) ** 2)


class Spectrum(cpm.Analysis):
    def __init__(self, data, noise=1.0, **more):
        self.data, self.noise = data, noise
        vars(self).update(more)

    def log_likelihood_function(self, instance):
        residuals = (self.data - instance.line.at(np.arange(self.data.size))) / self.noise
        return -0.5 * np.sum(residuals**2) - self.data.size * np.log(self.noise)


class Scaled(Spectrum):
    def log_likelihood_function(self, instance):
        shift = self.redshift * 3.0 if self.redshift > 0.5 else 0.0
        model = instance.line.at(np.arange(self.data.size) - shift)
        return (
            -0.5 * np.sum((self.data - model) ** 2)
            if self.kind == "gauss"
            else -np.sum(np.abs(self.data - model))
        )


class Exposures(cpm.Analysis):
    def __init__(self, exposures):
        self.exposures = exposures

    def log_likelihood_function(self, instance):
        x = np.arange(self.exposures[0].size)
        return sum(-0.5 * np.sum((data - instance.line.at(x)) ** 2) for data in self.exposures)


class Optional(cpm.Analysis):
    def __init__(self, data, other):
        self.data, self.other = data, other

    def log_likelihood_function(self, instance):
        value = -0.5 * np.sum((self.data - instance.line.at(np.arange(self.data.size))) ** 2)
        return value if self.other is None else value - 0.5 * (self.other - instance.line.centre) ** 2


RNG = np.random.default_rng(3)


def noise(size=20):
    return RNG.normal(0.0, 1.0, size)


CASES = {
    "equal sizes": lambda: [Spectrum(noise()) for _ in range(4)],
    "one data set": lambda: [Spectrum(noise())],
    "the same data": lambda: [Spectrum(np.ones(20))] * 3,
    "sizes": lambda: [Spectrum(noise(20 + place % 3)) for place in range(7)],
    "scalars": lambda: [Spectrum(noise(), 0.5 + place) for place in range(4)],
    "branches": lambda: [Scaled(noise(), redshift=0.3 * place, kind="gauss") for place in range(5)],
    "settings": lambda: [Scaled(noise(), redshift=0.3, kind=kind) for kind in ("gauss", "laplace", "gauss")],
    "lists": lambda: [Exposures([noise(), noise()]) for _ in range(3)],
    "lists of other lengths": lambda: [
        Exposures([noise() for _ in range(1 + place % 2)]) for place in range(4)
    ],
    "one missing": lambda: [Optional(noise(), None if place == 1 else 0.5 * place) for place in range(4)],
    "two kinds": lambda: [Spectrum(noise()), Exposures([noise()]), Spectrum(noise())],
}


def graph_of(analyses):
    parent = cpm.GaussianPrior(10.0, 2.0)
    factors = []
    for analysis in analyses:
        line = cpm.Model(Line, centre=cpm.GaussianPrior(parent, 1.0), height=cpm.UniformPrior(0.0, 3.0))
        factors.append(cpm.AnalysisFactor(cpm.Collection(line=line), analysis))
    return cpm.FactorGraphModel(*factors)


def traced(analyses):
    graph = graph_of(analyses)
    plan = make_plan(graph)
    together = analysis_of(graph, None, "fit(model, analysis)")
    inputs = [pt.tensor(item.name, dtype="float64", shape=item.shape) for item in plan.parameters]
    found, proof = trace_plates(plan, together, inputs)
    assert proof.worst_error < 1e-8 and proof.gradient_points > 0
    return plan, together, inputs, found


@pytest.mark.parametrize("case", CASES)
def test_the_graph_is_the_sum_of_the_likelihoods(case):
    plan, together, inputs, found = traced(CASES[case]())
    outputs = [found.value, *pytensor.grad(found.value, inputs, disconnected_inputs="ignore")]
    function = quick_function(inputs, outputs if found.terms is None else [*outputs, found.terms.sum()])
    for vector in plan.draws(3, random_seed=2):
        value, *rest = function(*plan.split(vector))
        plain = lambda at: together.log_likelihood_function(plan.instance(at))  # noqa: E731
        assert value == pytest.approx(plain(vector), rel=1e-10)
        gradient = np.concatenate([np.ravel(part) for part in rest[: len(inputs)]])
        steps = 1e-6 * np.eye(plan.size)
        differences = [(plain(vector + step) - plain(vector - step)) / 2e-6 for step in steps]
        np.testing.assert_allclose(gradient, differences, rtol=1e-4, atol=1e-4)
        if found.terms is not None:
            assert rest[-1] == pytest.approx(value, rel=1e-10)


def test_the_graph_does_not_grow_with_the_number_of_data_sets():
    sizes = []
    for count in (3, 300):
        *_, found = traced([Spectrum(noise()) for _ in range(count)])
        sizes.append(len(list(ancestors([found.value, found.terms]))))
    assert sizes[0] == sizes[1]


def test_a_graph_that_is_not_the_likelihood_of_a_data_set_is_refused_by_its_name(monkeypatch):
    plain = joint.or_impossible
    monkeypatch.setattr(
        joint,
        "or_impossible",
        lambda analysis, instance: plain(analysis, instance) + (analysis.data[0] == 7.0),
    )
    with pytest.raises(TraceError, match="for dataset_1"):
        traced([Spectrum(noise()), Spectrum(np.full(20, 7.0)), Spectrum(noise())])
