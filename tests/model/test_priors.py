"""Priors against scipy's distributions, and what they refuse."""

import inspect

import numpy as np
import pytest
import scipy.stats as st
from scipy.integrate import quad

from classy_pm.errors import ModelError
from classy_pm.model import (
    BetaPrior,
    Collection,
    GammaPrior,
    GaussianPrior,
    HalfGaussianPrior,
    LogGaussianPrior,
    LogUniformPrior,
    StudentTPrior,
    UniformPrior,
)
from classy_pm.plan import make_plan

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


@pytest.mark.parametrize(("prior", "scipy"), PAIRS, ids=[repr(prior) for prior, _ in PAIRS])
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
        (lambda: UniformPrior(-(10**400), 1), "too large for a float"),
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


@pytest.mark.parametrize("family", [type(prior) for prior, _ in PAIRS])
def test_a_wrong_argument_of_any_family_is_told_with_the_near_one(family):
    first = next(iter(inspect.signature(family).parameters))
    with pytest.raises(ModelError, match=f"no argument `{first}x`.*\nDid you mean.*`{first}`"):
        family(**{f"{first}x": 1.0})


def test_missing_and_superfluous_arguments_are_told():
    with pytest.raises(ModelError, match="missing a required argument: 'mean'"):
        GaussianPrior()
    with pytest.raises(ModelError, match=r"(?s)UniformPrior.*too many"):
        UniformPrior(0.0, 1.0, 2.0)
    with pytest.raises(ModelError, match="Did you mean `lower_limit`"):
        UniformPrior(lower=0.0, upper=1.0)


@pytest.mark.parametrize(
    ("make", "impossible", "possible"),
    [
        (lambda p: GammaPrior(p, 1.0), -0.5, 0.5),
        (lambda p: GammaPrior(1.0, p), -0.5, 0.5),
        (lambda p: BetaPrior(p, 1.0), -0.5, 0.5),
        (lambda p: StudentTPrior(p, 0.0, 1.0), -0.5, 0.5),
        (lambda p: StudentTPrior(3.0, 0.0, p), 0.0, 0.5),
        (lambda p: HalfGaussianPrior(p), -0.5, 0.5),
        (lambda p: GaussianPrior(0.5, p), 0.0, 0.5),
        (lambda p: GaussianPrior(0.5, 1.0, lower_limit=p, upper_limit=0.8), 0.9, 0.2),
        (lambda p: LogGaussianPrior(0.0, p), -0.5, 0.5),
        (lambda p: UniformPrior(p, 0.8), 0.9, 0.2),
        (lambda p: LogUniformPrior(p, 0.8), -0.5, 0.2),
    ],
)
def test_where_a_parameter_makes_a_prior_impossible_the_density_is_zero(make, impossible, possible):
    model = Collection(p=UniformPrior(-1.0, 1.0))
    model.x = make(model.p)
    plan = make_plan(model)
    density = plan.log_prior([[impossible, 0.5], [possible, 0.5]])
    assert density[0] == -np.inf and np.isfinite(density[1])
    units = (np.array([impossible, possible]) + 1.0) / 2.0
    values = plan.vector_from_unit(np.stack([units, [0.5, 0.5]], axis=-1))[:, 1]
    assert np.isnan(values[0]) and np.isfinite(values[1])


NARROW = [
    GaussianPrior(0.0, 1e15, 0.0, 1.0),
    GaussianPrior(0.0, 1e12, -1.0, 1.0),
    GaussianPrior(0.0, 1.0, 4.0, 4.0 + 0.9e-5),
    GaussianPrior(0.0, 1.0, 4.0, 4.0 + 1.1e-5),
    GaussianPrior(0.0, 1.0, -4.0 - 0.9e-5, -4.0),
    GaussianPrior(7.0, 1.0, 3.0, 3.0 + 1e-6),
]


@pytest.mark.parametrize("prior", NARROW, ids=repr)
def test_a_narrow_part_of_a_wide_normal_distribution_keeps_its_digits(prior):
    lower, upper = prior.limits
    middle = 0.5 * (lower + upper)

    def density(value):
        # Relative to the middle, which no quotient of probabilities enters.
        mean, sigma = prior.arguments["mean"], prior.arguments["sigma"]
        return np.exp(-0.5 * (value - middle) * (value + middle - 2.0 * mean) / sigma**2)

    total = quad(density, lower, upper, epsrel=1e-12)[0]
    for unit in (1e-3, 0.2, 0.5, 0.9):
        value = prior.ppf(unit)
        below = quad(density, lower, value, epsrel=1e-12)[0] / total
        assert below == pytest.approx(unit, rel=1e-6) and prior.cdf(value) == pytest.approx(below, rel=1e-6)
        expected = np.log(density(value)) - np.log(total)
        assert prior.logpdf(value) == pytest.approx(expected, abs=1e-8)


def test_very_wide_priors_have_densities():
    wide = LogUniformPrior(1e-200, 1e200)
    assert wide.logpdf(1.0) == pytest.approx(-np.log(400.0 * np.log(10.0)))
    assert wide.cdf(1.0) == pytest.approx(0.5) and wide.ppf(0.5) == pytest.approx(1.0)
    with pytest.raises(ModelError, match="farther"):
        UniformPrior(-1e308, 1e308)


def test_far_ends_of_distributions():
    normal = GaussianPrior(0.0, 1.0)
    assert normal.cdf(-np.inf) == 0.0 and normal.cdf(np.inf) == 1.0
    for nu in (0.9e4, 1.1e4, 1e8, 1e300):
        tail = -0.5 * (nu + 1.0) * np.log1p(4.0 / nu)
        expected = st.norm.logpdf(2.0) + (tail + 2.0) - 0.25 / nu
        assert StudentTPrior(nu).logpdf(2.0) == pytest.approx(expected, abs=1e-10)
