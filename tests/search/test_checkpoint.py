"""Checkpoints: a fit that is killed goes on with the same draws."""

import os
import signal
import subprocess
import sys
import time
from typing import ClassVar

import numpy as np
import pytest

import classy_pm as cpm
from classy_pm.search.checkpoint import Journal

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


class Sloped(cpm.Analysis):
    """A black box with a gradient, which fails once in the middle of a fit."""

    calls: ClassVar[list] = []
    fails_at = 0

    def __identity__(self):
        return {}

    def log_likelihood_function(self, instance):
        self.calls.append("value")
        if self.fails_at and len(self.calls) >= self.fails_at:
            raise MemoryError
        return -0.5 * float(instance.x) ** 2

    def log_likelihood_gradient(self, instance):
        self.calls.append("gradient")
        return np.array([-instance.x])


@pytest.mark.parametrize(
    "search",
    [
        lambda: cpm.NUTS(
            draws=60, tune=60, chains=2, random_seed=1, checkpoint_interval=0.0, likelihood="blackbox"
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
