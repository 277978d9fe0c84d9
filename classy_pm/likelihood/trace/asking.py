"""Functions that ask about shape, type and memory: answered by NumPy, from the shadow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from classy_pm.likelihood.trace.dispatch import find_traced, shadow_of
from classy_pm.likelihood.trace.registry import FUNCTIONS, FunctionRule, refuse_function


def _asking(*functions: Callable[..., Any]) -> None:
    for function in functions:

        def answer(*args: Any, _function: Callable[..., Any] = function, **kwargs: Any) -> Any:
            return _function(*shadow_of(args), **{key: shadow_of(value) for key, value in kwargs.items()})

        FUNCTIONS[function] = FunctionRule(answer)


_asking(
    np.shape, np.ndim, np.size, np.iscomplexobj, np.isrealobj, np.result_type, np.common_type, np.can_cast
)
_asking(np.min_scalar_type, np.shares_memory, np.may_share_memory, np.einsum_path)


def _text(function: Callable[..., Any]) -> None:
    FUNCTIONS[function] = FunctionRule(
        lambda *args, **kwargs: repr(find_traced(args)), note="a text without values"
    )


_text(np.array2string)
_text(np.array_repr)
_text(np.array_str)

SETS = "how many elements there are depends on parameters"
for _function in (
    np.unique,
    np.unique_all,
    np.unique_counts,
    np.unique_inverse,
    np.unique_values,
    np.union1d,
    np.intersect1d,
    np.setdiff1d,
    np.setxor1d,
    np.argwhere,
    np.flatnonzero,
):
    refuse_function(_function, SETS, "Use a mask: `np.where(mask, values, 0.0)`.")
for _function in (np.save, np.savetxt, np.savez, np.savez_compressed):
    refuse_function(_function, "a graph has no files", "Save results after the fit.")
for _function in (np.packbits, np.unpackbits):
    refuse_function(_function, "it works on bits")
for _function in (np.busday_count, np.busday_offset, np.is_busday, np.datetime_as_string):
    refuse_function(_function, "it works on dates")
