"""The fit itself: one file a search, and all that searches share in `base`."""

from classy_pm.search.advi import ADVI
from classy_pm.search.base import Search
from classy_pm.search.demetropolis import DEMetropolisZ
from classy_pm.search.dynesty import DynestyDynamic, DynestyStatic
from classy_pm.search.emcee import AutoCorrelationsSettings, Emcee
from classy_pm.search.initializers import (
    InitializerBall,
    InitializerParamBounds,
    InitializerParamStartPoints,
    InitializerPrior,
    InitializerResult,
)
from classy_pm.search.laplace import Laplace
from classy_pm.search.maximum import MAP
from classy_pm.search.nautilus import Nautilus
from classy_pm.search.nuts import NUTS
from classy_pm.search.pathfinder import Pathfinder
from classy_pm.search.slice import Slice
from classy_pm.search.smc import SMC

__all__ = [
    "ADVI",
    "MAP",
    "NUTS",
    "SMC",
    "AutoCorrelationsSettings",
    "DEMetropolisZ",
    "DynestyDynamic",
    "DynestyStatic",
    "Emcee",
    "InitializerBall",
    "InitializerParamBounds",
    "InitializerParamStartPoints",
    "InitializerPrior",
    "InitializerResult",
    "Laplace",
    "Nautilus",
    "Pathfinder",
    "Search",
    "Slice",
]
