"""No text from a link becomes a formula in somebody's spreadsheet program."""

from __future__ import annotations

import csv
import io
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from onboarding.sheets import safe_cell, table

PIECES = st.sampled_from(
    [*"=+-@＝＋－＠﹢﹣﹦﹫ \t\r\n\"',;|`a1\u00a0\u3000", "cmd|' /C calc'!A0", "SUM(A1)", "http://x"]
)
TEXT = st.lists(PIECES | st.characters(exclude_categories=["Cs"]), max_size=12).map("".join)


def begins_formula(cell: str) -> bool:
    """Whether some program would, having dropped spaces and quotes, find a formula's first sign."""
    bare = cell.lstrip().lstrip('"`').lstrip()
    return unicodedata.normalize("NFKC", bare)[:1] in ("=", "+", "-", "@")


@given(TEXT)
@example('"=1"')
@example(" \t＝1")
@example("a;=1")
@example('x",=1')
def test_no_cell_begins_a_formula_for_any_separator(text: str) -> None:
    cell = safe_cell(text)
    assert cell[:1] not in ("\t", "\r", "\n")
    for separator in (None, ",", ";", "|", "\t", "\n", "\r"):
        for part in [cell] if separator is None else cell.split(separator):
            assert not begins_formula(part), (text, cell, separator)


@given(TEXT)
def test_nothing_but_apostrophes_is_added(text: str) -> None:
    cell = iter(safe_cell(text))
    for sign in text:
        assert next(found for found in cell if found == sign or found != "'") == sign


@given(st.lists(st.lists(st.text("abcdefgäß12 .:/_()漢字", max_size=10), min_size=3, max_size=3), max_size=5))
def test_harmless_texts_come_back_as_they_were(rows: list[list[str]]) -> None:
    text = table(rows).decode("utf-8-sig")
    assert list(csv.reader(io.StringIO(text, newline=""))) == rows


@pytest.mark.parametrize("value", [0, 7, 12_345, 3.5])
def test_numbers_stay_numbers(value: float) -> None:
    assert safe_cell(value) == str(value)
