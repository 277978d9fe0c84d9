"""Whether the draws of the objects determine the answer for their parent.

That the variance of the log likelihood estimate is below one says little: its error may be the same for all
hyperparameters, and so do no harm, or may have kept the posterior from where it would have been large.
Here it is looked at how far the posterior of the hyperparameters moves, in its own standard deviations, if
a part of each object's draws is left out: the jackknife's bias and standard error, by weighing the draws of
the hyperparameters anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from scipy.stats import qmc

from classy_pm.likelihood.analysis import Afterword
from classy_pm.study.posteriors import BLOCKS
from classy_pm.study.selection import JointSelection

if TYPE_CHECKING:
    from classy_pm.study.batches import Batch
    from classy_pm.study.weighing import PopulationAnalysis

__all__ = ["GROUP", "LIMIT", "Trust", "examine", "objects_to_refit"]

#: By so many posterior standard deviations a hyperparameter may be off.
LIMIT = 0.2
#: The group of the tree with what is known of each object.
GROUP = "population"
# At how many draws of the hyperparameters it is looked at.
DRAWS = 200
# How many points of the parent show its mass outside of the objects' priors, as a power of two.
POINTS = 9
# At how many other sets of points the share that a survey finds is computed.
SCRAMBLINGS = 2
# So many objects are named.
NAMED = 5
# A part of the draws that has all of the weight would leave nothing.
MOST = 1.0 - 1e-9


@dataclass(frozen=True)
class Trust:
    """How far the draws of the objects determine the answer.

    Attributes
    ----------
    bias, noise : numpy.ndarray, shape (hyperparameters,)
        By how many posterior standard deviations each hyperparameter is off, and the standard error of that.
    outside : numpy.ndarray, shape (hyperparameters,)
        By how many it would move if objects at the limits of their priors could be beyond them.
    selected : numpy.ndarray, shape (hyperparameters,)
        By how many it would move if the share that a survey finds were computed at other points.
    share : numpy.ndarray, shape (objects,)
        Which part of the squared error comes from each object.
    effective : numpy.ndarray, shape (objects,)
        How many independent draws the weighted draws of each are worth, on average over the posterior.
    variance : float
        Of the log likelihood, on average over the posterior.
    """

    bias: np.ndarray
    noise: np.ndarray
    outside: np.ndarray
    selected: np.ndarray
    share: np.ndarray
    effective: np.ndarray
    variance: float

    @property
    def off(self) -> np.ndarray:
        """By how many posterior standard deviations each hyperparameter may be off."""
        return np.hypot(self.bias, self.noise)


def measure(analysis: PopulationAnalysis, vectors: np.ndarray) -> Trust:
    """Measure it at draws of the hyperparameters.

    Parameters
    ----------
    analysis : PopulationAnalysis
    vectors : numpy.ndarray, shape (draws, hyperparameters)

    Notes
    -----
    Quenouille (1956) and Tukey (1958), the jackknife; here of the posterior mean, with a part of the draws of
    each object left out at a time.
    """
    batches = analysis.batches
    places = np.unique(np.linspace(0, len(vectors) - 1, min(DRAWS, len(vectors))).astype(int))
    vectors = vectors[places]
    sd = np.std(vectors, axis=0)
    z = (vectors - np.mean(vectors, axis=0)) / np.where(sd > 0.0, sd, 1.0)
    values = [analysis.parent.values_at(vector) for vector in vectors]
    left_out = np.zeros((BLOCKS, len(vectors)))
    effective = np.zeros(len(batches))
    of_each, error = np.zeros((2, len(batches), z.shape[1]))
    variance = 0.0
    for batch in batches:
        slopes = np.zeros((BLOCKS, len(batch.starts), z.shape[1]))
        lengths = batches.lengths[batch.objects]
        edges = _edges(batch, lengths)
        for number, at in enumerate(values):
            share = _shares(analysis.log_weights(at, batch), batch, lengths)
            of_block = np.add.reduceat(share, edges.ravel()).reshape(edges.shape)
            change = np.log1p(-np.minimum(of_block, MOST))
            left_out[:, number] += np.sum(change, axis=0)
            slopes += change.T[:, :, np.newaxis] * z[number] / len(z)
            worth = 1.0 / np.add.reduceat(share**2, batch.starts)
            effective[batch.objects] += worth / len(z)
            spread = np.maximum(1.0 / worth - 1.0 / lengths, 0.0) / batches.efficiency[batch.objects]
            variance += float(np.sum(spread)) / len(z)
        of_each[batch.objects], error[batch.objects] = _jackknife(slopes)
    weights = np.exp(left_out - np.max(left_out, axis=1, keepdims=True))
    means = weights @ z / np.sum(weights, axis=1, keepdims=True)
    bias, noise = _jackknife(means)
    parts = of_each * np.sum(of_each, axis=0) + error**2
    total = np.sum(parts)
    return Trust(
        bias=bias,
        noise=noise,
        outside=_outside(analysis, vectors, z),
        selected=_selected(analysis, values, z),
        share=np.sum(parts, axis=1) / (total if total > 0.0 else 1.0),
        effective=effective * batches.efficiency,
        variance=variance,
    )


def _edges(batch: Batch, lengths: np.ndarray) -> np.ndarray:
    """Return where the parts of each object's draws begin, shape (objects, parts)."""
    return batch.starts[:, np.newaxis] + lengths[:, np.newaxis] * np.arange(BLOCKS) // BLOCKS


def _shares(log_weights: np.ndarray, batch: Batch, lengths: np.ndarray) -> np.ndarray:
    """Return each draw's share of its object's weight; zero in rows of none."""
    from classy_pm.study.weighing import sums_of_logs

    log_weights = np.where(np.isnan(log_weights), -np.inf, log_weights)
    total = sums_of_logs(log_weights, batch.starts)
    counts = np.diff([*batch.starts, len(log_weights)])
    with np.errstate(invalid="ignore"):
        share = np.exp(log_weights - np.repeat(total, counts))
    # An object that no draw of can be: all draws are as bad.
    return np.where(np.isnan(share), np.repeat(1.0 / lengths, counts), share)


def _jackknife(means: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return bias and standard error from what is found where each part is left out, along the first axis.

    What is found with all of them is zero.
    """
    count = len(means)
    middle = np.mean(means, axis=0)
    return (count - 1) * middle, np.sqrt((count - 1) / count * np.sum((means - middle) ** 2, axis=0))


def _outside(analysis: PopulationAnalysis, vectors: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Return how far the hyperparameters would move if no prior ended where an object's draws touch it."""
    touching = analysis.batches.touching
    if not touching:
        return np.zeros(z.shape[1])
    unit = qmc.Sobol(len(analysis.parent.paths), seed=0).random_base2(POINTS).T
    x = analysis.parent.draws(vectors, unit)
    limits, counts = np.unique(np.array([limit for _, limit in touching]), axis=0, return_counts=True)
    lost = np.zeros(len(vectors))
    for limit, count in zip(limits, counts, strict=True):
        lower, upper = limit[:, 0, np.newaxis], limit[:, 1, np.newaxis]
        inside = np.mean(np.all((x >= lower) & (x <= upper), axis=1), axis=-1)
        lost += count * np.log(np.maximum(inside, 0.5 / x.shape[-1]))
    return -np.mean(z * (lost - np.mean(lost))[:, np.newaxis], axis=0)


def _selected(analysis: PopulationAnalysis, values: list[Any], z: np.ndarray) -> np.ndarray:
    """Return how far the hyperparameters would move if the share that is found were of other points."""
    selection = analysis.selection
    if not isinstance(selection, JointSelection):
        return np.zeros(z.shape[1])
    moves = []
    for seed in range(1, 1 + SCRAMBLINGS):
        unit = selection.points(seed)
        change = np.array([selection.log_share(at, unit) - selection.log_share(at) for at in values])
        with np.errstate(invalid="ignore"):
            changes = z * (change - np.mean(change))[:, np.newaxis]
        moves.append(-len(analysis.batches) * np.mean(changes, axis=0))
    # Where other points find nothing, nothing is known.
    return np.nan_to_num(np.sqrt(np.mean(np.square(moves), axis=0)), nan=np.inf)


def objects_to_refit(share: np.ndarray, off: float) -> np.ndarray:
    """Return the numbers of the fewest objects without which the rest would be half the limit off at most.

    Parameters
    ----------
    share : numpy.ndarray, shape (objects,)
        Of the squared error.
    off : float
        The error, of the hyperparameter that has the largest.
    """
    order = np.argsort(-share, kind="stable")
    rest = np.maximum(1.0 - np.cumsum(share[order]), 0.0) * off**2
    return np.sort(order[: int(np.argmax(rest <= (0.5 * LIMIT) ** 2)) + 1])


def examine(analysis: PopulationAnalysis, vectors: np.ndarray, notices: Sequence[str] = ()) -> Afterword:
    """Say of draws of the hyperparameters how far they can be trusted.

    Parameters
    ----------
    analysis : PopulationAnalysis
    vectors : numpy.ndarray, shape (draws, hyperparameters)
    notices : sequence of str
        What is to be said besides.
    """
    batches, names = analysis.batches, analysis.parent.plan.element_names
    if len(vectors) < 2:
        return Afterword(
            notices=[
                *notices,
                "Of a single best point it cannot be seen whether the objects' draws determine it: use NUTS.",
            ],
            attributes={"facts": [["Objects", str(len(batches))]]},
        )
    trust = measure(analysis, vectors)
    least = int(np.argmin(trust.effective))
    off = dict(zip(names, trust.off.tolist(), strict=True))
    dataset = xr.Dataset(
        {
            "effective_draws": ("object", trust.effective),
            "draws": ("object", batches.lengths),
            "share_of_error": ("object", trust.share),
        },
        coords={"object": np.array(batches.names)},
    )
    warnings = list(_notices(analysis, trust))
    worst = float(np.max(trust.off))
    told = ", ".join(f"{value:.2f} sd for {name}" for name, value in off.items())
    spread = (
        f"{len(batches)}; effective draws of each: {np.median(trust.effective):.0f}, the median, and "
        f"{trust.effective[least]:.0f} at least ({batches.names[least]})"
    )
    return Afterword(
        groups={GROUP: dataset},
        notices=[*notices, *warnings],
        attributes={
            "facts": [["Objects", spread], ["Error by their number", f"{told} (at most {LIMIT} is wanted)"]],
            "population": {
                "parent": analysis.parent.text,
                "objects": len(batches),
                "determined": bool(worst <= LIMIT),
                "off": off,
                "bias": dict(zip(names, trust.bias.tolist(), strict=True)),
                "noise": dict(zip(names, trust.noise.tolist(), strict=True)),
                "selected": dict(zip(names, trust.selected.tolist(), strict=True)),
                "outside": dict(zip(names, trust.outside.tolist(), strict=True)),
                "variance": trust.variance,
                "warnings": warnings,
            },
        },
    )


def _notices(analysis: PopulationAnalysis, trust: Trust) -> Iterator[str]:
    names, objects = analysis.parent.plan.element_names, analysis.batches.names
    worst = int(np.argmax(trust.off))
    if trust.off[worst] > LIMIT:
        needed = objects_to_refit(trust.share, float(trust.off[worst]))
        first = needed[np.argsort(-trust.share[needed], kind="stable")][:NAMED]
        told = ", ".join(objects[place] for place in first)
        yield (
            f"The draws of the objects do not determine the answer: `{names[worst]}` is off by about "
            f"{trust.bias[worst]:+.2f} posterior standard deviations, give or take {trust.noise[worst]:.2f}, "
            f"for want of draws where the parent is (at most {LIMIT} is wanted). "
            f"{len(needed)} of {len(objects)} objects need others, first of all {told}: "
            "fit(refit=...) fits these again, or fit them yourself with many more draws."
        )
    worst = int(np.argmax(trust.selected))
    if trust.selected[worst] > LIMIT:
        yield (
            "The share of the objects that the survey finds is not known well enough: computed at other "
            f"points, it moves `{names[worst]}` by {trust.selected[worst]:.2f} posterior standard deviations "
            f"(at most {LIMIT} is wanted). Give the selection as functions of one parameter each, or make it "
            "smoother."
        )
    worst = int(np.argmax(np.abs(trust.outside)))
    if abs(trust.outside[worst]) > LIMIT:
        touching = analysis.batches.touching
        told = ", ".join(objects[place] for place, _ in touching[:NAMED])
        yield (
            f"The parent reaches beyond the priors of {len(touching)} objects whose draws touch a limit of "
            f"theirs ({told}): what they may be there is not counted, which moves `{names[worst]}` by up to "
            f"{abs(trust.outside[worst]):.2f} posterior standard deviations. Fit them with wider priors, "
            "or give the parent the same limits."
        )
