"""`Samples`: the draws of a fit, as vectors and as the user's objects."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from classy_pm.plan import Plan
from classy_pm.result import tree as trees

__all__ = ["Samples"]


class Samples:
    """The draws of a fit, chain after chain, in the order of the model's paths.

    Parameters
    ----------
    tree : xarray.DataTree
    plan : Plan
        Makes instances of the draws.
    """

    def __init__(self, tree: xr.DataTree, plan: Plan) -> None:
        self._tree = tree
        self._plan = plan
        self._vectors = trees.draws_of(tree)

    def __len__(self) -> int:
        return len(self._vectors)

    @property
    def names(self) -> list[str]:
        """The free parameters' names, in the order of the vectors; an element of an array each."""
        return list(self._plan.element_names)

    @property
    def parameter_lists(self) -> list[list[float]]:
        """The draws, each a list of the free parameters' values."""
        return self._vectors.tolist()

    @property
    def log_likelihood_list(self) -> list[float]:
        """The log likelihood of each draw."""
        return self._log_likelihood.tolist()

    @property
    def log_prior_list(self) -> list[float]:
        """The normalised log prior density of each draw, in the parameters' own units."""
        return trees.stat_of(self._tree, trees.LOG_PRIOR).tolist()

    @property
    def _log_likelihood(self) -> np.ndarray:
        return trees.stat_of(self._tree, trees.LOG_LIKELIHOOD)

    # -- one vector -------------------------------------------------------------------------------

    @property
    def median_pdf_vector(self) -> list[float]:
        """The median of each parameter."""
        return np.median(self._vectors, axis=0).tolist()

    def vector_at_upper_sigma(self, sigma: float) -> list[float]:
        """Return each parameter's upper limit of the central interval of so many sigma.

        Parameters
        ----------
        sigma : float
            ``sigma=1`` leaves 68.27% of the probability between the lower and the upper limit.
        """
        return self._quantile(0.5 * (1.0 + trees.sigma_to_probability(sigma)))

    def vector_at_lower_sigma(self, sigma: float) -> list[float]:
        """Return each parameter's lower limit of the central interval of so many sigma."""
        return self._quantile(0.5 * (1.0 - trees.sigma_to_probability(sigma)))

    def errors_at_sigma(self, sigma: float) -> list[tuple[float, float]]:
        """Return how far the limits lie below and above the median, for each parameter."""
        rows = zip(
            self.vector_at_lower_sigma(sigma),
            self.median_pdf_vector,
            self.vector_at_upper_sigma(sigma),
            strict=True,
        )
        return [(median - lower, upper - median) for lower, median, upper in rows]

    def _quantile(self, probability: float) -> list[float]:
        return np.quantile(self._vectors, probability, axis=0).tolist()

    # -- the best ---------------------------------------------------------------------------------

    @property
    def max_log_likelihood(self) -> float:
        """The greatest log likelihood of any draw."""
        return float(np.max(self._log_likelihood))

    @property
    def max_log_likelihood_vector(self) -> list[float]:
        """The draw with the greatest log likelihood."""
        return self._vectors[np.argmax(self._log_likelihood)].tolist()

    @property
    def max_log_posterior_vector(self) -> list[float]:
        """The draw with the greatest posterior density, in the parameters' own units."""
        log_posterior = self._log_likelihood + trees.stat_of(self._tree, trees.LOG_PRIOR)
        return self._vectors[np.argmax(log_posterior)].tolist()

    @property
    def max_log_likelihood_instance(self) -> Any:
        """The user's objects at the draw with the greatest log likelihood."""
        return self.instance_from(self.max_log_likelihood_vector)

    @property
    def max_log_posterior_instance(self) -> Any:
        """The user's objects at the draw with the greatest posterior density."""
        return self.instance_from(self.max_log_posterior_vector)

    @property
    def median_pdf_instance(self) -> Any:
        """The user's objects with each parameter at its median."""
        return self.instance_from(self.median_pdf_vector)

    def instance_from(self, vector: Any) -> Any:
        """Return the user's objects at a vector of the free parameters' values."""
        return self._plan.instance(np.asarray(vector, dtype=float))

    def __repr__(self) -> str:
        return f"Samples({len(self)} draws of {', '.join(self.names)})"
