"""CSV that no spreadsheet program takes for formulas. Knows neither rows nor pages."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Iterable, Sequence

# What begins a formula; full-width and other forms of these signs count, because programs fold them.
_SIGNS = frozenset("=+-@")
_SKIPPED = re.compile(r"[\s\"'`]*")  # programs drop these before they look at a cell
_EDGES = re.compile(r"(?<=[,;|\t\r\n])|^")  # where a program that expects another separator begins a cell


def safe_cell(value: object) -> str:
    """A cell as text that stays text.

    Texts come from links, so anybody may write them, and a cell that begins with = + - @ is a formula to Excel,
    LibreOffice and others, which may send the whole sheet away. The rule: wherever a program could begin a cell (at
    the start; behind a comma, semicolon, bar, tab or line end, as separators depend on the country), if the first sign
    that is neither space nor quote is one of = + - @ in any width, an apostrophe goes before it all; a cell that begins
    with a tab or line end gets one too. Numbers are never negative here, so none is changed.
    """
    text = str(value)
    edges = [found.start() for found in _EDGES.finditer(text)]
    for edge in reversed(edges):
        if _is_risky(text, edge):
            text = f"{text[:edge]}'{text[edge:]}"
    return text


def _is_risky(text: str, edge: int) -> bool:
    if edge == 0 and text[:1] in ("\t", "\r", "\n"):
        return True
    first = _SKIPPED.match(text, edge)
    at = first.end() if first else edge
    return at < len(text) and unicodedata.normalize("NFKC", text[at])[:1] in _SIGNS


def table(rows: Iterable[Sequence[object]]) -> bytes:
    """A file in UTF-8 with a mark at its start, without which Excel takes it for the local code page."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, quoting=csv.QUOTE_ALL)
    for row in rows:
        writer.writerow([safe_cell("" if cell is None else cell) for cell in row])
    return buffer.getvalue().encode("utf-8-sig")
