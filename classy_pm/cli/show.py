"""``classy-pm show``: one fit in full."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from classy_pm.cli import common

if TYPE_CHECKING:
    from classy_pm.catalog.listing import FullFit


def add_to(commands: Any) -> None:
    """Add the command to the parser's commands."""
    parser = commands.add_parser("show", help="show one fit: what went into it, and what came out")
    common.add_catalog(parser)
    parser.add_argument("id", metavar="ID", help="the beginning of the fit's identity, as ls prints it")
    common.add_untrusted(parser)
    common.add_json(parser)
    parser.set_defaults(run=run)


def run(given: argparse.Namespace) -> int:
    """Show a fit."""
    from classy_pm.catalog.display import plain
    from classy_pm.catalog.listing import read_fit

    with common.open_to_read(given) as catalog:
        full = read_fit(common.find_fit(catalog, given.id))
        if given.json:
            common.print_json(_data(full))
        else:
            print("\n".join(plain(line) for line in _lines(full)))
    return 0


def _data(full: FullFit) -> dict[str, Any]:
    from classy_pm.catalog.facts import file_names, parameter_rows
    from classy_pm.catalog.listing import row_of

    record = full.record
    return {
        **row_of(full.stored),
        "fault": full.fault or None,
        "notices": full.notices,
        "parameters": parameter_rows(full),
        "info": full.labels.info,
        "tags": full.labels.tags,
        "files": file_names(full),
        "random_seed": full.attributes.get("random_seed"),
        "settings": record and record.settings,
        "payload": record and record.payload,
        "versions": record and record.versions,
    }


def _lines(full: FullFit) -> Iterator[str]:
    from classy_pm.catalog import facts
    from classy_pm.catalog.display import text_table

    yield from _pairs("Fit", facts.facts(full))
    if full.fault:
        yield from ("", f"Fault: {full.fault}")
    for notice in full.notices:
        yield from ("", f"Note: {notice}")
    rows = facts.summary_cells(full)
    if rows:
        table = text_table(facts.SUMMARY_HEAD, rows, range(1, len(facts.SUMMARY_HEAD)))
        yield from ("", "Posterior", "", *(f"  {line}" for line in table))
    for part, lines in facts.ingredient_cells(full).items():
        yield from ("", *_pairs(f"What went into it: {part}", lines))
    for title, lines in facts.further(full).items():
        yield from ("", *_pairs(title, lines))


def _pairs(title: str, pairs: list[tuple[str, str]]) -> Iterator[str]:
    from classy_pm.catalog.display import text_table

    yield title
    yield ""
    if pairs:
        yield from (f"  {line}" for line in text_table(pairs[0], pairs[1:]))
