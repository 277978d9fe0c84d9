"""The tree of one data set, out of that of a fit of many."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import xarray as xr

from classy_pm.errors import ClassyError
from classy_pm.model import OneFactor, axes_of, of_factor
from classy_pm.plan import Plan
from classy_pm.result import tree as trees

__all__ = ["tree_of_factor"]

# What a sampler tells of the density of the whole is none of one data set.
OF_THE_WHOLE = (
    "lp",
    "energy",
    "energy_error",
    trees.LOG_LIKELIHOOD,
    trees.LOG_PRIOR,
    trees.FACTOR_LOG_LIKELIHOOD,
)
# Groups of data and of what is simulated.
OF_DATA = (trees.PRIOR_PREDICTIVE, trees.POSTERIOR_PREDICTIVE, trees.OBSERVED)
# The attributes of a fit of one data set of a graph: its name, and how many there are.
FACTOR, FACTORS = "factor", "factors"


def tree_of_factor(tree: xr.DataTree, graph: Plan, own: Plan, one: OneFactor, name: str) -> xr.DataTree:
    """Return what there is of one data set.

    Parameters
    ----------
    tree : xarray.DataTree
        Of the fit of the graph.
    graph, own : Plan
        Of the graph, and of the data set alone.
    one : OneFactor
    name : str
        Of the data set.

    Returns
    -------
    xarray.DataTree
        As of a fit of this data set alone: the log likelihood and the log prior are its own.
    """
    return _Taker(tree, graph, own, one, name).taken()


class _Taker:
    def __init__(self, tree: xr.DataTree, graph: Plan, own: Plan, one: OneFactor, name: str) -> None:
        self.tree, self.graph, self.own, self.one, self.name = tree, graph, own, one, name
        # Variables of the graph's own, whose names are not those of quantities.
        self.known = {*graph.names, *(".".join(path) for path, _ in graph.derived)}

    def taken(self) -> xr.DataTree:
        """Return the tree."""
        tree, attributes = self.tree, trees.attributes_of(self.tree)
        each = self._each(trees.SAMPLE_STATS)
        stats = tree[trees.SAMPLE_STATS].to_dataset()
        posterior, vectors = self._variables(trees.POSTERIOR, 2)
        groups = {
            trees.POSTERIOR: posterior,
            trees.SAMPLE_STATS: stats.drop_vars([item for item in OF_THE_WHOLE if item in stats])
            .drop_dims([dim for dim in stats.dims if dim not in ("chain", "draw")])
            .assign(
                {
                    trees.LOG_LIKELIHOOD: (("chain", "draw"), each),
                    trees.LOG_PRIOR: (("chain", "draw"), self.own.log_prior(vectors)),
                }
            ),
        }
        if trees.WEIGHTED in tree.children:
            weighted, vectors = self._variables(trees.WEIGHTED, 1)
            groups[trees.WEIGHTED] = weighted.assign(
                {
                    trees.LOG_WEIGHT: tree[trees.WEIGHTED].to_dataset()[trees.LOG_WEIGHT],
                    trees.LOG_LIKELIHOOD: ((trees.SAMPLE,), self._each(trees.WEIGHTED)),
                    trees.LOG_PRIOR: ((trees.SAMPLE,), self.own.log_prior(vectors)),
                }
            )
        if trees.PRIOR in tree.children:
            groups[trees.PRIOR] = self._variables(trees.PRIOR, 2)[0]
        groups |= {group: self._data(group) for group in OF_DATA if group in tree.children}
        groups = {group: dataset for group, dataset in groups.items() if dataset.data_vars}
        groups |= self._terms(attributes) | self._saved()
        made = xr.DataTree.from_dict(groups)
        made.attrs["free_parameters"] = json.dumps(list(self.own.names))
        made.attrs["fit"] = json.dumps(self._attributes(attributes), sort_keys=True)
        return made

    def _each(self, group: str) -> np.ndarray:
        """Return the log likelihood of this data set at the draws."""
        dataset = self.tree[group].to_dataset()
        if trees.FACTOR_LOG_LIKELIHOOD not in dataset:
            raise ClassyError(
                "This fit does not have the log likelihood of each data set.",
                cure="It was filed by an earlier version: fit again.",
            )
        whole = dataset[trees.FACTOR_LOG_LIKELIHOOD]
        return whole.sel({whole.dims[-1]: self.name}).values

    def _variables(self, group: str, sampled: int) -> tuple[xr.Dataset, np.ndarray]:
        """Return parameters and what is derived of them, and the vectors; so many dims are those of draws."""
        dataset = self.tree[group].to_dataset()
        before = (trees.SAMPLE,) if sampled == 1 else ("chain", "draw")
        variables: dict[str, np.ndarray] = {}
        for parameter, (position, place) in zip(self.own.parameters, self.one.sources, strict=True):
            values = dataset[self.graph.names[position]].values
            variables[parameter.name] = values if place is None else np.take(values, place, axis=sampled)
        batch = next(iter(variables.values())).shape[:sampled]
        vectors = np.concatenate([values.reshape(*batch, -1) for values in variables.values()], axis=-1)
        with np.errstate(all="ignore"):
            for path, derived in self.own.derived:
                variables[".".join(path)] = self.own.derived_values(derived, vectors)
        for key, values in self._own_variables(dataset, sampled):
            variables.setdefault(key, values)
        coords = {dim: dataset[dim] for dim in before if dim in dataset.coords}
        return _dataset(variables, before, coords), vectors

    def _own_variables(self, dataset: xr.Dataset, sampled: int) -> Iterator[tuple[str, np.ndarray]]:
        """Yield what is of this data set, by its own names."""
        dims: Mapping[str, Any] = {
            str(name): array.dims[sampled:]
            for name, array in dataset.data_vars.items()
            if name not in self.known and name != trees.FACTOR_LOG_LIKELIHOOD
        }
        for variable, (key, place) in of_factor(self.graph.layout, self.name, dims).items():  # type: ignore[arg-type]
            values = dataset[variable].values
            yield key, values if place is None else np.take(values, place, axis=sampled)

    def _data(self, group: str) -> xr.Dataset:
        dataset = self.tree[group].to_dataset()
        before = () if group == trees.OBSERVED else ("chain", "draw")
        coords = {dim: dataset[dim] for dim in before}
        return _dataset(dict(self._own_variables(dataset, len(before))), before, coords)

    def _terms(self, attributes: Mapping[str, Any]) -> dict[str, xr.Dataset]:
        """Return the pointwise terms of this data set."""
        terms, counts = trees.pointwise_of(self.tree), dict(attributes.get("term_counts", ()))
        if terms is None or self.name not in counts:
            return {}
        names = list(counts)
        start = sum(counts[other] for other in names[: names.index(self.name)])
        taken = terms[..., start : start + counts[self.name]].drop_vars(trees.TERM, errors="ignore")
        return {trees.POINTWISE: xr.Dataset({"likelihood": taken})}

    def _saved(self) -> dict[str, xr.Dataset]:
        before = f"{self.name}."
        saved = {key: value for key, value in trees.saved_of(self.tree).items() if key.startswith(before)}
        own = {key.removeprefix(before): value for key, value in saved.items()}
        return {trees.SAVED: trees.saved_group(own)} if own else {}

    def _attributes(self, attributes: dict[str, Any]) -> dict[str, Any]:
        notices = [f"Of all data sets together: {notice}" for notice in attributes.get("notices", ())]
        if attributes.get("log_evidence") is not None:
            notices.append("The evidence is known of all data sets together alone.")
        hashes = attributes.get("data_hashes", {})
        left_out = ("data_hashes", "term_counts", "log_evidence", "log_evidence_error")
        kept = {name: value for name, value in attributes.items() if name not in left_out}
        return {
            **kept,
            "notices": notices,
            "log_evidence": None,
            "log_evidence_error": None,
            "data_hash": hashes.get(self.name),
            FACTOR: self.name,
            FACTORS: len(hashes),
        }


def _dataset(
    variables: Mapping[str, np.ndarray], before: tuple[str, ...], coords: Mapping[str, Any]
) -> xr.Dataset:
    return xr.Dataset(
        {
            name: ([*before, *axes_of(name, values.ndim - len(before))], values)
            for name, values in variables.items()
        },
        coords=coords,
    )
