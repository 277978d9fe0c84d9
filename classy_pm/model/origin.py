"""Where a prior comes from that was made of another fit's posterior."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Origin"]


@dataclass(frozen=True)
class Origin:
    """The fit of whose posterior a prior was made, and how: all that determines its numbers.

    Attributes
    ----------
    fit : str
        The identity of that fit.
    parameter : str
        Whose posterior it was, by its name in that fit.
    rule : str
        How the prior was made of it.
    settings : tuple of (str, str)
        What else the numbers depend on, widths and limits, each as exact text.
    factor : str
        Of a graph of factors, the data set in whose model the parameter has this name.
    """

    fit: str
    parameter: str
    rule: str
    settings: tuple[tuple[str, str], ...] = ()
    factor: str = ""

    def payload(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "fit": self.fit,
            "factor": self.factor,
            "parameter": self.parameter,
            "rule": self.rule,
            "settings": dict(self.settings),
        }

    @classmethod
    def of_payload(cls, data: dict[str, Any]) -> Origin:
        """Return what `payload` has written."""
        settings = tuple((str(name), str(text)) for name, text in data["settings"].items())
        named = {name: str(data[name]) for name in ("fit", "parameter", "rule", "factor")}
        return cls(settings=settings, **named)
