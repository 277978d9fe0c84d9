"""`Analysis`: the data and the log likelihood, written by the user in plain NumPy."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from types import ModuleType
from typing import Any, ClassVar, NamedTuple

import numpy as np

from classy_pm.errors import DataError, Faults, LikelihoodError
from classy_pm.likelihood.calls import check_methods

__all__ = ["Afterword", "Analysis", "check_analysis", "gives"]


class Afterword(NamedTuple):
    """What an analysis of ours has to say of a fit's draws.

    Attributes
    ----------
    groups : dict of str to xarray.Dataset
        Further groups of the tree.
    notices : list of str
    attributes : dict
        Of the whole fit. ``facts``, a list of pairs of a label and a text, stands in ``result.info``.
    """

    groups: dict[str, Any] = {}  # noqa: RUF012 -- the defaults are not changed
    notices: list[str] = []  # noqa: RUF012
    attributes: dict[str, Any] = {}  # noqa: RUF012


class Analysis:
    """Data and a log likelihood; subclass it, and keep the data in attributes.

    Attributes
    ----------
    allow_nan : bool
        Whether the data may hold NaN, or infinities where the likelihood is not finite, and whether there
        may be none. Set it to True in a class whose likelihood leaves them out.
    branch_limit : int
        Largest number of ways through the branches of the likelihood that are traced, 64. Each is run once.

    Examples
    --------
    >>> class LineAnalysis(Analysis):
    ...     def __init__(self, data, noise_map):
    ...         self.data, self.noise_map = data, noise_map
    ...
    ...     def log_likelihood_function(self, instance):
    ...         residuals = (self.data - instance.line(np.arange(self.data.size))) / self.noise_map
    ...         return -0.5 * np.sum(residuals**2)
    """

    allow_nan: ClassVar[bool] = False
    branch_limit: ClassVar[int] = 64

    @property
    def _opaque(self) -> bool:
        """Whether it is not to be traced: it has a gradient of its own, which is faster."""
        return False

    def _afterword(self, vectors: np.ndarray) -> Afterword:
        """Return what is to be said of a fit's draws, shape (draws, size), before it is filed."""
        return Afterword()

    def log_likelihood_function(self, instance: Any) -> float:
        """Return the log likelihood of the data, given the user's objects.

        Parameters
        ----------
        instance : object
            What the model describes, with numbers for its parameters.

        Returns
        -------
        float
            The natural logarithm. NaN counts as -inf, and is reported.

        Raises
        ------
        FitException
            To say that these parameters are impossible: a log likelihood of -inf.
        """
        raise LikelihoodError(
            f"{type(self).__name__} has no log likelihood.",
            cure="Write log_likelihood_function(self, instance) in the class.",
        )

    def log_likelihood_gradient(self, instance: Any) -> Any:
        """Return the gradient of the log likelihood, where it cannot be traced but is known. Optional.

        Parameters
        ----------
        instance : object
            What the model describes, with numbers for its parameters.

        Returns
        -------
        numpy.ndarray, shape (total_free_parameters,)
            In the order of ``model.paths``; compare it with `check_gradient`.
        """
        raise LikelihoodError(f"{type(self).__name__} has no log_likelihood_gradient.")

    def visualize(self, paths: Any, instance: Any) -> None:
        """Draw the best model so far; called every so often during a fit, and at its end. Optional.

        It is called for fits that go into a catalogue, which have a folder. What it raises is logged,
        and the fit goes on.

        Parameters
        ----------
        paths : Paths
            ``paths.image_path`` is the folder for pictures, ``paths.output_path`` that of the fit; in a graph
            of factors there is one below that of the fit for each data set.
        instance : object
            The user's objects with the greatest log likelihood so far.
        """

    def save_attributes(self, paths: Any) -> None:
        """Save what shall be found with the fit: its data, a mask, settings of the telescope. Optional.

        It is called before a fit that goes into a catalogue. What is saved is in the fit's file, and with it
        in every copy: ``result.saved`` has it by name, and ``aggregator.values("saved")``.

        Parameters
        ----------
        paths : Paths
            ``paths.save(name, value)`` takes arrays of numbers and texts, and plain data: str, numbers,
            bool, None, and lists and dicts of them.

        Examples
        --------
        >>> class LineAnalysis(Analysis):
        ...     def save_attributes(self, paths):
        ...         paths.save("data", self.data)
        ...         paths.save("observation", {"telescope": "Euclid", "exposures": 4})
        """

    def log_likelihood_pointwise(self, instance: Any) -> Any:
        """Return the terms whose sum is the log likelihood, one a datum, for LOO. Optional.

        Without it they are taken from the trace, where it is a sum that can be taken apart.

        Parameters
        ----------
        instance : object

        Returns
        -------
        numpy.ndarray, shape (data,)
        """
        raise LikelihoodError(f"{type(self).__name__} has no log_likelihood_pointwise.")

    def simulate(self, instance: Any, rng: np.random.Generator) -> Any:
        """Return data as they could have been measured, were the instance true. Optional.

        With it a fit has ``prior_predictive``, ``posterior_predictive`` and ``observed_data`` in its
        tree, ``result.plot_fit()`` compares them, and `SensitivityMapping` can simulate data sets.

        Parameters
        ----------
        instance : object
            What the model describes, with numbers for its parameters.
        rng : numpy.random.Generator
            Where all randomness comes from.

        Returns
        -------
        Analysis, dict or numpy.ndarray
            Another analysis, with the simulated data: the arrays in it that differ from this one's are
            what is predicted, named by their attributes, and what this one has there was observed. Or
            arrays by name; or a single array, which is named ``data``. Of these what was observed is the
            attribute of that name, which must have the same shape; of a single array without such an
            attribute, the one array of its shape, if there is exactly one.

        Examples
        --------
        >>> class LineAnalysis(Analysis):
        ...     def __init__(self, data, noise_map):
        ...         self.data, self.noise_map = data, noise_map
        ...
        ...     def simulate(self, instance, rng):
        ...         line = instance.line(np.arange(self.data.size))
        ...         return LineAnalysis(rng.normal(line, self.noise_map), self.noise_map)
        """
        raise LikelihoodError(
            f"{type(self).__name__} cannot simulate data.",
            cure="Write simulate(self, instance, rng) in the class: it returns an analysis with other data.",
        )

    def derived(self, instance: Any) -> dict[str, Any]:
        """Return what else is of interest, computed from the instance, by name. Optional.

        Such quantities stand in the posterior, in summaries and in the catalogue beside the parameters; in
        `to_pymc` they are ``Deterministic``.

        Parameters
        ----------
        instance : object
            What the model describes, with numbers for its parameters.

        Returns
        -------
        dict of str to float or numpy.ndarray
            The same names, and the same shapes, for every instance.

        Examples
        --------
        >>> class LineAnalysis(Analysis):
        ...     def derived(self, instance):
        ...         return {"fwhm": 2.3548 * instance.line.sigma}
        """
        raise LikelihoodError(f"{type(self).__name__} has no derived quantities.")


def gives(analysis: Any, method: str) -> bool:
    """Whether an analysis has one of the optional methods; one of many data sets, whether it can be asked."""
    if hasattr(analysis, "gives_of_all"):
        return bool(analysis.gives_of_all(method))
    return getattr(type(analysis), method) is not getattr(Analysis, method)


def check_analysis(analysis: Any) -> None:
    """Refuse what is no analysis, and data that no likelihood can be computed from.

    Raises
    ------
    LikelihoodError
        If it is not an `Analysis` with a `log_likelihood_function`, or has methods that cannot be called.
    DataError
        If data hold NaN or are empty; every such array is named.
    """
    if not isinstance(analysis, Analysis):
        name = analysis.__name__ if inspect.isclass(analysis) else "MyAnalysis"
        what = f"the class {analysis.__name__}" if inspect.isclass(analysis) else repr(analysis)
        raise LikelihoodError(
            f"An Analysis is needed, not {what}.",
            cure=f"Write {name}(data, ...): an object of a subclass of classy_pm.Analysis.",
        )
    if type(analysis).log_likelihood_function is Analysis.log_likelihood_function:
        analysis.log_likelihood_function(None)
    check_methods(analysis, Analysis)
    if analysis.allow_nan:
        return
    faults = Faults()
    nan, empty = False, False
    for name, array in arrays_in(analysis):
        if array.dtype.kind not in "fc":  # an index or a mask may well select nothing
            continue
        text = count_of(np.isnan(array), "NaN")
        nan = nan or bool(text)
        if not array.size:
            empty, text = True, f"is empty, of shape {array.shape}"
        if text:
            faults.add(name, text)
    faults.raise_as(
        DataError,
        f"The data of {type(analysis).__name__} {'hold NaN' * nan}{' and ' * (nan and empty)}"
        f"{'are empty' * empty}.",
        cure="Look at what was read or selected; if there may be none, set `allow_nan = True` in the "
        "analysis class."
        if not nan
        else "Leave them out, or mask them; if the likelihood does so itself, "
        "set `allow_nan = True` in the analysis class.",
    )


def count_of(faulty: np.ndarray, what: str) -> str:
    """Return in words how many values of an array are faulty and where the first is, or "" if none are."""
    count = int(np.count_nonzero(faulty))
    if not count:
        return ""
    first = tuple(int(index) for index in np.argwhere(faulty)[0])
    return f"{count} of {faulty.size} values are {what}, the first at {first}"


def arrays_in(item: Any, path: str = "", seen: tuple[int, ...] = ()) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the numbers and arrays of numbers in an object with their paths.

    Attributes and containers are looked into; of a masked array what is not masked is given.
    """
    if isinstance(item, np.ma.MaskedArray):
        item = item.compressed()
    values = getattr(item, "values", None)
    if not isinstance(item, np.ndarray) and isinstance(values, np.ndarray):  # pandas and xarray
        item = values
    elif type(item).__module__.startswith("jax") and hasattr(item, "__array__"):
        item = np.asarray(item)
    if isinstance(item, (np.ndarray, np.number, int, float, complex)):
        array = np.asarray(item)
        if array.dtype.kind in "biufc":
            yield path, array
        return
    if id(item) in seen or isinstance(item, (type, ModuleType)) or callable(item):
        return
    if isinstance(item, dict):
        parts = {str(key): part for key, part in item.items()}
    elif isinstance(item, (list, tuple)):
        parts = {str(index): part for index, part in enumerate(item)}
    else:
        parts = attributes_of(item)
    for name, part in parts.items():
        yield from arrays_in(part, f"{path}.{name}" if path else name, (*seen, id(item)))


def attribute_at(item: Any, path: str) -> Any:
    """Return what is at a path of `arrays_in`; None if that cannot be told."""
    for name in path.split("."):
        if isinstance(item, (list, tuple)):
            item = dict(enumerate(item)).get(int(name)) if name.isdigit() else None
        else:
            parts = item if isinstance(item, dict) else attributes_of(item)
            item = {str(key): part for key, part in parts.items()}.get(name)
    return item


def attributes_of(item: Any) -> dict[str, Any]:
    """Return an object's attributes, slots among them."""
    slots = [name for base in type(item).__mro__ for name in np.atleast_1d(vars(base).get("__slots__", ()))]
    found = {str(name): getattr(item, str(name)) for name in slots if hasattr(item, str(name))}
    return {**found, **getattr(item, "__dict__", {})}
