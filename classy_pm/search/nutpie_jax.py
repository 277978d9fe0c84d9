"""A model whose likelihood is JAX's, compiled whole by JAX for nutpie.

PyTensor's JAX backend sets `jax_enable_x64` for the whole process when it is loaded. Here it is set back,
and what was compiled runs in double precision all the same. Who uses that backend directly, later in the
same process, sets `jax_enable_x64` himself; a likelihood of ours refuses to be compiled without.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import nutpie
from nutpie.compiled_pyfunc import PyFuncModel
from pymc.model.transform.optimization import freeze_dims_and_data
from pytensor.scalar.basic import autocast_float_as

from classy_pm.likelihood.evaluate import in_double_precision
from classy_pm.likelihood.jax_likelihood import require_jax

__all__ = ["NutpieJaxModel", "compile_by_jax"]


@dataclasses.dataclass(frozen=True)
class NutpieJaxModel(PyFuncModel):
    """What nutpie samples, with the same attributes that it gives to what numba compiled.

    Attributes
    ----------
    logp_func : callable
        Gives the log density and its gradient at a point.
    shape_info : tuple of list
        Names, places in the vector, and shapes of the unconstrained variables.
    initial_point_func : callable
        Gives the point where the chain with a seed starts.
    """

    logp_func: Callable[..., Any] | None = None
    shape_info: tuple[list[str], list[slice], list[tuple[int, ...]]] = ((), (), ())  # type: ignore[assignment]
    initial_point_func: Callable[[Any], np.ndarray] | None = None

    def _make_model(self, init_mean: Any) -> Any:
        started: Any = dataclasses.replace(self, _make_initial_points=self.initial_point_func)  # type: ignore[call-arg]
        return PyFuncModel._make_model(started, init_mean)


def compile_by_jax(pymc_model: Any, names: list[str]) -> NutpieJaxModel:
    """Compile the log density and its gradient.

    Parameters
    ----------
    pymc_model : pymc.Model
    names : list of str
        The variables whose draws are wanted.
    """
    jax = require_jax()
    # JAX needs fixed lengths. A model made of another one has its variables in another order: that of the
    # points is the frozen model's.
    frozen = freeze_dims_and_data(pymc_model)
    before = jax.config.values["jax_enable_x64"]
    try:
        with warnings.catch_warnings(), in_double_precision(), autocast_float_as("float64"):
            # Where a prior's width is negative the density is NaN, which counts as -inf: no check is missed.
            warnings.filterwarnings("ignore", "Skipping .* as JAX tracing would remove it")
            compiled = nutpie.compile_pymc_model(
                frozen, backend="jax", gradient_backend="pytensor", var_names=names, freeze_model=False
            )
    finally:
        jax.config.update("jax_enable_x64", before)
    make_logp = _double(compiled._make_logp_func)
    parts = {field.name: getattr(compiled, field.name) for field in dataclasses.fields(PyFuncModel)}
    parts |= {"_make_logp_func": make_logp, "_make_expand_func": _double(compiled._make_expand_func)}
    return NutpieJaxModel(
        **parts,
        logp_func=make_logp(),
        shape_info=_layout(frozen),
        initial_point_func=compiled._make_initial_points,
    )


def _double(make: Callable[..., Callable[..., Any]]) -> Callable[..., Callable[..., Any]]:
    """Let what a function makes run in double precision, in whatever thread it is called."""

    def made(*arguments: Any) -> Callable[..., Any]:
        function = make(*arguments)

        def call(*values: Any, **shared: Any) -> Any:
            with in_double_precision():
                return function(*values, **shared)

        return call

    return made


def _layout(pymc_model: Any) -> tuple[list[str], list[slice], list[tuple[int, ...]]]:
    """Return where the unconstrained variables are in nutpie's vector."""
    point = pymc_model.initial_point()
    names = [pymc_model.rvs_to_values[variable].name for variable in pymc_model.free_RVs]
    shapes = [np.shape(point[name]) for name in names]
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])
    starts = [0, *ends[:-1]]
    return names, [slice(int(a), int(b)) for a, b in zip(starts, ends, strict=True)], shapes
