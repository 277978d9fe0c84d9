"""One fit, one NetCDF file: written under another name, verified, flushed, and then renamed.

A file that has its name is complete. Reading checks the sha256 first, so that damage is an error
and never a slightly different number.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import shutil
import tempfile
import warnings
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from classy_pm.catalog import attributes, guard
from classy_pm.catalog.faults import DamagedFile, DiskFullError, reach
from classy_pm.catalog.guard import MANIFEST, hdf5_lock
from classy_pm.catalog.layout import Layout, flush_folder, make_folder, unwritable
from classy_pm.catalog.records import FitRecord, check_manifest_size, largest_manifest
from classy_pm.errors import CatalogError, ClassyError, UnknownNameError, did_you_mean

POSTERIOR = "posterior"
#: A little room that must be left over before a failed write is not blamed on a full disk.
MARGIN = 1 << 20
#: Arrays that become smaller than this share of themselves are compressed; so many numbers are tried.
WORTH_COMPRESSING, SAMPLE = 0.5, 4096
SMALLER = {"zlib": True, "complevel": 1, "shuffle": True}
#: Of others there is a checksum, as zlib has one: a file that is brought here from elsewhere may be damaged.
CHECKED = {"fletcher32": True}
#: Hashes of files that this process has written, or whose structure it has looked at.
_known: set[str] = set()


class Written(NamedTuple):
    """A file that has been filed: where, its hash, and its size in bytes."""

    path: Path
    sha256: str
    nbytes: int


def write_fit(layout: Layout, record: FitRecord, tree: xr.DataTree) -> Written:
    """File a tree with its record, so that after a return it survives a power cut.

    Its part in the folder `pending` stays, for the caller to remove when the row is there.

    Raises
    ------
    DiskFullError
        If there is no room. As for every other error, nothing is left of the file.
    CatalogError
        If the tree holds something that NetCDF cannot, or reads back differently.
    """
    (written,) = finish_parts(layout, [(record, write_part(layout, record, tree))])
    return written


def write_part(layout: Layout, record: FitRecord, tree: xr.DataTree) -> Path:
    """Write a tree with its record into the folder `pending`, and read it back; nothing is safe yet."""
    part = layout.part_path(record.fit_key, record.run_id)
    _write_checked(part, record, tree)
    return part


def pack(record: FitRecord, tree: xr.DataTree) -> bytes:
    """Return the contents of the file of a fit, for `write_packed` of another process."""
    with tempfile.TemporaryDirectory(prefix="classy_pm-") as folder:
        part = Path(folder) / "fit.nc"
        _write_checked(part, record, tree)
        return part.read_bytes()


def write_packed(layout: Layout, record: FitRecord, content: bytes) -> Path:
    """Write what `pack` has returned into the folder `pending`; nothing is safe yet."""
    part = layout.part_path(record.fit_key, record.run_id)
    make_folder(part.parent)
    try:
        with _write_errors(part, len(content)):
            part.write_bytes(content)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return part


def unpack(content: bytes) -> xr.DataTree:
    """Return the tree in what `pack` has returned."""
    with tempfile.TemporaryDirectory(prefix="classy_pm-") as folder:
        path = Path(folder) / "fit.nc"
        path.write_bytes(content)
        return _loaded(path)


def _write_checked(part: Path, record: FitRecord, tree: xr.DataTree) -> None:
    """Write a tree with its record to a path, and compare what reads back."""
    manifest = record.to_manifest()
    posterior = tree.children.get(POSTERIOR)
    check_manifest_size(len(manifest), 0 if posterior is None else _numbers_in(posterior.variables.values()))
    portable = portable_tree(tree)
    make_folder(part.parent)
    try:
        with _write_errors(part, portable.nbytes):
            part.touch()
            reach("created")
            _write(portable, part, manifest)
            reach("part written")
            with _opened(part, indexed=False) as back:
                if back.attrs.pop(MANIFEST, None) != manifest:
                    raise DamagedFile("The manifest reads back differently.")
                _compare(portable, back)
            reach("part verified")
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def finish_parts(layout: Layout, parts: Sequence[tuple[FitRecord, Path]]) -> list[Written]:
    """Flush parts and give them their names, so that they survive a power cut.

    Of many parts all are flushed before the first is named: a disk writes them in one go. If this
    fails, the parts are removed; files that have their names by then are found by `find` and `recover`.
    """
    finished = []
    try:
        with _write_errors(parts[0][1], 0):
            for _, part in parts:
                flush(part)
            reach("part flushed")
            for record, part in parts:
                path = layout.fit_path(record.fit_key, record.run_id)
                make_folder(path.parent)
                finished.append(Written(path, sha256_of(part), part.stat().st_size))
                _known.add(finished[-1].sha256)
                give_name(part, path)
            for folder in {written.path.parent for written in finished}:
                flush_folder(folder)
            reach("named")
    except BaseException:
        for _, part in parts:
            part.unlink(missing_ok=True)
        raise
    return finished


def read_tree(path: Path, sha256: str | None = None) -> xr.DataTree:
    """Return a filed tree, all in memory, with the file closed.

    Parameters
    ----------
    path : Path
        The file.
    sha256 : str, optional
        What the contents must hash to; checked before anything is read.
    """
    _check(path, sha256)
    with _read_errors(path):
        return _loaded(path)


def _loaded(path: Path) -> xr.DataTree:
    with _opened(path) as tree:
        tree.attrs.pop(MANIFEST, None)
        nodes = {}
        for node in tree.subtree:
            dataset = _plain_strings(node.to_dataset(inherit=False).load()).drop_encoding()
            dataset.attrs = attributes.from_netcdf(dataset.attrs)
            for variable in dataset.variables.values():
                variable.attrs = attributes.from_netcdf(variable.attrs)
            nodes[node.path] = dataset
        return xr.DataTree.from_dict(nodes)


def read_record(path: Path, sha256: str | None = None) -> FitRecord:
    """Return the record from the manifest of a file."""
    import netCDF4

    _check(path, sha256)
    with _read_errors(path), hdf5_lock, netCDF4.Dataset(os.fspath(path), "r") as dataset:
        if MANIFEST not in dataset.ncattrs():
            raise DamagedFile(f"{str(path)!r} is not the file of a fit: it has no manifest.")
        manifest = dataset.getncattr(MANIFEST)
        posterior = dataset.groups.get(POSTERIOR)
        numbers = 0 if posterior is None else _numbers_in(posterior.variables.values())
    if not isinstance(manifest, str):
        raise DamagedFile(f"{str(path)!r} is not the file of a fit: its manifest is not a text.")
    return FitRecord.from_manifest(manifest, longest=largest_manifest(numbers))


def _numbers_in(variables: Iterable[Any]) -> int:
    """Return how many numbers a draw has; of variables of xarray, or of a file."""
    total = 0
    for item in variables:
        dims = item.dims if isinstance(item, xr.Variable) else item.dimensions
        sizes = dict(zip(dims, item.shape, strict=True))
        total += math.prod(size for dim, size in sizes.items() if dim not in ("chain", "draw"))
    return total


def read_variable(path: Path, name: str, sha256: str | None = None) -> np.ndarray[Any, Any]:
    """Return the draws of one variable of the posterior, reading nothing else."""
    import netCDF4

    _check(path, sha256)
    with _read_errors(path), hdf5_lock, netCDF4.Dataset(os.fspath(path), "r") as dataset:
        dataset.set_auto_mask(False)
        variables = dataset[POSTERIOR].variables
        if name not in variables:
            raise UnknownNameError(
                f"The posterior of this fit has no `{name}`.", cure=did_you_mean(name, variables)
            )
        return np.asarray(variables[name][...])


def _check(path: Path, sha256: str | None) -> None:
    """Check that a file is what was filed, then that nothing in it points out of it."""
    if sha256 is not None:
        check_hash(path, sha256)
    if sha256 is None or sha256 not in _known:
        with _read_errors(path):
            guard.check(path, inside=path.absolute().parents[2])
        if sha256 is not None:
            _known.add(sha256)


def check_hash(path: Path, sha256: str) -> None:
    """Raise DamagedFile if a file is gone or its contents are not those that were filed."""
    try:
        found = sha256_of(path)
    except OSError as error:
        raise DamagedFile(f"The file of this fit cannot be read: {error}.") from error
    if found != sha256:
        raise DamagedFile(
            f"{str(path)!r} has changed since it was filed: its sha256 is {found[:12]}..., not "
            f"{sha256[:12]}...",
            cure="`verify()` moves it away; run the fit again, or bring the file back from a copy.",
        )


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file's contents."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def portable_tree(tree: xr.DataTree) -> xr.DataTree:
    """Return a tree as NetCDF can hold it, loaded and without leftover encodings.

    Raises
    ------
    CatalogError
        Naming every variable that cannot be filed.
    """
    nodes, faults = {}, []
    for node in tree.subtree:
        dataset = _plain_strings(node.to_dataset(inherit=False).load()).drop_encoding()
        dataset.attrs = attributes.to_netcdf(dataset.attrs, node.path)
        for name, variable in dataset.variables.items():
            variable.attrs = attributes.to_netcdf(variable.attrs, f"{node.path}.{name}")
            if variable.dtype.kind not in "biufmMSU" or variable.dtype == np.float16:
                faults.append(f"{node.path}/{name}: has dtype {variable.dtype}, which NetCDF cannot hold")
        labels = [node.name or "", *dataset.variables, *dataset.dims]
        faults += [
            f"{node.path}: {label!r} cannot be a name in NetCDF" for label in labels if not _fits(label)
        ]
        nodes[node.path] = dataset
    if faults:
        cure = "Convert it to real numbers or texts first."
        raise CatalogError("This result cannot be filed.", faults, cure=cure)
    return xr.DataTree.from_dict(nodes)


def _fits(label: object) -> bool:
    """Whether NetCDF keeps a name as it is; a NUL would cut it short without a word."""
    return (
        isinstance(label, str)
        and label == label.strip()
        and not set(label) & set("/\0")
        and len(label) <= 200
    )


def _plain_strings(dataset: xr.Dataset) -> xr.Dataset:
    """Return a dataset whose texts have NumPy's fixed-width type instead of Python objects."""
    dataset = dataset.copy()
    for name, variable in dataset.variables.items():
        objects = variable.dtype.kind in "OT"
        if objects and all(isinstance(item, str) for item in variable.values.ravel().tolist()):
            texts = variable.values.astype(str) if variable.size else np.empty(variable.shape, "U1")
            dataset = (
                dataset.assign_coords({name: (variable.dims, texts, variable.attrs)})
                if (name in dataset.coords)
                else dataset.assign({name: (variable.dims, texts, variable.attrs)})
            )
    return dataset


def _write(tree: xr.DataTree, part: Path, manifest: str) -> None:
    encoding = {
        node.path: {
            name: {**(SMALLER if _shrinks(variable.values) else CHECKED), "_FillValue": None}
            for name, variable in node.to_dataset(inherit=False).variables.items()
            if variable.dtype.kind in "biufmM" and variable.ndim and variable.size
        }
        for node in tree.subtree
    }
    tree = tree.copy()
    tree.attrs[MANIFEST] = manifest
    with hdf5_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree.to_netcdf(part, engine="netcdf4", encoding=encoding)


def _shrinks(values: np.ndarray[Any, Any]) -> bool:
    """Whether an array is worth compressing: numbers that are all different are not, and it takes long."""
    # Some of it from the middle tells; with the first bytes of all numbers together, as HDF5 has them.
    flat = values.reshape(-1)
    start = max(0, (flat.size - SAMPLE) // 2)
    sample = np.ascontiguousarray(flat[start : start + SAMPLE])
    shuffled = sample.view(np.uint8).reshape(sample.size, -1).T.tobytes()
    return len(zlib.compress(shuffled, 1)) < WORTH_COMPRESSING * len(shuffled)


@contextlib.contextmanager
def _opened(path: Path, *, indexed: bool = True) -> Iterator[xr.DataTree]:
    """Give the tree of a file; without indexes of its coordinates it takes half as long."""
    with (
        hdf5_lock,
        xr.open_datatree(path, engine="netcdf4", cache=False, create_default_indexes=indexed) as tree,
    ):
        yield tree


def _compare(wanted: xr.DataTree, found: xr.DataTree) -> None:
    """Raise if what was read back differs in groups, variables, types, values or attributes."""
    if [node.path for node in wanted.subtree] != [node.path for node in found.subtree]:
        raise DamagedFile("The groups read back differently.")
    for one, two in zip(wanted.subtree, found.subtree, strict=True):
        first, second = one.to_dataset(inherit=False), two.to_dataset(inherit=False)
        if set(first.variables) != set(second.variables) or set(first.coords) != set(second.coords):
            raise DamagedFile(f"The variables of {one.path} read back differently.")
        if first.attrs.keys() != second.attrs.keys():
            raise DamagedFile(f"The attributes of {one.path} read back differently.")
        for name, variable in first.variables.items():
            values = np.asarray(second.variables[name].values)
            values = values.astype(str) if values.dtype.kind in "OT" else values
            nan = variable.dtype.kind in "fcmM"
            same = variable.dims == second.variables[name].dims and variable.dtype.kind == values.dtype.kind
            if not (same and np.array_equal(variable.values, values, equal_nan=nan)):
                raise DamagedFile(f"{one.path}/{name} reads back differently.")


def give_name(part: Path, path: Path) -> None:
    """Give a finished file its name as a second one; the first stays until the row is there.

    So a part that a dead process left tells which fit has a file and perhaps no row, without a
    search of all files. Where a file cannot have two names it is renamed.
    """
    try:
        path.hardlink_to(part)
    except FileExistsError:
        raise
    except OSError:
        part.rename(path)


def flush(path: Path) -> None:
    """Make the contents of a file survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _write_errors(part: Path, nbytes: int) -> Iterator[None]:
    try:
        yield
    except CatalogError:
        raise
    except Exception as error:
        # netCDF4 reports a full disk as a lack of permission: ask the disk itself.
        free = shutil.disk_usage(part.parent).free
        if free < nbytes + MARGIN:
            raise DiskFullError(
                f"There is no room to file this fit: it needs up to {nbytes} bytes, and {free} are free "
                f"at {str(part.parent)!r}.",
                cure="Make room and run again; what is in the catalogue is unharmed.",
            ) from error
        if isinstance(error, OSError):
            raise unwritable(part.parent, error) from error
        raise CatalogError(f"This fit could not be filed: {type(error).__name__}: {error}.") from error


@contextlib.contextmanager
def _read_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except ClassyError:
        raise
    except Exception as error:
        raise DamagedFile(f"{str(path)!r} cannot be read: {type(error).__name__}: {error}.") from error
