"""A graph of black boxes asks the factors whose parameters have changed, and no others."""

import pickle

import numpy as np
import pytest

import classy_pm as cpm
from classy_pm.errors import FitException
from classy_pm.likelihood import LogLikelihood
from classy_pm.likelihood.joint import analysis_of
from classy_pm.plan import make_plan
from classy_pm.search.workers import Workers

COUNT = 4


class Source:
    def __init__(self, flux, offset):
        self.flux, self.offset = flux, offset


class Counted(cpm.Analysis):
    def __init__(self, number):
        self.number, self.calls = number, 0

    def log_likelihood_function(self, instance):
        self.calls += 1
        if instance.source.flux > 50.0:
            raise FitException
        if instance.source.flux < -50.0:
            raise ValueError("no such flux")
        return -((instance.source.flux - self.number) ** 2) - 0.1 * instance.source.offset**2


@pytest.fixture
def likelihood():
    offset = cpm.GaussianPrior(0.0, 1.0)
    factors = [
        cpm.AnalysisFactor(
            cpm.Collection(source=cpm.Model(Source, flux=cpm.GaussianPrior(0.0, 5.0), offset=offset)),
            Counted(number),
        )
        for number in range(COUNT)
    ]
    graph = cpm.FactorGraphModel(*factors)
    return LogLikelihood(make_plan(graph), analysis_of(graph, None, ""))


def calls(likelihood):
    return [analysis.calls for analysis in likelihood.analysis.analyses.values()]


def place_of(likelihood, name):
    return likelihood.plan.element_names.index(name)


def test_only_what_has_changed_is_computed(likelihood):
    vector = np.zeros(likelihood.plan.size)
    flux, offset = place_of(likelihood, "source.flux[dataset_2]"), place_of(likelihood, "source.offset")
    for step, expected in (
        (None, [1, 1, 1, 1]),
        (flux, [1, 1, 2, 1]),
        (offset, [2, 2, 3, 2]),
        (None, [2, 2, 3, 2]),
    ):
        if step is not None:
            vector[step] += 1.5  # in place, as samplers do
        found = likelihood(vector)
        assert calls(likelihood) == expected
        plain = likelihood.plan.instance(vector)
        analyses = [Counted(number) for number in range(COUNT)]
        assert found == sum(
            analysis.log_likelihood_function(plain[number]) for number, analysis in enumerate(analyses)
        )


def test_after_an_impossible_point_all_is_as_before(likelihood):
    vector = np.zeros(likelihood.plan.size)
    first = likelihood(vector)
    flux = place_of(likelihood, "source.flux[dataset_1]")
    for _ in range(2):
        vector[flux] = 60.0
        assert likelihood(vector) == -np.inf
        vector[flux] = 0.0
        assert likelihood(vector) == first


def test_a_fault_is_told_with_the_factor_s_name_each_time(likelihood):
    vector = np.zeros(likelihood.plan.size)
    vector[place_of(likelihood, "source.flux[dataset_3]")] = -60.0
    for _ in range(2):
        with pytest.raises(ValueError, match="no such flux") as caught:
            likelihood(vector)
        assert any("dataset_3" in note for note in caught.value.__notes__)


def test_in_processes_the_factors_are_shared_out_with_the_same_values(likelihood, processes):
    vectors = likelihood.plan.draws(3, random_seed=1)
    expected = [likelihood(vector) for vector in vectors]
    impossible, faulty = vectors[0].copy(), vectors[0].copy()
    impossible[place_of(likelihood, "source.flux[dataset_1]")] = 60.0
    faulty[place_of(likelihood, "source.flux[dataset_3]")] = -60.0
    workers = Workers(pickle.loads(pickle.dumps(likelihood)), 2)
    try:
        assert [float(workers(vector[np.newaxis])[0]) for vector in vectors] == expected
        assert workers(impossible[np.newaxis])[0] == -np.inf
        with pytest.raises(ValueError, match="no such flux") as caught:
            workers(faulty[np.newaxis])
        assert any("dataset_3" in note for note in caught.value.__notes__)
        assert calls(workers._log_likelihood) == calls(likelihood)  # none of them in this process
    finally:
        workers.close()
