"""Objects and fits between those that there are."""

import dataclasses
import doctest
import enum
import functools
import importlib
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.interpolate

import classy_pm as cpm
from classy_pm.errors import ClassyError, SettingError
from classy_pm.model import Instance
from classy_pm.plan import make_plan
from classy_pm.result.tree import make_tree


class Profile:
    def __init__(self, centre=(0.0, 0.0), radius=1.0, name="light", count=3, on=True):
        self.centre, self.radius, self.name, self.count, self.on = centre, radius, name, count, on
        self.area = np.pi * radius**2


class Galaxy:
    def __init__(self, redshift, mass):
        self.redshift, self.mass = redshift, mass


def profile(radius, t, **options):
    made = Profile(centre=(2.0 * radius, 1.0), radius=radius, **options)
    made.t = t
    return made


# -- objects ----------------------------------------------------------------------------------------


def test_all_floats_are_interpolated_and_what_a_constructor_computes_belongs_to_them():
    interpolator = cpm.Interpolator([profile(3.0, 2.0), profile(1.0, 0.0), profile(7.0, 4.0)])
    at = interpolator[interpolator.t == 1.5]
    assert type(at) is Profile and at.radius == 2.5 and at.centre == (5.0, 1.0) and at.t == 1.5
    assert at.area == np.pi * 2.5**2, "not between the areas"
    assert (at.name, at.count, at.on) == ("light", 3, True) and type(at.count) is int


def test_at_an_item_it_is_that_item():
    items = [profile(0.1 * place**3, 0.1 * place) for place in range(6)]
    for kind in ("linear", "cubic"):
        interpolator = cpm.Interpolator(items, kind=kind)
        for item in items:
            at = interpolator[interpolator.t == item.t]
            assert (at.radius, at.centre, at.t, at.area) == (item.radius, item.centre, item.t, item.area)


def test_the_cubic_spline_is_that_of_scipy():
    times = np.array([0.0, 1.0, 1.5, 3.0, 4.0])
    radii = 5.0 + np.sin(times)
    interpolator = cpm.Interpolator(map(profile, radii[::-1], times[::-1]), kind="cubic")
    expected = scipy.interpolate.CubicSpline(times, radii)
    for t in (0.2, 1.2, 3.9):
        at = interpolator[interpolator.t == t]
        assert at.radius == pytest.approx(float(expected(t)), rel=1e-12) and at.t == t


def test_arrays_lists_dicts_and_nested_objects_of_a_collection():
    def instance(t):
        mass = Profile(radius=1.0 + t)
        mass.image = t * np.arange(6.0).reshape(2, 3)
        mass.mask = np.array([True, False])
        return Instance(
            {"galaxy": Galaxy(0.5 + t, mass), "lines": [t, 2.0 * t], "fluxes": {"g": t, "band": "g"}, "k": 3}
        )

    interpolator = cpm.Interpolator([instance(0.0), instance(1.0)])
    at = interpolator[interpolator.galaxy.redshift == 0.75]
    assert at.galaxy.redshift == 0.75 and at.galaxy.mass.area == np.pi * 1.25**2
    np.testing.assert_allclose(at.galaxy.mass.image, 0.25 * np.arange(6.0).reshape(2, 3))
    assert at.lines == [0.25, 0.5] and at.fluxes == {"g": 0.25, "band": "g"} and at["k"] == 3
    assert at.galaxy.mass.mask.tolist() == [True, False]


def test_it_is_along_integers_too_and_their_type_is_kept_where_it_can_be():
    interpolator = cpm.Interpolator([profile(1.0, 0), profile(3.0, 2)])
    whole, half = interpolator[interpolator.t == 1], interpolator[interpolator.t == 0.5]
    assert whole.t == 1 and type(whole.t) is int and whole.radius == 2.0
    assert half.t == 0.5 and half.radius == 1.5


def test_it_can_be_along_what_a_class_computes():
    interpolator = cpm.Interpolator([Profile(radius=1.0), Profile(radius=3.0)])
    assert interpolator[interpolator.area == 5.0 * np.pi].radius == pytest.approx(2.0)


@dataclasses.dataclass(frozen=True)
class Frozen:
    x: float
    t: float
    label: str = "a"

    @functools.cached_property
    def square(self):
        return self.x**2


class Slotted:
    __slots__ = ("t", "x")

    def __init__(self, x):
        self.x = x


class Named:
    def __init__(self, *, x, t):
        self.x, self.t = x, t


def test_classes_of_all_sorts_are_built():
    frozen = [Frozen(1.0, 0.0), Frozen(3.0, 1.0)]
    assert frozen[0].square == 1.0 and frozen[1].square == 9.0
    interpolator = cpm.Interpolator(frozen)
    at = interpolator[interpolator.t == 0.5]
    assert at == Frozen(2.0, 0.5) and at.square == 4.0
    slotted = [Slotted(1.0), Slotted(3.0)]
    for t, item in enumerate(slotted):
        item.t = float(t)
    interpolator = cpm.Interpolator(slotted)
    at = interpolator[interpolator.t == 0.25]
    assert (at.x, at.t) == (1.5, 0.25)
    for make in (SimpleNamespace, Named):
        interpolator = cpm.Interpolator([make(x=1.0, t=0.0), make(x=3.0, t=1.0)])
        assert vars(interpolator[interpolator.t == 0.5]) == {"x": 2.0, "t": 0.5}


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


DIFFERENT = {
    "name": ("name: is a str that is not the same in all: 'a', 'b'", {"name": "a"}, {"name": "b"}),
    "integer": ("count: is an integer that is not the same in all: 1, 2", {"count": 1}, {"count": 2}),
    "boolean": ("on: is a bool that is not the same in all: True, False", {"on": True}, {"on": False}),
    "types": ("name: is of several types: str, NoneType", {"name": "a"}, {"name": None}),
    "lengths": ("name: has several lengths", {"name": [1.0]}, {"name": [1.0, 2.0]}),
    "shapes": ("name: has several shapes", {"name": np.ones(2)}, {"name": np.ones(3)}),
    "integers": ("name: is an array of int64", {"name": np.arange(2)}, {"name": np.arange(2) + 1}),
    "infinite": ("name: is not finite", {"name": 1.0}, {"name": np.inf}),
    "enumeration": ("name: is a Colour that", {"name": Colour.RED}, {"name": Colour.BLUE}),
    "keys": ("name: has other names", {"name": {"a": 1.0}}, {"name": {"b": 1.0}}),
}


@pytest.mark.parametrize("case", DIFFERENT)
def test_what_is_no_float_must_be_the_same_in_all(case):
    text, *options = DIFFERENT[case]
    items = [profile(1.0, 0.0, **options[0]), profile(2.0, 1.0, **options[1])]
    interpolator = cpm.Interpolator(items)
    with pytest.raises(ClassyError, match="cannot be interpolated") as caught:
        _ = interpolator[interpolator.t == 0.5]
    assert text in str(caught.value)


def test_all_faults_are_told_at_once():
    interpolator = cpm.Interpolator([profile(1.0, 0.0, name="a", count=1), profile(2.0, 1.0)])
    with pytest.raises(ClassyError, match=r"(?s)name: .*count: "):
        _ = interpolator[interpolator.t == 0.5]


class Hidden:
    def __init__(self, x, t):
        self._x, self.t = x, t


class Doubled:
    def __init__(self, x, t):
        self.x, self.t = 2.0 * x, t


class Picky:
    def __init__(self, x, t):
        if x == 1.5:
            raise ValueError("not this one")
        self.x, self.t = x, t


@pytest.mark.parametrize(
    "cls, text",
    [
        (Hidden, "no attribute `x`"),
        (Doubled, r"x: is not what the constructor of Doubled was given as `x`"),
        (Picky, "Picky raises ValueError: not this one"),
    ],
)
def test_an_object_that_cannot_be_built_rightly_is_refused(cls, text):
    interpolator = cpm.Interpolator([cls(1.0, 0.0), cls(2.0, 1.0)])
    with pytest.raises(ClassyError, match=text):
        _ = interpolator[interpolator.t == 0.5]


def test_an_attribute_that_only_some_have_is_told():
    items = [profile(1.0, 0.0), profile(2.0, 1.0)]
    items[0].colour = 1.0
    interpolator = cpm.Interpolator(items)
    with pytest.raises(ClassyError, match="colour: is not an attribute of all"):
        _ = interpolator[interpolator.t == 0.5]


def test_one_object_in_two_places_is_one_object_again():
    def pair(t):
        one = profile(1.0 + t, t)
        return Instance({"items": one, "other": one, "t": t})

    interpolator = cpm.Interpolator([pair(0.0), pair(1.0)])
    at = interpolator[np.float64(0.5) == interpolator.t]
    assert at.items is at.other and at.other.radius == 1.5


def test_objects_that_contain_themselves_are_refused():
    def loop(x, t):
        made = SimpleNamespace(x=x, t=t)
        made.self = made
        return made

    interpolator = cpm.Interpolator([loop(1.0, 0.0), loop(2.0, 1.0)])
    with pytest.raises(ClassyError, match="contain themselves"):
        _ = interpolator[interpolator.t == 0.5]


# -- places, and how many ----------------------------------------------------------------------------


def test_beyond_the_items_only_where_asked():
    items = [profile(1.0, 0.0), profile(2.0, 1.0), profile(4.0, 2.0)]
    interpolator = cpm.Interpolator(items)
    for t in (-0.1, 2.1):
        with pytest.raises(ClassyError, match=r"not between 0 and 2\.\n.*extrapolate=True"):
            _ = interpolator[interpolator.t == t]
    interpolator = cpm.Interpolator(items, extrapolate=True)
    assert interpolator[interpolator.t == 3.0].radius == pytest.approx(6.0)
    assert interpolator[interpolator.t == -0.5].radius == pytest.approx(0.5)


def test_two_items_at_one_place_are_refused():
    interpolator = cpm.Interpolator([profile(1.0, 1.0), profile(2.0, 0.0), profile(2.0, 1.0)])
    with pytest.raises(ClassyError, match=r"Items 0 and 2 both have t = 1\."):
        _ = interpolator[interpolator.t == 0.5]


def test_too_few_items_and_unknown_kinds_are_refused():
    items = [profile(1.0, float(t)) for t in range(3)]
    with pytest.raises(SettingError, match="cubic interpolation needs 4 items at least, and there are 3"):
        cpm.Interpolator(items, kind="cubic")
    with pytest.raises(SettingError, match="needs 2 items at least, and there are 1"):
        cpm.Interpolator(items[:1])
    with pytest.raises(SettingError, match="Did you mean `linear`"):
        cpm.Interpolator(items, kind="linar")
    with pytest.raises(SettingError, match="no list of objects"):
        cpm.Interpolator(3.0)
    with pytest.raises(SettingError, match="neither True nor False"):
        cpm.Interpolator(items, extrapolate="yes")
    with pytest.raises(SettingError, match="is a model"):
        cpm.Interpolator([cpm.Collection(x=cpm.UniformPrior(0.0, 1.0))] * 2)


@pytest.mark.parametrize("value", ["1", None, float("nan"), True, [1.0]])
def test_a_place_is_a_finite_number(value):
    interpolator = cpm.Interpolator([profile(1.0, 0.0), profile(2.0, 1.0)])
    with pytest.raises(SettingError, match="not a finite number"):
        _ = interpolator[interpolator.t == value]
    with pytest.raises(SettingError, match="says no place"):
        _ = interpolator[0.5]


def test_an_attribute_that_is_not_there_or_no_number_is_told_with_the_near_name():
    interpolator = cpm.Interpolator([profile(1.0, 0.0), profile(2.0, 1.0)])
    with pytest.raises(ClassyError, match=r"(?s)Item 0 has no attribute `radios`.*`radius`"):
        _ = interpolator[interpolator.radios == 0.5]
    with pytest.raises(ClassyError, match="name of item 0 is 'light'"):
        _ = interpolator[interpolator.name == 0.5]


# -- results ------------------------------------------------------------------------------------------


def model_at(t, free=True):
    model = cpm.Model(
        Profile, centre=(cpm.UniformPrior(0.0, 50.0), 1.0 + t), radius=cpm.UniformPrior(0.0, 9.0)
    )
    model.t = t
    return cpm.Collection(profile=model, twice=2.0 * model.radius, label="a")


def result_at(t, medians, widths, *, kind="chains", model=None, fit=None, number=500):
    model = model_at(t) if model is None else model
    plan = make_plan(model)
    vectors = np.random.default_rng(int(10 * t)).normal(medians, widths, size=(1, number, plan.size))
    posterior = dict(zip(plan.names, plan.split(vectors), strict=True))
    for path, derived in plan.derived:
        posterior[".".join(path)] = plan.derived_values(derived, vectors)
    log_likelihood = -0.5 * np.sum((vectors - np.array(medians)) ** 2, axis=-1)
    tree = make_tree(
        posterior, log_likelihood, np.zeros((1, number)), free=plan.names, attributes={"kind": kind}
    )
    return cpm.Result(model, tree, identifier=fit or f"{int(10 * t):064x}")


@pytest.fixture
def results():
    return [result_at(t, [10.0 + t, 2.0 + t], [0.1 * (1.0 + t), 0.2]) for t in (0.0, 2.0, 1.0)]


def test_of_results_the_model_makes_the_objects(results):
    interpolator = cpm.Interpolator(results)
    at = interpolator[interpolator.profile.t == 1.5]
    vectors = {result.instance.profile.t: result.samples.max_log_likelihood_vector for result in results}
    x, radius = np.mean([vectors[1.0], vectors[2.0]], axis=0)
    assert at.profile.radius == pytest.approx(radius) and at.profile.area == np.pi * at.profile.radius**2
    assert at.profile.centre == (pytest.approx(x), 2.5) and at.profile.t == 1.5
    assert at.twice == 2.0 * at.profile.radius and at.label == "a"
    exactly = interpolator[interpolator.profile.t == 1.0]
    assert exactly.profile.radius == vectors[1.0][1]


def test_the_errors_of_independent_fits_are_added_as_independent_errors_are(results):
    interpolator = cpm.Interpolator(results)
    table = interpolator.summary(interpolator.profile.t == 1.5)
    assert list(table.index) == ["profile.centre_0", "profile.radius"]
    by_time = {result.instance.profile.t: result.samples for result in results}
    first, second = by_time[1.0], by_time[2.0]
    sd = [
        np.hypot(*pair) / 2.0
        for pair in zip(first.standard_deviation_vector, second.standard_deviation_vector, strict=True)
    ]
    np.testing.assert_allclose(table["sd"], sd, rtol=1e-12)
    mean = np.mean([first.mean_vector, second.mean_vector], axis=0)
    np.testing.assert_allclose(table["mean"], mean, rtol=1e-12)
    np.testing.assert_allclose(table["median"], mean, atol=5.0 * np.max(sd) / np.sqrt(500))
    widths = 0.5 * (table["upper_1_sigma"] - table["lower_1_sigma"])
    np.testing.assert_allclose(widths, sd, rtol=0.1)
    alone = interpolator.summary(interpolator.profile.t == 1.0)
    np.testing.assert_allclose(alone["sd"], first.standard_deviation_vector, rtol=1e-12)


def test_errors_that_are_not_independent_or_not_there_are_refused(results):
    point = result_at(3.0, [13.0, 5.0], [0.0, 0.0], kind="optimum", number=1)
    chained_model = results[0].model.copy()
    chained_model.profile.t, chained_model.profile.centre_1 = 4.0, 5.0
    chained = result_at(4.0, [14.0, 6.0], [0.1, 0.1], model=chained_model)
    same = result_at(5.0, [14.0, 6.0], [0.1, 0.1], fit=results[0].identifier)
    for other, text in ((point, "no errors"), (chained, "made of another fit"), (same, "results of one fit")):
        interpolator = cpm.Interpolator([*results, other])
        assert interpolator[interpolator.profile.t == 2.5].profile.t == 2.5
        with pytest.raises(ClassyError, match=text):
            interpolator.summary(interpolator.profile.t == 2.5)
    interpolator = cpm.Interpolator([profile(1.0, 0.0), profile(2.0, 1.0)])
    with pytest.raises(ClassyError, match="objects, which have no errors"):
        interpolator.summary(interpolator.t == 0.5)


def test_parameters_that_no_fit_allows_are_refused():
    radii = {0.0: 8.9, 1.0: 0.1, 2.0: 0.1, 3.0: 8.9}
    results = [result_at(t, [10.0, radius], [0.01, 0.01]) for t, radius in radii.items()]
    linear = cpm.Interpolator(results)
    assert linear[linear.profile.t == 1.5].profile.radius == pytest.approx(0.1, abs=0.1)
    cubic = cpm.Interpolator(results, kind="cubic")
    with pytest.raises(ClassyError, match=r"profile\.radius = -.* beyond the limits"):
        _ = cubic[cubic.profile.t == 1.5]


def test_results_of_other_models_are_refused(results):
    other = model_at(3.0)
    other.profile.radius = 2.0
    with pytest.raises(ClassyError, match=r"not the same free parameters: profile\.radius"):
        interpolator = cpm.Interpolator([*results, result_at(3.0, [13.0], [0.1], model=other)])
        _ = interpolator[interpolator.profile.t == 0.5]
    another = model_at(3.0)
    another.more = 1.0
    with pytest.raises(ClassyError, match="same classes and constants"):
        interpolator = cpm.Interpolator([*results, result_at(3.0, [13.0, 5.0], [0.1, 0.1], model=another)])
        _ = interpolator[interpolator.profile.t == 0.5]
    named = [result_at(t, [1.0, 2.0], [0.1, 0.1]) for t in (0.0, 1.0)]
    named[1]._model.label = "b"
    relabelled = cpm.Result(named[1]._model, named[1].idata, identifier="b" * 64)
    interpolator = cpm.Interpolator([named[0], relabelled])
    with pytest.raises(ClassyError, match="label: is a str"):
        _ = interpolator[interpolator.profile.t == 0.5]
    with pytest.raises(SettingError, match="3 of 4 items are results"):
        cpm.Interpolator([*results, results[0].instance])


class Watched(cpm.Analysis):
    def __init__(self, radius):
        self.radius = radius

    def log_likelihood_function(self, instance):
        return -0.5 * ((instance.profile.radius - self.radius) / 0.1) ** 2 - 0.5 * instance.slope**2


def test_the_data_sets_of_a_graph_are_interpolated_and_not_taken_for_independent():
    slope, factors = cpm.GaussianPrior(0.0, 1.0), []
    for t in (0.0, 1.0, 2.0):
        model = cpm.Collection(
            profile=cpm.Model(Profile, centre=(0.0, 0.0), radius=cpm.UniformPrior(0.0, 9.0))
        )
        model.slope, model.t = slope, t
        factors.append(cpm.AnalysisFactor(model, Watched(2.0 + t)))
    graph = cpm.FactorGraphModel(*factors)
    result = cpm.Emcee(nwalkers=8, nsteps=200, random_seed=1, progress=False).fit(graph)
    with pytest.raises(SettingError, match=r"Interpolator\(list\(result\)\)"):
        cpm.Interpolator([result, result])
    interpolator = cpm.Interpolator(list(result))
    at = interpolator[interpolator.t == 1.5]
    radii = [each.instance.profile.radius for each in result]
    assert at.profile.radius == pytest.approx(np.mean(radii[1:])) and at.t == 1.5
    assert at.profile.area == np.pi * at.profile.radius**2
    with pytest.raises(ClassyError, match="results of one fit"):
        interpolator.summary(interpolator.t == 1.5)


def test_results_are_left_as_they_are(results):
    before = [make_plan(result._model).identity for result in results]
    interpolator = cpm.Interpolator(results)
    _ = interpolator[interpolator.profile.t == 1.5]
    assert [make_plan(result._model).identity for result in results] == before


def test_the_example_of_the_docstring_runs():
    assert doctest.testmod(importlib.import_module("classy_pm.study.interpolator")).failed == 0
