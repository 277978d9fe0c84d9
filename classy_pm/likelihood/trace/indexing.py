"""Reading and writing by index."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from classy_pm.likelihood.trace.array import TracedArray, is_constant, is_traced
from classy_pm.likelihood.trace.complexes import Pair
from classy_pm.likelihood.trace.dispatch import find_traced, folded, lift, pair_of, shadow_of, spread
from classy_pm.likelihood.trace.places import element
from classy_pm.likelihood.trace.registry import function_rule
from classy_pm.likelihood.trace.words import refuse
from classy_pm.likelihood.trace.wrapping import store, wrap

HOW_TO_SELECT = (
    "Keep all elements and choose among them: `np.where(mask, values, 0.0)` before a sum, "
    "`np.where(mask, a, b)` instead of filling two parts."
)


class MaskIndex:
    """One of the index arrays that `np.where(mask)` and `np.nonzero(mask)` give for a traced mask.

    How many there are depends on parameters; they can only be used to read or write at all of them.
    """

    __slots__ = ("axis", "mask")

    def __init__(self, mask: TracedArray, axis: int) -> None:
        self.mask = mask
        self.axis = axis

    def __len__(self) -> int:
        refuse(
            "the number of elements that a traced mask selects depends on parameters",
            "Ask `np.any(mask)`, or count with `np.sum(mask)`.",
        )

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        refuse("the positions that a traced mask selects depend on parameters", HOW_TO_SELECT)

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        refuse("the positions that a traced mask selects depend on parameters", HOW_TO_SELECT)


@function_rule(np.nonzero, note="of a traced mask: to read or write at all selected elements")
def nonzero(a: Any) -> tuple[MaskIndex, ...]:
    """Return index arrays that stand for the mask."""
    mask = a if a.dtype == bool else np.not_equal(a, 0)
    return tuple(MaskIndex(mask, axis) for axis in range(mask.ndim))


def mask_in(index: Any, traced_shape: tuple[int, ...]) -> TracedArray | None:
    """Return the traced mask that an index consists of, or None where there is none in it."""
    if isinstance(index, MaskIndex):
        index = (index,)
    items = index if isinstance(index, tuple) else (index,)
    masks = [item for item in items if isinstance(item, MaskIndex)]
    if masks:
        mask = masks[0].mask
        whole = len(masks) == len(items) == mask.ndim
        if whole and all(item.mask is mask and item.axis == axis for axis, item in enumerate(masks)):
            return mask
        refuse("positions that a traced mask selects are mixed with other indices", HOW_TO_SELECT)
    for item in items:
        if is_traced(item) and np.asarray(item._shadow).dtype == bool:
            rest = [other for other in items if other is not item and other is not Ellipsis]
            if any(not (isinstance(other, slice) and other == slice(None)) for other in rest):
                refuse("a traced mask is mixed with other indices", HOW_TO_SELECT)
            if items[0] is not item and any(other is Ellipsis or isinstance(other, slice) for other in items):
                lead = len(traced_shape) - item._shadow.ndim
                return item.reshape((1,) * lead + item._shadow.shape) if lead else item
            return item
    return None


def plain_index(index: Any, shape: tuple[int, ...]) -> tuple[Any, ...]:
    """Return an index in the forms that PyTensor knows, traced integers as variables."""
    items = index if isinstance(index, tuple) else (index,)
    result: list[Any] = []
    for item in items:
        if item is None or item is Ellipsis:
            result.append(item)
        elif isinstance(item, slice):
            for bound in (item.start, item.stop, item.step):
                if is_traced(bound):
                    refuse(
                        "the bounds of a slice depend on parameters, and with them the length", HOW_TO_SELECT
                    )
            result.append(slice(*(_integer(bound) for bound in (item.start, item.stop, item.step))))
        elif is_traced(item):
            if np.asarray(item._shadow).dtype.kind not in "iu":
                raise IndexError("arrays used as indices must be of integer (or boolean) type")
            result.append(item.pair().real)
        elif isinstance(item, bool | np.bool_):
            refuse("an array is indexed by a single True or False", "Use `array[None]` to add an axis.")
        elif isinstance(item, list | np.ndarray | tuple):
            if find_traced([item]) is not None:
                result.extend(plain_index((lift(item),), shape))
                continue
            array = np.asarray(item)
            if array.dtype == bool:
                result.extend(np.nonzero(array))
            elif array.size == 0:
                result.append(array.astype(np.int64))
            elif array.ndim == 0:
                result.append(int(array))
            else:
                result.append(array)
        else:
            result.append(_integer(item))
    return tuple(result)


def _integer(value: Any) -> int | None:
    return None if value is None else int(value)


def get_item(traced: TracedArray, index: Any) -> Any:
    """Record `traced[index]`."""
    from classy_pm.likelihood.trace.selection import select

    shadow = traced._shadow
    mask = mask_in(index, np.shape(shadow))
    if mask is not None:
        return select(traced, mask)
    result = shadow[shadow_of(index)]
    if result is shadow:
        return traced
    if is_constant(traced) and find_traced([index]) is None:
        return folded(traced._session, result, (traced,))
    place = plain_index(index, np.shape(shadow))
    return wrap(
        traced._session,
        Pair(*(None if part is None else _at(part, place) for part in traced.pair())),
        result,
        (traced,),
    )


def _is_whole(place: tuple[Any, ...]) -> bool:
    return all(item is Ellipsis or (isinstance(item, slice) and item == slice(None)) for item in place)


def _at(part: TensorVariable, place: tuple[Any, ...]) -> TensorVariable:
    if len(place) == part.type.ndim > 0 and all(type(item) is int for item in place):
        return element(part, place)
    return part if _is_whole(place) else part[place]


def set_item(traced: TracedArray, index: Any, value: Any) -> None:
    """Record `traced[index] = value`."""
    from classy_pm.likelihood.trace.selection import isinstance_selection, selected_values

    shadow = traced._shadow
    mask = mask_in(index, shadow.shape)
    selected = isinstance_selection(value)
    if selected:
        if mask is None:
            refuse("elements selected by a traced mask are written where no mask is", HOW_TO_SELECT)
        value = selected_values(value, mask, shadow.shape)
    elif not is_traced(value):
        value = lift(value) if isinstance(value, list | tuple | np.ndarray) else value
    plain = shadow_of(value)
    if np.asarray(plain).dtype.kind == "c" and shadow.dtype.kind != "c":
        refuse("complex values are written into a real array", "Make the array complex, or write `.real`.")
    if mask is not None:
        if np.size(plain) != 1 and not selected:
            refuse("an array is written where a traced mask selects", HOW_TO_SELECT)
        where = _mask_as_wide(mask._shadow, shadow.shape)
        with np.errstate(all="ignore"):
            np.copyto(
                shadow, np.reshape(plain, ()) if np.size(plain) == 1 else plain, where=where, casting="unsafe"
            )
        _write_where(traced, mask, value)
        return
    with np.errstate(all="ignore"):
        shadow[shadow_of(index)] = plain  # NumPy's own errors for shapes, bounds and read-only arrays
    place = plain_index(index, shadow.shape)
    old = traced.pair()
    new = pair_of(traced._session, value, shadow.dtype)
    imaginary = None
    if new.imaginary is not None or old.imaginary is not None:
        imaginary = _replaced(old.imag(), place, new.imag())
    store(traced, Pair(_replaced(old.real, place, new.real), imaginary))


class Flat:
    """`array.flat`: the elements in C order."""

    def __init__(self, array: Any) -> None:
        self.array = array
        self.places = np.arange(array.size).reshape(array.shape)

    def __iter__(self) -> Any:
        return iter(np.ravel(self.array))  # type: ignore[call-overload]

    def __len__(self) -> int:
        return self.array.size

    def __getitem__(self, index: Any) -> Any:
        value = np.ravel(self.array)[index]  # type: ignore[call-overload]
        return value.copy() if np.ndim(shadow_of(value)) else value

    def __setitem__(self, index: Any, values: Any) -> None:
        flat = self.places.ravel()[shadow_of(index)]
        places = np.unravel_index(flat, self.array.shape)
        values = lift(values)
        if np.ndim(shadow_of(values)):  # shorter ones are repeated
            values = np.resize(values, np.shape(flat))
        self.array[places] = values


def _replaced(part: TensorVariable, place: tuple[Any, ...], value: TensorVariable) -> TensorVariable:
    target = part if _is_whole(place) else part[place]
    while value.type.ndim > target.type.ndim and value.type.shape[0] == 1:
        value = value[0]
    if target is part:
        return spread(value, part.type.shape)
    return pt.set_subtensor(target, value)


def _mask_as_wide(mask: Any, shape: tuple[int, ...]) -> Any:
    return mask.reshape(mask.shape + (1,) * (len(shape) - mask.ndim))


def _write_where(traced: TracedArray, mask: TracedArray, value: Any) -> None:
    shape = traced._shadow.shape
    condition = _mask_as_wide(mask, shape).pair().real
    old = traced.pair()
    new = pair_of(traced._session, value, traced._shadow.dtype)
    if np.size(shadow_of(value)) == 1:
        new = Pair(*(None if part is None else part.reshape(()) for part in new))
    imaginary = None
    if new.imaginary is not None or old.imaginary is not None:
        imaginary = pt.switch(condition, new.imag(), old.imag())
    store(traced, Pair(pt.switch(condition, new.real, old.real), imaginary))
