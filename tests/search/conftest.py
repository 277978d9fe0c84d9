"""Processes that the tests share."""

import loky
import pytest
import shared_processes


@pytest.fixture(scope="session")
def _processes():
    shared_processes.start()
    yield
    shared_processes.end()


@pytest.fixture
def processes(_processes, monkeypatch):
    """Have what wants processes use those of the tests."""
    monkeypatch.setattr(loky, "ProcessPoolExecutor", shared_processes.SharedPool)
