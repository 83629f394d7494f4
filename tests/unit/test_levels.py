"""Levels as values: grouping, what applies to a document, and the way into storage and back."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onboarding.domain.levels import (
    Element,
    Kind,
    Level,
    Path,
    applicable,
    arranged,
    asked_once,
    elements_of,
    from_json,
    group,
    parts_of,
    to_json,
)

text = st.text(max_size=30)
elements = st.builds(
    lambda code, name, show, pattern, saved: Element(
        code, name, Kind.read(show, code), show, pattern, saved, saved, saved
    ),
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


NAME, BORN = Element("name", "Name", Kind.INPUT), Element("birthday", "Born", Kind.DATE)


def test_entries_of_one_level_become_its_paths_in_order() -> None:
    one, two, three = Path("P1", "", (NAME,)), Path("P2", "", (NAME,)), Path("P1", "", (BORN,))
    levels = group([("b", "", 0, one), ("a", "A", 1, three), ("b", "B", 0, two)])
    assert levels == (Level("b", "B", (one, two)), Level("a", "A", (three,), 1))


def test_entries_of_one_path_are_one_path() -> None:
    """Nobody could choose between two ways of one code."""
    (level,) = group([("a", "", 0, Path("P1", "One", (NAME,))), ("a", "", 0, Path("P1", "Two", (BORN,)))])
    assert level.paths == (Path("P1", "One", (NAME, BORN)),)


def test_a_level_without_elements_is_one_whose_elements_must_be_asked_for() -> None:
    (level,) = group([("a", "A", 0, Path("P1", "", ()))])
    assert (level.known, level.has_elements, level.paths) == (False, False, ())


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
    assert set(applicable([DOCUMENT, FRONT, PASSPORT, DRIVE, HAND], {document})) == expected | {DOCUMENT}


def test_without_a_document_question_every_picture_applies() -> None:
    assert applicable([FRONT, PASSPORT], ()) == (FRONT, PASSPORT)


def test_pictures_of_documents_stand_behind_the_question_for_the_document() -> None:
    assert arranged([FRONT, NAME, DOCUMENT, BORN, PASSPORT, HAND]) == (NAME, DOCUMENT, FRONT, PASSPORT, BORN, HAND)


def test_the_same_question_twice_is_asked_once_and_one_code_under_two_names_is_two_questions() -> None:
    other = Element("name", "Name of your mother", Kind.INPUT)
    assert asked_once([NAME, BORN, NAME, other]) == (NAME, BORN, other)


def test_a_company_form_is_known_by_its_code_where_the_upstream_names_no_kind() -> None:
    assert Kind.read("", "company_basic_info") is Kind.COMPANY
    assert Kind.read("input", "company_basic_info") is Kind.INPUT


def test_the_parts_of_a_companys_level() -> None:
    forms = tuple(Element(code, code, Kind.COMPANY) for code in ("company_auth_director", "company_basic_info"))
    path = Path("P1", "", (forms[0], NAME, forms[1]))
    company, person = Level("a", "A", (path,), 1), Level("a", "A", (path,), 0)
    parts = ("company_auth_director", "company_basic_info", "details", "declaration")
    assert parts_of(company, path) == ("company", *parts)
    assert parts_of(person, path) == parts
    assert parts_of(person, Path("P1", "", (NAME,))) == ("",)
    assert [e.code for part in parts for e in elements_of(path, part)] == [*parts[:2], "name"]


def test_a_kind_that_nobody_knows_is_unknown() -> None:
    assert Kind.read("hologram") is Kind.UNKNOWN
