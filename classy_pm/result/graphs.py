"""`GraphResult`: the fit of many data sets, and the result of each of them."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, override

import xarray as xr

from classy_pm.errors import ClassyError, UnknownNameError, did_you_mean
from classy_pm.model import FactorGraphModel, Node, OneFactor, PlateLayout
from classy_pm.plan import make_plan
from classy_pm.result import tree as trees
from classy_pm.result.one_factor import tree_of_factor
from classy_pm.result.result import Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from classy_pm.result.chaining import Chained

__all__ = ["GraphResult", "make_result"]

# Of an array along a plate that has more elements than `MOST_SHOWN`, so many are shown.
MOST_SHOWN, FIRST = 20, 3
# Of how many parameters, or data, a picture of everything can be.
MOST_IN_CORNER, MOST_IN_TRACE, MOST_IN_FIT = 25, 60, 20


def make_result(model: Node, tree: xr.DataTree, *, identifier: str, from_catalog: bool = False) -> Result:
    """Return the result of a fit: of a graph of factors, one with a result of each data set."""
    made = Result(model, tree, identifier=identifier, from_catalog=from_catalog)
    if not isinstance(made._plan.layout, PlateLayout):
        return made
    return GraphResult(model, tree, identifier=identifier, from_catalog=from_catalog)


class GraphResult(Result):
    """The fit of a graph of factors: the result of the whole, and by index that of each data set.

    ``result["object_3"]``, ``result[3]`` and iteration give an ordinary `Result` of one data set. Its
    parameters have the names that they have in the model of that data set, shared ones and its parents' among
    them. It has the draws of the joint fit, so that what other data sets tell of shared parameters is in it.

    Its log likelihood is that of this data set, and so its best draw is the one that suits this data set
    best. That need not be the best of all together, ``result.max_log_likelihood_instance["object_3"]``. The
    evidence is of all data sets together; that of one is None.

    Its ``model`` has the posterior as its priors, as that of any result: a parameter that is drawn from a
    parent stays so, with the posterior of the parent. Its factors have the analyses that those of the fit
    have; a graph from a catalogue has none.

    Parameters
    ----------
    model : FactorGraphModel
        The graph that was fitted.
    tree : xarray.DataTree
    identifier : str
        The fit's identity.
    from_catalog : bool
        Whether the fit was read from a catalogue rather than run.

    Examples
    --------
    >>> result = NUTS().fit(graph)  # doctest: +SKIP
    >>> print(result["object_3"].info)  # doctest: +SKIP
    >>> for each in result:  # doctest: +SKIP
    ...     each.plot_corner()
    """

    @property
    def factor_names(self) -> tuple[str, ...]:
        """The names of the data sets, in order."""
        return tuple(self._layout.models)

    @property
    def _layout(self) -> PlateLayout:
        layout = self._plan.layout
        assert isinstance(layout, PlateLayout)
        return layout

    def __contains__(self, name: object) -> bool:
        return name in self.factor_names

    def __getitem__(self, which: str | int) -> Result:
        name = self._name_of(which)
        one = OneFactor.of(self._layout, name)
        if not one.sources:
            raise ClassyError(f"The model of {name} has no free parameter, and so no result of its own.")
        own = make_plan(one.model)
        tree = tree_of_factor(self.idata, self._plan, own, one, name)
        return Result(one.model, tree, identifier=self.identifier, from_catalog=self.from_catalog)

    def _name_of(self, which: str | int) -> str:
        names = self.factor_names
        if isinstance(which, str):
            if which in names:
                return which
            raise UnknownNameError(f"No data set is named {which!r}.", cure=did_you_mean(which, names))
        try:
            return names[operator.index(which)]
        except (TypeError, IndexError):
            raise UnknownNameError(
                f"There is no data set {which!r}; there are {len(names)}.",
                cure=f"Write result[{names[0]!r}], or result[0] to result[{len(names) - 1}].",
            ) from None

    def __iter__(self) -> Iterator[Result]:
        return (self[name] for name in self.factor_names)

    def __len__(self) -> int:
        return len(self.factor_names)

    @override
    def _centred(self, chained: Chained) -> Any:
        from classy_pm.result.chaining import centred_graph

        assert isinstance(self._model, FactorGraphModel)
        return centred_graph(self._model, self._layout, chained)

    @override
    def plot_corner(
        self,
        names: str | Sequence[str] | None = None,
        *,
        library: Literal["arviz", "corner"] = "arviz",
    ) -> Figure:
        self._check_size("plot_corner", names, len(self.samples.names), MOST_IN_CORNER)
        return super().plot_corner(names, library=library)

    @override
    def plot_trace(self, names: str | Sequence[str] | None = None) -> Figure:
        self._check_size("plot_trace", names, len(self.samples.names), MOST_IN_TRACE)
        return super().plot_trace(names)

    @override
    def plot_fit(self, names: str | Sequence[str] | None = None) -> Figure:
        observed = self.idata[trees.OBSERVED].data_vars if trees.OBSERVED in self.idata.children else {}
        self._check_size("plot_fit", names, len(observed), MOST_IN_FIT)
        return super().plot_fit(names)

    def _check_size(self, plot: str, names: Any, number: int, most: int) -> None:
        """Refuse a picture of everything that nobody can read."""
        if names is None and number > most:
            raise ClassyError(
                f"{plot} of {number} at once is a picture that cannot be read.",
                cure=f"Write result[{self.factor_names[0]!r}].{plot}() for one data set, or "
                f"result.{plot}([...]) with the names of some.",
            )

    @override
    def _shown(self, names: Sequence[str]) -> tuple[list[str], str]:
        """Return the names that are shown of those of a table, and what is said of the others."""
        counts: dict[str, int] = {}
        for name in names:
            counts[name.partition("[")[0]] = counts.get(name.partition("[")[0], 0) + 1
        seen: dict[str, int] = {}
        shown = []
        for name in names:
            array = name.partition("[")[0]
            seen[array] = seen.get(array, 0) + 1
            if counts[array] <= MOST_SHOWN or seen[array] <= FIRST:
                shown.append(name)
        left_out = len(names) - len(shown)
        last = self.factor_names[-1]
        text = f"and {left_out} more: see result[{last!r}].info, or all in result.summary()."
        return shown, text if left_out else ""
