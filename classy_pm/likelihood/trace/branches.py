"""Running the function once per branch.

`bool(traced)` is answered from the shadow, that is, as in the plain function at a witness, and
noted. Each note is a fork: the function is run again with the other answer forced, until every
side of every fork is known. The tree of forks is then merged into one value (`merging`).

Which sides can be reached at all is not decided here. A side that no witness takes is traced like
any other, with three exceptions, where it is *cut*, and its value is NaN, which means -inf: the
user's code raises an error there; or a loop asks its question more often there than on any way that
a witness takes. The proof, at other points, refuses a trace that cut off too much.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pytensor.graph.basic import Variable

from classy_pm.errors import FitException, TraceError
from classy_pm.likelihood.trace.array import is_traced
from classy_pm.likelihood.trace.complexes import Pair
from classy_pm.likelihood.trace.dispatch import unwrapped
from classy_pm.likelihood.trace.letting_go import TRACED_FUNCTION
from classy_pm.likelihood.trace.overlay import Restart
from classy_pm.likelihood.trace.session import Decision, NotRepeatable, Session, TooManyDecisions
from classy_pm.likelihood.trace.trying import RaisedForPython
from classy_pm.likelihood.trace.words import (
    AS_A_BLACK_BOX,
    Place,
    is_of_jax,
    is_raised_on_purpose,
    place_of_error,
    written_in_jax,
)
from classy_pm.likelihood.trace.wrapping import wrap

# Loops may go this many turns beyond the longest that a witness takes.
SPARE_TURNS = 2
# Beyond so many ways more of them are no advice: every way is run, and the graph holds them all.
LARGEST_ADVISED = 256
# Witnesses whose way is followed in full; it suffices to find the common ways.
FOLLOWED = 64


@dataclass
class Leaf:
    """The end of one way through the function.

    Attributes
    ----------
    value : TensorVariable or None
        The float64 scalar at its end; None where the way was cut, or the point is impossible.
    impossible : bool
        Whether the user's code raised `FitException`.
    witnesses : list of tuple
        Points that take this way.
    """

    value: Variable | None
    impossible: bool = False
    cut: str = ""
    witnesses: list[tuple[Any, ...]] = field(default_factory=list)


@dataclass
class Fork:
    """A question that was asked, and what follows from either answer."""

    condition: Variable
    place: Place
    sides: dict[bool, Fork | Leaf | None] = field(default_factory=lambda: {True: None, False: None})


class Explorer:
    """Finds all ways through a function.

    Parameters
    ----------
    function : callable
        Takes a list of traced values.
    inputs : sequence of TensorVariable
        The variables to trace.
    points : sequence of tuple
        Values of the inputs, at least one.
    limit : int
        Largest number of ways.
    witnessed : bool
        Whether the points are draws, which tell how long loops are.
    """

    def __init__(
        self,
        function: Callable[[list[Any]], Any],
        inputs: Sequence[Variable],
        points: Sequence[tuple[Any, ...]],
        limit: int,
        witnessed: bool,
    ) -> None:
        self.function = function
        self.inputs = inputs
        self.points = points
        self.limit = limit
        self.witnessed = witnessed
        self.session = Session(limit)
        self.session.memo[TRACED_FUNCTION] = function
        self.root: Fork | Leaf | None = None
        self.leaves = 0
        self.turns: Counter[Place] = Counter()

    def explore(self) -> Fork | Leaf:
        """Return the tree of all ways."""
        self._follow(self.points[0], ())
        if isinstance(self.root, Fork):
            for point in self.points[1:FOLLOWED]:
                self._follow(point, ())
        while True:
            open_end = self._open_end(self.root, ())
            if open_end is None:
                break
            self._force(open_end)
        assert self.root is not None
        return self.root

    def _open_end(
        self, node: Fork | Leaf | None, before: tuple[Decision, ...]
    ) -> tuple[Decision, ...] | None:
        if node is None:
            return before
        if isinstance(node, Leaf):
            return None
        for answer in (True, False):
            found = self._open_end(
                node.sides[answer], (*before, Decision(node.condition, answer, node.place))
            )
            if found is not None:
                return found
        return None

    def _follow(self, point: tuple[Any, ...], forced: tuple[Decision, ...]) -> None:
        leaf = self._run(point, forced)
        leaf.witnesses.append(point)
        if leaf.cut:
            raise TraceError(leaf.cut)
        for place, count in Counter(decision.place for decision in self.session.decisions).items():
            self.turns[place] = max(self.turns[place], count)
        self._insert(leaf)

    def _force(self, forced: tuple[Decision, ...]) -> None:
        last = forced[-1]
        asked = sum(decision.place == last.place for decision in forced)
        if self.witnessed and asked > 1 and asked > self.turns[last.place] + SPARE_TURNS:
            self.session.decisions = list(forced)
            self._insert(Leaf(None, cut=f"a loop goes on longer than at any of the points ({last.place})"))
            return
        if self.leaves >= self.limit:
            raise self._over_limit(Counter(decision.place for decision in forced))
        self._insert(self._run(self.points[0], forced))

    def _over_limit(self, places: Counter[Place]) -> TraceError:
        self._count_places(self.root, places)
        lines = ", ".join(str(place) for place, _ in places.most_common(3))
        last = (
            f"set `branch_limit = {4 * self.limit}` in the class of the analysis"
            if self.limit < LARGEST_ADVISED
            else AS_A_BLACK_BOX
        )
        return TraceError(
            f"The likelihood has more than {self.limit} ways through it; it branches on parameters at "
            f"{lines}.",
            cure="Write `np.where(condition, a, b)` for `if`, take a fixed number of turns in loops, or "
            f"{last}.",
        )

    def _count_places(self, node: Fork | Leaf | None, places: Counter[Place]) -> None:
        if isinstance(node, Fork):
            places[node.place] += 1
            for side in node.sides.values():
                self._count_places(side, places)

    def _insert(self, leaf: Leaf) -> None:
        decisions = self.session.decisions
        if not decisions:
            if self.root is None:
                self.root, self.leaves = leaf, 1
            return
        if self.root is None:
            self.root = Fork(decisions[0].condition, decisions[0].place)
        node = self.root
        for index, decision in enumerate(decisions):
            if not isinstance(node, Fork) or node.condition is not decision.condition:
                raise NotRepeatable(decision.place)
            following = node.sides[decision.answer]
            if index == len(decisions) - 1:
                if following is None:
                    node.sides[decision.answer] = leaf
                    self.leaves += not leaf.cut
                elif isinstance(following, Leaf):
                    following.witnesses.extend(leaf.witnesses)
                    if following.value is not leaf.value:
                        raise NotRepeatable(decision.place)
                else:
                    raise NotRepeatable(decision.place)
            else:
                if following is None:
                    following = Fork(decisions[index + 1].condition, decisions[index + 1].place)
                    node.sides[decision.answer] = following
                node = following  # type: ignore[assignment]

    def _run(self, point: tuple[Any, ...], forced: tuple[Decision, ...]) -> Leaf:
        while True:
            with self.session.recording(forced), self.session.overlay.applied(), np.errstate(all="ignore"):
                values = [
                    self._input(variable, value) for variable, value in zip(self.inputs, point, strict=True)
                ]
                try:
                    result = call_user_function(self.function, values)
                except (Restart, TooManyDecisions, NotRepeatable, Exception) as error:
                    leaf = self._leaf_of_error(error, bool(forced))
                else:
                    leaf = Leaf(self._value(result))
                if self.session.restart:
                    continue
                if self.session.refusals:
                    raise self.session.refusals[0]  # also where the user's code has caught it
                if leaf is not None:
                    return leaf

    def _leaf_of_error(self, error: BaseException, forced: bool) -> Leaf | None:
        if self.session.restart or self.session.refusals:
            return None
        if isinstance(error, FitException):
            return Leaf(None, impossible=True)
        if isinstance(error, TooManyDecisions):
            places = Counter(decision.place for decision in self.session.decisions)
            raise self._over_limit(places + Counter([error.place])) from None
        if isinstance(error, NotRepeatable):
            raise error
        if is_of_jax(error):
            raise written_in_jax(place_of_error(error)) from error
        text = (
            f"The likelihood stopped with {type(error).__name__} while it was traced: {error} "
            f"({place_of_error(error)})."
        )
        if not (forced and (is_raised_on_purpose(error) or isinstance(error, RaisedForPython))):
            raise TraceError(text) from error
        return Leaf(None, cut=text)

    def _input(self, variable: Variable, value: Any) -> Any:
        if None in variable.type.shape:
            raise TraceError(
                f"The input {variable.name or variable} has no fixed shape.",
                cure="Give it one: `pt.tensor(name, dtype='float64', shape=(100,))`.",
            )
        # a copy, because the user's code may write to it
        return wrap(self.session, Pair(variable), np.array(value) if isinstance(value, np.ndarray) else value)

    def _value(self, result: Any) -> Variable:
        result = unwrapped(result)
        if not is_traced(result):
            number = np.asarray(result)
            if number.shape != () or number.dtype.kind not in "biuf":
                raise TraceError(f"The likelihood returned {result!r}, not one real number.")
            return self.session.constant(number, "float64")
        shape = np.shape(result._shadow)
        if shape != () or np.asarray(result._shadow).dtype.kind not in "biuf":
            kind = f"an array of shape {shape}" if shape else "a complex number"
            raise TraceError(
                f"The likelihood returned {kind}, not one real number.", cure="Return a sum over the data."
            )
        variable = result.pair().real
        return (
            variable if variable.type.dtype == "float64" else self.session.intern(variable.astype("float64"))
        )


def call_user_function(function: Callable[[list[Any]], Any], values: list[Any]) -> Any:
    """Call the user's function; `words.ENTRY` names this function, below which the stack is his."""
    return function(values)
