"""Functions of arrays that NumPy's protocols cannot reach, for plain and traced arrays alike.

On plain arrays each equals its model in SciPy; on traced arrays it is differentiable.
"""

from __future__ import annotations

from classy_pm.ops.convolution import convolve2d, fftconvolve
from classy_pm.ops.integration import quad, solve_ivp
from classy_pm.ops.interpolation import interp, interp2d, map_coordinates
from classy_pm.ops.registration import traceable, wrap_jax

__all__ = [
    "convolve2d",
    "fftconvolve",
    "interp",
    "interp2d",
    "map_coordinates",
    "quad",
    "solve_ivp",
    "traceable",
    "wrap_jax",
]
