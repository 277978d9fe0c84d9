"""Who runs which fit: lease files, so that two processes do not sample the same thing.

A lease is advice, not a lock on the result. It keeps a second process waiting while the first one
lives; if it is taken over wrongly, the fit is done twice and filed once.

A lease names its process. On the same machine it ends when that process does; on another one, when
its file has not been touched for a while, by the clock of the file system that both of them see.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from classy_pm.catalog import layout
from classy_pm.catalog.layout import Layout
from classy_pm.catalog.records import is_hex, now
from classy_pm.errors import CatalogError

#: Seconds between touches of a lease, and those after which one of another machine has ended.
HEARTBEAT = 60.0
STALE = 600.0


class Claims:
    """The leases on the fits of one catalogue.

    Parameters
    ----------
    place : Layout
        The files of the catalogue.
    """

    def __init__(self, place: Layout) -> None:
        self.folder = place.claims
        # When each lease was last touched, and since when this process has seen no other touch.
        self._watched: dict[str, tuple[int, float]] = {}

    def take(self, fit_key: str) -> Lease | None:
        """Return a lease on a fit, or None while another process holds one."""
        layout.make_folder(self.folder)
        path = self.folder / fit_key
        with self._alone():
            if path.exists() and not _has_ended(path) and not self._is_forgotten(path):
                return None
            token = secrets.token_hex(16)
            owner = {
                "token": token,
                "host": layout.host(),
                "boot": layout.boot_id(),
                "pid": os.getpid(),
                "started": layout.start_time(os.getpid()),
                "started_at": now(),
            }
            fresh = self.folder / f".{token}.new"
            fresh.write_text(json.dumps(owner), encoding="utf-8")
            fresh.replace(path)
        return Lease(path, token)

    def holder(self, fit_key: str) -> str | None:
        """Return in words which process holds the lease on a fit, or None if nobody does."""
        path = self.folder / fit_key
        owner = _owner(path)
        if owner is None or _has_ended(path):
            return None
        return f"process {owner.get('pid')} on {owner.get('host')}"

    def _is_forgotten(self, path: Path) -> bool:
        """Whether a lease of another machine has not been touched while this process watched.

        The clock of that machine may be hours ahead, and with it the time of the last touch.
        """
        owner = _owner(path)
        if owner is None or _is_here(owner):
            return False
        with contextlib.suppress(OSError):
            touched, now = path.stat().st_mtime_ns, time.monotonic()
            last, since = self._watched.get(path.name, (None, now))
            if last != touched:
                self._watched[path.name] = (touched, now)
            return last == touched and now - since > STALE
        return False

    def left_behind(self) -> Iterator[tuple[str, dict[str, object], float]]:
        """Give the leases of processes that ended without letting go: fit, owner, and last touch."""
        for path in sorted(self.folder.iterdir()) if self.folder.is_dir() else ():
            if is_hex(path.name, 64) and not path.is_symlink():
                with contextlib.suppress(OSError):
                    owner, touched = _owner(path), path.stat().st_mtime
                    if owner is not None and _has_ended(path):
                        yield path.name, owner, touched

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Look at a lease and replace it without another process between the two."""
        with (self.folder / ".lock").open("w") as lock:
            # A file system without locks leaves a moment in which two may take one fit: they
            # would both run it, and it would be filed once.
            with contextlib.suppress(OSError):
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield


class Lease:
    """One fit, claimed by this process until `release`."""

    def __init__(self, path: Path, token: str) -> None:
        self.path = path
        self.token = token
        self._pid = os.getpid()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="classy_pm lease", daemon=True)
        self._thread.start()

    def release(self) -> None:
        """Let others run the fit."""
        self._stop.set()
        if self._pid != os.getpid():
            return  # a child that inherited it
        self._thread.join()
        owner = _owner(self.path)
        if owner is not None and owner.get("token") == self.token:
            self.path.unlink(missing_ok=True)

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT):
            with contextlib.suppress(OSError):
                os.utime(self.path)


def waiting(claims: Claims, fit_key: str, patience: float | None) -> Iterator[None]:
    """Pause between two looks at a fit that another process runs, ever longer, up to a limit."""
    deadline = None if patience is None else time.monotonic() + patience
    pause = 0.05
    while True:
        yield
        if deadline is not None and time.monotonic() > deadline:
            raise CatalogError(
                f"The fit {fit_key[:12]} is still run by {claims.holder(fit_key) or 'another process'} "
                f"after {patience:g} s.",
                cure="Wait for it, or stop it; then this fit goes on by itself.",
            )
        time.sleep(pause)
        pause = min(2.0, 1.5 * pause)


def _owner(path: Path) -> dict[str, object] | None:
    try:
        owner = json.loads(path.read_bytes()[:10_000])
    except FileNotFoundError:
        return None
    except ValueError:
        return {}
    return owner if isinstance(owner, dict) else {}


def _is_here(owner: dict[str, object]) -> bool:
    """Whether the process of a lease is, or was, on this machine, where it can be seen."""
    return (owner.get("host"), owner.get("boot")) == (layout.host(), layout.boot_id())


def _has_ended(path: Path) -> bool:
    owner = _owner(path)
    if owner is None:
        return True
    if _is_here(owner):
        pid, started = owner.get("pid"), owner.get("started")
        return not isinstance(pid, int) or not layout.is_alive(pid) or layout.start_time(pid) != started
    return layout.age(path) > STALE
