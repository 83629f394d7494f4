"""Every response of a partner's page and of a flow begun there may be framed by that partner, and by nobody else."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import requests
from django.urls import get_resolver

from onboarding.sandbox.server import Sandbox
from tests.support import Customer, Server, fresh_email, picture

ORIGINS = "https://acme.example https://*.acme.example:8443"
FOREIGN = {"Origin": "https://evil.example"}
UNKNOWN = "/f/" + "A" * 22 + "." + "B" * 43 + "/"

Start = Callable[..., Server]


def acme(server: Server) -> Server:
    """Adds a partner with two origins beside the built-in one."""
    row = f"slug='acme', name='Acme', origins={ORIGINS!r}, wildcards=True"
    server.manage("shell", "-c", f"from onboarding.models import Partner; Partner.objects.create({row})")
    return server


class Framed(Customer):
    """A customer of the partner, who notes who may frame each response, redirects included."""

    def _seen(self) -> list[tuple[int, str]]:
        found = []
        for response in (*self.shown.response.history, self.shown.response):
            assert "X-Frame-Options" not in response.headers
            (ancestors,) = re.findall(r"frame-ancestors ([^;]*)", response.headers["Content-Security-Policy"])
            found.append((response.status_code, ancestors))
        if self.shown.status == 413:  # what nobody read is still on that line
            self.session = requests.Session()
        return found

    def allows(self, *statuses: int, ancestors: str = ORIGINS) -> None:
        assert self._seen() == [(status, ancestors) for status in statuses]


@pytest.fixture
def customer(start_server: Start, sandbox: Sandbox) -> Framed:
    server = acme(start_server(EMBED_ORIGINS="https://default.example", UPSTREAM_READ_TIMEOUT="2.5"))
    return Framed(server, sandbox)


def test_a_whole_flow_with_everything_that_can_go_wrong_is_the_partners_alone(customer: Framed) -> None:
    page = "/p/acme/"
    for path in (page, page + "check/"):
        customer.get(path)
        customer.allows(200)
        customer.get(path + "?" + "&".join("a" * 5001))
        customer.allows(400)
    customer.identify(page, email="nonsense")
    customer.allows(422)
    for headers in (FOREIGN, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
        customer.post(page, customer.sent, **headers)
        customer.allows(403)
    customer.post(page, {"email": "x" * 100_000})
    customer.allows(413)

    customer.identify(page)
    customer.allows(303, 200)
    flow = customer.flow_url
    customer.post(flow + "verify/", {"code": "1"})
    customer.allows(409)
    customer.password()
    customer.allows(303, 200)
    customer.post(flow + "verify/", {"code": ""})
    customer.allows(422)
    customer.post(flow + "resend/", {})
    customer.allows(429)
    customer.post(flow + "verify/", {"code": customer.code()}, **FOREIGN)
    customer.allows(403)
    customer.post(flow + "verify/", {"code": "x" * 100_000})
    customer.allows(413)
    customer.post(flow + "language/", {"lang": "es"})
    customer.allows(303, 200)
    for step in ("status", "problem", "level", "continue"):
        customer.get(f"{flow}{step}/")
        customer.allows(*((303, 200) if step != "continue" else (200,)))
    for method in ("PUT", "DELETE", "OPTIONS"):
        customer._note(customer.session.request(method, flow, timeout=10))
        customer.allows(405)
    customer._note(customer.session.head(flow, timeout=10))
    customer.allows(200)

    customer.verify()
    customer.allows(303, 200)
    left, flow = flow, customer.flow_url
    customer.get(left)
    customer.allows(410)
    customer.post(left + "verify/", {"code": "1"})
    customer.allows(410)
    upload = {"level": "level_1", "field": "el-proof_of_passpord"}
    for content, status in ((picture(), 200), (b"no picture", 422), (b"\0" * (10 * 1024 * 1024 + 70_000), 413)):
        customer.post(flow + "upload/", upload, files={"el-proof_of_passpord": ("a.png", content, "image/png")})
        customer.allows(status)
    customer.post(flow + "level/", {"level": "level_1"})
    customer.allows(422)
    broken = {"Content-Type": "multipart/form-data; boundary=x"}
    customer._note(customer.session.post(flow + "level/", data=b"--x\r\nbroken", headers=broken, timeout=10))
    customer.allows(customer.shown.status)
    customer.post(flow + "level/", {"level": "level_1", **{f"f{i}": "" for i in range(5001)}})
    customer.allows(400)
    customer.post(flow + "handover/", {})
    customer.allows(303, 200)
    customer.get(flow)
    customer.level()
    customer.allows(303, 200)
    assert customer.shown.step == "done"
    customer.post(flow + "delete/", {})
    customer.allows(303, 200)
    assert customer.shown.response.url.startswith(customer.server.url + page)
    customer.get(flow)
    customer.allows(404, ancestors="'none'")  # whose it was is deleted too


def test_limits_and_an_upstream_that_is_away_are_the_partners_too(customer: Framed) -> None:
    customer.identify("/p/acme/", email=fresh_email("waf"))
    customer.password()
    customer.allows(503)
    customer.identify("/p/acme/")
    customer.password()
    codes = [f"{n:06}" for n in range(6) if f"{n:06}" != customer.code()][:5]
    for code, status in zip([*codes, customer.code()], (422, 422, 422, 422, 422, 429), strict=True):
        customer.post(customer.flow_url + "verify/", {"code": code})
        customer.allows(status)
    customer.register(path="/p/acme/", email=fresh_email("exists"))
    assert customer.shown.problem == "exists"
    customer.allows(303, 200)


def test_an_expired_flow_is_still_the_partners(start_server: Start, sandbox: Sandbox) -> None:
    customer = Framed(acme(start_server(FLOW_IDLE_MINUTES="1")), sandbox)
    customer.identify("/p/acme/")
    expire = "from onboarding.models import Flow; Flow.objects.update(expires_at='2020-01-01T00:00Z')"
    customer.server.manage("shell", "-c", expire)
    for shown in (customer.get(customer.flow_url), customer.post(customer.flow_url + "password/", {"skip": "1"})):
        assert shown.status == 410
        customer.allows(410)


def test_what_is_nobodys_can_be_framed_by_nobody(customer: Framed) -> None:
    ours = [str(pattern.pattern) for pattern in get_resolver().url_patterns]
    paths = ["/" + path for path in ours if re.fullmatch(r"[a-z.]+/?", path)]
    assert {"/healthz", "/embed.js", "/admin/"} <= set(paths)
    paths += [UNKNOWN, "/p/nobody/", "/p/nobody/check/", "/p/acme", "/nothing", "/f/x/", "/h/x/", "/embed/9.9.9.js"]
    paths += [UNKNOWN + "level/", UNKNOWN + "upload/", "/static/none.css", "/p/" + "a" * 80 + "/"]
    for path in paths:
        response = requests.get(customer.server.url + path, timeout=10, allow_redirects=False)
        assert "frame-ancestors 'none'" in response.headers["Content-Security-Policy"], path
        assert response.headers.get("X-Frame-Options", "DENY") == "DENY"
    for path in ("/p/nobody/", UNKNOWN + "level/"):
        customer.post(path, {}, **FOREIGN)
        customer.allows(403, ancestors="'none'")
    customer.get("/")
    customer.allows(200, ancestors="https://default.example")
