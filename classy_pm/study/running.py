"""Runs the jobs of a study: those that a catalogue has are read, the others are run and filed.

A job that fails does not take others down. One whose process dies is run again, alone at the end: it may have
been another's fault, or the machine's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from classy_pm.catalog import Catalog, ErrorText, opened
from classy_pm.errors import ClassyError, StudyError, some_of
from classy_pm.likelihood.warn import warn
from classy_pm.search.job import Job
from classy_pm.search.progress import Report
from classy_pm.search.stale import OnChange, check_on_change
from classy_pm.study.desk import Desk, Running
from classy_pm.study.executors import Executor, check_executor, executor_of
from classy_pm.study.fitted import FailedFit, Fitted
from classy_pm.study.outcome import Outcome

__all__ = ["Conditions", "Named", "run_jobs", "tried"]

# How often a job whose process has died is run again.
AGAIN = 2
# Seconds after which what is written and not yet safe is made safe; and between two looks at what other
# processes run, from the shortest to this.
LONGEST, SHORTEST = 1.0, 0.05
# So many failed fits are named, and so many reasons are told.
NAMED, TOLD = 5, 20
# And so many characters of each.
LONGEST_ERROR = 1000
DIED = (
    "The process that ran this fit died, and died again when it ran this fit alone: it may need more memory "
    "than there is, or a compiled library that the likelihood calls ends the process."
)


# A job with what it is called, or why there is none.
Named = tuple[str, Job | Exception]


@dataclass(frozen=True)
class Conditions:
    """Where and how the fits of a study run.

    Attributes
    ----------
    catalog : Catalog or path, optional
    number_of_cores : int
    executor : distributed.Client, optional
    on_change : {"error", "warn", "reuse", "rerun"}
        See `Search.fit`.
    progress : bool, optional
    varying : frozenset
        What of the data differs from fit to fit.
    """

    catalog: Catalog | str | Path | None = None
    number_of_cores: int = 1
    executor: Any = None
    on_change: OnChange = "error"
    progress: bool | None = None
    varying: frozenset[Any] = frozenset()

    def __post_init__(self) -> None:
        check_executor(self.number_of_cores, self.executor)
        check_on_change(self.on_change)


def run_jobs(
    jobs: Iterable[Named], conditions: Conditions, what: str, total: int | None = None
) -> list[Fitted | FailedFit]:
    """Run jobs, and return how each ended, in their order.

    Parameters
    ----------
    jobs : iterable of (str, Job or Exception)
        Taken one by one, as there are places for them; each with what it is called. Where there is none, the
        reason.
    conditions : Conditions
    what : str
        What is being done, for people.
    total : int, optional
        How many jobs there are.

    Raises
    ------
    ClassyError
        If the catalogue or the executor cannot be used, or a filed fit is stale. What was finished is filed.
    StudyError
        If none succeeds.

    Warns
    -----
    UserWarning
        If some have failed.
    """
    place = conditions.catalog
    executor = executor_of(conditions.number_of_cores, conditions.executor, conditions.varying)
    # A catalogue that was closed opens again when results are read.
    with nullcontext() if place is None else opened(place) as store:
        ended = _Run(executor, store, conditions.on_change).run(
            jobs, Report(conditions.progress), what, total
        )
    _tell([item for item in ended if isinstance(item, FailedFit)], len(ended))
    return ended


def tried[Made](make: Callable[[], Made]) -> Made | Exception:
    """Return a job, or why it cannot be prepared: that is its own failure, and no other's."""
    try:
        return make()
    except Exception as error:  # what the user's code raises is among them
        return error


def _tell(failed: list[FailedFit], count: int) -> None:
    """Say which fits have failed; it is an error if all have."""
    if not failed:
        return
    # Of errors that differ in what follows their first line, as in the point at which they were raised, one.
    alike: dict[str, list[FailedFit]] = {}
    for item in failed:
        alike.setdefault(item.error.partition("\n")[0], []).append(item)
    lines = [
        f"{some_of((item.name for item in items), NAMED)}: {items[0].error[:LONGEST_ERROR]}"
        for items in alike.values()
    ]
    if len(failed) == count:
        error = StudyError("No fit of this study has succeeded.", lines[:TOLD])
        error.failures = failed
        raise error
    text = "\n".join(
        [
            f"{len(failed)} of {count} fits failed; `failures` has them all.",
            *(f"  - {line}" for line in lines[:TOLD]),
        ]
    )
    warn(f"{text}\nThe same call with a catalogue runs them again.", UserWarning)


class _Run:
    def __init__(self, executor: Executor, store: Catalog | None, on_change: OnChange) -> None:
        self.executor = executor
        self.desk = Desk(store, on_change, self._end)
        self.ended: dict[int, Fitted | FailedFit] = {}
        self.failed = 0
        self.running: dict[int, Running] = {}
        # Those whose process has died, and those that other processes run.
        self.suspects: list[Running] = []
        self.elsewhere: list[Running] = []
        self.warned: dict[tuple[str, type[Warning]], None] = {}

    def run(
        self, jobs: Iterable[Named], report: Report, stage: str, total: int | None
    ) -> list[Fitted | FailedFit]:
        try:
            with report.stage(stage, total) as self.stage:
                try:
                    with self.desk:
                        self._run_all(jobs)
                finally:
                    self.executor.close()
        except KeyboardInterrupt:
            kept = " what is finished is filed, and" if self.desk.store is not None else ""
            report.say(f"Interrupted:{kept} the same call goes on from there.", at_once=True)
            raise
        for text, kind in self.warned:
            warn(text, kind)
        return [how for _, how in sorted(self.ended.items())]

    def _run_all(self, jobs: Iterable[Named]) -> None:
        count = 0
        for number, (name, job) in enumerate(jobs):
            count += 1
            if isinstance(job, Exception):
                self._end(number, FailedFit.of(name, ErrorText.of(job)))
            else:
                self._offer(Running(number, name, job))
        self._wait_for_all()
        pause = SHORTEST
        while self.elsewhere or self.suspects:
            offered, self.elsewhere = self.elsewhere, []
            for running in offered:
                self._offer(running)
            self._wait_for_all()
            # By itself alone.
            if self.suspects:
                self._offer(self.suspects.pop(0))
                self._wait_for_all()
            elif len(self.elsewhere) == len(offered):
                self.stage.update(len(self.ended), f"waiting for {len(offered)} that another process runs")
                time.sleep(pause)
                pause = min(LONGEST, 1.5 * pause)
        if len(self.ended) < count:
            raise StudyError(f"{count - len(self.ended)} fits have been lost; run the study again.")

    def _offer(self, running: Running) -> None:
        """Run a job, unless it is known, or another process runs it: then it is asked for again later."""
        if self.desk.claim(running):
            self._start(running)
        elif running.number not in self.ended:
            self.elsewhere.append(running)

    def _start(self, running: Running) -> None:
        while len(self.running) >= self.executor.places:
            self._take_what_ended()
        self.running[running.number] = running
        try:
            self.executor.start(running.number, running.job, self.desk.folder(running), running.lease)
        except ClassyError:
            raise
        except Exception as error:  # what cannot be sent to another process
            del self.running[running.number]
            self.desk.fail(running, ErrorText.of(error))
        if not self.executor.apart:
            self._take_what_ended()

    def _wait_for_all(self) -> None:
        while self.running:
            self._take_what_ended()
        self.desk.finish()

    def _take_what_ended(self) -> None:
        none = True
        for number, outcome in self.executor.ended(LONGEST if self.desk.busy else None):
            none = False
            self._take(self.running.pop(number), outcome)
        if none:
            self.desk.finish()

    def _take(self, running: Running, outcome: Outcome | None) -> None:
        if outcome is None:
            running.deaths += 1
            if running.deaths > AGAIN:
                self.desk.fail(running, ErrorText(DIED))
            else:
                self.desk.let_go(running)  # or two studies might wait for each other
                self.suspects.append(running)
            return
        self.warned.update(dict.fromkeys(outcome.warnings))
        if outcome.record is None or outcome.tree is None:
            self.desk.fail(running, outcome.error or ErrorText("It ended without an outcome."))
        else:
            self.desk.take(running, outcome.record, outcome.tree)

    def _end(self, number: int, how: Fitted | FailedFit) -> None:
        self.ended[number] = how
        self.failed += isinstance(how, FailedFit)
        self.stage.update(len(self.ended), f"{self.failed} failed" if self.failed else "")
