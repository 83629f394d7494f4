"""The partner's check page tells the truth about the page around it, with and without script."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.sites import FRONT, PARTNER, STRANGER, Sites
from tests.browser.test_frames import Visit, heard, visit
from tests.browser.walker import NO_SCRIPT, SHOTS, Walker

pytestmark = pytest.mark.browser
__all__ = ["visit"]  # the fixture

ALLOW = "camera; otp-credentials; clipboard-write"


def lines(walker: Walker) -> dict[str, str]:
    ids = ("where", "scripts", "origin", "forms", "camera", "otp-credentials", "clipboard-write", "referrer")
    return {name: (walker.root.locator(f"#{name}").text_content() or "").strip() for name in ids}


def good(walker: Walker) -> set[str]:
    """The lines that say that all is well."""
    return {name for name in lines(walker) if walker.root.locator(f"#{name} .good").count()}


def test_framed_by_the_snippet_everything_is_well(visit: Visit, sites: Sites) -> None:
    page = sites.url("/", PARTNER, attributes="data-check", utm_source="News", UTM_Campaign="a@b.example")
    walker = visit(page)
    expect(walker.root.locator("#events li").first).to_contain_text("1 · ready")
    assert good(walker) == {
        "where", "scripts", "origin", "forms", "camera", "otp-credentials", "clipboard-write", "referrer"
    }  # fmt: skip
    assert sites.origin(PARTNER) in lines(walker)["where"]
    assert walker.root.locator("#utm").inner_text().split("\n")[1:] == [
        "utm_source\tNews\t", "utm_campaign\t—\tlooks like an e-mail address, so it is not taken",
    ]  # fmt: skip
    walker.page.wait_for_timeout(300)
    assert [line["type"] for line in heard(walker.page)].count("resize") <= 3, "telling a height makes no other height"
    walker.press("Send one of each kind")
    expect(walker.root.locator("#events")).to_contain_text("closed {}")
    told = [event["type"] for event in heard(walker.page)]
    assert {"ready", "resize", "step", "problem", "registered", "submitted", "done", "closed"} == set(told)
    walker.press("Try to open one")
    expect(walker.root.locator("#popups")).to_contain_text("They open.")
    walker.watch.is_clean()
    walker.page.screenshot(path=SHOTS / "tests" / "check-framed.png", full_page=True)


def test_in_bad_surroundings_each_line_names_what_is_missing(visit: Visit, sites: Sites) -> None:
    check = sites.url("/p/default/check/", utm_source="x", session_id="secret")
    walker = visit(sites.framing(check, attributes='sandbox="allow-scripts"', referrer="unsafe-url"))
    expect(walker.root.locator("#forms .bad")).to_be_visible()
    assert good(walker) == {"where", "scripts"}
    told = lines(walker)
    assert "allow-same-origin" in told["origin"] and "allow-forms" in told["forms"]
    assert "allow attribute" in told["camera"] and "strict-origin-when-cross-origin" in told["referrer"]
    expect(walker.root.locator("main")).to_contain_text("session_id")
    expect(walker.root.locator("main")).not_to_contain_text("secret")
    walker.press("Try to open one")
    expect(walker.root.locator("#popups .bad")).to_be_visible()


def test_opened_alone_it_says_so_and_answers_by_address(visit: Visit, sites: Sites) -> None:
    walker = visit(sites.url("/p/default/check/"))
    walker.root = walker.page
    assert "window of its own" in lines(walker)["where"]
    expect(walker.page.locator("#events")).to_contain_text("from inside a frame only")
    for address, verdict in (
        (sites.url("/open?x=1", PARTNER), "Yes."),
        (sites.url("/", STRANGER), "No."),
        (sites.url("/", PARTNER).replace("https", "http"), "not encrypted"),
        ("partner", "no address of a page"),
    ):
        walker.field("Address of your page").fill(address)
        walker.page.locator("form").evaluate("form => form.noValidate = true")
        walker.press("Check")
        expect(walker.page.get_by_role("status")).to_contain_text(verdict)
    walker.watch.is_clean()


@pytest.mark.parametrize("framed", [True, False])
def test_without_script_it_tells_what_the_server_sees(visit: Visit, sites: Sites, framed: bool) -> None:
    check = sites.url("/p/default/check/", utm_source="News")
    walker = visit(sites.framing(check) if framed else check, NO_SCRIPT)
    walker.root = walker.root if framed else walker.page
    assert good(walker) == ({"where", "referrer"} if framed else set())
    assert "They do not run here." in lines(walker)["scripts"]
    expect(walker.root.locator("#utm")).to_contain_text("News")
    expect(walker.root.locator("main")).to_contain_text(f"{sites.origin(FRONT)}/embed.js")
    if not framed:
        walker.field("Address of your page").fill(sites.url("/", PARTNER))
        walker.press("Check")
        expect(walker.page.get_by_role("status")).to_contain_text("Yes.")


def test_a_page_that_is_not_listed_cannot_frame_it_but_is_led_to_it(visit: Visit, sites: Sites) -> None:
    walker = visit(sites.url("/", STRANGER, attributes="data-check"))
    link = walker.page.get_by_role("link", name="Open in a new window")
    expect(link).to_be_visible()
    with walker.page.expect_popup() as opened:
        link.click()
    expect(opened.value.locator("h1")).to_have_text("Embedding check")
    opened.value.close()
