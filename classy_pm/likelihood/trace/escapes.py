"""Where a traced value would have to become a plain one: help, or a refusal in words."""

from __future__ import annotations

import linecache
import re
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from classy_pm.likelihood.trace.overlay import Restart
from classy_pm.likelihood.trace.session import Session
from classy_pm.likelihood.trace.words import (
    Refusal,
    is_user_frame,
    refuse,
    user_frames,
    user_place,
    written_in_jax,
)

if TYPE_CHECKING:
    from classy_pm.likelihood.trace.array import TracedArray

# Functions of SciPy and others that read plain arrays, and what can be traced instead.
INSTEAD = {
    "convolve2d": "Write `classy_pm.ops.convolve2d`, which equals SciPy's on arrays.",
    "fftconvolve": "Write `classy_pm.ops.fftconvolve`, which equals SciPy's on arrays.",
    "convolve": "Write `np.convolve` or `classy_pm.ops.fftconvolve`.",
    "oaconvolve": "Write `classy_pm.ops.fftconvolve`.",
    "map_coordinates": "Write `classy_pm.ops.map_coordinates`.",
    "interp1d": "Write `np.interp` or `classy_pm.ops.interp`.",
    "RegularGridInterpolator": "Write `classy_pm.ops.interp2d` or `classy_pm.ops.map_coordinates`.",
    "quad": "Write `classy_pm.ops.quad`, which integrates on a fixed grid.",
    "simpson": "Write `np.trapezoid` or `classy_pm.ops.quad`.",
    "matrix": "Write `np.array` and `@`.",
    "PchipInterpolator": "Write `CubicSpline`, or `classy_pm.ops.interp`.",
    "Akima1DInterpolator": "Write `CubicSpline`, or `classy_pm.ops.interp`.",
    "solve_ivp": "Write `classy_pm.ops.solve_ivp`, which takes fixed steps.",
    "odeint": "Write `classy_pm.ops.solve_ivp`, which takes fixed steps.",
}
# `np.asarray` of a masked array would take the masked elements in, without a word.
UNMASKED = (
    "Take the elements that are not masked: `keep = ~data.mask`, then `data.data[keep]` and `x[keep]`; or "
    "multiply by `~data.mask` before the sum."
)
NUMBERS = {
    "float": "a traced value is turned into a plain number",
    "int": "a traced value is turned into a plain integer",
    "complex": "a traced value is turned into a plain complex number",
    "index": "an integer that depends on parameters is used as a length, a range or an index of a list",
    "array": "a traced value is turned into a plain array",
    "hash": "a traced number is used as a dictionary key or in a set, where its value would decide",
}
CURES = {
    "float": "Use the NumPy function, such as `np.exp` for `math.exp`, and keep the value as it is.",
    "int": "Use `np.floor` or `np.rint`, and keep the value as it is.",
    "complex": "Write `real + 1j * imaginary`.",
    "index": "Lengths and loops must not depend on parameters: use a fixed length and `np.where`.",
    "hash": "Use the name of the parameter, or an index that does not depend on parameters, and leave out "
    "`functools.lru_cache`.",
    "array": "Use NumPy functions of arrays, or `classy_pm.ops`, or register the function with "
    "`@classy_pm.ops.traceable`.",
}


def request_cover(session: Session, buffers: bool = True) -> None:
    """Break the run off if the names of a further module of the user's can be covered."""
    new = session.overlay.add(user_frames())
    if buffers and not new and not session.overlay.buffers:
        session.overlay.buffers = new = True
    if new:
        session.restart = True  # NumPy's C code may swallow what is raised
        raise Restart


def escaped(traced: TracedArray, kind: str) -> Any:
    """Return the plain value of a constant; else cover names and run again, or refuse."""
    from classy_pm.likelihood.trace.array import is_constant

    if is_constant(traced):
        return _plain(traced, kind)
    library, line = _caller()
    try:
        return _refused(traced, kind, library, line)
    except (Restart, Refusal):
        if library is None or not library.startswith("scipy.optimize."):
            raise
        return _plain(traced, kind)  # C code there prints what is raised; the session has noted it


def _plain(traced: TracedArray, kind: str) -> Any:
    if kind == "index":
        return traced._shadow.__index__()
    plain = {"float": float, "int": int, "complex": complex, "array": np.asarray, "hash": hash}
    return plain[kind](traced._shadow)


def _refused(traced: TracedArray, kind: str, library: str | None, line: str) -> NoReturn:
    request_cover(traced._session, buffers=library is None)
    if library is not None and library.startswith("jax"):
        error = written_in_jax(user_place())
        traced._session.refusals.append(error)
        raise error
    if library is not None and library.startswith("numpy.ma."):
        refuse("a masked array is put together with a traced value in `numpy.ma`", UNMASKED)
    if library is not None:
        cure = next((INSTEAD[part] for part in reversed(library.split(".")) if part in INSTEAD), None)
        refuse(f"`{library}` reads plain arrays and has no equivalent in a graph", cure or CURES["array"])
    if np.ndim(traced._shadow) and traced._shadow.dtype == bool and "[" in line:
        refuse(
            "a plain array is indexed by a mask that depends on parameters, so the length of the result "
            "does too",
            "Write `np.where(mask, array, 0.0)` before a sum, or make the array in the function: "
            "`x = np.copy(self.x)`, then `x[mask]`.",
        )
    if re.search(r"\]\s*[-+*/]?=[^=]", line):
        refuse(
            "a traced value is written into a plain array",
            "Make the array with `np.zeros_like(traced)` or `np.copy(x)`, not `x.copy()`; or build a list "
            "and `np.stack` it.",
        )
    math_name = re.search(r"\bmath\.(\w+)\(", line)
    if kind == "float" and math_name:
        refuse(f"`math.{math_name[1]}` takes plain numbers", f"Write `np.{math_name[1]}`.")
    refuse(NUMBERS[kind], CURES[kind])


def _caller() -> tuple[str | None, str]:
    """Return the library function that the user's line called, if one did, and the text of the line."""
    import sys

    frame: FrameType | None = sys._getframe(1)
    called = None
    while frame is not None and not is_user_frame(frame):
        name = frame.f_globals.get("__name__", "")
        if not name.startswith("classy_pm") or name.startswith("classy_pm.ops"):
            called = _public_name(name, frame.f_code.co_qualname)
        else:
            called = None
        frame = frame.f_back
    if frame is None:
        return called, ""
    return called, linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip()


def _public_name(module: str, function: str) -> str:
    """Return the name that users know, without private modules and methods."""
    parts = []
    for part in module.split("."):
        if part.startswith("_"):
            break
        parts.append(part)
    return ".".join([*parts, *(part for part in function.split(".") if not part.startswith(("_", "<")))])


def write_into_plain(target: Any, value: Any) -> Any:
    """Deal with a traced result that is to be written into a plain array."""
    from classy_pm.likelihood.trace.dispatch import find_traced

    traced = find_traced([value])
    if traced is None:
        target[...] = value
        return target
    request_cover(traced._session)
    refuse(
        "a traced value is written into a plain array",
        "Write `x = x + traced` for `x += traced`, or make the array in the function, with "
        "`np.zeros_like(traced)` or `np.copy(x)`.",
    )
