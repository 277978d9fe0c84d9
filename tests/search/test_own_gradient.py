"""The gradient that an analysis gives itself: a wrong one is refused, a right one is not."""

import numpy as np
import pytest

import classy_pm as cpm
from classy_pm.errors import LikelihoodError, SearchError
from classy_pm.plan import make_plan
from classy_pm.search.own_gradient import check_own_gradient, check_own_gradient_at_prior
from classy_pm.search.problem import Problem
from classy_pm.search.progress import Report


class Normal(cpm.Analysis):
    """Data of an unknown mean and width; its gradient can be made wrong, its value noisy."""

    def __init__(self, wrong=lambda mean, sd, count, sigma: (mean, sd), noise=lambda value: value):
        self.data = np.random.default_rng(1).normal(3.0, 0.5, 50)
        self.wrong, self.noise, self.calls = wrong, noise, 0

    def __identity__(self):
        return {}

    def log_likelihood_function(self, instance):
        self.calls += 1
        if instance.sigma <= 0.0:
            raise ValueError("asked outside of the prior")
        residuals = (self.data - instance.mean) / instance.sigma
        return self.noise(-0.5 * np.sum(residuals**2) - self.data.size * np.log(instance.sigma))

    def log_likelihood_gradient(self, instance):
        residuals, sigma = self.data - instance.mean, instance.sigma
        slopes = np.sum(residuals) / sigma**2, np.sum(residuals**2) / sigma**3 - self.data.size / sigma
        return np.array(self.wrong(*slopes, self.data.size, sigma))


MODEL = cpm.Collection(mean=cpm.UniformPrior(-1e4, 1e4), sigma=cpm.LogUniformPrior(1e-3, 1e3))
NEAR = np.array([[3.1, 0.45], [2.9, 0.55]])
WRONG = {
    "sign": (lambda mean, sd, count, sigma: (mean, -sd), ["sigma"]),
    "scale": (lambda mean, sd, count, sigma: (mean / 2.0, sd), ["mean"]),
    "order": (lambda mean, sd, count, sigma: (sd, mean), ["mean", "sigma"]),
    "missing": (lambda mean, sd, count, sigma: (mean, sd + count / sigma), ["sigma"]),
    "nan": (lambda mean, sd, count, sigma: (np.nan, sd), ["mean"]),
    "infinite": (lambda mean, sd, count, sigma: (np.inf, -np.inf), ["mean", "sigma"]),
}


def problem_of(analysis, model=MODEL):
    return Problem(make_plan(model), analysis, "blackbox", 1, 1, Report(False))


@pytest.mark.parametrize("fault", WRONG)
def test_a_wrong_gradient_is_refused_with_the_parameter_and_both_numbers(fault):
    wrong, names = WRONG[fault]
    with pytest.raises(
        LikelihoodError, match=r"(?s)Normal\.log_likelihood_gradient.*check_gradient"
    ) as caught:
        check_own_gradient(problem_of(Normal(wrong)), NEAR)
    assert [line.split(":")[0] for line in caught.value.faults] == names
    assert "mean, sigma" in str(caught.value)
    slopes = Normal().log_likelihood_gradient(make_plan(MODEL).instance(NEAR[0]))
    for line, name in zip(caught.value.faults, names, strict=True):
        told = float(line.split("differences give ")[1])
        assert told == pytest.approx(slopes[["mean", "sigma"].index(name)], rel=1e-3)


ROUGH = np.random.default_rng(2).normal(size=1000)
NOISES = {
    "none": lambda value: value,
    "rounded": lambda value: round(value, 3),
    "single precision": lambda value: float(np.float32(value)),
    "random": lambda value: value + 1e-3 * ROUGH[hash(float(value)) % 1000],
    "very random": lambda value: value + 3.0 * ROUGH[hash(float(value)) % 1000],
}


@pytest.mark.parametrize("noise", NOISES)
def test_a_right_gradient_is_not_refused_however_noisy_the_likelihood(noise):
    problem = problem_of(Normal(noise=NOISES[noise]))
    check_own_gradient_at_prior(problem)
    for place in range(0, 40, 2):
        scatter = np.random.default_rng(place).normal(size=(2, 2)) * [0.07, 0.05]
        check_own_gradient(problem, np.array([3.0, 0.5]) + scatter)


@pytest.mark.parametrize("noise", ["rounded", "single precision", "random"])
def test_a_wrong_gradient_is_refused_at_a_noisy_likelihood_too(noise):
    with pytest.raises(LikelihoodError, match="sigma"):
        check_own_gradient(problem_of(Normal(WRONG["sign"][0], NOISES[noise])), NEAR)


class Tiny(cpm.Analysis):
    """A number that is known to a tenth of itself, where the prior allows sixteen decades."""

    def __init__(self, sign=1.0):
        self.sign = sign

    def __identity__(self):
        return {}

    def log_likelihood_function(self, instance):
        return -0.5 * (np.log(instance.x / 1e-6) / 0.1) ** 2

    def log_likelihood_gradient(self, instance):
        return [-self.sign * np.log(instance.x / 1e-6) / 0.1**2 / instance.x]


def test_under_a_prior_of_many_decades_the_steps_are_shares_of_the_number():
    model = cpm.Collection(x=cpm.LogUniformPrior(1e-8, 1e8))
    check_own_gradient_at_prior(problem_of(Tiny(), model))
    check_own_gradient(problem_of(Tiny(), model), np.array([[1.1e-6], [9e-7]]))
    with pytest.raises(LikelihoodError, match="x: it gives"):
        check_own_gradient_at_prior(problem_of(Tiny(-1.0), model))
    with pytest.raises(LikelihoodError, match="x: it gives"):
        check_own_gradient(problem_of(Tiny(-1.0), model), np.array([[1.1e-6], [9e-7]]))


def test_a_smooth_likelihood_takes_a_few_calls_a_parameter():
    analysis = Normal()
    problem = problem_of(analysis)
    _ = problem.symbolic
    analysis.calls = 0
    check_own_gradient_at_prior(problem)
    check_own_gradient(problem, NEAR)
    assert analysis.calls <= 20 + 4 * (1 + 5 * 2)


@pytest.mark.parametrize(
    "search",
    [
        cpm.NUTS,
        cpm.ADVI,
        cpm.Pathfinder,
        cpm.Laplace,
        cpm.MAP,
        lambda **kwargs: cpm.NUTS(sampler="pymc", **kwargs),
    ],
    ids=["NUTS", "ADVI", "Pathfinder", "Laplace", "MAP", "PyMC's NUTS"],
)
def test_every_search_that_would_use_a_wrong_gradient_refuses_it(search):
    with pytest.raises(LikelihoodError, match="mean: it gives"):
        search(likelihood="blackbox", random_seed=1).fit(MODEL, Normal(WRONG["scale"][0]))


def test_a_term_that_is_missing_near_the_mode_alone_is_found_before_the_chains():
    model = cpm.Collection(mean=cpm.UniformPrior(-1e4, 1e4), sigma=cpm.UniformPrior(1e-3, 2.0))
    problem = problem_of(Normal(WRONG["missing"][0]), model)
    check_own_gradient_at_prior(problem)  # too far from the data to see it
    with pytest.raises(LikelihoodError, match="sigma: it gives"):
        cpm.NUTS(draws=10, tune=10, chains=1, likelihood="blackbox", random_seed=1).fit(
            model, Normal(WRONG["missing"][0])
        )


def test_a_wrong_gradient_of_a_registered_function_is_refused_by_the_proof():
    @cpm.ops.traceable(gradient=lambda g, x: (-g * np.cos(x),))
    def sine(x):
        return np.sin(x)

    class Registered(cpm.Analysis):
        def log_likelihood_function(self, instance):
            return -0.5 * (sine(instance.x) - 0.3) ** 2

    with pytest.raises(SearchError, match=r"gradient of the traced likelihood by x is .* where differences"):
        cpm.NUTS().fit(cpm.Collection(x=cpm.UniformPrior(-1.0, 1.0)), Registered())
