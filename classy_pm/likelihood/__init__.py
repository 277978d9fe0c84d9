"""What the data say: the user's `Analysis`, and its log likelihood as a number and as a graph."""

from typing import TYPE_CHECKING, Any

from classy_pm.likelihood.analysis import Analysis, check_analysis
from classy_pm.likelihood.check import GradientCheck, check_gradient
from classy_pm.likelihood.evaluate import LogLikelihood

if TYPE_CHECKING:
    from classy_pm.likelihood.symbolic import SymbolicLogLikelihood, make_symbolic

__all__ = [
    "Analysis",
    "GradientCheck",
    "LogLikelihood",
    "SymbolicLogLikelihood",
    "check_analysis",
    "check_gradient",
    "make_symbolic",
]


def __getattr__(name: str) -> Any:
    # An Analysis is written, and fitted by the samplers that need no graph, without PyTensor.
    if name in ("SymbolicLogLikelihood", "make_symbolic"):
        from classy_pm.likelihood import symbolic

        return getattr(symbolic, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
