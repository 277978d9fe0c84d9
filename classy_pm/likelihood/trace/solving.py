"""Roots and integrals of users' functions: `scipy.optimize.brentq`, `scipy.integrate.quad` and their friends.

The function is traced as the rest is. A root is found by SciPy when the graph is run, its derivative is
that of the implicit function. An integral is a sum over fixed nodes; where SciPy's adaptive one would have
needed more of them, the proof refuses the trace.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.traversal import ancestors

from classy_pm.likelihood.trace.array import TracedArray, is_traced
from classy_pm.likelihood.trace.complexes import Pair
from classy_pm.likelihood.trace.dispatch import find_traced, pair_of, shadow_of
from classy_pm.likelihood.trace.numba_support import called_by_python
from classy_pm.likelihood.trace.reductions import as_traced
from classy_pm.likelihood.trace.session import current_session
from classy_pm.likelihood.trace.words import refuse
from classy_pm.likelihood.trace.wrapping import wrap

# As accurate as SciPy finds a root for itself.
TIGHT = {"xtol": 1e-13, "rtol": 1e-14}
NEWTON = "Write a fixed number of Newton's steps: `for _ in range(20): x = x - f(x) / slope(x)`."


def _traced_anywhere(function: Callable[..., Any], place: Any, args: Any) -> bool:
    """Whether the arguments of a function are traced, or something that it refers to."""
    if current_session() is None:
        return False
    return (
        find_traced([place, args]) is not None or find_traced([function(shadow_of(place), *args)]) is not None
    )


# Integrals


def quad(original: Callable[..., Any]) -> Callable[..., Any]:
    """Return what stands for `scipy.integrate.quad`."""

    @wraps(original)
    def call(func: Any, a: Any, b: Any, args: Any = (), *rest: Any, **options: Any) -> Any:
        from classy_pm.ops import quad

        args = args if isinstance(args, tuple) else (args,)
        limits = [float(np.clip(shadow_of(end), -1e3, 1e3)) for end in (a, b)]
        if not _traced_anywhere(func, 0.5 * sum(limits), (*args,)) and find_traced([a, b]) is None:
            return original(func, a, b, args, *rest, **options)
        for name in set(options) & {"weight", "points", "complex_func"}:
            if options[name]:
                refuse(f"`scipy.integrate.quad` with `{name}` has no equivalent in a graph")

        def each(points: Any, *others: Any) -> Any:
            return as_traced([func(point, *others) for point in points])

        return quad(each, a, b, args), 0.0

    return call


# Roots


def _root(func: Callable[..., Any], args: Any, start: Any, method: str, bracket: Any = None) -> Any:
    """Return the root that a method finds, as a traced number."""
    session = current_session()
    assert session is not None
    ends = None if bracket is None else tuple(shadow_of(end) for end in bracket)
    import scipy.optimize

    plain = scipy.optimize.root_scalar(
        lambda x: float(np.ravel(shadow_of(func(x, *args)))[0]),
        bracket=ends,
        x0=shadow_of(start),
        x1=None if ends is not None else float(shadow_of(start)) * (1 + 1e-4) + 1e-4,
        method=method,
    )
    unknown = pt.dscalar("unknown")
    root = float(plain.root) if bracket is not None else np.float64(plain.root)
    before = len(session.decisions)
    value = func(wrap(session, Pair(unknown), root), *args)
    if any(unknown in ancestors([decision.condition]) for decision in session.decisions[before:]):
        refuse("the function whose root is sought branches on its argument", NEWTON)
    if not is_traced(value):
        refuse("the function whose root is sought does not depend on its argument", NEWTON)
    equation = value.pair().real
    if equation.type.ndim:
        equation = equation.reshape(())
    if unknown not in ancestors([equation]):
        refuse("the function whose root is sought does not depend on its argument", NEWTON)
    return wrap(session, Pair(_solved(session, equation, unknown, start, method, bracket)), root)


def _solved(session: Any, equation: Any, unknown: Any, start: Any, method: str, bracket: Any) -> Any:
    from pytensor.tensor.optimize import RootScalarOp, root_scalar

    called_by_python(RootScalarOp)
    ends = None if bracket is None else [pair_of(session, end, np.dtype(float)).real for end in bracket]
    solution, _ = root_scalar(
        equation, unknown, method=method, jac=bracket is None, bracket=ends, optimizer_kwargs=TIGHT
    )
    first = pair_of(session, start, np.dtype(float)).real
    node = solution.owner
    return node.op(first, *node.inputs[1:])[0]


def _bracketed(original: Callable[..., Any], method: str) -> Callable[..., Any]:
    @wraps(original)
    def call(
        f: Any, a: Any, b: Any, args: Any = (), *rest: Any, full_output: bool = False, **options: Any
    ) -> Any:
        args = args if isinstance(args, tuple) else (args,)
        middle = 0.5 * (np.add(a, b))
        if not _traced_anywhere(f, middle, args):
            return original(f, a, b, args, *rest, full_output=full_output, **options)
        if full_output:
            refuse(
                f"`scipy.optimize.{method}` with `full_output` has no equivalent in a graph", "Leave it out."
            )
        return _root(f, args, middle, method, (a, b))

    return call


def _newton(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def call(func: Any, x0: Any, fprime: Any = None, args: Any = (), *rest: Any, **options: Any) -> Any:
        args = args if isinstance(args, tuple) else (args,)
        if not _traced_anywhere(func, x0, args):
            return original(func, x0, fprime, args, *rest, **options)
        if np.ndim(shadow_of(x0)) or options.get("full_output"):
            refuse("`scipy.optimize.newton` of several roots at once has no equivalent in a graph", NEWTON)
        return _root(func, args, x0, "newton" if fprime is not None else "secant")

    return call


class _Solution:
    """What `scipy.optimize.root_scalar` returns."""

    def __init__(self, root: TracedArray) -> None:
        self.root = root
        self.converged, self.flag = True, "converged"


def _root_scalar(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def call(
        f: Any, args: Any = (), method: Any = None, bracket: Any = None, *rest: Any, **options: Any
    ) -> Any:
        args = args if isinstance(args, tuple) else (args,)
        start = options.get("x0") if bracket is None else 0.5 * np.add(bracket[0], bracket[1])
        if start is None or not _traced_anywhere(f, start, args):
            return original(f, args, method, bracket, *rest, **options)
        if method is None:
            method = "brentq" if bracket is not None else "newton" if options.get("fprime") else "secant"
        return _Solution(_root(f, args, start, method, None if bracket is None else tuple(bracket)))

    return call


def _refused(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def decorate(original: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(original)
        def call(func: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                traced = find_traced(
                    [args, *kwargs.values(), func(*args[:1], *_tuple(kwargs.get("args", ())))]
                )
            except Exception:
                traced = None
            if traced is None:
                return original(func, *args, **kwargs)
            refuse(f"`scipy.optimize.{name}` searches in steps that depend on parameters", NEWTON)

        return call

    return decorate


def _tuple(args: Any) -> tuple[Any, ...]:
    return args if isinstance(args, tuple) else (args,)


def integrals(module: Any) -> dict[str, Any]:
    """Return the equivalents for `scipy.integrate`, complete functions."""
    return {"quad": quad(module.quad)}


def roots(module: Any) -> dict[str, Any]:
    """Return the equivalents for `scipy.optimize`, complete functions."""
    found = {
        name: _bracketed(getattr(module, name), name)
        for name in ("brentq", "brenth", "ridder", "bisect", "toms748")
    }
    found.update(newton=_newton(module.newton), root_scalar=_root_scalar(module.root_scalar))
    for name in ("fsolve", "root", "minimize", "minimize_scalar", "least_squares", "curve_fit"):
        found[name] = _refused(name)(getattr(module, name))
    return found
