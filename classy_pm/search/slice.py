"""`Slice`: slice sampling, one parameter after another."""

from __future__ import annotations

from typing import Any, ClassVar

from classy_pm.search.problem import Problem
from classy_pm.search.pymc_chains import PyMCSearch

__all__ = ["Slice"]


class Slice(PyMCSearch):
    """PyMC's slice sampler: for a few parameters that are not correlated, without a gradient.

    Parameters
    ----------
    draws : int
        Draws a chain that are kept.
    tune : int
        Draws a chain before them, in which the widths are adapted.
    chains : int
        How many chains.
    width : float
        The first width of the slices, on the unconstrained scale.
    **common
        What every search takes: see `Search`.

    Notes
    -----
    Neal (2003), Annals of Statistics 31, 705. The chains start around the modes that an optimiser
    finds from many prior draws.

    Examples
    --------
    >>> Slice(draws=500, chains=2)
    Slice(draws=500, chains=2)
    """

    _stats: ClassVar[dict[str, str]] = {"nstep_out": "steps_out", "nstep_in": "steps_in"}

    width: float = 1.0

    def _faults(self) -> Any:
        yield from super()._faults()
        if not self.width > 0.0:
            yield "width", f"{self.width} is not above zero"

    def _step(self, problem: Problem) -> Any:
        import pymc as pm

        return pm.Slice(w=self.width, compile_kwargs=problem.compile_kwargs)
