"""Opening somebody else's catalogue runs nothing of his and reads nothing of mine."""

import os
import socket
import sqlite3
import subprocess
import sys
import uuid
from pathlib import Path

import h5py
import netCDF4
import numpy as np
import pytest
import xarray as xr
from builders import make_key, make_record, make_tree
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import classy_pm as cpm
from classy_pm.catalog import (
    Aggregator,
    Catalog,
    DamagedFile,
    UntrustedFile,
    connections,
    files,
    filing,
    guard,
)
from classy_pm.catalog.connections import open_connection
from classy_pm.errors import CatalogError, ClassyError


def external_storage(file, folder):
    (folder / "secret").write_bytes(np.arange(4.0).tobytes())
    external = [(str(folder / "secret"), 0, 32)]
    file["posterior"].create_dataset("x", (4,), "f8", external=external)


def external_link(file, folder):
    with h5py.File(folder / "secret.h5", "w") as other:
        other["x"] = np.arange(4.0)
    file["posterior"]["x"] = h5py.ExternalLink(str(folder / "secret.h5"), "/x")


def soft_link(file, folder):
    file["posterior"]["x"] = h5py.SoftLink("/posterior")


def hard_link_cycle(file, folder):
    file["posterior"]["again"] = file["posterior"]


def virtual(file, folder):
    with h5py.File(folder / "secret.h5", "w") as other:
        other["x"] = np.arange(4.0)
    plan = h5py.VirtualLayout((4,), "f8")
    plan[:] = h5py.VirtualSource(str(folder / "secret.h5"), "x", (4,))
    file["posterior"].create_virtual_dataset("x", plan)


def committed_type(file, folder):
    file["posterior"]["kind"] = np.dtype("f8")


def compound(file, folder):
    file["posterior"]["x"] = np.zeros(3, [("a", "f8")])


def references(file, folder):
    file["posterior"].create_dataset("x", data=file.ref, dtype=h5py.ref_dtype)


def vlen_array(file, folder):
    file["posterior"].create_dataset("x", (1,), h5py.vlen_dtype("f8"))


def opaque_attribute(file, folder):
    file["posterior"].attrs["x"] = np.void(b"pickle")


def huge(file, folder):
    file["posterior"].create_dataset("x", (10**12,), "f8", chunks=(1000,))


def foreign_filter(file, folder):
    file["posterior"].create_dataset("x", (1000,), "f8", compression="lzf")


def many_objects(file, folder):
    group = file.create_group("many")
    for number in range(guard.MOST_OBJECTS + 1):
        group.create_group(str(number))


def many_attributes(file, folder):
    group = file.create_group("many", track_order=True)
    for number in range(guard.MOST_ATTRIBUTES + 1):
        group.attrs[str(number)] = 1


ATTACKS = [
    external_storage,
    external_link,
    soft_link,
    hard_link_cycle,
    virtual,
    committed_type,
    compound,
    references,
    vlen_array,
    opaque_attribute,
    huge,
    foreign_filter,
    many_objects,
    many_attributes,
]


@pytest.fixture
def stored(catalog):
    return catalog.file(make_record(), make_tree())


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_a_crafted_file_is_refused_and_set_aside(catalog, stored, location, tmp_path, attack):
    location.unlink()  # no index, no hash: the file is all there is
    with h5py.File(stored.path, "a") as file:
        attack(file, tmp_path)
    for read in (files.read_tree, files.read_record):
        with pytest.raises(UntrustedFile, match="refused"):
            read(stored.path)
    assert catalog.find(stored.fit_key) is None
    assert not stored.path.exists()
    with pytest.raises(CatalogError, match="no fit"):
        catalog.rebuild()


@pytest.mark.parametrize("attack", [external_storage, virtual])
def test_a_crafted_file_with_a_crafted_index_is_refused_too(catalog, stored, location, tmp_path, attack):
    with h5py.File(stored.path, "a") as file:
        attack(file, tmp_path)
    connection = sqlite3.connect(location)
    connection.execute(
        "UPDATE fit SET sha256 = ?, nbytes = ?", (files.sha256_of(stored.path), stored.path.stat().st_size)
    )
    connection.commit()
    connection.close()
    fit = Aggregator.from_database(location, read_only=True)[0]
    for read in (fit.tree, lambda: fit.record, lambda: list(Aggregator(catalog).values("profile.centre"))):
        with pytest.raises(UntrustedFile):
            read()


def test_our_own_files_pass_the_guard(catalog, stored):
    guard.check(stored.path, inside=catalog.layout.files)
    large = make_tree(draws=2000)
    constant = (("chain", "draw"), np.zeros((2, 2000)))
    large["posterior"].dataset = large["posterior"].to_dataset().assign(constant=constant)
    guard.check(catalog.file(make_record(1), large).path)
    empty = xr.DataTree.from_dict({"posterior": xr.Dataset()})
    guard.check(catalog.file(make_record(2), empty).path)


def test_a_link_in_place_of_a_file_is_refused(catalog, stored, location, tmp_path):
    target = stored.path.rename(tmp_path / "elsewhere.nc")
    stored.path.symlink_to(target)
    location.unlink()
    with pytest.raises(UntrustedFile, match="regular file"):
        files.read_tree(stored.path)
    folder = stored.path.parent
    stored.path.unlink()
    folder.rename(tmp_path / "folder")
    folder.symlink_to(tmp_path / "folder")
    target.rename(tmp_path / "folder" / stored.path.name)
    with pytest.raises(UntrustedFile, match="outside"):
        files.read_tree(stored.path)


@pytest.mark.parametrize("run_id", ["../../../../etc/passwd", "http://evil/x", "1" * 31 + "/", "", "\0"])
def test_no_stored_path_is_ever_resolved(catalog, stored, location, run_id):
    connection = sqlite3.connect(location)
    connection.execute("PRAGMA ignore_check_constraints = ON")
    connection.execute("UPDATE fit SET run_id = ?", (run_id,))
    connection.commit()
    connection.close()
    (fit,) = Catalog(location, read_only=True)
    with pytest.raises(UntrustedFile, match="not the keys of a fit"):
        fit.tree()


HOSTILE_STATEMENTS = [
    "CREATE TRIGGER t AFTER INSERT ON fit BEGIN DELETE FROM fit; END",
    "CREATE VIEW w AS SELECT * FROM fit",
    "CREATE TABLE extra (a)",
    "CREATE INDEX extra ON fit (lower(name))",
    "ALTER TABLE fit ADD COLUMN extra TEXT",
    "DROP INDEX fit_created",
    "DROP VIEW fits",
]


@pytest.mark.parametrize("statement", HOSTILE_STATEMENTS)
def test_a_database_with_anything_else_in_it_is_refused(stored, location, statement):
    connection = sqlite3.connect(location)
    connection.execute(statement)
    connection.close()
    for read_only in (True, False):
        with pytest.raises(UntrustedFile, match="tables of a catalogue"):
            len(Catalog(location, read_only=read_only))
    with pytest.raises(UntrustedFile):
        Catalog(location).check_writable()


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM fit",
        "ATTACH 'other.sqlite' AS other",
        "PRAGMA journal_mode = DELETE",
        "PRAGMA writable_schema = ON",
        "SELECT load_extension('x')",
        "SELECT readfile('/etc/passwd')",
        "SELECT randomblob(10)",
        "CREATE TEMP TABLE t (a)",
        "VACUUM INTO 'x'",
        "SELECT * FROM fits",
    ],
)
def test_a_reading_connection_only_reads(stored, location, statement):
    connection = open_connection(f"file:{location}?mode=rw", reading=True)
    try:
        with pytest.raises(sqlite3.Error):
            connection.execute(statement).fetchall()
    finally:
        connection.close()


def test_a_stored_class_name_stays_a_text(catalog):
    record = make_record(components=[("profile", "subprocess:Popen", ("os:system",))])
    stored = catalog.file(record, make_tree())
    assert stored.record.components[0].class_ref == "subprocess:Popen"
    agg = Aggregator(catalog)
    assert len(agg.query(agg.profile.exists())) == 1


def snapshot(folder):
    return {
        path: (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else None)
        for path in [folder, *folder.rglob("*")]
    }


def leave_log(location):
    """Leave a log beside the database, as a process does that is killed; returns a writer's result."""
    code = (
        "import sqlite3, os, sys; c = sqlite3.connect(sys.argv[1]);"
        "c.execute(\"UPDATE fit SET name = 'from the log'\"); c.commit(); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", code, str(location)], check=True)
    assert Path(f"{location}-wal").stat().st_size > 0


@pytest.mark.parametrize("log", ["absent", "present", "stale"])
def test_reading_only_writes_nothing_at_all(catalog, location, log):
    for number in range(3):
        catalog.file(make_record(number), make_tree(number))
    if log != "absent":
        leave_log(location)
    if log == "stale":
        Path(f"{location}-shm").unlink(missing_ok=True)
    (catalog.layout.pending / f"{make_key(9)}-{'1' * 32}.elsewhere.0-1.1.part").write_bytes(b"")
    before = snapshot(location.parent)
    with Catalog(location, read_only=True) as reading:
        agg = Aggregator(reading)
        assert {fit.name for fit in agg} == {"line" if log == "absent" else "from the log"}
        for fit in agg:
            xr.testing.assert_identical(fit.tree(), make_tree(fit.info["index"]))
        assert reading.find(make_key(5)) is None
        for use in (
            lambda: reading.file(make_record(7), make_tree()),
            reading.check_writable,
            reading.recover,
            reading.verify,
            reading.rebuild,
            lambda: reading.claim(make_key(7)).__enter__(),
        ):
            with pytest.raises(CatalogError, match="read_only"):
                use()
    assert snapshot(location.parent) == before


def test_a_reader_sees_what_is_filed_while_it_reads(catalog, location):
    catalog.file(make_record(0), make_tree())
    reading = Catalog(location, read_only=True)
    assert len(reading) == 1
    catalog.file(make_record(1), make_tree())
    assert len(reading) == 2


def test_reading_only_needs_a_catalogue(location):
    with pytest.raises(CatalogError, match="no catalogue"):
        len(Catalog(location, read_only=True))


def test_pickled_and_object_arrays_have_no_way_in():
    source = "".join(path.read_text() for path in Path(guard.__file__).parent.rglob("*.py"))
    words = [
        *("import pickle", "pickle.load", "cloudpickle", "jsonpickle", "import dill", "import marshal"),
        *("eval(", "exec(", "yaml.load", "import_module", "__import__", "shelve"),
        *("allow_pickle", "np.load", "open_zarr", "import zarr", "extractall", "urlopen", "os.system"),
    ]
    assert not [word for word in words if word in source]


def test_a_classic_netcdf_file_is_no_fit(tmp_path):
    with netCDF4.Dataset(tmp_path / "x.nc", "w", format="NETCDF3_CLASSIC") as dataset:
        dataset.classy_manifest = make_record().to_manifest()
    with pytest.raises(DamagedFile):
        files.read_record(tmp_path / "x.nc")


@pytest.mark.parametrize("seed", range(3))
def test_random_damage_to_a_file_without_hash_is_an_error_of_our_own_or_harmless(catalog, stored, seed):
    """Without a trusted hash a changed file may read; it must not crash the process."""
    good = stored.path.read_bytes()
    rng = np.random.default_rng(seed)
    for _ in range(20):
        data = bytearray(good)
        data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
        stored.path.write_bytes(data)
        try:
            guard.check(stored.path)
        except ClassyError:
            continue
    os.sync()


def test_a_query_that_a_crafted_database_makes_endless_is_stopped(stored, location, monkeypatch):
    monkeypatch.setattr(connections, "LONGEST_QUERY", 0.2)
    connection = open_connection(f"file:{location}?mode=rw", reading=True)
    try:
        many = ", ".join(f"parameter AS p{number}" for number in range(20))
        with pytest.raises(sqlite3.OperationalError, match="interrupted"):
            connection.execute(f"SELECT count(*) FROM {many}").fetchall()
    finally:
        connection.close()


ODD = "'\"\\%_;-*?[]{}()|&\n\t \u202e\u200b\u0430\u0131\u0130Ssé"
HOSTILE = st.text(st.sampled_from(ODD) | st.characters(exclude_categories=["Cs"]), max_size=30)
HOSTILE = HOSTILE.filter(lambda text: "\0" not in text)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=HOSTILE, other=HOSTILE)
@example(text="%", other="anything")
@example(text="_", other="a")
@example(text="x' OR '1'='1", other="x")
@example(text="a" * 10_000, other="a" * 10_001)
def test_whatever_is_asked_for_is_a_value(tmp_path, text, other):
    """Property: a text finds what is equal to it, contains it or begins with it, and nothing else."""
    with Catalog(tmp_path / f"{uuid.uuid4().hex}.sqlite") as catalog:
        values = sorted({text, other})
        for number, value in enumerate(values):
            record = make_record(number, name=value, unique_tag=value, tags=(value,), info={"note": value})
            filing.enter(catalog.database, catalog.layout, record, files.Written(Path("x"), "0" * 64, 1))
        agg = Aggregator(catalog)

        def found(condition):
            return [fit.name for fit in agg.query(condition)]

        for places in (agg.search.name, agg.search.unique_tag, agg.info["note"]):
            assert found(places == text) == [text]
            assert found(places != text) == [value for value in values if value != text]
            assert found(places.in_([text])) == [text]
            assert found(places.contains(text)) == [v for v in values if lower(text) in lower(v)]
        assert found(agg.search.name.startswith(text)) == [
            v for v in values if lower(v).startswith(lower(text))
        ]
        assert found(agg.tagged(text)) == [text]


def lower(text):
    """As sqlite's LIKE does: of ASCII letters alone."""
    return "".join(letter.lower() if letter.isascii() else letter for letter in text)


def test_a_file_tells_nothing_of_the_machine(tmp_path, monkeypatch):
    """Neither folders nor the environment nor the host are in what one hands to a colleague."""
    monkeypatch.setenv("SECRET_TOKEN", "hunter2-in-the-environment")
    monkeypatch.chdir(tmp_path)

    class Analysis(cpm.Analysis):
        def log_likelihood_function(self, instance):
            return -0.5 * instance.x**2

    model = cpm.Collection(x=cpm.GaussianPrior(0.0, 1.0))
    search = cpm.Emcee(nwalkers=8, nsteps=20, random_seed=1)
    with Catalog(tmp_path / "fits.sqlite") as catalog:
        search.fit(model, Analysis(), catalog=catalog)
        (stored,) = catalog
        tree = stored.tree()
        words = [stored.record.to_manifest(), *(repr(node.attrs) for node in tree.subtree)]
        text = "".join(words)
    for secret in (str(Path.home()), str(tmp_path), "hunter2"):
        assert secret not in text
    assert len(socket.gethostname()) < 4 or socket.gethostname() not in text
