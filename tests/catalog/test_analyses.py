"""What counts of an analysis object for the identity of its fits."""

import abc
import functools
import threading
from dataclasses import dataclass, field

import numpy as np
import pytest

from classy_pm.catalog import analysis_identity, describe, part_key
from classy_pm.errors import IdentityError


class Base:
    allowed = False

    def likelihood(self, instance):
        raise NotImplementedError


class Mixin:
    unit = "mJy"


class Plain(Mixin, Base):
    order = 2
    identity_version = 3

    def __init__(self, data):
        self.data = data

    @property
    def size(self):
        return len(self.data)

    @functools.cached_property
    def lock(self):
        return threading.Lock()

    @staticmethod
    def helper():
        pass


def key(analysis):
    return part_key(analysis_identity(analysis, Base))


def test_attributes_and_class_attributes_below_the_base_count_and_nothing_else():
    analysis = Plain([1.0])
    assert analysis.lock
    assert analysis_identity(analysis, Base) == {
        "class": Plain,
        "attributes": {"data": [1.0]},
        "class_attributes": {"order": 2, "identity_version": 3, "unit": "mJy"},
        "closure": {},
        "references": {},
    }


def make(scale=1.0, version=1, order=1, kind=int, helper=None, callable_=None, via="method"):
    """Analyses of one class by name, that differ in one thing."""

    def inner(x):
        return scale * x

    class Made(Base):
        identity_version = version
        data_order = order
        template = callable_

        def __init__(self):
            super().__init__()

        if via == "method":

            def likelihood(self, instance):
                return scale * kind(instance)

        elif via == "function":

            def likelihood(self, instance):
                return inner(instance)

        elif via == "property":

            @property
            def scaled(self):
                return scale

        elif via == "cached_property":

            @functools.cached_property
            def scaled(self):
                return scale

        elif via == "staticmethod":

            @staticmethod
            def scaled():
                return scale

        elif via == "cache":

            @functools.cache  # noqa: B019
            def scaled(self):
                return scale

        def other(self):
            return helper

    return Made()


@pytest.mark.parametrize(
    "via", ["method", "function", "property", "cached_property", "staticmethod", "cache"]
)
def test_what_functions_of_the_class_close_over_counts(via):
    assert key(make(scale=1.0, via=via)) == key(make(scale=1.0, via=via))
    assert key(make(scale=1.0, via=via)) != key(make(scale=2.0, via=via))


class Template:
    def __init__(self, width):
        self.width = width

    def __call__(self, x):
        return x / self.width


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"order": 2},
        {"kind": float},
        {"helper": np.sin},
        {"helper": len},
        {"callable_": Template(1)},
        {"callable_": functools.partial(max, 1)},
    ],
)
def test_versions_class_attributes_and_classes_or_functions_closed_over_count(change):
    assert key(make(**change)) != key(make())
    assert key(make(**change)) == key(make(**change))


def test_a_callable_class_attribute_counts_by_what_it_holds():
    assert key(make(callable_=Template(1))) != key(make(callable_=Template(2)))


def test_classes_and_functions_closed_over_are_references_and_not_data():
    found = analysis_identity(make(kind=float, helper=make), Base)
    assert found["closure"] == {"Made.likelihood.scale": 1.0}
    assert found["references"] == {
        "Made.likelihood.kind": "builtins:float",
        "Made.other.helper": f"{__name__}:make",
    }


class Slotted(Base):
    __slots__ = ("__hidden", "data")

    def __init__(self, data, hidden):
        self.data, self.__hidden = data, hidden


def test_slots_count():
    assert key(Slotted(1, 2)) != key(Slotted(1, 3))
    assert analysis_identity(Slotted(1, 2), Base)["attributes"] == {"_Slotted__hidden": 2, "data": 1}


class Hooked(Plain):
    def __identity__(self):
        return {"size": len(self.data)}


def test_an_identity_method_replaces_everything_but_the_class():
    assert analysis_identity(Hooked([1]), Base) == {"class": Hooked, "identity": {"size": 1}}
    assert key(Hooked([1])) == key(Hooked([2]))
    assert key(Hooked([1])) != key(Hooked([1, 2]))


def test_abstract_classes_and_dataclasses_have_an_identity():
    class Abstract(Base, abc.ABC):
        order = 1

    @dataclass
    class Data(Abstract):
        values: list = field(default_factory=list)
        width: float = 1.0

    found = analysis_identity(Data([1]), Base)
    assert found["class_attributes"] == {"width": 1.0, "order": 1}
    before = key(Data([1]))
    repr(Data([1]))
    assert key(Data([1])) == before != key(Data([2]))


def test_contents_of_an_analysis_that_is_a_container_count():
    class Rows(Base, list):
        pass

    assert key(Rows([1])) != key(Rows([2]))


def test_what_has_no_identity_is_refused_by_its_path():
    with pytest.raises(IdentityError, match=r"analysis\.closure\.Made\.likelihood\.scale"):
        part_key({"analysis": analysis_identity(make(scale=threading.Lock()), Base)})


def test_it_can_be_described():
    assert describe(analysis_identity(Plain([1.0]), Base))["attributes"] == {"data": [1.0]}
