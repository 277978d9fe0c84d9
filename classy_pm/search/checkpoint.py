"""What of a fit is kept on disk while it runs, so that it can be killed.

A search is a function of its seed and of what the likelihood tells it. So it is enough to remember the
values of the likelihood: a fit that is started again goes the same way, reads what is known and computes
the rest. This holds for every search, and its libraries need not know of it. Chains whose likelihood is
machine code are kept as a whole.

Nothing of it holds for another likelihood, be it another where it was zero alone. So a few vectors are kept
with their values, the witnesses, at which the likelihood of today is looked at before anything that is
kept is used.
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
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from classy_pm.likelihood import LogLikelihood

__all__ = [
    "NAN_COUNT",
    "WITNESSED",
    "WITNESSES",
    "Chain",
    "Journal",
    "Witness",
    "agree",
    "at_prior",
    "forget_chains",
    "kept_witnesses",
    "read_chain",
    "write_chain",
]

logger = logging.getLogger("classy_pm")

# What a chain gives: arrays by name, `vectors` among them; the first axis of each its draws, or no axis for
# what is told of the whole chain.
Chain = dict[str, np.ndarray]

# What is kept with a chain: witnesses, and how often it met NaN.
WITNESSES = "witnesses"
WITNESSED = "log_likelihood_at_witnesses"
NAN_COUNT = "nan_in_chain"
# At so many draws of the prior as well: a likelihood may have changed where a posterior has not been.
PRIOR_WITNESSES = 10

MAGIC = b"classy_pm journal 3\n"
# Digest of the vectors, how many values there are, the length of a witness's vector, and a checksum.
HEAD = struct.Struct("<16sIII")
# At so many witnesses of each kind the likelihood is looked at.
CHECKED = {"finite": 6, "zero": 3, "undefined": 3}
TOLERANCE = 1e-8


@dataclass(frozen=True)
class Witness:
    """A vector, shape (size,), with what was computed there: its log likelihood, or its gradient."""

    vector: np.ndarray
    values: np.ndarray

    @property
    def kind(self) -> str:
        """Whether the likelihood was a number there, zero, or not defined."""
        if np.any(np.isnan(self.values)):
            return "undefined"
        return "finite" if np.all(np.isfinite(self.values)) else "zero"


class Journal:
    """The values of the likelihood at batches of vectors, in a file that only grows.

    NaN is kept as NaN. With every write go witnesses: where the likelihood was best, where it was worst, at a
    vector by chance, and where it was zero and where it was NaN, if it was.

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
        self._next: dict[str, tuple[float, Witness]] = {}
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
        """Return a few witnesses of the earlier run, of each kind."""
        rng, found = np.random.default_rng(0), []
        for kind, count in CHECKED.items():
            told = [witness for witness in self._witnesses if witness.kind == kind]
            places = rng.permutation(len(told))[:count]
            found += [told[place] for place in sorted(places)]
        return found

    def forget(self) -> None:
        """Drop what is known: it is of another likelihood."""
        self._known.clear()
        self._witnesses.clear()
        self.remove()

    def keep(self, vectors: np.ndarray, values: np.ndarray) -> None:
        """Remember the values at a batch of vectors, or a gradient, shape (size,), at a single one."""
        if self._path is None:
            return
        digest = _digest(vectors)
        record = _record(digest, values)
        with self._lock:
            self._unwritten.append(record)
            for role, score, witness in _candidates(vectors, values, digest):
                if role not in self._next or score > self._next[role][0]:
                    self._next[role] = score, witness
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
        witnesses, self._next = [witness for _, witness in self._next.values()], {}
        # Before what they stand for, in case that the end is lost.
        records[:0] = [
            _record(_digest(witness.vector), witness.values, witness.vector) for witness in witnesses
        ]
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
    return chain if {WITNESSES, WITNESSED, NAN_COUNT, "vectors"} <= chain.keys() else None


def kept_witnesses(folder: Path | None) -> list[Witness]:
    """Return the witnesses of every chain that is kept."""
    found: list[Witness] = []
    for path in sorted(folder.glob("chain-*.npz")) if folder is not None else []:
        chain = _read_chain(path)
        if chain is not None:
            told = zip(chain[WITNESSES], chain[WITNESSED], strict=True)
            found += [Witness(vector, np.array([value])) for vector, value in told]
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


def at_prior(log_likelihood: LogLikelihood) -> tuple[np.ndarray, np.ndarray]:
    """Return a few draws of the prior, always the same, and the log likelihood there, NaN where it is NaN.

    A likelihood that was impossible or NaN somewhere by mistake has no draws there to be found out by.
    """
    vectors = log_likelihood.plan.draws(PRIOR_WITNESSES, random_seed=0)
    return vectors, log_likelihood.values(vectors)


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


def _record(digest: bytes, values: np.ndarray, witness: np.ndarray | None = None) -> bytes:
    told = np.empty(0) if witness is None else witness
    body = np.concatenate([values, told]).astype("<f8").tobytes()
    return HEAD.pack(digest, len(values), len(told), zlib.crc32(digest + body)) + body


def _candidates(
    vectors: np.ndarray, values: np.ndarray, digest: bytes
) -> Iterator[tuple[str, float, Witness]]:
    """Yield what of a batch may be a witness: in which role, how good a one, and the witness."""
    chance = int.from_bytes(digest[:6], "little")
    if vectors.ndim == 1:
        witness = Witness(np.array(vectors), np.array(values))
        tells = 2.0**48 if np.any(values) else 0.0  # a slope of zero may be one that was left out
        yield witness.kind, tells + chance, witness
        return
    if not len(values):
        return
    finite = np.isfinite(values)
    places: dict[str, tuple[Any, float]] = {"by chance": (chance % len(values), float(chance))}
    if np.any(finite):
        best, worst = (
            np.argmax(np.where(finite, values, -np.inf)),
            np.argmin(np.where(finite, values, np.inf)),
        )
        places |= {"best": (best, values[best]), "worst": (worst, -values[worst])}
    for role, there in (("zero", values == -np.inf), ("undefined", np.isnan(values))):
        if np.any(there):
            places[role] = int(np.argmax(there)), float(chance)
    for role, (place, score) in places.items():
        yield role, float(score), Witness(np.array(vectors[place]), np.array(values[place : place + 1]))


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
