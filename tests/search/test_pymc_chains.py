"""The searches that run PyMC's step methods, on a posterior that is known."""

import numpy as np
import pytest
from known_posterior import Normal, Point, normal_model

import classy_pm as cpm
from classy_pm.search.chains import run_chains
from classy_pm.search.problem import Problem
from classy_pm.search.progress import Report


@pytest.fixture(scope="module")
def model():
    return normal_model()


SEARCHES = {
    "Slice": lambda **kwargs: cpm.Slice(
        **{"draws": 500, "tune": 200, "chains": 2, "random_seed": 1, **kwargs}
    ),
    "DEMetropolisZ": lambda **kwargs: cpm.DEMetropolisZ(
        **{"draws": 3000, "tune": 1000, "chains": 2, "random_seed": 1, **kwargs}
    ),
}


@pytest.fixture(scope="module", params=SEARCHES)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def result(name, model):
    return SEARCHES[name]().fit(model, Normal())


def test_the_posterior_is_the_known_one(result):
    table = result.summary()
    for name, mean, sd in [("x", 3.0, 0.5), ("y", 1.0, 2.0)]:
        error = sd / np.sqrt(table["ess"][name])
        assert abs(table["mean"][name] - mean) < 4.0 * error
        assert abs(table["sd"][name] - sd) < 4.0 * error
    np.testing.assert_allclose(
        result.samples.log_likelihood_list,
        [-0.5 * ((x - 3.0) / 0.5) ** 2 for x, _ in result.samples.parameter_lists],
    )


def test_the_draws_do_not_depend_on_the_number_of_cores(name, model, result, processes):
    apart = SEARCHES[name](number_of_cores=2).fit(model, Normal())
    np.testing.assert_array_equal(apart.samples.parameter_lists, result.samples.parameter_lists)


class PartlyNaN(Normal):
    def log_likelihood_function(self, instance):
        return np.nan if instance.x < 2.5 else super().log_likelihood_function(instance)

    def log_likelihood_gradient(self, instance):
        return np.array([(3.0 - instance.x) / 0.25, 0.0])


@pytest.mark.parametrize("search", [*SEARCHES.values(), cpm.NUTS], ids=[*SEARCHES, "NUTS"])
def test_nan_is_counted_alike_on_one_core_and_on_two(search, model, processes):
    results = [
        search(draws=50, tune=50, chains=3, random_seed=1, likelihood="blackbox", number_of_cores=cores).fit(
            model, PartlyNaN()
        )
        for cores in (1, 2)
    ]
    told = [[notice for notice in result.notices if "NaN" in notice] for result in results]
    assert told[0] == told[1] != []
    np.testing.assert_array_equal(*(result.samples.parameter_lists for result in results))


def test_a_black_box_is_sampled_and_assertions_hold(name):
    model = cpm.Model(Point, x=cpm.UniformPrior(-50.0, 50.0), y=cpm.UniformPrior(0.0, 1.0))
    model.add_assertion(model.x < 3.0)
    result = SEARCHES[name](draws=200, tune=100, likelihood="blackbox").fit(model, Normal())
    vectors = np.array(result.samples.parameter_lists)
    assert np.all(vectors[:, 0] < 3.0) and np.all((vectors[:, 1] > 0.0) & (vectors[:, 1] < 1.0))


def test_a_chain_that_was_finished_is_not_run_again_unless_the_likelihood_was_changed(
    model, tmp_path, monkeypatch
):
    ran = []

    def chain(problem, number):
        ran.append(number)
        if len(ran) == 3:
            raise MemoryError
        return {"vectors": np.random.default_rng(number).normal(size=(5, 2))}

    def run():
        from classy_pm.plan import make_plan

        problem = Problem(
            make_plan(model), Normal(), "auto", 1, 1, Report(False), tmp_path / "fit", checkpoint_interval=0.0
        )
        return run_chains(problem, 4, chain)["vectors"]

    with pytest.raises(MemoryError):
        run()
    kept = run()
    assert ran == [0, 1, 2, 2, 3] and kept.shape == (4, 5, 2)
    for number in range(4):
        np.testing.assert_array_equal(kept[number], np.random.default_rng(number).normal(size=(5, 2)))
    monkeypatch.setattr(Normal, "log_likelihood_function", lambda self, instance: -(instance.x**2))
    run()
    assert ran == [0, 1, 2, 2, 3, 0, 1, 2, 3]


def test_no_chain_is_kept_where_one_of_them_tells_of_another_likelihood(model, tmp_path, monkeypatch):
    """Its ends may lie where the change is not felt, those of another chain where it is."""
    from classy_pm.plan import make_plan

    ran = []

    def chain(problem, number):
        ran.append(number)
        return {"vectors": np.full((5, 2), 10.0 * number)}

    def run():
        problem = Problem(
            make_plan(model), Normal(), "auto", 1, 1, Report(False), tmp_path / "fit", checkpoint_interval=0.0
        )
        run_chains(problem, 2, chain)

    run()
    before = Normal.log_likelihood_function
    monkeypatch.setattr(
        Normal, "log_likelihood_function", lambda self, at: before(self, at) + 1.0 * (at.x > 5.0)
    )
    run()
    assert ran == [0, 1, 0, 1]


class Interrupted(cpm.Analysis):
    """As if Ctrl-C were pressed in the middle of a fit."""

    def __init__(self):
        self.calls = 0

    def __identity__(self):
        return {}

    def log_likelihood_function(self, instance):
        self.calls += 1
        if self.calls == 500:
            raise KeyboardInterrupt
        return -0.5 * float(instance.x) ** 2

    def log_likelihood_gradient(self, instance):
        return np.array([-instance.x])


@pytest.mark.parametrize("name", ["NUTS", "Slice", "DEMetropolisZ", "SMC", "Emcee", "Nautilus", "MAP"])
def test_an_interrupt_ends_every_search_as_what_it_is(name):
    settings = {"MAP": {"starts": 1000}, "Nautilus": {"n_networks": 1}}.get(name, {})
    search = getattr(cpm, name)(likelihood="blackbox", random_seed=1, **settings)
    with pytest.raises(KeyboardInterrupt):
        search.fit(cpm.Collection(x=cpm.GaussianPrior(0.0, 5.0)), Interrupted())
