"""Composing models: what becomes a parameter, what is refused, and what instances are."""

import threading
from collections import namedtuple
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import pytest
import scipy.stats

from classy_pm.errors import FitException, ModelError, UnknownNameError
from classy_pm.model import Collection, GaussianPrior, LogUniformPrior, Model, UniformPrior


class Gaussian:
    def __init__(self, centre=0.0, intensity=0.1, sigma=0.01):
        self.centre, self.intensity, self.sigma = centre, intensity, sigma


class Light:
    def __init__(
        self, centre: tuple[float, float] = (0.0, 0.0), centre_err: float = 0.1, axis_ratio: float = 1.0
    ):
        self.centre, self.centre_err, self.axis_ratio = centre, centre_err, axis_ratio


class Galaxy:
    def __init__(self, redshift: float, lights: list | None = None):
        self.redshift, self.lights = redshift, lights or []


class Counted:
    def __init__(self, scale: float, order=3, centred=True, kind="cubic", extra=None, keyed: float = 1.0):
        self.scale, self.order, self.centred, self.kind, self.extra = scale, order, centred, kind, extra
        self.keyed = keyed


@pytest.fixture
def gaussian():
    model = Model(Gaussian)
    model.centre = UniformPrior(0.0, 100.0)
    model.intensity = LogUniformPrior(1e-2, 1e2)
    model.sigma = GaussianPrior(10.0, 5.0, lower_limit=0.0)
    return model


def test_constructor_arguments_are_parameters_in_their_order(gaussian):
    assert gaussian.paths == [("centre",), ("intensity",), ("sigma",)]
    instance = gaussian.instance_from_vector([1.0, 2.0, 3.0])
    assert isinstance(instance, Gaussian)
    assert (instance.centre, instance.intensity, instance.sigma) == (1.0, 2.0, 3.0)


def test_a_number_fixes_and_a_prior_frees(gaussian):
    gaussian.sigma = 0.5
    assert gaussian.total_free_parameters == 2
    assert gaussian.instance_from_vector([1.0, 2.0]).sigma == 0.5
    gaussian.sigma = UniformPrior(0.0, 1.0)
    assert gaussian.total_free_parameters == 3


def test_the_same_prior_in_two_places_is_one_parameter(gaussian):
    other = Model(Gaussian, intensity=1.0, sigma=1.0)
    other.centre = gaussian.centre
    model = Collection(a=gaussian, b=other)
    assert model.total_free_parameters == 3
    instance = model.instance_from_vector([7.0, 2.0, 3.0])
    assert instance.a.centre == instance.b.centre == 7.0


def test_a_tuple_argument_is_a_parameter_an_element_and_swallows_no_other():
    model = Collection(light=Light)
    assert model.paths == [("light", name) for name in ("centre_0", "centre_1", "centre_err", "axis_ratio")]
    model.light.centre = (0.5, UniformPrior())
    assert model.paths == [("light", name) for name in ("centre_1", "centre_err", "axis_ratio")]
    instance = model.instance_from_vector([1.0, 2.0, 3.0]).light
    assert instance.centre == (0.5, 1.0) and instance.centre_err == 2.0


def test_lists_of_models_are_lists_of_instances():
    model = Model(Galaxy, redshift=0.5, lights=[Light, Light])
    instance = model.instance_from_vector(np.arange(8.0))
    assert type(instance.lights) is list and [light.axis_ratio for light in instance.lights] == [3.0, 7.0]
    assert model.paths[0] == ("lights", "0", "centre_0")


def test_integers_booleans_strings_and_none_stay_what_they_are():
    model = Model(Counted)
    assert model.paths == [("scale",), ("keyed",)]
    instance = model.instance_from_vector([1.5, 2.5])
    assert (type(instance.order), instance.centred, instance.kind, instance.extra) == (
        int,
        True,
        "cubic",
        None,
    )


def test_attributes_that_the_constructor_does_not_name_are_set_after_it():
    class Bare:
        def __init__(self, redshift: float):
            self.redshift = redshift

    model = Model(Bare, redshift=1.0, disk=Light, offset=UniformPrior(), label="lens")
    instance = model.instance_from_vector([1.0, 2.0, 3.0, 4.0, 0.25])
    assert isinstance(instance.disk, Light) and instance.offset == 0.25 and instance.label == "lens"


def test_a_default_prior_in_the_class_is_a_parameter_of_each_model():
    class Annotation:
        def __init__(self, x: Annotated[float, UniformPrior(2.0, 4.0)] = 0.0):
            self.x = x

    model = Collection(a=Annotation, b=Annotation)
    assert model.total_free_parameters == 2
    assert model.instance_from_prior_medians().a.x == 3.0


def test_keyword_arguments_run_along_super():
    class Base:
        def __init__(self, centre=0.0, *, width: float = 1.0):
            self.centre, self.width = centre, width

    class Child(Base):
        def __init__(self, height=2.0, **kwargs):
            super().__init__(**kwargs)
            self.height = height

    model = Model(Child)
    assert model.paths == [("height",), ("centre",), ("width",)]
    instance = model.instance_from_vector([1.0, 2.0, 3.0])
    assert (instance.height, instance.centre, instance.width) == (1.0, 2.0, 3.0)


@pytest.mark.parametrize("name", ["centr", "sigam", "Sigma", "intensty"])
def test_a_misspelt_name_is_refused_with_the_near_one(name, gaussian):
    with pytest.raises(UnknownNameError, match="Did you mean"):
        setattr(gaussian, name, 1.0)
    with pytest.raises(UnknownNameError, match="Did you mean"):
        getattr(gaussian, name)
    with pytest.raises(UnknownNameError, match="Did you mean"):
        Model(Gaussian, **{name: 1.0})


def test_all_wrong_arguments_are_told_at_once():
    with pytest.raises(ModelError, match=r"(?s)centre.*sigma"):
        Model(Gaussian, centre="left", sigma=True)


@pytest.mark.parametrize("thing", [3, "Gaussian", Gaussian()])
def test_what_is_no_class_is_no_model(thing):
    with pytest.raises(ModelError, match="not a class"):
        Model(thing)


def test_arithmetic_on_parameters_is_a_derived_parameter(gaussian):
    other = Model(Gaussian, intensity=1.0)
    other.centre = 2.0 * gaussian.centre + np.log(gaussian.sigma)
    other.sigma = abs(gaussian.sigma) ** 2
    model = Collection(a=gaussian, b=other)
    instance = model.instance_from_vector([3.0, 1.0, 2.0])
    assert instance.b.centre == pytest.approx(6.0 + np.log(2.0)) and instance.b.sigma == 4.0


def test_a_failing_assertion_is_an_impossible_point(gaussian):
    gaussian.add_assertion((gaussian.sigma < gaussian.centre) < 60.0)
    assert isinstance(gaussian.instance_from_vector([50.0, 1.0, 2.0]), Gaussian)
    for vector in ([1.0, 1.0, 2.0], [70.0, 1.0, 2.0]):
        with pytest.raises(FitException):
            gaussian.instance_from_vector(vector)
        assert gaussian.instance_from_vector(vector, ignore_assertions=True).centre == vector[0]
    drawn = [gaussian.random_instance(random_seed=seed) for seed in range(20)]
    assert all(instance.sigma < instance.centre < 60.0 for instance in drawn)


def test_pythons_own_chain_of_comparisons_is_refused_with_the_cure(gaussian):
    with pytest.raises(ModelError, match=r"\(a < b\) & \(b < c\)"):
        gaussian.add_assertion(0.0 < gaussian.sigma < 1.0)


def test_priors_inside_priors_are_parameters_named_after_the_argument():
    model = Collection(a=Model(Gaussian, intensity=1.0, sigma=1.0))
    model.a.centre = GaussianPrior(mean=GaussianPrior(50.0, 20.0), sigma=2.0)
    assert model.paths == [("a", "centre", "mean"), ("a", "centre")]
    unit = [0.8, 0.3]
    instance = model.instance_from_unit_vector(unit)
    mean = GaussianPrior(50.0, 20.0).ppf(0.8)
    assert instance.a.centre == pytest.approx(GaussianPrior(mean, 2.0).ppf(0.3))


def test_the_order_does_not_depend_on_when_priors_were_made_nor_on_threads():
    expected = [("b", "sigma"), ("a", "centre")]

    def compose(found):
        late = UniformPrior()
        early = UniformPrior()
        b = Model(Gaussian, centre=1.0, intensity=1.0, sigma=early)
        a = Model(Gaussian, centre=late, intensity=1.0, sigma=1.0)
        found.append(Collection(b=b, a=a).paths)

    found: list = []
    threads = [threading.Thread(target=compose, args=(found,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 8


def test_a_change_after_an_instance_was_made_is_seen(gaussian):
    gaussian.instance_from_prior_medians()
    gaussian.centre = 4.0
    assert gaussian.instance_from_prior_medians().centre == 4.0
    outer = Collection(inner=gaussian)
    outer.instance_from_prior_medians()
    gaussian.sigma = 9.0
    assert outer.instance_from_prior_medians().inner.sigma == 9.0


def test_a_vector_of_another_length_is_refused_with_the_order(gaussian):
    with pytest.raises(ModelError, match="centre, intensity, sigma"):
        gaussian.instance_from_vector([1.0, 2.0])


def test_info_and_html_name_every_parameter(gaussian):
    model = Collection(line=gaussian, other=Model(Gaussian, centre=gaussian.centre, intensity=2.0))
    for name in ("line", "centre", "UniformPrior", "2.0", "no prior yet", "is line.centre"):
        assert name in model.info
    assert "<table>" in model._repr_html_()


def test_tuples_of_models_are_tuples_of_instances_and_survive_plain_data():
    model = Collection(lights=(Light, UniformPrior(), 2.0))
    assert model.total_free_parameters == 5
    for same in (model, model.copy(), Collection.from_json(model.to_json(), classes=[Light])):
        lights = same.instance_from_vector(np.arange(5.0)).lights
        assert type(lights) is tuple and isinstance(lights[0], Light) and lights[1:] == (4.0, 2.0)
    assert model.with_paths(["lights.1"]).instance_from_vector([0.5]).lights == (0.5,)
    assert Collection(numbers=(1.0, 2)).numbers == (1.0, 2)


Point = namedtuple("Point", "x y")


@pytest.mark.parametrize(
    "value",
    [
        {UniformPrior()},
        frozenset([Light]),
        np.array([UniformPrior(), 1.0], dtype=object),
        np.array([[Model(Light)]], dtype=object),
        Point(UniformPrior(), 1.0),
        [1.0, {"deep": {UniformPrior()}}],
        {UniformPrior(): 1.0},
    ],
    ids=lambda value: type(value).__name__,
)
def test_priors_and_models_where_they_would_be_constants_are_refused(value):
    for compose in (lambda: Collection(x=value), lambda: Model(Counted, extra=value)):
        with pytest.raises(ModelError, match=r"a list, a tuple or a dict|names \(str\)"):
            compose()


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ((1.0, 2.0), "is a tuple"),
        ([UniformPrior(), 1.0], "is a list"),
        ({"mean": 1.0}, "is a dict"),
        (
            UniformPrior,
            r"(?s)is the class UniformPrior.*UniformPrior\(lower_limit=\.\.\., upper_limit=\.\.\.\)",
        ),
        (scipy.stats.norm(0.0, 1.0), "(?s)scipy's distributions are no priors.*GaussianPrior"),
    ],
    ids=["tuple", "list", "dict", "class", "scipy"],
)
def test_what_is_no_number_is_no_value_of_a_parameter(value, words, gaussian):
    with pytest.raises(ModelError, match=words):
        gaussian.centre = value
    with pytest.raises(ModelError, match=words):
        Model(Counted, keyed=value)


@pytest.mark.parametrize("compose", [lambda: Collection(x=UniformPrior), lambda: Model(UniformPrior)])
def test_a_class_of_priors_is_nowhere_a_part(compose):
    with pytest.raises(ModelError, match="is the class UniformPrior"):
        compose()


@dataclass(frozen=True)
class Frozen:
    x: float = 0.0


class Slotted:
    __slots__ = ("other", "x")

    def __init__(self, x: float = 0.0):
        self.x = x

    def method(self):
        return self.x


class Computed:
    def __init__(self, x: float = 0.0):
        self.x = x

    @property
    def square(self):
        return self.x**2

    @property
    def half(self):
        return self.x / 2.0

    @half.setter
    def half(self, value):
        self.x = 2.0 * value


@pytest.mark.parametrize(
    ("cls", "name", "words"),
    [
        (Frozen, "label", "frozen"),
        (Computed, "square", "property"),
        (Slotted, "label", "slots"),
        (Slotted, "method", "slots"),
    ],
)
def test_an_attribute_that_no_instance_can_be_given_is_refused_when_composing(cls, name, words):
    with pytest.raises((ModelError, UnknownNameError), match=words):
        Model(cls)[name] = 1.0
    with pytest.raises(UnknownNameError, match=words):
        Model(cls).add_attribute(name, 1.0)


def test_properties_and_slots_that_can_be_set_are():
    assert Model(Computed, half=3.0).instance_from_vector([0.0]).x == 6.0
    assert Model(Slotted, other=3.0).instance_from_vector([0.0]).other == 3.0


def test_an_argument_cannot_be_deleted_and_another_attribute_can(gaussian):
    gaussian.label = "line"
    del gaussian.label
    assert not hasattr(gaussian.instance_from_vector([1.0, 2.0, 3.0]), "label")
    for model, name in ((gaussian, "centre"), (Model(Light), "centre"), (Model(Light), "centre_0")):
        with pytest.raises(ModelError, match="cannot do without it"):
            delattr(model, name)
    assert gaussian.total_free_parameters == 3
    with pytest.raises(UnknownNameError):
        del gaussian.nothing


class Awkward:
    def __init__(self, info=0.0, cls=0.0, paths=0.0, copy=0.0, children=0.0, _n=0.0):
        self.values = (info, cls, paths, copy, children, _n)


def test_arguments_with_the_names_of_methods_or_an_underscore_are_set_and_read_by_name():
    model = Model(Awkward, info=1.0, cls=2.0)
    model.paths, model.copy, model._n = 3.0, 4.0, 6.0
    model["children"] = 5.0
    assert model.instance_from_vector([]).values == (1.0, 2.0, 3.0, 4.0, 5.0, 6.0)
    assert model["info"] == 1.0 and model["_n"] == model._n == 6.0 and model.cls is Awkward
    assert type(model).copy(model).instance_from_vector([]).values == (1.0, 2.0, 3.0, 4.0, 5.0, 6.0)


def test_a_part_that_is_appended_after_a_deletion_replaces_no_other():
    first, second, third = UniformPrior(), UniformPrior(), UniformPrior()
    model = Collection(first, second, third)
    del model[0]
    model.append(2.0)
    assert list(model) == [second, third, 2.0] and model["3"] == 2.0


@pytest.mark.parametrize(
    "compose", [lambda: Collection({1: 1.0, "1": 2.0}), lambda: Collection({"a": 1.0}, a=2.0)]
)
def test_two_parts_of_one_name_are_refused(compose):
    with pytest.raises(ModelError, match="is the name of two parts"):
        compose()
