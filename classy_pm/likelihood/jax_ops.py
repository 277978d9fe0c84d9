"""Functions of JAX as operations of a PyTensor graph, in double precision whatever JAX's setting is.

They are `JAXOp`s, so that PyTensor's JAX backend puts them into what it compiles. Everywhere else they
are called from Python.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pytensor.graph.basic import Apply, Variable
from pytensor.graph.rewriting.basic import node_rewriter
from pytensor.link.jax.ops import JAXOp
from pytensor.tensor.rewriting.basic import register_specialize

from classy_pm.errors import LikelihoodError
from classy_pm.likelihood.blackbox import BlackBoxGradient, BlackBoxLogLikelihood
from classy_pm.likelihood.evaluate import in_double_precision
from classy_pm.likelihood.jax_likelihood import JaxLogLikelihood, require_jax
from classy_pm.likelihood.trace.numba_support import called_by_python

__all__ = ["JaxFunction", "JaxValue", "JaxValueAndGradient"]


class JaxFunction(JAXOp):
    """Any function of JAX's arrays that returns a tuple of them; differentiable as often as one likes.

    Parameters
    ----------
    input_types, output_types : sequence of TensorType
    jax_function : callable
    name : str, optional
    """

    __props__ = ("input_types", "output_types", "jax_func")

    def __init__(
        self, input_types: Sequence[Any], output_types: Sequence[Any], jax_function: Any, name: str = "jax"
    ) -> None:
        called_by_python(JaxFunction)
        super().__init__(input_types, output_types, jax_function, name)

    def perform(self, node: Apply, inputs: Sequence[Any], outputs: Any) -> None:
        """Call the function."""
        with in_double_precision():
            super().perform(node, inputs, outputs)

    def perform_jax(self, *inputs: Any) -> Any:
        """Return the function's value inside of what PyTensor's JAX backend compiles."""
        _require_double(inputs)
        return super().perform_jax(*inputs)

    def pullback(self, inputs: Sequence[Any], outputs: Sequence[Any], cotangents: Sequence[Any]) -> list[Any]:
        """Return the gradient, by JAX."""
        gradients = super().pullback(inputs, outputs, cotangents)
        node = next(item.owner for item in gradients if item.owner is not None)
        again = JaxFunction(node.op.input_types, node.op.output_types, node.op.jax_func, node.op.name)
        results = dict(zip(node.outputs, again(*node.inputs, return_list=True), strict=True))
        return [results.get(item, item) for item in gradients]


class JaxValue(BlackBoxLogLikelihood, JAXOp):
    """The log likelihood as one node of the graph, computed by JAX.

    Parameters
    ----------
    log_likelihood : JaxLogLikelihood
    """

    __props__ = ("log_likelihood",)
    name = "jax_log_likelihood"

    log_likelihood: JaxLogLikelihood

    def perform_jax(self, *inputs: Any) -> Any:
        """Return the value inside of what PyTensor's JAX backend compiles."""
        _require_double(inputs)
        return _without_nan(self.log_likelihood.function(*inputs))

    def connection_pattern(self, node: Apply) -> list[list[bool]]:
        """Say that the value depends on all parameters."""
        return [[True] for _ in node.inputs]

    def _gradient(self, inputs: Any) -> Variable:
        """Return the gradient in the vector's order."""
        return JaxValueAndGradient(self.log_likelihood)(*inputs)[1:]


class JaxValueAndGradient(BlackBoxGradient, JAXOp):
    """The log likelihood and after it its gradient, a vector, computed by JAX in one go.

    Parameters
    ----------
    log_likelihood : JaxLogLikelihood
    """

    __props__ = ("log_likelihood",)
    name = "jax_log_likelihood_and_gradient"

    log_likelihood: JaxLogLikelihood

    @property
    def length(self) -> int:
        """How many numbers it computes."""
        return 1 + self.log_likelihood.plan.size

    def compute(self, vector: np.ndarray) -> np.ndarray:
        """Return value and gradient at a vector."""
        return self.log_likelihood.value_and_gradient(vector)

    def perform_jax(self, *inputs: Any) -> Any:
        """Return value and gradient inside of what PyTensor's JAX backend compiles."""
        _require_double(inputs)
        return _without_nan(self.log_likelihood.function_and_gradient(*inputs))

    def connection_pattern(self, node: Apply) -> list[list[bool]]:
        """Say that it depends on all parameters."""
        return [[True] for _ in node.inputs]

    def pullback(self, inputs: Any, outputs: Any, cotangents: Any) -> list[Variable]:
        """Return the second derivatives, by JAX."""

        def function(*parameters: Any) -> tuple[Any]:
            return (self.log_likelihood.function_and_gradient(*parameters),)

        types = [item.type for item in inputs]
        operation = JaxFunction(types, [outputs[0].type], function, self.name)
        return operation.pullback(inputs, outputs, cotangents)


@register_specialize
@node_rewriter([JaxValue])
def take_value_from_gradient(fgraph: Any, node: Apply) -> list[Variable] | None:
    """Where a graph wants value and gradient, let one call give both."""
    for client, _ in fgraph.clients[node.inputs[0]]:
        if (
            isinstance(client.op, JaxValueAndGradient)
            and client.op.log_likelihood is node.op.log_likelihood
            and client.inputs == node.inputs
        ):
            return [client.outputs[0][0]]
    return None


def _without_nan(value: Any) -> Any:
    """Return -inf for the value where it is NaN; a gradient that is NaN stays, and stops the sampler."""
    jnp = require_jax().numpy
    first = jnp.arange(value.size).reshape(value.shape) == 0
    return jnp.where(first & jnp.isnan(value), -jnp.inf, value)


def _require_double(inputs: Sequence[Any]) -> None:
    """Refuse to be part of what is compiled in single precision."""
    if any(str(item.dtype) == "float32" for item in inputs):
        raise LikelihoodError(
            "JAX computes in float32 here: `jax_enable_x64` is off.",
            cure='Write jax.config.update("jax_enable_x64", True) before this model is compiled with '
            "PyTensor's or nutpie's JAX backend.",
        )
