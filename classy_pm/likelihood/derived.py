"""What an analysis derives from its instances, besides the log likelihood."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable
from functools import cached_property
from typing import Any

import numpy as np

from classy_pm.errors import Faults, FitException, LikelihoodError
from classy_pm.likelihood.analysis import Analysis, gives
from classy_pm.plan import Plan

__all__ = ["DerivedQuantities", "called", "can_name_a_variable", "told"]

# Draws from the prior at which the names and shapes are looked up.
TRIAL_POINTS = 10
# A quantity of which all draws together would be more numbers than this (200 MB) is left out.
MAX_NUMBERS = 25_000_000
# Names that every result has already.
_TAKEN = (
    *("chain", "draw", "sample"),
    *("log_weight", "log_prior", "total_log_likelihood", "factor_log_likelihood"),
)


class DerivedQuantities:
    """The analysis' `derived`, as a function of the vector of free parameters.

    Parameters
    ----------
    plan : Plan
    analysis : Analysis
    """

    def __init__(self, plan: Plan, analysis: Analysis) -> None:
        self.plan = plan
        self.analysis = analysis

    @property
    def exist(self) -> bool:
        """Whether the analysis derives anything."""
        return gives(self.analysis, "derived")

    @property
    def dims(self) -> dict[str, list[str]]:
        """The dims of those quantities that have names for them."""
        return {}

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each quantity by its name, as it is at draws from the prior.

        Raises
        ------
        LikelihoodError
            If `derived` returns no such dict; or if a name is taken by a parameter.
        """
        if not self.exist:
            return {}
        for vector in self.plan.draws(TRIAL_POINTS, random_seed=0):
            try:
                values = self._called(vector)
            except FitException:
                continue
            self._check_names(values)
            return {name: value.shape for name, value in values.items()}
        raise LikelihoodError(
            f"{type(self.analysis).__name__}.derived raised FitException at {TRIAL_POINTS} draws from the "
            "prior: what it returns cannot be known."
        )

    def __call__(self, vector: np.ndarray) -> dict[str, np.ndarray]:
        """Return the quantities at one vector, shape (size,), each of its shape.

        Raises
        ------
        LikelihoodError
            If names or shapes are others than elsewhere.
        """
        values = self._called(vector)
        if {name: value.shape for name, value in values.items()} != self.shapes:
            found = ", ".join(f"{name} {value.shape}" for name, value in values.items())
            wanted = ", ".join(f"{name} {shape}" for name, shape in self.shapes.items())
            raise LikelihoodError(
                f"{type(self.analysis).__name__}.derived returned {found or 'nothing'}; elsewhere it "
                f"returns {wanted}."
            )
        return values

    def at(self, vectors: np.ndarray) -> tuple[dict[str, np.ndarray], list[str]]:
        """Return the quantities at many vectors.

        Parameters
        ----------
        vectors : numpy.ndarray, shape (..., size)

        Returns
        -------
        values : dict of numpy.ndarray, shape (..., *its own)
            NaN where the user's function raised.
        notices : list of str
            What went wrong, in words.
        """
        flat = vectors.reshape(-1, self.plan.size)
        kept: list[str] = []
        large: list[str] = []
        for name, shape in self.shapes.items():
            (kept if math.prod(shape) * len(flat) <= MAX_NUMBERS else large).append(name)
        values = {name: np.full((len(flat), *self.shapes[name]), np.nan) for name in kept}
        faults: list[Exception] = []
        impossible = 0
        for place, vector in enumerate(flat if kept else ()):
            found, errors = self._found(vector)
            for name, value in found.items():
                if name in values:
                    values[name][place] = value
            failed = [error for error in errors if not isinstance(error, FitException)]
            faults += failed[:1]
            impossible += len(errors) > len(failed)
        notices = [f"`{name}` of `derived` was left out: it is too large to keep." for name in large]
        if faults:
            notices.append(
                f"`derived` failed at {len(faults)} of {len(flat)} draws, where its values are NaN. The "
                f"first time: {type(faults[0]).__name__}: {told(faults[0])}"
            )
        for name, value in values.items():
            missing = int(np.count_nonzero(np.isnan(value).any(axis=tuple(range(1, value.ndim)))))
            if missing > len(faults):
                notices.append(
                    f"`{name}` of `derived` has no value at {missing} of {len(flat)} draws"
                    + (f", at {impossible} of them because of FitException" if impossible else "")
                    + ": its mean and its intervals are NaN."
                )
        batch = vectors.shape[:-1]
        return {name: value.reshape(*batch, *self.shapes[name]) for name, value in values.items()}, notices

    def _found(self, vector: np.ndarray) -> tuple[dict[str, np.ndarray], list[Exception]]:
        """Return the quantities at one vector, and what was raised."""
        try:
            return self(vector), []
        except Exception as error:  # the draws were dear: this does not lose them
            return {}, [error]

    def _called(self, vector: np.ndarray) -> dict[str, np.ndarray]:
        return called(self.analysis, self.plan.instance(vector))

    def _check_names(self, values: Iterable[str]) -> None:
        faults = Faults()
        plan = self.plan
        parameters = [*plan.names, *(".".join(path) for path, _ in plan.derived)]
        for name in values:
            if name in parameters:
                faults.add(name, "is the name of a parameter")
            elif name in (assertion for assertion, _ in plan.layout.assertions):
                faults.add(name, "is the name of an assertion")
            elif name in _TAKEN or not can_name_a_variable(name):
                faults.add(
                    name, "cannot be the name of a quantity: every result has it, or no file can have it"
                )
        faults.raise_as(
            LikelihoodError,
            f"{type(self.analysis).__name__}.derived uses names that cannot be told apart.",
            cure="Call these quantities otherwise.",
        )


def called(analysis: Any, instance: Any) -> dict[str, np.ndarray]:
    """Return what an analysis derives from an instance, as arrays by name.

    Raises
    ------
    LikelihoodError
        If it is no dict of numbers.
    """
    with np.errstate(all="ignore"):
        found = analysis.derived(instance)
    name = f"{type(analysis).__name__}.derived"
    cure = 'Return numbers by name, for example {"fwhm": 2.3548 * instance.sigma}.'
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise LikelihoodError(f"{name} returned {found!r}, not a dict with names.", cure=cure)
    values = {}
    for key, value in found.items():
        try:
            values[key] = np.asarray(value)
        except ValueError:
            values[key] = np.array(None)  # lists of unequal lengths
        if values[key].dtype.kind not in "biuf":
            raise LikelihoodError(f"{name} returned {value!r} as `{key}`.", cure=cure)
    return {key: value.astype(float) for key, value in values.items()}


def told(error: Exception) -> str:
    """Return what an exception says, and of which data set it is."""
    return " ".join([str(error), *getattr(error, "__notes__", ())])


def can_name_a_variable(name: str) -> bool:
    """Whether a file can have a variable with this name, and keeps it as it is."""
    composed = unicodedata.normalize("NFC", name)  # which NetCDF makes of it
    possible = name == composed.strip() and not set(name) & set("/\0")
    return 0 < len(name) <= 200 and possible and name == name.encode("utf-8", "replace").decode()
