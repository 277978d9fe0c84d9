"""The command line: ``classy-pm demo``, and commands that look at a catalogue or look after it.

Each command has a module, which loads what the command needs when the command is run.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
from collections.abc import Sequence

from classy_pm.cli import demo, diff, exchange, ls, report, show, verify
from classy_pm.errors import ClassyError

__all__ = ["main"]

# What the errors of the catalogue call its methods, and how they are called here.
METHODS = {
    "`Catalog(...).rebuild()`": "`classy-pm verify --rebuild`",
    "`rebuild()`": "`classy-pm verify --rebuild`",
    "`verify()`": "`classy-pm verify`",
}
# As a shell has it for a program that a signal has ended: SIGINT, and SIGPIPE.
INTERRUPTED, NOBODY_READS = 130, 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command, and return its exit code.

    Parameters
    ----------
    arguments : sequence of str, optional
        The command's words; those of the process by default.

    Returns
    -------
    int
        0 if all is well, 1 if the command failed or found damage. Wrong usage ends the process with 2.
    """
    parser = argparse.ArgumentParser(
        prog="classy-pm", description="Fit plain Python classes with PyMC, and look at catalogues of fits."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in (demo, ls, show, diff, exchange, verify, report):
        module.add_to(commands)
    given = parser.parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal that knows ASCII only
    try:
        code: int = given.run(given)
        sys.stdout.flush()
        return code
    except ClassyError as error:
        _tell(error)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # What is left in the buffer would raise once more at the end of the process.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NOBODY_READS


def _tell(error: ClassyError) -> None:
    """Print an error on one line, whatever is in it."""
    from classy_pm.catalog.display import plain

    cure = error.cure or ""
    for method, command in METHODS.items():
        cure = cure.replace(method, command)
    faults = f"{'; '.join(error.faults)}." if error.faults else ""
    text = " ".join(filter(None, [error.message, faults, cure]))
    print(f"classy-pm: {plain(' '.join(text.split()))}", file=sys.stderr)
