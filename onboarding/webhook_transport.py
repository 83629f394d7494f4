"""One POST to an address that a partner chose: never to a place inside our own network, bounded, never repeated.

The name is looked up once, its addresses are checked, and the connection goes to one of those very addresses: a name
that answers differently a moment later (DNS rebinding) gains nothing. Made by hand from the standard library, so there
are no redirects, proxies of the environment, cookies or credentials of a .netrc to switch off.

Must not import Django. No exception leaves `post`, and no answer quotes the address, which may hold a secret.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass

from urllib3.exceptions import LocationParseError
from urllib3.util import Url, parse_url

from onboarding.upstream.transport import BoundedResponse, default_tls

CONNECT_TIMEOUT = 3.0  # seconds for each address, and again for the TLS handshake
TOTAL_TIMEOUT = 10.0  # seconds for everything together; only a slow name server can make it longer
MAX_ANSWER = 4096  # bytes read of the answer's body, so that a short one is not cut off; it is thrown away

_IP = ipaddress.IPv4Address | ipaddress.IPv6Address
_PUBLIC_V6 = ipaddress.ip_network("2000::/3")  # all that is given out for the internet
_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # how networks without IPv4 reach it: the last four bytes count
# What `ipaddress` of some Python version takes for the internet and is not, or is it and must not be asked by us.
_NEVER = [
    ipaddress.ip_network(text)
    for text in (
        "168.63.129.16/32", "100.100.100.200/32", "192.0.0.192/32",  # clouds tell their machines secrets here
        "fd00:ec2::/32", "fd20:ce::/32",  # and here
    )
]  # fmt: skip
_NOT_PUBLIC = [
    ipaddress.ip_network(text)
    for text in ("192.0.0.0/24", "192.88.99.0/24", "2001::/23", "2002::/16", "3fff::/20")  # tunnels, documentation
]


@dataclass(frozen=True, slots=True)
class Answer:
    """The receiver's status; or 0, and in a few words why there is none."""

    status: int
    flaw: str = ""

    @property
    def is_taken(self) -> bool:
        return 200 <= self.status < 300

    @property
    def is_gone(self) -> bool:
        return self.status == 410

    def __str__(self) -> str:
        return self.flaw or str(self.status)


class _Flaw(Exception):
    """The exchange ends here; the text is ours."""


def post(url: str, headers: Mapping[str, str], body: bytes, *, private: bool = False) -> Answer:
    """One try. `private`: the operator vouches for this host, so it may be inside, and loopback needs no TLS."""
    end = time.monotonic() + TOTAL_TIMEOUT
    try:
        return Answer(_exchange(url, headers, body, private, end))
    except _Flaw as exc:
        return Answer(0, str(exc))
    except TimeoutError:
        return Answer(0, "timeout")
    except (OSError, http.client.HTTPException):
        return Answer(0, "line cut")
    except Exception as exc:  # the thread's outermost handler; texts of other people's exceptions quote addresses
        return Answer(0, f"error of ours: {type(exc).__name__}"[:60])


def host_of(url: str) -> str:
    """The host in lower case, without brackets; empty when the address is none."""
    try:
        return _host(parse_url(url))
    except LocationParseError:
        return ""


def is_allowed(text: str, *, private: bool = False) -> bool:
    """Whether we connect to this IP address. Private networks and loopback only when the operator vouches for them."""
    ip = _inner(ipaddress.ip_address(text.partition("%")[0]))
    if any(ip in network for network in _NEVER if network.version == ip.version):
        return False
    if ip.is_link_local or ip.is_multicast or ip.is_unspecified:
        return False
    if private:
        return ip.is_loopback or not ip.is_reserved
    if ip.is_reserved or any(ip in network for network in _NOT_PUBLIC if network.version == ip.version):
        return False
    return ip.is_global and (ip.version == 4 or ip in _PUBLIC_V6)


def _inner(ip: _IP) -> _IP:
    """The IPv4 address that an IPv6 one stands for, where it does."""
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped:
            return ip.ipv4_mapped
        if ip in _NAT64:
            return ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF)
    return ip


def _exchange(url: str, headers: Mapping[str, str], body: bytes, private: bool, end: float) -> int:
    try:
        parts = parse_url(url)
    except LocationParseError:
        raise _Flaw("not an address") from None
    host = _host(parts)
    if parts.scheme not in ("https", "http") or not host or parts.auth:
        raise _Flaw("not an address")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    addresses = _look_up(host, port, private)
    if parts.scheme == "http" and not all(_inner(ipaddress.ip_address(a)).is_loopback for a in addresses):
        raise _Flaw("https is needed")
    connection = _Connection(host, port, addresses, tls=parts.scheme == "https", end=end)
    with contextlib.closing(connection):
        return connection.ask(parts.request_uri, headers, body)


def _host(parts: Url) -> str:
    return (parts.host or "").strip("[]").rstrip(".").lower()


def _look_up(host: str, port: int, private: bool) -> list[str]:
    """The host's addresses, each once; refused as a whole when one of them is not allowed."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise _Flaw("name not found") from None
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    if not addresses or not all(is_allowed(address, private=private) for address in addresses):
        raise _Flaw("address not allowed")
    return addresses


class _Connection(http.client.HTTPConnection):
    """Connects to one of the addresses given; the name serves for the TLS certificate and the header Host."""

    response_class = BoundedResponse

    def __init__(self, host: str, port: int, addresses: list[str], *, tls: bool, end: float) -> None:
        super().__init__(host, port)
        self.default_port = 443 if tls else 80  # this port is not named in the header Host
        self._addresses, self._tls, self._end = addresses, tls, end

    def ask(self, target: str, headers: Mapping[str, str], body: bytes) -> int:
        """Sends the request; gives the answer's status."""
        self.connect()
        self._wait_at_most(TOTAL_TIMEOUT)
        self.request("POST", target, body, dict(headers))
        self._wait_at_most(TOTAL_TIMEOUT)
        with self.getresponse() as response:
            with contextlib.suppress(OSError, http.client.HTTPException):  # the status has been said
                response.read(MAX_ANSWER)
            return response.status

    def connect(self) -> None:
        self.sock = self._reach()
        if self._tls:
            self._wait_at_most(CONNECT_TIMEOUT)
            try:
                self.sock = default_tls().wrap_socket(self.sock, server_hostname=self.host)
            except TimeoutError:
                raise
            except (OSError, ValueError):  # ssl.SSLError is an OSError; ValueError: a name that TLS cannot carry
                raise _Flaw("TLS failed") from None

    def _reach(self) -> socket.socket:
        """The first of the addresses that answers."""
        flaw = "no connection"
        for address in self._addresses:
            left = self._end - time.monotonic()
            if left <= 0:
                break
            try:
                return socket.create_connection((address, self.port), min(CONNECT_TIMEOUT, left))
            except TimeoutError:
                flaw = "timeout"
            except OSError:
                flaw = "no connection"
        raise _Flaw(flaw)

    def _wait_at_most(self, seconds: float) -> None:
        left = min(seconds, self._end - time.monotonic())
        if left <= 0 or self.sock is None:
            raise TimeoutError
        self.sock.settimeout(left)
