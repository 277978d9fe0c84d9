"""Where a fit's pictures go, and when they are drawn."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from classy_pm.likelihood import Analysis
    from classy_pm.plan import Plan

__all__ = ["Onlooker", "Paths"]

logger = logging.getLogger("classy_pm")


@dataclass(frozen=True)
class Paths:
    """The folders that `Analysis.visualize` may write to.

    Attributes
    ----------
    output_path : pathlib.Path
        The fit's own folder.
    """

    output_path: Path

    @property
    def image_path(self) -> Path:
        """The folder for pictures; made when it is asked for."""
        folder = self.output_path / "image"
        folder.mkdir(parents=True, exist_ok=True)
        return folder


class Onlooker:
    """Keeps the best vector that a search has met, and has it drawn every so often.

    Parameters
    ----------
    plan : Plan
    analysis : Analysis
    folder : pathlib.Path or None
        The fit's folder; without one nothing is drawn.
    interval : float
        Seconds between two pictures.
    """

    def __init__(self, plan: Plan, analysis: Analysis, folder: Path | None, interval: float) -> None:
        self._plan = plan
        self._analysis = analysis
        self._paths = Paths(folder) if folder is not None and _can_draw(analysis) else None
        self._interval = interval
        self._drawn_at = time.monotonic()
        self._drawn: np.ndarray | None = None
        self.best: np.ndarray | None = None
        self.log_likelihood = -np.inf

    @property
    def draws(self) -> bool:
        """Whether it draws at all."""
        return self._paths is not None

    def see(self, vectors: np.ndarray, log_likelihoods: np.ndarray) -> None:
        """Look at a batch of vectors, shape (batch, size), and their log likelihoods."""
        if self._paths is None or not len(vectors):
            return
        place = int(np.argmax(log_likelihoods))
        if log_likelihoods[place] > self.log_likelihood:
            self.log_likelihood, self.best = float(log_likelihoods[place]), np.array(vectors[place])
        if time.monotonic() - self._drawn_at >= self._interval:
            self.draw()

    def draw(self) -> None:
        """Have the best vector drawn; what goes wrong there is logged, and the fit goes on."""
        if self._paths is None or self.best is None or self.best is self._drawn:
            return
        try:
            self._analysis.visualize(self._paths, self._plan.instance(self.best))
        except Exception:
            logger.exception(
                "%s.visualize failed; the fit goes on without this picture.", type(self._analysis).__name__
            )
        self._drawn = self.best
        self._drawn_at = time.monotonic()


def _can_draw(analysis: Analysis) -> bool:
    from classy_pm.likelihood import Analysis

    return type(analysis).visualize is not Analysis.visualize
