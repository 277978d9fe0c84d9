"""Pieces of HTML. Every text goes through `html_text`; what else there is in a page is written here."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from classy_pm.catalog.display import html_text


def head_of(stamp: str) -> str:
    """Return how a page begins: by this a report knows its own pages."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="classy-pm-report" content="{stamp}">'
    )


def document(title: str, body: str, *, stamp: str = "", script: str = "", data: Any = None) -> str:
    """Return a whole page, in which nothing but its own style and script is allowed.

    Parameters
    ----------
    title : str
        Any text.
    body : str
        HTML.
    stamp : str, optional
        What a later report recognises the page by.
    script : str, optional
        The name of a script in this folder.
    data : object, optional
        Plain data for the script.
    """
    style, code = resource("report.css"), resource(script) if script else ""
    policy = "; ".join(
        [
            "default-src 'none'",
            "img-src data:",
            f"style-src '{_digest(style)}'",
            f"script-src '{_digest(code)}'" if code else "script-src 'none'",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )
    # No text in JSON can end the element: `<` is written as an escape.
    block = json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    scripts = f'<script type="application/json" id="data">{block}</script>\n<script>{code}</script>\n'
    return (
        f"{head_of(stamp)}\n"
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>{html_text(title)}</title>\n<style>{style}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n{scripts if code else ''}</body>\n</html>\n"
    )


def table(
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    numbers: Sequence[int] = (),
    caption: str = "",
    name: str = "",
) -> str:
    """Return a table whose first column names the rows; the cells are HTML, the rest is text."""
    classes = ['class="number"' if place in numbers else "" for place in range(len(head))]
    heads = "".join(
        f'<th scope="col" {cls}>{html_text(text)}</th>' for cls, text in zip(classes, head, strict=True)
    )
    lines = []
    for row in rows:
        first, *rest = row
        cells = [f'<th scope="row" {classes[0]}>{first}</th>']
        cells += [f"<td {cls}>{cell}</td>" for cls, cell in zip(classes[1:], rest, strict=True)]
        lines.append(f"<tr>{''.join(cells)}</tr>")
    identity = f' id="{name}"' if name else ""
    title = f"<caption>{html_text(caption)}</caption>" if caption else ""
    text = (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{html_text(caption or "table")}">'
        f"<table{identity}>{title}<thead><tr>{heads}</tr></thead>\n"
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )
    return text.replace(" >", ">")


def pairs(title: str, lines: Iterable[tuple[str, str]], level: int = 2) -> str:
    """Return labels with their texts under a title; those without a label are a list."""
    lines = list(lines)
    if not any(label for label, _ in lines):
        content = "<ul>" + "".join(f"<li>{html_text(text)}</li>" for _, text in lines) + "</ul>"
    else:
        items = (f"<dt>{html_text(label)}</dt><dd>{html_text(text)}</dd>" for label, text in lines)
        content = f"<dl>{''.join(items)}</dl>"
    return f"<section><h{level}>{html_text(title)}</h{level}>{content}</section>"


@functools.cache
def resource(name: str) -> str:
    """Return a file that lies beside this module."""
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
