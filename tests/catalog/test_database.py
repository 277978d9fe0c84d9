"""Versions, old files, full disks, network file systems."""

import resource
import shutil
import signal
import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa
import xarray as xr
from builders import make_key, make_record, make_tree

from classy_pm.catalog import (
    Aggregator,
    Catalog,
    CatalogVersionError,
    DiskFullError,
    ParameterRecord,
    connections,
    migrations,
    rows,
    tables,
)
from classy_pm.catalog.records import to_json
from classy_pm.errors import CatalogError

from .test_recovery import dump

FIXTURES = Path(__file__).parent / "fixtures"


@pytest.fixture
def old(tmp_path):
    shutil.copytree(FIXTURES / "schema_1", tmp_path / "old")
    return tmp_path / "old" / "survey.sqlite"


def test_a_catalogue_of_schema_1_and_format_1_can_be_read(old):
    with Catalog(old) as catalog:
        assert [stored.unique_tag for stored in catalog] == ["object_0", "object_1"]
        for number, stored in enumerate(catalog):
            xr.testing.assert_identical(stored.tree(), make_tree(number, draws=5))
            assert stored.record.tags == ("fixture",)
        agg = Aggregator(catalog)
        assert len(agg.query(agg.profile.centre == 1.0)) == 2
        assert not catalog.verify()


def test_the_keys_in_the_fixture_are_those_of_today(old):
    assert {stored.fit_key for stored in Catalog(old)} == {make_key(0), make_key(1)}


@pytest.fixture
def next_schema(monkeypatch):
    """Pretend that the next version has a table more."""

    def add_table(connection):
        connection.exec_driver_sql("CREATE TABLE later (a INTEGER) STRICT")

    expected = tables.expected_contents()
    monkeypatch.setattr(migrations, "STEPS", {**migrations.STEPS, tables.SCHEMA_VERSION: add_table})
    monkeypatch.setattr(tables, "SCHEMA_VERSION", tables.SCHEMA_VERSION + 1)
    monkeypatch.setattr(
        tables,
        "expected_contents",
        lambda: sorted([*expected, ("table", "later", "later")], key=repr),
    )


def version_of(path):
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return connection.execute("PRAGMA user_version").fetchone()[0]
    finally:
        connection.close()


def test_an_older_catalogue_is_brought_up_to_date_after_a_backup(old, next_schema):
    assert len(Catalog(old)) == 2
    assert version_of(old) == tables.SCHEMA_VERSION
    assert version_of(old.with_name("survey.sqlite.schema-1.backup")) == 1
    Catalog(old).file(make_record(7), make_tree())
    assert len(Catalog(old)) == 3


def test_an_older_catalogue_that_is_only_read_is_not_changed(old, next_schema):
    before = old.read_bytes()
    with Catalog(old, read_only=True) as catalog:
        assert len(catalog) == 2
        assert len(list(catalog)) == 2
    assert old.read_bytes() == before
    assert sorted(path.name for path in old.parent.iterdir()) == ["survey.files", "survey.sqlite"]


def test_a_migration_that_fails_changes_nothing(old, next_schema, monkeypatch):
    def fail(connection):
        connection.exec_driver_sql("CREATE TABLE later (a INTEGER) STRICT")
        raise RuntimeError("a bug")

    monkeypatch.setattr(migrations, "STEPS", {1: fail})
    with pytest.raises(RuntimeError, match="a bug"):
        len(Catalog(old))
    assert version_of(old) == 1
    monkeypatch.undo()
    assert len(Catalog(old)) == 2


def test_a_schema_without_a_way_is_refused_in_words(old, next_schema, monkeypatch):
    monkeypatch.setattr(migrations, "STEPS", {})
    with pytest.raises(CatalogVersionError, match="rebuild"):
        len(Catalog(old))


def test_a_disk_that_is_full_is_told_and_loses_nothing(catalog, location):
    """A limit on the size of files stands for a full disk, which a test cannot mount."""
    for number in range(3):
        catalog.file(make_record(number), make_tree(number))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        for limit in (1000, 8192, 20_000):
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
            with pytest.raises(CatalogError):
                catalog.file(make_record(10), make_tree(10, draws=5000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert len(catalog) == 3
    assert len(list(catalog.layout.files.rglob("*.*"))) == 3
    stored = catalog.file(make_record(10), make_tree(10, draws=5000))
    xr.testing.assert_identical(stored.tree(), make_tree(10, draws=5000))
    assert not catalog.verify()


@pytest.mark.parametrize("reason", ["database or disk is full", "disk I/O error"])
def test_what_sqlite_says_of_a_full_disk_is_translated(catalog, monkeypatch, reason):
    def fail(*arguments):
        raise sa.exc.OperationalError("INSERT", None, sqlite3.OperationalError(reason))

    monkeypatch.setattr(rows, "insert_children", fail)
    with pytest.raises(DiskFullError, match="Make room"):
        catalog.file(make_record(), make_tree())


def test_a_network_file_system_gets_no_log_and_a_warning(location, monkeypatch):
    monkeypatch.setattr(connections, "is_network", lambda folder: True)
    with pytest.warns(UserWarning, match="network file system"):
        Catalog(location).file(make_record(), make_tree())
    connection = sqlite3.connect(location)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    connection.close()
    assert len(Catalog(location)) == 1


def test_the_kind_of_a_file_system_is_read_from_the_mounts(tmp_path, monkeypatch):
    assert not connections.is_network(tmp_path)
    lines = f"1 0 8:1 / / rw - ext4 /dev/a rw\n2 1 0:5 / {tmp_path} rw shared:1 - nfs4 host:/x rw\n"
    monkeypatch.setattr(Path, "read_text", lambda self: lines)
    assert connections.is_network(tmp_path / "deep" / "er")
    assert not connections.is_network(Path("/elsewhere"))


def test_anybody_can_look_at_the_index_with_any_tool(catalog, location):
    catalog.file(make_record(3, centre=2.5), make_tree())
    connection = sqlite3.connect(location)
    try:
        row = connection.execute("SELECT name, unique_tag, classes, medians, notes FROM fits").fetchone()
        assert row[:3] == ("line", "object_3", "profile: profiles:Gaussian")
        assert "profile.centre = 2.5" in row[3]
        assert "index = 3" in row[4]
        medians = connection.execute("SELECT path, median FROM parameters WHERE role = 'free'").fetchall()
        assert dict(medians) == {"profile.centre": 2.5, "profile.sigma": 5.0}
    finally:
        connection.close()


def test_nothing_is_left_open_or_beside_the_index(catalog, location):
    for number in range(3):
        catalog.file(make_record(number), make_tree(number))
    list(catalog)
    iterator = iter(catalog)
    next(iterator)
    handles = [path.readlink() for path in Path("/proc/self/fd").iterdir() if path.is_symlink()]
    assert not [handle for handle in handles if str(handle).startswith(str(location.parent))]
    assert sorted(path.name for path in location.parent.iterdir()) == ["catalog.files", "catalog.sqlite"]


def test_streaming_is_flat(catalog):
    """Neither descriptors nor memory grow with the number of results read."""
    for number in range(4):
        catalog.file(make_record(number), make_tree(number, draws=2000))

    def read_all(times):
        for _ in range(times):
            for stored in catalog:
                stored.tree()
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    before = read_all(10)
    assert read_all(40) - before < 20


def test_the_stored_summary_is_that_of_the_record(catalog):
    record = make_record()
    catalog.file(record, make_tree())
    with catalog.database.reading() as connection:
        query = sa.select(tables.parameter).order_by(tables.parameter.c.place)
        lines = connection.execute(query).mappings().all()
    assert [row["path"] for row in lines] == [item.path for item in record.parameters]
    for row, item in zip(lines, record.parameters, strict=True):
        if item.role == "fixed":
            number = item.value if isinstance(item.value, float) else None
            assert (row["median"], row["mean"], row["ml"], row["map"]) == (number,) * 4
            assert row["text"] == (item.value if isinstance(item.value, str) else None)
            continue
        for name in ("mean", "median", "sd", "lo3", "hi3", "ml", "ess"):
            assert row[name] == getattr(item, name)
        assert row["rhat"] is None, "neither what is not known nor what is not finite"


def test_an_older_index_gets_the_digits_of_large_integers_and_one_spelling_of_texts(old):
    connection = sqlite3.connect(old)
    number = 2**53 + 1
    apart = "cafe\u0301"
    with connection:
        connection.execute("UPDATE fit SET unique_tag = ?", (apart,))
        first, second = (row[0] for row in connection.execute("SELECT id FROM fit ORDER BY id"))
        row = (first, float(number), str(number))
        connection.execute("INSERT INTO info (fit_id, key, num, json) VALUES (?, 'id', ?, ?)", row)
        tags = [(first, apart), (first, "café"), (second, apart)]
        connection.executemany("INSERT INTO tag (fit_id, tag) VALUES (?, ?)", tags)
    connection.close()
    with Catalog(old) as catalog:
        assert {stored.unique_tag for stored in catalog} == {"café"}
        assert [stored.tags for stored in catalog] == [["café", "fixture"]] * 2
        with catalog.database.reading() as connection:
            exact = dict(connection.execute(sa.select(tables.info.c.key, tables.info.c.exact)).all())
        assert exact["id"] == str(number)
        assert set(exact.values()) == {None, str(number)}
        catalog.file(make_record(5, aliases={"b.centre": "profile.centre"}), make_tree())
    connection = sqlite3.connect(old)
    medians = connection.execute("SELECT medians FROM fits ORDER BY created").fetchall()[-1][0]
    roles = dict(connection.execute("SELECT path, role FROM parameters").fetchall())
    connection.close()
    assert "b.centre" not in medians and roles["b.centre"] == "shared"


def test_integers_are_kept_to_the_last_digit(catalog):
    number = 2**53 + 1
    values = enumerate([number, 2**53, 10**400])
    fixed = tuple(ParameterRecord(f"a.x{place}", role="fixed", value=value) for place, value in values)
    catalog.file(make_record(0, info={"id": number, "ok": 7}, parameters=fixed), make_tree())
    with catalog.database.reading() as connection:
        notes = connection.execute(sa.select(tables.info.c.key, tables.info.c.exact)).all()
        values = connection.execute(sa.select(tables.parameter.c.median, tables.parameter.c.exact)).all()
    assert dict(notes) == {"id": str(number), "ok": None}
    assert set(values) == {(2.0**53, None), (2.0**53, str(number)), (None, str(10**400))}


def test_a_note_of_an_older_index_under_two_spellings_of_a_key_is_kept_under_two_keys(old):
    composed, apart = "\u00e9", "e\u0301"
    connection = sqlite3.connect(old)
    with connection:
        (first,) = connection.execute("SELECT min(id) FROM fit").fetchone()
        lines = [
            (first, composed, 1.0, None, "1"),
            (first, apart, 2.0, None, "2"),
            (first, "t", None, apart, to_json(apart)),
            (first, "nested", None, None, to_json([{apart: 1, composed: 2}, "\\u"])),
        ]
        connection.executemany("INSERT INTO info VALUES (?, ?, ?, ?, ?)", lines)
    connection.close()
    with Catalog(old) as catalog:
        info = next(iter(catalog)).info
        assert (info[composed], info[f"{composed} (2)"], info["t"]) == (1, 2, composed)
        assert info["nested"] == [{composed: 2, f"{composed} (2)": 1}, "\\u"]
        agg = Aggregator(catalog)
        assert len(agg.query(agg.info["t"] == composed)) == 1
        assert apart not in info


@pytest.mark.parametrize("use", ["verify", "rebuild"])
def test_what_an_older_index_had_not_of_parameters_is_taken_from_the_files(
    catalog, location, use, monkeypatch
):
    number = 2**53 + 1
    fixed = ParameterRecord("a.id", role="fixed", value=number)
    catalog.file(
        make_record(0, aliases={"b.x": "a.x"}, parameters=(ParameterRecord("a.x"), fixed)), make_tree()
    )
    catalog.file(make_record(1), make_tree())
    before = dump(catalog)
    catalog.close()
    connection = sqlite3.connect(location)
    with connection:
        for view in tables.VIEWS:
            connection.execute(f"DROP VIEW {view}")
        for table in ("parameter", "info"):
            connection.execute(f"ALTER TABLE {table} DROP COLUMN exact")
        connection.execute("DELETE FROM parameter WHERE role = 'shared'")
        connection.execute("PRAGMA user_version = 1")
    connection.close()

    def marks(catalog):
        with catalog.database.reading() as connection:
            keys = connection.execute(sa.select(tables.meta.c.key)).scalars().all()
        return [key for key in keys if key == migrations.OLD_PARAMETERS]

    with Catalog(location) as again:
        assert len(again) == 2 and marks(again)
        assert dump(again) != before
        getattr(again, use)()
        assert dump(again) == before
        assert not marks(again)
