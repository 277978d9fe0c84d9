"""Why two fits differ is told by the places where their payloads do."""

import numpy as np

from classy_pm.catalog import describe, differences
from classy_pm.catalog.difference import MISSING, Difference


def test_places_are_told_and_nothing_else():
    one = {"model": [1, 2], "data": {"y": np.arange(3.0)}, "search": {"draws": 500, "seed": None}}
    two = {"model": [1, 3, 4], "data": {"y": np.arange(3.0) + 1e-9}, "search": {"draws": 500}}
    found = differences(describe(one), describe(two))
    assert [item.path for item in found] == ["model[1]", "model[2]", "data.y.sha256", "search.seed"]
    assert found[1] == Difference("model[2]", MISSING, 4)


def test_a_payload_does_not_differ_from_itself():
    payload = {"a": float("nan"), "b": [1, {"c": None}], "x": np.arange(3)}
    assert differences(describe(payload), describe(payload)) == []
    assert differences({"a": float("nan")}, {"a": float("nan")}) == []
    assert differences({"a": 1}, {"a": True}) == [Difference("a", 1, True)]
