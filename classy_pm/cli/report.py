"""``classy-pm report``: a static site of a catalogue."""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from pathlib import Path
from typing import Any

from classy_pm.cli import common


def add_to(commands: Any) -> None:
    """Add the command to the parser's commands."""
    parser = commands.add_parser("report", help="write pages about all fits, to be looked at in a browser")
    common.add_catalog(parser)
    parser.add_argument(
        "folder", metavar="FOLDER", type=Path, help="where the pages go; index.html is the first"
    )
    parser.add_argument("--no-plots", action="store_true", help="leave out the plots, which take the time")
    common.add_untrusted(parser)
    common.add_json(parser)
    parser.set_defaults(run=run)


def run(given: argparse.Namespace) -> int:
    """Write the report."""
    os.environ.setdefault("MPLBACKEND", "Agg")  # no window is opened
    from classy_pm.catalog.display import plain
    from classy_pm.catalog.report import write_report

    progress = _Progress()
    with common.open_to_read(given) as catalog:
        written = write_report(catalog, given.folder, plots=not given.no_plots, on_progress=progress)
    progress.clear()
    if given.json:
        common.print_json({**dataclasses.asdict(written), "index": str(written.index)})
        return 0
    count = f"{written.fits} fit{'' if written.fits == 1 else 's'}"
    print(f"{count}: {written.made} pages made, {written.kept} kept.")
    for fit_key, fault in written.faults.items():
        print(f"not read  {plain(fit_key[: common.SHORT])}  {plain(fault)}")
    print(plain(written.index))
    return 0


class _Progress:
    """Says in a terminal how far the pages are; nothing where nobody looks."""

    def __init__(self) -> None:
        self.shown = sys.stderr.isatty()

    def __call__(self, done: int, of: int) -> None:
        if self.shown:
            print(f"\r{done} of {of} fits", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Remove the line."""
        if self.shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
