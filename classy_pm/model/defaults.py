"""Default priors from YAML files, ``config/priors/**/*.yaml``.

A class is found by its exact name, module and all: the file's path below ``priors/`` and the keys in it,
joined by dots, are ``package.module.Class``; so ``profiles.yaml`` with the key ``Gaussian`` is the class
``Gaussian`` of the module ``profiles``, and so is the key ``profiles.Gaussian`` in any file. A class has
the entries of its bases as well; the nearest along the method resolution order counts.

An entry is what the reference's users have::

    centre:
      type: Gaussian
      mean: 0.0
      sigma: 0.1
      width_modifier: {type: Absolute, value: 0.05}
      limits: {lower: -inf, upper: inf}
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from classy_pm.config import ConfigError, folders, read_yaml
from classy_pm.errors import ModelError, did_you_mean
from classy_pm.model.prior import AbstractPrior, WidthModifier
from classy_pm.model.priors import FAMILIES

__all__ = ["defaults_of"]

_TYPES = {name.removesuffix("Prior"): cls for name, cls in FAMILIES.items()}
_TYPES["TruncatedGaussian"] = FAMILIES["GaussianPrior"]
_ABOUT_CHAINING = ("width_modifier", "limits")


def defaults_of(cls: Callable[..., Any]) -> dict[str, Any]:
    """Return the default priors, and constants, that the files have for a class's arguments.

    Raises
    ------
    ConfigError
        If an entry cannot be understood; the text names the file and the key.
    """
    defaults: dict[str, Any] = {}
    for folder in folders():
        index = _index(folder / "priors")
        for base in (cls.__mro__ if inspect.isclass(cls) else (cls,)) if index else ():
            named = getattr(base, "__qualname__", "")  # an object that can be called has none
            path, entries = index.get(f"{getattr(base, '__module__', '')}.{named}", (None, {}))
            for name, entry in entries.items():
                if name not in defaults:
                    defaults[name] = _prior(entry, f"{path}: {named}.{name}")
    return defaults


def _index(folder: Path) -> dict[str, tuple[Path, dict[str, Any]]]:
    """Return the entries of all classes in a folder, by the classes' full names."""
    if not folder.is_dir():
        return {}
    files = tuple((path, path.stat().st_mtime_ns) for path in sorted(folder.rglob("*.yaml")))
    return _index_of(folder, files)


@lru_cache(maxsize=16)
def _index_of(folder: Path, files: tuple[tuple[Path, int], ...]) -> dict[str, tuple[Path, dict[str, Any]]]:
    index: dict[str, tuple[Path, dict[str, Any]]] = {}
    for path, _ in files:
        content = read_yaml(path)
        if not isinstance(content, dict):
            raise ConfigError(f"{path} does not hold classes with their arguments.")
        module = ".".join(path.relative_to(folder).with_suffix("").parts)
        for name, entries in _classes(content, path):
            index[f"{module}.{name}"] = (path, entries)
            if "." in name:
                index.setdefault(name, (path, entries))
    return index


def _classes(content: dict[Any, Any], path: Path, above: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every mapping whose values are entries, with its dotted key."""
    for key, value in content.items():
        if isinstance(value, dict):
            unnamed = [other for other in (key, *value) if not isinstance(other, str)]
            if unnamed:
                raise ConfigError(
                    f"{path}: {above}{key}: `{unnamed[0]}` is not a name.", cure="Keys are names."
                )
            name = f"{above}{key}"
            if any(isinstance(entry, dict) and "type" in entry for entry in value.values()):
                yield name, value
            else:
                yield from _classes(value, path, f"{name}.")


def _prior(entry: Any, place: str) -> Any:
    if not isinstance(entry, dict) or "type" not in entry:
        raise ConfigError(f"{place} has no `type`.", cure=did_you_mean("", _TYPES))
    kind = entry["type"]
    if kind == "Deferred":
        return None
    if kind == "Constant":
        return entry.get("value")
    if not isinstance(kind, str) or kind not in _TYPES:
        raise ConfigError(f"{place} has the unknown type `{kind}`.", cure=did_you_mean(str(kind), _TYPES))
    family = _TYPES[kind]
    known = inspect.signature(family).parameters
    given = {name: value for name, value in entry.items() if name not in ("type", *_ABOUT_CHAINING)}
    unknown = [name for name in given if name not in known]
    if unknown:
        raise ConfigError(
            f"{place}: {kind} has no argument `{unknown[0]}`.", cure=did_you_mean(str(unknown[0]), known)
        )
    try:
        prior: AbstractPrior = family(**{name: _number(value) for name, value in given.items()})
        modifier = entry.get("width_modifier")
        if modifier is not None:
            prior.width_modifier = WidthModifier(modifier["type"], float(modifier["value"]))
        limits = entry.get("limits")
        if limits is not None:
            prior.chained_limits = (float(limits["lower"]), float(limits["upper"]))
    except (ModelError, TypeError, KeyError, ValueError) as error:
        raise ConfigError(f"{place} cannot be a prior: {error}") from error
    return prior


def _number(value: Any) -> float:
    return float(value)  # YAML reads `inf` and `1e-6` as words
