"""Results on disk: an index in sqlite, one NetCDF file a fit, and the identity that finds them.

The only room of the house that imports SQLAlchemy. It takes and gives plain data, starts no fit,
and never turns a stored text into code.
"""

from classy_pm.catalog.aggregator import VIEWS, Aggregator
from classy_pm.catalog.analyses import analysis_identity
from classy_pm.catalog.bulk import Batch
from classy_pm.catalog.catalog import Catalog, opened
from classy_pm.catalog.claims import Lease
from classy_pm.catalog.difference import Difference, differences
from classy_pm.catalog.failures import ErrorText, Failure
from classy_pm.catalog.faults import (
    CatalogVersionError,
    DamagedFile,
    DiskFullError,
    StaleFitError,
    UntrustedFile,
)
from classy_pm.catalog.files import pack, unpack
from classy_pm.catalog.identity import canonical, describe, fit_key, part_key
from classy_pm.catalog.records import (
    ComponentRecord,
    FitRecord,
    ParameterRecord,
    check_info,
    check_manifest_size,
)
from classy_pm.catalog.recovery import Report
from classy_pm.catalog.references import base_refs, class_ref
from classy_pm.catalog.stored import StoredFit
from classy_pm.catalog.validation import is_further_path

__all__ = [
    "VIEWS",
    "Aggregator",
    "Batch",
    "Catalog",
    "CatalogVersionError",
    "ComponentRecord",
    "DamagedFile",
    "Difference",
    "DiskFullError",
    "ErrorText",
    "Failure",
    "FitRecord",
    "Lease",
    "ParameterRecord",
    "Report",
    "StaleFitError",
    "StoredFit",
    "UntrustedFile",
    "analysis_identity",
    "base_refs",
    "canonical",
    "check_info",
    "check_manifest_size",
    "class_ref",
    "describe",
    "differences",
    "fit_key",
    "is_further_path",
    "opened",
    "pack",
    "part_key",
    "unpack",
]
