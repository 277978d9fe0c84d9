"""The graph of many data sets is the sum of their likelihoods, and does not grow with their number."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from plate_cases import CASES, Line, Spectrum, each, noise, squares
from pytensor.graph.basic import Constant
from pytensor.graph.traversal import ancestors
from pytensor.tensor.basic import Join

import classy_pm as cpm
from classy_pm.errors import TraceError
from classy_pm.likelihood import joint
from classy_pm.likelihood.joint import analysis_of
from classy_pm.likelihood.plates import trace_plates
from classy_pm.likelihood.symbolic import make_symbolic
from classy_pm.likelihood.trace.proof import quick_function
from classy_pm.plan import make_plan


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


def batches_of(found):
    node = found.value.owner.inputs[0].owner
    return len(node.inputs) if isinstance(node.op, Join) else 1


@pytest.mark.parametrize("case", CASES)
def test_the_graph_is_the_sum_of_the_likelihoods(case):
    count, analyses = CASES[case]
    plan, together, inputs, found = traced(analyses)
    assert batches_of(found) == count
    outputs = [found.value, *pytensor.grad(found.value, inputs, disconnected_inputs="ignore")]
    function = quick_function(inputs, outputs if found.terms is None else [*outputs, found.terms.sum()])
    for vector in plan.draws(2, random_seed=2):
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


def test_the_graph_does_not_grow_with_the_number_of_lengths():
    sizes = []
    for count in (3, 40):
        *_, found = traced([Spectrum(noise(60 + place)) for place in range(count)])
        sizes.append(len(list(ancestors([found.value, found.terms]))))
    assert sizes[0] == sizes[1]


def test_the_terms_are_those_of_the_data_in_their_order_and_nothing_else():
    def masked(self, centre, height):
        return -np.sum((self.data - centre)[self.good] ** 2) - height * self.data.size

    analyses = each(masked, (5, 8, 6), good=lambda size: np.arange(size) % 3 > 0)
    plan, _, inputs, found = traced(analyses)
    (vector,) = plan.draws(1, random_seed=3)
    expected = []
    for analysis, instance in zip(analyses, dict(plan.instance(vector).items()).values(), strict=True):
        own = -((analysis.data - instance.line.centre)[analysis.good] ** 2)
        expected.append(own - instance.line.height * analysis.data.size / own.size)
    terms = quick_function(inputs, found.terms)(*plan.split(vector))
    np.testing.assert_allclose(terms, np.concatenate(expected), rtol=1e-12)


def test_what_all_data_sets_share_is_in_the_graph_once():
    grid = np.linspace(0.0, 1.0, 50_000)
    analyses = each(lambda s, c, h: squares(s, c, h) - np.sum(s.grid * h), (5, 6, 7), grid=lambda size: grid)
    *_, found = traced(analyses)
    constants = [item for item in ancestors([found.value]) if isinstance(item, Constant)]
    assert max(np.size(item.data) for item in constants) == grid.size


def counting(self, centre, height):
    self.calls = getattr(self, "calls", 0) + 1
    return -np.sum((self.data - centre) ** 2) * (1.0 + 1e-3 * self.calls) - height


def in_place(self, centre, height):
    self.data -= centre
    return -np.sum(self.data**2) - height


def random(self, centre, height):
    return -np.sum((self.data - centre) ** 2) + np.random.default_rng().normal() - height


@pytest.mark.parametrize("function", [counting, in_place, random], ids=lambda function: function.__name__)
def test_a_likelihood_that_is_not_the_same_twice_is_told_with_its_data_set(function):
    with pytest.raises(TraceError, match="dataset_"):
        traced(each(function, (5, 6, 7)))


def test_the_factors_that_cannot_be_traced_are_named():
    untraceable = each(lambda s, c, h: float(str(float(c))), (5, 5)) + each(lambda s, c, h: s.of(c) - h, (5,))
    untraceable[-1].of = lambda x: eval(f"{float(x)}")
    with pytest.raises(TraceError, match="of 3 of the 4 factors") as caught:
        traced([Spectrum(noise()), *untraceable])
    assert "dataset_1, dataset_2: " in str(caught.value) and "dataset_3: " in str(caught.value)
    graph = graph_of([Spectrum(noise()), untraceable[0]])
    with pytest.warns(cpm.errors.TraceWarning, match="dataset_1: "):
        make_symbolic(make_plan(graph), analysis_of(graph, None, ""))
