"""Where a traced value would have to become a plain one: help, or a refusal in words."""

from __future__ import annotations

import linecache
import re
from types import FrameType
from typing import TYPE_CHECKING, Any

import numpy as np

from classy_pm.likelihood.trace.overlay import Restart
from classy_pm.likelihood.trace.session import Session
from classy_pm.likelihood.trace.words import is_user_frame, refuse, user_frames

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
    "solve_ivp": "Write `classy_pm.ops.solve_ivp`, which takes fixed steps.",
    "odeint": "Write `classy_pm.ops.solve_ivp`, which takes fixed steps.",
}
NUMBERS = {
    "float": "a traced value is turned into a plain number",
    "int": "a traced value is turned into a plain integer",
    "complex": "a traced value is turned into a plain complex number",
    "index": "an integer that depends on parameters is used as a length, a range or an index of a list",
    "array": "a traced value is turned into a plain array",
}
CURES = {
    "float": "Use the NumPy function, such as `np.exp` for `math.exp`, and keep the value as it is.",
    "int": "Use `np.floor` or `np.rint`, and keep the value as it is.",
    "complex": "Write `real + 1j * imaginary`.",
    "index": "Lengths and loops must not depend on parameters: use a fixed length and `np.where`.",
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
        plain = {"float": float, "int": int, "complex": complex, "array": np.asarray}
        if kind == "index":
            return traced._shadow.__index__()
        return plain[kind](traced._shadow)
    library, line = _caller()
    request_cover(traced._session, buffers=library is None)
    if library is not None:
        cure = next(
            (text for name, text in INSTEAD.items() if library.rpartition(".")[2].startswith(name)), None
        )
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
            "Make the array with `np.zeros_like(traced)`, or build a list and `np.stack` it.",
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
            called = f"{name}.{frame.f_code.co_name}"
        else:
            called = None
        frame = frame.f_back
    if frame is None:
        return called, ""
    return called, linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip()


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
        "Write `x = x + traced` for `x += traced`, or make the array with `np.zeros_like(traced)`.",
    )
