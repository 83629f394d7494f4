"""A customer registers, in every kind of browser world: each walks the whole way in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from onboarding.sandbox.partner import PartnerSite
from tests.browser.checks import (
    PASSWORD,
    frame_fits,
    nothing_personal,
    registered_right,
    told,
    told_done,
    told_in_order,
)
from tests.browser.conftest import Walk
from tests.browser.walker import (
    ALL_BLOCKED,
    COOKIES_ALLOWED,
    DESKTOP,
    NO_SCRIPT,
    PHONE,
    THIRD_PARTY_BLOCKED,
    ControlSite,
    kept,
)
from tests.campaign import UTM
from tests.support import Server, fresh_email, fresh_phone

pytestmark = pytest.mark.browser

Profiles = Callable[[dict[str, Any]], BrowserContext]


def test_a_customer_registers_by_email_on_a_phone_and_fills_the_level(walk: Walk) -> None:
    walker = walk(PHONE, album=True).open("/", **UTM)
    walker.register(email=fresh_email(), password=PASSWORD).level()
    told_done(walker)
    registered_right(walker, mobile=True, password=PASSWORD)
    answers = walker.application()
    assert answers.pop("proof_of_passpord").startswith(walker.sandbox.url)
    assert answers == {"name": "Ann Example", "birthday": "642902400000", "passport": "E12345678"}
    walker.watch.is_clean()
    kept(walker.page)


def test_a_customer_registers_by_phone_on_a_desktop_and_fills_the_level(walk: Walk) -> None:
    walker = walk(DESKTOP, album=True).open("/", **UTM)
    walker.register(phone=fresh_phone()).level()
    told_done(walker)
    registered_right(walker, mobile=False)
    walker.watch.is_clean()
    kept(walker.page)


# -- Inside a partner's page -------------------------------------------------------------------------------------------


def shown_in(page: Page, selector: str, *, framed: bool) -> str:
    root = page.frame_locator("iframe") if framed else page
    return root.locator(selector).text_content() or ""


def test_the_worlds_are_what_they_say(profiles: Profiles, control: ControlSite) -> None:
    """The control of all tests below: the same pages tell another story wherever a setting differs."""
    seen = {}
    worlds = {"allowed": COOKIES_ALLOWED, "third": THIRD_PARTY_BLOCKED, "all": ALL_BLOCKED, "no script": NO_SCRIPT}
    for name, preferences in worlds.items():
        context = profiles(preferences)
        page = context.new_page()
        page.goto(control.url("/cookie"))
        page.goto(control.url("/cookie"))
        own = shown_in(page, "#cookie", framed=False)
        page.goto(control.framed("/cookie"))
        frames = shown_in(page, "#cookie", framed=True)
        context.clear_cookies()
        page.goto(control.framed("/storage"))
        storage = shown_in(page, "#storage", framed=True)
        page.goto(control.framed("/script"))
        script = shown_in(page, "#script", framed=True)
        noscript = page.frame_locator("iframe").locator("#noscript").count()
        page.close()
        seen[name] = (own, frames, storage, script, noscript)
    assert seen == {
        "allowed": ("control=1", "control=1", "1", "on", 0),
        "third": ("control=1", "", "1", "on", 0),  # "1": storage in the frame is partitioned, not forbidden
        "all": ("", "", "SecurityError", "on", 0),
        "no script": ("control=1", "control=1", "", "off", 1),
    }


def test_a_customer_registers_inside_a_partners_page_where_third_party_cookies_are_blocked(
    walk: Walk, profiles: Profiles, framed: Server, partner: PartnerSite
) -> None:
    walker = (
        walk(context=profiles(THIRD_PARTY_BLOCKED), url=partner.url, album=True)
        .open("/", **UTM, secret="mine")
        .inside()
    )
    walker.identify(email=fresh_email())
    heights = {"password": frame_fits(walker)}
    walker.password(PASSWORD)
    heights["verify"] = frame_fits(walker)
    walker.verify().at("level")
    heights["level"] = frame_fits(walker)
    walker.fill_level()
    assert frame_fits(walker) > heights["level"], "the chosen document's picture came into view"
    walker.press("Send")
    told_done(walker)
    heights["done"] = frame_fits(walker)
    assert heights["level"] > heights["verify"]
    assert heights["done"] < heights["level"]
    registered_right(walker, mobile=False, password=PASSWORD)
    events = told(walker)
    nothing_personal(events, walker)
    told_in_order(events, walker)
    assert walker.page.url.startswith(partner.url), "the partner's page itself went nowhere"
    walker.watch.is_clean()
    kept(walker.page)


def test_a_bare_frame_without_the_script_works_and_tells_the_same(
    walk: Walk, profiles: Profiles, framed: Server, partner: PartnerSite
) -> None:
    walker = walk(context=profiles(THIRD_PARTY_BLOCKED), url=partner.url)
    walker.page.add_init_script(
        "if (window === top) { window.heard = [];"
        "addEventListener('message', (event) => heard.push([event.origin, event.data])); }"
    )
    walker.open("/plain", **UTM).inside()
    walker.register(email=fresh_email(), password=PASSWORD).level()
    told_done(walker)
    registered_right(walker, mobile=False, password=PASSWORD)
    walker.page.wait_for_function("heard.some(([, message]) => message.type === 'done')")
    heard = walker.page.evaluate("heard")
    assert {origin for origin, _ in heard} == {framed.url}
    events = [message for _, message in heard]
    nothing_personal(events, walker)
    told_in_order(events, walker)
    walker.watch.is_clean()
    kept(walker.page)


def test_a_problem_is_told_to_the_partner_by_its_name_alone(
    walk: Walk, profiles: Profiles, framed: Server, partner: PartnerSite
) -> None:
    walker = walk(context=profiles(THIRD_PARTY_BLOCKED), url=partner.url).open("/").inside()
    walker.register(email=fresh_email("exists")).at("problem", problem="exists")
    frame_fits(walker)
    events = told(walker, "problem")
    assert [event["payload"] for event in events if event["type"] == "problem"] == [{"problem": "exists"}]
    nothing_personal(events, walker)


def test_a_stranger_may_not_frame_the_page(
    walk: Walk, profiles: Profiles, control: ControlSite, framed: Server
) -> None:
    """The control site is `localhost` as well, on another port: another origin than the partner's."""
    walker = walk(context=profiles(THIRD_PARTY_BLOCKED), url=control.url("", "localhost"))
    walker.open("/parent", src=framed.url + "/p/default/")
    expect(walker.page.locator("iframe")).to_be_visible()
    frame = walker.page.frames[1]
    assert frame.url.startswith("chrome-error://")
    assert frame.locator("#step").count() == 0


# -- Without script, without cookies -----------------------------------------------------------------------------------


@pytest.mark.parametrize("channel", ["email", "phone"])
def test_a_customer_registers_with_javascript_off(walk: Walk, profiles: Profiles, channel: str) -> None:
    walker = walk(context=profiles(NO_SCRIPT), album=True).open("/", **UTM)
    walker.register(**{channel: fresh_email() if channel == "email" else fresh_phone()}, password=PASSWORD).level()
    told_done(walker)
    registered_right(walker, mobile=False, password=PASSWORD)
    walker.watch.is_clean()


def test_a_customer_registers_where_every_cookie_is_blocked_and_storage_throws(walk: Walk, profiles: Profiles) -> None:
    """In a frame: tests/browser/test_sites.py."""
    walker = walk(context=profiles(ALL_BLOCKED)).open("/", **UTM)
    walker.register(email=fresh_email(), password=PASSWORD).level()
    told_done(walker)
    registered_right(walker, mobile=False, password=PASSWORD)
    walker.watch.is_clean()
    kept(walker.page, throws=True)
