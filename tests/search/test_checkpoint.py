"""Checkpoints: a fit that is killed goes on with the same draws."""

import itertools
import os
import signal
import subprocess
import sys
import time
from typing import ClassVar

import numpy as np
import pytest

import classy_pm as cpm
from classy_pm.catalog import StaleFitError
from classy_pm.search.checkpoint import NAN_COUNT, Journal, read_chain, write_chain

SCRIPT = """
import sys, time
import numpy as np
import classy_pm as cpm

class Slow(cpm.Analysis):
    def log_likelihood_function(self, instance):
        with open("calls", "ab") as calls:
            calls.write(b".")
        time.sleep(0.002)
        return -0.5 * ((instance.x - 1.0) / 0.5) ** 2

model = cpm.Collection(x=cpm.UniformPrior(-5.0, 5.0))
search = {search}
result = search.fit(model, Slow(), catalog="fits.sqlite")
np.save("draws.npy", result.samples.parameter_lists)
"""
EMCEE = "cpm.Emcee(nwalkers=10, nsteps=60, random_seed=1, checkpoint_interval=0.1, likelihood='blackbox')"


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch):
    """What is written outlives a killed process without it, and here it is written at every call."""
    monkeypatch.setattr(os, "fsync", lambda file: None)


def vectors_and_values(seed):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(5, 3)), rng.normal(size=5)


def test_a_journal_knows_after_a_kill_what_was_written(tmp_path):
    path = tmp_path / "fit" / "journal"
    journal = Journal(path, interval=0.0)
    for seed in range(4):
        journal.keep(*vectors_and_values(seed))
    again = Journal(path, interval=0.0)
    assert len(again) == 4
    for seed in range(4):
        vectors, values = vectors_and_values(seed)
        np.testing.assert_array_equal(again.recall(vectors), values)
    assert again.recall(np.zeros((5, 3))) is None
    again.remove()
    assert not path.parent.exists()


@pytest.mark.parametrize("length", [3, 30, 75, 130, 200])
def test_a_record_that_was_cut_or_damaged_is_no_value(tmp_path, length):
    path = tmp_path / "journal"
    journal = Journal(path, interval=0.0)
    for seed in range(4):
        journal.keep(*vectors_and_values(seed))
    content = path.read_bytes()
    for damaged in (
        content[:length],
        content[:length] + bytes([content[length] ^ 1]) + content[length + 1 :],
    ):
        path.write_bytes(damaged)
        again = Journal(path, interval=0.0)
        assert len(again) < 4
        for seed in range(len(again)):
            vectors, values = vectors_and_values(seed)
            np.testing.assert_array_equal(again.recall(vectors), values)
        again.keep(*vectors_and_values(9))
        vectors, values = vectors_and_values(9)
        np.testing.assert_array_equal(Journal(path, interval=0.0).recall(vectors), values)


def test_nan_stays_nan_and_there_are_witnesses_of_each_kind(tmp_path):
    path = tmp_path / "journal"
    journal = Journal(path, interval=1e9)
    for number in range(40):
        journal.keep(np.array([[number], [-number]]), np.array([np.nan, -1.0 * number]))
    journal.keep(np.array([[50.0], [51.0]]), np.array([-np.inf, -7.5]))
    journal.write()
    again = Journal(path, interval=0.0)
    np.testing.assert_array_equal(again.recall(np.array([[3.0], [-3.0]])), [np.nan, -3.0])
    told = {(float(witness.vector[0]), float(witness.values[0])) for witness in again.witnesses()}
    assert {(0.0, 0.0), (-39.0, -39.0), (50.0, -np.inf)} <= told  # the best, the worst, and a zero
    assert sum(np.isnan(value) for _, value in told) >= 1
    for vector, value in told:
        assert np.isnan(value) or (vector, value) in {(50.0, -np.inf), (51.0, -7.5)} or vector == value
    gradients = Journal(tmp_path / "gradients", interval=0.0)
    for slope in (1.0, 0.0):
        gradients.keep(np.array([slope, 2.0]), np.array([slope, 0.0]))
    again = Journal(tmp_path / "gradients", interval=0.0)
    np.testing.assert_array_equal(again.recall(np.array([0.0, 2.0])), [0.0, 0.0])
    np.testing.assert_array_equal(again.witnesses()[0].vector, [1.0, 2.0])


def test_a_chain_that_is_damaged_or_of_an_older_version_is_run_again(tmp_path):
    write_chain(tmp_path, 0, {"vectors": np.zeros((2, 1))})
    assert read_chain(tmp_path, 0) is None
    (tmp_path / "chain-1.npz").write_bytes(b"PK")
    assert read_chain(tmp_path, 1) is None


def test_a_short_fit_writes_no_journal_and_a_full_disk_does_not_end_a_fit(tmp_path):
    journal = Journal(tmp_path / "journal", interval=60.0)
    journal.keep(*vectors_and_values(0))
    journal.write_if_begun()
    assert not (tmp_path / "journal").exists()
    (tmp_path / "file").write_text("in the way")
    blocked = Journal(tmp_path / "file" / "journal", interval=0.0)
    blocked.keep(*vectors_and_values(0))
    blocked.keep(*vectors_and_values(1))


def run(folder, search):
    (folder / "fit.py").write_text(SCRIPT.format(search=search))
    return subprocess.Popen([sys.executable, "fit.py"], cwd=folder)


@pytest.mark.slow
def test_a_fit_that_was_killed_goes_on_with_the_same_draws_and_loses_an_interval_at_most(
    tmp_path, monkeypatch
):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir()
    killed.mkdir()
    monkeypatch.chdir(whole)
    exec(SCRIPT.format(search=EMCEE), {"__name__": "fit"})
    calls = (whole / "calls").stat().st_size
    process = run(killed, EMCEE)
    while not (killed / "calls").exists() or (killed / "calls").stat().st_size < calls // 2:
        assert process.poll() is None
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    done = (killed / "calls").stat().st_size
    assert run(killed, EMCEE).wait() == 0
    np.testing.assert_array_equal(np.load(killed / "draws.npy"), np.load(whole / "draws.npy"))
    repeated = (killed / "calls").stat().st_size - calls
    assert repeated < calls // 4 < done, f"{repeated} calls were repeated of {done}"
    assert not list(killed.rglob("*.journal"))


class Line(cpm.Analysis):
    shift = 0.0

    def __init__(self, failing):
        self.failing, self.calls = failing, []

    def __identity__(self):
        return {}

    def log_likelihood_function(self, instance):
        self.calls.append(instance.x)
        if self.failing and len(self.calls) == 300:
            raise MemoryError
        return -0.5 * (instance.x - self.shift) ** 2


def test_a_likelihood_that_was_changed_meanwhile_begins_anew(tmp_path, monkeypatch):
    model = cpm.Collection(x=cpm.UniformPrior(-5.0, 5.0))
    search = cpm.Emcee(nwalkers=4, nsteps=200, random_seed=1, checkpoint_interval=0.0, likelihood="blackbox")
    with pytest.raises(MemoryError):
        search.fit(model, Line(failing=True), catalog=tmp_path / "fits.sqlite")
    assert len(list(tmp_path.rglob("*.journal"))) == 1
    monkeypatch.setattr(Line, "shift", 1.0)
    again = Line(failing=False)
    result = search.fit(model, again, catalog=tmp_path / "fits.sqlite")
    fresh = search.fit(model, Line(failing=False))
    np.testing.assert_array_equal(result.samples.parameter_lists, fresh.samples.parameter_lists)
    assert not list(tmp_path.rglob("*.journal"))


class Failing(cpm.Analysis):
    """Notes its calls, and fails at one of them."""

    calls: ClassVar[list] = []
    fails_at = 0

    def __identity__(self):
        return {}

    def count(self, call):
        self.calls.append(call)
        if self.fails_at and len(self.calls) >= self.fails_at:
            raise MemoryError


class Sloped(Failing):
    """A black box with a gradient, which fails once in the middle of a fit."""

    def log_likelihood_function(self, instance):
        self.count("value")
        return -0.5 * float(instance.x) ** 2

    def log_likelihood_gradient(self, instance):
        self.calls.append("gradient")
        return np.array([-instance.x])


@pytest.mark.parametrize(
    "search",
    [
        lambda: cpm.NUTS(
            draws=40, tune=40, chains=2, random_seed=1, checkpoint_interval=0.0, likelihood="blackbox"
        ),
        lambda: cpm.Slice(
            draws=40, tune=20, chains=2, random_seed=1, checkpoint_interval=0.0, likelihood="blackbox"
        ),
        lambda: cpm.SMC(draws=60, chains=2, random_seed=1, checkpoint_interval=0.0, likelihood="blackbox"),
    ],
    ids=["NUTS", "Slice", "SMC"],
)
def test_a_black_box_in_a_graph_is_not_asked_again_what_it_has_said(search, tmp_path, monkeypatch):
    model = cpm.Collection(x=cpm.GaussianPrior(0.0, 5.0))
    monkeypatch.setattr(Sloped, "calls", whole := [])
    expected = search().fit(model, Sloped()).samples.parameter_lists
    monkeypatch.setattr(Sloped, "calls", broken := [])
    monkeypatch.setattr(Sloped, "fails_at", len(whole) // 2)
    with pytest.raises(MemoryError):
        search().fit(model, Sloped(), catalog=tmp_path / "fits.sqlite")
    monkeypatch.setattr(Sloped, "calls", again := [])
    monkeypatch.setattr(Sloped, "fails_at", 0)
    result = search().fit(model, Sloped(), catalog=tmp_path / "fits.sqlite")
    np.testing.assert_array_equal(result.samples.parameter_lists, expected)
    assert len(broken) + len(again) < 1.2 * len(whole)


class Steep(Failing):
    """Impossible in nearly all of the prior; another likelihood gives another height, slope, or middle."""

    middle = 0.0
    wrong_by = 1.0

    def log_likelihood_function(self, instance):
        self.count(instance.x)
        if abs(instance.x - 2.0) > 3.0:
            raise cpm.FitException
        return -0.5 * (instance.x - self.middle) ** 2

    def log_likelihood_gradient(self, instance):
        return np.array([(self.middle - instance.x) * self.wrong_by])


CHAINS = {
    "NUTS": lambda **kwargs: cpm.NUTS(draws=40, tune=40, chains=2, **kwargs),
    "Slice": lambda **kwargs: cpm.Slice(draws=20, tune=10, chains=2, **kwargs),
    "SMC": lambda **kwargs: cpm.SMC(draws=60, chains=2, **kwargs),
    "DEMetropolisZ": lambda **kwargs: cpm.DEMetropolisZ(draws=100, tune=100, chains=2, **kwargs),
    "Emcee": lambda **kwargs: cpm.Emcee(nwalkers=4, nsteps=200, **kwargs),
}


def search_of(name, **kwargs):
    return CHAINS[name](random_seed=1, checkpoint_interval=0.0, likelihood="blackbox", **kwargs)


finished: dict[tuple, tuple] = {}


def whole(monkeypatch, analysis, name, model):
    """Return a fit without a catalogue and how many calls it took; of the same likelihood it is run once."""
    state = (analysis, name, *(getattr(analysis, word, None) for word in ("middle", "wrong_by", "mistake")))
    if state not in finished:
        monkeypatch.setattr(analysis, "calls", [])
        result = search_of(name).fit(model, analysis())
        finished[state] = result, len(analysis.calls)
    return finished[state]


def interrupted(monkeypatch, analysis, name, model, catalog, share=0.75):
    """Run a fit without a catalogue, and the same in one up to a share of it; return the first."""
    result, calls = whole(monkeypatch, analysis, name, model)
    monkeypatch.setattr(analysis, "calls", [])
    monkeypatch.setattr(analysis, "fails_at", int(share * calls))
    with pytest.raises(MemoryError):
        search_of(name).fit(model, analysis(), catalog=catalog)
    monkeypatch.setattr(analysis, "calls", [])
    monkeypatch.setattr(analysis, "fails_at", 0)
    return result


@pytest.mark.parametrize("name", CHAINS)
def test_a_black_box_that_was_changed_meanwhile_begins_anew_in_every_search(name, tmp_path, monkeypatch):
    """The first draws of the prior, impossible then and now, do not tell; what is likely does."""
    model = cpm.Collection(x=cpm.UniformPrior(-100.0, 100.0))
    interrupted(monkeypatch, Steep, name, model, tmp_path / "fits.sqlite")
    assert list(tmp_path.rglob("*.journal"))
    monkeypatch.setattr(Steep, "middle", 1.0)
    result = search_of(name).fit(model, Steep(), catalog=tmp_path / "fits.sqlite")
    fresh, _ = whole(monkeypatch, Steep, name, model)
    np.testing.assert_array_equal(result.samples.parameter_lists, fresh.samples.parameter_lists)
    assert not list(tmp_path.rglob("*.journal")) and not list(tmp_path.rglob("chain-*"))


class Mistaken(Failing):
    """By mistake impossible, or not a number, in half of the prior; likely there when that is put right."""

    mistake: ClassVar[str] = ""

    def log_likelihood_function(self, instance):
        self.count(instance.x)
        if self.mistake and instance.x > 0.5:
            if self.mistake == "nan":
                return np.nan
            raise cpm.FitException
        return -0.5 * (instance.y / 0.3) ** 2

    def log_likelihood_gradient(self, instance):
        return np.array([0.0, -instance.y / 0.09])


def half_model():
    return cpm.Collection(x=cpm.UniformPrior(0.0, 1.0), y=cpm.UniformPrior(-5.0, 5.0))


@pytest.mark.parametrize(
    ("name", "mistake"), [("NUTS", "nan"), *itertools.product(["SMC", "Emcee"], ["impossible", "nan"])]
)
def test_a_mistake_outside_of_the_posterior_that_was_put_right_begins_anew(
    name, mistake, tmp_path, monkeypatch
):
    monkeypatch.setattr(Mistaken, "mistake", mistake)
    interrupted(monkeypatch, Mistaken, name, half_model(), tmp_path / "fits.sqlite")
    monkeypatch.setattr(Mistaken, "mistake", "")
    result = search_of(name).fit(half_model(), Mistaken(), catalog=tmp_path / "fits.sqlite")
    fresh, _ = whole(monkeypatch, Mistaken, name, half_model())
    np.testing.assert_array_equal(result.samples.parameter_lists, fresh.samples.parameter_lists)
    assert result.notices == fresh.notices


@pytest.mark.parametrize("mistake", ["impossible", "nan"])
def test_a_finished_fit_with_a_mistake_outside_of_its_posterior_is_stale(mistake, tmp_path, monkeypatch):
    monkeypatch.setattr(Mistaken, "calls", [])
    monkeypatch.setattr(Mistaken, "mistake", mistake)
    search_of("Emcee").fit(half_model(), Mistaken(), catalog=tmp_path / "fits.sqlite")
    assert search_of("Emcee").fit(half_model(), Mistaken(), catalog=tmp_path / "fits.sqlite").from_catalog
    monkeypatch.setattr(Mistaken, "mistake", "")
    with pytest.raises(StaleFitError, match="a draw of the prior"):
        search_of("Emcee").fit(half_model(), Mistaken(), catalog=tmp_path / "fits.sqlite")


def test_a_gradient_that_was_changed_meanwhile_begins_anew(tmp_path, monkeypatch):
    model = cpm.Collection(x=cpm.UniformPrior(-100.0, 100.0))
    interrupted(monkeypatch, Steep, "NUTS", model, tmp_path / "fits.sqlite")
    monkeypatch.setattr(Steep, "wrong_by", 1.005)  # little enough to pass for a slope
    result = search_of("NUTS").fit(model, Steep(), catalog=tmp_path / "fits.sqlite")
    fresh, _ = whole(monkeypatch, Steep, "NUTS", model)
    np.testing.assert_array_equal(result.samples.parameter_lists, fresh.samples.parameter_lists)


class PartlyNaN(Sloped):
    """Not a number in a part of the posterior, into which every search steps."""

    calls: ClassVar[list] = []

    def log_likelihood_function(self, instance):
        value = super().log_likelihood_function(instance)
        return np.nan if instance.x < -1.0 else value


def nan_notice(result):
    (notice,) = (notice for notice in result.notices if "NaN" in notice)
    return notice


@pytest.mark.parametrize("name", CHAINS)
def test_nan_is_counted_alike_with_a_catalogue_and_after_a_kill(name, tmp_path, monkeypatch):
    model = cpm.Collection(x=cpm.GaussianPrior(0.0, 5.0))
    expected = interrupted(monkeypatch, PartlyNaN, name, model, tmp_path / "fits.sqlite")
    resumed = search_of(name).fit(model, PartlyNaN(), catalog=tmp_path / "fits.sqlite")
    np.testing.assert_array_equal(resumed.samples.parameter_lists, expected.samples.parameter_lists)
    assert len(PartlyNaN.calls) > 0 and nan_notice(resumed) == nan_notice(expected)
    filed = search_of(name).fit(model, PartlyNaN(), catalog=tmp_path / "others.sqlite")
    assert nan_notice(filed) == nan_notice(expected)


def test_a_kept_chain_knows_its_nan(tmp_path, monkeypatch):
    model = cpm.Collection(x=cpm.GaussianPrior(0.0, 5.0))
    catalog = tmp_path / "fits.sqlite"
    expected = interrupted(monkeypatch, PartlyNaN, "NUTS", model, catalog, share=0.9)
    (path,) = tmp_path.rglob("chain-*.npz")
    assert read_chain(path.parent, 0)[NAN_COUNT] > 0
    resumed = search_of("NUTS").fit(model, PartlyNaN(), catalog=catalog)
    assert nan_notice(resumed) == nan_notice(expected)
