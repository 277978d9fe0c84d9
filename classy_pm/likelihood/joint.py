"""`JointAnalysis`: the analyses of all factors of a graph as one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, override

import numpy as np

from classy_pm.errors import Faults, FitException, LikelihoodError, SettingError
from classy_pm.likelihood.analysis import Analysis, check_analysis
from classy_pm.model import FactorGraphModel

__all__ = ["JointAnalysis", "analysis_of"]

# What an analysis may have besides its log likelihood, and is not asked for in a graph of factors.
LEFT_OUT = ("simulate", "derived", "visualize", "save_attributes")


class JointAnalysis(Analysis):
    """The data sets of a graph of factors: its log likelihood is the sum of theirs.

    Parameters
    ----------
    analyses : mapping of str to Analysis
        By the factors' names, in order.
    """

    def __init__(self, analyses: Mapping[str, Any]) -> None:
        self.analyses = dict(analyses)

    @override
    def log_likelihood_function(self, instance: Any) -> float:
        total = 0.0
        for name in self.analyses:
            total += self.of(name, instance[name])
        return total

    def of(self, name: str, instance: Any) -> Any:
        """Return the log likelihood of one factor; what its function raises leaves with the factor's name."""
        try:
            return self.analyses[name].log_likelihood_function(instance)
        except FitException:
            raise
        except Exception as error:
            error.add_note(f"It was the likelihood of {name}.")
            raise

    def each(self, instances: Any) -> np.ndarray:
        """Return the log likelihood of each factor, shape (factors,); -inf where it is impossible."""
        return np.array(
            [or_impossible(analysis, instances[name]) for name, analysis in self.analyses.items()]
        )

    @property
    def branch_limit(self) -> int:  # type: ignore[override]
        """In how many ways a likelihood may branch."""
        return max(analysis.branch_limit for analysis in self.analyses.values())

    # Each factor's own analysis says whether its data may hold NaN.
    allow_nan = True

    def check(self) -> None:
        """Check the analysis of each factor, and tell all faults with the factors' names."""
        faults = Faults()
        for name, analysis in self.analyses.items():
            try:
                check_analysis(analysis)
            except Exception as error:
                faults.add(name, str(error))
        faults.raise_as(LikelihoodError, "Some factors of the graph cannot be fitted.")

    def notices(self) -> list[str]:
        """Say which methods of the factors' analyses are not called."""
        classes = dict.fromkeys(type(analysis) for analysis in self.analyses.values())
        found = {
            name: [cls.__name__ for cls in classes if getattr(cls, name) is not getattr(Analysis, name)]
            for name in LEFT_OUT
        }
        told = [f"`{name}` of {', '.join(owners)}" for name, owners in found.items() if owners]
        return [f"In a graph of factors these are not called: {'; '.join(told)}."] if told else []


def or_impossible(analysis: Any, instance: Any) -> float:
    """Return a log likelihood, -inf where the user's function says that the point is impossible."""
    try:
        return float(analysis.log_likelihood_function(instance))
    except FitException:
        return -np.inf


def analysis_of(model: Any, analysis: Analysis | None, call: str) -> Analysis:
    """Return the analysis of a model; of a graph of factors, that of all of them.

    Parameters
    ----------
    model : Model, Collection or FactorGraphModel
    analysis : Analysis or None
        What was handed over besides it.
    call : str
        What to write, for a model of one data set.

    Raises
    ------
    SettingError
        If a graph is given with an analysis, or another model with None.
    """
    if isinstance(model, FactorGraphModel):
        if analysis is not None:
            raise SettingError(
                "The factors of a graph have their analyses already.", cure=f"Write {call.split(',')[0]})."
            )
        if len(model.factors) < len(model.factor_names):
            raise SettingError(
                "The graph was read from plain data, which has no analyses.",
                cure="Make it anew: FactorGraphModel(AnalysisFactor(graph.dataset_0, analysis), ...).",
            )
        analyses = (factor.analysis for factor in model.factors)
        joint = JointAnalysis(dict(zip(model.factor_names, analyses, strict=True)))
        joint.check()
        return joint
    if analysis is None:
        raise SettingError("The analysis is None.", cure=f"Write {call}.")
    return analysis
