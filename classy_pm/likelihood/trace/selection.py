"""Elements selected by a mask that depends on parameters: `x[mask]`.

How many there are is not known when the graph is made. A selection therefore keeps the whole array
and the mask. It can be computed with element by element, summed, and written back where the same
mask selects; everything that needs its length is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from classy_pm.likelihood.trace.array import TracedArray, is_traced
from classy_pm.likelihood.trace.words import refuse
from classy_pm.likelihood.trace.wrapping import copy_of

HOW = (
    "Keep all elements and choose among them: `np.where(mask, values, 0.0)` before a sum, "
    "`np.where(mask, a, b)` instead of filling two parts."
)


def _refuse_length() -> NoReturn:
    refuse("the number of elements that a traced mask selects depends on parameters", HOW)


class Selection:
    """The elements of an array where a traced mask is true.

    Attributes
    ----------
    whole : TracedArray
        All elements; those that are not selected may be anything, NaN included.
    mask : TracedArray
        Bools over the first axes of the whole.
    """

    __slots__ = ("mask", "whole")
    __array_priority__ = 2000.0
    _selects = True

    def __init__(self, whole: Any, mask: TracedArray) -> None:
        self.whole = whole
        self.mask = mask

    @property
    def __class__(self) -> type:  # type: ignore[override]
        return np.ndarray

    @property
    def dtype(self) -> np.dtype:
        """NumPy dtype."""
        return self.whole.dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self.whole.ndim - self.mask.ndim + 1

    def __len__(self) -> int:
        _refuse_length()

    def __iter__(self) -> Any:
        _refuse_length()

    def __bool__(self) -> bool:
        _refuse_length()

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        _refuse_length()

    def __repr__(self) -> str:
        return f"<elements of {self.whole!r} that a traced mask selects>"

    def __format__(self, specification: str) -> str:
        return repr(self)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        if name in REDUCTIONS:
            return lambda *args, **kwargs: REDUCTIONS[name](self, *args, **kwargs)
        if name == "copy":
            return lambda: self
        getattr(np.ndarray, name)
        _refuse_length()

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method == "reduce" and ufunc in UFUNC_REDUCTIONS:
            kwargs = {key: value for key, value in kwargs.items() if value is not None}
            if set(kwargs) <= {"axis", "keepdims"} and not kwargs.get("keepdims"):
                return REDUCTIONS[UFUNC_REDUCTIONS[ufunc]](self, kwargs.get("axis", 0))
        out = kwargs.pop("out", None)
        if method != "__call__" or kwargs or ufunc.signature is not None:
            _refuse_length()
        result = apart(ufunc, *inputs)
        if out is None:
            return result
        (target,) = out
        if not isinstance_selection(target):
            _refuse_length()
        target.whole = result.whole
        return target

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        name = {"amax": "max", "amin": "min"}.get(function.__name__, function.__name__)
        if name in REDUCTIONS and args and args[0] is self:
            return REDUCTIONS[name](self, *args[1:], **kwargs)
        if function in (
            np.where,
            np.clip,
            np.nan_to_num,
            np.real,
            np.imag,
            np.isclose,
            np.zeros_like,
            np.ones_like,
            np.full_like,
            np.copy,
            np.empty_like,
        ):
            return apart(function, *args, **kwargs)
        _refuse_length()


def isinstance_selection(value: Any) -> bool:
    """Whether a value is a selection; `isinstance` says that it is an array."""
    return type(value) is Selection


def apart(function: Callable[..., Any], *operands: Any, **kwargs: Any) -> Any:
    """Apply a function of elements to the whole arrays of selections by one mask."""
    selections = [item for item in operands if isinstance_selection(item)]
    mask = selections[0].mask
    if any(not same_mask(item.mask, mask) for item in selections):
        refuse("elements selected by two traced masks are put together", HOW)
    wholes = []
    for item in operands:
        if isinstance_selection(item):
            wholes.append(item.whole)
            continue
        if (
            np.ndim(item._shadow if is_traced(item) else item)
            and np.size(item._shadow if is_traced(item) else item) != 1
        ):
            refuse("elements selected by a traced mask are put together with another array", HOW)
        wholes.append(item)
    result = function(*wholes, **kwargs)
    if isinstance(result, tuple):
        return tuple(Selection(part, mask) for part in result)
    return Selection(result, mask)


def same_mask(first: TracedArray, second: TracedArray) -> bool:
    """Whether two masks are the same computation."""
    return first is second or first.pair().real is second.pair().real


def select(traced: TracedArray, mask: TracedArray) -> Selection:
    """Return `traced[mask]`."""
    shape = np.shape(traced._shadow)
    if mask._shadow.shape != shape[: mask._shadow.ndim]:
        raise IndexError("boolean index did not match indexed array")
    traced._session.masks.append(mask.pair().real)
    return Selection(copy_of(traced), copy_of(mask))


def selected_values(selection: Selection, mask: TracedArray, shape: tuple[int, ...]) -> Any:
    """Return the whole array to be written where the same mask selects."""
    if not same_mask(selection.mask, mask):
        refuse("elements selected by one traced mask are written where another one selects", HOW)
    return np.broadcast_to(selection.whole, shape)


def _wide(selection: Selection) -> Any:
    mask = selection.mask
    return mask.reshape(mask._shadow.shape + (1,) * (np.ndim(selection.whole._shadow) - mask._shadow.ndim))


def _reduction(function: Callable[..., Any], neutral: float | bool) -> Callable[..., Any]:
    def reduce(selection: Selection, axis: Any = None, **kwargs: Any) -> Any:
        if any(value not in (None, np._NoValue, False) for value in kwargs.values()):  # type: ignore[attr-defined]
            _refuse_length()
        whole = np.where(_wide(selection), selection.whole, neutral)
        if axis is None or (axis == 0 and selection.ndim == 1):
            return function(whole)
        if axis == 0:
            return function(whole, axis=tuple(range(selection.mask.ndim)))
        _refuse_length()

    return reduce


def _mean(selection: Selection, axis: Any = None, **kwargs: Any) -> Any:
    total = REDUCTIONS["sum"](selection, axis, **kwargs)
    count = np.sum(selection.mask)
    if axis is None and selection.ndim > 1:
        count = count * int(np.prod(selection.whole._shadow.shape[selection.mask._shadow.ndim :]))
    return total / count


def _var(selection: Selection, axis: Any = None, ddof: int = 0, **kwargs: Any) -> Any:
    if selection.ndim != 1:
        _refuse_length()
    away = apart(np.subtract, selection, _mean(selection, axis, **kwargs))
    return REDUCTIONS["sum"](apart(np.square, away)) / (np.sum(selection.mask) - ddof)


def _std(selection: Selection, axis: Any = None, ddof: int = 0, **kwargs: Any) -> Any:
    return np.sqrt(_var(selection, axis, ddof, **kwargs))


REDUCTIONS: dict[str, Callable[..., Any]] = {
    "sum": _reduction(np.sum, 0.0),
    "prod": _reduction(np.prod, 1.0),
    "max": _reduction(np.max, -np.inf),
    "min": _reduction(np.min, np.inf),
    "any": _reduction(np.any, False),
    "all": _reduction(np.all, True),
    "mean": _mean,
    "var": _var,
    "std": _std,
}
UFUNC_REDUCTIONS = {
    np.add: "sum",
    np.multiply: "prod",
    np.maximum: "max",
    np.minimum: "min",
    np.logical_or: "any",
    np.logical_and: "all",
}


def _operators() -> None:
    import operator

    names = ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "and", "or", "xor")
    ufuncs = (
        np.add,
        np.subtract,
        np.multiply,
        np.true_divide,
        np.floor_divide,
        np.remainder,
        np.power,
        np.bitwise_and,
        np.bitwise_or,
        np.bitwise_xor,
    )
    for name, ufunc in zip(names, ufuncs, strict=True):
        forward, backward = _pair_of_operators(ufunc)
        setattr(Selection, f"__{name}__", forward)
        setattr(Selection, f"__r{name}__", backward)
    for name in ("lt", "le", "gt", "ge", "eq", "ne"):
        function = getattr(operator, name)
        setattr(Selection, f"__{name}__", lambda self, other, function=function: apart(function, self, other))
    for name in ("neg", "pos", "abs", "invert"):
        function = getattr(operator, f"__{name}__")
        setattr(Selection, f"__{name}__", lambda self, function=function: apart(function, self))


def _pair_of_operators(ufunc: np.ufunc) -> tuple[Any, Any]:
    return (
        lambda self, other: apart(ufunc, self, other),
        lambda self, other: apart(ufunc, other, self),
    )


_operators()
