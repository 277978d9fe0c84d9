"""Priors that are PyMC's or PreliZ's distributions."""

import numpy as np
import preliz
import pymc as pm
import pytest
import scipy.stats as st

from classy_pm.errors import ModelError
from classy_pm.model import Array, Collection, GaussianPrior, Prior, UniformPrior
from classy_pm.plan import make_plan

UNIT = np.linspace(0.01, 0.99, 25)
PAIRS = [
    (Prior(pm.Weibull, alpha=2.0, beta=3.0), st.weibull_min(2.0, scale=3.0)),
    (Prior(pm.Cauchy, alpha=1.0, beta=2.0), st.cauchy(1.0, 2.0)),
    (Prior(pm.InverseGamma, alpha=3.0, beta=2.0), st.invgamma(3.0, scale=2.0)),
    (Prior(pm.Exponential, lam=2.0), st.expon(scale=0.5)),
    (Prior(pm.Gumbel, mu=1.0, beta=2.0), st.gumbel_r(1.0, 2.0)),
    (Prior(pm.Triangular, lower=0.0, c=1.0, upper=4.0), st.triang(0.25, 0.0, 4.0)),
]


@pytest.mark.parametrize(
    ("prior", "scipy"), PAIRS, ids=lambda item: repr(item) if hasattr(item, "family") else ""
)
def test_pymcs_distributions_equal_scipys(prior, scipy):
    values = scipy.ppf(UNIT)
    np.testing.assert_allclose(prior.ppf(UNIT), values, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(prior.cdf(values), scipy.cdf(values), rtol=1e-10)
    np.testing.assert_allclose(prior.logpdf(values), scipy.logpdf(values), rtol=1e-10, atol=1e-12)


def test_a_quantile_that_pymc_lacks_is_found_from_its_probabilities():
    prior = Prior(pm.ExGaussian, mu=1.0, sigma=0.5, nu=2.0)
    np.testing.assert_allclose(prior.cdf(prior.ppf(UNIT)), UNIT, rtol=1e-9)


@pytest.mark.parametrize(
    ("prior", "scipy"),
    [
        (Prior(pm.SkewNormal, mu=1e4, sigma=0.01, alpha=2.0), st.skewnorm(2.0, 1e4, 0.01)),
        (Prior(pm.VonMises, mu=0.5, kappa=2.0), None),
    ],
    ids=["skew normal", "von Mises"],
)
def test_probabilities_that_pymc_lacks_are_integrated(prior, scipy):
    np.testing.assert_allclose(prior.cdf(prior.ppf(UNIT)), UNIT, rtol=1e-9)
    if scipy is not None:
        np.testing.assert_allclose(prior.cdf(scipy.ppf(UNIT)), UNIT, atol=1e-10)
    else:
        assert prior.limits == pytest.approx((-np.pi, np.pi), abs=1e-9)
        values = st.vonmises(2.0, loc=0.5)
        inside = np.linspace(-3.0, 3.0, 13)
        expected = values.cdf(inside) - values.cdf(-np.pi)
        np.testing.assert_allclose(prior.cdf(inside), expected, atol=1e-10)
    draws = prior.sample(500, random_seed=1)
    assert st.kstest(draws, prior.cdf).pvalue > 1e-3


def test_outside_the_support_the_density_is_zero():
    assert Prior(pm.Exponential, lam=1.0).logpdf(-1.0) == -np.inf


def test_its_parameters_may_be_parameters():
    model = Collection(x=Prior(pm.Laplace, mu=GaussianPrior(5.0, 0.1), b=1.0), y=Array(3, PAIRS[0][0]))
    assert model.paths[:2] == [("x", "mu"), ("x",)]
    assert model.instance_from_unit_vector([0.5, 0.5, 0.1, 0.5, 0.9]).x == pytest.approx(5.0)


def test_prelizs_objects_are_priors():
    prior = Prior(preliz.Gamma(2.0, 1.0))
    np.testing.assert_allclose(prior.ppf(UNIT), st.gamma(2.0).ppf(UNIT), rtol=1e-9)
    assert prior.arguments == {"alpha": 2.0, "beta": 1.0} and prior.pymc_name == "Gamma"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Prior(pm.Poisson, mu=3.0), "discrete"),
        (lambda: Prior(pm.Gamma, alfa=1.0), "cannot have the parameters alfa"),
        (lambda: Prior(3), "no distribution"),
        (lambda: Prior(pm.Gamma, alpha=-1.0, beta=1.0), "alpha > 0"),
    ],
)
def test_what_cannot_be_a_prior_is_refused(make, words):
    with pytest.raises(ModelError, match=words):
        make()


def test_each_of_prelizs_objects_keeps_its_own_density():
    model = Collection(a=Prior(preliz.Normal(0.0, 1.0)), b=Prior(preliz.Normal(5.0, 2.0)))
    expected = st.norm(0.0, 1.0).logpdf(0.5) + st.norm(5.0, 2.0).logpdf(0.5)
    assert make_plan(model).log_prior([0.5, 0.5]) == pytest.approx(expected)


def test_a_preliz_object_that_pymc_has_no_distribution_for_is_refused():
    for frozen in (preliz.Truncated(preliz.Gamma(2.0, 1.0), 0.0, 3.0), preliz.BetaScaled(2.0, 3.0, 0.0, 4.0)):
        with pytest.raises(ModelError, match=f"PyMC has no {type(frozen).__name__}"):
            Prior(frozen)


def test_where_a_parameter_makes_a_distribution_impossible_its_density_is_zero():
    model = Collection(alpha=UniformPrior(-1.0, 1.0))
    model.x = Prior(pm.Gamma, alpha=model.alpha, beta=1.0)
    plan = make_plan(model)
    density = plan.log_prior([[-0.5, 0.5], [0.5, 0.5], [-0.1, 0.5], [0.9, 0.5]])
    np.testing.assert_array_equal(np.isfinite(density), [False, True, False, True])
    assert density[1] == pytest.approx(st.gamma(0.5).logpdf(0.5) - np.log(2.0))
    assert np.all(plan.draws(50, random_seed=1)[:, 0] > 0.0)
