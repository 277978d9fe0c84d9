"""What files of earlier versions have otherwise, brought to what it is today; a sound file stays readable.

The first versions let a text hold NUL, kept an accent in the spelling that it was given in, and noted one
path alone of a shared parameter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from classy_pm.catalog.validation import (
    LONGEST_NAME,
    LONGEST_PRIOR,
    SUMMARY,
    TAKEN,
    composed,
    exact_digits,
    is_path,
)

#: A model of a stranger may name its parts so often that there is no end to its paths.
MOST_PLACES = 20_000
LONGEST_PATH = 2000
LARGEST_FLOAT = 2**1000


def updated(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of a manifest as this version writes it."""
    content = {**content, "info": as_kept(content.get("info", {}))}
    parameters = content.get("parameters", ())
    content["parameters"] = [{**item, "prior": without_nul(item.get("prior"))} for item in parameters]
    if "aliases" not in content:  # of the first version
        content["parameters"] = list(map(_within_limits, content["parameters"]))
        free = [item.get("path") for item in parameters if item.get("role", "free") == "free"]
        found = aliases_of(content.get("model"), free)
        others = {item.get("path") for item in parameters}
        content["aliases"] = {path: first for path, first in found.items() if path not in others}
    return content


def _within_limits(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return a parameter with its prior and its statistics within today's limits."""
    prior = item["prior"]
    large = [name for name in SUMMARY if exact_digits(item.get(name)) and abs(item[name]) < LARGEST_FLOAT]
    shorter = prior[:LONGEST_PRIOR] if isinstance(prior, str) else prior
    return {**item, **{name: float(item[name]) for name in large}, "prior": shorter}


def as_kept(value: Any) -> Any:
    """Return plain data of a file with its texts as they are kept today: no NUL, and keys of one spelling."""
    if isinstance(value, str):
        return composed(without_nul(value))
    if isinstance(value, list):
        return [as_kept(item) for item in value]
    if isinstance(value, dict):
        keys = spellings(value)
        return {keys[key]: as_kept(item) for key, item in value.items()}
    return value


def without_nul(text: Any) -> Any:
    """Return a text in which NUL, once allowed there, is a question mark."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}") if isinstance(text, str) else text


def spellings(keys: Iterable[str]) -> dict[str, str]:
    r"""Return what keys are called today; of those that become one, all but one get a number.

    Examples
    --------
    >>> [*spellings(["\u00e9", "e\u0301", "a"]).values()] == ["\u00e9", "\u00e9 (2)", "a"]
    True
    """
    found = {key: composed(without_nul(key)) for key in keys}
    taken = {key for key, new in found.items() if key == new}
    for key in sorted(found.keys() - taken):
        new, number = found[key], 2
        while new in taken:
            new, number = f"{found[key]} ({number})", number + 1
        found[key] = new
        taken.add(new)
    return found


def aliases_of(model: Any, paths: Iterable[Any]) -> dict[str, str]:
    """Return the further paths of shared parameters, each with the first, from a model as plain data.

    An array's are those of its elements. What is no model has none.
    """
    known = {path for path in paths if isinstance(path, str)}
    elements: dict[str, list[str]] = {}
    for path in known:
        elements.setdefault(path.partition("[")[0], []).append(path)
    try:
        places = _places(model)
    except (KeyError, TypeError, ValueError, AttributeError):
        return {}
    found: dict[str, str] = {}
    for of_one in places.values():
        first = next((path for path in of_one if path in elements), None)
        if first is None or len(found) > MOST_PLACES:
            continue
        for path in of_one:
            found |= {path + element.removeprefix(first): element for element in elements[first]}
    return {
        path: first
        for path, first in found.items()
        if path not in known and path not in TAKEN and is_path(path)
    }


def _places(model: Any) -> dict[Any, list[str]]:
    """Return the paths of each parameter of a model, by the number that it has in its data."""
    parts = {part["id"]: part for part in _parts(model) if part["type"] != "same"}
    places: dict[Any, list[str]] = {}
    left, seen = [("", model["root"])], 0
    while left:
        path, data = left.pop()
        seen += 1
        if seen > MOST_PLACES or len(path) > LONGEST_PATH:
            raise ValueError("There is no end to the paths of this model.")
        if isinstance(data, dict) and data["type"] == "same":
            data = parts[data["id"]]
        if not isinstance(data, dict) or data["type"] not in ("prior", "model", "collection"):
            continue
        if data["type"] == "prior":
            places.setdefault(data["id"], []).append(path)
            continue
        children = [(name, child) for name, child in data["children"] if len(name) <= LONGEST_NAME]
        left += [(f"{path}.{name}" if path else name, child) for name, child in reversed(children)]
    return places


def _parts(data: Any) -> Iterator[Any]:
    """Give all parts of a model that have a number."""
    if isinstance(data, dict):
        if "id" in data:
            yield data
        for item in data.values():
            yield from _parts(item)
    elif isinstance(data, list):
        for item in data:
            yield from _parts(item)
