"""`PlateTrace`: the graph of the log likelihood of many data sets, with that of each of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from classy_pm.likelihood.trace import Trace

__all__ = ["PlateTrace", "Subset"]


@dataclass(frozen=True)
class Subset:
    """Data sets of one form, of which some can be looked at alone.

    Attributes
    ----------
    dim : str
        Of their plate.
    places : numpy.ndarray of int
        Where along it they are.
    of : callable
        Gives the log likelihoods, shape (some,), of some of them, for a vector of where in `places` they are.
    """

    dim: str
    places: np.ndarray
    of: Callable[[Any], Any]


@dataclass(frozen=True)
class PlateTrace(Trace):
    """The graph of the log likelihood of many data sets.

    Attributes
    ----------
    each : TensorVariable, shape (factors,)
        Their log likelihoods, whose sum is the value.
    subsets : tuple of Subset
        All of them, in this order.
    factors : tuple of str
        Whose these are, in this order.
    term_counts : dict of str to int
        How many terms each has, in the order of the terms; empty where there are none.
    """

    each: Any = None
    subsets: tuple[Subset, ...] = ()
    factors: tuple[str, ...] = ()
    term_counts: dict[str, int] = field(default_factory=dict)
