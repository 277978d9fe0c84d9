"""The plots of a fit as PNG."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import xarray as xr

from classy_pm.catalog.listing import FullFit
from classy_pm.errors import ClassyError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: More parameters than this cannot be made out in a picture.
MOST_IN_CORNER = 10
MOST_IN_TRACE = 20
DOTS_PER_INCH = 100
#: Enough for lines, points and their shades; a third of the bytes.
COLOURS = 64


class Picture(NamedTuple):
    """A plot: its bytes, its size on the page, and what it shows."""

    png: bytes
    width: int
    height: int
    caption: str


def pictures_of(full: FullFit) -> tuple[list[Picture], str]:
    """Return the plots of a fit, and why there are none, if so."""
    from classy_pm.result.plots import plot_corner, plot_trace

    assert full.tree is not None
    wanted: list[tuple[Callable[..., Figure], int, str]] = [
        (plot_corner, MOST_IN_CORNER, "Pairs of parameters, with their marginal distributions"),
        (plot_trace, MOST_IN_TRACE, "Distribution of each parameter, and its draws one after the other"),
    ]
    pictures = []
    for plot, most, caption in wanted:
        names, left_out = _names(full, most)
        if not names:
            return [], "There are no draws of free parameters to plot."
        if left_out:
            caption += f"; {left_out} more {'is' if left_out == 1 else 'are'} left out"
        try:
            pictures.append(_picture(lambda: plot(full.tree, names), f"{caption}."))  # noqa: B023
        except ClassyError as error:
            return pictures, error.message
        except Exception as error:  # whatever a plotting library makes of odd draws or names
            return pictures, f"The plots could not be drawn: {type(error).__name__}: {error}"
    return pictures, ""


def _names(full: FullFit, most: int) -> tuple[list[str], int]:
    """Return free parameters that make so many panels at most, and how many are left out."""
    assert full.tree is not None and full.record is not None
    if "posterior" not in full.tree.children:
        return [], 0
    posterior: xr.Dataset = full.tree["posterior"].to_dataset()
    free = [item.path.partition("[")[0] for item in full.record.parameters if item.role == "free"]
    free = [name for name in dict.fromkeys(free) if name in posterior.data_vars]
    names: list[str] = []
    panels = 0
    for name in free:
        panels += math.prod(posterior[name].shape[2:])
        if panels > most:
            break
        names.append(name)
    return names, len(free) - len(names)


def _picture(draw: Callable[[], Figure], caption: str) -> Picture:
    import matplotlib.pyplot as plt
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of draws that are all equal, and the like
        before = set(plt.get_fignums())
        try:
            figure = draw()
            drawn = io.BytesIO()
            arguments: dict[str, Any] = {"dpi": DOTS_PER_INCH, "facecolor": "white"}
            figure.savefig(drawn, format="png", **arguments)
        finally:
            for number in set(plt.get_fignums()) - before:
                plt.close(number)
    image = Image.open(drawn).convert("RGB").quantize(COLOURS)
    packed = io.BytesIO()
    image.save(packed, format="png", optimize=True)
    return Picture(packed.getvalue(), image.width, image.height, caption)
