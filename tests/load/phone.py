"""How soon a visitor with a slow phone sees the form, beside a page of the same requests with nothing in them.

The DevTools protocol delays every request and slows the processor down; connecting costs nothing there, which on a real
line is another two or three round trips. Needs a Chromium; without one there are no lines.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import median

from playwright.sync_api import Browser, sync_playwright

from onboarding.sandbox.server import Sandbox
from tests.browser.slow_phone import FORM, POOR, SLOW_4G, Bare, Connection, Seen, visit
from tests.browser.walker import ARGS
from tests.load.lines import Line, say
from tests.load.serving import allauth, ours
from tests.provide import chromium

ROUNDS = 5
AT_ONCE, BLOCKED = 1000, 50  # bounds, in ms


def lines(sandbox: Sandbox) -> list[Line]:
    executable = chromium()
    if executable is None:
        say("phone: skipped: no Chromium on this machine")
        return []
    with (
        ours(sandbox) as server,
        allauth("default") as peer,
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=executable or None, args=ARGS) as browser,
        Bare(like=visit(browser, server.url + "/")) as bare,
    ):
        pages = {"mine": (server.url + "/", FORM), "bare": (bare.url, FORM)}
        stranger = {"peer": (peer.url + "/accounts/signup/", "form [type=submit]")}
        return [
            *_on("Slow 4G", _visits(browser, pages | stranger, SLOW_4G), bound=AT_ONCE),
            *_on("400 ms, 400 kbit/s", _visits(browser, pages | stranger, POOR)),
        ]


def _visits(browser: Browser, pages: dict[str, tuple[str, str]], connection: Connection) -> dict[str, list[Seen]]:
    """Each page as often, the pages taking turns."""
    found: dict[str, list[Seen]] = {name: [] for name in pages}
    for _ in range(ROUNDS):
        for name, (url, form) in pages.items():
            found[name].append(visit(browser, url, connection, form=form))
    return found


def _on(line: str, seen: dict[str, list[Seen]], bound: float | None = None) -> list[Line]:
    def middle(of: Callable[[Seen], float], name: str = "mine") -> float:
        return median(of(one) for one in seen[name])

    shown = middle(lambda one: one.shown)
    where = f"slow phone, {line}"
    found = [
        Line(f"{where}: the form is seen", "", shown, unit="ms", at_most=bound, rounds=ROUNDS),
        *(
            Line(f"{where}: the form is seen", peer, shown, middle(lambda one: one.shown, name), "ms", rounds=ROUNDS)
            for name, peer in (("bare", "same requests, nothing in them"), ("peer", "django-allauth's sign-up page"))
        ),
    ]
    if bound is None:
        return found
    return [
        *found,
        Line(f"{where}: largest paint", "", middle(lambda one: one.largest), unit="ms", at_most=bound, rounds=ROUNDS),
        Line(f"{where}: time blocked", "", middle(lambda one: one.blocked), unit="ms", at_most=BLOCKED, rounds=ROUNDS),
        Line(f"{where}: layout shift", "", max(one.moved for one in seen["mine"]), unit="", at_most=0, rounds=ROUNDS),
    ]
