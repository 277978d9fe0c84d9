"""Texts from files made safe to look at: in a terminal, in HTML, in a spreadsheet.

A name in a catalogue is whatever its maker wrote. It may move the cursor, turn the direction of
writing, close a tag, or be a formula; shown by these functions it is only ever read.
"""

from __future__ import annotations

import html
import math
import unicodedata
from collections.abc import Sequence

__all__ = ["csv_cell", "finite", "html_text", "moment", "number", "plain", "shortened", "text_table"]

#: How a spreadsheet knows a formula.
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def plain(text: object) -> str:
    r"""Return a text in which all that is not printed stands as an escape.

    Control characters, line breaks, and the characters that turn the direction of writing or have no
    width are written as Python writes them; the space is the only blank.

    Examples
    --------
    >>> print(plain("red\x1b[31m, \u202eback"))
    red\x1b[31m, \u202eback
    """
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in str(text)
    )


def html_text(text: object) -> str:
    r"""Return a text as HTML that shows it, also inside the quotes of an attribute.

    Examples
    --------
    >>> html_text("<b>\u202e")
    '&lt;b&gt;\\u202e'
    """
    return html.escape(plain(text))


def csv_cell(value: object) -> object:
    """Return a value for a table that a spreadsheet may open: a text is never a formula there.

    Examples
    --------
    >>> csv_cell("=1+1"), csv_cell(-1.5)
    ("'=1+1", -1.5)
    """
    if not isinstance(value, str):
        return value
    return f"'{plain(value)}" if value.lstrip(" ").startswith(FORMULA) else plain(value)


def number(value: float | None, digits: int = 6) -> str:
    """Return a number with so many digits; nothing for None."""
    if value is None:
        return ""
    return f"{value:d}" if isinstance(value, int) else f"{value:.{digits}g}"


def moment(created: str) -> str:
    """Return a time in ISO format to the minute, for people."""
    return plain(created[:16].replace("T", " "))


def shortened(text: str, width: int) -> str:
    """Return a text of at most so many characters; an ellipsis stands for the rest."""
    return text if len(text) <= width else f"{text[: width - 1]}…"


def text_table(head: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> list[str]:
    """Return the lines of a table, its columns as wide as they need be.

    Parameters
    ----------
    head : sequence of str
        The names of the columns.
    rows : sequence of sequence of str
        The cells, as many in each row.
    right : sequence of int, optional
        Which columns are flush right, as numbers are.
    """
    cells = [list(head), *map(list, rows)]
    widths = [max(_width(row[place]) for row in cells) for place in range(len(head))]
    lines = []
    for row in cells:
        padded = []
        for place, (cell, width) in enumerate(zip(row, widths, strict=True)):
            blank = " " * (width - _width(cell))
            padded.append(blank + cell if place in right else cell + blank)
        lines.append("  ".join(padded).rstrip())
    return lines


def finite(value: object) -> object:
    """Return plain data for strict JSON: numbers that are not finite become None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value


def _width(text: str) -> int:
    """Return how many columns of a terminal a text fills."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(character) else 1 + (unicodedata.east_asian_width(character) in "WF")
        for character in text
    )
