"""Where things lie on disk: one folder of files beside each database.

    survey.sqlite                    the index; `rebuild` makes it again from the files
    survey.files/fits/ab/<fit_key>-<run_id>.nc
    survey.files/pending/            fits on their way in; what a dead process left is finished or removed
    survey.files/output/<fit_key>/   pictures of a fit, and what is known of it while it runs
    survey.files/quarantine/         damaged files and duplicates, moved here with a reason
    survey.files/notes.jsonl         tags and notes given later, a line each
    survey.files/failed/             what went wrong with fits that have no file
    survey.files/claims/             which process runs which fit

No path is ever read from the database or from a file: paths are made from keys that are checked.
"""

from __future__ import annotations

import os
import re
import secrets
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from classy_pm.catalog.faults import UntrustedFile
from classy_pm.catalog.records import is_hex
from classy_pm.errors import CatalogError

FIT_FILE = re.compile(r"([0-9a-f]{64})-([0-9a-f]{32})\.nc", re.ASCII)
#: Groups: the two keys, then host, boot and process of the writer.
PART_FILE = re.compile(
    r"([0-9a-f]{64})-([0-9a-f]{32})\.([A-Za-z0-9-]+)\.([0-9a-f-]+)\.([0-9]+)\.part", re.ASCII
)


@dataclass(frozen=True, slots=True)
class Layout:
    """The folder of files that belongs to a database."""

    files: Path

    @classmethod
    def of(cls, database: Path) -> Layout:
        """Return the folder of files that lies beside a database, and belongs to no other one.

        It is `survey.files` for `survey.sqlite`, and `z0.5-files` for `z0.5`. A catalogue of that
        kind may have its files in `z0.files`, where they once were.
        """
        former = database.with_suffix(".files")
        if database.suffix == ".sqlite":
            return cls(former)
        files = database.with_name(f"{database.name}-files")
        return cls(former if database.exists() and former.is_dir() and not files.exists() else files)

    @property
    def fits(self) -> Path:
        """The folder of the fits' own files."""
        return self.files / "fits"

    @property
    def pending(self) -> Path:
        """Where files are written before they get their name."""
        return self.files / "pending"

    @property
    def claims(self) -> Path:
        """Where processes say which fits they are running."""
        return self.files / "claims"

    def output(self, fit_key: str) -> Path:
        """Return the folder of what a fit leaves beside its file, having checked the key."""
        if not is_hex(fit_key, 64):
            raise UntrustedFile(f"{fit_key!r} is not the key of a fit.")
        return self.files / "output" / fit_key

    @property
    def quarantine(self) -> Path:
        """Where damaged files and duplicates are moved."""
        return self.files / "quarantine"

    def all_files(self) -> list[Path]:
        """Return every file in the folders of fits."""
        return sorted(path for path in self.fits.glob("*/*") if not path.is_dir() or path.is_symlink())

    def fit_path(self, fit_key: str, run_id: str) -> Path:
        """Return where the file of a run lies, having checked both keys."""
        if not (is_hex(fit_key, 64) and is_hex(run_id, 32)):
            raise UntrustedFile(f"{fit_key!r} and {run_id!r} are not the keys of a fit.")
        return self.fits / fit_key[:2] / f"{fit_key}-{run_id}.nc"

    def part_path(self, fit_key: str, run_id: str) -> Path:
        """Return where this process writes a file before it has its name."""
        name = self.fit_path(fit_key, run_id).stem
        return self.pending / f"{name}.{host()}.{boot_id()}.{os.getpid()}.part"

    def runs_of(self, fit_key: str) -> list[Path]:
        """Return the files of all runs of one fit that have their final name."""
        folder = self.fits / fit_key[:2]
        try:
            with os.scandir(folder) as entries:
                names = [entry.name for entry in entries if entry.name.startswith(fit_key)]
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(folder / name for name in names if FIT_FILE.fullmatch(name))


def keys_of(path: Path) -> tuple[str, str] | None:
    """Return fit_key and run_id from the name of a fit's file, or None if it is not one."""
    match = FIT_FILE.fullmatch(path.name)
    return (match[1], match[2]) if match and path.parent.name == match[1][:2] else None


def host() -> str:
    """Return the name of this machine, safe in a file name."""
    return re.sub(r"[^A-Za-z0-9-]", "-", socket.gethostname()) or "host"


def boot_id() -> str:
    """Return what process numbers here are valid for: this boot of the machine, this container."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}-{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:
        return "0"


def is_alive(pid: int) -> bool:
    """Whether a process with this number runs on this machine."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def start_time(pid: int) -> str:
    """Return when a process was started, to tell it from a later one with the same number."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def age(path: Path) -> float:
    """Return how many seconds ago a file was touched, by the clock of its own file system.

    The clocks of two machines may differ; a file made now tells what the disk calls now.
    """
    probe = path.parent / f".{secrets.token_hex(8)}.probe"
    try:
        probe.touch()
        return probe.stat().st_mtime - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
    finally:
        probe.unlink(missing_ok=True)


def make_folder(folder: Path) -> None:
    """Create a folder with its parents, as far as they are missing, to survive a power cut."""
    if folder.is_dir():
        return
    try:
        missing = [path for path in (folder, *folder.parents) if not path.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        for path in missing:
            flush_folder(path.parent)
    except OSError as error:
        raise unwritable(folder, error) from error


def flush_folder(folder: Path) -> None:
    """Make the names in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_writable(folder: Path) -> None:
    """Raise a CatalogError if files cannot be made in a folder, or the folder itself; leave nothing.

    A file is really made and removed: permissions alone do not tell of a read-only or full disk.
    """
    present = folder
    while not present.exists() and present != present.parent:
        present = present.parent
    trial = present / f".classy_pm-{secrets.token_hex(8)}.trial"
    try:
        descriptor = os.open(trial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        try:
            os.write(descriptor, b"classy_pm")
        finally:
            os.close(descriptor)
            trial.unlink()
    except OSError as error:
        raise unwritable(folder, error) from error


def unwritable(place: Path, error: OSError) -> CatalogError:
    """Return the error that says why nothing can be written at a place."""
    return CatalogError(
        f"Nothing can be written at {str(place)!r}: {error.strerror or error}.",
        cure="Give `catalog=` a path in a folder that you may write to, such as Path.home() / 'fits.sqlite'.",
    )


def runs_on_their_way(parts: Iterable[Path]) -> set[tuple[str, str]]:
    """Return fit and run of each file that is a part; those of a dead process were on their way in."""
    matches = filter(None, (PART_FILE.fullmatch(path.name) for path in parts))
    return {(match[1], match[2]) for match in matches}
