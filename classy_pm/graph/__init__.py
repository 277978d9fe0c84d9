"""A plan and a likelihood become a PyMC model: the only floor that builds one."""

from classy_pm.graph.build import LIKELIHOOD_NAME, build_model, to_pymc

__all__ = ["LIKELIHOOD_NAME", "build_model", "to_pymc"]
