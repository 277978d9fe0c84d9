"""The likelihood of batches: the same values by every way, and in the order of the vectors."""

import logging

import numpy as np
import pytest

import classy_pm as cpm
from classy_pm.errors import LikelihoodError, SearchError
from classy_pm.likelihood import LogLikelihood
from classy_pm.plan import make_plan
from classy_pm.search.paths import Onlooker
from classy_pm.search.problem import Problem
from classy_pm.search.progress import Report


def make_problem(model, analysis, likelihood="auto", cores=1, folder=None):
    return Problem(make_plan(model), analysis, likelihood, 1, cores, Report(False), folder)


class Refusing(cpm.Analysis):
    """Impossible below zero, not a number beyond two, and at three a fault of the user's."""

    def log_likelihood_function(self, instance):
        if instance.x < 0.0:
            raise cpm.FitException
        if instance.x > 4.999:
            raise ValueError("the user's own")
        return -np.sqrt(2.0 - instance.x)


@pytest.fixture
def line():
    return cpm.Collection(x=cpm.UniformPrior(-5.0, 5.0))


@pytest.mark.parametrize(("expected", "way"), [(10_000, "_in_chunks"), (10**9, "_vectorised")])
def test_a_traced_batch_has_the_values_of_the_users_function(
    gaussian_model, gaussian_analysis, expected, way
):
    problem = make_problem(gaussian_model, gaussian_analysis)
    problem.evaluate.expected = expected
    vectors = problem.plan.draws(300, 0)
    plain = [LogLikelihood(problem.plan, gaussian_analysis)(vector) for vector in vectors]
    np.testing.assert_allclose(problem.evaluate(vectors), plain, rtol=1e-12)
    assert problem.symbolic.kind == "trace" and problem.evaluate.count == 300


def test_where_the_trace_has_no_number_the_users_function_says_why(line):
    problem = make_problem(line, Refusing(), "trace")
    problem.evaluate.expected = 10_000
    np.testing.assert_allclose(problem.evaluate(np.array([[1.0], [-1.0], [2.5]])), [-1.0, -np.inf, -np.inf])
    assert problem.log_likelihood.nan_count == 1
    with pytest.raises(ValueError, match="the user's own") as caught:
        problem.evaluate(np.array([[1.0], [4.9995]]))
    assert any("x = 4.9995" in note for note in caught.value.__notes__)


def test_what_cannot_be_traced_is_called_as_it_is_without_a_warning(gaussian_model, opaque_analysis):
    problem = make_problem(gaussian_model, opaque_analysis)
    problem.evaluate.expected = 10_000
    vectors = problem.plan.draws(3, 0)
    plain = [LogLikelihood(problem.plan, opaque_analysis)(vector) for vector in vectors]
    np.testing.assert_array_equal(problem.evaluate(vectors), plain)


def test_an_infinite_likelihood_is_an_error_by_every_way(line):
    class Infinite(cpm.Analysis):
        def log_likelihood_function(self, instance):
            return np.exp(800.0 * (instance.x > 4.0) + instance.x) * 1.0

    for kind in ("blackbox", "trace"):
        problem = make_problem(line, Infinite(), kind)
        problem.evaluate.expected = 10_000
        with pytest.raises(LikelihoodError, match="inf"):
            problem.evaluate(np.array([[4.5]]))


def test_processes_give_the_same_values_in_the_same_order(gaussian_model, opaque_analysis):
    """Wrong answer 1 of the reference: log probabilities belong to their own walkers."""
    with make_problem(gaussian_model, opaque_analysis, cores=2) as problem:
        vectors = problem.plan.draws(31, 0)
        plain = [LogLikelihood(problem.plan, opaque_analysis)(vector) for vector in vectors]
        np.testing.assert_array_equal(problem.evaluate(vectors), plain)
        np.testing.assert_array_equal(problem.evaluate(vectors[::-1]), plain[::-1])


def test_processes_tell_of_nan_and_of_faults(line, processes):
    with make_problem(line, Refusing(), "blackbox", cores=2) as problem:
        values = problem.evaluate(np.array([[1.0], [-1.0], [2.5], [2.0]]))
        np.testing.assert_allclose(values, [-1.0, -np.inf, -np.inf, 0.0])
        assert problem.log_likelihood.nan_count == 1
        with pytest.raises(ValueError) as caught:
            problem.evaluate(np.array([[4.9995], [1.0]]))
        assert any("x = 4.9995" in note for note in caught.value.__notes__)


def test_a_process_that_dies_is_told(line):
    class Deadly(cpm.Analysis):
        def log_likelihood_function(self, instance):
            import os

            os._exit(1)

    problem = make_problem(line, Deadly(), "blackbox", cores=2)
    with problem, pytest.raises(SearchError, match="number_of_cores=1"):
        problem.evaluate(np.zeros((4, 1)))


class Drawn(Refusing):
    def __init__(self):
        self.seen = []

    def visualize(self, paths, instance):
        self.seen.append(instance.x)
        (paths.image_path / "picture.txt").write_text(str(instance.x))
        if instance.x == 1.5:
            raise RuntimeError("no ink")


def test_the_best_vector_so_far_is_drawn_and_a_failing_picture_is_logged(line, tmp_path, caplog):
    analysis = Drawn()
    onlooker = Onlooker(make_plan(line), analysis, tmp_path, interval=0.0)
    onlooker.see(np.array([[1.0], [0.5]]), np.array([-1.0, -2.0]))
    onlooker.see(np.array([[0.7]]), np.array([-1.5]))
    with caplog.at_level(logging.ERROR, "classy_pm"):
        onlooker.see(np.array([[1.5]]), np.array([-0.5]))
    assert analysis.seen == [1.0, 1.5] and "Drawn.visualize failed" in caplog.text
    assert (tmp_path / "image" / "picture.txt").read_text() == "1.5"


def test_a_fit_in_a_catalogue_leaves_its_pictures_and_nothing_else(line, tmp_path):
    analysis = Drawn()
    search = cpm.Emcee(nwalkers=4, nsteps=20, random_seed=1)
    result = search.fit(line, analysis, catalog=tmp_path / "fits.sqlite")
    folder = tmp_path / "fits.files" / "output" / result.identifier
    assert [path.name for path in folder.rglob("*") if path.is_file()] == ["picture.txt"]
    (best,) = analysis.seen  # of all that the walkers met, also on the way
    assert result.samples.max_log_likelihood_vector[0] <= best <= 2.0
