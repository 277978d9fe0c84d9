"""`DEMetropolisZ`: differential evolution from the past of a chain."""

from __future__ import annotations

from typing import Any, ClassVar

from classy_pm.search.problem import Problem
from classy_pm.search.pymc_chains import PyMCSearch

__all__ = ["DEMetropolisZ"]


class DEMetropolisZ(PyMCSearch):
    """PyMC's adaptive differential evolution Metropolis sampler, without a gradient.

    Parameters
    ----------
    draws : int
        Draws a chain that are kept; each step is cheap, and one in many is independent.
    tune : int
        Draws a chain before them, in which the scale of the steps is adapted.
    chains : int
        How many chains.
    **common
        What every search takes: see `Search`.

    Notes
    -----
    Ter Braak and Vrugt (2008), Statistics and Computing 18, 435. The chains start around the modes that
    an optimiser finds from many prior draws.

    Examples
    --------
    >>> DEMetropolisZ(draws=5000, random_seed=1)
    DEMetropolisZ(random_seed=1, draws=5000)
    """

    _stats: ClassVar[dict[str, str]] = {"accept": "acceptance_rate", "scaling": "scaling"}

    draws: int = 10_000
    tune: int = 4000

    def _step(self, problem: Problem) -> Any:
        import pymc as pm

        return pm.DEMetropolisZ(compile_kwargs=problem.compile_kwargs)
