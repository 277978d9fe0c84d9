"""Whether the gradient that an analysis gives itself is the slope of its log likelihood.

A trace is proved. What the user has derived by hand is compared here with differences, before a search
uses it and once more where its chains start: a term may be too small to be seen far from the mode.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from classy_pm.errors import LikelihoodError, some_of

if TYPE_CHECKING:
    from classy_pm.search.problem import Problem

__all__ = ["check_own_gradient", "check_own_gradient_at_prior"]

# At how many points it is compared, and from how many draws of the prior the best are taken.
POINTS = 2
DRAWS = 20
# From how many draws the widths of the parameters are taken, of which the steps are shares; the first
# steps settle nearly all.
WIDTH_DRAWS = 400
STEPS = (1e-5, 1e-3, 1e-4, 1e-2, 1e-6, 1e-7, 1e-1)
# What may differ, relatively; and what is nothing over a whole width, in nats.
RTOL = 1e-2
NOTHING = 1e-3
# Differences say something if their error is a smaller share of them than this, and are sure if those of
# two steps agree as well.
INFORMATIVE = 0.05
# So many parameters are named in an error.
MOST_NAMED = 100


def check_own_gradient_at_prior(problem: Problem) -> None:
    """Compare the analysis' own gradient with differences at the best of a few draws from the prior.

    Where it gives none, or where it is not used, there is nothing to do.

    Raises
    ------
    LikelihoodError
        If it is wrong; every parameter of which it is wrong is named.
    """
    if _is_used(problem):
        vectors = problem.plan.draws(WIDTH_DRAWS, problem.rng(0))[:DRAWS]
        order = np.argsort(-problem.evaluate.plainly(vectors), kind="stable")
        check_own_gradient(problem, vectors[order[:POINTS]])


def check_own_gradient(problem: Problem, vectors: np.ndarray) -> None:
    """Compare it at the first of some vectors, shape (number, size), likewise."""
    if not _is_used(problem):
        return
    low, high = np.percentile(problem.plan.draws(WIDTH_DRAWS, problem.rng(0)), [16.0, 84.0], axis=0)
    widths = np.maximum(0.5 * (high - low), 1e-12 * np.maximum(np.abs(low), np.abs(high)))
    for vector in vectors[:POINTS]:
        if np.isfinite(problem.evaluate.plainly(vector[np.newaxis])[0]):
            _check_at(problem, vector, widths)


def _is_used(problem: Problem) -> bool:
    return problem.symbolic.kind == "blackbox" and problem.symbolic.differentiable


def _check_at(problem: Problem, vector: np.ndarray, widths: np.ndarray) -> None:
    gradient = problem.evaluate.gradient(vector)
    # Under a prior over many decades all shares of its width may be longer than the number itself.
    undecided = np.arange(vector.size)
    wrong: dict[int, float] = {}
    for lengths in (widths, np.minimum(widths, np.abs(vector))):
        slopes = _slopes_that_disagree(problem, vector, gradient, widths, lengths, undecided)
        wrong |= {place: sure for place, told in slopes.items() if (sure := _sure(told)) is not None}
        undecided = np.array([place for place, told in slopes.items() if np.all(np.isnan(told))], dtype=int)
    if wrong:
        raise _error(problem, vector, gradient, wrong)


def _slopes_that_disagree(
    problem: Problem,
    vector: np.ndarray,
    gradient: np.ndarray,
    widths: np.ndarray,
    lengths: np.ndarray,
    places: np.ndarray,
) -> dict[int, np.ndarray]:
    """Return what differences give by those parameters of which no step confirms the gradient.

    NaN where a step says nothing.
    """
    slopes = np.full((len(STEPS), vector.size), np.nan)
    for number, step in enumerate(STEPS):
        if not len(places):
            break
        found, errors = _differences(problem, vector, step * lengths, places)
        given = gradient[places]
        size = np.fmax(np.where(np.isfinite(given), np.abs(given), 0.0), np.abs(found))
        informative = errors <= INFORMATIVE * size
        apart = np.abs(given - found)
        agree = informative & (apart <= RTOL * size + 3.0 * errors)
        agree |= apart * widths[places] <= NOTHING
        slopes[number, places[informative]] = found[informative]
        places = places[~agree]
    return {int(place): slopes[:, place] for place in places}


def _differences(
    problem: Problem, vector: np.ndarray, steps: np.ndarray, places: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return central differences of the fourth order by some parameters, and how far they may be off."""
    moves = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
    vectors = np.repeat(vector[np.newaxis], len(places) * len(moves), axis=0)
    rows = vectors.reshape(len(places), len(moves), -1)
    rows[np.arange(len(places)), :, places] += moves * steps[places, np.newaxis]
    possible = problem.plan.log_prior(vectors) > -np.inf  # elsewhere the likelihood need not be defined
    values = np.full(len(vectors), np.nan)
    values[possible] = problem.evaluate.plainly(vectors[possible])
    values = values.reshape(rows.shape[:2])
    with np.errstate(all="ignore"):
        x = rows[np.arange(len(places)), :, places]
        near = (values[:, 3] - values[:, 1]) / (x[:, 3] - x[:, 1])
        far = (values[:, 4] - values[:, 0]) / (x[:, 4] - x[:, 0])
        slopes = (4.0 * near - far) / 3.0
        noise = np.abs(values @ [1.0, -4.0, 6.0, -4.0, 1.0]) / 8.0
        rounding = 1e-15 * np.max(np.abs(values), axis=1)
        errors = np.abs(slopes - near) + (noise + rounding) / steps[places]
        # Steps too short to be seen at all say nothing.
        flat = np.ptp(values, axis=1) == 0.0
    return slopes, np.where(np.isfinite(slopes) & ~flat, errors, np.inf)


def _sure(slopes: np.ndarray) -> float | None:
    """Return the slope if the differences of two steps agree."""
    told = slopes[np.isfinite(slopes)]
    for number, one in enumerate(told):
        for other in told[number + 1 :]:
            if abs(one - other) <= INFORMATIVE * max(abs(one), abs(other)):
                return float(one)
    return None


def _error(
    problem: Problem, vector: np.ndarray, gradient: np.ndarray, wrong: dict[int, float]
) -> LikelihoodError:
    names = problem.plan.element_names
    name = f"{type(problem.analysis).__name__}.log_likelihood_gradient"
    place = some_of((f"{name} = {value:.6g}" for name, value in zip(names, vector, strict=True)), MOST_NAMED)
    return LikelihoodError(
        f"{name} is not the slope of the log likelihood at {place}.",
        [
            f"{names[number]}: it gives {gradient[number]:.6g}, differences give {slope:.6g}"
            for number, slope in wrong.items()
        ],
        cure=f"It is one number for each free parameter, in the order {some_of(names, MOST_NAMED)}; "
        "cpm.check_gradient(model, analysis) compares it. Or leave it out, and use Emcee or Nautilus, which "
        "need none.",
    )
