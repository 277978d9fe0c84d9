"""Many fits at once: populations of objects that are fitted already."""

from classy_pm.study.population import Population

__all__ = ["Population"]
