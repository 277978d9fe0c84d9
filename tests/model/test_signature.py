"""Annotations as they are found in the wild, and callables that are no functions."""

import functools
from dataclasses import dataclass
from typing import Annotated, NewType, Optional

import pytest

from classy_pm.errors import ModelError, UnknownNameError
from classy_pm.model import Collection, Model, UniformPrior

Kpc = NewType("Kpc", float)
type Mpc = float
type Coordinate = Annotated[float, UniformPrior(2.0, 4.0)]


class Wild:
    def __init__(
        self,
        maybe: Optional[Annotated[float, UniformPrior(2.0, 4.0)]] = 1.0,  # noqa: UP045
        radius: Kpc = 1.0,
        distance: Mpc = 1.0,
        place: Coordinate = 0.0,
        unknown: "NowhereDefined" = 0.5,  # noqa: F821
        neither: "NowhereDefined" = "word",  # noqa: F821
        absent: Optional[Annotated[float, UniformPrior()]] = None,  # noqa: UP045
    ):
        self.maybe = maybe


def test_floats_behind_optional_newtype_aliases_and_unknown_names_are_parameters():
    model = Model(Wild)
    assert model.paths == [("maybe",), ("radius",), ("distance",), ("place",), ("unknown",)]
    for prior in (model.maybe, model.place):
        assert isinstance(prior, UniformPrior) and prior.limits == (2.0, 4.0)
    assert model.neither == "word" and model.absent is None


def test_a_prior_around_a_tuple_is_that_of_each_element():
    class Placed:
        def __init__(
            self,
            centre: Annotated[tuple[float, float], UniformPrior(2.0, 4.0)] = (0.0, 0.0),
            shear: tuple[Coordinate, float] = (0.0, 0.0),
        ):
            self.centre, self.shear = centre, shear

    model = Model(Placed)
    assert [path for (path,) in model.paths] == ["centre_0", "centre_1", "shear_0", "shear_1"]
    assert all(model[name].limits == (2.0, 4.0) for name in ("centre_0", "centre_1", "shear_0"))
    model.shear_1 = 0.0
    assert model.instance_from_unit_vector([0.0, 1.0, 0.5]).centre == (2.0, 4.0)


class Rec:
    def __init__(self, left: "Rec", x: float):
        self.left, self.x = left, x


class Hen:
    def __init__(self, egg: "Egg"):
        self.egg = egg


class Egg:
    def __init__(self, hen: Hen):
        self.hen = hen


@pytest.mark.parametrize(("cls", "words"), [(Rec, "`left` of Rec"), (Hen, "`egg` of Hen")])
def test_a_class_that_holds_itself_is_refused_by_name(cls, words):
    with pytest.raises(ModelError, match=words):
        Model(cls)


def test_a_class_that_holds_itself_is_a_model_where_the_end_is_given():
    model = Model(Rec, left=Model(Rec, left=Wild, x=1.0), x=2.0)
    assert [path[:2] for path in model.paths] == [("left", "left")] * 5


@dataclass
class Power:
    exponent: int

    def __call__(self, base: float, shift: float = 0.0):
        return base**self.exponent + shift


@pytest.mark.parametrize("function", [Power(2), functools.partial(Power(2))])
def test_an_object_that_can_be_called_is_a_function(function):
    model = Model(function)
    assert model.paths == [("base",), ("shift",)]
    assert Collection(y=model).instance_from_vector([3.0, 1.0]).y == 10.0


def test_a_function_that_takes_any_keyword_is_given_any():
    def total(base: float, **others):
        return base + sum(others.values())

    model = Model(total, base=1.0, bases=UniformPrior(), weight=3.0)
    assert model.instance_from_vector([0.5]) == 4.5
    with pytest.raises(UnknownNameError):
        Model(Power(2), wieght=1.0)
