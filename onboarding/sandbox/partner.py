"""A partner's web site for a first look and for the browser tests: "Acme Markets" embeds the sign-up page.

It listens on loopback under both address families, because it is opened as `localhost`: another site than the
front end's `127.0.0.1`, so the frame in it really is cross-site. Imports nothing of this project.
"""

from __future__ import annotations

import re
from html import escape
from types import TracebackType
from urllib.parse import parse_qsl, urlencode

from .protocol import Reply, Request
from .web import Site

UTM = ("utm_source", "utm_medium", "utm_campaign", "utm_content", "utm_term", "utm_id")
_LANG = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")

_STYLE = """
:root { --ink: #14213d; --gold: #b8860b; --paper: #fbfaf6; }
* { box-sizing: border-box; }
body { margin: 0; font: 17px/1.6 Georgia, serif; color: var(--ink); background: var(--paper); }
header { background: var(--ink); color: #fff; padding: 1rem max(1rem, calc(50vw - 30rem)); }
header strong { letter-spacing: .08em; }
main { max-width: 60rem; margin: 0 auto; padding: 2rem 1rem 4rem; }
h1 { font-size: 2rem; line-height: 1.2; margin: 0 0 .5rem; }
.frame { margin: 1.5rem 0; background: #fff; border: 1px solid #ddd; border-radius: .5rem; overflow: hidden; }
.frame iframe { display: block; border: 0; }
[data-onboarding=""] { min-height: 1120px; } /* until the script is there: nothing below moves */
h2 { font-size: 1rem; color: #6b5410; }
pre { background: #14213d0d; padding: .8rem; font-size: .85rem; min-height: 3rem; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; }
footer { color: #555; font-size: .9rem; }
"""

# Events bubble up from the div. textContent, never innerHTML: what a frame sends is not ours.
_SCRIPT = """
(function () {
  var types = ["ready", "resize", "step", "problem", "registered", "submitted", "done", "closed"];
  types.forEach(function (type) {
    document.addEventListener("onboarding:" + type, function (event) {
      var line = event.type + " " + JSON.stringify(event.detail) + "\\n";
      document.getElementById("events").textContent += line;
    });
  });
})();
"""


class PartnerSite:
    """The same `start`, `stop` and `url` as the sandbox has."""

    def __init__(
        self,
        port: int = 0,
        onboarding_url: str = "http://127.0.0.1:8000",
        host: str = "127.0.0.1",
    ) -> None:
        self.onboarding_url = onboarding_url.rstrip("/")
        self._site = Site(host, port, self._answer)
        self._twin: Site | None = None

    @property
    def url(self) -> str:
        """`localhost` on loopback: by that name it is another site than `127.0.0.1`."""
        host = "localhost" if self._site.host == "127.0.0.1" else self._site.host
        return f"http://{host}:{self._site.port}"

    def start(self) -> PartnerSite:
        self._site.start()
        self._start_twin()
        return self

    def serve_forever(self) -> None:
        self._site.bind()
        self._start_twin()
        self._site.serve_forever()

    def stop(self) -> None:
        self._site.stop()
        if self._twin is not None:
            self._twin.stop()
            self._twin = None

    def __enter__(self) -> PartnerSite:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _start_twin(self) -> None:
        """The same port on ::1, for browsers that try it first; done without where IPv6 is missing."""
        if self._site.host != "127.0.0.1" or self._twin is not None:
            return
        twin = Site("::1", self._site.port, self._answer)
        try:
            twin.start()
        except OSError:
            return
        self._twin = twin

    def _answer(self, request: Request) -> Reply:
        query = dict(parse_qsl(request.query))
        if request.method == "GET" and request.path == "/":
            return _page("Open an account in minutes", self._embed(query))
        if request.method == "GET" and request.path == "/plain":
            return _page("Open an account, plainly", self._iframe(query))
        return Reply(404, b"Not found", "text/plain; charset=utf-8")

    def _embed(self, query: dict[str, str]) -> str:
        lang = query.get("lang", "")
        attribute = f' data-lang="{lang}"' if _LANG.fullmatch(lang) else ""
        return (
            f'<div data-onboarding data-partner="default"{attribute}></div>'
            f'<script src="{escape(self.onboarding_url)}/embed.js" async></script>'
        )

    def _iframe(self, query: dict[str, str]) -> str:
        utm = urlencode({name: query[name] for name in UTM if name in query})
        source = f"{self.onboarding_url}/p/default/?{utm}"
        return (
            f'<iframe src="{escape(source)}" title="Open an account" '
            'allow="camera; otp-credentials; clipboard-write" width="100%" height="900"></iframe>'
        )


def _page(title: str, frame: str) -> Reply:
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Acme Markets</title><style>{_STYLE}</style></head><body>"
        "<header><strong>ACME MARKETS</strong></header><main>"
        f"<h1>{title}</h1>"
        "<p>Acme Markets is a made-up partner. The form below is served by somebody else, in a frame.</p>"
        # The listeners stand before the frame, so that its first event is not missed.
        f"<script>{_SCRIPT}</script>"
        f'<div class="frame">{frame}</div>'
        '<h2>What the frame told this page</h2><pre id="events"></pre>'
        '<footer>See also: <a href="/">with the script</a>, <a href="/plain">as a bare frame</a>.</footer>'
        "</main></body></html>"
    )
    headers = (("Cache-Control", "no-store"), ("Referrer-Policy", "strict-origin-when-cross-origin"))
    return Reply(200, page.encode(), "text/html; charset=utf-8", headers)
