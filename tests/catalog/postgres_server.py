"""A PostgreSQL server of the tests' own: in a temporary folder, on a unix socket, gone afterwards."""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from pathlib import Path
from urllib.parse import quote

import pytest

#: No letter of it may ever be seen.
PASSWORD = "s3cret/@:?&"
PR_SET_PDEATHSIG = 1  # of Linux's prctl


def binaries():
    """Return the folder of the server's programs, or skip the test."""
    initdb = shutil.which("initdb")
    found = [Path(initdb).resolve()] if initdb else sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        pytest.skip("no PostgreSQL server is installed")
    return found[-1].parent


def unprivileged():
    """Return how to start programs as another user than root, whom the server refuses."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            user = pwd.getpwnam(name)
            return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    pytest.skip("PostgreSQL does not run as root, and there is no other user")


class Server:
    def __init__(self, folder, programs, options):
        self.folder, self._programs, self._options = folder, programs, options

    def run(self, program, *arguments):
        finished = subprocess.run(
            [str(self._programs / program), *map(str, arguments)],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            **self._options,
        )
        if finished.returncode:
            pytest.skip(f"{program} failed: {finished.stdout[-500:]}")

    def start(self):
        def end_with_the_tests():  # also when they are killed
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGQUIT)

        log = self.folder / "log"
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", "data", "-k", self.folder],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                preexec_fn=end_with_the_tests,
                **self._options,
            )
        deadline = time.monotonic() + 60
        while b"is ready to accept connections" not in log.read_bytes():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                pytest.skip(f"PostgreSQL does not start: {log.read_text()[-500:]}")
            time.sleep(0.02)

    def stop(self):
        self._process.send_signal(signal.SIGQUIT)  # at once
        self._process.wait()

    def connect(self, database="postgres"):
        import psycopg

        return psycopg.connect(
            host=str(self.folder), user="tester", password=PASSWORD, dbname=database, autocommit=True
        )

    def execute(self, statement, database="postgres"):
        with contextlib.closing(self.connect(database)) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def address(self, database="postgres", schema=None, *, user="tester", password=PASSWORD):
        options = f"&options=-csearch_path%3D{schema}" if schema else ""
        return (
            f"postgresql+psycopg://{user}:{quote(password, safe='')}@/{database}?host={self.folder}{options}"
        )

    def new_schema(self):
        """Return the address of an empty schema."""
        name = f"s{uuid.uuid4().hex}"
        self.execute(f"CREATE SCHEMA {name}")
        return self.address(schema=name)


@contextlib.contextmanager
def running():
    """Run a server whose own order of letters is English, which is not that of their numbers."""
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    programs, options = binaries(), unprivileged()
    with tempfile.TemporaryDirectory(prefix="pg-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        (folder / "password").write_text(PASSWORD)
        (folder / "password").chmod(0o644)
        if options:
            os.chown(folder, options["user"], options["group"])
        server = Server(folder, programs, options)
        locale = ["--locale-provider=icu", "--icu-locale=en-US"] if _knows_icu(programs) else ["--locale=C"]
        server.run(
            *("initdb", "-D", "data", "-U", "tester", "-A", "scram-sha-256", "--pwfile=password"),
            *("--encoding=UTF8", "--no-sync", "--no-instructions", *locale),
        )
        with (folder / "data" / "postgresql.conf").open("a") as settings:
            # Nothing of it outlives the tests, so nothing need be safe on disk.
            settings.write("\nlisten_addresses = ''\nfsync = off\nfull_page_writes = off\n")
        server.start()
        try:
            yield server
        finally:
            server.stop()


def _knows_icu(programs):
    text = subprocess.run([programs / "initdb", "--help"], capture_output=True, text=True).stdout
    return "--icu-locale" in text
