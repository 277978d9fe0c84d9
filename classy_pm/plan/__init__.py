"""A model flattened: frozen records that the graph and the searches are built from."""

from classy_pm.plan.describe import class_reference, describe
from classy_pm.plan.plan import Plan, PriorGroup, make_plan

__all__ = ["Plan", "PriorGroup", "class_reference", "describe", "make_plan"]
