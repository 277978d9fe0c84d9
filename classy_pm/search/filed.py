"""A fit in a catalogue: read if it is there, else run and filed; two processes do not run the same one."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from classy_pm.catalog import Catalog, DamagedFile, StoredFit
from classy_pm.likelihood import LogLikelihood
from classy_pm.result import Result
from classy_pm.search.job import Job
from classy_pm.search.progress import Report
from classy_pm.search.stale import OnChange, must_run_again

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Filed", "fit_in"]


@dataclass
class Filed:
    """Reads one fit from a catalogue.

    Parameters
    ----------
    store : Catalog
    job : Job
    on_change : {"error", "warn", "reuse", "rerun"}
        What to do if its likelihood gives other values today, or a fit that its priors are made of has been
        run again.
    say : callable
        Told what was found.

    Attributes
    ----------
    instead_of : str, optional
        The run whose place a new one is to take.
    """

    store: Catalog
    job: Job
    on_change: OnChange
    say: Callable[[str], object]
    instead_of: str | None = None

    def read(self, found: StoredFit | None) -> Result | None:
        """Return the result of a filed fit; None if it is to be run.

        Raises
        ------
        StaleFitError
            If what it depends on has changed.
        DamagedFile
            If its file is not what was filed; with `on_change` "rerun" it is run again.
        """
        if found is None:
            return None
        job, place = self.job, self.store.location
        try:
            tree = found.tree()
        except DamagedFile:
            if self.on_change != "rerun":
                raise
            self.say(f"The file of this fit in {place} is damaged: it is run again.")
            self.instead_of = found.run_id
            return None
        result = job.result(tree, from_catalog=True)
        if must_run_again(result, LogLikelihood(job.plan, job.analysis), self.on_change):
            self.say(f"This fit is in {place}, but what it depends on has changed: it is run again.")
            self.instead_of = found.run_id
            return None
        self.say(f"This fit is in {place} already: it is read, not run.")
        if noted := self.store.keep_info(found, job.info):
            self.say(f"Its notes are kept with it: {', '.join(noted)}.")
        return result


def fit_in(store: Catalog, job: Job, report: Report, on_change: OnChange) -> Result:
    """Read a fit from a catalogue, or run it and file it.

    Parameters
    ----------
    store : Catalog
    job : Job
    report : Report
    on_change : {"error", "warn", "reuse", "rerun"}
    """
    filed = Filed(store, job, on_change, report.say)
    result = filed.read(store.find(job.key))
    if result is not None:
        return result
    store.check_writable()
    job.check_size()
    with store.claim(
        job.key,
        on_wait=lambda who: report.say(f"This fit is being run by {who}: waiting for it.", at_once=True),
        about=job.about,
        instead_of=filed.instead_of,
    ) as found:
        result = filed.read(found)
        if result is not None:
            return result
        start = time.perf_counter()
        folder = store.output_folder(job.key)
        try:
            tree = job.run(report, folder)
        except KeyboardInterrupt:
            if folder.is_dir():
                report.say(
                    "Interrupted: what is known by now is kept, and the same call goes on from there.",
                    at_once=True,
                )
            raise
        seconds = time.perf_counter() - start
        with report.stage("filing the fit"):
            store.file(job.record(tree, seconds), tree, instead_of=filed.instead_of)
    return job.result(tree)
