"""Who follows a link out of a flow takes its address along to nobody, whatever the link looks like."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Request, Route

from tests.browser.walker import Walker
from tests.support import fresh_email

pytestmark = pytest.mark.browser
OUTSIDE = "https://trading.example/**"
PLAIN = """href => document.body.append(Object.assign(document.createElement("a"), {href, textContent: "plain"}))"""


def test_no_other_site_learns_a_flows_address(walk: Callable[..., Walker]) -> None:
    walker = walk().open()
    asked: list[Request] = []

    def answer(route: Route) -> None:
        asked.append(route.request)
        route.fulfill(body="another site", content_type="text/html")

    walker.page.context.route(OUTSIDE, answer)
    walker.identify(email=fresh_email()).password().at("verify")
    here = walker.page.url
    assert "/f/" in here
    links = walker.page.locator("a[target=_blank][href^='https://trading.example/']:visible")
    for number in range(links.count()):
        with walker.page.context.expect_page() as opened:
            links.nth(number).click()
        opened.value.wait_for_load_state()
        opened.value.close()
    seen = len(asked)
    assert seen > 0
    for leave in (PLAIN, "href => window.location.assign(href)", "href => { new Image().src = href }"):
        walker.page.goto(here)
        walker.page.evaluate(leave, "https://trading.example/plain")
        if leave == PLAIN:
            walker.page.get_by_text("plain", exact=True).click()
        walker.page.wait_for_timeout(300)
    assert len(asked) == seen + 2, "a link and a script may leave; a picture of another site is not even asked for"
    for request in asked:
        headers = request.all_headers()
        assert "sec-fetch-site" in headers, "all of the headers are seen"
        assert "referer" not in headers
        assert here.split("/f/")[1].rstrip("/") not in str(headers)
