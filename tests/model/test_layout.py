"""Vectors: what is one, and what draws from the priors are."""

from fractions import Fraction

import numpy as np
import pytest

from classy_pm.errors import ModelError
from classy_pm.model import Collection, GammaPrior, GaussianPrior, Model, UniformPrior, layout


class Pair:
    def __init__(self, one: float, two: float):
        self.one, self.two = one, two


@pytest.fixture
def model():
    return Model(Pair, one=UniformPrior(), two=UniformPrior())


WRONG = {
    "complex": np.array([0.1, 0.2j]),
    "strings": ["0.1", "0.2"],
    "booleans": [True, False],
    "matrix": np.zeros((2, 3)),
    "column": np.zeros((2, 1)),
    "scalar": 0.5,
    "dict": {"one": 0.1, "two": 0.2},
    "ragged": [[0.1], [0.2, 0.3]],
    "None": None,
    "fractions": [Fraction(1, 2), Fraction(1, 3)],
    "long": np.zeros(3),
}


@pytest.mark.parametrize("vector", WRONG.values(), ids=WRONG)
def test_what_is_no_vector_of_real_numbers_makes_no_instance(vector, model):
    with pytest.raises(ModelError):
        model.instance_from_vector(vector)
    with pytest.raises(ModelError):
        model.instance_from_unit_vector(vector)


@pytest.mark.parametrize("vector", [[1, 2], (1.0, 2.0), np.array([1, 2]), np.float32([1.0, 2.0])])
def test_any_list_or_array_of_real_numbers_is_a_vector(vector, model):
    instance = model.instance_from_vector(vector)
    assert (instance.one, instance.two) == (1.0, 2.0) and isinstance(instance.one, float)


@pytest.mark.parametrize("wrong", [-0.1, 1.1, np.nan, np.inf])
def test_the_numbers_of_a_unit_vector_are_probabilities(wrong, model):
    with pytest.raises(ModelError, match="from 0 to 1"):
        model.instance_from_unit_vector([0.5, wrong])


def test_an_instance_needs_all_constants_and_no_priors():
    class Table:
        def __init__(self, values: list, scale: float):
            self.values, self.scale = values, scale

    model = Collection(table=Table)
    with pytest.raises(ModelError, match=r"table\.values: has no value and no default"):
        model.instance_from_vector([1.0])
    model.table.values = [1, 2]
    assert model.instance_from_vector([3.0]).table.scale == 3.0


def test_draws_are_never_where_a_prior_does_not_exist():
    model = Collection(width=UniformPrior(-1.0, 1.0))
    model.x = GammaPrior(alpha=model.width, beta=1.0)
    drawn = model._layout().draws(200, np.random.default_rng(1))
    assert np.all(np.isfinite(drawn)) and np.all(drawn[:, 0] > 0.0)


def test_priors_that_never_exist_are_told_instead_of_drawn_for_ever():
    model = Collection(width=UniformPrior(-2.0, -1.0))
    model.x = GaussianPrior(0.0, sigma=model.width)
    with pytest.raises(ModelError, match="priors that exist"):
        model.random_instance()


def test_collections_that_stand_in_many_places_have_an_end(monkeypatch):
    monkeypatch.setattr(layout, "MAX_PLACES", 10_000)
    shared = Collection(x=UniformPrior())
    for _ in range(60):
        shared = Collection(one=shared, two=shared)
    with pytest.raises(ModelError, match="more than 10,000 places"):
        shared.random_instance()
