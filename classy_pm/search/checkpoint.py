"""What of a fit is kept on disk while it runs, so that it can be killed.

A search is a function of its seed and of what the likelihood tells it. So it is enough to remember the
values of the likelihood: a fit that is started again goes the same way, reads what is known and computes
the rest. This holds for every search, and its libraries need not know of it. Chains whose likelihood is
machine code are kept as a whole.

Nothing of it holds for another likelihood. So a few vectors are kept with their values, the witnesses, at
which the likelihood of today is looked at before anything that is kept is used.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import struct
import threading
import time
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

__all__ = [
    "ENDS",
    "NAN_COUNT",
    "Chain",
    "Journal",
    "Witness",
    "agree",
    "forget_chains",
    "kept_ends",
    "read_chain",
    "write_chain",
]

logger = logging.getLogger("classy_pm")

# What a chain gives: arrays by name, `vectors` among them; the first axis of each its draws, or no axis for
# what is told of the whole chain.
Chain = dict[str, np.ndarray]

# What is kept with a chain: the log likelihoods at its first and last draw, and how often it met NaN.
ENDS = "log_likelihood_at_ends"
NAN_COUNT = "nan_in_chain"

MAGIC = b"classy_pm journal 2\n"
# Digest of the vectors, how many values there are, the length of a witness's vector, and a checksum.
HEAD = struct.Struct("<16sIII")
# At so many witnesses of a journal the likelihood is looked at.
CHECKED = 5
TOLERANCE = 1e-8


@dataclass(frozen=True)
class Witness:
    """A vector, shape (size,), with what was computed there: its log likelihood, or its gradient."""

    vector: np.ndarray
    values: np.ndarray

    @property
    def worth(self) -> float:
        """The larger, the more it tells of a change; of a log likelihood, the nearer to the mode."""
        if not np.all(np.isfinite(self.values)):
            return -np.inf
        return float(self.values[0]) if self.values.size == 1 else float(np.any(self.values))


class Journal:
    """The values of the likelihood at batches of vectors, in a file that only grows.

    NaN is kept as NaN. With every write goes a witness.

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
        self._witnesses: list[Witness] = []
        self._unwritten: list[bytes] = []
        self._next_witness: Witness | None = None
        self._written_at = time.monotonic()
        self._begun = False
        self._lock = threading.Lock()  # chains in threads share a journal
        if path is not None and path.exists():
            self._known, self._witnesses, length = _read(path)
            os.truncate(path, length)

    def __len__(self) -> int:
        """How many batches of an earlier run are known."""
        return len(self._known)

    def recall(self, vectors: np.ndarray) -> np.ndarray | None:
        """Return the values at a batch of vectors if an earlier run computed them."""
        return self._known.get(_digest(vectors)) if self._known else None

    def witnesses(self) -> list[Witness]:
        """Return a few witnesses of the earlier run, from its begin to its end."""
        told = [witness for witness in self._witnesses if witness.worth > -np.inf] or self._witnesses
        places = np.linspace(0, len(told) - 1, min(CHECKED, len(told)))
        return [told[int(place)] for place in places]

    def forget(self) -> None:
        """Drop what is known: it is of another likelihood."""
        self._known.clear()
        self._witnesses.clear()
        self.remove()

    def keep(self, vectors: np.ndarray, values: np.ndarray) -> None:
        """Remember the values at a batch of vectors, or a gradient, shape (size,), at a single one."""
        if self._path is None:
            return
        record = _record(vectors, values)
        with self._lock:
            self._unwritten.append(record)
            witness = _best(vectors, values)
            if self._next_witness is None or witness.worth >= self._next_witness.worth:
                self._next_witness = witness
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
        witness, self._next_witness = self._next_witness, None
        if witness is not None:  # before what it stands for, in case that the end is lost
            records.insert(0, _record(witness.vector, witness.values, witness.vector))
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
    return None if path is None or not path.exists() else _read_chain(path)


def _read_chain(path: Path) -> Chain | None:
    """Return a chain if it is whole."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            chain = dict(arrays)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return None
    return chain if {ENDS, NAN_COUNT, "vectors"} <= chain.keys() else None


def kept_ends(folder: Path | None) -> list[Witness]:
    """Return the first and the last draw of every chain that is kept."""
    found: list[Witness] = []
    for path in sorted(folder.glob("chain-*.npz")) if folder is not None else []:
        chain = _read_chain(path)
        if chain is not None:
            ends = zip(chain["vectors"][[0, -1]], chain[ENDS], strict=True)
            found += [Witness(vector, np.array([value])) for vector, value in ends]
    return found


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
    return np.allclose(today, then, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True)


def remove_empty(folder: Path) -> None:
    """Delete a fit's folder, and the folder of all these folders, if nothing is in them."""
    with contextlib.suppress(OSError):
        folder.rmdir()
        folder.parent.rmdir()


def _digest(vectors: np.ndarray) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(vectors, dtype="<f8").tobytes(), digest_size=16).digest()


def _record(vectors: np.ndarray, values: np.ndarray, witness: np.ndarray | None = None) -> bytes:
    told = np.empty(0) if witness is None else witness
    body = np.concatenate([values, told]).astype("<f8").tobytes()
    digest = _digest(vectors)
    return HEAD.pack(digest, len(values), len(told), zlib.crc32(digest + body)) + body


def _best(vectors: np.ndarray, values: np.ndarray) -> Witness:
    """Return what tells most of a batch."""
    if vectors.ndim == 1:
        return Witness(np.array(vectors), np.array(values))
    place = int(np.argmax(np.where(np.isnan(values), -np.inf, values)))
    return Witness(np.array(vectors[place]), np.array(values[place : place + 1]))


def _read(path: Path) -> tuple[dict[bytes, np.ndarray], list[Witness], int]:
    """Return what a journal knows, and up to where it is whole: a kill may cut the last record."""
    known: dict[bytes, np.ndarray] = {}
    witnesses: list[Witness] = []
    content = path.read_bytes()
    if not content.startswith(MAGIC):
        return known, witnesses, 0
    place = len(MAGIC)
    while place + HEAD.size <= len(content):
        digest, count, length, checksum = HEAD.unpack_from(content, place)
        end = place + HEAD.size + 8 * (count + length)
        body = content[place + HEAD.size : end]
        if len(body) < 8 * (count + length) or zlib.crc32(digest + body) != checksum:
            break
        numbers = np.frombuffer(body, dtype="<f8").copy()
        if length:
            witnesses.append(Witness(numbers[count:], numbers[:count]))
        else:
            known[digest] = numbers
        place = end
    return known, witnesses, place
