"""A model flattened: frozen records that the graph and the searches are built from."""

from classy_pm.plan.describe import describe
from classy_pm.plan.plan import Plan, PriorGroup, make_plan

__all__ = ["Plan", "PriorGroup", "describe", "make_plan"]
