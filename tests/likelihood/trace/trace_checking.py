"""Compares functions of NumPy code, run on traced arrays, with the same functions on plain arrays.

The graph is evaluated at another point than that at which it was recorded, so a value that was taken
from the record instead of the graph shows.
"""

import sys
import warnings

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.gradient import DisconnectedType, NullType

from classy_pm.likelihood.trace import registry
from classy_pm.likelihood.trace.array import is_traced
from classy_pm.likelihood.trace.branches import call_user_function
from classy_pm.likelihood.trace.complexes import Pair
from classy_pm.likelihood.trace.guard import guard
from classy_pm.likelihood.trace.overlay import Restart
from classy_pm.likelihood.trace.proof import quick_function
from classy_pm.likelihood.trace.session import Session
from classy_pm.likelihood.trace.wrapping import wrap


def traced_graph(function, arrays):
    """Return inputs, the real and imaginary variables of every result, and the shadows."""
    registry.load()
    session = Session()
    inputs, values = [], []
    for array in arrays:
        array = np.asarray(array)
        if array.dtype.kind == "c":
            parts = [pt.tensor(dtype="float64", shape=array.shape) for _ in range(2)]
            inputs += parts
            values.append(wrap(session, Pair(*parts), array.copy() if array.ndim else array[()]))
        else:
            inputs.append(pt.tensor(dtype=str(array.dtype), shape=array.shape))
            values.append(wrap(session, Pair(inputs[-1]), array.copy() if array.ndim else array[()]))
    while True:
        with session.recording(), session.overlay.applied(), warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                result = call_user_function(lambda items: function(*items), values)
            except (Restart, Exception):
                if not session.restart:
                    raise ((session.refusals or [None])[0] or sys.exc_info()[1]) from None
        if not session.restart:
            break
    results = list(result) if isinstance(result, list | tuple) else [result]
    pairs = [r.pair() if is_traced(r) else None for r in results]
    return inputs, pairs, [r._shadow if is_traced(r) else r for r in results], session


def parts_of(arrays):
    parts = []
    for array in arrays:
        array = np.asarray(array)
        parts += [array.real.copy(), array.imag.copy()] if array.dtype.kind == "c" else [array]
    return parts


def plain_results(function, arrays):
    with np.errstate(all="ignore"):
        result = function(*(np.array(a) if np.ndim(a) else np.asarray(a)[()] for a in arrays))
    return list(result) if isinstance(result, list | tuple) else [result]


def check(function, *arrays, other=None, gradient=True, rtol=1e-12, atol=1e-13, slope_rtol=2e-6):
    """Assert that a function traced equals the function plain, in value, dtype, shape and gradient."""
    other = arrays if other is None else other
    shifted = [nudged(a) if other is arrays else a for a in other]
    inputs, pairs, shadows, _ = traced_graph(function, arrays)
    wanted = plain_results(function, shifted)
    point = parts_of(shifted)
    outputs = [part for pair in pairs if pair is not None for part in pair if part is not None]
    assert outputs, "nothing was traced"
    for plain, shadow in zip(wanted, shadows, strict=True):
        assert np.asarray(plain).dtype == np.asarray(shadow).dtype
        assert type(plain) is type(shadow) or isinstance(shadow, np.generic)
    evaluated = iter(quick_function(inputs, outputs)(*point))
    for pair, plain, shadow in zip(pairs, wanted, shadows, strict=True):
        if pair is None:
            np.testing.assert_array_equal(shadow, plain)
            continue
        got = np.asarray(next(evaluated))
        if pair.imaginary is not None:
            got = got + 1j * np.asarray(next(evaluated))
        plain = np.asarray(plain)
        assert got.shape == plain.shape
        if pair.imaginary is None:
            assert got.dtype == plain.real.dtype, (got.dtype, plain.dtype)
        np.testing.assert_allclose(got, plain, rtol=rtol, atol=atol)
    floats = [index for index, variable in enumerate(inputs) if variable.type.dtype.startswith("float")]
    if gradient and floats:
        check_gradient(function, inputs, outputs, floats, shifted, slope_rtol)


def nudged(array):
    array = np.asarray(array)
    if array.dtype.kind in "biu":
        return array
    return (array * (1.0 + 0.003 * np.cos(np.arange(array.size)).reshape(array.shape))).astype(array.dtype)


def weights_of(shape, number):
    return np.random.default_rng(number).uniform(0.5, 1.5, size=shape)


def check_gradient(function, inputs, outputs, floats, arrays, rtol):
    used = [v for v in outputs if v.type.dtype.startswith("float")]
    if not used:
        return
    total = (
        pt.add(*[pt.sum(v * weights_of(v.type.shape, n)) for n, v in enumerate(used)])
        if len(used) > 1
        else (pt.sum(used[0] * weights_of(used[0].type.shape, 0)))
    )
    (total,) = guard(inputs, [total])
    wrt = [inputs[index] for index in floats]
    slopes = pytensor.grad(total, wrt, disconnected_inputs="ignore", null_gradients="return")
    slopes = [s if not isinstance(s.type, NullType | DisconnectedType) else None for s in slopes]
    point = parts_of(arrays)
    got = quick_function(inputs, [s for s in slopes if s is not None])(*point)
    got = iter(got)
    value = quick_function(inputs, total)
    for index, slope in zip(floats, slopes, strict=True):
        if slope is None:
            continue
        computed = np.asarray(next(got))
        array = np.asarray(point[index], dtype=float)
        flat = computed.ravel()
        step = 1e-6 if np.asarray(point[index]).dtype == np.float64 else 1e-3
        for place in range(min(array.size, 6)):
            width = step * max(abs(array.flat[place]), 0.1)
            ends = []
            for sign in (1, -1):
                moved = array.copy()
                moved.flat[place] += sign * width
                changed = list(point)
                changed[index] = moved.astype(np.asarray(point[index]).dtype)
                ends.append(float(value(*changed)))
            measured = (ends[0] - ends[1]) / (2 * width)
            scale = max(
                abs(measured), abs(flat[place]), 1e-3 * np.max(np.abs(flat)), 1e-3 * abs(ends[0]), 1e-6
            )
            assert abs(measured - flat[place]) <= max(rtol, 1e-2 * (step > 1e-5)) * scale * 10, (
                f"gradient {flat[place]} against {measured} by input {index}"
            )
