"""Functions of arrays that NumPy's protocols cannot reach, for plain and traced arrays alike.

On plain arrays each equals its model in SciPy; on traced arrays it is differentiable.
"""

from __future__ import annotations

from classy_pm.ops.convolution import convolve2d

__all__ = ["convolve2d"]
