"""Random trees of models survive whatever can be done to them."""

import copy
import json
import pickle

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies import Branch, Leaf, models

from classy_pm.errors import ModelError, UnknownNameError
from classy_pm.model import (
    Array,
    Collection,
    GaussianPrior,
    Instance,
    Model,
    UniformPrior,
    model_of_strangers,
)
from classy_pm.plan import make_plan


def look(model):
    """Everything that determines a model, as text."""
    return repr(make_plan(model).identity)


def numbers_of(instance):
    """The numbers of an instance, by their paths."""
    if isinstance(instance, (Leaf, Branch)):
        instance = vars(instance)
    elif isinstance(instance, Instance):
        instance = dict(instance.items())
    if isinstance(instance, dict):
        return {f"{n}.{k}": v for n, part in instance.items() for k, v in numbers_of(part).items()}
    if isinstance(instance, (list, tuple)):
        return {f"{n}.{k}": v for n, part in enumerate(instance) for k, v in numbers_of(part).items()}
    return {"": instance}


EXAMPLES = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@EXAMPLES
@given(models(), st.integers(0, 2**32 - 1))
def test_a_vector_becomes_an_instance_and_the_instance_the_vector(model, seed):
    plan = make_plan(model)
    (vector,) = plan.draws(1, seed)
    instance = model.instance_from_vector(vector)
    found = {}
    for parameter in plan.parameters:
        for path in parameter.paths:
            if path[-1] == "mean" or path[-1].startswith("operand_"):
                continue  # what stands in another's arguments alone stands nowhere in the instance
            item = instance
            for name in path:
                if hasattr(item, name):
                    item = getattr(item, name)
                elif isinstance(item, (list, tuple)) and name.isdecimal():
                    item = item[int(name)]
                else:
                    item = getattr(item, name[:-2])[int(name[-1])]
            found.setdefault(parameter.name, []).append(float(item))
    for name, values in found.items():
        assert values == [vector[plan.names.index(name)]] * len(values)


@EXAMPLES
@given(models())
def test_plain_data_keep_everything(model):
    text = json.dumps(model.to_dict(), allow_nan=False)
    again = Collection.from_dict(json.loads(text), classes=[Leaf, Branch])
    assert look(again) == look(model) and again.info == model.info
    assert again.paths == model.paths


@EXAMPLES
@given(models())
def test_a_copy_is_equal_and_shares_no_parameter(model):
    for copied in (model.copy(), copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert look(copied) == look(model)
        assert Collection(a=model, b=copied).total_free_parameters == 2 * model.total_free_parameters
    assert Collection(a=model, b=copy.copy(model)).total_free_parameters == model.total_free_parameters


@EXAMPLES
@given(models(), st.integers(0, 2**32 - 1))
def test_the_unit_cube_maps_to_the_priors(model, seed):
    plan = make_plan(model)
    units = np.random.default_rng(seed).random((4, plan.size))
    vectors = plan.vector_from_unit(units)
    assert np.all(np.isfinite(plan.log_prior(vectors)))
    np.testing.assert_array_equal(vectors[2], plan.vector_from_unit(units[2]))


def test_constants_keep_their_types():
    class Holder:
        def __init__(self, value=None):
            self.value = value

    values = [True, 1, 1.0, "1", None, (1, 2.0), [1, "a"], {"k": (True,)}, np.float32(0.1), np.int8(3)]
    values += [np.arange(6.0).reshape(2, 3), np.array([True, False]), float("-inf"), Leaf()]
    model = Collection(
        {f"v{index}": Model(Holder, value=value) for index, value in enumerate(values)}, x=UniformPrior()
    )
    again = Collection.from_json(model.to_json(), classes=[Holder, Leaf])
    for index, value in enumerate(values):
        back = again[f"v{index}"]["value"]
        assert type(back) is type(value)
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(back, value)
            assert back.dtype == value.dtype
        elif isinstance(value, Leaf):
            assert vars(back) == vars(value)
        else:
            assert back == value and repr(back) == repr(value)


def test_unknown_classes_are_all_named_and_nothing_is_imported_or_called():
    data = Collection(a=Leaf, b=Branch).to_dict()
    text = json.dumps(data).replace(f"{Leaf.__module__}:Leaf", "antigravity:Leaf").replace(":Branch", ":Twig")
    with pytest.raises(ModelError, match=r"(?s)antigravity:Leaf.*Twig"):
        Collection.from_json(text)
    import sys

    assert "antigravity" not in sys.modules


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"format": "classy-model-1", "root": {"type": "model"}}', "[" * 100_000]
)
def test_damaged_data_are_refused(text):
    with pytest.raises(ModelError):
        Collection.from_json(text)


def test_a_function_of_numpy_that_is_no_ufunc_is_refused():
    model = Collection(x=UniformPrior())
    model.y = np.exp(model.x)
    with pytest.raises(ModelError, match="save"):
        Collection.from_json(model.to_json().replace('"exp"', '"save"'))


def test_with_and_without_paths():
    model = Collection(a=Model(Leaf, width=UniformPrior()), b=Leaf, c=UniformPrior())
    only = model.with_paths([("a", "width"), "c"])
    assert only.paths == [("a", "width"), ("c",)] and only.a.width is model.a.width
    assert only.instance_from_vector([1.0, 2.0]).a.centre == (0.0, 0.0)
    without = model.without_paths(["b", ("a", "centre_0")])
    assert without.paths == [("a", "centre_1"), ("a", "width"), ("c",)]
    with pytest.raises(ModelError, match="d: is not in the model"):
        model.with_paths(["d"])
    with pytest.raises(ModelError, match="Nothing"):
        model.without_paths(["a", "b", "c"])


def test_take_attributes_from_a_model_and_from_an_object():
    model = Collection(a=Leaf)
    prior = UniformPrior()
    model.take_attributes(Collection(a=Model(Leaf, width=prior), other=1.0))
    assert model.a.width is prior and model.total_free_parameters == 3
    model.take_attributes(Instance({"a": Leaf(centre=(3.0, 4.0), width=5.0)}))
    assert model.total_free_parameters == 0 and model.a.centre == (3.0, 4.0)


def test_the_model_of_an_instance_gives_the_instance():
    instance = Instance({"branch": Branch(Leaf((1.0, 2.0), 3.0), 4.0, [Leaf()])})
    model = Model.from_instance(instance)
    assert model.total_free_parameters == 0
    assert numbers_of(model.instance_from_vector([])) == numbers_of(instance)
    assert Model.from_instance(instance, free=(Leaf,)).total_free_parameters == 6


def test_info_and_graph_fold_equal_parts_and_name_what_is_shared():
    model = Collection([Model(Leaf, width=UniformPrior()) for _ in range(1000)])
    assert model.info.count("\n") < 12 and "0 ... 999" in model.info and "1000 alike" in model.info
    assert model.graph().mermaid.count("\n") < 15
    one = Collection(a=Leaf, b=Leaf, weights=Array(5, UniformPrior()))
    one.b.width = 2.0 * one.a.width + 1.0
    one.a.centre_0 = GaussianPrior(mean=UniformPrior(), sigma=1.0)
    one.b.centre_0 = one.a.centre_0
    for text in ("is a.centre_0", "= (2.0 * a.width) + 1.0", "a.centre_0.mean", "Array((5,), UniformPrior"):
        assert text in one.info
    drawn = one.graph().mermaid
    assert drawn.startswith("flowchart") and drawn.count("a.centre_0<br/>") == 1
    assert "```mermaid" in one.graph()._repr_mimebundle_()["text/markdown"]


def test_the_graph_draws_a_derived_parameter_once_with_what_it_depends_on():
    model = Collection(a=Leaf, b=Leaf)
    model.b.width = 2.0 * np.sqrt(model.a.width) + 1.0
    drawn = model.graph()
    (derived,) = [vertex for vertex in drawn.vertices if vertex.kind == "derived"]
    assert derived.label == "b.width\n(2.0 * sqrt(a.width)) + 1.0"
    (below,) = [below for above, below in drawn.edges if above == derived.key]
    assert "a.width" in next(vertex.label for vertex in drawn.vertices if vertex.key == below)


class Lens:
    def __init__(self, mass):
        self.mass = mass

    def deflection(self):
        return 4.0 * self.mass


def test_data_of_an_object_hide_no_method_of_its_class():
    model = Collection(lens=Lens(2.0), x=UniformPrior())
    data = model.to_dict()
    (attributes,) = [child["attributes"] for name, child in data["root"]["children"] if name == "lens"]
    attributes.append(["colour", 1.0])
    assert Collection.from_dict(data).lens.deflection() == 8.0
    attributes.append(["deflection", 1.0])
    with pytest.raises(ModelError, match=r"`deflection` would hide the method of .*Lens"):
        Collection.from_dict(data)


def test_what_is_known_by_name_alone_says_how_to_make_it_known():
    model = model_of_strangers(Collection(lens=Model(Lens, mass=UniformPrior())).to_dict(), {})
    lens = model.instance_from_vector([0.5]).lens
    assert lens.mass == 0.5 and repr(lens).startswith("<stranger ") and "mass" in repr(lens)
    with pytest.raises(UnknownNameError, match=r"not `deflection`(.|\n)*register\(Lens\)"):
        lens.deflection()
    with pytest.raises(UnknownNameError, match="only the attributes mass are known"):
        _ = lens.mas
    with pytest.raises(UnknownNameError, match="cannot be called"):
        lens(1.0)
    assert pickle.dumps(vars(lens)) and not hasattr(lens, "__array__")


@pytest.mark.parametrize("name", ["e\u0301", "a\u0308_b"])
def test_a_name_that_no_file_keeps_is_refused(name):
    with pytest.raises(ModelError, match="Compose them"):
        Collection(**{name: UniformPrior()})
