"""What the upstream's answers mean for the next calls: nothing goes out that must not, over real sockets."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from onboarding.sandbox.server import Sandbox
from onboarding.upstream import budget
from onboarding.upstream.breaker import Limits
from onboarding.upstream.client import Call, UpstreamClient, UpstreamConfig
from onboarding.upstream.errors import (
    Misconfigured,
    OutcomeUnknown,
    Refused,
    UpstreamError,
    UpstreamUnavailable,
    Wait,
    told_to_wait,
)
from onboarding.upstream.gate import REGISTRATION, Gate
from tests.contract.test_replies import APPLICATION, LOGIN, REGISTER, SEND, Line, client_for
from tests.support import free_port


@pytest.fixture
def line() -> Iterator[Line]:
    opened = Line()
    yield opened
    opened.close()


def key(name: str, **more: Any) -> Call:
    return Call(idempotency_key=name, **more)


def outcome(client: UpstreamClient, call: Call, ask: str = "register") -> str:
    """The code of the error, "" when there is none."""
    asks: dict[str, Callable[[], object]] = {
        "register": lambda: client.register(REGISTER, call),
        "send_code": lambda: client.send_code(SEND, call),
        "countries": lambda: client.countries(call),
    }
    try:
        asks[ask]()
    except UpstreamError as error:
        return error.code
    return ""


# Waits that the upstream asks for


def test_after_too_many_requests_nobody_asks_that_endpoint_before_it_is_time(line: Line) -> None:
    client = client_for(line)
    line.says(b"slow down", "429 Too Many", "Retry-After: 0.6\r\n")
    assert outcome(client, key("ann")) == "HTTP_429"
    with pytest.raises(UpstreamUnavailable) as caught:
        client.register(REGISTER, key("ben"))
    assert (caught.value.code, line.requests) == ("TOLD_TO_WAIT", 1)
    assert 0 < (caught.value.retry_after or 0) <= 0.6
    assert 0 < client.gate.refuses_for(REGISTRATION) <= 0.6 and client.gate.words() == ["told-to-wait"]
    line.tells(data={"token": "t"})
    assert outcome(client, key("ben"), "send_code") == "", "limits count per endpoint"
    time.sleep(0.7)
    assert outcome(client, key("ben")) != "TOLD_TO_WAIT" and line.requests == 3


def test_somebody_else_may_ask_when_the_answer_says_that_calls_are_left(line: Line) -> None:
    client = client_for(line)
    line.says(b"", "429 Too Many", "x-ratelimit-remairing: 120\r\nRetry-After: 30\r\n")
    assert [outcome(client, key(name)) for name in ("ann", "ann", "ben")] == ["HTTP_429", "TOLD_TO_WAIT", "HTTP_429"]
    assert line.requests == 2


@pytest.mark.parametrize("name", ["x-ratelimit-remairing", "x-ratelimit-remaining"])
def test_the_last_call_of_a_cycle_is_the_last_until_the_next(line: Line, name: str) -> None:
    client = client_for(line)
    line.says(b'{"code":"0","data":{"token":"t"}}', headers=f"{name}: 0\r\nx-ratelimit-reset: 41\r\n")
    assert [outcome(client, key(who), "send_code") for who in ("ann", "ben")] == ["", "TOLD_TO_WAIT"]


def test_a_real_limit_is_kept_by_asking_no_more() -> None:
    with Sandbox(port=0, rate_limit=3) as sandbox:
        client = UpstreamClient(UpstreamConfig(base_url=sandbox.url + "/api", company_id="1"))
        found = [outcome(client, Call(), "countries") for _ in range(6)]
        client.close()
    assert (found, len(sandbox.calls())) == (["", "", "", *["TOLD_TO_WAIT"] * 3], 3)


@pytest.mark.parametrize(
    ("status", "headers", "wait"),
    [
        (429, {}, Wait(60, True)),
        (429, {"retry-after": "600000"}, Wait(3600, True)),
        (429, {"x-ratelimit-reset": "41", "x-ratelimit-remaining": "0"}, Wait(41, True)),
        (429, {"x-ratelimit-reset": "41", "x-ratelimit-remaining": "7"}, Wait(41, False)),
        (429, {"retry-after": "0"}, None),
        (200, {"x-ratelimit-reset": "41", "x-ratelimit-remairing": "1"}, None),
        (200, {"x-ratelimit-remairing": "0"}, None),
        (200, {"retry-after": "9"}, None),
        (503, {"retry-after": "9"}, Wait(9, True)),
        (503, {"retry-after": "3600"}, Wait(60, True)),
        (503, {}, None),
    ],
)
def test_how_long_an_answer_asks_to_be_left_alone(status: int, headers: dict[str, str], wait: Wait | None) -> None:
    assert told_to_wait(status, headers, now=0.0) == wait


# Dead or hanging services


def test_nothing_is_sent_to_a_service_that_failed_five_customers(line: Line, caplog: pytest.LogCaptureFixture) -> None:
    client = client_for(line)
    line.says(b"", "500 Internal Server Error")
    with caplog.at_level(logging.INFO, "onboarding.upstream"):
        assert {outcome(client, key(str(number))) for number in range(5)} == {"HTTP_500"}
        with pytest.raises(UpstreamUnavailable) as caught:
            client.register(REGISTER, key("six"))
    assert (caught.value.code, line.requests) == ("BREAKER_OPEN", 5)
    assert 1 <= (caught.value.retry_after or 0) <= 5
    assert len([row for row in caplog.messages if "circuit customer is open" in row]) == 1
    line.tells(data={"token": "t"})
    assert outcome(client, key("seven"), "send_code") == "", "who has no code yet is served by another service"


def test_one_customers_odd_answer_stops_nobody(line: Line) -> None:
    client = client_for(line)
    line.tells("500")
    assert {outcome(client, key("ann")) for _ in range(20)} == {"500"}
    assert outcome(client, key("ben")) == "500"


def test_one_customers_session_is_one_customer_however_many_keys_it_sends(line: Line) -> None:
    client = client_for(line)
    line.says(b"", "500 Internal Server Error")
    for number in range(20):  # drafts, say: each has a key of its own
        with pytest.raises(OutcomeUnknown):
            client.apply_level(APPLICATION, key(str(number), token="ann's session"))
        with pytest.raises(OutcomeUnknown):
            client.login(LOGIN, Call(who="ann's flow"))
    assert outcome(client, key("ben")) == "HTTP_500"


def test_what_the_upstream_refuses_is_no_failure(line: Line) -> None:
    client = client_for(line)
    for code in ("CUSTOMER_API_0000511", "CUSTOMER_API_0000106", "GATEWAY_CODE_018", "GATEWAY_CODE_005"):
        line.tells(code)
        assert {outcome(client, key(f"{code} {number}")) for number in range(10)} == {code}


def test_a_dead_dictionary_does_not_stop_registrations(line: Line) -> None:
    client = client_for(line)
    line.says(b"", "502 Bad Gateway")
    assert [outcome(client, Call(), "countries") for _ in range(7)][-1] == "BREAKER_OPEN"
    line.tells("CUSTOMER_API_0000511")
    assert outcome(client, key("ann")) == "CUSTOMER_API_0000511"


def test_without_a_connection_nothing_behind_the_host_is_asked() -> None:
    client = UpstreamClient(UpstreamConfig(base_url=f"http://127.0.0.1:{free_port()}/api", company_id="1"))
    assert {outcome(client, Call(), "countries") for _ in range(5)} == {"CONNECT"}
    assert outcome(client, key("ann")) == "BREAKER_OPEN"
    assert client.gate.words() == ["breaker-open"]


def test_a_question_about_an_unknown_outcome_is_asked_although_the_circuit_is_open(line: Line) -> None:
    client = client_for(line)
    line.says(b"", "500 Internal Server Error")
    for number in range(5):
        outcome(client, key(str(number)))
    assert outcome(client, key("0")) == "BREAKER_OPEN"
    assert outcome(client, key("0", question=True)) == "HTTP_500"
    line.tells("CUSTOMER_API_0000511")
    assert outcome(client, key("0", question=True)) == "CUSTOMER_API_0000511"
    assert outcome(client, key("new")) == "CUSTOMER_API_0000511", "the answer has closed the circuit"


def test_kept_failures_that_questions_are_told_do_not_open_a_circuit(line: Line) -> None:
    client = client_for(line)
    line.tells("500")
    assert {outcome(client, key(str(number), question=True)) for number in range(20)} == {"500"}


# The time of one request


def test_a_request_spends_no_more_than_its_time_on_all_its_calls(line: Line) -> None:
    line.answer = lambda _peer: line.stopping.wait(5) and None
    client = client_for(line)
    began = time.monotonic()
    with budget.spending(1.4):
        found = [outcome(client, key(str(number))) for number in range(3)]
    assert (found, line.requests) == (["TIMEOUT", "NO_TIME", "NO_TIME"], 1)
    assert time.monotonic() - began < 3.0
    assert client.gate.words() == [] and budget.left() == math.inf


def test_a_call_that_was_cut_short_speaks_against_nobody(line: Line) -> None:
    line.answer = lambda _peer: line.stopping.wait(5) and None
    client = client_for(line)
    for number in range(6):
        assert outcome(client, key(str(number), read_timeout=0.05)) == "TIMEOUT"
    assert client.gate.words() == []


# What only the operator can mend


def gate(now: list[float]) -> Gate:
    return Gate(Limits(), lambda: now[0])


def ends(door: Gate, endpoint: str, who: str, error: UpstreamError | None) -> None:
    """One call that ended so."""
    permit = door.enter(endpoint, who, question=False, trace="")
    door.leave(permit, error, patient=True, wait=None)


def test_what_everybody_is_told_and_only_the_operator_can_mend_is_known_until_another_answer() -> None:
    now = [0.0]
    door = gate(now)
    tenant = Misconfigured("CUSTOMER_API_0000111")
    for now[0] in range(30):
        ends(door, "register", "ann", tenant)
    assert (door.words(), door.mended_after(("register",))) == ([], 0)
    for who in ("ben", "cem"):
        ends(door, "register", who, tenant)
    assert (door.words(), door.never_worked()) == (["misconfigured"], True)
    now[0] = 100.0
    assert door.mended_after(("register",)) == 229.0
    ends(door, "register", "dora", Refused("CUSTOMER_API_0000511"))
    assert (door.words(), door.never_worked(), door.mended_after(("register",))) == ([], False, 0)
    for who in ("ann", "ben", "cem"):
        ends(door, "register", who, tenant)
    assert door.words() == [], "three at once may be a hiccup"
    now[0] = 106.0
    ends(door, "register", "ann", tenant)
    assert (door.words(), door.never_worked()) == (["misconfigured"], False), "a process that has worked stays ready"


def test_one_interface_that_is_not_open_to_us_leaves_a_process_ready() -> None:
    now = [0.0]
    door = gate(now)
    for who, now[0] in (("1", 0.0), ("2", 10.0), ("3", 20.0)):
        ends(door, "countries", who, Misconfigured("GATEWAY_CODE_019"))
    assert (door.words(), door.never_worked(), door.mended_after(("send_code", "register"))) == (
        ["misconfigured"],
        False,
        0,
    )


def test_a_circuit_closes_by_itself_when_the_probe_is_answered() -> None:
    now = [0.0]
    door = gate(now)
    for number in range(5):
        ends(door, "send_code", str(number), OutcomeUnknown("TIMEOUT"))
    assert 2.5 <= door.refuses_for(("send_code", "register")) <= 5 and door.is_doubtful()
    now[0] = 6.0
    assert door.refuses_for(("send_code", "register")) == 0
    ends(door, "send_code", "ann", None)
    assert not door.is_doubtful() and door.words() == []
