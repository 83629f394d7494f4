"""The rules of the sandbox, over real HTTP.

The encoder below is written apart from the project's client and from the sandbox, so that a mistake
would have to be made three times to go unseen. It must not import the client.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import load_der_public_key

from onboarding.sandbox.partner import PartnerSite
from onboarding.sandbox.protocol import sign
from onboarding.sandbox.scenarios import SCENARIOS
from onboarding.sandbox.server import Sandbox

CUSTOMER = "customer.app.CustomerWebApiService"
KYC = "/global/customer.app.KycWebApiService"
DICT = "/global/config.app.AppDictDubboService"
REGISTER = f"/register/{CUSTOMER}.register"
LOGIN = f"/login/{CUSTOMER}.login"
SEND = "/global/message.app.VerificationApiService.verifyCodeSend"
CHECK = "/global/message.app.VerificationApiService.verifyCodeCheck"
EMAIL_CODE = "EMAIL_REGISTER_VERIFICATION_CODE"
SMS_CODE = "SMS_REGISTER_VERIFICATION_CODE"
PNG = b"\x89PNG\r\n\x1a\n\r\n--not-a-boundary\r\n\x00\xff"
BIRTHDAY = "642902400000"
MD5 = hashlib.md5(b"a long password").hexdigest()


class Clock:
    """Real time, with days that can be skipped."""

    def __init__(self) -> None:
        self.skipped = 0.0

    def __call__(self) -> float:
        return time.time() + self.skipped


class Upstream:
    """A plain client: what a call needs and nothing clever."""

    def __init__(self, sandbox: Sandbox, clock: Clock) -> None:
        self.sandbox = sandbox
        self.clock = clock
        self.session = requests.Session()
        self.token = ""

    def headers(self, **more: str | None) -> dict[str, str]:
        basic: dict[str, str | None] = {
            "companyId": "439",
            "trace": str(uuid.uuid4()),
            "version": "0.0.1",
            "lang": "en-US",
            "timestamp": str(int(self.clock() * 1000)),
            "token": self.token or None,
        }
        return {name.replace("_", "-"): value for name, value in (basic | more).items() if value is not None}

    def raw(self, path: str, body: Any, **headers: str | None) -> requests.Response:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        ready = self.headers(**({"Content_Type": "application/json"} | headers))
        return self.session.post(f"{self.sandbox.url}/api{path}", data=data, headers=ready, timeout=5)

    def __call__(self, path: str, body: Any, **headers: str | None) -> dict[str, Any]:
        answer = self.raw(path, body, **headers).json()
        assert isinstance(answer["code"], str)
        return dict(answer)

    def send_code(self, to: str, kind: str = "") -> tuple[str, str]:
        """Ticket and code."""
        biz_type = kind or (EMAIL_CODE if "@" in to else SMS_CODE)
        answer = self(SEND, {"bizType": biz_type, "toUser": to, "country": "GB"})
        assert answer["code"] == "0", answer
        return answer["data"]["token"], self.sandbox.inbox()[0]["code"]

    def registration(self, login: str, **more: Any) -> dict[str, Any]:
        """A body with a fresh code; a login without @ is a Chinese mobile number."""
        known = {"type": 1} if "@" in login else {"type": 2, "phoneArea": "+86"}
        ticket, code = self.send_code(login if "@" in login else f"+86 {login}")
        body = {
            "loginName": login,
            "country": "GB",
            "verifyCode": code,
            "sendToken": ticket,
            "registerSource": 2,
        }
        return known | body | more

    def register(self, login: str, **more: Any) -> dict[str, Any]:
        answer = self(REGISTER, self.registration(login, **more))
        if answer["code"] == "0":
            self.token = answer["data"].get("token", "")
        return answer

    def upload(self, content: bytes = PNG, name: str = "object", **headers: str | None) -> dict[str, Any]:
        files = {name: ("a.bin", content, "application/octet-stream")}
        url = f"{self.sandbox.url}/api/upload"
        return dict(requests.post(url, files=files, headers=self.headers(**headers), timeout=5).json())

    def apply(self, level: str, answers: dict[str, str], **more: Any) -> dict[str, Any]:
        elements = [{"elementCode": code, "elementValue": value} for code, value in answers.items()]
        return self(f"{KYC}.kycLevelApply", {"levelCode": level, "elementList": elements} | more)

    def passport(self) -> dict[str, str]:
        photo = self.upload()["data"]
        basic = {"name": "Ann Example", "birthday": BIRTHDAY}
        return basic | {"passport": "E12345678", "proof_of_passpord": photo}


@pytest.fixture(scope="module")
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def running(clock: Clock) -> Iterator[Sandbox]:
    with Sandbox(slow_seconds=0.2, hang_seconds=0.1, review_seconds=20, clock=clock) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running: Sandbox, clock: Clock) -> Sandbox:
    running.clear()
    clock.skipped = 0
    return running


@pytest.fixture
def up(sandbox: Sandbox, clock: Clock) -> Upstream:
    return Upstream(sandbox, clock)


# -- Envelope and headers --------------------------------------------------------------------------


def test_a_success_has_the_full_envelope_and_echoes_the_trace(up: Upstream) -> None:
    answer = up(f"{DICT}.getListByParentCode", {"parentCode": "EnterpriseType"}, trace="abc-1")
    assert set(answer) == {"code", "msg", "bizCode", "tm", "trace", "msgParams", "data", "ok", "fail"}
    assert (answer["code"], answer["bizCode"], answer["trace"]) == ("0", "", "abc-1")
    assert answer["ok"] is True and answer["fail"] is False and answer["msgParams"] is None


def test_a_failure_names_the_service_in_data(up: Upstream) -> None:
    answer = up(REGISTER, {"type": 1})
    assert answer["data"] == f"{CUSTOMER}.register"
    assert answer["ok"] is False and answer["fail"] is True and answer["bizCode"] == "US"


def test_messages_follow_the_language(up: Upstream) -> None:
    english = up(REGISTER, {"type": 1}, lang="en-US")["msg"]
    chinese = up(REGISTER, {"type": 1}, lang="zh-HK")["msg"]
    assert english.isascii() and not chinese.isascii()


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"companyId": None}, "GATEWAY_CODE_003"),
        ({"trace": None}, "GATEWAY_CODE_004"),
        ({"lang": None}, "GATEWAY_CODE_009"),
        ({"version": None}, "GATEWAY_CODE_009"),
        ({"version": "0.0.7"}, "GATEWAY_CODE_010"),
        ({"timestamp": "yesterday"}, "GATEWAY_CODE_015"),
        ({"timestamp": "1600000000000"}, "GATEWAY_CODE_014"),
        ({"trace": "x-but-not-encrypted"}, "GATEWAY_CODE_015"),
        ({"Content_Type": "text/plain"}, "GATEWAY_CODE_016"),
    ],
)
def test_wrong_headers_have_gateway_codes(up: Upstream, headers: dict[str, str | None], code: str) -> None:
    answer = up(REGISTER, {"type": 1}, **headers)
    assert (answer["code"], answer["bizCode"]) == (code, "G")


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        (REGISTER, b"", "GATEWAY_CODE_006"),
        (REGISTER, b"{", "GATEWAY_CODE_015"),
        (REGISTER, b"[]", "GATEWAY_CODE_015"),
        (REGISTER, b'{"type": NaN}', "GATEWAY_CODE_015"),
        ("/global/customer.app.Nobody.knows", b"{}", "GATEWAY_CODE_002"),
        (f"/global/{CUSTOMER}.register", b"{}", "GATEWAY_CODE_010"),
        ("/nowhere", b"{}", "GATEWAY_CODE_010"),
        ("/geoip/country", b"{}", "GATEWAY_CODE_016"),
        (f"{KYC}.findAllBizKycList", b"{}", "GATEWAY_CODE_001"),
    ],
)
def test_wrong_calls_have_gateway_codes(up: Upstream, path: str, body: bytes, code: str) -> None:
    assert up(path, body)["code"] == code


def test_an_unknown_token_is_an_expired_session(up: Upstream) -> None:
    assert up(f"{KYC}.findAllBizKycList", {}, token="nobody's")["code"] == "GATEWAY_CODE_005"


def test_another_company_is_unknown(clock: Clock) -> None:
    with Sandbox(company_id="7", clock=clock) as other:
        assert Upstream(other, clock)(REGISTER, {})["code"] == "CUSTOMER_API_0000111"


def test_every_reply_carries_the_misspelt_rate_headers(up: Upstream) -> None:
    first = up.raw(REGISTER, {}).headers
    second = up.raw(REGISTER, {}).headers
    assert first["x-ratelimit-limit"] == "3000" and first["x-ratelimit-reset"] == "60"
    assert int(first["x-ratelimit-remairing"]) - int(second["x-ratelimit-remairing"]) in (1, -2998)


def test_more_calls_than_the_limit_are_refused_with_429(clock: Clock) -> None:
    with Sandbox(rate_limit=2, clock=clock) as strict:
        up = Upstream(strict, clock)
        assert [up.raw(REGISTER, {}).status_code for _ in range(4)][-1] == 429


def test_the_gateway_segment_is_optional_but_never_on_geoip(up: Upstream) -> None:
    assert up(f"/cats-gateway{DICT}.getListByParentCode", {"parentCode": "id_card_type"})["code"] == "0"
    codes = []
    for segment in ("", "/cats-gateway"):
        url = f"{up.sandbox.url}/api{segment}/geoip/country"
        codes.append(up.session.get(url, headers=up.headers(), timeout=5).json()["code"])
    assert codes == ["0", "GATEWAY_CODE_010"]


def test_an_accident_inside_is_answered_with_code_500(up: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(up.sandbox.state, "sends", None)
    answer = up(SEND, {"bizType": EMAIL_CODE, "toUser": "ann@example.org"})
    assert (answer["code"], answer["bizCode"]) == ("500", "US")


# -- Fields ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"type": "1"}, "GATEWAY_CODE_015"),
        ({"type": True}, "GATEWAY_CODE_015"),
        ({"type": 3}, "GATEWAY_CODE_015"),
        ({"type": None}, "CUSTOMER_API_0000501"),
        ({"loginName": ""}, "CUSTOMER_API_0000508"),
        ({"loginName": "ann@"}, "CUSTOMER_API_0000510"),
        ({"loginName": "a" * 300 + "@example.org"}, "CUSTOMER_API_0000509"),
        ({"country": None}, "CUSTOMER_API_0000501"),
        ({"country": "ZZ"}, "CUSTOMER_API_0001003"),
        ({"country": "other"}, "CUSTOMER_API_0001003"),
        ({"verifyCode": ""}, "CUSTOMER_API_0000521"),
        ({"verifyCode": 123456}, "GATEWAY_CODE_015"),
        ({"sendToken": None}, "CUSTOMER_API_0000501"),
        ({"registerSource": 10}, "GATEWAY_CODE_015"),
        ({"registerSource": None}, "CUSTOMER_API_0000501"),
        ({"pwd": "a long password"}, "GATEWAY_CODE_015"),
        ({"pwd": MD5.upper()}, "GATEWAY_CODE_015"),
        ({"openAccountType": 2}, "GATEWAY_CODE_015"),
        ({"customerGroupId": "1"}, "GATEWAY_CODE_015"),
        ({"tradeTypeCurrencyList": []}, "GATEWAY_CODE_015"),
        ({"tradeTypeCurrencyList": [{"tradeType": 1, "allCurrency": "USD"}]}, "GATEWAY_CODE_015"),
        ({"utmSource": 5}, "GATEWAY_CODE_015"),
        ({"protocol": "true"}, "GATEWAY_CODE_015"),
        ({"emailArea": "44"}, "CUSTOMER_API_0000507"),
        ({"thirdServerSource": "agent"}, "CUSTOMER_API_0000903"),
        ({"login_name": "typo"}, "GATEWAY_CODE_015"),
    ],
)
def test_registration_fields_are_checked(up: Upstream, change: dict[str, Any], code: str) -> None:
    assert up(REGISTER, up.registration("ann@example.org") | change)["code"] == code
    assert up.sandbox.registrations() == []


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"loginName": ""}, "CUSTOMER_API_0000502"),
        ({"loginName": "138"}, "CUSTOMER_API_0000503"),
        ({"loginName": "1380013800a"}, "CUSTOMER_API_0000504"),
        ({"loginName": "12345678901"}, "CUSTOMER_API_0000504"),
        ({"phoneArea": None}, "CUSTOMER_API_0000505"),
        ({"phoneArea": "+8612345"}, "CUSTOMER_API_0000506"),
        ({"phoneArea": "86"}, "CUSTOMER_API_0000507"),
        ({"phoneArea": "+999"}, "CUSTOMER_API_0000507"),
    ],
)
def test_phone_fields_have_codes_of_their_own(up: Upstream, change: dict[str, Any], code: str) -> None:
    assert up(REGISTER, up.registration("13800138000") | change)["code"] == code


@pytest.mark.parametrize("to_user", ["13800138000", "+8613800138000", "+86  13800138000", "86 13800138000"])
def test_a_text_message_goes_to_area_blank_number_only(up: Upstream, to_user: str) -> None:
    answer = up(SEND, {"bizType": SMS_CODE, "toUser": to_user})
    assert answer["code"].startswith("CUSTOMER_API_000050")
    assert up.sandbox.inbox() == []


def test_only_known_kinds_of_codes_are_sent(up: Upstream) -> None:
    assert up(SEND, {"bizType": "REGISTER", "toUser": "ann@example.org"})["code"] == "GATEWAY_CODE_015"


# -- Codes -----------------------------------------------------------------------------------------


def test_the_inbox_shows_codes_newest_first(up: Upstream) -> None:
    up.send_code("ann@example.org")
    up.send_code("+86 13800138000")
    accept = {"Accept": "application/json"}
    shown = requests.get(f"{up.sandbox.url}/inbox", headers=accept, timeout=5).json()
    assert [(item["to"], item["channel"]) for item in shown] == [
        ("+86 13800138000", "phone"),
        ("ann@example.org", "email"),
    ]
    assert set(shown[0]) == {"to", "channel", "code", "sent_at"} and re.fullmatch(r"\d{6}", shown[0]["code"])
    page = requests.get(f"{up.sandbox.url}/inbox", timeout=5)
    assert page.headers["Content-Type"].startswith("text/html") and shown[0]["code"] in page.text
    hers = requests.get(f"{up.sandbox.url}/inbox", params={"to": "ann@example.org"}, headers=accept, timeout=5).json()
    assert hers == shown[1:]


def test_five_messages_in_half_an_hour_and_no_more(up: Upstream, clock: Clock) -> None:
    for _ in range(5):
        up.send_code("ann@example.org")
    body = {"bizType": EMAIL_CODE, "toUser": "Ann@example.org"}
    refused = up(SEND, body)
    assert (refused["code"], refused["bizCode"]) == ("MESSAGE_SEND_LIMIT", "MS")
    assert up(SEND, body | {"bizType": "EMAIL_LOGIN_VERIFICATION_CODE"})["code"] == "0"
    assert up(SEND, body | {"toUser": "bob@example.org"})["code"] == "0"
    clock.skipped = 1801
    assert up(SEND, body)["code"] == "0"


def test_a_wrong_code_says_which_channel_and_does_not_use_the_right_one_up(up: Upstream) -> None:
    for login, code in (("ann@example.org", "0000517"), ("13800138000", "0000518")):
        body = up.registration(login)
        wrong = "000000" if body["verifyCode"] != "000000" else "111111"
        assert up(REGISTER, body | {"verifyCode": wrong})["code"] == f"CUSTOMER_API_{code}"
        assert up(REGISTER, body)["code"] == "0"


def test_five_wrong_codes_void_the_ticket(up: Upstream) -> None:
    body = up.registration("ann@example.org")
    codes = [up(REGISTER, body | {"verifyCode": "nope"})["code"] for _ in range(5)]
    assert codes == ["CUSTOMER_API_0000517"] * 5
    assert up(REGISTER, body)["code"] == "CUSTOMER_API_0000512"
    assert up.register("ann@example.org")["code"] == "0"


def test_a_ticket_belongs_to_its_recipient(up: Upstream) -> None:
    body = up.registration("ann@example.org")
    assert up(REGISTER, body | {"loginName": "bob@example.org"})["code"] == "CUSTOMER_API_0000517"
    assert up(REGISTER, body | {"sendToken": "unknown"})["code"] == "CUSTOMER_API_0000517"


def test_a_code_registers_once(up: Upstream) -> None:
    body = up.registration("ann@example.org")
    assert up(REGISTER, body)["code"] == "0"
    assert up(REGISTER, body)["code"] == "CUSTOMER_API_0000517"


def test_checking_a_code_before_the_registration_uses_it_up(up: Upstream) -> None:
    body = up.registration("ann@example.org")
    check = {"bizType": EMAIL_CODE, "toUser": "ann@example.org", "sendToken": body["sendToken"]}
    assert up(CHECK, check | {"code": body["verifyCode"]})["code"] == "0"
    assert up(REGISTER, body)["code"] == "CUSTOMER_API_0000517"


def test_an_old_code_is_wrong(up: Upstream, clock: Clock) -> None:
    body = up.registration("ann@example.org")
    clock.skipped = 1801
    assert up(REGISTER, body)["code"] == "CUSTOMER_API_0000517"


def test_version_2_of_sending_needs_a_captcha(up: Upstream) -> None:
    body = {"bizType": EMAIL_CODE, "toUser": "ann@example.org"}
    refused = up(SEND, body, version="0.0.2")
    assert set(refused) == {"msg", "code", "bizCode"} and refused["code"] == "F999999"
    assert up(SEND, body, version="0.0.2", captcha="solved")["code"] == "0"


# -- Registration ----------------------------------------------------------------------------------


def test_a_registration_answers_with_the_customer_and_the_first_level(up: Upstream) -> None:
    data = up.register("13800138000", pwd=MD5, protocol=True, utmSource="newsletter", utmTerm=None)["data"]
    assert re.fullmatch(r"86\d{6}", data["customerNo"]) and data["token"].endswith("app")
    assert (data["phone"], data["phoneArea"], data["loginPassStatus"]) == ("138****8000", "+86", "2")
    (level,) = data["list"]
    assert (level["levelCode"], level["levelName"]) == ("level_1", "Basic details")
    assert [element["elementCode"] for element in level["elementList"]] == [
        "name",
        "birthday",
        "id_card_type",
        "front_identity_card",
        "back_identity_card",
        "proof_of_passpord",
        "proof_of_drive",
    ]


def test_registrations_list_what_was_received(up: Upstream) -> None:
    up(REGISTER, up.registration("ann@example.org", utmSource="x"), X_Forwarded_For="203.0.113.9")
    accept = {"Accept": "application/json"}
    (seen,) = requests.get(f"{up.sandbox.url}/registrations", headers=accept, timeout=5).json()
    assert seen["outcome"] == "registered" and seen["customerNo"] == "86000001"
    assert seen["body"]["utmSource"] == "x" and seen["headers"]["X-Forwarded-For"] == "203.0.113.9"
    assert up.sandbox.registrations()[0]["headers"]["x-forwarded-for"] == "203.0.113.9"
    assert "x-forwarded-for" in up.sandbox.calls()[-1]["headers"]


def test_a_taken_identifier_is_told_only_to_who_has_the_code(up: Upstream) -> None:
    for login, code in (("ann@example.org", "0000107"), ("13800138000", "0000106")):
        up.register(login)
        again = up.registration(login)
        assert up(REGISTER, again | {"verifyCode": "nope"})["code"].startswith("CUSTOMER_API_000051")
        assert up(REGISTER, again)["code"] == f"CUSTOMER_API_{code}"


def test_enterprises_register_only_in_some_countries(up: Upstream) -> None:
    company = {"openAccountType": 1}
    refused = up.register("ann@example.org", country="BR", **company)
    assert refused["code"] == "CUSTOMER_API_0000624"
    assert "GB" in up(f"{KYC}.findCompanyCountry", {})["data"]["openCompanyCountry"].split(",")
    data = up.register("ann@example.org", **company)["data"]
    shown = [element["elementCode"] for element in data["list"][0]["elementList"]]
    assert shown == ["company_basic_info", "company_auth_director"]


def test_existence_can_be_asked_by_guests(up: Upstream) -> None:
    up.register("ann@example.org")
    for login, status in (("ann@example.org", 1), ("bob@example.org", 2)):
        body = {"type": 1, "loginName": login}
        assert up(f"/global/{CUSTOMER}.checkStatus", body, token=None)["data"]["status"] == status
        assert up(f"/global/{CUSTOMER}.checkCustomerExist", body, token=None)["data"] == status


def test_login_works_with_password_and_with_code(up: Upstream) -> None:
    up.register("ann@example.org", pwd=MD5)
    body = {"type": 1, "loginName": "ann@example.org", "device": 2, "isThird": False}
    assert up(LOGIN, body | {"loginPwd": "0" * 32})["code"] == "CUSTOMER_API_0000102"
    up.token = up(LOGIN, body | {"loginPwd": MD5})["data"]["token"]
    assert up(f"/global/{CUSTOMER}.findCustomerInfo", {})["data"]["kycStatus"] == 1
    ticket, code = up.send_code("ann@example.org", "EMAIL_LOGIN_VERIFICATION_CODE")
    assert up(LOGIN, body | {"verifyCode": code, "sendToken": ticket})["data"]["token"].endswith("app")


def test_a_password_is_set_once(up: Upstream) -> None:
    assert up.register("ann@example.org")["data"]["loginPassStatus"] == "1"
    path = f"/global/{CUSTOMER}.bindLoginPwd"
    assert up(path, {"pwd": ""})["code"] == "CUSTOMER_API_0000125"
    assert [up(path, {"pwd": MD5})["code"] for _ in range(2)] == ["0", "CUSTOMER_API_0000135"]


# -- Idempotency -----------------------------------------------------------------------------------


def test_the_same_key_gets_the_first_reply_whatever_the_body(up: Upstream, clock: Clock) -> None:
    first = up(REGISTER, up.registration("ann@example.org"), idempotency_key="k1")
    again = up(REGISTER, {"type": "nonsense"}, idempotency_key="k1")
    assert again == first and len(up.sandbox.registrations()) == 1
    assert up(REGISTER, {}, idempotency_key="k1", group="g")["code"] != "0"
    clock.skipped = 24 * 3600 + 1
    assert up(REGISTER, {}, idempotency_key="k1")["code"] != "0"


def test_a_failure_is_replayed_too(up: Upstream) -> None:
    body = up.registration("ann@example.org")
    up(REGISTER, body | {"verifyCode": "nope"}, idempotency_key="k1")
    assert up(REGISTER, body, idempotency_key="k1")["code"] == "CUSTOMER_API_0000517"
    assert up(REGISTER, body, idempotency_key="k2")["code"] == "0"


def test_a_concurrent_duplicate_is_told_so_at_once(up: Upstream) -> None:
    body = up.registration("ann+slow@example.org")
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: up(REGISTER, body, idempotency_key="k1"), range(8)))
    codes = sorted(answer["code"] for answer in answers)
    assert codes == ["0"] + ["GATEWAY_CODE_018"] * 7
    duplicate = next(answer for answer in answers if answer["code"] != "0")
    assert set(duplicate) == {"msg", "trace", "code", "data", "bizCode"} and duplicate["bizCode"] == "G"
    assert len(up.sandbox.registrations()) == 1


# -- Signing and encryption ------------------------------------------------------------------------


def signature(body: dict[str, Any], stamp: int) -> str:
    chosen = {
        key: value for key, value in body.items() if type(value) in (int, float) or (type(value) is str and value)
    }
    text = f"timestamp={stamp}&" + "&".join(f"{key}={chosen[key]}" for key in sorted(chosen))
    return hashlib.md5(text.encode()).hexdigest().upper()


def encoded(body: dict[str, Any], stamp: int) -> str:
    """What encodeURIComponent makes of the JSON text."""
    whole = body | {"timestamp": stamp}
    text = json.dumps({"signature": signature(whole, stamp)} | whole, separators=(",", ":"), ensure_ascii=False)
    return quote(text, safe="-_.!~*'()")


def seal(body: dict[str, Any], stamp: int, public_key: str, size: int = 100) -> dict[str, str]:
    key: Any = load_der_public_key(base64.b64decode(public_key))
    text = encoded(body, stamp)
    pieces = [text[at : at + size].encode() for at in range(0, len(text), size)]
    return {"data": ",".join(base64.b64encode(key.encrypt(piece, padding.PKCS1v15())).decode() for piece in pieces)}


EXAMPLE: dict[str, Any] = {
    "type": 2,
    "loginName": "13800138000",
    "registerSource": 1,
    "verifyCode": "482913",
    "sendToken": "38caf08b-fafd-4cb5-b36c-ebdd1878b974",
    "utmSource": "spring promo",
    "utmMedium": "",
    "protocol": True,
    "tradeTypeCurrencyList": [{"tradeType": "1", "allCurrency": "USD,USDT"}],
    "customerGroupId": 1,
    "country": "CN",
    "openAccountType": 0,
    "phoneArea": "+86",
    "utmTerm": None,
}
T = 1760000000123


@pytest.mark.parametrize(
    ("body", "stamp", "expected"),
    [
        (EXAMPLE, T, "5424DB37F7D1CB752C48708999933243"),
        ({}, T, "664E4ADD1E3C45D3EBE7408831E1FE44"),
        ({"parentCode": "-1"}, T, "030828B631D4FADBC898F409B924720F"),
        (
            {"bizType": SMS_CODE, "toUser": "+86 13800138000", "country": "CN"},
            T,
            "D51F0D26AC0AB9903D1E42D4BCB12640",
        ),
        ({"parentCode": "USDT"}, 1722093946335, "5EF9837436D52991C79B7C0C4B007DAE"),
        ({"c": 3, "a": 1, "b": 2}, 11111131331, "43FFFF236AC1FE30AF4ED37A1CFF7C9D"),
    ],
)
def test_known_signatures_come_out(body: dict[str, Any], stamp: int, expected: str) -> None:
    whole = body | {"timestamp": stamp}
    assert signature(whole, stamp) == sign(whole, stamp) == expected


def test_the_worked_example_is_encoded_and_sealed_as_documented(sandbox: Sandbox) -> None:
    text = encoded(EXAMPLE, T)
    assert len(text) == 614 and hashlib.sha256(text.encode()).hexdigest().startswith("eb686b73f3ea475a")
    sealed = seal(EXAMPLE, T, sandbox.public_key)["data"]
    assert [len(part) for part in sealed.split(",")] == [172] * 7 and len(sealed) == 1210
    assert sandbox.state.keys().unseal(sealed, str(T)) == EXAMPLE | {"timestamp": T}


@pytest.mark.parametrize("size", [100, 117, 33])
def test_an_encrypted_registration_works_however_it_is_cut(up: Upstream, clock: Clock, size: int) -> None:
    login = "13800138000"
    stamp = int(clock() * 1000)
    body = up.registration(login, utmSource="50% off & ünïcode +1", protocol=True, utmTerm=None)
    sealed = seal(body, stamp, up.sandbox.public_key, size)
    answer = up(REGISTER, sealed, timestamp=str(stamp), trace="x-1")
    assert answer["code"] == "0", answer
    call = up.sandbox.calls()[-1]
    assert call["encrypted"] is True and call["signature_ok"] is True and call["body"]["loginName"] == login
    assert up.sandbox.registrations()[0]["encrypted"] is True


def test_a_body_sealed_without_escapes_loses_its_plus_and_its_signature(
    up: Upstream, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    stamp = int(clock() * 1000)
    body = {"bizType": SMS_CODE, "toUser": "+86 13800138000"}
    right = {"timestamp": str(stamp), "trace": "x-1"}
    assert up(SEND, seal(body, stamp, up.sandbox.public_key), **right)["code"] == "0"
    monkeypatch.setattr(sys.modules[__name__], "quote", lambda text, safe: text)
    assert up(SEND, seal(body, stamp, up.sandbox.public_key), **right)["code"] == "GATEWAY_CODE_015"


def test_a_flawed_sealed_body_is_illegal(up: Upstream, clock: Clock) -> None:
    stamp = int(clock() * 1000)
    good = seal({"parentCode": "-1"}, stamp, up.sandbox.public_key)
    path = f"{DICT}.getCountryListByParentCode"
    right = {"timestamp": str(stamp), "trace": "x-1"}
    assert up(path, good, **right)["code"] == "0"
    with Sandbox(clock=clock) as other:
        foreign = seal({"parentCode": "-1"}, stamp, other.public_key)
    assert up(path, foreign, **right)["code"] == "GATEWAY_CODE_015"
    assert up(path, {"data": "AAAA,BBBB"}, **right)["code"] == "GATEWAY_CODE_015"
    assert up(path, good, timestamp=str(stamp + 1), trace="x-1")["code"] == "GATEWAY_CODE_015"
    assert up(path, good, timestamp=str(stamp), trace="plain")["code"] == "GATEWAY_CODE_015"
    forged = {"parentCode": "-1", "signature": "0" * 32}
    assert up(path, seal(forged, stamp, up.sandbox.public_key), **right)["code"] == "GATEWAY_CODE_015"
    assert up.sandbox.calls()[-1]["signature_ok"] is False


# -- Dictionaries ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("lang", "shown"), [("en-US", "Spain"), ("zh-CN", "西班牙"), ("es-ES", "España")])
def test_countries_are_named_in_the_language_asked_for(up: Upstream, lang: str, shown: str) -> None:
    rows = up(f"{DICT}.getCountryListByParentCode", {"parentCode": "-1"}, lang=lang, version=None)["data"]
    spain = next(row for row in rows if row["code"] == "ES")
    assert (spain["displayName"], spain["countryCode"], spain["nationalCode"]) == (shown, "+34", "ES")
    assert len(rows) > 30


def test_the_country_list_keeps_the_oddities_of_the_real_one(up: Upstream) -> None:
    rows = up(f"{DICT}.getCountryListByParentCode", {"parentCode": "-1"})["data"]
    areas = [row["countryCode"] for row in rows]
    assert all(areas.count(shared) > 1 for shared in ("+1", "+7", "+44"))
    assert {row["status"] for row in rows} == {1, 2} and "" in areas and rows[-1]["code"] == "other"


def test_document_kinds_have_patterns(up: Upstream) -> None:
    rows = up(f"{DICT}.getListByParentCode", {"parentCode": "id_card_type"})["data"]
    assert [row["code"] for row in rows] == ["identity_card", "passport", "drving_license"]
    assert all(re.compile(row["extend"]) and row["extend"] for row in rows)


# -- Uploads and identity checks -------------------------------------------------------------------


def test_an_upload_comes_back_byte_for_byte(up: Upstream) -> None:
    up.register("ann@example.org")
    content = PNG + bytes(range(256)) * 50 + b"\r\n"
    url = up.upload(content)["data"]
    served = requests.get(url, timeout=5)
    assert served.content == content and served.headers["Content-Type"] == "image/png"


def test_uploads_are_told_by_their_first_bytes(up: Upstream) -> None:
    up.register("ann@example.org")
    for content in (b"\xff\xd8\xff\xe0", b"GIF89a", b"RIFF\0\0\0\0WEBP", b"%PDF-1.7"):
        assert up.upload(content)["code"] == "0"
    refused = up.upload(b"<svg/>")
    assert refused["code"] == "GATEWAY_CODE_103" and "png" in refused["msgParams"]
    assert up.upload(PNG, name="file")["code"] == "GATEWAY_CODE_104"
    assert up.upload(token=None)["code"] == "GATEWAY_CODE_001"


def test_a_level_goes_from_open_through_review_to_passed(up: Upstream, clock: Clock) -> None:
    up.register("ann@example.org")
    answers = up.passport()
    check = {"businessCode": "open_account", "openAccountType": 0}
    assert up(f"{KYC}.checkKycApply", check)["data"] == 0
    proposal = up.apply("level_1", answers, pathCode="P1", openAccountType=0, selectCountry="")
    assert re.fullmatch(r"K\d{18}", proposal["data"])
    assert up(f"{KYC}.checkKycApply", check)["data"] == 1
    assert up.apply("level_1", answers)["code"] == "CUSTOMER_API_0000601"
    clock.skipped = 21
    assert up(f"{KYC}.checkKycApply", check)["data"] == 2
    assert up.apply("level_1", answers)["code"] == "CUSTOMER_API_0000604"
    (application,) = up.sandbox.applications()
    assert application["customerNo"] == "86000001" and application["draft"] is False


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"birthday": "642902400001"}, "0000620"),
        ({"birthday": "1990-05-17"}, "0000620"),
        ({"name": "A"}, "0000620"),
        ({"passport": "?"}, "0000620"),
        ({"proof_of_passpord": "https://files.example.org/p.jpg"}, "0000620"),
        ({"proof_of_drive": "COPY"}, "0000620"),
        ({"identity_card": "A1234567"}, "0000620"),
        ({"id_card_type": "passport"}, "0000620"),
        ({"surprise": "1"}, "0000620"),
        ({"name": ""}, "0000501"),
        ({"proof_of_passpord": None}, "0000501"),
        ({"passport": None, "proof_of_passpord": None}, "0000501"),
    ],
)
def test_answers_must_be_what_was_asked_for(up: Upstream, change: dict[str, str | None], code: str) -> None:
    up.register("ann@example.org")
    answers = up.passport()
    for name, value in change.items():
        answers[name] = answers["proof_of_passpord"] if value == "COPY" else value or ""
        if value is None:
            del answers[name]
    assert up.apply("level_1", answers)["code"] == f"CUSTOMER_API_{code}"


def test_files_of_another_customer_are_refused(up: Upstream) -> None:
    up.register("ann@example.org")
    answers = up.passport()
    up.register("bob@example.org")
    assert up.apply("level_1", answers)["code"] == "CUSTOMER_API_0000620"


def test_element_values_are_strings(up: Upstream) -> None:
    up.register("ann@example.org")
    body = {
        "levelCode": "level_1",
        "elementList": [{"elementCode": "birthday", "elementValue": 642902400000}],
    }
    assert up(f"{KYC}.kycLevelApply", body)["code"] == "GATEWAY_CODE_015"


def test_a_draft_is_kept_and_comes_back_as_prefill(up: Upstream) -> None:
    up.register("ann@example.org")
    draft = {"name": "Ann Example", "passport": "E12345678"}
    assert up.apply("level_1", draft, commitTag=False)["code"] == "0"
    (path,) = up(f"{KYC}.findAllLevelKyc", {"levelCode": "level_1"})["data"]
    saved = {element["elementCode"]: element for element in path["elementList"]}
    assert saved["name"]["elementValue"] == "Ann Example"
    group = saved["id_card_type"]
    assert (group["elementCodeInputGroup"], group["elementValueInputGroup"]) == ("passport", "E12345678")
    assert up(f"{KYC}.findAllBizKycList", {"openAccountType": 0})["data"][0]["status"] == 0


def test_the_same_goes_by_business_scene(up: Upstream) -> None:
    up.register("ann@example.org")
    elements = [{"elementCode": code, "elementValue": value} for code, value in up.passport().items()]
    body = {"levelCode": "level_1", "businessCode": "open_account", "elementList": elements}
    assert up(f"{KYC}.kycApply", body | {"businessCode": "unknown"})["code"] == "CUSTOMER_API_0000603"
    assert isinstance(up(f"{KYC}.kycApply", body)["data"], dict)


def test_company_forms_are_json_inside_a_string(up: Upstream) -> None:
    up.register("ann@example.org", openAccountType=1)
    photo = up.upload()["data"]
    account = {"companyName": "Example Ltd", "regNo": "1", "createTime": 642902400000, "area": "+44"}
    account |= {"phone": "1", "resource": "r", "nature": "trade", "natureName": "Trade", "reason": "r"}
    basic: dict[str, Any] = {"accountInfo": account}
    for name, prefix in (("regAddress", "reg"), ("opertion", "opertion")):
        values = {
            "Country": "GB",
            "CountryName": "United Kingdom",
            "City": "London",
            "Street": "1 Example St",
        }
        basic[name] = {prefix + key: value for key, value in values.items()}
    director = {
        "lastname": "Example",
        "firstName": "Ann",
        "birthDay": 642902400000,
        "address": "1 Example St",
    }
    director |= {
        "addressName": "",
        "email": "ann@example.org",
        "idType": "passport",
        "idTypeName": "Passport",
    }
    director |= {"idNo": "E1", "issued": "GB", "issuedName": "", "documents": photo, "photo": photo}

    def submit(**more: Any) -> str:
        answers = {"company_basic_info": json.dumps(basic)}
        answers["company_auth_director"] = json.dumps({"list": [director]})
        return str(up.apply("level_1", answers, openAccountType=1, **more)["code"])

    assert submit() == "CUSTOMER_API_0000501"
    assert submit(selectCompanyType="nonsense") == "GATEWAY_CODE_015"
    director["photo"] = "https://files.example.org/1.png"
    assert submit(selectCompanyType="limited_company") == "CUSTOMER_API_0000620"
    director["photo"] = ""
    assert submit(selectCompanyType="limited_company") == "CUSTOMER_API_0000501"
    assert submit(selectCompanyType="limited_company", commitTag=False) == "0"
    director["photo"] = photo
    assert submit(selectCompanyType="limited_company", selectCountry="GB") == "0"


# -- Scenarios -------------------------------------------------------------------------------------


def test_the_scenarios_are_listed_for_people_and_programs(sandbox: Sandbox) -> None:
    shown = requests.get(f"{sandbox.url}/scenarios", headers={"Accept": "application/json"}, timeout=5).json()
    assert [item["name"] for item in shown] == [scenario.name for scenario in SCENARIOS]
    assert all(set(item) == {"name", "email", "phone_suffix", "description"} for item in shown)
    assert len({item["phone_suffix"] for item in shown}) == len(shown)
    assert "+drop" in requests.get(f"{sandbox.url}/scenarios", timeout=5).text


def test_an_unknown_tag_changes_nothing(up: Upstream) -> None:
    assert len(up.register("ann+anything@example.org")["data"]["list"]) == 1


def test_a_phone_number_chooses_by_its_last_three_digits(up: Upstream) -> None:
    assert up.register("13800138904")["data"]["list"] == []
    body = {"type": 2, "loginName": "7400123901", "phoneArea": "+44"}
    ticket, code = up.send_code("+44 7400123901")
    more = {"country": "GB", "verifyCode": code, "sendToken": ticket, "registerSource": 1}
    assert up(REGISTER, body | more)["code"] == "CUSTOMER_API_0000106"


@pytest.mark.parametrize(
    ("tag", "code", "registered"),
    [
        ("exists", "CUSTOMER_API_0000107", 0),
        ("review", "CUSTOMER_API_00010001", 1),
        ("refused", "CUSTOMER_API_00010002", 1),
        ("badcode", "CUSTOMER_API_0000517", 0),
    ],
)
def test_scenarios_that_answer_otherwise(up: Upstream, tag: str, code: str, registered: int) -> None:
    answer = up.register(f"ann+{tag}@example.org")
    assert (answer["code"], answer["fail"]) == (code, True)
    assert len(up.sandbox.registrations()) == registered
    if tag == "review":
        assert answer["data"] == {"customerNo": "86000001"}


@pytest.mark.parametrize(
    ("tag", "check"),
    [
        ("nokyc", lambda data: data["list"] == [] and data["companyKycStatus"] == 2),
        ("nolist", lambda data: data["list"] is None),
        ("notoken", lambda data: "token" not in data),
        ("paths", lambda data: [path["pathCode"] for path in data["list"]] == ["P1", "P2"]),
        ("levels", lambda data: [path["levelCode"][-1] for path in data["list"]] == ["1", "2", "3"]),
        ("nokyc+notoken", lambda data: data["list"] == [] and "token" not in data),
    ],
)
def test_scenarios_that_shape_the_reply(up: Upstream, tag: str, check: Any) -> None:
    assert check(up.register(f"ann+{tag}@example.org")["data"])


def test_badpattern_sends_patterns_nobody_should_run_blindly(up: Upstream) -> None:
    (path,) = up.register("ann+badpattern@example.org")["data"]["list"]
    patterns = {element["elementCode"]: element["extend"] for element in path["elementList"]}
    with pytest.raises(re.error):
        re.compile(patterns["nickname"])
    assert "(?=" in patterns["reference"] and patterns["city"] == "^(a+)+$"
    answers = dict.fromkeys(("name", "nickname", "motto", "city"), "a" * 40) | {
        "reference": "AB12",
        "year": "1990",
    }
    assert up.apply("level_1", answers)["code"] == "0"


def test_levels_go_one_after_the_other(up: Upstream, clock: Clock) -> None:
    up.register("ann+levels@example.org")
    photo = up.upload()["data"]
    basic = {"name": "Ann Example", "birthday": BIRTHDAY}
    passport = {"passport": "E12345678", "proof_of_passpord": photo}
    assert up.apply("level_2", passport)["code"] == "CUSTOMER_API_0000616"
    assert up.apply("level_1", basic)["code"] == "0"
    assert up.apply("level_2", passport)["code"] == "CUSTOMER_API_0000616"
    clock.skipped = 21
    assert up.apply("level_2", passport)["code"] == "0"
    clock.skipped = 42
    assert up.apply("level_3", {"address": "1 Example Street", "proof_of_address": photo})["code"] == "0"
    rows = up(f"{KYC}.findAllBizKycList", {"openAccountType": 0})["data"]
    assert [row["status"] for row in rows] == [2, 2, 1]
    assert [row["preLevelName"] for row in rows] == [None, *(row["levelName"] for row in rows[:2])]


def test_paths_are_told_apart_by_their_code(up: Upstream) -> None:
    up.register("ann+paths@example.org")
    photo = up.upload()["data"]
    card = {"name": "Ann Example", "birthday": BIRTHDAY, "front_bank_card": photo, "back_bank_card": photo}
    assert up.apply("level_1", card, pathCode="P1")["code"] == "CUSTOMER_API_0000620"
    assert up.apply("level_1", card, pathCode="P2")["code"] == "0"


def test_rejected_tells_the_reason_and_then_passes(up: Upstream, clock: Clock) -> None:
    up.register("ann+rejected@example.org")
    answers = up.passport()
    assert up.apply("level_1", answers)["code"] == "0"
    clock.skipped = 21
    told = up(f"{KYC}.checkKycApply", {"businessCode": "open_account"})
    assert told["data"] == 3 and "blurred" in told["msg"]
    assert up(f"{KYC}.findAllBizKycList", {})["data"][0]["status"] == 3
    assert up.apply("level_1", answers)["code"] == "0"
    clock.skipped = 42
    assert up(f"{KYC}.checkKycApply", {"businessCode": "open_account"})["data"] == 2


def test_weak_refuses_the_first_password_and_keeps_the_code_alive(up: Upstream) -> None:
    body = up.registration("ann+weak@example.org", pwd=MD5)
    assert [up(REGISTER, body)["code"] for _ in range(2)] == ["CUSTOMER_API_0000139", "0"]


def test_limit_and_captcha_stand_in_the_way_of_the_code(up: Upstream) -> None:
    body = {"bizType": EMAIL_CODE, "toUser": "ann+limit@example.org"}
    assert up(SEND, body)["code"] == "MESSAGE_SEND_LIMIT"
    assert up(SEND, body | {"toUser": "ann+captcha@example.org"})["code"] == "F999999"
    assert up.sandbox.inbox() == []


def test_busy_and_ratelimit_end_after_two_times_with_the_same_key(up: Upstream) -> None:
    body = up.registration("ann+busy@example.org")
    codes = [up(REGISTER, body, idempotency_key="k1")["code"] for _ in range(3)]
    assert codes == ["GATEWAY_CODE_018", "GATEWAY_CODE_018", "0"]
    body = up.registration("ann+ratelimit@example.org")
    answers = [up.raw(REGISTER, body, idempotency_key="k2") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [429, 429, 200]
    assert answers[0].headers["x-ratelimit-reset"] in ("1", "2")  # seconds to a moment that comes nearer


def test_waf_shows_a_puzzle_twice(up: Upstream) -> None:
    body = {"bizType": EMAIL_CODE, "toUser": "ann+waf@example.org"}
    answers = [up.raw(SEND, body) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [405, 405, 200]
    assert answers[0].headers["x-amzn-waf-action"] == "captcha"


@pytest.mark.parametrize("tag", ["drop", "hang", "error500", "garbage"])
def test_a_broken_line_registers_once_and_the_same_key_learns_it(up: Upstream, tag: str) -> None:
    body = up.registration(f"ann+{tag}@example.org")
    if tag in ("drop", "hang"):
        with pytest.raises(requests.ConnectionError):
            up.raw(REGISTER, body, idempotency_key="k1")
    else:
        broken = up.raw(REGISTER, body, idempotency_key="k1")
        assert broken.status_code == (500 if tag == "error500" else 200)
        assert broken.headers["Content-Type"].startswith("text/html")
    assert up(REGISTER, body, idempotency_key="k1")["code"] == "0"
    assert len(up.sandbox.registrations()) == 1


def test_kycdrop_stores_the_level_once(up: Upstream) -> None:
    up.register("ann+kycdrop@example.org")
    elements = [{"elementCode": code, "elementValue": value} for code, value in up.passport().items()]
    body = {"levelCode": "level_1", "elementList": elements}
    with pytest.raises(requests.ConnectionError):
        up.raw(f"{KYC}.kycLevelApply", body, idempotency_key="k1")
    assert up(f"{KYC}.kycLevelApply", body, idempotency_key="k1")["code"] == "0"
    assert len(up.sandbox.applications()) == 1


def test_expired_gives_a_token_that_is_dead_until_the_next_login(up: Upstream) -> None:
    up.register("ann+expired@example.org", pwd=MD5)
    assert up(f"{KYC}.findAllBizKycList", {})["code"] == "GATEWAY_CODE_005"
    login = {"type": 1, "loginName": "ann+expired@example.org", "device": 2, "loginPwd": MD5}
    up.token = up(LOGIN, login, token=None)["data"]["token"]
    assert up(f"{KYC}.findAllBizKycList", {})["code"] == "0"


def test_badagent_refuses_the_agent_only(up: Upstream) -> None:
    body = up.registration("ann+badagent@example.org")
    agent = {"thirdServerCode": "86000999", "thirdServerSource": "agent"}
    assert up(REGISTER, body | agent)["code"] == "CUSTOMER_API_0000901"
    assert up(REGISTER, body)["code"] == "0"


# -- The house around it ---------------------------------------------------------------------------


def test_what_outsiders_sent_is_escaped(up: Upstream) -> None:
    up(REGISTER, up.registration("ann@example.org", utmSource="<script>alert(1)</script>"))
    for path in ("/", "/registrations", "/applications"):
        assert "<script>" not in requests.get(up.sandbox.url + path, timeout=5).text


def test_clear_forgets_everything(up: Upstream) -> None:
    up(REGISTER, up.registration("ann@example.org"), idempotency_key="k1")
    requests.post(f"{up.sandbox.url}/clear", timeout=5)
    assert up.sandbox.inbox() == up.sandbox.registrations() == up.sandbox.calls() == []
    assert up(REGISTER, up.registration("ann@example.org"), idempotency_key="k1")["code"] == "0"


def test_a_stopped_sandbox_is_down_even_for_open_connections_and_comes_back(clock: Clock) -> None:
    sandbox = Sandbox(clock=clock).start()
    up = Upstream(sandbox, clock)
    url = sandbox.url
    up.register("ann@example.org")
    sandbox.stop()
    with pytest.raises(requests.ConnectionError):
        up(REGISTER, {})
    sandbox.start()
    try:
        assert sandbox.url == url and up.register("ann@example.org")["code"] == "CUSTOMER_API_0000107"
    finally:
        sandbox.stop()


def test_many_register_at_once_and_each_once(up: Upstream) -> None:
    def one(number: int) -> str:
        mine = Upstream(up.sandbox, up.clock)
        to = f"ann{number}@example.org"
        ticket = mine(SEND, {"bizType": EMAIL_CODE, "toUser": to})["data"]["token"]
        code = next(item["code"] for item in up.sandbox.inbox() if item["to"] == to)
        body = {"type": 1, "loginName": to, "country": "GB", "verifyCode": code, "sendToken": ticket}
        return str(mine(REGISTER, body | {"registerSource": 2})["code"])

    with ThreadPoolExecutor(32) as pool:
        assert set(pool.map(one, range(100))) == {"0"}
    assert len({entry["customerNo"] for entry in up.sandbox.registrations()}) == 100


def test_half_a_request_blocks_nobody(up: Upstream) -> None:
    with socket.create_connection(("127.0.0.1", int(up.sandbox.url.rpartition(":")[2]))) as half:
        half.sendall(b"POST /api/upload HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc")
        assert up(f"{DICT}.getListByParentCode", {"parentCode": "EnterpriseType"})["code"] == "0"


def test_the_partner_page_embeds_the_script_and_passes_on_only_utm(sandbox: Sandbox) -> None:
    with PartnerSite(onboarding_url="http://127.0.0.1:8000") as partner:
        assert partner.url.startswith("http://localhost:")
        page = requests.get(f"{partner.url}/", timeout=5).text
        assert '<div data-onboarding data-partner="default"></div>' in page
        assert '<script src="http://127.0.0.1:8000/embed.js" async></script>' in page
        assert 'data-lang="zh-HK"' in requests.get(f"{partner.url}/?lang=zh-HK", timeout=5).text
        assert "onload" not in requests.get(f'{partner.url}/?lang="onload=1', timeout=5).text
        plain = requests.get(f"{partner.url}/plain?utm_source=news+letter&email=ann@example.org", timeout=5).text
        assert 'src="http://127.0.0.1:8000/p/default/?utm_source=news+letter"' in plain
        assert 'allow="camera; otp-credentials; clipboard-write"' in plain


COMMAND = """
import sys
from django.conf import settings
from django.core.management import CommandError
settings.configure(DEBUG=False)
from onboarding.management.commands.sandbox import Command
try:
    Command().run_from_argv(["manage.py", "sandbox", "--port", "0", *sys.argv[1:]])
except CommandError as error:
    sys.exit(str(error))
"""


def test_the_command_refuses_without_debug_and_stops_on_interrupt() -> None:
    start = [sys.executable, "-c", COMMAND]
    refused = subprocess.run(start, capture_output=True, text=True, timeout=20, check=False)
    assert refused.returncode != 0 and "--yes-really" in refused.stderr and "Traceback" not in refused.stderr
    process = subprocess.Popen([*start, "--yes-really"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    guard = threading.Timer(15, process.kill)
    guard.start()
    assert process.stdout is not None
    first = process.stdout.readline()
    assert requests.get(first.split()[-1].removesuffix("/api") + "/inbox", timeout=5).status_code == 200
    process.send_signal(2)
    _, errors = process.communicate()
    guard.cancel()
    assert process.returncode == 0 and errors == ""
