"""A graph of known shapes as the source of one function.

PyTensor's linker for numba makes a function of each node, and numba compiles and LLVM optimises each of
them and again each that calls it. Here numbers are variables, views are index arithmetic, operations element
by element are loops over all that can be computed in one pass, and slow functions of arrays are NumPy's own
loops. What is not known here is PyTensor's function of the node.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
from numba import types
from numba.np.numpy_support import carray
from pytensor import config
from pytensor.graph.basic import Apply, Constant
from pytensor.graph.fg import FunctionGraph
from pytensor.link.numba.dispatch.basic import cache_key_for_constant, numba_funcify_ensure_cache
from pytensor.scalar.basic import ScalarType
from pytensor.tensor.elemwise import DimShuffle

from classy_pm.graph.native.levels import Unsupported, is_sum, levels, shape_of
from classy_pm.graph.native.loops import in_any_order, symbol
from classy_pm.graph.native.memory import LARGE, kept_memory
from classy_pm.graph.native.places import Buffer, Number, Place, Value, contiguous
from classy_pm.graph.native.scalars import inline, literal
from classy_pm.graph.native.steps import Loop, Step, addresses, allocate

__all__ = ["Translation"]

# Machine code holds larger constants by their addresses, and so cannot be kept for other processes: numba's
# `make_constant_array`.
LARGEST_KEPT = 10**6


@dataclass
class Translation:
    """The translation of a graph.

    Attributes
    ----------
    graph : FunctionGraph
    values : dict
        Of each variable, where it is.
    steps : list of Step
    scope : dict
        What the source names besides its own variables.
    keys : list of str or None
        What besides the source decides what the function does; with a None it cannot be cached.
    pinned : set of Buffer
        Buffers that are not given away after their last use.
    may_raise : bool
        Whether a function is called that may raise.
    external : dict
        The signatures of the symbols that are called.
    keeps : list
        What has to live as long as the function.
    scratch : int
        How many addresses and lengths they are given, at most.
    on_fault : str
        The statement for a check that fails; empty for raising its exception.
    """

    graph: FunctionGraph
    on_fault: str = ""
    values: dict[Any, Value] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    scope: dict[str, Any] = field(default_factory=lambda: {"np": np, "in_any_order": in_any_order})
    keys: list[str | None] = field(default_factory=list)
    pinned: set[int] = field(default_factory=set)
    may_raise: bool = False
    external: dict[str, Any] = field(default_factory=dict)
    keeps: list[Any] = field(default_factory=list)
    scratch: int = 0
    _count: int = 0

    def name(self, letter: str) -> str:
        """Return a name that is new."""
        self._count += 1
        return f"{letter}{self._count}"

    def run(self) -> None:
        """Translate all nodes; the inputs' values have been set."""
        from classy_pm.graph.native.nodes import translate_node

        order = self.graph.toposort()
        for variable in {item for node in order for item in (*node.inputs, *node.outputs)}:
            shape_of(variable)
        for singles, groups in levels(order):
            for node in singles:
                translate_node(self, node)
            for group in groups:
                self._loop(group)

    # --- values ---

    def value(self, variable: Any) -> Value:
        """Return where a variable is."""
        if variable not in self.values:
            if not isinstance(variable, Constant):
                raise Unsupported(f"{variable} is neither computed nor given")
            self.values[variable] = self._constant(variable)
        return self.values[variable]

    def _constant(self, variable: Any) -> Value:
        data, shape = np.asarray(variable.data), shape_of(variable)
        if prod(shape) == 1:
            return Number(literal(data, variable.type.dtype), variable.type.dtype, shape)
        name = self.name("c")
        self.scope[name] = np.ascontiguousarray(data).reshape(-1)
        self.keys.append(cache_key_for_constant(data) if data.nbytes <= LARGEST_KEPT else None)
        return contiguous(Buffer(variable.type.dtype, data.size, name), shape)

    def place(self, value: Value, shape: Sequence[int] | None = None) -> Place:
        """Return a value as an array in a buffer, in C's order."""
        if isinstance(value, Place) and value.is_contiguous:
            return value
        target = self.new(value.dtype, value.shape)
        self.copy(value, target)
        return target

    def new(self, dtype: str, shape: Sequence[int]) -> Place:
        """Return a place for a new array."""
        return contiguous(Buffer(dtype, prod(shape)), shape)

    def set(self, variable: Any, code: str) -> None:
        """Compute a variable that is one number."""
        name = self.name("s")
        self.line(f"{name} = {code}")
        self.values[variable] = Number(name, variable.type.dtype, shape_of(variable))

    def read(self, value: Value) -> str:
        """Return the source of a value that is one number."""
        if isinstance(value, Number):
            return value.code
        name = self.name("s")
        zeros = ["0"] * len(value.shape)
        self.steps.append(Step([value.buffer], [], lambda: [f"{name} = {value.at(zeros)}"]))
        return name

    # --- steps ---

    def line(self, code: str) -> None:
        """Add a statement about numbers."""
        self.steps.append(Step([], [], lambda: [code]))

    def copy(self, source: Value, target: Place, operator: str = "=") -> None:
        """Write, or with "+=" add, a value to a place."""
        loop = Loop(target.shape)
        code = loop.operand(source)
        loop.stores.append((target, operator, code))
        self.steps.append(loop.step())

    def call_loop(self, name: str, places: Sequence[Place], size: int, strides: Sequence[int]) -> None:
        """Call one of NumPy's loops over places."""
        self.external[symbol(name)] = types.void(*[types.intp] * 4)
        self.scratch = max(self.scratch, 8)

        def render() -> list[str]:
            lines = addresses(places)
            lines += [f"w[{index + 4}] = {8 * stride}" for index, stride in enumerate(strides)]
            return [*lines, f"w[3] = {size}", f"{symbol(name)}(wp, wp + 24, wp + 32, 0)"]

        buffers = [place.buffer for place in places]
        self.steps.append(Step(buffers, buffers[-1:], render))

    def array(self, place: Place) -> Callable[[], str]:
        """Return what renders a contiguous place as an array of its shape."""

        def render() -> str:
            end = place.start + place.size
            return f"{place.buffer.code}[{place.start}:{end}].reshape({place.shape!r})"

        return render

    # --- operations element by element ---

    def expression(self, op: Any, node: Apply, args: Sequence[str]) -> str:
        """Return the source of a scalar operation."""
        code = inline(op, node, args)
        if code is not None:
            return code
        scalars = [ScalarType(item.type.dtype)() for item in node.inputs]
        return f"{self.function(op, op.make_node(*scalars))}({', '.join(args)})"

    def function(self, op: Any, node: Apply) -> str:
        """Return the name of PyTensor's function for an operation."""
        with config.change_flags(numba__fastmath=False):
            function, key = numba_funcify_ensure_cache(op, node=node)
        self.keys.append(key)
        name = self.name("f")
        self.scope[name] = function
        return name

    def _loop(self, nodes: Sequence[Apply]) -> None:
        """Compute nodes of one shape in one pass."""
        inside = set(nodes)
        first = nodes[0]
        loop = Loop(shape_of(first.inputs[0] if is_sum(first) else first.outputs[0]))
        root: dict[Any, Any] = {}
        needed: dict[Any, None] = {}
        for node in nodes:
            (result,) = node.outputs
            if isinstance(node.op, DimShuffle):
                root[result] = root[node.inputs[0]]
            else:
                shape = shape_of(node.inputs[0] if is_sum(node) else result)
                args = [
                    loop.registers[root[item]] if item in root else loop.operand(self.value(item), shape)
                    for item in node.inputs
                ]
                if is_sum(node):
                    name = self.name("s")
                    loop.sums.append((name, args[0]))
                    self.values[result] = Number(name, "float64", shape_of(result))
                    continue
                root[result] = result
                name = self.name("t")
                loop.registers[result] = name
                loop.body.append(f"{name} = {self.expression(node.op.scalar_op, node, args)}")
            if any(client not in inside for client, _ in self.graph.clients[result]):
                needed[root[result]] = None
        for variable in needed:
            target = self.new(variable.type.dtype, shape_of(variable))
            loop.stores.append((target, "=", loop.registers[variable]))
            self.values[variable] = target
        for node in nodes:
            if isinstance(node.op, DimShuffle) and root[node.outputs[0]] in needed:
                source = self.values[node.inputs[0]]
                assert isinstance(source, Place)
                self.values[node.outputs[0]] = source.shuffle(node.op.new_order)
        self.steps.append(loop.step())

    # --- the source ---

    def source(self) -> list[str]:
        """Place the buffers and return the statements."""
        lines = self._room(allocate(self.steps, self.pinned))
        if self.scratch:
            lines += [f"w = np.empty({self.scratch}, np.int64)", "wp = w.ctypes.data"]
        for step in self.steps:
            lines += step.render()
        return lines

    def _room(self, sizes: dict[str, int]) -> list[str]:
        """Return the statements that get the memory of the common arrays, one of each dtype."""
        ends = np.cumsum([size * np.dtype(dtype).itemsize for dtype, size in sizes.items()]).tolist()
        # What Python computes meanwhile may use the thread's room for something else.
        room = kept_memory() if ends and ends[-1] >= LARGE and not self.keeps else None
        if room is None:
            return [f"m_{dtype} = np.empty({size}, np.{_numpy_name(dtype)})" for dtype, size in sizes.items()]
        self.scope |= {"room": room, "carray": carray}
        self.keys.append(None)  # the thread's room has another name in another process
        lines = [f"m_ = carray(room({ends[-1]}), ({ends[-1]},), np.uint8)"]
        for start, end, dtype in zip([0, *ends], ends, sizes, strict=False):
            lines.append(f"m_{dtype} = m_[{start}:{end}].view(np.{_numpy_name(dtype)})")
        return lines


def _numpy_name(dtype: str) -> str:
    return "bool_" if dtype == "bool" else dtype
