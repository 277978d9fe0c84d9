"""NUTS on a traced likelihood: the demo against NIST's certified values, and what it refuses."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest
import scipy.optimize

import classy_pm as cpm
from classy_pm.demo import CERTIFIED
from classy_pm.errors import LikelihoodError, SearchError


def test_the_posterior_means_agree_with_the_certified_values(demo_fit):
    _, result = demo_fit
    table = result.summary()
    for name, (value, sd) in CERTIFIED.items():
        allowed = 0.5 * (table["sd"][name] if sd is None else sd)
        assert abs(table["mean"][name] - value) < allowed, name
    for name in ("line.centre", "line.intensity", "line.sigma"):
        # The exact posterior is Student's t with 32 degrees of freedom: a little wider than certified.
        assert table["sd"][name] == pytest.approx(CERTIFIED[name][1] * np.sqrt(32 / 30), rel=0.1)


def test_the_fit_is_well_sampled_and_says_how_it_was_made(demo_fit):
    _, result = demo_fit
    assert result.notices == []
    stages = result.attributes["seconds"]
    assert any("compiling" in stage for stage in stages) and any("mode" in stage for stage in stages)
    assert result.attributes["proof"]


def test_the_pointwise_terms_add_up_to_the_log_likelihood(demo_fit):
    _, result = demo_fit
    terms = result.idata["log_likelihood"]["likelihood"]
    assert terms.dims[:2] == ("chain", "draw") and terms.shape[2] == 35
    np.testing.assert_allclose(
        terms.sum(terms.dims[2]), result.idata["sample_stats"]["total_log_likelihood"], rtol=1e-10
    )


def test_the_demo_writes_its_catalogue_and_pictures_and_reads_them_again(demo_fit, capsys):
    from classy_pm.cli import main

    folder, result = demo_fit
    names = {path.name for path in folder.iterdir()}
    assert {"catalog.sqlite", "fit.png", "corner.png"} <= names
    assert main(["demo", "--folder", str(folder)]) == 0
    output, stages = capsys.readouterr()
    assert "read, not run" in stages and "451.54" in output
    with cpm.Catalog(folder / "catalog.sqlite") as catalog:
        assert len(catalog) == 1 and catalog.find(result.identifier) is not None


def test_a_black_box_is_refused_with_the_reason_and_the_cure(gaussian_model, gaussian_analysis):
    with pytest.raises(SearchError, match="Emcee"):
        cpm.NUTS(likelihood="blackbox").fit(gaussian_model, gaussian_analysis)


def test_a_likelihood_that_cannot_be_traced_is_told_with_the_users_line(gaussian_model, opaque_analysis):
    with pytest.raises(SearchError, match=r"(?s)conftest\.py.*Emcee"):
        cpm.NUTS().fit(gaussian_model, opaque_analysis)


def test_a_fault_of_the_likelihood_is_told_as_what_it_is(gaussian_model, gaussian_analysis):
    class Unsummed(type(gaussian_analysis)):
        def log_likelihood_function(self, instance):
            return self.data - instance.centre

    with pytest.raises(LikelihoodError, match="array of shape"):
        cpm.NUTS().fit(gaussian_model, Unsummed(gaussian_analysis.data, gaussian_analysis.noise_map))


class Peaks(cpm.Analysis):
    """Two equal peaks, far apart."""

    def log_likelihood_function(self, instance):
        x = instance.x
        return np.logaddexp(-0.5 * ((x - 3.0) / 0.05) ** 2, -0.5 * ((x + 3.0) / 0.05) ** 2)


def test_two_modes_are_told_and_the_draws_do_not_depend_on_the_cores():
    model = cpm.Collection(x=cpm.UniformPrior(-5.0, 5.0))
    settings = {"draws": 100, "tune": 200, "chains": 6, "random_seed": 1}
    one = cpm.NUTS(**settings).fit(model, Peaks())
    two = cpm.NUTS(number_of_cores=2, **settings).fit(model, Peaks())
    assert any("2 modes" in notice and "50.0%" in notice for notice in one.notices)
    assert set(np.sign(one.samples.parameter_lists).ravel()) == {-1.0, 1.0}
    np.testing.assert_array_equal(one.idata["posterior"]["x"], two.idata["posterior"]["x"])
    assert "notice" in repr(one)


class Mixture(cpm.Analysis):
    """Two normal peaks in x, of known weights; y is the same in both."""

    def __init__(self, distance, weight, sd):
        self.places, self.log_weights = (distance, -distance), np.log([weight, 1.0 - weight])
        self.sd = sd

    def log_likelihood_function(self, instance):
        one, other = (
            log_weight - 0.5 * ((instance.x - place) / self.sd) ** 2
            for place, log_weight in zip(self.places, self.log_weights, strict=True)
        )
        return np.logaddexp(one, other) - 0.5 * (instance.y - 1.0) ** 2


def mixture_model():
    return cpm.Model(Point, x=cpm.UniformPrior(-5.0, 5.0), y=cpm.GaussianPrior(0.0, 3.0))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_two_modes_of_unequal_weight_are_told_with_where_they_are(seed):
    search = cpm.NUTS(draws=300, tune=300, chains=4, random_seed=seed)
    result = search.fit(mixture_model(), Mixture(3.0, 0.9, 0.1))
    (notice,) = (notice for notice in result.notices if "modes" in notice and "found" in notice)
    place = r"at `x` = {} \(log posterior (.*)\) about {}"
    told = ", ".join([place.format("2.99.", "90.0%"), place.format("-2.99.", "10.0%")])
    heights = [float(height) for height in re.search(told, notice).groups()]
    assert heights[0] - heights[1] == pytest.approx(np.log(9.0), abs=1e-3)
    assert (
        "2 modes" in notice and "`y`" not in notice and "never went" in notice and "Nautilus or SMC" in notice
    )
    # The chains stay where they started, so that they do not agree unless they started in one mode.
    starts = np.sign(result.idata["posterior"]["x"][:, 0])
    assert (len(np.unique(starts)) > 1) == any("R-hat" in notice for notice in result.notices)


def test_a_single_mode_is_not_told():
    result = cpm.NUTS(draws=300, tune=300, chains=4, random_seed=1).fit(mixture_model(), Normal())
    assert result.notices == []


def test_modes_between_which_the_chains_go_often_are_not_told():
    search = cpm.NUTS(draws=2000, tune=500, chains=4, random_seed=1)
    result = search.fit(mixture_model(), Mixture(1.0, 0.7, 0.5))
    assert len(result.attributes["modes"]) == 2 and result.notices == []
    x = result.idata["posterior"]["x"].values
    assert np.mean(x) == pytest.approx(0.4, abs=4.0 * np.std(x) / np.sqrt(result.summary()["ess"]["x"]))


class Point:
    def __init__(self, x=0.0, y=0.0):
        self.x, self.y = x, y


class Normal(cpm.Analysis):
    def log_likelihood_function(self, instance):
        return -0.5 * ((instance.x - 3.0) / 0.5) ** 2 - 0.5 * (instance.y - instance.x) ** 2


@pytest.mark.parametrize(
    "sampler", ["pymc", *(pytest.param(name, marks=pytest.mark.slow) for name in ("numpyro", "blackjax"))]
)
def test_other_samplers_by_name_find_the_same_posterior(sampler):
    pytest.importorskip(sampler)
    model = cpm.Model(Point, x=cpm.UniformPrior(-50.0, 50.0), y=cpm.UniformPrior(-50.0, 50.0))
    search = cpm.NUTS(sampler=sampler, draws=400, tune=400, chains=2, random_seed=1)
    result = search.fit(model, Normal())
    table = result.summary()
    for name, sd in (("x", 0.5), ("y", np.hypot(0.5, 1.0))):
        error = sd / np.sqrt(table["ess"][name])
        assert abs(table["mean"][name] - 3.0) < 4.0 * error and abs(table["sd"][name] - sd) < 4.0 * error
    assert {"diverging", "acceptance_rate"} <= set(result.idata["sample_stats"].data_vars)


def test_a_sampler_that_is_not_installed_is_told(gaussian_model, gaussian_analysis, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(cpm.ClassyError, match=r"classy_pm\[samplers\]"):
        cpm.NUTS(sampler="numpyro").fit(gaussian_model, gaussian_analysis)


SCRIPT = """
import ctypes
import sys
import numpy as np
import pytensor.tensor as pt
import classy_pm as cpm
from classy_pm.demo import TRANSMITTANCE, WAVELENGTH, LineAnalysis, line_model
from classy_pm.graph.native import c_function, rewritten

search = cpm.NUTS(draws=100, tune=200, chains=2, random_seed=1)
samples = search.fit(line_model(), LineAnalysis(WAVELENGTH, TRANSMITTANCE)).samples

# As a population has it: a sum of logs of sums, where the largest term is found by what may raise.
rng = np.random.default_rng(1)
x = pt.tensor(dtype="float64", shape=(2,))
terms = (rng.normal(size=(60, 258)) - x[0]) / pt.exp(x[1])
top = pt.max(terms, axis=-1)
total = pt.sum(pt.sum(pt.exp(terms - top[:, None]), axis=-1) + top) + pt.sum(terms**2)
compiled = c_function(rewritten([x], [pt.reshape(total, (1,))]), ["value"])
pointer, value, values = ctypes.POINTER(ctypes.c_double), np.zeros(1), []
for point in rng.normal(size=(100, 2)):
    assert compiled.ctypes(2, *(each.ctypes.data_as(pointer) for each in (point, value, value))) == 0
    values.append(value[0])
np.savez(sys.argv[1], draws=samples.parameter_lists, values=values, from_cache=compiled.cache_hits)
"""


@pytest.fixture(scope="module")
def cold_and_warm(tmp_path_factory):
    """What the same script gives in a process that compiles all of it, and in one that finds it compiled."""
    folder = tmp_path_factory.mktemp("caches")
    caches = {
        "NUMBA_CACHE_DIR": str(folder / "numba"),
        "PYTENSOR_FLAGS": f"cxx=,base_compiledir={folder / 'pytensor'}",
    }
    found = []
    for name in ("cold", "warm"):
        path = folder / f"{name}.npz"
        subprocess.run([sys.executable, "-c", SCRIPT, path], check=True, env={**os.environ, **caches})
        found.append(np.load(path))
    return found


@pytest.mark.slow
def test_the_same_seed_gives_the_same_draws_with_a_cold_and_a_warm_compile_cache(cold_and_warm):
    """Wrong answer 16 of the reference; numba's fastmath was seen to break this."""
    cold, warm = cold_and_warm
    np.testing.assert_array_equal(cold["draws"], warm["draws"])


@pytest.mark.slow
def test_a_function_that_may_raise_adds_in_the_same_order_with_a_cold_and_a_warm_cache(cold_and_warm):
    cold, warm = cold_and_warm
    assert (cold["from_cache"], warm["from_cache"]) == (0, 1)
    np.testing.assert_array_equal(cold["values"], warm["values"])


class Hidden(cpm.Analysis):
    """Where the logarithm has no number another value counts: NaN is found by comparison with itself."""

    def log_likelihood_function(self, instance):
        value = np.log(instance.x - 0.5)
        return np.where(value != value, 0.0, -2.0) - 0.5 * (instance.y - 1.0) ** 2


def test_a_value_that_is_compared_with_itself_is_asked_whether_it_is_nan():
    model = cpm.Collection(x=cpm.UniformPrior(0.1, 2.0), y=cpm.UniformPrior(0.1, 2.0))
    result = cpm.NUTS(draws=1000, tune=500, chains=4, random_seed=1).fit(model, Hidden())
    below = np.array(result.samples.parameter_lists)[:, 0] < 0.5
    exact = 0.4 / (0.4 + 1.5 * np.exp(-2.0))
    assert np.mean(below) == pytest.approx(exact, abs=4.0 * 0.5 / np.sqrt(1000))


class Rooted(cpm.Analysis):
    def log_likelihood_function(self, instance):
        root = scipy.optimize.brentq(lambda x: x**3 - instance.x, 0.0, 3.0)
        return -0.5 * ((root - 1.0) / 0.05) ** 2


@pytest.mark.slow
def test_a_likelihood_that_solves_an_equation_is_sampled():
    model = cpm.Collection(x=cpm.UniformPrior(0.1, 2.0))
    result = cpm.NUTS(draws=500, tune=500, chains=2, random_seed=1).fit(model, Rooted())
    roots = np.cbrt(np.array(result.samples.parameter_lists)[:, 0])
    # dx = 3 root**2 droot: the prior is flat in x, so that large roots count for more.
    grid = np.linspace(0.7, 1.25, 2001)
    density = grid**2 * np.exp(-0.5 * ((grid - 1.0) / 0.05) ** 2)
    assert np.mean(roots) == pytest.approx(np.average(grid, weights=density), abs=4.0 * 0.05 / np.sqrt(300))


def test_a_wrong_sign_is_told_in_words():
    class Upwards(cpm.Analysis):
        def log_likelihood_function(self, instance):
            return np.sum((np.arange(5.0) - instance.x) ** 2 / instance.y)

    model = cpm.Collection(x=cpm.GaussianPrior(0.0, 10.0), y=cpm.LogUniformPrior(1e-6, 10.0))
    with pytest.raises(SearchError, match="sign of the log likelihood"):
        cpm.NUTS(draws=50, tune=50, chains=2, random_seed=1).fit(model, Upwards())
