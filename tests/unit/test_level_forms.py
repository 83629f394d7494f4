"""How elements become fields."""

from __future__ import annotations

from datetime import date

import pytest

from onboarding.domain.levels import Element, Kind
from onboarding.kyc_forms import LevelForm
from onboarding.upstream.codes import Field
from onboarding.upstream.wire import DictionaryItem

KEYPADS = [
    ("phone", r"^\d{6,15}$", True),
    ("phone", "", True),
    ("Mobile", "", True),
    ("home_phone", "^[0-9+ ]+$", True),
    ("card_number", r"^\d+$", True),
    ("card_number", r"^\d{13,19}$", True),
    ("accountNumber", "^[0-9]{8}$", True),
    ("card_number", "", False),
    ("card_number", "([", False),
    ("passport_number", "^[A-Z0-9]+$", False),
    ("passport_number", "^[A-Z0-9]{9}$", False),
    ("passport_number", "^[A-Z][0-9]{7}$", False),
    ("passport_number", "^[a-z0-9]{9}$", False),
    ("passport_number", r"^\w{6,9}$", False),
    ("passport_number", "", False),
    ("name", "", False),
    ("birthday", r"^\d+$", False),
]


@pytest.mark.parametrize(("code", "pattern", "numeric"), KEYPADS)
def test_the_keypad_for_numbers_is_for_what_can_have_no_letters(code: str, pattern: str, numeric: bool) -> None:
    (asked,) = LevelForm([Element(code, code, Kind.INPUT, pattern=pattern)]).asked_elements
    assert asked.numeric is numeric


def test_an_unknown_kind_is_a_text_with_its_pattern_and_one_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    element = Element("aura", "Aura", Kind.UNKNOWN, "hologram", "^[0-9]+$")
    for entered in ("seven", "7"):
        form = LevelForm([element], data={"el-aura": entered})
        assert form.asked_elements[0].rule.template == "text"
        assert form.check() is (entered == "7")
    assert form.answers() == [("aura", "7")]
    (line,) = [record.getMessage() for record in caplog.records if "aura" in record.getMessage()]
    assert "hologram" in line and "seven" not in line


def test_a_name_that_turns_the_direction_does_not_turn_what_is_said_about_it() -> None:
    form = LevelForm([Element("name", "\u202eeman\u2066 \u05e9\u05dd", Kind.INPUT)], data={})
    form.check()
    ((_id, text),) = form.errors
    assert str(text) == "eman \u05e9\u05dd: Fill this in."


DOCUMENT = Element("id_card_type", "Document", Kind.INPUT_GROUP)
PHONE, OTHER_PHONE, NAME = (Element(code, code, Kind.INPUT) for code in ("phone", "mobile_2", "name"))


@pytest.mark.parametrize(
    ("elements", "field", "blamed"),
    [
        ([NAME, PHONE], Field.LEVEL_PHONE, "el-1"),
        ([NAME, PHONE, OTHER_PHONE], Field.LEVEL_PHONE, ""),
        ([NAME, DOCUMENT, PHONE], Field.LEVEL_DOCUMENT, "el-1-number"),
        ([DOCUMENT, Element("id_card_type", "Another", Kind.INPUT_GROUP)], Field.LEVEL_DOCUMENT, ""),
        ([NAME], Field.LEVEL_PHONE, ""),
        ([NAME, PHONE, DOCUMENT], Field.LEVEL, ""),
    ],
)
def test_a_refusal_stands_at_the_element_when_there_is_one_it_can_concern(
    elements: list[Element], field: str, blamed: str
) -> None:
    form = LevelForm(elements, options=lambda _name: [DictionaryItem("passport", "Passport", "")])
    assert form.blame(field, "It is taken.") is bool(blamed)
    assert [name for name, _text in form.errors] == [blamed] * bool(blamed)


IN_50_YEARS = date(date.today().year + 50, 1, 1)


@pytest.mark.parametrize(
    ("entered", "sent"),
    [
        ("1900-01-01", "-2208988800000"),
        ("1969-12-31", "-86400000"),
        ("1970-01-01", "0"),
        ("1990-05-17", "642902400000"),
        (IN_50_YEARS.isoformat(), str((IN_50_YEARS - date(1970, 1, 1)).days * 86_400_000)),
        ("1899-12-31", None),
        (IN_50_YEARS.replace(year=IN_50_YEARS.year + 1).isoformat(), None),
        ("17.05.1990", None),
    ],
)
def test_a_date_from_1900_to_50_years_ahead_is_sent_as_milliseconds_of_midnight_utc(
    entered: str, sent: str | None
) -> None:
    form = LevelForm([Element("expiry", "Expiry", Kind.DATE)], data={"el-expiry": entered})
    assert form.check() is (sent is not None)
    assert form.answers() == ([("expiry", sent)] if sent is not None else [])
