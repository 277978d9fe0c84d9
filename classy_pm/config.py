"""The user's configuration folders, read when something is looked up and never before.

A folder holds ``priors/**/*.yaml``, the default priors of classes, and ``search/*.yaml``, the default
settings of searches. By default it is ``config`` in the current directory, if there is one.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from classy_pm.errors import ClassyError

__all__ = ["ConfigError", "folders", "read_yaml", "use"]

_chosen: list[Path] | None = None


class ConfigError(ClassyError, ValueError):
    """A configuration file that cannot be understood; the text names it."""


def use(*paths: str | Path) -> None:
    """Look things up in these folders, the first before the others; without any, in the default.

    Parameters
    ----------
    *paths : str or pathlib.Path

    Raises
    ------
    ConfigError
        If one of them is no folder.
    """
    global _chosen
    missing = [f"{path}: is no folder" for path in paths if not Path(path).is_dir()]
    if missing:
        raise ConfigError("The configuration cannot be read from there.", missing)
    _chosen = [Path(path).resolve() for path in paths] or None


def folders() -> list[Path]:
    """Return the folders that things are looked up in.

    Returns
    -------
    list of pathlib.Path
        Those given to `use`; else those of the environment variable CLASSY_PM_CONFIG; else ``config``
        in the current directory.
    """
    if _chosen is not None:
        return _chosen
    named = os.environ.get("CLASSY_PM_CONFIG", "")
    return [Path(name) for name in named.split(os.pathsep)] if named else [Path.cwd() / "config"]


def read_yaml(path: Path) -> Any:
    """Return what a YAML file says; read again only when it has changed.

    Raises
    ------
    ConfigError
        If it is not YAML.
    """
    return _read_yaml(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=1024)
def _read_yaml(path: Path, changed: int) -> Any:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
