"""`PlateTrace`: the graph of the log likelihood of many data sets, with that of each of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from classy_pm.likelihood.trace import Trace

__all__ = ["PlateTrace"]


@dataclass(frozen=True)
class PlateTrace(Trace):
    """The graph of the log likelihood of many data sets.

    Attributes
    ----------
    each : TensorVariable, shape (factors,)
        Their log likelihoods, whose sum is the value.
    factors : tuple of str
        Whose these are, in this order.
    term_counts : dict of str to int
        How many terms each has, in the order of the terms; empty where there are none.
    """

    each: Any = None
    factors: tuple[str, ...] = ()
    term_counts: dict[str, int] = field(default_factory=dict)
