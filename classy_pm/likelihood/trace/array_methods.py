"""Methods of arrays, which are functions of NumPy under another name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from classy_pm.likelihood.trace.array import METHODS, TracedArray
from classy_pm.likelihood.trace.dispatch import assign
from classy_pm.likelihood.trace.words import refuse
from classy_pm.likelihood.trace.wrapping import copy_of

SAME = (
    "all",
    "any",
    "argmax",
    "argmin",
    "argpartition",
    "argsort",
    "choose",
    "clip",
    "cumprod",
    "cumsum",
    "diagonal",
    "dot",
    "max",
    "mean",
    "min",
    "nonzero",
    "prod",
    "ravel",
    "repeat",
    "round",
    "searchsorted",
    "squeeze",
    "std",
    "sum",
    "swapaxes",
    "take",
    "trace",
    "var",
)


def _astype(
    self: TracedArray,
    dtype: Any,
    order: str = "K",
    casting: str = "unsafe",
    subok: bool = True,
    copy: bool = True,
) -> Any:
    from classy_pm.likelihood.trace.stand_ins import converted

    return converted(self, dtype)


def _reshape(self: TracedArray, *shape: Any, order: str = "C", copy: Any = None) -> Any:
    return np.reshape(self, shape[0] if len(shape) == 1 else shape, order=order, copy=copy)  # type: ignore[call-overload]


def _transpose(self: TracedArray, *axes: Any) -> Any:
    if len(axes) == 1 and (axes[0] is None or isinstance(axes[0], tuple | list)):
        return np.transpose(self, axes[0])  # type: ignore[call-overload]
    return np.transpose(self, axes or None)  # type: ignore[call-overload]


def _sort(
    self: TracedArray, axis: int = -1, kind: Any = None, order: Any = None, *, stable: Any = None
) -> None:
    assign(self, np.sort(self, axis=axis))  # type: ignore[call-overload]


def _partition(
    self: TracedArray, kth: Any, axis: int = -1, kind: str = "introselect", order: Any = None
) -> None:
    assign(self, np.partition(self, kth, axis=axis))  # type: ignore[call-overload]


def _fill(self: TracedArray, value: Any) -> None:
    self[...] = value  # type: ignore[index]


def _item(self: TracedArray, *args: Any) -> Any:
    from classy_pm.likelihood.trace.stand_ins import _number

    flat = np.ravel(self)  # type: ignore[call-overload]
    if not args:
        if np.size(self._shadow) != 1:
            raise ValueError("can only convert an array of size 1 to a Python scalar")
        value = flat[0]
    else:
        value = (
            flat[args[0]]
            if len(args) == 1 and not isinstance(args[0], tuple)
            else self[args[0] if len(args) == 1 else args]
        )
    kind = {"b": bool, "i": int, "u": int, "f": float, "c": complex}[value._shadow_dtype.kind]
    return value if kind is bool else _number(kind, value)


def _tolist(self: TracedArray) -> Any:
    return [item.tolist() for item in self] if np.ndim(self._shadow) else _item(self)  # type: ignore[attr-defined]


def _compress(self: TracedArray, condition: Any, axis: Any = None, out: Any = None) -> Any:
    return np.compress(condition, self, axis, out)  # type: ignore[call-overload]


def _put(self: TracedArray, indices: Any, values: Any, mode: str = "raise") -> None:
    np.put(self, indices, values, mode)  # type: ignore[call-overload]


def _resize(self: TracedArray, *args: Any, **kwargs: Any) -> None:
    refuse("a traced array is resized in place", "Write `x = np.resize(x, shape)`.")


def _flatten(self: TracedArray, order: str = "C") -> Any:
    return copy_of(np.ravel(self, order))  # type: ignore[call-overload]


def _is_integer(self: TracedArray) -> Any:
    return np.equal(self, np.floor(self))  # type: ignore[call-overload]


def _same(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, *args, **kwargs: function(self, *args, **kwargs)


METHODS.update({name: _same(getattr(np, name)) for name in SAME})
METHODS.update(
    astype=_astype,
    compress=_compress,
    conj=_same(np.conjugate),
    conjugate=_same(np.conjugate),
    copy=lambda self, order="C": copy_of(self),
    fill=_fill,
    flatten=_flatten,
    is_integer=_is_integer,
    item=_item,
    partition=_partition,
    put=_put,
    reshape=_reshape,
    resize=_resize,
    setflags=lambda self, **kwargs: self._shadow.setflags(**kwargs),
    sort=_sort,
    tolist=_tolist,
    transpose=_transpose,
    view=lambda self, *args: self[...] if not args else refuse("a traced array is viewed as another type"),
)
