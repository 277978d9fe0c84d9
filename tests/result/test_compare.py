"""compare: evidence and LOO side by side, of the same data only."""

import numpy as np
import pytest

import classy_pm as cpm
from classy_pm.errors import ClassyError
from classy_pm.likelihood import Analysis
from classy_pm.plan import make_plan
from classy_pm.result.compare import _monte_carlo_error
from classy_pm.result.tree import make_tree
from classy_pm.search.identity import Identity


class Line:
    def __init__(self, offset=0.0, slope=0.0):
        self.offset, self.slope = offset, slope


X = np.linspace(0.0, 1.0, 60)
DATA = 1.0 + 2.0 * X + np.random.default_rng(1).normal(0.0, 0.5, 60)


def fitted(slope=True, evidence=None, loo=True, kind="chains", data_hash="a" * 64, terms=60, seed=2):
    """The exact posterior of a line, with and without a slope, from its normal equations."""
    design = np.stack([np.ones(60), X], axis=1)[:, : 2 if slope else 1]
    covariance = 0.25 * np.linalg.inv(design.T @ design)
    best = covariance @ design.T @ DATA / 0.25
    draws = np.random.default_rng(seed).multivariate_normal(best, covariance, size=(2, 500))
    pointwise = -0.5 * ((DATA - draws @ design.T) / 0.5) ** 2 - np.log(0.5 * np.sqrt(2.0 * np.pi))
    model = cpm.Model(Line, offset=cpm.UniformPrior(-10.0, 10.0))
    model.slope = cpm.UniformPrior(-10.0, 10.0) if slope else 0.0
    names = make_plan(model).names
    tree = make_tree(
        {name: draws[..., place] for place, name in enumerate(names)},
        pointwise.sum(axis=-1),
        np.full((2, 500), -len(names) * np.log(20.0)),
        free=names,
        pointwise=pointwise[..., :terms] if loo else None,
        attributes={
            "kind": kind,
            "data_hash": data_hash,
            "log_evidence": None if evidence is None else evidence[0],
            "log_evidence_error": None if evidence is None else evidence[1],
        },
    )
    return cpm.Result(model, tree, identifier="0" * 64)


def test_evidence_and_loo_stand_side_by_side_the_best_first():
    table = cpm.compare(
        {"flat": fitted(slope=False, evidence=(-80.0, 0.3)), "line": fitted(evidence=(-50.0, 0.4))}
    )
    assert list(table.index) == ["line", "flat"]
    flat, line = table.loc["flat"], table.loc["line"]
    assert flat["log_bayes_factor"] == -30.0 and flat["log_bayes_factor_error"] == pytest.approx(0.5)
    assert line["log_bayes_factor"] == 0.0 and line["log_bayes_factor_error"] == 0.0
    assert line["elpd_diff"] == 0.0 and flat["elpd_diff"] == pytest.approx(
        flat["elpd_loo"] - line["elpd_loo"]
    )
    assert flat["elpd_diff"] < -5.0 and flat["elpd_diff_se"] > 0.0
    assert 0.5 < line["p_loo"] < 3.0
    assert line["weight"] > 0.9 and line["weight"] + flat["weight"] == pytest.approx(1.0, abs=1e-6)
    assert line["bad_k"] == 0 and line["free_parameters"] == 2 and flat["free_parameters"] == 1
    assert line["max_log_likelihood"] > flat["max_log_likelihood"]
    assert max(map(len, str(table).splitlines())) <= 100


def test_what_a_fit_does_not_have_is_nan():
    table = cpm.compare(
        {
            "nuts": fitted(),
            "nested": fitted(loo=False, evidence=(-50.0, 0.4)),
            "other": fitted(slope=False, evidence=(-80.0, None)),
        }
    )
    assert np.isnan(table["log_evidence"]["nuts"]) and np.isnan(table["log_bayes_factor"]["nuts"])
    assert np.isnan(table["elpd_loo"]["nested"]) and table["log_bayes_factor"]["other"] == -30.0
    assert np.isnan(table["log_bayes_factor_error"]["other"])
    assert "NaN" in str(table) or "nan" in str(table)


@pytest.mark.parametrize("draw", ["standard_normal", "standard_cauchy"])
def test_bad_pareto_k_are_counted_without_a_warning(draw):
    bad = fitted()
    terms = bad.idata["log_likelihood"]["likelihood"].values
    terms[..., 0] = 40.0 * getattr(np.random.default_rng(1), draw)(terms.shape[:2])  # k is huge, or NaN
    table = cpm.compare({"good": fitted(), "bad": bad})
    assert table["bad_k"]["bad"] == 1 and table["bad_k"]["good"] == 0


def test_the_monte_carlo_error_is_how_far_fits_of_one_model_differ():
    fits = [fitted(seed=seed) for seed in range(30)]
    elpds = [fit.loo() for fit in fits]
    errors = [_monte_carlo_error(fit, elpd) for fit, elpd in zip(fits, elpds, strict=True)]
    assert np.std([elpd.elpd for elpd in elpds], ddof=1) == pytest.approx(np.mean(errors), rel=0.35)


def test_a_difference_within_the_monte_carlo_error_is_warned_of():
    fits = {"one": fitted(seed=2), "two": fitted(seed=3), "flat": fitted(slope=False)}
    with pytest.warns(UserWarning, match="no more than twice its Monte Carlo error") as caught:
        cpm.compare(fits)
    (warning,) = caught
    assert "`one`" in str(warning.message) and "`two`" in str(warning.message)
    assert "flat" not in str(warning.message)


def test_fits_of_other_data_are_refused_by_name():
    with pytest.raises(ClassyError, match="not of the same data") as caught:
        cpm.compare({"one": fitted(), "two": fitted(slope=False), "three": fitted(data_hash="b" * 64)})
    assert "one, two: data aaaa" in str(caught.value) and "three: data bbbb" in str(caught.value)
    with pytest.raises(ClassyError, match="`two`"):
        cpm.compare({"one": fitted(), "two": fitted(data_hash=None)})


def test_fits_with_nothing_in_common_are_refused_by_name():
    with pytest.raises(ClassyError, match="nothing to compare") as caught:
        cpm.compare({"one": fitted(loo=False), "two": fitted(kind="approximation"), "three": fitted()})
    assert "one: no evidence; no LOO" in str(caught.value) and "three: no evidence; has LOO" in str(
        caught.value
    )


def test_terms_of_other_data_are_refused_by_name():
    with pytest.raises(ClassyError, match="two: 59 terms"):
        cpm.compare({"one": fitted(), "two": fitted(terms=59)})


def test_what_is_no_pair_of_results_is_refused():
    with pytest.raises(ClassyError, match="1 fits"):
        cpm.compare({"one": fitted()})
    with pytest.raises(ClassyError, match="two: is 3, not a Result"):
        cpm.compare({"one": fitted(), "two": 3})
    one = fitted()
    for call in (
        lambda: cpm.compare(one),
        lambda: cpm.compare([one, one]),
        lambda: cpm.compare(one, one),
        lambda: cpm.compare(one=one, two=one),
        lambda: cpm.compare(3),
        lambda: cpm.compare(),
        lambda: cpm.compare({}),
    ):
        with pytest.raises(ClassyError, match=r'Write compare\(\{"one line": first_result'):
            call()


def test_the_hash_of_the_data_does_not_depend_on_the_class_of_the_analysis():
    class Normal(Analysis):
        def __init__(self, data):
            self.data = data

        def log_likelihood_function(self, instance):
            return -0.5 * np.sum((self.data - instance.offset) ** 2)

    class Robust(Normal):
        def log_likelihood_function(self, instance):
            return -np.sum(np.log1p((self.data - instance.offset) ** 2))

    plan = make_plan(cpm.Model(Line, offset=cpm.UniformPrior(-10.0, 10.0), slope=0.0))

    def observed(analysis):
        return Identity.of(cpm.Emcee(), plan, analysis).hashes["observed"]

    assert observed(Normal(DATA)) == observed(Robust(DATA)) != observed(Robust(DATA + 1e-10))
