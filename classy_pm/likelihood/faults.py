"""Exceptions of the user's Python below machine code, which can only say that there was one.

A sampler takes a call that failed for a point that is impossible, and goes on. So the exception is noted
where it is raised, and whoever has called the sampler raises it again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["has_failed", "note", "raising_faults"]

_watchers: list[list[BaseException]] = []


@contextmanager
def raising_faults() -> Iterator[None]:
    """Raise the first exception that was noted inside, whatever came of it."""
    faults: list[BaseException] = []
    _watchers.append(faults)
    try:
        yield
    except BaseException:  # a panic of machine code is no `Exception`
        if not faults:
            raise
    finally:
        _watchers[:] = [watcher for watcher in _watchers if watcher is not faults]
    if faults:
        raise faults[0]


def note(error: BaseException) -> None:
    """Keep an exception for who watches."""
    for watcher in _watchers:
        watcher.append(error)


def has_failed() -> bool:
    """Whether an exception was noted: then nothing more need be computed."""
    return any(_watchers)
