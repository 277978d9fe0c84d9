"""Models made of models: parts with their assertions, copies, and values taken from elsewhere."""

import copy

import numpy as np
import pytest

from classy_pm.errors import ModelError
from classy_pm.model import Array, Collection, GaussianPrior, Instance, Model, UniformPrior


class Line:
    def __init__(self, centre=0.0, width=1.0):
        self.centre, self.width = centre, width


class Template:
    def __init__(self, table, scale=1.0):
        self.table, self.scale = table, scale


def test_a_part_keeps_the_assertions_of_which_all_parameters_remain():
    model = Collection(a=Line, b=Line, mean=UniformPrior())
    model.a.centre = GaussianPrior(mean=UniformPrior(), sigma=1.0)
    model.a.width, model.b.width, model.b.centre = UniformPrior(), UniformPrior(), UniformPrior()
    hidden = model.a.centre.arguments["mean"]
    model.a.add_assertion(2.0 * model.a.width < model.a.centre, name="derived")
    model.a.add_assertion(hidden < 0.5, name="hierarchical")
    model.a.add_assertion(model.a.width < model.b.width, name="elsewhere")
    model.b.add_assertion(model.b.width + model.a.width < 1.0, name="both")

    def names(part):
        return [name for name, _ in part._layout().assertions]

    assert names(model.with_paths(["a"])) == ["a.derived", "a.hierarchical"]
    assert names(model.without_paths(["mean"])) == ["a.derived", "a.hierarchical", "a.elsewhere", "b.both"]
    assert names(model.without_paths(["a.centre"])) == ["a.elsewhere", "b.both"]


def test_models_that_are_copied_together_keep_what_they_share():
    a, b = Model(Line, centre=UniformPrior()), Model(Line)
    b.centre = 2.0 * a.centre
    prior = a.centre
    copied_a, copied_b, copied_prior = copy.deepcopy([a, b, prior])
    assert copied_a.centre is copied_prior and copied_prior is not prior
    assert copied_b.centre.operands[1] is copied_prior
    assert Collection(a=copied_a, b=copied_b).total_free_parameters == 3


def test_a_deep_copy_has_constants_of_its_own_and_a_copy_shares_them():
    model = Model(Template, table=np.zeros(3))
    copy.deepcopy(model)["table"][0] = 1.0
    assert model["table"][0] == 0.0
    assert model.copy()["table"] is model["table"]
    assert copy.deepcopy(model).cls is Template


@pytest.mark.parametrize("value", ["wide", None, True])
def test_taken_attributes_never_replace_a_parameter_by_what_is_no_number(value):
    model = Collection(a=Line, own=UniformPrior())
    prior = model.a.width
    with pytest.raises(ModelError, match=r"(?s)a\.width.*own"):
        model.take_attributes(Instance({"a": Line(3.0, value), "own": value}))
    assert model.a.width is prior and model.a.centre == 3.0 and isinstance(model.own, UniformPrior)


def test_the_model_of_an_instance_keeps_its_tuples():
    model = Model.from_instance(Instance({"lines": (Line(1.0, 2.0), Line())}), free=(Line,))
    assert model.total_free_parameters == 4
    assert type(model.instance_from_vector(np.zeros(4)).lines) is tuple


def test_a_likelihood_that_changes_an_array_in_place_does_not_change_the_vector():
    model = Collection(weights=Array(3, UniformPrior()), x=UniformPrior())
    vector = np.array([0.1, 0.2, 0.3, 0.4])
    model.instance_from_vector(vector).weights[:] = 9.0
    np.testing.assert_array_equal(vector, [0.1, 0.2, 0.3, 0.4])
