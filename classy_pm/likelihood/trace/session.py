"""The session: what one trace remembers while the user's function runs, once or many times.

It keeps every node that was made under a key of its operation and inputs, so that a subexpression
that is computed twice, on one run or on the run of another branch, is one node; conditions can
then be compared by identity.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Constant, Variable
from pytensor.tensor.variable import TensorConstant

from classy_pm.likelihood.trace.overlay import Overlay, Restart
from classy_pm.likelihood.trace.words import Place, user_frames, user_place

if TYPE_CHECKING:
    from classy_pm.likelihood.trace.words import Refusal

_current: ContextVar[Session | None] = ContextVar("classy_pm_trace", default=None)


def current_session() -> Session | None:
    """Return the session that is recording in this thread, if one is."""
    return _current.get()


@dataclass(frozen=True)
class Decision:
    """One answer given to `bool(traced)` on one run.

    Attributes
    ----------
    condition : TensorVariable
        The bool scalar that was asked.
    answer : bool
        What the run was told.
    place : Place
        The user's line that asked.
    """

    condition: Variable
    answer: bool
    place: Place


class NotRepeatable(BaseException):
    """A run with the same answers asked other questions: the function has side effects."""

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.place = place


class TooManyDecisions(BaseException):
    """One run asks more questions than there may be ways through the function."""

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.place = place


class Session:
    """State of one trace.

    Parameters
    ----------
    limit : int
        Largest number of questions on one run.

    Attributes
    ----------
    decisions : list of Decision
        Answers given on the current run.
    forced : tuple of Decision
        Answers that the current run must give first.
    refusals : list of Refusal
        Refusals of the current run: user code may swallow them, the trace may not.
    restart : bool
        Whether the run must be made again, with more names covered.
    overlay : Overlay
        Names of the user's modules that stand for equivalents.
    masks : list of TensorVariable
        What elements were selected by.
    made : list of weakref.ref
        All traced values, to find those that outlive the trace.
    """

    def __init__(self, limit: int = 64) -> None:
        self.limit = limit
        self.decisions: list[Decision] = []
        self.forced: tuple[Decision, ...] = ()
        self.restart = False
        self.refusals: list[Refusal] = []
        self.overlay = Overlay()
        self.masks: list[Variable] = []
        self.made: list[Any] = []
        self.memo: dict[tuple[Any, ...], Any] = {}
        self._answers: dict[Variable, bool] = {}
        self._nodes: dict[tuple[Any, ...], list[Variable]] = {}
        self._known: set[Variable] = set()
        self._constants: dict[tuple[Any, ...], Constant] = {}
        self._kept: list[Any] = []

    @contextmanager
    def recording(self, forced: tuple[Decision, ...] = ()) -> Iterator[None]:
        """Record one run, in which the forced decisions are answered first."""
        self.decisions, self.forced, self.refusals, self._answers = [], forced, [], {}
        self.restart = False
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)

    def constant(self, value: Any, dtype: Any = None) -> Constant:
        """Return the one constant variable of this value and dtype."""
        array = np.asarray(value, dtype=dtype)
        if array.dtype.kind not in "biufc":
            raise TypeError(f"an array of dtype {array.dtype} has no place in a graph")
        if not array.dtype.isnative:
            array = array.astype(array.dtype.newbyteorder("="))
        key = (array.dtype.str, array.shape, array.tobytes())
        found = self._constants.get(key)
        if found is None:
            # a copy, because the user may change the array afterwards
            found = pt.constant(np.array(array, order="C", copy=True), dtype=str(array.dtype))
            self._constants[key] = found
            self._known.add(found)
        return found

    def intern(self, variable: Variable) -> Variable:
        """Return the one variable that stands for this computation."""
        if variable in self._known:
            return variable
        node = variable.owner
        if node is None:
            if isinstance(variable, Constant):
                key = self._key_of(variable)
                if key is not None:
                    variable = self._constants.setdefault(key, variable)
            self._known.add(variable)
            return variable
        inputs = [self.intern(item) for item in node.inputs]
        try:
            key = (node.op, *(id(item) for item in inputs))
            outputs = self._nodes.get(key)
        except TypeError:  # an operation that cannot be hashed is never shared
            self._known.add(variable)
            return variable
        if outputs is None:
            if any(new is not old for new, old in zip(inputs, node.inputs, strict=True)):
                node = node.clone_with_new_inputs(inputs)
            outputs = node.outputs
            self._nodes[key] = outputs
            self._known.update(outputs)
        return outputs[variable.owner.outputs.index(variable)]

    @staticmethod
    def _key_of(constant: Constant) -> tuple[Any, ...] | None:
        data = constant.data
        if isinstance(data, np.ndarray | np.generic):
            key = (data.dtype.str, data.shape, data.tobytes())
            return key if isinstance(constant, TensorConstant) else (*key, type(constant))
        return None

    def remember(self, key: tuple[Any, ...], build: Callable[[], Any]) -> Any:
        """Return what was built under this key before, or build it."""
        if key not in self.memo:
            self.memo[key] = build()
        return self.memo[key]

    def decide(self, condition: Variable, expected: bool) -> bool:
        """Answer a question of the user's code and note it.

        Parameters
        ----------
        condition : TensorVariable
            A bool scalar.
        expected : bool
            The answer at the point of this run.
        """
        if isinstance(condition, Constant):
            return bool(condition.data)
        if condition in self._answers:
            return self._answers[condition]
        if self.overlay.add(user_frames()):
            self.restart = True
            raise Restart  # with `max` and `min` covered, most questions are never asked
        position = len(self.decisions)
        if position >= self.limit:
            raise TooManyDecisions(user_place())
        answer = expected
        if position < len(self.forced):
            if self.forced[position].condition is not condition:
                raise NotRepeatable(user_place())
            answer = self.forced[position].answer
        self.decisions.append(Decision(condition, answer, user_place()))
        self._answers[condition] = answer
        return answer
