"""From the source to machine code: a linker for PyTensor's functions, and functions for C to call."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import numba
import numpy as np
from llvmlite import binding
from numba import types
from numba.np.numpy_support import carray
from pytensor import config
from pytensor.compile.mode import Mode
from pytensor.graph.basic import Variable
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.rewriting.db import RewriteDatabaseQuery
from pytensor.link.numba.cache import compile_numba_function_src
from pytensor.link.numba.linker import NumbaLinker
from pytensor.scalar.basic import ScalarType

from classy_pm.graph.native.levels import Unsupported, shape_of
from classy_pm.graph.native.places import Buffer, Number, contiguous
from classy_pm.graph.native.steps import Step
from classy_pm.graph.native.translate import Translation

__all__ = ["NATIVE", "NativeLinker", "c_function", "rewritten"]

# Part of the key of the cache: to be changed with whatever changes what a source does.
VERSION = 3


class NativeLinker(NumbaLinker):
    """PyTensor's linker for numba, which compiles graphs of known shapes as one function."""

    def fgraph_convert(self, fgraph: FunctionGraph, **kwargs: Any) -> Any:
        """Return the function and whether it can be cached."""
        try:
            return python_function(fgraph)
        except Unsupported:
            with config.change_flags(numba__fastmath=False):
                return super().fgraph_convert(fgraph, **kwargs)

    def jit_compile(self, fn_and_cache: Any) -> Any:
        """Return the compiled function."""
        function, cache = fn_and_cache
        if hasattr(function, "py_func"):
            with config.change_flags(numba__fastmath=False):
                return super().jit_compile(fn_and_cache)
        return numba.njit(function, error_model="numpy", cache=cache is not None)


# Loops are fused, and scalars kept out of arrays, by the translation; nothing is computed in place.
# NaN is not equal to itself, which PyTensor's simplification of comparisons leaves out.
_LEFT_OUT = (
    "fusion",
    "inplace",
    "fuse_elemwise",
    "scalarize",
    "add_mul_fusion",
    "local_useless_elemwise_comparison",
)
NATIVE = Mode(NativeLinker(), RewriteDatabaseQuery(include=["fast_run", "numba"], exclude=_LEFT_OUT))


def rewritten(inputs: Sequence[Variable], outputs: Sequence[Variable]) -> FunctionGraph:
    """Return the graph of outputs as PyTensor simplifies it for machine code."""
    graph = FunctionGraph(list(inputs), list(outputs), clone=True)
    NATIVE.optimizer.rewrite(graph)
    return graph


def python_function(graph: FunctionGraph) -> tuple[Any, str | None]:
    """Return a function of arrays that gives a tuple of arrays, to be compiled, and the key of its cache."""
    work = Translation(graph)
    names = [f"x{number}" for number in range(len(graph.inputs))]
    head = []
    for name, variable in zip(names, graph.inputs, strict=True):
        shape, dtype = shape_of(variable), getattr(variable.type, "dtype", "")
        if isinstance(variable.type, ScalarType):
            work.values[variable] = Number(name, dtype)
        elif shape == ():
            head.append(f"{name}_ = {name}[()]")
            work.values[variable] = Number(f"{name}_", dtype)
        else:
            size = int(np.prod(shape))
            head += [
                f"{name}_ = np.ascontiguousarray({name}).reshape(-1)",
                f"if {name}_.size != {size}: raise ValueError('input {name} has not the size {size}')",
            ]
            place = contiguous(Buffer(dtype, size, f"{name}_"), shape)
            work.values[variable] = place if size > 1 else Number(f"{name}_[0]", dtype, shape)
    work.run()
    results = []
    for variable in graph.outputs:
        results.append(work.name("o"))
        _returned(work, results[-1], variable)
    body = [*head, *work.source(), f"return ({', '.join(results)},)"]
    return _function(work, "traced", names, body)


def _returned(work: Translation, name: str, variable: Any) -> None:
    """Make the array of an output."""
    value, shape = work.value(variable), shape_of(variable)
    if isinstance(value, Number) and not shape:
        work.line(f"{name} = np.asarray({value.code})")
        return
    place = work.place(value)
    array = work.array(place)
    work.steps.append(Step([place.buffer], [], lambda: [f"{name} = {array()}.copy()"]))


def c_function(
    graph: FunctionGraph, outputs: Sequence[str], checks: Sequence[tuple[int, int]] = (), counts: int = 1
) -> Any:
    """Return a compiled function for C of a graph with a vector as its input, and perhaps one of settings.

    Parameters
    ----------
    graph : FunctionGraph
        What `rewritten` returned.
    outputs : sequence of str
        The names of the pointers to the outputs, in the order in which C gives them.
    checks : sequence of tuple of int
        For each output that has to be finite its number and the code that is returned if it is not.
    counts : int
        How many lengths C gives before the pointers; the first is that of the vector.

    Returns
    -------
    numba.core.ccallback.CFunc
        Of the lengths, a pointer to the vector, the pointers to the outputs, and one to the settings.
        It returns 0, 1 for an exception, or the code of a check.

    Raises
    ------
    Unsupported
        If a shape is not known.
    """
    work = Translation(graph, on_fault="return 1")
    work.scope["carray"] = carray
    vectors = list(zip(graph.inputs, ("given", "settings"), strict=False))
    for vector, name in vectors:
        (length,) = shape_of(vector)
        place = contiguous(Buffer("float64", length, name), (length,))
        work.values[vector] = place if length > 1 else Number(f"{name}[0]", "float64", (1,))
    work.run()
    for name, variable in zip(outputs, graph.outputs, strict=True):
        shape = shape_of(variable)
        target = contiguous(Buffer("float64", max(1, int(np.prod(shape))), name), shape)
        work.copy(work.value(variable), target)
    tail = []
    for number, code in checks:
        size = int(np.prod(shape_of(graph.outputs[number])))
        tail += [
            f"for i0 in range({size}):",
            f"    if not np.isfinite({outputs[number]}[i0]): return {code}",
        ]
    lengths = [f"n{number}" for number in range(counts)]
    sizes = [shape_of(vector)[0] for vector, _ in vectors]
    head = [f"if n0 != {sizes[0]}: return -1", f"given = carray(x, ({sizes[0]},))"]
    if len(sizes) == 2:
        head.append(f"settings = carray(more, ({sizes[1]},))")
    body = [*head, *work.source(), *tail, "return 0"]
    pointer = types.CPointer(types.double)
    signature = types.int64(*[types.uint64] * counts, *[pointer] * (2 + len(outputs)))
    arguments = [*lengths, "x", *outputs, "more"]
    function, key = _function(work, "density", arguments, body)
    if work.may_raise:
        function, key = _guarded(work, function, key, signature, arguments)
    return numba.cfunc(signature, error_model="numpy", cache=key is not None)(function)


def _guarded(
    work: Translation, function: Any, key: str | None, signature: Any, arguments: Sequence[str]
) -> tuple[Any, str | None]:
    """Return a function that calls another and returns 1 where that raises an exception, and its key.

    The other is called as C would, by a symbol. As a part of this one it would be optimised a second time,
    and its sums added in another order: code from the cache would give other digits than code just compiled,
    which calls what was compiled first.
    """
    inner = numba.njit(function, error_model="numpy", cache=key is not None)
    inner.compile(signature.args)
    compiled = inner.overloads[signature.args]
    symbol = f"classy_pm_density_{key or id(inner)}"
    address = compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name)
    binding.add_symbol(symbol, address)
    # numba's functions return whether all went well, and write what they return, and what was raised.
    outer = Translation(work.graph, keys=[key])
    outer.external[symbol] = types.int32(types.intp, types.intp, *signature.args)
    outer.keeps.append(inner)
    body = [
        "given = np.zeros(2, np.int64)",
        "place = given.ctypes.data",
        f"failed = {symbol}(place, place + 8, {', '.join(arguments)})",
        "return 1 if failed else given[0]",
    ]
    return _function(outer, "guarded", arguments, body)


def _function(
    work: Translation, name: str, arguments: Sequence[str], body: Sequence[str]
) -> tuple[Any, str | None]:
    """Return the Python function of a source and the key of its machine code."""
    lines = [f"def {name}({', '.join(arguments)}):", *("    " + line for line in body)]
    source = "\n".join(lines) + "\n"
    scope = {"__name__": __name__, **work.scope}
    scope |= {symbol: types.ExternalFunction(symbol, kind) for symbol, kind in work.external.items()}
    key = None
    if None not in work.keys:
        key = sha256(repr((VERSION, source, work.keys)).encode()).hexdigest()
    function = compile_numba_function_src(source, name, global_env=scope, cache_key=key)
    function.keeps = work.keeps
    return function, key
