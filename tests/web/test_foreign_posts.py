"""No page but ours has an effect here: every address that takes a POST, with every way of not coming from us."""

from __future__ import annotations

import contextlib
import re
import sqlite3
import time
from typing import Any

import pytest
from django.core import signing
from django.test import override_settings
from django.urls import get_resolver

from onboarding.sandbox.server import Sandbox
from tests.support import TEST_KEY, Customer, Server, fresh_email, picture

FOREIGN = [
    {"Sec-Fetch-Site": "cross-site", "Origin": "{home}"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "none"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1:1"},
]
# Every address below a flow that takes a POST, with what would have an effect there.
BELOW: dict[str, dict[str, Any]] = {
    "": {}, "identify/": {"email": "else@example.org"}, "password/": {"skip": "1"}, "verify/": {"code": "123456"},
    "path/": {"path": "p"}, "level/": {"level": "level_1", "draft": "1"}, "resend/": {}, "language/": {"lang": "es"},
    "handover/": {}, "continue/": {}, "status/": {}, "delete/": {}, "upload/": {"level": "level_1"},
}  # fmt: skip
NO_CUSTOMERS = {"embed", "embed-version", "healthz", "readyz", "metrics", "version", None}  # GET only, or the console


def _rows(server: Server, reference: str) -> list[tuple[Any, ...]]:
    """All that is stored about a flow."""
    with contextlib.closing(sqlite3.connect(server.env["DATABASE_URL"].removeprefix("sqlite:///"))) as database:
        (flow,) = database.execute("SELECT * FROM onboarding_flow WHERE reference = ?", [reference])
        return [flow, *database.execute("SELECT * FROM onboarding_submission WHERE flow_id = ?", [flow[0]])]


def _age(server: Server, reference: str, minutes: int) -> None:
    """The flow was last touched so long ago, and has not expired."""
    with contextlib.closing(sqlite3.connect(server.env["DATABASE_URL"].removeprefix("sqlite:///"))) as database:
        change = "UPDATE onboarding_flow SET touched_at = datetime('now', ?) WHERE reference = ?"
        database.execute(change, [f"-{minutes} minutes", reference])
        database.commit()


def test_every_address_is_looked_at_here() -> None:
    names = {pattern.name for pattern in get_resolver().url_patterns if hasattr(pattern, "name")} - NO_CUSTOMERS
    below = {re.sub("/", "", name) for name in BELOW}
    answered = {"identify", "password", "verify", "path", "level"}
    assert names == {"start", "partner", "check", "link", "flow", "answer", "elsewhere"} | below - answered - {
        "", "status"
    }  # fmt: skip


@pytest.mark.parametrize("headers", FOREIGN, ids=lambda headers: " ".join(headers.values()))
def test_a_foreign_post_has_no_effect_at_any_address(
    customer: Customer, server: Server, headers: dict[str, str]
) -> None:
    headers = {name: value.format(home=server.url) for name, value in headers.items()}
    customer.register()
    reference, flow = customer.shown.reference, customer.flow_url
    customer.post(flow + "handover/", {})
    link = re.findall(r"/h/[\w.-]+/", customer.shown.text)[0]
    before = _rows(server, reference)
    told = len(customer.sandbox.calls())
    files = {"el-proof_of_passpord": ("a.png", picture(), "image/png")}
    for path, data in BELOW.items():
        shown = customer.post(flow + path, data, files=files if path == "upload/" else None, **headers)
        assert (shown.status, shown.problem) == (403, "not-allowed"), path
    for path, data in ((link, {"nonce": "A" * 22}), ("/", customer.sent), ("/p/default/check/", {})):
        assert customer.post(path, data, **headers).status == 403, path
    customer.post("/p/default/", {**customer.sent, "email": fresh_email()}, **headers)
    assert customer.shown.status == 403
    assert _rows(server, reference) == before
    assert len(customer.sandbox.calls()) == told


def test_a_browser_that_does_not_say_is_believed_for_a_while_and_then_asked_to_press_a_button(
    customer: Customer, server: Server
) -> None:
    customer.register()
    reference, flow = customer.shown.reference, customer.flow_url
    _age(server, reference, 14)
    assert customer.post(flow + "level/", {"level": "level_1"}).status == 422
    _age(server, reference, 16)
    before = _rows(server, reference)
    for path, data in BELOW.items():
        files = {"el-proof_of_passpord": ("a.png", picture(600, 600), "image/png")} if path == "upload/" else None
        assert customer.post(flow + path, data, files=files).status == 403, path
        assert customer.post(flow + path, {**data, "back": "x"}).status == 403, path
    assert _rows(server, reference) == before
    for headers in ({"Origin": server.url}, {"Sec-Fetch-Site": "same-origin"}):
        assert customer.post(flow + "level/", {"level": "level_1"}, **headers).status == 422

    _age(server, reference, 16)
    customer.post(flow + "level/", {"level": "level_1"})
    action, value = re.findall(
        r'action="([^"]+)"><input type="hidden" name="back" value="([^"]+)"', customer.shown.text
    )[0]
    shown = customer.post(action, {"back": value})
    assert (shown.status, shown.step) == (200, "level")
    _age(server, reference, 16)
    in_parts = customer.post(action, {"back": value}, files={"other": ("a.txt", b"some", "text/plain")})
    assert (in_parts.status, in_parts.step) == (200, "level")
    assert customer.level().step == "done"


def test_the_button_of_another_flow_opens_nothing(customer: Customer, server: Server, sandbox: Sandbox) -> None:
    other = Customer(server, sandbox)
    values = []
    for one in (customer, other):
        one.identify()
        _age(server, one.shown.reference, 20)
        flow = one.flow_url
        one.post(flow + "resend/", {})
        values.append(one.shown.value("back"))
    assert customer.post(flow, {"back": values[0]}).status == 403
    assert other.post(flow, {"back": values[1]}).status == 200


class _Earlier(signing.TimestampSigner):
    """Signs as it was done some minutes ago."""

    minutes = 0

    def timestamp(self) -> str:
        return signing.b62_encode(int(time.time()) - 60 * self.minutes)


def _aged(landing: str, minutes: int) -> str:
    """The same landing, signed so long ago."""
    with override_settings(SECRET_KEY=TEST_KEY):
        signer = _Earlier(salt="onboarding.landing")
        signer.minutes = minutes
        return signer.sign(landing.rsplit(":", 2)[0])


def test_a_landing_that_a_silent_browser_brings_must_be_fresh_and_the_answer_renews_it(
    customer: Customer, server: Server
) -> None:
    customer.get("/")
    data = {
        "landing": _aged(customer.shown.value("landing"), 16), "channel": "email", "email": fresh_email(),
        "country": "GB", "account_type": "individual", "terms": "on",
    }  # fmt: skip
    shown = customer.post("/", data)
    assert (shown.status, shown.step, shown.value("email")) == (422, "identify", data["email"])
    assert "/f/" not in shown.response.url
    assert customer.post("/", {**data, "landing": shown.value("landing")}).step == "password"
    said = ({"Origin": server.url}, {"Sec-Fetch-Site": "same-origin"})
    for minutes, headers in ((14, {}), *((16, one) for one in said)):
        landing = _aged(customer.get("/").value("landing"), minutes)  # each begins one flow
        body = {**data, "email": fresh_email(), "landing": landing}
        assert customer.post("/", body, **headers).step == "password"
