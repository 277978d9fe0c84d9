"""What an analysis derives from its instances, besides the log likelihood."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable
from functools import cached_property
from typing import Any

import numpy as np

from classy_pm.errors import Faults, FitException, LikelihoodError, some_of
from classy_pm.likelihood.analysis import Analysis, gives
from classy_pm.likelihood.joint import NAMED
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
        faults: dict[str, list[Exception]] = {}
        for place, vector in enumerate(flat if kept else ()):
            found, errors = self._found(vector)
            for name, value in found.items():
                if name in values:
                    values[name][place] = value
            for owner, error in errors.items():
                faults.setdefault(owner, []).append(error)
        notices = [f"`{name}` of `derived` was left out: it is too large to keep." for name in large]
        notices += self._told(values, faults, len(flat))
        batch = vectors.shape[:-1]
        return {name: value.reshape(*batch, *self.shapes[name]) for name, value in values.items()}, notices

    @property
    def _owners(self) -> dict[str, dict[str, tuple[str, int | None]]]:
        """Whose the quantities are, by what it calls them: the variable, and its place along it, if any."""
        return {"": {name: (name, None) for name in self.shapes}}

    def _told(
        self, values: dict[str, np.ndarray], faults: dict[str, list[Exception]], count: int
    ) -> list[str]:
        """Say which values are NaN and why, of each kind of fault once."""
        failed: dict[type[Exception], dict[str, list[Exception]]] = {}
        missing: dict[str, dict[str, tuple[int, int]]] = {}
        for owner, quantities in self._owners.items():
            errors = faults.get(owner, [])
            wrong = [error for error in errors if not isinstance(error, FitException)]
            if wrong:
                failed.setdefault(type(wrong[0]), {})[owner] = wrong
            for key, (name, place) in quantities.items():
                if name not in values:
                    continue
                own = values[name] if place is None else values[name][:, place]
                absent = int(np.count_nonzero(np.isnan(own).any(axis=tuple(range(1, own.ndim)))))
                if absent > len(wrong):
                    missing.setdefault(key, {})[owner] = absent, len(errors) - len(wrong)
        return [
            *(self._failed(kind, of_each, count) for kind, of_each in failed.items()),
            *(_without_value(key, of_each, count) for key, of_each in missing.items()),
        ]

    def _failed(self, kind: type[Exception], of_each: dict[str, list[Exception]], count: int) -> str:
        """Say that the user's function failed, of whom, and which quantities are NaN therefore."""
        names = [f"`{key}`" for key in dict.fromkeys(key for owner in of_each for key in self._owners[owner])]
        which = "its values" if "" in of_each else some_of(names, NAMED)
        verb = "is" if len(names) == 1 and "" not in of_each else "are"
        first = next(iter(of_each.values()))[0]
        often = _how_often(map(len, of_each.values()))
        return (
            f"`derived`{_whose(of_each)} failed at {often} of {count} draws, where {which} {verb} NaN. "
            f"The first time: {kind.__name__}: {told(first)}"
        )

    def _found(self, vector: np.ndarray) -> tuple[dict[str, np.ndarray], dict[str, Exception]]:
        """Return the quantities at one vector, and what was raised, by whose it is."""
        try:
            return self(vector), {}
        except Exception as error:  # the draws were dear: this does not lose them
            return {}, {"": error}

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


def _whose(owners: Iterable[str]) -> str:
    """Return of which data sets it is; of a single fit nothing."""
    names = [owner for owner in owners if owner]
    return f" of {some_of(names, NAMED)}" if names else ""


def _how_often(counts: Iterable[int]) -> str:
    """Return at how many draws; where it differs between data sets, at how many at most."""
    counts = set(counts)
    return f"{'up to ' if len(counts) > 1 else ''}{max(counts)}"


def _without_value(key: str, of_each: dict[str, tuple[int, int]], count: int) -> str:
    """Say that a quantity is NaN at some draws."""
    absent, impossible = zip(*of_each.values(), strict=True)
    because = f", at {_how_often(impossible)} of them because of FitException" if any(impossible) else ""
    return (
        f"`{key}` of `derived`{_whose(of_each)} has no value at {_how_often(absent)} of {count} draws"
        f"{because}: its mean and its intervals are NaN."
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
