"""Why two fits are not the same: the places in their payloads where they differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple


class Difference(NamedTuple):
    """A place where two payloads differ, and what is there in each; `MISSING` where nothing is."""

    path: str
    first: object
    second: object


#: Stands for a value that is only in the other payload.
MISSING = "(nothing)"


def differences(first: object, second: object) -> list[Difference]:
    """Return where two payloads differ, as `describe` gives them and `FitRecord.payload` keeps them.

    Examples
    --------
    >>> differences({"search": {"draws": 500}}, {"search": {"draws": 1000}})
    [Difference(path='search.draws', first=500, second=1000)]
    """
    return list(_differences(first, second, ""))


def _differences(first: object, second: object, path: str) -> Iterator[Difference]:
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        for key in dict.fromkeys([*first, *second]):
            name = f"{path}.{key}" if path else str(key)
            yield from _differences(first.get(key, MISSING), second.get(key, MISSING), name)
    elif isinstance(first, list | tuple) and isinstance(second, list | tuple):
        for place in range(max(len(first), len(second))):
            one = first[place] if place < len(first) else MISSING
            two = second[place] if place < len(second) else MISSING
            yield from _differences(one, two, f"{path}[{place}]")
    elif type(first) is not type(second) or not (first == second or (first != first and second != second)):
        yield Difference(path, first, second)
