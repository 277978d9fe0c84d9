"""The page of a fit."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from classy_pm.catalog import facts
from classy_pm.catalog.display import html_text
from classy_pm.catalog.listing import FullFit
from classy_pm.catalog.report.html import document, pairs, table
from classy_pm.catalog.report.pictures import Picture


def page(full: FullFit, pictures: Sequence[Picture], problem: str, stamp: str) -> str:
    """Return the page.

    Parameters
    ----------
    full : FullFit
    pictures : sequence of Picture
    problem : str
        Why there are no pictures, or fewer; may be empty.
    stamp : str
        What a later report recognises the page by.
    """
    stored = full.stored
    title = " ".join(filter(None, [stored.name, stored.unique_tag])) or stored.fit_key[:12]
    parts = [
        '<nav><a href="../index.html">All fits</a></nav>',
        f"<header><h1>{html_text(title)}</h1></header>",
    ]
    if full.fault:
        parts.append(f'<p class="bad" role="alert">This fit cannot be read. {html_text(full.fault)}</p>')
    if full.notices:
        notes = "".join(f"<li>{html_text(text)}</li>" for text in full.notices)
        parts.append(f'<section class="notes"><h2>Notices</h2><ul>{notes}</ul></section>')
    parts.append(pairs("Fit", facts.facts(full)))
    rows = facts.summary_cells(full)
    if rows:
        head = facts.SUMMARY_HEAD
        cells = [[html_text(cell) for cell in row] for row in rows]
        content = table(head, cells, numbers=range(1, len(head)), caption="Summary of the posterior")
        parts.append(f"<section><h2>Posterior</h2>{content}</section>")
    if pictures or problem:
        figures = "".join(map(_figure, pictures))
        note = f"<p>{html_text(problem)}</p>" if problem else ""
        parts.append(f"<section><h2>Plots</h2>{figures}{note}</section>")
    groups = facts.ingredient_cells(full)
    if groups:
        inner = "".join(pairs(part, lines, level=3) for part, lines in groups.items())
        parts.append(f"<section><h2>What went into it</h2>{inner}</section>")
    parts += [pairs(name, lines) for name, lines in facts.further(full).items()]
    return document(title, "\n".join(parts), stamp=stamp)


def _figure(picture: Picture) -> str:
    code = base64.b64encode(picture.png).decode()
    size = f'width="{picture.width}" height="{picture.height}"'
    caption = html_text(picture.caption)
    image = f'<img src="data:image/png;base64,{code}" {size} alt="{caption}">'
    return f"<figure>{image}<figcaption>{caption}</figcaption></figure>"
