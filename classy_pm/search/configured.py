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

import dataclasses
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from classy_pm.config import ConfigError, folders, read_yaml
from classy_pm.errors import ClassyError, Faults, did_you_mean

__all__ = ["configured"]


def configured(cls: type, hints: dict[str, Any], family: Mapping[str, type]) -> dict[str, Any]:
    """Return the settings that the files have for a search, each with the file's own text checked.

    Parameters
    ----------
    cls : type
        The search.
    hints : dict
        The types of its settings.
    family : mapping of str to type
        All searches by name: a file may have settings for any of them, and for nothing else.

    Raises
    ------
    ConfigError
        If a file names what is no search or no setting; the text names each with its file.
    """
    found: dict[str, Any] = {}
    faults = Faults()
    errors: list[ConfigError] = []
    for path in _files():
        try:
            content = _content(path)
        except ConfigError as error:
            errors.append(error)
            continue
        unknown = list(_faults_of(content, {**family, **{base.__name__: base for base in cls.__mro__}}))
        for place, text in unknown:
            faults.add(f"{path}: {place}", text)
        if unknown:
            continue
        for base in cls.__mro__:
            for name, value in (content.get(base.__name__) or {}).items():
                if name in found or name not in hints:
                    continue
                try:
                    found[name] = _value(value, hints[name], f"{path}: {base.__name__}.{name}")
                except ConfigError as error:
                    errors.append(error)
    if len(errors) == 1 and not faults.lines:
        raise errors[0]
    for each in errors:
        faults.add("", " ".join([each.message, *each.faults, each.cure or ""]).rstrip())
    faults.raise_as(ConfigError, "The configuration of searches cannot be used.")
    return found


def _files() -> Iterator[Path]:
    """Yield the files, those of the first folder first."""
    for folder in folders():
        yield from sorted((folder / "search").glob("*.yaml"))


def _content(path: Path) -> dict[str, Any]:
    content = read_yaml(path) or {}
    if not isinstance(content, dict):
        raise ConfigError(f"{path} does not hold searches with their settings.")
    return content


def _faults_of(content: dict[str, Any], family: Mapping[str, type]) -> Iterator[tuple[str, str]]:
    """Yield (key, fault) for what a file names and nobody has."""
    for name, entries in content.items():
        search = family.get(name)
        declared = getattr(search, "_declared", {})
        if search is None:
            known = [other for other in family if not other.startswith("_")]
            yield str(name), f"is no search. {did_you_mean(str(name), known)}"
        elif not isinstance(entries, dict):
            if entries is not None:
                yield name, "does not hold settings by name"
        else:
            for setting in entries:
                if setting not in declared:
                    near = did_you_mean(str(setting), declared)
                    yield f"{name}.{setting}", f"is not a setting of {name}. {near}"


def _value(value: Any, hint: Any, place: str) -> Any:
    """Return what a text of a file means for a setting of this type."""
    choices = typing.get_args(hint) or (hint,)
    records: dict[str, type] = {
        choice.__name__: choice
        for choice in choices
        if isinstance(choice, type) and dataclasses.is_dataclass(choice)
    }
    if records and isinstance(value, (dict, str)):
        return _record(value, records, place)
    if isinstance(value, str) and float in choices and str not in choices:
        try:
            return float(value)  # YAML reads 1e-6 as a word
        except ValueError:
            return value
    return value


def _record(value: dict[str, Any] | str, records: dict[str, type], place: str) -> Any:
    """Return the record that is written as its name, as its name with arguments, or as arguments alone."""
    if isinstance(value, str):
        value = {value: None}
    name, arguments = next(iter(records)), value
    ((key, inner),) = value.items() if len(value) == 1 else ((None, None),)
    if key in records:
        name, arguments = str(key), inner or {}
    elif key is not None and key not in _fields(records[name]):
        known = [*records, *_fields(records[name])]
        raise ConfigError(f"{place} has no `{key}`.", cure=did_you_mean(str(key), known))
    if not isinstance(arguments, dict):
        raise ConfigError(f"{place}: {name} does not hold arguments by name.")
    known = _fields(records[name])
    faults = Faults()
    for argument in arguments:
        if argument not in known:
            faults.add(str(argument), f"is no argument of {name}. {did_you_mean(str(argument), known)}")
    faults.raise_as(ConfigError, f"{place} cannot be {name}.")
    try:
        return records[name](**arguments)
    except (TypeError, ClassyError) as error:
        raise ConfigError(f"{place} cannot be {name}: {error}") from error


def _fields(record: Any) -> list[str]:
    return [item.name for item in dataclasses.fields(record)]
