"""The DataTree of a fit: the only module that knows its groups, its names and ArviZ's intervals.

The groups are ArviZ's. `posterior` has a variable a free or derived parameter, named by its path.
`sample_stats` has, besides what the sampler tells, for every draw the log likelihood and the
normalised log prior in the parameters' own units, whatever the sampler was. `log_likelihood` has
the pointwise terms where there are any.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from scipy.special import erf

__all__ = [
    "draws_of",
    "make_tree",
    "parameter_names",
    "pointwise_of",
    "sigma_to_probability",
    "stat_of",
    "table_of",
]

POSTERIOR = "posterior"
SAMPLE_STATS = "sample_stats"
POINTWISE = "log_likelihood"
# Not `log_likelihood`: ArviZ would take that for pointwise terms.
LOG_LIKELIHOOD = "total_log_likelihood"
LOG_PRIOR = "log_prior"
DIVERGING = "diverging"
TERM = "likelihood_term"

# ArviZ's own default interval is 0.89; a sigma interval is what the field speaks of.
ONE_SIGMA = float(erf(1.0 / np.sqrt(2.0)))


def sigma_to_probability(sigma: float) -> float:
    """Return the probability within so many standard deviations of a normal distribution.

    Examples
    --------
    >>> round(sigma_to_probability(1.0), 4)
    0.6827
    """
    return float(erf(sigma / np.sqrt(2.0)))


def make_tree(
    posterior: Mapping[str, np.ndarray],
    log_likelihood: np.ndarray,
    log_prior: np.ndarray,
    *,
    free: Sequence[str],
    stats: Mapping[str, np.ndarray] | None = None,
    pointwise: np.ndarray | None = None,
    attributes: Mapping[str, Any] | None = None,
) -> xr.DataTree:
    """Make a fit's tree.

    Parameters
    ----------
    posterior : mapping of str to numpy.ndarray, shape (chain, draw, ...)
        Free and derived parameters by name.
    log_likelihood, log_prior : numpy.ndarray, shape (chain, draw)
    free : sequence of str
        The free parameters' names, in the order of the vector.
    stats : mapping of str to numpy.ndarray, shape (chain, draw)
        What the sampler tells of each draw.
    pointwise : numpy.ndarray, shape (chain, draw, term), optional
        The log likelihood's terms.
    attributes : mapping, optional
        Of the whole fit; kept as JSON, because NetCDF knows neither dicts nor None.

    Returns
    -------
    xarray.DataTree
    """
    import arviz_base

    groups: dict[str, dict[str, Any]] = {
        POSTERIOR: dict(posterior),
        SAMPLE_STATS: {**(stats or {}), LOG_LIKELIHOOD: log_likelihood, LOG_PRIOR: log_prior},
    }
    dims = {}
    if pointwise is not None:
        groups[POINTWISE] = {"likelihood": pointwise}
        dims["likelihood"] = [TERM]
    tree = arviz_base.from_dict(groups, dims=dims)
    tree.attrs["free_parameters"] = json.dumps(list(free))
    tree.attrs["fit"] = json.dumps(dict(attributes or {}), sort_keys=True)
    return tree


def attributes_of(tree: xr.DataTree) -> dict[str, Any]:
    """Return the attributes of the whole fit."""
    return json.loads(tree.attrs.get("fit", "{}"))


def parameter_names(tree: xr.DataTree) -> list[str]:
    """Return the free parameters' names, in the order of the vector."""
    return json.loads(tree.attrs["free_parameters"])


def draws_of(tree: xr.DataTree) -> np.ndarray:
    """Return the vectors of the draws, chain after chain, shape (draws, size)."""
    posterior = tree[POSTERIOR].to_dataset()
    arrays = [posterior[name].values for name in parameter_names(tree)]
    draws = arrays[0].shape[0] * arrays[0].shape[1]
    return np.concatenate([array.reshape(draws, -1) for array in arrays], axis=-1)


def stat_of(tree: xr.DataTree, name: str) -> np.ndarray:
    """Return a statistic of each draw, chain after chain, shape (draws,)."""
    return tree[SAMPLE_STATS].to_dataset()[name].values.reshape(-1)


def has_stat(tree: xr.DataTree, name: str) -> bool:
    """Return whether the sampler tells this of its draws."""
    return name in tree[SAMPLE_STATS].data_vars


def pointwise_of(tree: xr.DataTree) -> xr.DataArray | None:
    """Return the log likelihood's terms, dims (chain, draw, term), or None."""
    return tree[POINTWISE].to_dataset()["likelihood"] if POINTWISE in tree.children else None


def scalars_of(tree: xr.DataTree) -> dict[str, np.ndarray]:
    """Return every number of the posterior by its name, chain after chain, shape (draws,).

    The elements of an array are named ``weights[0]``, ``weights[1]``, ...
    """
    scalars = {}
    for name, array in tree[POSTERIOR].to_dataset().data_vars.items():
        values = array.values.reshape(array.shape[0] * array.shape[1], *array.shape[2:])
        for index in np.ndindex(values.shape[1:]):
            label = f"{name}[{','.join(map(str, index))}]" if index else str(name)
            scalars[label] = values[(slice(None), *index)]
    return scalars


def table_of(tree: xr.DataTree) -> dict[str, dict[str, float]]:
    """Summarise each scalar of the posterior.

    Returns
    -------
    dict
        For each name: mean, median, sd, the limits of the one and three sigma intervals, the
        effective sample size (the smaller of bulk and tail) and R-hat; NaN where not defined.
    """
    import arviz_stats

    posterior = tree[POSTERIOR].to_dataset()
    several = posterior.sizes["chain"] > 1
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        # Of draws that are all equal, or beyond all bounds, ArviZ cannot say much and warns: it is NaN.
        warnings.simplefilter("ignore", RuntimeWarning)
        stats = [arviz_stats.ess(posterior, method=method) for method in ("bulk", "tail")]
        r_hat = arviz_stats.rhat(posterior) if several else None
    ess = [scalars_of_summary(stat) for stat in stats]
    r_hats = scalars_of_summary(r_hat) if several else {}
    return {
        name: {
            **_moments(values),
            "ess": min(stat[name] for stat in ess),
            "r_hat": r_hats.get(name, float("nan")),
        }
        for name, values in scalars_of(tree).items()
    }


def scalars_of_summary(summary: Any) -> dict[str, float]:
    """Return what ArviZ found of each variable by the names of `scalars_of`."""
    return {
        f"{name}[{','.join(map(str, index))}]" if index else str(name): float(array.values[index])
        for name, array in summary.data_vars.items()
        for index in np.ndindex(array.shape)
    }


def _moments(values: np.ndarray) -> dict[str, float]:
    tails = [0.5 * (1.0 - sigma_to_probability(sigma)) for sigma in (1.0, 3.0)]
    low_1, low_3, median, high_1, high_3 = np.quantile(
        values, [tails[0], tails[1], 0.5, 1.0 - tails[0], 1.0 - tails[1]]
    )
    return {
        "mean": float(np.mean(values)),
        "sd": float(np.std(values, ddof=1)) if values.size > 1 else float("nan"),
        "median": float(median),
        "lower_1_sigma": float(low_1),
        "upper_1_sigma": float(high_1),
        "lower_3_sigma": float(low_3),
        "upper_3_sigma": float(high_3),
    }
