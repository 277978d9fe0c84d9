"""`warn`: a warning that names the user's line, whatever of ours called what."""

from __future__ import annotations

import functools
import os
import warnings
from pathlib import Path

from classy_pm.errors import TraceWarning

__all__ = ["warn"]

# Attributes that are computed once are computed by a line of functools. A prefix is never all of a name.
_NOT_THE_USERS = (f"{Path(__file__).parents[1]}{os.sep}", functools.__file__.removesuffix("py"))


def warn(text: str, kind: type[Warning] = TraceWarning) -> None:
    """Warn at the line that called the package."""
    warnings.warn(text, kind, skip_file_prefixes=_NOT_THE_USERS)
