"""`Result`: what a search hands back."""

from __future__ import annotations

import copy
import html
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import xarray as xr

from classy_pm.errors import ClassyError, SettingError, did_you_mean
from classy_pm.model import Node
from classy_pm.plan import Plan, make_plan
from classy_pm.result import tree as trees
from classy_pm.result.loo import loo_of
from classy_pm.result.samples import Samples

if TYPE_CHECKING:
    from arviz_stats.utils import ELPDData
    from matplotlib.figure import Figure

    from classy_pm.result.chaining import Chained, Rule
    from classy_pm.result.table import PosteriorTable

__all__ = ["Result"]

# What the draws are, by the attribute `kind`.
_KINDS = {
    "chains": "draws in chains",
    "ensemble": "draws of an ensemble of walkers",
    "nested": "draws of a nested search",
    "approximation": "draws of an approximation",
    "optimum": "a single best point: it has no errors",
}


class Result:
    """A fit: its draws as an ArviZ tree and as the user's objects.

    Parameters
    ----------
    model : Model or Collection
        The model that was fitted.
    tree : xarray.DataTree
    identifier : str
        The fit's identity: equal for equal model, data, search and seed.
    from_catalog : bool
        Whether the fit was read from a catalogue rather than run.

    Attributes
    ----------
    idata : xarray.DataTree
        For all of ArviZ: ``posterior`` and ``sample_stats``; ``log_likelihood``, where the likelihood can be
        taken apart into terms; ``prior``, ``prior_predictive``, ``posterior_predictive`` and
        ``observed_data``, where the analysis simulates data; ``weighted_posterior`` of a nested search.

    Examples
    --------
    >>> result = NUTS().fit(model, analysis)  # doctest: +SKIP
    >>> print(result.info)  # doctest: +SKIP
    >>> result.plot_corner().savefig("corner.png")  # doctest: +SKIP
    """

    def __init__(
        self, model: Node, tree: xr.DataTree, *, identifier: str, from_catalog: bool = False
    ) -> None:
        self.idata = tree
        self.identifier = identifier
        self.from_catalog = from_catalog
        # A tree of its own with the same parameters: the model may be changed afterwards.
        self._model = copy.copy(model) if isinstance(model, Node) else model
        self._plan: Plan = make_plan(self._model)
        self._attributes = trees.attributes_of(tree)
        self._chained_models: dict[Rule, Any] = {}

    # -- the draws --------------------------------------------------------------------------------

    @cached_property
    def samples(self) -> Samples:
        """The draws as vectors and instances."""
        return Samples(self.idata, self._plan)

    @property
    def instance(self) -> Any:
        """The user's objects at the draw with the greatest log likelihood."""
        return self.samples.max_log_likelihood_instance

    @property
    def max_log_likelihood_instance(self) -> Any:
        """The user's objects at the draw with the greatest log likelihood."""
        return self.samples.max_log_likelihood_instance

    @property
    def model(self) -> Any:
        """The model with the posterior as its priors, for a next fit.

        Each free parameter has a `GaussianPrior`: its mean is the parameter's median, its sigma three
        standard deviations of the posterior (or the ``width_modifier`` of the configuration, where that is
        wider), and the limits of its prior are kept. Links, arithmetic on parameters, assertions and
        constants stay. A parameter whose prior depends on other parameters keeps that prior; in a graph
        of factors so does what is drawn from a parent.

        In a catalogue a fit of it is identified by this fit, not by the numbers of these priors.

        Raises
        ------
        ModelError
            If the fit has no errors, as that of an optimiser.
        """
        return self._chained("posterior")

    def model_centred_absolute(self, a: float) -> Any:
        """Return the model with normal priors of the same width around the medians.

        Parameters
        ----------
        a : float
            Their standard deviation, in each parameter's own unit.

        Returns
        -------
        Model, Collection or FactorGraphModel
            As `model`, but for the widths; the same object for the same width. It needs no errors of the fit.

        Raises
        ------
        SettingError
            If `a` is not a number above zero.
        ModelError
            If a median is beyond the limits of the next prior; all such parameters are named.

        Examples
        --------
        >>> next_model = result.model_centred_absolute(0.1)  # doctest: +SKIP
        """
        return self._chained("absolute", a)

    def model_centred_relative(self, r: float) -> Any:
        """Return the model with normal priors around the medians, as wide as a part of these.

        Parameters
        ----------
        r : float
            The standard deviation over the absolute value of the median.

        Returns
        -------
        Model, Collection or FactorGraphModel
            As of `model_centred_absolute`.

        Raises
        ------
        SettingError
            If `r` is not a number above zero.
        ModelError
            If a median is zero, or beyond the limits of the next prior; all such parameters are named.

        Examples
        --------
        >>> next_model = result.model_centred_relative(0.05)  # doctest: +SKIP
        """
        return self._chained("relative", r)

    def model_bounded(self, b: float) -> Any:
        """Return the model with uniform priors from so far below the medians to so far above.

        Parameters
        ----------
        b : float
            Half the width, in each parameter's own unit; the limits of the priors that were fitted are kept.

        Returns
        -------
        Model, Collection or FactorGraphModel
            As of `model_centred_absolute`.

        Raises
        ------
        SettingError
            If `b` is not a number above zero.
        ModelError
            If nothing is left between the limits; all such parameters are named.

        Examples
        --------
        >>> next_model = result.model_bounded(2.0)  # doctest: +SKIP
        """
        return self._chained("bounded", b)

    def _chained(self, name: Any, *amount: float) -> Any:
        """Return the model with priors made of the posterior by a rule; one object for each rule."""
        from classy_pm.result.chaining import Chained, Rule

        rule = Rule(name, *amount)
        if rule not in self._chained_models:
            chained = Chained(self.samples, rule, self.identifier, str(self._attributes.get("factor", "")))
            self._chained_models[rule] = self._centred(chained)
        return self._chained_models[rule]

    def _centred(self, chained: Chained) -> Any:
        from classy_pm.result.chaining import centred_model

        return centred_model(self._plan.layout, chained)

    @property
    def saved(self) -> dict[str, Any]:
        """What `Analysis.save_attributes` has saved with a fit in a catalogue, by name."""
        return trees.saved_of(self.idata)

    # -- the fit ----------------------------------------------------------------------------------

    @property
    def attributes(self) -> dict[str, Any]:
        """What is known of the fit besides its draws: search, settings, seed, seconds, versions."""
        return self._attributes

    @property
    def kind(self) -> str:
        """What the draws are: "chains", "ensemble", "nested", "approximation" or "optimum"."""
        return str(self._attributes.get("kind", "chains"))

    @property
    def notices(self) -> list[str]:
        """What the search found worth saying of this fit, in words; empty if all is well."""
        return list(self._attributes.get("notices", []))

    @property
    def log_evidence(self) -> float | None:
        """The logarithm of the evidence, where the search integrates; None elsewhere."""
        return self._attributes.get("log_evidence")

    @property
    def log_evidence_error(self) -> float | None:
        """The standard deviation of the log evidence, where the search knows it; None elsewhere."""
        return self._attributes.get("log_evidence_error")

    def loo(self) -> ELPDData:
        """Return the expected log predictive density, by leave-one-out cross-validation.

        Returns
        -------
        arviz_stats.ELPDData
            With the terms and the Pareto k of each datum; print it.

        Raises
        ------
        ClassyError
            If the fit has no pointwise log likelihood, or its draws are not those of the posterior.

        Warns
        -----
        UserWarning
            If Pareto's k is so large at some data that the estimate cannot be trusted.

        Notes
        -----
        Vehtari, Gelman and Gabry (2017), Statistics and Computing 27, 1413.
        """
        reason = self._why_no_loo()
        if reason:
            raise ClassyError(f"LOO is not available: {reason[0]}", cure=reason[1])
        return loo_of(self.idata)

    def _why_no_loo(self) -> tuple[str, str] | None:
        """Return why there is no LOO, and what to do; None if there is."""
        if self.kind in ("optimum", "approximation"):
            return (
                f"this fit is {_KINDS[self.kind].partition(':')[0]}, not draws of the posterior.",
                "Fit with a search that samples the posterior, such as NUTS().",
            )
        if trees.pointwise_of(self.idata) is not None:
            return None
        reason = self._attributes.get("no_pointwise") or "it was left out."
        reason = reason.removeprefix("LOO is not available: ")
        cure = (
            "Write log_likelihood_pointwise(self, instance) in the analysis, and fit again: it returns the "
            "log likelihood of each datum, and their sum is the log likelihood."
        )
        if "called as it is" in reason:
            traced = f'{self._attributes.get("search", "NUTS")}(likelihood="trace")'
            cure += f" Or have it traced, which may find the terms: {traced}."
        return f"this fit has no pointwise log likelihood: {reason}", cure

    # -- to look at -------------------------------------------------------------------------------

    def summary(self) -> PosteriorTable:
        """Return a row a parameter, free or derived.

        Returns
        -------
        pandas.DataFrame
            mean, sd, median, lower_1_sigma, upper_1_sigma, lower_3_sigma, upper_3_sigma, ess and, where there
            are several chains to compare, r_hat, in full precision; printed with the digits that the sd
            leaves, in at most 100 columns where the names allow it. NaN where not defined: a single point
            has no errors.
        """
        return self._summary()

    def _summary(self, only: Sequence[str] | None = None) -> PosteriorTable:
        from classy_pm.result.table import PosteriorTable

        rows = trees.table_of(self.idata, only)
        if trees.drawn_vectors(self.idata).chains < 2:
            rows = {name: {key: row[key] for key in row if key != "r_hat"} for name, row in rows.items()}
        return PosteriorTable.from_rows(rows)

    @property
    def info(self) -> str:
        """The result as text: each parameter with its one sigma interval, and what was noticed."""
        from classy_pm.result.table import digits_for

        shown, more = self._shown(list(trees.scalars_of(self.idata)))
        table = trees.table_of(self.idata, shown)
        width = max(map(len, table)) + 2
        rows = []
        for name, row in table.items():
            lower, upper, sd = row["lower_1_sigma"], row["upper_1_sigma"], row["sd"]
            error = min(upper - row["median"], row["median"] - lower) or sd
            if error == error:
                low, median, high = (digits_for(value, error) for value in (lower, row["median"], upper))
                rows.append(f"{name:<{width}}{median:>14}  ({low}, {high})")
            else:
                rows.append(f"{name:<{width}}{row['median']:>14.6g}")
        rows += [more] * bool(more)
        what = "the best point" if self.kind == "optimum" else "medians and one sigma intervals"
        head = [f"{label:<24}{text}" for label, text in self._facts()]
        notices = [f"Note: {notice}" for notice in self.notices]
        return "\n".join(
            [*head, "", f"{what[0].upper()}{what[1:]}:", "", *rows, *([""] * bool(notices)), *notices]
        )

    def _shown(self, names: Sequence[str]) -> tuple[list[str], str]:
        """Return the names that are shown of those of a table, and what is said of the others."""
        return list(names), ""

    def _facts(self) -> list[tuple[str, str]]:
        """Return what is true of the fit as a whole, each with its label."""
        samples = self.samples
        search = str(self._attributes.get("search", "?"))
        facts = [
            ("Search", f"{search}, {len(samples)} {_KINDS.get(self.kind, self.kind)}"),
            ("Maximum log likelihood", f"{samples.max_log_likelihood:.6g}"),
        ]
        facts += [(label, text) for label, text in self._attributes.get("facts", [])]
        if self.kind == "optimum":
            facts[0] = ("Search", f"{search}, {_KINDS['optimum']}")
        if factor := self._attributes.get("factor"):
            count = self._attributes["factors"]
            facts.insert(0, ("Data set", f"{factor}, one of {count} that were fitted together"))
        if self.log_evidence is not None:
            error = self.log_evidence_error
            facts.append(("Log evidence", f"{self.log_evidence:.6g}" + (f" ± {error:.2g}" if error else "")))
        return facts

    def plot_corner(
        self,
        names: str | Sequence[str] | None = None,
        *,
        library: Literal["arviz", "corner"] = "arviz",
    ) -> Figure:
        """Draw each pair of parameters, with their marginal distributions on the diagonal.

        Parameters
        ----------
        names : str or sequence of str, optional
            The parameters to draw; all that are free by default.
        library : {"arviz", "corner"}
            What draws: arviz-plots, or astronomers' corner, for ``pip install "classy_pm[corner]"``.

        Returns
        -------
        matplotlib.figure.Figure
            Save it with ``figure.savefig("corner.png")``.
        """
        from classy_pm.result import plots

        drawers = {"arviz": plots.plot_corner, "corner": plots.plot_corner_classic}
        if library not in drawers:
            raise SettingError(f"There is no library={library!r} here.", cure=did_you_mean(library, drawers))
        return drawers[library](self.idata, names)

    def plot_trace(self, names: str | Sequence[str] | None = None) -> Figure:
        """Draw the draws of each parameter one after the other, beside their distribution.

        Parameters
        ----------
        names : str or sequence of str, optional
            The parameters to draw; all that are free by default.

        Returns
        -------
        matplotlib.figure.Figure
        """
        from classy_pm.result.plots import plot_trace

        return plot_trace(self.idata, names)

    def plot_fit(self, names: str | Sequence[str] | None = None) -> Figure:
        """Draw the data on what the posterior predicts for them, where the analysis simulates data.

        Parameters
        ----------
        names : str or sequence of str, optional
            Which of the analysis' data; by default all that were both observed and predicted.

        Returns
        -------
        matplotlib.figure.Figure
            Of few data, each with the intervals of its predictions; of many, their distribution.

        Raises
        ------
        ClassyError
            If the analysis has no `simulate`.
        """
        from classy_pm.result.plots import plot_fit

        return plot_fit(self.idata, names)

    def __repr__(self) -> str:
        names, count = self.samples.names, len(self.notices)
        notices = f"; {count} notice{'s' * (count > 1)}, see .notices" if count else ""
        return (
            f"Result({len(self.samples)} draws of {len(names)} parameters, {self.identifier[:12]}{notices})"
        )

    def _repr_html_(self) -> str:
        facts = "".join(
            f"<div>{html.escape(label)}: {html.escape(text)}</div>" for label, text in self._facts()
        )
        notices = "".join(f"<div>Note: {html.escape(notice)}</div>" for notice in self.notices)
        shown, more = self._shown(list(trees.scalars_of(self.idata)))
        body = self._summary(shown)._repr_html_()
        return f"<div>{facts}{body}<div>{html.escape(more)}</div>{notices}</div>"
