"""Pipelines: fits whose priors are the posterior of a fit before."""

import numpy as np
import pytest

import classy_pm as cpm
from classy_pm.catalog import StaleFitError, part_key
from classy_pm.plan import make_plan
from classy_pm.result import tree as trees
from classy_pm.result.graphs import make_result
from classy_pm.result.tree import make_tree
from classy_pm.search import chains
from classy_pm.search.base import Search
from classy_pm.search.checkpoint import read_chain
from classy_pm.search.problem import Draws, Problem
from classy_pm.search.progress import Report
from classy_pm.search.stale import chained_numbers, same_numbers


class Point:
    def __init__(self, x=0.0, y=0.0):
        self.x, self.y = x, y


class Measured(cpm.Analysis):
    def __init__(self, x, y):
        self.x, self.y = x, y

    def log_likelihood_function(self, instance):
        return -0.5 * ((instance.x - self.x) / 0.1) ** 2 - 0.5 * ((instance.y - self.y) / 0.2) ** 2


class Known(Search):
    """Draws from a normal distribution, whatever the model is; `shift` is no part of its identity."""

    _not_identity = (*Search._not_identity, "shift")
    shift: float = 0.0
    number: int = 200

    def _run(self, problem):
        spread = np.random.default_rng(1).normal(0.0, 0.1, (1, self.number, problem.plan.size))
        return Draws(5.0 + self.shift + spread)


@pytest.fixture
def model():
    return cpm.Model(Point, x=cpm.UniformPrior(0.0, 10.0), y=cpm.UniformPrior(0.0, 10.0))


def test_a_pipeline_that_is_run_twice_reads_both_fits(model, tmp_path):
    def pipeline():
        with cpm.Catalog(tmp_path / "fits.sqlite") as catalog:
            search = cpm.Emcee(nwalkers=8, nsteps=150, progress=False, random_seed=1)
            first = search.fit(model, Measured(4.0, 6.0), catalog=catalog)
            bounded = first.model_bounded(3.0)
            bounded.y = first.instance.y
            second = search.fit(bounded, Measured(4.5, 6.0), catalog=catalog)
            third = search.fit(second.model, Measured(4.6, 6.0), catalog=catalog)
            return [first, second, third]

    before, after = pipeline(), pipeline()
    assert [fit.from_catalog for fit in before] == [False] * 3
    assert [fit.from_catalog for fit in after] == [True] * 3
    assert [fit.identifier for fit in before] == [fit.identifier for fit in after]
    assert abs(after[2].samples.median_pdf_vector[0] - 4.6) < 0.1


def test_the_model_that_is_read_from_a_catalogue_has_the_same_identity(model, tmp_path):
    first = Known().fit(model, Measured(5.0, 5.0), catalog=tmp_path / "fits.sqlite")
    second = Known().fit(first.model, Measured(5.1, 5.0), catalog=tmp_path / "fits.sqlite")
    aggregator = cpm.Aggregator.from_database(tmp_path / "fits.sqlite").register(Point)
    keys = {part_key(make_plan(read).identity) for read in aggregator.values("model")}
    assert keys == {part_key(make_plan(each).identity) for each in (model, first.model)}
    (read,) = (each for each in aggregator.values("result") if each.identifier == second.identifier)
    next_key, read_key = (part_key(make_plan(each.model).identity) for each in (second, read))
    assert next_key == read_key, "and so have the models that are made of it"


@pytest.fixture
def run_again(model, tmp_path):
    """The first fit, run again with other draws, after a second was made of the run before."""
    catalog, analysis = tmp_path / "fits.sqlite", Measured(5.0, 5.0)
    first = Known().fit(model, analysis, catalog=catalog)
    second = Known().fit(first.model, analysis, catalog=catalog)
    moved = Known(shift=0.5).fit(model, analysis)
    assert moved.identifier == first.identifier
    return lambda **options: (second, Known().fit(moved.model, analysis, catalog=catalog, **options))


def test_a_fit_whose_parent_was_run_again_is_not_returned_silently(run_again):
    with pytest.raises(
        StaleFitError, match=r'(?s)prior of x.*run again.*where it has 5\.4889.*on_change="rerun"'
    ):
        run_again()


def test_what_is_done_with_it_is_as_for_a_likelihood_that_has_changed(run_again):
    before, reused = run_again(on_change="reuse")
    assert reused.from_catalog and reused.identifier == before.identifier
    with pytest.warns(UserWarning, match="has been run again"):
        _, warned = run_again(on_change="warn")
    assert warned.from_catalog
    _, again = run_again(on_change="rerun")
    assert not again.from_catalog and again.identifier == before.identifier
    _, read = run_again()
    assert read.from_catalog, "it is the answer to the priors of today"


def test_numbers_that_differ_by_rounding_alone_are_the_same():
    numbers = np.array([50.0, 1e-3])
    assert same_numbers(numbers, numbers * (1.0 + 1e-13)) and same_numbers([1e-17, 1.0], [-1e-17, 1.0])
    assert not same_numbers(numbers, [50.0, 1.01e-3]) and not same_numbers(numbers, [50.0 + 1e-6, 1e-3])
    assert not same_numbers([], numbers) and same_numbers([], [])


def test_a_chain_that_was_kept_with_other_priors_is_not_taken(model, tmp_path):
    def problem(shift, folder):
        chained = Known(shift=shift).fit(model, Measured(5.0, 5.0)).model
        return Problem(make_plan(chained), Measured(5.0, 5.0), "blackbox", 1, 1, Report(False), folder, 0.0)

    runs = []

    def run(problem, number):
        runs.append(number)
        return {"vectors": np.full((3, problem.plan.size), 5.0)}

    for shift, expected in ((0.0, [0]), (0.0, [0]), (0.5, [0, 0])):
        found = chains.run_chains(problem(shift, tmp_path / "fit"), 1, run)
        assert runs == expected and set(found) == {"vectors"}
    assert read_chain(tmp_path / "fit", 0) is not None


# -- graphs of factors --------------------------------------------------------------------------------


def graph_of(names="abc", shape=()):
    factors, slope = [], cpm.UniformPrior(0.0, 10.0)
    parent = cpm.HierarchicalFactor(
        cpm.GaussianPrior, mean=cpm.UniformPrior(0.0, 10.0), sigma=cpm.UniformPrior(0.0, 3.0)
    )
    for name in names:
        own = cpm.UniformPrior(0.0, 10.0)
        one = cpm.Collection(
            slope=slope, own=cpm.Array(shape, own) if shape else own, drawn=cpm.UniformPrior(0.0, 10.0)
        )
        parent.add_drawn_variable(one.drawn)
        factors.append(cpm.AnalysisFactor(one, Measured(5.0, 5.0), name=name))
    return cpm.FactorGraphModel(*factors, parent)


def graph_result(graph, seed=1, fit="0123456789abcdef" * 4):
    plan = make_plan(graph)
    vectors = 2.0 + np.random.default_rng(seed).normal(0.0, 0.1, (1, 300, plan.size))
    posterior = dict(zip(plan.names, plan.split(vectors), strict=True))
    dims = {name: plan.dims[name] for name in plan.dims}
    zeros, each = np.zeros((1, 300)), {trees.FACTOR_LOG_LIKELIHOOD: np.zeros((1, 300, 3))}
    coords = {**plan.layout.coords, "factor": list("abc")}
    dims[trees.FACTOR_LOG_LIKELIHOOD] = ("factor",)
    tree = make_tree(posterior, zeros, zeros, free=plan.names, dims=dims, coords=coords, stats=each)
    return make_result(graph, tree, identifier=fit)


RULES = {
    "model": lambda result: result.model,
    "absolute": lambda result: result.model_centred_absolute(0.5),
    "relative": lambda result: result.model_centred_relative(0.1),
    "bounded": lambda result: result.model_bounded(0.5),
}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("shape", [(), (2,)])
def test_a_graph_is_chained_as_a_model_is(rule, shape):
    result = graph_result(graph_of(shape=shape))
    graph = RULES[rule](result)
    assert isinstance(graph, cpm.FactorGraphModel) and RULES[rule](result) is graph
    plan = make_plan(graph)
    assert plan.names == make_plan(result._model).names
    assert len({graph[name].slope for name in "abc"}) == 1
    family = "UniformPrior" if rule == "bounded" else "GaussianPrior"
    entries = dict(plan.identity["parameters"])
    of_members = next(name for name in plan.names if name == "drawn")
    for name, entry in entries.items():
        if name == of_members:
            assert "arguments" in entry, "what is drawn from a parent has that prior alone"
        else:
            count = 3 if name == "own" else 1
            assert entry["prior"] == family and len(entry["from"]) == count
            assert len({origin["parameter"] for origin in entry["from"]}) == count
    assert np.isfinite(plan.log_prior(np.array(result.samples.median_pdf_vector)))
    other = graph_result(graph_of(shape=shape), seed=2)
    assert part_key(make_plan(RULES[rule](other)).identity) == part_key(plan.identity)
    numbers = [chained_numbers(make_plan(RULES[rule](each))) for each in (result, other)]
    assert numbers[0].keys() == numbers[1].keys() == set(plan.names) - {of_members}
    assert not any(same_numbers(numbers[0][name], numbers[1][name]) for name in numbers[0])
    # Each number has the prior that is made of its own draws.
    name = "lower_limit" if rule == "bounded" else "mean"
    places = [place for place, path in enumerate(plan.element_names) if path.startswith("own")]
    made = np.ravel(plan.parameters[plan.names.index("own")].prior.arguments[name])
    np.testing.assert_allclose(
        made + 0.5 * (rule == "bounded"), np.array(result.samples.median_pdf_vector)[places]
    )


@pytest.mark.parametrize("rule", RULES)
def test_the_model_of_one_data_set_of_a_graph_comes_from_that_data_set(rule):
    result = graph_result(graph_of())
    models = {name: RULES[rule](result[name]) for name in "ab"}
    keys = {part_key(make_plan(model).identity) for model in models.values()}
    assert len(keys) == 2, "the same names, of other data sets"
    origin, parent = (models["a"].own.origins[0], models["a"].drawn.arguments["mean"].origins[0])
    assert origin.factor == parent.factor == "a" and origin.parameter == "own"


def test_data_sets_with_priors_of_several_fits_are_one_plate(model):
    fits = [
        Known(shift=shift, number=50 + place).fit(model, Measured(5.0, 5.0))
        for place, shift in enumerate((0.0, 1.0))
    ]
    factors = [
        cpm.AnalysisFactor(fit.model, Measured(5.0, 5.0), name=name)
        for fit, name in zip(fits, "ab", strict=True)
    ]
    plan = make_plan(cpm.FactorGraphModel(*factors))
    entry = dict(plan.identity["parameters"])["x"]
    assert [origin["fit"] for origin in entry["from"]] == [fit.identifier for fit in fits]
    factors[1].prior_model.x = cpm.GaussianPrior(6.0, 0.1, 0.0, 10.0)
    mixed = dict(make_plan(cpm.FactorGraphModel(*factors)).identity["parameters"])
    assert "arguments" in mixed["x"] and "from" in mixed["y"]
