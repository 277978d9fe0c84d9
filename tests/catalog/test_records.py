"""Records are plain data, checked when they are made, and survive their manifest."""

import json
import time
import unicodedata

import numpy as np
import pytest
from builders import make_record

from classy_pm.catalog import ComponentRecord, FitRecord, ParameterRecord, check_info
from classy_pm.catalog.former import MOST_PLACES, aliases_of
from classy_pm.catalog.records import DEEPEST_MANIFEST, LARGEST_MANIFEST, exact_digits, from_json, to_json
from classy_pm.errors import CatalogError


def test_a_record_is_the_same_after_its_manifest():
    record = make_record(info={"a": [1, {"b": None}], "é": 1.5}, log_evidence=-1e-300)
    parameters = tuple(item for item in record.parameters if item.rhat is None)
    record = make_record(run_id=record.run_id, created=record.created, parameters=parameters)
    assert FitRecord.from_manifest(record.to_manifest()) == record


def test_a_manifest_is_ascii_and_strict_json():
    text = make_record(name="Ünï", log_evidence=float("nan")).to_manifest()
    assert text.isascii()

    def refuse(token):
        raise AssertionError(token)

    json.loads(text, parse_constant=refuse)


def test_numbers_survive_to_the_last_bit_and_keep_their_type():
    values = [0.1, 1e-320, float("inf"), -float("inf"), 2**62, True, 1, 1.0]
    back = from_json(to_json(values))
    assert back == values
    assert [type(item) for item in back] == [type(item) for item in values]
    assert np.isnan(from_json(to_json(float("nan"))))


def test_plain_tuples_will_do_as_components():
    record = make_record(components=[("a", "m:A", ["m:B"])])
    assert record.components == (ComponentRecord("a", "m:A", ("m:B",)),)


def test_all_faults_of_a_record_are_told_at_once():
    with pytest.raises(CatalogError) as caught:
        make_record(
            fit_key="ABC",
            run_id="../../etc",
            name="a\0b",
            kind="other",
            info={1: 2},
            log_evidence="high",
            parameters=(
                ParameterRecord("a", mean=np.float32(1)),
                ParameterRecord("a", role="maybe"),
            ),
        )
    text = str(caught.value)
    for word in ("fit_key", "run_id", "NUL", "kind", "info", "log_evidence", "a.mean", "maybe", "twice"):
        assert word in text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "{",
        '{"classy_format": 1}',
        '{"classy_format": 1, "fit_key": "x", "run_id": "y"}',
        '{"classy_format": NaN}',
        "[" * (DEEPEST_MANIFEST + 1) + "]" * (DEEPEST_MANIFEST + 1),
        "[" * 100_000,
        " " * (LARGEST_MANIFEST + 1),
        '{"classy_format": 1, "parameters": [1]}',
        '{"classy_format": 1, "parameters": [{"path": "a", "evil": 1}]}',
        '{"classy_format": 1, "components": 5}',
    ],
)
def test_a_text_that_is_no_manifest_is_refused(text):
    with pytest.raises(CatalogError):
        FitRecord.from_manifest(text)


def test_a_manifest_of_a_later_format_is_refused_in_words():
    with pytest.raises(CatalogError, match="Upgrade classy_pm"):
        FitRecord.from_manifest('{"classy_format": 99}')


def test_fields_that_are_not_known_are_ignored():
    content = json.loads(make_record().to_manifest()) | {"field of the future": 1}
    assert FitRecord.from_manifest(json.dumps(content)).name == "line"


def test_notes_become_plain_data_with_the_scalars_of_python():
    info = {
        "a": np.float32(0.5),
        "b": np.int64(3),
        "c": np.bool(True),
        "d": np.str_("x"),
        "e": (1, {"f": np.float64(2.0)}),
        "g": None,
    }
    plain = check_info(info)
    assert plain == {"a": 0.5, "b": 3, "c": True, "d": "x", "e": [1, {"f": 2.0}], "g": None}
    assert [type(plain[key]) for key in "abcd"] == [float, int, bool, str]
    assert type(plain["e"][1]["f"]) is float
    assert make_record(info=info).info == plain
    assert check_info(plain) == plain


def test_every_fault_of_notes_is_told_on_one_line_of_its_own_with_the_right_article():
    info = {
        "a": object(),
        "b": {"c d": [{1}]},
        "e": np.zeros(2),
        "t": np.datetime64("2026-01-01", "ns"),
        "half": "\ud800",
        "big": 10**400,
        "ok": 1,
        3: 1,
    }
    expected = [
        "info.a: is an object, which cannot be kept",
        "info.b['c d'][0]: is a set, which cannot be kept",
        "info.e: is an ndarray, which cannot be kept; write its `.tolist()`",
        "info.t: is a datetime64, which cannot be kept",
        "info.half: '\\ud800' contains half a character (a lone surrogate)",
        "info.big: is an integer of 1329 bits, which is too large",
        "info: the key 3 is an int, not a str",
    ]
    with pytest.raises(CatalogError) as caught:
        check_info(info)
    assert list(caught.value.faults) == expected
    with pytest.raises(CatalogError) as caught:
        make_record(info=info)
    assert list(caught.value.faults) == expected


@pytest.mark.parametrize(
    ("info", "kind"),
    [([1], "a list"), (None, "None"), (1, "an int"), ("x", "a str"), (object(), "an object")],
)
def test_notes_that_are_no_dict_are_one_fault(info, kind):
    for make in (check_info, lambda info: make_record(info=info)):
        with pytest.raises(CatalogError) as caught:
            make(info)
        assert list(caught.value.faults) == [f"info: is {kind}, not a dict"]


def test_notes_that_could_not_be_read_back_are_refused_beforehand():
    endless = []
    endless.extend([endless, endless])
    deep = []
    for _ in range(DEEPEST_MANIFEST):
        deep = [deep]
    for value, word in [(endless, "deeper"), (deep, "deeper"), ("x" * LARGEST_MANIFEST, "longer")]:
        with pytest.raises(CatalogError, match=word):
            check_info({"a": value})


NAMES = ["", "a b", "a..b", "a\0b", "../a", "a/b", "x" * 201, "a[b]", "a[0]b", "\u202ea", "a.", "'a'"]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_no_model_has_is_refused_when_a_record_is_made_or_read(name):
    for change in (
        {"parameters": (ParameterRecord(name),)},
        {"components": (("a", "m:A", ()), (name or ".", "m:A", ()))},
    ):
        with pytest.raises(CatalogError, match="no path of names"):
            make_record(**change)
    content = json.loads(make_record().to_manifest())
    content["parameters"][0]["path"] = name
    with pytest.raises(CatalogError, match="no path of names"):
        FitRecord.from_manifest(json.dumps(content))


@pytest.mark.parametrize("name", ["chain", "draw", "sample"])
def test_a_parameter_is_not_called_as_every_result_s_axes_are(name):
    for role in ("free", "fixed", "derived"):
        with pytest.raises(CatalogError, match="no path of names"):
            make_record(parameters=(ParameterRecord(name, role=role),))
    make_record(parameters=(ParameterRecord(f"lens.{name}"),))


def test_all_names_that_a_model_has_are_kept():
    paths = [
        "x",
        "lenses.0.bulge",
        "Ünï.größe_1",
        "weights[0]",
        "a.b[3,14]",
        "x" * 200,
        ".".join(["x" * 99] * 9),
    ]
    make_record(
        components=[("", "m:A", ())] + [(path, "m:A", ()) for path in paths[:3]],
        parameters=[ParameterRecord(path) for path in paths]
        + [ParameterRecord("total flux", role="derived")],
    )


LOOK_ENCODED = [
    {"$float": "nan"},
    {"$float": "inf"},
    {"$$float": "nan"},
    {"$float": {"$float": "-inf"}},
    {"$float": 1, "a": 2},
    [{"$float": "nan"}],
    {"$$$float": {"$$float": [{"$float": "nan"}]}},
]


@pytest.mark.parametrize("value", LOOK_ENCODED)
def test_a_dict_that_looks_like_an_encoded_number_is_the_dict_that_it_is(value):
    record = make_record(info={"a": value})
    assert FitRecord.from_manifest(record.to_manifest()).info == {"a": value}
    assert from_json(to_json({"$float": float("inf")})) == {"$float": float("inf")}


def test_half_a_text_of_two_megabytes_is_refused_in_no_time():
    """A process that was killed leaves half a line; each quote in it was once looked at to the end."""
    text = json.dumps({"a": '\\"' * 500_000})
    start = time.perf_counter()
    assert from_json(text)["a"] == '\\"' * 500_000
    for torn in (text[:-3], text[:-2], text[1:], "[" + text[6:-2]):
        with pytest.raises(CatalogError):
            from_json(torn)
    assert time.perf_counter() - start < 5.0


COMPOSED, APART = "Se\u0301rsic".replace("e\u0301", "é"), "Se\u0301rsic"


def test_an_accent_is_written_in_one_way_wherever_a_text_is_kept():
    assert unicodedata.normalize("NFD", COMPOSED) == APART != COMPOSED
    texts = {"name": APART, "unique_tag": APART, "tags": (APART,), "info": {APART: [APART, {APART: APART}]}}
    record = make_record(**texts)
    assert (record.name, record.unique_tag, record.tags) == (COMPOSED, COMPOSED, (COMPOSED,))
    assert record.info == {COMPOSED: [COMPOSED, {COMPOSED: COMPOSED}]} == check_info(texts["info"])
    with pytest.raises(CatalogError, match="is there twice"):
        check_info({APART: 1, COMPOSED: 2})


@pytest.mark.parametrize("text", ["a\0b", "\ud800"])
@pytest.mark.parametrize("where", ["name", "unique_tag", "tags", "key", "text", "inner text"])
def test_a_text_that_not_everything_can_hold_is_refused_alike_everywhere_with_what_to_do(where, text):
    places = {"tags": {"tags": (text,)}, "key": {"info": {text: 1}}, "text": {"info": {"a": text}}}
    places["inner text"] = {"info": {"a": [{"b": text}]}}
    with pytest.raises(CatalogError, match=r"NUL character|lone surrogate") as caught:
        make_record(**places.get(where, {where: text}))
    assert "Write texts without" in caught.value.cure


def test_a_nul_that_was_once_allowed_in_a_note_does_not_make_a_file_unreadable():
    content = json.loads(make_record().to_manifest())
    content["info"] = {"a": "x\0y", "b": ["\0"]}
    record = FitRecord.from_manifest(json.dumps(content))
    assert record.info == {"a": "x\ufffdy", "b": ["\ufffd"]}


EXACT = {2**53: None, 2**53 + 1: "9007199254740993", -(2**53) - 1: "-9007199254740993", 2**60: None}


@pytest.mark.parametrize("value", [*EXACT, 0, True, 1.5, 1e300, None, "9007199254740993", 10**400])
def test_an_integer_has_its_digits_kept_where_no_double_holds_it(value):
    assert exact_digits(value) == EXACT.get(value, str(value) if value == 10**400 else None)


ALIASES = [
    {"b.centre": "nothing"},
    {"profile.sigma": "profile.centre"},
    {"a b": "profile.centre"},
    {"profile.centre[b c]": "profile.centre"},
    {"profile.centre[b].c": "profile.centre"},
    [],
    {1: 2},
]


@pytest.mark.parametrize("aliases", ALIASES)
def test_a_further_path_must_be_one_and_belong_to_a_parameter(aliases):
    with pytest.raises(CatalogError, match="aliases"):
        make_record(aliases=aliases)
    content = json.loads(make_record().to_manifest())
    content["aliases"] = aliases if aliases != {1: 2} else {"1 ": "2"}
    with pytest.raises(CatalogError, match="aliases"):
        FitRecord.from_manifest(json.dumps(content))


def test_further_paths_survive_the_manifest():
    record = make_record(
        aliases={"other.centre": "profile.centre", "profile.centre[NGC_1,0]": "profile.centre"}
    )
    assert FitRecord.from_manifest(record.to_manifest()).aliases == record.aliases


NO_COLUMN_HOLDS = {
    "n_nonfinite": [None, 1.5, True, "1", 2**53 + 1, 2**63],
    "divergences": [2.5, float("nan"), 2**53 + 1, [], 10**5000],
    "grid_index": [0.5, 2**63 - 1, {}],
    "log_evidence": ["1", True, 2**53 + 1, 10**5000],
    "seconds": [{}],
    "name": [None, 5, 10**5000, "a\0b"],
    "search": [None, {"a": 1}, "\ud800"],
    "created": [None, 5, "a\0b"],
    "kind": [None, ["fit"], 10**5000],
    "parent_key": [5, "A" * 64, "\ud800"],
    "model_hash": [{"a": 1}],
    "tags": [[5], [None], ["\ud800"], 5],
    "components": [[["a", 5, []]], [["a", "m:A", [5]]], [[5, "m:A", []]], [["a"]], 5],
}
NO_PARAMETER_HOLDS = {
    "prior": [{"a": 1}, 5, "\ud800"],
    "path": [5, None, ["a"]],
    "role": [["free"], None, 5],
    "median": ["1", True, 2**53 + 1, {}],
    "value": [{"a": 1}, 10**5000],
}
WRONG = [(name, value) for name, values in NO_COLUMN_HOLDS.items() for value in values]
WRONG += [(f"parameters {name}", value) for name, values in NO_PARAMETER_HOLDS.items() for value in values]


@pytest.mark.parametrize("number", range(len(WRONG)))
def test_what_no_column_holds_is_refused_when_a_record_is_made_or_read(number):
    name, value = WRONG[number]
    of_parameter = name.removeprefix("parameters ")
    inside = of_parameter != name
    with pytest.raises(CatalogError):
        if inside:
            make_record(parameters=(ParameterRecord(**{"path": "a", of_parameter: value}),))
        else:
            make_record(**{name: value})
    content = json.loads(make_record().to_manifest())
    (content["parameters"][0] if inside else content)[of_parameter] = value if value != 10**5000 else 10**4250
    with pytest.raises(CatalogError):
        FitRecord.from_manifest(json.dumps(content))


def test_whole_numbers_may_be_written_with_a_point():
    record = make_record(divergences=2.0, grid_index=2**62)
    assert (type(record.divergences), record.divergences, record.grid_index) == (int, 2, 2**62)


def test_parameters_are_records():
    with pytest.raises(CatalogError, match="not a ParameterRecord"):
        make_record(parameters=("a",))


@pytest.mark.parametrize("where", ["settings", "payload", "extra", "versions"])
def test_an_integer_without_end_is_refused_in_words(where):
    with pytest.raises(CatalogError, match=rf"{where}\.a is an integer of \d+ bits"):
        make_record(**{where: {"a": 10**5000}}).to_manifest()


def test_an_old_note_under_two_spellings_of_a_key_is_kept_under_two_keys():
    content = json.loads(make_record().to_manifest())
    content["info"] = {APART: 1, COMPOSED: [{APART: 2, COMPOSED: 3}], "other": APART}
    expected = {f"{COMPOSED} (2)": 1, COMPOSED: [{f"{COMPOSED} (2)": 2, COMPOSED: 3}], "other": COMPOSED}
    record = FitRecord.from_manifest(json.dumps(content))
    assert record.info == expected
    assert FitRecord.from_manifest(record.to_manifest()).info == expected


def shared_model():
    prior = {"id": 3, "type": "prior", "family": "UniformPrior", "arguments": [], "shape": [2]}
    first = {"id": 2, "type": "model", "children": [["x", prior], ["y", {"id": 4, "type": "prior"}]]}
    again = {"id": 5, "type": "model", "children": [["x", {"type": "same", "id": 3}], ["y", 1.5]]}
    children = [["a", first], ["b", again], ["c", {"type": "same", "id": 2}]]
    return {"root": {"id": 0, "type": "collection", "children": children}}


def test_an_old_parameter_comes_within_the_limits_of_today():
    content = json.loads(make_record(parameters=[ParameterRecord("a")]).to_manifest())
    del content["aliases"]
    content["parameters"][0] |= {"prior": "x" * 1_200_000, "mean": 2**60 + 1}
    (read,) = FitRecord.from_manifest(json.dumps(content)).parameters
    assert len(read.prior) == 1_000_000 and read.mean == 2.0**60


def test_a_manifest_without_further_paths_has_them_from_its_model():
    paths = ["a.x[0]", "a.x[1]", "a.y"]
    content = json.loads(
        make_record(model=shared_model(), parameters=map(ParameterRecord, paths)).to_manifest()
    )
    assert content.pop("aliases") == {}
    assert FitRecord.from_manifest(json.dumps(content)).aliases == {
        "b.x[0]": "a.x[0]",
        "b.x[1]": "a.x[1]",
        "c.x[0]": "a.x[0]",
        "c.x[1]": "a.x[1]",
        "c.y": "a.y",
    }


def test_a_model_without_end_has_no_further_paths():
    same = [[name, {"type": "same", "id": 0}] for name in "ab"]
    prior = ["x", {"id": 1, "type": "prior"}]
    for children in ([prior, *same], same, [[n, prior[1]] for n in map(str, range(2 * MOST_PLACES))]):
        assert aliases_of({"root": {"id": 0, "type": "collection", "children": children}}, ["x", "0"]) == {}
    for odd in ({}, None, 5, {"root": {"type": "same", "id": []}}, {"root": {"id": 0, "type": "model"}}):
        assert aliases_of(odd, ["x"]) == {}
