"""What an analysis consists of, and what of it its likelihood reads."""

import copy

import numpy as np
import pytest

from classy_pm.likelihood import Analysis
from classy_pm.likelihood.readings import Recorder, read, with_data


class Instrument:
    def __init__(self, noise, name):
        self.noise, self.name = noise, name


class Data:
    def __init__(self):
        self.values = np.arange(3.0)
        self.counts = np.arange(4)
        self.good = np.array([True, False])
        self.instrument = Instrument(0.5, "first")
        self.parts = [1.5, (np.ones(2), "text")]
        self.again = self.instrument


def path(text):
    return tuple(
        ("item", int(name)) if name.isdigit() else ("attribute", name) for name in text.split(".") if name
    )


def test_numbers_are_data_and_all_else_must_be_equal():
    reading = read(Data(), "iufc")
    expected = {"values", "counts", "instrument.noise", "parts.0", "parts.1.0"}
    assert set(reading.data) == {path(name) for name in expected}
    assert reading.contents.keys() == {path("good")}
    other = Data()
    other.values, other.instrument.noise, other.parts[0] = np.zeros(3), 7.0, -1.0
    assert read(other, "iufc").tokens == reading.tokens
    for change in (
        lambda item: setattr(item, "values", np.zeros(4)),
        lambda item: setattr(item, "good", np.array([True, True])),
        lambda item: setattr(item.instrument, "name", "second"),
        lambda item: setattr(item, "again", Instrument(0.5, "first")),
        lambda item: item.parts.append(1.0),
    ):
        other = Data()
        change(other)
        assert read(other, "iufc").tokens != reading.tokens


def test_a_copy_has_other_data_and_the_original_stays():
    data = Data()
    new = with_data(data, {path("instrument.noise"): 2.0, path("parts.1.0"): "other"})
    assert (
        new.instrument.noise == 2.0 and new.again is new.instrument and new.parts == [1.5, ("other", "text")]
    )
    assert data.instrument.noise == 0.5 and data.parts[1][0] is not new.parts[1][0]
    assert new.values is data.values


READS = {
    "an attribute": (lambda item: item.values, {"values"}),
    "one by its name": (lambda item: getattr(item, "cou" + "nts"), {"counts"}),
    "one of a part": (lambda item: item.instrument.noise, {"instrument", "instrument.noise"}),
    "one by another way": (lambda item: item.again.name, {"again", "instrument.name"}),
    "what is in a list": (
        lambda item: item.parts[0],
        {"parts", "parts.0", "parts.1", "parts.1.0", "parts.1.1"},
    ),
    "all of a part": (
        lambda item: vars(item.instrument),
        {"instrument", "instrument.noise", "instrument.name"},
    ),
    "a copy of a part": (
        lambda item: copy.copy(item.instrument),
        {"instrument", "instrument.noise", "instrument.name"},
    ),
}


@pytest.mark.parametrize("case", READS)
def test_it_is_known_what_is_read(case):
    reads, expected = READS[case]
    data, recorder = Data(), Recorder()
    reads(with_data(data, {}, recorder))
    assert {item for item in read(data, "iufc").tokens if item and recorder.matters(item)} == {
        path(name) for name in expected
    }


def test_what_is_closed_when_it_is_deleted_is_not_copied():
    class File:
        closed = 0

        def __del__(self):
            type(self).closed += 1

    class WithFile(Analysis):
        def __init__(self):
            self.file, self.data = File(), np.ones(3)

    analysis = WithFile()
    copy = with_data(analysis, {path("data"): np.zeros(3)})
    assert copy.file is analysis.file
    del copy
    assert File.closed == 0
    assert read(analysis, "fc").tokens[path("file")] != read(WithFile(), "fc").tokens[path("file")]
