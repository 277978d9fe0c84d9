"""`DynestyStatic` and `DynestyDynamic`: nested sampling with live points."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np

from classy_pm.search.nested import Nested, Parameters, UnitLikelihood, needed, told_by, weighted_draws
from classy_pm.search.problem import Draws, Problem
from classy_pm.search.settings import positive

__all__ = ["DynestyDynamic", "DynestyStatic"]


class _Dynesty(Nested):
    """What both have in common."""

    _edges = ("periodic", "reflective")

    nlive: int = 500
    bound: Literal["none", "single", "multi", "balls", "cubes"] = "multi"
    sample: Literal["auto", "unif", "rwalk", "slice", "rslice"] = "auto"
    walks: int | None = None
    facc: float = 0.5
    slices: int | None = None
    enlarge: float | None = None
    bootstrap: int | None = None
    maxcall: int | None = None
    queue_size: int | None = None
    periodic: Parameters = ()
    reflective: Parameters = ()

    def _faults(self) -> Iterator[tuple[str, str]]:
        optional = ("walks", "slices", "maxcall", "queue_size")
        given = [name for name in optional if getattr(self, name) is not None]
        yield from positive(self, "nlive", "number_of_cores", *given)
        if not 0.0 < self.facc <= 1.0:
            yield "facc", f"{self.facc} is not between 0 and 1"
        if self.walks is not None and self.sample not in ("auto", "rwalk"):
            yield "walks", f"is a setting of sample='rwalk', not of {self.sample!r}"
        if self.slices is not None and self.sample in ("unif", "rwalk"):
            yield "slices", f"is a setting of sample='slice' and 'rslice', not of {self.sample!r}"
        if self.enlarge is not None and not self.enlarge >= 1.0:
            yield "enlarge", f"{self.enlarge} is below one"
        if self.bootstrap is not None and (self.bootstrap < 0 or self.bootstrap == 1):
            yield "bootstrap", f"{self.bootstrap} is neither 0 nor 2 or more"
        if self.enlarge not in (None, 1.0) and self.bootstrap:
            yield "bootstrap", "finds out by how much to enlarge: give it or enlarge"
        if self.reflective and self.sample == "unif":
            yield "reflective", "is a setting of walks and slices: sample='unif' moves nothing"

    def _run(self, problem: Problem) -> Draws:
        with needed("dynesty"):
            import dynesty

            from classy_pm.search.edges import EdgeQueue, turning_bound

        edges = self.edge_places(problem.plan)
        size = problem.plan.size
        sample = self._sample(size)
        with (
            problem.report.stage(f"sampling with {type(self).__name__}", total=self.maxcall) as stage,
            told_by(dynesty) as told,
        ):
            likelihood = UnitLikelihood(problem, stage, self._expected(sample))
            queue = EdgeQueue(
                likelihood, self.queue_size or max(self.nlive // 20, 1), **edges, rng=problem.rng(1)
            )
            settings = {
                "nlive": self.nlive,
                "bound": turning_bound(self.bound, size, edges["periodic"]),
                "sample": sample,
                "walks": self.walks if sample == "rwalk" else None,
                "facc": self.facc,
                "slices": self.slices if sample in ("slice", "rslice") else None,
                "enlarge": self.enlarge,
                "bootstrap": self.bootstrap,
                "rstate": problem.rng(0),
                "pool": queue,
                "use_pool": {"prior_transform": False, "update_bound": False, "stop_function": False},
            }
            left = _Remaining()
            likelihood.progress = lambda: f"what is left may raise the log evidence by {left.value:.3g}"
            sampler = self._sample_with(dynesty, queue.log_likelihood, size, settings, left)
        results, remaining = sampler.results, left.value
        early = self.maxcall is not None and likelihood.calls >= self.maxcall
        unfinished = early and remaining > 2.0 * self._dlogz
        effective = float(sampler.n_effective)
        # That bounds were wide for a while costs calls and changes nothing.
        notices = [f"Dynesty says: {text}" for text in told if "inefficient" not in text]
        if unfinished:
            # What it says of such a run is the same.
            notices = [self._no_peak(remaining)]
        elif early:
            notices.append(f"Dynesty ended at maxcall={self.maxcall} with {effective:.0f} effective draws.")
        return weighted_draws(
            problem,
            results["samples_u"],
            results["logl"],
            results["logwt"],
            log_evidence=None if unfinished else float(results["logz"][-1]),
            log_evidence_error=None if unfinished else _evidence_error(results, self.nlive),
            attributes={
                "likelihood_calls": likelihood.calls,
                "effective_sample_size": effective,
                "information": float(results["information"][-1]),
                "sample": sample,
            },
            notices=notices,
        )

    def _no_peak(self, remaining: float) -> str:
        return (
            f"Dynesty ended at maxcall={self.maxcall} with the peak still ahead: what was left could have "
            f"raised the log evidence by {remaining:.3g} (dlogz={self._dlogz:.3g} is wanted). There is no "
            "evidence, and the draws are not the posterior. Raise maxcall."
        )

    def _sample(self, size: int) -> str:
        """Return how it moves: dynesty's own choice by the number of parameters."""
        if self.sample != "auto":
            return self.sample
        return "unif" if size < 10 else "rwalk" if size <= 20 else "rslice"

    def _expected(self, sample: str) -> int:
        """Return about how many calls it will take."""
        usual = self.nlive * {"unif": 60, "rwalk": 500, "slice": 1000, "rslice": 500}[sample]
        return usual if self.maxcall is None else min(usual, self.maxcall)

    @property
    def _dlogz(self) -> float:
        raise NotImplementedError

    def _sample_with(
        self, dynesty: Any, log_likelihood: Any, size: int, settings: dict[str, Any], left: _Remaining
    ) -> Any:
        """Return the sampler when it has run, having noted what is left of the log evidence."""
        raise NotImplementedError


class DynestyStatic(_Dynesty):
    """Nested sampling with a fixed number of live points.

    Parameters
    ----------
    nlive : int
        How many live points.
    dlogz : float, optional
        It ends when what is left could raise the log evidence by less than this; by default
        ``0.001 * (nlive - 1) + 0.01``. The live points are counted at the end.
    bound : {"none", "single", "multi", "balls", "cubes"}
        What is put around the live points.
    sample : {"auto", "unif", "rwalk", "slice", "rslice"}
        How a new point is found: drawn inside the bound, by a random walk, or by slices along the axes
        of the bound or in random directions. "auto" draws below 10 parameters, walks up to 20, and
        slices beyond.
    walks : int, optional
        Steps of a random walk; by default 20 and the number of parameters.
    facc : float
        The acceptance that a random walk adapts its steps to.
    slices : int, optional
        How many slices; by default 3, for "rslice" 3 and the number of parameters.
    enlarge : float, optional
        By what factor the volume of bounds is enlarged.
    bootstrap : int, optional
        From how many resamplings of the live points to find out by how much to enlarge.
    maxcall : int, optional
        After how many likelihood calls it ends whatever it has found.
    queue_size : int, optional
        How many points are looked for together: number_of_cores divides them. By default a twentieth of
        the live points.
    periodic : list
        Parameters, by their priors in the model or by their dotted names, whose lower and upper limits
        are the same place, as those of an angle: bounds and moves go across. What the likelihood is there
        is not looked at; where it is not the same, that costs calls and nothing else.
    reflective : list
        Parameters at whose limits walks and slices turn back, for posteriors that end there at full height.
    **common
        What every search takes: see `Search`.

    Notes
    -----
    Skilling (2006), Bayesian Analysis 1, 833; Speagle (2020), MNRAS 493, 3132; Neal (2003), Annals of
    Statistics 31, 705 for slices. The error of the log evidence is dynesty's, from the information, or
    that of the volumes which each point leaves (Keeton 2011, MNRAS 414, 1418) where this is larger.

    Examples
    --------
    >>> DynestyStatic(nlive=100, random_seed=1)
    DynestyStatic(random_seed=1, nlive=100)
    """

    dlogz: float | None = None

    def _faults(self) -> Iterator[tuple[str, str]]:
        yield from super()._faults()
        if self.dlogz is not None:
            yield from positive(self, "dlogz")

    @property
    def _dlogz(self) -> float:
        return 1e-3 * (self.nlive - 1) + 0.01 if self.dlogz is None else self.dlogz

    def _sample_with(
        self, dynesty: Any, log_likelihood: Any, size: int, settings: dict[str, Any], left: _Remaining
    ) -> Any:
        sampler = dynesty.NestedSampler(log_likelihood, _identity, size, **settings)
        left.sampler = sampler
        sampler.run_nested(
            dlogz=self._dlogz,
            maxcall=self.maxcall,
            print_func=left,
            save_bounds=False,
        )
        return sampler


class DynestyDynamic(_Dynesty):
    """Nested sampling that goes on with live points where they tell most of the posterior.

    Parameters
    ----------
    nlive : int
        How many live points the first run has.
    n_effective : int, optional
        The effective sample size at which it ends; by default 10000, or the squared number of
        parameters.
    dlogz_init : float
        The first run ends when what is left could raise the log evidence by less than this.
    nlive_batch : int, optional
        How many live points each further run has; by default ``nlive``.
    maxbatch : int, optional
        How many further runs there are at the most.
    pfrac : float
        How much the posterior counts, from 0 to 1, and not the evidence, where further runs go.
    bound, sample, walks, facc, slices, enlarge, bootstrap, maxcall, queue_size, periodic, reflective
        As of `DynestyStatic`.
    **common
        What every search takes: see `Search`.

    Notes
    -----
    Higson et al. (2019), Statistics and Computing 29, 891; Speagle (2020), MNRAS 493, 3132. The error of
    the log evidence is as of `DynestyStatic`: dynesty's own knows only how many live points there are
    where the posterior is, and is about half of what it should be.

    Examples
    --------
    >>> DynestyDynamic(nlive=100, n_effective=1000, random_seed=1)
    DynestyDynamic(random_seed=1, nlive=100, n_effective=1000)
    """

    n_effective: int | None = None
    dlogz_init: float = 0.01
    nlive_batch: int | None = None
    maxbatch: int | None = None
    pfrac: float = 0.8

    def _faults(self) -> Iterator[tuple[str, str]]:
        yield from super()._faults()
        optional = ("n_effective", "nlive_batch", "maxbatch")
        given = [name for name in optional if getattr(self, name) is not None]
        yield from positive(self, "dlogz_init", *given)
        if not 0.0 <= self.pfrac <= 1.0:
            yield "pfrac", f"{self.pfrac} is not between 0 and 1"

    @property
    def _dlogz(self) -> float:
        return self.dlogz_init

    def _sample_with(
        self, dynesty: Any, log_likelihood: Any, size: int, settings: dict[str, Any], left: _Remaining
    ) -> Any:
        sampler = dynesty.DynamicNestedSampler(log_likelihood, _identity, size, **settings)
        left.sampler = sampler
        sampler.run_nested(
            n_effective=self.n_effective,
            dlogz_init=self.dlogz_init,
            nlive_batch=self.nlive_batch,
            maxbatch=self.maxbatch,
            maxcall=self.maxcall,
            wt_kwargs={"pfrac": self.pfrac},
            print_func=left,
            save_bounds=False,
        )
        return sampler


class _Remaining:
    """Stands where dynesty prints: notes what is left of the evidence until the live points are added."""

    def __init__(self) -> None:
        self.sampler: Any = None
        self.value = np.inf

    def __call__(self, results: Any, *_: Any, **__: Any) -> None:
        if not getattr(self.sampler, "sampler", self.sampler).added_live:
            self.value = float(results.delta_logz)


def _evidence_error(results: Any, nlive: int) -> float:
    """Return the standard deviation of the log evidence, from that of each shrinking of the volume.

    A step from one point to the next shrinks the volume by a factor whose logarithm has a standard
    deviation as large as its mean; all that is inside shrinks with it.
    """
    log_likelihood, log_volume, log_evidence = (results[name] for name in ("logl", "logvol", "logz"))
    steps = -np.diff(log_volume, prepend=0.0)
    steps[0] = min(steps[0], nlive**-0.5)  # how much of the prior is possible at all was counted
    inside = -np.expm1(np.minimum(log_evidence - log_evidence[-1], 0.0))
    inside -= np.exp(log_likelihood + log_volume - log_evidence[-1])
    return max(float(np.sqrt(np.sum((inside * steps) ** 2))), float(results["logzerr"][-1]))


def _identity(points: np.ndarray) -> np.ndarray:
    return points
