"""The proof of a trace: its value and gradient compared with the user's plain function.

The graph is run by the Python linker without any simplification. That takes a few hundredths of a second
where a compiled function takes seconds, and it is the graph as it was recorded that is compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytensor
from pytensor.compile.builders import OpFromGraph
from pytensor.compile.mode import Mode
from pytensor.compile.rewriting import inline_ofg_node
from pytensor.graph.basic import Apply, Variable
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.rewriting.basic import dfs_rewriter, node_rewriter

from classy_pm.errors import TraceError
from classy_pm.likelihood.trace.words import AS_A_BLACK_BOX

if TYPE_CHECKING:
    from classy_pm.likelihood.trace import Trace

# Points at which the gradient is compared; each takes two plain calls a direction.
GRADIENT_POINTS = 3
# Directions in which it is compared, one input at a time while they are few.
DIRECTIONS = 24
GRADIENT_RTOL = 1e-3


@dataclass(frozen=True)
class Proof:
    """What was compared, and how well it agrees.

    Attributes
    ----------
    points : int
        Number of points at which the values were compared.
    worst_error : float
        Largest relative error of the value.
    gradient_points : int
        Number of points at which the gradient was compared.
    worst_gradient_error : float
        Largest error of the gradient, relative to its size.
    branches_reached : int
        Number of ways through the function that the points take.
    branches : int
        Number of ways that were traced.
    """

    points: int
    worst_error: float
    gradient_points: int
    worst_gradient_error: float
    branches_reached: int
    branches: int


@node_rewriter([OpFromGraph])
def _opened(fgraph: FunctionGraph, node: Apply) -> list[Variable]:
    """Put the nodes of an operation that is itself a graph in its place: alone, PyTensor would compile it."""
    return inline_ofg_node(node)


UNCOMPILED = Mode(linker="py", optimizer=dfs_rewriter(_opened))


def quick_function(inputs: Sequence[Variable], outputs: Any) -> Callable[..., Any]:
    """Return a function of a graph that is cheap to make and slow to run."""
    return pytensor.function(list(inputs), outputs, mode=UNCOMPILED, on_unused_input="ignore")


class Prover:
    """Compares a trace with functions that it may be the graph of.

    Parameters
    ----------
    trace : Trace
        What `trace` returned.
    inputs : sequence of TensorVariable
        Its inputs.

    Raises
    ------
    TraceError
        If the graph has no gradient.
    """

    def __init__(self, trace: Trace, inputs: Sequence[Variable]) -> None:
        self._trace = trace
        self._inputs = inputs
        self._floats = [index for index, variable in enumerate(inputs) if "float" in variable.type.dtype]
        wanted = [inputs[index] for index in self._floats]
        self._conditions = [condition for condition, _ in trace.conditions]
        with _failures_are_refusals():
            gradients = pytensor.grad(trace.value, wanted, disconnected_inputs="ignore")
            self._evaluate = quick_function(inputs, [trace.value, *self._conditions])
            self._differentiate = quick_function(inputs, gradients)

    def __call__(
        self, plain: Callable[..., float], points: Sequence[tuple[Any, ...]], *, rtol: float = 1e-8
    ) -> Proof:
        """Compare value and gradient, as `prove` does."""
        trace, inputs = self._trace, self._inputs
        points = [
            tuple(np.asarray(v, i.type.dtype)[()] for v, i in zip(p, inputs, strict=True)) for p in points
        ]
        if not points:
            raise TraceError("A trace is proved at points, and none was given.")
        worst = 0.0
        ways: dict[int, tuple[Any, ...]] = {}
        for point in points:
            with np.errstate(all="ignore"), _failures_are_refusals():
                value, *answers = self._evaluate(*point)
            told = dict(zip(self._conditions, (bool(answer) for answer in answers), strict=True))
            way = next(
                (n for n, path in enumerate(trace.paths) if all(told[c] == a for c, a in path.conditions)), -1
            )
            ways.setdefault(way, point)
            expected = _plain_value(plain, point)
            worst = max(worst, _compare(trace, inputs, point, _as_likelihood(value), expected, rtol))
        # the gradient on each way first, then at further points
        chosen = list(ways.values())
        chosen += [point for point in points if not any(point is known for known in ways.values())]
        compared, worst_slope = 0, 0.0
        for point in chosen[: max(GRADIENT_POINTS, len(ways))]:
            if not np.isfinite(_plain_value(plain, point)):
                continue
            with np.errstate(all="ignore"), _failures_are_refusals():
                slopes = dict(zip(self._floats, self._differentiate(*point), strict=True))
            worst_slope = max(worst_slope, _compare_gradient(inputs, plain, point, slopes))
            compared += 1
        return Proof(len(points), worst, compared, worst_slope, len(ways), trace.branches)


def prove(
    trace: Trace,
    inputs: Sequence[Variable],
    plain: Callable[..., float],
    points: Sequence[tuple[Any, ...]],
    *,
    rtol: float = 1e-8,
) -> Proof:
    """Compare a trace with the function that it was made from.

    Parameters
    ----------
    trace : Trace
        What `trace` returned.
    inputs : sequence of TensorVariable
        Its inputs.
    plain : callable
        The plain function of NumPy values, one an input; returns a float.
    points : sequence of tuple
        Values of the inputs, draws from the prior. Those that take other branches are the most worth.
    rtol : float
        Largest relative error of the value.

    Returns
    -------
    Proof

    Raises
    ------
    TraceError
        If value or gradient disagree.
    """
    return Prover(trace, inputs)(plain, points, rtol=rtol)


@contextmanager
def _failures_are_refusals() -> Iterator[None]:
    """Turn what an operation of the graph raises into a refusal."""
    try:
        yield
    except TraceError:
        raise
    except Exception as error:
        first = (str(error).strip().splitlines() or [""])[0]
        raise TraceError(
            f"The traced likelihood cannot be evaluated: {type(error).__name__}: {first}",
            cure=f"Write what may fail without `try`, or {AS_A_BLACK_BOX}.",
        ) from error


def _plain_value(plain: Callable[..., float], point: tuple[Any, ...]) -> float:
    with np.errstate(all="ignore"):
        return _as_likelihood(plain(*point))


def _as_likelihood(value: Any) -> float:
    number = float(value)
    return -np.inf if np.isnan(number) else number


def _compare(
    trace: Trace, inputs: Sequence[Variable], point: Any, traced: float, plain: float, rtol: float
) -> float:
    if traced == plain:
        return 0.0
    error = abs(traced - plain) / max(abs(plain), 1e-300) if np.isfinite(plain) else np.inf
    if error <= rtol:
        return float(error)
    if abs(traced - plain) <= rtol * 1e-4:
        return rtol  # a sum that cancels has no more digits than its terms
    raise TraceError(
        f"The traced likelihood is {traced!r} where the plain one is {plain!r}, at {_words(inputs, point)}.",
        cure="Something in the likelihood keeps results from one call to the next. Compute from the "
        f"arguments alone, or {AS_A_BLACK_BOX}."
        if trace.keeps
        else "Random numbers, state that changes between calls, and values read outside of the arguments "
        f"cannot be traced; write them without, or {AS_A_BLACK_BOX}.",
    )


def _words(inputs: Sequence[Variable], point: Sequence[Any]) -> str:
    pieces = []
    for index, (variable, value) in enumerate(zip(inputs, point, strict=True)):
        shown = repr(float(value)) if np.ndim(value) == 0 else f"an array of shape {np.shape(value)}"
        pieces.append(f"{variable.name or f'input {index}'} = {shown}")
    return ", ".join(pieces)


def _compare_gradient(
    inputs: Sequence[Variable], plain: Callable[..., float], point: tuple[Any, ...], slopes: dict[int, Any]
) -> float:
    worst = 0.0
    size = max(
        (float(np.max(np.abs(s), initial=0.0)) for s in slopes.values() if np.all(np.isfinite(s))),
        default=0.0,
    )
    for index, slope in slopes.items():
        places = list(np.ndindex(np.shape(slope)))
        for place in places[: max(1, DIRECTIONS // len(slopes))]:
            given = float(np.asarray(slope)[place])
            error, measured = _error_of_slope(plain, point, index, place, given, size)
            if error > GRADIENT_RTOL:
                name = inputs[index].name or f"input {index}"
                raise TraceError(
                    f"The gradient of the traced likelihood by {name} is {given!r} where differences of the "
                    f"plain one give {measured!r}, at {_words(inputs, point)}.",
                    cure="If the likelihood has a step or a kink there, or rounds its parameters, write it "
                    f"without, or {AS_A_BLACK_BOX}.",
                )
            worst = max(worst, error)
    return worst


def _error_of_slope(
    plain: Callable[..., float],
    point: tuple[Any, ...],
    index: int,
    place: tuple[int, ...],
    given: float,
    size: float,
) -> tuple[float, float]:
    """Return the error of a slope, the smallest over steps of several sizes, and the best estimate."""
    best, measured = np.inf, np.nan
    value = np.asarray(point[index], dtype=float)
    for step in (1e-6, 1e-5, 1e-4, 1e-7, 1e-3):
        width = step * max(abs(float(value[place])), 1e-2)
        ends = []
        for sign in (1.0, -1.0):
            moved = value.copy()
            moved[place] += sign * width
            ends.append((moved[place], _plain_value(plain, (*point[:index], moved[()], *point[index + 1 :]))))
        (right, above), (left, below) = ends
        if not (np.isfinite(above) and np.isfinite(below)):
            # one-sided: the point lies beside a region that is impossible
            if not np.isfinite(given):
                continue
            return 0.0, np.nan
        slope = (above - below) / (right - left)
        # what rounding of the value does to the difference, at most
        noise = 1e-14 * max(abs(above), abs(below)) / width
        error = abs(slope - given) / max(abs(slope), abs(given), 1e-6 * size, 1e-6, noise / GRADIENT_RTOL)
        if np.isnan(error):
            error = np.inf
        if error < best:
            best, measured = error, slope
        if best < GRADIENT_RTOL * 0.1:
            break
    return float(best), float(measured)
