"""One graph, and its machine code, for many data sets; what it may not be used for."""

import json
import pickle
import threading

import numpy as np
import pytest
from scipy.interpolate import CubicSpline

import classy_pm as cpm
from classy_pm.likelihood.trace import trace
from classy_pm.likelihood.trace.proof import quick_function
from classy_pm.model.origin import Origin
from classy_pm.plan import make_plan
from classy_pm.search.identity import Identity
from classy_pm.search.problem import Problem
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
    """An integer of the data says how many are left out."""

    def __init__(self, data, noise=0.3):
        super().__init__(data, noise)
        self.first = np.array([int(data[0] > -1.1)])

    def log_likelihood_function(self, instance):
        residuals = (self.data - instance.at(self.x)) / self.noise
        return -0.5 * np.sum(residuals[int(self.first[0]) :] ** 2)


class Weighting(Plain):
    """A mask of the data chooses among values."""

    def __init__(self, data, noise=0.3):
        super().__init__(data, noise)
        self.bad = data == data.max()

    def log_likelihood_function(self, instance):
        residuals = (self.data - instance.at(self.x)) / self.noise
        return -0.5 * np.sum(np.where(self.bad, 0.0, residuals**2))


class LeavingOut(Plain):
    """NaN stands for what was not observed."""

    allow_nan = True

    def __init__(self, data, noise=0.3):
        super().__init__(np.where(data == data.max(), np.nan, data), noise)

    def log_likelihood_function(self, instance):
        return -0.5 * np.nansum(((self.data - instance.at(self.x)) / self.noise) ** 2)


class Outside(Plain):
    """Reads something that is not in it."""

    scale = 1.0

    def log_likelihood_function(self, instance):
        return super().log_likelihood_function(instance) * type(self).scale


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


class ByHand(Plain):
    """Has a gradient, and cannot be traced."""

    calls = 0

    def log_likelihood_function(self, instance):
        self.calls += 1
        return float(super().log_likelihood_function(instance))

    def log_likelihood_gradient(self, instance):
        slopes = (self.data - instance.at(self.x)) / self.noise**2
        return np.array([np.sum(slopes), np.sum(slopes * self.x)])

    def __identity__(self):
        return {"data": self.data, "noise": self.noise}


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
    assert (reuse.made, reuse.used, reuse.ordinary) == (1, 3, 0)
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


GRAPHS = {
    **dict.fromkeys([Plain, Counting, Visibilities, Branching, Covariance, Remembering, Weighting], 1),
    # Each of these has an integer, or a spline, in its graph.
    Indexing: 2,
    WithSpline: 3,
    **dict.fromkeys([Refusing, Masking, LeavingOut], 0),
}


def problem_of(analysis, reused=None):
    plan = make_plan(model())
    return Problem(plan, analysis, "trace", 3, 1, Report(False), reused=reused)


def serving(reuse, analysis):
    return reuse.serving(make_plan(model()), analysis, ("model", "search"))


def at_draws(symbolic, plan):
    """Return value and terms at draws of the prior."""
    inputs = list(symbolic.inputs)
    outputs = [symbolic.value, *([] if symbolic.terms is None else [symbolic.terms])]
    function = quick_function(inputs, outputs)
    return [np.asarray(item) for draw in plan.draws(5, 8) for item in function(*plan.split(draw))]


@pytest.mark.parametrize("kind", GRAPHS)
def test_the_likelihood_is_that_of_an_ordinary_fit(kind):
    analyses = many(kind, 4)
    reuse = Reuse(varying_among(analyses))
    for analysis in analyses[:3]:
        ordinary = problem_of(kind(analysis.data)).symbolic
        with serving(reuse, analysis) as reused:
            problem = problem_of(analysis, reused)
            found = problem.symbolic
            assert problem.of_others == (GRAPHS[kind] > 0)
            assert found.plain.analysis is analysis
            assert found.reason == ordinary.reason
            assert found.proof.points == ordinary.proof.points
            assert found.proof.gradient_points == ordinary.proof.gradient_points
            for one, other in zip(
                at_draws(found, problem.plan), at_draws(ordinary, problem.plan), strict=True
            ):
                np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)
    assert reuse.made == GRAPHS[kind]
    assert reuse.used == (3 - GRAPHS[kind] if GRAPHS[kind] else 0)
    assert reuse.ordinary == (0 if GRAPHS[kind] else 3)


@pytest.mark.parametrize("kind", [Branching, Covariance])
def test_the_mode_is_that_of_an_ordinary_fit(kind):
    analyses = many(kind)
    reuse = Reuse(varying_among(analyses))
    fitted(MAP, analyses[0], reuse)
    tree, ordinary = fitted(MAP, analyses[2], reuse), fitted(MAP, kind(analyses[2].data))
    assert (reuse.used, reuse.ordinary) == (1, 0)
    np.testing.assert_allclose(values(tree), values(ordinary), rtol=1e-6)
    assert told(tree, "no_pointwise") == told(ordinary, "no_pointwise")


def test_searches_without_a_gradient_have_the_same_draws():
    search = cpm.Emcee(nwalkers=8, nsteps=30, random_seed=3, likelihood="trace")
    analyses = many(Plain)
    reuse = Reuse(varying_among(analyses))
    trees = [fitted(search, analysis, reuse) for analysis in analyses]
    assert (reuse.made, reuse.used, reuse.ordinary) == (1, 2, 0)
    np.testing.assert_allclose(values(trees[2]), values(fitted(search, analyses[2])), rtol=1e-9)


def test_a_data_set_of_another_length_has_a_graph_of_its_own():
    lengths = (8, 8, 6, 8, 6)
    analyses = [Plain(data_of(number, size=size)) for number, size in enumerate(lengths)]
    reuse = Reuse(varying_among(analyses))
    for analysis in analyses:
        with serving(reuse, analysis) as reused:
            symbolic = problem_of(analysis, reused).symbolic
            assert symbolic.terms.type.shape == analysis.data.shape
    assert (reuse.made, reuse.used) == (2, 3)


def test_what_was_not_told_is_found_out():
    analyses = [*many(Plain), Plain(data_of(3), 0.4), Plain(data_of(4), 0.5)]
    reuse = Reuse()
    found = []
    for analysis in analyses:
        with serving(reuse, analysis) as reused:
            _ = problem_of(analysis, reused).symbolic
        found.append((reuse.made, reuse.used))
    assert found == [(1, 0), (2, 0), (2, 1), (3, 1), (3, 2)]
    assert reuse.varying == varying_among(analyses)


def test_what_changes_elsewhere_is_seen(monkeypatch):
    analyses = many(Outside)
    reuse = Reuse(varying_among(analyses))
    for scale, analysis in zip((1.0, 0.5, 1.0), analyses, strict=True):
        monkeypatch.setattr(Outside, "scale", scale)
        with serving(reuse, analysis) as reused:
            problem = problem_of(analysis, reused)
            vector = problem.plan.draws(1, 5)[0]
            value = problem.symbolic.value.eval(dict(zip(problem.symbolic.inputs, vector, strict=True)))
            assert problem.of_others == (scale == 1.0)
            assert value == pytest.approx(problem.log_likelihood(vector), rel=1e-12)


def test_another_class_of_the_same_name_is_another_model():
    def other():
        class Line:
            def __init__(self, offset=0.0, slope=1.0):
                self.offset, self.slope = offset, slope

            def at(self, x):
                return self.offset + self.slope * x

        return cpm.Model(Line, offset=cpm.GaussianPrior(0.0, 1.0), slope=cpm.UniformPrior(-3.0, 3.0))

    reuse, analysis = Reuse(), Plain(data_of(0))
    for made in (other(), other()):
        plan = make_plan(made)
        with reuse.serving(plan, analysis, ("model", "search")) as reused:
            _ = Problem(plan, analysis, "trace", 3, 1, Report(False), reused=reused).symbolic
    assert (reuse.made, reuse.used) == (2, 0)


def test_priors_of_another_run_of_the_fit_that_they_are_made_of_are_other_priors():
    def chained(mean):
        made = model()
        made.offset = cpm.GaussianPrior(mean, 1e-3)
        made.offset.made_of(Origin("a" * 64, "offset", "model"))
        return made

    one, other = many(Plain, 2)
    reuse = Reuse(varying_among([one, other]))
    search = cpm.MAP(random_seed=1, likelihood="trace")
    first = fitted(search, one, reuse, lambda: chained(0.0))
    second = fitted(search, other, reuse, lambda: chained(5.0))
    assert reuse.ordinary == 0
    assert abs(values(first)[0].item()) < 0.1 and abs(values(second)[0].item() - 5.0) < 0.1


def test_a_process_makes_the_same_graph():
    analyses = many(Plain)
    reuse = Reuse(varying_among(analyses))
    with serving(reuse, analyses[0]) as reused:
        problem = problem_of(analyses[0], reused)
        here = at_draws(problem.symbolic, problem.plan)
        arguments = pickle.loads(pickle.dumps(problem.for_another_process()))
    there = Problem(**arguments, report=Report(False))
    assert there.of_others
    for one, other in zip(at_draws(there.symbolic, there.plan), here, strict=True):
        np.testing.assert_array_equal(one, other)


def test_faults_are_those_of_an_ordinary_fit():
    class Faulty(Plain):
        def log_likelihood_function(self, instance):
            if instance.slope > 0.0:
                raise ValueError("no such slope")
            return super().log_likelihood_function(instance)

    reuse = Reuse()
    with pytest.raises(ValueError, match="no such slope"):
        fitted(MAP, Faulty(data_of(0)), reuse)
    with serving(reuse, Plain(data_of(0))) as reused:
        assert reused is not None


def test_threads_wait_for_their_turn():
    reuse, analysis, begun, order = Reuse(), Plain(data_of(0)), threading.Event(), []

    def other():
        begun.set()
        with serving(reuse, analysis):
            order.append("second")

    thread = threading.Thread(target=other)
    with serving(reuse, analysis) as reused:
        assert reused is not None
        thread.start()
        begun.wait()
        # A fit within a fit has what it needs made for itself.
        with serving(reuse, analysis) as inner:
            assert inner is None
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_what_is_centred_begins_anew():
    def of():
        mean = cpm.GaussianPrior(0.0, 1.0)
        return cpm.Model(Line, offset=mean, slope=cpm.GaussianPrior(mean, 0.7))

    search = cpm.NUTS(draws=40, tune=60, chains=1, random_seed=3, centring={"slope": 0.4})
    analyses = many(Plain)
    reuse = Reuse(varying_among(analyses))
    trees = [fitted(search, analysis, reuse, of) for analysis in analyses]
    again = fitted(search, analyses[0], reuse, of)
    assert (reuse.made, reuse.used, reuse.ordinary) == (1, 3, 0)
    np.testing.assert_array_equal(values(again), values(trees[0]))


def test_black_boxes_are_compiled_once():
    search = cpm.NUTS(draws=40, tune=60, chains=1, random_seed=3, likelihood="blackbox")
    analyses = many(ByHand)
    reuse = Reuse()
    trees = [fitted(search, analysis, reuse) for analysis in analyses]
    assert (reuse.made, reuse.used, reuse.ordinary) == (1, 2, 0)
    calls = [analysis.calls for analysis in analyses]
    ordinary = ByHand(analyses[2].data)
    np.testing.assert_array_equal(values(trees[2]), values(fitted(search, ordinary)))
    assert [analysis.calls for analysis in analyses] == calls
    assert calls[2] == ordinary.calls


def test_what_cannot_be_traced_is_tried_once(monkeypatch):
    from classy_pm.likelihood import reusable

    tried = []
    monkeypatch.setattr(reusable, "trace", lambda *args, **kwargs: tried.append(0) or trace(*args, **kwargs))
    analyses = many(Masking)
    reuse = Reuse(varying_among(analyses))
    for number, analysis in enumerate(analyses):
        analysis.name = f"never read {number}"
        with serving(reuse, analysis) as reused:
            assert not problem_of(analysis, reused).of_others
    assert len(tried) == 1


def test_machine_code_that_is_wrong_is_not_used_again(monkeypatch, fits):
    from classy_pm.search import nutpie_chains

    analyses, _, _ = fits
    answers = iter([False, True, True])
    monkeypatch.setattr(nutpie_chains, "_is_right", lambda problem, compiled: next(answers))
    reuse = Reuse(varying_among(analyses))
    ordinary = [fitted(NUTS, analysis, reuse) for analysis in analyses[:2]]
    assert next(answers, None) is None
    assert (reuse.used, reuse.ordinary) == (0, 2)
    monkeypatch.undo()
    np.testing.assert_array_equal(values(ordinary[1]), values(fitted(NUTS, analyses[1])))
