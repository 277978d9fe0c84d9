"""The particular ways in which a catalogue can fail, and fail points for the tests of recovery."""

from __future__ import annotations

import os
import signal

from classy_pm.errors import CatalogError


class DamagedFile(CatalogError):
    """A file whose contents are not what was filed; nothing is read from it."""


class UntrustedFile(CatalogError):
    """A file with contents that a catalogue never writes; nothing is read from it."""


class RefusedFit(CatalogError):
    """A fit whose rows the index does not take; its file is set aside, with the reason."""


class CatalogVersionError(CatalogError):
    """A catalogue made by a later classy_pm than this one."""


class DiskFullError(CatalogError):
    """No room to file a fit; nothing half-written is left, and nothing older is lost."""


class StaleFitError(CatalogError):
    """A filed fit whose code has changed since; the text names what changed."""


#: The steps of filing a fit between which a process may die, in order. The tests kill one at each.
STEPS = (
    "created",
    "part written",
    "part verified",
    "part flushed",
    "named",
    "in transaction",
    "committed",
    "part removed",
)


def reach(step: str) -> None:
    """Die here by SIGKILL if the environment variable CLASSY_PM_FAILPOINT names this step."""
    if os.environ.get("CLASSY_PM_FAILPOINT") == step:
        os.kill(os.getpid(), signal.SIGKILL)
