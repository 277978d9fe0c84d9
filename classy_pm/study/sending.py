"""Jobs on their way to other processes: what several have in common is pickled once, and unpickled once.

This is pickle between the user's own processes. Nothing of it is kept, and no catalogue is read by it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cloudpickle

from classy_pm.catalog import Lease
from classy_pm.plan import make_plan
from classy_pm.search import Search
from classy_pm.search.identity import Identity
from classy_pm.search.job import Job, Lineage
from classy_pm.search.reuse import Reuse
from classy_pm.study.outcome import Outcome, run_job

__all__ = ["Packing", "Parcel", "Part", "kept", "parcel", "run_parcel"]

# So many objects are kept pickled here, and unpickled there.
KEPT = 8


_alone = threading.Lock()


def kept[Key, Made](known: dict[Key, Made], key: Key, make: Callable[[], Made], most: int = KEPT) -> Made:
    """Return what is known under a key, made now if need be; only what was asked for last is kept.

    Parameters
    ----------
    known : dict
    key : hashable
    make : callable
    most : int
        How many are kept. Threads take turns.
    """
    with _alone:
        found = known.pop(key) if key in known else make()
        known[key] = found
        while len(known) > most:
            known.pop(next(iter(known)))
    return found


@dataclass(frozen=True)
class Part:
    """An object, pickled.

    Attributes
    ----------
    key : str
        Equal for equal contents.
    content : bytes
    """

    key: str
    content: bytes = field(repr=False)


@dataclass(frozen=True)
class Parcel:
    """A job for another process, but for its search, its model, its analysis.

    Attributes
    ----------
    identity : Identity
    info : dict
    lineage : Lineage
    name : str
    folder : pathlib.Path, optional
        Where the fit may keep files while it runs, on machines that have it.
    lease : tuple of pathlib.Path and str, optional
        A file by which a machine with this folder is known, and what is in it.
    varying : frozenset
        What of the data differs between the data sets of the study.
    """

    identity: Identity
    info: dict[str, Any]
    lineage: Lineage
    name: str
    folder: Path | None = None
    lease: tuple[Path, str] | None = None
    varying: frozenset[Any] = frozenset()


class Packing:
    """Pickles objects, those that come again once."""

    def __init__(self) -> None:
        # The object is kept as well: its number would else be that of another one, later.
        self._known: dict[int, tuple[Any, Part]] = {}

    def part(self, item: Any, prepare: Callable[[Any], Any] = lambda item: item) -> Part:
        """Return an object pickled, as it is after being prepared.

        Raises
        ------
        Exception
            Whatever is raised where it cannot be.
        """

        def pickled() -> tuple[Any, Part]:
            content = cloudpickle.dumps(prepare(item))
            return item, Part(hashlib.sha256(content).hexdigest(), content)

        return kept(self._known, id(item), pickled)[1]

    def parts(self, job: Job) -> tuple[Part, Part, Part]:
        """Return search, model and analysis of a job."""
        return self.part(job.search, _for_one_core), self.part(job.model), self.part(job.analysis)


def _for_one_core(search: Search) -> Search:
    """Return a search for one core: its answer does not depend on how many there are."""
    return type(search)(**{**search.settings, "number_of_cores": 1})


def parcel(job: Job, folder: Path | None, lease: Lease | None, varying: frozenset[Any]) -> Parcel:
    """Return the rest of a job."""
    known_by = None if lease is None else (lease.path, lease.token)
    return Parcel(job.identity, job.info, job.lineage, job.name, folder, known_by, varying)


# What this process has unpickled and made, as a worker.
_here: dict[str, Any] = {}
_made: dict[frozenset[Any], Reuse] = {}


def run_parcel(what: Parcel, *parts: Part) -> Outcome:
    """Run a job that was sent here.

    Parameters
    ----------
    what : Parcel
    *parts : Part
        Its search, its model, its analysis.
    """
    search, model, analysis = (_unpickled(part) for part in parts)
    job = Job(search, model, make_plan(model), analysis, what.identity, what.info, what.lineage, what.name)
    reuse = kept(_made, what.varying, lambda: Reuse(what.varying)) if what.varying else None
    if what.folder is None:
        return run_job(job, None, reuse, packed=True)
    with _folder_of(what) as folder:
        return run_job(job, folder, reuse, packed=True)


@contextlib.contextmanager
def _folder_of(what: Parcel) -> Iterator[Path]:
    """Give the folder of a fit, if this machine has the disk and no other process runs it; else one for now.

    A cluster that takes a fit from a worker does not end the process that runs it.
    """
    with contextlib.ExitStack() as closing:
        folder = what.folder if _sees(what) and _has_alone(what, closing) else None
        if folder is None:
            folder = Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="classy_pm-")))
        yield folder


def _has_alone(what: Parcel, closing: contextlib.ExitStack) -> bool:
    """Whether no other process runs this fit; none will before all is closed."""
    assert what.lease is not None
    path = what.lease[0].with_suffix(".running")
    try:
        stream = closing.enter_context(path.open("w"))
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # it does, or the disk cannot say
        return False
    closing.callback(path.unlink, missing_ok=True)
    return True


def _sees(what: Parcel) -> bool:
    """Whether this machine has the disk with the folder: there is the lease of this very fit."""
    if what.lease is None:
        return False
    path, token = what.lease
    try:
        return token in path.read_text(encoding="utf-8")
    except OSError:
        return False


def _unpickled(part: Part) -> Any:
    return kept(_here, part.key, lambda: cloudpickle.loads(part.content))
