"""A traced likelihood at many vectors in one call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.compile.mode import Mode
from pytensor.graph.replace import vectorize_graph
from pytensor.graph.traversal import applys_between
from pytensor.tensor.elemwise import Elemwise

from classy_pm.likelihood.symbolic import SymbolicLogLikelihood

__all__ = ["compile_batched", "output_function"]

Batched = Callable[[np.ndarray], np.ndarray]

# What NumPy takes for one number of one operation, and for one operation of a batch, in seconds.
PER_ELEMENT = 1e-9
PER_OPERATION = 2e-6
BATCH = 25
# Beyond so many seconds in all, machine code repays being made.
WORTH_COMPILING = 10.0
# Arrays of a batch larger than this leave the processor's cache, and NumPy slows down.
CACHED_ELEMENTS = 16_384
SMALL = 2048


def compile_batched(symbolic: SymbolicLogLikelihood, expected: int) -> Batched | None:
    """Return a function of vectors, shape (batch, size), that gives their log likelihoods, shape (batch,).

    What is chosen depends on the graph and the number of calls alone and never on the clock, so that
    equal fits have equal draws. Small arrays go through NumPy as a batch, which costs nothing to prepare;
    many calls of a large graph are worth machine code.

    Parameters
    ----------
    symbolic : SymbolicLogLikelihood
        A traced one.
    expected : int
        About how many vectors there will be.

    Returns
    -------
    callable or None
        None where the user's function itself is the cheapest.
    """
    nodes = _nodes(symbolic, symbolic.value)
    sizes = [_size(output) for node in nodes for output in node.outputs]
    largest = max(sizes, default=1)
    seconds = expected * (sum(sizes) * PER_ELEMENT + len(nodes) * PER_OPERATION / BATCH)
    if largest <= SMALL and (seconds < WORTH_COMPILING and all(map(_is_fast_in_numpy, nodes))):
        return _in_chunks(symbolic, symbolic.value, max(1, CACHED_ELEMENTS // largest))
    if seconds < WORTH_COMPILING:
        return None
    return _vectorised(symbolic, symbolic.value, None) if largest <= SMALL else _one_by_one(symbolic)


def output_function(symbolic: SymbolicLogLikelihood, output: Any) -> Batched:
    """Return a function of vectors, shape (..., size), for another vector of the likelihood's graph.

    Parameters
    ----------
    symbolic : SymbolicLogLikelihood
    output : TensorVariable, shape (length,)

    Returns
    -------
    callable
        Gives arrays of shape (..., length).
    """
    sizes = [_size(made) for node in _nodes(symbolic, output) for made in node.outputs]
    function = _in_chunks(symbolic, output, max(1, CACHED_ELEMENTS // max(sizes, default=1)))

    def call(vectors: np.ndarray) -> np.ndarray:
        values = function(vectors.reshape(-1, vectors.shape[-1]))
        return values.reshape(*vectors.shape[:-1], -1)

    return call


def _nodes(symbolic: SymbolicLogLikelihood, output: Any) -> list[Any]:
    return list(applys_between(symbolic.inputs, [output]))


def _in_chunks(symbolic: SymbolicLogLikelihood, output: Any, length: int) -> Batched:
    function = _vectorised(symbolic, output, Mode(linker="py", optimizer="fast_compile"))

    def call(vectors: np.ndarray) -> np.ndarray:
        if len(vectors) <= length:
            return function(vectors)
        parts = [function(vectors[place : place + length]) for place in range(0, len(vectors), length)]
        return np.concatenate(parts)

    return call


def _vectorised(symbolic: SymbolicLogLikelihood, output: Any, mode: Mode | None) -> Batched:
    batched = {
        variable: pt.tensor(dtype="float64", shape=(None, *variable.type.shape))
        for variable in symbolic.inputs
    }
    outputs = vectorize_graph(output, batched)
    function = pytensor.function(list(batched.values()), outputs, mode=mode, on_unused_input="ignore")
    function.trust_input = True
    split, shape = symbolic.plain.plan.split, output.type.shape

    def call(vectors: np.ndarray) -> np.ndarray:
        values = function(*(np.ascontiguousarray(column) for column in split(vectors)))
        return np.broadcast_to(values, (len(vectors), *shape))

    return call


def _one_by_one(symbolic: SymbolicLogLikelihood) -> Batched:
    function = pytensor.function(list(symbolic.inputs), symbolic.value, on_unused_input="ignore")
    function.trust_input = True
    split = symbolic.plain.plan.split

    def call(vectors: np.ndarray) -> np.ndarray:
        return np.array([function(*map(np.asarray, split(vector))) for vector in vectors], dtype=float)

    return call


def _size(variable: Any) -> int:
    shape = getattr(variable.type, "shape", ())
    return int(np.prod([length or 1 for length in shape], dtype=float))


def _is_fast_in_numpy(node: Any) -> bool:
    """Whether NumPy has the operation; it else calls Python for each number."""
    if isinstance(node.op, Elemwise):
        return node.op.nfunc_spec is not None or getattr(node.op.scalar_op, "nfunc_spec", None) is not None
    return True
