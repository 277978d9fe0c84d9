"""What a user composes: models of their classes, collections, priors and assertions.

This floor knows classes and numbers; it imports neither PyMC nor PyTensor.
"""

from classy_pm.model.along_plates import Along, along, axes_of, of_factor
from classy_pm.model.collection import Collection, Instance
from classy_pm.model.expressions import Assertion, Derived, Expression
from classy_pm.model.factors import AnalysisFactor, FactorGraphModel, HierarchicalFactor
from classy_pm.model.foreign import Prior
from classy_pm.model.layout import FreeParameter, Layout
from classy_pm.model.model import Model
from classy_pm.model.node import Node, Path
from classy_pm.model.one_factor import OneFactor
from classy_pm.model.origin import Origin
from classy_pm.model.plates import PlateLayout
from classy_pm.model.prior import AbstractPrior, Array, MissingPrior
from classy_pm.model.priors import (
    BetaPrior,
    GammaPrior,
    GaussianPrior,
    HalfGaussianPrior,
    LogGaussianPrior,
    LogUniformPrior,
    StudentTPrior,
    UniformPrior,
)
from classy_pm.model.serialise import Stranger, model_of_strangers
from classy_pm.model.signature import REQUIRED

__all__ = [
    "REQUIRED",
    "AbstractPrior",
    "Along",
    "AnalysisFactor",
    "Array",
    "Assertion",
    "BetaPrior",
    "Collection",
    "Derived",
    "Expression",
    "FactorGraphModel",
    "FreeParameter",
    "GammaPrior",
    "GaussianPrior",
    "HalfGaussianPrior",
    "HierarchicalFactor",
    "Instance",
    "Layout",
    "LogGaussianPrior",
    "LogUniformPrior",
    "MissingPrior",
    "Model",
    "Node",
    "OneFactor",
    "Origin",
    "Path",
    "PlateLayout",
    "Prior",
    "Stranger",
    "StudentTPrior",
    "UniformPrior",
    "along",
    "axes_of",
    "model_of_strangers",
    "of_factor",
]
