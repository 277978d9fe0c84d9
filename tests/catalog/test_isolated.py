"""A stranger's files are read by a child that may do nothing else, and whose words are checked."""

import resource
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr
from builders import make_record, make_tree

from classy_pm.catalog import Aggregator, Catalog, DamagedFile, UntrustedFile, files, isolated
from classy_pm.errors import CatalogError, UnknownNameError


@pytest.fixture
def stored(catalog, location):
    tree = make_tree()
    tree["posterior"].attrs["limits"] = np.array([0.5, 1.5])
    catalog.file(make_record(), tree)
    return Catalog(location, untrusted=True).get(catalog.find(make_record().fit_key).fit_key)


def test_what_comes_back_is_what_was_filed(stored):
    here = files.read_tree(stored.path)
    there = stored.tree()
    xr.testing.assert_identical(there, here)
    for node, other in zip(there.subtree, here.subtree, strict=True):
        for name in other.to_dataset(inherit=False).variables:
            assert node[name].dtype == other[name].dtype
    there["posterior"]["profile.centre"].values[0, 0] = 1.0  # what comes back is the reader's own
    assert repr(stored.record) == repr(files.read_record(stored.path))
    np.testing.assert_array_equal(stored.variable("shift"), files.read_variable(stored.path, "shift"))
    with pytest.raises(UnknownNameError, match="Did you mean `shift`"):
        stored.variable("shfit")


def test_every_way_to_a_file_is_by_the_child(stored, location, monkeypatch):
    def here(*arguments):
        raise AssertionError("read in this process")

    for name in ("read_tree", "read_record", "read_variable"):
        monkeypatch.setattr(files, name, here)
    agg = Aggregator.from_database(location, untrusted=True)
    assert agg.catalog.read_only
    for name in ("idata", "record", "profile.centre"):
        assert len(list(agg.values(name))) == 1


def test_a_file_that_is_refused_is_refused_in_the_same_words(stored, tmp_path):
    with h5py.File(stored.path, "a") as file:
        file["posterior"]["x"] = h5py.ExternalLink("/etc/passwd", "/")
    with pytest.raises(DamagedFile, match="has changed since it was filed"):
        stored.tree()
    with pytest.raises(UntrustedFile, match="soft or external link"):
        isolated.read_tree(stored.path, files.sha256_of(stored.path))


def answer(monkeypatch, tmp_path, code):
    """Have the child say what a crafted file would like it to say."""
    script = tmp_path / "child.py"
    script.write_text(f"import os, sys, time\nout = sys.stdout.buffer\n{code}\n")
    popen = subprocess.Popen
    monkeypatch.setattr(
        isolated.subprocess,
        "Popen",
        lambda command, **options: popen([sys.executable, str(script)], **options),
    )


ANSWERS = {
    "nothing": "pass",
    "death": "os.kill(os.getpid(), 9)",
    "noise": "out.write(os.urandom(1000))",
    "no line": "out.write(b'x' * 20_000_000)",
    "a pickle": r"""out.write(b"cos\nsystem\n(S'touch marker'\ntR.")""",
    "objects": r"""out.write(b'{}\t[["|O",[1]]]\n' + bytes(8))""",
    "structures": r"""out.write(b'{}\t[["f8,f8",[1]]]\n' + bytes(16))""",
    "a class of objects": r"""out.write(b'{"error":"SystemExit"}\t[]\n')""",
    "too much": r"""out.write(b'{}\t[["<f8",[1000000,1000000]]]\n')""",
    "less than nothing": r"""out.write(b'{}\t[["<f8",[-1]]]\n')""",
    "too little": r"""out.write(b'{}\t[["<f8",[10]]]\n')""",
    "odd shapes": r"""out.write(b'{}\t[3, ["<f8", {"a": 1}]]\n')""",
    "no end": "time.sleep(60)",
    "deep": r"""out.write(b'[' * 1000 + b'\t[]\n')""",
    "no tree": r"""out.write(b'{"nodes":[{"path":"/","attributes":{},"variables":[[]]}]}\t[]\n')""",
    "no nodes": r"""out.write(b'{"nodes":3}\t[]\n')""",
}


@pytest.mark.parametrize("name", ANSWERS)
def test_whatever_the_child_says_is_an_error_of_our_own(stored, monkeypatch, tmp_path, name):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(isolated, "PATIENCE", 1)
    answer(monkeypatch, tmp_path, ANSWERS[name])
    for read in (stored.tree, lambda: stored.record, lambda: stored.variable("shift")):
        with pytest.raises(CatalogError):
            read()
        if name == "no end":
            break
    assert not Path("marker").exists()


CONFINED = """
import sys
from classy_pm.catalog import isolated
isolated.MEMORY = 2**28
with isolated._confined():
    try:
        open(sys.argv[1], "w").write("x" * 10_000)
    except OSError:
        print("no file")
try:
    with isolated._confined():
        bytearray(2**32)
except isolated.DamagedFile:
    print("no memory")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are Linux's")
def test_the_child_can_take_little_memory_and_write_no_file(tmp_path):
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 0
    command = [sys.executable, "-c", CONFINED, str(tmp_path / "x")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == "no file\nno memory\n", done.stderr
    assert (tmp_path / "x").read_text() == ""
