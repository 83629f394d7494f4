"""The error tree, named by what the caller does next, and the one function that reads an answer.

Nothing above this module looks at an HTTP status or at the envelope's `code` (docs/upstream.md 1.3, 1.4, 6).
The text of an error holds its class, its code and our trace, never the upstream's `msg`: that may quote what
the customer typed. Must not import Django.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

from .codes import (
    CLOCK,
    CODES,
    STATUSES,
    SUCCESS,
    Field,
    Verdict,
)

LONGEST_WAIT = 3600.0  # seconds
RATE_LIMIT_CYCLE = 60.0  # seconds; limits count per minute (docs/upstream.md 1.4)
# Our own refusals: no byte of the call went out, and nothing that is known about it has changed.
NOTHING_SENT = frozenset({"BREAKER_OPEN", "TOLD_TO_WAIT", "NO_TIME", "BULKHEAD"})
# Never reached the service, or was turned away at its door: the same key may go out later.
TURNED_AWAY = frozenset({"CONNECT", "HTTP_429", "WAF"})
_CODE = re.compile(r"[A-Za-z0-9_.-]{1,64}")
# What codes look like (docs/upstream.md 6). One that does not may quote a customer, and codes are logged and counted.
_USUAL = re.compile(r"[A-Z]+(?:_[A-Z]+)*(?:_[0-9]{1,10})?|[A-Z][0-9]{6}|-?[0-9]{1,4}(?:\.[0-9])?")
ODD_CODE = "ODD_CODE"


class UpstreamError(Exception):
    """`message`: the upstream's own text, for nobody's log; `retry_after`: seconds; `status` 0: no answer."""

    def __init__(
        self,
        code: str,
        *,
        message: str = "",
        trace: str = "",
        status: int = 0,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(code)
        self.code = code
        self.message = message
        self.trace = trace
        self.status = status
        self.retry_after = retry_after

    def __str__(self) -> str:
        return " ".join(part for part in (type(self).__name__, self.code, self.trace) if part)

    def __repr__(self) -> str:
        return f"<{self}>"


class UpstreamUnavailable(UpstreamError):
    """Nothing was sent, or it was refused before any work. Nothing is lost; ask later."""


class OutcomeUnknown(UpstreamError):
    """Sent, and no usable answer. Ask again with the same idempotency key."""


class Refused(UpstreamError):
    """A definite business answer. Belongs to `field`."""

    def __init__(
        self,
        code: str,
        *,
        field: Field = Field.PAGE,
        message: str = "",
        trace: str = "",
        status: int = 0,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(code, message=message, trace=trace, status=status, retry_after=retry_after)
        self.field = field


class SessionEnded(UpstreamError):
    """The session token is missing or no longer valid."""


class Misconfigured(UpstreamError):
    """Only the operator can mend it, and it meets every customer alike."""


class ContractBroken(UpstreamError):
    """A definite answer that we do not understand, or one that says our request was malformed."""


_CLASSES: Mapping[Verdict, type[UpstreamError]] = {
    Verdict.UNAVAILABLE: UpstreamUnavailable,
    Verdict.UNKNOWN: OutcomeUnknown,
    Verdict.SESSION: SessionEnded,
    Verdict.OPERATOR: Misconfigured,
    Verdict.CONTRACT: ContractBroken,
}


@dataclass(frozen=True, slots=True)
class Envelope:
    """A usable answer. `code` is "0", or one that the call accepts as good."""

    code: str
    data: Any = field(repr=False)
    message: str = field(default="", repr=False)
    params: str = field(default="", repr=False)
    trace: str = ""


@dataclass(frozen=True, slots=True)
class Wait:
    """What an answer says about the next calls of its endpoint."""

    seconds: float
    everybody: bool  # else only the one who asked


def keeps_key(error: UpstreamError) -> bool:
    """Whether the next attempt carries the same idempotency key.

    The upstream may keep *every* reply under its key for 24 hours, failures included (docs/upstream.md 7): so
    the same key only while the outcome is open or nothing reached the service, a new key after every definite
    answer.
    """
    if isinstance(error, UpstreamUnavailable):
        return error.code != CLOCK
    return isinstance(error, OutcomeUnknown)


def error_for(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    trace: str = "",
    flaw: str = "",
    accept: Set[str] = frozenset(),
    now: float = 0.0,
) -> Envelope | UpstreamError:
    """The envelope of a good answer, or the error that the answer is.

    `headers` are looked up in lower case. `flaw` names why the body could not be read to its end ("" = it
    was); `accept` are codes besides "0" that are good here; `now` is epoch seconds, for a `Retry-After` that
    is a date.
    """
    known: dict[str, Any] = {"trace": trace, "status": status, "retry_after": _seconds_to_wait(status, headers, now)}
    # The puzzle comes with 405; the header alone decides, because its silent sister uses another status.
    if "x-amzn-waf-action" in headers:
        return UpstreamUnavailable("WAF", **known)
    good_status = 200 <= status < 300
    if status == 429 or not (good_status or 400 <= status < 500):
        return _error(_by_status(status), f"HTTP_{status}", **known)
    envelope = flaw or _envelope(body, trace)
    if isinstance(envelope, str):
        return (
            OutcomeUnknown(envelope, **known) if good_status else _error(_by_status(status), f"HTTP_{status}", **known)
        )
    if envelope.code != SUCCESS and envelope.code not in accept:
        code = envelope.code if envelope.code in CODES or _USUAL.fullmatch(envelope.code) else ODD_CODE
        return _error(CODES.get(envelope.code, Field.PAGE), code, message=envelope.message, **known)
    return envelope if good_status else ContractBroken(f"HTTP_{status}", **known)


def _by_status(status: int) -> Verdict | Field:
    return STATUSES.get(status, Verdict.CONTRACT if 300 <= status < 500 else Verdict.UNKNOWN)


def _error(verdict: Verdict | Field, code: str, **known: Any) -> UpstreamError:
    if isinstance(verdict, Field):
        return Refused(code, field=verdict, **known)
    return _CLASSES[verdict](code, **known)


def _envelope(body: bytes, trace: str) -> Envelope | str:
    """The body as an envelope; else the code that says what it is instead."""
    if not body.strip():
        return "EMPTY"
    try:
        reply = json.loads(body)
    except (ValueError, RecursionError):  # ValueError: not JSON, not UTF-8, a number of thousands of digits
        return "NOT_JSON"
    code = reply.get("code") if isinstance(reply, dict) else None
    if isinstance(code, int) and not isinstance(code, bool) and -1 < code < 10**9:
        code = str(code)  # documented as a string; a number means the same
    if not isinstance(code, str) or not _CODE.fullmatch(code):
        return "NO_ENVELOPE"
    message, params = reply.get("msg"), reply.get("msgParams")
    return Envelope(
        code=code,
        data=reply.get("data"),
        message=message if isinstance(message, str) else "",
        params=params if isinstance(params, str) else "",
        trace=trace,
    )


def told_to_wait(status: int, headers: Mapping[str, str], now: float) -> Wait | None:
    """How long the endpoint is to be left alone; None when the answer does not ask for it.

    Limits count per endpoint (docs/upstream.md 1.4), by what the documents do not say. All our calls come from one
    address under one company, so a 429 is for all of us, unless it says itself that calls are left: then it is about
    the one who asked. A 503 with a time is about the service, but one sick machine behind it must not stop everybody
    for an hour.
    """
    left = _calls_left(headers)
    if status == 503 and "retry-after" in headers:
        seconds = _seconds_to_wait(status, headers, now)
        return Wait(min(seconds, RATE_LIMIT_CYCLE), True) if seconds else None
    if status != 429 and left != "0":
        return None
    seconds = _seconds_to_wait(status, headers, now)
    return Wait(seconds, status != 429 or left in ("", "0")) if seconds else None


def _calls_left(headers: Mapping[str, str]) -> str:
    """ "remairing" is the upstream's own spelling; the right one is read too (docs/upstream.md 1.4)."""
    return headers.get("x-ratelimit-remairing", headers.get("x-ratelimit-remaining", "")).strip()


def _seconds_to_wait(status: int, headers: Mapping[str, str], now: float) -> float | None:
    """Seconds to wait, at most an hour; None when the answer says nothing about it.

    `x-ratelimit-reset` comes with every reply and counts only when nothing is left.
    """
    found = _retry_after(headers.get("retry-after", ""), now)
    if found is None:
        if status == 429 or _calls_left(headers) == "0":
            found = _seconds(headers.get("x-ratelimit-reset", ""))
        if status == 429 and found is None:
            found = RATE_LIMIT_CYCLE
    return None if found is None else min(max(found, 0.0), LONGEST_WAIT)


def _retry_after(value: str, now: float) -> float | None:
    seconds = _seconds(value)
    if seconds is not None or not value:
        return seconds
    try:
        moment = parsedate_to_datetime(value)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now
    except (ValueError, OverflowError):
        return None


def _seconds(value: str) -> float | None:
    try:
        seconds = float(value)
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) else None
