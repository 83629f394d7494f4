"""Bad input, wrong moments, foreign hands: each gets a clear page, and nothing typed is lost."""

from __future__ import annotations

import io
import re
import socket
import struct
import time
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pillow_heif
import pytest
import requests
from PIL import Image

from onboarding.sandbox.server import Sandbox
from tests.support import Customer, Server, fresh_email, fresh_phone, picture

BAD_IDENTITIES = [
    ({"email": ""}, "id_email"),
    ({"email": "not an address"}, "id_email"),
    ({"email": "a" * 300 + "@example.org"}, "id_email"),
    ({"email": "a\x00b@example.org"}, "id_email"),
    ({"email": '"a\\nn"@example.org'}, "id_email"),  # ann@, as the limits of a recipient would not see
    ({"email": "ann@[192.0.2.1]"}, "id_email"),
    ({"phone": ""}, "id_phone"),
    ({"phone": "12"}, "id_phone"),
    ({"phone": "hello"}, "id_phone"),
    ({"phone": "+1 202 555 0100 999 999"}, "id_phone"),
    ({"phone": "7400000000", "phone_area": "ZZ"}, "id_phone_area"),
    ({"country": ""}, "id_country"),
    ({"country": "XX"}, "id_country"),
    ({"terms": ""}, "id_terms"),
    ({"account_type": "robot"}, "id_account_type"),
    ({"account_type": "enterprise", "country": "JP"}, "id_account_type"),
]


@pytest.mark.parametrize(("answers", "field"), BAD_IDENTITIES)
def test_a_wrong_answer_is_said_at_its_field_and_the_rest_is_kept(
    customer: Customer, answers: dict[str, str], field: str
) -> None:
    shown = customer.identify(**answers)
    assert (shown.status, shown.step) == (422, "identify")
    assert field in shown.errors
    assert any(text in shown.errors[field] for text in shown.summary)
    assert f'href="#{field}"' in shown.text
    assert "<title>Error:" in shown.text
    assert re.search(rf'id="{field}"[^>]*aria-invalid="true"|aria-describedby="{field}-error"', shown.text)
    for name in ("email", "phone", "country"):
        if name in customer.sent and name not in answers:
            assert shown.value(name) == customer.sent[name]
    if "email" in answers and len(answers["email"]) < 254:
        assert shown.value("email").replace("\ufffd", "\x00") == answers["email"]


@pytest.mark.parametrize("language", ["zh-CN", "es"])
def test_errors_speak_the_customers_language(customer: Customer, language: str) -> None:
    english = customer.identify(email="nonsense").errors["id_email"]
    shown = customer.identify(email="nonsense", query={"lang": language})
    assert shown.errors["id_email"] != english
    assert f'<html lang="{"zh-hans" if language == "zh-CN" else language}"' in shown.text


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("07400 123 001", ("+44", "7400123001")),
        ("+44 7400 123002", ("+44", "7400123002")),
        ("0044 (7400) 123-003", ("+44", "7400123003")),
        ("７４００１２３００４", ("+44", "7400123004")),
        ("٧٤٠٠١٢٣٠٠٥", ("+44", "7400123005")),
        ("+86 138 0013 8000", ("+86", "13800138000")),
    ],
)
def test_any_way_of_writing_a_phone_number_is_understood(
    customer: Customer, sandbox: Sandbox, written: str, sent: tuple[str, str]
) -> None:
    sandbox.clear()
    customer.identify(phone=written)
    customer.password()
    assert sandbox.inbox()[0]["to"] == " ".join(sent)


@pytest.mark.parametrize(
    "typed", ["{0} ", "{1} {2}", "{1}-{2}", "Your code is {0}. It is valid for 30 minutes, for you only."]
)
def test_a_code_is_understood_however_it_is_pasted(customer: Customer, typed: str) -> None:
    customer.identify()
    customer.password()
    code = customer.code()
    assert customer.verify(typed.format(code, code[:3], code[3:])).step == "level"


@pytest.mark.parametrize("typed", ["", "abc", "12", "123456789012", "codes 123456 or 654321"])
def test_a_text_without_a_code_costs_no_attempt(customer: Customer, sandbox: Sandbox, typed: str) -> None:
    customer.identify()
    customer.password()
    before = len(sandbox.calls())
    for _ in range(6):
        shown = customer.post(customer.flow_url + "verify/", {"code": typed})
        assert (shown.status, list(shown.errors)) == (422, ["id_code"])
    assert len(sandbox.calls()) == before
    assert customer.verify().step == "level"


def test_five_wrong_codes_are_the_end_of_a_flow(customer: Customer) -> None:
    customer.identify()
    customer.password()
    right = customer.code()
    wrong = [f"{n:06}" for n in range(6) if f"{n:06}" != right]
    for code in wrong[:5]:
        assert customer.verify(code).status == 422
    shown = customer.verify(right)
    assert (shown.status, shown.problem) == (429, "limited")
    assert int(shown.response.headers["Retry-After"]) > 0


def test_another_code_needs_a_cool_down(customer: Customer) -> None:
    customer.identify()
    customer.password()
    shown = customer.post(customer.flow_url + "resend/", {})
    assert (shown.status, shown.step) == (429, "verify")
    assert 0 < int(shown.response.headers["Retry-After"]) <= 30
    assert shown.response.headers["Retry-After"] in shown.summary[0]


def test_the_identifier_is_corrected_in_place_and_everything_else_is_kept(customer: Customer, sandbox: Sandbox) -> None:
    customer.identify(email=fresh_email(), query={"utm_source": "kept"})
    customer.password("correct horse battery")
    url, right = customer.flow_url, fresh_email()
    shown = customer.get(url, change="email")
    assert (shown.step, shown.value("email"), shown.value("country")) == ("identify", customer.sent["email"], "GB")
    customer.sent["email"] = right
    shown = customer.post(
        url + "identify/", {"channel": "email", "email": right, "country": "GB", "account_type": "individual"}
    )
    assert (shown.step, customer.flow_url) == ("verify", url)
    assert right in shown.text
    assert customer.verify().step == "level"
    (entry,) = [r for r in sandbox.registrations() if r["body"]["loginName"] == right]
    assert entry["body"]["utmSource"] == "kept"
    assert "pwd" in entry["body"]


def test_the_channel_is_switched_in_place(customer: Customer, sandbox: Sandbox) -> None:
    customer.identify()
    customer.password()
    phone = fresh_phone()
    shown = customer.get(customer.flow_url, change="phone")
    assert shown.step == "identify"
    assert 'name="phone"' in shown.text
    customer.sent = {"phone": phone}
    data = {"channel": "phone", "phone": phone, "phone_area": "GB", "country": "GB", "account_type": "individual"}
    assert customer.post(customer.flow_url + "identify/", data).step == "verify"
    assert customer.verify().step == "level"


def test_a_language_change_keeps_the_flow_and_its_attribution(customer: Customer, sandbox: Sandbox) -> None:
    email = fresh_email()
    customer.identify(email=email, query={"utm_source": "kept", "lang": "es"})
    assert '<html lang="es"' in customer.shown.text
    shown = customer.post(customer.flow_url + "language/", {"lang": "zh-hans"})
    assert '<html lang="zh-hans"' in shown.text
    customer.password()
    customer.verify()
    (entry,) = [r for r in sandbox.registrations() if r["body"]["loginName"] == email]
    assert (entry["body"]["utmSource"], entry["body"]["lang"], entry["headers"]["lang"]) == ("kept", "zh-CN", "zh-CN")


def test_an_altered_or_missing_landing_gives_the_form_again_with_what_was_typed(customer: Customer) -> None:
    for landing in ("", "nonsense", None):
        shown = customer.identify(landing=landing)
        assert (shown.status, shown.step) == (422, "identify")
        assert shown.value("email") == customer.sent["email"]
        assert shown.value("landing")


@pytest.mark.parametrize("step", ["password", "verify", "path", "level", "identify"])
def test_a_step_that_is_over_leads_to_the_current_one(customer: Customer, step: str) -> None:
    customer.register()
    assert customer.shown.step == "level"
    if step == "level":
        customer.level()
    shown = customer.post(customer.flow_url + step + "/", {"code": "123456", "el-name": "x"})
    assert (shown.status, shown.step) == (409, "done" if step == "level" else "level")


def test_a_stale_tab_cannot_answer_the_next_level(customer: Customer) -> None:
    customer.register()
    shown = customer.post(customer.flow_url + "level/", {"level": "level_0", "el-name": "x"})
    assert (shown.status, shown.step) == (409, "level")


@pytest.mark.parametrize(
    "step", ["password", "verify", "path", "level", "identify", "resend", "delete", "language", "status", "done"]
)
def test_every_address_below_a_flow_leads_to_the_current_step(customer: Customer, step: str) -> None:
    customer.identify()
    url = customer.flow_url
    shown = customer.get(url + step + "/")
    assert (shown.status, shown.step, shown.response.url) == (200, "password", url)


def test_an_unknown_handle_is_not_found(customer: Customer) -> None:
    customer.identify()
    url = customer.flow_url
    handle = url.rstrip("/").rsplit("/", 1)[1]
    forged = ("A" if handle[0] != "A" else "B") + handle[1:]
    for path in (f"/f/{forged}/", "/f/x/", "/nothing/here", "/p/nobody/"):
        shown = customer.get(path)
        assert (shown.status, shown.problem) == (404, "not-found")
        assert "Start again" in shown.text


def test_an_expired_flow_says_so_and_starts_again_with_its_attribution(
    start_server: Callable[..., Server], sandbox: Sandbox
) -> None:
    server = start_server(FLOW_IDLE_MINUTES="1")
    customer = Customer(server, sandbox)
    customer.identify(query={"utm_source": "kept & right"})
    age_flows(server, "expires_at")
    for shown in (customer.get(customer.flow_url), customer.post(customer.flow_url + "password/", {"skip": "1"})):
        assert (shown.status, shown.problem) == (410, "expired")
    way = re.search(r'class="primary" href="([^"]+)"', customer.shown.text)
    assert way is not None
    assert "utm_source=kept+%26+right" in way.group(1).replace("&amp;", "&")
    assert customer.sent["email"] not in customer.shown.text


def age_flows(server: Server, column: str) -> None:
    """Makes the moment in this column of every flow now."""
    imports = "from django.utils import timezone; from onboarding.models import Flow"
    code = f"{imports}; Flow.objects.update({column}=timezone.now())"
    server.manage("shell", "-c", code)


FOREIGN = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "none"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "http://127.0.0.1"},
]


@pytest.mark.parametrize("headers", FOREIGN)
def test_a_post_from_a_foreign_page_is_refused(customer: Customer, sandbox: Sandbox, headers: dict[str, str]) -> None:
    customer.identify()
    customer.password()
    code = customer.code()
    for path, data in (
        ("/", customer.sent),
        (customer.flow_url + "verify/", {"code": code}),
        (customer.flow_url + "delete/", {}),
    ):
        shown = customer.post(path, data, **headers)
        assert (shown.status, shown.problem) == (403, "not-allowed")
    customer.get("/")
    customer.post("/", customer.sent, Origin=customer.server.url)
    assert customer.shown.status == 200


def test_our_own_pages_may_post(customer: Customer) -> None:
    customer.identify()
    for headers in ({"Origin": customer.server.url}, {"Sec-Fetch-Site": "same-origin", "Origin": customer.server.url}):
        assert customer.post(customer.flow_url + "password/", {"password": "x"}, **headers).status == 422


def test_data_is_deleted_at_once_when_the_customer_says_so(customer: Customer) -> None:
    customer.identify()
    url = customer.flow_url
    shown = customer.post(url + "delete/", {})
    assert (shown.step, "Your data has been deleted." in shown.text) == ("identify", True)
    assert customer.get(url).status == 404
    result = customer.server.manage(
        "shell", "-c", "from onboarding.models import Flow; print(Flow.objects.order_by('-pk')[0].personal)"
    )
    assert result.stdout.strip().endswith("{}")


def test_purge_deletes_what_is_past_retention_and_nothing_else(
    start_server: Callable[..., Server], sandbox: Sandbox
) -> None:
    server = start_server(PASSWORD_STEP="off")
    old, new = Customer(server, sandbox), Customer(server, sandbox)
    old.register()
    age_flows(server, "purge_at")
    new.register()
    assert "1 flows purged" in server.manage("purge").stdout
    assert old.get(old.flow_url).status == 404
    assert new.get(new.flow_url).step == "level"


BAD_LEVELS = [
    ({"name": ""}, "el-0"),
    ({"name": "x"}, "el-0"),
    ({"name": "x" * 600}, "el-0"),
    ({"birthday": ""}, "el-1"),
    ({"birthday": "17.05.1990"}, "el-1"),
    ({"birthday": "1890-01-01"}, "el-1"),
    ({"birthday": "9999-12-31"}, "el-1"),
    ({"id_card_type-kind": ""}, "el-2-kind"),
    ({"id_card_type-kind": "library card"}, "el-2-kind"),
    ({"id_card_type-number": ""}, "el-2-number"),
    ({"id_card_type-number": "!"}, "el-2-number"),
]


@pytest.mark.parametrize(("answers", "field"), BAD_LEVELS)
def test_a_wrong_answer_in_a_level_is_said_at_its_field_and_nothing_is_lost(
    customer: Customer, sandbox: Sandbox, answers: dict[str, str], field: str
) -> None:
    customer.register()
    shown = customer.level(**answers)
    assert (shown.status, shown.step, list(shown.errors)) == (422, "level", [field])
    if "id_card_type-kind" not in answers:  # without one no picture is asked for; it is kept all the same
        assert "passport.png" in shown.text, "the picture needs no second upload"
    kept = {"el-name": "Ann Example", "el-birthday": "1990-05-17", "el-id_card_type-number": "E12345678"}
    for name, value in kept.items():
        if name.removeprefix("el-") not in answers:
            assert shown.value(name) == value
    assert shown.value("el-id_card_type-kind") in ("passport", answers.get("id_card_type-kind"), "")
    shown = customer.get(customer.flow_url)
    assert shown.step == "level", "after a reload too"
    assert shown.value("el-name") == answers.get("name", "Ann Example")[:600]
    assert customer.level(files={}).step == "done"


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", "empty"),
        (b"hello", "text"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "svg"),
        (b"\xff\xd8\xff\xe0" + b"\0" * 50, "cut"),
    ],
)
def test_a_file_that_is_no_picture_is_refused_with_a_sentence(
    customer: Customer, sandbox: Sandbox, content: bytes, kind: str
) -> None:
    customer.register()
    before = sum(call["path"].endswith("/upload") for call in sandbox.calls())
    shown = customer.level(files={"el-proof_of_passpord": ("passport.jpg", content, "image/jpeg")})
    assert shown.status == 422
    assert len(shown.errors) == 1
    assert sum(call["path"].endswith("/upload") for call in sandbox.calls()) == before


def test_a_missing_picture_is_asked_for_and_pictures_of_other_documents_are_not(customer: Customer) -> None:
    customer.register()
    shown = customer.level(files={"el-front_identity_card": ("front.png", picture(), "image/png")})
    assert shown.status == 422
    assert [text.rpartition(": ")[2] for text in shown.summary] == ["Add this picture."]


def test_a_picture_over_the_limit_is_told_its_size(customer: Customer) -> None:
    customer.register()
    shown = customer.level(
        files={"el-proof_of_passpord": ("big.png", picture() + b"\0" * (11 * 1024 * 1024), "image/png")}
    )
    assert shown.status == 422
    assert "11.0 MB" in shown.summary[0]


def test_a_body_over_the_limit_is_a_page_with_413(customer: Customer) -> None:
    customer.register()
    big = {"el-proof_of_passpord": ("big.png", b"\0" * (33 * 1024 * 1024), "image/png")}
    shown = customer.level(files=big)
    assert (shown.status, shown.problem) == (413, "not-allowed")
    assert customer.post("/", {"email": "x" * 100_000}).status == 413


def test_a_file_sent_by_itself_is_refused_unread_over_the_limit_of_one_file(customer: Customer) -> None:
    customer.register()
    data = {"level": "level_1", "field": "el-proof_of_passpord"}
    big = {"el-proof_of_passpord": ("big.png", b"\0" * (10 * 1024 * 1024 + 70_000), "image/png")}
    shown = customer.post(customer.flow_url + "upload/", data, files=big)
    assert (shown.status, shown.problem) == (413, "not-allowed")
    assert customer.get(customer.flow_url).step == "level"


def test_a_file_of_just_the_limit_is_looked_at(customer: Customer) -> None:
    customer.register()
    data = {"level": "level_1", "field": "el-proof_of_passpord"}
    most = 10 * 1024 * 1024
    file = {"el-proof_of_passpord": ("big.png", picture().ljust(most, b"\0"), "image/png")}
    assert customer.post(customer.flow_url + "upload/", data, files=file).status == 200


@pytest.mark.parametrize("step", ["level", "upload"])
def test_a_large_body_for_a_flow_that_is_at_no_level_is_answered_unread(customer: Customer, step: str) -> None:
    customer.identify()
    path = f"{customer.flow_url}{step}/".removeprefix(customer.server.url)
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{customer.server.port}\r\nContent-Length: 9000000\r\n"
        "Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n"
    )
    with socket.create_connection(("127.0.0.1", customer.server.port), timeout=15) as line:
        line.sendall(head.encode())  # and nothing of what was announced
        assert line.recv(100).split()[1] == b"409"
    assert customer.get(customer.flow_url).step == "password"


def test_patterns_that_cannot_be_used_do_not_stop_anybody(customer: Customer) -> None:
    shown = customer.register(email=fresh_email("badpattern"))
    names = re.findall(r'<input id="el-\d+" name="(el-[^"]+)"', shown.text)
    data = {name: "a" * 40 for name in names} | {"level": shown.level, "el-motto": "ab.Cde"}
    data |= {"el-reference": "A1b2C3", "el-year": "1990"}
    shown = customer.post(customer.flow_url + "level/", data)
    assert (shown.status, shown.step) == (200, "done"), shown.errors


def test_every_status_carries_the_same_fragment_for_htmx(customer: Customer) -> None:
    customer.headers = {"HX-Request": "true", "HX-Current-URL": customer.server.url + "/"}
    customer.identify(email="nonsense")
    assert customer.shown.status == 422
    assert customer.shown.text.lstrip().startswith("<title>Error:")
    assert "<html" not in customer.shown.text
    shown = customer.identify()
    assert shown.step == "password"
    assert shown.response.headers["HX-Push-Url"] in shown.response.url
    assert "<html" not in shown.text


def test_the_fragment_is_the_main_part_of_the_full_page(customer: Customer) -> None:
    customer.identify()
    full = customer.get(customer.flow_url).text
    customer.headers = {"HX-Request": "true"}
    fragment = customer.get(customer.flow_url).text
    assert (
        full[full.index("<main") : full.index("</main>")]
        == fragment[fragment.index("<main") : fragment.index("</main>")]
    )


@pytest.mark.parametrize("tag", ["ratelimit", "waf"])
def test_an_upstream_that_refuses_before_work_gives_the_busy_page(
    customer: Customer, sandbox: Sandbox, tag: str
) -> None:
    email = fresh_email(tag)
    customer.identify(email=email)
    shown = customer.password()
    if tag == "ratelimit":
        shown = customer.verify()
    assert (shown.status, shown.problem) == (503, "busy")
    assert int(shown.response.headers["Retry-After"]) > 0
    for _ in range(3):
        if tag == "ratelimit":
            asked = [call for call in sandbox.calls() if call["body"].get("loginName") == email]
            assert customer.verify().problem == "busy"
            again = [call for call in sandbox.calls() if call["body"].get("loginName") == email]
            assert len(again) == len(asked), "asked before it was time"
            time.sleep(int(shown.response.headers["Retry-After"]))
        shown = customer.get(customer.flow_url)
        shown = customer.verify() if "id_code" in shown.text else customer.post(customer.flow_url + "resend/", {})
        if shown.step == "level":
            break
    if tag == "waf":
        assert customer.verify().step == "level"
    else:
        assert shown.step == "level"


def test_a_dead_upstream_leaves_the_first_page_and_gives_the_busy_page(
    start_server: Callable[..., Server], sandbox: Sandbox
) -> None:
    server = start_server(upstream="http://127.0.0.1:9/api", PASSWORD_STEP="off")
    customer = Customer(server, sandbox)
    shown = customer.get("/")
    assert (shown.status, shown.step) == (200, "identify")
    assert "United Kingdom" in shown.text
    shown = customer.identify()
    assert (shown.status, shown.problem) == (503, "busy")
    way = re.search(r'class="primary" href="(/f/[^"]+)"', shown.text)
    assert way is not None
    shown = customer.get(way.group(1))
    assert (shown.status, shown.step) == (200, "verify")
    assert customer.sent["email"] in shown.text
    assert customer.post(customer.flow_url + "resend/", {}).problem == "busy"


def test_the_send_limit_of_the_upstream_is_said_in_words(customer: Customer) -> None:
    customer.identify(email=fresh_email("limit"))
    shown = customer.password()
    assert shown.status == 422
    assert shown.summary


def test_health_version_metrics_and_the_partner_script_answer(server: Server) -> None:
    assert requests.get(server.url + "/healthz").json() == {"status": "ok"}
    assert requests.get(server.url + "/readyz").json() == {"status": "ok"}
    assert requests.get(server.url + "/version").json()["version"]
    assert "onboarding_upstream_seconds" in requests.get(server.url + "/metrics").text
    assert requests.get(server.url + "/metrics", headers={"X-Forwarded-For": "192.0.2.1"}).status_code == 403
    script = requests.get(server.url + "/embed.js")
    assert script.headers["Content-Type"].startswith("text/javascript")
    assert "data-onboarding" in script.text


def test_a_captcha_that_is_wanted_and_not_set_up_is_no_matter_of_the_customer(customer: Customer) -> None:
    customer.identify(email=fresh_email("captcha"))
    shown = customer.password()
    assert (shown.status, shown.problem) == (503, "unsupported")
    assert "not a robot" not in shown.text


def test_the_captchas_answer_is_passed_on_and_asked_for_when_missing(
    start_server: Callable[..., Server], sandbox: Sandbox
) -> None:
    server = start_server(CAPTCHA_PROVIDER="recaptcha", CAPTCHA_SITE_KEY="site-key", PASSWORD_STEP="off")
    customer = Customer(server, sandbox)
    email = fresh_email("captcha")
    shown = customer.identify(email=email)
    assert (shown.status, shown.step) == (422, "identify")
    assert "robot" in shown.summary[0]
    assert "https://www.google.com/recaptcha/" in shown.response.headers["Content-Security-Policy"]
    assert 'data-sitekey="site-key"' in shown.text
    shown = customer.post("/", {**customer.sent, "landing": shown.value("landing"), "g-recaptcha-response": "answer-1"})
    assert shown.step == "verify"
    code = customer.code()
    assert customer.verify(code).status == 422
    assert "htmx-2" not in customer.shown.text, "it would swap in steps whose captcha nobody draws"
    shown = customer.post(customer.flow_url + "verify/", {"code": code, "g-recaptcha-response": "answer-2"})
    assert shown.step == "level"
    for step in ("level", "done"):
        assert customer.shown.step == step
        assert "htmx-2" in customer.shown.text, "a level shows the pictures of the chosen document at once"
        assert "recaptcha/api.js" not in customer.shown.text, "nobody is asked any more"
        if step == "level":
            customer.level()
    sent = [c for c in sandbox.calls() if email in str(c["body"])]
    assert [c["headers"].get("captcha") for c in sent if c["code"] == "0"] == ["answer-1", "answer-2"]
    assert {c["headers"]["version"] for c in sent if c["biz_type"].endswith("verifyCodeSend")} == {"0.0.2"}


def test_a_flow_is_found_again_however_often_a_refusal_led_back(customer: Customer) -> None:
    customer.register(email=fresh_email("weak"), password="correct horse battery")
    assert customer.shown.step == "password"
    customer.password("another correct horse")
    right = customer.code()
    wrong = "000000" if right != "000000" else "111111"
    assert customer.verify(wrong).status == 422
    assert customer.verify(right).step == "level"


def test_a_flow_is_found_again_after_an_unknown_outcome_was_refused(customer: Customer) -> None:
    customer.identify(email=fresh_email("busy"))
    customer.password()
    right = customer.code()
    first, second = [f"{n:06}" for n in range(3) if f"{n:06}" != right][:2]
    customer.verify(first)
    customer.wait(20)
    customer.verify(second)
    customer.wait(20)
    assert customer.shown.step == "verify"
    customer.verify(right)
    assert customer.wait(20).step == "level"


def test_an_old_first_page_keeps_its_attribution_when_it_is_sent_again(
    start_server: Callable[..., Server], sandbox: Sandbox
) -> None:
    server = start_server(FLOW_MAX_HOURS="0.1", PASSWORD_STEP="off")
    customer = Customer(server, sandbox)
    code = (
        "from onboarding.landing import Landing; import time, django.core.signing as s; t = time.time; "
        "s.time.time = lambda: t() - 3600; "
        "print(Landing('default', 'n', 'es', attribution={'utm_source': 'old'}).signed())"
    )
    old = server.manage("shell", "-v", "0", "-c", code).stdout.strip()
    shown = customer.identify(landing=old)
    assert (shown.status, shown.step) == (422, "identify")
    assert '<html lang="es"' in shown.text
    email = customer.sent["email"]
    shown = customer.post("/", {**customer.sent, "landing": shown.value("landing")})
    assert shown.step == "verify"
    customer.verify()
    (entry,) = [r for r in sandbox.registrations() if r["body"]["loginName"] == email]
    assert entry["body"]["utmSource"] == "old"


def test_data_deleted_while_a_code_is_on_its_way_stays_deleted(
    start_server: Callable[..., Server], sandbox: Sandbox
) -> None:
    server = start_server(PASSWORD_STEP="optional")
    customer = Customer(server, sandbox)
    customer.identify(email=fresh_email())
    url = customer.flow_url
    with ThreadPoolExecutor(8) as pool:
        posts = [pool.submit(requests.post, url + "password/", data={"skip": "1"}, timeout=30) for _ in range(4)]
        posts += [pool.submit(requests.post, url + "delete/", timeout=30) for _ in range(2)]
        assert all(post.result().status_code < 500 for post in posts)
    code = (
        "from onboarding.models import Flow, Submission; "
        "print([f.personal for f in Flow.objects.exclude(purged_at=None)], "
        "[s.payload for s in Submission.objects.all()])"
    )
    assert server.manage("shell", "-v", "0", "-c", code).stdout.strip() in ("[{}] []", "[{}] [{}]")
    assert customer.get(url).status == 404


def test_the_way_on_needs_a_session_when_it_carries_one(start_server: Callable[..., Server], sandbox: Sandbox) -> None:
    server = start_server(CONTINUE_URL="https://trading.example/?t={token}", PASSWORD_STEP="off")
    shown = Customer(server, sandbox).register(email=fresh_email("notoken"))
    assert shown.step == "done"
    assert "/continue/" not in shown.text
    assert "https://trading.example/sign-in" in shown.text


def test_a_phones_heic_photo_arrives_as_a_clean_upright_jpeg(customer: Customer, sandbox: Sandbox) -> None:
    pillow_heif.register_heif_opener()
    photo = Image.new("RGB", (640, 480), "navy")
    exif = Image.Exif()
    exif[0x0110] = "Secret Model"
    buffer = io.BytesIO()
    photo.save(buffer, "HEIF", exif=exif.tobytes())
    customer.register()
    shown = customer.level(files={"el-proof_of_passpord": ("IMG_1.HEIC", buffer.getvalue(), "image/heic")})
    assert shown.step == "done", shown.summary
    url = sandbox.applications()[0]["body"]["elementList"][-1]["elementValue"]
    kept = requests.get(url, timeout=10)
    assert kept.headers["Content-Type"] == "image/jpeg"
    assert b"Secret Model" not in kept.content
    assert Image.open(io.BytesIO(kept.content)).size == (640, 480)


def test_what_hides_in_or_behind_a_picture_does_not_arrive(customer: Customer, sandbox: Sandbox) -> None:
    polyglot = picture(kind="JPEG") + b"PK\x03\x04<script>alert(1)</script>"
    customer.register()
    assert customer.level(files={"el-proof_of_passpord": ("a.jpg", polyglot, "image/jpeg")}).step == "done"
    url = sandbox.applications()[0]["body"]["elementList"][-1]["elementValue"]
    assert b"script" not in requests.get(url, timeout=10).content


def test_a_picture_of_a_gigabyte_when_decoded_is_refused(customer: Customer) -> None:
    rows = zlib.compress(b"\0" * (20_000 * 100 + 100), 9)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    customer.register()
    shown = customer.level(files={"el-proof_of_passpord": ("bomb.png", bomb, "image/png")})
    assert shown.status == 422
    assert "too many pixels" in shown.summary[0]
