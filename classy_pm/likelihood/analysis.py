"""`Analysis`: the data and the log likelihood, written by the user in plain NumPy."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

from classy_pm.errors import DataError, Faults, LikelihoodError

__all__ = ["Analysis", "check_analysis"]


class Analysis:
    """Data and a log likelihood; subclass it, and keep the data in attributes.

    Attributes
    ----------
    allow_nan : bool
        Whether the data may hold NaN. Set it to True in a class whose likelihood leaves them out.

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


def check_analysis(analysis: Any) -> None:
    """Refuse what is no analysis, and data that no likelihood can be computed from.

    Raises
    ------
    LikelihoodError
        If it is not an `Analysis` with a `log_likelihood_function`.
    DataError
        If data hold NaN; every such array is named.
    """
    if not isinstance(analysis, Analysis):
        what = f"the class {analysis.__name__}" if inspect.isclass(analysis) else repr(analysis)
        raise LikelihoodError(
            f"An Analysis is needed, not {what}.",
            cure="Write an instance of a subclass of classy_pm.Analysis, made with its data.",
        )
    if type(analysis).log_likelihood_function is Analysis.log_likelihood_function:
        analysis.log_likelihood_function(None)
    if analysis.allow_nan:
        return
    faults = Faults()
    for name, array in _arrays(vars(analysis)):
        count = int(np.count_nonzero(np.isnan(array)))
        if count:
            first = tuple(int(index) for index in np.argwhere(np.isnan(array))[0])
            faults.add(name, f"{count} of {array.size} values are NaN, the first at {first}")
    faults.raise_as(
        DataError,
        f"The data of {type(analysis).__name__} hold NaN.",
        cure="Leave them out, or mask them; if the likelihood does so itself, "
        "set `allow_nan = True` in the analysis class.",
    )


def _arrays(attributes: dict[str, Any], path: str = "") -> Iterator[tuple[str, np.ndarray]]:
    """Yield the arrays of floats among attributes, with their names; containers are looked into."""
    for name, value in attributes.items():
        here = f"{path}{name}"
        if isinstance(value, np.ma.MaskedArray):
            value = value.compressed()
        if isinstance(value, np.ndarray):
            if value.dtype.kind in "fc":
                yield here, value
        elif isinstance(value, (float, np.floating)):
            yield here, np.asarray(value)
        elif isinstance(value, dict):
            yield from _arrays({str(key): item for key, item in value.items()}, f"{here}.")
        elif isinstance(value, (list, tuple)):
            yield from _arrays({str(index): item for index, item in enumerate(value)}, f"{here}.")
