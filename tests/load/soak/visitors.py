"""Customers who come, get as far as a funnel's customers do, and leave; each of them cheap, so that the servers work.

A page is not parsed: its step is found as bytes, and connections are kept as a proxy keeps them.
"""

from __future__ import annotations

import contextlib
import html
import itertools
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, urlencode, urlsplit

from tests.load.lines import say

AT_A_TIME = 12
PATIENCE = 180.0  # seconds; a machine that does other things as well is no reason to fail
PHONES = 16  # every so many-th customer registers by phone
MOST = PHONES * 10_000  # then the numbers are used up
PARTNER = "acme"  # has a webhook, and every fifth customer
WRONG_CODE = {"email": "CUSTOMER_API_0000517", "phone": "CUSTOMER_API_0000518"}
TAKEN = {"email": "CUSTOMER_API_0000107", "phone": "CUSTOMER_API_0000106"}
_AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


@dataclass(frozen=True)
class Fate:
    """How far a customer gets, and how many of a hundred get so far."""

    share: int
    stages: tuple[str, ...] = ()  # besides the first two, which everybody reaches
    email: str = ""  # what chooses the sandbox's scenario
    phone: str = "000"


_IN = ("verified", "registered")
FATES = {
    "leaves": Fate(52),  # with the page that asks for the code
    "wrong": Fate(8),  # enters a wrong code and leaves
    "deletes": Fate(1),  # asks for the data to be deleted, instead of the code
    "exists": Fate(4, ("verified",), "+exists", "901"),
    "cut": Fate(1, (*_IN, "done:registered"), "+drop+nokyc"),  # registered, and nobody hears of it: `settle` asks
    "nokyc": Fate(8, (*_IN, "done:registered"), "+nokyc", "904"),
    "leaves later": Fate(8, _IN),  # with the level's form
    "level": Fate(14, (*_IN, "submitted:level_1", "done:in_review")),
    "mistypes": Fate(4, (*_IN, "submitted:level_1", "done:in_review")),  # the code, once
}

# What comes after the right code; for others the level. What is unknown may be settled before the page is drawn.
_AFTER_CODE = {"exists": ("exists",), "cut": ("status", "done"), "nokyc": ("done",)}


class Unexpected(AssertionError):
    """A customer saw another page than the one that must come."""


@dataclass(frozen=True)
class Visit:
    number: int
    name: str  # of the fate

    @property
    def fate(self) -> Fate:
        return FATES[self.name]

    @property
    def channel(self) -> str:
        return "phone" if self.number % PHONES == 0 and self.name != "cut" else "email"

    @property
    def identifier(self) -> str:
        if self.channel == "phone":
            return f"740{self.number // PHONES:04}{self.fate.phone}"
        return f"zq{self.number:06}{self.fate.email}@example.org"

    @property
    def recipient(self) -> str:
        """As the platform knows it."""
        return f"+44 {self.identifier}" if self.channel == "phone" else self.identifier

    @property
    def partner(self) -> str:
        return PARTNER if self.number % 5 == 0 else "default"

    @property
    def source(self) -> str:
        return f"source-{self.number % 9}"

    @property
    def stages(self) -> tuple[str, ...]:
        return ("identified", "code_sent", *self.fate.stages)

    @property
    def is_asked(self) -> bool:
        """For a level."""
        return "registered" in self.stages and "done:registered" not in self.stages

    @property
    def refusal(self) -> str:
        codes = {"wrong": WRONG_CODE, "mistypes": WRONG_CODE, "exists": TAKEN}.get(self.name)
        return codes[self.channel] if codes else ""


def visit(number: int, seed: int) -> Visit:
    names, shares = list(FATES), [fate.share for fate in FATES.values()]
    return Visit(number, random.Random(f"{seed} {number}").choices(names, shares)[0])


def visits(flows: int, seed: int) -> list[Visit]:
    return [visit(number, seed) for number in range(flows)]


def expected(walked: Iterable[Visit]) -> dict[str, dict[str, int]]:
    """What each side's books must say of these customers."""
    everybody, told, met, lost, sent = Counter[str](), Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    sources, partners = Counter[str](), Counter[str]()
    for one in walked:
        everybody.update(one.stages)
        sources[one.source] += 1
        partners[one.partner] += 1
        sent[one.channel] += 1
        if one.partner == PARTNER:
            told.update(stage.partition(":")[0] for stage in one.stages if not stage.startswith(("id", "code", "ver")))
        if one.refusal:
            met[one.refusal] += 1
            lost[one.refusal] += one.name != "mistypes"
    registered, handed_in = everybody["registered"], everybody["submitted:level_1"]
    return {
        "funnel": dict(everybody),
        "funnel by source": dict(sources),
        "funnel by partner": dict(partners),
        "funnel, refused": dict(met),
        "funnel, lost with": {code: n for code, n in lost.items() if n},
        "metrics": {
            "flows begun": everybody["identified"], "codes by email": sent["email"], "codes by phone": sent["phone"],
            "registrations accepted": registered, "levels accepted": handed_in,
        },
        "upstream": {"codes sent": everybody["code_sent"], "customers": registered, "levels handed in": handed_in},
        "webhook": dict(told),
    }  # fmt: skip


# -- A connection ------------------------------------------------------------------------------------------------------


@dataclass
class Connection:
    """One that is kept. Reads answers that say how long they are, as ours do."""

    port: int
    _socket: socket.socket | None = None

    def ask(self, method: str, path: str, body: bytes = b"", headers: str = "") -> tuple[int, str, bytes]:
        """Status, `Location` without the host, content."""
        length = f"Content-Length: {len(body)}\r\n" if method == "POST" else ""
        head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n{headers}{length}\r\n"
        was_open = self._socket is not None
        try:
            return self._exchange(head.encode() + body)
        except ConnectionError:
            if not was_open:
                raise
        return self._exchange(head.encode() + body)  # it was closed meanwhile, as an idle one may be

    def _exchange(self, request: bytes) -> tuple[int, str, bytes]:
        try:
            if self._socket is None:
                self._socket = socket.create_connection(("127.0.0.1", self.port), PATIENCE)
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket.sendall(request)
            return self._read(self._socket)
        except OSError:
            self.close()
            raise

    def _read(self, line: socket.socket) -> tuple[int, str, bytes]:
        got = b""
        while (end := got.find(b"\r\n\r\n")) < 0:
            got += self._more(line)
        head = got[:end].decode("latin-1")
        fields = {name.lower(): value for name, _, value in (row.partition(": ") for row in head.split("\r\n")[1:])}
        parts, left = [got[end + 4 :]], int(fields["content-length"]) - (len(got) - end - 4)
        while left > 0:
            parts.append(self._more(line))
            left -= len(parts[-1])
        if fields.get("connection", "").lower() == "close":
            self.close()
        place = urlsplit(fields.get("location", ""))
        return int(head[9:12]), f"{place.path}?{place.query}" if place.query else place.path, b"".join(parts)

    def _more(self, line: socket.socket) -> bytes:
        got = line.recv(65_536)
        if not got:
            raise ConnectionResetError("closed")
        return got

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket = None


@dataclass(frozen=True)
class Page:
    status: int
    path: str
    content: bytes

    @property
    def main(self) -> bytes:
        start = self.content.find(b'<main id="step"')
        return self.content[start : self.content.find(b">", start)]

    @property
    def step(self) -> str:
        """The step, or the problem shown instead."""
        return between(self.main, b'data-problem="') or between(self.main, b'data-step="')


def between(text: bytes, mark: bytes) -> str:
    """What stands from the mark to the next quotation mark."""
    start = text.find(mark)
    return "" if start < 0 else html.unescape(text[start + len(mark) : text.find(b'"', start + len(mark))].decode())


# -- Customers ---------------------------------------------------------------------------------------------------------


@dataclass
class Walker:
    """Goes one customer's way after the other's over connections of its own."""

    front: Connection
    desk: Connection  # of the platform: what was sent to whom

    def walk(self, one: Visit) -> None:
        agent = f"X-Forwarded-For: 10.{one.number >> 16}.{one.number >> 8 & 255}.{one.number & 255}\r\n"
        self._headers = f"{agent}User-Agent: {_AGENT}\r\nSec-Fetch-Site: same-origin\r\n"
        start = "/" if one.partner == "default" else f"/p/{one.partner}/"
        marks = f"utm_source={one.source}&utm_campaign=campaign-{one.number % 60}&utm_term=term-{one.number}"
        first = self._see(self._send("GET", f"{start}?channel={one.channel}&{marks}"), "identify")
        page = self._post(start, self._answers(one, first), "verify")
        if one.name == "leaves":
            return
        if one.name == "deletes":
            return self._delete(page)
        code = self._code(one)
        if one.name in ("wrong", "mistypes"):
            wrong = self._post(f"{page.path}verify/", {"code": f"{(int(code) + 1) % 10**6:06}"}, "verify")
            if wrong.status != 422:
                raise Unexpected(f"{wrong.status} for a wrong code")
        if one.name == "wrong":
            return
        page = self._post(f"{page.path}verify/", {"code": code}, *_AFTER_CODE.get(one.name, ("level",)))
        if one.name in ("level", "mistypes"):
            data = {"level": between(page.main, b'data-level="'), "el-name": f"Ann {one.number}"}
            self._post(f"{page.path}level/", data, "done")

    def _answers(self, one: Visit, first: Page) -> dict[str, str]:
        at = first.content.find(b'name="landing"')
        return {
            "landing": between(first.content[at : at + 2000], b'value="'), "channel": one.channel, "terms": "on",
            "account_type": "individual", "country": "GB", "phone_area": "GB", one.channel: one.identifier,
        }  # fmt: skip

    def _delete(self, page: Page) -> None:
        if b"data-deleted" not in self._post(f"{page.path}delete/", {}, "identify").main:
            raise Unexpected("nothing is said of the deletion")

    def _code(self, one: Visit) -> str:
        status, _location, content = self.desk.ask("GET", f"/code?to={quote(one.recipient)}")
        if status != 200:
            raise Unexpected("no code was sent")
        return content.decode()

    def _post(self, path: str, data: Mapping[str, str], *steps: str) -> Page:
        return self._see(self._send("POST", path, data), *steps)

    def _send(self, method: str, path: str, data: Mapping[str, str] | None = None) -> Page:
        """The page that is shown in the end."""
        body = urlencode(data).encode() if data is not None else b""
        form = "Content-Type: application/x-www-form-urlencoded\r\n" if data is not None else ""
        for _ in range(4):
            status, location, content = self.front.ask(method, path, body, self._headers + form)
            if status != 303:
                return Page(status, path, content)
            method, path, body, form = "GET", location, b"", ""
        raise Unexpected(f"redirected without end at {path}")

    def _see(self, page: Page, *steps: str) -> Page:
        if page.step not in steps:
            raise Unexpected(f"{page.step!r} ({page.status}) instead of {' or '.join(steps)}")
        return page


@dataclass
class Crowd:
    """So many at a time, until all have been there or it is told to stop."""

    ports: tuple[int, int]  # front end, desk
    coming: list[Visit]
    at_a_time: int = AT_A_TIME
    begun: int = 0
    walked: list[Visit] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._numbers = itertools.count()

    def go(self) -> None:
        threads = [threading.Thread(target=self._go) for _ in range(self.at_a_time)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            time.sleep(0.2)  # not `join`: a signal must get through

    def _go(self) -> None:
        walker = Walker(*(Connection(port) for port in self.ports))
        with contextlib.closing(walker.front), contextlib.closing(walker.desk):
            while not self.stop.is_set() and (number := next(self._numbers)) < len(self.coming):
                one = self.coming[number]
                self.begun = max(self.begun, number + 1)
                try:
                    walker.walk(one)
                except Exception as exc:  # whatever it is belongs into the report, and the others go on
                    self.wrong.append(f"{one.number} {one.name}: {type(exc).__name__}: {exc}")
                    say(self.wrong[-1])
                self.walked.append(one)
