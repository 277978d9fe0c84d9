"""The log likelihood of draws, from the graph's terms, is that of the user's function or an error."""

import numpy as np
import pytest

import classy_pm as cpm
from classy_pm.errors import TraceError
from classy_pm.plan import make_plan
from classy_pm.search import pointwise
from classy_pm.search.problem import Problem
from classy_pm.search.progress import Report

DATA = np.array([0.1, -0.4, 1.3, 0.8])


class Location:
    def __init__(self, x):
        self.x = x


class Normal(cpm.Analysis):
    def log_likelihood_function(self, instance):
        return np.sum(-0.5 * (DATA - instance.x) ** 2)


@pytest.fixture
def problem():
    model = cpm.Model(Location, x=cpm.UniformPrior(-10.0, 10.0))
    return Problem(make_plan(model), Normal(), "trace", 1, 1, Report(False))


VECTORS = np.linspace(-3.0, 3.0, 120).reshape(2, 60, 1)


def found(problem):
    assert problem.symbolic.kind == "trace"
    terms = pointwise.pointwise_terms(problem, VECTORS)
    return terms, pointwise.log_likelihood_of(problem, VECTORS, terms)


def test_the_terms_of_the_graph_sum_to_the_function(problem):
    terms, total = found(problem)
    expected = -0.5 * (DATA - VECTORS) ** 2
    np.testing.assert_allclose(terms.terms, expected, rtol=1e-12)
    np.testing.assert_allclose(total, expected.sum(axis=-1), rtol=1e-12)


def test_where_only_some_draws_have_terms_the_function_is_called_at_all(problem, monkeypatch):
    monkeypatch.setattr(pointwise, "MAX_NUMBERS", 100)
    terms, total = found(problem)
    assert terms.step == 5 and terms.terms.shape == (2, 12, 4)
    np.testing.assert_allclose(total, -0.5 * np.sum((DATA - VECTORS) ** 2, axis=-1), rtol=1e-12)


@pytest.mark.parametrize("there", [1.0, np.nan, -np.inf])
def test_a_trace_that_is_not_the_function_at_the_posterior_is_an_error(problem, monkeypatch, there):
    terms, _ = found(problem)
    plain = Normal.log_likelihood_function

    def other(self, instance):
        return plain(self, instance) + (there if instance.x > 2.9 else 0.0)

    monkeypatch.setattr(Normal, "log_likelihood_function", other)
    with pytest.raises(TraceError, match="at 1 of 50 draws of the posterior") as caught:
        pointwise.log_likelihood_of(problem, VECTORS, terms)
    assert "blackbox" in caught.value.cure
