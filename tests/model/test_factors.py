"""A graph of factors, read as a model of arrays, is the collection of its factors' models."""

import numpy as np
import pytest

from classy_pm.errors import ModelError, UnknownNameError
from classy_pm.model import (
    AnalysisFactor,
    Array,
    Collection,
    FactorGraphModel,
    GaussianPrior,
    HierarchicalFactor,
    LogUniformPrior,
    Model,
    Node,
    OneFactor,
    UniformPrior,
    layout,
)
from classy_pm.plan import make_plan


class Line:
    def __init__(self, centre, width, flux=1.0):
        self.centre, self.width, self.flux = centre, width, flux


class Likelihood:
    def log_likelihood_function(self, instance):
        return 0.0


def graph_of(models, *parents, names=()):
    names = names or [None] * len(models)
    factors = [AnalysisFactor(model, Likelihood(), name) for model, name in zip(models, names, strict=True)]
    return FactorGraphModel(*factors, *parents)


def own(**given):
    parts = {"centre": UniformPrior(0.0, 100.0), "width": LogUniformPrior(0.1, 10.0), "flux": 1.0, **given}
    return Collection(line=Model(Line, **parts))


def shared_by_all():
    centre = GaussianPrior(50.0, 30.0)
    return [own(centre=centre) for _ in range(3)]


def different_priors():
    return [own(centre=GaussianPrior(10.0 * place, 1.0 + place)) for place in range(3)]


def hierarchy():
    mean, sigma = GaussianPrior(50.0, 20.0), GaussianPrior(10.0, 10.0, lower_limit=0.0)
    return [own(centre=GaussianPrior(mean, sigma)) for _ in range(4)]


def shared_by_some():
    first, second, third = own(), own(), own()
    second.line.centre = first.line.centre
    return [first, second, third]


def crosswise():
    first, second = own(), own()
    second.line.flux = first.line.centre
    first.line.flux = second.line.centre
    return [first, second]


def a_parent_that_is_a_member():
    parent = GaussianPrior(50.0, 30.0)
    return [
        own(centre=GaussianPrior(parent, 2.0)),
        own(centre=parent),
        own(centre=GaussianPrior(parent, 1.0)),
    ]


def random_walk():
    models = [own(centre=GaussianPrior(50.0, 30.0))]
    for _ in range(4):
        models.append(own(centre=GaussianPrior(2.0 * models[-1].line.centre, 1.0)))
    return models


def backwards():
    return random_walk()[::-1]


def loop_of_columns():
    first, second = (own(centre=GaussianPrior(0.0, 1.0), flux=GaussianPrior(0.0, 1.0)) for _ in range(2))
    first.line.centre = GaussianPrior(first.line.flux, 1.0)
    second.line.flux = GaussianPrior(second.line.centre, 1.0)
    return [first, second]


def derived():
    scale = UniformPrior(1.0, 2.0)
    models = [own() for _ in range(3)]
    for place, model in enumerate(models):
        model.scale = scale
        model.line.flux = model.line.width * (scale + 0.5 * place)
    return models


def derived_of_what_is_shared():
    scale = UniformPrior(1.0, 2.0)
    models = [own(width=scale / 10.0) for _ in range(3)]
    models[1].scale = models[0].scale = models[2].scale = scale
    return models


def constants():
    return [own(flux=0.5 * place) for place in range(3)]


def fixed_in_one():
    return [own(), own(centre=5.0), own()]


def other_families():
    return [own(), own(centre=GaussianPrior(50.0, 1.0)), own()]


def arrays():
    return [own(flux=Array(2, GaussianPrior(float(place), 1.0))) for place in range(3)]


def arrays_and_numbers(count=2):
    """As many data sets as the arrays are long: what broadcasts along the wrong axis is no error."""
    shared, models = Array(2, GaussianPrior(1.0, 1.0)), [own() for _ in range(count)]
    for place, model in enumerate(models):
        model.shared, model.own = shared, Array(2, GaussianPrior(5.0, 1.0))
        model.line.flux = model.own * model.line.centre + place + shared
        model.line.width = model.shared * (model.line.centre + 1.0)
        model.table = Array((2, 2), GaussianPrior(model.own, 1.0 + place))
        model.row = Array(2, GaussianPrior(model.line.centre, 2.0))
        model.add_assertion((model.own > model.line.centre - 100.0) & (model.line.centre > -1.0))
    return models


def three_with_arrays_and_numbers():
    return arrays_and_numbers(3)


def asserted():
    models = [own() for _ in range(3)]
    for place, model in enumerate(models):
        model.add_assertion(model.line.centre > 10.0 * model.line.width - place, name="narrow")
    return models


def of_two_kinds():
    return [own(), Collection(offset=UniformPrior(0.0, 1.0)), own()]


CASES = [
    *(shared_by_all, different_priors, hierarchy, shared_by_some, crosswise, derived),
    *(a_parent_that_is_a_member, random_walk, backwards, loop_of_columns),
    *(derived_of_what_is_shared, constants, fixed_in_one, other_families, arrays, asserted, of_two_kinds),
    *(arrays_and_numbers, three_with_arrays_and_numbers),
]


def numbers(item):
    """All numbers in an object, by path."""
    if isinstance(item, (int, float, np.ndarray)):
        return {"": np.asarray(item, dtype=float)}
    parts = dict(item.items()) if hasattr(item, "items") else vars(item)
    return {f".{name}{path}": value for name, part in parts.items() for path, value in numbers(part).items()}


def flat_vector(flat, instances):
    """The vector of the collection of all models that has these objects."""
    known = numbers(instances)
    vector = []
    for parameter in make_plan(flat).parameters:
        vector.append(np.ravel(known[f".{parameter.name}"]))
    return np.concatenate(vector)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_a_graph_is_the_collection_of_its_models(case):
    models = case()
    graph = graph_of(models)
    flat = Collection({f"dataset_{place}": model for place, model in enumerate(models)})
    assert graph.total_free_parameters == flat.total_free_parameters
    plan, flat_plan = make_plan(graph), make_plan(flat)
    for vector in plan.draws(5, random_seed=1):
        instances = plan.instance(vector)
        assert list(dict(instances.items())) == [f"dataset_{place}" for place in range(len(models))]
        if case is hierarchy:  # the parents stand in no object
            continue
        expected = flat_vector(flat, instances)
        assert plan.log_prior(vector) == pytest.approx(flat_plan.log_prior(expected), rel=1e-12)
        there = numbers(flat_plan.instance(expected))
        assert numbers(instances).keys() == there.keys()
        for path, value in numbers(instances).items():
            np.testing.assert_allclose(value, there[path], rtol=1e-12)
    outside = plan.draws(1, random_seed=1)[0] + 1e6
    assert plan.log_prior(outside) == -np.inf


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_a_data_set_is_taken_out_of_a_graph_as_a_model_of_its_own(case):
    graph = graph_of(case())
    plan = make_plan(graph)
    for name in graph.factor_names:
        one = OneFactor.of(plan.layout, name)
        own = make_plan(one.model)
        assert own.size == len(one.places) == len(set(one.places))
        for vector in plan.draws(3, random_seed=1):
            alone, together = numbers(own.instance(vector[one.places])), numbers(plan.instance(vector)[name])
            assert alone.keys() == together.keys()
            for path, value in alone.items():
                np.testing.assert_allclose(value, together[path], rtol=1e-12)


def test_a_parent_comes_with_a_data_set_that_is_taken_out():
    parent = HierarchicalFactor(GaussianPrior, mean=GaussianPrior(50.0, 20.0), sigma=2.0)
    models = [own() for _ in range(3)]
    for model in models:
        parent.add_drawn_variable(model.line.centre)
    layout = make_plan(graph_of(models, parent)).layout
    one = OneFactor.of(layout, "dataset_1")
    assert list(make_plan(one.model).names) == ["line.centre.mean", "line.centre", "line.width"]
    np.testing.assert_array_equal(one.places, [0, 2, 5])
    # The model as it was given has no parent.
    np.testing.assert_array_equal(OneFactor.as_given(layout, "dataset_1"), [2, 5])


def test_parameters_of_their_own_are_arrays_along_the_data_sets():
    plan = make_plan(graph_of(hierarchy(), names=["a", "b", "c", "d"]))
    names = ["line.centre.mean", "line.centre.sigma", "line.centre", "line.width"]
    assert list(plan.names) == names and plan.size == 10
    assert [plan.layout.dims_of(parameter.prior) for parameter in plan.parameters] == [
        *((), ()),
        *(("dataset",), ("dataset",)),
    ]
    assert plan.layout.coords == {"dataset": ["a", "b", "c", "d"]}


def test_the_density_of_a_hierarchy_is_that_of_its_parents_and_members():
    plan = make_plan(graph_of(hierarchy()))
    mean, sigma, centres, widths = 40.0, 5.0, np.array([30.0, 41.0, 44.0, 52.0]), np.full(4, 2.0)
    found = plan.log_prior(np.array([mean, sigma, *centres, *widths]))
    expected = GaussianPrior(50.0, 20.0).logpdf(mean)
    expected += GaussianPrior(10.0, 10.0, lower_limit=0.0).logpdf(sigma)
    expected += np.sum(GaussianPrior(mean, sigma).logpdf(centres)) + np.sum(
        LogUniformPrior(0.1, 10.0).logpdf(widths)
    )
    assert found == pytest.approx(expected, rel=1e-12)


def test_several_kinds_are_several_plates():
    plan = make_plan(graph_of(of_two_kinds()))
    assert list(plan.names) == ["plate_0.line.centre", "plate_0.line.width", "plate_1.offset"]
    assert plan.layout.coords == {"plate_0": ["dataset_0", "dataset_2"], "plate_1": ["dataset_1"]}


def test_the_number_of_parameters_does_not_change_the_number_of_variables():
    models = [own() for _ in range(500)]
    assert len(make_plan(graph_of(models)).parameters) == 2


def test_what_is_drawn_from_a_parent_has_that_prior_alone():
    mean = GaussianPrior(50.0, 20.0)
    parent = HierarchicalFactor(GaussianPrior, mean=mean, sigma=2.0)
    models = [own() for _ in range(3)]
    for model in models:
        parent.add_drawn_variable(model.line.centre)
    graph = graph_of(models, parent)
    for read in (graph, graph.copy(), Node.from_dict(graph.to_dict())):
        plan = make_plan(read)
        assert plan.names[:2] == ("line.centre.mean", "line.centre")
        # 300 is outside of the uniform prior that the centres had.
        vector = np.array([290.0, 300.0, 290.0, 291.0, 1.0, 1.0, 1.0])
        widths = 3 * LogUniformPrior(0.1, 10.0).logpdf(1.0)
        centres = np.sum(GaussianPrior(290.0, 2.0).logpdf(vector[1:4]))
        assert plan.log_prior(vector) == pytest.approx(mean.logpdf(290.0) + centres + widths, rel=1e-12)


def test_a_prior_that_a_parent_replaces_may_have_drawn_parameters_below_it():
    spread = GaussianPrior(0.0, 1.0)
    models = [own(), own(centre=GaussianPrior(GaussianPrior(spread, 7.0), 1.0))]
    models[0].line.centre = spread
    parent = HierarchicalFactor(GaussianPrior, mean=GaussianPrior(0.0, 2.0), sigma=1.0)
    for model in models:
        parent.add_drawn_variable(model.line.centre)
    layout = make_plan(graph_of(models, parent)).layout
    for name in layout.models:
        one = OneFactor.of(layout, name)
        assert make_plan(one.model).names[:2] == ("line.centre.mean", "line.centre")


def test_assertions_between_data_sets_hold():
    models = [own() for _ in range(3)]
    graph = graph_of(models)
    graph.add_assertion(models[0].line.centre < models[2].line.centre, name="ordered")
    plan = make_plan(graph)
    draws = plan.draws(200, random_seed=1)
    centres = draws[:, :3]
    assert np.all(centres[:, 0] < centres[:, 2]) and not np.all(centres[:, 0] < centres[:, 1])


MISTAKES = {
    "nothing": (lambda: FactorGraphModel(), "no data set"),
    "a model": (lambda: FactorGraphModel(own()), "is not a factor"),
    "in the other order": (lambda: AnalysisFactor(Likelihood(), own()), "is not"),
    "a number for a name": (
        lambda: AnalysisFactor(own(), Likelihood(), name="12"),
        r'would be taken for its place[\s\S]*name="object_12"',
    ),
    "one name twice": (lambda: graph_of([own(), own()], names=["a", "a"]), "a: is the name of 2 factors"),
    "no family": (lambda: HierarchicalFactor(UniformPrior()), "no family of priors"),
    "a class for an analysis": (lambda: AnalysisFactor(own(), Likelihood), r"Write Likelihood\(data\)"),
    "a parent of nothing": (
        lambda: graph_of([own()], HierarchicalFactor(GaussianPrior, mean=UniformPrior(), sigma=1.0)).paths,
        "no parameter is drawn from it",
    ),
    "an array": (
        lambda: HierarchicalFactor(GaussianPrior, mean=0.0, sigma=1.0).add_drawn_variable(
            Array(2, UniformPrior())
        ),
        "not the prior of one number",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_told(mistake):
    make, text = MISTAKES[mistake]
    with pytest.raises(ModelError, match=text):
        make()


def test_nothing_is_drawn_from_two_parents():
    model = own()
    parents = [HierarchicalFactor(GaussianPrior, mean=0.0, sigma=UniformPrior()) for _ in range(2)]
    for parent in parents:
        parent.add_drawn_variable(model.line.centre)
    with pytest.raises(ModelError, match="drawn from two parents"):
        make_plan(graph_of([model], *parents))


def with_parent(models):
    parent = HierarchicalFactor(GaussianPrior, mean=GaussianPrior(50.0, 20.0), sigma=2.0)
    for model in models:
        parent.add_drawn_variable(model.line.centre)
    return parent


def test_a_drawn_variable_that_is_in_no_model_is_told():
    models = [own() for _ in range(3)]
    graph = graph_of(models, with_parent(models))
    models[1].line.centre = UniformPrior(0.0, 1.0)
    with pytest.raises(ModelError, match="1 of them are in no model of the graph"):
        make_plan(graph)


def test_what_is_drawn_of_a_data_set_is_gone_with_it():
    models = [own() for _ in range(3)]
    graph = graph_of(models, with_parent(models))
    parts = [graph.without_paths(["dataset_1"]), graph]
    del graph["dataset_1"]
    for part in parts:
        assert part.total_free_parameters == 1 + 2 * 2
        assert part.paths[0][-1] == "mean"


def test_a_variable_that_is_drawn_later_changes_the_graph():
    models = [own() for _ in range(3)]
    parent = with_parent(models[:2])
    graph = graph_of(models, parent)
    assert make_plan(graph).size == 1 + 2 * 3
    assert "line.centre.mean" not in make_plan(graph).names
    parent.add_drawn_variable(models[2].line.centre)
    assert make_plan(graph).names == ("line.centre.mean", "line.centre", "line.width")


def test_assertions_are_shown_by_the_names_of_parameters_and_data_sets(monkeypatch):
    monkeypatch.setattr(layout, "MAX_REJECTIONS", 1000)
    models = [own() for _ in range(3)]
    for model in models:
        model.add_assertion(model.line.centre > 10.0 * model.line.width)
    graph = graph_of(models, names=["a", "b", "c"])
    graph.add_assertion(models[0].line.centre < models[2].line.centre, name="ordered")
    lines = [line.split(maxsplit=2)[1:] for line in graph.info.splitlines() if line.startswith("assertion")]
    assert lines == [
        ["assertion_0", "line.centre > (10.0 * line.width)"],
        ["ordered", "line.centre[a] < line.centre[c]"],
    ]
    graph.add_assertion(models[0].line.centre > models[2].line.centre)
    with pytest.raises(ModelError, match=r"`line\.centre\[a\] > line\.centre\[c\]`"):
        make_plan(graph).draws(1, random_seed=0)


@pytest.mark.parametrize(
    ("wrong", "right"), [("inf", "info"), ("path", "paths"), ("bb", "b"), ("nothing_like_it", "a`, `b")]
)
def test_what_is_misspelt_of_a_graph_has_a_suggestion(wrong, right):
    graph = graph_of([own() for _ in range(2)], names=["a", "b"])
    with pytest.raises(UnknownNameError, match=f"`{right}`"):
        getattr(graph, wrong)


def test_a_misspelt_data_set_of_the_instances_has_a_suggestion():
    graph = graph_of([own() for _ in range(2)], names=["north", "south"])
    with pytest.raises(UnknownNameError, match=r"no attribute `nroth`\.\nDid you mean `north`"):
        graph.random_instance(random_seed=1)["nroth"]


def test_what_stands_one_by_one_along_a_plate_is_named_by_the_data_sets():
    models = [own() for _ in range(9)]
    graph = graph_of(models, with_parent(models[1:]), names=[f"object_{place}" for place in range(9)])
    names = make_plan(graph).names
    assert names[:3] == ("line.centre.object_0", "line.centre.object_1.mean", "line.centre.object_1")
    assert "each its own: line.centre.object_0, line.centre.object_1" in graph.info
    assert graph.info.splitlines()[-1].split() == ["line.centre", "...", "3", "more"]


def test_a_parent_that_is_a_member_is_named_where_it_stands():
    names = make_plan(graph_of(a_parent_that_is_a_member(), names=["a", "b", "c"])).names
    assert names == ("line.centre.b", "line.centre.a", "line.centre.c", "line.width")


def test_what_is_drawn_from_itself_and_chains_without_end_are_refused():
    models = [own() for _ in range(3)]
    parent = HierarchicalFactor(GaussianPrior, mean=2.0 * models[1].line.centre, sigma=1.0)
    for model in models:
        parent.add_drawn_variable(model.line.centre)
    with pytest.raises(ModelError, match=r"`dataset_0\.line\.centre` is drawn from itself"):
        make_plan(graph_of(models, parent))
    walk = [GaussianPrior(0.0, 1.0)]
    for _ in range(250):
        walk.append(GaussianPrior(walk[-1], 1.0))
    assert make_plan(graph_of([own(centre=centre) for centre in walk[:200]])).size == 400
    with pytest.raises(ModelError, match="a chain of more than 200"):
        make_plan(graph_of([own(centre=centre) for centre in walk]))


def test_arrays_with_a_parent_are_one_array_along_the_data_sets():
    mean = UniformPrior(0.0, 1.0)
    models = [own(flux=Array(2, GaussianPrior(mean, 1.0))) for _ in range(3)]
    plan = make_plan(graph_of(models, names=["a", "b", "c"]))
    assert plan.names[2:] == ("line.flux.mean", "line.flux") and plan.parameters[-1].shape == (3, 2)
    assert plan.element_names[-1] == "line.flux[c,1]"
    models = [own(flux=Array(2, GaussianPrior(UniformPrior(0.0, 1.0), 1.0))) for _ in range(3)]
    assert make_plan(graph_of(models)).names[2:] == ("line.flux.mean", "line.flux")
    assert "GaussianPrior(mean=line.flux.mean, sigma=1.0)), one for each" in graph_of(models).info
