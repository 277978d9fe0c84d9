"""``classy-pm export`` and ``classy-pm import``: fits for a colleague, and from one."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from classy_pm.cli import common
from classy_pm.cli.verify import print_report
from classy_pm.errors import CatalogError


def add_to(commands: Any) -> None:
    """Add the commands to the parser's commands."""
    parser = commands.add_parser("export", help="write fits into one zip to hand to a colleague")
    common.add_catalog(parser)
    parser.add_argument("target", metavar="ZIP", type=Path, help="the zip, which must not exist")
    parser.add_argument("ids", metavar="ID", nargs="*", help="which fits; all of them by default")
    common.add_json(parser)
    parser.set_defaults(run=run_export)

    parser = commands.add_parser("import", help="take in the fits of a zip, or of a folder of fits")
    common.add_catalog(parser)
    parser.add_argument(
        "source", metavar="ZIP-OR-FOLDER", type=Path, help="what export made, or files of fits"
    )
    common.add_json(parser)
    parser.set_defaults(run=run_import)


def run_export(given: argparse.Namespace) -> int:
    """Write the zip."""
    from classy_pm.catalog.display import plain

    with common.open_to_read(given) as catalog:
        fits = common.find_fits(catalog, given.ids) if given.ids else None
        number = catalog.export(given.target, fits)
    if given.json:
        common.print_json({"exported": number, "target": str(given.target)})
    else:
        print(f"{number} fit{'' if number == 1 else 's'} in {plain(given.target)}.")
    return 0


def run_import(given: argparse.Namespace) -> int:
    """Take in what is a fit; the catalogue is made if there is none."""
    if not given.source.exists():
        raise CatalogError(f"There is no file or folder {str(given.source)!r}.", cure="Check the path.")
    with common.open_catalog(given) as catalog:
        take = catalog.import_folder if given.source.is_dir() else catalog.import_zip
        report = take(given.source)
    print_report(report, given.json, done="imported")
    return 1 if report.set_aside else 0
