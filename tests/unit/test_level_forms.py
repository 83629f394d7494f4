"""How elements become fields."""

from __future__ import annotations

import pytest

from onboarding.domain.levels import Element, Kind
from onboarding.kyc_forms import LevelForm

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
