"""Importance sampling of many data sets, factor by factor: the weights are those of what they share alone.

The ratio of posterior to approximation is a product over the data sets, and its spread grows with their
number: for some hundred no weight of a whole draw can be relied on, however good the approximation. But given
what is shared, each one's integral can be estimated by itself, from several draws of its own parameters. With
the product of these estimates in the place of the density the weights of the shared parameters are right,
whatever the spread of the estimates; it only makes them uneven, which their Pareto k tells.

Tran, Scharth, Pitt and Kohn (2013), arXiv:1309.3339: importance sampling squared.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import logsumexp

from classy_pm.search.importance import MIN_DRAWS, weigh
from classy_pm.search.normals import NormalMixture

if TYPE_CHECKING:
    from classy_pm.search.climb import WithGradient
    from classy_pm.search.factorised import Factorised

__all__ = ["ByFactor", "Conditionals", "conditionals", "sample_by_factor"]

# From so many draws of what is shared, and of each data set's own parameters, is found how many are needed.
TRIALS, OF_EACH = 20, 16
# Of so many data sets each trial takes long, and fewer say the same of their sum.
MANY, FEWER_TRIALS = 3000, 4
# What variance the product of the estimates shall have.
NOISE = 0.5
# At most so many draws of each data set's own parameters, and so many of all, are made.
MOST_OF_EACH = 64
MOST_OF_ALL = 100_000_000
# How long steps for differences are, in standard deviations.
STEP = 1e-2
# Own parameters are drawn by so much wider than the curvature says: tails are wider than those of a normal.
WIDER = 1.01
# And wider where this does better, for data sets whose ratios have more than this relative variance.
MUCH_WIDER, EVEN = (1.5, 2.5), 0.05


@dataclass(frozen=True)
class Conditionals:
    """Normal densities of each data set's own parameters, given what all share; those of one plate.

    Attributes
    ----------
    means : numpy.ndarray, shape (factors, numbers)
        Where what is shared is at `centre`.
    slopes : numpy.ndarray, shape (factors, numbers, shared)
        How the means follow it.
    factors : numpy.ndarray, shape (factors, numbers, numbers)
        Square roots of the covariances.
    centre : numpy.ndarray, shape (shared,)
    """

    means: np.ndarray
    slopes: np.ndarray
    factors: np.ndarray
    centre: np.ndarray

    def draw(
        self, shared: np.ndarray, number: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return draws, shape (number, factors, numbers), and their log densities, shape (number, factors).

        The second half are the first ones' mirror images: what is lopsided cancels in their mean. The number
        is even.
        """
        half = rng.standard_normal((number // 2, *self.means.shape))
        standard = np.concatenate([half, -half])
        means = self.means + self.slopes @ (shared - self.centre)
        drawn = means + np.einsum("fab,nfb->nfa", self.factors, standard)
        scales = np.linalg.slogdet(self.factors)[1] + 0.5 * standard.shape[-1] * np.log(2.0 * np.pi)
        return drawn, -0.5 * np.sum(standard**2, axis=-1) - scales


def conditionals(
    log_density: WithGradient, factorised: Factorised, mean: np.ndarray, sd: np.ndarray
) -> list[Conditionals]:
    """Return normal densities of each data set's own parameters, from the curvature at a point.

    Parameters
    ----------
    log_density : callable
        Gives the log density and its gradient at a point, shape (size,).
    factorised : Factorised
    mean, sd : numpy.ndarray, shape (size,)
        Of the approximation. Where the curvature of a data set gives no normal density, its own widths do.
    """
    structure = factorised.structure
    curvature = structure.curvature(lambda point: np.asarray(log_density(point)[1]), mean, STEP * sd)
    found = []
    for members, block, border in zip(structure.own, curvature.blocks, curvature.border, strict=True):
        scale, identity = sd[members], np.eye(members.shape[1])
        values, vectors = np.linalg.eigh(block * scale[:, :, None] * scale[:, None, :])
        # Much wider than the approximation, or without an end, it is no better than that.
        good = np.all(values > 1e-2, axis=-1)
        values = np.where(good[:, None], values, 1.0)
        vectors = np.where(good[:, None, None], vectors, identity)
        roots = scale[:, :, None] * vectors / np.sqrt(values)[:, None, :]
        slopes = -roots @ (roots.transpose(0, 2, 1) @ border)
        slopes = np.where(good[:, None, None], slopes, 0.0)
        found.append(Conditionals(mean[members], slopes, WIDER * roots, mean[structure.shared]))
    return found


@dataclass(frozen=True)
class ByFactor:
    """Draws of the posterior with weights, made factor by factor.

    Attributes
    ----------
    points : numpy.ndarray, shape (draws, size)
        The own parameters are chosen among several, by their weights.
    log_ratios : numpy.ndarray, shape (draws,)
        The logarithms of the weights of what is shared.
    log_likelihoods : numpy.ndarray, shape (draws,)
    of_each : int
        How many draws of each data set's own parameters there were for one of what is shared.
    noise : float
        The variance of the log of the product of the estimates.
    pareto_k : numpy.ndarray, shape (factors,)
        Of each data set's own parameters, given what is shared.
    spread : numpy.ndarray, shape (factors,)
        The relative variance of a pair's mean ratio.
    """

    points: np.ndarray
    log_ratios: np.ndarray
    log_likelihoods: np.ndarray
    of_each: int
    noise: float
    pareto_k: np.ndarray
    spread: np.ndarray


def sample_by_factor(
    factorised: Factorised,
    shared: NormalMixture,
    given: list[Conditionals],
    own: np.ndarray,
    draws: int,
    rng: np.random.Generator,
) -> ByFactor:
    """Draw what is shared from a mixture, and each data set's own parameters from normal densities given it.

    Parameters
    ----------
    factorised : Factorised
    shared : NormalMixture
        Of what is shared.
    given : list of Conditionals
        Plate by plate.
    own : numpy.ndarray, shape (size,)
        The approximation's own widths: where they do better than the curvature, they are taken.
    draws : int
    rng : numpy.random.Generator
    """
    tried = shared.draw(TRIALS if len(factorised.names) < MANY else FEWER_TRIALS, rng)
    given = _best_of(factorised, given, own, tried, rng)
    ratios = np.array([_ratios(factorised, given, point, OF_EACH, rng)[1] for point in tried])
    spread = _variances(ratios)
    noise = float(np.sum(spread))
    most = min(MOST_OF_EACH, MOST_OF_ALL // max(1, draws * len(factorised.names)))
    pairs = int(np.clip(np.ceil(noise / NOISE), 1, max(1, most // 2)))
    of_each = 2 * pairs
    points = np.empty((draws, factorised.structure.size))
    log_ratios, log_likelihoods = np.empty(draws), np.empty(draws)
    drawn = shared.draw(draws, rng)
    log_densities = shared.log_density(drawn)
    factor = np.arange(len(factorised.names))
    for row, values in enumerate(drawn):
        made, each, likely, prior = _ratios(factorised, given, values, of_each, rng)
        chosen = np.argmax(each + rng.gumbel(size=each.shape), axis=0)
        with np.errstate(invalid="ignore"):
            log_ratios[row] = prior - log_densities[row] + np.sum(logsumexp(each, axis=0))
        log_ratios[row] -= len(factor) * np.log(of_each)
        log_likelihoods[row] = np.sum(likely[chosen, factor])
        points[row, factorised.structure.shared] = values
        start = 0
        for members, own in zip(factorised.structure.own, made, strict=True):
            here = chosen[start : start + len(members)]
            points[row, members] = own[here, np.arange(len(members))]
            start += len(members)
    log_ratios = np.where(np.isfinite(log_ratios), log_ratios, -np.inf)
    return ByFactor(points, log_ratios, log_likelihoods, of_each, noise / pairs, _shapes(ratios), spread)


def _best_of(
    factorised: Factorised,
    given: list[Conditionals],
    own: np.ndarray,
    tried: np.ndarray,
    rng: np.random.Generator,
) -> list[Conditionals]:
    """Return for each data set those normal densities whose ratios are the most even."""
    choices = [
        given,
        *([replace(part, factors=wider * part.factors) for part in given] for wider in MUCH_WIDER),
        [
            replace(
                part,
                slopes=np.zeros_like(part.slopes),
                factors=WIDER * own[members][:, :, np.newaxis] * np.eye(members.shape[1]),
            )
            for part, members in zip(given, factorised.structure.own, strict=True)
        ],
    ]
    uneven = np.array(
        [
            _variances(np.array([_ratios(factorised, choice, at, OF_EACH, rng)[1] for at in tried]))
            for choice in choices
        ]
    )
    # What others do better by chance alone is not worth a change.
    uneven[0] = np.minimum(uneven[0], np.where(uneven[0] < EVEN, 0.0, uneven[0]))
    best, start, found = np.argmin(uneven, axis=0), 0, []
    for plate, members in enumerate(factorised.structure.own):
        here, rows = best[start : start + len(members)], np.arange(len(members))
        slopes, factors = (
            np.array([getattr(choice[plate], name) for choice in choices])[here, rows]
            for name in ("slopes", "factors")
        )
        found.append(replace(given[plate], slopes=slopes, factors=factors))
        start += len(members)
    return found


def _ratios(
    factorised: Factorised,
    given: list[Conditionals],
    shared: np.ndarray,
    number: int,
    rng: np.random.Generator,
) -> tuple[list[np.ndarray], np.ndarray, np.ndarray, float]:
    """Draw own parameters given what is shared.

    Returns
    -------
    made : list of numpy.ndarray, shape (number, factors, numbers)
        Plate by plate.
    each : numpy.ndarray, shape (number, factors)
        The log ratios of density to approximation.
    log_likelihoods : numpy.ndarray, shape (number, factors)
    shared : float
        The log prior of what is shared.
    """
    made, log_densities = zip(*(part.draw(shared, number, rng) for part in given), strict=True)
    each = -np.concatenate(log_densities, axis=1)
    log_likelihoods = np.empty_like(each)
    point = np.empty(factorised.structure.size)
    point[factorised.structure.shared] = shared
    prior = -np.inf
    for row in range(number):
        for members, own in zip(factorised.structure.own, made, strict=True):
            point[members] = own[row]
        parts = factorised(point)
        each[row] += parts.each
        log_likelihoods[row] = parts.log_likelihoods
        prior = float(parts.shared)
    return list(made), each, log_likelihoods, prior


def _variances(ratios: np.ndarray) -> np.ndarray:
    """Return the relative variance of a pair's mean ratio, by data set, of (trials, number, factors)."""
    number = ratios.shape[1] // 2
    ratios = np.logaddexp(ratios[:, :number], ratios[:, number:])
    with np.errstate(invalid="ignore"):
        weights = np.exp(ratios - logsumexp(ratios, axis=1, keepdims=True))
    spread = number * np.sum(weights**2, axis=1) - 1.0
    return np.asarray(np.mean(np.nan_to_num(spread, nan=number - 1.0), axis=0) * number / (number - 1.0))


def _shapes(ratios: np.ndarray) -> np.ndarray:
    """Return Pareto's k of each data set's ratios, from (trials, number, factors)."""
    with np.errstate(invalid="ignore"):
        centred = ratios - logsumexp(ratios, axis=1, keepdims=True)
    flat = np.where(np.isnan(centred), -np.inf, centred).reshape(-1, ratios.shape[-1])
    if len(flat) < MIN_DRAWS:
        return np.full(flat.shape[1], np.inf)
    return np.array([weigh(column).pareto_k if np.any(column > -np.inf) else np.inf for column in flat.T])
