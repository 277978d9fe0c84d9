"""What went into a fit, and why two fits differ, is told at the places that a user knows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import classy_pm as cpm
from classy_pm.catalog import describe
from classy_pm.catalog.difference import MISSING, differences
from classy_pm.catalog.ingredients import Change, changes, ingredients
from classy_pm.plan import make_plan


class Profile:
    def __init__(self, centre=0.0, sigma=1.0):
        self.centre, self.sigma = centre, sigma


def payload(*, upper=10.0, data=(1.0, 2.0), order=("one", "two"), tie=False, fixed=1.5, **settings):
    models = {name: cpm.Model(Profile) for name in order}
    models["one"].centre = cpm.UniformPrior(lower_limit=0.0, upper_limit=upper)
    models["one"].sigma = fixed
    models["two"].centre = models["one"].centre if tie else cpm.GaussianPrior(mean=0.0, sigma=1.0)
    models["two"].sigma = 2.0
    plan = make_plan(cpm.Collection(**models))
    return describe(
        {
            "model": plan.identity,
            "data": {"class": Profile, "attributes": {"y": np.array(data), "nested": {"a": [1, {"b": 2}]}}},
            "likelihood": {"likelihood": Profile},
            "search": {"search": "NUTS", "settings": {"draws": 500, **settings}},
            "extra": {"random_seed": 1, "unique_tag": None},
        }
    )


def found(one, two):
    return {(change.part, change.place): (change.first, change.second) for change in changes(one, two)}


def test_a_model_is_told_by_its_paths():
    told = {(item.part, item.place): item.text for item in ingredients(payload(tie=True))}
    assert told["model", "one"].endswith(":Profile")
    assert told["model", "one.centre"] == "UniformPrior(lower_limit=0.0, upper_limit=10.0)"
    assert told["model", "one.sigma"] == "1.5"
    assert told["model", "two.centre"] == "is one.centre"
    assert told["data", "y"].startswith("array of <f8, shape [2], sha256 ")
    assert told["data", "nested.a[1].b"] == "2"
    assert told["search", ""] == "NUTS"
    assert told["search", "draws"] == "500"
    assert told["seed and tag", "random_seed"] == "1"


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"upper": 20.0}, ("model", "one.centre")),
        ({"fixed": 2.5}, ("model", "one.sigma")),
        ({"tie": True}, ("model", "two.centre")),
        ({"data": (1.0, 2.0 + 1e-12)}, ("data", "y")),
        ({"draws": 1000}, ("search", "draws")),
        ({"tune": 1000}, ("search", "tune")),
    ],
)
def test_a_change_is_told_where_it_was_made(change, place):
    told = found(payload(), payload(**change))
    assert list(told) == [place]
    assert told[place][0] != told[place][1]


def test_what_only_one_fit_has_is_missing_in_the_other():
    assert found(payload(), payload(tune=1000)) == {("search", "tune"): (MISSING, "1000")}


def test_another_order_of_the_parts_is_a_difference():
    assert {part for part, _ in found(payload(), payload(order=("two", "one")))} == {"model"}


def test_a_number_differs_from_its_text():
    one, two = ({"search": {"search": "S", "settings": {"n": value}}} for value in (1, "1"))
    assert changes(one, two) == [Change("search", "settings.n", "1", "'1'")]


plain_data = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=12,
)
names = st.sampled_from(["model", "data", "likelihood", "search", "extra", "other"])
words = st.sampled_from(["tree", "children", "parameters", "class", "is", "sha256", "array", "function"])
payloads = st.dictionaries(names, plain_data | st.dictionaries(words, plain_data, max_size=3), max_size=3)


@given(payloads, payloads)
def test_whatever_a_file_says_is_told_and_no_difference_is_lost(one, two):
    assert all(isinstance(item.text, str) for item in ingredients(one))
    assert bool(changes(one, two)) == bool(differences(one, two))
    assert changes(one, one) == []
