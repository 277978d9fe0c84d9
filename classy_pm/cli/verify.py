"""``classy-pm verify``: look at every bit, and repair what can be repaired."""

from __future__ import annotations

import argparse
import dataclasses
from typing import TYPE_CHECKING, Any

from classy_pm.cli import common

if TYPE_CHECKING:
    from classy_pm.catalog import Report

WORDS = {
    "adopted": "had no row and {done}",
    "removed": "unfinished, of processes that died: removed",
    "missing": "the file is gone: run the fit again, or bring the file back",
    "damaged": "the file has changed and is in quarantine: run the fit again",
    "other_run": "is here already with another run, which stays: it was not imported",
    "set_aside": "is no fit of this catalogue, and was not taken",
}


def add_to(commands: Any) -> None:
    """Add the command to the parser's commands."""
    parser = commands.add_parser(
        "verify", help="hash every file and repair what can be repaired; exit code 1 if a fit is lost"
    )
    common.add_catalog(parser)
    parser.add_argument("--rebuild", action="store_true", help="first make the index again from the files")
    common.add_json(parser)
    parser.set_defaults(run=run)


def run(given: argparse.Namespace) -> int:
    """Verify a catalogue."""
    from classy_pm.catalog.listing import list_fits

    with common.open_to_rebuild(given) if given.rebuild else common.open_to_write(given) as catalog:
        rebuilt = catalog.rebuild() if given.rebuild else None
        report = catalog.verify()
        if rebuilt is not None:
            report.adopted = [*rebuilt.adopted, *report.adopted]
            report.set_aside = [*rebuilt.set_aside, *report.set_aside]
        lost = [stored for stored in list_fits(catalog) if stored.status != "complete"]
        # Found earlier, and neither run again nor brought back.
        known = {*report.missing, *report.damaged}
        for stored in lost:
            if stored.fit_key not in known and stored.status in ("missing", "damaged"):
                getattr(report, stored.status).append(stored.fit_key)
    print_report(report, given.json, done="has one now")
    return 1 if lost or report.damaged or report.missing else 0


def print_report(report: Report, as_json: bool, done: str) -> None:
    """Print what was found and done, a line a fit or file."""
    from classy_pm.catalog.display import plain

    if as_json:
        common.print_json(dataclasses.asdict(report))
        return
    for name, words in WORDS.items():
        for text in getattr(report, name):
            print(f"{name.replace('_', ' ')}  {plain(text)}  ({words.format(done=done)})")
    print(f"{report.checked} file{'' if report.checked == 1 else 's'} looked at.")
