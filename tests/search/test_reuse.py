"""One graph, and its machine code, for many data sets; what it may not be used for."""

import json
import pickle

import numpy as np
import pytest
from scipy.interpolate import CubicSpline

import classy_pm as cpm
from classy_pm.plan import make_plan
from classy_pm.search.identity import Identity
from classy_pm.search.progress import Report
from classy_pm.search.reuse import Reuse, varying_among

X = np.linspace(-1.0, 1.0, 8)


class Line:
    def __init__(self, offset=0.0, slope=1.0):
        self.offset, self.slope = offset, slope

    def at(self, x):
        return self.offset + self.slope * x


class Plain(cpm.Analysis):
    """Chi-squared of a line."""

    def __init__(self, data, noise=0.3):
        self.x, self.data, self.noise = X[: len(data)], data, noise

    def log_likelihood_function(self, instance):
        return -0.5 * np.sum(((self.data - instance.at(self.x)) / self.noise) ** 2)


class Branching(Plain):
    def log_likelihood_function(self, instance):
        residuals = (self.data - instance.at(self.x)) / self.noise
        if self.data.max() > 1.5:
            return -0.5 * np.sum(residuals**2)
        return -np.sum(np.log1p(residuals**2))


class Refusing(Plain):
    def log_likelihood_function(self, instance):
        if self.data.max() > 100.0:
            raise ValueError("too bright")
        return super().log_likelihood_function(instance)


class Masking(Plain):
    def log_likelihood_function(self, instance):
        good = self.data < 1.0
        return -0.5 * np.sum(((self.data[good] - instance.at(self.x)[good]) / self.noise) ** 2)


class Counting(Plain):
    """Poisson counts."""

    def log_likelihood_function(self, instance):
        rate = np.exp(instance.at(self.x))
        return np.sum(self.data * np.log(rate) - rate)


class Indexing(Plain):
    """Integers of the data say how long something is."""

    def log_likelihood_function(self, instance):
        used = slice(int(self.first), None)
        return -0.5 * np.sum(((self.data - instance.at(self.x)) / self.noise)[used] ** 2)


class WithSpline(Plain):
    def __init__(self, data, noise=0.3):
        super().__init__(data, noise)
        self.spline = CubicSpline(self.x, 0.1 * data)

    def log_likelihood_function(self, instance):
        model = instance.at(self.x) + self.spline(self.x)
        return -0.5 * np.sum(((self.data - model) / self.noise) ** 2)


class Visibilities(Plain):
    def log_likelihood_function(self, instance):
        residuals = self.data - instance.at(self.x) * np.exp(1j * self.x)
        return -0.5 * np.sum((residuals.real**2 + residuals.imag**2) / self.noise**2)


class Remembering(Plain):
    """Computes something of its data at its first call, and counts the calls."""

    calls = 0
    total = None

    def log_likelihood_function(self, instance):
        self.calls += 1
        if self.total is None:
            self.total = np.sum(self.data**2)
        return super().log_likelihood_function(instance) - 0.01 * self.total * instance.slope**2


class Covariance(Plain):
    """Correlated noise of its own."""

    def __init__(self, data, noise=0.3):
        super().__init__(data, noise)
        self.covariance = 0.09 * np.eye(len(data)) + 0.01 * np.outer(data, data)

    def log_likelihood_function(self, instance):
        residuals = self.data - instance.at(self.x)
        return -0.5 * residuals @ np.linalg.inv(self.covariance) @ residuals


def model():
    return cpm.Model(Line, offset=cpm.GaussianPrior(0.0, 1.0), slope=cpm.UniformPrior(-3.0, 3.0))


def data_of(number, kind=Plain, size=8):
    rng = np.random.default_rng(number)
    line = rng.uniform(-0.5, 0.5) + rng.uniform(0.5, 1.5) * X[:size]
    if kind is Counting:
        return rng.poisson(np.exp(line))
    if kind is Visibilities:
        return line * np.exp(1j * X[:size]) + rng.normal(0.0, 0.3, size) + 1j * rng.normal(0.0, 0.3, size)
    return line + rng.normal(0.0, 0.3, size)


def many(kind, count=3):
    return [kind(data_of(number, kind)) for number in range(count)]


def fitted(search, analysis, reuse=None, of=model):
    plan = make_plan(of())
    identity = Identity.of(search, plan, analysis)
    return search._fit(plan, analysis, identity, Report(False), reuse=reuse)


def told(tree, name):
    return json.loads(tree.attrs["fit"])[name]


def values(tree):
    return np.stack([tree["posterior"][name].values for name in ("offset", "slope")])


NUTS = cpm.NUTS(draws=60, tune=100, chains=1, random_seed=3)
MAP = cpm.MAP(random_seed=3, prior_draws=60, starts=3)


@pytest.fixture(scope="module")
def fits():
    """Return the fits of four data sets, by one graph."""
    analyses = many(Plain, 4)
    reuse = Reuse(varying_among(analyses))
    return analyses, reuse, [fitted(NUTS, analysis, reuse) for analysis in analyses]


def test_only_what_differs_varies():
    analyses = many(Plain)
    varying = varying_among(analyses)
    assert varying == {(("attribute", "data"),)}
    assert pickle.loads(pickle.dumps(varying)) == varying
    assert varying_among([*analyses, Plain(analyses[0].data, 0.4)]) > varying


def test_one_graph_serves_all_data_sets(fits):
    analyses, reuse, trees = fits
    assert (reuse.made, reuse.used) == (1, 3)
    for analysis, tree in zip(analyses, trees, strict=True):
        plan = make_plan(model())
        draws = np.moveaxis(values(tree), 0, -1)[0]
        expected = [analysis.log_likelihood_function(plan.build(list(draw))) for draw in draws]
        found = tree["sample_stats"]["total_log_likelihood"].values[0]
        np.testing.assert_allclose(found, expected, rtol=1e-10)
        assert tree["log_likelihood"]["likelihood"].shape[-1] == 8


def test_the_draws_are_those_of_an_ordinary_fit(fits):
    analyses, _, trees = fits
    ordinary = fitted(NUTS, analyses[2])
    assert told(trees[2], "proof")["points"] == told(ordinary, "proof")["points"]
    apart = values(trees[2]).mean(axis=(1, 2)) - values(ordinary).mean(axis=(1, 2))
    assert np.all(np.abs(apart) < 0.6 * values(ordinary).std(axis=(1, 2)))


def test_the_order_of_the_fits_does_not_matter(fits):
    analyses, reuse, trees = fits
    there = pickle.loads(pickle.dumps(reuse))
    assert there.varying == reuse.varying
    for number in (3, 1):
        again = fitted(NUTS, analyses[number], there)
        np.testing.assert_array_equal(values(again), values(trees[number]))
    assert there.made == 1


@pytest.mark.parametrize(
    ("kind", "graphs"),
    [(Counting, 1), (Visibilities, 1), (Branching, 1), (Covariance, 1), (Remembering, 1)]
    + [(Refusing, 0), (Masking, 0), (WithSpline, 3)],
)
def test_what_an_ordinary_fit_finds_is_found(kind, graphs):
    analyses = many(kind)
    reuse = Reuse(varying_among(analyses))
    for number in range(3):
        ordinary = fitted(MAP, kind(analyses[number].data))
        tree = fitted(MAP, analyses[number], reuse)
        np.testing.assert_allclose(values(tree), values(ordinary), rtol=1e-6)
        for name in ("points", "gradient_points"):
            assert told(tree, "proof")[name] == told(ordinary, "proof")[name]
        assert told(tree, "no_pointwise") == told(ordinary, "no_pointwise")
        if "log_likelihood" in ordinary:
            there = (item["log_likelihood"]["likelihood"].values for item in (tree, ordinary))
            np.testing.assert_allclose(*there, rtol=1e-6, atol=1e-10)
    assert reuse.made == graphs
