"""Calls that cannot be: of functions that a user begins with, and of the methods that he writes."""

import inspect

import numpy as np
import pytest

import classy_pm as cpm
from classy_pm.errors import LikelihoodError, SettingError, TraceWarning
from classy_pm.likelihood import check_analysis

SEARCH = cpm.Emcee(nwalkers=10, nsteps=40, random_seed=1)

FITS = {
    "a misspelt keyword": (
        lambda m, a: SEARCH.fit(m, a, catalogue="x"),
        r"catalogue: .*Did you mean `catalog`",
    ),
    "a setting": (
        lambda m, a: SEARCH.fit(m, a, nsteps=3),
        r"nsteps: .*setting of the search: Emcee\(nsteps=3\)",
    ),
    "no analysis": (lambda m, a: SEARCH.fit(m), "(?s)analysis: is missing.*FactorGraphModel"),
    "a factor": (lambda m, a: SEARCH.fit(cpm.AnalysisFactor(m, a)), r"Write fit\(FactorGraphModel\(factor"),
    "factors": (
        lambda m, a: SEARCH.fit([cpm.AnalysisFactor(m, a)] * 2),
        r"factors, not a graph.*\n.*FactorGraphModel\(\*factors\)",
    ),
    "nothing": (lambda m, a: SEARCH.fit(), "(?s)model: is missing.*analysis: is missing"),
    "too many": (lambda m, a: SEARCH.fit(m, a, "x.sqlite"), r"catalog='x\.sqlite'"),
    "twice": (lambda m, a: SEARCH.fit(m, a, model=m), "model: is given twice"),
    "the class": (lambda m, a: cpm.Emcee.fit(m, a), r"NUTS\(\)\.fit"),
    "swapped": (lambda m, a: SEARCH.fit(a, m), r"Write fit\(model, analysis\)"),
    "swapped names": (lambda m, a: SEARCH.fit(model=a, analysis=m), r"Write fit\(model, analysis\)"),
}


@pytest.mark.parametrize("fault", FITS)
def test_fit_tells_what_is_wrong_with_its_arguments(fault, gaussian_model, gaussian_analysis):
    call, text = FITS[fault]
    with pytest.raises(SettingError, match=text) as caught:
        call(gaussian_model, gaussian_analysis)
    assert caught.value.__cause__ is None and caught.value.cure


def test_all_faults_of_a_call_are_told_at_once(gaussian_model):
    with pytest.raises(SettingError) as caught:
        SEARCH.fit(gaussian_model, catalogue="x", nsteps=3)
    assert [fault.split(":")[0] for fault in caught.value.faults] == ["catalogue", "nsteps", "analysis"]


def test_help_shows_the_signatures():
    assert list(inspect.signature(cpm.NUTS.fit).parameters) == [
        "self",
        "model",
        "analysis",
        "catalog",
        "info",
        "on_change",
    ]
    assert "points" in inspect.signature(cpm.check_gradient).parameters
    assert "Fit a model" in inspect.getdoc(cpm.NUTS.fit)


def test_to_pymc_and_check_gradient_say_the_order_of_their_arguments(gaussian_model, gaussian_analysis):
    with pytest.raises(SettingError, match=r"to_pymc\(model, analysis\)"):
        cpm.to_pymc(gaussian_analysis, gaussian_model)
    with pytest.raises(SettingError, match=r"check_gradient\(model, analysis\)"):
        cpm.check_gradient(gaussian_analysis, gaussian_model)
    with pytest.raises(SettingError, match=r"(?s)analysis: is missing.*to_pymc\(model, analysis\)"):
        cpm.to_pymc(gaussian_model)
    with pytest.raises(SettingError, match=r"(?s)analysis: is missing.*check_gradient\(model, analysis\)"):
        cpm.check_gradient(gaussian_model)


METHODS = {
    "log_likelihood_function": (lambda self: 0.0, "instance"),
    "log_likelihood_gradient": (lambda self, a, b: 0.0, "instance"),
    "log_likelihood_pointwise": (lambda self: 0.0, "instance"),
    "derived": (lambda self: {}, "instance"),
    "simulate": (lambda self, i: 0.0, "instance, rng"),
    "visualize": (lambda self, instance, paths: None, "paths, instance"),
}


@pytest.mark.parametrize("name", METHODS)
def test_a_method_with_other_arguments_is_told_with_the_right_ones(name, gaussian_model, gaussian_analysis):
    method, right = METHODS[name]
    analysis = type("Mine", (type(gaussian_analysis),), {name: method})(
        gaussian_analysis.data, gaussian_analysis.noise_map
    )
    with pytest.raises(LikelihoodError, match=rf"(?s){name}: takes .*Write def {name}\(self, {right}\)"):
        SEARCH.fit(gaussian_model, analysis)


def test_all_such_methods_are_told_at_once(gaussian_analysis):
    class Wrong(type(gaussian_analysis)):
        derived = 3.0

        def simulate(self, rng, instance):
            return None

    with pytest.raises(LikelihoodError) as caught:
        check_analysis(Wrong(gaussian_analysis.data, gaussian_analysis.noise_map))
    derived, simulate = caught.value.faults
    assert derived == "derived: is 3.0, which is no method"
    assert simulate == "simulate: takes (rng, instance) besides self, and it is called with (instance, rng)"


def test_methods_of_all_kinds_that_can_be_called_are_no_fault(gaussian_analysis):
    class Right(type(gaussian_analysis)):
        @staticmethod
        def derived(i):
            return {"a": i.centre}

        def simulate(self, *arguments):
            return np.zeros(100)

        def visualize(self, paths, instance, during_analysis=True):
            return None

        def log_likelihood_gradient(self, i, /, **options):
            return np.zeros(3)

    check_analysis(Right(gaussian_analysis.data, gaussian_analysis.noise_map))


def test_a_warning_of_a_fit_is_at_the_line_that_called_it(gaussian_model, opaque_analysis):
    search = cpm.Slice(draws=3, tune=2, chains=1, random_seed=1)
    with pytest.warns(TraceWarning) as caught:
        search.fit(gaussian_model, opaque_analysis)
    lines, first = inspect.getsourcelines(test_a_warning_of_a_fit_is_at_the_line_that_called_it)
    place = first + next(number for number, line in enumerate(lines) if "search.fit" in line)
    told = [warning for warning in caught if warning.category is TraceWarning]
    assert [(warning.filename, warning.lineno) for warning in told] == [(__file__, place)]


def test_what_nuts_advises_without_a_gradient_can_be_done(gaussian_model, opaque_analysis):
    for likelihood, text in (("auto", "can be traced"), ("blackbox", "Leave out likelihood='blackbox'")):
        with pytest.raises(cpm.ClassyError, match=text) as caught:
            cpm.NUTS(draws=5, tune=5, likelihood=likelihood).fit(gaussian_model, opaque_analysis)
        cure = caught.value.cure
        assert "log_likelihood_gradient(self, instance)" in cure and "Nautilus() or Emcee()" in cure
