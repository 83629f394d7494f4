"""Text messages that earn somebody money: seen by the operator, stopped by the operator, without a deploy."""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import requests
from django.db import transaction

from onboarding import pumping
from onboarding.domain.flow import AccountType, Channel, Identity
from onboarding.models import SmsCount
from onboarding.sandbox.server import Sandbox
from tests.console import Operator
from tests.simulated import database
from tests.support import Customer, Server, fresh_email, running

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
GB = Identity(Channel.PHONE, AccountType.INDIVIDUAL, "GB", area="+44", area_country="GB", phone="7400123456")
STOPPED = "We cannot send text messages there at the moment. Use your e-mail address instead."


def number(text: str) -> Identity:
    return Identity(Channel.PHONE, AccountType.INDIVIDUAL, "GB", area="+44", area_country="GB", phone=text)


def sent(identity: Identity, now: datetime, times: int, used: int = 0) -> None:
    with transaction.atomic():
        for _ in range(times):
            pumping.note_sent(identity, now)
        for _ in range(used):
            pumping.note_used(identity, now)


@pytest.fixture
def alarms(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], list[str]]]:
    """The alarms since the last question, on an empty database."""

    def since() -> list[str]:
        found = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
        caplog.clear()
        return found

    with database(f"sqlite:///{tmp_path / 'pumping.sqlite3'}"):
        yield since


def test_codes_that_nobody_uses_raise_one_alarm_an_hour(alarms: Callable[[], list[str]]) -> None:
    sent(GB, NOON, 29)
    assert alarms() == []
    sent(GB, NOON + timedelta(minutes=5), 20)
    (text,) = alarms()
    assert "country GB, numbers +44 7400…, sent 30, used 0" in text
    assert GB.phone not in text and GB.phone[-6:] not in text
    sent(GB, NOON + timedelta(minutes=64), 40)
    assert alarms() == []
    sent(GB, NOON + timedelta(minutes=66), 1)
    assert len(alarms()) == 1


def test_numbers_all_over_a_country_raise_its_alarm(alarms: Callable[[], list[str]]) -> None:
    for n in range(30):
        sent(number(f"74{n:02}123456"), NOON, 1)
    (text,) = alarms()
    assert "country GB, numbers of all kinds, sent 30" in text


def test_codes_that_are_used_raise_none(alarms: Callable[[], list[str]]) -> None:
    sent(GB, NOON, 25, used=20)
    sent(GB, NOON + timedelta(minutes=50), 60)  # of 85 a bit less than a quarter
    assert alarms() == []
    sent(GB, NOON + timedelta(hours=2), 29)  # what was two hours ago counts no more
    assert alarms() == []
    sent(GB, NOON + timedelta(hours=2), 1)
    assert len(alarms()) == 1


def test_a_number_that_no_plan_knows_is_counted_for_its_country_alone(alarms: Callable[[], list[str]]) -> None:
    """Under its prefix too it would be one row twice, and PostgreSQL refuses a statement that names a row twice."""
    sent(Identity(Channel.PHONE, AccountType.INDIVIDUAL, "GB", area="+999", phone="123456"), NOON, 2, used=1)
    assert list(SmsCount.objects.values_list("country", "prefix", "sent", "used")) == [("ZZ", "", 2, 1)]


def test_old_counts_are_forgotten(alarms: Callable[[], list[str]]) -> None:
    sent(GB, NOON, 1)
    pumping.forget(now=NOON + timedelta(days=29))
    assert SmsCount.objects.count() == 2
    pumping.forget(now=NOON + timedelta(days=31))
    assert SmsCount.objects.count() == 0


# -- Seen and stopped in running processes -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pair(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Server]]:
    """Two processes on one database; the second one knows phones only."""
    address = f"sqlite:///{tmp_path_factory.mktemp('pumping') / 'pumping.sqlite3'}"
    common = {"PASSWORD_STEP": "off", "RESEND_COOLDOWN": "0"}
    with (
        running(sandbox, address, SMS_ALARM_SENDS="3", **common) as one,
        Server(database=address, upstream=sandbox.url + "/api", CHANNELS="phone", **common) as two,
    ):
        yield one, two


@pytest.fixture(scope="module")
def operator(pair: tuple[Server, Server]) -> Operator:
    return Operator(pair[0])


def mobile() -> str:
    return f"7{secrets.choice('45')}00{secrets.randbelow(1000):03}000"


def by_phone(server: Server, sandbox: Sandbox, phone: str = "", **answers: str) -> Customer:
    customer = Customer(server, sandbox)
    customer.identify(phone=phone or mobile(), **answers)
    return customer


def within_seconds(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + pumping.FRESH_SECONDS + 3
    while not holds():
        assert time.monotonic() < deadline, "not seen by the process"
        time.sleep(0.1)


def test_codes_not_used_are_told_to_log_metrics_and_console(
    pair: tuple[Server, Server], operator: Operator, sandbox: Sandbox
) -> None:
    server = pair[0]
    phones = [f"7912{secrets.randbelow(1000):03}{n:03}" for n in range(3)]
    customers = [by_phone(server, sandbox, phone) for phone in phones]
    log = server.log.read_text()
    (line,) = [line for line in log.splitlines() if "are not used" in line]
    assert "country GB, numbers +44 7912" in line and '"level": "ERROR"' in line
    assert not [phone for phone in phones if phone in log or phone[-6:] in line]
    metrics = requests.get(server.url + "/metrics", timeout=10).text
    assert 'onboarding_sms_alarms_total{country="GB"} 1.0' in metrics
    assert customers[0].verify().step == "level"
    page = operator.get("onboarding/smscount/").text
    cells = re.findall(r'<td class="field-(\w+)[^"]*">(.*?)</td>', page)
    row = cells[[value for _name, value in cells].index("+44 7912…") :]
    assert row[:4] == [("numbers", "+44 7912…"), ("sent", "3"), ("used", "1"), ("share", "33%")]


def test_the_switch_leaves_only_e_mail_within_seconds_for_flows_under_way_too(
    pair: tuple[Server, Server], operator: Operator, sandbox: Sandbox
) -> None:
    server, phones_only = pair
    waiting = by_phone(server, sandbox)
    page, stranded = Customer(server, sandbox), by_phone(phones_only, sandbox)
    page.get("/", channel="phone")
    landing = page.shown.value("landing")
    assert 'name="phone"' in page.shown.text
    answer = operator.post("onboarding/smsstop/add/", {"country": "", "stopped": "on", "reason": "pumping"})
    assert answer.status_code == 200 and "every country" in answer.text

    shown = waiting.post(waiting.flow_url + "resend/", {})  # holds at once: asked before each send
    assert (shown.status, shown.step, shown.summary) == (422, "verify", [STOPPED])
    within_seconds(lambda: 'name="phone"' not in page.get("/", channel="phone").text)
    assert (page.shown.status, 'name="email"' in page.shown.text, "channel=phone" in page.shown.text) == (
        200, True, False,
    )  # fmt: skip
    data = {"landing": landing, "channel": "phone", "phone": mobile(), "phone_area": "GB", "country": "GB"}
    shown = page.post("/", data | {"terms": "on"})
    assert (shown.status, shown.step, shown.summary) == (422, "identify", [STOPPED])

    shown = waiting.get(waiting.flow_url)
    assert (shown.step, "?change=email" in shown.text, "?change=phone" in shown.text) == ("verify", True, False)
    within_seconds(lambda: Customer(phones_only, sandbox).get("/").status == 503)
    shown = Customer(phones_only, sandbox).get("/")
    assert (shown.problem, int(shown.response.headers["Retry-After"]) > 0) == ("unsupported", True)
    assert "We need to send you a code by text message, and cannot send any just now." in shown.text
    assert stranded.verify().step == "level"  # a code that was sent can still be entered
    email = fresh_email()
    waiting.sent = {"channel": "email", "email": email, "country": "GB", "account_type": "individual"}
    assert waiting.post(waiting.flow_url + "identify/", waiting.sent).step == "verify"
    assert waiting.verify().step == "level"

    allow = re.search(r'href="/admin/(onboarding/smsstop/\d+/change/)', operator.get("onboarding/smsstop/").text)
    assert allow is not None
    operator.save(allow[1], "smsstop_form", stopped="", reason="over")
    within_seconds(lambda: 'name="phone"' in Customer(phones_only, sandbox).get("/").text)
    history = operator.get(allow[1].replace("change", "history")).text
    assert re.findall(r"(stopped: pumping|allowed again: over)", history) == ["stopped: pumping", "allowed again: over"]
    assert "operator" in history


def test_one_countrys_numbers_are_stopped_at_their_field(
    pair: tuple[Server, Server], operator: Operator, sandbox: Sandbox
) -> None:
    server = pair[0]
    operator.post("onboarding/smsstop/add/", {"country": "GB", "stopped": "on", "reason": ""})
    within_seconds(lambda: by_phone(server, sandbox).shown.errors == {"id_phone": STOPPED})
    assert by_phone(server, sandbox, "13800138000", phone_area="CN").shown.step == "verify"
    change = re.search(r'href="/admin/(onboarding/smsstop/\d+/change/)">GB', operator.get("onboarding/smsstop/").text)
    assert change is not None
    operator.save(change[1], "smsstop_form", stopped="")
    within_seconds(lambda: by_phone(server, sandbox).shown.step == "verify")


@pytest.mark.parametrize("phone", ["+44 909 879 0000", "020 7946 0958"])
def test_a_number_that_is_no_persons_phone_is_refused_at_its_field(customer: Customer, phone: str) -> None:
    shown = customer.identify(phone=phone)
    text = "We cannot send a text message to this kind of number. Enter the number of a mobile phone."
    assert (shown.status, shown.errors) == (422, {"id_phone": text})
    assert shown.value("phone") == phone


def test_only_listed_countries_get_text_messages(start_server: Callable[..., Server], sandbox: Sandbox) -> None:
    server = start_server(PASSWORD_STEP="off", SMS_COUNTRIES="gb,es")
    text = "We do not send text messages to numbers of this country. Use another number."
    for phone in ("+86 138 0013 8000", "+44 7781 123456"):  # the second one is of Guernsey
        assert by_phone(server, sandbox, phone).shown.errors == {"id_phone": text}
    assert by_phone(server, sandbox).shown.step == "verify"
    page = Customer(server, sandbox).get("/", channel="phone").text
    areas = re.search(r'<select id="id_phone_area".*?</select>', page, re.DOTALL)
    assert areas is not None and set(re.findall(r'value="(\w+)"', areas[0])) == {"GB", "ES"}
