"""One file a fit: exact, closed after reading, refused when damaged, whole or not there."""

import errno
import gc
import shutil
from collections import namedtuple
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import xarray as xr
from builders import make_record, make_tree

from classy_pm.catalog import Aggregator, DamagedFile, DiskFullError, ParameterRecord, files
from classy_pm.catalog.layout import Layout
from classy_pm.catalog.records import (
    LARGEST_MANIFEST,
    MOST_MANIFEST,
    check_manifest_size,
    largest_manifest,
)
from classy_pm.errors import CatalogError


@pytest.fixture
def layout(tmp_path):
    return Layout(tmp_path / "c.files")


def everything_under(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def descriptors():
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_tree_reads_back_as_it_was_filed(layout):
    tree = make_tree()
    written = files.write_fit(layout, make_record(), tree)
    back = files.read_tree(written.path, written.sha256)
    xr.testing.assert_identical(back, tree)
    for node, other in zip(back.subtree, tree.subtree, strict=True):
        for name in other.to_dataset(inherit=False).variables:
            assert node[name].dtype == other[name].dtype
            assert node[name].attrs == other[name].attrs
            assert not node[name].encoding


def test_filing_does_not_change_the_tree(layout):
    tree, same = make_tree(), make_tree()
    files.write_fit(layout, make_record(), tree)
    xr.testing.assert_identical(tree, same)
    assert "classy_manifest" not in tree.attrs


def test_a_tree_that_was_read_can_be_filed_again(layout):
    first = files.write_fit(layout, make_record(), make_tree())
    back = files.read_tree(first.path)
    second = files.write_fit(layout, make_record(), back)
    xr.testing.assert_identical(files.read_tree(second.path), back)


def test_the_file_is_closed_after_reading(layout):
    written = files.write_fit(layout, make_record(), make_tree())
    gc.collect()
    before = descriptors()
    tree = files.read_tree(written.path)
    files.read_record(written.path)
    assert descriptors() == before
    written.path.unlink()
    assert np.isfinite(tree["posterior"]["profile.centre"].values).all()


def test_a_large_manifest_is_kept_and_too_large_a_one_refused(layout):
    record = make_record(extra={"text": "x" * 1_000_000})
    written = files.write_fit(layout, record, make_tree())
    assert files.read_record(written.path).extra == record.extra
    with pytest.raises(CatalogError, match="at most"):
        files.write_fit(layout, make_record(extra={"text": "x" * 5_000_000}), make_tree())


def test_a_graph_of_thousands_of_data_sets_is_filed_found_and_read_again(catalog):
    """Its manifest is larger than one of a few parameters may be."""
    names = [f"object_{number}" for number in range(4000)]
    draws = np.random.default_rng(1).normal(size=(2, 3, len(names)))
    posterior = xr.Dataset(
        {"line.centre": (("chain", "draw", "dataset"), draws), "width": (("chain", "draw"), draws[..., 0])},
        coords={"dataset": names},
    )
    tree = xr.DataTree.from_dict({"/posterior": posterior})
    paths = ["width", *(f"line.centre[{number}]" for number in range(len(names)))]
    parameters = [ParameterRecord(path, prior="prior " * 180, median=1.0) for path in paths]
    record = make_record(parameters=parameters, components=())
    assert len(record.to_manifest()) > LARGEST_MANIFEST
    catalog.file(record, tree)
    stored = catalog.find(record.fit_key)
    assert stored.record == record
    xr.testing.assert_identical(stored.tree()["posterior"].to_dataset(), posterior)
    aggregator = Aggregator(catalog)
    for name in ("line.centre[object_3]", "line.centre[3]"):
        np.testing.assert_array_equal(next(aggregator.values(name)), draws[..., 3])
    assert len(aggregator.query(aggregator.line.centre[3].median > 0.5)) == 1


def test_a_manifest_is_large_for_many_numbers_alone(layout):
    """A stranger's file cannot have one of any size, however many numbers it says that it has."""
    with pytest.raises(CatalogError, match=str(largest_manifest(1))):
        check_manifest_size(largest_manifest(1) + 1, 1)
    with pytest.raises(CatalogError, match="at most"):
        check_manifest_size(MOST_MANIFEST + 1, 10**12)
    written = files.write_fit(layout, make_record(), make_tree())
    with netCDF4.Dataset(written.path, "a") as dataset:
        dataset.classy_manifest = make_record(extra={"text": "x" * 5_000_000}).to_manifest()
    with pytest.raises(CatalogError, match="larger"):
        files.read_record(written.path)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("complex", np.array([1j])),
        ("objects", np.array([object()], dtype=object)),
        ("half", np.zeros(1, np.float16)),
        ("nul\0", np.zeros(1)),
        (" blank", np.zeros(1)),
    ],
)
def test_what_netcdf_cannot_hold_is_refused_by_name(layout, name, values):
    tree = xr.DataTree.from_dict({"posterior": xr.Dataset()})
    tree["posterior"].dataset = xr.Dataset({name: ("x", values)})
    with pytest.raises(CatalogError, match="cannot be filed") as caught:
        files.write_fit(layout, make_record(), tree)
    assert repr(name)[1:-1].strip() in str(caught.value)
    assert everything_under(layout.files) == []


def test_an_attribute_that_is_no_plain_data_is_refused_by_path(layout):
    tree = xr.DataTree.from_dict({"posterior": xr.Dataset(attrs={"function": {"of": len}})})
    with pytest.raises(CatalogError, match=r"attribute function of /posterior.*of is a builtin"):
        files.write_fit(layout, make_record(), tree)


def test_damage_is_found_and_never_read(layout):
    """300 flipped bits, 60 truncations and 100 zeroed pages: an error each time."""
    written = files.write_fit(layout, make_record(), make_tree())
    good = written.path.read_bytes()
    rng = np.random.default_rng(0)
    for kind, times in [("flip", 300), ("cut", 60), ("zero", 100)]:
        for _ in range(times):
            data = bytearray(good)
            place = int(rng.integers(len(data)))
            if kind == "flip":
                data[place] ^= 1 << int(rng.integers(8))
            elif kind == "cut":
                del data[place:]
            else:
                data[place : place + 4096] = bytes(len(data[place : place + 4096]))
            if data == good:
                continue
            written.path.write_bytes(data)
            with pytest.raises(DamagedFile):
                files.read_tree(written.path, written.sha256)
    written.path.write_bytes(good)
    files.read_tree(written.path, written.sha256)


@pytest.mark.parametrize("content", [b"", b"not netcdf", b"\x89HDF\r\n\x1a\n" + bytes(100)])
def test_a_file_that_is_no_netcdf_is_damaged(tmp_path, content):
    path = tmp_path / "x.nc"
    path.write_bytes(content)
    for read in (files.read_tree, files.read_record):
        with pytest.raises(DamagedFile):
            read(path)


def test_a_netcdf_file_without_manifest_is_refused(tmp_path):
    make_tree()["observed_data"].to_netcdf(tmp_path / "x.nc", engine="netcdf4")
    with pytest.raises(DamagedFile, match="manifest"):
        files.read_record(tmp_path / "x.nc")


@pytest.mark.parametrize("step", ["_write", "_compare", "flush", "sha256_of", "flush_folder"])
@pytest.mark.parametrize("error", [OSError(errno.EIO, "broken"), KeyboardInterrupt()])
def test_no_part_is_left_whatever_fails(layout, monkeypatch, step, error):
    def fail(*arguments):
        raise error

    monkeypatch.setattr(files, step, fail)
    with pytest.raises((CatalogError, KeyboardInterrupt)):
        files.write_fit(layout, make_record(), make_tree())
    # Once it has its name a file is complete, and is kept.
    assert len(everything_under(layout.files)) == (step == "flush_folder")


def test_a_full_disk_is_named_with_the_bytes_needed(layout, monkeypatch):
    def fail(*arguments):
        raise PermissionError(13, "Permission denied")  # what netCDF4 makes of a full disk

    monkeypatch.setattr(files, "_write", fail)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(3_000_000, 2_999_000, 1000))
    with pytest.raises(DiskFullError, match=r"needs up to \d+ bytes, and 1000 are free"):
        files.write_fit(layout, make_record(), make_tree())
    assert everything_under(layout.files) == []


def test_a_file_that_reads_back_differently_is_not_filed(layout, monkeypatch):
    write = files._write

    def write_other(tree, part, manifest):
        write(files.portable_tree(make_tree(seed=1)), part, manifest)

    monkeypatch.setattr(files, "_write", write_other)
    with pytest.raises(DamagedFile, match="reads back differently"):
        files.write_fit(layout, make_record(), make_tree())
    assert everything_under(layout.files) == []
