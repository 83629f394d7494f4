"""One browser for the whole group, further ones only for what a profile's preferences decide, and walkers in them."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Playwright, sync_playwright

from onboarding.sandbox.partner import PartnerSite
from onboarding.sandbox.server import Sandbox
from tests.browser.sites import FRONT, HOSTS, PARTNER, Certificates, Sites
from tests.browser.walker import ARGS, DESKTOP, LOOPBACK, SHOTS, ControlSite, Walker, Watch, profile
from tests.provide import chromium
from tests.support import Server, running

Walk = Callable[..., Walker]


@pytest.fixture(scope="session")
def executable() -> str:
    found = chromium()
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("CI must have a Chromium")
        pytest.skip("no Chromium on this machine: install the package chromium, or run `playwright install chromium`")
    return found


@pytest.fixture(scope="session")
def playwright(executable: str) -> Iterator[Playwright]:
    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="session")
def browser(playwright: Playwright, executable: str) -> Iterator[Browser]:
    with playwright.chromium.launch(executable_path=executable or None, args=ARGS) as launched:
        yield launched


@pytest.fixture(scope="session")
def profiles(playwright: Playwright, executable: str) -> Iterator[Callable[[dict[str, Any]], BrowserContext]]:
    """Browsers by their preferences, each started once, on a desktop screen."""
    started: dict[str, BrowserContext] = {}
    with ExitStack() as stack:

        def give(preferences: dict[str, Any]) -> BrowserContext:
            key = repr(preferences)
            if key not in started:
                started[key] = stack.enter_context(profile(playwright, executable, preferences, **DESKTOP))
            return started[key]

        yield give


@pytest.fixture(scope="session")
def control() -> Iterator[ControlSite]:
    site = ControlSite()
    yield site
    site.stop()


@pytest.fixture
def walk(browser: Browser, server: Server, sandbox: Sandbox, request: pytest.FixtureRequest) -> Iterator[Walk]:
    """Makes a walker: `walk()` in a fresh desktop context, `walk(PHONE)` on a phone, `walk(context=…)` in a given one.

    `album=True` photographs every step into the ignored folder `shots`.
    """
    made: list[Walker] = []
    own: list[BrowserContext] = []

    def make(
        options: dict[str, Any] | None = None,
        *,
        context: BrowserContext | None = None,
        url: str = "",
        album: bool = False,
        **more: Any,
    ) -> Walker:
        if context is None:
            context = browser.new_context(**{**(DESKTOP if options is None else options), **more})
            own.append(context)
        watch = Watch(context, LOOPBACK | frozenset(HOSTS))
        walker = Walker(context.new_page(), sandbox, url or server.url, watch)
        if album:
            name = re.sub(r"\W+", "-", request.node.name).strip("-")
            walker.album = SHOTS / "tests" / (name if not made else f"{name}-{len(made)}")
        made.append(walker)
        return walker

    yield make
    for walker in made:
        walker.watch.close()
        walker.page.close()
    for context in own:
        context.close()


@pytest.fixture(scope="session")
def partner() -> Iterator[PartnerSite]:
    """A partner's page on `localhost`: another site than the front end's `127.0.0.1`."""
    with PartnerSite() as site:
        yield site


@pytest.fixture(scope="session")
def framed(sandbox: Sandbox, partner: PartnerSite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A front end that this partner may frame."""
    database = f"sqlite:///{tmp_path_factory.mktemp('framed') / 'onboarding.sqlite3'}"
    with running(sandbox, database, EMBED_ORIGINS=partner.url, UPSTREAM_READ_TIMEOUT="2.5") as started:
        partner.onboarding_url = started.url
        yield started


# -- Sites over HTTPS --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sites]:
    needed(shutil.which("certutil"), "certutil, to trust a certificate of the test's own: package libnss3-tools")
    site = Sites(Certificates.make(tmp_path_factory.mktemp("certificates")))
    yield site
    site.stop()


def needed(found: object, what: str) -> None:
    """Skips with a word where something cannot be had; in CI everything must be there."""
    if not found:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"missing on this machine: {what}")


@pytest.fixture(scope="session")
def secured(sandbox: Sandbox, sites: Sites, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The front end behind the sites' TLS; the partner's pages may frame it, and those below the partner's name
    frame the page of a partner of their own, `wild`."""
    database = f"sqlite:///{tmp_path_factory.mktemp('secured') / 'onboarding.sqlite3'}"
    with running(
        sandbox, database, PUBLIC_URL=sites.origin(FRONT), EMBED_ORIGINS=sites.origin(PARTNER),
        TRUSTED_PROXY_COUNT="1", UPSTREAM_READ_TIMEOUT="2.5",
    ) as started:  # fmt: skip
        sites.front_end = started.port
        row = f"slug='wild', name='Wild', origins={sites.origin('*.' + PARTNER)!r}, wildcards=True"
        started.manage("shell", "-c", f"from onboarding.models import Partner; Partner.objects.create({row})")
        yield started


@pytest.fixture(scope="session")
def worlds(
    playwright: Playwright, executable: str, sites: Sites, secured: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., BrowserContext]]:
    """Browsers that see the sites, by their preferences; what they trust stands in a home of their own."""
    home = tmp_path_factory.mktemp("home")
    sites.certificates.trusted_in(home / ".pki" / "nssdb")
    started: dict[str, BrowserContext] = {}
    with ExitStack() as stack:

        def give(preferences: dict[str, Any], **options: Any) -> BrowserContext:
            key = repr((preferences, options))
            if key not in started:
                started[key] = stack.enter_context(profile(
                    playwright, executable, preferences, env={**os.environ, "HOME": str(home)},
                    proxy={"server": f"http://{sites.proxy}"}, **{**DESKTOP, **options},
                ))  # fmt: skip
            return started[key]

        yield give
