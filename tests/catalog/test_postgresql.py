"""A catalogue in PostgreSQL keeps the promises of one in sqlite, on a server that these tests start.

The tests that are imported here run on PostgreSQL too, because `catalog` is another one here. What is
asked of fits is in `test_aggregator`, for both engines.
"""

import logging
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
import traceback

import pytest
import sqlalchemy as sa
import xarray as xr
from builders import make_key, make_record, make_tree
from postgres_server import PASSWORD

from classy_pm.catalog import (
    Aggregator,
    Catalog,
    CatalogVersionError,
    UntrustedFile,
    claims,
    filing,
    migrations,
    postgresql,
    rows,
    tables,
)
from classy_pm.catalog.faults import STEPS
from classy_pm.catalog.records import to_json
from classy_pm.errors import CatalogError, MissingPackageError

from .test_catalog import (  # noqa: F401
    test_a_filed_fit_is_found_and_read,
    test_a_fit_is_found_by_the_beginning_of_its_key,
    test_a_fit_whose_file_is_gone_may_be_filed_again,
    test_a_row_that_cannot_be_written_leaves_a_complete_file_that_is_found_later,
    test_filing_the_same_run_again_changes_nothing,
    test_fits_come_in_the_order_of_filing,
    test_several_threads_may_file_in_one_catalogue,
    test_the_first_of_two_runs_of_one_fit_is_kept,
    test_what_is_no_key_is_refused,
)
from .test_claims import (  # noqa: F401
    test_a_claim_is_let_go_after_an_exception,
    test_a_fit_that_is_there_is_given_without_a_claim,
    test_of_many_that_ask_at_once_one_gets_it,
    test_the_first_claim_is_given_and_let_go,
)
from .test_database import test_streaming_is_flat, test_the_stored_summary_is_that_of_the_record  # noqa: F401
from .test_exchange import (  # noqa: F401
    full,
    other,
    test_a_folder_from_another_machine_is_taken_in_and_left_as_it_is,
    test_a_zip_carries_fits_whole,
)
from .test_recovery import (  # noqa: F401
    dump,
    test_a_file_that_has_grown_is_not_taken_for_another,
    test_a_file_that_is_gone_is_told_and_taken_back_when_it_returns,
    test_a_file_under_a_wrong_name_is_set_aside,
    test_files_copied_into_the_folder_are_adopted,
    test_parts_of_other_machines_are_left_until_they_are_old,
    test_the_later_of_two_runs_that_raced_is_set_aside_with_the_reason,
    test_verify_finds_one_flipped_bit_and_the_rest_stays_readable,
)

CONTEXT = multiprocessing.get_context("forkserver")


@pytest.fixture
def again(server, tmp_path):
    """A function that opens the same catalogue once more."""
    address, folder = server.new_schema(), tmp_path / "survey.files"
    opened = []

    def open_it(**options):
        opened.append(Catalog(address, files=folder, **options))
        return opened[-1]

    open_it.arguments = (address, folder)
    yield open_it
    for catalog in opened:
        catalog.close()


@pytest.fixture
def catalog(again):
    return again()


@pytest.fixture
def location(again):
    return again.arguments[0]


def schema_of(address):
    return address.rpartition("%3D")[2]


def test_opening_does_nothing(catalog, server, location):
    assert len(catalog) == 0
    assert list(catalog) == []
    assert catalog.find(make_key(0)) is None
    catalog.check_writable()
    assert not catalog.layout.files.exists()
    names = "SELECT relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname = "
    assert server.execute(f"{names}'{schema_of(location)}'") == []


def test_a_fit_is_found_by_another_catalogue_object(catalog, again):
    stored = catalog.file(make_record(), make_tree())
    assert again(create=False).find(stored.fit_key) == stored
    assert len(again(read_only=True)) == 1


def test_a_catalogue_that_must_exist_is_asked_for(again):
    for use in (len, list, lambda c: c.find(make_key(0))):
        with pytest.raises(CatalogError, match="no catalogue at"):
            use(again(create=False))


def test_a_search_files_in_postgresql_and_reads_from_it(catalog, gaussian_model, gaussian_analysis):
    import classy_pm as cpm

    search = cpm.Emcee(nwalkers=8, nsteps=20, random_seed=1)
    first = search.fit(gaussian_model, gaussian_analysis, catalog=catalog, info={"survey": "test"})
    second = search.fit(gaussian_model, gaussian_analysis, catalog=catalog)
    assert (first.from_catalog, second.from_catalog) == (False, True)
    agg = Aggregator(catalog)
    assert len(agg.query(agg.info["survey"] == "test")) == 1
    with pytest.raises(CatalogError, match=r"needs a folder for its files.*\n.*files="):
        search.fit(gaussian_model, gaussian_analysis, catalog=catalog.location)


@pytest.mark.parametrize("step", ["part flushed", "named", "in transaction", "committed"])
def test_a_process_killed_at_any_step_leaves_nothing_to_worry_about(catalog, again, step):
    catalog.file(make_record(0), make_tree(0))
    process = CONTEXT.Process(target=file_one, args=(again.arguments, 1, step))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    finished = STEPS.index(step) >= STEPS.index("named")
    catalog = again()
    assert len(catalog) == 1 + finished
    assert not list(catalog.layout.pending.iterdir())
    stored = catalog.file(make_record(1), make_tree(1))
    xr.testing.assert_identical(stored.tree(), make_tree(1))
    assert len(list(catalog.layout.fits.rglob("*.nc"))) == 2
    assert not catalog.verify()


def file_one(arguments, number, step):
    os.environ["CLASSY_PM_FAILPOINT"] = step
    Catalog(arguments[0], files=arguments[1]).file(make_record(number), make_tree(number))


def file_some(arguments, start, count):
    catalog = Catalog(arguments[0], files=arguments[1])
    for number in range(start, start + count):
        catalog.file(make_record(number), make_tree(draws=2))
    catalog.close()


def test_many_writers_lose_nothing_and_double_nothing(catalog, again):
    """Four processes make the tables and file at once: distinct fits, and five that three of them file."""
    jobs = [(1000, 5), *[(0, 5)] * 3]
    processes = [CONTEXT.Process(target=file_some, args=(again.arguments, *job)) for job in jobs]
    for process in processes:
        process.start()
    seen = []
    while any(process.is_alive() for process in processes):
        fits = [stored.fit_key for stored in catalog]
        assert len(fits) == len(set(fits))
        assert set(seen) <= set(fits)
        seen = fits
        time.sleep(0.1)
    assert [process.exitcode for process in processes] == [0] * 4
    assert len(catalog) == 10
    assert len(list(catalog.layout.fits.rglob("*.nc"))) == 10
    assert not list(catalog.layout.pending.iterdir())
    report = catalog.verify()
    assert not (report.missing or report.damaged or report.adopted)


def test_a_forked_process_does_not_use_its_parents_connections(catalog):
    catalog.file(make_record(0), make_tree())
    pid = os.fork()
    if pid == 0:
        try:
            catalog.file(make_record(1), make_tree())
            catalog.close()
            os._exit(0 if len(catalog) == 2 else 1)
        except BaseException:
            traceback.print_exc()
            os._exit(2)
    assert os.waitpid(pid, 0)[1] == 0
    catalog.file(make_record(2), make_tree())
    assert len(catalog) == 3


def test_a_recovery_between_naming_and_commit_does_not_set_the_fit_aside(catalog, again, monkeypatch):
    enter = filing.enter

    def late(database, place, record, written, **options):
        monkeypatch.setattr(filing, "enter", enter)
        assert again().recover().adopted == [record.fit_key]
        return enter(database, place, record, written, **options)

    monkeypatch.setattr(filing, "enter", late)
    assert catalog.file(make_record(), make_tree()).path.exists()
    assert not catalog.layout.quarantine.exists()


def test_the_second_waits_and_gets_the_result_of_the_first(catalog, again):
    got = []

    def second():
        with again().claim(make_key(0)) as found:
            got.append(found)

    with catalog.claim(make_key(0)):
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.2)
        assert got == []
        stored = catalog.file(make_record(0), make_tree())
    thread.join()
    assert got == [stored]
    assert [path.name for path in catalog.layout.claims.iterdir()] == [".lock"]
    assert claims.Claims(catalog.layout).holder(make_key(0)) is None


def test_a_rebuilt_index_is_the_original_and_nobody_sees_it_empty(catalog, again, monkeypatch):
    for number in range(4):
        catalog.file(make_record(number, tags=("a", "b")), make_tree(number))
    before, seen = dump(catalog), []
    monkeypatch.setattr(filing, "reach", lambda step: seen.append(len(again())))
    assert len(catalog.rebuild().adopted) == 4
    assert dump(catalog) == before
    assert seen == [4, 4]


def test_a_rebuild_into_an_empty_database_takes_all_files(catalog, server):
    for number in range(3):
        catalog.file(make_record(number), make_tree(number))
    with Catalog(server.new_schema(), files=catalog.layout.files) as fresh:
        assert len(fresh.rebuild().adopted) == 3
        assert dump(fresh) == dump(catalog)


def test_hostile_texts_are_texts(catalog):
    texts = [
        "O'Brien",
        "zzz' OR '1'='1",
        '"; DROP TABLE fit; --',
        "%_\\",
        "\u202eevil",
        ":name",
        "%(x)s",
        "$1",
    ]
    for number, text in enumerate(texts):
        record = make_record(number, name=text, unique_tag=text, tags=(text,), info={text: text})
        catalog.file(record, make_tree())
    assert [(stored.name, stored.unique_tag, stored.info) for stored in catalog] == [
        (text, text, {text: text}) for text in texts
    ]


def test_a_long_note_is_kept_and_a_long_name_is_refused_before_anything_is_written(catalog):
    notes = {"long": os.urandom(20_000).hex()}
    assert catalog.file(make_record(0, info=notes), make_tree()).info == notes
    agg = Aggregator(catalog)
    assert len(agg.query(agg.info["long"] == notes["long"])) == 1
    for field in ({"name": "x" * 1201}, {"tags": ("é" * 601,)}, {"info": {"k" * 1201: 1}}):
        with pytest.raises(
            CatalogError, match=r"at most 1200 bytes in PostgreSQL.\n  - \w+: has 120\d bytes"
        ):
            catalog.file(make_record(1, **field), make_tree())
    assert len(list(catalog.layout.files.rglob("*.*"))) == 1
    with pytest.raises(CatalogError, match=r"This tag or note cannot be kept\.\n.*bytes"):
        catalog.tag(make_key(0), "x" * 1201)
    catalog.tag(make_key(0), "good", "100%")
    assert len(agg.query(agg.tagged("good"))) == 1
    longest = os.urandom(600).hex()
    catalog.file(make_record(2, name=longest, unique_tag=longest, tags=(longest,)), make_tree())


def test_a_file_that_the_index_cannot_hold_is_set_aside_with_the_reason(catalog, tmp_path):
    with Catalog(tmp_path / "other.sqlite") as elsewhere:
        elsewhere.file(make_record(0, name="x" * 2000), make_tree())
        elsewhere.file(make_record(1), make_tree())
    elsewhere.layout.files.rename(catalog.layout.files)
    report = catalog.recover()
    assert (len(report.adopted), len(report.set_aside)) == (1, 1)


def test_numbers_that_do_not_fit_into_four_bytes_are_kept(catalog):
    stored = catalog.file(make_record(0, divergences=2**40, grid_index=2**62), make_tree())
    assert (stored.divergences, stored.grid_index) == (2**40, 2**62)


def test_anybody_can_look_at_the_index_with_any_tool(catalog, server, location):
    catalog.file(make_record(3, centre=2.5), make_tree())
    schema = schema_of(location)
    ((tag, classes, medians),) = server.execute(f"SELECT unique_tag, classes, medians FROM {schema}.fits")
    assert (tag, classes) == ("object_3", "profile: profiles:Gaussian")
    assert "profile.centre = 2.5" in medians


# --- whose database it is -------------------------------------------------------------------------


def test_other_tables_in_the_same_place_are_left_alone(server, tmp_path):
    server.execute("CREATE DATABASE shared")
    server.execute("CREATE TABLE precious (a int); INSERT INTO precious VALUES (1)", "shared")
    with Catalog(server.address("shared"), files=tmp_path / "f") as catalog:
        catalog.file(make_record(), make_tree())
        assert len(catalog) == 1
    assert server.execute("SELECT a FROM precious", "shared") == [(1,)]


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE {}.fit (a int)",
        "CREATE TABLE {}.meta (key text NOT NULL, value text NOT NULL)",
        "CREATE TABLE {}.meta (a int)",
        "CREATE VIEW {}.parameter AS SELECT 1",
    ],
)
def test_tables_of_another_program_under_our_names_are_refused_and_left_alone(
    catalog, server, location, statement
):
    server.execute(statement.format(schema_of(location)))
    for use in (len, Catalog.check_writable, lambda c: c.file(make_record(), make_tree())):
        with pytest.raises(CatalogError, match=r"classy_pm has not made.*\nGive the catalogue a database of"):
            use(catalog)
    assert not catalog.layout.files.exists()


def test_a_name_of_an_index_that_is_taken_is_told(catalog, server, location):
    server.execute(f"CREATE TABLE {schema_of(location)}.fit_status (a int)")
    with pytest.raises(CatalogError, match='"fit_status" already exists'):
        catalog.file(make_record(), make_tree())
    assert len(catalog) == 0


def test_tables_with_other_columns_are_refused(catalog, again, server, location):
    catalog.file(make_record(), make_tree())
    server.execute(f"ALTER TABLE {schema_of(location)}.fit ADD COLUMN more text")
    with pytest.raises(UntrustedFile, match="does not have the tables"):
        len(again())


def test_a_catalogue_of_the_future_is_refused_in_words(catalog, again, server, location):
    catalog.file(make_record(), make_tree())
    server.execute(f"UPDATE {schema_of(location)}.meta SET value = '99' WHERE key = 'schema_version'")
    for use in (len, Catalog.check_writable, lambda c: c.file(make_record(1), make_tree())):
        with pytest.raises(CatalogVersionError, match=r"schema 99.*\n?.*\nUpgrade"):
            use(again())


@pytest.fixture
def next_schema(monkeypatch):
    def add_column(connection):
        connection.exec_driver_sql("ALTER TABLE meta ADD COLUMN later text")
        connection.exec_driver_sql("ALTER TABLE meta DROP COLUMN later")

    monkeypatch.setattr(migrations, "STEPS", {tables.SCHEMA_VERSION: add_column})
    monkeypatch.setattr(tables, "SCHEMA_VERSION", tables.SCHEMA_VERSION + 1)


def version_of(server, location):
    query = f"SELECT value FROM {schema_of(location)}.meta WHERE key = 'schema_version'"
    return server.execute(query)


def test_an_older_catalogue_is_brought_up_to_date(catalog, again, server, location, request):
    catalog.file(make_record(), make_tree())
    request.getfixturevalue("next_schema")
    version = tables.SCHEMA_VERSION
    with pytest.raises(CatalogError, match=f"older than {version}"):
        len(again(read_only=True))
    assert version_of(server, location) == [(str(version - 1),)]
    assert len(again()) == 1
    assert version_of(server, location) == [(str(version),)]


def test_a_catalogue_of_schema_1_is_brought_up_to_date(catalog, again, server, location):
    number, apart = 2**53 + 1, "cafe\u0301"
    info = {"id": number, "é": 1, "b": 2, "t": "é"}
    catalog.file(make_record(info=info, tags=("café", "a")), make_tree())
    schema = schema_of(location)
    server.execute(f"DROP VIEW {schema}.fits")
    server.execute(f"DROP VIEW {schema}.parameters")
    for table in ("info", "parameter"):
        server.execute(f"ALTER TABLE {schema}.{table} DROP COLUMN exact")
    server.execute(f"UPDATE {schema}.tag SET tag = '{apart}' WHERE tag = 'a'")
    server.execute(f"UPDATE {schema}.info SET key = 'e\u0301' WHERE key = 'b'")
    apart_json = f"text = '{apart[-2:]}', json = '{to_json(apart[-2:])}'"
    server.execute(f"UPDATE {schema}.info SET {apart_json} WHERE key = 't'")
    server.execute(f"UPDATE {schema}.meta SET value = '1' WHERE key = 'schema_version'")
    (stored,) = again()
    assert stored.tags == ["café"]
    assert stored.info == {"id": number, "é": 1, "é (2)": 2, "t": "é"}
    assert server.execute(f"SELECT exact FROM {schema}.info WHERE key = 'id'") == [(str(number),)]
    mark = f"SELECT count(*) FROM {schema}.meta WHERE key = 'old_parameters'"
    assert server.execute(mark) == [(1,)]
    again().rebuild()
    assert server.execute(mark) == [(0,)]
    assert server.execute(f"SELECT count(medians) FROM {schema}.fits") == [(1,)]


def test_a_migration_that_fails_changes_nothing(catalog, again, server, location, request, monkeypatch):
    catalog.file(make_record(), make_tree())
    request.getfixturevalue("next_schema")

    def fail(connection):
        connection.exec_driver_sql("CREATE TABLE later (a int)")
        raise RuntimeError("a bug")

    monkeypatch.setattr(migrations, "STEPS", {tables.SCHEMA_VERSION - 1: fail})
    with pytest.raises(RuntimeError, match="a bug"):
        len(again())
    monkeypatch.setattr(migrations, "STEPS", {})
    with pytest.raises(CatalogVersionError, match="rebuild"):
        len(again())
    monkeypatch.undo()
    assert len(again()) == 1
    assert server.execute(f"SELECT to_regclass('{schema_of(location)}.later')") == [(None,)]


# --- who may do what ------------------------------------------------------------------------------


def test_reading_only_reads(catalog, again):
    catalog.file(make_record(), make_tree())
    with pytest.raises(CatalogError, match="read-only transaction"), catalog.database.reading() as connection:
        connection.execute(sa.delete(tables.fit))
    with pytest.raises(CatalogError, match="read_only=True"):
        again(read_only=True).file(make_record(1), make_tree())
    assert len(catalog) == 1


def test_a_reading_transaction_sees_one_state(catalog, again):
    catalog.file(make_record(0), make_tree())
    count = sa.select(sa.func.count()).select_from(tables.fit)
    with catalog.database.reading() as connection:
        assert connection.execute(count).scalar_one() == 1
        again().file(make_record(1), make_tree())
        assert connection.execute(count).scalar_one() == 1


def test_a_user_who_may_only_read_is_told_before_anything_is_done(catalog, server, location, tmp_path):
    catalog.file(make_record(), make_tree())
    schema = schema_of(location)
    server.execute("DROP ROLE IF EXISTS reader")
    server.execute("CREATE ROLE reader LOGIN PASSWORD 'x'")
    server.execute(f"GRANT USAGE ON SCHEMA {schema} TO reader")
    server.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO reader")
    address = server.address(schema=schema, user="reader", password="x")
    with Catalog(address, files=catalog.layout.files) as mine:
        assert len(mine) == 1
        with pytest.raises(CatalogError, match="may not write there"):
            mine.check_writable()
        with pytest.raises(CatalogError, match="permission denied"):
            mine.file(make_record(1), make_tree())
    server.execute("DROP OWNED BY reader; DROP ROLE reader")


def test_a_writer_that_waits_too_long_says_so(catalog, again, monkeypatch):
    catalog.file(make_record(), make_tree())
    monkeypatch.setattr(postgresql, "PATIENCE", 0.2)
    with (
        catalog.database.writing(),
        pytest.raises(CatalogError, match=r"locked by another process for 0\.2 s"),
    ):
        again().file(make_record(1), make_tree())


def test_a_connection_that_the_server_has_ended_is_made_again(catalog, server):
    catalog.file(make_record(), make_tree())
    server.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'classy_pm'"
    )
    catalog.file(make_record(1), make_tree())
    assert len(catalog) == 2


def test_no_connection_stays_after_a_catalogue(again, server):
    count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'classy_pm'"
    ((before,),) = server.execute(count)
    catalog = Catalog(again.arguments[0], files=again.arguments[1])
    catalog.file(make_record(), make_tree())
    del catalog
    deadline = time.monotonic() + 5
    while server.execute(count) != [(before,)] and time.monotonic() < deadline:
        time.sleep(0.02)
    assert server.execute(count) == [(before,)]


# --- passwords ------------------------------------------------------------------------------------


def texts_of(error):
    """Return all that is printed of an error, with those that it came from."""
    return "".join(traceback.format_exception(error)) + repr(error) + str(pickle.loads(pickle.dumps(error)))


def wrong_addresses(server, tmp_path):
    secret = PASSWORD.replace("@", "").replace("/", "").replace("?", "")
    folder = server.folder
    return [
        f"postgresql+psycopg://tester:{secret}@/nowhere?host={folder}",
        f"postgresql+psycopg://nobody:{secret}@/postgres?host={folder}",
        f"postgresql+psycopg://tester@/postgres?host={folder}&password=wrong{secret}",
        f"postgresql+psycopg://tester:{secret}@/postgres?host={tmp_path}",
        f"postgresql+psycopg://tester:{secret}@127.0.0.1:1/postgres",
        f"postgresql+psycopg://tester:{secret}@/postgres?host={folder}&colour=red",
        f"postgresql+psycopg://tester:{secret}@host:port/postgres",
        f"postgresql+psycopg://tester:{secret}@host",
        f"postgresql+psycopg2://tester:{secret}@host/database",
        f"mysql://tester:{secret}@host/database",
        f"postgresql+psycopg://tester:{secret}@/post\0gres",
    ]


def test_no_password_is_in_any_error(server, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    for address in wrong_addresses(server, tmp_path):
        with pytest.raises(CatalogError) as caught:
            len(Catalog(address, files=tmp_path / "f"))
        assert "s3cret" not in texts_of(caught.value), address
        assert caught.value.cure or "cannot be used" in caught.value.message
    assert "s3cret" not in caplog.text


def test_no_password_is_in_any_text_of_a_catalogue_or_its_files(catalog, caplog, monkeypatch):
    caplog.set_level(logging.DEBUG)
    stored = catalog.file(make_record(), make_tree())
    catalog.check_writable()
    agg = Aggregator(catalog)
    texts = [repr(catalog), str(catalog.location), repr(agg), repr(stored), repr(vars(catalog))]
    texts += [repr(catalog.database), stored.record.to_manifest(), repr(vars(catalog.database))]
    texts += [path.read_bytes().decode("latin-1") for path in catalog.layout.files.rglob("*.*")]
    with pytest.raises(CatalogError) as caught, catalog.database.reading() as connection:
        connection.exec_driver_sql("SELECT nothing FROM nowhere")
    texts += [texts_of(caught.value), caplog.text]
    assert not [text for text in texts if "s3cret" in text]
    assert repr(catalog).startswith("Catalog('postgresql+psycopg://tester@/postgres', files=")


# --- addresses ------------------------------------------------------------------------------------


def test_the_folder_of_files_is_never_guessed(server, tmp_path):
    for files in (None, "", 3):
        with pytest.raises(CatalogError, match=r"needs a folder for its files.*\nWrite Catalog\('postgresql"):
            Catalog(server.address(), files=files)
    with pytest.raises(CatalogError, match=r"lie beside it.*\nLeave out `files=`"):
        Catalog(tmp_path / "a.sqlite", files=tmp_path / "f")
    with pytest.raises(CatalogError, match="needs a folder"):
        Aggregator.from_database(server.address())


def test_an_aggregator_is_made_from_an_address(catalog, again):
    catalog.file(make_record(), make_tree())
    address, folder = again.arguments
    assert len(Aggregator.from_database(address, files=folder)) == 1
    plain = address.replace("postgresql+psycopg", "postgresql")
    assert len(Aggregator.from_database(plain, files=folder, read_only=True)) == 1


def test_a_package_that_is_missing_is_named_with_the_extra(monkeypatch):
    monkeypatch.setattr(postgresql.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingPackageError, match=r"classy_pm\[postgresql\]"):
        Catalog("postgresql+psycopg://me@host/survey", files="f")


def test_a_catalogue_in_sqlite_does_not_load_postgresql():
    import subprocess

    code = "import classy_pm as c, sys; len(c.Catalog('a.sqlite')); print('psycopg' in sys.modules)"
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert finished.stdout == "False\n"


def test_a_database_that_cannot_keep_every_text_is_refused(server, tmp_path):
    kind = "LOCALE 'C' TEMPLATE template0 LOCALE_PROVIDER libc"
    server.execute(f"CREATE DATABASE latin ENCODING 'LATIN1' {kind}")
    with (
        Catalog(server.address("latin"), files=tmp_path / "f") as catalog,
        pytest.raises(CatalogError, match=r"encoding LATIN1.*\n.*createdb"),
    ):
        catalog.file(make_record(), make_tree())


@pytest.mark.parametrize("divergences", [1.5, None, 2**53 + 1])
def test_a_number_that_would_be_kept_as_another_is_refused(catalog, divergences):
    with pytest.raises(CatalogError, match="cannot be filed"):
        catalog.file(make_record(0, n_nonfinite=divergences), make_tree())
    assert len(catalog) == 0


def test_a_fit_that_the_index_does_not_take_is_set_aside_and_the_others_are_entered(catalog, monkeypatch):
    for number in range(3):
        catalog.file(make_record(number), make_tree())
    sound = rows._fit_row

    def fit_row(record, written):
        row = sound(record, written)
        return row | {"n_nonfinite": {"a": 1}} if record.fit_key == make_key(1) else row

    monkeypatch.setattr(rows, "_fit_row", fit_row)
    report = catalog.rebuild()
    assert (len(report.adopted), len(report.set_aside)) == (2, 1)
    assert len(catalog) == 2
