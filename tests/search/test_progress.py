"""What is told of a fit's progress, by a clock that is moved by hand."""

import logging
import sys
import types

import numpy as np
import pytest

import classy_pm as cpm
from classy_pm.search import progress
from classy_pm.search.progress import Report


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def run(report, clock, seconds, steps=10, name="sampling", total=10):
    """Run a stage whose steps take equally long."""
    begin = clock.now
    with report.stage(name, total=total) as stage:
        for step in range(steps + 1):
            clock.now = begin + seconds * step / steps
            stage.update(step, f"{step} divergences")


def test_a_short_fit_is_silent(clock, capfd):
    report = Report(None, clock)
    run(report, clock, 9.0)
    report.say("Note: something.")
    assert capfd.readouterr() == ("", "")
    assert report.seconds == {"sampling": 9.0} and report.elapsed == 9.0


def test_a_long_stage_has_a_line_soon_then_one_a_minute_and_one_at_its_end(clock, capfd):
    report = Report(None, clock)
    run(report, clock, 200.0, steps=200, total=200)
    report.say("Note: something.")
    out, err = capfd.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "  sampling: 5% after 10 s, about 3 min 10 s left, 10 divergences",
        "  sampling: 35% after 1 min 10 s, about 2 min 10 s left, 70 divergences",
        "  sampling: 65% after 2 min 10 s, about 1 min 10 s left, 130 divergences",
        "  sampling: 95% after 3 min 10 s, about 10 s left, 190 divergences",
        "  sampling: 3 min 20 s",
        "Note: something.",
    ]


def test_what_will_take_long_is_told_at_once(clock, capfd):
    Report(None, clock).say("Waiting for another process.", at_once=True)
    assert capfd.readouterr().err == "Waiting for another process.\n"


def test_progress_that_was_asked_for_comes_more_often_and_of_all_stages(clock, capfd):
    report = Report(True, clock)
    run(report, clock, 1.0, name="compiling")
    run(report, clock, 30.0, steps=30, total=30)
    lines = capfd.readouterr().err.splitlines()
    assert lines[0] == "  compiling: 1.0 s"
    assert [line.split("after ")[1].split(",")[0] for line in lines[1:-1]] == ["5 s", "20 s"]
    assert lines[-1] == "  sampling: 30.0 s"


def test_progress_that_is_not_wanted_is_not_shown(clock, capfd, caplog):
    with caplog.at_level(logging.INFO, "classy_pm"):
        report = Report(False, clock)
        run(report, clock, 1000.0)
        report.say("Note: something.")
    assert capfd.readouterr() == ("", "") and caplog.text == ""


def test_lines_go_to_the_log_where_there_is_one_and_not_to_stderr_too(clock, capfd, caplog):
    with caplog.at_level(logging.INFO, "classy_pm"):
        run(Report(None, clock), clock, 20.0)
    assert [record.levelname for record in caplog.records] == ["INFO", "INFO"]
    assert "sampling: 50% after 10 s" in caplog.text
    assert capfd.readouterr().err == ""


def test_a_level_of_the_logger_that_somebody_has_set_is_heeded(clock, capfd, monkeypatch):
    monkeypatch.setattr(progress.logger, "level", logging.WARNING)
    progress.logger.manager._clear_cache()
    run(Report(None, clock), clock, 1000.0)
    monkeypatch.undo()
    progress.logger.manager._clear_cache()
    assert capfd.readouterr().err == ""


def test_without_a_total_there_is_no_share_and_no_time_left(clock, capfd):
    run(Report(None, clock), clock, 20.0, total=None)
    assert capfd.readouterr().err.splitlines()[0] == "  sampling: after 10 s, 5 divergences"


def test_steps_of_an_earlier_run_say_nothing_about_the_time_left(clock):
    with Report(False, clock).stage("sampling", total=100) as stage:
        stage.update(90)
        clock.now += 10.0
        assert stage.left == ""
        stage.update(91)
        assert stage.left == "about 1 min 30 s left"
        stage.update(100)
        assert stage.left == "about 0 s left"


def test_a_stage_that_says_nothing_is_told_all_the_same(capfd, monkeypatch):
    monkeypatch.setattr(progress, "USUAL", progress.Pace(0.01, 60.0, False))
    told = progress.threading.Event()
    monkeypatch.setattr(progress, "_print", lambda text: (lines.append(text), told.set()))
    lines = []
    with Report().stage("finding the mode"):
        assert told.wait(10.0)
    assert lines[0] == "  finding the mode: after 0 s" and len(lines) == 2


def test_nothing_is_told_of_a_stage_after_its_end(clock, capfd):
    with Report(None, clock).stage("sampling", total=10) as stage:
        pass
    clock.now += 1000.0
    stage.update(5)
    assert capfd.readouterr().err == ""


def test_a_stage_that_fails_is_timed_and_its_end_is_not_told(clock, capfd):
    report = Report(True, clock)
    with pytest.raises(ZeroDivisionError), report.stage("sampling"):
        raise ZeroDivisionError
    assert report.seconds == {"sampling": 0.0} and capfd.readouterr().err == ""


class Shown:
    """Stands where a notebook shows something."""

    def __init__(self):
        self.pictures = []

    def __call__(self, picture, display_id):
        self.pictures.append(picture)
        return self

    def update(self, picture):
        self.pictures.append(picture)


@pytest.fixture
def notebook(monkeypatch):
    shown = Shown()
    module = types.ModuleType("IPython")
    module.get_ipython = lambda: types.SimpleNamespace(kernel=object())
    module.display = types.ModuleType("IPython.display")
    module.display.HTML, module.display.display = str, shown
    monkeypatch.setitem(sys.modules, "IPython", module)
    monkeypatch.setitem(sys.modules, "IPython.display", module.display)
    return shown


def test_a_notebook_has_a_bar_that_goes_away(notebook, clock, capfd):
    run(Report(None, clock), clock, 100.0, name="sampling <x>")
    assert 'sampling &lt;x&gt; <progress value="5" max="10"></progress> about 50 s left, 5 divergences' in (
        notebook.pictures
    )
    assert len(notebook.pictures) == 13 and notebook.pictures[-1] == ""
    out, err = capfd.readouterr()
    assert out == "  sampling <x>: 1 min 40 s\n" and err == ""


def test_a_bar_in_a_notebook_is_not_drawn_for_every_step(notebook, clock):
    run(Report(None, clock), clock, 10.0, steps=1000, total=1000)
    assert len(notebook.pictures) < 25


def test_a_terminal_has_a_bar(clock, capfd, monkeypatch):
    monkeypatch.setattr(progress, "_somebody_looks_on", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    run(Report(None, clock), clock, 100.0, name="sampling weights[a]")
    err = capfd.readouterr().err
    assert "10 divergences" in err and "sampling weights[a]" in err
    assert err.endswith("  sampling weights[a]: 1 min 40 s\n")


@pytest.mark.parametrize(
    "search",
    [
        cpm.Nautilus(n_live=300, n_eff=300, n_networks=0, random_seed=1),
        cpm.DynestyStatic(nlive=50, random_seed=1),
        cpm.Emcee(nwalkers=10, nsteps=200, random_seed=1),
        cpm.NUTS(draws=5000, tune=5000, random_seed=1),
    ],
    ids=lambda search: type(search).__name__,
)
def test_a_search_says_while_it_samples_how_far_it_is(search, monkeypatch):
    lines = []
    monkeypatch.setattr(progress, "USUAL", progress.Pace(0.0, 0.0, False))
    monkeypatch.setattr(progress, "_print", lines.append)

    class Normal(cpm.Analysis):
        def log_likelihood_function(self, instance):
            return -0.5 * np.sum((instance.x - 1.0) ** 2)

    search.fit(cpm.Collection(x=cpm.UniformPrior(-5.0, 5.0), y=cpm.UniformPrior(0.0, 1.0)), Normal())
    assert sum("sampling" in line and "after" in line for line in lines) > 3
