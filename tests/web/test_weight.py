"""What a visitor's connection carries: bytes as they are sent, compressed, and how many requests a page makes."""

from __future__ import annotations

import re
from urllib.parse import urljoin

import pytest
import requests

from tests.support import Customer, Server, fresh_email

BROWSER = {"Accept-Encoding": "gzip, deflate, br, zstd", "Accept-Language": "en"}  # as over https
HEADERS = 900  # bytes of an answer's own headers, about


def sent(url: str, **headers: str) -> tuple[int, str]:
    """Bytes on the line, and the text that they unpack to."""
    answer = requests.get(url, headers=BROWSER | headers, timeout=20, stream=True)
    assert answer.status_code == 200
    weight = int(answer.headers.get("Content-Length", 0))
    return weight + HEADERS, answer.text


def files_of(page: str, kind: str) -> list[str]:
    found = re.findall(r'<(?:script|link)[^>]* (?:src|href)="(/static/[^"]+)"', page)
    return [path for path in found if path.endswith(kind)]


@pytest.mark.parametrize("path", ["/", "/?lang=zh-hans&channel=phone"])
def test_the_first_page_is_light(server: Server, path: str) -> None:
    weight, page = sent(server.url + path)
    styles, scripts = files_of(page, ".css"), files_of(page, ".js")
    bare = weight + sum(sent(urljoin(server.url, name))[0] for name in styles)
    whole = bare + sum(sent(urljoin(server.url, name))[0] for name in scripts)
    assert (1 + len(styles), bare <= 12_000) == (2, True), bare
    assert 1 + len(styles) + len(scripts) <= 5
    assert whole <= 30_000


def test_a_step_that_is_swapped_in_is_light(customer: Customer) -> None:
    weights = {}
    customer.identify(email=fresh_email())
    weights["password"] = sent(customer.flow_url, **{"HX-Request": "true"})[0]
    customer.post(customer.flow_url + "password/", {"skip": "1"})
    weights["verify"] = sent(customer.flow_url, **{"HX-Request": "true"})[0]
    customer.verify()
    assert customer.shown.step == "level"
    weights["level"] = sent(customer.flow_url, **{"HX-Request": "true"})[0]
    assert max(weights.values()) <= 4_000, weights


def test_what_partners_load_is_light(server: Server) -> None:
    assert sent(server.url + "/embed.js")[0] - HEADERS <= 2_000


def test_the_console_is_not_compressed(server: Server) -> None:
    """It knows its people by a cookie, and compressed lengths would tell of the secrets in its pages."""
    answer = requests.get(server.url + "/admin/login/", headers=BROWSER, timeout=20)
    assert "Content-Encoding" not in answer.headers
    assert requests.get(server.url + "/", headers=BROWSER, timeout=20).headers["Content-Encoding"] == "gzip"
