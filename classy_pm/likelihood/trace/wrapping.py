"""From a variable and its shadow to a traced value, and what happens to its memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from classy_pm.errors import TraceError
from classy_pm.likelihood.trace.array import TracedArray, TracedSequence
from classy_pm.likelihood.trace.complexes import Pair
from classy_pm.likelihood.trace.memory import Memory, owner_of
from classy_pm.likelihood.trace.session import Session
from classy_pm.likelihood.trace.sums import Element, Partial


def wrap(session: Session, pair: Pair, shadow: Any, sources: tuple[TracedArray, ...] = ()) -> TracedArray:
    """Return the traced value of a variable and its shadow.

    Parameters
    ----------
    session : Session
        The session that records.
    pair : Pair
        Real and imaginary variable.
    shadow : number or ndarray
        What NumPy computed.
    sources : tuple of TracedArray
        Operands with which the result may share memory.
    """
    dtype = np.asarray(shadow).dtype
    if dtype.kind == "c":  # one part may come from an operand that was broadcast
        pair = Pair(*(None if part is None else _spread(part, np.shape(shadow)) for part in pair))
    real = session.intern(fitted(pair.real, shadow, dtype, session))
    imaginary = None
    if dtype.kind == "c" and pair.imaginary is not None:
        imaginary = session.intern(fitted(pair.imaginary, shadow, dtype, session))
    kind = TracedSequence if isinstance(shadow, np.ndarray) else TracedArray
    memory = None
    if isinstance(shadow, np.ndarray):
        owner = owner_of(shadow)
        for source in sources:
            if isinstance(source._shadow, np.ndarray) and owner is owner_of(source._shadow):
                source.pair()
                memory = memory_of(source)
                break
        else:
            if owner is not shadow:
                shadow = np.array(shadow, copy=True)
    traced = kind(session, real, shadow, imaginary)
    if memory is not None:
        traced._memory, traced._version = memory, memory.version
    return traced


def _spread(part: TensorVariable, shape: tuple[int, ...]) -> TensorVariable:
    return part if part.type.shape == shape else pt.broadcast_to(part, shape)


def wrap_lazy(session: Session, shadow: Any, lazy: Element | Partial) -> TracedArray:
    """Return a traced value whose variable is built when it is asked for."""
    kind = TracedSequence if isinstance(shadow, np.ndarray) else TracedArray
    return kind(session, None, shadow, lazy=lazy)


def fitted(variable: TensorVariable, shadow: Any, dtype: np.dtype, session: Session) -> TensorVariable:
    """Return the variable with exactly the shape and dtype that NumPy gave."""
    shape = np.shape(shadow)
    wanted = str(np.empty(0, dtype).real.dtype)
    if variable.type.dtype != wanted:
        variable = pt.cast(variable, wanted)
    static = variable.type.shape
    if static == shape:
        return variable
    if len(static) != len(shape) or any(s is not None and s != n for s, n in zip(static, shape, strict=True)):
        raise TraceError(
            f"The recorded operation gave shape {static} where NumPy gives {shape}: a fault of classy_pm."
        )
    return pt.specify_shape(variable, shape)


def memory_of(traced: TracedArray) -> Memory:
    """Return the memory of an array, which its views share."""
    if traced._memory is None:
        pair = traced.pair()
        traced._memory = Memory(traced._session, owner_of(traced._shadow), pair)
        traced._version = traced._memory.version
    return traced._memory


def store(traced: TracedArray, pair: Pair) -> None:
    """Give an array a new content, and with it every view of the same memory."""
    session = traced._session
    dtype = traced._shadow_dtype
    real = session.intern(fitted(pair.real, traced._shadow, dtype, session))
    imaginary = pair.imaginary
    if imaginary is not None:
        imaginary = session.intern(fitted(imaginary, traced._shadow, dtype, session))
    if traced._memory is not None:
        traced.pair()
        traced._memory.write(traced._shadow, Pair(real, imaginary))
        traced._version = traced._memory.version
    traced._real, traced._imaginary, traced._lazy = real, imaginary, None


def copy_of(traced: TracedArray) -> TracedArray:
    """Return an independent copy."""
    shadow = traced._shadow
    if isinstance(shadow, np.ndarray):
        shadow = np.array(shadow, copy=True)
    return wrap(traced._session, traced.pair(), shadow)


def python_integer(value: Any, like: TracedArray) -> Any:
    """Return a rounded value as the integer that Python's `round` or `math.floor` gives."""
    if isinstance(like._shadow, float | int) and isinstance(value, TracedArray):
        shadow = int(value._shadow) if np.isfinite(value._shadow) else 0
        return wrap(value._session, Pair(pt.cast(value.pair().real, "int64")), shadow)
    return value
