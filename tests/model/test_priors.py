"""Priors against scipy's distributions, and what they refuse."""

import numpy as np
import pytest
import scipy.stats as st

from classy_pm.errors import ModelError
from classy_pm.model import (
    BetaPrior,
    GammaPrior,
    GaussianPrior,
    HalfGaussianPrior,
    LogGaussianPrior,
    LogUniformPrior,
    StudentTPrior,
    UniformPrior,
)

PAIRS = [
    (UniformPrior(-2.0, 3.0), st.uniform(-2.0, 5.0)),
    (LogUniformPrior(1e-2, 1e2), st.loguniform(1e-2, 1e2)),
    (GaussianPrior(10.0, 5.0), st.norm(10.0, 5.0)),
    (GaussianPrior(10.0, 5.0, lower_limit=0.0), st.truncnorm(-2.0, np.inf, 10.0, 5.0)),
    (GaussianPrior(0.0, 1.0, 5.0, 8.0), st.truncnorm(5.0, 8.0)),
    (GaussianPrior(0.0, 1.0, -30.0, -20.0), st.truncnorm(-30.0, -20.0)),
    (LogGaussianPrior(1.0, 2.0), st.lognorm(2.0, scale=np.exp(1.0))),
    (HalfGaussianPrior(3.0), st.halfnorm(scale=3.0)),
    (BetaPrior(2.5, 0.7), st.beta(2.5, 0.7)),
    (GammaPrior(2.5, 0.7), st.gamma(2.5, scale=1.0 / 0.7)),
    (StudentTPrior(3.0, 1.0, 2.0), st.t(3.0, 1.0, 2.0)),
]
UNIT = np.linspace(0.0, 1.0, 101)


@pytest.mark.parametrize(
    ("prior", "scipy"), PAIRS, ids=lambda item: repr(item) if hasattr(item, "ppf") else ""
)
def test_ppf_cdf_and_logpdf_equal_scipy(prior, scipy):
    values = scipy.ppf(UNIT)
    np.testing.assert_allclose(prior.ppf(UNIT), values, rtol=1e-10, atol=1e-12)
    inside = values[np.isfinite(values)]
    np.testing.assert_allclose(prior.cdf(inside), scipy.cdf(inside), rtol=1e-10, atol=1e-12)
    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(prior.logpdf(inside), scipy.logpdf(inside), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("prior", [pair[0] for pair in PAIRS], ids=repr)
def test_the_density_is_zero_outside_the_limits(prior):
    lower, upper = prior.limits
    outside = [limit for limit in (lower - 1.0, upper + 1.0) if np.isfinite(limit)]
    assert all(prior.logpdf(value) == -np.inf for value in outside)
    assert np.isnan(prior.ppf(1.5)) and np.isnan(prior.ppf(-0.1))


@pytest.mark.parametrize("prior", [pair[0] for pair in PAIRS], ids=repr)
def test_samples_follow_the_prior_and_the_seed(prior):
    draws = prior.sample(2000, random_seed=1)
    assert st.kstest(draws, prior.cdf).pvalue > 1e-3
    np.testing.assert_array_equal(draws, prior.sample(2000, random_seed=1))


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: UniformPrior(1.0, 0.0), "lower_limit"),
        (lambda: UniformPrior(0.0, np.inf), "upper_limit"),
        (lambda: LogUniformPrior(0.0, 1.0), "lower_limit"),
        (lambda: GaussianPrior(0.0, -1.0), "sigma"),
        (lambda: GaussianPrior(np.nan, 1.0), "mean"),
        (lambda: GaussianPrior("zero", 1.0), "mean"),
        (lambda: LogGaussianPrior(0.0, 0.0), "sigma"),
    ],
)
def test_impossible_arguments_are_refused_by_name(make, named):
    with pytest.raises(ModelError, match=named):
        make()


def test_all_faults_of_a_prior_are_told_at_once():
    with pytest.raises(ModelError, match=r"(?s)mean.*sigma"):
        GaussianPrior(np.inf, 0.0)


def test_a_prior_with_a_prior_inside_has_no_density_of_its_own():
    with pytest.raises(ModelError, match="mean is a parameter itself"):
        GaussianPrior(UniformPrior(), 1.0).logpdf(0.0)
