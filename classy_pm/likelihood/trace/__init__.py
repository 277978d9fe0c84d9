"""NumPy code, unchanged, run on arrays that record a PyTensor graph.

See the README of this folder for why it exists and which cases it covers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytensor
from pytensor.graph.basic import Variable

from classy_pm.errors import TraceError
from classy_pm.likelihood.trace import registry
from classy_pm.likelihood.trace.array import TracedArray
from classy_pm.likelihood.trace.branches import Explorer, Fork, Leaf
from classy_pm.likelihood.trace.guard import guard
from classy_pm.likelihood.trace.letting_go import let_go
from classy_pm.likelihood.trace.merging import Merger
from classy_pm.likelihood.trace.proof import Proof, Prover, prove
from classy_pm.likelihood.trace.registry import Coverage, coverage
from classy_pm.likelihood.trace.rolling import rolled
from classy_pm.likelihood.trace.session import Decision, NotRepeatable
from classy_pm.likelihood.trace.terms import take_apart
from classy_pm.likelihood.trace.words import AS_A_BLACK_BOX, Place

__all__ = ["Branch", "Coverage", "Proof", "Prover", "Trace", "TracedArray", "coverage", "prove", "trace"]


@dataclass(frozen=True)
class Branch:
    """One way through the function.

    Attributes
    ----------
    answers : tuple of (str, bool)
        The user's lines that asked, as text, and the answers.
    end : {"value", "impossible", "cut"}
        A value; `FitException`, which is -inf; or nothing was traced, for the reason in `note`.
    reached : int
        How many of the witnesses take it.
    note : str
        Why it was cut.
    conditions : tuple of (TensorVariable, bool)
        The conditions asked and the answers.
    """

    answers: tuple[tuple[str, bool], ...]
    end: str
    reached: int
    note: str = ""
    conditions: tuple[tuple[Variable, bool], ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class Trace:
    """The graph of a likelihood.

    Attributes
    ----------
    value : TensorVariable
        The log likelihood, a float64 scalar.
    terms : TensorVariable or None
        A vector of pointwise terms that sums to the value.
    terms_reason : str or None
        Why there are no terms.
    paths : tuple of Branch
        All ways through the function.
    conditions : tuple of (TensorVariable, Place)
        The conditions on which it branches, and where.
    keeps : bool
        Whether the function stores values that it computed, in a cache say.
    masks : tuple of TensorVariable
        What it selects elements by, so that their number is not known.
    """

    value: Variable
    terms: Variable | None
    terms_reason: str | None
    paths: tuple[Branch, ...]
    conditions: tuple[tuple[Variable, Place], ...]
    keeps: bool = False
    masks: tuple[Variable, ...] = ()

    @property
    def branches(self) -> int:
        """Number of ways that end in a value or in -inf."""
        return sum(path.end != "cut" for path in self.paths)


@pytensor.config.change_flags(traceback__limit=0)  # nobody asks where in our code a node was made
def trace(
    function: Callable[[list[Any]], Any],
    inputs: Sequence[Variable],
    *,
    limit: int = 64,
    witnesses: Sequence[tuple[Any, ...]] | None = None,
) -> Trace:
    """Run a function on traced arrays and return its graph.

    Parameters
    ----------
    function : callable
        Takes a list with a traced value for each input, returns a scalar. It is run once per branch.
    inputs : sequence of TensorVariable
        Variables of known shape.
    limit : int
        Largest number of ways through the function.
    witnesses : sequence of tuple, optional
        NumPy values of the inputs, draws from the prior. They say which branch is taken where, how
        long loops are, and where an operation that is not taken can be evaluated.

    Returns
    -------
    Trace

    Raises
    ------
    TraceError
        If something has no equivalent in a graph; names the user's line.

    Examples
    --------
    >>> import numpy as np
    >>> import pytensor.tensor as pt
    >>> x = pt.dscalar("x")
    >>> result = trace(lambda values: -0.5 * sum((np.arange(3.0) - values[0]) ** 2), [x])
    >>> float(result.value.eval({x: 1.0}))
    -1.0
    """
    registry.load()
    points = [tuple(point) for point in witnesses or []]
    explorer = Explorer(function, inputs, points or [_any_point(inputs)], limit, bool(points))
    try:
        tree = explorer.explore()
    except NotRepeatable as error:
        raise TraceError(
            "The likelihood asks other questions when it is run again with the same values: it changes its "
            f"own state, or draws random numbers ({error.place}).",
            cure=f"Compute from the arguments alone, or {AS_A_BLACK_BOX}.",
        ) from None
    finally:
        keeps = let_go(explorer.session)
    value, _ = Merger(explorer.session, list(inputs)).merge(tree)
    value = rolled(value)
    terms, reason = take_apart(value)
    if not points:
        for leaf in _leaves(tree):
            leaf.witnesses.clear()
    outputs = guard(inputs, [value] if terms is None else [value, terms])
    return Trace(
        value=outputs[0],
        terms=outputs[1] if terms is not None else None,
        terms_reason=reason,
        paths=tuple(_branches(tree, ())),
        conditions=tuple(_conditions(tree)),
        keeps=keeps,
        masks=tuple(explorer.session.masks),
    )


def _any_point(inputs: Sequence[Variable]) -> tuple[Any, ...]:
    """Return some values of the inputs, all different, where no draws are given."""
    values = []
    for index, variable in enumerate(inputs):
        shape = tuple(length or 1 for length in variable.type.shape)
        number = 0.5 + 0.13 * ((index * 7) % 11) / 11
        array = np.asarray(np.full(shape, number) + 0.01 * np.arange(int(np.prod(shape))).reshape(shape))
        array = array.astype(variable.type.dtype)
        values.append(array if shape else array[()])
    return tuple(values)


def _leaves(node: Fork | Leaf | None) -> list[Leaf]:
    if isinstance(node, Leaf):
        return [node]
    return [leaf for side in node.sides.values() for leaf in _leaves(side)] if node is not None else []


def _branches(node: Fork | Leaf | None, before: tuple[Decision, ...]) -> list[Branch]:
    if isinstance(node, Leaf):
        end = "impossible" if node.impossible else "cut" if node.cut else "value"
        places = tuple((str(decision.place), decision.answer) for decision in before)
        asked = tuple((decision.condition, decision.answer) for decision in before)
        return [Branch(places, end, len(node.witnesses), node.cut, asked)]
    found = []
    if node is not None:
        for answer, side in node.sides.items():
            found += _branches(side, (*before, Decision(node.condition, answer, node.place)))
    return found


def _conditions(node: Fork | Leaf | None) -> list[tuple[Variable, Place]]:
    if not isinstance(node, Fork):
        return []
    found = {node.condition: node.place}
    for side in node.sides.values():
        for condition, place in _conditions(side):
            found.setdefault(condition, place)
    return list(found.items())
