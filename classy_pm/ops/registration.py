"""One's own functions, and those written in JAX, as operations of the graph."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.gradient import grad_undefined
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op

from classy_pm.errors import LikelihoodError, SettingError
from classy_pm.likelihood.calls import checked_call
from classy_pm.likelihood.evaluate import in_double_precision
from classy_pm.likelihood.jax_likelihood import require_jax
from classy_pm.likelihood.trace.complexes import Pair
from classy_pm.likelihood.trace.dispatch import find_traced, lift, pair_of, quietly, shadow_of
from classy_pm.likelihood.trace.numba_support import called_by_python
from classy_pm.likelihood.trace.wrapping import wrap


class FunctionOp(Op):
    """A plain function of arrays, called as it is.

    Parameters
    ----------
    function : callable
        Takes arrays, returns an array.
    gradient : callable or None
        Takes the gradient by the result and the arrays, returns the gradient by each of them.
    shape : tuple of int
        Shape of the result.
    """

    __props__ = ("function", "gradient", "shape")

    def __init__(
        self, function: Callable[..., Any], gradient: Callable[..., Any] | None, shape: tuple[int, ...]
    ) -> None:
        self.function = function
        self.gradient = gradient
        self.shape = shape

    def make_node(self, *inputs: Any) -> Apply:
        """Return the node."""
        arrays = [pt.as_tensor_variable(item) for item in inputs]
        return Apply(self, arrays, [pt.TensorType("float64", self.shape)()])

    def perform(self, node: Apply, inputs: Sequence[np.ndarray], outputs: Any) -> None:
        """Call the function."""
        result = np.asarray(self.function(*(item[()] for item in inputs)), dtype=np.float64)
        if result.shape != self.shape:
            raise LikelihoodError(
                f"{self.function.__qualname__} returned an array of shape {result.shape}, and of shape "
                f"{self.shape} before."
            )
        outputs[0][0] = result

    def pullback(self, inputs: Sequence[Any], outputs: Sequence[Any], cotangents: Sequence[Any]) -> list[Any]:
        """Call the gradient."""
        if self.gradient is None:
            why = f"{self.function.__qualname__} was registered without a gradient"
            return [grad_undefined(self, n, item, why) for n, item in enumerate(inputs)]
        called_by_python(GradientOp)
        return list(GradientOp(self.gradient, len(inputs))(cotangents[0], *inputs, return_list=True))

    def infer_shape(self, node: Apply, input_shapes: Any) -> Any:
        """Return the static shape."""
        return [tuple(pt.constant(n, dtype="int64") for n in self.shape)]


class GradientOp(Op):
    """The gradient of a function that was registered with it."""

    __props__ = ("gradient", "count")

    def __init__(self, gradient: Callable[..., Any], count: int) -> None:
        self.gradient = gradient
        self.count = count

    def make_node(self, *inputs: Any) -> Apply:
        """Return the node."""
        arrays = [pt.as_tensor_variable(item) for item in inputs]
        return Apply(self, arrays, [item.type.clone(dtype="float64")() for item in arrays[1:]])

    def perform(self, node: Apply, inputs: Sequence[np.ndarray], outputs: Any) -> None:
        """Call the gradient."""
        results = self.gradient(*(item[()] for item in inputs))
        results = results if isinstance(results, tuple | list) else (results,)
        if len(results) != self.count:
            raise LikelihoodError(
                f"{self.gradient.__qualname__} returned {len(results)} gradients for {self.count} arguments."
            )
        for cell, result, item in zip(outputs, results, inputs[1:], strict=True):
            array = np.asarray(result, dtype=np.float64)
            if array.shape != item.shape:
                raise LikelihoodError(
                    f"{self.gradient.__qualname__} returned a gradient of shape {array.shape} for an "
                    "argument "
                    f"of shape {item.shape}."
                )
            cell[0] = np.array(array)

    def infer_shape(self, node: Apply, input_shapes: Any) -> Any:
        """Return the shapes of the arguments."""
        return input_shapes[1:]


@checked_call("Write @traceable(gradient=...) or, for a function without a gradient, @traceable().")
def traceable(
    *, gradient: Callable[..., Any] | None = None
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a function of arrays, compiled code say, that cannot be traced.

    Parameters
    ----------
    gradient : callable, optional
        `gradient(result_gradient, *arrays)` returns a tuple with the gradient by each array: the sum over
        the result's elements of `result_gradient` times their derivative. Without it the likelihood has
        no gradient.

    Returns
    -------
    decorator
        The function that it returns takes traced arrays too. On plain arrays it is the function itself.

    Raises
    ------
    SettingError
        If the gradient cannot be called with these arguments.

    Examples
    --------
    >>> import numpy as np
    >>> @traceable(gradient=lambda g, x: (g * np.cos(x),))
    ... def sine(x):
    ...     return np.sin(x)
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        _check_gradient(function, gradient, _array_names(function))

        @wraps(function)
        def call(*arrays: Any) -> Any:
            arrays = tuple(lift(item) for item in arrays)
            traced = find_traced(arrays, 0)
            if traced is None:
                return function(*arrays)
            _check_gradient(function, gradient, [f"x{place}" for place in range(len(arrays))])
            shadow = np.asarray(quietly(function, *arrays), dtype=np.float64)
            session = traced._session
            variables = [pair_of(session, item).real for item in arrays]
            called_by_python(FunctionOp)
            result = FunctionOp(function, gradient, shadow.shape)(*variables)
            return wrap(session, Pair(result), shadow if shadow.ndim else shadow[()])

        return call

    return decorate


def _array_names(function: Callable[..., Any]) -> list[str]:
    """Return the names of the arrays that a function cannot be called without; [] where it does not tell."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return []
    by_place = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [item.name for item in parameters if item.kind in by_place and item.default is item.empty]


def _check_gradient(function: Any, gradient: Any, arrays: Sequence[str]) -> None:
    """Refuse a gradient that cannot be called with the result's gradient and the arrays."""
    if gradient is None:
        return
    name = getattr(function, "__qualname__", repr(function))
    cure = (
        f"Write gradient(result_gradient, {', '.join(arrays) or '*arrays'}): it returns a tuple with the "
        "gradient by each array."
    )
    if not callable(gradient):
        raise SettingError(f"The gradient of {name} is {gradient!r}, which is no function.", cure=cure)
    try:
        signature = inspect.signature(gradient)
    except (TypeError, ValueError):  # compiled code that does not tell
        return
    try:
        signature.bind("result_gradient", *(arrays or ["array"]))
    except TypeError:
        raise SettingError(
            f"The gradient of {name}, gradient{signature}, cannot be called with the gradient by the result "
            f"and {len(arrays) or 1} array{'s' * (len(arrays) > 1)}.",
            cure=cure,
        ) from None


def wrap_jax(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let a function written in `jax.numpy` take traced arrays; its gradient is JAX's.

    It computes in double precision, whatever `jax_enable_x64` is.

    Parameters
    ----------
    function : callable
        Takes and returns JAX arrays.

    Returns
    -------
    callable
        Takes plain and traced arrays. Needs the package `jax`.

    Examples
    --------
    >>> @wrap_jax  # doctest: +SKIP
    ... def decay(rate, x):
    ...     return jnp.exp(-rate * x)
    """

    @wraps(function)
    def call(*arrays: Any) -> Any:
        jax = require_jax()
        from classy_pm.likelihood.jax_ops import JaxFunction

        def as_tuple(*items: Any) -> tuple[Any]:
            return (jax.numpy.asarray(function(*items)).astype("float64"),)

        arrays = tuple(lift(item) for item in arrays)
        traced = find_traced(arrays, 0)
        with in_double_precision():
            shadow = np.asarray(function(*shadow_of(arrays)), dtype=np.float64)
        if traced is None:
            return shadow
        session = traced._session
        variables = [pair_of(session, item).real for item in arrays]
        types = [item.type for item in variables]
        operation = JaxFunction(
            types, [pt.TensorType("float64", shadow.shape)], as_tuple, function.__qualname__
        )
        return wrap(session, Pair(operation(*variables)), shadow if shadow.ndim else shadow[()])

    return call
