"""The Ops that call a likelihood which cannot be traced."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.gradient import grad_not_implemented
from pytensor.graph.basic import Apply, Variable
from pytensor.graph.op import Op

from classy_pm.errors import FitException
from classy_pm.likelihood.derived import DerivedQuantities
from classy_pm.likelihood.evaluate import LogLikelihood
from classy_pm.likelihood.faults import has_failed, note

__all__ = ["BlackBoxGradient", "BlackBoxLogLikelihood", "BlackBoxQuantity"]


class _BlackBox(Op):
    """A function of all free parameters that the user wrote.

    Two are equal if they call the same function of the same analysis.
    """

    __props__: tuple[str, ...] = ("log_likelihood",)

    def __init__(self, log_likelihood: LogLikelihood) -> None:
        self.log_likelihood = log_likelihood
        _tell_numba()

    def _inputs(self, parameters: tuple[Variable, ...]) -> list[Variable]:
        count = len(self.log_likelihood.plan.parameters)
        if len(parameters) != count:
            raise ValueError(f"The likelihood has {count} parameters; {len(parameters)} were given.")
        return [pt.cast(pt.as_tensor_variable(parameter), "float64") for parameter in parameters]

    @property
    def length(self) -> int | None:
        """How many numbers it computes; None for one that is a scalar."""
        return None

    def compute(self, vector: np.ndarray) -> Any:
        """Return the value at a vector, a number or an array."""
        raise NotImplementedError

    def make_node(self, *parameters: Variable) -> Apply:
        """Make the node for the free parameters, in their order."""
        output = pt.dscalar() if self.length is None else pt.vector(shape=(self.length,), dtype="float64")
        return Apply(self, self._inputs(parameters), [output])

    def infer_shape(self, node: Apply, input_shapes: Any) -> list[tuple[Any, ...]]:
        """Tell PyTensor the shape, so that the value need not be computed to know it."""
        return [() if self.length is None else (pt.as_tensor(np.int64(self.length)),)]

    def perform(self, node: Apply, inputs: Any, output_storage: Any) -> None:
        """Call the user's function."""
        try:
            value = self.compute(np.concatenate([np.ravel(item) for item in inputs]))
        except BaseException as error:
            note(error)
            raise
        output_storage[0][0] = np.asarray(value)


class BlackBoxLogLikelihood(_BlackBox):
    """The log likelihood as one node of the graph, computed by the user's function.

    Its gradient is the analysis' `log_likelihood_gradient`, where there is one.

    Parameters
    ----------
    log_likelihood : LogLikelihood
    """

    def compute(self, vector: np.ndarray) -> float:
        """Return the log likelihood at a vector."""
        return self.log_likelihood(vector)

    def pullback(self, inputs: Any, outputs: Any, cotangents: Any) -> list[Variable]:
        """Return the gradient with respect to each parameter, times the cotangent."""
        if not self.log_likelihood.has_gradient:
            reason = f"{type(self.log_likelihood.analysis).__name__} has no log_likelihood_gradient"
            return [grad_not_implemented(self, place, item, reason) for place, item in enumerate(inputs)]
        gradient = self._gradient(inputs)
        layout = self.log_likelihood.plan.layout
        return [
            cotangents[0] * gradient[place].reshape(parameter.shape)
            for parameter, place in zip(layout.parameters, layout.slices, strict=True)
        ]

    def _gradient(self, inputs: Any) -> Variable:
        """Return the gradient in the vector's order."""
        return BlackBoxGradient(self.log_likelihood)(*inputs)


class BlackBoxGradient(_BlackBox):
    """The gradient of the log likelihood, computed by the user's function.

    Parameters
    ----------
    log_likelihood : LogLikelihood
    """

    @property
    def length(self) -> int | None:
        """How many numbers it computes."""
        return self.log_likelihood.plan.size

    def compute(self, vector: np.ndarray) -> np.ndarray:
        """Return the gradient at a vector, in the vector's order."""
        return self.log_likelihood.gradient(vector)


class BlackBoxQuantity(_BlackBox):
    """One of the analysis' derived quantities; NaN where the user's function raises `FitException`.

    Parameters
    ----------
    quantities : DerivedQuantities
    name : str
    """

    __props__ = ("quantities", "name")

    def __init__(self, quantities: DerivedQuantities, name: str) -> None:
        super().__init__(LogLikelihood(quantities.plan, quantities.analysis))
        self.quantities = quantities
        self.name = name

    @property
    def length(self) -> int | None:
        """How many numbers it computes; None for a scalar."""
        shape = self.quantities.shapes[self.name]
        return math.prod(shape) if shape else None

    def compute(self, vector: np.ndarray) -> Any:
        """Return the quantity at a vector, flat if it is an array."""
        try:
            value = self.quantities(vector)[self.name]
        except FitException:
            return np.nan if self.length is None else np.full(self.length, np.nan)
        return value if self.length is None else value.ravel()


@cache
def _tell_numba() -> None:
    """Tell numba's linker how the functions are called.

    Its object mode takes 0.3 ms a call. Instead the compiled code calls a C function pointer that
    enters Python by itself, which takes a microsecond; only where the user's function raised does it
    go through object mode, to raise the same exception.
    """
    try:
        import numba
        from pytensor.link.numba.dispatch.basic import numba_njit, register_funcify_and_cache_key
    except ImportError:  # no numba: other linkers call `perform`
        return
    import ctypes

    def funcify(op: _BlackBox, node: Any, **kwargs: Any) -> tuple[Any, None]:
        size = op.log_likelihood.plan.size
        scalar = op.length is None
        length = op.length or 1
        raised: list[BaseException] = []

        @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_size_t, ctypes.c_size_t)
        def call(vector: int, result: int) -> int:
            if has_failed():
                return 1
            try:
                values = np.ctypeslib.as_array((ctypes.c_double * size).from_address(vector)).copy()
                np.ctypeslib.as_array((ctypes.c_double * length).from_address(result))[:] = op.compute(values)
            except BaseException as error:
                note(error)
                raised.append(error)
                return 1
            return 0

        def reraise() -> None:
            raise raised.pop() if raised else RuntimeError("The likelihood has failed before.")

        @numba_njit
        def evaluate(vector):  # type: ignore[no-untyped-def]
            result = np.empty(length)
            if call(vector.ctypes.data, result.ctypes.data):
                with numba.objmode():
                    reraise()
            return result

        gather = _gather(numba_njit, len(node.inputs), [item.type.ndim for item in node.inputs], size)

        if scalar:

            @numba_njit
            def blackbox(*inputs):  # type: ignore[no-untyped-def]
                return np.asarray(evaluate(gather(inputs))[0])
        else:

            @numba_njit
            def blackbox(*inputs):  # type: ignore[no-untyped-def]
                return evaluate(gather(inputs))

        blackbox.keep = (call, raised)  # the function pointer lives as long as what calls it
        return blackbox, None

    register_funcify_and_cache_key(_BlackBox)(funcify)


def _gather(njit: Any, count: int, ndims: list[int], size: int) -> Any:
    """Return a compiled function from a tuple of the parameters to one vector."""
    from numba import literal_unroll

    if count == size and not any(ndims):

        @njit
        def gather(inputs):  # type: ignore[no-untyped-def]
            vector = np.empty(size)
            place = 0
            for value in literal_unroll(inputs):  # numba unrolls no enumerate
                vector[place] = value.item()
                place += 1  # noqa: SIM113
            return vector

        return gather

    @njit
    def gather_arrays(inputs):  # type: ignore[no-untyped-def]
        vector = np.empty(size)
        place = 0
        for value in literal_unroll(inputs):
            for number in value.flat:
                vector[place] = number
                place += 1
        return vector

    return gather_arrays
