"""Pictures of a fit, by arviz-plots on matplotlib."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from classy_pm.errors import ClassyError, Faults, SettingError, UnknownNameError, did_you_mean
from classy_pm.result import tree as trees
from classy_pm.result.weighted import sigma_to_probability

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_corner", "plot_corner_classic", "plot_fit", "plot_trace", "quantile_band"]

# More points than this only blacken the panels.
MAX_POINTS = 2000
PANEL_INCHES = 2.2
# ArviZ draws 40 panels at most unless it is told otherwise.
ANY_NUMBER = {"plot.max_subplots": None}
# Of more data than this an interval each cannot be seen: their distributions are drawn.
MAX_INTERVALS = 300
# How many predicted distributions are drawn.
MAX_CURVES = 50
# What the name of a picture ends with.
PICTURES = {".png", ".pdf", ".svg", ".jpg", ".jpeg", ".eps", ".ps", ".tif", ".tiff", ".webp"}


def plot_corner(tree: xr.DataTree, names: str | Sequence[str] | None = None) -> Figure:
    """Draw each pair of free parameters, with the marginal distributions on the diagonal.

    Parameters
    ----------
    tree : xarray.DataTree
    names : str or sequence of str, optional
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
    from arviz_base import rc_context
    from matplotlib.ticker import MaxNLocator

    posterior, names = _posterior_of(tree, names, "plot_corner")
    step = max(1, posterior.sizes["chain"] * posterior.sizes["draw"] // MAX_POINTS)
    thinned = xr.DataTree.from_dict({trees.POSTERIOR: posterior.isel(draw=slice(None, None, step))})
    inches = PANEL_INCHES * max(2, len(names))
    point: dict[str, Any] = {"alpha": 0.3, "size": 4, "color": "C0", "width": 0}
    with rc_context(ANY_NUMBER):
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


def plot_corner_classic(tree: xr.DataTree, names: str | Sequence[str] | None = None) -> Figure:
    """Draw the same by the library corner: contours at one and two sigma, all draws with their weights.

    Parameters
    ----------
    tree : xarray.DataTree
    names : str or sequence of str, optional
        The parameters to draw; all that are free by default.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ClassyError
        If corner is not installed.

    Notes
    -----
    Foreman-Mackey (2016), Journal of Open Source Software 1, 24. In two dimensions one sigma of a normal
    distribution holds ``1 - exp(-1/2)``, 39%.
    """
    try:
        import corner
    except ImportError as error:
        raise ClassyError(
            "The library corner is not installed.", cure='Write `pip install "classy_pm[corner]"`.'
        ) from error

    _, names = _posterior_of(tree, names, "plot_corner")
    drawn = {
        name: values for name, values in trees.scalars_of(tree).items() if name.partition("[")[0] in names
    }
    tail = 0.5 * (1.0 - sigma_to_probability(1.0))
    figure: Figure = corner.corner(
        np.stack(list(drawn.values()), axis=-1),
        weights=trees.weights_of(tree),
        labels=list(drawn),
        levels=tuple(1.0 - np.exp(-0.5 * np.array([1.0, 2.0]) ** 2)),
        quantiles=[tail, 0.5, 1.0 - tail],
        show_titles=True,
        title_fmt=".3g",
    )
    return figure


def plot_trace(tree: xr.DataTree, names: str | Sequence[str] | None = None) -> Figure:
    """Draw the distribution of each free parameter, and its draws one after the other, chain by chain.

    Parameters
    ----------
    tree : xarray.DataTree
    names : str or sequence of str, optional
        The parameters to draw; all that are free by default.

    Returns
    -------
    matplotlib.figure.Figure
    """
    import arviz_plots
    from arviz_base import rc_context

    posterior, names = _posterior_of(tree, names, "plot_trace")
    groups = {trees.POSTERIOR: posterior}
    if trees.has_stat(tree, trees.DIVERGING):
        groups[trees.SAMPLE_STATS] = tree[trees.SAMPLE_STATS].to_dataset()[[trees.DIVERGING]]
    rows = sum(int(np.prod(posterior[name].shape[2:])) for name in names)
    with rc_context(ANY_NUMBER):
        plot = arviz_plots.plot_trace_dist(
            xr.DataTree.from_dict(groups),
            var_names=names,
            compact=False,
            backend="matplotlib",
            figure_kwargs={"figsize": (9.0, 1.0 + 1.6 * rows), "layout": "constrained"},
        )
    figure: Figure = plot.viz["figure"].item()
    return figure


def plot_fit(tree: xr.DataTree, names: str | Sequence[str] | None = None) -> Figure:
    """Draw the data on what the posterior predicts for them.

    Parameters
    ----------
    tree : xarray.DataTree
        With the groups ``posterior_predictive`` and ``observed_data``.
    names : str or sequence of str, optional
        Which of the data; by default all that were both observed and predicted.

    Returns
    -------
    matplotlib.figure.Figure
        Of few data, each with the one and two sigma intervals of its predictions; of many, their
        distribution with those of predicted data.

    Raises
    ------
    ClassyError
        If the fit has no predictions.
    UnknownNameError
        If no data of a name were both observed and predicted.
    """
    import arviz_plots

    predicted, observed = (
        tree[group].to_dataset() if group in tree.children else xr.Dataset()
        for group in (trees.POSTERIOR_PREDICTIVE, trees.OBSERVED)
    )
    known = [str(item) for item in observed.data_vars if item in predicted.data_vars]
    names = _as_names(names, known, "plot_fit")
    missing = [group for group in (trees.POSTERIOR_PREDICTIVE, trees.OBSERVED) if group not in tree.children]
    if missing:
        raise ClassyError(
            f"There is nothing to compare the data with: this fit has no `{missing[0]}`.",
            cure="Write simulate(self, instance, rng) in the analysis: it returns data as they would be if "
            "the instance were true, by the name of the attribute that holds the real ones: {'data': array}.",
        )
    if not known:
        raise ClassyError(
            "None of what was simulated was observed: no attribute has its name and shape.",
            cure="Let simulate(self, instance, rng) return a dict, by the names of the attributes that hold "
            "the data: {'data': array}.",
        )
    names = known if names is None else names
    _require_known(names, known, "No data of these names were both observed and predicted.")
    both = xr.DataTree.from_dict(
        {
            trees.POSTERIOR_PREDICTIVE: xr.Dataset({item: _in_a_row(predicted[item], 2) for item in names}),
            trees.OBSERVED: xr.Dataset({item: _in_a_row(observed[item], 0) for item in names}),
        }
    )
    page: dict[str, Any] = {"figsize": (8.0, 4.0 * len(names)), "layout": "constrained"}
    if max(observed[item].size for item in names) > MAX_INTERVALS:
        steps = any(observed[item].dtype.kind in "biu" for item in names)  # counts have no smooth density
        plot = arviz_plots.plot_ppc_dist(
            both,
            kind="ecdf" if steps else "kde",
            num_samples=min(MAX_CURVES, predicted.sizes["chain"] * predicted.sizes["draw"]),
            backend="matplotlib",
            figure_kwargs=page,
        )
    else:
        plot = arviz_plots.plot_ppc_interval(
            both,
            ci_kind="eti",
            ci_probs=[sigma_to_probability(1.0), sigma_to_probability(2.0)],
            backend="matplotlib",
            visuals={"prediction_markers": {"s": 8}, "observed_markers": {"s": 12}},
            figure_kwargs=page,
        )
    figure: Figure = plot.viz["figure"].item()
    return figure


def _in_a_row(data: xr.DataArray, sampled: int) -> xr.DataArray:
    """Return data of several axes, beside those of draws, along a single one: ArviZ draws no others."""
    if data.ndim - sampled < 2:
        return data
    dims = data.dims[:sampled]
    values = data.values.reshape(*data.shape[:sampled], -1)
    return xr.DataArray(values, dims=[*dims, f"{data.name}_dim"], coords={dim: data[dim] for dim in dims})


def quantile_band(curves: np.ndarray, sigma: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the lower and upper limit, at each point, of curves of shape (draw, point)."""
    tail = 0.5 * (1.0 - sigma_to_probability(sigma))
    lower, upper = np.quantile(curves, [tail, 1.0 - tail], axis=0)
    return lower, upper


def _as_names(names: Any, known: Sequence[str], function: str) -> list[str] | None:
    """Return the names of what is drawn as a list, or refuse what are none, as the path of a picture."""
    if names is None:
        return None
    single = isinstance(names, str | PathLike) or not isinstance(names, Iterable)
    found = [names] if single else list(names)
    for name in found:
        if name in known:
            continue
        if isinstance(name, PathLike) or (isinstance(name, str) and Path(name).suffix.lower() in PICTURES):
            raise SettingError(
                f"{function} takes the names of what is drawn, not that of a file, {str(name)!r}.",
                cure=f"It returns the figure: result.{function}().savefig({str(name)!r}).",
            )
        if not isinstance(name, str):
            raise SettingError(
                f"{function} takes the names of what is drawn, not {name!r}.",
                cure=f'Write result.{function}(["name", ...]), or nothing for all of them.',
            )
    return found


def _require_known(names: Sequence[str], known: Sequence[str], message: str) -> None:
    faults = Faults()
    for name in names:
        if name not in known:
            faults.add(f"`{name}`", f"is not there. {did_you_mean(name, known)}")
    faults.raise_as(UnknownNameError, message)


def _posterior_of(tree: xr.DataTree, names: Any, function: str) -> tuple[xr.Dataset, list[str]]:
    """Return the posterior and the names of what is drawn of it, or refuse what cannot be drawn."""
    posterior = tree[trees.POSTERIOR].to_dataset()
    known = [str(name) for name in posterior.data_vars]
    found = _as_names(names, known, function)
    found = trees.parameter_names(tree) if found is None else found
    _require_known(found, known, "The posterior has no such parameters.")
    if posterior.sizes["chain"] * posterior.sizes["draw"] < 2:
        raise ClassyError(
            "This fit is a single point, of which there is no distribution to draw.",
            cure="Fit with a search that samples the posterior, such as NUTS.",
        )
    return posterior, found
