"""What a fit found: `Result` and `Samples`, views on an ArviZ tree; and `compare` for several."""

from classy_pm.result.compare import compare
from classy_pm.result.graphs import GraphResult, make_result
from classy_pm.result.result import Result
from classy_pm.result.samples import Samples

__all__ = ["GraphResult", "Result", "Samples", "compare", "make_result"]
