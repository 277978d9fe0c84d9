"""MAP on densities whose maxima are known."""

import numpy as np
import pytest
from scipy import optimize, special

import classy_pm as cpm
from classy_pm.demo import TRANSMITTANCE, WAVELENGTH, Gaussian
from classy_pm.errors import SearchError, SettingError
from classy_pm.plan import make_plan
from classy_pm.search.climb import GradientClimber
from classy_pm.search.start import Mode


class Point:
    def __init__(self, x=0.0, y=0.0):
        self.x, self.y = x, y


class Bowl(cpm.Analysis):
    """A normal density in x and y, with correlation 0.8."""

    def __init__(self, x, y, sd=0.1):
        self.x, self.y, self.sd = x, y, sd

    def log_likelihood_function(self, instance):
        x, y = instance.x - self.x, instance.y - self.y
        return -0.5 * (x**2 + y**2 - 1.6 * x * y) / (0.36 * self.sd**2)


class Impossible(Bowl):
    """The same, where the sum is below two, of which it says so."""

    def log_likelihood_function(self, instance):
        if instance.x + instance.y < 2.0:
            raise cpm.FitException
        return -0.5 * (instance.x**2 + instance.y**2) / self.sd**2


class Slope(cpm.Analysis):
    """Rises with x, falls with y, without end."""

    def log_likelihood_function(self, instance):
        return 3.0 * instance.x - 2.0 * instance.y


def box(lower=0.0, upper=1.0):
    return cpm.Model(Point, x=cpm.UniformPrior(lower, upper), y=cpm.UniformPrior(lower, upper))


def climbed(model, analysis, **settings):
    """Fit, and check that nothing in the prior is higher than the result."""
    result = cpm.MAP(random_seed=1, **settings).fit(model, analysis)
    plan = make_plan(model)
    vectors = plan.draws(400, 2)
    values = []
    for vector in vectors:
        try:
            values.append(float(analysis.log_likelihood_function(plan.instance(vector))))
        except cpm.FitException:
            values.append(-np.inf)
    (height,) = np.add(result.samples.log_likelihood_list, result.samples.log_prior_list)
    assert height >= np.max(plan.log_prior(vectors) + values)
    assert height == pytest.approx(result.attributes["modes"][0])
    return result


# -- the maximum ------------------------------------------------------------------------------------


class Line(cpm.Analysis):
    """NIST's Eckerle4 by least squares."""

    def __init__(self, xvalues, data):
        self.xvalues, self.data = xvalues, data

    def log_likelihood_function(self, instance):
        return -0.5 * np.sum(((self.data - instance.profile_from_xvalues(self.xvalues)) / 0.007) ** 2)


@pytest.mark.parametrize("likelihood", ["trace", "blackbox"])
def test_with_flat_priors_it_is_least_squares(likelihood):
    model = cpm.Model(
        Gaussian,
        centre=cpm.UniformPrior(400.0, 500.0),
        intensity=cpm.UniformPrior(0.0, 20.0),
        sigma=cpm.UniformPrior(0.1, 30.0),
    )

    def profile(x, *values):
        return Gaussian(*values).profile_from_xvalues(x)

    expected, _ = optimize.curve_fit(
        profile, WAVELENGTH, TRANSMITTANCE, p0=[450.0, 4.0, 4.0], ftol=1e-14, xtol=1e-14
    )
    result = climbed(model, Line(WAVELENGTH, TRANSMITTANCE), likelihood=likelihood)
    np.testing.assert_allclose(result.samples.parameter_lists[0], expected, rtol=1e-6)
    assert result.notices == [] and result.attributes["kind"] == "optimum"


class Straight(cpm.Analysis):
    def __init__(self, xvalues, data):
        self.xvalues, self.data = xvalues, data

    def log_likelihood_function(self, instance):
        return -0.5 * np.sum(((self.data - instance.x - instance.y * self.xvalues) / 0.5) ** 2)


def test_with_normal_priors_it_is_the_known_point():
    xvalues = np.linspace(0.0, 5.0, 20)
    data = 1.0 + 2.0 * xvalues + np.random.default_rng(1).normal(0.0, 0.5, 20)
    model = cpm.Model(Point, x=cpm.GaussianPrior(0.0, 0.3), y=cpm.GaussianPrior(3.0, 0.1))
    design = np.stack([np.ones(20), xvalues], axis=-1) / 0.5
    precision = np.diag([1 / 0.3**2, 1 / 0.1**2])
    expected = np.linalg.solve(design.T @ design + precision, design.T @ data / 0.5 + precision @ [0.0, 3.0])
    result = climbed(model, Straight(xvalues, data))
    np.testing.assert_allclose(result.samples.parameter_lists[0], expected, rtol=1e-8)


def test_the_density_is_that_in_the_parameters_own_units():
    """On the scale of its logarithm the maximum of this prior is at exp(1)."""
    model = cpm.Model(Point, x=cpm.LogGaussianPrior(1.0, 0.5), y=cpm.GaussianPrior(0.0, 1.0))

    class Y(cpm.Analysis):
        def log_likelihood_function(self, instance):
            return -0.5 * (instance.y - 2.0) ** 2

    result = climbed(model, Y(), likelihood="blackbox")
    np.testing.assert_allclose(result.samples.parameter_lists[0], [np.exp(1.0 - 0.25), 1.0], rtol=1e-4)


def test_the_likelihood_alone_can_be_maximised_and_what_it_does_not_decide_is_told():
    model = cpm.Model(Point, x=cpm.GaussianPrior(0.0, 0.1), y=cpm.GaussianPrior(1.0, 2.0))

    class X(cpm.Analysis):
        def log_likelihood_function(self, instance):
            return -0.5 * (instance.x - 3.0) ** 2

    result = cpm.MAP(objective="likelihood", likelihood="blackbox", random_seed=1).fit(model, X())
    assert result.instance.x == pytest.approx(3.0, abs=1e-4)
    (notice,) = result.notices
    assert "mostly along `y`" in notice


# -- limits and edges --------------------------------------------------------------------------------


@pytest.mark.parametrize("likelihood", ["trace", "blackbox"])
def test_an_optimum_at_a_limit_is_on_the_limit(likelihood):
    result = climbed(box(), Slope(), likelihood=likelihood)
    assert result.samples.parameter_lists == [[1.0, 0.0]]
    assert result.attributes["at_limit"] == ["x", "y"]
    assert any("at a limit of `x`, `y`" in notice for notice in result.notices)


def test_what_depends_on_a_parameter_at_its_limit_is_at_its_own_optimum():
    model = cpm.Model(Point, x=cpm.UniformPrior(0.0, 1.0), y=cpm.UniformPrior(-5.0, 5.0))
    result = climbed(model, Bowl(1.5, 0.2), likelihood="blackbox")
    assert result.attributes["at_limit"] == ["x"]
    np.testing.assert_allclose(result.samples.parameter_lists[0], [1.0, 0.2 - 0.8 * 0.5], atol=1e-5)


@pytest.mark.parametrize("kind", ["assertion", "FitException"])
def test_an_optimum_at_an_edge_is_found_and_told(kind):
    model = box(-5.0, 5.0)
    if kind == "assertion":
        model.add_assertion(model.x + model.y > 2.0)
    result = climbed(model, Impossible(0.0, 0.0), likelihood="blackbox")
    np.testing.assert_allclose(result.samples.parameter_lists[0], [1.0, 1.0], atol=0.02)
    (notice,) = result.notices
    assert "edge" in notice


class Quadratic(cpm.Analysis):
    def log_likelihood_function(self, instance):
        return -50.0 * (instance.x**2 + instance.y**2)


def test_a_gradient_that_leads_to_an_edge_is_followed_along_it():
    model = box(-5.0, 5.0)
    model.add_assertion(model.x + model.y > 2.0)
    result = climbed(model, Quadratic())
    np.testing.assert_allclose(result.samples.parameter_lists[0], [1.0, 1.0], atol=0.02)
    assert any("edge" in notice for notice in result.notices)


def test_a_density_without_maximum_is_refused():
    model = cpm.Model(Point, x=cpm.BetaPrior(0.5, 0.5), y=cpm.UniformPrior(0.0, 1.0))
    with pytest.raises(SearchError, match="infinite where `x` is"):
        cpm.MAP(likelihood="blackbox", random_seed=1).fit(model, Bowl(0.5, 0.5, sd=10.0))


class Population(cpm.Analysis):
    def log_likelihood_function(self, instance):
        return -0.5 * np.sum((instance.members - np.array([1.0, 2.0, 4.0])) ** 2)


def test_a_population_whose_width_goes_to_zero_is_told():
    model = cpm.Collection(width=cpm.HalfGaussianPrior(5.0))
    model.members = cpm.Array(3, cpm.GaussianPrior(2.0, model.width))
    result = cpm.MAP(random_seed=1).fit(model, Population())
    assert any("limit of `width`" in notice and "without end" in notice for notice in result.notices)


class Tenths(cpm.Analysis):
    """A scale that is known to a twentieth of itself."""

    def log_likelihood_function(self, instance):
        return -0.5 * (np.log(instance.x / 0.01) / 0.05) ** 2 - 0.5 * instance.y**2


@pytest.mark.parametrize("likelihood", ["trace", "blackbox"])
def test_far_within_a_prior_of_many_decades_is_not_beside_its_limit(likelihood):
    model = cpm.Model(Point, x=cpm.LogUniformPrior(1e-6, 1e6), y=cpm.UniformPrior(-5.0, 5.0))
    result = cpm.MAP(likelihood=likelihood, random_seed=1).fit(model, Tenths())
    assert result.notices == [] and result.attributes["at_limit"] == []
    assert result.instance.x == pytest.approx(0.01 * np.exp(-(0.05**2)), rel=1e-4)


def test_an_optimum_at_a_limit_of_a_prior_of_many_decades_is_on_it():
    model = cpm.Model(Point, x=cpm.LogUniformPrior(0.1, 1e7), y=cpm.UniformPrior(-5.0, 5.0))
    result = cpm.MAP(likelihood="blackbox", random_seed=1).fit(model, Tenths())
    assert result.attributes["at_limit"] == ["x"] and result.instance.x == 0.1


# -- several modes, and none --------------------------------------------------------------------------


class Peaks(cpm.Analysis):
    """The higher peak is at 3; the other, at -3, holds more."""

    def log_likelihood_function(self, instance):
        x = instance.x
        peaks = np.array(
            [np.log(0.7) - 0.5 * ((x - 3.0) / 0.1) ** 2, np.log(0.3) - 0.5 * ((x + 3.0) / 0.3) ** 2]
        )
        return special.logsumexp(peaks) - 0.5 * instance.y**2


def test_the_highest_of_several_modes_is_the_result_and_all_are_told():
    result = climbed(box(-10.0, 10.0), Peaks(), likelihood="blackbox")
    np.testing.assert_allclose(result.samples.parameter_lists[0], [3.0, 0.0], atol=1e-4)
    heights, vectors = (np.array(result.attributes[name]) for name in ("modes", "mode_vectors"))
    np.testing.assert_allclose(heights[0] - heights[1], np.log(0.7 / 0.3), atol=1e-6)
    np.testing.assert_allclose(vectors[1], [-3.0, 0.0], atol=1e-4)
    assert any("2 optima" in notice for notice in result.notices)


def test_a_likelihood_that_is_never_possible_is_told():
    class Never(Bowl):
        def log_likelihood_function(self, instance):
            return np.nan if instance.x > 0.0 else -np.inf

    with pytest.raises(SearchError, match=r"zero at all of 400.*NaN at (2\d) and -inf at"):
        cpm.MAP(likelihood="blackbox", random_seed=1).fit(box(-1.0, 1.0), Never(0.0, 0.0))


@pytest.mark.parametrize("search", [cpm.MAP, cpm.Laplace])
def test_no_optimum_of_which_the_density_is_no_number_is_given(search, monkeypatch):
    def nowhere(problem, function, points_of, **settings):
        return [Mode(np.full(2, np.nan), -np.inf, np.eye(2))]

    for module in ("maximum", "laplace"):
        monkeypatch.setattr(f"classy_pm.search.{module}.modes_of", nowhere)
    with pytest.raises(SearchError, match="No maximum was found") as caught:
        search(likelihood="blackbox", random_seed=1).fit(box(), Bowl(0.3, 0.6))
    assert "finite" in str(caught.value) and "check_gradient" in str(caught.value)


def test_a_gradient_that_is_infinite_in_a_place_leaves_a_point_there():
    def log_density(point):
        gradient = -point if abs(point[0]) < 1.0 else np.array([np.inf])
        return -0.5 * float(point @ point), gradient

    climber = GradientClimber(log_density, np.ones(1))
    assert np.isfinite(climber.climb(np.array([2.0]))).all()


# -- as any search -----------------------------------------------------------------------------------


def point(**settings):
    search = cpm.MAP(likelihood="blackbox", **settings)
    return search.fit(box(), Bowl(0.3, 0.6)).samples.parameter_lists


def test_the_same_seed_gives_the_same_point():
    assert point(random_seed=1) == point(random_seed=1) != point(random_seed=2)


def test_the_point_does_not_depend_on_the_cores(processes):
    assert point(random_seed=1, number_of_cores=2) == point(random_seed=1)


def test_it_is_filed_and_read_again(tmp_path):
    search = cpm.MAP(likelihood="blackbox", random_seed=1)
    first, second = (search.fit(box(), Bowl(0.3, 0.6), catalog=tmp_path / "fits.sqlite") for _ in range(2))
    assert second.from_catalog and not first.from_catalog
    assert first.samples.parameter_lists == second.samples.parameter_lists
    assert second.instance.x == pytest.approx(0.3, abs=1e-5)


def test_settings_that_cannot_be_are_refused():
    with pytest.raises(SettingError, match="starts"):
        cpm.MAP(starts=0)
