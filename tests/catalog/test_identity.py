"""Same key if and only if the same fit."""

import datetime
import enum
import functools
import json
import os
import pathlib
import subprocess
import sys
import threading
import types
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
import scipy.special
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from classy_pm.catalog import canonical, class_ref, describe, fit_key, part_key
from classy_pm.errors import IdentityError


class Plain:
    def __init__(self, **values):
        vars(self).update(values)


class Other(Plain):
    pass


class Slotted:
    __slots__ = ("__private", "public")

    def __init__(self, public, private):
        self.public = public
        self.__private = private


class Cached(Plain):
    @functools.cached_property
    def costly(self):
        return threading.Lock()


class Hooked:
    def __init__(self, number):
        self.lock = threading.Lock()
        self.number = number

    def __identity__(self):
        return {"number": self.number}


class Versioned(Plain):
    identity_version = 2


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


class Number(float):
    pass


@dataclass
class Point:
    x: float
    y: float


def named(x):
    return x


def multiplier(factor):
    def multiply(x):
        return factor * x

    return multiply


def scaled(factor):
    def decorate(function):
        @functools.wraps(function)
        def wrapper(x):
            return factor * function(x)

        return wrapper

    return decorate


def with_note(note):
    partial = functools.partial(named, 1)
    partial.note = note
    return partial


class Method(Plain):
    def __init__(self, factor):
        self.factor = factor

    def double(self):
        return 2 * self.factor


def versioned(version, base=Plain):
    body = {"identity_version": version, "__module__": __name__, "__qualname__": "Made"}
    return type("Made", (base,), body)


def masked(mask):
    return np.ma.masked_array([1.0, 2.0], mask)


DIFFERENT = {
    "bool and text": (True, "True"),
    "bool and int": (True, 1),
    "int and float": (1, 1.0),
    "None and text": (None, "None"),
    "small floats": (1e-9, 3e-9),
    "small float and zero": (1e-9, 0.0),
    "neighbouring floats": (0.1, np.nextafter(0.1, 1.0)),
    "text and bytes": ("a", b"a"),
    "int64 scalars": (np.int64(1), np.int64(2)),
    "int64 and int32": (np.int64(1), np.int32(1)),
    "scalar and 0-d array": (np.float32(1), np.array(1, np.float32)),
    "float32 arrays": (np.zeros(3, np.float32), np.full(3, 1e-9, np.float32)),
    "dtype": (np.zeros(3, np.float32), np.zeros(3)),
    "shape": (np.zeros((2, 3)), np.zeros((3, 2))),
    "mask": (masked([0, 1]), masked([0, 0])),
    "masked and plain": (masked([0, 0]), np.array([1.0, 2.0])),
    "record arrays": (np.array([(1, 2)], "i4,i4"), np.array([(1, 3)], "i4,i4")),
    "nesting": ([[1], [2]], [[1, 2]]),
    "nested end": ([1, [2]], [[1], 2]),
    "split text": (["ab", "c"], ["a", "bc"]),
    "list and tuple": ([1], (1,)),
    "list and set": ([1], {1}),
    "empty list and dict": ([], {}),
    "dict key types": ({1: 0}, {"1": 0}),
    "dict swapped": ({"a": 1, "b": 2}, {"a": 2, "b": 1}),
    "enum members": (Colour.RED, Colour.BLUE),
    "enum and value": (Colour.RED, 1),
    "classes": (Plain, Other),
    "class and object": (Plain, Plain()),
    "objects of two classes": (Plain(a=1), Other(a=1)),
    "object and dict": (Plain(a=1), {"a": 1}),
    "attributes": (Plain(a=1), Plain(a=2)),
    "attribute names": (Plain(a=1), Plain(b=1)),
    "private slots": (Slotted(1, 2), Slotted(1, 3)),
    "hook": (Hooked(1), Hooked(2)),
    "version": (Versioned(a=1), Plain(a=1)),
    "float subclass": (Number(1.0), 1.0),
    "dataclasses": (Point(1, 2), Point(2, 1)),
    "closures": (multiplier(2), multiplier(3)),
    "lambdas": (lambda x: x + 1, lambda x: x + 2),
    "default of a lambda": (lambda x=1: x, lambda x=2: x),
    "ufuncs": (np.sin, np.cos),
    "partials": (functools.partial(named, 1), functools.partial(named, 2)),
    "decorated functions": (scaled(2)(named), scaled(3)(named)),
    "local functions in partials": (functools.partial(multiplier(2)), functools.partial(multiplier(3))),
    "attributes of partials": (with_note(1), with_note(2)),
    "bound methods": (Method(1).double, Method(2).double),
    "bound methods by function": (
        types.MethodType(multiplier(2), Plain()),
        types.MethodType(multiplier(3), Plain()),
    ),
    "cached functions": (functools.cache(multiplier(2)), functools.cache(multiplier(3))),
    "vectorized functions": (np.vectorize(multiplier(2)), np.vectorize(multiplier(3))),
    "ufuncs of two libraries": (np.exp2, scipy.special.exp2),
    "versions of classes": (versioned(1), versioned(2)),
    "nested hooks": ({"a": [Hooked(1)]}, {"a": [Hooked(2)]}),
    "nested versions": ([versioned(1)()], [versioned(2)()]),
    "versions with hooks": (versioned(1, Hooked)(1), versioned(2, Hooked)(1)),
    "nested slots": ({"a": Slotted(1, 2)}, {"a": Slotted(2, 2)}),
    "methods": ([1].append, [2].append),
    "complex": (1 + 2j, 2 + 1j),
    "dates": (datetime.date(2026, 1, 1), datetime.datetime(2026, 1, 1)),
    "paths": (pathlib.PurePosixPath("a"), "a"),
    "dims": (xr.DataArray([1.0], dims="x"), xr.DataArray([1.0], dims="y")),
    "coordinates": (
        xr.DataArray([1.0], dims="x", coords={"x": [1]}),
        xr.DataArray([1.0], dims="x", coords={"x": [2]}),
    ),
    "variable and coordinate": (
        xr.Dataset({"a": ("x", [1])}),
        xr.Dataset({"a": ("x", [1])}).set_coords("a"),
    ),
    "trees": (
        xr.DataTree.from_dict({"a": xr.Dataset({"v": 1})}),
        xr.DataTree.from_dict({"b": xr.Dataset({"v": 1})}),
    ),
    "frames": (pd.DataFrame({"a": [1, 2]}), pd.DataFrame({"a": [1, 3]})),
    "column names": (pd.DataFrame({"a": [1, 2]}), pd.DataFrame({"b": [1, 2]})),
    "series and index": (pd.Series([1, 2]), pd.Index([1, 2])),
    "categories": (pd.Categorical(["a"], ["a", "b"]).dtype, pd.Categorical(["a"], ["a", "c"]).dtype),
    "times": (np.datetime64("2026-01-01"), np.datetime64("2026-01-02")),
    "generators": (np.random.default_rng(1), np.random.default_rng(2)),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_different_values_have_different_keys(name):
    one, two = DIFFERENT[name]
    assert part_key(one) != part_key(two)
    assert part_key(one) == part_key(one)


def big_endian(array):
    return array.astype(array.dtype.newbyteorder(">"))


GRID = np.arange(6.0).reshape(2, 3)
EQUAL = {
    "dict order": ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    "set order": ({1, 2, 30}, {30, 2, 1}),
    "negative zero": (0.0, -0.0),
    "negative zero in arrays": (np.zeros(2), -np.zeros(2)),
    "NaN": (float("nan"), -float("nan")),
    "NaN in arrays": (np.array([np.nan]), np.array([0xFFF8000000000001], np.uint64).view(float)),
    "byte order": (GRID, big_endian(GRID)),
    "memory order": (GRID, np.asfortranarray(GRID)),
    "strides": (GRID[:, ::2], GRID[:, ::2].copy()),
    "float64 and float": (np.float64(0.1), 0.1),
    "composed and decomposed text": ("é", "e\u0301"),
    "attrs": (xr.DataArray([1.0]), xr.DataArray([1.0], attrs={"made by": "me"})),
    "objects": (Plain(a=1, b=[2]), Plain(b=[2], a=1)),
    "locks behind a hook": (Hooked(1), Hooked(1)),
    "closures": (multiplier(2), multiplier(2)),
}


@pytest.mark.parametrize("name", EQUAL)
def test_equal_values_have_equal_keys(name):
    one, two = EQUAL[name]
    assert part_key(one) == part_key(two)


def test_a_cached_property_that_was_computed_does_not_change_the_key():
    value = Cached(a=1)
    before = part_key(value)
    assert value.costly
    assert part_key(value) == before


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"analysis": Plain(lock=threading.Lock())}, "analysis.lock"),
        ({"items": [1, (x for x in [])]}, "items[1]"),
        ({"deep": {"er": [{"x": memoryview(b"")}]}}, "deep.er[0].x"),
    ],
)
def test_a_value_without_identity_is_refused_by_its_path_with_the_cure(value, path):
    with pytest.raises(IdentityError, match="__identity__") as caught:
        canonical(value)
    assert path in str(caught.value)


def test_an_object_that_contains_itself_is_refused():
    value = Plain()
    value.child = Plain(parent=value)
    with pytest.raises(IdentityError, match=r"analysis\.child\.parent contains itself"):
        canonical(value, "analysis")


def test_too_deep_a_nesting_is_refused():
    value = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(IdentityError, match="too deeply"):
        canonical(value)
    while value:  # or its own destruction is a deep recursion
        value = value.pop()


def test_a_ufunc_that_hides_a_python_function_is_refused():
    with pytest.raises(IdentityError, match=r"kernel is the ufunc.*vectorized") as caught:
        canonical({"kernel": np.frompyfunc(multiplier(2), 1, 1)})
    assert "np.vectorize" in str(caught.value)


def test_a_vectorized_function_has_the_same_key_after_it_was_called():
    function = np.vectorize(multiplier(2), otypes=[float])
    before = part_key(function)
    function(np.ones(3))
    assert part_key(function) == before


def test_a_class_counts_by_its_name_and_version_and_not_by_what_it_holds():
    one, two = versioned(1), versioned(1)
    two.other = 5
    assert part_key(one) == part_key(two)


@pytest.mark.parametrize("version", [property(lambda self: 1), object()])
def test_a_version_that_is_no_plain_value_is_refused(version):
    with pytest.raises(IdentityError, match="identity_version"):
        canonical(versioned(version)())


def test_an_identity_that_is_no_method_is_refused():
    with pytest.raises(IdentityError, match="not a method"):
        canonical(type("Odd", (), {"__identity__": 5})())


leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=4),
    st.binary(max_size=4),
    st.integers(-3, 3).map(np.int64),
    st.lists(st.floats(width=32), max_size=3).map(lambda x: np.array(x, np.float32)),
    st.lists(st.integers(0, 3), max_size=3).map(lambda x: np.array(x, np.int8)),
)
payloads = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.text(max_size=2), inner, max_size=3),
    ),
    max_leaves=6,
)


def same(one, two):
    """Equality as the identity means it, written independently of it."""
    if type(one) is not type(two):
        return False
    if isinstance(one, float):
        return one == two or (one != one and two != two)
    if isinstance(one, np.ndarray):
        return one.dtype == two.dtype and one.shape == two.shape and np.array_equal(one, two, equal_nan=True)
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(same(one[key], two[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(two) and all(map(same, one, two))
    return one == two


@settings(max_examples=300, deadline=None)
@given(payloads, payloads)
def test_keys_are_equal_exactly_if_payloads_are(one, two):
    from unicodedata import normalize

    if normalize("NFC", repr(one)) != repr(one) or normalize("NFC", repr(two)) != repr(two):
        return  # composed and decomposed texts are one
    assert (canonical(one) == canonical(two)) == same(one, two)


@settings(max_examples=100, deadline=None)
@given(payloads)
def test_every_description_is_json(value):
    json.dumps(describe(value), allow_nan=False)


GOLDEN = {
    "scalars": (
        lambda: {"a": [None, True, 1, 0.1, "é", b"x", float("inf")]},
        "872cef9516bdcf751c598246b7268a26571821d599d391f0b7a3cc986138a2b9",
    ),
    "arrays": (
        lambda: {"data": np.arange(3.0), "mask": np.array([True, False]), "names": np.array(["a", "bc"])},
        "c83142423dd87929cb84cae83ee3b6cba65a12b61ba0bc6acdfd81411b77b0fe",
    ),
    "labelled": (
        lambda: xr.DataArray([1.0, np.nan], dims="x", coords={"x": ["a", "b"]}),
        "fbe37205b7136cadc0901e94b2e5f0742167dda6acd597da2b890ffd1272e416",
    ),
    "objects": (
        lambda: [datetime.date, np.sin, {3, 1, 2}, pathlib.PurePosixPath("a/b")],
        "099bb3974b63209dbb796b8fdf06306c018fad0808db3978a3c814e9642057d1",
    ),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_keys_do_not_change_between_versions(name):
    make, expected = GOLDEN[name]
    assert part_key(make()) == expected


def test_keys_do_not_depend_on_the_process():
    code = (
        "import numpy as np; from classy_pm.catalog import fit_key;"
        "print(fit_key({'s': {'a', 'b', 'c'}, 'x': np.arange(3.0), 'z': {'b': 1, 'a': 2}}))"
    )
    keys = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert keys == {fit_key({"s": {"c", "b", "a"}, "x": np.arange(3.0), "z": {"a": 2, "b": 1}}) + "\n"}


def test_classes_of_two_notebooks_with_one_name_differ():
    one = type("Gaussian", (), {"__init__": lambda self, centre: None, "__module__": "__main__"})
    two = type("Gaussian", (), {"__init__": lambda self, mean: None, "__module__": "__main__"})
    assert class_ref(one) != class_ref(two)
    assert class_ref(one).startswith("__main__:Gaussian#")
