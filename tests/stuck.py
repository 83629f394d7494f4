"""An upstream that stops answering, and many customers who meet it at once."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

from tests.support import Customer, Server, fresh_email


class Relay:
    """Stands before an upstream and passes everything on, until it is told to "hang" or to "cut" (and "pass" again)."""

    def __init__(self, url: str) -> None:
        target = urlsplit(url)
        self._target = (target.hostname or "", target.port or 80)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._mode = "pass"
        self._open: list[socket.socket] = []
        self.met = 0  # connections while it did not pass
        threading.Thread(target=self._serve, daemon=True).start()

    def turn(self, mode: str) -> None:
        """Connections of before are gone."""
        self._mode = mode
        for peer in self._open:
            with contextlib.suppress(OSError):
                peer.shutdown(socket.SHUT_RDWR)
        self._open.clear()

    def close(self) -> None:
        self._listener.close()
        self.turn("cut")

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            if self._mode == "cut":
                peer.close()
            else:
                self._open.append(peer)
            if self._mode != "pass":
                self.met += 1
                continue
            there = socket.create_connection(self._target)
            self._open.append(there)
            for one, other in ((peer, there), (there, peer)):
                threading.Thread(target=_pump, args=(one, other), daemon=True).start()


def _pump(one: socket.socket, other: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while block := one.recv(65536):
            other.sendall(block)
    for end in (one, other):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@dataclass
class Post:
    """A POST that was sent over a connection of its own; `answer` when it came, and after how many seconds."""

    connection: socket.socket
    sent: float
    answer: bytes = b""
    took: float = 0.0

    @property
    def status(self) -> int:
        return int(self.answer.split(b" ", 2)[1]) if self.answer else 0

    @property
    def retry_after(self) -> int:
        head = self.answer.partition(b"\r\n\r\n")[0].lower()
        return next((int(row[12:]) for row in head.split(b"\r\n") if row.startswith(b"retry-after:")), 0)


def first_answers(customer: Customer, count: int) -> list[bytes]:
    """Bodies of the first POST of so many customers, each from a first page of its own."""
    found = []
    for _ in range(count):
        landing = customer.get("/", channel="email").value("landing")
        fields = {"channel": "email", "account_type": "individual", "country": "GB", "terms": "on"}
        found.append(urlencode({"landing": landing, "email": fresh_email(), **fields}).encode())
    return found


def send_at_once(server: Server, bodies: list[bytes]) -> list[Post]:
    """All of them as fast as one thread can, none waiting for another."""
    posts = []
    for body in bodies:
        connection = socket.create_connection(("127.0.0.1", server.port))
        head = (
            f"POST / HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nConnection: close\r\n"
            f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        posts.append(Post(connection, time.monotonic()))
        connection.sendall(head.encode() + body)
    return posts


def collect(posts: list[Post], seconds: float, meanwhile: Callable[[], bool] = lambda: True) -> list[Post]:
    """Reads what is answered within this time, as long as `meanwhile` says so; gives those not answered yet."""
    end = time.monotonic() + seconds
    with selectors.DefaultSelector() as selector:
        left = {post.connection: post for post in posts if not post.took}
        for connection in left:
            selector.register(connection, selectors.EVENT_READ)
        while left and time.monotonic() < end and meanwhile():
            for event, _mask in selector.select(0.1):
                connection = event.fileobj
                assert isinstance(connection, socket.socket)
                block = connection.recv(65536)
                post = left[connection]
                post.answer += block
                if not block:
                    post.took = time.monotonic() - post.sent
                    selector.unregister(connection)
                    connection.close()
                    del left[connection]
        return list(left.values())
