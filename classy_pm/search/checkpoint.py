"""What of a fit is kept on disk while it runs, so that it can be killed.

A search is a function of its seed and of what the likelihood tells it. So it is enough to remember the
values of the likelihood: a fit that is started again goes the same way, reads what is known and computes
the rest. This holds for every search, and its libraries need not know of it. Chains whose likelihood is
machine code are kept as a whole.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import struct
import threading
import time
import zlib
from pathlib import Path

import numpy as np

__all__ = ["Chain", "Journal", "agree", "forget_chains", "read_chain", "write_chain"]

logger = logging.getLogger("classy_pm")

# What a chain gives: arrays by name, `vectors` among them; the first axis of each its draws, or no axis for
# what is told of the whole chain.
Chain = dict[str, np.ndarray]

MAGIC = b"classy_pm journal 1\n"
HEAD = struct.Struct("<16sII")  # digest of the vectors, how many there are, checksum of digest and values
# So many of the remembered batches are computed again: a likelihood that was changed is noticed.
CHECKED = 3
TOLERANCE = 1e-8


class Journal:
    """The values of the likelihood at batches of vectors, in a file that only grows.

    Parameters
    ----------
    path : pathlib.Path or None
        The file; None remembers nothing.
    interval : float
        Seconds between two writes: what a kill can cost. A fit shorter than this writes nothing.
    """

    def __init__(self, path: Path | None, interval: float) -> None:
        self._path = path
        self._interval = interval
        self._known: dict[bytes, np.ndarray] = {}
        self._unwritten: list[bytes] = []
        self._written_at = time.monotonic()
        self._unchecked = CHECKED
        self._begun = False
        self._lock = threading.Lock()  # chains in threads share a journal
        if path is not None and path.exists():
            self._known, length = _read(path)
            os.truncate(path, length)

    def __len__(self) -> int:
        """How many batches of an earlier run are known."""
        return len(self._known)

    def recall(self, vectors: np.ndarray) -> np.ndarray | None:
        """Return the values at a batch of vectors if an earlier run computed them."""
        return self._known.get(_digest(vectors)) if self._known else None

    def wants_check(self) -> bool:
        """Whether what is recalled shall be computed again, to see whether it still holds."""
        self._unchecked -= 1
        return self._unchecked >= 0

    def forget(self) -> None:
        """Drop what is known: it is of another likelihood."""
        self._known.clear()
        self._unwritten.clear()
        self.remove()

    def keep(self, vectors: np.ndarray, values: np.ndarray) -> None:
        """Remember the values at a batch of vectors."""
        if self._path is None:
            return
        body = np.ascontiguousarray(values, dtype="<f8").tobytes()
        digest = _digest(vectors)
        self._unwritten.append(HEAD.pack(digest, len(values), zlib.crc32(digest + body)) + body)
        if time.monotonic() - self._written_at >= self._interval:
            self.write()

    def write(self) -> None:
        """Put on disk what is not there yet; a full disk ends the journal and not the fit."""
        with self._lock:
            self._write()

    def _write(self) -> None:
        self._written_at = time.monotonic()
        if self._path is None or not self._unwritten:
            return
        records, self._unwritten = self._unwritten, []
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab") as file:
                file.write((b"" if file.tell() else MAGIC) + b"".join(records))
                file.flush()
                os.fsync(file.fileno())
            self._begun = True
        except OSError as error:
            logger.warning("The fit goes on without a checkpoint: %s", error)
            self._path = None

    def write_if_begun(self) -> None:
        """Write once more where something was written before: a short fit that failed leaves nothing."""
        if self._begun:
            self.write()

    def remove(self) -> None:
        """Delete the file, and the folders that were made for it and are empty."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)
            remove_empty(self._path.parent)


def read_chain(folder: Path | None, number: int) -> Chain | None:
    """Return the chain of a number if an earlier run has finished it."""
    path = _chain(folder, number)
    if path is None or not path.exists():
        return None
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


def write_chain(folder: Path | None, number: int, chain: Chain) -> None:
    """Keep a chain that is finished."""
    path = _chain(folder, number)
    if path is None:
        return
    part = path.with_suffix(".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            np.savez(file, allow_pickle=False, **chain)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        logger.warning("The fit goes on without a checkpoint: %s", error)
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def forget_chains(folder: Path | None) -> None:
    """Delete the chains that are kept."""
    if folder is not None and folder.is_dir():
        for path in folder.glob("chain-*"):
            path.unlink()
        remove_empty(folder)


def _chain(folder: Path | None, number: int) -> Path | None:
    return None if folder is None else folder / f"chain-{number}.npz"


def agree(then: np.ndarray, today: np.ndarray) -> bool:
    """Whether log likelihoods are what they were: another machine may give another last digit."""
    return np.allclose(today, then, rtol=TOLERANCE, atol=TOLERANCE)


def remove_empty(folder: Path) -> None:
    """Delete a fit's folder, and the folder of all these folders, if nothing is in them."""
    with contextlib.suppress(OSError):
        folder.rmdir()
        folder.parent.rmdir()


def _digest(vectors: np.ndarray) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(vectors, dtype="<f8").tobytes(), digest_size=16).digest()


def _read(path: Path) -> tuple[dict[bytes, np.ndarray], int]:
    """Return what a journal knows, and up to where it is whole: a kill may cut the last record."""
    known: dict[bytes, np.ndarray] = {}
    content = path.read_bytes()
    if not content.startswith(MAGIC):
        return known, 0
    place = len(MAGIC)
    while place + HEAD.size <= len(content):
        digest, count, checksum = HEAD.unpack_from(content, place)
        end = place + HEAD.size + 8 * count
        body = content[place + HEAD.size : end]
        if len(body) < 8 * count or zlib.crc32(digest + body) != checksum:
            break
        known[digest] = np.frombuffer(body, dtype="<f8").copy()
        place = end
    return known, place
