"""Frames of numbers that print in a terminal's width.

pandas breaks a wide frame into pieces. Here a column is as narrow as its numbers: the words of its name
stand one above the other, and a number has the digits that its error leaves it.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import numpy as np
import pandas as pd

__all__ = ["ComparisonTable", "PosteriorTable", "digits_for"]

# As many columns as a terminal or a notebook shows without folding.
WIDTH = 100
LONGEST_HEAD = 9
# What is known better than to so many decimals is written in powers of ten.
MAX_DECIMALS = 12


class Table(pd.DataFrame):
    """A frame whose printed form is narrow; all that is made of it is a plain frame."""

    #: The columns that are left out of the printed form, one group after the other, until it fits.
    _expendable: tuple[tuple[str, ...], ...] = ()

    @property
    def _constructor(self) -> Callable[..., pd.DataFrame]:
        return pd.DataFrame

    @classmethod
    def from_rows(cls, rows: Mapping[str, Mapping[str, float]]) -> Self:
        """Return a frame with a row for each name."""
        return cls(pd.DataFrame.from_dict(dict(rows), orient="index"))

    def _text_of(self, column: str, row: Any) -> str:
        raise NotImplementedError

    def _empty(self) -> list[str]:
        """Return the columns that no row has anything in, and that need not be shown."""
        return []

    def __repr__(self) -> str:
        left_out = self._empty()
        text = self._text(left_out)
        for group in self._expendable:
            if max(map(len, text.splitlines())) <= WIDTH:
                break
            left_out += [column for column in group if column in self.columns and column not in left_out]
            text = self._text(left_out)
        if left_out:
            text += f"\n(not shown: {', '.join(left_out)})"
        return text

    __str__ = __repr__

    def _repr_html_(self) -> str:
        cells = {
            column: [self._text_of(column, self.iloc[place]) for place in range(len(self))]
            for column in self.columns
        }
        return pd.DataFrame(cells, index=self.index).to_html(escape=True)

    def _text(self, left_out: Sequence[str]) -> str:
        columns = [column for column in self.columns if column not in left_out]
        rows = [self.iloc[place] for place in range(len(self))]
        heads = [_stacked(column) for column in columns]
        height = max(map(len, heads), default=0)
        cells = [
            [""] * (height - len(head)) + head + [self._text_of(column, row) for row in rows]
            for column, head in zip(columns, heads, strict=True)
        ]
        names = [""] * height + [str(name) for name in self.index]
        width = max(map(len, names), default=0)
        widths = [max(map(len, column)) + 2 for column in cells]
        lines = [
            f"{name:<{width}}" + "".join(f"{cell:>{w}}" for cell, w in zip(line, widths, strict=True))
            for name, *line in zip(names, *cells, strict=True)
        ]
        return "\n".join(line.rstrip() for line in lines)


def _stacked(name: str) -> list[str]:
    """Return a column's name in lines that are no longer than a number."""
    if len(name) <= LONGEST_HEAD:
        return [name]
    return textwrap.wrap(name.replace("_", " "), LONGEST_HEAD, break_long_words=False)


class PosteriorTable(Table):
    """A row a parameter: what `Result.summary` returns."""

    _expendable = (("lower_3_sigma", "upper_3_sigma"), ("mean",))

    def _text_of(self, column: str, row: Any) -> str:
        value = float(row[column])
        if column == "ess":
            return f"{value:.0f}"
        if column == "r_hat":
            return f"{value:.3f}"
        return digits_for(value, float(row["sd"]))


class ComparisonTable(Table):
    """A row a fit: what `compare` returns."""

    _expendable = (("p_loo",), ("elpd_diff_se",), ("log_bayes_factor_error",), ("elpd_loo_se",))

    def _empty(self) -> list[str]:
        return [column for column in self.columns if self[column].isna().all()]

    def _text_of(self, column: str, row: Any) -> str:
        value = float(row[column])
        if column in ("bad_k", "free_parameters"):
            return f"{value:.0f}"
        return f"{value:.2f}" if abs(value) < 1e7 or not np.isfinite(value) else f"{value:.4g}"


def digits_for(value: float, error: float) -> str:
    """Return a number with two digits of its error.

    Examples
    --------
    >>> digits_for(49.92285, 0.0123)
    '49.923'
    """
    if not (np.isfinite(error) and error > 0.0):
        return f"{value:.6g}"
    decimals = max(0, 1 - int(np.floor(np.log10(error))))
    if decimals > MAX_DECIMALS or abs(value) >= 1e12:
        return f"{value:.8g}"
    return f"{value:.{decimals}f}"
