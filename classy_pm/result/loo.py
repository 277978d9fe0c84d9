"""Leave-one-out cross-validation from the terms of a fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from classy_pm.result import tree as trees

if TYPE_CHECKING:
    from arviz_stats import ELPDData

__all__ = ["loo_of"]

# A term that varies by less than this, relatively, from draw to draw is one that no parameter enters.
CONSTANT = 1e-9


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
    return arviz_stats.loo(xr.DataTree.from_dict(groups), pointwise=True)
