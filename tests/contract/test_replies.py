"""What the client makes of replies, good, bad and half (docs/upstream.md 1.3, 1.4, 2, 6), over real sockets."""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import io
import ipaddress
import json
import logging
import socket
import ssl
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from onboarding.domain.levels import Kind
from onboarding.upstream.client import Call, UpstreamClient, UpstreamConfig
from onboarding.upstream.codes import CODES, Field, Verdict
from onboarding.upstream.errors import (
    ContractBroken,
    Misconfigured,
    OutcomeUnknown,
    Refused,
    SessionEnded,
    UpstreamError,
    UpstreamUnavailable,
)
from onboarding.upstream.transport import default_tls
from onboarding.upstream.wire import (
    BizType,
    Country,
    DictionaryItem,
    FindLevelsRequest,
    LevelApplication,
    LoginRequest,
    RegisterRequest,
    Review,
    ReviewStatus,
    SendCodeRequest,
)
from tests.certificates import certificate

REGISTER = RegisterRequest(
    type=1,
    login_name="ann@example.org",
    country="GB",
    verify_code="482913",
    send_token="t1cket",
    register_source=2,
    open_account_type=0,
)
SEND = SendCodeRequest(biz_type=BizType.EMAIL_REGISTER, to_user="ann@example.org")
LOGIN = LoginRequest(type=1, login_name="ann@example.org", device=2, password_md5="0" * 32)
APPLICATION = LevelApplication(level_code="level_1", open_account_type=0, elements=[("name", "Ann")])
CALL = Call()
Answer = Callable[[socket.socket], None]


class Line:
    """A server that reads one request for each connection and does with the socket what the test says."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.answer: Answer = lambda _peer: None
        self.tls: Path | None = None
        self.requests = 0
        self.stopping = threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self.stopping.set()
        self._listener.close()

    def says(self, body: bytes, status: str = "200 OK", headers: str = "", length: int | None = None) -> None:
        size = len(body) if length is None else length
        head = f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {size}\r\n{headers}\r\n".encode()
        self.sends(head + body)

    def sends(self, raw: bytes) -> None:
        self.answer = lambda peer: peer.sendall(raw)

    def tells(self, code: str = "0", data: Any = None, **more: Any) -> None:
        self.says(json.dumps({"code": code, "msg": "said", "data": data, **more}).encode())

    def _serve(self) -> None:
        while not self.stopping.is_set():
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._meet, args=(peer,), daemon=True).start()

    def _meet(self, peer: socket.socket) -> None:
        with contextlib.suppress(OSError), peer:
            peer.settimeout(5)
            if self.tls:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(self.tls)
                peer = context.wrap_socket(peer, server_side=True)
            received = b""
            while b"\r\n\r\n" not in received:
                if not (block := peer.recv(65536)):
                    return
                received += block
            head, body = received.split(b"\r\n\r\n", 1)
            size = next((int(row[15:]) for row in head.lower().split(b"\r\n") if row.startswith(b"content-length:")), 0)
            while len(body) < size:
                body += peer.recv(65536)
            self.requests += 1
            self.answer(peer)
            peer.shutdown(socket.SHUT_WR)
            peer.close()


@pytest.fixture
def line() -> Iterator[Line]:
    opened = Line()
    yield opened
    opened.close()


def client_for(line: Line, **settings: Any) -> UpstreamClient:
    base = {"base_url": f"http://127.0.0.1:{line.port}/api", "company_id": "1", "read_timeout": 5.0}
    return UpstreamClient(UpstreamConfig(**{**base, **settings}), now=lambda: 1760000000.0)


def failure(line: Line, ask: Callable[[UpstreamClient], Any] | None = None, **settings: Any) -> UpstreamError:
    client = client_for(line, **settings)
    with pytest.raises(UpstreamError) as caught:
        (ask or (lambda c: c.register(REGISTER, CALL)))(client)
    client.close()
    return caught.value


# Codes and statuses


def test_every_listed_code_reaches_the_caller_as_its_error(line: Line) -> None:
    client = client_for(line)
    seen: dict[str, str] = {}
    for code in CODES:
        line.tells(code, "customer.app.CustomerWebApiService.login")
        with pytest.raises(UpstreamError) as caught:
            client.login(LOGIN, CALL)
        assert caught.value.code == code and caught.value.message == "said"
        seen[code] = caught.value.field if isinstance(caught.value, Refused) else type(caught.value).__name__
    names = {
        Verdict.UNAVAILABLE: "UpstreamUnavailable",
        Verdict.UNKNOWN: "OutcomeUnknown",
        Verdict.SESSION: "SessionEnded",
        Verdict.OPERATOR: "Misconfigured",
        Verdict.CONTRACT: "ContractBroken",
    }
    assert seen == {code: names.get(v, v) if isinstance(v, Verdict) else v for code, v in CODES.items()}


@pytest.mark.parametrize(
    "body",
    [
        {"msg": "Illegal request parameters", "code": "F999999", "bizCode": "G"},
        {"msg": "x", "trace": "t", "code": "GATEWAY_CODE_018", "data": "service", "bizCode": "G"},
    ],
)
def test_replies_made_by_the_gateway_lack_half_the_envelope(line: Line, body: dict[str, Any]) -> None:
    line.says(json.dumps(body).encode())
    assert failure(line).code == body["code"]


@pytest.mark.parametrize("name", ["x-ratelimit-remairing", "X-RateLimit-Remaining"])
def test_too_many_requests_say_how_long_to_wait(line: Line, name: str) -> None:
    line.says(b"slow down", "429 Too Many", f"x-ratelimit-limit: 300\r\n{name}: 0\r\nx-ratelimit-reset: 41\r\n")
    error = failure(line)
    assert type(error) is UpstreamUnavailable and (error.status, error.retry_after) == (429, 41.0)


def test_retry_after_goes_before_the_cycle(line: Line) -> None:
    line.says(b"", "429 Too Many", "Retry-After: 3\r\nx-ratelimit-reset: 41\r\n")
    assert failure(line).retry_after == 3.0


def test_the_firewalls_puzzle_is_a_wait(line: Line) -> None:
    line.says(b"<html>puzzle</html>", "405 Not Allowed", "x-amzn-waf-action: captcha\r\n")
    error = failure(line)
    assert type(error) is UpstreamUnavailable and error.code == "WAF"


@pytest.mark.parametrize(
    ("status", "error"),
    [
        ("500 Oh", OutcomeUnknown),
        ("502 Bad", OutcomeUnknown),
        ("503 No", OutcomeUnknown),
        ("504 Late", OutcomeUnknown),
        ("405 No", Misconfigured),
        ("404 No", Misconfigured),
        ("403 No", ContractBroken),
        ("400 No", ContractBroken),
    ],
)
def test_a_failing_status_decides_by_itself(line: Line, status: str, error: type[UpstreamError]) -> None:
    line.says(b"<html></html>", status)
    found = failure(line)
    assert type(found) is error and found.code == f"HTTP_{status[:3]}"


def test_a_redirect_is_not_followed(line: Line) -> None:
    line.says(b"elsewhere", "302 Found", f"Location: http://127.0.0.1:{line.port}/other\r\n")
    error = failure(line)
    assert type(error) is Misconfigured and error.code == "HTTP_302" and line.requests == 1


@pytest.mark.parametrize(
    ("body", "code"),
    [(b"", "EMPTY"), (b"<!doctype html>", "NOT_JSON"), (b'{"code":"0",', "NOT_JSON"), (b"[1]", "NO_ENVELOPE")],
)
def test_a_body_that_is_no_envelope_leaves_the_outcome_open(line: Line, body: bytes, code: str) -> None:
    line.says(body)
    error = failure(line)
    assert type(error) is OutcomeUnknown and error.code == code and error.status == 200


# Broken lines


def test_a_cut_body_leaves_the_outcome_open(line: Line) -> None:
    body = b'{"code":"0","data":{"customerNo":"1"}}'
    line.says(body, length=len(body) + 1)
    error = failure(line)
    assert type(error) is OutcomeUnknown and error.code == "CUT"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nab",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n",
    ],
    ids=["nothing", "half-headers", "no-http", "half-chunk", "no-chunk", "no-gzip", "many-headers", "long-header"],
)
def test_a_broken_reply_leaves_the_outcome_open(line: Line, raw: bytes) -> None:
    line.sends(raw)
    error = failure(line)
    assert type(error) is OutcomeUnknown and error.code in ("CUT", "EMPTY")


def test_silence_leaves_the_outcome_open_after_the_reading_time(line: Line) -> None:
    line.answer = lambda _peer: line.stopping.wait(3) and None
    started = time.monotonic()
    error = failure(line, read_timeout=0.3)
    assert type(error) is OutcomeUnknown and error.code == "TIMEOUT" and error.status == 0
    assert time.monotonic() - started < 1.5


def dripping(line: Line, start: bytes, drop: bytes) -> Answer:
    def answer(peer: socket.socket) -> None:
        peer.sendall(start)
        while not line.stopping.wait(0.05):
            peer.sendall(drop)

    return answer


@pytest.mark.parametrize(
    ("start", "drop"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", b" "),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
        (b"HTTP/1.1 200 OK\r\nX: ", b"y"),
        (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
    ids=["body", "chunks", "header", "headers", "continue"],
)
def test_a_dripping_reply_cannot_hold_us_beyond_the_reading_time(line: Line, start: bytes, drop: bytes) -> None:
    line.answer = dripping(line, start, drop)
    started = time.monotonic()
    error = failure(line, read_timeout=0.4)
    assert type(error) is OutcomeUnknown and error.code == "TIMEOUT"
    assert 0.3 < time.monotonic() - started < 1.5


def test_a_call_may_have_a_reading_time_of_its_own(line: Line) -> None:
    line.answer = lambda _peer: line.stopping.wait(3) and None
    started = time.monotonic()
    assert failure(line, lambda c: c.register(REGISTER, Call(read_timeout=0.2))).code == "TIMEOUT"
    assert failure(line, lambda c: c.register(REGISTER, Call(read_timeout=0.0))).code == "TIMEOUT"
    assert time.monotonic() - started < 1.5


def test_a_status_that_decides_needs_no_whole_body(line: Line) -> None:
    line.says(b"half", "429 Too Many", length=9999)
    assert type(failure(line)) is UpstreamUnavailable


@pytest.mark.parametrize("packed", [False, True])
def test_an_oversized_reply_is_not_read_to_its_end(line: Line, packed: bool) -> None:
    body = json.dumps({"code": "0", "data": "x" * 5_000_000}).encode()
    body = gzip.compress(body) if packed else body
    line.says(body, headers="Content-Encoding: gzip\r\n" if packed else "")
    error = failure(line)
    assert type(error) is OutcomeUnknown and error.code == "TOO_LARGE"


def test_an_oversized_redirect_is_not_read_either(line: Line) -> None:
    line.says(b"x" * 3_000_000, "302 Found", "Location: /x\r\n")
    assert failure(line).code == "HTTP_302"


def test_a_packed_reply_is_unpacked(line: Line) -> None:
    line.says(gzip.compress(b'{"code":"0","data":{"token":"t"}}'), headers="Content-Encoding: gzip\r\n")
    assert client_for(line).send_code(SEND, CALL) == "t"


def test_a_kept_connection_that_died_leaves_the_outcome_open(line: Line) -> None:
    """Whether the request was read cannot be known: the same key is asked again."""
    body = b'{"code":"0","data":{"token":"t"}}'
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode()

    def twice(peer: socket.socket) -> None:
        peer.sendall(head + body)
        peer.recv(65536)  # the next request comes, and nobody answers it

    line.answer = twice
    client = client_for(line)
    assert client.send_code(SEND, CALL) == "t"
    with pytest.raises(OutcomeUnknown, match="CUT"):
        client.send_code(SEND, CALL)
    line.tells("0", {"token": "again"})
    assert client.send_code(SEND, CALL) == "again"


# Nothing was sent


def test_a_refused_connection_sent_nothing() -> None:
    line = Line()
    line.close()
    with socket.create_server(("127.0.0.1", 0)) as free:
        line.port = free.getsockname()[1]
    error = failure(line)
    assert type(error) is UpstreamUnavailable and error.code == "CONNECT" and error.status == 0


def test_an_unknown_name_sent_nothing() -> None:
    client = UpstreamClient(UpstreamConfig(base_url="http://nowhere.invalid/api", company_id="1"))
    with pytest.raises(UpstreamUnavailable, match="CONNECT"):
        client.register(REGISTER, CALL)


def test_a_connection_that_does_not_come_about_sent_nothing() -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:  # until the queue of the kernel is full
            filler.setblocking(False)
            filler.connect_ex(deaf.getsockname())
        client = UpstreamClient(
            UpstreamConfig(
                base_url=f"http://127.0.0.1:{deaf.getsockname()[1]}/api", company_id="1", connect_timeout=0.2
            )
        )
        with pytest.raises(UpstreamUnavailable, match="CONNECT"):
            client.register(REGISTER, CALL)
        for filler in fillers:
            filler.close()


@pytest.mark.parametrize("raw", [b"", b"HTTP/1.1 200 OK\r\n\r\n", None], ids=["hangs up", "no TLS", "silent"])
def test_a_failed_handshake_sent_nothing(raw: bytes | None) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        done = threading.Event()

        def meet() -> None:
            peer, _ = listener.accept()
            with peer, contextlib.suppress(OSError):
                if raw is None:
                    done.wait(3)
                else:
                    peer.recv(10)
                    peer.sendall(raw)

        threading.Thread(target=meet, daemon=True).start()
        base = f"https://127.0.0.1:{listener.getsockname()[1]}/api"
        client = UpstreamClient(UpstreamConfig(base_url=base, company_id="1", connect_timeout=0.3))
        with pytest.raises(UpstreamUnavailable, match="CONNECT"):
            client.register(REGISTER, CALL)
        done.set()


def test_when_all_places_are_taken_nothing_is_sent(line: Line) -> None:
    held = threading.Event()
    line.answer = lambda _peer: held.wait(5) and None
    client = client_for(line, max_in_flight=1)
    first = threading.Thread(target=_try, args=(client,))
    first.start()
    while line.requests == 0:
        time.sleep(0.01)
    started = time.monotonic()
    with pytest.raises(UpstreamUnavailable) as caught:
        client.register(REGISTER, CALL)
    assert caught.value.code == "BULKHEAD" and time.monotonic() - started < 0.5
    held.set()
    first.join(5)
    line.tells("0", {"customerNo": "1"})
    assert client.register(REGISTER, CALL).customer_no == "1"


def _try(client: UpstreamClient) -> None:
    with contextlib.suppress(UpstreamError):
        client.register(REGISTER, CALL)


def tls_client(line: Line, file: Path | None, **settings: Any) -> UpstreamClient:
    context = ssl.create_default_context(cafile=str(file)) if file else None
    base = {"base_url": f"https://127.0.0.1:{line.port}/api", "company_id": "1", **settings}
    return UpstreamClient(UpstreamConfig(**base), tls=context)


@pytest.fixture
def tls_line(line: Line, tmp_path: Path) -> Line:
    line.tls = certificate(x509.IPAddress(ipaddress.ip_address("127.0.0.1")), tmp_path)
    return line


def test_a_trusted_certificate_for_this_host_is_accepted(tls_line: Line) -> None:
    tls_line.tells("0", {"token": "t"})
    client = tls_client(tls_line, tls_line.tls)
    assert [client.send_code(SEND, CALL) for _ in range(2)] == ["t", "t"]


def test_the_certificates_are_loaded_once_for_all_connections(
    tls_line: Line, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    loads = []
    for name in ("load_verify_locations", "load_default_certs"):
        real = getattr(ssl.SSLContext, name)

        def counted(*arguments: Any, _name: str = name, _real: Any = real, **options: Any) -> Any:
            loads.append(_name)
            return _real(*arguments, **options)

        monkeypatch.setattr(ssl.SSLContext, name, counted)
    monkeypatch.setenv("SSL_CERT_FILE", str(tls_line.tls))
    default_tls.cache_clear()
    request.addfinalizer(default_tls.cache_clear)  # nobody else trusts this certificate
    tls_line.tells("0", {"token": "t"})
    clients = [tls_client(tls_line, None) for _ in range(2)]
    assert [client.send_code(SEND, CALL) for client in clients * 3] == ["t"] * 6
    assert tls_line.requests == 6  # each over a connection of its own: this server closes them
    assert sorted(loads) == ["load_default_certs", "load_verify_locations"]  # the system's, and those of requests


def test_an_unknown_certificate_is_met_with_silence(tls_line: Line) -> None:
    with pytest.raises(UpstreamUnavailable, match="CONNECT"):
        tls_client(tls_line, None).register(REGISTER, CALL)
    assert tls_line.requests == 0


def test_a_certificate_for_another_host_is_met_with_silence(line: Line, tmp_path: Path) -> None:
    line.tls = certificate(x509.DNSName("elsewhere.example"), tmp_path)
    with pytest.raises(UpstreamUnavailable, match="CONNECT"):
        tls_client(line, line.tls).register(REGISTER, CALL)
    assert line.requests == 0


def test_reading_over_tls_is_bounded_too(tls_line: Line) -> None:
    tls_line.answer = dripping(tls_line, b"HTTP/1.1 200 OK\r\n", b"X: y\r\n")
    started = time.monotonic()
    with pytest.raises(OutcomeUnknown, match="TIMEOUT"):
        tls_client(tls_line, tls_line.tls, read_timeout=0.4).register(REGISTER, CALL)
    assert time.monotonic() - started < 1.5


# Good replies


def entry(level: str, path: str = "P1", **more: Any) -> dict[str, Any]:
    return {
        "levelCode": level,
        "levelName": level.upper(),
        "pathCode": path,
        "pathName": path,
        "elementList": [],
        **more,
    }


def test_a_registration_is_read(line: Line) -> None:
    element = {
        "elementCode": "birthday",
        "elementName": "Date of birth",
        "showType": "date",
        "extend": None,
        "elementValue": 642902400000,
        "elementCodeInputGroup": None,
    }
    data = {
        "customerNo": 86000123,
        "id": 1201,
        "email": "a***@example.org",
        "loginPassStatus": "1",
        "companyKycStatus": 1,
        "token": "s3ss10napp",
        "list": [
            entry("level_1", elementList=[element, element, {"elementName": "no code"}, None, 5], openAccountType="0"),
            entry("level_1", "P2", elementList=None),
            entry("level_2", openAccountType=1),
            entry("level_3", openAccountType=None),
            {"levelName": "no code"},
            None,
        ],
        "surprise": {"a": 1},
    }
    line.tells("0", data)
    answer = client_for(line).register(REGISTER, CALL)
    assert (answer.customer_no, answer.token, answer.in_review) == ("86000123", "s3ss10napp", False)
    assert answer.password_needed and answer.kyc_required
    assert [(level.code, level.name, len(level.paths), level.known) for level in answer.levels] == [
        ("level_1", "LEVEL_1", 1, True),
        ("level_3", "LEVEL_3", 0, False),
    ]
    (found,) = answer.levels[0].paths[0].elements
    assert (found.code, found.name, found.kind) == ("birthday", "Date of birth", Kind.DATE)
    assert (found.pattern, found.saved, found.saved_group) == ("", "642902400000", "")
    assert "s3ss10napp" not in repr(answer)


@pytest.mark.parametrize("data", [{}, {"list": None}, {"list": "x", "token": None, "customerNo": None}])
def test_a_registration_needs_nothing_but_an_object(line: Line, data: Any) -> None:
    line.tells("0", data)
    answer = client_for(line).register(REGISTER, CALL)
    assert (answer.customer_no, answer.token, answer.levels) == ("", "", ())
    assert not (answer.in_review or answer.password_needed or answer.kyc_required)


@pytest.mark.parametrize(
    ("data", "customer_no"),
    [({"customerNo": "86000124"}, "86000124"), ("customer.app.CustomerWebApiService.register", ""), (None, "")],
)
def test_manual_review_is_a_registration_whatever_its_data(line: Line, data: Any, customer_no: str) -> None:
    line.tells("CUSTOMER_API_00010001", data)
    answer = client_for(line).register(REGISTER, CALL)
    assert answer.in_review and answer.customer_no == customer_no and answer.levels == ()


@pytest.mark.parametrize("data", [None, "text", 5, [], [{}], True])
def test_a_success_that_cannot_be_read_breaks_the_contract(line: Line, data: Any) -> None:
    line.tells("0", data)
    error = failure(line)
    assert type(error) is ContractBroken and (error.code, error.status) == ("UNREADABLE", 200)


def test_countries_are_the_enabled_ones_with_a_tidy_area(line: Line) -> None:
    line.tells(
        "0",
        [
            {
                "code": "CN",
                "displayName": "China",
                "nationalCode": "cn",
                "countryCode": "86",
                "extend": "^1",
                "status": 1,
                "childs": None,
            },
            {
                "code": "GB",
                "name": "Britain",
                "nationalCode": "GB",
                "countryCode": "+44",
                "extend": None,
                "status": "1",
            },
            {"code": "AQ", "countryCode": None},
            {"code": "XX", "status": 2},
            {"code": "YY", "status": 3},
            {"displayName": "no code"},
            None,
            "text",
        ],
    )
    assert client_for(line).countries(CALL) == (
        Country("CN", "China", "CN", "+86", "^1"),
        Country("GB", "Britain", "GB", "+44", ""),
        Country("AQ", "AQ"),
    )


def test_dictionary_items_are_the_enabled_ones(line: Line) -> None:
    items = [
        {"code": "passport", "displayName": "Passport", "extend": "^.{6}$"},
        {"code": "x", "status": 2},
        {"code": 7},
    ]
    line.tells("0", items)
    assert client_for(line).dictionary("id_card_type", CALL) == (
        DictionaryItem("passport", "Passport", "^.{6}$"),
        DictionaryItem("7", "7"),
    )


@pytest.mark.parametrize(
    ("data", "codes"),
    [
        ({"openCompanyCountry": "MC, CN,,GB"}, {"MC", "CN", "GB"}),
        ({"openCompanyCountry": None}, set()),
        ({}, set()),
        (None, set()),
    ],
)
def test_company_countries_are_one_text(line: Line, data: Any, codes: set[str]) -> None:
    line.tells("0", data)
    assert client_for(line).company_countries(CALL) == codes


@pytest.mark.parametrize("code", ["GATEWAY_CODE_001", "GATEWAY_CODE_005"])
def test_a_guest_who_may_not_ask_for_company_countries_gets_none(line: Line, code: str) -> None:
    line.tells(code)
    assert client_for(line).company_countries(CALL) == frozenset()
    assert type(failure(line, lambda c: c.company_countries(Call(token="t")))) is SessionEnded


@pytest.mark.parametrize("data", [None, {}, {"iso_code": None}, [], "x"])
def test_an_unknown_address_has_no_country(line: Line, data: Any) -> None:
    line.tells("0", data)
    assert client_for(line).country_of_address(CALL) == ""


def test_a_login_says_how_the_checks_stand(line: Line) -> None:
    line.tells("0", {"token": "t", "customerNo": "1", "kycAuditStatus": 3, "kycAuditRemark": "blurred", "kycStatus": 1})
    answer = client_for(line).login(LOGIN, CALL)
    assert answer.review == Review(ReviewStatus.REJECTED, "blurred") and answer.token == "t"
    assert "blurred" not in repr(answer)
    line.tells("0", {"token": "t", "kycAuditStatus": 9})
    assert client_for(line).login(LOGIN, CALL).review is None


def test_levels_asked_for_by_code_need_not_repeat_it(line: Line) -> None:
    line.tells("0", [{"pathCode": "P1", "elementList": [{"elementCode": "n", "showType": "hologram"}]}])
    (level,) = client_for(line).find_levels(FindLevelsRequest(level_code="level_2"), CALL, 0)
    assert level.code == "level_2" and level.paths[0].elements[0].kind is Kind.UNKNOWN
    line.tells("0", None)
    assert client_for(line).find_levels(FindLevelsRequest(), CALL, 0) == ()


def test_how_each_level_stands_is_read_in_the_upstreams_order(line: Line) -> None:
    rows = [
        {"levelCode": "level_2", "levelName": "LV2", "status": 0, "sort": 2, "preLevelName": "LV1"},
        {"levelCode": "level_1", "levelName": "LV1", "status": "3", "sort": "1", "preLevelName": None},
        {"levelCode": "level_3", "status": 9, "sort": 3},
        {"levelName": "no code"},
        None,
    ]
    line.tells("0", rows)
    found = client_for(line).level_statuses(0, CALL)
    assert [(one.code, one.name, one.status, one.after) for one in found] == [
        ("level_1", "LV1", ReviewStatus.REJECTED, ""),
        ("level_2", "LV2", ReviewStatus.OPEN, "LV1"),
        ("level_3", "", ReviewStatus.OPEN, ""),
    ]


@pytest.mark.parametrize(("data", "proposal"), [("K1", "K1"), (17, "17"), (None, ""), ({"id": "K1"}, "")])
def test_an_application_is_in_whatever_its_reply_carries(line: Line, data: Any, proposal: str) -> None:
    line.tells("0", data)
    client = client_for(line)
    assert client.apply_level(APPLICATION, CALL) == proposal
    client.apply_business(APPLICATION, "open_account", CALL)
    line.tells("CUSTOMER_API_00010001", "service")
    assert client.apply_level(APPLICATION, CALL) == ""


@pytest.mark.parametrize(
    ("reply", "review"),
    [
        ({"code": "0", "data": 0}, Review(ReviewStatus.OPEN)),
        ({"code": "0", "data": "1"}, Review(ReviewStatus.IN_REVIEW)),
        ({"code": "0", "data": 2}, Review(ReviewStatus.PASSED)),
        ({"code": "0", "data": 3, "msg": "photo blurred"}, Review(ReviewStatus.REJECTED, "photo blurred")),
        (
            {"code": "0", "data": 2, "msgParams": "CUSTOMER_API_0000602"},
            Review(ReviewStatus.PASSED, code="CUSTOMER_API_0000602"),
        ),
        ({"code": "CUSTOMER_API_0000605"}, Review(ReviewStatus.IN_REVIEW, code="CUSTOMER_API_0000605")),
        ({"code": "CUSTOMER_API_0000604"}, Review(ReviewStatus.PASSED, code="CUSTOMER_API_0000604")),
        ({"code": "CUSTOMER_API_0000602"}, Review(ReviewStatus.PASSED, code="CUSTOMER_API_0000602")),
        (
            {"code": "CUSTOMER_API_0000606", "msg": "why"},
            Review(ReviewStatus.REJECTED, "why", "CUSTOMER_API_0000606"),
        ),
        ({"code": "0", "data": 3, "msg": "Success"}, Review(ReviewStatus.REJECTED)),
    ],
)
def test_how_the_checks_stand_is_read_from_data_or_code(line: Line, reply: dict[str, Any], review: Review) -> None:
    line.says(json.dumps(reply).encode())
    assert client_for(line).check_application("open_account", 0, CALL) == review


def test_a_wrong_file_type_belongs_to_the_upload(line: Line) -> None:
    line.tells("GATEWAY_CODE_103", "upload", msgParams="jpg,png")
    error = failure(line, lambda c: c.upload(io.BytesIO(b"x"), "a.exe", "image/png", CALL))
    assert isinstance(error, Refused) and error.field is Field.UPLOAD


def test_text_that_no_page_and_no_database_can_hold_is_cleaned(line: Line) -> None:
    line.says(b'{"code":"0","data":[{"code":"A\\u0000B\\ud800C","displayName":"\\ud83d\\ude00"}]}')
    (item,) = client_for(line).dictionary("x", CALL)
    assert (item.code, item.name) == ("ABC", "😀")


def test_an_error_does_not_drag_a_broken_reply_along(line: Line) -> None:
    line.sends(b"ann@example.org is no status line\r\n\r\n")
    with pytest.raises(OutcomeUnknown) as caught:
        client_for(line).register(REGISTER, CALL)
    assert "ann@" not in "".join(traceback.format_exception(caught.value))


def test_a_failed_call_logs_one_line_without_what_was_typed_or_said(
    line: Line, caplog: pytest.LogCaptureFixture
) -> None:
    line.tells("CUSTOMER_API_0000107", "service", msg="ann@example.org is taken")
    seen: list[tuple[str, str, float, str, str]] = []
    config = UpstreamConfig(base_url=f"http://127.0.0.1:{line.port}/api", company_id="1")
    client = UpstreamClient(config, observe=lambda *what: seen.append(what))
    with caplog.at_level(logging.DEBUG), pytest.raises(Refused) as caught:
        client.register(REGISTER, CALL)
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("onboarding")]
    assert len(ours) == 1 and "register Refused code=CUSTOMER_API_0000107 status=200 ms=" in ours[0]
    shown = caplog.text + str(caught.value) + repr(caught.value) + repr(caught.value.__cause__)
    for secret in ("ann@example.org", "482913", "t1cket"):
        assert secret not in shown
    ((endpoint, outcome, _, trace, code),) = seen
    assert (endpoint, outcome, code) == ("register", "Refused", "CUSTOMER_API_0000107")
    assert trace == caught.value.trace and trace in ours[0]


# Anything


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
KNOWN_KEYS = (
    "code status displayName name nationalCode countryCode extend token customerNo loginPassStatus companyKycStatus "
    "list levelCode levelName pathCode openAccountType elementList elementCode showType elementValue kycAuditStatus "
    "kycAuditRemark openCompanyCountry iso_code"
).split()
SHAPED = st.recursive(
    JSON,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KNOWN_KEYS), inner, max_size=8),
    max_leaves=20,
)
ENVELOPE = st.fixed_dictionaries(
    {"code": st.sampled_from(["0", "CUSTOMER_API_00010001", "500", "X"]) | JSON, "data": SHAPED},
    optional={"msg": JSON, "msgParams": JSON | st.just("CUSTOMER_API_0000602")},
)
ASK: tuple[Callable[[UpstreamClient], Any], ...] = (
    lambda c: c.register(REGISTER, CALL),
    lambda c: c.send_code(SEND, CALL),
    lambda c: c.countries(CALL),
    lambda c: c.dictionary("x", CALL),
    lambda c: c.company_countries(CALL),
    lambda c: c.country_of_address(CALL),
    lambda c: c.login(LOGIN, CALL),
    lambda c: c.bind_login_password("0" * 32, CALL),
    lambda c: c.find_levels(FindLevelsRequest(), CALL, 0),
    lambda c: c.apply_level(APPLICATION, CALL),
    lambda c: c.apply_business(APPLICATION, "open_account", CALL),
    lambda c: c.check_application("open_account", 0, CALL),
    lambda c: c.upload(io.BytesIO(b"x"), "a.png", "image/png", CALL),
)
MANY = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield from texts(getattr(value, field.name))
    elif isinstance(value, tuple | frozenset):
        for item in value:
            yield from texts(item)


@MANY
@given(reply=ENVELOPE | JSON)
def test_any_json_is_a_value_or_an_upstream_error(line: Line, reply: Any) -> None:
    line.says(json.dumps(reply).encode())
    client = client_for(line)
    for ask in ASK:
        with contextlib.suppress(UpstreamError):
            for text in texts(ask(client)):
                assert "\x00" not in text and isinstance(text.encode(), bytes)
    client.close()


@MANY
@given(raw=st.binary(max_size=200) | st.binary(max_size=80).map(lambda body: b"HTTP/1.1 200 OK\r\n" + body))
def test_any_bytes_are_an_upstream_error(line: Line, raw: bytes) -> None:
    line.sends(raw)
    with pytest.raises(UpstreamError):
        client_for(line, read_timeout=1.0).register(REGISTER, CALL)
