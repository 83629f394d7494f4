"""What the client sends, field by field and header by header (docs/upstream.md 1.2, 2).

And that the sandbox, an independent reading of the same contract, understands it, plain and encrypted.
"""

from __future__ import annotations

import base64
import io
import json
import logging
import re
import threading
from collections.abc import Callable, Iterator
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import ValidationError

from onboarding.sandbox.server import Sandbox
from onboarding.upstream.client import Call, UpstreamClient, UpstreamConfig
from onboarding.upstream.codes import EXISTS_CODES
from onboarding.upstream.errors import OutcomeUnknown, Refused, SessionEnded, UpstreamUnavailable
from onboarding.upstream.signing import sign
from onboarding.upstream.wire import (
    BizType,
    ElementAnswer,
    FindLevelsRequest,
    LevelApplication,
    LoginRequest,
    RegisterRequest,
    ReviewStatus,
    SendCodeRequest,
    TradeType,
    sms_recipient,
)

NOW = 1760000000.123
UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
PLAIN_TRACE = re.compile(rf"{UUID}-1760000000123")
CIPHER_TRACE = re.compile(rf"x-{UUID}-1760000000123")

REGISTER = RegisterRequest(
    type=2,
    login_name="13800138000",
    phone_area="+86",
    country="CN",
    verify_code="482913",
    send_token="38caf08b-fafd-4cb5-b36c-ebdd1878b974",
    register_source=1,
    password_md5="0" * 32,
    open_account_type=0,
    customer_group_id=7,
    trade_types=(TradeType(trade_type="1", all_currency="USD,USDT"),),
    lang="en-US",
    register_device="Pixel 9",
    utm_source="a",
    utm_medium="b",
    utm_campaign="c",
    utm_content="d",
    utm_term="é 中",
    third_server_code="86000001",
    third_server_source="agent",
    protocol=True,
    email_area="+44",
)
FULL = Call(
    lang="zh-HK",
    token="s3ss10napp",
    captcha="puzzle-answer",
    client_address="203.0.113.9",
    idempotency_key="key-1",
)


class Recorder(ThreadingHTTPServer):
    """Answers every request with `data` of its choice and keeps what came."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.data: Any = {"token": "ticket", "customerNo": "1"}
        self.cookie = ""
        self.requests: list[dict[str, Any]] = []
        self.url = f"http://127.0.0.1:{self.server_port}/api"

    @property
    def last(self) -> dict[str, Any]:
        return self.requests[-1]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are two writes, and the second would wait 40 ms for the first

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_POST(self) -> None:
        recorder: Any = self.server
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        recorder.requests.append(
            {
                "method": self.command,
                "path": self.path,
                "headers": {k.lower(): v for k, v in self.headers.items()},
                "body": body,
                "peer": self.client_address,
            }
        )
        answer = json.dumps({"code": "0", "data": recorder.data}).encode()
        self.send_response(200)
        if recorder.cookie:
            self.send_header("Set-Cookie", recorder.cookie)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    server = Recorder()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def client_for(recorder: Recorder, **settings: Any) -> UpstreamClient:
    config = UpstreamConfig(**{"base_url": recorder.url, "company_id": "439", "read_timeout": 5.0, **settings})
    return UpstreamClient(config, now=lambda: NOW)


def sent_headers(recorder: Recorder) -> dict[str, str]:
    """Without those of HTTP itself."""
    ours = dict(recorder.last["headers"])
    for name in ("host", "connection", "content-length", "trace"):
        ours.pop(name, None)
    return ours


ALWAYS = {
    "accept": "application/json",
    "accept-encoding": "gzip",
    "user-agent": "onboarding",
    "companyid": "439",
    "timestamp": "1760000000123",
}
FROM_CALL = {
    "lang": "zh-HK",
    "token": "s3ss10napp",
    "captcha": "puzzle-answer",
    "x-forwarded-for": "203.0.113.9",
    "idempotency-key": "key-1",
}
JSON = {"content-type": "application/json"}
APPLICATION = LevelApplication(
    level_code="level_1",
    path_code="P1",
    open_account_type=1,
    elements=(ElementAnswer(element_code="name", element_value="Ann"),),
    select_country="GB",
    select_company_type="LTD",
    commit_tag=False,
)
APPLIED = {
    "levelCode": "level_1",
    "pathCode": "P1",
    "openAccountType": 1,
    "elementList": [{"elementCode": "name", "elementValue": "Ann"}],
    "selectCountry": "GB",
    "selectCompanyType": "LTD",
    "commitTag": False,
}
CUSTOMER = "customer.app.CustomerWebApiService"
KYC = "/api/global/customer.app.KycWebApiService"
DICTIONARY = "/api/global/config.app.AppDictDubboService"
Ask = Callable[[UpstreamClient], Any]

# name: (call, reply data, path, body, version header)
CALLS: dict[str, tuple[Ask, Any, str, dict[str, Any], str | None]] = {
    "register": (
        lambda c: c.register(REGISTER, FULL),
        {"customerNo": "1"},
        f"/api/register/{CUSTOMER}.register",
        {
            "type": 2,
            "loginName": "13800138000",
            "phoneArea": "+86",
            "country": "CN",
            "verifyCode": "482913",
            "sendToken": "38caf08b-fafd-4cb5-b36c-ebdd1878b974",
            "registerSource": 1,
            "pwd": "0" * 32,
            "openAccountType": 0,
            "customerGroupId": 7,
            "tradeTypeCurrencyList": [{"tradeType": "1", "allCurrency": "USD,USDT"}],
            "lang": "en-US",
            "registerDevice": "Pixel 9",
            "utmSource": "a",
            "utmMedium": "b",
            "utmCampaign": "c",
            "utmContent": "d",
            "utmTerm": "é 中",
            "thirdServerCode": "86000001",
            "thirdServerSource": "agent",
            "protocol": True,
            "emailArea": "+44",
        },
        "0.0.1",
    ),
    "send_code": (
        lambda c: c.send_code(
            SendCodeRequest(biz_type=BizType.SMS_REGISTER, to_user=sms_recipient("86", "13800138000"), country="CN"),
            FULL,
        ),
        {"token": "ticket"},
        "/api/global/message.app.VerificationApiService.verifyCodeSend",
        {"bizType": "SMS_REGISTER_VERIFICATION_CODE", "toUser": "+86 13800138000", "country": "CN"},
        "0.0.1",
    ),
    "countries": (
        lambda c: c.countries(FULL),
        [],
        f"{DICTIONARY}.getCountryListByParentCode",
        {"parentCode": "-1"},
        None,
    ),
    "dictionary": (
        lambda c: c.dictionary("id_card_type", FULL),
        [],
        f"{DICTIONARY}.getListByParentCode",
        {"parentCode": "id_card_type"},
        None,
    ),
    "company_countries": (
        lambda c: c.company_countries(FULL),
        None,
        f"{KYC}.findCompanyCountry",
        {},
        "0.0.1",
    ),
    "login": (
        lambda c: c.login(
            LoginRequest(
                type=3,
                login_name="86000001",
                device=2,
                phone_area="+86",
                password_md5="0" * 32,
                verify_code="1",
                send_token="2",
                google_code="3",
            ),
            FULL,
        ),
        {"token": "t"},
        f"/api/login/{CUSTOMER}.login",
        {
            "type": 3,
            "loginName": "86000001",
            "device": 2,
            "isThird": False,
            "phoneArea": "+86",
            "loginPwd": "0" * 32,
            "verifyCode": "1",
            "sendToken": "2",
            "googleCode": "3",
        },
        "0.0.1",
    ),
    "bind_login_password": (
        lambda c: c.bind_login_password("0" * 32, FULL),
        None,
        f"/api/global/{CUSTOMER}.bindLoginPwd",
        {"pwd": "0" * 32},
        "0.0.1",
    ),
    "find_levels": (
        lambda c: c.find_levels(
            FindLevelsRequest(
                level_code="level_1",
                lang="en-US",
                customer_no="1",
                open_account_type=1,
                select_country="GB",
                select_company_type="LTD",
            ),
            FULL,
            1,
        ),
        [],
        f"{KYC}.findAllLevelKyc",
        {
            "levelCode": "level_1",
            "lang": "en-US",
            "customerNo": "1",
            "openAccountType": 1,
            "selectCountry": "GB",
            "selectCompanyType": "LTD",
        },
        "0.0.1",
    ),
    "level_statuses": (
        lambda c: c.level_statuses(1, FULL),
        [],
        f"{KYC}.findAllBizKycList",
        {"openAccountType": 1},
        "0.0.1",
    ),
    "apply_level": (
        lambda c: c.apply_level(APPLICATION, FULL),
        "K1",
        f"{KYC}.kycLevelApply",
        APPLIED,
        "0.0.1",
    ),
    "apply_business": (
        lambda c: c.apply_business(APPLICATION, "open_account", FULL),
        {},
        f"{KYC}.kycApply",
        {**{k: v for k, v in APPLIED.items() if k != "pathCode"}, "businessCode": "open_account"},
        "0.0.1",
    ),
    "check_application": (
        lambda c: c.check_application("open_account", 0, FULL),
        1,
        f"{KYC}.checkKycApply",
        {"businessCode": "open_account", "openAccountType": 0},
        "0.0.1",
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_call_sends_the_documented_body_and_headers(recorder: Recorder, name: str) -> None:
    ask, recorder.data, path, body, version = CALLS[name]
    ask(client_for(recorder))
    assert (recorder.last["method"], recorder.last["path"]) == ("POST", path)
    sent = json.loads(recorder.last["body"])
    assert sent == body and list(sent) == list(body)
    assert {k: type(v) for k, v in sent.items()} == {k: type(v) for k, v in body.items()}
    versions = {} if version is None else {"version": version}
    assert sent_headers(recorder) == {**ALWAYS, **FROM_CALL, **JSON, **versions}
    assert PLAIN_TRACE.fullmatch(recorder.last["headers"]["trace"])
    assert len(recorder.requests) == 1


@pytest.mark.parametrize("name", CALLS)
def test_with_a_key_the_same_body_goes_out_signed_and_encrypted(recorder: Recorder, name: str) -> None:
    private = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    der = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    ask, recorder.data, path, body, version = CALLS[name]
    ask(client_for(recorder, public_key=base64.b64encode(der).decode()))
    wire = json.loads(recorder.last["body"])
    assert list(wire) == ["data"] and recorder.last["path"] == path
    pieces = [private.decrypt(base64.b64decode(piece), PKCS1v15()) for piece in wire["data"].split(",")]
    sent = json.loads(unquote(b"".join(pieces).decode()))
    assert sent == {"signature": sign(body, 1760000000123), **body, "timestamp": 1760000000123}
    versions = {} if version is None else {"version": version}
    assert sent_headers(recorder) == {**ALWAYS, **FROM_CALL, **JSON, **versions}
    assert CIPHER_TRACE.fullmatch(recorder.last["headers"]["trace"])


def test_absent_values_send_neither_field_nor_header(recorder: Recorder) -> None:
    least = RegisterRequest(
        type=1, login_name="ann@example.org", country="GB", verify_code="1", send_token="2", register_source=2
    )
    client_for(recorder).register(least, Call())
    assert json.loads(recorder.last["body"]) == {
        "type": 1,
        "loginName": "ann@example.org",
        "country": "GB",
        "verifyCode": "1",
        "sendToken": "2",
        "registerSource": 2,
    }
    assert sent_headers(recorder) == {**ALWAYS, **JSON, "lang": "en-US", "version": "0.0.1"}


def test_the_undocumented_fields_can_be_switched_off(recorder: Recorder) -> None:
    client_for(recorder, send_protocol=False).register(REGISTER, FULL)
    sent = json.loads(recorder.last["body"])
    assert sent == {k: v for k, v in CALLS["register"][3].items() if k not in ("protocol", "emailArea")}


def test_a_captcha_raises_the_version_of_sending_a_code_only(recorder: Recorder) -> None:
    client = client_for(recorder, captcha=True)
    CALLS["send_code"][0](client)
    assert recorder.last["headers"]["version"] == "0.0.2"
    CALLS["register"][0](client)
    assert recorder.last["headers"]["version"] == "0.0.1"


@pytest.mark.parametrize(
    ("base", "path"),
    [("", "/geoip/country"), ("/cats-gateway", "/geoip/country"), ("/cats-gateway/", "/geoip/country")],
)
def test_the_country_of_an_address_is_asked_beside_the_gateway(recorder: Recorder, base: str, path: str) -> None:
    recorder.data = {"iso_code": "cn"}
    client = client_for(recorder, base_url=recorder.url + base, public_key=a_public_key())
    assert client.country_of_address(Call(client_address="203.0.113.9")) == "CN"
    assert (recorder.last["method"], recorder.last["path"]) == ("GET", f"/api{path}")
    assert recorder.last["body"] == b"" and "content-length" not in recorder.last["headers"]
    assert sent_headers(recorder) == {**ALWAYS, "lang": "en-US", "x-forwarded-for": "203.0.113.9"}
    assert PLAIN_TRACE.fullmatch(recorder.last["headers"]["trace"])


def test_every_other_path_keeps_the_gateways_segment(recorder: Recorder) -> None:
    client_for(recorder, base_url=recorder.url + "/cats-gateway/").register(REGISTER, FULL)
    assert recorder.last["path"] == f"/api/cats-gateway/register/{CUSTOMER}.register"


def test_an_upload_is_one_part_named_object_and_never_encrypted(recorder: Recorder) -> None:
    recorder.data = "https://files.example/a.jpg"
    content = bytes(range(256)) * 1024
    client = client_for(recorder, public_key=a_public_key())
    url = client.upload(io.BytesIO(content), "my “odd”\r\nname.jpg", "image/jpeg", FULL)
    assert url == "https://files.example/a.jpg"
    assert (recorder.last["method"], recorder.last["path"]) == ("POST", "/api/upload")
    headers = sent_headers(recorder)
    kind = headers.pop("content-type")
    assert headers == {**ALWAYS, **FROM_CALL}
    assert PLAIN_TRACE.fullmatch(recorder.last["headers"]["trace"])
    assert "transfer-encoding" not in recorder.last["headers"]
    message = message_from_bytes(f"Content-Type: {kind}\r\n\r\n".encode() + recorder.last["body"])
    (part,) = message.get_payload()
    assert part.get_param("name", header="content-disposition") == "object"
    assert part.get_filename() == "my_odd_name.jpg"
    assert part.get_content_type() == "image/jpeg"
    assert recorder.last["body"].split(b"\r\n\r\n", 1)[1].startswith(content)


def test_an_upload_starts_at_the_beginning_of_the_file(recorder: Recorder) -> None:
    recorder.data = "https://files.example/a.jpg"
    content = io.BytesIO(b"abcdef")
    content.read()
    client_for(recorder).upload(content, "", "nonsense\r\nX: y", FULL)
    assert b'filename="file"\r\nContent-Type: application/octet-stream\r\n\r\nabcdef\r\n' in recorder.last["body"]


def test_no_header_value_can_start_another_header(recorder: Recorder) -> None:
    evil = "a\r\nX-Evil: 1\x00é中"
    call = Call(lang=evil, token=evil, captcha=evil, client_address=evil, idempotency_key=evil)
    client_for(recorder, company_id=evil).register(REGISTER, call)
    headers = recorder.last["headers"]
    assert "x-evil" not in headers
    for name in ("companyid", "lang", "token", "captcha", "x-forwarded-for", "idempotency-key"):
        assert headers[name] == "aX-Evil: 1"


def test_cookies_of_one_call_are_not_sent_with_the_next(recorder: Recorder) -> None:
    recorder.cookie = "session=of-another-customer; Path=/"
    client = client_for(recorder)
    for _ in range(2):
        client.register(REGISTER, FULL)
    assert len(recorder.requests) == 2 and "cookie" not in recorder.last["headers"]


def test_the_environments_proxy_is_not_used(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    client_for(recorder).register(REGISTER, FULL)
    assert len(recorder.requests) == 1


def test_fifty_calls_one_after_the_other_need_one_connection(recorder: Recorder) -> None:
    client = client_for(recorder)
    for _ in range(25):
        client.register(REGISTER, FULL)
        client.send_code(SendCodeRequest(biz_type=BizType.EMAIL_REGISTER, to_user="ann@example.org"), FULL)
    assert len(recorder.requests) == 50
    assert len({request["peer"] for request in recorder.requests}) == 1


def test_the_environments_password_file_is_not_read(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password something")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    client_for(recorder).register(REGISTER, FULL)
    assert "authorization" not in recorder.last["headers"]


def test_each_call_has_a_trace_of_its_own(recorder: Recorder) -> None:
    client = client_for(recorder)
    traces = [client.register(REGISTER, FULL).trace for _ in range(3)]
    assert len(set(traces)) == 3
    assert traces == [request["headers"]["trace"] for request in recorder.requests]


def test_a_stored_request_is_sent_again_identically(recorder: Recorder) -> None:
    client = client_for(recorder)
    client.register(REGISTER, FULL)
    stored = json.loads(json.dumps(REGISTER.model_dump(mode="json")))
    client.register(RegisterRequest.model_validate(stored), FULL)
    assert recorder.requests[0]["body"] == recorder.requests[1]["body"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"type": 3},
        {"type": "1"},
        {"register_source": 0},
        {"register_source": 10},
        {"register_source": True},
        {"customer_group_id": "7"},
        {"login_name": 13800138000},
        {"login_name": "\ud800"},
        {"country": None},
        {"open_account_type": 2},
        {"protocol": 1},
        {"surprise": 1},
    ],
)
def test_a_request_of_the_wrong_shape_is_not_even_built(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        RegisterRequest.model_validate({**REGISTER.model_dump(), **wrong})
    assert "138001" not in str(caught.value)


def test_what_concerns_a_person_is_in_no_repr() -> None:
    login = LoginRequest(
        type=1,
        login_name="SECRET",
        device=1,
        password_md5="SECRET",
        verify_code="SECRET",
        send_token="SECRET",
    )
    register = REGISTER.model_copy(
        update=dict.fromkeys(("login_name", "verify_code", "send_token", "password_md5"), "SECRET")
    )
    code = SendCodeRequest(biz_type=BizType.EMAIL_REGISTER, to_user="SECRET")
    level = LevelApplication(level_code="l", open_account_type=0, elements=[("name", "SECRET")])
    call = Call(token="SECRET", captcha="SECRET", client_address="SECRET", idempotency_key="SECRET")
    for value in (login, register, code, level, *level.elements, call):
        assert "SECRET" not in repr(value) and "SECRET" not in str(value)


@pytest.mark.parametrize("key", ["nonsense", "AAAA"])
def test_a_wrong_key_stops_the_start(key: str) -> None:
    with pytest.raises(ValueError, match="public key"):
        UpstreamClient(UpstreamConfig(base_url="https://upstream.example/api", company_id="1", public_key=key))


def test_an_address_without_a_scheme_stops_the_start() -> None:
    with pytest.raises(ValueError, match="https://"):
        UpstreamClient(UpstreamConfig(base_url="upstream.example/api", company_id="1"))


def test_one_line_is_logged_for_a_call_and_holds_nothing_of_the_customer(
    recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[tuple[str, str, float, str, str]] = []
    config = UpstreamConfig(base_url=recorder.url, company_id="439")
    client = UpstreamClient(config, now=lambda: NOW, observe=lambda *what: seen.append(what))
    with caplog.at_level(logging.INFO, logger="onboarding"):
        client.register(REGISTER, FULL)
    (line,) = caplog.messages
    trace = recorder.last["headers"]["trace"]
    assert re.fullmatch(rf"upstream register ok code=0 status=200 ms=\d+ trace={re.escape(trace)}", line)
    ((endpoint, outcome, seconds, seen_trace, code),) = seen
    assert (endpoint, outcome, seen_trace, code) == ("register", "ok", trace, "0") and 0 < seconds < 5


def a_public_key() -> str:
    private = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    der = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(der).decode()


# Against the sandbox


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(hang_seconds=1.5, slow_seconds=0.2) as running:
        yield running


@pytest.fixture(params=["plain", "encrypted"])
def client(request: pytest.FixtureRequest, sandbox: Sandbox) -> Iterator[UpstreamClient]:
    sandbox.clear()
    key = sandbox.public_key if request.param == "encrypted" else ""
    opened = UpstreamClient(
        UpstreamConfig(base_url=f"{sandbox.url}/api", company_id="439", public_key=key, read_timeout=5.0)
    )
    yield opened
    opened.close()


def registration(client: UpstreamClient, sandbox: Sandbox, address: str) -> RegisterRequest:
    ticket = client.send_code(SendCodeRequest(biz_type=BizType.EMAIL_REGISTER, to_user=address, country="GB"), Call())
    return RegisterRequest(
        type=1,
        login_name=address,
        country="GB",
        verify_code=sandbox.inbox()[0]["code"],
        send_token=ticket,
        register_source=2,
        open_account_type=0,
        lang="en-US",
        protocol=True,
        email_area="+44",
    )


def test_the_sandbox_registers_and_checks_a_customer(client: UpstreamClient, sandbox: Sandbox) -> None:
    request = registration(client, sandbox, "ann@example.org")
    answer = client.register(request, Call(idempotency_key="k1"))
    assert answer.customer_no and answer.token and answer.password_needed and answer.kyc_required
    assert not answer.in_review and [level.code for level in answer.levels] == ["level_1"]
    call = Call(token=answer.token)
    client.bind_login_password("5f4dcc3b5aa765d61d8327deb882cf99", call)
    picture = client.upload(io.BytesIO(b"\x89PNG\r\n\x1a\n" + bytes(2000)), "p.png", "image/png", call)
    found = client.find_levels(FindLevelsRequest(level_code="level_1"), call, 0)
    assert found == answer.levels
    assert client.check_application("open_account", 0, call).status is ReviewStatus.OPEN
    application = LevelApplication(
        level_code="level_1",
        path_code=found[0].paths[0].code,
        open_account_type=0,
        elements=[
            ("name", "Ann Example"),
            ("birthday", "642902400000"),
            ("passport", "E1234567"),
            ("proof_of_passpord", picture),
        ],
    )
    assert client.apply_level(application, Call(token=answer.token, idempotency_key="k2"))
    assert client.check_application("open_account", 0, call).status is ReviewStatus.IN_REVIEW


def test_the_sandbox_answers_the_questions_of_the_first_page(client: UpstreamClient) -> None:
    countries = client.countries(Call())
    china = next(country for country in countries if country.code == "CN")
    assert (china.alpha2, china.area) == ("CN", "+86") and china.pattern
    assert {item.code for item in client.dictionary("id_card_type", Call())} >= {"passport", "identity_card"}
    assert client.company_countries(Call()) <= {country.code for country in countries}
    assert len(client.country_of_address(Call(client_address="203.0.113.9"))) in (0, 2)


def test_the_same_key_after_a_cut_line_registers_once(client: UpstreamClient, sandbox: Sandbox) -> None:
    request = registration(client, sandbox, "ann+drop@example.org")
    with pytest.raises(OutcomeUnknown, match="CUT"):
        client.register(request, Call(idempotency_key="k3"))
    assert client.register(request, Call(idempotency_key="k3")).customer_no
    assert len(sandbox.registrations()) == 1


@pytest.mark.parametrize(("tag", "code"), [("hang", "TIMEOUT"), ("error500", "HTTP_500"), ("garbage", "NOT_JSON")])
def test_an_open_outcome_becomes_definite_with_the_same_key(
    client: UpstreamClient, sandbox: Sandbox, tag: str, code: str
) -> None:
    request = registration(client, sandbox, f"ann+{tag}@example.org")
    with pytest.raises(OutcomeUnknown) as caught:
        client.register(request, Call(idempotency_key=tag, read_timeout=0.4))
    assert caught.value.code == code
    assert client.register(request, Call(idempotency_key=tag)).customer_no
    assert len(sandbox.registrations()) == 1


def test_manual_review_is_a_registration(client: UpstreamClient, sandbox: Sandbox) -> None:
    answer = client.register(registration(client, sandbox, "ann+review@example.org"), Call())
    assert answer.in_review and answer.customer_no and not answer.levels


def test_refusals_of_the_sandbox_are_told_apart(client: UpstreamClient, sandbox: Sandbox) -> None:
    with pytest.raises(Refused) as caught:
        client.register(registration(client, sandbox, "ann+exists@example.org"), Call())
    assert caught.value.code in EXISTS_CODES and caught.value.field == "email"
    request = registration(client, sandbox, "bob@example.org")
    with pytest.raises(Refused) as caught:
        client.register(request.model_copy(update={"verify_code": "x"}), Call())
    assert caught.value.field == "code"
    with pytest.raises(UpstreamUnavailable) as busy:
        client.register(registration(client, sandbox, "ann+ratelimit@example.org"), Call())
    assert busy.value.code == "HTTP_429" and busy.value.retry_after
    with pytest.raises(UpstreamUnavailable, match="WAF"):
        client.send_code(
            SendCodeRequest(biz_type=BizType.EMAIL_REGISTER, to_user="ann+waf@example.org", country="GB"),
            Call(),
        )
    with pytest.raises(SessionEnded):
        client.bind_login_password("0" * 32, Call(token="nobody's"))


def test_a_key_of_another_tenant_is_noticed(sandbox: Sandbox) -> None:
    client = UpstreamClient(UpstreamConfig(base_url=f"{sandbox.url}/api", company_id="439", public_key=a_public_key()))
    with pytest.raises(Exception, match="GATEWAY_CODE_015"):
        client.countries(Call())
