"""Going on with another device: a link that works once, two devices on one flow, and the way back to one."""

from __future__ import annotations

import contextlib
import html
import re
import secrets
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import unquote

import pytest
import requests

from onboarding.sandbox.server import Sandbox
from tests.support import Customer, Server, fresh_email, picture, running

PARALLEL = 20


def link_of(customer: Customer) -> str:
    """The link as its page shows it."""
    found = re.search(r'class="link"[^>]*>([^<]+)<', customer.shown.text)
    assert found is not None, (customer.shown.status, customer.shown.step)
    return html.unescape(found.group(1))


def state_of(customer: Customer) -> str:
    found = re.search(r'<main[^>]* data-waits="([^"]*)"', customer.shown.text)
    return found.group(1) if found else ""


def make_link(customer: Customer) -> str:
    customer.post(customer.flow_url + "handover/", {})
    assert (customer.shown.status, customer.shown.step, state_of(customer)) == (200, "handover", "waiting")
    return link_of(customer)


def open_link(customer: Customer, link: str) -> Customer:
    """Another device that goes through the link's page."""
    other = Customer(customer.server, customer.sandbox)
    assert other.get(link).status == 200
    other.post(link, {"nonce": other.shown.value("nonce")})
    return other


def age_links(server: Server, reference: str) -> None:
    """Lets this flow's link end now."""
    code = (
        "from django.utils import timezone; from onboarding.models import Flow; "
        f"Flow.objects.filter(reference={reference!r}).update(link_until=timezone.now())"
    )
    server.manage("shell", "-v", "0", "-c", code)


def test_the_other_device_finishes_the_level_and_the_first_one_notices(customer: Customer, sandbox: Sandbox) -> None:
    email = fresh_email()
    customer.register(email=email)
    page = customer.flow_url + "handover/"
    link = make_link(customer)
    assert customer.shown.response.url == page
    assert '<meta http-equiv="refresh" content="4">' in customer.shown.text
    assert f'hx-get="{page.removeprefix(customer.server.url)}" data-hx-trigger="every 3s"' in customer.shown.text
    other = open_link(customer, link)
    assert (other.shown.status, other.shown.step) == (200, "level")
    assert other.flow_url != customer.flow_url
    assert customer.get(page).step == "handover"
    assert state_of(customer) == "opened"
    assert "What you add there appears here too." in customer.shown.text
    assert '<meta http-equiv="refresh" content="4">' in customer.shown.text
    assert other.level().step == "done"
    assert customer.get(page).step == "done"
    assert customer.shown.response.url == customer.flow_url
    (entry,) = [r for r in sandbox.registrations() if r["body"]["loginName"] == email]
    assert len([a for a in sandbox.applications() if a["customerNo"] == entry["customerNo"]]) == 1


def test_both_devices_work_on_the_same_flow(customer: Customer) -> None:
    customer.register()
    other = open_link(customer, make_link(customer))
    assert other.shown.reference == customer.shown.reference
    other.level(name="Ann From The Phone", birthday="")
    assert customer.get(customer.flow_url).value("el-name") == "Ann From The Phone"
    assert customer.level().step == "done"
    assert other.get(other.flow_url).step == "done"
    assert other.shown.response.url == other.flow_url


def test_the_levels_form_keeps_what_was_entered_and_leads_to_the_link(customer: Customer) -> None:
    shown = customer.register()
    assert 'name="handover"' in shown.text
    data = {"level": shown.level, "el-name": "Ann On The Desktop", "handover": "1"}
    shown = customer.post(customer.flow_url + "level/", data)
    assert (shown.status, shown.step, state_of(customer)) == (200, "handover", "waiting")
    other = open_link(customer, link_of(customer))
    assert other.shown.value("el-name") == "Ann On The Desktop"
    assert 'name="handover"' not in other.shown.text


def test_the_picture_shows_the_link_black_on_white(customer: Customer) -> None:
    customer.register()
    make_link(customer)
    found = re.search(r'<img class="scan" src="(data:image/svg[^"]+)"[^>]* alt="QR code', customer.shown.text)
    assert found is not None
    drawing = unquote(html.unescape(found.group(1)))
    assert "fill='#fff'" in drawing and "stroke='#000'" in drawing
    assert "style" not in drawing


def test_looking_at_the_link_uses_nothing_up_and_tells_little(customer: Customer, sandbox: Sandbox) -> None:
    email = fresh_email()
    customer.register(email=email)
    link = make_link(customer)
    before = flow_row(customer)
    for _ in range(10):
        scanner = Customer(customer.server, sandbox)
        assert (scanner.get(link).status, scanner.shown.step) == (200, "handover")
    assert requests.head(link, timeout=10).status_code == 200
    assert flow_row(customer) == before
    assert email[0] + "•••@example.org" in scanner.shown.text
    assert email not in scanner.shown.text
    assert customer.shown.reference not in scanner.shown.text
    assert "frame-ancestors 'none'" in scanner.shown.response.headers["Content-Security-Policy"]
    assert scanner.shown.response.headers["Cache-Control"] == "no-store"
    assert open_link(customer, link).shown.step == "level"


def flow_row(customer: Customer) -> tuple[object, ...]:
    file = customer.server.env["DATABASE_URL"].removeprefix("sqlite:///")
    with contextlib.closing(sqlite3.connect(file)) as database:
        query = "SELECT * FROM onboarding_flow WHERE reference = ?"
        return tuple(database.execute(query, [customer.shown.reference]).fetchone())


def test_a_used_link_is_over_for_anybody_else_and_leads_its_own_post_to_the_same_address(customer: Customer) -> None:
    customer.register()
    link = make_link(customer)
    other = Customer(customer.server, customer.sandbox)
    nonce = other.get(link).value("nonce")
    first = other.post(link, {"nonce": nonce}).response.url
    assert other.post(link, {"nonce": nonce}).response.url == first
    stranger = Customer(customer.server, customer.sandbox)
    for shown in (stranger.get(link), stranger.post(link, {"nonce": secrets.token_urlsafe(16)})):
        assert (shown.status, shown.problem) == (410, "expired")
        assert "Make a new one on the device where you began." in shown.text
        assert "/f/" not in shown.text
        assert "frame-ancestors 'none'" in shown.response.headers["Content-Security-Policy"]


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def any_server(request: pytest.FixtureRequest, sandbox: Sandbox, tmp_path: Path) -> Iterator[Server]:
    database = f"sqlite:///{tmp_path / 'handover.sqlite3'}"
    if request.param == "postgres":
        database = request.getfixturevalue("postgres")
    with running(sandbox, database, PASSWORD_STEP="off") as started:
        yield started


def test_of_twenty_devices_at_once_exactly_one_gets_in(any_server: Server, sandbox: Sandbox) -> None:
    customer = Customer(any_server, sandbox)
    customer.register()
    link = make_link(customer)
    nonces = [secrets.token_urlsafe(16) for _ in range(PARALLEL)]

    def post(nonce: str) -> requests.Response:
        return requests.post(link, data={"nonce": nonce}, allow_redirects=False, timeout=60)

    with ThreadPoolExecutor(PARALLEL) as pool:
        answers = list(pool.map(post, nonces))
    assert sorted(answer.status_code for answer in answers) == [303] + [410] * (PARALLEL - 1)
    (way,) = [answer.headers["Location"] for answer in answers if answer.status_code == 303]
    assert Customer(any_server, sandbox).get(way).step == "level"


def test_a_double_click_lets_one_device_in_twice(any_server: Server, sandbox: Sandbox) -> None:
    customer = Customer(any_server, sandbox)
    customer.register()
    link = make_link(customer)
    nonce = secrets.token_urlsafe(16)

    def post(_: int) -> requests.Response:
        return requests.post(link, data={"nonce": nonce}, allow_redirects=False, timeout=60)

    with ThreadPoolExecutor(PARALLEL) as pool:
        answers = list(pool.map(post, range(PARALLEL)))
    assert {answer.status_code for answer in answers} == {303}
    assert len({answer.headers["Location"] for answer in answers}) == 1


def test_a_new_link_voids_the_earlier_one_and_replaces_the_device_once_it_is_used(customer: Customer) -> None:
    customer.register()
    old = make_link(customer)
    new = make_link(customer)
    assert new != old
    other = Customer(customer.server, customer.sandbox)
    assert (other.get(old).status, other.shown.problem) == (410, "expired")
    assert other.post(old, {"nonce": secrets.token_urlsafe(16)}).status == 410
    second = open_link(customer, new)
    newest = make_link(customer)
    assert second.get(second.flow_url).step == "level"
    third = open_link(customer, newest)
    assert third.shown.step == "level"
    assert second.get(second.flow_url).status == 404


def test_a_link_is_shown_again_and_ends_after_a_while(customer: Customer) -> None:
    customer.register()
    page, reference = customer.flow_url + "handover/", customer.shown.reference
    link = make_link(customer)
    assert (customer.get(page).step, link_of(customer)) == ("handover", link)
    age_links(customer.server, reference)
    assert (customer.get(page).step, state_of(customer)) == ("handover", "over")
    assert "Make a new link" in customer.shown.text
    assert 'http-equiv="refresh"' not in customer.shown.text
    other = Customer(customer.server, customer.sandbox)
    assert (other.get(link).status, other.shown.problem) == (410, "expired")
    assert other.post(link, {"nonce": secrets.token_urlsafe(16)}).status == 410
    assert open_link(customer, make_link(customer)).shown.step == "level"


def test_the_first_device_throws_the_other_one_out(customer: Customer) -> None:
    customer.register()
    page = customer.flow_url + "handover/"
    link = make_link(customer)
    other = Customer(customer.server, customer.sandbox)
    nonce = other.get(link).value("nonce")
    other.post(link, {"nonce": nonce})
    assert "Close it on the other device" in customer.get(page).text
    assert customer.post(page, {"close": "1"}).step == "level"
    assert other.get(other.flow_url).status == 404
    assert other.post(other.flow_url + "level/", {}).status == 404
    assert other.post(link, {"nonce": nonce}).status == 410
    assert customer.get(page).step == "level"


def test_closing_voids_a_link_that_nobody_opened(customer: Customer) -> None:
    customer.register()
    link = make_link(customer)
    customer.post(customer.flow_url + "handover/", {"close": "1"})
    assert Customer(customer.server, customer.sandbox).get(link).status == 410


def test_the_other_device_makes_no_link_and_closes_none(customer: Customer) -> None:
    customer.register()
    other = open_link(customer, make_link(customer))
    page = other.flow_url + "handover/"
    assert "/handover/" not in other.shown.text
    for data in ({}, {"close": "1"}):
        assert (other.post(page, data).status, other.shown.step) == (409, "level")
    assert other.get(page).step == "level"
    assert customer.get(customer.flow_url + "handover/").step == "handover"
    assert state_of(customer) == "opened"


def test_it_is_not_there_before_the_registration(customer: Customer) -> None:
    customer.identify()
    for step in ("password", "verify"):
        page = customer.flow_url + "handover/"
        assert customer.shown.step == step
        assert "/handover/" not in customer.shown.text
        assert (customer.post(page, {}).status, customer.shown.step) == (409, step)
        assert customer.get(page).step == step
        customer.password()


@pytest.mark.parametrize(("tag", "step"), [("paths", "path"), ("review", "done")])
def test_it_is_offered_on_the_steps_after_the_registration(customer: Customer, tag: str, step: str) -> None:
    assert customer.register(email=fresh_email(tag)).step == step
    assert "/handover/" in customer.shown.text
    other = open_link(customer, make_link(customer))
    assert other.shown.step == step
    assert "/handover/" not in other.shown.text
    assert customer.get(customer.flow_url + "handover/").step == "handover"
    assert state_of(customer) == "opened"


def test_it_is_offered_while_a_level_is_checked_and_its_outcome_is_unknown(
    start_server: Callable[..., Server], sandbox: Sandbox
) -> None:
    server = start_server(PASSWORD_STEP="off", UPSTREAM_READ_TIMEOUT="2")
    customer = Customer(server, sandbox)
    customer.register(email=fresh_email("kycdrop"))
    assert customer.level().step == "status"
    assert "/handover/" in customer.shown.text
    assert make_link(customer)


def test_a_flow_at_its_end_offers_it_no_more(customer: Customer) -> None:
    assert customer.register(email=fresh_email("nokyc")).step == "done"
    assert "/handover/" not in customer.shown.text
    assert (customer.post(customer.flow_url + "handover/", {}).status, customer.shown.step) == (409, "done")


def test_what_was_handed_in_before_the_link_does_not_hide_its_page(
    start_server: Callable[..., Server], sandbox: Sandbox
) -> None:
    with Sandbox(port=0, review_seconds=60) as slow:
        customer = Customer(start_server(upstream=slow.url + "/api", PASSWORD_STEP="off"), slow)
        customer.register()
        assert customer.level().step == "done"
        open_link(customer, make_link(customer))
        assert customer.get(customer.flow_url + "handover/").step == "handover"
        assert state_of(customer) == "opened"


def test_data_deleted_on_either_device_is_gone_for_both_and_for_the_link(customer: Customer) -> None:
    customer.register()
    link = make_link(customer)
    other = open_link(customer, link)
    assert 'action="' + other.flow_url.removeprefix(customer.server.url) + 'delete/"' in other.shown.text
    address = other.flow_url
    assert other.post(address + "delete/", {}).step == "identify"
    for url in (customer.flow_url, customer.flow_url + "handover/", address):
        assert other.get(url).status == 404
    assert other.get(link).status == 410


def test_data_can_be_deleted_from_the_page_and_purge_empties_the_columns(
    start_server: Callable[..., Server], sandbox: Sandbox
) -> None:
    server = start_server(PASSWORD_STEP="off")
    customer, kept = Customer(server, sandbox), Customer(server, sandbox)
    for one in (customer, kept):
        one.register()
        open_link(one, make_link(one))
        one.get(one.flow_url + "handover/")
    assert f'{customer.flow_url.removeprefix(server.url)}delete/"' in customer.shown.text
    customer.post(customer.flow_url + "delete/", {})
    code = (
        "from django.utils import timezone; from onboarding.models import Flow; "
        "Flow.objects.update(purge_at=timezone.now())"
    )
    server.manage("shell", "-v", "0", "-c", code)
    assert "1 flows purged" in server.manage("purge").stdout
    code = (
        "from onboarding.models import Flow; "
        "print(set(Flow.objects.values_list('link_digest', 'link_until', 'link_used_at', 'second_digest')))"
    )
    assert server.manage("shell", "-v", "0", "-c", code).stdout.strip() == "{(None, None, None, None)}"


def test_the_link_of_an_expired_flow_says_so(start_server: Callable[..., Server], sandbox: Sandbox) -> None:
    server = start_server(PASSWORD_STEP="off")
    customer = Customer(server, sandbox)
    customer.register(query={"utm_source": "kept"})
    link = make_link(customer)
    code = (
        "from django.utils import timezone; from onboarding.models import Flow; "
        "Flow.objects.update(expires_at=timezone.now())"
    )
    server.manage("shell", "-v", "0", "-c", code)
    other = Customer(server, sandbox)
    assert (other.get(link).status, other.shown.problem) == (410, "expired")
    assert "utm_source=kept" in other.shown.text
    assert other.post(link, {"nonce": secrets.token_urlsafe(16)}).status == 410
    assert customer.get(customer.flow_url + "handover/").status == 410


def test_a_made_up_link_is_no_link(customer: Customer) -> None:
    customer.register()
    link = make_link(customer)
    secret = link.rstrip("/").rsplit("/", 1)[1]
    forged = ("A" if secret[0] != "A" else "B") + secret[1:]
    for path in (f"/h/{forged}/", "/h/x/"):
        assert (customer.get(path).status, customer.shown.problem) == (404, "not-found")
    # An address of a flow is no link, and a link no address of a flow.
    handle = re.sub(r".*/f/([^/]+)/.*", r"\1", customer.post(link, {"nonce": "x"}).response.url)
    assert customer.get(f"/f/{secret}/").status == 404
    assert customer.get(f"/h/{handle}/").status in (404, 410)


@pytest.mark.parametrize("nonce", [None, "", "x", "x" * 23, "x" * 5000, "é" * 22, "\x1f" * 22])
def test_a_damaged_post_uses_nothing_up(customer: Customer, nonce: str | None) -> None:
    customer.register()
    link = make_link(customer)
    other = Customer(customer.server, customer.sandbox)
    shown = other.post(link, {} if nonce is None else {"nonce": nonce})
    assert (shown.status, shown.problem) == (400, "not-allowed")
    assert open_link(customer, link).shown.step == "level"


def test_a_post_from_a_foreign_page_is_refused_and_uses_nothing_up(customer: Customer) -> None:
    customer.register()
    link, page = make_link(customer), customer.flow_url + "handover/"
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}):
        other = Customer(customer.server, customer.sandbox)
        shown = other.post(link, {"nonce": secrets.token_urlsafe(16)}, **headers)
        assert (shown.status, shown.problem) == (403, "not-allowed")
        assert "frame-ancestors 'none'" in shown.response.headers["Content-Security-Policy"]
        assert other.post(page, {}, **headers).status == 403
    assert customer.get(page).text.count(link) == 1
    assert open_link(customer, link).shown.step == "level"


def test_nobody_may_frame_the_links_page_and_the_partner_may_frame_the_flow(
    start_server: Callable[..., Server], sandbox: Sandbox
) -> None:
    server = start_server(PASSWORD_STEP="off", EMBED_ORIGINS="https://partner.example")
    customer = Customer(server, sandbox)
    customer.register()
    link = make_link(customer)
    other = Customer(server, sandbox)
    foreign = {"Origin": "https://evil.example"}
    for shown in (other.get(link), other.post(link, {}), other.post(link, {}, **foreign), other.get("/h/x/")):
        assert shown.response.headers["Content-Security-Policy"].endswith("frame-ancestors 'none'")
    other = open_link(customer, link)
    for response in (customer.shown.response, other.shown.response):
        assert response.headers["Content-Security-Policy"].endswith("frame-ancestors https://partner.example")


def test_page_and_link_speak_the_flows_language_and_change_it_in_place(customer: Customer) -> None:
    customer.register(query={"lang": "es"})
    link = make_link(customer)
    other = Customer(customer.server, customer.sandbox, headers={"Accept-Language": "en"})
    for shown in (customer.shown, other.get(link)):
        assert '<html lang="es"' in shown.text
        assert shown.response.headers["Content-Language"] == "es"
    field = customer.shown.value("handover")
    assert field
    customer.post(customer.flow_url + "language/", {"lang": "zh-hans", "handover": field})
    assert (customer.shown.step, link_of(customer)) == ("handover", link)
    assert '<html lang="zh-hans"' in customer.shown.text
    assert '<html lang="zh-hans"' in other.get(link).text
    other.post(link, {"nonce": other.shown.value("nonce")})
    assert other.get(link).status == 410
    assert '<html lang="zh-hans"' in other.shown.text


def test_htmx_gets_the_page_as_a_fragment_with_its_own_address(customer: Customer) -> None:
    customer.register()
    url = customer.flow_url
    customer.headers = {"HX-Request": "true", "HX-Current-URL": url}
    make_link(customer)
    path = url.removeprefix(customer.server.url)
    assert customer.shown.response.headers["HX-Replace-Url"] == path + "handover/"
    assert "<html" not in customer.shown.text
    assert 'data-waits="waiting"' in customer.shown.text


def test_no_secret_and_no_address_reaches_the_log(start_server: Callable[..., Server], sandbox: Sandbox) -> None:
    server = start_server(PASSWORD_STEP="off")
    customer = Customer(server, sandbox)
    customer.register()
    link = make_link(customer)
    other = open_link(customer, link)
    other.post(link, {"nonce": secrets.token_urlsafe(16)})
    other.get(link + "nothing/")
    other.post(link, {}, Origin="https://evil.example")
    other.get(other.flow_url)
    files = {"el-proof_of_passpord": ("p.png", picture(), "image/png")}
    other.level(files=files)
    customer.post(customer.flow_url + "handover/", {"close": "1"})
    log = server.log.read_text()
    assert f"reference {customer.shown.reference} goes on with another device" in log
    for url in (link, customer.flow_url, other.flow_url):
        assert re.findall(r"/[fh]/([^/]{66})/", url)[0] not in log
