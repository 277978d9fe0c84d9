"""A PyMC model for nutpie whose log density and gradient are one function of machine code.

`nutpie.compile_pymc_model` has PyTensor make a function, which numba compiles, and then a function for C that
calls it, which numba compiles again in every process. Here the function for C is the only one, and it is kept
on disk.
"""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import prod
from typing import Any

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
from pytensor.graph import clone_replace, rewrite_graph
from pytensor.scalar.basic import autocast_float_as

from classy_pm.graph.native import c_function, rewritten
from classy_pm.likelihood.shared_numbers import SharedNumbers

__all__ = ["can_be_affine", "compile_by_nutpie", "compile_natively", "set_affine"]

# What nutpie is told of a gradient or a log density that is not finite.
GRADIENT_NOT_FINITE, VALUE_NOT_FINITE = 3, 4
# The point's length, and the addresses of the point, the gradient, the value and the settings.
_CALL = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_uint64, *[ctypes.c_void_p] * 4)


def compile_natively(
    model: pm.Model, names: Sequence[str], read_anew: Sequence[SharedNumbers] = (), *, affine: bool = False
) -> Any:
    """Return what nutpie samples.

    Parameters
    ----------
    model : pymc.Model
    names : sequence of str
        The variables that are stored.
    read_anew : sequence of SharedNumbers
        Their numbers are read whenever the density is asked for; they are moved into one vector.
    affine : bool
        Whether the sampler's points can be others than the model's: see `set_affine`.

    Returns
    -------
    nutpie.compile_pymc.CompiledPyMCModel
        Its `logp_func` gives the log density and its gradient at a point, -inf where an exception is raised.

    Raises
    ------
    Unsupported
        If a shape is not known.
    """
    with _undisturbed():
        return _compile(model, names, [numbers for numbers in read_anew if numbers.symbols], affine)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Keep no record of where nodes were made, and leave out collecting: half of the time goes there."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        # With `fastmath` machine code from the cache may differ in the last digit from what was just made.
        # PyMC writes numbers such as the 2.0 of its square roots, and PyTensor would make them float32.
        with (
            pytensor.config.change_flags(traceback__limit=0, numba__fastmath=False),
            autocast_float_as("float64"),
        ):
            yield
    finally:
        if collecting:
            gc.enable()


def compile_by_nutpie(model: pm.Model, names: Sequence[str]) -> Any:
    """Return what nutpie samples, compiled by nutpie and PyTensor themselves."""
    import nutpie

    with _undisturbed():
        compiled = nutpie.compile_pymc_model(model, var_names=list(names))
    compiled.logp_func.trust_input = True
    return compiled


def can_be_affine(compiled: Any) -> bool:
    """Whether a model was compiled so that `set_affine` can be asked for."""
    return getattr(compiled.logp_func, "affine", None) is not None


def set_affine(compiled: Any, origin: np.ndarray, root: np.ndarray) -> None:
    """Let a point ``z`` of the sampler be ``origin + root @ z`` of the model.

    A root of the covariance gives the sampler a posterior of unit covariance: what a dense mass matrix does.
    """
    compiled.logp_func.affine.vector[:] = np.concatenate([origin, root.ravel()])


def _compile(model: pm.Model, names: Sequence[str], read_anew: Sequence[SharedNumbers], affine: bool) -> Any:
    from nutpie.compile_pymc import CompiledPyMCModel, _prepare_dims_and_coords

    values = [model.rvs_to_values[variable] for variable in model.free_RVs]
    shapes = _shapes(model, values)
    places, size = _places(shapes)
    point = pt.tensor("point", dtype="float64", shape=(size,))
    moved = SharedNumbers([(size,), (size, size)], ["origin", "root"]) if affine else None
    if moved is not None:
        moved.vector[size:] = np.eye(size).ravel()
    inputs, settings, there, root = [point], np.zeros(0), point, None
    parts: dict[Any, Any] = {}
    all_numbers = [*read_anew, *filter(None, [moved])]
    if all_numbers:
        places_of, length = _places([numbers.vector.shape for numbers in all_numbers])
        settings = np.zeros(length)
        inputs.append(pt.tensor("settings", dtype="float64", shape=settings.shape))
        for numbers, place in zip(all_numbers, places_of, strict=True):
            numbers.move_to(settings[place])
            parts |= numbers.parts_of(inputs[1][place])
    if moved is not None:
        origin, root = (parts.pop(symbol) for symbol in moved.symbols)
        there = origin + pt.sum(root * point, axis=1)
    for value, place, shape in zip(values, places, shapes, strict=True):
        parts[value] = pt.reshape(there[place], shape).astype(value.dtype)
    density = _density(model.logp(), values, inputs, parts, root)
    known = {value.name for value in values}
    others = [v for v in model.unobserved_value_vars if v.name not in known and v.name in names]
    others_there = clone_replace(others, parts)
    expanded = pt.concatenate([there, *(pt.flatten(pt.cast(item, "float64")) for item in others_there)])
    graph = rewritten(inputs, [expanded])
    expand = c_function(graph, ["expanded"], counts=2)
    all_shapes = [*shapes, *(item.type.shape for item in others_there)]
    all_places, total = _places(all_shapes)
    shape_info = ([v.name for v in (*values, *others)], all_places, all_shapes)
    transformed = [
        value.name
        for variable, value in zip(model.free_RVs, values, strict=True)
        if model.rvs_to_transforms.get(variable) is not None
    ]
    dims, coords = _prepare_dims_and_coords(model, shape_info, transformed)
    return CompiledPyMCModel(
        dims=dims,
        compiled_logp_func=density,
        compiled_expand_func=expand,
        initial_point_func=_no_initial_point,
        shared_data={},
        shared_var_keys={},
        user_data=settings,
        n_expanded=total,
        shape_info=shape_info,
        logp_func=_Density(density, size, settings, moved),
        expand_func=None,
        _n_dim=size,
        _shapes=dict(zip(shape_info[0], map(tuple, all_shapes), strict=True)),
        _coords=coords,
        reparameterized_names=transformed,
    )


class _Density:
    """The log density and its gradient, for Python to call."""

    def __init__(self, compiled: Any, size: int, settings: np.ndarray, affine: SharedNumbers | None) -> None:
        self._compiled = compiled  # owns the machine code
        self._settings = settings
        self.affine = affine
        self._call = _CALL(compiled.address)
        self._size = size

    def __call__(self, point: np.ndarray) -> tuple[float, np.ndarray]:
        point = np.ascontiguousarray(point, dtype=np.float64)
        found = np.zeros(self._size + 1)
        value = found.ctypes.data
        code = self._call(
            self._size, point.ctypes.data, value + found.itemsize, value, self._settings.ctypes.data
        )
        if code not in (0, GRADIENT_NOT_FINITE, VALUE_NOT_FINITE):
            return -np.inf, np.zeros(self._size)
        return float(found[0]), found[1:]


def _density(
    value: Any, values: list[Any], inputs: list[Any], parts: dict[Any, Any], root: Any = None
) -> Any:
    value = rewrite_graph(value, include=["canonicalize", "stabilize"])
    slopes = pytensor.grad(value, values, disconnected_inputs="ignore")
    gradient = pt.concatenate([pt.flatten(pt.cast(slope, "float64")) for slope in slopes])
    gradient, value = clone_replace([gradient, value], parts)
    if root is not None:
        gradient = pt.sum(root * gradient[:, np.newaxis], axis=0)
    graph = rewritten(inputs, [gradient, value])
    checks = [(0, GRADIENT_NOT_FINITE), (1, VALUE_NOT_FINITE)]
    return c_function(graph, ["gradient", "value"], checks)


def _shapes(model: pm.Model, values: Sequence[Any]) -> list[tuple[int, ...]]:
    if all(None not in value.type.shape for value in values):
        return [tuple(value.type.shape) for value in values]
    point = model.initial_point()
    return [np.shape(point[value.name]) for value in values]


def _places(shapes: Sequence[Sequence[int]]) -> tuple[list[slice], int]:
    places, start = [], 0
    for shape in shapes:
        places.append(slice(start, start + prod(shape)))
        start += prod(shape)
    return places, start


def _no_initial_point(seed: Any = None) -> np.ndarray:
    raise NotImplementedError("where the chains start is found from the modes")
