"""What a fit found: `Result` and `Samples`, views on an ArviZ tree."""

from classy_pm.result.result import Result
from classy_pm.result.samples import Samples

__all__ = ["Result", "Samples"]
