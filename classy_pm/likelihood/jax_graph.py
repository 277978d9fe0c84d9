"""A likelihood in `jax.numpy` as a graph, proved equal to the user's function as a trace is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Variable

from classy_pm.errors import TraceError
from classy_pm.likelihood.analysis import Analysis
from classy_pm.likelihood.evaluate import in_double_precision
from classy_pm.likelihood.jax_likelihood import JaxLogLikelihood, require_jax
from classy_pm.likelihood.jax_ops import JaxFunction, JaxValue
from classy_pm.likelihood.jax_refusals import require_double_precision, single_precision_constants
from classy_pm.likelihood.joint import JointAnalysis, classes_of
from classy_pm.likelihood.trace import Branch, Trace
from classy_pm.likelihood.warn import warn

__all__ = ["jax_trace"]

NO_TERMS = (
    "JAX gives the log likelihood as one number, and the analysis has no "
    "log_likelihood_pointwise(self, instance)."
)


def jax_trace(compiled: JaxLogLikelihood, inputs: Sequence[Variable], vectors: np.ndarray) -> Trace:
    """Return the graph of a likelihood that is written in `jax.numpy`.

    Parameters
    ----------
    compiled : JaxLogLikelihood
    inputs : sequence of TensorVariable
        One a free parameter.
    vectors : numpy.ndarray, shape (number, size)
        Draws from the prior, at which the pointwise terms must add up to the log likelihood.

    Raises
    ------
    TraceError
        If JAX cannot trace it, or if it is rounded to single precision; names the user's line.
    LikelihoodError
        If the analysis' pointwise terms do not add up.
    """
    closed = _traced_by_jax(compiled.function, inputs)
    require_double_precision(closed)
    shapes = single_precision_constants(closed)
    if shapes:
        warn(
            f"{_classes(compiled.analysis)} computes with arrays that JAX made in single precision, of "
            f"shapes {', '.join(shapes)}: their values have seven digits. Keep data as NumPy arrays, or "
            'write jax.config.update("jax_enable_x64", True) before they are made.'
        )
    terms, reason = _terms(compiled, inputs, vectors)
    value = JaxValue(compiled)(*inputs)
    return Trace(value, terms, reason, (Branch((), "value", len(vectors)),), ())


def _classes(analysis: Analysis) -> str:
    if isinstance(analysis, JointAnalysis):
        return classes_of(analysis.analyses)
    return type(analysis).__name__


def _terms(
    compiled: JaxLogLikelihood, inputs: Sequence[Variable], vectors: np.ndarray
) -> tuple[Any, str | None]:
    """Return the analysis' own pointwise terms as a vector, or why there are none."""
    if not compiled.has_pointwise:
        return None, NO_TERMS
    try:
        closed = _traced_by_jax(compiled.terms, inputs)
        require_double_precision(closed)
    except TraceError as error:
        return None, f"log_likelihood_pointwise is not for LOO with JAX: {error}"
    for vector in vectors:
        if np.isfinite(compiled(vector)):
            compiled.pointwise(vector)
    (shape,) = (item.shape for item in closed.out_avals)
    types = [item.type for item in inputs]

    def function(*parameters: Any) -> tuple[Any]:
        return (compiled.terms(*parameters),)

    operation = JaxFunction(types, [pt.TensorType("float64", shape)], function, "jax_pointwise")
    return operation(*inputs), None


def _traced_by_jax(function: Callable[..., Any], inputs: Sequence[Variable]) -> Any:
    jax = require_jax()
    with in_double_precision():
        return jax.make_jaxpr(function)(
            *(jax.ShapeDtypeStruct(item.type.shape, "float64") for item in inputs)
        )
