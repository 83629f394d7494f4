"""What must never happen on any page: cookies, missing headers, a 500. Leaks: test_leaks.py."""

from __future__ import annotations

import pytest
import requests

from onboarding.sandbox.server import Sandbox
from tests.support import Customer, Server


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
