"""Roots and integrals of users' functions: `scipy.optimize.brentq`, `scipy.integrate.quad` and their friends.

The function is traced as the rest is. A root is found by SciPy when the graph is run, its derivative is
that of the implicit function. An integral is a sum over fixed nodes; where SciPy's adaptive one would have
needed more of them, the proof refuses the trace.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from inspect import signature
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.gradient import DisconnectedType, NullType
from pytensor.graph.traversal import ancestors
from pytensor.tensor.optimize import RootScalarOp, root_scalar

from classy_pm.likelihood.trace.array import is_traced
from classy_pm.likelihood.trace.complexes import Pair
from classy_pm.likelihood.trace.dispatch import find_traced, pair_of, shadow_of
from classy_pm.likelihood.trace.numba_support import called_by_python
from classy_pm.likelihood.trace.reductions import as_traced
from classy_pm.likelihood.trace.session import current_session
from classy_pm.likelihood.trace.trying import RaisedForPython, is_caught
from classy_pm.likelihood.trace.words import refuse
from classy_pm.likelihood.trace.wrapping import wrap

# As accurate as SciPy finds a root for itself.
BRACKETING = ("brentq", "brenth", "ridder", "bisect", "toms748")
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


class NoSignChange(RaisedForPython, ValueError):
    """What SciPy raises where a function has the same sign at both ends."""


class NotConverged(RaisedForPython, RuntimeError):
    """What SciPy raises where a root was not found."""


class RootOrNaN(RootScalarOp):
    """A root, NaN where SciPy would raise, and whether it was found.

    Whether it is found is decided with the tolerances of the user, the root is then as exact as can be.
    """

    def perform(self, node: Any, inputs: Any, outputs: Any) -> None:
        """Compute root and success."""
        f = self.fn_wrapped
        f.clear_cache()
        (start, *args), bounds = self.split_inputs(inputs)
        given = {"method": self.method, "args": tuple(args), **self.bound_values(bounds)}
        root, converged = np.nan, False
        with suppress(ValueError, RuntimeError, ArithmeticError), np.errstate(all="ignore"):
            import scipy.optimize

            fprime = f.grad if self.jac else None
            found = scipy.optimize.root_scalar(
                f.value, fprime=fprime, x0=start, **given, **self.optimizer_kwargs
            )
            if found.converged and np.isfinite(found.root):
                root, converged = found.root, True
                start = start if bounds else np.asarray(root)
                exact = scipy.optimize.root_scalar(f.value, fprime=fprime, x0=start, **given, **TIGHT)
                root = exact.root if exact.converged and np.isfinite(exact.root) else root
        outputs[0][0] = np.array(root, dtype=node.outputs[0].type.dtype)
        outputs[1][0] = np.bool_(converged)

    def pullback(self, inputs: Any, outputs: Any, output_grads: Any) -> Any:
        """Return the derivatives, 0 where there is no root, so that a branch not taken adds no NaN."""
        return [
            slope
            if isinstance(slope.type, NullType | DisconnectedType)
            else pt.switch(outputs[1], slope, pt.zeros_like(slope))
            for slope in super().pullback(inputs, outputs, output_grads)
        ]


def _sign_changes(func: Callable[..., Any], args: Any, bracket: Any) -> Any:
    lower, upper = (np.sign(func(end, *args)) for end in bracket)
    return lower * upper <= 0


def _root(
    func: Callable[..., Any],
    args: Any,
    start: Any,
    method: str,
    bracket: Any = None,
    options: dict[str, Any] | None = None,
    raises: bool = True,
) -> tuple[Any, Any]:
    """Return the root that a method finds, and whether it was found, as traced values."""
    session = current_session()
    assert session is not None
    for end in (start,) if bracket is None else bracket:
        if np.ndim(shadow_of(end)):
            refuse(f"`scipy.optimize.{method}` of several roots at once has no equivalent in a graph", NEWTON)
    options = {name: value for name, value in (options or {}).items() if value is not None}
    if find_traced([*options.values()]) is not None:
        refuse(f"the tolerances of `scipy.optimize.{method}` depend on parameters")
    caught = is_caught()
    if bracket is not None and caught and not _sign_changes(func, args, bracket):
        raise NoSignChange("f(a) and f(b) must have different signs")
    ends = None if bracket is None else tuple(shadow_of(end) for end in bracket)
    import scipy.optimize

    try:
        plain = scipy.optimize.root_scalar(
            lambda x: float(np.ravel(shadow_of(func(x, *args)))[0]),
            bracket=ends,
            x0=shadow_of(start),
            x1=None if ends is not None else float(shadow_of(start)) * (1 + 1e-4) + 1e-4,
            method=method if ends is not None else "secant",
            **options,
        )
        found, number = bool(plain.converged), plain.root
    except ValueError:
        if not (caught or session.forced):
            raise  # as the plain function does here
        found, number = False, np.nan
    number = float(number) if bracket is not None else np.float64(number)
    before = len(session.decisions)
    value = func(wrap(session, Pair(unknown := pt.dscalar("unknown")), number), *args)
    if any(unknown in ancestors([decision.condition]) for decision in session.decisions[before:]):
        refuse("the function whose root is sought branches on its argument", NEWTON)
    if not is_traced(value):
        refuse("the function whose root is sought does not depend on its argument", NEWTON)
    equation = value.pair().real
    if equation.type.ndim:
        equation = equation.reshape(())
    if unknown not in ancestors([equation]):
        refuse("the function whose root is sought does not depend on its argument", NEWTON)
    solution, success = _solved(session, equation, unknown, start, method, bracket, options)
    converged = wrap(session, Pair(success), found)
    # a bracket with a sign change always converges, if nobody limits the number of steps
    if raises and caught and (bracket is None or "maxiter" in options) and not converged:
        raise NotConverged(f"Failed to converge, value is {number}.")
    return wrap(session, Pair(solution), number), converged


def _solved(
    session: Any, equation: Any, unknown: Any, start: Any, method: str, bracket: Any, options: dict[str, Any]
) -> Any:
    called_by_python(RootOrNaN)
    ends = None if bracket is None else [pair_of(session, end, np.dtype(float)).real for end in bracket]
    solution, _ = root_scalar(
        equation, unknown, method=method, jac=bracket is None, bracket=ends, optimizer_kwargs=options
    )
    first = pair_of(session, start, np.dtype(float)).real
    node = solution.owner
    op = RootOrNaN.__new__(RootOrNaN)
    op.__dict__.update(node.op.__dict__)
    return op(first, *node.inputs[1:])


TOLERANCES = ("xtol", "rtol", "maxiter")


def _tolerances(name: str, given: dict[str, Any]) -> dict[str, Any]:
    """Return the tolerances among the arguments, and refuse what would choose another root or result."""
    for other, usual in (("fprime2", None), ("x1", None), ("options", None), ("full_output", False)):
        if given.get(other, usual) is not usual:
            refuse(f"`scipy.optimize.{name}` with `{other}` has no equivalent in a graph", "Leave it out.")
    if not given.get("disp", True):
        refuse(
            f"`scipy.optimize.{name}` with `disp=False` returns what is no root", "Leave it out; or " + NEWTON
        )
    found = {key: given[key] for key in TOLERANCES if key in given}
    if "tol" in given:
        found["xtol"] = given["tol"]
    return found


def _bracketed(original: Callable[..., Any], method: str) -> Callable[..., Any]:
    names = signature(original)

    @wraps(original)
    def call(*args: Any, **kwargs: Any) -> Any:
        given = names.bind(*args, **kwargs).arguments
        f, a, b = given["f"], given["a"], given["b"]
        others = _tuple(given.get("args", ()))
        middle = 0.5 * (np.add(a, b))
        if not _traced_anywhere(f, middle, others) and find_traced([a, b]) is None:
            return original(*args, **kwargs)
        return _root(f, others, middle, method, (a, b), _tolerances(method, given))[0]

    return call


def _newton(original: Callable[..., Any]) -> Callable[..., Any]:
    names = signature(original)

    @wraps(original)
    def call(*args: Any, **kwargs: Any) -> Any:
        given = names.bind(*args, **kwargs).arguments
        func, start, others = given["func"], given["x0"], _tuple(given.get("args", ()))
        if not _traced_anywhere(func, start, others):
            return original(*args, **kwargs)
        method = "newton" if given.get("fprime") is not None else "secant"
        return _root(func, others, start, method, None, _tolerances("newton", given))[0]

    return call


class _Solution:
    """What `scipy.optimize.root_scalar` returns."""

    def __init__(self, root: Any, converged: Any) -> None:
        self.root = root
        self.converged = converged

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        refuse(f"`{name}` of what `scipy.optimize.root_scalar` found is asked for", "Ask for `converged`.")


def _root_scalar(original: Callable[..., Any]) -> Callable[..., Any]:
    names = signature(original)

    @wraps(original)
    def call(*args: Any, **kwargs: Any) -> Any:
        given = names.bind(*args, **kwargs).arguments
        f, others, bracket = given["f"], _tuple(given.get("args", ())), given.get("bracket")
        start = given.get("x0") if bracket is None else 0.5 * np.add(bracket[0], bracket[1])
        if start is None or (not _traced_anywhere(f, start, others) and find_traced([bracket]) is None):
            return original(*args, **kwargs)
        method = given.get("method")
        if method is None:
            method = "brentq" if bracket is not None else "newton" if given.get("fprime") else "secant"
        if method not in (BRACKETING if bracket is not None else ("newton", "secant")):
            refuse(f"`scipy.optimize.root_scalar` with `method={method!r}` has no equivalent", NEWTON)
        ends = None if bracket is None else tuple(bracket)
        options = _tolerances("root_scalar", given)
        return _Solution(*_root(f, others, start, method, ends, options, raises=False))

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
    found = {name: _bracketed(getattr(module, name), name) for name in BRACKETING}
    found.update(newton=_newton(module.newton), root_scalar=_root_scalar(module.root_scalar))
    for name in ("fsolve", "root", "minimize", "minimize_scalar", "least_squares", "curve_fit"):
        found[name] = _refused(name)(getattr(module, name))
    return found
