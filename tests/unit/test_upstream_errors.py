"""From an answer to a value or an error: the table of docs/upstream.md 6 and the rules of 1.3 and 1.4."""

from __future__ import annotations

import json
import pickle
import re
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.utils import translation
from hypothesis import given
from hypothesis import strategies as st

from onboarding import i18n
from onboarding.upstream import codes
from onboarding.upstream.codes import CODES, Field
from onboarding.upstream.errors import (
    ContractBroken,
    Envelope,
    Misconfigured,
    OutcomeUnknown,
    Refused,
    SessionEnded,
    UpstreamError,
    UpstreamUnavailable,
    error_for,
    keeps_key,
)

PAGE = Path(__file__).parents[2] / "docs" / "upstream.md"
ROW = re.compile(r"^\| `([A-Z0-9_]+)` \| .+? \| `(\w+)` \| (?:`(\w+)` )?\|$", re.MULTILINE)
DOCUMENTED = {code: (error, field) for code, error, field in ROW.findall(PAGE.read_text())}
SECRET = "ann@example.org"


def reply(code: Any = "0", **more: Any) -> bytes:
    return json.dumps({"code": code, "msg": f"about {SECRET}", "data": None, **more}).encode()


def read(
    body: bytes = b"", status: int = 200, headers: dict[str, str] | None = None, **more: Any
) -> Envelope | UpstreamError:
    return error_for(status, headers or {}, body, trace="t-1", **more)


def failure(*args: Any, **more: Any) -> UpstreamError:
    found = read(*args, **more)
    assert isinstance(found, UpstreamError)
    return found


def test_the_page_and_the_table_list_the_same_codes() -> None:
    assert set(DOCUMENTED) == set(CODES)
    assert len(CODES) > 130


@pytest.mark.parametrize("code", sorted(CODES))
def test_every_code_becomes_what_the_page_says(code: str) -> None:
    error, field = DOCUMENTED[code]
    found = failure(reply(code))
    assert (type(found).__name__, getattr(found, "field", "")) == (error, field)
    assert (found.code, found.trace, found.status, found.retry_after) == (code, "t-1", 200, None)


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("GATEWAY_CODE_902", OutcomeUnknown),
        ("GATEWAY_CODE_018", OutcomeUnknown),
        ("500", OutcomeUnknown),
        ("GATEWAY_CODE_014", UpstreamUnavailable),
        ("GATEWAY_CODE_001", SessionEnded),
        ("GATEWAY_CODE_005", SessionEnded),
        ("GATEWAY_CODE_017", SessionEnded),
        ("CUSTOMER_API_0000306", Misconfigured),
        ("GATEWAY_CODE_002", ContractBroken),
        ("CUSTOMER_API_0000511", Refused),
    ],
)
def test_the_codes_that_matter_most(code: str, error: type[UpstreamError]) -> None:
    assert type(failure(reply(code))) is error


@pytest.mark.parametrize("code", ["CUSTOMER_API_9999999", "SOMETHING_NEW", "1", "-1", "00", "0.0"])
def test_an_unknown_failure_is_a_definite_refusal_of_the_page(code: str) -> None:
    found = failure(reply(code))
    assert isinstance(found, Refused) and found.field is Field.PAGE and found.code == code


# What no customer is told: it is answered in another way (the identifier is taken, the checks go on or are passed, the
# account is refused), or belongs to what cannot be done here (signing in, binding, changing, third parties' accounts).
ANSWERED = (
    codes.EXISTS_CODES | codes.IN_REVIEW_CODES | codes.PASSED_CODES | {codes.MANUAL_REVIEW, "CUSTOMER_API_00010002"}
)
NOT_HERE = {
    f"CUSTOMER_API_0{number:06}" for number in (
        102, 112, 123, 124, 128, 135, 138, 143, 144, 145, 146, 148, 149, 519, 520, 609, 1001, 1002, 1019, 1020, 1023,
        1030, 1031,
    )
}  # fmt: skip
# Nothing better can be said than "check it, or ask support".
UNSPOKEN = {"GATEWAY_CODE_104", *(f"CUSTOMER_API_0{number:06}" for number in (3, 104, 1025, 1029))}


def test_every_refusal_that_a_customer_can_meet_has_a_sentence_of_its_own_in_every_language() -> None:
    met = {c: f for c, f in CODES.items() if isinstance(f, Field)}
    assert ANSWERED | NOT_HERE | UNSPOKEN <= set(met)
    english = {code: str(i18n.refusal(code, field)) for code, field in met.items()}
    vague = str(i18n.refusal("NEW", "page"))
    for code in set(met) - ANSWERED - NOT_HERE - UNSPOKEN:
        assert english[code] != vague, code
        for language, _name in settings.LANGUAGES[1:]:
            with translation.override(language):
                assert str(i18n.refusal(code, met[code])) != english[code], (code, language)


def test_success_is_the_text_zero_or_the_number() -> None:
    for code in ("0", 0):
        found = read(reply(code, data={"a": 1}, msgParams="X"))
        assert isinstance(found, Envelope)
        assert (found.code, found.data, found.params, found.trace) == ("0", {"a": 1}, "X", "t-1")


def test_ok_and_fail_are_not_asked() -> None:
    assert isinstance(read(reply("0", ok=False, fail=True)), Envelope)
    assert isinstance(read(reply("500", ok=True, fail=False)), OutcomeUnknown)


def test_manual_review_is_good_only_where_the_call_expects_it() -> None:
    body = reply(codes.MANUAL_REVIEW, data={"customerNo": "1"})
    assert isinstance(read(body, accept={codes.MANUAL_REVIEW}), Envelope)
    assert isinstance(read(body), Refused)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "EMPTY"),
        (b" \n", "EMPTY"),
        (b"<html>busy</html>", "NOT_JSON"),
        (b'{"code":"0"', "NOT_JSON"),
        (b"\xff\xfe{}", "NOT_JSON"),
        (b"[" * 100_000, "NOT_JSON"),
        (b"9" * 5000, "NOT_JSON"),
        (b"null", "NO_ENVELOPE"),
        (b"[]", "NO_ENVELOPE"),
        (b'"0"', "NO_ENVELOPE"),
        (b"{}", "NO_ENVELOPE"),
        (b'{"code":null}', "NO_ENVELOPE"),
        (b'{"code":true}', "NO_ENVELOPE"),
        (b'{"code":false}', "NO_ENVELOPE"),
        (b'{"code":0.0}', "NO_ENVELOPE"),
        (b'{"code":""}', "NO_ENVELOPE"),
        (b'{"code":"ann@example.org"}', "NO_ENVELOPE"),
        (b'{"code":["0"]}', "NO_ENVELOPE"),
    ],
)
def test_an_answer_without_an_envelope_leaves_the_outcome_open(body: bytes, code: str) -> None:
    found = failure(body)
    assert type(found) is OutcomeUnknown and found.code == code


@pytest.mark.parametrize("flaw", ["CUT", "TIMEOUT", "TOO_LARGE"])
def test_a_body_that_did_not_come_whole_leaves_the_outcome_open(flaw: str) -> None:
    found = failure(reply("0"), flaw=flaw)
    assert type(found) is OutcomeUnknown and found.code == flaw


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (500, OutcomeUnknown),
        (502, OutcomeUnknown),
        (503, OutcomeUnknown),
        (504, OutcomeUnknown),
        (599, OutcomeUnknown),
        (408, OutcomeUnknown),
        (429, UpstreamUnavailable),
        (301, Misconfigured),
        (302, Misconfigured),
        (401, Misconfigured),
        (404, Misconfigured),
        (405, Misconfigured),
        (300, ContractBroken),
        (304, ContractBroken),
        (400, ContractBroken),
        (403, ContractBroken),
        (422, ContractBroken),
        (413, Refused),
    ],
)
def test_a_status_decides_where_no_envelope_does(status: int, error: type[UpstreamError]) -> None:
    for body in (b"", b"<html>", b"{}"):
        found = failure(body, status)
        assert type(found) is error and found.code == f"HTTP_{status}" and found.status == status


def test_a_success_inside_a_failing_status_is_not_believed() -> None:
    assert type(failure(reply("0"), 500)) is OutcomeUnknown
    assert type(failure(reply("0"), 400)) is ContractBroken
    assert type(failure(reply("0"), 302)) is Misconfigured


def test_a_failure_inside_a_client_error_is_more_precise_than_the_status() -> None:
    assert type(failure(reply("GATEWAY_CODE_001"), 401)) is SessionEnded
    assert type(failure(reply("CUSTOMER_API_0000511"), 400)) is Refused


def test_a_failure_inside_a_server_error_stays_open() -> None:
    assert type(failure(reply("CUSTOMER_API_0000511"), 500)) is OutcomeUnknown


def test_too_large_can_only_be_an_upload() -> None:
    found = failure(b"", 413)
    assert isinstance(found, Refused) and found.field is Field.UPLOAD


@pytest.mark.parametrize("status", [202, 403, 405])
def test_the_firewalls_puzzle_is_known_by_its_header(status: int) -> None:
    found = failure(b"<html>", status, {"x-amzn-waf-action": "captcha"})
    assert type(found) is UpstreamUnavailable and found.code == "WAF"


@pytest.mark.parametrize(
    ("status", "headers", "wait"),
    [
        (429, {}, 60.0),
        (429, {"x-ratelimit-reset": "37"}, 37.0),
        (429, {"retry-after": "5", "x-ratelimit-reset": "37"}, 5.0),
        (429, {"retry-after": "99999999"}, 3600.0),
        (429, {"retry-after": "-5"}, 0.0),
        (429, {"retry-after": "soon", "x-ratelimit-reset": "?"}, 60.0),
        (429, {"retry-after": "nan"}, 60.0),
        (429, {"retry-after": "inf"}, 60.0),
        (429, {"retry-after": "Thu, 09 Oct 2025 08:53:50 GMT"}, 30.0),
        (429, {"retry-after": "Thu, 09 Oct 2025 08:53:50"}, 30.0),
        (503, {"retry-after": "7"}, 7.0),
        (503, {"x-ratelimit-reset": "60", "x-ratelimit-remaining": "12"}, None),
        (503, {"x-ratelimit-reset": "60", "x-ratelimit-remaining": "0"}, 60.0),
        (503, {"x-ratelimit-reset": "60", "x-ratelimit-remairing": "0"}, 60.0),
        (200, {"x-ratelimit-reset": "60", "x-ratelimit-remairing": "299"}, None),
    ],
)
def test_how_long_to_wait_is_read_from_either_spelling(
    status: int, headers: dict[str, str], wait: float | None
) -> None:
    assert failure(b"", status, headers, now=1760000000.0).retry_after == wait


def test_the_same_key_goes_on_only_while_the_outcome_is_open_or_nothing_was_sent() -> None:
    kept = {code for code in CODES if keeps_key(failure(reply(code)))}
    assert kept == {code for code, verdict in CODES.items() if verdict is codes.Verdict.UNKNOWN}
    assert keeps_key(UpstreamUnavailable("CONNECT")) and keeps_key(OutcomeUnknown("TIMEOUT"))
    assert not keeps_key(ContractBroken("UNREADABLE"))


def test_the_good_sets_name_listed_codes_only() -> None:
    for group in (codes.EXISTS_CODES, codes.IN_REVIEW_CODES, codes.PASSED_CODES, codes.REJECTED_CODES):
        assert group <= set(CODES)
    assert failure(reply("CUSTOMER_API_0000107")).code in codes.EXISTS_CODES
    assert failure(reply("CUSTOMER_API_0000605")).code in codes.IN_REVIEW_CODES
    assert failure(reply("CUSTOMER_API_0000608")).code in codes.PASSED_CODES
    assert failure(reply("CUSTOMER_API_0000511")).code not in codes.EXISTS_CODES


@pytest.mark.parametrize("code", ["500", "CUSTOMER_API_0000106", "GATEWAY_CODE_001", "X"])
def test_an_error_never_shows_what_the_upstream_said(code: str) -> None:
    found = failure(reply(code, data=SECRET))
    assert SECRET in found.message
    for shown in (str(found), repr(found), f"{found.args}"):
        assert SECRET not in shown
    assert str(found) == f"{type(found).__name__} {code} t-1"


def test_an_envelope_never_shows_its_content() -> None:
    assert SECRET not in repr(read(reply("0", data={"email": SECRET}, msgParams=SECRET)))


def test_errors_can_be_pickled() -> None:
    found = failure(reply("CUSTOMER_API_0000106"))
    again = pickle.loads(pickle.dumps(found))
    assert isinstance(again, Refused) and (again.field, again.trace) == (Field.PHONE, "t-1")


@given(
    st.integers(0, 700),
    st.dictionaries(
        st.sampled_from(
            [
                "retry-after",
                "x-ratelimit-reset",
                "x-ratelimit-remaining",
                "x-ratelimit-remairing",
                "x-amzn-waf-action",
            ]
        ),
        st.text(max_size=20),
    ),
    st.binary(max_size=40) | st.sampled_from([reply("0"), reply("500"), reply(0)]),
)
def test_no_answer_is_beyond_reading(status: int, headers: dict[str, str], body: bytes) -> None:
    found = error_for(status, headers, body)
    assert isinstance(found, Envelope | UpstreamError)
    if isinstance(found, Envelope):
        assert 200 <= status < 300 and found.code == "0"


@pytest.mark.parametrize("code", ["447400123456", "493027", "Marked-Name", "E99887766", "ann.example.org", "marked"])
def test_a_code_that_may_quote_a_customer_is_not_kept(code: str) -> None:
    error = failure(reply(code))
    assert (type(error), error.code) == (Refused, "ODD_CODE")


@pytest.mark.parametrize("code", ["CUSTOMER_API_7654321", "NEW_GATEWAY_CODE_999", "F123456", "999", "BUSY"])
def test_an_unknown_code_that_looks_like_one_is_kept(code: str) -> None:
    assert failure(reply(code)).code == code
