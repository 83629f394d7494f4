"""Partners in the console: what is wrong is said, what holds is seen by customers, what changed is in the history."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

import pytest
import requests

from onboarding.domain.partner import is_allowed, origin_of, wrong_origins
from onboarding.sandbox.server import Sandbox
from tests.console import Operator, said, wrong
from tests.support import Customer, Server, running

LIST = "onboarding/partner/"


@pytest.fixture(scope="module")
def console(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(sandbox, f"sqlite:///{tmp_path_factory.mktemp('console') / 'partners.sqlite3'}") as server:
        yield server


@pytest.fixture(scope="module")
def operator(console: Server) -> Operator:
    return Operator(console)


def add(operator: Operator, slug: str, **values: str) -> requests.Response:
    return operator.save(f"{LIST}add/", "partner_form", slug=slug, name=slug.title(), **values)


def change_page(operator: Operator, slug: str) -> str:
    rows = operator.get(LIST, q=slug).text
    found = re.search(rf'href="/admin/{LIST}(\d+)/change/[^"]*">{slug}<', rows)
    assert found, rows
    return f"{LIST}{found[1]}/change/"


@pytest.mark.parametrize(
    ("origins", "hint"),
    [
        ("https://Partner.example", "Browsers spell it https://partner.example"),
        ("https://partner.example/", "Browsers spell it https://partner.example"),
        ("https://partner.example:443", "Browsers spell it https://partner.example"),
        ("https://partner.example/open-an-account?x=1", "Browsers spell it https://partner.example"),
        ("https://bücher.example", "Browsers spell it https://xn--bcher-kva.example"),
        ("http://partner.example", "Only pages served by https may frame the form."),
        ("partner.example", "Scheme and host as in the address bar"),
        ("https://good.example javascript:alert(1)", "Scheme and host as in the address bar"),
        ("https://good.example 'none'", "Scheme and host as in the address bar"),
        ("https://*.partner.example", "needs the switch below"),
        ("https://*", "needs the switch below"),
        ("*", "needs the switch below"),
    ],
)
def test_what_is_no_origin_is_not_saved_and_the_right_spelling_is_said(
    operator: Operator, origins: str, hint: str
) -> None:
    answer = add(operator, "wrong", origins="\n".join(origins.split()))
    assert answer.status_code == 200
    assert any(hint in html.unescape(text) for text in wrong(answer)), wrong(answer)
    assert "wrong" not in operator.get(LIST).text.split('id="result_list"')[-1]


@pytest.mark.parametrize("origin", ["https://*.example", "https://*", "https://a.*.example", "https://x*.p.example"])
def test_a_wildcard_stands_leftmost_before_two_names_or_nowhere(operator: Operator, origin: str) -> None:
    assert wrong(add(operator, "wild", origins=origin, wildcards="on"))
    assert wrong_origins([origin], wildcards=True) == [origin]


def test_a_wildcard_by_the_switch_is_saved_with_a_warning(operator: Operator, console: Server) -> None:
    answer = add(operator, "shops", origins="https://*.partner.example", wildcards="on")
    assert any("every site below that host may frame the form now" in text for text in said(answer))
    policy = requests.get(f"{console.url}/p/shops/", timeout=30).headers["Content-Security-Policy"]
    assert policy.endswith("frame-ancestors https://*.partner.example")


def test_a_star_stands_for_subdomains_only() -> None:
    origins = ["https://*.partner.example"]
    assert is_allowed("https://a.b.partner.example", origins)
    for other in ("https://partner.example", "https://evilpartner.example", "http://a.partner.example", "null", ""):
        assert not is_allowed(other, origins), other
    assert origin_of("https://user:secret@A.example:8443/x") == "https://a.example:8443"


@pytest.mark.parametrize(
    ("address", "origin"),
    [
        ("https://call +1 555 0100 now/", ""),
        ("https://a<b>.example/", ""),
        ("https://" + "a" * 254, ""),
        ("https://" + "\u00e9" * 60_000, ""),
        ("https://stra\u00dfe.example/", "https://xn--strae-oqa.example"),  # strasse.example is another
        ("https://b\u00fccher.example/", "https://xn--bcher-kva.example"),
        ("https://\u4f8b\u5b50\u3002example/", "https://xn--fsqu00a.example"),
        ("https://[2001:DB8::1]:8443/x", "https://[2001:db8::1]:8443"),
        ("https://under_score.example./", "https://under_score.example."),
    ],
)
def test_an_origin_is_spelt_as_browsers_spell_it_and_nothing_else_is_one(address: str, origin: str) -> None:
    assert origin_of(address) == origin


@pytest.mark.parametrize(
    ("name", "value", "said_there"),
    [
        ("slug", "default", "is built in"),
        ("trade_types", '[{"tradeTyp": "1"}]', "tradeTyp"),
        ("trade_types", "[", "JSON"),
        ("continue_url", "javascript:alert(1)", "https://"),
        ("continue_url", "http://trading.example/", "https://"),
        ("sign_in_url", "//trading.example", "https://"),
        ("webhook_url", "ftp://partner.example/", "https://"),
        ("webhook_url", "https://user:secret@partner.example/", "no name and password"),
        ("language", "xx", "xx"),
        ("channel", "fax", "fax"),
        ("customer_group", "-1", "0"),
    ],
)
def test_other_wrong_values_are_said_at_their_field(operator: Operator, name: str, value: str, said_there: str) -> None:
    answer = operator.save(f"{LIST}add/", "partner_form", **{"slug": "other", "name": "Other", name: value})
    assert any(said_there in html.unescape(text) for text in wrong(answer)), wrong(answer)


def test_what_a_partner_is_set_to_is_what_its_customers_meet(
    operator: Operator, console: Server, sandbox: Sandbox
) -> None:
    add(
        operator, "acme", origins="https://acme.example\nhttps://www.acme.example:8443", language="es", country="DE",
        channel="phone", theme="dark", customer_group="77", agent="AG-1",
        trade_types='[{"tradeType": "2", "allCurrency": "EUR"}]',
        continue_url="https://acme.example/{lang}/in?t={token}", sign_in_url="https://acme.example/{lang}/sign-in",
    )  # fmt: skip
    customer = Customer(console, sandbox, headers={"Accept-Language": "de"})
    shown = customer.get("/p/acme/")
    assert '<html lang="es"' in shown.text and 'data-theme="dark"' in shown.text
    assert shown.value("country") == "DE"
    assert re.search(r'name="channel"[^>]*value="phone"|value="phone"[^>]*name="channel"', shown.text)
    framed = "frame-ancestors https://acme.example https://www.acme.example:8443"
    assert shown.response.headers["Content-Security-Policy"].endswith(framed)

    customer.register(path="/p/acme/", email="ann.partner+nokyc@example.org")
    assert customer.shown.step == "done"
    (entry,) = [r for r in sandbox.registrations() if r["body"]["loginName"] == "ann.partner+nokyc@example.org"]
    body = entry["body"]
    assert (body["customerGroupId"], body["thirdServerCode"], body["thirdServerSource"]) == (77, "AG-1", "agent")
    assert body["tradeTypeCurrencyList"] == [{"tradeType": "2", "allCurrency": "EUR"}]
    way_on = customer.session.get(customer.flow_url + "continue/", allow_redirects=False, timeout=30)
    assert way_on.headers["Location"].startswith("https://acme.example/es-ES/in?t=")
    assert entry["customerNo"] and not way_on.headers["Location"].endswith("t=")

    again = Customer(console, sandbox)
    again.register(path="/p/acme/", email="ann.twice+exists@example.org")
    assert again.shown.problem == "exists"
    assert 'href="https://acme.example/es-ES/sign-in"' in again.shown.text


def test_an_agent_in_the_link_counts_before_the_partners(operator: Operator, console: Server, sandbox: Sandbox) -> None:
    add(operator, "agents", agent="AG-1")
    Customer(console, sandbox).register(
        path="/p/agents/", query={"b_superiorAgent": "AG-2"}, email="ann.agent+nokyc@example.org"
    )
    (entry,) = [r for r in sandbox.registrations() if r["body"]["loginName"] == "ann.agent+nokyc@example.org"]
    assert entry["body"]["thirdServerCode"] == "AG-2"


def test_an_agent_that_is_somebodys_address_is_none(console: Server, sandbox: Sandbox) -> None:
    customer = Customer(console, sandbox)
    assert "agent@example.org" not in customer.get("/", b_superiorAgent="agent@example.org").text
    assert "b_superiorAgent=AG-17" in customer.get("/", b_superiorAgent="AG-17").text


def test_what_waits_for_a_deleted_partner_is_not_told_to_the_next_of_its_name(
    operator: Operator, console: Server
) -> None:
    add(operator, "reused", webhook_url="https://one.example/hook")
    page = change_page(operator, "reused")
    pk = page.split("/")[2]
    operator.post(LIST, {"action": "send_test_event", "_selected_action": pk})
    assert "reused" in operator.get("onboarding/delivery/", state="waiting").text
    operator.post(page.replace("change/", "delete/"), {"post": "yes"})
    given_up = operator.get("onboarding/delivery/", state="given").text
    assert "the partner was deleted" in given_up and "reused" in given_up


def test_every_change_is_in_the_history_with_both_values_and_without_secrets(operator: Operator) -> None:
    add(operator, "history", origins="https://one.example")
    page = change_page(operator, "history")
    operator.save(
        page, "partner_form", origins="https://two.example", theme="dark",
        webhook_url="https://two.example/hook?secret=s3cr3t",
    )  # fmt: skip
    operator.save(page, "partner_form", active="")
    history = html.unescape(operator.get(page.replace("change/", "history/")).text)
    for line in (
        "origins: nothing → https://one.example",
        "origins: https://one.example → https://two.example",
        "theme: nothing → dark",
        "webhook_url: nothing → https://two.example/hook?…",
        "active: True → False",
    ):
        assert line in history, line
    assert "s3cr3t" not in history and "whsec_" not in history


def test_the_short_name_stays_what_it_was(operator: Operator) -> None:
    add(operator, "fixed")
    page = change_page(operator, "fixed")
    operator.save(page, "partner_form", slug="moved", name="New name")
    assert change_page(operator, "fixed") == page


def test_staff_without_the_right_see_no_partner(console: Server) -> None:
    clerk = Operator(console, permissions=("view_flow",))
    assert clerk.get("onboarding/flow/").status_code == 200
    assert clerk.get(LIST).status_code == 403
    assert clerk.get(f"{LIST}add/").status_code == 403


def test_a_change_holds_within_a_minute_in_a_process_that_has_just_looked(console: Server) -> None:
    """The process that serves and the one that changes are never the same here: nothing tells one of the other."""
    code = """
import time
from onboarding import partners
from onboarding.models import Partner
later = 0.0
def clock():
    return time.monotonic() + later
def origins():
    found = partners.find_partner("minute", clock=clock)
    return found.origins if found else None
assert origins() is None
Partner(slug="minute", name="M", origins="https://one.example").save()
later = 60.0
assert origins() == ("https://one.example",)
Partner.objects.filter(slug="minute").update(origins="https://two.example")
later = 90.0
assert origins() == ("https://one.example",), "looked up again although it was fresh"
later = 120.0
assert origins() == ("https://two.example",)
Partner.objects.filter(slug="minute").update(active=False)
later = 180.0
assert origins() is None
"""
    done = console.manage("shell", "-c", code, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("page", "said_about_it"),
    [
        ("https://partner.example/open", "Pages of https://partner.example may frame this form."),
        ("https://www.partner.example/open", "Ask us to add it, spelt exactly like this."),
        ("http://partner.example/open", "The form can be framed by https pages only."),
        ("http://localhost:3000/open", "Ask us to add it, spelt exactly like this."),
        ("partner", "This is no address of a page."),
    ],
)
def test_the_check_page_says_of_every_address_what_is_to_be_done(
    operator: Operator, console: Server, page: str, said_about_it: str
) -> None:
    add(operator, "asked", origins="https://partner.example")
    answer = requests.get(f"{console.url}/p/asked/check/", params={"page": page}, timeout=30)
    assert said_about_it in html.unescape(answer.text)
