"""Queries select what they say, hostile texts are texts, and reading is lazy: the same on both engines."""

import copy
import functools
import operator
import pickle
import types
import warnings

import numpy as np
import pytest
import sqlalchemy as sa
import xarray as xr
from builders import GAUSSIAN, KURTOSIS, make_record, make_tree

from classy_pm.catalog import Aggregator, Catalog, ParameterRecord, aggregator, files, tables
from classy_pm.catalog.listing import list_fits
from classy_pm.catalog.places import Path
from classy_pm.errors import CatalogError, ClassyError, UnknownNameError
from classy_pm.result.tree import saved_group

Gaussian = type("Gaussian", (), {"__module__": "profiles"})
GaussianKurtosis = type("GaussianKurtosis", (Gaussian,), {"__module__": "profiles"})
Exponential = type("Exponential", (), {"__module__": "profiles"})


#: In the order of their characters' numbers, which is that of no dictionary.
WORDS = ["", "B", "Z", "a", "b", "\u00e9"]


@pytest.fixture(scope="module")
def agg(place):
    """Six fits: centres 30, 40, ... 80; Gaussians but for two; data of two kinds; numbers of all kinds."""
    catalog = Catalog(**place)
    for number in range(6):
        cls = [GAUSSIAN, KURTOSIS, ("profiles:Exponential", ())][number // 2]
        record = make_record(
            number,
            cls=cls,
            centre=30.0 + 10.0 * number,
            tags=("even",) if number % 2 == 0 else (),
            data_hash=f"{number // 3:064d}",
            log_evidence=-float(number),
            loo=[1.0, float("nan"), float("inf"), None, 2.0, -3.0][number],
            divergences=number,
        )
        record.info["word"] = WORDS[number]
        catalog.file(record, make_tree(number))
    yield Aggregator(catalog)
    catalog.close()


def indices(selection):
    return [fit.info["index"] for fit in selection]


QUERIES = {
    "class": (lambda a: a.profile == Gaussian, [0, 1]),
    "not class": (lambda a: a.profile != Gaussian, [2, 3, 4, 5]),
    "subclasses": (lambda a: a.profile.isa(Gaussian), [0, 1, 2, 3]),
    "some classes": (lambda a: a.profile.in_([Gaussian, Exponential]), [0, 1, 4, 5]),
    "greater": (lambda a: a.profile.centre > 60, [4, 5]),
    "at least": (lambda a: a.profile.centre >= 60, [3, 4, 5]),
    "less": (lambda a: a.profile.centre < np.float32(50), [0, 1]),
    "equal": (lambda a: a.profile.centre == 50, [2]),
    "range": (lambda a: (a.profile.centre > 35) & (a.profile.centre < 65), [1, 2, 3]),
    "between": (lambda a: a.profile.centre.between(40, 60), [1, 2, 3]),
    "in": (lambda a: a.profile.centre.in_([30, 80]), [0, 5]),
    "in nothing": (lambda a: a.profile.centre.in_([]), []),
    "two parameters": (lambda a: (a.profile.centre > 60) & (a.profile.sigma == 5), [4, 5]),
    "mean": (lambda a: a.profile.centre.mean > 70, [5]),
    "upper": (lambda a: a.profile.centre.upper(3) < 45, [0, 1]),
    "lower": (lambda a: a.profile.centre.lower(sigma=3) > 57, [3, 4, 5]),
    "best is not known": (lambda a: a.profile.centre.best > 0, []),
    "not finite": (lambda a: a.profile.sigma.r_hat > 0, []),
    "and": (lambda a: (a.profile == Gaussian) & (a.profile.centre > 35), [1]),
    "or": (lambda a: (a.profile == Gaussian) | (a.profile.centre > 75), [0, 1, 5]),
    "not": (lambda a: ~((a.profile == Gaussian) | (a.profile.centre > 75)), [2, 3, 4]),
    "not of a range": (lambda a: ~((a.profile.centre > 35) & (a.profile.centre < 65)), [0, 4, 5]),
    "constant": (lambda a: a.profile.redshift == 0.5, [0, 1, 2, 3, 4, 5]),
    "part of a constant text": (lambda a: a.profile.label.contains("Br"), [0, 1, 2, 3, 4, 5]),
    "beginning of a constant text": (lambda a: a.profile.label.startswith("Br"), []),
    "constant texts between": (lambda a: a.profile.label.between("O", "P"), [0, 1, 2, 3, 4, 5]),
    "constant text before": (lambda a: a.profile.label < "O", []),
    "constant text": (lambda a: a.profile.label == "O'Brien", [0, 1, 2, 3, 4, 5]),
    "place": (lambda a: a.profile.redshift.exists(), [0, 1, 2, 3, 4, 5]),
    "by key": (lambda a: a.model["profile"]["centre"] == 30, [0]),
    "name": (lambda a: a.search.name == "line", [0, 1, 2, 3, 4, 5]),
    "tag of the search": (lambda a: a.search.unique_tag == "object_3", [3]),
    "beginning": (lambda a: a.search.unique_tag.startswith("object%"), []),
    "part": (lambda a: a.search.unique_tag.contains("t_3"), [3]),
    "wildcards are letters": (lambda a: a.search.unique_tag.contains("object__3"), []),
    "sampler": (lambda a: a.search.sampler == "Emcee", []),
    "note": (lambda a: a.info["index"] == 2, [2]),
    "note larger": (lambda a: a.info["index"] > 3, [4, 5]),
    "note range": (lambda a: a.info["index"].between(1, 2), [1, 2]),
    "note text": (lambda a: a.info["survey"] == "zzz' OR '1'='1", [0, 1, 2, 3, 4, 5]),
    "note bool": (lambda a: a.info["flag"] == True, [0, 1, 2, 3, 4, 5]),  # noqa: E712
    "notes in": (lambda a: a.info["index"].in_([1, 5, "5"]), [1, 5]),
    "note is there": (lambda a: a.info["nothing"].exists(), []),
    "tagged": (lambda a: a.tagged("even"), [0, 2, 4]),
    "evidence": (lambda a: a.fit.log_evidence > -1.5, [0, 1]),
    "neither NaN nor infinite": (lambda a: a.fit.loo > -10, [0, 4, 5]),
    "not, of a number that is not known": (lambda a: ~(a.fit.loo > 0), [1, 2, 3, 5]),
    "nothing known": (lambda a: a.fit.loo == None, [1, 2, 3]),  # noqa: E711
    "less than infinity": (lambda a: a.fit.log_evidence < float("inf"), [0, 1, 2, 3, 4, 5]),
    "integer above a fraction": (lambda a: a.fit.divergences > 2.5, [3, 4, 5]),
    "integer equal to a fraction": (lambda a: a.fit.divergences == 2.5, []),
    "integer too large for a column": (lambda a: a.fit.divergences < 10**30, [0, 1, 2, 3, 4, 5]),
    "capitals differ": (lambda a: a.info["word"] == "z", []),
    "parts in capitals differ": (lambda a: a.search.unique_tag.contains("OBJECT"), []),
    "begins in capitals": (lambda a: a.search.unique_tag.startswith("O"), []),
    "begins": (lambda a: a.search.unique_tag.startswith("object_"), [0, 1, 2, 3, 4, 5]),
    "contains nothing": (lambda a: a.search.unique_tag.contains(""), [0, 1, 2, 3, 4, 5]),
    "empty text": (lambda a: a.info["word"] == "", [0]),
    "letters of other languages": (lambda a: a.info["word"].contains("\u00e9"), [5]),
    "texts in order": (lambda a: a.info["word"] > "Z", [3, 4, 5]),
    "texts between": (lambda a: a.info["word"].between("A", "a"), [1, 2, 3]),
    "NUL": (lambda a: a.search.name == "a\0b", []),
    "contains NUL": (lambda a: a.search.name.contains("\0"), []),
    "does not contain NUL": (lambda a: ~a.search.name.contains("\0"), [0, 1, 2, 3, 4, 5]),
    "begins with NUL": (lambda a: a.info["word"].startswith("\0"), []),
    "NUL among others": (lambda a: a.info["word"].in_(["a\0", "a", 3]), [3]),
    "not NUL": (lambda a: a.search.name != "a\0b", [0, 1, 2, 3, 4, 5]),
    "no note is None": (lambda a: a.info["word"] == None, []),  # noqa: E711
    "a list is not None": (lambda a: a.info["list"] == None, []),  # noqa: E711
    "less than what is beyond all floats": (lambda a: a.fit.divergences < 10**400, [0, 1, 2, 3, 4, 5]),
    "more than what is far below all floats": (lambda a: a.info["index"] > -(10**5000), [0, 1, 2, 3, 4, 5]),
    "equal to what is beyond all floats": (lambda a: a.info["index"] == 10**400, []),
    "among what is beyond all floats": (lambda a: a.profile.centre.in_([10**400, 30]), [0]),
    "composed letters": (lambda a: a.info["word"] == "e\u0301", [5]),
    "parts of composed letters": (lambda a: a.info["word"].startswith("e\u0301"), [5]),
    "among many": (lambda a: a.info["index"].in_([2**53 + i for i in range(2000)] + [4, 5]), [4, 5]),
    "no tag of the search": (lambda a: a.search.unique_tag == None, []),  # noqa: E711
    "no note NUL": (lambda a: ~a.info["\0"].exists(), [0, 1, 2, 3, 4, 5]),
}


@pytest.mark.parametrize("name", QUERIES)
def test_a_query_selects_what_it_says(agg, name):
    condition, expected = QUERIES[name]
    selection = agg.query(condition(agg))
    assert indices(selection) == expected
    assert len(selection) == len(expected)
    assert bool(selection) is bool(expected)


HOSTILE = [
    "O'Brien",
    "zzz' OR '1'='1",
    '"; DROP TABLE fit; --',
    "%",
    "_",
    "\\",
    "\0",
    "\u202e",
    "x" * 10_000,
    ":p",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_are_texts(agg, text):
    for condition in (
        agg.search.name == text,
        agg.search.unique_tag.contains(text) & (agg.search.name == ""),
        agg.info[text] == text,
        agg.info["survey"] == text + "x",
        agg.tagged(text),
        agg.profile.label == text + "x",
    ):
        assert list(agg.query(condition)) == []
    with pytest.raises(UnknownNameError):
        agg.query(agg.model[text] == 1)
    assert len(agg) == 6


def test_a_misspelt_place_is_told_with_the_near_one(agg):
    with pytest.raises(UnknownNameError, match=r"profile\.centre"):
        agg.query(agg.profile.center > 1)
    with pytest.raises(UnknownNameError, match="unique_tag"):
        agg.search.uniqe_tag  # noqa: B018
    with pytest.raises(UnknownNameError, match=r"profile\.sigma"):
        agg.values("profile.sigmo")


@pytest.mark.parametrize(
    "mistake",
    [
        lambda a: a.query((a.profile == Gaussian) and (a.profile.centre > 3)),
        lambda a: a.query(not (a.profile == Gaussian)),  # noqa: SIM201
        lambda a: a.query(30 < a.profile.centre < 40),
        lambda a: a.query(a.profile),
        lambda a: a.query(True),
        lambda a: a.query((a.profile == Gaussian) & True),
        lambda a: a.query(a.profile.centre > float("nan")),
        lambda a: a.query(a.profile.centre > [1]),
        lambda a: a.query(a.fit.log_evidence > "1"),
        lambda a: a.query(a.search.name == 1),
        lambda a: a.query(a.search.name > "a\0"),
        lambda a: a.query(a.info["word"].between("a", "b\0")),
        lambda a: a.query(a.search.name == "\ud800"),
        lambda a: a.query(a.info["word"].contains("\ud800")),
        lambda a: a.query(a.info["\ud800"] == 1),
        lambda a: a.query(a.tagged("\ud800")),
        lambda a: a.query(a.model["\ud800"].exists()),
        lambda a: a.values("\ud800"),
        lambda a: a.query(a.search.name.startswith(3)),
        lambda a: a.query(a.search.name == 10**5000),
        lambda a: a.query(a.tagged(3)),
        lambda a: a.query(a.profile.isa("Gaussian")),
        lambda a: a.query(a.start == 1),
        lambda a: a.query(a.profile.centre.upper(2) > 1),
        lambda a: a[:2].query(a.profile == Gaussian),
        lambda a: a.order_by("name"),
        lambda a: a.order_by((a.profile.centre, True)),
        lambda a: a.query(a.search.name.in_("line")),
        lambda a: a.query(a.info["word"].in_("abc")),
        lambda a: a.query(a.profile.label.in_("O'Brien")),
        lambda a: a.query(a.profile.centre.in_(30)),
        lambda a: a.query(a.profile.centre.in_(np.array(30))),
        lambda a: a.query(a.info["index"] < np.datetime64("2026-01-01")),
        lambda a: a.query(a.info["index"] < np.datetime64("2026-01-01T00:00:00", "ns")),
        lambda a: a.query(a.info["index"] == np.array(5, "timedelta64[ns]")),
        lambda a: a.query(a.profile.centre[10**5000] > 0),
        lambda a: a["lens"],
        lambda a: a[1.0],
        lambda a: a["a":],
        lambda a: a[::2],
        lambda a: a[::0],
        lambda a: a.register("Gaussian"),
        lambda a: a.register(Gaussian(), Gaussian),
        lambda a: a.alias("profiles.Gaussian", Gaussian),
        lambda a: a.alias("profiles:Gaussian", "Gaussian"),
        lambda a: Aggregator("survey.sqlite"),
    ],
)
def test_mistakes_are_told(agg, mistake):
    with pytest.raises(CatalogError):
        mistake(agg)


@pytest.mark.parametrize(
    ("mistake", "cure"),
    [
        (lambda a: a.profile > 3, "compared with a class"),
        (lambda a: a.profile == "text", "compared with a class"),
        (lambda a: a.profile.mean > 3, "`profile` is a component"),
        (lambda a: a.profile.centre == Gaussian, "Compare it with a number"),
        (lambda a: a.profile.centre.isa(Gaussian), "Compare it with a number"),
        (lambda a: a.profile.centre == "30", "Compare it with a number"),
        (lambda a: a.profile.centre.contains("3"), "Compare it with a number"),
        (lambda a: a.profile.label > 3, "Compare it with a text"),
        (lambda a: (a.search.name == "line") | ~(a.profile.label == Gaussian), "Compare it with a text"),
    ],
)
def test_what_is_something_else_in_all_fits_is_no_empty_answer(agg, mistake, cure):
    with pytest.raises(CatalogError, match=cure):
        agg.query(mistake(agg))


def test_fits_are_not_ordered_by_a_component_nor_its_draws_given(agg):
    with pytest.raises(CatalogError, match="is a component"):
        agg.order_by(agg.profile.desc())
    for name in ("profile", "profile.redshift", "profile.centre[0]"):
        with pytest.raises(UnknownNameError, match="No fit"):
            agg.values(name)


STATISTICS = ["median", "mean", "sd", "best", "most_probable", "ess", "r_hat"]
METHODS = ["upper", "lower", "overlaps", "between", "in_", "contains", "startswith", "isa", "exists", "desc"]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def new_place(request, tmp_path_factory):
    """Give places for other catalogues, on each engine."""

    def make():
        folder = tmp_path_factory.mktemp("named")
        if request.param == "sqlite":
            return {"location": folder / "named.sqlite"}
        address = request.getfixturevalue("server").new_schema()
        return {"location": address, "files": folder / "named.files"}

    return make


@pytest.fixture(scope="module")
def named(new_place):
    """Three fits with what is hard to name: parameters called like statistics, arrays, notes of all kinds."""
    notes = [None, float("nan"), "text"]
    with Catalog(**new_place()) as catalog:
        for number in range(3):
            parameters = [ParameterRecord(f"g.{name}", median=float(number)) for name in STATISTICS + METHODS]
            parameters += [ParameterRecord(f"vec[{i}]", median=10.0 * number + i) for i in range(3)]
            parameters += [
                ParameterRecord(f"lines.{i}.m[{j},1]", median=float(j)) for i in (0, 1) for j in (0, 1)
            ]
            shared = {"other.vec[0]": "vec[0]", "other.vec[1]": "vec[1]"}
            record = make_record(
                number,
                aliases=shared,
                components=[
                    ("g", *GAUSSIAN),
                    ("g.best", *GAUSSIAN),
                    ("lines", *GAUSSIAN),
                    ("lines.0", *KURTOSIS),
                ],
                parameters=parameters,
                info={
                    "index": number,
                    "x": notes[number],
                    "large": 2**53 + number,
                    "mixed": [2.0, "b", "a"][number],
                },
            )
            tree = make_tree(number)
            posterior = tree["posterior"].to_dataset()
            draws = np.random.default_rng(number).normal(size=(2, 20, 3))
            posterior["vec"] = (("chain", "draw", "vec_dim_0"), draws)
            tree["posterior"] = xr.DataTree(posterior)
            tree["saved"] = xr.DataTree(saved_group({"bands": np.arange(number), "observed": {"by": "me"}}))
            catalog.file(record, tree)
        yield Aggregator(catalog)


@pytest.mark.parametrize("name", STATISTICS)
def test_a_parameter_called_like_a_statistic_is_reached_by_key_alone(named, name):
    with pytest.raises(CatalogError, match=rf'`aggregator\.g\["{name}"\]`'):
        named.query(getattr(named.g, name) > 1)
    with pytest.raises(CatalogError, match=rf'`aggregator\.g\["{name}"\]`'):
        named.order_by(getattr(named.g, name))
    assert indices(named.query(named.g[name] > 1)) == [2]
    assert indices(named.query(named.g[name].median > 1)) == [2]


@pytest.mark.parametrize("name", METHODS)
def test_a_parameter_called_like_a_method_is_reached_by_key_alone(named, name):
    for mistake in (
        lambda m: m > 1,
        lambda m: m == 1,
        lambda m: m != Gaussian,
        lambda m: m.x,
        lambda m: m[0],
    ):
        with pytest.raises(CatalogError, match=rf'`g\["{name}"\]`'):
            mistake(getattr(named.g, name))
    assert indices(named.query(named.g[name] > 1)) == [2]


def test_a_component_called_like_a_statistic_is_reached_by_key_alone(named):
    for mistake in (lambda: named.g.best.centre, lambda: named.g.best == Gaussian, lambda: named.g.best[0]):
        with pytest.raises(ClassyError, match=r'g\["best"\]'):
            mistake()
    assert len(named.query(named.g["best"] == Gaussian)) == 3
    with pytest.raises(UnknownNameError, match=r'info\["x"\]'):
        named.info.x  # noqa: B018


def test_elements_of_arrays_are_reached_by_their_place(named):
    assert indices(named.query(named.vec[1] > 5)) == [1, 2]
    assert indices(named.query((named.vec[np.int64(1)] > 5) & (named.vec[1] < 15))) == [1]
    assert indices(named.order_by(named.vec[0].desc())) == [2, 1, 0]
    assert len(named.query(named.lines[1].m[1, 1] == 1)) == len(named.query(named.lines[1].m[1][1] == 1)) == 3
    assert len(named.query(named.lines[0] == GaussianKurtosis)) == 3
    assert len(named.query(named.vec.exists())) == len(named.query(named.vec[2].exists())) == 3
    assert len(named.query(named.vec[3].exists())) == 0
    with pytest.raises(CatalogError, match=r"`aggregator\.vec\[0\]`"):
        named.query(named.vec > 0)
    with pytest.raises(UnknownNameError, match=r"vec\[0\]|vec\[2\]|vec\[1\]"):
        named.query(named.vec[3] > 0)
    with pytest.raises(CatalogError, match="neither a name nor the place"):
        named.vec[0.5]


def test_values_give_arrays_and_their_elements(named):
    arrays, elements = list(named.values("vec")), list(named.values("vec[1]"))
    assert [array.shape for array in arrays] == [(2, 20, 3)] * 3
    for array, element in zip(arrays, elements, strict=True):
        np.testing.assert_array_equal(element, array[:, :, 1])
    with pytest.raises(UnknownNameError, match="vec"):
        named.values("vec[3]")


def test_an_element_is_none_of_a_number_nor_of_an_array_of_other_dimensions(new_place):
    shapes = [(2,), (), (2, 3)]
    with Catalog(**new_place()) as catalog:
        for number, shape in enumerate(shapes):
            paths = ["w"] if not shape else [f"w[{','.join(map(str, i))}]" for i in np.ndindex(shape)]
            tree = make_tree(number)
            posterior = tree["posterior"].to_dataset()
            dims = ("chain", "draw", *(f"w_{axis}" for axis in range(len(shape))))
            posterior["w"] = (dims, np.random.default_rng(number).normal(size=(2, 20, *shape)))
            tree["posterior"] = xr.DataTree(posterior)
            catalog.file(make_record(number, parameters=tuple(map(ParameterRecord, paths))), tree)
        agg = Aggregator(catalog)
        for name, fits in {"w[0]": [0], "w[0,1]": [2]}.items():
            for number in range(3):
                selected = agg.query(agg.info["index"] == number)
                if number in fits:
                    assert [draws.shape for draws in selected.values(name)] == [(2, 20)]
                    continue
                with pytest.raises(UnknownNameError, match=r"no `w\["):
                    list(selected.values(name))


def test_a_shared_parameter_has_one_column_and_is_found_at_each_of_its_paths(named):
    assert not [name for name in named.summary().columns if name.startswith("other")]
    assert indices(named.query(named.other.vec[1] > 5)) == [1, 2]
    (draws,) = named[:1].values("vec")
    (array,), (first,) = (named[:1].values(name) for name in ("other.vec", "other.vec[0]"))
    np.testing.assert_array_equal(array, draws)
    np.testing.assert_array_equal(first, draws[:, :, 0])


def test_values_give_what_was_saved_and_arrays_that_the_index_does_not_list(named):
    assert [len(bands) for bands in named.values("bands")] == [0, 1, 2]
    assert list(named.values("observed")) == [{"by": "me"}] * 3
    assert [draws.shape for draws in named.values("shift")] == [(2, 20, 2)] * 3
    assert list(named.query(named.info["index"] > 9).values("bands")) == []
    with pytest.raises(UnknownNameError, match="Did you mean"):
        named.values("idatta")


def test_a_note_that_is_none_or_not_a_number_is_not_known(named):
    assert indices(named.query(named.info["x"] == None)) == [0, 1]  # noqa: E711
    assert indices(named.query(named.info["x"] != None)) == [2]  # noqa: E711
    assert len(named.query(named.info["nothing"] == None)) == 0  # noqa: E711


def test_large_integers_are_told_apart_to_the_last_digit(named):
    for number in range(3):
        assert indices(named.query(named.info["large"] == 2**53 + number)) == [number]
        assert indices(named.query(named.info["large"].in_([2**53 + number, "a"]))) == [number]
    assert indices(named.query(named.info["large"] == float(2**53))) == [0]


def test_fits_are_ordered_by_notes_numbers_before_texts(named):
    assert indices(named.order_by(named.info["mixed"])) == [0, 2, 1]
    assert indices(named.order_by(named.info["mixed"].desc())) == [0, 1, 2]
    with pytest.raises(CatalogError, match="none by itself"):
        bool(named.info["mixed"])


def test_order_slices_and_single_fits(agg):
    backwards = agg.order_by(agg.profile.centre.desc())
    assert indices(backwards) == [5, 4, 3, 2, 1, 0]
    assert indices(backwards[1:3]) == [4, 3]
    assert indices(backwards[1:][1:3]) == [3, 2]
    assert indices(agg.order_by(agg.info["index"].number.desc())[:1]) == [5]
    assert indices(agg.order_by(agg.search.sampler, agg.fit.log_evidence)[-2:]) == [1, 0]
    assert indices(agg.order_by(agg.info["word"].text.desc())) == [5, 4, 3, 2, 1, 0]
    assert indices(agg.order_by(agg.info["word"].desc())) == [5, 4, 3, 2, 1, 0]
    assert indices(agg.order_by(agg.info["index"].desc())) == [5, 4, 3, 2, 1, 0]
    assert indices(agg.order_by(agg.info["flag"], agg.info["word"])) == [0, 1, 2, 3, 4, 5]
    assert indices(agg.order_by(agg.fit.loo)) == [5, 0, 4, 1, 2, 3], "what is not known comes last"
    assert indices(agg.order_by(agg.fit.loo.desc())) == [4, 0, 5, 1, 2, 3]
    assert agg[0].info["index"] == 0
    assert agg[-1].info["index"] == 5
    assert len(agg[2:]) == 4
    assert agg.first() == agg[0]
    assert agg.query(agg.info["index"] == 3).one() == agg[3]
    with pytest.raises(CatalogError, match="there are 6"):
        agg.one()
    with pytest.raises(IndexError):
        agg[6]


def test_a_slice_keeps_its_fits_in_another_order(agg):
    assert indices(agg[2:5].order_by(agg.profile.centre.desc())) == [4, 3, 2]
    backwards = agg.order_by(agg.profile.centre.desc())
    assert indices(backwards[:2].order_by(agg.fit.log_evidence.desc())) == [4, 5]
    twice = backwards[:4].order_by(agg.info["word"])[1:].order_by(agg.profile.centre.desc())
    assert indices(twice) == [5, 4, 3] and len(twice) == 3 and indices(twice[1:2]) == [4]
    assert indices(agg.query(agg.tagged("even"))[1:].order_by(agg.profile.centre.desc())) == [4, 2]
    assert indices(agg[2:5].order_by().query(agg.profile.centre > 55)) == [3, 4]
    assert list(agg[2:5].order_by(agg.profile.centre.desc()).summary()["profile.centre"]) == [70, 60, 50]


def test_a_fit_beyond_all_is_as_in_a_list(agg):
    assert indices(agg[10**30 :]) == indices(agg[2**62 :][2**62 :]) == []
    assert indices(agg[: 10**30]) == indices(agg[-(10**30) :]) == [0, 1, 2, 3, 4, 5]
    for place in (10**30, -(10**30), 10**5000):
        with pytest.raises(IndexError):
            agg[place]


def test_places_and_notes_have_no_end_and_are_not_iterated(agg):
    for endless in (agg.lens.x, agg.info):
        with pytest.raises(TypeError):
            iter(endless)


def test_hundreds_of_conditions_are_joined_and_more_are_refused(agg):
    def chain(join, number, condition):
        return functools.reduce(join, map(condition, range(number)))

    tags = chain(operator.or_, 1000, lambda i: agg.search.unique_tag == f"object_{i + 4}")
    assert indices(agg.query(tags)) == [4, 5] and indices(agg.query(~tags)) == [0, 1, 2, 3]
    assert indices(agg.query(chain(operator.and_, 1000, lambda i: agg.profile.centre > 50 - i))) == [3, 4, 5]
    assert indices(agg.query(chain(operator.and_, 1000, lambda i: agg.info["index"] != i + 2))) == [0, 1]
    mixed = agg.profile.centre > 45
    for i in range(18):
        mixed = (mixed | (agg.info["index"] == i + 100)) if i % 2 else (mixed & (agg.search.name == "line"))
    assert indices(agg.query(mixed)) == [2, 3, 4, 5]
    for mistake in (
        lambda: chain(operator.or_, 1001, lambda i: agg.search.unique_tag == f"object_{i}"),
        lambda: chain(operator.and_, 1001, lambda i: agg.profile.centre > -i),
        lambda: agg.query(*(agg.profile.centre > -i for i in range(1001))),
        lambda: functools.reduce(lambda condition, _: ~condition, range(30), mixed),
    ):
        with pytest.raises(CatalogError, match="in_"):
            mistake()


def test_thousands_of_values_are_looked_for_and_more_are_refused(agg):
    assert indices(agg.query(agg.info["index"].in_(range(3, 25_000)))) == [3, 4, 5]
    for values in (range(25_001), range(10**12), map(str, range(70_000))):
        with pytest.raises(CatalogError, match="25,000 values at most"):
            agg.info["index"].in_(values)
    some = agg.profile.centre.in_(range(20_000))
    with pytest.raises(CatalogError, match="25,000 values at most"):
        some | agg.info["index"].in_(range(6_000))


def test_the_status_is_no_condition_for_all_fits_here_are_complete(agg):
    with pytest.raises(UnknownNameError, match="verify"):
        agg.fit.status  # noqa: B018


def test_pages_join_without_gap_or_double(agg, monkeypatch):
    monkeypatch.setattr(aggregator, "PAGE", 2)
    assert indices(agg) == [0, 1, 2, 3, 4, 5]
    assert indices(agg.order_by(agg.profile.centre.desc())) == [5, 4, 3, 2, 1, 0]
    assert list(agg.summary()["profile.centre"]) == [30, 40, 50, 60, 70, 80]


def test_values_are_a_stream_and_open_one_file_at_a_time(agg, monkeypatch):
    opened = []
    read = files.read_tree
    monkeypatch.setattr(files, "read_tree", lambda path, sha: opened.append(path) or read(path, sha))
    stream = agg.values("idata")
    assert isinstance(stream, types.GeneratorType)
    assert opened == []
    assert next(stream)["posterior"].sizes["draw"] == 20
    assert len(opened) == 1


def test_one_variable_is_read_alone(agg):
    draws = list(agg.values("profile.centre"))
    for number, values in enumerate(draws):
        np.testing.assert_array_equal(values, make_tree(number)["posterior"]["profile.centre"])


def test_other_rooms_add_their_views_and_get_the_classes_that_were_handed_over(agg, monkeypatch):
    monkeypatch.setitem(aggregator.VIEWS, "seen", lambda stored, classes: dict(classes))
    query = agg.query(agg.profile == Gaussian).register(Exponential).alias("old:Name", Gaussian)
    assert next(query.values("seen")) == {
        "profiles:Gaussian": Gaussian,
        "profiles:Exponential": Exponential,
        "old:Name": Gaussian,
    }


def test_a_class_is_also_one_that_its_old_name_was_given_for(agg):
    new = type("New", (), {"__module__": "elsewhere"})
    known = agg.alias("profiles:Gaussian", new)
    assert indices(known.query(known.profile == new)) == [0, 1]
    assert indices(known.query(known.profile.isa(new))) == [0, 1, 2, 3]
    assert indices(agg.query(agg.profile == new).alias("profiles:Exponential", new)) == [4, 5]
    assert indices(agg.query(agg.profile == new)) == []


def test_a_class_that_is_only_called_like_one_of_the_fits_is_told(agg):
    script = type("Gaussian", (), {"__module__": "__main__"})
    with pytest.warns(UserWarning, match=r'alias\("profiles:Gaussian", Gaussian\)') as told:
        assert indices(agg.query(agg.profile == script)) == []
    assert told[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        agg.query(agg.profile == Gaussian)
        agg.query(agg.profile == Catalog)
        known = agg.alias("profiles:Gaussian", script)
        assert indices(known.query(known.profile == script)) == [0, 1]


def test_the_summary_has_a_row_a_fit_and_opens_no_file(agg, monkeypatch):
    monkeypatch.setattr(files, "check_hash", None)
    table = agg.summary()
    assert list(table.index) == [fit.fit_key for fit in agg]
    assert list(table["profile.centre"]) == [30, 40, 50, 60, 70, 80]
    assert list(table["unique_tag"]) == [f"object_{number}" for number in range(6)]
    both = agg.query(agg.profile == Gaussian).summary("median", "lo3")
    assert list(both["profile.centre:lo3"]) == [28, 38]
    assert len(agg[:0].summary()) == 0
    with pytest.raises(UnknownNameError, match="median"):
        agg.summary("medain")


def test_fits_of_equal_data_are_compared_and_of_others_refused(agg):
    table = agg.query(agg.fit.data_hash == "0" * 64).compare()
    assert list(table["difference"]) == [0, -1, -2]
    with pytest.raises(CatalogError, match="different data"):
        agg.compare()


def test_names_that_are_taken_are_reached_by_key(catalog):
    record = make_record(
        components=[("query", *GAUSSIAN), ("query.mean", *GAUSSIAN)],
        parameters=[ParameterRecord("query.mean.centre", median=3.0)],
    )
    catalog.file(record, make_tree())
    agg = Aggregator(catalog)
    assert len(agg.query(agg.model["query"]["mean"].centre == 3)) == 1
    assert len(agg.query(agg.model["query"]["mean"] == Gaussian)) == 1


def test_probing_by_copy_and_pickle_is_no_query(agg):
    path = Path(("a", "b"))
    for probe in ("__deepcopy__", "_repr_html_", "__array__", "_ipython_display_"):
        assert not hasattr(path, probe)
        assert not hasattr(agg, probe)
    assert repr(copy.copy(path)) == "a.b"
    assert repr(pickle.loads(pickle.dumps(path))) == "a.b"


def test_a_catalogue_without_fits_answers_everything_with_nothing(location):
    agg = Aggregator(Catalog(location))
    assert len(agg.query(agg.profile == Gaussian)) == 0
    assert list(agg) == []
    assert len(agg.summary()) == 0
    with pytest.raises(CatalogError, match="no catalogue"):
        len(Aggregator.from_database(location))


def plan_of(selection):
    """Return the lines in which the engine says how it would answer a query."""
    with selection.catalog.database.reading() as connection:
        query = sa.select(tables.fit).where(selection._where(selection._known(connection)))
        dialect = connection.dialect
    text = query.compile(dialect=dialect, compile_kwargs={"literal_binds": True})
    text = str(text).replace("%%", "%")
    with selection.catalog.database.writing() as connection:
        if dialect.name == "sqlite":
            return [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}")]
        connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        return [row[0] for row in connection.exec_driver_sql(f"EXPLAIN {text}")]


@pytest.mark.parametrize(
    "condition",
    [
        lambda a: a.profile == Gaussian,
        lambda a: a.profile.isa(Gaussian) & (a.profile.centre > 35) & (a.profile.centre < 65),
        lambda a: (a.profile == Gaussian) | (a.profile.centre > 75),
        lambda a: a.profile.centre.between(35, 65),
        lambda a: a.profile.redshift.exists(),
        lambda a: a.info["index"] == 2,
        lambda a: a.info["survey"] == "SLACS",
        lambda a: a.tagged("even"),
        lambda a: a.search.name == "line",
        lambda a: a.search.unique_tag == "a",
        lambda a: a.search.sampler == "NUTS",
        lambda a: a.fit.data_hash == "0" * 64,
        lambda a: a.fit.created > "2026",
    ],
)
def test_no_query_looks_at_every_fit_or_parameter(agg, condition):
    plan = plan_of(agg.query(condition(agg)))
    if agg.catalog.database.name.startswith("postgresql") and any("hashed SubPlan" in line for line in plan):
        return  # PostgreSQL looks each fit up in the two sets that an `|` joins
    assert not [line for line in plan if "SCAN" in line or "Seq Scan" in line], plan


def test_a_class_and_a_range_are_intersected_in_the_indexes(agg):
    if agg.catalog.database.name.startswith("postgresql"):
        pytest.skip("PostgreSQL chooses by what it knows of the tables")
    both = agg.query((agg.profile == Gaussian) & agg.tagged("even"), agg.profile.centre.between(35, 65))
    assert sum("INTERSECT" in line for line in plan_of(both)) == 2


def test_what_is_not_known_is_met_by_the_opposite_of_a_condition(tmp_path):
    with Catalog(tmp_path / "fits.sqlite") as catalog:
        for number, evidence in enumerate([1.0, None, 5.0]):
            catalog.file(make_record(number, log_evidence=evidence), make_tree(number))
        agg = Aggregator(catalog)
        above = agg.fit.log_evidence > 3.0
        assert indices(agg.query(above)) == [2] and indices(agg.query(~above)) == [0, 1]
        assert indices(agg.query(agg.fit.log_evidence != 5.0)) == [0, 1]


def test_a_parameter_called_like_a_column_of_the_fit_does_not_take_its_place(tmp_path):
    with Catalog(tmp_path / "fits.sqlite") as catalog:
        parameters = (ParameterRecord("log_evidence", median=7.0), ParameterRecord("x", median=1.0))
        shared = {"data_hash": "a" * 64}
        catalog.file(make_record(0, log_evidence=-5.0, parameters=parameters, **shared), make_tree())
        catalog.file(make_record(1, log_evidence=-3.0, **shared), make_tree())
        table = Aggregator(catalog).summary()
        assert table["log_evidence"].tolist() == [-5.0, -3.0]
        assert table["log_evidence:median"].iloc[0] == 7.0 and table["x"].iloc[0] == 1.0
        assert Aggregator(catalog).compare()["difference"].tolist() == [0.0, -2.0]


def test_a_listing_takes_texts_as_queries_do(agg):
    tagged = [fit.info["index"] for fit in list_fits(agg.catalog, name="line", tag="even")]
    assert tagged == [4, 2, 0]
    for wanted in ({"name": "\ud800"}, {"tag": "\ud800"}):
        with pytest.raises(CatalogError, match="half a character"):
            list(list_fits(agg.catalog, **wanted))


def test_a_handle_tells_of_its_own_fit_after_a_rebuild(tmp_path):
    with Catalog(tmp_path / "fits.sqlite") as catalog:
        for number in range(3):
            catalog.file(make_record(number, created=f"2026-01-0{3 - number}T00:00:00+00:00"), make_tree())
        handles = list(catalog)
        catalog.tag(handles[0], "good")
        catalog.rebuild()
        assert [handle.info["index"] for handle in handles] == [0, 1, 2]
        assert [handle.tags for handle in handles] == [["good"], [], []]


@pytest.fixture(scope="module")
def odd(new_place):
    """Fits with another thing at one place each: numbers, a text, None, and a number that is not known."""
    constants = [0.5, "text", None, 2**53 + 1, 2**999 + 1]
    with Catalog(**new_place()) as catalog:
        for number, value in enumerate(constants):
            parameters = (
                ParameterRecord("x", role="fixed", value=value),
                ParameterRecord("y", median=1.0, mean=1.5, lo3=0.0, hi3=2.0),
                ParameterRecord("y:mean", role="derived", median=9.0),
            )
            catalog.file(make_record(number, parameters=parameters, unique_tag="ab"[:number]), make_tree())
        free = (ParameterRecord("x", median=float("nan")), ParameterRecord("z", median=3.0, mean=4.0))
        catalog.file(make_record(5, parameters=free, aliases={"y": "z", "w": "z"}), make_tree())
        yield Aggregator(catalog)


def test_none_is_no_text_and_no_large_number(odd):
    assert indices(odd.query(odd.x == None)) == [2, 5]  # noqa: E711
    assert indices(odd.query(odd.x.mean == None)) == [2, 5]  # noqa: E711
    assert indices(odd.query(odd.x != None)) == [0, 1, 3, 4]  # noqa: E711
    assert indices(odd.query(odd.x.upper(3) == None)) == [2, 5]  # noqa: E711


@pytest.mark.parametrize("text", ["x\0", "half\ud800", "x" * 100_001])
def test_a_text_that_no_column_holds_is_not_none(catalog, text):
    for number, value in enumerate([text, None]):
        record = make_record(number, parameters=(ParameterRecord("a", role="fixed", value=value),))
        catalog.file(record, make_tree())
    agg = Aggregator(catalog)
    assert [len(agg.query(condition)) for condition in (agg.a == None, agg.a != None)] == [1, 1]  # noqa: E711


def test_a_constant_is_found_as_a_posterior_without_width(odd):
    assert indices(odd.query(odd.x.overlaps(0.4, 0.6))) == [0]
    assert indices(odd.query(odd.x.overlaps(0.4, 0.6, sigma=1))) == [0]
    assert indices(odd.query(odd.x.overlaps(0.51, 0.6))) == []
    assert indices(odd.query(odd.x.upper(3) < 1)) == indices(odd.query(odd.x.lower(1) < 1)) == [0]
    assert indices(odd.query(odd.y.upper(3) < 1)) == [] and len(odd.query(odd.y.overlaps(1.5, 3))) == 5
    assert odd.summary("lo3")["x:lo3"].iloc[0] == 0.5


def test_a_search_without_a_tag_has_none(odd):
    assert indices(odd.query(odd.search.unique_tag == None)) == [0]  # noqa: E711
    assert indices(odd.query(odd.fit.unique_tag != None)) == [1, 2, 3, 4, 5]  # noqa: E711


def test_the_columns_of_a_summary_are_told_apart_and_filled_where_a_parameter_is_shared(odd):
    for order in (("median", "mean"), ("mean", "median")):
        table = odd.summary(*order)
        assert table["y"].tolist() == [1.0] * 5 + [3.0] and table["y:mean"].tolist() == [1.5] * 5 + [4.0]
        assert table["y:mean:median"].iloc[0] == 9.0 and table["z"].iloc[5] == 3.0
        assert not [name for name in table.columns if name.startswith("w")]
