"""Pictures of a posterior, by arviz-plots on matplotlib."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from classy_pm.result import tree as trees

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_corner"]

# More points than this only blacken the panels.
MAX_POINTS = 2000
PANEL_INCHES = 2.2


def plot_corner(tree: xr.DataTree) -> Figure:
    """Draw each pair of free parameters, with the marginal distributions on the diagonal.

    Parameters
    ----------
    tree : xarray.DataTree

    Returns
    -------
    matplotlib.figure.Figure
    """
    import arviz_plots
    from matplotlib.ticker import MaxNLocator

    names = trees.parameter_names(tree)
    posterior = tree[trees.POSTERIOR]
    step = max(1, posterior.sizes["chain"] * posterior.sizes["draw"] // MAX_POINTS)
    thinned = xr.DataTree.from_dict(
        {trees.POSTERIOR: posterior.to_dataset().isel(draw=slice(None, None, step))}
    )
    inches = PANEL_INCHES * max(2, len(names))
    point: dict[str, Any] = {"alpha": 0.3, "size": 4, "color": "C0", "width": 0}
    plot = arviz_plots.plot_pair(
        thinned,
        var_names=names,
        backend="matplotlib",
        visuals={"scatter": point, "dist": {"color": "C0"}},
        figure_kwargs={"figsize": (inches, inches)},
    )
    figure: Figure = plot.viz["figure"].item()
    left = min(axes.get_position().x0 for axes in figure.axes)
    for axes in figure.axes:
        if axes.get_position().x0 > left:  # the panels of a row share their axis with the leftmost
            axes.tick_params(labelleft=False)
        axes.tick_params(labelsize=7)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.yaxis.set_major_locator(MaxNLocator(4))
    figure.align_labels()
    return figure


def quantile_band(curves: np.ndarray, sigma: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the lower and upper limit, at each point, of curves of shape (draw, point)."""
    tail = 0.5 * (1.0 - trees.sigma_to_probability(sigma))
    lower, upper = np.quantile(curves, [tail, 1.0 - tail], axis=0)
    return lower, upper
