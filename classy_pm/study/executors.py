"""Where the fits of a study run: in this process, in processes of this machine, or on a Dask cluster.

An executor takes jobs, as many at a time as it has places, and gives their outcomes in the order in which
they end. It knows nothing of catalogues.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import threading
import time
import warnings
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any, Protocol

from classy_pm.catalog import ErrorText, Lease
from classy_pm.errors import Faults, SearchError, SettingError
from classy_pm.model.expressions import is_whole
from classy_pm.search.job import Job
from classy_pm.search.reuse import Reuse
from classy_pm.study.outcome import Outcome, run_job
from classy_pm.study.sending import Packing, Part, kept, parcel, run_parcel

__all__ = ["Executor", "check_executor", "executor_of"]

# Seconds between two looks of a worker at whether the process is alive that it works for.
WATCH = 1.0
# Pickled data of more bytes than this are sent to a cluster once, not with each fit.
LARGE = 100_000
# How many fits a cluster is given for each of its threads, and at least: so that an adaptive one grows.
PER_THREAD, FEWEST = 2, 20
CURE = (
    "Leave both out to run here; or write number_of_cores=4 for processes of this machine, or "
    "executor=distributed.Client(...) for a Dask cluster."
)


class Executor(Protocol):
    """Runs jobs.

    Attributes
    ----------
    apart : bool
        Whether they run in other processes.
    """

    apart: bool

    @property
    def places(self) -> int:
        """How many jobs it takes at a time."""
        ...

    def start(self, number: int, job: Job, folder: Path | None, lease: Lease | None) -> None:
        """Begin a job, which has a number."""
        ...

    def ended(self, timeout: float | None) -> Iterator[tuple[int, Outcome | None]]:
        """Give the jobs that have ended, at least one unless time runs out.

        Without an outcome the process died that ran it, or was to run it.
        """
        ...

    def close(self) -> None:
        """Let go of it, and of what still runs."""
        ...


def executor_of(number_of_cores: int, client: Any, varying: frozenset[Any]) -> Executor:
    """Return what runs the fits of a study.

    Parameters
    ----------
    number_of_cores : int
    client : distributed.Client, optional
        What `check_executor` takes.
    varying : frozenset
        What of the data differs between the data sets, see `varying_among`.
    """
    if client is not None:
        return Cluster(client, varying)
    return Here(varying) if number_of_cores == 1 else Processes(number_of_cores, varying)


def check_executor(number_of_cores: Any, client: Any) -> None:
    """Refuse what no study runs on.

    Raises
    ------
    SettingError
        If it is neither a number nor a client, or both.
    """
    faults = Faults()
    if not is_whole(number_of_cores, 1):
        faults.add("number_of_cores", f"{number_of_cores!r} is no positive integer")
    elif client is not None and number_of_cores != 1:
        faults.add("number_of_cores", "is of processes of this machine, and with an executor there are none")
    if client is not None and not _is_client(client):
        faults.add("executor", f"{client!r:.100} is no distributed.Client")
    faults.raise_as(SettingError, "A study cannot run on this.", cure=CURE)


def _is_client(client: Any) -> bool:
    return any(
        base.__module__.partition(".")[0] == "distributed" for base in type(client).__mro__
    ) and hasattr(client, "scheduler_info")


class Here:
    """Runs jobs in this process."""

    apart = False
    places = 1

    def __init__(self, varying: frozenset[Any]) -> None:
        # Where no data differ, as in the cells of a grid, there is nothing to be made once.
        self._reuse = Reuse(varying) if varying else None
        self._ended: list[tuple[int, Outcome | None]] = []

    def start(self, number: int, job: Job, folder: Path | None, lease: Lease | None) -> None:
        """Run a job."""
        self._ended.append((number, run_job(job, folder, self._reuse)))

    def ended(self, timeout: float | None) -> Iterator[tuple[int, Outcome | None]]:
        """Give the jobs that have run."""
        while self._ended:
            yield self._ended.pop(0)

    def close(self) -> None:
        """Let go of what was made for the jobs."""
        self._reuse = None


class Processes:
    """Processes of this machine, each a pool of its own: if one dies it is known with which job."""

    apart = True

    def __init__(self, number: int, varying: frozenset[Any]) -> None:
        self.places = number
        self._varying = varying
        self._packing = Packing()
        self._idle: list[Any] = [None] * number
        self._running: dict[futures.Future[Outcome], tuple[int, Any]] = {}

    def start(self, number: int, job: Job, folder: Path | None, lease: Lease | None) -> None:
        """Give a job to a process that has none."""
        parts = self._packing.parts(job)
        arguments = (run_parcel, parcel(job, folder, lease, self._varying), *parts)
        pool = self._idle.pop()
        try:
            pool = pool or _new_pool()
            try:
                future = pool.submit(*arguments)
            except futures.BrokenExecutor:  # it died while it had nothing to do
                pool.shutdown(wait=False, kill_workers=True)
                pool = _new_pool()
                future = pool.submit(*arguments)
        except BaseException:
            self._idle.append(None)
            raise
        self._running[future] = (number, pool)

    def ended(self, timeout: float | None) -> Iterator[tuple[int, Outcome | None]]:
        """Give the jobs that have ended."""
        done, _ = futures.wait(self._running, timeout, futures.FIRST_COMPLETED)
        for future in done:
            number, pool = self._running.pop(future)
            try:
                outcome: Outcome | None = future.result()
                self._idle.append(pool)
            except (futures.BrokenExecutor, futures.CancelledError):
                outcome = None
                self._replace(pool)
            except Exception as error:  # what could not be sent, or not be read there
                outcome = Outcome(error=ErrorText.of(error))
                self._replace(pool)
            yield number, outcome

    def _replace(self, pool: Any) -> None:
        pool.shutdown(wait=False, kill_workers=True)
        self._idle.append(None)

    def close(self) -> None:
        """End the processes."""
        for pool in [*(pool for _, pool in self._running.values()), *filter(None, self._idle)]:
            pool.shutdown(wait=False, kill_workers=True)
        self._running, self._idle = {}, [None] * self.places


def _new_pool() -> Any:
    """Return a pool of one process."""
    from loky import ProcessPoolExecutor

    return ProcessPoolExecutor(1, initializer=_begin_worker, initargs=(os.getpid(),))


def _begin_worker(parent: int) -> None:
    """Leave interrupts to the process that this one works for, and end when that has ended."""
    from threadpoolctl import threadpool_limits

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threadpool_limits(1, "blas")

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(WATCH)
        os._exit(1)

    threading.Thread(target=watch, name="classy_pm watch", daemon=True).start()


class Cluster:
    """The workers of a Dask cluster."""

    apart = True

    def __init__(self, client: Any, varying: frozenset[Any]) -> None:
        self._client = client
        self._varying = varying
        self._packing = Packing()
        self._study = secrets.token_hex(8)
        self._count = 0
        self._running: dict[Any, int] = {}
        # Data that are on the cluster, for as long as fits that use them are not all begun.
        self._large: dict[str, Any] = {}
        self._connected()

    @property
    def places(self) -> int:
        """As many as there are threads, and some more."""
        return max(PER_THREAD * sum(self._client.nthreads().values()), FEWEST)

    def start(self, number: int, job: Job, folder: Path | None, lease: Lease | None) -> None:
        """Give a job to the scheduler."""
        self._connected()
        parts = [self._sent(part) for part in self._packing.parts(job)]
        self._count += 1
        future = self._client.submit(
            run_parcel,
            parcel(job, folder, lease, self._varying),
            *parts,
            key=f"classy_pm-{self._study}-{self._count}",
            pure=False,
        )
        self._running[future] = number

    def _sent(self, part: Part) -> Any:
        """Return what stands for a part: of a large one, what the scheduler hands to the workers once."""
        if len(part.content) <= LARGE:
            return part

        def submitted() -> Any:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Sending large graph")
                # Not scattered: if the worker dies that has it, the scheduler makes it again.
                return self._client.submit(_same, part, key=f"classy_pm-data-{part.key}")

        return kept(self._large, part.key, submitted, most=2 * FEWEST)

    def ended(self, timeout: float | None) -> Iterator[tuple[int, Outcome | None]]:
        """Give the jobs that have ended."""
        from distributed import CancelledError, TimeoutError, wait

        if not self._running:
            return
        with contextlib.suppress(TimeoutError, CancelledError):
            wait(list(self._running), timeout=timeout, return_when="FIRST_COMPLETED")
        self._connected()
        for future in [future for future in self._running if future.done()]:
            yield self._running.pop(future), _outcome_of(future)

    def close(self) -> None:
        """Take back what is not finished."""
        with contextlib.suppress(Exception):
            self._client.cancel(list(self._running))
        self._running, self._large = {}, {}

    def _connected(self) -> None:
        if self._client.status != "running":
            raise SearchError(
                f"The connection to the Dask cluster is {self._client.status}.",
                cure="What is in the catalogue stays there: connect a new client, and run the study again.",
            )


def _outcome_of(future: Any) -> Outcome | None:
    from distributed.scheduler import KilledWorker

    if future.status in ("cancelled", "lost"):
        return None
    try:
        outcome: Outcome = future.result()
    except (KilledWorker, futures.CancelledError):
        return None
    except Exception as error:  # a worker that has not the package, or not the user's modules
        return Outcome(error=ErrorText.of(error))
    return outcome


def _same(part: Part) -> Part:
    return part
