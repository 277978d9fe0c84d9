"""Operations that Python computes, for machine code to call.

numba's way to Python, `objmode`, keeps a function from being cached. A callback of ctypes is an address; it
becomes a symbol, which cached code finds by name if the same operation has been announced in its process.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from hashlib import sha256
from typing import Any
from uuid import uuid4

import numpy as np
from llvmlite import binding
from pytensor.graph.basic import Apply

from classy_pm.likelihood.faults import note

__all__ = ["announce", "is_plain"]

_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)
_announced: dict[str, Any] = {}


def is_plain(op: Any) -> bool:
    """Whether an operation is told from all others by its class and a few plain values."""
    if not hasattr(op, "_props_dict"):  # a graph of its own tells it from others
        return False
    return all(_is_plain(value) for value in op._props_dict().values())


def _is_plain(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(_is_plain(item) for item in value)
    return value is None or isinstance(value, str | int | float)


def announce(node: Apply) -> tuple[str, Any]:
    """Make the symbol of a function that computes a node of known shapes.

    It takes the address of the addresses of the inputs and outputs, which are in C's order, and returns 0,
    or 1 if an exception was raised.

    Returns
    -------
    symbol : str
        The same in every process, if the operation is plain.
    function : object
        To be kept as long as the symbol is called.
    """
    op = node.op
    kinds = [(item.type.dtype, item.type.shape) for item in (*node.inputs, *node.outputs)]
    identity: Any = uuid4()
    if is_plain(op):
        identity = (type(op).__module__, type(op).__qualname__, sorted(op._props_dict().items()), kinds)
    symbol = f"classy_pm_python_{sha256(repr(identity).encode()).hexdigest()[:32]}"
    if symbol in _announced:
        return symbol, _announced[symbol]
    # of variables of its own, so that the graph need not live as long
    function = _CALLBACK(_caller(op.make_node(*(item.type() for item in node.inputs)), kinds))
    binding.add_symbol(symbol, ctypes.cast(function, ctypes.c_void_p).value)
    if is_plain(op):
        _announced[symbol] = function
    return symbol, function


def _caller(node: Apply, kinds: Sequence[tuple[str, tuple[int, ...]]]) -> Any:
    count = len(node.inputs)

    def call(pointer: int) -> int:
        try:
            addresses = (ctypes.c_int64 * len(kinds)).from_address(pointer)
            arrays = [_array(address, *kind) for address, kind in zip(addresses, kinds, strict=True)]
            storage: list[list[Any]] = [[None] for _ in node.outputs]
            node.op.perform(node, arrays[:count], storage)
            for target, (result,) in zip(arrays[count:], storage, strict=True):
                target[...] = result
        except BaseException as error:
            note(error)
            return 1
        return 0

    return call


def _array(address: int, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return np.frombuffer((ctypes.c_char * size).from_address(address), dtype=dtype).reshape(shape)
