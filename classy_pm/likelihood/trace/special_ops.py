"""Scalar operations made from NumPy and SciPy ufuncs, with their derivatives.

`Elemwise` broadcasts them, numba calls SciPy's compiled function (no object mode), and the Python
and C linkers call the ufunc itself on whole arrays.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
from pytensor.gradient import grad_undefined
from pytensor.scalar.basic import ScalarOp, as_scalar
from pytensor.scalar.basic import abs as scalar_abs
from pytensor.scalar.basic import get_scalar_type as scalar_type
from pytensor.scalar.basic import maximum as scalar_maximum
from pytensor.tensor.elemwise import Elemwise

Derivative = Callable[..., Sequence[Any]]

# In the place of a derivative: by differences; and of an argument that is a whole number.
STENCIL = "stencil"
WHOLE = "whole"
# Step of the differences: the fourth-order error and the rounding error are equal at about 1e-12.
STEP = 2e-4


class UfuncOp(ScalarOp):
    """One real number from several, computed by a ufunc.

    Parameters
    ----------
    path : str
        Dotted name of the ufunc, such as `scipy.special.voigt_profile`, or a name in NumPy.
    nin : int
        Number of arguments.
    """

    def __new__(cls, path: str = "", nin: int = 1) -> UfuncOp:
        """Make an instance of a class for the ufunc alone.

        PyTensor keeps numba's machine code of a scalar operation under the name of its class.
        """
        return object.__new__(_class_of(path) if cls is UfuncOp else cls)

    def __init__(self, path: str, nin: int) -> None:
        self.path = path
        self.nin = nin
        self.nout = 1
        self.nfunc_spec = (path, nin, 1)
        self.name = path.rpartition(".")[2]
        self.output_types_preference = None

    def _ufunc(self) -> np.ufunc:
        module, _, name = self.path.rpartition(".")
        return getattr(importlib.import_module(module or "numpy"), name)

    def output_types(self, types: Sequence[Any]) -> list[Any]:
        """Return the dtype that the ufunc has for these arguments."""
        kinds = tuple(np.dtype(kind.dtype) for kind in types)
        return [scalar_type(str(self._ufunc().resolve_dtypes((*kinds, None))[-1]))]

    def make_node(self, *inputs: Any) -> Any:
        """Return the node of these scalars."""
        from pytensor.graph.basic import Apply

        variables = [as_scalar(item) for item in inputs]
        return Apply(self, variables, [kind() for kind in self.output_types([v.type for v in variables])])

    def impl(self, *inputs: Any) -> Any:
        """Compute one number."""
        return self._ufunc()(*inputs)

    def derivatives(self, inputs: Sequence[Any], output: Any) -> Sequence[Any]:
        """Return the derivative by each argument: a scalar expression, `STENCIL` or `WHOLE`."""
        from classy_pm.likelihood.trace import registry

        registry.load()  # an operation that was pickled may be the first to be asked
        derivative = DERIVATIVES.get(self.path)
        return [STENCIL] * len(inputs) if derivative is None else derivative(*inputs, output)

    def _differences(self, inputs: Sequence[Any], index: int) -> Any:
        """Return the derivative by one argument by central differences of fourth order."""
        width = scalar_maximum(scalar_abs(inputs[index]), 1.0) * STEP

        def at(steps: float) -> Any:
            moved = inputs[index] + steps * width
            return self(*inputs[:index], moved, *inputs[index + 1 :])

        return (8.0 * (at(1.0) - at(-1.0)) - (at(2.0) - at(-2.0))) / (12.0 * width)

    def pullback(self, inputs: Sequence[Any], outputs: Sequence[Any], cotangents: Sequence[Any]) -> list[Any]:
        """Return the cotangents of the arguments."""
        (cotangent,) = cotangents
        if "float" not in outputs[0].type.dtype:
            return [item.zeros_like(dtype="float64") for item in inputs]
        result = []
        for index, (item, slope) in enumerate(zip(inputs, self.derivatives(inputs, outputs[0]), strict=True)):
            if "float" not in item.type.dtype:
                result.append(item.zeros_like(dtype="float64"))
            elif isinstance(slope, str) and slope == WHOLE:
                why = f"argument {index + 1} of {self.path} is a whole number"
                result.append(grad_undefined(self, index, item, why))
            else:
                slope = self._differences(inputs, index) if isinstance(slope, str) else slope
                result.append(cotangent * slope)
        return result

    def c_code(self, *args: Any, **kwargs: Any) -> str:
        """There is no C code: the linker calls the ufunc."""
        raise NotImplementedError

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.path == other.path  # type: ignore[attr-defined]

    def __hash__(self) -> int:
        return hash((type(self), self.path))

    def __reduce__(self) -> Any:
        return (UfuncOp, (self.path, self.nin))

    def __str__(self) -> str:
        return self.name


@cache
def _class_of(path: str) -> type[UfuncOp]:
    return type(f"UfuncOp[{path}]", (UfuncOp,), {"__module__": __name__})


DERIVATIVES: dict[str, Derivative] = {}


def numpy_op(name: str, nin: int, derivative: Derivative | None) -> Elemwise:
    """Return the operation of a NumPy ufunc and note its derivative."""
    if derivative is not None:
        DERIVATIVES[name] = derivative
    return Elemwise(UfuncOp(name, nin))


def scipy_op(name: str, nin: int, derivative: Derivative | None = None) -> Elemwise:
    """Return the operation of a `scipy.special` ufunc and note its derivative."""
    path = f"scipy.special.{name}"
    if derivative is not None:
        DERIVATIVES[path] = derivative
    return Elemwise(UfuncOp(path, nin))
