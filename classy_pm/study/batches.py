"""The draws of all objects one after the other, in memory or in a file that is read batch by batch."""

from __future__ import annotations

import hashlib
import os
import tempfile
import weakref
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from classy_pm.errors import ModelError
from classy_pm.study.posteriors import Posterior

__all__ = ["Batch", "Batches"]

# A batch has no more draws than this, but for an object that has more by itself.
ROWS = 1 << 15
# Draws touch a limit of their prior if more than this share of them is nearer to it than so many of their
# standard deviations.
NEAR = 0.25
TOUCHING = 0.01


class Batch(NamedTuple):
    """Some objects' draws.

    Attributes
    ----------
    first : int
        The number of the first object.
    starts : numpy.ndarray of int, shape (objects,)
        Where each object's draws begin.
    x : numpy.ndarray, shape (parameters, rows)
    offset : numpy.ndarray, shape (rows,)
        -inf in rows at the end that belong to none.
    """

    first: int
    starts: np.ndarray
    x: np.ndarray
    offset: np.ndarray

    @property
    def objects(self) -> slice:
        """Which objects they are."""
        return slice(self.first, self.first + len(self.starts))


@dataclass
class Batches:
    """The draws of a population's objects.

    Attributes
    ----------
    names : list of str
    lengths : numpy.ndarray of int, shape (objects,)
        How many draws each has.
    efficiency : numpy.ndarray, shape (objects,)
    rows : int
        How many draws a batch has room for.
    touching : list of (int, numpy.ndarray of shape (parameters, 2))
        Objects whose draws touch a limit of their own prior, and the limits.
    digest : str
        The hash of all draws.
    """

    names: list[str]
    lengths: np.ndarray
    efficiency: np.ndarray
    width: int
    rows: int
    touching: list[tuple[int, np.ndarray]]
    digest: str
    memory: np.ndarray | None
    path: Path | None

    @classmethod
    def of(
        cls, posteriors: Iterable[Posterior], width: int, memory_limit: int, folder: Any = None
    ) -> Batches:
        """Take the draws in, one object after the other.

        Parameters
        ----------
        posteriors : iterable of Posterior
        width : int
            How many parameters there are.
        memory_limit : int
            Bytes; draws that need more go into a file.
        folder : path, optional
            Where that file is, a temporary one.

        Raises
        ------
        ModelError
            If there is no object.
        """
        names: list[str] = []
        lengths, efficiency = array("q"), array("d")
        touching: list[tuple[int, np.ndarray]] = []
        digest = hashlib.sha256()
        kept: list[np.ndarray] | None = []
        size, longest = 0, 0
        stream, path = None, None
        try:
            for posterior in posteriors:
                rows = np.concatenate([posterior.x, posterior.offset[np.newaxis]]).T.astype("<f8")
                if posterior.support is not None:
                    limits = posterior.support.limits
                    if _touches(posterior, limits):
                        touching.append((len(names), limits))
                names.append(posterior.name)
                lengths.append(len(rows))
                efficiency.append(posterior.efficiency)
                digest.update(np.int64(len(rows)).tobytes() + rows.tobytes())
                size, longest = size + len(rows), max(longest, len(rows))
                if kept is not None:
                    kept.append(rows)
                    # Where they stay in memory they are padded to one length.
                    if len(names) * longest * (width + 1) * 8 > memory_limit:
                        descriptor, name = tempfile.mkstemp(".draws", "population-", folder)
                        path, stream = Path(name), os.fdopen(descriptor, "wb")
                        for item in kept:
                            stream.write(item.tobytes())
                        kept = None
                elif stream is not None:
                    stream.write(rows.tobytes())
        except BaseException:
            if path is not None:
                path.unlink(missing_ok=True)
            raise
        finally:
            if stream is not None:
                stream.close()
        if not names:
            raise ModelError("The population has no objects.", cure="See that the query finds fits.")
        batches = cls(
            names=names,
            lengths=np.array(lengths),
            efficiency=np.array(efficiency),
            width=width,
            rows=min(max(ROWS, longest), size),
            touching=touching,
            digest=digest.hexdigest(),
            memory=None if kept is None else np.concatenate(kept),
            path=path,
        )
        if path is not None:
            weakref.finalize(batches, path.unlink, missing_ok=True)
        return batches

    def close(self) -> None:
        """Remove the file, if there is one: nothing is read from it any more."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches; all have room for the same number of draws."""
        if self.path is None:
            yield from self._from(lambda start, stop: self._memory()[start:stop])
            return
        with self.path.open("rb", buffering=0) as stream:
            row = 8 * (self.width + 1)

            def read(start: int, stop: int) -> np.ndarray:
                stream.seek(start * row)
                return np.fromfile(stream, "<f8", (stop - start) * (self.width + 1)).reshape(stop - start, -1)

            yield from self._from(read)

    def _memory(self) -> np.ndarray:
        assert self.memory is not None
        return self.memory

    def _from(self, read: Any) -> Iterator[Batch]:
        first = 0
        begin = 0
        ends = np.cumsum(self.lengths)
        while first < len(self.names):
            stop = max(first + 1, int(np.searchsorted(ends, begin + self.rows, side="right")))
            end = int(ends[stop - 1])
            rows = read(begin, end)
            x = np.empty((self.width, self.rows))
            offset = np.full(self.rows, -np.inf)
            x[:, : len(rows)], offset[: len(rows)] = rows[:, :-1].T, rows[:, -1]
            x[:, len(rows) :] = rows[-1, :-1, np.newaxis]
            starts = np.concatenate([[0], ends[first : stop - 1] - begin]).astype(np.intp)
            yield Batch(first, starts, x, offset)
            first, begin = stop, end

    def padded(self) -> tuple[np.ndarray, np.ndarray]:
        """Return all draws as arrays, shape (parameters, objects, draws) and (objects, draws).

        Where an object has fewer draws than another its last one is repeated, with an offset of -inf.
        """
        longest = int(np.max(self.lengths))
        x = np.empty((self.width, len(self.names), longest))
        offset = np.full((len(self.names), longest), -np.inf)
        for batch in self:
            ends = [*batch.starts[1:], np.sum(self.lengths[batch.objects])]
            for place, (start, stop) in enumerate(zip(batch.starts, ends, strict=True), start=batch.first):
                count = stop - start
                x[:, place, :count] = batch.x[:, start:stop]
                x[:, place, count:] = batch.x[:, stop - 1, np.newaxis]
                offset[place, :count] = batch.offset[start:stop]
        return x, offset


def _touches(posterior: Posterior, limits: np.ndarray) -> bool:
    """Whether draws are so near to a limit of their prior that more of them would be beyond it."""
    weights = np.exp(posterior.offset - np.max(posterior.offset))  # without the prior: as the data have them
    weights = weights / np.sum(weights)
    for x, (lower, upper) in zip(posterior.x, limits, strict=True):
        near = NEAR * np.sqrt(np.cov(x, aweights=weights, ddof=0))
        for limit in (lower, upper):
            if np.isfinite(limit) and np.sum(weights[np.abs(x - limit) <= near]) > TOUCHING:
                return True
    return False
