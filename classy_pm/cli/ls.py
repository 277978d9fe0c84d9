"""``classy-pm ls``: the fits of a catalogue, a line a fit."""

from __future__ import annotations

import argparse
import csv
import sys
from itertools import islice
from typing import TYPE_CHECKING, Any

from classy_pm.cli import common

if TYPE_CHECKING:
    from classy_pm.catalog import StoredFit

HEAD = (
    *("id", "name", "unique_tag", "search", "created", "free", "log evidence"),
    *("max R-hat", "min ESS", "divergences", "status"),
)
#: The columns of numbers.
RIGHT = (5, 6, 7, 8, 9)
#: Longer names and tags are cut in a terminal.
LONGEST = 40


def add_to(commands: Any) -> None:
    """Add the command to the parser's commands."""
    parser = commands.add_parser("ls", help="list the fits of a catalogue, those filed last first")
    common.add_catalog(parser)
    parser.add_argument("--name", help="only fits whose search has this name")
    parser.add_argument("--tag", help="only fits with this unique_tag, or with this tag")
    parser.add_argument("--limit", type=_count, metavar="N", help="the last N fits only")
    form = parser.add_mutually_exclusive_group()
    common.add_json(form)
    form.add_argument("--csv", action="store_true", help="print CSV that is safe in a spreadsheet")
    parser.set_defaults(run=run)


def run(given: argparse.Namespace) -> int:
    """List the fits."""
    from classy_pm.catalog.display import csv_cell, text_table
    from classy_pm.catalog.listing import COLUMNS, list_fits, row_of

    with common.open_to_read(given) as catalog:
        fits = islice(list_fits(catalog, name=given.name, tag=given.tag), given.limit)
        if given.json:
            common.print_json([row_of(stored) for stored in fits])
        elif given.csv:
            writer = csv.writer(sys.stdout, lineterminator="\n")
            writer.writerow(COLUMNS)
            writer.writerows([csv_cell(value) for value in row_of(stored).values()] for stored in fits)
        else:
            rows = [_cells(stored) for stored in fits]
            print("\n".join(text_table(HEAD, rows, RIGHT) if rows else ["No fits."]))
    return 0


def _cells(stored: StoredFit) -> list[str]:
    from classy_pm.catalog.display import moment, number, plain, shortened

    evidence = number(stored.log_evidence)
    if evidence and stored.log_evidence_error:
        evidence += f" ± {number(stored.log_evidence_error, 2)}"
    return [
        plain(stored.fit_key[: common.SHORT]),
        *(shortened(plain(text), LONGEST) for text in (stored.name, stored.unique_tag, stored.sampler)),
        moment(stored.created),
        number(stored.n_free),
        evidence,
        "" if stored.max_rhat is None else f"{stored.max_rhat:.3f}",
        "" if stored.min_ess is None else f"{stored.min_ess:.0f}",
        number(stored.divergences),
        plain(stored.status),
    ]


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not a number of fits")
    return number
