"""`JaxLogLikelihood`: a user's function in `jax.numpy`, compiled by JAX, in double precision."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

from classy_pm.errors import FitException, MissingPackageError, TraceError
from classy_pm.likelihood.analysis import Analysis
from classy_pm.likelihood.evaluate import LogLikelihood, in_double_precision
from classy_pm.likelihood.factorwise import Elsewhere
from classy_pm.model.instances import compile_instances
from classy_pm.plan import Plan

__all__ = ["JaxLogLikelihood", "in_jax", "require_jax"]


def require_jax() -> Any:
    """Return the package jax, or say how to get it.

    Raises
    ------
    MissingPackageError
        If it cannot be imported.
    """
    try:
        import jax
    except ImportError as error:
        raise MissingPackageError(
            f"A likelihood in jax.numpy needs the package jax, which cannot be imported: {error}.",
            cure='Install it: pip install "classy_pm[jax]".',
        ) from error
    return jax


class JaxLogLikelihood(LogLikelihood):
    """The log likelihood and its gradient, both by one call of a function that JAX has compiled.

    The user's function is run once, on JAX's tracers in the places of the parameters.

    Parameters
    ----------
    plan : Plan
    analysis : Analysis
        Its log likelihood takes JAX's arrays.
    """

    def __init__(self, plan: Plan, analysis: Analysis) -> None:
        super().__init__(plan, analysis)
        self.factorwise = None  # JAX computes all of it in one call
        require_jax()

    def __getstate__(self) -> dict[str, Any]:
        # What was compiled is compiled again where it is needed.
        return {name: getattr(self, name) for name in ("plan", "analysis", "nan_count")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["plan"], state["analysis"])  # type: ignore[misc]
        self.nan_count = state["nan_count"]

    def _evaluated(self, vector: np.ndarray, elsewhere: Elsewhere | None = None) -> float:
        return self._told(float(self._value(vector)), vector)

    @property
    def has_gradient(self) -> bool:
        """It always has."""
        return True

    def gradient(self, vector: np.ndarray) -> np.ndarray:
        """Return the gradient at one vector, shape (size,); zero where it is impossible."""
        return self.value_and_gradient(vector)[1:]

    def value_and_gradient(self, vector: np.ndarray) -> np.ndarray:
        """Return the log likelihood and after it the gradient, shape (1 + size,)."""
        with in_double_precision():
            both = np.array(self._value_and_gradient(vector))
        both[0] = self._without_nan(self._told(float(both[0]), vector))
        return both

    # -- what JAX compiles ------------------------------------------------------------------------

    def function(self, *parameters: Any) -> Any:
        """Return the log likelihood, given JAX's arrays for the free parameters.

        Raises
        ------
        TraceError
            If the user's function does what JAX cannot trace; names the user's line.
        """
        from classy_pm.likelihood.jax_refusals import refusal

        jnp = require_jax().numpy
        try:
            with np.errstate(all="ignore"):
                value = self.analysis.log_likelihood_function(self._build(list(parameters)))
        except FitException:  # it was no parameter that decided so: it is impossible everywhere
            value = -np.inf
        except Exception as error:
            raise refusal(error) from error
        return jnp.asarray(value).astype("float64")

    def function_and_gradient(self, *parameters: Any) -> Any:
        """Return the log likelihood and after it the gradient, a vector.

        Where it is NaN or infinite the gradient is zero.
        """
        jax = require_jax()
        places = tuple(range(len(parameters)))
        value, slopes = jax.value_and_grad(self.function, argnums=places)(*parameters)
        slope = jax.numpy.concatenate([jax.numpy.ravel(part) for part in slopes])
        slope = jax.numpy.where(jax.numpy.isfinite(value), slope, 0.0)
        return jax.numpy.concatenate([value[None], slope])

    def terms(self, *parameters: Any) -> Any:
        """Return the analysis' own pointwise terms, given JAX's arrays for the free parameters."""
        from classy_pm.likelihood.jax_refusals import refusal

        try:
            with np.errstate(all="ignore"):
                terms = self.analysis.log_likelihood_pointwise(self._build(list(parameters)))
        except Exception as error:
            raise refusal(error) from error
        return require_jax().numpy.asarray(terms).astype("float64")

    def _of_vector(self, function: Callable[..., Any]) -> Callable[[Any], Any]:
        layout = self.plan.layout
        parts = [(place, item.shape) for place, item in zip(layout.slices, layout.parameters, strict=True)]
        # `jit` copies nothing: the vector comes in as NumPy's, and goes no further.
        return require_jax().jit(
            lambda vector: function(*(vector[place].reshape(shape) for place, shape in parts))
        )

    @cached_property
    def _value(self) -> Callable[[Any], Any]:
        return self._of_vector(self.function)

    @cached_property
    def _value_and_gradient(self) -> Callable[[Any], Any]:
        return self._of_vector(self.function_and_gradient)

    @cached_property
    def _compiled_terms(self) -> Callable[[Any], Any]:
        return self._of_vector(self.terms)

    def _terms(self, vector: np.ndarray) -> np.ndarray:
        with in_double_precision():
            return np.asarray(self._compiled_terms(vector))

    @cached_property
    def _build(self) -> Callable[[list[Any]], Any]:
        layout = self.plan.layout
        return compile_instances(layout.root, layout.position, in_jax)


def in_jax(ufunc: np.ufunc) -> Callable[..., Any]:
    """Return JAX's function for NumPy's or SciPy's, of which derived parameters are made."""
    jax = require_jax()
    from jax.scipy import special

    for module in (jax.numpy, special):
        if hasattr(module, ufunc.__name__):
            function: Callable[..., Any] = getattr(module, ufunc.__name__)
            return function
    raise TraceError(
        f"A parameter is computed by {ufunc.__name__}, which JAX does not have.",
        cure="Compute it inside the class or the likelihood, in jax.numpy.",
    )
