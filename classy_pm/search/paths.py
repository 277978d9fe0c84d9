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
from classy_pm.result import tree as trees

if TYPE_CHECKING:
    from classy_pm.likelihood import Analysis
    from classy_pm.plan import Plan

__all__ = ["Onlooker", "Paths", "saved_with"]

# Kinds of arrays that NetCDF gives back as they are.
ARRAYS = "biufU"

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
        if not isinstance(name, str) or not name.isidentifier() or name in self._saved:
            why = "is there already" if name in self._saved else "is no identifier"
            raise CatalogError(f"paths.save: {name!r} {why}.", cure='Write paths.save("data", self.data).')
        if not isinstance(value, np.ndarray):
            self._saved.update(check_info({name: value}))
        elif isinstance(value, np.ma.MaskedArray) or value.dtype.kind not in ARRAYS:
            raise CatalogError(
                f"paths.save: `{name}` is an array of the type {type(value).__name__}, {value.dtype}, which "
                "no file keeps as it is.",
                cure="Save real numbers or texts; of a masked array its data and its mask.",
            )
        elif value.dtype.kind == "U" and any("\0" in text for text in value.ravel().tolist()):
            raise CatalogError(f"paths.save: `{name}` has a text with a NUL character, which no file keeps.")
        else:
            self._saved[name] = np.array(value)

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


def saved_with(analysis: Analysis, folder: Path | None) -> dict[str, xr.Dataset]:
    """Have an analysis save what it wants to be found with a fit, and return the group of the fit's tree.

    Raises
    ------
    CatalogError
        If it saves what cannot be kept.
    """
    from classy_pm.likelihood import Analysis

    if folder is None or type(analysis).save_attributes is Analysis.save_attributes:
        return {}
    paths = Paths(folder)
    analysis.save_attributes(paths)
    return {trees.SAVED: trees.saved_group(paths._saved)} if paths._saved else {}


def _can_draw(analysis: Analysis) -> bool:
    from classy_pm.likelihood import Analysis

    return type(analysis).visualize is not Analysis.visualize
