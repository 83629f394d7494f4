"""The line between the servers and the upstream: passes everything on, and breaks the calls that a plan says.

It knows whose call it is by the mark in its body, and writes down every attempt. Imports nothing of the product.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import select
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import BinaryIO

from tests.faults.plan import KILLS, Disturbance, Ending, Fault, Kind, Plan

_MARK = re.compile(rb"zq(\d{6})")
_KEY = re.compile(rb"\r\nidempotency-key: *([^\r]+)", re.IGNORECASE)
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_PATHS = {b"CustomerWebApiService.register": Kind.REGISTER, b"KycWebApiService.kycLevelApply": Kind.LEVEL}

SLOW_SECONDS = 0.5
ID_TAKEN = "CUSTOMER_API_0000633"  # a definite refusal of a level's answer
_UNTOUCHED = (  # these calls never reach the upstream
    Fault.HANG_BEFORE, Fault.CUT_BEFORE, Fault.ERROR_BEFORE, Fault.LATE_BEFORE, Fault.GARBAGE_BEFORE, Fault.BUSY,
    Fault.LIMITED,
)  # fmt: skip


def _reply(status: str, body: bytes, *headers: str) -> bytes:
    head = [f"HTTP/1.1 {status}", "Content-Type: application/json", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(head).encode() + body


def _envelope(code: str) -> bytes:
    return _reply("200 OK", json.dumps({"code": code, "msg": "-", "bizCode": "G", "data": None}).encode())


ANSWERS: dict[str, bytes] = {
    Fault.ERROR_BEFORE: _reply("502 Bad Gateway", b"<h1>Bad gateway</h1>"),
    Fault.ERROR_AFTER: _reply("500 Internal Server Error", b"<h1>Error</h1>"),
    Fault.LATE_BEFORE: _envelope("GATEWAY_CODE_902"),
    Fault.LATE_AFTER: _envelope("GATEWAY_CODE_902"),
    Fault.GARBAGE_BEFORE: _reply("200 OK", b"<!doctype html><title>Maintenance</title>"),
    Fault.GARBAGE_AFTER: _reply("200 OK", b'{"code": "0", "data": {"customerN'),
    Fault.BUSY: _envelope("GATEWAY_CODE_018"),
    Fault.LIMITED: _reply("429 Too Many Requests", b"Too many", "Retry-After: 1"),
}


@dataclass
class Attempt:
    """One call as the line saw it."""

    kind: Kind
    key: str
    body: str  # a digest
    what: str  # the fault or the kill
    forwarded: bool = False
    is_over: bool = False
    answer: str = ""  # the code of a usable answer that was passed back; "" when none was, "429" for a refusal to work
    at: float = field(default_factory=time.monotonic)

    @property
    def is_definite(self) -> bool:
        return self.answer not in ("", "429", "GATEWAY_CODE_018", "GATEWAY_CODE_902")


@dataclass
class Held:
    """A call that waits for its server's end."""

    plan: Plan
    line: socket.socket

    @property
    def is_waited_for(self) -> bool:
        """Whether the server still waits for the answer."""
        readable, _, _ = select.select([self.line], [], [], 0)
        return not readable


class Proxy:
    """One listening address for all servers."""

    def __init__(self, upstream: int, plans: list[Plan], hang_seconds: float) -> None:
        self.upstream = upstream
        self.hang_seconds = hang_seconds
        self.recovered = False  # from then on all goes well
        self.attempts: defaultdict[int, list[Attempt]] = defaultdict(list)
        self.held: dict[int, Held] = {}
        self.deliver, self.release = threading.Event(), threading.Event()
        self._plans = {plan.number: plan for plan in plans}
        # A refused connection is no call: the door was closed.
        self._faults = {plan.number: [one for one in plan.faults if one is not Fault.REFUSED] for plan in plans}
        self._killed: set[int] = set()
        self._lock = threading.Lock()
        self._lines: set[socket.socket] = set()
        self._listener: socket.socket | None = None
        self.port = 0

    # -- Open and closed

    def listen(self) -> None:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen(512)
        self.port = listener.getsockname()[1]
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def close(self) -> None:
        """Connections are refused from now on, and the idle ones are cut."""
        if self._listener is not None:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        with self._lock:
            lines, self._lines = list(self._lines), set()
        for line in lines:
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                line, _ = listener.accept()
            except OSError:
                return
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(line,), daemon=True).start()

    def _serve(self, line: socket.socket) -> None:
        back: socket.socket | None = None
        reader = line.makefile("rb")
        try:
            while True:
                with self._lock:
                    self._lines.add(line)  # idle: may be cut
                request = _read(reader)
                with self._lock:
                    self._lines.discard(line)
                if request is None:
                    return
                back = back or socket.create_connection(("127.0.0.1", self.upstream))
                if not self._answer(line, back, *request):
                    return
        except OSError:
            return
        finally:
            with self._lock:
                self._lines.discard(line)
            for one in (line, back):
                if one is not None:
                    with contextlib.suppress(OSError):
                        one.shutdown(socket.SHUT_RDWR)
                    one.close()

    # -- One call

    def _answer(self, line: socket.socket, back: socket.socket, head: bytes, body: bytes) -> bool:
        """Whether the connection may be used again."""
        path = head.split(b" ", 2)[1]
        kind = next((kind for name, kind in _PATHS.items() if path.endswith(name)), None)
        found = _MARK.search(body)
        plan = self._plans.get(int(found[1])) if kind is not None and found else None
        if kind is None or plan is None:
            line.sendall(_forward(back, head + body))
            return True
        what = self._next(plan, kind)
        key = _KEY.search(head)
        attempt = Attempt(kind, key[1].decode() if key else "", hashlib.sha1(body).hexdigest()[:10], what)
        with self._lock:
            keys = [one.key for one in self.attempts[plan.number] if one.kind is kind]
            self.attempts[plan.number].append(attempt)
        # Whoever is to be corrected is refused under the first key, however often that one is asked about.
        is_refused = plan.ending is Ending.CORRECTED and kind is Kind.LEVEL and attempt.key == [*keys, attempt.key][0]

        def work() -> bytes:
            attempt.forwarded = True
            return _envelope(ID_TAKEN) if is_refused else _forward(back, head + body)

        try:
            return (self._hold if what in KILLS else self._break)(line, work, plan, attempt)
        finally:
            attempt.is_over = True

    def _next(self, plan: Plan, kind: Kind) -> Fault | Disturbance:
        """What happens to this call: the kill, then the faults, once each."""
        with self._lock:
            if kind is not plan.kind or self.recovered:
                return Fault.NONE
            if plan.disturbance in KILLS and plan.number not in self._killed:
                self._killed.add(plan.number)
                return plan.disturbance
            left = self._faults[plan.number]
            return left.pop(0) if left else Fault.NONE

    def _break(self, line: socket.socket, work: Callable[[], bytes], plan: Plan, attempt: Attempt) -> bool:
        reply = b"" if attempt.what in _UNTOUCHED else work()
        match attempt.what:
            case Fault.CUT_BEFORE | Fault.CUT_AFTER:
                return False
            case Fault.CUT_WITHIN:
                line.sendall(reply[: -len(reply) // 4])
                return False
            case Fault.HANG_BEFORE | Fault.HANG_AFTER:
                time.sleep(self.hang_seconds)
                return False
            case Fault.SLOW:
                time.sleep(SLOW_SECONDS)
        reply = ANSWERS.get(attempt.what, reply)
        attempt.answer = _code(reply)
        line.sendall(reply)
        return True

    def _hold(self, line: socket.socket, work: Callable[[], bytes], plan: Plan, attempt: Attempt) -> bool:
        reply = b"" if plan.disturbance is Disturbance.KILL_BEFORE else work()
        with self._lock:
            self.held[plan.number] = Held(plan, line)
        if plan.disturbance is Disturbance.KILL_STORE:
            self.deliver.wait(30)
            attempt.answer = _code(reply)  # whether anybody could write it down is another matter
            line.sendall(reply)
        self.release.wait(30)
        with self._lock:
            self.held.pop(plan.number, None)
        return False


def _code(reply: bytes) -> str:
    status, _, rest = reply.partition(b"\r\n")
    if b" 200 " not in status:
        return "429" if b" 429 " in status else ""
    try:
        return str(json.loads(rest.partition(b"\r\n\r\n")[2])["code"])
    except ValueError:
        return ""


def _read(reader: BinaryIO) -> tuple[bytes, bytes] | None:
    """One request; None when the line is closed."""
    lines = []
    while (text := reader.readline()) not in (b"\r\n", b""):
        lines.append(text)
    if not lines:
        return None
    head = b"".join(lines) + b"\r\n"
    length = _LENGTH.search(head)
    return head, reader.read(int(length[1])) if length else b""


def _forward(back: socket.socket, call: bytes) -> bytes:
    """The upstream's whole answer; it always tells its length."""
    back.sendall(call)
    got = b""
    while b"\r\n\r\n" not in got:
        got += _more(back)
    head, _, body = got.partition(b"\r\n\r\n")
    length = _LENGTH.search(head)
    missing = (int(length[1]) if length else 0) - len(body)
    while missing > 0:
        more = _more(back)
        got += more
        missing -= len(more)
    return got


def _more(back: socket.socket) -> bytes:
    got = back.recv(65536)
    if not got:
        raise ConnectionError("the upstream closed the line")
    return got
