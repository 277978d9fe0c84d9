"""classy_pm: plain Python classes, fitted with PyMC.

Every public name is here, and loads its module when it is first used, so that ``import classy_pm``
costs nothing. Inside the package, import from the module where a thing is defined, not from here.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

# A public name has three lines in this file, which tests/test_project.py holds equal: in `__all__`, in
# `_HOMES`, and, for type checkers and editors, in the imports at the end.

# In the order that ruff keeps: acronyms, classes, functions.
__all__ = [
    "ADVI",
    "MAP",
    "NUTS",
    "SMC",
    "Aggregator",
    "Analysis",
    "AnalysisFactor",
    "Array",
    "AutoCorrelationsSettings",
    "BetaPrior",
    "Catalog",
    "ClassyError",
    "Collection",
    "DEMetropolisZ",
    "DynestyDynamic",
    "DynestyStatic",
    "Emcee",
    "FactorGraphModel",
    "FitException",
    "GammaPrior",
    "GaussianPrior",
    "GraphResult",
    "HalfGaussianPrior",
    "HierarchicalFactor",
    "InitializerBall",
    "InitializerParamBounds",
    "InitializerParamStartPoints",
    "InitializerPrior",
    "InitializerResult",
    "Interpolator",
    "Laplace",
    "LogGaussianPrior",
    "LogUniformPrior",
    "Model",
    "Nautilus",
    "Pathfinder",
    "Population",
    "Prior",
    "Result",
    "Samples",
    "SearchGridSearch",
    "SensitivityMapping",
    "Slice",
    "StudentTPrior",
    "UniformPrior",
    "check_gradient",
    "compare",
    "config",
    "fit_many",
    "ops",
    "to_pymc",
]

_HOMES = {
    "ADVI": "classy_pm.search",
    "Aggregator": "classy_pm.catalog",
    "Analysis": "classy_pm.likelihood",
    "AnalysisFactor": "classy_pm.model",
    "Array": "classy_pm.model",
    "AutoCorrelationsSettings": "classy_pm.search",
    "BetaPrior": "classy_pm.model",
    "Catalog": "classy_pm.catalog",
    "ClassyError": "classy_pm.errors",
    "Collection": "classy_pm.model",
    "DEMetropolisZ": "classy_pm.search",
    "DynestyDynamic": "classy_pm.search",
    "DynestyStatic": "classy_pm.search",
    "Emcee": "classy_pm.search",
    "FactorGraphModel": "classy_pm.model",
    "FitException": "classy_pm.errors",
    "GammaPrior": "classy_pm.model",
    "GaussianPrior": "classy_pm.model",
    "GraphResult": "classy_pm.result",
    "HalfGaussianPrior": "classy_pm.model",
    "HierarchicalFactor": "classy_pm.model",
    "InitializerBall": "classy_pm.search",
    "InitializerParamBounds": "classy_pm.search",
    "InitializerParamStartPoints": "classy_pm.search",
    "InitializerPrior": "classy_pm.search",
    "InitializerResult": "classy_pm.search",
    "Interpolator": "classy_pm.study",
    "Laplace": "classy_pm.search",
    "LogGaussianPrior": "classy_pm.model",
    "LogUniformPrior": "classy_pm.model",
    "MAP": "classy_pm.search",
    "Model": "classy_pm.model",
    "NUTS": "classy_pm.search",
    "Nautilus": "classy_pm.search",
    "Pathfinder": "classy_pm.search",
    "Population": "classy_pm.study",
    "Prior": "classy_pm.model",
    "Result": "classy_pm.result",
    "SMC": "classy_pm.search",
    "Samples": "classy_pm.result",
    "SearchGridSearch": "classy_pm.study",
    "SensitivityMapping": "classy_pm.study",
    "Slice": "classy_pm.search",
    "StudentTPrior": "classy_pm.model",
    "UniformPrior": "classy_pm.model",
    "check_gradient": "classy_pm.likelihood",
    "compare": "classy_pm.result",
    "config": "classy_pm",
    "fit_many": "classy_pm.study",
    "ops": "classy_pm",
    "to_pymc": "classy_pm.graph",
}

# What these are called elsewhere.
_CALLED_HERE = {
    "HalfNormalPrior": "HalfGaussianPrior",
    "LogNormalPrior": "LogGaussianPrior",
    "NormalPrior": "GaussianPrior",
    "TruncatedGaussianPrior": "GaussianPrior",
    "TruncatedNormalPrior": "GaussianPrior",
}

__version__: str


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})


if TYPE_CHECKING:
    from classy_pm import config, ops
    from classy_pm.catalog import Aggregator, Catalog
    from classy_pm.errors import ClassyError, FitException
    from classy_pm.graph import to_pymc
    from classy_pm.likelihood import Analysis, check_gradient
    from classy_pm.model import (
        AnalysisFactor,
        Array,
        BetaPrior,
        Collection,
        FactorGraphModel,
        GammaPrior,
        GaussianPrior,
        HalfGaussianPrior,
        HierarchicalFactor,
        LogGaussianPrior,
        LogUniformPrior,
        Model,
        Prior,
        StudentTPrior,
        UniformPrior,
    )
    from classy_pm.result import GraphResult, Result, Samples, compare
    from classy_pm.search import (
        ADVI,
        MAP,
        NUTS,
        SMC,
        AutoCorrelationsSettings,
        DEMetropolisZ,
        DynestyDynamic,
        DynestyStatic,
        Emcee,
        InitializerBall,
        InitializerParamBounds,
        InitializerParamStartPoints,
        InitializerPrior,
        InitializerResult,
        Laplace,
        Nautilus,
        Pathfinder,
        Slice,
    )
    from classy_pm.study import Interpolator, Population, SearchGridSearch, SensitivityMapping, fit_many
else:  # hidden from type checkers, to which a module with a `__getattr__` has every name

    def __getattr__(name: str) -> object:
        if name == "__version__":
            value: object = importlib.import_module("importlib.metadata").version(__name__)
        elif name not in _HOMES:
            here = f"; it is called {_CALLED_HERE[name]!r} here" if name in _CALLED_HERE else ""
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}{here}")
        elif _HOMES[name] == __name__:
            value = importlib.import_module(f"{__name__}.{name}")
        else:
            value = getattr(importlib.import_module(_HOMES[name]), name)
        globals()[name] = value  # the next access does not come here
        return value
