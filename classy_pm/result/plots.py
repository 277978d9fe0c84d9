"""Pictures of a posterior, by arviz-plots on matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from classy_pm.errors import UnknownNameError, did_you_mean
from classy_pm.result import tree as trees

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_corner"]

# More points than this only blacken the panels.
MAX_POINTS = 2000
PANEL_INCHES = 2.2


def plot_corner(tree: xr.DataTree, names: Sequence[str] | None = None) -> Figure:
    """Draw each pair of free parameters, with the marginal distributions on the diagonal.

    Parameters
    ----------
    tree : xarray.DataTree
    names : sequence of str, optional
        The parameters to draw; all that are free by default.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    UnknownNameError
        If the posterior has no parameter of a name.
    """
    import arviz_plots
    from matplotlib.ticker import MaxNLocator

    posterior = tree[trees.POSTERIOR]
    names = trees.parameter_names(tree) if names is None else list(names)
    unknown = [name for name in names if name not in posterior.data_vars]
    if unknown:
        raise UnknownNameError(
            f"The posterior has no parameter `{unknown[0]}`.",
            cure=did_you_mean(unknown[0], map(str, posterior.data_vars)),
        )
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
    # The height of a marginal density says nothing; and all panels share the page.
    for axes in figure.axes:
        box = axes.get_subplotspec()
        if box is not None and box.rowspan.start == box.colspan.start:
            axes.set_yticks([])
            axes.set_ylabel("")
    margin = 0.7 / inches
    figure.subplots_adjust(left=margin, bottom=margin, right=0.98, top=0.98, wspace=0.08, hspace=0.08)
    figure.align_labels()
    return figure


def quantile_band(curves: np.ndarray, sigma: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the lower and upper limit, at each point, of curves of shape (draw, point)."""
    tail = 0.5 * (1.0 - trees.sigma_to_probability(sigma))
    lower, upper = np.quantile(curves, [tail, 1.0 - tail], axis=0)
    return lower, upper
