"""What a search tells while it runs: its stages, how long each took, and how far it is.

On a terminal and in a notebook it is a bar that moves. Elsewhere, as in a batch job, lines are told to the
logger ``classy_pm`` at level INFO: none of what is over within seconds, then one a minute. They go to stderr
where nobody has set up logging.
"""

from __future__ import annotations

import html
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol, Self

__all__ = ["Report", "Stage"]

logger = logging.getLogger("classy_pm")

Clock = Callable[[], float]


@dataclass(frozen=True)
class Pace:
    """When lines are told.

    Attributes
    ----------
    first, every : float
        After how many seconds of a stage its first line comes, and after how many more each other.
    all_ends : bool
        Whether the end of every stage is told, not only of those that had a line before.
    """

    first: float
    every: float
    all_ends: bool


# By default, and where progress was asked for.
USUAL, ASKED_FOR = Pace(10.0, 60.0, False), Pace(5.0, 15.0, True)
# How many seconds lie between two pictures of a bar in a notebook.
NOTEBOOK_EVERY = 0.5


class Report:
    """Tells of a fit's stages.

    Parameters
    ----------
    show : bool or None
        None shows bars on a terminal and in a notebook, and elsewhere lines of what takes long; True shows
        lines of all stages there, and more often; False shows nothing.
    clock : callable
        Gives the time in seconds.
    """

    def __init__(self, show: bool | None = None, clock: Clock = time.monotonic) -> None:
        self.seconds: dict[str, float] = {}
        self._silent = show is False
        self._bars = not self._silent and _somebody_looks_on()
        self._pace = ASKED_FOR if show else USUAL
        self._clock = clock
        self._begun_at = clock()

    @property
    def elapsed(self) -> float:
        """Seconds since the fit began."""
        return self._clock() - self._begun_at

    def say(self, text: str, *, at_once: bool = False) -> None:
        """Tell one thing.

        Parameters
        ----------
        text : str
        at_once : bool
            Whether to tell it where lines are told even if the fit has not taken long yet.
        """
        if self._silent:
            logger.debug(text)
        elif self._bars:
            logger.info(text)
            _print(text)
        elif at_once or self._pace.all_ends or self.elapsed >= self._pace.first:
            _tell(text)
        else:
            logger.info(text)

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
        stage = Stage(name, total, self._clock)
        try:
            with self._shown(stage):
                yield stage
        finally:
            stage.display = None
            self.seconds[name] = round(stage.seconds, 3)
        text = f"  {name}: {_span(self.seconds[name])}"
        if self._bars or self._silent:
            self.say(text)
        elif self._pace.all_ends or stage.seconds >= self._pace.first:
            _tell(text)
        else:
            logger.info(text)

    def _shown(self, stage: Stage) -> AbstractContextManager[Any]:
        if self._silent:
            return nullcontext()
        if not self._bars:
            return _Lines(stage, self._pace)
        return _NotebookBar(stage) if _in_notebook() else _TerminalBar(stage)


class Stage:
    """One stage; `update` says how far it is.

    Parameters
    ----------
    name : str
    total : int, optional
        How many steps it has.
    clock : callable
        Gives the time in seconds.
    """

    def __init__(self, name: str, total: int | None = None, clock: Clock = time.monotonic) -> None:
        self.name = name
        self.total = total
        self.done = 0
        self.text = ""
        self.clock = clock
        self.display: Display | None = None
        self._begun_at = clock()
        # Of steps that are known from an earlier run nothing is learned about how long one takes.
        self._first: tuple[float, int] | None = None

    @property
    def seconds(self) -> float:
        """Seconds since it began."""
        return self.clock() - self._begun_at

    def update(self, done: int, text: str = "") -> None:
        """Say that so many steps are done, and what else is known."""
        self.done, self.text = done, text
        if self._first is None:
            self._first = self.clock(), done
        display = self.display
        if display is not None:
            display.show()

    @property
    def left(self) -> str:
        """About how long it will still take, in words; nothing where that is not known."""
        if self._first is None or self.total is None:
            return ""
        then, known = self._first
        seconds, done = self.clock() - then, self.done - known
        if done <= 0 or seconds <= 0.0:
            return ""
        return f"about {_span(seconds / done * max(self.total - self.done, 0), whole=True)} left"

    @property
    def line(self) -> str:
        """How far it is, in a line."""
        share = f"{self.done / self.total:.0%} " if self.total and self._first else ""
        parts = [f"{share}after {_span(self.seconds, whole=True)}", self.left, self.text]
        return f"  {self.name}: {', '.join(part for part in parts if part)}"


class Display(Protocol):
    """Shows a stage while it runs; a context."""

    def show(self) -> None:
        """Show how far it is now."""
        ...


class _Lines:
    """Tells a line from time to time, also where a stage says nothing for long."""

    def __init__(self, stage: Stage, pace: Pace) -> None:
        self._stage = stage
        self._pace = pace
        self._due = pace.first
        self._over = threading.Event()
        self._one_at_a_time = threading.Lock()
        self._thread = threading.Thread(target=self._watch, name="classy_pm progress", daemon=True)

    def __enter__(self) -> Self:
        self._stage.display = self
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def show(self) -> None:
        """Tell a line, if it is time to."""
        if self._stage.seconds < self._due:
            return
        with self._one_at_a_time:
            if self._stage.seconds >= self._due and not self._over.is_set():
                self._due = self._stage.seconds + self._pace.every
                _tell(self._stage.line)

    def _watch(self) -> None:
        while not self._over.wait(max(self._due - self._stage.seconds, 0.1)):
            self.show()


class _TerminalBar:
    """A moving bar; rich draws it."""

    def __init__(self, stage: Stage) -> None:
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        self._stage = stage
        name = TextColumn("{task.description}", markup=False)
        note = TextColumn("{task.fields[note]}", markup=False)
        columns = [SpinnerColumn(), name, BarColumn(), TimeElapsedColumn(), note]
        self._bar = Progress(*columns, console=_console(), transient=True)
        self._task = self._bar.add_task(stage.name, total=stage.total, note="")

    def __enter__(self) -> Self:
        self._stage.display = self
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show(self) -> None:
        """Move the bar."""
        self._bar.update(self._task, completed=self._stage.done, note=_note(self._stage))


class _NotebookBar:
    """A bar of the browser's own, which is gone when the stage is over."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._due = 0.0

    def __enter__(self) -> Self:
        from IPython.display import HTML, display

        self._html = HTML
        self._place = display(HTML(self._picture()), display_id=True)
        self._stage.display = self
        return self

    def __exit__(self, *_: object) -> None:
        self._place.update(self._html(""))

    def show(self) -> None:
        """Move the bar, if it is time to."""
        if self._stage.seconds >= self._due:
            self._due = self._stage.seconds + NOTEBOOK_EVERY
            self._place.update(self._html(self._picture()))

    def _picture(self) -> str:
        stage = self._stage
        known = f' value="{stage.done}" max="{stage.total}"' if stage.total else ""
        return f"{html.escape(stage.name)} <progress{known}></progress> {html.escape(_note(stage))}"


def _note(stage: Stage) -> str:
    return ", ".join(part for part in (stage.left, stage.text) if part)


def _tell(text: str) -> None:
    """Log a line; print it to stderr where it would be lost."""
    logger.info(text)
    # A level of the logger's own is somebody's wish.
    heard = logger.hasHandlers() if logger.isEnabledFor(logging.INFO) else logger.level != logging.NOTSET
    if not heard:
        _print(text)


def _print(text: str) -> None:
    _console().print(text, highlight=False, markup=False, soft_wrap=True)


def _span(seconds: float, *, whole: bool = False) -> str:
    """Return a time in words.

    Examples
    --------
    >>> _span(3.21), _span(200.0), _span(3.21, whole=True), _span(7500.0)
    ('3.2 s', '3 min 20 s', '3 s', '2 h 5 min')
    """
    if seconds < 59.95:
        return f"{seconds:.0f} s" if whole else f"{seconds:.1f} s"
    if seconds < 3600.0:
        return f"{int(seconds + 0.5) // 60} min {int(seconds + 0.5) % 60} s"
    return f"{int(seconds) // 3600} h {int(seconds) % 3600 // 60} min"


def _console() -> Any:
    from rich.console import Console

    return Console(stderr=not _in_notebook())


def _in_notebook() -> bool:
    shell = sys.modules.get("IPython")
    running = shell.get_ipython() if shell is not None else None
    return running is not None and hasattr(running, "kernel")


def _somebody_looks_on() -> bool:
    return _in_notebook() or sys.stderr.isatty()
