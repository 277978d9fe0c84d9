"""Refusals: sentences that name the user's file, line and function, and what to write instead."""

from __future__ import annotations

import dis
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import FrameType
from typing import NoReturn

import numpy as np
import pytensor
import scipy

from classy_pm.errors import TraceError, WrittenInJaxError

LIBRARIES = (
    Path(__file__).resolve().parents[2],
    *(Path(module.__file__).resolve().parent for module in (np, scipy, pytensor) if module.__file__),
)

# Name of the function of `branches` that calls the user's: frames outside of it are no business of ours.
ENTRY = "call_user_function"


# The end of a cure: what is left where a likelihood cannot be traced.
AS_A_BLACK_BOX = "use `likelihood='blackbox'` with a search such as Nautilus, which needs no gradient"


@dataclass(frozen=True)
class Place:
    """A line of the user's code.

    Attributes
    ----------
    file, line, function : str, int, str
        Where it is.
    instruction : int
        Offset of the byte code instruction: two branches may share a line.
    """

    file: str
    line: int
    function: str
    instruction: int = -1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}, in {self.function}"


@cache
def is_user_file(name: str) -> bool:
    """Whether a file is from outside classy_pm, NumPy, SciPy, PyTensor and JAX."""
    # `jax` itself may be a lazy module, which a look at it would load
    inner = sys.modules.get("jax._src")
    jax = [] if inner is None or inner.__file__ is None else [Path(inner.__file__).resolve().parents[1]]
    roots = [*jax, *(root.with_name("jaxlib") for root in jax)]
    return not name.startswith("<frozen") and not any(
        Path(name).resolve().is_relative_to(root) for root in (*LIBRARIES, *roots)
    )


def is_user_frame(frame: FrameType) -> bool:
    """Whether the frame runs code from outside classy_pm, NumPy, SciPy, PyTensor and JAX."""
    return is_user_file(frame.f_code.co_filename)


def user_frames() -> list[FrameType]:
    """Return the user's frames on the stack that the trace has called, innermost first."""
    frame: FrameType | None = sys._getframe(1)
    frames: list[FrameType] = []
    while frame is not None and frame.f_code.co_name != ENTRY:
        if is_user_frame(frame):
            frames.append(frame)
        frame = frame.f_back
    return frames


def place_of(frame: FrameType | None) -> Place:
    """Return the place at which a frame stands."""
    if frame is None:
        return Place("<unknown>", 0, "<unknown>")
    code = frame.f_code
    return Place(code.co_filename, frame.f_lineno, code.co_qualname, frame.f_lasti)


def user_place() -> Place:
    """Return the innermost line of the user's code on the stack."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and not is_user_frame(frame):
        frame = frame.f_back
    return place_of(frame)


def place_of_error(error: BaseException) -> Place:
    """Return the innermost line of the user's code in the traceback of an error."""
    found, step = None, error.__traceback__
    while step is not None:
        if is_user_frame(step.tb_frame):
            code = step.tb_frame.f_code
            found = Place(code.co_filename, step.tb_lineno, code.co_qualname)
        step = step.tb_next
    return found or Place("<unknown>", 0, "<unknown>")


def is_raised_on_purpose(error: BaseException) -> bool:
    """Whether an error comes from a `raise` or `assert` of the user's code, not from a call that failed."""
    step = error.__traceback__
    while step is not None and step.tb_next is not None:
        step = step.tb_next
    if step is None or not is_user_frame(step.tb_frame):
        return False
    instructions = dis.get_instructions(step.tb_frame.f_code)
    return any(item.offset == step.tb_lasti and item.opname == "RAISE_VARARGS" for item in instructions)


def is_of_jax(error: BaseException) -> bool:
    """Whether an error says that JAX was given a traced value."""
    step = error.__traceback__
    while step is not None:
        if step.tb_frame.f_globals.get("__name__", "").partition(".")[0] in ("jax", "jaxlib"):
            return True
        step = step.tb_next
    return "JAX" in str(error)


def written_in_jax(place: Place) -> WrittenInJaxError:
    """Return the refusal of a likelihood that hands traced values to JAX."""
    return WrittenInJaxError(
        f"The likelihood is written in jax.numpy, which takes no traced values ({place}).",
        cure="Use `likelihood='jax'`: its value and its gradient are then computed by JAX.",
    )


class Refusal(TraceError):
    """A refusal made while recording; kept by the session in case the user's code catches it."""


def refuse(what: str, cure: str | None = None) -> NoReturn:
    """Raise a refusal that names the user's line.

    Parameters
    ----------
    what : str
        What has no equivalent in a graph, without a full stop.
    cure : str, optional
        What to write instead, a sentence.
    """
    from classy_pm.likelihood.trace.session import current_session

    error = Refusal(f"{what} ({user_place()}).", cure=cure)
    session = current_session()
    if session is not None:
        session.refusals.append(error)
    raise error
