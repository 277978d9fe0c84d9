"""`Result`: what a search hands back."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from classy_pm.model import Node
from classy_pm.plan import Plan, make_plan
from classy_pm.result import tree as trees
from classy_pm.result.samples import Samples

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["Result"]


class Result:
    """A fit: its draws as an ArviZ tree and as the user's objects.

    Parameters
    ----------
    model : Model or Collection
        The model that was fitted.
    tree : xarray.DataTree
    identifier : str
        The fit's identity: equal for equal model, data, search and seed.
    from_catalog : bool
        Whether the fit was read from a catalogue rather than run.

    Attributes
    ----------
    idata : xarray.DataTree
        ``posterior``, ``sample_stats`` and, where the likelihood can be taken apart into terms,
        ``log_likelihood``: for all of ArviZ.
    """

    def __init__(
        self, model: Node, tree: xr.DataTree, *, identifier: str, from_catalog: bool = False
    ) -> None:
        self.idata = tree
        self.identifier = identifier
        self.from_catalog = from_catalog
        # The plan is made at once: the model may be changed afterwards.
        self._plan: Plan = make_plan(model)
        self._attributes = trees.attributes_of(tree)

    @cached_property
    def samples(self) -> Samples:
        """The draws as vectors and instances."""
        return Samples(self.idata, self._plan)

    @property
    def instance(self) -> Any:
        """The user's objects at the draw with the greatest log likelihood."""
        return self.samples.max_log_likelihood_instance

    @property
    def max_log_likelihood_instance(self) -> Any:
        """The user's objects at the draw with the greatest log likelihood."""
        return self.samples.max_log_likelihood_instance

    @property
    def attributes(self) -> dict[str, Any]:
        """What is known of the fit besides its draws: search, settings, seed, seconds, versions."""
        return self._attributes

    @property
    def notices(self) -> list[str]:
        """What the search found worth saying of this fit, in words; empty if all is well."""
        return list(self._attributes.get("notices", []))

    def summary(self) -> pd.DataFrame:
        """Return a row a parameter.

        Returns
        -------
        pandas.DataFrame
            Mean, sd, median, the limits of the one and three sigma intervals, effective sample
            size and R-hat.
        """
        import pandas as pd

        return pd.DataFrame.from_dict(trees.table_of(self.idata), orient="index")

    @property
    def info(self) -> str:
        """The result as text: each parameter with its one sigma interval, and what was noticed."""
        rows = [f"{name:<40}{_with_interval(row)}" for name, row in trees.table_of(self.idata).items()]
        head = (
            f"Maximum log likelihood {self.samples.max_log_likelihood:.6g}; medians and one sigma intervals:"
        )
        return "\n".join([head, "", *rows, *(f"\nNote: {notice}" for notice in self.notices)])

    def plot_corner(self, names: Sequence[str] | None = None) -> Figure:
        """Draw each pair of parameters, with their marginal distributions on the diagonal.

        Parameters
        ----------
        names : sequence of str, optional
            The parameters to draw; all that are free by default.

        Returns
        -------
        matplotlib.figure.Figure
            Save it with ``figure.savefig("corner.png")``.
        """
        from classy_pm.result.plots import plot_corner

        return plot_corner(self.idata, names)

    def __repr__(self) -> str:
        names, count = self.samples.names, len(self.notices)
        notices = f"; {count} notice{'s' * (count > 1)}, see .notices" if count else ""
        return (
            f"Result({len(self.samples)} draws of {len(names)} parameters, {self.identifier[:12]}{notices})"
        )


def _with_interval(row: dict[str, float]) -> str:
    """Return a median with its one sigma interval, to two digits of the smaller error."""
    lower, median, upper = row["lower_1_sigma"], row["median"], row["upper_1_sigma"]
    error = min(upper - median, median - lower)
    if not (np.isfinite(error) and error > 0.0):
        return f"{median:>16.6g}  ({lower:.6g}, {upper:.6g})"
    digits = max(0, 1 - int(np.floor(np.log10(error))))
    if digits > 12 or abs(median) >= 1e12:
        return f"{median:>16.8g}  ({lower:.8g}, {upper:.8g})"
    return f"{median:>16.{digits}f}  ({lower:.{digits}f}, {upper:.{digits}f})"
