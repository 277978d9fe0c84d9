"""Classes as they are found in the wild."""

import functools
from dataclasses import dataclass, field
from typing import Annotated, Optional, Tuple, Union  # noqa: UP035

import numpy as np
import pytest

from classy_pm.errors import ModelError, UnknownNameError
from classy_pm.model import Collection, GaussianPrior, Model, UniformPrior


@dataclass
class Disk:
    radius: float = 1.0
    centre: Tuple[float, float] = (0.0, 0.0)  # noqa: UP006
    order: int = 4
    tags: list = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class Slotted:
    radius: float = 1.0


class Hand:
    __slots__ = ("angle", "length")

    def __init__(self, angle, /, length: float, *, unused: str = "m"):
        self.angle, self.length = angle, length


class WithProperty:
    def __init__(self, scale: float = 1.0):
        self.scale = scale
        self._shift = 0.0

    @property
    def shift(self):
        return self._shift

    @shift.setter
    def shift(self, value):
        self._shift = value


class Nested:
    def __init__(self, disk: Disk, maybe: Optional[Disk] = None, size: Union[float, int] = 1.0):  # noqa: UP007, UP045
        self.disk, self.maybe, self.size = disk, maybe, size


class Inner:
    class Profile:
        def __init__(self, x: "float" = 0.0):
            self.x = x


def parabola(a, b=1.0, *, power=2):
    return lambda x: a + b * x**power


def test_a_dataclass():
    model = Model(Disk)
    assert model.paths == [("radius",), ("centre_0",), ("centre_1",)]
    assert model.instance_from_vector([1.0, 2.0, 3.0]) == Disk(1.0, (2.0, 3.0), 4, [])


def test_slots_keyword_only_and_positional_only_arguments():
    assert Model(Slotted).instance_from_vector([2.0]) == Slotted(radius=2.0)
    hand = Model(Hand).instance_from_vector([1.0, 2.0])
    assert (hand.angle, hand.length) == (1.0, 2.0)
    with pytest.raises(UnknownNameError, match="__slots__"):
        Model(Hand, colour=1.0)


def test_a_property_can_be_set_after_construction():
    model = Model(WithProperty, shift=UniformPrior())
    assert model.paths == [("scale",), ("shift",)]
    assert model.instance_from_vector([1.0, 0.25]).shift == 0.25


def test_a_nested_class_is_a_model_and_an_optional_one_stays_none():
    model = Model(Nested)
    assert model.paths == [("disk", "radius"), ("disk", "centre_0"), ("disk", "centre_1"), ("size",)]
    instance = model.instance_from_vector([1.0, 2.0, 3.0, 4.0])
    assert isinstance(instance.disk, Disk) and instance.maybe is None and instance.size == 4.0
    model.maybe = Disk
    assert model.total_free_parameters == 7


def test_a_class_inside_a_class_and_a_text_annotation():
    assert Model(Inner.Profile).paths == [("x",)]


def test_a_function_is_a_class():
    model = Collection(curve=Model(parabola, a=UniformPrior()))
    assert model.paths == [("curve", "a"), ("curve", "b")]
    assert model.instance_from_vector([1.0, 2.0]).curve(3.0) == 19.0


def test_an_instance_a_number_a_list_and_a_dict_are_overrides():
    disk = Disk(3.0)
    model = Model(Nested, disk=disk, maybe={"a": Disk, "b": [Disk]}, size=np.float32(2.0))
    assert model.total_free_parameters == 6
    instance = model.instance_from_vector(np.arange(6.0))
    assert instance.disk is disk and instance.size == 2.0
    assert instance.maybe["b"][0] == Disk(3.0, (4.0, 5.0), 4, [])


def test_annotated_tuples_and_optionals_have_their_priors():
    class Both:
        def __init__(
            self,
            centre: Annotated[tuple[float, float], GaussianPrior(0.0, 1.0)] = (0.0, 0.0),
            width: Annotated[float, UniformPrior(1.0, 2.0)] | None = 1.0,
        ):
            self.centre, self.width = centre, width

    model = Model(Both)
    assert model.total_free_parameters == 3
    assert isinstance(model.centre_1, GaussianPrior) and isinstance(model.width, UniformPrior)


def test_attributes_that_are_models_and_lists_of_models():
    class Bare:
        pass

    model = Model(Bare, disk=Disk, others=[Disk, 2.0])
    instance = model.instance_from_vector(np.arange(6.0))
    assert (
        isinstance(instance.disk, Disk) and isinstance(instance.others[0], Disk) and instance.others[1] == 2.0
    )


@pytest.mark.parametrize("thing", [np.sin, 3.0, None, "Disk"])
def test_what_has_no_arguments_to_read_is_refused(thing):
    with pytest.raises(ModelError):
        Model(thing)


def test_a_partial_is_a_function_with_fewer_arguments():
    model = Model(functools.partial(parabola, b=3.0), a=UniformPrior())
    assert ("a",) in model.paths
