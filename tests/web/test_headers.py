"""Every kind of response of every address, with exactly the headers that stand in headers.txt.

`pytest tests/web/test_headers.py --renew` writes that file anew: read the difference before it is committed.
"""

from __future__ import annotations

import contextlib
import re
import socket
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from django.urls import get_resolver

from onboarding.sandbox.server import Sandbox
from tests.console import NAME, PASSWORD
from tests.support import Customer, Server, picture

SNAPSHOT = Path(__file__).with_name("headers.txt")
HOST = "onboarding.test"
ORIGINS = "https://partner.example,https://other.example:8443"
PROXY = {"Host": HOST, "X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.9"}
UNKNOWN = "A" * 22 + "." + "B" * 43
# The last one says whether the server had read a body that was refused before it ended the answer.
BOUND_TO_THE_MOMENT = {"date", "content-length", "etag", "last-modified", "connection"}
HTMX = {"HX-Request": "true", "HX-Current-URL": f"https://{HOST}/"}

Seen = dict[str, list[tuple[str, str]]]  # what was asked → the answer's headers


def _told(answer: requests.Response) -> list[tuple[str, str]]:
    """The headers in one order, without what differs from one run to the next."""
    found = []
    for name, value in sorted(answer.raw.headers.items()):
        if name.lower() in BOUND_TO_THE_MOMENT:
            continue
        value = re.sub(r"'nonce-[\w-]{22}'", "'nonce-…'", value)
        value = re.sub(r"/([fh])/[\w.-]{66}/", r"/\1/…/", value)
        value = re.sub(r"(csrftoken|sessionid|tsource|onboarding)=[^;&\"]+", r"\1=…", value)
        value = re.sub(r"expires=[^;]+|[A-Z][a-z]{2}, \d\d .* GMT$|\d{4}-\d\d-\d\d", "…", value)
        value = re.sub(r"\?lang=.*", "?…", value)
        found.append((name, re.sub(r"^\d+$", "…", value) if name.lower() == "retry-after" else value))
    return found


class _Reader:
    """Asks, and notes under the route's name, what was asked and the status what the answer's headers are."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.seen: Seen = {}
        self.routes: set[str] = set()

    def ask(
        self, route: str, what: str, path: str, *, status: int, method: str = "GET", **more: Any
    ) -> requests.Response:
        headers = {**PROXY, **more.pop("headers", {})}
        headers = {name: value for name, value in headers.items() if value}
        answer = requests.request(
            method, self.server.url + path, headers=headers, allow_redirects=False, timeout=30, **more
        )
        assert answer.status_code == status, (route, what, answer.status_code, answer.text[:300])
        self.routes.add(route)
        self.seen[f"{status} {route}: {what}"] = _told(answer)
        return answer


@pytest.fixture(scope="module")
def production(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """As it runs behind a proxy that ends TLS."""
    server = Server(
        database=f"sqlite:///{tmp_path_factory.mktemp('headers') / 'onboarding.sqlite3'}",
        upstream=sandbox.url + "/api",
        PUBLIC_URL=f"https://{HOST}",
        TRUSTED_PROXY_COUNT="1",
        EMBED_ORIGINS=ORIGINS,
        CONTINUE_URL="https://trading.example/{lang}/home?tsource={token}",
        METRICS_TOKEN="a-token-of-the-tests",
    )
    server.manage("migrate", "--verbosity", "0")
    with server:
        yield server


def _customers_pages(read: _Reader, sandbox: Sandbox) -> None:
    customer = Customer(read.server, sandbox, headers=PROXY)
    big = {"email": "x" * 100_000}
    read.ask("start", "page", "/", status=200)
    read.ask("start", "part for htmx", "/", headers=HTMX, status=200)
    read.ask("start", "head", "/", method="HEAD", status=200)
    read.ask("start", "wrong answers", "/", method="POST", data={"email": "wrong"}, status=422)
    read.ask("start", "foreign", "/", method="POST", headers={"Origin": "https://evil.example"}, status=403)
    read.ask("start", "too large", "/", method="POST", data=big, status=413)
    read.ask("start", "too many parameters", "/?" + "&".join("a" * 5001), status=400)
    for method in ("PUT", "DELETE", "OPTIONS"):
        read.ask("start", method, "/", method=method, status=405)
    read.ask("partner", "page", "/p/default/", status=200)
    read.ask("partner", "unknown", "/p/nobody/", status=404)
    read.ask("partner", "without slash", "/p/default", status=301)
    read.ask("check", "page", "/p/default/check/", status=200)
    read.ask("check", "unknown", "/p/nobody/check/", status=404)

    customer.identify()
    read.ask("start", "begun", "/", method="POST", data=customer.sent, status=303)
    flow = customer.flow_url.removeprefix(read.server.url)
    below = {"status": 303, "method": "GET"}
    read.ask("flow", "page", flow, status=200)
    read.ask("flow", "part for htmx", flow, headers=HTMX, status=200)
    read.ask("flow", "posted", flow, method="POST", status=409)
    read.ask("flow", "unknown", f"/f/{UNKNOWN}/", status=404)
    read.ask("answer", "stale", flow + "verify/", method="POST", data={"code": "1"}, status=409)
    read.ask("answer", "wrong", flow + "password/", method="POST", data={"password": "x"}, status=422)
    read.ask("answer", "foreign", flow + "password/", method="POST", headers={"Origin": "null"}, status=403)
    read.ask("answer", "looked at", flow + "password/", **below)
    customer.password()
    read.ask("resend", "too soon", flow + "resend/", method="POST", status=429)
    read.ask("elsewhere", "looked at", flow + "status/", **below)
    read.ask("delete", "looked at", flow + "delete/", **below)
    read.ask("language", "changed", flow + "language/", method="POST", data={"lang": "en"}, status=303)
    customer.verify()
    read.ask("flow", "left", flow, status=410)
    flow = customer.flow_url.removeprefix(read.server.url)
    name = "el-proof_of_passpord"
    for content, status in ((picture(), 200), (b"none", 422)):
        read.ask(
            "upload", "picture", flow + "upload/", method="POST", data={"level": "level_1", "field": name},
            files={name: ("a.png", content, "image/png")}, status=status,
        )  # fmt: skip
    read.ask("handover", "made", flow + "handover/", method="POST", status=303)
    page = read.ask("handover", "page", flow + "handover/", status=200)
    link = re.findall(r"/h/[\w.-]+/", page.text)[0]
    read.ask("link", "page", link, status=200)
    read.ask("link", "used", link, method="POST", data={"nonce": "A" * 22}, status=303)
    read.ask("link", "over", link, status=410)
    read.ask("link", "unknown", f"/h/{UNKNOWN}/", status=404)
    read.ask("continue", "too early", flow + "continue/", status=200)
    customer.get(flow)
    customer.level()
    read.ask("continue", "followed", flow + "continue/", **below)
    read.ask("delete", "deleted", flow + "delete/", method="POST", status=303)


def _machines(read: _Reader) -> None:
    read.ask("embed", "script", "/embed.js", status=200)
    read.ask("embed-version", "script", "/embed/1.0.0.js", status=200)
    read.ask("embed-version", "unknown", "/embed/9.js", status=404)
    for route in ("healthz", "readyz", "version"):
        read.ask(route, "asked", f"/{route}", status=200)
        read.ask(route, "posted", f"/{route}", method="POST", status=403)
        read.ask(route, "traced", f"/{route}", method="TRACE", status=405)
    read.ask("healthz", "over plain http", "/healthz", headers={"X-Forwarded-Proto": "http"}, status=200)
    read.ask("metrics", "asked", "/metrics", headers={"Authorization": "Bearer a-token-of-the-tests"}, status=200)
    read.ask("metrics", "without the token", "/metrics", status=403)
    style = re.findall(r'href="(/static/css/[^"]+)"', requests.get(read.server.url, headers=PROXY, timeout=10).text)[0]
    read.ask("static", "file", style, headers={"Accept-Encoding": "identity"}, status=200)
    read.ask("static", "compressed", style, headers={"Accept-Encoding": "gzip"}, status=200)
    read.ask("static", "unknown", "/static/none.css", status=404)
    read.ask("nothing", "unknown", "/nothing", status=404)
    read.ask("nothing", "unknown part for htmx", "/nothing", headers=HTMX, status=404)
    for scheme in ("http", "https"):
        wrong = {"Host": "evil.example", "X-Forwarded-Proto": scheme}
        read.ask("nothing", f"wrong host over {scheme}", "/", headers=wrong, status=400)
    read.ask("nothing", "over plain http", "/", headers={"X-Forwarded-Proto": "http"}, status=301)


def _console(read: _Reader) -> None:
    read.ask("admin", "sign-in", "/admin/login/", status=200)
    read.ask("admin", "not signed in", "/admin/", status=302)
    read.ask("admin", "without slash", "/admin", status=301)
    read.ask("admin", "foreign", "/admin/login/", method="POST", status=403)
    read.ask("admin", "unknown", "/admin/nothing/", status=302)
    create = f"User.objects.create_superuser({NAME!r}, password={PASSWORD!r})"
    read.server.manage("shell", "-c", f"from django.contrib.auth.models import User; {create}")
    # Secure cookies have to be carried by hand over this test's plain http.
    cookies: dict[str, str] = {}

    def kept(answer: requests.Response) -> requests.Response:
        for name, value in re.findall(r"(csrftoken|sessionid)=([^;]+)", answer.headers.get("Set-Cookie", "")):
            cookies[name] = value
        return answer

    def carrying() -> dict[str, str]:
        return {
            "Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items()),
            "Referer": f"https://{HOST}/",
        }

    kept(read.ask("admin", "sign-in", "/admin/login/", status=200))
    for password, what, status in (("wrong", "wrong password", 200), (PASSWORD, "signed in", 302)):
        data = {"username": NAME, "password": password, "csrfmiddlewaretoken": cookies["csrftoken"]}
        kept(read.ask("admin", what, "/admin/login/", method="POST", data=data, headers=carrying(), status=status))
    read.ask("admin", "index", "/admin/", headers=carrying(), status=200)
    read.ask("admin", "list", "/admin/onboarding/flow/", headers=carrying(), status=200)
    read.ask("admin", "form", "/admin/onboarding/partner/add/", headers=carrying(), status=200)
    read.ask("admin", "texts of its scripts", "/admin/jsi18n/", headers=carrying(), status=200)
    read.ask("admin", "sheet", "/admin/onboarding/funnel/?format=csv", headers=carrying(), status=200)
    read.ask("admin", "nothing there", "/admin/onboarding/nothing/", headers=carrying(), status=404)


def _broken(read: _Reader, sandbox: Sandbox) -> None:
    """An error of ours, by a row of nonsense, and one of the database; last, because nothing works afterwards."""
    customer = Customer(read.server, sandbox, headers=PROXY)
    customer.identify()
    flow = customer.flow_url.removeprefix(read.server.url)
    path = read.server.env["DATABASE_URL"].removeprefix("sqlite:///")
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE onboarding_flow SET outcome = 'nonsense'")
    read.ask("flow", "an error of ours", flow, status=500)
    read.ask("flow", "an error of ours, for htmx", flow, headers=HTMX, status=500)
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute("DROP TABLE onboarding_submission")
    read.ask("flow", "a database that does not do it", flow, status=503)
    read.ask("flow", "a database that does not do it, for htmx", flow, headers=HTMX, status=503)
    log = read.server.log.read_text()
    assert "no such table" in log and "Traceback" in log
    assert flow.split("/")[2] not in log


def _written(seen: Seen) -> str:
    """What all answers have in common first; then those with the same further headers together, above these."""
    common = set.intersection(*(set(headers) for headers in seen.values()))
    groups: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for case, headers in seen.items():
        groups.setdefault(tuple(one for one in headers if one not in common), []).append(case)
    listed = [(["every answer"], tuple(sorted(common))), *((cases, told) for told, cases in groups.items())]
    parts = ["\n".join([*cases, *(f"    {name}: {value}" for name, value in told)]) for cases, told in listed]
    return "\n\n".join(parts) + "\n"


def test_every_answer_has_exactly_the_headers_of_the_snapshot(
    production: Server, sandbox: Sandbox, request: pytest.FixtureRequest
) -> None:
    read = _Reader(production)
    _customers_pages(read, sandbox)
    _machines(read)
    _console(read)
    _broken(read, sandbox)
    named = {getattr(pattern, "name", None) or "admin" for pattern in get_resolver().url_patterns}
    assert named == read.routes - {"static", "nothing"}, "every address of urls.py has its answers here"
    for case, headers in read.seen.items():
        told = dict(headers)
        assert "unsafe" not in told["content-security-policy"], case
        assert told["x-content-type-options"] == "nosniff", case
        if not re.search("plain http|over http$", case):
            assert told["strict-transport-security"] == "max-age=31536000; includeSubDomains; preload", case
    if request.config.getoption("--renew"):
        SNAPSHOT.write_text(_written(read.seen))
    assert _written(read.seen) == SNAPSHOT.read_text()


def test_every_page_has_a_nonce_of_its_own_on_each_of_its_scripts(production: Server) -> None:
    found = set()
    for path in ("/", "/", "/p/default/check/", "/nothing"):
        page = requests.get(production.url + path, headers=PROXY, timeout=10)
        (nonce,) = re.findall(r"script-src 'nonce-([\w-]{22})';", page.headers["Content-Security-Policy"])
        scripts = re.findall(r"<script[^>]*>", page.text)
        assert scripts and all(f' nonce="{nonce}"' in script for script in scripts)
        found.add(nonce)
    assert len(found) == 4


def test_the_server_itself_answers_what_is_no_request_with_an_empty_page(production: Server) -> None:
    """Before any code of ours: nothing of the request comes back, and there is nothing that a policy could concern."""
    for text in (
        b"GET / HTTP/1.1\r\n\r\n\r\nno request\r\n\r\n", b"\x16\x03\x01\x02", b"GET  HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"<svg>" * 200_000 + b"\r\n\r\n",
        b"GET /" + b"<svg>" * 200_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    ):  # fmt: skip
        with socket.create_connection(("127.0.0.1", production.port), timeout=10) as line:
            with contextlib.suppress(OSError):
                line.sendall(text)
                line.shutdown(socket.SHUT_WR)
            answer = b""
            with contextlib.suppress(OSError):
                answer = b"".join(iter(lambda: line.recv(65536), b""))
        assert not answer or re.match(rb"HTTP/1.1 (400|404|413|414|431) ", answer), answer[:200]
        assert b"<svg>" not in answer
