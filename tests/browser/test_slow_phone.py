"""The first page on a slow phone and on a poor line. `make bench` tells its times; here nothing rests on a clock."""

from __future__ import annotations

from statistics import median

import pytest
from playwright.sync_api import Browser

from tests.browser.conftest import Walk
from tests.browser.slow_phone import POOR, Bare, visit
from tests.browser.walker import PHONE
from tests.support import Server, fresh_email

pytestmark = pytest.mark.browser

TIMES_BARE = 3  # as long as a page of the same requests with nothing in them; 1.2 on a quiet machine


def test_the_first_page_is_seen_after_two_answers_and_moves_no_more(browser: Browser, server: Server) -> None:
    mine = [visit(browser, server.url + "/")]
    with Bare(like=mine[0]) as page:
        bare = [visit(browser, page.url)]
        for _ in range(2):
            mine.append(visit(browser, server.url + "/"))
            bare.append(visit(browser, page.url))
    for seen in mine:
        assert [one.kind for one in seen.before_paint] == ["Document", "Stylesheet"]
        assert sum(one.size for one in seen.before_paint) <= 12_000
        assert max(one.after for one in seen.fetched) == 1, "the page itself names all that it needs"
        assert len(seen.fetched) <= 5
        assert seen.moved == 0
        assert (seen.largest, seen.in_the_step) == (seen.painted, True), "the step is what is seen, and seen first"
    assert [one.kind for one in bare[0].fetched] == [one.kind for one in mine[0].fetched]
    assert median(seen.shown for seen in mine) <= TIMES_BARE * median(seen.shown for seen in bare)


def test_the_first_step_is_answered_on_a_poor_line_before_any_script_has_come(walk: Walk) -> None:
    walker = walk(PHONE)
    POOR.put_on(walker.page.context.new_cdp_session(walker.page))
    scripts: list[str] = []
    walker.page.route("**/*.js", lambda route: scripts.append(route.request.url))  # and never answered
    walker.page.goto(walker.url, wait_until="commit")
    walker.identify(email=fresh_email())
    assert scripts
