"""A slow or dead upstream stays outside: it is said on the first page, nothing is lost, and it ends by itself."""

from __future__ import annotations

import re
import sqlite3
import statistics
import time
from collections.abc import Callable, Iterator

import pytest
import requests

from onboarding.sandbox.server import Sandbox
from tests.stuck import Relay, collect, first_answers, send_at_once
from tests.support import Customer, Server

PLACES = 8
PAUSED = {
    "en": "Accounts cannot be opened right now",
    "es": "Ahora mismo no se pueden abrir cuentas",
    "zh-CN": "目前暂时无法开户",
}


@pytest.fixture
def relay(sandbox: Sandbox) -> Iterator[Relay]:
    opened = Relay(sandbox.url)
    yield opened
    opened.close()


def start(start_server: Callable[..., Server], relay: Relay, **settings: str) -> Server:
    return start_server(
        upstream=relay.url + "/api", PASSWORD_STEP="off", PROOF_OF_WORK="off", UPSTREAM_MAX_IN_FLIGHT=str(PLACES),
        UPSTREAM_CONNECT_TIMEOUT="1", **settings,
    )  # fmt: skip


def seconds_of(url: str, calls: int) -> float:
    """The median of so many GETs, each over a connection of its own like a new visitor's."""
    taken = []
    for _ in range(calls):
        began = time.monotonic()
        assert requests.get(url, timeout=30).status_code == 200
        taken.append(time.monotonic() - began)
    return statistics.median(taken)


def submission(server: Server, reference: str) -> dict[str, object]:
    """The one of this flow, but for the moments at which somebody last took it up."""
    with sqlite3.connect(server.env["DATABASE_URL"].removeprefix("sqlite:///")) as database:
        database.row_factory = sqlite3.Row
        (row,) = database.execute(
            "SELECT s.* FROM onboarding_submission s JOIN onboarding_flow f ON f.id = s.flow_id WHERE f.reference = ?",
            [reference],
        )
    return {name: row[name] for name in row.keys() if name not in ("planned_at", "sent_at")}


def until(holds: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.2)


def test_a_hanging_upstream_stays_outside_and_comes_back_by_itself(
    start_server: Callable[..., Server], sandbox: Sandbox, relay: Relay
) -> None:
    server = start(start_server, relay, UPSTREAM_READ_TIMEOUT="5")
    customer = Customer(server, sandbox)
    customer.identify()
    customer.verify()
    assert customer.shown.step == "level"
    pages = [server.url + "/", customer.flow_url]
    before = [seconds_of(url, 9) for url in pages]
    bodies = first_answers(Customer(server, sandbox), 6 * PLACES)
    bodies += bodies[:1] * (4 * PLACES)  # somebody presses again and again

    relay.turn("hang")
    posts = send_at_once(server, bodies)
    until(lambda: relay.met >= PLACES)
    stuck = [seconds_of(url, 9) for url in pages]
    for fast, slow in zip(before, stuck, strict=True):
        assert slow < 15 * fast, f"{slow / fast:.1f} times as long while {PLACES} calls hang"

    assert collect(posts, 40) == []  # as many as there are places have hung, and the circuit has opened
    assert {post.status for post in posts} == {503} and all(post.retry_after for post in posts)
    until(lambda: requests.get(server.url + "/readyz").json().get("degraded") == ["breaker-open"])
    until(lambda: int(customer.identify().response.headers["Retry-After"]) > 5)  # a probe has failed: a longer pause
    shown = customer.identify()
    assert (shown.status, shown.problem) == (503, "busy")
    way = re.search(r'class="primary" href="(/f/[^"]+)"', shown.text)
    assert way is not None
    shown = customer.get(way.group(1))
    assert shown.step == "verify" and customer.sent["email"] in shown.text
    row = submission(server, shown.reference)
    assert row["state"] == "planned" and row["code"] == "", "nothing was sent"
    assert customer.post(customer.flow_url + "resend/", {}).problem == "busy"
    assert submission(server, shown.reference) == row, "a refusal before anything was sent changes nothing"
    for language, text in PAUSED.items():
        shown = customer.get("/", lang=language)
        assert (shown.status, shown.step) == (200, "identify") and text in shown.text and 'name="email"' in shown.text
    assert 'onboarding_upstream_circuit{circuit="message"} 2.0' in requests.get(server.url + "/metrics").text
    flow = way.group(1)

    relay.turn("pass")
    until(lambda: customer.post(flow + "resend/", {}).status == 200)
    assert customer.verify().step == "level"
    assert PAUSED["en"] not in customer.get("/", lang="en").text
    until(lambda: requests.get(server.url + "/readyz").json() == {"status": "ok"})  # it asks for lists, which probes


def test_a_process_that_never_reached_the_upstream_shows_every_step_it_can(
    start_server: Callable[..., Server], customer: Customer, server: Server, relay: Relay
) -> None:
    customer.register()
    relay.turn("hang")
    again = start(start_server, relay, UPSTREAM_READ_TIMEOUT="4", database=server.env["DATABASE_URL"])
    shown = Customer(again, customer.sandbox).get(customer.flow_url.replace(server.url, again.url))
    assert (shown.status, shown.step) == (200, "level")
    assert "Passport" in shown.text


def test_a_process_whose_settings_never_worked_is_not_ready(start_server: Callable[..., Server]) -> None:
    with Sandbox(port=0, company_id="7") as strict:
        server = start_server(upstream=strict.url + "/api")
        assert requests.get(server.url + "/readyz").status_code == 200
        until(lambda: requests.get(server.url + "/readyz").status_code == 503)
        assert requests.get(server.url + "/readyz").json() == {"status": "misconfigured"}
        page = requests.get(server.url + "/", headers={"Accept-Language": "en"})
        assert page.status_code == 200 and PAUSED["en"] in page.text
        strict.state.company_id = "439"
        until(lambda: requests.get(server.url + "/readyz").json() == {"status": "ok"})
        assert PAUSED["en"] not in requests.get(server.url + "/").text
