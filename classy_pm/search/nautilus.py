"""`Nautilus`: importance nested sampling in bounds that neural networks learn."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from classy_pm.search.nested import Nested, Parameters, UnitLikelihood, needed, told_by, weighted_draws
from classy_pm.search.problem import Draws, Problem
from classy_pm.search.settings import positive

__all__ = ["Nautilus"]

# So many times the points that an ellipsoid needs make bounds that a sharp edge of the posterior does not
# spoil. With half of that, log evidences were seen to be 0.5 too low, and their errors 0.03.
SAFE_ELLIPSOIDS = 5


class Nautilus(Nested):
    """The nested sampler of nautilus, which finds posterior and evidence with few likelihood calls.

    Parameters
    ----------
    n_live : int
        How many points lie in each bound when the next is built.
    n_eff : float
        The effective sample size at which it ends.
    f_live : float
        What part of the evidence may be in the live points when bounds are no longer added.
    n_like_max : int, optional
        After how many likelihood calls it ends whatever it has found.
    n_shell : int
        How many points each shell between two bounds must have.
    n_batch : int
        How many points are evaluated at a time; number_of_cores divides them.
    n_networks : int
        How many networks each bound has; with 0 it is of ellipsoids alone.
    n_update, n_like_new_bound : int, optional
        After how many new live points, or calls, the next bound is built; by default ``n_live``, and
        ten times as many.
    enlarge_per_dim : float
        By what factor ellipsoids are enlarged along each dimension.
    n_points_min : int, optional
        How many points an ellipsoid must have; by default 50 and the number of parameters.
    split_threshold : float
        How many times too large the ellipsoids must be for them to be split.
    discard_exploration : bool
        Whether the points that the bounds were built from are left out at the end: what remains is free
        of bias, and costs more calls.
    periodic : list
        Parameters, by their priors in the model or by their dotted names, whose lower and upper limits
        are the same place, as those of an angle: bounds go across. What the likelihood is there is not
        looked at; where it is not the same, that costs calls and nothing else.
    **common
        What every search takes: see `Search`.

    Notes
    -----
    Lange (2023), MNRAS 525, 3181. The error of the log evidence is one over the square root of the
    effective sample size; it knows nothing of what a bound has cut off, which happens where ``n_live``
    is small and the posterior ends at a sharp edge, such as an assertion's. A lone parameter gets a
    companion that the likelihood does not see, because the library wants two.

    Examples
    --------
    >>> Nautilus(n_live=500, n_eff=2000, random_seed=1)
    Nautilus(random_seed=1, n_live=500, n_eff=2000)
    """

    n_live: int = 2000
    n_eff: float = 10_000
    f_live: float = 0.01
    n_like_max: int | None = None
    n_shell: int = 1
    n_batch: int = 100
    n_networks: int = 4
    n_update: int | None = None
    n_like_new_bound: int | None = None
    enlarge_per_dim: float = 1.1
    n_points_min: int | None = None
    split_threshold: float = 100.0
    discard_exploration: bool = False
    periodic: Parameters = ()

    def _faults(self) -> Iterator[tuple[str, str]]:
        optional = ("n_like_max", "n_update", "n_like_new_bound", "n_points_min")
        given = [name for name in optional if getattr(self, name) is not None]
        yield from positive(
            self, "n_live", "n_eff", "f_live", "n_shell", "n_batch", "number_of_cores", *given
        )
        if self.n_networks < 0:
            yield "n_networks", f"{self.n_networks} is below zero"
        for name in ("enlarge_per_dim", "split_threshold"):
            if not getattr(self, name) >= 1.0:
                yield name, f"{getattr(self, name)} is below one"

    def _run(self, problem: Problem) -> Draws:
        with needed("nautilus-sampler"):
            import nautilus
            import sklearn
            from threadpoolctl import threadpool_limits

        class Sampler(nautilus.Sampler):
            # The library evaluates its networks here with as many threads as there are, and the last
            # digit of a sum may decide on which side of a bound a point is.
            def add_bound(self, verbose: bool = False) -> Any:
                with threadpool_limits(limits=1):
                    return super().add_bound(verbose)

            # It cannot be asked for while the likelihood is called.
            last_f_live = 1.0

            @property
            def f_live(self) -> Any:
                part = super().f_live
                self.last_f_live = self.last_f_live if part is None else part
                return part

        with (
            problem.report.stage("sampling with nautilus", total=self.n_like_max) as stage,
            told_by(nautilus, sklearn),
        ):
            likelihood = UnitLikelihood(problem, stage, self._expected())
            periodic = self.edge_places(problem.plan)["periodic"]
            sampler = Sampler(
                _identity,
                likelihood,
                n_dim=max(problem.plan.size, 2),
                n_live=self.n_live,
                n_update=self.n_update,
                enlarge_per_dim=self.enlarge_per_dim,
                n_points_min=self.n_points_min,
                split_threshold=self.split_threshold,
                periodic=np.array(periodic) if periodic else None,
                n_networks=self.n_networks,
                n_batch=self.n_batch,
                n_like_new_bound=self.n_like_new_bound,
                vectorized=True,
                seed=problem.rng(0),
            )
            likelihood.progress = lambda: self._progress(sampler)
            finished = sampler.run(
                f_live=self.f_live,
                n_shell=self.n_shell,
                n_eff=self.n_eff,
                n_like_max=np.inf if self.n_like_max is None else self.n_like_max,
                discard_exploration=self.discard_exploration,
            )
            return self._draws(sampler, problem, finished)

    def _draws(self, sampler: Any, problem: Problem, finished: bool) -> Draws:
        points, log_weights, log_likelihood = sampler.posterior()
        return weighted_draws(
            problem,
            points[:, : problem.plan.size],
            log_likelihood,
            log_weights,
            log_evidence=float(sampler.log_z) if sampler.explored else None,
            log_evidence_error=float(sampler.n_eff**-0.5) if sampler.explored else None,
            attributes={
                "likelihood_calls": int(sampler.n_like),
                "effective_sample_size": float(sampler.n_eff),
                "sampling_efficiency": float(sampler.eta),
                "bounds": len(sampler.bounds),
            },
            notices=[*self._few_points(sampler), *([] if finished else [self._early_end(sampler)])],
        )

    def _progress(self, sampler: Any) -> str:
        if sampler.explored:
            return f"{sampler.n_eff:.0f} of {self.n_eff:g} effective draws"
        return f"{sampler.last_f_live:.1%} of the evidence in live points, {self.f_live:.1%} is wanted"

    def _few_points(self, sampler: Any) -> Iterator[str]:
        safe = SAFE_ELLIPSOIDS * sampler.n_points_min
        if self.n_live < safe:
            yield (
                f"n_live={self.n_live} is small: bounds that are built from few points can cut off a part of "
                "the posterior, and neither the error of the evidence nor the effective sample size shows "
                f"it. For a result to rely on, use {safe} or more, or compare with another search."
            )

    def _early_end(self, sampler: Any) -> str:
        end = f"Nautilus ended at n_like_max={self.n_like_max}"
        if sampler.explored:
            return f"{end} with {sampler.n_eff:.0f} effective draws; n_eff={self.n_eff:g} were wanted."
        return (
            f"{end} before it had explored the prior: {sampler.f_live:.0%} of the evidence that it knows of "
            f"is in its live points (f_live={self.f_live:g} is wanted), and the peak may not be found. There "
            "is no evidence, and the draws are not the posterior. Raise n_like_max."
        )

    def _expected(self) -> int:
        """Return about how many calls it will take."""
        usual = 15 * self.n_live + 2 * int(self.n_eff)
        return usual if self.n_like_max is None else min(usual, self.n_like_max)


def _identity(points: np.ndarray) -> np.ndarray:
    return points
