"""What our pages and answers cost the server, beside a constant page of the same size and Django's own form."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from urllib.parse import urlencode

from onboarding.sandbox.server import Sandbox
from tests.load.lines import Line
from tests.load.serving import Measured, Peer, Visitor, allauth, ours, taking_turns
from tests.support import Customer, Server, fresh_email

GETS = 60  # of each page in a round
POSTS = 15
FIRST, FORM = 2.5, 8.0  # bounds
CONSTANT = "constant page, same size, middleware and server"


def lines(sandbox: Sandbox) -> list[Line]:
    # A short time-out: one registration has to stay unknown.
    with ours(sandbox, UPSTREAM_READ_TIMEOUT="1") as server, allauth("default") as peer:
        return [*_pages(server, sandbox, peer), *_answers(server, sandbox)]


def _pages(server: Server, sandbox: Sandbox, peer: Peer) -> list[Line]:
    visitor, measured = Visitor(server.port), Measured(server.workers())
    asked: dict[str, tuple[str, dict[str, str], float | None]] = {
        "first page": ("/", {}, FIRST),
        "first page as fragment": ("/", {"HX-Request": "true"}, None),
    }
    for step, path in _flows(server, sandbox).items():
        form = step in ("password", "verify", "level")
        asked[f"step {step}"] = (path, {}, FORM if form else None)
        asked[f"step {step} as fragment"] = (path, {"HX-Request": "true"}, None)
    found = []

    def cost(path: str, headers: dict[str, str]) -> Callable[[], float]:
        def many() -> None:
            for _ in range(GETS):
                visitor.get(path, headers)

        many()  # warm
        return lambda: measured.per(GETS, many)

    for name, (path, headers, bound) in asked.items():
        size = len(visitor.get(path, headers))
        floor = f"/floor/constant/{size}/"
        median = taking_turns({"mine": cost(path, headers), "floor": cost(floor, headers)})
        found.append(Line(name, f"{CONSTANT} ({size} B)", median["mine"], median["floor"], at_most=bound))
    size = len(visitor.get("/floor/widgets/"))

    def sign_up_page() -> None:
        for _ in range(GETS):
            stranger.get("/accounts/signup/")

    stranger = Visitor(peer.port)
    sign_up_page()
    median = taking_turns(
        {
            "first": cost("/", {}),
            "constant": cost(f"/floor/constant/{size}/", {}),
            "widgets": cost("/floor/widgets/", {}),
            "allauth": lambda: peer.cpu.per(GETS, sign_up_page),
        }
    )
    return [
        *found,
        Line("12 empty fields by Django's widgets", f"{CONSTANT} ({size} B)", median["widgets"], median["constant"]),
        Line("first page", "12 empty fields by Django's widgets", median["first"], median["widgets"]),
        Line("first page", "django-allauth's sign-up page", median["first"], median["allauth"]),
    ]


def _flows(server: Server, sandbox: Sandbox) -> dict[str, str]:
    """A flow on each step: its path."""
    found = {}
    for step in ("password", "verify", "level", "done", "status"):
        customer = Customer(server, sandbox)
        customer.identify(email=fresh_email("hang" if step == "status" else ""))
        if step != "password":
            customer.password()
        if step in ("level", "done", "status"):
            customer.verify()
        if step == "done":
            customer.level()
        assert customer.shown.step == step, (step, customer.shown.step)
        found[step] = customer.flow_url.removeprefix(server.url)
    with closing(sqlite3.connect(server.env["DATABASE_URL"].removeprefix("sqlite:///"))) as database:
        # As if a call were under way for as long as this takes: the page waits for it and asks nothing itself.
        database.execute(
            "UPDATE onboarding_submission SET state = 'sent', sent_at = '2999-01-01' WHERE state = 'unknown'"
        )
        database.commit()
    return found


def _answers(server: Server, sandbox: Sandbox) -> list[Line]:
    """POSTs, each of a customer of its own, up to the redirect."""
    visitor, measured = Visitor(server.port), Measured(server.workers())

    def identify() -> float:
        bodies = []
        for _ in range(POSTS):
            customer = Customer(server, sandbox)
            landing = customer.get("/", channel="email").value("landing")
            fields = {"channel": "email", "account_type": "individual", "country": "GB", "terms": "on"}
            bodies.append(urlencode({"landing": landing, "email": fresh_email(), **fields}).encode())
        return measured.per(POSTS, lambda: [visitor.post("/", body) for body in bodies])

    def verify() -> float:
        ready = []
        for _ in range(POSTS):
            customer = Customer(server, sandbox)
            customer.identify()
            customer.password()
            path = customer.flow_url.removeprefix(server.url) + "verify/"
            ready.append((path, urlencode({"code": customer.code()}).encode()))
        return measured.per(POSTS, lambda: [visitor.post(path, body) for path, body in ready])

    def constant() -> float:
        return measured.per(GETS, lambda: [visitor.get("/floor/constant/5000/") for _ in range(GETS)])

    median = taking_turns({"identify": identify, "verify": verify, "constant": constant}, rounds=5)
    return [
        Line(f"POST {name}", f"{CONSTANT} (5000 B)", median[key], median["constant"], rounds=5)
        for key, name in (("identify", "identify (sends a code)"), ("verify", "verify (registers)"))
    ]
