"""Emcee on posteriors that are known."""

import numpy as np
import pytest

import classy_pm as cpm
from classy_pm.errors import SearchError, SettingError


class Point:
    def __init__(self, x=0.0, y=0.0):
        self.x, self.y = x, y


class Normal(cpm.Analysis):
    """The likelihood is a normal density in x; y has its prior alone."""

    def __init__(self, mean, sd):
        self.mean, self.sd = mean, sd

    def log_likelihood_function(self, instance):
        return -0.5 * ((instance.x - self.mean) / self.sd) ** 2


@pytest.fixture
def model():
    return cpm.Model(Point, x=cpm.UniformPrior(-50.0, 50.0), y=cpm.GaussianPrior(1.0, 2.0))


@pytest.fixture(scope="module")
def result():
    model = cpm.Model(Point, x=cpm.UniformPrior(-50.0, 50.0), y=cpm.GaussianPrior(1.0, 2.0))
    return cpm.Emcee(nwalkers=20, nsteps=3000, random_seed=1).fit(model, Normal(3.0, 0.5))


def test_the_posterior_is_the_known_one(result):
    table = result.summary()
    for name, mean, sd in [("x", 3.0, 0.5), ("y", 1.0, 2.0)]:
        error = sd / np.sqrt(table["ess"][name])
        assert abs(table["mean"][name] - mean) < 4.0 * error
        assert abs(table["sd"][name] - sd) < 4.0 * error


def test_one_sigma_holds_the_probability_of_one_sigma(result):
    samples = result.samples
    vectors = np.array(samples.parameter_lists)
    for sigma, probability in [(1.0, 0.682689), (3.0, 0.9973)]:
        lower, upper = samples.vector_at_lower_sigma(sigma), samples.vector_at_upper_sigma(sigma)
        inside = np.mean((vectors > lower) & (vectors < upper), axis=0)
        np.testing.assert_allclose(inside, probability, atol=2e-3)
    assert samples.errors_at_sigma(1.0)[0][1] == pytest.approx(0.5, abs=0.05)


def test_each_draw_has_its_own_log_likelihood_and_prior(result, model):
    samples = result.samples
    x, y = np.array(samples.parameter_lists).T
    np.testing.assert_allclose(samples.log_likelihood_list, -0.5 * ((x - 3.0) / 0.5) ** 2, atol=1e-12)
    expected = model.x.logpdf(x) + model.y.logpdf(y)
    np.testing.assert_allclose(samples.log_prior_list, expected, atol=1e-12)
    best = int(np.argmax(samples.log_likelihood_list))
    assert samples.max_log_likelihood_vector == samples.parameter_lists[best]
    assert samples.max_log_likelihood_instance.x == x[best] and samples.max_log_likelihood == max(
        samples.log_likelihood_list
    )


def test_the_same_seed_gives_the_same_draws_and_another_gives_others(model):
    def draw(seed):
        return cpm.Emcee(nwalkers=10, nsteps=50, random_seed=seed).fit(model, Normal(3.0, 0.5)).samples

    np.testing.assert_array_equal(draw(1).parameter_lists, draw(1).parameter_lists)
    np.testing.assert_array_equal(draw(None).parameter_lists, draw(None).parameter_lists)
    assert draw(1).parameter_lists != draw(2).parameter_lists


def test_assertions_and_limits_are_never_left(model):
    model.add_assertion(model.x < 3.0)
    model.y = cpm.UniformPrior(0.0, 1.0)
    vectors = np.array(
        cpm.Emcee(nwalkers=10, nsteps=300, random_seed=1).fit(model, Normal(3.0, 0.5)).samples.parameter_lists
    )
    assert np.all(vectors[:, 0] < 3.0) and np.all((vectors[:, 1] >= 0.0) & (vectors[:, 1] <= 1.0))


def test_derived_parameters_are_in_the_posterior():
    model = cpm.Model(Point, x=cpm.UniformPrior(-50.0, 50.0))
    model.y = 2.0 * model.x
    idata = cpm.Emcee(nwalkers=10, nsteps=50, random_seed=1).fit(model, Normal(3.0, 0.5)).idata
    np.testing.assert_allclose(idata["posterior"]["y"], 2.0 * idata["posterior"]["x"])


def test_nans_are_counted_and_told(model):
    class Sometimes(Normal):
        def log_likelihood_function(self, instance):
            return np.log(instance.x)

    result = cpm.Emcee(nwalkers=10, nsteps=100, random_seed=1).fit(model, Sometimes(0.0, 1.0))
    assert any("NaN" in notice for notice in result.notices)


def test_an_ensemble_that_is_too_short_says_so(model):
    result = cpm.Emcee(nwalkers=10, nsteps=30, random_seed=1).fit(model, Normal(3.0, 0.5))
    assert any("Raise nsteps" in notice for notice in result.notices)


def test_too_few_walkers_are_refused_with_the_number_to_write(model):
    with pytest.raises(SettingError, match="nwalkers=4"):
        cpm.Emcee(nwalkers=2).fit(model, Normal(3.0, 0.5))


def test_a_likelihood_that_is_never_possible_is_told(model):
    class Never(Normal):
        def log_likelihood_function(self, instance):
            raise cpm.FitException

    with pytest.raises(SearchError, match="starting points"):
        cpm.Emcee(nwalkers=10, nsteps=10).fit(model, Never(0.0, 1.0))


def test_convergence_stops_the_ensemble_early(model):
    settings = cpm.AutoCorrelationsSettings(check_size=100, required_length=20, change_threshold=0.2)
    search = cpm.Emcee(nwalkers=20, nsteps=20_000, random_seed=1, auto_correlations_settings=settings)
    assert len(search.fit(model, Normal(3.0, 0.5)).idata["posterior"].draw) < 5000


class LowerMode(cpm.Analysis):
    """A second mode, of the same width and so far below that no walker belongs there."""

    def log_likelihood_function(self, instance):
        here = -0.5 * ((instance.x - 20.0) / 0.5) ** 2
        return np.logaddexp(here, -0.5 * ((instance.x + 20.0) / 0.5) ** 2 - 60.0)


@pytest.mark.slow
def test_walkers_that_are_stuck_are_named(model):
    search = cpm.Emcee(nwalkers=20, nsteps=2000, random_seed=1)
    result = search.fit(model, LowerMode())
    x = result.idata["posterior"]["x"]
    below = np.flatnonzero((x < 0.0).all("draw")).tolist()
    (notice,) = (notice for notice in result.notices if "stuck" in notice)
    assert 0 < len(below) < 20 and f"{len(below)} of 20 walkers are stuck" in notice
    assert f": {', '.join(map(str, below[:5]))}" in notice
    assert any("The walkers do not agree" in notice for notice in result.notices)
    near = cpm.InitializerParamStartPoints({"x": 20.0, "y": 1.0})
    result = cpm.Emcee(nwalkers=20, nsteps=2000, initializer=near, random_seed=1).fit(model, LowerMode())
    assert not any("stuck" in notice or "agree" in notice for notice in result.notices)


def test_a_converged_ensemble_has_no_notice_but_of_what_is_not_used():
    model = cpm.Model(Point, x=cpm.UniformPrior(-50.0, 50.0), y=cpm.GaussianPrior(1.0, 2.0))
    ball = cpm.InitializerBall(0.49, 0.51)
    result = cpm.Emcee(nwalkers=20, nsteps=10_000, initializer=ball, random_seed=1).fit(
        model, Normal(3.0, 0.5)
    )
    assert result.kind == "ensemble"
    assert result.notices == ["The log likelihood does not use `y`: what the fit says of it is the prior."]
    # Which would be told of chains that are independent.
    assert result.summary()["r_hat"].max() > 1.01


def test_more_walkers_than_steps_are_no_reason_to_warn(model, recwarn):
    cpm.Emcee(nwalkers=60, nsteps=40, random_seed=1).fit(model, Normal(3.0, 0.5))
    assert not [str(warning.message) for warning in recwarn if "longer than" in str(warning.message)]
