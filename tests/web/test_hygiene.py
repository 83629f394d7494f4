"""What must never happen on any page: cookies, missing headers, a 500. Leaks: test_leaks.py."""

from __future__ import annotations

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from onboarding.sandbox.server import Sandbox
from tests.support import Customer, Server

METHODS = st.sampled_from(["GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"])
HOSTILE = ["\x00", "\ud7ff", "' OR 1=1 --", "<script>alert(1)</script>", "../../etc/passwd", "%s%n", "9" * 400]
TEXT = st.text(max_size=40) | st.sampled_from(HOSTILE)
NAMES = (
    "landing ticket proof website channel country email phone phone_area terms account_type password skip code path "
    "level el-name el-id_card_type-kind lang change utm_source b_superiorAgent openAccountType"
).split()
FIELDS = st.dictionaries(st.sampled_from(NAMES), TEXT, max_size=6)
HEADER_NAMES = (
    "Accept-Language User-Agent X-Forwarded-For HX-Request HX-Current-URL Sec-CH-UA-Mobile Content-Type"
).split()
HEADERS = st.dictionaries(
    st.sampled_from(HEADER_NAMES), st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=60), max_size=3
)
FLOW_PATHS = [
    f"F{step}"
    for step in ("", *(f"{s}/" for s in "password verify level resend identify language continue handover".split()))
]
PATHS = ["/", "/p/default/", "/p/x/", *FLOW_PATHS, "/f/a/", "/h/a/", "/embed.js", "/metrics", "/%00", "/é"]


@given(
    method=METHODS,
    path=st.sampled_from(PATHS),
    query=FIELDS, data=FIELDS, headers=HEADERS,
)  # fmt: skip
@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_address_answers_500_to_anything(
    server: Server,
    visited: str,
    method: str,
    path: str,
    query: dict[str, str],
    data: dict[str, str],
    headers: dict[str, str],
) -> None:
    url = server.url + path.replace("F", visited, 1) if path.startswith("F") else server.url + path
    clean = {
        k: {n: v.encode("utf-8", "replace") for n, v in values.items()} for k, values in (("q", query), ("d", data))
    }
    answer = requests.request(
        method, url, params=clean["q"], data=clean["d"], headers=headers, allow_redirects=False, timeout=30
    )
    assert answer.status_code < 500 or answer.status_code == 503, (method, path, answer.text[:300])
    assert "<script>alert(1)</script>" not in answer.text


@pytest.fixture(scope="module")
def visited(server: Server, sandbox: Sandbox) -> str:
    """The path of a flow in its level step."""
    customer = Customer(server, sandbox)
    customer.register()
    return customer.flow_url.removeprefix(server.url)


@pytest.mark.parametrize(
    "body",
    [b"%", b"a=%zz&landing=%00", b"\xff\xfe=1", b"&".join(b"a=1" for _ in range(3000)), b"email=" + b"a" * 60_000],
)
def test_broken_form_bodies_are_answered_with_a_page(server: Server, body: bytes) -> None:
    answer = requests.post(
        server.url + "/", data=body, headers={"Content-Type": "application/x-www-form-urlencoded"}, timeout=30
    )
    assert answer.status_code in (400, 413, 422)
    assert 'id="step"' in answer.text


@pytest.mark.parametrize(
    "content_type",
    ["multipart/form-data", "multipart/form-data; boundary=x", "application/json", "text/plain; charset=nonsense"],
)
def test_broken_multipart_and_foreign_types_are_answered_with_a_page(
    server: Server, visited: str, content_type: str
) -> None:
    for url in (server.url + "/", server.url + visited + "level/"):
        answer = requests.post(
            url, data=b"--x\r\nContent-Disposition: form-data; name", headers={"Content-Type": content_type}, timeout=30
        )
        assert answer.status_code in (400, 409, 422)
        assert 'id="step"' in answer.text


def test_an_unknown_host_is_refused_with_a_page(server: Server) -> None:
    answer = requests.get(server.url + "/", headers={"Host": "evil.example"}, timeout=30)
    assert answer.status_code == 400
    assert "evil.example" not in answer.text
