"""Of two processes that start the same fit one runs, and the other waits or takes over."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from builders import make_key, make_record, make_tree

from classy_pm.catalog import Catalog, claims
from classy_pm.errors import CatalogError

KEY = make_key(0)
HOLD = """
import sys, time
from classy_pm.catalog import Catalog
with Catalog(sys.argv[1]).claim(sys.argv[2]) as found:
    print("mine", flush=True)
    time.sleep(60)
"""


def test_the_first_claim_is_given_and_let_go(catalog):
    with catalog.claim(KEY) as found:
        assert found is None
        assert catalog.claims.holder(KEY) == f"process {os.getpid()} on {claims.layout.host()}"
    assert catalog.claims.holder(KEY) is None
    assert [path.name for path in catalog.layout.claims.iterdir()] == [".lock"]


def test_a_claim_is_let_go_after_an_exception(catalog):
    with pytest.raises(KeyboardInterrupt), catalog.claim(KEY):
        raise KeyboardInterrupt
    with catalog.claim(KEY, patience=0) as found:
        assert found is None


def test_a_fit_that_is_there_is_given_without_a_claim(catalog):
    stored = catalog.file(make_record(0), make_tree())
    with catalog.claim(KEY) as found:
        assert found == stored
    assert not catalog.layout.claims.exists()


def test_the_second_waits_and_gets_the_result_of_the_first(catalog, location):
    got, told = [], []

    def second():
        with Catalog(location).claim(KEY, on_wait=told.append) as found:
            got.append(found)

    with catalog.claim(KEY):
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.3)
        assert got == []
        stored = catalog.file(make_record(0), make_tree())
    thread.join()
    assert got == [stored]
    assert told == [f"process {os.getpid()} on {claims.layout.host()}"]


def test_the_second_takes_over_when_the_first_gives_up(catalog, location):
    got = []

    def second():
        with Catalog(location).claim(KEY) as found:
            got.append(found)

    with catalog.claim(KEY):
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.2)
    thread.join()
    assert got == [None]


def test_the_second_takes_over_at_once_when_the_first_is_killed(catalog, location):
    first = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(location), KEY], stdout=subprocess.PIPE, text=True
    )
    try:
        assert first.stdout.readline() == "mine\n"
        with pytest.raises(CatalogError, match=f"process {first.pid}"), catalog.claim(KEY, patience=0.1):
            pass
    finally:
        first.send_signal(signal.SIGKILL)
        first.wait()
        first.stdout.close()
    with catalog.claim(KEY, patience=0) as found:
        assert found is None


def leave_lease(catalog, **owner):
    path = catalog.layout.claims / KEY
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(owner))
    return path


def test_a_lease_of_another_machine_ends_when_it_is_not_touched(catalog):
    path = leave_lease(catalog, host="elsewhere", boot="0", pid=1, token="x")
    assert catalog.claims.take(KEY) is None
    assert catalog.claims.holder(KEY) == "process 1 on elsewhere"
    os.utime(path, (path.stat().st_mtime - claims.STALE - 5,) * 2)
    lease = catalog.claims.take(KEY)
    lease.release()


def test_a_process_number_that_is_used_again_is_not_the_old_process(catalog):
    leave_lease(
        catalog, host=claims.layout.host(), boot=claims.layout.boot_id(), pid=os.getpid(), started="1"
    )
    catalog.claims.take(KEY).release()


@pytest.mark.parametrize("content", ["", "[]", "{", '{"host": 3}', "\0" * 100])
def test_a_damaged_lease_ends_by_age(catalog, content):
    path = leave_lease(catalog)
    path.write_text(content)
    assert catalog.claims.take(KEY) is None
    os.utime(path, (0, 0))
    catalog.claims.take(KEY).release()


def test_a_lease_that_was_taken_over_is_not_removed_by_its_first_holder(catalog):
    first = catalog.claims.take(KEY)
    os.utime(first.path)
    content = json.loads(first.path.read_text()) | {"token": "another"}
    first.path.write_text(json.dumps(content))
    first.release()
    assert first.path.exists()


def test_a_lease_is_touched_while_it_is_held(catalog, monkeypatch):
    monkeypatch.setattr(claims, "HEARTBEAT", 0.02)
    lease = catalog.claims.take(KEY)
    os.utime(lease.path, (0, 0))
    deadline = time.monotonic() + 5
    while lease.path.stat().st_mtime == 0 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert lease.path.stat().st_mtime > 0
    lease.release()
    assert not any(thread.name == "classy_pm lease" for thread in threading.enumerate())


def test_of_many_that_ask_at_once_one_gets_it(catalog):
    got = []
    barrier = threading.Barrier(8)

    def ask():
        mine = claims.Claims(catalog.layout)
        barrier.wait()
        got.append(mine.take(KEY))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    leases = [lease for lease in got if lease is not None]
    assert len(leases) == 1
    leases[0].release()
    assert not Path(leases[0].path).exists()


@pytest.mark.parametrize("hours", [-5, 5])
def test_the_clock_of_this_process_does_not_matter(catalog, monkeypatch, hours):
    """A lease is as old as the file system says, which is what both machines see."""
    path = leave_lease(catalog, host="elsewhere", boot="0", pid=1, token="x")
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 3600 * hours)
    assert catalog.claims.take(KEY) is None
    os.utime(path, (path.stat().st_mtime - claims.STALE - 5,) * 2)
    catalog.claims.take(KEY).release()


def test_a_lease_from_the_future_ends_when_nobody_touches_it(catalog, monkeypatch):
    """Its machine's clock was hours ahead: by its age it would hold for as long."""
    path = leave_lease(catalog, host="elsewhere", boot="0", pid=1, token="x")
    ahead, clock = time.time() + 5 * 3600, [0.0]
    monkeypatch.setattr(claims.time, "monotonic", lambda: clock[0])
    for minute in range(0, 30, 5):
        clock[0] = 60.0 * minute
        os.utime(path, (ahead + 60 * minute,) * 2)
        assert catalog.claims.take(KEY) is None, "it is touched, and so alive"
    clock[0] += claims.STALE - 1.0
    assert catalog.claims.take(KEY) is None
    clock[0] += 2.0
    catalog.claims.take(KEY).release()
