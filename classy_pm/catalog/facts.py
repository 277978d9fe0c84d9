"""One fit as lines of text, for the terminal and for the pages of a report alike.

All texts are `plain`: what cannot be printed is escaped. HTML has still to escape what are tags to it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from classy_pm.catalog.display import finite, moment, number, plain
from classy_pm.catalog.ingredients import Change, Ingredient, ingredients
from classy_pm.catalog.records import SUMMARY

if TYPE_CHECKING:
    from classy_pm.catalog.listing import FullFit
    from classy_pm.catalog.records import ParameterRecord

__all__ = [
    "SUMMARY_HEAD",
    "facts",
    "file_names",
    "further",
    "ingredient_cells",
    "parameter_rows",
    "place_of",
    "summary_cells",
]

Pairs = list[tuple[str, str]]

SUMMARY_HEAD = ("parameter", "median", "1σ lower", "1σ upper", "mean", "sd", "best", "ESS", "R-hat")


def facts(full: FullFit) -> Pairs:
    """Return what is true of a fit as a whole, each with its label."""
    stored = full.stored
    evidence = number(stored.log_evidence)
    if evidence and stored.log_evidence_error:
        evidence += f" ± {number(stored.log_evidence_error, 2)}"
    seed = full.attributes.get("random_seed")
    pairs = [
        ("identity", stored.fit_key),
        ("name", stored.name),
        ("unique_tag", stored.unique_tag),
        ("kind", "" if stored.kind == "fit" else stored.kind),
        ("parent", stored.parent_key or ""),
        ("status", stored.status),
        ("created", f"{moment(stored.created)} UTC"),
        ("search", stored.sampler),
        ("seconds", number(stored.seconds, 4)),
        ("free parameters", number(stored.n_free)),
        ("max log likelihood", number(stored.max_log_likelihood)),
        ("log evidence", evidence),
        ("LOO", number(stored.loo)),
        ("max R-hat", number(stored.max_rhat, 4)),
        ("min ESS", number(stored.min_ess, 4)),
        ("divergences", number(stored.divergences)),
        ("random seed", "" if seed is None else str(seed)),
    ]
    return [(label, plain(text)) for label, text in pairs if text]


def parameter_rows(full: FullFit) -> list[dict[str, Any]]:
    """Return the parameters with all that is known of their posterior, as plain data."""
    names = ("path", "role", "prior", "value", *SUMMARY)
    return [{name: getattr(item, name) for name in names} for item in _parameters(full)]


def summary_cells(full: FullFit) -> list[list[str]]:
    """Return the summary of the posterior as text: a row a parameter, free or derived."""
    rows = []
    for item in _parameters(full):
        if item.role == "fixed":
            continue
        values = (item.median, item.lo1, item.hi1, item.mean, item.sd, item.ml)
        cells = [_digits(value, item.sd) for value in values]
        ess = "" if finite(item.ess) is None else f"{item.ess:.0f}"
        rhat = "" if finite(item.rhat) is None else f"{item.rhat:.3f}"
        rows.append([plain(item.path), *cells, ess, rhat])
    return rows


def ingredient_cells(full: FullFit) -> dict[str, Pairs]:
    """Return what went into a fit by its parts, each line with its place."""
    parts: dict[str, Pairs] = {}
    for item in ingredients(full.record.payload if full.record else {}):
        parts.setdefault(plain(item.part), []).append((plain(place_of(item)), plain(item.text)))
    return parts


def place_of(item: Ingredient | Change) -> str:
    """Return where something stands, in words: a part as a whole is its class, or its name."""
    return item.place or ("name" if item.part == "search" else "class")


def further(full: FullFit) -> dict[str, Pairs]:
    """Return what else belongs to a fit: notes, tags, versions and files, each with its title."""
    stored, record = full.stored, full.record
    hashes = [("sha256", stored.sha256), ("bytes", str(stored.nbytes))]
    for name in ("model_hash", "data_hash", "likelihood_hash", "search_hash"):
        hashes.append((name, getattr(stored, name) or ""))
    groups = {
        "Info": [(plain(key), _note(value)) for key, value in full.labels.info.items()],
        "Tags": [("", plain(tag)) for tag in full.labels.tags],
        "Versions": [
            (plain(key), plain(value)) for key, value in (record.versions if record else {}).items()
        ],
        "Hashes": [(label, plain(text)) for label, text in hashes if text],
        "Files": [("", plain(name)) for name in file_names(full)],
    }
    return {title: pairs for title, pairs in groups.items() if pairs}


def file_names(full: FullFit) -> list[str]:
    """Return the names of a fit's files, in the catalogue's folder of files."""
    folder = full.stored.catalog.layout.files
    paths = [full.stored.path, *full.files] if full.record else full.files
    return [path.relative_to(folder).as_posix() for path in paths]


def _parameters(full: FullFit) -> tuple[ParameterRecord, ...]:
    return full.record.parameters if full.record else ()


def _note(value: Any) -> str:
    return plain(value) if isinstance(value, str) else plain(json.dumps(finite(value), ensure_ascii=False))


def _digits(value: float | None, sd: float | None) -> str:
    if finite(value) is None or value is None:
        return ""
    from classy_pm.result.table import digits_for

    return digits_for(float(value), float("nan") if sd is None else float(sd))
