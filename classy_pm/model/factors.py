"""Many data sets at once: models paired with analyses, and the graph of them."""

from __future__ import annotations

import inspect
import re
from collections import Counter
from collections.abc import Container, Iterable, Mapping
from typing import Any, override

from classy_pm.errors import Faults, ModelError
from classy_pm.model.collection import Collection
from classy_pm.model.layout import walk
from classy_pm.model.node import Node, as_child, check_name, note_change
from classy_pm.model.prior import AbstractPrior

__all__ = ["AnalysisFactor", "FactorGraphModel", "HierarchicalFactor"]

FACTOR = "Write AnalysisFactor(prior_model=model, analysis=analysis)."


class AnalysisFactor:
    """A model paired with the analysis of one data set.

    Parameters
    ----------
    prior_model : Model or Collection
    analysis : Analysis
    name : str, optional
        The data set's name in the graph and in the results; by default ``dataset_0``, ``dataset_1``, ...

    Examples
    --------
    >>> AnalysisFactor(model, analysis, name="sdss_j0946")  # doctest: +SKIP
    """

    def __init__(self, prior_model: Any, analysis: Any, name: str | None = None) -> None:
        prior_model = as_child(prior_model, path=name or "prior_model")
        if not isinstance(prior_model, Node):
            raise ModelError(f"{prior_model!r} is not a model.", cure=FACTOR)
        if inspect.isclass(analysis) and hasattr(analysis, "log_likelihood_function"):
            raise ModelError(
                f"The analysis is the class {analysis.__name__}, not an object of it.",
                cure=f"Write {analysis.__name__}(data), with the data of this data set.",
            )
        if isinstance(analysis, Node) or not hasattr(analysis, "log_likelihood_function"):
            raise ModelError(f"{analysis!r} is not an analysis.", cure=FACTOR)
        if name is not None:
            _check_factor_name(name)
        self.prior_model = prior_model
        self.analysis = analysis
        self.name = name

    def __repr__(self) -> str:
        name = "" if self.name is None else f", name={self.name!r}"
        return f"AnalysisFactor({self.prior_model!r}, {type(self.analysis).__name__}(){name})"


def _check_factor_name(name: Any) -> None:
    """Refuse a name of a data set that cannot be one of a part of the model."""
    if not isinstance(name, str):
        raise ModelError(f"name={name!r} of a factor is not a text.", cure=f'Write name="object_{name}".')
    if name.isdecimal():
        raise ModelError(
            f"name={name!r} of a factor would be taken for its place among the others.",
            cure=f'Write name="object_{name}".',
        )
    try:
        check_name(name)
    except ModelError as error:
        made = re.sub(r"\W", "_", name)
        made = made if made.isidentifier() else f"object_{made}"
        raise ModelError(
            f"name={name!r} of a factor: {error.message}", cure=f'Write name="{made}".'
        ) from error


class HierarchicalFactor:
    """A parent distribution from which parameters of many data sets are drawn.

    A parameter that is drawn from it has this prior alone, whatever prior it had before.

    Parameters
    ----------
    distribution : type
        A family of priors, such as `GaussianPrior`.
    **arguments : prior or float
        Its arguments; those that are priors are inferred.

    Examples
    --------
    >>> from classy_pm.model import GaussianPrior, UniformPrior
    >>> parent = HierarchicalFactor(
    ...     GaussianPrior, mean=GaussianPrior(50.0, 20.0), sigma=UniformPrior(0.0, 9.0)
    ... )
    >>> centre = UniformPrior(0.0, 100.0)
    >>> parent.add_drawn_variable(centre)
    """

    def __init__(self, distribution: type[AbstractPrior], **arguments: Any) -> None:
        if not (isinstance(distribution, type) and issubclass(distribution, AbstractPrior)):
            raise ModelError(
                f"{distribution!r} is no family of priors.",
                cure="Write for example HierarchicalFactor(GaussianPrior, mean=..., sigma=...).",
            )
        self.prior = distribution(**arguments)
        self.drawn_variables: list[AbstractPrior] = []

    @classmethod
    def of(cls, prior: AbstractPrior, parent: AbstractPrior) -> HierarchicalFactor:
        """Return the parent of one parameter."""
        factor = object.__new__(cls)
        factor.prior, factor.drawn_variables = parent, [prior]
        return factor

    def add_drawn_variable(self, prior: AbstractPrior) -> None:
        """Let a parameter, given by its prior, be drawn from this distribution.

        Parameters
        ----------
        prior : Prior
            As it stands in the model of a factor; that prior is no longer looked at.
        """
        if not isinstance(prior, AbstractPrior) or prior.shape:
            raise ModelError(
                f"{prior!r} is not the prior of one number.",
                cure="Write for example add_drawn_variable(model.gaussian.centre).",
            )
        self.drawn_variables.append(prior)
        note_change()

    def __repr__(self) -> str:
        count = len(self.drawn_variables)
        return f"HierarchicalFactor({self.prior!r}, {count} drawn variable{'s' * (count != 1)})"


class FactorGraphModel(Collection):
    """The joint model of many data sets: factors that share parameters, or draw them from a parent.

    Factors of the same structure form a plate: each parameter of their own is one vector along the dim
    ``dataset``, whose coordinates are the factors' names, so that the size of the graph does not grow with
    their number. With several kinds of factor there are several plates, named ``plate_0``, ``plate_1``, ...;
    these names are then the first part of their parameters' names.

    Parameters
    ----------
    *factors : AnalysisFactor or HierarchicalFactor

    Examples
    --------
    >>> graph = FactorGraphModel(*factors)  # doctest: +SKIP
    >>> result = NUTS().fit(graph)  # doctest: +SKIP
    """

    def __init__(self, *factors: AnalysisFactor | HierarchicalFactor) -> None:
        if len(factors) == 1 and isinstance(factors[0], (list, tuple)):
            raise ModelError(
                "The factors were given as one list.", cure="Write FactorGraphModel(*factors), with the star."
            )
        for factor in factors:
            if not isinstance(factor, (AnalysisFactor, HierarchicalFactor)):
                raise ModelError(f"{factor!r} is not a factor.", cure=FACTOR)
        own = [factor for factor in factors if isinstance(factor, AnalysisFactor)]
        if not own:
            raise ModelError("The graph has no data set.", cure=FACTOR)
        names = [factor.name or f"dataset_{place}" for place, factor in enumerate(own)]
        faults = Faults()
        for name, count in Counter(names).items():
            if count > 1:
                faults.add(name, f"is the name of {count} factors")
        faults.raise_as(ModelError, "Each factor of a graph needs a name of its own.")
        super().__init__()
        parents = [item for item in factors if isinstance(item, HierarchicalFactor)]
        self._set_factors(dict(zip(names, own, strict=True)), parents)
        for name, factor in zip(names, own, strict=True):
            self._set(name, factor.prior_model)
        self.drawn_from()

    def _set_factors(
        self, factors: Mapping[str, AnalysisFactor], parents: Iterable[HierarchicalFactor]
    ) -> None:
        object.__setattr__(self, "_factors", dict(factors))
        object.__setattr__(self, "_parents", tuple(parents))

    @property
    def factors(self) -> tuple[AnalysisFactor, ...]:
        """The data sets, in order."""
        known: dict[str, AnalysisFactor] = self.__dict__["_factors"]
        return tuple(known[name] for name in self.factor_names if name in known)

    @property
    def factor_names(self) -> tuple[str, ...]:
        """The names of the data sets, in order."""
        return tuple(self._children)

    def drawn_from(self) -> dict[AbstractPrior, AbstractPrior]:
        """Return the prior from a parent of each parameter that is drawn from one.

        Raises
        ------
        ModelError
            If a parameter is drawn from two parents.
        """
        drawn: dict[AbstractPrior, tuple[HierarchicalFactor, AbstractPrior]] = {}
        for parent in self.__dict__["_parents"]:
            for prior in parent.drawn_variables:
                if drawn.setdefault(prior, (parent, parent.prior.copy()))[0] is not parent:
                    raise ModelError(f"{prior!r} is drawn from two parents.", cure="Draw it from one.")
        return {prior: new for prior, (_, new) in drawn.items()}

    def check_parents(self, standing: Container[AbstractPrior]) -> None:
        """Refuse parents without effect, and drawn variables that are in no model.

        Parameters
        ----------
        standing : container of AbstractPrior
            The parameters that were found in the models of the graph.

        Raises
        ------
        ModelError
            All such parents are named.
        """
        known = self.__dict__["_factors"]
        deleted = [factor.prior_model for name, factor in known.items() if name not in self._children]
        gone = {item for model in deleted for _, item in walk(model) if isinstance(item, AbstractPrior)}
        faults = Faults()
        for parent in self.__dict__["_parents"] if known else ():
            if not parent.drawn_variables:
                faults.add(repr(parent), "no parameter is drawn from it")
            missing = sum(prior not in standing and prior not in gone for prior in parent.drawn_variables)
            if missing:
                faults.add(repr(parent), f"{missing} of them are in no model of the graph")
        faults.raise_as(
            ModelError,
            "A HierarchicalFactor says nothing of the data sets.",
            cure="Write parent.add_drawn_variable(factor.prior_model.line.centre) for each factor, with the "
            "prior that stands in its model.",
        )

    @override
    def _layout(self) -> Any:
        from classy_pm.model.plate_reading import layout_of_graph  # it reads layouts, which read nodes

        return self._cached_layout_of(layout_of_graph)

    def __repr__(self) -> str:
        return (
            f"FactorGraphModel({len(self._children)} data sets; {self.total_free_parameters} free parameters)"
        )
