"""No address that is a key reaches a log line, wherever in the record it stands."""

from __future__ import annotations

import logging

import pytest

from onboarding.logs import MaskHandles, mask

KEY = "A" * 22 + "." + "B" * 43


@pytest.mark.parametrize("letter", ["f", "h"])
@pytest.mark.parametrize("text", ["GET {}", "GET {}?x=1", "'{}handover/' failed", "https://onboarding.example{} {}"])
def test_the_secret_of_an_address_is_masked(letter: str, text: str) -> None:
    masked = mask(text.format(*[f"/{letter}/{KEY}/"] * 2))
    assert KEY not in masked
    assert f"/{letter}/…/" in masked


def test_it_is_masked_in_arguments_and_tracebacks_too() -> None:
    try:
        raise ValueError(f"no page at /h/{KEY}/")
    except ValueError as exc:
        record = logging.LogRecord("x", logging.ERROR, "", 1, "at %s", (f"/h/{KEY}/",), (ValueError, exc, None))
    assert MaskHandles().filter(record)
    assert KEY not in logging.Formatter().format(record)
