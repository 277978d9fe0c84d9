import sys
from pathlib import Path

import pytest

from classy_pm.catalog import Catalog

sys.path.insert(0, str(Path(__file__).parent))  # for builders.py, which subprocesses import too


@pytest.fixture
def location(tmp_path):
    return tmp_path / "catalog.sqlite"


@pytest.fixture
def catalog(location):
    with Catalog(location) as catalog:
        yield catalog
