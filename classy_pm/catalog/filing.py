"""From a finished file to its row: the second half of filing a fit, also done for the dead.

Everything here may be done by several processes to the same file at once: a row is decided by the
one transaction that inserts it, and two attempts to enter the same run are one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import sqlalchemy as sa

from classy_pm.catalog import files, guard, notes, rows, tables
from classy_pm.catalog.database import Database, Writing
from classy_pm.catalog.faults import RefusedFit, reach
from classy_pm.catalog.files import Written
from classy_pm.catalog.layout import Layout, flush_folder, keys_of, make_folder
from classy_pm.catalog.records import FitRecord
from classy_pm.errors import CatalogError, ClassyError

#: Fits whose rows are written in one transaction, where many are filed.
BATCH = 100
#: Bytes of the reason beside a file in quarantine.
LONGEST_REASON = 10_000


def enter(
    database: Database,
    layout: Layout,
    record: FitRecord,
    written: Written,
    *,
    instead_of: str | None = None,
) -> bool:
    """Give a finished file its row; if another run of the fit has one, set the file aside.

    Parameters
    ----------
    instead_of : str, optional
        A run of the fit that gives way to this one: its row in the same transaction, and its file,
        which goes into quarantine, after that.

    Returns
    -------
    bool
        Whether the catalogue now has this run, by this call or an earlier one.

    Raises
    ------
    RefusedFit
        If the index does not take its rows; the file has been set aside then.
    """
    entered = enter_many(database.writing, layout, [(record, written)], instead_of=instead_of)
    if entered and instead_of is not None:
        old = layout.fit_path(record.fit_key, instead_of)
        set_aside(layout, old, f"it was run again, as {record.run_id}, which takes its place")
    return bool(entered)


def enter_many(
    writing: Writing,
    layout: Layout,
    finished: Sequence[tuple[FitRecord, Written]],
    *,
    instead_of: str | None = None,
    on_refused: Callable[[str, str], object] | None = None,
) -> list[FitRecord]:
    """Give finished files their rows in one transaction; return those that the catalogue now has.

    A file whose rows the index does not take is set aside, and the others are entered all the same;
    its name and the reason are told to `on_refused`, without which it is a RefusedFit in the end.
    """
    entered = []
    refused: dict[Path, str] = {}
    with writing() as connection:
        kept = _insert(connection, finished, instead_of, refused)
        notes.apply(connection, notes.read(layout.files, kept))
        # Files are set aside inside of the transaction: nobody else decides on them meanwhile.
        for record, written in finished:
            if written.path in refused:
                set_aside(layout, written.path, f"the index does not take it: {refused[written.path]}")
                continue
            run = kept[record.fit_key]
            # The run, and not who inserted it, decides: a recovery may have entered this very file
            # between its naming and this transaction, and then it must not be set aside.
            if run != record.run_id:
                set_aside(layout, written.path, f"another run of this fit, {run}, was filed first")
                continue
            entered.append(record)
            if instead_of is not None and not written.path.exists():
                # A recovery has set it aside while the old run still had its row.
                files.give_name(layout.part_path(record.fit_key, record.run_id), written.path)
        reach("in transaction")
    reach("committed")
    if refused and on_refused is None:
        reasons = [f"{path.name}: {reason}" for path, reason in refused.items()]
        raise RefusedFit("The index does not take this fit; its file is in quarantine.", reasons[:20])
    for path, reason in refused.items():
        if on_refused is not None:
            on_refused(path.name, reason)
    return entered


def _insert(
    connection: sa.Connection,
    finished: Sequence[tuple[FitRecord, Written]],
    instead_of: str | None,
    refused: dict[Path, str],
) -> dict[str, str]:
    """Enter fits and return their runs by key; those that are refused are found by halves and left out."""
    try:
        with connection.begin_nested():
            return rows.insert_fits(connection, finished, instead_of=instead_of)
    except (sa.exc.SQLAlchemyError, ValueError, TypeError, OverflowError, CatalogError) as error:
        if not rows.is_refusal(error):
            raise
        if len(finished) == 1:
            refused[finished[0][1].path] = str(getattr(error, "orig", None) or error)
            return {}
        half = len(finished) // 2
        found = _insert(connection, finished[:half], instead_of, refused)
        return found | _insert(connection, finished[half:], instead_of, refused)


def adopt(database: Database, layout: Layout, path: Path) -> bool:
    """Enter a file that has its name but no row; set it aside if it is not what its name says."""
    try:
        guard.check(path)
        record = files.read_record(path)
        if keys_of(path) != (record.fit_key, record.run_id):
            raise CatalogError("The keys in its manifest are not those of its name.")
        written = Written(path, files.sha256_of(path), path.stat().st_size)
        database.check_record(record)
    except FileNotFoundError:
        return False  # set aside by another process in this moment
    except ClassyError as error:
        set_aside(layout, path, str(error))
        return False
    # An index that cannot be asked says nothing about a file.
    if _filed_hash(database, record) not in (None, written.sha256):
        set_aside(layout, path, f"{path.name!r} has changed since it was filed.")
        return False
    try:
        return enter(database, layout, record, written)
    except RefusedFit:
        return False


def _filed_hash(database: Database, record: FitRecord) -> str | None:
    """Return what this run's file hashed to when it was filed, if the index knows it."""
    if not database.exists():
        return None
    fit = tables.fit
    query = sa.select(fit.c.sha256).where(fit.c.fit_key == record.fit_key, fit.c.run_id == record.run_id)
    with database.reading() as connection:
        return connection.execute(query).scalar_one_or_none()


def runs_filed(database: Database, layout: Layout, fit_key: str) -> list[Path]:
    """Return the file of the run of a fit that has the row, if there is a complete one."""
    if not database.exists():
        return []
    fit = tables.fit
    query = sa.select(fit.c.run_id).where(fit.c.fit_key == fit_key, fit.c.status == "complete")
    with database.reading() as connection:
        return [layout.fit_path(fit_key, run) for run in connection.execute(query).scalars()]


def mark(database: Database, fit_id: int, run_id: str, status: str) -> None:
    """Note in the row of a run that its file is missing or damaged."""
    table = tables.fit
    with database.writing() as connection:
        where = (table.c.id == fit_id) & (table.c.run_id == run_id)
        connection.execute(sa.update(table).where(where).values(status=status))


def set_aside(layout: Layout, path: Path, reason: str) -> None:
    """Move a file into quarantine, with the reason beside it; nothing is ever deleted."""
    folder = layout.quarantine
    make_folder(folder)
    try:
        path.rename(folder / path.name)
    except FileNotFoundError:
        return  # another process has done it
    # What is wrong with a file may be told in its own words: half characters, and without end.
    text = reason.encode("utf-8", "backslashreplace")[:LONGEST_REASON]
    (folder / f"{path.name}.reason.txt").write_bytes(text + b"\n")
    flush_folder(folder)
