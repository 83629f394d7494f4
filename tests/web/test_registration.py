"""The main job over real HTTP: what the customer sees, and what the upstream receives."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from onboarding.sandbox.server import Sandbox
from tests.support import Customer, Server, fresh_email, fresh_phone, picture

UTM = {
    "utm_source": "News Letter", "utm_medium": "e-mail & more", "utm_campaign": "été 2026 – «50 %»",
    "utm_content": "a+b=c", "utm_term": "账户 開戶", "utm_id": "17",
}  # fmt: skip


def registration(sandbox: Sandbox, name: str) -> dict:
    found = [entry for entry in sandbox.registrations() if entry["body"]["loginName"] == name]
    assert len(found) == 1, f"{len(found)} registrations"
    return found[0]


def test_a_customer_registers_by_email_and_fills_the_level(customer: Customer, sandbox: Sandbox) -> None:
    email = fresh_email()
    shown = customer.register(email=email, query=UTM)
    assert (shown.status, shown.step, shown.level) == (200, "level", "level_1")
    shown = customer.level()
    assert (shown.status, shown.step) == (200, "done")
    customer_no = registration(sandbox, email)["customerNo"]
    assert customer_no in shown.text
    (application,) = [a for a in sandbox.applications() if a["customerNo"] == customer_no]
    elements = {e["elementCode"]: e["elementValue"] for e in application["body"]["elementList"]}
    assert elements.pop("proof_of_passpord").startswith(sandbox.url)
    assert elements == {"name": "Ann Example", "birthday": "642902400000", "passport": "E12345678"}
    assert application["body"]["pathCode"] == "P1"
    assert application["body"]["openAccountType"] == 0


@pytest.mark.parametrize("channel", ["email", "phone"])
@pytest.mark.parametrize("account_type", ["individual", "enterprise"])
@pytest.mark.parametrize("password", ["", "correct horse battery"])
def test_every_header_and_field_of_the_register_call_is_right(
    customer: Customer, sandbox: Sandbox, channel: str, account_type: str, password: str
) -> None:
    name = fresh_email() if channel == "email" else fresh_phone()
    customer.headers = {
        "User-Agent": "Mozilla/5.0 (Linux; Android 14; Pixel 7) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/140.0.0.0 Mobile Safari/537.36",
        "Accept-Language": "en-GB",
    }
    customer.register(
        password=password, account_type=account_type, query={**UTM, "b_superiorAgent": "A-77"}, **{channel: name}
    )
    entry = registration(sandbox, name)
    body, headers = entry["body"], entry["headers"]
    (code_call,) = [
        c for c in sandbox.calls() if c["biz_type"].endswith("verifyCodeSend") and name in c["body"]["toUser"]
    ]
    expected = {
        "type": 1 if channel == "email" else 2,
        "loginName": name,
        "country": "GB",
        "registerSource": 1,
        "openAccountType": 1 if account_type == "enterprise" else 0,
        "lang": "en-US",
        "registerDevice": "Chrome Mobile 140, Android 14, Pixel 7",
        "utmSource": UTM["utm_source"],
        "utmMedium": UTM["utm_medium"],
        "utmCampaign": UTM["utm_campaign"],
        "utmContent": UTM["utm_content"],
        "utmTerm": UTM["utm_term"],
        "thirdServerCode": "A-77",
        "thirdServerSource": "agent",
        "protocol": True,
    }
    expected |= {"emailArea": "+44"} if channel == "email" else {"phoneArea": "+44"}
    if password:
        expected["pwd"] = hashlib.md5(password.encode()).hexdigest()
    assert re.fullmatch(r"\d{6}", body.pop("verifyCode"))
    assert body.pop("sendToken")
    assert body == expected
    assert headers["companyId"] == "439"
    assert headers["version"] == "0.0.1"
    assert headers["lang"] == "en-US"
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}-\d{13}", headers["trace"])
    assert re.fullmatch(r"\d{13}", headers["timestamp"])
    assert re.fullmatch(r"[0-9a-f-]{36}", headers["idempotency-key"])
    assert headers["X-Forwarded-For"] == "127.0.0.1"
    assert headers["Content-Type"] == "application/json"
    assert "token" not in headers
    assert code_call["body"] == {
        "bizType": "EMAIL_REGISTER_VERIFICATION_CODE" if channel == "email" else "SMS_REGISTER_VERIFICATION_CODE",
        "toUser": name if channel == "email" else f"+44 {name}",
        "country": "GB",
    }


def test_with_a_company_key_every_body_is_signed_and_encrypted(
    start_server: Callable[..., Server], sandbox: Sandbox
) -> None:
    customer = Customer(start_server(UPSTREAM_PUBLIC_KEY=sandbox.public_key), sandbox)
    email = fresh_email()
    customer.register(email=email, password="correct horse battery", query=UTM)
    assert customer.level().step == "done"
    entry = registration(sandbox, email)
    assert entry["encrypted"]
    assert entry["headers"]["trace"].startswith("x-")
    assert entry["body"]["utmTerm"] == UTM["utm_term"]


def test_customer_groups_reach_the_register_call(start_server: Callable[..., Server], sandbox: Sandbox) -> None:
    groups = '{"GB": {"customer_group_id": 7, "trade_types": [{"tradeType": "1", "allCurrency": "USD,USDT"}]}, "*": {}}'
    customer = Customer(start_server(CUSTOMER_GROUPS=groups, PASSWORD_STEP="off"), sandbox)
    email = fresh_email()
    customer.register(email=email)
    body = registration(sandbox, email)["body"]
    assert body["customerGroupId"] == 7
    assert body["tradeTypeCurrencyList"] == [{"tradeType": "1", "allCurrency": "USD,USDT"}]


def test_the_sources_of_desktop_and_phone_differ(customer: Customer, sandbox: Sandbox) -> None:
    email = fresh_email()
    customer.headers = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"}
    customer.register(email=email)
    assert registration(sandbox, email)["body"]["registerSource"] == 2
    email = fresh_email()
    customer.headers["Sec-CH-UA-Mobile"] = "?1"
    customer.register(email=email)
    assert registration(sandbox, email)["body"]["registerSource"] == 1


def test_the_first_post_sent_twice_makes_one_flow_and_sends_one_code(customer: Customer, sandbox: Sandbox) -> None:
    customer.identify()
    customer.password()
    first = customer.flow_url
    again = customer.post("/", customer.sent)
    assert again.response.url == first
    assert sum(message["to"] == customer.sent["email"] for message in sandbox.inbox()) == 1


def test_twenty_final_posts_at_once_register_once_and_lead_to_the_same_page(
    customer: Customer, sandbox: Sandbox
) -> None:
    email = fresh_email("slow")
    customer.identify(email=email)
    customer.password()
    code, url = customer.code(), customer.flow_url + "verify/"

    def press(_: int) -> requests.Response:
        return requests.post(url, data={"code": code}, allow_redirects=False, timeout=60)

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(press, range(20)))
    assert {answer.status_code for answer in answers} == {303}
    (target,) = {answer.headers["Location"] for answer in answers}
    assert customer.get(target).step == "level"
    registration(sandbox, email)
    assert sum(c["biz_type"].endswith(".register") and c["body"]["loginName"] == email for c in sandbox.calls()) == 1


def test_a_replay_of_the_post_that_registered_leads_to_the_same_next_page(customer: Customer, sandbox: Sandbox) -> None:
    customer.identify()
    customer.password()
    old, code = customer.flow_url, customer.code()
    shown = customer.verify(code)
    assert shown.response.url != old
    new = shown.response.url
    assert customer.post(old + "verify/", {"code": code}).response.url == new
    registration(sandbox, customer.sent["email"])


def test_the_address_from_before_the_registration_is_worth_nothing_afterwards(customer: Customer) -> None:
    customer.identify()
    customer.password()
    old, code = customer.flow_url, customer.code()
    customer.verify(code)
    shown = customer.get(old)
    assert (shown.status, shown.problem) == (410, "expired")
    assert customer.sent["email"] not in shown.text
    wrong = "000000" if code != "000000" else "111111"
    for _ in range(5):
        assert customer.post(old + "verify/", {"code": wrong}).status == 410
    assert customer.post(old + "verify/", {"code": code}).status == 410, "five wrong guesses close the way"


@pytest.mark.parametrize("tag", ["drop", "error500", "garbage", "hang", "busy"])
def test_an_unknown_outcome_is_asked_again_with_the_same_key(customer: Customer, sandbox: Sandbox, tag: str) -> None:
    email = fresh_email(tag)
    shown = customer.register(email=email)
    if shown.step == "status":
        assert shown.reference in shown.text
    assert customer.wait(20).step == "level"
    keys = {
        c["headers"]["idempotency-key"]
        for c in sandbox.calls()
        if c["biz_type"].endswith(".register") and c["body"]["loginName"] == email
    }
    assert len(keys) == 1
    registration(sandbox, email)


def test_settle_resolves_the_registration_of_a_customer_who_left(
    start_server: Callable[..., Server], sandbox: Sandbox
) -> None:
    server = start_server(UPSTREAM_READ_TIMEOUT="2", PASSWORD_STEP="off")
    customer = Customer(server, sandbox)
    email = fresh_email("drop")
    assert customer.register(email=email).step == "status"
    for _ in range(10):
        result = server.manage("settle", check=False)
        if result.returncode == 0:
            break
    assert "0 still unknown" in result.stdout
    registration(sandbox, email)
    assert customer.get(customer.flow_url).step == "level"


def test_an_unknown_outcome_stays_unknown_while_the_question_itself_is_refused(
    start_server: Callable[..., Server], sandbox: Sandbox
) -> None:
    server = start_server(UPSTREAM_READ_TIMEOUT="2", PASSWORD_STEP="off")
    customer = Customer(server, sandbox)
    email = fresh_email("error500")
    assert customer.register(email=email).step == "status"
    lost = Server(database=server.env["DATABASE_URL"], upstream=sandbox.url + "/elsewhere")
    for _ in range(2):
        assert lost.manage("settle", check=False).returncode == 1
    lost.log.unlink()
    assert customer.wait().step == "level"
    registration(sandbox, email)


def test_the_status_step_moves_on_by_itself_when_it_is_looked_at(customer: Customer) -> None:
    shown = customer.register(email=fresh_email("error500"))
    assert shown.step == "status"
    assert '<noscript><meta http-equiv="refresh"' in shown.text
    assert customer.wait().step == "level"


@pytest.mark.parametrize(("tag", "problem"), [("exists", "exists"), ("refused", "refused")])
def test_a_definite_no_is_a_page_with_a_way_on(customer: Customer, tag: str, problem: str) -> None:
    shown = customer.register(email=fresh_email(tag))
    assert (shown.step, shown.problem) == ("problem", problem)
    assert (
        "https://trading.example/sign-in" if problem == "exists" else "https://trading.example/support"
    ) in shown.text


def test_an_existing_customer_is_not_betrayed_before_the_code(customer: Customer) -> None:
    taken = customer.identify(email=fresh_email("exists"))
    free = customer.identify(email=fresh_email())
    assert (taken.status, taken.step) == (free.status, free.step)
    customer.identify(email=fresh_email("exists"))
    customer.password()
    assert customer.verify("000001").errors["id_code"] == customer.shown.summary[0]
    assert "already have" not in customer.shown.text.split("<details", 1)[0]


def test_manual_review_is_a_good_end(customer: Customer, sandbox: Sandbox) -> None:
    email = fresh_email("review")
    shown = customer.register(email=email)
    assert shown.step == "done"
    assert 'data-outcome="in_review"' in shown.text
    assert registration(sandbox, email)["customerNo"] in shown.text


@pytest.mark.parametrize("tag", ["nokyc", "nolist"])
def test_without_levels_the_account_is_open(customer: Customer, tag: str) -> None:
    shown = customer.register(email=fresh_email(tag))
    assert shown.step == "done"
    assert 'data-outcome="registered"' in shown.text


def test_the_password_refused_upstream_is_asked_for_again(customer: Customer, sandbox: Sandbox) -> None:
    email = fresh_email("weak")
    shown = customer.register(email=email, password="correct horse battery")
    assert (shown.step, list(shown.errors)) == ("password", ["id_password"])
    assert customer.password("another correct horse").step == "verify"
    assert customer.verify().step == "level"
    assert registration(sandbox, email)["body"]["pwd"] == hashlib.md5(b"another correct horse").hexdigest()


def test_without_a_token_we_log_in_with_the_password_just_set(customer: Customer, sandbox: Sandbox) -> None:
    shown = customer.register(email=fresh_email("notoken"), password="correct horse battery")
    assert shown.step == "level"
    assert customer.level().step == "done"


def test_without_token_and_password_the_customer_is_told_to_sign_in(customer: Customer) -> None:
    shown = customer.register(email=fresh_email("notoken"))
    assert shown.step == "done"
    assert "https://trading.example/sign-in" in shown.text


def test_one_of_several_paths_is_chosen(customer: Customer, sandbox: Sandbox) -> None:
    email = fresh_email("paths")
    shown = customer.register(email=email)
    assert (shown.step, shown.level) == ("path", "level_1")
    assert customer.post(customer.flow_url + "path/", {"path": "nonsense"}).status == 422
    shown = customer.post(customer.flow_url + "path/", {"path": "P1"})
    assert shown.step == "level"
    assert customer.level().step == "done"
    number = registration(sandbox, email)["customerNo"]
    assert [a["body"]["pathCode"] for a in sandbox.applications() if a["customerNo"] == number] == ["P1"]


def test_three_levels_are_filled_in_one_after_the_other(customer: Customer, sandbox: Sandbox) -> None:
    email = fresh_email("levels")
    shown = customer.register(email=email)
    seen = []
    while shown.step == "level" and len(seen) < 5:
        seen.append(shown.level)
        names = re.findall(r'<input id="el-\d+" name="(el-[^"]+)" type="(\w+)"', shown.text)
        data = {name: "1990-05-17" if kind == "date" else "Ann Example" for name, kind in names if kind != "file"}
        files = {
            name: ("p.png", picture(), "image/png")
            for name, kind in re.findall(r'name="(el-[^"]+)" type="(file)"', shown.text)
        }
        if "el-id_card_type-kind" in shown.text:
            files["el-proof_of_passpord"] = ("p.png", picture(), "image/png")
        data |= {"level": shown.level, "el-id_card_type-kind": "passport", "el-id_card_type-number": "E12345678"}
        shown = customer.post(customer.flow_url + "level/", data, files=files)
        assert shown.status == 200, (shown.level, shown.summary)
    assert shown.step == "done"
    assert seen == ["level_1", "level_2", "level_3"]


def test_kyc_by_business_code_when_configured(start_server: Callable[..., Server], sandbox: Sandbox) -> None:
    customer = Customer(start_server(KYC_BUSINESS_CODE="open_account", PASSWORD_STEP="off"), sandbox)
    email = fresh_email()
    customer.register(email=email)
    assert customer.level().step == "done"
    number = registration(sandbox, email)["customerNo"]
    (application,) = [a for a in sandbox.applications() if a["customerNo"] == number]
    assert application["service"] == "kycApply"
    assert application["body"]["businessCode"] == "open_account"


def test_a_level_whose_answer_was_cut_off_is_submitted_once(customer: Customer, sandbox: Sandbox) -> None:
    email = fresh_email("kycdrop")
    customer.register(email=email)
    assert customer.level().step == "status"
    (here,) = re.findall(r'aria-current="step"><span>(.*?)</span>', customer.shown.text)
    assert here == "Your details"
    assert customer.wait().step == "done"
    number = registration(sandbox, email)["customerNo"]
    assert len([a for a in sandbox.applications() if a["customerNo"] == number]) == 1


def test_the_way_on_carries_the_token_and_no_page_does(start_server: Callable[..., Server], sandbox: Sandbox) -> None:
    server = start_server(CONTINUE_URL="https://trading.example/{lang}/home?tsource={token}", PASSWORD_STEP="off")
    customer = Customer(server, sandbox)
    email = fresh_email("nokyc")
    shown = customer.register(email=email)
    way = re.search(r'href="([^"]+/continue/)" target="_top" rel="noopener noreferrer"', shown.text)
    assert way is not None
    answer = requests.get(server.url + way.group(1), allow_redirects=False)
    assert answer.status_code == 303
    found = re.fullmatch(r"https://trading\.example/en-US/home\?tsource=(\w+app)", answer.headers["Location"])
    assert found is not None
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert found.group(1) not in shown.text
    assert found.group(1) not in server.log.read_text()


def test_a_refused_agent_is_dropped_only_after_asking(customer: Customer, sandbox: Sandbox) -> None:
    email = fresh_email("badagent")
    shown = customer.register(email=email, query={"b_superiorAgent": "nobody"})
    assert (shown.status, shown.step) == (422, "verify")
    assert 'name="without_agent"' in shown.text
    code = customer.code()
    assert customer.verify(code).status == 422, "not without being asked"
    shown = customer.post(customer.flow_url + "verify/", {"code": code, "without_agent": "1"})
    assert shown.step == "level"
    assert "thirdServerCode" not in registration(sandbox, email)["body"]


def test_a_rejected_level_is_shown_with_its_reason_and_mended(customer: Customer, sandbox: Sandbox) -> None:
    email = fresh_email("rejected")
    customer.register(email=email)
    shown = customer.level()
    assert (shown.status, shown.step, shown.level) == (200, "level", "level_1")
    assert "We could not accept this yet" in shown.text
    assert shown.value("el-name") == "Ann Example"
    assert "passport.png" in shown.text
    shown = customer.level(name="Ann Marie Example", files={})
    assert shown.step == "done"
    assert 'data-outcome="passed"' in shown.text
    number = registration(sandbox, email)["customerNo"]
    names = [a["body"]["elementList"][0]["elementValue"] for a in sandbox.applications() if a["customerNo"] == number]
    assert names == ["Ann Marie Example", "Ann Example"]


def test_a_review_that_is_not_over_is_looked_at_again(start_server: Callable[..., Server]) -> None:
    with Sandbox(port=0, review_seconds=3.0) as slow_review:
        customer = Customer(start_server(upstream=slow_review.url + "/api", PASSWORD_STEP="off"), slow_review)
        customer.register()
        shown = customer.level()
        assert 'data-outcome="in_review"' in shown.text
        deadline = time.monotonic() + 15
        while 'data-outcome="in_review"' in shown.text and time.monotonic() < deadline:
            time.sleep(0.5)
            shown = customer.get(customer.flow_url)
        assert 'data-outcome="passed"' in shown.text
        asked = [c for c in slow_review.calls() if c["biz_type"].endswith("checkKycApply")]
        assert 2 <= len(asked) <= 4
