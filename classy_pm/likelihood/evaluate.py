"""`LogLikelihood`: the user's function at one vector of values, with its faults told apart."""

from __future__ import annotations

import sys
import threading
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from classy_pm.errors import FitException, LikelihoodError, some_of
from classy_pm.likelihood.analysis import Analysis, gives
from classy_pm.likelihood.factorwise import Elsewhere, Factorwise
from classy_pm.likelihood.joint import JointAnalysis
from classy_pm.likelihood.suspects import suspects
from classy_pm.plan import Plan

__all__ = ["LogLikelihood", "forget_other_precision", "in_double_precision"]

# So many parameters are told with a fault.
MOST_TOLD = 100
_INFINITY = float("inf")
_AS_IT_IS: AbstractContextManager[None] = nullcontext()
# What `jax_enable_x64` has been in this process: PyTensor's JAX backend changes it when it is loaded.
_settings_met: set[bool] = set()


def _loaded_jax() -> Any:
    """Return JAX if it has run; a lazy module, which nutpie may make, would be loaded by a look at it."""
    return sys.modules["jax"] if "jax._src" in sys.modules else None


def in_double_precision() -> AbstractContextManager[Any]:
    """Return a context in which JAX, if it is loaded, computes with float64, as NumPy does.

    By itself JAX makes float32 of everything. The user's own setting is as before afterwards, and in
    other threads.
    """
    jax = _loaded_jax()
    return _AS_IT_IS if jax is None else jax.enable_x64(True)


def forget_other_precision() -> None:
    """Let JAX compile anew, where the user's setting is or was single precision, before and after ours.

    A NumPy array inside of a function under `jax.jit` keeps the precision in which JAX met it first, also
    where the setting is another one at a later call: then digits are lost, or there is an error (jax 0.12).
    """
    jax = _loaded_jax()
    if jax is None:
        return
    _settings_met.add(bool(jax.config.jax_enable_x64))
    if False in _settings_met:
        jax.clear_caches()


class LogLikelihood:
    """The log likelihood as a function of the vector of free parameters.

    `FitException` and NaN are -inf; NaNs are counted. Any other exception leaves with the parameter
    values in a note.

    Parameters
    ----------
    plan : Plan
    analysis : Analysis
    """

    def __init__(self, plan: Plan, analysis: Analysis) -> None:
        self.plan = plan
        self.analysis = analysis
        # By the chain that met them, which its threads are told to count for.
        self._nan_counts: dict[int | None, int] = {}
        self._counting_for: dict[int, int | None] = {}
        # An array's elements are its parameters' values already, where each is a number.
        self.split = plan.split if plan.layout.has_arrays else list
        self.factorwise = Factorwise(plan, analysis) if isinstance(analysis, JointAnalysis) else None
        forget_other_precision()

    def __call__(self, vector: np.ndarray) -> float:
        """Return the log likelihood at one vector, shape (size,)."""
        # Overflow far from the data is no news to anybody; a NaN that comes of it is counted.
        with np.errstate(all="ignore"), in_double_precision():
            return self._without_nan(self._evaluated(vector))

    def many(self, vectors: np.ndarray) -> np.ndarray:
        """Return the log likelihoods at vectors, shape (batch, size)."""
        return self.without_nan(self.values(vectors))

    def values(self, vectors: np.ndarray, elsewhere: Elsewhere | None = None) -> np.ndarray:
        """Return the same with NaN left as it is, and not counted.

        Parameters
        ----------
        vectors : numpy.ndarray, shape (batch, size)
        elsewhere : callable, optional
            What computes the factors of a graph, in other processes say.
        """
        with np.errstate(all="ignore"), in_double_precision():
            return np.array([self._evaluated(vector, elsewhere) for vector in vectors], dtype=float)

    def outcomes(self, vector: np.ndarray, places: list[int]) -> list[Any]:
        """Return what some of the factors of a graph give at one vector: see `Factorwise.outcomes`."""
        assert self.factorwise is not None
        with np.errstate(all="ignore"), in_double_precision():
            return self.factorwise.outcomes(vector, places)

    def without_nan(self, values: np.ndarray) -> np.ndarray:
        """Return values with -inf in the place of NaN, which is counted."""
        nan = np.isnan(values)
        if not np.any(nan):
            return values
        self._count(int(np.sum(nan)))
        return np.where(nan, -np.inf, values)

    def _without_nan(self, value: float) -> float:
        if value == value:
            return value
        self._count(1)
        return -np.inf

    @property
    def nan_count(self) -> int:
        """How often it was NaN."""
        return sum(self._nan_counts.values())

    @nan_count.setter
    def nan_count(self, count: int) -> None:
        self._nan_counts = {None: count}

    def count_for(self, chain: int | None) -> None:
        """Have calls from this thread count for a chain; a thread that ends leaves its number to others."""
        self._counting_for[threading.get_ident()] = chain

    def nan_count_of(self, chain: int) -> int:
        """Return how often it was NaN when a chain called it."""
        return self._nan_counts.get(chain, 0)

    def _count(self, more: int) -> None:
        chain = self._counting_for.get(threading.get_ident())
        self._nan_counts[chain] = self._nan_counts.get(chain, 0) + more

    def _evaluated(self, vector: np.ndarray, elsewhere: Elsewhere | None = None) -> float:
        try:
            if self.factorwise is None:
                value = self.analysis.log_likelihood_function(self.plan.build(self.split(vector)))
            else:
                value = self.factorwise.total(vector, elsewhere)
        except FitException:
            return -np.inf
        except Exception as error:
            error.add_note(self._at(vector))
            explained = suspects(error, self.analysis, self.plan)
            if explained:
                error.add_note(explained)
            raise
        if type(value) is not float and type(value) is not np.float64:
            value = self._as_number(value, vector)
        value = float(value)
        return self._told(value, vector) if value == _INFINITY else value

    def _told(self, value: float, vector: np.ndarray) -> float:
        """Return a value, which may be NaN but not +inf."""
        if value == _INFINITY:
            raise LikelihoodError(f"The log likelihood is +inf. {self._at(vector)}")
        return value

    @property
    def has_gradient(self) -> bool:
        """Whether the analysis gives the gradient itself."""
        return gives(self.analysis, "log_likelihood_gradient")

    @property
    def has_pointwise(self) -> bool:
        """Whether the analysis gives the pointwise terms itself."""
        return gives(self.analysis, "log_likelihood_pointwise")

    def gradient(self, vector: np.ndarray) -> np.ndarray:
        """Return the analysis' own gradient at one vector, shape (size,); zero where it is impossible."""
        try:
            with np.errstate(all="ignore"), in_double_precision():
                gradient = self.analysis.log_likelihood_gradient(self.plan.build(self.split(vector)))
        except FitException:
            return np.zeros(self.plan.size)
        except Exception as error:
            error.add_note(self._at(vector))
            raise
        array = np.asarray(gradient)
        if array.shape != (self.plan.size,) or array.dtype.kind not in "biuf":
            raise LikelihoodError(
                f"{type(self.analysis).__name__}.log_likelihood_gradient returned an array of shape "
                f"{array.shape}, not one number for each of the {self.plan.size} free parameters.",
                cure=f"In the order of model.paths: {some_of(self.plan.element_names, MOST_TOLD)}.",
            )
        return array.astype(float)

    def pointwise(self, vector: np.ndarray) -> np.ndarray:
        """Return the analysis' own pointwise terms at one vector; they must add up to its log likelihood.

        Raises
        ------
        LikelihoodError
            If they do not.
        """
        terms = self._terms(vector)
        total = self(vector)
        if terms.ndim != 1 or not np.isclose(terms.sum(), total, rtol=1e-8, atol=1e-8, equal_nan=True):
            raise LikelihoodError(
                f"{type(self.analysis).__name__}.log_likelihood_pointwise returned an array of shape "
                f"{terms.shape} with the sum {terms.sum()!r}, the log likelihood is {total!r}. "
                f"{self._at(vector)}",
                cure="Return a vector whose sum is the log likelihood, constants included.",
            )
        return terms

    def _terms(self, vector: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"), in_double_precision():
            instance = self.plan.build(self.split(vector))
            return np.asarray(self.analysis.log_likelihood_pointwise(instance))

    def _as_number(self, value: Any, vector: np.ndarray) -> float:
        number = np.asarray(value)
        if number.shape != () or number.dtype.kind not in "biuf":
            what = f"an array of shape {number.shape}" if number.shape else f"{value!r}"
            raise LikelihoodError(
                f"{type(self.analysis).__name__}.log_likelihood_function returned {what}, not one real "
                f"number. {self._at(vector)}",
                cure="Return the sum over the data, for example -0.5 * np.sum(residuals**2).",
            )
        return float(number)

    def _at(self, vector: np.ndarray) -> str:
        named = zip(self.plan.element_names, vector, strict=False)
        values = some_of((f"{name} = {float(value)!r}" for name, value in named), MOST_TOLD)
        return f"The parameters were {values}."
