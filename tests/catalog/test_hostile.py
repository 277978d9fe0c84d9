"""Crafted catalogues, one or more for each line of the list in the README: nothing of theirs runs.

All of them are opened in every way by one process under an audit hook, `hostile.py`: it must import,
execute, connect and start nothing, open nothing outside of the folders it was given, and every error
must be one of our own.
"""

import json
import os
import pickle
import sqlite3
import subprocess
import sys
import zipfile
from pathlib import Path

import h5py
import netCDF4
import numpy as np
import pytest
from builders import make_key, make_record, make_tree

from classy_pm.catalog import Catalog, files, notes

from .test_security import ATTACKS, HOSTILE_STATEMENTS

#: A module that cannot have been imported, and that leaves a mark when it is.
EVIL = "evil_module_of_the_tests"


class Bomb:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return (os.system, (f"touch {self.marker}",))


def filed(folder, number=0, **changes):
    with Catalog(folder / "theirs.sqlite") as catalog:
        return catalog.file(make_record(number, **changes), make_tree(number))


def sql(folder, *statements):
    connection = sqlite3.connect(folder / "theirs.sqlite")
    connection.execute("PRAGMA ignore_check_constraints = ON")
    for statement, *values in statements:
        connection.execute(statement, values)
    connection.commit()
    connection.close()


def own_hash(folder, stored):
    """Make the index vouch for the file as it is now."""
    nbytes, sha256 = stored.path.stat().st_size, files.sha256_of(stored.path)
    sql(folder, ("UPDATE fit SET sha256 = ?, nbytes = ? WHERE fit_key = ?", sha256, nbytes, stored.fit_key))


def with_manifest(folder, change):
    """Write another manifest into a file, as only an attacker can."""
    stored = filed(folder)
    with netCDF4.Dataset(stored.path, "a") as dataset:
        dataset.setncattr_string("classy_manifest", change(dataset.classy_manifest))
    own_hash(folder, stored)


def changed(**fields):
    return lambda text: json.dumps(json.loads(text) | fields)


def pickles(folder, marker):  # 1
    bomb = pickle.dumps(Bomb(marker), protocol=0).decode()
    stored = filed(folder, info={"a": bomb}, extra={"py/object": bomb}, name=bomb[:100])
    with netCDF4.Dataset(stored.path, "a") as dataset:
        dataset["posterior"].pickled = f"classy-json:{json.dumps({'py/reduce': bomb})}"
        dataset["posterior"].bare = bomb
    own_hash(folder, stored)
    with notes.path_in(stored.catalog.layout.files).open("wb") as stream:
        stream.write(pickle.dumps(Bomb(marker)))
    (stored.catalog.layout.files / "failed").mkdir()
    (stored.catalog.layout.files / "failed" / f"{make_key(1)}.json").write_bytes(pickle.dumps(Bomb(marker)))


def opaque_objects(folder, marker):  # 1
    stored = filed(folder)
    with h5py.File(stored.path, "a") as file:
        file["posterior"].create_dataset("x", data=np.void(pickle.dumps(Bomb(marker))))
    own_hash(folder, stored)


def class_names(folder, marker):  # 2
    model = {
        "format": "classy-model-1",
        "root": {
            "id": 0,
            "type": "model",
            "class": "subprocess:Popen",
            "extras": [],
            "assertions": [],
            "children": [
                ["args", f"touch {marker}"],
                ["shell", True],
                ["other", {"type": "instance", "class": f"{EVIL}:Evil", "attributes": [["a", 1]]}],
            ],
        },
    }
    components = [("profile", f"{EVIL}:Evil", ("subprocess:Popen", "os:system"))]
    filed(folder, components=components, model=model, search=f"{EVIL}:Search", versions={EVIL: "1"})


def stored_paths(folder, marker):  # 3
    filed(folder)
    filed(folder, 1)
    (Path(marker).parent / "secret.nc").write_bytes(b"secret")
    sql(
        folder,
        ("UPDATE fit SET run_id = ? WHERE id = 1", f"../../../../{Path(marker).parent.name}/secret"),
        ("UPDATE fit SET run_id = ? WHERE id = 2", "\0"),
    )


def links(folder, marker):  # 3
    outside = Path(marker).parent / "outside.nc"
    stored = filed(folder)
    stored.path.rename(outside)
    stored.path.symlink_to(outside)
    other = filed(folder, 1)
    target = Path(marker).parent / "outside_folder"
    other.path.parent.rename(target)
    other.path.parent.symlink_to(target)
    (stored.catalog.layout.files / "notes.jsonl").symlink_to(outside)
    (stored.catalog.layout.files / "output").symlink_to("/etc")


def zarr_stores(folder, marker):  # 5
    stored = filed(folder)
    stored.path.unlink()
    stored.path.mkdir()
    filters = [{"id": "pickle"}]
    (stored.path / ".zarray").write_text(json.dumps({"zarr_format": 2, "dtype": "|O", "filters": filters}))
    (stored.path / "0").write_bytes(pickle.dumps(Bomb(marker)))


def texts(folder, marker):  # 7
    for number, text in enumerate(["'; DROP TABLE fit; --", "%_\\", '" OR ""="']):
        filed(folder, number, name=text, unique_tag=text, tags=(text,), info={text: text})


def parameter_names(folder, marker):  # 8
    path = "__class__.__init__.__globals__['os'].system"
    with_manifest(folder, changed(parameters=[{"path": path}], components=[["a\0b", "m:A", [], "1"]]))


def deep_json(folder, marker):  # 9
    with_manifest(folder, lambda text: '{"classy_format":1,"extra":' + "[" * 100_000 + "]" * 100_000 + "}")


def large_json(folder, marker):  # 9
    with_manifest(folder, lambda text: changed(extra={"a": "x" * 5_000_000})(text))


def odd_json(folder, marker):  # 9
    with_manifest(folder, changed(seconds="1", n_nonfinite=10**400, info=[1], grid_index={"$float": "nan"}))


def file_names_and_texts(folder, marker):  # 10, 11
    text = f"</td><script src=http://evil/></script>\x1b]0;evil\x07\u202e=HYPERLINK($(touch {marker}))"
    filed(
        folder, name=text, unique_tag=text, tags=(text,), info={text: f"`touch {marker}`", "u": "http://evil"}
    )


def archives(folder, marker):  # 12
    stored = filed(folder)
    with zipfile.ZipFile(folder / "theirs.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("../../out.nc", f"{marker}", "index.sqlite", "fits/ab/x.nc", "notes.jsonl/../../x"):
            archive.writestr(name, b"evil")
        name = f"fits/{stored.fit_key[:2]}/{stored.path.name}"
        link = zipfile.ZipInfo(name)
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
        bomb = f"fits/{make_key(1)[:2]}/{make_key(1)}-{'1' * 32}.nc"
        archive.writestr(bomb, bytes(50_000_000))
        archive.writestr("notes.jsonl", pickle.dumps(Bomb(marker)))


def later_format(folder, marker):  # 14
    with_manifest(folder, changed(classy_format=99))


def not_netcdf(folder, marker):  # 14
    stored = filed(folder)
    stored.path.write_bytes(b"\x89HDF\r\n\x1a\n" + pickle.dumps(Bomb(marker)) * 100)
    own_hash(folder, stored)


def not_sqlite(folder, marker):  # 14
    filed(folder)
    (folder / "theirs.sqlite").write_bytes(pickle.dumps(Bomb(marker)))


SCENARIOS = [
    *(pickles, opaque_objects, class_names, stored_paths, links, zarr_stores, texts, parameter_names),
    *(deep_json, large_json, odd_json, file_names_and_texts, archives, later_format, not_netcdf, not_sqlite),
]
#: What is refused for its size is so in `test_security`; here it would take half of the time.
SMALL = [attack for attack in ATTACKS if not attack.__name__.startswith("many_")]
NAMES = [
    *(scenario.__name__ for scenario in SCENARIOS),
    *(f"hdf5_{attack.__name__}" for attack in SMALL),  # 4
    *(f"sqlite_{number}" for number in range(len(HOSTILE_STATEMENTS))),  # 6
]


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    root, work = tmp_path_factory.mktemp("theirs"), tmp_path_factory.mktemp("mine")
    marker = tmp_path_factory.mktemp("marker") / "marker"
    (work / f"{EVIL}.py").write_text(f"open({str(marker)!r}, 'w')")
    for name in ("warm", *NAMES):
        (root / name).mkdir()
    filed(root / "warm")
    for scenario in SCENARIOS:
        scenario(root / scenario.__name__, str(marker))
    for attack in SMALL:
        folder = root / f"hdf5_{attack.__name__}"
        stored = filed(folder)
        with h5py.File(stored.path, "a") as file:
            secrets = marker.parent / attack.__name__
            secrets.mkdir()
            attack(file, secrets)
        own_hash(folder, stored)
    for number, statement in enumerate(HOSTILE_STATEMENTS):
        filed(root / f"sqlite_{number}")
        sql(root / f"sqlite_{number}", (statement,))
    script = Path(__file__).with_name("hostile.py")
    search = os.pathsep.join([str(script.parent), str(work)])
    done = subprocess.run(
        [sys.executable, str(script), str(root), str(work / "work")],
        env=os.environ | {"PYTHONPATH": search},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert not marker.exists()
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", NAMES)
def test_a_crafted_catalogue_runs_and_opens_nothing_of_its_maker_s_choice(told, name):
    assert told[name]["seen"] == []
    assert not [text for text in told[name]["told"] if text.startswith("FOREIGN")]


def test_the_hook_sees_what_it_should(told):
    """An ordinary catalogue is read in all these ways: what the others refuse, they refuse themselves."""
    warm = told["warm"]["told"]
    assert warm.count("") > 20
    assert told["warm"]["seen"] == []
