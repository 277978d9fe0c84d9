"""Fits that were tried and failed: what went wrong, kept until the fit succeeds.

A failure is a small file of its own, `failed/<fit_key>.json`, and has no row in the index: so it is never
taken for a fit, and `rebuild` leaves it alone. The last one of a fit is kept. A process that was killed
leaves none, but its lease, which tells as much.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import os
import secrets
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from classy_pm.catalog import layout
from classy_pm.catalog.claims import Claims
from classy_pm.catalog.layout import Layout
from classy_pm.catalog.records import from_json, is_hex, now, to_json
from classy_pm.errors import CatalogError

__all__ = ["ErrorText", "Failure", "failures_in", "forget", "keep"]

#: Characters that are kept of a traceback: the last ones, which tell most.
LONGEST_TRACEBACK = 100_000
#: Bytes above which a file in the folder is none of ours.
LARGEST = 1_000_000


@dataclass(frozen=True, slots=True)
class Failure:
    """A fit that was tried and failed.

    Parameters
    ----------
    fit_key : str
        The identity of the fit.
    name, unique_tag, search : str
        What the user called it, and the sampler.
    error : str
        Type and text of the exception, or that the process ended without one.
    traceback : str
        Where it was raised.
    host : str
        The machine.
    pid : int
        The process.
    started, ended : str
        In ISO format, UTC.
    attempts : int
        How often it has failed so far.
    """

    fit_key: str
    name: str = ""
    unique_tag: str = ""
    search: str = ""
    error: str = ""
    traceback: str = field(default="", repr=False)
    host: str = ""
    pid: int = 0
    started: str = ""
    ended: str = ""
    attempts: int = 1


@dataclass(frozen=True, slots=True)
class ErrorText:
    """What an exception says, in texts: it may have been raised in another process.

    Parameters
    ----------
    error : str
        Its type and text.
    traceback : str
        Where it was raised.
    host : str
        The machine.
    pid : int
        The process.
    """

    error: str
    traceback: str = field(default="", repr=False)
    host: str = field(default_factory=layout.host)
    pid: int = field(default_factory=os.getpid)

    @classmethod
    def of(cls, error: BaseException) -> ErrorText:
        """Return what an exception of this process says."""
        return cls(
            "".join(traceback.format_exception_only(error)).strip()[:LONGEST_TRACEBACK],
            "".join(traceback.format_exception(error))[-LONGEST_TRACEBACK:],
        )


def keep(place: Layout, fit_key: str, text: ErrorText, *, started: str, about: Mapping[str, str]) -> None:
    """Note that a fit has failed. Where that is not possible nothing is noted: the exception counts."""
    path = _path(place, fit_key)
    with contextlib.suppress(CatalogError, OSError):
        before = _read(path)
        failure = Failure(
            fit_key=fit_key,
            **{name: about.get(name, "") for name in ("name", "unique_tag", "search")},
            error=text.error,
            traceback=text.traceback,
            host=text.host,
            pid=text.pid,
            started=started,
            ended=now(),
            attempts=1 if before is None else before.attempts + 1,
        )
        layout.make_folder(path.parent)
        part = path.with_name(f".{secrets.token_hex(8)}.part")
        try:
            part.write_text(to_json(dataclasses.asdict(failure)), encoding="ascii")
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)


def forget(place: Layout, fit_key: str) -> None:
    """Remove what is noted of a fit, which has succeeded."""
    with contextlib.suppress(OSError):
        _path(place, fit_key).unlink(missing_ok=True)


def failures_in(place: Layout, *, leases: bool) -> Iterator[Failure]:
    """Give the failures in a folder of files, the latest last.

    Parameters
    ----------
    leases : bool
        Whether to tell of processes that ended without a word, which a look at the clock of the file
        system takes, and so a file in the folder.
    """
    failed = {}
    for path in sorted((place.files / "failed").glob("*.json")):
        failure = _read(path)
        if failure is not None:
            failed[failure.fit_key] = failure
    for fit_key, owner, ended in Claims(place).left_behind() if leases else ():
        before = failed.get(fit_key, Failure(fit_key, attempts=0))
        pid, host, started = owner.get("pid"), owner.get("host"), owner.get("started_at")
        failed[fit_key] = dataclasses.replace(
            before,
            error="The process that ran this fit ended without a word: it, or its machine, was stopped.",
            traceback="",
            host=host if isinstance(host, str) else "",
            pid=pid if isinstance(pid, int) else 0,
            started=started if isinstance(started, str) else "",
            ended=datetime.datetime.fromtimestamp(ended, datetime.UTC).isoformat(timespec="microseconds"),
            attempts=before.attempts + 1,
        )
    yield from sorted(failed.values(), key=lambda failure: failure.ended)


def _path(place: Layout, fit_key: str) -> Path:
    return place.files / "failed" / f"{place.output(fit_key).name}.json"


def _read(path: Path) -> Failure | None:
    """Return what a file says, or None if it says nothing that was written here."""
    try:
        if path.is_symlink() or path.stat().st_size > LARGEST:
            return None
        content = from_json(path.read_text(encoding="ascii"))
        failure = Failure(**{item.name: content[item.name] for item in dataclasses.fields(Failure)})
    except (OSError, ValueError, TypeError, KeyError, CatalogError):
        return None
    kinds = {"pid": int, "attempts": int}
    plain = all(
        isinstance(getattr(failure, item.name), kinds.get(item.name, str))
        for item in dataclasses.fields(Failure)
    )
    return failure if plain and is_hex(failure.fit_key, 64) and path.stem == failure.fit_key else None
