"""Verification codes: sending, checking, and what a registration or a login does with them.

A code is a small process of its own: bound to its kind, recipient and ticket; five wrong attempts void it; it
is used up by the check or the registration that succeeds. Imports nothing of this project.
"""

from __future__ import annotations

import hmac
import secrets
import uuid
from typing import Any

from . import fields, scenarios
from .protocol import Call, Failure, RawAnswer, Reply
from .state import SEND_WINDOW_SECONDS, State, Ticket

PURPOSES = ("COMMON", "LOGIN", "REGISTER", "PASSWORD", "LOGINED")
WRONG_LIMIT = 5
_KINDS = {f"{channel}_{purpose}_VERIFICATION_CODE" for channel in ("EMAIL", "SMS") for purpose in PURPOSES}
_SEND_FIELDS = ("bizType", "toUser", "customerNo", "country", "customerId")
_CHECK_FIELDS = ("bizType", "toUser", "sendToken", "code", "verifyCodeToken", "customerId")
_PUZZLE = b"<!doctype html><title>Human verification</title><p>Please solve the puzzle.</p>"


def guard(call: Call, state: State) -> None:
    """Faults of the scenarios that come before any work and are never cached."""
    tags = scenarios.chosen(str(call.body.get("toUser") or ""))
    if call.request.header("version") == "0.0.2" or "captcha" in tags:
        require_captcha(call)
    if "waf" in tags and state.count("waf", str(call.body.get("toUser"))) <= 2:
        headers = (("x-amzn-waf-action", "captcha"),)
        raise RawAnswer(Reply(405, _PUZZLE, "text/html; charset=utf-8", headers, code="405"))


def require_captcha(call: Call) -> None:
    if not call.request.header("captcha"):
        raise Failure("F999999")


def send(call: Call, state: State) -> dict[str, str]:
    body = call.body
    fields.only(body, _SEND_FIELDS)
    biz_type = _kind(body)
    recipient = _recipient(body, biz_type, state)
    fields.country(body, required=False)
    if "limit" in scenarios.chosen(recipient):
        raise Failure("MESSAGE_SEND_LIMIT")
    now = state.clock()
    with state.lock:
        sends = state.sends[(biz_type, recipient)]
        sends[:] = [at for at in sends if now - at < SEND_WINDOW_SECONDS]
        if len(sends) >= state.send_limit:
            raise Failure("MESSAGE_SEND_LIMIT")
        sends.append(now)
        token = str(uuid.uuid4())
        code = f"{secrets.randbelow(1_000_000):06}"
        state.tickets[token] = Ticket(biz_type, recipient, code, now)
        while len(state.tickets) > 50_000:
            state.tickets.popitem(last=False)
        channel = "email" if biz_type.startswith("EMAIL") else "phone"
        shown = {"to": str(body.get("toUser") or recipient), "channel": channel, "code": code}
        state.inbox.appendleft(shown | {"sent_at": state.stamp()})
    return {"token": token}


def check(call: Call, state: State) -> dict[str, str]:
    """Uses the code up: a registration that follows finds it wrong, so no client checks before it."""
    body = call.body
    fields.only(body, _CHECK_FIELDS)
    biz_type = _kind(body)
    recipient = _recipient(body, biz_type, state)
    ticket = fields.text(body, "sendToken", required=True)
    code = fields.text(body, "verifyCodeToken") or fields.text(body, "code", required=True)
    with state.lock:
        found = require(state, biz_type, recipient, ticket, code, wrong="CUSTOMER_API_0000511")
        found.used = True
    return {"token": str(uuid.uuid4())}


def require(state: State, biz_type: str, recipient: str, token: str, code: str, *, wrong: str) -> Ticket:
    """The ticket, when the code is right; somebody else's ticket counts as a wrong code."""
    with state.lock:
        ticket = state.tickets.get(token)
        if ticket is None:
            raise Failure(wrong)
        if ticket.wrong >= WRONG_LIMIT:
            raise Failure("CUSTOMER_API_0000512")
        expired = state.clock() - ticket.sent_at > SEND_WINDOW_SECONDS
        mine = (ticket.biz_type, ticket.recipient) == (biz_type, recipient)
        right = hmac.compare_digest(ticket.code.encode(), code.encode())
        if not (mine and right) or expired or ticket.used:
            ticket.wrong += 1
            raise Failure(wrong)
        return ticket


def _kind(body: dict[str, Any]) -> str:
    biz_type = fields.text(body, "bizType", required=True)
    if biz_type not in _KINDS:
        raise Failure(fields.ILLEGAL)
    return biz_type


def _recipient(body: dict[str, Any], biz_type: str, state: State) -> str:
    to_user, number = fields.text(body, "toUser"), fields.text(body, "customerNo")
    if number and not to_user:
        customer = state.customers_by_number(number)
        if customer is None:
            raise Failure("CUSTOMER_API_0000603")
        return customer.recipient
    if not to_user:
        raise Failure("CUSTOMER_API_0000501")
    if biz_type.startswith("EMAIL"):
        return fields.email(to_user).lower()
    return fields.mobile_recipient(to_user)
