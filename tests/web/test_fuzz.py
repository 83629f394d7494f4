"""Anything at all, sent to every address: no error of ours, no markup that comes back, and little time.

In a test run the same requests every time; `make fuzz` sends other ones for as long as FUZZ says.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
import requests
from django.urls import get_resolver
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from onboarding.sandbox.server import Sandbox
from tests.console import Operator
from tests.hostile import markup
from tests.support import ROOT, Customer, Server, picture

EXAMPLES = int(os.environ.get("FUZZ", "0"))
MOST_CPU = 0.2  # seconds of the server's own time for one request
UNKNOWN = "A" * 22 + "." + "B" * 43

# By route, the addresses asked; F stands for a flow in its level step, N for one that has just begun, H for a link.
PATHS = {
    "start": ["/"], "partner": ["/p/default/", "/p/nobody/", "/p/-/"], "check": ["/p/default/check/", "/p/x/check/"],
    "flow": ["F/", "N/", f"/f/{UNKNOWN}/"], "resend": ["N/resend/", "F/resend/"], "upload": ["F/upload/"],
    "answer": [f"{flow}/{step}/" for flow in "FN" for step in ("identify", "password", "verify", "path", "level")],
    "delete": [f"/f/{UNKNOWN}/delete/"], "language": ["F/language/", "N/language/"], "continue": ["F/continue/"],
    "handover": ["F/handover/", "N/handover/"], "link": ["H/", f"/h/{UNKNOWN}/"], "elsewhere": ["F/status/", "N/done/"],
    "embed": ["/embed.js"], "embed-version": ["/embed/1.0.0.js", "/embed/%2e%2e.js"], "healthz": ["/healthz"],
    "readyz": ["/readyz"], "metrics": ["/metrics"], "version": ["/version"],
    "admin": ["/admin/", "/admin/login/", "/admin/logout/", "/admin/second-factor/", "/admin/jsi18n/", "/admin/%00/",
              "/admin/onboarding/flow/", "/admin/onboarding/funnel/", "/admin/r/1/1/", "/admin/auth/user/1/password/"],
    "none": ["/%00", "/é", "//", "/static/%00", "/static/../settings.py", "/f/", "/h/a/", "/p//", "/.env"],
}  # fmt: skip
MARKS = (
    "<svg onload=alert(1)>", '"><x-marked>', "'><x-marked>", "</title><x-marked>", "</script><x-marked>",
    "<!--<x-marked>",
    "</textarea></select><x-marked>", "javascript:alert(1)", "\" onfocus=alert(1) x=\"", "<x-marked",
    "&lt;x-marked&gt;",
    "+ADw-x-marked+AD4-", "\u2028<x-marked>", "\x00<x-marked>", "{{7*7}}{% debug %}", "' OR 1=1 --", "../../etc/passwd",
    "%s%n%(x)s{0.__class__}", "9" * 400, "-1", "1e999", "\ud7ff", "\U0010ffff", "\r\nSet-Cookie: a=b", "a" * 5000, "",
)  # fmt: skip
TEXT = st.sampled_from(MARKS) | st.text(max_size=40)
NAMES = (
    "landing channel country email phone phone_area terms account_type password skip code path level el-name field "
    "nonce el-id_card_type-kind el-id_card_type-number el-birthday lang change switch utm_source utm_id "
    "b_superiorAgent touch openAccountType mobile ticket website page deleted declare draft language handover close "
    "proof back without_agent g-recaptcha-response username next confirm begin remove recovery csrfmiddlewaretoken q p "
    "o _popup _to_field group first last format e"
).split()
HEADERS = (
    "Accept-Language User-Agent X-Forwarded-For X-Forwarded-Proto HX-Request HX-Current-URL HX-Target Sec-CH-UA-Mobile "
    "Sec-Fetch-Site Sec-Fetch-Dest Sec-GPC Origin Referer Authorization Content-Type Cookie Accept-Encoding Range "
    "If-None-Match X-Requested-With Accept"
).split()
FIELDS = st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=10), TEXT, max_size=6)
HEADER_VALUES = st.sampled_from(MARKS).map(lambda text: re.sub(r"[^\x21-\xff]", "", text)) | st.text(
    st.characters(min_codepoint=33, max_codepoint=255, exclude_categories=["Cc"]), max_size=60
)
METHODS = st.sampled_from(
    ["GET", "GET", "POST", "POST", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "X"]
)
OPTIONS = settings(
    max_examples=EXAMPLES or 350, derandomize=not EXAMPLES, deadline=None, phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip


def test_every_address_and_every_header_that_is_read_is_tried_here() -> None:
    named = {getattr(pattern, "name", None) or "admin" for pattern in get_resolver().url_patterns}
    assert named == set(PATHS) - {"none"}
    reads = re.compile(r"headers(?:\.get\(|\[)\s*\"([\w-]+)\"|\"([\w-]+)\" (?:not )?in request\.headers")
    sources = [path.read_text() for path in (ROOT / "onboarding").glob("*.py")]
    found = {name for text in sources for pair in reads.findall(text) for name in pair if name}
    assert {"Origin", "Sec-GPC", "HX-Request"} <= found <= set(HEADERS)


class _Target:
    """What is asked: the server, its flows, and how much of the processor it has used."""

    def __init__(self, server: Server, sandbox: Sandbox) -> None:
        self.server, self.session = server, requests.Session()
        self.customer, new = Customer(server, sandbox), Customer(server, sandbox)
        self.customer.register()
        new.identify()
        self.places = {"F": self.path_of(self.customer), "N": self.path_of(new)}
        self.customer.post(self.customer.flow_url + "handover/", {})
        self.places["H"] = re.findall(r"(/h/[\w.-]+)/", self.customer.shown.text)[0]

    def path_of(self, customer: Customer) -> str:
        return customer.flow_url.removeprefix(self.server.url).rstrip("/")

    def cpu(self) -> float:
        """Seconds of the processor that the server's processes have had."""
        assert self.server.process is not None
        group, ticks = self.server.process.pid, 0
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rpartition(") ")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(fields[2]) == group:
                ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def ask(self, method: str, path: str, **sent: Any) -> requests.Response:
        url = self.server.url + (self.places[path[0]] + path[1:] if path[0] in self.places else path)
        return self.session.request(method, url, allow_redirects=False, timeout=60, **sent)


@pytest.fixture(scope="module")
def target(server: Server, sandbox: Sandbox) -> _Target:
    return _Target(server, sandbox)


def _bytes(fields: dict[str, str]) -> dict[bytes, bytes]:
    return {name.encode("utf-8", "replace"): value.encode("utf-8", "replace") for name, value in fields.items()}


def sound(answer: requests.Response, asked: object) -> None:
    assert answer.status_code < 500 or answer.status_code == 503, (asked, answer.text[:300])
    assert "Set-Cookie" not in answer.headers or answer.request.path_url.startswith("/admin")
    if "html" in answer.headers.get("Content-Type", ""):
        assert markup(answer.content.decode("utf-8")) == [], asked


@given(
    method=METHODS, path=st.sampled_from([path for paths in PATHS.values() for path in paths]), query=FIELDS,
    data=FIELDS,
    headers=st.dictionaries(st.sampled_from(HEADERS), HEADER_VALUES, max_size=3),
    file=st.none() | st.binary(max_size=60),
)  # fmt: skip
@OPTIONS
def test_nothing_sent_anywhere_is_an_error_of_ours_comes_back_as_markup_or_takes_long(
    target: _Target, method: str, path: str, query: dict[str, str], data: dict[str, str], headers: dict[str, str],
    file: bytes | None,
) -> None:  # fmt: skip
    sent: dict[str, Any] = {
        "params": _bytes(query), "data": _bytes(data), "headers": {n: v.encode("latin-1") for n, v in headers.items()},
    }  # fmt: skip
    if file is not None:
        sent["files"] = {"el-proof_of_passpord": ("<x-marked>.png", file, "image/png")}
    before = target.cpu()
    sound(target.ask(method, path, **sent), (method, path, sent))
    if target.cpu() - before > MOST_CPU:  # what is made once is made by now
        before = target.cpu()
        target.ask(method, path, **sent)
        assert target.cpu() - before <= MOST_CPU, (method, path, sent)


@given(values=st.lists(TEXT, min_size=8, max_size=8))
@settings(OPTIONS, max_examples=EXAMPLES // 4 or 25)
def test_what_is_stored_is_shown_as_text(target: _Target, values: list[str]) -> None:
    """Drafts of a level on its page, the agent and the campaign of a link in the flow, and all of it in the console."""
    names = (
        "el-name",
        "el-birthday",
        "el-id_card_type-number",
        "el-id_card_type-kind",
        "el-x",
        "draft",
        "lang",
        "level",
    )
    data = dict(zip(names, values, strict=True)) | {"level": "level_1", "draft": "1"}
    files = {"el-proof_of_passpord": (f"{values[0][:100]}.png".replace("\x00", ""), picture(), "image/png")}
    for answer in (
        target.ask("POST", "F/level/", data=_bytes(data)),
        target.ask("POST", "F/upload/", data={"level": "level_1", "field": "el-proof_of_passpord"}, files=files),
        target.ask("GET", "F/"),
    ):
        sound(answer, data)


def test_the_console_shows_none_of_it_as_markup(target: _Target) -> None:
    console = Operator(target.server)
    for path in ("onboarding/flow/", "onboarding/submission/", "onboarding/flow/1/change/", "onboarding/funnel/"):
        sound(console.get(path), path)
