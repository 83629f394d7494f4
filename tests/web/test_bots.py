"""Programs have to work for what they get; people are asked for nothing, or for a moment, and lose nothing."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from onboarding.domain.risk import EFFORTS
from onboarding.sandbox.server import Sandbox
from tests.support import Customer, Server, Shown, fresh_email, running


@pytest.fixture(scope="module")
def strict(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A front end that asks everybody for work."""
    database = f"sqlite:///{tmp_path_factory.mktemp('strict') / 'onboarding.sqlite3'}"
    with running(sandbox, database, PROOF_OF_WORK="always", PASSWORD_STEP="off") as started:
        yield started


@pytest.fixture
def asked(strict: Server, sandbox: Sandbox) -> Customer:
    return Customer(strict, sandbox)


def sent_to(sandbox: Sandbox, email: str) -> int:
    return sum(message["to"] == email for message in sandbox.inbox())


def again(customer: Customer, **changed: str) -> Shown:
    """The page as it is shown now, sent with the same entries."""
    shown = customer.shown
    fields = {"landing": shown.value("landing"), "ticket": shown.value("ticket")}
    return customer.post("/", {**customer.sent, **fields, **changed})


def count_flows(server: Server) -> int:
    code = "from onboarding.models import Flow; print(Flow.objects.count())"
    return int(server.manage("shell", "-v", "0", "-c", code).stdout)


# -- Nothing is asked --------------------------------------------------------------------------------------------------


def test_without_risk_nothing_is_asked_and_nothing_is_loaded(customer: Customer) -> None:
    shown = customer.get("/")
    assert shown.challenge is None and "ticket" not in shown.text
    assert re.findall(r"<script src=\"[^\"]*?(\w+)[.-][^\"]*\"", shown.text) == ["form", "htmx"]
    customer.register()
    assert customer.shown.step == "level"


def test_a_page_answered_at_once_from_a_quiet_address_passes(customer: Customer) -> None:
    assert customer.identify().step == "password"


def test_what_is_put_right_is_not_counted_as_fast_and_begins_one_flow(customer: Customer) -> None:
    customer.identify(email="nonsense")
    assert customer.shown.status == 422
    assert again(customer, email=fresh_email()).step == "password"


# -- A landing counts once ---------------------------------------------------------------------------------------------


def test_other_answers_on_the_same_landing_are_another_flow_after_some_work(
    customer: Customer, sandbox: Sandbox
) -> None:
    first, second = fresh_email(), fresh_email()
    customer.identify(email=first)
    own = customer.flow_url
    shown = customer.post("/", {**customer.sent, "email": second})
    assert (shown.status, shown.step) == (422, "identify")
    assert shown.value("email") == second and shown.value("landing") and "checked" in shown.text
    answered = {**customer.sent, "email": second, "landing": shown.value("landing"), **shown.proof}
    assert customer.post("/", answered).step == "password"
    other = customer.flow_url
    assert other != own
    assert customer.post("/", customer.sent).response.url == own, "a repeat leads to the flow it began"
    assert customer.post("/", answered).response.url == other, "with the proof used too"
    customer.password()
    assert sent_to(sandbox, first) == 0 and sent_to(sandbox, second) == 1


def test_a_landing_begins_a_few_flows_and_then_the_page_is_renewed_with_everything_kept(customer: Customer) -> None:
    customer.identify()
    landing = customer.sent["landing"]
    for _ in range(2):
        customer.sent["email"] = fresh_email()
        shown = customer.post("/", customer.sent)
        assert customer.post("/", {**customer.sent, **shown.proof}).step == "password"
    shown = customer.post("/", {**customer.sent, "email": (last := fresh_email())})
    assert (shown.status, shown.challenge) == (422, None)
    assert "send it once more" in shown.summary[0] and shown.value("email") == last
    assert shown.value("landing") != landing
    assert again(customer, email=last).step == "password"


@pytest.mark.parametrize("database", ["", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_one_landing_and_thirty_answers_at_once_begin_one_flow(
    database: str, start_server: Callable[..., Server], sandbox: Sandbox, request: pytest.FixtureRequest
) -> None:
    server = start_server(database=database and request.getfixturevalue("postgres"))
    before = count_flows(server)
    customer = Customer(server, sandbox)
    landing = customer.get("/").value("landing")

    def answer(_: int) -> int:
        data = {"landing": landing, "channel": "email", "email": fresh_email(), "country": "GB", "terms": "on"}
        return requests.post(server.url + "/", data=data, allow_redirects=False, timeout=60).status_code

    with ThreadPoolExecutor(30) as pool:
        answers = sorted(pool.map(answer, range(30)))
    assert answers == [303] + [422] * 29
    assert count_flows(server) == before + 1


# -- What is asked -----------------------------------------------------------------------------------------------------


def test_the_field_that_nobody_sees_asks_for_work_and_loses_nothing(customer: Customer, sandbox: Sandbox) -> None:
    shown = customer.identify(website="https://example.org")
    assert (shown.status, shown.step) == (422, "identify")
    assert shown.value("email") == customer.sent["email"] and shown.value("website") == ""
    assert again(customer, **shown.proof).step == "password", "a browser that fills the field again is no obstacle"


def test_without_script_a_wait_does_instead_and_begins_only_once(asked: Customer, sandbox: Sandbox) -> None:
    shown = asked.identify()
    email = asked.sent["email"]
    assert (shown.status, shown.waiting) == (422, EFFORTS[0].wait)
    assert f"wait {EFFORTS[0].wait} seconds, then press “Continue”" in shown.text
    time.sleep(1.1)
    shown = again(asked)
    assert shown.status == 422 and 0 < shown.waiting < EFFORTS[0].wait, "the wait goes on, it does not begin anew"
    assert sent_to(sandbox, email) == 0
    time.sleep(shown.waiting)
    assert again(asked).step == "verify"
    assert sent_to(sandbox, email) == 1


def test_a_solution_counts_once_however_many_send_it_at_once(asked: Customer, strict: Server) -> None:
    shown = asked.identify()
    before = count_flows(strict)
    data = {**asked.sent, "landing": shown.value("landing"), **shown.proof}

    def answer(_: int) -> int:
        changed = {**data, "email": fresh_email()}
        return requests.post(strict.url + "/", data=changed, allow_redirects=False, timeout=60).status_code

    with ThreadPoolExecutor(20) as pool:
        answers = sorted(pool.map(answer, range(20)))
    assert answers == [303] + [422] * 19
    assert count_flows(strict) == before + 1


def test_the_same_post_sent_twice_at_once_needs_one_solution(asked: Customer, strict: Server, sandbox: Sandbox) -> None:
    shown = asked.identify()
    data = {**asked.sent, "landing": shown.value("landing"), **shown.proof}

    def answer(_: int) -> str:
        answered = requests.post(strict.url + "/", data=data, allow_redirects=False, timeout=60)
        return answered.headers.get("Location", str(answered.status_code))

    with ThreadPoolExecutor(8) as pool:
        (where,) = set(pool.map(answer, range(8)))
    assert where.startswith("/f/")
    assert sent_to(sandbox, asked.sent["email"]) == 1


def test_a_solution_for_another_page_is_worth_nothing(asked: Customer) -> None:
    asked.identify()
    foreign = asked.shown.proof
    asked.identify()
    shown = again(asked, **foreign)
    assert shown.status == 422 and shown.challenge is not None


def test_codes_sent_again_and_to_another_address_stand_behind_the_same_door(asked: Customer, sandbox: Sandbox) -> None:
    asked.identify()
    assert again(asked, **asked.shown.proof).step == "verify"
    url = asked.flow_url
    assert asked.post(url + "resend/", {}).status == 429, "nobody works for being told to wait"
    new = {"channel": "email", "country": "GB", "email": fresh_email()}
    shown = asked.post(url + "identify/", new)
    assert (shown.status, shown.step, shown.value("email")) == (422, "identify", new["email"])
    answered = {**new, **shown.proof}
    assert asked.post(url + "identify/", answered).step == "verify"
    assert asked.post(url + "identify/", answered).step == "verify", "a repeat needs no other proof"
    assert sent_to(sandbox, new["email"]) == 1
    shown = asked.post(url + "identify/", {**answered, "email": fresh_email()})
    assert shown.status == 422 and shown.challenge is not None, "another address does"


def test_another_code_is_sent_once_for_one_solution(strict: Server, asked: Customer, sandbox: Sandbox) -> None:
    asked.identify()
    again(asked, **asked.shown.proof)
    email, url = asked.sent["email"], asked.flow_url
    code = (
        "from onboarding.models import Flow; from django.utils import timezone; from datetime import timedelta; "
        f"flow = Flow.objects.get(reference='{asked.shown.reference}'); "
        "flow.code_sent_at -= timedelta(seconds=600); flow.save()"
    )
    strict.manage("shell", "-v", "0", "-c", code)
    shown = asked.post(url + "resend/", {})
    assert (shown.status, shown.step) == (422, "verify")
    assert "then press “Send another code”" in shown.text
    proof = shown.proof
    assert asked.post(url + "resend/", proof).status == 200
    strict.manage("shell", "-v", "0", "-c", code)
    assert asked.post(url + "resend/", proof).step == "verify"
    assert sent_to(sandbox, email) == 2


def test_challenges_are_counted_by_reason_and_used_ones_are_forgotten(asked: Customer, strict: Server) -> None:
    asked.identify(website="x")
    again(asked, **asked.shown.proof)
    text = requests.get(strict.url + "/metrics", timeout=10).text
    reasons = set(re.findall(r'onboarding_challenges_\w+_total\{reason="(\w+)"', text))
    assert "trap" in reasons and reasons <= {"trap", "reused", "pressure", "fast", "always"}
    assert 'onboarding_challenges_passed_total{reason="trap",way="work"}' in text
    code = (
        "from onboarding.models import Once; from onboarding.housekeeping import purge; "
        "from django.utils import timezone; from datetime import timedelta; print(Once.objects.count()); "
        "purge(now=timezone.now()); print(Once.objects.count()); "
        "Once.objects.update(until=timezone.now()); purge(now=timezone.now()); print(Once.objects.count())"
    )
    before, kept, left = strict.manage("shell", "-v", "0", "-c", code).stdout.split()
    assert before == kept != "0" and left == "0"


def test_switched_off_nobody_is_asked(start_server: Callable[..., Server], sandbox: Sandbox) -> None:
    customer = Customer(start_server(PROOF_OF_WORK="off"), sandbox)
    assert customer.identify(website="x").step == "password"
    assert customer.post("/", {**customer.sent, "email": fresh_email()}).step == "password"


def test_under_pressure_of_the_address_whoever_is_too_fast_works_and_whoever_took_time_does_not(
    start_server: Callable[..., Server], sandbox: Sandbox
) -> None:
    server = start_server(LIMIT_ADDRESS="5/10m", PASSWORD_STEP="off", MIN_HUMAN_SECONDS="1")
    for _ in range(2):
        assert Customer(server, sandbox).identify().step == "verify"
    fast, slow = Customer(server, sandbox), Customer(server, sandbox)
    assert fast.identify().status == 422 and fast.shown.challenge
    slow.get("/")
    time.sleep(1.2)
    data = {"landing": slow.shown.value("landing"), "channel": "email", "country": "GB", "terms": "on"}
    assert slow.post("/", {**data, "email": fresh_email()}).step == "verify"
    fast.post("/", {**fast.sent, "landing": fast.shown.value("landing"), **fast.shown.proof})
    assert fast.shown.step == "verify", "four codes of five"
    assert fast.identify().challenge, "now everybody works, however long it took"
    assert fast.post("/", {**fast.sent, **fast.shown.proof}).step == "verify"


def test_with_a_captcha_the_work_is_done_but_the_customer_sends(
    start_server: Callable[..., Server], sandbox: Sandbox
) -> None:
    """The CAPTCHA's answer counts once, so it has to be given anew on the page that asks for work."""
    server = start_server(
        PROOF_OF_WORK="always", PASSWORD_STEP="off", CAPTCHA_PROVIDER="recaptcha", CAPTCHA_SITE_KEY="site-key"
    )
    customer = Customer(server, sandbox)
    shown = customer.identify(email=(email := fresh_email("captcha")), **{"g-recaptcha-response": "first"})
    assert shown.challenge and "data-by-hand" in shown.text and "g-recaptcha" in shown.text
    assert again(customer, **shown.proof, **{"g-recaptcha-response": "second"}).step == "verify"
    sent = [call["headers"]["captcha"] for call in sandbox.calls() if email in str(call["body"])]
    assert sent == ["second"]
