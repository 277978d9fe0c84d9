"""The DataTree of a fit: the only module that knows its groups, its names and ArviZ's intervals.

The groups are ArviZ's. `posterior` has a variable a free or derived parameter, named by its path.
`sample_stats` has, besides what the sampler tells, for every draw the log likelihood and the
normalised log prior in the parameters' own units, whatever the sampler was. `log_likelihood` has
the pointwise terms where there are any. `weighted_posterior` has the draws of a nested search with
their weights, along the dim `sample`; its `posterior` is made of them, with equal weights. Of such a fit
every statistic here is of the weighted draws: those of equal weight are fewer.
"""

from __future__ import annotations

import itertools
import json
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
import xarray as xr

from classy_pm.result.weighted import effective_size, summarise

__all__ = [
    "DrawnVectors",
    "dims_of",
    "drawn_vectors",
    "draws_of",
    "make_tree",
    "parameter_names",
    "pointwise_of",
    "saved_group",
    "saved_of",
    "scalars_of",
    "stat_of",
    "table_of",
]

POSTERIOR = "posterior"
SAMPLE_STATS = "sample_stats"
POINTWISE = "log_likelihood"
# Not `log_likelihood`: ArviZ would take that for pointwise terms.
LOG_LIKELIHOOD = "total_log_likelihood"
LOG_PRIOR = "log_prior"
# Of a graph of factors: the log likelihood of each data set.
FACTOR_LOG_LIKELIHOOD = "factor_log_likelihood"
DIVERGING = "diverging"
TERM = "likelihood_term"
WEIGHTED = "weighted_posterior"
LOG_WEIGHT = "log_weight"
SAMPLE = "sample"
PRIOR = "prior"
PRIOR_PREDICTIVE = "prior_predictive"
POSTERIOR_PREDICTIVE = "posterior_predictive"
OBSERVED = "observed_data"
SAVED = "saved"
# The attribute of the group `saved` with what is no array, as JSON.
PLAIN = "plain"

# A derived array of more numbers than this is not listed one by one in tables.
MAX_LISTED = 100
# So many numbers are summarised together.
AT_ONCE = 256
# And the quality of so many of these is remembered.
KNOWN = 64


def make_tree(
    posterior: Mapping[str, np.ndarray],
    log_likelihood: np.ndarray,
    log_prior: np.ndarray,
    *,
    free: Sequence[str],
    dims: Mapping[str, Sequence[str]] | None = None,
    coords: Mapping[str, Sequence[str]] | None = None,
    stats: Mapping[str, np.ndarray] | None = None,
    pointwise: np.ndarray | None = None,
    pointwise_step: int = 1,
    weighted: Mapping[str, np.ndarray] | None = None,
    groups: Mapping[str, xr.Dataset] | None = None,
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
    dims : mapping of str to sequence of str, optional
        Of parameters whose leading axes have names.
    coords : mapping of str to sequence of str, optional
        The coordinates along these dims.
    stats : mapping of str to numpy.ndarray, shape (chain, draw)
        What the sampler tells of each draw.
    pointwise : numpy.ndarray, shape (chain, draw, term), optional
        The log likelihood's terms.
    pointwise_step : int
        Every so many-th draw has them.
    weighted : mapping of str to numpy.ndarray, shape (sample, ...), optional
        Of a search whose draws have weights: free and derived parameters, the log weight, the total log
        likelihood and the log prior of each draw.
    groups : mapping of str to xarray.Dataset, optional
        What else there is, such as simulated data.
    attributes : mapping, optional
        Of the whole fit; kept as JSON, because NetCDF knows neither dicts nor None.

    Returns
    -------
    xarray.DataTree
    """
    arrays: dict[str, dict[str, Any]] = {
        POSTERIOR: dict(posterior),
        SAMPLE_STATS: {**(stats or {}), LOG_LIKELIHOOD: log_likelihood, LOG_PRIOR: log_prior},
    }
    known = {dim: list(names) for dim, names in (coords or {}).items()}
    named = {name: list(of_variable) for name, of_variable in (dims or {}).items()}
    if pointwise is not None:
        arrays[POINTWISE] = {"likelihood": pointwise}
        named["likelihood"] = [TERM]
    whole = _whole(arrays[POSTERIOR], named)
    tree = xr.DataTree.from_dict({name: _group(group, whole, known) for name, group in arrays.items()})
    if pointwise is not None and pointwise_step > 1:
        terms = tree[POINTWISE].to_dataset()
        tree[POINTWISE] = xr.DataTree(terms.assign_coords(draw=terms["draw"] * pointwise_step))
    if weighted is not None:
        flat = {
            name: ([SAMPLE, *dims_of(name, values.ndim - 1, named)], values)
            for name, values in weighted.items()
        }
        used = {dim for dims_of_variable, _ in flat.values() for dim in dims_of_variable}
        coords_used = {dim: names for dim, names in known.items() if dim in used}
        tree[WEIGHTED] = xr.DataTree(xr.Dataset(flat, coords=coords_used))
    for name, dataset in (groups or {}).items():
        tree[name] = xr.DataTree(dataset)
    tree.attrs["free_parameters"] = json.dumps(list(free))
    tree.attrs["fit"] = json.dumps(dict(attributes or {}), sort_keys=True)
    return tree


def _group(
    arrays: Mapping[str, Any], dims: Mapping[str, Sequence[str]], coords: Mapping[str, Sequence[str]]
) -> xr.Dataset:
    """Return arrays as ArviZ's `dict_to_dataset` does, which takes each for a dataset of its own first."""
    import arviz_base

    variables: dict[str, Any] = {}
    lengths: dict[str, int] = {}
    for name, array in arrays.items():
        own = ["chain", "draw", *dims.get(name, ())]
        shape = np.shape(array)
        own += [f"{name}_dim_{axis}" for axis in range(len(shape) - len(own))]
        variables[name] = (own, array)
        lengths |= dict(zip(own, shape, strict=True))
    used = {dim: coords[dim] if dim in coords else np.arange(length) for dim, length in lengths.items()}
    attributes = arviz_base.make_attrs(sample_dims=["chain", "draw"])
    return xr.Dataset(variables, used, attributes)


def dims_of(name: str, ndim: int, named: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the dims of a variable, of which the first ones may have names."""
    known = list(named.get(name, ()))
    return known + [f"{name}_dim_{axis}" for axis in range(len(known), ndim)]


def _whole(posterior: Mapping[str, Any], named: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Return the dims of all variables of which some have names."""
    return {
        name: dims_of(name, np.ndim(posterior[name]) - 2, named) if name in posterior else list(dims)
        for name, dims in named.items()
    }


def attributes_of(tree: xr.DataTree) -> dict[str, Any]:
    """Return the attributes of the whole fit."""
    return json.loads(tree.attrs.get("fit", "{}"))


def saved_group(saved: Mapping[str, Any]) -> xr.Dataset:
    """Return arrays and plain data by their names as a dataset, which `saved_of` reads."""
    arrays = {name: value for name, value in saved.items() if isinstance(value, np.ndarray)}
    plain = {name: value for name, value in saved.items() if name not in arrays}
    variables = {
        name: ([f"{name}_dim_{axis}" for axis in range(array.ndim)], array) for name, array in arrays.items()
    }
    return xr.Dataset(variables, attrs={PLAIN: json.dumps(plain)})


def saved_of(tree: xr.DataTree) -> dict[str, Any]:
    """Return what an analysis has saved with a fit, by name."""
    if SAVED not in tree.children:
        return {}
    group = tree[SAVED].to_dataset()
    arrays = {str(name): array.values for name, array in group.data_vars.items()}
    return {**arrays, **json.loads(group.attrs[PLAIN])}


def parameter_names(tree: xr.DataTree) -> list[str]:
    """Return the free parameters' names, in the order of the vector."""
    return json.loads(tree.attrs["free_parameters"])


@dataclass(frozen=True)
class DrawnVectors:
    """The draws of a fit as vectors of the free parameters, chain after chain.

    Attributes
    ----------
    vectors : numpy.ndarray, shape (draws, size)
    log_likelihood, log_prior : numpy.ndarray, shape (draws,)
    weights : numpy.ndarray, shape (draws,), or None
        They add up to one; None where they are all equal.
    chains : int
        How many chains of equal length they are.
    """

    vectors: np.ndarray
    log_likelihood: np.ndarray
    log_prior: np.ndarray
    weights: np.ndarray | None
    chains: int

    def chosen(self, places: np.ndarray, chains: int = 1) -> DrawnVectors:
        """Return the draws at these places, each with all that belongs to it."""
        weights = None if self.weights is None else self.weights[places]
        return DrawnVectors(
            self.vectors[places],
            self.log_likelihood[places],
            self.log_prior[places],
            None if weights is None else weights / np.sum(weights),
            chains,
        )


def drawn_vectors(tree: xr.DataTree) -> DrawnVectors:
    """Return the draws: with their weights where they have any, else those of the chains."""
    if WEIGHTED not in tree.children:
        chains = tree[POSTERIOR].sizes["chain"]
        log_likelihood, log_prior = stat_of(tree, LOG_LIKELIHOOD), stat_of(tree, LOG_PRIOR)
        return DrawnVectors(draws_of(tree), log_likelihood, log_prior, None, chains)
    group = tree[WEIGHTED].to_dataset()
    count = group.sizes[SAMPLE]
    arrays = [group[name].values.reshape(count, -1) for name in parameter_names(tree)]
    vectors = np.concatenate(arrays, axis=-1)
    log_likelihood, log_prior = group[LOG_LIKELIHOOD].values, group[LOG_PRIOR].values
    return DrawnVectors(vectors, log_likelihood, log_prior, weights_of(tree), 1)


def weights_of(tree: xr.DataTree) -> np.ndarray | None:
    """Return the weights of the draws, which add up to one; None where they are all equal."""
    if WEIGHTED not in tree.children:
        return None
    log_weights = tree[WEIGHTED].to_dataset()[LOG_WEIGHT].values
    weights = np.exp(log_weights - np.max(log_weights))
    return weights / np.sum(weights)


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


def scalars_of(tree: xr.DataTree, *, numbered: bool = False) -> dict[str, np.ndarray]:
    """Return every free or derived number by its name, in the order of `drawn_vectors`, shape (draws,).

    The elements of an array are named ``weights[0]``, ``weights[1]``, ..., and along a plate by the data sets
    (unless they shall be numbered), ``line.centre[object_3]``. Large arrays that are not free are left out.
    """
    weighted = WEIGHTED in tree.children
    dataset = tree[WEIGHTED if weighted else POSTERIOR].to_dataset()
    dims = 1 if weighted else 2
    scalars = {}
    for name in listed_names(tree):
        array = dataset[name].values
        values = array.reshape(-1, *array.shape[dims:])
        labels = _labels(name, dataset[name].dims[dims:], dataset, numbered)
        flat = values.reshape(len(values), -1)
        for place, label in enumerate(labels.values()):
            scalars[label] = flat[:, place]
    return scalars


def listed_names(tree: xr.DataTree) -> list[str]:
    """Return the names of the posterior's variables, without large arrays that are not free."""
    free = parameter_names(tree)
    return [
        str(name)
        for name, array in tree[POSTERIOR].data_vars.items()
        if name in free or math.prod(array.shape[2:]) <= MAX_LISTED
    ]


def table_of(
    tree: xr.DataTree, only: Sequence[str] | None = None, *, numbered: bool = False
) -> dict[str, dict[str, float]]:
    """Summarise each free or derived number, or only some of them, named as by `scalars_of`.

    Returns
    -------
    dict
        For each name: mean, sd, median, the limits of the one and three sigma intervals, the effective
        sample size (the smaller of bulk and tail; of weighted draws, Kish's) and R-hat; NaN where not
        defined.
    """
    weights = weights_of(tree)
    scalars = scalars_of(tree, numbered=numbered)
    table: dict[str, dict[str, float]] = {}
    for names in itertools.batched(scalars if only is None else only, AT_ONCE):
        draws = np.stack([np.asarray(scalars[name], dtype=float) for name in names], axis=-1)
        columns = summarise(draws, weights)
        if weights is None:
            chains = draws.T.reshape(len(names), tree[POSTERIOR].sizes["chain"], -1)
            columns |= _quality_of_chains(chains)
        else:
            kish = effective_size(weights)
            columns |= {"ess": np.full(len(names), kish), "r_hat": np.full(len(names), np.nan)}
        rows = zip(*(values.tolist() for values in columns.values()), strict=True)
        table |= {name: dict(zip(columns, row, strict=True)) for name, row in zip(names, rows, strict=True)}
    return table


def free_rows(tree: xr.DataTree, table: Mapping[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """Return the rows of the free parameters: of what is derived all draws may be equal, and rightly so."""
    free = parameter_names(tree)
    return {name: row for name, row in table.items() if name.partition("[")[0] in free}


# The quality of draws that were looked at last, by their contents: a fit is asked for it for its notices and
# for its row in a catalogue.
_known_quality: dict[tuple[Any, ...], dict[str, np.ndarray]] = {}


def _quality_of_chains(draws: np.ndarray) -> dict[str, np.ndarray]:
    """Return the effective sample size and R-hat of numbers, of draws of shape (numbers, chains, draws)."""
    key = draws.shape, sha256(np.ascontiguousarray(draws)).digest()
    if key not in _known_quality:
        found = _compute_quality(draws)
        while len(_known_quality) >= KNOWN:
            _known_quality.pop(next(iter(_known_quality)))
        _known_quality[key] = found
    return dict(_known_quality[key])


def _compute_quality(draws: np.ndarray) -> dict[str, np.ndarray]:
    import arviz_stats

    data = xr.DataArray(draws, dims=("number", "chain", "draw"))
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        # Of draws that are all equal, or beyond all bounds, ArviZ cannot say much and warns: it is NaN.
        warnings.simplefilter("ignore", RuntimeWarning)
        sizes = [arviz_stats.ess(data, method=method).values for method in ("bulk", "tail")]
        several = draws.shape[1] > 1
        r_hat = arviz_stats.rhat(data).values if several else np.full(len(draws), np.nan)
    return {"ess": np.minimum(*sizes), "r_hat": r_hat}


def _labels(
    name: Any, dims: Sequence[Any], dataset: xr.Dataset, numbered: bool
) -> dict[tuple[int, ...], str]:
    """Return the name of each element of a variable by its index: by coordinates where these are texts."""
    axes = []
    for dim in dims:
        known = dataset.coords[dim].values if dim in dataset.coords else np.arange(dataset.sizes[dim])
        texts = known.dtype.kind in "UO" and not numbered
        axes.append([str(item) for item in known] if texts else [str(item) for item in range(len(known))])
    if not axes:
        return {(): str(name)}
    indices = itertools.product(*(range(len(axis)) for axis in axes))
    texts_of = itertools.product(*axes)
    return {index: f"{name}[{','.join(text)}]" for index, text in zip(indices, texts_of, strict=True)}
