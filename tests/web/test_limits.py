"""Who may have codes sent how often holds for all processes together, and customers learn what to do next."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from random import Random

import pytest
import requests
from django.db import connection, transaction
from django.test import override_settings
from django.utils import timezone

from onboarding import limits
from onboarding.domain.flow import AccountType, Channel, Identity
from onboarding.domain.limits import read_allowances
from onboarding.models import Quota
from onboarding.sandbox.server import Sandbox
from tests.simulated import database
from tests.support import Customer, Server, Shown, fresh_email

PARALLEL = 50


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def address(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Of a database."""
    if request.param == "postgres":
        return str(request.getfixturevalue("postgres"))
    return f"sqlite:///{tmp_path_factory.mktemp('limits') / 'limits.sqlite3'}"


@pytest.fixture(scope="module")
def pair(address: str, sandbox: Sandbox) -> Iterator[tuple[Server, Server]]:
    """Two server processes on one database, behind a proxy that says where each customer comes from."""
    one, two = (
        Server(
            database=address, upstream=sandbox.url + "/api", PASSWORD_STEP="off", TRUSTED_PROXY_COUNT="1",
            LIMIT_ADDRESS="10/10m,30/24h", RESEND_COOLDOWN="0", PROOF_OF_WORK="off",  # the limits hold by themselves
        )
        for _ in range(2)
    )  # fmt: skip
    one.manage("migrate", "--verbosity", "0")
    with one, two:
        yield one, two


def someone(pair: tuple[Server, Server], sandbox: Sandbox, address: str = "") -> Customer:
    """A customer from this address, or from one that nobody else has."""
    customer = Customer(pair[secrets.randbelow(2)], sandbox)
    customer.headers = {"X-Forwarded-For": address or f"10.{'.'.join(str(secrets.randbelow(256)) for _ in range(3))}"}
    return customer


def at_once(customers: list[Customer], emails: list[str]) -> list[Shown]:
    """What all of them are shown who answer the first page at the same moment."""
    for customer in customers:
        customer.get("/")

    def answer(customer: Customer, email: str) -> Shown:
        data = {"landing": customer.shown.value("landing"), "channel": "email", "country": "GB", "terms": "on"}
        return customer.post("/", data | {"email": email})

    with ThreadPoolExecutor(PARALLEL) as pool:
        return list(pool.map(answer, customers, emails))


def sent_to(sandbox: Sandbox, text: str) -> int:
    found = [c for c in sandbox.calls() if c["biz_type"].endswith(".verifyCodeSend")]
    return sum(text in str(c["body"]).lower() for c in found)


def test_fifty_at_once_to_one_recipient_send_three_codes(pair: tuple[Server, Server], sandbox: Sandbox) -> None:
    email = fresh_email()
    spelled = [email.upper() if n % 2 else email.replace("example", "Example") for n in range(PARALLEL)]
    shown = at_once([someone(pair, sandbox) for _ in range(PARALLEL)], spelled)
    assert Counter((one.status, one.step) for one in shown) == {(200, "verify"): 3, (429, "identify"): PARALLEL - 3}
    assert sent_to(sandbox, email) == 3
    told = next(one for one in shown if one.status == 429)
    assert told.problem == "limited"
    assert 500 < int(told.response.headers["Retry-After"]) <= 600
    assert told.summary == ["Too many codes have been asked for. Please wait 10 minutes, then try again."]
    assert told.value("email").lower() == email
    assert 'id="id_terms" name="terms" type="checkbox" value="on" required checked' in told.text


def test_fifty_at_once_from_one_network_send_ten_codes(pair: tuple[Server, Server], sandbox: Sandbox) -> None:
    network = f"2001:db8:{secrets.randbelow(65536):x}:{secrets.randbelow(65536):x}"
    mark = secrets.token_hex(4)
    customers = [someone(pair, sandbox, f"{network}::{n:x}") for n in range(PARALLEL)]
    shown = at_once(customers, [f"{mark}.{n}@example.org" for n in range(PARALLEL)])
    assert Counter(one.status for one in shown) == {200: 10, 429: PARALLEL - 10}
    assert sent_to(sandbox, mark) == 10


def test_fifty_codes_at_once_are_looked_at_five_times_and_another_code_gives_no_more(
    pair: tuple[Server, Server], sandbox: Sandbox
) -> None:
    customer = someone(pair, sandbox)
    email = fresh_email()
    customer.identify(email=email)
    path = customer.flow_url.removeprefix(customer.server.url)
    guesses = [f"{n:06}" for n in range(PARALLEL + 5) if f"{n:06}" != customer.code()]

    def guess(number: int) -> int:
        url = pair[number % 2].url + path + "verify/"
        return requests.post(url, data={"code": guesses[number]}, allow_redirects=False, timeout=60).status_code

    def looked_at() -> int:
        return len([c for c in sandbox.calls() if c["biz_type"].endswith(".register") and email in str(c["body"])])

    with ThreadPoolExecutor(PARALLEL) as pool:
        assert set(pool.map(guess, range(PARALLEL))) <= {422, 429, 303}
    assert 1 <= looked_at() <= 5
    for number in range(PARALLEL, PARALLEL + 4):
        guess(number)
    assert looked_at() == 5
    assert customer.post(path + "resend/", {}).step == "verify"
    shown = customer.verify()
    assert (shown.status, shown.problem, looked_at()) == (429, "limited", 5)


def test_who_waits_for_a_limit_finds_the_way_back_to_the_form(pair: tuple[Server, Server], sandbox: Sandbox) -> None:
    email = fresh_email()
    for _ in range(3):
        customer = someone(pair, sandbox)
        customer.identify(email=email)
    home = customer.flow_url
    shown = customer.post(home + "resend/", {})
    assert (shown.status, shown.step, shown.problem) == (429, "problem", "limited")
    assert 500 < int(shown.response.headers["Retry-After"]) <= 600
    assert "Another one can be sent in 10 minutes." in shown.text
    assert f'href="{home.removeprefix(customer.server.url)}">Back to the form' in shown.text
    assert customer.get(home).step == "verify"
    assert customer.verify().step == "level"


def test_only_what_was_sent_counts_for_a_recipient(pair: tuple[Server, Server], sandbox: Sandbox) -> None:
    refused = fresh_email("limit")
    for _ in range(4):
        assert someone(pair, sandbox).identify(email=refused).status == 422
    late, customer = fresh_email("waf"), someone(pair, sandbox)
    statuses = [customer.identify(email=late).status]
    statuses += [customer.post("/", customer.sent).status for _ in range(2)]
    assert statuses == [503, 503, 200]  # three tries under one key
    assert [someone(pair, sandbox).identify(email=late).status for _ in range(3)] == [200, 200, 429]


def test_what_cannot_be_counted_is_not_sent_and_pages_stay_open(
    pair: tuple[Server, Server], sandbox: Sandbox, address: str
) -> None:
    email, customer = fresh_email(), someone(pair, sandbox)
    with database(address):
        connection.cursor().execute("ALTER TABLE onboarding_quota RENAME TO elsewhere")
    try:
        shown = customer.identify(email=email)
        assert (shown.status, shown.problem, sent_to(sandbox, email)) == (503, "busy", 0)
        assert customer.get("/").status == 200
    finally:
        with database(address):
            connection.cursor().execute("ALTER TABLE elsewhere RENAME TO onboarding_quota")
    assert (customer.post("/", customer.sent).step, sent_to(sandbox, email)) == ("verify", 1)


def test_senders_who_share_recipients_and_addresses_never_wait_for_each_other_in_a_circle(address: str) -> None:
    dice = Random(7)
    mark = secrets.token_hex(4)
    people = [Identity(Channel.EMAIL, AccountType.INDIVIDUAL, "GB", email=f"{mark}.{n}@example.org") for n in range(4)]
    networks = [f"10.{secrets.randbelow(256)}.{secrets.randbelow(256)}.{n}" for n in range(3)]
    pairs = [(dice.choice(people), dice.choice(networks)) for _ in range(PARALLEL)]

    def spend(pair: tuple[Identity, str]) -> tuple[Identity, str] | None:
        try:
            with transaction.atomic():
                limits.spend(identity=pair[0], address=pair[1], now=timezone.now())
        except limits.Spent:
            return None
        finally:
            connection.close()
        return pair

    with database(address), override_settings(LIMIT_ADDRESS=read_allowances("10/10m,30/24h")):
        assert limits.pressure(networks[0], timezone.now()) == 0
        with ThreadPoolExecutor(PARALLEL) as pool:
            passed = [pair for pair in pool.map(spend, pairs) if pair]
        assert Counter(person.email for person, _network in passed) == {person.email: 3 for person in people}
        used = Counter(network for _person, network in passed)
        assert {one: limits.pressure(one, timezone.now()) for one in networks} == {
            one: pytest.approx(used[one] / 10) for one in networks
        }
        _forgotten_in_time()


def _forgotten_in_time() -> None:
    """`purge` keeps what counts and deletes what does not."""
    before = Quota.objects.count()
    limits.forget(now=timezone.now())
    assert Quota.objects.count() == before >= 7
    limits.forget(now=timezone.now() + timedelta(hours=25))
    assert Quota.objects.count() == 0


def test_a_first_code_that_must_wait_keeps_everything_typed(customer: Customer) -> None:
    email = fresh_email()
    for _ in range(4):
        customer.identify(email=email)
        customer.password("correct horse battery")
    shown = customer.shown
    assert (shown.status, shown.step, shown.problem) == (429, "verify", "limited")
    assert shown.summary == ["Too many codes have been asked for. Please wait 10 minutes, then try again."]
    assert "The code is not on its way yet" in shown.text
    shown = customer.get(customer.flow_url)
    assert (shown.status, shown.step) == (200, "verify")
    data = {"channel": "email", "email": fresh_email(), "country": "GB", "account_type": "individual"}
    customer.sent = data
    assert customer.post(customer.flow_url + "identify/", data).step == "verify"
    assert customer.verify().step == "level"


def test_after_the_last_code_the_newest_one_still_counts(sandbox: Sandbox, start_server: Callable[..., Server]) -> None:
    customer = Customer(start_server(PASSWORD_STEP="off", RESEND_COOLDOWN="0"), sandbox)
    customer.identify()
    home = customer.flow_url
    for _ in range(2):
        assert customer.post(home + "resend/", {}).step == "verify"
    shown = customer.post(home + "resend/", {})
    assert (shown.status, shown.step, shown.problem) == (429, "verify", "limited")
    assert "No more codes can be sent here" in shown.text
    assert "Start again" in shown.text
    assert customer.verify().step == "level"
