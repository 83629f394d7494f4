"""A partner who reads docs/embedding.md and nothing else: the code printed there, in a page of another site."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import BrowserContext, Page, Request, expect

from onboarding import embedding
from onboarding.sandbox.server import Sandbox
from tests.browser.conftest import Walk
from tests.browser.walker import NO_SCRIPT, THIRD_PARTY_BLOCKED, Walker
from tests.docs import block
from tests.support import Server, fresh_email, running

pytestmark = pytest.mark.browser

Profiles = Callable[[dict[str, Any]], BrowserContext]


class Site:
    """A web site on `localhost`, another site than the front end's `127.0.0.1`; a page is what a test puts there."""

    def __init__(self) -> None:
        self.body, self.headers = "", {}
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                for name, value in {"Content-Type": "text/html; charset=utf-8", **site.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                page = f'<!doctype html><html lang="en"><title>Acme</title><link rel="icon" href="data:,">{site.body}'
                self.wfile.write(page.encode())

            def log_message(self, *_args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://localhost:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def shows(self, *parts: str, **headers: str) -> None:
        self.body, self.headers = "\n".join(parts), {name.replace("_", "-"): value for name, value in headers.items()}

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    made = Site()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def front(sandbox: Sandbox, site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A front end whose operator has added this site as the partner of the documentation."""
    database = f"sqlite:///{tmp_path_factory.mktemp('documented') / 'onboarding.sqlite3'}"
    with running(sandbox, database, UPSTREAM_READ_TIMEOUT="2.5", PASSWORD_STEP="optional") as server:
        code = f"from onboarding.models import Partner; Partner(slug='acme', name='Acme', origins={site.url!r}).save()"
        server.manage("shell", "-c", code)
        yield server


@dataclass
class Seen:
    """What a page's console says, and what the browser asks the front end for."""

    front: str
    lines: list[str] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)

    def watch(self, page: Page) -> None:
        page.on("console", lambda message: self.lines.append(message.text))
        page.on("request", self._keep)

    def said(self, walker: Walker, start: str) -> list[str]:
        """The lines that begin so, once there are any."""
        for _ in range(200):
            found = [line for line in self.lines if line.startswith(start)]
            if found:
                return found
            walker.page.wait_for_timeout(50)
        raise AssertionError(f"nobody said {start!r}: {self.lines}")

    def _keep(self, request: Request) -> None:
        if request.url.startswith(self.front):
            self.requests.append(request)


@pytest.fixture
def visit(walk: Walk, profiles: Profiles, site: Site, front: Server) -> Callable[..., tuple[Walker, Seen]]:
    """Opens the site's page where third-party cookies are blocked, and goes into the frame."""

    def go(query: str = "", preferences: dict[str, Any] = THIRD_PARTY_BLOCKED) -> tuple[Walker, Seen]:
        walker, seen = walk(context=profiles(preferences), url=site.url), Seen(front.url)
        seen.watch(walker.page)
        walker.page.goto(f"{site.url}/open-an-account{query}")
        return walker.inside(), seen

    return go


def policy(front: str) -> str:
    """The lines of the documentation, added to a policy that allows nothing but the listeners in the page."""
    lines = " ".join(block("", "frame-src", front=front).split())
    return "default-src 'none'; img-src data:; " + lines.replace("script-src", "script-src 'unsafe-inline'", 1)


def test_the_snippet_and_the_listener_work_on_the_first_try_under_the_documented_policy(
    visit: Callable[..., tuple[Walker, Seen]], site: Site, front: Server
) -> None:
    listener = block("html", "onboarding:registered", front=front.url)
    snippet = block("html", "data-onboarding data-partner", front=front.url)
    site.shows(listener, snippet, Content_Security_Policy=policy(front.url))
    walker, seen = visit("?UTM_Source=newsletter&utm_campaign=autumn&utm_campaign=second")
    walker.register(email=fresh_email(), password="correct horse battery").level().at("done")
    number, reference = walker.entry()["customerNo"], walker.reference
    assert seen.said(walker, "done")[-1] in (f"done {reference} passed", f"done {reference} in_review")
    assert seen.said(walker, "registered") == [f"registered {reference} {number}"]
    body = walker.entry()["body"]
    assert (body["utmSource"], body["utmCampaign"], body["lang"]) == ("newsletter", "autumn", "en-US")
    walker.watch.is_clean()


def test_the_documented_attributes_choose_theme_language_and_values(
    visit: Callable[..., tuple[Walker, Seen]], site: Site, front: Server
) -> None:
    snippet = block("html", "data-onboarding data-partner", front=front.url)
    chosen = 'data-channel="phone" data-utm-source="own" data-utm-term="" data-title="Konto" data-theme="light"'
    site.shows(snippet.replace("data-onboarding", f"{chosen} data-onboarding"), block("html", "function dark"))
    walker, _seen = visit("?utm_source=page&utm_term=page&utm_medium=page")
    expect(walker.field("Phone number")).to_be_visible()
    source = walker.page.locator("iframe").get_attribute("src") or ""
    query = parse_qs(urlsplit(source).query, keep_blank_values=True)
    assert (query["utm_source"][0], query["utm_term"][0], query["utm_medium"][0]) == ("own", "", "page")
    assert walker.page.locator("iframe").get_attribute("title") == "Konto"
    inner = walker.root.locator("html")
    expect(inner).to_have_attribute("data-theme", "light")
    walker.page.evaluate("dark(true)")
    expect(inner).to_have_attribute("data-theme", "dark")
    walker.page.evaluate("document.querySelector('[data-onboarding]').dataset.lang = 'es'")
    expect(inner).to_have_attribute("lang", "es")
    expect(inner).to_have_attribute("data-theme", "dark")  # told anew to the page that came
    landing = walker.root.locator("form a[href*=touch], nav a[href*=touch]").first.get_attribute("href") or ""
    kept = parse_qs(landing.lstrip("?"))
    assert {key: kept[key] for key in kept if key.startswith("utm_")} == {"utm_source": ["own"], "utm_medium": ["page"]}


def test_the_documented_pinned_version_runs_with_its_hash(
    visit: Callable[..., tuple[Walker, Seen]], site: Site, front: Server
) -> None:
    pinned = block("html", "integrity", front=front.url)
    assert f"/embed/{embedding.EMBED_VERSION}.js" in pinned
    script = embedding.embed_script(embedding.EMBED_VERSION)
    assert script is not None
    pinned = pinned.replace("sha384-…", embedding.integrity(script))
    site.shows('<div data-onboarding data-partner="acme"></div>', pinned)
    visit()[0].at("identify")


def test_the_documented_frame_without_the_script_tells_and_grows(
    visit: Callable[..., tuple[Walker, Seen]], site: Site, front: Server
) -> None:
    site.shows(block("html", "<iframe", front=front.url))
    walker, seen = visit()
    walker.register(email=fresh_email(), password="correct horse battery").level().at("done")
    walker.page.wait_for_function("() => document.querySelector('iframe').height !== '900'")
    assert walker.entry()["body"]["utmSource"] == "newsletter"
    assert seen.said(walker, f"done {walker.reference}")
    expect(walker.root.locator("html")).to_have_attribute("data-theme", "light")
    walker.watch.is_clean()


def test_the_documented_frame_works_with_javascript_off(
    visit: Callable[..., tuple[Walker, Seen]], site: Site, front: Server
) -> None:
    site.shows(block("html", "<iframe", front=front.url))
    walker, _seen = visit(preferences=NO_SCRIPT)
    walker.register(email=fresh_email()).at("level")
    assert walker.entry()["body"]["utmSource"] == "newsletter"


def test_the_documented_sandbox_is_enough(visit: Callable[..., tuple[Walker, Seen]], site: Site, front: Server) -> None:
    flags = block("", "allow-same-origin").strip()
    site.shows(block("html", "<iframe", front=front.url).replace("<iframe", f'<iframe sandbox="{flags}"'))
    walker, seen = visit()
    expect(walker.at("identify").root.locator("#frame-help")).to_be_hidden()
    walker.register(email=fresh_email()).at("level")
    assert not [line for line in seen.lines if "lacks" in line]


# -- Only what the documentation says ----------------------------------------------------------------------------------

MARKS = ("leaked.person", "leaked-token", "leaked-session", "leaked-fragment", "leaked-path")
QUERY = "/leaked-path?email=leaked.person@example.org&token=leaked-token&utm_source=told-source&session=leaked-session"


def everything_kept(server: Server) -> str:
    """Every row of every table, as text, and the log."""
    with contextlib.closing(sqlite3.connect(server.env["DATABASE_URL"].removeprefix("sqlite:///"))) as database:
        rows = "\n".join(database.iterdump())
    files = Path(server.env["DATABASE_URL"].removeprefix("sqlite:///")).parent.glob("*.sqlite3*")
    return rows + server.log.read_text() + "".join(file.read_bytes().decode("latin-1") for file in files)


def marks_in(text: str) -> list[str]:
    return [mark for mark in MARKS if mark in text]


@pytest.mark.parametrize("referrer", ["", "unsafe-url"])
def test_of_the_partners_address_only_the_values_of_campaigns_get_anywhere(
    visit: Callable[..., tuple[Walker, Seen]], site: Site, front: Server, referrer: str
) -> None:
    """Also from a page that gives its whole address away: it stands in a header of the browser's, and stays there."""
    snippet = block("html", "data-onboarding data-partner", front=front.url)
    site.shows(snippet, **({"Referrer_Policy": referrer} if referrer else {}))
    walker, seen = visit(QUERY + "#leaked-fragment")
    assert walker.page.locator("iframe").get_attribute("src") == (f"{front.url}/p/acme/?lang=en&utm_source=told-source")
    walker.register(email=fresh_email(), password="correct horse battery").level().at("done")

    assert len(seen.requests) > 8
    referrers = set()
    for request in seen.requests:
        headers = dict(request.all_headers())
        referrers.add(headers.pop("referer", ""))
        sent = request.post_data_buffer or b""
        assert marks_in(f"{request.url} {json.dumps(headers)} {sent.decode('latin-1')}") == []
    given_away = {mark for text in referrers for mark in marks_in(text)}
    assert given_away == (set(MARKS) - {"leaked-fragment"} if referrer else set())
    assert f"{site.url}/" in referrers or referrer

    kept = everything_kept(front)
    assert "told-source" in kept
    assert marks_in(kept) == []
    assert "told-source" not in front.log.read_text()
    assert walker.entry()["body"]["utmSource"] == "told-source"
    assert (
        marks_in(json.dumps([walker.sandbox.registrations(), walker.sandbox.calls(), walker.sandbox.applications()]))
        == []
    )
