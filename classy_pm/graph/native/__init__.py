"""Machine code for graphs of known shapes: see `translate`."""

from classy_pm.graph.native.functions import NATIVE, NativeLinker, c_function, rewritten
from classy_pm.graph.native.levels import Unsupported

__all__ = ["NATIVE", "NativeLinker", "Unsupported", "c_function", "rewritten"]
