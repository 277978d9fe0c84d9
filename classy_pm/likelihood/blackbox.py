"""The Op that calls a likelihood which cannot be traced."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Apply, Variable
from pytensor.graph.op import Op

from classy_pm.likelihood.evaluate import LogLikelihood

__all__ = ["BlackBoxLogLikelihood"]


class BlackBoxLogLikelihood(Op):
    """The log likelihood as one node of the graph, computed by the user's function.

    Two are equal if they call the same function of the same analysis. There is no gradient.

    Parameters
    ----------
    log_likelihood : LogLikelihood
    """

    __props__ = ("log_likelihood",)

    def __init__(self, log_likelihood: LogLikelihood) -> None:
        self.log_likelihood = log_likelihood

    def make_node(self, *parameters: Variable) -> Apply:
        """Make the node for the free parameters, in their order."""
        count = len(self.log_likelihood.plan.parameters)
        if len(parameters) != count:
            raise ValueError(f"The likelihood has {count} parameters; {len(parameters)} were given.")
        inputs = [pt.as_tensor_variable(parameter) for parameter in parameters]
        return Apply(self, inputs, [pt.dscalar()])

    def perform(self, node: Apply, inputs: Any, output_storage: Any) -> None:
        """Call the user's function."""
        output_storage[0][0] = np.asarray(
            self.log_likelihood(np.concatenate([np.ravel(value) for value in inputs]))
        )

    def infer_shape(self, node: Apply, input_shapes: Any) -> list[tuple[()]]:
        """Tell PyTensor that the value is a scalar, so that it need not be computed to know."""
        return [()]
