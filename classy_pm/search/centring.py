"""How far members of populations are centred: by how much the data say of each, beside its parent.

What the data say of a member is the curvature of its log likelihood, with the other parameters of its data
set left free, at the mode of what the data sets share.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from classy_pm.errors import Faults, SettingError, did_you_mean
from classy_pm.plan import Plan
from classy_pm.search.arrowhead import Scale, Structure, standard_deviations
from classy_pm.search.climb import WithGradient
from classy_pm.search.marginal import MarginalClimber

if TYPE_CHECKING:
    from classy_pm.graph.centring import Centring
    from classy_pm.search.problem import Problem

__all__ = ["WORDS", "centring_of", "recorded", "settling", "share_faults"]

# What can be asked for in words, as shares.
WORDS = {"auto": None, "centred": 1.0, "noncentred": 0.0}
# Two modes are one that are less than this apart, in standard deviations.
NEXT = 0.5
# Of how many members at least the scale of a parent is taken to be known.
FEWEST = 0.2


def centring_of(plan: Plan, wanted: str | Mapping[str, Any]) -> Centring:
    """Return the centring of a plan, which has no members if nothing in it is drawn from a parent.

    Parameters
    ----------
    plan : Plan
    wanted : {"auto", "centred", "noncentred"} or mapping of str to them or to shares

    Raises
    ------
    SettingError
        If a parameter that is named cannot be centred; all faults at once.
    """
    from classy_pm.graph.centring import Centring

    centring = Centring(plan)
    members = centring.members
    if isinstance(wanted, str):
        centring.wanted = dict.fromkeys(members, WORDS[wanted])
        return centring
    faults = Faults()
    for name in wanted:
        if name not in members:
            known = did_you_mean(name, members) if members else "No parameter is."
            faults.add(name, f"is no parameter that is drawn from a parent. {known}")
    faults.raise_as(SettingError, "The setting centring= does not fit the model.")
    centring.wanted = {name: _share(wanted.get(name, "auto")) for name in members}
    return centring


def _share(choice: Any) -> float | None:
    return WORDS[choice] if isinstance(choice, str) else float(choice)


def share_faults(wanted: str | Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the faults of a setting that need no model to be seen."""
    if isinstance(wanted, str):
        return
    for name, choice in wanted.items():
        known = isinstance(choice, str) and choice in WORDS
        number = isinstance(choice, (int, float)) and not isinstance(choice, bool) and 0.0 <= choice <= 1.0
        if not (known or number):
            yield (
                "centring",
                f"{choice!r} for {name} is none of {', '.join(map(repr, WORDS))}, nor from 0 to 1",
            )


def settling(problem: Problem, scale: Scale, structure: Structure | None) -> Settling | None:
    """Return what finds the modes of a hierarchy and chooses the shares there; None where there is no need.

    Until then members are offsets.
    """
    centring = problem.centring
    if centring is None:
        return None
    if structure is None:
        # Of offsets the joint density has a maximum at least.
        for name, member in centring.members.items():
            wanted = centring.wanted.get(name)
            member.share[...] = 0.0 if wanted is None else wanted
        return None
    if centring.modes is None:
        centring.set(0.0)
    return Settling(problem.plan, centring, scale, structure)


@dataclass(frozen=True)
class Settling:
    """Finds the modes of what data sets share, and chooses there how far their members are centred.

    The fields are what `settling` was given.
    """

    plan: Plan
    centring: Centring
    scale: Scale
    structure: Structure

    def __call__(self, log_density: WithGradient, starts: np.ndarray) -> list[np.ndarray]:
        """Return the modes above some points, best first, on the scale of the shares.

        Parameters
        ----------
        log_density : callable
            Gives the log density and its gradient at a point.
        starts : numpy.ndarray, shape (number, size)
            The best first.
        """
        if self.centring.modes is not None:
            return list(self.scale.points(self.centring.modes))
        climber = MarginalClimber(log_density, self.structure)
        tops = [climber.climb(start) for start in starts]
        tops.sort(key=climber.value, reverse=True)
        curvature = self.structure.curvature(climber.gradient, tops[0])
        tops = _apart(tops, standard_deviations(curvature.root()[0]))
        self.centring.modes = self.scale.vectors(np.array(tops))
        self._choose(tops[0], curvature.variances())
        return list(self.scale.points(self.centring.modes))

    def no_wider(self, scatter: Any, widest: np.ndarray) -> Any:
        """Return a mode's scatter, shortened where what is shared would be spread wider than by its prior.

        Along a parent's scale the density of members and parents together hardly falls off, with few members.
        """
        shared = self.structure.shared
        rows = scatter[shared]
        rows = rows.toarray() if sparse.issparse(rows) else rows
        too_wide = np.max(np.abs(rows) / widest[shared, np.newaxis], axis=0, initial=1.0)
        if sparse.issparse(scatter):
            return sparse.csr_array(scatter.multiply(1.0 / too_wide[np.newaxis]))
        return scatter / too_wide

    def _choose(self, point: np.ndarray, variances: np.ndarray) -> None:
        """Set the shares by what the data say of each member at a point."""
        vector = self.scale.vectors(point[np.newaxis])[0]
        value_of = self.plan.layout.evaluator(self.plan.split(vector))
        for name, member in self.centring.members.items():
            precision = 1.0 / variances[self.scale.places[name]].reshape(member.share.shape)
            strength = np.maximum(precision / member.sharpness(value_of) - 1.0, 0.0)
            wanted = self.centring.wanted.get(name)
            member.share[...] = _shares(strength) if wanted is None else wanted


def _apart(tops: list[np.ndarray], widths: np.ndarray) -> list[np.ndarray]:
    """Return points that are not next to an earlier one, in standard deviations."""
    apart: list[np.ndarray] = []
    for top in tops:
        if all(np.max(np.abs(top - other) / widths) > NEXT for other in apart):
            apart.append(top)
    return apart


def _shares(strength: np.ndarray) -> np.ndarray:
    """Return the shares that suit members of which the data know so many times more than the parent does.

    They are those of a parent that is narrower by one standard deviation, for it is there that members which
    are centred too much have to follow it. The Fisher information of the logarithm of a normal parent's scale
    is twice the sum of the squared shares.
    """
    shares = strength / (1.0 + strength)
    uncertainty = 1.0 / np.sqrt(2.0 * max(float(np.sum(shares**2)), FEWEST))
    narrower = strength * np.exp(-2.0 * uncertainty)
    return np.asarray(narrower / (1.0 + narrower))


def recorded(centring: Centring | None) -> dict[str, Any] | None:
    """Return the shares as they are kept with a result."""
    if centring is None or not centring.members:
        return None
    return {name: np.round(member.share, 3).tolist() for name, member in centring.members.items()}
