"""Power cuts, full and read-only disks, and proof that the tests of recovery would see a naive commit."""

import contextlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import sqlalchemy as sa
import xarray as xr
from builders import make_key, make_record, make_tree

from classy_pm.catalog import Catalog, DiskFullError, faults, files, filing, rows, tables
from classy_pm.errors import CatalogError

# -- power cuts ---------------------------------------------------------------------------------


class Disk:
    """Knows what of a folder is certainly on the disk: contents and names that were flushed."""

    def __init__(self, monkeypatch, root):
        self.root, self.contents, self.names = root, set(), {}
        flush = os.fsync

        def fsync(descriptor):
            path = Path(f"/proc/self/fd/{descriptor}").readlink()
            if path.is_dir():
                self.names[path] = {item.name for item in path.iterdir()}
            else:
                self.contents.add(os.fstat(descriptor).st_ino)
            flush(descriptor)

        monkeypatch.setattr(os, "fsync", fsync)

    def cut(self, target, variant):
        """Copy the folder as it may be after a power cut at this moment."""
        shutil.copytree(self.root, target)
        if variant == "all is there":
            return
        for path in sorted(self.root.rglob("*"), reverse=True):
            copy = target / path.relative_to(self.root)
            in_files = any(parent.name.endswith(".files") for parent in path.parents)
            if variant == "the index has forgotten its last commit":
                if path.name.endswith("-wal"):
                    copy.unlink()
            elif path.is_file() and in_files and path.stat().st_ino not in self.contents:
                copy.write_bytes(bytes(path.stat().st_size) if variant == "contents are zero" else b"")
            if variant == "names are gone" and in_files and path.name not in self.names.get(path.parent, ()):
                shutil.rmtree(copy) if path.is_dir() else copy.unlink(missing_ok=True)


VARIANTS = [
    *("all is there", "contents are zero", "contents are missing", "names are gone"),
    "the index has forgotten its last commit",
]


@pytest.fixture(scope="module")
def cuts(tmp_path_factory):
    """One fit is filed beside another; the power is cut at every step, in every way."""
    root, target = tmp_path_factory.mktemp("disk"), tmp_path_factory.mktemp("cuts")
    with pytest.MonkeyPatch.context() as monkeypatch:
        disk = Disk(monkeypatch, root)
        catalog = Catalog(root / "c.sqlite")
        catalog.file(make_record(0), make_tree(0))

        def cut(step):
            for variant in VARIANTS:
                disk.cut(target / step / variant, variant)

        for module in (faults, files, filing, __import__("classy_pm.catalog.catalog", fromlist=["reach"])):
            monkeypatch.setattr(module, "reach", cut)
        with catalog.database.kept_open():  # so that the log is not emptied at each step
            catalog.file(make_record(1), make_tree(1))
            cut("acknowledged")
    return target


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("step", [*faults.STEPS, "acknowledged"])
def test_a_power_cut_loses_at_most_what_was_not_acknowledged(cuts, step, variant):
    catalog = Catalog(cuts / step / variant / "c.sqlite")
    if variant != "the index has forgotten its last commit":
        assert catalog.find(make_key(0)) is not None
    catalog.recover()
    xr.testing.assert_identical(catalog.find(make_key(0)).tree(), make_tree(0))
    found = catalog.find(make_key(1))
    if step in ("named", "in transaction", "committed", "part removed", "acknowledged"):
        assert found is not None
    if found is not None:
        xr.testing.assert_identical(found.tree(), make_tree(1))
    again = catalog.file(make_record(1), make_tree(1))
    xr.testing.assert_identical(again.tree(), make_tree(1))
    assert len(catalog) == 2
    assert len(list(catalog.layout.fits.rglob("*.nc"))) == 2
    report = catalog.verify()
    assert not (report.missing or report.damaged or report.adopted)


# -- recovery never destroys --------------------------------------------------------------------


def recover_before_the_commit(catalog):
    """File a fit while a recovery enters its file just before its own transaction does."""
    enter = filing.enter

    def late(database, place, record, written, **options):
        filing.enter = enter
        Catalog(catalog.location).recover()
        return enter(database, place, record, written, **options)

    filing.enter = late
    try:
        return catalog.file(make_record(), make_tree()).path.exists()
    finally:
        filing.enter = enter


def naive(writing, layout, finished, *, instead_of=None):
    """Take a row that somebody else has inserted for another run, as one would at first."""
    with writing() as connection:
        there = set(connection.execute(sa.select(tables.fit.c.fit_key)).scalars())
        rows.insert_fits(connection, finished)
    for record, written in finished:
        if record.fit_key in there:
            filing.set_aside(layout, written.path, "another run of this fit was filed first")
    return [record for record, _ in finished if record.fit_key not in there]


def test_a_commit_that_compared_no_runs_would_be_found_out(tmp_path, monkeypatch):
    assert recover_before_the_commit(Catalog(tmp_path / "ours.sqlite"))
    monkeypatch.setattr(filing, "enter_many", naive)
    assert not recover_before_the_commit(Catalog(tmp_path / "naive.sqlite"))


# -- full and read-only disks -------------------------------------------------------------------


@pytest.fixture
def disk(tmp_path):
    """A disk of 3 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a disk; a limit on the size of files stands for it elsewhere")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder, leave):
    """Fill a disk up to so many bytes."""
    with contextlib.suppress(OSError), (folder / "ballast").open("wb") as stream:
        size = shutil.disk_usage(folder).free - leave
        while size > 0:
            size -= stream.write(bytes(min(size, 1 << 16)))
            stream.flush()


@pytest.mark.parametrize("leave", [0, 4096, 20_000, 60_000, 100_000, 140_000, 200_000, 600_000])
def test_a_disk_that_is_full_at_any_step_is_a_clear_error_and_nothing_is_lost(disk, leave):
    catalog = Catalog(disk / "c.sqlite")
    catalog.file(make_record(0), make_tree(0))
    fill(disk, leave)
    large = make_tree(1, draws=1500)
    try:
        catalog.file(make_record(1), large)
        filed = True
    except DiskFullError as error:
        assert "room" in str(error)
        filed = False
    assert filed == (leave == 600_000)
    with Catalog(disk / "c.sqlite", read_only=True) as reading:  # else sqlite wants room beside the index
        assert [stored.info["index"] for stored in reading] == [0, 1][: 1 + filed]
        xr.testing.assert_identical(reading.find(make_key(0)).tree(), make_tree(0))
    # Where there was room for the file, and none for its row, the part that tells of it stays.
    finished = not filed and catalog.layout.runs_of(make_key(1))
    assert len(list(catalog.layout.pending.iterdir())) == len(finished or ())
    (disk / "ballast").unlink()
    xr.testing.assert_identical(catalog.file(make_record(1), large).tree(), large)
    assert len(catalog) == 2 and len(list(catalog.layout.fits.rglob("*.nc"))) == 2
    assert not catalog.verify()


def test_a_note_for_which_there_is_no_room_is_a_clear_error(disk):
    catalog = Catalog(disk / "c.sqlite")
    stored = catalog.file(make_record(0), make_tree(0))
    stored.note("a", 1)
    fill(disk, 0)
    with pytest.raises(CatalogError):
        stored.note("long", "x" * 100_000)
    with Catalog(disk / "c.sqlite", read_only=True) as reading:
        assert reading.find(stored.fit_key).info["a"] == 1
    (disk / "ballast").unlink()
    stored.note("b", 2)
    catalog.rebuild()
    assert {"a": 1, "b": 2}.items() <= catalog.find(stored.fit_key).info.items()


def test_a_read_only_disk_is_told_before_anything_runs_and_can_be_read(disk):
    with Catalog(disk / "c.sqlite") as catalog:
        stored = catalog.file(make_record(0), make_tree(0))
        stored.tag("a")
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    with pytest.raises(CatalogError, match="Nothing can be written at"):
        Catalog(disk / "c.sqlite").check_writable()
    with Catalog(disk / "c.sqlite", read_only=True) as catalog:
        (found,) = catalog
        xr.testing.assert_identical(found.tree(), make_tree(0))
        assert found.tags == ["a"] and catalog.failures() == []
        with pytest.raises(CatalogError, match="read_only"):
            found.tag("b")
