"""One HTTP exchange with the upstream: bounded in time, in bytes and in number. It interprets no answer.

* A request is never repeated, no redirect followed, no cookie kept, no proxy or netrc of the environment
  used.
* `read_timeout` bounds the whole reply, headers included: a reply that drips is cut off when the time is
  over.
* Only a failure before the first byte went out is `UpstreamUnavailable`; every later one is an open outcome.

Must not import Django.
"""

from __future__ import annotations

import functools
import http.client
import io
import socket
import ssl
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    MaxRetryError,
    NewConnectionError,
    ReadTimeoutError,
)

from .errors import OutcomeUnknown, UpstreamError, UpstreamUnavailable

MAX_REPLY = 1024 * 1024  # bytes, unpacked; the longest real reply, the country dictionary, has a tenth of it
_SHORTEST = 0.01  # seconds; zero would mean "for ever" to one library and be an error for the other


@dataclass(frozen=True, slots=True)
class Exchange:
    """What came back. `flaw` says why the body is not whole: "", "TIMEOUT", "CUT" or "TOO_LARGE"."""

    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes
    flaw: str = ""


class _Until(io.RawIOBase):
    """The readable side of a socket until its time-out, counted from now on for all reads together."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._raw = sock.makefile("rb", buffering=0)
        self._end = time.monotonic() + (sock.gettimeout() or 0.0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError("the reply took too long")
        self._sock.settimeout(left)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Readable:
    """What a response takes of its socket: the file that it reads from."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Until(self._sock))


class BoundedResponse(http.client.HTTPResponse):
    """A response that the socket's time-out bounds as a whole, headers included."""

    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
        super().__init__(_Readable(sock), *args, **options)  # type: ignore[arg-type]  # it asks for no more


class _InOnePiece:
    """Mixin of a connection: the head of a request goes out with the first block of its body, not before it.

    A write fewer, which is a tenth of the CPU of an exchange, and a packet fewer.
    """

    response_class: Any = BoundedResponse
    _holds = False
    _head = b""

    def request(self, *arguments: Any, **options: Any) -> None:
        self._head = b""
        super().request(*arguments, **options)  # type: ignore[misc]  # of the connection beside it
        self._holds = False
        if self._head:  # there was no body
            self.send(b"")

    def endheaders(self, *arguments: Any, **options: Any) -> None:
        self._holds = True
        super().endheaders(*arguments, **options)  # type: ignore[misc]

    def send(self, data: Any) -> None:
        if self._holds:
            self._holds, self._head = False, bytes(data)
            return
        whole, self._head = (self._head + data if self._head else data), b""
        super().send(whole)  # type: ignore[misc]


class _Connection(_InOnePiece, HTTPConnection):
    pass


class _TlsConnection(_InOnePiece, HTTPSConnection):
    def connect(self) -> None:
        """A failed handshake is a failure to connect. urllib3 would report some as errors of reading."""
        try:
            super().connect()
        except (OSError, ValueError) as exc:  # ValueError: a certificate for another host
            raise NewConnectionError(self, f"TLS handshake failed: {type(exc).__name__}") from exc


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class _Adapter(HTTPAdapter):
    """What an exchange needs of requests and no more: pool, TLS, one request at a time, its kinds of failure.

    A session above it would add redirects, cookies, proxies and passwords of the environment, none of which is wanted,
    and would cost as much CPU as the exchange itself.

    Loads the certificate store once; plain requests loads it for every new connection (26 ms of CPU).
    """

    def __init__(self, tls: ssl.SSLContext, size: int) -> None:
        self._tls = tls
        self._pools: dict[str, urllib3.HTTPConnectionPool] = {}
        super().__init__(pool_connections=2, pool_maxsize=size, max_retries=0)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **options: Any) -> None:
        super().init_poolmanager(connections, maxsize, block, ssl_context=self._tls, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}

    def get_connection_with_tls_context(self, request: Any, *_: Any, **__: Any) -> Any:
        """The pool of the host. requests finds it anew for every call, by taking the address apart five times."""
        origin = "/".join(request.url.split("/", 3)[:3])
        pool = self._pools.get(origin)
        if pool is None:
            pool = self.poolmanager.connection_from_url(origin)  # one per origin, whoever else asks at the same time
            pool.cert_reqs = "CERT_REQUIRED"  # and no `ca_certs`: the context has them already
            self._pools[origin] = pool
        return pool

    def cert_verify(self, *_: Any) -> None:
        return

    def request_url(self, request: Any, proxies: Any) -> str:
        return "/" + str(request.url).split("/", 3)[3]

    def build_response(self, req: Any, resp: Any) -> Any:
        """urllib3's own response: of that of requests nothing is used."""
        return resp

    def close(self) -> None:
        self._pools.clear()
        super().close()


class Transport:
    """A pool of connections, for at most `max_in_flight` exchanges at a time. Thread-safe."""

    def __init__(self, max_in_flight: int, tls: ssl.SSLContext | None = None) -> None:
        self._places = threading.BoundedSemaphore(max_in_flight)
        self._adapter = _Adapter(tls or default_tls(), max_in_flight)

    def exchange(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | Iterable[bytes] | None,
        *,
        connect_timeout: float,
        read_timeout: float,
        total: float | None = None,
        trace: str,
    ) -> Exchange:
        """One request and its reply. Times in seconds; `total` for all of it. UpstreamUnavailable, OutcomeUnknown."""
        if not self._places.acquire(blocking=False):
            raise UpstreamUnavailable("BULKHEAD", trace=trace)
        try:
            response: Any = self._adapter.send(
                _prepared(method, url, headers, body),
                stream=True,
                timeout=urllib3.Timeout(  # type: ignore[arg-type]  # the adapter takes it, its stubs do not know
                    connect=max(connect_timeout, _SHORTEST), read=max(read_timeout, _SHORTEST), total=total
                ),
            )
            with response:
                content, flaw = _read(response)
            names = {name.lower(): value for name, value in response.headers.items()}
            return Exchange(response.status, names, content, flaw)
        except (requests.RequestException, HTTPError, OSError) as exc:
            # Not "from exc": its text may quote a broken reply, and a reply may quote the customer.
            raise _failure(exc, trace) from None
        finally:
            self._places.release()

    def close(self) -> None:
        self._adapter.close()


@functools.cache
def default_tls() -> ssl.SSLContext:
    """The system's certificates (SSL_CERT_FILE adds a private authority) and those that requests brings."""
    tls = ssl.create_default_context()
    tls.load_verify_locations(DEFAULT_CA_BUNDLE_PATH)
    return tls


def _prepared(
    method: str, url: str, headers: Mapping[str, str], body: bytes | Iterable[bytes] | None
) -> requests.PreparedRequest:
    """Nothing is left to prepare: the address is ours, and the headers are all there.

    A session would take every address apart and merge its settings, for half the CPU of the exchange.
    """
    prepared = requests.PreparedRequest()
    prepared.method, prepared.url = method, url
    prepared.headers = dict(headers)  # type: ignore[assignment]  # each name is spelt in one way, in sending.py
    prepared.body = body  # type: ignore[assignment]  # any iterable will do; its Content-Length is among the headers
    return prepared


def _read(response: urllib3.BaseHTTPResponse) -> tuple[bytes, str]:
    """The whole body, unpacked, or its flaw."""
    try:
        content = response.read(MAX_REPLY + 1, decode_content=True)
    except (HTTPError, OSError) as exc:
        return b"", "TIMEOUT" if _timed_out(exc) else "CUT"
    return (b"", "TOO_LARGE") if len(content) > MAX_REPLY else (content, "")


def _failure(exc: Exception, trace: str) -> UpstreamError:
    """Before or after the first byte? Only urllib3's connect errors prove "before"."""
    cause = exc.args[0] if exc.args else None
    reason = cause.reason if isinstance(cause, MaxRetryError) else cause
    if isinstance(reason, ConnectTimeoutError | NewConnectionError):
        return UpstreamUnavailable("CONNECT", trace=trace)
    return OutcomeUnknown("TIMEOUT" if _timed_out(exc) else "CUT", trace=trace)


def _timed_out(error: object) -> bool:
    """Looks through the wrappings of two libraries, which keep what they wrap among their arguments."""
    if isinstance(error, requests.Timeout | ReadTimeoutError | TimeoutError):
        return True
    return isinstance(error, Exception) and any(_timed_out(inner) for inner in error.args)
