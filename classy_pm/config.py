"""The user's configuration folders, read when something is looked up and never before.

A folder holds ``priors/**/*.yaml``, the default priors of classes, and ``search/*.yaml``, the default
settings of searches. By default it is ``config`` in the current directory, if there is one.
"""

from __future__ import annotations

import difflib
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from classy_pm.errors import ClassyError, Faults

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
    chosen = [Path(path).expanduser() for path in paths]
    _check_folders(chosen, "config.use")
    _chosen = [path.resolve() for path in chosen] or None


def folders() -> list[Path]:
    """Return the folders that things are looked up in.

    Returns
    -------
    list of pathlib.Path
        Those given to `use`; else those of the environment variable CLASSY_PM_CONFIG; else ``config``
        in the current directory.

    Raises
    ------
    ConfigError
        If one that was named is no folder.
    """
    if _chosen is not None:
        _check_folders(_chosen, "config.use")
        return _chosen
    named = [name for name in os.environ.get("CLASSY_PM_CONFIG", "").split(os.pathsep) if name]
    if not named:
        return [Path.cwd() / "config"]
    found = [Path(name).expanduser() for name in named]
    _check_folders(found, "the environment variable CLASSY_PM_CONFIG")
    return found


def _check_folders(paths: list[Path], where: str) -> None:
    """Refuse paths that are no folders, each with the folders beside it that are called alike."""
    faults = Faults()
    for path in paths:
        if not path.is_dir():
            beside = path.parent.iterdir() if path.parent.is_dir() else ()
            names = [other.name for other in sorted(beside) if other.is_dir()]
            near = difflib.get_close_matches(path.name, names, n=1)
            hint = f". Did you mean `{path.with_name(near[0])}`?" if near else ""
            faults.add(str(path), f"is no folder{hint}")
    faults.raise_as(ConfigError, f"The configuration cannot be read from where {where} says.")


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
