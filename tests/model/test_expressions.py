"""Chains of comparisons mean what is written, or are refused."""

# ruff: noqa: SIM300 - on which side a number is written is what is tested

import operator

import pytest

from classy_pm.errors import ModelError
from classy_pm.model import Collection, UniformPrior
from classy_pm.plan import make_plan


@pytest.fixture
def model():
    return Collection(a=UniformPrior(), b=UniformPrior(), c=UniformPrior())


def text_of(assertion, model):
    names = {id(prior): name for name, prior in model.children()}
    return [
        (
            names.get(id(part.left), part.left),
            part.comparison.__name__,
            names.get(id(part.right), part.right),
        )
        for part in assertion.parts
    ]


LESS, GREATER = "less", "greater"


def test_a_number_goes_to_the_end_of_a_chain_where_it_runs_on(model):
    a, b = model.a, model.b
    assert text_of((a < b) < 5.0, model) == [("a", LESS, "b"), ("b", LESS, 5.0)]
    assert text_of(5.0 < (a < b), model) == [(5.0, LESS, "a"), ("a", LESS, "b")]
    assert text_of(5.0 > (a > b), model) == [(5.0, GREATER, "a"), ("a", GREATER, "b")]
    assert text_of((a > b) > 5.0, model) == [("a", GREATER, "b"), ("b", GREATER, 5.0)]
    assert text_of(5.0 <= (a < b), model) == [(5.0, "less_equal", "a"), ("a", LESS, "b")]
    assert text_of((1.0 < (a < b)) < 2.0, model) == [(1.0, LESS, "a"), ("a", LESS, "b"), ("b", LESS, 2.0)]


def test_a_parameter_goes_to_the_end_of_a_chain_where_it_is_written(model):
    a, b, c = model.a, model.b, model.c
    assert text_of((a < b) < c, model) == [("a", LESS, "b"), ("b", LESS, "c")]
    assert text_of(c < (a < b), model) == [("c", LESS, "a"), ("a", LESS, "b")]
    assert text_of(c >= (a > b), model) == [("c", "greater_equal", "a"), ("a", GREATER, "b")]


@pytest.mark.parametrize(
    "write",
    [
        lambda a, b, c: (a < b) > c,
        lambda a, b, c: c > (a < b),
        lambda a, b, c: ((a < b) & (c < a)) < 5.0,
        lambda a, b, c: ((a < b) & (c > a)) < 5.0,
        lambda a, b, c: (a < b) > (b > c),
        lambda a, b, c: (a < b) < (b < c),
    ],
)
def test_a_chain_in_two_directions_is_refused_with_the_cure(write, model):
    with pytest.raises(ModelError, match=r"\(a < b\) & \(b > c\)"):
        write(model.a, model.b, model.c)


@pytest.mark.parametrize("compare", [operator.lt, operator.le])
def test_a_chain_with_a_number_on_its_left_rules_out_what_is_below_it(compare, model):
    model.add_assertion(compare(0.4, model.a < model.b))
    assert model.instance_from_vector([0.5, 0.6, 0.0]).a == 0.5
    assert not model._layout().assertions_hold([0.3, 0.6, 0.0])


def test_arithmetic_that_shares_its_parts_has_an_end(model):
    doubled = model.a
    with pytest.raises(ModelError, match=r"operations where it is written out, .* at most 10,000"):
        for _ in range(60):
            doubled = doubled + doubled


def test_a_long_sum_is_read_everywhere_or_refused(model):
    total = model.a
    with pytest.raises(ModelError, match="201 within one another"):
        while True:
            total = (longest := total) + model.b
    model.total = longest
    assert "total" in model.info
    assert make_plan(model).size == 3
    again = Collection.from_dict(model.to_dict())
    assert again.total.operations == longest.operations == 200
    assert again.instance_from_vector([0.5, 0.25, 0.0]).total == 50.5
