"""``classy-pm demo``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

FOLDER = Path("classy_pm_demo")


def add_to(commands: Any) -> None:
    """Add the command to the parser's commands."""
    parser = commands.add_parser("demo", help="fit a Gaussian to measured data, file the fit and draw it")
    parser.add_argument(
        "--folder", type=Path, default=FOLDER, help=f"folder to write into (default: {FOLDER})"
    )
    parser.set_defaults(run=run)


def run(given: argparse.Namespace) -> int:
    """Run the demo."""
    from classy_pm.demo import run_demo  # loads PyMC: no other command should wait for it

    run_demo(given.folder)
    return 0
