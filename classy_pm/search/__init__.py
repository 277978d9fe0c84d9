"""The fit itself: one file a search, and all that searches share in `base`."""

from classy_pm.search.base import Search
from classy_pm.search.emcee import AutoCorrelationsSettings, Emcee
from classy_pm.search.initializers import InitializerBall, InitializerPrior
from classy_pm.search.nuts import NUTS

__all__ = ["NUTS", "AutoCorrelationsSettings", "Emcee", "InitializerBall", "InitializerPrior", "Search"]
