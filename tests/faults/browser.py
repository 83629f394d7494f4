"""A lean browser without script: one page after the other from whichever server answers, and what no page may say."""

from __future__ import annotations

import contextlib
import html
import http.client
import json
import random
import re
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote, urlencode, urlsplit

from tests.faults.plan import Kind, Plan

_MAIN = re.compile(r'<main id="step"[^>]*>')
_DATA = re.compile(r'\sdata-(\w+)="([^"]*)"')
_INPUT = re.compile(r'<input[^>]*\sname="(\w+)"[^>]*\svalue="([^"]*)"')

LOST_ANSWERS = 0.05  # share of the answers to a submit that never reach the customer


class Wrong(AssertionError):
    """A customer saw what nobody may see."""


@dataclass(frozen=True)
class Page:
    status: int
    path: str
    text: str

    @property
    def data(self) -> dict[str, str]:
        main = _MAIN.search(self.text)
        return {name: html.unescape(value) for name, value in _DATA.findall(main[0])} if main else {}

    @property
    def step(self) -> str:
        """The step, or the problem shown instead."""
        data = self.data
        return data.get("problem") or data.get("step", "")

    @property
    def home(self) -> str:
        """The flow's own address, whatever was posted to."""
        return re.sub(r"^(/f/[^/]+/).*", r"\1", self.path)

    def value(self, name: str) -> str:
        return next((html.unescape(value) for found, value in _INPUT.findall(self.text) if found == name), "")


class World(Protocol):
    """What the harness offers to its customers."""

    ports: list[int]

    def code_for(self, email: str) -> str: ...

    def await_closed_door(self, plan: Plan) -> None: ...

    def await_kill(self, plan: Plan) -> int: ...

    def is_open(self, plan: Plan, kind: Kind) -> bool: ...


class Browser:
    """Asks one of the servers after the other, as a balancer would send it; a dead one is left out."""

    def __init__(self, world: World, plan: Plan, dice: random.Random) -> None:
        self.world, self.plan, self.dice = world, plan, dice
        self.has_twin = False  # another request of the same customer is on its way

    def send(
        self,
        method: str,
        path: str,
        data: dict[str, str] | None = None,
        *,
        server: int | None = None,
        follow: bool = True,
    ) -> Page | None:
        """The page that is shown in the end; None when the line broke on the way."""
        was_open = self._is_open()
        for _ in range(4):
            answer = self._exchange(method, path, data, server)
            if answer is None:
                return None
            status, location, text = answer
            if status == 500:
                raise Wrong(f"status 500 at {method} {path}")
            if status == 303 and not follow:
                return Page(status, location, "")
            if status != 303:
                page = Page(status, path, text)
                self._check(page, was_open=was_open)
                return page
            method, path, data, server = "GET", location.partition("#")[0], None, None
        raise Wrong(f"redirected without end at {path}")

    def _exchange(
        self, method: str, path: str, data: dict[str, str] | None, server: int | None
    ) -> tuple[int, str, str] | None:
        first = self.dice.randrange(len(self.world.ports)) if server is None else server
        for turn in (0, 1):
            port = self.world.ports[(first + turn) % len(self.world.ports)]
            line = http.client.HTTPConnection("127.0.0.1", port, timeout=40)
            try:
                line.connect()
            except OSError:
                if server is not None:
                    return None
                continue
            with contextlib.closing(line):
                try:
                    line.request(method, path, urlencode(data) if data is not None else None, self._headers(data))
                    got = line.getresponse()
                    text = got.read().decode()
                    if path.endswith(("/verify/", "/level/")) and self.dice.random() < LOST_ANSWERS:
                        return None
                    return got.status, urlsplit(got.headers.get("Location", "")).path, text
                except (OSError, http.client.HTTPException):
                    return None
        return None

    def _headers(self, data: dict[str, str] | None) -> dict[str, str]:
        headers = {"X-Forwarded-For": self.plan.address, "Sec-Fetch-Site": "same-origin", "Connection": "close"}
        return headers if data is None else {**headers, "Content-Type": "application/x-www-form-urlencoded"}

    def _is_open(self) -> bool:
        return any(self.world.is_open(self.plan, kind) for kind in Kind)

    def _check(self, page: Page, *, was_open: bool) -> None:
        """Nobody is told to try again, to start again or to come back later while an outcome is unknown.

        Of two requests at once, one may have been refused before the other one's outcome became unknown.
        """
        put_off = page.step in ("busy", "unsupported", "limited", "expired", "not-found")
        if put_off and self._is_open() and (was_open or not self.has_twin):
            raise Wrong(f"{page.step!r} at {page.path} while an outcome is unknown")
        if not page.step:
            raise Wrong(f"status {page.status} without a step at {page.path}")


def read_json(port: int, path: str, query: str = "") -> list[dict[str, Any]]:
    """What the upstream tells of itself."""
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    with contextlib.closing(line):
        line.request("GET", path + (f"?to={quote(query)}" if query else ""), headers={"Accept": "application/json"})
        found: list[dict[str, Any]] = json.loads(line.getresponse().read())
    return found
