"""Traced arrays: what the user's function is run on.

A traced array is a variable of the graph and a *shadow*: the value that NumPy itself computed for
the same expression at one point. The shadow decides everything that is not differentiable, the
shape, the dtype, whether a result is a view, an array or a Python float, and NumPy decides the
shadow. So these rules are NumPy's own and are written down nowhere here.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Constant
from pytensor.tensor.variable import TensorVariable

from classy_pm.errors import TraceError
from classy_pm.likelihood.trace.complexes import Pair
from classy_pm.likelihood.trace.memory import Memory, owner_of
from classy_pm.likelihood.trace.session import Session, current_session
from classy_pm.likelihood.trace.sums import Element, Partial
from classy_pm.likelihood.trace.words import refuse, user_place

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

    @property
    def variable(self) -> TensorVariable:
        """The PyTensor variable; for a complex array a complex one."""
        real, imaginary = self.pair()
        if self._shadow_dtype.kind != "c":
            return real
        return pt.complex(real, pt.zeros_like(real) if imaginary is None else imaginary)

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
        """Elements in C order."""
        self._attribute("flat")
        return iter(np.ravel(self))  # type: ignore[call-overload]

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
        return copy_of(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return copy_of(self)

    def __reduce_ex__(self, protocol: Any) -> Any:
        refuse("a traced value cannot be pickled", "Compute with it, and store results after the fit.")

    def __hash__(self) -> int:
        if isinstance(self._shadow, np.ndarray):
            raise TypeError(f"unhashable type: '{type(self._shadow).__name__}'")
        refuse(
            "a traced number is used as a dictionary key or in a set, where its value would decide",
            "Use the name of the parameter, or an index that does not depend on parameters.",
        )

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
        if digits is None:
            return python_integer(np.rint(self), self)  # type: ignore[call-overload]
        return np.round(self, digits)  # type: ignore[call-overload]

    def __trunc__(self) -> Any:
        return python_integer(np.trunc(self), self)  # type: ignore[call-overload]

    def __floor__(self) -> Any:
        return python_integer(np.floor(self), self)  # type: ignore[call-overload]

    def __ceil__(self) -> Any:
        return python_integer(np.ceil(self), self)  # type: ignore[call-overload]

    def __getitem__(self, index: Any) -> Any:
        from classy_pm.likelihood.trace.indexing import get_item

        if isinstance(self._shadow, PYTHON_NUMBERS):
            raise TypeError(f"'{type(self._shadow).__name__}' object is not subscriptable")
        return get_item(self, index)

    # NumPy's protocols

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        from classy_pm.likelihood.trace.dispatch import call_ufunc

        return call_ufunc(ufunc, method, inputs, kwargs)

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
            cure="Compute from the arguments alone, or use `likelihood='blackbox'`.",
        )


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


def is_traced(value: Any) -> bool:
    """Whether a value is traced; unlike `isinstance` it never asks the value what it stands for."""
    return issubclass(type(value), TracedArray)


def is_constant(traced: TracedArray) -> bool:
    """Whether the variables of a traced value are constants."""
    real, imaginary = traced.pair()
    return isinstance(real, Constant) and (imaginary is None or isinstance(imaginary, Constant))


def _binary(function: Callable[..., Any], ufunc: np.ufunc) -> tuple[Any, Any, Any]:
    from_operator = function

    def forward(self: TracedArray, other: Any) -> Any:
        from classy_pm.likelihood.trace.dispatch import call_operator

        return call_operator(from_operator, ufunc, self, other)

    def backward(self: TracedArray, other: Any) -> Any:
        from classy_pm.likelihood.trace.dispatch import call_operator

        return call_operator(from_operator, ufunc, other, self)

    def inplace(self: TracedArray, other: Any) -> Any:
        if isinstance(self._shadow, np.ndarray):
            return ufunc(self, other, out=(self,))
        return forward(self, other)

    return forward, backward, inplace


def _unary(function: Callable[..., Any], ufunc: np.ufunc) -> Any:
    def call(self: TracedArray) -> Any:
        from classy_pm.likelihood.trace.dispatch import call_operator

        return call_operator(function, ufunc, self)

    return call


for _name, _ufunc in {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "truediv": np.true_divide,
    "floordiv": np.floor_divide,
    "mod": np.remainder,
    "pow": np.power,
    "matmul": np.matmul,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
    "lshift": np.left_shift,
    "rshift": np.right_shift,
}.items():
    _forward, _backward, _inplace = _binary(getattr(operator, f"__{_name}__"), _ufunc)
    setattr(TracedArray, f"__{_name}__", _forward)
    setattr(TracedArray, f"__r{_name}__", _backward)
    setattr(TracedArray, f"__i{_name}__", _inplace)
for _name, _ufunc in {
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "eq": np.equal,
    "ne": np.not_equal,
}.items():
    setattr(TracedArray, f"__{_name}__", _binary(getattr(operator, _name), _ufunc)[0])
for _name, _ufunc in {
    "neg": np.negative,
    "pos": np.positive,
    "abs": np.absolute,
    "invert": np.invert,
}.items():
    setattr(TracedArray, f"__{_name}__", _unary(getattr(operator, f"__{_name}__"), _ufunc))
TracedArray.__divmod__, TracedArray.__rdivmod__, _ = _binary(divmod, np.divmod)  # type: ignore[attr-defined]
