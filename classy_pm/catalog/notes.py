"""Tags and notes that a fit is given after it was filed: lines of a file, then rows of the index.

The file `notes.jsonl` lies beside the folders of fits and only grows: one JSON object a line. The tags and
notes of a fit are those it was filed with, changed by its lines in their order. To apply all of them once
more changes nothing, so the index is brought up to date from the file by whoever enters, tags or recovers.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import re
import stat
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import sqlalchemy as sa

from classy_pm.catalog import rows, tables
from classy_pm.catalog.faults import UntrustedFile
from classy_pm.catalog.former import as_kept
from classy_pm.catalog.layout import Layout, flush_folder, make_folder, unwritable
from classy_pm.catalog.records import (
    LARGEST_MANIFEST,
    READABLE,
    check_info,
    composed,
    from_json,
    is_hex,
    now,
    text_faults,
    to_json,
)
from classy_pm.errors import CatalogError

__all__ = [
    "FILE",
    "Change",
    "append",
    "apply",
    "check",
    "lines_of",
    "news",
    "path_in",
    "read",
    "read_lines",
    "said_anew",
    "same_note",
    "write",
]

#: Where the lines are in a catalogue's folder of files.
FILE = "notes.jsonl"

#: What a line can do; those of "un" take away again.
ACTIONS = ("tag", "untag", "note", "unnote")
#: Bytes of a tag, or of the key of a note: what an index of PostgreSQL can hold for certain.
LONGEST_NAME = 1000
#: How each line begins, so that the lines of one fit are found without parsing the others.
HEAD = b'{"fit_key":"'
#: A time as `now` gives it.
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00", re.ASCII)
#: Fits whose rows are changed by one statement.
BATCH = 500


class Change(NamedTuple):
    """One line: which fit, what is done, to which tag or to the note of which key, the note, and when."""

    fit_key: str
    action: str
    name: str
    value: Any = None
    at: str = ""  # by default now
    claimed: str = ""  # when it was by a clock that was ahead
    by: str = ""  # "fit", if it was said with a fit and not by hand

    @property
    def about(self) -> tuple[str, bool, str]:
        """What it changes: the last line about it is what counts."""
        return (self.fit_key, "tag" in self.action, self.name)


def path_in(files: Path) -> Path:
    """Return where the lines of a folder of files are."""
    return files / FILE


def check(change: Change) -> Change:
    """Return a change with its note as plain data; raise a CatalogError if it cannot be kept."""
    change = change._replace(name=composed(change.name))
    faults = text_faults("the tag" if "tag" in change.action else "the key", change.name)
    cure = READABLE if faults else None
    if not faults and len(change.name.encode()) > LONGEST_NAME:
        faults.append(f"{change.name[:20]!r}... is longer than {LONGEST_NAME} bytes")
    if not is_hex(change.fit_key, 64):
        faults.append(f"{change.fit_key!r} is not the identity of a fit")
    if change.action not in ACTIONS:
        faults.append(f"{change.action!r} is none of {', '.join(ACTIONS)}")
    if faults:
        raise CatalogError("This tag or note cannot be kept.", faults, cure=cure)
    if change.action != "note":
        return change._replace(value=None)
    return change._replace(value=check_info({change.name: change.value})[change.name])


def lines_of(changes: Iterable[Change]) -> bytes:
    """Return changes as the lines of a file."""
    made, texts = now(), []
    for change in changes:
        # A clock that is ahead must not have the last word for years.
        at = min(change.at, made) if MOMENT.fullmatch(change.at) else made
        line = {"fit_key": change.fit_key, change.action: change.name, "value": change.value, "at": at}
        # The same line may come again, and is known by the time that it had first.
        claimed = change.claimed or (change.at if at < change.at else "")
        line |= {"claimed": claimed} if claimed else {}
        line |= {"by": change.by} if change.by else {}
        texts.append(to_json(line))
    return "".join(f"{text}\n" for text in texts).encode("ascii")


def append(place: Layout, changes: Iterable[Change]) -> None:
    """Add lines that survive a power cut; processes may do so at the same time."""
    path, text = path_in(place.files), lines_of(changes)
    make_folder(place.files)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o666)
        try:
            # Without locks on a file system two lines may join, and neither counts.
            with contextlib.suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            size = os.fstat(descriptor).st_size
            # A process that died while it wrote has left half a line: it is ended, and ignored.
            torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
            content = b"\n" * torn + text
            while content:
                content = content[os.write(descriptor, content) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        flush_folder(place.files)
    except OSError as error:
        raise unwritable(path, error) from error


def read(files: Path, keys: Container[str] | None = None) -> dict[str, list[Change]]:
    """Return the changes of some fits, or of all, in the order of their lines; what is no line is ignored.

    Parameters
    ----------
    files : Path
        A catalogue's folder of files; there need not be any notes in it.
    keys : container of str, optional
        The fits.
    """
    path = path_in(files)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise CatalogError(f"The notes in {str(path)!r} cannot be read: {error.strerror}.") from error
    with os.fdopen(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise UntrustedFile(f"{str(path)!r} is not a regular file.")
        return read_lines(stream, keys)


def read_lines(stream: IO[bytes], keys: Container[str] | None = None) -> dict[str, list[Change]]:
    """Return the changes that lines describe, as `read` does."""
    found: dict[str, list[Change]] = {}
    for line in iter(lambda: stream.readline(LARGEST_MANIFEST), b""):
        key = line[len(HEAD) : len(HEAD) + 64].decode("ascii", "replace")
        if line.startswith(HEAD) and (keys is None or key in keys):
            change = parse(line)
            if change is not None:
                found.setdefault(change.fit_key, []).append(change)
    return found


def parse(line: bytes) -> Change | None:
    """Return the change that a line describes, or None if it is none."""
    try:
        content = from_json(line.decode("ascii"))
        (action,) = content.keys() & set(ACTIONS)
        times = [content.get(name) for name in ("at", "claimed")]
        at, claimed = [time if type(time) is str and MOMENT.fullmatch(time) else "" for time in times]
        value, by = as_kept(content.get("value")), "fit" if content.get("by") == "fit" else ""
        return check(Change(content["fit_key"], action, content[action], value, at, claimed, by))
    except (CatalogError, ValueError, KeyError, AttributeError):
        return None


def write(place: Layout, changes: Sequence[Change], writing: Any) -> None:
    """Add lines, then bring the rows of their fits up to date in one transaction."""
    append(place, changes)
    with writing() as connection:
        # All lines, and not these alone: another process may have added some in between.
        apply(connection, read(place.files, {change.fit_key for change in changes}))


def news(mine: Mapping[str, Sequence[Change]], theirs: Mapping[str, Sequence[Change]]) -> list[Change]:
    """Return those of other lines that come after all of one's own about the same tag or note."""
    latest: dict[tuple[str, bool, str], str] = {}
    known = set()
    for change in itertools.chain.from_iterable(mine.values()):
        latest[change.about] = max(change.at, latest.get(change.about, ""))
        known.add((change.about, change.action, change.claimed))
    return [
        change
        for change in itertools.chain.from_iterable(theirs.values())
        if (change.about, change.action, change.claimed or change.at) not in known
        and (change.about not in latest or change.at > latest[change.about])
    ]


def said_anew(
    said: Mapping[str, Any],
    present: Mapping[str, Any],
    later: Sequence[Change],
    first: Callable[[], Mapping[str, Any]],
) -> list[str]:
    """Return the keys of notes about which a call says something else than the call before it.

    Parameters
    ----------
    said, present : dict
        What is said now, and the notes as they are.
    later : sequence of Change
        The lines of this fit.
    first : callable
        Gives what the fit was filed with; asked only where that is not what is there.
    """
    by_hand = {change.name for change in later if "note" in change.action}
    by_calls = {
        change.name: change.value for change in later if (change.action, change.by) == ("note", "fit")
    }

    def before(key: str) -> Mapping[str, Any]:
        return by_calls if key in by_calls else first() if key in by_hand else present

    return [key for key in said if not same_note(key, said, before(key))]


def same_note(key: str, notes: Mapping[str, Any], others: Mapping[str, Any]) -> bool:
    """Whether both say the same under a key."""
    return key in others and to_json(notes[key]) == to_json(others[key])


def apply(connection: sa.Connection, changes: Mapping[str, Sequence[Change]]) -> None:
    """Make the rows of fits what their lines say, in a transaction that the caller holds."""
    fit = tables.fit
    for keys in itertools.batched(changes, BATCH):
        query = sa.select(fit.c.id, fit.c.fit_key).where(fit.c.fit_key.in_(keys))
        for fit_id, key in connection.execute(query).all():
            last = {change.about: change for change in changes[key]}
            for (_, is_tag, name), change in last.items():
                table = tables.tag if is_tag else tables.info
                column = table.c.tag if is_tag else table.c.key
                connection.execute(sa.delete(table).where(table.c.fit_id == fit_id, column == name))
                if change.action in ("tag", "note"):
                    row = {"tag": name} if is_tag else rows.info_row(name, change.value)
                    connection.execute(sa.insert(table).values(fit_id=fit_id, **row))
