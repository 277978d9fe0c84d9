"""Laplace, Pathfinder and ADVI on posteriors that are known, and on some that no normal density can be."""

import numpy as np
import pytest
from scipy import special, stats

import classy_pm as cpm
from classy_pm.errors import SearchError, SettingError
from classy_pm.search.importance import weigh
from classy_pm.search.normals import LowRank, NormalMixture
from classy_pm.search.pathfinder import _inverse_hessian

SEARCHES = {
    "Laplace": cpm.Laplace(random_seed=1),
    "Pathfinder": cpm.Pathfinder(random_seed=1),
    "ADVI": cpm.ADVI(method="fullrank_advi", random_seed=1),
    "mean field": cpm.ADVI(random_seed=1),
}


class Point:
    def __init__(self, x=0.0, y=0.0):
        self.x, self.y = x, y


class Straight(cpm.Analysis):
    """A straight line in data with known noise: with normal priors the posterior is normal."""

    def __init__(self, xvalues, data, sd):
        self.xvalues, self.data, self.sd = xvalues, data, sd

    def log_likelihood_function(self, instance):
        residuals = (self.data - instance.x - instance.y * self.xvalues) / self.sd
        return np.sum(-0.5 * residuals**2 - np.log(self.sd * np.sqrt(2.0 * np.pi)))


XVALUES = np.linspace(0.0, 5.0, 20)
DATA = 1.0 + 2.0 * XVALUES + np.random.default_rng(1).normal(0.0, 0.5, 20)
DESIGN = np.stack([np.ones(20), XVALUES], axis=-1)
PRIOR = np.diag([3.0**2, 2.0**2])
COVARIANCE = np.linalg.inv(DESIGN.T @ DESIGN / 0.5**2 + np.linalg.inv(PRIOR))
MEAN = COVARIANCE @ DESIGN.T @ DATA / 0.5**2
LOG_EVIDENCE = stats.multivariate_normal(
    np.zeros(20), DESIGN @ PRIOR @ DESIGN.T + 0.5**2 * np.eye(20)
).logpdf(DATA)


@pytest.fixture(scope="module")
def normal_fits():
    model = cpm.Model(Point, x=cpm.GaussianPrior(0.0, 3.0), y=cpm.GaussianPrior(0.0, 2.0))
    analysis = Straight(XVALUES, DATA, 0.5)
    return {name: search.fit(model, analysis) for name, search in SEARCHES.items()}


@pytest.mark.parametrize("name", ["Laplace", "Pathfinder", "ADVI"])
def test_a_normal_posterior_is_found(normal_fits, name):
    result = normal_fits[name]
    table, sd = result.summary(), np.sqrt(np.diag(COVARIANCE))
    error = sd / np.sqrt(result.attributes["effective_draws"])
    assert np.all(np.abs(table["mean"] - MEAN) < 4.0 * error)
    assert np.all(np.abs(table["sd"] - sd) < 4.0 * error)
    assert result.attributes["kind"] == "approximation"


@pytest.mark.parametrize("name", ["Laplace", "Pathfinder", "ADVI"])
def test_the_evidence_of_a_normal_posterior_is_exact_and_nothing_is_noticed(normal_fits, name):
    attributes = normal_fits[name].attributes
    error = attributes["log_evidence_error"]
    assert attributes["log_evidence"] == pytest.approx(LOG_EVIDENCE, abs=4.0 * error + 1e-6)
    assert error < 5e-3
    assert normal_fits[name].notices == []


def test_a_mean_field_has_the_means_and_says_that_it_has_not_the_widths(normal_fits):
    result = normal_fits["mean field"]
    assert result.attributes["pareto_k"] > 0.7 and result.attributes["log_evidence"] is None
    (notice,) = result.notices
    assert "Pareto k is" in notice and "biased by an unknown amount" in notice
    assert np.all(np.abs(result.summary()["mean"] - MEAN) < 0.3 * np.sqrt(np.diag(COVARIANCE)))


def test_laplace_has_the_curvature_at_the_mode(normal_fits):
    attributes = normal_fits["Laplace"].attributes
    assert attributes["log_evidence_laplace"] == pytest.approx(LOG_EVIDENCE, abs=1e-6)
    assert attributes["log_evidence"] == pytest.approx(LOG_EVIDENCE, abs=1e-6)
    assert attributes["pareto_k"] == 0.0 and attributes["effective_draws"] == pytest.approx(2000.0, abs=1e-3)
    vectors = np.array(normal_fits["Laplace"].samples.parameter_lists)
    np.testing.assert_allclose(np.cov(vectors.T), COVARIANCE, rtol=0.15)


def test_each_draw_has_its_own_log_likelihood(normal_fits):
    analysis = Straight(XVALUES, DATA, 0.5)
    for result in normal_fits.values():
        samples = result.samples
        for row in range(0, len(samples), 500):
            expected = analysis.log_likelihood_function(Point(*samples.parameter_lists[row]))
            assert samples.log_likelihood_list[row] == pytest.approx(expected, rel=1e-12)


def test_the_widths_that_a_mean_field_finds_too_narrow_are_told():
    model = cpm.Model(Point, x=cpm.GaussianPrior(0.0, 10.0), y=cpm.GaussianPrior(0.0, 10.0))
    correlation = 0.95

    class Correlated(cpm.Analysis):
        def log_likelihood_function(self, instance):
            x, y = instance.x, instance.y
            return -0.5 * (x**2 + y**2 - 2 * correlation * x * y) / (1 - correlation**2)

    plain = cpm.ADVI(importance_resampling="none", random_seed=1).fit(model, Correlated())
    sd = np.std(plain.samples.parameter_lists, axis=0)
    np.testing.assert_allclose(sd, np.sqrt(1 - correlation**2), rtol=0.1)
    assert len(plain.samples) == 2000
    weighted = cpm.ADVI(random_seed=1).fit(model, Correlated())
    assert weighted.attributes["pareto_k"] == plain.attributes["pareto_k"] > 0.7
    assert all(
        any("biased by an unknown amount" in notice for notice in result.notices)
        for result in (plain, weighted)
    )
    assert weighted.attributes["log_evidence"] is None


# -- limits, modes, hierarchies ----------------------------------------------------------------------


class Peaks(cpm.Analysis):
    def log_likelihood_function(self, instance):
        x = instance.x
        return np.logaddexp(
            np.log(0.7) - 0.5 * ((x - 3.0) / 0.1) ** 2, np.log(0.3) - 0.5 * ((x + 3.0) / 0.3) ** 2
        )


@pytest.fixture(scope="module")
def peaks_fits():
    model = cpm.Collection(x=cpm.UniformPrior(-10.0, 10.0))
    return {name: search.fit(model, Peaks()) for name, search in SEARCHES.items() if name != "mean field"}


@pytest.mark.parametrize("name", ["Laplace", "Pathfinder"])
def test_modes_have_their_shares_and_all_of_the_evidence(peaks_fits, name):
    x = peaks_fits[name].idata["posterior"]["x"].values
    assert np.mean(x > 0.0) == pytest.approx(0.07 / 0.16, abs=4.0 * 0.5 / np.sqrt(x.size))
    expected = np.log(np.sqrt(2.0 * np.pi) * 0.16 / 20.0)
    assert peaks_fits[name].attributes["log_evidence_estimate"] == pytest.approx(expected, abs=0.03)


def test_modes_that_one_normal_density_cannot_have_are_told(peaks_fits):
    result = peaks_fits["ADVI"]
    assert any("2 modes" in notice and "the evidence is not given" in notice for notice in result.notices)
    assert result.attributes["log_evidence"] is None
    assert any("2 modes" in notice for notice in peaks_fits["Laplace"].notices)


def test_limits_and_assertions_are_never_left():
    model = cpm.Model(Point, x=cpm.UniformPrior(0.0, 5.0), y=cpm.UniformPrior(-5.0, 5.0))
    model.add_assertion(model.x > model.y)

    class Round(cpm.Analysis):
        def log_likelihood_function(self, instance):
            return -0.5 * ((instance.x - 0.5) ** 2 + instance.y**2) / 0.25

    for search in (cpm.Laplace(random_seed=1, importance_resampling="none"), cpm.Pathfinder(random_seed=1)):
        result = search.fit(model, Round())
        x, y = np.array(result.samples.parameter_lists).T
        assert np.all((x >= 0.0) & (x <= 5.0) & (x > y))
        assert any("impossible" in notice for notice in result.notices)
    with pytest.raises(SearchError, match="nowhere zero"):
        cpm.ADVI(random_seed=1).fit(model, Round())


class Schools(cpm.Analysis):
    """Rubin's (1981) eight schools."""

    effects = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
    sd = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])

    def log_likelihood_function(self, instance):
        return -0.5 * np.sum(((self.effects - instance.theta) / self.sd) ** 2)


def test_a_hierarchy_that_is_no_normal_density_is_told():
    model = cpm.Collection(mu=cpm.GaussianPrior(0.0, 5.0), tau=cpm.HalfGaussianPrior(5.0))
    model.theta = cpm.Array(8, cpm.GaussianPrior(model.mu, model.tau))
    result = SEARCHES["mean field"].fit(model, Schools())
    assert result.attributes["pareto_k"] > 0.7
    assert any("biased by an unknown amount" in notice for notice in result.notices)
    assert result.attributes["log_evidence"] is None
    for name in ("Laplace", "Pathfinder"):
        with pytest.raises(SearchError, match="to the limit of `tau`"):
            SEARCHES[name].fit(model, Schools())


# -- what is refused ---------------------------------------------------------------------------------


class Sum(cpm.Analysis):
    def log_likelihood_function(self, instance):
        return -0.5 * (instance.x + instance.y - 3.0) ** 2


def test_a_direction_without_width_is_refused():
    wide = cpm.Model(Point, x=cpm.UniformPrior(-1e6, 1e6), y=cpm.UniformPrior(-1e6, 1e6))
    with pytest.raises(SearchError, match="1 of 2 directions"):
        cpm.Laplace(random_seed=1).fit(wide, Sum())


def test_a_mode_at_an_edge_is_refused():
    model = cpm.Model(Point, x=cpm.GaussianPrior(0.0, 1.0), y=cpm.GaussianPrior(0.0, 1.0))
    model.add_assertion(model.x + model.y < 1.0)
    with pytest.raises(SearchError, match="No maximum was found"):
        cpm.Laplace(random_seed=1, likelihood="blackbox").fit(model, Sum())


def test_without_a_gradient_laplace_alone_runs():
    model = cpm.Model(Point, x=cpm.GaussianPrior(0.0, 3.0), y=cpm.GaussianPrior(0.0, 2.0))
    analysis = Straight(XVALUES, DATA, 0.5)
    result = cpm.Laplace(likelihood="blackbox", random_seed=1).fit(model, analysis)
    assert result.attributes["log_evidence"] == pytest.approx(LOG_EVIDENCE, abs=1e-4)
    for search in (cpm.Pathfinder(likelihood="blackbox"), cpm.ADVI(likelihood="blackbox")):
        with pytest.raises(SearchError, match=f"{type(search).__name__} needs a gradient"):
            search.fit(model, analysis)


def test_settings_that_cannot_be_are_refused():
    for wrong in (
        {"draws": 50},
        {"importance_resampling": "sir"},
        {"paths": 0},
        {"elbo_draws": 0},
    ):
        with pytest.raises(SettingError, match=next(iter(wrong))):
            cpm.Pathfinder(**wrong)
    with pytest.raises(SettingError, match="fullrank_advi"):
        cpm.ADVI(method="svgd")


@pytest.mark.parametrize("name", ["Laplace", "Pathfinder", "ADVI"])
def test_the_same_seed_gives_the_same_draws(peaks_fits, name):
    model = cpm.Collection(x=cpm.UniformPrior(-10.0, 10.0))
    again = SEARCHES[name].fit(model, Peaks())
    assert again.samples.parameter_lists == peaks_fits[name].samples.parameter_lists


# -- the parts ---------------------------------------------------------------------------------------


def test_pareto_k_is_the_shape_of_the_ratios():
    for shape in (0.2, 0.5, 0.9):
        ratios = stats.genpareto(shape).rvs(20_000, random_state=1)
        assert weigh(np.log(ratios)).pareto_k == pytest.approx(shape, abs=0.1)


def test_equal_ratios_are_exact():
    importance = weigh(np.full(1000, 3.0))
    assert importance.pareto_k == 0.0 and importance.effective_size == pytest.approx(1000.0)
    assert importance.log_evidence == pytest.approx(3.0) and importance.log_evidence_error < 1e-6


def test_the_mean_ratio_is_the_evidence_with_its_error():
    pulls = []
    for seed in range(50):
        points = np.random.default_rng(seed).normal(0.0, 1.0, 1000)
        ratios = stats.norm(0.2, 0.9).logpdf(points) - stats.norm.logpdf(points) + 2.0
        importance = weigh(ratios)
        pulls.append((importance.log_evidence - 2.0) / importance.log_evidence_error)
    assert abs(np.mean(pulls)) < 4.0 / np.sqrt(50) and 0.7 < np.std(pulls) < 1.4


def test_ratios_without_a_tail_have_no_finite_k():
    ratios = np.full(1000, -np.inf)
    ratios[:5] = 0.0
    importance = weigh(ratios)
    assert importance.pareto_k == np.inf
    assert importance.effective_size == pytest.approx(5.0)
    assert importance.log_evidence == pytest.approx(np.log(5 / 1000))


def test_impossible_draws_count_in_the_evidence():
    ratios = np.random.default_rng(1).normal(0.0, 0.1, 1000)
    half = np.where(np.arange(1000) % 2, ratios, -np.inf)
    importance = weigh(half)
    assert importance.pareto_k < 0.5
    assert importance.log_evidence == pytest.approx(special.logsumexp(half) - np.log(1000), abs=1e-3)


def test_the_density_of_a_mixture_is_that_of_scipy():
    rng = np.random.default_rng(1)
    means, factors = rng.normal(size=(2, 3)), rng.normal(size=(2, 3, 3))
    mixture = NormalMixture(means, factors, np.array([0.3, 0.7]))
    points = mixture.draw(50, rng)
    expected = special.logsumexp(
        [
            np.log(weight) + stats.multivariate_normal(mean, factor @ factor.T).logpdf(points)
            for weight, mean, factor in zip([0.3, 0.7], means, factors, strict=True)
        ],
        axis=0,
    )
    np.testing.assert_allclose(mixture.log_density(points), expected)


def test_the_inverse_hessian_is_that_of_the_update_step_by_step():
    rng = np.random.default_rng(1)
    root = rng.normal(size=(5, 5))
    steps = rng.normal(size=(5, 3))
    changes = root @ root.T @ steps
    diagonal = rng.uniform(0.5, 2.0, 5)
    expected = np.diag(diagonal)
    for step, change in zip(steps.T, changes.T, strict=True):
        left = np.eye(5) - np.outer(step, change) / (step @ change)
        expected = left @ expected @ left.T + np.outer(step, step) / (step @ change)
    columns, middle = _inverse_hessian(diagonal, steps, changes)
    np.testing.assert_allclose(np.diag(diagonal) + columns @ middle @ columns.T, expected)
    factor = LowRank.of(diagonal, columns, middle)
    product = factor.scaled(np.eye(5))
    np.testing.assert_allclose(product.T @ product, expected)
    np.testing.assert_allclose(factor.standard(product), np.eye(5), atol=1e-10)
    np.testing.assert_allclose(factor.covariance(np.array([1, 3])), expected[[1, 3]][:, [1, 3]])
    np.testing.assert_allclose(factor.widths, np.sqrt(np.diag(expected)))
    assert factor.log_scale == pytest.approx(0.5 * np.linalg.slogdet(expected)[1])
