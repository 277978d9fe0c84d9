"""What identifies a fit: everything that determines its answer, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from classy_pm.catalog import analysis_identity, describe, fit_key, part_key
from classy_pm.errors import IdentityError
from classy_pm.likelihood import Analysis
from classy_pm.likelihood.joint import JointAnalysis
from classy_pm.plan import Plan

if TYPE_CHECKING:
    from classy_pm.search.base import Search

__all__ = ["Identity"]


@dataclass(frozen=True)
class Identity:
    """A fit's identity, taken before anything runs.

    Attributes
    ----------
    key : str
        Equal for equal model, data, search and seed.
    description : dict
        What went into it, in plain data.
    hashes : dict of str
        Of each part, to find fits that have it in common.
    factor_hashes : dict of str
        Of a graph of factors: of the data of each, by its name, as of a fit of these alone.
    """

    key: str
    description: dict[str, Any]
    hashes: dict[str, str]
    factor_hashes: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, search: Search, plan: Plan, analysis: Analysis) -> Identity:
        """Take the identity of a fit.

        Raises
        ------
        IdentityError
            If something in the analysis cannot be identified; the text names its path.
        """
        payload = {
            "model": plan.identity,
            "data": _identity_of(analysis),
            "likelihood": {"likelihood": _class_of(analysis)},
            "search": {"search": type(search).__name__, "settings": search.identifying_settings(plan)},
            "extra": {"random_seed": search.random_seed, "unique_tag": search.unique_tag},
        }
        description: Any = describe(payload)
        hashes = {name: part_key(part) for name, part in payload.items()}
        observed = {**hashes, "observed": _observed(analysis, payload["data"])}
        of_each = {}
        if isinstance(analysis, JointAnalysis):
            of_each = {name: part_key(_without_classes(part)) for name, part in payload["data"].items()}
        return cls(fit_key(payload), description, observed, of_each)

    def changes(self, search: Search, plan: Plan, analysis: Analysis) -> list[str]:
        """Say whether the analysis is another one now than when the identity was taken."""
        try:
            same = part_key(_identity_of(analysis)) == self.hashes["data"]
        except IdentityError:
            same = False
        if same:
            return []
        text = (
            f"{type(analysis).__name__} was changed while it was fitted: if its data were, the draws are of "
            "no use; if it counts or caches on itself, the fit will not be found again in a catalogue."
        )
        return [text]


def _identity_of(analysis: Analysis) -> dict[str, Any]:
    """Return what the answer of an analysis depends on; of a joint one, what that of each factor does."""
    if isinstance(analysis, JointAnalysis):
        return {name: analysis_identity(part, Analysis) for name, part in analysis.analyses.items()}
    return analysis_identity(analysis, Analysis)


def _class_of(analysis: Analysis) -> Any:
    if isinstance(analysis, JointAnalysis):
        return list(dict.fromkeys(type(part) for part in analysis.analyses.values()))
    return type(analysis)


def _observed(analysis: Analysis, data: dict[str, Any]) -> str:
    """Return the hash of the data alone, whatever classes of analysis they are in."""
    if isinstance(analysis, JointAnalysis):
        return part_key({name: _without_classes(identity) for name, identity in data.items()})
    return part_key(_without_classes(data))


def _without_classes(identity: dict[str, Any]) -> dict[str, Any]:
    return {name: part for name, part in identity.items() if name not in ("class", "references")}
