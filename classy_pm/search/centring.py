"""How far members of populations are centred: by how much the data say of each, beside its parent.

What the data say of a member is the curvature of its log likelihood near the mode, with the other parameters
of its data set left free.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from classy_pm.errors import Faults, SettingError, did_you_mean
from classy_pm.graph.centring import Centring
from classy_pm.plan import Plan
from classy_pm.search.arrowhead import Scale, Structure
from classy_pm.search.climb import Climber, distinct, root

__all__ = ["WORDS", "centring_of", "recorded", "settling", "share_faults"]

# What can be asked for in words, as shares.
WORDS = {"auto": None, "centred": 1.0, "noncentred": 0.0}
# How often the information of the data and the mode are looked for in turn.
ROUNDS = 3
# Of how many members at least the scale of a parent is taken to be known.
FEWEST = 0.2


def centring_of(plan: Plan, wanted: str | Mapping[str, Any]) -> Centring | None:
    """Return the centring of a plan, None if nothing in it is drawn from a parent.

    Parameters
    ----------
    plan : Plan
    wanted : {"auto", "centred", "noncentred"} or mapping of str to them or to shares

    Raises
    ------
    SettingError
        If a parameter that is named cannot be centred; all faults at once.
    """
    members = Centring(plan).members
    if isinstance(wanted, str):
        shares = dict.fromkeys(members, WORDS[wanted])
    else:
        faults = Faults()
        for name in wanted:
            if name not in members:
                known = did_you_mean(name, members) if members else "No parameter is."
                faults.add(name, f"is no parameter that is drawn from a parent. {known}")
        faults.raise_as(SettingError, "The setting centring= does not fit the model.")
        shares = {name: _share(wanted.get(name, "auto")) for name in members}
    return Centring(plan, shares) if members else None


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


def settling(
    plan: Plan, centring: Centring | None, scale: Scale, structure: Structure | None
) -> Settling | None:
    """Return what chooses the shares, where that is to be done; until then members are offsets.

    Parameters
    ----------
    plan : Plan
    centring : Centring, optional
    scale : Scale
    structure : Structure, optional
        Which of a point's numbers belong to which factor, if there are too many for a matrix.
    """
    if centring is None or centring.settled:
        return None
    centring.set(share=0.0, information=0.0)
    return Settling(plan, centring, scale, structure)


@dataclass(frozen=True)
class Settling:
    """Moves from the mode of members and parents to that of the parents, and chooses the shares there.

    The density of members and parents together has no maximum of worth: where a parent is narrow it is
    without end, and where members are offsets it is greatest where the parent is wide. In between is the
    density of the parents alone, which the curvatures of the members tell. The fields are those of
    `settling`.
    """

    plan: Plan
    centring: Centring
    scale: Scale
    structure: Structure | None

    def __call__(self, climber: Climber, tops: list[np.ndarray]) -> list[np.ndarray]:
        """Return points near the modes of the parents' density, best first, on the scale of the shares."""
        for _ in range(ROUNDS):
            self._look(climber, tops[0])
            tops = distinct(climber, [climber.climb(top) for top in tops])
        shares = self._look(climber, tops[0])
        vectors = self.scale.vectors(np.array(tops))
        self.centring.set(information=0.0)
        for name, member in self.centring.members.items():
            wanted = self.centring.wanted.get(name)
            member.share[...] = shares[name] if wanted is None else wanted
        self.centring.settled = True
        return list(self.scale.points(vectors))

    def _look(self, climber: Climber, point: np.ndarray) -> dict[str, np.ndarray]:
        """Write down what the data say of each member at a point, and return the shares that suit it."""
        vector = self.scale.vectors(point[np.newaxis])[0]
        value_of = self.plan.layout.evaluator(self.plan.split(vector))
        variances, shares = self._variances(climber, point), {}
        for name, member in self.centring.members.items():
            precision = 1.0 / variances[self.scale.places[name]].reshape(member.share.shape)
            prior = member.sharpness(value_of)
            strength = np.maximum(precision / prior - 1.0, 0.0)
            member.information[...] = strength / member.scale(value_of) ** 2
            shares[name] = _shares(strength)
        return shares

    def _variances(self, climber: Climber, point: np.ndarray) -> np.ndarray:
        """Return the variances of all members, on the scale of the offsets, while their parents are fixed."""
        if self.structure is not None:
            return self.structure.curvature(climber.gradient, point).own_variances(point.size)
        curvature = climber.curvature(point)
        found = np.full(point.size, np.nan)
        parents = self._parents()
        for name in self.centring.members:
            own = np.arange(point.size)[self.scale.places[name]]
            free = np.union1d(np.setdiff1d(np.arange(point.size), parents), own)
            scatter, _ = root(curvature[np.ix_(free, free)])
            found[own] = np.sum(scatter**2, axis=1)[np.searchsorted(free, own)]
        return found

    def _parents(self) -> np.ndarray:
        """Return the places of the parameters that others are drawn from."""
        upstream = set()
        for member in self.centring.members.values():
            for _, value in member.prior.inputs():
                upstream |= {value, *_ancestors(value)}
        chosen = [parameter.name for parameter in self.plan.parameters if parameter.prior in upstream]
        every = np.arange(sum(place.stop - place.start for place in self.scale.places.values()))
        return np.concatenate([every[self.scale.places[name]] for name in chosen]) if chosen else every[:0]


def _ancestors(item: Any) -> set[Any]:
    """Return all that an expression is made of, or drawn from."""
    found: set[Any] = set()
    for _, value in item.inputs():
        found |= {value, *_ancestors(value)}
    return found


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


def recorded(centring: Centring) -> dict[str, Any]:
    """Return the shares as they are kept with a result."""
    return {name: np.round(member.share, 3).tolist() for name, member in centring.members.items()}
