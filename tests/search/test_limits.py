"""Draws that are crowded at a limit of a prior are told, others are not."""

import numpy as np
import pytest
import scipy.stats as st

import classy_pm as cpm
from classy_pm.plan import make_plan
from classy_pm.search.limits import position_notices


class Pair:
    def __init__(self, x=0.0, y=0.0):
        self.x, self.y = x, y


class WrongSign(cpm.Analysis):
    """chi squared where the log likelihood should be minus half of it."""

    def log_likelihood_function(self, instance):
        return 50.0 * (instance.x + 10.0) ** 2 + 50.0 * (instance.y - 20.0) ** 2


@pytest.mark.parametrize(
    "search",
    [
        cpm.NUTS(draws=200, tune=200, chains=2, random_seed=1),
        cpm.Emcee(nwalkers=20, nsteps=2000, random_seed=1),
    ],
    ids=lambda search: type(search).__name__,
)
def test_the_sign_of_the_log_likelihood_is_doubted(search):
    model = cpm.Model(Pair, x=cpm.UniformPrior(-10.0, 20.0), y=cpm.UniformPrior(-30.0, 20.0))
    result = search.fit(model, WrongSign())
    (notice,) = (notice for notice in result.notices if "crowded" in notice)
    assert "the lower limit -30 of `y`" in notice and "the upper limit 20 of `x`" in notice
    assert "right sign" in notice


def notices(prior, values):
    plan = make_plan(cpm.Collection(x=prior))
    return list(position_notices(plan, np.reshape(values, (-1, 1))))


NORMAL = np.random.default_rng(1).normal(0.0, 1.0, 2000)


@pytest.mark.parametrize(
    ("prior", "values"),
    [
        (cpm.UniformPrior(0.0, 10.0), 5.0 + NORMAL),
        # In the outermost part, but free to go further: known better than its prior.
        (cpm.UniformPrior(0.0, 1e4), 20.0 + NORMAL),
        # An upper limit on what cannot be below zero.
        (cpm.UniformPrior(0.0, 10.0), np.abs(NORMAL)),
        (cpm.LogUniformPrior(1e-3, 1e3), np.exp(np.linspace(np.log(1e-3), np.log(1.0), 2000))),
        (cpm.GaussianPrior(0.0, 1.0), 4.0 + 0.01 * NORMAL),
    ],
)
def test_other_posteriors_are_not_told_of(prior, values):
    assert notices(prior, values) == []


def test_a_prior_that_is_too_narrow_is():
    (notice,) = notices(cpm.UniformPrior(0.0, 1000.0), 1000.0 - np.abs(NORMAL))
    assert "the upper limit 1000 of `x`" in notice
    (notice,) = notices(cpm.GaussianPrior(0.0, 1e3, lower_limit=0.0), np.abs(NORMAL))
    assert (
        "the lower limit 0 of `x`" in notice and "sign" not in notice
    )  # what is positive may be nearly zero


def test_limits_that_are_parameters():
    model = cpm.Collection(top=cpm.UniformPrior(1.0, 2.0))
    model.x = cpm.UniformPrior(0.0, model.top)
    top = 1.5 + 0.1 * np.clip(NORMAL, -3.0, 3.0)
    plan = make_plan(model)
    assert plan.names == ("top", "x")
    assert list(position_notices(plan, np.stack([top, 0.5 * top], axis=-1))) == []
    (notice,) = position_notices(plan, np.stack([np.full(2000, 1.5), 1.5 - 1e-3 * np.abs(NORMAL)], axis=-1))
    assert "the upper limit 1.5 of `x`" in notice


def test_a_peak_beyond_a_limit_is_told_however_wide_the_part_that_is_left():
    """The tail of a normal distribution whose middle lies three standard deviations outside."""
    tail = st.truncnorm.ppf((np.arange(500) + 0.5) / 500, -np.inf, -3.0)
    (notice,) = notices(cpm.UniformPrior(0.0, 9.0), 9.0 + tail + 3.0)
    assert "the upper limit 9 of `x`" in notice and "sign" not in notice
    # A positive parameter whose likelihood falls off from zero, as an upper limit or a variance component.
    assert notices(cpm.UniformPrior(0.0, 9.0), np.linspace(0.0, 1.0, 500) ** 3) == []
    assert notices(cpm.UniformPrior(0.0, 9.0), np.linspace(0.0, 9.0, 500)) == []
    assert notices(cpm.UniformPrior(-1.0, 9.0), st.lognorm(0.5).ppf((np.arange(500) + 0.5) / 500) - 1.0) == []


def test_draws_where_the_prior_expects_nothing_are_told():
    (notice,) = notices(cpm.GaussianPrior(0.0, 50.0), 500.0 + NORMAL)
    assert "`x` lie farther out than one in a million" in notice and "sign" in notice
    (notice,) = notices(cpm.GaussianPrior(0.0, 50.0), [-500.0])
    assert "farther out" in notice
    assert notices(cpm.GaussianPrior(0.0, 50.0), 150.0 + NORMAL) == []


def test_an_angle_that_is_cut_open_at_its_mode_is_told():
    angle = cpm.UniformPrior(0.0, 2.0 * np.pi)
    (notice,) = notices(angle, np.mod(0.1 * NORMAL, 2.0 * np.pi))
    assert "`x` lie at both ends" in notice and "UniformPrior(-np.pi, np.pi)" in notice
    assert notices(angle, np.linspace(0.0, 2.0 * np.pi, 500)) == []
    assert notices(angle, np.mod(NORMAL, 2.0 * np.pi)) == []  # so wide that it fills the middle


class Silent(cpm.Analysis):
    def log_likelihood_function(self, instance):
        return np.exp(-1e4 * (1.0 + instance.x**2 + instance.y**2))


def test_a_likelihood_that_tells_nothing_is_told():
    model = cpm.Model(Pair, x=cpm.UniformPrior(-1.0, 1.0), y=cpm.UniformPrior(-1.0, 1.0))
    result = cpm.Emcee(nwalkers=10, nsteps=200, random_seed=1).fit(model, Silent())
    assert any("tells nothing of the parameters" in notice for notice in result.notices)


class OnlyX(cpm.Analysis):
    def log_likelihood_function(self, instance):
        return -0.5 * ((instance.x - 1.0) / 0.1) ** 2


def test_a_parameter_that_is_not_used_is_told_and_a_parent_is_none():
    laplace = cpm.Laplace(draws=200, random_seed=1)
    model = cpm.Model(Pair, x=cpm.GaussianPrior(0.0, 1.0), y=cpm.GaussianPrior(0.0, 1.0))
    assert laplace.fit(model, OnlyX()).notices == [
        "The log likelihood does not use `y`: what the fit says of it is the prior."
    ]
    mean = cpm.GaussianPrior(0.0, 1.0)
    model = cpm.Model(Pair, x=cpm.GaussianPrior(2.0 * mean, 1.0), y=1.0)
    assert laplace.fit(model, OnlyX()).notices == []
