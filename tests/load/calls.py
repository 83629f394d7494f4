"""What a call to the upstream costs this process, beside bare urllib3 sending the same bytes over a kept connection."""

from __future__ import annotations

import base64
import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import django
import requests
import urllib3
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from requests.utils import DEFAULT_CA_BUNDLE_PATH

from onboarding.upstream import signing
from onboarding.upstream.client import Call, UpstreamClient, UpstreamConfig
from onboarding.upstream.transport import default_tls
from onboarding.upstream.wire import BizType, RegisterRequest, SendCodeRequest
from tests.load import stub
from tests.load.lines import Line, beside
from tests.support import TEST_KEY

CALLS = 300
BOUND = 1.7
BARE = "bare urllib3, same bytes, kept connection"
REGISTER = RegisterRequest(
    type=1, login_name="ann@example.org", country="GB", verify_code="482913",
    send_token="38caf08b-fafd-4cb5-b36c-ebdd1878b974", register_source=1, open_account_type=0, lang="en-US",
    register_device="Pixel 9", utm_source="newsletter", protocol=True,
)  # fmt: skip
SEND = SendCodeRequest(biz_type=BizType.EMAIL_REGISTER, to_user="ann@example.org", country="GB")
CALL = Call(idempotency_key="0a1b2c3d-0a1b-4c3d-8e5f-0a1b2c3d4e5f", client_address="203.0.113.9")
Ask = Callable[[UpstreamClient], object]


@dataclass(frozen=True)
class Sent:
    """One request as it went over the wire."""

    path: str
    headers: dict[str, str]
    body: bytes


def lines() -> list[Line]:
    from onboarding.metrics import observe_upstream  # only now: it needs nothing, but what it stands beside does

    def client(url: str, **settings: Any) -> UpstreamClient:
        config = UpstreamConfig(base_url=url + "/api", company_id="439", **settings)
        return UpstreamClient(config, observe=observe_upstream)

    asks: dict[str, Ask] = {
        "send a code": lambda upstream: upstream.send_code(SEND, CALL),
        "register": lambda upstream: upstream.register(REGISTER, CALL),
    }
    found = []
    with _quiet(), stub.running() as there, stub.running(tls=True) as safe:
        for name, ask in asks.items():
            mine, sent = client(there.url), _sent(client, ask)
            bare = _bare(there.url, sent)
            found.append(beside(f"call: {name}", BARE, lambda a=ask, m=mine: a(m), bare, CALLS, at_most=BOUND))
        sent = _sent(client, asks["register"])
        found.append(_encrypted(client, there.url, sent))
        found.append(beside("a new requests.post for each call", BARE, _careless(there.url, sent), bare, CALLS // 5))
        trust(safe)
        found += _over_tls(client(safe.url), safe.url, asks["register"], sent)
    return found


def trust(there: stub.Stub) -> None:
    """This process believes the stub's certificate, among all the others of a real store."""
    assert there.authority is not None
    store = there.authority.with_name("store.pem")
    store.write_text(Path(DEFAULT_CA_BUNDLE_PATH).read_text() + there.authority.read_text())
    os.environ["SSL_CERT_FILE"] = os.environ["REQUESTS_CA_BUNDLE"] = str(store)
    default_tls.cache_clear()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Django with the log of production, whose lines go nowhere."""
    os.environ.update(
        SECRET_KEY=TEST_KEY, DEBUG="false", UPSTREAM_COMPANY_ID="1", UPSTREAM_BASE_URL="http://127.0.0.1:9/api",
        LOG_FORMAT="json", DJANGO_SETTINGS_MODULE="onboarding.settings",
    )  # fmt: skip
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):
        django.setup()
        yield


def _sent(client: Callable[..., UpstreamClient], ask: Ask, **settings: Any) -> Sent:
    """What this call sends, read off the wire."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        received = bytearray()

        def meet() -> None:
            peer, _ = listener.accept()
            with peer:
                while b"\r\n\r\n" not in received or len(received) < _length(received):
                    received.extend(peer.recv(65536))
                peer.sendall(stub.REPLY)

        thread = threading.Thread(target=meet)
        thread.start()
        ask(client(f"http://127.0.0.1:{listener.getsockname()[1]}", **settings))
        thread.join(10)
    head, _, body = bytes(received).partition(b"\r\n\r\n")
    first, *rows = head.decode().split("\r\n")
    headers = dict(row.split(": ", 1) for row in rows)
    return Sent(first.split()[1], {name: value for name, value in headers.items() if name.lower() != "host"}, body)


def _length(received: bytearray) -> int:
    head = bytes(received).partition(b"\r\n\r\n")[0]
    rows = head.lower().split(b"\r\n")
    return len(head) + 4 + next((int(row[15:]) for row in rows if row.startswith(b"content-length:")), 0)


def _bare(url: str, sent: Sent) -> Callable[[], bytes]:
    pool = urllib3.PoolManager(num_pools=1, maxsize=4, ssl_context=default_tls() if url.startswith("https") else None)
    return lambda: pool.request("POST", url + sent.path, body=sent.body, headers=sent.headers, retries=False).data


def _careless(url: str, sent: Sent) -> Callable[[], bytes]:
    return lambda: requests.post(url + sent.path, data=sent.body, headers=sent.headers, timeout=10).content


def _encrypted(client: Callable[..., UpstreamClient], url: str, sent: Sent) -> Line:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()
    der = base64.b64encode(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()
    mine = client(url, public_key=der)
    wire = _sent(client, lambda upstream: upstream.register(REGISTER, CALL), public_key=der)
    bare = _bare(url, replace(sent, body=wire.body, headers={**sent.headers, "Content-Length": str(len(wire.body))}))
    body = REGISTER.to_wire()

    def floor() -> None:
        signing.protect(body, 1760000000123, key)
        bare()

    peer = BARE + ", and the cryptography alone"
    name = "call: register, signed and encrypted"
    return beside(name, peer, lambda: mine.register(REGISTER, CALL), floor, CALLS // 2, at_most=BOUND)


def _over_tls(mine: UpstreamClient, url: str, ask: Ask, sent: Sent) -> list[Line]:
    bare = _bare(url, sent)

    def anew() -> None:
        mine.close()  # the connections, not the certificates
        ask(mine)

    return [
        beside("call: register, over TLS", BARE, lambda: ask(mine), bare, CALLS, at_most=BOUND),
        beside("the same over a new TLS connection", "the same over a kept one", anew, lambda: ask(mine), CALLS // 5),
        beside("the same over a new TLS connection", "a new requests.post", anew, _careless(url, sent), 20),
    ]
