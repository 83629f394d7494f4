"""A first page on a slow phone: what is fetched before anything is seen, what moves, how long it takes.

Used by a test, which judges what no busy machine changes, and by `make bench`, which tells the times. Milliseconds are
only worth something beside those of `Bare`: the same bytes in the same requests, with nothing in them to work on.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, CDPSession, Page

from tests.browser.walker import PHONE


@dataclass(frozen=True)
class Connection:
    """As the DevTools protocol takes it: the latency of a request in milliseconds, throughput in kbit/s."""

    latency: int
    down: float
    up: float

    def put_on(self, session: CDPSession) -> None:
        session.send("Network.enable")
        session.send("Network.setCacheDisabled", {"cacheDisabled": True})
        down, up = (int(rate * 1000 / 8) for rate in (self.down, self.up))
        rates = {"downloadThroughput": down, "uploadThroughput": up}
        session.send("Network.emulateNetworkConditions", {"offline": False, "latency": self.latency, **rates})


SLOW_4G = Connection(latency=150, down=1600, up=750)
POOR = Connection(latency=400, down=400, up=400)
SLOWER = 4  # times the time of this machine's processor
QUIET = 400  # milliseconds without a request or a long task: nothing more comes
FORM = "#step form button.primary"

# What cannot be asked for afterwards: long tasks, what moved, what was largest, when the form stood on the screen.
_WATCH = """
window.seen = {shown: 0, largest: [0, "", false], moved: 0, long: []};
const note = (type, each) => {
  new PerformanceObserver((list) => list.getEntries().forEach(each)).observe({type, buffered: true});
};
note("largest-contentful-paint", ({startTime, element}) => {
  seen.largest = [startTime, element?.tagName || "", Boolean(element?.closest("#step"))];
});
note("layout-shift", (entry) => { if (!entry.hadRecentInput) seen.moved += entry.value; });
note("longtask", (entry) => { seen.long.push([entry.startTime, entry.duration]); });
const wait = new MutationObserver(() => {
  const form = document.querySelector(FORM);
  if (!form) return;
  wait.disconnect();
  new IntersectionObserver(([entry], observer) => {
    if (!entry.isIntersecting) return;
    seen.shown = entry.time;
    observer.disconnect();
  }).observe(form);
});
wait.observe(document, {childList: true, subtree: true});
"""

_TOLD = """() => {
  const paint = performance.getEntriesByName("first-contentful-paint")[0];
  const blocking = performance.getEntriesByType("resource").filter((one) => one.renderBlockingStatus === "blocking");
  return {...seen, paint: paint ? paint.startTime : 0, blocking: blocking.map((one) => new URL(one.name).pathname)};
}"""


@dataclass(frozen=True)
class Fetched:
    path: str
    kind: str  # as the DevTools protocol calls it: Document, Stylesheet, Script …
    size: int  # bytes on the line, with the answer's headers
    after: int  # how many answers had to be read, one for another, before it could be asked for
    blocks: bool  # nothing is drawn without it


@dataclass(frozen=True)
class Seen:
    fetched: tuple[Fetched, ...]
    shown: float  # ms from the start of navigation until the form's button stood on the screen
    painted: float
    largest: float
    largest_element: str  # the name of its tag
    in_the_step: bool  # is that a part of the step?
    moved: float  # layout shift, summed up
    blocked: float  # ms that tasks took over 50 ms each, after the first paint

    @property
    def before_paint(self) -> list[Fetched]:
        return [one for one in self.fetched if one.blocks]


def visit(browser: Browser, url: str, connection: Connection = SLOW_4G, slower: int = SLOWER, form: str = FORM) -> Seen:
    """Opens the page on such a phone, with nothing in its cache; `form` finds the button that has to be seen."""
    context = browser.new_context(**PHONE, device_scale_factor=2)
    try:
        page = context.new_page()
        page.add_init_script(_WATCH.replace("FORM", repr(form)))
        session = context.new_cdp_session(page)
        session.send("Emulation.setCPUThrottlingRate", {"rate": slower})
        connection.put_on(session)
        requests = _requests(session)
        page.goto(url, wait_until="load")
        _quiet(page)
        told = page.evaluate(_TOLD)
    finally:
        context.close()
    shown, painted = max(told["shown"], told["paint"]), told["paint"]
    late = [duration - 50 for start, duration in told["long"] if start + duration > painted]
    return Seen(
        _fetched(requests.values(), set(told["blocking"])), shown, painted, *told["largest"],
        moved=told["moved"], blocked=sum(late),
    )  # fmt: skip


def _requests(session: CDPSession) -> dict[str, dict[str, Any]]:
    """By their number, filled while the page loads: the address, who asked for it, the bytes."""
    found: dict[str, dict[str, Any]] = {}

    def asked(event: Any) -> None:
        if not event["request"]["url"].startswith("data:"):
            initiator = event["initiator"]
            frames = initiator.get("stack", {}).get("callFrames") or [{}]
            found[event["requestId"]] = {
                "url": event["request"]["url"], "kind": event["type"], "size": 0,
                "by": frames[0].get("url") or initiator.get("url", ""),
            }  # fmt: skip

    def ended(event: Any) -> None:
        if event["requestId"] in found:
            found[event["requestId"]]["size"] = int(event["encodedDataLength"])

    session.on("Network.requestWillBeSent", asked)
    session.on("Network.loadingFinished", ended)
    return found


def _quiet(page: Page) -> None:
    """Waits until the form stands there and no answer and no long task came for a while."""
    page.wait_for_function("seen.shown > 0")
    page.wait_for_function(
        """(quiet) => performance.now() - Math.max(
          ...performance.getEntriesByType("resource").map((one) => one.responseEnd),
          ...seen.long.map(([start, duration]) => start + duration), seen.shown) > quiet""",
        arg=QUIET,
        polling=100,
    )


def _fetched(requests: Iterable[dict[str, Any]], blocking: set[str]) -> tuple[Fetched, ...]:
    by = {one["url"]: one["by"] for one in requests}

    def after(url: str) -> int:
        return 1 + after(by[url]) if by[url] in by else 0

    return tuple(
        Fetched(path, one["kind"], one["size"], after(one["url"]), one["kind"] == "Document" or path in blocking)
        for one in requests
        for path in [urlsplit(one["url"]).path]
    )


# -- What such a page takes at the least -------------------------------------------------------------------------------

_FORM = (
    '<!doctype html><html lang="en"><meta name="viewport" content="width=device-width, initial-scale=1">'
    '<title>Bare</title><link rel="icon" href="data:,">'
    '{head}<main id="step"><h1>Bare</h1>'
    '<form><input aria-label="One"><button class="primary">Go on</button></form></main>'
)
_TAGS = {"Stylesheet": '<link rel="stylesheet" href="{}">', "Script": '<script src="{}" defer></script>'}
_TYPES = {"Stylesheet": "text/css", "Script": "text/javascript", "Document": "text/html"}


class Bare:
    """Serves a page with one field, which makes the same requests as another page; what fills them up says nothing."""

    def __init__(self, like: Seen) -> None:
        parts = [one for one in like.fetched if one.kind in _TAGS]
        head = "".join(_TAGS[one.kind].format(f"/{i}") for i, one in enumerate(parts))
        (document,) = (one for one in like.fetched if one.kind == "Document")
        self.answers = {f"/{i}": (_TYPES[one.kind], _filled("/*{}*/", one.size)) for i, one in enumerate(parts)}
        self.answers["/"] = (_TYPES["Document"], _filled(_FORM.format(head=head) + "<!--{}-->", document.size))
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self.answers))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def __enter__(self) -> Bare:
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def _filled(text: str, size: int) -> bytes:
    """So many bytes with those of a short header, as hard to press together as what they stand for is already."""
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    room = max(0, size - _HEADER - len(text))
    return text.replace("{}", "".join(Random(size).choices(letters, k=room))).encode()


_HEADER = 150


def _handler(answers: dict[str, tuple[str, bytes]]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            kind, content = answers.get(self.path, ("text/plain", b""))
            self.send_response(200 if self.path in answers else 404)
            self.send_header("Content-Type", kind + "; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args: Any) -> None:
            """Silent."""

    return Handler
