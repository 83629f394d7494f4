"""Levels as values: grouping, what applies to a document, and the way into storage and back."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onboarding.domain.levels import Element, Kind, Level, Path, applicable, from_json, group, to_json

text = st.text(max_size=30)
elements = st.builds(
    lambda code, name, show, pattern, saved: Element(code, name, Kind.read(show), show, pattern, saved, saved, saved),
    text,
    text,
    st.sampled_from([*(kind.value for kind in Kind if kind is not Kind.UNKNOWN), "colour", "x"]),
    text,
    text,
)
paths = st.builds(Path, text, text, st.lists(elements, max_size=4).map(tuple))
level_lists = st.lists(st.builds(Level, text, text, st.lists(paths, min_size=1, max_size=3).map(tuple)), max_size=3)


@given(level_lists)
def test_levels_come_back_from_storage_as_they_were(levels: list[Level]) -> None:
    assert from_json(json.loads(json.dumps(to_json(levels)))) == tuple(levels)


def test_entries_of_one_level_become_its_paths_in_order() -> None:
    one, two, three = Path("P1", "", ()), Path("P2", "", ()), Path("P1", "", ())
    levels = group([("b", "", one), ("a", "A", three), ("b", "B", two)])
    assert levels == (Level("b", "B", (one, two)), Level("a", "A", (three,)))


FRONT, PASSPORT, DRIVE, HAND = (
    Element(code, code, Kind.IMAGE)
    for code in ("front_identity_card", "proof_of_passpord", "proof_of_drive", "handheld_identity_card")
)
DOCUMENT = Element("id_card_type", "Document", Kind.INPUT_GROUP)


@pytest.mark.parametrize(
    ("document", "expected"),
    [("passport", {PASSPORT, HAND}), ("identity_card", {FRONT, HAND}), ("drving_license", {DRIVE, HAND}), ("", {HAND})],
)
def test_only_pictures_of_the_chosen_document_apply(document: str, expected: set[Element]) -> None:
    assert set(applicable([DOCUMENT, FRONT, PASSPORT, DRIVE, HAND], document)) == expected | {DOCUMENT}


def test_without_a_document_question_every_picture_applies() -> None:
    assert applicable([FRONT, PASSPORT], "") == (FRONT, PASSPORT)


def test_a_kind_that_nobody_knows_is_unknown() -> None:
    assert Kind.read("hologram") is Kind.UNKNOWN
