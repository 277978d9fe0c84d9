"""A job run to its end, wherever that is: its draws, or what went wrong, in a form that can be sent."""

from __future__ import annotations

import threading
import time
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import xarray as xr

from classy_pm.catalog import ErrorText, FitRecord, pack
from classy_pm.search.job import Job
from classy_pm.search.progress import Report

if TYPE_CHECKING:
    from classy_pm.search.reuse import Reuse

__all__ = ["Outcome", "run_job"]

# Tracing puts functions of its own into modules while it runs: two threads would meet there.
_one_at_a_time = threading.Lock()


@dataclass(frozen=True)
class Outcome:
    """How a job ended.

    Attributes
    ----------
    record : FitRecord, optional
        What a catalogue is told of the fit; None if it failed.
    tree : xarray.DataTree or bytes, optional
        Its draws, or the contents of their file.
    error : ErrorText, optional
        What went wrong.
    warnings : tuple of (str, type)
        What was warned of meanwhile.
    """

    record: FitRecord | None = None
    tree: xr.DataTree | bytes | None = None
    error: ErrorText | None = None
    warnings: tuple[tuple[str, type[Warning]], ...] = ()


def run_job(
    job: Job, folder: Path | None = None, reuse: Reuse | None = None, *, packed: bool = False
) -> Outcome:
    """Run a job, and return how it ended: no error of it is raised.

    Parameters
    ----------
    job : Job
    folder : pathlib.Path, optional
        Where the fit may keep files while it runs.
    reuse : Reuse, optional
        What was made for earlier jobs of this process.
    packed : bool
        Whether the draws are wanted as the contents of a file.
    """
    with _one_at_a_time, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            start = time.perf_counter()
            tree = job.run(Report(False), folder, reuse)
            record = job.record(tree, time.perf_counter() - start)
            outcome = Outcome(record, pack(record, tree) if packed else tree)
        except (Exception, SystemExit) as error:
            outcome = Outcome(error=ErrorText.of(error))
    told = dict.fromkeys((str(item.message), _sendable(item.category)) for item in caught)
    return replace(outcome, warnings=tuple(told))


def _sendable(kind: type[Warning]) -> type[Warning]:
    """Return a class of warning that every process has."""
    return kind if kind.__module__ in ("builtins", "classy_pm.errors") else UserWarning
