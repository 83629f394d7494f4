"""No address that is a key reaches a log line, wherever in the record it stands."""

from __future__ import annotations

import logging

import pytest
from django.db import DatabaseError, IntegrityError

from onboarding.logs import MaskHandles, NameFlow, follow_nobody, following, mask, told
from onboarding.upstream.errors import OutcomeUnknown

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


def line(*arguments: object, text: str = "", **fields: object) -> logging.LogRecord:
    record = logging.LogRecord("x", logging.INFO, "", 1, text or "%s " * len(arguments), arguments, None)
    record.__dict__.update(fields)
    assert NameFlow().filter(record)
    assert MaskHandles().filter(record)
    return record


def test_a_line_names_the_flow_that_is_followed_and_the_trace_of_the_error_it_tells() -> None:
    with following("YD7-P65-X67"):
        told_of = line(OutcomeUnknown("TIMEOUT", trace="a-trace"))
        other = line(reference="OTH-ERO-NE2", trace="b-trace")
    assert (told_of.reference, told_of.trace) == ("YD7-P65-X67", "a-trace")
    assert (other.reference, other.trace) == ("OTH-ERO-NE2", "b-trace")
    assert (line().reference, line().trace) == ("", "")


def test_a_request_begins_with_nobody() -> None:
    with following("YD7-P65-X67"):
        follow_nobody(sender=None)
        assert line().reference == ""


def test_arguments_that_do_not_fit_break_nothing_and_are_not_shown() -> None:
    assert line("marked", "marked", text="one: %d").getMessage() == "one: %d"


def raised(typed: str) -> Exception:
    """One of ours, caused by a database's error that quotes a row, caused by one that quotes what was typed."""
    try:
        try:
            try:
                int(typed)
            except ValueError as exc:
                raise IntegrityError(f"duplicate key\nDETAIL: Key (a)=({typed})") from exc
        except DatabaseError as exc:
            raise OutcomeUnknown("TIMEOUT", trace="a-trace") from exc
    except OutcomeUnknown as exc:
        return exc


def test_a_traceback_says_where_and_what_and_quotes_nobody() -> None:
    text = told(raised("marked@example.org"))
    assert "marked" not in text
    order = ["builtins.ValueError", "django.db.utils.IntegrityError: duplicate key", "OutcomeUnknown TIMEOUT a-trace"]
    assert sorted(order, key=text.index) == order
    assert text.count("in raised") == 3


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ConnectionError("https://host/?t=marked"), "builtins.ConnectionError"),
        (OSError(13, "Permission denied", "/srv/marked"), "builtins.PermissionError: Permission denied"),
        (KeyError("marked"), "builtins.KeyError"),
        (DatabaseError("database is locked"), "django.db.utils.DatabaseError: database is locked"),
    ],
)
def test_only_texts_that_can_quote_nobody_are_told(error: Exception, text: str) -> None:
    assert told(error) == f"Traceback:\n{text}"
