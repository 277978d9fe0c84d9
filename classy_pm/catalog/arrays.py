"""Arrays and labelled tables as exact, portable content for the identity."""

from __future__ import annotations

import hashlib
import sys
from typing import Any

import numpy as np

from classy_pm.errors import IdentityError

#: Elements hashed at a time, so that a large array is never copied whole.
CHUNK = 1 << 20


def digest(array: np.ndarray[Any, Any], path: str = "") -> tuple[str, str]:
    """Return an array's little-endian dtype and the sha256 of its elements in C order.

    All NaNs count as one, and -0.0 as 0.0, as they do for single floats.
    """
    if array.dtype.names is not None:
        parts = [(name, *digest(np.asarray(array[name]), f"{path}.{name}")) for name in array.dtype.names]
        dtype = ",".join(f"{name!r}:{text}" for name, text, _ in parts)
        return f"[{dtype}]", hashlib.sha256("".join(part[2] for part in parts).encode()).hexdigest()
    if array.dtype.kind not in "biufcmMSUV":
        raise IdentityError(f"{path or 'This array'} has dtype {array.dtype}, which has no identity.")
    dtype = array.dtype.newbyteorder("<")
    hasher = hashlib.sha256()
    if array.dtype.kind in "fc" and dtype.itemsize > (16 if array.dtype.kind == "c" else 8):
        # Extended precision has padding bytes of no value, and differs between machines: digits.
        for item in array.flat:
            hasher.update(f"{item!r};".encode())
        return dtype.str, hasher.hexdigest()
    flat = array.reshape(-1) if array.flags.c_contiguous else array.flat
    for start in range(0, array.size, CHUNK):
        part = np.asarray(flat[start : start + CHUNK])
        if part.dtype.kind in "fc":
            part = _one_nan(part)
        hasher.update(np.ascontiguousarray(part, dtype=dtype).tobytes())
    return dtype.str, hasher.hexdigest()


def _one_nan(part: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    part = part.copy()
    numbers = part.view(part.real.dtype)  # a complex element is two numbers
    numbers[np.isnan(numbers)] = np.nan
    numbers += 0.0
    return part


def labelled(value: object) -> tuple[str, dict[str, object]] | None:
    """Return the kind and content of an xarray or pandas object, or None for anything else.

    Attributes (`attrs`), names of files and encodings do not count.
    """
    # Looked up rather than imported: an object of a library can exist only if that is loaded.
    if "xarray" in sys.modules:
        found = _xarray_content(value)
        if found is not None:
            return found
    if "pandas" in sys.modules:
        return _pandas_content(value)
    return None


def _xarray_content(value: Any) -> tuple[str, dict[str, object]] | None:
    xr: Any = sys.modules["xarray"]
    if isinstance(value, xr.Variable):
        return "xarray.Variable", {"dims": value.dims, "values": value.values}
    if isinstance(value, xr.DataArray):
        coords = {str(name): coord.variable for name, coord in value.coords.items()}
        return "xarray.DataArray", {"name": value.name, "values": value.variable, "coords": coords}
    if isinstance(value, xr.Dataset):
        names = {str(name): variable for name, variable in value.variables.items()}
        return "xarray.Dataset", {"variables": names, "coords": sorted(map(str, value.coords))}
    if isinstance(value, xr.DataTree):
        return "xarray.DataTree", {node.path: node.to_dataset(inherit=False) for node in value.subtree}
    return None


def _pandas_content(value: Any) -> tuple[str, dict[str, object]] | None:
    pd: Any = sys.modules["pandas"]
    if value is pd.NaT or value is pd.NA:
        return "pandas.missing", {"name": repr(value)}
    if isinstance(value, pd.Timestamp):
        return "pandas.Timestamp", {"iso": value.isoformat(), "zone": str(value.tz)}
    if isinstance(value, pd.Timedelta):
        return "pandas.Timedelta", {"iso": value.isoformat()}
    if isinstance(value, pd.MultiIndex):
        levels = [value.get_level_values(level) for level in range(value.nlevels)]
        return "pandas.MultiIndex", {"names": list(value.names), "levels": levels}
    if isinstance(value, pd.Index | pd.Series):
        content: dict[str, object] = {"dtype": str(value.dtype), "name": value.name}
        if isinstance(value.dtype, pd.CategoricalDtype):
            content["categories"] = [value.dtype.categories.to_numpy(), value.dtype.ordered]
        content["values"] = value.to_numpy()
        if isinstance(value, pd.Series):
            content["index"] = value.index
        return f"pandas.{'Series' if isinstance(value, pd.Series) else 'Index'}", content
    if isinstance(value, pd.DataFrame):
        columns = [(name, value.iloc[:, place]) for place, name in enumerate(value.columns)]
        return "pandas.DataFrame", {"columns": columns, "index": value.index}
    return None
