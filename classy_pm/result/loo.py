"""Leave-one-out cross-validation from the terms of a fit."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from classy_pm.likelihood.warn import warn
from classy_pm.result import tree as trees

if TYPE_CHECKING:
    from arviz_stats import ELPDData

__all__ = ["loo_of"]

# A term that varies by less than this, relatively, from draw to draw is one that no parameter enters.
CONSTANT = 1e-9
# So many data are named of those at which the estimate cannot be trusted.
LISTED = 5


def loo_of(tree: xr.DataTree) -> ELPDData:
    """Return the expected log predictive density of a tree that has terms.

    ArviZ looks for the tail of every term and finds none in a constant, such as the datum far from a line.
    Those terms are given one that is too small to be seen in the answer.
    """
    import arviz_stats

    terms = trees.pointwise_of(tree)
    assert terms is not None
    values = np.array(terms.values)
    size = CONSTANT * np.maximum(1.0, np.abs(values.mean(axis=(0, 1))))
    constant = values.std(axis=(0, 1)) < size
    noise = np.random.default_rng(0).standard_normal(values.shape)
    values += np.where(constant, size * noise, 0.0)
    groups = {
        trees.POSTERIOR: tree[trees.POSTERIOR].to_dataset(),
        trees.POINTWISE: xr.Dataset({"likelihood": terms.copy(data=values)}),
    }
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Estimated shape parameter of Pareto", UserWarning)
        elpd = arviz_stats.loo(xr.DataTree.from_dict(groups), pointwise=True)
    _warn_of_large_k(elpd, dict(trees.attributes_of(tree).get("term_counts", ())))
    return elpd


def _warn_of_large_k(elpd: ELPDData, counts: dict[str, int]) -> None:
    """Say at which data the estimate cannot be trusted; where k cannot be computed at all it is NaN.

    Of a graph of factors data are named by their data sets, each of which has so many.
    """
    bad = np.flatnonzero(~(elpd.pareto_k.values <= elpd.good_k))
    if bad.size:
        shown = _named(bad[:LISTED], counts) if counts else f"numbers {', '.join(map(str, bad[:LISTED]))}"
        more = ", ..." if bad.size > LISTED else ""
        warn(
            f"LOO cannot be trusted: Pareto's k is above {elpd.good_k:.2f}, or NaN, at {bad.size} of "
            f"{elpd.n_data_points} data: {shown}{more}. Without them the posterior would be another one. "
            "Look at `result.loo().pareto_k`; give the data a likelihood with wider tails, or compare models "
            "by their evidence, with Nautilus().",
            UserWarning,
        )


def _named(places: np.ndarray, counts: dict[str, int]) -> str:
    """Return data of a graph of factors by the names of their data sets, and their numbers there."""
    names, starts = list(counts), np.cumsum([0, *counts.values()])
    of = np.searchsorted(starts, places, side="right") - 1
    return ", ".join(f"{names[i]}[{place - starts[i]}]" for i, place in zip(of, places, strict=True))
