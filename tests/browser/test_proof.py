"""The proof of work in a real browser: done by itself, waited for where it cannot be done, absent where nobody asks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import expect

from onboarding.sandbox.partner import PartnerSite
from onboarding.sandbox.server import Sandbox
from tests.browser.conftest import Walk
from tests.browser.walker import DESKTOP, NARROW, Walker
from tests.support import Server, fresh_email, running

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def site() -> Iterator[PartnerSite]:
    with PartnerSite() as started:
        yield started


@pytest.fixture(scope="module")
def strict(sandbox: Sandbox, site: PartnerSite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A front end that asks everybody for work."""
    database = f"sqlite:///{tmp_path_factory.mktemp('strict') / 'onboarding.sqlite3'}"
    with running(sandbox, database, PROOF_OF_WORK="always", EMBED_ORIGINS=site.url) as started:
        site.onboarding_url = started.url
        yield started


def filled(walker: Walker) -> Walker:
    """The first page, filled in and sent."""
    walker.at("identify").fill_identity(email=fresh_email())
    walker.root.get_by_role("checkbox").check()
    return walker.press("Continue")


@pytest.mark.parametrize("screen", [NARROW, DESKTOP], ids=["narrow", "wide"])
def test_the_work_is_done_by_itself_and_the_customer_goes_on(
    screen: dict[str, Any], walk: Walk, strict: Server
) -> None:
    walker = walk(screen, url=strict.url).open("/")
    asked: list[str] = []
    walker.page.on("request", lambda request: asked.append(request.url.rpartition("/")[2].partition(".")[0]))
    assert not walker.page.locator("script[src*=proof]").count()
    filled(walker).at("password").password().verify().at("level")
    assert asked.count("proof") == asked.count("proof-worker") == 1
    walker.watch.is_clean(refusals=(422,))


def test_the_work_is_done_in_a_partners_page_too(walk: Walk, strict: Server, site: PartnerSite) -> None:
    walker = walk(url=strict.url)
    walker.page.goto(site.url)
    filled(walker.inside()).at("password").password().verify().at("level")
    walker.watch.is_clean(refusals=(422,))


def test_where_the_browser_cannot_do_the_work_the_page_waits_and_goes_on(walk: Walk, strict: Server) -> None:
    walker = walk(url=strict.url)
    walker.page.add_init_script("delete Crypto.prototype.subtle")  # as in a page without https
    filled(walker.open("/"))
    notice = walker.root.locator("#challenge")
    expect(notice).to_have_text("One moment, please. It goes on by itself in 10 seconds.", use_inner_text=True)
    expect(notice).to_be_focused()
    walker.at("password")
    walker.watch.is_clean(refusals=(422,))


def test_whoever_still_writes_sends_it_himself(walk: Walk, strict: Server) -> None:
    walker = walk(url=strict.url)
    walker.page.route("**/proof-worker*", lambda route: held.append(route))
    held: list[Any] = []
    walker.open("/")
    with walker.page.expect_request("**/proof-worker*"):  # until its script is there, the form can still be sent
        filled(walker)
    notice = walker.root.locator("#challenge")
    expect(notice).to_contain_text("A short check keeps automatic programs out", use_inner_text=True)
    walker.press("Continue").at("identify")  # too early: it is kept, not sent
    walker.field("E-mail address").fill(fresh := fresh_email())
    held[0].continue_()
    expect(notice).to_have_text("That is done. Press “Continue”.", use_inner_text=True)
    walker.press("Continue").at("password")
    walker.to = fresh
    walker.password().verify().at("level")
