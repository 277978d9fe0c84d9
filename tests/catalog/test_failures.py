"""A fit that fails is told of until it succeeds, and is never found as a fit."""

import os
import signal
import subprocess
import sys

import pytest
from builders import make_key, make_record, make_tree

from classy_pm.catalog import Catalog

KEY = make_key(0)
ABOUT = {"name": "line", "unique_tag": "a", "search": "NUTS"}


def fail(catalog, key=KEY, text="by the user"):
    with pytest.raises(ZeroDivisionError), catalog.claim(key, about=ABOUT):
        raise ZeroDivisionError(text)


def test_a_failure_is_kept_with_its_traceback(catalog):
    fail(catalog)
    (failure,) = catalog.failures()
    assert (failure.fit_key, failure.name, failure.unique_tag, failure.search) == (KEY, "line", "a", "NUTS")
    assert failure.error == "ZeroDivisionError: by the user"
    assert "test_failures.py" in failure.traceback and "in fail" in failure.traceback
    assert failure.pid == os.getpid() and failure.host and failure.attempts == 1
    assert failure.started < failure.ended


def test_a_failure_is_no_fit(catalog):
    fail(catalog)
    assert catalog.find(KEY) is None and KEY not in catalog
    assert len(catalog) == 0 and list(catalog) == []
    with catalog.claim(KEY) as found:
        assert found is None


def test_the_last_failure_is_kept_and_counts_those_before(catalog):
    fail(catalog)
    fail(catalog, make_key(1))
    fail(catalog, text="again")
    one, two = catalog.failures()
    assert (one.fit_key, one.attempts) == (make_key(1), 1)
    assert (two.fit_key, two.attempts, two.error) == (KEY, 2, "ZeroDivisionError: again")


def test_a_success_ends_it(catalog):
    fail(catalog)
    with catalog.claim(KEY):
        catalog.file(make_record(0), make_tree())
    assert catalog.failures() == []
    assert not list((catalog.layout.files / "failed").iterdir())


def test_neither_rebuild_nor_recovery_lose_it(catalog, location):
    fail(catalog)
    catalog.file(make_record(1), make_tree())
    before = catalog.failures()
    catalog.close()
    location.unlink()
    catalog.rebuild()
    catalog.recover()
    assert catalog.failures() == before
    assert Catalog(location, read_only=True).failures() == before


def test_who_interrupts_a_fit_has_not_seen_it_fail(catalog):
    with pytest.raises(KeyboardInterrupt), catalog.claim(KEY):
        raise KeyboardInterrupt
    assert catalog.failures() == []


def test_a_process_that_was_killed_is_told_too(catalog, location):
    code = (
        "import os, sys; from classy_pm.catalog import Catalog\n"
        "with Catalog(sys.argv[1]).claim(sys.argv[2]): os.kill(os.getpid(), 9)"
    )
    fail(catalog)
    died = subprocess.run([sys.executable, "-c", code, str(location), KEY], check=False)
    assert died.returncode == -signal.SIGKILL
    (failure,) = catalog.failures()
    assert "ended without a word" in failure.error and failure.attempts == 2
    assert failure.pid not in (0, os.getpid()) and failure.name == "line"
    with catalog.claim(KEY):
        assert catalog.failures()[0].attempts == 1, "a living process has not failed"
        catalog.file(make_record(0), make_tree())
    assert catalog.failures() == []


def test_where_nothing_can_be_noted_the_exception_is_what_is_told(catalog):
    catalog.layout.files.mkdir()
    (catalog.layout.files / "failed").write_text("in the way")
    fail(catalog)
    assert catalog.failures() == []


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", '{"fit_key": 3}', "[" * 10_000, "\xff", "x" * 2_000_000]
)
def test_a_file_that_tells_of_no_failure_is_passed_over(catalog, content):
    fail(catalog)
    (catalog.layout.files / "failed" / f"{make_key(1)}.json").write_text(content, encoding="utf-8")
    (catalog.layout.files / "failed" / f"{make_key(2)}.json").symlink_to("/etc/passwd")
    (failure,) = catalog.failures()
    assert failure.fit_key == KEY
