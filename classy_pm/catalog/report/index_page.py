"""The first page of a report: a table of all fits, to be sorted and searched."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any, NamedTuple

from classy_pm.catalog.display import finite, html_text, moment, number, plain, shortened
from classy_pm.catalog.listing import Labels
from classy_pm.catalog.records import is_hex
from classy_pm.catalog.report.html import document, table
from classy_pm.catalog.stored import StoredFit

HEAD = (
    *("fit", "name", "unique_tag", "search", "created (UTC)", "free", "log evidence"),
    *("max R-hat", "min ESS", "divergences", "status"),
)
NUMBERS = (5, 6, 7, 8, 9)
#: How much of what is known of a fit the search box looks through.
LONGEST = 2000
LONGEST_CELL = 60


class Row(NamedTuple):
    """A fit in the table, and why its file cannot be read, if so."""

    stored: StoredFit
    labels: Labels
    fault: str


def page(location: object, rows: Sequence[Row]) -> str:
    """Return the page."""
    name = PurePath(str(location)).name
    count = f"{len(rows)} fit{'' if len(rows) == 1 else 's'}"
    body = (
        f"<header><h1>{html_text(name)}</h1>\n"
        '<div id="tools" hidden><label for="search">Search</label> '
        '<input id="search" type="search" autocomplete="off" spellcheck="false" '
        'placeholder="name, tag, class, note"></div>\n'
        f'<p id="count" role="status">{count}</p></header>\n'
        + table(HEAD, [_cells(row) for row in rows], numbers=NUMBERS, caption="All fits", name="fits")
        + '\n<p><button id="more" type="button" hidden>Show more</button></p>'
    )
    data = {"values": [_values(row) for row in rows], "texts": [_text(row) for row in rows]}
    return document(name, body, script="report.js", data=data)


def _cells(row: Row) -> list[str]:
    stored = row.stored
    short = html_text(stored.fit_key[:12])
    link = f'<a href="fits/{stored.fit_key}.html">{short}</a>' if is_hex(stored.fit_key, 64) else short
    status = _status(row)
    evidence = number(stored.log_evidence)
    if evidence and stored.log_evidence_error:
        evidence += f" ± {number(stored.log_evidence_error, 2)}"
    return [
        link,
        *(
            html_text(shortened(plain(text), LONGEST_CELL))
            for text in (stored.name, stored.unique_tag, stored.sampler)
        ),
        html_text(moment(stored.created)),
        number(stored.n_free),
        evidence,
        "" if stored.max_rhat is None else f"{stored.max_rhat:.3f}",
        "" if stored.min_ess is None else f"{stored.min_ess:.0f}",
        number(stored.divergences),
        html_text(status) if status == "complete" else f'<strong class="bad">{html_text(status)}</strong>',
    ]


def _status(row: Row) -> str:
    return "unreadable" if row.fault and row.stored.status == "complete" else row.stored.status


def _values(row: Row) -> list[Any]:
    """Return what the columns are sorted by."""
    stored = row.stored
    texts = [stored.fit_key[:12], stored.name, stored.unique_tag, stored.sampler, stored.created]
    numbers = [stored.n_free, stored.log_evidence, stored.max_rhat, stored.min_ess, stored.divergences]
    return [*texts, *map(finite, numbers), _status(row)]


def _text(row: Row) -> str:
    """Return what the search box looks through."""
    stored, labels = row.stored, row.labels
    notes = [
        f"{key}={value if isinstance(value, str) else json.dumps(finite(value), ensure_ascii=False)}"
        for key, value in labels.info.items()
    ]
    classes = [f"{path} {ref}" for path, ref in labels.classes]
    words = [stored.name, stored.unique_tag, stored.sampler, stored.created, _status(row), stored.fit_key]
    return " ".join([*words, *labels.tags, *notes, *classes])[:LONGEST]
