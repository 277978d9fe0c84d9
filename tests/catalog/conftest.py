import multiprocessing
import sys
from pathlib import Path

import pytest

from classy_pm.catalog import Catalog

sys.path.insert(0, str(Path(__file__).parent))  # for builders.py, which subprocesses import too

# What processes that file fits have imported when they start. Where Dask is installed xarray asks it whether
# arrays are its own, and whether a cluster is there: that loads all of it, and takes more than a second.
multiprocessing.set_forkserver_preload(
    [
        *("classy_pm.catalog", "builders", "pytest", "dask.array", "dask.distributed"),
        *("netCDF4", "h5py", "xarray.backends.netCDF4_", "psycopg", "sqlalchemy.dialects.sqlite"),
    ]
)


@pytest.fixture
def location(tmp_path):
    return tmp_path / "catalog.sqlite"


@pytest.fixture
def catalog(location):
    with Catalog(location) as catalog:
        yield catalog


@pytest.fixture(scope="session")
def server():
    """A PostgreSQL server for all tests that want one."""
    import postgres_server

    with postgres_server.running() as server:
        yield server


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def place(request, tmp_path_factory):
    """Where a module's own catalogue is, on each engine: what `Catalog` is called with."""
    folder = tmp_path_factory.mktemp("catalogue")
    if request.param == "sqlite":
        return {"location": folder / "survey.sqlite"}
    address = request.getfixturevalue("server").new_schema()
    return {"location": address, "files": folder / "survey.files"}
