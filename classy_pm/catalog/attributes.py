"""Attributes of a tree as NetCDF can hold them: what it has no type for becomes JSON text."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np

from classy_pm.catalog.records import from_json, to_json
from classy_pm.errors import CatalogError

#: Begins a text that stands for a value which NetCDF has no type for.
MARK = "classy-json:"


def to_netcdf(attributes: Mapping[Hashable, Any], path: str = "") -> dict[str, Any]:
    """Return attributes in which dict, list, bool and None have become marked JSON texts.

    Examples
    --------
    >>> to_netcdf({"tuned": True, "draws": 500})
    {'tuned': 'classy-json:true', 'draws': 500}
    """
    place = path or "/"
    return {str(name): _encode(value, f"attribute {name} of {place}") for name, value in attributes.items()}


def from_netcdf(attributes: Mapping[Hashable, Any]) -> dict[str, Any]:
    """Return the attributes as they were before `to_netcdf`.

    Examples
    --------
    >>> from_netcdf(to_netcdf({"limits": [0, None], "name": "line"}))
    {'limits': [0, None], 'name': 'line'}
    """
    return {str(name): _decode(value) for name, value in attributes.items()}


def _encode(value: Any, path: str) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, str) and not value.startswith(MARK) and "\0" not in value:
        return value
    if isinstance(value, float) or (type(value) is int and abs(value) < 2**63):
        return value
    if isinstance(value, np.ndarray):
        if value.ndim == 1 and value.size > 1 and value.dtype.kind in "iuf":
            return value
        value = value.tolist()
    try:
        return MARK + to_json(value)
    except CatalogError as error:
        raise CatalogError(f"The {path} cannot be filed: {error.message}", cure=error.cure) from error


def _decode(value: Any) -> Any:
    if isinstance(value, str) and value.startswith(MARK):
        return from_json(value[len(MARK) :])
    return value.item() if isinstance(value, np.generic) else value
