"""Where the funnel's charts put what: numbers for the SVG of templates/admin/onboarding/. Knows neither rows nor pages.

Lengths across are shares of the drawing's width and lengths down are pixels, so that a chart fills a phone and a sheet
of paper alike and its letters keep their size; nothing needs a style attribute, which our policy forbids.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

ROW = 46  # pixels of one bar with its text
TEXT, BAR = 14, 20  # its text's base line, its bar's upper edge
HEIGHT = 160  # of the columns
MARGIN = 22  # above the columns, for the scale


def across(part: float, whole: float) -> str:
    """A length across, as SVG wants it."""
    return f"{100 * part / whole if whole else 0:.2f}%"


@dataclass(frozen=True, slots=True)
class Bar:
    """One row of text with a bar below it; `parts` lie one over the other, the longest first."""

    text: str
    note: str
    y: int
    parts: tuple[str, ...]

    @property
    def text_y(self) -> int:
        return self.y + TEXT

    @property
    def bar_y(self) -> int:
        return self.y + BAR


@dataclass(frozen=True, slots=True)
class Bars:
    rows: tuple[Bar, ...]

    @property
    def height(self) -> int:
        return ROW * len(self.rows)


def bars(rows: Sequence[tuple[str, str, Sequence[int]]]) -> Bars:
    """(text, note, numbers) of each row; the longest of all bars fills the width."""
    longest = max((number for _text, _note, numbers in rows for number in numbers), default=0)
    return Bars(
        tuple(
            Bar(text, note, n * ROW, tuple(across(number, longest) for number in numbers))
            for n, (text, note, numbers) in enumerate(rows)
        )
    )


@dataclass(frozen=True, slots=True)
class Column:
    """The parts of one column from the bottom up, as (upper edge, height) in pixels."""

    title: str
    x: str
    width: str
    parts: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Columns:
    columns: tuple[Column, ...]
    top: int  # the number that reaches the upper edge
    height: int = MARGIN + HEIGHT
    margin: int = MARGIN


def columns(rows: Sequence[tuple[str, Sequence[int]]]) -> Columns:
    """(title, numbers) of each column; its numbers lie one over the other, the largest first."""
    top = max((number for _title, numbers in rows for number in numbers), default=0)
    count = max(len(rows), 1)

    def part(number: int) -> tuple[float, float]:
        height = round(HEIGHT * number / top, 2) if top else 0
        return round(MARGIN + HEIGHT - height, 2), height

    return Columns(
        tuple(
            Column(title, across(n + 0.1, count), across(0.8, count), tuple(part(number) for number in numbers))
            for n, (title, numbers) in enumerate(rows)
        ),
        top,
    )
