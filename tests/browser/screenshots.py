"""Photographs every step and problem. `python -m tests.browser.screenshots [--out DIR] [--readme]`.

Starts a sandbox, a front end and a partner's page of its own. Pictures go into the ignored folder `shots`; with
`--readme` only the two pictures of the README are renewed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from onboarding.sandbox.partner import PartnerSite
from onboarding.sandbox.server import Sandbox
from tests.browser.test_levels import fill
from tests.browser.walker import ARGS, DESKTOP, NARROW, PHONE, SHOTS, Walker, Watch
from tests.provide import chromium
from tests.support import ROOT, Server, fresh_email, fresh_phone, running

PICTURES = ROOT / "docs" / "pictures"
SCREENS = {"phone": PHONE, "desktop": DESKTOP}
PICTURE_BYTES = 120_000


@dataclass
class Studio:
    browser: Browser
    sandbox: Sandbox
    server: Server
    partner: PartnerSite
    out: Path

    @contextmanager
    def visit(self, screen: str, **more: object) -> Iterator[Visit]:
        context = self.browser.new_context(**{**SCREENS.get(screen, NARROW), **more})
        try:
            yield Visit(Walker(context.new_page(), self.sandbox, self.server.url, Watch(context)), screen, self.out)
        finally:
            context.close()


@dataclass
class Visit:
    walker: Walker
    screen: str
    out: Path
    taken: int = 0

    def shot(self, name: str) -> None:
        """The whole page in light and dark, as high as it is, so that nothing sticks in its middle."""
        page = self.walker.page
        before = page.viewport_size or DESKTOP["viewport"]
        self.taken += 1
        height = max(before["height"], int(page.evaluate("document.documentElement.scrollHeight")))
        page.set_viewport_size({"width": before["width"], "height": height})
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            folder = self.out / f"{self.screen}-{scheme}"
            folder.mkdir(parents=True, exist_ok=True)
            page.screenshot(path=folder / f"{self.taken:02}-{name}.png", animations="disabled")
        page.emulate_media(color_scheme="light")
        page.set_viewport_size(before)


def steps(visit: Visit) -> None:
    """The way of most customers, with what can be mistaken on it."""
    walker, shot = visit.walker, visit.shot
    walker.open().at("identify")
    shot("identify")
    walker.press("Continue")
    expect(walker.summary).to_be_visible()
    shot("identify-wrong")
    walker.identify(email=fresh_email())
    shot("password")
    walker.press("Continue")
    expect(walker.summary).to_be_visible()
    shot("password-wrong")
    walker.password("correct horse battery")
    shot("verify")
    walker.verify(walker.wrong_code())
    expect(walker.summary).to_be_visible()
    shot("verify-wrong")
    walker.press("Send another code")
    expect(walker.summary).to_contain_text("wait")
    walker.unfold("help")
    walker.unfold("delete")
    shot("verify-too-soon-and-help")
    walker.follow("Correct the e-mail address").at("identify")
    shot("correct")
    walker.follow("Back").at("verify").verify().at("level")
    shot("level")
    walker.press("Send")
    expect(walker.summary).to_be_visible()
    shot("level-wrong")
    walker.fill_level()
    shot("level-filled")
    walker.field("Number of the document").fill("?")
    walker.press("Send")
    expect(walker.step).to_contain_text("passport.png")
    shot("level-picture-received")
    walker.field("Number of the document").fill("E12345678")
    walker.press("Send").at("done")
    shot("done")


def variants(visit: Visit) -> None:
    """Other channels, languages, levels and ends."""
    walker, shot = visit.walker, visit.shot
    walker.open("/", channel="phone").at("identify")
    shot("identify-phone")
    for language in ("es", "zh-hans", "ar"):
        walker.open("/", lang=language).at("identify")
        shot(f"identify-{language}")
    walker.open().register(phone=fresh_phone("905")).at("path")
    shot("path")
    walker.open().register(email=fresh_email("all")).at("level")
    walker.field("Kind of document").select_option(label="Identity card")
    shot("level-of-every-kind")
    walker.open().register(email=fresh_email("levels")).at("level")
    shot("level-one-of-three")
    walker.press("Continue on another device").at("handover")
    shot("handover")
    walker.open().register(email=fresh_email("rejected")).at("level").fill_level()
    walker.press("Send").at("level")
    expect(walker.step).to_contain_text("blurred")
    shot("level-rejected")
    company(visit)
    walker.open().register(email=fresh_email("drop")).at("status")
    shot("status")
    walker.open().register(email=fresh_email("review")).at("done")
    shot("done-review")
    walker.open().register(email=fresh_email("nokyc")).at("done")
    shot("done-registered")
    for tag in ("exists", "refused"):
        walker.open().register(email=fresh_email(tag)).at("problem")
        shot(f"problem-{tag}")
    walker.open().identify(email=fresh_email()).password()
    old = walker.flow_url
    walker.verify().at("level").page.goto(old)
    walker.at("problem")
    shot("problem-moved-on")
    walker.open("/nothing/").at("problem")
    shot("problem-not-found")


def company(visit: Visit) -> None:
    """The parts of a company's level."""
    walker, shot = visit.walker, visit.shot
    walker.open("/", openAccountType="1").register(email=fresh_email()).at("level")
    shot("company-choice")
    for name in ("about", "directors"):
        fill(walker)
        walker.press("Continue").page.wait_for_timeout(600)
        shot(f"company-{name}")
    fill(walker)
    walker.press("Add another person").page.wait_for_timeout(600)
    shot("company-two-directors")
    fill(walker)
    walker.press("Continue").page.wait_for_timeout(600)
    shot("company-declaration")


def in_a_frame(studio: Studio, visit: Visit) -> None:
    walker = visit.walker
    walker.url = studio.partner.url
    walker.open("/", utm_source="pictures").inside().at("identify")
    visit.shot("partner-identify")
    walker.identify(email=fresh_email())
    visit.shot("partner-password")
    walker.password().verify().at("level")
    visit.shot("partner-level")


def all_pictures(studio: Studio) -> None:
    for screen in SCREENS:
        with studio.visit(screen) as visit:
            steps(visit)
            variants(visit)
        with studio.visit(screen) as visit:
            visit.taken = 50
            in_a_frame(studio, visit)
    with studio.visit("narrow") as visit:
        steps(visit)


def readme_pictures(studio: Studio) -> None:
    """Two phones of the same height, side by side: the first step by day, a level by night."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    with (
        studio.visit("phone", device_scale_factor=1.5, color_scheme="light") as day,
        studio.visit("phone", device_scale_factor=1.5, color_scheme="dark") as night,
    ):
        day.walker.open().at("identify").fill_identity(email="ann@example.org")
        day.walker.root.get_by_role("checkbox").check()
        night.walker.open().register(email=fresh_email()).at("level").fill_level()
        pages = {"first-step": day.walker.page, "level": night.walker.page}
        height = max(int(page.evaluate("document.documentElement.scrollHeight")) for page in pages.values())
        for name, page in pages.items():
            page.set_viewport_size({"width": 390, "height": height})
            page.mouse.move(0, 0)
            page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
            save(page, PICTURES / f"{name}.png")


def save(page: Page, path: Path) -> None:
    """With as few colours as it takes for a page that loads quickly."""
    page.screenshot(path=path, animations="disabled")
    if path.stat().st_size > PICTURE_BYTES:
        with Image.open(path) as picture:
            picture.convert("RGB").quantize(128, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path.relative_to(ROOT)}  {path.stat().st_size // 1000} kB")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=SHOTS, help="folder for the pictures (default: %(default)s)")
    parser.add_argument("--readme", action="store_true", help="only renew the two pictures of the README")
    options = parser.parse_args()
    executable = chromium()
    if executable is None:
        print("There is no Chromium. Install the package chromium, or run `playwright install chromium`.")
        return 1
    with (
        tempfile.TemporaryDirectory() as folder,
        Sandbox(port=0, review_seconds=0.0) as sandbox,
        PartnerSite() as partner,
        running(
            sandbox,
            f"sqlite:///{folder}/onboarding.sqlite3",
            EMBED_ORIGINS=partner.url,
            UPSTREAM_READ_TIMEOUT="2.5",
        ) as server,
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=executable or None, args=ARGS) as browser,
    ):
        partner.onboarding_url = server.url
        studio = Studio(browser, sandbox, server, partner, options.out)
        if options.readme:
            readme_pictures(studio)
        else:
            all_pictures(studio)
            print(f"pictures are in {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
