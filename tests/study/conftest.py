"""A Dask cluster on this machine for the tests that want one: to start it takes seconds."""

import pytest


@pytest.fixture(scope="session")
def _cluster():
    dask = pytest.importorskip("dask")
    distributed = pytest.importorskip("distributed")
    # A task whose worker has died is given to no other worker: four of them would have to be started.
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=":0", host="127.0.0.1"
        ) as cluster,
    ):
        yield cluster


@pytest.fixture
def client(_cluster):
    from distributed import Client

    with Client(_cluster) as client:
        yield client
