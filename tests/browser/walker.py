"""A customer with a real browser: how it is started, what is watched meanwhile, and the walk through the steps.

Used by the tests and by the pictures of the README. Steps are answered by the labels that people read.
"""

from __future__ import annotations

import json
import re
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from playwright.sync_api import BrowserContext, FrameLocator, Page, Playwright, expect
from playwright.sync_api import Error as PlaywrightError

from onboarding.sandbox.server import Sandbox
from tests.support import picture

SHOTS = Path(__file__).resolve().parent / "shots"
PATIENCE = 15_000  # milliseconds for a step to arrive; two cores are shared with the servers
expect.set_options(timeout=PATIENCE)

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Whatever a page asks for, nothing leaves the machine.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
]
# Playwright turns the partitioning of third-party storage off, as no user's browser does. The last list given wins:
# this one names no partitioning. `test_the_frame_world_is_what_it_says` proves the effect.
PARTITIONED = "--disable-features=HttpsUpgrades,MediaRouter,OptimizationHints,PaintHolding,LensOverlay"

# Profile preferences. Debian's Chromium blocks third-party cookies when a profile says nothing, so each says it.
COOKIES_ALLOWED = {"profile": {"cookie_controls_mode": 0}}
THIRD_PARTY_BLOCKED = {"profile": {"cookie_controls_mode": 1}}
ALL_BLOCKED = {"profile": {"cookie_controls_mode": 0, "default_content_setting_values": {"cookies": 2}}}
# A content setting, as a person would make it: Playwright's own switch sometimes misses <noscript> inside a frame.
NO_SCRIPT = {"profile": {"cookie_controls_mode": 0, "default_content_setting_values": {"javascript": 2}}}

PHONE_AGENT = (
    "Mozilla/5.0 (Linux; Android 14; Pixel 7) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/140.0.0.0 Mobile Safari/537.36"
)
PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "is_mobile": True,
    "has_touch": True,
    "user_agent": PHONE_AGENT,
    "locale": "en-GB",
}
NARROW: dict[str, Any] = {**PHONE, "viewport": {"width": 320, "height": 640}}
DESKTOP: dict[str, Any] = {"viewport": {"width": 1280, "height": 800}, "locale": "en-GB"}

# Chromium tells a violation as a console error too; this names it even where the page's own console is silent.
_TELL_VIOLATIONS = """
document.addEventListener("securitypolicyviolation", (event) =>
  console.error(`content policy: ${event.effectiveDirective} ${event.blockedURI}`));
"""

# Whoever writes anything down is named, even when nothing of it is left. A control page means to, and says so; Django's
# console keeps the operator's choice of colours.
_TELL_WRITES = r"""
if (!/^\/(control|admin)\//.test(location.pathname)) {
  const kinds = [["Storage", "setItem"], ["IDBFactory", "open"], ["CacheStorage", "open"]];
  for (const [kind, name] of kinds) {
    const {prototype} = window[kind] || {prototype: {}};
    const real = prototype[name];
    prototype[name] = function (key, ...more) {
      console.error(`written: ${this.constructor.name}.${name} ${key}`);
      return real.call(this, key, ...more);
    };
  }
  const {set, ...cookie} = Object.getOwnPropertyDescriptor(Document.prototype, "cookie");
  Object.defineProperty(Document.prototype, "cookie", {...cookie, set(text) {
    console.error(`written: cookie ${text}`);
    set.call(this, text);
  }});
}
"""


@contextmanager
def profile(
    playwright: Playwright, executable: str, preferences: dict[str, Any], **options: Any
) -> Iterator[BrowserContext]:
    """A browser of its own whose profile holds these preferences."""
    with tempfile.TemporaryDirectory(prefix="onboarding-profile-", ignore_cleanup_errors=True) as folder:
        (Path(folder) / "Default").mkdir()
        (Path(folder) / "Default" / "Preferences").write_text(json.dumps(preferences))
        context = playwright.chromium.launch_persistent_context(
            folder, executable_path=executable or None, headless=True, args=[*ARGS, PARTITIONED], **options
        )
        try:
            yield context
        finally:
            context.close()


class Watch:
    """What happens in a context beside the steps: console errors, policy violations, foreign and failed requests."""

    def __init__(self, context: BrowserContext, home: frozenset[str] = LOOPBACK) -> None:
        self.context = context
        self.home = home
        self.console: list[str] = []
        self.warnings: list[str] = []
        self.foreign: list[str] = []
        self.failed: list[str] = []
        self.refusals: list[int] = []
        self._responses: list[Any] = []
        self._handlers = {
            "console": self._on_console,
            "weberror": lambda error: self.console.append(f"uncaught: {error.error}"),
            "request": self._on_request,
            "requestfailed": self._on_failed,
            "response": self._on_response,
        }
        context.add_init_script(_TELL_VIOLATIONS + _TELL_WRITES)
        for name, handler in self._handlers.items():
            context.on(name, handler)  # type: ignore[call-overload]

    def close(self) -> None:
        for name, handler in self._handlers.items():
            self.context.remove_listener(name, handler)

    def _on_console(self, message: Any) -> None:
        if message.type == "warning":
            self.warnings.append(message.text)
        # The browser logs every answer of 400 and more; those are kept as `refusals`.
        if message.type == "error" and not message.text.startswith("Failed to load resource: the server responded"):
            self.console.append(message.text)

    def _on_request(self, request: Any) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "blob", "about") and parts.hostname not in self.home:
            self.foreign.append(request.url)

    def _on_failed(self, request: Any) -> None:
        self.failed.append(f"{request.method} {urlsplit(request.url).path} {request.failure}")

    def _on_response(self, response: Any) -> None:
        self._responses.append(response)
        if response.status >= 400:
            self.refusals.append(response.status)

    def cookies_set(self) -> list[str]:
        """Every Set-Cookie that a response carried, whether the browser took it or not."""
        found = []
        for response in self._responses:
            with suppress(PlaywrightError):  # the page of the response is gone
                found += [h["value"] for h in response.headers_array() if h["name"].lower() == "set-cookie"]
        return found

    def is_clean(self, *, refusals: tuple[int, ...] = (), aborted: bool = False) -> None:
        """Nothing went wrong; `refusals` are the statuses that the journey meant to get."""
        failed = [line for line in self.failed if not (aborted and "ERR_ABORTED" in line)]
        assert (self.console, self.foreign, failed) == ([], [], [])
        assert set(self.refusals) <= set(refusals), self.refusals
        assert self.cookies_set() == []
        assert self.context.cookies() == []


def kept(page: Page, *, throws: bool = False, host: str = "127.0.0.1") -> None:
    """Nothing is kept in cookies or storage by any of our pages; with `throws` storage is really out of reach."""
    look = """async () => {
        const ways = {
            cookie: () => document.cookie,
            localStorage: () => Object.keys(window.localStorage),
            indexedDB: async () => (await indexedDB.databases()).map(({name}) => name),
            caches: async () => typeof caches === "undefined" ? [] : caches.keys(),
        };
        const found = {};
        for (const [name, look] of Object.entries(ways)) {
            try { found[name] = await look(); } catch (error) { found[name] = "throws"; }
        }
        return found; }"""
    nothing = "throws" if throws else []
    frames = [frame for frame in page.frames if urlsplit(frame.url).hostname == host]
    assert frames, "no page of ours is shown"
    for frame in frames:
        assert frame.evaluate(look) == {
            "cookie": "", "localStorage": nothing, "indexedDB": nothing, "caches": nothing
        }  # fmt: skip


@dataclass
class Walker:
    """Answers the steps in a page, or in the frame inside it."""

    page: Page
    sandbox: Sandbox
    url: str
    watch: Watch
    album: Path | None = None  # a photograph of every step reached goes here
    root: Page | FrameLocator = field(init=False)
    to: str = ""  # the identifier given
    words: Mapping[str, str] = field(default_factory=dict)  # our texts in the page's language, if it is not English
    _taken: int = 0

    def __post_init__(self) -> None:
        self.root = self.page

    # -- Looking -------------------------------------------------------------------------------------------------------

    @property
    def step(self) -> Any:
        return self.root.locator("#step")

    @property
    def summary(self) -> Any:
        return self.root.locator("#error-summary")

    @property
    def reference(self) -> str:
        return self.step.get_attribute("data-reference") or ""

    @property
    def flow_url(self) -> str:
        return re.sub(r"(/f/[^/?]+/).*", r"\1", self.page.url)

    def at(self, step: str, **data: str) -> Walker:
        """Waits for the step; `problem="exists"` and the like for its other data."""
        expect(self.step).to_have_attribute("data-step", step)
        for name, value in data.items():
            expect(self.step).to_have_attribute(f"data-{name}", value)
        if self.album:
            self.photograph("-".join([step, *data.values()]))
        return self

    def photograph(self, name: str) -> None:
        if self.album:
            self.album.mkdir(parents=True, exist_ok=True)
            self._taken += 1
            # A whole page with a foreign frame in it loses the next click: the browser's map of frames is stale then.
            whole = self.root is self.page
            self.page.screenshot(path=self.album / f"{self._taken:02}-{name}.png", full_page=whole)

    def field(self, label: str) -> Any:
        return self.root.get_by_label(self.words.get(label, label), exact=True)

    def error(self, label: str) -> Any:
        """The text beside a field, found as assistive technology finds it."""
        names = (self.field(label).get_attribute("aria-describedby") or "").split()
        return self.root.locator(f"#{next(name for name in names if name.endswith('-error'))}")

    def entry(self) -> dict[str, Any]:
        """The one registration that the upstream made of this walk."""
        found = [one for one in self.sandbox.registrations() if one["body"]["loginName"] == self.to]
        assert len(found) == 1, f"{len(found)} registrations"
        return found[0]

    def application(self) -> dict[str, str]:
        """Element code → value of the one level that the upstream got."""
        (found,) = [a for a in self.sandbox.applications() if a["customerNo"] == self.entry()["customerNo"]]
        return {e["elementCode"]: e["elementValue"] for e in found["body"]["elementList"]}

    def code(self) -> str:
        """The newest code that the sandbox sent to this customer."""
        for message in self.sandbox.inbox():
            if message["to"].split(" ")[-1] == self.to:
                return str(message["code"])
        raise AssertionError("no code was sent")

    def wrong_code(self) -> str:
        return "000001" if self.code() != "000001" else "000002"

    # -- Walking -------------------------------------------------------------------------------------------------------

    def open(self, path: str = "/", **query: str) -> Walker:
        self.page.goto(self.url + path + (f"?{urlencode(query)}" if query else ""))
        return self

    def inside(self, selector: str = "iframe") -> Walker:
        """From now on in the frame of the page."""
        self.root = self.page.frame_locator(selector)
        return self

    def press(self, name: str) -> Walker:
        self.root.get_by_role("button", name=self.words.get(name, name), exact=True).click()
        return self

    def follow(self, name: str) -> Walker:
        self.root.get_by_role("link", name=self.words.get(name, name), exact=True).click()
        return self

    def unfold(self, name: str) -> Walker:
        """Opens the `help` or the `delete` part."""
        self.root.locator(f"details.{name} > summary").click()
        return self

    def fill_identity(self, *, email: str = "", phone: str = "", country: str = "United Kingdom") -> Walker:
        if phone and not self.field("Phone number").count():
            self.follow("Phone")
            expect(self.field("Phone number")).to_be_visible()
        self.field("Country you live in").select_option(label=self.words.get(country, country))
        if phone:
            self.field("Phone number").fill(phone)
        else:
            self.field("E-mail address").fill(email)
        self.to = phone or email
        return self

    def identify(self, *, email: str = "", phone: str = "", country: str = "United Kingdom") -> Walker:
        self.at("identify").fill_identity(email=email, phone=phone, country=country)
        self.root.get_by_role("checkbox").check()
        return self.press("Continue").at("password")

    def password(self, password: str = "") -> Walker:
        if password:
            self.field("Password").fill(password)
            return self.press("Continue").at("verify")
        return self.press("Skip for now").at("verify")

    def verify(self, code: str = "") -> Walker:
        self.field("Code").fill(code or self.code())
        return self.press("Open the account")

    def register(self, *, password: str = "", email: str = "", phone: str = "") -> Walker:
        """From the open first page to the press of the button that registers."""
        return self.identify(email=email, phone=phone).password(password).verify()

    def fill_document(self, kind: str = "Passport", number: str = "E12345678", *pictures: str) -> Walker:
        self.field("Kind of document").select_option(label=self.words.get(kind, kind))
        self.field("Number of the document").fill(number)
        show = self.root.get_by_role("button", name="Show which pictures are needed", exact=True)
        if show.count():  # without script
            show.click()
        for label in pictures or ("Passport, photo page",):
            self.attach(label)
        return self

    def attach(self, label: str, name: str = "passport.png") -> Walker:
        self.field(label).set_input_files({"name": name, "mimeType": "image/png", "buffer": picture()})
        return self

    def fill_level(self) -> Walker:
        self.field("Full name").fill("Ann Example")
        self.field("Date of birth").fill("1990-05-17")
        return self.fill_document()

    def level(self) -> Walker:
        self.at("level", level="level_1").fill_level()
        return self.press("Send")


# -- Controls: pages that show what a browser's setting really does ----------------------------------------------------


class ControlSite:
    """Answers for 127.0.0.1 and for localhost, two sites. Each page tells what the browser let it do."""

    def __init__(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Control)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    def framed(self, path: str) -> str:
        """A page of the other site with this page in a frame."""
        return self.url("/parent?" + urlencode({"src": self.url(path)}), "localhost")

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Control(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        page = {
            "/parent": lambda: f'<iframe title="control" src="{parse_qs(parts.query)["src"][0]}"></iframe>',
            "/cookie": lambda: f"<p id=cookie>{self.headers.get('Cookie', '')}</p>",
            "/script": lambda: (
                "<p id=script>off</p><script>document.getElementById('script').textContent='on'</script>"
                "<noscript><p id=noscript>shown</p></noscript>"
            ),
            "/storage": lambda: (
                "<p id=storage></p><script>let told;try{localStorage.setItem('a','1');told=localStorage.getItem('a');"
                "localStorage.clear()}catch(error){told=error.name}"
                "document.getElementById('storage').textContent=told</script>"
            ),
        }.get(parts.path)
        self.send_response(200 if page else 204)
        if parts.path == "/cookie":
            self.send_header("Set-Cookie", "control=1; Path=/cookie; SameSite=None; Secure")
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        if page:
            self.wfile.write(f"<!doctype html><title>control</title>{page()}".encode())

    def log_message(self, *args: Any) -> None:
        """Silent."""
