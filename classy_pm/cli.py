"""The command line: ``classy-pm demo``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from classy_pm.errors import ClassyError

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command, and return its exit code.

    Parameters
    ----------
    arguments : sequence of str, optional
        The command's words; those of the process by default.
    """
    parser = argparse.ArgumentParser(prog="classy-pm", description="Fit plain Python classes with PyMC.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    demo = commands.add_parser("demo", help="fit a Gaussian to measured data, file the fit and draw it")
    folder = Path("classy_pm_demo")
    demo.add_argument("--folder", type=Path, default=folder, help=f"folder to write into (default: {folder})")
    given = parser.parse_args(arguments)
    try:
        return _demo(given.folder)
    except ClassyError as error:
        print(f"classy-pm: {error}", file=sys.stderr)
        return 1


def _demo(folder: Path) -> int:
    from classy_pm.demo import run_demo  # loads PyMC: no other command should wait for it

    run_demo(folder)
    return 0
