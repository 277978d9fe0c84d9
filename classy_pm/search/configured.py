"""Default settings of searches from YAML files, ``config/search/*.yaml``.

A file holds classes with their settings; those of ``Search`` are for all searches::

    Search:
      number_of_cores: 4
    Emcee:
      nwalkers: 100
      initializer: {InitializerBall: {lower_limit: 0.49, upper_limit: 0.51}}
      auto_correlations_settings: {check_size: 50}
"""

from __future__ import annotations

import typing
from dataclasses import is_dataclass
from typing import Any

from classy_pm.config import ConfigError, folders, read_yaml
from classy_pm.errors import ClassyError, did_you_mean

__all__ = ["configured"]


def configured(cls: type, declared: dict[str, Any], hints: dict[str, Any]) -> dict[str, Any]:
    """Return the settings that the files have for a search, each with the file's own text checked.

    Parameters
    ----------
    cls : type
        The search.
    declared : dict
        Its settings.
    hints : dict
        Their types.

    Raises
    ------
    ConfigError
        If a file names what is no setting; the text names the file and the key.
    """
    found: dict[str, Any] = {}
    for folder in folders():
        for path in sorted((folder / "search").glob("*.yaml")):
            content = read_yaml(path) or {}
            if not isinstance(content, dict):
                raise ConfigError(f"{path} does not hold searches with their settings.")
            for base in cls.__mro__:
                entries = content.get(base.__name__) or {}
                if not isinstance(entries, dict):
                    raise ConfigError(f"{path}: {base.__name__} does not hold settings by name.")
                for name, value in entries.items():
                    if name not in declared:
                        raise ConfigError(
                            f"{path}: {name} is not a setting of {cls.__name__}.",
                            cure=did_you_mean(str(name), declared),
                        )
                    found.setdefault(name, _value(value, hints[name], f"{path}: {base.__name__}.{name}"))
    return found


def _value(value: Any, hint: Any, place: str) -> Any:
    """Return what a text of a file means for a setting of this type."""
    choices = typing.get_args(hint) or (hint,)
    records: dict[str, type] = {
        choice.__name__: choice for choice in choices if isinstance(choice, type) and is_dataclass(choice)
    }
    if isinstance(value, dict) and records:
        ((name, arguments),) = value.items() if len(value) == 1 else ((None, None),)
        if name not in records:
            name, arguments = next(iter(records)), value
        try:
            return records[name](**(arguments or {}))
        except (TypeError, ClassyError) as error:
            raise ConfigError(f"{place} cannot be {name}: {error}") from error
    if isinstance(value, str) and float in choices and str not in choices:
        try:
            return float(value)  # YAML reads 1e-6 as a word
        except ValueError:
            return value
    return value
