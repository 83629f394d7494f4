"""A campaign's values from the link to the upstream, whichever way the customer takes in between."""

from __future__ import annotations

import contextlib
import html
import json
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import requests

from onboarding.sandbox.server import Sandbox
from tests.campaign import SENT, UTM
from tests.support import Customer, Server, Shown, fresh_email, fresh_phone, running
from tests.web.test_handover import make_link, open_link


def add_partner(server: Server, slug: str) -> None:
    values = {"name": "Acme", "origins": "https://acme.example"}
    code = f"from onboarding.models import Partner; Partner.objects.get_or_create(slug={slug!r}, defaults={values})"
    server.manage("shell", "-c", code)


@pytest.fixture(scope="module")
def marketed(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A front end with a partner, both framed, without a password step."""
    database = f"sqlite:///{tmp_path_factory.mktemp('marketed') / 'onboarding.sqlite3'}"
    options = {"PASSWORD_STEP": "off", "EMBED_ORIGINS": "https://partner.example", "UPSTREAM_READ_TIMEOUT": "2.5"}
    with running(sandbox, database, **options) as server:
        add_partner(server, "acme")
        yield server


@pytest.fixture
def visitor(marketed: Server, sandbox: Sandbox) -> Customer:
    return Customer(marketed, sandbox)


def database(server: Server) -> contextlib.closing[sqlite3.Connection]:
    return contextlib.closing(sqlite3.connect(server.env["DATABASE_URL"].removeprefix("sqlite:///"), timeout=20))


def row(customer: Customer) -> dict[str, Any]:
    """What the flow on the page keeps of the visits."""
    with database(customer.server) as connection:
        query = "select attribution from onboarding_flow where reference = ?"
        (found,) = connection.execute(query, [customer.shown.reference]).fetchone()
    kept: dict[str, Any] = json.loads(found)
    return kept


def change(customer: Customer, column: str, moment: datetime) -> None:
    """Another moment in this column of the flow on the page."""
    with database(customer.server) as connection:
        query = f"update onboarding_flow set {column} = ? where reference = ?"
        connection.execute(query, [moment.strftime("%Y-%m-%d %H:%M:%S.%f"), customer.shown.reference])
        connection.commit()


def expire(customer: Customer) -> None:
    change(customer, "expires_at", datetime.now(UTC))


def addresses(shown: Shown) -> list[str]:
    """Every address in the page's links."""
    return [html.unescape(found) for found in re.findall(r'<a [^>]*href="([^"]+)"', shown.text)]


def address_of(shown: Shown, text: str) -> str:
    """Where the link or button with this text leads."""
    found = re.search(rf'<a [^>]*href="([^"]+)"[^>]*>{re.escape(text)}</a>', shown.text)
    assert found is not None, (shown.status, shown.problem, addresses(shown))
    return html.unescape(found.group(1))


def follow(customer: Customer, address: str) -> Shown:
    here = customer.shown.response.url.partition("?")[0]
    return customer.get(here + address if address.startswith("?") else address)


def answer(customer: Customer, **answers: str) -> Shown:
    """Answers the first page that is open, at the address its form names."""
    shown = customer.shown
    channel = "phone" if "phone" in answers else "email"
    action = re.search(r'<form[^>]* action="([^"]*)"[^>]*>(?=(?:(?!</form>).)*name="landing")', shown.text, re.DOTALL)
    assert action is not None, (shown.status, shown.step)
    data = {"landing": shown.value("landing"), "channel": channel, "account_type": "individual", "country": "GB"}
    data |= {"terms": "on", "phone_area": "GB"} | ({} if channel == "phone" else {"email": fresh_email()})
    customer.sent = data | answers
    return customer.post(html.unescape(action.group(1)), customer.sent)


def told(customer: Customer) -> dict[str, str]:
    """The values in the one register call about this customer."""
    name = customer.sent.get("phone") or customer.sent["email"]
    (entry,) = [entry for entry in customer.sandbox.registrations() if entry["body"]["loginName"] == name]
    return {key: value for key, value in entry["body"].items() if key.startswith("utm")}


def at(touch: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(touch["at"])


def arrive(customer: Customer, path: str = "/", **query: str) -> datetime:
    """Opens the first page by a link, and lets a second pass, so that any later visit has another time."""
    customer.get(path, **(query or UTM))
    now = datetime.now(UTC)
    time.sleep(1.1)
    return now


def is_first_visit(customer: Customer, arrived: datetime, path: str = "/") -> None:
    """The flow on the page knows of this one visit only."""
    kept = row(customer)
    assert set(kept) == {"first"}
    assert (kept["first"]["path"], kept["first"]["values"]) == (path, UTM)
    assert timedelta(seconds=-2) < at(kept["first"]) - arrived <= timedelta(0)


# -- The first and the last visit --------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/p/default/", "/p/acme/"])
def test_a_visit_is_kept_with_its_time_and_page(visitor: Customer, path: str) -> None:
    arrived = arrive(visitor, path)
    assert answer(visitor).step == "verify"
    is_first_visit(visitor, arrived, path)
    assert visitor.verify().step == "level"
    assert told(visitor) == SENT


def test_a_visit_without_values_is_kept_with_its_time_and_page(visitor: Customer) -> None:
    arrived = arrive(visitor, "/p/acme/", lang="en")
    answer(visitor)
    (first,) = row(visitor).values()
    assert (first["path"], first["values"]) == ("/p/acme/", {})
    assert abs(at(first) - arrived) < timedelta(seconds=3)
    visitor.verify()
    assert told(visitor) == {}


def test_another_link_later_is_the_last_visit_and_not_the_first(visitor: Customer) -> None:
    arrived = arrive(visitor, "/p/acme/")
    answer(visitor)
    expire(visitor)
    again = address_of(visitor.get(visitor.flow_url), "Start again")
    given = {key: values[0] for key, values in parse_qs(urlsplit(again).query).items()}
    other = {key: value for key, value in given.items() if key not in UTM} | {"UTM_Source": "other", "utm_term": "new"}
    visitor.get("/p/acme/", **other)
    answer(visitor)
    kept = row(visitor)
    assert kept["first"]["values"] == UTM
    assert at(kept["first"]) <= arrived
    assert kept["last"]["values"] == {"utm_source": "other", "utm_term": "new"}
    assert at(kept["last"]) > arrived
    visitor.verify()
    assert told(visitor) == {"utmSource": "other", "utmTerm": "new"}


def test_a_page_opened_without_values_after_a_campaign_overwrites_nothing(visitor: Customer) -> None:
    arrived = arrive(visitor)
    (touch,) = parse_qs(urlsplit(address_of(visitor.shown, "Phone")).query)["touch"]
    visitor.get("/", touch=touch)
    answer(visitor)
    is_first_visit(visitor, arrived)
    visitor.verify()
    assert told(visitor) == SENT


def test_another_device_with_the_bare_link_makes_its_own_first_visit(visitor: Customer) -> None:
    arrived = arrive(visitor)
    link = f"/?{urlencode(UTM)}"
    other = Customer(visitor.server, visitor.sandbox)
    other.get(link)
    answer(other)
    assert at(row(other)["first"]) > arrived
    answer(visitor)
    is_first_visit(visitor, arrived)


def test_two_tabs_of_one_visit_keep_it_both(visitor: Customer) -> None:
    arrived = arrive(visitor)
    tab = Customer(visitor.server, visitor.sandbox)
    tab.get(visitor.server.url + "/" + address_of(visitor.shown, "Phone").replace("channel=phone", "channel=email"))
    for one in (visitor, tab):
        answer(one)
        is_first_visit(one, arrived)


# -- Whatever the customer does ----------------------------------------------------------------------------------------


def test_the_first_page_in_another_language_channel_and_window_is_the_same_visit(visitor: Customer) -> None:
    arrived = arrive(visitor, "/p/acme/")
    answer(visitor, language="1", lang="es")
    assert '<html lang="es"' in visitor.shown.text
    answer(visitor, language="1", lang="en")
    follow(visitor, next(found for found in addresses(visitor.shown) if "channel=phone" in found))
    assert 'name="phone"' in visitor.shown.text
    follow(visitor, address_of(visitor.shown, "Open in a new window"))
    assert visitor.shown.response.url.startswith(visitor.server.url + "/p/acme/?")
    answer(visitor, switch="phone", email="")
    assert (visitor.shown.step, 'name="phone"' in visitor.shown.text) == ("identify", True)
    answer(visitor, phone="12")
    assert visitor.shown.status == 422
    assert answer(visitor, phone=fresh_phone()).step == "verify"
    is_first_visit(visitor, arrived, "/p/acme/")
    visitor.verify()
    assert told(visitor) == SENT


def test_a_flow_in_another_language_and_channel_with_another_identifier_keeps_its_visit(visitor: Customer) -> None:
    arrived = arrive(visitor)
    answer(visitor)
    url = visitor.flow_url
    visitor.post(url + "language/", {"lang": "zh-hans"})
    visitor.get(url, change="phone")
    data = {"channel": "phone", "phone_area": "GB", "country": "GB", "account_type": "individual"}
    visitor.post(url + "identify/", data | {"phone": fresh_phone()})
    assert visitor.shown.step == "verify"
    visitor.sent = {"phone": fresh_phone()}
    assert visitor.post(url + "identify/", data | visitor.sent).step == "verify"
    is_first_visit(visitor, arrived)
    assert visitor.verify().step == "level"
    assert told(visitor) == SENT


def test_a_form_that_may_not_send_anything_opens_elsewhere_as_the_same_visit(visitor: Customer) -> None:
    arrived = arrive(visitor, "/p/acme/")
    data = {"landing": visitor.shown.value("landing"), "channel": "email", "email": fresh_email(), "terms": "on"}
    shown = visitor.post("/p/acme/", data, Origin="null")
    assert (shown.status, shown.problem) == (403, "not-allowed")
    by_hand = re.search(r'<bdi class="address" dir="ltr">([^<]+)</bdi>', shown.text)
    assert by_hand is not None
    typed = parse_qs(urlsplit(html.unescape(by_hand.group(1))).query)
    assert {key: values[0] for key, values in typed.items() if key in UTM} == UTM
    assert "touch" not in typed  # nobody copies that by hand
    follow(visitor, address_of(shown, "Open in a new window"))
    answer(visitor)
    is_first_visit(visitor, arrived, "/p/acme/")


def test_a_flow_on_two_devices_keeps_its_visit(visitor: Customer) -> None:
    arrived = arrive(visitor, "/p/acme/")
    answer(visitor)
    visitor.verify()
    other = open_link(visitor, make_link(visitor))
    assert other.shown.step == "level"
    is_first_visit(other, arrived, "/p/acme/")
    expire(other)
    for one in (visitor, other):
        follow(one, address_of(one.get(one.flow_url), "Start again"))
        answer(one)
        is_first_visit(one, arrived, "/p/acme/")


def refused(customer: Customer) -> Shown:
    answer(customer, email=fresh_email("refused"))
    return customer.verify()


def limited(customer: Customer) -> Shown:
    answer(customer)
    wrong = [code for code in (f"{n:06}" for n in range(6)) if code != customer.code()]
    for code in wrong:
        customer.verify(code)
    return customer.shown


def expired(customer: Customer) -> Shown:
    answer(customer)
    expire(customer)
    return customer.post(customer.flow_url + "verify/", {"code": "123456"})


def left(customer: Customer) -> Shown:
    """An address that the registration has left, after its flow expired."""
    answer(customer)
    old = customer.flow_url
    customer.verify()
    expire(customer)
    return customer.get(old)


@pytest.mark.parametrize(("way", "status"), [(refused, 200), (limited, 429), (expired, 410), (left, 410)])
@pytest.mark.parametrize("path", ["/", "/p/acme/"])
def test_who_starts_again_after_a_problem_comes_by_the_same_visit(
    visitor: Customer, way: Callable[[Customer], Shown], status: int, path: str
) -> None:
    arrived = arrive(visitor, path)
    shown = way(visitor)
    assert (shown.status, shown.step) == (status, "problem")
    follow(visitor, address_of(shown, "Start again"))
    assert visitor.shown.step == "identify"
    assert urlsplit(visitor.shown.response.url).path == path
    answer(visitor)
    is_first_visit(visitor, arrived, path)
    assert visitor.verify().step == "level"
    assert told(visitor) == SENT


def test_who_has_the_data_deleted_and_starts_again_comes_by_the_same_visit(visitor: Customer) -> None:
    arrived = arrive(visitor, "/p/acme/")
    answer(visitor)
    shown = visitor.post(visitor.flow_url + "delete/", {})
    assert (shown.step, "deleted=1" in shown.response.url) == ("identify", True)
    answer(visitor)
    is_first_visit(visitor, arrived, "/p/acme/")


# -- Every way to the register call ------------------------------------------------------------------------------------


@pytest.mark.parametrize("channel", ["email", "phone"])
@pytest.mark.parametrize("account_type", ["individual", "enterprise"])
@pytest.mark.parametrize("password", ["", "correct horse battery"])
def test_a_partners_values_reach_every_kind_of_registration(
    server: Server, sandbox: Sandbox, channel: str, account_type: str, password: str
) -> None:
    add_partner(server, "campaigns")  # a name that nobody has asked this server for before
    customer = Customer(server, sandbox)
    name = fresh_email() if channel == "email" else fresh_phone()
    customer.register(path="/p/campaigns/", password=password, account_type=account_type, query=UTM, **{channel: name})
    assert told(customer) == SENT


def test_after_another_code(visitor: Customer) -> None:
    arrive(visitor)
    answer(visitor)
    change(visitor, "code_sent_at", datetime.now(UTC) - timedelta(hours=1))
    assert visitor.post(visitor.flow_url + "resend/", {}).step == "verify"
    assert visitor.verify().step == "level"
    assert told(visitor) == SENT


def test_after_a_rejected_code(visitor: Customer) -> None:
    arrive(visitor)
    answer(visitor)
    assert visitor.verify("000001" if visitor.code() != "000001" else "000002").status == 422
    assert visitor.verify().step == "level"
    assert told(visitor) == SENT


def test_after_the_agent_was_dropped(visitor: Customer) -> None:
    arrive(visitor, **UTM, b_superiorAgent="A-77")
    answer(visitor, email=fresh_email("badagent"))
    assert visitor.verify().step == "verify"
    visitor.post(visitor.flow_url + "verify/", {"code": visitor.code(), "without_agent": "1"})
    assert visitor.shown.step == "level"
    assert told(visitor) == SENT


@pytest.mark.parametrize("tag", ["drop", "hang", "error500", "garbage", "busy", "ratelimit"])
def test_after_an_answer_that_got_lost(visitor: Customer, tag: str) -> None:
    arrive(visitor)
    answer(visitor, email=fresh_email(tag))
    visitor.verify()
    for _ in range(3):
        if visitor.shown.step != "level":
            visitor.server.manage("settle", check=False)
            visitor.get(visitor.flow_url)
        if visitor.shown.step == "verify":
            visitor.verify()
        time.sleep(int(visitor.shown.response.headers.get("Retry-After", 0)))  # whoever was told to wait waits
        visitor.wait(20)
    assert visitor.shown.step == "level"
    assert told(visitor) == SENT


# -- What is not ours --------------------------------------------------------------------------------------------------


def touch_of(customer: Customer, path: str) -> str:
    """The first visit as a page of ours hands it on."""
    customer.get(path, **UTM)
    (touch,) = parse_qs(urlsplit(address_of(customer.shown, "Phone")).query)["touch"]
    return touch


def old_touch(server: Server) -> str:
    code = (
        "from onboarding.landing import Landing; import time, django.core.signing as s; t = time.time; "
        "s.time.time = lambda: t() - 25 * 3600; "
        f"print(Landing('default', 'n', attribution={UTM!r}).carried)"
    )
    return server.manage("shell", "-v", "0", "-c", code).stdout.strip()


@pytest.mark.parametrize(
    "kind", ["forged", "cut", "old", "another partner's", "another field's", "nonsense", "long", ""]
)
def test_a_visit_that_we_did_not_hand_on_is_none(visitor: Customer, kind: str) -> None:
    good = touch_of(visitor, "/")
    touch = {
        "forged": good[:-1] + ("A" if good[-1] != "A" else "B"), "cut": good[: len(good) // 2],
        "old": old_touch(visitor.server) if kind == "old" else "", "another partner's": touch_of(visitor, "/p/acme/"),
        "another field's": visitor.shown.value("landing"),
        "nonsense": "\x00'\"<é:1:2", "long": "." + "eJx" * 5000 + ":a:b",
        "": "",
    }[kind]  # fmt: skip
    assert kind in ("", "nonsense") or ":" in touch or kind == "cut"
    visitor.get("/", touch=touch, utm_source="new")
    assert visitor.shown.status == 200
    answer(visitor)
    assert [touch["values"] for touch in row(visitor).values()] == [{"utm_source": "new"}]
    visitor.get("/", touch=good, utm_source="new")  # the control: the very same, unaltered
    answer(visitor)
    assert row(visitor)["first"]["values"] == UTM


@pytest.mark.parametrize("number", [1000, 4000, 10_000, 16_000])
def test_a_link_with_thousands_of_parameters_does_no_harm(marketed: Server, number: int) -> None:
    for query in ("&".join(["a"] * number), "&".join(f"a{n % 9}=" for n in range(number))):
        started = time.monotonic()
        response = requests.get(f"{marketed.url}/?utm_source=of-thousands&{query}", timeout=30)
        assert time.monotonic() - started < 5
        if number > 5000:
            assert (response.status_code, 'data-problem="not-allowed"' in response.text) == (400, True)
        else:
            assert (response.status_code, "utm_source=of-thousands" in response.text) == (200, True)
    assert "of-thousands" not in marketed.log.read_text()


def test_one_key_a_thousand_times_is_the_first_one(visitor: Customer) -> None:
    visitor.get("/?" + "&".join(f"utm_source=v{n}&UTM_source=w{n}&utm_term[]=x" for n in range(1000)))
    answer(visitor)
    assert row(visitor)["first"]["values"] == {"utm_source": "v0"}


def test_the_check_page_of_an_endless_address_is_short(visitor: Customer) -> None:
    path = "/p/acme/check/"
    assert visitor.get(path).status == 200
    plain = len(visitor.shown.text)
    for query in ("utm_id=x&" * 4900, "&".join(f"a{n}" for n in range(4900)), "page=https://" + "\u00e9" * 9000):
        answer = visitor.get(f"{path}?{query}")
        assert (answer.status, len(answer.text) < plain + 9000) == (200, True), query[:20]
    visitor.headers = {"Referer": "https://" + "a" * 30_000}
    assert len(visitor.get(path).text) < plain + 9000
    visitor.headers = {}
    assert "call +1 555 0100" not in re.sub(
        r' value="[^"]*"', "", visitor.get(path, page="https://call +1 555 0100").text
    )


def test_a_value_of_any_length_costs_little(visitor: Customer) -> None:
    visitor.get("/")
    for piece in ("a", "%CC%A3%CC%81", "@a.", "%2540", "00", "+"):
        started = time.monotonic()
        link = f"{visitor.server.url}/?utm_source=x&utm_term={piece * (60_000 // len(piece))}"
        response = requests.get(link, timeout=30)
        assert (response.status_code, time.monotonic() - started < 2) == (200, True)


# -- What is dropped ---------------------------------------------------------------------------------------------------


def dropped(server: Server) -> dict[str, float]:
    text = requests.get(server.url + "/metrics", timeout=10).text
    found = re.findall(r'^onboarding_attribution_dropped_total\{reason="(\w+)"\} (\S+)$', text, re.MULTILINE)
    return {reason: float(count) for reason, count in found}


def test_personal_values_are_dropped_counted_and_found_nowhere(visitor: Customer) -> None:
    before = dropped(visitor.server)
    link = {"utm_source": "kept", "utm_medium": "ann.marker@example.org", "utm_term": "+44 7400 987 654"}
    visitor.get("/", **link)
    page = visitor.shown.text
    answer(visitor)
    visitor.verify()
    assert told(visitor) == {"utmSource": "kept"}
    after = dropped(visitor.server)
    assert {reason: after[reason] - before.get(reason, 0) for reason in ("email", "phone")} == {"email": 1, "phone": 1}
    with database(visitor.server) as connection:
        everything = "\n".join(connection.iterdump())
    for marker in ("ann.marker", "987 654", "987654"):
        assert marker not in page + everything + visitor.server.log.read_text()


def test_click_identifiers_are_not_kept_unless_the_operator_says_so(visitor: Customer) -> None:
    visitor.get("/", utm_source="x", gclid="Click-1", fbclid="Click-2")
    assert "Click-1" not in visitor.shown.text
    answer(visitor)
    assert row(visitor)["first"]["values"] == {"utm_source": "x"}


def test_where_the_operator_wants_click_identifiers_a_browser_may_object(
    start_server: Callable[..., Server], sandbox: Sandbox
) -> None:
    server = start_server(CLICK_IDS="true", PASSWORD_STEP="off")
    customer = Customer(server, sandbox)
    link = {"utm_source": "x", "gclid": "Click-1", "FBCLID": "Click-2", "MSCLKID": "Click-3"}
    arrived = arrive(customer, **link)
    answer(customer)
    kept = {"utm_source": "x", "gclid": "Click-1", "fbclid": "Click-2", "msclkid": "Click-3"}
    assert row(customer)["first"]["values"] == kept
    customer.verify()
    assert told(customer) == {"utmSource": "x"}  # the upstream has no place for them

    customer.get("/", **link)
    again = address_of(customer.shown, "Phone")
    customer.headers = {"Sec-GPC": "1"}
    assert dropped(server) == {}
    follow(customer, "/" + again.removeprefix("/"))
    assert dropped(server) == {"objection": 3.0}
    assert "Click-" not in customer.shown.text
    answer(customer)
    assert row(customer)["first"]["values"] == {"utm_source": "x"}
    assert set(row(customer)) == {"first"}
    assert at(row(customer)["first"]) >= arrived
    customer.headers = {"Sec-GPC": "0"}
    customer.get("/", **link)
    answer(customer)
    assert row(customer)["first"]["values"] == kept
