"""Traced arrays: what the user's function is run on.

A traced array is a variable of the graph and a *shadow*: the value that NumPy itself computed for
the same expression at one point. The shadow decides everything that is not differentiable, the
shape, the dtype, whether a result is a view, an array or a Python float, and NumPy decides the
shadow. So these rules are NumPy's own and are written down nowhere here.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any
from weakref import ref

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Constant
from pytensor.tensor.variable import TensorVariable

from classy_pm.errors import TraceError
from classy_pm.likelihood.trace.adopting import is_alone
from classy_pm.likelihood.trace.complexes import Pair
from classy_pm.likelihood.trace.memory import Memory
from classy_pm.likelihood.trace.operators import add_operators
from classy_pm.likelihood.trace.session import Session, current_session
from classy_pm.likelihood.trace.sums import Element, Partial
from classy_pm.likelihood.trace.words import AS_A_BLACK_BOX, refuse, user_place

PYTHON_NUMBERS = (bool, int, float, complex)


class TracedArray:
    """A number or an array whose computation is recorded as a graph.

    It behaves as the NumPy array, NumPy scalar or Python number that it stands for:
    `isinstance(x, float)` and `isinstance(x, numpy.ndarray)` answer as in the plain function.
    """

    __slots__ = ("__weakref__", "_imaginary", "_lazy", "_memory", "_real", "_session", "_shadow", "_version")
    __array_priority__ = 1000.0

    def __init__(
        self,
        session: Session,
        real: TensorVariable | None,
        shadow: Any,
        imaginary: TensorVariable | None = None,
        lazy: Element | Partial | None = None,
    ) -> None:
        self._session = session
        self._real = real
        self._imaginary = imaginary
        self._shadow = shadow
        self._lazy = lazy
        self._memory: Memory | None = None
        self._version = 0
        session.made.append(ref(self))

    # What it is

    @property
    def __class__(self) -> type:  # type: ignore[override]
        return type(self._shadow)

    def pair(self) -> Pair:
        """Return the real and imaginary variables, up to date with every write to the memory."""
        if self._memory is not None and self._memory_changed():
            pair = self._memory.read(self._shadow)
            self._real, self._imaginary = pair
            self._version = self._memory.version
            self._lazy = None
        elif self._real is None and self._lazy is not None:
            pair = self._lazy.build(self._session, self._shadow)
            self._real, self._imaginary = pair
        assert self._real is not None
        return Pair(self._real, self._imaginary)

    def _memory_changed(self) -> bool:
        return self._memory is not None and self._memory.version != self._version

    @property
    def _shadow_dtype(self) -> np.dtype:
        return np.asarray(self._shadow).dtype

    def _attribute(self, name: str) -> Any:
        # a Python float has no shape: code that asks is answered as in the plain function
        return getattr(self._shadow, name)

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes, plain integers."""
        return self._attribute("shape")

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self._attribute("ndim")

    @property
    def size(self) -> int:
        """Number of elements."""
        return self._attribute("size")

    @property
    def dtype(self) -> np.dtype:
        """NumPy dtype."""
        return self._attribute("dtype")

    @property
    def itemsize(self) -> int:
        """Bytes an element."""
        return self._attribute("itemsize")

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self._attribute("nbytes")

    @property
    def strides(self) -> tuple[int, ...]:
        """Bytes from one element to the next along each axis."""
        return self._attribute("strides")

    @property
    def flags(self) -> Any:
        """Memory flags of the array that this stands for."""
        return self._attribute("flags")

    @property
    def device(self) -> str:
        """Where NumPy's arrays are: on the `cpu`."""
        return self._attribute("device")

    @property
    def T(self) -> Any:
        """Transpose."""
        self._attribute("T")
        return np.transpose(self)  # type: ignore[call-overload]

    @property
    def mT(self) -> Any:
        """Matrices transposed."""
        self._attribute("mT")
        return np.matrix_transpose(self)  # type: ignore[arg-type]

    @property
    def real(self) -> Any:
        """Real part."""
        return np.real(self)  # type: ignore[call-overload]

    @property
    def imag(self) -> Any:
        """Imaginary part."""
        return np.imag(self)  # type: ignore[call-overload]

    @property
    def flat(self) -> Any:
        """Elements in C order, to be read and written."""
        from classy_pm.likelihood.trace.indexing import Flat

        self._attribute("flat")
        return Flat(self)

    @flat.setter
    def flat(self, values: Any) -> None:
        self.flat[:] = values

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        plain = getattr(self._shadow, name)  # AttributeError as in the plain function
        method = METHODS.get(name)
        if method is not None:
            return lambda *args, **kwargs: method(self, *args, **kwargs)
        kind = type(self._shadow).__name__
        what = f"`{kind}.{name}` of a traced value has no equivalent"
        refuse(what + ("" if callable(plain) else " in a graph"))

    # Python's protocols

    def __repr__(self) -> str:
        shape = np.shape(self._shadow)
        text = f" of shape {shape}" if shape else ""
        return f"<traced {self._shadow_dtype}{text}>"

    __str__ = __repr__

    def __format__(self, specification: str) -> str:
        return repr(self)

    def __copy__(self) -> Any:
        from classy_pm.likelihood.trace.wrapping import copy_of

        return copy_of(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return self.__copy__()

    def __reduce_ex__(self, protocol: Any) -> Any:
        refuse("a traced value cannot be pickled", "Compute with it, and store results after the fit.")

    def __hash__(self) -> int:
        if isinstance(self._shadow, np.ndarray):
            raise TypeError(f"unhashable type: '{type(self._shadow).__name__}'")
        return escape(self, "hash")

    def __bool__(self) -> bool:
        check_recording(self)
        answer = bool(self._shadow)  # "truth value of an array is ambiguous" as in NumPy
        real, imaginary = self.pair()
        condition = real
        if imaginary is not None:
            condition = pt.or_(pt.neq(real, 0), pt.neq(imaginary, 0))
        elif real.type.dtype != "bool":
            condition = pt.neq(real, 0)
        if condition.type.ndim:
            condition = condition.reshape(())
        return self._session.decide(self._session.intern(condition), answer)

    def __float__(self) -> float:
        return escape(self, "float")

    def __int__(self) -> int:
        return escape(self, "int")

    def __complex__(self) -> complex:
        return escape(self, "complex")

    def __index__(self) -> int:
        return escape(self, "index")

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return escape(self, "array")

    def __round__(self, digits: int | None = None) -> Any:
        return self._integer(np.rint) if digits is None else np.round(self, digits)  # type: ignore[call-overload]

    def __trunc__(self) -> Any:
        return self._integer(np.trunc)

    def __floor__(self) -> Any:
        return self._integer(np.floor)

    def __ceil__(self) -> Any:
        return self._integer(np.ceil)

    def _integer(self, rounding: np.ufunc) -> Any:
        from classy_pm.likelihood.trace.wrapping import python_integer

        return python_integer(rounding(self), self)

    def __getitem__(self, index: Any) -> Any:
        from classy_pm.likelihood.trace.indexing import get_item

        if type(self._shadow) in PYTHON_NUMBERS:  # NumPy's numbers can be indexed by () and ...
            raise TypeError(f"'{type(self._shadow).__name__}' object is not subscriptable")
        return get_item(self, index)

    # NumPy's protocols

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        from classy_pm.likelihood.trace.dispatch import call_ufunc, folded, knows

        out = kwargs.get("out", ())
        count = sys.getrefcount(out[0]) if len(out) == 1 else 0
        if count and is_alone(out[0], count):
            kwargs["out"] = (folded(self._session, np.array(out[0])),)
        return call_ufunc(ufunc, method, inputs, kwargs) if knows(inputs) else NotImplemented

    def __array_function__(
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        from classy_pm.likelihood.trace.dispatch import call_function

        return call_function(function, args, kwargs)


class TracedSequence(TracedArray):
    """A traced array with an axis at least: it has a length, can be iterated and written to."""

    __slots__ = ()

    def __len__(self) -> int:
        return len(self._shadow)

    def __iter__(self) -> Iterator[Any]:
        from classy_pm.likelihood.trace.wrapping import memory_of, wrap_lazy

        if not np.ndim(self._shadow):
            raise TypeError("iteration over a 0-d array")
        length = len(self._shadow)
        for position in range(length):
            parent = self.pair()  # the array may be written to on the way
            shadow = self._shadow[position]
            element = wrap_lazy(self._session, shadow, Element(parent, position, length))
            if isinstance(shadow, np.ndarray):
                element._memory = memory_of(self)
                element._version = element._memory.version
            yield element

    def __reversed__(self) -> Iterator[Any]:
        return iter(self[::-1])

    def __contains__(self, item: Any) -> bool:
        return bool(np.any(np.equal(self, item)))  # type: ignore[call-overload]

    def __setitem__(self, index: Any, value: Any) -> None:
        from classy_pm.likelihood.trace.indexing import set_item

        set_item(self, index, value)


METHODS: dict[str, Callable[..., Any]] = {}


def escape(traced: TracedArray, kind: str) -> Any:
    """Deal with a conversion to a plain value, which a traced value does not have."""
    from classy_pm.likelihood.trace.escapes import escaped

    check_recording(traced)
    return escaped(traced, kind)


def check_recording(traced: TracedArray) -> None:
    """Refuse a value that has outlived the trace that made it: kept in a cache or an attribute."""
    if current_session() is not traced._session:
        raise TraceError(
            "A value that was computed while the likelihood was traced is used outside of the trace: "
            "something "
            f"in the likelihood keeps results from one call to the next ({user_place()}).",
            cure=f"Compute from the arguments alone, or {AS_A_BLACK_BOX}.",
        )


def is_traced(value: Any) -> bool:
    """Whether a value is traced; unlike `isinstance` it never asks the value what it stands for."""
    return issubclass(type(value), TracedArray)


def is_constant(traced: TracedArray) -> bool:
    """Whether the variables of a traced value are constants."""
    real, imaginary = traced.pair()
    return isinstance(real, Constant) and (imaginary is None or isinstance(imaginary, Constant))


add_operators(TracedArray)
