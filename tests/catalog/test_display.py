"""Texts from files are shown as texts, whatever they would do to a terminal, a page or a spreadsheet."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classy_pm.catalog.display import csv_cell, finite, html_text, plain, shortened, text_table


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred", r"\x1b[31mred"),
        ("a\nb\tc\r", r"a\nb\tc\r"),
        ("\u202eevil\u2066", r"\u202eevil\u2066"),
        ("zero\u200bwidth\ufeff", r"zero\u200bwidth\ufeff"),
        ("\x9b1m \x7f", r"\x9b1m \x7f"),
        ("\U000e0041", r"\U000e0041"),
        ("half \ud800", r"half \ud800"),
        ("Größe σ 銀河 🌌", "Größe σ 銀河 🌌"),
    ],
)
def test_what_is_not_printed_stands_as_an_escape(text, shown):
    assert plain(text) == shown


@given(st.text())
def test_what_is_shown_is_printable_and_shown_twice_is_the_same(text):
    assert plain(text).isprintable()
    assert plain(plain(text)) == plain(text)
    assert not set(html_text(text)) & set("<>\"'")


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "  =1"])
def test_a_text_is_never_a_formula(text):
    assert str(csv_cell(text)).startswith("'")


def test_numbers_in_a_spreadsheet_stay_numbers():
    assert csv_cell(-1.5) == -1.5
    assert csv_cell(None) is None


def test_columns_are_as_wide_as_a_terminal_shows_them():
    lines = text_table(("name", "n"), [("銀河", "1"), ("e\u0301a", "22")], right=(1,))
    assert lines == ["name   n", "銀河   1", "e\u0301a    22"]
    assert shortened("abcdef", 4) == "abc…"


def test_json_has_no_numbers_that_json_does_not_know():
    value = {"a": float("nan"), "b": [float("inf"), 1.5, {"c": (1, None, "x")}]}
    assert json.loads(json.dumps(finite(value), allow_nan=False)) == {
        "a": None,
        "b": [None, 1.5, {"c": [1, None, "x"]}],
    }
