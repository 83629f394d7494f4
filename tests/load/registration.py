"""What a complete registration costs the server's processes, beside a complete sign-up with django-allauth.

Ours has five more requests in it, and two calls to the upstream. What the upstream, the visitor and the sending of
e-mails cost is counted on neither side.
"""

from __future__ import annotations

import re
import secrets

import requests

from onboarding.sandbox.server import Sandbox
from tests.load.lines import Line
from tests.load.serving import Measured, Peer, allauth, ours, taking_turns
from tests.support import Customer, Server

ROUNDS = 5
JOURNEYS = {"ours": 20, "slow": 4, "fast": 12}  # in a round


def lines(sandbox: Sandbox) -> list[Line]:
    with ours(sandbox) as server, allauth("default") as slow, allauth("fast") as fast:
        measured = Measured(server.workers())
        _register(server, sandbox, JOURNEYS["ours"])
        _sign_up(slow, 1)
        _sign_up(fast, JOURNEYS["fast"])
        median = taking_turns(
            {
                "ours": lambda: measured.per(JOURNEYS["ours"], lambda: _register(server, sandbox, JOURNEYS["ours"])),
                "slow": lambda: slow.cpu.per(JOURNEYS["slow"], lambda: _sign_up(slow, JOURNEYS["slow"])),
                "fast": lambda: fast.cpu.per(JOURNEYS["fast"], lambda: _sign_up(fast, JOURNEYS["fast"])),
            },
            ROUNDS,
        )
    name = "complete registration"
    return [
        Line(name, "django-allauth, its default hasher", median["ours"], median["slow"], at_most=1 / 25, rounds=ROUNDS),
        Line(name, "django-allauth, a fast hasher", median["ours"], median["fast"], at_most=1 / 3, rounds=ROUNDS),
    ]


def _register(server: Server, sandbox: Sandbox, times: int) -> None:
    """From the first page to the first level, by every page between them."""
    for _ in range(times):
        customer = Customer(server, sandbox)
        customer.register()
        assert customer.shown.step == "level", customer.shown.step


def _sign_up(peer: Peer, times: int) -> None:
    """The page, the form sent, the page that asks for the code, the code sent, the page after it."""
    for _ in range(times):
        session = requests.Session()
        name, password = f"ann{secrets.token_hex(6)}@example.org", secrets.token_urlsafe(16)
        page = session.get(peer.url + "/accounts/signup/", timeout=30)
        page = _send(session, page, email=name, password1=password, password2=password)
        page = _send(session, page, code=peer.code(name))
        assert page.text == "signed up", page.text[:2000]


def _send(session: requests.Session, page: requests.Response, **fields: str) -> requests.Response:
    found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text)
    assert found, page.text[:500]
    return session.post(page.url, {"csrfmiddlewaretoken": found.group(1), **fields}, timeout=30)
