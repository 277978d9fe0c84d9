"""The posterior density as a plain function of a point, where every point is allowed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
from pymc.logprob.utils import ParameterValueError
from pymc.pytensorf import join_nonshared_inputs
from pytensor.compile.mode import Mode
from pytensor.graph.replace import vectorize_graph
from pytensor.scalar.basic import autocast_float_as

from classy_pm.graph.native import NATIVE
from classy_pm.graph.unconstrained import unconstraining
from classy_pm.plan import Plan

__all__ = ["Density"]

# What is called a few times, or spends its time in the user's Python, is not worth machine code.
UNCOMPILED = Mode(linker="py", optimizer="fast_compile")


class Density:
    """The log posterior density, with its gradient, of points on the unconstrained scale of a PyMC model.

    By default it is the density on that scale, from which a sampler draws: its mode is not the mode in
    the parameters' own units.

    Parameters
    ----------
    pymc_model : pymc.Model
    plan : Plan
    compiled : bool
        Whether to make machine code; not for a likelihood that is Python itself.
    of : {"points", "parameters", "likelihood"}
        Whose log density: that of the points; that of the parameters in their own units, without the
        change of scale; or the log likelihood alone, and zero density where an assertion fails.

    Attributes
    ----------
    size : int
        Length of a point.
    places : dict of str to slice
        Where each parameter is in a point.
    """

    def __init__(
        self,
        pymc_model: pm.Model,
        plan: Plan,
        *,
        compiled: bool,
        of: Literal["points", "parameters", "likelihood"] = "points",
    ) -> None:
        self._model = pymc_model
        self._plan = plan
        self._of = of
        self._mode = NATIVE if compiled else UNCOMPILED
        self._values = [pymc_model.rvs_to_values[pymc_model[name]] for name in plan.names]
        point = pymc_model.initial_point()
        self.shapes = [np.shape(point[value.name]) for value in self._values]
        ends = np.cumsum([np.prod(shape, dtype=int) for shape in self.shapes])
        self.size = int(ends[-1])
        self.places = dict(zip(plan.names, map(slice, [0, *ends[:-1]], ends), strict=True))
        self._point = point

    def __call__(self, point: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the log density and its gradient at a point, shape (size,)."""
        try:
            value, gradient = self._with_gradient(point)
        except ParameterValueError:  # a prior that does not exist there: its width has become zero
            return -np.inf, np.zeros(self.size)
        return float(value), gradient

    def value(self, point: np.ndarray) -> float:
        """Return the log density at a point, shape (size,)."""
        try:
            return float(self._value(point))
        except ParameterValueError:
            return -np.inf

    def points(self, vectors: np.ndarray) -> np.ndarray:
        """Map parameter values, shape (number, plan.size), to points, shape (number, size)."""
        return self._unconstrain(vectors)

    def vectors(self, points: np.ndarray) -> np.ndarray:
        """Map points, shape (number, size), to parameter values, shape (number, plan.size)."""
        columns = self._constrain(np.ascontiguousarray(points))
        return np.concatenate([column.reshape(len(points), -1) for column in columns], axis=-1)

    def in_order_of_plan(self, points: np.ndarray) -> np.ndarray:
        """Return points with the parameters in the order of the plan: as they are."""
        return points

    def log_jacobian(self, points: np.ndarray) -> np.ndarray:
        """Return the log of the change of scale at points, shape (number, size): of shape (number,).

        It is what the log density of the points has more than that of the parameters.
        """
        return np.asarray(self._change_of_scale(np.ascontiguousarray(points)))

    def function_of(self, outputs: Sequence[Any], inputs: Sequence[Any] = ()) -> Callable[..., list[Any]]:
        """Compile variables of the PyMC model as a function of a point, shape (size,), and of other inputs.

        Parameters
        ----------
        outputs : sequence of TensorVariable
            Of the model's value variables, and of the inputs.
        inputs : sequence of TensorVariable
        """
        return self.gradients_of(outputs, (), inputs)

    def gradients_of(
        self, outputs: Sequence[Any], scalars: Sequence[Any], inputs: Sequence[Any] = ()
    ) -> Callable[..., list[Any]]:
        """Compile the same, and the gradient of scalars by the point besides, each of shape (size,)."""
        with autocast_float_as("float64"):
            joint, joined = join_nonshared_inputs(self._point, [*outputs, *scalars], self._values, [])
            of_scalars = joint[len(outputs) :]
            gradients = [pytensor.grad(scalar, joined) for scalar in of_scalars]
        return self._compile([joined, *inputs], [*joint[: len(outputs)], *gradients])

    @cached_property
    def _with_gradient(self) -> Callable[[np.ndarray], Any]:
        (value,), joined = self._joined()
        return self._compile([joined], [value, pytensor.grad(value, joined)])

    @cached_property
    def _value(self) -> Callable[[np.ndarray], Any]:
        (value,), joined = self._joined()
        return self._compile([joined], value)

    def _joined(self) -> tuple[list[Any], Any]:
        data = [*self._model.observed_RVs, *self._model.potentials]
        with autocast_float_as("float64"):
            value = self._model.logp(
                data if self._of == "likelihood" else None, jacobian=self._of == "points"
            )
            outputs, joined = join_nonshared_inputs(self._point, [value], self._values, [])
        return outputs, joined

    def _compile(self, inputs: list[Any], outputs: Any) -> Callable[..., Any]:
        # With fast mathematics code from numba's cache gives other digits than code just compiled.
        with autocast_float_as("float64"), pytensor.config.change_flags(numba__fastmath=False):
            function = pytensor.function(inputs, outputs, mode=self._mode)
        function.trust_input = True
        return function

    @cached_property
    def _unconstrain(self) -> Callable[[np.ndarray], np.ndarray]:
        return unconstraining(self._model, self._plan, [value.name for value in self._values])

    @cached_property
    def _constrain(self) -> Callable[[np.ndarray], Any]:
        names = self._plan.names
        return self._batched(self._model.replace_rvs_by_values([self._model[name] for name in names]))

    @cached_property
    def _change_of_scale(self) -> Callable[[np.ndarray], Any]:
        total: Any = pt.zeros(())
        for name, value in zip(self._plan.names, self._values, strict=True):
            variable = self._model[name]
            transform = self._model.rvs_to_transforms[variable]
            if transform is not None:
                total = total + pt.sum(transform.log_jac_det(value, *variable.owner.inputs))
        function = self._batched(self._model.replace_rvs_by_values([total]))
        return lambda points: np.broadcast_to(function(points)[0], len(points))

    def _batched(self, outputs: list[Any]) -> Callable[[np.ndarray], Any]:
        """Return a function of many points; it is called a few times, and not compiled."""
        columns, joined = join_nonshared_inputs(self._point, outputs, self._values, [])
        points = pt.dmatrix()
        function = pytensor.function(
            [points],
            vectorize_graph(columns, {joined: points}),
            mode=UNCOMPILED,
            on_unused_input="ignore",  # without any limit there is no change of scale
        )
        function.trust_input = True
        return function
