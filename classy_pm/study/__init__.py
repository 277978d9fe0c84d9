"""Many fits: grids of searches, sensitivity maps, surveys, populations, and what is between fits."""

from classy_pm.study.grid_search import GridSearchResult, SearchGridSearch
from classy_pm.study.interpolator import Interpolator
from classy_pm.study.many import ManyFits, fit_many
from classy_pm.study.population import Population
from classy_pm.study.sensitivity import SensitivityMapping
from classy_pm.study.sensitivity_result import SensitivityResult

__all__ = [
    "GridSearchResult",
    "Interpolator",
    "ManyFits",
    "Population",
    "SearchGridSearch",
    "SensitivityMapping",
    "SensitivityResult",
    "fit_many",
]
