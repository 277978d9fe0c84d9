"""`JointAnalysis`: the analyses of all factors of a graph as one."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, override

import numpy as np

from classy_pm.errors import ClassyError, Faults, FitException, LikelihoodError, SettingError, some_of
from classy_pm.likelihood.analysis import Analysis, check_analysis, gives
from classy_pm.model import FactorGraphModel, OneFactor, PlateLayout

__all__ = ["JointAnalysis", "analysis_of", "classes_of", "in_factor", "note_of", "told_once"]

# What must be there of all data sets to be there of the whole.
OF_ALL = ("log_likelihood_gradient", "log_likelihood_pointwise")
# So many data sets are named with a fault that all have.
NAMED = 5

logger = logging.getLogger("classy_pm")


class JointAnalysis(Analysis):
    """The data sets of a graph of factors: its log likelihood is the sum of theirs.

    Parameters
    ----------
    analyses : mapping of str to Analysis
        By the factors' names, in order.
    layout : PlateLayout, optional
        Of the graph: where in its vector the parameters of each data set are. The gradient needs it.
    """

    def __init__(self, analyses: Mapping[str, Any], layout: PlateLayout | None = None) -> None:
        self.analyses = dict(analyses)
        self.layout = layout
        self._places: dict[str, np.ndarray] = {}

    @override
    def log_likelihood_function(self, instance: Any) -> float:
        total = 0.0
        for name in self.analyses:
            total += self.of(name, instance[name])
        return total

    def of(self, name: str, instance: Any) -> Any:
        """Return the log likelihood of one factor; what its function raises leaves with the factor's name."""
        analysis = self.analyses[name]
        try:
            value = analysis.log_likelihood_function(instance)
        except FitException:
            raise
        except Exception as error:
            error.add_note(note_of(name))
            raise
        if type(value) is not float and type(value) is not np.float64:
            _check_value(name, analysis, value)
        return value

    def each(self, instances: Any, names: Sequence[str] | None = None) -> np.ndarray:
        """Return the log likelihood of each factor, or of those named; -inf where it is impossible."""
        wanted = self.analyses if names is None else names
        return np.array([or_impossible(self.analyses[name], instances[name]) for name in wanted])

    # -- what is optional --------------------------------------------------------------------------

    def giving(self, method: str) -> dict[str, Any]:
        """Return the analyses that have an optional method, by the factors' names."""
        return {name: analysis for name, analysis in self.analyses.items() if gives(analysis, method)}

    def gives_of_all(self, method: str) -> bool:
        """Whether the whole can be asked for what a method gives."""
        count = len(self.giving(method))
        if method == "log_likelihood_gradient" and self.layout is None:
            return False
        return count == len(self.analyses) if method in OF_ALL else count > 0

    @override
    def log_likelihood_pointwise(self, instance: Any) -> np.ndarray:
        return np.concatenate(list(self.pointwise_of_each(instance).values()))

    def pointwise_of_each(self, instance: Any) -> dict[str, np.ndarray]:
        """Return the terms that each analysis gives, by the factors' names."""
        terms = {}
        for name, analysis in self.analyses.items():
            with in_factor(name):
                terms[name] = np.asarray(analysis.log_likelihood_pointwise(instance[name]))
                if terms[name].ndim != 1:
                    raise LikelihoodError(
                        f"{name}: {type(analysis).__name__}.log_likelihood_pointwise returned an array of "
                        f"shape {terms[name].shape}, not one number a datum.",
                        cure="Return a vector whose sum is the log likelihood, constants included.",
                    )
        return terms

    @override
    def log_likelihood_gradient(self, instance: Any) -> np.ndarray:
        """Return the sum of the gradients of all, each in the order of its own model's paths."""
        assert self.layout is not None
        total = np.zeros(self.layout.size)
        for name, analysis in self.analyses.items():
            if name not in self._places:
                self._places[name] = OneFactor.as_given(self.layout, name)
            places = self._places[name]
            with in_factor(name):
                gradient = np.asarray(analysis.log_likelihood_gradient(instance[name]))
                if gradient.shape != places.shape or gradient.dtype.kind not in "biuf":
                    raise LikelihoodError(
                        f"{name}: {type(analysis).__name__}.log_likelihood_gradient returned an array of "
                        f"shape {gradient.shape}, not one number for each of the {len(places)} free "
                        "parameters of its model.",
                        cure=f"In the order of graph.{name}.paths.",
                    )
            known = places >= 0
            np.add.at(total, places[known], gradient[known])
        return total

    @override
    def simulate(self, instance: Any, rng: np.random.Generator) -> dict[str, Any]:
        """Return what each analysis simulates, by the factors' names."""
        made = {}
        for name, analysis in self.giving("simulate").items():
            with in_factor(name):
                made[name] = analysis.simulate(instance[name], rng)
        return made

    @override
    def visualize(self, paths: Any, instance: Any) -> None:
        """Have each data set drawn, in a folder of its own; what goes wrong is logged, and the next drawn."""
        for name, analysis in self.giving("visualize").items():
            try:
                analysis.visualize(paths.of_factor(name), instance[name])
            except Exception:
                logger.exception(
                    "%s.visualize failed for %s; the fit goes on without this picture.",
                    type(analysis).__name__,
                    name,
                )

    @override
    def save_attributes(self, paths: Any) -> None:
        for name, analysis in self.giving("save_attributes").items():
            with in_factor(name):
                analysis.save_attributes(paths.of_factor(name))

    # -- what is checked ---------------------------------------------------------------------------

    @property
    def branch_limit(self) -> int:  # type: ignore[override]
        """In how many ways a likelihood may branch."""
        return max(analysis.branch_limit for analysis in self.analyses.values())

    # Each factor's own analysis says whether its data may hold NaN.
    allow_nan = True

    def check(self) -> None:
        """Check the analysis of each factor, and tell all faults with the factors' names."""

        def check(name: str) -> None:
            check_analysis(self.analyses[name])

        told_once(self.analyses, check, LikelihoodError, "Some factors of the graph cannot be fitted.")

    def notices(self) -> list[str]:
        """Say what some analyses give, and is not asked for because others do not."""
        told = []
        for method in OF_ALL:
            having = self.giving(method)
            if 0 < len(having) < len(self.analyses):
                missing = [name for name in self.analyses if name not in having]
                told.append(
                    f"`{method}` of {classes_of(having)} was not called: {some_of(missing, NAMED)} "
                    f"{'have' if len(missing) > 1 else 'has'} none."
                )
        return told


def classes_of(analyses: Mapping[str, Any]) -> str:
    """Return the names of the analyses' classes, each once."""
    return ", ".join(dict.fromkeys(type(analysis).__name__ for analysis in analyses.values()))


def note_of(name: str) -> str:
    """Return what is noted on an exception of one data set."""
    return f"This is the data set {name}."


def _check_value(name: str, analysis: Any, value: Any) -> None:
    """Refuse what is no log likelihood; what is no array of NumPy's, as what JAX traces, is not looked at."""
    if value is None or isinstance(value, (str, complex)) or (isinstance(value, np.ndarray) and value.shape):
        what = f"an array of shape {value.shape}" if isinstance(value, np.ndarray) else repr(value)
        raise LikelihoodError(
            f"{name}: {type(analysis).__name__}.log_likelihood_function returned {what}, not one real "
            "number.",
            cure="Return the sum over the data, for example -0.5 * np.sum(residuals**2).",
        )


@contextmanager
def in_factor(name: str) -> Iterator[None]:
    """Have exceptions say of which data set they are."""
    try:
        yield
    except Exception as error:
        error.add_note(note_of(name))
        raise


def told_once(
    names: Mapping[str, Any], check: Callable[[str], None], kind: type[LikelihoodError], message: str
) -> None:
    """Check each data set, and tell all faults at once: one that many have, with the first of their names."""
    found: dict[str, list[str]] = {}
    for name in names:
        try:
            check(name)
        except ClassyError as error:
            found.setdefault(str(error), []).append(name)
        except Exception as error:
            error.add_note(note_of(name))
            raise
    faults = Faults()
    for text, those in found.items():
        faults.add(some_of(those, NAMED), text)
    faults.raise_as(kind, message)


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
        joint = JointAnalysis(dict(zip(model.factor_names, analyses, strict=True)), model._layout())
        joint.check()
        return joint
    if analysis is None:
        raise SettingError("The analysis is None.", cure=f"Write {call}.")
    return analysis
