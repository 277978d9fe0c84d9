"""``classy-pm diff``: why two fits are not the same."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from classy_pm.cli import common

if TYPE_CHECKING:
    from classy_pm.catalog import StoredFit
    from classy_pm.catalog.ingredients import Change

UNTOLD = "something that is not shown here, such as the `identity_version` of a class"


def add_to(commands: Any) -> None:
    """Add the command to the parser's commands."""
    parser = commands.add_parser("diff", help="say why two fits have different identities")
    common.add_catalog(parser)
    parser.add_argument("first", metavar="A", help="the beginning of one fit's identity")
    parser.add_argument("second", metavar="B", help="the beginning of the other's")
    common.add_untrusted(parser)
    common.add_json(parser)
    parser.set_defaults(run=run)


def run(given: argparse.Namespace) -> int:
    """Compare two fits."""
    from classy_pm.catalog.ingredients import PARTS, Change, changes

    with common.open_to_read(given) as catalog:
        first, second = (common.find_fit(catalog, name) for name in (given.first, given.second))
        one, two = first.record.payload, second.record.payload
        found = changes(one, two)
        told = {change.part for change in found}
        for name, part in PARTS.items():
            hashes = [getattr(stored, f"{name}_hash", None) for stored in (first, second)]
            if part not in told and hashes[0] != hashes[1]:
                found.append(Change(part, "", UNTOLD, UNTOLD))
        equal = [
            part
            for name, part in PARTS.items()
            if name in one and name in two and part not in {change.part for change in found}
        ]
        if given.json:
            common.print_json(_data(first, second, found, equal))
        else:
            print("\n".join(_lines(first, second, found, equal)))
    return 0


def _data(first: StoredFit, second: StoredFit, found: list[Change], equal: list[str]) -> dict[str, Any]:
    return {
        "first": first.fit_key,
        "second": second.fit_key,
        "same": first == second,
        "equal_parts": equal,
        "differences": [change._asdict() for change in found],
    }


def _lines(first: StoredFit, second: StoredFit, found: list[Change], equal: list[str]) -> Iterator[str]:
    from classy_pm.catalog.display import plain
    from classy_pm.catalog.facts import place_of

    for letter, stored in zip("AB", (first, second), strict=True):
        words = [stored.fit_key[: common.SHORT], stored.sampler, stored.name, stored.unique_tag]
        yield f"{letter}  {plain('  '.join(filter(None, words)))}"
    yield ""
    if first == second:
        yield "They are the same fit."
        return
    part = None
    for change in found:
        if change.part != part:
            part = change.part
            yield f"The {plain(part)} differs:"
        if change.first == UNTOLD:
            yield f"  in {UNTOLD}."
            continue
        yield f"  {plain(place_of(change))}"
        yield f"    A  {plain(change.first)}"
        yield f"    B  {plain(change.second)}"
    if not found:
        yield "The catalogue was not told what went into them, and cannot say why they differ."
    elif equal:
        yield ""
        yield f"The same in both: {', '.join(equal)}."
