"""What a catalogue does about processes that died and files that went bad.

`sweep` looks only at what was on its way in, and is done whenever a catalogue is first used;
`recover` compares all files with all rows; `verify` also hashes them; `rebuild` makes the index
again. All of them are idempotent, may run beside fits, and delete nothing but unfinished parts.
"""

from __future__ import annotations

import contextlib
import itertools
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from classy_pm.catalog import files, filing, guard, layout, notes, rows, tables
from classy_pm.catalog.database import Database
from classy_pm.catalog.faults import DamagedFile
from classy_pm.catalog.layout import FIT_FILE, PART_FILE, Layout, runs_on_their_way
from classy_pm.catalog.migrations import OLD_PARAMETERS
from classy_pm.errors import CatalogError, ClassyError

#: Seconds after which a part from another machine, whose processes cannot be seen, is debris.
PATIENCE = 7 * 24 * 3600.0


@dataclass
class Report:
    """What was found and done; fit keys and file names.

    Parameters
    ----------
    adopted : list of str
        Finished fits that had no row and have one now.
    removed : list of str
        Unfinished parts of dead processes, deleted.
    missing : list of str
        Fits whose file is gone; they may be run again.
    damaged : list of str
        Fits whose file has changed; it is in quarantine, and they may be run again.
    set_aside : list of str
        Files that are no fits of this catalogue, in quarantine with the reason; after `rebuild` also
        the file that lay where the index belongs and was none, under its new name beside it.
    other_run : list of str
        Fits that were not imported, because another run of them is here, and stays.
    checked : int
        Number of files looked at.
    """

    adopted: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    set_aside: list[str] = field(default_factory=list)
    other_run: list[str] = field(default_factory=list)
    checked: int = 0

    def __bool__(self) -> bool:
        """Whether anything was found."""
        return any(getattr(self, item.name) for item in fields(self) if item.name != "checked")


def check_files(database: Database, place: Layout) -> None:
    """Raise a CatalogError if the index has fits and their folder is away, as an unmounted disk is."""
    if any(place.fits.glob("*")) or not database.exists():
        return
    query = sa.select(tables.fit.c.id).where(tables.fit.c.status == "complete").limit(1)
    with database.reading() as connection:
        if connection.execute(query).first() is None:
            return
    raise CatalogError(
        f"The files of the catalogue are not in {str(place.fits)!r}; nothing was changed.",
        cure="Mount their disk, or bring them back; if they are lost for good, remove the index as well.",
    )


def sweep(database: Database, place: Layout) -> Report:
    """Finish or remove what dead processes left on its way in."""
    report = Report()
    for part in sorted(place.pending.glob("*.part")) if place.pending.is_dir() else ():
        match = PART_FILE.fullmatch(part.name)
        if match is None:
            continue
        fit_key, run_id, host, boot, pid = match.groups()
        here = (host, boot) == (layout.host(), layout.boot_id())
        if here and layout.is_alive(int(pid)):
            continue
        named = place.fit_path(fit_key, run_id)
        # Its own file first; then one that it had not yet set aside.
        for path in sorted(place.runs_of(fit_key), key=lambda path: path != named):
            keys = layout.keys_of(path)
            if keys is not None and not _has_row(database, *keys):
                _adopt(database, place, path, report)
        if here or layout.age(part) > PATIENCE:
            part.unlink(missing_ok=True)
            report.removed.append(part.name)
    return report


def recover(database: Database, place: Layout) -> Report:
    """Make rows and files agree: adopt files without a row, mark rows without a file."""
    check_files(database, place)
    report = sweep(database, place)
    known = _rows(database)
    for path in place.all_files():
        report.checked += 1
        keys = layout.keys_of(path)
        if keys is None:
            filing.set_aside(place, path, "its name is not that of a fit in this folder")
            report.set_aside.append(path.name)
        elif keys not in known or known[keys].status != "complete":
            _adopt(database, place, path, report)
    for row in known.values():
        path = place.fit_path(row.fit_key, row.run_id)
        if row.status == "complete" and not path.exists():
            filing.mark(database, row.id, row.run_id, "missing")
            report.missing.append(row.fit_key)
        elif row.status == "complete" and path.stat().st_size != row.nbytes:
            _set_aside(database, place, row, "its size has changed since it was filed", report)
    if known:
        with database.writing() as connection:
            notes.apply(connection, notes.read(place.files))
    return report


def verify(database: Database, place: Layout) -> Report:
    """Recover, and hash every file; one that has changed goes into quarantine.

    An index that was of an older schema is completed from the files.
    """
    database.check_sound()
    report = recover(database, place)
    for row in _rows(database).values():
        if row.status != "complete":
            continue
        try:
            files.check_hash(place.fit_path(row.fit_key, row.run_id), row.sha256)
        except DamagedFile as error:
            _set_aside(database, place, row, error.message, report)
    _renew_parameters(database, place)
    return report


def rebuild(database: Database, place: Layout) -> Report:
    """Make the index again from the files, and put it in the place of the old one.

    No other process should be using the catalogue. Without a fit to make an index from nothing is
    changed; an old index that is not sound is moved to another name, because it may be no index.
    """
    report = _settled(database, place)
    on_its_way = {run_id for _, run_id in runs_on_their_way(place.pending.glob("*.part"))}
    found: list[tuple[bool, str, str, Path]] = []
    faults: list[tuple[Path, str]] = []
    for path in place.all_files():
        report.checked += 1
        try:
            guard.check(path)
            record = files.read_record(path)
            if layout.keys_of(path) != (record.fit_key, record.run_id):
                raise CatalogError("The keys in its manifest are not those of its name.")
            database.check_record(record)
            # Where no index tells whether a run took the place of another, it did.
            found.append((record.run_id not in on_its_way, record.created, record.run_id, path))
        except ClassyError as error:
            faults.append((path, str(error)))
    if not found:
        raise CatalogError(
            f"There is no fit in {str(place.fits)!r}, and so nothing to make an index from.",
            [f"{path.name}: {reason}" for path, reason in faults[:20]],
            cure="Check the path of the catalogue; nothing was changed.",
        )
    for path, reason in faults:
        filing.set_aside(place, path, reason)
        report.set_aside.append(path.name)
    with database.replacing(report.set_aside) as writing:
        for batch in itertools.batched(sorted(found), filing.BATCH):
            finished = []
            for *_, path in batch:
                # Read once more: a hundred thousand records do not fit into memory.
                written = files.Written(path, files.sha256_of(path), path.stat().st_size)
                finished.append((files.read_record(path), written))
            entered = filing.enter_many(
                writing, place, finished, on_refused=lambda name, reason: report.set_aside.append(name)
            )
            report.adopted += [record.fit_key for record in entered]
        with writing() as connection:
            connection.execute(sa.delete(tables.meta).where(tables.meta.c.key == OLD_PARAMETERS))
    return report


def _renew_parameters(database: Database, place: Layout) -> None:
    """Take from the files what the parameters had not in older schemas, if that was not done."""
    mark = tables.meta.c.key == OLD_PARAMETERS
    if not database.exists():
        return
    with database.reading() as connection:
        if connection.execute(sa.select(tables.meta.c.key).where(mark)).first() is None:
            return
    fit, complete = tables.fit, [row for row in _rows(database).values() if row.status == "complete"]
    for batch in itertools.batched(complete, filing.BATCH):
        runs = {row.id: row.run_id for row in batch}
        records = {}
        for row in batch:
            with contextlib.suppress(ClassyError, FileNotFoundError):  # its rows stay as they are
                records[row.id] = files.read_record(place.fit_path(row.fit_key, row.run_id))
        with database.writing() as connection:
            now = connection.execute(sa.select(fit.c.id, fit.c.run_id).where(fit.c.id.in_(runs)))
            same = [
                number for number, run in now if runs[number] == run and number in records
            ]  # not run again meanwhile
            rows.renew_parameters(connection, {number: records[number] for number in same})
    with database.writing() as connection:
        connection.execute(sa.delete(tables.meta).where(mark))


def _settled(database: Database, place: Layout) -> Report:
    """Finish what dead processes left, by what a sound index says of it; do nothing without one."""
    with contextlib.suppress(CatalogError):
        database.check_sound()
        if database.exists():
            return sweep(database, place)
    return Report()


def _adopt(database: Database, place: Layout, path: Path, report: Report) -> None:
    match = FIT_FILE.fullmatch(path.name)
    if filing.adopt(database, place, path):
        report.adopted.append(match[1] if match else path.name)
    else:
        report.set_aside.append(path.name)


def _set_aside(database: Database, place: Layout, row: Any, reason: str, report: Report) -> None:
    filing.mark(database, row.id, row.run_id, "damaged")
    filing.set_aside(place, place.fit_path(row.fit_key, row.run_id), reason)
    report.damaged.append(row.fit_key)


def _has_row(database: Database, fit_key: str, run_id: str) -> bool:
    if not database.exists():
        return False
    table = tables.fit
    query = sa.select(table.c.id).where(table.c.fit_key == fit_key, table.c.run_id == run_id)
    with database.reading() as connection:
        return connection.execute(query.where(table.c.status == "complete")).first() is not None


def _rows(database: Database) -> dict[tuple[str, str], Any]:
    if not database.exists():
        return {}
    table = tables.fit
    columns = (table.c.fit_key, table.c.run_id, table.c.id, table.c.status, table.c.sha256, table.c.nbytes)
    with database.reading() as connection:
        return {(row.fit_key, row.run_id): row for row in connection.execute(sa.select(*columns))}
