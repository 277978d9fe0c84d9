"""What is in an analysis or a model and may well be why its likelihood failed."""

from __future__ import annotations

import numbers
from collections.abc import Iterator
from typing import Any

import numpy as np

from classy_pm.likelihood.analysis import Analysis, attributes_of
from classy_pm.model.signature import read_signature
from classy_pm.plan import Plan

__all__ = ["suspects"]

# Errors that Python and NumPy raise of a value that is no number or array.
OF_A_VALUE = (TypeError, ValueError, AttributeError, KeyError)


def suspects(error: Exception, analysis: Analysis, plan: Plan) -> str:
    """Return a sentence that names data and constants of odd types; "" if they do not explain the error.

    Parameters
    ----------
    error : Exception
        What the likelihood raised.
    analysis : Analysis
    plan : Plan
    """
    if not isinstance(error, OF_A_VALUE):
        return ""
    of_none = "NoneType" in str(error)
    found = [*_in_data(analysis, of_none), *_in_model(plan, of_none)]
    return f"It may be this: {'; '.join(found)}" if found else ""


def _in_data(analysis: Analysis, of_none: bool) -> Iterator[str]:
    for name, value in attributes_of(analysis).items():
        if isinstance(value, (list, tuple)) and value and all(map(_is_number, value)):
            yield f"`{name}` is a {type(value).__name__}: np.asarray({name})?"
        elif isinstance(value, np.ndarray) and value.dtype.kind in "USO":
            of_what = "objects" if value.dtype.kind == "O" else "texts"
            yield f"`{name}` is an array of {of_what}: {name}.astype(float)?"
        elif value is None and of_none:
            yield f"`{name}` is None"


def _in_model(plan: Plan, of_none: bool) -> Iterator[str]:
    classes = dict(plan.layout.components)
    for path, value in plan.layout.constants:
        cls = classes.get(path[:-1])
        defaults = {item.name: item.default for item in read_signature(cls).arguments} if cls else {}
        if defaults.get(path[-1], ...) is value and value is not None:
            continue  # a class knows what to do with its own default
        name = ".".join(path)
        if isinstance(value, (list, tuple)) and value and all(map(_is_number, value)):
            hint = f": UniformPrior({value[0]!r}, {value[1]!r})?" if len(value) == 2 else ""
            yield f"`{name}` is fixed to {value!r}{hint}"
        elif isinstance(value, str) or (value is None and of_none):
            yield f"`{name}` is fixed to {value!r}"


def _is_number(value: Any) -> bool:
    return isinstance(value, (numbers.Number, np.number))
