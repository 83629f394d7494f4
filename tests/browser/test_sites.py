"""Inside a partner's page, two different sites over HTTPS: whatever the browser forbids there, a customer registers."""

from __future__ import annotations

import json
from collections.abc import Callable
from urllib.parse import parse_qs

import pytest
from playwright.sync_api import BrowserContext, expect

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
from tests.browser.sites import FRONT, PARTNER, Sites
from tests.browser.walker import ALL_BLOCKED, COOKIES_ALLOWED, NO_SCRIPT, THIRD_PARTY_BLOCKED, kept
from tests.campaign import UTM
from tests.support import Server, fresh_email

pytestmark = pytest.mark.browser

Worlds = Callable[..., BrowserContext]

NOTHING = {"profile": {"cookie_controls_mode": 0, "default_content_setting_values": {"cookies": 2, "javascript": 2}}}
MATRIX = {
    "default settings": COOKIES_ALLOWED,
    "third-party cookies blocked": THIRD_PARTY_BLOCKED,
    "every cookie blocked": ALL_BLOCKED,
    "no script": NO_SCRIPT,
    "no script, every cookie blocked": NOTHING,
}
EVERYTHING = dict.fromkeys(("localStorage", "sessionStorage", "indexedDB", "caches"), "works")
# What the control page tells: the cookie in a page of its own, the cookie in the frame, script, noscript, storage.
TOLD: dict[str, tuple[str, str, str, int, dict[str, str]]] = {
    "default settings": ("control=own", "control=framed", "on", 0, EVERYTHING),
    "third-party cookies blocked": ("control=own", "", "on", 0, EVERYTHING),  # partitioned, not forbidden
    "every cookie blocked": ("", "", "on", 0, dict.fromkeys(EVERYTHING, "throws")),
    "no script": ("control=own", "control=framed", "off", 1, {}),
    "no script, every cookie blocked": ("", "", "off", 1, {}),
}


def control(context: BrowserContext, sites: Sites) -> tuple[str, str, str, int, dict[str, str]]:
    page = context.new_page()
    for cookie in ({"cookie": "own"}, {}):
        page.goto(sites.url("/control/", **cookie))
    own = page.locator("#cookie").text_content() or ""
    context.clear_cookies()
    for cookie in ({"cookie": "framed"}, {}):
        page.goto(sites.framing(sites.url("/control/", **cookie)))
        frame = page.frame_locator("iframe")
        script = frame.locator("#script").text_content() or ""
    if script == "on":
        expect(frame.locator("#storage")).not_to_be_empty()
    storage = json.loads(frame.locator("#storage").text_content() or "{}")
    found = (own, frame.locator("#cookie").text_content() or "", script, frame.locator("#noscript").count(), storage)
    context.clear_cookies()
    page.close()
    return found


def no_cookie(sites: Sites) -> None:
    assert [answer for answer in sites.answers if answer.all("Set-Cookie")] == []


@pytest.mark.parametrize("mode", MATRIX)
def test_a_customer_registers_and_fills_the_level_in_a_frame_of_another_site(
    walk: Walk, worlds: Worlds, sites: Sites, secured: Server, mode: str
) -> None:
    context = worlds(MATRIX[mode])
    assert control(context, sites) == TOLD[mode]
    script = TOLD[mode][2] == "on"
    sites.answers.clear()

    walker = walk(context=context, url=sites.origin(PARTNER), album=True)
    if script:  # the partner's address spells the keys as it likes
        walker.open(
            "/", **{key.title(): value for key, value in UTM.items()}, email="not@passed.example", token="secret"
        )
    else:
        walker.page.goto(sites.framing(sites.url("/p/default/", **UTM)))
    walker.inside()
    fits = frame_fits if script else (lambda walker: 0)
    walker.identify(email=fresh_email())
    heights = [fits(walker)]
    walker.password(PASSWORD)
    heights.append(fits(walker))
    walker.verify().at("level").fill_level()
    heights.append(fits(walker))
    walker.press("Send")
    told_done(walker)
    heights.append(fits(walker))

    registered_right(walker, mobile=False, password=PASSWORD)
    assert walker.application()["proof_of_passpord"].startswith(walker.sandbox.url)
    assert walker.page.url.startswith(sites.origin(PARTNER)), "the partner's page itself went nowhere"
    first = sites.answers_to("/p/default/")[0]
    assert (first.asked["Sec-Fetch-Dest"], first.asked["Sec-Fetch-Site"]) == ("iframe", "cross-site")
    assert {key.lower() for key in parse_qs(first.query)} == set(UTM)
    assert not {word for word in ("not%40passed", "not@passed", "secret") if word in str(sites.answers)}
    no_cookie(sites)
    if script:
        assert heights[0] < heights[1] < heights[2] > heights[3]
        events = told(walker)
        nothing_personal(events, walker)
        told_in_order(events, walker)
        kept(walker.page, throws=TOLD[mode][4]["caches"] == "throws", host=FRONT)
    walker.watch.is_clean()


def test_whoever_writes_anything_down_is_seen(walk: Walk, worlds: Worlds, sites: Sites, secured: Server) -> None:
    """The control of the clean console above."""
    walker = walk(context=worlds(COOKIES_ALLOWED), url=sites.origin(PARTNER)).open("/")
    writes = {
        "Storage.setItem": "sessionStorage.setItem('a', '1')",
        "IDBFactory.open": "indexedDB.open('a')",
        "CacheStorage.open": "caches.open('a')",
        "cookie": "document.cookie = 'a'",
    }
    for name, script in writes.items():
        with walker.page.expect_console_message(lambda message, name=name: message.text == f"written: {name} a"):
            walker.page.evaluate(f"() => {{ {script} }}")
    walker.page.evaluate("() => { sessionStorage.clear(); indexedDB.deleteDatabase('a'); caches.delete('a') }")
    walker.watch.context.clear_cookies()
