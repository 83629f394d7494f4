"""Who follows a link out of a flow takes its address along to nobody, whatever the link looks like."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Request, Route

from tests.browser.walker import Walker
from tests.support import fresh_email

pytestmark = pytest.mark.browser
OUTSIDE = "https://trading.example/**"
LINK = """([href, referrerPolicy]) => document.body.append(
  Object.assign(document.createElement("a"), {href, referrerPolicy, textContent: "plain"}))"""


def test_no_other_site_learns_a_flows_address(walk: Callable[..., Walker]) -> None:
    walker = walk().open()
    asked: list[Request] = []
    told: list[dict[str, str]] = []

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
        told += [request.all_headers() for request in asked[len(told) :]]  # known while the page is there
        opened.value.close()
    links_out = len(told)
    assert links_out > 0
    for policy in ("", "unsafe-url"):  # the second one, which no link of ours has, is the control of the first
        walker.page.goto(here)
        walker.page.evaluate(LINK, ["https://trading.example/plain", policy])
        walker.page.get_by_text("plain", exact=True).click()
        walker.page.wait_for_url(OUTSIDE)
        told += [request.all_headers() for request in asked[len(told) :]]
    assert len(told) == links_out + 2
    assert told.pop()["referer"] == here
    for headers in told:
        assert "referer" not in headers
        assert here.split("/f/")[1].rstrip("/") not in str(headers)
