"""The operator's console under our own policy: nothing is refused, and the funnel is readable on every screen."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from onboarding.sandbox.server import Sandbox
from tests.browser.walker import DESKTOP, SHOTS, Watch
from tests.support import Server, running

PASSWORD = "a-password-of-the-operator"
FUNNEL = "/admin/onboarding/funnel/?first=2026-03-01&last=2026-03-31"
FILL = f"""
from django.contrib.auth.models import User
from onboarding import rollup
from tests import simulated
simulated.flows(120)
rollup.run(now=simulated.AFTER)
User.objects.create_superuser("operator", password="{PASSWORD}")
"""
CONTRAST = """() => {
  const light = c => { const [r, g, b] = c.match(/[\\d.]+/g).map(v => { v /= 255;
    return v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; }); return .2126 * r + .7152 * g + .0722 * b; };
  const ground = light(getComputedStyle(document.body).backgroundColor);
  return [...document.querySelectorAll('.funnel-chart text')].map(t => light(getComputedStyle(t).fill))
    .map(l => (Math.max(l, ground) + .05) / (Math.min(l, ground) + .05)).reduce((a, b) => Math.min(a, b));
}"""


@pytest.fixture(scope="module")
def console(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(sandbox, f"sqlite:///{tmp_path_factory.mktemp('console') / 'console.sqlite3'}") as server:
        server.manage("shell", "-c", FILL)
        yield server


def sign_in(page: Page, console: Server) -> None:
    page.goto(console.url + "/admin/")
    page.fill("#id_username", "operator")
    page.fill("#id_password", PASSWORD)
    page.click("[type=submit]")


def rows(page: Page, caption: str) -> int:
    return page.locator("table", has=page.locator("caption", has_text=caption)).locator("tbody tr").count()


@pytest.mark.browser
@pytest.mark.parametrize(
    ("options", "scheme"), [(DESKTOP, "light"), ({"viewport": {"width": 320, "height": 640}}, "dark")]
)
def test_the_funnel_fits_every_screen_and_breaks_no_policy(
    browser: Browser, console: Server, options: dict, scheme: str
) -> None:
    with browser.new_context(**{**options, "color_scheme": scheme}) as context:
        watch, page = Watch(context), context.new_page()
        sign_in(page, console)
        page.goto(console.url + FUNNEL)
        SHOTS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=SHOTS / f"funnel-{options['viewport']['width']}-{scheme}.png", full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert page.evaluate(CONTRAST) >= 4.5
        for path in (
            "flow/",
            "flow/?q=passed",
            "flow/1/change/",
            "submission/",
            "submission/1/change/",
            "partner/add/",
        ):
            page.goto(f"{console.url}/admin/onboarding/{path}")
            expect(page.locator("h1").last).to_be_visible()
        page.goto(console.url + FUNNEL)
        page.get_by_role("button", name="Count now").click()
        expect(page.get_by_text("Days counted: 0.")).to_be_visible()
        failed = [line for line in watch.failed if "ERR_ABORTED" not in line]  # left before a picture came
        assert (watch.console, watch.foreign, failed) == ([], [], [])
        assert watch.refusals in ([], [404])  # at most the icon that nobody has


@pytest.mark.browser
def test_a_screen_reader_hears_each_chart_as_one_picture_and_finds_its_numbers_in_a_table(
    browser: Browser, console: Server
) -> None:
    with browser.new_context(**DESKTOP) as context:
        page = context.new_page()
        sign_in(page, console)
        page.goto(console.url + FUNNEL)
        pictures = page.get_by_role("img", name=re.compile("^Flows by"))
        assert pictures.count() == page.locator("svg.funnel-chart").count() == 3
        page.locator("summary", has_text="Numbers of each day").click()
        for caption in ("Flows by stage", "Flows by day and stage", "Flows by group and stage"):
            expect(page.get_by_role("table", name=caption)).to_be_visible()
        assert rows(page, "Flows by day and stage") == 31 == page.locator("svg.funnel-chart rect.part-3 title").count()
        stages = page.locator("section").first
        assert stages.locator("svg text.name").all_text_contents() == stages.locator("tbody th").all_text_contents()


@pytest.mark.browser
def test_the_funnel_is_asked_and_printed_without_script(browser: Browser, console: Server) -> None:
    with browser.new_context(**DESKTOP, java_script_enabled=False) as context:
        page = context.new_page()
        sign_in(page, console)
        page.goto(console.url + FUNNEL)
        page.get_by_label("By", exact=True).select_option("country")
        page.get_by_label("Partner").select_option("acme")
        page.get_by_role("button", name="Show").click()
        expect(page.get_by_role("heading", name="By country")).to_be_visible()
        assert "first=2026-03-01" in page.url and rows(page, "Flows by group and stage") == 4
        with page.expect_download() as download:
            page.get_by_role("button", name="Download CSV").click()
        assert download.value.suggested_filename == "funnel-2026-03-01-2026-03-31.csv"
        page.emulate_media(media="print")
        assert not page.locator(".funnel-form").is_visible() and not page.locator("#header").is_visible()
        assert page.locator("table", has=page.locator("caption", has_text="Flows by day")).is_visible()
