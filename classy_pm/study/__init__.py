"""Many fits at once: populations of objects that are fitted already, and what is between fits."""

from classy_pm.study.interpolator import Interpolator
from classy_pm.study.population import Population

__all__ = ["Interpolator", "Population"]
