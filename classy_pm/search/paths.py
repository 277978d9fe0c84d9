"""Where a fit's pictures go, and when they are drawn; and what is saved with it."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from classy_pm.catalog import check_info
from classy_pm.errors import CatalogError
from classy_pm.likelihood.analysis import gives
from classy_pm.result import tree as trees

if TYPE_CHECKING:
    from classy_pm.likelihood import Analysis
    from classy_pm.plan import Plan

__all__ = ["Onlooker", "Paths", "saved_with"]

# Kinds of arrays that NetCDF gives back as they are.
ARRAYS = "biufU"
# So many times as long as pictures take, the fit goes on before the next, if they take long: in seconds.
PAUSE, LONG = 10.0, 1.0

logger = logging.getLogger("classy_pm")


@dataclass(frozen=True)
class Paths:
    """The folders that `Analysis.visualize` may write to, and what `Analysis.save_attributes` saves.

    Attributes
    ----------
    output_path : pathlib.Path
        The fit's own folder.
    """

    output_path: Path
    _saved: dict[str, Any] = field(default_factory=dict, repr=False)
    _factor: str = ""

    def of_factor(self, name: str) -> Paths:
        """Return the paths of one data set of a graph: a folder below, and names below that of the factor."""
        return Paths(self.output_path / name, self._saved, name)

    def save(self, name: str, value: Any) -> None:
        """Save an array or plain data with the fit; only in `Analysis.save_attributes`.

        Parameters
        ----------
        name : str
            An identifier, by which it is found again.
        value : numpy.ndarray, str, float, int, bool, None, list or dict
            Lists and dicts of plain data, with texts for keys.

        Raises
        ------
        CatalogError
            If the value is of another kind, or there is something of that name already.
        """
        full = f"{self._factor}.{name}" if self._factor else name
        if not isinstance(name, str) or not name.isidentifier() or full in self._saved:
            why = "is there already" if full in self._saved else "is no identifier"
            raise CatalogError(f"paths.save: {name!r} {why}.", cure='Write paths.save("data", self.data).')
        if not isinstance(value, np.ndarray):
            (self._saved[full],) = check_info({name: value}).values()
        elif isinstance(value, np.ma.MaskedArray) or value.dtype.kind not in ARRAYS:
            raise CatalogError(
                f"paths.save: `{name}` is an array of the type {type(value).__name__}, {value.dtype}, which "
                "no file keeps as it is.",
                cure="Save real numbers or texts; of a masked array its data and its mask.",
            )
        elif value.dtype.kind == "U" and any("\0" in text for text in value.ravel().tolist()):
            raise CatalogError(f"paths.save: `{name}` has a text with a NUL character, which no file keeps.")
        else:
            self._saved[full] = np.array(value)

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
        Seconds between two pictures, at least: those of many data sets take long, and the fit goes first.
    """

    def __init__(self, plan: Plan, analysis: Analysis, folder: Path | None, interval: float) -> None:
        self._plan = plan
        self._analysis = analysis
        can_draw = gives(analysis, "visualize")
        self._paths = Paths(folder) if folder is not None and can_draw else None
        self._interval = self._pause = interval
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
        if time.monotonic() - self._drawn_at >= self._pause:
            self.draw()

    def draw(self) -> None:
        """Have the best vector drawn; what goes wrong there is logged, and the fit goes on."""
        if self._paths is None or self.best is None or self.best is self._drawn:
            return
        self._drawn_at = time.monotonic()
        try:
            self._analysis.visualize(self._paths, self._plan.instance(self.best))
        except Exception:
            logger.exception(
                "%s.visualize failed; the fit goes on without this picture.", type(self._analysis).__name__
            )
        self._drawn = self.best
        begun, self._drawn_at = self._drawn_at, time.monotonic()
        seconds = self._drawn_at - begun
        self._pause = max(self._interval, PAUSE * seconds if seconds > LONG else 0.0)


def saved_with(analysis: Analysis, folder: Path | None) -> dict[str, xr.Dataset]:
    """Have an analysis save what it wants to be found with a fit, and return the group of the fit's tree.

    Raises
    ------
    CatalogError
        If it saves what cannot be kept.
    """
    if folder is None or not gives(analysis, "save_attributes"):
        return {}
    paths = Paths(folder)
    analysis.save_attributes(paths)
    return {trees.SAVED: trees.saved_group(paths._saved)} if paths._saved else {}
