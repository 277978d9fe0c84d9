"""`residual = data.copy(); residual -= model`: a plain array that is changed in place by a traced value.

NumPy would write into the plain array, which cannot hold the value. Python then gives the result of the
operator to the name on its left, so that a traced array may take the place of the plain one, if nobody but
this name refers to it: no view, no second name, no container.
"""

from __future__ import annotations

import dis
import sys
from functools import cache
from typing import Any

import numpy as np

from classy_pm.likelihood.trace.words import is_user_frame

INPLACE = frozenset(index for index, (_, text) in enumerate(dis._nb_ops) if text.endswith("="))  # type: ignore[attr-defined]


def is_alone(target: Any, count: int) -> bool:
    """Whether an array that an in-place operator changes has one name only.

    Parameters
    ----------
    target : object
        What `out=` of `__array_ufunc__` is.
    count : int
        Its references, counted in `__array_ufunc__`.
    """
    if type(target) is not np.ndarray or target.base is not None or count > references_of_one_name():
        return False
    frame = sys._getframe(2)  # that called `__array_ufunc__`
    if not is_user_frame(frame):
        return False
    code, place = frame.f_code.co_code, frame.f_lasti
    return dis.opname[code[place]] == "BINARY_OP" and code[place + 1] in INPLACE


class _Probe:
    """Counts references as `TracedArray.__array_ufunc__` does."""

    count = 0

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        self.count = sys.getrefcount(kwargs["out"][0])
        return kwargs["out"][0]


@cache
def references_of_one_name() -> int:
    """Return how many references there are to an array with one name, in an in-place operator."""
    probe, array = _Probe(), np.zeros(1)
    array -= probe
    return probe.count
