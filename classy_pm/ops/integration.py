"""Integrals on fixed grids and differential equations in fixed steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from classy_pm.likelihood.trace.dispatch import find_traced, lift, shadow_of
from classy_pm.likelihood.trace.words import refuse


def quad(function: Callable[..., Any], a: Any, b: Any, args: Sequence[Any] = (), n: int = 64) -> Any:
    """Integrate a function by Gauss and Legendre's rule.

    On numbers it is `scipy.integrate.fixed_quad`; the limits may be infinite.

    Parameters
    ----------
    function : callable
        Takes an array of points, shape (n,), and `args`; returns the values there.
    a, b : float or traced
        The limits. Infinite ones are plain.
    args : sequence
        Further arguments of the function.
    n : int
        Number of points; exact for polynomials up to degree 2 n - 1.

    Returns
    -------
    float or traced number

    Examples
    --------
    >>> import numpy as np
    >>> float(quad(np.cos, 0.0, np.pi / 2))
    1.0
    """
    nodes, weights = np.polynomial.legendre.leggauss(n)
    ends = [None if find_traced([end]) is not None else float(end) for end in (a, b)]
    infinite = [end is not None and np.isinf(end) for end in ends]
    if not any(infinite):
        half = (b - a) / 2.0
        return half * np.sum(weights * function(half * (nodes + 1) + a, *args), axis=-1)
    if all(infinite):
        # x = t / (1 - t^2) maps the line onto (-1, 1)
        points, slopes = nodes / (1 - nodes**2), (1 + nodes**2) / (1 - nodes**2) ** 2
        sign = 1.0 if ends[1] == np.inf else -1.0
        return sign * np.sum(weights * slopes * function(points, *args), axis=-1)
    # x = end +- (1 + t) / (1 - t) maps the half line onto (-1, 1)
    slopes = 2.0 / (1 - nodes) ** 2
    steps = (1 + nodes) / (1 - nodes)
    points = a + steps if infinite[1] else b - steps
    return np.sum(weights * slopes * function(points, *args), axis=-1)


# Fehlberg's method without step control is no better than this for smooth right hand sides.
STAGES = ((0.0, ()), (0.5, (0.5,)), (0.5, (0.0, 0.5)), (1.0, (0.0, 0.0, 1.0)))
WEIGHTS = (1 / 6, 1 / 3, 1 / 3, 1 / 6)
# A graph grows with every step; more of them are better made by a function that is registered.
LARGEST_NUMBER_OF_STEPS = 1000


def solve_ivp(
    function: Callable[..., Any], t_eval: Any, y0: Any, args: Sequence[Any] = (), steps: int = 4
) -> Any:
    """Solve a differential equation by Runge and Kutta's classical method, in fixed steps.

    The error falls with the fourth power of the steps; compare with `scipy.integrate.solve_ivp`, of
    which the signature is, to choose their number.

    Parameters
    ----------
    function : callable
        `function(t, y, *args)`, the derivative of y; y has shape (variables,).
    t_eval : array_like, shape (times,)
        Times, the first of which is that of `y0`.
    y0 : array_like or traced, shape (variables,)
        The start.
    args : sequence
        Further arguments of the function.
    steps : int
        Steps from one time to the next.

    Returns
    -------
    ndarray or traced array, shape (variables, times)

    Examples
    --------
    >>> import numpy as np
    >>> y = solve_ivp(lambda t, y: -y, [0.0, 1.0], [1.0], steps=100)
    >>> bool(abs(y[0, -1] - np.exp(-1)) < 1e-9)
    True
    """
    times, state = lift(t_eval), lift(y0)
    state = state if find_traced([state]) is not None else np.asarray(state, dtype=float)
    times = times if find_traced([times]) is not None else np.asarray(times, dtype=float)
    count = np.shape(shadow_of(times))[0]
    if find_traced([state, args, times]) is not None and (count - 1) * steps > LARGEST_NUMBER_OF_STEPS:
        refuse(
            f"`solve_ivp` would take {(count - 1) * steps} steps, each of which is a part of the graph",
            "Take fewer steps, or register a solver with `@classy_pm.ops.traceable(gradient=...)`.",
        )
    states = [state]
    for n in range(count - 1):
        width = (times[n + 1] - times[n]) / steps
        for k in range(steps):
            state = _step(function, times[n] + k * width, state, width, args)
        states.append(state)
    return np.stack(states, axis=-1)


def _step(function: Callable[..., Any], t: Any, y: Any, width: Any, args: Sequence[Any]) -> Any:
    slopes: list[Any] = []
    for place, factors in STAGES:
        at = y
        for factor, slope in zip(factors, slopes, strict=False):
            if factor:
                at = at + width * factor * slope
        slope = lift(function(t + place * width, at, *args))
        slopes.append(slope if find_traced([slope]) is not None else np.asarray(slope))
    total = slopes[0] * WEIGHTS[0]
    for weight, slope in zip(WEIGHTS[1:], slopes[1:], strict=True):
        total = total + weight * slope
    return y + width * total
