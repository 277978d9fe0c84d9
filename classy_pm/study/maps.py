"""Pictures of what a study found in the cells of a grid: a line of one parameter, a map of two."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from classy_pm.errors import SettingError, did_you_mean
from classy_pm.study.grid import Axis, Grid

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_map"]

INCHES = (5.2, 4.0)
# So much of the prior is beyond an edge that is drawn for an infinite one.
BEYOND = 1e-3


def draw_map(
    grid: Grid,
    values: xr.DataArray,
    label: str,
    *,
    dims: str | Sequence[str] | None = None,
    contour: float | None = None,
    errors: xr.DataArray | None = None,
) -> Figure:
    """Draw values of the cells of a grid along one or two of its dims; of the others the largest is taken.

    Parameters
    ----------
    grid : Grid
    values : xarray.DataArray
        With the dims of the grid.
    label : str
        What they are.
    dims : str or sequence of str, optional
        One or two; by default the first two.
    contour : float, optional
        A value at which a contour is drawn.
    errors : xarray.DataArray, optional
        The standard deviations of the values; drawn along one dim.

    Returns
    -------
    matplotlib.figure.Figure
    """
    import matplotlib.pyplot as plt

    drawn = _chosen(grid, dims)
    axes = {axis.name: axis for axis in grid.axes}
    left_out = [name for name in grid.dims if name not in drawn]
    flat = values.max(left_out).transpose(*drawn)
    figure, panel = plt.subplots(figsize=INCHES, layout="constrained")
    first = axes[drawn[0]]
    if len(drawn) == 1:
        panel.stairs(flat.values, _finite(first), baseline=None, color="C0")
        bars = None if errors is None or left_out else errors.values
        panel.errorbar(first.centres, flat.values, bars, fmt="o", color="C0", capsize=3)
        panel.set_ylabel(label)
        if contour is not None:
            panel.axhline(contour, color="C3", linestyle="--", label=f"{label} = {contour:g}")
            panel.legend()
    else:
        second = axes[drawn[1]]
        image = panel.pcolormesh(_finite(first), _finite(second), flat.values.T)
        figure.colorbar(image, ax=panel, label=label)
        if contour is not None:
            _draw_contour(panel, first.centres, second.centres, flat.values.T, contour)
        _scale(panel.set_yscale, second)
        panel.set_ylabel(second.name)
    _scale(panel.set_xscale, first)
    panel.set_xlabel(first.name)
    if left_out:
        panel.set_title(f"largest along {', '.join(left_out)}", fontsize="small")
    plt.close(figure)
    return figure


def _chosen(grid: Grid, dims: str | Sequence[str] | None) -> list[str]:
    chosen = list(grid.dims[:2]) if dims is None else [dims] if isinstance(dims, str) else list(dims)
    unknown = [name for name in chosen if name not in grid.dims]
    if unknown:
        raise SettingError(f"dims={dims!r}: {did_you_mean(str(unknown[0]), grid.dims)}")
    if not 1 <= len(set(chosen)) == len(chosen) <= 2:
        raise SettingError(f"dims={dims!r} are not one or two different dims.")
    return chosen


def _draw_contour(panel: Axes, x: np.ndarray, y: np.ndarray, values: np.ndarray, level: float) -> None:
    """Draw where the values reach a level; there need be no such place."""
    if min(values.shape) < 2 or not np.nanmin(values) < level < np.nanmax(values):
        return
    drawn = panel.contour(x, y, values, levels=[level], colors="white")
    panel.clabel(drawn, fmt=f"{level:g}")


def _finite(axis: Axis) -> np.ndarray:
    """Return the edges of cells; for infinite ones those beyond which there is little of the prior."""
    ends = axis.prior.ppf(np.array([BEYOND, 1.0 - BEYOND]))
    edges = axis.edges.copy()
    for place, end in zip((0, -1), ends, strict=True):
        edges[place] = edges[place] if np.isfinite(edges[place]) else end
    return edges


def _scale(set_scale: Any, axis: Axis) -> None:
    """Have a positive parameter whose cells grow by factors drawn on a logarithmic axis."""
    edges = axis.edges
    if edges[0] > 0.0 and np.allclose(np.diff(np.log(edges)), np.log(edges[1] / edges[0])) and len(edges) > 2:
        set_scale("log")
