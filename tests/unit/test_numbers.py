"""What a phone number says of itself."""

from __future__ import annotations

import pytest

from onboarding import numbers


@pytest.mark.parametrize(
    ("area", "number", "personal"),
    [
        ("+44", "7400000901", True),
        ("44", "07400000000", True),
        ("+1", "2025550100", True),  # a plan that does not tell landlines from mobile phones
        ("+86", "13800138000", True),
        ("+44", "12", True),  # no plan knows it: not for us to say
        ("+44", "2079460958", False),  # a landline
        ("+44", "9098790000", False),  # premium rate
        ("+44", "8431234567", False),  # shared cost
        ("+44", "8001111111", False),  # toll-free
        ("+44", "7011234567", False),  # a number that forwards at the sender's cost
        ("+44", "7640123456", False),  # a pager
        ("+44", "5512345678", False),  # a company's number for everything
    ],
)
def test_text_messages_go_to_phones_of_persons(area: str, number: str, personal: bool) -> None:
    assert numbers.is_personal(area, number) is personal


@pytest.mark.parametrize(
    ("area", "number", "region"),
    [("+44", "7400000901", "GB"), ("+44", "7781123456", "GG"), ("+1", "8765551234", "JM"), ("+44", "12", "GB"),
     ("+999", "123456", "ZZ")],
)  # fmt: skip
def test_the_number_tells_its_country_where_several_share_a_code(area: str, number: str, region: str) -> None:
    assert numbers.region(area, number) == region


@pytest.mark.parametrize(
    ("area", "number", "prefix"),
    [("+44", "07400000901", "+44 7400"), ("+247", "62889", "+247 6"), ("+44", "12", "+44"), ("", "x", "")],
)
def test_a_prefix_is_nobodys_number(area: str, number: str, prefix: str) -> None:
    assert numbers.prefix(area, number) == prefix
