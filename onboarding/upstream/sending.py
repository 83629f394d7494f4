"""How every call goes out: headers, trace, signature, the one log line.

client.py says what is asked; this module says how. Must not import Django.
"""

from __future__ import annotations

import json
import logging
import ssl
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from . import budget, signing
from .breaker import Limits
from .errors import ContractBroken, Envelope, UpstreamError, UpstreamUnavailable, Wait, error_for, told_to_wait
from .gate import Gate
from .reading import Unreadable
from .transport import Transport

logger = logging.getLogger("onboarding.upstream")

T = TypeVar("T")
_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))  # json.dumps would make one for every call
LEAST_TIME = 1.0  # seconds; with less left of a request's time no call is begun: most take a fraction of that
# endpoint, outcome ("ok" or the error's class), seconds, trace, code
Observer = Callable[[str, str, float, str, str], None]


@dataclass(frozen=True, slots=True)
class UpstreamConfig:
    """`base_url` ends before `/register/…`. With `public_key` (PEM or base64 DER) bodies are encrypted."""

    base_url: str
    company_id: str
    version: str = "0.0.1"
    public_key: str = ""
    connect_timeout: float = 3.0  # seconds
    read_timeout: float = 20.0  # seconds, for the whole reply
    max_in_flight: int = 64
    send_protocol: bool = True  # the fields of wire.UNDOCUMENTED
    captcha: bool = False
    breaker_failures: int = 5  # different askers; 0: no circuit ever opens


@dataclass(frozen=True, slots=True)
class Call:
    """What differs from call to call. "" leaves the header out; None takes the configuration's time-out."""

    lang: str = "en-US"
    token: str = field(default="", repr=False)
    captcha: str = field(default="", repr=False)
    client_address: str = field(default="", repr=False)
    idempotency_key: str = field(default="", repr=False)
    read_timeout: float | None = None
    connect_timeout: float | None = None
    question: bool = False  # about what an earlier call under the same key did
    who: str = field(default="", repr=False)  # who asks, where neither token nor key tells; never sent


@dataclass(slots=True)
class _Outing:
    """One call on its way: the time that it has, in seconds, and what its answer said about the next ones."""

    connect_timeout: float
    read_timeout: float
    total: float | None
    wait: Wait | None = None


def header_value(value: str) -> str:
    """Printable ASCII only: no line break can start another header, and HTTP can carry the rest."""
    if value.isascii() and value.isprintable():  # as good as always, and at a tenth of the cost
        return value.strip()
    return "".join(ch for ch in value if " " <= ch <= "~").strip()


class Sender:
    """Thread-safe. ValueError at once for an unusable key or address."""

    def __init__(
        self,
        config: UpstreamConfig,
        now: Callable[[], float],
        observe: Observer | None,
        tls: ssl.SSLContext | None,
        changed: Callable[[str, str], None] | None = None,
    ) -> None:
        if not config.base_url.startswith(("https://", "http://")):
            raise ValueError("The upstream's base URL must begin with https:// or http://.")
        self.config = config
        self.base = config.base_url.rstrip("/")
        self._key = signing.load_public_key(config.public_key) if config.public_key.strip() else None
        self._now = now
        self._observe = observe
        self._always = _present(
            {
                "Accept": "application/json",
                "Accept-Encoding": "gzip",
                "User-Agent": "onboarding",
                "companyId": config.company_id,
            }
        )
        self._transport = Transport(config.max_in_flight, tls)
        longest = config.connect_timeout + config.read_timeout + 5
        self.gate = Gate(Limits(least=config.breaker_failures, probe=longest), time.monotonic, changed)

    def close(self) -> None:
        self._transport.close()

    def post(
        self,
        endpoint: str,
        path: str,
        body: Mapping[str, Any],
        call: Call,
        read: Callable[[Envelope], T],
        *,
        version: str | None = None,
        accept: AbstractSet[str] = frozenset(),
    ) -> T:
        """JSON, encrypted when there is a key. `version`: "" leaves it out, None takes the usual one."""
        timestamp = self._milliseconds()
        wire = body if self._key is None else signing.protect(body, timestamp, self._key)
        payload = _JSON.encode(wire).encode()
        headers = {
            "Content-Type": "application/json",
            "Content-Length": str(len(payload)),
            "version": self.config.version if version is None else version,
        }
        return self.send(
            endpoint,
            "POST",
            self.base + path,
            headers,
            payload,
            call,
            read,
            accept=accept,
            timestamp=timestamp,
            prefix="" if self._key is None else "x-",
        )

    def send(
        self,
        endpoint: str,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | Iterable[bytes] | None,
        call: Call,
        read: Callable[[Envelope], T],
        *,
        accept: AbstractSet[str] = frozenset(),
        timestamp: int | None = None,
        prefix: str = "",
    ) -> T:
        timestamp = self._milliseconds() if timestamp is None else timestamp
        trace = f"{prefix}{uuid.uuid4()}-{timestamp}"
        started = time.perf_counter()
        status = 0
        try:
            with self._allowed(endpoint, call, trace) as out:
                exchange = self._transport.exchange(
                    method,
                    url,
                    self._headers(call, trace, timestamp, headers),
                    body,
                    connect_timeout=out.connect_timeout,
                    read_timeout=out.read_timeout,
                    total=out.total,
                    trace=trace,
                )
                status = exchange.status
                out.wait = told_to_wait(status, exchange.headers, self._now())
                answer = error_for(
                    exchange.status,
                    exchange.headers,
                    exchange.body,
                    flaw=exchange.flaw,
                    trace=trace,
                    accept=accept,
                    now=self._now(),
                )
                if isinstance(answer, UpstreamError):
                    raise answer
                try:
                    value = read(answer)
                except Unreadable as exc:
                    raise ContractBroken("UNREADABLE", trace=trace, status=status) from exc
        except UpstreamError as error:
            self._tell(endpoint, type(error).__name__, error.code, status, started, trace)
            raise
        self._tell(endpoint, "ok", answer.code, status, started, trace)
        return value

    @contextmanager
    def _allowed(self, endpoint: str, call: Call, trace: str) -> Iterator[_Outing]:
        """Lets the call out, in the time that its request has left, and tells the gate how it went."""
        left = budget.left()
        if left < LEAST_TIME:
            raise UpstreamUnavailable("NO_TIME", trace=trace, retry_after=1.0)
        who = call.who or call.token or call.idempotency_key or trace  # one customer has many keys, and one session
        permit = self.gate.enter(endpoint, f"{hash(who):x}", question=call.question, trace=trace)
        connect = self.config.connect_timeout if call.connect_timeout is None else call.connect_timeout
        read = self.config.read_timeout if call.read_timeout is None else call.read_timeout
        out = _Outing(min(connect, left), min(read, left), left if left < connect + read else None)
        patient = out.read_timeout >= self.config.read_timeout / 2
        try:
            yield out
        except UpstreamError as error:
            self.gate.leave(permit, error, patient=patient, wait=out.wait)
            raise
        except BaseException:  # an error of ours, or the process ends: the place of a probe must not stay taken
            self.gate.abandon(permit)
            raise
        self.gate.leave(permit, None, patient=patient, wait=out.wait)

    def _headers(self, call: Call, trace: str, timestamp: int, more: Mapping[str, str]) -> dict[str, str]:
        """docs/upstream.md 1.2. The time stamp equals the one in a signed body."""
        said = {
            "lang": call.lang,
            "token": call.token,
            "captcha": call.captcha,
            "idempotency-key": call.idempotency_key,
            "X-Forwarded-For": call.client_address,
            **more,
        }
        return {**self._always, "trace": trace, "timestamp": str(timestamp), **_present(said)}

    def _milliseconds(self) -> int:
        return int(self._now() * 1000)

    def _tell(self, endpoint: str, outcome: str, code: str, status: int, started: float, trace: str) -> None:
        """The one log line of a call. It holds nothing that a customer typed and nothing secret."""
        seconds = time.perf_counter() - started
        logger.info(
            "upstream %s %s code=%s status=%d ms=%d trace=%s",
            endpoint,
            outcome,
            code,
            status,
            seconds * 1000,
            trace,
            extra={"trace": trace},
        )
        if self._observe is not None:
            self._observe(endpoint, outcome, seconds, trace, code)


def _present(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: safe for name, value in headers.items() if value and (safe := header_value(value))}
