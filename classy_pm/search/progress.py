"""What a search tells while it runs: its stages, how long each took, and how far it is."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["Report"]

logger = logging.getLogger("classy_pm")


class Report:
    """Tells of a fit's stages: as a moving bar on a terminal or in a notebook, else as log lines.

    Parameters
    ----------
    show : bool or None
        True shows a line a stage wherever the output goes; None does so where somebody looks on.
    """

    def __init__(self, show: bool | None = None) -> None:
        self.show = _somebody_looks_on() if show is None else show
        self.seconds: dict[str, float] = {}
        self._begun_at = time.monotonic()

    @property
    def elapsed(self) -> float:
        """Seconds since the fit began."""
        return time.monotonic() - self._begun_at

    def say(self, text: str) -> None:
        """Tell one thing."""
        logger.info(text)
        if self.show:
            _console().print(text, highlight=False, soft_wrap=True)

    @contextmanager
    def stage(self, name: str, total: int | None = None) -> Iterator[Stage]:
        """Time a stage, and show how far it is.

        Parameters
        ----------
        name : str
            What is being done; the time it took is kept in `seconds` under this name.
        total : int, optional
            How many steps it has.
        """
        start = time.perf_counter()
        bar = _bar(name, total) if self.show and _console().is_terminal else None
        try:
            with bar or _nothing():
                yield Stage(bar, total)
        finally:
            self.seconds[name] = round(time.perf_counter() - start, 3)
        self.say(f"  {name}: {self.seconds[name]:.1f} s")


class Stage:
    """One stage; `update` says how far it is."""

    def __init__(self, bar: Any, total: int | None) -> None:
        self._bar = bar
        self._total = total

    def update(self, done: int, text: str = "") -> None:
        """Say that so many steps are done."""
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=done, note=text)


def _bar(name: str, total: int | None) -> Any:
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = [SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()]
    bar = Progress(*columns, TextColumn("{task.fields[note]}"), console=_console(), transient=True)
    bar.add_task(name, total=total, note="")
    return bar


@contextmanager
def _nothing() -> Iterator[None]:
    yield


def _console() -> Any:
    from rich.console import Console

    return Console(stderr=not _in_notebook())


def _in_notebook() -> bool:
    shell = sys.modules.get("IPython")
    running = shell.get_ipython() if shell is not None else None
    return running is not None and hasattr(running, "kernel")


def _somebody_looks_on() -> bool:
    return _in_notebook() or sys.stderr.isatty()
