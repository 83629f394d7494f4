"""A small threaded HTTP server for loopback, shared by the sandbox and the demo partner page.

Imports nothing of this project. Stopping also closes open keep-alive connections, so that a stopped sandbox
looks to its clients like an upstream that is down.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from .protocol import Fault, Headers, Reply, Request

MAX_BODY = 16 * 1024 * 1024
Answerer = Callable[[Request], Reply]
FaultPlayer = Callable[[Fault], None]


class Site:
    """One listening address. `port=0` takes a free one, which is kept over a stop and a new start."""

    def __init__(self, host: str, port: int, answer: Answerer, on_fault: FaultPlayer | None = None) -> None:
        self.host = host
        self.port = port
        self._answer = answer
        self._on_fault = on_fault
        self._server: _Server | None = None
        self._serving = False

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    def bind(self) -> _Server:
        if self._server is None:
            self._server = _Server(self, self._answer, self._on_fault)
            self.port = self._server.server_address[1]
        return self._server

    def start(self) -> None:
        server = self.bind()
        self._serving = True
        threading.Thread(target=server.serve_forever, args=(0.05,), name=self.url, daemon=True).start()

    def serve_forever(self) -> None:
        server = self.bind()
        self._serving = True
        server.serve_forever(0.2)

    def stop(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            if self._serving:  # waits for the loop to end, so for ever when it never began
                server.shutdown()
            self._serving = False
            server.server_close()
            server.close_connections()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 1024

    def __init__(self, site: Site, answer: Answerer, on_fault: FaultPlayer | None) -> None:
        self.address_family = socket.AF_INET6 if ":" in site.host else socket.AF_INET
        self.site = site
        self.answer = answer
        self.on_fault = on_fault
        self._open: set[socket.socket] = set()
        self._open_lock = threading.Lock()
        super().__init__((site.host, site.port), _Handler)

    def server_bind(self) -> None:
        # Not HTTPServer's: that one looks the host's name up, which can take seconds.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = self.site.host, self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._open_lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._open_lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def close_connections(self) -> None:
        with self._open_lock:
            still_open, self._open = list(self._open), set()
        for connection in still_open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # headers and body leave in one piece
    timeout = 75

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def _serve(self) -> None:
        length = self._length()
        if length is None:
            self._send(Reply(413, b"Request entity too large or without length", "text/plain"), close=True)
            return
        parts = urlsplit(self.path)
        host = self.headers.get("Host")
        self._send(
            self.server.answer(
                Request(
                    method=self.command,
                    path=parts.path,
                    query=parts.query,
                    headers=Headers(dict(self.headers.items())),
                    raw=self.rfile.read(length),
                    base_url=f"http://{host}" if host else self.server.site.url,
                )
            )
        )

    def _length(self) -> int | None:
        """Bytes of the body, or None when it cannot be read: too large, or chunked (no client here sends
        that).
        """
        given = self.headers.get("Content-Length", "0")
        if self.headers.get("Transfer-Encoding") or not (given.isascii() and given.isdigit()):
            return None
        length = int(given)
        return length if length <= MAX_BODY else None

    def _send(self, reply: Reply, *, close: bool = False) -> None:
        match reply.fault:
            case Fault.DROP | Fault.HANG:
                if self.server.on_fault is not None:
                    self.server.on_fault(reply.fault)
                self.close_connection = True
                with contextlib.suppress(OSError):
                    self.connection.shutdown(socket.SHUT_RDWR)
                return
            case Fault.ERROR500:
                reply = Reply(500, b"<h1>500 Internal Server Error</h1>", "text/html", reply.headers)
            case Fault.GARBAGE:
                reply = Reply(200, b"<!doctype html><title>Maintenance</title>", "text/html", reply.headers)
            case _:
                pass
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.content_type)
        self.send_header("Content-Length", str(len(reply.body)))
        for name, value in reply.headers:
            self.send_header(name, value)
        if close:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(reply.body)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet: what arrived is at /calls."""
