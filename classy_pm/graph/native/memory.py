"""Room for large intermediate results, which each thread keeps from call to call.

Memory of more than some megabytes the system hands out anew each time, and clears page by page while it is
written to: for 10,000 data sets that took twice as long as to compute with it.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import numba
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numba.np.numpy_support import carray

__all__ = ["LARGE", "kept_memory"]

# From so many bytes on it is kept: glibc's `malloc` keeps what is smaller, to twice as much, by itself.
LARGE = 16 * 2**20
# In bytes; the room begins after as many, which hold its size.
LINE = 64


@intrinsic
def _pointer(typing_context: Any, address: Any) -> Any:
    """Return an address as a pointer."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], ir.IntType(8).as_pointer())

    return types.voidptr(types.intp), generate


@cache
def kept_memory() -> Any | None:
    """Return a compiled function that gives the calling thread's room, of so many bytes, at their address.

    What it gives is the thread's until it asks again, and what is in it is not defined. The room is freed
    when the thread ends. Where threads are not POSIX's, return None.
    """
    try:
        library = ctypes.CDLL(None)
        made = ctypes.c_ulong()  # of macOS; Linux has less of it
        if library.pthread_key_create(ctypes.byref(made), library.free):
            return None
    except (OSError, TypeError, AttributeError):
        return None
    key = made.value
    address: Any = types.intp  # of numba's types and functions mypy knows what Python does with them
    array: Any = carray
    pointer: Any = _pointer
    get: Any = types.ExternalFunction("pthread_getspecific", address(types.uint64))
    put: Any = types.ExternalFunction("pthread_setspecific", types.int32(types.uint64, address))
    allocate: Any = types.ExternalFunction("aligned_alloc", address(types.intp, types.intp))
    free: Any = types.ExternalFunction("free", types.void(address))

    @numba.njit
    def room(size: int) -> Any:
        kept = get(key)
        if kept == 0 or array(pointer(kept), (1,), types.int64)[0] < size:
            if kept:
                free(kept)
            kept = allocate(LINE, LINE + (size + LINE - 1) // LINE * LINE)
            put(key, kept)
            if kept == 0:
                raise MemoryError
            array(pointer(kept), (1,), types.int64)[0] = size
        return pointer(kept + LINE)

    return room
