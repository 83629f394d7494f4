"""The front end, a partner and a stranger as different sites over HTTPS, with certificates made for one test run.

One listener on loopback stands for all their names. It serves the partner's and the stranger's pages itself and passes
everything for the front end on to it, as an operator's TLS proxy does. Browsers use it as their proxy, too: whatever
name they ask for leads here, so nothing leaves the machine.
"""

from __future__ import annotations

import datetime as dt
import json
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from html import escape
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

FRONT = "onboarding.test"
PARTNER = "partner.example"
STRANGER = "stranger.example"
SHOP = "shop.partner.example"  # the partner again, below its own name
NESTED = "nested.example"  # another stranger, in the stranger's page
HOSTS = (FRONT, PARTNER, SHOP, STRANGER, NESTED)

# -- Certificates ------------------------------------------------------------------------------------------------------


def _certificate(
    name: str, key: ec.EllipticCurvePrivateKey, signer: ec.EllipticCurvePrivateKey, issuer: str, hosts: tuple[str, ...]
) -> x509.Certificate:
    """Signed by `signer`; without hosts it is an authority's own."""
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=7))
        .add_extension(x509.BasicConstraints(ca=not hosts, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    if hosts:
        names = x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts])
        builder = builder.add_extension(names, critical=False)
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    return builder.sign(signer, hashes.SHA256())


@dataclass(frozen=True)
class Certificates:
    """An authority made for this run, and one certificate of it for all the sites."""

    authority: Path
    chain: Path
    key: Path

    @classmethod
    def make(cls, folder: Path) -> Certificates:
        made = cls(folder / "authority.pem", folder / "chain.pem", folder / "key.pem")
        issuer = "Authority of one test run"
        root, leaf = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        pem = serialization.Encoding.PEM
        made.authority.write_bytes(_certificate(issuer, root, root, issuer, ()).public_bytes(pem))
        made.chain.write_bytes(_certificate(FRONT, leaf, root, issuer, HOSTS).public_bytes(pem))
        form, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        made.key.write_bytes(leaf.private_bytes(pem, form, plain))
        return made

    def trusted_in(self, database: Path) -> None:
        """Makes the store of trust of a browser that keeps it in this folder, as Chromium and Firefox do."""
        database.mkdir(parents=True, exist_ok=True)
        store = f"sql:{database}"
        for arguments in (
            ["-N", "--empty-password"],
            ["-A", "-t", "C,,", "-n", "test", "-i", str(self.authority)],
        ):
            subprocess.run(["certutil", "-d", store, *arguments], check=True, capture_output=True, timeout=30)


# -- Sites -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Answer:
    """One answer of the front end, as it went to the browser."""

    method: str
    path: str
    query: str
    status: int
    headers: tuple[tuple[str, str], ...]
    asked: dict[str, str]  # the request's headers

    def all(self, name: str) -> list[str]:
        return [value for own, value in self.headers if own.lower() == name.lower()]


class Sites:
    """All the sites on one port. `front_end` is the port of the real server behind."""

    def __init__(self, certificates: Certificates) -> None:
        self.certificates = certificates
        self.front_end = 0
        self.answers: list[Answer] = []
        self.unguarded: set[str] = set()  # paths whose answers lose their policy on the way, for a test of what follows
        self._server = _Listener(("127.0.0.1", 0), _Handler)
        self._server.sites = self
        self._server.tls.load_cert_chain(certificates.chain, certificates.key)
        self.port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def origin(self, host: str) -> str:
        return f"https://{host}:{self.port}"

    @property
    def proxy(self) -> str:
        """What a browser is told to use as its proxy."""
        return f"127.0.0.1:{self.port}"

    def url(self, path: str, host: str = FRONT, **query: str) -> str:
        return self.origin(host) + path + (f"?{urlencode(query)}" if query else "")

    def framing(self, src: str, host: str = PARTNER, **more: str) -> str:
        """A page with nothing but a frame of this address, with these `attributes`."""
        return self.url("/bare", host, src=src, **more)

    def answers_to(self, path: str) -> list[Answer]:
        return [answer for answer in self.answers if answer.path == path]

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    sites: Sites

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)

    def finish_request(self, request: Any, client_address: Any) -> None:
        """In the connection's own thread: the handshake, after CONNECT when a browser comes as to its proxy."""
        with suppress(OSError):  # gone, or does not trust us
            request.settimeout(120)
            first = request.recv(1, socket.MSG_PEEK)
            if first == b"C":
                head = b""
                while first and not head.endswith(b"\r\n\r\n"):
                    first = request.recv(1)
                    head += first
                request.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            elif first != b"\x16":  # neither CONNECT nor TLS: a page over plain http
                _Handler(request, client_address, self)
                return
            with self.tls.wrap_socket(request, server_side=True) as secured:
                _Handler(secured, client_address, self)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Listener

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        host = self.headers.get("Host", "").partition(":")[0]
        if host == FRONT and parts.scheme != "http" and not parts.path.startswith("/control/"):
            return self._pass_on(parts.path, parts.query)
        sites = self.server.sites
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        page = _PAGES.get(parts.path) if host in HOSTS else None
        text = _DOCUMENT.format(page(sites, query, self.headers.get("Cookie", ""))) if page else ""
        self.send_response(200 if page else 404)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(text.encode())))
        self.send_header("Cache-Control", "no-store")
        if "cookie" in query:
            self.send_header("Set-Cookie", f"control={query['cookie']}; Path=/control/; SameSite=None; Secure")
        for name, header in (("referrer", "Referrer-Policy"), ("policy", "Content-Security-Policy")):
            if name in query:
                self.send_header(header, query[name])
        self.end_headers()
        self.wfile.write(text.encode())

    do_POST = do_HEAD = do_GET

    def _pass_on(self, path: str, query: str) -> None:
        """To the front end and back, as it is; only who asked, and how, is added."""
        sites = self.server.sites
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        connection = HTTPConnection("127.0.0.1", sites.front_end, timeout=60)
        connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in ("connection", "keep-alive", "transfer-encoding"):
                connection.putheader(name, value)
        connection.putheader("X-Forwarded-For", self.client_address[0])
        connection.putheader("X-Forwarded-Proto", "https")
        connection.endheaders(body)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        headers = answer.getheaders()
        asked = dict(self.headers.items())
        sites.answers.append(Answer(self.command, path, query, answer.status, tuple(headers), asked))
        self.send_response_only(answer.status)
        for name, value in headers:
            own = name.lower()
            if own in ("connection", "transfer-encoding", "content-length"):
                continue
            if own == "content-security-policy" and path in sites.unguarded:
                continue
            self.send_header(name, value)
        if answer.status not in (204, 304):
            self.send_header("Content-Length", answer.getheader("Content-Length") or str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: Any) -> None:
        """Silent."""


# -- Pages -------------------------------------------------------------------------------------------------------------

_DOCUMENT = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Test</title>'
    '<meta name="viewport" content="width=device-width, initial-scale=1"></head><body>{}</body></html>'
)

_LISTEN = """
window.heard = [];  // every message as it arrived, whoever sent it
addEventListener("message", ({origin, data}) => heard.push([origin, JSON.stringify(data)]));
for (const type of ["ready", "resize", "step", "problem", "registered", "submitted", "done", "closed"]) {
  document.addEventListener(`onboarding:${type}`, (event) => {
    document.getElementById("events").textContent += `${event.type} ${JSON.stringify(event.detail)}\\n`;
  });
}
"""

# Every quarter of a second each message goes to everybody: the page around, the page at the top, and all their frames.
_ATTACK = """
const deep = JSON.parse('{"source":"onboarding-host","type":"theme","theme":"dark","__proto__":{"polluted":"yes"}}');
const said = (type, payload, more) =>
  ({source: "onboarding", version: 1, type, seq: 1, reference: "FORGED", payload, ...more});
const messages = [
  said("ready", {}), said("resize", {height: 31}), said("resize", {height: 19000}, {seq: Number.MAX_SAFE_INTEGER}),
  said("step", {step: "done", level: "FORGED"}, {seq: 1e300}), said("registered", {customerNo: "FORGED"}, {seq: 5000}),
  said("done", {outcome: "passed"}, {seq: Infinity}), said("done", {outcome: "passed"}, {version: "1"}),
  said("toString", {}), said("__proto__", {polluted: "yes"}), said("constructor", {prototype: {polluted: "yes"}}),
  said("done", null), said(["done"], {outcome: "passed"}), said("step", "FORGED", {seq: "7", reference: {}}),
  JSON.parse('{"source":"onboarding","version":1,"type":"done","seq":9,"reference":"FORGED",' +
    '"__proto__":{"polluted":"yes"},"payload":{"__proto__":{"polluted":"yes"},"outcome":"passed"}}'),
  deep, {source: "onboarding-host", type: "theme", theme: "dark"},
  {source: "onboarding-host", type: "lang", lang: "es"},
  {source: "onboarding-host", type: "lang", lang: {toString: null}}, {source: "onboarding-host"},
  {source: ["onboarding-host"], type: ["theme"], theme: ["dark"]}, "onboarding", "", null, undefined, 17, true, [], {},
  new Map([["source", "onboarding"]]), new Date(), "x".repeat(100000),
];
let rounds = 0;
function attack() {
  for (const message of messages) {
    for (const window of [parent, top]) {
      window.postMessage(message, "*");
      for (let i = 0; i < window.length; i++) window[i].postMessage(message, "*");
    }
  }
  document.getElementById("rounds").textContent = ++rounds;
}
setInterval(attack, 250);
"""

_LOOK = """
document.getElementById("script").textContent = "on";
(async () => {
  const told = {};
  const ways = {
    localStorage: () => localStorage.setItem("a", "1") ?? localStorage.clear(),
    sessionStorage: () => sessionStorage.setItem("a", "1") ?? sessionStorage.clear(),
    indexedDB: () => new Promise((done, failed) => {
      const opened = indexedDB.open("a");
      opened.onerror = () => failed(opened.error);
      opened.onsuccess = () => {
        opened.result.close();
        indexedDB.deleteDatabase("a").onsuccess = done;
      };
    }),
    caches: async () => (await caches.open("a")) && caches.delete("a"),
  };
  for (const [name, use] of Object.entries(ways)) {
    try {
      await use();
      told[name] = "works";
    } catch (error) {
      told[name] = "throws";
    }
  }
  document.getElementById("storage").textContent = JSON.stringify(told);
})();
"""


def _snippet(sites: Sites, query: dict[str, str]) -> str:
    """As docs/embedding.md has it, and what writes the events down.

    Of the address: `style` of the page, the `partner`, `attributes` of the element, how many `times` it stands there,
    and `integrity` of the numbered `version` of the script.
    """
    home = sites.origin(FRONT)
    script = f'<script src="{home}/embed.js" async></script>'
    if "integrity" in query:
        pin = f'crossorigin="anonymous" integrity="{query["integrity"]}"'
        script = f'<script src="{home}/embed/{query["version"]}.js" async {pin}></script>'
    partner = query.get("partner", "default")
    element = f'<div data-onboarding data-partner="{partner}" {query.get("attributes", "")}></div>'
    return (
        f"<style>{query.get('style', '')}</style><script>{_LISTEN}</script>"
        f"{element * int(query.get('times', '1'))}"
        f'{script}<p id="below">What stands below the form.</p><pre id="events" hidden></pre>'
    )


def _attacker(sites: Sites, query: dict[str, str], cookie: str) -> str:
    inner = "" if "nested" in query else f'<iframe src="{sites.url("/attack", NESTED, nested="1")}"></iframe>'
    return f'<p id="rounds">0</p>{inner}<script>{_ATTACK}</script>'


_PAGES: dict[str, Callable[[Sites, dict[str, str], str], str]] = {
    "/": lambda sites, query, cookie: _snippet(sites, query),
    "/hostile": lambda sites, query, cookie: (
        f'<iframe id="attacker" src="{sites.url("/attack", STRANGER)}"></iframe>{_snippet(sites, query)}'
    ),
    "/attack": _attacker,
    "/bare": lambda sites, query, cookie: (
        f'<iframe src="{escape(query["src"])}" title="Open an account" width="900" height="900" '
        f"{query.get('attributes', '')}></iframe><script>{_LISTEN}</script>"
    ),
    "/post": lambda sites, query, cookie: (
        f'<form method="post" action="{escape(query["to"])}" target="inside"><button>Post</button></form>'
        '<iframe name="inside"></iframe>'
    ),
    "/control/": lambda sites, query, cookie: (
        f'<p id="cookie">{escape(cookie)}</p><p id="script">off</p><p id="storage"></p>'
        f'<noscript><p id="noscript"></p></noscript><script>{_LOOK}</script>'
    ),
}


def event_lines(text: str) -> list[dict[str, Any]]:
    """The events that the partner's page wrote down."""
    return [json.loads(line.partition(" ")[2]) for line in text.splitlines()]
