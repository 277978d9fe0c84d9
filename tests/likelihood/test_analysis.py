"""What is checked of an analysis before anything is computed, and the user's function at a vector."""

import numpy as np
import pytest

import classy_pm as cpm
from classy_pm.errors import DataError, LikelihoodError
from classy_pm.likelihood import LogLikelihood, check_analysis
from classy_pm.plan import make_plan


class Returns(cpm.Analysis):
    def __init__(self, value):
        self.value = value

    def log_likelihood_function(self, instance):
        if isinstance(self.value, Exception):
            raise self.value
        return self.value


def log_likelihood(model, value):
    return LogLikelihood(make_plan(model), Returns(value))


VECTOR = np.array([1.0, 2.0, 3.0])


def test_data_with_nan_are_refused_naming_every_array(gaussian_analysis):
    gaussian_analysis.data[3] = np.nan
    gaussian_analysis.more = {"mask": [np.array([[0.0, np.nan]])]}
    with pytest.raises(DataError) as caught:
        check_analysis(gaussian_analysis)
    assert "data: 1 of 100" in str(caught.value) and "more.mask.0: 1 of 2" in str(caught.value)


def test_data_with_nan_are_taken_where_the_class_says_so(gaussian_analysis):
    gaussian_analysis.data[3] = np.nan

    class Careful(type(gaussian_analysis)):
        allow_nan = True

    check_analysis(Careful(gaussian_analysis.data, gaussian_analysis.noise_map))


def test_infinite_noise_and_masked_values_are_no_fault(gaussian_analysis):
    gaussian_analysis.noise_map[0] = np.inf
    gaussian_analysis.data = np.ma.masked_invalid(np.where(np.arange(100) == 2, np.nan, 1.0))
    check_analysis(gaussian_analysis)


@pytest.mark.parametrize("thing", [None, Returns, lambda instance: 0.0])
def test_what_is_no_analysis_is_refused(thing):
    with pytest.raises(LikelihoodError, match="An Analysis is needed"):
        check_analysis(thing)


def test_an_analysis_without_a_likelihood_is_refused():
    with pytest.raises(LikelihoodError, match="log_likelihood_function"):
        check_analysis(cpm.Analysis())


def test_an_impossible_point_is_minus_infinity(gaussian_model):
    assert log_likelihood(gaussian_model, cpm.FitException())(VECTOR) == -np.inf


def test_nan_is_minus_infinity_and_counted(gaussian_model):
    function = log_likelihood(gaussian_model, float("nan"))
    assert function(VECTOR) == function(VECTOR) == -np.inf
    assert function.nan_count == 2


@pytest.mark.parametrize("value", [np.zeros(3), np.zeros(1), 1.0 + 2.0j, "0.0", None, [0.0]])
def test_what_is_not_one_real_number_is_refused_with_the_parameters(gaussian_model, value):
    with pytest.raises(LikelihoodError, match=r"(?s)not one real number.*centre = 1\.0"):
        log_likelihood(gaussian_model, value)(VECTOR)


@pytest.mark.parametrize("value", [np.float32(1.5), np.array(1.5), 1.5])
def test_numbers_of_all_kinds_are_floats(gaussian_model, value):
    result = log_likelihood(gaussian_model, value)(VECTOR)
    assert type(result) is float and result == 1.5


def test_plus_infinity_is_refused(gaussian_model):
    with pytest.raises(LikelihoodError, match=r"\+inf"):
        log_likelihood(gaussian_model, np.inf)(VECTOR)


def test_any_other_exception_leaves_with_the_parameters_in_a_note(gaussian_model):
    with pytest.raises(KeyError) as caught:
        log_likelihood(gaussian_model, KeyError("flux"))(VECTOR)
    assert any("intensity = 2.0" in note for note in caught.value.__notes__)


def test_nan_is_found_in_slots_nested_objects_and_labelled_data():
    import pandas as pd

    class Dataset:
        __slots__ = ("flux",)

        def __init__(self):
            self.flux = np.array([1.0, np.nan])

    class Nested(Returns):
        def __init__(self):
            self.dataset = Dataset()
            self.series = pd.Series([1.0, np.nan, 2.0])

    with pytest.raises(DataError, match=r"(?s)dataset\.flux.*series"):
        check_analysis(Nested())


class Slope:
    def __init__(self, slope, start):
        self.slope, self.start = slope, start


class SlopeAnalysis(cpm.Analysis):
    def __init__(self, t, data):
        self.t, self.data = t, data

    def log_likelihood_function(self, instance):
        return -0.5 * np.sum((self.data - instance.slope * self.t - instance.start) ** 2)


@pytest.mark.parametrize(
    ("t", "start", "words"),
    [
        ([1.0, 2.0], 1.0, "`t` is a list: np.asarray(t)?"),
        (np.array(["1", "2"]), 1.0, "`t` is an array of texts: t.astype(float)?"),
        (None, 1.0, "`t` is None"),
        (np.arange(2.0), (0, 10, 20), "`start` is fixed to (0, 10, 20)"),
    ],
)
def test_data_and_constants_of_odd_types_are_named_with_the_error(t, start, words):
    plan = make_plan(cpm.Model(Slope, slope=cpm.UniformPrior(0.0, 1.0), start=start))
    with pytest.raises((TypeError, ValueError)) as caught:
        LogLikelihood(plan, SlopeAnalysis(t, np.arange(2.0)))(np.array([0.5]))
    assert f"It may be this: {words}" in caught.value.__notes__


def test_errors_that_odd_types_do_not_explain_have_no_such_note():
    plan = make_plan(cpm.Model(Slope, slope=cpm.UniformPrior(0.0, 1.0), start=1.0))
    with pytest.raises(ValueError) as caught:
        LogLikelihood(plan, SlopeAnalysis(np.arange(2.0), np.arange(3.0)))(np.array([0.5]))
    assert len(caught.value.__notes__) == 1


def test_empty_data_are_refused_unless_there_may_be_none():
    class MayBeEmpty(SlopeAnalysis):
        allow_nan = True

    empty = np.arange(3.0)[:0]
    with pytest.raises(DataError, match=r"are empty(.|\n)*data: is empty, of shape \(0,\)"):
        check_analysis(SlopeAnalysis(np.arange(3.0), empty))
    with pytest.raises(DataError, match="hold NaN and are empty"):
        check_analysis(SlopeAnalysis(np.array([np.nan]), empty))
    check_analysis(MayBeEmpty(empty, empty))
    check_analysis(SlopeAnalysis(np.flatnonzero(empty), np.arange(3.0)))  # an index may select nothing
