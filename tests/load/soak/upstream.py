"""The platform and a partner's server, in a process of its own: the sandbox, and a desk that tells what was sent and
takes what partners are told.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from onboarding.sandbox.protocol import Reply, Request
from onboarding.sandbox.server import Sandbox
from onboarding.sandbox.web import Site
from tests.faults.harness import ASKED

REVIEW_SECONDS = 24 * 3600.0  # nobody's checks are passed: who hears of that would depend on the moment


class Desk:
    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.told: dict[str, str] = {}  # event → its type: one that is told again counts once
        self.codes = 0

    def answer(self, request: Request) -> Reply:
        if request.method == "POST":
            event = json.loads(request.raw)
            self.told[event["event"]] = event["type"]
            return Reply(200, b"", "text/plain")
        to = request.query.partition("=")[2]
        code = self._code(to.replace("%2B", "+").replace("%40", "@").replace("%20", " "))
        return Reply(200 if code else 404, code.encode(), "text/plain")

    def _code(self, to: str) -> str:
        """The newest, which is near the beginning."""
        with self.sandbox.state.lock:
            return next((message["code"] for message in self.sandbox.state.inbox if message["to"] == to), "")

    def books(self) -> dict[str, dict[str, int]]:
        with self.sandbox.state.lock:
            known = list(self.sandbox.state.customers.values())
            sent = sum(len(moments) for moments in self.sandbox.state.sends.values())
        handed_in = sum(level.submissions for customer in known for level in customer.levels.values())
        return {
            "upstream": {"codes sent": sent, "customers": len(known), "levels handed in": handed_in},
            "webhook": dict(Counter(self.told.values())),
        }


@dataclass(frozen=True)
class Upstream:
    url: str
    desk: int  # its port
    pid: int
    line: Connection

    def books(self) -> dict[str, dict[str, int]]:
        self.line.send("books")
        found: dict[str, dict[str, int]] = self.line.recv()
        return found


def _serve(recipients: list[str], line: Connection) -> None:
    """Whoever is asked for a level is asked for a name alone. Ends with the one who began it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sandbox = Sandbox(port=0, review_seconds=REVIEW_SECONDS, rate_limit=10**9)
    for recipient in recipients:
        sandbox.ask(recipient, ASKED)
    desk = Desk(sandbox)
    site = Site("127.0.0.1", 0, desk.answer)
    sandbox.bind()
    site.start()
    threading.Thread(target=sandbox.serve_forever, daemon=True).start()
    line.send((sandbox.url, site.port))
    with contextlib.suppress(EOFError):
        while line.recv() == "books":
            line.send(desk.books())


@contextlib.contextmanager
def running(recipients: list[str]) -> Iterator[Upstream]:
    context: Any = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(recipients, theirs), daemon=True)
    process.start()
    try:
        url, desk = ours.recv()
        yield Upstream(url, desk, process.pid, ours)
    finally:
        process.terminate()
        process.join()
