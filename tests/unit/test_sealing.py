"""What rests is sealed, handles are derived and signed, and earlier keys go on opening both."""

from __future__ import annotations

import pytest
from django.test import override_settings
from hypothesis import given
from hypothesis import strategies as st

from onboarding.sealing import SealBroken, derive_handle, handle_digest, seal, unseal

NEW_KEY = "another-key-for-tests-only-0123456789-abcdefghij"


@given(st.dictionaries(st.text(), st.text() | st.integers() | st.none() | st.lists(st.text())))
def test_what_was_sealed_comes_back_and_cannot_be_read(value: dict[str, object]) -> None:
    assert unseal(seal(value)) == value


def test_a_sealed_value_shows_nothing() -> None:
    assert "ann@example.org" not in seal({"email": "ann@example.org"})


def test_a_rotated_key_still_opens_and_a_lost_one_does_not() -> None:
    from django.conf import settings

    sealed, handle = seal({"a": 1}), derive_handle("x")
    digest = handle_digest(handle)
    with override_settings(SECRET_KEY=NEW_KEY, SECRET_KEY_FALLBACKS=[settings.SECRET_KEY]):
        assert unseal(sealed) == {"a": 1}
        assert handle_digest(handle) == digest
        assert handle_digest(derive_handle("x")) != digest
    with override_settings(SECRET_KEY=NEW_KEY, SECRET_KEY_FALLBACKS=[]):
        assert handle_digest(handle) is None
        with pytest.raises(SealBroken):
            unseal(sealed)


def test_the_same_parts_lead_to_the_same_handle_and_others_to_another() -> None:
    assert derive_handle("a", "bc") == derive_handle("a", "bc")
    assert len({derive_handle(*parts) for parts in (("a", "bc"), ("ab", "c"), ("abc",), ("a", "b", "c"))}) == 4


@given(st.text(max_size=80))
def test_no_other_text_is_a_handle(text: str) -> None:
    assert handle_digest(text) is None


def test_one_changed_character_is_enough() -> None:
    handle = derive_handle("x")
    for index in (0, 21, 23, 65):
        changed = handle[:index] + ("A" if handle[index] != "A" else "B") + handle[index + 1 :]
        assert handle_digest(changed) is None
