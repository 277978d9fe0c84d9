"""Taking fits elsewhere and getting them back: folders of files, and one zip for a colleague.

Only the fits' own files are exchanged, never an index: the receiver's index is made from manifests
that the receiver checks. So whatever the sender has put into a file, it is data or it is refused.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO

from classy_pm.catalog import files, filing, guard, layout, notes
from classy_pm.catalog.database import Database
from classy_pm.catalog.faults import RefusedFit, UntrustedFile
from classy_pm.catalog.layout import FIT_FILE, Layout, runs_on_their_way
from classy_pm.catalog.notes import Change
from classy_pm.catalog.recovery import Report
from classy_pm.catalog.stored import StoredFit
from classy_pm.errors import CatalogError, ClassyError

#: Bytes of one file in a zip, and of all of them; checked again while they are read.
LARGEST_FILE = 16 * 1024**3
LARGEST_ZIP = 1024**4
MOST_FILES = 1_000_000
LARGEST_NOTES = 64 * 1024**2
CHUNK = 1 << 20
#: Folders of a catalogue with files that are no fits, or none yet.
NOT_FITS = {"pending", "quarantine"}


def export_zip(fits: Iterable[StoredFit], target: Path) -> int:
    """Write the files of some fits into one zip, which gets its name when it is complete.

    Returns
    -------
    int
        The number of fits.
    """
    if target.exists():
        raise CatalogError(f"{str(target)!r} exists already.", cure="Give another name, or remove it first.")
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    layout.make_folder(target.parent)
    number = 0
    keys: dict[Path, set[str]] = {}
    try:
        # Stored as they are: the files are compressed inside.
        with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
            for stored in fits:
                files.check_hash(stored.path, stored.sha256)
                archive.write(stored.path, f"fits/{stored.fit_key[:2]}/{stored.path.name}")
                keys.setdefault(stored.catalog.layout.files, set()).add(stored.fit_key)
                number += 1
            later = [notes.read(folder, of_folder).values() for folder, of_folder in keys.items()]
            if changes := [change for found in later for of_fit in found for change in of_fit]:
                archive.writestr(notes.FILE, notes.lines_of(changes))
        files.flush(part)
        part.rename(target)
    except OSError as error:
        raise layout.unwritable(target, error) from error
    finally:
        part.unlink(missing_ok=True)
    return number


def import_zip(database: Database, place: Layout, source: Path) -> Report:
    """Take in the fits of a zip; its members are read one by one, under names that are checked."""
    report, here = Report(), set[str]()
    try:
        with zipfile.ZipFile(source) as archive:
            members = archive.infolist()
            total = sum(member.file_size for member in members)
            if len(members) > MOST_FILES or total > LARGEST_ZIP:
                raise UntrustedFile(f"{str(source)!r} has {len(members)} members of {total} bytes.")
            for member in members:
                if member.filename == notes.FILE and member.file_size <= LARGEST_NOTES:
                    continue
                folder, _, name = member.filename.rpartition("/")
                match = FIT_FILE.fullmatch(name)
                if match is None or folder != f"fits/{match[1][:2]}" or member.file_size > LARGEST_FILE:
                    report.set_aside.append(member.filename)
                    continue
                with archive.open(member) as stream:
                    if _take(database, place, match[1], match[2], stream, member.file_size, report):
                        here.add(match[1])
            for member in members:
                if member.filename == notes.FILE and member.file_size <= LARGEST_NOTES:
                    with archive.open(member) as stream:
                        later = notes.read_lines(stream, here)
                    _take_notes(database, place, later)
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        if isinstance(error, CatalogError):
            raise
        raise UntrustedFile(f"{str(source)!r} cannot be read as a zip: {error}.") from error
    return report


def import_folder(database: Database, place: Layout, source: Path) -> Report:
    """Take in copies of the fits that lie anywhere in a folder; the folder is left as it is.

    The folder may be that of another catalogue, or results brought from another machine. Links
    are not followed, and what a catalogue has set aside as damaged is left where it is.
    """
    report, here = Report(), set[str]()
    if not source.is_dir():
        raise CatalogError(f"There is no folder {str(source)!r}.")
    # Of two runs of a fit, one that was on its way in when its process died took the place of the other.
    on_its_way = runs_on_their_way(source.rglob("*.part"))
    replaced = {fit_key for fit_key, _ in on_its_way}
    found = [(FIT_FILE.fullmatch(path.name), path) for path in sorted(source.rglob("*.nc"))]
    found.sort(key=lambda item: item[0] is None or item[0].group(1, 2) not in on_its_way)
    for match, path in found:
        if NOT_FITS & set(path.relative_to(source).parts[:-1]):
            continue
        if match is None or path.is_symlink() or not path.is_file():
            report.set_aside.append(path.name)
            continue
        if match[1] in here & replaced:
            continue
        with path.open("rb") as stream:
            if _take(database, place, match[1], match[2], stream, path.stat().st_size, report):
                here.add(match[1])
    for path in sorted(source.rglob(notes.FILE)):
        _take_notes(database, place, notes.read(path.parent, here))
    return report


def _take_notes(database: Database, place: Layout, later: Mapping[str, Sequence[Change]]) -> None:
    """Take in the later tags and notes of fits whose run is here, but not in the place of later ones."""
    if changes := notes.news(notes.read(place.files, later), later):
        notes.write(place, changes, database.writing)


def _take(
    database: Database, place: Layout, fit_key: str, run_id: str, stream: IO[bytes], size: int, report: Report
) -> bool:
    """Copy one file in, check it, and enter it; a file that is refused leaves nothing.

    Returns
    -------
    bool
        Whether the catalogue has this run, from now on or already.
    """
    report.checked += 1
    path, part = place.fit_path(fit_key, run_id), place.part_path(fit_key, run_id)
    if path.exists():
        return True
    if any(other.exists() for other in filing.runs_filed(database, place, fit_key)):
        report.other_run.append(fit_key)
        return False
    layout.make_folder(path.parent)
    layout.make_folder(part.parent)
    try:
        with part.open("xb") as copy:
            _copy(stream, copy, size)
        guard.check(part)
        record = files.read_record(part)
        if (record.fit_key, record.run_id) != (fit_key, run_id):
            raise UntrustedFile(f"The keys in the manifest of {path.name!r} are not those of its name.")
        database.check_record(record)
        files.read_tree(part)  # all of it: what is compressed has a checksum
        files.flush(part)
        written = files.Written(path, files.sha256_of(part), part.stat().st_size)
        files.give_name(part, path)
        layout.flush_folder(path.parent)
    except ClassyError:
        part.unlink(missing_ok=True)
        report.set_aside.append(path.name)
        return False
    except BaseException as error:
        part.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise layout.unwritable(path, error) from error
        raise
    # If this process dies here, the part tells of a file that has no row.
    try:
        entered = filing.enter(database, place, record, written)
        (report.adopted if entered else report.other_run).append(fit_key)
    except RefusedFit:
        entered = False
        report.set_aside.append(path.name)
    part.unlink(missing_ok=True)
    return entered


def _copy(stream: IO[bytes], copy: IO[bytes], size: int) -> None:
    """Copy so many bytes and not one more, whatever the sender has declared."""
    left = size
    while chunk := stream.read(min(CHUNK, left + 1)):
        left -= len(chunk)
        if left < 0:
            raise UntrustedFile("A file is longer than it says.")
        copy.write(chunk)
