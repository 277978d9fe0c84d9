"""What the catalogue is told of a fit."""

from __future__ import annotations

import dataclasses
import inspect
import json
import unicodedata
import uuid
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from classy_pm.catalog import (
    ComponentRecord,
    FitRecord,
    ParameterRecord,
    base_refs,
    check_manifest_size,
    class_ref,
    is_further_path,
)
from classy_pm.errors import ModelError
from classy_pm.model import REQUIRED, Node
from classy_pm.plan import Plan
from classy_pm.result import tree as trees
from classy_pm.search.identity import Identity

if TYPE_CHECKING:
    from classy_pm.search.base import Search

__all__ = ["check_size", "make_record"]

# No file can hold the digits of integers without end.
LARGEST_INTEGER = 2**1000
# Of a graph with more elements than this their numbers alone are in the index: a manifest has its limits.
MOST_NAMED = 1000
# So many characters the record of a parameter has at least.
FEWEST_CHARACTERS = 200


def check_size(model: Node, plan: Plan, identity: Identity) -> None:
    """Refuse a fit that has more to be kept beside its draws than a catalogue keeps, before it is run.

    Raises
    ------
    CatalogError
        If its model, its identity and its parameters alone are too much.
    """
    parts = (identity.description, _model_data(model))
    characters = sum(len(json.dumps(part)) for part in parts) + FEWEST_CHARACTERS * plan.size
    check_manifest_size(characters, plan.size)


def make_record(
    search: Search,
    model: Node,
    plan: Plan,
    identity: Identity,
    tree: xr.DataTree,
    info: dict[str, Any],
    seconds: float,
) -> FitRecord:
    """Gather a fit's row from its tree and from what went into it."""
    # A catalogue is asked for elements by their numbers.
    table, attributes = trees.table_of(tree, numbered=True), trees.attributes_of(tree)
    free = trees.free_rows(tree, table).values()
    log_likelihood = trees.drawn_vectors(tree).log_likelihood
    diverging = trees.stat_of(tree, trees.DIVERGING) if trees.has_stat(tree, trees.DIVERGING) else None
    return FitRecord(
        fit_key=identity.key,
        run_id=uuid.uuid4().hex,
        name=search.name,
        unique_tag=search.unique_tag or "",
        search=type(search).__name__,
        settings=identity.description["search"]["settings"],
        payload=identity.description,
        model=_model_data(model),
        components=tuple(
            ComponentRecord(".".join(path), class_ref(cls), base_refs(cls) if inspect.isclass(cls) else ())
            for path, cls in plan.layout.components
        ),
        parameters=(*_drawn(plan, tree, table), *_constants(plan)),
        aliases=_aliases(plan, tree, table),
        info=info,
        seconds=seconds,
        log_evidence=attributes["log_evidence"],
        log_evidence_error=attributes["log_evidence_error"],
        max_log_likelihood=float(np.max(log_likelihood)),
        divergences=None if diverging is None else int(np.sum(diverging)),
        max_rhat=_or_none(np.max([row["r_hat"] for row in free])),
        min_ess=_or_none(np.min([row["ess"] for row in free])),
        model_hash=identity.hashes["model"],
        data_hash=identity.hashes["data"],
        likelihood_hash=identity.hashes["likelihood"],
        search_hash=identity.hashes["search"],
        versions=attributes["versions"],
    )


def _model_data(model: Node) -> dict[str, Any]:
    """Return the model as plain data; empty where there is something in it that cannot be written so."""
    try:
        return model.to_dict()
    except ModelError:
        return {}


def _drawn(plan: Plan, tree: xr.DataTree, table: dict[str, dict[str, float]]) -> list[ParameterRecord]:
    """Return the records of free and derived parameters."""
    drawn = trees.drawn_vectors(tree)
    best = int(np.argmax(drawn.log_likelihood))
    most_probable = int(np.argmax(drawn.log_likelihood + drawn.log_prior))
    priors = {
        ".".join(path): repr(parameter.prior)
        for parameter in plan.parameters
        for path in parameter.element_paths()
    }
    scalars = trees.scalars_of(tree, numbered=True)
    records = []
    for name, row in table.items():
        values = scalars[name]
        records.append(
            ParameterRecord(
                path=name,
                role="free" if name in priors else "derived",
                prior=priors.get(name),
                mean=row["mean"],
                median=row["median"],
                sd=row["sd"],
                lo1=row["lower_1_sigma"],
                hi1=row["upper_1_sigma"],
                lo3=row["lower_3_sigma"],
                hi3=row["upper_3_sigma"],
                ml=float(values[best]),
                map=float(values[most_probable]),
                ess=row["ess"],
                rhat=row["r_hat"],
            )
        )
    return records


def _aliases(plan: Plan, tree: xr.DataTree, table: dict[str, dict[str, float]]) -> dict[str, str]:
    """Return the further paths at which free parameters stand, each with the first, which names it.

    Elements along the data sets of a graph have one with the name of theirs besides.
    """
    found = {}
    for parameter in plan.parameters:
        for path in parameter.paths[1:]:
            there = dataclasses.replace(parameter, paths=(path,))
            for first, other in zip(parameter.element_paths(), there.element_paths(), strict=True):
                found[".".join(other)] = ".".join(first)
    found |= _by_data_sets(tree)
    return {path: first for path, first in found.items() if first in table and path not in table}


def _by_data_sets(tree: xr.DataTree) -> dict[str, str]:
    """Return the names of elements by their data sets, each with the name by its number."""
    both = zip(trees.scalars_of(tree), trees.scalars_of(tree, numbered=True), strict=True)
    named = {
        name: number
        for name, number in both
        if name != number and is_further_path(name) and unicodedata.is_normalized("NFC", name)
    }
    return named if len(named) <= MOST_NAMED else {}


def _constants(plan: Plan) -> list[ParameterRecord]:
    """Return the records of fixed values: plain ones alone can be queried."""
    return [
        ParameterRecord(path=".".join(path), role="fixed", value=_plain(value))
        for path, value in plan.layout.constants
        if value is not REQUIRED and _can_be_queried(_plain(value))
    ]


def _can_be_queried(value: Any) -> bool:
    if isinstance(value, int):
        return abs(value) < LARGEST_INTEGER
    return isinstance(value, float | str | None)


def _plain(value: Any) -> Any:
    """Return a constant as a plain number, text, boolean or None, where it is one."""
    if isinstance(value, np.generic):
        return value.item()
    kind = next((kind for kind in (bool, int, float, str) if isinstance(value, kind)), None)
    return value if kind is None else kind(value)  # a member of an IntEnum is its number


def _or_none(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
